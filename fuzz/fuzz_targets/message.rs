//! A record of a stream in any wrapping.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowbound::fuzzing::message(data));
