//! Where the objects of a JSON text begin and end, without reading them.
//!
//! The text comes in pieces of any size, and every byte is looked at once. Arrays at the top count for nothing, so
//! that one of a gigabyte is read element by element. What is no object is broken, up to the next line that begins
//! with `{`: one bad object in a file must not take the others with it. Whether an object is JSON inside is not judged
//! here, but for two mistakes, which an object cut off in the middle of its line shows at its end or at the next
//! object: a line end inside of a string, and an object where none can be.

use memchr::{memchr_iter, memchr3};

use crate::record::ParseErrorKind;

/// The first bytes of the text: what they are, and how many.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Blanks, commas and brackets.
    Between(usize),
    Object(usize),
    /// No object; with what is wrong.
    Broken(usize, ParseErrorKind),
}

impl Part {
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Between(length) | Self::Object(length) | Self::Broken(length, _) => *length,
        }
    }
}

#[derive(Debug)]
pub(super) struct Splitter {
    /// The longest object, in bytes.
    limit: usize,
    /// How far the text was looked at.
    at: usize,
    /// Braces and brackets open there.
    depth: usize,
    in_string: bool,
    /// The byte before, blanks left out.
    before: u8,
    /// What is wrong with this object; its end is being looked for.
    fault: Option<ParseErrorKind>,
}

impl Splitter {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, at: 0, depth: 0, in_string: false, before: 0, fault: None }
    }

    /// The first part of the text, or `None` if that takes more of it. The text of the next call begins behind the
    /// part, or is this one, longer. `complete`: there is no more.
    pub(super) fn next(&mut self, text: &[u8], complete: bool) -> Option<Part> {
        if self.at == 0 && self.fault.is_none() {
            let between = text.iter().take_while(|byte| is_between(**byte)).count();
            if between > 0 {
                return Some(Part::Between(between));
            }
            if *text.first()? != b'{' {
                self.fault = Some(bad("no object begins here"));
            }
        }
        if self.fault.is_none() {
            let within = text.get(..self.limit).unwrap_or(text);
            if let Some(length) = self.scan(within) {
                *self = Self::new(self.limit);
                return Some(Part::Object(length));
            }
            if self.fault.is_none() && text.len() > self.limit {
                self.at = self.limit;
                self.fault = Some(ParseErrorKind::TooLarge { limit: self.limit as u64 });
            }
        }
        if self.fault.is_none() && complete {
            self.at = text.len();
            self.fault = Some(bad("the text ends in the middle of an object"));
        }
        self.fault.as_ref()?;
        self.end_of_broken(text, complete)
    }

    /// What is wrong with the object whose end is being looked for.
    pub(super) fn fault(&self) -> Option<&ParseErrorKind> {
        self.fault.as_ref()
    }

    /// Says that the text was cut: it now begins so many bytes later.
    pub(super) fn forget(&mut self, bytes: usize) {
        self.at = self.at.saturating_sub(bytes);
    }

    /// Looks for the end of the object that begins the text, and gives its length.
    fn scan(&mut self, text: &[u8]) -> Option<usize> {
        while let Some(rest) = text.get(self.at..).filter(|rest| !rest.is_empty()) {
            if self.in_string {
                let Some(stop) = memchr3(b'"', b'\\', b'\n', rest) else {
                    self.at = text.len();
                    return None;
                };
                match rest.get(stop) {
                    Some(b'"') => {
                        self.in_string = false;
                        self.at += stop + 1;
                    }
                    Some(b'\\') if stop + 1 < rest.len() => self.at += stop + 2,
                    Some(b'\\') => {
                        self.at += stop;
                        return None;
                    }
                    _ => {
                        self.at += stop + 1;
                        self.fault = Some(bad("a line ends in the middle of a text"));
                        return None;
                    }
                }
            } else {
                for byte in rest {
                    match byte {
                        b'"' => self.in_string = true,
                        b'{' if self.depth > 0 && !matches!(self.before, b':' | b',' | b'[') => {
                            self.fault = Some(bad("an object begins where none can"));
                            return None;
                        }
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                        _ => {}
                    }
                    self.at += 1;
                    if !byte.is_ascii_whitespace() {
                        self.before = *byte;
                    }
                    if self.depth == 0 {
                        return Some(self.at);
                    }
                    if self.in_string {
                        break;
                    }
                }
            }
        }
        None
    }

    /// The broken part, up to a line that begins with `{`.
    fn end_of_broken(&mut self, text: &[u8], complete: bool) -> Option<Part> {
        let from = self.at.saturating_sub(1);
        let searched = text.get(from..).unwrap_or_default();
        let line_end = memchr_iter(b'\n', searched).find(|end| searched.get(end + 1) == Some(&b'{'));
        let length = match line_end {
            Some(end) => from + end + 1,
            None if complete => text.len(),
            None => {
                self.at = text.len();
                return None;
            }
        };
        let fault = self.fault.take()?;
        *self = Self::new(self.limit);
        Some(Part::Broken(length, fault))
    }
}

fn is_between(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b'[' | b']')
}

fn bad(detail: &str) -> ParseErrorKind {
    ParseErrorKind::BadJson(detail.to_owned())
}
