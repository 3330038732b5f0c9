//! Times of a meter as instants: its deviation where it gives one, else the time zone that the device is said to be in.

use jiff::civil;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::wire::date_time::{ClockStatus, DEVIATION_NOT_SPECIFIED, DateTime, DeviationSense};

/// How date-times of one device are to be understood.
#[derive(Clone, Debug, Default)]
pub struct TimeRules {
    /// Where the meter's clock is, for date-times without a deviation.
    pub time_zone: Option<TimeZone>,
    /// What its deviations mean.
    pub deviation: DeviationSense,
}

/// A complete date-time of a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterTime {
    /// RFC 3339, with the meter's own offset; without any where it is not known.
    pub text: String,
    /// Whether it names one instant for sure.
    pub certainty: Certainty,
}

/// Whether a time can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Yes.
    Certain,
    /// The clock status says that the time may be wrong, or the offset is not known.
    Uncertain,
}

impl TimeRules {
    /// The time of a complete date-time; `None` where date, hour or minute are missing or impossible.
    ///
    /// Seconds and hundredths that are not specified count as 0.
    #[must_use]
    pub fn meter_time(&self, value: &DateTime) -> Option<MeterTime> {
        if !value.is_complete() {
            return None;
        }
        let mut value = *value;
        value.time.second = value.time.second().unwrap_or(0);
        value.time.hundredths = value.time.hundredths().unwrap_or(0);
        let doubtful = value.clock_status().is_some_and(ClockStatus::is_uncertain);
        let (text, certainty) = if value.utc_offset_minutes(self.deviation).is_some() {
            (value.text(self.deviation).to_string(), Certainty::Certain)
        } else {
            let (offset, certainty) = self.zone_offset(&value).unwrap_or((None, Certainty::Uncertain));
            let deviation = offset.map_or(DEVIATION_NOT_SPECIFIED, |minutes| -minutes);
            (DateTime { deviation, ..value }.to_string(), certainty)
        };
        let certainty = if doubtful { Certainty::Uncertain } else { certainty };
        Some(MeterTime { text, certainty })
    }

    /// Milliseconds since the Unix epoch; `None` where the date-time is not complete down to the second, or where its
    /// offset is not known.
    #[must_use]
    pub fn instant(&self, value: &DateTime) -> Option<(i64, Certainty)> {
        value.time.second()?;
        let (millis, certainty) = match value.utc_millis(self.deviation) {
            Some(millis) => (millis, Certainty::Certain),
            None => {
                let (offset, certainty) = self.zone_offset(value)?;
                (value.local_millis()? - i64::from(offset?) * 60_000, certainty)
            }
        };
        let is_doubtful = value.clock_status().is_some_and(ClockStatus::is_uncertain);
        Some((millis, if is_doubtful { Certainty::Uncertain } else { certainty }))
    }

    /// The UTC offset in minutes of a local time in the device's time zone.
    ///
    /// In the hour that daylight saving repeats, bit 7 of the clock status decides; a time that daylight saving skips,
    /// or a repeated one without status, is uncertain.
    fn zone_offset(&self, value: &DateTime) -> Option<(Option<i16>, Certainty)> {
        let local = civil::DateTime::new(
            i16::try_from(value.date.year).ok()?,
            i8::try_from(value.date.month).ok()?,
            i8::try_from(value.date.day).ok()?,
            i8::try_from(value.time.hour).ok()?,
            i8::try_from(value.time.minute).ok()?,
            i8::try_from(value.time.second).ok()?,
            0,
        )
        .ok()?;
        let (offset, certainty) = match self.time_zone.as_ref()?.to_ambiguous_zoned(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, Certainty::Certain),
            AmbiguousOffset::Gap { before, .. } => (before, Certainty::Uncertain),
            AmbiguousOffset::Fold { before, after } => match value.clock_status() {
                Some(status) if status.daylight_saving() => (before.max(after), Certainty::Certain),
                Some(_) => (before.min(after), Certainty::Certain),
                None => (before, Certainty::Uncertain),
            },
        };
        Some((minutes(offset), certainty))
    }
}

fn minutes(offset: Offset) -> Option<i16> {
    i16::try_from(offset.seconds() / 60).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::date_time::{Date, Time};

    fn at(month: u8, day: u8, hour: u8, deviation: i16, status: u8) -> DateTime {
        DateTime {
            date: Date { year: 2026, month, day, weekday: 0xFF },
            time: Time { hour, minute: 30, second: 0xFF, hundredths: 0xFF },
            deviation,
            status,
        }
    }

    fn rules(zone: Option<&str>, deviation: DeviationSense) -> TimeRules {
        TimeRules { time_zone: zone.map(|zone| TimeZone::get(zone).expect("a zone")), deviation }
    }

    #[track_caller]
    fn check(rules: &TimeRules, value: &DateTime, text: &str, certainty: Certainty) {
        assert_eq!(rules.meter_time(value), Some(MeterTime { text: text.into(), certainty }));
    }

    const OPEN: i16 = DEVIATION_NOT_SPECIFIED;

    #[test]
    fn the_meters_own_offset_comes_first() {
        use Certainty::{Certain, Uncertain};
        let berlin = rules(Some("Europe/Berlin"), DeviationSense::Standard);
        check(&berlin, &at(8, 22, 12, -60, 0), "2026-08-22T12:30:00+01:00", Certain);
        check(&berlin, &at(8, 22, 12, -60, 0xFF), "2026-08-22T12:30:00+01:00", Certain);
        for bad in [0x01, 0x02, 0x08] {
            check(&berlin, &at(8, 22, 12, -60, bad), "2026-08-22T12:30:00+01:00", Uncertain);
        }
        check(&berlin, &at(8, 22, 12, -60, 0x84), "2026-08-22T12:30:00+01:00", Certain);
        let reversed = rules(None, DeviationSense::Reversed);
        check(&reversed, &at(8, 22, 12, 120, 0x80), "2026-08-22T12:30:00+02:00", Certain);
    }

    #[test]
    fn else_the_time_zone_of_the_device() {
        use Certainty::{Certain, Uncertain};
        let berlin = rules(Some("Europe/Berlin"), DeviationSense::Standard);
        check(&berlin, &at(8, 22, 12, OPEN, 0), "2026-08-22T12:30:00+02:00", Certain);
        check(&berlin, &at(1, 22, 12, OPEN, 0), "2026-01-22T12:30:00+01:00", Certain);
        check(&berlin, &at(10, 25, 2, OPEN, 0x80), "2026-10-25T02:30:00+02:00", Certain);
        check(&berlin, &at(10, 25, 2, OPEN, 0x00), "2026-10-25T02:30:00+01:00", Certain);
        check(&berlin, &at(10, 25, 2, OPEN, 0xFF), "2026-10-25T02:30:00+02:00", Uncertain);
        check(&berlin, &at(3, 29, 2, OPEN, 0), "2026-03-29T02:30:00+01:00", Uncertain);
        let ignored = rules(Some("America/New_York"), DeviationSense::Ignore);
        check(&ignored, &at(1, 22, 12, -60, 0), "2026-01-22T12:30:00-05:00", Certain);
        check(&rules(None, DeviationSense::Ignore), &at(1, 22, 12, 0, 0), "2026-01-22T12:30:00", Uncertain);
        check(&TimeRules::default(), &at(1, 22, 12, OPEN, 0), "2026-01-22T12:30:00", Uncertain);
    }

    #[test]
    fn an_instant_takes_a_complete_time_and_an_offset() {
        let shown = |hour, deviation, status| {
            let value = at(8, 22, hour, deviation, status);
            DateTime { time: Time { second: 5, hundredths: 50, ..value.time }, ..value }
        };
        let berlin = rules(Some("Europe/Berlin"), DeviationSense::Standard);
        let noon = 1_787_401_805_500;
        for (value, certainty) in [
            (shown(12, 0, 0), Certainty::Certain),
            (shown(13, -60, 0xFF), Certainty::Certain),
            (shown(14, OPEN, 0x80), Certainty::Certain),
            (shown(14, OPEN, 0x88), Certainty::Uncertain),
        ] {
            assert_eq!(berlin.instant(&value), Some((noon, certainty)), "{value}");
        }
        assert_eq!(TimeRules::default().instant(&shown(12, OPEN, 0)), None);
        assert_eq!(berlin.instant(&at(8, 22, 12, 0, 0)), None, "without seconds");
    }

    #[test]
    fn hundredths_show_and_incomplete_times_are_none() {
        let mut value = at(8, 22, 12, 0, 0);
        value.time = Time { hour: 12, minute: 0, second: 5, hundredths: 7 };
        check(&TimeRules::default(), &value, "2026-08-22T12:00:05.07+00:00", Certainty::Certain);
        value.time.minute = 0xFF;
        assert_eq!(TimeRules::default().meter_time(&value), None);
        assert_eq!(TimeRules::default().meter_time(&at(2, 30, 12, 0, 0)), None);
        assert_eq!(TimeRules::default().meter_time(&DateTime::NOT_SPECIFIED), None);
    }
}
