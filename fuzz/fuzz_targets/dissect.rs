//! Fuzzes `dissect`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dlms2mqtt_fuzz::dissect(bytes));
