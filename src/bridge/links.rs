//! The running links: one watched actor for each connection, replaced and stopped by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::backfill::TrackStore;
use super::config::Name;
use super::config::model::{Config, Link};
use super::health::LinkHealth;
use super::link::actor::{LinkActor, OrderQueue};
use super::link::counters::Counters;
use super::link::dial_in::{Ended, Switchboard};
use super::link::order::{Order, Orders};
use super::outlet::{Event, Outlet};
use super::pauses::Pauses;
use super::reading::json::Json;
use super::reading::status::Severity;
use super::recent::Recent;
use crate::error::{Code, Layer, Report};

/// Pause before an actor that panicked starts again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Time for a link to take leave of its meters.
const LEAVE_TIME: Duration = Duration::from_secs(8);

/// What links run on.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The way out.
    pub outlet: Outlet,
}

/// All running links.
#[derive(Debug)]
pub struct Links {
    running: Mutex<BTreeMap<Name, RunningLink>>,
    situation: watch::Sender<Situation>,
    shared: Shared,
}

/// What outlives every single link.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where invocation counters are kept.
    pub counters: Counters,
    /// How far profiles were published.
    pub tracks: TrackStore,
    /// What is suspended on request.
    pub pauses: Arc<Pauses>,
    /// The last readings.
    pub recent: Arc<Recent>,
}

#[derive(Debug)]
struct RunningLink {
    orders: Orders,
    health: Arc<LinkHealth>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Links {
    /// No link so far.
    #[must_use]
    pub fn new(situation: Situation, counters: Counters, tracks: TrackStore) -> Self {
        let shared = Shared { counters, tracks, pauses: Arc::default(), recent: Arc::default() };
        Self { running: Mutex::default(), situation: watch::Sender::new(situation), shared }
    }

    /// How far profiles were published.
    #[must_use]
    pub const fn tracks(&self) -> &TrackStore {
        &self.shared.tracks
    }

    /// Starts the links of every enabled connection.
    pub fn start_all(&self) {
        let config = Arc::clone(&self.situation.borrow().config);
        for connection in config.connections.values().filter(|connection| connection.enabled) {
            self.start(&connection.name);
        }
    }

    /// Starts a link, unless it runs. A connection without devices has none.
    pub fn start(&self, name: &Name) {
        let mut running = self.lock();
        let Situation { config, .. } = &*self.situation.borrow();
        if running.contains_key(name) || config.devices_of(name).next().is_none() {
            return;
        }
        let (orders, queue) = Orders::queue();
        let health = Arc::new(LinkHealth::new(name.as_str()));
        let stop = CancellationToken::new();
        let task = watch_over(
            name.clone(),
            self.situation.subscribe(),
            self.shared.clone(),
            Arc::clone(&health),
            Arc::new(AsyncMutex::new(queue)),
            stop.clone(),
        );
        let task = tokio::spawn(task);
        running.insert(name.clone(), RunningLink { orders, health, stop, task });
    }

    /// Stops a link; back when its meters have taken leave, or are late.
    pub async fn stop(&self, name: &Name) {
        let found = self.lock().remove(name);
        if let Some(link) = found {
            link.stop.cancel();
            leave(name, link.task, Instant::now() + LEAVE_TIME).await;
        }
    }

    /// Stops all links at once.
    pub async fn stop_all(&self) {
        let running = std::mem::take(&mut *self.lock());
        running.values().for_each(|link| link.stop.cancel());
        let deadline = Instant::now() + LEAVE_TIME;
        for (name, link) in running {
            leave(&name, link.task, deadline).await;
        }
    }

    /// Says what links run on from now on. Those that run are not told: see [`Links::reconfigure`].
    pub fn set_situation(&self, situation: Situation) {
        self.situation.send_replace(situation);
    }

    /// Tells a running link to go on with the situation as it is now.
    pub async fn reconfigure(&self, name: &Name, deadline: Instant) -> Result<(), Report> {
        let Situation { config, outlet } = self.situation.borrow().clone();
        let Some(orders) = self.orders(name) else { return Ok(()) };
        orders.ask(deadline, |ask| Order::Reconfigure { config, outlet, ask }).await
    }

    /// What outlives every single link.
    #[must_use]
    pub const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The way to a link.
    #[must_use]
    pub fn orders(&self, name: &Name) -> Option<Orders> {
        self.lock().get(name).map(|link| link.orders.clone())
    }

    /// The names of the links that run.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        self.lock().keys().cloned().collect()
    }

    /// What each link counts.
    #[must_use]
    pub fn healths(&self) -> Vec<Arc<LinkHealth>> {
        self.lock().values().map(|link| Arc::clone(&link.health)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, RunningLink>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a connection has no link to ask.
#[must_use]
pub fn not_running(name: &Name) -> Report {
    Report::new(Code::LinkDown, Layer::Control, format!("the connection {name} is not enabled"))
}

async fn leave(name: &Name, mut task: JoinHandle<()>, deadline: Instant) {
    if tokio::time::timeout_at(deadline.into(), &mut task).await.is_err() {
        tracing::warn!(connection = %name, "the link did not stop in time and is aborted");
        task.abort();
        let _ = task.await;
    }
}

/// Runs the link of a connection; starts it again if it panics.
async fn watch_over(
    name: Name,
    situation: watch::Receiver<Situation>,
    shared: Shared,
    health: Arc<LinkHealth>,
    orders: OrderQueue,
    stop: CancellationToken,
) {
    let outlet = situation.borrow().outlet.clone();
    let link = name.clone();
    let stopped = stop.clone();
    let start = move || {
        let (link, situation, shared) = (link.clone(), situation.clone(), shared.clone());
        serve(link, situation, shared, Arc::clone(&health), Arc::clone(&orders), stopped.clone())
    };
    keep_running(name, outlet, stop, start).await;
}

/// Runs the link of a connection: the actor of its line, or who answers the calls of its meters.
async fn serve(
    name: Name,
    situation: watch::Receiver<Situation>,
    shared: Shared,
    health: Arc<LinkHealth>,
    orders: OrderQueue,
    stop: CancellationToken,
) {
    loop {
        let Situation { config, outlet } = situation.borrow().clone();
        let Some(connection) = config.connections.get(&name) else { return };
        let Link::Listen(_) = &connection.link else {
            let actor = LinkActor::new(&config, connection, &shared, outlet, health);
            if let Some(actor) = actor {
                actor.run(orders, stop).await;
            }
            return;
        };
        let config = Arc::clone(&config);
        let Some(switchboard) = Switchboard::new(config, &name, &shared, outlet, Arc::clone(&health)) else {
            return;
        };
        match switchboard.run(Arc::clone(&orders), stop.clone()).await {
            Ended::Stopped => return,
            Ended::Reconfigured => {}
        }
    }
}

/// Runs what `start` gives until it ends by itself or `stop` is asked; starts it again if it panics.
pub(super) async fn keep_running<F: Future<Output = ()> + Send + 'static>(
    name: Name,
    outlet: Outlet,
    stop: CancellationToken,
    mut start: impl FnMut() -> F,
) {
    while !stop.is_cancelled() {
        let span = tracing::info_span!("link", link = %name);
        match AbortOnDrop(tokio::spawn(start().instrument(span))).await {
            Ok(()) => return,
            Err(error) => {
                tracing::error!(connection = %name, %error, "a link failed and is started again");
                outlet
                    .event(Event {
                        kind: "task_restarted",
                        severity: Severity::Error,
                        device: None,
                        connection: Some(name.as_str()),
                        code: Some(Code::Internal),
                        data: &Json::Object(Vec::new()),
                    })
                    .await;
                tokio::time::sleep(RESTART_PAUSE).await;
            }
        }
    }
}

/// A task that does not outlive who waits for it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
