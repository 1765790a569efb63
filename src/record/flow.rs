//! One flow log record, borrowed from the line it was read from.

use std::net::IpAddr;

use super::field::{FIELD_COUNT, Field, FieldType};
use super::values::{Action, FlowDirection, LogStatus, TcpFlags};

const fn count(numbers: bool) -> usize {
    let mut found = 0;
    let mut i = 0;
    while i < FIELD_COUNT {
        if Field::ALL[i].def().field_type.is_number() == numbers {
            found += 1;
        }
        i += 1;
    }
    found
}

/// Room for all numbers: a power of two, so that no index has to be checked.
const NUMBERS: usize = count(true).next_power_of_two();

/// Place of each field among the fields of its kind (numbers, or texts).
const SLOT: [u8; FIELD_COUNT] = {
    let mut slots = [0; FIELD_COUNT];
    let (mut numbers, mut texts) = (0, 0);
    let mut i = 0;
    while i < FIELD_COUNT {
        let next = if Field::ALL[i].def().field_type.is_number() { &mut numbers } else { &mut texts };
        slots[i] = *next;
        *next += 1;
        i += 1;
    }
    slots
};

/// Place of each address field among the addresses; beyond them for the other fields.
const ADDRESS_SLOT: [u8; FIELD_COUNT] = {
    let mut slots = [u8::MAX; FIELD_COUNT];
    let (mut next, mut i) = (0, 0);
    while i < FIELD_COUNT {
        if matches!(Field::ALL[i].def().field_type, FieldType::Address) {
            slots[i] = next;
            next += 1;
        }
        i += 1;
    }
    slots
};

/// The first number that each field cannot hold: 0 where it holds none.
const LIMIT: [u64; FIELD_COUNT] = {
    let mut limits = [0; FIELD_COUNT];
    let mut i = 0;
    while i < FIELD_COUNT {
        limits[i] = match Field::ALL[i].def().field_type {
            FieldType::Int32 { max } => max as u64 + 1,
            FieldType::Int64 => 1 << 63,
            // beyond the last millisecond of the year 9999 SQL engines differ
            FieldType::Time => 253_402_300_800_000,
            _ => 0,
        };
        i += 1;
    }
    limits
};

/// The first timestamp that is read as milliseconds instead of seconds.
const FIRST_MILLISECONDS: i64 = 2_147_483_648;

/// One record. `-` in the log, and a field that the log format lacks, are both `None` in every accessor.
///
/// Texts borrow from the line; numbers are checked against their field's range when they are set. The record
/// is made for reuse: [`clear`](Self::clear) costs nothing, and no accessor allocates.
#[derive(Debug, Clone)]
pub struct FlowRecord<'a> {
    present: u64,
    numbers: [i64; NUMBERS],
    texts: [&'a str; count(false)],
    addresses: [IpAddr; 4],
    action: Option<Action>,
    status: Option<LogStatus>,
    extra: Vec<(u16, &'a str)>,
}

impl Default for FlowRecord<'_> {
    fn default() -> Self {
        Self {
            present: 0,
            numbers: [0; NUMBERS],
            texts: [""; count(false)],
            addresses: [IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED); 4],
            action: None,
            status: None,
            extra: Vec::new(),
        }
    }
}

impl<'a> FlowRecord<'a> {
    /// Forgets every value, so that the record can be filled again.
    pub fn clear(&mut self) {
        self.present = 0;
        self.action = None;
        self.status = None;
        self.extra.clear();
    }

    /// Sets a number; `false` (and nothing set) if the field's type cannot hold it.
    #[inline]
    pub fn set_number(&mut self, field: Field, value: i64) -> bool {
        // a negative number is beyond every limit
        let fits = value.cast_unsigned() < LIMIT[field as usize];
        if fits {
            self.numbers[SLOT[field as usize] as usize % NUMBERS] = value;
            self.present |= 1 << field as u64;
        }
        fits
    }

    /// Sets a text field as written. Not for addresses, the action and the status: they have setters of their own.
    #[inline]
    pub fn set_text(&mut self, field: Field, value: &'a str) {
        debug_assert_eq!(field.def().field_type, FieldType::Text);
        self.put_text(field, value);
    }

    /// Sets an address: as written, and parsed.
    #[inline]
    pub fn set_address(&mut self, field: Field, written: &'a str, parsed: IpAddr) {
        if let Some(place) = self.addresses.get_mut(ADDRESS_SLOT[field as usize] as usize) {
            *place = parsed;
            self.put_text(field, written);
        }
    }

    /// Sets the action.
    pub fn set_action(&mut self, action: Action) {
        self.action = Some(action);
        self.put_text(Field::Action, action.as_str());
    }

    /// Sets the log status.
    pub fn set_status(&mut self, status: LogStatus) {
        self.status = Some(status);
        self.put_text(Field::LogStatus, status.as_str());
    }

    /// Adds a value of a column that has no field: `name` is its index in [`LogFormat::extra`](super::LogFormat::extra).
    pub fn push_extra(&mut self, name: u16, value: &'a str) {
        self.extra.push((name, value));
    }

    #[inline]
    fn put_text(&mut self, field: Field, value: &'a str) {
        self.texts[SLOT[field as usize] as usize] = value;
        self.present |= 1 << field as u64;
    }

    /// True when the field has a value.
    pub fn has(&self, field: Field) -> bool {
        self.present & (1 << field as u64) != 0
    }

    /// A number as logged; `None` too for a field that is no number.
    pub fn number(&self, field: Field) -> Option<i64> {
        (self.has(field) && field.def().field_type.is_number())
            .then(|| self.numbers[SLOT[field as usize] as usize % NUMBERS])
    }

    /// A text as logged (addresses, action and status too); `None` for a number.
    pub fn text(&self, field: Field) -> Option<&'a str> {
        (self.has(field) && !field.def().field_type.is_number()).then(|| self.texts[SLOT[field as usize] as usize])
    }

    /// A timestamp ([`Field::Start`], [`Field::End`]) in milliseconds since 1970, UTC.
    pub fn millis(&self, field: Field) -> Option<i64> {
        let value = self.number(field)?;
        Some(if value < FIRST_MILLISECONDS { value * 1000 } else { value })
    }

    /// A parsed address.
    pub fn address(&self, field: Field) -> Option<IpAddr> {
        let address = self.addresses.get(ADDRESS_SLOT[field as usize] as usize)?;
        self.has(field).then_some(*address)
    }

    /// Values of columns that have no field, with the index of their name in the log format.
    pub fn extra(&self) -> &[(u16, &'a str)] {
        &self.extra
    }

    /// ACCEPT or REJECT.
    pub fn action(&self) -> Option<Action> {
        self.action
    }

    /// OK, NODATA or SKIPDATA.
    pub fn status(&self) -> Option<LogStatus> {
        self.status
    }

    /// The packet's source field: `pkt-srcaddr` where it has a value, else `srcaddr`.
    pub fn source_field(&self) -> Field {
        if self.has(Field::PktSrcaddr) { Field::PktSrcaddr } else { Field::Srcaddr }
    }

    /// The packet's destination field: `pkt-dstaddr` where it has a value, else `dstaddr`.
    pub fn destination_field(&self) -> Field {
        if self.has(Field::PktDstaddr) { Field::PktDstaddr } else { Field::Dstaddr }
    }

    /// Source port.
    pub fn srcport(&self) -> Option<u16> {
        self.number(Field::Srcport).and_then(|port| u16::try_from(port).ok())
    }

    /// Destination port.
    pub fn dstport(&self) -> Option<u16> {
        self.number(Field::Dstport).and_then(|port| u16::try_from(port).ok())
    }

    /// IANA protocol number.
    pub fn protocol(&self) -> Option<u8> {
        self.number(Field::Protocol).and_then(|protocol| u8::try_from(protocol).ok())
    }

    /// TCP flags; `None` where the log says `-` or lacks the field, which is not the same as 0.
    pub fn tcp_flags(&self) -> Option<TcpFlags> {
        self.number(Field::TcpFlags).and_then(|flags| u8::try_from(flags).ok()).map(TcpFlags)
    }

    /// Direction as the interface sees it; `None` too for a word that AWS does not document.
    pub fn flow_direction(&self) -> Option<FlowDirection> {
        match self.text(Field::FlowDirection)? {
            "ingress" => Some(FlowDirection::Ingress),
            "egress" => Some(FlowDirection::Egress),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleared_record_has_nothing() {
        let mut record = FlowRecord::default();
        assert!(record.set_number(Field::Srcport, 443));
        record.set_text(Field::VpcId, "vpc-1");
        record.push_extra(0, "x");
        record.set_action(Action::Reject);
        record.clear();
        for field in Field::ALL {
            assert!(!record.has(*field) && record.number(*field).is_none() && record.text(*field).is_none());
        }
        assert!(record.extra().is_empty() && record.action().is_none());
    }

    #[test]
    fn ranges_are_kept() {
        let mut record = FlowRecord::default();
        assert!(!record.set_number(Field::Srcport, 65_536) && !record.has(Field::Srcport));
        assert!(!record.set_number(Field::Protocol, 8080));
        assert!(!record.set_number(Field::Bytes, -1));
        assert!(record.set_number(Field::Bytes, i64::MAX));
        assert!(!record.set_number(Field::VpcId, 1));
    }

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        let mut record = FlowRecord::default();
        assert!(record.set_number(Field::Start, 2_147_483_647));
        assert_eq!(record.millis(Field::Start), Some(2_147_483_647_000));
        assert!(record.set_number(Field::Start, 1_512_564_058_000));
        assert_eq!(record.millis(Field::Start), Some(1_512_564_058_000));
    }
}
