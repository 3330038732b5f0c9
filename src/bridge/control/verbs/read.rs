//! `read`: values of a device, or the snapshots of a group, now. Nothing of it is published but the answer.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::bridge::config::Name;
use crate::bridge::config::forms::Attributes;
use crate::bridge::config::model::{Config, Device, Group, Selection, Value};
use crate::bridge::config::object::{ClassRef, ObisText, TimePoint};
use crate::bridge::config::quantity::{Integer, Period};
use crate::bridge::control::answer::Answer;
use crate::bridge::control::dispatch::{Ask, ControlPlane};
use crate::bridge::control::request::invalid;
use crate::bridge::hub::{Current, Hub};
use crate::bridge::link::order::{Answers, Order, Orders};
use crate::bridge::link::visit::{Found, none_of};
use crate::bridge::links::not_running;
use crate::bridge::on_demand::{ObjectWanted, payload};
use crate::bridge::reading::snapshot::{Cycle, Item, ProfileEntry, Snapshot};
use crate::bridge::reading::value::Source;
use crate::error::{Code, Layer, Report};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    device: Option<Name>,
    objects: Option<Vec<Object>>,
    group: Option<Name>,
    max_age: Option<Period>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    obis: ObisText,
    class: Option<ClassRef>,
    attribute: Option<Integer>,
    attributes: Option<Attributes>,
    entries: Option<Integer>,
    from: Option<TimePoint>,
    to: Option<TimePoint>,
}

/// Most objects of a request: their answer must fit a message.
const MOST_OBJECTS: usize = 500;

/// `read`.
pub(super) async fn read(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    let Arguments { device, objects, group, max_age } = ask.request.arguments()?;
    let max_age = max_age.map(|Period(age)| age);
    let current = plane.hub.current();
    match (device, objects, group) {
        (Some(device), Some(objects), None) => {
            objects_of(&plane.hub, &current, &device, &objects, max_age, ask.deadline).await
        }
        (_, None, Some(_)) if max_age.is_some() => Err(invalid("max_age: it goes with objects alone")),
        (device, None, Some(group)) => {
            snapshots_of(&plane.hub, &current, &group, device.as_ref(), ask.deadline).await
        }
        _ => Err(invalid("either device and objects or group is expected")),
    }
}

async fn objects_of(
    hub: &Hub,
    current: &Current,
    name: &Name,
    objects: &[Object],
    max_age: Option<Duration>,
    deadline: Instant,
) -> Result<Answer, Report> {
    #[derive(Serialize)]
    struct Values {
        values: Vec<Box<RawValue>>,
    }
    if objects.is_empty() || objects.len() > MOST_OBJECTS {
        return Err(invalid(format!("objects: 1 to {MOST_OBJECTS} are expected")));
    }
    let Target { device, .. } = Target::find(hub, &current.config, name)?;
    let values = objects
        .iter()
        .enumerate()
        .map(|(index, object)| Ok(object.wanted(index)?.value(&current.config, device)))
        .collect::<Result<Vec<Value>, Report>>()?;
    let kept = |value: &Value| {
        let kept = max_age.and_then(|age| hub.links.shared().recent.of(name.as_str(), value, age))?;
        let reading = Box::new(kept.reading.stale());
        Some((Found::Value(reading), kept.ts, kept.poll_ms))
    };
    let mut found: Vec<Option<(Found, Timestamp, u64)>> = values.iter().map(kept).collect();
    let wanted: Vec<Value> = values
        .iter()
        .zip(&found)
        .filter(|(_, kept)| kept.is_none())
        .map(|(value, _)| value.clone())
        .collect();
    let mut serial = device.identity.serial.clone();
    if !wanted.is_empty() {
        let answers = match read_now(hub, &current.config, device, wanted.clone(), deadline).await {
            Ok(answers) => answers,
            // What is known is not withheld because the rest is not to be had.
            Err(report) if found.iter().any(Option::is_some) => Answers::nothing(none_of(&wanted, &report)),
            Err(report) => return Err(report),
        };
        serial = answers.serial.or(serial);
        let places = found.iter_mut().filter(|kept| kept.is_none());
        for (place, answer) in places.zip(answers.found) {
            *place = Some((answer, answers.ts, answers.duration_ms));
        }
    }
    let source =
        Source { gateway: current.outlet.gateway(), device: name.as_str(), serial: serial.as_deref() };
    let mut failures = Failures::default();
    let mut written = Vec::with_capacity(values.len());
    for (value, (found, ts, poll_ms)) in values.iter().zip(found.into_iter().flatten()) {
        failures.note(&found);
        written.push(payload(source, value, &found, ts, poll_ms)?);
    }
    Ok(failures.answer(&Values { values: written }))
}

async fn snapshots_of(
    hub: &Hub,
    current: &Current,
    name: &Name,
    only: Option<&Name>,
    deadline: Instant,
) -> Result<Answer, Report> {
    #[derive(Serialize)]
    struct Snapshots {
        snapshots: Vec<Box<RawValue>>,
    }
    let config = &current.config;
    let group = config.groups.get(name).ok_or_else(|| unknown("group", name))?;
    let devices = devices_of(config, group, only)?;
    let mut snapshots = Vec::with_capacity(devices.len());
    let mut failures = Failures::default();
    // One after another: an answer too large or too late is the caller's risk, a storm on a bus would be ours.
    for device in devices {
        let snapshot = snapshot_of(hub, current, group, device, deadline, &mut failures).await?;
        snapshots.push(snapshot);
    }
    Ok(failures.answer(&Snapshots { snapshots }))
}

async fn snapshot_of(
    hub: &Hub,
    current: &Current,
    group: &Group,
    device: &Device,
    deadline: Instant,
    failures: &mut Failures,
) -> Result<Box<RawValue>, Report> {
    let is_wanted = |value: &&Value| value.enabled && value.devices.contains(&device.name);
    let values: Vec<Value> = group.values.iter().filter(is_wanted).cloned().collect();
    let (answers, error) = match read_now(hub, &current.config, device, values.clone(), deadline).await {
        Ok(answers) => (answers, None),
        Err(report) => (Answers::nothing(none_of(&values, &report)), Some(report)),
    };
    answers.found.iter().for_each(|found| failures.note(found));
    snapshot(hub, current, group, device, &values, &answers, error)
}

/// The snapshot of what was found of a device, as polls publish it.
pub(super) fn snapshot(
    hub: &Hub,
    current: &Current,
    group: &Group,
    device: &Device,
    values: &[Value],
    answers: &Answers,
    error: Option<Report>,
) -> Result<Box<RawValue>, Report> {
    let items: Vec<(&str, Item<'_>)> = values
        .iter()
        .zip(&answers.found)
        .map(|(value, found)| (value.name.as_str(), item(value, found)))
        .collect();
    let duration = jiff::SignedDuration::from_millis(i64::try_from(answers.duration_ms).unwrap_or(0));
    let tick = answers.ts.checked_sub(duration).unwrap_or(answers.ts);
    let cycle = Cycle { tick, late_ms: 0, ts: answers.ts, duration_ms: answers.duration_ms, error };
    let mut labels = device.labels.clone();
    labels.extend(group.labels.clone());
    let source = Source {
        gateway: current.outlet.gateway(),
        device: device.name.as_str(),
        serial: answers.serial.as_deref().or(device.identity.serial.as_deref()),
    };
    let items = items.iter().map(|(name, item)| (*name, item));
    let snapshot = Snapshot::new(source, group.name.as_str(), &cycle, items, &labels, hub.sequence.next());
    to_raw_value(&snapshot).map_err(|error| Report::new(Code::Internal, Layer::Internal, error.to_string()))
}

fn item<'a>(value: &Value, found: &'a Found) -> Item<'a> {
    match found {
        Found::Value(reading) => Item::Value(reading),
        Found::Rows(rows) => {
            let obis = value.obis.or(rows.as_ref().ok().and_then(|rows| rows.obis));
            let mut entry = ProfileEntry { obis, rows: 0, first: None, last: None, read_id: None };
            match rows {
                Ok(rows) => {
                    entry.rows = rows.rows.rows.len();
                    entry.first.clone_from(&rows.rows.first);
                    entry.last.clone_from(&rows.rows.last);
                    Item::Profile(entry, None)
                }
                Err(error) => Item::Profile(entry, Some(error.clone())),
            }
        }
    }
}

/// A configured device, and the way to its link.
pub(super) struct Target<'c> {
    pub(super) device: &'c Device,
    pub(super) orders: Orders,
}

impl<'c> Target<'c> {
    /// The device of this name.
    pub(super) fn find(hub: &Hub, config: &'c Config, name: &Name) -> Result<Self, Report> {
        let device = config.devices.get(name).ok_or_else(|| unknown("device", name))?;
        let orders = hub.links.orders(&device.connection).ok_or_else(|| not_running(&device.connection))?;
        Ok(Self { device, orders })
    }
}

/// Reads values of a device through its link.
pub(super) async fn read_now(
    hub: &Hub,
    config: &Config,
    device: &Device,
    values: Vec<Value>,
    deadline: Instant,
) -> Result<Answers, Report> {
    let Target { device, orders } = Target::find(hub, config, &device.name)?;
    let device = device.name.clone();
    orders.ask(deadline, |ask| Order::Read { device, values, ask }).await
}

/// There is no such name.
pub(super) fn unknown(what: &str, name: &Name) -> Report {
    Report::new(Code::UnknownName, Layer::Control, format!("there is no {what} {name}"))
}

/// What failed of what was read.
#[derive(Debug, Default)]
struct Failures {
    some_good: bool,
    first: Option<Report>,
}

impl Failures {
    fn note(&mut self, found: &Found) {
        match found.error() {
            None => self.some_good = true,
            Some(error) => {
                self.first.get_or_insert_with(|| error.clone());
            }
        }
    }

    fn answer(self, data: &impl Serialize) -> Answer {
        match (self.first, self.some_good) {
            (None, _) => Answer::ok(data),
            (Some(error), true) => Answer::partial(data, error),
            (Some(error), false) => Answer::failed(data, error),
        }
    }
}

impl Object {
    fn wanted(&self, index: usize) -> Result<ObjectWanted, Report> {
        let at = |what: &str| invalid(format!("objects[{index}].{what}"));
        let number = |Integer(number)| {
            let number = i8::try_from(number).ok().filter(|number| *number >= 1);
            number.ok_or_else(|| at("attribute: a number from 1 to 127 is expected"))
        };
        let selection = match (self.attribute, &self.attributes) {
            (None, None) => Selection::Usual,
            (Some(_), Some(_)) => return Err(at("attribute: attributes stands there too")),
            (Some(attribute), None) => Selection::One(number(attribute)?),
            (None, Some(Attributes::All)) => Selection::All,
            (None, Some(Attributes::Listed(list))) => {
                Selection::Many(list.iter().copied().map(number).collect::<Result<_, _>>()?)
            }
        };
        let entries = self.entries.map(|Integer(number)| {
            let number = u16::try_from(number).ok().filter(|number| (1..=32_767).contains(number));
            number.ok_or_else(|| at("entries: a number from 1 to 32767 is expected"))
        });
        if entries.is_some() && (self.from.is_some() || self.to.is_some()) {
            return Err(at("entries: from or to stands there too"));
        }
        Ok(ObjectWanted {
            obis: self.obis.0,
            class: self.class.map(|class| class.0),
            selection,
            entries: entries.transpose()?,
            from: self.from.clone(),
            to: self.to.clone(),
        })
    }
}
/// The devices that a group reads values of, or the one of them that is wanted.
pub(super) fn devices_of<'c>(
    config: &'c Config,
    group: &Group,
    only: Option<&Name>,
) -> Result<Vec<&'c Device>, Report> {
    let devices: Vec<&Device> = config
        .devices
        .values()
        .filter(|device| only.is_none_or(|only| device.name == *only))
        .filter(|device| group.values.iter().any(|value| value.devices.contains(&device.name)))
        .collect();
    if devices.is_empty() {
        return Err(invalid(format!("the group {} has no values of this device", group.name)));
    }
    Ok(devices)
}
