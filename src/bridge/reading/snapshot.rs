//! The payload of a group: all its values of one device, as one cycle found them.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::json::{Json, gateway_time, text_or_null, tick};
use super::value::{Quality, Reading, SCHEMA_VERSION, Source};
use crate::error::Report;
use crate::wire::obis::Obis;

/// The outcome of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was read.
    Ok,
    /// Something was not.
    Partial,
    /// Nothing was.
    Failed,
}

/// The entry of a value.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Entry<'a> {
    /// The value; null where there is none.
    value: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_str: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date_time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meter_ts: Option<&'a str>,
    quality: Quality,
    #[serde(serialize_with = "text_or_null")]
    #[schemars(with = "Option<String>")]
    obis: Option<Obis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    short_name: Option<u16>,
    /// Why attributes of the value are null, by their names.
    #[serde(skip_serializing_if = "no_errors")]
    #[schemars(with = "Option<BTreeMap<String, Report>>")]
    errors: &'a IndexMap<String, Report>,
}

fn no_errors(errors: &&IndexMap<String, Report>) -> bool {
    errors.is_empty()
}

impl<'a> Entry<'a> {
    fn new(reading: &'a Reading) -> Self {
        Self {
            value: &reading.value,
            value_str: reading.value_str.as_deref(),
            text: reading.text.as_deref(),
            date_time: reading.date_time.as_deref(),
            unit: reading.unit.as_deref(),
            unit_code: reading.unit_code,
            status: reading.status.as_ref(),
            meter_ts: reading.meter_ts.as_deref(),
            quality: reading.quality,
            obis: reading.identity.obis,
            short_name: reading.identity.short_name,
            errors: &reading.errors,
        }
    }
}

/// The entry of a profile; its rows are messages of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProfileEntry {
    /// The profile's logical name; null only where it is known by a short name alone.
    #[serde(serialize_with = "text_or_null")]
    #[schemars(with = "Option<String>")]
    pub obis: Option<Obis>,
    /// Rows that were read and published.
    pub rows: usize,
    /// Time of the oldest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Time of the newest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// What their messages have as `read_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_id: Option<String>,
}

/// What a cycle found of one configured value.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// A value.
    Value(&'a Reading),
    /// A profile, with the reason where it was not, or not wholly, read.
    Profile(ProfileEntry, Option<Report>),
}

/// When a cycle was, and how it ended.
#[derive(Clone, Debug)]
pub struct Cycle {
    /// The scheduled tick.
    pub tick: Timestamp,
    /// How long after the tick it began.
    pub late_ms: u64,
    /// Arrival of the last answer; the end of the cycle where there was none.
    pub ts: Timestamp,
    /// From begin to end.
    pub duration_ms: u64,
    /// Why the whole visit failed, or was not tried.
    pub error: Option<Report>,
}

/// The payload (`devices/<device>/groups/<group>`).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "Group snapshot")]
pub struct Snapshot<'a> {
    /// Schema version.
    v: u8,
    /// Of which device.
    #[serde(flatten)]
    source: Source<'a>,
    /// The group.
    group: &'a str,
    /// Arrival of the last answer.
    #[serde(serialize_with = "gateway_time")]
    #[schemars(with = "String")]
    ts: Timestamp,
    /// The scheduled tick.
    #[serde(serialize_with = "tick")]
    #[schemars(with = "String")]
    cycle: Timestamp,
    /// How long after the tick the cycle began.
    late_ms: u64,
    /// How it ended.
    status: Outcome,
    /// Why the whole visit failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Report>,
    /// Every configured value of the device that is no profile.
    #[schemars(with = "BTreeMap<String, Entry<'a>>")]
    values: IndexMap<&'a str, Entry<'a>>,
    /// Why values or profiles are missing.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Report>")]
    errors: IndexMap<&'a str, &'a Report>,
    /// Every configured profile of the device.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ProfileEntry>")]
    profiles: IndexMap<&'a str, &'a ProfileEntry>,
    /// Labels of device and group.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    /// From begin to end of the cycle.
    duration_ms: u64,
    /// Rises with every message of the gateway.
    seq: u64,
}

impl<'a> Snapshot<'a> {
    /// The snapshot of a cycle; `items` by name, in the order of the configuration.
    #[must_use]
    pub fn new(
        source: Source<'a>,
        group: &'a str,
        cycle: &'a Cycle,
        items: impl IntoIterator<Item = (&'a str, &'a Item<'a>)>,
        labels: &'a BTreeMap<String, String>,
        seq: u64,
    ) -> Self {
        let (mut values, mut errors, mut profiles) = (IndexMap::new(), IndexMap::new(), IndexMap::new());
        let mut lost = 0;
        for (name, item) in items {
            let error = match item {
                Item::Value(reading) => {
                    lost += usize::from(reading.quality == Quality::Bad);
                    values.insert(name, Entry::new(reading));
                    // An error beside a value is that of one of its attributes.
                    reading.error.as_ref().or_else(|| reading.errors.values().next())
                }
                Item::Profile(entry, error) => {
                    lost += usize::from(error.is_some() && entry.rows == 0);
                    profiles.insert(name, entry);
                    error.as_ref()
                }
            };
            errors.extend(error.map(|error| (name, error)));
        }
        let status = match (&cycle.error, errors.is_empty()) {
            (None, true) => Outcome::Ok,
            _ if lost == values.len() + profiles.len() => Outcome::Failed,
            _ => Outcome::Partial,
        };
        Self {
            v: SCHEMA_VERSION,
            source,
            group,
            ts: cycle.ts,
            cycle: cycle.tick,
            late_ms: cycle.late_ms,
            status,
            error: cycle.error.as_ref(),
            values,
            errors,
            profiles,
            labels,
            duration_ms: cycle.duration_ms,
            seq,
        }
    }

    /// How the cycle ended.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::reading::value::Identity;
    use crate::cosem::catalogue::ClassId;
    use crate::cosem::decimal::Decimal;
    use crate::error::{Code, Layer};

    fn identity(name: &str, obis: [u8; 6]) -> Identity {
        Identity {
            name: Some(name.into()),
            obis: Some(Obis(obis)),
            short_name: None,
            class: ClassId::REGISTER,
        }
    }

    fn good() -> Reading {
        let mut reading = Reading::bad(
            identity("energy_import", [1, 0, 1, 8, 0, 255]),
            Report::new(Code::Internal, Layer::Internal, ""),
        );
        reading.error = None;
        reading.quality = Quality::Good;
        reading.value = Json::Number(Decimal::new(12_345_678, -3));
        (reading.unit, reading.unit_code) = (Some("Wh".into()), Some(30));
        reading
    }

    fn bad() -> Reading {
        Reading::bad(
            identity("demand_max", [1, 0, 1, 6, 0, 255]),
            Report::new(Code::ObjectUndefined, Layer::Get, "no such object").with_hint("look").with_dlms(4),
        )
    }

    fn cycle(error: Option<Report>) -> Cycle {
        Cycle {
            tick: "2026-08-22T10:15:00Z".parse().expect("a time"),
            late_ms: 12,
            ts: "2026-08-22T10:15:02.140Z".parse().expect("a time"),
            duration_ms: 2140,
            error,
        }
    }

    const SOURCE: Source<'_> =
        Source { gateway: "substation-7", device: "meter-07", serial: Some("51324481") };

    #[test]
    fn a_partial_cycle() {
        let (good, bad) = (good(), bad());
        let profile = ProfileEntry {
            obis: Some(Obis([1, 0, 99, 1, 0, 255])),
            rows: 96,
            first: Some("2026-08-21T00:15:00+02:00".into()),
            last: Some("2026-08-22T00:00:00+02:00".into()),
            read_id: Some("r-1".into()),
        };
        let items = [
            ("energy_import", Item::Value(&good)),
            ("demand_max", Item::Value(&bad)),
            ("lp1", Item::Profile(profile, None)),
        ];
        let labels = BTreeMap::from([("site".to_owned(), "north".to_owned())]);
        let cycle = cycle(None);
        let snapshot =
            Snapshot::new(SOURCE, "billing", &cycle, items.iter().map(|(n, i)| (*n, i)), &labels, 184_470);
        assert_eq!(snapshot.outcome(), Outcome::Partial);
        assert_eq!(
            serde_json::to_string(&snapshot).expect("writable"),
            concat!(
                r#"{"v":1,"gateway":"substation-7","device":"meter-07","serial":"51324481","group":"billing","#,
                r#""ts":"2026-08-22T10:15:02.140Z","cycle":"2026-08-22T10:15:00Z","late_ms":12,"status":"partial","#,
                r#""values":{"energy_import":{"value":12345.678,"unit":"Wh","unit_code":30,"quality":"good","obis":"1-0:1.8.0*255"},"#,
                r#""demand_max":{"value":null,"quality":"bad","obis":"1-0:1.6.0*255"}},"#,
                r#""errors":{"demand_max":{"code":"OBJECT_UNDEFINED","layer":"get","message":"no such object","hint":"look","dlms":4}},"#,
                r#""profiles":{"lp1":{"obis":"1-0:99.1.0*255","rows":96,"first":"2026-08-21T00:15:00+02:00","last":"2026-08-22T00:00:00+02:00","read_id":"r-1"}},"#,
                r#""labels":{"site":"north"},"duration_ms":2140,"seq":184470}"#,
            )
        );
    }

    #[test]
    fn outcomes() {
        let (good, bad) = (good(), bad());
        let value = |reading| ("v", Item::Value(reading));
        let down = || Report::new(Code::LinkDown, Layer::Tcp, "down");
        let profile = |rows, error| {
            let obis = Some(Obis([1, 0, 99, 1, 0, 255]));
            ("p", Item::Profile(ProfileEntry { obis, rows, first: None, last: None, read_id: None }, error))
        };
        let labels = BTreeMap::new();
        let outcome = |items: &[(&str, Item<'_>)], error| {
            let cycle = cycle(error);
            Snapshot::new(SOURCE, "g", &cycle, items.iter().map(|(n, i)| (*n, i)), &labels, 1).outcome()
        };
        assert_eq!(outcome(&[value(&good), profile(0, None)], None), Outcome::Ok);
        assert_eq!(outcome(&[value(&bad)], None), Outcome::Failed);
        assert_eq!(outcome(&[value(&bad), profile(0, None)], None), Outcome::Partial);
        assert_eq!(outcome(&[value(&bad), profile(0, Some(down()))], Some(down())), Outcome::Failed);
        assert_eq!(outcome(&[value(&good)], Some(down())), Outcome::Partial, "lost on the way");
        assert_eq!(outcome(&[profile(10, Some(down()))], None), Outcome::Partial);
        assert_eq!(outcome(&[], Some(down())), Outcome::Failed);
        assert_eq!(outcome(&[], None), Outcome::Ok);
    }
}
