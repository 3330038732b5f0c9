//! COSEM data as JSON: each type in one form, named and explained by the shape that the catalogue gives it.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use super::json::Json;
use super::meter_time::TimeRules;
use crate::cosem::catalogue::shape::{Field, Shape};
use crate::cosem::decimal::Decimal;
use crate::cosem::unit::Unit;
use crate::wire::data::Data;
use crate::wire::date_time::{Date, DateTime, DeviationSense, Time};
use crate::wire::obis::Obis;

/// A value as JSON, and what stands beside it where it is the value of a payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The value; its JSON type depends on the type of the data alone.
    pub value: Json,
    /// The name of an enumerated value, or the text of a printable octet-string.
    pub text: Option<String>,
    /// An untyped octet-string understood as a date-time.
    pub date_time: Option<String>,
    /// The fields of a date-time, date or time.
    pub fields: Option<Fields>,
    /// The date-time that the value is, if it is one.
    pub time: Option<DateTime>,
}

/// The fields of a date-time, date or time as on the wire; null for what is not specified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fields {
    year: Option<u16>,
    /// 1 to 12; 253 the end and 254 the begin of daylight saving.
    month: Option<u8>,
    /// 1 to 31; 253 the second last and 254 the last day of the month.
    day: Option<u8>,
    /// 1 = Monday.
    weekday: Option<u8>,
    hour: Option<u8>,
    minute: Option<u8>,
    second: Option<u8>,
    hundredths: Option<u8>,
    /// Minutes, as on the wire.
    deviation: Option<i16>,
    /// Clock status.
    status: Option<u8>,
}

/// A float that is no number: NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value is not a finite number")]
pub struct NotFinite;

/// Renders the value of a payload; numbers are multiplied by 10^`scaler`.
///
/// # Errors
/// [`NotFinite`] where the value itself is NaN or infinite. Inside arrays and structures such numbers are null.
pub fn render(data: &Data, shape: &Shape, scaler: i8, times: &TimeRules) -> Result<Rendered, NotFinite> {
    let mut rendered = Rendered { value: Json::Null, text: None, date_time: None, fields: None, time: None };
    if let Some(temporal) = Temporal::of(data, shape) {
        rendered.fields = Some(temporal.fields());
        rendered.time = temporal.date_time();
        rendered.value = Json::Text(temporal.text(times.deviation));
        return Ok(rendered);
    }
    match data {
        Data::Float32(float) if !float.is_finite() => return Err(NotFinite),
        Data::Float64(float) if !float.is_finite() => return Err(NotFinite),
        Data::OctetString(octets) => {
            rendered.text = printable(octets).filter(|_| !is_name(octets, shape));
            if rendered.text.is_none() && matches!(shape, Shape::Any | Shape::Scaled) {
                rendered.date_time = hidden_date_time(octets, times.deviation);
            }
        }
        _ => rendered.text = value_name(data, shape).map(Cow::into_owned),
    }
    rendered.value = match data {
        Data::Enum(_) => nested(data, shape, times),
        _ => match Decimal::from_data(data) {
            Some(number) => Json::Number(number.scaled(scaler)),
            None => nested(data, shape, times),
        },
    };
    Ok(rendered)
}

/// Renders a value inside another, or a cell of a row: as it is, unscaled, and without anything beside it.
#[must_use]
pub fn nested(data: &Data, shape: &Shape, times: &TimeRules) -> Json {
    if let Some(temporal) = Temporal::of(data, shape) {
        return Json::Text(temporal.text(times.deviation));
    }
    match data {
        Data::Null | Data::DontCare => Json::Null,
        Data::Boolean(value) => Json::Boolean(*value),
        Data::BitString(bits) => Json::Text(bits.iter().map(|bit| if bit { '1' } else { '0' }).collect()),
        Data::OctetString(octets) => match octets.as_slice().try_into() {
            Ok(name) if is_name(octets, shape) => Json::Text(Obis(name).to_string()),
            _ => Json::Text(hex(octets)),
        },
        Data::VisibleString(octets) => Json::Text(visible(octets)),
        Data::Utf8String(octets) => Json::Text(String::from_utf8_lossy(octets).into_owned()),
        Data::Array(elements) => array(elements, shape, times),
        Data::CompactArray(compact) => array(compact.elements(), shape, times),
        Data::Structure(elements) => match shape {
            Shape::Structure(fields) | Shape::ObjectIdentifier(fields) if fields.len() == elements.len() => {
                structure(elements, fields, times)
            }
            _ => Json::Array(elements.iter().map(|element| nested(element, &Shape::Any, times)).collect()),
        },
        // What is left are numbers and typed times, and the times are done.
        number => Decimal::from_data(number).map_or(Json::Null, Json::Number),
    }
}

fn array(elements: &[Data], shape: &Shape, times: &TimeRules) -> Json {
    let element_shape = match shape {
        Shape::Array(element) => element,
        _ => &Shape::Any,
    };
    Json::Array(elements.iter().map(|element| nested(element, element_shape, times)).collect())
}

fn structure(elements: &[Data], fields: &[Field], times: &TimeRules) -> Json {
    let mut members = Vec::with_capacity(elements.len());
    for (element, (name, shape)) in elements.iter().zip(fields) {
        members.push((Cow::Borrowed(*name), nested(element, shape, times)));
        if let Some(text) = value_name(element, shape) {
            members.push((Cow::Owned(format!("{name}_text")), Json::Text(text.into_owned())));
        }
    }
    Json::Object(members)
}

/// The name of an enumerated value.
pub(super) fn value_name(data: &Data, shape: &Shape) -> Option<Cow<'static, str>> {
    if !shape.accepts(data) {
        return None;
    }
    let code = || u8::try_from(Decimal::from_data(data)?.as_i64()?).ok();
    match shape {
        Shape::Enum(names) => {
            let code = code()?;
            names.iter().find(|(number, _)| *number == code).map(|(_, name)| Cow::Borrowed(*name))
        }
        Shape::Unit => Unit(code()?).text().map(Cow::Owned),
        _ => None,
    }
}

/// A date-time, date or time: typed on the wire, or octets that the shape says to be one.
enum Temporal {
    DateTime(DateTime),
    Date(Date),
    Time(Time),
}

impl Temporal {
    fn of(data: &Data, shape: &Shape) -> Option<Self> {
        match (data, shape) {
            (Data::DateTime(value), _) => Some(Self::DateTime(*value)),
            (Data::Date(value), _) => Some(Self::Date(*value)),
            (Data::Time(value), _) => Some(Self::Time(*value)),
            (Data::OctetString(octets), Shape::DateTime) => {
                DateTime::from_bytes(octets).ok().map(Self::DateTime)
            }
            (Data::OctetString(octets), Shape::Date) => Date::from_bytes(octets).ok().map(Self::Date),
            (Data::OctetString(octets), Shape::Time) => Time::from_bytes(octets).ok().map(Self::Time),
            _ => None,
        }
    }

    fn text(&self, sense: DeviationSense) -> String {
        match self {
            Self::DateTime(value) => value.text(sense).to_string(),
            Self::Date(value) => value.to_string(),
            Self::Time(value) => value.to_string(),
        }
    }

    fn date_time(&self) -> Option<DateTime> {
        match self {
            Self::DateTime(value) => Some(*value),
            Self::Date(_) | Self::Time(_) => None,
        }
    }

    fn fields(&self) -> Fields {
        let value = match *self {
            Self::DateTime(value) => value,
            Self::Date(date) => DateTime { date, ..DateTime::NOT_SPECIFIED },
            Self::Time(time) => DateTime { time, ..DateTime::NOT_SPECIFIED },
        };
        Fields {
            year: value.date.year(),
            month: value.date.month(),
            day: value.date.day(),
            weekday: value.date.weekday(),
            hour: value.time.hour(),
            minute: value.time.minute(),
            second: value.time.second(),
            hundredths: value.time.hundredths(),
            deviation: value.deviation_minutes(),
            status: value.clock_status().map(|status| status.0),
        }
    }
}

/// Whether octets are the logical name that the shape says them to be.
fn is_name(octets: &[u8], shape: &Shape) -> bool {
    matches!(shape, Shape::LogicalName) && octets.len() == 6
}

fn hidden_date_time(octets: &[u8], sense: DeviationSense) -> Option<String> {
    let value = DateTime::from_bytes(octets).ok().filter(DateTime::is_valid)?;
    Some(value.text(sense).to_string())
}

/// The text of octets that are all printable ASCII, after trailing zeros are dropped.
pub(super) fn printable(octets: &[u8]) -> Option<String> {
    let length = octets.iter().rposition(|&octet| octet != 0)? + 1;
    let octets = octets.get(..length)?;
    octets
        .iter()
        .all(|octet| matches!(octet, 0x20..=0x7E))
        .then(|| String::from_utf8_lossy(octets).into_owned())
}

/// A visible-string is ASCII by the standard; meters also send UTF-8 and Latin-1.
fn visible(octets: &[u8]) -> String {
    match str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().copied().map(char::from).collect(),
    }
}

fn hex(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 0x0F)]);
    octets.iter().flat_map(|&octet| [digit(octet >> 4), digit(octet)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosem::catalogue::ClassId;
    use crate::wire::data::BitString;

    fn text(json: &Json) -> String {
        serde_json::to_string(json).expect("writable")
    }

    fn plain(data: &Data) -> Rendered {
        render(data, &Shape::Any, 0, &TimeRules::default()).expect("finite")
    }

    #[test]
    fn each_type_has_one_form() {
        for (data, expected) in [
            (Data::Null, "null"),
            (Data::DontCare, "null"),
            (Data::Boolean(true), "true"),
            (Data::DoubleLong(i32::MIN), "-2147483648"),
            (Data::DoubleLongUnsigned(u32::MAX), "4294967295"),
            (Data::Integer(-128), "-128"),
            (Data::Long(-32768), "-32768"),
            (Data::Unsigned(255), "255"),
            (Data::LongUnsigned(65535), "65535"),
            (Data::Long64(i64::MIN), "-9223372036854775808"),
            (Data::Long64Unsigned(u64::MAX), "18446744073709551615"),
            (Data::Enum(201), "201"),
            (Data::Bcd(0x42), "66"),
            (Data::DeltaInteger(-1), "-1"),
            (Data::DeltaLong(-1), "-1"),
            (Data::DeltaDoubleLong(-1), "-1"),
            (Data::DeltaUnsigned(1), "1"),
            (Data::DeltaLongUnsigned(1), "1"),
            (Data::DeltaDoubleLongUnsigned(1), "1"),
            (Data::Float32(-12.625), "-12.625"),
            (Data::Float64(std::f64::consts::PI), "3.141592653589793"),
            (Data::BitString(BitString::new(13, &[0xB3, 0x88]).expect("bits")), r#""1011001110001""#),
            (Data::BitString(BitString::new(0, &[]).expect("bits")), r#""""#),
            (Data::OctetString(vec![]), r#""""#),
            (Data::OctetString(vec![0x00, 0xAB, 0xFF]), r#""00abff""#),
            (Data::VisibleString(b"Zaehler #7 ~!".to_vec()), r#""Zaehler #7 ~!""#),
            (Data::VisibleString(vec![0x5A, 0xE4]), r#""Zä""#),
            (Data::Utf8String("電力量計".into()), r#""電力量計""#),
            (Data::Utf8String(vec![0x41, 0xFF]), "\"A\u{FFFD}\""),
            (Data::Array(vec![]), "[]"),
            (Data::Structure(vec![]), "[]"),
            (
                Data::Array(vec![Data::Structure(vec![Data::Unsigned(1), Data::Array(vec![Data::Null])])]),
                "[[1,[null]]]",
            ),
            (Data::Array(vec![Data::Float64(f64::NAN)]), "[null]"),
        ] {
            let rendered = plain(&data);
            assert_eq!(text(&rendered.value), expected, "{data:?}");
            assert_eq!(rendered.fields, None);
        }
    }

    #[test]
    fn compact_arrays_are_arrays() {
        let data = Data::from_bytes(&[0x13, 0x02, 0x02, 0x06, 0x11, 0x0A, 0, 0, 0, 0, 0, 0, 0, 3, 0xE8, 1])
            .expect("well formed");
        assert_eq!(text(&plain(&data).value), "[[0,0],[1000,1]]");
    }

    #[test]
    fn numbers_are_scaled_and_only_numbers() {
        let scaled = |data: &Data| {
            text(&render(data, &Shape::Scaled, -3, &TimeRules::default()).expect("finite").value)
        };
        assert_eq!(scaled(&Data::DoubleLongUnsigned(12_345_678)), "12345.678");
        assert_eq!(scaled(&Data::Float32(0.1)), "0.0001");
        assert_eq!(scaled(&Data::Enum(5)), "5");
        assert_eq!(scaled(&Data::Boolean(true)), "true");
        assert_eq!(scaled(&Data::OctetString(vec![1])), r#""01""#);
        assert_eq!(scaled(&Data::Array(vec![Data::Unsigned(5)])), "[5]");
        for data in [Data::Float32(f32::NAN), Data::Float64(f64::INFINITY)] {
            assert_eq!(render(&data, &Shape::Any, 0, &TimeRules::default()), Err(NotFinite));
        }
    }

    #[test]
    fn text_and_date_time_beside_octet_strings() {
        let beside = |octets: &[u8], shape: &Shape| {
            let data = Data::OctetString(octets.to_vec());
            let rendered = render(&data, shape, 0, &TimeRules::default()).expect("finite");
            assert_eq!(rendered.value, Json::Text(hex(octets)), "the value stays hexadecimal");
            (rendered.text, rendered.date_time)
        };
        let text = |text: &str| (Some(text.to_owned()), None);
        assert_eq!(beside(b"RIG00042", &Shape::Any), text("RIG00042"));
        assert_eq!(beside(b"RIG\0\0", &Shape::Any), text("RIG"));
        assert_eq!(beside(b"R\0IG", &Shape::Any), (None, None));
        assert_eq!(beside(b"\0\0", &Shape::Any), (None, None));
        assert_eq!(beside(b"", &Shape::Any), (None, None));
        assert_eq!(beside(b"178210015165", &Shape::Any), text("178210015165"), "text comes first");
        let clock = [0x07, 0xEA, 2, 14, 6, 18, 45, 0, 0, 0xFF, 0xC4, 0];
        assert_eq!(beside(&clock, &Shape::Any), (None, Some("2026-02-14T18:45:00+01:00".into())));
        assert_eq!(beside(&clock, &Shape::Scaled).1.as_deref(), Some("2026-02-14T18:45:00+01:00"));
        assert_eq!(beside(&clock, &Shape::OctetString), (None, None), "it is typed");
        let open = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x80, 0, 0xFF];
        assert_eq!(beside(&open, &Shape::Any), (None, Some("*-*-*T*:*:*".into())));
        assert_eq!(beside(&[9; 12], &Shape::Any), (None, None), "no valid date");
    }

    #[test]
    fn times() {
        let clock = [0x07, 0xEA, 3, 29, 7, 1, 23, 45, 0, 0xFF, 0x88, 0x80];
        let typed = Data::DateTime(DateTime::from_bytes(&clock).expect("twelve octets"));
        for (data, shape) in [(Data::OctetString(clock.to_vec()), Shape::DateTime), (typed, Shape::Any)] {
            let rendered = render(&data, &shape, 0, &TimeRules::default()).expect("finite");
            assert_eq!(rendered.value, Json::Text("2026-03-29T01:23:45+02:00".into()));
            assert_eq!((rendered.text, rendered.date_time), (None, None));
            assert!(rendered.time.is_some());
            assert_eq!(
                serde_json::to_string(&rendered.fields).expect("writable"),
                r#"{"year":2026,"month":3,"day":29,"weekday":7,"hour":1,"minute":23,"second":45,"hundredths":0,"deviation":-120,"status":128}"#
            );
        }
        let begin = [0xFF, 0xFF, 3, 0xFE, 7, 2, 0, 0, 0, 0x80, 0, 0];
        let begin = render(&Data::OctetString(begin.to_vec()), &Shape::DateTime, 0, &TimeRules::default())
            .expect("finite");
        assert_eq!(begin.value, Json::Text("*-03-last/sunT02:00:00".into()));
        let date = plain(&Data::Date(Date::from_bytes(&[0xFF, 0xFF, 12, 25, 0xFF]).expect("five octets")));
        assert_eq!(date.value, Json::Text("*-12-25".into()));
        assert_eq!(
            serde_json::to_string(&date.fields).expect("writable"),
            r#"{"year":null,"month":12,"day":25,"weekday":null,"hour":null,"minute":null,"second":null,"hundredths":null,"deviation":null,"status":null}"#
        );
        let time = nested(&Data::OctetString(vec![6, 30, 0, 0]), &Shape::Time, &TimeRules::default());
        assert_eq!(time, Json::Text("06:30:00".into()));
        let short = nested(&Data::OctetString(vec![6, 30]), &Shape::DateTime, &TimeRules::default());
        assert_eq!(short, Json::Text("061e".into()), "not of the shape: in its generic form");
        let reversed = TimeRules { deviation: DeviationSense::Reversed, ..TimeRules::default() };
        let reversed =
            render(&Data::OctetString(clock.to_vec()), &Shape::DateTime, 0, &reversed).expect("finite");
        assert_eq!(reversed.value, Json::Text("2026-03-29T01:23:45-02:00".into()));
    }

    /// The value of an attribute in the peer's bytes, as JSON text.
    fn attribute(class: u16, version: u8, id: i8, hex: &str) -> String {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
            .collect();
        let data = Data::from_bytes(&bytes).expect("well formed");
        let attribute = ClassId(class).attribute(Some(version), id, Some(&data)).expect("listed");
        text(&render(&data, &attribute.shape, 0, &TimeRules::default()).expect("finite").value)
    }

    #[test]
    fn structures_have_the_names_of_the_catalogue() {
        for (class, version, id, hex, expected) in [
            (3, 0, 3, "02020ffd161e", r#"{"scaler":-3,"unit":30,"unit_text":"Wh"}"#),
            (
                7,
                1,
                6,
                "020412000809060000010000ff0f02120000",
                r#"{"class_id":8,"logical_name":"0-0:1.0.0*255","attribute_index":2,"data_index":0}"#,
            ),
            (
                9,
                0,
                2,
                "01010202120001010102051601120006090600000e0000ff0f0409055241544531",
                r#"[{"script_identifier":1,"actions":[{"service_id":1,"service_id_text":"write","class_id":6,"logical_name":"0-0:14.0.0*255","index":4,"parameter":"5241544531"}]}]"#,
            ),
            (
                11,
                0,
                2,
                "01010203120001 0905ffff0c19ff1102",
                r#"[{"index":1,"specialday_date":"*-12-25","day_id":2}]"#,
            ),
            (
                20,
                0,
                5,
                "01010202110101010203090406000000090600000a0064ff120001",
                r#"[{"day_id":1,"day_schedule":[{"start_time":"06:00:00","script_logical_name":"0-0:10.0.100*255","script_selector":1}]}]"#,
            ),
            (22, 0, 4, "010102020904010000000905ffffff01ff", r#"[{"time":"01:00:00","date":"*-*-01"}]"#),
            (
                40,
                0,
                3,
                "02031600090e3132372e302e302e313a343035391600",
                r#"{"transport_service":0,"transport_service_text":"tcp","destination":"3132372e302e302e313a34303539","message":0,"message_text":"a_xdr"}"#,
            ),
            (
                47,
                1,
                6,
                "0207060001e240121267111511011200f41200050600001900",
                r#"{"cell_id":123456,"location_id":4711,"signal_quality":21,"ber":1,"mcc":244,"mnc":5,"channel_number":6400}"#,
            ),
            (
                15,
                1,
                2,
                "010102041200011100090600002a0000ff0202010102 030f011601000101 02020f011601",
                r#"[{"class_id":1,"version":0,"logical_name":"0-0:42.0.0*255","access_rights":{"attribute_access":[{"attribute_id":1,"access_mode":1,"access_mode_text":"read","access_selectors":null}],"method_access":[{"method_id":1,"access_mode":1,"access_mode_text":"access"}]}}]"#,
            ),
            (70, 0, 3, "1601", "1"),
            (24, 1, 5, "01020ffb0f0c", "[-5,12]"),
        ] {
            assert_eq!(attribute(class, version, id, &hex.replace(' ', "")), expected, "{class}.{id}");
        }
    }

    #[test]
    fn what_does_not_fit_its_shape_is_generic() {
        assert_eq!(attribute(3, 0, 3, "02010ffd"), "[-3]", "a structure of another length");
        assert_eq!(attribute(7, 1, 6, "1105"), "5", "no structure at all");
        assert_eq!(
            attribute(7, 1, 3, "010202020f0111010202 1101090100".replace(' ', "").as_str()),
            r#"[[1,1],[1,"00"]]"#
        );
        assert_eq!(
            attribute(7, 1, 6, "02041200080903000001 0f02120000".replace(' ', "").as_str()),
            r#"{"class_id":8,"logical_name":"000001","attribute_index":2,"data_index":0}"#,
            "no logical name"
        );
    }

    #[test]
    fn names_of_values() {
        let name = |class: u16, id, data: &Data| {
            let attribute = ClassId(class).attribute(None, id, Some(data)).expect("listed");
            render(data, &attribute.shape, 0, &TimeRules::default()).expect("finite").text
        };
        assert_eq!(name(70, 3, &Data::Enum(2)).as_deref(), Some("ready_for_reconnection"));
        assert_eq!(name(70, 3, &Data::Unsigned(2)).as_deref(), Some("ready_for_reconnection"));
        assert_eq!(name(70, 3, &Data::Enum(9)), None);
        assert_eq!(name(70, 2, &Data::Boolean(true)), None);
        assert_eq!(name(41, 3, &Data::OctetString(vec![0x31; 6])), None, "a logical name is no text");
    }
}
