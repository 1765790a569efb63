//! What holds for any log: parsing undoes writing, lines are conserved, and neither the pieces in which an object is
//! pushed nor its compression change anything.

use flowbound::decode::{self, DecodeOptions, DecodeSummary};
use flowbound::parse::parse_line;
use flowbound::record::{Field, FieldType, FlowRecord, LogFormat};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use serde_json::{Map, Value};

use super::framing::{gzip, zstd};
use super::support::{Log, read_with, values};

/// A legal value of the field, as written and as kept; `None` for `-`.
fn field_value(field: Field) -> BoxedStrategy<Option<(String, Value)>> {
    let number = |largest: i64| (0..=largest).prop_map(|n| (n.to_string(), n.into())).boxed();
    let text = |pattern: &'static str| {
        pattern.prop_filter("a value", |text| text != "-").prop_map(|text| (text.clone(), text.into())).boxed()
    };
    let value = match field.def().field_type {
        FieldType::Int32 { max } => number(max),
        FieldType::Int64 => prop_oneof![number(i64::MAX), number(100_000)].boxed(),
        FieldType::Time => number(253_402_300_799_999),
        FieldType::Address => {
            let v4 = any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string());
            let v6 = any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string());
            prop_oneof![v4, v6].prop_map(|text| (text.clone(), text.into())).boxed()
        }
        FieldType::Action => text("ACCEPT|REJECT"),
        FieldType::Status => text("OK|NODATA|SKIPDATA"),
        FieldType::Text => text("[!-~]{1,40}|[^\\s\\p{C}]{1,8}"),
    };
    prop_oneof![1 => Just(None), 4 => value.prop_map(Some)].boxed()
}

/// A column: its name, and a value if it is a known field.
fn columns() -> impl Strategy<Value = Vec<(String, Option<(String, Value)>)>> {
    let fields = subsequence(Field::ALL.to_vec(), 1..=Field::ALL.len()).prop_shuffle();
    let unknown = subsequence(vec!["quantum-state", "tgw-id", "packets-lost-blackhole"], 0..=3);
    (fields, unknown).prop_flat_map(|(fields, unknown)| {
        let known = fields.into_iter().map(|field| {
            let name = field.name().to_owned();
            field_value(field).prop_map(move |value| (name.clone(), value)).boxed()
        });
        let unknown = unknown.into_iter().map(|name| {
            "[!-~]{1,9}"
                .prop_map(|text| (text != "-").then(|| (text.clone(), text.into())))
                .prop_map(move |value| (name.to_owned(), value))
                .boxed()
        });
        known.chain(unknown).collect::<Vec<_>>()
    })
}

fn blanks() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(" "), 1 => Just("  "), 1 => Just("\t"), 1 => Just(" \t ")]
}

/// Text that is sometimes nearly a log.
fn any_object() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(b"version srcaddr dstport".to_vec()),
        Just(b"${srcaddr} ${quantum-state} ${bytes}".to_vec()),
        Just(b"2 10.0.0.1 443".to_vec()),
        Just(b"10.0.0.1 x 99".to_vec()),
        Just(b"2026-11-21T16:20:00.000Z 2 10.0.0.1 443".to_vec()),
        Just(b" \t\r".to_vec()),
        Just(br#"{"message":"2 10.0.0.1 443\nversion srcaddr"}{"message":"#.to_vec()),
        Just(br#"{"srcaddr":"10.0.0.1","dstport":[443,"#.to_vec()),
        Just(br#""\"{"],"bytes":4.0e1,"quantum-state":null},"#.to_vec()),
        Just(Vec::new()),
        "[ -~]{0,40}".prop_map(String::into_bytes),
        prop::collection::vec(1_u8.., 0..40),
    ];
    (prop::collection::vec((line, prop_oneof![Just("\n"), Just("\r\n"), Just("")]), 0..40), any::<bool>()).prop_map(
        |(lines, mark)| {
            let mut object = if mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
            for (line, end) in lines {
                object.extend(line);
                object.extend(end.as_bytes());
            }
            object
        },
    )
}

fn options() -> impl Strategy<Value = DecodeOptions> {
    let format = prop_oneof![Just(None), Just(Some("version srcaddr dstport")), Just(Some("interface-id ecs-task-id"))];
    (format, 1_usize..200, 1_usize..60).prop_map(|(format, chunk_bytes, max_line)| DecodeOptions {
        format: format.map(|text| std::sync::Arc::new(text.parse().unwrap())),
        chunk_bytes,
        max_line,
        ..DecodeOptions::default()
    })
}

/// Records, rejected lines and counts.
type Content = (Vec<(i64, Map<String, Value>)>, Vec<(i64, Vec<u8>, String)>, Vec<u64>);

/// What does not depend on where the chunks were cut.
fn content(log: Log, summary: DecodeSummary) -> Content {
    let mut rejected: Vec<_> =
        log.rejected.into_iter().map(|(line, raw, error)| (line, raw, error.to_string())).collect();
    rejected.sort();
    let counts = vec![log.blank_lines as u64, summary.lines, summary.headers, summary.bytes_out, summary.rejected];
    (log.records, rejected, counts)
}

fn read_content(
    object: &[u8],
    piece: usize,
    options: &DecodeOptions,
) -> Option<impl PartialEq + std::fmt::Debug + use<>> {
    let (log, result) = read_with(object, piece, options.clone());
    result.ok().map(|summary| content(log, summary))
}

proptest! {
    #[test]
    fn parsing_undoes_writing(columns in columns(), blanks in prop::collection::vec(blanks(), 64), ends: (bool, bool)) {
        let format = LogFormat::from_names(columns.iter().map(|(name, _)| name.as_str()));
        let mut line = if ends.0 { blanks[63].to_owned() } else { String::new() };
        for ((_, value), blank) in columns.iter().zip(&blanks) {
            line += value.as_ref().map_or("-", |(text, _)| text);
            line += blank;
        }
        if ends.1 {
            line.truncate(line.trim_end_matches([' ', '\t']).len());
        }
        let expected: Map<String, Value> =
            columns.into_iter().filter_map(|(name, value)| value.map(|(_, kept)| (name, kept))).collect();
        let mut record = FlowRecord::default();
        prop_assert_eq!(parse_line(line.as_bytes(), &format, &mut record), Ok(()));
        prop_assert_eq!(values(&record, &format), expected);
    }

    #[test]
    fn any_bytes_in_any_format_are_a_record_or_a_place(
        line in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), "([0-9.:-]{0,16} ){0,20}".prop_map(String::into_bytes)],
        fields in subsequence(Field::ALL.to_vec(), 0..20),
    ) {
        let format = LogFormat::from_names(fields.iter().map(|field| field.name()));
        if let Err(error) = parse_line(&line, &format, &mut FlowRecord::default()) {
            prop_assert!(error.byte <= line.len());
        }
    }

    #[test]
    fn lines_are_conserved(object in any_object(), options in options(), piece in 1_usize..100) {
        let (log, result) = read_with(&object, piece, options);
        if let Ok(summary) = result {
            let accounted = log.records.len() + log.rejected.len() + log.blank_lines + summary.headers as usize;
            prop_assert_eq!(summary.lines as usize, accounted);
            // a line of JSON may hold any number of lines
            if summary.content != decode::Content::Json {
                let lines = object.iter().filter(|byte| **byte == b'\n').count();
                prop_assert_eq!(accounted, lines + usize::from(object.last().is_some_and(|byte| *byte != b'\n')
                    && object != b"\xef\xbb\xbf"));
            }
        }
    }

    #[test]
    fn pieces_and_compression_change_nothing(object in any_object(), options in options(), piece in 1_usize..100, cut: Index) {
        let plain = read_content(&object, usize::MAX, &options);
        prop_assert_eq!(&read_content(&object, piece, &options), &plain);
        // compressed bytes count as such: what the object holds is what is compared
        prop_assume!(!object.starts_with(b"\x1f\x8b"));
        let (front, back) = object.split_at(cut.index(object.len() + 1));
        for packed in [gzip(&object), zstd(&object), [gzip(front), gzip(back)].concat(), [zstd(front), zstd(back)].concat(), zstd(&gzip(&object))] {
            prop_assert_eq!(&read_content(&packed, piece, &options), &plain);
        }
    }

    #[test]
    fn a_cut_object_gives_the_beginning_of_the_whole(object in any_object(), options in options(), cut: Index) {
        let packed = gzip(&object);
        let (whole, result) = read_with(&packed, usize::MAX, options.clone());
        prop_assume!(result.is_ok());
        let (part, result) = read_with(&packed[..cut.index(packed.len())], usize::MAX, options);
        // one byte is not yet gzip
        prop_assert!(result.is_err() || cut.index(packed.len()) < 2);
        prop_assert!(whole.records.starts_with(&part.records));
    }
}
