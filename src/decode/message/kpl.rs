//! Aggregates of the Kinesis Producer Library: many user records in one record.
//!
//! The format is that of the library's `aggregation-format.md`: four bytes of magic, a Protocol Buffers message, and
//! its MD5. The message is
//!
//! ```text
//! AggregatedRecord { 1: repeated string partition_key_table, 2: repeated string explicit_hash_key_table,
//!                    3: repeated Record { 1: uint64 partition_key_index, 2: optional uint64 explicit_hash_key_index,
//!                                         3: bytes data } }
//! ```
//!
//! As in the Kinesis Client Library, whatever does not keep to this is no aggregate but a record of its own. Unlike
//! there, a user record outside of the shard's hash range takes only itself out: that library drops the aggregate with
//! it, and its users lost records so.

use std::ops::RangeInclusive;

use md5::{Digest as _, Md5};

const MAGIC: &[u8] = b"\xf3\x89\x9a\xc2";
const DIGEST_BYTES: usize = 16;

/// What somebody gave to the library as one record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UserRecord<'a> {
    key: Key<'a>,
    pub(super) data: &'a [u8],
}

/// What tells the shard of a user record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key<'a> {
    /// Not in an aggregate: it lies where it belongs.
    None,
    /// Its MD5 is the hash key.
    Partition(&'a [u8]),
    /// The hash key itself.
    Hash(u128),
}

impl<'a> UserRecord<'a> {
    /// A record that is no aggregate.
    pub(super) fn whole(data: &'a [u8]) -> Self {
        Self { key: Key::None, data }
    }

    /// True if it belongs to the shard with these hash keys.
    pub(super) fn is_in(&self, range: &RangeInclusive<u128>) -> bool {
        match self.key {
            Key::None => true,
            Key::Partition(key) => range.contains(&u128::from_be_bytes(Md5::digest(key).into())),
            Key::Hash(key) => range.contains(&key),
        }
    }
}

/// The user records of an aggregate, at least one, or `None` if the record is none.
pub(super) fn read(record: &[u8]) -> Option<Vec<UserRecord<'_>>> {
    let (message, digest) = record.strip_prefix(MAGIC)?.split_last_chunk::<DIGEST_BYTES>()?;
    let fits = <[u8; DIGEST_BYTES]>::from(Md5::digest(message)) == *digest;
    fits.then(|| aggregate(message)).flatten().filter(|users| !users.is_empty())
}

fn aggregate(message: &[u8]) -> Option<Vec<UserRecord<'_>>> {
    let (mut partition_keys, mut hash_keys, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut message = Message(message);
    while let Some(field) = message.next()? {
        match field {
            (1, Value::Bytes(key)) => partition_keys.push(key),
            (2, Value::Bytes(key)) => hash_keys.push(key),
            (3, Value::Bytes(record)) => records.push(record),
            // a field of tomorrow
            _ => {}
        }
    }
    let user_record = |record| {
        let (mut partition_key, mut hash_key, mut data) = (None, None, None);
        let mut record = Message(record);
        while let Some(field) = record.next()? {
            match field {
                (1, Value::Number(index)) => partition_key = Some(index),
                (2, Value::Number(index)) => hash_key = Some(index),
                (3, Value::Bytes(bytes)) => data = Some(bytes),
                _ => {}
            }
        }
        let partition_key = *partition_keys.get(usize::try_from(partition_key?).ok()?)?;
        let key = match hash_key {
            None => Key::Partition(partition_key),
            Some(index) => {
                let digits = *hash_keys.get(usize::try_from(index).ok()?)?;
                Key::Hash(str::from_utf8(digits).ok()?.parse().ok()?)
            }
        };
        Some(UserRecord { key, data: data? })
    };
    records.into_iter().map(user_record).collect()
}

/// A message of Protocol Buffers, field by field.
struct Message<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of four or eight bytes; none that is read here is.
    Fixed,
}

impl<'a> Message<'a> {
    /// Number and value of the next field; `Some(None)` at the end, `None` for what is no message.
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some(Some((tag >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A number in groups of seven bits, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}
