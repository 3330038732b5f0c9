//! Meters that call us: one port for a connection, an actor of its own for each meter, and who brings them together.

mod caution;
mod heartbeat;
mod identify;
mod slot;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use slot::Slot;

use self::caution::Caution;
use self::identify::Directory;
use super::actor::{LinkActor, OrderQueue};
use super::order::{Ask, Order, Ordered, Orders, Subject};
use crate::bridge::config::Name;
use crate::bridge::config::model::{Config, Connection, Device, Link, Listen};
use crate::bridge::health::{Condition, LinkHealth};
use crate::bridge::links::{Shared, keep_running};
use crate::bridge::outlet::{Event, Outlet};
use crate::bridge::pauses::Subject as Paused;
use crate::bridge::reading::json::Json;
use crate::bridge::reading::status::{LinkState, Severity};
use crate::error::{Code, Layer, Report};
use crate::transport::Port;
use crate::transport::listener::{HangUp, ListenSettings, Listener};

/// Pause before a port that could not be listened on is tried again.
const LISTEN_PAUSE: Duration = Duration::from_secs(5);

/// Who answers the calls of one connection.
#[derive(Debug)]
pub struct Switchboard {
    config: Arc<Config>,
    directory: Arc<Directory>,
    shared: Shared,
    outlet: Outlet,
    health: Arc<LinkHealth>,
    lines: Vec<DeviceLine>,
}

/// The way to one meter's actor.
#[derive(Debug)]
struct DeviceLine {
    device: Arc<Device>,
    slot: Arc<Slot>,
    orders: Orders,
    queue: OrderQueue,
}

/// A call, once it is known whose it is, or that it is nobody's.
struct Answered {
    peer: SocketAddr,
    hang_up: HangUp,
    outcome: Result<(usize, Port), Report>,
}

/// Why a switchboard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was stopped.
    Stopped,
    /// Another configuration is in force, for another switchboard to work with.
    Reconfigured,
}

impl Switchboard {
    /// For a connection; `None` where no device hangs on it.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        connection: &Name,
        shared: &Shared,
        outlet: Outlet,
        health: Arc<LinkHealth>,
    ) -> Option<Self> {
        let lines: Vec<DeviceLine> = config.devices_of(connection).map(DeviceLine::new).collect();
        let directory = Arc::new(Directory {
            connection: Arc::new(config.connections.get(connection)?.clone()),
            devices: lines.iter().map(|line| Arc::clone(&line.device)).collect(),
            counters: shared.counters.clone(),
            caution: Caution::default(),
        });
        (!lines.is_empty()).then(|| Self { config, directory, shared: shared.clone(), outlet, health, lines })
    }

    /// Answers calls and passes orders on, until `stop` or another configuration. Then all calls end.
    pub async fn run(self, orders: OrderQueue, stop: CancellationToken) -> Ended {
        let mut orders = orders.lock().await;
        self.health.forget_conditions();
        let serving = stop.child_token();
        let mut actors = JoinSet::new();
        for line in &self.lines {
            actors.spawn(self.serve(line, serving.clone()));
        }
        let ended = tokio::select! {
            () = stop.cancelled() => Ended::Stopped,
            ended = self.pass_on_all(&mut orders) => ended,
            () = self.answer_calls() => Ended::Stopped,
        };
        serving.cancel();
        while actors.join_next().await.is_some() {}
        self.health.set_state(LinkState::Down);
        ended
    }

    fn connection(&self) -> &Connection {
        &self.directory.connection
    }

    fn serve(&self, line: &DeviceLine, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let (config, directory) = (Arc::clone(&self.config), Arc::clone(&self.directory));
        let (outlet, health) = (self.outlet.clone(), Arc::clone(&self.health));
        let DeviceLine { device, slot, queue, .. } = line;
        let (device, slot, queue) = (Arc::clone(device), Arc::clone(slot), Arc::clone(queue));
        let (shared, stopped) = (self.shared.clone(), stop.clone());
        let start = move || {
            let connection = &directory.connection;
            let caller = (&*device, Arc::clone(&slot));
            let actor = LinkActor::of_caller(
                &config,
                connection,
                caller,
                &shared,
                outlet.clone(),
                Arc::clone(&health),
            );
            let (queue, stop) = (Arc::clone(&queue), stopped.clone());
            async move {
                if let Some(actor) = actor {
                    actor.run(queue, stop).await;
                }
            }
        };
        keep_running(self.connection().name.clone(), self.outlet.clone(), stop, start)
    }

    /// Answers calls; ends only with the connection.
    async fn answer_calls(&self) {
        let Link::Listen(listen) = &self.connection().link else { return };
        let mut listener = self.listen(listen).await;
        let mut identifying = JoinSet::new();
        loop {
            tokio::select! {
                caller = listener.accept() => match caller.hang_up() {
                    Ok(hang_up) => {
                        let directory = Arc::clone(&self.directory);
                        let peer = caller.peer();
                        let answer = async move {
                            let outcome = directory.identify(caller).await;
                            Answered { peer, hang_up, outcome }
                        };
                        identifying.spawn(answer.in_current_span());
                    }
                    Err(error) => tracing::warn!(peer = %caller.peer(), %error, "a call cannot be held"),
                },
                Some(answered) = identifying.join_next() => match answered {
                    Ok(answered) => self.put_through(answered).await,
                    Err(error) => tracing::error!(connection = %self.connection().name, %error, "a call was lost"),
                },
            }
        }
    }

    async fn listen(&self, listen: &Listen) -> Listener {
        let settings = ListenSettings {
            address: listen.address,
            keep_alive: listen.keep_alive,
            max_connections: listen.max_connections,
            identify_timeout: listen.identify_timeout,
        };
        self.health.set_state(LinkState::Connecting);
        loop {
            match Listener::bind(settings.clone()).await {
                Ok(listener) => {
                    self.health.set_condition(None, Condition::Well);
                    self.health.set_state(LinkState::Up);
                    return listener;
                }
                Err(error) => {
                    let report = error.report();
                    tracing::error!(connection = %self.connection().name, code = %report.code,
                        message = %report.message, "nobody can call");
                    self.health.count_error(report.code);
                    self.health.set_condition(None, Condition::Failing);
                    self.health.set_state(LinkState::Down);
                    tokio::time::sleep(LISTEN_PAUSE).await;
                }
            }
        }
    }

    /// Gives a call to the meter's actor, or hangs up.
    async fn put_through(&self, Answered { peer, hang_up, outcome }: Answered) {
        let connection = &self.connection().name;
        match outcome {
            Ok((index, port)) => {
                let Some(line) = self.lines.get(index) else { return };
                tracing::info!(%connection, device = %line.device.name, %peer, "a meter called");
                line.slot.connect(port, hang_up);
            }
            Err(report) => {
                hang_up.hang_up();
                tracing::warn!(%connection, %peer, code = %report.code, message = %report.message, "hung up on a call");
                self.health.count_error(report.code);
                let text = |text: &str| Json::Text(text.to_owned());
                let data = Json::Object(vec![
                    ("peer".into(), Json::Text(peer.to_string())),
                    ("layer".into(), text(report.layer.as_str())),
                    ("message".into(), text(&report.message)),
                    ("hint".into(), text(&report.hint)),
                ]);
                let event = Event {
                    kind: "unknown_caller",
                    severity: Severity::Warning,
                    device: None,
                    connection: Some(connection.as_str()),
                    code: Some(report.code),
                    data: &data,
                };
                self.outlet.event(event).await;
            }
        }
    }

    /// Passes orders on to the actors of the meters that they concern.
    async fn pass_on_all(&self, orders: &mut mpsc::Receiver<Ordered>) -> Ended {
        loop {
            match orders.recv().await {
                Some(Ordered { order: Order::Reconfigure { ask, .. }, .. }) => {
                    ask.answer(Ok(()));
                    return Ended::Reconfigured;
                }
                Some(order) => self.pass_on(order),
                None => std::future::pending().await,
            }
        }
    }

    fn pass_on(&self, Ordered { order, asked_in }: Ordered) {
        if let Order::ApplyPauses { about, ask } = order {
            let all: Vec<Orders> = self.lines.iter().map(|line| line.orders.clone()).collect();
            tokio::spawn(apply_pauses_to_all(all, about, ask).instrument(asked_in));
            return;
        }
        let line = order.device().and_then(|name| self.lines.iter().find(|line| line.device.name == *name));
        match line {
            Some(line) => {
                if let Order::Reconnect { .. } = order {
                    self.directory.forgive(&line.device);
                }
                line.orders.forward(Ordered { order, asked_in });
            }
            None if matches!(order, Order::Test { subject: Subject::Connection(_), .. }) => {
                let message = "meters call this connection, so there is nothing to open";
                let report = Report::new(Code::InvalidArgument, Layer::Control, message);
                order.refuse(report.with_hint("test one of its devices: the test goes over its call"));
            }
            None => {
                let message = "the device does not call on this connection";
                order.refuse(Report::new(Code::UnknownName, Layer::Control, message));
            }
        }
    }
}

impl DeviceLine {
    fn new(device: &Device) -> Self {
        let (orders, queue) = Orders::queue();
        let queue = Arc::new(Mutex::new(queue));
        Self { device: Arc::new(device.clone()), slot: Arc::default(), orders, queue }
    }
}

async fn apply_pauses_to_all(lines: Vec<Orders>, about: Paused, ask: Ask<usize>) {
    let deadline = ask.deadline();
    let mut asked = JoinSet::new();
    for orders in lines {
        let about = about.clone();
        asked.spawn(async move { orders.ask(deadline, |ask| Order::ApplyPauses { about, ask }).await });
    }
    let mut polls = Ok(0);
    while let Some(answer) = asked.join_next().await {
        let more = answer.unwrap_or(Ok(0));
        polls = polls.and_then(|polls| more.map(|more| polls + more));
    }
    ask.answer(polls);
}
