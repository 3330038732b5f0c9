//! A device on its link as the bridge sees it: pauses after failures, availability, status, counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::clock::{ClockDrift, ClockReading};
use super::failure::Subject;
use super::meter::{Association, Meter};
use super::notifications::Allowance;
use super::visit::time_rules;
use crate::bridge::backfill::Track;
use crate::bridge::backoff::{Backoff, MAX_REFUSALS, is_refusal};
use crate::bridge::config::Name;
use crate::bridge::config::model::{Connection, Device, Value};
use crate::bridge::reading::meter_time::Certainty;
use crate::bridge::reading::snapshot::Outcome;
use crate::bridge::reading::status::{
    AssociationState, ClockStatus, DeviceState, DeviceStatus, LinkState, SecurityStatus,
};
use crate::bridge::time::is_plausible;
use crate::error::Report;

/// How long an unchanged status stays unsaid.
const STATUS_INTERVAL: Duration = Duration::from_secs(60);

/// Failed visits in a row after which a device is offline.
const OFFLINE_AFTER: u32 = 2;

/// A group as one device has it.
#[derive(Debug)]
pub struct StationGroup {
    /// The group's name.
    pub name: String,
    /// Labels of the device and of the group, whose own go first.
    pub labels: BTreeMap<String, String>,
    /// Its enabled values of this device.
    pub values: Vec<Value>,
}

/// A device on its link.
#[derive(Debug)]
pub struct Station {
    /// Its configuration.
    pub device: Arc<Device>,
    /// The meter, or why it cannot be talked to at all.
    pub meter: Result<Meter, Report>,
    /// Its groups, by their index in the schedule.
    pub groups: Vec<StationGroup>,
    /// What is published of it.
    pub status: DeviceStatus,
    /// What it may still say unasked.
    pub(super) notifications: Allowance,
    pub(super) drift: ClockDrift,
    /// How far its profiles were published.
    pub(super) tracks: BTreeMap<Name, Track>,
    /// After back-fill failed.
    pub(super) fill_pause: Backoff,
    pause: Backoff,
    lock_out: Backoff,
    failed_visits: u32,
    said: Option<(Instant, DeviceStatus)>,
}

/// What a visit changed for subscribers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The availability turned.
    pub availability: Option<DeviceState>,
    /// The meter has refused us so often that it is left alone.
    pub locked_out: bool,
}

impl Station {
    /// A device that has not been visited.
    #[must_use]
    pub fn new(device: Arc<Device>, meter: Result<Meter, Report>, groups: Vec<StationGroup>) -> Self {
        let security = SecurityStatus {
            authentication: device.security.access.to_string(),
            transport: device.security.transport.to_string(),
            suite: device.security.suite.id(),
        };
        let last_error = meter.as_ref().err().cloned();
        Self {
            device,
            meter,
            groups,
            status: DeviceStatus { security, last_error, ..DeviceStatus::default() },
            notifications: Allowance::new(Instant::now()),
            drift: ClockDrift::default(),
            tracks: BTreeMap::new(),
            fill_pause: Backoff::back_fill(),
            pause: Backoff::meter(),
            lock_out: Backoff::lock_out(),
            failed_visits: 0,
            said: None,
        }
    }

    /// The serial number, as configured or as the meter says.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        let told = self.meter.as_ref().ok().and_then(|meter| meter.memory.identity.serial.as_deref());
        self.device.identity.serial.as_deref().or(told)
    }

    /// What the meter calls itself, once it has.
    pub(super) fn meter_name(&self) -> Option<&str> {
        let identity = &self.meter.as_ref().ok()?.memory.identity;
        identity.logical_device_name.as_deref().or(identity.serial.as_deref())
    }

    /// Why the meter is not to be visited now, if so.
    #[must_use]
    pub fn pause(&self, now: Instant) -> Option<Report> {
        if let Err(report) = &self.meter {
            return Some(report.clone());
        }
        let locked = self.lock_out.failures() >= MAX_REFUSALS;
        let waits = self.pause.until(now).is_some() || self.lock_out.until(now).is_some();
        if locked || waits { self.status.last_error.clone() } else { None }
    }

    /// Takes note of a visit that brought answers.
    pub fn visited(&mut self, outcome: Outcome, error: Option<&Report>) -> Changes {
        self.pause.succeeded();
        self.lock_out.succeeded();
        self.failed_visits = 0;
        self.count(outcome);
        self.status.last_ok = Some(Timestamp::now());
        self.status.backoff_until = None;
        if let Some(error) = error {
            self.status.last_error = Some(error.clone());
        }
        Changes { availability: self.turn(DeviceState::Online), locked_out: false }
    }

    /// Takes note of a visit that failed as a whole.
    pub fn failed(&mut self, report: &Report, now: Instant) -> Changes {
        self.failed_visits = self.failed_visits.saturating_add(1);
        self.count(Outcome::Failed);
        self.status.last_error = Some(report.clone());
        let refused = is_refusal(report.code, report.dlms);
        let until = if refused {
            self.lock_out.failed(now, fastrand::f64());
            self.lock_out.until(now)
        } else {
            self.pause.failed(now, fastrand::f64());
            self.pause.until(now)
        };
        self.status.backoff_until = until.and_then(wall_time);
        let locked_out = refused && self.lock_out_if_due(report);
        Changes { availability: self.offline_if_due(), locked_out }
    }

    /// Takes note of a visit that came to nothing because the link did not open: the pause is the link's.
    pub fn unreachable(&mut self, report: &Report, until: Option<Instant>) -> Changes {
        self.status.last_error = Some(report.clone());
        self.status.link = LinkState::Down;
        self.status.backoff_until = until.and_then(wall_time);
        self.left_alone(Subject::Link)
    }

    /// Takes note of a cycle in which the meter, or its link, was left alone. While the link waits no meter of it can be
    /// visited, nor can one that refuses us or whose configuration is of no use: that counts as a failed visit. A meter
    /// that is left alone after another failure has not failed again.
    pub fn left_alone(&mut self, subject: Subject) -> Changes {
        self.count(Outcome::Failed);
        if subject == Subject::Link || self.meter.is_err() || self.lock_out.failures() > 0 {
            self.failed_visits = self.failed_visits.saturating_add(1);
        }
        Changes { availability: self.offline_if_due(), locked_out: false }
    }

    /// Takes note of a request that failed: refusals count, so that requests cannot lock us out either.
    pub fn failed_on_request(&mut self, report: &Report, now: Instant) -> Changes {
        self.status.last_error = Some(report.clone());
        if !is_refusal(report.code, report.dlms) {
            return Changes::default();
        }
        self.lock_out.failed(now, fastrand::f64());
        self.status.backoff_until = self.lock_out.until(now).and_then(wall_time);
        Changes { availability: None, locked_out: self.lock_out_if_due(report) }
    }

    /// After a refusal: whether it was the one after which the meter is left alone.
    fn lock_out_if_due(&mut self, report: &Report) -> bool {
        let is_due = self.lock_out.failures() == MAX_REFUSALS;
        if is_due {
            // There is no end of the pause to tell.
            self.status.last_error = Some(locked_out(report));
            self.status.backoff_until = None;
        }
        is_due
    }

    /// Why not even a request may visit the meter now: it refused us, and another attempt might lock us out.
    #[must_use]
    pub fn refusal(&self, now: Instant) -> Option<Report> {
        if let Err(report) = &self.meter {
            return Some(report.clone());
        }
        let waits = self.lock_out.failures() >= MAX_REFUSALS || self.lock_out.until(now).is_some();
        if waits { self.status.last_error.clone() } else { None }
    }

    /// Refusals in a row.
    #[must_use]
    pub const fn refusals(&self) -> u32 {
        self.lock_out.failures()
    }

    /// Why nobody may try the meter at all: one more refusal, and it may lock us out.
    #[must_use]
    pub fn lock_out(&self) -> Option<Report> {
        if self.lock_out.failures() >= MAX_REFUSALS { self.status.last_error.clone() } else { None }
    }

    /// Goes on with settings that leave the association as it is.
    pub fn reconfigure(
        &mut self,
        device: Arc<Device>,
        connection: Arc<Connection>,
        groups: Vec<StationGroup>,
    ) {
        if let Ok(meter) = &mut self.meter {
            meter.reconfigure(Arc::clone(&device), connection);
        }
        self.device = device;
        self.groups = groups;
    }

    /// The way to the meter is open again: it is tried without delay. The fear of a lock-out remains.
    pub fn reachable(&mut self) {
        self.pause.succeeded();
        if self.lock_out.failures() == 0 {
            self.status.backoff_until = None;
        }
    }

    /// Whether its last cycles failed.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.failed_visits > 0
    }

    /// The next visit is tried whatever happened before.
    pub fn forgive(&mut self) {
        self.pause.succeeded();
        self.lock_out.succeeded();
        self.status.backoff_until = None;
    }

    fn offline_if_due(&mut self) -> Option<DeviceState> {
        if self.failed_visits >= OFFLINE_AFTER { self.turn(DeviceState::Offline) } else { None }
    }

    fn turn(&mut self, state: DeviceState) -> Option<DeviceState> {
        let turned = self.status.state != Some(state);
        self.status.state = Some(state);
        turned.then_some(state)
    }

    const fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.status.polls.ok += 1,
            Outcome::Partial => self.status.polls.partial += 1,
            Outcome::Failed => self.status.polls.failed += 1,
        }
    }

    /// Takes over what an association showed.
    pub fn associated(&mut self) {
        let Ok(meter) = &self.meter else { return };
        let Some(Association { told, .. }) = meter.association() else { return };
        self.status.link = LinkState::Up;
        self.status.association = AssociationState::Associated;
        let clock = told.clock;
        self.status.identity = meter.identity_status();
        self.status.negotiated = meter.negotiated_status();
        if let Some(reading) = clock {
            self.clock_read(&reading);
        }
    }

    /// Takes over what the meter's clock showed. A clock that says itself that it is wrong, or is compared with ours when
    /// that is wrong, is not told of.
    pub fn clock_read(&mut self, reading: &ClockReading) {
        let ClockReading { time, read_at } = reading;
        let instant = time_rules(&self.device).instant(time);
        let offset = instant
            .and_then(|(millis, certainty)| Some((millis.checked_sub(read_at.as_millisecond())?, certainty)));
        // Milliseconds of any plausible offset fit a double.
        #[allow(clippy::cast_precision_loss, reason = "an offset between two clocks")]
        let status =
            offset.map(|(ms, _)| ClockStatus { offset_s: ms as f64 / 1000.0, measured_at: *read_at });
        self.status.clock = status;
        if let Some((offset_ms, Certainty::Certain)) = offset
            && is_plausible(*read_at)
        {
            self.drift.measured(offset_ms, self.device.clock_drift_limit, *read_at);
        }
    }

    /// The association, or the link under it, is gone.
    pub const fn dissociated(&mut self, link: LinkState) {
        self.status.link = link;
        self.status.association = AssociationState::None;
    }

    /// The status is to be said again, even if it stays the same.
    pub fn forget_said(&mut self) {
        self.said = None;
    }

    /// The status, if it is to be said now: on change, else once a minute.
    pub fn status_to_say(&mut self, now: Instant) -> Option<&DeviceStatus> {
        let is_open = self.status.association == AssociationState::Associated;
        if (is_open || self.status.invocation_counter.is_none())
            && let Ok(meter) = &self.meter
        {
            self.status.invocation_counter = meter.counter_status().or(self.status.invocation_counter);
        }
        let is_due = self.said.as_ref().is_none_or(|(at, said)| {
            now.duration_since(*at) >= STATUS_INTERVAL || steady(said) != steady(&self.status)
        });
        if !is_due {
            return None;
        }
        self.said = Some((now, self.status.clone()));
        Some(&self.status)
    }
}

/// The report of the refusal after which a meter is left alone.
#[must_use]
pub fn locked_out(report: &Report) -> Report {
    let message = format!("no more attempts, or the meter may lock us out: {}", report.message);
    Report { message, ..report.clone() }
}

fn wall_time(at: Instant) -> Option<Timestamp> {
    Timestamp::now().checked_add(at.saturating_duration_since(Instant::now())).ok()
}

/// A status without what changes with every visit.
fn steady(status: &DeviceStatus) -> DeviceStatus {
    DeviceStatus {
        last_ok: None,
        clock: None,
        invocation_counter: None,
        polls: Default::default(),
        backoff_until: None,
        ..status.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::config::load_text;
    use crate::bridge::config::tree::Format;
    use crate::bridge::link::meter::Counters;
    use crate::error::{Code, Layer};
    use crate::security::MemoryCounterStore;

    const CONFIG: &str = "
gateway: g
mqtt: { url: mqtt://localhost }
connections: [{ name: c, host: meter }]
devices: [{ name: m, connection: c, interface: wrapper }]
";

    fn station() -> Station {
        let config = load_text(CONFIG, Format::Yaml, std::path::Path::new("")).expect("valid").config;
        let device = Arc::new(config.devices.values().next().expect("a device").clone());
        let connection = Arc::new(config.connections.values().next().expect("a connection").clone());
        let counters = Counters::Memory(MemoryCounterStore::default());
        let meter = Meter::new(Arc::clone(&device), connection, counters);
        Station::new(device, meter, Vec::new())
    }

    fn refusal() -> Report {
        Report::new(Code::AareRejected, Layer::Acse, "authentication failure").with_dlms(13)
    }

    #[test]
    fn refusals_end_in_a_lock_out_that_is_told_once() {
        let mut station = station();
        let mut now = Instant::now();
        let mut told = 0;
        for attempt in 1..=MAX_REFUSALS {
            assert_eq!(station.pause(now), None, "attempt {attempt} is made");
            told += u32::from(station.failed(&refusal(), now).locked_out);
            let shortest = Duration::from_secs(48 << (attempt - 1));
            assert!(station.pause(now + shortest - Duration::from_secs(1)).is_some(), "attempt {attempt}");
            assert_eq!(station.refusal(now), station.pause(now), "requests wait too");
            // Longer than any pause.
            now += Duration::from_secs(5_000);
        }
        assert_eq!(told, 1);
        assert_eq!(station.status.backoff_until, None);
        now += Duration::from_secs(365 * 86_400);
        let report = station.pause(now).expect("left alone for good");
        assert_eq!(report.code, Code::AareRejected);
        assert!(report.message.starts_with("no more attempts"), "{report}");
        station.forgive();
        assert_eq!(station.pause(now), None);
    }

    #[test]
    fn refusals_on_request_end_in_the_same_lock_out() {
        let mut station = station();
        let now = Instant::now();
        let told =
            (0..MAX_REFUSALS).filter(|_| station.failed_on_request(&refusal(), now).locked_out).count();
        assert_eq!((told, station.status.backoff_until), (1, None), "no end of the pause is told");
        let report = station.refusal(now).expect("left alone for good");
        assert!(report.message.starts_with("no more attempts"), "{report}");
        assert_eq!(station.lock_out(), Some(report));
    }

    #[test]
    fn a_device_is_offline_after_two_failed_visits_and_pauses_are_none() {
        let timeout = Report::new(Code::Timeout, Layer::Wrapper, "no answer");
        let mut station = station();
        let now = Instant::now();
        assert_eq!(station.failed(&timeout, now).availability, None);
        for _ in 0..5 {
            assert_eq!(station.left_alone(Subject::Meter).availability, None, "it was not visited");
        }
        assert_eq!(station.failed(&timeout, now).availability, Some(DeviceState::Offline));
        assert_eq!(station.failed(&timeout, now).availability, None, "said once");
        assert_eq!(station.visited(Outcome::Partial, None).availability, Some(DeviceState::Online));
        assert_eq!(station.unreachable(&timeout, None).availability, None);
        assert_eq!(station.left_alone(Subject::Link).availability, Some(DeviceState::Offline));
        assert_eq!(station.pause(now), None, "the pause is the link's");
    }

    #[test]
    fn a_status_is_said_on_change_and_once_a_minute() {
        let mut station = station();
        let now = Instant::now();
        assert!(station.status_to_say(now).is_some(), "the first");
        station.visited(Outcome::Ok, None);
        assert!(station.status_to_say(now).is_some(), "online");
        station.visited(Outcome::Ok, None);
        assert!(station.status_to_say(now).is_none(), "counts alone are no change");
        assert!(station.status_to_say(now + Duration::from_secs(61)).is_some());
    }
}
