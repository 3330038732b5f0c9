//! What a meter has: its objects with names and access rights, their values if wanted, and groups ready to be configured.

mod suggestion;

use std::borrow::Cow;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};

pub use suggestion::{Suggestion, Taken};

use crate::bridge::config::model::{ClassSource, Device, NameSource, Selection, Value};
use crate::bridge::link::memory::{MeterMemory, Objects};
use crate::bridge::link::visit::{Found, NEVER, read_unproven};
use crate::bridge::reading::value::Reading;
use crate::client::{ClientError, InStep, MeterClient};
use crate::cosem::catalogue::ClassId;
use crate::cosem::obis_name::obis_name;
use crate::cosem::object_list::{AccessRights, AttributeAccess, MethodAccess, Object, ObjectList};
use crate::error::Report;

/// Objects whose values are read before the next are asked for.
pub const AT_ONCE: usize = 16;

/// Whether a scan reads values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The object list alone.
    Objects,
    /// Every attribute that may be read, but for the buffers of profiles and the object list itself.
    Values,
}

/// What a meter has.
#[derive(Clone, Debug, Serialize)]
pub struct Scan {
    /// Its objects, in its order.
    pub objects: Vec<ScannedObject>,
    /// What broke the reading of values off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Report>,
}

/// An object of a meter.
#[derive(Clone, Debug, Serialize)]
pub struct ScannedObject {
    /// Its logical name, as `1-0:1.8.0*255`.
    pub obis: String,
    /// What such an object usually is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'static, str>>,
    /// Number of its class.
    pub class: u16,
    /// Name of its class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_name: Option<&'static str>,
    /// Version of its class.
    pub version: u8,
    /// Its base name, in short-name referencing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_name: Option<u16>,
    /// What may be done with its attributes; null where the meter does not tell.
    pub attributes: Option<Vec<Member>>,
    /// What may be done with its methods; null where the meter does not tell.
    pub methods: Option<Vec<Member>>,
    /// Its values, where they were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
}

/// An attribute or a method of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its number.
    pub id: i8,
    /// Its name.
    pub name: String,
    /// What this client may do with it.
    pub access: Access,
    /// access_mode as the meter sends it.
    pub mode: u8,
}

/// What a client may do with an attribute or a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Nothing.
    None,
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Both.
    ReadWrite,
    /// Invoke it.
    Invoke,
}

impl Access {
    /// The published name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "read_write",
            Self::Invoke => "invoke",
        }
    }
}

/// Reads the object list of the association that is open, and values if wanted.
///
/// # Errors
/// Outer: a failure that ends the association. Inner: the meter does not show its objects. What breaks the reading of
/// values off is part of the scan.
pub async fn scan<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut MeterClient<'_, S>,
    memory: &mut MeterMemory,
    device: &Device,
    extent: Extent,
) -> Result<Result<Scan, Report>, ClientError> {
    let list = match client.object_list().await? {
        Ok(list) => list,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut found = Scan::of(&list);
    memory.objects = Objects::Known(list.clone());
    if extent == Extent::Values {
        read_all(client, memory, device, &list, &mut found).await;
    }
    Ok(Ok(found))
}

async fn read_all<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut MeterClient<'_, S>,
    memory: &mut MeterMemory,
    device: &Device,
    list: &ObjectList,
    found: &mut Scan,
) {
    let mut proven = 0;
    let ended = read_on(client, memory, device, list, &mut found.objects, &mut proven).await;
    let Err(error) = ended else { return };
    found.error = Some(error.report());
    if client.session().answers_are_unnumbered() {
        found.objects.iter_mut().skip(proven).for_each(|object| object.reading = None);
    }
}

/// Reads on until an error. The values of the first `proven` objects are surely theirs.
async fn read_on<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut MeterClient<'_, S>,
    memory: &mut MeterMemory,
    device: &Device,
    list: &ObjectList,
    found: &mut [ScannedObject],
    proven: &mut usize,
) -> Result<(), ClientError> {
    let mut read = 0;
    for part in parts(found, list, device) {
        let objects = part.objects.len();
        let wanted: Vec<&Value> = part.values.iter().collect();
        let visited = read_unproven(client, memory, device, &wanted, NEVER).await;
        part.fill(visited.found.into_iter().flatten().collect());
        visited.broken.map_or(Ok(()), Err)?;
        read += objects;
        if client.ask_in_step().await? == InStep::Proven {
            *proven = read;
        }
    }
    // A meter that does not tell proves it by its release: the last that is asked of it.
    if *proven < read { client.release().await } else { Ok(()) }
}

/// A few objects of a scan, and what is to be read of them.
#[derive(Debug)]
pub struct Part<'s> {
    /// What is to be read.
    pub values: Vec<Value>,
    /// The object of each value.
    places: Vec<usize>,
    objects: &'s mut [ScannedObject],
}

impl Scan {
    /// A scan that has read no values.
    #[must_use]
    pub fn of(list: &ObjectList) -> Self {
        Self { objects: list.objects.iter().map(scanned).collect(), error: None }
    }
}

/// The objects of a scan and of the list it was made of, a few at a time.
pub fn parts<'s>(
    objects: &'s mut [ScannedObject],
    list: &'s ObjectList,
    device: &'s Device,
) -> impl Iterator<Item = Part<'s>> {
    list.objects.chunks(AT_ONCE).zip(objects.chunks_mut(AT_ONCE)).map(move |(listed, objects)| {
        let wanted = listed.iter().enumerate();
        let wanted = wanted.filter_map(|(place, object)| Some((place, value_of(object, device)?)));
        let (places, values) = wanted.unzip();
        Part { values, places, objects }
    })
}

impl Part<'_> {
    /// Takes over what was found, in the order of the values.
    pub fn fill(self, found: Vec<Found>) {
        for (place, reading) in self.places.into_iter().zip(found) {
            if let (Some(object), Found::Value(reading)) = (self.objects.get_mut(place), reading) {
                object.reading = Some(*reading);
            }
        }
    }
}

fn scanned(object: &Object) -> ScannedObject {
    let (class, version) = (object.class, Some(object.version));
    let attribute = |it: &AttributeAccess| Member {
        id: it.id,
        name: class.attribute_name(version, it.id),
        access: match (it.readable, it.writable) {
            (false, false) => Access::None,
            (true, false) => Access::Read,
            (false, true) => Access::Write,
            (true, true) => Access::ReadWrite,
        },
        mode: it.mode,
    };
    let method = |it: &MethodAccess| Member {
        id: it.id,
        name: method_name(class, object.version, it.id),
        access: if it.invocable { Access::Invoke } else { Access::None },
        mode: it.mode,
    };
    let access = object.access.as_ref();
    ScannedObject {
        obis: object.obis.to_string(),
        name: obis_name(object.obis),
        class: class.0,
        class_name: class.class().map(|class| class.name),
        version: object.version,
        short_name: object.base_name,
        attributes: access.map(|access| access.attributes.iter().map(attribute).collect()),
        methods: access.map(|access| access.methods.iter().map(method).collect()),
        reading: None,
    }
}

fn method_name(class: ClassId, version: u8, id: i8) -> String {
    let methods = class.class().map(|class| class.methods).unwrap_or_default();
    let known = methods.iter().find(|method| method.id == id && method.versions.contains(Some(version)));
    known.map_or_else(|| format!("method_{id}"), |method| method.name.to_owned())
}

/// Attributes that can be larger than all others together.
const fn is_bulk(class: ClassId, attribute: i8) -> bool {
    attribute == 2
        && matches!(class, ClassId::PROFILE_GENERIC | ClassId::ASSOCIATION_LN | ClassId::ASSOCIATION_SN)
}

/// What is read of an object; `None` where nothing may be.
fn value_of(object: &Object, device: &Device) -> Option<Value> {
    let ids: Vec<i8> = match &object.access {
        Some(access) => readable(access).filter(|id| !is_bulk(object.class, *id)).collect(),
        None => {
            let class = object.class.class()?;
            let known = class.attributes(Some(object.version)).map(|attribute| attribute.id);
            known.filter(|id| !is_bulk(object.class, *id)).collect()
        }
    };
    if ids.is_empty() {
        return None;
    }
    Some(Value {
        name: suggestion::name_of(object.obis),
        name_source: NameSource::Configured,
        title: None,
        enabled: true,
        devices: vec![device.name.clone()],
        obis: Some(object.obis),
        short_name: None,
        class: object.class,
        class_source: ClassSource::Configured,
        selection: Selection::Many(ids),
        scaler: None,
        unit: None,
        profile: None,
    })
}

fn readable(access: &AccessRights) -> impl Iterator<Item = i8> {
    access.attributes.iter().filter(|it| it.readable && it.id >= 2).map(|it| it.id)
}
