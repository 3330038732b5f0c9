//! One attempt to read a station: port, association, values; and in what state a failure leaves the line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::actor::{LinkActor, wall_now};
use super::failure::Failure;
use super::open::{link_over, open_link};
use super::resync::lacks_counter;
use super::station::Station;
use super::visit::{Found, MakeWay, Part, read_part};
use crate::bridge::config::document::device::Interface;
use crate::bridge::config::model::{Hold, Link, Persistence, Value};
use crate::bridge::reading::status::LinkState;
use crate::error::{Code, Layer, Report};
use crate::session::error::Recovery;
use crate::transport::TransportError;

/// An association is released when the meter's next visit is further away: most meters serve one client at a time.
const RELEASE_AFTER_MS: i64 = 100_000;

/// How long what was written may take to leave a port that is closed.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// A line over which a meter answered so recently is no reason for the silence of another.
const LINE_PROVEN: Duration = Duration::from_secs(100);

impl LinkActor {
    /// Why the link is left alone, if so.
    pub(super) fn pause_of_link(&self) -> Option<Report> {
        let now = Instant::now();
        let link_waits = self.port.is_none() && self.pause.until(now).is_some();
        self.last_failure.clone().filter(|_| link_waits)
    }

    /// Visits; once more on a fresh connection where one that was kept open turns out to be dead.
    pub(super) async fn attempt(
        &mut self,
        index: usize,
        values: &[&Value],
        make_way: MakeWay<'_>,
    ) -> Result<Part, Failure> {
        let outcome = self.attempt_untold(index, values, make_way).await;
        self.say_counter_resynced(index).await;
        self.say_clock_drift(index).await;
        outcome
    }

    async fn attempt_untold(
        &mut self,
        index: usize,
        values: &[&Value],
        make_way: MakeWay<'_>,
    ) -> Result<Part, Failure> {
        let was_open = self.port.is_some();
        let was_associated = self.current == Some(index);
        let outcome = self.visit_and_recover(index, values, make_way).await;
        match &outcome {
            Err(failure) if was_open && failure.may_be_stale() => {
                tracing::debug!(connection = %self.connection.name, code = %failure.report.code, "once more on a fresh connection");
                self.visit_and_recover(index, values, make_way).await
            }
            Ok(visited) if was_associated && is_forgotten(&visited.found) => {
                tracing::debug!(connection = %self.connection.name, "once more in a fresh association");
                self.leave_current().await;
                self.visit_and_recover(index, values, make_way).await
            }
            _ => outcome,
        }
    }

    /// Visits. A visit that broke off and brought nothing good has failed.
    async fn visit_and_recover(
        &mut self,
        index: usize,
        values: &[&Value],
        make_way: MakeWay<'_>,
    ) -> Result<Part, Failure> {
        let outcome = self.visit_once(index, values, make_way).await;
        self.hand_on_kept(index).await;
        let failure = match &outcome {
            Ok(Part { broken: None, .. }) => return outcome,
            Ok(Part { broken: Some(error), .. }) => Failure::from(error.clone()),
            Err(failure) => failure.clone(),
        };
        self.recover(index, &failure).await;
        outcome.and_then(|visited| if nothing_good(&visited.found) { Err(failure) } else { Ok(visited) })
    }

    /// Visits. Where the meter refuses our counter in the middle of it, the rest is read in another association with a
    /// higher one; a second refusal is a failure.
    pub(super) async fn visit_once(
        &mut self,
        index: usize,
        values: &[&Value],
        make_way: MakeWay<'_>,
    ) -> Result<Part, Failure> {
        let outcome = self.visit_station(index, values, make_way).await;
        let again = match self.raise_counter(index, &outcome).await {
            Ok(false) => return outcome,
            Ok(true) => self.visit_station(index, &left_over(&outcome, values), make_way).await,
            Err(failure) => Err(failure),
        };
        match (outcome, again) {
            (Ok(part), Ok(rest)) => Ok(part.completed(rest)),
            // What was read stays read.
            (Ok(part), Err(failure)) if !nothing_good(&part.found) => {
                self.recover(index, &failure).await;
                Ok(part)
            }
            (_, again) => again,
        }
    }

    async fn visit_station(
        &mut self,
        index: usize,
        values: &[&Value],
        make_way: MakeWay<'_>,
    ) -> Result<Part, Failure> {
        if self.current.is_some_and(|current| current != index) {
            self.leave_current().await;
            // The other meter's driver may still hold a two-wire line.
            tokio::time::sleep(self.connection.turnaround).await;
        }
        self.open().await?;
        let (Some(port), Some(station)) = (&mut self.port, self.stations.get_mut(index)) else {
            return Err(Failure::of_meter(internal("a link without its port or station")));
        };
        let device = Arc::clone(&station.device);
        let meter = station.meter.as_mut().map_err(|report| Failure::of_meter(report.clone()))?;
        if self.current != Some(index) {
            self.current = Some(index);
            let replaced = meter.associate(port).await?.replaced.clone();
            station.associated();
            if let Some(replaced) = replaced {
                self.say_identity_changed(index, replaced).await;
            }
        }
        let (Some(port), Some(Station { meter: Ok(meter), .. })) =
            (&mut self.port, self.stations.get_mut(index))
        else {
            return Err(Failure::of_meter(internal("a link without its port or station")));
        };
        let (mut client, memory) = meter.client(port);
        let visited = read_part(&mut client, memory, &device, values, make_way).await;
        let is_associated = client.session().negotiated().is_some();
        if let (Some(reading), Some(station)) = (&visited.clock, self.stations.get_mut(index)) {
            station.clock_read(reading);
        }
        if visited.broken.is_none() {
            self.heard = Some((index, Instant::now()));
            if !is_associated {
                self.leave_current().await;
            }
        }
        Ok(visited)
    }

    /// Opens the port, if it is not open.
    pub(super) async fn open(&mut self) -> Result<(), Failure> {
        if self.port.is_some() {
            return Ok(());
        }
        self.say_link(LinkState::Connecting);
        let interface = self.stations.first().map_or(Interface::Hdlc, |station| station.device.interface);
        let opened = match &self.slot {
            None => open_link(&self.connection, interface).await,
            Some(slot) => {
                let called = slot.take().ok_or(TransportError::NotCalled);
                called.map(|port| link_over(port, &self.connection, interface))
            }
        };
        match opened {
            Ok(port) => {
                self.port = Some(port);
                self.pause.succeeded();
                self.say_link(LinkState::Up);
                Ok(())
            }
            Err(error) => {
                self.say_link(LinkState::Down);
                self.pause.failed(Instant::now(), fastrand::f64());
                let failure = Failure::of_link(&error);
                self.last_failure = Some(failure.report.clone());
                self.is_absent = self.is_unplugged();
                Err(failure)
            }
        }
    }

    /// A port that meters call is up while it is listened on, whoever has called.
    fn say_link(&self, state: LinkState) {
        if self.slot.is_none() {
            self.health.set_state(state);
        }
    }

    /// Leaves the link in a state from which the next visit can start.
    pub(super) async fn recover(&mut self, index: usize, failure: &Failure) {
        let Some(Station { meter: Ok(meter), .. }) = self.stations.get(index) else { return };
        match failure.recovery {
            // The neighbours are well: a silent meter is no reason to take their line down.
            Recovery::ReopenLink
                if failure.has_waited()
                    && self.others_are_heard(index)
                    && !meter.answers_are_unnumbered() =>
            {
                self.leave_current().await;
            }
            Recovery::ReopenLink => self.close_port().await,
            Recovery::ReportOnly if meter.association().is_some() => {}
            Recovery::ReportOnly | Recovery::Reassociate | Recovery::BackOffMeter => {
                if self.current == Some(index) {
                    self.leave_current().await;
                }
            }
        }
    }

    /// Whether the line is well without this meter.
    fn others_are_heard(&self, index: usize) -> bool {
        self.heard.is_some_and(|(station, at)| station != index && at.elapsed() < LINE_PROVEN)
    }

    /// Keeps open what the next visit will need, and nothing else.
    pub(super) async fn after_visit(&mut self, index: usize) {
        let now = wall_now();
        let Some(station) = self.stations.get(index) else { return };
        let holds = station.device.hold == Hold::Hold;
        let next = self.schedule.next_visit(index);
        let is_far = next.is_none_or(|next| next - now > RELEASE_AFTER_MS);
        let per_cycle =
            matches!(&self.connection.link, Link::Tcp(tcp) if tcp.persistence == Persistence::PerCycle);
        if self.current == Some(index) && (per_cycle || is_far && !holds) {
            self.leave_current().await;
        }
        if per_cycle && !self.schedule.is_due(now) {
            self.close_port().await;
        }
    }

    pub(super) async fn leave_current(&mut self) {
        let Some(index) = self.current.take() else { return };
        if let (Some(port), Some(station)) = (&mut self.port, self.stations.get_mut(index)) {
            if let Ok(meter) = &mut station.meter {
                meter.leave(port).await;
            }
            station.dissociated(LinkState::Up);
        }
        self.hand_on_kept(index).await;
    }

    /// Closes the port in order, as far as it goes along.
    pub(super) async fn close_port(&mut self) {
        if let Some(port) = self.port.take() {
            let _ = tokio::time::timeout(CLOSE_TIME, port.into_inner().into_inner().close()).await;
        }
        self.heard = None;
        self.is_absent = self.is_unplugged();
        self.say_link(LinkState::Down);
        self.stations.iter_mut().for_each(|station| station.dissociated(LinkState::Down));
        let current = self.current.take().and_then(|index| self.stations.get_mut(index));
        if let Some(Station { meter: Ok(meter), .. }) = current {
            meter.forget_session();
        }
    }

    fn is_unplugged(&self) -> bool {
        matches!(&self.connection.link, Link::Serial(serial) if !serial.device.exists())
    }
}

/// Whether a meter refuses every service of an association that was kept: it has forgotten it.
fn is_forgotten(found: &[Option<Found>]) -> bool {
    found.iter().any(Option::is_some)
        && found.iter().flatten().all(|found| match found {
            Found::Value(reading) => {
                reading.error.as_ref().is_some_and(|error| error.code == Code::ServiceNotAllowed)
            }
            Found::Rows(rows) => rows.as_ref().is_err_and(|error| error.code == Code::ServiceNotAllowed),
        })
}

impl Part {
    /// With the rest of what a refused counter left over.
    fn completed(self, rest: Self) -> Self {
        let mut added = rest.found.into_iter();
        let merged = self.found.into_iter().map(|found| match found {
            Some(found) if lacks_counter(&found) => added.next().flatten(),
            found => found,
        });
        Self { clock: rest.clock.or(self.clock), found: merged.collect(), broken: rest.broken }
    }
}

/// What a visit left over because the meter refused our counter.
fn left_over<'v>(outcome: &Result<Part, Failure>, values: &[&'v Value]) -> Vec<&'v Value> {
    let Ok(part) = outcome else { return values.to_vec() };
    let found = part.found.iter().zip(values);
    found.filter(|(found, _)| found.as_ref().is_some_and(lacks_counter)).map(|(_, &value)| value).collect()
}

fn nothing_good(found: &[Option<Found>]) -> bool {
    !found.iter().flatten().any(Found::is_good)
}

fn internal(message: &str) -> Report {
    Report::new(Code::Internal, Layer::Internal, message)
}
