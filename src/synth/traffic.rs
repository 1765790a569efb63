//! Ordinary life: what the map allows, and the noise that every real log has.
//!
//! Per window of one minute: what the map expects to see, what long conversations go on sending, then new conversations,
//! some late packets and blocked probes, then the heartbeats of interfaces that had nothing to tell. Memory does not grow with the number of
//! records: only the long conversations are kept, and only so many.

use super::dice::Dice;
use super::hosts::{End, role};
use super::lanes::{Lane, Lanes};
use super::network::{ICMP, ICMP_V6, Network, TCP};
use super::options::WINDOW;
use super::record::{Body, Record};
use super::talk::{Leg, Load, Talk};
use crate::boundary::model::{Expect, ExpectSubject, Role};
use crate::boundary::{Verdict, ZoneId};
use crate::record::Action;

/// Most records that one window of one conversation has: a request and a reply on up to four interfaces.
const LEGS: u64 = 8;
/// Most conversations that go on for more than one window.
const MOST_LONG: usize = 512;
/// Out of a thousand new things: late packets, blocked probes; the rest are conversations.
const LATE: u64 = 25;
const PROBES: u64 = 35;
/// One conversation in so many goes on beyond its window.
const LONG_ONE_IN: u64 = 12;
/// At most one record in so many is a heartbeat.
const HEARTBEAT_SHARE: u64 = 8;
/// Ports that the internet knocks at.
const PROBED: [u16; 10] = [22, 23, 80, 443, 445, 3389, 5432, 6379, 8080, 9200];

/// A conversation that goes on.
struct Long {
    talk: Talk,
    windows_left: u64,
    packets: u64,
    bytes_per_packet: u64,
}

/// One minute to fill.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) index: u64,
    /// Seconds.
    pub(super) start: i64,
    /// Records to write in it.
    pub(super) budget: u64,
    /// No other follows: the budget is used up.
    pub(super) last: bool,
}

/// The generator of ordinary traffic.
pub(super) struct Traffic<'n> {
    network: &'n Network<'n>,
    lanes: Lanes,
    dice: Dice,
    long: Vec<Long>,
    /// What the map expects to see, and every how many windows it is shown: twice in each period.
    expected: Vec<(Lane, u64)>,
    /// Places that the internet may knock at without an alert: server and port.
    doors: Vec<(End, u16)>,
    /// Hosts of the internet that knock.
    knockers: Vec<End>,
    /// For each interface, the window after the last one in which it wrote a record.
    seen: Vec<u64>,
    /// Interfaces that send heartbeats.
    beating: Vec<u32>,
}

impl<'n> Traffic<'n> {
    pub(super) fn new(network: &'n Network<'n>, lanes: Lanes, seed: u64) -> Self {
        let internet = network.hosts.groups.iter().filter(|group| group.zone == ZoneId::INTERNET && !group.v6);
        let knockers: Vec<End> = internet.flat_map(|group| group.ends.iter().copied()).collect();
        let beating = (0_u32..).zip(&network.hosts.interfaces).filter(|(_, interface)| interface.beats);
        Self {
            doors: doors(network, &lanes, &knockers),
            expected: expected(network, &lanes),
            beating: beating.map(|(index, _)| index).collect(),
            seen: vec![0; network.hosts.interfaces.len()],
            dice: Dice::new(seed, "traffic"),
            long: Vec::new(),
            network,
            lanes,
            knockers,
        }
    }

    /// Tells that an interface has a record in this window that somebody else writes: it is not idle.
    pub(super) fn saw(&mut self, interface: u32, window: u64) {
        self.seen[interface as usize] = window + 1;
    }

    /// Writes the records of a window; at most its budget, and exactly that if it is the last.
    pub(super) fn window<E>(
        &mut self,
        window: Window,
        sink: &mut impl FnMut(&Record, Verdict) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut out = Filler { window, written: 0, sink };
        // every interface in turn, so that none is silent for long
        let every = (self.beating.len() as u64 * HEARTBEAT_SHARE).div_ceil(window.budget.max(1)).max(1);
        let due = |index: u32| (u64::from(index) + window.index).is_multiple_of(every);
        let reserved = match window.last {
            true => 0,
            false => self.beating.iter().filter(|index| due(**index)).count() as u64,
        };
        let for_traffic = window.budget.saturating_sub(reserved);

        self.show_expected(&mut out, for_traffic)?;
        self.go_on(&mut out, for_traffic / 2)?;
        // a conversation that does not fit waits for the next window, but in the last one it is cut
        let room = if window.last { 1 } else { LEGS };
        let mut idle = 0;
        while out.written + room <= for_traffic && idle < 64 {
            let before = out.written;
            self.something_new(&mut out, for_traffic)?;
            idle = if out.written == before { idle + 1 } else { 0 };
        }
        for index in 0..self.beating.len() {
            let interface = self.beating[index];
            let idle = self.seen[interface as usize] <= window.index;
            if idle && due(interface) && out.written < window.budget {
                out.heartbeat(interface)?;
            }
        }
        // a map without any lane has nothing but heartbeats to fill the last window
        while window.last && out.written < window.budget {
            let Some(interface) = self.dice.pick(&self.beating) else { break };
            out.heartbeat(*interface)?;
        }
        Ok(out.written)
    }

    fn show_expected<E>(
        &mut self,
        out: &mut Filler<'_, impl FnMut(&Record, Verdict) -> Result<(), E>>,
        limit: u64,
    ) -> Result<(), E> {
        for place in 0..self.expected.len() {
            let (lane, every) = self.expected[place];
            if out.window.index.is_multiple_of(every)
                && let Some(talk) = lane.talk(self.network, &mut self.dice)
            {
                let (request, reply) = self.loads(&talk);
                self.converse(&talk, request, reply, out, limit)?;
            }
        }
        Ok(())
    }

    /// The long conversations go on; half of the window at most.
    fn go_on<E>(
        &mut self,
        out: &mut Filler<'_, impl FnMut(&Record, Verdict) -> Result<(), E>>,
        limit: u64,
    ) -> Result<(), E> {
        let mut long = std::mem::take(&mut self.long);
        for conversation in &mut long {
            if out.written + LEGS > limit {
                break;
            }
            conversation.windows_left -= 1;
            // only the last window sees the FIN
            let flags = u8::from(conversation.windows_left == 0 && conversation.talk.protocol == TCP);
            let packets = 1 + self.dice.between(conversation.packets / 2, conversation.packets);
            let request = Load::accepted(packets, packets * 60, flags);
            let reply = Load::accepted(packets, packets * conversation.bytes_per_packet, flags);
            self.converse(&conversation.talk, request, reply, out, limit)?;
        }
        long.retain(|conversation| conversation.windows_left > 0);
        self.long = long;
        Ok(())
    }

    fn something_new<E>(
        &mut self,
        out: &mut Filler<'_, impl FnMut(&Record, Verdict) -> Result<(), E>>,
        limit: u64,
    ) -> Result<(), E> {
        match self.dice.below(1000) {
            throw if throw < PROBES && !self.doors.is_empty() => self.probe(out),
            throw => {
                let Some(lane) = self.lanes.next(&mut self.dice) else { return self.probe(out) };
                let Some(talk) = lane.talk(self.network, &mut self.dice) else { return Ok(()) };
                let late = PROBES..PROBES + LATE;
                if late.contains(&throw) && lane.protocol == TCP {
                    return self.late_packet(&lane, &talk, out);
                }
                let (request, reply) = self.loads(&talk);
                self.converse(&talk, request, reply, out, limit)
            }
        }
    }

    /// Sizes and flags of a new conversation, which may be the beginning of a long one.
    fn loads(&mut self, talk: &Talk) -> (Load, Load) {
        let dice = &mut self.dice;
        match talk.protocol {
            ICMP | ICMP_V6 => {
                let packets = dice.between(1, 5);
                (Load::accepted(packets, packets * 84, 0), Load::accepted(packets, packets * 84, 0))
            }
            TCP => {
                let packets = dice.between(4, 12) + dice.heavy(1, 14);
                let answer = dice.between(3, 10) + dice.heavy(1, 16);
                let per_packet = dice.between(60, 1400);
                let goes_on = dice.one_in(LONG_ONE_IN) && self.long.len() < MOST_LONG;
                let flags = match dice.below(40) {
                    _ if goes_on => (2, 18),
                    // the client breaks off, the server breaks off
                    0 => (6, 18),
                    1 => (2, 22),
                    _ => (3, 19),
                };
                if goes_on {
                    self.long.push(Long {
                        talk: *talk,
                        windows_left: dice.heavy(2, 8),
                        packets: packets.min(5000),
                        bytes_per_packet: per_packet,
                    });
                }
                (
                    Load::accepted(packets, packets * dice.between(52, 180), flags.0),
                    Load::accepted(answer, answer * per_packet, flags.1),
                )
            }
            _ => {
                let packets = dice.between(1, 4);
                let per_packet = dice.between(60, 300);
                (Load::accepted(packets, packets * 70, 0), Load::accepted(packets, packets * per_packet, 0))
            }
        }
    }

    /// One window of a conversation, as every interface on its way records it.
    fn converse<E>(
        &mut self,
        talk: &Talk,
        request: Load,
        reply: Load,
        out: &mut Filler<'_, impl FnMut(&Record, Verdict) -> Result<(), E>>,
        limit: u64,
    ) -> Result<(), E> {
        let (start, end) = out.moment(&mut self.dice);
        for (legs, load) in [(Leg::REQUEST, request), (Leg::REPLY, reply)] {
            for leg in legs {
                if out.written >= limit {
                    return Ok(());
                }
                self.leg(talk, leg, load, (start, end), Verdict::Expected, out)?;
            }
        }
        Ok(())
    }

    /// A packet that comes after its connection was closed: refused, and no harm.
    fn late_packet<E>(
        &mut self,
        lane: &Lane,
        talk: &Talk,
        out: &mut Filler<'_, impl FnMut(&Record, Verdict) -> Result<(), E>>,
    ) -> Result<(), E> {
        let packets = self.dice.between(1, 3);
        let flags = *self.dice.pick(&[0, 1, 4]).unwrap_or(&0);
        // a reply from a port that tells nothing would be taken for a probe
        let telling = lane.port < 1024 || self.network.is_narrow(lane.protocol, lane.port);
        let leg = match (talk.client.interface, telling) {
            (Some(_), true) => Leg::ClientIn,
            (Some(_), false) => Leg::ClientOut,
            (None, _) => Leg::ServerIn,
        };
        let load = Load::rejected(packets, packets * 52, flags);
        let moment = out.moment(&mut self.dice);
        self.leg(talk, leg, load, moment, Verdict::Stray, out)
    }

    /// The internet knocks where it always knocks.
    fn probe<E>(&mut self, out: &mut Filler<'_, impl FnMut(&Record, Verdict) -> Result<(), E>>) -> Result<(), E> {
        let (Some((server, port)), Some(client)) = (self.dice.pick(&self.doors), self.dice.pick(&self.knockers)) else {
            return Ok(());
        };
        let (client, server, port) = (*client, *server, *port);
        let client_port = self.network.client_port(&mut self.dice, TCP, false);
        let talk = Talk { client, server, protocol: TCP, client_port, port, nat: None };
        let moment = out.moment(&mut self.dice);
        self.leg(&talk, Leg::ServerIn, Load::rejected(1, 44, 2), moment, Verdict::Blocked, out)
    }

    fn leg<E>(
        &mut self,
        talk: &Talk,
        leg: Leg,
        load: Load,
        (start, end): (i64, i64),
        verdict: Verdict,
        out: &mut Filler<'_, impl FnMut(&Record, Verdict) -> Result<(), E>>,
    ) -> Result<(), E> {
        let Some((interface, flow)) = talk.flow(&self.network.hosts, leg, load) else { return Ok(()) };
        self.seen[interface as usize] = out.window.index + 1;
        out.write(&Record { interface, start, end, body: Body::Flow(flow) }, verdict)
    }
}

/// Counts what is written in a window.
struct Filler<'s, S> {
    window: Window,
    written: u64,
    sink: &'s mut S,
}

impl<S> Filler<'_, S> {
    /// Start and end of some traffic in the window.
    fn moment(&self, dice: &mut Dice) -> (i64, i64) {
        let start = dice.below(WINDOW as u64 - 5);
        let end = dice.between(start, WINDOW as u64 - 1);
        (self.window.start + start as i64, self.window.start + end as i64)
    }

    fn write<E>(&mut self, record: &Record, verdict: Verdict) -> Result<(), E>
    where
        S: FnMut(&Record, Verdict) -> Result<(), E>,
    {
        self.written += 1;
        (self.sink)(record, verdict)
    }

    fn heartbeat<E>(&mut self, interface: u32) -> Result<(), E>
    where
        S: FnMut(&Record, Verdict) -> Result<(), E>,
    {
        let (start, end) = (self.window.start, self.window.start + WINDOW - 1);
        self.write(&Record { interface, start, end, body: Body::NoData }, Verdict::NoData)
    }
}

/// A lane for each expectation of the map that there is traffic, if the map allows any.
fn expected(network: &Network<'_>, lanes: &Lanes) -> Vec<(Lane, u64)> {
    let map = network.map();
    let wanted = map.expects.iter().filter(|expect| expect.min_flows.is_some_and(|least| least > 0));
    let lane_of = |expect: &Expect| {
        let (from, to, service) = match &expect.subject {
            ExpectSubject::Path { action: Some(Action::Reject), .. } => return None,
            ExpectSubject::Path { from, to, service, .. } => (from, to, service),
            ExpectSubject::Rule(id) => {
                let rule = map.rules.iter().find(|rule| rule.id == *id && network.takes_part(&rule.when))?;
                (&rule.from, &rule.to, &rule.service)
            }
        };
        let (clients, servers) = (network.groups_in(from), network.groups_in(to));
        let ports = network.ports_of(service);
        let fits = |lane: &&Lane| {
            clients.contains(&lane.client)
                && servers.contains(&lane.server)
                && ports.contains(&(lane.protocol, lane.port))
        };
        let lane = lanes.all.iter().find(fits)?;
        Some((*lane, (u64::from(expect.every?) / WINDOW as u64 / 2).max(1)))
    };
    wanted.filter_map(lane_of).collect()
}

/// Where the internet may knock without an alert: ends that face it, and that the map does not protect.
fn doors(network: &Network<'_>, lanes: &Lanes, knockers: &[End]) -> Vec<(End, u16)> {
    let groups = &network.hosts.groups;
    let Some(knocker) = knockers.first() else { return Vec::new() };
    let is_nat = |zone| role(network.map(), zone) == Some(Role::Nat);
    let faces = |index: usize| {
        is_nat(groups[index].zone)
            || lanes.all.iter().any(|lane| lane.server == index && groups[lane.client].zone == ZoneId::INTERNET)
    };
    let facing = (0..groups.len()).filter(|index| {
        groups[*index].vpc.is_some()
            && !groups[*index].v6
            && faces(*index)
            && !network.boundary.is_protected(groups[*index].zone)
    });
    let mut doors = Vec::new();
    for group in facing.map(|index| &groups[index]) {
        for (end, port) in group.ends.iter().flat_map(|end| PROBED.map(|port| (end, port))) {
            let shut = end.vpc.is_some_and(|vpc| !network.standing(vpc, knocker, end, TCP, port).allow);
            if shut || is_nat(group.zone) {
                doors.push((*end, port));
            }
        }
    }
    doors
}
