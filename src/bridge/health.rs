//! What the bridge counts while it runs, and the health payload made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;
use serde::Serialize;

use super::publisher::MqttState;
use super::reading::snapshot::Outcome;
use super::reading::status::{LinkState, PollCounts};
use crate::error::Code;

/// What one link actor counts. Shared with whoever asks for the health.
#[derive(Debug)]
pub struct LinkHealth {
    name: String,
    inner: Mutex<Counts>,
    requests: AtomicU64,
    read_times: Histogram,
}

/// Bounds of the buckets of read times, in seconds: from a TCP meter next door to a profile over 300 baud.
const READ_TIMES: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// What a link had counted at one moment.
#[derive(Clone, Debug)]
pub struct LinkSample<'a> {
    /// Name of the connection.
    pub name: &'a str,
    /// Whether it is open.
    pub state: LinkState,
    /// Whether its meters can be read.
    pub condition: Condition,
    /// Group readings.
    pub polls: PollCounts,
    /// Failures.
    pub errors: BTreeMap<Code, u64>,
    /// Requests that wait.
    pub queued: u64,
    /// Invocation counters left, by device.
    pub headroom: BTreeMap<String, u32>,
}

#[derive(Debug, Default)]
struct Counts {
    state: LinkState,
    /// The devices that say of themselves that they fail; `None` is the line as a whole.
    failing: BTreeSet<Option<String>>,
    polls: PollCounts,
    errors: BTreeMap<Code, u64>,
    headroom: BTreeMap<String, u32>,
}

impl Counts {
    fn condition(&self) -> Condition {
        if self.failing.is_empty() { Condition::Well } else { Condition::Failing }
    }
}

/// Whether the meters of a link can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// They can, or none was tried.
    #[default]
    Well,
    /// At least one is offline.
    Failing,
}

impl LinkHealth {
    /// Counters of the connection `name`, all zero.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            inner: Mutex::default(),
            requests: AtomicU64::default(),
            read_times: Histogram::new(READ_TIMES),
        }
    }

    /// Name of the connection.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Durations of visits that reached their meter, in seconds.
    #[must_use]
    pub const fn read_times(&self) -> &Histogram {
        &self.read_times
    }

    /// Everything else, as it is now.
    #[must_use]
    pub fn sample(&self) -> LinkSample<'_> {
        let queued = self.requests.load(Ordering::Relaxed);
        self.with(|counts| LinkSample {
            name: &self.name,
            state: counts.state,
            condition: counts.condition(),
            polls: counts.polls,
            errors: counts.errors.clone(),
            queued,
            headroom: counts.headroom.clone(),
        })
    }

    /// A visit reached its meter and took so long.
    pub fn count_read(&self, duration: Duration) {
        self.read_times.observe(duration.as_secs_f64());
    }

    /// So many values of the meter's invocation counter are left.
    pub fn set_headroom(&self, device: &str, left: u32) {
        self.with(|counts| counts.headroom.insert(device.to_owned(), left));
    }

    /// The link's state changed.
    pub fn set_state(&self, state: LinkState) {
        self.with(|counts| counts.state = state);
    }

    /// A poll ended.
    pub fn count_poll(&self, outcome: Outcome, skipped: u64) {
        self.with(|counts| {
            match outcome {
                Outcome::Ok => counts.polls.ok += 1,
                Outcome::Partial => counts.polls.partial += 1,
                Outcome::Failed => counts.polls.failed += 1,
            }
            counts.polls.skipped += skipped;
        });
    }

    /// All its meters can be read again, or one can't: said of the line as a whole, or of a device that has its own call.
    pub fn set_condition(&self, device: Option<&str>, condition: Condition) {
        let device = device.map(str::to_owned);
        self.with(|counts| match condition {
            Condition::Well => counts.failing.remove(&device),
            Condition::Failing => counts.failing.insert(device),
        });
    }

    /// All was said of devices that may not be there any more.
    pub fn forget_conditions(&self) {
        self.with(|counts| counts.failing.clear());
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

/// How long a loss weighs on the verdict.
const LOSS_WEIGHS: Duration = Duration::from_secs(600);

/// When messages were last lost.
#[derive(Debug, Default)]
pub struct Losses {
    counted: u64,
    last: Option<Instant>,
}

impl Losses {
    /// Whether messages were lost lately; `dropped` counts all that were lost since the start. To be asked often.
    pub fn are_recent(&mut self, dropped: u64, now: Instant) -> bool {
        if dropped > self.counted {
            self.counted = dropped;
            self.last = Some(now);
        }
        self.last.is_some_and(|last| now.duration_since(last) < LOSS_WEIGHS)
    }
}

/// The connection to the broker in the health payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct MqttHealth {
    /// The broker has accepted us.
    pub connected: bool,
    /// Since when that is so.
    pub since: String,
    /// The code of what is wrong with the broker; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl From<&MqttState> for MqttHealth {
    fn from(state: &MqttState) -> Self {
        Self {
            connected: state.connected,
            since: super::time::rfc3339(state.since),
            error: state.last_error.as_ref().map(|error| error.code.to_string()),
        }
    }
}

/// What the bridge as a whole adds to what its links count.
#[derive(Clone, Debug)]
pub struct Whole<'a> {
    /// Name of the gateway.
    pub gateway: &'a str,
    /// Time of the payload.
    pub now: jiff::Timestamp,
    /// Since the start.
    pub uptime: Duration,
    /// What waits for the broker.
    pub outbox: OutboxHealth,
    /// Whether messages were lost lately.
    pub is_losing: bool,
    /// The connection to the broker, for those who ask in another way.
    pub mqtt: Option<MqttHealth>,
}

/// `bridge/health`.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Health {
    v: u8,
    gateway: String,
    ts: String,
    /// `degraded`: a meter is offline, messages were dropped in the last ten minutes, or the broker is away.
    pub status: HealthStatus,
    uptime_s: u64,
    /// The connection to the broker; absent in what is published, which nobody gets without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<MqttHealth>,
    outbox: OutboxHealth,
    queues: BTreeMap<String, u64>,
    polls: PollCounts,
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
    polls: PollCounts,
    errors: BTreeMap<String, u64>,
}

impl Health {
    /// Sums up.
    pub fn new<'a>(whole: Whole<'_>, links: impl Iterator<Item = &'a LinkHealth>) -> Self {
        let mut polls = PollCounts::default();
        let mut errors: BTreeMap<String, u64> = BTreeMap::new();
        let mut queues = BTreeMap::new();
        let mut connections = Vec::new();
        let mut is_failing = false;
        for link in links {
            let queued = link.requests.load(Ordering::Relaxed);
            queues.insert(link.name.clone(), queued);
            let connection = link.with(|counts| ConnectionHealth {
                name: link.name.clone(),
                state: counts.state,
                polls: counts.polls,
                errors: counts.errors.iter().map(|(code, count)| (code.to_string(), *count)).collect(),
            });
            add(&mut polls, &connection.polls);
            for (code, count) in &connection.errors {
                *errors.entry(code.clone()).or_default() += count;
            }
            is_failing |= link.with(|counts| counts.condition() == Condition::Failing);
            connections.push(connection);
        }
        let is_degraded =
            is_failing || whole.is_losing || whole.mqtt.as_ref().is_some_and(|mqtt| !mqtt.connected);
        Self {
            v: 1,
            gateway: whole.gateway.to_owned(),
            ts: super::time::rfc3339(whole.now),
            status: if is_degraded { HealthStatus::Degraded } else { HealthStatus::Ok },
            uptime_s: whole.uptime.as_secs(),
            mqtt: whole.mqtt,
            outbox: whole.outbox,
            queues,
            polls,
            errors,
            connections,
        }
    }
}

fn add(sum: &mut PollCounts, other: &PollCounts) {
    sum.ok += other.ok;
    sum.partial += other.partial;
    sum.failed += other.failed;
    sum.skipped += other.skipped;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(is_losing: bool, connected: bool) -> Whole<'static> {
        Whole {
            gateway: "g",
            now: jiff::Timestamp::UNIX_EPOCH,
            uptime: Duration::from_secs(61),
            outbox: OutboxHealth { dropped: 7, ..OutboxHealth::default() },
            is_losing,
            mqtt: Some(MqttHealth { connected, since: "1970-01-01T00:00:00.000Z".into(), error: None }),
        }
    }

    #[test]
    fn what_was_lost_long_ago_no_longer_weighs() {
        let (mut losses, start) = (Losses::default(), Instant::now());
        assert!(!losses.are_recent(0, start));
        assert!(losses.are_recent(3, start));
        let later = start + LOSS_WEIGHS - Duration::from_secs(1);
        assert!(losses.are_recent(3, later));
        assert!(!losses.are_recent(3, later + Duration::from_secs(1)));
        assert!(losses.are_recent(4, later + Duration::from_secs(2)), "a further loss");
        let health = Health::new(whole(false, true), std::iter::empty());
        assert_eq!((health.status, health.outbox.dropped), (HealthStatus::Ok, 7), "still counted");
    }

    #[test]
    fn each_reason_degrades_alone() {
        let links = [LinkHealth::new("a"), LinkHealth::new("b")];
        let status = |is_losing, connected| Health::new(whole(is_losing, connected), links.iter()).status;
        assert_eq!(status(false, true), HealthStatus::Ok);
        assert_eq!(status(true, true), HealthStatus::Degraded);
        assert_eq!(status(false, false), HealthStatus::Degraded);
        links[1].set_condition(None, Condition::Failing);
        assert_eq!(status(false, true), HealthStatus::Degraded);
        links[1].set_condition(None, Condition::Well);
        assert_eq!(status(false, true), HealthStatus::Ok);
    }

    #[test]
    fn a_port_that_meters_call_fails_while_one_of_them_does() {
        let link = LinkHealth::new("calls");
        link.set_condition(Some("one"), Condition::Failing);
        link.set_condition(Some("other"), Condition::Well);
        assert_eq!(link.sample().condition, Condition::Failing, "the last word is another's");
        link.set_condition(Some("one"), Condition::Well);
        assert_eq!(link.sample().condition, Condition::Well);
        link.set_condition(Some("one"), Condition::Failing);
        link.forget_conditions();
        assert_eq!(link.sample().condition, Condition::Well);
    }
}
