//! Events of every detector and edge against the schema; limits of ASFF.

mod validator;

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use self::validator::Schema;
use super::*;
use crate::boundary::{Confidence, Severity, Verdict};
use crate::detect::{AlertStatus, Evidence, Finding, detector_names};

const HOUR: i64 = 1_795_136_400_000;
static SCHEMAS: LazyLock<[Schema; 2]> = LazyLock::new(Schema::all);
const CLASS: &str = "detection_finding";
/// Detectors that have a technique, whether this version has them or not.
const TECHNIQUES: &[&str] = &["scan.vertical", "scan.horizontal", "scan.slow", "brute-force", "exfiltration", "beacon"];

fn row(line: i64) -> Evidence {
    Evidence {
        start: Some(HOUR + 1000),
        source: Some("s3://logs/it's \"quoted\".gz".to_owned()),
        line,
        srcaddr: Some("10.0.1.5".to_owned()),
        srcport: Some(49_152),
        dstaddr: Some("10.0.2.9".to_owned()),
        dstport: Some(5432),
        protocol: Some(6),
        action: Some("ACCEPT".to_owned()),
        verdict: Some("breach".to_owned()),
    }
}

pub(super) fn alert(detector: &str) -> Alert {
    let text = |text: &str| Some(text.to_owned());
    let finding = Finding {
        alert_id: "0123456789abcdef0123456789abcdef".to_owned(),
        detector: detector.to_owned().into(),
        severity: Severity::High,
        confidence: Some(Confidence::Strong),
        title: "app 10.0.1.5 was let through to db 10.0.2.9:5432/tcp, which \"db\" forbids".to_owned(),
        first_seen: Some(HOUR + 1000),
        last_seen: Some(HOUR + 59_000),
        window_start: Some(HOUR),
        window_end: Some(HOUR + 3_600_000),
        client_zone: text("app"),
        server_zone: text("db"),
        client_addr: text("10.0.1.5"),
        server_addr: text("10.0.2.9"),
        server_port: Some(5432),
        protocol: Some(6),
        verdict: Some(Verdict::Breach),
        rule: text("db-isolated"),
        reason: text("forbidden:db-isolated"),
        flows: 3,
        conversations: Some(1),
        packets: Some(30),
        bytes: Some(u64::MAX),
        distinct_ports: Some(1),
        distinct_servers: Some(1),
        evidence: vec![row(1), row(2)],
        query: "SELECT * FROM flows WHERE rule = 'db''s'".to_owned(),
        subject: None,
    };
    Alert { revision: 0, status: AlertStatus::New, finding }
}

fn with(change: impl FnOnce(&mut Finding)) -> Alert {
    let mut alert = alert("breach");
    change(&mut alert.finding);
    alert
}

/// An alert that knows nothing but what every alert has.
fn bare() -> Alert {
    with(|finding| {
        *finding = Finding {
            confidence: None,
            first_seen: None,
            last_seen: None,
            window_start: None,
            window_end: None,
            client_zone: None,
            server_zone: None,
            client_addr: None,
            server_addr: None,
            server_port: None,
            protocol: None,
            verdict: None,
            rule: None,
            reason: None,
            conversations: None,
            packets: None,
            bytes: None,
            distinct_ports: None,
            distinct_servers: None,
            evidence: Vec::new(),
            ..finding.clone()
        };
    })
}

fn edges() -> Vec<Alert> {
    let ipv6 = with(|finding| {
        finding.client_addr = Some("2001:db8::1".to_owned());
        finding.server_addr = Some("2001:DB8:0::2".to_owned());
        finding.client_zone = Some("internet".to_owned());
        finding.protocol = Some(58);
        finding.evidence[0].srcaddr = Some("2001:db8::1".to_owned());
        finding.evidence[1] = Evidence {
            start: None,
            source: None,
            line: 0,
            srcaddr: None,
            srcport: None,
            dstaddr: None,
            dstport: None,
            protocol: None,
            action: None,
            verdict: None,
        };
    });
    let no_client = with(|finding| (finding.client_addr, finding.client_zone) = (None, None));
    let no_server = with(|finding| {
        (finding.server_addr, finding.server_zone, finding.server_port) = (None, None, None);
        finding.protocol = None;
    });
    let odd = with(|finding| {
        finding.client_addr = Some("no address".to_owned());
        finding.title = "\"quotes\" \\ and \u{7} and 𝄞".to_owned();
        finding.flows = u64::MAX;
    });
    let closed = Alert { revision: 7, status: AlertStatus::Closed, ..with(|finding| finding.flows = 0) };
    let updated = Alert { revision: 1, status: AlertStatus::Updated, ..alert("outage") };
    let mut edges = vec![bare(), ipv6, no_client, no_server, odd, closed, updated];
    edges.extend(detector_names().map(alert));
    for detector in TECHNIQUES {
        for zone in ["app", "internet", "special"] {
            let mut alert = alert(detector);
            alert.finding.client_zone = Some(zone.to_owned());
            edges.push(alert);
        }
    }
    edges.extend(Severity::ALL.iter().map(|severity| with(|finding| finding.severity = *severity)));
    edges.extend(Verdict::ALL.iter().map(|verdict| with(|finding| finding.verdict = Some(*verdict))));
    edges.extend(Confidence::ALL.iter().map(|confidence| with(|finding| finding.confidence = Some(*confidence))));
    edges
}

fn homes() -> [Home; 3] {
    let (account, region) = (Some("123456789012".to_owned()), Some("eu-west-1".to_owned()));
    [Home::default(), Home { account: account.clone(), region: region.clone() }, Home { account: None, region }]
}

#[test]
fn every_event_is_as_ocsf_has_it() {
    for schema in &*SCHEMAS {
        for alert in edges() {
            for home in homes() {
                let event = to_ocsf(&alert, &home);
                let problems = schema.problems(CLASS, &event);
                assert!(problems.is_empty(), "{}: {problems:#?} in {event:#}", schema.version());
            }
        }
    }
}

#[test]
fn an_event_says_what_the_alert_does() {
    let event = to_ocsf(&alert("breach"), &Home::default());
    let at = |place: &str| event.pointer(place).cloned().unwrap_or_default();
    assert_eq!(at("/type_uid"), 200_401);
    assert_eq!((at("/severity_id"), at("/confidence_id"), at("/status_id")), (4.into(), 2.into(), 1.into()));
    assert_eq!((at("/action_id"), at("/disposition_id")), (1.into(), 1.into()));
    assert_eq!(at("/time"), HOUR + 59_000);
    assert_eq!(at("/finding_info/uid"), "0123456789abcdef0123456789abcdef");
    assert_eq!(at("/finding_info/analytic/uid"), "breach");
    assert_eq!(at("/finding_info/attacks"), Value::Null);
    assert_eq!(
        at("/evidences/0/dst_endpoint"),
        json!({"name": "10.0.2.9", "ip": "10.0.2.9", "port": 5432, "zone": "db"})
    );
    assert_eq!(at("/evidences/0/connection_info/direction"), "Lateral");
    assert_eq!(at("/evidences/2/data/line"), 2);
    assert_eq!(at("/unmapped/query"), "SELECT * FROM flows WHERE rule = 'db''s'");
    assert_eq!(at("/cloud"), Value::Null);
    let closed = Alert { status: AlertStatus::Closed, ..alert("breach") };
    let event = to_ocsf(&closed, &homes()[1]);
    assert_eq!((&event["activity_id"], &event["status_id"]), (&3.into(), &4.into()));
    assert_eq!(event["cloud"]["account"]["uid"], "123456789012");
    assert_eq!(to_ocsf(&bare(), &Home::default())["time"], 0);
}

#[test]
fn techniques_are_named_where_one_fits() {
    let of = |detector: &str, zone: Option<&str>| {
        let mut alert = alert(detector);
        alert.finding.client_zone = zone.map(str::to_owned);
        technique(&alert.finding).map(|found| found.sub_technique.or(found.technique).unwrap_or(found.tactic).0)
    };
    assert_eq!(of("scan.vertical", Some("app")), Some("T1046"));
    assert_eq!(of("scan.slow", Some("internet")), Some("T1595.001"));
    assert_eq!((of("scan.horizontal", Some("special")), of("scan.horizontal", None)), (None, None));
    assert_eq!(of("brute-force", None), Some("T1110"));
    assert_eq!(of("beacon", None), Some("T1071"));
    assert_eq!(of("exfiltration", None), Some("TA0010"));
    for detector in ["breach", "blocked", "outage", "log-gap", "unmapped", "silent", "fields"] {
        assert_eq!(of(detector, Some("app")), None, "{detector}");
    }
    let mut scan = alert("scan.vertical");
    scan.finding.client_zone = Some("internet".to_owned());
    let event = to_ocsf(&scan, &Home::default());
    let link = event.pointer("/finding_info/attacks/0/sub_technique/src_url").unwrap();
    assert_eq!(link, "https://attack.mitre.org/techniques/T1595/001");
}

/// The validator is worth nothing if it takes everything: each of these is one mistake, and each is told.
#[test]
fn the_validator_refuses_wrong_events() {
    type Mutation = fn(&mut Value);
    let mutations: &[(&str, Mutation)] = &[
        ("severity_id is required", |event| drop(event.as_object_mut().unwrap().remove("severity_id"))),
        ("uid is required", |event| drop(event["finding_info"].as_object_mut().unwrap().remove("uid"))),
        ("direction_id is required", |event| {
            drop(event["evidences"][0]["connection_info"].as_object_mut().unwrap().remove("direction_id"));
        }),
        ("provider is required", |event| drop(event["cloud"].as_object_mut().unwrap().remove("provider"))),
        ("cloud is required", |event| drop(event.as_object_mut().unwrap().remove("cloud"))),
        ("colour is unknown", |event| event["colour"] = "red".into()),
        ("colour is unknown", |event| event["evidences"][1]["src_endpoint"]["colour"] = "red".into()),
        ("is no timestamp_t", |event| event["time"] = "2026-11-20T01:00:00Z".into()),
        ("is no timestamp_t", |event| event["time"] = Value::Null),
        ("is no integer_t", |event| event["count"] = (1u64 << 40).into()),
        ("is no string_t", |event| event["message"] = 1.into()),
        ("is no ip_t", |event| event["evidences"][0]["src_endpoint"]["ip"] = "10.0.0.256".into()),
        ("is no port_t", |event| event["evidences"][0]["src_endpoint"]["port"] = 70_000.into()),
        ("is no boolean_t", |event| event["is_alert"] = 1.into()),
        ("is no object", |event| event["finding_info"] = "x".into()),
        ("is no array", |event| event["evidences"] = json!({})),
        ("is none of its values", |event| event["severity_id"] = 7.into()),
        ("is none of its values", |event| event["class_uid"] = 4001.into()),
        ("is not class_uid * 100", |event| event["type_uid"] = 200_402.into()),
        ("of a profile", |event| event["metadata"]["profiles"] = json!(["security_control"])),
        ("of a profile", |event| event["metadata"]["profiles"] = json!(["cloud"])),
        ("at_least_one", |event| event["evidences"][0] = json!({"name": "nothing"})),
        ("at_least_one", |event| event["finding_info"]["attacks"] = json!([{"version": "17"}])),
        ("at_least_one", |event| event["metadata"]["product"] = json!({"version": "1"})),
        ("just_one", |event| event["vulnerabilities"] = json!([{"cve": {"uid": "1"}, "cwe": {"uid": "2"}}])),
    ];
    for schema in &*SCHEMAS {
        for (wanted, mutate) in mutations {
            let mut event = to_ocsf(&alert("breach"), &homes()[1]);
            assert_eq!(schema.problems(CLASS, &event), [""; 0]);
            mutate(&mut event);
            let problems = schema.problems(CLASS, &event);
            let told = problems.iter().any(|problem| problem.contains(wanted));
            assert!(told, "{}: {wanted} is not among {problems:?}", schema.version());
        }
    }
}

/// What `BatchImportFindings` asks for, and its limits.
fn check_asff(asff: &Value) {
    let required = [
        "SchemaVersion",
        "Id",
        "ProductArn",
        "GeneratorId",
        "AwsAccountId",
        "CreatedAt",
        "UpdatedAt",
        "Title",
        "Description",
        "Resources",
        "Severity",
    ];
    for name in required {
        assert!(asff.get(name).is_some_and(|value| value != ""), "{name} is required: {asff:#}");
    }
    let length = |value: &Value| value.as_str().unwrap().chars().count();
    for (name, most) in [("Id", 512), ("GeneratorId", 512), ("Title", 256), ("Description", 1024)] {
        assert!(length(&asff[name]) <= most, "{name} is too long");
    }
    let moment = |name: &str| asff[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(moment("CreatedAt") <= moment("UpdatedAt"));
    let labels = ["INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"];
    assert!(labels.contains(&asff["Severity"]["Label"].as_str().unwrap()));
    let resources = asff["Resources"].as_array().unwrap();
    assert!((1..=32).contains(&resources.len()));
    for resource in resources {
        assert!(length(&resource["Type"]) > 0 && (1..=512).contains(&length(&resource["Id"])));
    }
    let fields = asff["ProductFields"].as_object().unwrap();
    assert!(fields.len() <= 50);
    for (name, value) in fields {
        assert!((1..=128).contains(&name.chars().count()) && (1..=2048).contains(&length(value)), "{name}");
    }
    if let Some(protocol) = asff.pointer("/Network/Protocol") {
        assert!((1..=16).contains(&length(protocol)));
    }
}

#[test]
fn every_finding_is_as_security_hub_has_it() {
    for alert in edges() {
        check_asff(&to_asff(&alert, "123456789012", "eu-west-1"));
    }
    let asff = to_asff(&alert("breach"), "123456789012", "cn-north-1");
    assert_eq!(asff["ProductArn"], "arn:aws-cn:securityhub:cn-north-1:123456789012:product/123456789012/default");
    assert_eq!((&asff["Severity"]["Label"], &asff["RecordState"]), (&"HIGH".into(), &"ACTIVE".into()));
    let network =
        json!({"SourceIpV4": "10.0.1.5", "DestinationIpV4": "10.0.2.9", "DestinationPort": 5432, "Protocol": "TCP"});
    assert_eq!(asff["Network"], network);
    let newer = Alert { revision: 1, status: AlertStatus::Closed, ..alert("breach") };
    let newer = to_asff(&newer, "123456789012", "eu-west-1");
    let updated = |asff: &Value| asff["UpdatedAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(updated(&newer) > updated(&asff), "a later revision is newer");
    assert_eq!(newer["RecordState"], "ARCHIVED");
}

proptest! {
    /// Texts of any kind and length, and times of any year.
    #[test]
    fn no_text_is_too_long(title in ".{1,2000}", rule in prop::option::of(".{0,3000}"), time in any::<Option<i64>>()) {
        let alert = with(|finding| {
            (finding.title, finding.rule) = (title, rule);
            (finding.first_seen, finding.last_seen) = (time, time);
        });
        check_asff(&to_asff(&alert, "123456789012", "eu-west-1"));
        for schema in &*SCHEMAS {
            prop_assert_eq!(schema.problems(CLASS, &to_ocsf(&alert, &Home::default())), [""; 0]);
        }
    }
}

#[test]
fn json_has_the_columns_of_the_table() {
    let json = to_json(&alert("breach"));
    let schema = crate::lake::schema::alerts_schema();
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(json.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(), columns);
    assert_eq!(json["window_start"], "2026-11-20T01:00:00Z");
    let evidence = json["evidence"][0].as_object().unwrap();
    let item = schema.field_with_name("evidence").unwrap().data_type();
    assert!(evidence.keys().all(|name| format!("{item}").contains(name)), "{item}");
}
