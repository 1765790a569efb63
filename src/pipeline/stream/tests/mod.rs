//! The whole of a stream in one process: workers over a lake and a lease table in memory, on paused time.

mod lake;
mod simulation;
mod source;

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

    fn millis(&self, limit: u64) -> std::time::Duration {
        std::time::Duration::from_millis(self.below(limit))
    }
}
