//! Tells subscribers of troubles that only counters and states show: skipped ticks, and another gateway with our
//! client id.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hub::Hub;
use super::outlet::Event;
use super::reading::json::Json;
use super::reading::status::Severity;
use crate::cosem::decimal::Decimal;
use crate::error::{Code, Report};

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(1);

/// While a trouble lasts, the pause between two events of it. The counts are in the health.
const REPEAT: Duration = Duration::from_secs(600);

/// Watches until it is aborted.
pub(super) async fn run(hub: Arc<Hub>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut skipped = SkippedTicks::default();
    let mut conflict: Option<Instant> = None;
    loop {
        ticks.tick().await;
        let now = Instant::now();
        for link in hub.links.healths() {
            if let Some(skipped) = skipped.untold(link.name(), link.sample().polls.skipped, now) {
                let number = Decimal::from(i64::try_from(skipped).unwrap_or(i64::MAX));
                tell(&hub, "ticks_skipped", Some(link.name()), None, "skipped", Json::Number(number)).await;
            }
        }
        let error = hub.publisher.mqtt_state().borrow().last_error.clone();
        let Some(Report { code: code @ Code::MqttClientIdConflict, message, .. }) = error else { continue };
        if conflict.is_none_or(|told| now.duration_since(told) >= REPEAT) {
            conflict = Some(now);
            tell(&hub, "client_id_conflict", None, Some(code), "reason", Json::Text(message)).await;
        }
    }
}

/// Skipped ticks of each connection: how many have been told of, and when.
#[derive(Debug, Default)]
struct SkippedTicks(HashMap<String, (u64, Option<Instant>)>);

impl SkippedTicks {
    /// How many are to be told of now; `skipped` counts all of a connection since its link started.
    fn untold(&mut self, connection: &str, skipped: u64, now: Instant) -> Option<u64> {
        let (known, told) = self.0.entry(connection.to_owned()).or_default();
        if skipped < *known {
            // A link that was made anew counts from zero.
            *known = 0;
        }
        if skipped == *known || told.is_some_and(|told| now.duration_since(told) < REPEAT) {
            return None;
        }
        let new = skipped - *known;
        (*known, *told) = (skipped, Some(now));
        Some(new)
    }
}

async fn tell(hub: &Hub, kind: &str, connection: Option<&str>, code: Option<Code>, key: &str, value: Json) {
    let data = Json::Object(vec![(key.to_owned().into(), value)]);
    let event = Event { kind, severity: Severity::Warning, device: None, connection, code, data: &data };
    hub.current().outlet.event(event).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_ticks_are_told_at_once_and_then_summed_up() {
        let mut ticks = SkippedTicks::default();
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(ticks.untold("a", 0, now), None);
        assert_eq!(ticks.untold("a", 3, later(1)), Some(3));
        assert_eq!(ticks.untold("a", 9, later(2)), None, "told a moment ago");
        assert_eq!(ticks.untold("b", 1, later(2)), Some(1), "another connection");
        assert_eq!(ticks.untold("a", 9, later(601)), Some(6));
        assert_eq!(ticks.untold("a", 9, later(2000)), None, "nothing new");
        assert_eq!(ticks.untold("a", 2, later(3000)), Some(2), "counted from zero");
    }
}
