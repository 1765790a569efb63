//! What the map allows, and what did not arrive.

use super::Unfit;
use super::script::Script;
use crate::boundary::{Verdict, ZoneId};
use crate::synth::hosts::Group;
use crate::synth::talk::{Leg, Load, Talk};

/// Lanes of one scenario.
const MOST: usize = 5;
const LACK: Unfit = "the map allows no TCP";

pub(super) fn at_source(script: &mut Script<'_>) -> Result<(), Unfit> {
    let lanes = script.lanes(|client, _| client.vpc.is_some());
    for lane in lanes.iter().take(MOST) {
        for again in 0..3 {
            let talk = script.on_lane(lane)?;
            let note = "permitted, and refused where it leaves";
            let load = Load::rejected(4, 240, 2);
            script.plant(&talk, Leg::ClientOut, load, script.moment() + 2 * again, Verdict::Outage, note);
        }
    }
    if lanes.is_empty() { Err(LACK) } else { Ok(()) }
}

pub(super) fn at_destination(script: &mut Script<'_>) -> Result<(), Unfit> {
    let lanes = script.lanes(|_, server| server.vpc.is_some());
    for lane in lanes.iter().take(MOST) {
        for again in 0..3 {
            let talk = script.on_lane(lane)?;
            let window = script.moment() + 2 * again;
            let note = "permitted, and refused where it arrives";
            script.plant(&talk, Leg::ClientOut, Load::accepted(4, 240, 2), window, Verdict::Expected, note);
            script.plant(&talk, Leg::ServerIn, Load::rejected(4, 240, 2), window, Verdict::Outage, note);
        }
    }
    if lanes.is_empty() { Err(LACK) } else { Ok(()) }
}

/// Only a stateless layer refuses replies: a network ACL without the ephemeral ports.
pub(super) fn return_path(script: &mut Script<'_>) -> Result<(), Unfit> {
    // a refused reply from the internet is taken for backscatter
    let lanes = script.lanes(|_, server| server.zone != ZoneId::INTERNET);
    for lane in lanes.iter().take(MOST) {
        for again in 0..3 {
            let talk = script.on_lane(lane)?;
            let window = script.moment() + 2 * again;
            let note = "permitted, and its replies are refused";
            let (request, reply) = (Load::accepted(4, 240, 2), Load::accepted(4, 240, 18));
            let refused = Load::rejected(4, 240, 18);
            for leg in Leg::REQUEST {
                script.plant(&talk, leg, request, window, Verdict::Expected, note);
            }
            if talk.client.interface.is_some() {
                for leg in [Leg::ServerOut, Leg::NatFromServer, Leg::NatToClient] {
                    script.plant(&talk, leg, reply, window, Verdict::Expected, note);
                }
                script.plant(&talk, Leg::ClientIn, refused, window, Verdict::Outage, note);
            } else {
                script.plant(&talk, Leg::ServerOut, refused, window, Verdict::Outage, note);
            }
        }
    }
    if lanes.is_empty() { Err(LACK) } else { Ok(()) }
}

pub(super) fn one_sided(script: &mut Script<'_>) -> Result<(), Unfit> {
    // a host that is gone answers nobody else
    let has_gone = |server: &Group| server.vpc.is_some() && !server.spare.is_empty();
    let lanes = script.lanes(|client, server| client.vpc.is_some() && has_gone(server));
    let lane = *lanes.first().ok_or("no zone of servers that another may talk to has another address")?;
    let spare = &script.groups()[lane.server].spare;
    let gone = spare[spare.len() - 1];
    for again in 0..20 {
        let talk = Talk { server: gone, ..script.on_lane(&lane)? };
        let note = "the request leaves, nobody sees it arrive, nobody answers";
        let load = Load::accepted(3, 180, 2);
        script.plant(&talk, Leg::ClientOut, load, script.moment() + 2 * again, Verdict::Expected, note);
    }
    Ok(())
}
