//! Parquet's DELTA_BINARY_PACKED (Encodings.md, "Delta Encoding") of 64-bit integers: for values that rarely come
//! twice, or that climb steadily. DuckDB, pyarrow, Polars, Trino, and Spark from 3.3 on read it.

use super::hybrid::put_varint;

/// Values of a block, and of each of its four parts: what other writers use too.
const BLOCK: usize = 128;
const PART: usize = 32;

/// Appends the values.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) {
    let first = values.first().copied().unwrap_or(0);
    put_varint(BLOCK as u64, out);
    put_varint((BLOCK / PART) as u64, out);
    put_varint(values.len() as u64, out);
    put_varint(zigzag(first), out);
    let mut deltas = [0; BLOCK];
    let mut previous = first;
    for block in values.get(1..).unwrap_or_default().chunks(BLOCK) {
        let deltas = deltas.get_mut(..block.len()).unwrap_or_default();
        for (delta, value) in deltas.iter_mut().zip(block) {
            // a difference that overflows wraps, and wraps back when it is read
            *delta = value.wrapping_sub(previous);
            previous = *value;
        }
        let least = deltas.iter().copied().min().unwrap_or(0);
        put_varint(zigzag(least), out);
        let above = |delta: &i64| delta.wrapping_sub(least).cast_unsigned();
        let widths = out.len();
        out.extend_from_slice(&[0; BLOCK / PART]);
        for (number, part) in deltas.chunks(PART).enumerate() {
            let width = u64::BITS - part.iter().map(above).fold(0, |bits, delta| bits | delta).leading_zeros();
            if let Some(place) = out.get_mut(widths + number) {
                // at most 64
                *place = width as u8;
            }
            pack(part.iter().map(above), width, out);
        }
    }
}

/// Appends the values of a part, `width` bits each; a part that is not full is filled up with zeros.
fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let end = out.len() + PART * width as usize / 8;
    let (mut held, mut bits) = (0u128, 0);
    for value in values {
        held |= u128::from(value) << bits;
        bits += width;
        while bits >= 32 {
            out.extend_from_slice(&(held as u32).to_le_bytes());
            held >>= 32;
            bits -= 32;
        }
    }
    if bits > 0 {
        out.extend_from_slice(&(held as u32).to_le_bytes());
    }
    // 32 values of any width end with a whole word: what is written never reaches past the end
    out.resize(end, 0);
}

/// Small numbers of either sign as small numbers without one.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn varint(bytes: &[u8], at: &mut usize) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn signed(bytes: &[u8], at: &mut usize) -> i64 {
        let value = varint(bytes, at);
        (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
    }

    /// A decoder bit by bit, as the specification reads.
    fn decode(bytes: &[u8]) -> Vec<i64> {
        let at = &mut 0;
        let (block, parts, count) = (varint(bytes, at), varint(bytes, at), varint(bytes, at) as usize);
        let first = signed(bytes, at);
        let part = (block / parts) as usize;
        let mut values = if count == 0 { vec![] } else { vec![first] };
        while values.len() < count {
            let least = signed(bytes, at);
            let widths = &bytes[*at..*at + parts as usize];
            *at += parts as usize;
            for width in widths.iter().map(|width| usize::from(*width)) {
                if values.len() >= count {
                    assert_eq!(width, 0);
                    continue;
                }
                for value in 0..part {
                    let bit = |number: usize| {
                        let place = value * width + number;
                        u64::from(bytes[*at + place / 8] >> (place % 8) & 1) << number
                    };
                    let delta = (0..width).map(bit).fold(0, |sum, bit| sum | bit).cast_signed().wrapping_add(least);
                    if values.len() < count {
                        values.push(values[values.len() - 1].wrapping_add(delta));
                    }
                }
                *at += part * width / 8;
            }
        }
        assert_eq!(*at, bytes.len());
        values
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            values in prop::collection::vec(prop_oneof![any::<i64>(), -9i64..9, 0i64..1 << 33], 0..400),
        ) {
            let mut out = Vec::new();
            encode(&values, &mut out);
            prop_assert_eq!(decode(&out), values);
        }
    }

    #[test]
    fn lines_in_order_take_next_to_nothing() {
        let mut out = Vec::new();
        encode(&(2..16_386).collect::<Vec<_>>(), &mut out);
        assert_eq!(decode(&out).len(), 16_384);
        assert!(out.len() < 700, "{} bytes", out.len());
    }
}
