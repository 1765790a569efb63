//! From a day's probes of one source, and those of the days beside it, to its alerts.

use std::collections::{BTreeMap, BTreeSet};

use super::probes::Source as Tried;
use super::probes::{Crowd, EVIDENCE, Logged, PANE, Probe, Probes, Rows, Targets};
use super::{FAMILY, Thresholds};
use crate::boundary::{Severity, Verdict};
use crate::detect::detector::{Detector, Kind, client, count, server};
use crate::detect::finding::{DESTINATION_ZONE, Finding, Query, SOURCE, SOURCE_ZONE};
use crate::detect::settings::{Horizontal, Settings, Slow, Vertical};
use crate::detect::tally::{Evidence, Key};
use crate::detect::window::{DAY, Window, last_of};

/// Panes of a window: an hour.
const WINDOW: i64 = 6;
/// Panes without a window at the threshold after which the next is another alert: an hour.
const QUIET: i64 = 6;
/// Panes of a day.
const PANES: i64 = DAY / PANE;
/// The first of the afternoon.
const NOON: i64 = PANES / 2;
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

/// Panes, both with probes; the first of the day that is judged is 0.
type Panes = (i64, i64);

/// A scan: from one pane to another, of these targets or of all.
struct Scan<'p> {
    kind: &'static Kind,
    panes: Panes,
    server: Option<(&'p Logged, &'p str)>,
    port: Option<(u16, u8)>,
}

impl Scan<'_> {
    /// It began in the day that is judged: those of other days are told with them.
    fn is_of_the_day(&self) -> bool {
        (0..PANES).contains(&self.panes.0)
    }
}

/// The alerts of sources that begin in the day of the state's key, from what was tried the day before, that day, and
/// the day after; in the order of their ids.
pub(in crate::detect) fn findings(state: &Key, days: [Option<&Probes>; 3], settings: &Settings) -> Vec<Finding> {
    let [before, Some(today), after] = days else { return Vec::new() };
    // by the number of the source's zone
    let thresholds: Vec<_> = today.texts.iter().map(|zone| Thresholds::of(settings, Some(zone))).collect();
    let mut findings: Vec<Finding> = Vec::new();
    for tried in &today.sources {
        let place = tried.zone as usize;
        let (Some(zone), Some(thresholds)) = (today.texts.get(place), thresholds.get(place)) else { continue };
        let [before, after] = [before, after].map(|day| day?.source(&tried.address, zone));
        // nearly all sources
        let most = |source: Option<&Tried>| match source.map(|source| &source.targets) {
            Some(Targets::Each(targets)) => targets.len(),
            Some(Targets::Crowd(_)) => usize::MAX,
            None => 0,
        };
        if most(Some(tried)).saturating_add(most(after)) < thresholds.least() {
            continue;
        }
        let key = source_key(state.window, zone, &tried.address);
        let source = Source { key: &key, external: zone == INTERNET, thresholds: *thresholds };
        findings.extend(source.findings(days, [before, Some(tried), after]));
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
fn stretches<T: Ord + Copy>(by_pane: &BTreeMap<i64, BTreeSet<T>>, enough: impl Fn(&BTreeSet<T>) -> bool) -> Vec<Panes> {
    let mut found: Vec<Panes> = Vec::new();
    for first in by_pane.keys() {
        let current = found.last_mut().filter(|(begin, end)| *first <= end + QUIET && *first <= last_of(*begin, PANES));
        let limit = last_of(current.as_ref().map_or(*first, |(begin, _)| *begin), PANES);
        // a window that begins without a probe may as well begin with the next one
        let window = by_pane.range(first..=&limit.min(first + WINDOW - 1));
        let (mut seen, mut last) = (BTreeSet::new(), *first);
        for (pane, things) in window {
            seen.extend(things.iter().copied());
            last = *pane;
        }
        if !enough(&seen) {
            continue;
        }
        match current {
            Some((_, end)) => *end = last.max(*end),
            None => found.push((*first, last)),
        }
    }
    found
}

/// A probe of one of the days.
struct Seen<'p> {
    pane: i64,
    server: (&'p Logged, &'p str),
    port: (u16, u8),
    probe: &'p Probe,
    texts: &'p [String],
}

impl<'p> Seen<'p> {
    fn of(probe: &'p Probe, begin: i64, texts: &'p [String]) -> Option<Self> {
        let target = &probe.target;
        let zone = texts.get(target.zone as usize)?;
        Some(Self {
            pane: begin + i64::from(probe.pane),
            server: (&target.server, zone),
            port: (target.port, target.protocol),
            probe,
            texts,
        })
    }

    /// Rows are shown in this order.
    fn place(&self) -> impl Ord + use<'p> {
        let first = &self.probe.first;
        (first.start, self.texts.get(first.source as usize), first.line, self.server, self.port, self.pane)
    }
}

/// The first pane with a probe, and the last one.
fn span(source: &Tried) -> Option<Panes> {
    let (first, last) = match &source.targets {
        Targets::Crowd(crowd) => crowd.panes,
        Targets::Each(probes) => {
            let panes = || probes.iter().map(|probe| probe.pane);
            (panes().min()?, panes().max()?)
        }
    };
    Some((i64::from(first), i64::from(last)))
}

/// Targets that the map allows and that a source reached, on some days together.
fn contacts(days: [Option<&Tried>; 2]) -> usize {
    days.into_iter().flatten().flat_map(|day| &day.contacts).collect::<BTreeSet<_>>().len()
}

/// Whether what a source did in a day goes on in the next, as far as it can be told where either is a crowd: of that
/// nobody knows what happened when, but for the first and the last.
fn goes_on(day: Option<&Tried>, next: Option<&Tried>) -> bool {
    let (Some(day), Some(next)) = (day, next) else { return false };
    let is_crowd = |source: &Tried| matches!(source.targets, Targets::Crowd(_));
    let (Some((first, last)), Some((then, _))) = (span(day), span(next)) else { return false };
    (is_crowd(day) || is_crowd(next)) && then + PANES <= last + QUIET && last_of(first, PANES) >= PANES
}

struct Source<'p> {
    key: &'p Key,
    external: bool,
    thresholds: Thresholds<'p>,
}

impl<'p> Source<'p> {
    /// What is found of what it did the day before, the day that is judged, and the day after.
    fn findings(&self, days: [Option<&'p Probes>; 3], tried: [Option<&'p Tried>; 3]) -> Vec<Finding> {
        let [before, Some(today), after] = tried else { return Vec::new() };
        let [_, Some(of_today), of_after] = days else { return Vec::new() };
        // then it is told with the day before, but for what begins here and goes on in the next
        let told = goes_on(before, Some(today));
        if told && matches!(today.targets, Targets::Crowd(_)) {
            return Vec::new();
        }
        if goes_on(Some(today), after)
            && let Some(((next, of_next), (_, last))) = after.zip(of_after).zip(after.and_then(span))
        {
            let mut both = Probes { texts: of_today.texts.clone(), sources: vec![today.clone()] };
            both.merge(Probes { texts: of_next.texts.clone(), sources: vec![next.clone()] });
            both.settle();
            let panes = (span(today).map_or(0, |(first, _)| first), last + PANES);
            let crowd = both.sources.first().and_then(|source| self.crowd(source, &both.texts, panes));
            return crowd.into_iter().collect();
        }
        if let (Targets::Crowd(_), Some(panes)) = (&today.targets, span(today)) {
            return self.crowd(today, &of_today.texts, panes).into_iter().collect();
        }
        let mut seen: Vec<Seen<'p>> = Vec::new();
        for (begin, (source, day)) in [-PANES, 0, PANES].into_iter().zip(tried.into_iter().zip(days)) {
            let (Some(Tried { targets: Targets::Each(probes), .. }), Some(day)) = (source, day) else { continue };
            seen.extend(probes.iter().filter_map(|probe| Seen::of(probe, begin, &day.texts)));
        }
        let (vertical, horizontal) = (self.vertical(&seen), self.horizontal(&seen));
        let fast: Vec<Panes> = vertical.iter().chain(&horizontal).map(|scan| scan.panes).collect();
        let is_new = |scan: &Scan<'_>| scan.is_of_the_day() && (!told || scan.panes.1 >= PANES);
        let of_the_day = |scans: Vec<Scan<'p>>| scans.into_iter().filter(is_new).collect();
        let mut scans = together(of_the_day(vertical), self.thresholds.vertical.alerts);
        scans.extend(together(of_the_day(horizontal), self.thresholds.horizontal.alerts));
        if !told {
            scans.extend(self.slow(tried, &seen, &fast));
        }
        let after = after.filter(|_| scans.iter().any(|scan| scan.kind.name == SLOW.name && scan.panes.1 >= PANES));
        let contacts = contacts([Some(today), after]);
        scans.iter().filter_map(|scan| self.finding(scan, &seen, contacts)).collect()
    }

    fn vertical(&self, seen: &[Seen<'p>]) -> Vec<Scan<'p>> {
        let mut servers: BTreeMap<(&Logged, &str), BTreeMap<i64, BTreeSet<u16>>> = BTreeMap::new();
        for Seen { pane, server, port: (port, _), .. } in seen {
            servers.entry(*server).or_default().entry(*pane).or_default().insert(*port);
        }
        let Vertical { enabled, ports, .. } = self.thresholds.vertical;
        let enough = |seen: &BTreeSet<u16>| *enabled && seen.len() as u64 >= *ports;
        let of_server = |(server, by_pane): (_, BTreeMap<_, _>)| {
            let stretches = stretches(&by_pane, enough).into_iter();
            stretches.map(move |panes| Scan { kind: &VERTICAL, panes, server: Some(server), port: None })
        };
        servers.into_iter().flat_map(of_server).collect()
    }

    fn horizontal(&self, seen: &[Seen<'p>]) -> Vec<Scan<'p>> {
        type Servers<'p> = BTreeMap<i64, BTreeSet<((&'p Logged, &'p str), bool)>>;
        let mut ports: BTreeMap<(u16, u8), Servers<'p>> = BTreeMap::new();
        for Seen { pane, server, port, probe, .. } in seen {
            ports.entry(*port).or_default().entry(*pane).or_default().insert((*server, probe.guarded));
        }
        let thresholds = self.thresholds.horizontal;
        let enough = |servers: &BTreeSet<((&Logged, &str), bool)>| {
            let guarded = servers.iter().filter(|(_, guarded)| *guarded).count() as u64;
            let inside = !self.external && guarded >= thresholds.protected_servers;
            thresholds.enabled && (servers.len() as u64 >= thresholds.servers || inside)
        };
        let of_port = |(port, by_pane): (_, Servers<'p>)| {
            let stretches = stretches(&by_pane, enough).into_iter();
            stretches.map(move |panes| Scan { kind: &HORIZONTAL, panes, server: None, port: Some(port) })
        };
        ports.into_iter().flat_map(of_port).collect()
    }

    /// The slow scan of the day, or of the night that begins in it.
    fn slow(&self, tried: [Option<&Tried>; 3], seen: &[Seen<'p>], fast: &[Panes]) -> Option<Scan<'p>> {
        let [before, today, after] = tried;
        let within = |(first, last): Panes| seen.iter().filter(move |seen| (first..=last).contains(&seen.pane));
        let walks = |panes: Panes, days: [Option<&Tried>; 2]| {
            let targets: BTreeSet<_> = within(panes).map(|seen| (seen.server, seen.port)).collect();
            self.walks(targets.len() as u64, contacts(days))
        };
        let is_calm = |(first, last): &Panes| !fast.iter().any(|(from, to)| from <= last && to >= first);
        let night = |begin: i64, days: [Option<&Tried>; 2]| {
            let panes = (begin, begin + PANES - 1);
            let is_known = !days.into_iter().flatten().any(|day| matches!(day.targets, Targets::Crowd(_)));
            (is_known && is_calm(&panes) && walks(panes, days)).then_some(panes)
        };
        // both of its days have something there, and nothing elsewhere
        let is_all = |(begin, end): Panes| {
            let has = |first, last| within((first, last)).next().is_some();
            has(begin, begin + NOON - 1)
                && has(begin + NOON, end)
                && !has(begin - NOON, begin - 1)
                && !has(end + 1, end + NOON)
        };
        if night(-NOON, [before, today]).is_some_and(is_all) {
            return None;
        }
        let (day, next) = ((0, PANES - 1), (PANES, 2 * PANES - 1));
        let panes = match night(NOON, [today, after]) {
            Some(night) if is_all(night) => night,
            _ if walks(day, [today, None]) => Some(day).filter(is_calm)?,
            _ if walks(next, [after, None]) => return None,
            night => night?,
        };
        let probes = || within(panes).map(|seen| seen.pane);
        Some(Scan { kind: &SLOW, panes: (probes().min()?, probes().max()?), server: None, port: None })
    }

    /// The random walk at its end: a probe more than contacts makes the odds four times as high, and four of them are
    /// past 99.
    fn walks(&self, targets: u64, contacts: usize) -> bool {
        let Slow { enabled, targets: least, lead } = self.thresholds.slow;
        *enabled && targets >= *least && targets >= contacts as u64 + lead
    }

    fn finding(&self, scan: &Scan<'_>, seen: &[Seen<'p>], contacts: usize) -> Option<Finding> {
        let mut of_scan: Vec<&Seen<'p>> = seen
            .iter()
            .filter(|seen| {
                (scan.panes.0..=scan.panes.1).contains(&seen.pane)
                    && scan.server.is_none_or(|server| server == seen.server)
                    && scan.port.is_none_or(|port| port == seen.port)
            })
            .collect();
        let servers: BTreeSet<_> = of_scan.iter().map(|seen| seen.server).collect();
        let ports: BTreeSet<_> = of_scan.iter().map(|seen| seen.port).collect();
        let rows = of_scan.iter().map(|seen| seen.probe.rows.clone()).reduce(|mut sum, rows| {
            sum.merge(&rows);
            sum
        });
        of_scan.sort_by_cached_key(|seen| seen.place());
        let first = of_scan.iter().take(EVIDENCE);
        let evidence = first.map(|Seen { probe, texts, .. }| probe.first.evidence(&probe.target, texts)).collect();
        Some(self.made(scan, rows?, evidence, [servers.len() as u64, ports.len() as u64, contacts as u64]))
    }

    /// Of a source of a crowd that lasts so long.
    fn crowd(&self, source: &Tried, texts: &[String], panes: Panes) -> Option<Finding> {
        let Targets::Crowd(crowd) = &source.targets else { return None };
        let Crowd { servers, ports, targets, rows, firsts, .. } = &**crowd;
        let (servers, ports, contacts) = (servers.count(), ports.count(), source.contacts.len());
        let Thresholds { vertical, horizontal, .. } = self.thresholds;
        let kind = match () {
            () if horizontal.enabled && servers >= horizontal.servers => &HORIZONTAL,
            () if vertical.enabled && ports >= vertical.ports => &VERTICAL,
            () if self.walks(targets.count(), contacts) => &SLOW,
            () => return None,
        };
        let scan = Scan { kind, panes, server: None, port: None };
        let mut evidence: Vec<_> = firsts.iter().map(|(target, first)| first.evidence(target, texts)).collect();
        evidence.sort();
        Some(self.made(&scan, rows.clone(), evidence, [servers, ports, contacts as u64]))
    }

    /// The finding; numbers are those of servers, ports and contacts.
    fn made(&self, scan: &Scan<'_>, rows: Rows, evidence: Vec<Evidence>, numbers: [u64; 3]) -> Finding {
        let [servers, ports, _] = numbers;
        let day = self.key.window.0.unwrap_or_default();
        let start = day + scan.panes.0 * PANE;
        let end = day + (scan.panes.1 + 1) * PANE;
        let key = Key {
            window: Window(Some(start)),
            detector: scan.kind.name.to_owned(),
            server_zone: scan.server.map(|(_, zone)| zone.to_owned()),
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
            title: title(&key, scan.panes, numbers, through),
            first_seen: rows.first_seen,
            last_seen: rows.last_seen,
            verdict: rows.verdicts.single(),
            reason: Some(self.why(scan, numbers)),
            flows: rows.flows,
            distinct_ports: Some(ports),
            distinct_servers: Some(servers),
            evidence,
            ..Finding::empty(scan.kind, &key, Some(end), conditions(&key, end).finish())
        }
    }

    /// The threshold, and what was seen.
    fn why(&self, scan: &Scan<'_>, [servers, ports, contacts]: [u64; 3]) -> String {
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
                "{}, {}, and {} that {} allowed; {slow} from midnight to midnight or noon to noon, and {lead} more than are allowed, are a scan",
                count(servers, "server"),
                count(ports, "port"),
                count(contacts, "contact"),
                if contacts == 1 { "is" } else { "are" },
            ),
        }
    }
}

fn title(key: &Key, panes: Panes, [servers, ports, _]: [u64; 3], through: bool) -> String {
    let source = client(key);
    let tried = match (&key.server_addr, key.server_port) {
        (Some(_), _) => format!("{} of {}", count(ports, "port"), server(key)),
        (None, Some(port)) => format!("port {port} of {}", count(servers, "server")),
        (None, None) => format!("{} of {}", count(ports, "port"), count(servers, "server")),
    };
    let outcome = if through { "some let it through" } else { "none let it through" };
    match key.detector.as_str() {
        "scan.slow" => {
            let when = match panes {
                (_, ..PANES) => "the day",
                (NOON.., last) if last < PANES + NOON => "the night",
                _ => "two days",
            };
            format!("{source} tried {tried} over {when}, none of which it may reach: {outcome}")
        }
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
