//! The log format: which column of a line holds which field.

use super::field::{Field, is_known_name};

/// What to do with one column of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The column holds this field.
    Field(Field),
    /// The column has a name that is no field: its value is kept under that name, an index into [`LogFormat::extra`].
    Extra(u16),
    /// The name stood before in the same format (legal at AWS): the first one counts.
    Repeated,
}

/// The order of the columns in a log. A flow log's format never changes during its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    names: Vec<String>,
    columns: Vec<Column>,
    extra: Vec<String>,
    /// The fields among the columns, one bit each.
    fields: u64,
}

/// Why a text is no log format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// No names at all.
    #[error("the log format is empty: give field names, as in '${{version}} ${{srcaddr}}' or 'version srcaddr'")]
    Empty,
    /// A token that cannot be a name.
    #[error("'{0}' is no field name: a name has letters, digits, '-' and '_', alone or as ${{name}}")]
    BadName(String),
    /// None of the names is one that AWS documents.
    #[error("none of the names is a flow log field: is this a log format? ('{0}')")]
    NothingKnown(String),
}

impl Default for LogFormat {
    /// The default format of AWS: the 14 fields of version 2.
    fn default() -> Self {
        Self::from_names(Field::ALL.iter().filter(|field| field.def().version == 2).map(|field| field.name()))
    }
}

impl std::str::FromStr for LogFormat {
    type Err = FormatError;

    /// Reads names separated by spaces or commas, each bare or as `${name}`; the two may be mixed.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let mut names = Vec::new();
        // `}` ends a name too: formats are often pasted without spaces, as ${version}${srcaddr}
        for token in text.split_inclusive([' ', '\t', '\n', '\r', ',', '}']) {
            let token = token.trim_matches([' ', '\t', '\n', '\r', ',', '"', '\'']);
            if token.is_empty() {
                continue;
            }
            let name = token.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or(token);
            if !is_name(name) {
                return Err(FormatError::BadName(token.to_owned()));
            }
            names.push(name);
        }
        if names.is_empty() {
            return Err(FormatError::Empty);
        }
        if !names.iter().any(|name| is_known_name(name)) {
            return Err(FormatError::NothingKnown(text.to_owned()));
        }
        Ok(Self::from_names(names))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl LogFormat {
    /// The format with these columns; any name is legal, and so is a name twice.
    pub fn from_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut format = Self { names: Vec::new(), columns: Vec::new(), extra: Vec::new(), fields: 0 };
        for name in names {
            let column = match Field::from_name(name) {
                Some(field) if format.has(field) => Column::Repeated,
                Some(field) => {
                    format.fields |= 1 << field as u64;
                    Column::Field(field)
                }
                None if format.extra.iter().any(|known| known == name) => Column::Repeated,
                None => {
                    format.extra.push(name.to_owned());
                    Column::Extra(u16::try_from(format.extra.len() - 1).unwrap_or(u16::MAX))
                }
            };
            format.names.push(name.to_owned());
            format.columns.push(column);
        }
        format
    }

    /// The format that a header line gives, or `None` if the line is no header.
    ///
    /// A line is a header when each of its tokens can be a name and most are names that AWS documents: then a
    /// field that AWS adds tomorrow does not turn the header into data. `${name}` counts as a name.
    pub fn from_header(line: &str) -> Option<Self> {
        let mut known = 0;
        let mut total = 0;
        for token in line.split_ascii_whitespace() {
            let name = token.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or(token);
            if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !is_name(name) {
                return None;
            }
            total += 1;
            known += usize::from(is_known_name(name));
        }
        (known * 2 > total).then(|| line.parse().ok()).flatten()
    }

    /// What each column holds, in the order of the line.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The names of the columns, as given.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names of the columns that are no field, in the order of their first appearance.
    pub fn extra(&self) -> &[String] {
        &self.extra
    }

    /// True when the format has the field.
    pub fn has(&self, field: Field) -> bool {
        self.fields & 1 << field as u64 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_format_agree() {
        let bare: LogFormat = "version srcaddr pkt-srcaddr".parse().unwrap();
        for text in [
            "${version} ${srcaddr} ${pkt-srcaddr}",
            "${version}${srcaddr}${pkt-srcaddr}",
            "version, srcaddr,pkt-srcaddr",
        ] {
            assert_eq!(text.parse::<LogFormat>().unwrap(), bare, "{text}");
        }
        assert_eq!(bare.columns()[2], Column::Field(Field::PktSrcaddr));
    }

    #[test]
    fn the_default_is_version_2() {
        let default = LogFormat::default();
        assert_eq!(
            default.names().join(" "),
            "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
        );
    }

    #[test]
    fn duplicates_and_unknown_names_are_legal() {
        let format: LogFormat = "version account-id quantum-state account-id quantum-state".parse().unwrap();
        assert_eq!(
            format.columns()[1..],
            [Column::Field(Field::AccountId), Column::Extra(0), Column::Repeated, Column::Repeated]
        );
        assert_eq!(format.extra(), ["quantum-state"]);
    }

    #[test]
    fn headers_are_told_from_data() {
        assert!(LogFormat::from_header("version account-id quantum-state").is_some());
        assert!(LogFormat::from_header("srcaddr").is_some());
        assert!(LogFormat::from_header("account_id srcaddr").is_some());
        for data in ["2 123456789012 eni-0a 10.0.1.5", "eni-0a vpc-1 ingress", "- - -", "", "region-less words here"] {
            assert!(LogFormat::from_header(data).is_none(), "{data}");
        }
        // one known name among many words is no header
        assert!(LogFormat::from_header("the end of the log").is_none());
    }

    #[test]
    fn mistakes_are_told() {
        assert_eq!("".parse::<LogFormat>(), Err(FormatError::Empty));
        assert_eq!("version src/addr".parse::<LogFormat>(), Err(FormatError::BadName("src/addr".into())));
        assert!(matches!("foo bar".parse::<LogFormat>(), Err(FormatError::NothingKnown(_))));
    }
}
