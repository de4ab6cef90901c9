//! Bytes for the property of the same name.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesher_properties::admission(data));
