//! The conformance block: which services a partner offers (24 bits, bit 0 first on the wire).

use std::fmt;
use std::ops::{BitAnd, BitOr};

/// A set of services. Bit 0 of the standard is the most significant of the 24 low bits here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Conformance(pub u32);

macro_rules! bits {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Conformance {
            $($(#[$doc])* pub const $name: Self = Self(0x80_0000 >> $bit);)*

            const NAMED: &'static [(Self, &'static str)] = &[$((Self::$name, $text),)*];
        }
    };
}

bits! {
    /// Bit 0, reserved.
    RESERVED_ZERO = 0, "reserved-zero";
    /// Bit 1: general-glo, general-ded, general-ciphering, general-signing.
    GENERAL_PROTECTION = 1, "general-protection";
    /// Bit 2.
    GENERAL_BLOCK_TRANSFER = 2, "general-block-transfer";
    /// Bit 3 (SN).
    READ = 3, "read";
    /// Bit 4 (SN).
    WRITE = 4, "write";
    /// Bit 5 (SN).
    UNCONFIRMED_WRITE = 5, "unconfirmed-write";
    /// Bit 6; reserved in older editions.
    DELTA_VALUE_ENCODING = 6, "delta-value-encoding";
    /// Bit 7, reserved.
    RESERVED_SEVEN = 7, "reserved-seven";
    /// Bit 8: SET of attribute 0, all attributes at once.
    ATTRIBUTE0_SUPPORTED_WITH_SET = 8, "attribute0-supported-with-set";
    /// Bit 9: the priority bit of invoke-id-and-priority.
    PRIORITY_MGMT_SUPPORTED = 9, "priority-mgmt-supported";
    /// Bit 10: GET of attribute 0, all attributes at once.
    ATTRIBUTE0_SUPPORTED_WITH_GET = 10, "attribute0-supported-with-get";
    /// Bit 11.
    BLOCK_TRANSFER_WITH_GET_OR_READ = 11, "block-transfer-with-get-or-read";
    /// Bit 12.
    BLOCK_TRANSFER_WITH_SET_OR_WRITE = 12, "block-transfer-with-set-or-write";
    /// Bit 13.
    BLOCK_TRANSFER_WITH_ACTION = 13, "block-transfer-with-action";
    /// Bit 14: lists in one request.
    MULTIPLE_REFERENCES = 14, "multiple-references";
    /// Bit 15 (SN).
    INFORMATION_REPORT = 15, "information-report";
    /// Bit 16.
    DATA_NOTIFICATION = 16, "data-notification";
    /// Bit 17.
    ACCESS = 17, "access";
    /// Bit 18 (SN).
    PARAMETERIZED_ACCESS = 18, "parameterized-access";
    /// Bit 19 (LN).
    GET = 19, "get";
    /// Bit 20 (LN).
    SET = 20, "set";
    /// Bit 21 (LN).
    SELECTIVE_ACCESS = 21, "selective-access";
    /// Bit 22 (LN).
    EVENT_NOTIFICATION = 22, "event-notification";
    /// Bit 23 (LN).
    ACTION = 23, "action";
}

impl Conformance {
    /// No service.
    pub const NONE: Self = Self(0);
    /// What a client of logical names offers without general protection: `00 7E 1F`.
    pub const LN_PROPOSAL: Self = Self(0x00_7E1F);
    /// The same with general protection, general block transfer, data notification and access: `60 FE DF`.
    pub const LN_GENERAL_PROPOSAL: Self = Self(0x60_FEDF);
    /// What a client of short names offers: `1C 1B 20`.
    pub const SN_PROPOSAL: Self = Self(0x1C_1B20);

    /// Whether every service of `other` is in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The services that both sets have: what two partners agree on.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The services that either set has.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set without the services of `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The standard's names of the services in the set, in its order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.iter().filter(move |(bit, _)| self.contains(*bit)).map(|(_, name)| *name)
    }

    /// The service with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(_, text)| *text == name).map(|(bit, _)| *bit)
    }

    /// The three bytes of the block.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }

    /// The set with these three bytes.
    #[must_use]
    pub const fn from_bytes([a, b, c]: [u8; 3]) -> Self {
        Self(u32::from_be_bytes([0, a, b, c]))
    }
}

impl BitOr for Conformance {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitAnd for Conformance {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.intersection(other)
    }
}

impl fmt::Debug for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conformance({self})")
    }
}

impl fmt::Display for Conformance {
    /// The six hexadecimal digits of the block.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_the_standards_places() {
        assert_eq!(Conformance::GENERAL_PROTECTION.to_bytes(), [0x40, 0, 0]);
        assert_eq!(Conformance::ATTRIBUTE0_SUPPORTED_WITH_SET.to_bytes(), [0, 0x80, 0]);
        assert_eq!(Conformance::ACTION.to_bytes(), [0, 0, 1]);
        assert_eq!(Conformance::NAMED.len(), 24);
        let every = Conformance::NAMED.iter().fold(Conformance::NONE, |set, (bit, _)| set | *bit);
        assert_eq!(every, Conformance(0xFF_FFFF));
    }

    #[test]
    fn sets() {
        let agreed = Conformance::LN_PROPOSAL & Conformance::from_bytes([0, 0x50, 0x1F]);
        assert!(agreed.contains(Conformance::GET | Conformance::ACTION));
        assert!(!agreed.contains(Conformance::GET | Conformance::MULTIPLE_REFERENCES));
        assert_eq!(
            agreed.names().collect::<Vec<_>>(),
            [
                "priority-mgmt-supported",
                "block-transfer-with-get-or-read",
                "get",
                "set",
                "selective-access",
                "event-notification",
                "action"
            ]
        );
        assert_eq!(Conformance::from_name("get"), Some(Conformance::GET));
        assert_eq!(Conformance::LN_PROPOSAL.difference(Conformance(0x7E00)), Conformance(0x1F));
    }
}
