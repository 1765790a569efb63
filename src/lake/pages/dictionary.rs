//! Dictionaries: which place a value has among the distinct values of its column chunk.

use std::hash::Hasher as _;

use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHasher};

/// Stands for null among indices.
pub(in crate::lake) const NULL: u32 = u32::MAX;
/// Keys below this have their place in an array: every port, every id of a map.
const DIRECT: u64 = 1 << 16;

/// The index of each key: a number, or what stands for a text.
#[derive(Debug, Default)]
pub(in crate::lake) struct KeyTable {
    direct: Vec<u32>,
    hashed: FxHashMap<u64, u32>,
}

impl KeyTable {
    /// The key's index; of a key that is new, `insert` says it.
    #[inline]
    pub(in crate::lake) fn index(&mut self, key: u64, insert: impl FnOnce() -> u32) -> u32 {
        let known = if key < DIRECT { self.direct.get(key as usize) } else { self.hashed.get(&key) };
        match known {
            Some(index) if *index != NULL => *index,
            _ => self.insert(key, insert()),
        }
    }

    #[cold]
    fn insert(&mut self, key: u64, index: u32) -> u32 {
        if key < DIRECT {
            let place = key as usize;
            if place >= self.direct.len() {
                self.direct.resize((place + 1).next_power_of_two(), NULL);
            }
            self.direct[place] = index;
        } else {
            self.hashed.insert(key, index);
        }
        index
    }

    /// Bytes held, about.
    pub(super) fn memory(&self) -> usize {
        self.direct.capacity() * 4 + self.hashed.capacity() * 18
    }
}

/// Distinct integers.
#[derive(Debug, Default)]
pub(super) struct Integers {
    table: KeyTable,
    values: Vec<i64>,
}

impl Integers {
    #[inline]
    pub(super) fn index(&mut self, value: i64) -> u32 {
        let values = &mut self.values;
        self.table.index(value.cast_unsigned(), || {
            values.push(value);
            // a row group has fewer rows than 2^32
            (values.len() - 1) as u32
        })
    }

    pub(super) fn values(&self) -> &[i64] {
        &self.values
    }

    pub(super) fn memory(&self) -> usize {
        self.table.memory() + self.values.capacity() * 8
    }
}

/// Distinct texts, as a dictionary page holds them: each after its length in four bytes.
#[derive(Debug, Default)]
pub(in crate::lake) struct Texts {
    plain: Vec<u8>,
    /// Where each text ends in `plain`.
    ends: Vec<u32>,
    table: HashTable<u32>,
}

/// The text with this index.
fn text<'p>(plain: &'p [u8], ends: &[u32], index: u32) -> &'p [u8] {
    let index = index as usize;
    let start = index.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| *end as usize) + 4;
    ends.get(index).and_then(|end| plain.get(start..*end as usize)).unwrap_or_default()
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish()
}

/// As `==`, which calls a function that costs more than comparing the usual text, of 8 to 32 bytes.
#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let ends = |text: &[u8]| Some((*text.first_chunk::<8>()?, *text.last_chunk::<8>()?));
    let long_ends = |text: &[u8]| Some((*text.first_chunk::<16>()?, *text.last_chunk::<16>()?));
    match a.len() {
        8..=16 => ends(a) == ends(b),
        17..=32 => long_ends(a) == long_ends(b),
        _ => a == b,
    }
}

impl Texts {
    #[inline]
    pub(in crate::lake) fn index(&mut self, value: &[u8]) -> u32 {
        let Self { plain, ends, table } = self;
        // a text that hardly changes is told by looking at the last one
        if let Some(last) = ends.len().checked_sub(1).filter(|last| *last < 2)
            && equal(text(plain, ends, last as u32), value)
        {
            return last as u32;
        }
        let hashed = hash(value);
        if let Some(index) = table.find(hashed, |index| equal(text(plain, ends, *index), value)) {
            return *index;
        }
        let index = self.add(value);
        let Self { plain, ends, table } = self;
        table.insert_unique(hashed, index, |index| hash(text(plain, ends, *index)));
        index
    }

    /// Adds a text that the caller knows to be new. Were it not, the dictionary would hold it twice, which is legal.
    pub(in crate::lake) fn add(&mut self, value: &[u8]) -> u32 {
        // a line, and so each of its values, is far shorter than 4 GiB; so is a row group
        self.plain.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.plain.extend_from_slice(value);
        self.ends.push(self.plain.len() as u32);
        (self.ends.len() - 1) as u32
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The texts as a dictionary page holds them.
    pub(super) fn plain(&self) -> &[u8] {
        &self.plain
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len() as u32).map(|index| text(&self.plain, &self.ends, index))
    }

    pub(super) fn memory(&self) -> usize {
        self.plain.capacity() + self.ends.capacity() * 4 + self.table.capacity() * 5
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equal_is_equal(a in prop::collection::vec(0u8..2, 0..40), at in 0usize..40, change in any::<bool>()) {
            let mut b = a.clone();
            if let Some(byte) = b.get_mut(at).filter(|_| change) {
                *byte ^= 4;
            }
            prop_assert_eq!(equal(&a, &b), a == b);
            b.push(0);
            prop_assert!(!equal(&a, &b));
        }

        #[test]
        fn every_text_has_one_index(words in prop::collection::vec("[ab]{0,3}", 0..80)) {
            let mut texts = Texts::default();
            let indices: Vec<u32> = words.iter().map(|word| texts.index(word.as_bytes())).collect();
            let held: Vec<&[u8]> = texts.iter().collect();
            for (word, index) in words.iter().zip(indices) {
                prop_assert_eq!(held[index as usize], word.as_bytes());
            }
            let mut distinct = words.clone();
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(held.len(), distinct.len());
        }
    }
}
