//! The table `alerts`, read back.
//!
//! All revisions of an alert lie in the folder of one day, that of its window: so the last one is found within a day,
//! and no more than a day is in memory.

use std::collections::BTreeMap;
use std::io;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType};

use super::error::{LakeError, io_error};
use super::partition::Day;
use super::schema::alerts_schema;
use super::store::Store;
use super::table_file::each_batch;
use crate::boundary::{Confidence, Severity, Verdict};
use crate::detect::{Alert, AlertStatus, Evidence, Finding};

const FOLDER: &str = "alerts";

/// How often a day is listed again because a file went away before it was read: it was merged into another.
const TRIES: u32 = 5;

/// The files of the table, by day.
///
/// # Errors
/// When the lake cannot be listed.
pub async fn alert_files<S: Store>(store: &S) -> Result<BTreeMap<Day, Vec<String>>, LakeError> {
    let mut days: BTreeMap<Day, Vec<String>> = BTreeMap::new();
    for path in store.list(FOLDER).await.map_err(io_error("list", FOLDER))? {
        let mut parts = path.split('/').skip(1);
        if let (Some(folder), Some(name), None) = (parts.next(), parts.next(), parts.next())
            && name.ends_with(".parquet")
        {
            days.entry(Day::of_folder(folder).unwrap_or(Day::of(None))).or_default().push(path);
        }
    }
    Ok(days)
}

/// The last revision of every alert of a day, by their ids.
///
/// # Errors
/// When a file cannot be read, or is not one that this version writes.
pub async fn last_alerts<S: Store>(store: &S, day: Day) -> Result<Vec<Alert>, LakeError> {
    let folder = format!("{FOLDER}/{day}");
    let mut tried = 0;
    loop {
        let files = store.list(&folder).await.map_err(io_error("list", &folder))?;
        let mut last: BTreeMap<String, Alert> = BTreeMap::new();
        let mut keep = |alert: Alert| {
            // a file that is being merged is there twice for a moment
            if last.get(&alert.finding.alert_id).is_none_or(|have| have.revision < alert.revision) {
                last.insert(alert.finding.alert_id.clone(), alert);
            }
        };
        tried += 1;
        let mut parquet = files.iter().filter(|path| path.ends_with(".parquet"));
        match parquet.try_for_each(|path| read_alerts(store, path, &mut keep)) {
            Err(LakeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && tried < TRIES => {}
            read => return read.map(|()| last.into_values().collect()),
        }
    }
}

/// Shows the alerts of a file, in its order.
///
/// # Errors
/// When it cannot be read, or is not one that this version writes.
pub fn read_alerts<S: Store>(store: &S, path: &str, show: &mut dyn FnMut(Alert)) -> Result<(), LakeError> {
    let damaged = |detail| LakeError::Damaged { path: path.to_owned(), detail };
    each_batch(store, path, &alerts_schema(), &mut |batch| {
        alerts_of(batch).map_err(damaged)?.into_iter().for_each(&mut *show);
        Ok(())
    })
    .map(|_| ())
}

/// The alerts of a batch; else what is wrong with it.
pub(super) fn alerts_of(batch: &RecordBatch) -> Result<Vec<Alert>, String> {
    let columns = StructArray::from(batch.clone());
    (0..batch.num_rows()).map(|row| Row { columns: &columns, row }.alert()).collect()
}

/// One row of the table, or of its column `evidence`.
struct Row<'b> {
    columns: &'b StructArray,
    row: usize,
}

impl<'b> Row<'b> {
    fn alert(&self) -> Result<Alert, String> {
        let finding = Finding {
            alert_id: self.needed("alert_id", self.text("alert_id")?)?,
            detector: self.needed("detector", self.text("detector")?)?.into(),
            severity: self.needed("severity", self.word("severity", Severity::from_name)?)?,
            confidence: self.word("confidence", Confidence::from_name)?,
            title: self.needed("title", self.text("title")?)?,
            first_seen: self.number("first_seen")?,
            last_seen: self.number("last_seen")?,
            window_start: self.number("window_start")?,
            window_end: self.number("window_end")?,
            client_zone: self.text("client_zone")?,
            server_zone: self.text("server_zone")?,
            client_addr: self.text("client_addr")?,
            server_addr: self.text("server_addr")?,
            server_port: self.number("server_port")?,
            protocol: self.number("protocol")?,
            verdict: self.word("verdict", Verdict::from_name)?,
            rule: self.text("rule")?,
            reason: self.text("reason")?,
            flows: self.needed("flows", self.number("flows")?)?,
            conversations: self.number("conversations")?,
            packets: self.number("packets")?,
            bytes: self.number("bytes")?,
            distinct_ports: self.number("distinct_ports")?,
            distinct_servers: self.number("distinct_servers")?,
            evidence: self.evidence()?,
            query: self.needed("query", self.text("query")?)?,
            subject: None,
        };
        Ok(Alert {
            revision: self.needed("revision", self.number("revision")?)?,
            status: self.needed("status", self.word("status", AlertStatus::from_name)?)?,
            finding,
        })
    }

    fn evidence(&self) -> Result<Vec<Evidence>, String> {
        let lists = self.column("evidence")?.as_list_opt::<i32>().ok_or("column evidence is no list")?;
        if lists.is_null(self.row) {
            return Ok(Vec::new());
        }
        let items = lists.value(self.row);
        let columns = items.as_struct_opt().ok_or("column evidence has no rows")?;
        (0..columns.len()).map(|row| Row { columns, row }.item()).collect()
    }

    fn item(&self) -> Result<Evidence, String> {
        Ok(Evidence {
            start: self.number("start")?,
            source: self.text("source")?,
            line: self.needed("line", self.number("line")?)?,
            srcaddr: self.text("srcaddr")?,
            srcport: self.number("srcport")?,
            dstaddr: self.text("dstaddr")?,
            dstport: self.number("dstport")?,
            protocol: self.number("protocol")?,
            action: self.text("action")?,
            verdict: self.text("verdict")?,
        })
    }

    fn column(&self, name: &str) -> Result<&'b ArrayRef, String> {
        self.columns.column_by_name(name).ok_or_else(|| format!("it has no column {name}"))
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let column = self.column(name)?.as_string_opt::<i32>().ok_or_else(|| format!("column {name} is no text"))?;
        Ok(column.is_valid(self.row).then(|| column.value(self.row).to_owned()))
    }

    fn word<T>(&self, name: &str, from: fn(&str) -> Option<T>) -> Result<Option<T>, String> {
        let known = |word: String| from(&word).ok_or_else(|| format!("column {name} has the unknown word '{word}'"));
        self.text(name)?.map(known).transpose()
    }

    fn number<N: TryFrom<i64>>(&self, name: &str) -> Result<Option<N>, String> {
        let column = self.column(name)?;
        if column.is_null(self.row) {
            return Ok(None);
        }
        let value = match column.data_type() {
            DataType::Int32 => column.as_primitive_opt::<Int32Type>().map(|column| column.value(self.row).into()),
            DataType::Int64 => column.as_primitive_opt::<Int64Type>().map(|column| column.value(self.row)),
            DataType::Timestamp(TimeUnit::Millisecond, None) => {
                column.as_primitive_opt::<TimestampMillisecondType>().map(|column| column.value(self.row))
            }
            _ => None,
        };
        let value: i64 = value.ok_or_else(|| format!("column {name} is no number"))?;
        N::try_from(value).map(Some).map_err(|_| format!("column {name} cannot be {value}"))
    }

    fn needed<T>(&self, name: &str, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("row {} has no {name}", self.row + 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::alert_table::alerts_batch;
    use super::super::testing::{DAY, TestLake, block_on};
    use super::*;

    fn of<T: Clone + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
        prop::sample::select(all)
    }

    fn text() -> impl Strategy<Value = Option<String>> {
        prop::option::of(any::<String>())
    }

    fn count() -> impl Strategy<Value = Option<u64>> {
        prop::option::of(0..=i64::MAX as u64)
    }

    fn evidence() -> impl Strategy<Value = Evidence> {
        (any::<(Option<i64>, i64, Option<u16>, Option<u16>, Option<u8>)>(), (text(), text(), text(), text(), text()))
            .prop_map(|((start, line, srcport, dstport, protocol), (source, srcaddr, dstaddr, action, verdict))| {
                Evidence { start, source, line, srcaddr, srcport, dstaddr, dstport, protocol, action, verdict }
            })
    }

    fn alert() -> impl Strategy<Value = Alert> {
        let words = (
            any::<String>(),
            any::<String>(),
            any::<String>(),
            any::<String>(),
            of(AlertStatus::ALL),
            of(Severity::ALL),
            prop::option::of(of(Confidence::ALL)),
            prop::option::of(of(Verdict::ALL)),
        );
        let times = any::<(Option<i64>, Option<i64>, Option<i64>, Option<i64>)>();
        let ends = (text(), text(), text(), text(), any::<(Option<u16>, Option<u8>, i32)>(), text(), text());
        let counts = (0..=i64::MAX as u64, count(), count(), count(), count(), count());
        (words, times, ends, counts, prop::collection::vec(evidence(), 0..4)).prop_map(
            |(words, times, ends, counts, evidence)| {
                let (alert_id, detector, title, query, status, severity, confidence, verdict) = words;
                let (client_zone, server_zone, client_addr, server_addr, numbers, rule, reason) = ends;
                let finding = Finding {
                    alert_id,
                    detector: detector.into(),
                    severity,
                    confidence,
                    title,
                    first_seen: times.0,
                    last_seen: times.1,
                    window_start: times.2,
                    window_end: times.3,
                    client_zone,
                    server_zone,
                    client_addr,
                    server_addr,
                    server_port: numbers.0,
                    protocol: numbers.1,
                    verdict,
                    rule,
                    reason,
                    flows: counts.0,
                    conversations: counts.1,
                    packets: counts.2,
                    bytes: counts.3,
                    distinct_ports: counts.4,
                    distinct_servers: counts.5,
                    evidence,
                    query,
                    subject: None,
                };
                Alert { revision: numbers.2, status, finding }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What is written is what is read, whatever of it is null.
        #[test]
        fn alerts_come_back_as_they_went(alerts in prop::collection::vec(alert(), 0..8)) {
            prop_assert_eq!(alerts_of(&alerts_batch(&alerts).unwrap()).unwrap(), alerts);
        }
    }

    #[test]
    fn the_last_revision_counts() {
        let lake = TestLake::empty();
        block_on(async {
            assert_eq!(alert_files(&lake.store).await.unwrap().len(), 0);
            lake.shard("shard-1", &[], "1", &[0], false).await;
            lake.alerts("80").await;
            lake.shard("shard-1", &[], "2", &[0], false).await;
            lake.alerts("80").await;
            let days = alert_files(&lake.store).await.unwrap();
            assert_eq!(days.get(&Day::of(Some(DAY))).map(Vec::len), Some(2), "{days:?}");
            let last = last_alerts(&lake.store, Day::of(Some(DAY))).await.unwrap();
            assert_eq!(last.iter().map(|alert| alert.revision).collect::<Vec<_>>(), [1]);
            assert_eq!(last_alerts(&lake.store, Day::of(Some(0))).await.unwrap(), []);
        });
    }

    #[test]
    fn what_is_no_table_of_alerts_is_told() {
        let lake = TestLake::empty();
        let folder = format!("{FOLDER}/{}", Day::of(Some(DAY)));
        lake.put(&format!("{folder}/notes.txt"), b"not read");
        assert_eq!(block_on(last_alerts(&lake.store, Day::of(Some(DAY)))).unwrap(), []);
        lake.put(&format!("{folder}/x.parquet"), b"PAR1, but for the rest");
        let error = block_on(last_alerts(&lake.store, Day::of(Some(DAY)))).unwrap_err();
        assert!(matches!(error, LakeError::Damaged { .. }), "{error}");
        let batch = alerts_batch(&[]).unwrap().slice(0, 0);
        assert_eq!(alerts_of(&batch), Ok(Vec::new()));
    }
}
