//! Profile generic: rows that follow from the time, and selective access to them by entry and by range.

use std::collections::VecDeque;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::clock::MeterClock;
use super::object::{Live, Moment};
use super::wave::Seed;
use crate::cosem::capture_object::CaptureObject;
use crate::wire::cursor::put_length;
use crate::wire::data::Data;
use crate::wire::date_time::{DateTime, YEAR_NOT_SPECIFIED};
use crate::wire::xdlms::{DataAccessResult, SelectiveAccess};

/// Tag of an array and of a structure.
const ARRAY: u8 = 0x01;
const STRUCTURE: u8 = 0x02;
const BY_RANGE: u8 = 1;
const BY_ENTRY: u8 = 2;

/// A buffer of rows. Row numbers rise with time for ever; the newest `capacity` rows are in the buffer.
#[derive(Clone)]
pub struct Profile {
    columns: Vec<Column>,
    schedule: Schedule,
    capacity: u32,
    encoded: VecDeque<Vec<u8>>,
    /// Number of the first row in `encoded`.
    first_encoded: i64,
}

/// A column.
#[derive(Clone)]
pub struct Column {
    /// What it captures.
    pub object: CaptureObject,
    /// Its value at the time of a row.
    pub value: Live,
}

/// When rows are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At full multiples of so many seconds.
    Every(u32),
    /// At each midnight of the meter's zone.
    Daily,
    /// Now and then, about every 31 hours.
    Events,
}

impl Schedule {
    /// The capture_period attribute, seconds.
    #[must_use]
    pub const fn capture_period(self) -> u32 {
        match self {
            Self::Every(seconds) => seconds,
            Self::Daily => 86_400,
            Self::Events => 0,
        }
    }

    /// When row `number` was captured, milliseconds of UTC.
    fn time(self, number: i64, clock: &MeterClock) -> i64 {
        match self {
            Self::Every(seconds) => number.saturating_mul(i64::from(seconds.max(1)) * 1000),
            Self::Daily => Date::constant(1970, 1, 1)
                .checked_add(number.days())
                .and_then(|date| date.to_zoned(clock.zone().clone()))
                .map_or(i64::MAX, |midnight| midnight.timestamp().as_millisecond()),
            Self::Events => {
                let jitter = Seed::new(number.cast_unsigned()).number() % (20 * 3600);
                number.saturating_mul(31 * 3_600_000).saturating_add_unsigned(jitter * 1000)
            }
        }
    }

    /// The number of the newest row at an instant.
    fn newest(self, now: i64, clock: &MeterClock) -> i64 {
        let guess = match self {
            Self::Every(seconds) => return now.div_euclid(i64::from(seconds.max(1)) * 1000),
            Self::Daily => {
                let Ok(instant) = Timestamp::from_millisecond(now) else { return 0 };
                let date = instant.to_zoned(clock.zone().clone()).date();
                let span = date.since((jiff::Unit::Day, Date::constant(1970, 1, 1)));
                span.map_or(0, |span| i64::from(span.get_days()))
            }
            Self::Events => now.div_euclid(31 * 3_600_000),
        };
        if self.time(guess, clock) <= now { guess } else { guess - 1 }
    }
}

/// What a selection asks for.
struct Selection {
    /// Row numbers, both included.
    rows: (i64, i64),
    /// Column indices; `None` for all.
    columns: Option<Vec<usize>>,
}

impl Profile {
    /// A full buffer of `capacity` rows.
    #[must_use]
    pub const fn new(columns: Vec<Column>, schedule: Schedule, capacity: u32) -> Self {
        Self { columns, schedule, capacity, encoded: VecDeque::new(), first_encoded: 0 }
    }

    /// The capture_objects attribute.
    #[must_use]
    pub fn capture_objects(&self) -> Data {
        Data::Array(self.columns.iter().map(|column| column.object.to_data()).collect())
    }

    /// Rows that it holds.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Appends the array of rows that `selection` asks for.
    ///
    /// # Errors
    /// What the meter answers to a selection that it does not understand.
    pub fn encode(
        &mut self,
        now: Moment<'_>,
        selection: Option<&SelectiveAccess>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        let newest = self.schedule.newest(now.millis, now.clock);
        let all = (newest - i64::from(self.capacity) + 1, newest);
        let selection = match selection {
            None => Selection { rows: all, columns: None },
            Some(SelectiveAccess { selector: BY_ENTRY, parameters }) => {
                self.by_entry(all, parameters).ok_or(DataAccessResult::TypeUnmatched)?
            }
            Some(SelectiveAccess { selector: BY_RANGE, parameters }) => {
                self.by_range(all, now.clock, parameters).ok_or(DataAccessResult::TypeUnmatched)?
            }
            Some(_) => return Err(DataAccessResult::ScopeOfAccessViolated),
        };
        let (first, last) = selection.rows;
        out.push(ARRAY);
        put_length(out, usize::try_from(last - first + 1).unwrap_or(0));
        match selection.columns {
            None => {
                self.keep_encoded(all, now.clock);
                for number in first..=last {
                    let index = usize::try_from(number - self.first_encoded).ok();
                    if let Some(row) = index.and_then(|index| self.encoded.get(index)) {
                        out.extend_from_slice(row);
                    }
                }
            }
            Some(columns) => {
                let columns: Vec<&Column> =
                    columns.iter().filter_map(|&index| self.columns.get(index)).collect();
                for number in first..=last {
                    let millis = self.schedule.time(number, now.clock);
                    encode_row(&columns, Moment { millis, clock: now.clock }, out);
                }
            }
        }
        Ok(())
    }

    /// Rows never change, so each is made once.
    fn keep_encoded(&mut self, (first, last): (i64, i64), clock: &MeterClock) {
        let end = self.first_encoded + i64::try_from(self.encoded.len()).unwrap_or(0);
        if first < self.first_encoded || first > end {
            self.encoded.clear();
        }
        if self.encoded.is_empty() {
            self.first_encoded = first;
        }
        while self.first_encoded < first && self.encoded.pop_front().is_some() {
            self.first_encoded += 1;
        }
        let columns: Vec<&Column> = self.columns.iter().collect();
        let next = self.first_encoded + i64::try_from(self.encoded.len()).unwrap_or(0);
        for number in next..=last {
            let mut row = Vec::with_capacity(32);
            encode_row(&columns, Moment { millis: self.schedule.time(number, clock), clock }, &mut row);
            self.encoded.push_back(row);
        }
    }

    /// entry_descriptor: from_entry, to_entry, from_selected_value, to_selected_value, counted from 1; 0 = the last.
    fn by_entry(&self, (first, last): (i64, i64), parameters: &Data) -> Option<Selection> {
        let [from, to, from_column, to_column] = parameters.elements()? else { return None };
        let row = |entry: &Data| number(entry).map(|entry| first + entry - 1);
        let to = match number(to)? {
            0 => last,
            _ => row(to)?.min(last),
        };
        let from = row(from)?.max(first);
        let width = i64::try_from(self.columns.len()).ok()?;
        let (from_column, to_column) = (number(from_column)?.max(1), number(to_column)?);
        let to_column = if to_column == 0 { width } else { to_column.min(width) };
        let columns = (from_column != 1 || to_column != width).then(|| {
            (from_column..=to_column).filter_map(|column| usize::try_from(column - 1).ok()).collect()
        });
        Some(Selection { rows: (from, to.max(from - 1)), columns })
    }

    /// range_descriptor: restricting_object, from_value, to_value, selected_values.
    fn by_range(
        &self,
        (first, last): (i64, i64),
        clock: &MeterClock,
        parameters: &Data,
    ) -> Option<Selection> {
        let [restricting, from, to, selected] = parameters.elements()? else { return None };
        let restricting = CaptureObject::from_data(restricting)?;
        if !self.columns.iter().any(|column| column.object == restricting) {
            return None;
        }
        let (from, to) = (bound(clock, from)?, bound(clock, to)?);
        let time = |number| self.schedule.time(number, clock);
        // Rows rise with time: both ends by bisection.
        let start = partition(first, last + 1, |number| from.is_some_and(|from| time(number) < from));
        let end = partition(start, last + 1, |number| to.is_none_or(|to| time(number) <= to));
        let selected = selected.elements()?;
        let columns = if selected.is_empty() {
            None
        } else {
            let index = |wanted: &Data| {
                let wanted = CaptureObject::from_data(wanted)?;
                self.columns.iter().position(|column| column.object == wanted)
            };
            Some(selected.iter().map(index).collect::<Option<Vec<_>>>()?)
        };
        Some(Selection { rows: (start, end - 1), columns })
    }
}

fn encode_row(columns: &[&Column], moment: Moment<'_>, out: &mut Vec<u8>) {
    out.push(STRUCTURE);
    put_length(out, columns.len());
    for column in columns {
        (column.value)(moment).encode(out);
    }
}

fn number(data: &Data) -> Option<i64> {
    match *data {
        Data::DoubleLongUnsigned(value) => Some(value.into()),
        Data::LongUnsigned(value) => Some(value.into()),
        Data::Unsigned(value) => Some(value.into()),
        _ => None,
    }
}

/// A bound in milliseconds of UTC; `Some(None)` where its year is left open.
fn bound(clock: &MeterClock, data: &Data) -> Option<Option<i64>> {
    if let Data::DoubleLongUnsigned(seconds) = data {
        return Some(Some(i64::from(*seconds) * 1000));
    }
    let date_time = data.date_time()?;
    if date_time.date.year == YEAR_NOT_SPECIFIED {
        return Some(None);
    }
    clock.instant(&DateTime { status: 0, ..date_time }).map(Some)
}

/// The first number from `low` to `high` for which `before` is false.
fn partition(mut low: i64, mut high: i64, before: impl Fn(i64) -> bool) -> i64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::cosem::catalogue::ClassId;
    use crate::wire::obis::Obis;

    const CLOCK: CaptureObject = CaptureObject::new(ClassId::CLOCK, Obis::new(0, 0, 1, 0, 0, 255), 2);
    const ENERGY: CaptureObject = CaptureObject::new(ClassId::REGISTER, Obis::new(1, 0, 1, 8, 0, 255), 2);
    const NOW: i64 = 1_768_478_400_000; // 2026-01-15T12:00:00Z

    fn clock() -> MeterClock {
        MeterClock::new(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
    }

    fn profile(schedule: Schedule) -> Profile {
        let time: Live = Arc::new(|moment| moment.clock.octets(moment.millis));
        let energy: Live = Arc::new(|moment| Data::Long64(moment.millis / 1000));
        let columns = vec![Column { object: CLOCK, value: time }, Column { object: ENERGY, value: energy }];
        Profile::new(columns, schedule, 10)
    }

    fn read(profile: &mut Profile, now: i64, selection: Option<(u8, Data)>) -> Vec<Data> {
        let clock = clock();
        let selection = selection.map(|(selector, parameters)| SelectiveAccess { selector, parameters });
        let mut out = Vec::new();
        profile.encode(Moment { millis: now, clock: &clock }, selection.as_ref(), &mut out).unwrap();
        match Data::from_bytes(&out).unwrap() {
            Data::Array(rows) => rows,
            other => panic!("{other:?}"),
        }
    }

    fn seconds(rows: &[Data]) -> Vec<i64> {
        rows.iter()
            .map(|row| match row.elements().unwrap().last() {
                Some(Data::Long64(seconds)) => *seconds,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn the_buffer_is_full_and_moves_on() {
        let mut profile = profile(Schedule::Every(900));
        let rows = read(&mut profile, NOW, None);
        let expected: Vec<i64> = (0..10).map(|row| NOW / 1000 - 900 * (9 - row)).collect();
        assert_eq!(seconds(&rows), expected);
        assert_eq!(read(&mut profile, NOW + 899_999, None), rows, "until the next period");
        let later = read(&mut profile, NOW + 2_700_000, None);
        assert_eq!(later[..7], rows[3..]);
        assert_eq!(read(&mut profile, NOW, None), rows, "and the same when the clock goes back");
        assert_eq!(rows[9].elements().unwrap()[0], clock().octets(NOW));
    }

    #[test]
    fn entries() {
        let mut profile = profile(Schedule::Every(900));
        let rows = read(&mut profile, NOW, None);
        let entries = |from, to, first, last| {
            Data::Structure(vec![
                Data::DoubleLongUnsigned(from),
                Data::DoubleLongUnsigned(to),
                Data::LongUnsigned(first),
                Data::LongUnsigned(last),
            ])
        };
        assert_eq!(read(&mut profile, NOW, Some((2, entries(1, 3, 1, 0)))), rows[..3]);
        assert_eq!(read(&mut profile, NOW, Some((2, entries(8, 0, 1, 2)))), rows[7..]);
        assert_eq!(read(&mut profile, NOW, Some((2, entries(11, 20, 1, 0)))), []);
        let energies = read(&mut profile, NOW, Some((2, entries(1, 1, 2, 2))));
        assert_eq!(energies, [Data::Structure(vec![rows[0].elements().unwrap()[1].clone()])]);
    }

    #[test]
    fn ranges() {
        let mut profile = profile(Schedule::Every(900));
        let rows = read(&mut profile, NOW, None);
        let range = |from: Data, to: Data, columns: Vec<Data>| {
            Some((1, Data::Structure(vec![CLOCK.to_data(), from, to, Data::Array(columns)])))
        };
        let at = |row: i64| clock().octets(NOW - 900_000 * (9 - row));
        assert_eq!(read(&mut profile, NOW, range(at(2), at(4), vec![])), rows[2..=4]);
        assert_eq!(read(&mut profile, NOW, range(at(-5), at(0), vec![])), rows[..1]);
        assert_eq!(read(&mut profile, NOW, range(at(12), at(14), vec![])), []);
        let open = Data::OctetString(DateTime::NOT_SPECIFIED.to_bytes());
        assert_eq!(read(&mut profile, NOW, range(open.clone(), open, vec![])), rows);
        let typed = |row| Data::DateTime(at(row).date_time().unwrap());
        assert_eq!(read(&mut profile, NOW, range(typed(9), typed(9), vec![])), rows[9..]);
        let column = read(&mut profile, NOW, range(at(9), at(9), vec![ENERGY.to_data()]));
        assert_eq!(column, [Data::Structure(vec![Data::Long64(NOW / 1000)])]);
    }

    #[test]
    fn strange_selections_are_refused() {
        let mut profile = profile(Schedule::Every(900));
        let clock = clock();
        let mut ask = |selector, parameters| {
            let selection = SelectiveAccess { selector, parameters };
            profile.encode(Moment { millis: NOW, clock: &clock }, Some(&selection), &mut Vec::new())
        };
        assert_eq!(ask(2, Data::Null), Err(DataAccessResult::TypeUnmatched));
        assert_eq!(ask(1, Data::Structure(vec![Data::Null; 4])), Err(DataAccessResult::TypeUnmatched));
        assert_eq!(ask(9, Data::Null), Err(DataAccessResult::ScopeOfAccessViolated));
    }

    #[test]
    fn days_begin_at_local_midnight() {
        let mut profile = profile(Schedule::Daily);
        let rows = read(&mut profile, NOW, None);
        let newest = rows[9].elements().unwrap()[0].date_time().unwrap();
        assert_eq!((newest.date.day, newest.time.hour, newest.deviation), (15, 0, -60));
        assert_eq!(rows.len(), 10);
    }

    #[test]
    fn events_come_now_and_then() {
        let mut profile = profile(Schedule::Events);
        let rows = seconds(&read(&mut profile, NOW, None));
        assert!(rows.is_sorted() && rows[9] <= NOW / 1000 && rows.windows(2).all(|two| two[0] < two[1]));
    }
}
