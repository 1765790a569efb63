//! Gathering the entries of each table over all files of a map, and what makes an entry one: its name or id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::model::Place;
use super::keys::{Case, Table};
use super::names::Index;
use super::node::{Node, Value};
use super::scope::{Decoder, Scope};

/// More entries of a kind than this do not fit the model's indices, of which the built-in zones take a few.
const MAX_ENTRIES: usize = 65_000;

/// A key of the top that holds for the whole map. The file that includes others has the last word, so that a variant
/// of a map can have a name and an environment of its own; of the included files one at most may give it.
pub(super) fn once<'a, T>(
    decoder: &mut Decoder<'a>,
    files: &[Scope<'a>],
    key: &str,
    read: fn(&mut Decoder<'a>, &Scope<'a>, &str) -> Option<T>,
) -> Option<T> {
    if let Some(main) = files.first().filter(|file| file.has(key)) {
        return read(decoder, main, key);
    }
    let mut with = files.iter().filter(|file| file.has(key));
    let first = with.next().or(files.first())?;
    for other in with {
        if let (Some(node), Some(given)) = (other.node(key), first.node(key)) {
            let problem = decoder.sink.add(&node.place, format!("`{key}` is given in two files"));
            problem.hint("keep it in one of them").related(&given.place, "first given here");
        }
    }
    read(decoder, first, key)
}

/// An entry of a table of tables: its name, and what stands there.
pub(super) type Named<'a> = (&'a str, &'a Place, &'a Node);

/// The entries of a table of tables over all files, each name once.
pub(super) fn named<'a>(
    decoder: &mut Decoder<'a>,
    files: &[Scope<'a>],
    key: &str,
    reserved: &[&str],
) -> (Vec<Named<'a>>, Index<'a>) {
    let mut entries = Vec::new();
    let mut index = Index::default();
    for file in files {
        let Some(node) = decoder.value(file, key) else { continue };
        if let Value::List(_) = &node.value {
            if let Some(problem) = decoder.mismatch(node, &format!("`{key}`"), "a table") {
                problem.hint(format!("write `[{key}.NAME]`, once for each name"));
            }
            continue;
        }
        for member in decoder.members(node, &format!("`{key}`")).unwrap_or_default() {
            let name = member.key.as_str();
            decoder.nameable(name, &member.place, &format!("the name of a {key}"));
            if reserved.contains(&name) {
                let problem = decoder.sink.add(&member.place, format!("the {key} `{name}` is built in"));
                problem.hint("choose another name");
            } else if let Err(first) = index.declare(name, &member.place) {
                let problem = decoder.sink.add(&member.place, format!("the {key} `{name}` is defined twice"));
                problem.hint("rename or remove one of the two").related(first, "first defined here");
            } else if fits(decoder, key, entries.len(), &member.place) {
                entries.push((name, &member.place, &member.node));
            } else {
                return (entries, index);
            }
        }
    }
    (entries, index)
}

/// The entries of a list of tables over all files.
pub(super) fn many<'a>(decoder: &mut Decoder<'a>, files: &[Scope<'a>], key: &str) -> Vec<&'a Node> {
    let mut entries = Vec::new();
    for file in files {
        let Some(node) = decoder.value(file, key) else { continue };
        let Value::List(items) = &node.value else {
            if let Some(problem) = decoder.mismatch(node, &format!("`{key}`"), "a list of tables") {
                problem.hint(format!("write `[[{key}]]`, once for each {key}"));
            }
            continue;
        };
        for item in items {
            if !fits(decoder, key, entries.len(), &item.place) {
                return entries;
            }
            entries.push(item);
        }
    }
    entries
}

/// True when one more entry fits; else a problem.
fn fits(decoder: &mut Decoder<'_>, key: &str, count: usize, place: &Place) -> bool {
    if count == MAX_ENTRIES {
        let problem = decoder.sink.add(place, format!("more than {MAX_ENTRIES} entries of `{key}`"));
        problem.hint("split the map: one for each VPC or account");
    }
    count < MAX_ENTRIES
}

/// The text at a key that names an entry, and its place.
pub(super) fn identity<'a>(node: &'a Node, key: &str) -> Option<(&'a str, &'a Place)> {
    let node = &node.members()?.iter().find(|member| member.key == key)?.node;
    match &node.value {
        Value::Text(text) => Some((text, &node.place)),
        _ => None,
    }
}

/// Reports an id that was there before.
pub(super) fn unique<'a>(
    decoder: &mut Decoder<'a>,
    ids: &mut HashMap<&'a str, &'a Place>,
    id: &'a str,
    place: &'a Place,
) {
    match ids.entry(id) {
        Entry::Vacant(slot) => {
            slot.insert(place);
        }
        Entry::Occupied(first) => {
            let problem = decoder.sink.add(place, format!("the id `{id}` is used twice"));
            problem.hint("give each entry its own id").related(first.get(), "first used here");
        }
    }
}

/// Opens an entry of a list; it stands where its id does.
pub(super) fn open<'a>(
    decoder: &mut Decoder<'a>,
    node: &'a Node,
    table: &'static Table,
    case: Option<&'static Case>,
) -> Scope<'a> {
    match identity(node, "id") {
        Some((id, place)) => decoder.open(node, place, format!("{} `{id}`", table.name), table, case),
        None => decoder.open(node, &node.place, format!("this {}", table.name), table, case),
    }
}
