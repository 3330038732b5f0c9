//! A tree of values as serde reads it, stricter and more telling than serde's own: a list is never taken for a mapping
//! of keys, and errors say where and what they are instead of quoting what stands there, which could be a secret.

use std::{fmt, iter, slice};

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Expected, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Number, Value, map};

use super::path::{Path, Segment};

/// A node of the tree.
#[derive(Clone, Copy)]
pub(super) struct Strict<'a>(pub(super) &'a Value);

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The steps from the root, the last one first: they are learnt on the way back.
    steps: Vec<Segment>,
    pub(super) what: What,
}

/// What is wrong with a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A mapping has a key that isn't known.
    UnknownKey { key: String, known: &'static [&'static str] },
    /// Something else is expected.
    Type { expected: String, found: &'static str },
    /// Anything else, in words.
    Other(String),
}

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => visit_number(number, visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(list) => visitor.visit_seq(Elements(list.iter().enumerate())),
            Value::Object(map) => visitor.visit_map(Members { rest: map.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// Derived code would read a list as the values of the keys in their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if self.0.is_array() {
            return Err(de::Error::invalid_type(Unexpected::Seq, &"a mapping of keys"));
        }
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Fault> {
    if let Some(value) = number.as_u64() {
        visitor.visit_u64(value)
    } else if let Some(value) = number.as_i64() {
        visitor.visit_i64(value)
    } else {
        visitor.visit_f64(number.as_f64().unwrap_or(f64::MAX))
    }
}

/// The elements of a list.
struct Elements<'a>(iter::Enumerate<slice::Iter<'a, Value>>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, value)) = self.0.next() else { return Ok(None) };
        seed.deserialize(Strict(value)).map(Some).map_err(|fault| fault.below(Segment::Index(index)))
    }
}

/// The keys of a mapping with their values.
struct Members<'a> {
    rest: map::Iter<'a>,
    value: Option<(&'a str, &'a Value)>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key, value));
        let fault = |fault: Fault| fault.below(Segment::Key(key.clone()));
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some).map_err(fault)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, value) =
            self.value.take().ok_or_else(|| What::Other("a value without a key".to_owned()))?;
        seed.deserialize(Strict(value)).map_err(|fault| fault.below(Segment::Key(key.to_owned())))
    }
}

impl Fault {
    /// Where it is.
    pub(super) fn path(&self) -> Path {
        self.steps.iter().rev().cloned().collect()
    }

    fn below(mut self, step: Segment) -> Self {
        self.steps.push(step);
        self
    }
}

impl From<What> for Fault {
    fn from(what: What) -> Self {
        Self { steps: Vec::new(), what }
    }
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        What::Other(message.to_string()).into()
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        What::UnknownKey { key: key.to_owned(), known }.into()
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
            Unexpected::Float(_) => "a number with a fraction",
            Unexpected::Char(_) | Unexpected::Str(_) => "a text",
            Unexpected::Unit | Unexpected::Option => "nothing",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a mapping",
            _ => "something else",
        };
        let expected = match expected.to_string() {
            text if text.starts_with("struct ") || text == "a map" => "a mapping of keys".to_owned(),
            text if text == "a sequence" => "a list".to_owned(),
            text if text == "a string" || text == "path string" => "a text".to_owned(),
            text => text,
        };
        What::Type { expected, found }.into()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, .. } => write!(f, "unknown key `{key}`"),
            Self::Type { expected, found } => write!(f, "{expected} is expected here, not {found}"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        left: i64,
        right: Option<String>,
    }

    #[test]
    fn lists_are_no_mappings() {
        let read = |value: Value| Pair::deserialize(Strict(&value)).map_err(|fault| fault.what);
        assert_eq!(read(json!({ "left": 1, "right": null })), Ok(Pair { left: 1, right: None }));
        assert_eq!(
            read(json!([1, "x"])),
            Err(What::Type { expected: "a mapping of keys".into(), found: "a list" })
        );
        assert_eq!(
            read(json!({ "lft": 1 })),
            Err(What::UnknownKey { key: "lft".into(), known: &["left", "right"] })
        );
    }

    #[test]
    fn faults_say_where_they_are() {
        let path = |value: Value| {
            let fault = HashMap::<String, Vec<Pair>>::deserialize(Strict(&value)).unwrap_err();
            fault.path().to_string()
        };
        assert_eq!(path(json!({ "a": [{ "left": 1 }, { "left": "x" }] })), "a[1].left");
        assert_eq!(path(json!({ "a": [{ "left": 1, "up": 2 }] })), "a[0].up");
        assert_eq!(path(json!({ "a": [{}] })), "a[0]");
        assert_eq!(path(json!([])), "");
    }

    #[test]
    fn faults_quote_nothing() {
        let fault = Pair::deserialize(Strict(&json!({ "left": "hunter2" }))).unwrap_err();
        assert_eq!(fault.to_string(), "i64 is expected here, not a text");
    }
}
