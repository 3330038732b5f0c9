//! `profile/read`: a window of a profile, as a job; its rows are published like those of polls.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::read::Target;
use crate::bridge::config::Name;
use crate::bridge::config::model::{Capture, Device, Profile, Value};
use crate::bridge::config::object::TimePoint;
use crate::bridge::control::answer::{Answer, Status};
use crate::bridge::control::dispatch::{Ask, ControlPlane};
use crate::bridge::control::request::invalid;
use crate::bridge::link::order::Order;
use crate::bridge::link::range::bound;
use crate::bridge::link::visit::{Found, time_rules};
use crate::bridge::outlet::{Batches, GroupOf};
use crate::error::{Code, Layer, Report};

/// The window of one visit: polls come in between.
const SLICE: i64 = 24 * 3600;

/// Most visits of a job.
const MOST_SLICES: i64 = 4000;

/// Time for one visit.
const SLICE_TIME: Duration = Duration::from_secs(1800);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    device: Name,
    profile: Name,
    from: TimePoint,
    to: Option<TimePoint>,
}

/// What was published.
#[derive(Debug, Default, Serialize)]
struct Published {
    rows: usize,
    first: Option<String>,
    last: Option<String>,
    read_ids: Vec<String>,
}

/// `profile/read`.
pub(super) async fn read(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    let Arguments { device: name, profile, from, to } = ask.request.arguments()?;
    let current = plane.hub.current();
    let Target { device, orders } = Target::find(&plane.hub, &current.config, &name)?;
    let mut values = current.config.values_of(&device.name);
    let found = values.find_map(|(group, value)| {
        let shape = value.profile.as_ref().filter(|_| value.name == profile)?;
        Some((group, value, shape))
    });
    let (group, value, shape) = found.ok_or_else(|| {
        let message = format!("{name} has no profile {profile} in the configuration");
        Report::new(Code::UnknownName, Layer::Control, message)
    })?;
    let (begin, end) = window(device, &from, to.as_ref())?;
    let subject = format!("{name} {profile}");
    let job = plane.jobs.begin(&plane.hub, "profile/read", subject, ask.request.transaction.clone())?;
    let accepted = Answer { status: Status::Accepted, job: Some(job.id.clone()), data: None, error: None };
    let _ = ask.interim.send(accepted).await;

    let slices = (end - begin) / SLICE + 1;
    let mut labels = device.labels.clone();
    labels.extend(group.labels.clone());
    let mut published = Published::default();
    let mut outcome = Ok(());
    for slice in 0..slices {
        let from = begin + slice * SLICE;
        // A row on the edge belongs to the next slice.
        let to = (from + SLICE - 1).min(end);
        let wanted = slice_of(value, shape, from, to)?;
        let deadline = Instant::now() + SLICE_TIME;
        let device_name = device.name.clone();
        let reading =
            orders.ask(deadline, |ask| Order::Read { device: device_name, values: vec![wanted], ask });
        let answers = match job.unless_cancelled(reading).await.flatten() {
            Ok(answers) => answers,
            Err(report) => {
                outcome = Err(report);
                break;
            }
        };
        let of = GroupOf {
            device: name.as_str(),
            serial: answers.serial.as_deref(),
            group: group.name.as_str(),
            labels: &labels,
        };
        match answers.found.first() {
            Some(Found::Rows(Ok(rows))) if rows.rows.rows.is_empty() => {}
            Some(Found::Rows(Ok(rows))) => {
                let obis = value.obis.or(rows.obis);
                let batch =
                    current.outlet.rows(of, profile.as_str(), obis, rows, Batches::LIVE, answers.ts).await;
                published.rows += batch.rows;
                published.first = published.first.take().or_else(|| rows.rows.first.clone());
                published.last.clone_from(&rows.rows.last);
                published.read_ids.push(batch.read_id);
            }
            Some(Found::Rows(Err(report))) => {
                outcome = Err(report.clone());
                break;
            }
            _ => {
                outcome = Err(Report::new(Code::Internal, Layer::Internal, "a profile was read as a value"));
                break;
            }
        }
        job.progress(slice.unsigned_abs() + 1, Some(slices.unsigned_abs())).await;
    }
    let answer = match outcome {
        Ok(()) => Answer::ok(&published),
        Err(report) if published.rows > 0 => Answer::partial(&published, report),
        Err(report) => Answer::failed(&published, report),
    };
    Ok(Answer { job: Some(job.id.clone()), ..answer })
}

/// Begin and end in seconds since the Unix epoch.
fn window(device: &Device, from: &TimePoint, to: Option<&TimePoint>) -> Result<(i64, i64), Report> {
    let (rules, now) = (time_rules(device), Timestamp::now());
    let seconds = |point: &TimePoint| Ok::<i64, Report>(bound(point, &rules, now)?.utc_seconds);
    let (begin, end) = (seconds(from)?, seconds(to.unwrap_or(&TimePoint::Now))?);
    if begin > end {
        return Err(invalid("from: it lies after to"));
    }
    if (end - begin) / SLICE >= MOST_SLICES {
        return Err(invalid(format!("from: at most {MOST_SLICES} days can be read at once")));
    }
    Ok((begin, end))
}

fn slice_of(value: &Value, shape: &Profile, from: i64, to: i64) -> Result<Value, Report> {
    let point = |seconds: i64| {
        let time = Timestamp::from_second(seconds).map_err(|error| invalid(error.to_string()))?;
        Ok::<_, Report>(Some(TimePoint::Instant(time)))
    };
    let shape = Profile {
        entries: None,
        from: point(from)?,
        to: point(to)?,
        capture: Capture::Newest,
        ..shape.clone()
    };
    Ok(Value { profile: Some(shape), ..value.clone() })
}
