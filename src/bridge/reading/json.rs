//! JSON with exact numbers and members in the order of the meter.

use std::borrow::Cow;
use std::fmt::Display;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::cosem::decimal::Decimal;

/// A JSON value. Numbers are decimals and are written with all their digits.
///
/// Write it with `serde_json::to_string` or `to_raw_value`; `serde_json::to_value` would turn numbers into floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// null.
    Null,
    /// true or false.
    Boolean(bool),
    /// A number.
    Number(Decimal),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Vec<(Cow<'static, str>, Json)>),
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Number(number) => match number.as_i64() {
                Some(integer) => serializer.serialize_i64(integer),
                None => {
                    RawValue::from_string(number.to_string()).map_err(S::Error::custom)?.serialize(serializer)
                }
            },
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(elements) => serializer.collect_seq(elements),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl JsonSchema for Json {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Writes a time of the gateway: RFC 3339 in UTC, with milliseconds.
pub(super) fn gateway_time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// The same, or null.
pub(super) fn gateway_time_or_null<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => gateway_time(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Writes a tick of a schedule: RFC 3339 in UTC, whole seconds.
pub(super) fn tick<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.0}"))
}

/// Writes what is displayed.
pub(super) fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Writes what is displayed, where there is something.
pub(super) fn text_or_null<S: Serializer>(
    value: &Option<impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => text(value, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_all_digits() {
        let json = Json::Array(vec![
            Json::Number(Decimal::new(123_456_789_012_345_678, -3)),
            Json::Number(Decimal::new(i64::MIN, 0)),
            Json::Number(Decimal::new(1, 25)),
            Json::Number(Decimal::ZERO),
        ]);
        assert_eq!(
            serde_json::to_string(&json).expect("writable"),
            "[123456789012345.678,-9223372036854775808,10000000000000000000000000,0]"
        );
    }

    #[test]
    fn members_keep_their_order() {
        let json = Json::Object(vec![
            ("z".into(), Json::Null),
            ("a".into(), Json::Boolean(true)),
            ("m".into(), Json::Text("é\"".into())),
        ]);
        assert_eq!(serde_json::to_string(&json).expect("writable"), r#"{"z":null,"a":true,"m":"é\""}"#);
    }
}
