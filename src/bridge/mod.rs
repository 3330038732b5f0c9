//! L5: the product: configuration, schedules, link actors, payloads, outbox, MQTT and control.

pub mod config;
pub mod durable_file;
pub mod outbox;
pub mod publisher;
pub mod retained;
pub mod schedule;
pub mod seq;
pub mod topics;
