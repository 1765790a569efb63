//! Tests of the lints: for each, a map that trips it and one that just does not.

mod addresses;
mod catalog;
mod evaluator;
mod log;
mod nacl;
mod paths;
mod reference;
mod rules;
mod zones;

use super::{EXAMPLE_MAP, Lint, Selection, Traffic, lint};
use crate::boundary::load::parse_map;
use crate::boundary::model::BoundaryMap;
use crate::boundary::report::Level;

/// A map, which must be correct in form.
fn map(text: &str) -> BoundaryMap {
    parse_map("map.toml", text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// The example map with more entries.
fn example(more: &str) -> BoundaryMap {
    map(&format!("{EXAMPLE_MAP}{more}"))
}

fn select(env: Option<&str>, mode: Option<&str>) -> Selection {
    Selection { env: env.map(str::to_owned), mode: mode.map(str::to_owned) }
}

/// The findings of one lint on a map.
fn on(map: &BoundaryMap, code: &str) -> Vec<Lint> {
    of(lint(map, &Selection::default(), None, None), code)
}

fn of(found: Vec<Lint>, code: &str) -> Vec<Lint> {
    found.into_iter().filter(|lint| lint.code == code).collect()
}

/// The findings of one lint on the example map with more entries, as `level: message`.
fn messages(more: &str, code: &str) -> Vec<String> {
    texts(&on(&example(more), code))
}

fn texts(found: &[Lint]) -> Vec<String> {
    found.iter().map(|lint| format!("{}: {}", lint.level, lint.message)).collect()
}

/// The lint finds exactly one thing there, at this level, and its message has these words.
#[track_caller]
fn trips(more: &str, code: &str, level: Level, words: &[&str]) {
    one(&on(&example(more), code), level, words);
}

#[track_caller]
fn one(found: &[Lint], level: Level, words: &[&str]) {
    let texts = texts(found);
    let [lint] = found else { panic!("not one finding but {texts:#?}") };
    assert_eq!(lint.level, level, "{texts:?}");
    for word in words {
        assert!(lint.message.contains(word), "no {word:?} in {texts:?}");
    }
}

/// The lint finds nothing there.
#[track_caller]
fn passes(more: &str, code: &str) {
    assert_eq!(messages(more, code), Vec::<String>::new());
}
