//! Retained messages of ours that the configuration no longer stands behind: cleared, or subscribers would take a
//! device that is gone for one that is silent.

use std::collections::HashSet;

use super::config::model::{Config, ValueTopics};
use super::publisher::PublisherHandle;
use super::topics::{Topic, Topics};

/// What is known of the meters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: nobody has talked to one yet, and what a former run said of their availability no longer holds.
    Nothing,
    /// What was published.
    AsPublished,
}

/// Clears every remembered retained topic that this configuration does not publish.
pub fn clear(config: &Config, topics: &Topics, publisher: &PublisherHandle, known: Known) {
    let mut published = published(config, topics);
    if known == Known::AsPublished {
        let devices = config.devices.values().filter(|device| config.is_active(device));
        published.extend(devices.map(|device| topics.device_availability(device.name.as_str())));
    }
    for topic in publisher.retained_topics() {
        if !published.contains(&topic)
            && let Err(error) = publisher.clear_retained(&topic)
        {
            tracing::warn!(%topic, %error, "a retained message of a former configuration could not be cleared");
        }
    }
}

/// The retained topics of a gateway with this configuration, but for availabilities.
fn published(config: &Config, topics: &Topics) -> HashSet<Topic> {
    let mut published = HashSet::from([
        topics.bridge_state(),
        topics.bridge_info(),
        topics.bridge_connections(),
        topics.bridge_devices(),
        topics.bridge_groups(),
        topics.bridge_health(),
    ]);
    for device in config.devices.values().filter(|device| config.is_active(device)) {
        let name = device.name.as_str();
        published.insert(topics.device_status(name));
        for (group, value) in
            config.values_of(&device.name).filter(|(group, value)| group.enabled && value.enabled)
        {
            published.insert(topics.device_group(name, group.name.as_str()));
            if config.mqtt.value_topics == ValueTopics::On && !value.is_profile() {
                published.insert(topics.device_value(name, value.name.as_str()));
            }
        }
    }
    published
}
