//! The whole of a stream in one process: workers over a lake and a lease table in memory, on paused time.

mod lake;
mod scenes;
mod simulation;
mod source;

use std::time::Duration;

use super::shard::chain_name;
use super::{StartAt, StreamInfo, StreamOptions};
use crate::decode::MessageOptions;
use crate::lake::FileLimits;

const MAP: &str = include_str!("../../../../testdata/detect/small.toml");
const STREAM: &str = "logs";

fn stream() -> StreamInfo {
    StreamInfo {
        name: STREAM.to_owned(),
        arn: format!("arn:aws:kinesis:us-east-1:123456789012:stream/{STREAM}"),
        created: 0,
        retention: Duration::from_secs(86_400),
    }
}

/// The chain of a shard.
fn chain_of(shard: &str) -> String {
    chain_name(&stream().id(), shard)
}

fn options() -> StreamOptions {
    StreamOptions {
        detect: Default::default(),
        start: StartAt::Horizon,
        messages: MessageOptions::default(),
        limits: FileLimits::default(),
        detect_bytes: crate::pipeline::DETECT_BYTES,
        commit_age: Duration::from_secs(3),
        commit_bytes: 4000,
        in_flight_bytes: 100 << 20,
        close_every: Duration::from_secs(7),
        drain_timeout: Duration::from_secs(60),
        deliverer: std::sync::Arc::default(),
    }
}

/// Dice of one simulation: the same seed, the same history.
#[derive(Clone)]
struct Dice(std::sync::Arc<std::sync::Mutex<rand_chacha::ChaCha8Rng>>);

impl Dice {
    fn new(seed: u64) -> Self {
        use rand_chacha::rand_core::SeedableRng as _;
        Self(std::sync::Arc::new(std::sync::Mutex::new(rand_chacha::ChaCha8Rng::seed_from_u64(seed))))
    }

    fn below(&self, limit: u64) -> u64 {
        use rand_chacha::rand_core::Rng as _;
        self.0.lock().unwrap().next_u64() % limit.max(1)
    }

    fn millis(&self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}
