//! One column chunk while it is built: values become dictionary indices at once, indices become pages.

use bytes::Bytes;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::compress::Compressor;
use super::dictionary::{Integers, NULL, Texts};
use super::{delta, hybrid, levels};

/// A 64-bit column with more distinct values than this in a row group goes on without a dictionary.
const MOST_INTEGERS: usize = 1 << 16;
/// Bytes of a text that the statistics keep, as other writers do.
const STATISTICS_BYTES: usize = 64;

/// The distinct values of a chunk.
#[derive(Debug)]
enum Dictionary {
    Integers(Integers),
    Texts(Texts),
}

#[derive(Debug)]
struct DataPage {
    bytes: Bytes,
    uncompressed: usize,
    rows: u32,
    encoding: Encoding,
}

/// A column without nesting, of type INT32, INT64 or BYTE_ARRAY.
#[derive(Debug)]
pub(in crate::lake) struct Column {
    leaf: ColumnDescPtr,
    dictionary: Dictionary,
    /// Of each row of the page: the index of its value, or [`NULL`].
    slots: Vec<u32>,
    /// Nulls at the begin of the page that have no slot: a column without any value has none at all.
    nulls: usize,
    /// Values of the page that bypass the dictionary, one for each slot that is not null.
    direct: Option<Vec<i64>>,
    /// Least and largest of the values that bypassed it.
    bounds: Option<(i64, i64)>,
    never_indexed: bool,
    pages: Vec<DataPage>,
    pages_bytes: usize,
    /// Of the closed pages.
    rows: u64,
    null_rows: u64,
    /// Of the values in closed pages, where that was asked for.
    sum: Option<u128>,
}

impl Column {
    /// An empty chunk; `None` for a type that has no pages here.
    pub(super) fn new(leaf: ColumnDescPtr) -> Option<Self> {
        let dictionary = match leaf.physical_type() {
            Type::INT32 | Type::INT64 => Dictionary::Integers(Integers::default()),
            Type::BYTE_ARRAY => Dictionary::Texts(Texts::default()),
            _ => return None,
        };
        (leaf.max_rep_level() == 0 && leaf.max_def_level() <= 1).then(|| Self {
            leaf,
            dictionary,
            slots: Vec::new(),
            nulls: 0,
            direct: None,
            bounds: None,
            never_indexed: false,
            pages: Vec::new(),
            pages_bytes: 0,
            rows: 0,
            null_rows: 0,
            sum: None,
        })
    }

    /// Writes the values of this INT64 column without a dictionary: hardly any comes twice.
    pub(in crate::lake) fn never_index(&mut self) {
        self.never_indexed = true;
        self.direct = Some(Vec::new());
    }

    /// Has the values summed up as they are written: see [`sum`](Self::sum).
    pub(in crate::lake) fn sum_up(&mut self) {
        self.sum = Some(0);
    }

    /// Rows without a value.
    pub(in crate::lake) fn push_nulls(&mut self, rows: usize) {
        if self.slots.is_empty() {
            self.nulls += rows;
        } else {
            self.slots.resize(self.slots.len() + rows, NULL);
        }
    }

    /// Makes the nulls before the first value slots like all others.
    fn begin(&mut self) {
        if self.nulls > 0 {
            self.slots.resize(self.slots.len() + self.nulls, NULL);
            self.nulls = 0;
        }
    }

    /// Integers, or nulls.
    #[inline]
    pub(in crate::lake) fn push_integers(&mut self, values: impl Iterator<Item = Option<i64>>) {
        self.begin();
        let Dictionary::Integers(dictionary) = &mut self.dictionary else { return };
        let slots = &mut self.slots;
        match &mut self.direct {
            Some(direct) => slots.extend(values.map(|value| match value {
                Some(value) => {
                    direct.push(value);
                    0
                }
                None => NULL,
            })),
            None => slots.extend(values.map(|value| value.map_or(NULL, |value| dictionary.index(value)))),
        }
    }

    /// Texts, or nulls.
    #[inline]
    pub(in crate::lake) fn push_texts<'t>(&mut self, values: impl Iterator<Item = Option<&'t str>>) {
        self.begin();
        let Dictionary::Texts(dictionary) = &mut self.dictionary else { return };
        self.slots.extend(values.map(|value| value.map_or(NULL, |value| dictionary.index(value.as_bytes()))));
    }

    /// Texts by something that stands for them: `index` gives the index of each in this chunk's dictionary, which it
    /// can add to, or [`NULL`].
    #[inline]
    pub(in crate::lake) fn push_indexed<T>(
        &mut self,
        values: impl Iterator<Item = T>,
        mut index: impl FnMut(T, &mut Texts) -> u32,
    ) {
        self.begin();
        let Dictionary::Texts(dictionary) = &mut self.dictionary else { return };
        self.slots.extend(values.map(|value| index(value, dictionary)));
    }

    /// Bytes held, about.
    pub(super) fn memory(&self) -> usize {
        let dictionary = match &self.dictionary {
            Dictionary::Integers(integers) => integers.memory(),
            Dictionary::Texts(texts) => texts.memory(),
        };
        self.pages_bytes + dictionary
    }

    /// Bytes that the chunk will take at most, about: its dictionary is not compressed yet.
    pub(super) fn size(&self) -> usize {
        let dictionary = match &self.dictionary {
            Dictionary::Integers(integers) => integers.values().len() * 8,
            Dictionary::Texts(texts) => texts.plain().len(),
        };
        self.pages_bytes + dictionary
    }

    /// The sum of the values in the pages that were closed, in every row group, as they were written.
    pub(in crate::lake) fn sum(&self) -> u128 {
        self.sum.unwrap_or(0)
    }

    /// Ends a page. A page without any value is put off until there is one, or the row group ends.
    pub(super) fn close_page(&mut self, compressor: &mut Compressor) -> Result<()> {
        if self.slots.is_empty() {
            return Ok(());
        }
        let rows = self.slots.len();
        let mut buffer = compressor.buffer();
        let nulls = if self.leaf.max_def_level() == 0 { 0 } else { levels::put(&mut self.slots, &mut buffer) };
        let mut encoding = Encoding::PLAIN;
        match (&self.dictionary, &mut self.direct) {
            (_, Some(direct)) => {
                for value in &*direct {
                    let (least, largest) = self.bounds.unwrap_or((*value, *value));
                    self.bounds = Some((least.min(*value), largest.max(*value)));
                }
                if let Some(sum) = &mut self.sum {
                    *sum += direct.iter().map(|value| u128::try_from(*value).unwrap_or(0)).sum::<u128>();
                }
                encoding = Encoding::DELTA_BINARY_PACKED;
                delta::encode(direct, &mut buffer);
                direct.clear();
            }
            (_, None) if self.slots.is_empty() => {}
            (Dictionary::Integers(integers), None) => {
                if let Some(sum) = &mut self.sum {
                    let value = |slot: &u32| integers.values().get(*slot as usize).copied().unwrap_or(0);
                    *sum += self.slots.iter().map(|slot| u128::try_from(value(slot)).unwrap_or(0)).sum::<u128>();
                }
                encoding = put_indices(&self.slots, integers.values().len(), &mut buffer);
            }
            (Dictionary::Texts(texts), None) => encoding = put_indices(&self.slots, texts.len(), &mut buffer),
        }
        self.slots.clear();
        self.keep(rows, nulls, encoding, &buffer, compressor)?;
        compressor.give_back(buffer);
        let overfull = matches!(&self.dictionary, Dictionary::Integers(it) if it.values().len() > MOST_INTEGERS);
        // the delta encoding of 32 bits wraps otherwise, and such a dictionary stays small
        if overfull && self.direct.is_none() && self.leaf.physical_type() == Type::INT64 {
            self.direct = Some(Vec::new());
        }
        Ok(())
    }

    fn keep(
        &mut self,
        rows: usize,
        nulls: usize,
        encoding: Encoding,
        buffer: &[u8],
        compressor: &mut Compressor,
    ) -> Result<()> {
        let bytes = compressor.compress(buffer)?;
        self.pages_bytes += bytes.len();
        self.rows += rows as u64;
        self.null_rows += nulls as u64;
        // a page has far fewer rows than 2^32
        self.pages.push(DataPage { bytes, uncompressed: buffer.len(), rows: rows as u32, encoding });
        Ok(())
    }

    /// Ends the chunk, whose last page is closed: its bytes, and what the file's metadata say of it. Starts anew.
    pub(super) fn finish(&mut self, compressor: &mut Compressor) -> Result<(Bytes, ColumnCloseResult)> {
        if self.nulls > 0 {
            let rows = std::mem::take(&mut self.nulls);
            let mut buffer = compressor.buffer();
            levels::put_nulls(rows, &mut buffer);
            self.keep(rows, rows, Encoding::PLAIN, &buffer, compressor)?;
            compressor.give_back(buffer);
        }
        let mut encodings = vec![Encoding::RLE];
        let mut out = TrackedWrite::new(Vec::with_capacity(self.pages_bytes + 4096));
        let mut pages = SerializedPageWriter::new(&mut out);
        let (mut compressed, mut uncompressed) = (0, 0);
        let (plain, count) = self.dictionary_page();
        let mut dictionary_offset = None;
        if count > 0 {
            let (buf, uncompressed_size) = (compressor.compress(&plain)?, plain.len());
            let page = Page::DictionaryPage { buf, num_values: count, encoding: Encoding::PLAIN, is_sorted: false };
            let spec = pages.write_page(CompressedPage::new(page, uncompressed_size))?;
            dictionary_offset = Some(spec.offset as i64);
            compressed += spec.compressed_size;
            uncompressed += spec.uncompressed_size;
            encodings.push(Encoding::PLAIN);
        }
        let mut data_offset = None;
        for page in self.pages.drain(..) {
            let data = Page::DataPage {
                buf: page.bytes,
                num_values: page.rows,
                encoding: page.encoding,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            };
            let spec = pages.write_page(CompressedPage::new(data, page.uncompressed))?;
            data_offset.get_or_insert(spec.offset as i64);
            compressed += spec.compressed_size;
            uncompressed += spec.uncompressed_size;
            if !encodings.contains(&page.encoding) {
                encodings.push(page.encoding);
            }
        }
        let bytes = Bytes::from(out.into_inner()?);
        let metadata = ColumnChunkMetaData::builder(self.leaf.clone())
            .set_compression(compressor.compression())
            .set_encodings(encodings)
            .set_total_compressed_size(compressed as i64)
            .set_total_uncompressed_size(uncompressed as i64)
            .set_num_values(self.rows.cast_signed())
            .set_data_page_offset(data_offset.unwrap_or(0))
            .set_dictionary_page_offset(dictionary_offset)
            .set_statistics(self.statistics())
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        self.clear();
        Ok((bytes, close))
    }

    /// The dictionary page, and how many values are in it.
    fn dictionary_page(&self) -> (std::borrow::Cow<'_, [u8]>, u32) {
        let (plain, count) = match &self.dictionary {
            Dictionary::Texts(texts) => (texts.plain().into(), texts.len()),
            Dictionary::Integers(integers) => {
                let values = integers.values().iter();
                let plain: Vec<u8> = if self.leaf.physical_type() == Type::INT32 {
                    // each came from 32 bits
                    values.flat_map(|value| (*value as i32).to_le_bytes()).collect()
                } else {
                    values.flat_map(|value| value.to_le_bytes()).collect()
                };
                (plain.into(), integers.values().len())
            }
        };
        (plain, count as u32)
    }

    fn statistics(&self) -> Statistics {
        let nulls = Some(self.null_rows);
        match &self.dictionary {
            Dictionary::Integers(integers) => {
                let indexed = integers.values().iter().copied();
                let values = || indexed.clone().chain(self.bounds.into_iter().flat_map(|(least, most)| [least, most]));
                let (least, largest) = (values().min(), values().max());
                if self.leaf.physical_type() == Type::INT32 {
                    let narrow = |value: Option<i64>| value.map(|value| value as i32);
                    ValueStatistics::new(narrow(least), narrow(largest), None, nulls, false).into()
                } else {
                    ValueStatistics::new(least, largest, None, nulls, false).into()
                }
            }
            Dictionary::Texts(texts) => {
                let (least, largest) = (texts.iter().min(), texts.iter().max());
                let bounds = (least.map(lower_bound), largest.map(upper_bound));
                let exact = |bound: &Option<ByteArray>, text| bound.as_ref().map(ByteArray::data) == text;
                let (exact_min, exact_max) = (exact(&bounds.0, least), exact(&bounds.1, largest));
                ValueStatistics::new(bounds.0, bounds.1, None, nulls, false)
                    .with_min_is_exact(exact_min)
                    .with_max_is_exact(exact_max)
                    .into()
            }
        }
    }

    fn clear(&mut self) {
        // a dictionary that was large gives its memory back, or the next row groups would be closed early for it
        self.dictionary = match self.dictionary {
            Dictionary::Integers(_) => Dictionary::Integers(Integers::default()),
            Dictionary::Texts(_) => Dictionary::Texts(Texts::default()),
        };
        self.direct = self.never_indexed.then(Vec::new);
        self.bounds = None;
        self.pages_bytes = 0;
        self.rows = 0;
        self.null_rows = 0;
    }
}

/// The indices into a dictionary of `count` values.
fn put_indices(slots: &[u32], count: usize, buffer: &mut Vec<u8>) -> Encoding {
    let width = hybrid::width_for(count);
    buffer.push(width);
    hybrid::encode(slots, width, buffer);
    Encoding::RLE_DICTIONARY
}

/// The text, or a shorter one that is smaller.
fn lower_bound(text: &[u8]) -> ByteArray {
    let mut end = text.len().min(STATISTICS_BYTES);
    // never within a character
    while end < text.len() && text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_vec().into()
}

/// The text, or a shorter one that is larger, where there is one. Never nothing: some readers take a missing bound
/// beside one that is there for an empty text.
fn upper_bound(text: &[u8]) -> ByteArray {
    let mut bound = text.get(..STATISTICS_BYTES.min(text.len())).unwrap_or_default().to_vec();
    if text.len() > STATISTICS_BYTES {
        // the next character of ASCII, in the last place that has one
        while let Some(byte) = bound.pop() {
            if byte < 0x7e {
                bound.push(byte + 1);
                return bound.into();
            }
        }
        return text.to_vec().into();
    }
    bound.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_have_short_bounds() {
        let text = format!("{}é~~b", "a".repeat(61));
        assert_eq!(lower_bound(text.as_bytes()).data(), &text.as_bytes()[..64]);
        let text = format!("{}éb", "a".repeat(63));
        assert_eq!(lower_bound(text.as_bytes()).data(), "a".repeat(63).as_bytes(), "a character is not cut");
        let text = format!("{}~{}", "a".repeat(63), "b");
        assert_eq!(upper_bound(text.as_bytes()).data(), format!("{}b", "a".repeat(62)).as_bytes());
        assert_eq!(upper_bound("~".repeat(65).as_bytes()).data(), "~".repeat(65).as_bytes());
        assert_eq!(upper_bound("zü".as_bytes()).data(), "zü".as_bytes());
    }
}
