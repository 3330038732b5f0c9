//! What the contract makes of a value that the peer meter says it has: written apart from the renderer under test.

mod classes;

use serde_json::{Map, Value};

use classes::{CLASSES, QOS};

/// What an attribute is, beyond its types on the wire.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Plain,
    LogicalName,
    DateTime,
    Date,
    Time,
    Scaled,
    Unit,
    /// Octets that are no date-time by chance.
    Octets,
    Enum(Vec<(u64, String)>),
    Array(Box<Shape>),
    Structure(Vec<(String, Shape)>),
}

/// A value as published, and what stands beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Published {
    pub(crate) value: Value,
    pub(crate) text: Option<String>,
    pub(crate) date_time: Option<String>,
}

/// Name and shape of an attribute; attribute 1 is the logical name everywhere.
pub(crate) fn attribute(class: u16, id: i8) -> (String, Shape) {
    if id == 1 {
        return ("logical_name".to_owned(), Shape::LogicalName);
    }
    let (_, attributes) = CLASSES
        .iter()
        .find(|(known, _)| *known == u64::from(class))
        .unwrap_or_else(|| panic!("class {class} has no names here"));
    let (name, shape) = attributes
        .get(usize::try_from(id - 2).unwrap())
        .unwrap_or_else(|| panic!("class {class} has no attribute {id} here"));
    ((*name).to_owned(), parse(&shape.replace("QOS", QOS)))
}

fn parse(text: &str) -> Shape {
    let mut rest = text;
    let shape = parse_one(&mut rest);
    assert!(rest.is_empty(), "{text}: {rest}");
    shape
}

fn parse_one(rest: &mut &str) -> Shape {
    let first = rest.chars().next().expect("a shape");
    *rest = &rest[1..];
    match first {
        '.' => Shape::Plain,
        'o' => Shape::Octets,
        'L' => Shape::LogicalName,
        'T' => Shape::DateTime,
        'D' => Shape::Date,
        'C' => Shape::Time,
        'S' => Shape::Scaled,
        'U' => Shape::Unit,
        '(' => {
            let (names, after) = rest.split_once(')').expect("a closed enumeration");
            *rest = after;
            let one = |name: &str| {
                let (number, name) = name.split_once('=').expect("number=name");
                (number.parse().expect("a number"), name.to_owned())
            };
            Shape::Enum(names.split(',').map(one).collect())
        }
        '[' => {
            let element = parse_one(rest);
            *rest = rest.strip_prefix(']').expect("a closed array");
            Shape::Array(Box::new(element))
        }
        '{' => {
            let mut fields = Vec::new();
            loop {
                let (name, after) = rest.split_once(':').expect("name:shape");
                *rest = after;
                fields.push((name.to_owned(), parse_one(rest)));
                match rest.split_at(1) {
                    (",", after) => *rest = after,
                    ("}", after) => {
                        *rest = after;
                        return Shape::Structure(fields);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        other => panic!("no shape {other}"),
    }
}

/// The value of a payload.
pub(crate) fn top(typed: &Value, shape: &Shape, scaler: i32) -> Published {
    let octets = octets(typed);
    let mut published = Published { value: nested(typed, shape), text: None, date_time: None };
    if let (Shape::Scaled, Some(number)) = (shape, typed["v"].as_i64()) {
        published.value = scaled(number.into(), scaler);
    }
    published.text = match (&octets, shape) {
        (_, Shape::Enum(_) | Shape::Unit) => name_of(typed, shape),
        (Some(_), Shape::LogicalName | Shape::DateTime | Shape::Date | Shape::Time) => None,
        (Some(octets), _) => printable(octets),
        _ => None,
    };
    if let (Some(octets), Shape::Plain, None) = (&octets, shape, &published.text)
        && octets.len() == 12
        && plausible(octets)
    {
        published.date_time = Some(date_time(octets));
    }
    published
}

/// A member of an object, with what stands beside it.
pub(crate) fn member(into: &mut Map<String, Value>, name: &str, typed: &Value, shape: &Shape, scaler: i32) {
    let Published { value, text, date_time } = top(typed, shape, scaler);
    into.insert(name.to_owned(), value);
    if let Some(text) = text {
        into.insert(format!("{name}_text"), text.into());
    }
    if let Some(date_time) = date_time {
        into.insert(format!("{name}_date_time"), date_time.into());
    }
}

/// A value within another.
pub(crate) fn nested(typed: &Value, shape: &Shape) -> Value {
    let value = &typed["v"];
    match typed["t"].as_str().expect("a type") {
        "octet-string" => {
            let octets = octets(typed).expect("octets");
            match (shape, octets.len()) {
                (Shape::LogicalName, 6) => obis(&octets).into(),
                (Shape::DateTime, 12) => date_time(&octets).into(),
                (Shape::Date, 5) => date(&octets).into(),
                (Shape::Time, 4) => time(&octets).into(),
                _ => value.clone(),
            }
        }
        "date-time" => date_time(&from_hex(value)).into(),
        "date" => date(&from_hex(value)).into(),
        "time" => time(&from_hex(value)).into(),
        "array" => {
            let element = match shape {
                Shape::Array(element) => element,
                _ => &Shape::Plain,
            };
            value.as_array().expect("elements").iter().map(|typed| nested(typed, element)).collect()
        }
        "structure" => {
            let elements = value.as_array().expect("elements");
            let Shape::Structure(fields) = shape else {
                return elements.iter().map(|typed| nested(typed, &Shape::Plain)).collect();
            };
            assert_eq!(fields.len(), elements.len(), "{typed}");
            let mut object = Map::new();
            for ((name, shape), typed) in fields.iter().zip(elements) {
                object.insert(name.clone(), nested(typed, shape));
                if let Some(text) = name_of(typed, shape) {
                    object.insert(format!("{name}_text"), text.into());
                }
            }
            object.into()
        }
        "compact-array" => {
            let (kind, contents) = (from_hex(&value["type"]), from_hex(&value["contents"]));
            let mut rest = contents.as_slice();
            let mut elements = Vec::new();
            while !rest.is_empty() {
                elements.push(compact(&mut kind.as_slice(), &mut rest));
            }
            elements.into()
        }
        _ => value.clone(),
    }
}

/// One element of a compact array by its type description: the types that the meter has in one.
fn compact(kind: &mut &[u8], contents: &mut &[u8]) -> Value {
    let tag = take(kind, 1)[0];
    match tag {
        0x02 => {
            let count = take(kind, 1)[0];
            (0..count).map(|_| compact(kind, contents)).collect()
        }
        0x06 => u32::from_be_bytes(take(contents, 4).try_into().unwrap()).into(),
        0x11 => take(contents, 1)[0].into(),
        0x12 => u16::from_be_bytes(take(contents, 2).try_into().unwrap()).into(),
        other => panic!("no type {other:#x}"),
    }
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = from.split_at(count);
    *from = rest;
    taken
}

fn name_of(typed: &Value, shape: &Shape) -> Option<String> {
    let code = typed["v"].as_u64()?;
    match shape {
        Shape::Enum(names) => names.iter().find(|(number, _)| *number == code).map(|(_, name)| name.clone()),
        Shape::Unit => unit(code).map(str::to_owned),
        _ => None,
    }
}

/// The units of the peer meter.
pub(crate) fn unit(code: u64) -> Option<&'static str> {
    match code {
        13 => Some("m3"),
        27 => Some("W"),
        30 => Some("Wh"),
        33 => Some("A"),
        35 => Some("V"),
        44 => Some("Hz"),
        0 | 255 => None,
        other => panic!("the peer meter has a new unit {other}"),
    }
}

/// `number` · 10^`scaler` with all its digits, by moving the point in its text.
pub(crate) fn scaled_text(number: i128, scaler: i32) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let digits = number.unsigned_abs().to_string();
    if scaler >= 0 {
        let zeros = if number == 0 { 0 } else { usize::try_from(scaler).unwrap() };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    let places = usize::try_from(-scaler).unwrap();
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn scaled(number: i128, scaler: i32) -> Value {
    serde_json::from_str(&scaled_text(number, scaler)).expect("a number")
}

/// `1-0:1.8.0*255` of six octets.
pub(crate) fn obis(octets: &[u8]) -> String {
    let [a, b, c, d, e, f] = octets.try_into().expect("six octets");
    format!("{a}-{b}:{c}.{d}.{e}*{f}")
}

/// The same of `1.0.1.8.0.255`.
pub(crate) fn obis_of(dotted: &str) -> String {
    obis(&dotted.split('.').map(|part| part.parse().expect("0 to 255")).collect::<Vec<u8>>())
}

fn octets(typed: &Value) -> Option<Vec<u8>> {
    (typed["t"] == "octet-string").then(|| from_hex(&typed["v"]))
}

fn from_hex(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hex");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn printable(octets: &[u8]) -> Option<String> {
    let text: Vec<u8> = octets.iter().rev().skip_while(|octet| **octet == 0).copied().collect();
    let is_text = !text.is_empty() && text.iter().all(|octet| (0x20..=0x7E).contains(octet));
    is_text.then(|| text.iter().rev().map(|&octet| char::from(octet)).collect())
}

fn plausible(octets: &[u8]) -> bool {
    let within = |octet: u8, low: u8, high: u8| octet == 0xFF || (low..=high).contains(&octet);
    within(octets[2], 1, 12)
        && within(octets[3], 1, 31)
        && within(octets[5], 0, 23)
        && within(octets[6], 0, 59)
}

fn date_time(octets: &[u8]) -> String {
    let deviation = i16::from_be_bytes([octets[9], octets[10]]);
    let offset = match deviation {
        i16::MIN => String::new(),
        minutes => {
            let sign = if minutes > 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
    };
    format!("{}T{}{offset}", date(&octets[..5]), time(&octets[5..9]))
}

fn date(octets: &[u8]) -> String {
    let year = u16::from_be_bytes([octets[0], octets[1]]);
    let year = if year == 0xFFFF { "*".to_owned() } else { format!("{year:04}") };
    let month = match octets[2] {
        0xFF => "*".to_owned(),
        0xFE => "dst_begin".to_owned(),
        0xFD => "dst_end".to_owned(),
        month => format!("{month:02}"),
    };
    let day = match octets[3] {
        0xFF => "*".to_owned(),
        0xFE => "last".to_owned(),
        0xFD => "second_last".to_owned(),
        day => format!("{day:02}"),
    };
    let is_complete = year != "*" && octets[2] < 0xFD && octets[3] < 0xFD;
    let weekday = match octets[4] {
        day @ 1..=7 if !is_complete => {
            ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][usize::from(day) - 1]
        }
        _ => "",
    };
    let slash = if weekday.is_empty() { "" } else { "/" };
    format!("{year}-{month}-{day}{slash}{weekday}")
}

fn time(octets: &[u8]) -> String {
    let field = |octet: u8| if octet == 0xFF { "*".to_owned() } else { format!("{octet:02}") };
    let hundredths = match octets[3] {
        0 | 0xFF => String::new(),
        hundredths => format!(".{hundredths:02}"),
    };
    format!("{}:{}:{}{hundredths}", field(octets[0]), field(octets[1]), field(octets[2]))
}

/// An RFC 3339 time as the gateway writes its own: UTC, milliseconds, `Z`.
pub(crate) fn is_gateway_time(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    form == "0000-00-00T00:00:00.000Z"
}
