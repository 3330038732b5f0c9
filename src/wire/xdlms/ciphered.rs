//! The framing of ciphered APDUs. What is inside, and whether it is genuine, is for `security` to say.

use super::tag;
use crate::wire::cursor::{Reader, put_length, put_octets};
use crate::wire::error::{WireError, WireErrorKind};

/// A service-specific ciphered APDU, glo- or ded-: the system title is known from the association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCiphered<'a> {
    /// Tag of the ciphered APDU; [`tag::plain_of`] gives that of the plain one.
    pub tag: u8,
    /// Security control byte, invocation counter, payload and authentication tag.
    pub body: &'a [u8],
}

impl<'a> ServiceCiphered<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_service_header(out, self.tag, self.body.len());
        out.extend_from_slice(self.body);
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `Length`, `TrailingBytes`.
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(apdu);
        let tag = reader.u8()?;
        if tag::plain_of(tag).is_none() {
            return Err(WireErrorKind::UnknownTag(tag).at(0));
        }
        let body = reader.octets()?;
        reader.finish()?;
        Ok(Self { tag, body })
    }
}

/// Appends tag and length of a service-specific ciphered APDU; a body of `length` bytes is to follow.
pub fn put_service_header(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    put_length(out, length);
}

/// general-glo-ciphering or general-ded-ciphering: carries any APDU and says who ciphered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralCiphered<'a> {
    /// [`tag::GENERAL_GLO_CIPHERING`] or [`tag::GENERAL_DED_CIPHERING`].
    pub tag: u8,
    /// The sender's system title: eight bytes, or none where it is known from the association.
    pub system_title: &'a [u8],
    /// Security control byte, invocation counter, payload and authentication tag.
    pub body: &'a [u8],
}

impl<'a> GeneralCiphered<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_general_header(out, self.tag, self.system_title, self.body.len());
        out.extend_from_slice(self.body);
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `Length`, `TrailingBytes`, `Invalid` for a system title that
    /// has neither eight bytes nor none.
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(apdu);
        let tag = reader.u8()?;
        if !matches!(tag, tag::GENERAL_GLO_CIPHERING | tag::GENERAL_DED_CIPHERING) {
            return Err(WireErrorKind::UnknownTag(tag).at(0));
        }
        let start = reader.position();
        let system_title = reader.octets()?;
        if !matches!(system_title.len(), 0 | 8) {
            return Err(WireErrorKind::Invalid("system title").at(start));
        }
        let body = reader.octets()?;
        reader.finish()?;
        Ok(Self { tag, system_title, body })
    }
}

/// Appends what stands before the body of a general ciphered APDU; a body of `length` bytes is to follow.
pub fn put_general_header(out: &mut Vec<u8>, tag: u8, system_title: &[u8], length: usize) {
    out.push(tag);
    put_octets(out, system_title);
    put_length(out, length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_specific_both_ways() {
        for tag in [0x21, 0xC8, 0xD4] {
            let bytes = [tag, 2, 0x30, 0xAA];
            let ciphered = ServiceCiphered { tag, body: &[0x30, 0xAA] };
            let mut out = Vec::new();
            ciphered.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(ServiceCiphered::decode(&bytes), Ok(ciphered));
        }
        assert_eq!(ServiceCiphered::decode(&[0xC0, 0]), Err(WireErrorKind::UnknownTag(0xC0).at(0)));
    }

    #[test]
    fn general_both_ways() {
        for (tag, system_title, bytes) in [
            (0xDB, &b"ABCDEFGH"[..], &[0xDB, 8, 65, 66, 67, 68, 69, 70, 71, 72, 1, 0x20][..]),
            (0xDC, &[], &[0xDC, 0, 1, 0x20]),
        ] {
            let ciphered = GeneralCiphered { tag, system_title, body: &[0x20] };
            let mut out = Vec::new();
            ciphered.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(GeneralCiphered::decode(bytes), Ok(ciphered));
        }
        let short_title = [0xDB, 3, 1, 2, 3, 1, 0x20];
        assert_eq!(GeneralCiphered::decode(&short_title), Err(WireErrorKind::Invalid("system title").at(1)));
    }
}
