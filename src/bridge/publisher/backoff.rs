//! How long to wait before the next attempt to connect.

use std::time::Duration;

use super::settings::BackoffSettings;

/// Doubles from the first pause to the longest.
#[derive(Debug)]
pub(super) struct Backoff {
    settings: BackoffSettings,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(settings: BackoffSettings) -> Self {
        Self { settings, next: settings.first }
    }

    pub(super) fn reset(&mut self) {
        self.next = self.settings.first;
    }

    /// The next pause: between half and all of the doubled time, so that a fleet does not return at once.
    pub(super) fn pause(&mut self) -> Duration {
        let whole = self.next.min(self.settings.longest);
        self.next = whole.saturating_mul(2);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// A pause for when hurry does harm: two gateways that fight for one name.
    pub(super) fn long_pause(&mut self) -> Duration {
        self.next = self.next.max(self.settings.longest / 4);
        self.pause()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_success() {
        let settings = BackoffSettings { first: Duration::from_secs(1), longest: Duration::from_secs(8) };
        let mut backoff = Backoff::new(settings);
        for whole in [1, 2, 4, 8, 8, 8] {
            let (whole, pause) = (Duration::from_secs(whole), backoff.pause());
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_secs(1));
        backoff.reset();
        assert!(backoff.long_pause() >= Duration::from_secs(1));
    }
}
