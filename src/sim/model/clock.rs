//! The meter's clock: which local date-time it shows for an instant, and how far it was set off the true time.

use jiff::Timestamp;
use jiff::tz::{Dst, TimeZone};

use crate::wire::data::Data;
use crate::wire::date_time::{DateTime, DeviationSense};

/// Bit 7 of the clock status.
const DAYLIGHT_SAVING: u8 = 0x80;

/// Shows instants as local date-times: deviation with the standard's sign, status with the daylight saving bit.
#[derive(Clone, Debug)]
pub struct MeterClock {
    zone: TimeZone,
    /// How far somebody has set the clock ahead of the true time, milliseconds.
    shift: i64,
}

impl MeterClock {
    /// A clock that goes right, in this zone.
    #[must_use]
    pub const fn new(zone: TimeZone) -> Self {
        Self { zone, shift: 0 }
    }

    /// What the clock shows.
    #[must_use]
    pub fn shown(&self, now: Timestamp) -> DateTime {
        self.date_time(now.as_millisecond().saturating_add(self.shift))
    }

    /// The local date-time of an instant, in milliseconds of UTC.
    #[must_use]
    pub fn date_time(&self, millis: i64) -> DateTime {
        let Ok(instant) = Timestamp::from_millisecond(millis) else { return DateTime::NOT_SPECIFIED };
        let info = self.zone.to_offset_info(instant);
        let minutes = i16::try_from(info.offset().seconds() / 60).unwrap_or_default();
        let mut local = DateTime::from_utc_millis(millis, minutes).unwrap_or(DateTime::NOT_SPECIFIED);
        if info.dst() == Dst::Yes {
            local.status |= DAYLIGHT_SAVING;
        }
        local
    }

    /// The same as an octet-string of 12 octets, the form in which most meters send it.
    #[must_use]
    pub fn octets(&self, millis: i64) -> Data {
        Data::OctetString(self.date_time(millis).to_bytes())
    }

    /// The instant of a date-time, milliseconds of UTC. One without deviation is local time; `None` where it is
    /// incomplete.
    #[must_use]
    pub fn instant(&self, date_time: &DateTime) -> Option<i64> {
        if let Some(millis) = date_time.utc_millis(DeviationSense::Standard) {
            return Some(millis);
        }
        let local = date_time.local_millis()?;
        // Right outside the hour of a change, which a meter without deviation cannot tell anyway.
        let near = Timestamp::from_millisecond(local).ok()?;
        let guess = local - i64::from(self.zone.to_offset(near).seconds()) * 1000;
        let offset = self.zone.to_offset(Timestamp::from_millisecond(guess).ok()?);
        Some(local - i64::from(offset.seconds()) * 1000)
    }

    /// Sets the clock.
    pub fn set(&mut self, now: Timestamp, to: i64) {
        self.shift = to.saturating_sub(now.as_millisecond());
    }

    /// Moves the clock.
    pub fn shift(&mut self, seconds: i16) {
        self.shift = self.shift.saturating_add(i64::from(seconds) * 1000);
    }

    /// The zone.
    #[must_use]
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vienna() -> MeterClock {
        MeterClock::new(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
    }

    #[test]
    fn summer_and_winter() {
        let clock = vienna();
        let winter = clock.date_time("2026-01-15T11:00:00Z".parse::<Timestamp>().unwrap().as_millisecond());
        assert_eq!((winter.time.hour, winter.deviation, winter.status), (12, -60, 0));
        let summer = clock.date_time("2026-07-15T10:00:00Z".parse::<Timestamp>().unwrap().as_millisecond());
        assert_eq!((summer.time.hour, summer.deviation, summer.status), (12, -120, 0x80));
    }

    #[test]
    fn instants_lead_back() {
        let clock = vienna();
        for text in ["2026-01-15T11:00:00Z", "2026-07-15T10:00:00Z", "2026-03-29T01:00:00Z"] {
            let millis = text.parse::<Timestamp>().unwrap().as_millisecond();
            let shown = clock.date_time(millis);
            assert_eq!(clock.instant(&shown), Some(millis));
            let bare = DateTime { deviation: crate::wire::date_time::DEVIATION_NOT_SPECIFIED, ..shown };
            assert_eq!(clock.instant(&bare), Some(millis), "{text} without deviation");
        }
        assert_eq!(clock.instant(&DateTime::NOT_SPECIFIED), None);
    }

    #[test]
    fn it_can_be_set() {
        let mut clock = vienna();
        let now: Timestamp = "2026-01-15T11:00:00Z".parse().unwrap();
        clock.set(now, now.as_millisecond() + 90_000);
        clock.shift(-30);
        assert_eq!(clock.shown(now).time.minute, 1);
    }
}
