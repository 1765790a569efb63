//! Writes to items as DynamoDB's expressions.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::options::Work;
use super::super::record::{Condition, Lease, LeaseWrite};
use super::super::table::LeaderLock;
use super::item;

/// An update and its condition. Every attribute goes by a placeholder of its name, as some names are DynamoDB's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Expression {
    set: Vec<String>,
    remove: Vec<String>,
    when: Vec<String>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl Expression {
    fn name(&mut self, attribute: &str) -> String {
        let name = format!("#{attribute}");
        self.names.insert(name.clone(), attribute.to_owned());
        name
    }

    pub(super) fn set(mut self, attribute: &str, value: AttributeValue) -> Self {
        let name = self.name(attribute);
        self.set.push(format!("{name} = :{attribute}"));
        self.values.insert(format!(":{attribute}"), value);
        self
    }

    fn set_or_remove(self, attribute: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.set(attribute, text(value)),
            None => self.remove(attribute),
        }
    }

    fn set_all(self, attribute: &str, values: &BTreeSet<String>) -> Self {
        // a set in DynamoDB has at least one member
        if values.is_empty() { self } else { self.set(attribute, AttributeValue::Ss(values.iter().cloned().collect())) }
    }

    fn remove(mut self, attribute: &str) -> Self {
        let name = self.name(attribute);
        self.remove.push(name);
        self
    }

    fn when(mut self, attribute: &str, value: AttributeValue) -> Self {
        let name = self.name(attribute);
        self.when.push(format!("{name} = :was_{attribute}"));
        self.values.insert(format!(":was_{attribute}"), value);
        self
    }

    fn when_absent(mut self, attribute: &str) -> Self {
        let name = self.name(attribute);
        self.when.push(format!("attribute_not_exists({name})"));
        self
    }

    fn when_text(self, attribute: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.when(attribute, text(value)),
            None => self.when_absent(attribute),
        }
    }

    pub(super) fn update(&self) -> String {
        let clause = |word, parts: &[String]| (!parts.is_empty()).then(|| format!("{word} {}", parts.join(", ")));
        let clauses = [clause("SET", &self.set), clause("REMOVE", &self.remove)];
        clauses.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    pub(super) fn condition(&self) -> Option<String> {
        (!self.when.is_empty()).then(|| self.when.join(" AND "))
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

impl Expression {
    fn checkpoint(self, lease: &Lease) -> Self {
        let (sequence, sub) = lease.checkpoint.to_texts();
        self.set(item::CHECKPOINT, text(sequence))
            .set(item::CHECKPOINT_SUB, number(sub))
            .set(item::OWNER_SWITCHES, number(lease.owner_switches))
            .set_all(item::CHILDREN, &lease.children)
    }

    fn owners(self, lease: &Lease) -> Self {
        self.set_or_remove(item::LEASE_OWNER, lease.owner.as_deref())
            .set_or_remove(item::CHECKPOINT_OWNER, lease.checkpoint_owner.as_deref())
    }
}

/// Writes down what leases are for, unless that is done.
pub(super) fn work(work: &Work) -> Expression {
    let expression = Expression::default().when_absent(item::STATE_KEY);
    expression.set(item::WORK_STREAM, text(&work.stream)).set(item::WORK_LAKE, text(&work.lake))
}

/// Makes a lease that is not there.
pub(super) fn create(lease: &Lease) -> Expression {
    let expression = Expression::default()
        .when_absent(item::LEASE_KEY)
        .set(item::LEASE_COUNTER, number(lease.counter))
        .checkpoint(lease)
        .set_all(item::PARENTS, &lease.parents);
    match &lease.hash_range {
        None => expression,
        Some(range) => expression
            .set(item::HASH_START, text(&range.start().to_string()))
            .set(item::HASH_END, text(&range.end().to_string())),
    }
}

/// A write to a lease that was seen before, with its condition.
pub(super) fn write(seen: &Lease, write: &LeaseWrite) -> Expression {
    let mut then = seen.clone();
    write.apply(&mut then);
    let mut expression = Expression::default();
    let Condition { counter, owner, checkpoint_owner } = write.condition(seen);
    if let Some(counter) = counter {
        // every write with a condition on the counter moves it
        expression =
            expression.when(item::LEASE_COUNTER, number(counter)).set(item::LEASE_COUNTER, number(then.counter));
    }
    if let Some(owner) = owner {
        expression = expression.when_text(item::LEASE_OWNER, owner);
    }
    if let Some(owner) = checkpoint_owner {
        expression = expression.when_text(item::CHECKPOINT_OWNER, owner);
    }
    match write {
        LeaseWrite::Renew => expression,
        LeaseWrite::Assign { .. } => expression.owners(&then).set(item::OWNER_SWITCHES, number(then.owner_switches)),
        LeaseWrite::HandOver { .. } | LeaseWrite::Release => expression.owners(&then),
        LeaseWrite::Checkpoint { .. } => {
            item::PENDING.into_iter().fold(expression.checkpoint(&then), Expression::remove)
        }
    }
}

/// Takes or renews the leader's lock.
pub(super) fn lock(seen: Option<&str>, lock: &LeaderLock) -> Expression {
    let expression = match seen {
        Some(version) => Expression::default().when(item::LOCK_VERSION, text(version)),
        None => Expression::default().when_absent(item::STATE_KEY),
    };
    expression
        .set(item::LOCK_OWNER, text(&lock.owner))
        .set(item::LOCK_VERSION, text(&lock.version))
        .set(item::LOCK_DURATION, text(&lock.duration.as_millis().to_string()))
        .remove(item::LOCK_RELEASED)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::source::kinesis::{Checkpoint, ShardInfo};

    /// Update and condition with the placeholders filled in.
    fn filled(expression: &Expression) -> (String, String) {
        let value = |value: &AttributeValue| match value {
            AttributeValue::S(text) => format!("'{text}'"),
            AttributeValue::N(number) => number.clone(),
            AttributeValue::Ss(texts) => format!("{texts:?}"),
            other => format!("{other:?}"),
        };
        let fill = |text: &str| {
            let mut words: Vec<String> = Vec::new();
            for word in text.split_inclusive([' ', ',', '(', ')']) {
                let bare = word.trim_end_matches([' ', ',', '(', ')']);
                let filled = match bare.chars().next() {
                    Some('#') => expression.names[bare].clone(),
                    Some(':') => value(&expression.values[bare]),
                    _ => bare.to_owned(),
                };
                words.push(word.replacen(bare, &filled, 1));
            }
            words.concat()
        };
        (fill(&expression.update()), expression.condition().map_or(String::new(), |text| fill(&text)))
    }

    fn lease(owner: Option<&str>, checkpoint_owner: Option<&str>) -> Lease {
        let shard = ShardInfo {
            id: "shardId-000000000002".to_owned(),
            parents: vec!["shardId-000000000000".to_owned(), "shardId-000000000001".to_owned()],
            hash_range: Some(0..=u128::MAX),
        };
        let owner = owner.map(str::to_owned);
        let checkpoint_owner = checkpoint_owner.map(str::to_owned);
        Lease { owner, checkpoint_owner, counter: 41, owner_switches: 2, ..Lease::new(&shard, Checkpoint::TrimHorizon) }
    }

    #[test]
    fn writes_are_those_of_the_client_library() {
        let to = || "b".to_owned();
        let children = BTreeSet::from(["c".to_owned()]);
        let position = Checkpoint::from_texts("4959", 7).unwrap();
        let pending = "pendingCheckpoint, pendingCheckpointSubSequenceNumber, pendingCheckpointState";
        for (seen, made, update, condition) in [
            (
                lease(Some("a"), None),
                LeaseWrite::Renew,
                "SET leaseCounter = 42".to_owned(),
                "leaseCounter = 41 AND attribute_not_exists(checkpointOwner)",
            ),
            (lease(Some("b"), Some("a")), LeaseWrite::Renew, "SET leaseCounter = 42".to_owned(), "leaseCounter = 41"),
            (
                lease(None, None),
                LeaseWrite::Assign { to: to() },
                "SET leaseCounter = 42, leaseOwner = 'b', ownerSwitchesSinceCheckpoint = 2 REMOVE checkpointOwner"
                    .to_owned(),
                "leaseCounter = 41",
            ),
            (
                lease(Some("a"), None),
                LeaseWrite::Assign { to: to() },
                "SET leaseCounter = 42, leaseOwner = 'b', ownerSwitchesSinceCheckpoint = 3 REMOVE checkpointOwner"
                    .to_owned(),
                "leaseCounter = 41",
            ),
            (
                lease(Some("a"), None),
                LeaseWrite::HandOver { to: to() },
                "SET leaseOwner = 'b', checkpointOwner = 'a'".to_owned(),
                "leaseOwner = 'a' AND attribute_not_exists(checkpointOwner)",
            ),
            (
                lease(Some("b"), Some("a")),
                LeaseWrite::Release,
                "SET leaseCounter = 42, leaseOwner = 'b' REMOVE checkpointOwner".to_owned(),
                "leaseCounter = 41 AND leaseOwner = 'b' AND checkpointOwner = 'a'",
            ),
            (
                lease(Some("a"), None),
                LeaseWrite::Release,
                "SET leaseCounter = 42 REMOVE leaseOwner, checkpointOwner".to_owned(),
                "leaseCounter = 41 AND leaseOwner = 'a' AND attribute_not_exists(checkpointOwner)",
            ),
            (
                lease(Some("a"), None),
                LeaseWrite::Checkpoint { to: position, children: BTreeSet::new() },
                format!(
                    "SET leaseCounter = 42, checkpoint = '4959', checkpointSubSequenceNumber = 7, \
                     ownerSwitchesSinceCheckpoint = 0 REMOVE {pending}"
                ),
                "leaseCounter = 41",
            ),
            (
                lease(Some("a"), None),
                LeaseWrite::Checkpoint { to: Checkpoint::ShardEnd, children },
                format!(
                    "SET leaseCounter = 42, checkpoint = 'SHARD_END', checkpointSubSequenceNumber = 0, \
                     ownerSwitchesSinceCheckpoint = 0, childShardIds = [\"c\"] REMOVE {pending}"
                ),
                "leaseCounter = 41",
            ),
        ] {
            assert_eq!(filled(&write(&seen, &made)), (update, condition.to_owned()), "{made:?} of {seen:?}");
        }
    }

    #[test]
    fn a_new_lease_has_the_attributes_that_java_expects() {
        let seen = Lease { counter: 0, owner_switches: 0, ..lease(None, None) };
        let (update, condition) = filled(&create(&seen));
        assert_eq!(
            update,
            "SET leaseCounter = 0, checkpoint = 'TRIM_HORIZON', checkpointSubSequenceNumber = 0, \
             ownerSwitchesSinceCheckpoint = 0, parentShardId = [\"shardId-000000000000\", \"shardId-000000000001\"], \
             startingHashKey = '0', endingHashKey = '340282366920938463463374607431768211455'"
        );
        assert_eq!(condition, "attribute_not_exists(leaseKey)");
    }

    #[test]
    fn the_lock_is_that_of_the_lock_client() {
        let taken = LeaderLock {
            owner: "w".to_owned(),
            version: "w-2".to_owned(),
            duration: Duration::from_secs(10),
            released: false,
        };
        let update = "SET ownerName = 'w', recordVersionNumber = 'w-2', leaseDuration = '10000' REMOVE isReleased";
        assert_eq!(filled(&lock(None, &taken)), (update.to_owned(), "attribute_not_exists(key)".to_owned()));
        assert_eq!(filled(&lock(Some("w-1"), &taken)), (update.to_owned(), "recordVersionNumber = 'w-1'".to_owned()));
    }
}
