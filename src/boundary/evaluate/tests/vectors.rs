//! The published answers: 76 records on four maps, worked out by hand.

use serde_json::Value;

use super::support::{read_map, record_of_line};
use crate::boundary::evaluate::{Boundary, Selection};
use crate::record::LogFormat;

/// The format of the lines with 20 fields.
const LONG: &str = "version account-id vpc-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes \
                    start end action log-status tcp-flags flow-direction pkt-srcaddr pkt-dstaddr traffic-path";

fn vectors() -> Vec<Value> {
    let text = include_str!("../../../../testdata/vectors/vectors.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn boundary_of(vector: &Value) -> Boundary {
    let text = match vector["map"].as_str().unwrap() {
        "artos.toml" => include_str!("../../../../testdata/vectors/maps/artos.toml"),
        "atlas.toml" => include_str!("../../../../testdata/vectors/maps/atlas.toml"),
        "eks-rds.toml" => include_str!("../../../../testdata/vectors/maps/eks-rds.toml"),
        "ez-cdc.toml" => include_str!("../../../../testdata/vectors/maps/ez-cdc.toml"),
        other => panic!("no map {other}"),
    };
    let option = |key: &str| vector["options"][key].as_str().map(str::to_owned);
    Boundary::new(read_map(text), &Selection { env: option("env"), mode: option("mode") })
}

fn format_of(line: &str) -> LogFormat {
    match line.split(' ').count() {
        14 => LogFormat::default(),
        _ => LONG.parse().unwrap(),
    }
}

#[test]
fn all_vectors() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 76);
    for vector in vectors {
        let boundary = boundary_of(&vector);
        let line = vector["line"].as_str().unwrap();
        let record = record_of_line(line, &format_of(line));
        let got = boundary.verdict_json(&boundary.judge(&record));
        assert_eq!(got, vector["expect"], "{}: {}\n{}", vector["id"], vector["note"], boundary.explain(&record));
    }
}

fn explained(id: &str) -> String {
    let vector = vectors().into_iter().find(|vector| vector["id"] == id).unwrap();
    let line = vector["line"].as_str().unwrap();
    boundary_of(&vector).explain(&record_of_line(line, &format_of(line))).to_string()
}

#[test]
fn explanations_say_every_step() {
    insta::assert_snapshot!(["V06", "V31", "V42", "V49", "V20", "V50"].map(explained).join("\n\n"));
}
