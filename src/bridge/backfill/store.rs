//! Tracks of profiles in the folder `profiles` of the state directory: one small file a profile, replaced as a whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::track::Track;
use crate::bridge::config::Name;
use crate::storage;

/// Of the files' form.
const VERSION: u8 = 1;

/// No track is longer.
const LONGEST_FILE: u64 = 64 << 10;

/// Where tracks are kept.
#[derive(Clone, Debug)]
pub struct TrackStore {
    folder: PathBuf,
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
        Self { folder: state_dir.join("profiles") }
    }

    /// The track of a profile. One that is missing or cannot be read begins anew: then nothing is known to be missing.
    #[must_use]
    pub fn load(&self, device: &Name, profile: &Name) -> Track {
        let path = self.path(device, profile);
        match read(&path) {
            Ok(track) => track,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Track::default(),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "how far a profile was published is not known any more");
                Track::default()
            }
        }
    }

    /// Keeps the track of a profile.
    pub fn save(&self, device: &Name, profile: &Name, track: &Track) {
        let path = self.path(device, profile);
        let write = || {
            storage::make_folder(&self.folder)?;
            storage::replace(&path, &serde_json::to_vec(&Stored { v: VERSION, track })?)
        };
        if let Err(error) = write() {
            // At worst a gap is not seen, or filled twice.
            tracing::error!(path = %path.display(), %error, "how far a profile was published could not be kept");
        }
    }

    /// Names have no dot.
    fn path(&self, device: &Name, profile: &Name) -> PathBuf {
        self.folder.join(format!("{device}.{profile}"))
    }
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
    use super::*;
    use crate::bridge::backfill::track::{Coverage, Seen};
    use crate::bridge::reading::row_time::{RowPoint, RowTime};

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn track() -> Track {
        let row = |ms: i64| RowTime {
            text: format!("{ms}"),
            at: RowPoint { local_ms: ms, utc_ms: Some(ms - 3_600_000) },
        };
        let mut track = Track::default();
        for ms in [0, 9_000_000] {
            let (first, last) = (row(ms), row(ms));
            let coverage = Coverage::Newest;
            track.saw(Seen {
                obis: None,
                meter: Some("m".into()),
                first,
                last,
                capture_period: 900,
                backfill: true,
                coverage,
            });
        }
        assert!(track.has_gap());
        track
    }

    #[test]
    fn a_track_outlives_the_process() {
        let state = tempfile::tempdir().expect("a folder");
        let store = TrackStore::new(state.path());
        assert_eq!(store.load(&name("d"), &name("lp")), Track::default());
        store.save(&name("d"), &name("lp"), &track());
        assert_eq!(TrackStore::new(state.path()).load(&name("d"), &name("lp")), track());
        assert_eq!(store.load(&name("d"), &name("other")), Track::default());
    }

    #[test]
    fn a_file_that_is_damaged_or_from_the_future_begins_anew() {
        let state = tempfile::tempdir().expect("a folder");
        let store = TrackStore::new(state.path());
        store.save(&name("d"), &name("lp"), &track());
        let path = store.path(&name("d"), &name("lp"));
        let good = fs::read(&path).expect("written");
        let future = String::from_utf8(good.clone()).expect("text").replace("\"v\":1", "\"v\":2");
        for bytes in [&good[..good.len() / 2], b"", future.as_bytes(), &[0xFF; 70_000]] {
            fs::write(&path, bytes).expect("written");
            assert_eq!(store.load(&name("d"), &name("lp")), Track::default());
        }
    }

    #[test]
    fn a_disk_that_refuses_is_no_reason_to_stop() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let store = TrackStore::new(file.path());
        store.save(&name("d"), &name("lp"), &track());
        assert_eq!(store.load(&name("d"), &name("lp")), Track::default());
    }
}
