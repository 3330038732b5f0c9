//! Back-fill on a link: gaps of profiles are seen at polls, and filled in slices while nothing else is to be done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::actor::{LinkActor, wall_now};
use super::failure::{Failure, Subject};
use super::order::Ordered;
use super::profile_reading::{Window, read_window};
use super::station::Station;
use super::visit::{FoundRows, NEVER};
use crate::bridge::backfill::track::{Closed, Coverage, Filled, Selection, Span};
use crate::bridge::backfill::{Seen, Track};
use crate::bridge::config::Name;
use crate::bridge::config::model::{Capture, Value};
use crate::bridge::outlet::{Batches, Event, GroupOf};
use crate::bridge::reading::json::Json;
use crate::bridge::reading::profile_rows::Mode;
use crate::bridge::reading::status::Severity;
use crate::bridge::schedule::Activity;
use crate::cosem::decimal::Decimal;
use crate::error::{Code, Report};
use crate::session::error::Recovery;

/// Where a gap is.
#[derive(Clone, Debug)]
struct Place {
    station: usize,
    group: usize,
    profile: Name,
}

/// Whether gaps of a value are looked for: whoever reads a window of his own wants that window.
fn is_tracked(value: &Value) -> bool {
    let profile = value.profile.as_ref();
    profile.is_some_and(|profile| profile.from.is_none() && (profile.backfill || is_incremental(value)))
}

fn is_incremental(value: &Value) -> bool {
    value.profile.as_ref().is_some_and(|profile| matches!(profile.capture, Capture::Since(_)))
}

/// Has profiles that are read incrementally go on after the last row that was published. A row from the future is none
/// to wait for.
pub(super) fn go_on_after(tracks: &BTreeMap<Name, Track>, values: &mut [Value]) {
    let now = Timestamp::now();
    for value in values {
        if let Some(profile) = &mut value.profile
            && let Capture::Since(since) = &mut profile.capture
        {
            let newest = tracks.get(&value.name).and_then(|track| track.goes_on_after(now));
            *since = newest.filter(|newest| !newest.is_after_tomorrow(now));
        }
    }
}

/// What a poll showed of a profile; `None` where its rows have no times.
pub(super) fn seen(value: &Value, found: &FoundRows, station: &Station) -> Option<(Name, Seen)> {
    if !is_tracked(value) {
        return None;
    }
    let (first, last) = *found.rows.span.clone()?;
    let entries = value.profile.as_ref().and_then(|profile| profile.entries);
    let is_full = entries.is_some_and(|entries| found.rows.rows.len() >= usize::from(entries));
    let seen = Seen {
        obis: value.obis.or(found.obis).map(|obis| obis.to_string()),
        meter: station.meter_name().map(str::to_owned),
        first,
        last,
        capture_period: found.capture_period,
        backfill: value.profile.as_ref().is_some_and(|profile| profile.backfill),
        coverage: if is_full { Coverage::Newest } else { Coverage::Whole },
        selection: if is_incremental(value) { Selection::AfterLast } else { Selection::Configured },
    };
    Some((value.name.clone(), seen))
}

impl LinkActor {
    /// Learns how far the profiles of this link were published before, and forgets those that are not read any more.
    pub(super) fn load_tracks(&mut self) {
        let store = &self.shared.tracks;
        for Station { device, groups, tracks, .. } in &mut self.stations {
            let values = groups.iter().flat_map(|group| &group.values).filter(|value| is_tracked(value));
            let mut known = std::mem::take(tracks);
            tracks.extend(values.map(|value| {
                let track = known.remove(&value.name);
                (value.name.clone(), track.unwrap_or_else(|| store.load(&device.name, &value.name)))
            }));
        }
    }

    /// Takes note of rows that were published, and tells of the gaps that they leave.
    pub(super) async fn track(&mut self, index: usize, seen: Vec<(Name, Seen)>) {
        for (profile, seen) in seen {
            let Some(Station { device, meter, tracks, .. }) = self.stations.get_mut(index) else { return };
            let track = tracks.entry(profile.clone()).or_default();
            let before = track.clone();
            let opened = track.saw(seen, Timestamp::now());
            let is_news = *track != before;
            if let Some(span) = opened {
                if let Ok(meter) = meter {
                    // It may have been given another capture period: read before anything is missed.
                    meter.memory.layouts.clear();
                }
                let device = Arc::clone(device);
                let reason = "the newest rows begin after the last one that was published";
                let data = gap_data(&profile, &span, None, Some(reason));
                self.say_gap("gap_opened", Severity::Warning, &device.name, None, &data).await;
            }
            if is_news {
                self.keep_track(index, &profile);
            }
        }
    }

    /// Keeps how far a profile was published, and told of, before this. Rows that a killed gateway had not made safe come
    /// twice after it, and never not at all.
    fn keep_track(&self, index: usize, profile: &Name) {
        if let Some(Station { device, tracks, .. }) = self.stations.get(index)
            && let Some(track) = tracks.get(profile)
        {
            self.shared.tracks.keep(&device.name, profile, track, self.outlet.publisher().tail());
        }
    }

    /// Whether a slice of a gap can be read now.
    pub(super) fn has_gap_to_fill(&self) -> bool {
        self.next_gap().is_some()
    }

    /// Reads slices of gaps until something else is to be done, or one fails.
    pub(super) async fn fill_gaps(&mut self, orders: &mpsc::Receiver<Ordered>, stop: &CancellationToken) {
        let Some(mut place) = self.next_gap() else { return };
        let index = place.station;
        loop {
            let filled = self.fill_slice(&place).await;
            if let Some(station) = self.stations.get_mut(index) {
                match &filled {
                    Ok(()) => station.fill_pause.succeeded(),
                    Err(_) => station.fill_pause.failed(Instant::now(), fastrand::f64()),
                }
            }
            if let Err(failure) = filled {
                tracing::info!(code = %failure.report.code, message = %failure.report.message, "a gap cannot be filled now");
                self.recover(index, &failure).await;
                if failure.subject == Subject::Meter {
                    self.count_refusal(index, Some(&failure.report)).await;
                }
                break;
            }
            let is_wanted = !orders.is_empty() || self.deferred.is_some() || self.schedule.is_due(wall_now());
            match self.next_gap().filter(|next| next.station == index) {
                Some(next) if !is_wanted && !stop.is_cancelled() => place = next,
                _ => break,
            }
        }
        self.say_counter_resynced(index).await;
        self.say_clock_drift(index).await;
        self.after_visit(index).await;
        self.say_status(index);
    }

    /// The gap whose turn it is: of a meter that can be visited, in a group that is polled. None while the outbox fills:
    /// rows that the meter keeps must not drive newer ones out.
    fn next_gap(&self) -> Option<Place> {
        let is_silent = self.pause_of_link().is_some() || self.slot.is_some() && self.port.is_none();
        if is_silent || !self.outlet.publisher().has_room_to_spare() {
            return None;
        }
        let now = Instant::now();
        self.stations.iter().enumerate().find_map(|(index, station)| {
            if station.pause(now).is_some() || station.fill_pause.until(now).is_some() {
                return None;
            }
            station.groups.iter().enumerate().find_map(|(place, group)| {
                if self.schedule.activity(index, place) == Activity::Paused {
                    return None;
                }
                let has_gap = |value: &&Value| station.tracks.get(&value.name).is_some_and(Track::has_gap);
                let value = group.values.iter().find(has_gap)?;
                Some(Place { station: index, group: place, profile: value.name.clone() })
            })
        })
    }

    async fn fill_slice(&mut self, place: &Place) -> Result<(), Failure> {
        let index = place.station;
        let associated = self.visit_once(index, &[], NEVER).await;
        self.hand_on_kept(index).await;
        associated?;
        let (Some(port), Some(station)) = (&mut self.port, self.stations.get_mut(index)) else {
            return Ok(());
        };
        let name = station.meter_name().map(str::to_owned);
        let Station { device, meter: Ok(meter), groups, tracks, .. } = station else { return Ok(()) };
        let values = groups.get(place.group).map(|group| group.values.as_slice()).unwrap_or_default();
        let Some(value) = values.iter().find(|value| value.name == place.profile) else { return Ok(()) };
        let Some(track) = tracks.get_mut(&place.profile) else { return Ok(()) };
        if !track.is_of(value.obis.map(|obis| obis.to_string()).as_deref(), name.as_deref()) {
            let closed = track.close(Some("another meter, or another profile, is in its place".to_owned()));
            return self.gap_closed(place, closed, None).await;
        }
        let (mut client, memory) = meter.client(port);
        let slice = |access| track.next_slice(access);
        let is_wanted = |slice, row: &_| track.fills(slice, row);
        match read_window(&mut client, memory, device, value, slice, is_wanted).await? {
            // Other links fill gaps too. The meter keeps the rows.
            Ok(_) if !self.outlet.publisher().has_room_to_spare() => Ok(()),
            Ok(window) => {
                let filled = track.filled(window.slice, &window.times, window.found.capture_period);
                self.publish_slice(place, &window, &filled).await;
                self.gap_closed(place, filled.closed, None).await
            }
            Err(report) if report.code == Code::TemporaryFailure => {
                Err(Failure { subject: Subject::Meter, report, recovery: Recovery::ReportOnly })
            }
            Err(report) => {
                let closed = track.close(Some(report.message.clone()));
                self.gap_closed(place, closed, Some(&report)).await
            }
        }
    }

    async fn publish_slice(&self, place: &Place, window: &Window, filled: &Filled) {
        let Some(station) = self.stations.get(place.station) else { return };
        let Some(group) = station.groups.get(place.group) else { return };
        if window.times.is_empty() && filled.holes.is_empty() {
            return;
        }
        let of = GroupOf {
            device: station.device.name.as_str(),
            serial: station.serial(),
            group: &group.name,
            labels: &group.labels,
        };
        let value = group.values.iter().find(|value| value.name == place.profile);
        let obis = value.and_then(|value| value.obis).or(window.found.obis);
        let batches = Batches { mode: Mode::Backfill, gaps: &filled.holes };
        self.outlet.rows(of, place.profile.as_str(), obis, &window.found, batches, Timestamp::now()).await;
    }

    /// Keeps what was reached, after it told of a gap that is closed.
    async fn gap_closed(
        &self,
        place: &Place,
        closed: Option<Closed>,
        refused: Option<&Report>,
    ) -> Result<(), Failure> {
        let Some(Station { device, .. }) = self.stations.get(place.station) else { return Ok(()) };
        if let Some(Closed { span, rows, reason }) = closed {
            let severity = if reason.is_some() { Severity::Warning } else { Severity::Info };
            let data = gap_data(&place.profile, &span, Some(rows), reason.as_deref());
            self.say_gap("gap_filled", severity, &device.name, refused.map(|report| report.code), &data)
                .await;
        }
        self.keep_track(place.station, &place.profile);
        Ok(())
    }

    async fn say_gap(&self, kind: &str, severity: Severity, device: &Name, code: Option<Code>, data: &Json) {
        let event = Event { code, ..Event::of_device(kind, severity, device.as_str(), data) };
        self.outlet.event(event).await;
    }
}

fn gap_data(profile: &Name, span: &Span, rows: Option<u64>, reason: Option<&str>) -> Json {
    let text = |text: &str| Json::Text(text.to_owned());
    let number = |rows: u64| Json::Number(Decimal::from(i64::try_from(rows).unwrap_or(i64::MAX)));
    let mut data = vec![
        ("profile".into(), text(profile.as_str())),
        ("from".into(), text(&span.from)),
        ("to".into(), text(&span.to)),
    ];
    data.extend(rows.map(|rows| ("rows".into(), number(rows))));
    data.extend(reason.map(|reason| ("reason".into(), text(reason))));
    Json::Object(data)
}
