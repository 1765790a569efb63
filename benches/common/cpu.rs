//! What a whole run costs in CPU time: a shared machine disturbs that less than wall time.

use std::path::Path;

/// A name, the name of the way beside which it stands, and how records get into a lake that way.
pub(crate) type Way<'a> = (&'a str, &'a str, &'a dyn Fn(&Path));

/// CPU time of this process, in nanoseconds.
fn cpu() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Runs of a way in a round: a short run is soon disturbed.
const TIMES: usize = 4;

/// Prints what a record costs each way, and the ratio to another way: medians of rounds in turn, so that all ways of a
/// round are disturbed alike.
pub(crate) fn costs(group: &str, records: u64, rounds: usize, ways: &[Way<'_>]) {
    let mut measured: Vec<Vec<f64>> = Vec::new();
    // not removed before the end: ext4 goes around the inodes of what was removed in the last minutes, file by file
    let mut lakes = Vec::new();
    for _ in 0..rounds {
        let mut cost = |(_, _, way): &Way<'_>| {
            let mut spent = 0;
            for _ in 0..TIMES {
                let lake = tempfile::tempdir().unwrap();
                let before = cpu();
                way(lake.path());
                spent += cpu() - before;
                lakes.push(lake);
            }
            spent as f64 / (TIMES as u64 * records) as f64
        };
        measured.push(ways.iter().map(&mut cost).collect());
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[rounds / 2]
    };
    for (number, (name, of, _)) in ways.iter().enumerate() {
        let beside = ways.iter().position(|(name, ..)| name == of).unwrap();
        let nanoseconds = median(measured.iter().map(|round| round[number]).collect());
        let ratio = median(measured.iter().map(|round| round[number] / round[beside]).collect());
        println!("{group}/{name}: {nanoseconds:.0} ns of CPU time a record, {ratio:.2} of {of}");
    }
}
