//! COSEM values against the vectors: bytes to values and back, date-times, OBIS codes.

mod support;

use dlms2mqtt::wire::compact_array::{TypeDescription, decode_compact_buffer};
use dlms2mqtt::wire::data::Data;
use dlms2mqtt::wire::date_time::{DST_BEGIN, DST_END, DateTime, DeviationSense, LAST_DAY};
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
fn date_times() {
    for vector in vectors("datetime") {
        let name = &vector.name;
        let value = DateTime::from_bytes(&vector.hex()).expect("twelve octets");
        assert_eq!(value.to_bytes(), vector.hex(), "{name}");
        assert!(value.is_valid(), "{name}");

        let local = vector.expected("local").as_str();
        assert_eq!(value.is_complete(), local.is_some(), "{name}");
        if let Some(local) = local {
            assert!(value.to_string().starts_with(local), "{name}: {value}");
            let read: DateTime = local.parse().expect(local);
            assert_eq!(value.date, read.date.with_weekday(), "{name}");
            let utc = vector.expected("utc").as_str().map(|text| text.parse::<DateTime>().expect(text));
            // The vectors give the instant in whole seconds.
            assert_eq!(
                value.utc_millis(DeviationSense::Standard).map(|millis| millis / 1000 * 1000),
                utc.and_then(|utc| utc.utc_millis(DeviationSense::Standard)),
                "{name}"
            );
        }

        let given = |key: &str| vector.json["expected"].get(key);
        let number = |json: &serde_json::Value| json.as_i64();
        let fields = [
            ("deviation_minutes", value.deviation_minutes().map(i64::from)),
            ("utc_offset_minutes", value.utc_offset_minutes(DeviationSense::Standard).map(i64::from)),
            ("hour", value.time.hour().map(i64::from)),
            ("minute", value.time.minute().map(i64::from)),
            ("second", value.time.second().map(i64::from)),
            ("hundredths", value.time.hundredths().map(i64::from)),
            ("day_of_week", value.date.weekday().map(i64::from)),
        ];
        for (key, field) in fields {
            if let Some(json) = given(key) {
                assert_eq!(field, number(json), "{name}: {key}");
            }
        }
        if let Some(json) = given("day") {
            assert_eq!((json, value.date.day), (&"last-day-of-month".into(), LAST_DAY), "{name}");
        }
        match given("month").map(|json| (json.as_str(), number(json))) {
            None => {}
            Some((Some("daylight-saving-begin"), _)) => assert_eq!(value.date.month, DST_BEGIN, "{name}"),
            Some((Some("daylight-saving-end"), _)) => assert_eq!(value.date.month, DST_END, "{name}"),
            Some((_, month)) => assert_eq!(value.date.month().map(i64::from), month, "{name}"),
        }
        if let Some(json) = given("status") {
            let bits = value.clock_status().map(|status| {
                [
                    (status.invalid_value(), "invalid-value"),
                    (status.doubtful_value(), "doubtful-value"),
                    (status.different_clock_base(), "different-clock-base"),
                    (status.invalid_clock_status(), "invalid-clock-status"),
                    (status.daylight_saving(), "daylight-saving-active"),
                ]
                .into_iter()
                .filter_map(|(set, bit)| set.then_some(bit))
                .collect::<Vec<_>>()
            });
            assert_eq!(&serde_json::json!(bits), json, "{name}");
        }
    }
}

#[test]
fn date_times_as_text() {
    let texts = [
        ("cet-winter", "2024-01-31T12:30:45.50+01:00"),
        ("cest-summer", "2024-07-15T14:00:00+02:00"),
        ("utc", "2024-02-29T23:59:59.99+00:00"),
        ("new-york", "2023-12-31T20:15:00-05:00"),
        ("india", "2022-06-01T05:30:00+05:30"),
        ("no-deviation", "2024-05-05T08:00:00"),
        ("all-unspecified", "*-*-*T*:*:*"),
        ("invalid-value-status", "2000-01-01T00:00:00+00:00"),
        ("doubtful-status", "2024-03-01T06:07:08+01:00"),
        ("every-day-template", "*-*-*T03:00:00"),
        ("last-day-of-month", "*-*-lastT00:00:00"),
        ("dst-begin", "*-dst_begin-lastT02:00:00"),
        ("dst-end", "*-dst_end-last/sunT03:00:00"),
        ("last-sunday-march", "*-03-last/sunT02:00:00"),
    ];
    let vectors = vectors("datetime");
    assert_eq!(vectors.len(), texts.len());
    for (vector, (name, text)) in vectors.iter().zip(texts) {
        assert_eq!(vector.name, name);
        let value = DateTime::from_bytes(&vector.hex()).expect("twelve octets");
        assert_eq!(value.to_string(), text);
        let read: DateTime = text.parse().expect(text);
        assert_eq!(read.to_string(), text);
        assert_eq!(read.deviation, value.deviation);
    }
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
