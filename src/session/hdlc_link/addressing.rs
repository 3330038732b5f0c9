//! Whether a frame is an answer to us, by its addresses, the known faults of real meters forgiven.

use crate::wire::hdlc::{ClientAddress, Frame, RawAddress, ServerAddress};

use super::super::link::AddressCheck;

/// Who talks to whom on this link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressing {
    check: AddressCheck,
    server: ServerAddress,
    /// Our own address, as it stands in frames.
    pub(super) us: RawAddress,
    /// The meter's address, as it stands in our frames.
    pub(super) them: RawAddress,
}

/// For whom a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// For us, from our station.
    Ours,
    /// The same, by addresses that are wrong in a known way.
    Tolerated,
    /// Of somebody else.
    Foreign,
}

impl Addressing {
    pub(super) fn new(client: ClientAddress, server: ServerAddress, check: AddressCheck) -> Self {
        Self { check, server, us: client.encode(), them: server.encode() }
    }

    /// Whether the frame bears the addresses of our own: it is an echo, or the meter swapped them.
    pub(super) fn is_like_ours(&self, frame: &Frame<'_>) -> bool {
        frame.source == self.us && frame.destination == self.them
    }

    pub(super) fn origin(&self, frame: &Frame<'_>) -> Origin {
        if frame.destination == self.us && frame.source == self.them {
            Origin::Ours
        } else if self.check == AddressCheck::Ignored
            || self.is_like_ours(frame)
            || frame.destination == self.us && self.is_variant(frame.source)
        {
            Origin::Tolerated
        } else {
            Origin::Foreign
        }
    }

    /// Whether a meter addressed as ours is known to answer from `source`: with physical address 0, in a
    /// shorter form of the same numbers, or under its own number where "the calling device" was addressed.
    fn is_variant(&self, source: RawAddress) -> bool {
        let source = ServerAddress::decode(source);
        if source.upper() != self.server.upper() {
            return false;
        }
        match source.lower() {
            Some(0) => true,
            Some(_) if self.server.is_calling_device() => true,
            lower => lower.is_some() && lower == self.server.lower() && source.size() < self.server.size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hdlc::{AddressSize, Control};

    fn origin(logical: u16, physical: u16, destination: &[u8], source: &[u8]) -> Origin {
        let server = ServerAddress::new(logical, Some(physical), Some(AddressSize::Four)).unwrap();
        let addressing = Addressing::new(ClientAddress::PUBLIC, server, AddressCheck::Tolerant);
        addressing.origin(&Frame {
            segmented: false,
            destination: RawAddress::parse(destination).unwrap(),
            source: RawAddress::parse(source).unwrap(),
            control: Control::UA,
            information: &[],
        })
    }

    #[test]
    fn who_answers() {
        use Origin::{Foreign, Ours, Tolerated};
        for (expected, destination, source) in [
            (Ours, &[0x21][..], &[0x00, 0x02, 0x00, 0x23][..]),
            // Swapped, physical 0, two octets instead of four.
            (Tolerated, &[0x00, 0x02, 0x00, 0x23], &[0x21]),
            (Tolerated, &[0x21], &[0x00, 0x02, 0x00, 0x01]),
            (Tolerated, &[0x21], &[0x02, 0x01]),
            (Tolerated, &[0x21], &[0x02, 0x23]),
            // Another client, another meter.
            (Foreign, &[0x03], &[0x00, 0x02, 0x00, 0x23]),
            (Foreign, &[0x21], &[0x00, 0x02, 0x00, 0x25]),
            (Foreign, &[0x21], &[0x00, 0x04, 0x00, 0x23]),
            (Foreign, &[0x21], &[0x02, 0x25]),
            (Foreign, &[0x21], &[0x03]),
        ] {
            assert_eq!(origin(1, 17, destination, source), expected, "{destination:02x?} {source:02x?}");
        }
        assert_eq!(origin(1, 0x3FFE, &[0x21], &[0x00, 0x02, 0x00, 0x25]), Tolerated);
    }
}
