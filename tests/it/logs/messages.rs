//! Every shape in which flow logs come in a record of a stream. The shapes are built here, by libraries and by hand.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flowbound::decode::{MessageDecoder, MessageOptions, MessageSummary};
use flowbound::record::LogFormat;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::aggregates::aggregate;
use super::framing::{gzip, zstd};
use super::support::{Log, testdata};

pub(crate) const LINE: &str =
    "2 123456789012 eni-0a 10.0.1.5 10.0.2.9 49152 443 6 1 40 1790640000 1790640058 ACCEPT OK";
pub(crate) const REPLY: &str =
    "2 123456789012 eni-0a 10.0.2.9 10.0.1.5 443 49152 6 1 40 1790640000 1790640058 ACCEPT OK";

pub(crate) fn read_with(options: MessageOptions, after_sub: Option<u64>, record: &[u8]) -> (Log, MessageSummary) {
    let mut log = Log::default();
    let summary = MessageDecoder::new(options).decode(record, after_sub, &mut |piece| log.take(piece));
    log.rejected.sort_by_key(|(line, ..)| *line);
    let accounted = log.records.len() + log.rejected.len() + log.blank_lines;
    assert_eq!(summary.lines, accounted as u64 + summary.headers, "a line was lost or doubled");
    (log, summary)
}

pub(crate) fn read(record: &[u8]) -> (Log, MessageSummary) {
    read_with(MessageOptions::default(), None, record)
}

/// Numbers and destination ports of the records.
pub(crate) fn ports(log: &Log) -> Vec<(i64, i64)> {
    log.records.iter().map(|(line, values)| (*line, values["dstport"].as_i64().unwrap())).collect()
}

/// Numbers and reasons of what was rejected.
pub(crate) fn reasons(log: &Log) -> Vec<(i64, &'static str)> {
    log.rejected.iter().map(|(line, _, error)| (*line, error.kind.reason())).collect()
}

pub(crate) fn envelope(group: &str, messages: &[&str]) -> Vec<u8> {
    let events: Vec<Value> = messages
        .iter()
        .enumerate()
        .map(|(id, message)| json!({"id": format!("{id:056}"), "timestamp": 1_790_640_000_000_i64, "message": message}))
        .collect();
    let envelope = json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": group, "logStream": "eni-0a-all",
        "subscriptionFilters": ["to-kinesis"], "policyLevel": "ACCOUNT_LEVEL_POLICY", "logEvents": events,
    });
    serde_json::to_vec(&envelope).unwrap()
}

/// The flow of `LINE` as JSON, with the keys through a function.
fn record(key: impl Fn(&str) -> String) -> Value {
    let names = LogFormat::default();
    let values = LINE.split(' ').map(|value| value.parse::<i64>().map_or(json!(value), |number| json!(number)));
    let members = names.names().iter().zip(values).map(|(name, value)| {
        let value = if name == "account-id" { json!("123456789012") } else { value };
        (key(name), value)
    });
    Value::Object(members.collect())
}

fn camel(name: &str) -> String {
    let mut parts = name.split('-');
    let first = parts.next().unwrap().replace("addr", "Addr").replace("port", "Port");
    parts.fold(first, |text, part| {
        let (letter, rest) = part.split_at(1);
        text + &letter.to_uppercase() + rest
    })
}

#[test]
fn the_fixtures_give_the_lines_that_their_answers_say() {
    let folder = testdata("logs/synthetic");
    let answers: Value = serde_json::from_slice(&std::fs::read(folder.join("kinesis.expected.json")).unwrap()).unwrap();
    let lines = [&answers["lines"]["1"], &answers["lines"]["2"]];
    for (name, expected) in [
        ("kinesis-cwl.json.gz", &[0, 1][..]),
        ("kinesis-cwl.base64.txt", &[0, 1]),
        ("kinesis-cwl.extracted-fields.json.gz", &[0]),
        ("kinesis-cwl.parseVPC-message.json.gz", &[0]),
        ("kinesis-firehose-message.ndjson", &[0, 1]),
        ("kinesis-plain-newline.txt", &[0, 1]),
        ("kinesis-json-per-record.json", &[0]),
        ("kinesis-kpl-aggregated.bin", &[0, 1, 0, 1]),
        ("kinesis-kpl-bad-md5.bin", &[]),
    ] {
        assert!(answers.get(name).is_some(), "{name} has no answer");
        let (log, summary) = read(&std::fs::read(folder.join(name)).unwrap());
        let found: Vec<(i64, Value)> = log.records.iter().map(|(line, values)| (*line, json!(values))).collect();
        let expected: Vec<(i64, Value)> =
            (1..).zip(expected).map(|(line, which)| (line, (*lines[*which]).clone())).collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(summary.user_records, if name.contains("aggregated") { 3 } else { 1 }, "{name}");
        let reasons = reasons(&log);
        assert_eq!(reasons, if expected.is_empty() { vec![(1, "not_text")] } else { vec![] }, "{name}");
    }
}

#[test]
fn an_envelope_gives_a_line_for_each_event() {
    let (log, summary) = read(&gzip(&envelope("/vpc/flow", &[LINE, REPLY, LINE])));
    assert_eq!(ports(&log), [(1, 443), (2, 49152), (3, 443)]);
    assert_eq!(log.formats.values().sum::<usize>(), 1, "neighbours are one chunk");
    let expected = MessageSummary { user_records: 1, lines: 3, bytes_out: summary.bytes_out, ..Default::default() };
    assert_eq!(summary, expected);
}

#[test]
fn the_numbers_are_those_of_the_events_whatever_lies_between() {
    let long = "x".repeat(70_000);
    let transformed = record(camel).to_string();
    let messages =
        [LINE, "", &format!("{REPLY}\n"), "no flow log", &long, &transformed, LINE, "{broken", "{\"a\":1}", REPLY];
    let (log, summary) = read(&gzip(&envelope("/vpc/flow", &messages)));
    assert_eq!(ports(&log), [(1, 443), (3, 49152), (6, 443), (7, 443), (10, 49152)]);
    assert_eq!(reasons(&log), [(4, "field_count"), (5, "too_long"), (8, "bad_json"), (9, "other_kind")]);
    assert_eq!((summary.lines, summary.rejected, log.blank_lines), (10, 3, 1));
    let raw: Vec<&[u8]> = log.rejected.iter().map(|(_, raw, _)| raw.as_slice()).collect();
    assert_eq!(raw, [b"no flow log", &long.as_bytes()[..65536], b"{broken", b"{\"a\":1}"]);
    // a message of two lines is two: nothing of it is lost
    let (log, _) = read(&envelope("g", &[&format!("{LINE}\n{REPLY}"), LINE]));
    assert_eq!(ports(&log), [(1, 443), (2, 49152), (3, 443)]);
}

#[test]
fn an_event_is_a_line_whatever_it_looks_like() {
    let header = "version account-id interface-id";
    let stamped = format!("2026-11-21T16:20:00.000Z {LINE}");
    let (log, summary) = read(&envelope("g", &[header, &stamped, LINE]));
    assert_eq!((ports(&log), reasons(&log)), (vec![(3, 443)], vec![(1, "field_count"), (2, "field_count")]));
    assert_eq!((summary.headers, log.prefixed_chunks), (0, 0));
}

#[test]
fn events_come_with_any_keys_in_any_order() {
    for events in [
        format!(r#"[{{"message":"{LINE}"}}]"#),
        format!(r#"[{{"message":"{LINE}","extractedFields":{{"message":"2"}},"id":["x"]}}]"#),
        format!(r#"[{{"@aws.account":null,"message":"{}"}}]"#, LINE.replace('A', "\\u0041")),
    ] {
        for envelope in [
            format!(r#"{{"logEvents":{events},"logGroup":"g","messageType":"DATA_MESSAGE"}}"#),
            format!(r#" {{"messageType":"DATA_MESSAGE","@aws.region":{{}},"logGroup":"g","logEvents":{events}}} "#),
        ] {
            let (log, _) = read(envelope.as_bytes());
            assert_eq!((ports(&log), reasons(&log)), (vec![(1, 443)], vec![]), "{envelope}");
        }
    }
    // an event without a message takes its number all the same
    let (log, summary) = read(
        format!(r#"{{"logEvents":[{{}},{{"message":null}},{{"message":"{LINE}"}}],"messageType":"DATA_MESSAGE"}}"#)
            .as_bytes(),
    );
    assert_eq!((ports(&log), summary.lines), (vec![(3, 443)], 3));
}

#[test]
fn a_log_group_has_its_format() {
    let format = |text: &str| Arc::new(text.parse::<LogFormat>().unwrap());
    let options = MessageOptions {
        format: Some(format("dstport srcaddr")),
        group_formats: [("/vpc/odd".to_owned(), format("srcaddr dstport action"))].into(),
        ..MessageOptions::default()
    };
    for (group, message, port) in [("/vpc/odd", "10.0.0.1 443 ACCEPT", 443), ("/vpc/flow", "80 10.0.0.1", 80)] {
        let (log, _) = read_with(options.clone(), None, &gzip(&envelope(group, &[message])));
        assert_eq!(ports(&log), [(1, port)], "{group}");
        let (log, _) = read_with(options.clone(), None, &envelope(&group.replace('v', "\\v"), &["a"]));
        assert_eq!(reasons(&log), [(1, "field_count")]);
    }
    // a format that does not fit is told, never guessed
    let (log, _) = read_with(options, None, &gzip(&envelope("/vpc/odd", &[LINE])));
    assert_eq!(reasons(&log), [(1, "field_count")]);
}

#[test]
fn control_messages_are_counted_and_give_nothing() {
    let control = json!({
        "messageType": "CONTROL_MESSAGE", "owner": "CloudwatchLogs", "logGroup": "", "logStream": "",
        "subscriptionFilters": [], "logEvents": [{"id": "", "timestamp": 1_790_640_000_000_i64,
        "message": "CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."}],
    });
    for message in [control, json!({"messageType": "DATA_MESSAGE", "logEvents": []})] {
        let (log, summary) = read(&gzip(message.to_string().as_bytes()));
        assert_eq!((log, summary.control, summary.lines), (Log::default(), 1, 0));
    }
}

#[test]
fn firehose_writes_objects_with_anything_between_them() {
    let object = |message: &str| json!({"message": message}).to_string();
    let (one, two) = (object(LINE), object(&format!("{REPLY}\n")));
    for text in [
        format!("{one}{two}"),
        format!("{one}\n{two}\n"),
        format!("{one}\r\n\r\n{two}"),
        format!("[{one},\n {two}]"),
        format!("[{one}][{two}]"),
        object(&format!("{LINE}\n{REPLY}\n")),
        object(&two).replace(r#"{"message":"#, &format!(r#"{one}{{"message":"#)),
        format!("{one}{}", json!({"id": "3", "message": REPLY, "timestamp": 0})),
        format!("{one}{}", json!({"message": record(camel)})).replace("49152,\"dstPort\":443", "443,\"dstPort\":49152"),
    ] {
        for record in [text.clone().into_bytes(), gzip(text.as_bytes()), zstd(&gzip(text.as_bytes()))] {
            let (log, summary) = read(&record);
            assert_eq!((ports(&log), reasons(&log)), (vec![(1, 443), (2, 49152)], vec![]), "{text}");
            assert_eq!(summary.lines, 2);
        }
    }
    let (log, summary) = read(object(&format!("srcaddr dstport\n10.0.0.1 80\n{LINE}")).as_bytes());
    assert_eq!((ports(&log), reasons(&log), summary.headers), (vec![(2, 80)], vec![(3, "field_count")], 1));
}

#[test]
fn a_record_in_json_has_its_keys_in_any_spelling() {
    let plain = json!(read(LINE.as_bytes()).0.records);
    for value in [
        record(str::to_owned),
        record(|name| name.replace('-', "_")),
        record(camel),
        record(|name| name.to_uppercase()),
        json!([record(camel)]),
    ] {
        assert_eq!(json!(read(value.to_string().as_bytes()).0.records), plain, "{value}");
    }
    assert_eq!(camel("pkt-src-aws-service"), "pktSrcAwsService");
}

#[test]
fn values_in_json_are_written_as_a_log_has_them() {
    let read_one = |members: &str| {
        let text = format!(r#"{{"srcaddr":"10.0.0.1","dstaddr":"10.0.0.2","interfaceId":"eni-0a",{members}}}"#);
        let (log, _) = read(text.as_bytes());
        let mut reasons: Vec<Value> = reasons(&log).into_iter().map(|(_, reason)| json!(reason)).collect();
        reasons.extend(log.records.into_iter().map(|(_, mut values)| {
            values.retain(|name, _| !["srcaddr", "dstaddr", "interface-id"].contains(&name.as_str()));
            Value::Object(values)
        }));
        json!(reasons)
    };
    for (members, expected) in [
        (r#""bytes":40,"packets":"1""#, json!([{"bytes": 40, "packets": 1}])),
        (r#""bytes":9223372036854775807"#, json!([{"bytes": i64::MAX}])),
        (r#""bytes":9223372036854775808"#, json!(["bad_int"])),
        (r#""bytes":40.0,"packets":1e2"#, json!([{"bytes": 40, "packets": 100}])),
        (r#""bytes":40.5"#, json!(["bad_int"])),
        (r#""bytes":-1"#, json!(["bad_int"])),
        (r#""bytes":null,"action":"-","region":"""#, json!([{}])),
        (r#""instanceTag":"a b\t\"ü\"""#, json!([{"instance-tag": "a%20b%09\"ü\""}])),
        (r#""instanceTag":"a%20b""#, json!([{"instance-tag": "a%20b"}])),
        (r#""weather":"2026-11-21T16:20:00Z","ok":true"#, json!([{"weather": "2026-11-21T16:20:00Z", "ok": "true"}])),
        (r#""nested":{"a": [1, "b"]}"#, json!([{"nested": r#"{"a":%20[1,%20"b"]}"#}])),
        (r#""bytes":[40]"#, json!(["bad_int"])),
        (r#""action":"\ud800""#, json!(["bad_json"])),
        (r#""action":"accept""#, json!(["bad_value"])),
        (r#""bytes":40,"bytes":41"#, json!([{"bytes": 40}])),
    ] {
        assert_eq!(read_one(members), expected, "{members}");
    }
    // the first value must not pass for the timestamp of an export, nor a name for a header
    let (log, _) = read(br#"{"at":"2026-11-21T16:20:00Z","srcaddr":"10.0.0.1","dstport":443}"#);
    assert_eq!((ports(&log), log.prefixed_chunks), (vec![(1, 443)], 0));
    let (log, summary) = read(br#"{"interfaceId":"srcaddr"}"#);
    assert_eq!((log.records.len(), summary.headers), (1, 0));
}

#[test]
fn text_is_read_as_in_a_file() {
    for (text, expected) in [
        (LINE.to_owned(), vec![(1, 443)]),
        (format!("{LINE}\r\n{REPLY}\r\n"), vec![(1, 443), (2, 49152)]),
        (format!("\u{feff}{LINE}\n\n{REPLY}"), vec![(1, 443), (3, 49152)]),
        (format!("srcaddr dstport\n10.0.0.1 80\ndstport\n99\n{LINE}"), vec![(2, 80), (4, 99)]),
        (format!("2026-11-21T16:20:00.000Z {LINE}"), vec![(1, 443)]),
    ] {
        let encoded = STANDARD.encode(&text).into_bytes();
        let wrapped: Vec<u8> = encoded.chunks(76).flat_map(|line| [line, b"\n"].concat()).collect();
        for record in [text.clone().into_bytes(), gzip(text.as_bytes()), encoded, gzip(&wrapped)] {
            assert_eq!(ports(&read(&record).0), expected, "{text}");
        }
    }
    // words that have the letters of base64 by chance
    let options = MessageOptions { format: Some(Arc::new("ecs-cluster-name".parse().unwrap())), ..Default::default() };
    for word in ["production", "clusterOfTheNorth123", "AAAAAAAAAAAAAAAAAAAAAAAA"] {
        let (log, _) = read_with(options.clone(), None, word.as_bytes());
        assert_eq!(log.records[0].1["ecs-cluster-name"], word);
    }
}

#[test]
fn layers_come_off_in_any_order_four_at_most() {
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes).into_bytes();
    let envelope = envelope("g", &[LINE]);
    for record in [
        gzip(&base64(&gzip(&envelope))),
        base64(&zstd(&gzip(&envelope))),
        [gzip(&envelope[..50]), gzip(&envelope[50..])].concat(),
        gzip(&gzip(&gzip(&gzip(&envelope)))),
    ] {
        assert_eq!(ports(&read(&record).0), [(1, 443)]);
    }
    let (log, _) = read(&gzip(&gzip(&gzip(&gzip(&gzip(&envelope))))));
    assert_eq!(reasons(&log), [(1, "too_nested")]);
    let nested = (0..9).fold(json!({"message": LINE}), |inner, _| json!({"message": inner.to_string()}));
    assert_eq!(reasons(&read(nested.to_string().as_bytes()).0), [(1, "too_nested")]);
}

#[test]
fn what_is_broken_is_rejected_whole_with_its_bytes() {
    let whole = gzip(&envelope("g", &[LINE; 50]));
    let mut wrong_sum = whole.clone();
    let end = wrong_sum.len();
    wrong_sum[end - 8] ^= 1;
    let cut_json = &envelope("g", &[LINE; 50])[..3000];
    for (record, reason, raw) in [
        (whole[..whole.len() - 9].to_vec(), "damaged", None),
        (whole[..12].to_vec(), "damaged", None),
        (wrong_sum, "damaged", None),
        ([whole.as_slice(), b"x"].concat(), "damaged", None),
        (b"\x28\xb5\x2f\xfd\xff\xff\xff".to_vec(), "damaged", None),
        (cut_json.to_vec(), "bad_json", None),
        (gzip(cut_json), "bad_json", Some(cut_json)),
        (b"[1, 2]".to_vec(), "bad_json", Some(&b"1, 2]"[..])),
        (b"[]".to_vec(), "other_kind", None),
        (b"{}".to_vec(), "other_kind", None),
        (b"\x00\x01\x02\x03".to_vec(), "not_text", None),
        (b"\xca\xfe\x01\x02\x03\x04\xba\xbe".to_vec(), "not_text", None),
        (b"PAR1....".to_vec(), "not_text", None),
        (b"PK\x03\x04....".to_vec(), "not_text", None),
    ] {
        let (log, summary) = read(&record);
        assert!(log.records.is_empty(), "{:?}", String::from_utf8_lossy(&record));
        assert_eq!(reasons(&log), [(1, reason)], "{:?}", String::from_utf8_lossy(&record));
        assert_eq!((log.rejected[0].1.as_slice(), summary.rejected), (raw.unwrap_or(&record), 1), "{reason}");
    }
    assert_eq!(read(b""), (Log::default(), MessageSummary { user_records: 1, ..MessageSummary::default() }));
}

#[test]
fn a_broken_object_does_not_take_its_neighbours_with_it() {
    let good = json!({"message": LINE}).to_string();
    for (text, lines, reason) in [
        (format!("{good}\n{{\"message\":\"2 1234\n{good}\n"), vec![1, 3], (2, "bad_json")),
        (format!("{good}\n{{\"message\":\"2 1234\"\n{good}\n"), vec![1, 3], (2, "bad_json")),
        (format!("{good}\n{{\"message\" \"2\"}}{good}"), vec![1, 3], (2, "bad_json")),
        (format!("{good}{{\"time\":\"now\"}}{good}"), vec![1, 3], (2, "other_kind")),
        (format!("{good}{{\"message\":\"2 12"), vec![1], (2, "bad_json")),
        (format!("{good}\n2 no json\n{good}"), vec![1, 3], (2, "bad_json")),
    ] {
        let (log, _) = read(text.as_bytes());
        assert_eq!((log.lines(), reasons(&log)), (lines, vec![reason]), "{text}");
    }
}

#[test]
fn objects_of_another_kind_are_named() {
    for (object, word) in [
        (
            json!({"version": "0", "id": "x", "detail-type": "CloudWatch Alarm State Change", "source": "aws.cloudwatch",
            "region": "us-east-1", "detail": {"alarmName": "a"}}),
            "EventBridge event: \"CloudWatch Alarm State Change\"",
        ),
        (json!({"class_uid": 4001, "activity_id": 6, "src_endpoint": {"ip": "10.0.0.1"}}), "OCSF event of class 4001"),
        (json!({"AlarmName": "a", "NewStateValue": "ALARM"}), "CloudWatch alarm"),
        (json!({"Records": [{"s3": {}}]}), "event notification"),
        (json!({"messageType": "NEW_MESSAGE", "logEvents": []}), "type \"NEW_MESSAGE\""),
        (json!({"type": "a", "region": "b", "version": 1}), "keys type, region, version"),
        (json!({"level": "info", "message": 7}), "keys level, message"),
        (json!({"srcaddr": "10.0.0.1", "a": 1, "b": 2}), "keys srcaddr, a, b"),
    ] {
        let (log, _) = read(object.to_string().as_bytes());
        assert_eq!(reasons(&log), [(1, "other_kind")], "{object}");
        let said = log.rejected[0].2.to_string();
        assert!(said.contains(word), "{said}");
        assert_eq!(serde_json::from_slice::<Value>(&log.rejected[0].1).unwrap(), object);
    }
}

#[test]
fn a_bomb_is_quarantined() {
    let limit = 1 << 20;
    let options = MessageOptions { max_inflated: limit, ..MessageOptions::default() };
    let bomb = vec![b' '; 30 << 20];
    for record in [gzip(&bomb), zstd(&bomb), gzip(&gzip(&bomb)), gzip(&zstd(&gzip(&bomb)))] {
        let (log, summary) = read_with(options.clone(), None, &record);
        assert_eq!((reasons(&log), summary.lines), (vec![(1, "too_large")], 1));
    }
    // the limit is one for all layers of all user records
    let half = gzip(&[LINE.as_bytes(), b"\n"].concat().repeat(700_000 / LINE.len()));
    assert_eq!(read_with(options.clone(), None, &half).1.rejected, 0);
    let users: Vec<(u64, Option<u64>, &[u8])> = vec![(0, None, half.as_slice()); 2];
    let (log, _) = read_with(options.clone(), None, &aggregate(&["a"], &[], &users));
    let told = |log: &Log| log.rejected.iter().map(|(_, _, error)| error.kind.reason()).collect::<Vec<_>>();
    assert_eq!(told(&log), ["too_large"]);
    // also for what was unpacked in vain
    let users: Vec<(u64, Option<u64>, &[u8])> = vec![(0, None, &half[..half.len() - 8]), (0, None, half.as_slice())];
    let (log, _) = read_with(options, None, &aggregate(&["a"], &[], &users));
    assert_eq!(told(&log), ["damaged", "too_large"]);
    // many keys or events make no large trees
    let wide = format!("{{{}\"z\":0}}", "\"a\":0,".repeat(200_000));
    assert_eq!(reasons(&read(wide.as_bytes()).0), [(1, "bad_json")]);
    let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
    assert_eq!(reasons(&read(deep.as_bytes()).0), [(1, "bad_json")]);
}

/// Bytes that are sometimes nearly a record of flow logs.
fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        Just(envelope("g", &[LINE, "", "{\"a\":[1]}", REPLY])),
        Just(json!({"message": format!("{LINE}\n{REPLY}")}).to_string().into_bytes()),
        Just(json!([record(camel), record(str::to_owned)]).to_string().into_bytes()),
        Just(format!("{LINE}\n{REPLY}").into_bytes()),
        Just(aggregate(&["a"], &["5"], &[(0, Some(0), LINE.as_bytes()), (0, None, b"{}")])),
        prop::collection::vec(any::<u8>(), 0..200),
        "[ -~\n]{0,200}".prop_map(String::into_bytes),
    ];
    let packed = (whole, 0..4).prop_map(|(bytes, how)| match how {
        0 => gzip(&bytes),
        1 => zstd(&bytes),
        2 => STANDARD.encode(bytes).into_bytes(),
        _ => bytes,
    });
    (packed, prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), any::<prop::sample::Index>())
        .prop_map(|(mut bytes, changes, cut)| {
            for (place, byte) in &changes {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = *byte;
                }
            }
            if changes.len() == 3 {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            bytes
        })
}

proptest! {
    #[test]
    fn no_record_is_passed_over_in_silence(record in any_record()) {
        let (_, summary) = read(&record);
        prop_assert!(summary.lines + summary.control > 0 || summary.bytes_out == 0, "{summary:?}");
    }

    #[test]
    fn what_the_fuzz_target_promises_holds(record in any_record(), how: u8) {
        flowbound::fuzzing::message(&[&[how], record.as_slice()].concat());
    }
}
