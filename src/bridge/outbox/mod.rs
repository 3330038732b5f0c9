//! Where telemetry waits until the broker has taken it: the contract of every store, in memory or on disk.
//!
//! What leaves the gateway is of three classes, and only the first is a store's business:
//! - **telemetry** (snapshots, values, profile rows, events): in order, each message counts, bounded by bytes
//!   and age. Kept by an [`Outbox`].
//! - **state** (availability, status, info, inventories, health): retained, and only the latest of a topic
//!   matters. Kept in memory by the publisher and said again on every connection.
//! - **reply** (answers to requests): worthless after its deadline, and never written to disk. Kept in memory by
//!   the publisher.
//!
//! A store knows nothing of connections. The publisher takes records in order with [`Outbox::next`], frees each
//! with [`Outbox::acknowledge`] when the broker has confirmed it, and starts again at the oldest that is not
//! confirmed with [`Outbox::rewind`] when a connection is lost.

mod cursor;
mod durable;
mod log;
pub mod memory;
mod queue;
mod segment;
mod stamp;
mod syncer;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;

pub use self::durable::{DurableOutbox, Policy};
pub use self::memory::MemoryOutbox;
use super::topics::Topic;
use crate::error::Code;

/// Identifies a record within its store. Rises by append order, also across restarts of a durable store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub u64);

/// Whether the broker keeps the message as the topic's last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retain {
    /// Snapshots and values.
    Retained,
    /// Profile rows and events.
    Transient,
}

/// One telemetry message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic name.
    pub topic: Topic,
    /// One JSON object in UTF-8.
    pub payload: Bytes,
    /// Whether the broker is to keep it.
    pub retain: Retain,
}

impl Record {
    /// What the record counts against the byte limit: its payload, its topic and a share of bookkeeping.
    #[must_use]
    pub fn cost(&self) -> usize {
        const BOOKKEEPING: usize = 64;
        self.payload.len().saturating_add(self.topic.len()).saturating_add(BOOKKEEPING)
    }
}

/// What gives way when the limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest record that is not on its way to the broker.
    #[default]
    DropOldest,
    /// The record that was to be added.
    DropNewest,
    /// Nothing: the caller waits, and polls stand still.
    Block,
}

/// Bounds of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Total of [`Record::cost`].
    pub max_bytes: usize,
    /// Records older than this are dropped.
    pub max_age: Duration,
    /// Who gives way at `max_bytes`.
    pub when_full: WhenFull,
}

impl Default for Limits {
    /// 64 MiB, seven days, the oldest gives way.
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_age: Duration::from_secs(7 * 24 * 60 * 60),
            when_full: WhenFull::DropOldest,
        }
    }
}

/// Why a record was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The store is full and the policy is [`WhenFull::Block`]: try again when room was made.
    #[error("the outbox is full")]
    Full,
    /// The store is full and the policy is [`WhenFull::DropNewest`]: the record is lost, and counted.
    #[error("the outbox is full and the message was dropped")]
    Dropped,
    /// The record alone exceeds the limit of the whole store.
    #[error("a message of {cost} bytes is larger than the whole outbox")]
    TooLarge {
        /// [`Record::cost`] of the refused record.
        cost: usize,
    },
    /// The disk failed. The record is not stored.
    #[error("the outbox could not be written: {0}")]
    Io(io::ErrorKind),
}

/// How much is waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Records not yet confirmed.
    pub messages: usize,
    /// Their total [`Record::cost`].
    pub bytes: usize,
    /// Age of the oldest; `None` when nothing waits.
    pub oldest: Option<Duration>,
}

/// How a store on disk is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// What keeps messages from the disk now: they wait in memory, within the same limits.
    pub degraded: Option<StoreFault>,
    /// Parts of the store found damaged since it was opened. Files are set aside, beside the others.
    pub damaged: u64,
}

/// Why the disk does not take messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StoreFault {
    /// No room, or no quota.
    #[error("the disk is full: messages wait in memory and do not survive a restart")]
    Full,
    /// Anything else.
    #[error("the outbox cannot be written ({0}): messages wait in memory and do not survive a restart")]
    Io(io::ErrorKind),
}

impl StoreFault {
    /// The published code.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Full => Code::StoreFull,
            Self::Io(_) => Code::StoreDamaged,
        }
    }
}

impl From<io::ErrorKind> for StoreFault {
    fn from(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            other => Self::Io(other),
        }
    }
}

/// Called when something in the store has changed without its owner: what was waiting for the disk is on it.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A bounded, ordered store of telemetry.
///
/// Every method is short: it may write to the page cache, and never waits for the medium but in [`Outbox::close`].
pub trait Outbox: Send {
    /// Adds a record at the end, making room as the policy says.
    ///
    /// # Errors
    /// See [`AppendError`]. In any of them the record is not in the store.
    fn append(&mut self, record: Record, now: Instant) -> Result<RecordId, AppendError>;

    /// The oldest record not handed out since the last [`Outbox::rewind`]; it stays in the store. `None` also while
    /// the store's policy wants it on the medium first; [`Outbox::wake_with`] tells when that is done.
    fn next(&mut self, now: Instant) -> Option<(RecordId, Record)>;

    /// Hands out again, in order, what was handed out and not acknowledged.
    fn rewind(&mut self);

    /// Forgets a record: the broker has it. Out of order is fine; an unknown id is none of our business.
    fn acknowledge(&mut self, id: RecordId);

    /// Puts on disk what the store's policy wants there by now. To be called after appends, so that many share one
    /// write, and at [`Outbox::commit_due`].
    ///
    /// # Errors
    /// The disk's, once; while it lasts, [`Outbox::condition`] tells.
    fn commit(&mut self, now: Instant) -> io::Result<()>;

    /// When [`Outbox::commit`] is to be called though nothing is appended.
    fn commit_due(&self) -> Option<Instant> {
        None
    }

    /// The broker is away: what waits goes to disk now, whatever its age, and so does what follows.
    ///
    /// # Errors
    /// As [`Outbox::commit`].
    fn save(&mut self, now: Instant) -> io::Result<()> {
        self.commit(now)
    }

    /// The process ends: everything that waits is on the medium when this returns.
    ///
    /// # Errors
    /// As [`Outbox::commit`].
    fn close(&mut self, now: Instant) -> io::Result<()> {
        self.commit(now)
    }

    /// Whom to tell that [`Outbox::commit`] and [`Outbox::next`] have something to do.
    fn wake_with(&mut self, _wake: Wake) {}

    /// The id that the next record will have: everything below it was appended before.
    fn tail(&self) -> RecordId;

    /// Everything below this can be lost no more by the end of the process, however it ends: the broker has it, it is on
    /// the medium, or it was given up by the limits. No higher than [`Outbox::tail`].
    fn safe(&self) -> RecordId;

    /// Whether less than half of the limit is used. What can wait waits otherwise: the rest is for what cannot.
    fn has_room_to_spare(&self) -> bool;

    /// What is waiting at `now`.
    fn depth(&self, now: Instant) -> Depth;

    /// Records lost since the store was opened: to the limits, or unreadable.
    fn dropped(&self) -> u64;

    /// How the disk is doing.
    fn condition(&self) -> Condition {
        Condition::default()
    }

    /// The newest retained record of each topic that a former run left behind.
    fn recovered(&self) -> Vec<(Topic, RecordId)>;
}
