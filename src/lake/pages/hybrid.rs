//! Parquet's hybrid of run lengths and bit packing (Encodings.md, "RLE/Bit-Packing Hybrid"): dictionary indices and
//! definition levels.

/// Values of a bit-packed group.
const GROUP: usize = 8;
/// The most groups of a bit-packed run. Longer ones are legal, but 504 values is what writers usually make, and
/// DuckDB scans nullable columns with longer ones 1.4 times slower.
const RUN_GROUPS: usize = 63;

/// The fewest bits that hold every number below `count`; at least one.
pub(super) fn width_for(count: usize) -> u8 {
    // a page has fewer than 2^32 values: the width is at most 32
    (usize::BITS - count.saturating_sub(1).leading_zeros()).max(1) as u8
}

/// Appends the values, each below 2^`width`, `width` from 1 to 32.
pub(super) fn encode(values: &[u32], width: u8, out: &mut Vec<u8>) {
    let mut rest = values;
    while !rest.is_empty() {
        let packed = packed_length(rest);
        let (pack, after) = rest.split_at(packed);
        for run in pack.chunks(GROUP * RUN_GROUPS) {
            out.push((run.len().div_ceil(GROUP) << 1 | 1) as u8);
            pack_groups(run, width, out);
        }
        let Some(first) = after.first() else { return };
        let run = after.iter().take_while(|value| *value == first).count();
        put_varint((run as u64) << 1, out);
        out.extend_from_slice(first.to_le_bytes().get(..usize::from(width).div_ceil(8)).unwrap_or_default());
        rest = after.get(run..).unwrap_or_default();
    }
}

/// How many values stand before the first group of equal ones: whole groups, or all there are.
fn packed_length(values: &[u32]) -> usize {
    let (groups, _) = values.as_chunks::<GROUP>();
    let equal = groups.iter().position(|group| group.iter().all(|value| *value == group[0]));
    equal.map_or(values.len(), |groups| groups * GROUP)
}

/// Appends whole groups; the last is filled up with zeros.
fn pack_groups(values: &[u32], width: u8, out: &mut Vec<u8>) {
    let bytes = usize::from(width);
    let start = out.len();
    let groups = values.len().div_ceil(GROUP);
    // a group is stored as sixteen bytes, of which the next one overwrites those that it does not use
    out.resize(start + groups * bytes + 32, 0);
    let (whole, last) = values.as_chunks::<GROUP>();
    let mut padded = [0; GROUP];
    for (to, from) in padded.iter_mut().zip(last) {
        *to = *from;
    }
    let padded = if last.is_empty() { &[][..] } else { std::slice::from_ref(&padded) };
    let mut at = start;
    for group in whole.iter().chain(padded) {
        if width <= 16 {
            if let Some(place) = out.get_mut(at..at + 16) {
                place.copy_from_slice(&pack_narrow(group, u32::from(width)).to_le_bytes());
            }
        } else if let Some(place) = out.get_mut(at..at + 32) {
            place.copy_from_slice(&pack_wide(group, u32::from(width)));
        }
        at += bytes;
    }
    out.truncate(start + groups * bytes);
}

/// Eight values of at most 16 bits.
#[inline(always)]
fn pack_narrow(group: &[u32; GROUP], width: u32) -> u128 {
    let half = |[a, b, c, d]: [u32; 4]| {
        u64::from(a) | u64::from(b) << width | u64::from(c) << (2 * width) | u64::from(d) << (3 * width)
    };
    let [a, b, c, d, e, f, g, h] = *group;
    u128::from(half([a, b, c, d])) | u128::from(half([e, f, g, h])) << (4 * width)
}

/// Eight values of at most 32 bits.
fn pack_wide(group: &[u32; GROUP], width: u32) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (mut held, mut bits, mut at) = (0u64, 0, 0);
    for value in group {
        held |= u64::from(*value) << bits;
        bits += width;
        while bits >= 8 {
            bytes[at] = held as u8;
            held >>= 8;
            bits -= 8;
            at += 1;
        }
    }
    bytes
}

/// Appends a number as a ULEB128 varint.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A decoder bit by bit, as the specification reads.
    fn decode(bytes: &[u8], width: u8, count: usize) -> Vec<u32> {
        let (mut at, mut values) = (0, Vec::new());
        while values.len() < count {
            let (mut header, mut shift) = (0u64, 0);
            loop {
                header |= u64::from(bytes[at] & 0x7f) << shift;
                shift += 7;
                at += 1;
                if bytes[at - 1] < 0x80 {
                    break;
                }
            }
            let length = (header >> 1) as usize;
            if header & 1 == 0 {
                let size = usize::from(width).div_ceil(8);
                let value = (0..size).fold(0, |value, byte| value | u32::from(bytes[at + byte]) << (8 * byte));
                values.extend(std::iter::repeat_n(value, length));
                at += size;
            } else {
                for value in 0..length * 8 {
                    let bit = |number: usize| {
                        let place = value * usize::from(width) + number;
                        u32::from(bytes[at + place / 8] >> (place % 8) & 1) << number
                    };
                    values.push((0..usize::from(width)).map(bit).sum());
                }
                at += length * usize::from(width);
            }
        }
        assert_eq!(at, bytes.len());
        assert!(values[count..].iter().all(|value| *value == 0), "padding");
        values.truncate(count);
        values
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            width in 1u8..=32,
            runs in prop::collection::vec((any::<u32>(), prop_oneof![Just(1usize), 1usize..20, 500usize..1200]), 0..60),
        ) {
            let mask = (u64::pow(2, width.into()) - 1) as u32;
            let values: Vec<u32> = runs.iter().flat_map(|(value, n)| std::iter::repeat_n(value & mask, *n)).collect();
            let mut out = vec![7];
            encode(&values, width, &mut out);
            prop_assert_eq!(decode(&out[1..], width, values.len()), values);
        }
    }

    #[test]
    fn widths() {
        assert_eq!([0, 1, 2, 3, 256, 257, 1 << 18].map(width_for), [1, 1, 1, 2, 8, 9, 18]);
    }

    #[test]
    fn packed_runs_are_short_and_equal_values_are_runs() {
        let values: Vec<u32> = (0..2000).map(|i| i % 2).collect();
        let mut out = Vec::new();
        encode(&values, 1, &mut out);
        assert_eq!(out.len(), 4 + 250, "a header for every 504 values");
        out.clear();
        encode(&[1; 2000], 1, &mut out);
        assert_eq!(out, [0xa0, 0x1f, 1]);
    }
}
