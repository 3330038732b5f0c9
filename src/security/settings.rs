//! What an association's protection is made of: keys, titles, and what is demanded of the peer.

use super::control_byte::{Protection, SecuritySuite};
use super::envelope::CipheringForm;
use super::key::{Key, SystemTitle};

/// What an association's protection is made of.
#[derive(Clone, Debug)]
pub struct SecuritySettings {
    /// The security suite.
    pub suite: SecuritySuite,
    /// What covers our APDUs, and must at least cover the peer's.
    pub protection: Protection,
    /// Our system title.
    pub own_title: SystemTitle,
    /// The peer's, where it is known beforehand; else the AARE or the first verified general-glo APDU tells it.
    pub peer_title: Option<SystemTitle>,
    /// The global unicast encryption key (GUEK).
    pub block_cipher_key: Key,
    /// The global broadcast encryption key (GBEK), for received broadcasts.
    pub broadcast_key: Option<Key>,
    /// The authentication key (GAK).
    pub authentication_key: Option<Key>,
    /// The dedicated key, used once [`SecurityContext::open`](super::SecurityContext::open) has been called.
    pub dedicated_key: Option<Key>,
    /// The form in which we send.
    pub form: CipheringForm,
    /// What to hold against received invocation counters.
    pub replay_check: ReplayCheck,
    /// What to do with tags that cannot be checked.
    pub unverified_decryption: UnverifiedDecryption,
    /// What to do with a general form that names another sender.
    pub title_check: TitleCheck,
    /// What to do with a peer that uses another suite.
    pub suite_check: SuiteCheck,
}

impl SecuritySettings {
    /// Settings with one key, no protection and the strictest checks that fit every association.
    #[must_use]
    pub fn new(suite: SecuritySuite, own_title: SystemTitle, block_cipher_key: Key) -> Self {
        Self {
            suite,
            protection: Protection::None,
            own_title,
            peer_title: None,
            block_cipher_key,
            broadcast_key: None,
            authentication_key: None,
            dedicated_key: None,
            form: CipheringForm::default(),
            replay_check: ReplayCheck::default(),
            unverified_decryption: UnverifiedDecryption::default(),
            title_check: TitleCheck::default(),
            suite_check: SuiteCheck::default(),
        }
    }
}

/// What is held against a received invocation counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplayCheck {
    /// Counters rise within one association.
    #[default]
    Association,
    /// Counters of the global key also stay above the last one accepted in earlier associations.
    Strict {
        /// See [`SecurityContext::last_received`](super::SecurityContext::last_received).
        last_received: Option<u32>,
    },
    /// Nothing.
    Off,
}

/// What to do with a tag that cannot be checked, because the authentication key is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnverifiedDecryption {
    /// Refuse the APDU.
    #[default]
    Refuse,
    /// Decipher it and mark it as not authenticated: for pushes of meters whose operator gives out one key only.
    Allow,
}

/// What to do with a general form whose sender is not the association's peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TitleCheck {
    /// Refuse the APDU.
    #[default]
    Strict,
    /// Decipher it with the title that it names; [`SecurityHeader::sender`](super::SecurityHeader::sender) tells.
    Tolerant,
}

/// What to do with a peer that uses another suite than the association.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SuiteCheck {
    /// Refuse the APDU.
    #[default]
    Exact,
    /// Accept a suite with keys of the same length: for pushes of meters that announce suite 1 with suite 0 keys.
    KeyLength,
}
