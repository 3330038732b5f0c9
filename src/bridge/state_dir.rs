//! The state directory: made for the owner only, and held by one process at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Code, Layer, Report};
use crate::storage;

/// The state directory, locked while this lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the directory if need be, and locks it.
    ///
    /// # Errors
    /// `STATE_LOCKED` while another process holds it; `STORE_DAMAGED` where it cannot be used.
    pub fn open(path: &Path) -> Result<Self, Report> {
        let unusable = |error: io::Error| {
            let message = format!("the state directory {} cannot be used: {error}", path.display());
            Report::new(Code::StoreDamaged, Layer::Store, message)
                .with_hint("set state_dir to a directory that the service's user may write")
        };
        storage::make_folder(path).map_err(unusable)?;
        let lock =
            storage::private().create(true).truncate(false).open(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("the state directory {} is in use", path.display());
                Err(Report::new(Code::StateLocked, Layer::Store, message))
            }
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = StateDir::open(&path).unwrap();
        assert_eq!(StateDir::open(&path).unwrap_err().code, Code::StateLocked);
        drop(first);
        assert!(StateDir::open(&path).is_ok());
    }

    #[test]
    fn a_path_that_is_a_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(StateDir::open(file.path()).unwrap_err().code, Code::StoreDamaged);
    }
}
