//! What waits to be published, and in which order it leaves: replies, the retained set, telemetry and state.
//!
//! - Replies go first: somebody waits.
//! - After each connection the *announcement*: birth, info, inventories, then every retained topic's latest, values
//!   before states, so that nothing is called online before its value is there.
//! - Then telemetry in the order of the outbox, and each changed state once all telemetry that was appended before
//!   it is out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use indexmap::IndexMap;

use super::super::outbox::{Outbox, Record, RecordId, Retain};
use super::super::retained::RetainedTopics;
use super::super::topics::{Topic, Topics};
use super::link::{LARGEST_PACKET, PACKET_OVERHEAD, Publish, Verdict};
use super::payload::{REPLAY_MARK, as_replay};
use super::replies::{Replies, Reply};
use super::{Counters, PublishError};

/// What was published, to be settled when the broker has answered.
#[derive(Debug)]
pub(super) enum Delivery {
    /// The birth or the farewell.
    Presence,
    Telemetry(RecordId),
    /// The latest of a retained topic, by its version.
    Latest {
        topic: Topic,
        version: u64,
        /// The record that holds the same message, where it is telemetry.
        record: Option<RecordId>,
    },
    Reply(Reply),
}

/// All that waits. Knows nothing of the network.
pub(super) struct Lanes {
    outbox: Box<dyn Outbox>,
    /// The latest of every retained topic.
    latest: IndexMap<Topic, Latest>,
    /// States to be sent on this connection, by version and so in the order they were published.
    changed: BTreeMap<u64, Changed>,
    replies: Replies,
    /// Sent, and not confirmed.
    replies_on_the_way: usize,
    announcement: VecDeque<Announced>,
    /// Taken from the outbox, but a state must go first.
    ahead: Option<(RecordId, Record)>,
    remembered: RetainedTopics,
    version: u64,
    /// Telemetry below this was there before the connection.
    live_from: RecordId,
    connected: bool,
    largest_packet: usize,
    counters: Counters,
}

struct Latest {
    /// `None`: still in the outbox of a former run, and nowhere else.
    payload: Option<Bytes>,
    source: Source,
    version: u64,
    /// The version last sent on this connection.
    sent: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    State,
    Telemetry(RecordId),
}

struct Changed {
    topic: Topic,
    /// Telemetry below this goes first.
    after: RecordId,
}

enum Announced {
    Birth(Publish),
    Latest { topic: Topic, version: u64 },
}

impl Lanes {
    pub(super) fn new(outbox: Box<dyn Outbox>, remembered: RetainedTopics) -> Self {
        let mut lanes = Self {
            live_from: outbox.tail(),
            outbox,
            latest: IndexMap::new(),
            changed: BTreeMap::new(),
            replies: Replies::default(),
            replies_on_the_way: 0,
            announcement: VecDeque::new(),
            ahead: None,
            remembered,
            version: 0,
            connected: false,
            largest_packet: LARGEST_PACKET,
            counters: Counters::default(),
        };
        for (topic, id) in lanes.outbox.recovered() {
            let version = lanes.next_version();
            let latest = Latest { payload: None, source: Source::Telemetry(id), version, sent: 0 };
            lanes.latest.insert(topic, latest);
        }
        lanes
    }

    pub(super) fn append(&mut self, record: Record, now: Instant) -> Result<(), PublishError> {
        self.fits(&record.topic, &record.payload, REPLAY_MARK)?;
        let Record { topic, payload, retain } = record;
        let kept = Record { topic: topic.clone(), payload: payload.clone(), retain };
        let id = self.outbox.append(kept, now).map_err(PublishError::Outbox)?;
        if retain == Retain::Retained {
            self.remembered.insert(&topic);
            self.set_latest(topic, payload, Source::Telemetry(id));
        }
        Ok(())
    }

    pub(super) fn set_state(&mut self, topic: Topic, payload: Bytes) -> Result<(), PublishError> {
        self.fits(&topic, &payload, 0)?;
        self.remembered.insert(&topic);
        let version = self.set_latest(topic.clone(), payload, Source::State);
        // Without a connection the next announcement takes it along.
        if self.connected {
            self.changed.insert(version, Changed { topic, after: self.outbox.tail() });
        }
        Ok(())
    }

    /// An empty retained payload makes the broker forget the topic.
    pub(super) fn clear(&mut self, topic: &str) -> Result<(), PublishError> {
        self.set_state(topic.into(), Bytes::new())
    }

    pub(super) fn push_reply(&mut self, reply: Reply) -> Result<(), PublishError> {
        let correlation = reply.correlation_data.as_ref().map_or(0, Bytes::len);
        self.fits(&reply.topic, &reply.payload, correlation)?;
        self.replies.push(reply);
        Ok(())
    }

    /// The topics that hold, or may hold, a retained message of ours.
    pub(super) fn retained_topics(&self) -> Vec<Topic> {
        self.remembered.iter().cloned().collect()
    }

    pub(super) fn counters(&self) -> Counters {
        Counters { replies_dropped: self.replies.dropped, ..self.counters }
    }

    /// Answers that the broker has not confirmed.
    pub(super) fn replies_left(&self) -> usize {
        self.replies.len() + self.replies_on_the_way
    }

    /// The control plane did not keep up.
    pub(super) fn count_refused_request(&mut self) {
        self.counters.requests_refused += 1;
    }

    pub(super) fn outbox(&self) -> &dyn Outbox {
        &*self.outbox
    }

    /// Puts on disk what is due there.
    pub(super) fn commit(&mut self, now: Instant) {
        complain(self.outbox.commit(now));
    }

    /// When [`Lanes::commit`] is due though nothing new comes.
    pub(super) fn commit_due(&self) -> Option<Instant> {
        self.outbox.commit_due()
    }

    /// Nobody knows when the broker is back.
    pub(super) fn save(&mut self, now: Instant) {
        complain(self.outbox.save(now));
    }

    /// Nothing follows: waits for the disk.
    pub(super) fn close(&mut self, now: Instant) {
        complain(self.outbox.close(now));
    }

    /// Nothing waits but what is on its way.
    pub(super) fn is_idle(&mut self, now: Instant) -> bool {
        if self.ahead.is_none() {
            self.ahead = self.outbox.next(now);
        }
        // What waits for the disk is not handed out yet, and still is to be sent.
        self.ahead.is_none()
            && self.outbox.depth(now).messages == 0
            && self.changed.is_empty()
            && self.replies.is_empty()
            && self.announcement.is_empty()
    }

    /// A connection stands: everything not confirmed is sent again, after the announcement.
    pub(super) fn begin_connection(&mut self, birth: Publish, topics: &Topics, largest_packet: usize) {
        self.counters.connections += 1;
        self.remembered.insert(&birth.topic.as_str().into());
        self.outbox.rewind();
        self.ahead = None;
        self.changed.clear();
        self.connected = true;
        self.live_from = self.outbox.tail();
        self.largest_packet = largest_packet;
        for latest in self.latest.values_mut() {
            latest.sent = 0;
        }
        self.announcement.clear();
        self.announcement.push_back(Announced::Birth(birth));
        let first = [
            topics.bridge_info(),
            topics.bridge_connections(),
            topics.bridge_devices(),
            topics.bridge_groups(),
        ];
        let leading = first.iter().filter_map(|topic| self.latest.get_key_value(topic));
        let others = |values: bool| {
            let chosen = move |(_, latest): &(&Topic, &Latest)| (latest.source != Source::State) == values;
            self.latest.iter().filter(chosen).filter(|(topic, _)| !first.contains(topic))
        };
        let all = leading.chain(others(true)).chain(others(false));
        self.announcement.extend(
            all.map(|(topic, latest)| Announced::Latest { topic: topic.clone(), version: latest.version }),
        );
    }

    /// The connection is lost. Replies that were on their way may be asked for again; the rest is in the lanes.
    pub(super) fn end_connection(&mut self, on_the_way: impl IntoIterator<Item = Delivery>) {
        self.connected = false;
        self.announcement.clear();
        self.changed.clear();
        let replies = on_the_way.into_iter().filter_map(|delivery| match delivery {
            Delivery::Reply(reply) => Some(reply),
            Delivery::Presence | Delivery::Telemetry(_) | Delivery::Latest { .. } => None,
        });
        self.replies.put_back(replies.collect());
        self.replies_on_the_way = 0;
    }

    /// The next message to be sent, and how it is to be settled.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Publish, Delivery)> {
        loop {
            let (message, delivery) = self.candidate(now)?;
            let correlation = message.correlation_data.as_ref().map_or(0, Bytes::len);
            let size = message.topic.len() + message.payload.len() + correlation + PACKET_OVERHEAD;
            if size <= self.largest_packet {
                return Some((message, delivery));
            }
            // It was accepted when the limit was not known: this broker takes less than the one before.
            tracing::warn!(
                topic = message.topic,
                size,
                limit = self.largest_packet,
                "message too large for the broker"
            );
            self.settle(delivery, Verdict::Refused);
        }
    }

    fn candidate(&mut self, now: Instant) -> Option<(Publish, Delivery)> {
        self.next_reply(now).or_else(|| self.next_announced()).or_else(|| self.next_in_order(now))
    }

    fn next_reply(&mut self, now: Instant) -> Option<(Publish, Delivery)> {
        let reply = self.replies.pop(now)?;
        self.replies_on_the_way += 1;
        let message = Publish {
            topic: reply.topic.to_string(),
            payload: reply.payload.clone(),
            retain: false,
            correlation_data: reply.correlation_data.clone(),
        };
        Some((message, Delivery::Reply(reply)))
    }

    fn next_announced(&mut self) -> Option<(Publish, Delivery)> {
        while let Some(announced) = self.announcement.pop_front() {
            match announced {
                Announced::Birth(birth) => return Some((birth, Delivery::Presence)),
                Announced::Latest { topic, version } => {
                    // What has changed since comes in its own turn.
                    if self.latest.get(&topic).is_some_and(|latest| latest.version == version)
                        && let Some(found) = self.send_latest(topic)
                    {
                        return Some(found);
                    }
                }
            }
        }
        None
    }

    /// Telemetry by its order, and states between.
    fn next_in_order(&mut self, now: Instant) -> Option<(Publish, Delivery)> {
        loop {
            let record = self.ahead.take().or_else(|| self.outbox.next(now));
            let state_is_due = match (&record, self.changed.first_key_value()) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some((id, _)), Some((_, changed))) => changed.after <= *id,
            };
            if state_is_due {
                self.ahead = record;
                let (_, changed) = self.changed.pop_first()?;
                if let Some(found) = self.send_latest(changed.topic) {
                    return Some(found);
                }
                continue;
            }
            let (id, record) = record?;
            if let Some(found) = self.send_record(id, record) {
                return Some(found);
            }
        }
    }

    fn send_record(&mut self, id: RecordId, record: Record) -> Option<(Publish, Delivery)> {
        let mut message = Publish {
            topic: record.topic.to_string(),
            payload: record.payload,
            retain: record.retain == Retain::Retained,
            correlation_data: None,
        };
        if message.retain {
            match self.latest.get_mut(&record.topic) {
                Some(latest) if latest.source == Source::Telemetry(id) => {
                    if latest.sent == latest.version {
                        // Announced on this connection; the answer to that settles the record too.
                        return None;
                    }
                    latest.sent = latest.version;
                }
                // Older than the newest of its topic, and from before the connection: a replay.
                _ if id < self.live_from => {
                    message.retain = false;
                    message.payload = as_replay(&message.payload);
                }
                _ => {}
            }
        }
        Some((message, Delivery::Telemetry(id)))
    }

    fn send_latest(&mut self, topic: Topic) -> Option<(Publish, Delivery)> {
        let latest = self.latest.get_mut(&topic)?;
        let payload = latest.payload.clone()?;
        if latest.sent == latest.version {
            return None;
        }
        latest.sent = latest.version;
        let version = latest.version;
        let record = match latest.source {
            Source::Telemetry(id) => Some(id),
            Source::State => None,
        };
        let message = Publish { topic: topic.to_string(), payload, retain: true, correlation_data: None };
        Some((message, Delivery::Latest { topic, version, record }))
    }

    /// The broker has answered, or never will.
    pub(super) fn settle(&mut self, delivery: Delivery, verdict: Verdict) {
        if matches!(delivery, Delivery::Reply(_)) {
            self.replies_on_the_way = self.replies_on_the_way.saturating_sub(1);
        }
        match verdict {
            Verdict::Accepted => self.counters.published += 1,
            Verdict::Refused => self.counters.refused += 1,
            // The connection is about to be given up, and the next one begins with this again.
            Verdict::Postponed => return,
        }
        match delivery {
            Delivery::Presence | Delivery::Reply(_) => {}
            Delivery::Telemetry(id) => self.outbox.acknowledge(id),
            Delivery::Latest { record: Some(id), .. } => self.outbox.acknowledge(id),
            Delivery::Latest { topic, version, record: None } => {
                let is_clear = |latest: &Latest| {
                    latest.version == version && latest.payload.as_ref().is_some_and(Bytes::is_empty)
                };
                if self.latest.get(&topic).is_some_and(is_clear) {
                    self.latest.shift_remove(&topic);
                    self.remembered.remove(&topic);
                }
            }
        }
    }

    fn set_latest(&mut self, topic: Topic, payload: Bytes, source: Source) -> u64 {
        let version = self.next_version();
        let latest = Latest { payload: Some(payload), source, version, sent: 0 };
        if let Some(replaced) = self.latest.insert(topic, latest) {
            self.changed.remove(&replaced.version);
        }
        version
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn fits(&self, topic: &str, payload: &Bytes, extra: usize) -> Result<(), PublishError> {
        let size = topic.len() + payload.len() + extra + PACKET_OVERHEAD;
        if size > self.largest_packet {
            return Err(PublishError::TooLarge { size, limit: self.largest_packet });
        }
        Ok(())
    }
}

fn complain(outcome: std::io::Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(%error, "the outbox cannot be written: messages wait in memory");
    }
}

#[cfg(test)]
mod tests;
