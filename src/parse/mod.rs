//! Lines to records.
