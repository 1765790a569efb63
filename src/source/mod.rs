//! Where flow logs come from.

pub mod file;
pub mod kinesis;
