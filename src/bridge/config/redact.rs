//! Configurations on their way out and in: shown without secrets, taken back with those that were meant to stay,
//! and kept from naming files that are none of the sender's business.

use std::path::{Component, Path as FilePath};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::model::Config;
use super::path::Path;
use super::problem::Problem;
use super::secret::Secret;
use crate::error::Code;

impl Config {
    /// The configuration as written, a plain secret replaced by `{"redacted":true}`.
    #[must_use]
    pub fn to_json_redacted(&self) -> Value {
        // Every key is text, so this can't fail.
        serde_json::to_value(&self.document).unwrap_or_default()
    }

    /// SHA-256, in hex, of the redacted configuration with its keys in order.
    ///
    /// Plain secrets don't count: from the hash of a text that is known but for a short password, the password could
    /// be found by trying. The revision tells that one has changed.
    #[must_use]
    pub fn sha256(&self) -> String {
        let mut text = String::new();
        canonical(&self.to_json_redacted(), &mut text);
        Sha256::digest(text).iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

/// JSON without spaces and with its keys in order, whatever the order of the map.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, value)) in keys.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                canonical(value, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// Puts the secrets of `current` where `candidate` has `{"redacted":true}`: whoever sends back what was shown means
/// "keep". Elements of lists are found by their names. What finds none stays, and is refused when it is read.
pub fn keep_secrets(candidate: &mut Value, current: &Value) {
    match candidate {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let Some(kept) = current.get(key) else { continue };
                if is_redacted(value) {
                    value.clone_from(kept);
                } else {
                    keep_secrets(value, kept);
                }
            }
        }
        Value::Array(list) => {
            for element in list {
                let named =
                    |other: &&Value| other.get("name").is_some() && other.get("name") == element.get("name");
                if let Some(kept) = current.as_array().and_then(|list| list.iter().find(named)) {
                    keep_secrets(element, kept);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_redacted(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.len() == 1 && map.get("redacted") == Some(&Value::Bool(true)))
}

/// What a configuration from afar names that it may not: environment variables and files that the configuration on
/// disk doesn't name already and that don't lie in its `secrets_dir`, and another `secrets_dir`.
#[must_use]
pub fn foreign_references(candidate: &Config, on_disk: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    if candidate.secrets_dir != on_disk.secrets_dir {
        let key = if candidate.document.secrets_dir.is_some() { "secrets_dir" } else { "state_dir" };
        let message = "the directory of secrets can be changed in the file on disk alone";
        problems.push(Problem::error(Path::root().key(key), message).with_code(Code::NotAllowed));
    }
    let known: Vec<_> = secrets(on_disk).into_iter().map(|(_, secret)| secret).collect();
    for (at, secret) in secrets(candidate) {
        let allowed = match secret {
            Secret::Plain(_) => true,
            Secret::Env(_) => known.contains(&secret),
            Secret::File(path) => known.contains(&secret) || lies_in(path, &on_disk.secrets_dir),
        };
        if !allowed {
            problems.push(not_allowed(at, "secret"));
        }
    }
    let known: Vec<_> = certificates(on_disk).into_iter().map(|(_, file)| file).collect();
    for (at, file) in certificates(candidate) {
        if !known.contains(&file) && !lies_in(file, &on_disk.secrets_dir) {
            problems.push(not_allowed(at, "file"));
        }
    }
    problems
}

fn not_allowed(at: Path, what: &str) -> Problem {
    Problem::error(at, format!("this {what} is neither in the configuration on disk nor in its secrets_dir"))
        .with_code(Code::NotAllowed)
        .with_hint("put it into secrets_dir, or name it in the file on disk first")
}

/// Whether a path, as it is spelt, leads into a directory.
fn lies_in(path: &FilePath, directory: &FilePath) -> bool {
    path.starts_with(directory) && !path.components().any(|part| part == Component::ParentDir)
}

fn secrets(config: &Config) -> Vec<(Path, &Secret)> {
    let mut found = Vec::new();
    let mqtt = Path::root().key("mqtt").key("password");
    found.extend(config.mqtt.password.as_ref().map(|secret| (mqtt, secret)));
    for (index, device) in config.devices.values().enumerate() {
        let at = Path::root().key("devices").index(index);
        let security = &device.security;
        let all = [
            ("password", &security.password),
            ("authentication_key", &security.authentication_key),
            ("block_cipher_key", &security.block_cipher_key),
            ("dedicated_key", &security.dedicated_key),
        ];
        found.extend(all.into_iter().filter_map(|(key, secret)| Some((at.key(key), secret.as_ref()?))));
    }
    found
}

fn certificates(config: &Config) -> Vec<(Path, &FilePath)> {
    let tls = &config.mqtt.tls;
    let at = Path::root().key("mqtt").key("tls");
    let client = tls.client.as_ref();
    let all = [
        ("ca_file", tls.ca_file.as_deref()),
        ("cert_file", client.map(|client| client.cert_file.as_path())),
        ("key_file", client.map(|client| client.key_file.as_path())),
    ];
    all.into_iter().filter_map(|(key, file)| Some((at.key(key), file?))).collect()
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
            "mqtt": { "url": "mqtt://b", "username": "u", "password": "broker-secret" },
            "connections": [{ "name": "c", "host": "h" }],
            "devices": [
                { "name": "a", "connection": "c", "access_security": "low", "password": "meter-secret", "server_address": 5 },
                { "name": "b", "connection": "c", "access_security": "low", "password": { "env": "B" } },
            ],
            "groups": [],
        })
    }

    fn config(tree: Value) -> Config {
        load_tree(tree, FilePath::new("")).unwrap_or_else(|problems| panic!("{problems}")).config
    }

    #[test]
    fn what_is_shown_has_no_secrets_and_comes_back_whole() {
        let config = config(tree());
        let shown = config.to_json_redacted();
        assert!(!shown.to_string().contains("-secret"), "{shown}");
        assert_eq!(shown["devices"][0]["password"], json!({ "redacted": true }));
        assert_eq!(shown["devices"][1]["password"], json!({ "env": "B" }));

        let mut back = shown;
        back["devices"].as_array_mut().unwrap().reverse();
        assert!(load_tree(back.clone(), FilePath::new("")).is_err());
        keep_secrets(&mut back, config.source().expose());
        assert_eq!(back["devices"][1]["password"], "meter-secret");
        assert_eq!(back["mqtt"]["password"], "broker-secret");
    }

    #[test]
    fn the_hash_follows_the_configuration_and_not_its_secrets() {
        let hash = |change: fn(&mut Value)| {
            let mut tree = tree();
            change(&mut tree);
            config(tree).sha256()
        };
        let same = hash(|_| {});
        assert_eq!(same.len(), 64);
        assert_eq!(same, hash(|tree| tree["devices"][0]["password"] = json!("another")));
        assert_ne!(same, hash(|tree| tree["devices"][0]["server_address"] = json!(6)));
    }

    #[test]
    fn references_from_afar_are_known_or_in_the_directory() {
        let on_disk = config(tree());
        let check = |key: &str, value: Value| {
            let mut tree = tree();
            tree["devices"][0][key] = value;
            foreign_references(&config(tree), &on_disk)
        };
        assert!(check("password", json!("plain")).is_empty());
        assert!(check("password", json!({ "env": "B" })).is_empty());
        assert!(check("password", json!({ "file": "/state/secrets/a" })).is_empty());
        for bad in [
            json!({ "env": "HOME" }),
            json!({ "file": "/etc/shadow" }),
            json!({ "file": "/state/secrets/../x" }),
        ] {
            let problems = check("password", bad);
            assert_eq!(problems[0].code, Code::NotAllowed);
            assert_eq!(problems[0].path.pointer(), "/devices/0/password");
        }
        let mut moved = tree();
        moved["secrets_dir"] = json!("/");
        assert_eq!(foreign_references(&config(moved), &on_disk)[0].path.pointer(), "/secrets_dir");
        let mut moved = tree();
        moved["state_dir"] = json!("/other");
        assert_eq!(foreign_references(&config(moved), &on_disk)[0].path.pointer(), "/state_dir");
    }
}
