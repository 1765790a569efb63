//! Compaction keeps every row, whatever happens to it.

use std::fs;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::lake::check::{CheckOptions, check, repair};
use crate::lake::testing::{DAY, HOUR, TestLake, block_on};
use crate::lake::{Access, COMMITS, LocalStore, MapIdentity, Outbox, StagedFile};

fn options(now: i64) -> CompactOptions {
    CompactOptions { now, older_than: Duration::from_secs(7200), min_files: 3, limits: FileLimits::default() }
}

/// When everything of the sample is closed.
fn later() -> CompactOptions {
    options(DAY + 48 * HOUR)
}

fn run(lake: &TestLake, options: &CompactOptions) -> Compacted {
    let compacted = block_on(compact(&lake.store, options)).unwrap();
    assert!(compacted.left.is_empty(), "{compacted:?}");
    compacted
}

fn assert_clean(lake: &TestLake, why: &str) {
    let report = block_on(check(&lake.store, &CheckOptions { quick: false, settle: None, kept_from: None })).unwrap();
    assert_eq!(report.findings, [], "{why}");
}

fn tables(lake: &TestLake) -> [Vec<String>; 2] {
    ["flows", "alerts"].map(|table| lake.rows(table))
}

/// A stream of six commits with rows in two hours, and four rounds of alerts.
fn stream() -> TestLake {
    let lake = TestLake::sample();
    block_on(async {
        for sequence in 100_002..100_005 {
            lake.shard("child", &["parent"], &sequence.to_string(), &[HOUR + 1000, 9000, 9000], false).await;
            lake.alerts("5432").await;
        }
    });
    lake
}

#[test]
fn every_row_is_kept_in_fewer_files() {
    let lake = stream();
    let before = tables(&lake);
    assert_clean(&lake, "before");
    let compacted = run(&lake, &later());
    let told: Vec<_> = compacted
        .merged
        .iter()
        .map(|merged| (merged.folder.as_str(), merged.files, merged.into, merged.rows))
        .collect();
    assert_eq!(
        told,
        [
            ("alerts/date=2026-11-20", 5, 1, 5),
            // parent: two commits, child: five; in the second hour child alone, but for its second commit
            ("flows/date=2026-11-20/hour=00", 7, 1, 12),
            ("flows/date=2026-11-20/hour=01", 4, 1, 4),
        ]
    );
    assert_eq!(tables(&lake), before);
    assert_clean(&lake, "after");
    assert!(run(&lake, &later()).merged.is_empty(), "twice is once");
    // what comes late is merged with what was merged
    block_on(async {
        lake.shard("child", &["parent"], "100010", &[1000], false).await;
        lake.shard("child", &["parent"], "100011", &[1000], false).await;
    });
    let before = tables(&lake);
    assert_eq!(run(&lake, &later()).merged.len(), 1);
    assert_eq!(tables(&lake), before);
    assert_clean(&lake, "late");
    // its chain goes on, though files of its head were merged
    block_on(lake.shard("child", &["parent"], "100012", &[1000], false));
    assert_eq!(tables(&lake)[0].len(), before[0].len() + 1);
    assert_clean(&lake, "later");
}

/// A sink finds what it has to get by its commits.
#[test]
fn alerts_that_are_not_delivered_stay_where_they_are() {
    let lake = TestLake::sample();
    block_on(async {
        drop(Outbox::open(&lake.store, "oncall", "s.alerts").await.unwrap());
        for sequence in 100_002..100_006 {
            lake.shard("child", &["parent"], &sequence.to_string(), &[9000], false).await;
            lake.alerts("5432").await;
        }
    });
    let merged = |compacted: Compacted| {
        let alerts = compacted.merged.into_iter().find(|merged| merged.folder.starts_with("alerts/"));
        alerts.map(|merged| merged.files)
    };
    let before = tables(&lake);
    assert_eq!(merged(run(&lake, &later())), None, "two of six are delivered");
    block_on(async {
        let mut outbox = Outbox::open(&lake.store, "oncall", "s.alerts").await.unwrap();
        let mut count = 0;
        while let Some(page) = outbox.page(|_| true).await.unwrap() {
            count += page.alerts.len();
            outbox.passed(&page);
        }
        outbox.mark().await.unwrap();
        assert_eq!(count, 4);
    });
    assert_eq!(merged(run(&lake, &later())), Some(6));
    assert_eq!(tables(&lake), before);
    assert_clean(&lake, "delivered and merged");
}

#[test]
fn only_what_is_closed_and_many_is_merged() {
    let lake = stream();
    for (now, min_files, folders) in [
        (DAY + 3 * HOUR - 1, 3, 0),
        (DAY + 3 * HOUR, 3, 1),
        (DAY + 3 * HOUR, 8, 0),
        (DAY + 4 * HOUR, 5, 0),
        (DAY + 4 * HOUR, 0, 1),
        (DAY + 26 * HOUR - 1, 3, 0),
        (DAY + 26 * HOUR, 3, 1),
        (DAY + 26 * HOUR, 3, 0),
    ] {
        let options = CompactOptions { min_files, ..options(now) };
        assert_eq!(run(&lake, &options).merged.len(), folders, "{now} {min_files}");
    }
    assert_clean(&lake, "in the end");
    let replayed: Vec<_> = lake.files("flows").into_iter().filter(|path| path.contains("/replay-")).collect();
    assert_eq!(replayed.len(), 6, "two hours of a, b; one of c; one without rows: {replayed:?}");
}

#[test]
fn full_files_are_left() {
    let lake = stream();
    let before = tables(&lake);
    let options = CompactOptions { limits: FileLimits { rows: 5, bytes: 1 << 20 }, ..later() };
    let merged = run(&lake, &options).merged;
    assert_eq!((merged[1].files, merged[1].into, merged[1].rows), (7, 3, 12));
    assert_eq!(tables(&lake), before);
    assert_clean(&lake, "after");
    assert!(run(&lake, &options).merged.is_empty(), "twice is once");
}

#[test]
fn a_file_has_one_map() {
    let lake = TestLake::empty();
    let map = |sha256: &str| MapIdentity { name: "m".to_owned(), sha256: sha256.to_owned(), env: None, mode: None };
    block_on(async {
        for (sequence, map) in [None, Some(map("a")), Some(map("b"))].into_iter().cycle().take(9).enumerate() {
            lake.shard_of_map("x", &[], &sequence.to_string(), &[0], false, map).await;
        }
        lake.alerts("1").await;
    });
    let before = tables(&lake);
    assert_eq!(run(&lake, &later()).merged.len(), 3);
    assert_eq!(tables(&lake), before);
    assert_clean(&lake, "after");
    let maps: Vec<_> = (1..=3).map(|number| lake.commit("~compact", number).map.map(|map| map.sha256)).collect();
    assert_eq!(maps, [None, Some("a".to_owned()), Some("b".to_owned())]);
}

/// Everything that a crash can leave, and what the next compaction, or a repair, makes of it.
#[test]
fn a_crash_at_any_point_loses_nothing() {
    type Crash = fn(&TestLake, &Commit);
    let points: [(&str, Crash); 4] = [
        ("nothing published", |_, _| {}),
        ("published", |lake, commit| publish(lake, commit)),
        ("half removed", |lake, commit| {
            publish(lake, commit);
            fs::remove_file(lake.path(&commit.removes[0])).unwrap();
        }),
        ("removed", |lake, commit| {
            publish(lake, commit);
            commit.removes.iter().for_each(|path| fs::remove_file(lake.path(path)).unwrap());
        }),
    ];
    let sample = stream();
    for (what, crash) in points {
        for by_repair in [true, false] {
            let lake = sample.copy();
            let before = tables(&lake);
            block_on(async {
                let group = plan(&lake.store, &later()).await.unwrap().remove(0);
                let chain = Chain::open_head(&lake.store, COMPACT).await.unwrap();
                let mut unit = Unit::empty(&chain);
                let (staged, conserved) = merge(&lake.store, &unit.staging, &group, later().limits).unwrap();
                staged.into_iter().for_each(|staged| unit.add(staged));
                let mut commit = Commit::new(1, CommitKind::Compact, group.map.clone(), &conserved);
                commit.removes = group.files.iter().map(|file| file.path.clone()).collect();
                let commit = unit.into_commit(commit);
                lake.store.create(&format!("{COMMITS}/{COMPACT}/0000000001.json"), &commit.to_json()).await.unwrap();
                crash(&lake, &commit);
            });
            if by_repair {
                block_on(repair(&lake.store, Access::Exclusive)).unwrap();
            } else {
                assert_eq!(run(&lake, &later()).merged.len(), 2, "the other two");
            }
            assert_eq!(tables(&lake), before, "{what}");
            assert_clean(&lake, what);
        }
    }
    // before the commit: the staging is cleared when its number is passed
    let lake = sample.copy();
    let before = tables(&lake);
    lake.put("_flowbound/staging/~compact/0000000001/feed/1.parquet", b"half a file");
    run(&lake, &later());
    assert_eq!(tables(&lake), before);
    assert_clean(&lake, "before the commit");
}

fn publish(lake: &TestLake, commit: &Commit) {
    for file in &commit.files {
        let path = lake.path(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::rename(lake.path(&file.staged), path).unwrap();
    }
}

/// A file whose staging is still there may be published again: merged, its rows would be there twice.
#[test]
fn what_may_be_published_again_is_left() {
    let lake = stream();
    let before = tables(&lake);
    let head = lake.commit("s.child", 10);
    for file in &head.files {
        lake.put(&file.staged, &fs::read(lake.path(&file.path)).unwrap_or_default());
    }
    let merged = run(&lake, &later()).merged;
    assert_eq!((merged[1].files, merged[2].files), (6, 3));
    block_on(Chain::open_head(&lake.store, "s.child")).unwrap();
    assert_eq!(tables(&lake), before);
}

#[test]
fn a_damaged_file_leaves_its_hour_alone() {
    let lake = stream();
    let damaged = lake.file("flows/date=2026-11-20/hour=00", "s.parent-0000000002");
    let length = fs::metadata(lake.path(&damaged)).unwrap().len();
    lake.put(&damaged, &vec![0; length as usize]);
    let compacted = block_on(compact(&lake.store, &later())).unwrap();
    assert_eq!((compacted.merged.len(), compacted.left.len()), (2, 1));
    assert!(compacted.left[0].1.to_string().contains(&damaged));
    assert!(lake.files("_flowbound/staging").is_empty());
}

/// A store in which somebody else compacts the lake at the worst moment: just before the commit.
struct Raced<'l> {
    lake: &'l LocalStore,
    raced: AtomicBool,
}

impl Store for Raced<'_> {
    fn place(&self) -> &str {
        self.lake.place()
    }

    async fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.lake.read(path).await
    }

    async fn create(&self, path: &str, bytes: &[u8]) -> io::Result<bool> {
        if !self.raced.swap(true, Ordering::Relaxed) {
            compact(self.lake, &later()).await.map_err(io::Error::other)?;
        }
        self.lake.create(path, bytes).await
    }

    async fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.lake.list(folder).await
    }

    async fn folders(&self, folder: &str) -> io::Result<Vec<String>> {
        self.lake.folders(folder).await
    }

    async fn publish(&self, files: &[(&str, &str)]) -> io::Result<()> {
        self.lake.publish(files).await
    }

    async fn delete(&self, path: &str) -> io::Result<()> {
        self.lake.delete(path).await
    }

    async fn delete_all(&self, folder: &str) -> io::Result<()> {
        self.lake.delete_all(folder).await
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn BufRead + Send>> {
        self.lake.open(path)
    }

    fn stage(&self, path: &str) -> io::Result<Box<dyn StagedFile>> {
        self.lake.stage(path)
    }

    fn scratch(&self, path: &str) -> io::Result<PathBuf> {
        self.lake.scratch(path)
    }
}

#[test]
fn of_two_at_once_one_wins() {
    let lake = stream();
    let before = tables(&lake);
    let raced = Raced { lake: &lake.store, raced: AtomicBool::new(false) };
    let compacted = block_on(compact(&raced, &later())).unwrap();
    assert!(compacted.overtaken && compacted.merged.is_empty(), "{compacted:?}");
    assert_eq!(tables(&lake), before);
    assert_clean(&lake, "after both");
    assert!(lake.files("_flowbound/staging").is_empty());
    assert!(run(&lake, &later()).merged.is_empty(), "the other has done it all");
}
