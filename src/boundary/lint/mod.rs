//! Lints L01 to L21: what is legal in a map, and probably not meant.
//!
//! [`LINTS`] says of each what it finds, why it matters and when it has which level; `docs/lints.md` is made from it.
//! A lint looks at the map alone; only L18 and L21 also need what a lake holds ([`Traffic`]), and only L19 the date.
//!
//! Lints about one entry (its owner, its ports, its exposure) look at every entry. Lints about how entries work together
//! (L07, L09, L13, L14, L20) look at those of the selected environment and mode, as the evaluator does; L05 and L06
//! compare the environments and modes of the rules themselves.

mod addresses;
mod bits;
mod catalog;
mod log;
mod nacl;
mod paths;
mod ports;
mod rules;
#[cfg(test)]
mod tests;
mod view;
mod ways;
mod zones;

use std::fmt::Write as _;

use serde_json::{Value, json};

pub use self::catalog::{EXAMPLE_MAP, LINTS, LintInfo, lints_markdown};
pub use self::log::{Traffic, ZoneTraffic};
use self::view::View;
use super::evaluate::Selection;
use super::model::{BoundaryMap, MapFile, Place};
use super::report::{Level, Report, line_column, render};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// Its code, a key of [`LINTS`].
    pub code: &'static str,
    /// How much it matters.
    pub level: Level,
    /// The entry that it is about.
    pub place: Place,
    /// What is found: a lowercase fragment that names the entries.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Other entries that belong to it.
    pub related: Vec<(Place, String)>,
}

impl Lint {
    fn new(code: &'static str, level: Level, place: &Place, message: String) -> Self {
        Self { code, level, place: place.clone(), message, hint: None, related: Vec::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn related(mut self, place: &Place, label: impl Into<String>) -> Self {
        // One entry can be the reason twice over; it is marked once. The finding's own place needs no second mark.
        if *place != self.place && !self.related.iter().any(|(known, _)| known == place) {
            self.related.push((place.clone(), label.into()));
        }
        self
    }

    /// The finding for people, with the lines of the map's files.
    pub fn report(&self, files: &[MapFile], color: bool) -> String {
        let report = Report {
            level: self.level,
            code: Some(self.code),
            place: &self.place,
            message: &self.message,
            hint: self.hint.as_deref(),
            related: &self.related,
        };
        render(files, &report, color)
    }

    /// The finding for programs: `code level file line column message hint related`. Line and column count from 1 and
    /// are null where the map was not read from a file.
    pub fn to_json(&self, files: &[MapFile]) -> Value {
        let place = |place: &Place| {
            let (line, column) = line_column(files, place).unzip();
            let file = files.get(usize::from(place.file)).map(|file| file.name.as_str());
            (file.map(str::to_owned), line, column)
        };
        let related = self.related.iter().map(|(other, label)| {
            let (file, line, column) = place(other);
            json!({ "file": file, "line": line, "column": column, "message": label })
        });
        let (file, line, column) = place(&self.place);
        json!({
            "code": self.code,
            "level": self.level,
            "file": file,
            "line": line,
            "column": column,
            "message": self.message,
            "hint": self.hint,
            "related": related.collect::<Vec<_>>(),
        })
    }
}

/// All findings about a map, in the order of its files and places.
///
/// `today` (`YYYY-MM-DD`) switches L19 on and `traffic` switches L18 and L21 on: the caller has the clock and the lake.
pub fn lint(map: &BoundaryMap, selection: &Selection, today: Option<&str>, traffic: Option<&Traffic>) -> Vec<Lint> {
    let view = View::new(map, selection);
    let ways = ways::ways(&view);
    let mut found = Vec::new();
    addresses::check(&view, &mut found);
    zones::check(&view, &mut found);
    rules::check(&view, today, &mut found);
    paths::check(&view, &ways, &mut found);
    nacl::check(&view, &ways, &mut found);
    log::check(&view, traffic, &mut found);
    found.sort_by(|a, b| {
        let key = |lint: &Lint| (lint.place.file, lint.place.span.start, lint.code);
        key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
    });
    found
}

/// Names for a sentence: `a`, `a and b`, `a, b and c`; past eight the rest is counted.
fn list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<T> = names.into_iter().collect();
    let mut text = String::new();
    for (index, name) in names.iter().take(SHOWN).enumerate() {
        let last = index + 1 == names.len();
        text.push_str(if index == 0 {
            ""
        } else if last {
            " and "
        } else {
            ", "
        });
        text.push_str(name.as_ref());
    }
    if names.len() > SHOWN {
        // writing to a `String` cannot fail
        write!(text, " and {} more", names.len() - SHOWN).unwrap_or_default();
    }
    text
}

/// A name in a sentence.
fn quoted(name: &str) -> String {
    format!("`{name}`")
}
