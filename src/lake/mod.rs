//! The lake: columns, Parquet files, partitions, and the chain of commits that makes them visible.

mod alert_reader;
mod alert_table;
mod alert_writer;
mod beside;
mod chain;
pub mod check;
mod columns;
mod commit;
pub mod compact;
mod error;
mod flow_file;
mod flow_writer;
mod local;
mod outbox;
mod pages;
mod parquet_file;
mod partition;
mod quarantine;
mod read_only;
mod s3;
pub mod schema;
mod side_by_side;
mod state;
mod store;
mod table_file;
mod unit;
mod upload;

pub use alert_reader::{alert_files, last_alerts, read_alerts};
pub use alert_writer::AlertWriter;
pub use beside::{DayFiles, DaysReader, KeptState, OfDays, kept_state};
pub use chain::{Access, COMMITS, COMPACT, Chain, REPLAY, STAGING};
pub use columns::FlowRows;
pub use commit::{Closing, Commit, CommitKind, FileEntry, MapIdentity, ObjectEntry, ShardPosition, ShardSpan};
pub use error::{LakeError, io_error};
pub use flow_file::Conserved;
pub use flow_writer::{FileLimits, FlowWriter};
pub use local::{LocalStore, in_place};
pub use outbox::{Mark, Outbox};
pub use parquet_file::{Origin, Staged, writer_properties};
pub use partition::{Day, Hour};
pub use quarantine::{Quarantine, append_quarantine};
pub use read_only::ReadOnly;
pub use s3::S3Store;
pub(crate) use side_by_side::side_by_side;
pub use state::{Emitted, StateEntry, StateReader, StateWriter, is_history_file, state_folder};
pub use store::{StagedFile, Store, StoredFile};
pub use unit::Unit;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
