//! A key and its tally as an alert that explains itself.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::detector::Detector;
use super::tally::{Evidence, Key, Tally};
use crate::boundary::{Confidence, Severity, Verdict};

/// What was found for one key in one window: an alert without its revision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// 32 hexadecimal digits; the same for the same traffic on every run.
    pub alert_id: String,
    /// Name of the detector.
    pub detector: &'static str,
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
    /// Verdict of every row.
    #[serde(serialize_with = "word")]
    pub verdict: Verdict,
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
}

fn word<S: serde::Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Finding {
    /// The finding of a tally. An empty tally makes the finding that withdraws an earlier one.
    pub fn new(detector: &dyn Detector, key: &Key, tally: &Tally) -> Self {
        let counted = key.server_addr.as_ref().map(|_| tally.counted_once());
        let reasons: Vec<&str> = tally.reasons.iter().map(String::as_str).collect();
        Self {
            alert_id: alert_id(detector, key),
            detector: detector.name(),
            severity: tally.severity(),
            confidence: tally.confidence(),
            title: if tally.flows == 0 {
                format!("no longer found: {}", detector.title(key, tally))
            } else {
                detector.title(key, tally)
            },
            first_seen: tally.first_seen,
            last_seen: tally.last_seen,
            window_start: key.window.0,
            window_end: key.window.end(),
            client_zone: key.client_zone.clone(),
            server_zone: key.server_zone.clone(),
            client_addr: key.client_addr.clone(),
            server_addr: key.server_addr.clone(),
            server_port: key.server_port,
            protocol: key.protocol,
            verdict: detector.verdict(),
            rule: key.rule.clone(),
            reason: if reasons.is_empty() { key.reason.clone() } else { Some(reasons.join(", ")) },
            flows: tally.flows,
            conversations: counted.map(|(conversations, ..)| conversations),
            packets: counted.map(|(_, packets, _)| packets),
            bytes: counted.map(|(.., bytes)| bytes),
            distinct_ports: key.server_port.map(|_| 1),
            distinct_servers: key.server_addr.as_ref().map(|_| 1),
            evidence: tally.evidence.iter().cloned().collect(),
            query: query(detector, key),
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

/// The rows of the key, as SQL. Every condition is one that [`Key`] or the detector made.
fn query(detector: &dyn Detector, key: &Key) -> String {
    let mut conditions = vec![format!("verdict = '{}'", detector.verdict())];
    let mut text = |column: &str, value: Option<&str>| {
        if let Some(value) = value {
            conditions.push(format!("{column} = '{}'", value.replace('\'', "''")));
        }
    };
    text("rule", key.rule.as_deref());
    text("reason", key.reason.as_deref());
    text("client_zone", key.client_zone.as_deref());
    text("server_zone", key.server_zone.as_deref());
    text("client_addr", key.client_addr.as_deref());
    text("server_addr", key.server_addr.as_deref());
    if key.rule.is_none() {
        conditions.push("rule IS NULL".to_owned());
    }
    if key.server_addr.is_some() {
        // a key with a server has its port and protocol too, or rows without them
        let exact = |column: &str, value: Option<u32>| match value {
            Some(value) => format!("{column} = {value}"),
            None => format!("{column} IS NULL"),
        };
        conditions.push(exact("server_port", key.server_port.map(u32::from)));
        conditions.push(exact("protocol", key.protocol.map(u32::from)));
    }
    let time = "coalesce(\"end\", start)";
    match (key.window.0, key.window.end()) {
        (Some(start), Some(end)) => {
            conditions.push(format!("{time} >= epoch_ms({start})"));
            conditions.push(format!("{time} < epoch_ms({end})"));
        }
        _ => conditions.push(format!("{time} IS NULL")),
    }
    format!("SELECT * FROM flows WHERE {} ORDER BY start, source, line", conditions.join(" AND "))
}
