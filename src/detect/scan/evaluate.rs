//! From a day's probes of one source to its alerts.

use std::collections::{BTreeMap, BTreeSet};

use super::probes::Source as Tried;
use super::probes::{Crowd, EVIDENCE, Logged, Number, PANE, Probe, Probes, Rows, Targets};
use super::{FAMILY, Thresholds};
use crate::boundary::{Severity, Verdict};
use crate::detect::detector::{Detector, Kind, client, count, server};
use crate::detect::finding::{DESTINATION_ZONE, Finding, Query, SOURCE, SOURCE_ZONE};
use crate::detect::settings::{Horizontal, Settings, Slow, Vertical};
use crate::detect::tally::{Evidence, Key};
use crate::detect::window::Window;

/// Panes of a window: an hour.
const WINDOW: u8 = 6;
/// Panes without a window at the threshold after which the next is another alert: an hour.
const QUIET: u8 = 6;
/// The built-in zone of sources outside.
const INTERNET: &str = "internet";

const VERTICAL: Kind = Kind { name: "scan.vertical" };
const HORIZONTAL: Kind = Kind { name: "scan.horizontal" };
const SLOW: Kind = Kind { name: "scan.slow" };

/// The three.
pub(in crate::detect) const KINDS: [&dyn Detector; 3] = [&VERTICAL, &HORIZONTAL, &SLOW];

/// The finding that withdraws a scan's alert.
pub(in crate::detect) fn withdrawn(alert: &Key, end: Option<i64>) -> Option<Finding> {
    let kind = [&VERTICAL, &HORIZONTAL, &SLOW].into_iter().find(|kind| kind.name == alert.detector)?;
    // none of its rows counts any more
    let mut query = conditions(alert, end.unwrap_or_default());
    query.and("false");
    let query = query.finish();
    let title = format!("no longer found: {} by {}", kind.name, client(alert));
    Some(Finding { title, ..Finding::empty(kind, alert, end, query) })
}

/// A scan: from one pane to another, both with probes, of these targets or of all.
struct Scan<'p> {
    kind: &'static Kind,
    /// First and last pane.
    panes: (u8, u8),
    server: Option<(&'p Logged, Number)>,
    port: Option<(u16, u8)>,
}

/// The alerts of sources, in the order of their ids.
pub(in crate::detect) fn findings(state: &Key, probes: &Probes, settings: &Settings) -> Vec<Finding> {
    // by the number of the source's zone
    let thresholds: Vec<_> = probes.texts.iter().map(|zone| Thresholds::of(settings, Some(zone))).collect();
    let mut findings: Vec<Finding> = Vec::new();
    for tried in &probes.sources {
        let place = tried.zone as usize;
        let (Some(zone), Some(thresholds)) = (probes.texts.get(place), thresholds.get(place)) else { continue };
        // nearly all sources
        if matches!(&tried.targets, Targets::Each(targets) if targets.len() < thresholds.least()) {
            continue;
        }
        let key = source_key(state.window, zone, &tried.address);
        let source =
            Source { key: &key, external: zone == INTERNET, texts: &probes.texts, tried, thresholds: *thresholds };
        match &tried.targets {
            Targets::Crowd(crowd) => findings.extend(source.crowd(crowd)),
            Targets::Each(targets) => {
                let mut scans = together(source.vertical(targets), thresholds.vertical.alerts);
                scans.extend(together(source.horizontal(targets), thresholds.horizontal.alerts));
                if scans.is_empty() {
                    scans.extend(source.slow(targets));
                }
                findings.extend(scans.iter().filter_map(|scan| source.finding(scan, targets)));
            }
        }
    }
    findings.sort_by(|one, other| one.alert_id.cmp(&other.alert_id));
    findings
}

/// Too many alerts as one.
fn together(scans: Vec<Scan<'_>>, most: u64) -> Vec<Scan<'_>> {
    let panes = scans.iter().map(|scan| scan.panes).reduce(|(first, last), (from, to)| (first.min(from), last.max(to)));
    match (scans.first(), panes) {
        (Some(scan), Some(panes)) if scans.len() as u64 > most => {
            vec![Scan { kind: scan.kind, panes, server: None, port: None }]
        }
        _ => scans,
    }
}

/// Stretches of time in which enough distinct things were seen within an hour; by pane, what was seen in it.
fn stretches<T: Ord + Copy>(
    by_pane: &BTreeMap<u8, BTreeSet<T>>,
    enough: impl Fn(&BTreeSet<T>) -> bool,
) -> Vec<(u8, u8)> {
    let mut found: Vec<(u8, u8)> = Vec::new();
    for first in by_pane.keys() {
        // a window that begins without a probe may as well begin with the next one
        let window = by_pane.range(first..&first.saturating_add(WINDOW));
        let (mut seen, mut last) = (BTreeSet::new(), *first);
        for (pane, things) in window {
            seen.extend(things.iter().copied());
            last = *pane;
        }
        if !enough(&seen) {
            continue;
        }
        match found.last_mut() {
            Some((_, end)) if *first <= end.saturating_add(QUIET) => *end = last.max(*end),
            _ => found.push((*first, last)),
        }
    }
    found
}

struct Source<'p> {
    key: &'p Key,
    external: bool,
    texts: &'p [String],
    tried: &'p Tried,
    thresholds: Thresholds<'p>,
}

impl<'p> Source<'p> {
    fn vertical(&self, targets: &'p [Probe]) -> Vec<Scan<'p>> {
        let mut servers: BTreeMap<(&Logged, Number), BTreeMap<u8, BTreeSet<u16>>> = BTreeMap::new();
        for Probe { target, pane, .. } in targets {
            let by_pane = servers.entry((&target.server, target.zone)).or_default();
            by_pane.entry(*pane).or_default().insert(target.port);
        }
        let Vertical { enabled, ports, .. } = self.thresholds.vertical;
        let enough = |seen: &BTreeSet<u16>| *enabled && seen.len() as u64 >= *ports;
        let of_server = |(server, by_pane): (_, BTreeMap<_, _>)| {
            let stretches = stretches(&by_pane, enough).into_iter();
            stretches.map(move |panes| Scan { kind: &VERTICAL, panes, server: Some(server), port: None })
        };
        servers.into_iter().flat_map(of_server).collect()
    }

    fn horizontal(&self, targets: &'p [Probe]) -> Vec<Scan<'p>> {
        type Servers<'p> = BTreeMap<u8, BTreeSet<(&'p Logged, Number, bool)>>;
        let mut ports: BTreeMap<(u16, u8), Servers<'p>> = BTreeMap::new();
        for Probe { target, pane, guarded, .. } in targets {
            let by_pane = ports.entry((target.port, target.protocol)).or_default();
            by_pane.entry(*pane).or_default().insert((&target.server, target.zone, *guarded));
        }
        let thresholds = self.thresholds.horizontal;
        let enough = |servers: &BTreeSet<(&Logged, Number, bool)>| {
            let guarded = servers.iter().filter(|(.., guarded)| *guarded).count() as u64;
            let inside = !self.external && guarded >= thresholds.protected_servers;
            thresholds.enabled && (servers.len() as u64 >= thresholds.servers || inside)
        };
        let of_port = |(port, by_pane): (_, Servers<'p>)| {
            let stretches = stretches(&by_pane, enough).into_iter();
            stretches.map(move |panes| Scan { kind: &HORIZONTAL, panes, server: None, port: Some(port) })
        };
        ports.into_iter().flat_map(of_port).collect()
    }

    fn slow(&self, targets: &[Probe]) -> Option<Scan<'p>> {
        let panes = || targets.iter().map(|probe| probe.pane);
        let panes = (panes().min()?, panes().max()?);
        let distinct = targets.chunk_by(|one, other| one.target == other.target).count();
        self.walks(distinct as u64).then_some(Scan { kind: &SLOW, panes, server: None, port: None })
    }

    /// The random walk at its end: a probe more than contacts makes the odds four times as high, and four of them are
    /// past 99.
    fn walks(&self, targets: u64) -> bool {
        let Slow { enabled, targets: least, lead } = self.thresholds.slow;
        *enabled && targets >= *least && targets >= self.tried.contacts.len() as u64 + lead
    }

    fn finding(&self, scan: &Scan<'_>, targets: &[Probe]) -> Option<Finding> {
        let of_scan = targets.iter().filter(|Probe { target, pane, .. }| {
            (scan.panes.0..=scan.panes.1).contains(pane)
                && scan.server.is_none_or(|server| server == (&target.server, target.zone))
                && scan.port.is_none_or(|port| port == (target.port, target.protocol))
        });
        let mut sum: Option<Rows> = None;
        let (mut servers, mut ports, mut evidence) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for Probe { target, rows, first, .. } in of_scan {
            servers.insert((&target.server, target.zone));
            ports.insert((target.port, target.protocol));
            match &mut sum {
                Some(sum) => sum.merge(rows),
                None => sum = Some(rows.clone()),
            }
            evidence.insert((first, target));
            if evidence.len() > EVIDENCE {
                evidence.pop_last();
            }
        }
        let evidence = evidence.into_iter().map(|(first, target)| first.evidence(target, self.texts)).collect();
        Some(self.made(scan, sum?, evidence, servers.len() as u64, ports.len() as u64))
    }

    fn crowd(&self, crowd: &Crowd) -> Option<Finding> {
        let (servers, ports) = (crowd.servers.count(), crowd.ports.count());
        let Thresholds { vertical, horizontal, .. } = self.thresholds;
        let kind = match () {
            () if horizontal.enabled && servers >= horizontal.servers => &HORIZONTAL,
            () if vertical.enabled && ports >= vertical.ports => &VERTICAL,
            () if self.walks(crowd.targets.count()) => &SLOW,
            () => return None,
        };
        let scan = Scan { kind, panes: crowd.panes, server: None, port: None };
        let mut evidence: Vec<_> =
            crowd.firsts.iter().map(|(target, first)| first.evidence(target, self.texts)).collect();
        evidence.sort();
        Some(self.made(&scan, crowd.rows.clone(), evidence, servers, ports))
    }

    fn made(&self, scan: &Scan<'_>, rows: Rows, evidence: Vec<Evidence>, servers: u64, ports: u64) -> Finding {
        let day = self.key.window.0.unwrap_or_default();
        let start = day + i64::from(scan.panes.0) * PANE;
        let end = day + (i64::from(scan.panes.1) + 1) * PANE;
        let key = Key {
            window: Window(Some(start)),
            detector: scan.kind.name.to_owned(),
            server_zone: scan.server.and_then(|(_, zone)| self.texts.get(zone as usize).cloned()),
            server_addr: scan.server.map(|(address, _)| address.to_string()),
            server_port: scan.port.map(|(port, _)| port),
            protocol: scan.port.map(|(_, protocol)| protocol),
            ..self.key.clone()
        };
        let through = rows.verdicts.contains(Verdict::Breach);
        let severity = match self.external {
            _ if through => Severity::High,
            true => Severity::Low,
            false => Severity::Medium,
        };
        Finding {
            severity,
            confidence: Some(rows.confidence),
            title: title(&key, servers, ports, through),
            first_seen: rows.first_seen,
            last_seen: rows.last_seen,
            verdict: rows.verdicts.single(),
            reason: Some(self.why(scan, servers, ports)),
            flows: rows.flows,
            distinct_ports: Some(ports),
            distinct_servers: Some(servers),
            evidence,
            ..Finding::empty(scan.kind, &key, Some(end), conditions(&key, end).finish())
        }
    }

    /// The threshold, and what was seen.
    fn why(&self, scan: &Scan<'_>, servers: u64, ports: u64) -> String {
        let Vertical { ports: vertical, .. } = self.thresholds.vertical;
        let Horizontal { servers: horizontal, protected_servers: guarded, .. } = self.thresholds.horizontal;
        let Slow { targets: slow, lead, .. } = self.thresholds.slow;
        match scan.kind.name {
            "scan.vertical" => format!("{}; {vertical} of one server within an hour are a scan", count(ports, "port")),
            "scan.horizontal" if self.external => {
                format!("{}; {horizontal} on one port within an hour are a scan", count(servers, "server"))
            }
            "scan.horizontal" => format!(
                "{}; {horizontal} on one port within an hour are a scan, {guarded} in protected zones",
                count(servers, "server")
            ),
            _ => format!(
                "{}, {}, and {} that {} allowed; {slow} in a day, and {lead} more than are allowed, are a scan",
                count(servers, "server"),
                count(ports, "port"),
                count(self.tried.contacts.len() as u64, "contact"),
                if self.tried.contacts.len() == 1 { "is" } else { "are" },
            ),
        }
    }
}

fn title(key: &Key, servers: u64, ports: u64, through: bool) -> String {
    let source = client(key);
    let tried = match (&key.server_addr, key.server_port) {
        (Some(_), _) => format!("{} of {}", count(ports, "port"), server(key)),
        (None, Some(port)) => format!("port {port} of {}", count(servers, "server")),
        (None, None) => format!("{} of {}", count(ports, "port"), count(servers, "server")),
    };
    let outcome = if through { "some let it through" } else { "none let it through" };
    match key.detector.as_str() {
        "scan.slow" => format!("{source} tried {tried} over the day, none of which it may reach: {outcome}"),
        _ => format!("{source} tried {tried}, none of which it may reach: {outcome}"),
    }
}

fn conditions(key: &Key, end: i64) -> Query {
    let mut query = Query::new(&[Verdict::Attempt, Verdict::Blocked, Verdict::Breach]);
    query.and("protocol IN (6, 17)");
    query.and("srcport IS NOT NULL AND dstport IS NOT NULL");
    query.and("NOT (orientation = 'reply' AND confidence <> 'weak')");
    query.text(SOURCE, key.client_addr.as_deref());
    query.text(SOURCE_ZONE, key.client_zone.as_deref());
    query.text("coalesce(pkt_dstaddr, dstaddr)", key.server_addr.as_deref());
    query.text(DESTINATION_ZONE, key.server_zone.as_deref());
    query.number("dstport", key.server_port.map(u32::from));
    query.number("protocol", key.protocol.map(u32::from));
    query.within(key.window.0, Some(end));
    query
}

/// What the alerts of a source have in common.
fn source_key(day: Window, zone: &str, source: &Logged) -> Key {
    Key { client_zone: Some(zone.to_owned()), client_addr: Some(source.to_string()), ..state_key(day, 0) }
}

/// The key of the state of a bucket of sources.
pub(in crate::detect) fn state_key(day: Window, bucket: u8) -> Key {
    Key::bare(day, &format!("{FAMILY}/{bucket}"))
}
