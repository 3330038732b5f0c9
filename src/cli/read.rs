//! `dlms2mqtt read`: values of one device now, without MQTT.

use std::time::Instant;

use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde_json::json;
use serde_json::value::RawValue;

use super::one_device::{OneDevice, progress};
use super::results::print_json;
use super::running::RunningBridge;
use super::{CommandError, ConfigArgs, runtime};
use crate::bridge::config::model::{Config, Device, Selection, Value};
use crate::bridge::config::object::TimePoint;
use crate::bridge::link::visit::{Visited, read_values};
use crate::bridge::on_demand::{ObjectWanted, payload};
use crate::bridge::reading::value::Source;
use crate::cosem::catalogue::ClassId;
use crate::wire::obis::Obis;

/// What to read.
#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The device, by its name in the configuration.
    #[arg(long, value_name = "NAME")]
    device: String,
    /// Newest rows of a profile.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32767))]
    entries: Option<u16>,
    /// Rows from this time on: RFC 3339, a local time of the device, or how long ago (`24h`).
    #[arg(long, value_name = "TIME", conflicts_with = "entries", value_parser = time_point)]
    from: Option<TimePoint>,
    /// Rows up to this time.
    #[arg(long, value_name = "TIME", conflicts_with = "entries", value_parser = time_point)]
    to: Option<TimePoint>,
    /// Objects: `OBIS[:CLASS[:ATTRIBUTE]]`, like `1-0:1.8.0*255:register` or `1.0.1.8.0.255:3:2`.
    #[arg(required = true, value_name = "OBIS[:CLASS[:ATTRIBUTE]]", value_parser = object)]
    objects: Vec<ObjectArg>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ObjectArg {
    obis: Obis,
    class: Option<ClassId>,
    attribute: Option<i8>,
}

fn time_point(text: &str) -> Result<TimePoint, ValueError> {
    let deserializer: StrDeserializer<'_, ValueError> = text.into_deserializer();
    TimePoint::deserialize(deserializer)
}

/// The OBIS code may hold a colon of its own: the longest beginning that is one is taken.
fn object(text: &str) -> Result<ObjectArg, String> {
    let ends = text.match_indices(':').map(|(at, _)| at).chain([text.len()]);
    let (obis, rest) = ends
        .filter_map(|end| Some((text.get(..end)?.parse::<Obis>().ok()?, text.get(end..)?)))
        .next_back()
        .ok_or("not an OBIS code like 1-0:1.8.0*255")?;
    let mut parts = rest.split(':').skip(1);
    let class = parts.next().filter(|part| !part.is_empty()).map(str::parse::<ClassId>).transpose();
    let class = class.map_err(|error| error.to_string())?;
    let attribute = parts.next().map(str::parse::<i8>).transpose();
    let attribute = attribute.map_err(|_| "an attribute is a number from 1 to 127".to_owned())?;
    if parts.next().is_some() || attribute.is_some_and(|attribute| attribute < 1) {
        return Err("write OBIS[:CLASS[:ATTRIBUTE]]".to_owned());
    }
    Ok(ObjectArg { obis, class, attribute })
}

/// Reads and prints; fails where any value is missing.
pub(super) fn run(args: &ReadArgs) -> Result<(), CommandError> {
    let config = args.config.load()?;
    if let Some(bridge) = RunningBridge::find(&config)? {
        return args.ask(bridge);
    }
    let one = OneDevice::named(&config, &args.device)?;
    let values: Vec<Value> =
        args.objects.iter().map(|object| args.value(&config, &one.device, object)).collect();
    runtime()?.block_on(read(&config, &one, &values))
}

impl ReadArgs {
    /// Has the running bridge read, which alone may use its meters.
    fn ask(&self, bridge: RunningBridge) -> Result<(), CommandError> {
        #[derive(Deserialize)]
        struct Data<'a> {
            #[serde(borrow)]
            values: Vec<&'a RawValue>,
        }
        let objects: Vec<_> = self.objects.iter().map(|object| self.wanted(object)).collect();
        let answer = bridge.ask("read", json!({ "device": self.device, "objects": objects }))?;
        if let Some(Data { values }) = answer.data()? {
            values.into_iter().try_for_each(print_json)?;
        }
        answer.outcome()
    }

    fn wanted(&self, object: &ObjectArg) -> serde_json::Value {
        json!({
            "obis": object.obis.to_string(),
            "class": object.class.map(|class| class.0),
            "attribute": object.attribute,
            "entries": self.entries,
            "from": self.from,
            "to": self.to,
        })
    }

    fn value(&self, config: &Config, device: &Device, object: &ObjectArg) -> Value {
        ObjectWanted {
            obis: object.obis,
            class: object.class,
            selection: object.attribute.map_or(Selection::Usual, Selection::One),
            entries: self.entries,
            from: self.from.clone(),
            to: self.to.clone(),
        }
        .value(config, device)
    }
}

async fn read(config: &Config, one: &OneDevice, values: &[Value]) -> Result<(), CommandError> {
    let device = &one.device;
    let (mut meter, mut driver) = one.associate().await?;
    progress("reading");
    let begun = Instant::now();
    let (mut client, memory) = meter.client(&mut driver);
    let wanted: Vec<&Value> = values.iter().collect();
    let Visited { found, broken } = read_values(&mut client, memory, device, &wanted).await;
    let ts = Timestamp::now();
    let poll_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    meter.leave(&mut driver).await;
    let serial = meter.memory.identity.serial.clone();
    let source =
        Source { gateway: config.gateway.as_str(), device: device.name.as_str(), serial: serial.as_deref() };
    let mut failure = broken.map(|error| error.report());
    for (value, found) in values.iter().zip(&found) {
        failure = failure.or_else(|| found.error().cloned());
        print_json(&payload(source, value, found, ts, poll_ms)?)?;
    }
    failure.map_or(Ok(()), |report| Err(report.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_with_colons_of_their_own() {
        let register = Obis::new(1, 0, 1, 8, 0, 255);
        let arg = |class, attribute| Ok(ObjectArg { obis: register, class, attribute });
        assert_eq!(object("1-0:1.8.0*255"), arg(None, None));
        assert_eq!(object("1-0:1.8.0*255:3:2"), arg(Some(ClassId::REGISTER), Some(2)));
        assert_eq!(object("1.0.1.8.0.255:register"), arg(Some(ClassId::REGISTER), None));
        assert_eq!(object("1-0:1.8.0:3"), arg(Some(ClassId::REGISTER), None));
        for wrong in ["1.8.0", "1-0:1.8.0*255:3:2:1", "1-0:1.8.0*255:nonsense", "1-0:1.8.0*255:3:0", ""] {
            assert!(object(wrong).is_err(), "{wrong}");
        }
    }
}
