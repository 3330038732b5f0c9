//! One simulated meter: what all its connections share.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use super::config::MeterConfig;
use super::faults::StaleAssociation;
use super::model::{Model, Viewer};
use crate::security::MemoryCounterStore;
use crate::wire::data::Data;
use crate::wire::xdlms::{AttributeDescriptor, DataAccessResult, MethodDescriptor, SelectiveAccess};

/// A meter, served on any number of connections at once.
pub struct Meter {
    config: MeterConfig,
    model: Mutex<Model>,
    /// The meter's own invocation counters.
    counters: MemoryCounterStore,
    reads: AtomicU32,
    ciphered_replies: AtomicU32,
    replies: AtomicU32,
    /// Until when an association that nobody ended keeps others out.
    stale: Mutex<Option<Instant>>,
}

impl Meter {
    /// A meter that has just been switched on.
    #[must_use]
    pub fn new(config: MeterConfig) -> Self {
        let mut model = config.preset.model(&config);
        if let Some(security) = &config.security {
            model.accept_client_counter(security.client_counter);
        }
        Self {
            config,
            model: Mutex::new(model),
            counters: MemoryCounterStore::default(),
            reads: AtomicU32::new(0),
            ciphered_replies: AtomicU32::new(0),
            replies: AtomicU32::new(0),
            stale: Mutex::new(None),
        }
    }

    /// What it was made from.
    #[must_use]
    pub const fn config(&self) -> &MeterConfig {
        &self.config
    }

    /// The meter's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.config.time)()
    }

    /// Its objects.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counters(&self) -> MemoryCounterStore {
        self.counters.clone()
    }

    /// Appends the value of an attribute.
    pub(super) fn read(
        &self,
        viewer: &Viewer,
        attribute: &AttributeDescriptor,
        selection: Option<&SelectiveAccess>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        let busy_first = self.config.faults.busy_first;
        if busy_first > 0 && self.reads.fetch_add(1, Ordering::Relaxed) < busy_first {
            return Err(DataAccessResult::TemporaryFailure);
        }
        self.model().read(self.now(), viewer, attribute, selection, out)
    }

    /// Writes an attribute.
    pub(super) fn write(
        &self,
        viewer: &Viewer,
        attribute: &AttributeDescriptor,
        selection: Option<&SelectiveAccess>,
        data: Data,
    ) -> DataAccessResult {
        let written = self.model().write(self.now(), viewer, attribute, selection, data);
        written.err().unwrap_or(DataAccessResult::Success)
    }

    /// Invokes a method.
    pub(super) fn invoke(
        &self,
        viewer: &Viewer,
        method: &MethodDescriptor,
        parameter: Option<&Data>,
    ) -> Result<Option<Data>, DataAccessResult> {
        self.model().invoke(self.now(), viewer, method, parameter)
    }

    /// Counts a ciphered reply, from 1.
    pub(super) fn count_ciphered_reply(&self) -> u32 {
        self.ciphered_replies.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Counts a reply, from 1.
    pub fn count_reply(&self) -> u32 {
        self.replies.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Begins to count replies anew.
    pub fn forget_replies(&self) {
        self.replies.store(0, Ordering::Relaxed);
    }

    /// Whether an association that nobody ended keeps others out.
    pub(super) fn is_taken(&self, now: Instant) -> bool {
        self.stale().is_some_and(|until| now < until)
    }

    /// Takes note that a connection broke with its association open.
    pub(super) fn abandon(&self, now: Instant) {
        if let StaleAssociation::Lingers(time) = self.config.faults.stale_association {
            *self.stale() = now.checked_add(time);
        }
    }

    /// Lets others in again.
    pub(super) fn disconnect(&self) {
        *self.stale() = None;
    }

    fn stale(&self) -> MutexGuard<'_, Option<Instant>> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Meter").field(&self.config).finish()
    }
}
