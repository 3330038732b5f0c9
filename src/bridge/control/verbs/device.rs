//! `device/…`: a fresh start with a meter, and the list of its objects.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::read::{Target, read_now};
use crate::bridge::config::Name;
use crate::bridge::config::model::Device;
use crate::bridge::config::quantity::Flag;
use crate::bridge::control::answer::{Answer, Status};
use crate::bridge::control::dispatch::{Ask, ControlPlane};
use crate::bridge::control::jobs::Job;
use crate::bridge::control::request::USUAL_TIME;
use crate::bridge::link::order::Order;
use crate::bridge::scan::{AT_ONCE, Scan, ScannedObject, Suggestion, Taken, parts};
use crate::cosem::object_list::ObjectList;
use crate::error::{Code, Layer, Report};

/// `device/reconnect`.
pub(super) async fn reconnect(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        device: Name,
    }
    let named: Named = ask.request.arguments()?;
    let current = plane.hub.current();
    let Target { device, orders } = Target::find(&plane.hub, &current.config, &named.device)?;
    let name = device.name.clone();
    orders.ask(ask.deadline, |ask| Order::Reconnect { device: name, ask }).await?;
    Ok(Answer::ok(&named))
}

/// `device/scan`.
pub(super) async fn scan(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arguments {
        device: Name,
        values: Option<Flag>,
    }
    let Arguments { device: name, values } = ask.request.arguments()?;
    let current = plane.hub.current();
    let Target { device, orders } = Target::find(&plane.hub, &current.config, &name)?;
    let job = match values {
        Some(Flag(true)) => {
            let transaction = ask.request.transaction.clone();
            let job = plane.jobs.begin(&plane.hub, "device/scan", name.to_string(), transaction)?;
            let accepted =
                Answer { status: Status::Accepted, job: Some(job.id.clone()), data: None, error: None };
            let _ = ask.interim.send(accepted).await;
            Some(job)
        }
        _ => None,
    };
    let scanning = orders.ask(ask.deadline, |ask| Order::Scan { device: name.clone(), ask });
    let scanned = match &job {
        Some(job) => job.unless_cancelled(scanning).await??,
        None => scanning.await?,
    };
    let list = &scanned.objects;
    let mut found = Scan::of(list);
    if let Some(job) = &job {
        read_values(plane, ask, device, list, &mut found, job).await?;
    }
    let suggestion = Suggestion::of(device, list, Taken::of(&current.config));
    let configuration = serde_yaml::to_string(&suggestion)
        .map_err(|error| Report::new(Code::Internal, Layer::Internal, error.to_string()))?;
    let data = Data { objects: &found.objects, configuration };
    let answer = match found.error.clone() {
        None => Answer::ok(&data),
        Some(error) => Answer::partial(&data, error),
    };
    Ok(Answer { job: job.map(|job| job.id.clone()), ..answer })
}

#[derive(Serialize)]
struct Data<'a> {
    objects: &'a [ScannedObject],
    /// Groups in YAML, ready to paste.
    configuration: String,
}

/// Reads what can be read, a few objects at a time, so that polls come in between.
async fn read_values(
    plane: &ControlPlane,
    ask: &Ask,
    device: &Device,
    list: &ObjectList,
    scan: &mut Scan,
    job: &Job,
) -> Result<(), Report> {
    let current = plane.hub.current();
    let total = list.objects.len();
    let Scan { objects, error } = scan;
    for (number, part) in parts(objects, list, device).enumerate() {
        let deadline = (Instant::now() + USUAL_TIME).max(ask.deadline);
        let reading = read_now(&plane.hub, &current.config, device, part.values.clone(), deadline);
        match job.unless_cancelled(reading).await? {
            Ok(answers) => part.fill(answers.found),
            Err(report) => {
                *error = Some(report);
                return Ok(());
            }
        }
        let done = ((number + 1) * AT_ONCE).min(total);
        job.progress(done as u64, Some(total as u64)).await;
    }
    Ok(())
}
