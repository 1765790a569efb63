//! Scenes: what happens when one thing happens.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::stream::{Stream, position};
use super::worker::{Log, SharedLog, Weather, Worker};
use crate::source::kinesis::lease::{
    Coordinator, CoordinatorOptions, Fault, InitialPosition, LeaderLock, Lease, LeaseError, LeaseEvent, LeaseTable,
    LeaseWrite, MemoryTable, Timing, Written,
};
use crate::source::kinesis::{Checkpoint, ShardInfo};

struct Scene {
    table: MemoryTable,
    stream: Stream,
    log: SharedLog,
}

impl Scene {
    fn new(shards: u32) -> Self {
        Self { table: MemoryTable::default(), stream: Stream::new(shards), log: Arc::<Mutex<Log>>::default() }
    }

    async fn worker(&self, name: &str) -> Worker {
        Worker::start(name, &self.table, &self.stream, &self.log, Weather::new(7, 0)).await.unwrap()
    }

    /// Lets time pass until something holds; how long that took.
    async fn until(&self, what: &str, holds: impl Fn() -> bool) -> Duration {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(600), "never: {what}\n{:#?}", self.table);
            sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }

    async fn leases(&self) -> Vec<Lease> {
        self.table.list().await.unwrap()
    }

    async fn lease(&self, shard: &str) -> Lease {
        self.table.get(shard).await.unwrap().unwrap()
    }
}

fn shard(number: usize) -> String {
    format!("shardId-{number:012}")
}

fn seconds(time: Duration, range: std::ops::RangeInclusive<f64>) {
    assert!(range.contains(&time.as_secs_f64()), "{time:?}, expected {range:?} s");
}

#[tokio::test(start_paused = true)]
async fn a_lone_worker_begins_at_once() {
    let scene = Scene::new(3);
    let worker = scene.worker("a").await;
    seconds(scene.until("has all", || worker.handle.owned().len() == 3).await, 0.0..=1.0);
    seconds(scene.until("has the first", || worker.handle.is_first_owner()).await, 0.0..=3.0);
}

#[tokio::test(start_paused = true)]
async fn a_second_worker_gets_half_by_hand_over() {
    let scene = Scene::new(4);
    let a = scene.worker("a").await;
    scene.until("a has all", || a.handle.owned().len() == 4).await;
    let b = scene.worker("b").await;
    let time = scene.until("b has half", || b.handle.owned().len() == 2 && a.handle.owned().len() == 2).await;
    seconds(time, 0.0..=20.0);
    assert!(a.handle.is_first_owner() && !b.handle.is_first_owner());
    let log = scene.log.lock().unwrap();
    assert_eq!((log.handed_over, log.lost), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_leases_of_a_dead_worker_move_soon_after_the_failover_time() {
    for leader_dies in [false, true] {
        let scene = Scene::new(4);
        let a = scene.worker("a").await;
        scene.until("a has all", || a.handle.owned().len() == 4).await;
        let b = scene.worker("b").await;
        scene.until("half each", || b.handle.owned().len() == 2 && a.handle.owned().len() == 2).await;
        sleep(Duration::from_secs(30)).await;
        let (dead, alive) = if leader_dies { (a, b) } else { (b, a) };
        drop(dead);
        let time = scene.until("all are moved", || alive.handle.owned().len() == 4).await;
        seconds(time, 6.0..=if leader_dies { 20.0 } else { 16.0 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_died_is_followed_by_another_as_fast() {
    let scene = Scene::new(2);
    let a = scene.worker("a").await;
    scene.until("a has all", || a.handle.owned().len() == 2).await;
    drop(a);
    let b = scene.worker("b").await;
    seconds(scene.until("b has all", || b.handle.owned().len() == 2).await, 6.0..=16.0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_hands_over_at_once() {
    for leader_leaves in [false, true] {
        let scene = Scene::new(4);
        let a = scene.worker("a").await;
        scene.until("a has all", || a.handle.owned().len() == 4).await;
        let b = scene.worker("b").await;
        scene.until("half each", || b.handle.owned().len() == 2 && a.handle.owned().len() == 2).await;
        let (gone, stays) = if leader_leaves { (a, b) } else { (b, a) };
        let reader = gone.handle.owned();
        scene.stream.put();
        scene.until("all is read", || scene.log.lock().unwrap().consumed.values().flatten().count() == 4).await;
        gone.leave().await;
        // what was read is checkpointed before it is given away
        for shard in reader {
            let read = scene.log.lock().unwrap().consumed[&shard].last().copied().unwrap();
            assert_eq!(scene.lease(&shard).await.checkpoint, Checkpoint::Sequence(position(read)));
        }
        let time = scene.until("all are moved", || stays.handle.owned().len() == 4).await;
        seconds(time, 0.0..=6.0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_stops_without_draining_gives_back_what_is_left() {
    let scene = Scene::new(3);
    let a = scene.worker("a").await;
    scene.until("a has all", || a.handle.owned().len() == 3).await;
    let began = Instant::now();
    a.handle.stop().await;
    assert!(began.elapsed() < Duration::from_secs(1) && a.handle.owned().is_empty());
    assert!(scene.leases().await.iter().all(|lease| lease.owner.is_none()));
    assert_eq!(scene.table.leader().await.unwrap(), None);
    assert_eq!(scene.table.workers().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_renew_stops_before_another_begins() {
    let scene = Scene::new(1);
    let a = scene.worker("a").await;
    scene.until("a has it", || a.handle.holds(&shard(0))).await;
    let b = scene.worker("b").await;
    sleep(Duration::from_secs(30)).await;
    a.weather.lock().unwrap().stalled_until = Instant::now() + Duration::from_secs(60);
    scene.until("a stops", || !a.handle.holds(&shard(0))).await;
    assert!(!b.handle.holds(&shard(0)));
    seconds(scene.until("b has it", || b.handle.holds(&shard(0))).await, 0.5..=12.0);
    // what a says late has no effect
    scene.stream.put();
    scene.until("b reads", || scene.log.lock().unwrap().consumed.len() == 1).await;
    let lost = a.handle.checkpoint(&shard(0), position(999)).await;
    assert!(matches!(lost, Err(LeaseError::Lost(name)) if name == shard(0)));
    sleep(Duration::from_secs(120)).await;
    assert_eq!(scene.lease(&shard(0)).await.owner.as_deref(), Some("b"));
    assert_eq!(scene.lease(&shard(0)).await.checkpoint, Checkpoint::Sequence(position(1)));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_never_moves_backwards() {
    let scene = Scene::new(1);
    let options =
        CoordinatorOptions { worker: "a".to_owned(), start: InitialPosition::TrimHorizon, timing: Timing::default() };
    let (handle, mut events) =
        Coordinator::start(Arc::new(scene.table.clone()), Arc::new(scene.stream.clone()), options).await.unwrap();
    assert!(matches!(events.recv().await, Some(LeaseEvent::Acquired(_))));
    handle.checkpoint(&shard(0), position(10)).await.unwrap();
    handle.checkpoint(&shard(0), position(9)).await.unwrap();
    assert_eq!(scene.lease(&shard(0)).await.checkpoint, Checkpoint::Sequence(position(10)));
    handle.release(&shard(0)).await.unwrap();
    assert!(!handle.holds(&shard(0)));
    assert_eq!(scene.lease(&shard(0)).await.owner, None);
    handle.stop().await;
    assert_eq!(events.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_response_is_lost_is_known_again() {
    let scene = Scene::new(1);
    let lose = Arc::new(AtomicBool::new(false));
    let losing = lose.clone();
    let table =
        scene.table.with_faults(move || if losing.swap(false, Relaxed) { Fault::ResponseLost } else { Fault::None });
    let options =
        CoordinatorOptions { worker: "a".to_owned(), start: InitialPosition::TrimHorizon, timing: Timing::default() };
    let (handle, mut events) =
        Coordinator::start(Arc::new(table), Arc::new(scene.stream.clone()), options).await.unwrap();
    assert!(matches!(events.recv().await, Some(LeaseEvent::Acquired(_))));
    let before = scene.lease(&shard(0)).await;
    lose.store(true, Relaxed);
    handle.checkpoint(&shard(0), position(10)).await.unwrap();
    assert!(!lose.load(Relaxed));
    let lease = scene.lease(&shard(0)).await;
    assert_eq!((lease.counter, lease.checkpoint), (before.counter + 1, Checkpoint::Sequence(position(10))), "once");
    for _ in 0..100 {
        sleep(Duration::from_millis(700)).await;
        lose.store(true, Relaxed);
    }
    assert!(handle.holds(&shard(0)));
    assert!(events.try_recv().is_err(), "renewed all the time");
    lose.store(true, Relaxed);
    handle.release(&shard(0)).await.unwrap();
    assert_eq!(scene.lease(&shard(0)).await.owner, None);
}

#[tokio::test(start_paused = true)]
async fn a_merged_shard_gets_its_lease_when_both_parents_have_theirs() {
    let scene = Scene::new(2);
    let worker = scene.worker("a").await;
    scene.until("has all", || worker.handle.owned().len() == 2).await;
    let child = ShardInfo { id: shard(2), parents: vec![shard(0), shard(1)], hash_range: None };
    let other = scene.lease(&shard(1)).await;
    scene.table.delete(&other).await.unwrap();
    let refused = worker.handle.finish(&shard(0), vec![child.clone()]).await;
    assert!(matches!(refused, Err(LeaseError::PartnerMissing { parent, .. }) if parent == shard(1)));
    assert!(worker.handle.holds(&shard(0)), "the lease stays");
    // gone from the stream, it never gets a lease
    scene.stream.merge(&shard(0), &shard(1));
    scene.stream.trim(&shard(1));
    worker.handle.finish(&shard(0), vec![child]).await.unwrap();
    assert_eq!(scene.lease(&shard(2)).await.checkpoint, Checkpoint::TrimHorizon);
    assert!(scene.lease(&shard(0)).await.is_finished());
    assert!(!worker.handle.holds(&shard(0)));
}

#[tokio::test(start_paused = true)]
async fn leases_of_shards_that_are_read_are_deleted_oldest_first() {
    let scene = Scene::new(1);
    let worker = scene.worker("a").await;
    scene.stream.put();
    let [low, high] = scene.stream.split(&shard(0));
    scene.stream.put();
    scene.stream.merge(&low, &high);
    scene.stream.put();
    scene.until("all is read", || worker.handle.holds(&shard(3))).await;
    sleep(Duration::from_secs(1000)).await;
    let left: Vec<String> = scene.leases().await.into_iter().map(|lease| lease.shard).collect();
    assert_eq!(left, [shard(3)]);
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_shard_that_is_gone_is_deleted_after_a_while() {
    let scene = Scene::new(2);
    let stray = ShardInfo { id: "shardId-000000000099".to_owned(), parents: vec![], hash_range: None };
    scene.table.create(&Lease::new(&stray, Checkpoint::ShardEnd)).await.unwrap();
    let _worker = scene.worker("a").await;
    sleep(Duration::from_secs(1700)).await;
    assert_eq!(scene.leases().await.len(), 3);
    sleep(Duration::from_secs(400)).await;
    assert_eq!(scene.leases().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_deleted_is_made_again() {
    let scene = Scene::new(2);
    let worker = scene.worker("a").await;
    scene.until("has all", || worker.handle.owned().len() == 2).await;
    scene.table.delete(&scene.lease(&shard(1)).await).await.unwrap();
    scene.until("is lost", || worker.handle.owned().len() == 1).await;
    seconds(scene.until("is made again", || worker.handle.owned().len() == 2).await, 0.0..=125.0);
}

/// A Java worker, as seen in the table: it leads, renews what it has, and does what it is told.
async fn java_leads(table: &MemoryTable, version: u64) {
    let before = table.leader().await.unwrap();
    let lock = LeaderLock {
        owner: "java".to_owned(),
        version: format!("uuid-{version}"),
        duration: Duration::from_secs(120),
        released: false,
    };
    assert!(table.set_leader(before.as_ref().map(|lock| lock.version.as_str()), &lock).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn beside_a_java_leader_a_worker_takes_what_it_is_given_and_no_more() {
    let scene = Scene::new(2);
    for shard in [shard(0), shard(1)] {
        let info = ShardInfo { id: shard, parents: vec![], hash_range: None };
        scene.table.create(&Lease::new(&info, Checkpoint::TrimHorizon)).await.unwrap();
    }
    java_leads(&scene.table, 0).await;
    let worker = scene.worker("a").await;
    for version in 1..5 {
        sleep(Duration::from_secs(30)).await;
        java_leads(&scene.table, version).await;
    }
    assert!(scene.leases().await.iter().all(|lease| lease.counter == 0), "nothing was touched");

    // given by hand-over from a Java worker, which then lets go
    let owned = |owner: &str| LeaseWrite::Assign { to: owner.to_owned() };
    let Written::Done(lease) = scene.table.write(&scene.lease(&shard(0)).await, &owned("java")).await.unwrap() else {
        panic!("nobody has it")
    };
    let hand_over = LeaseWrite::HandOver { to: "a".to_owned() };
    let Written::Done(lease) = scene.table.write(&lease, &hand_over).await.unwrap() else { panic!("java has it") };
    sleep(Duration::from_secs(5)).await;
    assert!(!worker.handle.holds(&shard(0)), "java still drains");
    scene.table.write(&lease, &LeaseWrite::Release).await.unwrap();
    seconds(scene.until("a has it", || worker.handle.holds(&shard(0))).await, 0.0..=3.0);

    // and back
    let lease = scene.lease(&shard(0)).await;
    scene.table.write(&lease, &LeaseWrite::HandOver { to: "java".to_owned() }).await.unwrap();
    seconds(scene.until("a drains", || !worker.handle.holds(&shard(0))).await, 0.0..=5.0);
    sleep(Duration::from_secs(1)).await;
    let lease = scene.lease(&shard(0)).await;
    assert_eq!((lease.owner.as_deref(), lease.checkpoint_owner), (Some("java"), None));
    assert_eq!(scene.log.lock().unwrap().lost, 0);

    // the Java worker dies: after the 120 s that stand in its lock, another leads
    let time = scene.until("a leads", || worker.handle.owned().len() == 2).await;
    seconds(time, 80.0..=130.0);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_does_not_drain_is_stopped() {
    let scene = Scene::new(1);
    let timing = Timing::default();
    let options = CoordinatorOptions { worker: "a".to_owned(), start: InitialPosition::TrimHorizon, timing };
    let (handle, mut events) =
        Coordinator::start(Arc::new(scene.table.clone()), Arc::new(scene.stream.clone()), options).await.unwrap();
    assert!(matches!(events.recv().await, Some(LeaseEvent::Acquired(_))));
    let lease = scene.lease(&shard(0)).await;
    scene.table.write(&lease, &LeaseWrite::HandOver { to: "b".to_owned() }).await.unwrap();
    assert_eq!(events.recv().await, Some(LeaseEvent::HandOver { shard: shard(0) }));
    let asked = Instant::now();
    assert!(handle.holds(&shard(0)));
    assert_eq!(events.recv().await, Some(LeaseEvent::Lost { shard: shard(0) }));
    assert_eq!(asked.elapsed(), timing.hand_over);
    sleep(Duration::from_millis(10)).await;
    let lease = scene.lease(&shard(0)).await;
    assert_eq!((lease.owner.as_deref(), lease.checkpoint_owner), (Some("b"), None), "b may begin");
}
