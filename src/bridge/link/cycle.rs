//! One cycle of a station: the visit, what is published of it, and what it says of the meter's health.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::actor::LinkActor;
use super::backfill::{go_on_after, seen};
use super::failure::{Failure, Subject};
use super::order::Ordered;
use super::station::{Changes, Station, locked_out};
use super::visit::{Found, none_of};
use crate::bridge::backfill::Seen;
use crate::bridge::config::Name;
use crate::bridge::config::model::Value;
use crate::bridge::health::Condition;
use crate::bridge::outlet::{Batches, Event, GroupOf};
use crate::bridge::reading::json::Json;
use crate::bridge::reading::snapshot::{Cycle, Item, Outcome, ProfileEntry};
use crate::bridge::reading::status::{DeviceState, Severity};
use crate::bridge::schedule::{DueGroup, Visit};
use crate::error::Report;

impl LinkActor {
    /// Visits a station for groups that are due; publishes what was found and how it went.
    pub(super) async fn visit(&mut self, visit: Visit, orders: &mut mpsc::Receiver<Ordered>) {
        let begun = Instant::now();
        let late_from = Timestamp::now();
        let Some(station) = self.stations.get(visit.station) else { return };
        let groups: Vec<(usize, DueGroup)> = visit.groups.iter().map(|due| (due.group, *due)).collect();
        let mut values: Vec<Value> = groups
            .iter()
            .filter_map(|(group, _)| station.groups.get(*group))
            .flat_map(|group| group.values.clone())
            .collect();
        go_on_after(&station.tracks, &mut values);
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
            let (ended, seen) = self.publish(visit.station, *group, &cycle, &mut found).await;
            self.track(visit.station, seen).await;
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

    /// Publishes what was found of a group, and takes it from `found`. What profiles showed is yet to be tracked.
    async fn publish(
        &self,
        index: usize,
        group: usize,
        cycle: &Cycle,
        found: &mut impl Iterator<Item = Found>,
    ) -> (Outcome, Vec<(Name, Seen)>) {
        let Some(station) = self.stations.get(index) else { return (Outcome::Failed, Vec::new()) };
        let Some(group) = station.groups.get(group) else { return (Outcome::Failed, Vec::new()) };
        let mut tracked = Vec::new();
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
                            let name = value.name.as_str();
                            let published =
                                self.outlet.rows(of, name, obis, rows, Batches::LIVE, cycle.ts).await;
                            tracked.extend(seen(value, rows, station));
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
        (outcome, tracked)
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
        let condition = if is_failing { Condition::Failing } else { Condition::Well };
        // Those that call have an actor each, and one health together.
        let caller = self.stations.first().filter(|_| self.slot.is_some());
        self.health.set_condition(caller.map(|station| station.device.name.as_str()), condition);
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
            let event = Event { code, ..Event::of_device(kind, severity, device, &data) };
            self.outlet.event(event).await;
        }
        if changes.locked_out
            && let Some(error) = error
        {
            tracing::error!(device, code = %error.code, "the meter refused us too often and is left alone");
            let data = details(&locked_out(error));
            let event = Event::of_device("error", Severity::Error, device, &data);
            let event = Event { code: Some(error.code), ..event };
            self.outlet.event(event).await;
        }
    }

    pub(super) async fn say_identity_changed(&self, index: usize, before: String) {
        let Some(station) = self.stations.get(index) else { return };
        let name = station.status.identity.logical_device_name.clone().unwrap_or_default();
        let data = Json::Object(vec![
            ("logical_device_name".into(), Json::Text(name)),
            ("before".into(), Json::Text(before)),
        ]);
        let device = station.device.name.as_str();
        self.outlet.event(Event::of_device("identity_changed", Severity::Warning, device, &data)).await;
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

const fn worse(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (Outcome::Failed, _) | (_, Outcome::Failed) => Outcome::Failed,
        (Outcome::Partial, _) | (_, Outcome::Partial) => Outcome::Partial,
        (Outcome::Ok, Outcome::Ok) => Outcome::Ok,
    }
}
