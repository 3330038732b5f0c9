//! How often a caller may be tried with credentials before it is known: meters lock after a few wrong ones.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::bridge::backoff::{Backoff, MAX_REFUSALS, is_refusal, too_many_refusals};
use crate::bridge::link::station::locked_out;
use crate::error::Report;

/// Most kinds of callers that are remembered.
const MOST_CALLERS: usize = 256;

/// What callers have in common that may be one meter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Suspect {
    /// The first device with the credentials that are tried.
    pub(super) client: usize,
    /// What it told the public client; `None` where it told nothing, as any meter may.
    pub(super) told: Option<String>,
}

/// Refusals met while callers were asked who they are.
#[derive(Debug, Default)]
pub(super) struct Caution(Mutex<HashMap<Suspect, Refusals>>);

#[derive(Clone, Debug)]
struct Refusals {
    pause: Backoff,
    last: Report,
}

/// A trial that is under way.
#[derive(Debug)]
pub(super) struct Trial<'c> {
    caution: &'c Caution,
    suspect: Suspect,
    /// What was known before; it counts as refused until it is known to be something else.
    before: Option<Refusals>,
}

impl Caution {
    /// Whether such a caller may be tried now.
    ///
    /// # Errors
    /// The last refusal, while it forbids another trial.
    pub(super) fn begin(&self, suspect: Suspect, now: Instant) -> Result<Trial<'_>, Report> {
        let mut known = self.lock();
        let before = known.get(&suspect).cloned();
        let is_full = known.len() >= MOST_CALLERS;
        match known.get_mut(&suspect) {
            Some(Refusals { pause, last }) if pause.failures() >= MAX_REFUSALS => {
                return Err(locked_out(last));
            }
            Some(Refusals { pause, last }) if pause.until(now).is_some() => return Err(last.clone()),
            // Others that call meanwhile may be the same meter.
            Some(Refusals { pause, .. }) => pause.failed(now, fastrand::f64()),
            // Forgetting one of them would be worse than not recognising this one.
            None if is_full => return Err(too_many_refusals()),
            None => {}
        }
        Ok(Trial { caution: self, suspect, before })
    }

    /// Forgets what callers refused that may be the device which has this place.
    pub(super) fn forgive(&self, is_client: impl Fn(usize) -> bool) {
        self.lock().retain(|suspect, _| !is_client(suspect.client));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Suspect, Refusals>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trial<'_> {
    /// The caller accepted the credentials. Where callers do not tell who they are, that says nothing of the one that
    /// refused before.
    pub(super) fn accepted(self) {
        let mut known = self.caution.lock();
        match (&self.suspect.told, self.before) {
            (Some(_), _) => drop(known.remove(&self.suspect)),
            (None, Some(before)) => drop(known.insert(self.suspect, before)),
            (None, None) => {}
        }
    }

    /// The trial failed.
    pub(super) fn failed(self, report: &Report, now: Instant) {
        let mut known = self.caution.lock();
        if is_refusal(report.code, report.dlms) {
            let refusals = known.entry(self.suspect);
            let is_counted = self.before.is_some();
            let refusals =
                refusals.or_insert_with(|| Refusals { pause: Backoff::lock_out(), last: report.clone() });
            refusals.last = report.clone();
            if !is_counted {
                refusals.pause.failed(now, fastrand::f64());
            }
        } else if let Some(before) = self.before {
            known.insert(self.suspect, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{Code, Layer};

    fn suspect(told: Option<&str>) -> Suspect {
        Suspect { client: 0, told: told.map(str::to_owned) }
    }

    fn refusal() -> Report {
        Report::new(Code::AareRejected, Layer::Acse, "authentication failure").with_dlms(13)
    }

    #[test]
    fn refusals_end_in_silence_until_they_are_forgiven() {
        let caution = Caution::default();
        let mut now = Instant::now();
        for attempt in 1..=MAX_REFUSALS {
            let trial = caution.begin(suspect(None), now).unwrap();
            assert!(attempt == 1 || caution.begin(suspect(None), now).is_err(), "one at a time");
            trial.failed(&refusal(), now);
            let forbidden = caution.begin(suspect(None), now).unwrap_err();
            assert_eq!((forbidden.code, forbidden.dlms), (Code::AareRejected, Some(13)), "attempt {attempt}");
            caution.begin(suspect(Some("another")), now).unwrap().accepted();
            // Longer than any pause.
            now += Duration::from_secs(5_000);
        }
        let report = caution.begin(suspect(None), now).unwrap_err();
        assert!(report.message.starts_with("no more attempts"), "{report}");
        caution.forgive(|client| client == 0);
        assert!(caution.begin(suspect(None), now).is_ok());
    }

    #[test]
    fn the_good_will_of_one_meter_says_nothing_of_another() {
        let caution = Caution::default();
        let now = Instant::now();
        for told in [None, Some("logical device name LGZ1")] {
            caution.begin(suspect(told), now).unwrap().failed(&refusal(), now);
            let later = now + Duration::from_secs(100);
            caution.begin(suspect(told), later).unwrap().accepted();
            let trial = caution.begin(suspect(told), later).unwrap();
            assert_eq!(trial.before.is_some(), told.is_none(), "{told:?}");
        }
    }

    #[test]
    fn a_time_out_is_no_refusal() {
        let caution = Caution::default();
        let now = Instant::now();
        let timeout = Report::new(Code::Timeout, Layer::Wrapper, "no answer");
        for _ in 0..10 {
            caution.begin(suspect(None), now).unwrap().failed(&timeout, now);
        }
        assert!(caution.begin(suspect(None), now).unwrap().before.is_none());
    }
}
