//! Frames in a run of bytes: finds out what it is, and reads one after the other.

use super::apdu::{apdu, apdu_or_data};
use super::dialogue::Dialogue;
use super::node::{Fault, FaultKind, Node};
use super::walker::Walker;
use super::{hdlc, m_bus, sign_on};
use crate::wire::cursor::Reader;
use crate::wire::hdlc::{FLAG, LLC_COMMAND, strip_llc};
use crate::wire::wrapper::HEADER;

/// Whether a run of bytes is whole, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Whole frames or a whole APDU.
    Whole,
    /// More bytes must follow.
    CutOff,
    /// Something else.
    Strange,
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy)]
enum Kind {
    Hdlc,
    Wrapper,
    MBus,
    SignOn,
    Llc,
    Apdu,
}

/// Reads every frame of a run of bytes. Offsets count from the first byte of each.
pub(super) fn frames(dialogue: &mut Dialogue, bytes: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let first = nodes.is_empty();
        // One flag may close a frame and open the next.
        let flags = rest.iter().take_while(|&&octet| octet == FLAG).count();
        if flags == rest.len() {
            if first {
                nodes.push(Node::new("flags", 0, flags));
            }
            break;
        }
        if flags > 1 {
            rest = rest.get(flags.saturating_sub(1)..).unwrap_or_default();
        }
        let (node, used) = match (kind(rest), first) {
            (Kind::Apdu | Kind::Llc | Kind::SignOn, false) => noise(rest),
            (Kind::Hdlc, _) => {
                let length = hdlc::extent(rest).unwrap_or(rest.len());
                let frame = rest.get(..length).unwrap_or(rest);
                // The closing flag stays where it may open the next frame.
                let shared = usize::from(length < rest.len() && frame.last() == Some(&FLAG));
                (hdlc::frame(dialogue, frame), length.saturating_sub(shared))
            }
            (Kind::Wrapper, _) => {
                let length = wrapper_length(rest).min(rest.len());
                (wrapper(dialogue, rest.get(..length).unwrap_or(rest)), length)
            }
            (Kind::MBus, _) => {
                let length = m_bus::extent(rest).unwrap_or(rest.len());
                (m_bus::frame(dialogue, rest.get(..length).unwrap_or(rest)), length)
            }
            (Kind::SignOn, true) => (sign_on::message(rest), rest.len()),
            (Kind::Llc, true) => (llc(dialogue, rest), rest.len()),
            (Kind::Apdu, true) => (apdu_or_data(dialogue, rest), rest.len()),
        };
        nodes.push(node);
        rest = rest.get(used.max(1)..).unwrap_or_default();
    }
    nodes
}

/// Whether `bytes` are whole.
pub(super) fn extent(bytes: &[u8]) -> Extent {
    match kind(bytes) {
        Kind::Hdlc => {
            let mut rest = bytes;
            while let Some(length) = hdlc::extent(rest) {
                if hdlc::is_cut_off(rest) {
                    return Extent::CutOff;
                }
                rest = rest.get(length.max(1)..).unwrap_or_default();
            }
            if hdlc::is_cut_off(rest) && !rest.is_empty() { Extent::CutOff } else { Extent::Whole }
        }
        Kind::Wrapper => {
            let mut rest = bytes;
            while rest.len() >= HEADER {
                let length = wrapper_length(rest);
                if length > rest.len() {
                    return Extent::CutOff;
                }
                rest = rest.get(length..).unwrap_or_default();
            }
            if rest.is_empty() { Extent::Whole } else { Extent::CutOff }
        }
        Kind::MBus => match m_bus::extent(bytes) {
            Some(length) if length <= bytes.len() => Extent::Whole,
            _ => Extent::CutOff,
        },
        Kind::SignOn => Extent::Whole,
        Kind::Llc | Kind::Apdu => {
            let node = match kind(bytes) {
                Kind::Llc => llc(&mut Dialogue::shut(), bytes),
                _ => apdu_or_data(&mut Dialogue::shut(), bytes),
            };
            let mut faults = node.walk().filter_map(|node| node.error.as_ref()).map(|fault| fault.kind);
            match faults.next() {
                None => Extent::Whole,
                Some(FaultKind::Truncated | FaultKind::Length) => Extent::CutOff,
                Some(_) => Extent::Strange,
            }
        }
    }
}

fn kind(bytes: &[u8]) -> Kind {
    match bytes {
        [FLAG, 0xA0..=0xAF, ..] | [FLAG] => Kind::Hdlc,
        [0xA0..=0xAF, ..] if is_unflagged_frame(bytes) => Kind::Hdlc,
        [0x00, 0x01, _, _, _, _, ..] | [0x00, 0x01] => Kind::Wrapper,
        _ if m_bus::is_frame(bytes) => Kind::MBus,
        _ if sign_on::is_message(bytes) => Kind::SignOn,
        _ if strip_llc(bytes).is_some() => Kind::Llc,
        _ => Kind::Apdu,
    }
}

/// A frame whose flags were stripped by the tool that logged it.
fn is_unflagged_frame(bytes: &[u8]) -> bool {
    let whole = bytes.strip_suffix(&[FLAG]).unwrap_or(bytes);
    crate::wire::hdlc::Frame::decode(whole).is_ok() || crate::wire::hdlc::Frame::decode(bytes).is_ok()
}

/// Octets up to the next frame, which belong to none.
fn noise(bytes: &[u8]) -> (Node, usize) {
    let next = bytes
        .windows(2)
        .skip(1)
        .position(|pair| matches!(pair, [FLAG, 0xA0..=0xAF | FLAG]))
        .map_or(bytes.len(), |at| at.saturating_add(1));
    let noise = bytes.get(..next).unwrap_or(bytes);
    let fault = Fault::new(FaultKind::Noise, 0, "bytes that belong to no frame");
    (Node::new("noise", 0, next).with_hex(noise).with_error(fault), next)
}

fn llc(dialogue: &mut Dialogue, bytes: &[u8]) -> Node {
    Walker::new(bytes, 0).tree("information", |walker| {
        let text = if bytes.starts_with(&LLC_COMMAND) { "command" } else { "response" };
        walker.bytes("LLC", LLC_COMMAND.len())?;
        walker.explain(text);
        let (inner, at) = (walker.rest(), walker.offset());
        walker.read(|reader| reader.take(inner.len()))?;
        walker.push(apdu(dialogue, inner, at));
        Ok(())
    })
}

/// Octets of the PDU that begins `bytes`, header included.
fn wrapper_length(bytes: &[u8]) -> usize {
    match bytes {
        [_, _, _, _, _, _, high, low, ..] => {
            usize::from(u16::from_be_bytes([*high, *low])).saturating_add(HEADER)
        }
        _ => HEADER,
    }
}

fn wrapper(dialogue: &mut Dialogue, bytes: &[u8]) -> Node {
    Walker::new(bytes, 0).tree("wrapper", |walker| {
        walker.u16("version")?;
        let source = walker.field("source-wPort", Reader::u16, port)?;
        let destination = walker.field("destination-wPort", Reader::u16, port)?;
        let length = usize::from(walker.u16("length")?);
        let (inner, at) = (walker.rest(), walker.offset());
        if inner.len() != length || length == 0 {
            let (kind, message) = if length == 0 {
                (FaultKind::Length, "no APDU".to_owned())
            } else {
                (FaultKind::Truncated, format!("{length} bytes are announced, {} are here", inner.len()))
            };
            walker.amend(|node| node.error = Some(Fault::new(kind, node.offset, message)));
        }
        dialogue.channel = [source.to_be_bytes(), destination.to_be_bytes()].concat();
        if !inner.is_empty() {
            walker.read(|reader| reader.take(inner.len()))?;
            walker.push(apdu(dialogue, inner, at));
        }
        Ok(())
    })
}

fn port(node: Node, &port: &u16) -> Node {
    let text = match port {
        1 => "management client or management logical device",
        16 => "public client",
        _ => return node.with_value(port),
    };
    node.with_value(port).with_text(text)
}
