//! The values of a line, one nom parser a type. Each reads one value up to the blank or the line's end after it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

pub(super) type Read<'a, T> = IResult<&'a str, T, Mistake>;

pub(super) const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn fail<T>(mistake: Mistake) -> Read<'static, T> {
    Err(nom::Err::Error(mistake))
}

/// Skips the blanks before a value; fails at the end of the line.
#[inline]
pub(super) fn blanks(input: &str) -> Read<'_, ()> {
    let bytes = input.as_bytes();
    // one blank is the rule, two the exception
    let skip = match bytes {
        [first, second, ..] if is_blank(*first) && !is_blank(*second) => 1,
        [first, ..] if !is_blank(*first) => 0,
        _ => bytes.iter().take_while(|byte| is_blank(**byte)).count(),
    };
    match input.split_at_checked(skip) {
        Some((_, rest)) if !rest.is_empty() => Ok((rest, ())),
        _ => fail(Mistake::End),
    }
}

/// The value as written.
#[inline]
pub(super) fn token(input: &str) -> Read<'_, &str> {
    match input.split_at_checked(token_length(input.as_bytes())) {
        Some((value, rest)) => Ok((rest, value)),
        None => fail(Mistake::Value),
    }
}

/// Bytes before the first blank, eight at a time.
#[inline]
fn token_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // marks the bytes that are zero; exact up to the first of them, which is all that is asked
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let mut length = 0;
    let mut rest = bytes;
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let marks = zeros(word ^ (ONES * b' ' as u64)) | zeros(word ^ (ONES * b'\t' as u64));
        if marks != 0 {
            return length + (marks.trailing_zeros() / 8) as usize;
        }
        length += 8;
        rest = after;
    }
    length + rest.iter().take_while(|byte| !is_blank(**byte)).count()
}

/// `-`, the null of every column, and nothing else in the value.
#[inline]
pub(super) fn null(input: &str) -> Read<'_, ()> {
    match input.as_bytes() {
        [b'-'] | [b'-', b' ' | b'\t', ..] => match input.split_at_checked(1) {
            Some((_, rest)) => Ok((rest, ())),
            None => fail(Mistake::Value),
        },
        _ => fail(Mistake::Value),
    }
}

/// Decimal digits without a sign, of a number that fits.
#[inline]
pub(super) fn integer(input: &str) -> Read<'_, i64> {
    let mut value = 0_i64;
    let mut length = 0;
    for byte in input.as_bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        // 18 digits always fit
        value = if length < 18 {
            value * 10 + i64::from(digit)
        } else {
            match value.checked_mul(10).and_then(|value| value.checked_add(i64::from(digit))) {
                Some(value) => value,
                None => return fail(Mistake::Int),
            }
        };
        length += 1;
    }
    match input.split_at_checked(length) {
        Some((digits, rest)) if !digits.is_empty() && ends_value(rest) => Ok((rest, value)),
        _ => fail(Mistake::Int),
    }
}

#[inline]
fn ends_value(rest: &str) -> bool {
    rest.as_bytes().first().is_none_or(|byte| is_blank(*byte))
}

/// An address as written, and parsed. As the standard library: no leading zeros, no zone ids; an IPv4 address mapped
/// into IPv6 stays IPv6.
#[inline]
pub(super) fn address(input: &str) -> Read<'_, (&str, IpAddr)> {
    if let Some((length, address)) = ipv4(input.as_bytes())
        && let Some((written, rest)) = input.split_at_checked(length)
    {
        return Ok((rest, (written, IpAddr::V4(address))));
    }
    let (rest, written) = token(input)?;
    match written.parse::<Ipv6Addr>() {
        Ok(address) => Ok((rest, (written, IpAddr::V6(address)))),
        Err(_) => fail(Mistake::Address),
    }
}

/// An IPv4 address at the beginning, and its length; half the time of the standard library's parser, which takes any
/// end.
#[inline]
fn ipv4(bytes: &[u8]) -> Option<(usize, Ipv4Addr)> {
    let mut address = 0_u32;
    let mut octet = 0_u32;
    let mut digits = 0;
    let mut dots = 0;
    let mut length = 0;
    for byte in bytes {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        if digit <= 9 {
            // a zero before another digit is octal to some readers, decimal to others: to nobody here
            if digits > 0 && octet == 0 {
                return None;
            }
            octet = octet * 10 + digit;
            digits += 1;
            if octet > 255 {
                return None;
            }
        } else if *byte == b'.' && digits > 0 {
            address = address << 8 | octet;
            (octet, digits) = (0, 0);
            dots += 1;
            if dots > 3 {
                return None;
            }
        } else if is_blank(*byte) {
            break;
        } else {
            return None;
        }
        length += 1;
    }
    (dots == 3 && digits > 0).then(|| (length, Ipv4Addr::from_bits(address << 8 | octet)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blanks_are_spaces_and_tabs() {
        assert_eq!(blanks(" \t x"), Ok(("x", ())));
        assert_eq!(blanks("x"), Ok(("x", ())));
        assert_eq!(blanks("  "), fail(Mistake::End));
        assert_eq!(blanks(""), fail(Mistake::End));
    }

    #[test]
    fn integers_are_digits_in_range() {
        assert_eq!(integer("9223372036854775807 x"), Ok((" x", i64::MAX)));
        assert_eq!(integer("0000000000000000000000000007"), Ok(("", 7)));
        for wrong in ["", "-1", "+1", "9223372036854775808", "18446744073709551616", "1x", "0x1", "1.0", "１"] {
            assert_eq!(integer(wrong), fail(Mistake::Int), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_every_kind() {
        for text in ["0.0.0.0", "255.255.255.255", "10.0.1.5", "::", "ff02::1", "::ffff:10.0.1.5", "2001:DB8::1"] {
            assert_eq!(address(text), Ok(("", (text, text.parse().unwrap()))), "{text}");
        }
        for wrong in ["10.0.1", "10.0.1.5.6", "10.0.01.5", "256.0.0.1", "10.0.1.", "1..2.3", "fe80::1%eth0", "x", "-1"] {
            assert_eq!(address(wrong), fail(Mistake::Address), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn addresses_are_what_the_standard_library_says(text in "[0-9a-f:.]{1,16}|([0-9]{1,3}\\.){3}[0-9]{1,3}") {
            let ours = address(&text).ok().map(|(_, (_, address))| address);
            prop_assert_eq!(ours, text.parse().ok());
        }

        #[test]
        fn integers_are_what_the_standard_library_says(text in "[0-9]{1,20}") {
            prop_assert_eq!(integer(&text).ok().map(|(_, value)| value), text.parse().ok());
        }

        #[test]
        fn a_token_ends_at_the_first_blank(text in "[ -~\té\r\0]{0,40}") {
            let end = text.find([' ', '\t']).unwrap_or(text.len());
            prop_assert_eq!(token(&text), Ok((&text[end..], &text[..end])));
        }
    }
}
