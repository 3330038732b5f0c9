//! One way to read a scalar of YAML or JSON into a type of its own, with messages in the words of a technician.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// A scalar as the text had it.
///
/// YAML makes `off` a text and JSON has no such word, so `false` and `off` both arrive where either was meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar<'a> {
    Text(&'a str),
    /// A whole number. Beyond 64 bits its digits are lost, and the outermost of `i128` stand for all there.
    Integer(i128),
    Switch(bool),
}

/// What is wrong with a scalar, to be read after its path.
pub(super) type Complaint = Cow<'static, str>;

/// Reads a scalar with `parse`; `expecting` names what is wanted when something else stands there.
pub(super) fn scalar<'de, D, T>(
    deserializer: D,
    expecting: &'static str,
    parse: impl FnOnce(Scalar<'_>) -> Result<T, Complaint>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(ScalarVisitor { expecting, parse })
}

/// The complaint that something else is expected.
pub(super) fn expected(expecting: &'static str) -> Complaint {
    Cow::Owned(format!("{expecting} is expected"))
}

struct ScalarVisitor<F> {
    expecting: &'static str,
    parse: F,
}

impl<'de, T, F: FnOnce(Scalar<'_>) -> Result<T, Complaint>> Visitor<'de> for ScalarVisitor<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        (self.parse)(Scalar::Switch(value)).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        (self.parse)(Scalar::Integer(value.into())).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        (self.parse)(Scalar::Integer(value.into())).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        const BEYOND: f64 = (1_u64 << 63) as f64;
        if value.abs() >= BEYOND {
            let outermost = if value.is_sign_negative() { i128::MIN } else { i128::MAX };
            return (self.parse)(Scalar::Integer(outermost)).map_err(E::custom);
        }
        Err(E::custom(format!(
            "{}, not a number with a fraction; a text that looks like one needs quotes",
            expected(self.expecting)
        )))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        (self.parse)(Scalar::Text(value)).map_err(E::custom)
    }
}

/// Implements `Deserialize` through a function from [`Scalar`].
macro_rules! deserialize_scalar {
    ($type:ty, $expecting:literal, $parse:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::bridge::config::scalar::scalar(deserializer, $expecting, $parse)
            }
        }
    };
}

/// Implements `JsonSchema` with a schema written in place.
macro_rules! inline_schema {
    ($type:ty, $schema:tt) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

/// Defines an enum whose variants are words of the configuration.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every choice.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word of the configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::bridge::config::scalar::scalar(deserializer, concat!("one of", $(" ", $text),+), |scalar| {
                    $crate::bridge::config::scalar::choose(scalar, Self::ALL, Self::as_str)
                })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($text),+] })
            }
        }
    };
}

pub(super) use {choice, deserialize_scalar, inline_schema};

/// Finds the choice that a scalar names.
pub(super) fn choose<T: Copy>(
    scalar: Scalar<'_>,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, Complaint> {
    let number;
    let word = match scalar {
        Scalar::Text(text) => text,
        Scalar::Switch(true) => "on",
        Scalar::Switch(false) => "off",
        Scalar::Integer(value) => {
            number = value.to_string();
            &number
        }
    };
    let names = || all.iter().map(|choice| name(*choice));
    all.iter().copied().find(|choice| name(*choice) == word).ok_or_else(|| {
        let choices = names().collect::<Vec<_>>().join(", ");
        let meant = super::problem::nearest(word, names()).map(|near| format!("did you mean `{near}`? "));
        Cow::Owned(format!("not one of the choices; {}choices: {choices}", meant.unwrap_or_default()))
    })
}
