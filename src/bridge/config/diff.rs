//! What changes from one configuration to another, by name: pure, so that a change can be shown before it is made,
//! and taken back by the difference the other way round.

use std::collections::BTreeSet;
use std::fmt;

use indexmap::IndexMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::model::{Config, Connection, Device, Group};
use super::name::Name;

/// Everything that differs between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigDiff {
    /// Parts that have no name.
    pub sections: BTreeSet<Section>,
    /// Connections.
    pub connections: Vec<Change>,
    /// Devices. Those of a connection that restarts are listed only if they change themselves.
    pub devices: Vec<Change>,
    /// Groups.
    pub groups: Vec<Change>,
}

/// A part of the configuration that has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// The gateway's name or its directories: everything is made anew.
    Identity,
    /// The global switch.
    Enabled,
    /// How the broker is reached: the MQTT connection is made anew, the outbox stays.
    Broker,
    /// Topics, quality of service, topics for single values: what is retained is published anew.
    Publishing,
    /// What may be asked over MQTT.
    Control,
    /// Limits of the outbox.
    Outbox,
    /// The HTTP server.
    Http,
}

/// A connection, device or group that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub name: Name,
    /// What becomes of it.
    pub action: Action,
    /// Its keys that are written differently; none where it only follows another change, or is new or gone.
    pub keys: Vec<String>,
}

/// What becomes of something when a configuration is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It begins: new, or enabled.
    Start,
    /// It ends: gone, or disabled.
    Stop,
    /// The link is opened, or the association made, anew.
    Restart,
    /// It goes on with other settings.
    Update,
}

/// One line of a plan, as in the answer of `config/validate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanStep {
    /// `connection`, `device`, `group`, `mqtt`, `control`, `outbox`, `http` or `gateway`.
    pub kind: &'static str,
    /// The name of a connection, device or group, else empty.
    pub name: String,
    /// What becomes of it.
    pub action: Action,
    /// Why.
    pub reason: String,
}

impl ConfigDiff {
    /// What changes when `new` takes the place of `old`.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        Self {
            sections: sections(old, new),
            connections: changes(
                (&old.connections, &new.connections),
                (old, new),
                "connections",
                |connection| connection.enabled,
                connection_action,
            ),
            devices: changes(
                (&old.devices, &new.devices),
                (old, new),
                "devices",
                |device| device.enabled,
                device_action,
            ),
            groups: changes(
                (&old.groups, &new.groups),
                (old, new),
                "groups",
                |group| group.enabled,
                group_action,
            ),
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The steps in words.
    #[must_use]
    pub fn plan(&self) -> Vec<PlanStep> {
        let sections = self.sections.iter().map(|section| section.step());
        let kinds = [("connection", &self.connections), ("device", &self.devices), ("group", &self.groups)];
        let named =
            kinds.into_iter().flat_map(|(kind, changes)| changes.iter().map(move |change| change.step(kind)));
        sections.chain(named).collect()
    }
}

fn sections(old: &Config, new: &Config) -> BTreeSet<Section> {
    let (was, is) = (&old.mqtt, &new.mqtt);
    let same = [
        (
            Section::Identity,
            old.gateway == new.gateway
                && old.state_dir == new.state_dir
                && old.secrets_dir == new.secrets_dir,
        ),
        (Section::Enabled, old.enabled == new.enabled),
        (
            Section::Broker,
            was.broker == is.broker
                && was.protocol == is.protocol
                && was.client_id == is.client_id
                && was.username == is.username
                && was.password == is.password
                && was.tls == is.tls
                && was.keep_alive == is.keep_alive
                // The last will names a topic.
                && was.topics == is.topics,
        ),
        (
            Section::Publishing,
            was.topics == is.topics && was.qos == is.qos && was.value_topics == is.value_topics,
        ),
        (Section::Control, was.control == is.control && was.response_topics == is.response_topics),
        (Section::Outbox, old.outbox == new.outbox),
        (Section::Http, old.http == new.http),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(section, _)| section).collect()
}

fn changes<T: PartialEq>(
    (old, new): (&IndexMap<Name, T>, &IndexMap<Name, T>),
    (old_config, new_config): (&Config, &Config),
    list: &str,
    enabled: fn(&T) -> bool,
    action: fn(&T, &T) -> Action,
) -> Vec<Change> {
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| Change {
        name: name.clone(),
        action: Action::Stop,
        keys: Vec::new(),
    });
    let others = new.iter().filter_map(|(name, is)| {
        let Some(was) = old.get(name) else {
            return Some(Change { name: name.clone(), action: Action::Start, keys: Vec::new() });
        };
        if was == is {
            return None;
        }
        let action = match (enabled(was), enabled(is)) {
            (false, true) => Action::Start,
            (true, false) => Action::Stop,
            (false, false) => Action::Update,
            (true, true) => action(was, is),
        };
        let keys = changed_keys(written(old_config, list, name), written(new_config, list, name));
        Some(Change { name: name.clone(), action, keys })
    });
    gone.chain(others).collect()
}

/// What becomes of a connection that stays enabled: `Restart` where the line is another.
#[must_use]
pub fn connection_action(was: &Connection, is: &Connection) -> Action {
    let same_line = was.link == is.link
        && was.turnaround == is.turnaround
        && was.echo == is.echo
        && was.parity_mode == is.parity_mode;
    if same_line { Action::Update } else { Action::Restart }
}

/// What becomes of a device that stays enabled: `Restart` where its association can't go on.
#[must_use]
pub fn device_action(was: &Device, is: &Device) -> Action {
    let same_association = was.connection == is.connection
        && was.interface == is.interface
        && was.server == is.server
        && was.client_address == is.client_address
        && was.referencing == is.referencing
        && was.security == is.security
        && was.max_pdu_size == is.max_pdu_size
        && was.hdlc == is.hdlc
        && was.mode_e == is.mode_e
        // Whose meter it is was decided when the association was made.
        && was.identity == is.identity;
    if same_association { Action::Update } else { Action::Restart }
}

/// Groups are read from; nothing of theirs is open.
fn group_action(_: &Group, _: &Group) -> Action {
    Action::Update
}

/// The element of a list as it was written, secrets included.
fn written<'a>(config: &'a Config, list: &str, name: &Name) -> Option<&'a Value> {
    let elements = config.source().expose().get(list)?.as_array()?;
    elements.iter().find(|element| element.get("name").and_then(Value::as_str) == Some(name.as_str()))
}

/// The keys whose values differ; the values stay here, for they may be secrets.
fn changed_keys(was: Option<&Value>, is: Option<&Value>) -> Vec<String> {
    let keys = |written: Option<&Value>| -> BTreeSet<String> {
        written.and_then(Value::as_object).into_iter().flat_map(|map| map.keys().cloned()).collect()
    };
    let (Some(old), Some(new)) = (was, is) else { return Vec::new() };
    let all: BTreeSet<_> = keys(was).union(&keys(is)).cloned().collect();
    all.into_iter().filter(|key| old.get(key) != new.get(key)).collect()
}

impl Section {
    fn step(self) -> PlanStep {
        let (kind, action, reason) = match self {
            Self::Identity => ("gateway", Action::Restart, "name or directories change"),
            Self::Enabled => ("gateway", Action::Update, "the global switch changes"),
            Self::Broker => ("mqtt", Action::Restart, "the broker is connected to anew; the outbox stays"),
            Self::Publishing => ("mqtt", Action::Update, "what is retained is published anew"),
            Self::Control => ("control", Action::Update, "what may be asked changes"),
            Self::Outbox => {
                ("outbox", Action::Restart, "takes effect when the bridge starts anew: ask for restart")
            }
            Self::Http => ("http", Action::Restart, "the address changes"),
        };
        PlanStep { kind, name: String::new(), action, reason: reason.to_owned() }
    }
}

impl Change {
    fn step(&self, kind: &'static str) -> PlanStep {
        let keys = self.keys.join(", ");
        let reason = match (self.action, keys.as_str()) {
            (Action::Start, "") => "is new".to_owned(),
            (Action::Stop, "") => "is gone".to_owned(),
            (_, "") => "follows another change".to_owned(),
            (_, keys) => format!("changed: {keys}"),
        };
        PlanStep { kind, name: self.name.to_string(), action: self.action, reason }
    }
}

impl Action {
    /// `start`, `stop`, `restart` or `update`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Update => "update",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bridge::config::load_text;
    use crate::bridge::config::tree::Format;

    const BASE: &str = "
gateway: g
mqtt: { url: 'mqtt://b' }
connections: [{ name: c, host: h }, { name: spare, host: i }]
devices: [{ name: d, connection: c, access_security: low, password: 'first word' }]
groups: [{ name: g, devices: d, values: [{ name: v, obis: 1.0.1.8.0.255 }] }]
";

    fn config(text: &str) -> Config {
        load_text(text, Format::Yaml, Path::new("")).unwrap_or_else(|problems| panic!("{problems}")).config
    }

    fn plan(from: &str, to: &str) -> Vec<String> {
        let plan = ConfigDiff::between(&config(BASE), &config(&BASE.replace(from, to))).plan();
        plan.iter()
            .map(|step| format!("{} {} {}: {}", step.kind, step.name, step.action, step.reason))
            .collect()
    }

    #[test]
    fn the_effect_is_the_least_that_does_it() {
        assert_eq!(plan("", ""), Vec::<String>::new());
        assert_eq!(plan("name: g,", "name: g, interval: 5m,"), ["group g update: changed: interval"]);
        assert_eq!(plan("first word", "second word"), ["device d restart: changed: password"]);
        assert_eq!(plan("name: d,", "name: d, title: T,"), ["device d update: changed: title"]);
        assert_eq!(plan("host: h", "host: x"), ["connection c restart: changed: host"]);
        assert_eq!(plan(", { name: spare, host: i }", ""), ["connection spare stop: is gone"]);
        assert_eq!(
            plan("name: spare,", "name: spare, enabled: false,"),
            ["connection spare stop: changed: enabled"]
        );
        assert_eq!(
            plan("mqtt://b", "mqtt://x"),
            ["mqtt  restart: the broker is connected to anew; the outbox stays"]
        );
        assert_eq!(plan("mqtt: {", "mqtt: { control: off,"), ["control  update: what may be asked changes"]);
    }

    #[test]
    fn a_held_connection_reaches_its_devices() {
        assert_eq!(
            plan("host: h", "host: h, hold: true"),
            ["connection c update: changed: hold", "device d update: follows another change"]
        );
    }

    #[test]
    fn the_way_back_is_the_difference_turned_round() {
        let (old, new) = (config(BASE), config(&BASE.replace(", { name: spare, host: i }", "")));
        let back = ConfigDiff::between(&new, &old);
        assert_eq!(back.connections[0].action, Action::Start);
        assert!(ConfigDiff::between(&old, &old).is_empty());
    }
}
