//! The payload of profile rows: named and typed columns, rows oldest first, cut into batches.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::json::{Json, gateway_time, text, text_or_null};
use super::meter_time::TimeRules;
use super::render::{nested, render};
use super::row_time::RowTime;
use super::value::Source;
use crate::cosem::capture_object::CaptureObject;
use crate::cosem::catalogue::ClassId;
use crate::cosem::catalogue::shape::Shape;
use crate::cosem::profile::{date_time, time_column};
use crate::cosem::scaler_unit::ScalerUnit;
use crate::error::Report;
use crate::wire::data::Data;
use crate::wire::obis::Obis;

/// A column of a profile or of a compact buffer, as published.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Column {
    /// Name, unique among the columns.
    pub name: String,
    /// The captured object.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub obis: Obis,
    /// Its class.
    pub class: u16,
    /// The captured attribute.
    pub attribute: i8,
    /// 0 for the whole attribute, else the element of it, counted from 1.
    pub index: u16,
    /// COSEM type of the cells; null while no row has one.
    #[serde(rename = "type")]
    pub data_type: Option<&'static str>,
    /// Unit, in ASCII.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Unit code of the Blue Book.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_code: Option<u8>,
    /// Power of ten by which the raw numbers were multiplied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaler: Option<i8>,
    /// Why the numbers of this column are null: its scaler could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Report>,
}

/// What is known about a column before its rows are seen.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSource {
    /// What is captured.
    pub object: CaptureObject,
    /// The scaler_unit of the captured object; `None` where its numbers have none.
    pub scaler_unit: Result<Option<ScalerUnit>, Report>,
}

impl ColumnSource {
    /// The attribute of the captured object that holds the scaler_unit of this column; `None` where there is none to
    /// read.
    #[must_use]
    pub fn scaler_unit_attribute(object: CaptureObject) -> Option<i8> {
        let attribute = object.class.scaler_unit_attribute()?;
        matches!(Self::shape(object), Shape::Scaled).then_some(attribute)
    }

    /// The form of the cells.
    fn shape(object: CaptureObject) -> Shape {
        let whole =
            object.class.attribute(None, object.attribute, None).map_or(Shape::Any, |known| known.shape);
        if object.data_index == 0 { whole } else { whole.element(object.data_index) }
    }
}

/// The columns of a buffer and how their cells are rendered.
#[derive(Clone, Debug)]
pub struct Columns {
    published: Vec<Column>,
    shapes: Vec<Shape>,
    time_column: Option<usize>,
}

impl Columns {
    /// Names columns from what the configuration says for their OBIS codes, else `clock` for the time, else the OBIS
    /// code, with the attribute behind it where it is not 2.
    #[must_use]
    pub fn new(sources: &[ColumnSource], names: &BTreeMap<Obis, String>) -> Self {
        let objects: Vec<_> = sources.iter().map(|source| source.object).collect();
        let mut published: Vec<Column> = Vec::with_capacity(sources.len());
        for source in sources {
            let mut name = column_name(source.object, names);
            if published.iter().any(|column| column.name == name) {
                name = format!("{name}#{}", published.len());
            }
            let scaler_unit = source.scaler_unit.as_ref().ok().copied().flatten();
            published.push(Column {
                name,
                obis: source.object.obis,
                class: source.object.class.0,
                attribute: source.object.attribute,
                index: source.object.data_index,
                data_type: None,
                unit: scaler_unit.and_then(|scaler_unit| scaler_unit.unit.text()),
                unit_code: scaler_unit.map(|scaler_unit| scaler_unit.unit.0),
                scaler: scaler_unit.map(|scaler_unit| scaler_unit.scaler),
                error: source.scaler_unit.as_ref().err().cloned(),
            });
        }
        Self {
            published,
            shapes: objects.iter().map(|&object| ColumnSource::shape(object)).collect(),
            time_column: time_column(&objects),
        }
    }

    /// The columns as published.
    #[must_use]
    pub fn published(&self) -> &[Column] {
        &self.published
    }

    /// Ends with the columns alone.
    #[must_use]
    pub fn into_published(self) -> Vec<Column> {
        self.published
    }

    /// The index of the column with the time of each row.
    #[must_use]
    pub const fn time_column(&self) -> Option<usize> {
        self.time_column
    }

    /// Renders a row; cells beyond the columns keep their generic form.
    pub fn row(&mut self, cells: &[Data], times: &TimeRules) -> Vec<Json> {
        cells.iter().enumerate().map(|(index, cell)| self.cell(index, cell, times)).collect()
    }

    /// The time of a row: with the offset of the device's time zone where the meter gives none.
    #[must_use]
    pub fn row_time(&self, cells: &[Data], times: &TimeRules) -> Option<String> {
        times.meter_time(&date_time(cells.get(self.time_column?)?)?).map(|time| time.text)
    }

    fn cell(&mut self, index: usize, cell: &Data, times: &TimeRules) -> Json {
        let (Some(column), Some(shape)) = (self.published.get_mut(index), self.shapes.get(index)) else {
            return nested(cell, &Shape::Any, times);
        };
        if column.data_type.is_none() && *cell != Data::Null {
            column.data_type = Some(cell.type_name());
        }
        if self.time_column == Some(index) {
            let time = date_time(cell).and_then(|time| times.meter_time(&time));
            return time.map_or_else(|| nested(cell, shape, times), |time| Json::Text(time.text));
        }
        let value =
            render(cell, shape, column.scaler.unwrap_or(0), times).map_or(Json::Null, |cell| cell.value);
        match value {
            // Without its scaler a number would be wrong.
            Json::Number(_) if column.error.is_some() => Json::Null,
            value => value,
        }
    }
}

fn column_name(object: CaptureObject, names: &BTreeMap<Obis, String>) -> String {
    let base = match names.get(&object.obis) {
        Some(name) => name.clone(),
        None if object.class == ClassId::CLOCK => "clock".to_owned(),
        None => object.obis.to_string(),
    };
    if object.attribute == 2 { base } else { format!("{base}/{}", object.attribute) }
}

/// Rows as they are published, oldest first.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Their columns.
    pub columns: Columns,
    /// The rows, each a JSON array.
    pub rows: Vec<Box<RawValue>>,
    /// Time of the oldest row.
    pub first: Option<String>,
    /// Time of the newest row.
    pub last: Option<String>,
    /// The same two, for comparing them with those of other readings.
    pub span: Option<Box<(RowTime, RowTime)>>,
}

impl Rows {
    /// Renders complete rows that stand oldest first.
    #[must_use]
    pub fn new(mut columns: Columns, rows: &[Vec<Data>], times: &TimeRules) -> Self {
        let first = rows.first().and_then(|row| columns.row_time(row, times));
        let last = rows.last().and_then(|row| columns.row_time(row, times));
        let time = |row: &Vec<Data>| RowTime::of(row.get(columns.time_column?)?, times);
        let span = rows.first().and_then(time).zip(rows.last().and_then(time)).map(Box::new);
        // Arrays of strings, numbers and the like always serialise.
        let rows = rows.iter().filter_map(|row| to_raw_value(&columns.row(row, times)).ok()).collect();
        Self { columns, rows, first, last, span }
    }

    /// Cuts the rows into batches: at least one batch, even without rows, and at least one row in each.
    #[must_use]
    pub fn batches(&self, limit: BatchLimit) -> Vec<Range<usize>> {
        let mut batches = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (index, row) in self.rows.iter().enumerate() {
            let size = row.get().len() + 1;
            if index > start && (index - start >= limit.rows || bytes + size > limit.bytes) {
                batches.push(start..index);
                (start, bytes) = (index, 0);
            }
            bytes += size;
        }
        batches.push(start..self.rows.len());
        batches
    }
}

/// How much one message of rows may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimit {
    /// Most rows.
    pub rows: usize,
    /// Most bytes of rows; what surrounds them comes on top.
    pub bytes: usize,
}

impl Default for BatchLimit {
    /// 500 rows or 256 KiB: a quarter of the smallest packet limit, so that columns and gaps fit beside them.
    fn default() -> Self {
        Self { rows: 500, bytes: 256 * 1024 }
    }
}

/// Why rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By schedule or on request.
    Live,
    /// To fill a gap.
    Backfill,
}

/// A time for which rows are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Gap {
    /// Its begin, as a row time.
    pub from: String,
    /// Its end, as a row time.
    pub to: String,
    /// Why.
    pub reason: String,
}

/// The payload of one batch of rows (`devices/<device>/profiles/<value>`).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "Profile rows")]
pub struct ProfileRows<'a> {
    /// Schema version.
    pub v: u8,
    /// Of which device.
    #[serde(flatten)]
    pub source: Source<'a>,
    /// The group that asked for them; null for a read on request.
    pub group: Option<&'a str>,
    /// Name of the value.
    pub profile: &'a str,
    /// The profile's logical name; null only where it is known by a short name alone.
    #[serde(serialize_with = "text_or_null")]
    #[schemars(with = "Option<String>")]
    pub obis: Option<Obis>,
    /// The same in all batches of one reading.
    pub read_id: &'a str,
    /// Number of the batch, from 0.
    pub batch: usize,
    /// Whether this batch is the last of its reading.
    pub last: bool,
    /// Why the rows are read.
    pub mode: Mode,
    /// Seconds between rows; 0 where they are not periodic.
    pub capture_period_s: u32,
    /// Index of the column with the time of each row.
    pub time_column: Option<usize>,
    /// What the cells are.
    pub columns: &'a [Column],
    /// Rows, oldest first; each has a cell for each column.
    #[schemars(with = "Vec<Vec<Json>>")]
    pub rows: &'a [Box<RawValue>],
    /// Missing rows; told with the last batch.
    pub gaps: &'a [Gap],
    /// Arrival of the last row.
    #[serde(serialize_with = "gateway_time")]
    #[schemars(with = "String")]
    pub ts: Timestamp,
    /// Rises with every message of the gateway.
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosem::unit::Unit;
    use crate::error::{Code, Layer};
    use crate::wire::date_time::DateTime;

    const CLOCK: CaptureObject = CaptureObject::new(ClassId::CLOCK, Obis([0, 0, 1, 0, 0, 255]), 2);
    const STATUS: CaptureObject = CaptureObject::new(ClassId::DATA, Obis([0, 0, 96, 10, 1, 255]), 2);
    const ENERGY: CaptureObject = CaptureObject::new(ClassId::REGISTER, Obis([1, 0, 1, 8, 0, 255]), 2);
    const MAXIMUM: CaptureObject =
        CaptureObject::new(ClassId::EXTENDED_REGISTER, Obis([1, 0, 1, 6, 0, 255]), 2);

    fn source(object: CaptureObject, scaler_unit: Option<ScalerUnit>) -> ColumnSource {
        ColumnSource { object, scaler_unit: Ok(scaler_unit) }
    }

    fn load_profile() -> Vec<ColumnSource> {
        let wh = ScalerUnit { scaler: -3, unit: Unit(30) };
        vec![source(CLOCK, None), source(STATUS, None), source(ENERGY, Some(wh))]
    }

    fn time(minute: u8) -> Data {
        Data::OctetString(vec![0x07, 0xEA, 1, 1, 4, 0, minute, 0, 0, 0xFF, 0xC4, 0])
    }

    fn row(minute: u8, energy: u32) -> Vec<Data> {
        vec![time(minute), Data::Unsigned(8), Data::DoubleLongUnsigned(energy)]
    }

    #[test]
    fn columns_are_named_and_typed() {
        let mut sources = load_profile();
        sources.push(source(MAXIMUM, None));
        sources.push(source(CaptureObject { attribute: 5, ..MAXIMUM }, None));
        sources.push(source(CaptureObject { attribute: 3, ..CLOCK }, None));
        sources.push(source(ENERGY, None));
        sources.push(source(CaptureObject { data_index: 2, ..STATUS }, None));
        let names = BTreeMap::from([(MAXIMUM.obis, "max".to_owned())]);
        let columns = Columns::new(&sources, &names);
        let names: Vec<_> = columns.published().iter().map(|column| column.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "clock",
                "0-0:96.10.1*255",
                "1-0:1.8.0*255",
                "max",
                "max/5",
                "clock/3",
                "1-0:1.8.0*255#6",
                "0-0:96.10.1*255#7"
            ]
        );
        assert_eq!(columns.time_column(), Some(0));
        assert_eq!(ColumnSource::scaler_unit_attribute(ENERGY), Some(3));
        assert_eq!(ColumnSource::scaler_unit_attribute(CaptureObject { attribute: 5, ..MAXIMUM }), None);
        assert_eq!(ColumnSource::scaler_unit_attribute(CLOCK), None);
    }

    #[test]
    fn a_payload() {
        let columns = Columns::new(&load_profile(), &BTreeMap::from([(ENERGY.obis, "import".to_owned())]));
        let rows = [row(0, 1_000_000), vec![time(15), Data::Unsigned(0), Data::Null]];
        let rows = Rows::new(columns, &rows, &TimeRules::default());
        let payload = ProfileRows {
            v: 1,
            source: Source { gateway: "g", device: "d", serial: Some("7") },
            group: Some("billing"),
            profile: "lp1",
            obis: Some(Obis([1, 0, 99, 1, 0, 255])),
            read_id: "r-1",
            batch: 0,
            last: true,
            mode: Mode::Live,
            capture_period_s: 900,
            time_column: rows.columns.time_column(),
            columns: rows.columns.published(),
            rows: &rows.rows,
            gaps: &[],
            ts: "2026-08-22T10:15:03.1204Z".parse().expect("a time"),
            seq: 9,
        };
        assert_eq!(
            serde_json::to_string(&payload).expect("writable"),
            concat!(
                r#"{"v":1,"gateway":"g","device":"d","serial":"7","group":"billing","profile":"lp1","#,
                r#""obis":"1-0:99.1.0*255","read_id":"r-1","batch":0,"last":true,"mode":"live","#,
                r#""capture_period_s":900,"time_column":0,"columns":["#,
                r#"{"name":"clock","obis":"0-0:1.0.0*255","class":8,"attribute":2,"index":0,"type":"octet-string"},"#,
                r#"{"name":"0-0:96.10.1*255","obis":"0-0:96.10.1*255","class":1,"attribute":2,"index":0,"type":"unsigned"},"#,
                r#"{"name":"import","obis":"1-0:1.8.0*255","class":3,"attribute":2,"index":0,"type":"double-long-unsigned","unit":"Wh","unit_code":30,"scaler":-3}],"#,
                r#""rows":[["2026-01-01T00:00:00+01:00",8,1000],["2026-01-01T00:15:00+01:00",0,null]],"#,
                r#""gaps":[],"ts":"2026-08-22T10:15:03.120Z","seq":9}"#,
            )
        );
        assert_eq!(rows.first.as_deref(), Some("2026-01-01T00:00:00+01:00"));
        assert_eq!(rows.last.as_deref(), Some("2026-01-01T00:15:00+01:00"));
    }

    #[test]
    fn cells() {
        let mut sources = load_profile();
        sources[2].scaler_unit = Err(Report::new(Code::AccessDenied, Layer::Get, "no"));
        let mut columns = Columns::new(&sources, &BTreeMap::new());
        let row = [
            Data::OctetString(DateTime::NOT_SPECIFIED.to_bytes()),
            Data::Float64(f64::NAN),
            Data::DoubleLongUnsigned(5),
            Data::Structure(vec![Data::Unsigned(1)]),
        ];
        assert_eq!(
            columns.row(&row, &TimeRules::default()),
            [
                Json::Text("*-*-*T*:*:*".into()),
                Json::Null,
                Json::Null,
                Json::Array(vec![Json::Number(1.into())])
            ],
            "an open time, no number, no scaler, more cells than columns"
        );
        assert!(columns.published()[2].error.is_some());
        let null = [Data::Null, Data::Null, Data::OctetString(b"AB".to_vec())];
        assert_eq!(
            columns.row(&null, &TimeRules::default()),
            [Json::Null, Json::Null, Json::Text("4142".into())]
        );
    }

    #[test]
    fn batches() {
        let rows = |count: u8| {
            let rows: Vec<_> = (0..count).map(|minute| row(minute, 1)).collect();
            Rows::new(Columns::new(&load_profile(), &BTreeMap::new()), &rows, &TimeRules::default())
        };
        let limit = |rows, bytes| BatchLimit { rows, bytes };
        assert_eq!(rows(0).batches(BatchLimit::default()), vec![0..0], "silence is never an answer");
        assert_eq!(rows(5).batches(limit(2, 10_000)), [0..2, 2..4, 4..5]);
        assert_eq!(rows(4).batches(limit(2, 10_000)), [0..2, 2..4]);
        let size = rows(1).rows[0].get().len() + 1;
        assert_eq!(rows(5).batches(limit(100, 3 * size)), [0..3, 3..5]);
        assert_eq!(rows(2).batches(limit(100, 1)), [0..1, 1..2], "a large row goes alone");
    }
}
