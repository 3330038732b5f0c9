//! The life of the publisher: connection after connection, with the pauses and the choice of version between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::sleep;

use super::backoff::Backoff;
use super::connection::{self, End};
use super::fault::{Fault, FaultKind};
use super::settings::{Protocol, PublisherSettings, Version};
use super::{Core, Drain, Drained, Order};
use crate::error::{Code, Layer, Report};

/// A connection that ends sooner has not proven itself.
const RAPID: Duration = Duration::from_secs(5);

/// So many rapid ends in a row look like another client under our name.
const SUSPICIOUS: u32 = 3;

/// Runs until cancelled or drained, and leaves nothing in memory that belongs on disk.
pub(super) async fn run(core: Arc<Core>, settings: PublisherSettings) {
    live(Arc::clone(&core), settings).await;
    core.lanes().close(Instant::now());
}

async fn live(core: Arc<Core>, settings: PublisherSettings) {
    let mut life = Life::new(settings);
    let mut drain = None;
    loop {
        let version = life.versions.next();
        let attempt = connection::run(Arc::clone(&core), Arc::clone(&life.settings), version, drain.take());
        // In a task of its own: a panic in the library or in us costs this connection and no more.
        let (end, unfinished) = match tokio::spawn(attempt).await {
            Ok(end) => end,
            Err(error) => (End::Lost { fault: panicked(&error), stood: None }, None),
        };
        drain = unfinished;
        core.lanes().save(Instant::now());
        let pause = match end {
            End::Cancelled | End::Drained => return offline(&core, None),
            End::Reconfigured(settings) => {
                offline(&core, None);
                life = Life::new(*settings);
                continue;
            }
            End::Lost { fault, stood } => {
                let (report, pause) = life.after(fault, version, stood);
                offline(&core, Some(report));
                let Some(pause) = pause else { continue };
                if let Some(asked) =
                    drain.take_if(|drain| stood.is_none() || drain.deadline <= Instant::now())
                {
                    return give_up(&core, asked);
                }
                pause
            }
        };
        match wait(&core, pause).await {
            Waited::Enough => {}
            Waited::Cancelled => return,
            Waited::Ordered(Order::Drain(asked)) => drain = Some(asked),
            Waited::Ordered(Order::Reconfigure(settings)) => life = Life::new(*settings),
        }
    }
}

/// What is remembered from one connection to the next.
struct Life {
    settings: Arc<PublisherSettings>,
    versions: Versions,
    backoff: Backoff,
    rapid_ends: u32,
}

impl Life {
    fn new(settings: PublisherSettings) -> Self {
        Self {
            versions: Versions::new(settings.protocol),
            backoff: Backoff::new(settings.backoff),
            rapid_ends: 0,
            settings: Arc::new(settings),
        }
    }

    /// What to say of a lost connection, and how long to wait; `None`: try the other version at once.
    fn after(
        &mut self,
        mut fault: Fault,
        version: Version,
        stood: Option<Duration>,
    ) -> (Report, Option<Duration>) {
        match stood {
            None => {}
            Some(time) if time < RAPID => self.rapid_ends += 1,
            Some(_) => {
                self.rapid_ends = 0;
                self.backoff.reset();
            }
        }
        if fault.kind == FaultKind::Closed && self.rapid_ends >= SUSPICIOUS {
            fault = Fault::conflict("the broker keeps closing the connection soon after accepting it");
        }
        if self.versions.after(version, fault.kind, stood.is_some()) == Next::OtherVersionNow {
            tracing::info!("the broker seems not to know MQTT 5: trying 3.1.1");
            return (fault.report, None);
        }
        let unanswered = stood.is_none() && matches!(fault.kind, FaultKind::Closed | FaultKind::Unreadable);
        if unanswered && self.settings.protocol == Protocol::Only(Version::V5) {
            fault.report.hint = "the broker may know MQTT 3.1.1 alone: set mqtt.protocol to auto".into();
        }
        let pause = match fault.kind {
            FaultKind::TakenOver => self.backoff.long_pause(),
            FaultKind::UnsupportedVersion | FaultKind::Closed | FaultKind::Unreadable | FaultKind::Other => {
                self.backoff.pause()
            }
        };
        (fault.report, Some(pause))
    }
}

/// Which version to speak next.
#[derive(Debug)]
struct Versions {
    protocol: Protocol,
    /// With `auto`: what has worked with this broker.
    proven: Option<Version>,
    falling_back: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    OtherVersionNow,
    AfterPause,
}

impl Versions {
    fn new(protocol: Protocol) -> Self {
        Self { protocol, proven: None, falling_back: false }
    }

    fn next(&self) -> Version {
        match self.protocol {
            Protocol::Only(version) => version,
            Protocol::Auto if self.falling_back => Version::V311,
            Protocol::Auto => self.proven.unwrap_or(Version::V5),
        }
    }

    fn after(&mut self, tried: Version, kind: FaultKind, stood: bool) -> Next {
        if self.protocol != Protocol::Auto {
            return Next::AfterPause;
        }
        self.falling_back = false;
        if stood {
            self.proven = Some(tried);
            return Next::AfterPause;
        }
        let unknown_version = match kind {
            FaultKind::UnsupportedVersion => true,
            // A broker of 3.1.1 alone may close, or answer in a form that MQTT 5 cannot read.
            FaultKind::Closed | FaultKind::Unreadable => self.proven.is_none(),
            FaultKind::TakenOver | FaultKind::Other => false,
        };
        if tried == Version::V5 && unknown_version {
            self.falling_back = true;
            return Next::OtherVersionNow;
        }
        Next::AfterPause
    }
}

enum Waited {
    Enough,
    Cancelled,
    Ordered(Order),
}

/// Waits, and meanwhile makes durable what is appended.
async fn wait(core: &Core, pause: Duration) -> Waited {
    let mut orders = core.orders.lock().await;
    let enough = sleep(pause);
    tokio::select! {
        () = core.cancel.cancelled() => Waited::Cancelled,
        () = enough => Waited::Enough,
        order = orders.recv() => order.map_or(Waited::Cancelled, Waited::Ordered),
        never = core.keep_committing() => match never {},
    }
}

fn offline(core: &Core, error: Option<Report>) {
    core.state.send_modify(|state| {
        if let Some(report) = &error {
            let known = state.last_error.as_ref().is_some_and(|last| last.code == report.code);
            if known && !state.connected {
                tracing::debug!(code = %report.code, "{}", report.message);
            } else {
                tracing::warn!(code = %report.code, hint = %report.hint, "{}", report.message);
            }
        }
        if state.connected {
            state.connected = false;
            state.since = Timestamp::now();
        }
        if error.is_some() {
            state.last_error = error;
        }
    });
}

fn give_up(core: &Core, drain: Drain) {
    let left = core.lanes().outbox().depth(Instant::now()).messages;
    let _ = drain.done.send(Drained { left, said_offline: false });
}

fn panicked(error: &tokio::task::JoinError) -> Fault {
    tracing::error!(%error, "the MQTT connection panicked; it is set up again");
    Fault::other(Report::new(
        Code::Internal,
        Layer::Mqtt,
        "the MQTT connection ended by a fault of the gateway",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_falls_back_once_and_remembers_what_worked() {
        let mut versions = Versions::new(Protocol::Auto);
        assert_eq!(versions.next(), Version::V5);
        assert_eq!(versions.after(Version::V5, FaultKind::Closed, false), Next::OtherVersionNow);
        assert_eq!(versions.next(), Version::V311);
        // 3.1.1 fails as well: the broker may just be starting, so all begins anew.
        assert_eq!(versions.after(Version::V311, FaultKind::Closed, false), Next::AfterPause);
        assert_eq!(versions.next(), Version::V5);
        assert_eq!(versions.after(Version::V5, FaultKind::Unreadable, false), Next::OtherVersionNow);
        assert_eq!(versions.after(Version::V311, FaultKind::Closed, true), Next::AfterPause);
        assert_eq!(versions.next(), Version::V311);
        assert_eq!(versions.after(Version::V311, FaultKind::Other, false), Next::AfterPause);
        assert_eq!(versions.next(), Version::V311);
    }

    #[test]
    fn auto_stays_with_5_when_it_worked_or_when_the_version_is_not_at_fault() {
        let mut versions = Versions::new(Protocol::Auto);
        assert_eq!(versions.after(Version::V5, FaultKind::Other, false), Next::AfterPause);
        assert_eq!(versions.next(), Version::V5);
        assert_eq!(versions.after(Version::V5, FaultKind::Closed, true), Next::AfterPause);
        assert_eq!(versions.after(Version::V5, FaultKind::Closed, false), Next::AfterPause);
        assert_eq!(versions.next(), Version::V5);
        // The broker was replaced by an old one, and says so.
        assert_eq!(versions.after(Version::V5, FaultKind::UnsupportedVersion, false), Next::OtherVersionNow);
        assert_eq!(versions.next(), Version::V311);
    }

    #[test]
    fn a_named_version_never_falls_back() {
        for version in [Version::V5, Version::V311] {
            let mut versions = Versions::new(Protocol::Only(version));
            for kind in [FaultKind::UnsupportedVersion, FaultKind::Closed, FaultKind::Unreadable] {
                assert_eq!(versions.after(version, kind, false), Next::AfterPause);
                assert_eq!(versions.next(), version);
            }
        }
    }
}
