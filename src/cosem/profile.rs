//! Profile generic: how to ask for rows of a buffer, and what a row means that a meter has compressed.

use super::capture_object::{CaptureObject, integer};
use super::decimal::Decimal;
use crate::wire::data::Data;
use crate::wire::date_time::DateTime;

/// The selector of [`range`].
pub const RANGE_SELECTOR: u8 = 1;
/// The selector of [`entries`].
pub const ENTRY_SELECTOR: u8 = 2;

/// How the rows of a buffer are ordered (attribute 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortMethod {
    /// Oldest first.
    Fifo,
    /// Newest first.
    Lifo,
    /// By the value of the sort object: largest, smallest, nearest to or farthest from zero first.
    ByValue,
}

impl SortMethod {
    /// Reads attribute 5; `None` for a number that the standard does not define.
    #[must_use]
    pub fn from_data(data: &Data) -> Option<Self> {
        match integer::<u8>(data)? {
            1 => Some(Self::Fifo),
            2 => Some(Self::Lifo),
            3..=6 => Some(Self::ByValue),
            _ => None,
        }
    }
}

/// Rows by position, counted from 1, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entries {
    /// First row.
    pub from: u32,
    /// Last row; 0 for the last that there is.
    pub to: u32,
}

impl Entries {
    /// The newest `count` of `in_use` rows; `None` where there is none, or where the position does not tell the age.
    #[must_use]
    pub const fn newest(count: u32, in_use: u32, sort_method: SortMethod) -> Option<Self> {
        if count == 0 || in_use == 0 {
            return None;
        }
        let count = if count < in_use { count } else { in_use };
        match sort_method {
            SortMethod::Fifo => Some(Self { from: in_use - count + 1, to: in_use }),
            SortMethod::Lifo => Some(Self { from: 1, to: count }),
            SortMethod::ByValue => None,
        }
    }
}

/// The parameter of selector 2: rows by position, all columns.
#[must_use]
pub fn entries(entries: Entries) -> Data {
    Data::Structure(vec![
        Data::DoubleLongUnsigned(entries.from),
        Data::DoubleLongUnsigned(entries.to),
        Data::LongUnsigned(1),
        Data::LongUnsigned(0),
    ])
}

/// The parameter of selector 1: rows whose `restricting` column is from `from` to `to`, both included.
///
/// `columns` empty asks for all. The bounds are of the type in which the buffer holds the column, see [`ClockForm`].
#[must_use]
pub fn range(restricting: CaptureObject, from: Data, to: Data, columns: &[CaptureObject]) -> Data {
    Data::Structure(vec![
        restricting.to_data(),
        from,
        to,
        Data::Array(columns.iter().map(|column| column.to_data()).collect()),
    ])
}

/// The type in which a meter holds its date-times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClockForm {
    /// An octet-string of 12 octets, by far the most common.
    #[default]
    OctetString,
    /// A typed date-time.
    DateTime,
    /// UNIX time as double-long-unsigned.
    UnixTime,
}

impl ClockForm {
    /// The form of a cell of a time column; `None` for null and for what is no time.
    #[must_use]
    pub fn of(cell: &Data) -> Option<Self> {
        match cell {
            Data::OctetString(octets) if octets.len() == 12 => Some(Self::OctetString),
            Data::DateTime(_) => Some(Self::DateTime),
            Data::DoubleLongUnsigned(_) => Some(Self::UnixTime),
            _ => None,
        }
    }

    /// A bound of a range in this form; a date-time that has no UTC time of its own counts as UTC in UNIX time.
    #[must_use]
    pub fn bound(self, time: DateTime, utc_seconds: i64) -> Data {
        match self {
            Self::OctetString => Data::OctetString(time.to_bytes()),
            Self::DateTime => Data::DateTime(time),
            Self::UnixTime => {
                Data::DoubleLongUnsigned(u32::try_from(utc_seconds).unwrap_or(if utc_seconds < 0 {
                    0
                } else {
                    u32::MAX
                }))
            }
        }
    }
}

/// A date-time, as octets or typed.
#[must_use]
pub fn date_time(data: &Data) -> Option<DateTime> {
    match data {
        Data::OctetString(octets) => DateTime::from_bytes(octets).ok(),
        Data::DateTime(value) => Some(*value),
        _ => None,
    }
}

/// What a null in a column other than the clock's means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NullCells {
    /// No value.
    #[default]
    Null,
    /// The value of the row before: some companion profiles compress so.
    Previous,
}

/// Splits a buffer into rows; `None` where it is no array. An element that is no structure is a row of one cell.
#[must_use]
pub fn rows(buffer: Data) -> Option<Vec<Vec<Data>>> {
    let elements = match buffer {
        Data::Array(elements) => elements,
        Data::CompactArray(array) => array.into_elements(),
        _ => return None,
    };
    Some(
        elements
            .into_iter()
            .map(|element| match element {
                Data::Structure(cells) => cells,
                cell => vec![cell],
            })
            .collect(),
    )
}

/// The index of the column that holds the time of each row.
#[must_use]
pub fn time_column(columns: &[CaptureObject]) -> Option<usize> {
    columns.iter().position(|column| column.is_clock() && column.data_index == 0)
}

/// Undoes what meters do to shorten rows, in the order in which they were sent.
///
/// A null in the time column is the time before plus the capture period (minus, in a buffer that has the newest row first). A cell of a delta type is relative to the
/// last number in its column. Other nulls stay or take the value before, as [`NullCells`] says.
#[derive(Clone, Debug)]
pub struct RowExpander {
    time_column: Option<usize>,
    /// Seconds from a row to the next in the buffer; 0 where that is not known.
    step: i64,
    null_cells: NullCells,
    previous: Vec<Data>,
}

impl RowExpander {
    /// For a buffer with these columns; `capture_period` in seconds, 0 where rows are not periodic.
    #[must_use]
    pub fn new(
        columns: &[CaptureObject],
        capture_period: u32,
        sort_method: SortMethod,
        null_cells: NullCells,
    ) -> Self {
        let step = match sort_method {
            SortMethod::Fifo => i64::from(capture_period),
            SortMethod::Lifo => -i64::from(capture_period),
            SortMethod::ByValue => 0,
        };
        Self { time_column: time_column(columns), step, null_cells, previous: Vec::new() }
    }

    /// Completes the next row.
    pub fn expand(&mut self, row: &mut [Data]) {
        if self.previous.len() < row.len() {
            self.previous.resize(row.len(), Data::Null);
        }
        for (index, (cell, previous)) in row.iter_mut().zip(&mut self.previous).enumerate() {
            match cell {
                Data::Null if self.time_column == Some(index) => {
                    *cell = later(previous, self.step).unwrap_or(Data::Null);
                }
                Data::Null if self.null_cells == NullCells::Previous => cell.clone_from(previous),
                Data::Null => continue,
                _ => {
                    if let Some(step) = delta_of(cell) {
                        *cell = sum(previous, step).unwrap_or(Data::Null);
                    }
                }
            }
            if *cell != Data::Null {
                previous.clone_from(cell);
            }
        }
    }
}

/// The time `seconds` after `time`, in the same form, deviation and status; `None` where that is not known.
fn later(time: &Data, seconds: i64) -> Option<Data> {
    let before = date_time(time).filter(|_| seconds != 0)?;
    let local = before.local_millis()?.checked_add(seconds * 1000)?;
    let after = DateTime::from_utc_millis(local, 0)?;
    let mut after = DateTime { deviation: before.deviation, status: before.status, ..after };
    // What the meter leaves open stays open.
    after.time.hundredths = before.time.hundredths;
    Some(ClockForm::of(time)?.bound(after, 0))
}

fn delta_of(data: &Data) -> Option<i64> {
    match *data {
        Data::DeltaInteger(step) => Some(step.into()),
        Data::DeltaLong(step) => Some(step.into()),
        Data::DeltaDoubleLong(step) => Some(step.into()),
        Data::DeltaUnsigned(step) => Some(step.into()),
        Data::DeltaLongUnsigned(step) => Some(step.into()),
        Data::DeltaDoubleLongUnsigned(step) => Some(step.into()),
        _ => None,
    }
}

/// The number before plus a step; `None` where there is no number before.
fn sum(previous: &Data, step: i64) -> Option<Data> {
    match *previous {
        Data::Long64Unsigned(value) => value.checked_add_signed(step).map(Data::Long64Unsigned),
        Data::Float32(_) | Data::Float64(_) => None,
        ref other => Decimal::from_data(other)?.as_i64()?.checked_add(step).map(Data::Long64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosem::catalogue::ClassId;
    use crate::wire::obis::Obis;

    const CLOCK: CaptureObject = CaptureObject::new(ClassId::CLOCK, Obis([0, 0, 1, 0, 0, 255]), 2);
    const ENERGY: CaptureObject = CaptureObject::new(ClassId::REGISTER, Obis([1, 0, 1, 8, 0, 255]), 2);

    fn time(hour: u8, minute: u8) -> Data {
        Data::OctetString(vec![0x07, 0xEA, 1, 1, 4, hour, minute, 0, 0xFF, 0xFF, 0xC4, 0])
    }

    fn hex(data: &Data) -> String {
        data.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn selective_access() {
        assert_eq!(
            hex(&entries(Entries { from: 1, to: 10 })),
            "0204060000000106000000 0a120001120000".replace(' ', "")
        );
        assert_eq!(
            hex(&range(CLOCK, time(0, 0), time(1, 0), &[])),
            "0204 02041200080906 0000010000ff 0f02120000 090c07ea010104000000ffffc400 090c07ea010104010000ffffc400 0100"
                .replace(' ', "")
        );
        assert!(
            hex(&range(CLOCK, Data::Null, Data::Null, &[ENERGY]))
                .ends_with("01010204120003 09060100010800ff 0f02120000".replace(' ', "").as_str())
        );
    }

    #[test]
    fn newest_rows() {
        let newest = |count, in_use, sort| Entries::newest(count, in_use, sort).map(|e| (e.from, e.to));
        assert_eq!(newest(96, 1500, SortMethod::Fifo), Some((1405, 1500)));
        assert_eq!(newest(96, 1500, SortMethod::Lifo), Some((1, 96)));
        assert_eq!(newest(96, 10, SortMethod::Fifo), Some((1, 10)));
        assert_eq!(newest(96, 0, SortMethod::Fifo), None);
        assert_eq!(newest(0, 10, SortMethod::Fifo), None);
        assert_eq!(newest(96, 1500, SortMethod::ByValue), None);
        assert_eq!(SortMethod::from_data(&Data::Enum(2)), Some(SortMethod::Lifo));
        assert_eq!(SortMethod::from_data(&Data::Enum(7)), None);
    }

    #[test]
    fn compressed_rows() {
        let mut expander = RowExpander::new(&[CLOCK, ENERGY], 900, SortMethod::Fifo, NullCells::Null);
        let mut expand = |clock, energy| {
            let mut row = [clock, energy];
            expander.expand(&mut row);
            row
        };
        assert_eq!(expand(Data::Null, Data::DeltaUnsigned(1)), [Data::Null, Data::Null], "nothing before");
        assert_eq!(
            expand(time(23, 30), Data::DoubleLongUnsigned(100)),
            [time(23, 30), Data::DoubleLongUnsigned(100)]
        );
        assert_eq!(expand(Data::Null, Data::DeltaInteger(-7)), [time(23, 45), Data::Long64(93)]);
        let midnight = Data::OctetString(vec![0x07, 0xEA, 1, 2, 5, 0, 0, 0, 0xFF, 0xFF, 0xC4, 0]);
        assert_eq!(expand(Data::Null, Data::Null), [midnight, Data::Null], "into the next day");
        assert_eq!(expand(time(3, 0), Data::DeltaLong(2)), [time(3, 0), Data::Long64(95)]);
        assert_eq!(expand(Data::Null, Data::Null)[0], time(3, 15));
    }

    #[test]
    fn cells_as_before_and_rows_without_period() {
        let mut expander = RowExpander::new(&[CLOCK, ENERGY], 0, SortMethod::Fifo, NullCells::Previous);
        for (row, expected) in [
            ([time(1, 0), Data::Unsigned(5)], [time(1, 0), Data::Unsigned(5)]),
            ([Data::Null, Data::Null], [Data::Null, Data::Unsigned(5)]),
            ([time(2, 0), Data::Unsigned(6)], [time(2, 0), Data::Unsigned(6)]),
        ] {
            let mut row = row;
            expander.expand(&mut row);
            assert_eq!(row, expected);
        }
    }

    #[test]
    fn newest_first() {
        let mut expander = RowExpander::new(&[CLOCK, ENERGY], 900, SortMethod::Lifo, NullCells::Null);
        let mut rows = vec![vec![time(1, 0), Data::Unsigned(5)], vec![Data::Null, Data::Unsigned(4)]];
        for row in &mut rows {
            expander.expand(row);
        }
        assert_eq!(rows, [vec![time(1, 0), Data::Unsigned(5)], vec![time(0, 45), Data::Unsigned(4)]]);
    }

    #[test]
    fn rows_of_a_buffer() {
        let row = || Data::Structure(vec![Data::Unsigned(1), Data::Null]);
        assert_eq!(
            rows(Data::Array(vec![row(), Data::Unsigned(2)])),
            Some(vec![vec![Data::Unsigned(1), Data::Null], vec![Data::Unsigned(2)]])
        );
        assert_eq!(rows(Data::Array(vec![])), Some(vec![]));
        assert_eq!(rows(Data::Null), None);
        assert_eq!(time_column(&[ENERGY, CLOCK]), Some(1));
        assert_eq!(time_column(&[CaptureObject { data_index: 1, ..CLOCK }]), None);
    }
}
