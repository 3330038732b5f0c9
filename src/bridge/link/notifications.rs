//! What meters say unasked becomes events, in bounds: one that never stops must not push the others' readings out.

use std::time::{Duration, Instant};

use super::actor::LinkActor;
use super::station::Station;
use crate::bridge::outlet::Event;
use crate::bridge::reading::json::Json;
use crate::bridge::reading::status::Severity;

/// Notifications of a meter that are published at once; then one each period.
const AT_ONCE: u32 = 100;
const PERIOD: Duration = Duration::from_millis(100);

/// How many notifications of a meter are still published.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    since: Instant,
    is_flooded: bool,
}

/// What becomes of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is published.
    Published,
    /// It is dropped, the first one since the meter went over its allowance.
    DroppedFirst,
    /// It is dropped.
    Dropped,
}

impl Allowance {
    /// A full allowance.
    #[must_use]
    pub(super) const fn new(now: Instant) -> Self {
        Self { left: AT_ONCE, since: now, is_flooded: false }
    }

    /// Decides about one notification.
    pub(super) fn take(&mut self, now: Instant) -> Fate {
        let periods = now.saturating_duration_since(self.since).as_millis() / PERIOD.as_millis();
        let earned = u32::try_from(periods).unwrap_or(u32::MAX);
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(AT_ONCE);
            self.since = now;
        }
        if self.left == AT_ONCE {
            self.is_flooded = false;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Fate::Published
            }
            None if self.is_flooded => Fate::Dropped,
            None => {
                self.is_flooded = true;
                Fate::DroppedFirst
            }
        }
    }
}

impl LinkActor {
    /// Publishes what a meter has said while something else was waited for.
    pub(super) async fn hand_on_kept(&mut self, index: usize) {
        let Some(Station { meter: Ok(meter), .. }) = self.stations.get_mut(index) else { return };
        let notifications = meter.take_notifications();
        self.hand_on(index, notifications).await;
    }

    /// Publishes notifications of a meter as its events.
    pub(super) async fn hand_on(&mut self, index: usize, notifications: Vec<Vec<u8>>) {
        let Some(station) = self.stations.get_mut(index) else { return };
        let device = station.device.name.as_str();
        for apdu in notifications {
            let (kind, severity, name, text) = match station.notifications.take(Instant::now()) {
                Fate::Published => {
                    let hex = apdu.iter().map(|byte| format!("{byte:02x}")).collect();
                    ("notification", Severity::Info, "apdu", hex)
                }
                Fate::DroppedFirst => {
                    tracing::warn!(device, "the meter sends notifications without end: some are dropped");
                    let text = format!("over {AT_ONCE} notifications in a row: some are dropped");
                    ("error", Severity::Warning, "message", text)
                }
                Fate::Dropped => continue,
            };
            let data = Json::Object(vec![(name.into(), Json::Text(text))]);
            let event = Event::of_device(kind, severity, device, &data);
            self.outlet.event(event).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_of_once_and_thinned_out() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        assert!((0..AT_ONCE).all(|_| allowance.take(start) == Fate::Published));
        assert_eq!(allowance.take(start), Fate::DroppedFirst);
        let fates: Vec<Fate> =
            (1..=1000).map(|ms| allowance.take(start + Duration::from_millis(ms))).collect();
        assert_eq!(fates.iter().filter(|&&fate| fate == Fate::Published).count(), 10, "one each period");
        assert!(!fates.contains(&Fate::DroppedFirst));
    }

    #[test]
    fn a_meter_that_was_quiet_has_its_whole_allowance_again() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let published = (0..200).filter(|_| allowance.take(start) == Fate::Published).count();
        assert_eq!(published, AT_ONCE as usize);
        let later = start + Duration::from_secs(60);
        assert!((0..AT_ONCE).all(|_| allowance.take(later) == Fate::Published));
        assert_eq!(allowance.take(later), Fate::DroppedFirst, "a new flood");
    }
}
