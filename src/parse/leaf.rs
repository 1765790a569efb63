//! The values of a line, one nom parser a type.
//!
//! BE ADVISED: nothing here branches on single characters where it can be helped. The lengths of addresses and
//! numbers in a log are noise to a branch predictor, and each wrong guess costs as much as reading the value. So the
//! input of the parsers is [`Values`], a line whose blanks are found 64 bytes at a time, ahead of the values (to
//! search the end of each value before the next can begin is a chain of dependent steps, twice as slow), and numbers
//! and IPv4 addresses are read as words. Words may reach past their value: what follows is masked away, and where
//! nothing follows, a slower path serves.

use std::net::{IpAddr, Ipv4Addr};

use nom::IResult;
use nom::error::{ErrorKind, FromExternalError, ParseError};

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

impl<I> FromExternalError<I, Self> for Mistake {
    fn from_external_error(_: I, _: ErrorKind, mistake: Self) -> Self {
        mistake
    }
}

pub(super) type Read<'a, T> = IResult<Values<'a>, T, Mistake>;

pub(super) const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The values of a line that are still to be read, divided by one or more blanks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    line: &'a str,
    /// The bytes from the line's begin on, perhaps past its end.
    bytes: &'a [u8],
    /// Where the next value or the blanks before it begin.
    at: usize,
    /// Where the block of 64 bytes begins whose blanks are known.
    block: usize,
    /// One bit for each byte of the block, from `at` on, that may be a blank.
    blanks: u64,
}

/// One value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    line: &'a str,
    /// The bytes from the value's begin on, perhaps past its end.
    bytes: &'a [u8],
    start: usize,
    length: usize,
}

impl<'a> Value<'a> {
    /// The value as written.
    #[inline(always)]
    pub(super) fn text(self) -> &'a str {
        self.line.get(self.start..self.start + self.length).unwrap_or_default()
    }

    /// `-`: no value.
    #[inline(always)]
    pub(super) fn is_null(self) -> bool {
        self.length == 1 && self.bytes.first() == Some(&b'-')
    }
}

impl<'a> Values<'a> {
    /// The values of a line from byte `start` on. `bytes` begin with the line and may reach past it.
    #[inline]
    pub(super) fn new(line: &'a str, bytes: &'a [u8], start: usize) -> Self {
        let blanks = bytes.get(start..).map_or(0, find_blanks);
        Self { line, bytes, at: start, block: start, blanks }
    }

    /// The end of the value that begins at `at`, if one does.
    #[inline]
    fn next_blank(&mut self) -> usize {
        loop {
            while self.blanks == 0 {
                self.block += 64;
                match self.bytes.get(self.block..) {
                    Some(rest) if self.block < self.line.len() => self.blanks = find_blanks(rest),
                    _ => return self.line.len(),
                }
            }
            let end = self.block + self.blanks.trailing_zeros() as usize;
            self.blanks &= self.blanks - 1;
            if end >= self.line.len() {
                return self.line.len();
            }
            if self.bytes.get(end).is_some_and(|byte| is_blank(*byte)) {
                return end;
            }
        }
    }
}

/// Marks with a bit each of the first 64 bytes that is a blank or a control character.
#[inline]
fn find_blanks(bytes: &[u8]) -> u64 {
    const WORDS: usize = 8;
    let mut blanks = 0;
    match bytes.first_chunk::<{ 8 * WORDS }>() {
        Some(block) => {
            for (place, word) in block.as_chunks::<8>().0.iter().enumerate() {
                let word = u64::from_le_bytes(*word);
                // the high bit of each byte above ' '; no carry leaves its byte
                let others = ((word & each(0x7f)) + each(0x7f - b' ')) | word;
                let marks = !others & each(0x80);
                blanks |= gather(marks) << (8 * place);
            }
        }
        None => {
            for (place, byte) in bytes.iter().enumerate() {
                blanks |= u64::from(*byte <= b' ') << place;
            }
        }
    }
    blanks
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
pub(super) fn value(mut input: Values<'_>) -> Read<'_, Value<'_>> {
    loop {
        let start = input.at;
        let end = input.next_blank();
        input.at = end + 1;
        if start < end {
            let bytes = input.bytes.get(start..).unwrap_or_default();
            return Ok((input, Value { line: input.line, bytes, start, length: end - start }));
        }
        if end >= input.line.len() {
            return Err(nom::Err::Error(Mistake::End));
        }
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

/// The number in the first `count` (1 to 8) characters of eight, without a branch on any of them: the lengths of
/// numbers in a log are noise to the branch predictor.
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

/// The IPv4 address in the first `length` bytes, if it is one and sixteen bytes can be read there. Like
/// [`eight_digits`] it does not branch on characters, which halves its time.
#[inline]
fn ipv4(bytes: &[u8], length: usize) -> Option<Ipv4Addr> {
    let sixteen = bytes.first_chunk::<16>()?;
    if !(7..=15).contains(&length) {
        return None;
    }
    let (low, high) = (u128::from_le_bytes(*sixteen) as u64, (u128::from_le_bytes(*sixteen) >> 64) as u64);
    let mut dots = (gather(places(low, b'.')) | gather(places(high, b'.')) << 8) & ((1 << length) - 1);
    let mut address = 0;
    let mut wrong = u32::from(dots.count_ones() != 3);
    let mut start = 0;
    for place in 0..4 {
        let end = if place == 3 { length } else { dots.trailing_zeros() as usize };
        dots &= dots.wrapping_sub(1);
        let (octet, bad) = octet(sixteen, start, end.wrapping_sub(start));
        address = address << 8 | octet;
        wrong |= bad;
        start = end.wrapping_add(1);
    }
    (wrong == 0).then(|| Ipv4Addr::from_bits(address))
}

/// The octet of `count` digits at `start`; what is not 0 beside it means that there is none.
#[inline]
fn octet(sixteen: &[u8; 16], start: usize, count: usize) -> (u32, u32) {
    /// The smallest number of as many digits: what is smaller has leading zeros.
    const LEAST: [u32; 4] = [u32::MAX, 0, 10, 100];
    let (Some(least), Some(four)) = (LEAST.get(count), sixteen.get(start..).and_then(|rest| rest.first_chunk())) else {
        return (0, 1);
    };
    let shift = 32 - 8 * count as u32;
    let digits = (u32::from_le_bytes(*four).unbounded_shl(shift)) ^ 0x3030_3030_u32.unbounded_shl(shift);
    let octet = (digits >> 8 & 0xff) * 100 + (digits >> 16 & 0xff) * 10 + (digits >> 24);
    let bad = (digits | digits.wrapping_add(0x0606_0606)) & 0xf0f0_f0f0;
    (octet & 0xff, bad | u32::from(octet > 255) | u32::from(octet < *least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The values of a line, and those of the same line with other bytes after it.
    fn values(line: &str) -> Vec<&str> {
        let mut input = Values::new(line, line.as_bytes(), 0);
        let mut values = Vec::new();
        while let Ok((rest, value)) = value(input) {
            values.push(value.text());
            input = rest;
        }
        values
    }

    fn first<'a>(line: &'a str, bytes: &'a [u8]) -> Value<'a> {
        value(Values::new(line, bytes, 0)).unwrap().1
    }

    /// Reads the text as a line of its own, and as a line with others after it: the two must agree.
    fn both_ways<T: PartialEq + std::fmt::Debug>(text: &str, read: impl Fn(Value<'_>) -> T) -> T {
        let alone = read(first(text, text.as_bytes()));
        for after in ["\n9999999999999999999999", " 8.8.8.8.8.8.8.8.8.8.8.8", "\n"] {
            assert_eq!(read(first(text, format!("{text}{after}").as_bytes())), alone, "{text:?} before {after:?}");
        }
        alone
    }

    #[test]
    fn blanks_are_spaces_and_tabs() {
        assert_eq!(values(" \t a  b\tc "), ["a", "b", "c"]);
        assert_eq!(values("a\0b \u{1}\u{1f} é\u{a0}ü"), ["a\0b", "\u{1}\u{1f}", "é\u{a0}ü"]);
        assert!(values("").is_empty() && values(" \t ").is_empty());
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
