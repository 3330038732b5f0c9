//! The actor that alone owns a link's port: it serves the link's meters one at a time, by the schedule.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant as TokioInstant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::dial_in::Slot;
use super::meter::Meter;
use super::open::LinkDriver;
use super::order::Ordered;
use super::station::{Station, StationGroup};
use crate::bridge::backoff::Backoff;
use crate::bridge::config::Name;
use crate::bridge::config::model::{Config, Connection, Device, Group, Link, Value};
use crate::bridge::health::LinkHealth;
use crate::bridge::links::Shared;
use crate::bridge::outlet::Outlet;
use crate::bridge::schedule::{Next, Schedule, Visit, WallMillis};
use crate::error::Report;
use crate::transport::serial::wait_for_return;

/// The longest sleep between looks at the wall clock, which may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How long the meters of a link have to take leave when the bridge stops.
const LEAVE_TIME: Duration = Duration::from_secs(3);

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
    pub(super) is_absent: bool,
    /// Where the meter's calls come in, if it is the one to call.
    pub(super) slot: Option<Arc<Slot>>,
    /// The station whose association is open.
    pub(super) current: Option<usize>,
    pub(super) pause: Backoff,
    pub(super) last_failure: Option<Report>,
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
        actor.load_tracks();
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
                Next::NotBefore(_) if self.has_gap_to_fill() => {
                    let span = tracing::info_span!("backfill", link = self.connection.name.as_str());
                    within_reason(self.fill_gaps(&orders, &stop).instrument(span), &stop).await;
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
        let mut asked = None;
        loop {
            let Some(port) = &mut self.port else { return self.port_returned().await };
            let Some(index) = self.current else {
                let error = port.end().await;
                tracing::debug!(connection = %self.connection.name, %error, "the idle link ended");
                return self.close_port().await;
            };
            let Some(Station { meter: Ok(meter), device, .. }) = self.stations.get_mut(index) else {
                return std::future::pending().await;
            };
            let (mut client, _) = meter.client(port);
            let silence = device.keep_alive();
            let since = asked.max(Some(client.heard_at()));
            let ask = silence.zip(since).map(|(silence, since)| since + silence);
            let heard = tokio::select! {
                heard = client.idle() => heard,
                () = sleep_until(ask) => {
                    client.keep_alive();
                    asked = Some(TokioInstant::now());
                    continue;
                }
            };
            match heard {
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
