//! A group and its values as they are written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bridge::config::forms::{Attributes, Names};
use crate::bridge::config::name::Name;
use crate::bridge::config::object::{ClassRef, ObisText, ShortName, TimePoint, Unit};
use crate::bridge::config::quantity::{Flag, Integer, Period, Text};
use crate::bridge::config::scalar::choice;

/// A COSEM group: values that are read together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    /// Name: 1 to 64 letters, digits, _ or -.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether it is read. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<Flag>,
    /// Time between readings, 1 s to 4294967295 s; they fall on multiples of it since the Unix epoch. Default: 60s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
    /// Added to every multiple of the interval; less than the interval. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<Period>,
    /// Names of the devices for values that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "Names::serialize_as_list")]
    pub devices: Option<Names>,
    /// Free texts that go with what is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, Text>>,
    /// What is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Value>>,
}

/// One object of a meter, or some of its attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Value {
    /// Name: 1 to 64 letters, digits, _ or -.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether it is read. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<Flag>,
    /// Name of the device, or a list of names. Default: the group's devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Names>,
    /// OBIS code: 1.0.1.8.0.255, 1-0:1.8.0*255 or 1-0:1.8.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obis: Option<ObisText>,
    /// Base name of short name referencing, beside the OBIS code or instead of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_name: Option<ShortName>,
    /// COSEM class, by name or number. Default: data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassRef>,
    /// One attribute, whose value is published alone. Default: as the class has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -128, max = 127))]
    pub attribute: Option<Integer>,
    /// Several attributes, or all, published as an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
    /// Power of ten that replaces the meter's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -128, max = 127))]
    pub scaler: Option<Integer>,
    /// Unit that replaces the meter's: a text, or a unit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// profile_generic: the newest so many rows. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32767))]
    pub entries: Option<Integer>,
    /// profile_generic: names of columns by OBIS code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<BTreeMap<ObisText, Text>>,
    /// profile_generic: what an empty cell means: nothing (null), or the same as the row before. Default: null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_cells: Option<NullCells>,
    /// profile_generic: rows from here on: a time, now, or how long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<TimePoint>,
    /// profile_generic: rows up to here: a time, now, or how long ago. Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<TimePoint>,
    /// profile_generic: the newest rows each time, or those since the last reading. Default: newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// profile_generic: rows that were missed between two readings are read later. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Flag>,
}

choice! {
    /// What an empty cell of a profile means.
    NullCells {
        /// No value.
        Null => "null",
        /// The value of the row before.
        Previous => "previous",
    }
}

choice! {
    /// Which rows of a profile are read.
    Capture {
        /// The newest, each time.
        Newest => "newest",
        /// Those since the last reading.
        Incremental => "incremental",
    }
}
