//! A change that returns unless it is confirmed, remembered on disk so that a crash does not make it stay.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::storage;

const FILE: &str = "unconfirmed.json";

/// A change on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unconfirmed {
    /// The revision on trial.
    pub(super) revision: u64,
    /// The one that returns.
    pub(super) previous: u64,
    /// When it returns.
    pub(super) until: Timestamp,
    /// What makes the change stay.
    pub(super) confirmed_by: ConfirmedBy,
}

/// What makes a change on trial stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ConfirmedBy {
    /// `config/confirm`.
    Request,
    /// A connection to the broker that it names.
    Connection,
}

impl Unconfirmed {
    /// What a former run left behind.
    pub(super) fn read(state_dir: &Path) -> Option<Self> {
        let bytes = fs::read(path(state_dir)).ok()?;
        serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(%error, "the record of an unconfirmed change is damaged"))
            .ok()
    }

    /// Remembers it.
    pub(super) fn write(&self, state_dir: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::from)?;
        storage::replace(&path(state_dir), &bytes)
    }

    /// Forgets it.
    pub(super) fn forget(state_dir: &Path) {
        match fs::remove_file(path(state_dir)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(%error, "the record of an unconfirmed change cannot be removed");
            }
            _ => {}
        }
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_outlives_the_process_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Unconfirmed::read(folder.path()), None);
        let unconfirmed = Unconfirmed {
            revision: 7,
            previous: 6,
            until: Timestamp::UNIX_EPOCH,
            confirmed_by: ConfirmedBy::Request,
        };
        unconfirmed.write(folder.path()).unwrap();
        assert_eq!(Unconfirmed::read(folder.path()), Some(unconfirmed));
        Unconfirmed::forget(folder.path());
        Unconfirmed::forget(folder.path());
        assert_eq!(Unconfirmed::read(folder.path()), None);
    }
}
