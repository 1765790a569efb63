//! One worker's part in the fleet: signs of life, leading, and taking up what it is given.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::error::LeaseError;
use super::holdings::Holdings;
use super::keeper::{Command, Common, Keeper, Reply};
use super::leader::Leader;
use super::options::CoordinatorOptions;
use super::record::LeaseWrite;
use super::table::{LeaseTable, Written};
use super::{LeaseEvent, ShardList};
use crate::source::kinesis::{ChildShard, Position};

/// Takes part in a fleet.
#[derive(Debug)]
pub struct Coordinator;

impl Coordinator {
    /// Starts to take part. Fails if the table or the list of shards cannot be read or the table not be written;
    /// what fails later is logged and tried again.
    ///
    /// Events come as long as the handle or a clone of it lives and is not stopped.
    pub async fn start<T: LeaseTable, L: ShardList>(
        table: Arc<T>,
        shards: Arc<L>,
        options: CoordinatorOptions,
    ) -> Result<(CoordinatorHandle, mpsc::UnboundedReceiver<LeaseEvent>), LeaseError> {
        let CoordinatorOptions { worker, start, timing } = options;
        shards.list().await.map_err(LeaseError::Shards)?;
        table.list().await?;
        table.beat(&worker).await?;
        let (events, receiver) = mpsc::unbounded_channel();
        let holdings = Arc::<Holdings>::default();
        let common = Arc::new(Common { table, shards, worker, timing, holdings: holdings.clone(), events });
        let (drain, stop) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let (running, stopped) = watch::channel(());
        let worker = Worker {
            leader: Leader::new(common.clone(), start),
            scout: Scout { common, keepers: JoinSet::new() },
            drain: drain.clone(),
            stop: stop.clone(),
            _running: running,
        };
        let task = tokio::spawn(worker.run()).abort_handle();
        let handle = Handle { holdings, drain, stop, stopped, task };
        Ok((CoordinatorHandle(Arc::new(handle)), receiver))
    }
}

/// What a worker says of its leases. When the last clone is dropped without [`Self::stop`], the worker is as good as
/// dead: its leases expire.
#[derive(Debug, Clone)]
pub struct CoordinatorHandle(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    holdings: Arc<Holdings>,
    drain: Arc<Notify>,
    stop: Arc<Notify>,
    /// Closed when the worker has stopped.
    stopped: watch::Receiver<()>,
    task: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl CoordinatorHandle {
    /// Everything up to this position is committed. A position before the lease's checkpoint changes nothing (I3).
    ///
    /// [`LeaseError::Lost`]: the lease is not this worker's any more.
    pub async fn checkpoint(&self, shard: &str, position: Position) -> Result<(), LeaseError> {
        self.ask(shard, |reply| Command::Checkpoint(position, reply)).await
    }

    /// The shard is closed, and everything in it is committed: makes the leases of the shards that follow, then ends
    /// this one. No shards follow one that is gone from the stream.
    ///
    /// [`LeaseError::Lost`] as above. After any other error the lease is still this worker's: try again in a while.
    pub async fn finish(&self, shard: &str, children: Vec<ChildShard>) -> Result<(), LeaseError> {
        self.ask(shard, |reply| Command::Finish(children, reply)).await
    }

    /// Lets another worker have the shard: after [`LeaseEvent::HandOver`] the one that was named, else any. From this
    /// call on the consumer must not work on it. A lease that this worker has not is let go of already.
    pub async fn release(&self, shard: &str) -> Result<(), LeaseError> {
        match self.ask(shard, Command::Release).await {
            Err(LeaseError::Lost(_)) => Ok(()),
            released => released,
        }
    }

    async fn ask(&self, shard: &str, command: impl FnOnce(Reply) -> Command) -> Result<(), LeaseError> {
        let lost = || LeaseError::Lost(shard.to_owned());
        let commands = self.0.holdings.commands(shard).ok_or_else(lost)?;
        let (reply, answer) = oneshot::channel();
        commands.send(command(reply)).await.map_err(|_closed| lost())?;
        answer.await.map_err(|_closed| lost())?
    }

    /// The shards that this worker may work on now.
    #[cfg(test)]
    pub fn owned(&self) -> Vec<String> {
        self.0.holdings.owned()
    }

    /// Whether this worker may work on a shard now, by its own clock: what a consumer that may have stood still asks
    /// before it has an effect.
    pub fn holds(&self, shard: &str) -> bool {
        self.0.holdings.holds(shard)
    }

    /// Whether this worker has the first shard of those that the fleet works on, as last seen: it does what one
    /// worker is to do for all. For some seconds two workers may think so, or none.
    pub fn is_first_owner(&self) -> bool {
        self.0.holdings.has_first()
    }

    /// Begins to leave the fleet: this worker gets no more leases, gives up the lead, and each of its consumers is
    /// asked by [`LeaseEvent::HandOver`] to release its shard. When all have, or when time is up, [`Self::stop`].
    pub fn drain(&self) {
        self.0.drain.notify_one();
    }

    /// Leaves the fleet, and lets go at once of every lease that is left: consumers must have stopped. Without
    /// [`Self::drain`] before, a lease that a consumer released may have come back meanwhile.
    pub async fn stop(&self) {
        self.0.stop.notify_one();
        let mut stopped = self.0.stopped.clone();
        while stopped.changed().await.is_ok() {}
    }
}

/// The task of a worker.
struct Worker<T, L> {
    leader: Leader<T, L>,
    scout: Scout<T, L>,
    drain: Arc<Notify>,
    stop: Arc<Notify>,
    /// Dropped when the worker has stopped.
    _running: watch::Sender<()>,
}

impl<T: LeaseTable, L: ShardList> Worker<T, L> {
    async fn run(mut self) {
        let common = self.scout.common.clone();
        let work = async { tokio::join!(beat(&common), self.leader.run(), self.scout.run()) };
        let drains = tokio::select! {
            biased;
            () = self.stop.notified() => false,
            () = self.drain.notified() => true,
            _ = work => false,
        };
        self.say_goodbye().await;
        if drains {
            self.scout.command_all(|| Command::Leave).await;
            self.stop.notified().await;
        }
        let limit = common.timing.failover;
        if timeout(limit, self.scout.let_go()).await.is_err() {
            tracing::warn!("cannot let go of every lease; they expire");
        }
    }

    /// First of all, so that nobody gives this worker what it lets go of.
    async fn say_goodbye(&mut self) {
        let Common { table, worker, timing, .. } = &*self.scout.common;
        let attempt = timing.attempt();
        if !matches!(timeout(attempt, table.remove_worker(worker)).await, Ok(Ok(()))) {
            tracing::warn!("cannot take leave of the fleet; it finds out by itself");
        }
        if !matches!(timeout(attempt, self.leader.resign()).await, Ok(Ok(()))) {
            tracing::warn!("cannot give up the lead; it expires");
        }
        if !matches!(timeout(attempt, self.scout.give_back()).await, Ok(Ok(()))) {
            tracing::warn!("cannot give back leases that were not begun; they expire");
        }
    }
}

/// Gives signs of life.
async fn beat<T: LeaseTable, L: ShardList>(common: &Common<T, L>) {
    let Common { table, worker, timing, .. } = common;
    loop {
        match timeout(timing.attempt(), table.beat(worker)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot give a sign of life; trying again"),
            Err(_elapsed) => tracing::warn!("the lease table does not answer; trying again"),
        }
        sleep(timing.beat).await;
    }
}

/// Finds leases that this worker was given, and takes them up.
struct Scout<T, L> {
    common: Arc<Common<T, L>>,
    keepers: JoinSet<()>,
}

impl<T: LeaseTable, L: ShardList> Scout<T, L> {
    async fn run(&mut self) {
        let common = self.common.clone();
        let Common { timing, holdings, .. } = &*common;
        loop {
            match timeout(timing.failover, self.turn()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "cannot look for leases; trying again"),
                Err(_elapsed) => tracing::warn!("the lease table does not answer; trying again"),
            }
            tokio::select! {
                () = sleep(timing.look) => {}
                () = holdings.given.notified() => {}
            }
        }
    }

    async fn turn(&mut self) -> Result<(), LeaseError> {
        while self.keepers.try_join_next().is_some() {}
        for shard in self.unkept().await? {
            self.take_up(&shard).await?;
        }
        Ok(())
    }

    async fn unkept(&self) -> Result<Vec<String>, LeaseError> {
        let Common { table, worker, holdings, .. } = &*self.common;
        let mut shards = table.owned_by(worker).await?;
        shards.retain(|shard| !holdings.has_keeper(shard));
        Ok(shards)
    }

    /// Takes up a lease by renewing it: that shows that it is still this worker's, and from when on it relies on it.
    async fn take_up(&mut self, shard: &str) -> Result<(), LeaseError> {
        let Common { table, worker, holdings, .. } = &*self.common;
        let Some(lease) = table.get(shard).await? else { return Ok(()) };
        if lease.owner.as_ref() != Some(worker) || lease.checkpoint_owner.is_some() || lease.is_finished() {
            return Ok(());
        }
        let sent = Instant::now();
        if let Written::Done(lease) = table.write(&lease, &LeaseWrite::Renew).await? {
            tracing::info!(shard, checkpoint = ?lease.checkpoint, "took up a lease");
            let keeper = Keeper::new(self.common.clone(), lease, sent);
            let (commands, receiver) = mpsc::channel(8);
            holdings.add(shard, commands, keeper.until());
            self.keepers.spawn(keeper.run(receiver));
        }
        Ok(())
    }

    async fn command_all(&self, command: impl Fn() -> Command) {
        for commands in self.common.holdings.all_commands() {
            if commands.send(command()).await.is_err() {
                tracing::debug!("the lease is let go of already");
            }
        }
    }

    /// Lets go of every lease.
    async fn let_go(&mut self) {
        self.command_all(|| Command::Release(oneshot::channel().0)).await;
        while self.keepers.join_next().await.is_some() {}
    }

    /// Gives back leases that were not taken up.
    async fn give_back(&self) -> Result<(), LeaseError> {
        let Common { table, worker, .. } = &*self.common;
        for shard in self.unkept().await? {
            if let Some(lease) = table.get(&shard).await?
                && lease.owner.as_ref() == Some(worker)
                && lease.checkpoint_owner.is_none()
                && !lease.is_finished()
            {
                table.write(&lease, &LeaseWrite::Release).await?;
            }
        }
        Ok(())
    }
}
