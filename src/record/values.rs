//! The closed sets of values in a flow log record.

use serde::{Deserialize, Serialize};

/// Whether security groups and network ACLs let the traffic pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// Passed both layers.
    Accept,
    /// Refused by one of them, or sent after the connection was closed.
    Reject,
}

impl Action {
    /// AWS's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "ACCEPT",
            Self::Reject => "REJECT",
        }
    }

    /// The action of AWS's word, if it is one.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ACCEPT" => Some(Self::Accept),
            "REJECT" => Some(Self::Reject),
            _ => None,
        }
    }
}

/// Whether the record tells of traffic, of none, or of records that AWS skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStatus {
    /// Data is logged normally.
    Ok,
    /// No traffic in the interval: a heartbeat.
    NoData,
    /// Records are missing: one such line may stand for many flows.
    SkipData,
}

impl LogStatus {
    /// AWS's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::NoData => "NODATA",
            Self::SkipData => "SKIPDATA",
        }
    }

    /// The status of AWS's word, if it is one.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "OK" => Some(Self::Ok),
            "NODATA" => Some(Self::NoData),
            "SKIPDATA" => Some(Self::SkipData),
            _ => None,
        }
    }
}

/// Direction of a flow as the interface that recorded it sees it; says nothing about who connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowDirection {
    /// Into the interface.
    Ingress,
    /// Out of the interface.
    Egress,
}

/// The TCP flags of a record: OR over its interval. AWS records FIN, SYN, RST, and ACK only beside SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpFlags(
    /// The mask as logged.
    pub u8,
);

impl TcpFlags {
    /// The SYN bit, 2.
    pub const fn syn(self) -> bool {
        self.0 & 2 != 0
    }

    /// The RST bit, 4.
    pub const fn rst(self) -> bool {
        self.0 & 4 != 0
    }

    /// The ACK bit, 16.
    pub const fn ack(self) -> bool {
        self.0 & 16 != 0
    }
}
