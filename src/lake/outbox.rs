//! The outbox: which alerts of a chain a receiver (a sink) has, and which are next.
//!
//! The alerts themselves lie in the commits. Of a sink's progress the lake keeps a mark for each chain, a small file
//! whose name says it all: `_flowbound/deliver/<sink>/<chain>/<commits>-<alerts>.json`: every alert of so many commits is
//! delivered, and so many rows of the next one. The highest counts, so a mark is created, never changed, and then
//! the lower ones go: that is the same on S3 and on a disk, and a slow deliverer cannot set it back. A mark is made after
//! the alerts before it were delivered; so a crash delivers some twice, and none never.
//!
//! A sink that is new to a chain begins behind the commits that there are. `begin.json` says where that was. It is created
//! if it is not there, so whoever sees a sink first decides.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

use super::alert_reader::read_alerts;
use super::chain::{COMPACT, Chain};
use super::commit::{Commit, FileEntry};
use super::error::{LakeError, io_error};
use super::local::in_place;
use super::store::Store;
use crate::detect::Alert;

/// The folder with a folder of marks for each sink.
pub(super) const DELIVER: &str = "_flowbound/deliver";

/// Name of the file that says where a sink began.
const BEGIN: &str = "begin.json";

/// Alerts that are in memory at a time.
const PAGE: usize = 1000;

/// How far a sink is in a chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// Commits of which it has every alert.
    pub commits: u64,
    /// Rows of the next commit's alerts that are done with.
    pub alerts: u64,
}

impl Mark {
    /// The mark that a file's name says.
    pub fn of_path(path: &str) -> Option<Self> {
        let name = path.rsplit_once('/')?.1.strip_suffix(".json")?;
        let (commits, alerts) = name.split_once('-')?;
        Some(Self { commits: commits.parse().ok()?, alerts: alerts.parse().ok()? })
    }

    fn path(self, folder: &str) -> String {
        format!("{folder}/{:010}-{:010}.json", self.commits, self.alerts)
    }

    fn to_json(self) -> Vec<u8> {
        // plain data always has a JSON form
        serde_json::to_vec(&self).unwrap_or_default()
    }
}

/// The alerts of a chain that a sink does not have yet.
pub struct Outbox<'s, S: Store> {
    store: &'s S,
    chain: String,
    folder: String,
    at: Mark,
    kept: Mark,
    /// Marks that there are, in order.
    old: Vec<String>,
}

/// Alerts of one commit, those that the sink wants.
#[derive(Debug)]
pub struct Page {
    /// Each with the number of its row, from 1.
    pub alerts: Vec<(u64, Alert)>,
    /// Where the sink is when it has them.
    end: Mark,
}

impl<'s, S: Store> Outbox<'s, S> {
    /// The outbox of a sink. One that is new to the chain has nothing to deliver yet.
    ///
    /// # Errors
    /// When the lake cannot be read or written.
    pub async fn open(store: &'s S, sink: &str, chain: &str) -> Result<Self, LakeError> {
        let folder = format!("{DELIVER}/{sink}/{chain}");
        let listed = store.list(&folder).await.map_err(io_error("list", &folder))?;
        let mut old: Vec<String> = listed.into_iter().filter(|path| Mark::of_path(path).is_some()).collect();
        let last = old.iter().filter_map(|path| Mark::of_path(path)).max();
        let kept = match last {
            Some(mark) => mark,
            None => begin(store, &folder, chain).await?,
        };
        old.retain(|path| Mark::of_path(path) <= Some(kept));
        Ok(Self { store, chain: chain.to_owned(), folder, at: kept, kept, old })
    }

    /// The next alerts that the sink wants; `None` when it has all that there are.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn page(&mut self, wants: impl Fn(&Alert) -> bool) -> Result<Option<Page>, LakeError> {
        while let Some(commit) = Chain::read_one(self.store, &self.chain, self.at.commits + 1).await? {
            let page = match self.read(&commit, &wants) {
                Err(LakeError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    self.read_elsewhere(&commit, &wants).await?
                }
                read => read?,
            };
            if !page.alerts.is_empty() {
                return Ok(Some(page));
            }
            self.at = page.end;
        }
        Ok(None)
    }

    /// Alerts of a commit that are not done with.
    fn read(&self, commit: &Commit, wants: &impl Fn(&Alert) -> bool) -> Result<Page, LakeError> {
        let (mut alerts, mut row) = (Vec::new(), 0);
        for file in alert_files(commit) {
            if row + file.rows <= self.at.alerts {
                row += file.rows;
                continue;
            }
            let mut keep = |alert: Alert| {
                row += 1;
                if row > self.at.alerts && alerts.len() < PAGE && wants(&alert) {
                    alerts.push((row, alert));
                }
            };
            in_place(|| read_alerts(self.store, &file.path, &mut keep))?;
            if alerts.len() >= PAGE {
                break;
            }
        }
        let end = match alerts.last() {
            Some((row, _)) if alerts.len() >= PAGE => Mark { alerts: *row, ..self.at },
            _ => Mark { commits: commit.number, alerts: 0 },
        };
        Ok(Page { alerts, end })
    }

    /// A file of the commit is not where it shall be. Nobody may have published it yet; or a compaction has its rows,
    /// among others: then they all come, for nobody knows which they are; or they were let go.
    async fn read_elsewhere(&self, commit: &Commit, wants: &impl Fn(&Alert) -> bool) -> Result<Page, LakeError> {
        Chain::open_head(self.store, &self.chain).await?;
        match self.read(commit, wants) {
            Err(LakeError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            read => return read,
        }
        let mut alerts = Vec::new();
        let mut folders: Vec<&str> =
            alert_files(commit).filter_map(|file| Some(file.path.rsplit_once('/')?.0)).collect();
        folders.dedup();
        for folder in folders {
            let there = self.store.list(folder).await.map_err(io_error("list", folder))?;
            let own = |path: &String| alert_files(commit).any(|file| file.path == *path);
            let name = |path: &String| path.rsplit_once('/').map_or_else(String::new, |(_, name)| name.to_owned());
            let merged = |path: &String| name(path).starts_with(COMPACT);
            for path in there.iter().filter(|path| own(path) || merged(path)) {
                let mut keep = |alert: Alert| {
                    if wants(&alert) {
                        alerts.push((self.at.alerts, alert));
                    }
                };
                in_place(|| read_alerts(self.store, path, &mut keep))?;
            }
        }
        if alerts.is_empty() {
            let (chain, commit) = (&self.chain, commit.number);
            tracing::warn!(chain, commit, "files with its alerts are gone; they are not delivered");
        }
        Ok(Page { alerts, end: Mark { commits: commit.number, alerts: 0 } })
    }

    /// The sink has the alerts up to this row of the page at hand.
    pub fn delivered(&mut self, row: u64) {
        self.at.alerts = self.at.alerts.max(row);
    }

    /// The sink has the whole page.
    pub fn passed(&mut self, page: &Page) {
        self.at = page.end;
    }

    /// Keeps how far the sink is.
    ///
    /// # Errors
    /// When the lake cannot be written: then some alerts come again.
    pub async fn mark(&mut self) -> Result<(), LakeError> {
        if self.at == self.kept {
            return Ok(());
        }
        let path = self.at.path(&self.folder);
        // there already is fine: another deliverer is as far
        self.store.create(&path, &self.at.to_json()).await.map_err(io_error("create", &path))?;
        self.kept = self.at;
        // the last but one stays: whoever lists the folder just now finds one or the other
        let last = self.old.pop();
        for old in std::mem::replace(&mut self.old, last.into_iter().chain([path]).collect()) {
            self.store.delete(&old).await.map_err(io_error("delete", &old))?;
        }
        Ok(())
    }

    /// Commits of the chain of which the sink does not have every alert.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn behind(&self) -> Result<u64, LakeError> {
        Ok(Chain::head_number(self.store, &self.chain).await?.saturating_sub(self.at.commits))
    }
}

/// Files with alerts that a commit brings.
fn alert_files(commit: &Commit) -> impl Iterator<Item = &FileEntry> {
    commit.files.iter().filter(|file| file.rows > 0 && file.path.starts_with("alerts/"))
}

/// How far each sink is in each chain that it was seen with.
///
/// # Errors
/// When the lake cannot be read, or a mark is damaged.
pub(super) async fn marks<S: Store>(store: &S) -> Result<BTreeMap<(String, String), Mark>, LakeError> {
    let mut marks: BTreeMap<(String, String), Mark> = BTreeMap::new();
    for path in store.list(DELIVER).await.map_err(io_error("list", DELIVER))? {
        let parts: Vec<&str> = path.split('/').skip(2).collect();
        let [sink, chain, name] = parts.as_slice() else { continue };
        let mark = match Mark::of_path(&path) {
            Some(mark) => mark,
            None if *name == BEGIN => {
                let bytes = store.read(&path).await.map_err(io_error("read", &path))?;
                begin_of(&path, bytes)?
            }
            None => continue,
        };
        let last = marks.entry(((*sink).to_owned(), (*chain).to_owned())).or_insert(mark);
        *last = mark.max(*last);
    }
    Ok(marks)
}

/// Of each chain, the commits whose alerts every sink has; a chain that is not here has no sink.
pub(super) async fn delivered<S: Store>(store: &S) -> Result<BTreeMap<String, u64>, LakeError> {
    let mut lowest: BTreeMap<String, u64> = BTreeMap::new();
    for ((_, chain), mark) in marks(store).await? {
        let commits = lowest.entry(chain).or_insert(mark.commits);
        *commits = mark.commits.min(*commits);
    }
    Ok(lowest)
}

/// Where a sink begins: behind the last commit that there was when it was first seen.
async fn begin<S: Store>(store: &S, folder: &str, chain: &str) -> Result<Mark, LakeError> {
    let path = format!("{folder}/{BEGIN}");
    let mut begin = store.read(&path).await.map_err(io_error("read", &path))?;
    if begin.is_none() {
        let head = Mark { commits: Chain::head_number(store, chain).await?, alerts: 0 };
        store.create(&path, &head.to_json()).await.map_err(io_error("create", &path))?;
        // another may have been faster
        begin = store.read(&path).await.map_err(io_error("read", &path))?;
    }
    begin_of(&path, begin)
}

fn begin_of(path: &str, bytes: Option<Vec<u8>>) -> Result<Mark, LakeError> {
    let damaged = |detail: String| LakeError::Damaged { path: path.to_owned(), detail };
    let bytes = bytes.ok_or_else(|| damaged("it was taken away".to_owned()))?;
    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestLake, block_on};
    use super::*;

    const CHAIN: &str = "s.alerts";

    async fn open<'l>(lake: &'l TestLake, sink: &str) -> Outbox<'l, super::super::LocalStore> {
        Outbox::open(&lake.store, sink, CHAIN).await.unwrap()
    }

    /// Revisions of what is next, and the page.
    async fn next(outbox: &mut Outbox<'_, super::super::LocalStore>) -> Option<(Vec<i32>, Page)> {
        let page = outbox.page(|_| true).await.unwrap()?;
        Some((page.alerts.iter().map(|(_, alert)| alert.revision).collect(), page))
    }

    async fn has_all(lake: &TestLake, sink: &str) -> Vec<i32> {
        let mut outbox = open(lake, sink).await;
        let mut revisions = Vec::new();
        while let Some((more, page)) = next(&mut outbox).await {
            revisions.extend(more);
            outbox.passed(&page);
        }
        outbox.mark().await.unwrap();
        assert_eq!(outbox.behind().await.unwrap(), 0);
        revisions
    }

    fn names(lake: &TestLake, sink: &str) -> Vec<String> {
        block_on(lake.store.list(&format!("{DELIVER}/{sink}"))).unwrap()
    }

    #[test]
    fn a_sink_gets_what_comes_after_it() {
        let lake = TestLake::empty();
        block_on(async {
            assert_eq!(has_all(&lake, "first").await, [0; 0]);
            lake.alerts("80").await;
            lake.alerts("80").await;
            assert_eq!(has_all(&lake, "second").await, [0; 0], "it begins behind what there is");
            lake.alerts("80").await;
            // what is not marked comes again
            let mut outbox = open(&lake, "first").await;
            let (revisions, page) = next(&mut outbox).await.unwrap();
            assert_eq!(revisions, [0]);
            outbox.passed(&page);
            assert_eq!(next(&mut outbox).await.unwrap().0, [1]);
            assert_eq!(outbox.behind().await.unwrap(), 2);
            assert_eq!(has_all(&lake, "first").await, [0, 1, 2]);
            assert_eq!(has_all(&lake, "first").await, [0; 0]);
            assert_eq!(has_all(&lake, "second").await, [2]);
        });
        assert_eq!(
            names(&lake, "first"),
            [
                format!("{DELIVER}/first/{CHAIN}/0000000003-0000000000.json"),
                format!("{DELIVER}/first/{CHAIN}/begin.json")
            ]
        );
    }

    #[test]
    fn a_mark_is_never_set_back() {
        let lake = TestLake::empty();
        block_on(async {
            let mut slow = open(&lake, "sink").await;
            lake.alerts("80").await;
            lake.alerts("80").await;
            let (_, page) = next(&mut slow).await.unwrap();
            slow.passed(&page);
            assert_eq!(has_all(&lake, "sink").await, [0, 1]);
            slow.mark().await.unwrap();
            assert_eq!(has_all(&lake, "sink").await, [0; 0]);
            // two that see a sink first: who is faster decides where it begins
            let path = format!("{DELIVER}/new/{CHAIN}/{BEGIN}");
            assert!(lake.store.create(&path, br#"{"commits":1,"alerts":0}"#).await.unwrap());
            assert_eq!(has_all(&lake, "new").await, [1]);
        });
    }

    #[test]
    fn what_is_done_of_a_commit_is_not_done_again() {
        let lake = TestLake::empty();
        block_on(async {
            let mut outbox = open(&lake, "sink").await;
            lake.alerts("80").await;
            outbox.delivered(1);
            outbox.mark().await.unwrap();
            let mut outbox = open(&lake, "sink").await;
            assert_eq!(outbox.kept, Mark { commits: 0, alerts: 1 });
            assert!(next(&mut outbox).await.is_none());
            outbox.mark().await.unwrap();
            assert_eq!(
                marks(&lake.store).await.unwrap().into_values().collect::<Vec<_>>(),
                [Mark { commits: 1, alerts: 0 }]
            );
        });
    }

    /// A file that nobody published yet, one that was merged with others, and one that was let go.
    #[test]
    fn alerts_are_found_where_they_are() {
        let lake = TestLake::empty();
        block_on(async {
            drop(open(&lake, "sink").await);
            lake.alerts("80").await;
        });
        let commit = block_on(Chain::read_one(&lake.store, CHAIN, 1)).unwrap().unwrap();
        let file = alert_files(&commit).next().unwrap().clone();
        let (there, staged) = (lake.path(&file.path), lake.path(&file.staged));
        std::fs::create_dir_all(staged.parent().unwrap()).unwrap();
        std::fs::rename(&there, &staged).unwrap();
        let seen = |expected: &[i32], why: &str| {
            let found = block_on(async {
                let mut outbox = open(&lake, "sink").await;
                next(&mut outbox).await.map(|(revisions, _)| revisions).unwrap_or_default()
            });
            assert_eq!(found, expected, "{why}");
        };
        seen(&[0], "published when it is looked for");
        std::fs::rename(&there, there.with_file_name("~compact-0000000001-0.parquet")).unwrap();
        seen(&[0], "merged with others");
        std::fs::remove_file(there.with_file_name("~compact-0000000001-0.parquet")).unwrap();
        seen(&[], "let go");
    }
}
