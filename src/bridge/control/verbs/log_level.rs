//! `log_level`: more of the log for a while; it returns by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bridge::config::Name;
use crate::bridge::config::quantity::Period;
use crate::bridge::control::answer::Answer;
use crate::bridge::control::dispatch::{Ask, ControlPlane};
use crate::bridge::control::request::invalid;
use crate::bridge::link::traces::trace_of;
use crate::bridge::time::rfc3339;
use crate::error::Report;
use crate::transport::trace::Layers;

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
    let config = plane.hub.current().config;
    let connection = target.as_deref().and_then(|name| config.connections.get(name));
    let is_path = |target: &String| {
        (1..=128).contains(&target.len())
            && target.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
    };
    if connection.is_none() && target.as_ref().is_some_and(|target| !is_path(target)) {
        return Err(invalid("target: a connection, or a module like dlms2mqtt::bridge, is expected"));
    }
    let time = r#for.map_or(USUAL, |Period(time)| time);
    if time.is_zero() || time > LONGEST {
        return Err(invalid("for: a time of up to a day is expected"));
    }
    match connection {
        Some(connection) => plane.shown_lines.show_for(&connection.name, layers(&level), time),
        None => plane.log_level.set_for(&level, target.as_deref(), time)?,
    }
    let until = Timestamp::now().checked_add(time).unwrap_or(Timestamp::MAX);
    Ok(Answer::ok(&Set { level, target, until: rfc3339(until) }))
}

/// What a level shows of a line.
fn layers(level: &str) -> Layers {
    match level {
        "trace" => Layers::ALL,
        "debug" => Layers::APDU | Layers::DECODED,
        _ => Layers::NONE,
    }
}

/// Lines that are shown for a while: how often that was changed, and what was shown before.
#[derive(Debug, Default)]
pub(in crate::bridge::control) struct ShownLines(Arc<Mutex<HashMap<Name, (u64, Layers)>>>);

impl ShownLines {
    /// Shows a line in the log for a while; what was shown before returns by itself. The last change counts.
    fn show_for(&self, connection: &Name, layers: Layers, time: Duration) {
        let trace = trace_of(connection.as_str());
        let mut lines = lock(&self.0);
        let (changes, before) = lines.entry(connection.clone()).or_insert_with(|| (0, trace.layers()));
        *changes += 1;
        let (number, before) = (*changes, *before);
        drop(lines);
        trace.show(layers);
        let (lines, connection) = (Arc::clone(&self.0), connection.clone());
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let mut lines = lock(&lines);
            if lines.get(&connection).is_some_and(|(changes, _)| *changes == number) {
                lines.remove(&connection);
                trace.show(before);
            }
        });
    }
}

fn lock(lines: &Mutex<HashMap<Name, (u64, Layers)>>) -> MutexGuard<'_, HashMap<Name, (u64, Layers)>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
