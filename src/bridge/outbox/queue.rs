//! The books of every store: which records wait, in which order, and which give way to the limits.

use std::collections::VecDeque;
use std::time::Instant;

use super::{AppendError, Depth, Limits, RecordId, WhenFull};

/// A bounded queue by rising id. What an item is, and where its record is kept, is its owner's business.
#[derive(Debug)]
pub(super) struct Queue<T> {
    limits: Limits,
    /// Gaps in the ids where records were acknowledged or dropped.
    entries: VecDeque<Entry<T>>,
    /// How many entries from the front were handed out since the last rewind.
    handed_out: usize,
    next_id: u64,
    bytes: usize,
    dropped: u64,
}

#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) id: RecordId,
    pub(super) appended: Instant,
    cost: usize,
    pub(super) item: T,
}

impl<T> Queue<T> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, entries: VecDeque::new(), handed_out: 0, next_id: 1, bytes: 0, dropped: 0 }
    }

    /// Puts back what a former run left, in rising order and before anything is appended.
    pub(super) fn restore(&mut self, id: RecordId, cost: usize, appended: Instant, item: T) {
        self.bytes += cost;
        self.skip_to(RecordId(id.0.saturating_add(1)));
        self.entries.push_back(Entry { id, appended, cost, item });
    }

    /// No id below `id` is given any more.
    pub(super) fn skip_to(&mut self, id: RecordId) {
        self.next_id = self.next_id.max(id.0);
    }

    /// Appends an item of `cost` after making room for it. What gives way is passed to `gone`.
    pub(super) fn append(
        &mut self,
        cost: usize,
        item: T,
        now: Instant,
        mut gone: impl FnMut(T),
    ) -> Result<RecordId, AppendError> {
        self.expire(now, &mut gone);
        self.make_room(cost, gone)?;
        let id = RecordId(self.next_id);
        self.next_id += 1;
        self.bytes += cost;
        self.entries.push_back(Entry { id, appended: now, cost, item });
        Ok(id)
    }

    /// Drops what is too old.
    pub(super) fn expire(&mut self, now: Instant, mut gone: impl FnMut(T)) {
        while let Some(front) = self.entries.front() {
            if now.saturating_duration_since(front.appended) <= self.limits.max_age {
                break;
            }
            self.dropped += 1;
            self.take(0).map(&mut gone);
        }
    }

    fn make_room(&mut self, cost: usize, mut gone: impl FnMut(T)) -> Result<(), AppendError> {
        if cost > self.limits.max_bytes {
            return Err(AppendError::TooLarge { cost });
        }
        while self.bytes + cost > self.limits.max_bytes {
            match self.limits.when_full {
                WhenFull::Block => return Err(AppendError::Full),
                WhenFull::DropNewest => {
                    self.dropped += 1;
                    return Err(AppendError::Dropped);
                }
                WhenFull::DropOldest => {
                    // What is on its way may well arrive, so it is the last to be given up.
                    let index = if self.handed_out < self.entries.len() { self.handed_out } else { 0 };
                    self.dropped += 1;
                    self.take(index).map(&mut gone);
                }
            }
        }
        Ok(())
    }

    /// The oldest entry that was not handed out.
    pub(super) fn upcoming(&self) -> Option<&Entry<T>> {
        self.entries.get(self.handed_out)
    }

    /// Counts [`Queue::upcoming`] as handed out.
    pub(super) fn hand_out(&mut self) {
        self.handed_out = self.entries.len().min(self.handed_out + 1);
    }

    pub(super) fn rewind(&mut self) {
        self.handed_out = 0;
    }

    /// Takes a record out because it has arrived.
    pub(super) fn remove(&mut self, id: RecordId) -> Option<T> {
        let index = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.take(index)
    }

    /// Takes a record out because it is lost.
    pub(super) fn lose(&mut self, id: RecordId) -> Option<T> {
        let item = self.remove(id)?;
        self.dropped += 1;
        Some(item)
    }

    fn take(&mut self, index: usize) -> Option<T> {
        let entry = self.entries.remove(index)?;
        self.bytes -= entry.cost;
        if index < self.handed_out {
            self.handed_out -= 1;
        }
        Some(entry.item)
    }

    /// The entries from `id` on.
    pub(super) fn since(&self, id: RecordId) -> impl Iterator<Item = &Entry<T>> {
        self.entries.range(self.entries.partition_point(|entry| entry.id < id)..)
    }

    /// The same, to be changed.
    pub(super) fn since_mut(&mut self, id: RecordId) -> impl Iterator<Item = &mut Entry<T>> {
        let from = self.entries.partition_point(|entry| entry.id < id);
        self.entries.range_mut(from..)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Everything below this has arrived or was given up.
    pub(super) fn head(&self) -> RecordId {
        self.entries.front().map_or(self.tail(), |entry| entry.id)
    }

    pub(super) fn tail(&self) -> RecordId {
        RecordId(self.next_id)
    }

    pub(super) fn has_room_to_spare(&self) -> bool {
        self.bytes < self.limits.max_bytes / 2
    }

    pub(super) fn depth(&self, now: Instant) -> Depth {
        Depth {
            messages: self.entries.len(),
            bytes: self.bytes,
            oldest: self.entries.front().map(|entry| now.saturating_duration_since(entry.appended)),
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
