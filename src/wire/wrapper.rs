//! The wrapper of IEC 62056-47: an eight-octet header before each APDU on TCP or UDP.

use super::cursor::Reader;
use super::error::{WireError, WireErrorKind};

/// The only version.
const VERSION: u16 = 1;
/// Octets of the header.
pub const HEADER: usize = 8;

/// One APDU with its wPorts. The APDU borrows from the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pdu<'a> {
    /// wPort of the sender.
    pub source: u16,
    /// wPort of the receiver.
    pub destination: u16,
    /// The APDU: 1 to 65535 octets.
    pub apdu: &'a [u8],
}

/// Why a stream is no wrapper stream. Its framing is lost for good then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapperError {
    /// The first octet is an HDLC flag.
    #[error("not a wrapper stream: the peer speaks HDLC (7E)")]
    SpeaksHdlc,
    /// The first octet opens an IEC 62056-21 identification.
    #[error("not a wrapper stream: the peer sends IEC 62056-21 text (2F)")]
    SpeaksIec62056,
    /// Another version; only its high octet may be known.
    #[error("not a wrapper stream: version {0:#06x} instead of 0x0001")]
    Version(u16),
    /// A PDU without an APDU.
    #[error("wrapper PDU of length 0")]
    Empty,
    /// An APDU longer than the receiver takes.
    #[error("wrapper PDU of {0} octets is longer than the limit")]
    TooLong(u16),
}

impl<'a> Pdu<'a> {
    /// Appends the header and the APDU.
    ///
    /// # Errors
    /// `Length` where the APDU is empty or longer than 65535 octets; nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let length = u16::try_from(self.apdu.len()).ok().filter(|&length| length > 0);
        let length = length.ok_or(WireErrorKind::Length.at(0))?;
        out.reserve(HEADER.saturating_add(self.apdu.len()));
        for field in [VERSION, self.source, self.destination, length] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(self.apdu);
        Ok(())
    }

    /// From one datagram, which holds exactly one PDU.
    ///
    /// # Errors
    /// `Truncated` or `TrailingBytes` where the length disagrees, `Invalid` for another version.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(datagram);
        if reader.u16()? != VERSION {
            return Err(WireErrorKind::Invalid("wrapper version").at(0));
        }
        let (source, destination, length) = (reader.u16()?, reader.u16()?, reader.u16()?);
        if length == 0 {
            return Err(WireErrorKind::Length.at(6));
        }
        let apdu = reader.take(usize::from(length))?;
        reader.finish()?;
        Ok(Self { source, destination, apdu })
    }
}

/// Collects octets of a TCP stream and hands out PDUs that borrow from its buffer.
///
/// Feed it, then call [`Self::next`] until it has no more: then it holds less than one PDU.
#[derive(Debug)]
pub struct Deframer {
    buffer: Vec<u8>,
    /// Everything before has been handed out.
    start: usize,
    limit: u16,
}

impl Default for Deframer {
    /// One that takes APDUs of any length.
    fn default() -> Self {
        Self::new(u16::MAX)
    }
}

impl Deframer {
    /// One that takes APDUs of at most `limit` octets.
    #[must_use]
    pub const fn new(limit: u16) -> Self {
        Self { buffer: Vec::new(), start: 0, limit }
    }

    /// Takes received octets. After an error they are dropped.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.header().is_err() {
            return;
        }
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next PDU; `None` until more octets come.
    ///
    /// # Errors
    /// Where the stream is no wrapper stream: then, and ever after.
    #[allow(clippy::should_implement_trait, reason = "PDUs borrow from the deframer")]
    pub fn next(&mut self) -> Result<Option<Pdu<'_>>, WrapperError> {
        let Some((source, destination, length)) = self.header()? else { return Ok(None) };
        let start = self.start.saturating_add(HEADER);
        let end = start.saturating_add(usize::from(length));
        let Some(apdu) = self.buffer.get(start..end) else { return Ok(None) };
        self.start = end;
        Ok(Some(Pdu { source, destination, apdu }))
    }

    /// Octets held.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// Octets of the whole PDU that is arriving; `None` before its header is there.
    #[must_use]
    pub fn expected(&self) -> Option<usize> {
        self.header().ok().flatten().map(|(_, _, length)| HEADER.saturating_add(usize::from(length)))
    }

    /// Forgets what it holds, an error included.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }

    /// Source, destination and length. A foreign stream is recognised by its first octet already.
    fn header(&self) -> Result<Option<(u16, u16, u16)>, WrapperError> {
        let bytes = self.buffer.get(self.start..).unwrap_or_default();
        match *bytes {
            [0x7E, ..] => return Err(WrapperError::SpeaksHdlc),
            [0x2F, ..] => return Err(WrapperError::SpeaksIec62056),
            [0, 1, ..] | [0] | [] => {}
            [high, low, ..] => return Err(WrapperError::Version(u16::from_be_bytes([high, low]))),
            [high] => return Err(WrapperError::Version(u16::from_be_bytes([high, 0]))),
        }
        let mut reader = Reader::new(bytes);
        let (Ok(_), Ok(source), Ok(destination), Ok(length)) =
            (reader.u16(), reader.u16(), reader.u16(), reader.u16())
        else {
            return Ok(None);
        };
        match length {
            0 => Err(WrapperError::Empty),
            length if length > self.limit => Err(WrapperError::TooLong(length)),
            length => Ok(Some((source, destination, length))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PDU: Pdu<'_> = Pdu { source: 16, destination: 1, apdu: &[0xC0, 0x01, 0xC1] };
    const BYTES: [u8; 11] = [0, 1, 0, 16, 0, 1, 0, 3, 0xC0, 0x01, 0xC1];

    #[test]
    fn both_ways() {
        let mut out = Vec::new();
        PDU.encode(&mut out).unwrap();
        assert_eq!(out, BYTES);
        assert_eq!(Pdu::decode(&BYTES), Ok(PDU));
        assert!(Pdu::decode(&BYTES[..10]).is_err());
        assert!(Pdu { apdu: &[], ..PDU }.encode(&mut out).is_err());
        assert!(Pdu { apdu: &[0; 65536], ..PDU }.encode(&mut out).is_err());
        assert_eq!(out, BYTES);
    }

    #[test]
    fn any_splitting() {
        let stream = BYTES.repeat(3);
        for size in 1..=stream.len() {
            let mut deframer = Deframer::default();
            let mut count = 0;
            for chunk in stream.chunks(size) {
                deframer.feed(chunk);
                while let Some(pdu) = deframer.next().unwrap() {
                    assert_eq!(pdu, PDU);
                    count += 1;
                }
            }
            assert_eq!((count, deframer.pending()), (3, 0));
        }
    }

    #[test]
    fn foreign_streams() {
        for (bytes, error) in [
            (&[0x7E][..], WrapperError::SpeaksHdlc),
            (b"/ISK5", WrapperError::SpeaksIec62056),
            (&[0, 2], WrapperError::Version(2)),
            (&[0xC4], WrapperError::Version(0xC400)),
            (&[0, 1, 0, 1, 0, 1, 0, 0], WrapperError::Empty),
            (&[0, 1, 0, 1, 0, 1, 0, 5], WrapperError::TooLong(5)),
        ] {
            let mut deframer = Deframer::new(4);
            deframer.feed(bytes);
            assert_eq!(deframer.next(), Err(error));
            deframer.feed(&BYTES);
            assert_eq!(deframer.next(), Err(error), "lost for good");
            assert_eq!(deframer.pending(), bytes.len());
            deframer.clear();
            deframer.feed(&BYTES);
            assert_eq!(deframer.next(), Ok(Some(PDU)));
        }
    }
}
