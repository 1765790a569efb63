//! Rows of the table `alerts`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder, StructBuilder,
    TimestampMillisecondBuilder,
};
use arrow::error::ArrowError;

use super::schema::{alerts_schema, evidence_fields};
use crate::detect::{Alert, Evidence};

/// The rows as one batch of the table.
pub(super) fn alerts_batch(rows: &[Alert]) -> Result<RecordBatch, ArrowError> {
    let text = |value: &dyn for<'r> Fn(&'r Alert) -> Option<&'r str>| -> ArrayRef {
        let mut builder = StringBuilder::new();
        rows.iter().for_each(|row| builder.append_option(value(row)));
        Arc::new(builder.finish())
    };
    let int32 = |value: &dyn Fn(&Alert) -> Option<i32>| -> ArrayRef {
        let mut builder = Int32Builder::new();
        rows.iter().for_each(|row| builder.append_option(value(row)));
        Arc::new(builder.finish())
    };
    let int64 = |value: &dyn Fn(&Alert) -> Option<u64>| -> ArrayRef {
        let mut builder = Int64Builder::new();
        rows.iter().for_each(|row| {
            builder.append_option(value(row).map(|v| i64::try_from(v).unwrap_or(i64::MAX)));
        });
        Arc::new(builder.finish())
    };
    let time = |value: &dyn Fn(&Alert) -> Option<i64>| -> ArrayRef {
        let mut builder = TimestampMillisecondBuilder::new();
        rows.iter().for_each(|row| builder.append_option(value(row)));
        Arc::new(builder.finish())
    };
    let columns = vec![
        text(&|row| Some(&row.finding.alert_id)),
        int32(&|row| Some(row.revision)),
        text(&|row| Some(row.status.as_str())),
        text(&|row| Some(&row.finding.detector)),
        text(&|row| Some(row.finding.severity.as_str())),
        text(&|row| row.finding.confidence.map(|confidence| confidence.as_str())),
        text(&|row| Some(&row.finding.title)),
        time(&|row| row.finding.first_seen),
        time(&|row| row.finding.last_seen),
        time(&|row| row.finding.window_start),
        time(&|row| row.finding.window_end),
        text(&|row| row.finding.client_zone.as_deref()),
        text(&|row| row.finding.server_zone.as_deref()),
        text(&|row| row.finding.client_addr.as_deref()),
        text(&|row| row.finding.server_addr.as_deref()),
        int32(&|row| row.finding.server_port.map(i32::from)),
        int32(&|row| row.finding.protocol.map(i32::from)),
        text(&|row| row.finding.verdict.map(|verdict| verdict.as_str())),
        text(&|row| row.finding.rule.as_deref()),
        text(&|row| row.finding.reason.as_deref()),
        int64(&|row| Some(row.finding.flows)),
        int64(&|row| row.finding.conversations),
        int64(&|row| row.finding.packets),
        int64(&|row| row.finding.bytes),
        int64(&|row| row.finding.distinct_ports),
        int64(&|row| row.finding.distinct_servers),
        evidence(rows),
        text(&|row| Some(&row.finding.query)),
    ];
    RecordBatch::try_new(alerts_schema(), columns)
}

fn evidence(rows: &[Alert]) -> ArrayRef {
    let fields = evidence_fields();
    let mut lists = ListBuilder::new(StructBuilder::from_fields(fields, rows.len()));
    for row in rows {
        for item in &row.finding.evidence {
            append_evidence(lists.values(), item);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn append_evidence(row: &mut StructBuilder, item: &Evidence) {
    // the builders are those of `evidence_fields`, in that order
    if let Some(builder) = row.field_builder::<TimestampMillisecondBuilder>(0) {
        builder.append_option(item.start);
    }
    for (place, value) in
        [(1, &item.srcaddr), (3, &item.dstaddr), (6, &item.action), (7, &item.verdict), (8, &item.source)]
    {
        if let Some(builder) = row.field_builder::<StringBuilder>(place) {
            builder.append_option(value.as_deref());
        }
    }
    for (place, value) in
        [(2, item.srcport.map(i32::from)), (4, item.dstport.map(i32::from)), (5, item.protocol.map(i32::from))]
    {
        if let Some(builder) = row.field_builder::<Int32Builder>(place) {
            builder.append_option(value);
        }
    }
    if let Some(builder) = row.field_builder::<Int64Builder>(9) {
        builder.append_value(item.line);
    }
    row.append(true);
}
