//! One frame: format, addresses, control, information and check sequences.

use super::FLAG;
use super::address::RawAddress;
use super::control::Control;
use super::fcs::Fcs;
use crate::wire::cursor::Reader;
use crate::wire::error::{WireError, WireErrorKind};

/// A frame of format type 3. The information borrows from the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// S: more segments of the same APDU follow.
    pub segmented: bool,
    /// To whom.
    pub destination: RawAddress,
    /// From whom.
    pub source: RawAddress,
    /// What for.
    pub control: Control,
    /// The information field; empty where there is none.
    pub information: &'a [u8],
}

/// The greatest value of the length field: octets between the flags.
pub const MAX_LENGTH: usize = 0x7FF;
/// Octets of the shortest frame between its flags: format, two addresses, control, FCS.
pub const MIN_LENGTH: usize = 7;
/// Octets of a check sequence.
const CHECK: usize = 2;
/// Octets before the addresses.
const FORMAT: usize = 2;

impl<'a> Frame<'a> {
    /// Appends the frame with both its flags.
    ///
    /// # Errors
    /// `Length` where the frame would be longer than 2047 octets; nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let header = FORMAT.saturating_add(self.destination.len()).saturating_add(self.source.len());
        let mut length = header.saturating_add(1 + CHECK);
        if !self.information.is_empty() {
            length = length.saturating_add(self.information.len()).saturating_add(CHECK);
        }
        let field = u16::try_from(length).ok().filter(|&field| usize::from(field) <= MAX_LENGTH);
        let field = field.ok_or(WireErrorKind::Length.at(0))?;
        let format = 0xA000 | u16::from(self.segmented) << 11 | field;

        out.reserve(length.saturating_add(2));
        out.push(FLAG);
        let start = out.len();
        out.extend_from_slice(&format.to_be_bytes());
        out.extend_from_slice(self.destination.as_bytes());
        out.extend_from_slice(self.source.as_bytes());
        out.push(self.control.encode());
        let check = Fcs::START.update(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&check.octets());
        if !self.information.is_empty() {
            out.extend_from_slice(self.information);
            out.extend_from_slice(&Fcs::GOOD.update(self.information).octets());
        }
        out.push(FLAG);
        Ok(())
    }

    /// The frame whose octets between the flags are exactly `bytes`.
    ///
    /// # Errors
    /// `Truncated` or `TrailingBytes` where the length field disagrees, `Checksum` where HCS or FCS do
    /// not match, `UnknownTag` for a strange control octet, `Invalid` for a strange format or address.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let layout = Layout::read(bytes)?;
        if bytes.len() > layout.header.length {
            return Err(WireErrorKind::TrailingBytes.at(layout.header.length));
        }
        Ok(Self::of(layout, bytes))
    }

    /// The frame that was found to stand in `bytes`.
    pub(super) fn of(layout: Layout, bytes: &'a [u8]) -> Self {
        let Header { segmented, destination, source, control, .. } = layout.header;
        let information = bytes.get(layout.information.0..layout.information.1).unwrap_or_default();
        Self { segmented, destination, source, control, information }
    }
}

/// What stands before the HCS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) segmented: bool,
    pub(super) length: usize,
    destination: RawAddress,
    source: RawAddress,
    control: Control,
    end: usize,
}

impl Header {
    /// The header at the start of `bytes`, which may hold less than the frame.
    ///
    /// # Errors
    /// `Truncated` where more octets are needed to tell; `Checksum` where the HCS does not match.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let high = reader.u8()?;
        if high >> 4 != 0xA {
            return Err(WireErrorKind::Invalid("frame format").at(0));
        }
        let format = u16::from_be_bytes([high, reader.u8()?]);
        let length = usize::from(format & 0x7FF);
        if length < MIN_LENGTH {
            return Err(WireErrorKind::Length.at(0));
        }
        let destination = address(&mut reader)?;
        let source = address(&mut reader)?;
        let control = reader.u8()?;
        let end = reader.position();
        let checked = end.saturating_add(CHECK);
        if length != checked && length < checked.saturating_add(1 + CHECK) {
            return Err(WireErrorKind::Length.at(0));
        }
        reader.take(CHECK)?;
        if Fcs::START.update(bytes.get(..checked).unwrap_or_default()) != Fcs::GOOD {
            return Err(WireErrorKind::Checksum.at(end));
        }
        let control = Control::decode(control).map_err(|kind| kind.at(end.saturating_sub(1)))?;
        Ok(Self { segmented: format & 0x800 != 0, length, destination, source, control, end })
    }
}

fn address(reader: &mut Reader<'_>) -> Result<RawAddress, WireError> {
    let address = RawAddress::parse(reader.rest())
        .map_err(|error| error.kind.at(reader.position().saturating_add(error.offset)))?;
    reader.take(address.len())?;
    Ok(address)
}

/// Where the parts of a checked frame stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) header: Header,
    information: (usize, usize),
}

impl Layout {
    /// Reads and checks the frame at the start of `bytes`.
    ///
    /// # Errors
    /// As [`Frame::decode`]; `Truncated` where the frame is not all there.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let header = Header::read(bytes)?;
        let frame = bytes.get(..header.length).ok_or(WireErrorKind::Truncated.at(bytes.len()))?;
        let start = header.end.saturating_add(CHECK);
        if start >= frame.len() {
            return Ok(Self { header, information: (start, start) });
        }
        if Fcs::GOOD.update(frame.get(start..).unwrap_or_default()) != Fcs::GOOD {
            return Err(WireErrorKind::Checksum.at(header.length.saturating_sub(CHECK)));
        }
        Ok(Self { header, information: (start, header.length.saturating_sub(CHECK)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hdlc::{ClientAddress, Sequence, ServerAddress};

    const I_GET: [u8; 28] = [
        0x7E, 0xA0, 0x1A, 0x02, 0x23, 0x21, 0x32, 0xF6, 0x72, 0xE6, 0xE6, 0x00, 0xC0, 0x01, 0xC1, 0x00, 0x08,
        0x00, 0x00, 0x01, 0x00, 0x00, 0xFF, 0x02, 0x00, 0x60, 0x1A, 0x7E,
    ];

    fn get() -> Frame<'static> {
        Frame {
            segmented: false,
            destination: ServerAddress::new(1, Some(17), None).unwrap().encode(),
            source: ClientAddress::PUBLIC.encode(),
            control: Control::Information { send: Sequence::new(1), receive: Sequence::new(1), poll: true },
            information: &I_GET[9..25],
        }
    }

    #[test]
    fn with_information() {
        let mut out = Vec::new();
        get().encode(&mut out).unwrap();
        assert_eq!(out, I_GET);
        assert_eq!(Frame::decode(&I_GET[1..27]), Ok(get()));
    }

    #[test]
    fn without_information() {
        let snrm = Frame { control: Control::SNRM, information: &[], ..get() };
        let mut out = Vec::new();
        snrm.encode(&mut out).unwrap();
        assert_eq!(out, [0x7E, 0xA0, 0x08, 0x02, 0x23, 0x21, 0x93, 0xBD, 0x64, 0x7E]);
        assert_eq!(Frame::decode(&out[1..9]), Ok(snrm));
    }

    #[test]
    fn the_longest_and_one_more() {
        let mut out = Vec::new();
        let longest = vec![0x7E; 2047 - 10];
        let frame = Frame { segmented: true, information: &longest, ..get() };
        frame.encode(&mut out).unwrap();
        assert_eq!(out.len(), 2049);
        assert_eq!(Frame::decode(&out[1..2048]), Ok(frame));
        let longer = vec![0; 2047 - 9];
        out.clear();
        assert!(Frame { information: &longer, ..get() }.encode(&mut out).is_err());
        assert!(out.is_empty());
    }

    #[test]
    fn every_damaged_bit_is_noticed() {
        let frame = &I_GET[1..27];
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&damaged).is_err(), "bit {bit}");
        }
        for end in 0..frame.len() {
            assert!(Frame::decode(&frame[..end]).is_err());
        }
        assert!(Frame::decode(&I_GET[1..]).is_err(), "trailing flag");
    }
}
