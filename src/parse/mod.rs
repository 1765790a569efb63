//! Lines to records, zero-copy: a record borrows the line, and a good line allocates nothing.
//!
//! [`Batches`] walks over a chunk of lines and fills one [`FlowBatch`](crate::record::FlowBatch) after the other;
//! [`parse_line`] reads one line. `-` is null in every column. The number of columns must be that of the log format:
//! a format is never guessed from it. The combinators are nom's; the leaves, which see every byte, are written out.

mod batches;
mod leaf;
mod line;
#[cfg(test)]
mod tests;

pub use batches::{BATCH_RECORDS, Batches};
pub use line::parse_line;
