//! Reading a table by its row in [`super::keys`]: typed values, and a problem for whatever does not fit.
//!
//! Where a value is wrong or missing, the problem is noted and reading goes on with a stand-in; a map with a problem
//! never leaves the loader, so no stand-in does.

use super::super::model::Place;
use super::keys::{self, Case, Key, Shape, Table};
use super::names::Names;
use super::node::{Member, Node, Value};
use super::problem::{Problem, SHOWN, Sink};
use super::words::{self, Wrong};

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// What it is, for messages: "zone `rds`".
    what: String,
    /// Where a missing key is reported.
    place: &'a Place,
    /// `None` where it is no table; that is reported, and nothing is missing in it.
    members: Option<&'a [Member]>,
    table: &'static Table,
    case: Option<&'static Case>,
}

impl<'a> Scope<'a> {
    /// The row of a key in the table of keys.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        let own = self.case.map_or(&[][..], |case| case.keys);
        self.table.keys.iter().chain(own).find(|key| key.name == name)
    }

    /// The value at a key, whatever it is.
    pub(super) fn node(&self, name: &str) -> Option<&'a Node> {
        self.members?.iter().find(|member| member.key == name).map(|member| &member.node)
    }

    /// True when the key is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// False where something else than a table stands there.
    pub(super) fn is_table(&self) -> bool {
        self.members.is_some()
    }

    /// What it is, for messages.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Where it stands.
    pub(super) fn place(&self) -> &'a Place {
        self.place
    }
}

/// Reads tables; keeps the names that they refer to and the problems.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    pub(super) sink: &'a mut Sink,
    pub(super) names: Names<'a>,
}

impl<'a> Decoder<'a> {
    /// Opens a table, as one of its variants where it has some, and reports its unknown keys. Without a variant,
    /// though there are some, the keys of each pass.
    pub(super) fn open(
        &mut self,
        node: &'a Node,
        place: &'a Place,
        what: String,
        table: &'static Table,
        case: Option<&'static Case>,
    ) -> Scope<'a> {
        let members = self.members(node, &what);
        let scope = Scope { what, place, members, table, case };
        self.known(&scope);
        scope
    }

    /// The members of a table; `None`, and a problem, where it is no table.
    pub(super) fn members(&mut self, node: &'a Node, what: &str) -> Option<&'a [Member]> {
        if node.members().is_none() {
            self.mismatch(node, what, "a table");
        }
        node.members()
    }

    /// The name that was probably meant. Not sought for problems that no report shows: a large map in which every
    /// name is wrong would take hours.
    pub(super) fn nearest<'n>(&self, text: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
        if self.sink.len() < SHOWN { words::nearest(text, candidates) } else { None }
    }

    /// Reports the keys that do not belong to the table.
    fn known(&mut self, scope: &Scope<'_>) {
        let own = scope.case.map_or(&[][..], |case| case.keys);
        let legal: Vec<&str> = scope.table.keys.iter().chain(own).map(|key| key.name).collect();
        for Member { key, place, .. } in scope.members.unwrap_or_default() {
            let elsewhere = scope.table.cases.iter().any(|case| case.keys.iter().any(|known| known.name == key));
            let message = match scope.case {
                _ if legal.contains(&key.as_str()) => continue,
                None if elsewhere => continue,
                Some(_) if elsewhere => format!("`{key}` does not belong to {}", scope.what),
                _ => format!("unknown key `{key}` in {}", scope.what),
            };
            let hint = match (keys::foreign(scope.table.name, key), self.nearest(key, legal.iter().copied())) {
                (Some(hint), _) => hint.to_owned(),
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => format!("its keys are {}", legal.join(", ")),
            };
            self.sink.add(place, message).hint(hint);
        }
    }

    /// The value at a key, or nothing; a missing key is a problem if it is required.
    pub(super) fn value(&mut self, scope: &Scope<'a>, name: &str) -> Option<&'a Node> {
        let key = scope.key(name);
        debug_assert!(key.is_some(), "key `{name}` of {} is not in the table of keys", scope.table.name);
        let node = scope.node(name);
        if let (None, true, Some(Key { required: true, doc, shape, .. })) = (node, scope.is_table(), key) {
            let hint = match shape {
                Shape::OneOf([only]) => format!("add `{name} = {only}`"),
                _ => format!("add `{name}`: {}", fragment(doc)),
            };
            self.sink.missing(scope.place, format!("{} lacks `{name}`", scope.what)).hint(hint);
        }
        node
    }

    /// Reports a value of the wrong type.
    pub(super) fn mismatch(&mut self, node: &Node, what: &str, expected: &str) -> Option<&mut Problem> {
        if matches!(node.value, Value::Broken) {
            return None;
        }
        let problem =
            self.sink.add(&node.place, format!("expected {expected} for {what}, found {}", node.value.kind()));
        if matches!(node.value, Value::Null) {
            problem.hint("leave the key out");
        }
        Some(problem)
    }

    /// Reports a value that is wrong in itself.
    fn judge<T>(&mut self, node: &Node, what: &str, result: Result<T, Wrong>) -> Option<T> {
        result
            .map_err(|Wrong { message, hint }| {
                self.sink.add(&node.place, format!("{message}, in {what}")).hint = hint;
            })
            .ok()
    }

    /// The string at a node.
    pub(super) fn string(&mut self, node: &'a Node, what: &str) -> Option<&'a str> {
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Integer(_) | Value::Float | Value::Date(_) => {
                if let Some(problem) = self.mismatch(node, what, "a string") {
                    problem.hint("put it in quotes");
                }
                None
            }
            _ => {
                self.mismatch(node, what, "a string");
                None
            }
        }
    }

    /// The text at a key.
    pub(super) fn text(&mut self, scope: &Scope<'a>, name: &str) -> Option<String> {
        let node = self.value(scope, name)?;
        self.string(node, &at(scope, name)).map(str::to_owned)
    }

    /// The name at a key: not empty, and printable.
    pub(super) fn name(&mut self, scope: &Scope<'a>, name: &str) -> Option<&'a str> {
        let node = self.value(scope, name)?;
        let text = self.string(node, &at(scope, name))?;
        self.nameable(text, &node.place, &at(scope, name)).then_some(text)
    }

    /// True when a name is not empty and can be printed on one line; else a problem.
    pub(super) fn nameable(&mut self, text: &str, place: &Place, what: &str) -> bool {
        let fits = !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control);
        if !fits {
            let hint = "a name is not empty, has no spaces around it and no control characters";
            let message =
                if text.is_empty() { format!("{what} is empty") } else { format!("{what} cannot be `{text}`") };
            self.sink.add(place, message).hint(hint);
        }
        fits
    }

    /// The boolean at a key.
    pub(super) fn flag(&mut self, scope: &Scope<'a>, name: &str) -> Option<bool> {
        let node = self.value(scope, name)?;
        match node.value {
            Value::Flag(flag) => Some(flag),
            _ => {
                if let Some(problem) = self.mismatch(node, &at(scope, name), "a boolean") {
                    problem.hint("write true or false, without quotes");
                }
                None
            }
        }
    }

    /// The integer at a key, within the limits of the table of keys.
    pub(super) fn number(&mut self, scope: &Scope<'a>, name: &str) -> Option<i64> {
        let node = self.value(scope, name)?;
        let Value::Integer(number) = node.value else {
            if let Some(problem) = self.mismatch(node, &at(scope, name), "an integer") {
                problem.hint("write a whole number, without quotes");
            }
            return None;
        };
        let (fits, legal) = match scope.key(name).map(|key| key.shape) {
            Some(Shape::Number(min, max)) => {
                (number.is_some_and(|number| (min..=max).contains(&number)), format!("from {min} to {max}"))
            }
            Some(Shape::OneOf(all)) => (number.is_some_and(|number| all.contains(&number)), either(all)),
            _ => (true, String::new()),
        };
        if !fits {
            let found = number.map_or_else(|| "a number beyond 64 bits".to_owned(), |number| number.to_string());
            let message = format!("{} is {found}", at(scope, name));
            self.sink.add(&node.place, message).hint(format!("it must be {legal}"));
        }
        number.filter(|_| fits)
    }

    /// The non-negative integer at a key.
    pub(super) fn count(&mut self, scope: &Scope<'a>, name: &str) -> Option<u64> {
        self.number(scope, name).and_then(|number| u64::try_from(number).ok())
    }

    /// The word at a key: one of those in the table of keys.
    pub(super) fn word(&mut self, scope: &Scope<'a>, name: &str) -> Option<&'a str> {
        let node = self.value(scope, name)?;
        let text = self.string(node, &at(scope, name))?;
        let legal = match scope.key(name).map(|key| key.shape) {
            Some(Shape::Word(words)) => words,
            _ => &[],
        };
        self.one_of(node, text, &at(scope, name), legal.iter().copied())
    }

    /// The text if it is one of the legal words; else a problem.
    pub(super) fn one_of(
        &mut self,
        node: &Node,
        text: &'a str,
        what: &str,
        legal: impl Iterator<Item = &'static str> + Clone,
    ) -> Option<&'a str> {
        if legal.clone().any(|word| word == text) {
            return Some(text);
        }
        let hint = match self.nearest(text, legal.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it must be {}", either(legal.map(|word| format!("`{word}`")))),
        };
        self.sink.add(&node.place, format!("{what} cannot be `{text}`")).hint(hint);
        None
    }

    /// The items of the list at a key.
    pub(super) fn items(&mut self, scope: &Scope<'a>, name: &str) -> Option<&'a [Node]> {
        let node = self.value(scope, name)?;
        match &node.value {
            Value::List(items) => Some(items),
            value => {
                let hint = match value {
                    Value::Text(text) => Some(format!("write `[\"{}\"]`", text.escape_debug())),
                    Value::Integer(Some(number)) => Some(format!("write `[\"{number}\"]`")),
                    _ => None,
                };
                if let Some(problem) = self.mismatch(node, &at(scope, name), "a list") {
                    problem.hint = hint;
                }
                None
            }
        }
    }

    /// The list at a key, each item read by `read`.
    pub(super) fn list<T>(
        &mut self,
        scope: &Scope<'a>,
        name: &str,
        mut read: impl FnMut(&mut Self, &'a Node, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(scope, name)?;
        let what = at(scope, name);
        Some(items.iter().filter_map(|item| read(self, item, &what)).collect())
    }

    /// Reports the list at a key if it is empty.
    pub(super) fn filled(&mut self, scope: &Scope<'a>, name: &str, hint: &str) {
        if let Some(node) = scope.node(name)
            && matches!(&node.value, Value::List(items) if items.is_empty())
        {
            self.sink.add(&node.place, format!("{} is empty", at(scope, name))).hint(hint);
        }
    }

    /// The list of strings at a key.
    pub(super) fn texts(&mut self, scope: &Scope<'a>, name: &str) -> Option<Vec<String>> {
        self.list(scope, name, |decoder, node, what| decoder.string(node, what).map(str::to_owned))
    }

    /// The value at a key, read from its text.
    pub(super) fn parsed<T>(&mut self, scope: &Scope<'a>, name: &str, read: fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let node = self.value(scope, name)?;
        self.parse(node, &at(scope, name), read)
    }

    /// The values of the list at a key, each read from its text.
    pub(super) fn parsed_list<T>(
        &mut self,
        scope: &Scope<'a>,
        name: &str,
        read: fn(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        self.list(scope, name, |decoder, node, what| decoder.parse(node, what, read))
    }

    /// Reads a value from its text; of numbers and dates the text is what they look like.
    fn parse<T>(&mut self, node: &'a Node, what: &str, read: fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let result = match &node.value {
            Value::Text(text) | Value::Date(text) => read(text),
            Value::Integer(Some(number)) => read(&number.to_string()),
            _ => {
                self.mismatch(node, what, "a string");
                return None;
            }
        };
        self.judge(node, what, result)
    }
}

/// What a value is, for messages.
pub(super) fn at(scope: &Scope<'_>, name: &str) -> String {
    format!("`{name}` of {}", scope.what)
}

/// A doc text in the middle of a message.
fn fragment(doc: &str) -> String {
    let mut chars = doc.trim_end_matches('.').chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// "a, b or c".
fn either(all: impl IntoIterator<Item = impl ToString>) -> String {
    let mut all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    let last = all.pop().unwrap_or_default();
    if all.is_empty() { last } else { format!("{} or {last}", all.join(", ")) }
}
