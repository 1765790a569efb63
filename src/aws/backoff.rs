//! How long to wait before something is tried again.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The first wait is at most this long; each further one at most twice the one before.
const FIRST: Duration = Duration::from_millis(100);
/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(20);

/// Waits after so many failures in a row: exponential, with full jitter, so that many who failed at once do not come
/// back at once.
pub async fn back_off(failures: u32) {
    tokio::time::sleep(longest(failures).mul_f64(dice())).await;
}

fn longest(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST)
}

/// A number from 0 to 1. The standard library's hash keys are random enough to spread waits.
fn dice() -> f64 {
    f64::from((RandomState::new().build_hasher().finish() >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit() {
        let millis: Vec<_> = [1, 2, 3, 8, 9, 100].map(|n| longest(n).as_millis()).into();
        assert_eq!(millis, [100, 200, 400, 12_800, 20_000, 20_000]);
        assert!((0..100).all(|_| (0.0..=1.0).contains(&dice())));
    }
}
