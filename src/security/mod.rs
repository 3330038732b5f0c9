//! L1: keys, ciphers, invocation counters and high level authentication. No clock, no I/O; entropy comes from the caller.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod cipher;
pub mod context;
pub mod control_byte;
pub mod counter;
pub mod envelope;
pub mod error;
pub mod hls;
pub mod key;
pub mod key_wrap;
pub mod settings;

pub use context::{Authentication, SecurityContext, SecurityHeader, Unprotected};
pub use control_byte::{KeySet, Protection, SecurityControl, SecuritySuite};
pub use counter::{CounterId, CounterStore, MemoryCounterStore, StoreError};
pub use envelope::{CipherKey, CipheringForm};
pub use error::SecurityError;
pub use hls::HlsInputs;
pub use key::{Key, KeyError, SystemTitle};
pub use settings::{ReplayCheck, SecuritySettings, SuiteCheck, TitleCheck, UnverifiedDecryption};
