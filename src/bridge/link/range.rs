//! The bounds of a profile's range: from configured times to what the meter's clock calls them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::bridge::config::model::Profile;
use crate::bridge::config::object::TimePoint;
use crate::bridge::reading::meter_time::TimeRules;
use crate::client::profile::RangeBound;
use crate::error::{Code, Layer, Report};
use crate::wire::date_time::{DEVIATION_NOT_SPECIFIED, DateTime};

/// `from` and `to` of a value; absent ones are the beginning of time and now.
///
/// # Errors
/// `INVALID_ARGUMENT` for a time that no calendar holds, and for a range that ends before it begins.
pub fn range_bounds(
    profile: &Profile,
    rules: &TimeRules,
    now: Timestamp,
) -> Result<(RangeBound, RangeBound), Report> {
    let from = match &profile.from {
        Some(point) => bound(point, rules, now)?,
        None => {
            RangeBound { local: "2000-01-01T00:00:00".parse().map_err(|_| out_of_range())?, utc_seconds: 0 }
        }
    };
    let to = bound(profile.to.as_ref().unwrap_or(&TimePoint::Now), rules, now)?;
    if from.utc_seconds > to.utc_seconds {
        let message = "the range ends before it begins";
        return Err(Report::new(Code::InvalidArgument, Layer::Config, message));
    }
    Ok((from, to))
}

/// One end of a range, by the meter's clock: its time zone where it is known, else UTC.
///
/// # Errors
/// `INVALID_ARGUMENT` for a time that no calendar holds.
pub fn bound(point: &TimePoint, rules: &TimeRules, now: Timestamp) -> Result<RangeBound, Report> {
    let zone = rules.time_zone.clone().unwrap_or(TimeZone::UTC);
    let zoned = match point {
        TimePoint::Now => now.to_zoned(zone),
        TimePoint::Ago(ago) => now.checked_sub(*ago).map_err(|_| out_of_range())?.to_zoned(zone),
        TimePoint::Instant(instant) => instant.to_zoned(zone),
        TimePoint::Local(local) => local.to_zoned(zone).map_err(|_| out_of_range())?,
    };
    let local = local_date_time(&zoned).ok_or_else(out_of_range)?;
    Ok(RangeBound { local, utc_seconds: zoned.timestamp().as_second() })
}

/// As a meter's clock shows it, deviation left open: meters compare local times.
fn local_date_time(zoned: &Zoned) -> Option<DateTime> {
    let local_millis =
        zoned.timestamp().as_millisecond().checked_add(i64::from(zoned.offset().seconds()) * 1000)?;
    let local = DateTime::from_utc_millis(local_millis, 0)?;
    Some(DateTime { deviation: DEVIATION_NOT_SPECIFIED, ..local })
}

fn out_of_range() -> Report {
    Report::new(Code::InvalidArgument, Layer::Config, "a time out of the calendar's range")
}
