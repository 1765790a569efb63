//! The shards of a stream.

/// Hash keys of partition keys that go to a shard: 128-bit numbers, both ends included.
pub type HashRange = std::ops::RangeInclusive<u128>;

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// Its id.
    pub id: String,
    /// The shard it was split from, or the two it was merged from.
    pub parents: Vec<String>,
    /// Its part of the hash keys.
    pub hash_range: Option<HashRange>,
}

/// A shard that follows a closed one.
pub type ChildShard = ShardInfo;
