//! A gateway for tests: its configuration as JSON, the running bridge, and the program with the same configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dlms2mqtt::bridge::config::load_file;
use dlms2mqtt::bridge::supervisor::{Bridge, Ended};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The topics of every site.
pub(crate) const BASE: &str = "dlms/g";

/// The full topic of what stands below [`BASE`].
pub(crate) fn topic(below: &str) -> String {
    format!("{BASE}/{below}")
}

/// A configuration and the folder with its state.
pub(crate) struct Site {
    folder: TempDir,
    pub(crate) config: Value,
}

impl Site {
    /// Gateway `g` with its broker, and nothing to poll yet.
    pub(crate) fn new(broker_url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = json!({
            "gateway": "g",
            "state_dir": folder.path().join("state"),
            "mqtt": { "url": broker_url },
            "connections": [],
            "devices": [],
            "groups": [],
        });
        Self { folder, config }
    }

    /// A TCP connection to a port of 127.0.0.1, with further keys.
    pub(crate) fn connection(mut self, name: &str, port: u16, keys: Value) -> Self {
        self.add("connections", json!({ "name": name, "host": "127.0.0.1", "port": port }), keys);
        self
    }

    /// A device that waits 600 ms for answers and repeats nothing, with further keys.
    pub(crate) fn device(mut self, name: &str, connection: &str, keys: Value) -> Self {
        let usual = json!({ "name": name, "connection": connection, "timeout": "600ms", "retries": 0 });
        self.add("devices", usual, keys);
        self
    }

    /// A group of values, read every second; further keys.
    pub(crate) fn group(mut self, name: &str, devices: &[&str], values: Value, keys: Value) -> Self {
        let mut usual = json!({ "name": name, "interval": 1, "devices": devices });
        usual["values"] = values;
        self.add("groups", usual, keys);
        self
    }

    fn add(&mut self, list: &str, mut usual: Value, keys: Value) {
        let (Value::Object(all), Value::Object(keys)) = (&mut usual, keys) else {
            panic!("keys are objects")
        };
        all.extend(keys);
        self.config[list].as_array_mut().expect("a list").push(usual);
    }

    /// Its folder, which lives as long as the site.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        let file = self.path().join("config.json");
        fs::write(&file, self.config.to_string()).expect("a writable folder");
        file
    }

    /// Starts the bridge within this process.
    pub(crate) fn start(&self) -> Gateway {
        let loaded = load_file(&self.file()).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let stop = CancellationToken::new();
        let bridge = Bridge::start(loaded.config).expect("the bridge starts");
        let task = tokio::spawn(bridge.run(stop.clone()));
        Gateway { stop, task: Some(task) }
    }

    /// The program with a command on this configuration.
    pub(crate) fn program(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"));
        program.arg(command).arg("--config").arg(self.file());
        program.env_remove("RUST_LOG").env_remove("DLMS2MQTT_CONFIG");
        program
    }
}

/// A running bridge; cut off without ceremony when dropped.
pub(crate) struct Gateway {
    stop: CancellationToken,
    task: Option<JoinHandle<Ended>>,
}

impl Gateway {
    /// Stops in order, which must not take long nor end in a panic.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let task = self.task.take().expect("stopped once");
        tokio::time::timeout(Duration::from_secs(20), task).await.expect("it stops").expect("no panic");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
