//! GET, SET, ACTION and ACCESS: the services of logical name referencing.

use super::data::{self, count, numbered};
use super::dialogue::{Block, Dialogue, Request, Transfer};
use super::node::{Fault, FaultKind, Name, Node};
use super::subject::{Secrecy, Subject, attribute, attribute_with_selection, method, selection};
use super::walker::{Step, Walker};
use crate::cosem::catalogue::shape::Shape;
use crate::wire::data::Data;
use crate::wire::error::WireErrorKind;
use crate::wire::xdlms::{DataAccessResult, InvokeIdAndPriority, tag};

/// The name of an LN service's APDU by its tag and choice.
pub(super) const fn name(tag: u8, choice: u8) -> Option<&'static str> {
    Some(match (tag, choice) {
        (tag::GET_REQUEST, 1) => "get-request-normal",
        (tag::GET_REQUEST, 2) => "get-request-next",
        (tag::GET_REQUEST, 3) => "get-request-with-list",
        (tag::GET_RESPONSE, 1) => "get-response-normal",
        (tag::GET_RESPONSE, 2) => "get-response-with-datablock",
        (tag::GET_RESPONSE, 3) => "get-response-with-list",
        (tag::SET_REQUEST, 1) => "set-request-normal",
        (tag::SET_REQUEST, 2) => "set-request-with-first-datablock",
        (tag::SET_REQUEST, 3) => "set-request-with-datablock",
        (tag::SET_REQUEST, 4) => "set-request-with-list",
        (tag::SET_REQUEST, 5) => "set-request-with-list-and-first-datablock",
        (tag::SET_RESPONSE, 1) => "set-response-normal",
        (tag::SET_RESPONSE, 2) => "set-response-datablock",
        (tag::SET_RESPONSE, 3) => "set-response-last-datablock",
        (tag::SET_RESPONSE, 4) => "set-response-last-datablock-with-list",
        (tag::SET_RESPONSE, 5) => "set-response-with-list",
        (tag::ACTION_REQUEST, 1) => "action-request-normal",
        (tag::ACTION_REQUEST, 2) => "action-request-next-pblock",
        (tag::ACTION_REQUEST, 3) => "action-request-with-list",
        (tag::ACTION_REQUEST, 4) => "action-request-with-first-pblock",
        (tag::ACTION_REQUEST, 5) => "action-request-with-list-and-first-pblock",
        (tag::ACTION_REQUEST, 6) => "action-request-with-pblock",
        (tag::ACTION_RESPONSE, 1) => "action-response-normal",
        (tag::ACTION_RESPONSE, 2) => "action-response-with-pblock",
        (tag::ACTION_RESPONSE, 3) => "action-response-with-list",
        (tag::ACTION_RESPONSE, 4) => "action-response-next-pblock",
        _ => return None,
    })
}

/// Reads what follows the tag of a service that [`name`] knows.
pub(super) fn service(dialogue: &mut Dialogue, walker: &mut Walker<'_>, tag: u8) -> Step {
    let choice = walker.read(|reader| match (reader.position(), reader.u8()?) {
        (_, choice) if name(tag, choice).is_some() => Ok(choice),
        (at, choice) => Err(WireErrorKind::UnknownTag(choice).at(at)),
    })?;
    let invoke = walker.code("invoke-id-and-priority", invoke_text)?;
    match (tag, choice) {
        (tag::GET_REQUEST, 1) => {
            let subject = attribute_with_selection(walker)?;
            dialogue.asked(invoke, Request::One(subject));
        }
        (tag::GET_REQUEST, 3) => {
            let subjects = list(walker, "attribute-descriptor-list", attribute_with_selection)?;
            dialogue.asked(invoke, Request::List(subjects));
        }
        (tag::GET_REQUEST | tag::ACTION_REQUEST, 2) | (tag::SET_RESPONSE, 2) | (tag::ACTION_RESPONSE, 4) => {
            walker.u32("block-number")?;
        }
        (tag::GET_RESPONSE, 1) => {
            let subject = answered(walker, Request::one(dialogue.request(invoke)));
            data_result(dialogue, walker, "result", &subject)?;
        }
        (tag::GET_RESPONSE, 2) => get_block(dialogue, walker, invoke)?,
        (tag::GET_RESPONSE, 3) => {
            let request = dialogue.request(invoke);
            result_list(dialogue, walker, request.as_ref())?;
        }
        (tag::SET_REQUEST, 1) => {
            let subject = attribute_with_selection(walker)?;
            value(dialogue, walker, "value", &subject)?;
        }
        (tag::SET_REQUEST, 4) => {
            let subjects = list(walker, "attribute-descriptor-list", attribute_with_selection)?;
            values(dialogue, walker, "value-list", Some(&Request::List(subjects)))?;
        }
        (tag::SET_RESPONSE, 1) => drop(access_result(walker, "result")?),
        (tag::SET_RESPONSE, 3) => {
            access_result(walker, "result")?;
            walker.u32("block-number")?;
        }
        (tag::SET_RESPONSE, 4 | 5) => {
            list(walker, "result-list", |walker| access_result(walker, "result"))?;
            if choice == 4 {
                walker.u32("block-number")?;
            }
        }
        (tag::ACTION_REQUEST, 1) => {
            let subject = method(walker)?;
            if walker.flag("method-invocation-parameters present")? {
                value(dialogue, walker, "method-invocation-parameters", &subject)?;
            }
            dialogue.asked(invoke, Request::One(Subject { shape: Shape::Any, ..subject }));
        }
        (tag::ACTION_REQUEST, 3) => {
            let subjects = list(walker, "method-descriptor-list", method)?;
            values(dialogue, walker, "method-invocation-parameter-list", Some(&Request::List(subjects)))?;
        }
        (tag::ACTION_RESPONSE, 1) => {
            answered(walker, Request::one(dialogue.request(invoke)));
            action_outcome(dialogue, walker)?;
        }
        (tag::ACTION_RESPONSE, 3) => {
            list(walker, "list-of-responses", |walker| {
                walker.group("response", |walker| action_outcome(dialogue, walker))
            })?;
        }
        (tag::SET_REQUEST, 2) => {
            let subject = attribute_with_selection(walker)?;
            first_block(dialogue, walker, &Transfer::SetRequest, Request::One(subject))?;
        }
        (tag::SET_REQUEST, 5) => {
            let subjects = list(walker, "attribute-descriptor-list", attribute_with_selection)?;
            first_block(dialogue, walker, &Transfer::SetRequest, Request::List(subjects))?;
        }
        (tag::SET_REQUEST, _) => block(dialogue, walker, &Transfer::SetRequest)?,
        (tag::ACTION_REQUEST, 4) => {
            let subject = method(walker)?;
            first_block(dialogue, walker, &Transfer::ActionRequest, Request::One(subject))?;
        }
        (tag::ACTION_REQUEST, 5) => {
            let subjects = list(walker, "method-descriptor-list", method)?;
            first_block(dialogue, walker, &Transfer::ActionRequest, Request::List(subjects))?;
        }
        (tag::ACTION_REQUEST, _) => block(dialogue, walker, &Transfer::ActionRequest)?,
        _ => block(dialogue, walker, &Transfer::ActionResponse)?,
    }
    Ok(())
}

/// Reads what follows the tag of an access-request.
pub(super) fn access_request(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    super::notification::long_header(walker)?;
    let subjects = list(walker, "access-request-specification", access_specification)?;
    values(dialogue, walker, "access-request-list-of-data", Some(&Request::List(subjects.clone())))?;
    dialogue.asked(0, Request::List(subjects));
    Ok(())
}

/// Reads what follows the tag of an access-response.
pub(super) fn access_response(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    super::notification::long_header(walker)?;
    let mut request = dialogue.request(0);
    if walker.flag("access-request-specification present")? {
        request = Some(Request::List(list(walker, "access-request-specification", access_specification)?));
    }
    values(dialogue, walker, "access-response-list-of-data", request.as_ref())?;
    list(walker, "access-response-specification", |walker| {
        walker.group("access-response", |walker| {
            walker.code("choice", |choice| access_kind(choice).to_owned())?;
            access_result(walker, "result")
        })
    })?;
    Ok(())
}

const fn access_kind(choice: u8) -> &'static str {
    match choice {
        1 => "access-get",
        2 => "access-set",
        3 => "access-action",
        4 => "access-get-with-selection",
        5 => "access-set-with-selection",
        _ => "unknown access",
    }
}

fn access_specification(walker: &mut Walker<'_>) -> Step<Subject> {
    walker.group("access", |walker| {
        let choice = walker.read(|reader| match (reader.position(), reader.u8()?) {
            (_, choice @ 1..=5) => Ok(choice),
            (at, choice) => Err(WireErrorKind::UnknownTag(choice).at(at)),
        })?;
        let at = walker.offset().saturating_sub(1);
        walker.push(Node::new("choice", at, 1).with_value(choice).with_text(access_kind(choice)));
        match choice {
            3 => method(walker),
            4 | 5 => {
                let (class, subject) = attribute(walker)?;
                selection(walker, class, subject)
            }
            _ => attribute(walker).map(|(_, subject)| subject),
        }
    })
}

fn invoke_text(byte: u8) -> String {
    let invoke = InvokeIdAndPriority(byte);
    let class = if invoke.confirmed() { "confirmed" } else { "unconfirmed" };
    let priority = if invoke.high_priority() { "high" } else { "normal" };
    format!("invoke-id {}, {class}, {priority} priority", invoke.id())
}

/// Says which attribute a response is about, where its request was seen.
fn answered(walker: &mut Walker<'_>, subject: Subject) -> Subject {
    if !subject.text.is_empty() {
        walker.push(Node::new("answers", walker.offset(), 0).with_text(subject.text.clone()));
    }
    subject
}

/// A count and as many items.
pub(super) fn list<T>(
    walker: &mut Walker<'_>,
    name: &'static str,
    mut item: impl FnMut(&mut Walker<'_>) -> Step<T>,
) -> Step<Vec<T>> {
    walker.group(name, |walker| {
        let count = count(walker)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(walker)?);
        }
        Ok(items)
    })
}

/// A data-access-result or action-result.
pub(super) fn access_result(walker: &mut Walker<'_>, name: impl Into<Name>) -> Step<u8> {
    walker.code(name, |code| DataAccessResult::from_code(code).name().to_owned())
}

/// `00` and a value, or `01` and a data-access-result.
pub(super) fn data_result(
    dialogue: &Dialogue,
    walker: &mut Walker<'_>,
    name: impl Into<Name>,
    subject: &Subject,
) -> Step {
    walker.group(name, |walker| match choice(walker, 1)? {
        0 => value(dialogue, walker, "data", subject),
        _ => access_result(walker, "data-access-result").map(drop),
    })
}

/// A choice from 0 to `last`.
pub(super) fn choice(walker: &mut Walker<'_>, last: u8) -> Step<u8> {
    walker.read(|reader| match (reader.position(), reader.u8()?) {
        (_, choice) if choice <= last => Ok(choice),
        (at, choice) => Err(WireErrorKind::UnknownTag(choice).at(at)),
    })
}

/// A value of the subject's form, unless it is a secret.
fn value(dialogue: &Dialogue, walker: &mut Walker<'_>, name: impl Into<Name>, subject: &Subject) -> Step {
    if subject.secrecy == Secrecy::Secret && !dialogue.shows_secrets() {
        walker.conceal();
        return walker.field(name, Data::decode, |node: Node, _: &Data| node.with_text("***")).map(drop);
    }
    data::data(walker, name, subject.shape)
}

fn values(
    dialogue: &Dialogue,
    walker: &mut Walker<'_>,
    name: &'static str,
    request: Option<&Request>,
) -> Step {
    walker.group(name, |walker| {
        for index in 0..count(walker)? {
            value(dialogue, walker, numbered("value", index), &Request::nth(request, index))?;
        }
        Ok(())
    })
}

fn result_list(dialogue: &Dialogue, walker: &mut Walker<'_>, request: Option<&Request>) -> Step {
    walker.group("result", |walker| {
        for index in 0..count(walker)? {
            let subject = Request::nth(request, index);
            data_result(dialogue, walker, numbered("result", index), &subject)?;
            if !subject.text.is_empty() {
                walker.explain(subject.text);
            }
        }
        Ok(())
    })
}

fn action_outcome(dialogue: &Dialogue, walker: &mut Walker<'_>) -> Step {
    access_result(walker, "action-result")?;
    if walker.flag("return-parameters present")? {
        data_result(dialogue, walker, "return-parameters", &Subject::unknown())?;
    }
    Ok(())
}

fn get_block(dialogue: &mut Dialogue, walker: &mut Walker<'_>, invoke: u8) -> Step {
    let last = walker.flag("last-block")?;
    let number = walker.u32("block-number")?;
    if choice(walker, 1)? == 1 {
        dialogue.transfers.remove(&Transfer::GetResponse);
        return access_result(walker, "data-access-result").map(drop);
    }
    let request = dialogue.request(invoke);
    raw_block(dialogue, walker, &Transfer::GetResponse, (number, last), request.as_ref())
}

fn first_block(
    dialogue: &mut Dialogue,
    walker: &mut Walker<'_>,
    transfer: &Transfer,
    request: Request,
) -> Step {
    dialogue.transfers.entry(transfer.clone()).or_default().request = Some(request);
    block(dialogue, walker, transfer)
}

fn block(dialogue: &mut Dialogue, walker: &mut Walker<'_>, transfer: &Transfer) -> Step {
    let last = walker.flag("last-block")?;
    let number = walker.u32("block-number")?;
    let request = dialogue.transfers.get(transfer).and_then(|blocks| blocks.request.clone());
    let is_secret = matches!(&request, Some(Request::One(subject)) if subject.secrecy == Secrecy::Secret);
    if is_secret && !dialogue.shows_secrets() {
        walker.conceal();
    }
    raw_block(dialogue, walker, transfer, (number, last), request.as_ref())
}

fn raw_block(
    dialogue: &mut Dialogue,
    walker: &mut Walker<'_>,
    transfer: &Transfer,
    (number, last): (u32, bool),
    request: Option<&Request>,
) -> Step {
    let Some(whole) = push_block(dialogue, walker, transfer.clone(), (number, last), "raw-data")? else {
        return Ok(());
    };
    let inside = &mut Walker::new(&whole, 0);
    let is_list = match request {
        Some(Request::List(_)) => true,
        Some(Request::One(_)) => false,
        None => Data::from_bytes(&whole).is_err(),
    };
    let _ = inside.group("reassembled", |walker| {
        match (transfer, is_list) {
            (Transfer::GetResponse, true) => result_list(dialogue, walker, request)?,
            (Transfer::ActionResponse, _) if Data::from_bytes(&whole).is_err() => {
                data_result(dialogue, walker, "return-parameters", &Subject::unknown())?;
            }
            (_, true) => values(dialogue, walker, "values", request)?,
            (_, false) => {
                let subject = answered(walker, Request::one(request.cloned()));
                value(dialogue, walker, "data", &subject)?;
            }
        }
        walker.finish()
    });
    inside.amend(|node| node.text = Some(format!("{} bytes of {number} blocks", whole.len())));
    inside.take_nodes().into_iter().for_each(|node| walker.push(node));
    Ok(())
}

/// Reads the bytes of a block and puts them to those before; all of them after the last.
pub(super) fn push_block(
    dialogue: &mut Dialogue,
    walker: &mut Walker<'_>,
    transfer: Transfer,
    (number, last): (u32, bool),
    name: &'static str,
) -> Step<Option<Vec<u8>>> {
    let raw = walker.octets(name)?;
    let at = walker.offset();
    let pushed = dialogue.transfers.entry(transfer).or_default().push(number, last, raw);
    match pushed {
        Block::Complete(whole) => return Ok(Some(whole)),
        Block::Continues(bytes) => walker.explain(format!("{bytes} bytes so far, more blocks follow")),
        Block::Repeated => walker.explain("the block before once more"),
        Block::Expected(expected) => {
            let message = if expected == 1 {
                format!("block {number} without the blocks before it")
            } else {
                format!("block {number} instead of {expected}")
            };
            walker.amend(|node| node.error = Some(Fault::new(FaultKind::Sequence, at, message)));
        }
    }
    Ok(None)
}
