//! Invocation counters: never the same value twice under one key and title, and nothing old accepted (Green Book 9.2.4.8.3.4).

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::error::SecurityError;
use super::key::{Key, SystemTitle};

/// Names a counter without telling its key: a truncated hash of purpose, key and sender's system title.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CounterId([u8; 16]);

impl CounterId {
    /// The counter of what `sender` sends under `key`.
    #[must_use]
    pub fn sending(key: &Key, sender: SystemTitle) -> Self {
        Self::derive(b"dlms2mqtt invocation counter, sending", key, sender)
    }

    /// The highest counter accepted from `sender` under `key`.
    #[must_use]
    pub fn receiving(key: &Key, sender: SystemTitle) -> Self {
        Self::derive(b"dlms2mqtt invocation counter, receiving", key, sender)
    }

    fn derive(purpose: &[u8], key: &Key, sender: SystemTitle) -> Self {
        let digest = Sha256::new()
            .chain_update(Sha256::digest(purpose))
            .chain_update(sender.0)
            .chain_update(key.expose())
            .finalize();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CounterId({self})")
    }
}

/// Why counters could not be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The stored value is unreadable. It is not replaced: a lower counter would break the cipher.
    #[error("the stored value is damaged")]
    Damaged,
    /// The value could not be written.
    #[error("the value could not be stored: {0}")]
    Io(io::ErrorKind),
}

/// Where send counters are reserved. A value handed out is never handed out again, not even after a crash.
pub trait CounterStore: Send + Sync {
    /// Reserves up to `count` values (at least one) from `at_least` on, or from above everything reserved before,
    /// whichever is higher. An empty range says that the counter is used up; `u32::MAX` is never part of a range.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has been reserved then.
    fn reserve(&mut self, id: &CounterId, at_least: u32, count: u32) -> Result<Range<u32>, StoreError>;
}

/// Counters that live as long as the process: for tests and simulated meters. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryCounterStore(Arc<Mutex<HashMap<CounterId, u32>>>);

impl CounterStore for MemoryCounterStore {
    fn reserve(&mut self, id: &CounterId, at_least: u32, count: u32) -> Result<Range<u32>, StoreError> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = counters.entry(*id).or_default();
        let start = at_least.max(*next);
        *next = start.saturating_add(count.max(1));
        Ok(start..*next)
    }
}

/// The send counter of one key: takes values from reserved ranges, and reserves the next range when one is used up.
#[derive(Debug)]
pub struct SendCounter {
    id: CounterId,
    reserved: Range<u32>,
    /// The lowest value that may be used next; what a store hands out is held against it.
    floor: u32,
}

impl SendCounter {
    /// Small, so that a new association wastes little; a durable store reserves more at a time.
    const BATCH: u32 = 16;

    /// A counter that starts at 1, or higher where the store knows better.
    #[must_use]
    pub const fn new(id: CounterId) -> Self {
        Self { id, reserved: 0..0, floor: 1 }
    }

    /// Uses no value under `floor` any more. A lower floor than before changes nothing.
    pub fn raise(&mut self, floor: u32) {
        self.floor = self.floor.max(floor);
        self.reserved.start = self.reserved.start.max(self.floor);
    }

    /// The lowest value that may be taken next, as far as it is known without the store.
    #[must_use]
    pub fn next(&self) -> u32 {
        if self.reserved.is_empty() { self.floor } else { self.reserved.start }
    }

    /// Makes sure that the next [`Self::take`] needs no storage.
    ///
    /// # Errors
    /// `CounterExhausted`, `Store`.
    pub fn reserve(&mut self, store: &mut dyn CounterStore) -> Result<(), SecurityError> {
        if !self.reserved.is_empty() {
            return Ok(());
        }
        if self.floor == u32::MAX {
            return Err(SecurityError::CounterExhausted);
        }
        let reserved = store.reserve(&self.id, self.floor, Self::BATCH)?;
        if reserved.is_empty() {
            return Err(SecurityError::CounterExhausted);
        }
        if reserved.start < self.floor {
            return Err(StoreError::Damaged.into());
        }
        self.reserved = reserved;
        Ok(())
    }

    /// The next value, never to be seen again.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn take(&mut self, store: &mut dyn CounterStore) -> Result<u32, SecurityError> {
        self.reserve(store)?;
        let value = self.reserved.next().ok_or(SecurityError::CounterExhausted)?;
        self.floor = value.saturating_add(1);
        Ok(value)
    }
}

/// The highest counter accepted from the peer under one key.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReceiveCounter(Option<u32>);

impl ReceiveCounter {
    /// A counter that accepts only values above `last`.
    #[must_use]
    pub const fn above(last: Option<u32>) -> Self {
        Self(last)
    }

    /// The last accepted.
    #[must_use]
    pub const fn last(self) -> Option<u32> {
        self.0
    }

    /// Whether `received` is above everything accepted.
    ///
    /// # Errors
    /// `Replay`.
    pub const fn check(self, received: u32) -> Result<(), SecurityError> {
        match self.0 {
            Some(last) if received <= last => Err(SecurityError::Replay { received, last }),
            _ => Ok(()),
        }
    }

    /// Accepts a value whose APDU has been verified.
    pub fn accept(&mut self, received: u32) {
        self.0 = self.0.max(Some(received));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> CounterId {
        CounterId::sending(&Key::from_bytes(&[7; 16]).unwrap(), SystemTitle([1; 8]))
    }

    #[test]
    fn ids_tell_keys_titles_and_directions_apart() {
        let key = Key::from_bytes(&[7; 16]).unwrap();
        let other = Key::from_bytes(&[8; 16]).unwrap();
        let ids = [
            CounterId::sending(&key, SystemTitle([1; 8])),
            CounterId::sending(&key, SystemTitle([2; 8])),
            CounterId::sending(&other, SystemTitle([1; 8])),
            CounterId::receiving(&key, SystemTitle([1; 8])),
        ];
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id));
        }
        assert_eq!(id(), ids[0]);
        assert_eq!(id().to_string().len(), 32);
    }

    #[test]
    fn values_rise_over_batches_and_associations() {
        let mut store = MemoryCounterStore::default();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let mut counter = SendCounter::new(id());
            seen.extend((0..40).map(|_| counter.take(&mut store).unwrap()));
        }
        assert_eq!(seen[0], 1);
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn raising_skips_and_never_lowers() {
        let mut store = MemoryCounterStore::default();
        let mut counter = SendCounter::new(id());
        assert_eq!(counter.take(&mut store), Ok(1));
        counter.raise(10);
        assert_eq!(counter.take(&mut store), Ok(10));
        counter.raise(0x8D0D_C2D8);
        assert_eq!(counter.take(&mut store), Ok(0x8D0D_C2D8));
        counter.raise(5);
        assert_eq!(counter.take(&mut store), Ok(0x8D0D_C2D9));
        assert!(SendCounter::new(id()).take(&mut store).unwrap() > 0x8D0D_C2D9);
    }

    #[test]
    fn the_last_value_is_not_used() {
        let mut store = MemoryCounterStore::default();
        let mut counter = SendCounter::new(id());
        counter.raise(u32::MAX - 1);
        assert_eq!(counter.take(&mut store), Ok(u32::MAX - 1));
        assert_eq!(counter.take(&mut store), Err(SecurityError::CounterExhausted));
        assert_eq!(SendCounter::new(id()).take(&mut store), Err(SecurityError::CounterExhausted));
    }

    #[test]
    fn a_store_that_goes_back_is_refused() {
        struct Forgetful;
        impl CounterStore for Forgetful {
            fn reserve(&mut self, _: &CounterId, _: u32, _: u32) -> Result<Range<u32>, StoreError> {
                Ok(1..2)
            }
        }
        let mut counter = SendCounter::new(id());
        assert_eq!(counter.take(&mut Forgetful), Ok(1));
        assert_eq!(counter.take(&mut Forgetful), Err(SecurityError::Store(StoreError::Damaged)));
    }

    #[test]
    fn received_values_must_rise() {
        let mut counter = ReceiveCounter::default();
        assert_eq!(counter.check(0), Ok(()));
        counter.accept(5);
        assert_eq!(counter.check(5), Err(SecurityError::Replay { received: 5, last: 5 }));
        counter.accept(3);
        assert_eq!(counter.last(), Some(5));
        assert_eq!(counter.check(6), Ok(()));
    }
}
