//! What the parts of a running bridge share, and what the bridge says of itself: info, inventories, health, events.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::config::Config;
use super::config::model::Control;
use super::health::{Health, HealthStatus, Losses, MqttHealth, OutboxHealth, Whole};
use super::links::Links;
use super::metrics::Scrape;
use super::outlet::{Event, Outlet};
use super::publisher::{MqttState, PublisherHandle};
use super::reading::json::Json as Payload;
use super::reading::status::Severity;
use super::seq::Sequence;
use super::time::rfc3339;

/// Shared by all parts of a running bridge.
#[derive(Debug)]
pub struct Hub {
    /// The running links.
    pub links: Links,
    /// The way to the broker.
    pub publisher: PublisherHandle,
    /// Numbers of messages.
    pub sequence: Arc<Sequence>,
    current: watch::Sender<Current>,
    losses: Mutex<Losses>,
    started: Timestamp,
    began: Instant,
}

/// The configuration in force.
#[derive(Clone, Debug)]
pub struct Current {
    /// The configuration.
    pub config: Arc<Config>,
    /// Rises with each configuration that comes into force.
    pub revision: u64,
    /// The way out that belongs to it.
    pub outlet: Outlet,
}

impl Hub {
    /// A bridge that starts now.
    #[must_use]
    pub fn new(current: Current, links: Links, publisher: PublisherHandle, sequence: Arc<Sequence>) -> Self {
        Self {
            links,
            publisher,
            sequence,
            current: watch::Sender::new(current),
            losses: Mutex::default(),
            started: Timestamp::now(),
            began: Instant::now(),
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn current(&self) -> Current {
        self.current.borrow().clone()
    }

    /// The configuration in force, now and whenever it changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Current> {
        self.current.subscribe()
    }

    /// Another configuration is in force from now on.
    pub fn set_current(&self, current: Current) {
        self.current.send_replace(current);
    }

    /// Publishes an event of the bridge; `data` is an object.
    pub async fn event(&self, kind: &str, severity: Severity, data: Payload) {
        let event = Event { kind, severity, device: None, connection: None, code: None, data: &data };
        self.current().outlet.event(event).await;
    }

    /// Publishes `bridge/info`.
    pub fn say_info(&self) {
        let Current { config, revision, outlet } = self.current();
        let protocol = self.publisher.mqtt_state().borrow().protocol;
        let info = json!({
            "v": 1,
            "gateway": outlet.gateway(),
            "version": env!("CARGO_PKG_VERSION"),
            "started": rfc3339(self.started),
            "config": { "revision": revision, "sha256": config.sha256() },
            "mqtt": {
                "protocol": protocol.map(super::publisher::Version::as_str),
                "client_id": config.mqtt.client_id,
            },
            "features": features(&config),
            "seq_start": self.sequence.start(),
        });
        outlet.state(&outlet.topics().bridge_info(), &info);
    }

    /// Publishes the inventories of connections, devices and groups.
    pub fn say_inventories(&self) {
        let Current { config, revision, outlet } = self.current();
        let redacted = config.to_json_redacted();
        let topics = outlet.topics();
        let inventories = [
            (topics.bridge_connections(), "connections"),
            (topics.bridge_devices(), "devices"),
            (topics.bridge_groups(), "groups"),
        ];
        for (topic, key) in inventories {
            let list = redacted.get(key).cloned().unwrap_or(Json::Array(Vec::new()));
            let payload = json!({ "v": 1, "gateway": outlet.gateway(), "revision": revision, key: list });
            outlet.state(&topic, &payload);
        }
    }

    /// The health at this moment, for those who ask.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health_with(Some(MqttHealth::from(&self.mqtt())))
    }

    /// The verdict that is published.
    #[must_use]
    pub fn health_status(&self) -> HealthStatus {
        self.health_with(None).status
    }

    fn health_with(&self, mqtt: Option<MqttHealth>) -> Health {
        let stats = self.publisher.stats();
        let outbox = OutboxHealth {
            messages: stats.depth.messages as u64,
            bytes: stats.depth.bytes as u64,
            oldest: stats.depth.oldest.map(|age| age.as_secs()),
            dropped: stats.dropped,
        };
        let links = self.links.healths();
        let outlet = self.current().outlet;
        let losses = &mut self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = Whole {
            gateway: outlet.gateway(),
            now: Timestamp::now(),
            uptime: self.began.elapsed(),
            is_losing: losses.are_recent(outbox.dropped, Instant::now()),
            outbox,
            mqtt,
        };
        Health::new(whole, links.iter().map(AsRef::as_ref))
    }

    /// Publishes the health.
    pub fn say_health(&self) {
        let outlet = self.current().outlet;
        outlet.state(&outlet.topics().bridge_health(), &self.health_with(None));
    }

    /// The connection to the broker.
    #[must_use]
    pub fn mqtt(&self) -> MqttState {
        self.publisher.mqtt_state().borrow().clone()
    }

    /// Everything that is counted, for metrics.
    #[must_use]
    pub fn scrape(&self) -> Scrape {
        Scrape {
            gateway: self.current().outlet.gateway().to_owned(),
            uptime: self.began.elapsed(),
            links: self.links.healths(),
            publisher: self.publisher.stats(),
            mqtt: self.mqtt(),
        }
    }
}

/// What subscribers and callers may count on.
fn features(config: &Config) -> Vec<&'static str> {
    let mut features = vec![
        "tcp",
        "udp",
        "serial",
        "hdlc",
        "hdlc_mode_e",
        "listen",
        "wrapper",
        "short_names",
        "durable_outbox",
    ];
    if config.mqtt.control != Control::Off {
        features.push("control");
    }
    features
}
