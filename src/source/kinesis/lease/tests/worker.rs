//! A worker of a simulated fleet: a coordinator, a consumer for each lease, and faults on its way to the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::stream::{Dice, Found, Stream, number_of, position};
use crate::source::kinesis::lease::{
    Coordinator, CoordinatorHandle, CoordinatorOptions, Fault, InitialPosition, Lease, LeaseError, LeaseEvent,
    MemoryTable, Timing,
};

/// What befalls a worker's accesses to the table.
#[derive(Debug)]
pub(super) struct Weather {
    dice: Dice,
    /// Of a hundred accesses so many are refused, and as many lose their response.
    pub(super) stormy: u64,
    pub(super) stalled_until: Instant,
}

impl Weather {
    pub(super) fn new(seed: u64, stormy: u64) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { dice: Dice::new(seed), stormy, stalled_until: Instant::now() }))
    }

    fn next(&mut self) -> Fault {
        let now = Instant::now();
        if now < self.stalled_until {
            let wait = self.stalled_until - now;
            let before = self.dice.percent(50);
            return if before { Fault::Slow(wait, Duration::ZERO) } else { Fault::Slow(Duration::ZERO, wait) };
        }
        let roll = self.dice.below(100);
        let mut some = |limit| Duration::from_millis(self.dice.below(limit));
        match roll {
            roll if roll < self.stormy => Fault::Refused,
            roll if roll < 2 * self.stormy => Fault::ResponseLost,
            roll if roll < 3 * self.stormy => Fault::Slow(some(4000), some(4000)),
            _ => Fault::Slow(some(20), some(20)),
        }
    }
}

/// What the consumers of a fleet did.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) consumed: BTreeMap<String, BTreeSet<u64>>,
    /// Shards that were read to the end, and then said to be.
    pub(super) ended: BTreeSet<String>,
    pub(super) problems: Vec<String>,
    /// Who was told to begin, in order: worker and shard.
    pub(super) begun: Vec<(String, String)>,
    pub(super) handed_over: usize,
    pub(super) lost: usize,
}

pub(super) type SharedLog = Arc<Mutex<Log>>;

/// A worker. Dropping it is its sudden death.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) handle: CoordinatorHandle,
    pub(super) weather: Arc<Mutex<Weather>>,
    consumers: AbortHandle,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.consumers.abort();
    }
}

impl Worker {
    pub(super) async fn start(
        name: &str,
        table: &MemoryTable,
        stream: &Stream,
        log: &SharedLog,
        weather: Arc<Mutex<Weather>>,
    ) -> Result<Self, LeaseError> {
        let sky = weather.clone();
        let table = Arc::new(table.with_faults(move || sky.lock().unwrap().next()));
        let options = CoordinatorOptions {
            worker: name.to_owned(),
            start: InitialPosition::TrimHorizon,
            timing: Timing::default(),
        };
        let (handle, events) = Coordinator::start(table, Arc::new(stream.clone()), options).await?;
        let consumer =
            Consumer { name: name.to_owned(), handle: handle.clone(), stream: stream.clone(), log: log.clone() };
        let consumers = tokio::spawn(consume(consumer, events)).abort_handle();
        Ok(Self { name: name.to_owned(), handle, weather, consumers })
    }

    /// Drains and leaves, as at SIGTERM.
    pub(super) async fn leave(self) {
        self.handle.drain();
        let limit = Instant::now() + Timing::default().hand_over;
        while !self.handle.owned().is_empty() && Instant::now() < limit {
            sleep(Duration::from_millis(10)).await;
        }
        self.handle.stop().await;
    }
}

#[derive(Clone)]
struct Consumer {
    name: String,
    handle: CoordinatorHandle,
    stream: Stream,
    log: SharedLog,
}

async fn consume(consumer: Consumer, mut events: mpsc::UnboundedReceiver<LeaseEvent>) {
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<String, (AbortHandle, watch::Sender<bool>)> = BTreeMap::new();
    while let Some(event) = events.recv().await {
        while tasks.try_join_next().is_some() {}
        match event {
            LeaseEvent::Acquired(lease) => {
                let (drain, wish) = watch::channel(false);
                let shard = lease.shard.clone();
                let task = tasks.spawn(follow(consumer.clone(), lease, wish));
                if let Some((before, _)) = running.insert(shard.clone(), (task, drain))
                    && !before.is_finished()
                {
                    consumer.problem(format!("{shard} is begun again while it is worked on"));
                }
            }
            LeaseEvent::HandOver { shard } => {
                consumer.log.lock().unwrap().handed_over += 1;
                running[&shard].1.send_replace(true);
            }
            LeaseEvent::Lost { shard } => {
                consumer.log.lock().unwrap().lost += 1;
                running[&shard].0.abort();
            }
        }
    }
}

impl Consumer {
    fn problem(&self, text: String) {
        self.log.lock().unwrap().problems.push(format!("{}: {text}", self.name));
    }

    /// I4: what comes before is read.
    fn begin(&self, shard: &str) {
        let parents = self.stream.parents(shard);
        let records = self.stream.records();
        let mut log = self.log.lock().unwrap();
        log.begun.push((self.name.clone(), shard.to_owned()));
        for parent in parents {
            let consumed = log.consumed.get(&parent).map_or(0, BTreeSet::len);
            if consumed < records[&parent].len() || !log.ended.contains(&parent) {
                log.problems.push(format!("{shard} is begun before {parent} is read"));
            }
        }
    }
}

async fn follow(consumer: Consumer, lease: Lease, wish: watch::Receiver<bool>) {
    let shard = lease.shard.as_str();
    let Consumer { handle, stream, log, .. } = &consumer;
    consumer.begin(shard);
    let mut at = number_of(&lease.checkpoint);
    let mut rounds = 0;
    loop {
        let draining = *wish.borrow();
        if draining && matches!(handle.checkpoint(shard, position(at)).await, Ok(()) | Err(LeaseError::Lost(_))) {
            handle.release(shard).await.unwrap();
            return;
        }
        match stream.read(shard, at, 5) {
            Found::Records(records) => {
                if !handle.holds(shard) {
                    return;
                }
                at = records.last().copied().unwrap_or(at);
                log.lock().unwrap().consumed.entry(shard.to_owned()).or_default().extend(records);
            }
            Found::End => {
                log.lock().unwrap().ended.insert(shard.to_owned());
                match handle.finish(shard, stream.children(shard)).await {
                    Ok(()) | Err(LeaseError::Lost(_)) => return,
                    Err(_) => {}
                }
            }
        }
        rounds += 1;
        if rounds % 3 == 0
            && at > 0
            && let Err(LeaseError::Lost(_)) = handle.checkpoint(shard, position(at)).await
        {
            return;
        }
        sleep(Duration::from_millis(300)).await;
    }
}
