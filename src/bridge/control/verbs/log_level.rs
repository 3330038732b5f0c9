//! `log_level`: more of the log for a while; it returns by itself.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bridge::config::quantity::Period;
use crate::bridge::control::answer::Answer;
use crate::bridge::control::dispatch::{Ask, ControlPlane};
use crate::bridge::control::request::invalid;
use crate::bridge::time::rfc3339;
use crate::error::Report;

/// How long another level holds where nobody says.
const USUAL: Duration = Duration::from_secs(600);

/// The longest time.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// `log_level`.
pub(super) fn set(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Arguments {
        level: String,
        target: Option<String>,
        r#for: Option<Period>,
    }
    #[derive(Serialize)]
    struct Set {
        level: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        until: String,
    }
    let Arguments { level, target, r#for } = ask.request.arguments()?;
    if !LEVELS.contains(&level.as_str()) {
        return Err(invalid(format!("level: one of {} is expected", LEVELS.join(", "))));
    }
    let is_path = |target: &String| {
        (1..=128).contains(&target.len())
            && target.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
    };
    if target.as_ref().is_some_and(|target| !is_path(target)) {
        return Err(invalid("target: a module like dlms2mqtt::bridge is expected"));
    }
    let time = r#for.map_or(USUAL, |Period(time)| time);
    if time.is_zero() || time > LONGEST {
        return Err(invalid("for: a time of up to a day is expected"));
    }
    plane.log_level.set_for(&level, target.as_deref(), time)?;
    let until = Timestamp::now().checked_add(time).unwrap_or(Timestamp::MAX);
    Ok(Answer::ok(&Set { level, target, until: rfc3339(until) }))
}
