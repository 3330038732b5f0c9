//! The time of a row of a profile: as it is published, and as it is compared with others and asked for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::meter_time::TimeRules;
use crate::bridge::time::{is_plausible, rfc3339_millis};
use crate::client::profile::RangeBound;
use crate::cosem::profile::date_time;
use crate::wire::data::Data;
use crate::wire::date_time::{DEVIATION_NOT_SPECIFIED, DateTime};

/// A point in time by the meter's clock, in milliseconds since 1 January 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPoint {
    /// As the clock shows it. Meters select by this.
    pub local_ms: i64,
    /// In UTC, where the offset is known. Rows are in this order, whatever daylight saving does to the clock.
    pub utc_ms: Option<i64>,
}

/// The time of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowTime {
    /// As published.
    pub text: String,
    /// As compared.
    #[serde(flatten)]
    pub at: RowPoint,
}

impl RowPoint {
    /// Milliseconds that this is after another.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        match (self.utc_ms, earlier.utc_ms) {
            (Some(this), Some(earlier)) => this.saturating_sub(earlier),
            _ => self.local_ms.saturating_sub(earlier.local_ms),
        }
    }

    /// So many milliseconds later by the clock.
    #[must_use]
    pub fn later(self, ms: i64) -> Self {
        Self {
            local_ms: self.local_ms.saturating_add(ms),
            utc_ms: self.utc_ms.map(|utc| utc.saturating_add(ms)),
        }
    }

    /// Whether it lies more than a day after our time: longer than any zone could explain.
    #[must_use]
    pub fn is_after_tomorrow(self, now: Timestamp) -> bool {
        let ahead = self.utc_ms.unwrap_or(self.local_ms).saturating_sub(now.as_millisecond());
        ahead > 24 * 3_600_000 && is_plausible(now)
    }

    /// As an end of a range; `None` for what no calendar holds.
    #[must_use]
    pub fn bound(self) -> Option<RangeBound> {
        let local = DateTime::from_utc_millis(self.local_ms, 0)?;
        Some(RangeBound {
            local: DateTime { deviation: DEVIATION_NOT_SPECIFIED, ..local },
            utc_seconds: self.utc_ms.unwrap_or(self.local_ms).div_euclid(1000),
        })
    }
}

impl RowTime {
    /// The time in the cell of a time column; `None` where it is not complete.
    #[must_use]
    pub fn of(cell: &Data, times: &TimeRules) -> Option<Self> {
        if let Data::DoubleLongUnsigned(seconds) = *cell {
            let ms = i64::from(seconds) * 1000;
            return Some(Self { text: rfc3339_millis(ms), at: RowPoint { local_ms: ms, utc_ms: Some(ms) } });
        }
        let mut shown = date_time(cell)?;
        let text = times.meter_time(&shown)?.text;
        let local_ms = shown.local_millis()?;
        shown.time.second = shown.time.second().unwrap_or(0);
        let utc_ms = times.instant(&shown).map(|(ms, _)| ms);
        Some(Self { text, at: RowPoint { local_ms, utc_ms } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(hour: u8, deviation: [u8; 2], status: u8) -> Data {
        let [high, low] = deviation;
        Data::OctetString(vec![0x07, 0xEA, 10, 25, 0xFF, hour, 0, 0xFF, 0xFF, high, low, status])
    }

    #[test]
    fn rows_are_ordered_by_utc_and_asked_for_by_the_meters_clock() {
        let berlin = TimeRules {
            time_zone: Some(jiff::tz::TimeZone::get("Europe/Berlin").expect("a zone")),
            ..TimeRules::default()
        };
        let summer = RowTime::of(&cell(2, [0x80, 0], 0x80), &berlin).expect("complete");
        let winter = RowTime::of(&cell(2, [0x80, 0], 0), &berlin).expect("complete");
        assert_eq!(summer.text, "2026-10-25T02:00:00+02:00");
        assert_eq!((winter.at.since(summer.at), winter.at.local_ms), (3_600_000, summer.at.local_ms));
        let bound = winter.at.bound().expect("a date");
        assert_eq!((bound.local.time.hour, bound.local.deviation), (2, DEVIATION_NOT_SPECIFIED));
        assert_eq!(bound.utc_seconds, 1_792_890_000);
        let unzoned = RowTime::of(&cell(3, [0x80, 0], 0), &TimeRules::default()).expect("complete");
        assert_eq!((unzoned.at.utc_ms, unzoned.at.since(winter.at)), (None, 3_600_000));
    }

    #[test]
    fn unix_time_is_its_own_utc() {
        let row = RowTime::of(&Data::DoubleLongUnsigned(1_787_393_700), &TimeRules::default());
        let row = row.expect("a time");
        assert_eq!(row.text, "2026-08-22T10:15:00.000Z");
        assert_eq!(row.at.later(1500).bound().expect("a date").utc_seconds, 1_787_393_701);
        let plausible = Timestamp::from_millisecond(row.at.local_ms - 86_400_000).expect("a time");
        assert!(!row.at.is_after_tomorrow(plausible));
        assert!(row.at.later(1).is_after_tomorrow(plausible));
        assert!(!row.at.is_after_tomorrow(Timestamp::UNIX_EPOCH), "nobody knows what time it is");
        assert_eq!(RowTime::of(&Data::Null, &TimeRules::default()), None);
    }
}
