//! L5: the product: configuration, schedules, link actors, payloads, outbox, MQTT and control.

pub mod config;
pub mod outbox;
pub mod schedule;
pub mod topics;
