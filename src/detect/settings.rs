//! What can be set of the detectors. What is gathered does not depend on it: settings are asked when a state is judged,
//! so the same state can be judged anew with others.
//!
//! Each struct here is one detector's thresholds, or those of several alike; its `Default` is what holds without a
//! config file, and the docs say where it comes from. They are written down once, in `thresholds!`: the struct, its
//! defaults and the [`Knob`]s by which a config file sets them.

use std::collections::BTreeMap;

use super::allow::Allowed;
use super::finding::Finding;
use super::tally::Key;
use super::{COUNTERS, detector_names};

/// A threshold, as a config file knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knob {
    /// Its key.
    pub name: &'static str,
    /// What it means, its unit, and the source of its default.
    pub doc: &'static str,
    /// The default.
    pub default: u64,
    /// The smallest value.
    pub least: u64,
    /// The largest value.
    pub most: u64,
}

/// Thresholds of a detector.
pub trait Thresholds: Default + Clone {
    /// Whose zone it is that has settings of its own: the server's or the source's. Empty: there is none.
    const WHOSE: &'static str;
    /// Whether it makes alerts where nobody says.
    const ENABLED: bool;
    /// Each of them.
    const KNOBS: &'static [Knob];

    /// Sets the one of this name, if there is one.
    fn set(&mut self, name: &str, value: u64);

    /// Sets whether the detector makes alerts.
    fn enable(&mut self, enabled: bool);

    /// Whether it makes alerts.
    fn is_on(&self) -> bool;
}

macro_rules! thresholds {
    ($(#[$about:meta])* $type:ident by zone of $whose:literal { $($knobs:tt)* }) => {
        thresholds! { $(#[$about])* $type by zone of $whose, enabled: true, { $($knobs)* } }
    };
    ($(#[$about:meta])* $type:ident by zone of $whose:literal, enabled: $enabled:literal, {
        $($key:literal $field:ident = $default:literal, $least:literal..=$most:literal: $doc:literal;)*
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $type {
            /// Whether it makes alerts.
            pub enabled: bool,
            $(#[doc = $doc] pub $field: u64,)*
        }

        impl Default for $type {
            fn default() -> Self {
                Self { enabled: $enabled, $($field: $default,)* }
            }
        }

        impl Thresholds for $type {
            const WHOSE: &'static str = $whose;
            const ENABLED: bool = $enabled;
            const KNOBS: &'static [Knob] =
                &[$(Knob { name: $key, doc: $doc, default: $default, least: $least, most: $most },)*];

            fn set(&mut self, name: &str, value: u64) {
                match name {
                    $($key => self.$field = value,)*
                    _ => _ = value,
                }
            }

            fn enable(&mut self, enabled: bool) {
                self.enabled = enabled;
            }

            fn is_on(&self) -> bool {
                self.enabled
            }
        }
    };
}

thresholds! {
    /// Of the detectors that count records of a verdict.
    Counting by zone of "server" {
        "flows" flows = 1, 1..=1_000_000_000_000:
            "Records of one key in an hour from which on there is an alert. One is enough: each is something that the map forbids, or that is broken.";
    }
}

thresholds! {
    /// Of `scan.vertical`.
    Vertical by zone of "source" {
        "ports" ports = 15, 1..=65_536:
            "Distinct ports of one server in an hour. From Zeek's `policy/misc/scan.zeek`: 15 failed ports.";
        "alerts" alerts = 10, 1..=10_000:
            "Alerts of one source in a day above which they are one. Our own number.";
    }
}

thresholds! {
    /// Of `scan.horizontal`.
    Horizontal by zone of "source" {
        "servers" servers = 25, 1..=16_777_216:
            "Distinct servers on one port in an hour. From Zeek's `policy/misc/scan.zeek`: 25 failed hosts.";
        "protected-servers" protected_servers = 10, 1..=16_777_216:
            "The same of servers in protected zones, from inside. Our own number.";
        "alerts" alerts = 10, 1..=10_000:
            "Alerts of one source in a day above which they are one. Our own number.";
    }
}

thresholds! {
    /// Of `scan.slow`.
    Slow by zone of "source" {
        "targets" targets = 8, 1..=16_777_216:
            "Distinct targets in a UTC day, or from noon to noon. Our own number: four alone were too eager for SiLK's users.";
        "lead" lead = 4, 1..=1_000:
            "Distinct targets more than allowed contacts (of which up to 16 are counted). Four make the odds of 99 of Jung, Paxson, Berger and Balakrishnan (2004).";
    }
}

thresholds! {
    /// Of `exfiltration`.
    Exfiltration by zone of "source" {
        "megabytes" megabytes = 500, 1..=1_000_000_000:
            "Megabytes in an hour from which on it is looked at. From Tailpipe's detection of large transfers: 500.";
        "deviations" deviations = 10, 0..=1_000_000:
            "Deviations above the median of the seven days before. From Panther's query: 10.";
        "peak-percent" peak_percent = 150, 0..=1_000_000:
            "Of the largest hour of the seven days before, in percent. Our own number.";
        "points" points = 5, 1..=168:
            "Hours with traffic in the seven days before; with fewer there is nothing to compare with, and an alert is low. From Splunk's detections: 5.";
    }
}

thresholds! {
    /// Of `blocked-spike`.
    BlockedSpike by zone of "server" {
        "flows" flows = 100, 1..=1_000_000_000_000:
            "Refused records in an hour from which on it is looked at. Our own number.";
        "deviations" deviations = 3, 0..=1_000_000:
            "Standard deviations above the mean of the seven days before. From Splunk's detection of blocked traffic: 3.";
        "peak-percent" peak_percent = 150, 0..=1_000_000:
            "Of the largest hour of the seven days before, in percent. Our own number.";
        "hours" hours = 24, 1..=168:
            "Hours with any record in the seven days before; with fewer there is no alert. Our own number.";
    }
}

thresholds! {
    /// Of `brute-force`.
    BruteForce by zone of "server" {
        "conversations" conversations = 100, 1..=1_000_000_000_000:
            "Short connections of a client in an hour from which on it is looked at. Our own number.";
        "peak-percent" peak_percent = 300, 0..=1_000_000:
            "Of the largest hour of the seven days before, in percent. Our own number.";
        "points" points = 5, 1..=168:
            "Hours with short connections in the seven days before; with fewer there is nothing to compare with, and an alert is low. Our own number.";
    }
}

thresholds! {
    /// Of `new-source` and `new-destination`.
    Newcomers by zone of "server" {
        "days" days = 3, 1..=7:
            "Of the seven days before, those that must have records. Our own number.";
        "changes" changes = 2, 1..=7:
            "Of the seven days before, those with somebody new from which on it says nothing that somebody is. Our own number.";
        "alerts" alerts = 10, 1..=10_000:
            "Alerts of one service in a day above which they are one. Our own number.";
    }
}

thresholds! {
    /// Of `new-service`.
    NewService by zone of "server" {
        "days" days = 3, 1..=7:
            "Of the seven days before, those that must have records. Our own number.";
        "alerts" alerts = 10, 1..=10_000:
            "Alerts of one zone in a day above which they are one. Our own number.";
    }
}

thresholds! {
    /// Of `budget`: what is too much stands in the map.
    Budget by zone of "" {}
}

thresholds! {
    /// Of `expectation`: what is expected stands in the map.
    Expectation by zone of "" {
        "lateness" lateness = 15, 0..=720:
            "Minutes for which records of a period are waited for, by event time, before it is said that there are too few. Flow logs come within about ten minutes (AWS), and out of order.";
    }
}

thresholds! {
    /// Of `silent`.
    Silent by zone of "interface" {
        "minutes" minutes = 40, 1..=1440:
            "Minutes without a record above which an interface is silent. Three aggregation intervals of ten minutes, and the ten of delivery that AWS speaks of.";
        "interfaces" interfaces = 2, 2..=10_000:
            "Interfaces of a zone that must fall silent together for an alert of the zone. Our own number.";
    }
}

thresholds! {
    /// Of `late`.
    Late by zone of "" {
        "minutes" minutes = 60, 1..=1440:
            "Minutes without any record above which there is an alert. Our own number.";
    }
}

thresholds! {
    /// Of `unanswered`.
    Unanswered by zone of "server" {
        "calls" calls = 3, 1..=1_000_000_000_000:
            "Calls in ten minutes to which nothing comes back. Our own number.";
        "lateness" lateness = 15, 0..=720:
            "Minutes for which answers are waited for, by event time, after the ten in which they could come. As that of `expectation`.";
    }
}

thresholds! {
    /// Of `beacon`.
    Beacon by zone of "source", enabled: false, {
        "conversations" conversations = 24, 3..=1440:
            "Calls in a UTC day. Our own number; RITA begins with 4.";
        "hours" hours = 4, 0..=24:
            "Hours from the first to the last of them. Our own number.";
        "kilobytes" kilobytes = 20, 0..=1_000_000_000:
            "Kilobytes of a call at most, at the mean. Our own number.";
        "score" score = 90, 0..=100:
            "How regular they are, of 100. RITA calls 90 high.";
    }
}

/// What is set of a detector, everywhere and for single zones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tuned<T> {
    /// Where no zone has its own.
    pub everywhere: T,
    /// By name of the zone.
    pub zones: BTreeMap<String, T>,
}

impl<T> Tuned<T> {
    /// What holds for a zone.
    pub fn of(&self, zone: Option<&str>) -> &T {
        zone.and_then(|zone| self.zones.get(zone)).unwrap_or(&self.everywhere)
    }
}

/// Settings of a detector by the names of their keys.
pub trait Tunable {
    /// Whose zone it is that has settings of its own.
    fn whose(&self) -> &'static str;

    /// Whether it makes alerts where nobody says.
    fn enabled(&self) -> bool;

    /// Whether it makes alerts anywhere.
    fn is_on(&self) -> bool;

    /// Its thresholds.
    fn knobs(&self) -> &'static [Knob];

    /// Sets a threshold, everywhere or for one zone. What a zone does not set is what is set everywhere by then.
    fn set(&mut self, zone: Option<&str>, knob: &str, value: u64);

    /// Switches it on or off, likewise.
    fn enable(&mut self, zone: Option<&str>, enabled: bool);

    /// The zones that have settings of their own.
    fn zones(&self) -> Vec<&str>;
}

impl<T: Thresholds> Tunable for Tuned<T> {
    fn whose(&self) -> &'static str {
        T::WHOSE
    }

    fn enabled(&self) -> bool {
        T::ENABLED
    }

    fn is_on(&self) -> bool {
        self.everywhere.is_on() || self.zones.values().any(T::is_on)
    }

    fn knobs(&self) -> &'static [Knob] {
        T::KNOBS
    }

    fn set(&mut self, zone: Option<&str>, knob: &str, value: u64) {
        self.at(zone).set(knob, value);
    }

    fn enable(&mut self, zone: Option<&str>, enabled: bool) {
        self.at(zone).enable(enabled);
    }

    fn zones(&self) -> Vec<&str> {
        self.zones.keys().map(String::as_str).collect()
    }
}

impl<T: Thresholds> Tuned<T> {
    fn at(&mut self, zone: Option<&str>) -> &mut T {
        match zone {
            None => &mut self.everywhere,
            Some(zone) => self.zones.entry(zone.to_owned()).or_insert_with(|| self.everywhere.clone()),
        }
    }
}

/// What is gathered of records for the detectors: as much as they could ever ask, so that other settings can be tried on
/// a lake, but for what is not free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gathers {
    /// None of them is on.
    Nothing,
    /// All but what follows.
    #[default]
    Usual,
    /// Who called whom when, too, which `beacon` asks for.
    Beacons,
}

/// The settings of all detectors, and the allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Of detectors that count, by name. The zone is the server's.
    pub counting: BTreeMap<&'static str, Tuned<Counting>>,
    /// Of `scan.vertical`. The zone is the source's.
    pub vertical: Tuned<Vertical>,
    /// Of `scan.horizontal`. The zone is the source's.
    pub horizontal: Tuned<Horizontal>,
    /// Of `scan.slow`. The zone is the source's.
    pub slow: Tuned<Slow>,
    /// Of `exfiltration`. The zone is the source's.
    pub exfiltration: Tuned<Exfiltration>,
    /// Of `blocked-spike`. The zone is the server's.
    pub blocked_spike: Tuned<BlockedSpike>,
    /// Of `brute-force`. The zone is the server's.
    pub brute_force: Tuned<BruteForce>,
    /// Of `new-source`. The zone is the server's.
    pub new_source: Tuned<Newcomers>,
    /// Of `new-destination`. The zone is the server's.
    pub new_destination: Tuned<Newcomers>,
    /// Of `new-service`. The zone is the server's.
    pub new_service: Tuned<NewService>,
    /// Of `budget`. It has no zone.
    pub budget: Tuned<Budget>,
    /// Of `expectation`. It has no zone.
    pub expectation: Tuned<Expectation>,
    /// Of `silent`. The zone is the interface's.
    pub silent: Tuned<Silent>,
    /// Of `late`.
    pub late: Tuned<Late>,
    /// Of `unanswered`. The zone is the server's.
    pub unanswered: Tuned<Unanswered>,
    /// Of `beacon`. The zone is the source's.
    pub beacon: Tuned<Beacon>,
    /// What is allowed, whoever finds it.
    pub allow: Vec<Allowed>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            counting: COUNTERS.iter().map(|counter| (counter.name(), Tuned::default())).collect(),
            vertical: Tuned::default(),
            horizontal: Tuned::default(),
            slow: Tuned::default(),
            exfiltration: Tuned::default(),
            blocked_spike: Tuned::default(),
            brute_force: Tuned::default(),
            new_source: Tuned::default(),
            new_destination: Tuned::default(),
            new_service: Tuned::default(),
            budget: Tuned::default(),
            expectation: Tuned::default(),
            silent: Tuned::default(),
            late: Tuned::default(),
            unanswered: Tuned::default(),
            beacon: Tuned::default(),
            allow: Vec::new(),
        }
    }
}

impl Settings {
    /// Records in an hour that are enough for an alert of this detector that counts; `None`: it makes none.
    pub(super) fn least_flows(&self, detector: &str, key: &Key) -> Option<u64> {
        let thresholds = self.counting.get(detector).map(|tuned| tuned.of(key.server_zone.as_deref()));
        let thresholds = thresholds.cloned().unwrap_or_default();
        thresholds.enabled.then_some(thresholds.flows)
    }

    /// What is to be gathered for them.
    pub fn gathers(&self) -> Gathers {
        let mut all = self.clone();
        let mut on = detector_names().filter(|name| all.tunable(name).is_some_and(|tunable| tunable.is_on()));
        match on.next() {
            None => Gathers::Nothing,
            Some(_) if self.beacon.is_on() => Gathers::Beacons,
            Some(_) => Gathers::Usual,
        }
    }

    /// The first entry of the allow-list that allows a finding.
    pub fn allowing(&self, finding: &Finding) -> Option<&Allowed> {
        self.allow.iter().find(|entry| entry.matches(finding) && !entry.is_expired(finding))
    }

    /// Zones that have settings of their own, each with the detector that they are for.
    pub fn zones(&self) -> Vec<(&'static str, String)> {
        let (mut all, mut zones) = (self.clone(), Vec::new());
        for detector in detector_names() {
            let tunable = all.tunable(detector);
            zones.extend(tunable.iter().flat_map(|tunable| tunable.zones()).map(|zone| (detector, zone.to_owned())));
        }
        zones
    }

    /// The settings of the detector of this name.
    pub fn tunable(&mut self, detector: &str) -> Option<&mut dyn Tunable> {
        match detector {
            "scan.vertical" => Some(&mut self.vertical),
            "scan.horizontal" => Some(&mut self.horizontal),
            "scan.slow" => Some(&mut self.slow),
            "exfiltration" => Some(&mut self.exfiltration),
            "blocked-spike" => Some(&mut self.blocked_spike),
            "brute-force" => Some(&mut self.brute_force),
            "new-source" => Some(&mut self.new_source),
            "new-destination" => Some(&mut self.new_destination),
            "new-service" => Some(&mut self.new_service),
            "budget" => Some(&mut self.budget),
            "expectation" => Some(&mut self.expectation),
            "silent" => Some(&mut self.silent),
            "late" => Some(&mut self.late),
            "unanswered" => Some(&mut self.unanswered),
            "beacon" => Some(&mut self.beacon),
            name => self.counting.get_mut(name).map(|tuned| tuned as &mut dyn Tunable),
        }
    }
}
