//! How long to leave a link or a meter alone after failures, and when to stop for fear of a lock-out.

use std::time::{Duration, Instant};

use crate::error::{Code, Layer, Report};

/// A pause that doubles with each failure in a row, with jitter.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// For a link: open and I/O errors.
    #[must_use]
    pub const fn link() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(60))
    }

    /// For a meter: time-outs and refusals.
    #[must_use]
    pub const fn meter() -> Self {
        Self::new(Duration::from_secs(2), Duration::from_secs(300))
    }

    /// For a meter that refuses our password or keys: meters lock after a few wrong ones.
    #[must_use]
    pub const fn lock_out() -> Self {
        Self::new(Duration::from_secs(60), Duration::from_secs(3600))
    }

    /// For the back-fill of a meter's profiles: there is time.
    #[must_use]
    pub const fn back_fill() -> Self {
        Self::new(Duration::from_secs(60), Duration::from_secs(3600))
    }

    const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0, until: None }
    }

    /// Counts a failure. `random` in 0..1 spreads the pause over ±20 %.
    pub fn failed(&mut self, now: Instant, random: f64) {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let pause = self.first.saturating_mul(1 << doublings).min(self.longest);
        self.until = Some(now + pause.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0)));
    }

    /// Starts afresh.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.until = None;
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// The end of the pause, while it lasts.
    #[must_use]
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|&until| until > now)
    }
}

/// Refusals of our credentials in a row after which a meter is left alone until a person acts.
pub const MAX_REFUSALS: u32 = 5;

/// Why a meter is not tried once more.
#[must_use]
pub fn too_many_refusals() -> Report {
    let message =
        format!("the meter has refused us {MAX_REFUSALS} times within an hour: no more, or it may lock");
    Report::new(Code::NotAllowed, Layer::Control, message)
        .with_hint("wait an hour, and make sure of password and keys meanwhile")
}

/// Whether a failure is a refusal of our credentials: such attempts are counted by the meter.
#[must_use]
pub fn is_refusal(code: Code, dlms: Option<i64>) -> bool {
    match code {
        // acse-service-user diagnostics: mechanism not recognised, mechanism required, authentication failure.
        Code::AareRejected => matches!(dlms, Some(11..=13)),
        Code::AuthHls | Code::CipherTag | Code::CipherIc | Code::CipherSystemTitle | Code::CipherKey => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_ends_with_success() {
        let now = Instant::now();
        let mut backoff = Backoff::link();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            backoff.failed(now, 0.5);
            pauses.push((backoff.until(now).unwrap() - now).as_secs_f64().round());
        }
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        backoff.succeeded();
        assert_eq!((backoff.until(now), backoff.failures()), (None, 0));
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let now = Instant::now();
        for (random, seconds) in [(0.0, 0.8), (1.0, 1.2)] {
            let mut backoff = Backoff::link();
            backoff.failed(now, random);
            assert!(((backoff.until(now).unwrap() - now).as_secs_f64() - seconds).abs() < 1e-6);
        }
    }

    #[test]
    fn only_refusals_of_credentials_count_towards_a_lock_out() {
        assert!(is_refusal(Code::AareRejected, Some(13)));
        assert!(!is_refusal(Code::AareRejected, Some(2)), "wrong application context");
        assert!(is_refusal(Code::CipherTag, None));
        assert!(!is_refusal(Code::Timeout, None));
    }
}
