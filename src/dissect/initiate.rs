//! InitiateRequest and InitiateResponse: what two partners agree on.

use super::dialogue::Dialogue;
use super::node::Node;
use super::walker::{Step, Walker};
use crate::security::Key;
use crate::wire::cursor::Reader;
use crate::wire::error::WireErrorKind;
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::initiate::{VAA_LOGICAL_NAME, VAA_SHORT_NAME};

/// First and second tag byte of the conformance block.
const CONFORMANCE_TAG: [u8; 2] = [0x5F, 0x1F];

/// Reads what follows the tag of an InitiateRequest.
pub(super) fn request(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    if !dialogue.shows_secrets() {
        walker.conceal();
    }
    if walker.flag("dedicated-key present")? {
        let key = walker.octets("dedicated-key")?;
        dialogue.dedicated_key = Key::from_bytes(key).ok();
    }
    let read = |reader: &mut Reader<'_>| Ok(if reader.is_present()? { reader.u8()? != 0 } else { true });
    walker.field("response-allowed", read, |node: Node, &allowed: &bool| node.with_value(allowed))?;
    quality_of_service(walker, "proposed-quality-of-service")?;
    walker.u8("proposed-dlms-version-number")?;
    conformance(walker, "proposed-conformance")?;
    pdu_size(walker, "client-max-receive-pdu-size")
}

/// Reads what follows the tag of an InitiateResponse.
pub(super) fn response(walker: &mut Walker<'_>) -> Step {
    quality_of_service(walker, "negotiated-quality-of-service")?;
    walker.u8("negotiated-dlms-version-number")?;
    conformance(walker, "negotiated-conformance")?;
    pdu_size(walker, "server-max-receive-pdu-size")?;
    let show = |node: Node, &name: &u16| {
        let text = match name {
            VAA_LOGICAL_NAME => "logical names",
            VAA_SHORT_NAME => "short names",
            _ => "unusual",
        };
        node.with_value(name).with_text(format!("{name:04X} {text}"))
    };
    walker.field("vaa-name", Reader::u16, show).map(drop)
}

fn quality_of_service(walker: &mut Walker<'_>, name: &'static str) -> Step {
    let read = |reader: &mut Reader<'_>| if reader.is_present()? { reader.i8().map(Some) } else { Ok(None) };
    walker
        .field(name, read, |node: Node, quality: &Option<i8>| match quality {
            Some(quality) => node.with_value(*quality),
            None => node.with_text("absent"),
        })
        .map(drop)
}

fn pdu_size(walker: &mut Walker<'_>, name: &'static str) -> Step {
    let show = |node: Node, &size: &u16| match size {
        0 => node.with_value(size).with_text("no limit"),
        _ => node.with_value(size),
    };
    walker.field(name, Reader::u16, show).map(drop)
}

fn conformance(walker: &mut Walker<'_>, name: &'static str) -> Step {
    let read = |reader: &mut Reader<'_>| {
        let start = reader.position();
        let [first, second] = CONFORMANCE_TAG;
        if reader.u8()? != first {
            return Err(WireErrorKind::Invalid("conformance block").at(start));
        }
        // Old meters leave out the second byte of the tag.
        if reader.peek() == Some(second) {
            reader.u8()?;
        }
        match reader.octets()? {
            [_unused_bits, a, b, c] => Ok(Conformance::from_bytes([*a, *b, *c])),
            _ => Err(WireErrorKind::Invalid("conformance block").at(start)),
        }
    };
    let show = |node: Node, &conformance: &Conformance| {
        let names: Vec<_> = conformance.names().collect();
        node.with_hex(&conformance.to_bytes()).with_value(names)
    };
    walker.field(name, read, show).map(drop)
}
