//! Gateway times as published: RFC 3339 in UTC with milliseconds.

use jiff::Timestamp;

/// 1 January 2026.
const PROGRAM_WRITTEN: i64 = 1_767_225_600;

/// `2026-08-22T10:15:03.120Z`.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// Whether our clock can be right: one that was never set shows a time before this program was written.
#[must_use]
pub fn is_plausible(now: Timestamp) -> bool {
    now.as_second() >= PROGRAM_WRITTEN
}

/// The same of milliseconds since the Unix epoch; the epoch itself for times that no calendar holds.
#[must_use]
pub fn rfc3339_millis(millis: i64) -> String {
    rfc3339(Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_not_plausible() {
        let plausible = |text: &str| is_plausible(text.parse().expect("a time"));
        assert!(plausible("2026-01-01T00:00:00Z"));
        assert!(!plausible("2025-12-31T23:59:59Z"));
        assert!(!is_plausible(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn milliseconds_and_z() {
        assert_eq!(rfc3339_millis(1_787_393_703_120), "2026-08-22T10:15:03.120Z");
        assert_eq!(rfc3339_millis(1_787_393_703_000), "2026-08-22T10:15:03.000Z");
    }
}
