//! What a replay has to do: which input objects are new, in which units of work, and which old commits they replace.

use std::collections::{BTreeMap, BTreeSet};

use super::summary::Skipped;
use crate::lake::{Chain, CommitKind, MapIdentity, Store};
use crate::source::{InputObject, Sources};

/// What to do when the lake was written with another map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MapChange {
    /// Stop.
    #[default]
    Refuse,
    /// Replace what the input covers (`--overwrite`).
    Overwrite,
    /// Let the old rows keep their verdicts (`--new-map`).
    KeepOld,
}

/// Why a replay does not start.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Another map.
    #[error(
        "this lake was written with {was}, and this run uses {is}; choose: --overwrite judges what the input covers \
         again, --new-map keeps old rows as they are and judges only new input with the new map"
    )]
    OtherMap {
        /// The map of the last commit.
        was: String,
        /// The map of this run.
        is: String,
    },
    /// Overwriting would lose rows.
    #[error(
        "--overwrite replaces whole commits, and commit {commit} also holds {uri}, which is not there any more: its \
         rows would be lost; use --new-map, or replay into a new lake"
    )]
    Gone {
        /// The object that cannot be read again.
        uri: String,
        /// The commit that has it.
        commit: u64,
    },
    /// Overwriting might lose rows.
    #[error("--overwrite replaces whole commits, and commit {commit} also holds {uri}, which cannot be read: {source}")]
    Unreachable {
        /// The object that cannot be read again.
        uri: String,
        /// The commit that has it.
        commit: u64,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Objects that become one commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct UnitPlan {
    pub(super) objects: Vec<InputObject>,
    pub(super) replaces: Vec<u64>,
}

/// The whole work of a replay.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) units: Vec<UnitPlan>,
    /// Input objects that the lake has already.
    pub(super) known: u64,
    /// Lines of those that are in quarantine.
    pub(super) known_quarantined: u64,
    /// Those that could not be read to their end.
    pub(super) known_faults: u64,
    /// Objects that are not in the input, and are read again because a commit of the input's holds them.
    pub(super) drawn_in: u64,
    /// Input objects that are left alone.
    pub(super) skipped: Vec<Skipped>,
}

fn describe(map: Option<&MapIdentity>) -> String {
    let Some(map) = map else { return "no map".to_owned() };
    let short = map.sha256.get(..12).unwrap_or(&map.sha256);
    let selected =
        |name: &str, value: &Option<String>| value.as_ref().map_or(String::new(), |v| format!(", {name} {v}"));
    format!("map {} ({short}{}{})", map.name, selected("env", &map.env), selected("mode", &map.mode))
}

/// Plans a replay of these objects.
pub(super) fn plan<S: Store>(
    chain: &Chain<'_, S>,
    input: Vec<InputObject>,
    sources: &Sources,
    map: Option<&MapIdentity>,
    change: MapChange,
    unit_bytes: u64,
) -> Result<Plan, PlanError> {
    let known = chain.objects();
    if change == MapChange::Refuse {
        // the newest rows, and the rows of this very input: an --overwrite that was interrupted leaves both maps
        let last = chain.active().filter(|commit| commit.kind == CommitKind::Data).last();
        let of_input = input.iter().filter_map(|object| chain.commit(known.get(object.uri.as_str())?.0));
        if let Some(other) = of_input.chain(last).find(|commit| commit.map.as_ref() != map) {
            return Err(PlanError::OtherMap { was: describe(other.map.as_ref()), is: describe(map) });
        }
    }
    let (mut fresh, mut covered) = (Vec::new(), BTreeMap::<u64, Vec<InputObject>>::new());
    let mut plan = Plan::default();
    for object in input {
        match known.get(object.uri.as_str()) {
            None => fresh.push(object),
            Some((commit, _)) if change == MapChange::Overwrite => covered.entry(*commit).or_default().push(object),
            Some((_, entry)) if entry.identity == object.identity => {
                plan.known += 1;
                plan.known_quarantined += entry.quarantined;
                plan.known_faults += u64::from(entry.fault.is_some());
            }
            // reading it as new would double its rows
            Some(_) => plan.skipped.push(Skipped {
                uri: object.uri,
                why:
                    "it changed since it was replayed, and its old rows are in the lake; replay it with --overwrite to \
                      replace them"
                        .to_owned(),
            }),
        }
    }
    for (number, mut objects) in covered {
        // a commit is replaced whole: what else it holds is read again too
        let have: BTreeSet<String> = objects.iter().map(|object| object.uri.clone()).collect();
        let whole = chain.commit(number).map(|commit| commit.objects.as_slice()).unwrap_or_default();
        for missing in whole.iter().filter(|object| !have.contains(&object.uri)) {
            let uri = &missing.uri;
            let again = sources.again(uri);
            let again = again.map_err(|source| PlanError::Unreachable { uri: uri.clone(), commit: number, source })?;
            objects.push(again.ok_or_else(|| PlanError::Gone { uri: uri.clone(), commit: number })?);
            plan.drawn_in += 1;
        }
        plan.units.push(UnitPlan { objects, replaces: vec![number] });
    }
    let mut bytes = 0;
    let mut unit = UnitPlan::default();
    for object in fresh {
        bytes += object.size;
        unit.objects.push(object);
        if bytes >= unit_bytes {
            plan.units.push(std::mem::take(&mut unit));
            bytes = 0;
        }
    }
    if !unit.objects.is_empty() {
        plan.units.push(unit);
    }
    Ok(plan)
}
