//! Which topics hold a retained message of ours at the broker, remembered across restarts.
//!
//! Without this memory a device that was removed or renamed while the gateway was off would stay at the broker
//! for ever.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use tracing::warn;

use super::topics::Topic;
use crate::storage;

const FILE: &str = "retained";

/// A set of topics with a journal of lines `+topic` and `-topic`, rewritten whole when it is opened.
#[derive(Debug)]
pub struct RetainedTopics {
    topics: BTreeSet<Topic>,
    journal: Option<File>,
}

impl RetainedTopics {
    /// Reads what former runs left in `state_dir`; without one, or while it fails, memory alone serves.
    #[must_use]
    pub fn open(state_dir: Option<&Path>) -> Self {
        let Some(path) = state_dir.map(|folder| folder.join(FILE)) else {
            return Self { topics: BTreeSet::new(), journal: None };
        };
        let topics = match fs::read(&path) {
            Ok(bytes) => replay(&String::from_utf8_lossy(&bytes)),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    warn!(path = %path.display(), %error, "the list of retained topics cannot be read");
                }
                BTreeSet::new()
            }
        };
        let journal = compact(&path, &topics)
            .inspect_err(|error| warn!(path = %path.display(), %error, "retained topics are not remembered"))
            .ok();
        Self { topics, journal }
    }

    /// Remembers `topic`. To be called before it is published, so that a crash between leaves no orphan.
    pub fn insert(&mut self, topic: &Topic) {
        if !self.topics.contains(topic) {
            self.topics.insert(topic.clone());
            self.write('+', topic);
        }
    }

    /// Forgets `topic`. To be called when the broker has confirmed that it is clear.
    pub fn remove(&mut self, topic: &str) {
        if self.topics.remove(topic) {
            self.write('-', topic);
        }
    }

    /// All topics, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.topics.iter()
    }

    /// One line, one write: a crash tears at most the last line, which is then ignored.
    fn write(&mut self, sign: char, topic: &str) {
        let Some(journal) = &mut self.journal else { return };
        if let Err(error) = journal.write_all(format!("{sign}{topic}\n").as_bytes()) {
            warn!(%error, "retained topics are no longer remembered");
            self.journal = None;
        }
    }
}

fn replay(text: &str) -> BTreeSet<Topic> {
    let mut topics = BTreeSet::new();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        if let Some(topic) = line.strip_prefix('+') {
            topics.insert(topic.into());
        } else if let Some(topic) = line.strip_prefix('-') {
            topics.remove(topic);
        }
    }
    topics
}

fn compact(path: &Path, topics: &BTreeSet<Topic>) -> io::Result<File> {
    let text: String = topics.iter().flat_map(|topic| ["+", topic, "\n"]).collect();
    storage::replace(path, text.as_bytes())?;
    storage::private().append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(retained: &RetainedTopics) -> Vec<&str> {
        retained.iter().map(|topic| &**topic).collect()
    }

    #[test]
    fn topics_are_remembered_and_forgotten_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let mut retained = RetainedTopics::open(Some(folder.path()));
        for topic in ["g/b", "g/a", "g/b", "g/c"] {
            retained.insert(&topic.into());
        }
        retained.remove("g/a");
        retained.remove("g/never");
        drop(retained);

        let mut retained = RetainedTopics::open(Some(folder.path()));
        assert_eq!(all(&retained), ["g/b", "g/c"]);
        retained.insert(&"g/a".into());
        drop(retained);
        assert_eq!(all(&RetainedTopics::open(Some(folder.path()))), ["g/a", "g/b", "g/c"]);
        assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), "+g/a\n+g/b\n+g/c\n");
    }

    #[test]
    fn a_journal_cut_anywhere_loses_at_most_its_last_line() {
        let text = "+g/a\n+g/b\n-g/a\n+g/c\n";
        for cut in 0..=text.len() {
            let whole_lines = &text[..text[..cut].rfind('\n').map_or(0, |at| at + 1)];
            assert_eq!(replay(&text[..cut]), replay(whole_lines), "cut at {cut}");
        }
        assert_eq!(replay(text).iter().map(|topic| &**topic).collect::<Vec<_>>(), ["g/b", "g/c"]);
    }

    #[test]
    fn without_a_folder_memory_serves() {
        let folder = tempfile::tempdir().unwrap();
        for place in [None, Some(folder.path().join("none"))] {
            let mut retained = RetainedTopics::open(place.as_deref());
            retained.insert(&"g/a".into());
            assert_eq!(all(&retained), ["g/a"]);
        }
    }
}
