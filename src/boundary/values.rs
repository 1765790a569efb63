//! The words of a verdict, with the spelling that the lake's columns and alerts use.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word, as it stands in the lake.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value of a word.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// What a record is, judged by the map.
    Verdict {
        /// Allowed and accepted.
        Expected = "expected",
        /// Not allowed, and accepted.
        Breach = "breach",
        /// Not allowed, and rejected.
        Blocked = "blocked",
        /// Allowed, and rejected.
        Outage = "outage",
        /// Left its source legally; the destination should refuse it.
        Attempt = "attempt",
        /// A late packet of a connection that is over.
        Stray = "stray",
        /// The map cannot speak about it.
        Unmapped = "unmapped",
        /// The interface had no traffic.
        NoData = "nodata",
        /// AWS skipped records.
        Gap = "gap",
    }
}

words! {
    /// Whether a record goes with its connection or against it.
    Orientation {
        /// From client to server.
        Request = "request",
        /// From server to client.
        Reply = "reply",
        /// The protocol has no such thing.
        None = "none",
        /// Nothing tells.
        Unknown = "unknown",
    }
}

words! {
    /// The step that decided the orientation.
    OrientedBy {
        /// TCP flags with SYN.
        Flags = "flags",
        /// Exactly one direction is allowed by a narrow grant.
        Policy = "policy",
        /// Exactly one port is a declared service's.
        Service = "service",
        /// A NAT gateway is the client.
        Nat = "nat",
        /// Exactly one port is below 1024.
        WellKnown = "well-known",
        /// Exactly one port is 32768 or above.
        Ephemeral = "ephemeral",
        /// The lower port is the server's.
        LowerPort = "lower-port",
        /// Neither TCP nor UDP.
        Proto = "proto",
        /// Equal ports, or both below 1024.
        Tie = "tie",
    }
}

words! {
    /// How sure the orientation is.
    Confidence {
        /// The packets say so.
        Certain = "certain",
        /// The map says so.
        Strong = "strong",
        /// Port numbers suggest it.
        Weak = "weak",
    }
}

words! {
    /// Which end of the flow the recording interface is.
    Side {
        /// The sender's interface.
        Source = "source",
        /// The receiver's interface.
        Destination = "destination",
        /// A gateway between them.
        Transit = "transit",
        /// Nothing tells.
        Unknown = "unknown",
    }
}

words! {
    /// How bad it is; ordered.
    Severity {
        /// Nothing to do.
        Info = "info",
        /// Worth a look some day.
        Low = "low",
        /// Worth a look today.
        Medium = "medium",
        /// Worth a look now.
        High = "high",
        /// Worth waking somebody.
        Critical = "critical",
    }
}

words! {
    /// A reason that needs no name of the map.
    Word {
        /// Allowed and accepted.
        Allowed = "allowed",
        /// Of a connection that is over.
        LatePacket = "late-packet",
        /// A reply of the internet that nobody asked for.
        UnsolicitedReply = "unsolicited-reply",
        /// A request from outside to a NAT gateway, which drops it.
        NatUnsolicited = "nat-unsolicited",
        /// The log format lacks a field without which nothing can be said.
        FieldsMissing = "fields-missing",
        /// The record names a VPC that the map does not have.
        VpcNotInMap = "vpc-not-in-map",
        /// Nothing tells which VPC of the map it is.
        VpcAmbiguous = "vpc-ambiguous",
        /// Neither address is in the CIDRs of the VPC or of its peers.
        NoLocalEndpoint = "no-local-endpoint",
        /// The interface had no traffic.
        Quiet = "quiet",
        /// AWS skipped records.
        Skipped = "skipped",
    }
}

words! {
    /// Where something allowed was rejected.
    RejectedAt {
        /// On the way back to the client.
        ReturnPath = "return-path",
        /// At the sender's interface.
        Source = "rejected-at-source",
        /// At the receiver's interface.
        Destination = "rejected-at-destination",
        /// At a gateway, or nothing tells.
        Somewhere = "rejected",
    }
}

words! {
    /// What the server did with something that was not allowed, as the end of a reason.
    Answered {
        /// Nothing tells.
        Unknown = "",
        /// It sent a reset.
        Refused = "/refused",
        /// It replied.
        Responded = "/responded",
    }
}

impl Severity {
    /// One step lower; info stays info.
    pub const fn lowered(self) -> Self {
        match self {
            Self::Critical => Self::High,
            Self::High => Self::Medium,
            Self::Medium => Self::Low,
            Self::Low | Self::Info => Self::Info,
        }
    }
}
