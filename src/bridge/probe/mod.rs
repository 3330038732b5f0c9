//! Testing a connection or a device step by step: how long each layer takes, which one fails, and why.
//!
//! A test opens a port of its own: whoever owns the line closes it first; but a meter that calls is tested over its call. It never sends a password or a proof twice,
//! but where the meter itself says that only the invocation counter was too low.

mod diagnosis;
mod recorder;
mod trial;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use tokio::net::lookup_host;

pub use recorder::{Step, StepName, StepStatus};

use crate::bridge::config::Name;
use crate::bridge::config::document::device::Interface;
use crate::bridge::config::model::{Connection, Device, Link, Value};
use crate::bridge::link::failure::Failure;
use crate::bridge::link::meter::{Counters, Meter};
use crate::bridge::link::open::{LinkDriver, open_link};
use crate::bridge::link::visit::{Found, Visited, read_values};
use crate::bridge::reading::status::{IdentityStatus, Negotiated};
use crate::error::{Code, Layer, Report};
use crate::session::link::{LinkCounters, LinkParameters};
use recorder::Recorder;

/// Longest time for a test's leave-taking.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// What a test came to, as it is published.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Probe {
    /// Whether no step failed.
    pub ok: bool,
    /// Every step, in order; after the first that failed the others are skipped.
    pub steps: Vec<Step>,
    /// What the association agreed on.
    pub negotiated: Option<Negotiated>,
    /// Who answered.
    pub identity: Option<IdentityStatus>,
}

/// What was read in a test.
#[derive(Debug)]
pub struct Reading {
    /// In the order of the values asked for.
    pub found: Vec<Found>,
    /// Arrival of the last answer.
    pub ts: Timestamp,
    /// From the first request to the last answer.
    pub duration_ms: u64,
}

impl Probe {
    /// The failure, with its cause.
    #[must_use]
    pub fn error(&self) -> Option<&Report> {
        self.steps.iter().find_map(|step| step.error.as_ref())
    }

    /// The tests of several devices as one; each step says whose it is.
    #[must_use]
    pub fn of_all(probes: Vec<(Name, Self)>) -> Self {
        match <[(Name, Self); 1]>::try_from(probes) {
            Ok([(_, only)]) => only,
            Err(probes) => Self {
                ok: probes.iter().all(|(_, probe)| probe.ok),
                steps: probes
                    .into_iter()
                    .flat_map(|(name, probe)| {
                        probe.steps.into_iter().map(move |step| Step { device: Some(name.clone()), ..step })
                    })
                    .collect(),
                negotiated: None,
                identity: None,
            },
        }
    }

    fn of(recorder: Recorder, meter: Option<&Meter>) -> Self {
        let steps = recorder.finish();
        let is_known = meter.filter(|meter| meter.association().is_some());
        Self {
            ok: steps.iter().all(|step| step.status != StepStatus::Failed),
            negotiated: is_known.and_then(Meter::negotiated_status),
            identity: is_known.map(Meter::identity_status),
            steps,
        }
    }
}

/// Opens the port of a connection, and closes it.
pub async fn test_connection(connection: &Connection) -> Probe {
    let mut recorder = Recorder::default();
    if let Some(driver) = open(&mut recorder, connection, Interface::Hdlc).await {
        close(driver).await;
    }
    recorder.skip_rest("the connection alone is tested");
    Probe::of(recorder, None)
}

/// Associates with a device, identifies it, reads `values`, and takes leave.
///
/// The readings are there where the association opened. An unreadable value fails no step.
pub async fn test_device(
    device: &Arc<Device>,
    connection: &Arc<Connection>,
    counters: &Counters,
    values: &[&Value],
) -> (Probe, Option<Reading>) {
    let mut recorder = Recorder::default();
    let meter = Meter::new(Arc::clone(device), Arc::clone(connection), counters.clone());
    let mut meter = match meter {
        Ok(meter) => meter,
        Err(report) => {
            recorder.failed(StepName::Open, Instant::now(), report);
            return (Probe::of(recorder, None), None);
        }
    };
    let Some(mut driver) = open(&mut recorder, connection, device.interface).await else {
        return (Probe::of(recorder, None), None);
    };
    let (mut probe, reading, seen) = run(recorder, &mut meter, &mut driver, values).await;
    close(driver).await;
    explain(&mut probe, &meter, &seen).await;
    (probe, reading)
}

/// The same over a call of the device, which stays open.
pub async fn test_call(
    call: &mut LinkDriver,
    device: &Arc<Device>,
    connection: &Arc<Connection>,
    counters: &Counters,
    values: &[&Value],
) -> (Probe, Option<Reading>) {
    let mut recorder = Recorder::default();
    let begun = Instant::now();
    let meter = Meter::new(Arc::clone(device), Arc::clone(connection), counters.clone());
    let mut meter = match meter {
        Ok(meter) => meter,
        Err(report) => {
            recorder.failed(StepName::Open, begun, report);
            return (Probe::of(recorder, None), None);
        }
    };
    recorder.skip(StepName::Resolve, "there is no host name");
    recorder.skip(StepName::Connect, "nothing to connect to");
    recorder.ok(StepName::Open, begun, where_to(connection));
    let (mut probe, reading, seen) = run(recorder, &mut meter, call, values).await;
    explain(&mut probe, &meter, &seen).await;
    (probe, reading)
}

/// From the open line to the end of the association.
async fn run(
    mut recorder: Recorder,
    meter: &mut Meter,
    driver: &mut LinkDriver,
    values: &[&Value],
) -> (Probe, Option<Reading>, LinkCounters) {
    let reading = Test { recorder: &mut recorder, meter, driver }.run(values).await;
    let mut probe = Probe::of(recorder, Some(meter));
    let seen = meter.link_counters();
    release(&mut probe, meter, driver).await;
    (probe, reading, seen)
}

async fn explain(probe: &mut Probe, meter: &Meter, seen: &LinkCounters) {
    if let Some(step) = probe.steps.iter_mut().find(|step| step.status == StepStatus::Failed)
        && let Some(error) = &mut step.error
    {
        diagnosis::explain(&meter.device, meter.connection(), step.step, seen, error).await;
    }
}

/// Opens the port: `resolve` and `connect` where there is a host, `open` elsewhere.
async fn open(recorder: &mut Recorder, connection: &Connection, interface: Interface) -> Option<LinkDriver> {
    let host = match &connection.link {
        Link::Tcp(tcp) => Some((tcp.host.as_str(), tcp.port)),
        Link::Udp(udp) => Some((udp.host.as_str(), udp.port)),
        Link::Listen(_) | Link::Serial(_) => None,
    };
    let step = match host {
        Some(host) => {
            resolve(recorder, host).await?;
            StepName::Connect
        }
        None => {
            recorder.skip(StepName::Resolve, "there is no host name");
            recorder.skip(StepName::Connect, "nothing to connect to");
            StepName::Open
        }
    };
    let begun = Instant::now();
    match open_link(connection, interface).await {
        Ok(driver) => {
            recorder.ok(step, begun, where_to(connection));
            if step == StepName::Connect {
                recorder.skip(StepName::Open, "no port to open");
            }
            Some(driver)
        }
        Err(error) => {
            recorder.failed(step, begun, error.report());
            None
        }
    }
}

async fn resolve(recorder: &mut Recorder, (host, port): (&str, u16)) -> Option<()> {
    let begun = Instant::now();
    let addresses = match lookup_host((host, port)).await {
        Ok(addresses) => addresses.map(|address| address.ip().to_string()).collect::<Vec<_>>(),
        Err(error) => {
            let report = Report::new(Code::Dns, Layer::Dns, format!("cannot resolve {host}: {error}"));
            recorder.failed(StepName::Resolve, begun, report);
            return None;
        }
    };
    recorder.ok(StepName::Resolve, begun, addresses.join(", "));
    Some(())
}

fn where_to(connection: &Connection) -> String {
    match &connection.link {
        Link::Tcp(tcp) => format!("TCP {} port {}", tcp.host, tcp.port),
        Link::Udp(udp) => format!("UDP {} port {}", udp.host, udp.port),
        Link::Listen(listen) => format!("a caller on {}", listen.address),
        Link::Serial(serial) => format!("{} at {} baud", serial.device.display(), serial.baud_rate),
    }
}

async fn close(driver: LinkDriver) {
    // Nobody can do anything about a port that does not close.
    let _ = driver.into_inner().into_inner().close().await;
}

/// Takes leave, as far as the meter goes along: many do not answer a release, so that this step cannot fail.
async fn release(probe: &mut Probe, meter: &mut Meter, driver: &mut LinkDriver) {
    let was_open = meter.association().is_some();
    let begun = Instant::now();
    let left = tokio::time::timeout(LEAVE_TIME, meter.leave(driver)).await;
    let Some(step) = probe.steps.iter_mut().find(|step| step.step == StepName::Release) else { return };
    if was_open {
        step.status = StepStatus::Ok;
        step.duration_ms = recorder::millis_since(begun);
        step.detail =
            if left.is_ok() { "released" } else { "the meter did not take leave in time" }.to_owned();
    }
}

/// The steps from the open port on.
struct Test<'a> {
    recorder: &'a mut Recorder,
    meter: &'a mut Meter,
    driver: &'a mut LinkDriver,
}

impl Test<'_> {
    /// The readings; `None` where a step failed before.
    async fn run(&mut self, values: &[&Value]) -> Option<Reading> {
        let mut link = self.approach().await?;
        if self.meter.needs_counter() {
            self.meter.leave(self.driver).await;
            self.read_counter("never used before").await?;
            link = self.approach().await?;
        } else {
            let detail = match self.meter.counter_status() {
                Some(counter) => format!("known from before: {} is next", counter.next),
                None => "not needed without ciphering".to_owned(),
            };
            self.recorder.skip(StepName::Counter, detail);
        }
        let mut begun = Instant::now();
        let negotiated = match self.meter.propose(self.driver).await {
            Ok(negotiated) => negotiated,
            Err(failure) => {
                match self.meter.has_caught_up(self.driver, &failure).await {
                    Ok(true) => self.recorder.ok(
                        StepName::Counter,
                        begun,
                        format!("the meter refused ours; {} is next", self.next_counter()),
                    ),
                    Ok(false) => return self.refused(begun, failure),
                    Err(failure) => return self.failed(StepName::Counter, begun, failure),
                }
                link = self.approach().await?;
                begun = Instant::now();
                match self.meter.propose(self.driver).await {
                    Ok(negotiated) => negotiated,
                    Err(failure) => return self.refused(begun, failure),
                }
            }
        };
        self.accepted(begun);
        let begun = Instant::now();
        if let Err(failure) = self.meter.enter(self.driver, link, negotiated).await {
            return self.failed(StepName::Read, begun, failure);
        }
        let device = Arc::clone(&self.meter.device);
        let (mut client, memory) = self.meter.client(self.driver);
        let Visited { found, broken } = read_values(&mut client, memory, &device, values).await;
        let reading = Reading { found, ts: Timestamp::now(), duration_ms: recorder::millis_since(begun) };
        match broken {
            Some(error) => {
                self.recorder.failed(StepName::Read, begun, error.report());
            }
            None => self.recorder.ok(StepName::Read, begun, self.readings(&reading)),
        }
        Some(reading)
    }

    /// Readies the line and sets up the link.
    async fn approach(&mut self) -> Option<LinkParameters> {
        let begun = Instant::now();
        let is_mode_e = self.meter.device.interface == Interface::HdlcModeE;
        if let Err(failure) = self.meter.ready(self.driver).await {
            return self.failed(if is_mode_e { StepName::ModeE } else { StepName::Open }, begun, failure);
        }
        if is_mode_e {
            self.recorder.ok(StepName::ModeE, begun, "signed on".to_owned());
        } else {
            self.recorder.skip(StepName::ModeE, "not used by this interface");
        }
        let begun = Instant::now();
        let link = match self.meter.open_link(self.driver).await {
            Ok(link) => link,
            Err(failure) => return self.failed(StepName::Snrm, begun, failure),
        };
        if self.meter.is_hdlc() {
            let detail = format!(
                "information fields of {} and {}, windows of {} and {}",
                link.max_send, link.max_receive, link.send_window, link.receive_window
            );
            self.recorder.ok(StepName::Snrm, begun, detail);
        } else {
            self.recorder.skip(StepName::Snrm, "the wrapper has no link to set up");
        }
        Some(link)
    }

    async fn read_counter(&mut self, why: &str) -> Option<()> {
        let begun = Instant::now();
        match self.meter.sync_counter(self.driver).await {
            Ok(next) => {
                self.recorder.ok(StepName::Counter, begun, format!("{why}; {next} is next"));
                Some(())
            }
            Err(failure) => self.failed(StepName::Counter, begun, failure),
        }
    }

    fn next_counter(&self) -> String {
        self.meter.counter_status().map_or_else(|| "another".to_owned(), |counter| counter.next.to_string())
    }

    /// The association is open: what part of the time was the proposal's, and what the proofs'.
    fn accepted(&mut self, begun: Instant) {
        let security = &self.meter.device.security;
        let (access, transport) = (security.access, security.transport);
        match self.meter.accepted() {
            Some(accepted) => {
                self.recorder.ok_until(StepName::Aarq, begun, accepted, "accepted".to_owned());
                self.recorder.ok(StepName::Hls, accepted, format!("{access}, both proofs exchanged"));
            }
            None => {
                self.recorder.ok(StepName::Aarq, begun, format!("associated, {access}, {transport}"));
                self.recorder.skip(StepName::Hls, "not used by this access_security");
            }
        }
    }

    /// The meter refused the proposal or the proof, or we refused the meter's.
    fn refused(&mut self, begun: Instant, failure: Failure) -> Option<Reading> {
        match self.meter.accepted() {
            Some(accepted) => {
                self.recorder.ok_until(StepName::Aarq, begun, accepted, "accepted".to_owned());
                self.failed(StepName::Hls, accepted, failure)
            }
            None => self.failed(StepName::Aarq, begun, failure),
        }
    }

    fn failed<T>(&mut self, step: StepName, begun: Instant, failure: Failure) -> Option<T> {
        self.recorder.failed(step, begun, failure.report);
        None
    }

    fn readings(&self, reading: &Reading) -> String {
        let name = self.meter.memory.identity.logical_device_name.as_deref();
        let name = name.map_or_else(|| "a meter without a name".to_owned(), str::to_owned);
        match reading.found.len() {
            0 => name,
            count => {
                let good = reading.found.iter().filter(|found| found.is_good()).count();
                format!("{name}: {good} of {count} values")
            }
        }
    }
}
