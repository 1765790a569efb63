//! `s3://bucket/key`.

use std::fmt;
use std::str::FromStr;

/// An object in S3, or the prefix that objects begin with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S3Uri {
    /// The bucket.
    pub bucket: String,
    /// The key or prefix as it is, nothing encoded; empty for a whole bucket.
    pub key: String,
}

/// What every S3 URI begins with.
pub const SCHEME: &str = "s3://";

/// A text that is no S3 URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no place in S3: write s3://BUCKET/PREFIX")]
pub struct S3UriError(String);

impl FromStr for S3Uri {
    type Err = S3UriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || S3UriError(text.to_owned());
        let rest = text.strip_prefix(SCHEME).ok_or_else(refused)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bucket.is_empty() || !bucket.chars().all(allowed) {
            return Err(refused());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket, self.key)
    }
}

impl S3Uri {
    /// Another key of the same bucket.
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        Self { bucket: self.bucket.clone(), key: key.into() }
    }

    /// The header `x-amz-copy-source`: every byte that is not unreserved in RFC 3986 is percent-encoded.
    pub(super) fn copy_source(&self) -> String {
        let mut source = format!("{}/", self.bucket);
        for byte in self.key.bytes() {
            match byte {
                b'/' | b'.' | b'-' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                    source.push(char::from(byte));
                }
                _ => source.push_str(&format!("%{byte:02X}")),
            }
        }
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written() {
        for (text, bucket, key) in [
            ("s3://logs/a/b.gz", "logs", "a/b.gz"),
            ("s3://logs/day=1/", "logs", "day=1/"),
            ("s3://logs/", "logs", ""),
            ("s3://my.logs-1//a", "my.logs-1", "/a"),
        ] {
            let uri: S3Uri = text.parse().unwrap();
            assert_eq!((uri.bucket.as_str(), uri.key.as_str()), (bucket, key), "{text}");
            assert_eq!(uri.to_string(), text);
        }
        assert_eq!("s3://logs".parse::<S3Uri>().unwrap().key, "");
        for text in ["s3://", "s3:///key", "logs/a", "gs://logs/a", "s3://a b/c", "s3:/logs", "s3://*/a"] {
            assert!(text.parse::<S3Uri>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_copy_source_is_encoded() {
        let uri = S3Uri { bucket: "b".to_owned(), key: "date=2026/ä +%.gz".to_owned() };
        assert_eq!(uri.copy_source(), "b/date%3D2026/%C3%A4%20%2B%25.gz");
    }
}
