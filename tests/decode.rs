//! `dissect` against the vectors: what a frame holds, what is wrong with it, and what a whole dialogue tells.

mod support;

use dlms2mqtt::dissect::{Dissection, FaultKind, Node, Secrets, Settings, dissect_bytes, dissect_text};
use dlms2mqtt::security::{Key, SystemTitle};
use dlms2mqtt::wire::data::Data;
use serde_json::Value;
use support::vectors::{Sender, Vector, captured, data, to_hex, vectors};

/// The keys and the title that a vector names.
fn settings(vector: &Vector) -> Settings {
    let key = |name: &str| vector.input(name).as_str().map(|text| Key::from_hex(text).expect("a key"));
    let title = ["system_title", "client_system_title"].map(|name| vector.input(name).as_str());
    Settings {
        key: key("block_cipher_key"),
        authentication_key: key("authentication_key"),
        system_title: title
            .into_iter()
            .flatten()
            .next()
            .map(|text| SystemTitle::from_hex(text).expect("a title")),
        secrets: Secrets::Hidden,
    }
}

fn dissected(vector: &Vector) -> Dissection {
    dissect_text(&to_hex(&vector.hex()), settings(vector))
}

fn assert_clean(vector: &Vector, found: &Dissection) {
    let faults: Vec<_> = faults(found);
    assert_eq!(found.errors, 0, "{}: {faults:?}", vector.name);
    assert!(!found.frames.is_empty(), "{}", vector.name);
}

fn faults(found: &Dissection) -> Vec<String> {
    nodes(found)
        .filter_map(|node| node.error.as_ref().map(|error| format!("{}: {}", node.name, error.message)))
        .collect()
}

fn nodes(found: &Dissection) -> impl Iterator<Item = &Node> {
    found.frames.iter().flat_map(|frame| frame.node.walk())
}

fn find<'a>(found: &'a Dissection, name: &str) -> &'a Node {
    nodes(found).find(|node| node.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// Whether a node shows this value, all of it, and nothing else.
fn assert_shows(name: &str, node: &Node, value: &Data) {
    assert_eq!(node.data_type, Some(value.type_name()), "{name}");
    if let Data::CompactArray(array) = value {
        let contents = node.find("array-contents").expect("contents");
        assert_eq!(contents.children.len(), array.elements().len(), "{name}");
        contents
            .children
            .iter()
            .zip(array.elements())
            .for_each(|(node, value)| assert_shows(name, node, value));
        return;
    }
    if let Some(elements) = value.elements() {
        assert_eq!(node.children.len(), elements.len(), "{name}");
        let mut at = node.children.first().map(|first| first.offset);
        for (node, value) in node.children.iter().zip(elements) {
            assert_eq!(at, Some(node.offset), "{name}: elements follow each other");
            at = Some(node.offset + node.length);
            assert_shows(name, node, value);
        }
        return;
    }
    match value {
        Data::Null | Data::DontCare => assert_eq!((&node.value, &node.hex), (&None, &None), "{name}"),
        Data::OctetString(octets) => assert_eq!(node.hex, Some(to_hex(octets)), "{name}"),
        Data::Boolean(value) => assert_eq!(node.value, Some(Value::from(*value)), "{name}"),
        Data::BitString(bits) => assert_eq!(node.value, Some(Value::from(bits.to_string())), "{name}"),
        Data::VisibleString(octets) | Data::Utf8String(octets) => {
            assert_eq!(node.value, Some(Value::from(String::from_utf8_lossy(octets))), "{name}");
        }
        Data::Float32(value) => assert_eq!(node.value, Some(Value::from(f64::from(*value))), "{name}"),
        Data::Float64(value) => assert_eq!(node.value, Some(Value::from(*value)), "{name}"),
        Data::Long64(value) => assert_eq!(node.value, Some(Value::from(*value)), "{name}"),
        Data::Long64Unsigned(value) => assert_eq!(node.value, Some(Value::from(*value)), "{name}"),
        Data::DateTime(value) => assert_eq!(node.value, Some(Value::from(value.to_string())), "{name}"),
        Data::Date(value) => assert_eq!(node.value, Some(Value::from(value.to_string())), "{name}"),
        Data::Time(value) => assert_eq!(node.value, Some(Value::from(value.to_string())), "{name}"),
        integer => {
            let bytes = integer.to_bytes();
            let sign = matches!(bytes.first(), Some(0x05 | 0x0D | 0x0F | 0x10 | 0x1C | 0x1D | 0x1E));
            let start = if sign && bytes[1] & 0x80 != 0 { -1i64 } else { 0 };
            let number = bytes[1..].iter().fold(start, |number, &byte| number << 8 | i64::from(byte));
            assert_eq!(node.value, Some(Value::from(number)), "{name}");
        }
    }
}

#[test]
fn values() {
    let mut checked = 0;
    for vector in vectors("data").iter().filter(|vector| !vector.input("data").is_null()) {
        let found = dissect_bytes(&vector.hex(), Settings::default());
        let value = data(vector.input("data"));
        let node = &found.frames[0].node;
        // An octet or two that could be an APDU as well say so.
        if node.name == "data" {
            assert_clean(vector, &found);
            assert_shows(&vector.name, node, &value);
            assert_eq!((node.offset, node.length), (0, vector.hex().len()), "{}", vector.name);
            checked += 1;
        } else {
            let text = node.text.as_deref().unwrap_or_default();
            assert!(text.contains(value.type_name()), "{}: {} {text}", vector.name, node.name);
        }
    }
    assert!(checked >= 78, "{checked}");
    for vector in vectors("data").iter().filter(|vector| !vector.is_valid()) {
        assert!(dissected(vector).errors > 0, "{}", vector.name);
    }
}

#[test]
fn hdlc_frames() {
    let (mut checked, mut parameters) = (0, 0);
    for vector in vectors("hdlc") {
        if vector.json["exchange"].is_array() {
            let text = lines(&vector);
            let found = dissect_text(&text, Settings::default());
            assert_clean(&vector, &found);
            let reassembled = nodes(&found).filter(|node| node.name == "reassembled").count();
            assert_eq!(reassembled, 1, "{}", vector.name);
            checked += 1;
        } else if vector.hex().first() == Some(&0x7E) {
            let found = dissected(&vector);
            if vector.is_valid() {
                assert_clean(&vector, &found);
                let given = |key: &str| vector.input(key).as_str().map(str::to_owned);
                let control = u8::from_str_radix(&given("control").expect("control"), 16).expect("hex");
                assert_eq!(find(&found, "control").value, Some(Value::from(control)));
                assert_eq!(find(&found, "destination-address").hex, given("destination"));
                assert_eq!(find(&found, "source-address").hex, given("source"));
                for (name, key) in [
                    ("max-info-field-length-transmit", "max_info_tx"),
                    ("max-info-field-length-receive", "max_info_rx"),
                    ("window-size-transmit", "window_tx"),
                    ("window-size-receive", "window_rx"),
                ] {
                    if !vector.input(key).is_null() {
                        assert_eq!(find(&found, name).value.as_ref(), Some(vector.input(key)));
                        parameters += 1;
                    }
                }
            } else {
                assert!(found.errors > 0, "{}", vector.name);
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 27, "frames and exchanges");
    assert!(parameters >= 10, "{parameters} parameters");
}

#[test]
fn wrapper_pdus() {
    let mut checked = 0;
    for vector in vectors("wrapper").iter().filter(|vector| vector.json["hex"].is_string()) {
        let found = dissected(vector);
        if vector.name == "wrapper-1-1-21" {
            // Its APDU is a filler of zeros.
            assert_eq!(faults(&found), ["undecoded: unexpected bytes follow"]);
        } else {
            assert_clean(vector, &found);
        }
        if vector.input("apdu").is_string() {
            assert_eq!(&find(&found, "source-wPort").value, &Some(vector.input("source_wport").clone()));
            assert_eq!(
                find(&found, "destination-wPort").value.as_ref(),
                Some(vector.input("destination_wport"))
            );
            checked += 1;
        }
        if let Some(apdus) = vector.expected("apdus").as_array() {
            assert_eq!(found.frames.len(), apdus.len(), "{}", vector.name);
        }
    }
    assert_eq!(checked, 3);
}

#[test]
fn associations() {
    let mut deciphered = 0;
    for vector in vectors("association") {
        let found = dissected(&vector);
        assert_clean(&vector, &found);
        assert!(!json(&found).contains("3132333435363738"), "{}: a password is shown", vector.name);
        if vector.input("security").is_string() {
            let ok = find(&found, "verification").text.as_deref();
            assert!(matches!(ok, Some("tag ok" | "no tag")), "{}: {ok:?}", vector.name);
            let inside = |name: &str| nodes(&found).any(|node| node.name == name);
            let is_error = inside("ConfirmedServiceError");
            assert!(
                is_error || inside("proposed-conformance") || inside("negotiated-conformance"),
                "{}",
                vector.name
            );
            deciphered += 1;
        }
    }
    assert!(deciphered > 10, "{deciphered}");
    for vector in captured("association", 10) {
        assert_clean(&vector, &dissected(&vector));
    }
}

#[test]
fn services() {
    for vector in vectors("xdlms").into_iter().chain(captured("xdlms", 2)) {
        let found = dissected(&vector);
        assert_clean(&vector, &found);
        for (name, key) in [("data", "data"), ("notification-body", "body")] {
            let expected = vector.expected(key);
            if expected.is_object() {
                assert_shows(&vector.name, find(&found, name), &data(expected));
            }
        }
        if let (Some(name), Some(node)) = (
            vector.expected("name").as_str(),
            nodes(&found).find(|node| matches!(node.name.as_ref(), "data-access-result" | "result")),
        ) && node.children.is_empty()
        {
            assert_eq!(node.text.as_deref(), Some(name), "{}", vector.name);
        }
    }
}

#[test]
fn ciphered_apdus() {
    let (mut opened, mut refused) = (0, 0);
    for vector in vectors("security") {
        if !vector.json["hex"].is_string() || vector.input("system_title").is_null() {
            continue;
        }
        let mut settings = settings(&vector);
        if settings.key.is_none() {
            // Vectors that must be refused name no keys: they use those of all others.
            settings.key = Key::from_hex("000102030405060708090a0b0c0d0e0f").ok();
            settings.authentication_key = Key::from_hex("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf").ok();
        }
        let found = dissect_text(&to_hex(&vector.hex()), settings);
        if vector.is_valid() {
            assert_clean(&vector, &found);
            let ok = find(&found, "verification").text.clone();
            assert!(matches!(ok.as_deref(), Some("tag ok" | "no tag")), "{}: {ok:?}", vector.name);
            if let Some(plain) = vector.input("plaintext").as_str() {
                let mut alone = dissect_text(plain, Settings::default());
                // Only what stands alone could be a bare value too.
                alone.frames[0].node.text = None;
                let inside = nodes(&found).find(|node| node.name == alone.frames[0].node.name);
                assert_eq!(inside.map(shape), Some(shape(&alone.frames[0].node)), "{}", vector.name);
                opened += 1;
            }
        } else {
            assert!(found.errors > 0, "{}", vector.name);
            refused += 1;
        }
    }
    assert!(opened >= 30 && refused >= 4, "{opened} opened, {refused} refused");
    for vector in captured("security", 4) {
        assert_clean(&vector, &dissected(&vector));
    }
}

/// A tree without offsets.
fn shape(node: &Node) -> Value {
    let mut value = serde_json::to_value(node).expect("JSON");
    strip(&mut value);
    value
}

fn strip(value: &mut Value) {
    if let Value::Object(object) = value {
        object.remove("offset");
        if let Some(Value::Array(children)) = object.get_mut("children") {
            children.iter_mut().for_each(strip);
        }
    }
}

fn json(found: &Dissection) -> String {
    serde_json::to_string(found).expect("JSON")
}

/// The exchange as a log.
fn lines(vector: &Vector) -> String {
    let line = |(sender, bytes): (Sender, Vec<u8>)| match sender {
        Sender::Client => format!("TX: {}\n", to_hex(&bytes)),
        Sender::Server => format!("RX: {}\n", to_hex(&bytes)),
    };
    vector.exchange().into_iter().map(line).collect()
}

#[test]
fn block_transfers() {
    for vector in vectors("blocks") {
        let found = dissect_text(&lines(&vector), Settings::default());
        if vector.name == "get-block-out-of-order" {
            let fault = nodes(&found).find_map(|node| node.error.as_ref()).expect("an error");
            assert_eq!((found.errors, fault.kind), (1, FaultKind::Sequence));
            continue;
        }
        assert_clean(&vector, &found);
        let reassembled: Vec<_> = nodes(&found).filter(|node| node.name == "reassembled").collect();
        let expected = usize::from(vector.name != "get-block-aborted");
        assert_eq!(reassembled.len(), expected, "{}", vector.name);
        let value = vector.expected("data");
        if value.is_object() {
            let node = reassembled[0].walk().find(|node| node.data_type.is_some()).expect("a value");
            assert_shows(&vector.name, node, &data(value));
        }
    }
}

#[test]
fn sign_on() {
    for vector in vectors("mode_e") {
        let found = dissected(&vector);
        assert_clean(&vector, &found);
        assert_eq!(found.frames[0].node.name, "iec62056-21", "{}", vector.name);
        if let Some(parity) = vector.expected("even_parity_8bit").as_str() {
            let same = dissect_text(parity, Settings::default());
            assert_eq!(same.frames[0].node.value, found.frames[0].node.value, "{}", vector.name);
        }
        if let Some(text) = vector.expected("manufacturer").as_str() {
            let shown = found.frames[0].node.text.as_deref().unwrap_or_default();
            assert!(shown.starts_with(text), "{}: {shown}", vector.name);
        }
    }
}

/// Captures that are wrong as they were published, with the kinds of errors that must be shown.
const FAULTY: &[(&str, &[FaultKind])] = &[
    ("zmf100-swapped-tag", &[FaultKind::UnknownTag, FaultKind::Checksum]),
    ("sagemcom-xt211-plain", &[FaultKind::UnknownTag]),
];

#[test]
fn captured_pushes_and_frames() {
    let mut values = 0;
    for vector in captured("captures", 30) {
        let text: String = match vector.json["frames"].as_array() {
            Some(frames) => {
                frames.iter().map(|frame| format!("{}\n", frame.as_str().expect("hex"))).collect()
            }
            None => {
                ["hex", "apdu"].iter().find_map(|key| vector.json[*key].as_str()).expect("bytes").to_owned()
            }
        };
        let found = dissect_text(&text, settings(&vector));
        if let Some((_, expected)) = FAULTY.iter().find(|(name, _)| *name == vector.name) {
            let kinds: Vec<_> = nodes(&found).filter_map(|node| Some(node.error.as_ref()?.kind)).collect();
            assert_eq!(&kinds, expected, "{}: {:?}", vector.name, faults(&found));
            continue;
        }
        assert_clean(&vector, &found);
        if vector.expected("body").is_object() {
            assert_shows(&vector.name, find(&found, "notification-body"), &data(vector.expected("body")));
            values += 1;
        }
        for (name, key) in [("destination-address", "dst"), ("source-address", "src")] {
            if let Some(address) = vector.expected(key).as_str() {
                assert_eq!(find(&found, name).hex.as_deref(), Some(address), "{}", vector.name);
            }
        }
        if let Some(title) = vector.expected("system_title").as_str() {
            assert_eq!(find(&found, "system-title").hex.as_deref(), Some(title), "{}", vector.name);
        }
    }
    println!("{values} bodies compared");
}

#[test]
fn captured_sessions() {
    for vector in captured("sessions", 4) {
        let found = dissect_text(&lines(&vector), Settings::default());
        let altered = vector.json["exchange"].as_array().expect("exchange");
        let altered = altered.iter().filter(|frame| frame["fcs_valid"] == false).count();
        assert_eq!(found.errors, altered, "{}: {:?}", vector.name, faults(&found));

        // The same APDUs, without frames.
        let apdus = vector.expected("apdus").as_array().expect("apdus");
        let apdu = |json: &Value| {
            let sender = if json["dir"] == "client" { "TX" } else { "RX" };
            // An anonymised APDU is not given: any in its place keeps the count.
            format!("{sender}: {}\n", json["hex"].as_str().unwrap_or("6200"))
        };
        let alone = dissect_text(&apdus.iter().map(apdu).collect::<String>(), Settings::default());
        assert_eq!(alone.errors, 0, "{}: {:?}", vector.name, faults(&alone));
        let framed: Vec<_> = found.frames.iter().filter_map(|frame| apdu_of(&frame.node)).collect();
        assert_eq!(framed.len(), alone.frames.len(), "{}", vector.name);
        for ((framed, alone), json) in framed.into_iter().zip(&alone.frames).zip(apdus) {
            if json["hex"].is_string() {
                assert_eq!(shape(framed), shape(&alone.node), "{}", vector.name);
            }
        }
        let transfers = vector.expected("complete_block_transfers").as_array().expect("transfers");
        let reassembled = nodes(&alone).filter(|node| node.name == "reassembled");
        let lengths: Vec<_> = reassembled.map(|node| Value::from(node.length)).collect();
        let expected: Vec<_> = transfers.iter().map(|transfer| transfer["bytes"].clone()).collect();
        assert_eq!(lengths, expected, "{}", vector.name);
    }
}

/// The APDU that a frame ends, if it ends one.
fn apdu_of(frame: &Node) -> Option<&Node> {
    let carrier = match frame.name.as_ref() {
        "wrapper" => frame,
        _ => frame.children.iter().find(|node| node.name == "information")?,
    };
    let last = carrier.children.last()?;
    match last.name.as_ref() {
        "reassembled" => last.children.first(),
        "segment" | "parameters" => None,
        _ => Some(last),
    }
}
