//! The security control byte SC: suite, protection, key set (Green Book 9.2.7.2.4).

use std::fmt;

use super::error::SecurityError;

/// A security suite: which ciphers and key lengths an association uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SecuritySuite {
    /// AES-GCM-128.
    #[default]
    Suite0,
    /// AES-GCM-128; the elliptic curve parts are not supported.
    Suite1,
    /// AES-GCM-256; the elliptic curve parts are not supported.
    Suite2,
}

impl SecuritySuite {
    /// The suite's number, as in the low nibble of SC.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Suite0 => 0,
            Self::Suite1 => 1,
            Self::Suite2 => 2,
        }
    }

    /// The suite of a number, where it is defined.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::Suite0),
            1 => Some(Self::Suite1),
            2 => Some(Self::Suite2),
            _ => None,
        }
    }

    /// Length in bytes of every symmetric key of the suite.
    #[must_use]
    pub const fn key_length(self) -> usize {
        match self {
            Self::Suite0 | Self::Suite1 => 16,
            Self::Suite2 => 32,
        }
    }
}

impl fmt::Display for SecuritySuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "suite {}", self.id())
    }
}

/// What covers an APDU; as a policy, what covers ours and must at least cover the peer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Nothing: plain APDUs.
    #[default]
    None,
    /// A tag over plain text.
    Authentication,
    /// Enciphered, without a tag.
    Encryption,
    /// Enciphered, with a tag.
    AuthenticatedEncryption,
}

impl Protection {
    /// Bits 4 and 5 of SC.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::None => 0x00,
            Self::Authentication => 0x10,
            Self::Encryption => 0x20,
            Self::AuthenticatedEncryption => 0x30,
        }
    }

    /// The protection that bits 4 and 5 of a byte tell.
    #[must_use]
    pub const fn from_bits(byte: u8) -> Self {
        match (byte & 0x10 != 0, byte & 0x20 != 0) {
            (false, false) => Self::None,
            (true, false) => Self::Authentication,
            (false, true) => Self::Encryption,
            (true, true) => Self::AuthenticatedEncryption,
        }
    }

    /// Whether a tag is present.
    #[must_use]
    pub const fn authenticates(self) -> bool {
        matches!(self, Self::Authentication | Self::AuthenticatedEncryption)
    }

    /// Whether the text is enciphered.
    #[must_use]
    pub const fn encrypts(self) -> bool {
        matches!(self, Self::Encryption | Self::AuthenticatedEncryption)
    }

    /// Whether this is at least as much as `required`.
    #[must_use]
    pub const fn covers(self, required: Self) -> bool {
        self.bits() & required.bits() == required.bits()
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no protection",
            Self::Authentication => "authentication",
            Self::Encryption => "encryption",
            Self::AuthenticatedEncryption => "authentication and encryption",
        })
    }
}

/// Whose global key protects (bit 6 of SC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeySet {
    /// The unicast key of one meter.
    #[default]
    Unicast,
    /// The broadcast key of many.
    Broadcast,
}

/// A decoded security control byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SecurityControl {
    /// Bits 3..0.
    pub suite: SecuritySuite,
    /// Bits 4 and 5.
    pub protection: Protection,
    /// Bit 6.
    pub key_set: KeySet,
}

impl SecurityControl {
    const BROADCAST: u8 = 0x40;
    const COMPRESSION: u8 = 0x80;

    /// Decodes SC.
    ///
    /// # Errors
    /// `UnknownSuite`, `CompressionUnsupported`.
    pub const fn from_byte(byte: u8) -> Result<Self, SecurityError> {
        let Some(suite) = SecuritySuite::from_id(byte & 0x0F) else {
            return Err(SecurityError::UnknownSuite(byte & 0x0F));
        };
        if byte & Self::COMPRESSION != 0 {
            return Err(SecurityError::CompressionUnsupported);
        }
        let key_set = if byte & Self::BROADCAST == 0 { KeySet::Unicast } else { KeySet::Broadcast };
        Ok(Self { suite, protection: Protection::from_bits(byte), key_set })
    }

    /// Encodes SC.
    #[must_use]
    pub const fn byte(self) -> u8 {
        let key_set = match self.key_set {
            KeySet::Unicast => 0,
            KeySet::Broadcast => Self::BROADCAST,
        };
        self.suite.id() | self.protection.bits() | key_set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_decodes_to_itself_or_a_named_error() {
        for byte in 0..=u8::MAX {
            match SecurityControl::from_byte(byte) {
                Ok(control) => assert_eq!(control.byte(), byte),
                Err(SecurityError::UnknownSuite(suite)) => assert!(suite > 2 && suite == byte & 0x0F),
                Err(error) => {
                    assert_eq!(error, SecurityError::CompressionUnsupported);
                    assert!(byte & 0x80 != 0);
                }
            }
        }
    }

    #[test]
    fn covers_is_a_superset_of_bits() {
        use Protection::{AuthenticatedEncryption, Authentication, Encryption, None};
        for protection in [None, Authentication, Encryption, AuthenticatedEncryption] {
            assert!(protection.covers(None) && protection.covers(protection));
            assert!(AuthenticatedEncryption.covers(protection));
        }
        assert!(!Authentication.covers(Encryption) && !Encryption.covers(Authentication));
        assert!(!Encryption.covers(AuthenticatedEncryption) && !None.covers(Authentication));
    }
}
