//! Where a meter answers: server addresses on HDLC and WRAPPER, serial-number formulas; and system titles.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::name::Name;
use super::scalar::{Complaint, Scalar, choice, deserialize_scalar, expected, inline_schema};
use crate::security::key::SystemTitle;
use crate::wire::hdlc::address::{self as hdlc, AddressError, AddressSize};

/// The largest logical or physical address on HDLC.
pub const HIGHEST_ADDRESS: u16 = 0x3FFF;

/// The server's address as it goes on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// HDLC (IEC 62056-46).
    Hdlc(hdlc::ServerAddress),
    /// WRAPPER (IEC 62056-47).
    Wrapper {
        /// The server's wPort.
        wport: u16,
    },
}

choice! {
    /// How the lower server address is found.
    ServerAddressType {
        /// It is given.
        Default => "default",
        /// It is computed from the meter's serial number.
        SerialNumber => "serial_number",
    }
}

/// The physical address, and whether it was given or computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Physical {
    /// `server_address`.
    Given(u16),
    /// Computed from the serial number.
    FromSerial(u16),
}

/// A formula from a serial number to a physical address: `SN % modulus + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SerialFormula {
    /// What the serial number is reduced by, at least 1.
    pub modulus: u64,
    /// What is added.
    pub offset: u64,
}

/// A system title as written: 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TitleText(pub SystemTitle);

impl ServerAddress {
    /// The HDLC address for a logical address (0: not given) and a physical one, in the smallest size that fits,
    /// or in `forced`.
    ///
    /// # Errors
    /// If the addresses don't fit the size asked for.
    pub fn hdlc(logical: u16, physical: Physical, forced: Option<AddressSize>) -> Result<Self, AddressError> {
        match (physical, forced) {
            (Physical::Given(physical), _) => hdlc::ServerAddress::new(logical, Some(physical), forced),
            // A computed address is the lower part of a longer one, which needs an upper part.
            (Physical::FromSerial(physical), Some(_)) => {
                hdlc::ServerAddress::new(logical.max(1), Some(physical), forced)
            }
            (Physical::FromSerial(physical), None) => {
                hdlc::ServerAddress::by_serial_number(logical.max(1), physical)
            }
        }
        .map(Self::Hdlc)
    }
}

/// The client's own system title unless configured: `DLM` and the first 5 bytes of SHA-256 of the gateway's name.
#[must_use]
pub fn title_of_gateway(name: &Name) -> SystemTitle {
    let mut title = *b"DLM\0\0\0\0\0";
    let digest = Sha256::digest(name.as_str());
    for (octet, hashed) in title.iter_mut().skip(3).zip(digest.iter()) {
        *octet = *hashed;
    }
    SystemTitle(title)
}

impl SerialFormula {
    /// The usual one: `SN % 10000 + 1000`.
    pub const USUAL: Self = Self { modulus: 10_000, offset: 1_000 };

    /// The physical address of a meter, if it is one.
    #[must_use]
    pub fn apply(self, serial_number: u64) -> Option<u16> {
        let address = serial_number.checked_rem(self.modulus)?.checked_add(self.offset)?;
        u16::try_from(address).ok().filter(|address| *address <= HIGHEST_ADDRESS)
    }
}

/// A text that is no formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a formula like `SN % 10000 + 1000` is expected")]
pub struct FormulaError;

impl FromStr for SerialFormula {
    type Err = FormulaError;

    /// Reads `SN % a + b`, `SN % a` or `SN + b`; spaces don't matter.
    fn from_str(text: &str) -> Result<Self, FormulaError> {
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let rest = plain.strip_prefix("SN").or_else(|| plain.strip_prefix("sn")).ok_or(FormulaError)?;
        let (modulus, offset) = match rest.split_once('+') {
            Some((modulus, offset)) => (modulus, number(offset)?),
            None => (rest, 0),
        };
        let modulus = match modulus.strip_prefix('%') {
            Some(modulus) => number(modulus)?,
            None if modulus.is_empty() => u64::MAX,
            None => return Err(FormulaError),
        };
        if modulus == 0 { Err(FormulaError) } else { Ok(Self { modulus, offset }) }
    }
}

fn number(digits: &str) -> Result<u64, FormulaError> {
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().map_err(|_| FormulaError)
    } else {
        Err(FormulaError)
    }
}

impl fmt::Display for SerialFormula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SN")?;
        if self.modulus != u64::MAX {
            write!(f, " % {}", self.modulus)?;
        }
        write!(f, " + {}", self.offset)
    }
}

impl Serialize for SerialFormula {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for TitleText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

deserialize_scalar!(SerialFormula, "a formula like SN % 10000 + 1000", |scalar| match scalar {
    Scalar::Text(text) => text.parse().map_err(|error: FormulaError| Complaint::Owned(error.to_string())),
    Scalar::Integer(_) | Scalar::Switch(_) => Err(expected("a formula like SN % 10000 + 1000")),
});

deserialize_scalar!(TitleText, "a system title of 16 hex digits", |scalar| match scalar {
    Scalar::Text(text) => {
        SystemTitle::from_hex(text).map(Self).map_err(|_| expected("a system title of 16 hex digits"))
    }
    Scalar::Integer(_) | Scalar::Switch(_) => Err(expected("a system title of 16 hex digits, in quotes,")),
});

inline_schema!(SerialFormula, { "type": "string", "pattern": "^ *SN *(% *[0-9]+ *)?(\\+ *[0-9]+ *)?$" });
inline_schema!(TitleText, { "type": "string", "pattern": "^[0-9A-Fa-f]{16}$" });

#[cfg(test)]
mod tests {
    use super::*;

    fn line(address: Result<ServerAddress, AddressError>) -> Vec<u8> {
        match address.unwrap() {
            ServerAddress::Hdlc(address) => address.encode().as_bytes().to_vec(),
            ServerAddress::Wrapper { .. } => unreachable!("an HDLC address was asked for"),
        }
    }

    #[test]
    fn a_physical_address_alone_is_one_number() {
        let alone = |address, forced| ServerAddress::hdlc(0, Physical::Given(address), forced);
        assert_eq!(line(alone(1, None)), [0x03]);
        assert_eq!(line(alone(127, None)), [0xFF]);
        assert_eq!(line(alone(145, None)), [0x02, 0x23]);
        assert_eq!(line(alone(1, Some(AddressSize::Two))), [0x00, 0x03]);
        assert_eq!(line(alone(1, Some(AddressSize::Four))), [0x00, 0x00, 0x00, 0x03]);
        assert!(alone(128, Some(AddressSize::One)).is_err());
    }

    #[test]
    fn both_addresses_take_two_or_four_bytes() {
        let both =
            |logical, physical, forced| ServerAddress::hdlc(logical, Physical::Given(physical), forced);
        assert_eq!(line(both(1, 17, None)), [0x02, 0x23]);
        assert_eq!(line(both(1, 17, Some(AddressSize::Four))), [0x00, 0x02, 0x00, 0x23]);
        assert_eq!(line(both(1, 866, None)).len(), 4);
        assert!(both(1, 17, Some(AddressSize::One)).is_err());
        assert!(both(1, 128, Some(AddressSize::Two)).is_err());
    }

    #[test]
    fn a_serial_number_goes_in_four_bytes() {
        let address = SerialFormula::USUAL.apply(12_345_678).unwrap();
        assert_eq!(address, 6678);
        assert_eq!(
            line(ServerAddress::hdlc(0, Physical::FromSerial(address), None)),
            [0x00, 0x02, 0x68, 0x2D]
        );
        assert_eq!(line(ServerAddress::hdlc(17, Physical::FromSerial(5481), None)), [0x00, 0x22, 0x54, 0xD3]);
    }

    #[test]
    fn formulas_read_and_apply() {
        let read = |text: &str| text.parse::<SerialFormula>();
        assert_eq!(read("SN % 10000 + 1000"), Ok(SerialFormula::USUAL));
        assert_eq!(read("SN%100+16").unwrap().apply(12_345), Some(61));
        assert_eq!(read("SN % 100").unwrap().apply(12_345), Some(45));
        assert_eq!(read("SN + 16").unwrap().apply(4), Some(20));
        assert_eq!(read("SN").unwrap().apply(20_000), None);
        for bad in ["", "SN %", "SN % 0", "SN % 10 + ", "SN * 2", "10", "SN - 1", "SN % 10 + -1", "SN10"] {
            assert_eq!(read(bad), Err(FormulaError), "{bad}");
        }
        assert_eq!(SerialFormula::USUAL.to_string().parse(), Ok(SerialFormula::USUAL));
    }

    #[test]
    fn the_gateway_has_a_title_of_its_own() {
        // From sha256sum: 72e50e2d0b28….
        let title = title_of_gateway(&"substation-7".parse().unwrap());
        assert_eq!(title.to_string(), "444C4D72E50E2D0B");
        assert_ne!(title, title_of_gateway(&"substation-8".parse().unwrap()));
    }
}
