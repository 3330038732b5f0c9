//! Read, Write, UnconfirmedWrite and InformationReport: the services of short name referencing.

use super::data::{self, count};
use super::dialogue::{Block, Dialogue, Transfer};
use super::logical_name::{access_result, choice, list, push_block};
use super::node::Node;
use super::walker::{Step, Walker};
use crate::cosem::catalogue::ClassId;
use crate::cosem::catalogue::shape::Shape;
use crate::wire::cursor::Reader;
use crate::wire::data::Data;
use crate::wire::error::WireErrorKind;
use crate::wire::xdlms::initiate::VAA_SHORT_NAME;

/// Reads what follows the tag of a ReadRequest.
pub(super) fn read_request(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    list(walker, "variable-access-specifications", |walker| variable(dialogue, walker)).map(drop)
}

/// Reads what follows the tag of a WriteRequest or an UnconfirmedWriteRequest.
pub(super) fn write_request(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    let variables = list(walker, "variable-access-specifications", |walker| variable(dialogue, walker))?;
    let block = match variables.as_slice() {
        [Variable::WriteBlock { last, number }] => Some((*number, *last)),
        _ => None,
    };
    let Some((number, last)) = block else { return data::list(walker, "list-of-data", &[]) };
    walker.group("list-of-data", |walker| {
        count(walker)?;
        let at = walker.offset();
        let value = walker.field("block", Data::decode, |node: Node, data: &Data| match data {
            Data::OctetString(octets) => node.with_hex(octets),
            _ => node,
        })?;
        let Data::OctetString(raw) = value else {
            return walker.read(|_| Err(WireErrorKind::Invalid("block of a write").at(at)));
        };
        let whole = {
            let blocks = dialogue.transfers.entry(Transfer::WriteRequest).or_default();
            blocks.push(u32::from(number), last, &raw)
        };
        if let Block::Complete(whole) = whole {
            reassembled(dialogue, walker, &whole, write_request);
        }
        Ok(())
    })
}

/// Reads what follows the tag of a ReadResponse.
pub(super) fn read_response(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    list(walker, "results", |walker| {
        walker.group("result", |walker| match choice(walker, 3)? {
            0 => data::data(walker, "data", Shape::Any),
            1 => access_result(walker, "data-access-error").map(drop),
            2 => block(dialogue, walker, Transfer::ReadResponse, read_response),
            _ => walker.u16("block-number").map(drop),
        })
    })
    .map(drop)
}

/// Reads what follows the tag of a WriteResponse.
pub(super) fn write_response(walker: &mut Walker<'_>) -> Step {
    list(walker, "results", |walker| {
        walker.group("result", |walker| match choice(walker, 2)? {
            0 => {
                walker.push(Node::new("success", walker.offset(), 0));
                Ok(())
            }
            1 => access_result(walker, "data-access-error").map(drop),
            _ => walker.u16("block-number").map(drop),
        })
    })
    .map(drop)
}

/// Reads what follows the tag of an InformationReport.
pub(super) fn information_report(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    if walker.flag("current-time present")? {
        let show = |node: Node, time: &&[u8]| node.with_text(String::from_utf8_lossy(time));
        walker.field("current-time", Reader::octets, show)?;
    }
    list(walker, "variable-access-specifications", |walker| variable(dialogue, walker))?;
    data::list(walker, "list-of-data", &[])
}

enum Variable {
    Other,
    WriteBlock { number: u16, last: bool },
}

fn variable(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step<Variable> {
    walker.group("variable-access-specification", |walker| {
        let choice = walker.read(|reader| match (reader.position(), reader.u8()?) {
            (_, choice @ (2 | 4..=7)) => Ok(choice),
            (at, choice) => Err(WireErrorKind::UnknownTag(choice).at(at)),
        })?;
        match choice {
            2 => drop(name(walker)?),
            4 => {
                name(walker)?;
                walker.u8("selector")?;
                data::data(walker, "parameter", Shape::Any)?;
            }
            5 => drop(walker.u16("block-number-access")?),
            6 => block(dialogue, walker, Transfer::ReadRequest, read_request)?,
            _ => {
                let last = walker.flag("last-block")?;
                return Ok(Variable::WriteBlock { number: walker.u16("block-number")?, last });
            }
        }
        Ok(Variable::Other)
    })
}

/// A short name; that of the current association is the only one that the standard fixes.
fn name(walker: &mut Walker<'_>) -> Step<u16> {
    walker.field("variable-name", Reader::u16, |node: Node, &name: &u16| {
        let node = node.with_value(name);
        match association(name) {
            Some(text) => node.with_text(format!("{name:04X} {text}")),
            None => node.with_text(format!("{name:04X}")),
        }
    })
}

fn association(name: u16) -> Option<String> {
    let class = ClassId::ASSOCIATION_SN;
    let offset = name.checked_sub(VAA_SHORT_NAME)?;
    let attribute = (1..=8).find(|&id| ClassId::attribute_offset(id) == Some(offset));
    let listed = class.class()?;
    let method = || listed.methods.iter().find(|method| class.method_offset(None, method.id) == Some(offset));
    match (method(), attribute) {
        (Some(method), _) => Some(format!("{class} method {} {}", method.id, method.name)),
        (None, Some(id)) => Some(format!("{class} attribute {id} {}", class.attribute_name(None, id))),
        (None, None) => None,
    }
}

fn block(
    dialogue: &mut Dialogue,
    walker: &mut Walker<'_>,
    transfer: Transfer,
    content: fn(&mut Dialogue, &mut Walker<'_>) -> Step,
) -> Step {
    let last = walker.flag("last-block")?;
    let number = u32::from(walker.u16("block-number")?);
    if let Some(whole) = push_block(dialogue, walker, transfer, (number, last), "raw-data")? {
        reassembled(dialogue, walker, &whole, content);
    }
    Ok(())
}

/// What the blocks of a transfer hold together. Blocks inside of it would be hostile: they meet an ended transfer.
fn reassembled(
    dialogue: &mut Dialogue,
    walker: &mut Walker<'_>,
    whole: &[u8],
    content: fn(&mut Dialogue, &mut Walker<'_>) -> Step,
) {
    if dialogue.nesting >= super::MAX_NESTING {
        return;
    }
    dialogue.nesting = dialogue.nesting.saturating_add(1);
    let node = Walker::new(whole, 0).tree("reassembled", |walker| content(dialogue, walker));
    dialogue.nesting = dialogue.nesting.saturating_sub(1);
    walker.push(node.with_text(format!("{} bytes", whole.len())));
}
