//! The text of a boundary map.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowbound::fuzzing::map(data));
