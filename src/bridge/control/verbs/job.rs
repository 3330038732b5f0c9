//! `job/…`: what takes long, listed and cancelled.

use serde::{Deserialize, Serialize};

use super::Nothing;
use crate::bridge::control::answer::Answer;
use crate::bridge::control::dispatch::{Ask, ControlPlane};
use crate::bridge::control::jobs::Listed;
use crate::error::Report;

/// `job/list`.
pub(super) fn list(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Serialize)]
    struct Jobs {
        jobs: Vec<Listed>,
    }
    let Nothing {} = ask.request.arguments()?;
    Ok(Answer::ok(&Jobs { jobs: plane.jobs.list() }))
}

/// `job/cancel`.
pub(super) fn cancel(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Debug, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        job: String,
    }
    let named: Named = ask.request.arguments()?;
    plane.jobs.cancel(&named.job)?;
    Ok(Answer::ok(&named))
}
