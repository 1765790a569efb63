//! Which files are merged with which.

use std::collections::{BTreeMap, BTreeSet};

use super::super::chain::{COMMITS, REPLAY, STAGING};
use super::super::commit::{Commit, FileEntry, MapIdentity};
use super::super::error::{LakeError, io_error};
use super::super::outbox::delivered;
use super::super::partition::{Day, Hour};
use super::super::side_by_side::side_by_side;
use super::super::store::{Store, StoredFile};
use super::CompactOptions;

/// Small files of one folder and one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) folder: String,
    pub(super) map: Option<MapIdentity>,
    pub(super) files: Vec<FileEntry>,
}

/// What there is to merge, folder by folder.
pub(super) async fn plan<S: Store>(store: &S, options: &CompactOptions) -> Result<Vec<Group>, LakeError> {
    let mut folders: BTreeMap<String, Vec<StoredFile>> = BTreeMap::new();
    for table in ["flows", "alerts"] {
        let files = store.files(table).await.map_err(io_error("list", table))?;
        // alerts that a sink does not have yet are found by their commit, so they stay where that says
        let delivered = if table == "alerts" { delivered(store).await? } else { BTreeMap::new() };
        let waits = |commit: &str| {
            let parts = commit.strip_prefix(COMMITS).and_then(|rest| rest.strip_suffix(".json")?.rsplit_once('/'));
            parts.is_some_and(|(chain, number)| {
                let number: Option<u64> = number.parse().ok();
                delivered.get(chain.trim_start_matches('/')).is_some_and(|commits| number > Some(*commits))
            })
        };
        for file in files {
            let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
            let small = file.bytes < options.limits.bytes / 2;
            let mergeable = commit_of(name).is_some_and(|commit| !waits(&commit));
            if small && mergeable && is_closed(folder, options) {
                folders.entry(folder.to_owned()).or_default().push(file);
            }
        }
    }
    // listed after the files: a file that is there, and whose staging is not, is never published again
    let staged = store.list(STAGING).await.map_err(io_error("list", STAGING))?;
    let staged: BTreeSet<String> = staged.into_iter().collect();
    let enough = options.min_files.max(2);
    let mut groups = Vec::new();
    for (folder, files) in folders.into_iter().filter(|(_, files)| files.len() >= enough) {
        let mut of_maps: Vec<Group> = Vec::new();
        for (map, file) in entries(store, &files).await? {
            if staged.contains(&file.staged) || file.rows == 0 || file.rows >= options.limits.rows.div_ceil(2) {
                continue;
            }
            match of_maps.iter_mut().find(|group| group.map == map) {
                Some(group) => group.files.push(file),
                None => of_maps.push(Group { folder: folder.clone(), map, files: vec![file] }),
            }
        }
        groups.extend(of_maps.into_iter().filter(|group| group.files.len() >= enough));
    }
    Ok(groups)
}

/// The commit that brought a file of this name, if its chain is one whose files may be merged.
fn commit_of(name: &str) -> Option<String> {
    let (unit, _) = name.strip_suffix(".parquet")?.rsplit_once('-')?;
    let (chain, number) = unit.rsplit_once('-')?;
    let is_number = number.len() >= 10 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && chain != REPLAY).then(|| format!("{COMMITS}/{chain}/{number}.json"))
}

/// Whether the hour or day of a folder ended long enough ago. Rows without a time are never closed.
fn is_closed(folder: &str, options: &CompactOptions) -> bool {
    let end = match folder.split_once('/') {
        Some(("flows", hour)) => Hour::of_folder(hour).and_then(Hour::end),
        Some(("alerts", day)) => Day::of_folder(day).and_then(Day::end),
        _ => None,
    };
    let older_than = i64::try_from(options.older_than.as_millis()).unwrap_or(i64::MAX);
    end.is_some_and(|end| end <= options.now.saturating_sub(older_than))
}

/// What the commits say of these files. One that its commit does not know so is left alone: `lake check` tells of it.
async fn entries<S: Store>(
    store: &S,
    files: &[StoredFile],
) -> Result<Vec<(Option<MapIdentity>, FileEntry)>, LakeError> {
    let name = |file: &StoredFile| file.path.rsplit_once('/').and_then(|(_, name)| commit_of(name));
    let paths: Vec<String> = files.iter().filter_map(name).collect::<BTreeSet<_>>().into_iter().collect();
    let read = side_by_side(&paths, |path| {
        let path = path.clone();
        async move { store.read(&path).await.map_err(io_error("read", &path)) }
    });
    let listed: BTreeMap<&str, u64> = files.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
    let mut known = Vec::new();
    for (path, bytes) in paths.iter().zip(read.await?) {
        let Some(Ok(commit)) = bytes.map(|bytes| Commit::from_json(path, &bytes)) else { continue };
        for file in commit.files {
            if listed.get(file.path.as_str()) == Some(&file.bytes) {
                known.push((commit.map.clone(), file));
            }
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_commit() {
        for (name, commit) in [
            ("flows.shardId-000000000001-0000000012-3.parquet", Some("flows.shardId-000000000001/0000000012")),
            ("a-b.alerts-0000000001-0.parquet", Some("a-b.alerts/0000000001")),
            ("~compact-0000000007-0.parquet", Some("~compact/0000000007")),
            ("replay-0000000007-0.parquet", None),
            ("mine.parquet", None),
            ("x-1-0.parquet", None),
            ("flows.s-0000000012-3.csv", None),
        ] {
            assert_eq!(commit_of(name), commit.map(|commit| format!("{COMMITS}/{commit}.json")), "{name}");
        }
    }
}
