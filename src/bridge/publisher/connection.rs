//! One connection from its first packet to its end: the window, and what each acknowledgement frees.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{sleep_until, timeout};

use super::fault::Fault;
use super::lanes::Delivery;
use super::link::{self, Commands, Granted, Link, LinkEvent, Publish, Verdict};
use super::payload::{self, Presence};
use super::replies::Reply;
use super::settings::{PublisherSettings, Requests, Version};
use super::{Core, Drain, Drained, IncomingRequest, Order};
use crate::error::{Code, Layer, Report};

/// How long somebody may wait for `BUSY`.
const BUSY_DEADLINE: Duration = Duration::from_secs(10);

/// How long a broker may take to close after our DISCONNECT. Closing first could destroy it on its way.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection is over.
pub(super) enum End {
    /// At once, without a word.
    Cancelled,
    /// In good order.
    Drained,
    /// For other settings.
    Reconfigured(Box<PublisherSettings>),
    /// It broke, or never stood.
    Lost {
        fault: Fault,
        /// How long it stood; `None`: never.
        stood: Option<Duration>,
    },
}

/// Connects, and stays until something ends it. A drain that it could not complete is handed back.
pub(super) async fn run(
    core: Arc<Core>,
    settings: Arc<PublisherSettings>,
    version: Version,
    drain: Option<Drain>,
) -> (End, Option<Drain>) {
    let resolved = tokio::select! {
        () = core.cancel.cancelled() => return (End::Cancelled, drain),
        never = core.keep_committing() => match never {},
        resolved = resolve(&settings) => resolved,
    };
    let opened = resolved.and_then(|()| link::open(&settings, version).map_err(Fault::other));
    let (commands, mut link) = match opened {
        Ok(opened) => opened,
        Err(fault) => return (End::Lost { fault, stood: None }, drain),
    };
    let mut session = Session::new(&core, &settings, version, commands, drain);
    let end = session.run(&mut link).await;
    session.close(end)
}

/// The library's own errors do not tell a name that does not resolve from other failures.
async fn resolve(settings: &PublisherSettings) -> Result<(), Fault> {
    let broker = &settings.broker;
    if broker.host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let lookup = tokio::net::lookup_host((broker.host.as_str(), broker.port));
    match timeout(settings.connect_timeout, lookup).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Fault::resolve(&broker.host, &error)),
        Err(_) => Err(Fault::resolve(&broker.host, &std::io::ErrorKind::TimedOut.into())),
    }
}

struct Session<'a> {
    core: &'a Core,
    settings: &'a PublisherSettings,
    version: Version,
    commands: Commands,
    /// `None` until CONNACK.
    granted: Option<Granted>,
    connected_at: Option<Instant>,
    /// Handed to the link and not yet sent, in order.
    queued: VecDeque<Delivery>,
    /// Sent and not yet acknowledged, by packet identifier.
    on_the_way: HashMap<u16, Delivery>,
    drain: Option<Drain>,
    farewell: Farewell,
    last_event: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Farewell {
    NotSaid,
    /// `offline` is published and nothing follows it.
    Said,
    /// `offline` is confirmed and DISCONNECT is queued.
    Leaving,
}

impl<'a> Session<'a> {
    fn new(
        core: &'a Core,
        settings: &'a PublisherSettings,
        version: Version,
        commands: Commands,
        drain: Option<Drain>,
    ) -> Self {
        Self {
            core,
            settings,
            version,
            commands,
            granted: None,
            connected_at: None,
            queued: VecDeque::new(),
            on_the_way: HashMap::new(),
            drain,
            farewell: Farewell::NotSaid,
            last_event: Instant::now(),
        }
    }

    async fn run(&mut self, link: &mut Link) -> End {
        let core = self.core;
        let mut orders = core.orders.lock().await;
        loop {
            // One future is polled to its end: dropped half-way it would lose what it was writing.
            let polled = {
                let poll = link.poll();
                tokio::pin!(poll);
                loop {
                    let timer = sleep_until(self.next_timer().into());
                    tokio::select! {
                        biased;
                        () = core.cancel.cancelled() => return End::Cancelled,
                        polled = &mut poll => break polled,
                        order = orders.recv() => match order {
                            Some(Order::Drain(drain)) => {
                                self.drain = Some(drain);
                                self.top_up();
                            }
                            Some(Order::Reconfigure(settings)) => return End::Reconfigured(settings),
                            // Every handle is gone, and so is everybody who could publish.
                            None => return End::Cancelled,
                        },
                        () = core.wake.notified() => {
                            core.lanes().commit(Instant::now());
                            self.top_up();
                        }
                        () = timer => if let Some(end) = self.on_timer() {
                            return end;
                        },
                    }
                }
            };
            self.last_event = Instant::now();
            let fault = match polled {
                Ok(event) => self.handle(event).err(),
                Err(fault) => {
                    for event in link.drain() {
                        // The connection is over anyway: what the events ask for besides comes too late.
                        let _ = self.handle(event);
                    }
                    Some(fault)
                }
            };
            match fault {
                Some(_) if self.farewell == Farewell::Leaving => return End::Drained,
                Some(fault) => return End::Lost { fault, stood: self.stood() },
                None => {}
            }
        }
    }

    fn handle(&mut self, event: LinkEvent) -> Result<(), Fault> {
        match event {
            LinkEvent::Connected(granted) => self.on_connected(granted),
            LinkEvent::Sent(id) => {
                let Some(delivery) = self.queued.pop_front() else { return Ok(()) };
                if id == 0 {
                    self.settle(delivery, Verdict::Accepted);
                } else {
                    self.on_the_way.insert(id, delivery);
                }
            }
            LinkEvent::Acknowledged(id, verdict) => {
                let Some(delivery) = self.on_the_way.remove(&id) else { return Ok(()) };
                if verdict == Verdict::Refused {
                    self.deny("the broker refuses a topic that we publish");
                }
                self.settle(delivery, verdict);
                if verdict == Verdict::Postponed {
                    let message = "the broker cannot take messages at present";
                    return Err(Fault::other(
                        Report::new(Code::MqttDenied, Layer::Mqtt, message)
                            .with_hint("see the broker's quotas and log"),
                    ));
                }
            }
            LinkEvent::SubscriptionRefused => {
                self.deny("the broker refuses our subscription to bridge/request/#");
            }
            LinkEvent::Received { topic, request } => self.on_received(&topic, request),
            LinkEvent::FarewellSent | LinkEvent::Routine => return Ok(()),
        }
        self.top_up();
        Ok(())
    }

    fn on_connected(&mut self, granted: Granted) {
        self.granted = Some(granted);
        self.connected_at = Some(Instant::now());
        let topics = &self.settings.topics;
        if self.settings.requests == Requests::Subscribed
            && self.commands.subscribe(topics.request_filter()).is_err()
        {
            self.deny("the subscription to bridge/request/# is not valid");
        }
        let birth = self.presence(Presence::Online);
        self.core.lanes().begin_connection(birth, topics, granted.largest_packet);
        tracing::info!(broker = %self.settings.broker, protocol = %self.version, "connected to the broker");
        self.core.state.send_modify(|state| {
            state.connected = true;
            state.protocol = Some(self.version);
            state.last_error = None;
            state.since = Timestamp::now();
        });
    }

    fn on_received(&mut self, topic: &str, request: IncomingRequest) {
        let Some(verb) = self.settings.topics.request_verb(topic) else { return };
        let request = IncomingRequest { verb: verb.to_owned(), ..request };
        let Err(TrySendError::Full(request)) = self.core.requests.try_send(request) else { return };
        let answer = Reply {
            topic: self.settings.topics.response(&request.verb),
            payload: payload::busy(&self.settings.gateway, &request, Timestamp::now()),
            deadline: Instant::now() + BUSY_DEADLINE,
            correlation_data: request.correlation_data,
        };
        let mut lanes = self.core.lanes();
        lanes.count_refused_request();
        // Fails only for a verb that is itself near the packet limit.
        let _ = lanes.push_reply(answer);
    }

    /// Fills the window, and moves a drain on.
    fn top_up(&mut self) {
        let Some(granted) = self.granted else { return };
        let now = Instant::now();
        while self.farewell == Farewell::NotSaid && self.in_flight() < granted.window {
            let Some((message, delivery)) = self.core.lanes().next(now) else { break };
            self.publish(message, delivery, &granted);
        }
        let Some(drain) = &self.drain else { return };
        let nothing_left = self.in_flight() == 0 && self.core.lanes().is_idle(now);
        if self.farewell == Farewell::NotSaid && (nothing_left || now >= last_call(drain)) {
            self.farewell = Farewell::Said;
            let message = self.presence(Presence::Shutdown);
            self.publish(message, Delivery::Presence, &granted);
        }
        if self.farewell == Farewell::Said && self.in_flight() == 0 {
            self.farewell = Farewell::Leaving;
            self.commands.disconnect();
        }
    }

    fn publish(&mut self, message: Publish, delivery: Delivery, granted: &Granted) {
        match self.commands.publish(message, granted) {
            Ok(()) => self.queued.push_back(delivery),
            Err(()) => self.core.lanes().settle(delivery, Verdict::Refused),
        }
    }

    fn settle(&self, delivery: Delivery, verdict: Verdict) {
        self.core.lanes().settle(delivery, verdict);
        self.core.room.notify_waiters();
    }

    fn in_flight(&self) -> usize {
        self.queued.len() + self.on_the_way.len()
    }

    fn presence(&self, presence: Presence) -> Publish {
        Publish {
            topic: self.settings.topics.bridge_state().to_string(),
            payload: payload::presence(&self.settings.gateway, presence, Timestamp::now()),
            retain: true,
            correlation_data: None,
        }
    }

    fn deny(&self, message: &str) {
        let report = Report::new(Code::MqttDenied, Layer::Mqtt, message);
        if self.core.state.borrow().last_error.as_ref() != Some(&report) {
            tracing::warn!(code = %report.code, "{message}");
            self.core.state.send_modify(|state| state.last_error = Some(report));
        }
    }

    fn stood(&self) -> Option<Duration> {
        self.connected_at.map(|since| since.elapsed())
    }

    /// When to look up though nothing happens: the connection stands still, a drain runs out of time, or the disk is
    /// due.
    fn next_timer(&self) -> Instant {
        let own = self.next_own_timer();
        self.core.lanes().commit_due().map_or(own, |due| due.min(own))
    }

    fn next_own_timer(&self) -> Instant {
        let stalled = self.last_event + self.patience();
        match &self.drain {
            None => stalled,
            Some(drain) => {
                let due = match self.farewell {
                    Farewell::NotSaid if self.granted.is_some() => last_call(drain),
                    Farewell::NotSaid | Farewell::Said => drain.deadline,
                    Farewell::Leaving => drain.deadline.min(self.last_event + FAREWELL),
                };
                due.min(stalled)
            }
        }
    }

    fn on_timer(&mut self) -> Option<End> {
        let now = Instant::now();
        self.core.lanes().commit(now);
        if now < self.next_own_timer() {
            return None;
        }
        if self.farewell == Farewell::Leaving {
            return Some(End::Drained);
        }
        if self.drain.as_ref().is_some_and(|drain| now >= drain.deadline) {
            return Some(End::Drained);
        }
        if now >= self.last_event + self.patience() {
            let fault = Fault::timeout("the connection to the broker stands still");
            return Some(End::Lost { fault, stood: self.stood() });
        }
        self.top_up();
        None
    }

    /// The library may wait for ever in a write that the peer does not take; a ping should have made some event.
    fn patience(&self) -> Duration {
        match self.granted {
            Some(granted) => granted.keep_alive.mul_f64(1.5) + Duration::from_secs(5),
            None => self.settings.connect_timeout.saturating_mul(2) + Duration::from_secs(1),
        }
    }

    fn close(mut self, end: End) -> (End, Option<Drain>) {
        let on_the_way = self.queued.drain(..).chain(self.on_the_way.drain().map(|(_, delivery)| delivery));
        let left = {
            let mut lanes = self.core.lanes();
            lanes.end_connection(on_the_way);
            lanes.save(Instant::now());
            lanes.outbox().depth(Instant::now()).messages
        };
        if let End::Drained = end
            && let Some(drain) = self.drain.take()
        {
            let said_offline = self.farewell == Farewell::Leaving;
            let _ = drain.done.send(Drained { left, said_offline });
        }
        (end, self.drain)
    }
}

/// When a drain gives up on the backlog, so that there is time to say goodbye.
fn last_call(drain: &Drain) -> Instant {
    drain.deadline.checked_sub(FAREWELL).unwrap_or(drain.deadline)
}
