//! `dlms2mqtt test`: a connection, a device or a group, layer by layer.

use std::borrow::Cow;
use std::fmt;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use super::one_device::{OneDevice, State, unknown};
use super::results::{print_json, print_line};
use super::running::RunningBridge;
use super::{CommandError, ConfigArgs, runtime};
use crate::bridge::config::model::{Config, Value};
use crate::bridge::probe::{Probe, Step, test_connection, test_device};
use crate::error::Report;

/// What to test.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
    /// What the name is of.
    kind: Kind,
    /// The name in the configuration.
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A connection: is there anybody?
    Connection,
    /// A device: link, association, identity.
    Device,
    /// A group: its devices, and every value of it.
    Group,
}

/// Tests and prints; fails where a step fails.
pub(super) fn run(args: &TestArgs) -> Result<(), CommandError> {
    let config = args.config.load()?;
    if let Some(bridge) = RunningBridge::find(&config)? {
        return args.ask(bridge);
    }
    let probe = runtime()?.block_on(async {
        match args.kind {
            Kind::Connection => connection(&config, &args.name).await,
            Kind::Device => {
                let one = OneDevice::named(&config, &args.name)?;
                Ok(test_device(&one.device, &one.connection, &one.counters, &[]).await.0)
            }
            Kind::Group => group(&config, &args.name).await,
        }
    })?;
    if args.json {
        print_json(&probe)?;
    } else {
        probe.steps.iter().try_for_each(|step| print_line(Line::of(step)))?;
    }
    probe.error().map_or(Ok(()), |error| Err(error.clone().into()))
}

async fn connection(config: &Config, name: &str) -> Result<Probe, Report> {
    let connection = config.connections.values().find(|connection| connection.name.as_str() == name);
    Ok(test_connection(connection.ok_or_else(|| unknown("connection", name))?).await)
}

async fn group(config: &Config, name: &str) -> Result<Probe, Report> {
    let group = config.groups.values().find(|group| group.name.as_str() == name);
    let group = group.ok_or_else(|| unknown("group", name))?;
    let mut state = State::default();
    let mut probes = Vec::new();
    for device in config.devices.values() {
        let values: Vec<&Value> = group
            .values
            .iter()
            .filter(|value| value.enabled && value.devices.contains(&device.name))
            .collect();
        if values.is_empty() {
            continue;
        }
        let one = OneDevice::of(config, device, &mut state)?;
        let (probe, _) = test_device(&one.device, &one.connection, &one.counters, &values).await;
        probes.push((device.name.clone(), probe));
    }
    Ok(Probe::of_all(probes))
}

impl TestArgs {
    /// Has the running bridge test, which owns the lines.
    fn ask(&self, bridge: RunningBridge) -> Result<(), CommandError> {
        #[derive(Deserialize)]
        struct Data<'a> {
            #[serde(borrow)]
            steps: Vec<Line<'a>>,
        }
        let what = match self.kind {
            Kind::Connection => "connection",
            Kind::Device => "device",
            Kind::Group => "group",
        };
        let answer = bridge.ask(&format!("test/{what}"), json!({ what: self.name }))?;
        match answer.raw() {
            Some(data) if self.json => print_json(data)?,
            _ => {
                let lines: Option<Data<'_>> = answer.data()?;
                let lines = lines.map(|data| data.steps).unwrap_or_default();
                lines.iter().try_for_each(print_line)?;
            }
        }
        answer.outcome()
    }
}

/// A step as it is printed.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    device: Option<Cow<'a, str>>,
    #[serde(borrow)]
    step: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    duration_ms: u64,
    #[serde(borrow)]
    detail: Cow<'a, str>,
}

impl<'a> Line<'a> {
    fn of(step: &'a Step) -> Self {
        Self {
            device: step.device.as_ref().map(|device| device.as_str().into()),
            step: step.step.as_str().into(),
            status: step.status.as_str().into(),
            duration_ms: step.duration_ms,
            detail: step.detail.as_str().into(),
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(device) = &self.device {
            write!(f, "{device:<16} ")?;
        }
        let (status, time) = match &*self.status {
            "skipped" => ("-", String::new()),
            "failed" => ("FAILED", format!("{} ms", self.duration_ms)),
            ok => (ok, format!("{} ms", self.duration_ms)),
        };
        write!(f, "{:<8} {status:<6} {time:>9}  {}", self.step, self.detail)
    }
}
