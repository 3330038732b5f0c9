//! How the actor of a link serves orders: reading on request, pausing, and going on with another configuration.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::actor::{LinkActor, millis, station_groups, wall_now};
use super::failure::Failure;
use super::memory::Objects;
use super::meter::Meter;
use super::order::{Answers, Order, Scanned, Subject};
use super::station::Station;
use super::visit::{Found, NEVER, Part};
use crate::bridge::backoff::{MAX_REFUSALS, too_many_refusals};
use crate::bridge::config::Name;
use crate::bridge::config::diff::{Action, device_action};
use crate::bridge::config::model::{Config, Connection, Device, Value};
use crate::bridge::outlet::Outlet;
use crate::bridge::pauses::Poll;
use crate::bridge::probe::{Probe, Reading, test_call, test_connection, test_device};
use crate::bridge::schedule::Schedule;
use crate::client::ClientError;
use crate::error::{Code, Layer, Report};

impl LinkActor {
    /// Serves an order, unless nobody waits for it any more.
    pub(super) async fn serve(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Read { device, values, ask } => {
                let Some(ask) = ask.still_waits(now) else { return };
                ask.answer(self.read(&device, &values).await);
            }
            Order::Scan { device, ask } => {
                let Some(ask) = ask.still_waits(now) else { return };
                ask.answer(self.scan(&device).await);
            }
            Order::Test { subject, ask } => {
                let Some(ask) = ask.still_waits(now) else { return };
                ask.answer(self.test(&subject).await);
            }
            // The rules are made already: they hold whoever still waits.
            Order::ApplyPauses { about, ask } => {
                self.apply_pauses();
                ask.answer(Ok(self.polls().filter(|(_, poll)| about.covers(*poll)).count()));
            }
            Order::Reconnect { device, ask } => {
                let Some(ask) = ask.still_waits(now) else { return };
                ask.answer(self.reconnect(&device).await);
            }
            // Not a wish but a fact: it is served however long it waited.
            Order::Reconfigure { config, outlet, ask } => {
                self.reconfigure(&config, outlet).await;
                ask.answer(Ok(()));
            }
        }
    }

    fn station_of(&self, device: &Name) -> Result<usize, Report> {
        let index = self.stations.iter().position(|station| station.device.name == *device);
        index.ok_or_else(|| {
            let message = format!("{device} is not on this link");
            Report::new(Code::UnknownName, Layer::Control, message)
        })
    }

    /// Reads now. Only what keeps us from harm holds it up: a link that is down, a meter that would lock us out.
    async fn read(&mut self, device: &Name, values: &[Value]) -> Result<Answers, Report> {
        let index = self.station_of(device)?;
        self.may_visit(index)?;
        let begun = Instant::now();
        let wanted: Vec<&Value> = values.iter().collect();
        let outcome = self.attempt(index, &wanted, NEVER).await;
        let ts = Timestamp::now();
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let answer = match outcome {
            Ok(Part { found, broken, .. }) => {
                let found: Vec<Found> = found.into_iter().flatten().collect();
                for (value, found) in values.iter().zip(&found) {
                    if let Found::Value(reading) = found {
                        self.shared.recent.keep(device.as_str(), value, reading.clone(), ts, duration_ms);
                    }
                }
                let broken = broken.as_ref().map(ClientError::report);
                let serial = self.stations.get(index).and_then(Station::serial).map(str::to_owned);
                Ok(Answers { serial, found, ts, duration_ms, broken })
            }
            Err(failure) => Err(failure.report),
        };
        self.count_refusal(index, answer.as_ref().err()).await;
        self.after_visit(index).await;
        self.say_status(index);
        answer
    }

    /// Reads the objects of a meter.
    async fn scan(&mut self, device: &Name) -> Result<Scanned, Report> {
        let index = self.station_of(device)?;
        self.may_visit(index)?;
        let was_open = self.port.is_some();
        let mut outcome = self.scan_once(index).await;
        if outcome.as_ref().is_err_and(|failure| was_open && failure.may_be_stale()) {
            outcome = self.scan_once(index).await;
        }
        self.say_counter_resynced(index).await;
        self.say_clock_drift(index).await;
        let answer = outcome.map_err(|failure| failure.report).flatten();
        self.count_refusal(index, answer.as_ref().err()).await;
        self.after_visit(index).await;
        self.say_status(index);
        answer
    }

    /// Outer: what ended the visit. Inner: the meter does not show its objects.
    async fn scan_once(&mut self, index: usize) -> Result<Result<Scanned, Report>, Failure> {
        let listed = match self.visit_once(index, &[], NEVER).await {
            Ok(_) => self.list_objects(index).await,
            Err(failure) => Err(failure),
        };
        self.hand_on_kept(index).await;
        if let Err(failure) = &listed {
            self.recover(index, failure).await;
        }
        listed
    }

    async fn list_objects(&mut self, index: usize) -> Result<Result<Scanned, Report>, Failure> {
        let (Some(port), Some(Station { meter: Ok(meter), .. })) =
            (&mut self.port, self.stations.get_mut(index))
        else {
            let report = Report::new(Code::Internal, Layer::Internal, "a link without its port or station");
            return Ok(Err(report));
        };
        let serial = meter.memory.identity.serial.clone();
        let (mut client, memory) = meter.client(port);
        let objects = client.object_list().await?;
        if let Ok(objects) = &objects {
            memory.objects = Objects::Known(objects.clone());
        }
        Ok(objects.map(|objects| Scanned { serial, objects }))
    }

    /// Tests on a line that is closed for it, or over the call of the meter. A refusal weighs as much as one in a poll.
    async fn test(&mut self, subject: &Subject) -> Result<(Probe, Option<Reading>), Report> {
        let index = self.station_under_test(subject);
        if let Some(report) = index.and_then(|index| self.stations.get(index)?.lock_out()) {
            return Err(report);
        }
        self.may_be_refused_once_more(subject)?;
        self.leave_current().await;
        let tested = match subject {
            Subject::Connection(connection) => {
                self.close_port().await;
                (test_connection(connection).await, None)
            }
            Subject::Device { device, connection, values, .. } if self.slot.is_some() => {
                self.test_over_call(device, connection, values).await
            }
            Subject::Device { device, connection, values, .. } => {
                self.close_port().await;
                let values: Vec<&Value> = values.iter().collect();
                test_device(device, connection, &self.shared.counters, &values).await
            }
        };
        if let Some(index) = index {
            match tested.0.error() {
                Some(error) => self.count_refusal(index, Some(error)).await,
                None => {
                    self.pause.succeeded();
                    self.stations.get_mut(index).into_iter().for_each(Station::forgive);
                }
            }
        }
        Ok(tested)
    }

    /// Tests over the call of a meter, which nobody can make anew: only one that is of no more use is hung up.
    async fn test_over_call(
        &mut self,
        device: &Arc<Device>,
        connection: &Arc<Connection>,
        values: &[Value],
    ) -> (Probe, Option<Reading>) {
        // A call may wait. Where none does, the test tells.
        let _ = self.open().await;
        let values: Vec<&Value> = values.iter().collect();
        let counters = &self.shared.counters;
        let Some(call) = &mut self.port else {
            return test_device(device, connection, counters, &values).await;
        };
        let tested = test_call(call, device, connection, counters, &values).await;
        // A late answer must not meet the next request.
        let is_spoilt =
            |error: &Report| matches!(error.code, Code::TcpClosed | Code::Timeout | Code::HdlcNoUa);
        if tested.0.error().is_some_and(is_spoilt) {
            self.close_port().await;
        }
        tested
    }

    /// The station that is what the test is of; none where the test brings its own definition.
    fn station_under_test(&self, subject: &Subject) -> Option<usize> {
        let Subject::Device { device, .. } = subject else { return None };
        self.stations.iter().position(|station| station.device == *device)
    }

    /// A meter counts refusals whoever meets them: those of its polls and those of tests with other definitions may
    /// together not be more than it takes.
    fn may_be_refused_once_more(&self, subject: &Subject) -> Result<(), Report> {
        let Subject::Device { device, refusals, .. } = subject else { return Ok(()) };
        let of_polls = self.stations.iter().filter(|station| station.device.server == device.server);
        let of_polls = of_polls.map(Station::refusals).max().unwrap_or_default();
        if of_polls.saturating_add(*refusals) < MAX_REFUSALS { Ok(()) } else { Err(too_many_refusals()) }
    }

    /// Whether a visit on request may be tried.
    fn may_visit(&self, index: usize) -> Result<(), Report> {
        let station = self.stations.get(index);
        let kept = station.and_then(|station| station.refusal(Instant::now()));
        kept.or_else(|| self.pause_of_link()).map_or(Ok(()), Err)
    }

    /// A refusal on request weighs as much as one in a poll: the meter counts both.
    pub(super) async fn count_refusal(&mut self, index: usize, error: Option<&Report>) {
        let (Some(error), Some(station)) = (error, self.stations.get_mut(index)) else { return };
        let device = station.device.name.to_string();
        let changes = station.failed_on_request(error, Instant::now());
        self.announce(&device, changes, Some(error)).await;
    }

    /// Has the polls go on, or not, as the rules say.
    pub(super) fn apply_pauses(&mut self) {
        let now = wall_now();
        let wanted: Vec<_> =
            self.polls().map(|(place, poll)| (place, self.shared.pauses.activity(poll))).collect();
        for ((station, group), activity) in wanted {
            if self.schedule.activity(station, group) != activity {
                self.schedule.set_activity(station, group, activity, now);
            }
        }
    }

    /// All polls of the link, with their places in the schedule.
    fn polls(&self) -> impl Iterator<Item = ((usize, usize), Poll<'_>)> {
        let connection = self.connection.name.as_str();
        self.stations.iter().enumerate().flat_map(move |(index, station)| {
            let device = station.device.name.as_str();
            let groups = station.groups.iter().enumerate();
            groups
                .map(move |(place, group)| ((index, place), Poll { connection, device, group: &group.name }))
        })
    }

    async fn reconnect(&mut self, device: &Name) -> Result<(), Report> {
        let index = self.station_of(device)?;
        if self.current == Some(index) {
            self.leave_current().await;
        }
        self.pause.succeeded();
        if let Some(station) = self.stations.get_mut(index) {
            // Files with secrets may say something else by now.
            let (device, connection) = (Arc::clone(&station.device), Arc::clone(&self.connection));
            station.meter = Meter::new(device, connection, self.shared.counters.clone());
            station.forgive();
        }
        self.say_status(index);
        Ok(())
    }

    /// Publishes what is retained of each meter under topics where nobody has heard it yet.
    fn say_all(&mut self) {
        for index in 0..self.stations.len() {
            let Some(station) = self.stations.get_mut(index) else { return };
            station.forget_said();
            if let Some(state) = station.status.state {
                self.outlet.availability(station.device.name.as_str(), state);
                self.say_status(index);
            }
        }
    }

    /// Takes over another configuration of the same line: meters whose association it does not touch keep it, polls
    /// that stay the same keep their time.
    async fn reconfigure(&mut self, config: &Config, outlet: Outlet) {
        let has_moved = self.outlet.topics() != outlet.topics();
        self.outlet = outlet;
        let Some(connection) = config.connections.get(&self.connection.name) else { return };
        let connection = Arc::new(connection.clone());
        let open = self.current.and_then(|index| self.stations.get(index));
        let stays = |station: &Station| {
            let device = config.devices.get(&station.device.name);
            device.is_some_and(|device| device_action(&station.device, device) == Action::Update)
        };
        if open.is_some_and(|station| !stays(station)) {
            self.leave_current().await;
        }
        let open = self.current.take().and_then(|index| self.stations.get(index));
        let open = open.map(|station| station.device.name.clone());
        let (mut former, former_schedule) =
            (std::mem::take(&mut self.stations), std::mem::take(&mut self.schedule));
        let places: Vec<Name> = former.iter().map(|station| station.device.name.clone()).collect();
        let polls: Vec<Vec<String>> = former
            .iter()
            .map(|station| station.groups.iter().map(|group| group.name.clone()).collect())
            .collect();
        let now = wall_now();
        let mut schedule = Schedule::new();
        for device in config.devices_of(&connection.name) {
            let index = schedule.add_station();
            let before = places.iter().position(|name| *name == device.name);
            let groups = station_groups(config, device);
            for (place, (group, _)) in groups.iter().enumerate() {
                schedule.add_group(index, millis(group.interval), millis(group.offset), now);
                let known = before.and_then(|before| {
                    let at = polls.get(before)?.iter().position(|name| *name == group.name.as_str())?;
                    Some((before, at))
                });
                if let Some(known) = known {
                    schedule.take_over((index, place), &former_schedule, known);
                }
            }
            let groups = groups.into_iter().map(|(_, group)| group).collect();
            let kept = former.iter().position(|station| station.device.name == device.name && stays(station));
            let device = Arc::new(device.clone());
            self.stations.push(match kept {
                Some(kept) => {
                    let mut station = former.swap_remove(kept);
                    station.reconfigure(device, Arc::clone(&connection), groups);
                    station
                }
                None => {
                    let meter = Meter::new(
                        Arc::clone(&device),
                        Arc::clone(&connection),
                        self.shared.counters.clone(),
                    );
                    Station::new(device, meter, groups)
                }
            });
        }
        self.current = open.and_then(|name| self.stations.iter().position(|it| it.device.name == name));
        self.heard = None;
        self.schedule = schedule;
        self.connection = connection;
        self.apply_pauses();
        self.load_tracks();
        // Units and scalers of values may be others now, and a device another meter.
        self.stations.iter().for_each(|station| self.shared.recent.forget(station.device.name.as_str()));
        if has_moved {
            self.say_all();
        }
    }
}
