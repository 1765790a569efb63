//! Reading a boundary map: TOML or JSON, one file or several, every problem in one run.
//!
//! ```text
//! text ──> toml_text ─┐
//! text ──> json_text ─┴─> Node ──> entries (by the table in keys, through scope) ──> BoundaryMap
//!                                        └─> problem: MapProblems
//! ```
//!
//! TOML and JSON become the same tree of values with places. `keys` is the one table of a map's keys, from which the
//! decoder and the JSON Schema both take them. Names are collected over all files before anything refers to them, so
//! order is free. A map with a problem is no map: nothing that is half right leaves this module.
//!
//! # Includes
//!
//! `include` names files relative to the file that includes them. Entries are merged in the order in which the files
//! are met: a file's own entries, then those of the files that it includes, each with what it includes in turn. A file
//! that is included twice is read once; a circle is a problem. `name`, `env` and `flow_log` stand in one of the files.
//!
//! # Identity
//!
//! [`BoundaryMap::sha256`] of a map in one file is the SHA-256 of its text, as `sha256sum` tells it. Of a map in
//! several files it is the SHA-256 of the concatenated SHA-256 digests (32 bytes each) of their texts, in the order
//! above. File names do not count.

mod entries;
mod gather;
mod json_text;
mod keys;
mod names;
mod node;
mod problem;
mod schema;
mod scope;
mod toml_text;
mod words;

#[cfg(test)]
mod tests;

use std::io;

use sha2::{Digest, Sha256};

use super::model::{BoundaryMap, MapFile, Place};
use node::{Node, Value};
use problem::Sink;
pub use problem::{MapProblems, Problem, Related};
pub use schema::map_schema;
pub(super) use words::{duration_text, ports_text, protocol_text};

/// Bytes of one file. Interfaces are the bulk of a large map: this is room for half a million.
const MAX_BYTES: usize = 64 << 20;

/// Files of one map.
const MAX_FILES: usize = 1_000;

/// Includes inside includes.
const MAX_DEPTH: usize = 16;

/// Reads a map and what it includes.
///
/// `read` gives the text of a file: first of `path`, then of each include, whose path is `path`'s folder with the
/// include's path appended. A file is JSON when its name ends in `.json`, or does not end in `.toml` and its text
/// begins with `{`; else TOML.
///
/// # Errors
///
/// All problems of the map.
pub fn load_map(path: &str, read: &mut dyn FnMut(&str) -> io::Result<String>) -> Result<BoundaryMap, MapProblems> {
    let mut loader = Loader { read, sink: Sink::default(), files: Vec::new(), roots: Vec::new(), open: Vec::new() };
    loader.file(path, &Place::default());
    let Loader { mut sink, files, roots, .. } = loader;
    let map = entries::decode(&roots, &mut sink);
    let files = sink.finish(files)?;
    Ok(BoundaryMap { sha256: identity(&files), files, ..map })
}

/// Reads a map from a single text; `name` stands for the file in messages. Includes are a problem.
///
/// # Errors
///
/// All problems of the map.
pub fn parse_map(name: &str, text: &str) -> Result<BoundaryMap, MapProblems> {
    let mut first = Some(text.to_owned());
    load_map(name, &mut |_| first.take().ok_or_else(|| io::Error::other("a single text cannot include files")))
}

struct Loader<'r> {
    read: &'r mut dyn FnMut(&str) -> io::Result<String>,
    sink: Sink,
    /// What was read, in order.
    files: Vec<MapFile>,
    roots: Vec<Node>,
    /// The files that are being read: each includes the next.
    open: Vec<String>,
}

impl Loader<'_> {
    /// Reads a file and what it includes; `place` is where it was asked for.
    fn file(&mut self, path: &str, place: &Place) {
        let first = self.files.is_empty();
        let text = match (self.read)(path) {
            Ok(text) if text.len() > MAX_BYTES => Err(format!("it is larger than {} MiB", MAX_BYTES >> 20)),
            Ok(text) => Ok(text),
            Err(error) => Err(error.to_string()),
        };
        let text = text.unwrap_or_else(|reason| {
            let problem = self.sink.broken(place, format!("cannot read `{path}`: {reason}"));
            problem.hint(if first { "check the path" } else { "paths are relative to the file that includes" });
            String::new()
        });
        let file = u16::try_from(self.files.len()).unwrap_or(u16::MAX);
        let root = match path {
            _ if text.is_empty() => Node::empty(file),
            _ if is_json(path, &text) => json_text::read_json(file, &text, &mut self.sink),
            _ => toml_text::read_toml(file, &text, &mut self.sink),
        };
        let includes = includes(&root);
        self.files.push(MapFile { name: path.to_owned(), text });
        self.roots.push(root);
        self.open.push(normal(path));
        for (include, place) in includes {
            self.include(&join(path, &include), &place);
        }
        self.open.pop();
    }

    fn include(&mut self, path: &str, place: &Place) {
        let target = normal(path);
        if let Some(start) = self.open.iter().position(|open| *open == target) {
            let circle: Vec<&str> = self.open.iter().skip(start).chain([&target]).map(String::as_str).collect();
            let problem = self.sink.add(place, format!("`{path}` includes itself"));
            problem.hint(format!("remove one `include` of {}", circle.join(" -> ")));
        } else if self.files.iter().any(|file| normal(&file.name) == target) {
            // By a second way: its entries are there already.
        } else if self.open.len() == MAX_DEPTH || self.files.len() == MAX_FILES {
            let problem = self.sink.add(place, format!("`{path}` is one include too many"));
            problem.hint(format!("a map has at most {MAX_FILES} files, {MAX_DEPTH} inside each other"));
        } else {
            self.file(path, place);
        }
    }
}

/// The paths in `include`, with their places. What is wrong with the list, the decoder says.
fn includes(root: &Node) -> Vec<(String, Place)> {
    let members = root.members().unwrap_or_default();
    let list = members.iter().find(|member| member.key == "include").map(|member| &member.node.value);
    let Some(Value::List(items)) = list else { return Vec::new() };
    let path = |item: &Node| match &item.value {
        Value::Text(path) => Some((path.clone(), item.place.clone())),
        _ => None,
    };
    items.iter().filter_map(path).collect()
}

fn is_json(path: &str, text: &str) -> bool {
    let ends = |end: &str| path.to_ascii_lowercase().ends_with(end);
    ends(".json") || (!ends(".toml") && text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('{'))
}

/// An include's path as seen from where the including file's path is seen.
fn join(from: &str, include: &str) -> String {
    match from.rsplit_once('/') {
        Some((folder, _)) if !include.starts_with('/') => format!("{folder}/{include}"),
        _ => include.to_owned(),
    }
}

/// The path without `.` and `..` where they can be resolved: two ways to one file are one file.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, "" | "..")) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn identity(files: &[MapFile]) -> String {
    let digests: Vec<_> = files.iter().map(|file| Sha256::digest(&file.text)).collect();
    let digest = match digests.as_slice() {
        [only] => *only,
        several => Sha256::digest(several.concat()),
    };
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
