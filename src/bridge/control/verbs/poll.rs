//! `poll/…`: polls suspended and resumed, of a device, a group or a connection, for a while or until further notice.

use std::sync::Arc;
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
use crate::bridge::pauses::Subject;
use crate::bridge::schedule::Activity;
use crate::bridge::time::rfc3339;
use crate::error::{Code, Layer, Report};

/// The longest pause that ends by itself.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Time for a link to take note of a pause that ends by itself.
const RESUME_TIME: Duration = Duration::from_secs(3600);

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
    let links = links(&plane.hub.current().config, &subject)?;
    let number = plane.hub.links.shared().pauses.set(&subject, activity);
    // A pause ends in time even where a link is slow to take note of its begin.
    if let Some(time) = pause {
        tokio::spawn(end_after(Arc::clone(&plane.hub), subject.clone(), number, time));
    }
    let polls = tell(&plane.hub, &links, &subject, ask.deadline).await?;
    let until = pause.and_then(|time| Timestamp::now().checked_add(time).ok()).map(rfc3339);
    Ok(Answer::ok(&Done { polls, until }))
}

/// Tells the links concerned that there is another rule; the number of polls that it concerns.
async fn tell(hub: &Hub, links: &[Name], subject: &Subject, deadline: Instant) -> Result<usize, Report> {
    let mut polls = 0;
    for link in links {
        // A connection that is not enabled polls nothing anyway.
        let Some(orders) = hub.links.orders(link) else { continue };
        let about = subject.clone();
        polls += orders.ask(deadline, |ask| Order::ApplyPauses { about, ask }).await?;
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

async fn end_after(hub: Arc<Hub>, subject: Subject, number: u64, time: Duration) {
    tokio::time::sleep(time).await;
    if !hub.links.shared().pauses.end(number) {
        return;
    }
    // What is gone meanwhile has no links to tell.
    let Ok(links) = links(&hub.current().config, &subject) else { return };
    if let Err(report) = tell(&hub, &links, &subject, Instant::now() + RESUME_TIME).await {
        tracing::warn!(?subject, %report, "a link does not take note of the end of a pause");
    }
}
