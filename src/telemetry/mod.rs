//! What the program says of itself while it runs: its log, and a progress bar on a terminal.

mod log;
mod progress;

pub use log::{LogOutput, start_log};
pub use progress::Progress;
