//! The bridge as its users run it: the binary with a configuration file, its log collected.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::mosquitto::PATIENCE;

/// A running `dlms2mqtt run`, killed on drop.
pub(crate) struct RunningBridge {
    child: Child,
    folder: Arc<TempDir>,
    log: Arc<Mutex<String>>,
}

/// `STATE` in the text of a configuration stands for a state directory in the test's own folder.
pub(crate) const STATE: &str = "STATE";

impl RunningBridge {
    /// Starts the bridge with the text of a configuration.
    pub(crate) fn start(config: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let state = folder.path().join("state").display().to_string();
        std::fs::write(folder.path().join("config.yaml"), config.replace(STATE, &state)).unwrap();
        Self::start_in(folder, "info")
    }

    fn start_in(folder: Arc<TempDir>, level: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"))
            .args(["--log-level", level, "run", "--config"])
            .arg(folder.path().join("config.yaml"))
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the bridge starts");
        let log: Arc<Mutex<String>> = Arc::default();
        let sink = Arc::clone(&log);
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = sink.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, folder, log }
    }

    /// Kills it as a power cut would, and starts it again on the same files.
    pub(crate) fn crash_and_restart(&mut self) {
        self.kill();
        let again = Self::start_in(Arc::clone(&self.folder), "info");
        again.log.lock().unwrap().insert_str(0, &self.log());
        *self = again;
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it wrote to its log.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line in its log.
    pub(crate) fn until_logged(&self, text: &str) {
        let started = Instant::now();
        while !self.log().contains(text) {
            assert!(started.elapsed() < PATIENCE, "the log has no {text:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// Its folder, which is gone with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for RunningBridge {
    fn drop(&mut self) {
        self.kill();
    }
}
