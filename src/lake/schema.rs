//! The tables `flows` and `alerts`: one list of columns each, from which the Arrow schema and the SQL DDL in
//! `schemas/` derive. The log's own columns come from the field table.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::MapFieldNames;
use arrow::datatypes::{DataType, Field as ArrowField, Fields, Schema, SchemaRef, TimeUnit};

use crate::record::{FIELD_COUNT, Field, FieldType};

/// Version of both tables; a reader can find it in the metadata of every file.
pub const SCHEMA_VERSION: &str = "1";

/// A type that every engine reads, in Arrow's and in SQL's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnType {
    Text,
    Int32,
    Int64,
    Time,
    TextMap,
    Evidence,
}

impl ColumnType {
    fn of(field: Field) -> Self {
        match field.def().field_type {
            FieldType::Int32 { .. } => Self::Int32,
            FieldType::Int64 => Self::Int64,
            FieldType::Time => Self::Time,
            FieldType::Address | FieldType::Action | FieldType::Status | FieldType::Text => Self::Text,
        }
    }

    fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            // no time zone: a plain TIMESTAMP, which no engine shifts; its values are UTC
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::TextMap => {
                let MapFieldNames { entry, key, value } = map_names();
                let members = Fields::from(vec![
                    ArrowField::new(key, DataType::Utf8, false),
                    ArrowField::new(value, DataType::Utf8, true),
                ]);
                DataType::Map(Arc::new(ArrowField::new(entry, DataType::Struct(members), false)), false)
            }
            Self::Evidence => {
                DataType::List(Arc::new(ArrowField::new("item", DataType::Struct(evidence_fields()), true)))
            }
        }
    }

    fn sql(self) -> String {
        match self {
            Self::Text => "VARCHAR".to_owned(),
            Self::Int32 => "INTEGER".to_owned(),
            Self::Int64 => "BIGINT".to_owned(),
            Self::Time => "TIMESTAMP".to_owned(),
            Self::TextMap => "MAP(VARCHAR, VARCHAR)".to_owned(),
            Self::Evidence => {
                let members: Vec<String> =
                    EVIDENCE.iter().map(|(name, ty, _)| format!("{} {}", quoted(name), ty.sql())).collect();
                format!("STRUCT({})[]", members.join(", "))
            }
        }
    }
}

use ColumnType::{Evidence, Int32, Int64, Text, TextMap, Time};

type ColumnDef = (&'static str, ColumnType, &'static str);

macro_rules! added {
    ($($variant:ident $name:literal $ty:ident, $about:literal;)*) => {
        /// What flowbound adds to a record, in the order of the columns, after the log's own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Added {
            $($variant,)*
        }

        const ADDED: &[ColumnDef] = &[$(($name, $ty, $about),)*];
    };
}

/// Place of an added column among the columns of `flows`.
pub(super) const fn added_column(added: Added) -> usize {
    FIELD_COUNT + added as usize
}

added! {
    Extra "extra" TextMap,
        "values of fields that have no column: unknown to this version, or of transit gateway logs";
    ClientAddr "client_addr" Text, "address of the end that connects";
    ServerAddr "server_addr" Text, "address of the end that is connected to";
    ServerPort "server_port" Int32, "port of the server";
    ClientZone "client_zone" Text, "zone of the client in the map";
    ServerZone "server_zone" Text, "zone of the server in the map";
    Service "service" Text, "narrowest service of the map at the server's port";
    Orientation "orientation" Text, "request, reply, none or unknown";
    OrientedBy "oriented_by" Text,
        "flags, policy, service, nat, well-known, ephemeral, lower-port, proto or tie";
    Confidence "confidence" Text, "certain, strong or weak";
    Side "side" Text, "which end recorded it: source, destination, transit or unknown";
    Verdict "verdict" Text, "expected, breach, blocked, outage, attempt, stray, unmapped, nodata or gap";
    Rule "rule" Text, "grants credited (egress+ingress), or the invariant that forbade it";
    Reason "reason" Text, "why the verdict was reached";
    Severity "severity" Text, "info, low, medium, high or critical";
    Source "source" Text, "URI of the object that the record was read from";
    Line "line" Int64, "line in that object, from 1";
}

const ALERTS: &[ColumnDef] = &[
    ("alert_id", Text, "32 hex digits, the same for the same traffic on every run"),
    ("revision", Int32, "from 0; the last one counts"),
    ("status", Text, "new, updated or closed"),
    ("detector", Text, "what found it"),
    ("severity", Text, "info, low, medium, high or critical"),
    ("confidence", Text, "of the clearest row: certain, strong or weak"),
    ("title", Text, "what happened, in one sentence"),
    ("first_seen", Time, "earliest start of its rows"),
    ("last_seen", Time, "latest end of its rows"),
    ("window_start", Time, "the window, by event time: as long as what it tells of lasts"),
    ("window_end", Time, "first moment after the window"),
    ("client_zone", Text, "zone of the client"),
    ("server_zone", Text, "zone of the server"),
    ("client_addr", Text, "the client"),
    ("server_addr", Text, "the server"),
    ("server_port", Int32, "the server's port"),
    ("protocol", Int32, "IANA protocol number"),
    ("verdict", Text, "verdict of its rows; null where they have several"),
    ("rule", Text, "grants or invariant that its rows name"),
    ("reason", Text, "reasons of its rows; of a scan what was seen, and the threshold"),
    ("flows", Int64, "rows in flows that it counts"),
    (
        "conversations",
        Int64,
        "client ports and servers, both interfaces' copies counted once; null without a server, and of scans",
    ),
    ("packets", Int64, "packets, likewise"),
    ("bytes", Int64, "bytes, likewise"),
    ("distinct_ports", Int64, "ports of servers"),
    ("distinct_servers", Int64, "servers"),
    ("evidence", Evidence, "up to ten of its rows, the earliest first"),
    ("query", Text, "DuckDB SQL over the view flows that returns exactly its rows"),
];

const EVIDENCE: &[ColumnDef] = &[
    ("start", Time, ""),
    ("srcaddr", Text, ""),
    ("srcport", Int32, ""),
    ("dstaddr", Text, ""),
    ("dstport", Int32, ""),
    ("protocol", Int32, ""),
    ("action", Text, ""),
    ("verdict", Text, ""),
    ("source", Text, ""),
    ("line", Int64, ""),
];

/// The names within the type of `extra`.
pub(super) fn map_names() -> MapFieldNames {
    MapFieldNames { entry: "entries".to_owned(), key: "keys".to_owned(), value: "values".to_owned() }
}

/// Members of one row of the column `evidence`.
pub(super) fn evidence_fields() -> Fields {
    EVIDENCE.iter().map(|(name, ty, _)| ArrowField::new(*name, ty.arrow(), true)).collect()
}

fn flows_columns() -> impl Iterator<Item = ColumnDef> {
    let logged = Field::ALL.iter().map(|field| (field.def().column, ColumnType::of(*field), field.def().about));
    logged.chain(ADDED.iter().copied())
}

fn arrow_schema(columns: impl Iterator<Item = ColumnDef>) -> SchemaRef {
    Arc::new(Schema::new(columns.map(|(name, ty, _)| ArrowField::new(name, ty.arrow(), true)).collect::<Fields>()))
}

/// Arrow schema of the table `flows`.
pub fn flows_schema() -> SchemaRef {
    arrow_schema(flows_columns())
}

/// Arrow schema of the table `alerts`.
pub fn alerts_schema() -> SchemaRef {
    arrow_schema(ALERTS.iter().copied())
}

/// DDL of the table `flows`, as `schemas/flows.sql` holds it: the columns of the files, then the partitions.
pub fn flows_sql() -> String {
    ddl(
        "flows",
        "One row per flow log record with log-status OK, NODATA or SKIPDATA.",
        flows_columns(),
        &[("date", "DATE", "UTC day of start; a partition"), ("hour", "INTEGER", "UTC hour of start; a partition")],
    )
}

/// DDL of the table `alerts`, as `schemas/alerts.sql` holds it.
pub fn alerts_sql() -> String {
    ddl(
        "alerts",
        "One row per revision of an alert; the last revision of an alert_id counts.",
        ALERTS.iter().copied(),
        &[("date", "DATE", "UTC day of window_start; a partition")],
    )
}

fn ddl(
    table: &str,
    about: &str,
    columns: impl Iterator<Item = ColumnDef>,
    partitions: &[(&str, &str, &str)],
) -> String {
    let mut rows: Vec<(String, String, String)> =
        columns.map(|(name, ty, about)| (quoted(name), ty.sql(), about.to_owned())).collect();
    rows.extend(partitions.iter().map(|(name, ty, about)| (quoted(name), (*ty).to_owned(), (*about).to_owned())));
    let last = rows.len() - 1;
    let mut text = format!("-- {about}\n-- Generated by `flowbound schema {table}`.\nCREATE TABLE {table} (\n");
    for (i, (name, ty, about)) in rows.iter().enumerate() {
        let comma = if i == last { "" } else { "," };
        // the evidence type is long: a comment behind it would not be read
        let _infallible = writeln!(text, "    {name} {ty}{comma}  -- {about}");
    }
    text.push_str(");\n");
    text
}

/// A column name as SQL wants it: `end` and `start` are words of the language in some engines.
fn quoted(name: &str) -> String {
    if matches!(name, "end" | "start" | "type" | "action" | "date" | "hour") {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}
