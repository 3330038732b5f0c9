//! The control octet: what a frame is for.

use crate::wire::error::WireErrorKind;

/// A sequence number modulo 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sequence(u8);

impl Sequence {
    /// The state variables after SNRM and UA.
    pub const ZERO: Self = Self(0);

    /// This number modulo 8.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number & 7)
    }

    /// The number, 0 to 7.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }

    /// The number `count` frames on.
    #[must_use]
    pub const fn plus(self, count: u8) -> Self {
        Self::new(self.0.wrapping_add(count))
    }

    /// The number of the next frame.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// Steps from `earlier` to this number, 0 to 7.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u8 {
        self.0.wrapping_sub(earlier.0) & 7
    }
}

/// The kinds of frame. `poll` is the P/F bit: "answer now" from a client, "I am done" from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// Information: part of an APDU.
    Information {
        /// N(S): the number of this frame.
        send: Sequence,
        /// N(R): every frame before this number has arrived.
        receive: Sequence,
        /// P/F.
        poll: bool,
    },
    /// RR: ready for frame N(R).
    ReceiveReady {
        /// N(R).
        receive: Sequence,
        /// P/F.
        poll: bool,
    },
    /// RNR: not ready for frame N(R) yet.
    ReceiveNotReady {
        /// N(R).
        receive: Sequence,
        /// P/F.
        poll: bool,
    },
    /// SNRM: set the link up.
    SetNormalResponseMode {
        /// P/F.
        poll: bool,
    },
    /// DISC: take the link down.
    Disconnect {
        /// P/F.
        poll: bool,
    },
    /// UA: done as asked.
    UnnumberedAcknowledge {
        /// P/F.
        poll: bool,
    },
    /// DM: the link is down.
    DisconnectedMode {
        /// P/F.
        poll: bool,
    },
    /// FRMR: a frame was not acceptable.
    FrameReject {
        /// P/F.
        poll: bool,
    },
    /// UI: an APDU outside of the numbered exchange.
    UnnumberedInformation {
        /// P/F.
        poll: bool,
    },
}

const POLL: u8 = 0x10;

impl Control {
    /// SNRM as a client sends it.
    pub const SNRM: Self = Self::SetNormalResponseMode { poll: true };
    /// DISC as a client sends it.
    pub const DISC: Self = Self::Disconnect { poll: true };
    /// UA as a server answers it.
    pub const UA: Self = Self::UnnumberedAcknowledge { poll: true };
    /// DM as a server answers it.
    pub const DM: Self = Self::DisconnectedMode { poll: true };

    /// The octet on the wire.
    #[must_use]
    pub const fn encode(self) -> u8 {
        let (octet, poll) = match self {
            Self::Information { send, receive, poll } => (receive.0 << 5 | send.0 << 1, poll),
            Self::ReceiveReady { receive, poll } => (receive.0 << 5 | 0x01, poll),
            Self::ReceiveNotReady { receive, poll } => (receive.0 << 5 | 0x05, poll),
            Self::SetNormalResponseMode { poll } => (0x83, poll),
            Self::Disconnect { poll } => (0x43, poll),
            Self::UnnumberedAcknowledge { poll } => (0x63, poll),
            Self::DisconnectedMode { poll } => (0x0F, poll),
            Self::FrameReject { poll } => (0x87, poll),
            Self::UnnumberedInformation { poll } => (0x03, poll),
        };
        if poll { octet | POLL } else { octet }
    }

    /// From the wire.
    ///
    /// # Errors
    /// `UnknownTag` for a control octet that the profile does not use (REJ, SREJ, extended modes).
    pub const fn decode(octet: u8) -> Result<Self, WireErrorKind> {
        let poll = octet & POLL != 0;
        let receive = Sequence(octet >> 5);
        Ok(match octet & !POLL {
            bits if bits & 0x01 == 0 => Self::Information { send: Sequence(octet >> 1 & 7), receive, poll },
            bits if bits & 0x0F == 0x01 => Self::ReceiveReady { receive, poll },
            bits if bits & 0x0F == 0x05 => Self::ReceiveNotReady { receive, poll },
            0x83 => Self::SetNormalResponseMode { poll },
            0x43 => Self::Disconnect { poll },
            0x63 => Self::UnnumberedAcknowledge { poll },
            0x0F => Self::DisconnectedMode { poll },
            0x87 => Self::FrameReject { poll },
            0x03 => Self::UnnumberedInformation { poll },
            _ => return Err(WireErrorKind::UnknownTag(octet)),
        })
    }

    /// The P/F bit.
    #[must_use]
    pub const fn poll(self) -> bool {
        match self {
            Self::Information { poll, .. }
            | Self::ReceiveReady { poll, .. }
            | Self::ReceiveNotReady { poll, .. }
            | Self::SetNormalResponseMode { poll }
            | Self::Disconnect { poll }
            | Self::UnnumberedAcknowledge { poll }
            | Self::DisconnectedMode { poll }
            | Self::FrameReject { poll }
            | Self::UnnumberedInformation { poll } => poll,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_both_ways() {
        let known = (0..=255).filter(|&octet| match Control::decode(octet) {
            Ok(control) => {
                assert_eq!(control.encode(), octet);
                assert_eq!(control.poll(), octet & 0x10 != 0);
                true
            }
            Err(error) => {
                assert_eq!(error, WireErrorKind::UnknownTag(octet));
                false
            }
        });
        assert_eq!(known.count(), 128 + 16 + 16 + 12);
    }

    #[test]
    fn the_usual_sequence_of_a_client() {
        let octets = (0..9).map(|count| {
            let number = Sequence::ZERO.plus(count);
            Control::Information { send: number, receive: number, poll: true }.encode()
        });
        assert!(octets.eq([0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE, 0x10]));
        assert_eq!(Control::SNRM.encode(), 0x93);
        assert_eq!(Control::DISC.encode(), 0x53);
        assert_eq!(Control::UA.encode(), 0x73);
        assert_eq!(Control::DM.encode(), 0x1F);
    }

    #[test]
    fn numbers_wrap() {
        assert_eq!(Sequence::new(7).next(), Sequence::ZERO);
        assert_eq!(Sequence::new(1).since(Sequence::new(6)), 3);
        assert_eq!(Sequence::new(6).since(Sequence::new(7)), 7);
    }
}
