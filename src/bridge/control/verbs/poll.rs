//! `poll/…`: polls suspended and resumed, of a device, a group or a connection, for a while or until further notice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bridge::config::Name;
use crate::bridge::config::model::Config;
use crate::bridge::config::quantity::Period;
use crate::bridge::control::answer::Answer;
use crate::bridge::control::dispatch::{Ask, ControlPlane};
use crate::bridge::control::request::invalid;
use crate::bridge::hub::Hub;
use crate::bridge::link::order::Order;
use crate::bridge::schedule::Activity;
use crate::bridge::time::rfc3339;
use crate::error::{Code, Layer, Report};

/// The longest pause that ends by itself.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Time for a link to take note of a pause that ends by itself.
const RESUME_TIME: Duration = Duration::from_secs(3600);

/// Pauses that end by themselves: the last order for each subject counts.
#[derive(Debug, Default)]
pub(in crate::bridge::control) struct Pauses(Arc<Mutex<HashMap<Subject, u64>>>);

/// What is paused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Device(Name),
    Group(Name),
    Connection(Name),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    device: Option<Name>,
    group: Option<Name>,
    connection: Option<Name>,
    r#for: Option<Period>,
}

/// `poll/pause`.
pub(super) async fn pause(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    set(plane, ask, Activity::Paused).await
}

/// `poll/resume`.
pub(super) async fn resume(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    set(plane, ask, Activity::Active).await
}

async fn set(plane: &ControlPlane, ask: &Ask, activity: Activity) -> Result<Answer, Report> {
    #[derive(Serialize)]
    struct Done {
        polls: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<String>,
    }
    let Arguments { device, group, connection, r#for } = ask.request.arguments()?;
    let subject = match (device, group, connection) {
        (Some(device), None, None) => Subject::Device(device),
        (None, Some(group), None) => Subject::Group(group),
        (None, None, Some(connection)) => Subject::Connection(connection),
        _ => return Err(invalid("one of device, group and connection is expected")),
    };
    let pause = match (activity, r#for) {
        (Activity::Active, Some(_)) => return Err(invalid("for: only a pause ends by itself")),
        (_, Some(Period(time))) if time.is_zero() || time > LONGEST => {
            return Err(invalid("for: a time of up to a year is expected"));
        }
        (_, time) => time.map(|Period(time)| time),
    };
    let polls = order(&plane.hub, &subject, activity, ask.deadline).await?;
    let number = plane.pauses.note(&subject);
    if let Some(time) = pause {
        resume_after(Arc::clone(&plane.hub), &plane.pauses, subject, number, time);
    }
    let until = pause.and_then(|time| Timestamp::now().checked_add(time).ok()).map(rfc3339);
    Ok(Answer::ok(&Done { polls, until }))
}

/// Tells the links concerned; the number of polls that this concerns.
async fn order(hub: &Hub, subject: &Subject, activity: Activity, deadline: Instant) -> Result<usize, Report> {
    let config = hub.current().config;
    let mut polls = 0;
    for link in links(&config, subject)? {
        // A connection that is not enabled polls nothing anyway.
        let Some(orders) = hub.links.orders(&link) else { continue };
        let (device, group) = match subject {
            Subject::Device(device) => (Some(device.clone()), None),
            Subject::Group(group) => (None, Some(group.clone())),
            Subject::Connection(_) => (None, None),
        };
        polls += orders.ask(deadline, |ask| Order::SetActivity { device, group, activity, ask }).await?;
    }
    Ok(polls)
}

/// The connections whose links must know.
fn links(config: &Config, subject: &Subject) -> Result<Vec<Name>, Report> {
    let unknown = |what: &str, name: &Name| {
        Report::new(Code::UnknownName, Layer::Control, format!("there is no {what} {name}"))
    };
    match subject {
        Subject::Device(name) => {
            let device = config.devices.get(name).ok_or_else(|| unknown("device", name))?;
            Ok(vec![device.connection.clone()])
        }
        Subject::Connection(name) => {
            let known = config.connections.contains_key(name);
            if known { Ok(vec![name.clone()]) } else { Err(unknown("connection", name)) }
        }
        Subject::Group(name) => {
            let group = config.groups.get(name).ok_or_else(|| unknown("group", name))?;
            let devices = config.devices.values();
            let with = devices.filter(|it| group.values.iter().any(|value| value.devices.contains(&it.name)));
            let mut links: Vec<Name> = with.map(|device| device.connection.clone()).collect();
            links.sort();
            links.dedup();
            Ok(links)
        }
    }
}

impl Pauses {
    /// Notes an order for a subject; earlier ones do not end by themselves any more.
    fn note(&self, subject: &Subject) -> u64 {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.entry(subject.clone()).or_default();
        *number += 1;
        *number
    }
}

fn resume_after(hub: Arc<Hub>, pauses: &Pauses, subject: Subject, number: u64, time: Duration) {
    let numbers = Arc::clone(&pauses.0);
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        let latest = numbers.lock().unwrap_or_else(PoisonError::into_inner).get(&subject).copied();
        if latest != Some(number) {
            return;
        }
        if let Err(report) = order(&hub, &subject, Activity::Active, Instant::now() + RESUME_TIME).await {
            tracing::warn!(?subject, %report, "a pause that has ended cannot be lifted");
        }
    });
}
