//! L0: bytes to values and back. No clock, keys or I/O.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod acse;
pub mod ber;
pub mod bit_string;
mod calendar;
pub mod compact_array;
pub mod cursor;
pub mod data;
pub mod data_type;
pub mod date_time;
mod date_time_text;
pub mod error;
pub mod hdlc;
pub mod iec62056_21;
pub mod obis;
pub mod wrapper;
pub mod xdlms;
