//! From what a meter answered for one object to the value that is published.

use std::borrow::Cow;

use indexmap::IndexMap;

use super::json::Json;
use super::meter_time::{Certainty, MeterTime, TimeRules};
use super::plan::{Form, ReadingPlan};
use super::render::{NotFinite, Rendered, nested, render};
use super::scale::{Overrides, Scale, scaler_unit, without_scaler};
use super::value::{Confidence, Identity, Quality, Reading};
use crate::cosem::catalogue::ClassId;
use crate::cosem::catalogue::shape::Shape;
use crate::cosem::decimal::Decimal;
use crate::cosem::profile::date_time;
use crate::cosem::scaler_unit::ScalerUnit;
use crate::error::{Code, Layer, Report};
use crate::wire::data::Data;
use crate::wire::date_time::DateTime;

/// What the meter answered for one attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The attribute.
    pub attribute: i8,
    /// Its value, or why there is none.
    pub data: Result<Data, Report>,
}

/// All that is known about one read object.
#[derive(Clone, Debug)]
pub struct ObjectReading<'a> {
    /// Which object.
    pub identity: Identity,
    /// Version of its class, where the object list tells.
    pub version: Option<u8>,
    /// What was to be read.
    pub plan: &'a ReadingPlan,
    /// What was answered, in any order.
    pub answers: &'a [Answer],
    /// The scaler_unit of the object as read now or before. `Ok(None)`: it has none, or it is among the answers.
    pub scaler_unit: Result<Option<ScalerUnit>, Report>,
    /// What the configuration gives in its place.
    pub overrides: &'a Overrides,
    /// How its date-times are to be understood.
    pub times: &'a TimeRules,
    /// Whether its circumstances put it in doubt.
    pub confidence: Confidence,
}

/// Makes the published value of what was read.
///
/// Of a profile there is no such value: its rows are a payload of their own, and so [`Form::Rows`] is an error here.
#[must_use]
pub fn reading(object: &ObjectReading<'_>) -> Reading {
    match object.plan.form {
        Form::Single { value, status, capture_time } => single(object, value, status, capture_time),
        Form::Members => members(object),
        Form::CompactBuffer | Form::Rows => Reading::bad(
            object.identity.clone(),
            Report::new(Code::Internal, Layer::Internal, "a buffer was taken for a single value"),
        ),
    }
}

impl Reading {
    fn set_unit(&mut self, scale: &Scale) {
        self.unit.clone_from(&scale.unit);
        self.unit_code = scale.unit_code;
        self.scaler = scale.scaler;
    }

    /// Takes a time of the meter; one that cannot be, as 30 February, shows that its clock is not to be relied on.
    fn set_meter_time(&mut self, time: Option<DateTime>, times: &TimeRules) {
        if time.is_some_and(|time| !time.is_valid()) {
            self.quality = self.quality.max(Quality::Uncertain);
        }
        self.set_time(time.and_then(|time| times.meter_time(&time)));
    }

    fn set_time(&mut self, time: Option<MeterTime>) {
        if let Some(time) = time {
            if time.certainty == Certainty::Uncertain {
                self.quality = self.quality.max(Quality::Uncertain);
            }
            self.meter_ts = Some(time.text);
        }
    }
}

fn single(object: &ObjectReading<'_>, value: i8, status: Option<i8>, capture_time: Option<i8>) -> Reading {
    let class = object.identity.class;
    let version = object.version;
    let mut reading = Reading {
        attribute: Some(value),
        quality: Quality::of(object.confidence),
        ..Reading::empty(object.identity.clone())
    };
    let data = match answer(object.answers, value) {
        Ok(data) => data,
        Err(error) => return Reading { error: Some(error), quality: Quality::Bad, ..reading },
    };
    reading.data_type = Some(data.type_name());
    let shape = shape_of(class, version, value, data);
    let raw = Decimal::from_data(data).filter(|_| !matches!(data, Data::Enum(_)));
    reading.raw = raw.map(Json::Number);
    let scale = match scale(object, matches!(shape, Shape::Scaled)) {
        Ok(scale) => scale,
        // Without its scaler a number would be wrong; what is no number needs none.
        Err(error) if raw.is_some() => {
            return Reading { error: Some(error), quality: Quality::Bad, ..reading };
        }
        Err(_) => Scale::NONE,
    };
    reading.set_unit(&scale);
    let rendered = match render(data, &shape, scale.scaler.unwrap_or(0), object.times) {
        Ok(rendered) => rendered,
        Err(error) => return Reading { error: Some(not_finite(error)), quality: Quality::Bad, ..reading },
    };
    let Rendered { value: json, text, date_time: hidden, fields, time } = rendered;
    if let Json::Number(number) = &json {
        reading.value_str = number.exceeds_double().then(|| number.to_string());
    }
    (reading.value, reading.text, reading.date_time, reading.fields) = (json, text, hidden, fields);
    if carries_time(class, value) {
        reading.set_meter_time(time, object.times);
    }
    if let Some(id) = status {
        reading.status = Some(companion(object, id, &mut reading.errors));
    }
    if let Some(id) = capture_time {
        match answer(object.answers, id) {
            Ok(data) => {
                reading.set_meter_time(date_time(data), object.times);
            }
            Err(error) => {
                reading.errors.insert(class.attribute_name(version, id), error);
            }
        }
    }
    reading
}

/// An attribute published beside the value: null, with its error, where it could not be read.
fn companion(object: &ObjectReading<'_>, id: i8, errors: &mut IndexMap<String, Report>) -> Json {
    match answer(object.answers, id) {
        Ok(data) => nested(data, &shape_of(object.identity.class, object.version, id, data), object.times),
        Err(error) => {
            errors.insert(object.identity.class.attribute_name(object.version, id), error);
            Json::Null
        }
    }
}

fn members(object: &ObjectReading<'_>) -> Reading {
    let class = object.identity.class;
    let version = object.version;
    let mut reading =
        Reading { quality: Quality::of(object.confidence), ..Reading::empty(object.identity.clone()) };
    reading.attributes = object.answers.iter().map(|answer| answer.attribute).collect();
    let needs_scale = object.plan.scaler_unit.is_some();
    let scale = scale(object, needs_scale);
    if let Ok(scale) = &scale {
        reading.set_unit(scale);
    }
    let mut object_members: Vec<(Cow<'static, str>, Json)> = Vec::with_capacity(object.answers.len());
    for Answer { attribute: id, data } in object.answers {
        let name = class.attribute_name(version, *id);
        let rendered = data.as_ref().map_err(Clone::clone).and_then(|data| {
            let shape = shape_of(class, version, *id, data);
            let scaler = match (&shape, &scale) {
                (Shape::Scaled, Ok(scale)) => scale.scaler.unwrap_or(0),
                (Shape::Scaled, Err(error)) if Decimal::from_data(data).is_some() => {
                    return Err(error.clone());
                }
                _ => 0,
            };
            let rendered = render(data, &shape, scaler, object.times).map_err(not_finite)?;
            if carries_time(class, *id) {
                reading.set_meter_time(rendered.time, object.times);
            }
            Ok(rendered)
        });
        match rendered {
            Ok(rendered) => {
                let beside = [("text", rendered.text), ("date_time", rendered.date_time)];
                object_members.push((name.clone().into(), rendered.value));
                for (suffix, text) in beside {
                    if let Some(text) = text {
                        object_members.push((format!("{name}_{suffix}").into(), Json::Text(text)));
                    }
                }
            }
            Err(error) => {
                object_members.push((name.clone().into(), Json::Null));
                reading.errors.insert(name, error);
            }
        }
    }
    // Of an object of which nothing could be read, nothing is known.
    if !object.answers.is_empty() && reading.errors.len() == object.answers.len() {
        reading.error = reading.errors.values().next().cloned();
        reading.quality = Quality::Bad;
    } else {
        reading.value = Json::Object(object_members);
    }
    reading
}

fn shape_of(class: ClassId, version: Option<u8>, id: i8, data: &Data) -> Shape {
    class.attribute(version, id, Some(data)).map_or(Shape::Any, |attribute| attribute.shape)
}

/// Attributes that are the object's own time.
const fn carries_time(class: ClassId, id: i8) -> bool {
    matches!(
        (class, id),
        (ClassId::CLOCK, 2) | (ClassId::EXTENDED_REGISTER, 5) | (ClassId::DEMAND_REGISTER, 6)
    )
}

/// The scale for numbers of the object: the meter's where they have one, and what the configuration gives.
fn scale(object: &ObjectReading<'_>, is_scaled: bool) -> Result<Scale, Report> {
    if !is_scaled || object.overrides.are_complete() {
        return Ok(Scale::new(None, object.overrides));
    }
    let read_now = || {
        let id = object.identity.class.scaler_unit_attribute()?;
        let answer = object.answers.iter().find(|answer| answer.attribute == id)?;
        Some(answer.data.clone())
    };
    let meter = match (&object.scaler_unit, read_now()) {
        (Ok(Some(scaler_unit)), _) => Ok(Some(*scaler_unit)),
        (_, Some(Ok(data))) => scaler_unit(&data).map(Some),
        (Ok(None), None) => Ok(None),
        (_, Some(Err(error))) => Err(error),
        (Err(error), None) => Err(error.clone()),
    };
    match meter {
        Ok(meter) => Ok(Scale::new(meter, object.overrides)),
        // A scaler that the configuration gives is enough for the number to be right.
        Err(_) if object.overrides.scaler.is_some() => Ok(Scale::new(None, object.overrides)),
        Err(error) => Err(without_scaler(&error)),
    }
}

fn answer(answers: &[Answer], id: i8) -> Result<&Data, Report> {
    match answers.iter().find(|answer| answer.attribute == id) {
        Some(answer) => answer.data.as_ref().map_err(Clone::clone),
        None => Err(Report::new(Code::Internal, Layer::Internal, format!("attribute {id} was not read"))),
    }
}

fn not_finite(error: NotFinite) -> Report {
    Report::new(Code::Decode, Layer::Decode, error.to_string())
        .with_hint("the meter has no number for this at the moment; its answer itself was understood")
}

#[cfg(test)]
mod tests {
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
            (
                Case::usual(1, Data::Null),
                r#""attribute":2,"value":null,"type":"null-data","quality":"good"}"#,
            ),
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
}
