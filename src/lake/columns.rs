//! Rows of the table `flows`, column by column, into the pages of a file.
//!
//! What is known of a record makes the columns cheap: an address is looked up once for all the columns it stands in,
//! names of the map go by their numbers, and a column that the log format lacks is only counted.

use std::fmt::Write as _;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use arrow::array::{ArrayRef, MapBuilder, StringBuilder};
use parquet::errors::Result;
use rustc_hash::FxHashMap;

use super::pages::{Column, KeyTable, NULL, PageWriter, Texts};
use super::schema::{Added, added_column, map_names};
use crate::boundary::{Boundary, Credit, Judgement};
use crate::record::{Field, FieldType, FlowRecord, LogFormat};

/// Records of neighbouring lines of one object, judged.
#[derive(Debug, Clone, Copy)]
pub struct FlowRows<'r, 'a> {
    /// The format of every line.
    pub format: &'r LogFormat,
    /// The records.
    pub records: &'r [FlowRecord<'a>],
    /// What the map says of each; without a map only NODATA and SKIPDATA have a judgement.
    pub judgements: &'r [Option<Judgement>],
    /// The line of each in its object, from 1.
    pub lines: &'r [i64],
    /// URI of the object.
    pub source: &'r str,
    /// The map that knows the names in the judgements.
    pub boundary: Option<&'r Boundary>,
}

/// The address columns of the log, and of what is added.
const ADDRESS_FIELDS: [Field; 4] = [Field::Srcaddr, Field::Dstaddr, Field::PktSrcaddr, Field::PktDstaddr];
const ADDRESS_COLUMNS: usize = ADDRESS_FIELDS.len() + 2;

/// What is remembered from batch to batch of one row group.
#[derive(Debug, Default)]
pub(super) struct FlowColumns {
    group: usize,
    addresses: Addresses,
    /// For each address column, the index in its dictionary of each address.
    address_indices: [Vec<u32>; ADDRESS_COLUMNS],
    labels: [KeyTable; Label::COUNT],
    scratch: Scratch,
}

/// Buffers of one batch.
#[derive(Debug, Default)]
struct Scratch {
    /// Of each address field, the addresses of the rows.
    ids: [Vec<u32>; ADDRESS_FIELDS.len()],
    text: String,
}

/// Columns whose texts go by a number.
#[derive(Debug, Clone, Copy)]
enum Label {
    Action,
    LogStatus,
    ClientZone,
    ServerZone,
    Service,
    Orientation,
    OrientedBy,
    Confidence,
    Side,
    Verdict,
    Rule,
    Reason,
    Severity,
}

impl Label {
    const COUNT: usize = Self::Severity as usize + 1;
}

impl FlowColumns {
    /// Adds the rows of a batch that `which` names, as many as the page has room for at most.
    pub(super) fn push<W: Write + Send>(
        &mut self,
        writer: &mut PageWriter<W>,
        rows: &FlowRows<'_, '_>,
        which: &[u32],
    ) -> Result<()> {
        if writer.group() != self.group {
            let scratch = std::mem::take(&mut self.scratch);
            *self = Self { group: writer.group(), scratch, ..Self::default() };
        }
        self.look_up_addresses(rows, which);
        for field in Field::ALL {
            let Some(column) = writer.column(*field as usize) else { continue };
            if rows.format.has(*field) {
                self.push_field(column, *field, rows, which);
            } else {
                column.push_nulls(which.len());
            }
        }
        let extra = added_column(Added::Extra);
        if rows.format.extra().is_empty() {
            writer.push_nulls(extra, which.len())?;
        } else {
            writer.push_array(extra, &extras(rows, which))?;
        }
        self.push_judgements(writer, rows, which);
        if let Some(column) = writer.column(added_column(Added::Source)) {
            let mut known = None;
            column.push_indexed(which.iter(), |_, texts| {
                *known.get_or_insert_with(|| texts.index(rows.source.as_bytes()))
            });
        }
        if let Some(column) = writer.column(added_column(Added::Line)) {
            column.push_integers(which.iter().map(|row| rows.lines.get(*row as usize).copied()));
        }
        Ok(())
    }

    fn look_up_addresses(&mut self, rows: &FlowRows<'_, '_>, which: &[u32]) {
        let Self { addresses, scratch, .. } = self;
        for (field, ids) in ADDRESS_FIELDS.into_iter().zip(&mut scratch.ids) {
            ids.clear();
            if rows.format.has(field) {
                ids.extend(records(rows, which).map(|record| addresses.id(record, field)));
            }
        }
    }

    fn push_field(&mut self, column: &mut Column, field: Field, rows: &FlowRows<'_, '_>, which: &[u32]) {
        let records = records(rows, which);
        match field.def().field_type {
            FieldType::Int32 { .. } | FieldType::Int64 => {
                column.push_integers(records.map(|record| record.number(field)));
            }
            FieldType::Time => column.push_integers(records.map(|record| record.millis(field))),
            FieldType::Text => column.push_texts(records.map(|record| record.text(field))),
            FieldType::Action => {
                let actions = records.map(|record| record.action().map(|action| (action as u64, action)));
                self.push_labels(column, Label::Action, actions, |action, text| text.push_str(action.as_str()));
            }
            FieldType::Status => {
                let statuses = records.map(|record| record.status().map(|status| (status as u64, status)));
                self.push_labels(column, Label::LogStatus, statuses, |status, text| text.push_str(status.as_str()));
            }
            FieldType::Address => {
                let Some(place) = ADDRESS_FIELDS.iter().position(|known| *known == field) else { return };
                let Self { addresses, address_indices, scratch, .. } = self;
                addresses.push(column, &mut address_indices[place], scratch.ids[place].iter().copied());
            }
        }
    }

    fn push_judgements<W: Write + Send>(&mut self, writer: &mut PageWriter<W>, rows: &FlowRows<'_, '_>, which: &[u32]) {
        let judgements = || which.iter().map(|row| rows.judgements.get(*row as usize).and_then(Option::as_ref));
        let paths = || judgements().map(|judged| judged.and_then(|judged| judged.path));
        self.push_ends(writer, rows, which);
        if let Some(column) = writer.column(added_column(Added::ServerPort)) {
            column.push_integers(records(rows, which).zip(paths()).map(|(record, path)| {
                record.number(if path?.client_is_source { Field::Dstport } else { Field::Srcport })
            }));
        }
        macro_rules! labels {
            ($column:ident, $values:expr, $text:expr) => {
                if let Some(column) = writer.column(added_column(Added::$column)) {
                    self.push_labels(column, Label::$column, $values, $text);
                }
            };
        }
        if let Some(boundary) = rows.boundary {
            let zones = || judgements().map(|judged| judged.and_then(|judged| judged.zones));
            let name = |zone, text: &mut String| text.push_str(boundary.zone_name(zone));
            labels!(ClientZone, zones().map(|zones| zones.map(|(client, _)| (u64::from(client.0), client))), name);
            labels!(ServerZone, zones().map(|zones| zones.map(|(_, server)| (u64::from(server.0), server))), name);
            let services = paths().map(|path| path?.service.map(|service| (u64::from(service.0), service)));
            labels!(Service, services, |service, text| text.push_str(boundary.service_name(service)));
            let credits =
                judgements().map(|judged| judged.map(|judged| judged.credit).filter(|it| *it != Credit::Nobody));
            let credits = credits.map(|credit| credit.map(|credit| (credit.key(), credit)));
            labels!(Rule, credits, |credit, text| append(text, boundary.rule(credit)));
        } else {
            for added in [Added::ClientZone, Added::ServerZone, Added::Service, Added::Rule] {
                if let Some(column) = writer.column(added_column(added)) {
                    column.push_nulls(which.len());
                }
            }
        }
        macro_rules! words {
            ($column:ident, $of:expr, $member:ident) => {
                labels!(
                    $column,
                    $of.map(|of| of.map(|of| (of.$member as u64, of.$member))),
                    |word, text: &mut String| {
                        text.push_str(word.as_str());
                    }
                );
            };
        }
        words!(Orientation, paths(), orientation);
        words!(OrientedBy, paths(), oriented_by);
        words!(Confidence, paths(), confidence);
        words!(Side, paths(), side);
        words!(Verdict, judgements(), verdict);
        labels!(
            Reason,
            judgements().map(|judged| judged.map(|judged| (judged.reason.key(), judged.reason))),
            |reason, text| match (reason.word(), rows.boundary) {
                (Some(word), _) => text.push_str(word),
                (None, boundary) => append(text, boundary.map(|boundary| boundary.reason(reason))),
            }
        );
        words!(Severity, judgements(), severity);
    }

    /// The addresses of client and server.
    fn push_ends<W: Write + Send>(&mut self, writer: &mut PageWriter<W>, rows: &FlowRows<'_, '_>, which: &[u32]) {
        let Self { addresses, address_indices, scratch, .. } = self;
        let [src, dst, pkt_src, pkt_dst] = &scratch.ids;
        // the packet's own address where it has a value
        let id = |own: &Vec<u32>, logged: &Vec<u32>, at: usize| {
            let own = own.get(at).copied().filter(|id| *id != NULL);
            own.or_else(|| logged.get(at).copied()).unwrap_or(NULL)
        };
        for (added, of_client) in [(Added::ClientAddr, true), (Added::ServerAddr, false)] {
            let Some(column) = writer.column(added_column(added)) else { continue };
            let ends = which.iter().enumerate().map(|(at, row)| {
                let judged = rows.judgements.get(*row as usize).and_then(Option::as_ref);
                match judged.and_then(|judged| judged.path) {
                    Some(path) if path.client_is_source == of_client => id(pkt_src, src, at),
                    Some(_) => id(pkt_dst, dst, at),
                    None => NULL,
                }
            });
            addresses.push(column, &mut address_indices[ADDRESS_FIELDS.len() + usize::from(!of_client)], ends);
        }
    }

    /// Texts that go by a key: `text` writes the text of a value whose key is new.
    fn push_labels<T>(
        &mut self,
        column: &mut Column,
        label: Label,
        values: impl Iterator<Item = Option<(u64, T)>>,
        text: impl Fn(T, &mut String),
    ) {
        let (table, buffer) = (&mut self.labels[label as usize], &mut self.scratch.text);
        column.push_indexed(values, |value, texts| {
            let Some((key, value)) = value else { return NULL };
            table.index(key, || {
                buffer.clear();
                text(value, buffer);
                texts.index(buffer.as_bytes())
            })
        });
    }

    /// Bytes held, about.
    pub(super) fn memory(&self) -> usize {
        self.addresses.memory() + self.address_indices.iter().map(|indices| indices.capacity() * 4).sum::<usize>()
    }
}

fn records<'w, 'r, 'a>(
    rows: &FlowRows<'r, 'a>,
    which: &'w [u32],
) -> impl Iterator<Item = &'r FlowRecord<'a>> + use<'w, 'r, 'a> {
    let records = rows.records;
    which.iter().map(|row| &records[*row as usize])
}

fn append(text: &mut String, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        // writing to a string cannot fail
        let _infallible = write!(text, "{value}");
    }
}

/// The addresses of a row group, each with a number.
#[derive(Debug, Default)]
struct Addresses {
    v4: FxHashMap<u32, u32>,
    /// IPv6 can be written in several ways: an address is what was written.
    written: FxHashMap<Arc<str>, u32>,
    texts: Vec<AddressText>,
}

/// What the text of an address is: an IPv4 address has only one.
#[derive(Debug)]
enum AddressText {
    V4(Ipv4Addr),
    Written(Arc<str>),
}

impl Addresses {
    #[inline]
    fn id(&mut self, record: &FlowRecord<'_>, field: Field) -> u32 {
        let texts = &mut self.texts;
        let mut add = |text| {
            texts.push(text);
            // a row group has fewer rows than 2^32
            (texts.len() - 1) as u32
        };
        match record.address(field) {
            Some(IpAddr::V4(address)) => {
                *self.v4.entry(address.to_bits()).or_insert_with(|| add(AddressText::V4(address)))
            }
            Some(IpAddr::V6(_)) => {
                let written = record.text(field).unwrap_or_default();
                if let Some(id) = self.written.get(written) {
                    return *id;
                }
                let written: Arc<str> = written.into();
                let id = add(AddressText::Written(written.clone()));
                self.written.insert(written, id);
                id
            }
            None => NULL,
        }
    }

    /// Adds addresses to a column; `indices` remembers the index of each in the column's dictionary.
    fn push(&self, column: &mut Column, indices: &mut Vec<u32>, ids: impl Iterator<Item = u32>) {
        indices.resize(self.texts.len(), NULL);
        column.push_indexed(ids, |id, texts: &mut Texts| {
            let Some(index) = indices.get_mut(id as usize) else { return NULL };
            if *index == NULL {
                *index = match &self.texts[id as usize] {
                    AddressText::V4(address) => {
                        let (text, length) = dotted(*address);
                        texts.add(text.get(..length).unwrap_or_default())
                    }
                    AddressText::Written(text) => texts.add(text.as_bytes()),
                };
            }
            *index
        });
    }

    fn memory(&self) -> usize {
        self.v4.capacity() * 10 + self.written.capacity() * 80 + self.texts.capacity() * 24
    }
}

/// An address as text, and the text's length. As `Display` writes it, in a tenth of the time: a tenth of the rows of a
/// busy log bring a new address.
fn dotted(address: Ipv4Addr) -> ([u8; 16], usize) {
    let (mut text, mut length) = ([0; 16], 0);
    for octet in address.octets() {
        let (hundreds, tens) = (octet / 100, octet / 10 % 10);
        for (digit, shown) in [(hundreds, octet >= 100), (tens, octet >= 10), (octet % 10, true)] {
            text[length] = b'0' + digit;
            length += usize::from(shown);
        }
        text[length] = b'.';
        length += 1;
    }
    (text, length - 1)
}

/// The column `extra` of these rows.
fn extras(rows: &FlowRows<'_, '_>, which: &[u32]) -> ArrayRef {
    let mut extra = MapBuilder::new(Some(map_names()), StringBuilder::new(), StringBuilder::new());
    for record in records(rows, which) {
        for (name, value) in record.extra() {
            if let Some(name) = rows.format.extra().get(usize::from(*name)) {
                extra.keys().append_value(name);
                extra.values().append_value(value);
            }
        }
        // keys and values above have the same length, so this cannot fail
        let _infallible = extra.append(!record.extra().is_empty());
    }
    Arc::new(extra.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_usual() {
        for octet in 0..=255 {
            for address in [[octet, 0, 10, 255], [1, octet, octet, octet], [255, 255, 255, octet]].map(Ipv4Addr::from) {
                let (text, length) = dotted(address);
                assert_eq!(str::from_utf8(&text[..length]), Ok(address.to_string().as_str()));
            }
        }
    }
}
