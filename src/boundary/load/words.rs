//! Small values: networks, ports, protocols, durations, days. Each reader says what is wrong and what would be right.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::model::PortRange;

/// A value that is wrong: what happened, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

fn wrong(message: String, hint: impl Into<String>) -> Wrong {
    Wrong { message, hint: Some(hint.into()) }
}

/// A network without host bits.
pub(super) fn cidr(text: &str) -> Result<IpNet, Wrong> {
    let Ok(net) = text.parse::<IpNet>() else {
        let hint = match text.parse::<IpAddr>() {
            Ok(address) => format!("one address is the network `{}`", IpNet::from(address)),
            Err(_) => "write address and prefix length, like `10.0.0.0/16` or `2600:1f18::/36`".to_owned(),
        };
        return Err(wrong(format!("`{text}` is not a network"), hint));
    };
    if net.addr() == net.network() {
        Ok(net)
    } else {
        Err(wrong(format!("`{text}` has host bits set"), format!("the network is `{}`", net.trunc())))
    }
}

/// A single address.
pub(super) fn address(text: &str) -> Result<IpAddr, Wrong> {
    text.parse().map_err(|_| {
        let hint = match text.parse::<IpNet>() {
            Ok(_) => "ranges stand in `cidrs`",
            Err(_) => "write an IPv4 or IPv6 address, like `10.0.0.7`",
        };
        wrong(format!("`{text}` is not an address"), hint)
    })
}

/// A port or a range of ports.
pub(super) fn ports(text: &str) -> Result<PortRange, Wrong> {
    let (lo, hi) = text.split_once('-').unwrap_or((text, text));
    let (Some(lo), Some(hi)) = (port(lo), port(hi)) else {
        let hint = "write a port from 0 to 65535 or a range of them, like `5432` or `8000-8100`";
        return Err(wrong(format!("`{text}` is neither a port nor a range of ports"), hint));
    };
    if lo <= hi {
        Ok(PortRange { lo, hi })
    } else {
        Err(wrong(format!("the range of ports `{text}` ends before it begins"), format!("write `{hi}-{lo}`")))
    }
}

fn port(text: &str) -> Option<u16> {
    digits(text)?.parse().ok()
}

/// The text if it is digits only: `parse` alone would take a sign.
fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// Protocols with names.
const PROTOCOLS: [(&str, u8); 4] = [("icmp", 1), ("tcp", 6), ("udp", 17), ("icmpv6", 58)];

/// A protocol of a network ACL; `None` is every one.
pub(super) fn protocol(text: &str) -> Result<Option<u8>, Wrong> {
    let named = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    match named.or_else(|| digits(text)?.parse().ok()) {
        None if text == "-1" => Ok(None),
        None => {
            let hint = "write tcp, udp, icmp, icmpv6, a number from 0 to 255, or -1 for every protocol";
            Err(wrong(format!("`{text}` is not a protocol"), hint))
        }
        number => Ok(number),
    }
}

/// The protocol as a person writes it.
pub(in super::super) fn protocol_text(number: u8) -> String {
    let named = PROTOCOLS.iter().find(|(_, known)| *known == number);
    named.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// Units of a duration and their seconds, the longest first.
const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// A span of time in seconds; never 0.
pub(super) fn duration(text: &str) -> Result<u32, Wrong> {
    let parsed = UNITS.iter().find_map(|&(unit, seconds)| {
        let count: u32 = digits(text.strip_suffix(unit)?)?.parse().ok()?;
        count.checked_mul(seconds).filter(|&seconds| seconds > 0)
    });
    parsed.ok_or_else(|| {
        let hint = "write a number above 0 with s, m, h or d for seconds, minutes, hours or days, like `10m`";
        wrong(format!("`{text}` is not a span of time"), hint)
    })
}

/// The duration as a person writes it: in the longest unit without a rest.
pub(in super::super) fn duration_text(seconds: u32) -> String {
    let whole = UNITS.iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
    whole.map_or_else(String::new, |(unit, length)| format!("{}{unit}", seconds / length))
}

/// The ports as a person writes them.
pub(in super::super) fn ports_text(range: PortRange) -> String {
    if range.lo == range.hi { range.lo.to_string() } else { format!("{}-{}", range.lo, range.hi) }
}

/// A day of the calendar, `YYYY-MM-DD`.
pub(super) fn day(text: &str) -> Result<String, Wrong> {
    let canonical = text.parse::<jiff::civil::Date>().map(|day| day.to_string());
    match canonical {
        Ok(day) if day == text => Ok(day),
        _ => Err(wrong(format!("`{text}` is not a day"), "write year, month and day, like `2027-03-31`")),
    }
}

/// The candidate that was probably meant.
pub(super) fn nearest<'n>(text: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let text: Vec<char> = text.chars().take(64).collect();
    let limit = (text.len() / 3).max(1);
    let near = candidates.into_iter().filter_map(|name| {
        let far = name.len().abs_diff(text.len()) > 4 * limit;
        let distance = if far { usize::MAX } else { distance(&text, name) };
        (distance <= limit).then_some((distance, name))
    });
    near.min().map(|(_, name)| name)
}

/// Levenshtein's distance, with the swap of two neighbours as one step.
fn distance(left: &[char], right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, &l) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, &r) in right.iter().enumerate() {
            let mut best = (above[column] + usize::from(l != r)).min(above[column + 1] + 1).min(line[column] + 1);
            if row > 0 && column > 0 && l == right[column - 1] && left[row - 1] == r {
                best = best.min(before[column - 1] + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut above, line);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn host_bits_name_the_network() {
        assert_eq!(cidr("10.0.3.7/16").unwrap_err().hint.unwrap(), "the network is `10.0.0.0/16`");
        assert_eq!(cidr("10.0.3.7").unwrap_err().hint.unwrap(), "one address is the network `10.0.3.7/32`");
        assert!(cidr("2600:1f18::/36").is_ok());
        assert!(cidr("10.0.0.0/33").is_err());
    }

    #[test]
    fn ports_are_digits() {
        assert_eq!(ports("443"), Ok(PortRange { lo: 443, hi: 443 }));
        assert_eq!(ports("0-65535"), Ok(PortRange { lo: 0, hi: 65535 }));
        for bad in ["", "-", "+1", "1-", "65536", "1-2-3", "http", "8100-8000", " 1"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn protocols() {
        assert_eq!(protocol("-1"), Ok(None));
        assert_eq!(protocol("tcp"), Ok(Some(6)));
        assert_eq!(protocol("50"), Ok(Some(50)));
        assert!(protocol("256").is_err() && protocol("all").is_err() && protocol("-2").is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(duration("10m"), Ok(600));
        assert_eq!(duration("2d"), Ok(172_800));
        for bad in ["", "0s", "10", "m", "1.5h", "-1m", "10 m", "99999999999s", "99999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn days() {
        assert!(day("2028-02-29").is_ok());
        for bad in ["2027-02-29", "20270101", "2027-1-1", "tomorrow", "2027-01-01T00:00:00"] {
            assert!(day(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hints_are_near() {
        assert_eq!(nearest("cidr", ["cidrs", "addresses"]), Some("cidrs"));
        assert_eq!(nearest("adresses", ["cidrs", "addresses"]), Some("addresses"));
        assert_eq!(nearest("nta", ["nat", "tgw"]), Some("nat"));
        assert_eq!(nearest("banana", ["cidrs", "addresses"]), None);
    }

    proptest! {
        #[test]
        fn a_duration_reads_as_written(seconds in 1u32..) {
            prop_assert_eq!(duration(&duration_text(seconds)), Ok(seconds));
        }

        #[test]
        fn a_range_reads_as_written(a: u16, b: u16) {
            let range = PortRange { lo: a.min(b), hi: a.max(b) };
            prop_assert_eq!(ports(&ports_text(range)), Ok(range));
        }
    }
}
