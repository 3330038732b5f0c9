//! Maximum demand: the highest mean over one period since the month began.

use std::sync::Mutex;
use std::sync::PoisonError;

use jiff::Timestamp;

use super::clock::MeterClock;
use super::measure::mean;
use super::object::{INSTALLED, Moment};
use super::wave::Wave;

/// Finds the maximum, and looks at each period once.
pub struct PeakDemand {
    power: Wave,
    /// Seconds of a period.
    period: u32,
    found: Mutex<Option<Found>>,
}

#[derive(Clone, Copy)]
struct Found {
    /// Number of the month's first period; the key of what was found.
    month: i64,
    /// Number of the next period to look at.
    next: i64,
    peak: Peak,
}

/// A maximum, and when its period ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Watts.
    pub power: f64,
    /// Milliseconds of UTC.
    pub millis: i64,
}

impl PeakDemand {
    /// The maximum of means over `period` seconds.
    #[must_use]
    pub const fn new(power: Wave, period: u32) -> Self {
        Self { power, period, found: Mutex::new(None) }
    }

    /// The maximum of the month so far.
    #[must_use]
    pub fn at(&self, moment: Moment<'_>) -> Peak {
        let period = i64::from(self.period.max(1)) * 1000;
        let begin = month_begin(moment.millis, moment.clock);
        // The first period that lies in the month as a whole, and the first that has not ended.
        let month = begin.div_euclid(period) + i64::from(begin.rem_euclid(period) != 0);
        let present = moment.millis.div_euclid(period);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = Found { month, next: month, peak: Peak { power: 0.0, millis: begin } };
        let mut state =
            found.filter(|found| found.month == month && found.next <= present).unwrap_or(nothing);
        while state.next < present {
            let power = self.mean(state.next, period);
            state.next += 1;
            if power > state.peak.power {
                state.peak = Peak { power, millis: state.next * period };
            }
        }
        *found = Some(state);
        state.peak
    }

    #[allow(clippy::cast_precision_loss, reason = "milliseconds of this century are exact")]
    fn mean(&self, number: i64, period: i64) -> f64 {
        let from = (number * period - INSTALLED) as f64 / 1000.0;
        mean(&self.power, from, from + f64::from(self.period))
    }
}

/// When the month began in the meter's zone, milliseconds of UTC.
fn month_begin(millis: i64, clock: &MeterClock) -> i64 {
    let begin = Timestamp::from_millisecond(millis).ok().and_then(|now| {
        let first = now.to_zoned(clock.zone().clone()).first_of_month().ok()?;
        first.start_of_day().ok()
    });
    begin.map_or(millis, |begin| begin.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn the_peak_stays_until_the_month_ends() {
        let power = Wave::constant(500.0).with_daily_peak(100.0, 19.125);
        let demand = PeakDemand::new(power, 900);
        let clock = MeterClock::new(TimeZone::UTC);
        let at = |text: &str| {
            let millis = text.parse::<Timestamp>().unwrap().as_millisecond();
            demand.at(Moment { millis, clock: &clock })
        };
        let instant = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        assert_eq!(at("2026-02-01T00:10:00Z"), Peak { power: 0.0, millis: instant("2026-02-01T00:00:00Z") });
        let second = at("2026-02-02T12:00:00Z");
        assert!(second.power > 599.9);
        assert_eq!(second.millis, instant("2026-02-01T19:15:00Z"));
        assert!((at("2026-02-27T12:00:00Z").power - second.power).abs() < 1e-6);
        assert!(at("2026-03-01T01:00:00Z").power < 550.0, "a new month");
        assert_eq!(at("2026-02-02T12:00:00Z"), second, "and the same when the clock goes back");
    }
}
