//! Objects that somebody asks for by their OBIS codes, as values: what the configuration knows of them applies; and
//! what was read of them, as it is answered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};

use super::config::Name;
use super::config::document::group::NullCells;
use super::config::model::{Capture, ClassSource, Config, Device, NameSource, Profile, Selection, Value};
use super::config::object::TimePoint;
use super::link::visit::{Found, FoundRows, identity};
use super::reading::profile_rows::{Mode, ProfileRows};
use super::reading::value::{Reading, SCHEMA_VERSION, Source, ValuePayload};
use crate::cosem::catalogue::ClassId;
use crate::error::{Code, Layer, Report};
use crate::wire::obis::Obis;

/// One object, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectWanted {
    /// Its logical name.
    pub obis: Obis,
    /// Its class; `None`: that of a configured value of this logical name, else data.
    pub class: Option<ClassId>,
    /// Which attributes.
    pub selection: Selection,
    /// Newest rows, of a profile.
    pub entries: Option<u16>,
    /// Start of the window, of a profile.
    pub from: Option<TimePoint>,
    /// End of the window, of a profile.
    pub to: Option<TimePoint>,
}

impl ObjectWanted {
    /// The value to read: names, units and columns are those of a configured value of the same object.
    #[must_use]
    pub fn value(&self, config: &Config, device: &Device) -> Value {
        let configured = config.values_of(&device.name).map(|(_, value)| value).find(|value| {
            value.obis == Some(self.obis) && self.class.is_none_or(|class| class == value.class)
        });
        let class = self.class.or(configured.map(|value| value.class)).unwrap_or(ClassId::DATA);
        let class_source = match (self.class, configured) {
            (Some(_), _) => ClassSource::Configured,
            (None, Some(value)) => value.class_source,
            (None, None) => ClassSource::Default,
        };
        let known = configured.and_then(|value| value.profile.clone());
        let profile = (class == ClassId::PROFILE_GENERIC).then(|| Profile {
            entries: self.entries.or_else(|| {
                let is_window = self.from.is_some() || self.to.is_some();
                known.as_ref().and_then(|known| known.entries).filter(|_| !is_window)
            }),
            from: self.from.clone(),
            to: self.to.clone(),
            backfill: false,
            capture: Capture::Newest,
            null_cells: known.as_ref().map_or(NullCells::Null, |known| known.null_cells),
            columns: known.map_or_else(BTreeMap::new, |known| known.columns),
        });
        Value {
            name: configured.map_or_else(|| name_of(self.obis), |value| value.name.clone()),
            name_source: configured.map_or(NameSource::Made, |value| value.name_source),
            title: None,
            enabled: true,
            devices: vec![device.name.clone()],
            obis: Some(self.obis),
            short_name: configured.and_then(|value| value.short_name),
            class,
            class_source,
            selection: self.selection.clone(),
            scaler: configured.and_then(|value| value.scaler),
            unit: configured.and_then(|value| value.unit.clone()),
            profile,
        }
    }
}

/// What was read of a value, as JSON: a value payload, or the rows of a profile as one batch. Of rows that could not be
/// read there is a value payload that says why.
///
/// # Errors
/// `INTERNAL`: what is read can always be written.
pub fn payload(
    source: Source<'_>,
    value: &Value,
    found: &Found,
    ts: Timestamp,
    poll_ms: u64,
) -> Result<Box<RawValue>, Report> {
    let of = |reading: &Reading| {
        to_raw_value(&ValuePayload { v: SCHEMA_VERSION, source, reading, ts, seq: None, poll_ms })
    };
    let written = match found {
        Found::Value(reading) => of(reading),
        Found::Rows(Ok(rows)) => to_raw_value(&batch(source, value, rows, ts)),
        Found::Rows(Err(error)) => of(&Reading::bad(identity(value, value.class), error.clone())),
    };
    written.map_err(|error| Report::new(Code::Internal, Layer::Internal, error.to_string()))
}

fn batch<'a>(
    source: Source<'a>,
    value: &'a Value,
    FoundRows { rows, capture_period, obis }: &'a FoundRows,
    ts: Timestamp,
) -> ProfileRows<'a> {
    ProfileRows {
        v: SCHEMA_VERSION,
        source,
        group: None,
        profile: value.name.as_str(),
        obis: value.obis.or(*obis),
        read_id: "read",
        batch: 0,
        last: true,
        mode: Mode::Live,
        capture_period_s: *capture_period,
        time_column: rows.columns.time_column(),
        columns: rows.columns.published(),
        rows: &rows.rows,
        gaps: &[],
        ts,
        seq: 0,
    }
}

/// A name for an object that the configuration does not name.
fn name_of(obis: Obis) -> Name {
    let groups: Vec<String> = obis.0.iter().map(u8::to_string).collect();
    // Digits and hyphens make a name.
    groups.join("-").parse().unwrap_or_else(|_| unreachable!("{obis} makes a name"))
}
