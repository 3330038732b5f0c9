//! `dlms2mqtt test`: a connection, a device or a group, layer by layer.

use clap::{Args, ValueEnum};

use super::one_device::{OneDevice, State, unknown};
use super::results::{print_json, print_line};
use super::{CommandError, ConfigArgs, runtime};
use crate::bridge::config::model::{Config, Value};
use crate::bridge::probe::{Probe, Step, StepStatus, test_connection, test_device};
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
        probe.steps.iter().try_for_each(|step| print_line(line(step)))?;
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

fn line(step: &Step) -> String {
    let device = step.device.as_ref().map(|device| format!("{device:<16} ")).unwrap_or_default();
    let (status, time) = match step.status {
        StepStatus::Ok => ("ok", format!("{} ms", step.duration_ms)),
        StepStatus::Failed => ("FAILED", format!("{} ms", step.duration_ms)),
        StepStatus::Skipped => ("-", String::new()),
    };
    format!("{device}{:<8} {status:<6} {time:>9}  {}", step.step.as_str(), step.detail)
}
