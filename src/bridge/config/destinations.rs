//! Where secrets are sent: to the broker, and as passwords of low level security to meters. Whoever may change the
//! configuration from afar must not learn a secret that he does not know by having it sent to another host.

use std::fs;

use serde_json::Value;

use super::document::device::AccessSecurity;
use super::model::{Config, Link, Scheme};
use super::path::Path;
use super::problem::Problem;
use super::redact::foreign_references;
use super::secret::Secret;
use crate::error::Code;

/// A secret that is sent as it is, and whereto.
struct Sent<'c> {
    at: Path,
    secret: &'c Secret,
    to: Destination<'c>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination<'c> {
    /// A broker, over TLS or not.
    Broker { host: &'c str, is_private: bool },
    /// A host behind which there are meters.
    Meters(&'c str),
    /// Whoever calls.
    Callers,
    /// A serial line: whoever is at its other end was put there by hand.
    Serial,
}

/// All that is wrong with a configuration because it comes from afar.
#[must_use]
pub fn not_from_afar(candidate: &Config, in_force: &Config, request: &Value) -> Vec<Problem> {
    let mut problems = foreign_references(candidate, in_force);
    problems.extend(led_elsewhere(candidate, in_force, request));
    problems
}

/// What a configuration from afar leads to another host: secrets that it keeps, and that `request` does not show its
/// sender to know.
fn led_elsewhere(candidate: &Config, in_force: &Config, request: &Value) -> Vec<Problem> {
    let now = sent(in_force);
    let is_led = |new: &Sent<'_>| {
        // The secret need not be sent so far: a key would be learnt as well.
        let is_kept =
            every_secret(in_force).any(|kept| is_same(kept, new.secret)) && !is_shown(new.secret, request);
        is_kept && !now.iter().any(|old| is_same(old.secret, new.secret) && old.to.is_as_good_as(new.to))
    };
    sent(candidate)
        .into_iter()
        .filter(|new| new.to != Destination::Serial && is_led(new))
        .map(|new| {
            Problem::error(new.at, "this secret would go to another host than now")
                .with_code(Code::NotAllowed)
                .with_hint(
                    "send the secret itself along with the new address, or change the file on the gateway",
                )
        })
        .collect()
}

impl Destination<'_> {
    /// Whether what goes here may go there.
    fn is_as_good_as(self, other: Destination<'_>) -> bool {
        match (self, other) {
            (
                Self::Broker { host, is_private },
                Destination::Broker { host: other, is_private: stays_private },
            ) => host == other && (stays_private || !is_private),
            (now, other) => now == other,
        }
    }
}

/// Whether two references lead to one secret. A file may be reached by several names: mounted secrets are links.
fn is_same(one: &Secret, other: &Secret) -> bool {
    one == other
        || match (one, other) {
            (Secret::File(one), Secret::File(other)) => {
                matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
            }
            _ => false,
        }
}

fn sent(config: &Config) -> Vec<Sent<'_>> {
    let mut found = Vec::new();
    let mqtt = &config.mqtt;
    if let Some(secret) = &mqtt.password {
        let is_private = matches!(mqtt.broker.scheme, Scheme::Mqtts | Scheme::Wss);
        let to = Destination::Broker { host: &mqtt.broker.host, is_private };
        found.push(Sent { at: Path::root().key("mqtt").key("password"), secret, to });
    }
    for (index, device) in config.devices.values().enumerate() {
        let Some(secret) = &device.security.password else { continue };
        if device.security.access != AccessSecurity::Low {
            continue;
        }
        let to = match config.connection_of(device).map(|connection| &connection.link) {
            Some(Link::Tcp(tcp)) => Destination::Meters(&tcp.host),
            Some(Link::Udp(udp)) => Destination::Meters(&udp.host),
            Some(Link::Listen(_)) => Destination::Callers,
            Some(Link::Serial(_)) | None => Destination::Serial,
        };
        let at = Path::root().key("devices").index(index).key("password");
        found.push(Sent { at, secret, to });
    }
    found
}

fn every_secret(config: &Config) -> impl Iterator<Item = &Secret> {
    let of_devices = config.devices.values().flat_map(|device| {
        let security = &device.security;
        [
            &security.password,
            &security.authentication_key,
            &security.block_cipher_key,
            &security.dedicated_key,
        ]
    });
    of_devices.chain([&config.mqtt.password]).flatten()
}

/// Whether a request has the secret itself somewhere. References show nothing.
fn is_shown(secret: &Secret, request: &Value) -> bool {
    match (secret, request) {
        (Secret::Plain(text), Value::String(shown)) => **text == *shown,
        (_, Value::Array(list)) => list.iter().any(|part| is_shown(secret, part)),
        (_, Value::Object(map)) => map.values().any(|part| is_shown(secret, part)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bridge::config::load_tree;

    fn tree() -> Value {
        json!({
            "gateway": "g",
            "state_dir": "/state",
            "mqtt": { "url": "mqtts://b", "username": "u", "password": "broker-secret" },
            "connections": [{ "name": "c", "host": "h" }, { "name": "s", "type": "serial", "device": "/dev/x" }],
            "devices": [
                { "name": "low", "connection": "c", "access_security": "low", "password": "meter-secret" },
                { "name": "by-file", "connection": "c", "access_security": "low", "password": { "file": "/state/secrets/p" },
                  "server_address": 5 },
                { "name": "high", "connection": "c", "access_security": "high_md5", "password": "hls-secret",
                  "server_address": 6 },
            ],
            "groups": [],
        })
    }

    fn problems(change: impl Fn(&mut Value), request: &Value) -> Vec<String> {
        let config = |tree| load_tree(tree, std::path::Path::new("")).unwrap().config;
        let mut changed = tree();
        change(&mut changed);
        let found = led_elsewhere(&config(changed), &config(tree()), request);
        assert!(found.iter().all(|problem| problem.code == Code::NotAllowed));
        found.into_iter().map(|problem| problem.path.pointer()).collect()
    }

    #[test]
    fn nothing_that_is_kept_goes_to_another_host() {
        let nothing = &json!({});
        assert_eq!(problems(|_| {}, nothing), [""; 0]);
        assert_eq!(problems(|tree| tree["mqtt"]["url"] = json!("mqtts://b:8884"), nothing), [""; 0]);
        let broker = |tree: &mut Value| tree["mqtt"]["url"] = json!("mqtts://evil");
        assert_eq!(problems(broker, nothing), ["/mqtt/password"]);
        assert_eq!(problems(broker, &json!({ "mqtt": { "password": "broker-secret" } })), [""; 0]);
        let in_the_clear = |tree: &mut Value| tree["mqtt"]["url"] = json!("mqtt://b");
        assert_eq!(problems(in_the_clear, nothing), ["/mqtt/password"]);
        let host = |tree: &mut Value| tree["connections"][0]["host"] = json!("evil");
        assert_eq!(problems(host, nothing), ["/devices/0/password", "/devices/1/password"]);
        assert_eq!(problems(host, &json!(["meter-secret"])), ["/devices/1/password"]);
        let port = |tree: &mut Value| tree["connections"][0]["port"] = json!(4060);
        assert_eq!(problems(port, nothing), [""; 0]);
        let serial = |tree: &mut Value| {
            tree["devices"][0]["connection"] = json!("s");
        };
        assert_eq!(problems(serial, nothing), [""; 0]);
    }

    #[test]
    fn neither_another_device_nor_a_weaker_mechanism_brings_a_secret_out() {
        let other = |tree: &mut Value| {
            tree["connections"].as_array_mut().unwrap().push(json!({ "name": "e", "host": "evil" }));
            tree["devices"].as_array_mut().unwrap().push(json!({
                "name": "e", "connection": "e", "access_security": "low", "password": { "file": "/state/secrets/p" },
            }));
        };
        assert_eq!(problems(other, &json!({})), ["/devices/3/password"]);
        let weaker = |tree: &mut Value| tree["devices"][2]["access_security"] = json!("low");
        assert_eq!(problems(weaker, &json!({})), ["/devices/2/password"]);
        let new_file = |tree: &mut Value| {
            tree["connections"][0]["host"] = json!("other");
            tree["devices"][0]["password"] = json!({ "file": "/state/secrets/new" });
            tree["devices"][1]["password"] = json!("new");
        };
        assert_eq!(problems(new_file, &json!({})), [""; 0]);
    }

    #[test]
    fn another_name_of_the_same_file_is_no_other_secret() {
        let folder = tempfile::tempdir().unwrap();
        let named = |name: &str| json!({ "file": folder.path().join(name) });
        fs::create_dir(folder.path().join("..data")).unwrap();
        fs::write(folder.path().join("..data/p"), "meter-secret").unwrap();
        fs::write(folder.path().join("new"), "another").unwrap();
        std::os::unix::fs::symlink("..data/p", folder.path().join("p")).unwrap();
        let with = |name: &str, host: &str| {
            let mut changed = tree();
            changed["devices"][0]["password"] = named(name);
            changed["devices"].as_array_mut().unwrap().truncate(1);
            changed["connections"][0]["host"] = json!(host);
            load_tree(changed, std::path::Path::new("")).unwrap().config
        };
        let led = |name, host| led_elsewhere(&with(name, host), &with("p", "h"), &json!({})).len();
        assert_eq!(led("..data/p", "evil"), 1);
        assert_eq!(led("..data/p", "h"), 0);
        assert_eq!(led("new", "evil"), 0);
    }
}
