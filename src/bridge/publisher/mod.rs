//! The one task that speaks MQTT: everything the gateway publishes passes it, and every request enters by it.
//!
//! ```text
//! publish_telemetry → outbox ─┐
//! publish_state → latest ─────┼→ lanes → window → link → broker
//! reply → replies ────────────┘                    └→ requests
//! ```
//! Nothing here waits for the network but the task itself. What is published while the broker is away is sent when it
//! is back: telemetry each message, states the latest, replies until their deadline.

mod backoff;
mod connection;
mod fault;
mod lanes;
mod link;
mod payload;
mod replies;
mod request;
mod settings;
mod task;
mod tls;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::replies::Reply;
pub use self::request::{IncomingRequest, LARGEST_REQUEST, RequestBody};
pub use self::settings::{
    BackoffSettings, BrokerUrl, BrokerUrlError, Credentials, KeepAlive, KeepAliveError, Protocol,
    PublisherSettings, Qos, Requests, Scheme, TlsSettings, Version,
};

use self::lanes::Lanes;
use super::outbox::{AppendError, Condition, Depth, Outbox, Record, RecordId, Retain};
use super::retained::RetainedTopics;
use super::topics::Topic;
use crate::error::{Code, Layer, Report};

/// Requests that may wait for the control plane before further ones are answered `BUSY`.
const REQUEST_QUEUE: usize = 64;

/// Between commits that nobody asks for.
const COMMIT_PAUSE: Duration = Duration::from_millis(10);

/// Starts the publisher, and holds its ends.
#[derive(Debug)]
pub struct Publisher {
    /// For all who publish. Cheap to clone.
    pub handle: PublisherHandle,
    /// What arrives below `bridge/request/`.
    pub requests: mpsc::Receiver<IncomingRequest>,
    /// Ends after [`PublisherHandle::drain`] or cancellation, never for a fault of network or broker.
    pub task: JoinHandle<()>,
}

/// Publishes, from any task.
#[derive(Clone, Debug)]
pub struct PublisherHandle {
    core: Arc<Core>,
    orders: mpsc::Sender<Order>,
}

/// The connection as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct MqttState {
    /// The broker has accepted us and the connection stands.
    pub connected: bool,
    /// The version spoken; `None` before the first connection.
    pub protocol: Option<Version>,
    /// Why there is no connection, or what the broker denies on it.
    pub last_error: Option<Report>,
    /// Since when `connected` is as it is.
    pub since: Timestamp,
}

/// Counters since the start, and what waits now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Telemetry that waits.
    pub depth: Depth,
    /// Telemetry lost to the limits of the outbox.
    pub dropped: u64,
    /// How the disk of the outbox is doing.
    pub store: Condition,
    /// The rest.
    pub counters: Counters,
}

/// What became of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Taken by the broker.
    pub published: u64,
    /// Refused by the broker for good (not allowed, too large): lost.
    pub refused: u64,
    /// Replies past their deadline, or too many.
    pub replies_dropped: u64,
    /// Requests answered `BUSY` because the control plane did not keep up.
    pub requests_refused: u64,
    /// Connections that stood.
    pub connections: u64,
}

/// What [`PublisherHandle::drain`] achieved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Telemetry still in the outbox.
    pub left: usize,
    /// The broker has confirmed that we are offline for `shutdown`.
    pub said_offline: bool,
}

/// Why something was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// Larger than a packet may be.
    #[error("a message of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Of the packet.
        size: usize,
        /// 1 MiB, or less where the broker says so.
        limit: usize,
    },
    /// The outbox did not take it.
    #[error(transparent)]
    Outbox(AppendError),
    /// The publisher has ended.
    #[error("the publisher has stopped")]
    Stopped,
}

impl PublishError {
    /// The published form.
    #[must_use]
    pub fn report(&self) -> Report {
        let report = |code, layer| Report::new(code, layer, self.to_string());
        match self {
            Self::TooLarge { .. } => report(Code::RequestTooLarge, Layer::Mqtt)
                .with_hint("ask for less at once, or raise the broker's limit (max_packet_size)"),
            Self::Outbox(AppendError::Io(_)) => report(Code::StoreDamaged, Layer::Store),
            Self::Outbox(AppendError::Full | AppendError::Dropped | AppendError::TooLarge { .. }) => {
                report(Code::StoreFull, Layer::Store)
            }
            Self::Stopped => report(Code::Cancelled, Layer::Mqtt),
        }
    }
}

/// What the task shares with its handles.
struct Core {
    lanes: Mutex<Lanes>,
    /// There is something new in the lanes, or on the outbox's disk.
    wake: Arc<Notify>,
    /// There is room in the outbox.
    room: Notify,
    state: watch::Sender<MqttState>,
    requests: mpsc::Sender<IncomingRequest>,
    orders: tokio::sync::Mutex<mpsc::Receiver<Order>>,
    cancel: CancellationToken,
}

enum Order {
    Drain(Drain),
    Reconfigure(Box<PublisherSettings>),
}

struct Drain {
    deadline: Instant,
    done: oneshot::Sender<Drained>,
}

impl Publisher {
    /// Starts the task. It connects by itself, for ever: a broker that is absent is no error.
    ///
    /// Cancelling `cancel` ends it at once and leaves the last will to the broker; [`PublisherHandle::drain`] is the
    /// orderly way.
    #[must_use]
    pub fn spawn(
        settings: PublisherSettings,
        mut outbox: Box<dyn Outbox>,
        cancel: CancellationToken,
    ) -> Self {
        let wake = Arc::new(Notify::new());
        let waker = Arc::clone(&wake);
        outbox.wake_with(Arc::new(move || waker.notify_one()));
        let remembered = RetainedTopics::open(settings.state_dir.as_deref());
        let (requests, incoming) = mpsc::channel(REQUEST_QUEUE);
        let (orders, accepted) = mpsc::channel(4);
        let state = MqttState { connected: false, protocol: None, last_error: None, since: Timestamp::now() };
        let core = Arc::new(Core {
            lanes: Mutex::new(Lanes::new(outbox, remembered)),
            wake,
            room: Notify::new(),
            state: watch::Sender::new(state),
            requests,
            orders: tokio::sync::Mutex::new(accepted),
            cancel,
        });
        let task = tokio::spawn(task::run(Arc::clone(&core), settings));
        Self { handle: PublisherHandle { core, orders }, requests: incoming, task }
    }
}

impl PublisherHandle {
    /// Appends a snapshot, value, batch of rows or event to the outbox. Returns when it is there, not when it is sent;
    /// waits only where the outbox is full and its policy is to block.
    ///
    /// # Errors
    /// When it is too large for a packet, or the outbox does not take it.
    pub async fn publish_telemetry(
        &self,
        topic: Topic,
        payload: Bytes,
        retain: Retain,
    ) -> Result<(), PublishError> {
        let record = Record { topic, payload, retain };
        loop {
            let room = self.core.room.notified();
            tokio::pin!(room);
            // Before the attempt, so that room made in between is not missed.
            room.as_mut().enable();
            let appended = self.core.lanes().append(record.clone(), Instant::now());
            match appended {
                Err(PublishError::Outbox(AppendError::Full)) => {
                    tokio::select! {
                        () = room => {}
                        () = self.core.cancel.cancelled() => return Err(PublishError::Stopped),
                    }
                }
                other => {
                    self.core.wake.notify_one();
                    return other;
                }
            }
        }
    }

    /// Publishes a state: retained, and only the latest of a topic matters. It leaves after all telemetry that was
    /// appended before it.
    ///
    /// # Errors
    /// When it is too large for a packet.
    pub fn publish_state(&self, topic: Topic, payload: Bytes) -> Result<(), PublishError> {
        self.core.change(|lanes| lanes.set_state(topic, payload))
    }

    /// Removes a retained message of ours from the broker: its device, group or value is gone.
    ///
    /// # Errors
    /// When the topic is too long.
    pub fn clear_retained(&self, topic: &str) -> Result<(), PublishError> {
        self.core.change(|lanes| lanes.clear(topic))
    }

    /// Every topic that holds, or may hold, a retained message of ours, of former runs as well.
    #[must_use]
    pub fn retained_topics(&self) -> Vec<Topic> {
        self.core.lanes().retained_topics()
    }

    /// Answers a request: ahead of everything else, and not after its deadline.
    ///
    /// # Errors
    /// When it is too large for a packet.
    pub fn reply(&self, reply: Reply) -> Result<(), PublishError> {
        self.core.change(|lanes| lanes.push_reply(reply))
    }

    /// Waits until no answer is on its way to the broker any more, or `time` is over.
    pub async fn replies_sent(&self, time: Duration) {
        let deadline = Instant::now() + time;
        while self.core.lanes().replies_left() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What waits, and what became of the rest.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let lanes = self.core.lanes();
        let outbox = lanes.outbox();
        Stats {
            depth: outbox.depth(Instant::now()),
            dropped: outbox.dropped(),
            store: outbox.condition(),
            counters: lanes.counters(),
        }
    }

    /// The id that the next telemetry will have: what was published before is below it.
    #[must_use]
    pub fn tail(&self) -> RecordId {
        self.core.lanes().outbox().tail()
    }

    /// Whether the outbox has room for what could as well be published later; see [`Outbox::has_room_to_spare`].
    #[must_use]
    pub fn has_room_to_spare(&self) -> bool {
        self.core.lanes().outbox().has_room_to_spare()
    }

    /// Telemetry below this survives the end of the process, however it ends; see [`Outbox::safe`].
    #[must_use]
    pub fn safe(&self) -> RecordId {
        self.core.lanes().outbox().safe()
    }

    /// The connection, now and whenever it changes.
    #[must_use]
    pub fn mqtt_state(&self) -> watch::Receiver<MqttState> {
        self.core.state.subscribe()
    }

    /// Leaves the broker and goes on with other settings. The outbox stays; the old broker says our last will.
    /// The state directory is that of the start.
    ///
    /// # Errors
    /// When the publisher has ended.
    pub async fn reconfigure(&self, settings: PublisherSettings) -> Result<(), PublishError> {
        let order = Order::Reconfigure(Box::new(settings));
        self.orders.send(order).await.map_err(|_| PublishError::Stopped)
    }

    /// Ends the publisher: sends what waits, says offline for `shutdown`, and disconnects. Without a connection it
    /// tries once more to get one. Back within `time`, whatever happens.
    pub async fn drain(&self, time: Duration) -> Drained {
        let (done, drained) = oneshot::channel();
        let order = Order::Drain(Drain { deadline: Instant::now() + time, done });
        let ended = async {
            self.orders.send(order).await.ok()?;
            drained.await.ok()
        };
        let found = tokio::time::timeout(time + Duration::from_millis(500), ended).await;
        found
            .ok()
            .flatten()
            .unwrap_or_else(|| Drained { left: self.stats().depth.messages, said_offline: false })
    }
}

impl Core {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts on disk what is due there, for as long as nothing is sent.
    async fn keep_committing(&self) -> std::convert::Infallible {
        loop {
            // Not at a moment that has passed: a store that cannot keep up must not keep the processor busy.
            let due = self.lanes().commit_due().map(|due| due.max(Instant::now() + COMMIT_PAUSE));
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = due => {}
            }
            self.lanes().commit(Instant::now());
        }
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Lanes) -> Result<T, PublishError>,
    ) -> Result<T, PublishError> {
        let changed = change(&mut self.lanes());
        self.wake.notify_one();
        changed
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}
