//! What must hold of any bytes at all: nothing panics, and what was accepted survives a round trip.
//!
//! Each function is the body of the fuzz target of its name; `tests/hostile.rs` runs the same bodies on every test.

mod codecs;
mod config;
mod dissect;
mod session;

pub use codecs::{acse, apdu, ciphered, compact, data, hdlc, objects, text, wrapper};
pub use config::config;
pub use dissect::dissect;
pub use session::{gbt, session};

/// Panics where bytes break a promise.
pub type Body = fn(&[u8]);

/// Targets of what arrives from meters, by name. None allocates more than the bytes that arrived can justify.
pub const FROM_METERS: &[(&str, Body)] = &[
    ("data", data),
    ("compact", compact),
    ("text", text),
    ("hdlc", hdlc),
    ("wrapper", wrapper),
    ("acse", acse),
    ("apdu", apdu),
    ("objects", objects),
    ("ciphered", ciphered),
    ("session", session),
    ("gbt", gbt),
];
