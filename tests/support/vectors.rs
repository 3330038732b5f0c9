//! Loading of test vectors: the files of `tests/vectors`, and captures of real meters kept outside the repository.

use std::path::{Path, PathBuf};

use dlms2mqtt::wire::compact_array::{CompactArray, TypeDescription};
use dlms2mqtt::wire::cursor::Reader;
use dlms2mqtt::wire::data::{BitString, Data};
use dlms2mqtt::wire::data_type::DataType;
use dlms2mqtt::wire::date_time::{Date, DateTime, Time};
use dlms2mqtt::wire::error::WireError;
use serde_json::Value;

use super::not_run::not_run;

/// One vector: its name, and the whole of it as JSON.
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) json: Value,
}

/// Who sent the bytes of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// The vectors of `tests/vectors/<category>.json`.
pub(crate) fn vectors(category: &str) -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let vectors = load(&folder.join(category).with_extension("json"));
    assert!(!vectors.is_empty(), "{category}.json has no vectors");
    vectors
}

/// The `count` captured vectors of a category, from the folder that `DLMS2MQTT_CAPTURED` names or from the one
/// beside the checkout. Where there is no such folder, it says how many were not seen and gives none.
pub(crate) fn captured(category: &str, count: usize) -> Vec<Vector> {
    let folder = std::env::var_os("DLMS2MQTT_CAPTURED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/captured"),
        PathBuf::from,
    );
    let file = folder.join(category).with_extension("json");
    if !file.exists() {
        not_run(count, &format!("captured vectors ({category}): {} does not exist", file.display()));
        return Vec::new();
    }
    let vectors = load(&file);
    assert_eq!(vectors.len(), count, "captured vectors of {category}");
    vectors
}

fn load(file: &Path) -> Vec<Vector> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["format_version"], 1, "{}", file.display());
    let Value::Array(vectors) = json["vectors"].take() else { panic!("{}: no vectors", file.display()) };
    vectors.into_iter().map(|json| Vector { name: text_of(&json["name"]).to_owned(), json }).collect()
}

impl Vector {
    /// The bytes of `hex`.
    pub(crate) fn hex(&self) -> Vec<u8> {
        hex(text_of(&self.json["hex"]))
    }

    /// What to feed; null where the vector does not have it.
    pub(crate) fn input(&self, key: &str) -> &Value {
        &self.json["inputs"][key]
    }

    /// The decoded result; null where the vector does not have it.
    pub(crate) fn expected(&self, key: &str) -> &Value {
        &self.json["expected"][key]
    }

    /// Whether the bytes must be accepted: all but the vectors that say `valid: false`.
    pub(crate) fn is_valid(&self) -> bool {
        self.expected("valid") != false
    }

    /// The messages of `exchange`, in order.
    pub(crate) fn exchange(&self) -> Vec<(Sender, Vec<u8>)> {
        let messages = self.json["exchange"].as_array().expect("exchange");
        let sender = |json: &Value| match text_of(json) {
            "client" => Sender::Client,
            "server" => Sender::Server,
            other => panic!("{}: sender {other}", self.name),
        };
        messages.iter().map(|message| (sender(&message["dir"]), hex(text_of(&message["hex"])))).collect()
    }
}

fn text_of(json: &Value) -> &str {
    json.as_str().unwrap_or_else(|| panic!("text expected, not {json}"))
}

/// The bytes of a hexadecimal text.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii(), "hexadecimal: {text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect(text)).collect()
}

/// The bytes as a hexadecimal text.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value in the vectors' notation, `{"type": …, "value": …}`.
pub(crate) fn data(json: &Value) -> Data {
    typed(text_of(&json["type"]), json)
}

fn typed(name: &str, json: &Value) -> Data {
    let value = &json["value"];
    match name {
        "null-data" => Data::Null,
        "dont-care" => Data::DontCare,
        "array" => Data::Array(list(value).iter().map(data).collect()),
        "structure" => Data::Structure(list(value).iter().map(data).collect()),
        "compact-array" => {
            let description = description(&json["description"]);
            let elements = list(value).iter().map(|element| untagged(&description, element)).collect();
            Data::CompactArray(CompactArray::new(description, elements).expect("elements of the type"))
        }
        _ => simple(name, value),
    }
}

fn description(json: &Value) -> TypeDescription {
    match text_of(&json["type"]) {
        "array" => TypeDescription::Array {
            count: integer(&json["count"]),
            element: Box::new(description(&json["element"])),
        },
        "structure" => TypeDescription::Structure(list(&json["elements"]).iter().map(description).collect()),
        name => DataType::from_name(name).and_then(TypeDescription::simple).expect("simple type"),
    }
}

/// A value whose type is told by a description.
pub(crate) fn untagged(description: &TypeDescription, json: &Value) -> Data {
    match description {
        TypeDescription::Array { element, .. } => {
            Data::Array(list(json).iter().map(|value| untagged(element, value)).collect())
        }
        TypeDescription::Structure(elements) => {
            assert_eq!(elements.len(), list(json).len());
            Data::Structure(
                elements.iter().zip(list(json)).map(|(element, value)| untagged(element, value)).collect(),
            )
        }
        TypeDescription::Simple(of) => simple(of.data_type().name(), json),
    }
}

fn list(json: &Value) -> &[Value] {
    json.as_array().unwrap_or_else(|| panic!("list expected, not {json}"))
}

/// A value of the simple type `name`.
fn simple(name: &str, value: &Value) -> Data {
    match name {
        "boolean" => Data::Boolean(value.as_bool().expect("boolean")),
        "bit-string" => Data::BitString(bits(text_of(value))),
        "double-long" => Data::DoubleLong(integer(value)),
        "double-long-unsigned" => Data::DoubleLongUnsigned(integer(value)),
        "octet-string" => Data::OctetString(hex(text_of(value))),
        "visible-string" => Data::VisibleString(text_of(value).as_bytes().to_vec()),
        "utf8-string" => Data::Utf8String(text_of(value).as_bytes().to_vec()),
        "bcd" => Data::Bcd(integer(value)),
        "integer" => Data::Integer(integer(value)),
        "long" => Data::Long(integer(value)),
        "unsigned" => Data::Unsigned(integer(value)),
        "long-unsigned" => Data::LongUnsigned(integer(value)),
        "long64" => Data::Long64(integer(value)),
        "long64-unsigned" => Data::Long64Unsigned(integer(value)),
        "enum" => Data::Enum(integer(value)),
        #[expect(clippy::cast_possible_truncation, reason = "the vectors hold floats of single precision")]
        "float32" => Data::Float32(value.as_f64().expect("number") as f32),
        "float64" => Data::Float64(value.as_f64().expect("number")),
        "date-time" => Data::DateTime(fixed(value, DateTime::decode)),
        "date" => Data::Date(fixed(value, Date::decode)),
        "time" => Data::Time(fixed(value, Time::decode)),
        "delta-integer" => Data::DeltaInteger(integer(value)),
        "delta-long" => Data::DeltaLong(integer(value)),
        "delta-double-long" => Data::DeltaDoubleLong(integer(value)),
        "delta-unsigned" => Data::DeltaUnsigned(integer(value)),
        "delta-long-unsigned" => Data::DeltaLongUnsigned(integer(value)),
        "delta-double-long-unsigned" => Data::DeltaDoubleLongUnsigned(integer(value)),
        other => panic!("type {other}"),
    }
}

fn integer<T: TryFrom<i128>>(json: &Value) -> T {
    let number = json.as_i64().map(i128::from).or_else(|| json.as_u64().map(i128::from));
    number
        .and_then(|number| T::try_from(number).ok())
        .unwrap_or_else(|| panic!("number out of range: {json}"))
}

fn bits(text: &str) -> BitString {
    let mut bytes = vec![0u8; text.len().div_ceil(8)];
    for (at, bit) in text.bytes().enumerate() {
        bytes[at / 8] |= (bit - b'0') << (7 - at % 8);
    }
    BitString::new(text.len(), &bytes).expect("bytes for every bit")
}

fn fixed<T>(json: &Value, decode: impl Fn(&mut Reader<'_>) -> Result<T, WireError>) -> T {
    let bytes = hex(text_of(json));
    let mut reader = Reader::new(&bytes);
    let value = decode(&mut reader).expect("date or time");
    reader.finish().expect("whole");
    value
}
