//! How far a profile was published, and its gaps: when one opens, which slice of it is read next, when it is closed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bridge::reading::profile_rows::Gap;
use crate::bridge::reading::row_time::{RowPoint, RowTime};
use crate::client::profile::RangeBound;

/// Rows of one slice: about a day of quarters of an hour, and an exchange that keeps polls waiting for seconds at most.
const SLICE_ROWS: i64 = 96;

/// A slice of a profile whose rows are not periodic.
const SLICE_OF_EVENTS_MS: i64 = 24 * 3_600_000;

/// A clock that was set back by more had lost its time.
const A_DAY_MS: i64 = 24 * 3_600_000;

/// Gaps that are remembered of one profile; those beyond are joined to the first.
const MAX_GAPS: usize = 8;

/// A slice without rows makes the next one twice as long: years without rows take few exchanges.
const MOST_DOUBLINGS: u32 = 30;

/// Why rows are missing from what a meter has.
const NOT_KEPT: &str = "the meter has no rows of this time";

/// What a poll showed of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The profile's logical name.
    pub obis: Option<String>,
    /// Who answered.
    pub meter: Option<String>,
    /// Time of the oldest row.
    pub first: RowTime,
    /// Time of the newest row.
    pub last: RowTime,
    /// Seconds between rows; 0 where they are not periodic.
    pub capture_period: u32,
    /// Whether gaps are to be filled; else they are let go.
    pub backfill: bool,
    /// Whether the meter may have older rows than these.
    pub coverage: Coverage,
    /// By what the rows were chosen.
    pub selection: Selection,
}

/// By what rows were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// By the configuration alone.
    Configured,
    /// By the position of the one that was published last.
    AfterLast,
}

/// What part of a buffer was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Its newest rows; there may be older ones.
    Newest,
    /// All that there is.
    Whole,
}

/// What is known of one profile of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Logical name of the profile.
    obis: Option<String>,
    /// The meter that has it.
    meter: Option<String>,
    /// The newest row that was published.
    newest: Option<RowTime>,
    /// The latest that was published with a time that can be: where the clock of the meter was astray, gaps are measured
    /// from here.
    #[serde(default)]
    latest: Option<RowTime>,
    /// Seconds between rows, as last seen.
    capture_period: u32,
    gaps: Vec<OpenGap>,
}

/// A time whose rows were not read when it was their turn; both ends are rows that were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OpenGap {
    from: RowTime,
    to: RowTime,
    /// What was asked for so far.
    reached: RowPoint,
    /// The last row before what is missing.
    row_before: RowTime,
    /// Rows that were found in it.
    rows: u64,
    /// Whether some were not.
    has_holes: bool,
    /// Slices without rows in a row.
    empty_slices: u32,
}

/// The hour that the end of daylight saving repeats: by the clock rows after a point may stand up to this before it, and
/// rows before it up to this after it.
const REPEATED_HOUR_MS: i64 = 3_600_000;

/// What to ask for next: both ends included, though the rows there may be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its begin.
    pub from: RowPoint,
    /// Its end.
    pub to: RowPoint,
}

impl Slice {
    /// The ends of the range that meters are asked for, by their clocks, which may be set back within it; `None` for what
    /// no calendar holds.
    #[must_use]
    pub fn bounds(self) -> Option<(RangeBound, RangeBound)> {
        let is_in_order = self.from.local_ms <= self.to.local_ms;
        let (first, last) = if is_in_order { (self.from, self.to) } else { (self.to, self.from) };
        Some((first.later(-REPEATED_HOUR_MS).bound()?, last.later(REPEATED_HOUR_MS).bound()?))
    }
}

/// How a meter can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// By time.
    ByRange,
    /// The whole buffer at once: then a gap is one slice.
    Whole,
}

/// The ends of a gap, as told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The row before it.
    pub from: String,
    /// The row after it.
    pub to: String,
}

/// What a slice came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Times of which the meter has no rows.
    pub holes: Vec<Gap>,
    /// The gap, if this was its last slice.
    pub closed: Option<Closed>,
}

/// A gap that is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Its ends.
    pub span: Span,
    /// Rows that were found in it.
    pub rows: u64,
    /// Why there are not more, if any are missing.
    pub reason: Option<String>,
}

impl Track {
    /// Takes note of rows that were published; the gap that they leave behind, if they do. The first rows of a profile
    /// leave none, nor do those of another meter.
    pub fn saw(&mut self, seen: Seen, now: Timestamp) -> Option<Span> {
        if !self.is_of(seen.obis.as_deref(), seen.meter.as_deref()) {
            *self = Self::default();
            if seen.selection == Selection::AfterLast {
                // The position was another meter's: of this one all is to be read.
                return None;
            }
        }
        self.obis = seen.obis.or(self.obis.take());
        self.meter = seen.meter.or(self.meter.take());
        self.capture_period = seen.capture_period;
        let before = self.left_off(now).cloned();
        let is_astray = seen.last.at.is_after_tomorrow(now);
        if !is_astray && self.latest.as_ref().is_none_or(|latest| seen.last.at.since(latest.at) > 0) {
            self.latest = Some(seen.last.clone());
        }
        self.newest = Some(seen.last);
        let before = before.filter(|_| !is_astray)?;
        let ahead = seen.first.at.since(before.at);
        let is_gap = match self.period_ms() {
            Some(period) => ahead > period + period / 2,
            None => ahead > 0 && seen.coverage == Coverage::Newest,
        };
        if !seen.backfill {
            self.gaps.clear();
        }
        if !is_gap || !seen.backfill {
            return None;
        }
        let span = Span { from: before.text.clone(), to: seen.first.text.clone() };
        self.gaps.push(OpenGap {
            reached: before.at,
            row_before: before.clone(),
            from: before,
            to: seen.first,
            rows: 0,
            has_holes: false,
            empty_slices: 0,
        });
        if self.gaps.len() > MAX_GAPS {
            // The rows between the two are read again: who stores them by their time has them once.
            let second = self.gaps.remove(1);
            if let Some(first) = self.gaps.first_mut() {
                first.to = second.to;
            }
        }
        Some(span)
    }

    /// The row after which readings go on; see [`Self::saw`].
    #[must_use]
    pub fn goes_on_after(&self, now: Timestamp) -> Option<RowPoint> {
        self.left_off(now).map(|row| row.at)
    }

    /// The newest row that was published; where the clock had lost its time, or runs ahead, the last one before that. A
    /// clock that was merely set is followed.
    fn left_off(&self, now: Timestamp) -> Option<&RowTime> {
        let newest = self.newest.as_ref()?;
        let was_astray =
            |latest: &&RowTime| newest.at.is_after_tomorrow(now) || latest.at.since(newest.at) > A_DAY_MS;
        Some(self.latest.as_ref().filter(was_astray).unwrap_or(newest))
    }

    /// Whether there is anything to fill.
    #[must_use]
    pub const fn has_gap(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// Whether this profile of this meter is the one that has the rows, as far as both are known.
    #[must_use]
    pub fn is_of(&self, obis: Option<&str>, meter: Option<&str>) -> bool {
        let agree =
            |was: &Option<String>, is: Option<&str>| was.as_deref().zip(is).is_none_or(|(was, is)| was == is);
        agree(&self.obis, obis) && agree(&self.meter, meter)
    }

    /// What to read next.
    #[must_use]
    pub fn next_slice(&self, access: Access) -> Option<Slice> {
        let gap = self.gaps.first()?;
        let usual = self.period_ms().map_or(SLICE_OF_EVENTS_MS, |period| period * SLICE_ROWS);
        let to = gap.reached.later(usual.saturating_mul(1 << gap.empty_slices.min(MOST_DOUBLINGS)));
        let ends = access == Access::Whole || to.local_ms >= gap.to.at.local_ms;
        Some(Slice { from: gap.reached, to: if ends { gap.to.at } else { to } })
    }

    /// Whether a row that came with a slice fills the gap that is filled first. The rows at its ends are published, and
    /// those after the slice come with the next one.
    #[must_use]
    pub fn fills(&self, slice: Slice, row: &RowTime) -> bool {
        self.gaps.first().is_some_and(|gap| {
            row.at.since(gap.row_before.at) > 0 && gap.to.at.since(row.at) > 0 && slice.to.since(row.at) >= 0
        })
    }

    /// Takes note of a slice and its rows, oldest first, all of which [`Self::fills`] let through, and of the seconds
    /// between them.
    pub fn filled(&mut self, slice: Slice, rows: &[RowTime], capture_period: u32) -> Filled {
        self.capture_period = capture_period;
        let period = self.period_ms();
        let Some(gap) = self.gaps.first_mut() else { return Filled { holes: Vec::new(), closed: None } };
        let mut holes = Vec::new();
        let is_done = slice.to == gap.to.at;
        let end = gap.to.clone();
        for row in rows.iter().chain(is_done.then_some(&end)) {
            if period.is_some_and(|period| row.at.since(gap.row_before.at) > period + period / 2) {
                let (from, to) = (gap.row_before.text.clone(), row.text.clone());
                holes.push(Gap { from, to, reason: NOT_KEPT.to_owned() });
            }
            gap.row_before = row.clone();
        }
        gap.rows += rows.len() as u64;
        gap.has_holes |= !holes.is_empty();
        gap.reached = slice.to;
        gap.empty_slices = if rows.is_empty() { gap.empty_slices.saturating_add(1) } else { 0 };
        let reason = gap.has_holes.then(|| NOT_KEPT.to_owned());
        let closed = if is_done { self.close(reason) } else { None };
        Filled { holes, closed }
    }

    /// Gives the gap up that is filled first.
    pub fn close(&mut self, reason: Option<String>) -> Option<Closed> {
        if self.gaps.is_empty() {
            return None;
        }
        let OpenGap { from, to, rows, .. } = self.gaps.remove(0);
        Some(Closed { span: Span { from: from.text, to: to.text }, rows, reason })
    }

    fn period_ms(&self) -> Option<i64> {
        (self.capture_period > 0).then(|| i64::from(self.capture_period) * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: i64 = 900_000;
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// The row of a quarter of an hour, counted from the first.
    fn row(quarter: i64) -> RowTime {
        let ms = quarter * QUARTER;
        RowTime { text: format!("q{quarter}"), at: RowPoint { local_ms: ms, utc_ms: None } }
    }

    fn seen(first: i64, last: i64) -> Seen {
        let (obis, meter) = (Some("1-0:99.1.0*255".to_owned()), Some("LGZ1".to_owned()));
        let (first, last) = (row(first), row(last));
        Seen {
            obis,
            meter,
            first,
            last,
            capture_period: 900,
            backfill: true,
            coverage: Coverage::Newest,
            selection: Selection::Configured,
        }
    }

    fn span(from: &str, to: &str) -> Span {
        Span { from: from.into(), to: to.into() }
    }

    /// A meter that has these quarters; the rows of each slice, and how the gap ended.
    fn fill(track: &mut Track, has: std::ops::Range<i64>) -> (Vec<usize>, Vec<Gap>, Closed) {
        let (mut slices, mut holes) = (Vec::new(), Vec::new());
        loop {
            let slice = track.next_slice(Access::ByRange).expect("a gap");
            let selected = has.clone().map(row).filter(|row| {
                (slice.from.local_ms..=slice.to.local_ms).contains(&row.at.local_ms)
                    && track.fills(slice, row)
            });
            let rows: Vec<RowTime> = selected.collect();
            slices.push(rows.len());
            let mut filled = track.filled(slice, &rows, track.capture_period);
            holes.append(&mut filled.holes);
            if let Some(closed) = filled.closed {
                return (slices, holes, closed);
            }
        }
    }

    #[test]
    fn a_poll_that_begins_after_the_last_one_ended_leaves_a_gap() {
        let mut track = Track::default();
        assert_eq!(track.saw(seen(0, 3), NOW), None, "the first ever");
        assert_eq!(track.saw(seen(1, 4), NOW), None, "rows overlap");
        assert_eq!(track.saw(seen(4, 4), NOW), None, "nothing new");
        assert_eq!(track.saw(seen(5, 6), NOW), None, "rows follow each other");
        assert_eq!(track.saw(seen(8, 9), NOW), Some(span("q6", "q8")), "one is missing");
        assert_eq!(track.saw(seen(2, 3), NOW), None, "the meter's clock was set back");
        assert_eq!(track.saw(seen(4, 5), NOW), None);
        let other = Seen { meter: Some("LGZ2".into()), ..seen(100, 103) };
        assert_eq!(track.saw(other, NOW), None, "another meter");
        assert!(!track.has_gap());
    }

    #[test]
    fn a_clock_that_was_astray_opens_no_gap_of_years() {
        const DAY: i64 = 96;
        // Spring 2026.
        let today = 20_550 * DAY;
        let now = Timestamp::from_millisecond(today * QUARTER).expect("a time");
        for astray in [0, 10 * 365 * DAY, today + 3_650 * DAY] {
            let mut track = Track::default();
            assert_eq!(track.saw(seen(today - 3, today), now), None);
            for quarters in [0, 1, 2] {
                assert_eq!(track.saw(seen(astray + quarters, astray + quarters), now), None);
            }
            let again = track.clone().saw(seen(today + 1, today + 1), now);
            assert_eq!(again, None, "the meter goes on where it was");
            let gap = track.saw(seen(today + 10, today + 12), now);
            assert_eq!(gap, Some(span(&format!("q{today}"), &format!("q{}", today + 10))));
        }
    }

    #[test]
    fn events_leave_a_gap_where_there_may_be_older_ones() {
        let events = |first, last, coverage| Seen { capture_period: 0, coverage, ..seen(first, last) };
        let mut track = Track::default();
        track.saw(events(0, 10, Coverage::Newest), NOW);
        assert_eq!(track.saw(events(10, 12, Coverage::Newest), NOW), None, "they overlap");
        assert_eq!(track.saw(events(40, 42, Coverage::Whole), NOW), None, "these are all");
        assert_eq!(track.saw(events(300, 302, Coverage::Newest), NOW), Some(span("q42", "q300")));
        let (slices, holes, closed) = fill(&mut track, 100..102);
        assert_eq!((slices, holes), (vec![2, 0, 0], vec![]), "nobody knows how many there should be");
        assert_eq!(closed, Closed { span: span("q42", "q300"), rows: 2, reason: None });
    }

    #[test]
    fn a_gap_is_filled_in_slices_each_row_once() {
        let mut track = Track::default();
        track.saw(seen(0, 3), NOW);
        assert!(track.saw(seen(300, 303), NOW).is_some());
        let (slices, holes, closed) = fill(&mut track, 0..304);
        assert_eq!((slices, holes), (vec![96, 96, 96, 8], vec![]));
        assert_eq!(closed, Closed { span: span("q3", "q300"), rows: 296, reason: None });
        assert!(!track.has_gap());
    }

    /// In the night in which the clock shows 02:00 to 03:00 twice, around any quarters before and after, and wherever slices end.
    #[test]
    fn the_hour_that_daylight_saving_repeats_is_filled_too() {
        // Quarters from midnight in UTC; the clock is ahead by two hours up to 01:00 UTC, then by one.
        let row = |quarter: i64| {
            let ahead = if quarter < 4 { 8 } else { 4 };
            let at = RowPoint { local_ms: (quarter + ahead) * QUARTER, utc_ms: Some(quarter * QUARTER) };
            RowTime { text: format!("q{quarter}"), at }
        };
        for (before, after) in
            (-100..12).flat_map(|before| (before + 2..14).map(move |after| (before, after)))
        {
            let mut track = Track::default();
            for quarter in [before, after] {
                track.saw(Seen { first: row(quarter), last: row(quarter), ..seen(0, 0) }, NOW);
            }
            let mut found = Vec::new();
            let closed = loop {
                let slice = track.next_slice(Access::ByRange).expect("a gap");
                let (from, to) = slice.bounds().expect("a calendar");
                let range = from.local.local_millis()..=to.local.local_millis();
                let selected = (-200..50)
                    .map(row)
                    .filter(|row| range.contains(&Some(row.at.local_ms)) && track.fills(slice, row));
                let rows: Vec<RowTime> = selected.collect();
                let filled = track.filled(slice, &rows, track.capture_period);
                found.extend(rows.into_iter().map(|row| row.text));
                if let Some(closed) = filled.closed {
                    break closed;
                }
            };
            let missing: Vec<String> = (before + 1..after).map(|quarter| row(quarter).text).collect();
            assert_eq!(found, missing, "{before} to {after}");
            assert_eq!(closed.reason, None, "{before} to {after}");
        }
    }

    #[test]
    fn rows_that_the_meter_does_not_have_any_more_are_told() {
        let mut track = Track::default();
        track.saw(seen(0, 3), NOW);
        track.saw(seen(300, 303), NOW);
        let (slices, holes, closed) = fill(&mut track, 250..304);
        assert_eq!(slices, [0, 42, 8], "twice as far after an empty slice");
        let [hole] = holes.try_into().expect("one");
        assert_eq!((hole.from.as_str(), hole.to.as_str(), hole.reason.as_str()), ("q3", "q250", NOT_KEPT));
        assert_eq!((closed.rows, closed.reason.as_deref()), (50, Some(NOT_KEPT)));
    }

    #[test]
    fn years_without_rows_take_few_exchanges() {
        let mut track = Track::default();
        track.saw(seen(0, 3), NOW);
        track.saw(seen(1_000_000, 1_000_003), NOW);
        let (slices, holes, closed) = fill(&mut track, 999_990..1_000_003);
        assert!(slices.len() < 20, "{slices:?}");
        assert_eq!((holes.len(), closed.rows), (1, 10));
    }

    #[test]
    fn a_meter_that_selects_nothing_is_read_once_for_a_gap() {
        let mut track = Track::default();
        track.saw(seen(0, 3), NOW);
        track.saw(seen(300, 303), NOW);
        let slice = track.next_slice(Access::Whole).expect("a gap");
        assert_eq!(slice, Slice { from: row(3).at, to: row(300).at });
        let rows: Vec<RowTime> = (4..300).map(row).collect();
        assert_eq!(track.filled(slice, &rows, track.capture_period).closed.expect("closed").rows, 296);
    }

    #[test]
    fn another_capture_period_leaves_no_holes() {
        let mut track = Track::default();
        track.saw(seen(0, 0), NOW);
        assert!(track.saw(seen(4, 4), NOW).is_some(), "for all that is known");
        let slice = track.next_slice(Access::ByRange).expect("a gap");
        let filled = track.filled(slice, &[], 3600);
        assert_eq!(filled.holes, []);
        assert_eq!(filled.closed, Some(Closed { span: span("q0", "q4"), rows: 0, reason: None }));
    }

    #[test]
    fn rows_chosen_by_another_meters_position_leave_none() {
        let chosen = |meter: &str, at: i64| {
            let meter = Some(meter.to_owned());
            Seen { meter, selection: Selection::AfterLast, ..seen(at, at) }
        };
        let mut track = Track::default();
        track.saw(chosen("LGZ1", 10), NOW);
        assert_eq!(track.goes_on_after(NOW), Some(row(10).at));
        track.saw(chosen("LGZ2", 11), NOW);
        assert_eq!(track.goes_on_after(NOW), None, "of this one all is read");
        track.saw(Seen { first: row(3), ..chosen("LGZ2", 12) }, NOW);
        assert_eq!(track.goes_on_after(NOW), Some(row(12).at));
    }

    #[test]
    fn a_gap_that_is_not_to_be_filled_is_let_go() {
        let mut track = Track::default();
        track.saw(seen(0, 3), NOW);
        track.saw(seen(300, 303), NOW);
        assert_eq!(track.saw(Seen { backfill: false, ..seen(600, 603) }, NOW), None);
        assert_eq!((track.has_gap(), track.goes_on_after(NOW)), (false, Some(row(603).at)));
    }

    #[test]
    fn gaps_without_end_are_joined() {
        let mut track = Track::default();
        for poll in 0..40 {
            track.saw(seen(poll * 10, poll * 10), NOW);
        }
        assert_eq!(track.gaps.len(), MAX_GAPS);
        let mut closed = Vec::new();
        while track.has_gap() {
            closed.push(fill(&mut track, 0..400).2.span);
        }
        assert_eq!((closed[0].from.as_str(), closed[MAX_GAPS - 1].to.as_str()), ("q0", "q390"));
        let follows = closed.windows(2).all(|pair| pair[0].to == pair[1].from);
        assert!(follows, "nothing between them: {closed:?}");
    }
}
