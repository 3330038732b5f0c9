//! The bridge as a whole: starts publisher and link actors, watches over them, and stops them in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::broker::publisher_settings;
use super::config::Config;
use super::health::{Health, LinkHealth, OutboxHealth};
use super::link::actor::LinkActor;
use super::link::meter::Counters;
use super::outbox::{Limits, MemoryOutbox, WhenFull};
use super::outlet::{Event, Outlet};
use super::publisher::{Publisher, PublisherHandle};
use super::reading::json::Json as Payload;
use super::reading::status::Severity;
use super::seq::Sequence;
use super::state_dir::StateDir;
use super::time::rfc3339;
use crate::client::FileCounterStore;
use crate::error::{Code, Layer, Report};

/// How often the health is said.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);

/// Pause before an actor that panicked starts again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Time for the links to take leave, and for the publisher to send what waits.
const LINKS_TIME: Duration = Duration::from_secs(8);
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    config: Arc<Config>,
    outlet: Outlet,
    counters: Counters,
    publisher: Publisher,
    publishing: CancellationToken,
    sequence: Arc<Sequence>,
    started: Timestamp,
    began: Instant,
    _state_dir: StateDir,
}

impl Bridge {
    /// Takes the state directory and starts the publisher. Nothing is polled yet.
    ///
    /// # Errors
    /// Why the bridge cannot start with this configuration. A broker that is away is no such reason.
    pub fn start(config: Config) -> Result<Self, Report> {
        let state_dir = StateDir::open(&config.state_dir)?;
        let counters = FileCounterStore::open(state_dir.path())
            .map_err(|error| Report::new(Code::StoreDamaged, Layer::Store, error.to_string()))?;
        let settings = publisher_settings(&config, Some(state_dir.path()))?;
        let topics = Arc::new(settings.topics.clone());
        let sequence = Arc::new(Sequence::open(Some(state_dir.path())));
        let publishing = CancellationToken::new();
        let publisher = Publisher::spawn(settings, Box::new(outbox(&config)), publishing.clone());
        let outlet = Outlet::new(
            config.gateway.as_str(),
            topics,
            Arc::clone(&sequence),
            publisher.handle.clone(),
            config.mqtt.value_topics,
        );
        Ok(Self {
            config: Arc::new(config),
            outlet,
            counters: Counters::File(counters),
            publisher,
            publishing,
            sequence,
            started: Timestamp::now(),
            began: Instant::now(),
            _state_dir: state_dir,
        })
    }

    /// The way to the broker.
    #[must_use]
    pub const fn publisher(&self) -> &PublisherHandle {
        &self.publisher.handle
    }

    /// Polls until `stop`, then drains: links first, then the outbox, `offline` last.
    pub async fn run(self, stop: CancellationToken) {
        self.say_inventories();
        self.say_info(None);
        let details = [("version".into(), Payload::Text(env!("CARGO_PKG_VERSION").to_owned()))];
        self.event("started", Severity::Info, Payload::Object(details.into())).await;
        let links = CancellationToken::new();
        let mut actors = JoinSet::new();
        let mut healths = Vec::new();
        for connection in self.config.connections.values() {
            let health = Arc::new(LinkHealth::new(connection.name.as_str()));
            healths.push(Arc::clone(&health));
            let task = self.watch_over(connection.name.to_string(), health, links.clone());
            actors.spawn(task);
        }
        let mut mqtt = self.publisher.handle.mqtt_state();
        let mut ticks = tokio::time::interval(HEALTH_INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.say_health(&healths),
                changed = mqtt.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let protocol = mqtt.borrow_and_update().protocol;
                    self.say_info(protocol.map(super::publisher::Version::as_str));
                }
            }
        }
        self.event("stopping", Severity::Info, Payload::Object(Vec::new())).await;
        links.cancel();
        let all_left = async { while actors.join_next().await.is_some() {} };
        if tokio::time::timeout(LINKS_TIME, all_left).await.is_err() {
            tracing::warn!(late = actors.len(), "links did not stop in time and are aborted");
            actors.abort_all();
        }
        let drained = self.publisher.handle.drain(DRAIN_TIME).await;
        if drained.left > 0 {
            tracing::warn!(left = drained.left, "messages were not sent before the stop");
        }
        self.publishing.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.publisher.task).await;
    }

    /// Runs the actor of a link; starts it again if it panics.
    fn watch_over(
        &self,
        name: String,
        health: Arc<LinkHealth>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let config = Arc::clone(&self.config);
        let (outlet, counters) = (self.outlet.clone(), self.counters.clone());
        async move {
            while !stop.is_cancelled() {
                let Some(connection) =
                    config.connections.values().find(|connection| connection.name.as_str() == name)
                else {
                    return;
                };
                let Some(actor) =
                    LinkActor::new(&config, connection, &counters, outlet.clone(), Arc::clone(&health))
                else {
                    return;
                };
                match tokio::spawn(actor.run(stop.clone())).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::error!(connection = %name, %error, "a link actor failed and is started again");
                        outlet
                            .event(Event {
                                kind: "task_restarted",
                                severity: Severity::Error,
                                device: None,
                                connection: Some(&name),
                                code: Some(Code::Internal),
                                data: &Payload::Object(Vec::new()),
                            })
                            .await;
                        tokio::time::sleep(RESTART_PAUSE).await;
                    }
                }
            }
        }
    }

    async fn event(&self, kind: &str, severity: Severity, data: Payload) {
        let event = Event { kind, severity, device: None, connection: None, code: None, data: &data };
        self.outlet.event(event).await;
    }

    fn say_info(&self, protocol: Option<&str>) {
        let config = &self.config;
        let info = json!({
            "v": 1,
            "gateway": self.outlet.gateway(),
            "version": env!("CARGO_PKG_VERSION"),
            "started": rfc3339(self.started),
            "config": { "revision": 1, "sha256": config.sha256() },
            "mqtt": { "protocol": protocol, "client_id": config.mqtt.client_id },
            "features": ["tcp", "hdlc", "wrapper"],
            "seq_start": self.sequence.start(),
        });
        self.outlet.state(&self.outlet.topics().bridge_info(), &info);
    }

    fn say_inventories(&self) {
        let redacted = self.config.to_json_redacted();
        let topics = self.outlet.topics();
        let inventories = [
            (topics.bridge_connections(), "connections"),
            (topics.bridge_devices(), "devices"),
            (topics.bridge_groups(), "groups"),
        ];
        for (topic, key) in inventories {
            let list = redacted.get(key).cloned().unwrap_or(Json::Array(Vec::new()));
            let payload = json!({ "v": 1, "gateway": self.outlet.gateway(), "revision": 1, key: list });
            self.outlet.state(&topic, &payload);
        }
    }

    fn say_health(&self, links: &[Arc<LinkHealth>]) {
        let stats = self.publisher.handle.stats();
        let outbox = OutboxHealth {
            messages: stats.depth.messages as u64,
            bytes: stats.depth.bytes as u64,
            oldest: stats.depth.oldest.map(|age| age.as_secs()),
            dropped: stats.dropped,
        };
        let links = links.iter().map(AsRef::as_ref);
        let health = Health::new(self.outlet.gateway(), Timestamp::now(), self.began, outbox, links);
        self.outlet.state(&self.outlet.topics().bridge_health(), &health);
    }
}

fn outbox(config: &Config) -> MemoryOutbox {
    use super::config::document::WhenFull as Configured;

    let settings = config.outbox;
    MemoryOutbox::new(Limits {
        max_bytes: usize::try_from(settings.max_bytes).unwrap_or(usize::MAX),
        max_age: settings.max_age,
        when_full: match settings.when_full {
            Configured::DropOldest => WhenFull::DropOldest,
            Configured::DropNewest => WhenFull::DropNewest,
            Configured::Block => WhenFull::Block,
        },
    })
}
