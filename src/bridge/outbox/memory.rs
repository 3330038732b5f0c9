//! The outbox that lives in memory: nothing survives the process.

use std::io;
use std::time::Instant;

use super::super::topics::Topic;
use super::queue::Queue;
use super::{AppendError, Condition, Depth, Limits, Outbox, Record, RecordId, StoreFault};

/// A bounded queue in memory.
#[derive(Debug)]
pub struct MemoryOutbox {
    queue: Queue<Record>,
    condition: Condition,
}

impl MemoryOutbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { queue: Queue::new(limits), condition: Condition::default() }
    }

    /// An empty outbox that stands in for one on disk, which could not be opened.
    #[must_use]
    pub fn standing_in(limits: Limits, fault: StoreFault) -> Self {
        let condition = Condition { degraded: Some(fault), ..Condition::default() };
        Self { condition, ..Self::new(limits) }
    }
}

impl Outbox for MemoryOutbox {
    fn append(&mut self, record: Record, now: Instant) -> Result<RecordId, AppendError> {
        self.queue.append(record.cost(), record, now, drop)
    }

    fn next(&mut self, now: Instant) -> Option<(RecordId, Record)> {
        self.queue.expire(now, drop);
        let entry = self.queue.upcoming()?;
        let found = (entry.id, entry.item.clone());
        self.queue.hand_out();
        Some(found)
    }

    fn rewind(&mut self) {
        self.queue.rewind();
    }

    fn acknowledge(&mut self, id: RecordId) {
        self.queue.remove(id);
    }

    fn commit(&mut self, _now: Instant) -> io::Result<()> {
        Ok(())
    }

    fn tail(&self) -> RecordId {
        self.queue.tail()
    }

    fn safe(&self) -> RecordId {
        self.queue.head()
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
        self.condition
    }

    fn recovered(&self) -> Vec<(Topic, RecordId)> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::super::{Retain, WhenFull};
    use super::*;

    fn record(number: u32) -> Record {
        Record { topic: "t".into(), payload: Bytes::from(format!("{number:04}")), retain: Retain::Transient }
    }

    /// Cost of each of the above: 4 of payload, 1 of topic, 64 of bookkeeping.
    const COST: usize = 69;

    fn outbox(records: usize, when_full: WhenFull) -> MemoryOutbox {
        let limits = Limits { max_bytes: records * COST, max_age: Duration::from_secs(60), when_full };
        MemoryOutbox::new(limits)
    }

    fn drain(outbox: &mut MemoryOutbox, now: Instant) -> Vec<(u64, String)> {
        std::iter::from_fn(|| outbox.next(now))
            .map(|(id, record)| (id.0, String::from_utf8(record.payload.to_vec()).unwrap()))
            .collect()
    }

    fn ids(outbox: &mut MemoryOutbox, now: Instant) -> Vec<u64> {
        drain(outbox, now).into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn records_come_in_order_and_again_after_a_rewind_until_acknowledged() {
        let now = Instant::now();
        let mut outbox = outbox(10, WhenFull::DropOldest);
        for number in 0..5 {
            assert_eq!(outbox.tail(), RecordId(u64::from(number) + 1));
            assert_eq!(outbox.append(record(number), now), Ok(RecordId(u64::from(number) + 1)));
        }
        assert_eq!(drain(&mut outbox, now)[0], (1, "0000".to_owned()));
        assert_eq!(outbox.next(now), None);

        // Out of order, as a broker may, and twice, as a late PUBACK would.
        for id in [2, 1, 4, 4, 99] {
            outbox.acknowledge(RecordId(id));
        }
        assert_eq!(outbox.next(now), None);
        outbox.rewind();
        assert_eq!(ids(&mut outbox, now), [3, 5]);
        assert_eq!(outbox.depth(now).messages, 2);
        assert_eq!(outbox.depth(now).bytes, 2 * COST);
    }

    #[test]
    fn acknowledging_ahead_of_the_cursor_skips_the_record() {
        let now = Instant::now();
        let mut outbox = outbox(10, WhenFull::DropOldest);
        for number in 0..4 {
            outbox.append(record(number), now).unwrap();
        }
        assert_eq!(outbox.next(now).unwrap().0, RecordId(1));
        outbox.acknowledge(RecordId(3));
        outbox.acknowledge(RecordId(1));
        assert_eq!(ids(&mut outbox, now), [2, 4]);
    }

    #[test]
    fn drop_oldest_spares_what_is_on_its_way() {
        let now = Instant::now();
        let mut outbox = outbox(3, WhenFull::DropOldest);
        for number in 0..3 {
            outbox.append(record(number), now).unwrap();
        }
        assert_eq!(outbox.next(now).unwrap().0, RecordId(1));
        outbox.append(record(3), now).unwrap();
        assert_eq!(outbox.dropped(), 1);
        assert_eq!(ids(&mut outbox, now), [3, 4]);

        // All handed out: then the very oldest gives way, and its late acknowledgement does no harm.
        outbox.append(record(4), now).unwrap();
        outbox.acknowledge(RecordId(1));
        assert_eq!(outbox.dropped(), 2);
        assert_eq!(ids(&mut outbox, now), [5]);
        outbox.rewind();
        assert_eq!(ids(&mut outbox, now), [3, 4, 5]);
    }

    #[test]
    fn drop_newest_and_block_keep_what_is_there() {
        let now = Instant::now();
        let mut keeping = outbox(2, WhenFull::DropNewest);
        let mut blocking = outbox(2, WhenFull::Block);
        for number in 0..2 {
            keeping.append(record(number), now).unwrap();
            blocking.append(record(number), now).unwrap();
        }
        assert_eq!(keeping.append(record(2), now), Err(AppendError::Dropped));
        assert_eq!(keeping.dropped(), 1);
        assert_eq!(blocking.append(record(2), now), Err(AppendError::Full));
        assert_eq!(blocking.dropped(), 0);
        blocking.acknowledge(RecordId(1));
        assert_eq!(blocking.append(record(2), now), Ok(RecordId(3)));
    }

    #[test]
    fn a_record_larger_than_the_outbox_is_refused_and_costs_nobody_else() {
        let now = Instant::now();
        let mut outbox = outbox(2, WhenFull::DropOldest);
        outbox.append(record(0), now).unwrap();
        let giant = Record { payload: Bytes::from(vec![b' '; 200]), ..record(1) };
        assert_eq!(outbox.append(giant, now), Err(AppendError::TooLarge { cost: 265 }));
        assert_eq!(outbox.depth(now).messages, 1);
        assert_eq!(outbox.dropped(), 0);
    }

    #[test]
    fn records_past_their_age_are_dropped_and_counted() {
        let start = Instant::now();
        let mut outbox = outbox(10, WhenFull::Block);
        outbox.append(record(0), start).unwrap();
        outbox.append(record(1), start + Duration::from_secs(50)).unwrap();
        let later = start + Duration::from_secs(61);
        assert_eq!(outbox.depth(later).oldest, Some(Duration::from_secs(61)));
        assert_eq!(ids(&mut outbox, later), [2]);
        assert_eq!(outbox.dropped(), 1);
        assert_eq!(outbox.depth(later).oldest, Some(Duration::from_secs(11)));
    }

    #[test]
    fn any_run_of_operations_keeps_the_books() {
        // A small model in a plain vector against the real thing, over a fixed set of pseudo-random runs.
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let now = Instant::now();
            let mut outbox = outbox(1_000, WhenFull::Block);
            let mut model: Vec<(u64, bool)> = Vec::new();
            for number in 0..200 {
                match random.u8(0..4) {
                    0 => {
                        let id = outbox.append(record(number), now).unwrap();
                        model.push((id.0, false));
                    }
                    1 => {
                        let expected = model.iter_mut().find(|(_, handed_out)| !handed_out);
                        let id = expected.map(|entry| {
                            entry.1 = true;
                            entry.0
                        });
                        assert_eq!(outbox.next(now).map(|(id, _)| id.0), id);
                    }
                    2 if !model.is_empty() => {
                        let (id, _) = model.remove(random.usize(..model.len()));
                        outbox.acknowledge(RecordId(id));
                    }
                    _ if random.u8(0..10) == 0 => {
                        outbox.rewind();
                        model.iter_mut().for_each(|entry| entry.1 = false);
                    }
                    _ => {}
                }
                assert_eq!(outbox.depth(now).messages, model.len());
                assert_eq!(outbox.depth(now).bytes, model.len() * COST);
            }
        }
    }
}
