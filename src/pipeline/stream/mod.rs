//! Stream: the shards of a Kinesis stream into a lake, as long as the program runs.
//!
//! The coordinator says which shards are this worker's. Each is followed by a task of its own ([`shard`]), with its own
//! files and its own chain of commits. Beside them the owner of the first shard closes windows over all chains
//! ([`closer`]). What happens to a task is told here, and only here are leases given back.

mod closer;
mod shard;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit, mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use super::deliver::Deliverer;
use crate::boundary::Boundary;
use crate::decode::MessageOptions;
use crate::detect::Settings;
use crate::lake::{FileLimits, MapIdentity, Store};
use crate::source::kinesis::lease::{CoordinatorHandle, Lease, LeaseError, LeaseEvent};
use crate::source::kinesis::{Page, ReadError, ShardReader, StartAt, StreamInfo, Streams};
use crate::telemetry::{LeaseChange, Metrics, Readiness};

use shard::{Outcome, ShardError, follow};

/// The most that one answer of a shard holds.
const MOST_PAGE_BYTES: u64 = 10 << 20;

/// The delivery of what was closed at the end may take so long.
const LAST_DELIVERY: Duration = Duration::from_secs(10);

/// After this time a worker without a shard is to have none.
const SETTLED: Duration = Duration::from_secs(60);

/// How to follow a stream.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Where a shard without a position begins.
    pub start: StartAt,
    /// What is known of the messages.
    pub messages: MessageOptions,
    /// When a file of `flows` is full.
    pub limits: FileLimits,
    /// What was read is committed after this time at the latest.
    pub commit_age: Duration,
    /// Bytes of records and text after which is committed.
    pub commit_bytes: u64,
    /// Bytes of answers that are on their way at a time, over all shards.
    pub in_flight_bytes: u64,
    /// What the detectors ask.
    pub detect: Settings,
    /// Bytes that the detectors of a shard gather before that is written out.
    pub detect_bytes: usize,
    /// How often windows are looked at.
    pub close_every: Duration,
    /// How long the end may take.
    pub drain_timeout: Duration,
    /// Who gets the alerts.
    pub deliverer: Arc<Deliverer>,
}

/// What is the same for every shard.
pub(super) struct Context<S: Store, K: Streams> {
    store: Arc<S>,
    boundary: Option<Arc<Boundary>>,
    map: Option<MapIdentity>,
    stream: StreamInfo,
    streams: K,
    leases: CoordinatorHandle,
    options: StreamOptions,
    metrics: Arc<Metrics>,
    ready: Arc<Readiness>,
    in_flight: Semaphore,
    /// Windows were closed: there may be alerts to deliver.
    closed: Notify,
}

impl<S: Store, K: Streams> Context<S, K> {
    /// The next page of a shard, when there is room for it; the room is given back with the second.
    async fn read(&self, reader: &mut K::Reader) -> Result<(Page, Option<SemaphorePermit<'_>>), ReadError> {
        reader.wait().await?;
        // never closed
        let room = self.in_flight.acquire().await.ok();
        Ok((reader.read().await?, room))
    }
}

/// What a shard's task shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Follow,
    /// Commit what was read, and end.
    Drain,
    /// End at once: the shard is another worker's.
    Stop,
}

/// Why a stream cannot be followed any more.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The coordinator ended by itself.
    #[error("the keeping of leases ended; please report this")]
    Stopped,
    /// There is another stream of that name now.
    #[error(transparent)]
    Remade(ReadError),
    /// The end took too long.
    #[error(
        "not everything that was read could be committed within the drain timeout; the next worker reads it again: \
         nothing is lost or doubled"
    )]
    DrainTimeout,
}

/// A stream that is followed into a lake.
pub struct Stream<S: Store, K: Streams> {
    context: Arc<Context<S, K>>,
    events: mpsc::UnboundedReceiver<LeaseEvent>,
    tasks: JoinSet<Done>,
    followed: HashMap<String, Followed>,
    /// At most one that closes windows, one that delivers alerts, and those that give leases back: nothing waits for
    /// them.
    chores: JoinSet<()>,
    closing: Option<AbortHandle>,
    delivering: Option<AbortHandle>,
    /// Tasks begun so far.
    begun: u64,
    /// Why it is over, whatever is wished.
    over: Option<StreamError>,
}

/// A shard that a task follows.
struct Followed {
    task: u64,
    wish: watch::Sender<Wish>,
}

/// A task that ended.
struct Done {
    task: u64,
    shard: String,
    outcome: Outcome,
}

/// What a stream is made of.
pub struct StreamParts<S: Store, K: Streams> {
    /// The lake.
    pub store: Arc<S>,
    /// The map, if there is one.
    pub boundary: Option<Arc<Boundary>>,
    /// The stream.
    pub stream: StreamInfo,
    /// Where records come from.
    pub streams: K,
    /// Which shards are this worker's.
    pub leases: CoordinatorHandle,
    /// What happens to leases.
    pub events: mpsc::UnboundedReceiver<LeaseEvent>,
    /// How.
    pub options: StreamOptions,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// Where to say whether a shard is followed.
    pub ready: Arc<Readiness>,
}

impl<S: Store + 'static, K: Streams> Stream<S, K> {
    /// A stream, not yet followed.
    pub fn new(parts: StreamParts<S, K>) -> Self {
        let StreamParts { store, boundary, stream, streams, leases, events, options, metrics, ready } = parts;
        let map = boundary.as_deref().map(MapIdentity::of);
        let pages = usize::try_from(options.in_flight_bytes / MOST_PAGE_BYTES).unwrap_or(usize::MAX);
        let in_flight = Semaphore::new(pages.clamp(1, Semaphore::MAX_PERMITS));
        let closed = Notify::new();
        let context =
            Context { store, boundary, map, stream, streams, leases, options, metrics, ready, in_flight, closed };
        Self {
            context: Arc::new(context),
            events,
            tasks: JoinSet::new(),
            followed: HashMap::new(),
            chores: JoinSet::new(),
            closing: None,
            delivering: None,
            begun: 0,
            over: None,
        }
    }

    /// Follows the stream until `stop` is done; then commits what was read and hands every shard over.
    ///
    /// # Errors
    /// When the coordinator ends, or the drain timeout passes. What is committed stays.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), StreamError> {
        // with more workers than shards some have none, as they should
        let settled = sleep(SETTLED);
        tokio::pin!(settled);
        let mut tick = interval(self.context.options.close_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        let context = self.context.clone();
        while self.over.is_none() {
            tokio::select! {
                () = &mut stop => break,
                event = self.events.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => return Err(StreamError::Stopped),
                },
                Some(done) = self.tasks.join_next() => self.on_done(done),
                Some(done) = self.chores.join_next() => drop(go_on_panicking(done)),
                _ = tick.tick() => self.close_windows(),
                () = context.closed.notified() => self.deliver(),
                () = &mut settled, if !settled.is_elapsed() => self.context.ready.set(true),
            }
        }
        self.drain().await
    }

    fn on_event(&mut self, event: LeaseEvent) {
        match event {
            LeaseEvent::Acquired(lease) => {
                tracing::info!(shard = lease.shard, "following");
                let (wish, wished) = watch::channel(Wish::Follow);
                // a task of an earlier ownership may still be ending: it is told, and its chain is fenced
                self.begun += 1;
                let (task, shard) = (self.begun, lease.shard.clone());
                if let Some(before) = self.followed.insert(shard.clone(), Followed { task, wish }) {
                    before.wish.send_replace(Wish::Stop);
                }
                self.context.metrics.lease(&shard, LeaseChange::Acquired, self.followed.len());
                self.context.ready.set(true);
                let context = self.context.clone();
                self.tasks.spawn(async move {
                    let outcome = keep_following(context, lease, wished).await;
                    Done { task, shard, outcome }
                });
            }
            LeaseEvent::HandOver { shard } => self.wish(&shard, Wish::Drain),
            LeaseEvent::Lost { shard } => self.wish(&shard, Wish::Stop),
        }
    }

    fn wish(&self, shard: &str, wish: Wish) {
        if let Some(followed) = self.followed.get(shard) {
            followed.wish.send_replace(wish);
        }
    }

    fn on_done(&mut self, done: Result<Done, JoinError>) {
        let Some(Done { task, shard, outcome }) = go_on_panicking(done) else { return };
        // the shard was lost and is ours again: the lease belongs to the task of today
        if self.followed.get(&shard).is_some_and(|followed| followed.task != task) {
            return;
        }
        let change = match outcome {
            Outcome::Drained => LeaseChange::Released,
            Outcome::Lost => LeaseChange::Lost,
            Outcome::Ended(_) => LeaseChange::Finished,
            Outcome::Remade(error) => {
                self.over = Some(StreamError::Remade(error));
                LeaseChange::Released
            }
        };
        self.followed.remove(&shard);
        self.context.metrics.lease(&shard, change, self.followed.len());
        tracing::info!(shard, change = ?change, "followed");
        let leases = self.context.leases.clone();
        self.chores.spawn(async move {
            // one that is somebody else's, or finished, is let go of already
            if let Err(error) = leases.release(&shard).await {
                tracing::warn!(shard, error = error.to_string(), "lease not given back; it expires by itself");
            }
        });
    }

    /// Closes windows, if that is this worker's part and it is not at it.
    fn close_windows(&mut self) {
        let at_it = self.closing.as_ref().is_some_and(|closing| !closing.is_finished());
        if !at_it && self.context.leases.is_first_owner() {
            self.closing = Some(self.chores.spawn(close(self.context.clone())));
        }
    }

    /// Delivers alerts, if this worker is not at it: beside the closing, which waits for no receiver.
    fn deliver(&mut self) {
        let at_it = self.delivering.as_ref().is_some_and(|delivering| !delivering.is_finished());
        if !at_it && !self.context.options.deliverer.is_empty() {
            self.delivering = Some(self.chores.spawn(deliver(self.context.clone())));
        }
    }

    async fn drain(mut self) -> Result<(), StreamError> {
        let until = Instant::now() + self.context.options.drain_timeout;
        self.context.ready.set(false);
        self.context.leases.drain();
        // a receiver that does not answer shall not hold up the end; what it does not have comes again
        if let Some(delivering) = &self.delivering {
            delivering.abort();
        }
        for followed in self.followed.values() {
            followed.wish.send_replace(Wish::Drain);
        }
        let ended = async {
            while !self.tasks.is_empty() {
                tokio::select! {
                    Some(event) = self.events.recv() => {
                        let acquired = match &event {
                            LeaseEvent::Acquired(lease) => Some(lease.shard.clone()),
                            _ => None,
                        };
                        self.on_event(event);
                        // given before the leader knew
                        if let Some(shard) = acquired {
                            self.wish(&shard, Wish::Drain);
                        }
                    }
                    Some(done) = self.tasks.join_next() => self.on_done(done),
                }
            }
            while let Some(done) = self.chores.join_next().await {
                go_on_panicking(done);
            }
        };
        timeout_at(until, ended).await.map_err(|_| StreamError::DrainTimeout)?;
        // whoever ends last: what was committed at the end shall have its alerts; if not now, then by the next worker
        if timeout_at(until, close(self.context.clone())).await.is_err() {
            tracing::warn!("windows not closed within the drain timeout; the next worker does");
        }
        // a receiver that does not answer shall not use up the time that this process is given
        let soon = until.min(Instant::now() + LAST_DELIVERY);
        if timeout_at(soon, deliver(self.context.clone())).await.is_err() {
            tracing::warn!("alerts not delivered before the end; the next worker does");
        }
        self.context.leases.stop().await;
        self.over.map_or(Ok(()), Err)
    }
}

/// What a task came to; `None` if it was aborted.
fn go_on_panicking<T>(done: Result<T, JoinError>) -> Option<T> {
    match done {
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        done => done.ok(),
    }
}

async fn close<S: Store, K: Streams>(context: Arc<Context<S, K>>) {
    // before: what is closed now is for whoever is to get alerts now
    let begun = context.options.deliverer.begin(&*context.store, &closer::chain(&context)).await;
    let closed = match begun {
        Ok(()) => closer::close(&context).await,
        Err(error) => Err(error),
    };
    if let Err(error) = closed {
        context.metrics.close_failure();
        tracing::warn!(error = error.to_string(), "windows not closed; tried again");
    }
    context.closed.notify_one();
}

async fn deliver<S: Store, K: Streams>(context: Arc<Context<S, K>>) {
    context.options.deliverer.deliver(&*context.store, &closer::chain(&context)).await;
}

/// Follows a shard and ends its lease, and tries again after every failure, as long as the shard is this worker's.
async fn keep_following<S: Store, K: Streams>(
    context: Arc<Context<S, K>>,
    lease: Lease,
    mut wish: watch::Receiver<Wish>,
) -> Outcome {
    let shard = lease.shard.clone();
    let mut pauses = Pauses::default();
    let outcome = loop {
        let began = Instant::now();
        let error = match follow(context.clone(), lease.clone(), wish.clone()).await {
            Ok(outcome) => break outcome,
            Err(ShardError::Read(error @ ReadError::Remade { .. })) => break Outcome::Remade(error),
            Err(error) => error,
        };
        context.metrics.failure(&shard);
        tracing::warn!(shard, error = error.to_string(), "not followed; tried again");
        if began.elapsed() > Pauses::MOST {
            pauses = Pauses::default();
        }
        if !pauses.pass(&mut wish).await {
            return Outcome::Lost;
        }
    };
    let children = match &outcome {
        Outcome::Ended(children) => children.clone(),
        Outcome::Drained | Outcome::Lost | Outcome::Remade(_) => return outcome,
    };
    let mut pauses = Pauses::default();
    loop {
        match context.leases.finish(&shard, children.clone()).await {
            Ok(()) => return outcome,
            Err(LeaseError::Lost(_)) => return Outcome::Lost,
            // a shard that two were merged into may have to wait for the other one, too
            Err(error) => tracing::info!(shard, error = error.to_string(), "not finished; tried again"),
        }
        if !pauses.pass(&mut wish).await {
            return Outcome::Lost;
        }
    }
}

/// Pauses between attempts, which double.
struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(Duration::from_secs(1))
    }
}

impl Pauses {
    const MOST: Duration = Duration::from_secs(30);

    /// Waits, unless the shard is to be left: then `false`.
    async fn pass(&mut self, wish: &mut watch::Receiver<Wish>) -> bool {
        let pause = self.0.mul_f64(0.5 + fastrand::f64());
        self.0 = (self.0 * 2).min(Self::MOST);
        tokio::select! {
            () = sleep(pause) => true,
            _ = wish.wait_for(|wish| *wish != Wish::Follow) => false,
        }
    }
}
