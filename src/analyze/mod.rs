//! Questions to a lake that need the program's own types; other questions are SQL, in `queries/`.

mod backtest;
mod traffic;

pub use backtest::{Backtest, Change, ChangeKind, Counts, backtest};
pub use traffic::{TrafficError, seen_traffic};
