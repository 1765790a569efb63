//! What the program says of itself while it runs: its log, and a progress bar on a terminal.

mod listen;
mod log;
mod metrics;
mod progress;

pub use listen::{Readiness, listen};
pub use log::{LogOutput, start_log};
pub use metrics::{LeaseChange, Metrics};
pub use progress::Progress;
