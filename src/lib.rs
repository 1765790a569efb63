//! flowbound.
pub mod boundary;
pub mod decode;
#[doc(hidden)]
pub mod fuzzing;
pub mod parse;
pub mod record;
pub mod synth;
