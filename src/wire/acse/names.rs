//! What ACSE names by object identifier: application contexts and authentication mechanisms.

use std::fmt;

/// 2.16.756.5.8, the arc of the DLMS User Association, as OID content.
const DLMS_UA: [u8; 5] = [0x60, 0x85, 0x74, 0x05, 0x08];

/// How objects are referenced in an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Referencing {
    /// By class and logical name (OBIS).
    LogicalName,
    /// By 16-bit short name.
    ShortName,
}

/// The application context: referencing, and whether APDUs may be ciphered (Green Book, "COSEM application context").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApplicationContext {
    /// Logical names, no ciphering (1).
    LogicalName,
    /// Short names, no ciphering (2).
    ShortName,
    /// Logical names with ciphering (3).
    LogicalNameCiphered,
    /// Short names with ciphering (4).
    ShortNameCiphered,
}

impl ApplicationContext {
    /// Every context, by id.
    pub const ALL: [Self; 4] =
        [Self::LogicalName, Self::ShortName, Self::LogicalNameCiphered, Self::ShortNameCiphered];

    /// The last arc of the object identifier.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::LogicalName => 1,
            Self::ShortName => 2,
            Self::LogicalNameCiphered => 3,
            Self::ShortNameCiphered => 4,
        }
    }

    /// The context with this last arc.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|context| context.id() == id)
    }

    /// How objects are referenced.
    #[must_use]
    pub const fn referencing(self) -> Referencing {
        match self {
            Self::LogicalName | Self::LogicalNameCiphered => Referencing::LogicalName,
            Self::ShortName | Self::ShortNameCiphered => Referencing::ShortName,
        }
    }

    /// Whether APDUs may be ciphered.
    #[must_use]
    pub const fn is_ciphered(self) -> bool {
        matches!(self, Self::LogicalNameCiphered | Self::ShortNameCiphered)
    }

    /// The object identifier's content octets.
    #[must_use]
    pub const fn oid(self) -> [u8; 7] {
        oid(1, self.id())
    }

    /// The context with these content octets.
    #[must_use]
    pub fn from_oid(content: &[u8]) -> Option<Self> {
        last_arc(1, content).and_then(Self::from_id)
    }
}

impl fmt::Display for ApplicationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LogicalName => "LN without ciphering",
            Self::ShortName => "SN without ciphering",
            Self::LogicalNameCiphered => "LN with ciphering",
            Self::ShortNameCiphered => "SN with ciphering",
        })
    }
}

/// How the partners authenticate each other (Green Book, "COSEM authentication mechanism name").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// Lowest level: none (0).
    Lowest,
    /// Low level: a password (1).
    Low,
    /// High level, defined by the manufacturer (2).
    High,
    /// High level with MD5 (3).
    HighMd5,
    /// High level with SHA-1 (4).
    HighSha1,
    /// High level with GMAC (5).
    HighGmac,
    /// High level with SHA-256 (6).
    HighSha256,
    /// High level with ECDSA (7).
    HighEcdsa,
}

impl Mechanism {
    /// Every mechanism, by id.
    pub const ALL: [Self; 8] = [
        Self::Lowest,
        Self::Low,
        Self::High,
        Self::HighMd5,
        Self::HighSha1,
        Self::HighGmac,
        Self::HighSha256,
        Self::HighEcdsa,
    ];

    /// The last arc of the object identifier.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Lowest => 0,
            Self::Low => 1,
            Self::High => 2,
            Self::HighMd5 => 3,
            Self::HighSha1 => 4,
            Self::HighGmac => 5,
            Self::HighSha256 => 6,
            Self::HighEcdsa => 7,
        }
    }

    /// The mechanism with this last arc.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.id() == id)
    }

    /// Whether passes 3 and 4 must follow the association.
    #[must_use]
    pub const fn is_high(self) -> bool {
        self.id() >= 2
    }

    /// The object identifier's content octets.
    #[must_use]
    pub const fn oid(self) -> [u8; 7] {
        oid(2, self.id())
    }

    /// The mechanism with these content octets.
    #[must_use]
    pub fn from_oid(content: &[u8]) -> Option<Self> {
        last_arc(2, content).and_then(Self::from_id)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lowest => "lowest",
            Self::Low => "low",
            Self::High => "high",
            Self::HighMd5 => "high_md5",
            Self::HighSha1 => "high_sha1",
            Self::HighGmac => "high_gmac",
            Self::HighSha256 => "high_sha256",
            Self::HighEcdsa => "high_ecdsa",
        })
    }
}

const fn oid(family: u8, id: u8) -> [u8; 7] {
    let [a, b, c, d, e] = DLMS_UA;
    [a, b, c, d, e, family, id]
}

fn last_arc(family: u8, content: &[u8]) -> Option<u8> {
    match content.strip_prefix(&DLMS_UA)? {
        [kind, id] if *kind == family => Some(*id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers_both_ways() {
        for context in ApplicationContext::ALL {
            assert_eq!(ApplicationContext::from_oid(&context.oid()), Some(context));
        }
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_oid(&mechanism.oid()), Some(mechanism));
        }
        assert_eq!(ApplicationContext::LogicalNameCiphered.oid(), [0x60, 0x85, 0x74, 5, 8, 1, 3]);
        assert_eq!(ApplicationContext::from_oid(&Mechanism::Low.oid()), None);
        assert_eq!(Mechanism::from_oid(&[0x60, 0x85, 0x74, 5, 8, 2, 8]), None);
    }
}
