//! Kinesis Data Streams: shards, their records, and the leases by which workers share them.

pub mod lease;
mod position;
mod shards;

pub use position::{Checkpoint, InvalidSequenceNumber, Position, SequenceNumber};
pub use shards::{ChildShard, HashRange, ShardInfo};
