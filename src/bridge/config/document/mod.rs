//! The configuration as it is written: every key optional, nothing resolved, no default applied.
//!
//! Doc comments here are the descriptions of the published JSON Schema. Ranges stand in the schema and are
//! checked in `validate`; a test holds the two together.

pub mod connection;
pub mod device;
pub mod group;
pub mod mqtt;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forms::Switchable;
use super::name::Name;
use super::quantity::{Flag, Integer, Period, Size};
use super::scalar::choice;

/// The configuration of dlms2mqtt, version 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "dlms2mqtt configuration")]
pub struct Document {
    /// Version of this schema. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1))]
    pub version: Option<Integer>,
    /// Name of this gateway: part of every topic, of the default client id and of the default system title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Name>,
    /// The global switch: off keeps MQTT and control alive, and polls nothing. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<Flag>,
    /// Directory of the outbox, invocation counters, profile cursors, configuration history and retained topics.
    /// Default: /var/lib/dlms2mqtt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// Directory whose files a configuration that arrives over MQTT may name as secrets. Default: secrets in state_dir.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets_dir: Option<PathBuf>,
    /// The broker and what is published there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<mqtt::Mqtt>,
    /// Messages on their way to the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbox: Option<Outbox>,
    /// Health and metrics over HTTP, or off. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Switchable<Http>>,
    /// The lines that meters hang on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<Vec<connection::Connection>>,
    /// The meters: physical devices, DLMS servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<device::Device>>,
    /// COSEM groups: values that are read together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<group::Group>>,
}

/// Messages on their way to the broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outbox {
    /// When messages go to disk. Default: spill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// Most bytes that wait. Default: 64MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Size>,
    /// Longest time that a message waits. Default: 7d.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Period>,
    /// What gives way when it is full. Default: drop_oldest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_full: Option<WhenFull>,
}

choice! {
    /// When messages go to disk.
    Durability {
        /// Never: what waits is lost with the process.
        Memory => "memory",
        /// When the broker is away or slow.
        Spill => "spill",
        /// Always, before they are sent.
        Always => "always",
    }
}

choice! {
    /// What gives way when the outbox is full.
    WhenFull {
        /// The oldest message.
        DropOldest => "drop_oldest",
        /// The message that would be added.
        DropNewest => "drop_newest",
        /// Polling, until there is room.
        Block => "block",
    }
}

/// Health and metrics over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port, like 127.0.0.1:9187.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
}
