//! An alert as an event of OCSF (schema.ocsf.io), class Detection Finding (2004), as of 1.6.0: the version that AWS
//! Security Hub formats findings in. What is unknown is left out; what OCSF has no attribute for is in `unmapped`.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::attack::{Technique, technique};
use super::json::evidence;
use super::{Direction, Home, protocol_name, utc};
use crate::boundary::{Confidence, Severity, Verdict};
use crate::detect::{Alert, AlertStatus, Evidence};

/// The version of the schema that the events say they are of.
const VERSION: &str = "1.6.0";
const CATEGORY: u32 = 2;
const CLASS: u32 = 2004;

/// The event.
pub fn to_ocsf(alert: &Alert, home: &Home) -> Value {
    let finding = &alert.finding;
    let (activity, activity_name, status, status_name) = match alert.status {
        AlertStatus::New => (1, "Create", 1, "New"),
        AlertStatus::Updated => (2, "Update", 1, "New"),
        // nothing is left of it
        AlertStatus::Closed => (3, "Close", 4, "Resolved"),
    };
    let (severity, severity_name) = match finding.severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    let (confidence, confidence_name) = match finding.confidence {
        Some(Confidence::Weak) => (1, "Low"),
        Some(Confidence::Strong) => (2, "Medium"),
        Some(Confidence::Certain) => (3, "High"),
        None => (0, "Unknown"),
    };
    let (action, disposition) = outcome(finding.verdict).unzip();
    let cloud = (home.account.is_some() || home.region.is_some()).then(|| {
        json!({
            "provider": "AWS",
            "account": home.account.as_ref().map(|id| json!({"uid": id, "type": "AWS Account", "type_id": 10})),
            "region": home.region,
        })
    });
    let profiles: Vec<&str> = ["security_control"].into_iter().chain(cloud.as_ref().map(|_| "cloud")).collect();
    let mut event = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + activity,
        "type_name": format!("Detection Finding: {activity_name}"),
        // an event has a time; an alert without any is of records that have none
        "time": finding.last_seen.or(finding.window_end).unwrap_or(0),
        "start_time": finding.first_seen,
        "end_time": finding.last_seen,
        "severity_id": severity,
        "severity": severity_name,
        "confidence_id": confidence,
        "confidence": confidence_name,
        "status_id": status,
        "status": status_name,
        "is_alert": true,
        "action_id": action,
        "disposition_id": disposition,
        "message": finding.title,
        "count": i32::try_from(finding.flows).ok(),
        "metadata": metadata(alert, &profiles),
        "cloud": cloud,
        "finding_info": finding_info(alert),
        "evidences": evidences(alert),
        "unmapped": unmapped(alert),
    });
    drop_nulls(&mut event);
    event
}

fn metadata(alert: &Alert, profiles: &[&str]) -> Value {
    json!({
        "version": VERSION,
        "uid": format!("{}:{}", alert.finding.alert_id, alert.revision),
        "event_code": alert.finding.detector,
        "product": {"name": "flowbound", "vendor_name": "flowbound", "version": env!("CARGO_PKG_VERSION")},
        "profiles": profiles,
    })
}

/// What OCSF has no attribute for.
fn unmapped(alert: &Alert) -> Value {
    let finding = &alert.finding;
    json!({
        "revision": alert.revision,
        "verdict": finding.verdict.map(|verdict| verdict.as_str()),
        "rule": finding.rule,
        "reason": finding.reason,
        "client_zone": finding.client_zone,
        "server_zone": finding.server_zone,
        "window_start": finding.window_start.map(utc),
        "window_end": finding.window_end.map(utc),
        "flows": finding.flows,
        "conversations": finding.conversations,
        "packets": finding.packets,
        "bytes": finding.bytes,
        "distinct_ports": finding.distinct_ports,
        "distinct_servers": finding.distinct_servers,
        "query": finding.query,
    })
}

/// What the boundary did: `action_id` and `disposition_id`.
fn outcome(verdict: Option<Verdict>) -> Option<(u8, u8)> {
    match verdict? {
        Verdict::Expected | Verdict::Breach | Verdict::Attempt => Some((1, 1)),
        Verdict::Blocked | Verdict::Outage | Verdict::Stray => Some((2, 2)),
        // nobody judged it, or there was nothing to let through
        Verdict::Unmapped | Verdict::NoData | Verdict::Gap => None,
    }
}

fn finding_info(alert: &Alert) -> Value {
    let finding = &alert.finding;
    let because = [&finding.rule, &finding.reason].into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
    json!({
        "uid": finding.alert_id,
        "title": finding.title,
        "desc": match because.as_slice() {
            [] => finding.title.clone(),
            because => format!("{} [{}]", finding.title, because.join("; ")),
        },
        "first_seen_time": finding.first_seen,
        "last_seen_time": finding.last_seen,
        "types": [finding.detector],
        "data_sources": ["AWS VPC Flow Logs"],
        // a rule: every detector counts, and compares with what the map or a threshold says
        "analytic": {"type_id": 1, "type": "Rule", "uid": finding.detector, "name": finding.detector},
        "attacks": technique(finding).map(|technique| [attack(&technique)]),
    })
}

fn attack(found: &Technique) -> Value {
    let link = |kind: &str, (uid, name): (&str, &str)| {
        let page = format!("https://attack.mitre.org/{kind}/{}", uid.replace('.', "/"));
        json!({"uid": uid, "name": name, "src_url": page})
    };
    json!({
        "tactic": link("tactics", found.tactic),
        "technique": found.technique.map(|technique| link("techniques", technique)),
        "sub_technique": found.sub_technique.map(|technique| link("techniques", technique)),
    })
}

/// First the connection that the alert is about, where it is about one; then rows of the log.
fn evidences(alert: &Alert) -> Vec<Value> {
    let finding = &alert.finding;
    let whole = (finding.client_addr.is_some() || finding.server_addr.is_some()).then(|| {
        let client = endpoint(finding.client_addr.as_deref(), None, finding.client_zone.as_deref());
        let server = endpoint(finding.server_addr.as_deref(), finding.server_port, finding.server_zone.as_deref());
        let addresses = [&finding.client_addr, &finding.server_addr];
        json!({
            "name": "connection",
            "src_endpoint": client,
            "dst_endpoint": server,
            "connection_info": connection(Direction::of(alert), finding.protocol, addresses),
            "data": {
                "flows": finding.flows,
                "conversations": finding.conversations,
                "packets": finding.packets,
                "bytes": finding.bytes,
            },
        })
    });
    whole.into_iter().chain(finding.evidence.iter().map(logged)).collect()
}

/// A row of the log: what came from where. Which way it went seen from the VPC, one row does not tell.
fn logged(row: &Evidence) -> Value {
    json!({
        "name": "flow log record",
        "uid": row.source.as_ref().map(|source| format!("{source}:{}", row.line)),
        "src_endpoint": endpoint(row.srcaddr.as_deref(), row.srcport, None),
        "dst_endpoint": endpoint(row.dstaddr.as_deref(), row.dstport, None),
        "connection_info": connection(Direction::Unknown, row.protocol, [&row.srcaddr, &row.dstaddr]),
        "data": evidence(row),
    })
}

/// Named by its address: a flow log knows no other name.
fn endpoint(address: Option<&str>, port: Option<u16>, zone: Option<&str>) -> Option<Value> {
    let address = address?;
    let ip = address.parse::<IpAddr>().ok().map(|_| address);
    Some(json!({"name": address, "ip": ip, "port": port, "zone": zone}))
}

fn connection(direction: Direction, protocol: Option<u8>, addresses: [&Option<String>; 2]) -> Value {
    let (direction_id, direction) = match direction {
        Direction::Unknown => (0, "Unknown"),
        Direction::Inbound => (1, "Inbound"),
        Direction::Outbound => (2, "Outbound"),
        Direction::Lateral => (3, "Lateral"),
    };
    let version = addresses.into_iter().flatten().find_map(|address| match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(_) => Some(4),
        IpAddr::V6(_) => Some(6),
    });
    json!({
        "direction_id": direction_id,
        "direction": direction,
        "protocol_num": protocol,
        "protocol_name": protocol.and_then(protocol_name),
        "protocol_ver_id": version,
    })
}

/// What is unknown is no attribute.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let kept = std::mem::take(members).into_iter().filter(|(_, value)| !value.is_null());
            *members = kept.collect::<Map<_, _>>();
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
