//! `dlms2mqtt scan`: the objects of a meter, their access rights and values, or groups ready to paste.

use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::one_device::{OneDevice, progress};
use super::results::{print_json, print_line};
use super::running::RunningBridge;
use super::{CommandError, ConfigArgs, runtime};
use crate::bridge::config::model::Config;
use crate::bridge::reading::json::Json;
use crate::bridge::reading::value::Reading;
use crate::bridge::scan::{Extent, Member, Scan, ScannedObject, Suggestion, Taken, scan};
use crate::error::Report;

/// What to scan.
#[derive(Debug, Args)]
pub(super) struct ScanArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The device, by its name in the configuration.
    #[arg(long, value_name = "NAME")]
    device: String,
    /// Read every attribute that may be read, but for the buffers of profiles.
    #[arg(long, conflicts_with = "yaml")]
    values: bool,
    /// Print groups ready to paste into the configuration.
    #[arg(long)]
    yaml: bool,
}

/// Scans and prints: lines for people on a terminal, else one JSON object for each object of the meter.
pub(super) fn run(args: &ScanArgs) -> Result<(), CommandError> {
    let config = args.config.load()?;
    if let Some(bridge) = RunningBridge::find(&config)? {
        return args.ask(bridge);
    }
    let one = OneDevice::named(&config, &args.device)?;
    runtime()?.block_on(scan_device(args, &config, &one))
}

impl ScanArgs {
    /// Has the running bridge scan, which alone may use its meters.
    fn ask(&self, bridge: RunningBridge) -> Result<(), CommandError> {
        #[derive(Deserialize)]
        struct Data<'a> {
            #[serde(borrow)]
            objects: Vec<&'a RawValue>,
            configuration: String,
        }
        let answer = bridge.ask("device/scan", json!({ "device": self.device, "values": self.values }))?;
        if let Some(Data { objects, configuration }) = answer.data()? {
            if self.yaml {
                print_line(configuration.trim_end())?;
            } else {
                objects.into_iter().try_for_each(print_json)?;
            }
        }
        answer.outcome()
    }
}

async fn scan_device(args: &ScanArgs, config: &Config, one: &OneDevice) -> Result<(), CommandError> {
    let (mut meter, mut driver) = one.associate().await?;
    progress("reading the object list");
    let (mut client, memory) = meter.client(&mut driver);
    let extent = if args.values { Extent::Values } else { Extent::Objects };
    let outcome = scan(&mut client, memory, &one.device, extent).await;
    let suggestion = memory.objects().map(|list| Suggestion::of(&one.device, list, Taken::of(config)));
    meter.leave(&mut driver).await;
    let found = outcome.map_err(|error| error.report())??;
    match suggestion.filter(|_| args.yaml) {
        Some(suggestion) => {
            print_line(serde_yaml::to_string(&suggestion).map_err(anyhow::Error::from)?.trim_end())?;
        }
        None => print(&found)?,
    }
    found.error.map_or(Ok(()), |error: Report| Err(error.into()))
}

fn print(found: &Scan) -> Result<(), CommandError> {
    let is_terminal = stdout().is_terminal();
    for object in &found.objects {
        if is_terminal {
            print_line(lines(object).trim_end())?;
        } else {
            print_json(object)?;
        }
    }
    Ok(())
}

/// One line for the object, one for each of its attributes and methods.
fn lines(object: &ScannedObject) -> String {
    let ScannedObject { obis, class, version, .. } = object;
    let class_name = object.class_name.unwrap_or("unknown class");
    let name = object.name.as_deref().unwrap_or_default();
    let short_name = object.short_name.map(|name| format!(" {name:#06x}")).unwrap_or_default();
    let mut text = format!("{obis:<20}{short_name} {class_name} ({class} v{version})  {name}\n");
    let attributes = object.attributes.iter().flatten().map(|member| ("attribute", member));
    let methods = object.methods.iter().flatten().map(|member| ("method", member));
    for (kind, Member { id, name, access, .. }) in attributes.chain(methods) {
        let value = object.reading.as_ref().filter(|_| kind == "attribute").and_then(|it| shown(it, name));
        let value = value.unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {kind:<9} {id:>3} {name:<32} {:<10} {value}", access.as_str());
    }
    text
}

/// The value of one attribute, or why there is none.
fn shown(reading: &Reading, name: &str) -> Option<String> {
    if let Some(error) = reading.errors.get(name) {
        return Some(error.to_string());
    }
    let Json::Object(members) = &reading.value else { return None };
    let (_, value) = members.iter().find(|(member, _)| member == name)?;
    serde_json::to_string(value).ok()
}
