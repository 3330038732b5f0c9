//! Who calls: found out by asking, without a password that might be another meter's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;

use super::caution::{Caution, Suspect};
use super::heartbeat;
use crate::bridge::config::document::device::{AccessSecurity, TransportSecurity};
use crate::bridge::config::model::{Connection, Device, Identity};
use crate::bridge::link::counters::Counters;
use crate::bridge::link::failure::Failure;
use crate::bridge::link::identity::Recognition;
use crate::bridge::link::meter::{Association, Meter};
use crate::bridge::link::open::{LinkDriver, link_over};
use crate::error::{Code, Layer, Report};
use crate::transport::{Caller, Port, TransportError};

/// How long a modem may take to say its heartbeat, before it is spoken to.
const HEARTBEAT_TIME: Duration = Duration::from_secs(1);

const TELLS_NOTHING: &str = "it does not tell who it is";

/// Whoever may call on one connection.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) connection: Arc<Connection>,
    pub(super) devices: Vec<Arc<Device>>,
    pub(super) counters: Counters,
    pub(super) caution: Caution,
}

/// Who answers under one way of addressing.
enum Asked {
    /// This one.
    Known(usize),
    /// Somebody, who tells this.
    Stranger(String),
    /// Somebody who does not tell enough: it may be any of `candidates`.
    Unsure { told: Option<String>, candidates: Vec<usize> },
    /// Nobody that we may speak to.
    Nobody(Report),
}

impl Directory {
    /// Finds out who calls; gives the stream back for it, free of any association.
    ///
    /// # Errors
    /// `WRONG_METER` where nobody is recognised, in time; the stream's failures.
    pub(super) async fn identify(&self, caller: Caller) -> Result<(usize, Port), Report> {
        let patience = caller.patience();
        match patience.within(self.ask(caller)).await {
            Ok(outcome) => outcome,
            Err(error) => Err(error.report()),
        }
    }

    async fn ask(&self, mut caller: Caller) -> Result<(usize, Port), Report> {
        let peer = caller.peer();
        let first = caller.first_octets(HEARTBEAT_TIME, heartbeat::LONGEST).await;
        let first = first.map_err(|error| error.report())?;
        if !first.is_empty() && !heartbeat::is_dlms(&first) {
            let mut heartbeat = vec![0; first.len()];
            let read = caller.read_exact(&mut heartbeat).await;
            read.map_err(|error| TransportError::from(error).report())?;
            if let Some(known) = heartbeat::named(&heartbeat, &self.devices) {
                return Ok((known, Port::Caller(caller)));
            }
            tracing::debug!(connection = %self.connection.name, %peer, heartbeat = %heartbeat.escape_ascii(),
                "a heartbeat that names no device");
        }
        let ways = self.ways();
        let Some(any) = self.devices.first() else { return Err(unknown("there are none")) };
        let mut driver = link_over(Port::Caller(caller), &self.connection, any.interface);
        let mut told = "nothing that is known".to_owned();
        for way in &ways {
            match self.ask_one_way(&mut driver, way, ways.len()).await? {
                Asked::Known(index) => return Ok((index, driver.into_inner().into_inner())),
                Asked::Stranger(words) => {
                    told = words;
                    break;
                }
                Asked::Unsure { told: words, .. } => told = words.unwrap_or_else(|| TELLS_NOTHING.to_owned()),
                // It is not the caller's fault.
                Asked::Nobody(report) if is_ours(&report) => return Err(report),
                Asked::Nobody(report) => {
                    tracing::debug!(connection = %self.connection.name, %peer, code = %report.code,
                        message = %report.message, "no answer to one way of asking");
                    told = report.message;
                }
            }
        }
        Err(unknown(&told))
    }

    /// Devices by what they have in common on the line.
    fn ways(&self) -> Vec<Vec<usize>> {
        let mut ways: Vec<Vec<usize>> = Vec::new();
        for (index, device) in self.devices.iter().enumerate() {
            let same = |way: &&mut Vec<usize>| {
                let first = way.first().and_then(|first| self.devices.get(*first));
                first.is_some_and(|first| is_same_way(first, device))
            };
            match ways.iter_mut().find(same) {
                Some(way) => way.push(index),
                None => ways.push(vec![index]),
            }
        }
        ways
    }

    /// Asks the public client first, which no meter counts as an attempt to break in. Then, where all devices
    /// that it may still be have the same password and keys, they are right whoever it is.
    async fn ask_one_way(
        &self,
        driver: &mut LinkDriver,
        way: &[usize],
        ways: usize,
    ) -> Result<Asked, Report> {
        let Some(device) = way.first().and_then(|index| self.devices.get(*index)) else {
            return Ok(Asked::Nobody(unknown("no devices")));
        };
        let open = self.open_to(device, ways);
        let asked = self.ask_as(driver, way, public(&open)).await?;
        let (told, candidates) = match &asked {
            Asked::Unsure { told, candidates } => (told.clone(), candidates.clone()),
            Asked::Nobody(report) if is_ours(report) => return Ok(asked),
            Asked::Nobody(_) => (None, way.to_vec()),
            Asked::Known(_) | Asked::Stranger(_) => return Ok(asked),
        };
        let mut devices = candidates.iter().filter_map(|index| self.devices.get(*index));
        let Some(candidate) = devices.next() else { return Ok(asked) };
        if !devices.all(|other| is_same_client(candidate, other)) {
            return Ok(asked);
        }
        let suspect = Suspect { client: self.client_of(candidate), told };
        let trial = match self.caution.begin(suspect, Instant::now()) {
            Ok(trial) => trial,
            Err(report) => return Ok(Asked::Nobody(report)),
        };
        let outcome = self.ask_as(driver, &candidates, self.open_to(candidate, ways)).await;
        match &outcome {
            Ok(Asked::Nobody(report)) | Err(report) => trial.failed(report, Instant::now()),
            Ok(Asked::Known(_) | Asked::Stranger(_) | Asked::Unsure { .. }) => trial.accepted(),
        }
        outcome
    }

    /// Callers that may be this device are asked with its credentials again, whatever they refused.
    pub(super) fn forgive(&self, device: &Device) {
        let client = self.client_of(device);
        self.caution.forgive(|other| other == client);
    }

    /// The first device that is reached as this one is, with the same credentials.
    fn client_of(&self, device: &Device) -> usize {
        let same = |other: &Arc<Device>| is_same_way(other, device) && is_same_client(other, device);
        self.devices.iter().position(same).unwrap_or(usize::MAX)
    }

    /// A device as it is asked who it is: nothing is expected of it, and nothing is repeated for long.
    fn open_to(&self, device: &Device, ways: usize) -> Device {
        let patient = if ways > 1 { 0 } else { 1 };
        let mut device =
            Device { identity: Identity::default(), retries: device.retries.min(patient), ..device.clone() };
        // The one that is expected would pass for the one that is sent.
        device.security.server_system_title = None;
        device
    }

    async fn ask_as(&self, driver: &mut LinkDriver, way: &[usize], device: Device) -> Result<Asked, Report> {
        let meter = Meter::new(Arc::new(device), Arc::clone(&self.connection), self.counters.clone());
        let mut meter = match meter {
            Ok(meter) => meter,
            Err(report) => return Ok(Asked::Nobody(report)),
        };
        let outcome = meter.associate(driver).await.map(|association| self.recognise(way, association));
        if !outcome.as_ref().is_err_and(is_broken) {
            meter.leave(driver).await;
        }
        match outcome {
            Ok(asked) => Ok(asked),
            Err(failure) if is_broken(&failure) => Err(failure.report),
            Err(failure) => Ok(Asked::Nobody(failure.report)),
        }
    }

    fn recognise(&self, way: &[usize], association: &Association) -> Asked {
        let title = association.negotiated.server_title;
        let verdict = |index: usize| {
            let device = self.devices.get(index)?;
            let by_words = association.told.compare(&device.identity);
            let expected = device.security.server_system_title;
            let by_title = match (expected, title) {
                (Some(expected), Some(title)) if expected == title => Recognition::Same,
                (Some(_), Some(_)) => Recognition::Other,
                _ => Recognition::Unknown,
            };
            Some(by_words.and(by_title))
        };
        let is =
            |wanted: Recognition| way.iter().copied().filter(move |index| verdict(*index) == Some(wanted));
        let mut same = is(Recognition::Same);
        if let (Some(index), None) = (same.next(), same.next()) {
            return Asked::Known(index);
        }
        // Alone on its connection, a device need not say who it is; unless it is expected to.
        if let ([only], true) = (way, self.devices.len() == 1)
            && verdict(*only) == Some(Recognition::Unknown)
            && self.devices.iter().all(|device| device.identity == Identity::default())
        {
            return Asked::Known(*only);
        }
        let title = title.map(|title| format!("system title {title}"));
        let words: Vec<String> = association.told.words().into_iter().chain(title).collect();
        let told = (!words.is_empty()).then(|| words.join(", "));
        let candidates: Vec<usize> = is(Recognition::Unknown).collect();
        if candidates.is_empty() {
            Asked::Stranger(told.unwrap_or_else(|| TELLS_NOTHING.to_owned()))
        } else {
            Asked::Unsure { told, candidates }
        }
    }
}

/// The device as its public client sees it.
fn public(device: &Device) -> Device {
    let mut device = device.clone();
    device.client_address = device.security.invocation_counter_client;
    device.security.access = AccessSecurity::None;
    device.security.transport = TransportSecurity::None;
    device.security.password = None;
    device.security.invocation_counter = None;
    device
}

fn is_same_way(one: &Device, other: &Device) -> bool {
    (one.interface, one.server, one.referencing) == (other.interface, other.server, other.referencing)
        && one.mode_e == other.mode_e
}

fn is_same_client(one: &Device, other: &Device) -> bool {
    let secrets = |device: &Device| {
        let mut security = device.security.clone();
        security.server_system_title = None;
        security
    };
    one.client_address == other.client_address && secrets(one) == secrets(other)
}

/// The stream itself is of no more use.
fn is_broken(failure: &Failure) -> bool {
    matches!(failure.report.code, Code::TcpClosed | Code::TcpRefused)
}

/// Whether we ourselves could not ask.
fn is_ours(report: &Report) -> bool {
    report.layer == Layer::Store
        || matches!(report.code, Code::StoreDamaged | Code::ConfigInvalid | Code::Internal)
}

fn unknown(told: &str) -> Report {
    Report::new(Code::WrongMeter, Layer::Tcp, format!("who called is none of the devices: {told}"))
        .with_hint("set identity.serial, identity.logical_device_name or server_system_title of the devices on this connection")
}
