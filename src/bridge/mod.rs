//! L5: the product: configuration, schedules, link actors, payloads, outbox, MQTT and control.

pub mod backoff;
pub mod broker;
pub mod config;
pub mod control;
pub mod durable_file;
pub mod health;
pub mod hub;
pub mod import;
pub mod link;
pub mod links;
pub mod on_demand;
pub mod orphans;
pub mod outbox;
pub mod outlet;
pub mod probe;
pub mod publisher;
pub mod reading;
pub mod reload;
pub mod retained;
pub mod scan;
pub mod schedule;
pub mod seq;
pub mod state_dir;
pub mod supervisor;
pub mod time;
pub mod topics;
