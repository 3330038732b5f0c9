//! The Gregorian calendar, as far as values on the wire need it: days since 1 January 1970 and back.

/// Days in a month; `None` where there is no such month.
pub(super) const fn days_in_month(year: u16, month: u8) -> Option<u8> {
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => return None,
    })
}

/// Days from 1 January 1970 to a date; `None` where there is no such date.
#[allow(clippy::arithmetic_side_effects, reason = "from 16-bit years nothing comes near the limits of i64")]
pub(super) fn days_from_civil(year: u16, month: u8, day: u8) -> Option<i64> {
    if day == 0 || day > days_in_month(year, month)? {
        return None;
    }
    // Years are counted from March, so that the leap day is the last of its year.
    let (month, day) = (i64::from(month), i64::from(day));
    let year = i64::from(year) - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(146_097 * era + day_of_era - 719_468)
}

/// Year, month and day of a day since 1 January 1970; `None` outside the years 0 to 65534.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "days are checked to be within the years that u16 can hold"
)]
pub(super) fn civil_from_days(days: i64) -> Option<(u16, u8, u8)> {
    // 1 January 0 to 31 December 65534.
    if !(-719_528..=23_216_638).contains(&days) {
        return None;
    }
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = 400 * era + year_of_era + i64::from(month <= 2);
    Some((u16::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?))
}

/// Day of the week of a day since 1 January 1970: 1 = Monday … 7 = Sunday.
pub(super) fn weekday(days: i64) -> u8 {
    // 1 January 1970 was a Thursday.
    u8::try_from(days.rem_euclid(7)).map_or(1, |day| (day.saturating_add(3) % 7).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        assert_eq!(days_from_civil(1970, 1, 1), Some(0));
        assert_eq!(days_from_civil(2000, 2, 29), Some(11_016));
        assert_eq!(days_from_civil(2024, 1, 31), Some(19_753));
        for (year, month, day) in
            [(2023, 2, 29), (1900, 2, 29), (2024, 13, 1), (2024, 0, 1), (2024, 4, 31), (2024, 1, 0)]
        {
            assert_eq!(days_from_civil(year, month, day), None);
        }
        assert_eq!(weekday(19_753), 3, "31 January 2024 is a Wednesday");
        assert_eq!(weekday(-1), 3, "31 December 1969 is a Wednesday");
    }

    #[test]
    fn every_day_of_every_year_leads_back() {
        let mut expected = days_from_civil(0, 1, 1).unwrap();
        assert_eq!(civil_from_days(expected - 1), None);
        for year in 0..=10_000 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month).unwrap() {
                    assert_eq!(days_from_civil(year, month, day), Some(expected));
                    assert_eq!(civil_from_days(expected), Some((year, month, day)));
                    expected += 1;
                }
            }
        }
        let last = days_from_civil(65_534, 12, 31).unwrap();
        assert_eq!(civil_from_days(last), Some((65_534, 12, 31)));
        assert_eq!(civil_from_days(last + 1), None, "65535 is the year not specified");
        assert_eq!(civil_from_days(i64::MAX), None);
        assert_eq!(civil_from_days(i64::MIN), None);
    }
}
