//! Association control (ISO/IEC 15954 as profiled by IEC 62056-5-3): AARQ, AARE, RLRQ and RLRE.

mod diagnostic;
mod names;
mod release;

use std::fmt;

pub use diagnostic::{AssociationResult, Diagnostic, DiagnosticSource};
pub use names::{ApplicationContext, Mechanism, Referencing};
pub use release::{ReleaseReason, Rlre, Rlrq};

use super::ber::{self, Element};
use super::cursor::Reader;
use super::error::{WireError, WireErrorKind};

/// Tag of an AARQ.
pub const AARQ: u8 = 0x60;
/// Tag of an AARE.
pub const AARE: u8 = 0x61;
/// Tag of an RLRQ.
pub const RLRQ: u8 = 0x62;
/// Tag of an RLRE.
pub const RLRE: u8 = 0x63;

mod field {
    pub(super) const APPLICATION_CONTEXT: u8 = 0xA1;
    pub(super) const RESULT: u8 = 0xA2;
    pub(super) const DIAGNOSTIC: u8 = 0xA3;
    pub(super) const RESPONDING_AP_TITLE: u8 = 0xA4;
    pub(super) const RESPONDING_AE_QUALIFIER: u8 = 0xA5;
    pub(super) const CALLING_AP_TITLE: u8 = 0xA6;
    pub(super) const CALLING_AE_QUALIFIER: u8 = 0xA7;
    pub(super) const CALLING_AE_INVOCATION_ID: u8 = 0xA9;
    pub(super) const RESPONDER_REQUIREMENTS: u8 = 0x88;
    pub(super) const RESPONDER_MECHANISM: u8 = 0x89;
    pub(super) const RESPONDER_AUTHENTICATION: u8 = 0xAA;
    pub(super) const SENDER_REQUIREMENTS: u8 = 0x8A;
    pub(super) const SENDER_MECHANISM: u8 = 0x8B;
    pub(super) const SENDER_AUTHENTICATION: u8 = 0xAC;
    pub(super) const USER_INFORMATION: u8 = 0xBE;
}

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The charstring choice of an authentication value.
const CHARSTRING: u8 = 0x80;
/// ACSE requirements: a bit string, seven bits unused, the authentication unit set.
const AUTHENTICATION_UNIT: [u8; 2] = [0x07, 0x80];

/// A password or challenge. Its bytes are never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuthenticationValue<'a>(pub &'a [u8]);

impl fmt::Debug for AuthenticationValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthenticationValue({} bytes)", self.0.len())
    }
}

/// Asks for an association (client to server).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aarq<'a> {
    /// Referencing and ciphering.
    pub application_context: ApplicationContext,
    /// The client's system title.
    pub calling_ap_title: Option<&'a [u8]>,
    /// The client's signing certificate (DER).
    pub calling_ae_qualifier: Option<&'a [u8]>,
    /// The client's user id.
    pub calling_ae_invocation_id: Option<u8>,
    /// Authentication; [`Mechanism::Lowest`] is said by naming none.
    pub mechanism: Mechanism,
    /// Password (low), challenge (high).
    pub authentication_value: Option<AuthenticationValue<'a>>,
    /// InitiateRequest APDU, plain or ciphered.
    pub user_information: Option<&'a [u8]>,
}

impl<'a> Aarq<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        ber::put_constructed(out, AARQ, |out| {
            ber::put_nested(
                out,
                field::APPLICATION_CONTEXT,
                OBJECT_IDENTIFIER,
                &self.application_context.oid(),
            );
            put_octets(out, field::CALLING_AP_TITLE, self.calling_ap_title);
            put_octets(out, field::CALLING_AE_QUALIFIER, self.calling_ae_qualifier);
            if let Some(id) = self.calling_ae_invocation_id {
                ber::put_nested(out, field::CALLING_AE_INVOCATION_ID, INTEGER, &[id]);
            }
            if self.mechanism != Mechanism::Lowest {
                ber::put(out, field::SENDER_REQUIREMENTS, &AUTHENTICATION_UNIT);
                ber::put(out, field::SENDER_MECHANISM, &self.mechanism.oid());
            }
            if let Some(value) = self.authentication_value {
                ber::put_nested(out, field::SENDER_AUTHENTICATION, CHARSTRING, value.0);
            }
            put_octets(out, field::USER_INFORMATION, self.user_information);
        });
    }

    /// Reads an APDU; fields in any order, unknown ones skipped.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `Length`, `Invalid` for a context or mechanism that
    /// is missing or unknown.
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let mut context = None;
        let mut aarq = Self {
            application_context: ApplicationContext::LogicalName,
            calling_ap_title: None,
            calling_ae_qualifier: None,
            calling_ae_invocation_id: None,
            mechanism: Mechanism::Lowest,
            authentication_value: None,
            user_information: None,
        };
        for_each_field(apdu, AARQ, |element, offset| {
            let invalid = |name| WireErrorKind::Invalid(name).at(offset);
            match element.tag {
                field::APPLICATION_CONTEXT => context = decode_context(element),
                field::CALLING_AP_TITLE => aarq.calling_ap_title = element.inner(OCTET_STRING),
                field::CALLING_AE_QUALIFIER => aarq.calling_ae_qualifier = element.inner(OCTET_STRING),
                field::CALLING_AE_INVOCATION_ID => {
                    let id = integer(element.content).ok_or(invalid("calling AE invocation id"))?;
                    aarq.calling_ae_invocation_id = Some(id);
                }
                field::SENDER_MECHANISM => {
                    aarq.mechanism = Mechanism::from_oid(element.content).ok_or(invalid("mechanism name"))?;
                }
                field::SENDER_AUTHENTICATION => {
                    aarq.authentication_value = element.inner(CHARSTRING).map(AuthenticationValue);
                }
                field::USER_INFORMATION => {
                    aarq.user_information = Some(user_information(element.content, offset)?);
                }
                _ => {}
            }
            Ok(())
        })?;
        aarq.application_context = context.ok_or(WireErrorKind::Invalid("application context name").at(0))?;
        Ok(aarq)
    }
}

/// Answers an association request (server to client).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aare<'a> {
    /// Referencing and ciphering; `None` where it is missing or nobody knows it.
    pub application_context: Option<ApplicationContext>,
    /// Accepted or rejected; judge by this alone.
    pub result: AssociationResult,
    /// Why, or what must follow.
    pub diagnostic: Diagnostic,
    /// The server's system title.
    pub responding_ap_title: Option<&'a [u8]>,
    /// The server's signing certificate (DER).
    pub responding_ae_qualifier: Option<&'a [u8]>,
    /// Authentication, where the server repeats it; `None` also where nobody knows it.
    pub mechanism: Option<Mechanism>,
    /// The server's challenge.
    pub authentication_value: Option<AuthenticationValue<'a>>,
    /// InitiateResponse, plain or ciphered, or ConfirmedServiceError. Some meters send none with a rejection.
    pub user_information: Option<&'a [u8]>,
}

impl<'a> Aare<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        ber::put_constructed(out, AARE, |out| {
            if let Some(context) = self.application_context {
                ber::put_nested(out, field::APPLICATION_CONTEXT, OBJECT_IDENTIFIER, &context.oid());
            }
            ber::put_nested(out, field::RESULT, INTEGER, &[self.result.code()]);
            ber::put_constructed(out, field::DIAGNOSTIC, |out| {
                let source = match self.diagnostic.source {
                    DiagnosticSource::User => 0xA1,
                    DiagnosticSource::Provider => 0xA2,
                };
                ber::put_nested(out, source, INTEGER, &[self.diagnostic.value]);
            });
            put_octets(out, field::RESPONDING_AP_TITLE, self.responding_ap_title);
            put_octets(out, field::RESPONDING_AE_QUALIFIER, self.responding_ae_qualifier);
            if let Some(mechanism) = self.mechanism {
                ber::put(out, field::RESPONDER_REQUIREMENTS, &AUTHENTICATION_UNIT);
                ber::put(out, field::RESPONDER_MECHANISM, &mechanism.oid());
            }
            if let Some(value) = self.authentication_value {
                ber::put_nested(out, field::RESPONDER_AUTHENTICATION, CHARSTRING, value.0);
            }
            put_octets(out, field::USER_INFORMATION, self.user_information);
        });
    }

    /// Reads an APDU; fields in any order, unknown ones skipped, outer lengths not trusted.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `Length`, `Invalid` for a result that is missing or unknown.
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let mut result = None;
        let mut aare = Self {
            application_context: None,
            result: AssociationResult::RejectedPermanent,
            diagnostic: Diagnostic::NULL,
            responding_ap_title: None,
            responding_ae_qualifier: None,
            mechanism: None,
            authentication_value: None,
            user_information: None,
        };
        for_each_field(apdu, AARE, |element, offset| {
            let invalid = |name| WireErrorKind::Invalid(name).at(offset);
            match element.tag {
                field::APPLICATION_CONTEXT => aare.application_context = decode_context(element),
                field::RESULT => result = integer(element.content).and_then(AssociationResult::from_code),
                field::DIAGNOSTIC => {
                    aare.diagnostic = decode_diagnostic(element).ok_or(invalid("diagnostic"))?;
                }
                field::RESPONDING_AP_TITLE => aare.responding_ap_title = element.inner(OCTET_STRING),
                field::RESPONDING_AE_QUALIFIER => {
                    aare.responding_ae_qualifier = element.inner(OCTET_STRING);
                }
                field::RESPONDER_MECHANISM => aare.mechanism = Mechanism::from_oid(element.content),
                field::RESPONDER_AUTHENTICATION => {
                    aare.authentication_value = element.inner(CHARSTRING).map(AuthenticationValue);
                }
                field::USER_INFORMATION => {
                    aare.user_information = Some(user_information(element.content, offset)?);
                }
                _ => {}
            }
            Ok(())
        })?;
        aare.result = result.ok_or(WireErrorKind::Invalid("association result").at(0))?;
        Ok(aare)
    }
}

fn put_octets(out: &mut Vec<u8>, tag: u8, value: Option<&[u8]>) {
    if let Some(value) = value {
        ber::put_nested(out, tag, OCTET_STRING, value);
    }
}

fn decode_context(element: Element<'_>) -> Option<ApplicationContext> {
    element.inner(OBJECT_IDENTIFIER).and_then(ApplicationContext::from_oid)
}

fn decode_diagnostic(element: Element<'_>) -> Option<Diagnostic> {
    let choice = Element::decode(&mut Reader::new(element.content)).ok()?;
    let source = match choice.tag {
        0xA1 => DiagnosticSource::User,
        0xA2 => DiagnosticSource::Provider,
        _ => return None,
    };
    integer(choice.content).map(|value| Diagnostic { source, value })
}

/// The value of an INTEGER element that fits eight bits, with or without a leading zero.
fn integer(explicit: &[u8]) -> Option<u8> {
    let element = Element::decode(&mut Reader::new(explicit)).ok()?;
    match (element.tag, element.content) {
        (INTEGER, [value] | [0, value]) => Some(*value),
        _ => None,
    }
}

/// Calls `visit` with each field and its offset.
///
/// Lengths are hints: meters are known that announce one byte too few for the APDU, the user information and
/// the octet string in it. So fields are read to the end of the bytes received, and a user information that is
/// followed by something that cannot be fields goes on to the end.
fn for_each_field<'a>(
    apdu: &'a [u8],
    tag: u8,
    mut visit: impl FnMut(Element<'a>, usize) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut reader = Reader::new(apdu);
    let found = reader.u8()?;
    if found != tag {
        return Err(WireErrorKind::UnknownTag(found).at(0));
    }
    reader.length()?;
    while !reader.is_empty() {
        let offset = reader.position();
        let mut element = Element::decode(&mut reader)?;
        if element.tag == field::USER_INFORMATION && !are_fields(reader.rest()) {
            let length = element.content.len().saturating_add(reader.remaining());
            element.content = apdu.get(apdu.len().saturating_sub(length)..).unwrap_or_default();
            return visit(element, offset);
        }
        visit(element, offset)?;
    }
    Ok(())
}

/// Whether `bytes` are nothing but whole elements of the context-specific class.
fn are_fields(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match Element::decode(&mut reader) {
            Ok(element) if element.tag & 0xC0 == 0x80 => {}
            _ => return false,
        }
    }
    true
}

/// The APDU inside a user information: all that follows the header of its octet string.
fn user_information(content: &[u8], offset: usize) -> Result<&[u8], WireError> {
    let mut reader = Reader::new(content);
    let tag = reader.u8().map_err(|_| WireErrorKind::Truncated.at(offset))?;
    if tag != OCTET_STRING {
        return Err(WireErrorKind::Invalid("user information").at(offset));
    }
    let length = reader.length().map_err(|error| error.kind.at(offset))?;
    if length > reader.remaining() {
        return Err(WireErrorKind::Truncated.at(offset));
    }
    Ok(reader.rest())
}

#[cfg(test)]
mod tests;
