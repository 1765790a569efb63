//! A lake is broken in one way, and exactly that is found.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::*;
use crate::lake::compact::{CompactOptions, compact};
use crate::lake::testing::{DAY, HOUR, TestLake, block_on};
use crate::lake::{Access, COMMITS, Chain, Commit, CommitKind, FileLimits, Outbox, Store, Unit};

const ALONE: CheckOptions = CheckOptions { quick: false, settle: None, kept_from: None };

fn report(lake: &TestLake) -> Report {
    block_on(check(&lake.store, &ALONE)).unwrap()
}

fn errors(report: &Report) -> BTreeSet<&'static str> {
    let errors = report.findings.iter().filter(|finding| finding.level == Level::Error);
    errors.map(|finding| finding.invariant.name()).collect()
}

#[test]
fn a_lake_as_promised_has_no_findings() {
    let lake = TestLake::sample();
    let report = report(&lake);
    assert_eq!(report.findings, []);
    // a, b: 3 rows each; c: 3; parent: 2 and 1; child: 2 and 2
    assert_eq!((report.chains, report.commits, report.rows), (4, 13, 16));
    let quick = block_on(check(&lake.store, &CheckOptions { quick: true, ..ALONE })).unwrap();
    assert_eq!(quick, report);
    assert_eq!(block_on(check(&TestLake::empty().store, &ALONE)).unwrap(), Report::default());
}

/// Marks are no foreign files; a sink that is behind is told of, and one that is ahead would miss alerts.
#[test]
fn how_far_sinks_are_is_told() {
    let lake = TestLake::sample();
    block_on(async {
        drop(Outbox::open(&lake.store, "oncall", "s.alerts").await.unwrap());
        assert_eq!(check(&lake.store, &ALONE).await.unwrap().findings, []);
        lake.shard("child", &["parent"], "100002", &[9000], false).await;
        lake.alerts("5432").await;
    });
    let told = |lake: &TestLake| {
        let findings = report(lake).findings.into_iter();
        findings.map(|finding| (finding.level, finding.path, finding.what)).collect::<Vec<_>>()
    };
    let path = "_flowbound/deliver/oncall/s.alerts";
    let what = "alerts of 1 commits are not delivered to the sink oncall, or not yet".to_owned();
    assert_eq!(told(&lake), [(Level::Note, path.to_owned(), what)]);
    lake.put(&format!("{path}/0000000003-0000000000.json"), b"{}");
    assert_eq!(told(&lake), []);
    lake.put(&format!("{path}/0000000009-0000000000.json"), b"{}");
    let what = "the sink has commit 9, and the last one is 3: it would miss alerts".to_owned();
    assert_eq!(told(&lake), [(Level::Error, path.to_owned(), what)]);
    lake.put("_flowbound/deliver/new/s.alerts/begin.json", b"{");
    assert!(told(&lake)[0].2.starts_with("it cannot be read: "));
}

/// What is done to the lake.
type Break = fn(&TestLake);

/// A commit of the shard `child` behind its head, complete but not published.
fn unpublished(lake: &TestLake) -> Commit {
    block_on(async {
        let chain = Chain::open_head(&lake.store, "s.child").await.unwrap();
        let span = TestLake::span(&chain, "child", &["parent"], "100002", false);
        let commit = lake.shard_commit(&chain, span, &[6000, 7000], None).await;
        let path = format!("{COMMITS}/s.child/{:010}.json", commit.number);
        assert!(lake.store.create(&path, &commit.to_json()).await.unwrap());
        commit
    })
}

/// A commit of the closer with this revision of the alert.
fn alert(lake: &TestLake, revision: i32) {
    block_on(async {
        let mut chain = Chain::open_head(&lake.store, "s.alerts").await.unwrap();
        let mut unit = Unit::empty(&chain);
        lake.alert(&mut unit, "5432", revision);
        let mut commit = Commit::new(chain.next_number(), CommitKind::Close, None, &Conserved::default());
        commit.closing.clone_from(&chain.head().unwrap().closing);
        chain.commit_next(unit.into_commit(commit)).await.unwrap();
    });
}

#[test]
fn days_that_a_retention_job_took_are_told_when_it_was_asked_for() {
    let lake = TestLake::sample();
    let gone = lake.files("flows").into_iter().find(|path| path.contains("date=2")).unwrap();
    fs::remove_file(lake.path(&gone)).unwrap();
    let kept_from = |date: &str| {
        let options = CheckOptions { kept_from: Some(date.to_owned()), ..ALONE };
        block_on(check(&lake.store, &options)).unwrap()
    };
    let day = gone.split("date=").nth(1).unwrap().split('/').next().unwrap();
    for report in [report(&lake), kept_from(day)] {
        assert_eq!(errors(&report), ["I5"].into(), "{report:?}");
    }
    let after = kept_from("9999-12-31");
    assert_eq!((errors(&after), after.findings.len()), (BTreeSet::new(), 1), "{after:?}");
}

const BREAKS: &[(&str, &str, Break)] = &[
    ("I1", "rows of an object that another commit has", |lake| {
        let source = ["file:///a".to_owned()];
        block_on(lake.replay_as(&["file:///d"], &source, &[0, 10], None));
    }),
    ("I1", "an object in two commits", |lake| {
        lake.edit("replay", 1, |commit| commit.objects[0].uri = "file:///c".to_owned());
    }),
    ("I1", "a commit replaced twice", |lake| lake.edit("replay", 3, |commit| commit.replaces = vec![2, 2])),
    ("I1", "a file removed twice", |lake| {
        let removed = lake.commit("s.alerts", 1).removes;
        lake.edit("s.alerts", 2, |commit| commit.removes.extend(removed));
    }),
    ("I1", "a file named twice", |lake| {
        lake.edit("s.alerts", 2, |commit| {
            let state = commit.files.iter().find(|file| file.path.contains("/state/")).unwrap().clone();
            commit.files.push(state);
        });
    }),
    ("I2", "a commit that is missing", |lake| {
        fs::remove_file(lake.path("_flowbound/commits/s.child/0000000002.json")).unwrap();
    }),
    ("I2", "a commit that is no JSON", |lake| lake.put("_flowbound/commits/s.child/0000000002.json", b"{")),
    ("I2", "a commit of another number", |lake| lake.edit("s.child", 2, |commit| commit.number = 7)),
    ("I2", "a span that does not begin at the end of the one before", |lake| {
        lake.edit("s.child", 4, |commit| commit.shard.as_mut().unwrap().start.as_mut().unwrap().sub = 3);
    }),
    ("I2", "a span that ends before it begins", |lake| {
        lake.edit("s.parent", 4, |commit| {
            commit.shard.as_mut().unwrap().end.as_mut().unwrap().sequence = "99".to_owned();
        });
    }),
    ("I2", "a commit without a span", |lake| lake.edit("s.child", 3, |commit| commit.shard = None)),
    ("I2", "records behind the end", |lake| {
        lake.edit("s.parent", 2, |commit| commit.shard.as_mut().unwrap().closed = true);
    }),
    ("I2", "a closing that has seen what is not there", |lake| {
        lake.edit("s.alerts", 2, |commit| {
            commit.closing.as_mut().unwrap().seen.insert("s.child".to_owned(), 9);
        });
    }),
    ("I4", "a child's data before the parent's end", |lake| {
        lake.edit("s.parent", 4, |commit| commit.shard.as_mut().unwrap().closed = false);
    }),
    ("I5", "a file that is missing", |lake| {
        fs::remove_file(lake.path(&lake.file("flows", "s.parent-0000000002"))).unwrap();
    }),
    ("I5", "a file that is longer", |lake| {
        let path = lake.path(&lake.file("flows", "s.parent-0000000002"));
        let mut bytes = fs::read(&path).unwrap();
        bytes.push(0);
        fs::write(path, bytes).unwrap();
    }),
    ("I5", "a file that is garbage of the right length", |lake| {
        let path = lake.path(&lake.file("flows", "s.parent-0000000002"));
        fs::write(&path, vec![7; fs::metadata(&path).unwrap().len() as usize]).unwrap();
    }),
    ("I5", "a file with other rows than its commit says", |lake| {
        lake.edit("s.alerts", 2, |commit| {
            commit.files.iter_mut().find(|file| file.path.starts_with("alerts/")).unwrap().rows += 1;
        });
    }),
    ("I5", "a foreign file", |lake| {
        let path = lake.path(&lake.file("flows", "s.parent-0000000002"));
        fs::copy(&path, path.with_file_name("mine.parquet")).unwrap();
    }),
    ("I5", "a foreign file in the quarantine", |lake| lake.put("quarantine/x.ndjson", b"{}\n")),
    ("I5", "a file that was removed", |lake| {
        lake.put(&lake.commit("s.alerts", 1).removes[0], b"{}\n");
    }),
    ("I5", "a commit that is not published", |lake| {
        unpublished(lake);
    }),
    ("I5", "staging of a number that is passed", |lake| {
        lake.put("_flowbound/staging/s.child/0000000003/feed/1.parquet", b"x");
    }),
    ("I5", "staging of a number to come", |lake| lake.put("_flowbound/staging/s.child/0000000033/feed/1", b"x")),
    ("I5", "staging of nothing", |lake| lake.put("_flowbound/staging/x", b"x")),
    ("I5", "half a commit", |lake| lake.put("_flowbound/commits/s.child/0000000005.7-1.tmp", b"{")),
    ("I6", "packets that are not those of the files", |lake| {
        lake.edit("s.child", 2, |commit| commit.packets = "17".to_owned());
    }),
    ("I6", "bytes that are no number", |lake| lake.edit("replay", 1, |commit| commit.bytes = "many".to_owned())),
    ("I6", "rows that are not those of the files", |lake| {
        lake.edit("s.child", 2, |commit| {
            commit.rows += 1;
            commit.shard.as_mut().unwrap().lines += 1;
        });
    }),
    ("I6", "lines that went nowhere", |lake| lake.edit("replay", 3, |commit| commit.objects[0].lines += 1)),
    ("I6", "a quarantine that says less", |lake| {
        lake.edit("s.child", 2, |commit| {
            let span = commit.shard.as_mut().unwrap();
            span.lines -= 1;
            span.quarantined -= 1;
        });
    }),
    ("I6", "a quarantine with fewer lines", |lake| {
        let path = lake.path(&lake.file("quarantine", "replay-0000000001"));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches('\n').count(), 2);
        fs::write(path, text.replacen('\n', " ", 1)).unwrap();
    }),
    ("I7", "a revision that is there twice", |lake| alert(lake, 1)),
    ("I7", "a revision that is left out", |lake| alert(lake, 3)),
    ("I7", "what was gathered is passed over", |lake| {
        block_on(lake.shard("child", &["parent"], "100002", &[0], false));
        lake.edit("s.alerts", 2, |commit| {
            commit.closing.as_mut().unwrap().seen.insert("s.child".to_owned(), 6);
        });
    }),
    ("I7", "alerts build on what no commit has", |lake| {
        lake.edit("s.alerts", 2, |commit| {
            commit.closing.as_mut().unwrap().merged.insert("_flowbound/state/x".to_owned(), vec!["x".to_owned()]);
        });
    }),
];

#[test]
fn each_break_is_found_by_its_name() {
    let sample = TestLake::sample();
    for (invariant, what, damage) in BREAKS {
        let lake = sample.copy();
        damage(&lake);
        let report = report(&lake);
        assert_eq!(errors(&report), BTreeSet::from([*invariant]), "{what}: {:#?}", report.findings);
        assert!(report.errors() > 0);
    }
    let covered: BTreeSet<_> = BREAKS.iter().map(|(invariant, ..)| *invariant).collect();
    assert_eq!(covered.len(), 6);
}

/// What a quick check finds, it finds without opening a file.
#[test]
fn a_quick_check_opens_nothing() {
    let needs_rows = [
        "rows of an object",
        "garbage of the right length",
        "other rows than",
        "packets",
        "bytes that",
        "fewer lines",
        "there twice",
        "left out",
    ];
    let sample = TestLake::sample();
    for (invariant, what, damage) in BREAKS {
        let lake = sample.copy();
        damage(&lake);
        let found = block_on(check(&lake.store, &CheckOptions { quick: true, ..ALONE })).unwrap();
        let hidden = needs_rows.iter().any(|part| what.contains(part));
        let expected = [*invariant].into_iter().filter(|_| !hidden).collect();
        assert_eq!(errors(&found), expected, "{what}");
    }
}

#[test]
fn doubled_rows_are_named() {
    let lake = TestLake::sample();
    block_on(lake.replay_as(&["file:///d"], &["file:///a".to_owned()], &[0, 10], None));
    let report = report(&lake);
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(finding.path, lake.file("flows", "replay-0000000004"));
    let other = &lake.commit("replay", 1).files[2].path;
    assert_eq!(finding.what, format!("2 of its rows are in {other} too, as line 1 of file:///a"));
}

/// Staging of the next number may be a writer's: that is told, and breaks nothing.
#[test]
fn a_writer_at_work_breaks_nothing() {
    let lake = TestLake::sample();
    lake.put("_flowbound/staging/s.child/0000000005/feed/1.parquet", b"x");
    lake.put("_flowbound/staging/s.new/0000000001/feed/1.parquet", b"x");
    let report = report(&lake);
    assert_eq!((report.errors(), report.findings.len()), (0, 2), "{report:?}");
}

/// What a writer has so for a moment is no finding; what stays so is one.
#[test]
fn what_is_out_of_place_is_looked_at_again() {
    let lake = TestLake::sample();
    let commit = unpublished(&lake);
    let options = CheckOptions { settle: Some(Duration::from_secs(10)), ..ALONE };
    block_on(async {
        let stays = check(&lake.store, &options).await.unwrap();
        assert_eq!(errors(&stays), ["I5"].into(), "{stays:?}");
        let writer = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Chain::open_head(&lake.store, "s.child").await.unwrap();
        };
        let (passes, ()) = tokio::join!(check(&lake.store, &options), writer);
        let passes = passes.unwrap();
        assert_eq!(passes.findings, []);
        assert_eq!(passes.rows, 16 + commit.rows);
    });
}

fn repaired(lake: &TestLake, access: Access) -> Repaired {
    block_on(repair(&lake.store, access)).unwrap()
}

#[test]
fn a_repair_finishes_what_a_crash_left() {
    let whole = TestLake::sample();
    let nothing = Repaired::default();
    assert_eq!(repaired(&whole, Access::Exclusive), nothing);
    let rows = whole.rows("flows");

    // a commit that is not published, or in part
    for part in [false, true] {
        let lake = TestLake::sample();
        let commit = unpublished(&lake);
        let flows: Vec<_> = commit.files.iter().filter(|file| file.path.starts_with("flows/")).collect();
        if part {
            let files: Vec<_> = flows.iter().map(|file| (file.staged.as_str(), file.path.as_str())).collect();
            block_on(lake.store.publish(&files)).unwrap();
        }
        let done = repaired(&lake, Access::Exclusive);
        assert_eq!(done.published.len(), commit.files.len() - if part { flows.len() } else { 0 });
        assert_eq!((done.removed.len(), done.cleared.len(), done.left.len()), (0, 0, 0));
        assert_eq!(report(&lake).findings, []);
        assert_eq!(lake.rows("flows").len(), rows.len() + 2);
    }

    // removals half done, of the head and of an earlier commit; staging; half a commit
    let lake = TestLake::sample();
    for number in [1, 2] {
        lake.put(&lake.commit("s.alerts", number).removes[0], b"{}\n");
    }
    lake.put("_flowbound/staging/s.child/0000000003/feed/1.parquet", b"x");
    lake.put("_flowbound/staging/s.child/0000000005/feed/1.parquet", b"x");
    lake.put("_flowbound/staging/s.new/0000000001/feed/1.parquet", b"x");
    lake.put("_flowbound/commits/s.child/0000000005.7-1.tmp", b"{");
    let shared = repaired(&lake, Access::Shared);
    assert_eq!((shared.removed.len(), shared.cleared.len()), (2, 2), "a writer may be at work: {shared:?}");
    let alone = repaired(&lake, Access::Exclusive);
    assert_eq!((alone.removed.len(), alone.cleared.len()), (0, 2));
    assert_eq!(report(&lake).findings, []);
    assert_eq!(lake.rows("flows"), rows);
    assert_eq!(repaired(&lake, Access::Exclusive), nothing);
}

/// What a repair cannot mend it leaves as it is: nothing that may be needed is deleted.
#[test]
fn a_repair_deletes_nothing_that_may_be_needed() {
    let sample = TestLake::sample();
    for (_, what, damage) in BREAKS {
        let lake = sample.copy();
        damage(&lake);
        let before = lake.rows_that_can_be_read();
        repaired(&lake, Access::Exclusive);
        let after = lake.rows_that_can_be_read();
        assert!(before.iter().all(|row| after.contains(row)), "{what}");
    }
    // merged files whose merger is lost are all there is of their rows
    let lake = TestLake::sample();
    let kept = fs::read(lake.path(&lake.file("flows", "s.parent-0000000002"))).unwrap();
    let kept_at = lake.file("flows", "s.parent-0000000002");
    let options = CompactOptions {
        now: DAY + 48 * HOUR,
        older_than: Duration::ZERO,
        min_files: 2,
        limits: FileLimits::default(),
    };
    assert_eq!(block_on(compact(&lake.store, &options)).unwrap().merged.len(), 2);
    lake.put(&kept_at, &kept);
    fs::remove_file(lake.path(&lake.file("flows", "/~compact-"))).unwrap();
    assert_eq!(repaired(&lake, Access::Exclusive).removed, [""; 0]);
    assert!(lake.path(&kept_at).exists());
    assert_eq!(errors(&report(&lake)), ["I5"].into());
}

/// A chain that cannot be read is left alone, and said so.
#[test]
fn a_damaged_chain_is_left() {
    let lake = TestLake::sample();
    lake.put("_flowbound/commits/s.child/0000000002.json", b"{");
    lake.put("_flowbound/staging/s.child/0000000003/feed/1.parquet", b"x");
    let done = repaired(&lake, Access::Exclusive);
    assert_eq!(done.left.len(), 1);
    assert_eq!((done.left[0].0.as_str(), done.cleared.len()), ("s.child", 0));
    assert!(lake.path("_flowbound/staging/s.child/0000000003/feed/1.parquet").exists());
}
