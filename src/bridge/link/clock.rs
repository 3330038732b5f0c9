//! The meter's clock beside ours: when it was read, how far it is off, and when subscribers are told so.

use std::time::Duration;

use jiff::Timestamp;

use super::actor::LinkActor;
use super::station::Station;
use crate::bridge::outlet::Event;
use crate::bridge::reading::json::Json;
use crate::bridge::reading::status::Severity;
use crate::bridge::time::rfc3339;
use crate::cosem::decimal::Decimal;
use crate::wire::date_time::DateTime;

/// A reading of the meter's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockReading {
    /// What it showed.
    pub time: DateTime,
    /// Our time in the middle between request and answer.
    pub read_at: Timestamp,
}

/// When the exchanges of a reading of attributes were.
#[derive(Clone, Debug, Default)]
pub struct ExchangeTimes(Vec<(usize, Timestamp)>);

impl ExchangeTimes {
    /// Takes note of an exchange that begins now, or of the end of the last one, after so many answers.
    pub fn begin(&mut self, answers: usize) {
        self.0.push((answers, Timestamp::now()));
    }

    /// The middle of the exchange that brought an answer, counted from 0.
    #[must_use]
    pub fn middle(&self, answer: usize) -> Option<Timestamp> {
        let next = self.0.partition_point(|&(answers, _)| answers <= answer);
        let (_, begun) = self.0.get(next.checked_sub(1)?)?;
        let (_, ended) = self.0.get(next)?;
        let half = (ended.as_millisecond() - begun.as_millisecond()) / 2;
        Timestamp::from_millisecond(begun.as_millisecond() + half).ok()
    }
}

/// Whether the meter's clock is off by more than it may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockDrift {
    is_beyond: bool,
    /// A turn that nobody was told of yet.
    turn: Option<DriftTurn>,
}

/// The clock has left its limit, or come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriftTurn {
    /// Where it is now.
    pub side: Side,
    /// Milliseconds that the meter is ahead.
    pub offset_ms: i64,
    /// The limit.
    pub limit: Duration,
    /// When that was measured.
    pub measured_at: Timestamp,
}

/// On which side of its limit a clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Off by more.
    Beyond,
    /// Near enough.
    Within,
}

impl ClockDrift {
    /// Takes note of a measurement. A clock beyond its limit is within it again at half of that, so that one that hovers
    /// there is told of once.
    pub fn measured(&mut self, offset_ms: i64, limit: Option<Duration>, measured_at: Timestamp) {
        let Some(limit) = limit else {
            *self = Self::default();
            return;
        };
        let off = Duration::from_millis(offset_ms.unsigned_abs());
        let is_beyond = if self.is_beyond { off > limit / 2 } else { off > limit };
        if is_beyond != self.is_beyond {
            self.is_beyond = is_beyond;
            let side = if is_beyond { Side::Beyond } else { Side::Within };
            self.turn = Some(DriftTurn { side, offset_ms, limit, measured_at });
        }
    }

    /// A turn that nobody was told of, once.
    pub const fn take_turn(&mut self) -> Option<DriftTurn> {
        self.turn.take()
    }
}

impl LinkActor {
    /// Tells of a clock that has left its limit, or come back.
    pub(super) async fn say_clock_drift(&mut self, index: usize) {
        let Some(station) = self.stations.get_mut(index) else { return };
        let Some(turn) = station.drift.take_turn() else { return };
        // The status has the offset too, and would say it a minute later.
        station.forget_said();
        let Station { device, .. } = station;
        let millis = |ms: i64| Json::Number(Decimal::from(ms).scaled(-3));
        let limit = i64::try_from(turn.limit.as_millis()).unwrap_or(i64::MAX);
        let (state, severity) = match turn.side {
            Side::Beyond => ("beyond", Severity::Warning),
            Side::Within => ("within", Severity::Info),
        };
        tracing::info!(device = %device.name, offset_ms = turn.offset_ms, limit_ms = limit, state, "the meter's clock");
        let data = Json::Object(vec![
            ("state".into(), Json::Text(state.to_owned())),
            ("offset_s".into(), millis(turn.offset_ms)),
            ("limit_s".into(), millis(limit)),
            ("measured_at".into(), Json::Text(rfc3339(turn.measured_at))),
        ]);
        let event = Event::of_device("clock_drift", severity, device.name.as_str(), &data);
        self.outlet.event(event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

    fn turns(drift: &mut ClockDrift, offsets: &[i64]) -> Vec<Option<Side>> {
        let turn = |&seconds: &i64| {
            drift.measured(seconds * 1000, LIMIT, Timestamp::UNIX_EPOCH);
            drift.take_turn().map(|turn| turn.side)
        };
        offsets.iter().map(turn).collect()
    }

    #[test]
    fn a_clock_is_told_of_when_it_leaves_its_limit_and_when_it_is_well_within() {
        let mut drift = ClockDrift::default();
        let told = turns(&mut drift, &[0, 60, 61, 59, 61, 31, -70, -30, 59, -61]);
        let (beyond, within) = (Some(Side::Beyond), Some(Side::Within));
        assert_eq!(told, [None, None, beyond, None, None, None, None, within, None, beyond]);
    }

    #[test]
    fn without_a_limit_nothing_is_told() {
        let mut drift = ClockDrift::default();
        turns(&mut drift, &[100]);
        drift.measured(500_000, None, Timestamp::UNIX_EPOCH);
        assert_eq!(drift.take_turn(), None);
        assert_eq!(turns(&mut drift, &[10, 100]), [None, Some(Side::Beyond)], "begun anew");
    }

    #[test]
    fn an_answer_is_of_the_exchange_that_brought_it() {
        let at = |ms: i64| Timestamp::from_millisecond(ms).expect("a time");
        let times = ExchangeTimes(vec![(0, at(1000)), (1, at(2000)), (4, at(2600))]);
        let middles: Vec<_> =
            (0..5).map(|answer| times.middle(answer).map(Timestamp::as_millisecond)).collect();
        assert_eq!(middles, [Some(1500), Some(2300), Some(2300), Some(2300), None]);
        assert_eq!(ExchangeTimes::default().middle(0), None);
    }
}
