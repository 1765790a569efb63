//! The protocol under storms: from each seed another history of crashes, stalls, lost responses, splits and merges.
//!
//! Checked at every tenth of a second: no checkpoint moves backwards (I3), and no two workers rely on one shard. At
//! every begin of a shard: those before it are read (I4). In the end: every record was read, in bounded time after
//! the storm (I9), and the load is even.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::stream::{Dice, Stream};
use super::worker::{Log, SharedLog, Weather, Worker};
use crate::source::kinesis::Checkpoint;
use crate::source::kinesis::lease::{LeaseTable, MemoryTable};

const STORM: Duration = Duration::from_secs(240);
/// After the storm all is read within so long: leases of the dead expire, hand-overs end, and generations of shards
/// are read one after the other.
const AFTERMATH: Duration = Duration::from_secs(180);

struct Simulation {
    dice: Dice,
    table: MemoryTable,
    stream: Stream,
    log: SharedLog,
    workers: Vec<Worker>,
    started: u64,
    /// Of a hundred accesses so many are refused, and as many lose their response.
    stormy: u64,
    checkpoints: BTreeMap<String, Checkpoint>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let stormy = [0, 2, 5, 10][dice.below(4) as usize];
        let stream = Stream::new(1 + dice.below(4) as u32);
        let log = Arc::<Mutex<Log>>::default();
        let table = MemoryTable::default();
        Self { dice, table, stream, log, workers: vec![], started: 0, stormy, checkpoints: BTreeMap::new() }
    }

    async fn start_worker(&mut self) {
        self.started += 1;
        let weather = Weather::new(self.dice.below(u64::MAX), self.stormy);
        let name = format!("worker-{}", self.started);
        // a start may fail in a storm; somebody starts it again
        if let Ok(worker) = Worker::start(&name, &self.table, &self.stream, &self.log, weather).await {
            self.workers.push(worker);
        }
    }

    async fn something_happens(&mut self) {
        let open = self.stream.open();
        let worker = self.dice.below(self.workers.len() as u64) as usize;
        match self.dice.below(10) {
            0 if !self.workers.is_empty() => drop(self.workers.remove(worker)),
            1 if self.workers.len() > 1 => {
                tokio::spawn(self.workers.remove(worker).leave());
            }
            0..=3 if self.workers.len() < 4 => self.start_worker().await,
            4..=6 if !self.workers.is_empty() => {
                let stall = Duration::from_millis(500 + self.dice.below(30_000));
                self.workers[worker].weather.lock().unwrap().stalled_until = Instant::now() + stall;
            }
            7 | 8 if open.len() < 6 => {
                self.stream.split(&open[self.dice.below(open.len() as u64) as usize]);
            }
            9 if open.len() > 1 => {
                let low = self.dice.below(open.len() as u64 - 1) as usize;
                self.stream.merge(&open[low], &open[low + 1]);
            }
            _ => {}
        }
    }

    async fn check(&mut self) {
        for lease in self.table.list().await.unwrap() {
            let before = self.checkpoints.insert(lease.shard.clone(), lease.checkpoint.clone());
            assert!(before.as_ref() <= Some(&lease.checkpoint), "I3: {before:?}, then {lease:?}");
            let relying = self.workers.iter().filter(|worker| worker.handle.holds(&lease.shard));
            let names: Vec<&str> = relying.map(|worker| worker.name.as_str()).collect();
            assert!(names.len() <= 1, "{} rely on {lease:?}", names.join(" and "));
        }
        let log = self.log.lock().unwrap();
        assert!(log.problems.is_empty(), "{:?}", log.problems);
    }

    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.check().await;
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What of the stream was not read.
    fn unread(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let read = |shard: &str| log.consumed.get(shard).map_or(0, |numbers| numbers.len());
        let records = self.stream.records();
        let short = records.iter().filter(|(shard, records)| read(shard) < records.len());
        short.map(|(shard, records)| format!("{} of {} of {shard}", read(shard), records.len())).collect()
    }

    async fn run(mut self) -> Log {
        for _ in 0..2 {
            self.start_worker().await;
        }
        let storm = Instant::now() + STORM;
        while Instant::now() < storm {
            self.stream.put();
            let calm = Duration::from_millis(200 + self.dice.below(8_000));
            self.pass(calm).await;
            self.something_happens().await;
        }
        self.stormy = 0;
        for worker in &self.workers {
            worker.weather.lock().unwrap().stormy = 0;
            worker.weather.lock().unwrap().stalled_until = Instant::now();
        }
        while self.workers.len() < 2 {
            self.start_worker().await;
        }
        let end = Instant::now() + AFTERMATH;
        while !self.unread().is_empty() {
            assert!(Instant::now() < end, "I9: read {:?}; {:#?}", self.unread(), self.table);
            self.pass(Duration::from_secs(1)).await;
        }
        // a rebalance and its hand-overs later
        self.pass(Duration::from_secs(60)).await;
        let owned: Vec<usize> = self.workers.iter().map(|worker| worker.handle.owned().len()).collect();
        let (least, most) = (owned.iter().min().unwrap(), owned.iter().max().unwrap());
        assert_eq!(owned.iter().sum::<usize>(), self.stream.open().len(), "{owned:?} {:#?}", self.table);
        assert!(most - least <= 1, "{owned:?}");
        // who does not lead looks at all leases every 2 min
        self.pass(Duration::from_secs(130)).await;
        assert_eq!(self.workers.iter().filter(|worker| worker.handle.is_first_owner()).count(), 1);
        for worker in std::mem::take(&mut self.workers) {
            worker.leave().await;
        }
        // one thing may be left to wait for: what a leader was giving away at the moment when it was told to leave
        self.start_worker().await;
        self.pass(Duration::from_secs(20)).await;
        assert_eq!(self.workers[0].handle.owned().len(), self.stream.open().len(), "{:#?}", self.table);
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

fn play(seed: u64) -> Log {
    println!("seed {seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { Simulation::new(seed).run().await })
}

/// Plays seeds, and sees that what should happen in them does.
fn play_all(seeds: std::ops::Range<u64>) {
    let (mut begun, mut handed_over, mut lost) = (0, 0, 0);
    for log in seeds.map(play) {
        begun += log.begun.len();
        handed_over += log.handed_over;
        lost += log.lost;
    }
    println!("{begun} begins, {handed_over} hand-overs, {lost} losses");
    assert!(begun > 1000 && handed_over > 100 && lost > 100, "{begun}, {handed_over}, {lost}");
}

#[test]
fn every_shard_is_read_to_its_end_by_one_worker_at_a_time() {
    play_all(0..120);
}

#[test]
fn and_from_other_seeds() {
    play_all(120..240);
}
