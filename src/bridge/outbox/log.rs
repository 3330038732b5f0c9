//! The folder of the log: segments that are appended to, read back, recovered and given up as a whole.
//!
//! `<first id in 16 hexadecimal digits>.log` is a segment, `cursor` the cursor, and `*.damaged` what was set aside when
//! the store was opened last with a damage. A run never appends to a segment of a former one. A segment goes when
//! none of its records is wanted any more; so the space taken exceeds that of the records by a few segments at most.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::topics::Topic;
use super::cursor::{self, Cursor, Mark};
use super::segment::{self, End, HEADER, Stored};
use super::{Record, RecordId, Retain};
use crate::storage;

/// A file larger than any segment of ours can be is not read: a segment is full with the first record that reaches its
/// size, and no message exceeds an MQTT packet of 1 MiB by much.
const LARGEST_FILE: u64 = 64 << 20;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    segment: u64,
    offset: u64,
    length: u64,
}

/// A record that a former run left, without its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) id: RecordId,
    pub(super) stored_ms: i64,
    pub(super) topic: Topic,
    pub(super) retain: Retain,
    pub(super) cost: usize,
    pub(super) place: Place,
}

/// The open log.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    /// For making new and removed names durable.
    folder_file: Arc<File>,
    segment_size: u64,
    segments: BTreeMap<u64, Segment>,
    active: Option<Active>,
    reader: Option<(u64, File)>,
    cursor: Cursor,
    /// Written to since the last sync.
    unsynced: Vec<Arc<File>>,
    /// Reused from write to write.
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    /// Records that are still wanted.
    wanted: usize,
    /// A record could not be read.
    is_damaged: bool,
}

#[derive(Debug)]
struct Active {
    first: u64,
    file: Arc<File>,
    length: u64,
}

/// What [`Log::open`] found.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) log: Log,
    /// By rising id.
    pub(super) left: Vec<Left>,
    /// The least id that the store never had.
    pub(super) next: RecordId,
    /// Files that were damaged.
    pub(super) damaged: u64,
    /// What was set aside.
    asides: Vec<PathBuf>,
}

impl Log {
    /// Opens the log in `folder`, which is made if need be, and finds what a former run has left there.
    pub(super) fn open(folder: &Path, segment_size: u64) -> io::Result<Opened> {
        storage::make_folder(folder)?;
        let (cursor, found) = Cursor::open(folder)?;
        let log = Self {
            folder: folder.to_owned(),
            folder_file: Arc::new(File::open(folder)?),
            segment_size,
            segments: BTreeMap::new(),
            active: None,
            reader: None,
            unsynced: Vec::new(),
            buffer: Vec::new(),
            cursor,
        };
        let Mark { head, next } = log.cursor.mark();
        let damaged = u64::from(found == cursor::Found::Damaged);
        if damaged > 0 {
            tracing::error!(folder = %folder.display(), "the outbox's cursor is damaged: what the log holds is sent again");
        }
        let mut opened = Opened { log, left: Vec::new(), next, damaged, asides: Vec::new() };
        let mut old_asides = Vec::new();
        let mut firsts = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "damaged") {
                old_asides.push(path);
            } else if let Some(first) = first_of(&path) {
                firsts.push(first);
            }
        }
        firsts.sort_unstable();
        let mut last = None;
        for first in firsts {
            last = opened.recover(first, head, last)?;
        }
        if !opened.asides.is_empty() {
            // They are for whoever looks into the newest damage, not for ever.
            let older = old_asides.iter().filter(|path| !opened.asides.contains(path));
            older.for_each(|path| drop(fs::remove_file(path)));
        }
        Ok(opened)
    }

    /// Appends records to the page cache: all of them, or none.
    pub(super) fn append(&mut self, records: &[(RecordId, i64, &Record)]) -> io::Result<Vec<Place>> {
        let Some((first, ..)) = records.first() else { return Ok(Vec::new()) };
        if self.active.as_ref().is_none_or(|active| active.length >= self.segment_size) {
            self.roll();
            self.active = Some(self.begin(*first)?);
        }
        let Some(active) = &mut self.active else { return Ok(Vec::new()) };
        let mut places = Vec::with_capacity(records.len());
        self.buffer.clear();
        for &(id, stored_ms, record) in records {
            let offset = active.length + self.buffer.len() as u64;
            let length = segment::encode(id, stored_ms, record, &mut self.buffer)
                .ok_or(io::ErrorKind::InvalidInput)?;
            places.push(Place { segment: active.first, offset, length: length as u64 });
        }
        if let Err(error) = active.file.write_all_at(&self.buffer, active.length) {
            // What was written of it would end the good part of the file for the next run, and does so for this one.
            let _ = active.file.set_len(active.length);
            return Err(error);
        }
        active.length += self.buffer.len() as u64;
        self.buffer.shrink_to(1 << 20);
        if !self.unsynced.iter().any(|known| Arc::ptr_eq(known, &active.file)) {
            self.unsynced.push(Arc::clone(&active.file));
        }
        self.segments.entry(active.first).or_default().wanted += places.len();
        Ok(places)
    }

    fn begin(&mut self, first: RecordId) -> io::Result<Active> {
        let path = self.path(first.0);
        // One that holds nothing but the remains of a failed beginning.
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all_at(&segment::header(first), 0)?;
        self.segments.insert(first.0, Segment::default());
        self.unsynced.push(Arc::clone(&self.folder_file));
        Ok(Active { first: first.0, file: Arc::new(file), length: HEADER as u64 })
    }

    /// Ends the segment that is written to; the next append begins another.
    pub(super) fn roll(&mut self) {
        self.active = None;
    }

    /// Reads a record back.
    pub(super) fn read(&mut self, id: RecordId, place: Place) -> io::Result<Record> {
        let mut bytes = vec![0; usize::try_from(place.length).unwrap_or(0)];
        match &self.active {
            Some(active) if active.first == place.segment => {
                active.file.read_exact_at(&mut bytes, place.offset)?;
            }
            _ => {
                if self.reader.as_ref().is_none_or(|(segment, _)| *segment != place.segment) {
                    self.reader = Some((place.segment, File::open(self.path(place.segment))?));
                }
                if let Some((_, file)) = &self.reader {
                    file.read_exact_at(&mut bytes, place.offset)?;
                }
            }
        }
        match segment::decode(&bytes) {
            Some((stored, _)) if stored.id == id => Ok(stored.record),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// A record that could not be read: its file is kept aside when its others are done with.
    pub(super) fn mark_damaged(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.is_damaged = true;
        }
    }

    /// A record is no longer wanted.
    pub(super) fn release(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.wanted = segment.wanted.saturating_sub(1);
        }
    }

    /// Moves the cursor, and then removes the segments that nobody wants.
    pub(super) fn advance(&mut self, mark: Mark) -> io::Result<()> {
        if mark != self.cursor.mark() {
            self.cursor.advance(mark)?;
        }
        let active = self.active.as_ref().map(|active| active.first);
        let is_done = |(first, segment): &(&u64, &Segment)| segment.wanted == 0 && Some(**first) != active;
        let done: Vec<_> = self.segments.iter().filter(is_done).map(|(first, _)| *first).collect();
        for first in done {
            let Some(segment) = self.segments.remove(&first) else { continue };
            let path = self.path(first);
            let removed =
                if segment.is_damaged { fs::rename(&path, aside(&path)) } else { fs::remove_file(&path) };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a file of the outbox could not be removed");
            }
            self.reader.take_if(|(open, _)| *open == first);
        }
        Ok(())
    }

    /// Files that hold what no sync was asked for yet. The caller asks.
    pub(super) fn take_unsynced(&mut self) -> Vec<Arc<File>> {
        std::mem::take(&mut self.unsynced)
    }

    /// The files that say how far the log is done with.
    pub(super) fn books(&self) -> Vec<Arc<File>> {
        vec![self.cursor.file(), Arc::clone(&self.folder_file)]
    }

    pub(super) const fn mark(&self) -> Mark {
        self.cursor.mark()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    fn path(&self, first: u64) -> PathBuf {
        self.folder.join(format!("{first:016x}.log"))
    }
}

impl Opened {
    /// Takes in the segment `first`, whose ids must be above `last`; returns the last id so far.
    fn recover(
        &mut self,
        first: u64,
        head: RecordId,
        last: Option<RecordId>,
    ) -> io::Result<Option<RecordId>> {
        let path = self.log.path(first);
        let bytes = match fs::symlink_metadata(&path)? {
            file if !file.is_file() => Err(io::ErrorKind::InvalidInput.into()),
            file if file.len() > LARGEST_FILE => Err(io::ErrorKind::FileTooLarge.into()),
            _ => fs::read(&path),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a file of the outbox cannot be read and is set aside");
                self.note_damage(&path);
                fs::rename(&path, aside(&path))?;
                return Ok(last);
            }
        };
        let scan = segment::scan(&bytes, RecordId(first), last);
        let lost = bytes.len() - scan.good;
        match scan.end {
            End::Clean => {}
            End::Torn if scan.records.is_empty() => {}
            End::Torn => {
                tracing::warn!(path = %path.display(), lost, "the last write to the outbox was interrupted");
                cut(&path, scan.good)?;
            }
            End::Damaged => {
                tracing::error!(
                    path = %path.display(), aside = %aside(&path).display(), lost,
                    "a file of the outbox is damaged: what follows the damage is lost, the file is kept aside"
                );
                self.note_damage(&path);
                if let Err(error) = fs::copy(&path, aside(&path)) {
                    tracing::warn!(path = %path.display(), %error, "the damaged file could not be kept");
                }
                cut(&path, scan.good)?;
            }
        }
        let new_last = scan.records.last().map(|(stored, ..)| stored.id).max(last);
        if let Some(RecordId(last)) = new_last {
            self.next = self.next.max(RecordId(last.saturating_add(1)));
        }
        let before = self.left.len();
        for (Stored { id, stored_ms, record }, offset, length) in scan.records {
            if id < head {
                continue;
            }
            let place = Place { segment: first, offset: offset as u64, length: length as u64 };
            let cost = record.cost();
            self.left.push(Left { id, stored_ms, topic: record.topic, retain: record.retain, cost, place });
        }
        // Without a record it goes with the first move of the cursor.
        let wanted = self.left.len() - before;
        if wanted > 0 {
            // A killed process may have left it in the page cache alone.
            self.log.unsynced.push(Arc::new(File::open(&path)?));
        }
        self.log.segments.insert(first, Segment { wanted, is_damaged: false });
        Ok(new_last)
    }

    fn note_damage(&mut self, path: &Path) {
        self.damaged += 1;
        self.asides.push(aside(path));
    }
}

fn first_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".log")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("damaged")
}

fn cut(path: &Path, length: usize) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length as u64)?;
    file.sync_data()
}
