//! An object in any framing, pushed in pieces of any size.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowbound::fuzzing::decode(data));
