//! Invocation counters of the meters: where they are kept, what is left of them, and what was received.

use crate::bridge::reading::status::CounterStatus;
use crate::client::FileCounterStore;
use crate::error::{Code, Layer, Report};
use crate::security::{
    CipherKey, CounterId, CounterStore, MemoryCounterStore, SecurityContext, SecuritySettings, StoreError,
    SystemTitle,
};

/// Where invocation counters are kept.
#[derive(Clone, Debug)]
pub enum Counters {
    /// For trials: forgotten at the end.
    Memory(MemoryCounterStore),
    /// In the state directory.
    File(FileCounterStore),
}

impl Counters {
    /// A store for one association.
    #[must_use]
    pub fn store(&self) -> Box<dyn CounterStore> {
        match self {
            Self::Memory(store) => Box::new(store.clone()),
            Self::File(store) => Box::new(store.clone()),
        }
    }

    /// Whether these keys were ever used to send. A file that cannot be read counts as used: its use fails.
    #[must_use]
    pub fn knows(&self, settings: &SecuritySettings) -> bool {
        !matches!(self.limit(&sending(settings)), Ok(None))
    }

    /// What is left of the counter of these keys; `session` knows better than the disk, where values are reserved in
    /// blocks. `None` where the counter was never used.
    #[must_use]
    pub fn status(
        &self,
        settings: &SecuritySettings,
        session: Option<&SecurityContext>,
    ) -> Option<CounterStatus> {
        let next = match session {
            Some(context) => context.next_send_counter(CipherKey::Global)?,
            None => self.limit(&sending(settings)).ok()??,
        };
        Some(CounterStatus { next, remaining: u32::MAX.saturating_sub(next) })
    }

    /// Holds what an association received from the meter against what was received before, for the strict replay check,
    /// and keeps the highest.
    ///
    /// # Errors
    /// `REPLAY`; `STORE_DAMAGED` where it cannot be known.
    pub fn check_received(
        &self,
        settings: &SecuritySettings,
        sender: SystemTitle,
        session: &SecurityContext,
    ) -> Result<(), Report> {
        let Some((first, last)) = session.received() else { return Ok(()) };
        let id = CounterId::receiving(&settings.block_cipher_key, sender);
        if let Some(lowest) = self.limit(&id).map_err(unusable)?.filter(|lowest| first < *lowest) {
            let message = format!(
                "the meter's invocation counter is {first}, and {} was accepted before",
                lowest.saturating_sub(1)
            );
            return Err(Report::new(Code::Replay, Layer::Cipher, message));
        }
        self.keep_received(settings, sender, last)
    }

    /// Keeps the highest counter accepted from the meter.
    ///
    /// # Errors
    /// `STORE_DAMAGED`.
    pub fn keep_received(
        &self,
        settings: &SecuritySettings,
        sender: SystemTitle,
        last: u32,
    ) -> Result<(), Report> {
        let Self::File(store) = self else { return Ok(()) };
        let id = CounterId::receiving(&settings.block_cipher_key, sender);
        store.raise(&id, last.saturating_add(1)).map_err(unusable)
    }

    fn limit(&self, id: &CounterId) -> Result<Option<u32>, StoreError> {
        match self {
            Self::Memory(_) => Ok(None),
            Self::File(store) => store.limit(id),
        }
    }
}

fn sending(settings: &SecuritySettings) -> CounterId {
    CounterId::sending(&settings.block_cipher_key, settings.own_title)
}

fn unusable(error: StoreError) -> Report {
    Report::new(Code::StoreDamaged, Layer::Store, format!("the invocation counter of the meter: {error}"))
}
