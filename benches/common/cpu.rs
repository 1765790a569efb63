//! What a whole run costs in CPU time: a shared machine disturbs that less than wall time.

use std::path::Path;

/// A name, the name of the way beside which it stands, and how records get into a lake that way.
pub(crate) type Way<'a> = (&'a str, &'a str, &'a dyn Fn(&Path));

/// CPU time of this process, in hundredths of a second.
fn cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    after_name.split(' ').skip(12).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Runs of a way in a round: the clock is a coarse one.
const TIMES: usize = 4;

/// Prints what a record costs each way, and the ratio to another way: medians of rounds in turn, so that all ways of a
/// round are disturbed alike.
pub(crate) fn costs(group: &str, records: u64, rounds: usize, ways: &[Way<'_>]) {
    let mut measured: Vec<Vec<f64>> = Vec::new();
    for _ in 0..rounds {
        let cost = |(_, _, way): &Way<'_>| {
            let before = cpu();
            for _ in 0..TIMES {
                let lake = tempfile::tempdir().unwrap();
                way(lake.path());
            }
            (cpu() - before) as f64 * 1e7 / (TIMES as u64 * records) as f64
        };
        measured.push(ways.iter().map(cost).collect());
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
