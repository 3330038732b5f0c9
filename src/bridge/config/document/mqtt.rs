//! The broker as it is written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bridge::config::forms::Switchable;
use crate::bridge::config::quantity::{Flag, Integer, Period, Text};
use crate::bridge::config::scalar::choice;
use crate::bridge::config::secret::Secret;

/// The broker and what is published there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// The broker: mqtt://, mqtts://, ws:// or wss://, host, and port if it isn't the usual one. Without user and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Version of MQTT. auto: 5, and 3.1.1 where the broker knows no better. Default: auto.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Client id. Default: dlms2mqtt- and the gateway's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Text>,
    /// User name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<Text>,
    /// Password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Certificates, for mqtts:// and wss://.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// What every topic begins with. Default: dlms/ and the gateway's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_topic: Option<String>,
    /// Keep-alive interval, 5 s to 65535 s. Default: 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Period>,
    /// Quality of service: 0 or 1. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub qos: Option<Integer>,
    /// Whether each value is published on a topic of its own as well. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_value_topics: Option<Flag>,
    /// Requests over MQTT, or off. Default: all but test_inline and the verbs that write to meters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<Switchable<Control>>,
    /// Topic filters of the response topics that callers may name (MQTT 5). Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_topics: Option<Vec<String>>,
}

choice! {
    /// Version of MQTT.
    Protocol {
        /// 5, and 3.1.1 where the broker knows no better.
        Auto => "auto",
        /// MQTT 5 alone.
        V5 => "5",
        /// MQTT 3.1.1 alone.
        V311 => "3.1.1",
    }
}

/// Certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificates of the authorities that are trusted, in PEM. Default: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// The client certificate's private key, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The name that the broker's certificate must have. Default: the host of the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// Requests over MQTT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// What may be asked: families of verbs (config) or single verbs (config/get).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Permission>>,
}

choice! {
    /// A family of verbs, a single verb, or a right beyond verbs.
    Permission {
        /// All of `config/…`.
        Config => "config",
        /// Reading the configuration, secrets redacted.
        ConfigGet => "config/get",
        /// Checking a configuration.
        ConfigValidate => "config/validate",
        /// Replacing the configuration.
        ConfigSet => "config/set",
        /// Changing parts of the configuration.
        ConfigPatch => "config/patch",
        /// Confirming a change.
        ConfigConfirm => "config/confirm",
        /// Returning to an earlier configuration.
        ConfigRollback => "config/rollback",
        /// Listing earlier configurations.
        ConfigHistory => "config/history",
        /// All of `test/…`, of what is configured.
        Test => "test",
        /// Testing connections.
        TestConnection => "test/connection",
        /// Testing devices.
        TestDevice => "test/device",
        /// Testing groups.
        TestGroup => "test/group",
        /// Tests of definitions that come with the request: connects wherever they say.
        TestInline => "test_inline",
        /// Reading objects of a configured device.
        Read => "read",
        /// All of `device/…`.
        Device => "device",
        /// Listing a meter's objects.
        DeviceScan => "device/scan",
        /// Ending a device's back-off and lock-out guard.
        DeviceReconnect => "device/reconnect",
        /// All of `poll/…`.
        Poll => "poll",
        /// Suspending polls.
        PollPause => "poll/pause",
        /// Resuming polls.
        PollResume => "poll/resume",
        /// All of `profile/…`.
        Profile => "profile",
        /// Reading a window of a profile.
        ProfileRead => "profile/read",
        /// All of `job/…`.
        Job => "job",
        /// Listing jobs.
        JobList => "job/list",
        /// Cancelling jobs.
        JobCancel => "job/cancel",
        /// Changing the log level for a while.
        LogLevel => "log_level",
        /// Asking for health.
        HealthCheck => "health_check",
        /// Rebuilding everything inside the process.
        Restart => "restart",
        /// Writing attributes of meters.
        Set => "set",
        /// Invoking methods of meters.
        Action => "action",
        /// Switching relays.
        Relay => "relay",
        /// All of `clock/…`.
        Clock => "clock",
        /// Setting meters' clocks.
        ClockSync => "clock/sync",
    }
}
