//! One link and its meters: the actor that owns the port, the visits it makes, what it remembers of each meter.

pub mod actor;
pub mod approach;
mod attempt;
mod backfill;
pub mod clock;
pub mod counters;
mod cycle;
pub mod dial_in;
pub mod failure;
pub mod identity;
mod in_parts;
pub mod memory;
pub mod meter;
mod notifications;
pub mod open;
pub mod order;
pub mod port_check;
mod profile_reading;
pub mod range;
pub mod resync;
pub mod serial_line;
mod serve;
pub mod settings;
pub mod station;
pub mod traces;
pub mod visit;
