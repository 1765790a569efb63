//! An alert as a finding of AWS Security Hub, in its format ASFF of 2018-10-08, which `BatchImportFindings` takes.
//!
//! Lengths and counts are those of the format: longer texts are cut. What it has no attribute for is in
//! `ProductFields`.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::attack::technique;
use super::{Direction, protocol_name, utc};
use crate::boundary::Severity;
use crate::detect::{Alert, AlertStatus, Finding};

const VERSION: &str = "2018-10-08";
const TITLE: usize = 256;
const DESCRIPTION: usize = 1024;
const ID: usize = 512;
const FIELD: usize = 2048;

/// The finding, at home in this account and region.
pub fn to_asff(alert: &Alert, account: &str, region: &str) -> Value {
    let finding = &alert.finding;
    let partition = partition(region);
    let created = finding.window_start.or(finding.first_seen).unwrap_or(0);
    // The alert does not say when it was written: its window's end, and a millisecond more for every revision. So the
    // same revision is the same finding, however often it is imported, and a later one is newer.
    let updated = finding.window_end.unwrap_or(created).saturating_add(alert.revision.into());
    let (label, normalized) = match finding.severity {
        Severity::Info => ("INFORMATIONAL", 0),
        Severity::Low => ("LOW", 1),
        Severity::Medium => ("MEDIUM", 40),
        Severity::High => ("HIGH", 70),
        Severity::Critical => ("CRITICAL", 90),
    };
    let because = [("rule", &finding.rule), ("reason", &finding.reason)];
    let because = because.into_iter().filter_map(|(what, why)| Some(format!(" {what}: {}.", why.as_ref()?)));
    let mut asff = json!({
        "SchemaVersion": VERSION,
        "Id": cut(&format!("flowbound/{}", finding.alert_id), ID),
        "ProductArn": format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default"),
        "GeneratorId": cut(&format!("flowbound/{}", finding.detector), ID),
        "AwsAccountId": account,
        "Types": [kind(finding)],
        "CreatedAt": utc(created),
        "UpdatedAt": utc(updated.max(created)),
        "Severity": {"Label": label, "Normalized": normalized, "Original": finding.severity.as_str()},
        "Title": cut(&finding.title, TITLE),
        "Description": cut(&format!("{}.{}", finding.title, because.collect::<String>()), DESCRIPTION),
        "ProductFields": fields(alert),
        "Resources": [resource(finding, account, region, partition)],
        "RecordState": match alert.status {
            AlertStatus::New | AlertStatus::Updated => "ACTIVE",
            AlertStatus::Closed => "ARCHIVED",
        },
    });
    if let Some(members) = asff.as_object_mut() {
        let times = [("FirstObservedAt", finding.first_seen), ("LastObservedAt", finding.last_seen)];
        members.extend(times.into_iter().filter_map(|(name, time)| Some((name.to_owned(), utc(time?).into()))));
        if let Some(network) = network(alert) {
            members.insert("Network".to_owned(), network);
        }
    }
    asff
}

fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// A type of the format's taxonomy.
fn kind(finding: &Finding) -> String {
    match technique(finding).map(|technique| technique.tactic.1) {
        Some("Exfiltration") => "Effects/Data Exfiltration".to_owned(),
        Some(tactic @ ("Discovery" | "Credential Access" | "Command and Control")) => format!("TTPs/{tactic}"),
        _ => "Unusual Behaviors/Network Flow".to_owned(),
    }
}

/// What it happened to: the server, or the client, or what is known of the log. The alert knows addresses, and
/// Security Hub wants some id.
fn resource(finding: &Finding, account: &str, region: &str, partition: &str) -> Value {
    let address = finding.server_addr.as_ref().or(finding.client_addr.as_ref());
    let id = address.map_or_else(|| format!("AWS::::Account:{account}"), |address| format!("ip/{address}"));
    let kind = if address.is_some() { "Other" } else { "AwsAccount" };
    json!({"Type": kind, "Id": cut(&id, ID), "Partition": partition, "Region": region})
}

fn network(alert: &Alert) -> Option<Value> {
    let finding = &alert.finding;
    let mut members = Map::new();
    for (end, address) in [("Source", &finding.client_addr), ("Destination", &finding.server_addr)] {
        if let Some(address) = address.as_deref().and_then(|address| address.parse::<IpAddr>().ok()) {
            let version = if address.is_ipv4() { "IpV4" } else { "IpV6" };
            members.insert(format!("{end}{version}"), address.to_string().into());
        }
    }
    if members.is_empty() {
        return None;
    }
    match Direction::of(alert) {
        Direction::Inbound => members.insert("Direction".to_owned(), "IN".into()),
        Direction::Outbound => members.insert("Direction".to_owned(), "OUT".into()),
        Direction::Lateral | Direction::Unknown => None,
    };
    if let Some(port) = finding.server_port {
        members.insert("DestinationPort".to_owned(), port.into());
    }
    if let Some(protocol) = finding.protocol {
        let name = protocol_name(protocol).map_or_else(|| protocol.to_string(), str::to_uppercase);
        members.insert("Protocol".to_owned(), name.into());
    }
    Some(members.into())
}

/// Fewer than the fifty that may be.
fn fields(alert: &Alert) -> Value {
    let finding = &alert.finding;
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    let fields = [
        ("AlertId", Some(finding.alert_id.clone())),
        ("Revision", Some(alert.revision.to_string())),
        ("Confidence", finding.confidence.map(|confidence| confidence.as_str().to_owned())),
        ("Verdict", finding.verdict.map(|verdict| verdict.as_str().to_owned())),
        ("Rule", finding.rule.clone()),
        ("Reason", finding.reason.clone()),
        ("ClientZone", finding.client_zone.clone()),
        ("ServerZone", finding.server_zone.clone()),
        ("WindowStart", finding.window_start.map(utc)),
        ("WindowEnd", finding.window_end.map(utc)),
        ("Flows", number(Some(finding.flows))),
        ("Conversations", number(finding.conversations)),
        ("Packets", number(finding.packets)),
        ("Bytes", number(finding.bytes)),
        ("DistinctPorts", number(finding.distinct_ports)),
        ("DistinctServers", number(finding.distinct_servers)),
        (
            "Technique",
            technique(finding)
                .map(|found| found.sub_technique.or(found.technique).unwrap_or(found.tactic).0.to_owned()),
        ),
        ("Query", Some(finding.query.clone())),
    ];
    // the format takes no empty text
    let known = fields.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    known
        .map(|(name, value)| (format!("flowbound/{name}"), Value::from(cut(&value, FIELD))))
        .collect::<Map<_, _>>()
        .into()
}

/// At most so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
