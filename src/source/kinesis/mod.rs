//! Kinesis Data Streams: shards, their records, and the leases by which workers share them.

pub mod lease;
mod position;
mod shards;

pub use position::{Checkpoint, InvalidSequenceNumber, Position, SequenceNumber};
pub use shards::{ChildShard, HashRange, ShardInfo};

use std::error::Error;

/// An SDK error with all of its causes: the outermost alone says "service error".
fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}
