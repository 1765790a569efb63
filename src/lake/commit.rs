//! A commit: what one unit of work added to the lake, in one small file that is created or not, never half.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::LakeError;
use super::flow_file::Conserved;
use crate::boundary::Boundary;

/// Version of the format of commits and state files.
const COMMIT_VERSION: u32 = 1;

/// What a commit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitKind {
    /// Rows of input objects, and what the detectors gathered from them.
    Data,
    /// Alerts of the windows that were open.
    Close,
    /// The rows of the files that it removes, in fewer files.
    Compact,
    /// Nothing: it keeps earlier writers of the chain from committing.
    Fence,
}

/// The map under which rows were judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapIdentity {
    /// Its name.
    pub name: String,
    /// SHA-256 over its files.
    pub sha256: String,
    /// The environment that was selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The mode that was selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

impl MapIdentity {
    /// That of this map and selection.
    pub fn of(boundary: &Boundary) -> Self {
        let (map, selected) = (boundary.map(), boundary.selection());
        Self {
            name: map.name.clone(),
            sha256: map.sha256.clone(),
            env: selected.env.clone(),
            mode: selected.mode.clone(),
        }
    }
}

/// An input object that is in the lake: listed once, never read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// URI: `file://` with the canonical path, or `s3://bucket/key`.
    pub uri: String,
    /// What tells one content of the object from another: size and time of change, or an ETag.
    pub identity: String,
    /// Lines that were records or should have been.
    pub lines: u64,
    /// Lines in quarantine.
    pub quarantined: u64,
    /// Why the object could not be read to its end, if it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Where the reading of a shard is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardPosition {
    /// Sequence number of the last record read.
    pub sequence: String,
    /// Number of its last user record, where it is an aggregate; else 0.
    pub sub: u64,
}

/// The records of a shard that a commit holds: those after `start`, up to `end`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSpan {
    /// ARN of the stream.
    pub stream: String,
    /// Id of the shard.
    pub shard: String,
    /// The shards that it came from by a split or a merge, as far as was known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// The end of the commit before; none in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<ShardPosition>,
    /// Where to read on; none as long as nothing was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<ShardPosition>,
    /// When the reading began with what came from then on, and nothing was read yet: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// The shard is closed, and this is the last of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// When the last record came to the stream: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<i64>,
    /// Kinesis records.
    pub records: u64,
    /// Lines in them that were records of flows or should have been.
    pub lines: u64,
    /// Lines in quarantine.
    pub quarantined: u64,
}

impl ShardSpan {
    /// The span of nothing that follows this one.
    pub fn carried_on(&self) -> Self {
        Self { start: self.end.clone(), records: 0, lines: 0, quarantined: 0, ..self.clone() }
    }
}

/// A file that a commit adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it was staged.
    pub staged: String,
    /// Its final name.
    pub path: String,
    /// Rows, or lines.
    pub rows: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// What a commit that closes windows over many chains knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Number of the last commit of each chain whose state is merged.
    pub seen: BTreeMap<String, u64>,
    /// Chains of shards that ended, of which all is merged.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ended: BTreeSet<String>,
    /// Files with the merged state, by the folder of their day.
    pub merged: BTreeMap<String, Vec<String>>,
    /// Folders of days of which a file is lost: nothing is made of the others before it is back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lost: BTreeSet<String>,
}

impl Closing {
    /// The shards of [`Self::ended`].
    pub fn ended_shards(&self) -> BTreeSet<String> {
        self.ended.iter().filter_map(|chain| chain.rsplit_once('.')).map(|(_, shard)| shard.to_owned()).collect()
    }
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Version of this format.
    pub version: u32,
    /// Place in the chain, from 1, without a gap.
    pub number: u64,
    /// Who wrote it: each opening of a chain has its own.
    #[serde(default)]
    pub nonce: String,
    /// Version of the program that wrote it.
    pub program: String,
    /// What it is for.
    pub kind: CommitKind,
    /// The map, if one was used.
    pub map: Option<MapIdentity>,
    /// Input objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectEntry>,
    /// Records of a shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardSpan>,
    /// Of a commit that closes windows over many chains: what it has seen of each, and where the state of each day is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
    /// Files: tables, quarantine and state.
    pub files: Vec<FileEntry>,
    /// Commits whose rows this one replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<u64>,
    /// Final names of files that go when this commit is published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removes: Vec<String>,
    /// Rows in `flows`, and the sums of their packets and bytes (text: they may pass 64 bits).
    pub rows: u64,
    /// Sum of the packets.
    pub packets: String,
    /// Sum of the bytes.
    pub bytes: String,
    /// Rows per verdict.
    #[serde(default)]
    pub verdicts: BTreeMap<String, u64>,
}

impl Commit {
    /// An empty commit at this place of the chain.
    pub fn new(number: u64, kind: CommitKind, map: Option<MapIdentity>, sums: &Conserved) -> Self {
        Self {
            version: COMMIT_VERSION,
            number,
            nonce: String::new(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            kind,
            map,
            objects: Vec::new(),
            shard: None,
            closing: None,
            files: Vec::new(),
            replaces: Vec::new(),
            removes: Vec::new(),
            rows: u64::try_from(sums.rows).unwrap_or(u64::MAX),
            packets: sums.packets.to_string(),
            bytes: sums.bytes.to_string(),
            verdicts: BTreeMap::new(),
        }
    }

    /// The commit as it is stored.
    pub fn to_json(&self) -> Vec<u8> {
        // plain data with text keys always has a JSON form
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a stored commit.
    pub fn from_json(path: &str, bytes: &[u8]) -> Result<Self, LakeError> {
        let damaged = |detail: String| LakeError::Damaged { path: path.to_owned(), detail };
        let commit: Self = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if commit.version != COMMIT_VERSION {
            return Err(damaged(format!("its version is {}, this program writes {COMMIT_VERSION}", commit.version)));
        }
        Ok(commit)
    }
}
