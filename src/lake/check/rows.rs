//! What only the files themselves can tell: rows that are there twice (I1), sums (I6), revisions (I7), files that
//! cannot be read (I5).

use std::collections::BTreeMap;
use std::io;

use super::super::commit::CommitKind;
use super::super::error::{LakeError, io_error};
use super::super::flow_file::Conserved;
use super::super::store::Store;
use super::finding::{Finding, Invariant, hints};
use super::places::{Places, Run, digest};
use super::snapshot::{Ledger, Named, Snapshot};
use super::table::{ALERTS, FLOWS, Table, Unreadable, scan};

/// Pairs of files with the same rows, and gaps, that are told of.
const TOLD: usize = 100;

/// Reads every file that shall be there.
pub(super) struct Rows<'s, S: Store> {
    pub(super) store: &'s S,
    pub(super) snapshot: &'s Snapshot,
    pub(super) ledger: &'s Ledger<'s>,
    pub(super) found: Vec<Finding>,
    /// Files that were there when the check began, and are not any more.
    pub(super) vanished: Vec<String>,
    pub(super) read: Conserved,
}

/// Rows of one name that two files have.
struct Double {
    rows: u64,
    name: u128,
    number: i64,
}

impl<'s, S: Store> Rows<'s, S> {
    /// Does all of it.
    pub(super) fn check(&mut self) -> Result<(), LakeError> {
        self.flows()?;
        self.alerts()?;
        self.quarantine()
    }

    fn flows(&mut self) -> Result<(), LakeError> {
        let files = self.there(FLOWS.folder);
        let whole = files.len() == self.ledger.live(FLOWS.folder).len();
        let (read, places) = self.scan_all(&FLOWS, &files)?;
        let mut sums: BTreeMap<(&str, u64), (u64, Conserved)> = BTreeMap::new();
        for (named, conserved) in files.iter().zip(&read) {
            let Some(conserved) = conserved else { continue };
            let (files, sum) = sums.entry((&named.chain.name, named.commit.number)).or_default();
            *files += 1;
            sum.merge(conserved);
            self.read.merge(conserved);
        }
        let before = self.found.len();
        for ((chain, number), (read, sum)) in sums {
            let Some(view) = self.snapshot.chains.get(chain) else { continue };
            let Some(commit) = view.commits.get(&number) else { continue };
            // of the others a part was merged or replaced, and their sums are looked at over the whole lake
            let files = commit.files.iter().filter(|file| file.path.starts_with("flows/")).count() as u64;
            if files == read {
                self.compare(&view.path(number), "commit", said(commit), &sum);
            }
        }
        if whole && read.iter().all(Option::is_some) && self.found.len() == before && self.snapshot.is_whole() {
            let mut said_all = Conserved::default();
            for commit in self.snapshot.chains.values().flat_map(|chain| chain.active()) {
                if commit.kind != CommitKind::Compact {
                    said_all.merge(&said(commit));
                }
            }
            let sum = self.read;
            self.compare("flows", "all commits together", said_all, &sum);
        }
        let doubles = doubles(places)?;
        for ((one, other), double) in doubles.into_iter().take(TOLD) {
            let (Some(one), Some(other)) = (files.get(one as usize), files.get(other as usize)) else { continue };
            let source = self.name_of(&FLOWS, one, double.name).unwrap_or_else(|| "a source".to_owned());
            let place = if one.file.path == other.file.path { "itself" } else { one.file.path.as_str() };
            let what = format!("{} of its rows are in {place} too, as line {} of {source}", double.rows, double.number);
            self.found.push(Finding::error(Invariant::I1, &other.file.path, what, hints::TWO_WAYS));
        }
        Ok(())
    }

    fn alerts(&mut self) -> Result<(), LakeError> {
        let files = self.there(ALERTS.folder);
        let whole = files.len() == self.ledger.live(ALERTS.folder).len();
        let (read, places) = self.scan_all(&ALERTS, &files)?;
        let whole = whole && read.iter().all(Option::is_some);
        let (mut doubles, mut gaps) = (Vec::new(), Vec::new());
        let shown = places.finish(|runs| {
            let mut next = 0;
            for run in runs {
                if run.first < next {
                    doubles.push((*run, run.first));
                } else if run.first > next {
                    gaps.push((*run, next));
                }
                next = next.max(run.last.saturating_add(1));
            }
            doubles.truncate(TOLD);
            gaps.truncate(TOLD);
        });
        shown.map_err(io_error("sort", "a temporary file"))?;
        if !whole {
            // what is missing is told of already
            gaps.clear();
        }
        for (run, revision, what, hint) in doubles
            .into_iter()
            .map(|(run, revision)| (run, revision, "is there twice", hints::TWO_WAYS))
            .chain(gaps.into_iter().map(|(run, revision)| (run, revision, "is not there", hints::REBUILD)))
        {
            let Some(named) = files.get(run.file as usize) else { continue };
            let alert = self.name_of(&ALERTS, named, run.name).unwrap_or_else(|| "an alert".to_owned());
            let what = format!("revision {revision} of {alert} {what}");
            self.found.push(Finding::error(Invariant::I7, &named.file.path, what, hint));
        }
        Ok(())
    }

    /// Files of a folder that shall be there and are.
    fn there(&self, folder: &str) -> Vec<Named<'s>> {
        let mut files = self.ledger.live(folder);
        files.retain(|named| self.snapshot.after.contains_key(&named.file.path));
        files
    }

    /// Reads files of a table: what each has, and where its rows are from.
    fn scan_all(&mut self, table: &Table, files: &[Named<'_>]) -> Result<(Vec<Option<Conserved>>, Places), LakeError> {
        let mut places = Places::new(files.iter().map(|named| named.file.rows).sum());
        let mut read = Vec::with_capacity(files.len());
        for (number, named) in (0u32..).zip(files) {
            let path = named.file.path.as_str();
            let file = match self.store.open_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.vanished.push(path.to_owned());
                    read.push(None);
                    continue;
                }
                opened => opened.map_err(io_error("read", path))?,
            };
            read.push(match scan(file, table, |name, row| places.add(name, row, number)) {
                Ok(conserved) => {
                    if conserved.rows != u128::from(named.file.rows) {
                        let what = format!("it has {} rows, and its commit says {}", conserved.rows, named.file.rows);
                        self.found.push(Finding::error(Invariant::I5, path, what, hints::RESTORE));
                    }
                    Some(conserved)
                }
                Err(Unreadable::Damaged(why)) => {
                    let what = format!("it cannot be read: {why}");
                    self.found.push(Finding::error(Invariant::I5, path, what, hints::RESTORE));
                    None
                }
                Err(Unreadable::Other(error)) => return Err(io_error("write", "a temporary file")(error)),
            });
        }
        Ok((read, places))
    }

    /// The name behind a digest, from a file that has it.
    fn name_of(&self, table: &Table, named: &Named<'_>, wanted: u128) -> Option<String> {
        let file = self.store.open_file(&named.file.path).ok()?;
        let mut last = (String::new(), 0);
        let searched = scan(file, table, |name, _| {
            if last.0 != name {
                last = (name.to_owned(), digest(name));
            }
            if last.1 == wanted { Err(()) } else { Ok(()) }
        });
        matches!(searched, Err(Unreadable::Other(()))).then_some(last.0)
    }

    fn compare(&mut self, path: &str, who: &str, said: Conserved, is: &Conserved) {
        for (what, said, is) in
            [("rows", said.rows, is.rows), ("packets", said.packets, is.packets), ("bytes", said.bytes, is.bytes)]
        {
            if said != is {
                let what = format!("{who}: {said} {what}, and the files have {is}");
                self.found.push(Finding::error(Invariant::I6, path, what, hints::RESTORE));
            }
        }
    }

    /// I6: a quarantine has as many lines as its commit says.
    fn quarantine(&mut self) -> Result<(), LakeError> {
        for named in self.there("quarantine") {
            let path = named.file.path.as_str();
            match self.store.open(path).and_then(count_lines) {
                Ok(lines) if lines == named.file.rows => {}
                Ok(lines) => {
                    let what = format!("it has {lines} lines, and its commit says {}", named.file.rows);
                    self.found.push(Finding::error(Invariant::I6, path, what, hints::RESTORE));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.vanished.push(path.to_owned()),
                Err(error) => return Err(io_error("read", path)(error)),
            }
        }
        Ok(())
    }
}

/// What a commit says of its rows; text that is no number counts nothing, and so differs.
fn said(commit: &super::super::commit::Commit) -> Conserved {
    Conserved {
        rows: commit.rows.into(),
        packets: commit.packets.parse().unwrap_or(0),
        bytes: commit.bytes.parse().unwrap_or(0),
    }
}

/// Lines, in memory for a piece of one.
fn count_lines(mut file: impl io::BufRead) -> io::Result<u64> {
    let mut lines = 0;
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', piece).count() as u64;
        let read = piece.len();
        file.consume(read);
    }
}

/// Pairs of files with the same rows: the first that has them, and the other.
fn doubles(places: Places) -> Result<BTreeMap<(u32, u32), Double>, LakeError> {
    let mut found: BTreeMap<(u32, u32), Double> = BTreeMap::new();
    let shown = places.finish(|runs| {
        let mut widest: Option<Run> = None;
        for run in runs {
            let Some(before) = widest else {
                widest = Some(*run);
                continue;
            };
            if run.first <= before.last {
                let rows = (run.last.min(before.last) - run.first).unsigned_abs() + 1;
                let pair = (before.file, run.file);
                if found.len() < TOLD || found.contains_key(&pair) {
                    let double = found.entry(pair).or_insert(Double { rows: 0, name: run.name, number: run.first });
                    double.rows += rows;
                }
            }
            if run.last > before.last {
                widest = Some(*run);
            }
        }
    });
    shown.map_err(io_error("sort", "a temporary file"))?;
    Ok(found)
}
