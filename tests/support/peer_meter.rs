//! A simulated meter that shares no code with this project, and the true value of each of its attributes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::mosquitto::free_port;
use super::not_run::not_run;
use super::python::python;

/// The meter's process, listening on a port of 127.0.0.1; ended on drop.
pub(crate) struct PeerMeter {
    child: Child,
    port: u16,
    expected: Value,
    _folder: TempDir,
}

/// What the meter says of one attribute of one of its objects.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) class: u16,
    /// Base name of its object.
    pub(crate) base_name: u16,
    /// `1.0.1.8.0.255`
    pub(crate) obis: String,
    pub(crate) attribute: i8,
    /// Its value changes by itself, so it can't be compared.
    pub(crate) dynamic: bool,
    /// The A-XDR encoding of its Data, in hexadecimal; `None` where it may not be read.
    pub(crate) hex: Option<String>,
    /// The same as `{"t": type, "v": value}`; null where it may not be read.
    pub(crate) value: Value,
}

impl PeerMeter {
    /// Starts the meter of the folder that `DLMS2MQTT_PEER_METER` names, or of the one beside the checkout, with
    /// arguments of its own (`--interface wrapper --auth gmac …`; see its `--help`). Where there is no such folder,
    /// records that `checks` checks were not run and gives `None`.
    pub(crate) fn start(arguments: &[&str], checks: usize) -> Option<Self> {
        let folder = std::env::var_os("DLMS2MQTT_PEER_METER").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/peers/meter"),
            PathBuf::from,
        );
        let script = folder.join("meter.py");
        if !script.exists() {
            not_run(checks, &format!("the peer meter: {} does not exist", script.display()));
            return None;
        }
        // Another process may take the free port before the meter does.
        (0..5)
            .find_map(|_| Self::listen(&script, arguments))
            .or_else(|| panic!("the peer meter does not start with {arguments:?}"))
    }

    fn listen(script: &Path, arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = folder.path().join("expected.json");
        let port = free_port();
        let mut child = python(script)
            .args(["--port", &port.to_string(), "--dump-expected"])
            .arg(&dump)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer meter starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut line).expect("the peer meter writes text");
        if !line.starts_with("listening") {
            let _ = child.wait();
            return None;
        }
        let text = std::fs::read_to_string(dump).expect("the dump of expected values");
        let expected = serde_json::from_str(&text).expect("the dump is JSON");
        Some(Self { child, port, expected, _folder: folder })
    }

    /// The TCP port of 127.0.0.1 on which it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Every attribute of every object.
    pub(crate) fn attributes(&self) -> Vec<Attribute> {
        let objects = self.expected["objects"].as_array().expect("objects");
        let attributes: Vec<_> = objects.iter().flat_map(attributes_of).collect();
        assert!(attributes.len() > 100, "only {} attributes", attributes.len());
        attributes
    }

    /// Every object's class, logical name and readable attributes from 2 on.
    pub(crate) fn objects(&self) -> Vec<(u16, String, Vec<Attribute>)> {
        let objects = self.expected["objects"].as_array().expect("objects");
        let of = |object: &Value| {
            let attributes: Vec<_> = attributes_of(object)
                .into_iter()
                .filter(|attribute| attribute.attribute >= 2 && attribute.hex.is_some())
                .collect();
            let class = u16::try_from(object["class"].as_u64().expect("class")).expect("class");
            (class, object["ln"].as_str().expect("logical name").to_owned(), attributes)
        };
        objects.iter().map(of).collect()
    }

    /// One attribute, which must exist.
    pub(crate) fn attribute(&self, class: u16, obis: &str, attribute: i8) -> Attribute {
        self.attributes()
            .into_iter()
            .find(|found| (found.class, found.obis.as_str(), found.attribute) == (class, obis, attribute))
            .unwrap_or_else(|| panic!("the peer meter has no attribute {attribute} of {class} {obis}"))
    }
}

impl Drop for PeerMeter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn attributes_of(object: &Value) -> Vec<Attribute> {
    let class = u16::try_from(object["class"].as_u64().expect("class")).expect("class");
    let base_name = u16::try_from(object["sn"].as_u64().expect("short name")).expect("short name");
    let obis = object["ln"].as_str().expect("logical name");
    let attributes = object["attributes"].as_object().expect("attributes");
    let of = |(number, json): (&String, &Value)| Attribute {
        class,
        base_name,
        obis: obis.to_owned(),
        attribute: number.parse().expect("attribute number"),
        dynamic: json["dynamic"] == true,
        hex: json["hex"].as_str().map(str::to_owned),
        value: json["value"].clone(),
    };
    attributes.iter().map(of).collect()
}
