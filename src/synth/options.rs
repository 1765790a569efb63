//! What to generate.

use crate::record::{Field, LogFormat};

/// 2026-11-20T00:00:00Z, in milliseconds.
const DEFAULT_START: i64 = 1_795_132_800_000;

/// Length of an aggregation window, in seconds.
pub(super) const WINDOW: i64 = 60;

/// What to generate. [`GenerateOptions::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Records to write: exactly so many lines beside the headers, heartbeats and planted records included.
    pub flows: u64,
    /// The same seed, map and options give the same text.
    pub seed: u64,
    /// The one scenario to plant; `None` plants every one that fits the map.
    pub scenario: Option<String>,
    /// Start of the first window, in milliseconds since 1970, UTC; cut down to a whole minute.
    pub start: i64,
    /// Number of one-minute windows; `None` chooses by the number of records: two hours, a day from 100,000 on, a
    /// week from ten million on.
    pub minutes: Option<u32>,
    /// Columns of the log. Fields after version 5 are `-`.
    pub format: LogFormat,
    /// Account of the flow log, 12 digits.
    pub account: String,
    /// Region of the flow log.
    pub region: String,
    /// The environment that is selected; `None` takes the map's own.
    pub env: Option<String>,
    /// The mode that is selected; `None` takes the entries of every mode.
    pub mode: Option<String>,
}

impl GenerateOptions {
    /// So many records with seed 1, every scenario, and the 29 fields of version 5 in the order of AWS's documentation.
    pub fn new(flows: u64) -> Self {
        Self {
            flows,
            seed: 1,
            scenario: None,
            start: DEFAULT_START,
            minutes: None,
            format: version_5(),
            account: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            env: None,
            mode: None,
        }
    }

    /// When the traffic happens.
    pub(super) fn span(&self) -> Span {
        let windows = self.minutes.map_or_else(
            || match self.flows {
                0..100_000 => 2 * 60,
                100_000..10_000_000 => 24 * 60,
                _ => 7 * 24 * 60,
            },
            u64::from,
        );
        Span { start: self.start.div_euclid(WINDOW * 1000) * WINDOW, windows: windows.max(1) }
    }
}

/// The time that is covered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Start of the first window, in seconds.
    pub(super) start: i64,
    /// Number of windows, at least one.
    pub(super) windows: u64,
}

impl Span {
    /// Start of a window, in seconds.
    pub(super) fn window(self, index: u64) -> i64 {
        self.start + WINDOW * index.min(self.windows - 1) as i64
    }

    /// The window in which a time lies.
    pub(super) fn index(self, seconds: i64) -> u64 {
        u64::try_from((seconds - self.start).div_euclid(WINDOW)).unwrap_or(0).min(self.windows - 1)
    }
}

/// The 29 fields of versions 2 to 5.
fn version_5() -> LogFormat {
    LogFormat::from_names(Field::ALL.iter().filter(|field| field.def().version <= 5).map(|field| field.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_what_the_documentation_says() {
        let options = GenerateOptions::new(1000);
        assert_eq!(options.format.names().len(), 29);
        let span = options.span();
        // date -u -d @1795132800
        assert_eq!((span.start, span.windows), (1_795_132_800, 120));
        assert_eq!(GenerateOptions::new(100_000).span().windows, 1440);
        assert_eq!(GenerateOptions { minutes: Some(0), ..options }.span().windows, 1);
    }

    #[test]
    fn windows_and_times_agree() {
        let span = Span { start: 600, windows: 3 };
        for index in 0..3 {
            assert_eq!(span.index(span.window(index)), index);
            assert_eq!(span.index(span.window(index) + 59), index);
        }
        assert_eq!(span.window(9), 720);
        assert_eq!(span.index(0), 0);
    }
}
