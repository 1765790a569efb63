//! What a check finds.

/// A promise of the lake that a check can test. (I3, I8 and I9 cannot be seen in a lake.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Every record is published exactly once.
    I1,
    /// A chain has no gap and no overlap.
    I2,
    /// A shard's data only after its parents' end.
    I4,
    /// What is visible is the union of the commits, and staging drains.
    I5,
    /// Lines in = rows out + quarantined, and packets and bytes are conserved.
    I6,
    /// Alerts are unique, their revisions without gap, and nothing that was gathered is passed over.
    I7,
}

impl Invariant {
    /// Its name in code, docs and tests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I1 => "I1",
            Self::I2 => "I2",
            Self::I4 => "I4",
            Self::I5 => "I5",
            Self::I6 => "I6",
            Self::I7 => "I7",
        }
    }

    /// What it promises.
    pub const fn promise(self) -> &'static str {
        match self {
            Self::I1 => "every record is published exactly once",
            Self::I2 => "a chain has no gap and no overlap",
            Self::I4 => "a shard's data only after its parents' end",
            Self::I5 => "what is visible is the union of the commits, and staging drains",
            Self::I6 => "lines in = rows out + quarantined, and packets and bytes are conserved",
            Self::I7 => "alerts are unique, their revisions without gap, and nothing gathered is passed over",
        }
    }
}

/// Whether a finding breaks a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It does.
    Error,
    /// It does not; it is as a writer at work leaves it, or worth knowing.
    Note,
}

impl Level {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Note => "note",
        }
    }
}

/// One thing that is not as promised.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The promise.
    pub invariant: Invariant,
    /// How bad it is.
    pub level: Level,
    /// The file or folder, seen from the lake's root.
    pub path: String,
    /// What is wrong with it: a lowercase fragment.
    pub what: String,
    /// What to do: a lowercase fragment.
    pub hint: &'static str,
    /// A writer at work may have it so for a moment.
    pub(super) passing: bool,
}

impl Finding {
    pub(super) fn error(
        invariant: Invariant,
        path: impl Into<String>,
        what: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self { invariant, level: Level::Error, path: path.into(), what: what.into(), hint, passing: false }
    }

    /// It is found again after a pause, or it was a writer at work.
    pub(super) fn or_passing(self) -> Self {
        Self { passing: true, ..self }
    }

    pub(super) fn note(self) -> Self {
        Self { level: Level::Note, ..self }
    }
}

/// What to do about it, in the words of every finding of a kind.
pub(super) mod hints {
    pub(in super::super) const REPAIR: &str = "flowbound lake check --repair finishes what a crash left";
    pub(in super::super) const RESTORE: &str =
        "bring it back from a copy of the lake; without one, build the lake anew from its input";
    pub(in super::super) const FOREIGN: &str = "move it out of the lake: no query knows that it does not belong there";
    pub(in super::super) const REBUILD: &str =
        "build the lake anew from its input, and please report this: flowbound never writes such a lake";
    pub(in super::super) const NOTHING: &str = "nothing: a writer at work publishes it; what a crash left goes when the lake is next written, or by --repair of \
         a lake in a folder";
    pub(in super::super) const DELIVER: &str =
        "a replay or a stream with this sink in its config delivers them; of a sink that is no more, delete the folder";
    pub(in super::super) const TWO_WAYS: &str =
        "keep one source of a record in a lake: traffic that came by two ways is better kept in two lakes";
}
