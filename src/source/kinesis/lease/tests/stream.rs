//! A stream in memory, and dice.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::source::kinesis::lease::ShardList;
use crate::source::kinesis::{Checkpoint, HashRange, Position, ShardInfo};

/// Numbers that a seed determines (splitmix64).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug)]
struct Shard {
    info: ShardInfo,
    records: Vec<u64>,
    closed: bool,
    trimmed: bool,
}

#[derive(Debug, Default)]
struct State {
    shards: BTreeMap<String, Shard>,
    records: u64,
    made: usize,
}

/// What a reader finds after a position.
pub(super) enum Found {
    Records(Vec<u64>),
    /// The shard is closed and read.
    End,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Stream(Arc<Mutex<State>>);

impl State {
    fn add(&mut self, parents: &[&str], range: HashRange) -> String {
        let id = format!("shardId-{:012}", self.made);
        self.made += 1;
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        let info = ShardInfo { id: id.clone(), parents, hash_range: Some(range) };
        self.shards.insert(id.clone(), Shard { info, records: Vec::new(), closed: false, trimmed: false });
        id
    }

    fn close(&mut self, shard: &str) -> HashRange {
        let shard = self.shards.get_mut(shard).unwrap();
        assert!(!std::mem::replace(&mut shard.closed, true));
        shard.info.hash_range.clone().unwrap()
    }
}

pub(super) fn number_of(checkpoint: &Checkpoint) -> u64 {
    match checkpoint {
        Checkpoint::Sequence(position) => position.sequence.as_str().parse().unwrap(),
        Checkpoint::ShardEnd => u64::MAX,
        _ => 0,
    }
}

pub(super) fn position(number: u64) -> Position {
    Position { sequence: number.to_string().parse().unwrap(), sub: 0 }
}

impl Stream {
    pub(super) fn new(shards: u32) -> Self {
        let stream = Self::default();
        let part = u128::MAX / u128::from(shards);
        for i in 0..u128::from(shards) {
            let end = if i + 1 == u128::from(shards) { u128::MAX } else { (i + 1) * part - 1 };
            stream.state().add(&[], i * part..=end);
        }
        stream
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Puts one record into every open shard.
    pub(super) fn put(&self) {
        let state = &mut *self.state();
        for shard in state.shards.values_mut().filter(|shard| !shard.closed) {
            state.records += 1;
            shard.records.push(state.records);
        }
    }

    /// Open shards in the order of their hash keys.
    pub(super) fn open(&self) -> Vec<String> {
        let state = self.state();
        let mut open: Vec<_> = state.shards.values().filter(|shard| !shard.closed).collect();
        open.sort_by_key(|shard| *shard.info.hash_range.as_ref().unwrap().start());
        open.iter().map(|shard| shard.info.id.clone()).collect()
    }

    pub(super) fn split(&self, shard: &str) -> [String; 2] {
        let mut state = self.state();
        let range = state.close(shard);
        let middle = range.start() + (range.end() - range.start()) / 2;
        [state.add(&[shard], *range.start()..=middle), state.add(&[shard], middle + 1..=*range.end())]
    }

    pub(super) fn merge(&self, low: &str, high: &str) -> String {
        let mut state = self.state();
        let (low_range, high_range) = (state.close(low), state.close(high));
        assert_eq!(low_range.end() + 1, *high_range.start());
        state.add(&[low, high], *low_range.start()..=*high_range.end())
    }

    /// The shard's records are past the retention: it is listed no more.
    pub(super) fn trim(&self, shard: &str) {
        self.state().shards.get_mut(shard).unwrap().trimmed = true;
    }

    pub(super) fn read(&self, shard: &str, after: u64, limit: usize) -> Found {
        let state = self.state();
        let shard = &state.shards[shard];
        let records: Vec<u64> = shard.records.iter().copied().filter(|number| *number > after).take(limit).collect();
        if records.is_empty() && shard.closed { Found::End } else { Found::Records(records) }
    }

    pub(super) fn children(&self, shard: &str) -> Vec<ShardInfo> {
        let state = self.state();
        let infos = state.shards.values().map(|shard| &shard.info);
        infos.filter(|info| info.parents.iter().any(|parent| parent == shard)).cloned().collect()
    }

    pub(super) fn parents(&self, shard: &str) -> Vec<String> {
        self.state().shards[shard].info.parents.clone()
    }

    /// Every record by shard.
    pub(super) fn records(&self) -> BTreeMap<String, Vec<u64>> {
        self.state().shards.iter().map(|(id, shard)| (id.clone(), shard.records.clone())).collect()
    }
}

impl ShardList for Stream {
    async fn list(&self) -> Result<Vec<ShardInfo>, Box<dyn Error + Send + Sync>> {
        let state = self.state();
        Ok(state.shards.values().filter(|shard| !shard.trimmed).map(|shard| shard.info.clone()).collect())
    }
}
