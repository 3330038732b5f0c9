//! The configuration file: noticing that somebody changed it, and replacing it whole.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::bridge::bounded;
use crate::storage;

/// A configuration file and what it looked like when it was last read or written.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    seen: Option<Look>,
    /// A change that was noticed once. It counts when the file looks the same the next time: editors write in parts.
    settling: Option<Look>,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl ConfigFile {
    /// A file that was just read.
    pub(super) fn new(path: &Path) -> Self {
        let mut file = Self { path: path.to_owned(), seen: None, settling: None };
        file.seen = file.look();
        file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file has changed since it was last read or written, and is no longer being written.
    pub(super) fn has_settled_change(&mut self) -> bool {
        let look = self.look();
        if look.is_none() || look == self.seen {
            self.settling = None;
            return false;
        }
        std::mem::replace(&mut self.settling, look) == look
    }

    /// Whether the file has changed since it was last read or written.
    pub(super) fn has_changed(&self) -> bool {
        let look = self.look();
        look.is_some() && look != self.seen
    }

    /// Reads it; what it looks like now counts as known.
    pub(super) fn read(&mut self) -> io::Result<String> {
        let look = self.look();
        let text = bounded::regular_text(&self.path)?;
        (self.seen, self.settling) = (look, None);
        Ok(text)
    }

    /// Replaces it by rename, so that a power cut leaves the old text or the new. Who may read it stays the same.
    pub(super) fn write(&mut self, text: &str) -> io::Result<()> {
        // A link stays a link.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let permissions = fs::metadata(&path).ok().map(|metadata| metadata.permissions());
        match storage::replace(&path, text.as_bytes()) {
            Ok(()) => {
                if let Some(permissions) = permissions {
                    fs::set_permissions(&path, permissions)?;
                }
            }
            // A file that is mounted alone, as in containers, cannot be renamed over.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices) =>
            {
                fs::write(&path, text)?;
            }
            Err(error) => return Err(error),
        }
        (self.seen, self.settling) = (self.look(), None);
        Ok(())
    }

    fn look(&self) -> Option<Look> {
        fs::metadata(&self.path).ok().as_ref().map(Look::of)
    }
}

impl Look {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_change_counts_when_it_has_settled_and_our_own_never() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        fs::write(&path, "one").unwrap();
        let mut file = ConfigFile::new(&path);
        assert!(!file.has_changed() && !file.has_settled_change());
        fs::write(&path, "three").unwrap();
        assert!(!file.has_settled_change());
        fs::write(&path, "seventeen").unwrap();
        assert!(!file.has_settled_change(), "still being written");
        assert!(file.has_settled_change());
        assert_eq!(file.read().unwrap(), "seventeen");
        assert!(!file.has_changed() && !file.has_settled_change());
        file.write("ours").unwrap();
        assert!(!file.has_changed());
        fs::remove_file(&path).unwrap();
        assert!(!file.has_settled_change() && !file.has_changed(), "gone is not changed");
    }

    #[test]
    fn a_named_pipe_in_its_place_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        fs::write(&path, "one").unwrap();
        let mut file = ConfigFile::new(&path);
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (done, waits) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(file.read().unwrap_err().kind()));
        let patience = std::time::Duration::from_secs(30);
        assert_eq!(waits.recv_timeout(patience), Ok(io::ErrorKind::InvalidInput));
    }

    #[test]
    fn links_and_permissions_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "one").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        ConfigFile::new(&link).write("two").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
