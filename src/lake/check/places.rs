//! Which numbers belong to which name, over a whole lake: the lines of each source, the revisions of each alert.
//!
//! Rows of one source lie beside each other nearly everywhere, with their lines in order; so what is kept is not rows
//! but *runs*: a name, its first number and its last. A name is kept as 128 bits of its SHA-256. Runs are divided by
//! name among parts, and a part that has gathered many writes them to a temporary file of its own. In the end one part
//! after the other is put in order. There are as many parts as keep each small, were every row a run of its own: up to
//! a billion rows no more than some 200 MiB of memory, and 40 bytes of disk for each run.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};

use sha2::{Digest as _, Sha256};

/// Rows, and so runs at most, that a part is meant for.
const PART_ROWS: u64 = 4 << 20;
/// Parts at most: each may have a file open.
const MOST_PARTS: u64 = 256;
/// Runs that all parts together hold before they are written.
const HELD_RUNS: usize = 1 << 20;
/// Bytes of a run in a file.
const RUN_BYTES: usize = 36;

/// Numbers without a gap that one file has for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) name: u128,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) file: u32,
}

impl Run {
    fn to_bytes(self) -> [u8; RUN_BYTES] {
        let mut bytes = [0; RUN_BYTES];
        let parts: [&[u8]; 4] =
            [&self.name.to_le_bytes(), &self.first.to_le_bytes(), &self.last.to_le_bytes(), &self.file.to_le_bytes()];
        bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        bytes
    }

    fn from_bytes(bytes: &[u8; RUN_BYTES]) -> Option<Self> {
        let (name, rest) = bytes.split_first_chunk::<16>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (last, rest) = rest.split_first_chunk::<8>()?;
        let file = rest.first_chunk::<4>()?;
        Some(Self {
            name: u128::from_le_bytes(*name),
            first: i64::from_le_bytes(*first),
            last: i64::from_le_bytes(*last),
            file: u32::from_le_bytes(*file),
        })
    }
}

/// A name as a run has it.
pub(super) fn digest(name: &str) -> u128 {
    let digest = Sha256::digest(name);
    digest.iter().take(16).fold(0, |digest, byte| (digest << 8) | u128::from(*byte))
}

#[derive(Default)]
struct Part {
    held: Vec<Run>,
    spilled: Option<(BufWriter<File>, u64)>,
}

impl Part {
    fn spill(&mut self) -> io::Result<()> {
        let (mut file, mut runs) = match self.spilled.take() {
            Some(spilled) => spilled,
            None => (BufWriter::new(tempfile::tempfile()?), 0),
        };
        for run in self.held.drain(..) {
            file.write_all(&run.to_bytes())?;
            runs += 1;
        }
        self.spilled = Some((file, runs));
        Ok(())
    }

    /// All of its runs by name and number.
    fn in_order(self) -> io::Result<Vec<Run>> {
        let mut runs = self.held;
        if let Some((file, spilled)) = self.spilled {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            let mut file = BufReader::new(file);
            let mut bytes = [0; RUN_BYTES];
            for _ in 0..spilled {
                file.read_exact(&mut bytes)?;
                runs.extend(Run::from_bytes(&bytes));
            }
        }
        runs.sort_unstable();
        Ok(runs)
    }
}

/// Gathers the numbers of names.
pub(super) struct Places {
    parts: Vec<Part>,
    part_runs: usize,
    /// The run that may go on.
    open: Option<(String, Run)>,
}

impl Places {
    /// Room for about so many rows.
    pub(super) fn new(rows: u64) -> Self {
        Self::in_parts(rows.div_ceil(PART_ROWS).clamp(1, MOST_PARTS) as usize, HELD_RUNS)
    }

    fn in_parts(parts: usize, held_runs: usize) -> Self {
        let part_runs = (held_runs / parts).max(1);
        Self { parts: (0..parts).map(|_| Part::default()).collect(), part_runs, open: None }
    }

    /// A row of this file.
    pub(super) fn add(&mut self, name: &str, number: i64, file: u32) -> io::Result<()> {
        let known = match &mut self.open {
            Some((open, run)) if open == name => {
                if run.file == file && run.last.checked_add(1) == Some(number) {
                    run.last = number;
                    return Ok(());
                }
                Some(run.name)
            }
            _ => None,
        };
        let run = Run { name: known.unwrap_or_else(|| digest(name)), first: number, last: number, file };
        match &mut self.open {
            Some((open, last)) => {
                let ended = std::mem::replace(last, run);
                if known.is_none() {
                    name.clone_into(open);
                }
                self.keep(ended)
            }
            None => {
                self.open = Some((name.to_owned(), run));
                Ok(())
            }
        }
    }

    fn keep(&mut self, run: Run) -> io::Result<()> {
        let place = (run.name % self.parts.len() as u128) as usize;
        let Some(part) = self.parts.get_mut(place) else { return Ok(()) };
        part.held.push(run);
        if part.held.len() >= self.part_runs { part.spill() } else { Ok(()) }
    }

    /// Shows the runs of each name, by their numbers.
    pub(super) fn finish(mut self, mut show: impl FnMut(&[Run])) -> io::Result<()> {
        if let Some((_, run)) = self.open.take() {
            self.keep(run)?;
        }
        // one after the other: what a part has read goes before the next is read
        for part in self.parts {
            part.in_order()?.chunk_by(|one, other| one.name == other.name).for_each(&mut show);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever is written to disk meanwhile: each number of each name is shown as often as it came.
        #[test]
        fn nothing_is_lost(rows in prop::collection::vec((0u8..20, 0i64..30, 0u32..3), 0..500), parts in 1usize..5) {
            let mut places = Places::in_parts(parts, 16);
            let mut expected: BTreeMap<(u128, i64, u32), usize> = BTreeMap::new();
            for (name, number, file) in rows {
                let name = format!("s3://bucket/{name}");
                places.add(&name, number, file).unwrap();
                *expected.entry((digest(&name), number, file)).or_default() += 1;
            }
            let mut shown: BTreeMap<(u128, i64, u32), usize> = BTreeMap::new();
            let mut names = Vec::new();
            places.finish(|runs| {
                names.push(runs[0].name);
                assert!(runs.is_sorted());
                for run in runs {
                    (run.first..=run.last).for_each(|n| *shown.entry((run.name, n, run.file)).or_default() += 1);
                }
            }).unwrap();
            prop_assert_eq!(shown, expected);
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), count, "a name is shown once");
        }
    }

    #[test]
    fn rows_in_order_are_one_run() {
        let mut places = Places::new(0);
        (1..=100_000).for_each(|line| places.add("file:///a", line, 7).unwrap());
        places.add("file:///a", i64::MAX, 7).unwrap();
        places.add("file:///a", i64::MIN, 7).unwrap();
        let mut shown = Vec::new();
        places.finish(|runs| shown.extend_from_slice(runs)).unwrap();
        let run = |first, last| Run { name: digest("file:///a"), first, last, file: 7 };
        assert_eq!(shown, [run(i64::MIN, i64::MIN), run(1, 100_000), run(i64::MAX, i64::MAX)]);
        assert_eq!(Run::from_bytes(&shown[1].to_bytes()), Some(shown[1]));
    }
}
