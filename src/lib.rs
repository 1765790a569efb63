//! flowbound reads AWS VPC Flow Logs, judges every record against a security-boundary map, and writes enriched
//! Parquet and alerts.
//!
//! ```text
//! source ──> decode ──> parse ──> boundary ──> lake        (flows/*.parquet)
//!  bytes      lines     records    verdicts      │
//!  + position                         └──> detect ──────>  (alerts/*.parquet)
//! ```
//!
//! The modules in the order of the data: [`source`] gives bytes and where they came from, [`decode`] makes lines of
//! them, [`parse`] makes [`record`]s of lines, [`boundary`] says what a record is, [`detect`] what many are, and
//! [`lake`] keeps both; [`alert`] gives alerts the forms that others read. [`pipeline`] alone wires them; [`cli`] is the
//! program. `ARCHITECTURE.md` has the ranks and where to change what.

pub mod alert;
pub mod analyze;
pub mod aws;
pub mod boundary;
pub mod cli;
pub mod decode;
pub mod detect;
#[doc(hidden)]
pub mod fuzzing;
pub mod lake;
pub mod parse;
pub mod pipeline;
pub mod record;
pub mod source;
pub mod synth;
pub mod telemetry;
