//! The fields of a record that its judgement needs.

use std::net::IpAddr;

use super::ports::Protocol;
use crate::record::{Action, Field, FlowDirection, FlowRecord, TcpFlags};

/// One record that has what every judgement needs, with nulls read as evaluator.md §3 says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// The plain addresses, which may be the interface's.
    pub(super) srcaddr: IpAddr,
    pub(super) dstaddr: IpAddr,
    /// The packet's own addresses, which count for zones.
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) srcport: u16,
    pub(super) dstport: u16,
    /// IANA number.
    pub(super) protocol: u8,
    pub(super) packets: i64,
    pub(super) action: Action,
    pub(super) flags: Option<TcpFlags>,
    pub(super) direction: Option<FlowDirection>,
}

impl Flow {
    /// `None` where the log format lacks a field without which nothing can be said.
    #[inline(always)]
    pub(super) fn read(record: &FlowRecord<'_>) -> Option<Self> {
        Some(Self {
            srcaddr: record.address(Field::Srcaddr)?,
            dstaddr: record.address(Field::Dstaddr)?,
            src: record.address(record.source_field())?,
            dst: record.address(record.destination_field())?,
            srcport: record.srcport().unwrap_or(0),
            dstport: record.dstport().unwrap_or(0),
            protocol: record.protocol()?,
            packets: record.number(Field::Packets).unwrap_or(0),
            action: record.action()?,
            flags: record.tcp_flags(),
            direction: record.flow_direction(),
        })
    }

    pub(super) fn kind(&self) -> Protocol {
        Protocol::of(self.protocol)
    }

    pub(super) fn is_tcp(&self) -> bool {
        self.kind() == Protocol::Tcp
    }

    pub(super) fn accepted(&self) -> bool {
        self.action == Action::Accept
    }
}
