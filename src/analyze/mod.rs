//! Questions to a lake that need the program's own types; other questions are SQL, in `queries/`.

mod traffic;

pub use traffic::{TrafficError, seen_traffic};
