//! What watches while the bridge runs: the file for changes, and a change on trial for its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;

use super::unconfirmed::{ConfirmedBy, Unconfirmed};
use super::{BrokerSwitch, REACH_TIME, Rejected, SharedKeeper};
use crate::bridge::publisher::MqttState;

/// How often the file is looked at.
const FILE_INTERVAL: Duration = Duration::from_secs(2);

/// A trial with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Armed {
    until: Instant,
    broker: Option<BrokerTrial>,
}

/// Another broker on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BrokerTrial {
    /// A connection counts from here on.
    ordered: Timestamp,
    reach_by: Instant,
    confirmed_by: ConfirmedBy,
}

impl Armed {
    /// A trial that begins. If its broker is another, the publisher is still to be told.
    pub(super) fn new(unconfirmed: &Unconfirmed) -> Self {
        Self { until: instant(unconfirmed.until), broker: None }
    }

    /// A trial that goes on after a restart: any connection is one under the configuration on trial.
    pub(super) fn resumed(unconfirmed: &Unconfirmed) -> Self {
        match unconfirmed.confirmed_by {
            ConfirmedBy::Connection => Self::with_broker(unconfirmed, Timestamp::UNIX_EPOCH),
            ConfirmedBy::Request => Self::new(unconfirmed),
        }
    }

    /// A trial whose broker was just told to the publisher.
    pub(super) fn with_broker(unconfirmed: &Unconfirmed, ordered: Timestamp) -> Self {
        let until = instant(unconfirmed.until);
        let reach_by = until.min(Instant::now() + REACH_TIME);
        let confirmed_by = unconfirmed.confirmed_by;
        Self { until, broker: Some(BrokerTrial { ordered, reach_by, confirmed_by }) }
    }
}

/// The moment of a wall clock time. A clock that is set meanwhile does not move it.
fn instant(time: Timestamp) -> Instant {
    let left = time.as_millisecond().saturating_sub(Timestamp::now().as_millisecond());
    Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

enum Ended {
    NotConfirmed,
    NotReached,
    Reached(ConfirmedBy),
}

/// Ends trials. Runs for ever.
pub async fn guard(keeper: SharedKeeper) {
    let (mut armed, mut mqtt) = {
        let keeper = keeper.lock().await;
        (keeper.armed.subscribe(), keeper.hub.publisher.mqtt_state())
    };
    let mut reached = None;
    loop {
        let Some(trial) = *armed.borrow_and_update() else {
            if armed.changed().await.is_err() {
                return;
            }
            continue;
        };
        let broker = trial.broker.filter(|_| reached != Some(trial));
        let ended = tokio::select! {
            changed = armed.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = sleep_until(trial.until.into()) => Ended::NotConfirmed,
            ended = reach(broker, &mut mqtt) => ended,
        };
        let mut keeper = keeper.lock().await;
        // Somebody may have been faster.
        if *armed.borrow() != Some(trial) {
            continue;
        }
        let why = match ended {
            Ended::NotConfirmed => "it was not confirmed in time",
            Ended::NotReached => "its broker cannot be reached",
            Ended::Reached(ConfirmedBy::Connection) => {
                keeper.confirmed();
                continue;
            }
            Ended::Reached(ConfirmedBy::Request) => {
                reached = Some(trial);
                continue;
            }
        };
        if let Err(rejected) = keeper.revert(why, BrokerSwitch::Now).await {
            tracing::error!(?rejected, "the former configuration cannot be brought back");
            // Once more in a while: a full disk may be emptied.
            drop(keeper);
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    }
}

async fn reach(broker: Option<BrokerTrial>, mqtt: &mut watch::Receiver<MqttState>) -> Ended {
    let Some(broker) = broker else { return std::future::pending().await };
    let stands =
        async { mqtt.wait_for(|state| state.connected && state.since >= broker.ordered).await.map(drop) };
    match tokio::time::timeout_at(broker.reach_by.into(), stands).await {
        Ok(Ok(())) => Ended::Reached(broker.confirmed_by),
        Ok(Err(_)) => std::future::pending().await,
        Err(_) => Ended::NotReached,
    }
}

/// Takes over the file when it has changed, and when `asked` says so. Runs for ever.
pub async fn watch_file(keeper: SharedKeeper, asked: Arc<Notify>) {
    let mut ticks = tokio::time::interval(FILE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let mut keeper = keeper.lock().await;
                let Some(file) = &mut keeper.file else { continue };
                if file.has_settled_change() {
                    keeper.reload_file().await;
                }
            }
            () = asked.notified() => keeper.lock().await.reload_file().await,
        }
    }
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Report(report) => report.fmt(f),
            Self::Problems(problems) => match problems.first() {
                Some(problem) => problem.fmt(f),
                None => f.write_str("the configuration is not valid"),
            },
        }
    }
}
