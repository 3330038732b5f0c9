//! What the integration tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod apdu;
pub(crate) mod bad_network;
pub(crate) mod bridge;
pub(crate) mod expected;
pub(crate) mod line_hub;
pub(crate) mod modem;
pub(crate) mod mosquitto;
pub(crate) mod not_run;
pub(crate) mod optical_head;
pub(crate) mod paho;
pub(crate) mod peer_client;
pub(crate) mod peer_meter;
pub(crate) mod peer_mode;
pub(crate) mod proxy;
pub(crate) mod pty;
pub(crate) mod python;
pub(crate) mod readings;
pub(crate) mod scripted;
pub(crate) mod site;
pub(crate) mod vectors;
