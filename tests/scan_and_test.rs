//! The commands `scan` and `test` against the peer meter, as a person runs them.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::peer_meter::PeerMeter;
use support::peer_mode::{Mode, PLAIN};
use tempfile::TempDir;

/// A meter, and the folder with its configuration.
struct Setting {
    meter: PeerMeter,
    folder: TempDir,
    tree: Value,
}

impl Setting {
    fn of(mode: Mode) -> Option<Self> {
        let meter = mode.start(1)?;
        let folder = tempfile::tempdir().expect("a folder");
        let tree = mode.configuration(meter.port(), &folder.path().join("state"));
        let setting = Self { meter, folder, tree };
        setting.write(&setting.tree);
        Some(setting)
    }

    fn write(&self, tree: &Value) {
        std::fs::write(self.folder.path().join("config.yaml"), tree.to_string()).expect("a file");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let (command, rest) = arguments.split_first().expect("a command");
        run(self.folder.path(), command, rest)
    }
}

fn run(folder: &Path, command: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"))
        .args([command, "--config"])
        .arg(folder.join("config.yaml"))
        .args(arguments)
        .output()
        .expect("it runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn success(output: &Output) -> &str {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

const MODES: [Mode; 3] = [
    PLAIN,
    Mode { framing: "hdlc", authentication: "gmac", security: "authencr", ..PLAIN },
    Mode { referencing: "sn", authentication: "low", ..PLAIN },
];

#[test]
fn every_object_with_its_attributes_and_values() {
    for mode in MODES {
        let Some(setting) = Setting::of(mode) else { continue };
        let output = setting.run(&["scan", "--device", "meter", "--values"]);
        let objects: Vec<Value> =
            success(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let attributes = setting.meter.attributes();
        let mut places: Vec<(u16, String)> =
            attributes.iter().map(|attribute| (attribute.class, attribute.obis.clone())).collect();
        places.dedup();
        assert_eq!(objects.len(), places.len(), "{mode:?}");
        let mut read = 0;
        for attribute in attributes {
            let found = objects.iter().find(|object| {
                let obis = object["obis"].as_str().expect("a name").replace([':', '-', '*'], ".");
                object["class"] == attribute.class && obis == attribute.obis
            });
            let object = found.unwrap_or_else(|| panic!("{mode:?}: no {attribute:?}"));
            let member = object["attributes"].as_array().expect("rights").iter();
            let member =
                member.clone().find(|member| member["id"] == attribute.attribute).expect("it is listed");
            let is_readable = member["access"].as_str().expect("access").starts_with("read");
            assert_eq!(is_readable, attribute.hex.is_some(), "{mode:?}: {attribute:?}");
            if mode.is_short_name() {
                assert_eq!(object["short_name"], attribute.base_name);
            }
            let is_bulk = attribute.attribute == 2 && matches!(attribute.class, 7 | 12 | 15);
            if attribute.attribute > 1 && is_readable && !is_bulk {
                let name = member["name"].as_str().expect("a name");
                let reading = &object["reading"];
                assert!(reading["value"].get(name).is_some(), "{mode:?}: {attribute:?}: {reading}");
                assert!(reading["errors"].get(name).is_none(), "{mode:?}: {attribute:?}: {reading}");
                read += 1;
            }
        }
        assert!(read > 200, "{mode:?}: {read}");
    }
}

#[test]
fn groups_ready_to_paste_are_accepted_by_check_and_read() {
    for mode in MODES {
        let Some(setting) = Setting::of(mode) else { continue };
        let output = setting.run(&["scan", "--device", "meter", "--yaml"]);
        let yaml = success(&output).to_owned();
        let config = setting.folder.path().join("config.yaml");
        let mut without_groups = setting.tree.clone();
        without_groups.as_object_mut().expect("an object").remove("groups");
        // Pasted as it is, below the rest.
        let rest: Vec<String> = without_groups
            .as_object()
            .expect("an object")
            .iter()
            .map(|(key, value)| format!("{key}: {value}\n"))
            .collect();
        std::fs::write(&config, rest.concat() + &yaml).expect("a file");
        let checked = setting.run(&["check"]);
        success(&checked);
        for group in ["meter-readings", "meter-profiles"] {
            let tested = setting.run(&["test", "group", group]);
            let lines = success(&tested);
            assert!(lines.lines().any(|line| line.starts_with("read     ok")), "{mode:?}: {lines}");
        }
        // A second scan leaves the names alone that the first one took.
        let again = setting.run(&["scan", "--device", "meter", "--yaml"]);
        assert!(!success(&again).contains("name: meter-readings\n"), "{mode:?}");
    }
}

#[test]
fn tests_tell_each_step_and_the_exit_code() {
    let mode = Mode { framing: "hdlc", authentication: "gmac", security: "authencr", ..PLAIN };
    let Some(setting) = Setting::of(mode) else { return };
    let steps = ["resolve", "connect", "open", "mode_e", "snrm", "counter", "aarq", "hls", "read", "release"];
    let good = setting.run(&["test", "device", "meter"]);
    let lines: Vec<&str> = success(&good).lines().collect();
    assert_eq!(lines.iter().map(|line| line.split(' ').next().expect("a word")).collect::<Vec<_>>(), steps);
    success(&setting.run(&["test", "connection", "line"]));
    let json = setting.run(&["test", "--json", "device", "meter"]);
    let json: Value = serde_json::from_str(success(&json)).expect("JSON");
    assert_eq!(json["ok"], true);
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(10));

    let mut tree = setting.tree.clone();
    tree["devices"][0]["block_cipher_key"] = json!("0F0E0D0C0B0A09080706050403020100");
    setting.write(&tree);
    let bad = setting.run(&["test", "device", "meter"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stdout).contains("aarq     FAILED"), "{}", text(&bad.stdout));
    let errors = text(&bad.stderr);
    assert!(errors.contains("CIPHER_KEY (cipher)") && errors.contains("hint: check both keys"), "{errors}");
    for unknown in
        [["test", "device", "nobody"], ["test", "group", "nobody"], ["test", "connection", "nobody"]]
    {
        let output = setting.run(&unknown);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("UNKNOWN_NAME"), "{}", text(&output.stderr));
    }
}
