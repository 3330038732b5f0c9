//! COSEM date and time as text, and back: `2024-01-31T12:30:45.50+01:00`, `*-03-last/sunT02:00:00`.

use std::fmt;
use std::str::FromStr;

use super::calendar::days_in_month;
use super::date_time::{
    DEVIATION_NOT_SPECIFIED, DST_BEGIN, DST_END, Date, DateTime, DeviationSense, LAST_DAY, MAX_DEVIATION,
    NOT_SPECIFIED, SECOND_LAST_DAY, Time, YEAR_NOT_SPECIFIED,
};

/// The days of the week, Monday first.
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A date-time displayed with its deviation understood in one sense.
#[derive(Clone, Copy, Debug)]
pub struct DateTimeText {
    date_time: DateTime,
    sense: DeviationSense,
}

/// A text that is no date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateTimeError {
    /// Not of the form `2026-01-31T12:30:00+01:00`.
    #[error("not a date-time: write it like 2026-01-31T12:30:00+01:00")]
    Malformed,
    /// A day, hour, minute, second or offset that does not exist.
    #[error("no such date or time")]
    Range,
}

impl DateTime {
    /// For display with the deviation understood as `sense` says.
    #[must_use]
    pub const fn text(self, sense: DeviationSense) -> DateTimeText {
        DateTimeText { date_time: self, sense }
    }
}

impl fmt::Display for DateTimeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}", self.date_time.date, self.date_time.time)?;
        let Some(offset) = self.date_time.utc_offset_minutes(self.sense) else { return Ok(()) };
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl fmt::Display for DateTime {
    /// With the deviation in the sense of the standard.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text(DeviationSense::Standard).fmt(f)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.year() {
            None => f.write_str("*")?,
            Some(year) => write!(f, "{year:04}")?,
        }
        match self.month {
            NOT_SPECIFIED => f.write_str("-*")?,
            DST_BEGIN => f.write_str("-dst_begin")?,
            DST_END => f.write_str("-dst_end")?,
            month => write!(f, "-{month:02}")?,
        }
        match self.day {
            NOT_SPECIFIED => f.write_str("-*")?,
            LAST_DAY => f.write_str("-last")?,
            SECOND_LAST_DAY => f.write_str("-second_last")?,
            day => write!(f, "-{day:02}")?,
        }
        let names_a_day = self.year().is_some()
            && !matches!(self.month, NOT_SPECIFIED | DST_BEGIN | DST_END)
            && !matches!(self.day, NOT_SPECIFIED | LAST_DAY | SECOND_LAST_DAY);
        match self.weekday() {
            Some(weekday) if !names_a_day => match WEEKDAYS.get(usize::from(weekday).saturating_sub(1)) {
                Some(name) => write!(f, "/{name}"),
                None => write!(f, "/{weekday}"),
            },
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (separator, field) in [("", self.hour()), (":", self.minute()), (":", self.second())] {
            match field {
                None => write!(f, "{separator}*")?,
                Some(value) => write!(f, "{separator}{value:02}")?,
            }
        }
        match self.hundredths() {
            None | Some(0) => Ok(()),
            Some(hundredths) => write!(f, ".{hundredths:02}"),
        }
    }
}

impl FromStr for DateTime {
    type Err = DateTimeError;

    /// Reads what is displayed, and so RFC 3339; the seconds may be left out. A text cannot tell the clock status,
    /// which is not specified then.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (date, rest) = text.split_once(['T', ' ']).ok_or(DateTimeError::Malformed)?;
        let (time, deviation) = match rest.find(['Z', '+', '-']).and_then(|at| rest.split_at_checked(at)) {
            None => (rest, DEVIATION_NOT_SPECIFIED),
            Some((time, "Z")) => (time, 0),
            Some((time, offset)) => (time, deviation(offset)?),
        };
        Ok(Self { date: date.parse()?, time: time.parse()?, deviation, status: NOT_SPECIFIED })
    }
}

impl FromStr for Date {
    type Err = DateTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (text, weekday) = match text.split_once('/') {
            None => (text, NOT_SPECIFIED),
            Some((text, name)) => (text, weekday(name)?),
        };
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(DateTimeError::Malformed);
        let year = match part()? {
            "*" => YEAR_NOT_SPECIFIED,
            digits => number(digits, 4)?,
        };
        let month = match part()? {
            "*" => NOT_SPECIFIED,
            "dst_begin" => DST_BEGIN,
            "dst_end" => DST_END,
            digits => ranged(digits, 1, 12)?,
        };
        // Without a year, February may have 29 days.
        let last = days_in_month(if year == YEAR_NOT_SPECIFIED { 2000 } else { year }, month).unwrap_or(31);
        let day = match part()? {
            "*" => NOT_SPECIFIED,
            "last" => LAST_DAY,
            "second_last" => SECOND_LAST_DAY,
            digits => ranged(digits, 1, last)?,
        };
        Ok(Self { year, month, day, weekday })
    }
}

impl FromStr for Time {
    type Err = DateTimeError;

    /// Reads what is displayed; further digits of the fraction are dropped.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':');
        let hour = field(parts.next().unwrap_or_default(), 23)?;
        let minute = field(parts.next().ok_or(DateTimeError::Malformed)?, 59)?;
        let (second, hundredths) = match parts.next() {
            None => (0, NOT_SPECIFIED),
            Some(seconds) => match seconds.split_once('.') {
                None => (field(seconds, 59)?, NOT_SPECIFIED),
                Some((second, fraction)) => (field(second, 59)?, hundredths(fraction)?),
            },
        };
        Ok(Self { hour, minute, second, hundredths })
    }
}

/// A deviation in the sense of the standard, from a UTC offset like `+01:00`.
fn deviation(offset: &str) -> Result<i16, DateTimeError> {
    let (sign, rest) = offset.split_at_checked(1).ok_or(DateTimeError::Malformed)?;
    let (hours, minutes) = rest.split_once(':').ok_or(DateTimeError::Malformed)?;
    let hours = i16::from(ranged(hours, 0, 23)?);
    let minutes = hours.saturating_mul(60).saturating_add(i16::from(ranged(minutes, 0, 59)?));
    if minutes > MAX_DEVIATION {
        return Err(DateTimeError::Range);
    }
    Ok(if sign == "-" { minutes } else { minutes.saturating_neg() })
}

fn weekday(name: &str) -> Result<u8, DateTimeError> {
    (1..)
        .zip(WEEKDAYS)
        .find_map(|(number, day)| (day == name).then_some(number))
        .ok_or(DateTimeError::Malformed)
}

/// A field of two digits, or `*`.
fn field(text: &str, last: u8) -> Result<u8, DateTimeError> {
    if text == "*" { Ok(NOT_SPECIFIED) } else { ranged(text, 0, last) }
}

fn hundredths(fraction: &str) -> Result<u8, DateTimeError> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DateTimeError::Malformed);
    }
    let digit = |at: usize| -> u8 { fraction.as_bytes().get(at).map_or(0, |byte| byte.saturating_sub(b'0')) };
    Ok(digit(0).saturating_mul(10).saturating_add(digit(1)))
}

/// A number of two digits from `first` to `last`.
fn ranged(digits: &str, first: u8, last: u8) -> Result<u8, DateTimeError> {
    let value = u8::try_from(number(digits, 2)?).map_err(|_| DateTimeError::Range)?;
    if (first..=last).contains(&value) { Ok(value) } else { Err(DateTimeError::Range) }
}

fn number(digits: &str, width: usize) -> Result<u16, DateTimeError> {
    if digits.len() != width || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DateTimeError::Malformed);
    }
    digits.parse().map_err(|_| DateTimeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: DateTime = DateTime {
        date: Date { year: 2024, month: 1, day: 31, weekday: 3 },
        time: Time { hour: 12, minute: 30, second: 45, hundredths: 50 },
        deviation: -60,
        status: 0,
    };

    #[test]
    fn complete_texts() {
        assert_eq!(CLOCK.to_string(), "2024-01-31T12:30:45.50+01:00");
        assert_eq!(CLOCK.text(DeviationSense::Reversed).to_string(), "2024-01-31T12:30:45.50-01:00");
        assert_eq!(CLOCK.text(DeviationSense::Ignore).to_string(), "2024-01-31T12:30:45.50");
        assert_eq!(CLOCK.date.to_string(), "2024-01-31");
        assert_eq!(CLOCK.time.to_string(), "12:30:45.50");
        let with = |hundredths, deviation| {
            DateTime { time: Time { hundredths, ..CLOCK.time }, deviation, ..CLOCK }.to_string()
        };
        assert_eq!(with(0, 0), "2024-01-31T12:30:45+00:00");
        assert_eq!(with(NOT_SPECIFIED, DEVIATION_NOT_SPECIFIED), "2024-01-31T12:30:45");
        assert_eq!(with(5, 570), "2024-01-31T12:30:45.05-09:30");
        assert_eq!(with(0, -330), "2024-01-31T12:30:45+05:30");
        assert_eq!(with(0, i16::MAX), "2024-01-31T12:30:45", "an impossible deviation is no offset");
    }

    /// Incomplete dates, both ways.
    #[test]
    fn wildcards() {
        let cases: &[(u16, [u8; 3], [u8; 4], &str)] = &[
            (0xFFFF, [3, 0xFE, 7], [2, 0, 0, 0xFF], "*-03-last/sunT02:00:00"),
            (0xFFFF, [0xFE, 0xFE, 0xFF], [2, 0, 0, 0xFF], "*-dst_begin-lastT02:00:00"),
            (0xFFFF, [0xFD, 0xFD, 1], [2, 0, 0, 0xFF], "*-dst_end-second_last/monT02:00:00"),
            (0xFFFF, [0xFF, 0xFF, 0xFF], [3, 0, 0, 0xFF], "*-*-*T03:00:00"),
            (2024, [0xFF, 1, 2], [0xFF, 0xFF, 0xFF, 0xFF], "2024-*-01/tueT*:*:*"),
            (0xFFFF, [2, 29, 0xFF], [0, 0xFF, 5, 7], "*-02-29T00:*:05.07"),
        ];
        for &(year, [month, day, weekday], [hour, minute, second, hundredths], text) in cases {
            let value = DateTime {
                date: Date { year, month, day, weekday },
                time: Time { hour, minute, second, hundredths },
                ..DateTime::NOT_SPECIFIED
            };
            assert_eq!(value.to_string(), text);
            assert_eq!(text.parse(), Ok(value));
        }
    }

    #[test]
    fn impossible_fields_are_shown_as_they_are() {
        let value = DateTime {
            date: Date { year: 0, month: 14, day: 0xE0, weekday: 9 },
            time: Time { hour: 99, minute: 60, second: 61, hundredths: 100 },
            ..DateTime::NOT_SPECIFIED
        };
        assert_eq!(value.to_string(), "0000-14-224T99:60:61.100");
        assert_eq!(Date { year: YEAR_NOT_SPECIFIED, ..value.date }.to_string(), "*-14-224/9");
    }

    #[test]
    fn texts_are_read() {
        let expected = |hundredths, deviation| DateTime {
            date: Date { weekday: NOT_SPECIFIED, ..CLOCK.date },
            time: Time { hundredths, ..CLOCK.time },
            deviation,
            status: NOT_SPECIFIED,
        };
        for (text, hundredths, deviation) in [
            ("2024-01-31T12:30:45.50+01:00", 50, -60),
            ("2024-01-31 12:30:45.507999Z", 50, 0),
            ("2024-01-31T12:30:45.5-05:30", 50, 330),
            ("2024-01-31T12:30:45", 0xFF, DEVIATION_NOT_SPECIFIED),
            ("2024-01-31T12:30:45.00-00:00", 0, 0),
        ] {
            assert_eq!(text.parse(), Ok(expected(hundredths, deviation)), "{text}");
        }
        assert_eq!("12:30".parse(), Ok(Time { hour: 12, minute: 30, second: 0, hundredths: 0xFF }));
        assert_eq!("2024-01-31".parse(), Ok(expected(0, 0).date));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "T",
            "2024-01-31",
            "12:30:45",
            "2024-1-31T12:30:45",
            "24-01-31T12:30:45",
            "2024-01-31T12",
            "2024-01T12:30",
            "2024-01-31T12:30:45+0100",
            "2024-01-31T12:30:45+01",
            "2024-01-31T12:30:45ZZ",
            "2024-01-31T12:30:45.Z",
            "2024-01-31T12:30:45.5x",
            "2024-01-31T+2:30:45",
            "2024-01-31/xxxT12:30:45",
            "2024-01-31T12:30:45:00",
            "2024-01-31-01T12:30:45",
            "2024-01-31T12:30:45é",
            "２０２４-01-31T12:30:45",
        ] {
            assert_eq!(text.parse::<DateTime>(), Err(DateTimeError::Malformed), "{text}");
        }
        for text in [
            "2024-13-01T00:00:00",
            "2024-00-01T00:00:00",
            "2023-02-29T00:00:00",
            "*-02-30T00:00:00",
            "2024-01-00T00:00:00",
            "2024-01-01T24:00:00",
            "2024-01-01T00:60:00",
            "2024-01-01T00:00:60",
            "2024-01-01T00:00:00+14:01",
            "2024-01-01T00:00:00+01:60",
        ] {
            assert_eq!(text.parse::<DateTime>(), Err(DateTimeError::Range), "{text}");
        }
    }
}
