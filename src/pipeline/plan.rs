//! What a replay has to do: which input objects are new, in which units of work, and which old commits they replace.

use std::collections::{BTreeMap, BTreeSet};

use crate::lake::{Chain, CommitKind, MapIdentity, Store};
use crate::source::file::InputObject;

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
    /// A file that is in the lake has another content now.
    #[error(
        "{uri} changed since it was replayed (commit {commit}); its old rows are in the lake: replay it with \
         --overwrite to replace them"
    )]
    Changed {
        /// The object.
        uri: String,
        /// The commit that has it.
        commit: u64,
    },
    /// Overwriting would lose rows.
    #[error(
        "--overwrite replaces whole commits, and commit {commit} also holds {uri}, which is not in the input; add it \
         to the input, or use --new-map"
    )]
    NotCovered {
        /// The object that is missing from the input.
        uri: String,
        /// The commit that has it.
        commit: u64,
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
    pub(super) known: usize,
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
    map: Option<&MapIdentity>,
    change: MapChange,
    unit_bytes: u64,
) -> Result<Plan, PlanError> {
    let written = chain.active().filter(|commit| commit.kind == CommitKind::Data).last();
    if let Some(last) = written.filter(|last| last.map.as_ref() != map && change == MapChange::Refuse) {
        return Err(PlanError::OtherMap { was: describe(last.map.as_ref()), is: describe(map) });
    }
    let known = chain.objects();
    let (mut fresh, mut covered) = (Vec::new(), BTreeMap::<u64, Vec<InputObject>>::new());
    let mut plan = Plan::default();
    for object in input {
        match known.get(object.uri.as_str()) {
            None => fresh.push(object),
            Some((commit, _)) if change == MapChange::Overwrite => covered.entry(*commit).or_default().push(object),
            Some((_, identity)) if *identity == object.identity => plan.known += 1,
            Some((commit, _)) => return Err(PlanError::Changed { uri: object.uri, commit: *commit }),
        }
    }
    for (number, objects) in covered {
        let have: BTreeSet<&str> = objects.iter().map(|object| object.uri.as_str()).collect();
        let whole = chain.commit(number).map(|commit| commit.objects.as_slice()).unwrap_or_default();
        if let Some(missing) = whole.iter().find(|object| !have.contains(object.uri.as_str())) {
            return Err(PlanError::NotCovered { uri: missing.uri.clone(), commit: number });
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
