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

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a text that comes in pieces: objects as they are, others in brackets; and what is wrong.
    fn parts(text: &str, piece: usize, limit: usize) -> (Vec<String>, Vec<String>) {
        let (mut found, mut faults) = (Vec::new(), Vec::new());
        let mut splitter = Splitter::new(limit);
        let (mut start, mut end) = (0, 0);
        while start < text.len() {
            let Some(part) = splitter.next(&text.as_bytes()[start..end], end == text.len()) else {
                end = (end + piece).min(text.len());
                continue;
            };
            let bytes = String::from_utf8_lossy(&text.as_bytes()[start..start + part.length()]).into_owned();
            start += part.length();
            match part {
                Part::Between(_) => {}
                Part::Object(_) => found.push(bytes),
                Part::Broken(_, fault) => {
                    found.push(format!("<{bytes}>"));
                    faults.push(fault.to_string());
                }
            }
        }
        (found, faults)
    }

    #[test]
    fn objects_are_found_in_pieces_of_any_size() {
        for (text, expected) in [
            ("", vec![]),
            (" [,]\r\n", vec![]),
            ("{}{}", vec!["{}", "{}"]),
            ("[{\"a\": [{}, {\"b\": 1}]},\n{}]", vec!["{\"a\": [{}, {\"b\": 1}]}", "{}"]),
            (r#"{"}":"\"}{"}{"\\":"]"}"#, vec![r#"{"}":"\"}{"}"#, r#"{"\\":"]"}"#]),
            // from here on something is broken
            ("{\"a\":\"b\n{}", vec!["<{\"a\":\"b\n>", "{}"]),
            ("{\"a\":\"b\"\n{}{}", vec!["<{\"a\":\"b\"\n>", "{}", "{}"]),
            ("{\"a\":{\n{}", vec!["<{\"a\":{\n>", "{}"]),
            ("{\"a\":\n{}", vec!["<{\"a\":\n{}>"]),
            ("{}x {}\n y\n{}", vec!["{}", "<x {}\n y\n>", "{}"]),
            ("{\"a\":\"\\", vec!["<{\"a\":\"\\>"]),
            ("1", vec!["<1>"]),
        ] {
            for piece in 1..=text.len().max(1) {
                let (found, faults) = parts(text, piece, usize::MAX);
                assert_eq!(found, expected, "{text}");
                assert_eq!(faults.len(), found.iter().filter(|part| part.starts_with('<')).count());
            }
        }
    }

    #[test]
    fn an_object_may_be_as_long_as_the_limit() {
        for piece in 1..20 {
            assert_eq!(parts("{\"a\":12}\n{}", piece, 8).0, ["{\"a\":12}", "{}"]);
            let (found, faults) = parts("{\"a\":123}\n{}\n{\"", piece, 8);
            assert_eq!(found, ["<{\"a\":123}\n>", "{}", "<{\">"]);
            assert!(faults[0].contains("larger than 8 bytes"), "{faults:?}");
        }
    }

    /// Whatever serde_json writes is found again.
    #[test]
    fn objects_are_told_from_their_neighbours_as_a_json_library_does() {
        let values = [
            serde_json::json!({"a": "\"{}[]\\", "b": [1.5e3, null, true, {"c": {}}]}),
            serde_json::json!({"\n": {"\u{7f}\u{0}": "ü{"}}),
        ];
        for write in [serde_json::to_string, serde_json::to_string_pretty] {
            let texts: Vec<String> = values.iter().map(|value| write(value).unwrap()).collect();
            for between in ["", "\n", ", "] {
                assert_eq!(parts(&texts.join(between), 3, usize::MAX), (texts.clone(), vec![]));
            }
        }
    }
}
