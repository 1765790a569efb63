//! The evaluator: what the map says of one record.
//!
//! The straight line of [`Boundary::judge`], one step a file:
//!
//! ```text
//! flow         the fields that count, nulls read
//! side         the record's VPC                        -> unmapped, where there is none
//! zones        the classes of both addresses           -> unmapped, where neither is local
//! orientation  who is client; with policy, asked forward and reversed
//! side         which end of the flow recorded it
//! verdict      the decision table; nacl where an outage wants explaining; severity
//! names        the judgement in words, for the lake and for people
//! ```
//!
//! A verdict is a function of one record and the map. Everything that the map alone decides is worked out in
//! [`Boundary::new`]: `address` flattens prefixes into one range table a VPC, `zones` sorts all addresses into few
//! classes and `ports` all ports, `grants` and `invariants` find what applies to which pair of classes, `policy`
//! decides, and `memo` tabulates the decisions. What is left for a record is a handful of look-ups, and nothing is
//! allocated.
//!
//! [`Boundary::explain`] takes the same steps by the same functions and puts them into words. The steps are inlined
//! into both, so that `judge` does not put together what only `explain` tells.

mod address;
mod explain;
mod flow;
mod grants;
mod invariants;
mod memo;
mod nacl;
mod names;
mod orientation;
mod policy;
mod ports;
mod protected;
mod services;
mod side;
#[cfg(test)]
mod tests;
mod verdict;
mod watch;
mod zones;

use std::net::IpAddr;

pub use explain::{Explanation, Fact};
pub use policy::{Grant, Policy};
pub use watch::{Watch, WatchKind};

use self::flow::Flow;
use self::memo::Budget;
use self::orientation::Oriented;
use self::policy::Policies;
use self::ports::{PortClasses, Protocol};
use self::services::ServiceTable;
use self::side::{FoundBy, Inventory, SideBy};
use self::verdict::Ruling;
use self::zones::{ClassId, Zones};
use super::judgement::Judgement;
use super::model::{BoundaryMap, Selector, VpcId, ZoneId};
use super::values::{Side, Word};
use crate::record::FlowRecord;

/// Which entries of the map take part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The environment; with none, no entry that names environments takes part.
    pub env: Option<String>,
    /// The mode; with none, the entries of every mode take part.
    pub mode: Option<String>,
}

impl Selection {
    /// True when an entry with this selector takes part.
    pub fn includes(&self, when: &Selector) -> bool {
        let env = when.env.as_ref().is_none_or(|envs| self.env.as_ref().is_some_and(|env| envs.contains(env)));
        let mode = when.mode.as_ref().is_none_or(|mode| self.mode.as_ref().is_none_or(|selected| selected == mode));
        env && mode
    }
}

/// A boundary map, compiled for judging records: immutable, and shared freely between threads.
#[derive(Debug)]
pub struct Boundary {
    map: BoundaryMap,
    selection: Selection,
    zones: Zones,
    ports: PortClasses,
    policies: Policies,
    services: ServiceTable,
    inventory: Inventory,
    /// Indices of the map's NACL entries, in the order of evaluation.
    nacls: Box<[usize]>,
    protected: Box<[bool]>,
    confined: Box<[bool]>,
    watches: Box<[Watch]>,
    /// By zone: see [`Self::watching`].
    watching: Box<[[u64; 2]]>,
}

/// Where a record's ends are.
#[derive(Debug, Clone, Copy)]
struct Located {
    vpc: VpcId,
    src: ClassId,
    dst: ClassId,
}

/// A judgement and how it came about.
struct Evaluation {
    judgement: Judgement,
    /// `None` for a record without traffic, or without the fields that every judgement needs.
    flow: Option<Flow>,
    /// `None` where the VPC is not known.
    located: Option<(Located, FoundBy)>,
    /// `None` where no end is local.
    course: Option<Course>,
}

/// The steps from the orientation on.
struct Course {
    oriented: Oriented,
    side: (Side, SideBy),
    ruling: Ruling,
}

impl Boundary {
    /// Compiles a map. An environment or a mode that no entry names is legal here. Where the selection names no
    /// environment, the map's own counts.
    pub fn new(map: BoundaryMap, selection: &Selection) -> Self {
        let selection =
            Selection { env: selection.env.clone().or_else(|| map.env.clone()), mode: selection.mode.clone() };
        let (zones, ports) = (Zones::new(&map), PortClasses::new(&map));
        let policies = Policies::new(&map, &selection, &zones, &ports, Budget::USUAL);
        let mut watches = watch::watches(&map, &selection, &zones);
        watch::note_what_is_not_permitted(&mut watches, &policies, &zones, &ports);
        Self {
            services: ServiceTable::new(&map, &ports),
            inventory: Inventory::new(&map),
            nacls: nacl::in_order(&map),
            protected: protected::protected(&map, &selection, &zones),
            confined: protected::confined(&map, &selection),
            watching: watch::by_zone(&watches, &map),
            watches,
            policies,
            zones,
            ports,
            selection,
            map,
        }
    }

    /// The map as it was read.
    pub fn map(&self) -> &BoundaryMap {
        &self.map
    }

    /// What takes part; the environment is the map's where none was selected.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The judgement of one record. It depends on nothing but the record and the map, and allocates nothing.
    pub fn judge(&self, record: &FlowRecord<'_>) -> Judgement {
        self.evaluate(record).judgement
    }

    /// What the map says of a client that connects to a server's port, as the VPC sees them. `protocol` is the
    /// IANA number.
    ///
    /// # Panics
    ///
    /// If the VPC is not one of this map.
    pub fn policy(&self, vpc: VpcId, client: IpAddr, server: IpAddr, protocol: u8, port: u16) -> Policy {
        let (client, server) = (self.zones.class_of(vpc, client), self.zones.class_of(vpc, server));
        self.policies.of(client, server, self.ports.at(Protocol::of(protocol), port))
    }

    /// The primary zone of an address, as the VPC sees it.
    ///
    /// # Panics
    ///
    /// If the VPC is not one of this map.
    pub fn zone_of(&self, vpc: VpcId, address: IpAddr) -> ZoneId {
        self.zones.class(self.zones.class_of(vpc, address)).primary
    }

    #[inline(always)]
    fn evaluate(&self, record: &FlowRecord<'_>) -> Evaluation {
        let early = |judgement, flow, located| Evaluation { judgement, flow, located, course: None };
        if let Some(judgement) = Judgement::of_status(record) {
            return early(judgement, None, None);
        }
        let Some(flow) = Flow::read(record) else {
            return early(Judgement::unmapped(Word::FieldsMissing, None), None, None);
        };
        let (vpc, found_by) = match self.find_vpc(record, &flow) {
            Ok(found) => found,
            Err(why) => return early(Judgement::unmapped(why, None), Some(flow), None),
        };
        let at = Located { vpc, src: self.zones.class_of(vpc, flow.src), dst: self.zones.class_of(vpc, flow.dst) };
        let (src, dst) = (self.zones.class(at.src), self.zones.class(at.dst));
        if !src.local && !dst.local {
            let judgement = Judgement::unmapped(Word::NoLocalEndpoint, Some((src.primary, dst.primary)));
            return early(judgement, Some(flow), Some((at, found_by)));
        }
        let oriented = self.orient(&flow, &at);
        let side = self.find_side(record, &flow, &at);
        let ruling = self.rule_on(&flow, &at, &oriented, side.0);
        Evaluation {
            judgement: self.judgement(&oriented, side.0, &ruling),
            flow: Some(flow),
            located: Some((at, found_by)),
            course: Some(Course { oriented, side, ruling }),
        }
    }
}
