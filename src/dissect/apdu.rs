//! One APDU of any kind: its tag decides who reads the rest.

use super::data;
use super::dialogue::{Block, Dialogue, Transfer};
use super::node::{Fault, FaultKind, Node};
use super::walker::{Step, Walker};
use super::{MAX_NESTING, acse, initiate, logical_name, notification, protection, short_name};
use crate::cosem::catalogue::shape::Shape;
use crate::wire::acse::{AARE, AARQ, RLRE, RLRQ};
use crate::wire::cursor::Reader;
use crate::wire::data::Data;
use crate::wire::error::WireErrorKind;
use crate::wire::xdlms::fault::{ConfirmedServiceError, ExceptionResponse, ServiceError};
use crate::wire::xdlms::tag;

/// Name of what has no known tag.
pub(super) const UNKNOWN: &str = "unknown APDU";

/// Reads an APDU whose first byte stands at `at`.
pub(super) fn apdu(dialogue: &mut Dialogue, bytes: &[u8], at: usize) -> Node {
    let Some(&tag) = bytes.first() else {
        return Node::new("APDU", at, 0).with_error(Fault::new(FaultKind::Truncated, at, "no APDU"));
    };
    if dialogue.nesting >= MAX_NESTING {
        let fault = Fault::new(FaultKind::TooDeep, at, "APDUs nested too deep");
        return Node::new("APDU", at, bytes.len()).with_hex(bytes).with_error(fault);
    }
    dialogue.nesting = dialogue.nesting.saturating_add(1);
    let node = read(dialogue, tag, bytes, at);
    dialogue.nesting = dialogue.nesting.saturating_sub(1);
    node
}

/// Reads what someone pasted: an APDU, or a bare value where that fits better.
pub(super) fn apdu_or_data(dialogue: &mut Dialogue, bytes: &[u8]) -> Node {
    let is_data = Data::from_bytes(bytes).is_ok();
    if !is_data {
        return apdu(dialogue, bytes, 0);
    }
    let trial = apdu(&mut Dialogue::shut(), bytes, 0);
    if trial.name == UNKNOWN || trial.faults() > 0 {
        return data_tree(bytes);
    }
    let mut node = apdu(dialogue, bytes, 0);
    node.text = Some(format!("could be a bare value too: {}", value_in_words(bytes)));
    node
}

fn value_in_words(bytes: &[u8]) -> String {
    let tree = data_tree(bytes);
    let kind = tree.data_type.unwrap_or("value");
    match (&tree.value, &tree.hex) {
        (Some(value), _) => format!("{kind} {value}"),
        (None, Some(hex)) => format!("{kind} {hex}"),
        (None, None) => kind.to_owned(),
    }
}

fn data_tree(bytes: &[u8]) -> Node {
    let mut walker = Walker::new(bytes, 0);
    let _ = data::data(&mut walker, "data", Shape::Any);
    walker.take_nodes().pop().unwrap_or_else(|| Node::new("data", 0, 0))
}

/// A telegram of readable lines, as some meters push it inside a ciphered APDU.
pub(super) fn is_telegram(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'/')
        && bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b'\t' | 0x20..=0x7E))
}

fn read(dialogue: &mut Dialogue, tag: u8, bytes: &[u8], at: usize) -> Node {
    if is_telegram(bytes) {
        let text = String::from_utf8_lossy(bytes);
        return Node::new("telegram", at, bytes.len()).with_value(text.into_owned());
    }
    let name = match tag {
        tag::GET_REQUEST..=tag::SET_REQUEST | tag::ACTION_REQUEST..=tag::ACTION_RESPONSE => {
            bytes.get(1).and_then(|&choice| logical_name::name(tag, choice)).or_else(|| name(tag))
        }
        _ => name(tag),
    };
    Walker::new(bytes, at).tree(name.unwrap_or(UNKNOWN), |walker| {
        if name.is_none() {
            return walker.read(|reader| Err(WireErrorKind::UnknownTag(tag).at(reader.position())));
        }
        walker.read(Reader::u8)?;
        match tag {
            tag::INITIATE_REQUEST => initiate::request(dialogue, walker),
            tag::INITIATE_RESPONSE => initiate::response(walker),
            tag::READ_REQUEST => short_name::read_request(dialogue, walker),
            tag::READ_RESPONSE => short_name::read_response(dialogue, walker),
            tag::WRITE_REQUEST | tag::UNCONFIRMED_WRITE_REQUEST => {
                short_name::write_request(dialogue, walker)
            }
            tag::WRITE_RESPONSE => short_name::write_response(walker),
            tag::INFORMATION_REPORT => short_name::information_report(dialogue, walker),
            tag::CONFIRMED_SERVICE_ERROR => confirmed_service_error(walker),
            tag::EXCEPTION_RESPONSE => exception_response(walker),
            tag::DATA_NOTIFICATION => notification::data_notification(walker),
            tag::DATA_NOTIFICATION_CONFIRM => notification::long_header(walker),
            tag::EVENT_NOTIFICATION => notification::event_notification(walker),
            tag::ACCESS_REQUEST => logical_name::access_request(dialogue, walker),
            tag::ACCESS_RESPONSE => logical_name::access_response(dialogue, walker),
            tag::GENERAL_GLO_CIPHERING | tag::GENERAL_DED_CIPHERING => {
                protection::general(dialogue, walker, tag)
            }
            tag::GENERAL_CIPHERING => protection::general_ciphering(dialogue, walker),
            tag::GENERAL_SIGNING => protection::general_signing(dialogue, walker),
            tag::GENERAL_BLOCK_TRANSFER => general_block_transfer(dialogue, walker),
            tag::GATEWAY_REQUEST | tag::GATEWAY_RESPONSE => gateway(dialogue, walker),
            AARQ | AARE | RLRQ | RLRE => acse::service(dialogue, walker, bytes),
            _ if tag::plain_of(tag).is_some() => protection::service_specific(dialogue, walker, tag),
            _ => logical_name::service(dialogue, walker, tag),
        }
    })
}

/// The standard's name of the APDU with this tag.
fn name(tag: u8) -> Option<&'static str> {
    Some(match tag {
        tag::INITIATE_REQUEST => "InitiateRequest",
        tag::READ_REQUEST => "ReadRequest",
        tag::WRITE_REQUEST => "WriteRequest",
        tag::INITIATE_RESPONSE => "InitiateResponse",
        tag::READ_RESPONSE => "ReadResponse",
        tag::WRITE_RESPONSE => "WriteResponse",
        tag::CONFIRMED_SERVICE_ERROR => "ConfirmedServiceError",
        tag::DATA_NOTIFICATION => "data-notification",
        tag::DATA_NOTIFICATION_CONFIRM => "data-notification-confirm",
        tag::UNCONFIRMED_WRITE_REQUEST => "UnconfirmedWriteRequest",
        tag::INFORMATION_REPORT => "InformationReportRequest",
        AARQ => "AARQ",
        AARE => "AARE",
        RLRQ => "RLRQ",
        RLRE => "RLRE",
        tag::GET_REQUEST => "get-request",
        tag::SET_REQUEST => "set-request",
        tag::EVENT_NOTIFICATION => "event-notification-request",
        tag::ACTION_REQUEST => "action-request",
        tag::GET_RESPONSE => "get-response",
        tag::SET_RESPONSE => "set-response",
        tag::ACTION_RESPONSE => "action-response",
        tag::EXCEPTION_RESPONSE => "exception-response",
        tag::ACCESS_REQUEST => "access-request",
        tag::ACCESS_RESPONSE => "access-response",
        tag::GENERAL_GLO_CIPHERING => "general-glo-ciphering",
        tag::GENERAL_DED_CIPHERING => "general-ded-ciphering",
        tag::GENERAL_CIPHERING => "general-ciphering",
        tag::GENERAL_SIGNING => "general-signing",
        tag::GENERAL_BLOCK_TRANSFER => "general-block-transfer",
        tag::GATEWAY_REQUEST => "gateway-request",
        tag::GATEWAY_RESPONSE => "gateway-response",
        _ => return ciphered_name(tag),
    })
}

const fn ciphered_name(outer: u8) -> Option<&'static str> {
    let Some(plain) = tag::plain_of(outer) else { return None };
    Some(match (plain, tag::is_ded(outer)) {
        (tag::INITIATE_REQUEST, false) => "glo-initiateRequest",
        (tag::READ_REQUEST, false) => "glo-readRequest",
        (tag::WRITE_REQUEST, false) => "glo-writeRequest",
        (tag::INITIATE_RESPONSE, false) => "glo-initiateResponse",
        (tag::READ_RESPONSE, false) => "glo-readResponse",
        (tag::WRITE_RESPONSE, false) => "glo-writeResponse",
        (tag::CONFIRMED_SERVICE_ERROR, false) => "glo-confirmedServiceError",
        (tag::UNCONFIRMED_WRITE_REQUEST, false) => "glo-unconfirmedWriteRequest",
        (tag::INFORMATION_REPORT, false) => "glo-informationReportRequest",
        (tag::GET_REQUEST, false) => "glo-get-request",
        (tag::SET_REQUEST, false) => "glo-set-request",
        (tag::EVENT_NOTIFICATION, false) => "glo-event-notification-request",
        (tag::ACTION_REQUEST, false) => "glo-action-request",
        (tag::GET_RESPONSE, false) => "glo-get-response",
        (tag::SET_RESPONSE, false) => "glo-set-response",
        (tag::ACTION_RESPONSE, false) => "glo-action-response",
        (tag::INITIATE_REQUEST, true) => "ded-initiateRequest",
        (tag::READ_REQUEST, true) => "ded-readRequest",
        (tag::WRITE_REQUEST, true) => "ded-writeRequest",
        (tag::INITIATE_RESPONSE, true) => "ded-initiateResponse",
        (tag::READ_RESPONSE, true) => "ded-readResponse",
        (tag::WRITE_RESPONSE, true) => "ded-writeResponse",
        (tag::CONFIRMED_SERVICE_ERROR, true) => "ded-confirmedServiceError",
        (tag::UNCONFIRMED_WRITE_REQUEST, true) => "ded-unconfirmedWriteRequest",
        (tag::INFORMATION_REPORT, true) => "ded-informationReportRequest",
        (tag::GET_REQUEST, true) => "ded-get-request",
        (tag::SET_REQUEST, true) => "ded-set-request",
        (tag::EVENT_NOTIFICATION, true) => "ded-event-notification-request",
        (tag::ACTION_REQUEST, true) => "ded-action-request",
        (tag::GET_RESPONSE, true) => "ded-get-response",
        (tag::SET_RESPONSE, true) => "ded-set-response",
        (tag::ACTION_RESPONSE, true) => "ded-action-response",
        _ => return None,
    })
}

fn confirmed_service_error(walker: &mut Walker<'_>) -> Step {
    let error = |service, class, value| ConfirmedServiceError { service, class, value };
    let service = walker.code("service", |service| error(service, 0, 0).service_name().to_owned())?;
    let class = walker.code("service-error", |class| error(service, class, 0).class_name().to_owned())?;
    walker.code("error", |value| error(service, class, value).value_name().to_owned()).map(drop)
}

fn exception_response(walker: &mut Walker<'_>) -> Step {
    let exception = |state, service| ExceptionResponse {
        state,
        service: ServiceError::from_code(service),
        invocation_counter: None,
    };
    walker.code("state-error", |state| exception(state, 0).state_name().to_owned())?;
    let service = walker.code("service-error", |service| exception(0, service).service.name().to_owned())?;
    let is_counter = ServiceError::from_code(service) == ServiceError::InvocationCounterError;
    if is_counter && !walker.is_empty() {
        walker.u32("invocation-counter")?;
        walker.explain("the counter that the server expects");
    }
    Ok(())
}

fn general_block_transfer(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    let control = walker.code("block-control", |control| {
        let last = if control & 0x80 == 0 { "more blocks follow" } else { "last block" };
        let streaming = if control & 0x40 == 0 { "no streaming" } else { "streaming" };
        format!("{last}, {streaming}, window {}", control & 0x3F)
    })?;
    let number = walker.u16("block-number")?;
    let acknowledged = walker.u16("block-number-ack")?;
    if walker.rest() == [0] {
        walker.octets("block-data")?;
        walker.explain(format!("none: acknowledges block {acknowledged}"));
        return Ok(());
    }
    let transfer = Transfer::General(dialogue.channel.clone());
    let last = control & 0x80 != 0;
    let raw = walker.octets("block-data")?;
    let at = walker.offset();
    let blocks = dialogue.transfers.entry(transfer).or_default();
    match blocks.push(u32::from(number), last, raw) {
        Block::Complete(whole) => {
            let node = apdu(dialogue, &whole, 0);
            let text = format!("{} bytes of {number} blocks", whole.len());
            walker.push(Node::new("reassembled", 0, whole.len()).with_text(text).with_children(vec![node]));
        }
        Block::Continues(bytes) => walker.explain(format!("{bytes} bytes so far, more blocks follow")),
        Block::Repeated => walker.explain("the block before once more"),
        Block::Expected(expected) => {
            let message = format!("block {number} instead of {expected}");
            walker.amend(|node| node.error = Some(Fault::new(FaultKind::Sequence, at, message)));
        }
    }
    Ok(())
}

/// A prefix that says in which network and for which device the APDU behind it is.
fn gateway(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    walker.u8("network-id")?;
    walker.octets("physical-device-address")?;
    let (inner, at) = (walker.rest(), walker.offset());
    walker.read(|reader| reader.take(inner.len()))?;
    walker.push(apdu(dialogue, inner, at));
    Ok(())
}
