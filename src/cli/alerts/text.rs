//! Alerts as a person reads them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::summary::{Style, bytes, grouped, plural};
use crate::alert::{protocol_name, technique, utc};
use crate::detect::{Alert, AlertStatus, Evidence};

/// Digits of an id in a list: with a hundred thousand alerts no two begin the same.
const ID: usize = 10;
/// Letters of how long a window lasts.
const LASTS: usize = 5;
/// What a title has at least, however narrow the terminal is.
const LEAST_TITLE: usize = 24;
const GAP: &str = "  ";

/// Columns of the terminal; `None` where the text goes into a file or a pipe, which has room.
pub(super) fn width() -> Option<usize> {
    let terminal = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0.into());
    terminal.or_else(|| std::env::var("COLUMNS").ok()?.parse().ok())
}

/// A list of alerts, one a row; titles that are too long go on in the next line.
pub(super) struct Table {
    detector: usize,
    width: Option<usize>,
    style: Style,
}

impl Table {
    /// As wide as these alerts need it.
    pub(super) fn of(alerts: &[Alert], width: Option<usize>, style: Style) -> Self {
        Self::with_detectors(alerts.iter().map(|alert| alert.finding.detector.chars().count()), width, style)
    }

    /// For detectors with names of these lengths.
    pub(super) fn with_detectors(names: impl Iterator<Item = usize>, width: Option<usize>, style: Style) -> Self {
        Self { detector: names.chain([HEAD[3].len()]).max().unwrap_or_default(), width, style }
    }

    pub(super) fn head(&self) -> String {
        let [window, lasts, severity, detector, id, title] = HEAD;
        let width = self.detector;
        format!("{window:<16}{GAP}{lasts:<LASTS$}{GAP}{severity:<8}{GAP}{detector:<width$}{GAP}{id:<ID$}{GAP}{title}\n")
    }

    pub(super) fn row(&self, alert: &Alert) -> String {
        let finding = &alert.finding;
        let window = finding.window_start.map_or_else(|| "-".to_owned(), minute);
        let lasts = finding.window_start.zip(finding.window_end).map_or_else(|| "-".to_owned(), lasts);
        let severity = self.style.severity(finding.severity);
        let (detector, width) = (clean(&finding.detector), self.detector);
        let id: String = clean(&finding.alert_id).chars().take(ID).collect();
        let margin = 16 + LASTS + 8 + self.detector + ID + 5 * GAP.len();
        let title = clean(&finding.title);
        let room = self.width.map_or(usize::MAX, |width| width.saturating_sub(margin).max(LEAST_TITLE));
        let mut text =
            format!("{window:<16}{GAP}{lasts:<LASTS$}{GAP}{severity}{GAP}{detector:<width$}{GAP}{id:<ID$}{GAP}");
        for (number, line) in wrapped(&title, room).into_iter().enumerate() {
            let margin = if number == 0 { 0 } else { margin };
            // writing to a text does not fail
            let _infallible = writeln!(text, "{:margin$}{line}", "");
        }
        text
    }
}

const HEAD: [&str; 6] = ["WINDOW (UTC)", "LASTS", "SEVERITY", "DETECTOR", "ID", "ALERT"];

/// Words in lines of this many characters; a longer word is cut.
pub(in crate::cli) fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let space = usize::from(used > 0);
            let Some(line) = lines.last_mut() else { break };
            if used + space + word.len() <= room {
                line.extend([' '].iter().take(space).chain(&word));
                used += space + word.len();
                break;
            }
            if used == 0 {
                let rest = word.split_off(room.min(word.len()));
                line.extend(&word);
                word = rest;
            }
            lines.push(String::new());
            used = 0;
        }
    }
    lines
}

/// A text of the lake as it may be shown: what is in it must not steer the terminal.
pub(in crate::cli) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// How long it is from one time to the other (milliseconds since 1970): `40m`, `5h`, `3d`.
fn lasts((start, end): (i64, i64)) -> String {
    let minutes = end.saturating_sub(start) / 60_000;
    match minutes {
        0..120 if minutes % 60 != 0 => format!("{minutes}m"),
        0..4320 => format!("{}h", minutes / 60),
        _ => format!("{}d", minutes / 1440),
    }
}

/// `2026-11-20 01:00`.
pub(in crate::cli) fn minute(millis: i64) -> String {
    second(millis).chars().take(16).collect()
}

/// `2026-11-20 01:00:00`.
fn second(millis: i64) -> String {
    utc(millis).trim_end_matches('Z').replace('T', " ")
}

/// Everything that is known of one alert.
pub(super) fn shown(alert: &Alert, lake: &str, style: &Style) -> String {
    let finding = &alert.finding;
    let mut text = format!("{}\n\n", style.bold(&clean(&finding.title)));
    let status = match alert.status {
        AlertStatus::New => "new".to_owned(),
        AlertStatus::Updated => format!("updated by later input (revision {})", alert.revision),
        AlertStatus::Closed => {
            format!("withdrawn (revision {}): no alert is made of it any more", alert.revision)
        }
    };
    let span = |first: Option<i64>, last: Option<i64>| {
        let (first, last) = (first.or(last)?, last.or(first)?);
        Some(format!("{} to {} UTC", second(first), second(last)))
    };
    let lines = [
        ("Id", Some(finding.alert_id.clone())),
        ("Status", Some(status)),
        ("Detector", Some(finding.detector.to_string())),
        ("Severity", Some(finding.severity.to_string())),
        ("Confidence", finding.confidence.map(|confidence| confidence.to_string())),
        ("Verdict", finding.verdict.map(|verdict| verdict.to_string())),
        ("Rule", finding.rule.clone()),
        ("Reason", finding.reason.clone()),
        ("Window", span(finding.window_start, finding.window_end)),
        ("Seen", span(finding.first_seen, finding.last_seen)),
        ("Client", end(finding.client_zone.as_deref(), finding.client_addr.as_deref(), None)),
        ("Server", end(finding.server_zone.as_deref(), finding.server_addr.as_deref(), finding.server_port)),
        ("Protocol", finding.protocol.map(protocol)),
        ("Traffic", Some(counts(alert))),
        ("ATT&CK", attack(alert)),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            // writing to a text does not fail
            let _infallible = writeln!(text, "{name:<12}{}", clean(&value));
        }
    }
    if !finding.evidence.is_empty() {
        let count = finding.evidence.len() as u64;
        let whole = if count == finding.flows { "its" } else { "its earliest" };
        let _infallible = writeln!(text, "\nEvidence    {whole} {}", plural(count, "row"));
        text.push_str(&evidence(&finding.evidence));
    }
    let view = format!(
        "CREATE OR REPLACE TEMP VIEW flows AS FROM read_parquet('{}/flows/**/*.parquet', hive_partitioning = true);",
        lake.replace('\'', "''")
    );
    let _infallible = writeln!(text, "\nIts rows, in DuckDB:\n{}\n{};", clean(&view), clean(&finding.query));
    text
}

/// `rds 10.0.100.20 port 5432`.
fn end(zone: Option<&str>, address: Option<&str>, port: Option<u16>) -> Option<String> {
    let port = port.map(|port| format!("port {port}"));
    let parts: Vec<&str> = [zone, address, port.as_deref()].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn protocol(number: u8) -> String {
    protocol_name(number).map_or_else(|| number.to_string(), |name| format!("{name} ({number})"))
}

fn counts(alert: &Alert) -> String {
    let finding = &alert.finding;
    let count = |number: Option<u64>, noun| number.map(|number| plural(number, noun));
    let parts = [
        Some(plural(finding.flows, "flow")),
        count(finding.conversations, "conversation"),
        count(finding.packets, "packet"),
        finding.bytes.map(|number| match number {
            0..1000 => bytes(number.into()),
            _ => format!("{} ({} bytes)", bytes(number.into()), grouped(number.into())),
        }),
        count(finding.distinct_ports.filter(|ports| *ports > 1), "port"),
        count(finding.distinct_servers.filter(|servers| *servers > 1), "server"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn attack(alert: &Alert) -> Option<String> {
    let found = technique(&alert.finding)?;
    let parts = [Some(found.tactic), found.technique, found.sub_technique].into_iter().flatten();
    Some(parts.map(|(id, name)| format!("{id} {name}")).collect::<Vec<_>>().join(" / "))
}

/// Rows of the log; the columns are as wide as what is in them. Objects have long names, so each is told once.
fn evidence(rows: &[Evidence]) -> String {
    let head = ["START (UTC)", "FROM", "TO", "PROTOCOL", "ACTION", "VERDICT", "LINE"].map(str::to_owned);
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let sources: BTreeSet<&str> = rows.iter().filter_map(|row| row.source.as_deref()).collect();
    let number = |source: &str| sources.iter().position(|known| *known == source).map(|place| place + 1);
    let cells = rows.iter().map(|row| {
        [
            or_none(row.start.map(second)),
            place(row.srcaddr.as_deref(), row.srcport),
            place(row.dstaddr.as_deref(), row.dstport),
            or_none(row.protocol.map(|number| protocol_name(number).map_or_else(|| number.to_string(), str::to_owned))),
            or_none(row.action.as_deref().map(clean)),
            or_none(row.verdict.as_deref().map(clean)),
            match row.source.as_deref().and_then(number) {
                Some(number) => format!("{} of [{number}]", row.line),
                None => row.line.to_string(),
            },
        ]
    });
    let table: Vec<[String; 7]> = [head].into_iter().chain(cells).collect();
    let widths: Vec<usize> = (0..7)
        .map(|column| table.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in &table {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join(GAP);
        let _infallible = writeln!(text, "{GAP}{}", line.trim_end());
    }
    for (number, source) in (1..).zip(&sources) {
        let _infallible = writeln!(text, "{GAP}[{number}] {}", clean(source));
    }
    text
}

/// `10.0.1.5:443`, `[2001:db8::1]:443`.
fn place(address: Option<&str>, port: Option<u16>) -> String {
    let Some(address) = address.map(clean) else { return "-".to_owned() };
    match port {
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_titles_go_on_in_the_next_line() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two three", usize::MAX), ["one two three"]);
        assert_eq!(wrapped("a 0123456789 b", 4), ["a", "0123", "4567", "89 b"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("zäune über öl", 5), ["zäune", "über", "öl"]);
    }

    #[test]
    fn what_a_log_says_does_not_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn how_long_a_window_lasts_is_told_in_its_unit() {
        let minutes = |minutes: i64| lasts((0, minutes * 60_000));
        let told = [10, 60, 90, 120, 150, 1440, 4319, 4320].map(minutes);
        assert_eq!(told, ["10m", "1h", "90m", "2h", "2h", "24h", "71h", "3d"]);
    }

    #[test]
    fn ends_are_written_as_they_are_dialled() {
        assert_eq!(place(Some("2001:db8::1"), Some(443)), "[2001:db8::1]:443");
        assert_eq!((place(Some("10.0.0.1"), None), place(None, Some(1))), ("10.0.0.1".to_owned(), "-".to_owned()));
    }
}
