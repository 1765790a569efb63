//! flowbound.
pub mod boundary;
pub mod decode;
pub mod parse;
pub mod record;
pub mod synth;
