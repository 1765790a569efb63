//! Alerts on standard output, one a line; as text, each with an empty line behind it.

use std::io::{self, Write as _};

use super::{Message, SendError};

/// Standard output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stdout;

impl Stdout {
    pub(super) async fn send(&self, message: &Message<'_>) -> Result<(), SendError> {
        let end = if message.form.is_json() { "\n" } else { "\n\n" };
        let text = format!("{}{end}", message.body);
        let write = move || {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
        // who reads it may be slow
        let written = tokio::task::spawn_blocking(write).await.map_err(io::Error::other);
        let cannot = |error| SendError(format!("cannot write to standard output: {error}"));
        written.and_then(|written| written).map_err(cannot)
    }
}
