//! `late`: for more than an hour there is no record at all, and then there are some again.
//!
//! Key: the lake. Window: the minutes without a record. Counts: nothing, which is the point: the query finds no rows unless
//! the missing ones come later, and then the alert is withdrawn. Only stretches that end on the day itself and begin on
//! it or on the day before are told: who replays single days wants to hear nothing of those between. AWS writes NODATA
//! where nothing flows, so an hour without records is one whose logs are missing or not delivered yet. Of a stream all
//! shards must be past it.
//!
//! Severity: medium.

use super::{Group, Kind};
use crate::boundary::Severity;
use crate::detect::finding::{Finding, Query};
use crate::detect::settings::{Late, Tuned};

pub(super) const KIND: Kind = Kind { name: "late" };

pub(super) fn findings(group: Group<'_>, settings: &Tuned<Late>) -> Vec<Finding> {
    let Late { enabled, minutes } = settings.of(None);
    let Some(now) = group.clock.now() else { return Vec::new() };
    let seen = group.clock.minutes();
    let gaps = seen.windows(2).filter_map(|pair| match pair {
        // minutes are counted from the beginning of the day before
        [last, next] if (1440..=now).contains(next) && (next - last - 1) as u64 > *minutes => Some((*last, *next)),
        _ => None,
    });
    let finding = |(last, next): (i64, i64)| {
        let (start, end) = (group.moment(last + 1), group.moment(next));
        let mut query = Query::everything();
        query.within(Some(start), Some(end));
        let missing = next - last - 1;
        Finding {
            severity: Severity::Medium,
            title: format!("there are no records of {missing} minutes: logs are missing, or are late"),
            reason: Some(format!("{missing} minutes without any record; more than {minutes} are too many")),
            first_seen: Some(start),
            last_seen: Some(end),
            ..group.empty(&KIND, (start, end), query.finish(), group.key.clone())
        }
    };
    gaps.filter(|_| *enabled).map(finding).collect()
}
