//! DLMS clients that this project did not write: `tests/peers/gurux_read.py` and `tests/peers/cosem_read.py`.

use std::path::Path;

use serde_json::Value;

use super::python::python;

/// Whose library reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerClient {
    /// gurux-dlms.
    Gurux,
    /// dlms-cosem: no short names, no MD5 or SHA; always ciphers as general-glo with authentication and encryption.
    DlmsCosem,
}

/// One answer that a client printed.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) class: u16,
    /// `1.0.1.8.0.255`
    pub(crate) obis: String,
    pub(crate) attribute: i8,
    /// The rows asked for, from 1, both included, where the buffer of a profile was read by entry.
    pub(crate) entries: Option<(u64, u64)>,
    pub(crate) outcome: Outcome,
}

/// How the meter answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The A-XDR encoding of the Data in hexadecimal, and what the library's decoder made of it; `None` where its
    /// decoder lacks the type.
    Data { hex: String, value: Option<Value> },
    /// The library's words for a data-access-result.
    Refused(String),
}

impl PeerClient {
    /// Reads the meter on a port of 127.0.0.1 with arguments of `tests/peers/peer.py`, and panics unless the
    /// session runs to its end.
    pub(crate) fn read(self, port: u16, arguments: &[&str]) -> Vec<Answer> {
        let name = match self {
            Self::Gurux => "gurux_read.py",
            Self::DlmsCosem => "cosem_read.py",
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name);
        let output = python(&script)
            .args(["--port", &port.to_string()])
            .args(arguments)
            .output()
            .expect("the client starts");
        let text = String::from_utf8(output.stdout).expect("JSON lines");
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().last().unwrap_or_default();
        assert!(output.status.success(), "{name} {arguments:?}: {complaint}\nlast answer: {last}");
        text.lines().map(answer).collect()
    }
}

fn answer(line: &str) -> Answer {
    let json: Value = serde_json::from_str(line).expect("a JSON line");
    let integer = |key: &str| json[key].as_i64().unwrap_or_else(|| panic!("{key}: {line}"));
    let outcome = match json["error"].as_str() {
        Some(error) => Outcome::Refused(error.to_owned()),
        None => Outcome::Data {
            hex: json["hex"].as_str().expect("hex").to_owned(),
            value: json.get("value").cloned(),
        },
    };
    Answer {
        class: u16::try_from(integer("class")).expect("class"),
        obis: json["obis"].as_str().expect("obis").to_owned(),
        attribute: i8::try_from(integer("attribute")).expect("attribute"),
        entries: json["from_entry"].as_u64().zip(json["to_entry"].as_u64()),
        outcome,
    }
}
