//! Tells subscribers when the outbox loses messages, and when its disk does not take them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hub::Hub;
use super::outlet::Event;
use super::reading::json::Json;
use super::reading::status::Severity;
use crate::cosem::decimal::Decimal;
use crate::error::Code;

/// How often the store is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// While messages keep being lost, the pause between two events of it. Each event takes the place of a message; the
/// count is in the health.
const REPEAT: Duration = Duration::from_secs(3600);

/// Watches until it is aborted.
pub(super) async fn run(hub: Arc<Hub>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut degraded = None;
    let mut damaged = 0;
    let mut dropped = 0;
    let mut told: Option<Instant> = None;
    loop {
        ticks.tick().await;
        let stats = hub.publisher.stats();
        let fault = stats.store.degraded;
        if let Some(fault) = fault.filter(|_| degraded.is_none()) {
            tell(&hub, "store_degraded", fault.code(), "reason", Json::Text(fault.to_string())).await;
        }
        degraded = fault;
        if stats.store.damaged > damaged {
            damaged = stats.store.damaged;
            let reason = "a part of the outbox was damaged: it is set aside, its messages are lost";
            tell(&hub, "store_degraded", Code::StoreDamaged, "reason", Json::Text(reason.to_owned())).await;
        }
        if stats.dropped > dropped && told.is_none_or(|told| told.elapsed() >= REPEAT) {
            let lost = Decimal::from(i64::try_from(stats.dropped - dropped).unwrap_or(i64::MAX));
            tell(&hub, "outbox_dropped", Code::StoreFull, "dropped", Json::Number(lost)).await;
            told = Some(Instant::now());
            // The event itself may have cost a message, which is not worth another event.
            dropped = hub.publisher.stats().dropped;
        }
    }
}

async fn tell(hub: &Hub, kind: &str, code: Code, key: &str, value: Json) {
    let data = Json::Object(vec![(key.to_owned().into(), value)]);
    let severity = Severity::Error;
    let event = Event { kind, severity, device: None, connection: None, code: Some(code), data: &data };
    hub.current().outlet.event(event).await;
}
