//! Items of the tables, as the Kinesis Client Library writes them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::options::Work;
use super::super::record::Lease;
use super::super::table::{LeaderLock, WorkerBeat};
use crate::source::kinesis::Checkpoint;

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const LEASE_KEY: &str = "leaseKey";
pub(super) const LEASE_OWNER: &str = "leaseOwner";
pub(super) const LEASE_COUNTER: &str = "leaseCounter";
pub(super) const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const CHECKPOINT_SUB: &str = "checkpointSubSequenceNumber";
pub(super) const PENDING: [&str; 3] =
    ["pendingCheckpoint", "pendingCheckpointSubSequenceNumber", "pendingCheckpointState"];
pub(super) const PARENTS: &str = "parentShardId";
pub(super) const CHILDREN: &str = "childShardIds";
pub(super) const HASH_START: &str = "startingHashKey";
pub(super) const HASH_END: &str = "endingHashKey";
pub(super) const CHECKPOINT_OWNER: &str = "checkpointOwner";
/// What the item is; those of older libraries, which know leases alone, do not say.
const ENTITY_TYPE: &str = "entityType";
/// Only in tables of applications that read many streams.
const STREAM_NAME: &str = "streamName";

pub(super) const WORKER: &str = "wid";
pub(super) const BEAT: &str = "lut";

pub(super) const STATE_KEY: &str = "key";
pub(super) const LOCK_OWNER: &str = "ownerName";
pub(super) const LOCK_VERSION: &str = "recordVersionNumber";
pub(super) const LOCK_DURATION: &str = "leaseDuration";
pub(super) const LOCK_RELEASED: &str = "isReleased";
pub(super) const WORK_STREAM: &str = "stream";
pub(super) const WORK_LAKE: &str = "lake";

fn text<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// A lease; `None` if the item is something else, `Err` with what is wrong and where.
pub(super) fn to_lease(item: &Item) -> Result<Option<Lease>, String> {
    if text(item, ENTITY_TYPE).is_some_and(|entity| entity != "LEASE") {
        return Ok(None);
    }
    let shard = text(item, LEASE_KEY).ok_or("an item has no leaseKey")?;
    if item.contains_key(STREAM_NAME) {
        return Err(format!("the lease {shard} is of an application that reads many streams"));
    }
    let wrong = |name: &str| format!("{name} of the lease {shard} is {:?}", item.get(name));
    let number = |name: &str| match item.get(name) {
        None => Ok(0),
        Some(value) => value.as_n().ok().and_then(|number| number.parse().ok()).ok_or_else(|| wrong(name)),
    };
    let word = |name: &str| match item.get(name) {
        None => Ok(None),
        Some(value) => value.as_s().map(|text| Some(text.clone())).map_err(|_| wrong(name)),
    };
    let words = |name: &str| match item.get(name) {
        None => Ok(BTreeSet::new()),
        Some(value) => value.as_ss().map(|texts| texts.iter().cloned().collect()).map_err(|_| wrong(name)),
    };
    let hash_key = |name: &str| match word(name)? {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| wrong(name)),
    };
    let checkpoint = text(item, CHECKPOINT).ok_or_else(|| wrong(CHECKPOINT))?;
    let checkpoint = Checkpoint::from_texts(checkpoint, number(CHECKPOINT_SUB)?).map_err(|_| wrong(CHECKPOINT))?;
    let start: Option<u128> = hash_key(HASH_START)?;
    Ok(Some(Lease {
        shard: shard.to_owned(),
        owner: word(LEASE_OWNER)?,
        counter: number(LEASE_COUNTER)?,
        owner_switches: number(OWNER_SWITCHES)?,
        checkpoint,
        checkpoint_owner: word(CHECKPOINT_OWNER)?,
        parents: words(PARENTS)?,
        children: words(CHILDREN)?,
        hash_range: start.zip(hash_key(HASH_END)?).map(|(start, end)| start..=end),
    }))
}

/// A worker's sign of life; `None` if the item is not one.
pub(super) fn to_worker(item: &Item) -> Option<WorkerBeat> {
    let beat = item.get(BEAT)?.as_n().ok()?.parse().ok()?;
    Some(WorkerBeat { worker: text(item, WORKER)?.to_owned(), beat })
}

/// What the leases are for; `None` if the item does not say it.
pub(super) fn to_work(item: &Item) -> Option<Work> {
    Some(Work { stream: text(item, WORK_STREAM)?.to_owned(), lake: text(item, WORK_LAKE)?.to_owned() })
}

/// The leader's lock; `None` if the item is not one.
pub(super) fn to_lock(item: &Item) -> Option<LeaderLock> {
    Some(LeaderLock {
        owner: text(item, LOCK_OWNER)?.to_owned(),
        version: text(item, LOCK_VERSION)?.to_owned(),
        duration: Duration::from_millis(text(item, LOCK_DURATION)?.parse().ok()?),
        released: item.contains_key(LOCK_RELEASED),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn n(number: &str) -> AttributeValue {
        AttributeValue::N(number.to_owned())
    }

    fn ss(texts: &[&str]) -> AttributeValue {
        AttributeValue::Ss(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    fn item(attributes: &[(&str, AttributeValue)]) -> Item {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn a_lease_of_the_client_library_is_read() {
        // of a Java worker in a hand-over, all attributes there
        let whole = item(&[
            ("leaseKey", s("shardId-000000000002")),
            ("leaseOwner", s("next")),
            ("leaseCounter", n("41")),
            ("ownerSwitchesSinceCheckpoint", n("2")),
            ("checkpoint", s("49590338271490256608559692538361571095921575989136588898")),
            ("checkpointSubSequenceNumber", n("7")),
            ("pendingCheckpoint", s("TRIM_HORIZON")),
            ("parentShardId", ss(&["shardId-000000000001", "shardId-000000000000"])),
            ("childShardIds", ss(&["shardId-000000000003"])),
            ("startingHashKey", s("0")),
            ("endingHashKey", s("340282366920938463463374607431768211455")),
            ("throughputKBps", n("1.5")),
            ("checkpointOwner", s("present")),
            ("entityType", s("LEASE")),
            ("somethingNew", AttributeValue::Bool(true)),
        ]);
        let lease = to_lease(&whole).unwrap().unwrap();
        assert_eq!(
            lease,
            Lease {
                shard: "shardId-000000000002".to_owned(),
                owner: Some("next".to_owned()),
                counter: 41,
                owner_switches: 2,
                checkpoint: Checkpoint::from_texts("49590338271490256608559692538361571095921575989136588898", 7)
                    .unwrap(),
                checkpoint_owner: Some("present".to_owned()),
                parents: ["shardId-000000000000", "shardId-000000000001"].map(str::to_owned).into(),
                children: ["shardId-000000000003".to_owned()].into(),
                hash_range: Some(0..=u128::MAX),
            }
        );
        assert_eq!(lease.actual_owner(), Some("present"));
    }

    #[test]
    fn what_may_be_missing_may_be_missing() {
        for (word, checkpoint) in [
            ("TRIM_HORIZON", Checkpoint::TrimHorizon),
            ("LATEST", Checkpoint::Latest),
            ("AT_TIMESTAMP", Checkpoint::AtTimestamp),
            ("SHARD_END", Checkpoint::ShardEnd),
        ] {
            let lease = to_lease(&item(&[("leaseKey", s("shardId-0")), ("checkpoint", s(word))])).unwrap().unwrap();
            assert_eq!(lease.checkpoint, checkpoint);
            assert_eq!((lease.owner, lease.counter, lease.hash_range), (None, 0, None));
        }
    }

    #[test]
    fn items_that_are_no_leases_are_passed_over() {
        for entity in ["STREAM", "LEADER", "CLIENT_VERSION_MIGRATION", "TABLE_MIGRATION", "WORKER_METRIC_STATS"] {
            let other = item(&[("leaseKey", s("Leader")), ("entityType", s(entity)), ("lut", n("1"))]);
            assert_eq!(to_lease(&other), Ok(None), "{entity}");
        }
    }

    #[test]
    fn a_table_that_cannot_be_shared_is_refused_by_name() {
        let base = [("leaseKey", s("shardId-7")), ("checkpoint", s("LATEST"))];
        for (wrong, expected) in [
            (("streamName", s("flows")), "shardId-7"),
            (("checkpoint", s("latest")), "checkpoint of the lease shardId-7"),
            (("leaseCounter", n("-1")), "leaseCounter of the lease shardId-7"),
            (("leaseCounter", s("1")), "leaseCounter"),
            (("leaseOwner", n("1")), "leaseOwner"),
            (("parentShardId", s("shardId-1")), "parentShardId"),
            (("endingHashKey", s("x")), "endingHashKey"),
        ] {
            let mut attributes = base.to_vec();
            attributes.extend([("startingHashKey", s("0")), wrong]);
            let detail = to_lease(&item(&attributes)).unwrap_err();
            assert!(detail.contains(expected), "{detail}");
        }
        assert!(to_lease(&item(&[("leaseKey", s("x"))])).is_err(), "no checkpoint");
        assert!(to_lease(&item(&[("wid", s("x"))])).is_err(), "no key");
    }

    #[test]
    fn workers_and_the_lock_are_read() {
        let worker = item(&[("wid", s("w")), ("lut", n("1763735000")), ("sts", AttributeValue::M(HashMap::new()))]);
        assert_eq!(to_worker(&worker), Some(WorkerBeat { worker: "w".to_owned(), beat: 1_763_735_000 }));
        assert_eq!(to_worker(&item(&[("wid", s("w"))])), None);
        let mut attributes = vec![
            ("key", s("Leader")),
            ("ownerName", s("java")),
            ("recordVersionNumber", s("0f9a")),
            ("leaseDuration", s("120000")),
        ];
        let lock = to_lock(&item(&attributes)).unwrap();
        assert_eq!((lock.owner.as_str(), lock.version.as_str(), lock.released), ("java", "0f9a", false));
        assert_eq!(lock.duration, Duration::from_secs(120));
        attributes.push(("isReleased", s("1")));
        assert!(to_lock(&item(&attributes)).unwrap().released);
        assert_eq!(to_lock(&item(&[("key", s("Migration3.0"))])), None);
    }
}
