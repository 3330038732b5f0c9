//! The age of a record across restarts, by clocks that may be wrong.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// 2025-01-01. A clock that shows less was not set when the record was stored, and tells nothing of its age.
const PLAUSIBLE_MS: i64 = 1_735_689_600_000;

/// What both clocks of the gateway show at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    steady: Instant,
    /// Milliseconds since 1970.
    wall_ms: i64,
}

impl Clock {
    pub(super) fn now(steady: Instant) -> Self {
        Self { steady, wall_ms: Timestamp::now().as_millisecond() }
    }

    /// A past moment in milliseconds since 1970.
    pub(super) fn stamp(self, moment: Instant) -> i64 {
        let age = self.steady.saturating_duration_since(moment).as_millis();
        self.wall_ms.saturating_sub_unsigned(age.try_into().unwrap_or(u64::MAX))
    }

    /// The moment of a stamp; now, where the clocks cannot tell.
    pub(super) fn instant_of(self, stamp_ms: i64) -> Instant {
        let age_ms = if stamp_ms < PLAUSIBLE_MS { 0 } else { self.wall_ms.saturating_sub(stamp_ms) };
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        self.steady.checked_sub(age).unwrap_or(self.steady)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_by_a_later_clock() {
        let start = Instant::now() + Duration::from_secs(600);
        let before = Clock { steady: start, wall_ms: 1_800_000_000_000 };
        let stamp = before.stamp(start - Duration::from_secs(60));
        assert_eq!(stamp, 1_799_999_940_000);
        let after = Clock { steady: start, wall_ms: 1_800_000_060_000 };
        assert_eq!(after.instant_of(stamp), start - Duration::from_secs(120));
    }

    #[test]
    fn a_clock_that_was_not_set_or_went_back_makes_no_record_old() {
        let steady = Instant::now();
        let clock = Clock { steady, wall_ms: 1_800_000_000_000 };
        assert_eq!(clock.instant_of(1_000), steady);
        assert_eq!(clock.instant_of(1_800_000_060_000), steady);
        assert_eq!(clock.instant_of(i64::MIN), steady);
    }
}
