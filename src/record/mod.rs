//! What a flow log record is: fields, formats, values, records, batches. No I/O, no clock.

mod batch;
pub mod field;
mod flow;
mod format;
mod values;

pub use batch::{FlowBatch, LineChunk, ParseError, ParseErrorKind, Rejected};
pub use field::{FIELD_COUNT, Field, FieldType};
pub use flow::FlowRecord;
pub use format::{Column, FormatError, LogFormat};
pub use values::{Action, FlowDirection, LogStatus, TcpFlags};
