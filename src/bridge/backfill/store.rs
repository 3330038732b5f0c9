//! Tracks of profiles in the folder `profiles` of the state directory: one small file a profile, replaced as a whole.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::track::Track;
use crate::bridge::config::Name;
use crate::bridge::outbox::RecordId;
use crate::storage;

/// Of the files' form.
const VERSION: u8 = 1;

/// No track is longer.
const LONGEST_FILE: u64 = 64 << 10;

/// Where tracks are kept. A track is written once the rows that it calls published are safe: a gateway that is killed
/// before reads them again.
#[derive(Clone, Debug)]
pub struct TrackStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// By file name.
    waiting: Mutex<BTreeMap<String, Waiting>>,
    kept: Notify,
    /// One writer at a time, so that an older track never replaces a newer one.
    writer: Mutex<Writer>,
}

#[derive(Debug, Default)]
struct Writer {
    /// A disk that fails is told of once.
    is_failing: bool,
}

/// A track that waits for the outbox. Where the broker never catches up with a profile, the older position is written
/// in the end nevertheless.
#[derive(Clone, Debug)]
struct Waiting {
    first: Position,
    newest: Option<Position>,
}

/// A track, and up to where the outbox must be safe before it is written.
#[derive(Clone, Debug)]
struct Position {
    track: Track,
    after: RecordId,
}

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    v: u8,
    track: T,
}

impl TrackStore {
    /// In a state directory.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        let folder = state_dir.join("profiles");
        let (waiting, kept, writer) = (Mutex::default(), Notify::new(), Mutex::default());
        Self { inner: Arc::new(Inner { folder, waiting, kept, writer }) }
    }

    /// The track of a profile. One that is missing or cannot be read begins anew: then nothing is known to be missing.
    #[must_use]
    pub fn load(&self, device: &Name, profile: &Name) -> Track {
        let file = file_name(device, profile);
        if let Some(Waiting { first, newest }) = lock(&self.inner.waiting).get(&file) {
            return newest.as_ref().unwrap_or(first).track.clone();
        }
        let path = self.inner.folder.join(file);
        match read(&path) {
            Ok(track) => track,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Track::default(),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "how far a profile was published is not known any more");
                Track::default()
            }
        }
    }

    /// Removes the files of profiles that are not configured any more. What cannot be removed does no harm.
    pub fn forget_others<'c>(&self, configured: impl Iterator<Item = (&'c Name, &'c Name)>) {
        let known: HashSet<String> = configured.map(|(device, profile)| file_name(device, profile)).collect();
        let Ok(files) = fs::read_dir(&self.inner.folder) else { return };
        for file in files.flatten() {
            if file.file_name().to_str().is_none_or(|name| !known.contains(name)) {
                tracing::info!(path = %file.path().display(), "how far a former profile was published is forgotten");
                let _ = fs::remove_file(file.path());
            }
        }
    }

    /// Keeps the track of a profile, to be written once all records below `after` are safe.
    pub fn keep(&self, device: &Name, profile: &Name, track: &Track, after: RecordId) {
        let position = Position { track: track.clone(), after };
        match lock(&self.inner.waiting).entry(file_name(device, profile)) {
            Entry::Vacant(vacant) => drop(vacant.insert(Waiting { first: position, newest: None })),
            Entry::Occupied(mut waiting) => waiting.get_mut().newest = Some(position),
        }
        self.inner.kept.notify_one();
    }

    /// Resolves once a track waits to be written. For one task at a time.
    pub async fn any_waiting(&self) {
        while lock(&self.inner.waiting).is_empty() {
            self.inner.kept.notified().await;
        }
    }

    /// Whether [`Self::settle`] has something to write when all records below `safe` are.
    #[must_use]
    pub fn is_due(&self, safe: RecordId) -> bool {
        lock(&self.inner.waiting).values().any(|waiting| waiting.first.after <= safe)
    }

    /// Writes the tracks for which it is enough that all records below `safe` are. Waits for the medium. What a disk
    /// refuses waits on.
    pub fn settle(&self, safe: RecordId) {
        let mut writer = lock(&self.inner.writer);
        while let Some((file, position)) = self.next_due(safe) {
            let path = self.inner.folder.join(&file);
            let write = || {
                storage::make_folder(&self.inner.folder)?;
                storage::replace(&path, &serde_json::to_vec(&Stored { v: VERSION, track: &position.track })?)
            };
            if let Err(error) = write() {
                if !std::mem::replace(&mut writer.is_failing, true) {
                    tracing::error!(path = %path.display(), %error, "how far a profile was published cannot be kept");
                }
                return;
            }
            writer.is_failing = false;
            self.written(file, &position);
        }
    }

    /// The newest position of a profile that can be written.
    fn next_due(&self, safe: RecordId) -> Option<(String, Position)> {
        lock(&self.inner.waiting).iter().find_map(|(file, Waiting { first, newest })| {
            let mut due = newest.iter().chain([first]).filter(|position| position.after <= safe);
            due.next().map(|position| (file.clone(), position.clone()))
        })
    }

    fn written(&self, file: String, position: &Position) {
        let mut waiting = lock(&self.inner.waiting);
        let Entry::Occupied(mut entry) = waiting.entry(file) else { return };
        match entry.get_mut().newest.take_if(|newest| newest.track != position.track) {
            Some(newest) => *entry.get_mut() = Waiting { first: newest, newest: None },
            None => drop(entry.remove()),
        }
    }
}

/// Names have no dot.
fn file_name(device: &Name, profile: &Name) -> String {
    format!("{device}.{profile}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> io::Result<Track> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LONGEST_FILE).read_to_end(&mut bytes)?;
    let stored: Stored<Track> = serde_json::from_slice(&bytes)?;
    if stored.v == VERSION { Ok(stored.track) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::bridge::backfill::track::{Coverage, Seen, Selection};
    use crate::bridge::reading::row_time::{RowPoint, RowTime};

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    /// A track that saw a row at each of these times.
    fn track_of(rows: &[i64]) -> Track {
        let mut track = Track::default();
        for &ms in rows {
            let at = RowPoint { local_ms: ms, utc_ms: Some(ms - 3_600_000) };
            let row = RowTime { text: format!("{ms}"), at };
            let seen = Seen {
                obis: None,
                meter: Some("m".into()),
                first: row.clone(),
                last: row,
                capture_period: 900,
                backfill: true,
                coverage: Coverage::Newest,
                selection: Selection::Configured,
            };
            track.saw(seen, Timestamp::UNIX_EPOCH);
        }
        track
    }

    fn track() -> Track {
        let track = track_of(&[0, 9_000_000]);
        assert!(track.has_gap());
        track
    }

    fn track_at(ms: i64) -> Track {
        track_of(&[ms])
    }

    fn path(state: &Path) -> PathBuf {
        state.join("profiles/d.lp")
    }

    #[test]
    fn a_track_outlives_the_process() {
        let state = tempfile::tempdir().expect("a folder");
        let store = TrackStore::new(state.path());
        assert_eq!(store.load(&name("d"), &name("lp")), Track::default());
        store.keep(&name("d"), &name("lp"), &track(), RecordId(1));
        store.settle(RecordId(1));
        assert_eq!(TrackStore::new(state.path()).load(&name("d"), &name("lp")), track());
        assert_eq!(store.load(&name("d"), &name("other")), Track::default());
    }

    #[test]
    fn a_track_is_written_once_the_rows_that_it_tells_of_are_safe() {
        let state = tempfile::tempdir().expect("a folder");
        let store = TrackStore::new(state.path());
        let on_disk = || TrackStore::new(state.path()).load(&name("d"), &name("lp"));
        for (ms, after) in [(1, 10), (2, 20), (3, 30)] {
            store.keep(&name("d"), &name("lp"), &track_at(ms), RecordId(after));
            store.settle(RecordId(9));
        }
        assert!(!store.is_due(RecordId(9)) && store.is_due(RecordId(10)));
        assert_eq!(on_disk(), Track::default());
        assert_eq!(store.load(&name("d"), &name("lp")), track_at(3), "the gateway itself goes on from there");
        store.settle(RecordId(15));
        assert_eq!(on_disk(), track_at(1), "as far as it is safe, though the rest is not");
        store.keep(&name("d"), &name("lp"), &track_at(4), RecordId(40));
        store.settle(RecordId(39));
        assert_eq!(on_disk(), track_at(3));
        store.settle(RecordId(40));
        assert_eq!(on_disk(), track_at(4));
        assert!(!store.is_due(RecordId(u64::MAX)));
    }

    #[test]
    fn profiles_that_are_gone_are_forgotten() {
        let state = tempfile::tempdir().expect("a folder");
        let store = TrackStore::new(state.path());
        for profile in ["lp", "renamed"] {
            store.keep(&name("d"), &name(profile), &track(), RecordId(1));
        }
        store.settle(RecordId(1));
        store.forget_others([(&name("d"), &name("lp"))].into_iter());
        assert_eq!(store.load(&name("d"), &name("lp")), track());
        assert_eq!(store.load(&name("d"), &name("renamed")), Track::default());
    }

    #[test]
    fn a_file_that_is_damaged_or_from_the_future_begins_anew() {
        let state = tempfile::tempdir().expect("a folder");
        let store = TrackStore::new(state.path());
        store.keep(&name("d"), &name("lp"), &track(), RecordId(1));
        store.settle(RecordId(1));
        let path = path(state.path());
        let good = fs::read(&path).expect("written");
        let future = String::from_utf8(good.clone()).expect("text").replace("\"v\":1", "\"v\":2");
        for bytes in [&good[..good.len() / 2], b"", future.as_bytes(), &[0xFF; 70_000]] {
            fs::write(&path, bytes).expect("written");
            assert_eq!(store.load(&name("d"), &name("lp")), Track::default());
        }
    }

    #[test]
    fn what_a_disk_refuses_is_written_when_it_takes_it_again() {
        let state = tempfile::tempdir().expect("a folder");
        let store = TrackStore::new(state.path());
        let in_the_way = state.path().join("profiles");
        fs::write(&in_the_way, b"").expect("written");
        store.keep(&name("d"), &name("lp"), &track(), RecordId(1));
        store.settle(RecordId(1));
        assert_eq!(store.load(&name("d"), &name("lp")), track());
        assert!(store.is_due(RecordId(1)));
        fs::remove_file(&in_the_way).expect("removed");
        store.settle(RecordId(1));
        assert_eq!(TrackStore::new(state.path()).load(&name("d"), &name("lp")), track());
    }
}
