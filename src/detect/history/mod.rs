//! Detectors that compare a day with the days before it.
//!
//! **What is kept.** For each UTC day and group (as: the clients in one zone of a service in another) what its members
//! did, hour by hour: see [`History`]. Groups come in families:
//!
//! | family | group | member | what is kept of it | asked by |
//! |---|---|---|---|---|
//! | clock | the lake | source (a shard; all files are one) | minutes of event time with any record | all, `late` |
//! | interfaces | the lake | interface | minutes with any record, and its zone | `silent` |
//! | exits | source zone | source | what was accepted to the internet | `exfiltration` |
//! | refused | client (its zone, from the internet), server zone | server | verdicts `blocked` and `attempt` | `blocked-spike` |
//! | services | client zone, server zone, port, protocol | client | allowed requests to protected zones | `brute-force`, `new-source` |
//! | destinations | the same | server | allowed requests of confined zones | `new-destination` |
//! | beacons | client zone, client, port, protocol | server in the internet | accepted requests, and when calls begin | `beacon` |
//! | budgets | exit of a confined zone | client | accepted requests through it | `budget` |
//! | | expectation of bytes | client, or server if the client is outside | what was accepted both ways | |
//! | replies | server zone, port, TCP | server | small requests in ten minutes, and in which it replied | `unanswered` |
//! | expectations | expectation | | minutes with its records | `expectation` |
//! | ports | protected server zone | port, protocol | accepted requests | `new-service` |
//!
//! **How it is judged.** A day is judged beside the seven days before it, its *past*. An hour is compared with hours of the
//! past, never with those of its own day. What goes on at midnight is one alert: of the day in which it begins, so the
//! days beside it are asked too (see `runs`). All of them are read side by side, and a day that changed asks for all
//! those to be judged anew that ask for it: so the alerts are the same however the records came (I7, I8).
//!
//! Of a group with more than 4096 members in a day those with the smallest hashes are kept, and the others have no
//! alerts: memory is bounded, and which they are does not depend on any order. Who may have been left out of a day before
//! has none either: nothing is called new, or much, for want of room.

mod beacon;
mod blocked_spike;
mod brute_force;
mod budget;
mod exfiltration;
mod expectation;
mod gather;
mod late;
mod new_service;
mod newcomers;
mod past;
mod places;
mod presence;
mod replies;
mod runs;
mod silent;
mod state;
mod stored;
mod unanswered;

pub(super) use gather::Gatherer;
use past::PAST;
pub(super) use past::{AFTER, BEFORE, Clock};
pub(super) use presence::shard;
pub use state::{Call, Each, First, History, Hour, Member, Minutes, Sum, Terms, Text, Who};

use super::detector::Kind;
use super::finding::{Finding, Query};
use super::settings::Settings;
use super::tally::Key;
use super::window::{DAY, Window};
use runs::of_hours;

/// What the detectors of the keys of these states begin with.
const PREFIX: &str = "history/";
const BEACONS: &str = "history/beacons";
const BUDGETS: &str = "history/budgets";
const CLOCK: &str = "history/clock";
const DESTINATIONS: &str = "history/destinations";
const EXITS: &str = "history/exits";
const EXPECTATIONS: &str = "history/expectations";
const INTERFACES: &str = "history/interfaces";
const PORTS: &str = "history/ports";
const REFUSED: &str = "history/refused";
const REPLIES: &str = "history/replies";
const SERVICES: &str = "history/services";

/// All of them.
const KINDS: [&Kind; 12] = [
    &exfiltration::KIND,
    &blocked_spike::KIND,
    &brute_force::KIND,
    &newcomers::NEW_SOURCE,
    &newcomers::NEW_DESTINATION,
    &new_service::KIND,
    &budget::KIND,
    &expectation::KIND,
    &silent::KIND,
    &late::KIND,
    &unanswered::KIND,
    &beacon::KIND,
];

/// Their names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

/// Whether the state of this key is a history.
pub fn is_history(key: &Key) -> bool {
    key.detector.starts_with(PREFIX)
}

/// Whether this is the key of a clock. Only what asks nothing of it stands before it in a day.
pub(super) fn is_clock(key: &Key) -> bool {
    key.detector == CLOCK
}

/// The key of a family's group in the day that begins at this time.
fn group_key(day: i64, family: &str) -> Key {
    Key::bare(Window(Some(day)), family)
}

/// A group in a day, and in the days before.
#[derive(Clone, Copy)]
struct Group<'g> {
    /// Its key in the day that is judged, which may be another.
    key: &'g Key,
    /// Start of the day, milliseconds since 1970.
    day: i64,
    /// By how many days before.
    days: [Option<&'g History>; PAST + 1],
    clock: &'g Clock,
}

/// What is found of a group in the day of this key, from what it did in the days about it, in order; the clocks begin
/// with that of the day before.
pub(super) fn findings<'g>(
    key: &'g Key,
    days: &[Option<&'g History>],
    clocks: &'g [Clock],
    settings: &Settings,
) -> Vec<Finding> {
    let begins = (-1..).map(|days| key.window.0.unwrap_or_default() + days * DAY);
    let group = |((days, clock), day): ((&[Option<&'g History>], _), _)| Group {
        key,
        day,
        days: std::array::from_fn(|back| days.get(PAST - back).copied().flatten()),
        clock,
    };
    let groups: Vec<Group<'_>> = days.windows(PAST + 1).zip(clocks).zip(begins).map(group).collect();
    let [before, today, after, last] = *groups.as_slice() else { return Vec::new() };
    // while a shard is days behind, who is new and what is much cannot be said
    if today.clock.now().is_none() && ![BEACONS, BUDGETS].contains(&key.detector.as_str()) {
        return Vec::new();
    }
    let beside = [before, today, after];
    match key.detector.as_str() {
        CLOCK => late::findings(today, &settings.late),
        INTERFACES => silent::findings(today, &settings.silent),
        EXITS => exfiltration::findings(beside, &settings.exfiltration),
        REFUSED => blocked_spike::findings(beside, &settings.blocked_spike),
        REPLIES => unanswered::findings([before, today, after, last], &settings.unanswered),
        SERVICES => {
            let mut found = brute_force::findings(beside, &settings.brute_force);
            found.extend(newcomers::findings(&newcomers::NEW_SOURCE, today, &settings.new_source));
            found
        }
        DESTINATIONS => newcomers::findings(&newcomers::NEW_DESTINATION, today, &settings.new_destination),
        BEACONS => beacon::findings(today, &settings.beacon),
        BUDGETS => budget::findings(beside, &settings.budget),
        EXPECTATIONS => expectation::findings([before, today, after, last], &settings.expectation),
        PORTS => new_service::findings(today, &settings.new_service),
        _ => Vec::new(),
    }
}

/// The finding that withdraws an alert of these detectors.
pub(super) fn withdrawn(alert: &Key, end: Option<i64>) -> Option<Finding> {
    let kind = KINDS.into_iter().find(|kind| kind.name == alert.detector)?;
    let mut query = Query::everything();
    query.and("false");
    let title = format!("no longer found: {}", kind.name);
    // what tells alerts of one group apart is not for people
    Some(Finding { title, reason: None, ..Finding::empty(kind, alert, end, query.finish()) })
}

/// Of a record that goes with its connection for sure, of TCP or UDP.
const REQUEST: [&str; 3] = [
    "client_addr = coalesce(pkt_srcaddr, srcaddr) AND orientation <> 'reply' AND confidence <> 'weak'",
    "protocol IN (6, 17) AND srcport IS NOT NULL AND dstport IS NOT NULL",
    "action = 'ACCEPT'",
];

/// `port 5432/tcp of rds`.
fn service(key: &Key) -> String {
    let protocol = if key.protocol == Some(17) { "udp" } else { "tcp" };
    let zone = key.server_zone.as_deref().unwrap_or_default();
    format!("port {}/{protocol} of {zone}", key.server_port.unwrap_or(0))
}

/// `999 bytes`, `812 MB`, `1.4 GB`.
fn volume(bytes: u64) -> String {
    match bytes {
        0..10_000 => super::detector::count(bytes, "byte"),
        10_000..1_000_000 => format!("{} kB", bytes / 1000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000),
    }
}
