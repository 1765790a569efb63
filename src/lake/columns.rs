//! Rows of the table `flows` as Arrow columns.
//!
//! Values go straight from the record's borrowed bytes into the builders. Only the fields of the current log
//! format have a builder that is fed; the other columns become null arrays when a batch is finished, so a
//! 14-field log does not pay for 54 columns.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, Int32Builder, Int64Builder, MapBuilder, MapFieldNames, RecordBatch, StringBuilder,
    TimestampMillisecondBuilder, new_null_array,
};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::schema::flows_schema;
use crate::boundary::{Boundary, Judgement};
use crate::record::{Field, FieldType, FlowRecord, LogFormat};

enum FieldBuilder {
    Text(StringBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Time(TimestampMillisecondBuilder),
}

impl FieldBuilder {
    fn new(field: Field) -> Self {
        match field.def().field_type {
            FieldType::Int32 { .. } => Self::Int32(Int32Builder::new()),
            FieldType::Int64 => Self::Int64(Int64Builder::new()),
            FieldType::Time => Self::Time(TimestampMillisecondBuilder::new()),
            FieldType::Address | FieldType::Action | FieldType::Status | FieldType::Text => {
                Self::Text(StringBuilder::new())
            }
        }
    }

    fn append(&mut self, field: Field, record: &FlowRecord<'_>) {
        match self {
            Self::Text(builder) => builder.append_option(record.text(field)),
            // the field's range is part of its type: the conversion never cuts a value
            Self::Int32(builder) => builder.append_option(record.number(field).and_then(|v| i32::try_from(v).ok())),
            Self::Int64(builder) => builder.append_option(record.number(field)),
            Self::Time(builder) => builder.append_option(record.millis(field)),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => ArrayBuilder::finish(builder),
            Self::Int32(builder) => ArrayBuilder::finish(builder),
            Self::Int64(builder) => ArrayBuilder::finish(builder),
            Self::Time(builder) => ArrayBuilder::finish(builder),
        }
    }
}

/// The judgement's columns; absent without a map for every row but NODATA and SKIPDATA.
#[derive(Default)]
struct JudgedColumns {
    client_addr: StringBuilder,
    server_addr: StringBuilder,
    server_port: Int32Builder,
    client_zone: StringBuilder,
    server_zone: StringBuilder,
    service: StringBuilder,
    orientation: StringBuilder,
    oriented_by: StringBuilder,
    confidence: StringBuilder,
    side: StringBuilder,
    verdict: StringBuilder,
    rule: StringBuilder,
    reason: StringBuilder,
    severity: StringBuilder,
}

/// Collects rows of one log format.
pub struct FlowColumns {
    schema: SchemaRef,
    format: Arc<LogFormat>,
    fields: Vec<(Field, FieldBuilder)>,
    extra: MapBuilder<StringBuilder, StringBuilder>,
    judged: JudgedColumns,
    source: StringBuilder,
    line: Int64Builder,
    rows: usize,
}

impl FlowColumns {
    /// No rows yet.
    pub fn new(format: Arc<LogFormat>) -> Self {
        let names = MapFieldNames { entry: "entries".to_owned(), key: "keys".to_owned(), value: "values".to_owned() };
        Self {
            schema: flows_schema(),
            fields: Field::ALL
                .iter()
                .filter(|field| format.has(**field))
                .map(|field| (*field, FieldBuilder::new(*field)))
                .collect(),
            format,
            extra: MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new()),
            judged: JudgedColumns::default(),
            source: StringBuilder::new(),
            line: Int64Builder::new(),
            rows: 0,
        }
    }

    /// The format whose records can be pushed.
    pub fn format(&self) -> &Arc<LogFormat> {
        &self.format
    }

    /// Rows since the last [`finish`](Self::finish).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row. `judged` comes with the boundary that knows its names, or is a verdict of status alone.
    pub fn push(
        &mut self,
        record: &FlowRecord<'_>,
        judged: Option<&Judgement>,
        boundary: Option<&Boundary>,
        source: &str,
        line: i64,
    ) {
        for (field, builder) in &mut self.fields {
            builder.append(*field, record);
        }
        for (name, value) in record.extra() {
            if let Some(name) = self.format.extra().get(usize::from(*name)) {
                self.extra.keys().append_value(name);
                self.extra.values().append_value(value);
            }
        }
        // keys and values above have the same length, so this cannot fail
        let _infallible = self.extra.append(!record.extra().is_empty());
        self.judged.push(record, judged, boundary);
        self.source.append_value(source);
        self.line.append_value(line);
        self.rows += 1;
    }

    /// The rows so far as a batch with every column of the table; starts anew.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        let mut fed = self.fields.iter_mut().peekable();
        for (field, column) in Field::ALL.iter().zip(self.schema.fields()) {
            columns.push(match fed.next_if(|(have, _)| have == field) {
                Some((_, builder)) => builder.finish(),
                None => new_null_array(column.data_type(), rows),
            });
        }
        columns.push(ArrayBuilder::finish(&mut self.extra));
        self.judged.finish(&mut columns);
        columns.push(ArrayBuilder::finish(&mut self.source));
        columns.push(ArrayBuilder::finish(&mut self.line));
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

impl JudgedColumns {
    fn push(&mut self, record: &FlowRecord<'_>, judged: Option<&Judgement>, boundary: Option<&Boundary>) {
        let path = judged.and_then(|judged| judged.path);
        let (client, server, port) = match path {
            Some(path) if path.client_is_source => (record.source_field(), record.destination_field(), Field::Dstport),
            _ => (record.destination_field(), record.source_field(), Field::Srcport),
        };
        let shown = |field| path.and_then(|_| record.text(field));
        self.client_addr.append_option(shown(client));
        self.server_addr.append_option(shown(server));
        let port = path.and_then(|_| record.number(port)).and_then(|port| i32::try_from(port).ok());
        self.server_port.append_option(port);
        let zones = judged.and_then(|judged| judged.zones).zip(boundary);
        self.client_zone.append_option(zones.map(|((client, _), boundary)| boundary.zone_name(client)));
        self.server_zone.append_option(zones.map(|((_, server), boundary)| boundary.zone_name(server)));
        let service = path.and_then(|path| path.service).zip(boundary);
        self.service.append_option(service.map(|(service, boundary)| boundary.service_name(service)));
        self.orientation.append_option(path.map(|path| path.orientation.as_str()));
        self.oriented_by.append_option(path.map(|path| path.oriented_by.as_str()));
        self.confidence.append_option(path.map(|path| path.confidence.as_str()));
        self.side.append_option(path.map(|path| path.side.as_str()));
        self.verdict.append_option(judged.map(|judged| judged.verdict.as_str()));
        let rule = judged.zip(boundary).and_then(|(judged, boundary)| boundary.rule(judged.credit));
        append_display(&mut self.rule, rule);
        match (judged, boundary) {
            (Some(judged), Some(boundary)) => append_display(&mut self.reason, Some(boundary.reason(judged.reason))),
            (Some(judged), None) => self.reason.append_option(judged.reason.word()),
            (None, _) => self.reason.append_null(),
        }
        self.severity.append_option(judged.map(|judged| judged.severity.as_str()));
    }

    fn finish(&mut self, columns: &mut Vec<ArrayRef>) {
        columns.push(ArrayBuilder::finish(&mut self.client_addr));
        columns.push(ArrayBuilder::finish(&mut self.server_addr));
        columns.push(ArrayBuilder::finish(&mut self.server_port));
        columns.push(ArrayBuilder::finish(&mut self.client_zone));
        columns.push(ArrayBuilder::finish(&mut self.server_zone));
        for text in [
            &mut self.service,
            &mut self.orientation,
            &mut self.oriented_by,
            &mut self.confidence,
            &mut self.side,
            &mut self.verdict,
            &mut self.rule,
            &mut self.reason,
            &mut self.severity,
        ] {
            columns.push(ArrayBuilder::finish(text));
        }
    }
}

/// Appends a text that is put together from names, without building a `String` first.
fn append_display(builder: &mut StringBuilder, value: Option<impl std::fmt::Display>) {
    match value {
        Some(value) => {
            // writing to a builder cannot fail
            let _infallible = write!(builder, "{value}");
            builder.append_value("");
        }
        None => builder.append_null(),
    }
}
