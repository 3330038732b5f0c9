//! `device/…`: a fresh start with a meter, and the list of its objects.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value as Tree, json};

use super::read::{Target, read_now, write};
use crate::bridge::config::model::{Device, Selection, Value};
use crate::bridge::config::quantity::Flag;
use crate::bridge::config::{Name, rewrite};
use crate::bridge::control::answer::{Answer, Status};
use crate::bridge::control::dispatch::{Ask, ControlPlane};
use crate::bridge::control::jobs::Job;
use crate::bridge::link::order::Order;
use crate::bridge::on_demand::ObjectWanted;
use crate::bridge::reading::value::Source;
use crate::cosem::catalogue::ClassId;
use crate::cosem::obis_name::obis_name;
use crate::cosem::object_list::{Object, ObjectList};
use crate::error::{Code, Layer, Report};

/// Values that a scan reads in one visit.
const VALUES_AT_ONCE: usize = 20;

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
    let objects = &scanned.objects;
    let values = match &job {
        Some(job) => Some(values_of(plane, ask, device, objects, scanned.serial.as_deref(), job).await?),
        None => None,
    };
    let data = Data {
        objects: objects.objects.iter().map(Listed::of).collect(),
        skipped: objects.skipped,
        configuration: paste(&name, objects),
        values,
    };
    Ok(Answer { job: job.map(|job| job.id.clone()), ..Answer::ok(&data) })
}

#[derive(Serialize)]
struct Data {
    objects: Vec<Listed>,
    /// Elements of the list that could not be understood.
    skipped: usize,
    /// Groups in YAML, ready to paste.
    configuration: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<Box<RawValue>>>,
}

/// An object as the answer shows it.
#[derive(Serialize)]
struct Listed {
    obis: String,
    class: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_name: Option<&'static str>,
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    short_name: Option<u16>,
    /// Null where the meter does not tell.
    attributes: Option<Vec<Attribute>>,
    methods: Option<Vec<Method>>,
}

#[derive(Serialize)]
struct Attribute {
    attribute: i8,
    name: String,
    read: bool,
    write: bool,
    mode: u8,
}

#[derive(Serialize)]
struct Method {
    method: i8,
    invoke: bool,
    mode: u8,
}

impl Listed {
    fn of(object: &Object) -> Self {
        let attributes = object.access.as_ref().map(|access| {
            let attribute = |access: &crate::cosem::object_list::AttributeAccess| Attribute {
                attribute: access.id,
                name: object.class.attribute_name(Some(object.version), access.id),
                read: access.readable,
                write: access.writable,
                mode: access.mode,
            };
            access.attributes.iter().map(attribute).collect()
        });
        let methods = object.access.as_ref().map(|access| {
            let methods = access.methods.iter();
            methods
                .map(|access| Method { method: access.id, invoke: access.invocable, mode: access.mode })
                .collect()
        });
        Self {
            obis: object.obis.to_string(),
            class: object.class.0,
            class_name: object.class.class().map(|class| class.name),
            version: object.version,
            name: obis_name(object.obis).map(std::borrow::Cow::into_owned),
            short_name: object.base_name,
            attributes,
            methods,
        }
    }
}

/// Whether an object is of the kind that people poll, and may be read.
fn is_wanted(object: &Object) -> bool {
    let is_value = matches!(
        object.class,
        ClassId::DATA
            | ClassId::REGISTER
            | ClassId::EXTENDED_REGISTER
            | ClassId::DEMAND_REGISTER
            | ClassId::CLOCK
    );
    let readable = |access: &crate::cosem::object_list::AccessRights| {
        access.attributes.iter().any(|attribute| attribute.id == 2 && attribute.readable)
    };
    is_value && object.access.as_ref().is_none_or(readable)
}

/// A group with the values of a meter, and one with its profiles.
fn paste(device: &Name, objects: &ObjectList) -> String {
    let value = |object: &Object| {
        let mut value = Map::new();
        let groups: Vec<String> = object.obis.0.iter().map(u8::to_string).collect();
        value.insert("name".into(), groups.join("-").into());
        value.insert("obis".into(), object.obis.to_string().into());
        let class = object.class.class().map(|class| class.name);
        value.insert("class".into(), class.map_or_else(|| Tree::from(object.class.0), Tree::from));
        if let Some(title) = obis_name(object.obis) {
            value.insert("title".into(), title.into_owned().into());
        }
        Tree::Object(value)
    };
    let values: Vec<Tree> = objects.objects.iter().filter(|object| is_wanted(object)).map(value).collect();
    let profiles = objects.objects.iter().filter(|object| object.class == ClassId::PROFILE_GENERIC);
    let profiles: Vec<Tree> = profiles.map(value).collect();
    let group = |name: String, interval: &str, values: Vec<Tree>| {
        (!values.is_empty()).then(
            || json!({ "name": name, "interval": interval, "devices": [device.as_str()], "values": values }),
        )
    };
    let short = |suffix: &str| {
        let name: String = device.as_str().chars().take(64 - suffix.len()).collect();
        format!("{name}{suffix}")
    };
    let groups: Vec<Tree> =
        [group(short("-values"), "15m", values), group(short("-profiles"), "1h", profiles)]
            .into_iter()
            .flatten()
            .collect();
    rewrite::write(&json!({ "groups": groups }))
}

/// Reads what can be read, a few values at a time, so that polls come in between.
async fn values_of(
    plane: &ControlPlane,
    ask: &Ask,
    device: &Device,
    objects: &ObjectList,
    serial: Option<&str>,
    job: &Job,
) -> Result<Vec<Box<RawValue>>, Report> {
    let current = plane.hub.current();
    let wanted: Vec<Value> = objects
        .objects
        .iter()
        .filter(|object| is_wanted(object))
        .map(|object| {
            let class = Some(object.class);
            let object = ObjectWanted {
                obis: object.obis,
                class,
                selection: Selection::Usual,
                entries: None,
                from: None,
                to: None,
            };
            object.value(&current.config, device)
        })
        .collect();
    let source = Source { gateway: current.outlet.gateway(), device: device.name.as_str(), serial };
    let mut written = Vec::with_capacity(wanted.len());
    for values in wanted.chunks(VALUES_AT_ONCE) {
        let deadline = std::time::Instant::now() + crate::bridge::control::request::USUAL_TIME;
        let reading =
            read_now(&plane.hub, &current.config, device, values.to_vec(), deadline.max(ask.deadline));
        let answers = job.unless_cancelled(reading).await??;
        for (value, found) in values.iter().zip(&answers.found) {
            written.push(write(source, value, found, answers.ts, answers.duration_ms)?);
        }
        job.progress(written.len() as u64, Some(wanted.len() as u64)).await;
    }
    let size: usize = written.iter().map(|value| value.get().len()).sum();
    if size > MOST_BYTES {
        let message = format!("the values of {} objects do not fit into one answer", written.len());
        return Ok(vec![
            to_raw_value(
                &Report::new(Code::RequestTooLarge, Layer::Control, message)
                    .with_hint("read them in parts with read"),
            )
            .map_err(|error| Report::new(Code::Internal, Layer::Internal, error.to_string()))?,
        ]);
    }
    Ok(written)
}

/// Most bytes of values in an answer.
const MOST_BYTES: usize = 600 << 10;
