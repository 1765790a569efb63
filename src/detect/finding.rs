//! A key and its tally as an alert that explains itself.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::detector::{Counter, Detector};
use super::tally::{Evidence, Key, Tally};
use crate::boundary::{Confidence, Severity, Verdict};

/// What was found for one key in one window: an alert without its revision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// 32 hexadecimal digits; the same for the same traffic on every run.
    pub alert_id: String,
    /// Name of the detector; one read from a lake may be of another version.
    pub detector: Cow<'static, str>,
    /// The highest of its rows.
    #[serde(serialize_with = "word")]
    pub severity: Severity,
    /// The best of its rows.
    #[serde(skip)]
    pub confidence: Option<Confidence>,
    /// What happened, in one sentence.
    pub title: String,
    /// Earliest start (milliseconds since 1970).
    pub first_seen: Option<i64>,
    /// Latest end (milliseconds since 1970).
    pub last_seen: Option<i64>,
    /// The window.
    pub window_start: Option<i64>,
    /// First moment after the window.
    pub window_end: Option<i64>,
    /// Zone of the client, where the detector asks who.
    pub client_zone: Option<String>,
    /// Zone of the server.
    pub server_zone: Option<String>,
    /// The client, where the detector asks who.
    pub client_addr: Option<String>,
    /// The server.
    pub server_addr: Option<String>,
    /// Its port.
    pub server_port: Option<u16>,
    /// IANA protocol number.
    pub protocol: Option<u8>,
    /// Verdict of every row; `None` where they have several.
    #[serde(serialize_with = "optional_word")]
    pub verdict: Option<Verdict>,
    /// Grants or invariant that every row names.
    pub rule: Option<String>,
    /// Reasons of the rows, joined by ", ".
    pub reason: Option<String>,
    /// Rows in `flows`.
    pub flows: u64,
    /// Conversations, both interfaces' copies counted once; `None` for detectors that do not ask who talks.
    pub conversations: Option<u64>,
    /// Packets, likewise.
    pub packets: Option<u64>,
    /// Bytes, likewise.
    pub bytes: Option<u64>,
    /// Ports of servers; `None` for detectors that do not ask.
    pub distinct_ports: Option<u64>,
    /// Servers; likewise.
    pub distinct_servers: Option<u64>,
    /// Up to ten rows.
    pub evidence: Vec<Evidence>,
    /// DuckDB SQL over the view `flows` that returns exactly the rows.
    pub query: String,
    /// What it is about where no column says it, as an interface: part of the alert's key, and not in the lake.
    #[serde(skip)]
    pub subject: Option<String>,
}

fn word<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn optional_word<S: serde::Serializer>(value: &Option<Verdict>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

impl Finding {
    /// Nothing of this key yet.
    pub(super) fn empty(detector: &dyn Detector, key: &Key, end: Option<i64>, query: String) -> Self {
        Self {
            alert_id: alert_id(detector, key),
            detector: detector.name().into(),
            severity: Severity::Info,
            confidence: None,
            title: String::new(),
            first_seen: None,
            last_seen: None,
            window_start: key.window.0,
            window_end: end,
            client_zone: key.client_zone.clone(),
            server_zone: key.server_zone.clone(),
            client_addr: key.client_addr.clone(),
            server_addr: key.server_addr.clone(),
            server_port: key.server_port,
            protocol: key.protocol,
            verdict: None,
            rule: key.rule.clone(),
            reason: key.reason.clone(),
            flows: 0,
            conversations: None,
            packets: None,
            bytes: None,
            distinct_ports: None,
            distinct_servers: None,
            evidence: Vec::new(),
            query,
            subject: key.reason.clone(),
        }
    }

    /// The finding of a tally, of an alert with this key that lasts until `end`. An empty tally makes the finding that
    /// withdraws an earlier one.
    pub fn of_tally(detector: &dyn Counter, key: &Key, end: Option<i64>, tally: &Tally) -> Self {
        let counted = key.server_addr.as_ref().map(|_| tally.counted_once());
        let reasons: Vec<&str> = tally.reasons.iter().map(String::as_str).collect();
        let title = detector.title(key, tally);
        Self {
            severity: detector.severity(tally),
            confidence: tally.confidence(),
            title: if tally.flows == 0 { format!("no longer found: {title}") } else { title },
            first_seen: tally.first_seen,
            last_seen: tally.last_seen,
            verdict: Some(detector.verdict()),
            reason: if reasons.is_empty() { key.reason.clone() } else { Some(reasons.join(", ")) },
            flows: tally.flows,
            conversations: counted.map(|(conversations, ..)| conversations),
            packets: counted.map(|(_, packets, _)| packets),
            bytes: counted.map(|(.., bytes)| bytes),
            distinct_ports: key.server_port.map(|_| 1),
            distinct_servers: key.server_addr.as_ref().map(|_| 1),
            evidence: tally.evidence.iter().cloned().collect(),
            ..Self::empty(detector, key, end, query(detector, key, end))
        }
    }

    /// A short digest of the content: a changed digest is a new revision.
    pub fn digest(&self) -> String {
        // plain data always has a JSON form
        hex(&Sha256::digest(serde_json::to_vec(self).unwrap_or_default()), 16)
    }
}

fn hex(bytes: &[u8], take: usize) -> String {
    bytes.iter().take(take).fold(String::with_capacity(take * 2), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 over detector, its version, key and window, each with its length before it, cut to 128 bits.
fn alert_id(detector: &dyn Detector, key: &Key) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: Option<&str>| {
        hash.update(text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
        hash.update(text.unwrap_or_default());
    };
    part(Some(detector.name()));
    part(Some(&detector.version().to_string()));
    part(key.rule.as_deref());
    part(key.reason.as_deref());
    part(key.client_zone.as_deref());
    part(key.server_zone.as_deref());
    part(key.client_addr.as_deref());
    part(key.server_addr.as_deref());
    part(key.server_port.map(|port| port.to_string()).as_deref());
    part(key.protocol.map(|protocol| protocol.to_string()).as_deref());
    part(key.window.0.map(|window| window.to_string()).as_deref());
    hex(&hash.finalize(), 16)
}

/// The packet's own source. That it is the client's is what tells which way a record goes: where nobody knows who
/// connected, the client may be either end.
pub(super) const SOURCE: &str = "coalesce(pkt_srcaddr, srcaddr)";
/// Its zone.
pub(super) const SOURCE_ZONE: &str =
    "if(client_addr = coalesce(pkt_srcaddr, srcaddr) AND orientation <> 'reply', client_zone, server_zone)";
/// The zone that it goes to.
pub(super) const DESTINATION_ZONE: &str =
    "if(client_addr = coalesce(pkt_srcaddr, srcaddr) AND orientation <> 'reply', server_zone, client_zone)";

/// DuckDB SQL over the view `flows` in the making: rows that meet every condition.
pub(super) struct Query(Vec<String>);

impl Query {
    /// Rows with one of these verdicts.
    pub(super) fn new(verdicts: &[Verdict]) -> Self {
        Self(vec![match verdicts {
            [verdict] => format!("verdict = '{verdict}'"),
            verdicts => {
                let verdicts: Vec<String> = verdicts.iter().map(|verdict| format!("'{verdict}'")).collect();
                format!("verdict IN ({})", verdicts.join(", "))
            }
        }])
    }

    /// All rows, for now.
    pub(super) fn everything() -> Self {
        Self(Vec::new())
    }

    /// The expression is one of these texts.
    pub(super) fn one_of(&mut self, expression: &str, values: &[impl AsRef<str>]) {
        match values {
            [one] => self.text(expression, Some(one.as_ref())),
            several => {
                let texts: Vec<String> =
                    several.iter().map(|text| format!("'{}'", text.as_ref().replace('\'', "''"))).collect();
                self.0.push(format!("{expression} IN ({})", texts.join(", ")));
            }
        }
    }

    /// Adds a condition.
    pub(super) fn and(&mut self, condition: &str) {
        self.0.push(condition.to_owned());
    }

    /// The expression is this text, if there is one.
    pub(super) fn text(&mut self, expression: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.0.push(format!("{expression} = '{}'", value.replace('\'', "''")));
        }
    }

    /// The column is this number, if there is one.
    pub(super) fn number(&mut self, column: &str, value: Option<u32>) {
        if let Some(value) = value {
            self.0.push(format!("{column} = {value}"));
        }
    }

    /// Event time is in the window; there is none where the window has none.
    pub(super) fn within(&mut self, start: Option<i64>, end: Option<i64>) {
        let time = "coalesce(\"end\", start)";
        match (start, end) {
            (Some(start), Some(end)) => {
                self.0.push(format!("{time} >= epoch_ms({start})"));
                self.0.push(format!("{time} < epoch_ms({end})"));
            }
            _ => self.0.push(format!("{time} IS NULL")),
        }
    }

    /// The statement.
    pub(super) fn finish(self) -> String {
        format!("SELECT * FROM flows WHERE {} ORDER BY start, source, line", self.0.join(" AND "))
    }
}

/// The rows of an alert's key.
fn query(detector: &dyn Counter, key: &Key, end: Option<i64>) -> String {
    let mut query = Query::new(&[detector.verdict()]);
    query.text("rule", key.rule.as_deref());
    query.text("reason", key.reason.as_deref());
    query.text("client_zone", key.client_zone.as_deref());
    query.text("server_zone", key.server_zone.as_deref());
    query.text("client_addr", key.client_addr.as_deref());
    query.text("server_addr", key.server_addr.as_deref());
    if key.rule.is_none() && detector.by_cause() {
        query.and("rule IS NULL");
    }
    if key.server_addr.is_some() {
        // a key with a server has its port and protocol too, or rows without them
        for (column, value) in
            [("server_port", key.server_port.map(u32::from)), ("protocol", key.protocol.map(u32::from))]
        {
            match value {
                Some(_) => query.number(column, value),
                None => query.and(&format!("{column} IS NULL")),
            }
        }
    }
    detector.conditions().iter().for_each(|condition| query.and(condition));
    query.within(key.window.0, end);
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{Window, counter};

    /// The digest is over this text: a lake knows the digests of its alerts, and a change makes new revisions of all.
    #[test]
    fn the_form_behind_the_digest_stays() {
        let log_gap = counter("log-gap").unwrap();
        let key = Key { reason: Some("skipped".to_owned()), ..Key::bare(Window(Some(3_600_000)), "log-gap") };
        let finding = Finding::of_tally(log_gap, &key, Some(7_200_000), &Tally::new(Verdict::Gap));
        assert_eq!(
            serde_json::to_string(&Finding { query: "Q".to_owned(), ..finding }).unwrap(),
            r#"{"alert_id":"06d1f41fb9bf1a656179af6a330fadda","detector":"log-gap","severity":"info","title":"no longer found: flow logs have gaps: AWS skipped data 0 times","first_seen":null,"last_seen":null,"window_start":3600000,"window_end":7200000,"client_zone":null,"server_zone":null,"client_addr":null,"server_addr":null,"server_port":null,"protocol":null,"verdict":"gap","rule":null,"reason":"skipped","flows":0,"conversations":null,"packets":null,"bytes":null,"distinct_ports":null,"distinct_servers":null,"evidence":[],"query":"Q"}"#
        );
    }
}
