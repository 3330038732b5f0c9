//! What leaves for subscribers: payloads get their gateway, number and topic here.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use super::outbox::Retain;
use super::publisher::{PublishError, PublisherHandle};
use super::reading::json::Json;
use super::reading::profile_rows::{BatchLimit, Gap, Mode, ProfileRows};
use super::reading::snapshot::{Cycle, Item, Outcome, Snapshot};
use super::reading::status::{
    AvailabilityPayload, DeviceState, DeviceStatus, EventPayload, Severity, StatusPayload,
};
use super::reading::value::{Reading, SCHEMA_VERSION, Source, ValuePayload};
use super::seq::Sequence;
use super::topics::{Topic, Topics};
use crate::bridge::config::model::ValueTopics;
use crate::bridge::link::visit::FoundRows;
use crate::error::Code;
use crate::wire::obis::Obis;

/// The way out, shared by all who publish.
#[derive(Clone, Debug)]
pub struct Outlet {
    gateway: Arc<str>,
    topics: Arc<Topics>,
    sequence: Arc<Sequence>,
    publisher: PublisherHandle,
    value_topics: ValueTopics,
}

/// A group of one device, as its snapshot names it.
#[derive(Clone, Copy, Debug)]
pub struct GroupOf<'a> {
    /// The device's name.
    pub device: &'a str,
    /// Its serial number, where it is known.
    pub serial: Option<&'a str>,
    /// The group's name.
    pub group: &'a str,
    /// Labels of both.
    pub labels: &'a std::collections::BTreeMap<String, String>,
}

/// What batches of rows say beside the rows.
#[derive(Clone, Copy, Debug)]
pub struct Batches<'a> {
    /// Why the rows were read.
    pub mode: Mode,
    /// What is missing between them.
    pub gaps: &'a [Gap],
}

impl Batches<'_> {
    /// Rows of a poll, or of a request.
    pub const LIVE: Self = Self { mode: Mode::Live, gaps: &[] };
}

/// Rows as the snapshot tells of them.
#[derive(Clone, Debug)]
pub struct Published {
    /// What all batches have as `read_id`.
    pub read_id: String,
    /// Rows published.
    pub rows: usize,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its type.
    pub kind: &'a str,
    /// How serious it is.
    pub severity: Severity,
    /// The device, where it concerns one.
    pub device: Option<&'a str>,
    /// The connection, where it concerns one.
    pub connection: Option<&'a str>,
    /// The error code, where it is one.
    pub code: Option<Code>,
    /// Details; an object.
    pub data: &'a Json,
}

impl<'a> Event<'a> {
    /// An event of a device, without an error code.
    #[must_use]
    pub const fn of_device(kind: &'a str, severity: Severity, device: &'a str, data: &'a Json) -> Self {
        Self { kind, severity, device: Some(device), connection: None, code: None, data }
    }
}

impl Outlet {
    /// The way out of a gateway.
    #[must_use]
    pub fn new(
        gateway: &str,
        topics: Arc<Topics>,
        sequence: Arc<Sequence>,
        publisher: PublisherHandle,
        value_topics: ValueTopics,
    ) -> Self {
        Self { gateway: gateway.into(), topics, sequence, publisher, value_topics }
    }

    /// The gateway's name.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Its topics.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The publisher.
    #[must_use]
    pub const fn publisher(&self) -> &PublisherHandle {
        &self.publisher
    }

    fn source<'a>(&'a self, of: &GroupOf<'a>) -> Source<'a> {
        Source { gateway: &self.gateway, device: of.device, serial: of.serial }
    }

    /// Publishes the snapshot of a cycle; tells how the cycle ended.
    pub async fn snapshot<'a>(
        &'a self,
        of: GroupOf<'a>,
        cycle: &'a Cycle,
        items: impl IntoIterator<Item = (&'a str, &'a Item<'a>)>,
    ) -> Outcome {
        let turn = self.sequence.turn().await;
        let snapshot = Snapshot::new(self.source(&of), of.group, cycle, items, of.labels, turn.number());
        let outcome = snapshot.outcome();
        let topic = self.topics.device_group(of.device, of.group);
        self.telemetry(topic, &snapshot, Retain::Retained).await;
        outcome
    }

    /// Publishes a value, where the option is on.
    pub async fn value(&self, of: GroupOf<'_>, reading: &Reading, ts: Timestamp, poll_ms: u64) {
        let (ValueTopics::On, Some(name)) = (self.value_topics, &reading.identity.name) else { return };
        let turn = self.sequence.turn().await;
        let payload = ValuePayload {
            v: SCHEMA_VERSION,
            source: self.source(&of),
            reading,
            ts,
            seq: Some(turn.number()),
            poll_ms,
        };
        self.telemetry(self.topics.device_value(of.device, name), &payload, Retain::Retained).await;
    }

    /// Publishes rows in batches.
    pub async fn rows(
        &self,
        of: GroupOf<'_>,
        profile: &str,
        obis: Option<Obis>,
        found: &FoundRows,
        told: Batches<'_>,
        ts: Timestamp,
    ) -> Published {
        let topic = self.topics.device_profile(of.device, profile);
        let rows = &found.rows;
        let batches = rows.batches(BatchLimit::default());
        let last = batches.len().saturating_sub(1);
        let mut read_id = String::new();
        for (batch, range) in batches.into_iter().enumerate() {
            let turn = self.sequence.turn().await;
            let seq = turn.number();
            if batch == 0 {
                read_id = format!("{seq:x}");
            }
            let payload = ProfileRows {
                v: SCHEMA_VERSION,
                source: self.source(&of),
                group: Some(of.group),
                profile,
                obis,
                read_id: &read_id,
                batch,
                last: batch == last,
                mode: told.mode,
                capture_period_s: found.capture_period,
                time_column: rows.columns.time_column(),
                columns: rows.columns.published(),
                rows: rows.rows.get(range).unwrap_or_default(),
                gaps: if batch == last { told.gaps } else { &[] },
                ts,
                seq,
            };
            self.telemetry(topic.clone(), &payload, Retain::Transient).await;
        }
        Published { read_id, rows: rows.rows.len() }
    }

    /// Publishes whether a device can be read.
    pub fn availability(&self, device: &str, state: DeviceState) {
        let payload = AvailabilityPayload {
            v: SCHEMA_VERSION,
            gateway: &self.gateway,
            device,
            state,
            ts: Timestamp::now(),
        };
        self.state(&self.topics.device_availability(device), &payload);
    }

    /// Publishes what is known of a device.
    pub fn status(&self, device: &str, status: &DeviceStatus) {
        let payload =
            StatusPayload { v: SCHEMA_VERSION, gateway: &self.gateway, device, ts: Timestamp::now(), status };
        self.state(&self.topics.device_status(device), &payload);
    }

    /// Publishes an event: of a device on its own topic, else of the bridge.
    pub async fn event(&self, event: Event<'_>) {
        let topic = match event.device {
            Some(device) => self.topics.device_event(device),
            None => self.topics.bridge_event(),
        };
        let turn = self.sequence.turn().await;
        let payload = EventPayload {
            v: SCHEMA_VERSION,
            gateway: &self.gateway,
            kind: event.kind,
            severity: event.severity,
            device: event.device,
            connection: event.connection,
            code: event.code,
            data: event.data,
            ts: Timestamp::now(),
            seq: turn.number(),
        };
        self.telemetry(topic, &payload, Retain::Transient).await;
    }

    /// Publishes a retained state.
    pub fn state<T: Serialize>(&self, topic: &Topic, payload: &T) {
        let Some(bytes) = json(payload) else { return };
        if let Err(error) = self.publisher.publish_state(topic.clone(), bytes) {
            complain(topic, &error);
        }
    }

    async fn telemetry<T: Serialize>(&self, topic: Topic, payload: &T, retain: Retain) {
        let Some(bytes) = json(payload) else { return };
        if let Err(error) = self.publisher.publish_telemetry(topic.clone(), bytes, retain).await {
            complain(&topic, &error);
        }
    }
}

fn json<T: Serialize>(payload: &T) -> Option<Bytes> {
    match serde_json::to_vec(payload) {
        Ok(bytes) => Some(bytes.into()),
        Err(error) => {
            tracing::error!(%error, "a payload could not be written as JSON");
            None
        }
    }
}

fn complain(topic: &Topic, error: &PublishError) {
    tracing::warn!(%topic, %error, "a message was not accepted for publishing");
}
