//! HDLC addresses: one octet for clients; one, two or four for servers.

use crate::wire::error::{WireError, WireErrorKind};

/// What does not fit into an address field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A client address over 127.
    #[error("an HDLC client address is 0 to 127")]
    ClientRange,
    /// A logical or physical address over 16383.
    #[error("an HDLC server address is 0 to 16383 in each half")]
    ServerRange,
    /// The size asked for is too small for the address.
    #[error("the server address does not fit in {} octets", .0.octets())]
    Size(AddressSize),
}

/// A client's service access point (SAP), 0 to 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddress(u8);

impl ClientAddress {
    /// The management client: usually with every right.
    pub const MANAGEMENT: Self = Self(1);
    /// The public client: no security, few objects.
    pub const PUBLIC: Self = Self(16);

    /// The client with this SAP.
    ///
    /// # Errors
    /// Over 127.
    pub const fn new(sap: u8) -> Result<Self, AddressError> {
        if sap < 0x80 { Ok(Self(sap)) } else { Err(AddressError::ClientRange) }
    }

    /// The SAP, 0 to 127.
    #[must_use]
    pub const fn sap(self) -> u8 {
        self.0
    }

    /// As it stands in a frame.
    #[must_use]
    pub const fn encode(self) -> RawAddress {
        RawAddress { octets: [self.0 << 1 | 1, 0, 0, 0], size: AddressSize::One }
    }

    /// From a frame; `None` where the address is longer than a client's.
    #[must_use]
    pub const fn decode(raw: RawAddress) -> Option<Self> {
        match raw {
            RawAddress { octets: [octet, ..], size: AddressSize::One } => Some(Self(octet >> 1)),
            RawAddress { .. } => None,
        }
    }
}

/// Octets of an address field. Three are illegal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressSize {
    /// The upper (logical) address alone, 7 bits.
    One,
    /// Upper and lower, 7 bits each.
    Two,
    /// Upper and lower, 14 bits each.
    Four,
}

impl AddressSize {
    /// The number of octets.
    #[must_use]
    pub const fn octets(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// The size with this number of octets.
    #[must_use]
    pub const fn from_octets(octets: u8) -> Option<Self> {
        match octets {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            4 => Some(Self::Four),
            _ => None,
        }
    }
}

/// A server's address: upper = logical device, lower = physical device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    upper: u16,
    lower: Option<u16>,
    size: AddressSize,
}

/// The greatest value of half an address.
const HALF_MAX: u16 = 0x3FFF;
/// The lower address that means "whoever is calling", in two and in four octets.
const CALLING: [u16; 2] = [0x7E, 0x3FFE];

impl ServerAddress {
    /// The address of a logical and a physical device as people configure it.
    ///
    /// Logical 0 means "not given": the physical address goes alone as one number, 0–127 in one
    /// octet, beyond in two (145 → `02 23`). Both given: two octets if both are under 128, else four.
    /// Without a physical address the logical one goes alone in one octet if it fits. A `size` overrides.
    ///
    /// # Errors
    /// A half over 16383, or more than the forced size can hold.
    pub fn new(logical: u16, physical: Option<u16>, size: Option<AddressSize>) -> Result<Self, AddressError> {
        if logical > HALF_MAX || physical.is_some_and(|physical| physical > HALF_MAX) {
            return Err(AddressError::ServerRange);
        }
        match (logical, physical) {
            (0, Some(number)) => Ok(Self::from_number(number, size)),
            (upper, lower) => Self::from_halves(upper, lower, size),
        }
        .and_then(Self::checked)
    }

    /// The address of a meter that is reached by its serial number: always four octets.
    ///
    /// # Errors
    /// A half over 16383.
    pub fn by_serial_number(logical: u16, physical: u16) -> Result<Self, AddressError> {
        Self { upper: logical, lower: Some(physical), size: AddressSize::Four }.checked()
    }

    fn from_number(number: u16, size: Option<AddressSize>) -> Self {
        let size = size.unwrap_or(if number < 0x80 { AddressSize::One } else { AddressSize::Two });
        match size {
            AddressSize::One => Self { upper: number, lower: None, size },
            AddressSize::Two => Self { upper: number >> 7, lower: Some(number & 0x7F), size },
            AddressSize::Four => Self { upper: 0, lower: Some(number), size },
        }
    }

    fn from_halves(upper: u16, lower: Option<u16>, size: Option<AddressSize>) -> Result<Self, AddressError> {
        let size = size.unwrap_or(match (upper, lower) {
            (0..0x80, None) => AddressSize::One,
            (0..0x80, Some(0..0x80)) => AddressSize::Two,
            _ => AddressSize::Four,
        });
        match (size, lower) {
            (AddressSize::One, None | Some(0)) => Ok(Self { upper, lower: None, size }),
            (AddressSize::One, Some(_)) => Err(AddressError::Size(size)),
            (AddressSize::Two | AddressSize::Four, lower) => {
                Ok(Self { upper, lower: Some(lower.unwrap_or(0)), size })
            }
        }
    }

    fn checked(self) -> Result<Self, AddressError> {
        let limit = if self.size == AddressSize::Four { HALF_MAX } else { 0x7F };
        if self.upper > HALF_MAX || self.lower.is_some_and(|lower| lower > HALF_MAX) {
            Err(AddressError::ServerRange)
        } else if self.upper > limit || self.lower.is_some_and(|lower| lower > limit) {
            Err(AddressError::Size(self.size))
        } else {
            Ok(self)
        }
    }

    /// The upper address: the logical device.
    #[must_use]
    pub const fn upper(self) -> u16 {
        self.upper
    }

    /// The lower address: the physical device. `None` in one octet.
    #[must_use]
    pub const fn lower(self) -> Option<u16> {
        self.lower
    }

    /// Octets on the wire.
    #[must_use]
    pub const fn size(self) -> AddressSize {
        self.size
    }

    /// Whether the lower address is "the calling device", which answers under its own address.
    #[must_use]
    pub fn is_calling_device(self) -> bool {
        match (self.size, self.lower) {
            (AddressSize::Two, Some(lower)) => lower == CALLING[0],
            (AddressSize::Four, Some(lower)) => lower == CALLING[1],
            _ => false,
        }
    }

    /// As it stands in a frame.
    #[must_use]
    pub fn encode(self) -> RawAddress {
        let [upper_high, upper_low] = septets(self.upper);
        let [lower_high, lower_low] = septets(self.lower.unwrap_or(0));
        let octets = match self.size {
            AddressSize::One => [upper_low | 1, 0, 0, 0],
            AddressSize::Two => [upper_low, lower_low | 1, 0, 0],
            AddressSize::Four => [upper_high, upper_low, lower_high, lower_low | 1],
        };
        RawAddress { octets, size: self.size }
    }

    /// From a frame.
    #[must_use]
    pub fn decode(raw: RawAddress) -> Self {
        let [a, b, c, d] = raw.octets.map(|octet| u16::from(octet >> 1));
        let (upper, lower) = match raw.size {
            AddressSize::One => (a, None),
            AddressSize::Two => (a, Some(b)),
            AddressSize::Four => (a << 7 | b, Some(c << 7 | d)),
        };
        Self { upper, lower, size: raw.size }
    }
}

/// The two 7-bit groups of 14 bits, each already in bits 7 to 1.
fn septets(half: u16) -> [u8; 2] {
    let [high, low] = (half << 1).to_be_bytes();
    [high << 1, low]
}

/// An address field as it stands in a frame: seven bits an octet, the last octet odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawAddress {
    octets: [u8; 4],
    size: AddressSize,
}

impl RawAddress {
    /// The field at the start of `bytes`.
    ///
    /// # Errors
    /// `Truncated` where the last octet is missing, `Invalid` where it takes three octets or more than four.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut octets = [0; 4];
        for (index, (slot, &octet)) in octets.iter_mut().zip(bytes).enumerate() {
            *slot = octet;
            if octet & 1 == 1 {
                let size = match index {
                    0 => AddressSize::One,
                    1 => AddressSize::Two,
                    3 => AddressSize::Four,
                    _ => return Err(WireErrorKind::Invalid("address size").at(0)),
                };
                return Ok(Self { octets, size });
            }
        }
        Err(if bytes.len() < 4 { WireErrorKind::Truncated } else { WireErrorKind::Invalid("address size") }
            .at(0))
    }

    /// The octets of the field.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..self.len()).unwrap_or_default()
    }

    /// The number of octets: 1, 2 or 4.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub const fn len(&self) -> usize {
        self.size.octets() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_of_configured_addresses() {
        use AddressSize::{Four, One, Two};
        for (logical, physical, size, bytes) in [
            (0, Some(1), None, &[0x03][..]),
            (0, Some(127), None, &[0xFF]),
            (0, Some(128), None, &[0x02, 0x01]),
            (0, Some(145), None, &[0x02, 0x23]),
            (0, Some(16383), None, &[0xFE, 0xFF]),
            (0, Some(1), Some(Two), &[0x00, 0x03]),
            (0, Some(1), Some(Four), &[0x00, 0x00, 0x00, 0x03]),
            (1, None, None, &[0x03]),
            (100, None, None, &[0xC9]),
            (1, Some(17), None, &[0x02, 0x23]),
            (1, Some(17), Some(Four), &[0x00, 0x02, 0x00, 0x23]),
            (1, Some(0), Some(One), &[0x03]),
            (1, Some(866), None, &[0x00, 0x02, 0x0C, 0xC5]),
            (200, None, None, &[0x02, 0x90, 0x00, 0x01]),
            (1, Some(16383), None, &[0x00, 0x02, 0xFE, 0xFF]),
        ] {
            let address = ServerAddress::new(logical, physical, size).unwrap();
            assert_eq!(address.encode().as_bytes(), bytes, "{logical}/{physical:?} {size:?}");
            let raw = RawAddress::parse(bytes).unwrap();
            assert_eq!(raw, address.encode());
            assert_eq!(ServerAddress::decode(raw), address);
        }
        let fixed = ServerAddress::by_serial_number(17, 5481).unwrap();
        assert_eq!(fixed.encode().as_bytes(), [0x00, 0x22, 0x54, 0xD3]);
        assert_eq!(
            ServerAddress::by_serial_number(1, 17).unwrap().encode().as_bytes(),
            [0x00, 0x02, 0x00, 0x23]
        );
    }

    #[test]
    fn what_does_not_fit() {
        use AddressSize::{One, Two};
        assert_eq!(ServerAddress::new(0, Some(16384), None), Err(AddressError::ServerRange));
        assert_eq!(ServerAddress::new(16384, None, None), Err(AddressError::ServerRange));
        assert_eq!(ServerAddress::new(0, Some(128), Some(One)), Err(AddressError::Size(One)));
        assert_eq!(ServerAddress::new(1, Some(17), Some(One)), Err(AddressError::Size(One)));
        assert_eq!(ServerAddress::new(1, Some(128), Some(Two)), Err(AddressError::Size(Two)));
        assert_eq!(ServerAddress::by_serial_number(1, 20000), Err(AddressError::ServerRange));
        assert_eq!(ClientAddress::new(128), Err(AddressError::ClientRange));
    }

    #[test]
    fn malformed_fields() {
        assert!(RawAddress::parse(&[]).is_err());
        assert_eq!(RawAddress::parse(&[2, 2]).unwrap_err().kind, WireErrorKind::Truncated);
        assert_eq!(RawAddress::parse(&[2, 2, 3]).unwrap_err().kind, WireErrorKind::Invalid("address size"));
        assert_eq!(
            RawAddress::parse(&[2, 2, 2, 2, 3]).unwrap_err().kind,
            WireErrorKind::Invalid("address size")
        );
        assert_eq!(ClientAddress::decode(RawAddress::parse(&[0x21]).unwrap()), Some(ClientAddress::PUBLIC));
        assert_eq!(ClientAddress::decode(RawAddress::parse(&[0x02, 0x23]).unwrap()), None);
    }

    #[test]
    fn calling_device() {
        assert!(ServerAddress::new(1, Some(0x7E), None).unwrap().is_calling_device());
        assert!(ServerAddress::new(1, Some(0x3FFE), None).unwrap().is_calling_device());
        assert!(!ServerAddress::new(1, Some(0x7E), Some(AddressSize::Four)).unwrap().is_calling_device());
    }
}
