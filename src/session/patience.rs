//! How long an operation may keep the link: time beyond the ordinary has to be paid for with octets.
//!
//! Every part of an answer, every "not ready" and every push extends the time for the rest. A meter that knows that, or
//! that is broken in the right way, would otherwise keep the link of its neighbours for as long as it likes.

use std::time::{Duration, Instant};

/// What each octet of an answer pays for: 16 octets a second are slower than any modem or power line mesh.
const PER_OCTET: Duration = Duration::from_micros(62_500);

/// The same of links whose operator waits longer for an answer: silence that is waited for, over this many octets. So
/// the usual 20 seconds come to 16 octets a second too.
const OCTETS_OF_SILENCE: u32 = 320;

/// What a meter may take beyond that: to think, to be busy, to push.
const SPARE: Duration = Duration::from_secs(120);

/// What is taken from the spare time comes back this many times more slowly.
const REGROWTH: u32 = 8;

/// How long one operation may take whatever it brings: a day's profile over 300 baud takes half of it.
const LONGEST: Duration = Duration::from_secs(3600);

/// The ordinary pace of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// How long the link waits in silence before it fails, repetitions included.
    pub(super) silence: Duration,
    /// How long one octet takes on the line.
    pub(super) octet_time: Duration,
}

/// The time account of one meter.
#[derive(Debug)]
pub(super) struct Patience {
    spare: Duration,
    settled: Option<Instant>,
    under_way: Option<UnderWay>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    begun: Instant,
    pace: Pace,
    /// What the link had brought by then.
    brought: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { spare: SPARE, settled: None, under_way: None }
    }
}

impl Patience {
    /// An operation begins. `brought`: octets of answers on this link so far.
    pub(super) fn begin(&mut self, now: Instant, pace: Pace, brought: u64) {
        self.end(now, brought);
        let rested = self.settled.map_or(Duration::ZERO, |settled| now.saturating_duration_since(settled));
        let regrown = rested.checked_div(REGROWTH).unwrap_or_default();
        self.spare = self.spare.saturating_add(regrown).min(SPARE);
        self.under_way = Some(UnderWay { begun: now, pace, brought });
    }

    /// The operation ends.
    pub(super) fn end(&mut self, now: Instant, brought: u64) {
        let Some(under_way) = self.under_way.take() else { return };
        let taken = now.saturating_duration_since(under_way.begun);
        self.spare = self.spare.saturating_sub(taken.saturating_sub(under_way.earned(brought)));
        self.settled = Some(now);
    }

    /// Whether the operation takes longer than what it brought is worth.
    pub(super) fn is_exhausted(&self, now: Instant, brought: u64) -> bool {
        self.under_way.is_some_and(|under_way| {
            let taken = now.saturating_duration_since(under_way.begun);
            taken >= under_way.earned(brought).saturating_add(self.spare).min(LONGEST)
        })
    }
}

impl UnderWay {
    fn earned(&self, brought: u64) -> Duration {
        let octets = u32::try_from(brought.saturating_sub(self.brought)).unwrap_or(u32::MAX);
        let patient = self.pace.silence.checked_div(OCTETS_OF_SILENCE).unwrap_or_default();
        let each = PER_OCTET.max(patient).saturating_add(self.pace.octet_time.saturating_mul(2));
        self.pace.silence.saturating_add(each.saturating_mul(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { silence: Duration::from_secs(20), octet_time: Duration::ZERO };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn octets_buy_time_and_the_spare_time_is_shared_by_all_operations() {
        let start = Instant::now();
        let mut patience = Patience::default();
        assert!(!patience.is_exhausted(start + seconds(10_000), 0), "nothing is under way");
        patience.begin(start, PACE, 1000);
        assert!(!patience.is_exhausted(start + seconds(139), 1000));
        assert!(patience.is_exhausted(start + seconds(140), 1000));
        assert!(!patience.is_exhausted(start + seconds(239), 1000 + 1600), "100 seconds' worth came");
        assert!(patience.is_exhausted(start + seconds(3600), u64::MAX), "whatever it brings");
        patience.end(start + seconds(130), 1000);

        let next = start + seconds(130);
        patience.begin(next, PACE, 0);
        assert!(patience.is_exhausted(next + seconds(30), 0), "110 of 120 seconds are gone");
        patience.end(next + seconds(30), 0);
        let later = next + seconds(30 + 400);
        patience.begin(later, PACE, 0);
        assert!(!patience.is_exhausted(later + seconds(69), 0), "50 have come back");
        assert!(patience.is_exhausted(later + seconds(70), 0));
    }

    #[test]
    fn slow_lines_get_more_for_their_octets() {
        let start = Instant::now();
        let mut patience = Patience::default();
        patience.begin(start, Pace { octet_time: Duration::from_millis(33), ..PACE }, 0);
        // 20,000 octets at 300 baud take 11 minutes, and half as long again where they come in small blocks.
        assert!(!patience.is_exhausted(start + seconds(1000), 15_000));
    }

    #[test]
    fn meters_known_to_be_slow_get_more_for_their_octets() {
        let start = Instant::now();
        let is_given_up = |silence| {
            let mut patience = Patience::default();
            patience.begin(start, Pace { silence: seconds(silence), ..PACE }, 0);
            // 300 frames of 128 octets, one each 10 seconds.
            (1..=300).any(|frame| patience.is_exhausted(start + seconds(frame * 10), frame * 128))
        };
        assert!(is_given_up(20));
        assert!(!is_given_up(60));
    }
}
