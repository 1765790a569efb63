//! Definition levels of a data page: which rows have a value.

use super::dictionary::NULL;
use super::hybrid::put_varint;

/// Appends the levels of these slots, after their length in four bytes, and takes the nulls out; returns how many.
pub(super) fn put(slots: &mut Vec<u32>, out: &mut Vec<u8>) -> usize {
    let rows = slots.len();
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let nulls = slots.iter().filter(|slot| **slot == NULL).count();
    if nulls == 0 {
        put_run(rows, 1, out);
    } else {
        let bits: Vec<u8> = slots.chunks(8).map(bits).collect();
        slots.retain(|slot| *slot != NULL);
        put_bits(&bits, rows, out);
    }
    let length = (out.len() - start - 4) as u32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    nulls
}

/// Which of eight slots have a value, the first as the lowest bit.
#[inline]
fn bits(slots: &[u32]) -> u8 {
    let bit = |(place, slot): (usize, &u32)| u8::from(*slot != NULL) << place;
    match slots.as_array::<8>() {
        Some(slots) if !slots.contains(&NULL) => 0xff,
        _ => slots.iter().enumerate().map(bit).sum(),
    }
}

/// Appends the levels of rows without a value, after their length.
pub(super) fn put_nulls(rows: usize, out: &mut Vec<u8>) {
    let mut run = Vec::new();
    put_run(rows, 0, &mut run);
    out.extend_from_slice(&(run.len() as u32).to_le_bytes());
    out.append(&mut run);
}

fn put_run(rows: usize, level: u8, out: &mut Vec<u8>) {
    put_varint((rows as u64) << 1, out);
    out.push(level);
}

/// The hybrid encoding of single bits: bytes of equal bits are runs, the others are packed as they are.
fn put_bits(bits: &[u8], rows: usize, out: &mut Vec<u8>) {
    let mut left = rows;
    let uniform = |byte: &u8| *byte == 0xff || *byte == 0;
    for part in bits.chunk_by(|a, b| a == b || !uniform(a) && !uniform(b)) {
        let held = left.min(part.len() * 8);
        left -= held;
        match part {
            // the last byte is filled up with zeros, which are no levels: its run ends with the rows
            [byte, ..] if uniform(byte) => put_run(held, byte & 1, out),
            packed => {
                for run in packed.chunks(63) {
                    out.push((run.len() << 1 | 1) as u8);
                    out.extend_from_slice(run);
                }
            }
        }
    }
}
