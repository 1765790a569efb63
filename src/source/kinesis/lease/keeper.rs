//! Keeping one lease: a task that alone writes to it, from when this worker takes it up until it lets go or loses it.
//!
//! Writes follow one another, each on the counter of the last. A response that does not come leaves open whether the
//! write was made, so it is sent again: refused, because the counter is one further and the owner still this worker,
//! it had been made. Whatever takes longer than the worker may rely on the lease ends with its loss, by this worker's
//! clock alone: a table that does not answer keeps nobody from stopping in time.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::error::LeaseError;
use super::holdings::Holdings;
use super::options::Timing;
use super::record::{Lease, LeaseWrite};
use super::table::{LeaseTable, Written};
use super::{LeaseEvent, ShardList};
use crate::source::kinesis::{Checkpoint, ChildShard, Position};

/// Answers a command.
pub(super) type Reply = oneshot::Sender<Result<(), LeaseError>>;

/// What the consumer of a shard asks for.
#[derive(Debug)]
pub(super) enum Command {
    /// So far is committed.
    Checkpoint(Position, Reply),
    /// All is committed, and these shards follow.
    Finish(Vec<ChildShard>, Reply),
    /// Let another worker have the shard.
    Release(Reply),
    /// This worker leaves the fleet: ask the consumer to drain.
    Leave,
}

/// What all keepers of a worker use.
#[derive(Debug)]
pub(super) struct Common<T, L> {
    pub(super) table: Arc<T>,
    pub(super) shards: Arc<L>,
    pub(super) worker: String,
    pub(super) timing: Timing,
    pub(super) holdings: Arc<Holdings>,
    pub(super) events: mpsc::UnboundedSender<LeaseEvent>,
}

/// How the keeping of a lease ends.
enum End {
    /// Another worker has it, or may have.
    Lost,
    /// The hand-over takes too long: the consumer is stopped, so that the next worker can begin.
    Overdue,
    /// To be released; somebody may wait for it.
    Release(Option<Reply>),
    /// The shard is read to its end.
    Finished,
}

/// Another worker has, or may have, the lease.
#[derive(Clone, Copy)]
struct Gone;

/// What is waited for beside the lease's own writes.
enum Aside {
    /// The shards before this one are read.
    Ready,
    /// The leases of the shards that follow are made.
    Children(Result<BTreeSet<String>, LeaseError>, Reply),
}

type Side = Pin<Box<dyn Future<Output = Aside> + Send>>;

/// What the consumer was told last.
#[derive(PartialEq)]
enum Phase {
    /// Nothing: shards before this one are still being read.
    Waiting,
    /// To begin.
    Working,
    /// To drain, until this time.
    Draining(Instant),
}

/// Keeps one lease.
pub(super) struct Keeper<T, L> {
    common: Arc<Common<T, L>>,
    lease: Lease,
    /// Until when this worker may rely on the lease.
    until: Instant,
    renew_at: Instant,
    phase: Phase,
}

impl<T: LeaseTable, L: ShardList> Keeper<T, L> {
    /// The keeper of a lease that was renewed by a write sent at that time.
    pub(super) fn new(common: Arc<Common<T, L>>, lease: Lease, sent: Instant) -> Self {
        let Timing { renewal, .. } = common.timing;
        let until = sent + common.timing.reliance();
        Self { common, lease, until, renew_at: sent + renewal, phase: Phase::Waiting }
    }

    /// Until when this worker may rely on the lease.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Keeps the lease to the end.
    pub(super) async fn run(mut self, commands: mpsc::Receiver<Command>) {
        let end = self.keep(commands).await;
        let common = self.common.clone();
        common.holdings.let_go(&self.lease.shard);
        let shard = self.lease.shard.clone();
        if matches!(end, End::Lost | End::Overdue) {
            tracing::warn!(shard, overdue = matches!(end, End::Overdue), "lost a lease");
            if self.phase != Phase::Waiting {
                self.tell(LeaseEvent::Lost { shard: shard.clone() });
            }
        }
        let mut reply = None;
        if let End::Release(wanted) = end {
            reply = wanted;
            self.release().await;
        } else if let End::Overdue = end {
            self.release().await;
        }
        common.holdings.remove(&shard);
        if let Some(reply) = reply {
            answer(reply, Ok(()));
        }
    }

    async fn keep(&mut self, mut commands: mpsc::Receiver<Command>) -> End {
        let mut side = Some(self.wait_for_parents());
        let mut leaves = false;
        loop {
            if leaves || self.lease.checkpoint_owner.is_some() {
                match self.phase {
                    Phase::Working if self.tell(LeaseEvent::HandOver { shard: self.lease.shard.clone() }) => {
                        self.phase = Phase::Draining(Instant::now() + self.common.timing.hand_over);
                    }
                    Phase::Waiting | Phase::Working => return End::Release(None),
                    Phase::Draining(_) => {}
                }
            }
            let overdue = if let Phase::Draining(until) = self.phase { until } else { self.until };
            let done = tokio::select! {
                biased;
                () = sleep_until(self.until.min(overdue)) => {
                    return if Instant::now() >= self.until { End::Lost } else { End::Overdue };
                }
                aside = beside(&mut side) => {
                    side = None;
                    match aside {
                        Aside::Ready => {
                            self.phase = Phase::Working;
                            self.common.holdings.begin(&self.lease.shard);
                            self.tell(LeaseEvent::Acquired(self.lease.clone()));
                            Ok(())
                        }
                        Aside::Children(Ok(children), reply) => {
                            let done = self.checkpoint(Checkpoint::ShardEnd, children).await;
                            let finished = done.is_ok();
                            self.answer(reply, done);
                            if finished {
                                return End::Finished;
                            }
                            done
                        }
                        Aside::Children(Err(error), reply) => {
                            answer(reply, Err(error));
                            Ok(())
                        }
                    }
                }
                command = commands.recv() => match command {
                    Some(Command::Checkpoint(position, reply)) => {
                        let done = self.checkpoint(Checkpoint::Sequence(position), BTreeSet::new()).await;
                        self.answer(reply, done);
                        done
                    }
                    Some(Command::Finish(children, reply)) => {
                        side = Some(self.make_children(children, reply));
                        Ok(())
                    }
                    Some(Command::Release(reply)) => return End::Release(Some(reply)),
                    Some(Command::Leave) => {
                        leaves = true;
                        Ok(())
                    }
                    None => return End::Release(None),
                },
                () = sleep_until(self.renew_at) => self.write(&LeaseWrite::Renew).await.map(|sent| self.renewed(sent)),
            };
            if let Err(Gone) = done {
                return End::Lost;
            }
        }
    }

    /// Tells the consumer; `false`: it is there no more.
    fn tell(&self, event: LeaseEvent) -> bool {
        self.common.events.send(event).is_ok()
    }

    fn answer(&self, reply: Reply, done: Result<(), Gone>) {
        answer(reply, done.map_err(|Gone| LeaseError::Lost(self.lease.shard.clone())));
    }

    /// A write was made that was sent at that time; if that is not known, an earlier one had been made.
    fn renewed(&mut self, sent: Option<Instant>) {
        if let Some(sent) = sent {
            self.until = sent + self.common.timing.reliance();
            self.renew_at = sent + self.common.timing.renewal;
            self.common.holdings.extend(&self.lease.shard, self.until);
        }
    }

    /// Moves the checkpoint; never backwards (I3).
    async fn checkpoint(&mut self, to: Checkpoint, children: BTreeSet<String>) -> Result<(), Gone> {
        if to <= self.lease.checkpoint {
            return Ok(());
        }
        let sent = self.write(&LeaseWrite::Checkpoint { to, children }).await?;
        self.renewed(sent);
        Ok(())
    }

    /// Lets another worker have the shard: its next owner, or whomever the leader chooses. Nobody relies on the lease
    /// any more, so if this cannot be said, it expires.
    async fn release(&mut self) {
        if self.write(&LeaseWrite::Release).await.is_err() {
            tracing::debug!(shard = self.lease.shard, "the lease was not released; it is another's, or expires");
        }
    }

    /// Makes a write, as often as it takes to know that it was made: returns when it was sent, if that attempt was
    /// the one.
    async fn write(&mut self, write: &LeaseWrite) -> Result<Option<Instant>, Gone> {
        let timing = self.common.timing;
        loop {
            let sent = Instant::now();
            if sent >= self.until {
                return Err(Gone);
            }
            let limit = self.until.min(sent + timing.attempt());
            match timeout_at(limit, self.common.table.write(&self.lease, write)).await {
                Ok(Ok(Written::Done(lease))) => {
                    self.lease = lease;
                    return Ok(Some(sent));
                }
                Ok(Ok(Written::Refused(found))) => {
                    self.adopt(found)?;
                    if let LeaseWrite::Checkpoint { to, .. } = write
                        && *to == self.lease.checkpoint
                    {
                        return Ok(None);
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(shard = self.lease.shard, %error, "cannot write a lease; trying again");
                    sleep(timing.pause()).await;
                }
                Err(_elapsed) => {
                    tracing::warn!(shard = self.lease.shard, "the lease table does not answer; trying again");
                }
            }
        }
    }

    /// Takes over what is in the table if it differs by what may differ while the lease is this worker's: a write of
    /// its own whose response was lost, or the begin of a hand-over.
    fn adopt(&mut self, found: Option<Lease>) -> Result<(), Gone> {
        let mine = |found: &Lease| {
            let (last, lease) = (&self.lease, found);
            let own_write = lease.counter == last.counter + 1;
            let hand_over = lease.counter == last.counter && lease.checkpoint_owner != last.checkpoint_owner;
            lease.actual_owner() == Some(&*self.common.worker) && (own_write || hand_over)
        };
        self.lease = found.filter(mine).ok_or(Gone)?;
        Ok(())
    }

    /// Waits until the lease of each shard before this one says that it is read, or is gone (I4).
    fn wait_for_parents(&self) -> Side {
        let common = self.common.clone();
        let parents = self.lease.parents.clone();
        Box::pin(async move {
            for parent in &parents {
                loop {
                    match common.table.get(parent).await {
                        Ok(lease) if lease.as_ref().is_none_or(Lease::is_finished) => break,
                        Ok(_) => {}
                        Err(error) => tracing::warn!(parent, %error, "cannot read the lease of a shard before"),
                    }
                    sleep(common.timing.look).await;
                }
            }
            Aside::Ready
        })
    }

    /// Makes the leases of the shards that follow.
    fn make_children(&self, children: Vec<ChildShard>, reply: Reply) -> Side {
        let common = self.common.clone();
        let shard = self.lease.shard.clone();
        Box::pin(async move { Aside::Children(make_children(&common, &shard, &children).await, reply) })
    }
}

fn answer(reply: Reply, result: Result<(), LeaseError>) {
    if reply.send(result).is_err() {
        tracing::debug!("who asked does not wait for the answer any more");
    }
}

async fn beside(side: &mut Option<Side>) -> Aside {
    match side {
        Some(side) => side.await,
        None => std::future::pending().await,
    }
}

/// Makes leases for the shards that follow one, at their begin; those that are there stay.
///
/// A shard that was merged from two gets its lease only if both of those have one: one whose lease is still to be
/// made would be read too late. A lease that is not there because the shard is gone from the stream never comes.
async fn make_children<T: LeaseTable, L: ShardList>(
    common: &Common<T, L>,
    shard: &str,
    children: &[ChildShard],
) -> Result<BTreeSet<String>, LeaseError> {
    for child in children {
        for parent in child.parents.iter().filter(|parent| *parent != shard) {
            if common.table.get(parent).await?.is_some() || common.table.get(&child.id).await?.is_some() {
                continue;
            }
            let listed = common.shards.list().await.map_err(LeaseError::Shards)?;
            if listed.iter().any(|shard| shard.id == *parent) {
                return Err(LeaseError::PartnerMissing { child: child.id.clone(), parent: parent.clone() });
            }
        }
        if common.table.create(&Lease::new(child, Checkpoint::TrimHorizon)).await? {
            tracing::info!(shard, child = child.id, "made the lease of a shard that follows");
        }
    }
    Ok(children.iter().map(|child| child.id.clone()).collect())
}
