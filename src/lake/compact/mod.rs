//! Compaction: the small files of a closed hour of `flows`, or of a closed day of `alerts`, into few.
//!
//! A stream commits every minute, and each commit brings files. Once an hour is over, they are merged by the protocol
//! by which everything else comes into a lake, in a chain of its own: stage, commit, publish. The commit names the new
//! files and removes the old ones. Of two compactions at a time one creates the commit, and the other gives up what it
//! has staged. A crash before the commit leaves staging; one behind it is mended by the next compaction.
//!
//! - New files are published before old ones go, and their names sort behind those of old ones, in which order S3 lists
//!   them page by page: a reader may see rows of the hour twice for that moment, but never miss any. One that has listed
//!   the old files and opens them too late is told that they are gone, and asks again.
//! - Only files of streams and of earlier compactions: commits of a replay may be replaced, and take their files with
//!   them.
//! - Only files that are published and whose staging is gone. One whose staging is still there may be published again
//!   by whoever opens its chain next: merged before, its rows would be there twice.
//! - Only alerts that every sink has: a sink finds those that it has to get by their commits.
//! - Files of different maps are not merged: a file says under which map its rows were judged.
//! - Rows, packets and bytes that were read are those that were written, or there is no commit (I6).

mod merge;
mod plan;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::time::Duration;

use self::merge::merge;
use self::plan::{Group, plan};
use super::chain::{COMPACT, Chain};
use super::commit::{Commit, CommitKind};
use super::error::{LakeError, io_error};
use super::flow_writer::FileLimits;
use super::store::Store;
use super::unit::Unit;

/// How to compact.
#[derive(Debug, Clone)]
pub struct CompactOptions {
    /// The time by the clock: milliseconds since 1970.
    pub now: i64,
    /// An hour, or a day, is closed when it ended this long ago. Later records of it are merged by a later compaction.
    pub older_than: Duration,
    /// Fewer small files than this are left alone; at least two.
    pub min_files: usize,
    /// When a new file is full. A file of half as much is not small.
    pub limits: FileLimits,
}

/// What was done to one hour or day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Its folder.
    pub folder: String,
    /// Files before.
    pub files: u64,
    /// Files after.
    pub into: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes before.
    pub bytes: u64,
    /// Bytes after.
    pub into_bytes: u64,
}

/// What a compaction came to.
#[derive(Debug, Default)]
pub struct Compacted {
    /// Hours and days whose files were merged.
    pub merged: Vec<Merged>,
    /// Folders that were left as they are because a file of them cannot be read, and why.
    pub left: Vec<(String, LakeError)>,
    /// Another compaction of this lake is at work, so this one stopped.
    pub overtaken: bool,
}

/// Merges what is closed and in many files.
///
/// # Errors
/// When the lake cannot be read or written. What was committed before stays, and nothing else is visible.
pub async fn compact<S: Store>(store: &S, options: &CompactOptions) -> Result<Compacted, LakeError> {
    let mut chain = Chain::open_head(store, COMPACT).await?;
    chain.clear_passed().await?;
    let mut compacted = Compacted::default();
    for group in plan(store, options).await? {
        let staging = chain.staging();
        let unmerged = match merge_group(store, &mut chain, &group, options.limits).await {
            Ok(merged) => {
                compacted.merged.push(merged);
                continue;
            }
            Err(error) => error,
        };
        match unmerged {
            error @ LakeError::Damaged { .. } => compacted.left.push((group.folder, error)),
            // taken away since it was listed, by a retention job for example
            LakeError::Io { action, path, source } if source.kind() == ErrorKind::NotFound => {
                compacted.left.push((group.folder, LakeError::Io { action, path, source }));
            }
            LakeError::Conflict(_) => compacted.overtaken = true,
            error => {
                chain.abandon().await;
                return Err(error);
            }
        }
        // another's commit, or none: what is staged here will never be published
        store.delete_all(&staging).await.map_err(io_error("delete", &staging))?;
        if compacted.overtaken {
            break;
        }
    }
    Ok(compacted)
}

async fn merge_group<S: Store>(
    store: &S,
    chain: &mut Chain<'_, S>,
    group: &Group,
    limits: FileLimits,
) -> Result<Merged, LakeError> {
    let mut unit = Unit::empty(chain);
    let (staged, conserved) = merge(store, &unit.staging, group, limits)?;
    let mut merged = Merged {
        folder: group.folder.clone(),
        files: group.files.len() as u64,
        into: staged.len() as u64,
        rows: group.files.iter().map(|file| file.rows).sum(),
        bytes: group.files.iter().map(|file| file.bytes).sum(),
        into_bytes: 0,
    };
    for staged in staged {
        merged.into_bytes += staged.bytes;
        unit.add(staged);
    }
    let mut commit = Commit::new(chain.next_number(), CommitKind::Compact, group.map.clone(), &conserved);
    commit.removes = group.files.iter().map(|file| file.path.clone()).collect();
    chain.commit_next(unit.into_commit(commit)).await?;
    Ok(merged)
}
