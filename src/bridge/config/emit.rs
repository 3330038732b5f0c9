//! A tree of values as YAML that people like to read: keys in the order of the documentation, no needless quotes.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::tree::{self, Format};

/// Keys that come first, in this order; others follow in theirs.
const FIRST: &[&str] = &[
    "version",
    "gateway",
    "name",
    "title",
    "enabled",
    "state_dir",
    "secrets_dir",
    "mqtt",
    "outbox",
    "http",
    "connections",
    "devices",
    "groups",
    "type",
    "connection",
    "device",
    "interface",
    "host",
    "port",
    "url",
    "protocol",
    "interval",
    "offset",
    "obis",
    "short_name",
    "class",
    "attribute",
    "attributes",
    "values",
];

/// Values up to this width stand in one line.
const WIDTH: usize = 100;

/// A mapping as a block, each line indented by `indent` spaces.
#[must_use]
pub(super) fn block(map: &Map<String, Value>, indent: usize) -> String {
    let mut text = String::new();
    for (key, value) in in_order(map) {
        entry(&mut text, key, value, indent);
    }
    text
}

/// An element of a list: `- ` at `indent`, what follows below its first key.
#[must_use]
pub(super) fn element(value: &Value, indent: usize) -> String {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let lines = block(map, indent + 2);
            let rest = lines.get(indent + 2..).unwrap_or_default();
            format!("{:indent$}- {rest}", "")
        }
        value => format!("{:indent$}- {}\n", "", flow(value)),
    }
}

/// An entry of a mapping, with its line ends.
pub(super) fn entry(text: &mut String, key: &str, value: &Value, indent: usize) {
    let name = plain(key);
    match value {
        Value::Object(map) if !map.is_empty() && !fits(value, indent + key.len()) => {
            let _ = writeln!(text, "{:indent$}{name}:", "");
            text.push_str(&block(map, indent + 2));
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            let _ = writeln!(text, "{:indent$}{name}:", "");
            for value in list {
                text.push_str(&element(value, indent + 2));
            }
        }
        value => {
            let _ = writeln!(text, "{:indent$}{name}: {}", "", flow(value));
        }
    }
}

/// Nested mappings are easier to read as blocks, short ones of scalars in a line.
fn fits(value: &Value, indent: usize) -> bool {
    let Value::Object(map) = value else { return true };
    map.len() <= 3
        && map.values().all(|value| !value.is_object() && !value.is_array())
        && flow(value).len() + indent <= WIDTH
}

/// A value in one line.
#[must_use]
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let members: Vec<String> = in_order(map)
                .into_iter()
                .map(|(key, value)| format!("{}: {}", plain(key), flow(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(list) => {
            let elements: Vec<String> = list.iter().map(flow).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::String(text) => plain(text),
        scalar => scalar.to_string(),
    }
}

/// A text without quotes where it would be read as the same text.
fn plain(text: &str) -> String {
    let harmless =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | '+' | '*' | ':');
    let begins = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_');
    let is_plain = text.chars().all(harmless)
        && text.starts_with(begins)
        && !text.ends_with(':')
        && tree::parse(text, Format::Yaml) == Ok(Value::from(text));
    // Every JSON string is one of YAML.
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

fn in_order(map: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let place = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.as_str(), value)).collect();
    // Stable: the others stay in alphabetical order.
    entries.sort_by_key(|(key, _)| place(key));
    entries
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        let tree = json!({
            "gateway": "g", "version": 1, "enabled": true,
            "mqtt": {"url": "mqtt://b:1883", "protocol": "5", "password": "a: b # c", "control": "off",
                "tls": {"ca_file": "/x"}, "response_topics": ["a/#", "b/+"]},
            "connections": [{"name":"c","host":"::1","port":4059},{"name":"on","type":"serial","device":"/dev/ttyS0"}],
            "devices": [{"name":"1","connection":"c","password":{"env":"P"},"identity":{"serial":"0123"},"labels":{}}],
            "groups": [{"name":"g","values":[{"name":"v","obis":"1-0:1.8.0*255","attributes":[2,3]}]},{"name":"e","values":[]}],
        });
        let Value::Object(map) = &tree else { unreachable!() };
        let text = block(map, 0);
        assert_eq!(tree::parse(&text, Format::Yaml).unwrap(), tree, "{text}");
        assert!(text.starts_with("version: 1\ngateway: g\n"), "{text}");
        assert!(text.contains("\n  - name: c\n    host: \"::1\"\n"), "{text}");
        assert!(text.contains("protocol: \"5\""), "{text}");
    }

    #[test]
    fn texts_that_look_like_something_else_have_quotes() {
        for text in [
            "", "true", "null", "1", "1e3", "0x10", "~", "- a", "a: b", "a #b", "{", "*a", "&a", "a\nb",
            "yes:",
        ] {
            let written = plain(text);
            assert_eq!(tree::parse(&written, Format::Yaml).unwrap(), json!(text), "{written}");
        }
        assert_eq!(plain("1-0:1.8.0*255"), "1-0:1.8.0*255");
        assert_eq!(plain("mqtt://broker:1883"), "mqtt://broker:1883");
    }
}
