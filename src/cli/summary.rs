//! The summary of a replay: a screen for a person, or one JSON object.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use super::alerts::clean;
use crate::alert::utc;
use crate::boundary::{Boundary, Severity};
use crate::detect::AllowUse;
use crate::pipeline::{AlertLine, Alerts, Summary};

/// Alerts that the screen shows.
const TOP: usize = 8;

/// Bold and colors, where they are shown.
pub(super) struct Style {
    pub(super) color: bool,
}

impl Style {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn severity(&self, severity: Severity) -> String {
        let text = format!("{severity:<8}");
        match severity {
            Severity::Critical => self.paint("1;31", &text),
            Severity::High => self.paint("31", &text),
            Severity::Medium => self.paint("33", &text),
            Severity::Low | Severity::Info => text,
        }
    }
}

/// The screen.
pub(super) fn render_text(summary: &Summary, lake: &str, boundary: Option<&Boundary>, color: bool) -> String {
    let style = Style { color };
    let mut text = String::new();
    // writing to a String cannot fail
    let _infallible = write_text(&mut text, summary, lake, boundary, &style);
    text
}

fn write_text(
    out: &mut String,
    summary: &Summary,
    lake: &str,
    boundary: Option<&Boundary>,
    style: &Style,
) -> std::fmt::Result {
    write_head(out, summary, style)?;
    writeln!(out)?;
    writeln!(out, "Map       {}", boundary.map_or("none: records are kept, not judged".to_owned(), map_line))?;
    if summary.objects > 0 {
        write_records(out, summary)?;
    }
    if summary.lines > 0 && summary.rows == 0 {
        writeln!(
            out,
            "No line is a record. A log without a header line needs --log-format with the names of its fields."
        )?;
    }
    for fault in &summary.faults {
        let kept = plural(fault.lines, "line");
        writeln!(
            out,
            "{} {}: {} ({kept} before the fault kept)",
            style.paint("31", "Cut short"),
            fault.uri,
            fault.fault
        )?;
    }
    for skipped in &summary.skipped {
        writeln!(out, "{} {}: {}", style.paint("31", "Not read "), skipped.uri, skipped.why)?;
    }
    write_alerts(out, &summary.alerts, style)?;
    if summary.alerts.cut > 0 {
        let groups = plural(summary.alerts.cut, "group");
        writeln!(out, "Cut       {groups} with more members than are kept: who was left out has no alert")?;
    }
    write_allowed(out, &summary.alerts.allow)?;
    write_deliveries(out, summary, style)?;
    writeln!(out)?;
    let written =
        if summary.files == 0 { String::new() } else { format!(" ({} written)", plural(summary.files, "file")) };
    writeln!(out, "Lake      {lake}{written}")?;
    if summary.quarantined_lines() + summary.known_quarantined > 0 {
        writeln!(out, "          {lake}/quarantine has each line that is no record, with its place and the reason")?;
    }
    let lake = shell_quoted(&format!("SET VARIABLE lake = '{}'", lake.replace('\'', "''")));
    writeln!(out, "Look at   duckdb -cmd {lake} -cmd '.read queries/views.sql' -f queries/alerts_overview.sql")
}

fn write_head(out: &mut String, summary: &Summary, style: &Style) -> std::fmt::Result {
    let seconds = summary.elapsed.as_secs_f64();
    let before = match (summary.known_quarantined, summary.known_faults) {
        (0, 0) => String::new(),
        (lines, faults) => {
            format!(" ({} of it in quarantine, {} cut short)", plural(lines, "line"), plural(faults, "file"))
        }
    };
    if summary.objects == 0 {
        return match summary.known {
            0 => writeln!(out, "Nothing was read."),
            known => writeln!(out, "Nothing new: the lake has {} of the input already{before}.", plural(known, "file")),
        };
    }
    let known = match summary.known {
        0 => String::new(),
        known => format!(" ({} were in the lake already{before})", grouped(known.into())),
    };
    writeln!(
        out,
        "Replayed {} of {}{known} in {seconds:.1} s: {} lines/s, {}/s of log text",
        style.bold(&plural(summary.lines, "line")),
        plural(summary.objects, "file"),
        grouped(rate(summary.lines.into(), seconds)),
        bytes(rate(summary.decoded_bytes.into(), seconds)),
    )?;
    match summary.drawn_in {
        0 => Ok(()),
        files => writeln!(
            out,
            "{} outside of the input shared a commit with it and were judged again too",
            plural(files, "file")
        ),
    }
}

/// `artos 0f16cd2433b1, env production, all modes`.
fn map_line(boundary: &Boundary) -> String {
    let (map, selected) = (boundary.map(), boundary.selection());
    let hash = map.sha256.get(..12).unwrap_or_default();
    let part = |name: &str, value: &Option<String>| value.as_ref().map_or(String::new(), |v| format!(", {name} {v}"));
    format!("{} {hash}{}{}", map.name, part("env", &selected.env), part("mode", &selected.mode))
}

/// A word of a POSIX shell, whatever is in it.
fn shell_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '\\' | '"' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

fn write_records(out: &mut String, summary: &Summary) -> std::fmt::Result {
    writeln!(
        out,
        "Traffic   {} packets, {} of traffic in {} rows",
        grouped(summary.packets),
        bytes(summary.bytes),
        grouped(summary.rows.into())
    )?;
    let mut label = "Verdicts";
    for (verdict, count) in &summary.verdicts {
        let share = *count as f64 * 100.0 / summary.rows.max(1) as f64;
        writeln!(out, "{label:<9} {verdict:<10} {:>14}  {share:>5.1} %", grouped((*count).into()))?;
        label = "";
    }
    let mut label = "Not read";
    for (reason, count) in &summary.quarantined {
        writeln!(out, "{label:<9} {reason:<12} {:>12}  (in quarantine)", grouped((*count).into()))?;
        label = "";
    }
    Ok(())
}

fn write_alerts(out: &mut String, alerts: &Alerts, style: &Style) -> std::fmt::Result {
    writeln!(out)?;
    let withdrawn = match alerts.withdrawn {
        0 => String::new(),
        count => format!("; {} no longer found", grouped(count.into())),
    };
    if alerts.count() == 0 {
        return writeln!(out, "Alerts    none new{withdrawn}");
    }
    let counts: Vec<String> =
        alerts.by_severity.iter().rev().map(|(severity, count)| format!("{count} {severity}")).collect();
    let total = style.bold(&grouped(alerts.count().into()));
    writeln!(out, "Alerts    {total} new or changed: {}{withdrawn}", counts.join(", "))?;
    let folded = folded(&alerts.worst);
    for (alert, times) in folded.iter().take(TOP) {
        let hour = alert.window_start.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let hour = hour.map_or("no time".to_owned(), |hour| hour.strftime("%Y-%m-%d %H:%M").to_string());
        let again = if *times > 1 { format!(" ({times} times)") } else { String::new() };
        writeln!(out, "  {} {:<8} {hour}  {}{again}", style.severity(alert.severity), alert.detector, alert.title)?;
    }
    match folded.len().saturating_sub(TOP) {
        0 => Ok(()),
        more => writeln!(out, "  … and {more} more"),
    }
}

fn write_deliveries(out: &mut String, summary: &Summary, style: &Style) -> std::fmt::Result {
    for delivery in &summary.deliveries {
        let alerts = plural(delivery.delivered, "alert");
        writeln!(out, "Delivered {alerts} to {}", delivery.sink)?;
        if let Some(why) = &delivery.failure {
            let behind = plural(delivery.behind, "commit");
            writeln!(out, "{} {}: {behind} left: {why}", style.paint("31", "Not delivered"), delivery.sink)?;
        }
    }
    Ok(())
}

/// What became of the entries of the allow-list.
pub(super) fn write_allowed(out: &mut impl std::fmt::Write, allow: &[AllowUse]) -> std::fmt::Result {
    let mut label = "Allowed";
    for AllowUse { entry, allowed, expired } in allow {
        let until = entry.until.map(utc).unwrap_or_default();
        let but = match (allowed, expired) {
            (0, 0) => " (nothing here is what it asks for)".to_owned(),
            (_, 0) => String::new(),
            (_, expired) => format!(" (expired {until}; {} after that)", grouped((*expired).into())),
        };
        writeln!(out, "{label:<9} {}: {}{but}", plural(*allowed, "finding"), clean(&entry.reason))?;
        label = "";
    }
    Ok(())
}

/// Those as JSON.
pub(super) fn allowed_json(allow: &[AllowUse]) -> Vec<serde_json::Value> {
    let one = |AllowUse { entry, allowed, expired }: &AllowUse| json!({"reason": entry.reason, "until": entry.until.map(utc), "allowed": allowed, "expired": expired});
    allow.iter().map(one).collect()
}

/// The alerts, the worst and newest first; the same one in several windows is one line, with their number.
fn folded(alerts: &[AlertLine]) -> Vec<(&AlertLine, usize)> {
    let mut by_title: BTreeMap<(&str, &str), (&AlertLine, usize)> = BTreeMap::new();
    for alert in alerts {
        let (last, times) = by_title.entry((&*alert.detector, &*alert.title)).or_insert((alert, 0));
        *times += 1;
        if alert.window_start > last.window_start {
            *last = alert;
        }
    }
    let mut lines: Vec<_> = by_title.into_values().collect();
    lines.sort_by(|(a, _), (b, _)| a.worst_first(b));
    lines
}

/// The summary as a JSON object; sums are text, since they may pass what JSON readers hold.
pub(super) fn render_json(summary: &Summary, lake: &str) -> String {
    let by_severity: serde_json::Map<_, _> =
        summary.alerts.by_severity.iter().map(|(severity, count)| (severity.to_string(), json!(count))).collect();
    let mut worst: Vec<_> = summary.alerts.worst.iter().collect();
    worst.sort_by(|a, b| a.worst_first(b));
    json!({
        "lake": lake,
        "objects": summary.objects,
        "known_objects": summary.known,
        "known_quarantined": summary.known_quarantined,
        "known_faults": summary.known_faults,
        "drawn_in": summary.drawn_in,
        "skipped": summary.skipped,
        "lines": summary.lines,
        "rows": summary.rows,
        "quarantined": summary.quarantined_lines(),
        "quarantined_by_reason": summary.quarantined,
        "verdicts": summary.verdicts,
        "packets": summary.packets.to_string(),
        "bytes": summary.bytes.to_string(),
        "read_bytes": summary.read_bytes,
        "decoded_bytes": summary.decoded_bytes,
        "alerts": summary.alerts.count(),
        "alerts_by_severity": by_severity,
        "alerts_withdrawn": summary.alerts.withdrawn,
        "cut_groups": summary.alerts.cut,
        "worst_alerts": worst,
        "deliveries": summary.deliveries,
        "allow": allowed_json(&summary.alerts.allow),
        "faults": summary.faults,
        "files": summary.files,
        "seconds": summary.elapsed.as_secs_f64(),
    })
    .to_string()
}

fn rate(amount: u128, seconds: f64) -> u128 {
    (amount as f64 / seconds.max(1e-3)) as u128
}

pub(super) fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count.into()), if count == 1 { "" } else { "s" })
}

/// `1,234,567`.
pub(super) fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.2 GB`, in powers of 1000 as network people count.
pub(super) fn bytes(number: u128) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(999_960), "1.0 MB");
        assert_eq!(bytes(1_500_000_000), "1.5 GB");
    }
}
