//! The values of a line: a nom parser that takes the next one, and what reads it as its type.
//!
//! BE ADVISED: nothing here branches on single characters where it can be helped. The lengths of addresses and
//! numbers in a log are noise to a branch predictor, and each wrong guess costs as much as reading the value. So a
//! value is first looked at through a window, the sixteen bytes from its begin on, in two words: most values end
//! there, and numbers and IPv4 addresses are made of these words. The window may reach past the value, into what
//! follows in the chunk: that is shifted out, and where nothing follows, line ends are put in its place.
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
    /// Text that the line is a part of.
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
    /// Where it begins in that text.
    pub(super) start: usize,
    length: usize,
    /// It is `-`: no value.
    pub(super) is_null: bool,
    window: Window,
}

impl<'a> Value<'a> {
    /// The value as written.
    #[inline(always)]
    pub(super) fn text(self) -> &'a str {
        self.around.get(self.start..self.start + self.length).unwrap_or_default()
    }
}

impl<'a> Values<'a> {
    /// The values from byte `start` to the line's end. Past that stands nothing, or something that is no part of a
    /// value: a line end.
    #[inline]
    pub(super) fn new(around: &'a str, start: usize, end: usize) -> Self {
        Self { around, at: start, end }
    }
}

/// Sixteen bytes; the first one is the lowest of `low`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    low: u64,
    high: u64,
}

impl Window {
    /// The bytes from `start` on.
    #[inline(always)]
    fn at(bytes: &[u8], start: usize) -> Self {
        match bytes.get(start..).and_then(|rest| rest.first_chunk::<16>()) {
            Some(sixteen) => Self::of(u128::from_le_bytes(*sixteen)),
            None => Self::of_last(bytes.get(start..).unwrap_or_default()),
        }
    }

    #[inline(always)]
    fn bytes(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    #[inline(always)]
    fn of(bytes: u128) -> Self {
        Self { low: bytes as u64, high: (bytes >> 64) as u64 }
    }

    /// Less than sixteen bytes, and line ends.
    #[cold]
    fn of_last(bytes: &[u8]) -> Self {
        let mut sixteen = [b'\n'; 16];
        sixteen.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self::of(u128::from_le_bytes(sixteen))
    }
}

/// Bytes before the first blank or control character, the first sixteen of which are the window.
#[inline(always)]
fn word_length(window: Window, bytes: &[u8], start: usize) -> usize {
    let end = |word| (ends(word).trailing_zeros() / 8) as usize;
    if ends(window.low) != 0 {
        end(window.low)
    } else if ends(window.high) != 0 {
        8 + end(window.high)
    } else {
        let mut length = 16;
        let mut rest = bytes.get(start + length..).unwrap_or_default();
        while let Some((eight, after)) = rest.split_first_chunk::<8>() {
            let word = u64::from_le_bytes(*eight);
            if ends(word) != 0 {
                return length + end(word);
            }
            length += 8;
            rest = after;
        }
        length + rest.iter().take_while(|byte| **byte > b' ').count()
    }
}

/// Marks, by their highest bit, the first blank or control character of a word, and perhaps some after it.
#[inline(always)]
const fn ends(word: u64) -> u64 {
    word.wrapping_sub(each(b' ' + 1)) & !word & each(0x80)
}

/// A word with this byte in every place.
const fn each(byte: u8) -> u64 {
    u64::MAX / 255 * byte as u64
}

/// The next value of a line.
#[inline(always)]
pub(super) fn value(input: Values<'_>) -> Read<'_, Value<'_>> {
    let Values { around, at, end } = input;
    let bytes = around.as_bytes();
    let mut start = at;
    let mut window = Window::at(bytes, start);
    if window.low as u8 <= b' ' {
        start += blanks(bytes.get(at..end).unwrap_or_default());
        window = Window::at(bytes, start);
    }
    if start >= end {
        return Err(nom::Err::Error(Mistake::End));
    }
    let read = |length, is_null| {
        Ok((Values { around, at: start + length + 1, end }, Value { around, start, length, is_null, window }))
    };
    // as most nulls stand in a line: no end is sought
    if window.low as u16 == u16::from_le_bytes(*b"- ") {
        return read(1, true);
    }
    let length = word_length(window, bytes, start);
    if bytes.get(start + length) == Some(&b' ') {
        return read(length, false);
    }
    let length = length + more(bytes.get(start + length..end).unwrap_or_default());
    read(length, length == 1 && window.low as u8 == b'-')
}

/// Blanks at the beginning.
#[cold]
fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| is_blank(**byte)).count()
}

/// Bytes up to the first blank: a control character is none.
fn more(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| !is_blank(**byte)).count()
}

/// Decimal digits without a sign, of a number that fits.
#[inline(always)]
pub(super) fn integer(value: Value<'_>) -> Result<i64, Mistake> {
    let Value { length, window: Window { low, high }, .. } = value;
    if (1..=8).contains(&length) {
        eight_digits(low, length)
    } else if (9..=15).contains(&length) {
        let more = 8 * (length - 8) as u32;
        let last = eight_digits(low >> more | high << (64 - more), 8)?;
        Ok(eight_digits(low, length - 8)? * 100_000_000 + last)
    } else {
        any_digits(value.text())
    }
}

/// The number in the first `count` (1 to 8) characters of eight.
#[inline(always)]
fn eight_digits(word: u64, count: usize) -> Result<i64, Mistake> {
    // the digits move to the end of the word, zeros stand before them
    let digits = (word ^ each(b'0')) << (64 - 8 * count as u32);
    if (digits | digits.wrapping_add(each(6))) & each(0xf0) != 0 {
        return Err(Mistake::Int);
    }
    let pairs = digits * 10 + (digits >> 8);
    let even = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let odd = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    Ok((even.wrapping_add(odd) >> 32) as i64)
}

/// The number in digits of any count.
#[cold]
fn any_digits(digits: &str) -> Result<i64, Mistake> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().map_err(|_| Mistake::Int) } else { Err(Mistake::Int) }
}

/// An IPv4 address, as nearly all are. As the standard library: no leading zeros.
#[inline(always)]
pub(super) fn ipv4_address(value: Value<'_>) -> Option<IpAddr> {
    ipv4(value.window, value.length).map(IpAddr::V4)
}

/// An address of either kind, without a zone id; an IPv4 address mapped into IPv6 stays IPv6.
#[cold]
pub(super) fn address(text: &str) -> Result<IpAddr, Mistake> {
    text.parse().map_err(|_| Mistake::Address)
}

/// The IPv4 address in the first `length` bytes of the window, if it is one.
///
/// Two words have two octets each: the window's first, and what follows the second dot. Lengths are counted in bits.
#[inline(always)]
fn ipv4(window: Window, length: usize) -> Option<Ipv4Addr> {
    if !(7..=15).contains(&length) {
        return None;
    }
    let marks = dots(window.low);
    let (first, second) = (before(marks), before(marks & marks.wrapping_sub(1)));
    let behind = (window.bytes() >> (second + 8)) as u64;
    let third = before(dots(behind));
    let end = (8 * length as u32).wrapping_sub(second + 8);

    let front = two_octets(window.low, first, second);
    let back = two_octets(behind, third, end);
    // four lanes: the first octet in the highest, then the third, the second, and the fourth
    let digit = |at: u32| (front >> at & EVEN) << 16 | (back >> at & EVEN);
    let octets = digit(8) * 100 + digit(16) * 10 + digit(24);
    // as many digits as the number has without leading zeros
    let longer_than = |largest: u64| (octets + LANES * (0x7fff - largest)) >> 15 & LANES;
    let bits = (LANES + longer_than(9) + longer_than(99)) * 8;
    let said = lane(first, 48)
        | lane(third, 32)
        | lane(second.wrapping_sub(first + 8), 16)
        | lane(end.wrapping_sub(third + 8), 0);
    let wrong = (front | front.wrapping_add(each(6)) | back | back.wrapping_add(each(6))) & each(0xf0)
        | octets & (LANES * 0xff00)
        | bits ^ said;
    (wrong == 0).then(|| Ipv4Addr::from_bits((octets | octets >> 24) as u32))
}

/// One in each of four lanes.
const LANES: u64 = u64::MAX / 0xffff;
/// The second and the fourth of four lanes.
const EVEN: u64 = 0x0000_00ff_0000_00ff;

/// A length in its lane. One below zero fills the lanes above it too, and no octet is so long.
#[inline(always)]
fn lane(bits: u32, at: u32) -> u64 {
    i64::from(bits as i32).cast_unsigned() << at
}

/// Marks the dots of a word by their highest bit. Right after a dot `/` may be marked too: an octet without digits.
#[inline(always)]
const fn dots(word: u64) -> u64 {
    let zeros = word ^ each(b'.');
    zeros.wrapping_sub(each(1)) & !zeros & each(0x80)
}

/// How many bits stand before the first marked byte. If none is marked, no whole number of bytes: no octet is so long.
#[inline(always)]
const fn before(marks: u64) -> u32 {
    marks.trailing_zeros() - 7
}

/// The digits of two octets as numbers, in the halves of a word, the last one of each in the highest byte.
#[inline(always)]
fn two_octets(word: u64, dot: u32, end: u32) -> u64 {
    let digits = word ^ each(b'0');
    let left = (digits as u32).wrapping_shl(32_u32.wrapping_sub(dot));
    let second = digits.wrapping_shr(dot + 8) as u32;
    let right = second.wrapping_shl(40_u32.wrapping_add(dot).wrapping_sub(end));
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The values of a line.
    fn values(line: &str) -> Vec<&str> {
        let mut input = Values::new(line, 0, line.len());
        let mut values = Vec::new();
        while let Ok((rest, value)) = value(input) {
            values.push(value.text());
            input = rest;
        }
        values
    }

    /// Reads the text as a line of its own, and as a line with others after it: the two must agree.
    fn both_ways<T: PartialEq + std::fmt::Debug>(text: &str, read: impl Fn(Value<'_>) -> T) -> T {
        let read_before = |after: &str| {
            let around = format!("{text}{after}");
            let (_, value) = value(Values::new(&around, 0, text.len())).unwrap();
            assert_eq!(value.text(), text);
            read(value)
        };
        let alone = read_before("");
        for after in ["\n9999999999999999999999", "\r\n8.8.8.8.8.8.8.8.8.8.8.8", "\n"] {
            assert_eq!(read_before(after), alone, "{text:?} before {after:?}");
        }
        alone
    }

    fn any_address(value: Value<'_>) -> Result<IpAddr, Mistake> {
        ipv4_address(value).map_or_else(|| address(value.text()), Ok)
    }

    #[test]
    fn blanks_are_spaces_and_tabs() {
        assert_eq!(values(" \t a  b\tc "), ["a", "b", "c"]);
        assert_eq!(values("a\0b \u{1}\u{1f} é\u{a0}ü"), ["a\0b", "\u{1}\u{1f}", "é\u{a0}ü"]);
        assert!(values("").is_empty() && values(" \t ").is_empty());
        // what stands after the line is not read
        assert_eq!(value(Values::new("\na", 0, 0)), Err(nom::Err::Error(Mistake::End)));
        let (rest, _) = value(Values::new("a\nb", 0, 1)).unwrap();
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
            assert_eq!(both_ways(text, any_address), Ok(text.parse().unwrap()), "{text}");
        }
        for wrong in [
            "10.0.1",
            "10.0.1.5.6",
            "10.0.01.5",
            "172.210055.241",
            "1.2.3004",
            "256.0.0.1",
            "10.0.1.",
            "1..2.3",
            "fe80::1%eth0",
            "x",
            "1./.2.3",
        ] {
            assert_eq!(both_ways(wrong, any_address), Err(Mistake::Address), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn addresses_are_what_the_standard_library_says(text in "[0-9a-f:.]{1,16}|([0-9/:é]{1,3}[./]){3}[0-9]{1,3}|([0-9]{1,3}\\.){3}[0-9]{1,3}") {
            prop_assert_eq!(both_ways(&text, any_address).ok(), text.parse().ok());
        }

        #[test]
        fn the_fast_way_takes_every_ipv4_address_and_nothing_else(text in "([0-9]{1,3}|[0-9./:é\u{1}\u{ff}-]{1,4})([./0-9]([0-9]{1,3}|[0-9./:é-]{0,4})){3}") {
            prop_assert_eq!(both_ways(&text, ipv4_address), text.parse().ok().map(IpAddr::V4));
        }

        #[test]
        fn every_ipv4_address_is_read(address_bits: u32) {
            let text = Ipv4Addr::from_bits(address_bits).to_string();
            prop_assert_eq!(both_ways(&text, any_address), Ok(IpAddr::V4(Ipv4Addr::from_bits(address_bits))));
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
