//! What is published of an object, by class, answers and circumstances.

use super::*;
use crate::bridge::reading::plan::{Selection, plan};
use crate::bridge::reading::scale::UnitOverride;
use crate::bridge::reading::value::{SCHEMA_VERSION, Source, ValuePayload};
use crate::cosem::unit::Unit;
use crate::wire::date_time::{Date, Time};
use crate::wire::obis::Obis;

const WH: ScalerUnit = ScalerUnit { scaler: -3, unit: Unit(30) };

/// What a test reads.
struct Case {
    class: u16,
    selection: Selection<'static>,
    answers: Vec<(i8, Result<Data, Report>)>,
    scaler_unit: Result<Option<ScalerUnit>, Report>,
    overrides: Overrides,
    confidence: Confidence,
}

impl Case {
    fn new(class: u16, selection: Selection<'static>, answers: Vec<(i8, Data)>) -> Self {
        Self {
            class,
            selection,
            answers: answers.into_iter().map(|(id, data)| (id, Ok(data))).collect(),
            scaler_unit: Ok(None),
            overrides: Overrides::default(),
            confidence: Confidence::Full,
        }
    }

    fn usual(class: u16, data: Data) -> Self {
        Self::new(class, Selection::Usual, vec![(2, data)])
    }

    fn scaled(self, scaler_unit: ScalerUnit) -> Self {
        Self { scaler_unit: Ok(Some(scaler_unit)), ..self }
    }

    fn read(self) -> Reading {
        let class = ClassId(self.class);
        let answers: Vec<_> =
            self.answers.into_iter().map(|(attribute, data)| Answer { attribute, data }).collect();
        reading(&ObjectReading {
            identity: Identity {
                name: Some("x".into()),
                obis: Some(Obis([1, 0, 1, 8, 0, 255])),
                short_name: None,
                class,
            },
            version: Some(0),
            plan: &plan(class, Some(0), self.selection, None),
            answers: &answers,
            scaler_unit: self.scaler_unit,
            overrides: &self.overrides,
            times: &TimeRules::default(),
            confidence: self.confidence,
        })
    }

    /// The reading as JSON, without what identifies the value.
    fn json(self) -> String {
        let class = self.class;
        let text = serde_json::to_string(&self.read()).expect("writable");
        let head = format!(r#"{{"name":"x","obis":"1-0:1.8.0*255","class":{class},"#);
        text.strip_prefix(&head).unwrap_or_else(|| panic!("{text}")).to_owned()
    }
}

fn denied() -> Report {
    Report::new(Code::AccessDenied, Layer::Get, "denied").with_hint("-").with_dlms(3)
}

fn clock(deviation: i16, status: u8) -> Data {
    let [high, low] = deviation.to_be_bytes();
    Data::OctetString(vec![0x07, 0xEA, 2, 14, 6, 18, 45, 0, 0, high, low, status])
}

#[test]
fn the_example_of_the_contract() {
    let reading = Case::usual(3, Data::DoubleLongUnsigned(12_345_678)).scaled(WH).read();
    let payload = ValuePayload {
        v: SCHEMA_VERSION,
        source: Source { gateway: "substation-7", device: "meter-07", serial: Some("51324481") },
        reading: &reading,
        ts: "2026-08-22T10:15:03.12Z".parse().expect("a time"),
        seq: Some(184_467),
        poll_ms: 182,
    };
    assert_eq!(
        serde_json::to_string(&payload).expect("writable"),
        concat!(
            r#"{"v":1,"gateway":"substation-7","device":"meter-07","serial":"51324481","name":"x","#,
            r#""obis":"1-0:1.8.0*255","class":3,"attribute":2,"value":12345.678,"unit":"Wh","unit_code":30,"#,
            r#""scaler":-3,"raw":12345678,"type":"double-long-unsigned","quality":"good","#,
            r#""ts":"2026-08-22T10:15:03.120Z","seq":184467,"poll_ms":182}"#,
        )
    );
}

#[test]
fn plain_values() {
    for (case, json) in [
        (
            Case::usual(1, Data::Long64Unsigned(u64::MAX)),
            r#""attribute":2,"value":18446744073709551615,"value_str":"18446744073709551615","raw":18446744073709551615,"type":"long64-unsigned","quality":"good"}"#,
        ),
        (Case::usual(1, Data::Null), r#""attribute":2,"value":null,"type":"null-data","quality":"good"}"#),
        (
            Case::usual(1, Data::OctetString(b"RIG".to_vec())),
            r#""attribute":2,"value":"524947","text":"RIG","type":"octet-string","quality":"good"}"#,
        ),
        (Case::usual(1, Data::Enum(3)), r#""attribute":2,"value":3,"type":"enum","quality":"good"}"#),
        (
            Case::new(70, Selection::One(3), vec![(3, Data::Enum(1))]),
            r#""attribute":3,"value":1,"text":"connected","type":"enum","quality":"good"}"#,
        ),
        (
            Case::usual(3, Data::Float32(0.1)).scaled(ScalerUnit { scaler: 0, unit: Unit(255) }),
            r#""attribute":2,"value":0.1,"unit_code":255,"scaler":0,"raw":0.1,"type":"float32","quality":"good"}"#,
        ),
        (
            Case::usual(3, Data::VisibleString(b"12".to_vec()))
                .scaled(ScalerUnit { scaler: -1, unit: Unit(58) }),
            r#""attribute":2,"value":"12","unit":"unit(58)","unit_code":58,"scaler":-1,"type":"visible-string","quality":"good"}"#,
        ),
    ] {
        assert_eq!(case.json(), json);
    }
}

#[test]
fn no_value_is_null_and_bad() {
    let nan = Case::usual(1, Data::Float64(f64::NAN)).read();
    assert_eq!((nan.value, nan.quality), (Json::Null, Quality::Bad));
    let error = nan.error.expect("a reason");
    assert_eq!((error.code, error.layer), (Code::Decode, Layer::Decode));
    assert!(error.hint.contains("no number"), "not that the answer is damaged: {error:?}");
    let case = Case { answers: vec![(2, Err(denied()))], ..Case::usual(3, Data::Null) };
    assert_eq!(
        case.json(),
        r#""attribute":2,"value":null,"quality":"bad","error":{"code":"ACCESS_DENIED","layer":"get","message":"denied","hint":"-","dlms":3}}"#
    );
}

#[test]
fn a_time_that_cannot_be_is_not_good() {
    let clock = |year, month, day| {
        let date = Date { year, month, day, weekday: 0xFF };
        let time = Time { hour: 12, minute: 0, second: 0, hundredths: 0xFF };
        let read = DateTime { date, time, deviation: 0, status: 0 };
        Case::new(8, Selection::Usual, vec![(2, Data::OctetString(read.to_bytes()))]).read()
    };
    for (month, day) in [(2, 30), (13, 1), (4, 31)] {
        let read = clock(2024, month, day);
        assert_eq!((read.quality, read.meter_ts), (Quality::Uncertain, None), "{month}-{day}");
        assert!(matches!(read.value, Json::Text(text) if text.starts_with("2024-")), "as the meter said");
    }
    let leap_day = clock(2024, 2, 29);
    assert_eq!(leap_day.quality, Quality::Good);
    assert_eq!(leap_day.meter_ts.as_deref(), Some("2024-02-29T12:00:00+00:00"));
    assert_eq!(clock(1900, 1, 1).quality, Quality::Uncertain, "a clock that was never set");
}

#[test]
fn a_number_without_its_scaler_is_no_value() {
    let with = |data, overrides: Overrides| {
        Case { scaler_unit: Err(denied()), overrides, ..Case::usual(3, data) }.read()
    };
    let lost = with(Data::Unsigned(5), Overrides::default());
    assert_eq!((lost.value, lost.quality), (Json::Null, Quality::Bad));
    assert_eq!(lost.raw, Some(Json::Number(5.into())));
    let error = lost.error.expect("a reason");
    assert_eq!((error.code, error.dlms), (Code::AccessDenied, Some(3)));
    assert!(error.message.contains("scaler_unit") && error.hint.contains("scaler"), "{error:?}");
    let text = with(Data::VisibleString(b"a".to_vec()), Overrides::default());
    assert_eq!(text.quality, Quality::Good, "a text needs no scaler");
    let scaler = Overrides { scaler: Some(-1), unit: None };
    assert_eq!(with(Data::Unsigned(5), scaler).value, Json::Number(Decimal::new(5, -1)));
}

#[test]
fn overrides_replace_what_the_meter_says() {
    let read = |scaler, unit| {
        let overrides = Overrides { scaler, unit };
        let reading = Case { overrides, ..Case::usual(3, Data::Unsigned(5)).scaled(WH) }.read();
        let Json::Number(value) = reading.value else { panic!("{reading:?}") };
        (value.to_string(), reading.scaler, reading.unit, reading.unit_code)
    };
    let kwh = || UnitOverride::Text("kWh".into());
    assert_eq!(read(None, None), ("0.005".into(), Some(-3), Some("Wh".into()), Some(30)));
    assert_eq!(read(Some(-6), Some(kwh())), ("0.000005".into(), Some(-6), Some("kWh".into()), None));
    assert_eq!(
        read(None, Some(UnitOverride::Code(Unit(13)))),
        ("0.005".into(), Some(-3), Some("m3".into()), Some(13))
    );
    let data = Case {
        overrides: Overrides { scaler: Some(-1), unit: Some(kwh()) },
        ..Case::usual(1, Data::Unsigned(5))
    };
    assert_eq!(data.read().value, Json::Number(Decimal::new(5, -1)), "class data too");
    let temperature = Case {
        overrides: Overrides { scaler: Some(-1), unit: None },
        ..Case::new(5, Selection::One(9), vec![(9, Data::Unsigned(4))])
    };
    assert_eq!(temperature.read().scaler, Some(-1), "what is configured for an attribute counts for it");
}

#[test]
fn times_of_the_meter() {
    let read = |deviation, status| Case::usual(8, clock(deviation, status)).read();
    let good = read(-60, 0);
    assert_eq!(good.value, Json::Text("2026-02-14T18:45:00+01:00".into()));
    assert_eq!(good.meter_ts.as_deref(), Some("2026-02-14T18:45:00+01:00"));
    assert_eq!((good.quality, good.fields.is_some()), (Quality::Good, true));
    assert_eq!(read(-60, 1).quality, Quality::Uncertain);
    let open = read(i16::MIN, 0);
    assert_eq!(open.meter_ts.as_deref(), Some("2026-02-14T18:45:00"));
    assert_eq!(open.quality, Quality::Uncertain, "no offset");
    let incomplete = Case::usual(8, Data::DateTime(DateTime::NOT_SPECIFIED)).read();
    assert_eq!((incomplete.meter_ts, incomplete.quality), (None, Quality::Good));
    let begin = Case::new(8, Selection::One(5), vec![(5, clock(-60, 1))]).read();
    assert_eq!((begin.meter_ts, begin.quality), (None, Quality::Good), "not the object's own time");
}

#[test]
fn registers_with_a_time_of_their_own() {
    let answers = |status| {
        vec![
            (2, Data::DoubleLongUnsigned(8765)),
            (4, Data::BitString(crate::wire::data::BitString::new(8, &[5]).expect("bits"))),
            (5, clock(-60, status)),
        ]
    };
    let tenth = ScalerUnit { scaler: -1, unit: Unit(27) };
    assert_eq!(
        Case::new(4, Selection::Usual, answers(0)).scaled(tenth).json(),
        r#""attribute":2,"value":876.5,"unit":"W","unit_code":27,"scaler":-1,"raw":8765,"type":"double-long-unsigned","status":"00000101","meter_ts":"2026-02-14T18:45:00+01:00","quality":"good"}"#
    );
    let doubtful = Case::new(4, Selection::Usual, answers(2)).scaled(tenth).read();
    assert_eq!(doubtful.quality, Quality::Uncertain);
    let mut case = Case::new(5, Selection::Usual, vec![(2, Data::Unsigned(1))]).scaled(tenth);
    case.answers.extend([(5, Err(denied())), (6, Err(denied()))]);
    let reading = case.read();
    assert_eq!((reading.status, reading.meter_ts), (Some(Json::Null), None));
    assert_eq!(reading.errors.keys().collect::<Vec<_>>(), ["status", "capture_time"]);
    assert_eq!(reading.quality, Quality::Good, "the value itself is known");
}

#[test]
fn objects_of_attributes() {
    let mut case = Case::new(
        70,
        Selection::All,
        vec![(2, Data::Boolean(true)), (3, Data::Enum(1)), (99, Data::OctetString(b"AB".to_vec()))],
    );
    case.answers.push((4, Err(denied())));
    assert_eq!(
        case.json(),
        concat!(
            r#""attributes":[2,3,99,4],"value":{"output_state":true,"control_state":1,"control_state_text":"connected","#,
            r#""attribute_99":"4142","attribute_99_text":"AB","control_mode":null},"quality":"good","#,
            r#""errors":{"control_mode":{"code":"ACCESS_DENIED","layer":"get","message":"denied","hint":"-","dlms":3}}}"#,
        )
    );
    let nothing = Case {
        answers: vec![(2, Err(denied())), (3, Err(denied()))],
        ..Case::new(70, Selection::All, vec![])
    };
    let nothing = nothing.read();
    assert_eq!((nothing.value, nothing.quality), (Json::Null, Quality::Bad));
    assert_eq!((nothing.errors.len(), nothing.error), (2, Some(denied())));
}

#[test]
fn objects_of_attributes_are_scaled() {
    let answers = || {
        vec![
            (2, Data::Unsigned(5)),
            (3, Data::Unsigned(6)),
            (4, WH.to_data()),
            (8, Data::DoubleLongUnsigned(900)),
        ]
    };
    assert_eq!(
        Case::new(5, Selection::All, answers()).json(),
        concat!(
            r#""attributes":[2,3,4,8],"value":{"current_average_value":0.005,"last_average_value":0.006,"#,
            r#""scaler_unit":{"scaler":-3,"unit":30,"unit_text":"Wh"},"period":900},"#,
            r#""unit":"Wh","unit_code":30,"scaler":-3,"quality":"good"}"#,
        )
    );
    let lost = Case {
        scaler_unit: Err(denied()),
        ..Case::new(5, Selection::All, vec![(2, Data::Unsigned(5)), (8, Data::Unsigned(1))])
    };
    let lost = lost.read();
    assert_eq!(
        serde_json::to_string(&lost.value).expect("writable"),
        r#"{"current_average_value":null,"period":1}"#
    );
    assert!(lost.errors.contains_key("current_average_value"));
}

#[test]
fn circumstances() {
    let doubtful = Case { confidence: Confidence::Doubtful, ..Case::usual(1, Data::Unsigned(1)) };
    assert_eq!(doubtful.read().quality, Quality::Uncertain);
    let good = Case::usual(1, Data::Unsigned(1)).read();
    assert_eq!(good.clone().stale().quality, Quality::Stale);
    let bad = Reading::bad(good.identity, denied());
    assert_eq!(bad.stale().quality, Quality::Bad);
}

#[test]
fn a_value_of_another_type_than_its_attribute_has_is_no_value() {
    let structure = || Data::Structure(vec![Data::Unsigned(1), Data::Unsigned(2)]);
    for (case, data_type, words) in [
        (Case::usual(3, structure()).scaled(WH), "structure", ["value", "register"]),
        (Case::usual(4, Data::Array(vec![])).scaled(WH), "array", ["value", "extended_register"]),
        (Case::usual(5, structure()).scaled(WH), "structure", ["current_average_value", "demand_register"]),
        (Case::usual(8, Data::Long64(1_700_000_000)), "long64", ["time", "date-time"]),
        (Case::usual(8, Data::OctetString(vec![9; 5])), "octet-string", ["5 octets", "date-time"]),
        (
            Case::new(7, Selection::One(3), vec![(3, Data::Unsigned(1))]),
            "unsigned",
            ["capture_objects", "an array"],
        ),
        (Case::new(70, Selection::One(2), vec![(2, structure())]), "structure", ["output_state", "boolean"]),
    ] {
        let read = case.read();
        assert_eq!((read.value, read.quality), (Json::Null, Quality::Bad), "{words:?}");
        assert_eq!(read.data_type, Some(data_type));
        assert_eq!((read.text, read.fields, read.meter_ts, read.unit), (None, None, None, None));
        let error = read.error.expect("a reason");
        assert_eq!((error.code, error.layer), (Code::Decode, Layer::Decode));
        assert!(error.message.contains(data_type) && error.hint.contains("scan"), "{error:?}");
        assert!(words.iter().all(|word| error.message.contains(word)), "{error:?}");
    }
    let unix = Case::usual(8, Data::Long64(1_700_000_000)).read();
    assert_eq!(unix.raw, Some(Json::Number(1_700_000_000.into())), "what came can be seen");
}

#[test]
fn wrong_types_spoil_only_their_own_attribute() {
    let mut case =
        Case::new(4, Selection::Usual, vec![(2, Data::Unsigned(1)), (4, Data::Unsigned(0))]).scaled(WH);
    case.answers.push((5, Ok(Data::DoubleLongUnsigned(1_700_000_000))));
    let read = case.read();
    assert_eq!((read.quality, read.meter_ts), (Quality::Good, None), "the value itself is known");
    assert_eq!(read.errors["capture_time"].code, Code::Decode);
    let never = Case::new(
        4,
        Selection::Usual,
        vec![(2, Data::Unsigned(0)), (4, Data::Null), (5, Data::OctetString(vec![]))],
    );
    assert!(never.scaled(WH).read().errors.is_empty(), "a maximum that was never reached");

    let members =
        Case::new(8, Selection::All, vec![(2, Data::Long64(5)), (3, Data::Long(-60)), (4, Data::Null)]);
    let read = members.read();
    assert_eq!(
        serde_json::to_string(&read.value).expect("writable"),
        r#"{"time":null,"time_zone":-60,"status":null}"#
    );
    assert_eq!(read.errors.keys().collect::<Vec<_>>(), ["time"]);
    let nothing = Case::new(3, Selection::Many(&[2]), vec![(2, Data::Array(vec![]))]).scaled(WH).read();
    assert_eq!((nothing.value, nothing.quality), (Json::Null, Quality::Bad));
    assert_eq!(nothing.error.map(|error| error.code), Some(Code::Decode));
}
