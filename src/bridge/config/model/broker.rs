//! The broker and what is published there, every default applied.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::bridge::config::document::mqtt::{Permission, Protocol};
use crate::bridge::config::secret::Secret;
use crate::bridge::topics::Topics;

/// The broker and what is published there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// Where the broker is.
    pub broker: Broker,
    /// Version of MQTT.
    pub protocol: Protocol,
    /// Client id.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Certificates; used where the broker is reached over TLS.
    pub tls: Tls,
    /// Every topic, below the base topic.
    pub topics: Topics,
    /// Keep-alive interval, whole seconds.
    pub keep_alive: Duration,
    /// Quality of service of what is published.
    pub qos: Qos,
    /// Whether each value has a topic of its own as well.
    pub value_topics: ValueTopics,
    /// What may be asked over MQTT.
    pub control: Control,
    /// Topic filters of the response topics that callers may name.
    pub response_topics: Vec<String>,
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// How it is reached.
    pub scheme: Scheme,
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path of the websocket, beginning with a slash.
    pub path: String,
}

/// How a broker is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TCP.
    Mqtt,
    /// TLS.
    Mqtts,
    /// Websocket.
    Ws,
    /// Websocket over TLS.
    Wss,
}

/// Certificates. Relative paths are resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that are trusted; the system's if none.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and its key.
    pub client: Option<ClientCertificate>,
    /// The name that the broker's certificate must have, if not the host.
    pub server_name: Option<String>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// Quality of service of what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qos {
    /// 0.
    AtMostOnce,
    /// 1.
    AtLeastOnce,
}

/// Whether each value has a topic of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueTopics {
    /// Group snapshots alone.
    Off,
    /// `devices/<device>/values/<value>` too.
    On,
}

/// What may be asked over MQTT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Nothing: requests aren't even subscribed to.
    Off,
    /// These.
    Allow(BTreeSet<Permission>),
}

impl Scheme {
    /// Whether the way goes over TLS.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// Whether the way goes over a websocket.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// As in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

impl Control {
    /// Whether a verb may be asked: itself, or its family (`config` for `config/get`).
    #[must_use]
    pub fn allows(&self, verb: &str) -> bool {
        let Self::Allow(permissions) = self else { return false };
        let family = verb.split_once('/').map_or(verb, |(family, _)| family);
        permissions.iter().any(|permission| permission.as_str() == verb || permission.as_str() == family)
    }

    /// Whether definitions that come with a test request may be used.
    #[must_use]
    pub fn allows_inline_tests(&self) -> bool {
        matches!(self, Self::Allow(permissions) if permissions.contains(&Permission::TestInline))
    }
}
