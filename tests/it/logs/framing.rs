//! How logs are wrapped: headers, line ends, marks, compression, and what breaks off.

use std::io::Write as _;

use flate2::write::GzEncoder;
use flowbound::decode::{Compression, Content, DecodeError, DecodeOptions, DecodeSummary};
use serde_json::Value;

use super::support::{Log, read, read_with, testdata};

/// The files that the tests of this module read.
pub(crate) const FILES: &[&str] = &[
    "synthetic/blank-lines-and-repeated-header.log",
    "synthetic/bom-header.log",
    "synthetic/crlf.log",
    "synthetic/dollar-brace-header.log",
    "synthetic/empty.log.gz",
    "synthetic/header-only.log",
    "synthetic/multi-member.log.gz",
    "synthetic/no-trailing-newline.log",
    "synthetic/truncated.log.gz",
    "synthetic/two-formats-concatenated.log",
];

const LINE: &str = "2 123456789012 eni-0a 10.0.1.5 10.0.2.9 49152 443 6 1 40 1790640000 1790640058 ACCEPT OK\n";
const HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(testdata(&format!("logs/synthetic/{name}"))).unwrap()
}

fn read_whole(object: &[u8]) -> (Log, DecodeSummary) {
    let (log, summary) = read(object);
    assert!(log.rejected.is_empty(), "{:?}", log.rejected);
    (log, summary.unwrap())
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn one_record_in_every_wrapping_of_text() {
    for name in ["bom-header.log", "crlf.log", "dollar-brace-header.log", "no-trailing-newline.log"] {
        let (log, summary) = read_whole(&fixture(name));
        assert_eq!((summary.lines, summary.headers, summary.content), (2, 1, Content::Text), "{name}");
        assert_eq!(log.lines(), [2], "{name}");
        let (_, values) = &log.records[0];
        assert_eq!(values.len(), 14, "{name}");
        for (field, value) in [("version", Value::from(2)), ("dstport", 443.into()), ("log-status", "OK".into())] {
            assert_eq!(values[field], value, "{name}");
        }
    }
}

#[test]
fn headers_and_blank_lines_are_counted_and_leave_the_numbers_of_lines_alone() {
    let (log, summary) = read_whole(&fixture("blank-lines-and-repeated-header.log"));
    assert_eq!((summary.lines, summary.headers, log.blank_lines), (5, 2, 1));
    assert_eq!(log.lines(), [2, 5]);
}

#[test]
fn a_header_in_the_middle_changes_the_format() {
    let (log, summary) = read_whole(&fixture("two-formats-concatenated.log"));
    assert_eq!((summary.lines, summary.headers), (4, 2));
    assert_eq!(log.formats.keys().next().unwrap(), "srcaddr dstaddr version");
    assert_eq!(log.records[1].0, 4);
    assert_eq!(log.records[1].1["srcaddr"], "10.9.9.9");
    assert_eq!(log.records[1].1.len(), 3);
}

#[test]
fn nothing_is_no_error() {
    for (object, content) in [(Vec::new(), Content::Empty), (fixture("empty.log.gz"), Content::Empty)] {
        let (log, summary) = read_whole(&object);
        assert_eq!((summary.lines, summary.content, log), (0, content, Log::default()));
    }
    let (log, summary) = read_whole(&fixture("header-only.log"));
    assert_eq!((summary.lines, summary.headers, log), (1, 1, Log::default()));
    let (log, summary) = read_whole(b"\n\n");
    assert_eq!((summary.lines, log.blank_lines), (2, 2));
}

#[test]
fn members_and_frames_are_one_stream() {
    let (log, summary) = read_whole(&fixture("multi-member.log.gz"));
    assert_eq!((log.lines(), summary.compression), (vec![2, 3], vec![Compression::Gzip]));

    let (front, back) = LINE.split_at(30);
    let skippable = [b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(), zstd(front.as_bytes())].concat();
    let empty = zstd(b"");
    for object in [
        [gzip(HEADER.as_bytes()), gzip(b""), gzip(front.as_bytes()), gzip(back.as_bytes())].concat(),
        [gzip(HEADER.as_bytes()), gzip(LINE.as_bytes()), vec![0; 1024]].concat(),
        [zstd(HEADER.as_bytes()), skippable.clone(), empty.clone(), zstd(back.as_bytes())].concat(),
        [skippable, zstd(back.as_bytes()), vec![0; 7]].concat(),
    ] {
        for piece in [1, 7, usize::MAX] {
            let (log, summary) = read_with(&object, piece, DecodeOptions::default());
            assert_eq!(log.records.len(), 1, "{summary:?}");
            assert!(summary.is_ok() && log.rejected.is_empty());
        }
    }
}

#[test]
fn an_object_may_be_wrapped_twice_and_not_more() {
    let twice = gzip(&zstd(LINE.as_bytes()));
    let (log, summary) = read_whole(&twice);
    assert_eq!(summary.compression, [Compression::Gzip, Compression::Zstd]);
    assert_eq!(log.lines(), [1]);
    let (log, result) = read(&gzip(&twice));
    assert_eq!((log, result), (Log::default(), Err(DecodeError::TooNested)));
}

#[test]
fn what_stands_before_the_end_of_a_cut_object_is_kept() {
    let (log, result) = read(&fixture("truncated.log.gz"));
    assert_eq!(result, Err(DecodeError::Truncated(Compression::Gzip)));
    // the inflated part ends in the middle of its 43rd line
    assert_eq!(log.lines(), (2..=42).collect::<Vec<_>>());
    let (line, raw, error) = &log.rejected[0];
    assert_eq!((*line, error.kind.reason(), log.rejected.len()), (43, "truncated", 1));
    assert_eq!(raw, b"2 123456789012 eni-0a 10.0.1.5 10.0.2.9 49152 443 6");
}

#[test]
fn a_cut_anywhere_loses_only_the_line_it_cuts() {
    let text: String = (0..400).map(|port| LINE.replace("49152", &port.to_string())).collect();
    for (object, compression) in
        [(gzip(text.as_bytes()), Compression::Gzip), (zstd(text.as_bytes()), Compression::Zstd)]
    {
        for cut in [4, 20, object.len() / 3, object.len() / 2, object.len() - 9, object.len() - 1] {
            let (log, result) = read(&object[..cut]);
            assert_eq!(result, Err(DecodeError::Truncated(compression)), "{cut}");
            assert_eq!(log.lines(), (1..=log.records.len() as i64).collect::<Vec<_>>());
            assert!(
                log.rejected.len() <= 1 && log.rejected.iter().all(|(.., error)| error.kind.reason() == "truncated")
            );
        }
    }
}

#[test]
fn damage_keeps_the_lines_before_it() {
    let text = LINE.repeat(100_000);
    for object in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
        let mut flipped = object.clone();
        let end = flipped.len() - 3;
        flipped[end] ^= 0x10;
        let (log, result) = read(&flipped);
        assert!(matches!(result, Err(DecodeError::Damaged { .. })), "a wrong checksum is told: {result:?}");
        assert_eq!((log.records.len(), log.rejected.len()), (100_000, 0));

        let (log, result) = read(&[object.clone(), b"<html>".to_vec()].concat());
        assert!(
            matches!(result, Err(DecodeError::TrailingBytes { at, .. }) if at == object.len() as u64),
            "{result:?}"
        );
        assert_eq!(log.records.len(), 100_000);
    }
    // random bytes in the middle: every line before the block that they hit
    let mut zstd = zstd(
        &(0..200_000)
            .map(|n: u32| format!("{LINE}{}\n", n.wrapping_mul(2_654_435_761)))
            .collect::<String>()
            .into_bytes(),
    );
    let middle = zstd.len() / 2;
    zstd[middle..middle + 64].fill(0xa5);
    let (log, result) = read(&zstd);
    assert!(result.is_err());
    assert!(log.records.len() > 50_000, "{}", log.records.len());
}

#[test]
fn the_prefix_of_export_tasks_is_found_and_skipped() {
    let stamped = format!("2026-11-21T16:20:00.000Z {LINE}");
    let (log, _) = read_whole(stamped.repeat(3).as_bytes());
    assert_eq!((log.lines(), log.prefixed_chunks), (vec![1, 2, 3], 1));
    assert_eq!(log.records[0].1["version"], 2);

    // blank lines and other logs around it
    let mixed = format!("\n{stamped}\n{LINE}{stamped}2026-11-21T16:20:00Z {LINE}");
    let (log, _) = read_whole(mixed.as_bytes());
    assert_eq!((log.lines(), log.prefixed_chunks, log.blank_lines), (vec![2, 4, 5, 6], 2, 2));

    // the place of a mistake is told in the whole line
    let (log, _) = read(stamped.replace("443", "x").as_bytes());
    let (_, raw, error) = &log.rejected[0];
    assert_eq!(&raw[error.byte..error.byte + 1], b"x");
    assert_eq!(error.field.as_deref(), Some("dstport"));
    let (log, _) = read(b"2026-11-21T16:20:00.000Z \n2026-11-21T16:20:00.000Z 2 3\n");
    assert_eq!(log.rejected[0].2.to_string(), "the log format has 14 fields, the line has 0 (byte 25)");
    assert_eq!(log.rejected[1].2.to_string(), "the log format has 14 fields, the line has 2 (byte 28)");
}

#[test]
fn the_configured_format_holds_until_a_header_says_otherwise() {
    let options = DecodeOptions {
        format: Some(std::sync::Arc::new("interface-id vpc-id".parse().unwrap())),
        ..DecodeOptions::default()
    };
    let (log, summary) = read_with(b"eni-0a vpc-0b\nsrcaddr version\n10.0.0.1 2\n", 5, options);
    assert_eq!((log.lines(), summary.unwrap().headers), (vec![1, 3], 1));
    assert_eq!(log.records[0].1["vpc-id"], "vpc-0b");
    assert_eq!(log.records[1].1["srcaddr"], "10.0.0.1");
}

#[test]
fn lines_too_long_are_told_and_skipped() {
    for chunk_bytes in [1, 64, 4096] {
        let options = DecodeOptions { max_line: 100, chunk_bytes, ..DecodeOptions::default() };
        let long = "x".repeat(1000);
        let fits = "y".repeat(100);
        let object = format!("{long}\n{LINE}{long}\r\n{fits}\n{long}z\n{LINE}{long}");
        for piece in [1, 99, 100, 101, 250, 5000] {
            let (log, summary) = read_with(object.as_bytes(), piece, options.clone());
            assert_eq!((log.lines(), summary.unwrap().lines), (vec![2, 6], 7));
            let rejected: Vec<_> =
                log.rejected.iter().map(|(line, raw, e)| (*line, raw.len(), e.kind.reason())).collect();
            let too_long = |line| (line, 100, "too_long");
            let mut expected = vec![too_long(1), too_long(3), (4, 100, "field_count"), too_long(5), too_long(7)];
            expected.sort();
            let mut rejected = rejected;
            rejected.sort();
            assert_eq!(rejected, expected, "{chunk_bytes} {piece}");
        }
    }
}

#[test]
fn the_size_of_an_object_is_capped() {
    let bomb = gzip(&vec![b'\n'; 10 << 20]);
    let options = DecodeOptions { max_inflated: 3 << 20, ..DecodeOptions::default() };
    let (log, result) = read_with(&bomb, 1000, options.clone());
    assert_eq!(result, Err(DecodeError::TooLarge { limit: 3 << 20 }));
    assert!((3 << 20..5 << 20).contains(&log.blank_lines), "{}", log.blank_lines);
    let (_, result) = read_with(&vec![b'\n'; 10 << 20], 1000, options);
    assert_eq!(result, Err(DecodeError::TooLarge { limit: 3 << 20 }));
}

#[test]
fn other_encodings_are_named() {
    let utf16: Vec<u8> = HEADER.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (object, word) in [
        ([b"\xff\xfe".to_vec(), utf16.clone()].concat(), "UTF-16"),
        (utf16, "UTF-16"),
        (b"PK\x03\x04...".to_vec(), "zip"),
    ] {
        let (log, result) = read(&object);
        assert!(result.unwrap_err().to_string().contains(word));
        assert_eq!(log, Log::default());
    }
}

#[test]
fn the_probe_of_export_tasks_is_one_bad_line() {
    let (log, summary) = read(b"Permission Check Successful");
    assert_eq!((log.rejected.len(), summary.unwrap().lines), (1, 1));
}

#[test]
fn a_bad_line_of_text_is_told_with_its_place() {
    let (log, _) = read(b"2 1\xff\n");
    assert_eq!(log.rejected[0].2.to_string(), "the line is not UTF-8 text (byte 3)");
    let many = [LINE.as_bytes(), b"2 \xff\n", LINE.as_bytes()].concat();
    assert_eq!(read(&many).0.lines(), [1, 3]);
}
