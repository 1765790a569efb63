//! What lies around the text of a record: gzip, zstd, base64, in any order.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::sniff::{BYTE_ORDER_MARK, Kind, WINDOW, sniff};
use super::super::unpack::Unpacker;
use super::super::{Compression, Content, DecodeError};
use crate::record::ParseErrorKind;

/// The most layers that are taken off.
const MOST: usize = 4;

/// A flow log record in base64 is longer than this; a word in capitals is not.
const SHORTEST_BASE64: usize = 16;

/// Buffers up to this size are kept for the next record.
const KEPT: usize = 8 << 20;

/// Takes layers off. What is unpacked goes from one buffer to the other, and both are used for all records.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// Holds the layer taken off last, in its first bytes. Initialised to its end, as `next` is.
    last: Vec<u8>,
    /// For the next layer.
    next: Vec<u8>,
    /// Bytes that may still be unpacked from this record.
    left: u64,
    limit: u64,
}

/// What lies under the layers that are taken off.
enum Inside {
    Packed(Compression),
    /// Nothing but letters of base64, perhaps.
    Base64,
    Plain(Content),
}

impl Layers {
    /// A new record begins: so many bytes may be unpacked from it.
    pub(super) fn allow(&mut self, bytes: u64) {
        self.left = bytes;
        self.limit = bytes;
    }

    /// Gives the memory of a large record back.
    pub(super) fn tidy(&mut self) {
        for buffer in [&mut self.last, &mut self.next] {
            if buffer.len() > KEPT {
                *buffer = Vec::new();
            }
        }
    }

    /// What is under all layers, and what that is; or the layer that cannot be taken off, and why.
    pub(super) fn open<'a>(&'a mut self, data: &'a [u8]) -> (&'a [u8], Result<Content, ParseErrorKind>) {
        // how much of `last` is in use; at first nothing is taken off
        let mut unpacked: Option<usize> = None;
        let mut layers = 0;
        let content = loop {
            let bytes = unpacked.map_or(data, |length| self.last.get(..length).unwrap_or_default());
            let length = match inside(bytes) {
                Err(kind) => break Err(kind),
                Ok(Inside::Plain(content)) => break Ok(content),
                Ok(Inside::Packed(_)) if layers == MOST => break Err(ParseErrorKind::TooNested { limit: MOST }),
                Ok(Inside::Packed(compression)) => {
                    let (length, unpacked) = unpack(compression, bytes, &mut self.next, self.left);
                    // also of what comes to nothing: or each user record of an aggregate could cost the limit again
                    self.left = self.left.saturating_sub(length as u64);
                    match unpacked {
                        Ok(()) => length,
                        Err(DecodeError::TooLarge { .. }) => {
                            break Err(ParseErrorKind::TooLarge { limit: self.limit });
                        }
                        Err(DecodeError::Truncated(compression)) => {
                            let what = format!("the {compression} stream stops before its end");
                            break Err(ParseErrorKind::Damaged(what));
                        }
                        Err(error) => break Err(ParseErrorKind::Damaged(error.to_string())),
                    }
                }
                Ok(Inside::Base64) => match from_base64(bytes) {
                    Some(decoded) if layers < MOST => {
                        self.next = decoded;
                        self.next.len()
                    }
                    _ => break Ok(Content::Text),
                },
            };
            std::mem::swap(&mut self.last, &mut self.next);
            unpacked = Some(length);
            layers += 1;
        };
        let bytes = unpacked.map_or(data, |length| self.last.get(..length).unwrap_or_default());
        (bytes.strip_prefix(BYTE_ORDER_MARK).filter(|_| content.is_ok()).unwrap_or(bytes), content)
    }
}

fn inside(bytes: &[u8]) -> Result<Inside, ParseErrorKind> {
    let head = bytes.get(..WINDOW).unwrap_or(bytes);
    match sniff(head, true) {
        Ok(Some(Kind::Packed(compression))) => Ok(Inside::Packed(compression)),
        Ok(Some(Kind::Plain(Content::Parquet))) => Err(ParseErrorKind::NotText { looks_like: "a Parquet file" }),
        Ok(Some(Kind::Plain(Content::Text))) => {
            let odd = head.iter().filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()).count();
            // one of them makes one bad line; more of them make no line at all
            if odd > head.len() / 32 {
                return Err(ParseErrorKind::NotText { looks_like: "binary data" });
            }
            let base64 = bytes.len() >= SHORTEST_BASE64 && bytes.iter().all(|byte| is_base64(*byte));
            Ok(if base64 { Inside::Base64 } else { Inside::Plain(Content::Text) })
        }
        Ok(content) => Ok(Inside::Plain(match content {
            Some(Kind::Plain(content)) => content,
            _ => Content::Empty,
        })),
        Err(DecodeError::NotText { looks_like }) => Err(ParseErrorKind::NotText { looks_like }),
        Err(_) => Err(ParseErrorKind::NotText { looks_like: "binary data" }),
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\r' | b'\n')
}

/// What the text encodes, if that is anything: a word may have the letters of base64 by chance.
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let letters: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(letters).ok()?;
    let is_something = match inside(&decoded) {
        Ok(Inside::Packed(_) | Inside::Plain(Content::Json)) => true,
        Ok(Inside::Plain(Content::Text)) => str::from_utf8(&decoded).is_ok(),
        // base64 is taken off once
        Ok(Inside::Base64 | Inside::Plain(_)) | Err(_) => false,
    };
    is_something.then_some(decoded)
}

/// Unpacks all of it into `output`, which grows as needed up to the limit; the length of what was unpacked, also when
/// something is wrong.
fn unpack(
    compression: Compression,
    mut input: &[u8],
    output: &mut Vec<u8>,
    limit: u64,
) -> (usize, Result<(), DecodeError>) {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut unpacker = Unpacker::new(compression);
    let mut length = 0;
    loop {
        if length == output.len() {
            // flow logs in envelopes compress to a tenth
            let more = if length == 0 { input.len().saturating_mul(12).clamp(1 << 12, 1 << 20) } else { length };
            output.resize(length + more.min(most.saturating_sub(length).saturating_add(1)), 0);
        }
        let room = output.get_mut(length..).unwrap_or_default();
        let size = room.len();
        let (step, result) = unpacker.step(input, room);
        input = input.get(step.used..).unwrap_or_default();
        length += step.written;
        if length > most {
            return (length, Err(DecodeError::TooLarge { limit }));
        }
        if result.is_err() {
            return (length, result);
        }
        if input.is_empty() && step.written < size {
            break;
        }
    }
    (length, if unpacker.is_open() { Err(DecodeError::Truncated(compression)) } else { Ok(()) })
}
