//! The outer forms of a ciphered APDU: service-specific (glo-, ded-) and general (Green Book 9.2.7.2, 9.5).

use std::fmt;
use std::ops::Range;

use super::error::SecurityError;
use super::key::SystemTitle;
use crate::wire::cursor::{Reader, put_length, put_octets};

/// How a ciphered APDU names what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CipheringForm {
    /// The tag tells the service: glo-get-request, ded-get-response and so on.
    #[default]
    ServiceSpecific,
    /// general-glo-ciphering, general-ded-ciphering: the sender's title stands before the body.
    General,
}

/// Which block cipher key protects an APDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CipherKey {
    /// The global unicast encryption key (GUEK).
    Global,
    /// The global broadcast encryption key (GBEK).
    Broadcast,
    /// The dedicated key of one association.
    Dedicated,
}

impl fmt::Display for CipherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "block cipher",
            Self::Broadcast => "broadcast block cipher",
            Self::Dedicated => "dedicated",
        })
    }
}

const GENERAL_GLO: u8 = 0xDB;
const GENERAL_DED: u8 = 0xDC;
const GENERAL_CIPHERING: u8 = 0xDD;
const GENERAL_SIGNING: u8 = 0xDF;

/// The outer form of a received APDU, its body not yet looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Service-specific or general.
    pub form: CipheringForm,
    /// Global or dedicated; whether broadcast is told by SC.
    pub key: CipherKey,
    /// The sender's title, where the form carries one.
    pub title: Option<SystemTitle>,
    /// The tag of the service inside, where the form implies it.
    pub service: Option<u8>,
    /// Where SC, counter, text and tag stand.
    pub body: Range<usize>,
}

impl Envelope {
    /// Reads the outer form; `None` where the APDU is not ciphered.
    ///
    /// # Errors
    /// `Wire`, `TitleLength`, `GeneralCipheringUnsupported`, `GeneralSigningUnsupported`.
    pub fn parse(apdu: &[u8]) -> Result<Option<Self>, SecurityError> {
        let mut reader = Reader::new(apdu);
        let (form, key, title, service) = match reader.u8()? {
            GENERAL_CIPHERING => return Err(SecurityError::GeneralCipheringUnsupported),
            GENERAL_SIGNING => return Err(SecurityError::GeneralSigningUnsupported),
            GENERAL_GLO => (CipheringForm::General, CipherKey::Global, title(&mut reader)?, None),
            GENERAL_DED => (CipheringForm::General, CipherKey::Dedicated, title(&mut reader)?, None),
            tag => match opened(tag) {
                Some((key, service)) => (CipheringForm::ServiceSpecific, key, None, Some(service)),
                None => return Ok(None),
            },
        };
        let length = reader.length()?;
        let start = reader.position();
        reader.take(length)?;
        let body = start..reader.position();
        reader.finish()?;
        Ok(Some(Self { form, key, title, service, body }))
    }
}

/// Appends everything that stands before the body: a service without a form of its own takes the general one.
pub(super) fn put_header(
    out: &mut Vec<u8>,
    (form, key): (CipheringForm, CipherKey),
    sender: SystemTitle,
    service: u8,
    body_length: usize,
) {
    let specific = match form {
        CipheringForm::ServiceSpecific => closed(service, key),
        CipheringForm::General => None,
    };
    if let Some(tag) = specific {
        out.push(tag);
    } else {
        out.push(match key {
            CipherKey::Global | CipherKey::Broadcast => GENERAL_GLO,
            CipherKey::Dedicated => GENERAL_DED,
        });
        put_octets(out, &sender.0);
    }
    put_length(out, body_length);
}

fn title(reader: &mut Reader<'_>) -> Result<Option<SystemTitle>, SecurityError> {
    match reader.octets()? {
        [] => Ok(None),
        bytes => SystemTitle::try_from(bytes).map(Some).map_err(|_| SecurityError::TitleLength(bytes.len())),
    }
}

/// The service-specific tag of a plain one, for the services that have one.
const fn closed(service: u8, key: CipherKey) -> Option<u8> {
    let (short_name, logical_name) = match key {
        CipherKey::Global | CipherKey::Broadcast => (0x20, 0x08),
        CipherKey::Dedicated => (0x40, 0x10),
    };
    match service {
        0x01 | 0x05 | 0x06 | 0x08 | 0x0C | 0x0D | 0x0E | 0x16 | 0x18 => Some(service | short_name),
        0xC0..=0xC5 | 0xC7 => Some(service.wrapping_add(logical_name)),
        _ => None,
    }
}

/// The key and the plain tag of a service-specific tag.
const fn opened(tag: u8) -> Option<(CipherKey, u8)> {
    let (key, service) = match tag {
        0x21..=0x38 => (CipherKey::Global, tag & 0x1F),
        0x41..=0x58 => (CipherKey::Dedicated, tag & 0x1F),
        0xC8..=0xCF => (CipherKey::Global, tag.wrapping_sub(0x08)),
        0xD0..=0xD7 => (CipherKey::Dedicated, tag.wrapping_sub(0x10)),
        _ => return None,
    };
    match closed(service, key) {
        Some(_) => Some((key, service)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::WireErrorKind;

    #[test]
    fn the_tag_table() {
        let services = [1, 5, 6, 8, 0x0C, 0x0D, 0x0E, 0x16, 0x18, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC7];
        let glo =
            [0x21, 0x25, 0x26, 0x28, 0x2C, 0x2D, 0x2E, 0x36, 0x38, 0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCF];
        let ded =
            [0x41, 0x45, 0x46, 0x48, 0x4C, 0x4D, 0x4E, 0x56, 0x58, 0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD7];
        for ((service, glo), ded) in services.into_iter().zip(glo).zip(ded) {
            assert_eq!(closed(service, CipherKey::Global), Some(glo));
            assert_eq!(closed(service, CipherKey::Dedicated), Some(ded));
        }
        for tag in 0..=u8::MAX {
            let expected = (glo.iter().position(|&glo| glo == tag).map(|i| (CipherKey::Global, services[i])))
                .or(ded.iter().position(|&ded| ded == tag).map(|i| (CipherKey::Dedicated, services[i])));
            assert_eq!(opened(tag), expected, "{tag:#x}");
        }
    }

    #[test]
    fn parses_both_forms() {
        let envelope = Envelope::parse(&[0xCC, 2, 0x30, 0]).unwrap().unwrap();
        assert_eq!((envelope.service, envelope.body), (Some(0xC4), 2..4));
        let envelope = Envelope::parse(&[0xDC, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x81, 1, 9]).unwrap().unwrap();
        assert_eq!(envelope.title, Some(SystemTitle([1, 2, 3, 4, 5, 6, 7, 8])));
        assert_eq!((envelope.key, envelope.service, envelope.body), (CipherKey::Dedicated, None, 12..13));
        assert_eq!(Envelope::parse(&[0xDB, 0, 0]).unwrap().unwrap().title, None);
        assert_eq!(Envelope::parse(&[0xD8, 1, 2]), Ok(None));
    }

    #[test]
    fn refuses_what_contradicts_itself() {
        let wire = |kind: WireErrorKind, offset| Err(SecurityError::Wire(kind.at(offset)));
        assert_eq!(Envelope::parse(&[]), wire(WireErrorKind::Truncated, 0));
        assert_eq!(Envelope::parse(&[0xCC, 3, 0x30, 0]), wire(WireErrorKind::Truncated, 2));
        assert_eq!(Envelope::parse(&[0xCC, 1, 0x30, 0]), wire(WireErrorKind::TrailingBytes, 3));
        assert_eq!(Envelope::parse(&[0xCC, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]), wire(WireErrorKind::Truncated, 6));
        assert_eq!(Envelope::parse(&[0xDB, 2, 1, 2, 0]), Err(SecurityError::TitleLength(2)));
        assert_eq!(Envelope::parse(&[0xDD]), Err(SecurityError::GeneralCipheringUnsupported));
        assert_eq!(Envelope::parse(&[0xDF]), Err(SecurityError::GeneralSigningUnsupported));
    }
}
