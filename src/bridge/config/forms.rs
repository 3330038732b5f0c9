//! Keys that may be written in two forms: `off` or settings, one name or several, numbers or `all`.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer, StrDeserializer, U64Deserializer};
use serde::de::{Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::name::Name;
use super::quantity::Integer;

/// Settings, or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switchable<T> {
    /// `off`, or `false`.
    Off,
    /// The settings.
    On(T),
}

/// One name, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(pub Vec<Name>);

/// A list of attribute numbers, or `all`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// Every attribute from 2 on.
    All,
    /// These.
    Listed(Vec<Integer>),
}

impl<T> Switchable<T> {
    /// The settings, unless it is off.
    pub const fn on(&self) -> Option<&T> {
        match self {
            Self::Off => None,
            Self::On(settings) => Some(settings),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switchable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchableVisitor(PhantomData))
    }
}

struct SwitchableVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SwitchableVisitor<T> {
    type Value = Switchable<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("off, or settings")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Self::Value, E> {
        // `on` alone says nothing about the settings.
        if on { Err(E::custom("off, or settings are expected")) } else { Ok(Switchable::Off) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text {
            "off" => Ok(Switchable::Off),
            _ => T::deserialize(StrDeserializer::new(text)).map(Switchable::On),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(Switchable::On)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        T::deserialize(U64Deserializer::new(value)).map(Switchable::On)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Switchable::On)
    }
}

impl<T: Serialize> Serialize for Switchable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::On(settings) => settings.serialize(serializer),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Switchable<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Switchable{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "enum": ["off", false] }, generator.subschema_for::<T>()] })
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name or a list of names")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Names, E> {
        text.parse().map(|name| Names(vec![name])).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Names, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Names)
    }
}

impl Names {
    /// As a list, be it of a single name.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize_as_list<S: Serializer>(names: &Option<Self>, serializer: S) -> Result<S::Ok, S::Error> {
        names.as_ref().map(|Self(names)| names).serialize(serializer)
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => only.serialize(serializer),
            names => names.serialize(serializer),
        }
    }
}

impl JsonSchema for Names {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<Name>();
        json_schema!({ "anyOf": [name, { "type": "array", "items": name }] })
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttributesVisitor)
    }
}

struct AttributesVisitor;

impl<'de> Visitor<'de> for AttributesVisitor {
    type Value = Attributes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all, or a list of attribute numbers")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Attributes, E> {
        match text {
            "all" => Ok(Attributes::All),
            _ => Err(E::custom("all, or a list of attribute numbers is expected")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Attributes, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Attributes::Listed)
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Listed(numbers) => numbers.serialize(serializer),
        }
    }
}

impl JsonSchema for Attributes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Attributes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "const": "all" },
                { "type": "array", "minItems": 1, "items": { "type": "integer", "minimum": -128, "maximum": 127 } }
            ]
        })
    }
}
