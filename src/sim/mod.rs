//! L4: a simulated meter on this project's own codecs, server side, with faults. For trials, the demo and tests.
//!
//! It shares codecs with the client, so it proves behaviour and never conformance. [`model`] holds the COSEM objects,
//! [`application`] associates and serves, [`mod@line`] joins both with a framing, [`server`] puts them on TCP ports.

pub mod application;
pub mod config;
pub mod faults;
pub mod line;
pub mod meter;
pub mod model;
pub mod server;

pub use config::{Framing, HdlcConfig, MeterConfig, Secret, SecurityConfig, ServerSap};
pub use faults::Faults;
pub use meter::Meter;
pub use model::preset::Preset;
pub use server::{SimulatedMeter, SpawnError};
