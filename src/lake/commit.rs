//! A commit: what one unit of work added to the lake, in one small file that is created or not, never half.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::LakeError;
use super::flow_file::Conserved;

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

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Version of this format.
    pub version: u32,
    /// Place in the chain, from 1, without a gap.
    pub number: u64,
    /// Version of the program that wrote it.
    pub program: String,
    /// What it is for.
    pub kind: CommitKind,
    /// The map, if one was used.
    pub map: Option<MapIdentity>,
    /// Input objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectEntry>,
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
            program: env!("CARGO_PKG_VERSION").to_owned(),
            kind,
            map,
            objects: Vec::new(),
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
