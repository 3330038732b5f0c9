//! Which links and devices a change of the configuration touches, and how: as few as possible.

use crate::bridge::config::Name;
use crate::bridge::config::diff::{Action, connection_action};
use crate::bridge::config::model::{Config, Connection};

/// What becomes of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkEffect {
    /// It begins.
    Start,
    /// It ends.
    Stop,
    /// It ends and begins on another line.
    Restart,
    /// It goes on with other devices, groups or settings.
    Reconfigure,
}

/// How far what all links have in common changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Not at all: a link is touched by changes of its own.
    Own,
    /// Topics or names change: every link must know.
    All,
}

/// What becomes of the links, by their names.
pub(super) fn links(old: &Config, new: &Config, extent: Extent) -> Vec<(Name, LinkEffect)> {
    let gone = old.connections.keys().filter(|name| !new.connections.contains_key(*name));
    let names = gone.chain(new.connections.keys());
    names.filter_map(|name| Some((name.clone(), link(old, new, name, extent)?))).collect()
}

fn link(old: &Config, new: &Config, name: &Name, extent: Extent) -> Option<LinkEffect> {
    match (running(old, name), running(new, name)) {
        (None, None) => None,
        (None, Some(_)) => Some(LinkEffect::Start),
        (Some(_), None) => Some(LinkEffect::Stop),
        (Some(was), Some(is)) if connection_action(was, is) == Action::Restart => Some(LinkEffect::Restart),
        (Some(was), Some(is)) => {
            let is_touched = extent == Extent::All
                || was != is
                || old.enabled != new.enabled
                || !old.devices_of(name).eq(new.devices_of(name))
                || old.devices_of(name).any(|device| polls_differ(old, new, &device.name));
            is_touched.then_some(LinkEffect::Reconfigure)
        }
    }
}

/// A connection has a link where it is enabled and has devices.
fn running<'c>(config: &'c Config, name: &Name) -> Option<&'c Connection> {
    let connection = config.connections.get(name).filter(|connection| connection.enabled)?;
    config.devices_of(name).next().is_some().then_some(connection)
}

fn polls_differ(old: &Config, new: &Config, device: &Name) -> bool {
    let polls = |config: &Config| {
        let groups = config.groups.values();
        let with = groups.filter(|group| group.values.iter().any(|value| value.devices.contains(device)));
        with.cloned().collect::<Vec<_>>()
    };
    polls(old) != polls(new)
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
connections: [{ name: c, host: h }, { name: e, host: i }, { name: spare, host: j }]
devices: [{ name: d, connection: c, access_security: low, password: 'first' }, { name: f, connection: e }]
groups:
  - { name: g, devices: d, values: [{ name: v, obis: 1.0.1.8.0.255 }] }
  - { name: h, devices: f, values: [{ name: v, obis: 1.0.1.8.0.255 }] }
";

    fn config(text: &str) -> Config {
        load_text(text, Format::Yaml, Path::new("")).unwrap_or_else(|problems| panic!("{problems}")).config
    }

    fn effect(from: &str, to: &str) -> Vec<String> {
        let new = BASE.replacen(from, to, 1);
        assert!(from.is_empty() || new != BASE);
        links(&config(BASE), &config(&new), Extent::Own)
            .into_iter()
            .map(|(name, effect)| format!("{name} {effect:?}"))
            .collect()
    }

    #[test]
    fn only_what_changes_is_touched() {
        assert_eq!(effect("", ""), [""; 0]);
        assert_eq!(effect("mqtt://b", "mqtt://x"), [""; 0]);
        assert_eq!(effect("name: g,", "name: g, interval: 5m,"), ["c Reconfigure"]);
        assert_eq!(effect("'first'", "'second'"), ["c Reconfigure"]);
        assert_eq!(effect("host: h", "host: x"), ["c Restart"]);
        assert_eq!(effect("host: j", "host: x"), [""; 0], "nothing hangs on it");
        assert_eq!(effect("name: c,", "name: c, enabled: false,"), ["c Stop"]);
        assert_eq!(effect("name: d, connection: c", "name: d, connection: spare"), ["c Stop", "spare Start"]);
        assert_eq!(effect("gateway: g", "gateway: g\nenabled: false"), ["c Reconfigure", "e Reconfigure"]);
        let all = links(&config(BASE), &config(BASE), Extent::All);
        assert_eq!(all.len(), 2);
    }
}
