//! The bridge as a whole: starts publisher, links and control plane, watches over them, and stops them in order.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::backfill::{TrackStore, keeper};
use super::broker::publisher_settings;
use super::config::Config;
use super::control::{ControlPlane, ControlSocket, serve_mqtt};
use super::event_watch;
use super::http;
use super::hub::{Current, Hub};
use super::link::meter::Counters;
use super::links::{Links, Situation};
use super::log_level::LogLevel;
use super::orphans::{self, Known};
use super::outbox::{DurableOutbox, Limits, MemoryOutbox, Outbox, Policy, WhenFull};
use super::outlet::Outlet;
use super::publisher::{Publisher, PublisherHandle};
use super::reading::json::Json as Payload;
use super::reading::status::Severity;
use super::reload::{Keeper, Prepared, SharedKeeper, guard, watch_file};
use super::seq::Sequence;
use super::state_dir::StateDir;
use super::store_watch;
use crate::client::FileCounterStore;
use crate::error::{Code, Layer, Report};

/// How often the health is said.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);

/// How soon it is said that the health has turned.
const HEALTH_LOOK: Duration = Duration::from_secs(1);

/// Time for the publisher to send what waits.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    hub: Arc<Hub>,
    publisher: Publisher,
    publishing: CancellationToken,
    keeper: SharedKeeper,
    reload: Arc<Notify>,
    log_level: LogLevel,
    state_dir: StateDir,
}

impl Bridge {
    /// Takes the state directory and starts the publisher. Nothing is polled yet.
    ///
    /// # Errors
    /// Why the bridge cannot start with this configuration. A broker that is away is no such reason.
    pub fn start(config: Config) -> Result<Self, Report> {
        Self::start_with(config, None)
    }

    /// The same with a configuration that was loaded from a file: changes of either reach the other.
    ///
    /// # Errors
    /// As [`Bridge::start`].
    pub fn start_from(config: Config, file: &Path) -> Result<Self, Report> {
        Self::start_with(config, Some(file))
    }

    fn start_with(config: Config, file: Option<&Path>) -> Result<Self, Report> {
        let state_dir = StateDir::open(&config.state_dir)?;
        let counters = FileCounterStore::open(state_dir.path())
            .map_err(|error| Report::new(Code::StoreDamaged, Layer::Store, error.to_string()))?;
        let prepared = Prepared::new(config, file, state_dir.path())?;
        let (config, revision) = (Arc::clone(&prepared.config), prepared.revision);
        let settings = publisher_settings(&config, Some(state_dir.path()))?;
        let topics = Arc::new(settings.topics.clone());
        let sequence = Arc::new(Sequence::open(Some(state_dir.path())));
        let publishing = CancellationToken::new();
        let publisher = Publisher::spawn(settings, outbox(&config, state_dir.path()), publishing.clone());
        let outlet = Outlet::new(
            config.gateway.as_str(),
            topics,
            Arc::clone(&sequence),
            publisher.handle.clone(),
            config.mqtt.value_topics,
        );
        let situation = Situation { config: Arc::clone(&config), outlet: outlet.clone() };
        let links = Links::new(situation, Counters::File(counters), TrackStore::new(state_dir.path()));
        let current = Current { config, revision, outlet };
        let hub = Arc::new(Hub::new(current, links, publisher.handle.clone(), sequence));
        let keeper = Arc::new(Mutex::new(Keeper::new(prepared, Arc::clone(&hub))));
        let reload = Arc::new(Notify::new());
        let log_level = LogLevel::fixed();
        Ok(Self { hub, publisher, publishing, keeper, reload, log_level, state_dir })
    }

    /// The way to the broker.
    #[must_use]
    pub const fn publisher(&self) -> &PublisherHandle {
        &self.publisher.handle
    }

    /// Has the configuration file read again when notified.
    #[must_use]
    pub fn reload(&self) -> Arc<Notify> {
        Arc::clone(&self.reload)
    }

    /// Lets requests change the level of the log.
    #[must_use]
    pub fn with_log_level(self, log_level: LogLevel) -> Self {
        Self { log_level, ..self }
    }

    /// Polls until `stop`, or until a restart is asked for, then drains: links first, then the outbox, `offline` last.
    pub async fn run(self, stop: CancellationToken) -> Ended {
        let hub = &self.hub;
        let Current { config, outlet, .. } = hub.current();
        orphans::clear(&config, outlet.topics(), &hub.publisher, Known::Nothing);
        hub.say_inventories();
        hub.say_info();
        let details = [("version".into(), Payload::Text(env!("CARGO_PKG_VERSION").to_owned()))];
        hub.event("started", Severity::Info, Payload::Object(details.into())).await;
        let values = config.groups.values().flat_map(|group| &group.values);
        let profiles = values.flat_map(|value| value.devices.iter().map(move |device| (device, &value.name)));
        hub.links.tracks().forget_others(profiles);
        hub.links.start_all();
        self.keeper.lock().await.say_start().await;
        let restart = Arc::new(Notify::new());
        let plane = ControlPlane::new(
            Arc::clone(hub),
            Arc::clone(&self.keeper),
            self.log_level,
            Arc::clone(&restart),
        );
        let mut helpers = JoinSet::new();
        match ControlSocket::bind(self.state_dir.path()) {
            Ok(socket) => drop(helpers.spawn(socket.serve(Arc::clone(&plane)))),
            Err(error) => tracing::warn!(%error, "there is no control socket"),
        }
        helpers.spawn(serve_mqtt(plane, self.publisher.requests));
        helpers.spawn(guard(Arc::clone(&self.keeper)));
        helpers.spawn(store_watch::run(Arc::clone(hub)));
        helpers.spawn(keeper::run(hub.links.tracks().clone(), hub.publisher.clone()));
        helpers.spawn(event_watch::run(Arc::clone(hub)));
        helpers.spawn(watch_file(Arc::clone(&self.keeper), self.reload));
        helpers.spawn(http::serve_as_configured(Arc::clone(hub)));
        let mut mqtt = hub.publisher.mqtt_state();
        let mut ticks = tokio::time::interval(HEALTH_INTERVAL);
        let mut looks = tokio::time::interval(HEALTH_LOOK);
        let mut said = hub.health_status();
        let ended = loop {
            tokio::select! {
                () = stop.cancelled() => break Ended::Stopped,
                () = restart.notified() => break Ended::Restart,
                _ = ticks.tick() => hub.say_health(),
                _ = looks.tick() => {
                    let status = hub.health_status();
                    if status != said {
                        said = status;
                        hub.say_health();
                    }
                }
                changed = mqtt.changed() => {
                    if changed.is_err() {
                        break Ended::Stopped;
                    }
                    hub.say_info();
                }
            }
        };
        // A change under way is brought to its end, and none begins any more.
        let _last = self.keeper.lock().await;
        helpers.shutdown().await;
        hub.event("stopping", Severity::Info, Payload::Object(Vec::new())).await;
        hub.links.stop_all().await;
        let drained = hub.publisher.drain(DRAIN_TIME).await;
        if drained.left > 0 {
            tracing::warn!(left = drained.left, "messages were not sent before the stop");
        }
        self.publishing.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.publisher.task).await;
        // The outbox is closed: what was not sent is on the medium, if it ever will be.
        keeper::settle(hub.links.tracks(), &hub.publisher).await;
        ended
    }
}

/// Why a bridge has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was to stop.
    Stopped,
    /// It is to be made anew.
    Restart,
}

fn outbox(config: &Config, state_dir: &Path) -> Box<dyn Outbox> {
    use super::config::document::{Durability, WhenFull as Configured};

    let settings = config.outbox;
    let limits = Limits {
        max_bytes: usize::try_from(settings.max_bytes).unwrap_or(usize::MAX),
        max_age: settings.max_age,
        when_full: match settings.when_full {
            Configured::DropOldest => WhenFull::DropOldest,
            Configured::DropNewest => WhenFull::DropNewest,
            Configured::Block => WhenFull::Block,
        },
    };
    let policy = match settings.durability {
        Durability::Memory => return Box::new(MemoryOutbox::new(limits)),
        Durability::Spill => Policy::Spill,
        Durability::Always => Policy::Always,
    };
    match DurableOutbox::open(&state_dir.join("outbox"), policy, limits, Instant::now()) {
        Ok(outbox) => Box::new(outbox),
        Err(error) => {
            tracing::error!(%error, "the outbox on disk cannot be opened: messages wait in memory until the next start");
            Box::new(MemoryOutbox::standing_in(limits, error.kind().into()))
        }
    }
}
