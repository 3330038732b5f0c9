//! dlms2mqtt: the MQTT gateway bridge for DLMS/COSEM meters.
//!
//! The layers, each importing only from those above it (see `docs/ARCHITECTURE.md`):
//! [`error`] the published form of failures · [`wire`] bytes and values · [`security`] keys and ciphers ·
//! [`cosem`] the object model · [`session`] links and associations · [`client`] what a client of meters is made of

pub mod bridge;
pub mod cli;
pub mod client;
pub mod cosem;
#[cfg(feature = "demo")]
pub mod demo_broker;
pub mod dissect;
pub mod error;
pub mod security;
pub mod session;
pub mod sim;
pub mod storage;
pub mod transport;
pub mod wire;
