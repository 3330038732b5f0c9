//! Gateway times as published: RFC 3339 in UTC with milliseconds.

use jiff::Timestamp;

/// `2026-08-22T10:15:03.120Z`.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
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
    fn milliseconds_and_z() {
        assert_eq!(rfc3339_millis(1_787_393_703_120), "2026-08-22T10:15:03.120Z");
        assert_eq!(rfc3339_millis(1_787_393_703_000), "2026-08-22T10:15:03.000Z");
    }
}
