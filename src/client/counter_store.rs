//! Invocation counters that survive crashes: one small file a counter, reserved in blocks before use and never lowered.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::security::{CounterId, CounterStore, StoreError};
use crate::storage;

/// Counters in the folder `counters` of a state directory. Clones share them; another process must not use the folder.
#[derive(Clone, Debug)]
pub struct FileCounterStore(Arc<Mutex<Counters>>);

#[derive(Debug)]
struct Counters {
    folder: PathBuf,
    /// What is reserved on disk and not handed out yet.
    reserved: HashMap<CounterId, Range<u32>>,
}

impl FileCounterStore {
    /// Values reserved by one write: a crash loses at most as many, of 2^32.
    const BLOCK: u32 = 1024;

    /// Opens or makes the folder `counters` in `state_dir`, for the owner only.
    ///
    /// # Errors
    /// `Io`.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let folder = state_dir.join("counters");
        storage::make_folder(&folder).map_err(failed)?;
        Ok(Self(Arc::new(Mutex::new(Counters { folder, reserved: HashMap::new() }))))
    }

    /// The lowest value that may still be free, as the disk has it: everything below is used. `None` for a counter
    /// never seen.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn limit(&self, id: &CounterId) -> Result<Option<u32>, StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(id)
    }

    /// Raises the stored limit of a counter; a lower value than stored changes nothing. With
    /// [`CounterId::receiving`] it keeps the highest counter accepted plus one, for the strict replay check.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn raise(&self, id: &CounterId, limit: u32) -> Result<(), StoreError> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.read(id)?.is_some_and(|stored| stored >= limit) {
            return Ok(());
        }
        counters.write(id, limit)
    }
}

impl CounterStore for FileCounterStore {
    fn reserve(&mut self, id: &CounterId, at_least: u32, count: u32) -> Result<Range<u32>, StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reserve(id, at_least, count)
    }
}

impl Counters {
    fn reserve(&mut self, id: &CounterId, at_least: u32, count: u32) -> Result<Range<u32>, StoreError> {
        let mut free = self.reserved.get(id).cloned().unwrap_or(0..0);
        free.start = free.start.max(at_least);
        if free.is_empty() {
            let start = self.read(id)?.unwrap_or(0).max(free.end).max(at_least);
            let end = start.saturating_add(FileCounterStore::BLOCK.max(count));
            self.write(id, end)?;
            free = start..end;
        }
        let handed_out = free.start..free.start.saturating_add(count.max(1)).min(free.end);
        self.reserved.insert(*id, handed_out.end..free.end);
        Ok(handed_out)
    }

    fn read(&self, id: &CounterId) -> Result<Option<u32>, StoreError> {
        let mut text = String::new();
        match File::open(self.path(id)) {
            Ok(file) => file.take(LONGEST_FILE).read_to_string(&mut text).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        parse(id, &text).map(Some).ok_or_else(|| {
            // The error cannot name the file, and whoever has to repair it needs the name.
            tracing::error!(file = %self.path(id).display(), "invocation counter file is damaged");
            StoreError::Damaged
        })
    }

    /// Replaces the file as a whole: after a crash it holds the old value or the new one.
    fn write(&self, id: &CounterId, limit: u32) -> Result<(), StoreError> {
        storage::replace(&self.path(id), format_line(id, limit).as_bytes()).map_err(failed)
    }

    fn path(&self, id: &CounterId) -> PathBuf {
        self.folder.join(id.to_string())
    }
}

const LONGEST_FILE: u64 = 128;

/// `1 LIMIT CHECK`: the version, the lowest value not reserved, and a check sum over counter and value, so that a file
/// under another counter's name is found out too.
fn format_line(id: &CounterId, limit: u32) -> String {
    format!("1 {limit} {}\n", check(id, limit))
}

fn parse(id: &CounterId, text: &str) -> Option<u32> {
    let limit = text.strip_prefix("1 ")?.split(' ').next()?.parse().ok()?;
    (text == format_line(id, limit)).then_some(limit)
}

fn check(id: &CounterId, limit: u32) -> String {
    let digest = Sha256::digest(format!("dlms2mqtt counter file {id} {limit}"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::InvalidData => StoreError::Damaged,
        kind => StoreError::Io(kind),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::security::{Key, SystemTitle};

    fn id(title: u8) -> CounterId {
        CounterId::sending(&Key::from_bytes(&[7; 16]).unwrap(), SystemTitle([title; 8]))
    }

    fn file(state: &Path, id: &CounterId) -> PathBuf {
        state.join("counters").join(id.to_string())
    }

    #[test]
    fn values_are_reserved_on_disk_before_they_are_handed_out() {
        let state = tempfile::tempdir().unwrap();
        let mut store = FileCounterStore::open(state.path()).unwrap();
        assert_eq!(store.limit(&id(1)), Ok(None));
        assert_eq!(store.reserve(&id(1), 1, 16), Ok(1..17));
        assert_eq!(store.limit(&id(1)), Ok(Some(1025)));
        assert_eq!(store.reserve(&id(1), 1, 16), Ok(17..33));
        assert_eq!(store.reserve(&id(2), 1, 16), Ok(1..17), "counters are independent");
    }

    #[test]
    fn nothing_is_handed_out_twice_over_restarts_and_clones() {
        let state = tempfile::tempdir().unwrap();
        let mut last = 0;
        for round in 0..5u32 {
            let mut store = FileCounterStore::open(state.path()).unwrap();
            let mut clone = store.clone();
            for step in 0..200 {
                let range = store.reserve(&id(1), 0, 16).unwrap();
                let other = clone.reserve(&id(1), round * step, 3).unwrap();
                assert!(last <= range.start && range.end <= other.start, "{round} {step}");
                last = other.end;
            }
        }
    }

    #[test]
    fn a_floor_raises_and_never_lowers() {
        let state = tempfile::tempdir().unwrap();
        let mut store = FileCounterStore::open(state.path()).unwrap();
        assert_eq!(store.reserve(&id(1), 0x8D0D_C2D8, 1), Ok(0x8D0D_C2D8..0x8D0D_C2D9));
        assert_eq!(store.reserve(&id(1), 5, 1), Ok(0x8D0D_C2D9..0x8D0D_C2DA));
        store.raise(&id(1), 7).unwrap();
        assert!(store.limit(&id(1)).unwrap().unwrap() > 0x8D0D_C2D9);
        let received = CounterId::receiving(&Key::from_bytes(&[7; 16]).unwrap(), SystemTitle([1; 8]));
        store.raise(&received, 900).unwrap();
        assert_eq!(FileCounterStore::open(state.path()).unwrap().limit(&received), Ok(Some(900)));
    }

    #[test]
    fn the_end_is_an_empty_range() {
        let state = tempfile::tempdir().unwrap();
        let mut store = FileCounterStore::open(state.path()).unwrap();
        assert_eq!(store.reserve(&id(1), u32::MAX - 2, 16), Ok(u32::MAX - 2..u32::MAX));
        for _ in 0..2 {
            assert!(store.reserve(&id(1), 0, 16).unwrap().is_empty());
        }
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let mut store = FileCounterStore::open(state.path()).unwrap();
        store.reserve(&id(1), 1, 1).unwrap();
        let good = fs::read(file(state.path(), &id(1))).unwrap();
        let mut damages: Vec<Vec<u8>> = (0..good.len()).map(|length| good[..length].to_vec()).collect();
        damages.extend((0..good.len() * 8).map(|bit| {
            let mut damaged = good.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            damaged
        }));
        damages.push([good.as_slice(), b"1"].concat());
        damages.push(vec![0; 1 << 20]);
        for damaged in damages {
            fs::write(file(state.path(), &id(1)), &damaged).unwrap();
            let mut store = FileCounterStore::open(state.path()).unwrap();
            assert_eq!(store.reserve(&id(1), 5000, 1), Err(StoreError::Damaged));
            assert_eq!(store.raise(&id(1), 5000), Err(StoreError::Damaged));
            assert_eq!(fs::read(file(state.path(), &id(1))).unwrap(), damaged);
        }
        fs::write(file(state.path(), &id(2)), &good).unwrap();
        assert_eq!(store.reserve(&id(2), 1, 1), Err(StoreError::Damaged), "another counter's file");
    }

    #[test]
    fn a_file_that_vanishes_does_not_lower_the_counter() {
        let state = tempfile::tempdir().unwrap();
        let mut store = FileCounterStore::open(state.path()).unwrap();
        store.reserve(&id(1), 1, 1024).unwrap();
        fs::remove_file(file(state.path(), &id(1))).unwrap();
        assert_eq!(store.reserve(&id(1), 1, 1), Ok(1025..1026));
    }

    #[test]
    fn a_failed_write_hands_out_nothing() {
        let state = tempfile::tempdir().unwrap();
        let mut store = FileCounterStore::open(state.path()).unwrap();
        fs::remove_dir_all(state.path().join("counters")).unwrap();
        assert_eq!(store.reserve(&id(1), 1, 1), Err(StoreError::Io(io::ErrorKind::NotFound)));
        FileCounterStore::open(state.path()).unwrap();
        assert_eq!(store.reserve(&id(1), 1, 1), Ok(1..2));
    }

    #[test]
    fn files_are_for_the_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let state = tempfile::tempdir().unwrap();
        let mut store = FileCounterStore::open(state.path()).unwrap();
        store.reserve(&id(1), 1, 1).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.path().join("counters")), 0o700);
        assert_eq!(mode(&file(state.path(), &id(1))), 0o600);
    }
}
