//! Ciphered APDUs: their fields, and with keys what is inside.

use super::data::title_text;
use super::dialogue::{Ciphers, Dialogue};
use super::node::{Fault, FaultKind, Node};
use super::walker::{Step, Walker};
use crate::security::cipher::{AssociatedData, Gcm, TAG_LENGTH, nonce};
use crate::security::{CipherKey, Key, KeySet, Protection, SecurityControl, SystemTitle};
use crate::wire::cursor::Reader;
use crate::wire::error::WireErrorKind;
use crate::wire::xdlms::tag;

/// Who sent an APDU, as far as the form tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client,
    Server,
    Unknown,
}

/// What the outer form tells about the protected body.
struct Outer<'a> {
    key: CipherKey,
    /// Tag of the service inside.
    service: Option<u8>,
    sender: Sender,
    title: Option<SystemTitle>,
    /// What general-ciphering adds to the associated data.
    header: &'a [u8],
}

/// Reads what follows the tag of a service-specific form.
pub(super) fn service_specific(dialogue: &mut Dialogue, walker: &mut Walker<'_>, outer: u8) -> Step {
    let service = tag::plain_of(outer);
    let key = if tag::is_ded(outer) { CipherKey::Dedicated } else { CipherKey::Global };
    let sender = service.map_or(Sender::Unknown, sender_of);
    let length = walker.length("length")?;
    let outer = Outer { key, service, sender, title: None, header: &[] };
    walker.bounded("ciphered-service", length, |walker| body(dialogue, walker, &outer))
}

const fn sender_of(service: u8) -> Sender {
    match service {
        tag::INITIATE_REQUEST
        | tag::READ_REQUEST
        | tag::WRITE_REQUEST
        | tag::UNCONFIRMED_WRITE_REQUEST
        | tag::GET_REQUEST
        | tag::SET_REQUEST
        | tag::ACTION_REQUEST => Sender::Client,
        _ => Sender::Server,
    }
}

/// Reads what follows the tag of general-glo-ciphering or general-ded-ciphering.
pub(super) fn general(dialogue: &mut Dialogue, walker: &mut Walker<'_>, outer: u8) -> Step {
    let title = system_title(walker, "system-title")?;
    let key = if outer == tag::GENERAL_DED_CIPHERING { CipherKey::Dedicated } else { CipherKey::Global };
    let length = walker.length("length")?;
    let outer = Outer { key, service: None, sender: Sender::Unknown, title, header: &[] };
    walker.bounded("ciphered-content", length, |walker| body(dialogue, walker, &outer))
}

/// Reads what follows the tag of general-ciphering. No other implementation was at hand to check this against.
pub(super) fn general_ciphering(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    let (header, title) = general_header(walker)?;
    if walker.flag("key-info present")? {
        walker.group("key-info", |walker| {
            match walker.code("choice", |choice| {
                match choice {
                    0 => "identified-key",
                    1 => "wrapped-key",
                    2 => "agreed-key",
                    _ => "unknown",
                }
                .to_owned()
            })? {
                0 => drop(walker.u8("key-id")?),
                1 => {
                    walker.u8("kek-id")?;
                    walker.octets("key-ciphered-data")?;
                }
                2 => {
                    walker.octets("key-parameters")?;
                    walker.octets("key-ciphered-data")?;
                }
                other => return walker.read(|reader| Err(reader.error(WireErrorKind::UnknownTag(other)))),
            }
            Ok(())
        })?;
    }
    let length = walker.length("length")?;
    let outer = Outer { key: CipherKey::Global, service: None, sender: Sender::Unknown, title, header };
    walker.bounded("ciphered-content", length, |walker| body(dialogue, walker, &outer))
}

/// Reads what follows the tag of general-signing. The signature is not checked.
pub(super) fn general_signing(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    general_header(walker)?;
    let length = walker.length("length")?;
    let at = walker.offset();
    let content = walker.read(|reader| reader.take(length))?;
    walker.push(super::apdu::apdu(dialogue, content, at));
    walker.octets("signature")?;
    walker.explain("not checked");
    Ok(())
}

fn general_header<'a>(walker: &mut Walker<'a>) -> Step<(&'a [u8], Option<SystemTitle>)> {
    let before = walker.rest();
    walker.octets("transaction-id")?;
    let title = system_title(walker, "originator-system-title")?;
    system_title(walker, "recipient-system-title")?;
    walker.octets("date-time")?;
    walker.octets("other-information")?;
    let length = before.len().saturating_sub(walker.rest().len());
    Ok((before.get(..length).unwrap_or_default(), title))
}

fn system_title(walker: &mut Walker<'_>, name: &'static str) -> Step<Option<SystemTitle>> {
    let show = |node: Node, title: &&[u8]| match title {
        [] => node.with_text("absent"),
        title => node.with_hex(title).with_text(title_text(title)),
    };
    let title = walker.field(name, Reader::octets, show)?;
    if !matches!(title.len(), 0 | 8) {
        let fault = Fault::new(FaultKind::Invalid, walker.offset(), "a system title has 8 bytes");
        walker.amend(|node| node.error = Some(fault));
    }
    Ok(SystemTitle::try_from(title).ok())
}

/// SC, counter, text and tag.
fn body(dialogue: &mut Dialogue, walker: &mut Walker<'_>, outer: &Outer<'_>) -> Step {
    let byte = walker.code("security-control", |byte| match SecurityControl::from_byte(byte) {
        Ok(control) => {
            let keys = if control.key_set == KeySet::Broadcast { "broadcast" } else { "unicast" };
            format!("{}, {}, {keys} key", control.suite, control.protection)
        }
        Err(error) => error.to_string(),
    })?;
    let control = match SecurityControl::from_byte(byte) {
        Ok(control) => control,
        Err(error) => {
            let fault = Fault::new(FaultKind::Unsupported, walker.offset(), error.to_string());
            walker.amend(|node| node.error = Some(fault));
            return walker.bytes("ciphered-text", walker.rest().len()).map(drop);
        }
    };
    let counter = walker.u32("invocation-counter")?;
    let at = walker.offset();
    let tag_length = if control.protection.authenticates() { TAG_LENGTH } else { 0 };
    let Some(length) = walker.rest().len().checked_sub(tag_length) else {
        return walker.read(|reader| Err(reader.error(WireErrorKind::Truncated)));
    };
    let text = if control.protection.encrypts() {
        walker.bytes("ciphertext", length)?
    } else {
        walker.read(|reader| reader.take(length))?
    };
    let tag = walker.rest();
    if tag_length > 0 {
        walker.bytes("authentication-tag", tag_length)?;
    }
    if dialogue.ciphers == Ciphers::Shut {
        return Ok(());
    }
    let tag = tag.first_chunk::<TAG_LENGTH>().filter(|_| tag_length > 0);
    let sealed = Sealed { outer, control, counter, text, tag };
    let opened = open(dialogue, &sealed);
    let mut verification = Node::new("verification", at, text.len()).with_text(opened.text);
    verification.error = opened.fault.map(|fault| Fault { offset: at, ..fault });
    walker.push(verification);
    if let Some(plain) = opened.plain {
        walker.push(super::apdu::apdu(dialogue, &plain, at));
        if let (Some(expected), Some(&found)) = (outer.service, plain.first())
            && expected != found
        {
            let message = format!("the outer form announces service {expected:#04x}, inside is {found:#04x}");
            walker.amend(|node| node.error = Some(Fault::new(FaultKind::Invalid, at, message)));
        }
    }
    Ok(())
}

struct Sealed<'a> {
    outer: &'a Outer<'a>,
    control: SecurityControl,
    counter: u32,
    text: &'a [u8],
    tag: Option<&'a [u8; TAG_LENGTH]>,
}

/// What came of the attempt to decipher and verify.
struct Opened {
    text: String,
    fault: Option<Fault>,
    plain: Option<Vec<u8>>,
}

/// One way to open an APDU.
struct Attempt {
    key: Key,
    authentication_key: Option<Key>,
    title: SystemTitle,
    /// What is unusual in it.
    remark: &'static str,
}

const SWAPPED: &str = ", with the keys swapped: --key and --auth-key are the wrong way round";

fn open(dialogue: &Dialogue, sealed: &Sealed<'_>) -> Opened {
    let authenticates_only = sealed.control.protection == Protection::Authentication;
    let visible = || authenticates_only.then(|| sealed.text.to_vec());
    if sealed.control.protection == Protection::None {
        return Opened { text: "not protected".to_owned(), fault: None, plain: Some(sealed.text.to_vec()) };
    }
    if dialogue.settings.key.is_none() && dialogue.dedicated_key.is_none() {
        let text = if authenticates_only { "not verified: no key given" } else { "enciphered: no key given" };
        return Opened { text: text.to_owned(), fault: None, plain: visible() };
    }
    let attempts = attempts(dialogue, sealed.outer);
    if attempts.is_empty() {
        let fault = Fault::new(FaultKind::CipherSystemTitle, 0, "the sender's system title is not known")
            .with_hint("give --system-title, or the AARQ and AARE of the association as well");
        return Opened { text: "not deciphered".to_owned(), fault: Some(fault), plain: visible() };
    }
    if let Some(tag) = sealed.tag {
        if let Some((attempt, plain)) =
            attempts.iter().find_map(|attempt| Some((attempt, verified(attempt, sealed, tag)?)))
        {
            let text = format!("tag ok{}", attempt.remark);
            return Opened { text, fault: None, plain: Some(plain) };
        }
        return unverified(dialogue, sealed, &attempts, visible());
    }
    let found = deciphered(sealed, &attempts, Evidence::Decodes)
        .or_else(|| deciphered(sealed, &attempts, Evidence::Begins));
    match found {
        Some((attempt, plain)) => {
            Opened { text: format!("no tag{}", attempt.remark), fault: None, plain: Some(plain) }
        }
        None => Opened {
            text: "not deciphered".to_owned(),
            fault: Some(
                Fault::new(FaultKind::CipherKey, 0, "the deciphered text makes no sense")
                    .with_hint("most likely a wrong key or a wrong system title"),
            ),
            plain: None,
        },
    }
}

/// There is a tag, and no way to open it was right.
fn unverified(
    dialogue: &Dialogue,
    sealed: &Sealed<'_>,
    attempts: &[Attempt],
    visible: Option<Vec<u8>>,
) -> Opened {
    let is_encrypted = sealed.control.protection.encrypts();
    let plain = if is_encrypted { deciphered(sealed, attempts, Evidence::Decodes) } else { None };
    if dialogue.settings.authentication_key.is_none() {
        let begins = || is_encrypted.then(|| deciphered(sealed, attempts, Evidence::Begins)).flatten();
        let plain = plain.or_else(begins);
        let text = "not verified: no authentication key given".to_owned();
        return match (plain, visible) {
            (Some((attempt, plain)), _) => {
                Opened { text: format!("{text}{}", attempt.remark), fault: None, plain: Some(plain) }
            }
            (None, Some(plain)) => Opened { text, fault: None, plain: Some(plain) },
            (None, None) => Opened {
                text,
                fault: Some(
                    Fault::new(FaultKind::CipherKey, 0, "the deciphered text makes no sense")
                        .with_hint("most likely a wrong key or a wrong system title"),
                ),
                plain: None,
            },
        };
    }
    let fault = Fault::new(FaultKind::CipherTag, 0, "the authentication tag does not match");
    let (plain, fault) = match (plain, visible) {
        (Some((_, plain)), _) => (
            Some(plain),
            fault.with_hint("the key is right: check --auth-key, or the APDU was changed on its way"),
        ),
        (None, Some(plain)) => (Some(plain), fault.with_hint("check the keys and the system title")),
        (None, None) => {
            (None, fault.with_hint("check the keys (swapped ones were tried) and the system title"))
        }
    };
    Opened { text: "tag mismatch".to_owned(), fault: Some(fault), plain }
}

/// Every key with every title that may be meant, the likeliest first.
fn attempts(dialogue: &Dialogue, outer: &Outer<'_>) -> Vec<Attempt> {
    let settings = &dialogue.settings;
    let authentication_key = &settings.authentication_key;
    let dedicated = dialogue.dedicated_key.as_ref().filter(|_| outer.key == CipherKey::Dedicated);
    let mut keys: Vec<(&Key, Option<&Key>, &'static str)> = Vec::new();
    keys.extend(dedicated.map(|key| (key, authentication_key.as_ref(), "")));
    keys.extend(settings.key.as_ref().map(|key| (key, authentication_key.as_ref(), "")));
    if let (Some(key), Some(authentication_key)) = (&settings.key, authentication_key) {
        keys.push((authentication_key, Some(key), SWAPPED));
    }
    let titles = titles(dialogue, outer);
    let all = |&(key, authentication_key, remark): &(&Key, Option<&Key>, &'static str)| {
        titles
            .iter()
            .map(|&title| Attempt {
                key: key.clone(),
                authentication_key: authentication_key.cloned(),
                title,
                remark,
            })
            .collect::<Vec<_>>()
    };
    keys.iter().flat_map(all).collect()
}

fn titles(dialogue: &Dialogue, outer: &Outer<'_>) -> Vec<SystemTitle> {
    let Dialogue { client_title, server_title, settings, .. } = dialogue;
    let (first, second) = match outer.sender {
        Sender::Client => (client_title, server_title),
        Sender::Server | Sender::Unknown => (server_title, client_title),
    };
    let mut titles = Vec::new();
    for title in [&outer.title, first, &settings.system_title, second].into_iter().flatten() {
        if !titles.contains(title) {
            titles.push(*title);
        }
    }
    titles
}

fn verified(attempt: &Attempt, sealed: &Sealed<'_>, tag: &[u8; TAG_LENGTH]) -> Option<Vec<u8>> {
    let mut associated = AssociatedData::new(attempt.authentication_key.as_ref()?);
    let gcm = Gcm::new(&attempt.key).ok()?;
    let nonce = nonce(attempt.title, sealed.counter);
    let control = sealed.control.byte();
    let mut plain = sealed.text.to_vec();
    let mut more = sealed.outer.header.to_vec();
    if sealed.control.protection.encrypts() {
        gcm.open(&nonce, associated.of(control, &more), &mut plain, tag).ok()?;
    } else {
        more.extend_from_slice(sealed.text);
        gcm.open(&nonce, associated.of(control, &more), &mut [], tag).ok()?;
    }
    Some(plain)
}

/// What shows that a text without a verified tag was deciphered with the right key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// It decodes without an error.
    Decodes,
    /// It begins right; meters are known that go on with an encoding of their own.
    Begins,
}

/// The first attempt whose text makes sense.
fn deciphered<'a>(
    sealed: &Sealed<'_>,
    attempts: &'a [Attempt],
    evidence: Evidence,
) -> Option<(&'a Attempt, Vec<u8>)> {
    attempts.iter().find_map(|attempt| {
        let mut plain = sealed.text.to_vec();
        let gcm = Gcm::new(&attempt.key).ok()?;
        gcm.apply_key_stream(&nonce(attempt.title, sealed.counter), &mut plain).ok()?;
        makes_sense(&plain, sealed.outer.service, evidence).then_some((attempt, plain))
    })
}

fn makes_sense(plain: &[u8], service: Option<u8>, evidence: Evidence) -> bool {
    if service.is_some() && plain.first() != service.as_ref() {
        return false;
    }
    let node = super::apdu::apdu(&mut Dialogue::shut(), plain, 0);
    match evidence {
        Evidence::Decodes => node.faults() == 0,
        Evidence::Begins => {
            let is_push = plain.first() == Some(&tag::DATA_NOTIFICATION) && node.find("date-time").is_some();
            service.is_some() || is_push
        }
    }
}
