//! The program's own log, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogOutput {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log. `FLOWBOUND_LOG` sets levels as `tracing` reads them (`info`, `flowbound=debug`); the default is `warn`.
pub fn start_log(output: LogOutput) {
    let filter = EnvFilter::try_from_env("FLOWBOUND_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // a second start (as tests do) keeps the first log
    let _started_before = match output {
        LogOutput::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogOutput::Json => log.json().try_init(),
    };
}
