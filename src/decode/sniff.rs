//! What an object is, by its first bytes.

use super::{Compression, Content, DecodeError};

/// How many bytes are looked at before text is called text.
pub(super) const WINDOW: usize = 512;

/// UTF-8 needs none, but some programs write it.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Packed(Compression),
    Plain(Content),
}

/// First bytes of formats that are no flow logs, for an error that says what came instead.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"\xff\xfe", "UTF-16 (little-endian) text"),
    (b"\xfe\xff", "UTF-16 (big-endian) text"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"Obj\x01", "an Avro file"),
    (b"\xf3\x89\x9a\xc2", "an aggregate of the Kinesis Producer Library"),
];

/// Tells what the object is, or `None` if that takes more bytes. `complete`: there are no more.
pub(super) fn sniff(head: &[u8], complete: bool) -> Result<Option<Kind>, DecodeError> {
    if complete && head.is_empty() {
        return Ok(Some(Kind::Plain(Content::Empty)));
    }
    let kind = match head {
        [0x1f, 0x8b, ..] => Kind::Packed(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Kind::Packed(Compression::Zstd),
        // a skippable frame may stand before the first frame with data (pzstd writes them so)
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Kind::Packed(Compression::Zstd),
        [b'P', b'A', b'R', b'1', ..] => Kind::Plain(Content::Parquet),
        _ if complete || head.len() >= WINDOW => {
            if let Some((_, looks_like)) = FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
                return Err(DecodeError::NotText { looks_like });
            }
            // the AWS formats have no NUL; in UTF-16 without its mark, every second byte is one
            if head.contains(&0) {
                return Err(DecodeError::NotText { looks_like: "UTF-16 text or binary data" });
            }
            let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
            // no line of a flow log begins so
            let json = matches!(text.first(), Some(b'{' | b'['));
            Kind::Plain(if json { Content::Json } else { Content::Text })
        }
        _ => return Ok(None),
    };
    Ok(Some(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_by_its_first_bytes() {
        for (head, kind) in [
            (&b"\x1f\x8b"[..], Kind::Packed(Compression::Gzip)),
            (b"\x28\xb5\x2f\xfd", Kind::Packed(Compression::Zstd)),
            (b"\x5a\x2a\x4d\x18", Kind::Packed(Compression::Zstd)),
            (b"PAR1", Kind::Plain(Content::Parquet)),
        ] {
            assert_eq!(sniff(head, false), Ok(Some(kind)));
        }
        assert_eq!(sniff(b"2 123456789012 eni-0a", false), Ok(None));
        assert_eq!(sniff(b"2 123456789012 eni-0a", true), Ok(Some(Kind::Plain(Content::Text))));
        for json in [&b"{}"[..], b"[{", b" \r\n\t{\"message\":", b"\xef\xbb\xbf{"] {
            assert_eq!(sniff(json, true), Ok(Some(Kind::Plain(Content::Json))));
        }
        assert_eq!(sniff(b"", true), Ok(Some(Kind::Plain(Content::Empty))));
        assert_eq!(sniff(&[b'2'; WINDOW], false), Ok(Some(Kind::Plain(Content::Text))));
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (head, word) in [
            (&b"\xff\xfev\0e\0"[..], "UTF-16"),
            (b"v\0e\0r\0", "UTF-16"),
            (b"PK\x03\x04..", "zip"),
            (b"\xfd7zXZ\x00", "xz"),
        ] {
            let error = sniff(head, true).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
