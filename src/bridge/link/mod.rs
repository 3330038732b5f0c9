//! One link and its meters: the actor that owns the port, the visits it makes, what it remembers of each meter.

pub mod failure;
pub mod memory;
pub mod meter;
pub mod settings;
