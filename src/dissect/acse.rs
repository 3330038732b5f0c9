//! AARQ, AARE, RLRQ and RLRE, field by field.

use super::data::{printable, title_text};
use super::dialogue::Dialogue;
use super::node::{Name, Node};
use super::walker::{Step, Walker};
use crate::security::SystemTitle;
use crate::wire::acse::{
    AARE, AARQ, ApplicationContext, AssociationResult, Diagnostic, DiagnosticSource, Mechanism, RLRE,
};
use crate::wire::ber::Element;
use crate::wire::cursor::Reader;

const CALLING_AP_TITLE: u8 = 0xA6;
const RESPONDING_AP_TITLE: u8 = 0xA4;
const SENDER_MECHANISM: u8 = 0x8B;
const RESPONDER_MECHANISM: u8 = 0x89;
const USER_INFORMATION: u8 = 0xBE;
const OCTET_STRING: u8 = 0x04;

/// What the fields tell about each other.
#[derive(Clone, Copy)]
struct Apdu {
    tag: u8,
    mechanism: Option<Mechanism>,
}

/// Reads what follows the tag; `apdu` is all of it.
pub(super) fn service(dialogue: &mut Dialogue, walker: &mut Walker<'_>, apdu: &[u8]) -> Step {
    let tag = apdu.first().copied().unwrap_or_default();
    if tag == AARQ && !dialogue.shows_secrets() {
        walker.conceal();
    }
    let mechanism = learn(dialogue, apdu);
    // Lengths are hints: meters announce one byte too few.
    walker.read(Reader::length)?;
    while !walker.is_empty() {
        field(dialogue, walker, Apdu { tag, mechanism })?;
    }
    Ok(())
}

/// The titles and the mechanism, which stand before or behind the fields that need them.
fn learn(dialogue: &mut Dialogue, apdu: &[u8]) -> Option<Mechanism> {
    let mut reader = Reader::new(apdu);
    let tag = reader.u8().ok()?;
    reader.length().ok()?;
    if tag == AARQ {
        dialogue.restart();
    }
    let mut mechanism = None;
    while let Ok(element) = Element::decode(&mut reader) {
        let title = || element.inner(OCTET_STRING).and_then(|title| SystemTitle::try_from(title).ok());
        match (tag, element.tag) {
            (AARQ, CALLING_AP_TITLE) => dialogue.client_title = title().or(dialogue.client_title),
            (AARE, RESPONDING_AP_TITLE) => dialogue.server_title = title().or(dialogue.server_title),
            (_, SENDER_MECHANISM | RESPONDER_MECHANISM) => mechanism = Mechanism::from_oid(element.content),
            _ => {}
        }
    }
    mechanism
}

fn field(dialogue: &mut Dialogue, walker: &mut Walker<'_>, apdu: Apdu) -> Step {
    let mut ahead = Reader::new(walker.rest());
    let tag = walker.read(|reader| {
        let mut ahead = reader.clone();
        ahead.u8()
    })?;
    let content = Element::decode(&mut ahead).map(|element| element.content.len());
    // A user information that is followed by something that cannot be a field goes on to the end.
    let length = match content {
        Ok(_) if tag == USER_INFORMATION && !are_fields(ahead.rest()) => walker.rest().len(),
        Ok(_) => ahead.position(),
        Err(_) if tag == USER_INFORMATION => walker.rest().len(),
        Err(error) => return walker.read(|reader| Err(error.kind.at(reader.position()))),
    };
    walker.bounded(name(apdu.tag, tag), length, |walker| {
        walker.read(Reader::u8)?;
        walker.read(Reader::length)?;
        match tag {
            USER_INFORMATION => user_information(dialogue, walker),
            0xA1 => object_identifier(walker, Nesting::Explicit),
            SENDER_MECHANISM | RESPONDER_MECHANISM => object_identifier(walker, Nesting::Implicit),
            CALLING_AP_TITLE | RESPONDING_AP_TITLE if is_title(apdu.tag, tag) => title(walker),
            0xA2 if apdu.tag == AARE => result(walker),
            0xA3 if apdu.tag == AARE => diagnostic(walker),
            0xAC | 0xAA => authentication_value(dialogue, walker, apdu),
            0x8A | 0x88 => requirements(walker),
            0x80 if apdu.tag >= 0x62 => release_reason(walker, apdu.tag),
            0x80 => all(walker, "bit-string"),
            0xA7 | 0xA5 => explicit(walker, "certificate"),
            0xA9 => explicit(walker, "id"),
            _ => all(walker, "content"),
        }
    })?;
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

const fn is_title(apdu: u8, tag: u8) -> bool {
    matches!((apdu, tag), (AARQ, CALLING_AP_TITLE) | (AARE, RESPONDING_AP_TITLE))
}

fn name(apdu: u8, tag: u8) -> Name {
    let name = match (apdu, tag) {
        (AARQ | AARE, 0x80) => "protocol-version",
        (_, 0x80) => "reason",
        (_, 0xA1) => "application-context-name",
        (AARQ, 0xA2) => "called-AP-title",
        (AARQ, 0xA3) => "called-AE-qualifier",
        (AARQ, 0xA4) => "called-AP-invocation-id",
        (AARQ, 0xA5) => "called-AE-invocation-id",
        (AARQ, 0xA6) => "calling-AP-title",
        (AARQ, 0xA7) => "calling-AE-qualifier",
        (AARQ, 0xA8) => "calling-AP-invocation-id",
        (AARQ, 0xA9) => "calling-AE-invocation-id",
        (AARQ, 0x8A) => "sender-acse-requirements",
        (AARQ, 0x8B) => "mechanism-name",
        (AARQ, 0xAC) => "calling-authentication-value",
        (AARE, 0xA2) => "result",
        (AARE, 0xA3) => "result-source-diagnostic",
        (AARE, 0xA4) => "responding-AP-title",
        (AARE, 0xA5) => "responding-AE-qualifier",
        (AARE, 0xA6) => "responding-AP-invocation-id",
        (AARE, 0xA7) => "responding-AE-invocation-id",
        (AARE, 0x88) => "responder-acse-requirements",
        (AARE, 0x89) => "mechanism-name",
        (AARE, 0xAA) => "responding-authentication-value",
        (_, 0xBD) => "implementation-information",
        (_, USER_INFORMATION) => "user-information",
        _ => return format!("field {tag:02X}").into(),
    };
    name.into()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    /// The element stands in another.
    Explicit,
    /// Its content stands alone.
    Implicit,
}

fn object_identifier(walker: &mut Walker<'_>, nesting: Nesting) -> Step {
    if nesting == Nesting::Explicit {
        walker.read(Reader::u8)?;
        walker.read(Reader::length)?;
    }
    let content = walker.rest();
    walker.bytes("object-identifier", content.len())?;
    // Object identifiers are no secrets, whatever stands around them.
    walker.amend(|node| *node = node.clone().with_hex(content));
    let text = match (ApplicationContext::from_oid(content), Mechanism::from_oid(content)) {
        (Some(context), _) => format!("{context} ({})", context.id()),
        (_, Some(mechanism)) => format!("{mechanism} ({})", mechanism.id()),
        _ => "unknown".to_owned(),
    };
    walker.explain(text);
    Ok(())
}

fn title(walker: &mut Walker<'_>) -> Step {
    walker.read(Reader::u8)?;
    let show = |node: Node, title: &&[u8]| node.with_hex(title).with_text(title_text(title));
    walker.field("system-title", Reader::octets, show).map(drop)
}

fn result(walker: &mut Walker<'_>) -> Step {
    integer(walker, "association-result", |code| {
        match AssociationResult::from_code(code) {
            Some(AssociationResult::Accepted) => "accepted",
            Some(AssociationResult::RejectedPermanent) => "rejected-permanent",
            Some(AssociationResult::RejectedTransient) => "rejected-transient",
            None => "unknown result",
        }
        .to_owned()
    })
}

fn diagnostic(walker: &mut Walker<'_>) -> Step {
    let (name, source) = match walker.peek() {
        Some(0xA1) => ("acse-service-user", DiagnosticSource::User),
        _ => ("acse-service-provider", DiagnosticSource::Provider),
    };
    walker.read(Reader::u8)?;
    walker.read(Reader::length)?;
    integer(walker, name, |value| Diagnostic { source, value }.name().to_owned())
}

/// An INTEGER element of one byte, with or without a leading zero.
fn integer(walker: &mut Walker<'_>, name: &'static str, text: impl FnOnce(u8) -> String) -> Step {
    walker.read(Reader::u8)?;
    let length = walker.read(Reader::length)?;
    if length == 2 {
        walker.read(Reader::u8)?;
    }
    walker.code(name, text).map(drop)
}

fn requirements(walker: &mut Walker<'_>) -> Step {
    let show = |node: Node, bytes: &[u8; 2]| {
        let text = if bytes[1] & 0x80 == 0 { "no authentication" } else { "authentication" };
        node.with_hex(bytes).with_text(text)
    };
    walker.field("functional-units", Reader::array::<2>, show).map(drop)
}

/// A password is a secret; a challenge is not.
fn authentication_value(dialogue: &Dialogue, walker: &mut Walker<'_>, apdu: Apdu) -> Step {
    walker.read(Reader::u8)?;
    let is_challenge = apdu.mechanism.is_some_and(Mechanism::is_high);
    let shown = is_challenge || dialogue.shows_secrets();
    let name = if is_challenge { "challenge" } else { "password" };
    let show = |node: Node, value: &&[u8]| {
        let text = match (shown, printable(value)) {
            (false, _) => return node.with_text("***"),
            (true, Some(text)) => format!("{} bytes {text:?}", value.len()),
            (true, None) => format!("{} bytes", value.len()),
        };
        node.with_hex(value).with_text(text)
    };
    walker.field(name, Reader::octets, show).map(drop)
}

fn release_reason(walker: &mut Walker<'_>, apdu: u8) -> Step {
    walker
        .code("release-reason", |reason| {
            match (reason, apdu) {
                (0, _) => "normal",
                (1, RLRE) => "not-finished",
                (1, _) => "urgent",
                (30, _) => "user-defined",
                _ => "unknown reason",
            }
            .to_owned()
        })
        .map(drop)
}

fn explicit(walker: &mut Walker<'_>, name: &'static str) -> Step {
    walker.read(Reader::u8)?;
    walker.octets(name).map(drop)
}

fn all(walker: &mut Walker<'_>, name: &'static str) -> Step {
    walker.bytes(name, walker.rest().len()).map(drop)
}

fn user_information(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    walker.read(Reader::u8)?;
    walker.read(Reader::length)?;
    let (apdu, at) = (walker.rest(), walker.offset());
    walker.read(|reader| reader.take(apdu.len()))?;
    walker.push(super::apdu::apdu(dialogue, apdu, at));
    Ok(())
}
