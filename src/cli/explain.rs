//! `flowbound explain`: how each verdict came about.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::sync::Arc;

use serde_json::json;

use super::{Exit, Failure, FormatArgs, MapArgs, print};
use crate::boundary::{Boundary, Judgement};
use crate::decode::{DecodeOptions, Decoder, Piece};
use crate::parse::Batches;
use crate::record::{Field, FlowBatch, FlowRecord, LogFormat, ParseError, ParseErrorKind};

/// Read flow log lines on standard input and tell, for each, every step to its verdict
///
/// A header line sets the format of the lines after it. Try it with a line of your own log:
/// echo '2 123456789012 eni-0a 10.0.1.5 10.0.2.9 49152 443 6 1 40 1790640000 1790640058 ACCEPT OK' |
/// flowbound explain --map boundary.toml
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    map: MapArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Print one JSON object a line
    #[arg(long, env = "FLOWBOUND_JSON")]
    json: bool,
}

/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 1 << 20;

pub(super) fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    let boundary = args.map.boundary()?;
    let mut format = Arc::new(args.format.format()?.unwrap_or_default());
    if std::io::stdin().is_terminal() {
        // nobody may be listening
        let _closed_pipe = writeln!(std::io::stderr(), "reading flow log lines from the terminal; Ctrl-D ends");
    }
    let mut input = std::io::stdin().lock();
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        let read = input.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes);
        if read.map_err(|error| Failure::failed(format!("cannot read standard input: {error}")))? == 0 {
            break;
        }
        number += 1;
        if number == 1 && matches!(bytes.as_slice(), [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..]) {
            return Err(Failure::usage(
                "standard input is compressed; explain reads text: use zcat or zstdcat before it",
            ));
        }
        let line = bytes.trim_ascii_end();
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if let Some(header) = std::str::from_utf8(line).ok().and_then(LogFormat::from_header) {
            format = Arc::new(header);
            continue;
        }
        print(explained_line(number, line, &format, boundary.as_ref(), args.json))?;
    }
    if number == 0 {
        return Err(Failure::usage("no line on standard input"));
    }
    Ok(Exit::Done)
}

/// What is said of one line. It goes the way of a replay, so that nothing is read here that a replay would refuse.
fn explained_line(
    number: i64,
    line: &[u8],
    format: &Arc<LogFormat>,
    boundary: Option<&Boundary>,
    json: bool,
) -> String {
    let refuse = |raw: &[u8], error: &ParseError| {
        if json { format!("{}\n", error_json(number, error)) } else { refused(number, raw, error) }
    };
    let mut text = String::new();
    let mut chunks = Vec::new();
    let mut decoder = Decoder::new(DecodeOptions { format: Some(format.clone()), ..DecodeOptions::default() });
    let mut keep = |piece: Piece| match piece {
        Piece::Lines(chunk) => chunks.push(chunk),
        Piece::Rejected { raw, error, .. } => text += &refuse(&raw, &error),
    };
    let decoded = decoder.push(line, &mut keep).and_then(|()| decoder.finish(&mut keep));
    if let Err(fault) = decoded {
        return format!("{number}: no text: {fault}\n\n");
    }
    for chunk in &chunks {
        let mut batches = Batches::new(chunk);
        let mut batch = FlowBatch::new(&chunk.format);
        while batches.next_batch(&mut batch) {
            for rejected in &batch.rejected {
                text += &refuse(rejected.raw, &rejected.error);
            }
            for record in &batch.records {
                text += &match json {
                    true => format!("{}\n", judged_json(record, boundary)),
                    false => explained(number, line, record, format, boundary),
                };
            }
        }
    }
    text
}

fn judged_json(record: &FlowRecord<'_>, boundary: Option<&Boundary>) -> serde_json::Value {
    match boundary {
        Some(boundary) => boundary.verdict_json(&boundary.judge(record)),
        // without a map only NODATA and SKIPDATA say something
        None => {
            let judged = Judgement::of_status(record);
            json!({
                "verdict": judged.map(|judged| judged.verdict.as_str()),
                "reason": judged.and_then(|judged| judged.reason.word()),
                "severity": judged.map(|judged| judged.severity.as_str()),
            })
        }
    }
}

fn error_json(line: i64, error: &ParseError) -> serde_json::Value {
    json!({"error": {
        "line": line,
        "reason": error.kind.reason(),
        "field": error.field,
        "byte": error.byte,
        "detail": error.kind.to_string(),
    }})
}

fn explained(
    number: i64,
    line: &[u8],
    record: &FlowRecord<'_>,
    format: &LogFormat,
    boundary: Option<&Boundary>,
) -> String {
    let steps = match boundary {
        Some(boundary) => boundary.explain(record).to_string(),
        None => fields(record, format),
    };
    format!("{number}: {}\n{}\n\n", String::from_utf8_lossy(line), steps.trim_end())
}

/// Without a map there is no verdict: the record as it was read.
fn fields(record: &FlowRecord<'_>, format: &LogFormat) -> String {
    let mut text = String::from("  no map: the record is read, not judged (give one with --map)\n");
    for field in Field::ALL.iter().filter(|field| format.has(**field)) {
        let value = record.number(*field).map(|value| value.to_string());
        let value = value.or_else(|| record.text(*field).map(str::to_owned)).unwrap_or_else(|| "-".to_owned());
        text.push_str(&format!("  {:<24} {value}\n", field.name()));
    }
    text
}

fn refused(number: i64, line: &[u8], error: &ParseError) -> String {
    let shown = String::from_utf8_lossy(line);
    let before =
        line.get(..error.byte.min(line.len())).map_or(0, |bytes| String::from_utf8_lossy(bytes).chars().count());
    let margin = format!("{number}: ").len();
    let hint = match error.kind {
        ParseErrorKind::FieldCount { .. } => {
            "\n  if its log has another format: put the header line before it, or name the fields with --log-format"
        }
        _ => "",
    };
    format!("{number}: {shown}\n{:margin$}{:before$}^\n  no record: {error}{hint}\n\n", "", "")
}
