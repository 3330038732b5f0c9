//! HDLC frames, wrapper PDUs and the mode E sign-on against the vectors, generated and captured.

mod support;

use dlms2mqtt::wire::error::WireErrorKind;
use dlms2mqtt::wire::hdlc::fcs::Fcs;
use dlms2mqtt::wire::hdlc::{
    AddressSize, Control, Deframer, FLAG, Frame, Parameters, RawAddress, ServerAddress,
};
use dlms2mqtt::wire::iec62056_21::{
    BaudCharacter, SignOnAnswer, select_mode_e, sign_on, with_even_parity, without_parity,
};
use dlms2mqtt::wire::wrapper::{self, Pdu, WrapperError};
use serde_json::Value;
use support::vectors::{Vector, captured, hex, to_hex, vectors};

/// The vectors of a category whose names start so.
fn named(category: &str, prefix: &str, count: usize) -> Vec<Vector> {
    let found: Vec<_> =
        vectors(category).into_iter().filter(|vector| vector.name.starts_with(prefix)).collect();
    assert_eq!(found.len(), count, "{category} {prefix}*");
    found
}

fn text(json: &Value) -> &str {
    json.as_str().expect("text")
}

fn number(json: &Value) -> u16 {
    u16::try_from(json.as_u64().expect("number")).expect("16 bits")
}

/// Decodes one frame with its flags and writes it again.
fn both_ways<'a>(bytes: &'a [u8], name: &str) -> Frame<'a> {
    let inner = bytes.strip_prefix(&[FLAG]).and_then(|rest| rest.strip_suffix(&[FLAG])).expect("flags");
    let frame = Frame::decode(inner).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut written = Vec::new();
    frame.encode(&mut written).expect("short enough");
    assert_eq!(to_hex(&written), to_hex(bytes), "{name}");
    frame
}

#[test]
fn check_sequences() {
    for vector in named("hdlc", "fcs-", 4) {
        let check = Fcs::START.update(&hex(text(vector.input("data"))));
        assert_eq!(format!("{:#06x}", check.value()), text(vector.expected("fcs_value")));
        assert_eq!(check.octets()[..], vector.hex(), "{}", vector.name);
    }
}

#[test]
fn addresses() {
    for vector in named("hdlc", "address-", 10) {
        let size = AddressSize::from_octets(u8::try_from(number(vector.input("size"))).unwrap());
        let physical = vector.input("physical").as_u64().map(|physical| u16::try_from(physical).unwrap());
        let address = ServerAddress::new(number(vector.input("logical")), physical, size).unwrap();
        assert_eq!(to_hex(address.encode().as_bytes()), to_hex(&vector.hex()), "{}", vector.name);
        assert_eq!(ServerAddress::decode(RawAddress::parse(&vector.hex()).unwrap()), address);
    }
    for vector in named("hdlc", "serial-", 4) {
        let logical = number(vector.input("logical"));
        let address = ServerAddress::by_serial_number(logical, number(vector.expected("physical"))).unwrap();
        assert_eq!(to_hex(address.encode().as_bytes()), to_hex(&vector.hex()), "{}", vector.name);
    }
}

#[test]
fn control_octets() {
    for vector in named("hdlc", "control-", 9) {
        let octet = vector.hex()[0];
        let control = Control::decode(octet).unwrap();
        assert_eq!(control.encode(), octet);
        assert_eq!(control.poll(), vector.expected("pf") == true, "{}", vector.name);
        let kind = match control {
            Control::SetNormalResponseMode { .. } => "SNRM",
            Control::UnnumberedAcknowledge { .. } => "UA",
            Control::Disconnect { .. } => "DISC",
            Control::DisconnectedMode { .. } => "DM",
            Control::FrameReject { .. } => "FRMR",
            Control::UnnumberedInformation { .. } => "UI",
            other => panic!("{}: {other:?}", vector.name),
        };
        assert!(text(vector.expected("kind")).starts_with(kind), "{}", vector.name);
    }
}

#[test]
fn frames_of_every_kind() {
    let mut checked = 0;
    for vector in vectors("hdlc").iter().filter(|vector| vector.input("control").is_string()) {
        let bytes = vector.hex();
        let frame = both_ways(&bytes, &vector.name);
        assert_eq!(to_hex(frame.destination.as_bytes()), text(vector.input("destination")));
        assert_eq!(to_hex(frame.source.as_bytes()), text(vector.input("source")));
        assert_eq!(format!("{:02x}", frame.control.encode()), text(vector.input("control")));
        assert_eq!(to_hex(frame.information), text(vector.input("information")));
        assert_eq!(frame.segmented, vector.input("segmented") == true);
        if !vector.input("max_info_tx").is_null() {
            parameters(vector, frame.information);
        }
        checked += 1;
    }
    assert_eq!(checked, 22);
}

fn parameters(vector: &Vector, information: &[u8]) {
    let parameters = Parameters::decode(information).unwrap();
    assert_eq!(parameters.max_info_tx, number(vector.input("max_info_tx")), "{}", vector.name);
    assert_eq!(parameters.max_info_rx, number(vector.input("max_info_rx")));
    assert_eq!(u16::from(parameters.window_tx), number(vector.input("window_tx")));
    assert_eq!(u16::from(parameters.window_rx), number(vector.input("window_rx")));
    let mut written = Vec::new();
    parameters.encode(&mut written);
    if vector.name == "ua-params-2byte" {
        // Two octets for 128: legal, not our form.
        assert_eq!(Parameters::decode(&written), Ok(parameters));
    } else {
        assert_eq!(to_hex(&written), to_hex(information), "{}", vector.name);
    }
}

#[test]
fn segmented_answers() {
    for vector in named("hdlc", "segmented-", 2) {
        for (_, bytes) in vector.exchange() {
            both_ways(&bytes, &vector.name);
        }
    }
}

#[test]
fn invalid_frames_are_dropped() {
    for vector in named("hdlc", "invalid-", 3) {
        let mut deframer = Deframer::new();
        deframer.feed(&vector.hex());
        assert_eq!(deframer.next(), None, "{}", vector.name);
        deframer.gap();
        assert_eq!(deframer.next(), None, "{}", vector.name);
        let counters = deframer.counters();
        assert_eq!((counters.frames, counters.checksum_failures), (0, 1), "{}", vector.name);
    }
}

#[test]
fn frames_of_real_meters() {
    let mut frames = 0;
    let mut damaged = 0;
    for vector in captured("captures", 30) {
        if !vector.json["hex"].is_null() {
            let bytes = vector.hex();
            let frame = both_ways(&bytes, &vector.name);
            assert_eq!(to_hex(frame.destination.as_bytes()), text(vector.expected("dst")), "{}", vector.name);
            assert_eq!(to_hex(frame.source.as_bytes()), text(vector.expected("src")));
            assert_eq!(to_hex(frame.information), text(vector.expected("information")));
            frames += 1;
        }
        for bytes in vector.json["frames"].as_array().into_iter().flatten().map(|frame| hex(text(frame))) {
            if bytes[0] != FLAG {
                continue;
            }
            if vector.expected("fcs_valid") == false {
                let kind = Frame::decode(&bytes[1..bytes.len() - 1]).unwrap_err().kind;
                assert_eq!(kind, WireErrorKind::Checksum, "{}", vector.name);
                damaged += 1;
            } else {
                both_ways(&bytes, &vector.name);
                frames += 1;
            }
        }
    }
    for vector in captured("sessions", 4) {
        let messages = vector.json["exchange"].as_array().expect("exchange");
        for (message, (_, bytes)) in messages.iter().zip(vector.exchange()) {
            if vector.input("framing") == "wrapper" {
                wrapper_both_ways(&bytes, &vector.name);
            } else if message["fcs_valid"] == false {
                assert!(Frame::decode(&bytes[1..bytes.len() - 1]).is_err(), "{}", vector.name);
                damaged += 1;
            } else {
                both_ways(&bytes, &vector.name);
                frames += 1;
            }
        }
    }
    assert!([(0, 0), (138, 2)].contains(&(frames, damaged)), "{frames} frames, {damaged} damaged");
}

fn wrapper_both_ways<'a>(bytes: &'a [u8], name: &str) -> Pdu<'a> {
    let pdu = Pdu::decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut written = Vec::new();
    pdu.encode(&mut written).expect("short enough");
    assert_eq!(to_hex(&written), to_hex(bytes), "{name}");
    pdu
}

#[test]
fn wrapper_headers() {
    for vector in named("wrapper", "wrapper-", 3) {
        let bytes = vector.hex();
        let pdu = wrapper_both_ways(&bytes, &vector.name);
        assert_eq!(pdu.source, number(vector.input("source_wport")));
        assert_eq!(pdu.destination, number(vector.input("destination_wport")));
        assert_eq!(to_hex(pdu.apdu), text(vector.input("apdu")));
    }
}

#[test]
fn wrapper_streams() {
    for vector in named("wrapper", "stream-", 3) {
        let mut deframer = wrapper::Deframer::default();
        let chunks = match vector.json["chunks"].as_array() {
            Some(chunks) => chunks.iter().map(|chunk| hex(text(chunk))).collect(),
            None => vec![vector.hex()],
        };
        if vector.expected("framing") == "hdlc" {
            deframer.feed(&chunks[0]);
            assert_eq!(deframer.next(), Err(WrapperError::SpeaksHdlc));
            continue;
        }
        let mut found = Vec::new();
        for chunk in chunks {
            deframer.feed(&chunk);
            while let Some(pdu) = deframer.next().unwrap() {
                found.push(Value::from(to_hex(pdu.apdu)));
            }
        }
        assert_eq!(&Value::from(found), vector.expected("apdus"), "{}", vector.name);
    }
}

#[test]
fn mode_e_requests_and_selections() {
    for vector in named("mode_e", "request-", 2) {
        let mut written = Vec::new();
        sign_on(text(vector.input("device_address")), &mut written).unwrap();
        assert_eq!(to_hex(&written), to_hex(&vector.hex()), "{}", vector.name);
        even_parity(&vector, &written);
    }
    for vector in named("mode_e", "ack-mode-e-", 3) {
        let speed = BaudCharacter::new(text(vector.input("baud_char")).as_bytes()[0]).unwrap();
        assert_eq!(speed.baud(), u32::try_from(vector.input("baud").as_u64().unwrap()).unwrap());
        assert_eq!(BaudCharacter::at_most(speed.baud()), Some(speed));
        assert_eq!(to_hex(&select_mode_e(speed)), to_hex(&vector.hex()), "{}", vector.name);
        even_parity(&vector, &select_mode_e(speed));
    }
}

fn even_parity(vector: &Vector, characters: &[u8]) {
    let sent: Vec<u8> = characters.iter().map(|&character| with_even_parity(character)).collect();
    assert_eq!(to_hex(&sent), text(vector.expected("even_parity_8bit")), "{}", vector.name);
    let received: Option<Vec<u8>> = sent.iter().map(|&octet| without_parity(octet)).collect();
    assert_eq!(received.as_deref(), Some(characters));
}

#[test]
fn mode_e_identifications() {
    for vector in named("mode_e", "ident-", 3) {
        let bytes = vector.hex();
        let Ok(SignOnAnswer::Identification(found)) = SignOnAnswer::parse(&bytes) else {
            panic!("{}: no identification", vector.name);
        };
        assert_eq!(&found.manufacturer, text(vector.expected("manufacturer")).as_bytes());
        assert_eq!([found.speed.character()], text(vector.expected("baud_char")).as_bytes());
        assert_eq!(Some(u64::from(found.speed.baud())), vector.expected("max_baud").as_u64());
        assert_eq!(found.offers_mode_e, vector.expected("mode_e") == true);
        assert_eq!(found.reacts_fast, vector.expected("fast_reaction_time") == true);
        assert_eq!(found.identification, text(vector.expected("identification")).as_bytes());
    }
}
