//! Any lines in any log format.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowbound::fuzzing::parse(data));
