//! What the bridge counts while it runs, and the health payload made of it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::error::Code;

/// Polls by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Polls {
    /// Every value came.
    pub ok: u64,
    /// Some values did not come.
    pub partial: u64,
    /// Nothing came.
    pub failed: u64,
    /// Ticks that passed unserved.
    pub skipped: u64,
}

/// How a poll of one group of one device ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PollStatus {
    /// Every value came.
    Ok,
    /// Some values did not come.
    Partial,
    /// Nothing came.
    Failed,
}

impl Polls {
    /// Counts a poll.
    pub const fn count(&mut self, status: PollStatus, skipped: u64) {
        match status {
            PollStatus::Ok => self.ok += 1,
            PollStatus::Partial => self.partial += 1,
            PollStatus::Failed => self.failed += 1,
        }
        self.skipped += skipped;
    }

    fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.partial += other.partial;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The state of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Open.
    Up,
    /// Being opened.
    Connecting,
    /// Closed: not needed now, or broken.
    #[default]
    Down,
}

/// What one link actor counts. Shared with whoever asks for the health.
#[derive(Debug, Default)]
pub struct LinkHealth {
    name: String,
    inner: Mutex<Counts>,
    requests: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    state: LinkState,
    polls: Polls,
    errors: BTreeMap<Code, u64>,
}

impl LinkHealth {
    /// Counters of the connection `name`, all zero.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The link's state changed.
    pub fn set_state(&self, state: LinkState) {
        self.with(|counts| counts.state = state);
    }

    /// A poll ended.
    pub fn count_poll(&self, status: PollStatus, skipped: u64) {
        self.with(|counts| counts.polls.count(status, skipped));
    }

    /// Something failed.
    pub fn count_error(&self, code: Code) {
        self.with(|counts| *counts.errors.entry(code).or_default() += 1);
    }

    /// Control requests that wait for the link.
    pub fn set_queued(&self, requests: u64) {
        self.requests.store(requests, Ordering::Relaxed);
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        // A panic while counting leaves nothing half done that matters.
        change(&mut self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// The outbox in the health payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct OutboxHealth {
    /// Messages that wait for the broker.
    pub messages: u64,
    /// Their size.
    pub bytes: u64,
    /// Age of the oldest in seconds; null where there is none.
    pub oldest: Option<u64>,
    /// Messages dropped since start.
    pub dropped: u64,
}

/// `bridge/health`.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Health {
    v: u8,
    gateway: String,
    ts: String,
    /// `degraded`: a connection is down that should be up, messages were dropped, or the broker is away.
    pub status: HealthStatus,
    uptime_s: u64,
    outbox: OutboxHealth,
    queues: BTreeMap<String, u64>,
    polls: Polls,
    errors: BTreeMap<String, u64>,
    connections: Vec<ConnectionHealth>,
}

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// All is well.
    Ok,
    /// Something is not.
    Degraded,
}

#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
struct ConnectionHealth {
    name: String,
    state: LinkState,
    polls: Polls,
    errors: BTreeMap<String, u64>,
}

impl Health {
    /// Sums up.
    pub fn new<'a>(
        gateway: &str,
        now: jiff::Timestamp,
        started: Instant,
        outbox: OutboxHealth,
        links: impl Iterator<Item = &'a LinkHealth>,
    ) -> Self {
        let mut polls = Polls::default();
        let mut errors: BTreeMap<String, u64> = BTreeMap::new();
        let mut queues = BTreeMap::new();
        let mut connections = Vec::new();
        let mut last_failed = false;
        for link in links {
            let queued = link.requests.load(Ordering::Relaxed);
            queues.insert(link.name.clone(), queued);
            let connection = link.with(|counts| ConnectionHealth {
                name: link.name.clone(),
                state: counts.state,
                polls: counts.polls,
                errors: counts.errors.iter().map(|(code, count)| (code.to_string(), *count)).collect(),
            });
            polls.add(&connection.polls);
            for (code, count) in &connection.errors {
                *errors.entry(code.clone()).or_default() += count;
            }
            last_failed |= link.with(|counts| counts.state == LinkState::Down && counts.polls.failed > 0);
            connections.push(connection);
        }
        let degraded = outbox.dropped > 0 || last_failed;
        Self {
            v: 1,
            gateway: gateway.to_owned(),
            ts: super::time::rfc3339(now),
            status: if degraded { HealthStatus::Degraded } else { HealthStatus::Ok },
            uptime_s: started.elapsed().as_secs(),
            outbox,
            queues,
            polls,
            errors,
            connections,
        }
    }
}
