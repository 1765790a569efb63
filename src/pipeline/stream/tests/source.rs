//! A stream in memory: shards that take records, split and merge, and readers of them.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use tokio::time::sleep;

use super::Dice;
use crate::source::kinesis::lease::ShardList;
use crate::source::kinesis::{
    Page, Position, ReadError, Record, SequenceNumber, ShardInfo, ShardReader, StartAt, Streams,
};

struct Shard {
    info: ShardInfo,
    records: Vec<Record>,
    closed: bool,
}

#[derive(Default)]
struct Shards {
    shards: BTreeMap<String, Shard>,
    sequence: u64,
}

#[derive(Clone)]
pub(super) struct MemoryStream {
    shards: Arc<Mutex<Shards>>,
    dice: Dice,
    /// Of a hundred reads so many fail.
    pub(super) stormy: Arc<Mutex<u64>>,
}

impl MemoryStream {
    pub(super) fn new(dice: Dice, stormy: u64, count: u64) -> Self {
        let stream = Self { shards: Arc::default(), dice, stormy: Arc::new(Mutex::new(stormy)) };
        let width = u128::MAX / u128::from(count);
        for number in 0..u128::from(count) {
            let end = if number + 1 == u128::from(count) { u128::MAX } else { (number + 1) * width - 1 };
            stream.add(vec![], number * width..=end);
        }
        stream
    }

    fn add(&self, parents: Vec<String>, range: std::ops::RangeInclusive<u128>) {
        let mut shards = self.shards.lock().unwrap();
        let id = format!("shardId-{:012}", shards.shards.len());
        let info = ShardInfo { id: id.clone(), parents, hash_range: Some(range) };
        shards.shards.insert(id, Shard { info, records: Vec::new(), closed: false });
    }

    pub(super) fn open(&self) -> Vec<ShardInfo> {
        let shards = self.shards.lock().unwrap();
        let mut open: Vec<_> = shards.shards.values().filter(|s| !s.closed).map(|s| s.info.clone()).collect();
        open.sort_by_key(|info| info.hash_range.as_ref().map(|range| *range.start()));
        open
    }

    /// Puts a record into any open shard.
    pub(super) fn put(&self, data: String, arrived: Option<i64>) {
        let open = self.open();
        let shard = &open[self.dice.below(open.len() as u64) as usize].id;
        let mut shards = self.shards.lock().unwrap();
        shards.sequence += 1 + self.dice.below(5);
        let sequence = shards.sequence.to_string().parse().unwrap();
        let records = &mut shards.shards.get_mut(shard).unwrap().records;
        records.push(Record { sequence, data: data.into_bytes(), arrived });
    }

    /// All records of a shard are past the retention, and it was closed before.
    pub(super) fn forget(&self, shard: &ShardInfo) {
        self.shards.lock().unwrap().shards.remove(&shard.id);
    }

    fn close(&self, shard: &ShardInfo) {
        self.shards.lock().unwrap().shards.get_mut(&shard.id).unwrap().closed = true;
    }

    pub(super) fn split(&self, shard: &ShardInfo) {
        self.close(shard);
        let range = shard.hash_range.clone().unwrap();
        let middle = range.start() + (range.end() - range.start()) / 2;
        self.add(vec![shard.id.clone()], *range.start()..=middle);
        self.add(vec![shard.id.clone()], middle + 1..=*range.end());
    }

    pub(super) fn merge(&self, low: &ShardInfo, high: &ShardInfo) {
        self.close(low);
        self.close(high);
        let (from, to) = (low.hash_range.clone().unwrap(), high.hash_range.clone().unwrap());
        self.add(vec![low.id.clone(), high.id.clone()], *from.start()..=*to.end());
    }

    /// (source, line text) of every record.
    pub(super) fn everything(&self, stream: &str) -> Vec<(String, String)> {
        let shards = self.shards.lock().unwrap();
        let all = shards.shards.iter().flat_map(|(id, shard)| shard.records.iter().map(move |record| (id, record)));
        all.map(|(id, record)| {
            (format!("kinesis://{stream}/{id}/{}", record.sequence), String::from_utf8(record.data.clone()).unwrap())
        })
        .collect()
    }

    /// Shards that come before this one.
    pub(super) fn parents(&self, shard: &str) -> Vec<String> {
        self.shards.lock().unwrap().shards[shard].info.parents.clone()
    }
}

impl ShardList for MemoryStream {
    async fn list(&self) -> Result<Vec<ShardInfo>, Box<dyn Error + Send + Sync>> {
        Ok(self.shards.lock().unwrap().shards.values().map(|shard| shard.info.clone()).collect())
    }
}

pub(super) struct MemoryReader {
    stream: MemoryStream,
    shard: String,
    from: StartAt,
}

impl Streams for MemoryStream {
    type Reader = MemoryReader;

    fn reader(&self, shard: &str, start: StartAt) -> MemoryReader {
        MemoryReader { stream: self.clone(), shard: shard.to_owned(), from: start }
    }
}

impl ShardReader for MemoryReader {
    async fn wait(&mut self) -> Result<(), ReadError> {
        sleep(self.stream.dice.millis(300)).await;
        Ok(())
    }

    async fn read(&mut self) -> Result<Page, ReadError> {
        let dice = &self.stream.dice;
        sleep(dice.millis(100)).await;
        if dice.below(100) < *self.stream.stormy.lock().unwrap() {
            return Err(ReadError::Failed { shard: self.shard.clone(), detail: "storm".to_owned() });
        }
        let shards = self.stream.shards.lock().unwrap();
        let follows = |child: &&Shard| child.info.parents.contains(&self.shard);
        let children = || shards.shards.values().filter(follows).map(|child| child.info.clone()).collect();
        let Some(shard) = shards.shards.get(&self.shard) else {
            return Err(ReadError::Gone { shard: self.shard.clone(), children: children() });
        };
        let given: SequenceNumber = shards.sequence.to_string().parse().unwrap();
        let after = |wanted: &dyn Fn(&Record) -> bool| shard.records.iter().filter(|r| wanted(r)).cloned().collect();
        let rest: Vec<Record> = match &self.from {
            StartAt::Horizon => shard.records.clone(),
            StartAt::After(sequence) | StartAt::At(Position { sequence, .. }) if *sequence > given => {
                let (shard, detail) = (self.shard.clone(), "never given".to_owned());
                return Err(ReadError::UnknownPosition { shard, detail });
            }
            StartAt::After(sequence) => after(&|record| record.sequence > *sequence),
            StartAt::At(at) => after(&|record| record.sequence >= at.sequence),
            StartAt::Time(time) => after(&|record| record.arrived >= Some(*time)),
            StartAt::Latest => panic!("where the end was is written into the lake"),
        };
        let many = 1 + dice.below(8) as usize;
        let records: Vec<Record> = rest.iter().take(many).cloned().collect();
        let at_end = shard.closed && records.len() == rest.len();
        let end = at_end.then(children);
        drop(shards);
        if let Some(last) = records.last() {
            self.from = StartAt::After(last.sequence.clone());
        }
        Ok(Page { records, behind: Some(0), end, retried: None })
    }
}
