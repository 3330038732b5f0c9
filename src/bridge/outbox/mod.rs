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

pub mod memory;

use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;

pub use self::memory::MemoryOutbox;
use super::topics::Topic;

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
    Io(std::io::ErrorKind),
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

/// A bounded, ordered store of telemetry.
///
/// Every method is short and blocks at most for one write to disk. Nothing is durable before [`Outbox::commit`]
/// returns, so that many appends share one write barrier.
pub trait Outbox: Send {
    /// Adds a record at the end, making room as the policy says.
    ///
    /// # Errors
    /// See [`AppendError`]. In any of them the record is not in the store.
    fn append(&mut self, record: Record, now: Instant) -> Result<RecordId, AppendError>;

    /// The oldest record not handed out since the last [`Outbox::rewind`]; it stays in the store.
    fn next(&mut self, now: Instant) -> Option<(RecordId, Record)>;

    /// Hands out again, in order, what was handed out and not acknowledged.
    fn rewind(&mut self);

    /// Forgets a record: the broker has it. Out of order is fine; an unknown id is none of our business.
    fn acknowledge(&mut self, id: RecordId);

    /// Makes durable what was appended and acknowledged so far. In memory: nothing to do.
    ///
    /// # Errors
    /// The disk's.
    fn commit(&mut self) -> std::io::Result<()>;

    /// The id that the next record will have: everything below it was appended before.
    fn tail(&self) -> RecordId;

    /// What is waiting at `now`.
    fn depth(&self, now: Instant) -> Depth;

    /// Records lost to the limits since the store was opened.
    fn dropped(&self) -> u64;

    /// The newest retained record of each topic that a former run left behind.
    fn recovered(&self) -> Vec<(Topic, RecordId)>;
}
