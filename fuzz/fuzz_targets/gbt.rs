//! Fuzzes `gbt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dlms2mqtt_fuzz::gbt(bytes));
