//! The text messages of IEC 62056-21: sign-on, identification, option select, break.

use super::node::{Fault, Node};
use crate::wire::iec62056_21::{BREAK, BaudCharacter, SignOnAnswer, without_parity};

/// Whether this is such a message, with or without parity in bit 7.
pub(super) fn is_message(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let is_option = |text: &[u8]| {
        matches!(text, [0x06, b'0'..=b'9', b'0'..=b'9' | b'A'..=b'I', b'0'..=b'9', b'\r', b'\n'])
    };
    is_option(&text)
        || text == BREAK
        || matches!(text.as_slice(), [b'/', b'?' | b'A'..=b'Z' | b'a'..=b'z', ..])
}

/// The characters, parity stripped where every octet has an even one and some have it set.
fn text(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.is_ascii() {
        return Some(bytes.to_vec());
    }
    bytes.iter().map(|&octet| without_parity(octet)).collect()
}

/// Reads one message.
pub(super) fn message(bytes: &[u8]) -> Node {
    let text = text(bytes).unwrap_or_default();
    let node =
        Node::new("iec62056-21", 0, bytes.len()).with_value(String::from_utf8_lossy(&text).into_owned());
    match text.as_slice() {
        [0x06, v, z, y, ..] => node.with_text(option(*v, *z, *y)),
        [0x01, ..] => node.with_text("break"),
        [b'/', b'?', rest @ ..] => {
            let address: Vec<u8> = rest.iter().copied().take_while(|&octet| octet != b'!').collect();
            let address = String::from_utf8_lossy(&address).into_owned();
            node.with_text(if address.is_empty() {
                "request, to whoever listens".to_owned()
            } else {
                format!("request to {address}")
            })
        }
        _ => identification(node, &text),
    }
}

fn option(v: u8, z: u8, y: u8) -> String {
    let mode = match (v, y) {
        (b'2', b'2') => "mode E, HDLC",
        (_, b'0') => "readout",
        (_, b'1') => "programming",
        _ => "another mode",
    };
    match BaudCharacter::new(z) {
        Ok(speed) => format!("option select: {mode} at {} baud", speed.baud()),
        Err(_) => format!("option select: {mode}"),
    }
}

fn identification(node: Node, text: &[u8]) -> Node {
    // A line that was pasted has lost its end.
    let line = [text.trim_ascii_end(), b"\r\n"].concat();
    match SignOnAnswer::parse(&line) {
        Ok(SignOnAnswer::Identification(found)) => {
            let manufacturer = String::from_utf8_lossy(&found.manufacturer);
            let name = String::from_utf8_lossy(found.identification);
            let mode = if found.offers_mode_e { "offers mode E" } else { "no mode E" };
            node.with_text(format!("{manufacturer} {name}, {} baud, {mode}", found.speed.baud()))
        }
        Ok(SignOnAnswer::Incomplete | SignOnAnswer::Readout) => node,
        Err(error) => node.with_error(Fault::wire(error, 0)),
    }
}
