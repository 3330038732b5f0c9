//! What the bridge counts, in the text form of OpenMetrics, which Prometheus reads.
//!
//! Nothing is counted twice: each scrape asks those who count anyway.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::health::{Condition, LinkHealth, LinkSample};
use super::publisher::{MqttState, Stats};
use super::reading::status::LinkState;

/// What a scrape tells.
#[derive(Debug)]
pub struct Scrape {
    /// Name of the gateway.
    pub gateway: String,
    /// Since the start.
    pub uptime: Duration,
    /// Every running link.
    pub links: Vec<Arc<LinkHealth>>,
    /// Outbox and publisher.
    pub publisher: Stats,
    /// The connection to the broker.
    pub mqtt: MqttState,
}

impl Scrape {
    /// The text of `/metrics`.
    ///
    /// # Errors
    /// Never: a text takes whatever is written to it.
    pub fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(&mut encoder);
        self.process(&mut families)?;
        self.links(&mut families)?;
        self.meters(&mut families)?;
        self.outbox(&mut families)?;
        self.mqtt(&mut families)
    }
}

impl Scrape {
    fn process(&self, families: &mut Families<'_, '_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION")), ("gateway", self.gateway.as_str())];
        families.gauges("build_info", "The version that runs; always 1.", [(version, 1.0)])?;
        families.gauge("uptime_seconds", "Time since the start.", self.uptime.as_secs_f64())
    }

    fn links(&self, families: &mut Families<'_, '_>) -> fmt::Result {
        let samples: Vec<LinkSample> = self.links.iter().map(|link| link.sample()).collect();
        let polls = samples.iter().flat_map(|link| {
            let outcomes =
                [("ok", link.polls.ok), ("partial", link.polls.partial), ("failed", link.polls.failed)];
            outcomes.map(|(outcome, count)| ([("connection", link.name), ("outcome", outcome)], count))
        });
        families.counters("polls", "Group readings that ended, by outcome.", polls)?;
        let skipped = samples.iter().map(|link| ([("connection", link.name)], link.polls.skipped));
        families.counters(
            "skipped_ticks",
            "Ticks of groups that passed while the link was busy.",
            skipped,
        )?;
        let errors = samples.iter().flat_map(|link| {
            let counts = link.errors.iter();
            counts.map(|(code, count)| ([("connection", link.name), ("code", code.as_str())], *count))
        });
        families.counters("errors", "Failures, by code.", errors)?;
        let states = samples.iter().flat_map(|link| {
            STATES.map(|(state, name)| {
                ([("connection", link.name), ("state", name)], f64::from(u8::from(link.state == state)))
            })
        });
        families.gauges("link_state", "1 for the state that the link is in.", states)?;
        let failing = samples.iter().map(|link| {
            ([("connection", link.name)], f64::from(u8::from(link.condition == Condition::Failing)))
        });
        families.gauges("link_failing", "1 while a meter of the link is offline.", failing)?;
        let queues = samples.iter().map(|link| ([("connection", link.name)], whole(link.queued)));
        families.gauges("link_queue", "Requests that wait for the link.", queues)?;
        let times = self.links.iter().map(|link| ([("connection", link.name())], link.read_times()));
        families.histograms("read_seconds", "Duration of visits that reached the meter.", times)
    }

    fn meters(&self, families: &mut Families<'_, '_>) -> fmt::Result {
        let samples: Vec<LinkSample> = self.links.iter().map(|link| link.sample()).collect();
        let headroom = samples.iter().flat_map(|link| {
            let devices = link.headroom.iter();
            devices.map(|(device, left)| {
                ([("connection", link.name), ("device", device.as_str())], f64::from(*left))
            })
        });
        families.gauges(
            "invocation_counter_headroom",
            "Protected messages that the meter's keys are still good for.",
            headroom,
        )
    }

    fn outbox(&self, families: &mut Families<'_, '_>) -> fmt::Result {
        let depth = &self.publisher.depth;
        let oldest = depth.oldest.unwrap_or_default();
        families.gauge(
            "outbox_messages",
            "Messages that wait for the broker.",
            whole(depth.messages as u64),
        )?;
        families.gauge("outbox_bytes", "Their size.", whole(depth.bytes as u64))?;
        families.gauge(
            "outbox_oldest_seconds",
            "Age of the oldest; 0 where none waits.",
            oldest.as_secs_f64(),
        )?;
        families.counter(
            "outbox_dropped",
            "Messages lost to the limits of the outbox.",
            self.publisher.dropped,
        )
    }

    fn mqtt(&self, families: &mut Families<'_, '_>) -> fmt::Result {
        let counts = &self.publisher.counters;
        let connected = f64::from(u8::from(self.mqtt.connected));
        families.gauge("mqtt_connected", "1 while the broker has accepted us.", connected)?;
        let since = self.mqtt.since.as_second();
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit for ages to come")]
        let since = since as f64;
        families.gauge("mqtt_since_seconds", "Unix time since which that is so.", since)?;
        let error = self.mqtt.last_error.as_ref().map(|error| ([("code", error.code.as_str())], 1.0));
        families.gauges("mqtt_error", "1 with the code of what is wrong with the broker.", error)?;
        families.counter("mqtt_connections", "Connections that the broker accepted.", counts.connections)?;
        families.counter("mqtt_published", "Messages that the broker has taken.", counts.published)?;
        families.counter("mqtt_refused", "Messages that the broker refused for good.", counts.refused)?;
        families.counter(
            "replies_dropped",
            "Replies past their deadline, or too many.",
            counts.replies_dropped,
        )?;
        families.counter("requests_refused", "Requests that were answered BUSY.", counts.requests_refused)
    }
}

const STATES: [(LinkState, &str); 3] =
    [(LinkState::Up, "up"), (LinkState::Connecting, "connecting"), (LinkState::Down, "down")];

/// Beyond 2^53 the last digits go; no count gets there.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn whole(count: u64) -> f64 {
    count as f64
}

/// Writes families of metrics, whose names begin with the program's.
struct Families<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Families<'_, '_> {
    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        metrics: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, metrics, |mut encoder, count| {
            encoder.encode_counter::<[(&str, &str); 0], _, u64>(&count, None)
        })
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        metrics: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, metrics, |mut encoder, value| encoder.encode_gauge(&value))
    }

    fn histograms<'h, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        metrics: impl IntoIterator<Item = (L, &'h prometheus_client::metrics::histogram::Histogram)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Histogram, metrics, |encoder, histogram| {
            histogram.encode(encoder)
        })
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let name = full(name);
        let mut encoder = self.0.encode_descriptor(&name, help, None, MetricType::Counter)?;
        encoder.encode_counter::<[(&str, &str); 0], _, u64>(&count, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(&full(name), help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn family<L: EncodeLabelSet, T>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        metrics: impl IntoIterator<Item = (L, T)>,
        encode: impl Fn(MetricEncoder<'_>, T) -> fmt::Result,
    ) -> fmt::Result {
        let name = full(name);
        let mut family = self.0.encode_descriptor(&name, help, None, kind)?;
        for (labels, value) in metrics {
            encode(family.encode_family(&labels)?, value)?;
        }
        Ok(())
    }
}

fn full(name: &str) -> String {
    format!("dlms2mqtt_{name}")
}
