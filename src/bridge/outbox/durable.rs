//! The outbox that survives the process: in memory while the broker keeps up, in the log when it does not, or always.
//!
//! | | [`Policy::Spill`] | [`Policy::Always`] |
//! |---|---|---|
//! | a record goes to the log | when the broker has not confirmed it for [`SPILL_AFTER`]; at once while the broker is away or the log is not empty; at the end | at the first commit |
//! | to the medium | within [`SYNC_EVERY`] of that, and at the end | at once, many records with one barrier |
//! | it is sent | whenever the broker takes it | once the medium has it |
//!
//! A disk that fails is no reason to stop: records then wait in memory, within the same limits, and the disk is tried
//! again every [`RETRY_AFTER`].

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::topics::Topic;
use super::cursor::Mark;
use super::log::{Log, Opened, Place};
use super::queue::Queue;
use super::stamp::Clock;
use super::syncer::Syncer;
use super::{AppendError, Condition, Depth, Limits, Outbox, Record, RecordId, Retain, StoreFault, Wake};

/// A broker that takes longer to confirm does not keep up. Above the round trip of a slow radio link, so that its
/// ordinary day does not wear the flash.
const SPILL_AFTER: Duration = Duration::from_secs(5);

/// The longest that what was spilled may be in the page cache alone.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The longest that the cursor may lag behind the acknowledgements.
const CURSOR_EVERY: Duration = Duration::from_secs(1);

/// The pause before a disk that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Records are written in pieces of about this cost.
const CHUNK: usize = 256 << 10;

/// When records go to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// When the broker is away or slow.
    Spill,
    /// Always, before they are sent.
    Always,
}

/// A bounded queue, the tail of which is in memory and the rest on disk.
pub struct DurableOutbox {
    queue: Queue<Item>,
    log: Log,
    syncer: Syncer,
    policy: Policy,
    pace: Pace,
    /// Records from here on are in memory alone.
    unwritten: RecordId,
    /// Since when the page cache holds what no sync was asked for.
    unsynced_since: Option<Instant>,
    cursor_at: Instant,
    fault: Option<Fault>,
    damaged: u64,
    recovered: Vec<(Topic, RecordId)>,
}

#[derive(Debug)]
enum Item {
    Memory(Record),
    Disk(Place),
}

/// Where appended records go under [`Policy::Spill`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// The broker keeps up.
    Memory,
    Disk,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    what: StoreFault,
    retry_at: Instant,
    trial: Trial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trial {
    Ahead,
    /// All is written again, and the medium has been asked.
    UnderWay,
}

impl DurableOutbox {
    /// Opens the store in `folder`, made if need be, with what a former run has left there.
    ///
    /// # Errors
    /// The folder cannot be read or written at all. Damaged files are no error: they are set aside.
    pub fn open(folder: &Path, policy: Policy, limits: Limits, now: Instant) -> io::Result<Self> {
        let segment_size = (limits.max_bytes / 16).clamp(64 << 10, 4 << 20) as u64;
        let Opened { log, left, next, damaged, .. } = Log::open(folder, segment_size)?;
        let mut queue = Queue::new(limits);
        queue.skip_to(next);
        let mut newest = HashMap::new();
        let clock = Clock::now(now);
        for record in left {
            let appended = clock.instant_of(record.stored_ms);
            queue.restore(record.id, record.cost, appended, Item::Disk(record.place));
            if record.retain == Retain::Retained {
                newest.insert(record.topic, record.id);
            }
        }
        let mut outbox = Self {
            pace: if queue.is_empty() { Pace::Memory } else { Pace::Disk },
            unwritten: queue.tail(),
            syncer: Syncer::default(),
            queue,
            log,
            policy,
            unsynced_since: None,
            cursor_at: now,
            fault: None,
            damaged,
            recovered: Vec::new(),
        };
        outbox.queue.expire(now, |item| release(&mut outbox.log, &item));
        let head = outbox.queue.head();
        outbox.recovered = newest.into_iter().filter(|(_, id)| *id >= head).collect();
        outbox.recovered.sort_unstable_by_key(|(_, id)| *id);
        let depth = outbox.depth(now);
        if depth.messages > 0 {
            let (messages, bytes) = (depth.messages, depth.bytes);
            tracing::info!(messages, bytes, "messages of the last run wait in the outbox");
        }
        outbox.log.advance(Mark { head, next: outbox.queue.tail() })?;
        outbox.sync()?;
        Ok(outbox)
    }

    fn is_write_due(&mut self, now: Instant) -> bool {
        let Some(oldest) = self.queue.since(self.unwritten).next().map(|entry| entry.appended) else {
            return false;
        };
        if oldest + SPILL_AFTER <= now {
            self.pace = Pace::Disk;
        }
        self.policy == Policy::Always || self.pace == Pace::Disk
    }

    /// Writes all that is in memory alone.
    fn write(&mut self, now: Instant) -> io::Result<()> {
        let clock = Clock::now(now);
        loop {
            let mut size = 0;
            let mut batch = Vec::new();
            for entry in self.queue.since(self.unwritten) {
                let Item::Memory(record) = &entry.item else { continue };
                batch.push((entry.id, clock.stamp(entry.appended), record));
                size += record.cost();
                if size >= CHUNK {
                    break;
                }
            }
            let Some(&(last, ..)) = batch.last() else { return Ok(()) };
            let places = self.log.append(&batch)?;
            for (entry, place) in self.queue.since_mut(self.unwritten).zip(places) {
                entry.item = Item::Disk(place);
            }
            self.unwritten = RecordId(last.0 + 1);
            self.unsynced_since.get_or_insert(now);
        }
    }

    /// Says in the log how far the broker is, and frees what is behind that.
    fn keep_books(&mut self, now: Instant) -> io::Result<()> {
        if self.log.is_empty() {
            return Ok(());
        }
        let mark = Mark { head: self.queue.head(), next: self.queue.tail() };
        let is_drained = self.queue.is_empty() && self.policy == Policy::Spill;
        if mark.head != self.log.mark().head || is_drained {
            self.cursor_at = now;
            if is_drained {
                self.log.roll();
            }
            self.log.advance(mark)?;
        }
        if is_drained {
            // The broker has everything: back to memory, and the medium is to know that nothing is left.
            self.pace = Pace::Memory;
            self.unsynced_since = None;
            self.log.take_unsynced();
            self.syncer.request(self.log.books(), self.unwritten)?;
        }
        Ok(())
    }

    /// Has the medium asked for what the page cache holds.
    fn sync(&mut self) -> io::Result<()> {
        self.unsynced_since = None;
        self.syncer.request(self.log.take_unsynced(), self.unwritten)
    }

    fn is_sync_due(&self, now: Instant) -> bool {
        let age = self.unsynced_since.map(|since| now.saturating_duration_since(since));
        age.is_some_and(|age| self.policy == Policy::Always || age >= SYNC_EVERY)
    }

    /// One round of everything that is due.
    fn work(&mut self, now: Instant) -> io::Result<()> {
        if let Some(kind) = self.syncer.take_fault() {
            // After a failed barrier the kernel takes the pages for clean: nothing more goes to that file.
            self.log.roll();
            return Err(kind.into());
        }
        match &self.fault {
            Some(fault) if now < fault.retry_at => {
                if fault.trial == Trial::UnderWay && self.syncer.is_idle() {
                    tracing::info!("the outbox is on disk again");
                    self.fault = None;
                }
                return Ok(());
            }
            Some(_) => {
                self.pace = Pace::Disk;
                self.write(now)?;
                self.keep_books(now)?;
                self.sync()?;
                self.syncer.request(self.log.books(), self.unwritten)?;
                if let Some(fault) = &mut self.fault {
                    (fault.retry_at, fault.trial) = (now + RETRY_AFTER, Trial::UnderWay);
                }
                return Ok(());
            }
            None => {}
        }
        if self.is_write_due(now) {
            self.write(now)?;
        }
        self.keep_books(now)?;
        if self.is_sync_due(now) {
            self.sync()?;
        }
        Ok(())
    }

    /// Remembers a fault of the disk. Only the first of a row is passed on.
    fn note(&mut self, outcome: io::Result<()>, now: Instant) -> io::Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        let fault = Fault { what: error.kind().into(), retry_at: now + RETRY_AFTER, trial: Trial::Ahead };
        match self.fault.replace(fault) {
            None => Err(error),
            Some(_) => Ok(()),
        }
    }
}

impl Outbox for DurableOutbox {
    fn append(&mut self, record: Record, now: Instant) -> Result<RecordId, AppendError> {
        let cost = record.cost();
        if record.topic.len() > usize::from(u16::MAX) {
            return Err(AppendError::TooLarge { cost });
        }
        self.queue.append(cost, Item::Memory(record), now, |item| release(&mut self.log, &item))
    }

    fn next(&mut self, now: Instant) -> Option<(RecordId, Record)> {
        self.queue.expire(now, |item| release(&mut self.log, &item));
        loop {
            let entry = self.queue.upcoming()?;
            let id = entry.id;
            let waits_for_disk = self.policy == Policy::Always && self.fault.is_none();
            if waits_for_disk && id >= self.syncer.durable() {
                return None;
            }
            let place = match &entry.item {
                Item::Memory(record) => {
                    let record = record.clone();
                    self.queue.hand_out();
                    return Some((id, record));
                }
                Item::Disk(place) => *place,
            };
            match self.log.read(id, place) {
                Ok(record) => {
                    self.queue.hand_out();
                    return Some((id, record));
                }
                Err(error) => {
                    tracing::error!(%error, id = id.0, "a message in the outbox cannot be read and is lost");
                    self.damaged += 1;
                    self.log.mark_damaged(place);
                    self.queue.lose(id);
                    self.log.release(place);
                }
            }
        }
    }

    fn rewind(&mut self) {
        self.queue.rewind();
        if self.queue.is_empty() && self.log.is_empty() {
            self.pace = Pace::Memory;
        }
    }

    fn acknowledge(&mut self, id: RecordId) {
        if let Some(item) = self.queue.remove(id) {
            release(&mut self.log, &item);
        }
    }

    fn commit(&mut self, now: Instant) -> io::Result<()> {
        let outcome = self.work(now);
        self.note(outcome, now)
    }

    fn commit_due(&self) -> Option<Instant> {
        let unwritten = self.queue.since(self.unwritten).next().map(|entry| entry.appended);
        if let Some(fault) = &self.fault {
            return Some(fault.retry_at);
        }
        let is_prompt = self.policy == Policy::Always || self.pace == Pace::Disk;
        let write = unwritten.map(|appended| if is_prompt { appended } else { appended + SPILL_AFTER });
        let sync = self.unsynced_since.map(|since| since + SYNC_EVERY);
        let lags = !self.log.is_empty() && self.queue.head() != self.log.mark().head;
        let cursor = lags.then(|| self.cursor_at + CURSOR_EVERY);
        [write, sync, cursor].into_iter().flatten().min()
    }

    fn save(&mut self, now: Instant) -> io::Result<()> {
        self.pace = Pace::Disk;
        self.commit(now)
    }

    fn close(&mut self, now: Instant) -> io::Result<()> {
        self.pace = Pace::Disk;
        let mut outcome = self.write(now).and_then(|()| self.keep_books(now)).and_then(|()| self.sync());
        if outcome.is_ok() && !self.log.is_empty() {
            outcome = self.syncer.request(self.log.books(), self.unwritten);
        }
        self.syncer.wait();
        let outcome = outcome.and(self.syncer.take_fault().map_or(Ok(()), |kind| Err(kind.into())));
        self.note(outcome, now)
    }

    fn wake_with(&mut self, wake: Wake) {
        self.syncer.wake_with(wake);
    }

    fn tail(&self) -> RecordId {
        self.queue.tail()
    }

    fn safe(&self) -> RecordId {
        self.syncer.safe(self.queue.head()).min(self.queue.tail())
    }

    fn has_room_to_spare(&self) -> bool {
        self.queue.has_room_to_spare()
    }

    fn depth(&self, now: Instant) -> Depth {
        self.queue.depth(now)
    }

    fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    fn condition(&self) -> Condition {
        Condition { degraded: self.fault.map(|fault| fault.what), damaged: self.damaged }
    }

    fn recovered(&self) -> Vec<(Topic, RecordId)> {
        self.recovered.clone()
    }
}

impl Drop for DurableOutbox {
    fn drop(&mut self) {
        if let Err(error) = self.close(Instant::now()) {
            tracing::error!(%error, "the outbox could not be made durable");
        }
    }
}

impl std::fmt::Debug for DurableOutbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DurableOutbox")
            .field("policy", &self.policy)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

fn release(log: &mut Log, item: &Item) {
    if let Item::Disk(place) = item {
        log.release(*place);
    }
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
