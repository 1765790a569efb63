//! Flow log records in JSON: the format that their keys give, and their values as a line.

use std::sync::Arc;

use super::super::values::{float, write_value};
use super::members::{Members, text};
use crate::record::LogFormat;
use crate::record::field::name_of_key;

/// Without one of these a record could not be judged, and other logs have all the other names too.
const MARKS: &[&str] = &["interface-id", "srcaddr", "dstaddr", "pkt-srcaddr", "pkt-dstaddr", "tgw-id"];

/// Formats by the keys of an object, so that a key is looked up once for all records that have it in the same place.
#[derive(Debug, Default)]
pub(super) struct Shapes(Vec<Shape>);

#[derive(Debug)]
struct Shape {
    keys: Vec<String>,
    /// `None` for an object that is no flow log record.
    format: Option<Arc<LogFormat>>,
}

impl Shapes {
    /// One sender has one shape, or few; many are the work of chance, and not worth remembering.
    const MOST: usize = 16;

    /// The format of the record, or `None` if it is none.
    pub(super) fn format(&mut self, members: &Members<'_>) -> Option<Arc<LogFormat>> {
        let keys = || members.0.iter().map(|(key, _)| key.as_ref());
        if let Some(shape) = self.0.iter().find(|shape| shape.keys.iter().eq(keys())) {
            return shape.format.clone();
        }
        let format = format(keys()).map(Arc::new);
        if self.0.len() == Self::MOST {
            self.0.clear();
        }
        self.0.push(Shape { keys: keys().map(str::to_owned).collect(), format: format.clone() });
        format
    }
}

/// The format that the keys give, by the rule of header lines: most of them must be names that AWS documents.
fn format<'k>(keys: impl Iterator<Item = &'k str>) -> Option<LogFormat> {
    let mut known = 0;
    let mut marked = false;
    let names: Vec<&str> = keys
        .map(|key| match name_of_key(key) {
            Some(name) => {
                known += 1;
                marked |= MARKS.contains(&name);
                name
            }
            None => key,
        })
        .collect();
    (marked && known * 2 > names.len()).then(|| LogFormat::from_names(names))
}

/// Appends the record as a line.
pub(super) fn write_line(members: &Members<'_>, line: &mut Vec<u8>) -> serde_json::Result<()> {
    for (number, (_, value)) in members.0.iter().enumerate() {
        if number > 0 {
            line.push(b' ');
        }
        let value = value.get();
        match text(value)? {
            Some(text) => write_value(text.as_bytes(), line),
            None if value == "null" => line.push(b'-'),
            None if is_fraction(value) => write_value(value.parse().map(float).unwrap_or_default().as_bytes(), line),
            None => write_value(value.as_bytes(), line),
        }
    }
    line.push(b'\n');
    Ok(())
}

/// True for a number that is not simply digits: `443.0`, `4.43e2`.
fn is_fraction(value: &str) -> bool {
    value.starts_with(|first: char| first == '-' || first.is_ascii_digit()) && value.contains(['.', 'e', 'E'])
}
