//! Former configurations: the last texts in the state directory, secrets included, for its owner alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::tree::Format;
use crate::bridge::time::rfc3339;
use crate::storage;

/// So many texts are kept.
const KEPT: usize = 20;

const FOLDER: &str = "history";
const INDEX: &str = "index.json";

/// The texts of former configurations, and of the one in force.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    index: Index,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    /// The newest revision ever.
    newest: u64,
    revisions: Vec<Revision>,
}

/// One configuration that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// When it came into force.
    pub ts: String,
    /// Who brought it.
    pub origin: Origin,
    /// SHA-256 of the redacted configuration.
    pub sha256: String,
    /// Whether its text is JSON.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    json: bool,
}

/// Who brought a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was there when the bridge started.
    Start,
    /// The file was edited.
    File,
    /// A request over MQTT.
    Mqtt,
    /// A request over the socket.
    Socket,
}

impl Origin {
    /// As in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::File => "file",
            Self::Mqtt => "mqtt",
            Self::Socket => "socket",
        }
    }
}

impl History {
    /// Opens the history in a state directory; what cannot be read begins anew.
    #[must_use]
    pub fn open(state_dir: &Path) -> Self {
        let folder = state_dir.join(FOLDER);
        let index = match fs::read(folder.join(INDEX)) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %folder.display(), %error, "the history of configurations is damaged");
                Index { newest: newest_text(&folder), revisions: Vec::new() }
            }),
            Err(_) => Index::default(),
        };
        Self { folder, index }
    }

    /// All revisions, the oldest first.
    #[must_use]
    pub fn revisions(&self) -> &[Revision] {
        &self.index.revisions
    }

    /// The number that the next revision will have.
    #[must_use]
    pub const fn next_revision(&self) -> u64 {
        self.index.newest + 1
    }

    /// The revision of this text, if it is the newest.
    #[must_use]
    pub fn newest_if(&self, text: &str) -> Option<u64> {
        let newest = self.index.revisions.last()?.revision;
        self.text(newest).ok().filter(|(known, _)| known == text).map(|_| newest)
    }

    /// The text of a revision.
    ///
    /// # Errors
    /// The file system's; not found where the revision is no longer kept.
    pub fn text(&self, revision: u64) -> io::Result<(String, Format)> {
        let known = self.index.revisions.iter().find(|known| known.revision == revision);
        let known = known.ok_or(io::ErrorKind::NotFound)?;
        let format = if known.json { Format::Json } else { Format::Yaml };
        Ok((fs::read_to_string(self.path(revision))?, format))
    }

    /// Adds a text under the next number, and forgets the oldest beyond those kept.
    ///
    /// # Errors
    /// The file system's; then nothing is added.
    pub fn add(&mut self, text: &str, format: Format, origin: Origin, sha256: String) -> io::Result<u64> {
        let revision = self.next_revision();
        storage::make_folder(&self.folder)?;
        storage::replace(&self.path(revision), text.as_bytes())?;
        let entry = Revision {
            revision,
            ts: rfc3339(Timestamp::now()),
            origin,
            sha256,
            json: format == Format::Json,
        };
        self.index.newest = revision;
        self.index.revisions.push(entry);
        if let Err(error) = self.write_index() {
            self.index.revisions.pop();
            return Err(error);
        }
        while self.index.revisions.len() > KEPT {
            let oldest = self.index.revisions.remove(0);
            let _ = fs::remove_file(self.path(oldest.revision));
        }
        let _ = self.write_index();
        Ok(revision)
    }

    /// Takes the newest back out: it did not come, or did not stay, in force. Its number is not used again.
    pub fn take_back(&mut self, revision: u64) {
        self.index.revisions.retain(|known| known.revision != revision);
        let _ = fs::remove_file(self.path(revision));
        if let Err(error) = self.write_index() {
            tracing::warn!(%error, "the history of configurations cannot be written");
        }
    }

    /// Replaces the text of a revision by one that says the same in other words.
    pub fn reword(&mut self, revision: u64, text: &str) {
        if let Err(error) = storage::replace(&self.path(revision), text.as_bytes()) {
            tracing::warn!(%error, "the history of configurations cannot be written");
        }
    }

    fn write_index(&self) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&self.index).map_err(io::Error::from)?;
        storage::replace(&self.folder.join(INDEX), &text)
    }

    fn path(&self, revision: u64) -> PathBuf {
        self.folder.join(format!("{revision}.conf"))
    }
}

/// The highest number among the texts, for numbers must not be used twice.
fn newest_text(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.path().file_stem()?.to_str()?.parse().ok()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn add(history: &mut History, text: &str) -> u64 {
        history.add(text, Format::Yaml, Origin::File, "0".repeat(64)).unwrap()
    }

    #[test]
    fn the_last_twenty_are_kept_and_numbers_never_return() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path());
        for number in 1..=25 {
            assert_eq!(add(&mut history, &format!("text {number}")), number);
        }
        let mut history = History::open(folder.path());
        assert_eq!(history.revisions().len(), KEPT);
        assert_eq!(history.text(25).unwrap(), ("text 25".to_owned(), Format::Yaml));
        assert_eq!(history.text(5).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(history.newest_if("text 25"), Some(25));
        assert_eq!(history.newest_if("text 24"), None);
        history.take_back(25);
        assert_eq!(History::open(folder.path()).next_revision(), 26);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&history.path(24)), 0o600, "there are secrets in it");
        assert_eq!(mode(&history.folder), 0o700);
    }

    #[test]
    fn a_damaged_index_begins_anew_with_higher_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path());
        add(&mut history, "a");
        add(&mut history, "b");
        fs::write(folder.path().join(FOLDER).join(INDEX), "{").unwrap();
        let mut history = History::open(folder.path());
        assert_eq!(add(&mut history, "c"), 3);
        assert_eq!(history.revisions().len(), 1);
    }
}
