//! The number on every telemetry message and event: one counter a gateway, rising across restarts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Mutex as Queue, MutexGuard as Head};
use tracing::warn;

use crate::error::{Code, Layer, Report};
use crate::storage;

/// Numbers promised to this run by one write to disk. A restart leaves the rest of a block unused.
const BLOCK: u64 = 10_000;

const FILE: &str = "seq";

/// The counter. Shared by reference among all who publish.
#[derive(Debug)]
pub struct Sequence {
    start: u64,
    turns: Queue<()>,
    inner: Mutex<Inner>,
}

/// The right to publish next: numbers taken under it leave in their order, whoever else publishes.
#[derive(Debug)]
pub struct Turn<'a> {
    sequence: &'a Sequence,
    _head: Head<'a, ()>,
}

impl Turn<'_> {
    /// The number of the message that this turn hands over.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.sequence.next()
    }
}

#[derive(Debug)]
struct Inner {
    next: u64,
    /// Numbers below this are ours.
    reserved: u64,
    /// `None`: nothing is kept on disk.
    file: Option<PathBuf>,
    degraded: bool,
}

impl Sequence {
    /// Goes on where the last run in `state_dir` left off, at a number it cannot have used. Without a directory, or
    /// while it cannot be read or written, numbers start at the time in milliseconds: they rise across restarts
    /// as long as the clock does and messages stay under a thousand a second.
    #[must_use]
    pub fn open(state_dir: Option<&Path>) -> Self {
        let file = state_dir.map(|folder| folder.join(FILE));
        let (next, degraded) = match &file {
            None => (by_clock(), false),
            Some(path) => match read(path) {
                Ok(Some(bound)) => (bound, false),
                Ok(None) => (1, false),
                Err(error) => {
                    warn!(path = %path.display(), %error, "the sequence file cannot be read: numbering by the clock");
                    (by_clock(), true)
                }
            },
        };
        let mut inner = Inner { next, reserved: next, file, degraded };
        inner.reserve();
        if inner.degraded && inner.next < by_clock() {
            // A first run would begin at 1; a disk that fails must not take us back there.
            inner.next = by_clock();
            inner.reserve();
        }
        Self { start: inner.next, turns: Queue::new(()), inner: Mutex::new(inner) }
    }

    /// Waits for those who number and hand over a message before. Held until the message is in the outbox, so that a
    /// subscriber meets numbers in their order.
    pub async fn turn(&self) -> Turn<'_> {
        Turn { _head: self.turns.lock().await, sequence: self }
    }

    /// The next number, for a message that keeps no order with others. Unique within the gateway, whoever asks.
    pub fn next(&self) -> u64 {
        let mut inner = self.lock();
        if inner.next >= inner.reserved {
            inner.reserve();
        }
        let number = inner.next;
        inner.next += 1;
        number
    }

    /// The first number of this run: what `bridge/info` announces as `seq_start`.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Why numbers might repeat after a restart; `None` when all is well.
    #[must_use]
    pub fn degraded(&self) -> Option<Report> {
        let inner = self.lock();
        let path = inner.file.as_ref().filter(|_| inner.degraded)?;
        let message = format!("{} cannot be kept: sequence numbers may jump or repeat", path.display());
        Some(
            Report::new(Code::StoreDamaged, Layer::Store, message)
                .with_hint("check the disk and the owner of state_dir"),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Promises the next block on disk before any number of it is used.
    fn reserve(&mut self) {
        self.reserved = self.next.saturating_add(BLOCK);
        let Some(path) = &self.file else { return };
        match storage::replace(path, format!("{}\n", self.reserved).as_bytes()) {
            Ok(()) => self.degraded = false,
            Err(error) => {
                if !self.degraded {
                    warn!(path = %path.display(), %error, "the sequence cannot be kept on disk");
                }
                self.degraded = true;
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Option<u64>> {
    match fs::read_to_string(path) {
        Ok(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a decimal number")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn by_clock() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_across_restarts_and_never_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let mut last = 0;
        for run in 0..3 {
            let sequence = Sequence::open(Some(folder.path()));
            assert_eq!(sequence.start(), 1 + run * BLOCK);
            for _ in 0..5 {
                let number = sequence.next();
                assert!(number > last);
                last = number;
            }
            assert_eq!(sequence.degraded(), None);
        }
    }

    #[test]
    fn a_block_is_reserved_before_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let sequence = Sequence::open(Some(folder.path()));
        for _ in 0..BLOCK * 2 + 1 {
            let number = sequence.next();
            if number % BLOCK < 3 {
                let kept: u64 = fs::read_to_string(folder.path().join(FILE)).unwrap().trim().parse().unwrap();
                assert!(kept > number, "{kept} {number}");
            }
        }
    }

    #[test]
    fn a_damaged_file_or_a_missing_folder_numbers_by_the_clock_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "not a number").unwrap();
        let before = by_clock();
        let sequence = Sequence::open(Some(folder.path()));
        assert!(sequence.next() >= before);
        assert_eq!(sequence.degraded(), None, "the file was written anew");
        assert!(Sequence::open(Some(folder.path())).start() > sequence.start());

        let lost = Sequence::open(Some(&folder.path().join("none")));
        assert!(lost.next() >= before);
        assert_eq!(lost.degraded().unwrap().code, Code::StoreDamaged);
        assert!(Sequence::open(None).next() >= before);
    }
}
