//! Pseudo-terminals that stand for serial lines: Debian's socat behind a path.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

/// A serial port below a folder of its own, with something at the other end. Unplugged on drop.
pub(crate) struct PtyLine {
    socat: Option<Child>,
    folder: TempDir,
    far_end: String,
}

impl PtyLine {
    /// A port that leads to the TCP port of a meter on 127.0.0.1. It can be opened once: socat ends with it.
    pub(crate) fn to_tcp(port: u16) -> Self {
        Self::plugged(format!("tcp:127.0.0.1:{port}"))
    }

    /// Two ports wired to each other.
    pub(crate) fn pair() -> Self {
        Self::plugged("pty,raw,echo=0,link=FOLDER/far".to_owned())
    }

    /// A port whose every octet comes back.
    pub(crate) fn echoing() -> Self {
        Self::plugged("exec:cat".to_owned())
    }

    fn plugged(far_end: String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut line = Self { socat: None, folder, far_end };
        line.plug();
        line
    }

    /// Path of our end.
    pub(crate) fn device(&self) -> PathBuf {
        self.folder.path().join("port")
    }

    /// Path of the other end of a pair.
    pub(crate) fn far_device(&self) -> PathBuf {
        self.folder.path().join("far")
    }

    /// Plugs the adapter in, which it is after a constructor.
    pub(crate) fn plug(&mut self) {
        let far_end = self.far_end.replace("FOLDER", &self.folder.path().display().to_string());
        let near_end = format!("pty,raw,echo=0,link={}", self.device().display());
        let socat = Command::new("socat")
            .args([near_end, far_end.clone()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("socat is installed");
        self.socat = Some(socat);
        wait_for(&self.device());
        if far_end.contains("link=") {
            wait_for(&self.far_device());
        }
    }

    /// Pulls the adapter out: the port and its path vanish.
    pub(crate) fn unplug(&mut self) {
        if let Some(mut socat) = self.socat.take() {
            let _ = socat.kill();
            let _ = socat.wait();
            // Killed, it could not remove them.
            let _ = std::fs::remove_file(self.device());
            let _ = std::fs::remove_file(self.far_device());
        }
    }
}

impl Drop for PtyLine {
    fn drop(&mut self) {
        self.unplug();
    }
}

fn wait_for(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < PATIENCE, "socat makes no {}", path.display());
        thread::sleep(Duration::from_millis(5));
    }
}
