//! From the configured broker to what the publisher must know.

use std::path::Path;

use super::config::Secret;
use super::config::document::mqtt::Protocol as ConfiguredProtocol;
use super::config::model::{Config, Control, Qos as ConfiguredQos, Scheme as ConfiguredScheme};
use super::publisher::{
    BrokerUrl, Credentials, KeepAlive, Protocol, PublisherSettings, Qos, Requests, Scheme, TlsSettings,
    Version,
};
use crate::error::{Code, Layer, Report};

/// The publisher's settings of a configuration.
///
/// # Errors
/// `CONFIG_INVALID` for a password that cannot be read, or topics that MQTT does not take.
pub fn publisher_settings(config: &Config, state_dir: Option<&Path>) -> Result<PublisherSettings, Report> {
    let mqtt = &config.mqtt;
    let invalid = |message: String| Report::new(Code::ConfigInvalid, Layer::Config, message);
    let topics = mqtt.topics.clone();
    let broker = BrokerUrl {
        scheme: match mqtt.broker.scheme {
            ConfiguredScheme::Mqtt => Scheme::Mqtt,
            ConfiguredScheme::Mqtts => Scheme::Mqtts,
            ConfiguredScheme::Ws => Scheme::Ws,
            ConfiguredScheme::Wss => Scheme::Wss,
        },
        host: mqtt.broker.host.clone(),
        port: mqtt.broker.port,
        path: mqtt.broker.path.clone(),
    };
    let password = mqtt.password.as_ref().map(Secret::text).transpose();
    let password = password.map_err(|error| error.report())?;
    let credentials = mqtt.username.clone().map(|username| Credentials { username, password });
    Ok(PublisherSettings {
        protocol: match mqtt.protocol {
            ConfiguredProtocol::Auto => Protocol::Auto,
            ConfiguredProtocol::V5 => Protocol::Only(Version::V5),
            ConfiguredProtocol::V311 => Protocol::Only(Version::V311),
        },
        client_id: mqtt.client_id.clone(),
        credentials,
        tls: TlsSettings {
            ca_file: mqtt.tls.ca_file.clone(),
            cert_file: mqtt.tls.client.as_ref().map(|client| client.cert_file.clone()),
            key_file: mqtt.tls.client.as_ref().map(|client| client.key_file.clone()),
            server_name: mqtt.tls.server_name.clone(),
        },
        keep_alive: KeepAlive::new(mqtt.keep_alive).map_err(|error| invalid(error.to_string()))?,
        qos: match mqtt.qos {
            ConfiguredQos::AtMostOnce => Qos::AtMostOnce,
            ConfiguredQos::AtLeastOnce => Qos::AtLeastOnce,
        },
        requests: match mqtt.control {
            Control::Off => Requests::Off,
            Control::Allow(_) => Requests::Subscribed,
        },
        state_dir: state_dir.map(Path::to_owned),
        ..PublisherSettings::new(config.gateway.as_str(), topics, broker)
    })
}
