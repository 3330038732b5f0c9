//! COSEM date, time and date-time (Blue Book, "Date and time formats"): fields as on the wire, wildcards kept.

use serde::{Deserialize, Serialize};

use super::calendar::{civil_from_days, days_from_civil, days_in_month, weekday};
use super::cursor::Reader;
pub use super::date_time_text::{DateTimeError, DateTimeText};
use super::error::WireError;

/// The year that is not specified.
pub const YEAR_NOT_SPECIFIED: u16 = 0xFFFF;
/// Any other field, and the clock status, that is not specified.
pub const NOT_SPECIFIED: u8 = 0xFF;
/// The deviation that is not specified.
pub const DEVIATION_NOT_SPECIFIED: i16 = i16::MIN;
/// The month "daylight savings end".
pub const DST_END: u8 = 0xFD;
/// The month "daylight savings begin".
pub const DST_BEGIN: u8 = 0xFE;
/// The day "second last day of the month".
pub const SECOND_LAST_DAY: u8 = 0xFD;
/// The day "last day of the month".
pub const LAST_DAY: u8 = 0xFE;

/// Farthest that local time is from UTC (UTC+14), in minutes.
pub(super) const MAX_DEVIATION: i16 = 840;

/// A date of five octets; 0xFFFF and 0xFF mean not specified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Date {
    /// Year; 0xFFFF not specified.
    pub year: u16,
    /// Month 1–12; 0xFD daylight savings end, 0xFE begin, 0xFF not specified.
    pub month: u8,
    /// Day of month 1–31; 0xFD second last, 0xFE last, 0xFF not specified.
    pub day: u8,
    /// Day of week, 1 = Monday … 7 = Sunday; 0xFF not specified.
    pub weekday: u8,
}

/// A time of day of four octets; 0xFF means not specified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Time {
    /// Hour 0–23.
    pub hour: u8,
    /// Minute 0–59.
    pub minute: u8,
    /// Second 0–59.
    pub second: u8,
    /// Hundredths of a second 0–99.
    pub hundredths: u8,
}

/// A date-time of twelve octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// The date.
    pub date: Date,
    /// The time of day.
    pub time: Time,
    /// UTC − local in minutes as on the wire; −0x8000 not specified.
    pub deviation: i16,
    /// Clock status bits; 0xFF not specified.
    pub status: u8,
}

/// Bits of the clock status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockStatus(pub u8);

/// How a meter means the deviation in its date-times. A value does not tell; experience with the meter does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviationSense {
    /// UTC − local, as the standard has it: −60 is UTC+1.
    #[default]
    Standard,
    /// Local − UTC, as some meters and companion standards have it: 60 is UTC+1.
    Reversed,
    /// Not usable.
    Ignore,
}

impl Date {
    /// Nothing specified.
    pub const NOT_SPECIFIED: Self =
        Self { year: YEAR_NOT_SPECIFIED, month: NOT_SPECIFIED, day: NOT_SPECIFIED, weekday: NOT_SPECIFIED };

    /// Reads exactly five octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`, `TrailingBytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Reads five octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let [high, low, month, day, weekday] = reader.array()?;
        Ok(Self { year: u16::from_be_bytes([high, low]), month, day, weekday })
    }

    /// Appends five octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.year.to_be_bytes());
        out.extend_from_slice(&[self.month, self.day, self.weekday]);
    }

    /// The year, if specified.
    #[must_use]
    pub fn year(&self) -> Option<u16> {
        (self.year != YEAR_NOT_SPECIFIED).then_some(self.year)
    }

    /// The month, if specified: as on the wire, so perhaps [`DST_BEGIN`] or [`DST_END`].
    #[must_use]
    pub fn month(&self) -> Option<u8> {
        specified(self.month)
    }

    /// The day of the month, if specified: as on the wire, so perhaps [`LAST_DAY`] or [`SECOND_LAST_DAY`].
    #[must_use]
    pub fn day(&self) -> Option<u8> {
        specified(self.day)
    }

    /// The day of the week, 1 = Monday … 7 = Sunday, if specified. Meters send 0 as well where it is not.
    #[must_use]
    pub fn weekday(&self) -> Option<u8> {
        specified(self.weekday).filter(|&weekday| weekday != 0)
    }

    /// Whether year, month and day name one day of the calendar.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.days().is_some()
    }

    /// Whether every field is specified and possible, special, or not specified; years from 1990 to 2100. Tells a
    /// date from octets of another meaning.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        // Without a year, February may have 29 days; without a month, it may have 31.
        let year = self.year().unwrap_or(2000);
        let last = days_in_month(year, self.month).unwrap_or(31);
        (1990..=2100).contains(&year)
            && matches!(self.month, 1..=12 | DST_END | DST_BEGIN | NOT_SPECIFIED)
            && ((1..=last).contains(&self.day)
                || matches!(self.day, SECOND_LAST_DAY | LAST_DAY | NOT_SPECIFIED))
            && matches!(self.weekday, 0..=7 | NOT_SPECIFIED)
    }

    /// The same with the day of the week of the calendar, where the date is complete.
    #[must_use]
    pub fn with_weekday(self) -> Self {
        self.days().map_or(self, |days| Self { weekday: weekday(days), ..self })
    }

    /// Days since 1 January 1970 of a complete date.
    fn days(&self) -> Option<i64> {
        days_from_civil(self.year()?, self.month, self.day)
    }
}

impl Time {
    /// Nothing specified.
    pub const NOT_SPECIFIED: Self =
        Self { hour: NOT_SPECIFIED, minute: NOT_SPECIFIED, second: NOT_SPECIFIED, hundredths: NOT_SPECIFIED };

    /// Reads exactly four octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`, `TrailingBytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Reads four octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let [hour, minute, second, hundredths] = reader.array()?;
        Ok(Self { hour, minute, second, hundredths })
    }

    /// Appends four octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.hour, self.minute, self.second, self.hundredths]);
    }

    /// The hour, if specified.
    #[must_use]
    pub fn hour(&self) -> Option<u8> {
        specified(self.hour)
    }

    /// The minute, if specified.
    #[must_use]
    pub fn minute(&self) -> Option<u8> {
        specified(self.minute)
    }

    /// The second, if specified.
    #[must_use]
    pub fn second(&self) -> Option<u8> {
        specified(self.second)
    }

    /// The hundredths of a second, if specified.
    #[must_use]
    pub fn hundredths(&self) -> Option<u8> {
        specified(self.hundredths)
    }

    /// Whether every field is in its range or not specified.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        matches!(self.hour, 0..=23 | NOT_SPECIFIED)
            && matches!(self.minute, 0..=59 | NOT_SPECIFIED)
            && matches!(self.second, 0..=59 | NOT_SPECIFIED)
            && matches!(self.hundredths, 0..=99 | NOT_SPECIFIED)
    }

    /// Milliseconds since midnight. Unspecified seconds and hundredths count as 0.
    fn millis(&self) -> Option<i64> {
        if !self.is_valid() {
            return None;
        }
        let (hour, minute) = (i64::from(self.hour()?), i64::from(self.minute()?));
        let second = i64::from(self.second().unwrap_or(0));
        let hundredths = i64::from(self.hundredths().unwrap_or(0));
        let seconds =
            hour.saturating_mul(3600).saturating_add(minute.saturating_mul(60)).saturating_add(second);
        Some(seconds.saturating_mul(1000).saturating_add(hundredths.saturating_mul(10)))
    }
}

impl DateTime {
    /// Nothing specified.
    pub const NOT_SPECIFIED: Self = Self {
        date: Date::NOT_SPECIFIED,
        time: Time::NOT_SPECIFIED,
        deviation: DEVIATION_NOT_SPECIFIED,
        status: NOT_SPECIFIED,
    };

    /// Reads exactly twelve octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`, `TrailingBytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Reads twelve octets; any value is taken as it is.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let date = Date::decode(reader)?;
        let time = Time::decode(reader)?;
        let deviation = i16::from_be_bytes(reader.array()?);
        Ok(Self { date, time, deviation, status: reader.u8()? })
    }

    /// Appends twelve octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.date.encode(out);
        self.time.encode(out);
        out.extend_from_slice(&self.deviation.to_be_bytes());
        out.push(self.status);
    }

    /// The encoding as twelve octets of its own, the content of an octet-string.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12);
        self.encode(&mut out);
        out
    }

    /// The local time of an instant, complete with day of the week and deviation. `None` outside the years 0 to
    /// 65534. The status is 0: where the meter keeps daylight saving time, set its bit.
    ///
    /// `millis` since 1 January 1970 UTC, `utc_offset` of the local time in minutes, positive in the east.
    #[must_use]
    pub fn from_utc_millis(millis: i64, utc_offset: i16) -> Option<Self> {
        let local = millis.checked_add(i64::from(utc_offset).saturating_mul(60_000))?;
        let days = local.div_euclid(86_400_000);
        let (year, month, day) = civil_from_days(days)?;
        let hundredths = local.rem_euclid(86_400_000) / 10;
        let field = |unit: i64, size: i64| u8::try_from(unit.checked_rem(size)?).ok();
        Some(Self {
            date: Date { year, month, day, weekday: weekday(days) },
            time: Time {
                hour: field(hundredths / 360_000, 24)?,
                minute: field(hundredths / 6_000, 60)?,
                second: field(hundredths / 100, 60)?,
                hundredths: field(hundredths, 100)?,
            },
            deviation: utc_offset.checked_neg()?,
            status: 0,
        })
    }

    /// Whether every field is specified and possible, special, or not specified; years from 1990 to 2100. Tells a
    /// date-time from twelve octets of another meaning. Either sense of the deviation will do.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.date.is_valid()
            && self.time.is_valid()
            && self
                .deviation_minutes()
                .is_none_or(|minutes| (-MAX_DEVIATION..=MAX_DEVIATION).contains(&minutes))
    }

    /// Whether date, hour and minute name one minute of local time.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.local_millis().is_some()
    }

    /// The deviation in minutes as on the wire, if specified.
    #[must_use]
    pub fn deviation_minutes(&self) -> Option<i16> {
        (self.deviation != DEVIATION_NOT_SPECIFIED).then_some(self.deviation)
    }

    /// Minutes that local time is ahead of UTC; `None` where the deviation is not specified, impossible or ignored.
    /// It includes daylight saving, whose bit in the status changes nothing here.
    #[must_use]
    pub fn utc_offset_minutes(&self, sense: DeviationSense) -> Option<i16> {
        let minutes =
            self.deviation_minutes().filter(|minutes| (-MAX_DEVIATION..=MAX_DEVIATION).contains(minutes))?;
        match sense {
            DeviationSense::Standard => minutes.checked_neg(),
            DeviationSense::Reversed => Some(minutes),
            DeviationSense::Ignore => None,
        }
    }

    /// Milliseconds since 1 January 1970 UTC; `None` where the date-time is incomplete or has no UTC offset.
    /// Unspecified seconds and hundredths count as 0.
    #[must_use]
    pub fn utc_millis(&self, sense: DeviationSense) -> Option<i64> {
        let offset = i64::from(self.utc_offset_minutes(sense)?);
        self.local_millis()?.checked_sub(offset.saturating_mul(60_000))
    }

    /// Milliseconds since 1 January 1970 on the local clock, whatever its offset from UTC; `None` where the
    /// date-time is incomplete. Unspecified seconds and hundredths count as 0.
    #[must_use]
    pub fn local_millis(&self) -> Option<i64> {
        self.date.days()?.checked_mul(86_400_000)?.checked_add(self.time.millis()?)
    }

    /// The clock status, if specified.
    #[must_use]
    pub fn clock_status(&self) -> Option<ClockStatus> {
        specified(self.status).map(ClockStatus)
    }
}

impl ClockStatus {
    /// Bit 0: the time could not be recovered after a power failure.
    #[must_use]
    pub const fn invalid_value(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Bit 1: the time was recovered, but its correctness is not certain.
    #[must_use]
    pub const fn doubtful_value(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// Bit 2: the clock runs from another source than the configured one.
    #[must_use]
    pub const fn different_clock_base(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// Bit 3: a bit of the status itself is not valid.
    #[must_use]
    pub const fn invalid_clock_status(self) -> bool {
        self.0 & 0x08 != 0
    }

    /// Bit 7: daylight saving is active.
    #[must_use]
    pub const fn daylight_saving(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// Whether the time may be wrong: bits 0, 1 or 3.
    #[must_use]
    pub const fn is_uncertain(self) -> bool {
        self.invalid_value() || self.doubtful_value() || self.invalid_clock_status()
    }
}

fn specified(field: u8) -> Option<u8> {
    (field != NOT_SPECIFIED).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: [u8; 12] = [0x07, 0xE8, 1, 31, 3, 12, 30, 45, 50, 0xFF, 0xC4, 0x80];

    fn date_time(bytes: [u8; 12]) -> DateTime {
        DateTime::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn octets_both_ways() {
        let clock = date_time(CLOCK);
        assert_eq!(clock.date, Date { year: 2024, month: 1, day: 31, weekday: 3 });
        assert_eq!(clock.time, Time { hour: 12, minute: 30, second: 45, hundredths: 50 });
        assert_eq!((clock.deviation, clock.status), (-60, 0x80));
        assert_eq!(clock.to_bytes(), CLOCK);
        assert!(DateTime::from_bytes(&CLOCK[..11]).is_err());
    }

    #[test]
    fn instants() {
        let clock = date_time(CLOCK);
        // 2024-01-31T11:30:45.50Z
        assert_eq!(clock.utc_millis(DeviationSense::Standard), Some(1_706_700_645_500));
        assert_eq!(clock.utc_millis(DeviationSense::Reversed), Some(1_706_707_845_500));
        assert_eq!(clock.utc_millis(DeviationSense::Ignore), None);
        assert_eq!(clock.local_millis(), Some(1_706_704_245_500));
        assert_eq!(DateTime::from_utc_millis(1_706_700_645_500, 60), Some(DateTime { status: 0, ..clock }));
        let coarse = DateTime { time: Time { second: 0xFF, hundredths: 0xFF, ..clock.time }, ..clock };
        assert_eq!(coarse.utc_millis(DeviationSense::Standard), Some(1_706_700_600_000));
        for incomplete in [
            DateTime { time: Time { minute: 0xFF, ..clock.time }, ..clock },
            DateTime { time: Time { hour: 24, ..clock.time }, ..clock },
            DateTime { date: Date { year: 0xFFFF, ..clock.date }, ..clock },
            DateTime { date: Date { month: DST_BEGIN, ..clock.date }, ..clock },
            DateTime { date: Date { day: LAST_DAY, ..clock.date }, ..clock },
            DateTime { date: Date { month: 2, ..clock.date }, ..clock },
        ] {
            assert!(!incomplete.is_complete(), "{incomplete:?}");
        }
        for deviation in [DEVIATION_NOT_SPECIFIED, 841, -841, i16::MAX] {
            assert_eq!(DateTime { deviation, ..clock }.utc_millis(DeviationSense::Standard), None);
            assert!(DateTime { deviation, ..clock }.is_complete());
        }
        assert_eq!(DateTime::from_utc_millis(i64::MAX, 60), None);
        assert_eq!(DateTime::from_utc_millis(i64::MIN, -60), None);
    }

    #[test]
    fn plausible_octets() {
        let clock = date_time(CLOCK);
        assert!(clock.is_valid() && DateTime::NOT_SPECIFIED.is_valid());
        let leap_day = Date { year: YEAR_NOT_SPECIFIED, month: 2, day: 29, weekday: 0 };
        assert!(leap_day.is_valid());
        assert!(!Date { year: 2023, ..leap_day }.is_valid());
        for implausible in [
            date_time([0; 12]),
            date_time(*b"ISK5ME382-12"),
            DateTime { deviation: 1000, ..clock },
            DateTime { time: Time { second: 60, ..clock.time }, ..clock },
            DateTime { date: Date { day: 0xE0, ..clock.date }, ..clock },
            DateTime { date: Date { year: 1989, ..clock.date }, ..clock },
            DateTime { date: Date { weekday: 8, ..clock.date }, ..clock },
        ] {
            assert!(!implausible.is_valid(), "{implausible:?}");
        }
    }

    #[test]
    fn fields_that_are_not_specified() {
        let nothing = DateTime::NOT_SPECIFIED;
        assert_eq!((nothing.date.year(), nothing.date.month(), nothing.date.day()), (None, None, None));
        assert_eq!((nothing.time.hour(), nothing.time.minute()), (None, None));
        assert_eq!((nothing.time.second(), nothing.time.hundredths()), (None, None));
        assert_eq!((nothing.date.weekday(), Date { weekday: 0, ..nothing.date }.weekday()), (None, None));
        assert_eq!((nothing.deviation_minutes(), nothing.clock_status()), (None, None));
        assert_eq!(Date { weekday: 0xFF, ..date_time(CLOCK).date }.with_weekday().weekday(), Some(3));
        assert_eq!(nothing.date.with_weekday(), nothing.date);
    }

    #[test]
    fn status_bits() {
        let bits = |status: u8| {
            let status = ClockStatus(status);
            [
                status.invalid_value(),
                status.doubtful_value(),
                status.different_clock_base(),
                status.invalid_clock_status(),
                status.daylight_saving(),
                status.is_uncertain(),
            ]
            .map(u8::from)
        };
        assert_eq!(bits(0x01), [1, 0, 0, 0, 0, 1]);
        assert_eq!(bits(0x02), [0, 1, 0, 0, 0, 1]);
        assert_eq!(bits(0x04), [0, 0, 1, 0, 0, 0]);
        assert_eq!(bits(0x08), [0, 0, 0, 1, 0, 1]);
        assert_eq!(bits(0x80), [0, 0, 0, 0, 1, 0]);
    }
}
