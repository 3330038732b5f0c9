//! The reference, the example and the schema of the configuration say the same.

use std::fmt::Write;
use std::path::Path;

use dlms2mqtt::bridge::config::document::{self, connection, device, group, mqtt};
use dlms2mqtt::bridge::config::load::{load_tree, read_part};
use dlms2mqtt::bridge::config::schema;
use serde::Deserialize;
use serde_json::{Value, json};

const BEGIN: &str =
    "<!-- keys: made from the schema by tests/config_docs.rs; UPDATE_DOCS=1 writes it anew -->\n";
const END: &str = "<!-- end of keys -->";

/// A mapping of the configuration.
struct Part {
    title: &'static str,
    name: &'static str,
    keys: Vec<String>,
}

fn parts() -> Vec<Part> {
    vec![
        part::<document::Document>("The whole", ""),
        part::<mqtt::Mqtt>("mqtt", "Mqtt"),
        part::<mqtt::Tls>("mqtt.tls", "Tls"),
        part::<mqtt::Control>("mqtt.control", "Control"),
        part::<document::Outbox>("outbox", "Outbox"),
        part::<document::Http>("http", "Http"),
        part::<connection::Connection>("connections", "Connection"),
        part::<connection::Rs485>("connections: rs485", "Rs485"),
        part::<device::Device>("devices", "Device"),
        part::<device::Hdlc>("devices: hdlc", "Hdlc"),
        part::<device::ModeE>("devices: mode_e", "ModeE"),
        part::<device::Identity>("devices: identity", "Identity"),
        part::<group::Group>("groups", "Group"),
        part::<group::Value>("groups: values", "Value"),
    ]
}

/// The keys in the order of their declaration, which a refusal of an unknown one lists.
fn part<T: for<'a> Deserialize<'a>>(title: &'static str, name: &'static str) -> Part {
    let problem = read_part::<T>(&json!({ "§": 0 })).err().expect("an unknown key is refused");
    let keys = problem.hint.strip_prefix("known here: ").expect("the hint lists the keys");
    Part { title, name, keys: keys.split(", ").map(str::to_owned).collect() }
}

fn properties<'a>(schema: &'a Value, part: &Part) -> &'a Value {
    match part.name {
        "" => &schema["properties"],
        name => &schema["$defs"][name]["properties"],
    }
}

#[test]
fn the_reference_is_that_of_the_schema() {
    let schema = schema();
    let mut tables = String::new();
    for part in parts() {
        writeln!(tables, "\n### {}\n\n| key | value | meaning |\n|---|---|---|", part.title).unwrap();
        for key in &part.keys {
            let property = &properties(&schema, &part)[key];
            let meaning =
                property["description"].as_str().unwrap_or_else(|| panic!("{key} has no description"));
            let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
            writeln!(tables, "| `{key}` | {} | {meaning} |", values(property)).unwrap();
        }
    }
    tables.push('\n');

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIG.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the place of the keys is marked");
    let (written, after) = rest.split_once(END).expect("the end of the keys is marked");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
    } else {
        assert_eq!(written, tables, "run this test with UPDATE_DOCS=1 to write docs/CONFIG.md anew");
    }
}

/// What a property takes, in a few words.
fn values(property: &Value) -> String {
    let integer = |property: &Value| match (property["minimum"].as_i64(), property["maximum"].as_i64()) {
        (Some(low), Some(high)) if low == high => low.to_string(),
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!("{low} or more"),
        _ => "number".to_owned(),
    };
    if let Some(choices) = property["enum"].as_array() {
        if choices.contains(&json!("yes")) {
            return "switch".to_owned();
        }
        let words: Vec<_> = choices
            .iter()
            .filter(|choice| !choice.is_null())
            .map(|choice| choice.as_str().map_or_else(|| format!("`{choice}`"), |word| format!("`{word}`")))
            .collect();
        return words.join(" ");
    }
    let pattern = property["pattern"].as_str().unwrap_or_default();
    let types = property["type"].to_string();
    if pattern.contains("(ms|s|m|h|d)") {
        return "duration".to_owned();
    }
    if pattern.contains("[kKMG]i?B") {
        return "size".to_owned();
    }
    if pattern.contains("{1,64}") {
        return "name".to_owned();
    }
    let text = property.to_string();
    match () {
        () if text.contains("\"env\"") => "secret".to_owned(),
        () if pattern.contains("0[xX]") => "`0x0000` to `0xFFFF`".to_owned(),
        () if pattern.contains("SN") => "formula".to_owned(),
        () if pattern.contains("{16}") => "16 hex digits".to_owned(),
        () if text.contains("profile_generic\",\"") || text.contains("\"profile_generic\"") => {
            "class".to_owned()
        }
        () if text.contains("\"off\"") && text.contains("(ms|s|m|h|d)") => "duration or `off`".to_owned(),
        () if text.contains("\"off\"") => "keys below, or `off`".to_owned(),
        () if text.contains("\"all\"") => "list of numbers, or `all`".to_owned(),
        () if text.contains("{1,64}") && text.contains("\"array\"") => "name or list of names".to_owned(),
        () if text.contains("$ref") && types.contains("array") => "list, keys below".to_owned(),
        () if text.contains("$ref") => "keys below".to_owned(),
        () if types.contains("array") => "list".to_owned(),
        () if types.contains("object") => "mapping of texts".to_owned(),
        () if types.contains("integer") && !types.contains("string") => integer(property),
        () => "text".to_owned(),
    }
}

#[test]
fn the_example_shows_every_key() {
    let example = include_str!("../config.yaml.example");
    for part in parts() {
        for key in &part.keys {
            let shown = [format!(" {key}:"), format!("\n{key}:"), format!("{{{key}:")];
            assert!(
                shown.iter().any(|text| example.contains(text.as_str())),
                "{}: {key} isn't shown",
                part.title
            );
        }
    }
}

/// The schema's ranges are those that validation holds to: one below, both ends, one above.
#[test]
fn ranges_of_the_schema_are_those_of_validation() {
    let schema = schema();
    let mut checked = 0;
    for part in parts() {
        for key in &part.keys {
            let property = &properties(&schema, &part)[key];
            if property["type"].as_array().is_none_or(|types| types.contains(&json!("string"))) {
                continue;
            }
            let (Some(low), high) = (property["minimum"].as_i64(), property["maximum"].as_i64()) else {
                continue;
            };
            let mut trials = vec![(low, true), (low - 1, false)];
            if let Some(high) = high {
                trials.extend([(high, true), (high + 1, false)]);
            }
            for (value, good) in trials {
                assert_eq!(is_accepted(&part, key, value), good, "{}: {key} of {value}", part.title);
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "{checked}");
}

/// Whether a configuration that is good otherwise may have this value there.
fn is_accepted(part: &Part, key: &str, value: i64) -> bool {
    let mut tree = json!({
        "gateway": "g",
        "mqtt": { "url": "mqtt://b" },
        "connections": [
            { "name": "c", "host": "h" },
            { "name": "l", "type": "listen" },
            { "name": "s", "type": "serial", "device": "/dev/ttyS9" },
        ],
        "devices": [{ "name": "d", "connection": "c", "interface": "wrapper", "hdlc": {}, "mode_e": {} }],
        "groups": [{ "name": "g", "devices": "d", "values": [{ "name": "v", "obis": "1.0.1.8.0.255", "class": 7 }] }],
    });
    let place = match (part.name, key) {
        ("", _) => "",
        ("Mqtt", _) => "/mqtt",
        ("Connection", "port") => "/connections/0",
        ("Connection", "max_connections") => "/connections/1",
        ("Connection", _) => "/connections/2",
        ("Device", _) => "/devices/0",
        ("Hdlc", _) => "/devices/0/hdlc",
        ("Group", _) => "/groups/0",
        ("Value", _) => "/groups/0/values/0",
        other => panic!("no place for {other:?}"),
    };
    tree.pointer_mut(place).unwrap()[key] = json!(value);
    // The address of a meter is asked for on HDLC too, whose ranges differ.
    let path = format!("{place}/{key}");
    match load_tree(tree, Path::new("")) {
        Ok(_) => true,
        Err(problems) => {
            assert!(
                problems.0.iter().any(|problem| problem.path.pointer() == path),
                "{path} {value}: {problems}"
            );
            false
        }
    }
}
