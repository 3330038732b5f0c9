//! The traces of this process's lines, by the name of their connection: found by whoever switches them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::dissect::{self, Node};
use crate::transport::Trace;
use crate::transport::trace::Framing;

/// A line is traced over reconnections, restarts of its actor and changes of configuration, so its trace outlives all
/// of them. Like the log that it writes to, it belongs to the process.
static TRACES: Mutex<BTreeMap<String, Trace>> = Mutex::new(BTreeMap::new());

/// The trace of a connection; the same one whenever it is asked for.
#[must_use]
pub fn trace_of(connection: &str) -> Trace {
    let mut traces = TRACES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(trace) = traces.get(connection) {
        return trace.clone();
    }
    let trace = Trace::with_decoder(connection, Some(in_words));
    traces.insert(connection.to_owned(), trace.clone());
    trace
}

/// The framing that an interface has on the line.
#[must_use]
pub(super) const fn framing(interface: crate::bridge::config::document::device::Interface) -> Framing {
    use crate::bridge::config::document::device::Interface;

    match interface {
        Interface::Wrapper => Framing::Wrapper,
        Interface::Hdlc | Interface::HdlcModeE => Framing::Hdlc,
    }
}

/// An APDU in one line: names and values, secrets hidden.
fn in_words(apdu: &[u8]) -> Option<String> {
    let dissection = dissect::dissect_bytes(apdu, dissect::Settings::default());
    let words: Vec<String> = dissection.frames.iter().map(|frame| words(&frame.node)).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// `name{child, child}`, `name=value`: what the value means goes before its number, that before its octets.
fn words(node: &Node) -> String {
    let fault = node.error.as_ref().map(|fault| format!(" ({})", fault.message)).unwrap_or_default();
    if !node.children.is_empty() {
        let children: Vec<String> = node.children.iter().map(words).collect();
        return format!("{}{{{}}}{fault}", node.name, children.join(", "));
    }
    let value = node.value.as_ref().map(ToString::to_string);
    match node.text.clone().or(value).or_else(|| node.hex.clone()) {
        Some(value) => format!("{}={value}{fault}", node.name),
        None => format!("{}{fault}", node.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::trace::Layers;

    #[test]
    fn a_trace_is_found_by_the_name_of_its_connection() {
        trace_of("feeder 4 of the test").show(Layers::APDU);
        assert_eq!(trace_of("feeder 4 of the test").layers(), Layers::APDU);
        assert_eq!(trace_of("feeder 5 of the test").layers(), Layers::NONE);
    }

    #[test]
    fn apdus_are_put_into_words() {
        let get = [0xC0, 0x01, 0xC1, 0x00, 0x03, 0x01, 0x00, 0x01, 0x08, 0x00, 0xFF, 0x02, 0x00];
        let words = in_words(&get).unwrap();
        assert!(words.contains("get-request") && words.contains("1-0:1.8.0"), "{words}");
    }
}
