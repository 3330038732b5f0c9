//! How the configuration names COSEM objects: OBIS codes, short names, classes, units and windows of time.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::problem::nearest;
use super::quantity::{Period, duration};
use super::scalar::{Complaint, Scalar, deserialize_scalar, expected, inline_schema};
use crate::cosem::catalogue::{ClassId, UnknownClass, classes};
use crate::wire::obis::Obis;

/// An OBIS code as written: `1.0.1.8.0.255`, `1-0:1.8.0*255` or `1-0:1.8.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObisText(pub Obis);

/// A base name of short name referencing: `0x1234`, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortName(pub u16);

/// A COSEM class, by name or by number. Classes without a name here are read as typed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassRef(pub ClassId);

/// A unit that replaces the meter's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A text, published as it is.
    Text(String),
    /// A unit code of the Blue Book.
    Code(u8),
}

/// One end of a profile's window of time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TimePoint {
    /// The time of reading.
    Now,
    /// So long before the time of reading.
    Ago(Duration),
    /// A moment, written with its offset.
    Instant(jiff::Timestamp),
    /// A date and time of the device's time zone.
    Local(jiff::civil::DateTime),
}

impl ClassRef {
    /// The name, if the class has one here.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.0.class().map(|class| class.name)
    }
}

const CLASS: &str = "a class by name or number";
const TIME: &str = "a time like 2026-08-22T10:15:00Z, 2026-08-22, now, or how long ago, like 24h";

deserialize_scalar!(ObisText, "an OBIS code like 1.0.1.8.0.255", |scalar| match scalar {
    Scalar::Text(text) => text
        .trim()
        .parse()
        .map(Self)
        .map_err(|error: crate::wire::obis::ObisError| { Complaint::Owned(error.to_string()) }),
    Scalar::Integer(_) | Scalar::Switch(_) => Err(expected("an OBIS code like 1.0.1.8.0.255")),
});

deserialize_scalar!(ShortName, "a short name like 0x1234", |scalar| {
    let number = match scalar {
        Scalar::Integer(number) => u16::try_from(number).ok(),
        Scalar::Text(text) => {
            let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
            let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            u16::from_str_radix(digits, 16).ok().filter(|_| plain)
        }
        Scalar::Switch(_) => None,
    };
    number.map(Self).ok_or_else(|| "a short name from 0x0000 to 0xFFFF is expected".into())
});

deserialize_scalar!(ClassRef, "a class by name or number", |scalar| match scalar {
    Scalar::Integer(number) => u16::try_from(number)
        .map(|number| Self(ClassId(number)))
        .map_err(|_| "a class is a number from 0 to 65535".into()),
    Scalar::Text(text) => text.parse().map(Self).map_err(|_: UnknownClass| {
        let meant = nearest(text, classes().map(|class| class.name));
        let meant = meant.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        Complaint::Owned(format!(
            "not a class that is known by name; {meant}any class can be given by its number"
        ))
    }),
    Scalar::Switch(_) => Err(expected(CLASS)),
});

deserialize_scalar!(Unit, "a unit like kWh, or its code", |scalar| match scalar {
    Scalar::Text(text) if (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) => {
        Ok(Self::Text(text.to_owned()))
    }
    Scalar::Integer(code) => u8::try_from(code).map(Self::Code).map_err(|_| "a unit code is 0 to 255".into()),
    Scalar::Text(_) | Scalar::Switch(_) => {
        Err("a unit of 1 to 16 ASCII characters without spaces (m3, degC, ohm), or its code, is expected"
            .into())
    }
});

deserialize_scalar!(TimePoint, "a time, or how long ago", |scalar| {
    let Scalar::Text(text) = scalar else { return Err(expected(TIME)) };
    if text == "now" {
        return Ok(Self::Now);
    }
    if let Some(ago) = duration(text).filter(|_| text.ends_with(|c: char| c.is_ascii_alphabetic())) {
        return Ok(Self::Ago(ago));
    }
    if let Ok(instant) = text.parse() {
        return Ok(Self::Instant(instant));
    }
    text.parse().map(Self::Local).map_err(|_| expected(TIME))
});

inline_schema!(ObisText, {
    "type": "string",
    "description": "1.0.1.8.0.255, 1-0:1.8.0*255 or 1-0:1.8.0"
});
inline_schema!(ShortName, { "type": ["integer", "string"], "minimum": 0, "maximum": 65535, "pattern": "^(0[xX])?[0-9A-Fa-f]{1,4}$" });
inline_schema!(Unit, { "type": ["string", "integer"], "minLength": 1, "maxLength": 16, "minimum": 0, "maximum": 255 });
inline_schema!(TimePoint, { "type": "string" });

impl schemars::JsonSchema for ClassRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Class".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<_> = classes().map(|class| class.name).collect();
        schemars::json_schema!({
            "anyOf": [{ "enum": names }, { "type": "integer", "minimum": 0, "maximum": 65535 }]
        })
    }
}

impl Serialize for ObisText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for ShortName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("0x{:04X}", self.0))
    }
}

impl Serialize for ClassRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.name() {
            Some(name) => serializer.serialize_str(name),
            None => serializer.serialize_u16(self.0.0),
        }
    }
}

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Code(code) => serializer.serialize_u8(*code),
        }
    }
}

impl fmt::Display for TimePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Ago(duration) => Period(*duration).fmt(f),
            Self::Instant(instant) => instant.fmt(f),
            Self::Local(local) => local.fmt(f),
        }
    }
}

impl Serialize for TimePoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json, to_value};

    #[test]
    fn classes_have_names_and_numbers() {
        assert_eq!(from_value::<ClassRef>(json!("register")).unwrap(), ClassRef(ClassId(3)));
        assert_eq!(
            from_value::<ClassRef>(json!("Profile generic")).unwrap(),
            ClassRef(ClassId::PROFILE_GENERIC)
        );
        assert_eq!(from_value::<ClassRef>(json!(8192)).unwrap(), ClassRef(ClassId(8192)));
        let error = from_value::<ClassRef>(json!("registr")).unwrap_err().to_string();
        assert!(error.contains("did you mean `register`?"), "{error}");
        assert!(from_value::<ClassRef>(json!(70000)).is_err());
        assert_eq!(to_value(ClassRef(ClassId(3))).unwrap(), json!("register"));
        assert_eq!(to_value(ClassRef(ClassId(8192))).unwrap(), json!(8192));
    }

    #[test]
    fn short_names_are_hexadecimal() {
        assert_eq!(from_value::<ShortName>(json!("0x1234")).unwrap(), ShortName(0x1234));
        assert_eq!(from_value::<ShortName>(json!(0xFA00)).unwrap(), ShortName(0xFA00));
        for bad in [json!("0x12345"), json!("+12"), json!(""), json!(65536), json!(-1), json!(true)] {
            assert!(from_value::<ShortName>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn time_points_are_moments_or_how_long_ago() {
        let read = |text: &str| from_value::<TimePoint>(json!(text));
        assert_eq!(read("now").unwrap(), TimePoint::Now);
        assert_eq!(read("24h").unwrap(), TimePoint::Ago(Duration::from_secs(86_400)));
        assert!(matches!(read("2026-08-22T10:15:00Z").unwrap(), TimePoint::Instant(_)));
        assert!(matches!(read("2026-08-22T10:15:00").unwrap(), TimePoint::Local(_)));
        assert!(matches!(read("2026-08-22").unwrap(), TimePoint::Local(_)));
        for bad in ["yesterday", "2026-13-01", "", "20"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        for text in ["now", "1d", "2026-08-22T10:15:00Z"] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
    }
}
