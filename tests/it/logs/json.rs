//! Objects that hold JSON: what Firehose writes to S3.

use flowbound::decode::{Content, DecodeError, DecodeOptions};
use serde_json::json;

use super::framing::gzip;
use super::support::{Log, read, read_with};

const LINE: &str = "2 123456789012 eni-0a 10.0.1.5 10.0.2.9 49152 443 6 1 40 1790640000 1790640058 ACCEPT OK";

fn reasons(log: &Log) -> Vec<(i64, &'static str)> {
    log.rejected.iter().map(|(line, _, error)| (*line, error.kind.reason())).collect()
}

#[test]
fn objects_are_read_from_files_in_pieces_of_any_size() {
    let message = json!({"message": LINE}).to_string();
    let record = json!({"srcAddr": "10.0.0.1", "dstAddr": "10.0.0.2", "dstPort": 80}).to_string();
    let events = json!([{"id": "0", "message": LINE}, {"id": "1", "message": LINE}]);
    let envelope = json!({"messageType": "DATA_MESSAGE", "logGroup": "g", "logEvents": events}).to_string();
    let control = json!({"messageType": "CONTROL_MESSAGE", "logEvents": [{"message": "hello"}]}).to_string();
    for (text, lines, control) in [
        (message.repeat(3), 3, 0),
        (format!("{message}\n").repeat(3), 3, 0),
        (format!("[{message},{record},{message}]"), 3, 0),
        (format!("\u{feff} \n{record}{record}\n"), 2, 0),
        (format!("{control}{envelope}{envelope}{record}"), 5, 1),
    ] {
        for object in [text.clone().into_bytes(), gzip(text.as_bytes())] {
            for piece in [1, 7, 100, usize::MAX] {
                let (log, summary) = read_with(&object, piece, DecodeOptions::default());
                let summary = summary.unwrap();
                assert_eq!(log.lines(), (1..=lines).collect::<Vec<_>>(), "{text}");
                assert_eq!((summary.lines, summary.control), (lines as u64, control), "{text}");
                assert_eq!((summary.content, reasons(&log)), (Content::Json, vec![]), "{text}");
            }
        }
    }
}

#[test]
fn a_broken_object_is_rejected_and_the_next_line_is_read() {
    let good = json!({"message": LINE}).to_string();
    let text = format!("{good}\n{{\"message\":\"2 12\n{good}\n{{\"time\":1}}{good}\n{{\"message\":\"2 12");
    for piece in [1, 50, usize::MAX] {
        let (log, summary) = read_with(text.as_bytes(), piece, DecodeOptions::default());
        assert_eq!(log.lines(), [1, 3, 5]);
        assert_eq!(reasons(&log), [(2, "bad_json"), (4, "other_kind"), (6, "bad_json")]);
        assert_eq!((summary.unwrap().rejected, log.rejected[0].1.as_slice()), (3, &b"{\"message\":\"2 12"[..]));
    }
    // the stream around it breaks off: the object that it cuts in two is truncated, as a line is
    let object = gzip(text.as_bytes());
    let (log, summary) = read(&object[..object.len() - 8]);
    assert_eq!((log.lines(), reasons(&log)[2]), (vec![1, 3, 5], (6, "truncated")));
    assert!(matches!(summary, Err(DecodeError::Truncated(_))));
}

/// An object without an end must not be gathered until memory ends.
#[test]
fn an_object_larger_than_is_read_is_rejected() {
    let good = json!({"message": LINE}).to_string();
    let options = DecodeOptions { max_json: 1000, max_line: 100, ..DecodeOptions::default() };
    let large = json!({"message": LINE, "padding": "x".repeat(1000)}).to_string();
    for (bad, reason) in [(large, "too_large"), (format!("{{\"a\":{}", "[".repeat(100_000)), "too_large")] {
        let text = format!("{good}\n{bad}\n{good}\n");
        for piece in [1, 333, usize::MAX] {
            let (log, summary) = read_with(text.as_bytes(), piece, options.clone());
            assert_eq!((log.lines(), reasons(&log)), (vec![1, 3], vec![(2, reason)]));
            assert_eq!((summary.unwrap().lines, log.rejected[0].1.as_slice()), (3, &bad.as_bytes()[..100]));
        }
    }
    // an array may be as large as it likes
    let array = format!("[{}]", vec![good; 200].join(","));
    let (log, _) = read_with(array.as_bytes(), 64, options);
    assert_eq!((log.records.len(), log.rejected.len()), (200, 0));
}
