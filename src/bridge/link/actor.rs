//! The actor that alone owns a link's port: it serves the link's meters one at a time, by the schedule.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant as TokioInstant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::dial_in::Slot;
use super::failure::{Failure, Subject};
use super::meter::Meter;
use super::open::{LinkDriver, link_over, open_link};
use super::order::Ordered;
use super::station::{Changes, Station, StationGroup, locked_out};
use super::visit::{Found, MakeWay, Part, none_of, read_part};
use crate::bridge::backoff::Backoff;
use crate::bridge::config::Name;
use crate::bridge::config::document::device::Interface;
use crate::bridge::config::model::{Config, Connection, Device, Group, Hold, Link, Persistence, Value};
use crate::bridge::health::{Condition, LinkHealth};
use crate::bridge::links::Shared;
use crate::bridge::outlet::{Event, GroupOf, Outlet};
use crate::bridge::reading::json::Json;
use crate::bridge::reading::snapshot::{Cycle, Item, Outcome, ProfileEntry};
use crate::bridge::reading::status::{DeviceState, LinkState, Severity};
use crate::bridge::schedule::{DueGroup, Next, Schedule, Visit, WallMillis};
use crate::error::{Code, Layer, Report};
use crate::session::error::Recovery;
use crate::transport::TransportError;
use crate::transport::serial::wait_for_return;

/// An association is released when the meter's next visit is further away: most meters serve one client at a time.
const RELEASE_AFTER_MS: i64 = 100_000;

/// The longest sleep between looks at the wall clock, which may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How long the meters of a link have to take leave when the bridge stops.
const LEAVE_TIME: Duration = Duration::from_secs(3);

/// How long what was written may take to leave a port that is closed.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// A line over which a meter answered so recently is no reason for the silence of another.
const LINE_PROVEN: Duration = Duration::from_secs(100);

/// The actor of one link.
#[derive(Debug)]
pub struct LinkActor {
    pub(super) connection: Arc<Connection>,
    pub(super) stations: Vec<Station>,
    pub(super) schedule: Schedule,
    pub(super) outlet: Outlet,
    pub(super) health: Arc<LinkHealth>,
    pub(super) shared: Shared,
    /// An order that has to wait for the end of the visit under way.
    pub(super) deferred: Option<Ordered>,
    pub(super) port: Option<LinkDriver>,
    /// The station that answered last over the open port, and when.
    pub(super) heard: Option<(usize, Instant)>,
    /// The serial port is unplugged.
    is_absent: bool,
    /// Where the meter's calls come in, if it is the one to call.
    slot: Option<Arc<Slot>>,
    /// The station whose association is open.
    pub(super) current: Option<usize>,
    pub(super) pause: Backoff,
    last_failure: Option<Report>,
    slept_until: WallMillis,
    /// Since the actor began.
    visits: u64,
}

/// The receiving end of a link's orders. It outlives an actor that panics.
pub type OrderQueue = Arc<Mutex<mpsc::Receiver<Ordered>>>;

impl LinkActor {
    /// The actor of a connection with all its devices; `None` where it has none.
    #[must_use]
    pub fn new(
        config: &Config,
        connection: &Connection,
        shared: &Shared,
        outlet: Outlet,
        health: Arc<LinkHealth>,
    ) -> Option<Self> {
        Self::of(config, connection, config.devices_of(&connection.name), shared, outlet, health)
    }

    /// The actor of one device that calls through `slot`.
    #[must_use]
    pub fn of_caller(
        config: &Config,
        connection: &Connection,
        (device, slot): (&Device, Arc<Slot>),
        shared: &Shared,
        outlet: Outlet,
        health: Arc<LinkHealth>,
    ) -> Option<Self> {
        let actor = Self::of(config, connection, [device].into_iter(), shared, outlet, health)?;
        Some(Self { slot: Some(slot), ..actor })
    }

    fn of<'c>(
        config: &Config,
        connection: &Connection,
        devices: impl Iterator<Item = &'c Device>,
        shared: &Shared,
        outlet: Outlet,
        health: Arc<LinkHealth>,
    ) -> Option<Self> {
        let connection = Arc::new(connection.clone());
        let now = wall_now();
        let mut schedule = Schedule::new();
        let mut stations = Vec::new();
        for device in devices {
            let station = schedule.add_station();
            let groups = station_groups(config, device);
            for (group, _) in &groups {
                schedule.add_group(station, millis(group.interval), millis(group.offset), now);
            }
            let groups = groups.into_iter().map(|(_, group)| group).collect();
            let device: Arc<Device> = Arc::new(device.clone());
            let meter = Meter::new(Arc::clone(&device), Arc::clone(&connection), shared.counters.clone());
            shared.recent.forget(device.name.as_str());
            stations.push(Station::new(device, meter, groups));
        }
        if stations.is_empty() {
            return None;
        }
        let mut actor = Self {
            connection,
            stations,
            schedule,
            outlet,
            health,
            shared: shared.clone(),
            deferred: None,
            port: None,
            heard: None,
            is_absent: false,
            slot: None,
            current: None,
            pause: Backoff::link(),
            last_failure: None,
            slept_until: now,
            visits: 0,
        };
        actor.apply_pauses();
        Some(actor)
    }

    /// Serves the link until `stop`; then its meters take leave.
    pub async fn run(mut self, orders: OrderQueue, stop: CancellationToken) {
        let mut orders = orders.lock().await;
        while !stop.is_cancelled() {
            self.health.set_queued(orders.len() as u64);
            if let Some(order) = self.deferred.take().or_else(|| orders.try_recv().ok()) {
                self.serve_ordered(order, &stop).await;
                continue;
            }
            let now = wall_now();
            if now < self.slept_until {
                self.schedule.clock_stepped(now);
            }
            let deadline = match self.schedule.next(now) {
                Next::Now(visit) => {
                    let span = self.span_of(&visit);
                    within_reason(self.visit(visit, &mut orders).instrument(span), &stop).await;
                    continue;
                }
                Next::NotBefore(at) => Some(sleep_time(at, now)),
                Next::Never => None,
            };
            self.slept_until = now;
            let wake = deadline.map(|time| TokioInstant::now() + time);
            let ordered = tokio::select! {
                () = stop.cancelled() => break,
                Some(order) = orders.recv() => Some(order),
                () = sleep_until(wake) => None,
                () = self.listen() => None,
            };
            if let Some(order) = ordered {
                self.serve_ordered(order, &stop).await;
            }
        }
        let _ = tokio::time::timeout(LEAVE_TIME, self.leave_current()).await;
        self.close_port().await;
    }

    async fn serve_ordered(&mut self, ordered: Ordered, stop: &CancellationToken) {
        within_reason(self.serve_in_span(ordered), stop).await;
    }

    pub(super) async fn serve_in_span(&mut self, Ordered { order, asked_in }: Ordered) {
        let device = order.device().map(Name::as_str);
        let link = self.connection.name.as_str();
        // Below the request's span, which knows the transaction and not the link.
        let span = asked_in.in_scope(|| tracing::info_span!("order", link, device));
        self.serve(order).instrument(span).await;
    }

    /// Hears what the meter says unasked while nothing is due; returns when the port is gone, or back.
    async fn listen(&mut self) {
        loop {
            let Some(port) = &mut self.port else { return self.port_returned().await };
            let Some(index) = self.current else {
                let error = port.end().await;
                tracing::debug!(connection = %self.connection.name, %error, "the idle link ended");
                return self.close_port().await;
            };
            let Some(Station { meter: Ok(meter), .. }) = self.stations.get_mut(index) else {
                return std::future::pending().await;
            };
            let (mut client, _) = meter.client(port);
            match client.idle().await {
                Ok(apdu) => self.hand_on(index, vec![apdu]).await,
                Err(error) => {
                    tracing::debug!(connection = %self.connection.name, %error, "the idle link ended");
                    return self.close_port().await;
                }
            }
        }
    }

    /// What log lines of a visit have in common.
    fn span_of(&mut self, visit: &Visit) -> tracing::Span {
        self.visits += 1;
        let device = self.stations.get(visit.station).map(|station| station.device.name.as_str());
        tracing::info_span!("visit", device, transaction = format_args!("poll-{}", self.visits))
    }

    /// Waits for the call of a meter, or for a serial port that was unplugged; then there is no reason to leave the link
    /// alone any more, and what was missed is read.
    async fn port_returned(&mut self) {
        match (&self.slot, &self.connection.link) {
            (Some(slot), _) => {
                slot.called().await;
                // It waits: this cannot fail, and if it could the next visit would tell.
                let _ = self.open().await;
            }
            (None, Link::Serial(serial)) if self.is_absent => {
                wait_for_return(&serial.device).await;
                tracing::info!(connection = %self.connection.name, "the serial port is back");
                self.is_absent = false;
            }
            _ => std::future::pending().await,
        }
        self.pause.succeeded();
        let now = wall_now();
        for (index, station) in self.stations.iter_mut().enumerate() {
            station.reachable();
            if station.is_behind() {
                self.schedule.read_at_once(index, now);
            }
        }
    }

    fn is_unplugged(&self) -> bool {
        matches!(&self.connection.link, Link::Serial(serial) if !serial.device.exists())
    }

    async fn visit(&mut self, visit: Visit, orders: &mut mpsc::Receiver<Ordered>) {
        let begun = Instant::now();
        let late_from = Timestamp::now();
        let Some(station) = self.stations.get(visit.station) else { return };
        let groups: Vec<(usize, DueGroup)> = visit.groups.iter().map(|due| (due.group, *due)).collect();
        let values: Vec<Value> = groups
            .iter()
            .filter_map(|(group, _)| station.groups.get(*group))
            .flat_map(|group| group.values.clone())
            .collect();
        let skipped: u64 = visit.groups.iter().map(|due| due.skipped).sum();
        let device = station.device.name.to_string();
        let (found, ended) = match self.pause_of(visit.station) {
            Some((subject, report)) => (none_of(&values, &report), Ended::LeftAlone(subject, report)),
            None => match self.read_in_parts(visit.station, &values, orders).await {
                Ok((found, broken)) => (found, Ended::Visited(broken)),
                Err(failure) => (none_of(&values, &failure.report), Ended::Failed(failure)),
            },
        };
        let ts = Timestamp::now();
        let duration = begun.elapsed();
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let error = ended.error().cloned();
        let mut found = found.into_iter();
        let mut worst = Outcome::Ok;
        for (group, due) in &groups {
            let cycle = Cycle {
                tick: Timestamp::from_millisecond(due.tick).unwrap_or(late_from),
                late_ms: u64::try_from(late_from.as_millisecond().saturating_sub(due.tick)).unwrap_or(0),
                ts,
                duration_ms,
                error: error.clone(),
            };
            let ended = self.publish(visit.station, *group, &cycle, &mut found).await;
            worst = worse(worst, ended);
            self.health.count_poll(ended, due.skipped);
        }
        if let Some(station) = self.stations.get_mut(visit.station) {
            station.status.polls.skipped += skipped;
        }
        let changes = self.account(visit.station, &ended, worst);
        self.announce(&device, changes, error.as_ref()).await;
        self.after_visit(visit.station).await;
        self.say_status(visit.station);
        self.measure(visit.station, &ended, duration);
    }

    fn measure(&self, index: usize, ended: &Ended, duration: Duration) {
        if matches!(ended, Ended::Visited(_)) {
            self.health.count_read(duration);
        }
        if let Some(Station { device, status, .. }) = self.stations.get(index)
            && let Some(counter) = &status.invocation_counter
        {
            self.health.set_headroom(device.name.as_str(), counter.remaining);
        }
    }

    /// Why the meter is left alone in this cycle, if so.
    fn pause_of(&self, index: usize) -> Option<(Subject, Report)> {
        let of_meter = self.stations.get(index)?.pause(Instant::now());
        let of_meter = of_meter.map(|report| (Subject::Meter, report));
        of_meter.or_else(|| Some((Subject::Link, self.pause_of_link()?)))
    }

    /// The reason alone.
    pub(super) fn why_wait(&self, index: usize) -> Option<Report> {
        self.pause_of(index).map(|(_, report)| report)
    }

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

    pub(super) async fn visit_once(
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
        if visited.broken.is_none() {
            self.heard = Some((index, Instant::now()));
            if !is_associated {
                self.leave_current().await;
            }
        }
        Ok(visited)
    }

    async fn open(&mut self) -> Result<(), Failure> {
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

    /// Publishes what was found of a group, and takes it from `found`.
    async fn publish(
        &self,
        index: usize,
        group: usize,
        cycle: &Cycle,
        found: &mut impl Iterator<Item = Found>,
    ) -> Outcome {
        let Some(station) = self.stations.get(index) else { return Outcome::Failed };
        let Some(group) = station.groups.get(group) else { return Outcome::Failed };
        let of = GroupOf {
            device: station.device.name.as_str(),
            serial: station.serial(),
            group: &group.name,
            labels: &group.labels,
        };
        let found: Vec<(&Value, Found)> = group.values.iter().zip(found).collect();
        let mut items = Vec::with_capacity(found.len());
        for (value, found) in &found {
            let item = match found {
                Found::Value(reading) => {
                    self.outlet.value(of, reading, cycle.ts, cycle.duration_ms).await;
                    if let Some(error) = &reading.error {
                        self.count_error(cycle, error);
                    }
                    Item::Value(reading)
                }
                Found::Rows(rows) => {
                    let told = rows.as_ref().ok().and_then(|rows| rows.obis);
                    let obis = value.obis.or(told);
                    let mut entry = ProfileEntry { obis, rows: 0, first: None, last: None, read_id: None };
                    let error = match rows {
                        Ok(rows) => {
                            let published =
                                self.outlet.rows(of, value.name.as_str(), obis, rows, cycle.ts).await;
                            entry.rows = published.rows;
                            entry.first.clone_from(&rows.rows.first);
                            entry.last.clone_from(&rows.rows.last);
                            entry.read_id = Some(published.read_id);
                            None
                        }
                        Err(error) => {
                            self.count_error(cycle, error);
                            Some(error.clone())
                        }
                    };
                    Item::Profile(entry, error)
                }
            };
            items.push((value.name.as_str(), item));
        }
        let outcome = self.outlet.snapshot(of, cycle, items.iter().map(|(name, item)| (*name, item))).await;
        drop(items);
        for (value, found) in found {
            if let Found::Value(reading) = found {
                self.shared.recent.keep(of.device, value, reading, cycle.ts, cycle.duration_ms);
            }
        }
        outcome
    }

    /// Counts the failure of one value. One that was not tried, or failed with all others, is counted as a visit.
    fn count_error(&self, cycle: &Cycle, error: &Report) {
        if cycle.error.is_none() {
            self.health.count_error(error.code);
        }
    }

    fn account(&mut self, index: usize, ended: &Ended, worst: Outcome) -> Changes {
        let Some(station) = self.stations.get_mut(index) else { return Changes::default() };
        let changes = match ended {
            Ended::Visited(broken) => station.visited(worst, broken.as_ref()),
            Ended::Failed(Failure { subject, report, .. }) => {
                self.health.count_error(report.code);
                tracing::warn!(device = %station.device.name, connection = %self.connection.name,
                    code = %report.code, message = %report.message, "a visit failed");
                let now = Instant::now();
                match subject {
                    Subject::Meter => station.failed(report, now),
                    Subject::Link => station.unreachable(report, self.pause.until(now)),
                }
            }
            Ended::LeftAlone(subject, _) => station.left_alone(*subject),
        };
        let is_failing =
            self.stations.iter().any(|station| station.status.state == Some(DeviceState::Offline));
        self.health.set_condition(if is_failing { Condition::Failing } else { Condition::Well });
        changes
    }

    pub(super) async fn announce(&self, device: &str, changes: Changes, error: Option<&Report>) {
        let details = |report: &Report| {
            Json::Object(vec![
                ("layer".into(), Json::Text(report.layer.as_str().to_owned())),
                ("message".into(), Json::Text(report.message.clone())),
                ("hint".into(), Json::Text(report.hint.to_string())),
            ])
        };
        let nothing = Json::Object(Vec::new());
        let data = error.map_or(nothing, details);
        if let Some(state) = changes.availability {
            self.outlet.availability(device, state);
            let (kind, severity) = match state {
                DeviceState::Online => ("online", Severity::Info),
                DeviceState::Offline => ("offline", Severity::Warning),
            };
            let code = error.map(|error| error.code);
            self.outlet
                .event(Event { kind, severity, device: Some(device), connection: None, code, data: &data })
                .await;
        }
        if changes.locked_out
            && let Some(error) = error
        {
            tracing::error!(device, code = %error.code, "the meter refused us too often and is left alone");
            let event = Event {
                kind: "error",
                severity: Severity::Error,
                device: Some(device),
                connection: None,
                code: Some(error.code),
                data: &details(&locked_out(error)),
            };
            self.outlet.event(event).await;
        }
    }

    async fn say_identity_changed(&self, index: usize, before: String) {
        let Some(station) = self.stations.get(index) else { return };
        let name = station.status.identity.logical_device_name.clone().unwrap_or_default();
        let data = Json::Object(vec![
            ("logical_device_name".into(), Json::Text(name)),
            ("before".into(), Json::Text(before)),
        ]);
        self.outlet
            .event(Event {
                kind: "identity_changed",
                severity: Severity::Warning,
                device: Some(station.device.name.as_str()),
                connection: None,
                code: None,
                data: &data,
            })
            .await;
    }

    /// Keeps open what the next visit will need, and nothing else.
    pub(super) async fn after_visit(&mut self, index: usize) {
        let now = wall_now();
        let Some(station) = self.stations.get(index) else { return };
        let holds = self.connection.hold == Hold::Hold || station.device.hold == Hold::Hold;
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

    pub(super) fn say_status(&mut self, index: usize) {
        let outlet = &self.outlet;
        let Some(station) = self.stations.get_mut(index) else { return };
        let device = Arc::clone(&station.device);
        if let Some(status) = station.status_to_say(Instant::now()) {
            outlet.status(device.name.as_str(), status);
        }
    }
}

/// How a visit ended.
#[derive(Debug)]
enum Ended {
    /// There were answers; the report says what broke it off, if anything did.
    Visited(Option<Report>),
    /// There were none.
    Failed(Failure),
    /// It was not tried, for the sake of the link or of the meter.
    LeftAlone(Subject, Report),
}

impl Ended {
    const fn error(&self) -> Option<&Report> {
        match self {
            Self::Visited(_) => None,
            Self::Failed(Failure { report, .. }) | Self::LeftAlone(_, report) => Some(report),
        }
    }
}

/// Runs to the end; once `stop` is asked, the exchange under way has a moment more.
async fn within_reason(work: impl Future<Output = ()>, stop: &CancellationToken) {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        () = &mut work => {}
        () = stop.cancelled() => {
            let _ = tokio::time::timeout(LEAVE_TIME, work).await;
        }
    }
}

/// The groups that poll a device, each with what the device has of it.
pub(super) fn station_groups<'c>(config: &'c Config, device: &Device) -> Vec<(&'c Group, StationGroup)> {
    if !config.is_active(device) {
        return Vec::new();
    }
    let polled = config.groups.values().filter(|group| group.enabled);
    let of_device = polled.filter_map(|group| {
        let is_wanted = |value: &&Value| value.enabled && value.devices.contains(&device.name);
        let values: Vec<Value> = group.values.iter().filter(is_wanted).cloned().collect();
        let mut labels = device.labels.clone();
        labels.extend(group.labels.clone());
        let name = group.name.to_string();
        (!values.is_empty()).then_some((group, StationGroup { name, labels, values }))
    });
    of_device.collect()
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

fn nothing_good(found: &[Option<Found>]) -> bool {
    !found.iter().flatten().any(Found::is_good)
}

const fn worse(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (Outcome::Failed, _) | (_, Outcome::Failed) => Outcome::Failed,
        (Outcome::Partial, _) | (_, Outcome::Partial) => Outcome::Partial,
        (Outcome::Ok, Outcome::Ok) => Outcome::Ok,
    }
}

fn internal(message: &str) -> Report {
    Report::new(Code::Internal, Layer::Internal, message)
}

pub(super) fn wall_now() -> WallMillis {
    Timestamp::now().as_millisecond()
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn sleep_time(at: WallMillis, now: WallMillis) -> Duration {
    let millis = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
    Duration::from_millis(millis).min(LONGEST_SLEEP)
}

async fn sleep_until(wake: Option<TokioInstant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
