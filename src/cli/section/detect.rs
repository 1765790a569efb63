//! `[detect]`: the settings of the detectors, and what is allowed though they find it.

use ipnet::IpNet;

use super::{Entry, Key, Problem, Section, Sections, Shape};
use crate::boundary::{Boundary, ZoneId};
use crate::cli::input::{parse_network, parse_time};
use crate::cli::warn;
use crate::detect::{Allowed, Knob, Settings, Tunable, detector_names};

/// The section.
pub(super) const SECTION: Section = Section { name: "detect", shape, read };

/// What an entry of the allow-list may ask of a finding.
const ASKS: [&str; 6] = ["client", "client-zone", "server", "server-zone", "port", "detector"];

fn shape() -> Shape {
    let mut settings = Settings::default();
    let mut keys: Vec<Key> = Vec::new();
    for name in detector_names() {
        if let Some(tunable) = settings.tunable(name) {
            keys.push(Key::new(name, Shape::One(detector(tunable)), format!("Settings of the detector {name}.")));
        }
    }
    let doc = "What the detectors find and nobody wants an alert of. All that an entry asks must hold of a finding.";
    keys.push(Key::new("allow", Shape::Many(allow()), doc));
    Shape::One(keys)
}

fn detector(tunable: &dyn Tunable) -> Vec<Key> {
    let mut keys = knobs(tunable);
    if tunable.whose().is_empty() {
        return keys;
    }
    let doc =
        format!("Settings for single zones, by name of the {}'s zone. What is absent is as above.", tunable.whose());
    keys.push(Key::new("zones", Shape::Named(knobs(tunable)), doc));
    keys
}

fn knobs(tunable: &dyn Tunable) -> Vec<Key> {
    let one = |knob: &Knob| {
        let doc = format!("{} [default: {}]", knob.doc.trim(), knob.default);
        Key::new(knob.name, Shape::Number(knob.least, knob.most), doc)
    };
    let enabled = format!("Whether it makes alerts. [default: {}]", tunable.enabled());
    let enabled = Key::new("enabled", Shape::Flag, enabled);
    std::iter::once(enabled).chain(tunable.knobs().iter().map(one)).collect()
}

fn allow() -> Vec<Key> {
    let network = || Shape::Like(|text| parse_network(text).map(|_: IpNet| ()));
    let time = Shape::Like(|text| parse_time(text).map(|_| ()));
    vec![
        Key::new("reason", Shape::Text, "Why it is allowed; who reads the alerts is told.").required(),
        Key::new("client", network(), "The client's address, or a network that it is in."),
        Key::new("client-zone", Shape::Text, "The client's zone."),
        Key::new("server", network(), "The server's address, or a network that it is in."),
        Key::new("server-zone", Shape::Text, "The server's zone."),
        Key::new("port", Shape::Number(0, 65_535), "The server's port."),
        Key::new("detector", Shape::Word(detector_names().collect()), "What found it."),
        Key::new(
            "until",
            time,
            "From this time on it is not allowed any more: a date or a date and a time, UTC. It is compared with the last time that the finding saw.",
        ),
    ]
}

fn read(entries: &[Entry], sections: &mut Sections, problems: &mut Vec<Problem>) {
    let Some(entry) = entries.first() else { return };
    for name in detector_names() {
        if let (Some(table), Some(tunable)) = (entry.one(name), sections.detect.tunable(name)) {
            tune(table, None, tunable);
            table.named("zones").for_each(|(zone, table)| tune(table, Some(zone), tunable));
        }
    }
    for (_, table) in entry.named("allow") {
        if !table.has_any(&ASKS) {
            let problem = Problem::new(&table.span, "this entry would allow everything");
            problems.push(problem.hint(format!("give at least one of {}", ASKS.join(", "))));
        }
        sections.detect.allow.push(Allowed {
            reason: table.text("reason").unwrap_or_default().to_owned(),
            client: table.parsed("client", parse_network),
            client_zone: table.text("client-zone").map(str::to_owned),
            server: table.parsed("server", parse_network),
            server_zone: table.text("server-zone").map(str::to_owned),
            port: table.number("port").and_then(|port| u16::try_from(port).ok()),
            detector: table.text("detector").map(str::to_owned),
            until: table.parsed("until", parse_time),
        });
    }
}

/// Says which zones of the settings the map does not have: what is set for them would be for nobody.
pub(in crate::cli) fn warn_of_zones(settings: &Settings, boundary: Option<&Boundary>) {
    let Some(boundary) = boundary else { return };
    let declared = boundary.map().zones.iter().map(|zone| zone.name.as_str());
    let known: Vec<&str> = ZoneId::BUILT_IN.into_iter().chain(declared).collect();
    let of_detectors = settings.zones().into_iter().map(|(detector, zone)| (format!("\"{detector}\".zones"), zone));
    let of_entries = settings.allow.iter().flat_map(|entry| [&entry.client_zone, &entry.server_zone]).flatten();
    let of_entries = of_entries.map(|zone| ("allow".to_owned(), zone.clone()));
    for (table, zone) in of_detectors.chain(of_entries).filter(|(_, zone)| !known.contains(&zone.as_str())) {
        warn(format_args!("the map {} has no zone '{zone}', which detect.{table} names", boundary.map().name));
    }
}

fn tune(table: &Entry, zone: Option<&str>, tunable: &mut dyn Tunable) {
    if let Some(enabled) = table.flag("enabled") {
        tunable.enable(zone, enabled);
    }
    for knob in tunable.knobs() {
        if let Some(value) = table.number(knob.name) {
            tunable.set(zone, knob.name, value);
        }
    }
}
