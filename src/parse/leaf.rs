//! The values of a line, one nom parser a type.
//!
//! BE ADVISED: nothing here branches on single characters where it can be helped. The lengths of addresses and
//! numbers in a log are noise to a branch predictor, and each wrong guess costs as much as reading the value. So ends
//! of values are sought eight bytes at a time, and numbers and IPv4 addresses are read as words. A word may reach past
//! its value, into what follows in the chunk: that is masked away, and where nothing follows, a slower path serves.
//! The input of the parsers is therefore not the line but [`Values`], which knows what stands after it. The parsers
//! are called as functions and inlined by force: through nom's combinators the compiler passes their input through
//! memory, which takes half as long again.

use std::net::{IpAddr, Ipv4Addr};

use nom::IResult;
use nom::error::{ErrorKind, ParseError};

/// What is wrong with a value. The value itself is looked up again when the error is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    Int,
    Address,
    Value,
    /// There is no value: the line has ended.
    End,
}

impl<I> ParseError<I> for Mistake {
    fn from_error_kind(_: I, _: ErrorKind) -> Self {
        Self::Value
    }

    fn append(_: I, _: ErrorKind, other: Self) -> Self {
        other
    }
}

pub(super) type Read<'a, T> = IResult<Values<'a>, T, Mistake>;

pub(super) const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The values of a line that are still to be read, divided by one or more blanks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Values<'a> {
    /// Text that begins with the line and may reach past it.
    around: &'a str,
    /// Where the next value or the blanks before it begin.
    at: usize,
    /// Where the line ends.
    end: usize,
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Value<'a> {
    /// Text that the value is a part of.
    around: &'a str,
    /// The bytes from the value's begin on.
    bytes: &'a [u8],
    /// Where it begins in its line.
    pub(super) start: usize,
    length: usize,
}

impl<'a> Value<'a> {
    /// The value from byte `start` to `end` of a text.
    #[inline(always)]
    pub(super) fn new(around: &'a str, start: usize, end: usize) -> Self {
        let bytes = around.as_bytes().get(start..).unwrap_or_default();
        Value { around, bytes, start, length: end.saturating_sub(start) }
    }

    /// The value as written.
    #[inline(always)]
    pub(super) fn text(self) -> &'a str {
        self.around.get(self.start..self.start + self.length).unwrap_or_default()
    }

    /// `-`: no value.
    #[inline(always)]
    pub(super) fn is_null(self) -> bool {
        self.length == 1 && self.bytes.first() == Some(&b'-')
    }
}

impl<'a> Values<'a> {
    /// The values of a line from byte `start` on. `around` begins with the line; past it stands nothing, or something
    /// that is no part of a value: a line end.
    #[inline]
    pub(super) fn new(line: &'a str, around: &'a str, start: usize) -> Self {
        Self { around, at: start, end: line.len() }
    }
}

/// Bytes before the first blank or control character.
#[inline(always)]
fn word_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    let mut rest = bytes;
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        // the high bit of each byte above ' '; no carry leaves its byte
        let others = ((word & each(0x7f)) + each(0x7f - b' ')) | word;
        let marks = !others & each(0x80);
        if marks != 0 {
            return length + (marks.trailing_zeros() / 8) as usize;
        }
        length += 8;
        rest = after;
    }
    length + rest.iter().take_while(|byte| **byte > b' ').count()
}

/// A word with this byte in every place.
const fn each(byte: u8) -> u64 {
    u64::MAX / 255 * byte as u64
}

/// Marks, by their highest bit, the bytes of `word` that are `byte`.
#[inline]
const fn places(word: u64, byte: u8) -> u64 {
    let difference = word ^ each(byte);
    !(((difference & each(0x7f)) + each(0x7f)) | difference | each(0x7f))
}

/// The highest bits of the eight bytes, as the eight lowest bits.
#[inline]
const fn gather(marks: u64) -> u64 {
    (marks >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// The next value of a line.
#[inline(always)]
pub(super) fn value(input: Values<'_>) -> Read<'_, Value<'_>> {
    let Values { around, at, end } = input;
    let bytes = around.as_bytes();
    let start = match bytes.get(at) {
        Some(byte) if *byte > b' ' => at,
        _ => at + blanks(bytes.get(at..end).unwrap_or_default()),
    };
    if start >= end {
        return Err(nom::Err::Error(Mistake::End));
    }
    let on = bytes.get(start..).unwrap_or_default();
    let mut length = word_length(on);
    if start + length < end && on.get(length) != Some(&b' ') {
        length += more(on.get(length..end - start).unwrap_or_default());
    }
    Ok((Values { around, at: start + length + 1, end }, Value::new(around, start, start + length)))
}

/// Blanks at the beginning.
#[cold]
fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| is_blank(**byte)).count()
}

/// Bytes up to the first blank: a control character is none.
#[cold]
fn more(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| !is_blank(**byte)).count()
}

/// `-` and a blank, as most nulls stand in a line. Told before [`value`] looks for an end, it costs next to nothing.
#[inline(always)]
pub(super) fn null(input: Values<'_>) -> Read<'_, ()> {
    match input.around.as_bytes().get(input.at..input.end) {
        Some([b'-', b' ', ..]) => Ok((Values { at: input.at + 2, ..input }, ())),
        _ => Err(nom::Err::Error(Mistake::Value)),
    }
}

/// Decimal digits without a sign, of a number that fits.
#[inline(always)]
pub(super) fn integer(value: Value<'_>) -> Result<i64, Mistake> {
    let word = |at| value.bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map(|word| u64::from_le_bytes(*word));
    let number = match (value.length, word(0)) {
        (1..=8, Some(word)) => eight_digits(word, value.length),
        (9..=16, Some(first)) => {
            let high = eight_digits(first, value.length - 8);
            let low = word(value.length - 8).and_then(|last| eight_digits(last, 8));
            high.zip(low).map(|(high, low)| high * 100_000_000 + low)
        }
        _ => any_digits(value.text()),
    };
    number.ok_or(Mistake::Int)
}

/// The number in the first `count` (1 to 8) characters of eight.
#[inline]
fn eight_digits(word: u64, count: usize) -> Option<i64> {
    let shift = 64 - 8 * count as u32;
    // the digits move to the end of the word, zeros stand before them
    let digits = (word << shift) ^ (each(b'0') << shift);
    if (digits | digits.wrapping_add(each(6))) & each(0xf0) != 0 {
        return None;
    }
    let pairs = digits * 10 + (digits >> 8);
    let even = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let odd = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    Some((even.wrapping_add(odd) >> 32) as i64)
}

/// The number in digits of any count.
#[cold]
fn any_digits(digits: &str) -> Option<i64> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

/// An address. As the standard library: no leading zeros, no zone ids; an IPv4 address mapped into IPv6 stays IPv6.
#[inline(always)]
pub(super) fn address(value: Value<'_>) -> Result<IpAddr, Mistake> {
    match ipv4(value.bytes, value.length) {
        Some(address) => Ok(IpAddr::V4(address)),
        None => value.text().parse().map_err(|_| Mistake::Address),
    }
}

/// The IPv4 address in the first `length` bytes, if it is one and sixteen bytes can be read there.
#[inline]
fn ipv4(bytes: &[u8], length: usize) -> Option<Ipv4Addr> {
    let sixteen = bytes.first_chunk::<16>()?;
    if !(7..=15).contains(&length) {
        return None;
    }
    let word = u128::from_le_bytes(*sixteen);
    let dots = gather(places(word as u64, b'.')) | gather(places((word >> 64) as u64, b'.')) << 8;
    let dots = dots & ((1 << length) - 1);
    if dots.count_ones() != 3 {
        return None;
    }
    let first = dots.trailing_zeros() as usize;
    let dots = dots & (dots - 1);
    let second = dots.trailing_zeros() as usize;
    let third = (dots & (dots - 1)).trailing_zeros() as usize;
    let front = two_octets(octet(sixteen, 0, first)?, octet(sixteen, first + 1, second)?)?;
    let back = two_octets(octet(sixteen, second + 1, third)?, octet(sixteen, third + 1, length)?)?;
    Some(Ipv4Addr::from_bits(front << 16 | back))
}

/// The digits of one octet as numbers, the last one in the highest byte, and how many they are.
#[inline(always)]
fn octet(sixteen: &[u8; 16], start: usize, end: usize) -> Option<(u64, u64)> {
    let count = end.wrapping_sub(start) as u32;
    let four = u32::from_le_bytes(*sixteen.get(start..)?.first_chunk()?);
    let shift = 32_u32.wrapping_sub(8 * count);
    Some((u64::from(four.wrapping_shl(shift) ^ 0x3030_3030_u32.wrapping_shl(shift)), u64::from(count)))
}

/// The value of two octets, side by side in the halves of a word.
#[inline(always)]
fn two_octets((left, left_count): (u64, u64), (right, right_count): (u64, u64)) -> Option<u32> {
    const BOTH: u64 = 1 << 32 | 1;
    let digits = left << 32 | right;
    let octets =
        (digits >> 8 & (BOTH * 0xff)) * 100 + (digits >> 16 & (BOTH * 0xff)) * 10 + (digits >> 24 & (BOTH * 0xff));
    // as many digits as the number has without leading zeros
    let longer_than = |largest: u64| (octets + BOTH * (0x7fff_ffff - largest)) >> 31 & BOTH;
    let counts = BOTH + longer_than(9) + longer_than(99);
    let wrong = (digits | digits.wrapping_add(each(6))) & each(0xf0)
        | octets & (BOTH * 0xffff_ff00)
        | counts ^ (left_count << 32 | right_count);
    (wrong == 0).then_some((octets >> 32 << 8 | octets & 0xff) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The values of a line.
    fn values(line: &str) -> Vec<&str> {
        let mut input = Values::new(line, line, 0);
        let mut values = Vec::new();
        while let Ok((rest, value)) = value(input) {
            values.push(value.text());
            input = rest;
        }
        values
    }

    /// Reads the text as a line of its own, and as a line with others after it: the two must agree.
    fn both_ways<T: PartialEq + std::fmt::Debug>(text: &str, read: impl Fn(Value<'_>) -> T) -> T {
        let alone = read(Value::new(text, 0, text.len()));
        for after in ["\n9999999999999999999999", " 8.8.8.8.8.8.8.8.8.8.8.8", "\n"] {
            assert_eq!(read(Value::new(&format!("{text}{after}"), 0, text.len())), alone, "{text:?} before {after:?}");
        }
        alone
    }

    #[test]
    fn blanks_are_spaces_and_tabs() {
        assert_eq!(values(" \t a  b\tc "), ["a", "b", "c"]);
        assert_eq!(values("a\0b \u{1}\u{1f} é\u{a0}ü"), ["a\0b", "\u{1}\u{1f}", "é\u{a0}ü"]);
        assert!(values("").is_empty() && values(" \t ").is_empty());
        // what stands after the line is not read
        assert_eq!(value(Values::new("", "\na", 0)), Err(nom::Err::Error(Mistake::End)));
        let (rest, _) = value(Values::new("a", "a\nb", 0)).unwrap();
        assert!(value(rest).is_err());
    }

    #[test]
    fn integers_are_digits_in_range() {
        assert_eq!(both_ways("9223372036854775807", integer), Ok(i64::MAX));
        assert_eq!(both_ways("0000000000000000000000000007", integer), Ok(7));
        for wrong in
            ["-1", "+1", "9223372036854775808", "18446744073709551616", "1x", "0x1", "1.0", "１", "1\0", "/", ":"]
        {
            assert_eq!(both_ways(wrong, integer), Err(Mistake::Int), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_every_kind() {
        for text in ["0.0.0.0", "255.255.255.255", "10.0.1.5", "::", "ff02::1", "::ffff:10.0.1.5", "2001:DB8::1"] {
            assert_eq!(both_ways(text, address), Ok(text.parse().unwrap()), "{text}");
        }
        for wrong in
            ["10.0.1", "10.0.1.5.6", "10.0.01.5", "256.0.0.1", "10.0.1.", "1..2.3", "fe80::1%eth0", "x", "1./.2.3"]
        {
            assert_eq!(both_ways(wrong, address), Err(Mistake::Address), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn addresses_are_what_the_standard_library_says(text in "[0-9a-f:.]{1,16}|([0-9/:é]{1,3}[./]){3}[0-9]{1,3}|([0-9]{1,3}\\.){3}[0-9]{1,3}") {
            prop_assert_eq!(both_ways(&text, address).ok(), text.parse().ok());
        }

        #[test]
        fn every_ipv4_address_is_read(address_bits: u32) {
            let text = Ipv4Addr::from_bits(address_bits).to_string();
            prop_assert_eq!(both_ways(&text, address), Ok(IpAddr::V4(Ipv4Addr::from_bits(address_bits))));
        }

        #[test]
        fn integers_are_what_the_standard_library_says(text in "[0-9]{1,20}|[0-9]{0,9}[!-~é][0-9]{0,9}") {
            let expected = if text.starts_with('+') { None } else { text.parse::<i64>().ok().filter(|_| !text.starts_with('-')) };
            prop_assert_eq!(both_ways(&text, integer).ok(), expected);
        }

        #[test]
        fn values_stand_between_blanks(line in "([ -~]|\\PC|[ \t]|\0){0,200}") {
            let expected: Vec<&str> = line.split([' ', '\t']).filter(|value| !value.is_empty()).collect();
            prop_assert_eq!(values(&line), expected);
        }
    }
}
