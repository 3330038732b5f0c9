//! What can go wrong with protection, and how it is published. No variant can hold a byte of a secret.

use std::io::ErrorKind;

use super::control_byte::{Protection, SecuritySuite};
use super::counter::StoreError;
use super::envelope::CipherKey;
use super::key::SystemTitle;
use crate::error::{Code, Layer, Report};
use crate::wire::acse::Mechanism;
use crate::wire::error::WireError;

/// A failure to protect, unprotect or authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// The ciphered APDU is cut off, or its lengths contradict each other.
    #[error("ciphered APDU: {0}")]
    Wire(#[from] WireError),
    /// The APDU is too long for a length field.
    #[error("the APDU is too long to be ciphered")]
    TooLong,
    /// SC names a suite that the standard does not define.
    #[error("security suite {0} is not defined")]
    UnknownSuite(u8),
    /// The peer uses another suite than the association.
    #[error("the peer protects with security {received}, the association has {expected}")]
    SuiteMismatch {
        /// The association's.
        expected: SecuritySuite,
        /// The peer's.
        received: SecuritySuite,
    },
    /// SC announces V.44 compression.
    #[error("compressed APDUs are not supported")]
    CompressionUnsupported,
    /// general-ciphering (DD).
    #[error("general-ciphering is not supported")]
    GeneralCipheringUnsupported,
    /// general-signing (DF).
    #[error("general-signing is not supported")]
    GeneralSigningUnsupported,
    /// Less protection than the policy demands, or none at all.
    #[error("received with {received}, required is {required}")]
    Downgrade {
        /// What the policy demands.
        required: Protection,
        /// What came.
        received: Protection,
    },
    /// The sender's system title is in neither the APDU nor the association nor the configuration.
    #[error("the sender's system title is not known")]
    TitleMissing,
    /// A general form with the title of another sender than the association's peer.
    #[error("the APDU was sent by {received}, the association is with {expected}")]
    TitleMismatch {
        /// The peer of the association.
        expected: SystemTitle,
        /// The sender that the APDU names.
        received: SystemTitle,
    },
    /// The peer has our own system title, so that both sides would use the same nonces.
    #[error("the peer uses our own system title {0}")]
    TitleCollision(SystemTitle),
    /// A key that is needed is not configured.
    #[error("the {0} key is needed and not known")]
    KeyMissing(CipherKey),
    /// The authentication key is needed and not configured.
    #[error("the authentication key is needed and not known")]
    AuthenticationKeyMissing,
    /// A key of another length than the suite's.
    #[error("a key has {found} bytes, {suite} needs {}", suite.key_length())]
    KeyLength {
        /// The association's suite.
        suite: SecuritySuite,
        /// Length in bytes of the key given.
        found: usize,
    },
    /// An invocation counter that is not above the last accepted.
    #[error("invocation counter {received} is not above {last}, the last accepted")]
    Replay {
        /// What came.
        received: u32,
        /// The last accepted.
        last: u32,
    },
    /// The authentication tag does not match.
    #[error("the authentication tag does not match")]
    TagMismatch,
    /// Deciphered without a tag to check, the text does not begin as the outer form implies: most likely a wrong key.
    #[error("the deciphered APDU makes no sense")]
    Garbled,
    /// A verified text does not begin with the service that the outer form implies.
    #[error("the outer form announces service {expected:#04x}, inside is {received:#04x}")]
    ServiceMismatch {
        /// The tag that the outer form implies.
        expected: u8,
        /// The tag found.
        received: u8,
    },
    /// Every invocation counter of this key has been used.
    #[error("the invocation counter of the key is used up")]
    CounterExhausted,
    /// The invocation counters could not be reserved.
    #[error("invocation counter: {0}")]
    Store(#[from] StoreError),
    /// A wrapped key does not unwrap.
    #[error("the wrapped key does not match the key-encrypting key")]
    KeyUnwrap,
    /// High level authentication by this mechanism is not supported.
    #[error("authentication by {0} is not supported")]
    UnsupportedMechanism(Mechanism),
    /// A challenge of fewer than 8 or more than 64 bytes; the number is the length found.
    #[error("the peer's challenge has {0} bytes: 8 to 64 are allowed")]
    ChallengeLength(usize),
    /// The peer sent our own challenge back, so that our answer would be its proof.
    #[error("the peer returned our own challenge")]
    ChallengeReflected,
    /// The peer's proof is wrong: it does not know the secret, or another one.
    #[error("the peer's proof of high level authentication is wrong")]
    ProofMismatch,
    /// The mechanism works on system titles or keys, and there is no security context.
    #[error("{0} needs keys and system titles")]
    ContextMissing(Mechanism),
}

impl SecurityError {
    /// The published form.
    #[must_use]
    pub fn report(&self) -> Report {
        let (code, hint) = self.code_and_hint();
        let layer = match self {
            Self::Store(_) => Layer::Store,
            Self::UnsupportedMechanism(_)
            | Self::ChallengeLength(_)
            | Self::ChallengeReflected
            | Self::ProofMismatch
            | Self::ContextMissing(_) => Layer::Hls,
            _ => Layer::Cipher,
        };
        let report = Report::new(code, layer, self.to_string());
        match hint {
            Some(hint) => report.with_hint(hint),
            None => report,
        }
    }

    const fn code_and_hint(&self) -> (Code, Option<&'static str>) {
        match self {
            Self::Wire(_) | Self::TooLong | Self::UnknownSuite(_) | Self::ServiceMismatch { .. } => {
                (Code::Decode, None)
            }
            Self::CompressionUnsupported => {
                (Code::Decode, Some("switch compression off in the meter's security setup"))
            }
            Self::GeneralCipheringUnsupported | Self::GeneralSigningUnsupported => {
                (Code::Decode, Some("have the meter use service-specific or general-glo ciphering"))
            }
            Self::SuiteMismatch { .. } => (Code::Downgrade, Some("set security_suite to the meter's suite")),
            Self::Downgrade { .. } => (Code::Downgrade, None),
            Self::TitleMissing => {
                (Code::CipherSystemTitle, Some("set server_system_title: the meter did not send its title"))
            }
            Self::TitleCollision(_) => (
                Code::CipherSystemTitle,
                Some("system_title and server_system_title must differ: change system_title"),
            ),
            Self::TitleMismatch { .. } => (Code::CipherSystemTitle, None),
            Self::KeyMissing(_) | Self::AuthenticationKeyMissing => {
                (Code::CipherKey, Some("configure the missing key"))
            }
            Self::KeyLength { .. } => (
                Code::CipherKey,
                Some(
                    "suites 0 and 1 take keys of 32 hexadecimal digits, suite 2 of 64: check security_suite",
                ),
            ),
            Self::Garbled => (
                Code::CipherKey,
                Some("check block_cipher_key and the system titles: most likely a wrong key"),
            ),
            Self::KeyUnwrap => (Code::CipherKey, Some("check the key-encrypting key (master key)")),
            Self::UnsupportedMechanism(_) => (
                Code::AuthHls,
                Some(
                    "use another access_security: none, low, high, high_md5, high_sha1, high_gmac or high_sha256",
                ),
            ),
            Self::ContextMissing(_) => {
                (Code::AuthHls, Some("configure authentication_key, block_cipher_key and the system titles"))
            }
            Self::ChallengeReflected => {
                (Code::AuthHls, Some("the peer does not prove that it knows the secret: is it the meter?"))
            }
            Self::ChallengeLength(_) | Self::ProofMismatch => (Code::AuthHls, None),
            Self::Replay { .. } => (Code::Replay, None),
            Self::TagMismatch => (
                Code::CipherTag,
                Some("check authentication_key and block_cipher_key (swapped?) and the meter's system title"),
            ),
            Self::CounterExhausted => {
                (Code::CipherIc, Some("the key has no counter values left: change the key in the meter"))
            }
            Self::Store(StoreError::Damaged) => (
                Code::StoreDamaged,
                Some(
                    "the counter file is damaged: remove it only if the counter is read from the meter (invocation_counter)",
                ),
            ),
            Self::Store(StoreError::Io(ErrorKind::StorageFull)) => {
                (Code::StoreFull, Some("free space where state_dir is"))
            }
            Self::Store(StoreError::Io(_)) => {
                (Code::StoreDamaged, Some("check that state_dir is writable and has space"))
            }
        }
    }
}
