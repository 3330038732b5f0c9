//! What must stand once: names, addresses on a line, ports, keys with their titles.

use std::collections::BTreeMap;

use crate::bridge::config::document::Document;
use crate::bridge::config::document::connection::{Connection, Kind};
use crate::bridge::config::document::group::{Group, Value};
use crate::bridge::config::forms::Names;
use crate::bridge::config::model::Device;
use crate::bridge::config::name::Name;
use crate::bridge::config::object::ClassRef;
use crate::bridge::config::path::Path;
use crate::bridge::config::problem::{Findings, Problem};
use crate::bridge::config::quantity::Flag;
use crate::cosem::catalogue::ClassId;
use crate::error::Code;

pub(super) fn connections(document: &Document, findings: &mut Findings) {
    let at = Path::root().key("connections");
    let written = document.connections.as_deref().unwrap_or_default();
    names(written.iter().map(|connection| connection.name.as_ref()), "connection", &at, findings);

    let mut ports: BTreeMap<&str, &Connection> = BTreeMap::new();
    for (index, connection) in written.iter().enumerate() {
        let Some(device) = connection.device.as_deref().filter(|_| connection.kind == Some(Kind::Serial))
        else {
            continue;
        };
        if let Some(first) = ports.get(device) {
            let message = format!("the connection {} uses this port already", quoted(first.name.as_ref()));
            let problem = Problem::error(at.index(index).key("device"), message);
            findings.push(problem.with_hint("one connection for a port; several devices can share it"));
        } else {
            ports.insert(device, connection);
        }
    }
    let mut endpoints: BTreeMap<(Kind, &str, i64), &Connection> = BTreeMap::new();
    for (index, connection) in written.iter().enumerate() {
        let kind = connection.kind.unwrap_or(Kind::Tcp);
        let port = connection.port.map_or(super::defaults::PORT, |port| port.0);
        let (Some(host), Kind::Tcp | Kind::Udp | Kind::Listen) = (
            connection.host.as_deref().or(match kind {
                Kind::Listen => Some("0.0.0.0"),
                Kind::Tcp | Kind::Udp | Kind::Serial => None,
            }),
            kind,
        ) else {
            continue;
        };
        if let Some(first) = endpoints.get(&(kind, host, port)) {
            let message =
                format!("the connection {} goes to the same host and port", quoted(first.name.as_ref()));
            let at = at.index(index).key("host");
            if kind == Kind::Listen {
                findings.error(at, message);
            } else {
                findings.warning(
                    at,
                    message,
                    "most modems serve one connection; several devices can share one",
                );
            }
        } else {
            endpoints.insert((kind, host, port), connection);
        }
    }
}

pub(super) fn devices(document: &Document, made: &[Option<Device>], findings: &mut Findings) {
    let at = Path::root().key("devices");
    let written = document.devices.as_deref().unwrap_or_default();
    names(written.iter().map(|device| device.name.as_ref()), "device", &at, findings);

    for (index, device) in made.iter().enumerate() {
        let Some(device) = device else { continue };
        let earlier = || made.iter().take(index).flatten().filter(|other| other.name != device.name);
        let shares_keys = |other: &&Device| {
            let (ours, theirs) = (&device.security, &other.security);
            ours.is_ciphered()
                && theirs.is_ciphered()
                && ours.block_cipher_key.is_some()
                && ours.block_cipher_key == theirs.block_cipher_key
                && ours.system_title == theirs.system_title
        };
        if let Some(other) = earlier().find(shares_keys) {
            let message =
                format!("has the same key and system title as `{}`: one counter must serve both", other.name);
            let hint = "give each meter a key of its own, or each device its own system_title";
            findings.warning(at.index(index).key("block_cipher_key"), message, hint);
        }
        let same_station = |other: &&Device| {
            other.connection == device.connection
                && other.server == device.server
                && other.client_address == device.client_address
                && other.interface == device.interface
                && other.mode_e.address == device.mode_e.address
        };
        let dials_in = document.connections.iter().flatten().any(|connection| {
            connection.name.as_ref() == Some(&device.connection) && connection.kind == Some(Kind::Listen)
        });
        if let Some(other) = earlier().find(same_station).filter(|_| !dials_in) {
            let message = format!("has the same addresses on the same connection as `{}`", other.name);
            findings.warning(at.index(index), message, "one of them will read the other's meter");
        }
    }
}

/// (group, device, value) is unique; (device, value) too over all groups where the topic has no group in it:
/// for profiles, and for every value where each has a topic of its own.
pub(super) fn groups(document: &Document, findings: &mut Findings) {
    let at = Path::root().key("groups");
    let written = document.groups.as_deref().unwrap_or_default();
    names(written.iter().map(|group| group.name.as_ref()), "group", &at, findings);

    let value_topics = document.mqtt.as_ref().and_then(|mqtt| mqtt.per_value_topics) == Some(Flag(true));
    let mut topics: BTreeMap<(&Name, &Name, Family), &Group> = BTreeMap::new();
    for (group_index, group) in written.iter().enumerate() {
        let mut in_group = BTreeMap::new();
        for (index, value) in group.values.iter().flatten().enumerate() {
            let at = at.index(group_index).key("values").index(index).key("name");
            let Some(name) = &value.name else { continue };
            let family = Family::of(value);
            for device in devices_of(value, group) {
                if in_group.insert((device, name), index).is_some() {
                    let message = format!("the group has another value `{name}` of device `{device}`");
                    findings.push(Problem::error(at.clone(), message).with_code(Code::DuplicateName));
                    continue;
                }
                if family == Family::Single && !value_topics {
                    continue;
                }
                if let Some(other) = topics.get(&(device, name, family)) {
                    let why = match family {
                        Family::Profile => "rows of a profile are published without the group",
                        Family::Single => "with per_value_topics a value is published without the group",
                    };
                    let other = quoted(other.name.as_ref());
                    let message =
                        format!("the group {other} has another value `{name}` of device `{device}`; {why}");
                    findings.push(Problem::error(at.clone(), message).with_code(Code::DuplicateName));
                } else {
                    topics.insert((device, name, family), group);
                }
            }
        }
    }
}

/// Which topics a value has for itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Profile,
    Single,
}

impl Family {
    fn of(value: &Value) -> Self {
        if value.class == Some(ClassRef(ClassId::PROFILE_GENERIC)) { Self::Profile } else { Self::Single }
    }
}

fn devices_of<'a>(value: &'a Value, group: &'a Group) -> impl Iterator<Item = &'a Name> {
    let named = value.device.as_ref().or(group.devices.as_ref());
    let mut seen = std::collections::BTreeSet::new();
    named.into_iter().flat_map(|Names(names)| names).filter(move |name| seen.insert(*name))
}

fn names<'a>(
    written: impl Iterator<Item = Option<&'a Name>>,
    what: &str,
    at: &Path,
    findings: &mut Findings,
) {
    let mut seen = BTreeMap::new();
    for (index, name) in written.enumerate() {
        let Some(name) = name else { continue };
        if let Some(first) = seen.get(name) {
            let message = format!("another {what} has the name `{name}` already ({at}[{first}])");
            let problem = Problem::error(at.index(index).key("name"), message);
            findings.push(problem.with_code(Code::DuplicateName));
        } else {
            seen.insert(name, index);
        }
    }
}

fn quoted(name: Option<&Name>) -> String {
    name.map_or_else(|| "without a name".to_owned(), |name| format!("`{name}`"))
}
