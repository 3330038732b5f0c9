//! `config/…`: the configuration shown, checked and changed.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use super::{Nothing, answered};
use crate::bridge::config::Problem;
use crate::bridge::config::diff::PlanStep;
use crate::bridge::config::history::{Origin, Revision};
use crate::bridge::config::quantity::Integer;
use crate::bridge::control::answer::Answer;
use crate::bridge::control::dispatch::{Ask, Caller, ControlPlane, Ran};
use crate::bridge::control::request::invalid;
use crate::bridge::hub::Current;
use crate::bridge::reload::{Change, Changed, Keeper, LONGEST_TRIAL, Rejected, What};
use crate::bridge::time::rfc3339;
use crate::error::{Code, Layer, Report};

/// `config/get`.
pub(super) fn get(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Serialize)]
    struct Shown {
        config: Value,
        revision: u64,
        sha256: String,
    }
    let Nothing {} = ask.request.arguments()?;
    let Current { config, revision, .. } = plane.hub.current();
    Ok(Answer::ok(&Shown { config: config.to_json_redacted(), revision, sha256: config.sha256() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Candidate {
    config: Option<Value>,
    patch: Option<Value>,
}

/// `config/validate`.
pub(super) async fn validate(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Serialize)]
    struct Verdict {
        valid: bool,
        problems: Vec<Problem>,
        plan: Vec<PlanStep>,
    }
    let Candidate { config, patch } = ask.request.arguments()?;
    let what = match (config, patch) {
        (Some(config), None) => What::Config(config),
        (None, Some(patch)) => What::Patch(patch),
        _ => return Err(invalid("either config or patch is expected")),
    };
    let keeper = keeper(plane, ask).await?;
    Ok(Answer::ok(&match keeper.examine(what, origin(ask)) {
        Ok((candidate, plan)) => Verdict { valid: true, problems: candidate.warnings, plan },
        Err(Rejected::Problems(problems)) => Verdict { valid: false, problems, plan: Vec::new() },
        Err(Rejected::Report(report)) => return Err(report),
    }))
}

/// `config/set`.
pub(super) async fn set(plane: &ControlPlane, ask: &Ask) -> Ran {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arguments {
        config: Value,
        base_revision: Option<Integer>,
        confirm_within_s: Option<Integer>,
    }
    match ask.request.arguments() {
        Ok(Arguments { config, base_revision, confirm_within_s }) => {
            change(plane, ask, What::Config(config), base_revision, confirm_within_s).await
        }
        Err(report) => report.into(),
    }
}

/// `config/patch`.
pub(super) async fn patch(plane: &ControlPlane, ask: &Ask) -> Ran {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arguments {
        patch: Value,
        base_revision: Option<Integer>,
        confirm_within_s: Option<Integer>,
    }
    match ask.request.arguments() {
        Ok(Arguments { patch, base_revision, confirm_within_s }) => {
            change(plane, ask, What::Patch(patch), base_revision, confirm_within_s).await
        }
        Err(report) => report.into(),
    }
}

async fn change(
    plane: &ControlPlane,
    ask: &Ask,
    what: What,
    base_revision: Option<Integer>,
    confirm_within_s: Option<Integer>,
) -> Ran {
    let longest = LONGEST_TRIAL.as_secs();
    let confirm_within = confirm_within_s.map(|Integer(seconds)| {
        let seconds = u64::try_from(seconds).ok().filter(|seconds| (1..=longest).contains(seconds));
        let message = || invalid(format!("confirm_within_s: 1 to {longest} seconds are expected"));
        seconds.map(Duration::from_secs).ok_or_else(message)
    });
    let base_revision = base_revision.map(|base| revision(base, "base_revision"));
    let (confirm_within, base_revision) = match (confirm_within.transpose(), base_revision.transpose()) {
        (Ok(confirm_within), Ok(base_revision)) => (confirm_within, base_revision),
        (Err(report), _) | (_, Err(report)) => return report.into(),
    };
    let change = Change { what, origin: origin(ask), base_revision, confirm_within };
    match keeper(plane, ask).await {
        Ok(mut keeper) => changed(plane, keeper.change(change).await),
        Err(report) => report.into(),
    }
}

/// `config/confirm`.
pub(super) async fn confirm(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Serialize)]
    struct Confirmed {
        revision: u64,
    }
    let Numbered { revision: wanted } = ask.request.arguments()?;
    let wanted = wanted.map(|wanted| revision(wanted, "revision")).transpose()?;
    let revision = keeper(plane, ask).await?.confirm(wanted)?;
    Ok(Answer::ok(&Confirmed { revision }))
}

/// `config/rollback`.
pub(super) async fn rollback(plane: &ControlPlane, ask: &Ask) -> Ran {
    let wanted = ask.request.arguments().and_then(|Numbered { revision: wanted }| {
        wanted.map(|wanted| revision(wanted, "revision")).transpose()
    });
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(report) => return report.into(),
    };
    match keeper(plane, ask).await {
        Ok(mut keeper) => changed(plane, keeper.roll_back(wanted, origin(ask)).await),
        Err(report) => report.into(),
    }
}

/// `config/history`.
pub(super) async fn history(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Serialize)]
    struct History<'a> {
        revision: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        confirm_by: Option<String>,
        revisions: &'a [Revision],
    }
    let Nothing {} = ask.request.arguments()?;
    let keeper = keeper(plane, ask).await?;
    Ok(Answer::ok(&History {
        revision: plane.hub.current().revision,
        confirm_by: keeper.confirm_by().map(rfc3339),
        revisions: keeper.revisions(),
    }))
}

/// Whether the configuration on disk is one to start with.
pub(super) async fn may_start_anew(plane: &ControlPlane, ask: &Ask) -> Result<(), Report> {
    match keeper(plane, ask).await?.catch_up().await {
        Ok(()) => Ok(()),
        Err(Rejected::Report(report)) => Err(report),
        Err(Rejected::Problems(_)) => {
            Err(Report::new(Code::ConfigInvalid, Layer::Config, "the configuration on disk is not valid"))
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbered {
    revision: Option<Integer>,
}

fn revision(Integer(number): Integer, argument: &str) -> Result<u64, Report> {
    u64::try_from(number).map_err(|_| invalid(format!("{argument}: a revision is not negative")))
}

const fn origin(ask: &Ask) -> Origin {
    match ask.caller {
        Caller::Mqtt => Origin::Mqtt,
        Caller::Socket => Origin::Socket,
    }
}

/// The keeper, when those before have done with it.
async fn keeper(plane: &ControlPlane, ask: &Ask) -> Result<OwnedMutexGuard<Keeper>, Report> {
    let keeper = std::sync::Arc::clone(&plane.keeper).lock_owned();
    tokio::time::timeout_at(ask.deadline.into(), keeper).await.map_err(|_| {
        Report::new(Code::Expired, Layer::Control, "another change of the configuration took too long")
    })
}

/// The answer to a change; another broker is told to the publisher when it is on its way.
fn changed(plane: &ControlPlane, outcome: Result<Changed, Rejected>) -> Ran {
    #[derive(Serialize)]
    struct Data {
        revision: u64,
        sha256: String,
        plan: Vec<PlanStep>,
        #[serde(skip_serializing_if = "Option::is_none")]
        confirm_by: Option<String>,
    }
    #[derive(Serialize)]
    struct Refused {
        problems: Vec<Problem>,
    }
    match outcome {
        Ok(Changed { revision, sha256, plan, confirm_by, broker_waits }) => {
            let confirm_by: Option<String> = confirm_by.map(|time: Timestamp| rfc3339(time));
            let answer = Answer::ok(&Data { revision, sha256, plan, confirm_by });
            let keeper = std::sync::Arc::clone(&plane.keeper);
            let switch = async move { keeper.lock().await.switch_broker().await };
            Ran { answer, then: if broker_waits { Some(Box::pin(switch)) } else { None } }
        }
        Err(Rejected::Problems(problems)) => {
            let code = problems.first().map_or(Code::ConfigInvalid, |problem| problem.code);
            let message = match problems.as_slice() {
                [only] => only.to_string(),
                [first, others @ ..] => format!("{first}, and {} more problems", others.len()),
                [] => "the configuration is not valid".to_owned(),
            };
            // Names that clash or miss are problems of the configuration; what may not be named is a matter of rights.
            let code = if code == Code::NotAllowed { code } else { Code::ConfigInvalid };
            answered(Ok(Answer::failed(&Refused { problems }, Report::new(code, Layer::Config, message))))
        }
        Err(Rejected::Report(report)) => report.into(),
    }
}
