//! How far the broker has taken the log, in two slots that are written in turn.
//!
//! ```text
//! slot = generation:u64  head:u64  next:u64  crc:u32 (of the 24 octets before it)      at octets 0 and 4096
//! ```
//! All numbers are little-endian; the good slot of the higher generation counts. A write that is torn spoils the
//! older slot alone, and both lie in different blocks of any medium. The file has its full size from the beginning,
//! so that it can be written on a full disk. An old cursor costs messages that are sent twice, and never one that
//! is lost.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use super::RecordId;

const FILE: &str = "cursor";
const SLOT: usize = 28;
const SLOTS: [u64; 2] = [0, 4096];
const SIZE: usize = 8192;

/// What the cursor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Every record below this has arrived or was given up.
    pub(super) head: RecordId,
    /// No record of this id or above was in the store.
    pub(super) next: RecordId,
}

impl Mark {
    const START: Self = Self { head: RecordId(0), next: RecordId(1) };
}

/// The open file.
#[derive(Debug)]
pub(super) struct Cursor {
    file: Arc<File>,
    generation: u64,
    mark: Mark,
}

/// What was found of a former run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: the store is new.
    New,
    /// At least one good slot.
    Good,
    /// A file without a good slot: everything in the log counts as not sent.
    Damaged,
}

impl Cursor {
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Found)> {
        let path = folder.join(FILE);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut bytes = Vec::with_capacity(SIZE);
        io::Read::read_to_end(&mut io::Read::take(&file, SIZE as u64), &mut bytes)?;
        let best = SLOTS
            .iter()
            .filter_map(|at| decode(bytes.get(usize::try_from(*at).ok()?..)?))
            .max_by_key(|(generation, _)| *generation);
        let found = match best {
            Some(_) => Found::Good,
            None if bytes.iter().all(|byte| *byte == 0) => Found::New,
            None => Found::Damaged,
        };
        let (generation, mark) = best.unwrap_or((0, Mark::START));
        if bytes.len() < SIZE {
            bytes.resize(SIZE, 0);
            file.write_all_at(&bytes, 0)?;
        }
        Ok((Self { file: Arc::new(file), generation, mark }, found))
    }

    pub(super) const fn mark(&self) -> Mark {
        self.mark
    }

    /// Writes `mark` to the page cache; the medium gets it with the next sync of [`Cursor::file`].
    pub(super) fn advance(&mut self, mark: Mark) -> io::Result<()> {
        let generation = self.generation + 1;
        let at = if generation.is_multiple_of(2) { SLOTS[1] } else { SLOTS[0] };
        self.file.write_all_at(&encode(generation, mark), at)?;
        (self.generation, self.mark) = (generation, mark);
        Ok(())
    }

    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }
}

fn encode(generation: u64, mark: Mark) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    for (field, number) in slot.chunks_exact_mut(8).zip([generation, mark.head.0, mark.next.0]) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    let crc = crc32fast::hash(&slot[..24]);
    slot[24..].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(bytes: &[u8]) -> Option<(u64, Mark)> {
    let slot = bytes.first_chunk::<SLOT>()?;
    let (fields, crc) = slot.split_last_chunk::<4>()?;
    if crc32fast::hash(fields) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut numbers =
        fields.chunks_exact(8).map(|field| field.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)));
    let (generation, head, next) = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some((generation, Mark { head: RecordId(head), next: RecordId(next) }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mark(head: u64) -> Mark {
        Mark { head: RecordId(head), next: RecordId(head + 10) }
    }

    #[test]
    fn the_last_mark_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (cursor, found) = Cursor::open(folder.path()).unwrap();
        assert_eq!((cursor.mark(), found), (Mark::START, Found::New));
        drop(cursor);
        for head in 1..6 {
            let (mut cursor, _) = Cursor::open(folder.path()).unwrap();
            cursor.advance(mark(head)).unwrap();
            let (cursor, found) = Cursor::open(folder.path()).unwrap();
            assert_eq!((cursor.mark(), found), (mark(head), Found::Good));
        }
    }

    #[test]
    fn a_write_torn_anywhere_leaves_the_mark_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut cursor, _) = Cursor::open(folder.path()).unwrap();
        cursor.advance(mark(1)).unwrap();
        for head in 2..4 {
            let before = fs::read(&path).unwrap();
            cursor.advance(mark(head)).unwrap();
            let after = fs::read(&path).unwrap();
            let changed: Vec<_> = (0..SIZE).filter(|at| before[*at] != after[*at]).collect();
            for cut in 0..changed.len() {
                let mut torn = before.clone();
                changed[..cut].iter().for_each(|at| torn[*at] = after[*at]);
                fs::write(&path, torn).unwrap();
                let (cursor, found) = Cursor::open(folder.path()).unwrap();
                assert_eq!((cursor.mark(), found), (mark(head - 1), Found::Good), "{cut}");
            }
            fs::write(&path, after).unwrap();
        }
    }

    #[test]
    fn a_file_cut_at_any_offset_gives_a_former_mark_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let (mut cursor, _) = Cursor::open(folder.path()).unwrap();
        cursor.advance(mark(1)).unwrap();
        cursor.advance(mark(2)).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in (0..64).chain(4_080..4_140).chain([SIZE - 1]) {
            for zeroed in [false, true] {
                let mut bytes = whole[..cut].to_vec();
                bytes.resize(if zeroed { SIZE } else { cut }, 0);
                fs::write(&path, bytes).unwrap();
                let (cursor, found) = Cursor::open(folder.path()).unwrap();
                let head = cursor.mark().head.0;
                assert!(head <= 2, "{head}");
                assert_eq!(found == Found::Good, head > 0, "{cut}");
                assert_eq!(fs::metadata(&path).unwrap().len(), SIZE as u64);
            }
        }
    }

    #[test]
    fn a_file_of_garbage_is_damaged_and_serves_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), vec![0xA5; SIZE]).unwrap();
        let (mut cursor, found) = Cursor::open(folder.path()).unwrap();
        assert_eq!((cursor.mark(), found), (Mark::START, Found::Damaged));
        cursor.advance(mark(9)).unwrap();
        assert_eq!(Cursor::open(folder.path()).unwrap().0.mark(), mark(9));
    }
}
