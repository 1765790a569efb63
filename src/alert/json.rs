//! The columns of the table `alerts` as one JSON object, times in words.

use serde_json::{Value, json};

use super::utc;
use crate::detect::{Alert, Evidence};

/// The alert with the table's columns as its keys, in their order.
pub fn to_json(alert: &Alert) -> Value {
    let finding = &alert.finding;
    json!({
        "alert_id": finding.alert_id,
        "revision": alert.revision,
        "status": alert.status.as_str(),
        "detector": finding.detector,
        "severity": finding.severity.as_str(),
        "confidence": finding.confidence.map(|confidence| confidence.as_str()),
        "title": finding.title,
        "first_seen": finding.first_seen.map(utc),
        "last_seen": finding.last_seen.map(utc),
        "window_start": finding.window_start.map(utc),
        "window_end": finding.window_end.map(utc),
        "client_zone": finding.client_zone,
        "server_zone": finding.server_zone,
        "client_addr": finding.client_addr,
        "server_addr": finding.server_addr,
        "server_port": finding.server_port,
        "protocol": finding.protocol,
        "verdict": finding.verdict.map(|verdict| verdict.as_str()),
        "rule": finding.rule,
        "reason": finding.reason,
        "flows": finding.flows,
        "conversations": finding.conversations,
        "packets": finding.packets,
        "bytes": finding.bytes,
        "distinct_ports": finding.distinct_ports,
        "distinct_servers": finding.distinct_servers,
        "evidence": finding.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "query": finding.query,
    })
}

/// A row of `flows` with the keys that it has in the column `evidence`.
pub(super) fn evidence(row: &Evidence) -> Value {
    json!({
        "start": row.start.map(utc),
        "srcaddr": row.srcaddr,
        "srcport": row.srcport,
        "dstaddr": row.dstaddr,
        "dstport": row.dstport,
        "protocol": row.protocol,
        "action": row.action,
        "verdict": row.verdict,
        "source": row.source,
        "line": row.line,
    })
}
