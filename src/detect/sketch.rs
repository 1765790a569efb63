//! How many different things there were, when they are too many to keep.
//!
//! HyperLogLog (Flajolet, Fusy, Gandouet and Meunier 2007) in the crate `hyperloglog`, with three cares. Its
//! constructor takes a wanted error and gets the precision from it by the natural logarithm instead of the binary one,
//! so the number that it is given here is the one that leads to 2¹² registers, whose standard error is 1.04/√4096 = 1.6
//! %. Hashes are our own, so that they are the same in every process; and of a file come the registers alone, looked at
//! before they are trusted, because the crate indexes by them. Counts are therefore estimates: up to 1.6 % off in two
//! of three cases, 5 % nearly always. Sketches of the same things are equal, in whatever order and parts these came.

use std::hash::Hash;

use hyperloglog::HyperLogLog;
use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

/// What the crate is to be asked for, to get 2¹² registers.
const ASKED: f64 = 0.00258;
/// The registers.
const REGISTERS: usize = 1 << 12;
/// More than any register can hold: bits that are left of a hash, and one.
const RANKS: u8 = 64 - 12 + 2;

/// The number of different hashes that were inserted, about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sketch(#[serde(serialize_with = "write", deserialize_with = "read")] HyperLogLog);

impl Default for Sketch {
    fn default() -> Self {
        Self(HyperLogLog::new_deterministic(ASKED, 0))
    }
}

/// Two sketches are equal when their registers are.
impl PartialEq for Sketch {
    fn eq(&self, other: &Self) -> bool {
        registers(&self.0) == registers(&other.0)
    }
}

impl Sketch {
    /// Adds what has this hash, every bit of which must depend on every bit of the thing.
    pub fn insert(&mut self, hash: u64) {
        self.0.insert_by_hash_value(hash);
    }

    /// Adds all that is in the other.
    pub fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
    }

    /// How many there were, about.
    pub fn count(&self) -> u64 {
        // not negative, and far below 2^53
        self.0.len().round() as u64
    }
}

/// A hash whose every bit depends on every bit of the value, the same in every process on 64-bit machines.
pub(super) fn hash(value: &impl Hash) -> u64 {
    use std::hash::Hasher;
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    // the finalizer of splitmix64: the fast hash alone leaves its low bits weak
    let mut bits = hasher.finish();
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The registers: all that a sketch has of its own.
fn registers(sketch: &HyperLogLog) -> Vec<u8> {
    let value = serde_json::to_value(sketch).unwrap_or_default();
    let ranks = value.get("M").and_then(serde_json::Value::as_array).into_iter().flatten();
    // at most 53
    ranks.map(|rank| rank.as_u64().unwrap_or_default() as u8).collect()
}

fn write<S: serde::Serializer>(sketch: &HyperLogLog, serializer: S) -> Result<S::Ok, S::Error> {
    registers(sketch).serialize(serializer)
}

fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<HyperLogLog, D::Error> {
    use serde::de::Error;
    let registers: Vec<u8> = Vec::deserialize(deserializer)?;
    if registers.len() != REGISTERS || registers.iter().any(|rank| *rank >= RANKS) {
        return Err(D::Error::custom("no sketch of this program"));
    }
    let mut value = serde_json::to_value(HyperLogLog::new_deterministic(ASKED, 0)).map_err(D::Error::custom)?;
    if let Some(members) = value.as_object_mut() {
        members.insert("M".to_owned(), registers.into());
    }
    serde_json::from_value(value).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(numbers: impl Iterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::default();
        numbers.for_each(|number| sketch.insert(hash(&number)));
        sketch
    }

    #[test]
    fn the_error_is_the_one_that_is_stated() {
        for count in [65u64, 1000, 10_000, 100_000, 1_000_000] {
            let runs = if count > 100_000 { 5 } else { 40 };
            let squares: f64 = (0..runs)
                .map(|run| {
                    let first = run * 10_000_019;
                    let estimate = sketch(first..first + count).count() as f64;
                    (estimate / count as f64 - 1.0).powi(2)
                })
                .sum();
            let error = (squares / runs as f64).sqrt();
            // the root of so few squares varies by a tenth or more itself
            assert!(error < 0.023, "{count}: {error}");
        }
    }

    #[test]
    fn the_order_and_the_parts_do_not_matter() {
        let whole = sketch(0..5000);
        let mut parts = sketch((2000..5000).rev());
        parts.merge(&sketch(0..3000));
        assert_eq!(parts, whole);
        assert_ne!(sketch(0..4000), whole);
    }

    #[test]
    fn a_sketch_survives_a_file_and_another_thing_does_not_pass() {
        let whole = sketch(0..5000);
        let text = serde_json::to_string(&whole).unwrap();
        let mut read: Sketch = serde_json::from_str(&text).unwrap();
        assert_eq!(read, whole);
        read.merge(&whole);
        assert_eq!(read.count(), whole.count());
        let registers: Vec<u8> = serde_json::from_str(&text).unwrap();
        for wrong in [vec![], vec![1; 3], vec![0; 8192], vec![54; 4096], [&registers[1..], &[255]].concat()] {
            assert!(serde_json::from_value::<Sketch>(wrong.into()).is_err());
        }
    }
}
