//! What a link is asked besides its polls, and how its answer finds the way back.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use super::visit::Found;
use crate::bridge::config::Name;
use crate::bridge::config::model::{Config, Connection, Device, Value};
use crate::bridge::outlet::Outlet;
use crate::bridge::pauses::Subject as Paused;
use crate::bridge::probe::{Probe, Reading};
use crate::cosem::object_list::ObjectList;
use crate::error::{Code, Layer, Report};

/// Orders that may wait for one link; further ones are answered `BUSY`.
pub const QUEUE: usize = 16;

/// One order. It is served ahead of polls, and between them.
#[derive(Debug)]
pub enum Order {
    /// Read values of a device now.
    Read {
        /// The device.
        device: Name,
        /// What to read.
        values: Vec<Value>,
        /// Who asks.
        ask: Ask<Answers>,
    },
    /// Read the objects that a meter shows.
    Scan {
        /// The device.
        device: Name,
        /// Who asks.
        ask: Ask<Scanned>,
    },
    /// Test something on this line.
    Test {
        /// What is tested.
        subject: Subject,
        /// Who asks.
        ask: Ask<(Probe, Option<Reading>)>,
    },
    /// Stop polling, or go on, as the rules say by now.
    ApplyPauses {
        /// What the newest rule is about.
        about: Paused,
        /// Who asks; the answer is the number of polls that it concerns.
        ask: Ask<usize>,
    },
    /// Forget pauses and the fear of a lock-out, and begin a fresh association at the next visit.
    Reconnect {
        /// The device.
        device: Name,
        /// Who asks.
        ask: Ask<()>,
    },
    /// Go on with another configuration. What stays the same stays open.
    Reconfigure {
        /// The configuration.
        config: Arc<Config>,
        /// The way out.
        outlet: Outlet,
        /// Who asks.
        ask: Ask<()>,
    },
}

/// An order on its way.
#[derive(Debug)]
pub struct Ordered {
    /// The order.
    pub order: Order,
    /// The log's span in which it was asked for.
    pub asked_in: Span,
}

impl Order {
    /// The device that it is about, if it is about one.
    #[must_use]
    pub fn device(&self) -> Option<&Name> {
        match self {
            Self::Read { device, .. } | Self::Scan { device, .. } | Self::Reconnect { device, .. } => {
                Some(device)
            }
            Self::Test { subject: Subject::Device { device, .. }, .. } => Some(&device.name),
            Self::Test { subject: Subject::Connection(_), .. }
            | Self::ApplyPauses { .. }
            | Self::Reconfigure { .. } => None,
        }
    }

    /// Answers that it cannot be served.
    pub fn refuse(self, report: Report) {
        match self {
            Self::Read { ask, .. } => ask.answer(Err(report)),
            Self::Scan { ask, .. } => ask.answer(Err(report)),
            Self::Test { ask, .. } => ask.answer(Err(report)),
            Self::ApplyPauses { ask, .. } => ask.answer(Err(report)),
            Self::Reconnect { ask, .. } | Self::Reconfigure { ask, .. } => ask.answer(Err(report)),
        }
    }
}

/// Who asks, and until when.
#[derive(Debug)]
pub struct Ask<T> {
    deadline: Instant,
    reply: oneshot::Sender<Result<T, Report>>,
}

/// What an order to read brought.
#[derive(Debug)]
pub struct Answers {
    /// The meter's serial number, where it is known.
    pub serial: Option<String>,
    /// In the order of the values asked for.
    pub found: Vec<Found>,
    /// Arrival of the last answer.
    pub ts: Timestamp,
    /// From the first request to the last answer.
    pub duration_ms: u64,
    /// What broke the visit off.
    pub broken: Option<Report>,
}

impl Answers {
    /// What was not even tried.
    #[must_use]
    pub fn nothing(found: Vec<Found>) -> Self {
        Self { serial: None, found, ts: Timestamp::now(), duration_ms: 0, broken: None }
    }
}

/// The objects of a meter.
#[derive(Debug)]
pub struct Scanned {
    /// The meter's serial number, where it is known.
    pub serial: Option<String>,
    /// What its association shows.
    pub objects: ObjectList,
}

/// What is tested: configured, or only to be.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A connection alone.
    Connection(Arc<Connection>),
    /// A device, with values to read of it.
    Device {
        /// The device.
        device: Arc<Device>,
        /// Its connection.
        connection: Arc<Connection>,
        /// The values.
        values: Vec<Value>,
        /// Refusals of this meter that were met in tests already.
        refusals: u32,
    },
}

/// The way to a link's actor.
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Ordered>);

impl<T> Ask<T> {
    /// Whether the answer is still waited for. If it is too late, that is the answer.
    #[must_use]
    pub fn still_waits(self, now: Instant) -> Option<Self> {
        if self.reply.is_closed() {
            return None;
        }
        if now < self.deadline {
            return Some(self);
        }
        let message = "the request waited for its link until its time was over";
        self.answer(Err(Report::new(Code::Expired, Layer::Control, message)));
        None
    }

    /// Until when the answer is waited for.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Answers.
    pub fn answer(self, answer: Result<T, Report>) {
        // Who asked may have given up.
        let _ = self.reply.send(answer);
    }
}

impl Orders {
    /// A queue, and its end that the actor holds.
    #[must_use]
    pub fn queue() -> (Self, mpsc::Receiver<Ordered>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Puts an order of somebody else; where that cannot be, it is answered so.
    pub fn forward(&self, order: Ordered) {
        match self.0.try_send(order) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(Ordered { order, .. })) => order.refuse(busy()),
            Err(mpsc::error::TrySendError::Closed(Ordered { order, .. })) => order.refuse(gone()),
        }
    }

    /// Puts an order and waits for its answer.
    ///
    /// # Errors
    /// `BUSY` where too many wait, `LINK_DOWN` where the link has gone, `EXPIRED` after the deadline, or what the
    /// link answers.
    pub async fn ask<T>(&self, deadline: Instant, order: impl FnOnce(Ask<T>) -> Order) -> Result<T, Report> {
        let (reply, answer) = oneshot::channel();
        let order = Ordered { order: order(Ask { deadline, reply }), asked_in: Span::current() };
        self.0.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => busy(),
            mpsc::error::TrySendError::Closed(_) => gone(),
        })?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(gone()),
            Err(_) => {
                let message = "the link did not answer in the time of the request";
                Err(Report::new(Code::Expired, Layer::Control, message))
            }
        }
    }
}

fn busy() -> Report {
    Report::new(Code::Busy, Layer::Control, "too many requests wait for this link")
}

fn gone() -> Report {
    Report::new(Code::LinkDown, Layer::Control, "the link was stopped")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reconnect(ask: Ask<()>) -> Order {
        Order::Reconnect { device: "d".parse().unwrap(), ask }
    }

    #[tokio::test]
    async fn a_full_queue_is_busy_and_a_late_order_expires() {
        let (orders, mut receiver) = Orders::queue();
        let soon = Instant::now() + Duration::from_millis(20);
        let waiting: Vec<_> = (0..QUEUE)
            .map(|_| {
                let orders = orders.clone();
                tokio::spawn(async move { orders.ask(soon, reconnect).await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(orders.ask(soon, reconnect).await.unwrap_err().code, Code::Busy);
        for ask in waiting {
            assert_eq!(ask.await.unwrap().unwrap_err().code, Code::Expired);
        }
        let Some(Ordered { order: Order::Reconnect { ask, .. }, .. }) = receiver.recv().await else {
            panic!("an order")
        };
        assert!(ask.still_waits(Instant::now()).is_none(), "nobody waits any more");
        drop(receiver);
        assert_eq!(orders.ask(soon, reconnect).await.unwrap_err().code, Code::LinkDown);
    }
}
