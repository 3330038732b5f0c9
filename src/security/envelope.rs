//! The outer forms of a ciphered APDU: service-specific (glo-, ded-) and general (Green Book 9.2.7.2, 9.5).

use std::fmt;
use std::ops::Range;

use super::error::SecurityError;
use super::key::SystemTitle;
use crate::wire::error::WireErrorKind;
use crate::wire::xdlms::ciphered::{
    GeneralCiphered, ServiceCiphered, put_general_header, put_service_header,
};
use crate::wire::xdlms::tag;

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
    /// `Wire`, `GeneralCipheringUnsupported`, `GeneralSigningUnsupported`.
    pub fn parse(apdu: &[u8]) -> Result<Option<Self>, SecurityError> {
        let &outer = apdu.first().ok_or(WireErrorKind::Truncated.at(0))?;
        let key = match outer {
            tag::GENERAL_CIPHERING => return Err(SecurityError::GeneralCipheringUnsupported),
            tag::GENERAL_SIGNING => return Err(SecurityError::GeneralSigningUnsupported),
            tag::GENERAL_DED_CIPHERING => CipherKey::Dedicated,
            _ if tag::is_ded(outer) => CipherKey::Dedicated,
            _ => CipherKey::Global,
        };
        let service = tag::plain_of(outer);
        let (form, title, body) = match (outer, service) {
            (tag::GENERAL_GLO_CIPHERING | tag::GENERAL_DED_CIPHERING, _) => {
                let general = GeneralCiphered::decode(apdu)?;
                (CipheringForm::General, SystemTitle::try_from(general.system_title).ok(), general.body)
            }
            (_, Some(_)) => (CipheringForm::ServiceSpecific, None, ServiceCiphered::decode(apdu)?.body),
            (_, None) => return Ok(None),
        };
        // The body ends the APDU: the framing allows nothing behind it.
        let body = apdu.len().saturating_sub(body.len())..apdu.len();
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
    let specific = match (form, key) {
        (CipheringForm::General, _) => None,
        (CipheringForm::ServiceSpecific, CipherKey::Dedicated) => tag::ded(service),
        (CipheringForm::ServiceSpecific, CipherKey::Global | CipherKey::Broadcast) => tag::glo(service),
    };
    match (specific, key) {
        (Some(specific), _) => put_service_header(out, specific, body_length),
        (None, CipherKey::Global | CipherKey::Broadcast) => {
            put_general_header(out, tag::GENERAL_GLO_CIPHERING, &sender.0, body_length);
        }
        (None, CipherKey::Dedicated) => {
            put_general_header(out, tag::GENERAL_DED_CIPHERING, &sender.0, body_length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(Envelope::parse(&[0xDB, 2, 1, 2, 0]), wire(WireErrorKind::Invalid("system title"), 1));
        assert_eq!(Envelope::parse(&[0xDD]), Err(SecurityError::GeneralCipheringUnsupported));
        assert_eq!(Envelope::parse(&[0xDF]), Err(SecurityError::GeneralSigningUnsupported));
    }
}
