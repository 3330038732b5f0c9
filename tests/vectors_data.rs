//! COSEM values against the vectors: bytes to values and back, date-times, OBIS codes.

mod support;

use dlms2mqtt::wire::compact_array::{TypeDescription, decode_compact_buffer};
use dlms2mqtt::wire::data::Data;
use dlms2mqtt::wire::obis::{Obis, ObisError};
use support::vectors::{data, hex, to_hex, untagged, vectors};

#[test]
fn values_both_ways() {
    let mut checked = 0;
    for vector in vectors("data").iter().filter(|vector| !vector.input("data").is_null()) {
        let json = vector.input("data");
        let (value, bytes) = (data(json), vector.hex());
        assert_eq!(Data::from_bytes(&bytes).as_ref(), Ok(&value), "{}", vector.name);
        // Any byte but 0 is true; we write 1.
        let written = if json["raw"] == "ff" { "0301".to_owned() } else { to_hex(&bytes) };
        assert_eq!(to_hex(&value.to_bytes()), written, "{}", vector.name);
        checked += 1;
    }
    assert_eq!(checked, 82);
}

#[test]
fn invalid_values_are_refused() {
    let invalid: Vec<_> = vectors("data").into_iter().filter(|vector| !vector.is_valid()).collect();
    assert_eq!(invalid.len(), 5);
    for vector in invalid {
        assert!(Data::from_bytes(&vector.hex()).is_err(), "{}", vector.name);
    }
}

#[test]
fn compact_buffers_of_class_62() {
    let mut checked = 0;
    for vector in vectors("data").iter().filter(|vector| !vector.input("template_description").is_null()) {
        let bytes = |key| hex(vector.input(key).as_str().expect("hexadecimal"));
        let template = TypeDescription::from_bytes(&bytes("template_description")).expect("description");
        assert_eq!(template.to_bytes(), bytes("template_description"));
        let value = decode_compact_buffer(&bytes("template_description"), &bytes("compact_buffer"));
        assert_eq!(value, Ok(untagged(&template, vector.expected("values"))), "{}", vector.name);
        checked += 1;
    }
    assert_eq!(checked, 1);
}

#[test]
fn obis_codes() {
    for vector in vectors("obis") {
        let text = vector.input("text").as_str().expect("text");
        let result = text.parse::<Obis>();
        match vector.expected("groups").as_array() {
            None => assert!(matches!(result, Err(ObisError::Malformed | ObisError::GroupRange)), "{text}"),
            // Groups that the text leaves open are not guessed.
            Some(groups) if groups.iter().any(serde_json::Value::is_null) => {
                assert_eq!(result, Err(ObisError::Reduced), "{text}");
            }
            Some(_) => {
                let code = result.unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(code.0.as_slice(), vector.hex(), "{text}");
                assert_eq!(code.to_string().parse(), Ok(code));
                assert_eq!(code.dotted().to_string().parse(), Ok(code));
            }
        }
    }
}
