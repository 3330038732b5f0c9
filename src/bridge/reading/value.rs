//! The value payload: one configured value of one device, with its unit, time, quality and error.

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::json::{Json, gateway_time, text_or_null};
use super::profile_rows::Column;
use super::render::Fields;
use crate::bridge::time::is_plausible;
use crate::cosem::catalogue::ClassId;
use crate::error::Report;
use crate::wire::obis::Obis;

/// The version of every payload's schema.
pub const SCHEMA_VERSION: u8 = 1;

/// How far a value can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Answered in this cycle.
    Good,
    /// Answered, but its time or its origin is in doubt.
    Uncertain,
    /// Answered in an earlier cycle.
    Stale,
    /// Not known: the value is null, and there is an error.
    Bad,
}

/// Whether the circumstances of a reading put it in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confidence {
    /// They do not.
    #[default]
    Full,
    /// The gateway's clock is not plausible, or what came was deciphered without being authenticated.
    Doubtful,
}

impl Confidence {
    /// That in a reading at this time of the gateway.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        if is_plausible(now) { Self::Full } else { Self::Doubtful }
    }
}

/// Which value of which object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Identity {
    /// Its name in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The object's logical name; null only where it is known by a short name alone.
    #[serde(serialize_with = "text_or_null")]
    #[schemars(with = "Option<String>")]
    pub obis: Option<Obis>,
    /// The object's base name, where the configuration gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_name: Option<u16>,
    /// The object's class.
    #[serde(serialize_with = "class_number")]
    #[schemars(with = "u16")]
    pub class: ClassId,
}

fn class_number<S: serde::Serializer>(class: &ClassId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(class.0)
}

/// One value as published; the body of the value payload and the source of a snapshot's entry.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Reading {
    /// Which value of which object.
    #[serde(flatten)]
    pub identity: Identity,
    /// The attribute that the value is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<i8>,
    /// The attributes that the value is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<i8>,
    /// The value; null where there is none.
    pub value: Json,
    /// A number that does not fit a double, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_str: Option<String>,
    /// Name of an enumerated value, or text of a printable octet-string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// An octet-string understood as a date-time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_time: Option<String>,
    /// The fields of a date-time, date or time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
    /// Unit, in ASCII.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Unit code of the Blue Book; there also where the unit is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_code: Option<u8>,
    /// Power of ten by which the raw number was multiplied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaler: Option<i8>,
    /// The number as the meter sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Json>,
    /// COSEM type of what the meter sent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub data_type: Option<&'static str>,
    /// What the elements of a compact buffer are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// The status of an extended or demand register.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Json>,
    /// The object's own time, with the meter's UTC offset where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meter_ts: Option<String>,
    /// How far the value can be relied on.
    pub quality: Quality,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Report>,
    /// Why attributes are null, by their names.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(with = "std::collections::BTreeMap<String, Report>")]
    pub errors: IndexMap<String, Report>,
}

/// Of which device a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Source<'a> {
    /// The gateway.
    pub gateway: &'a str,
    /// The device.
    pub device: &'a str,
    /// The device's serial number, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<&'a str>,
}

/// The value payload (`devices/<device>/values/<value>`, and the answers to `read`).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "Value")]
pub struct ValuePayload<'a> {
    /// Schema version.
    pub v: u8,
    /// Of which device.
    #[serde(flatten)]
    pub source: Source<'a>,
    /// The value.
    #[serde(flatten)]
    pub reading: &'a Reading,
    /// Arrival of the answer.
    #[serde(serialize_with = "gateway_time")]
    #[schemars(with = "String")]
    pub ts: Timestamp,
    /// Rises with every message of the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Time from the first request to the last answer.
    pub poll_ms: u64,
}

impl Reading {
    /// A value that could not be read.
    #[must_use]
    pub fn bad(identity: Identity, error: Report) -> Self {
        Self { quality: Quality::Bad, error: Some(error), ..Self::empty(identity) }
    }

    /// A value made of the elements of a buffer.
    #[must_use]
    pub fn elements(
        identity: Identity,
        columns: Vec<Column>,
        elements: Vec<Json>,
        confidence: Confidence,
    ) -> Self {
        Self {
            attribute: Some(2),
            value: Json::Array(elements),
            columns,
            quality: Quality::of(confidence),
            ..Self::empty(identity)
        }
    }

    /// The same, served again from an earlier cycle.
    #[must_use]
    pub fn stale(mut self) -> Self {
        if self.quality != Quality::Bad {
            self.quality = Quality::Stale;
        }
        self
    }

    /// Nothing but what it is of.
    pub(super) fn empty(identity: Identity) -> Self {
        Self {
            identity,
            attribute: None,
            attributes: Vec::new(),
            value: Json::Null,
            value_str: None,
            text: None,
            date_time: None,
            fields: None,
            unit: None,
            unit_code: None,
            scaler: None,
            raw: None,
            data_type: None,
            columns: Vec::new(),
            status: None,
            meter_ts: None,
            quality: Quality::Good,
            error: None,
            errors: IndexMap::new(),
        }
    }
}

impl Quality {
    pub(super) const fn of(confidence: Confidence) -> Self {
        match confidence {
            Confidence::Full => Self::Good,
            Confidence::Doubtful => Self::Uncertain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_by_a_clock_that_was_never_set_is_uncertain() {
        assert_eq!(Quality::of(Confidence::at(Timestamp::UNIX_EPOCH)), Quality::Uncertain);
        let set = "2026-08-22T10:15:00Z".parse().expect("a time");
        assert_eq!(Quality::of(Confidence::at(set)), Quality::Good);
    }
}
