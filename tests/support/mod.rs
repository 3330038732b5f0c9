//! What the integration tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod mosquitto;
pub(crate) mod vectors;
