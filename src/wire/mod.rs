//! L0: bytes to values and back. No clock, keys or I/O.

pub mod cursor;
pub mod data;
pub mod date_time;
pub mod error;
pub mod obis;
