//! The COSEM objects of a simulated meter, and what GET, SET and ACTION do to them.

mod association_view;
pub mod clock;
pub mod measure;
pub mod object;
pub mod peak;
pub mod preset;
pub mod profile;
pub mod wave;

use std::collections::HashMap;

use jiff::Timestamp;

pub use association_view::Viewer;
use clock::MeterClock;
use object::{Audience, Object, Value, moment};

use crate::cosem::catalogue::ClassId;
use crate::wire::data::Data;
use crate::wire::obis::Obis;
use crate::wire::xdlms::{AttributeDescriptor, DataAccessResult, MethodDescriptor, SelectiveAccess};

/// Logical name of the current association.
pub const ASSOCIATION_LN: Obis = Obis::new(0, 0, 40, 0, 0, 255);
/// Base name of Association SN.
pub const ASSOCIATION_SN_BASE: u16 = 0xFA00;

/// The objects of one logical device.
pub struct Model {
    objects: Vec<Object>,
    by_name: HashMap<Obis, usize>,
    clock: MeterClock,
    client_counter: u32,
}

/// What a short name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortName {
    /// An attribute.
    Attribute(AttributeDescriptor),
    /// A method.
    Method(MethodDescriptor),
}

impl Model {
    /// A model of these objects, each with another logical name.
    #[must_use]
    pub fn new(mut objects: Vec<Object>, clock: MeterClock) -> Self {
        name_shortly(&mut objects);
        let by_name =
            objects.iter().enumerate().map(|(index, object)| (object.logical_name, index)).collect();
        Self { objects, by_name, clock, client_counter: 0 }
    }

    /// Every object.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The last invocation counter accepted from the client.
    #[must_use]
    pub const fn client_counter(&self) -> u32 {
        self.client_counter
    }

    /// Takes note of an invocation counter from the client; a lower one changes nothing.
    pub fn accept_client_counter(&mut self, counter: u32) {
        self.client_counter = self.client_counter.max(counter);
    }

    /// Appends the value of an attribute.
    ///
    /// # Errors
    /// What the meter answers instead; part of a value may have been appended then.
    pub fn read(
        &mut self,
        now: Timestamp,
        viewer: &Viewer,
        attribute: &AttributeDescriptor,
        selection: Option<&SelectiveAccess>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        let index = self.find(viewer, attribute.class_id, attribute.instance_id)?;
        let object = &mut self.objects[index];
        if attribute.attribute_id == 1 {
            Data::OctetString(object.logical_name.0.to_vec()).encode(out);
            return Ok(());
        }
        let found = object.attribute_mut(attribute.attribute_id).ok_or(DataAccessResult::ObjectUndefined)?;
        if !found.access.reads() {
            return Err(DataAccessResult::ReadWriteDenied);
        }
        let instant = moment(now, &self.clock);
        match &mut found.value {
            Value::Buffer(profile) => return profile.encode(instant, selection, out),
            _ if selection.is_some() => return Err(DataAccessResult::ScopeOfAccessViolated),
            Value::Fixed(data) => data.encode(out),
            Value::Live(live) => live(instant).encode(out),
            Value::Clock => Data::OctetString(self.clock.shown(now).to_bytes()).encode(out),
            Value::ClockStatus => Data::Unsigned(self.clock.shown(now).status).encode(out),
            Value::ClientCounter => Data::DoubleLongUnsigned(self.client_counter).encode(out),
            Value::Association(value) => viewer.value(*value, &self.objects).encode(out),
        }
        Ok(())
    }

    /// Writes an attribute.
    ///
    /// # Errors
    /// What the meter answers instead of success.
    pub fn write(
        &mut self,
        now: Timestamp,
        viewer: &Viewer,
        attribute: &AttributeDescriptor,
        selection: Option<&SelectiveAccess>,
        data: Data,
    ) -> Result<(), DataAccessResult> {
        let index = self.find(viewer, attribute.class_id, attribute.instance_id)?;
        let object = &mut self.objects[index];
        let found = match object.attribute_mut(attribute.attribute_id) {
            Some(found) => found,
            None if attribute.attribute_id == 1 => return Err(DataAccessResult::ReadWriteDenied),
            None => return Err(DataAccessResult::ObjectUndefined),
        };
        if !found.access.writes() {
            return Err(DataAccessResult::ReadWriteDenied);
        }
        if selection.is_some() {
            return Err(DataAccessResult::ScopeOfAccessViolated);
        }
        match &mut found.value {
            Value::Fixed(old) if old.data_type() == data.data_type() => *old = data,
            Value::Clock => {
                let time = data.date_time().ok_or(DataAccessResult::TypeUnmatched)?;
                let instant = self.clock.instant(&time).ok_or(DataAccessResult::OtherReason)?;
                self.clock.set(now, instant);
            }
            _ => return Err(DataAccessResult::TypeUnmatched),
        }
        Ok(())
    }

    /// Invokes a method.
    ///
    /// # Errors
    /// What the meter answers instead of success.
    pub fn invoke(
        &mut self,
        now: Timestamp,
        viewer: &Viewer,
        method: &MethodDescriptor,
        parameter: Option<&Data>,
    ) -> Result<Option<Data>, DataAccessResult> {
        let index = self.find(viewer, method.class_id, method.instance_id)?;
        let object = &mut self.objects[index];
        if !object.methods.contains(&method.method_id) {
            return Err(DataAccessResult::ObjectUndefined);
        }
        match (object.class, method.method_id) {
            (ClassId::CLOCK, 6) => match parameter {
                Some(Data::Long(seconds @ -900..=900)) => self.clock.shift(*seconds),
                _ => return Err(DataAccessResult::TypeUnmatched),
            },
            (ClassId::CLOCK, quantum @ 1..=3) => {
                // To the nearest quarter of an hour, or minute; the measuring period is a quarter too.
                let step = if quantum == 3 { 60_000 } else { 900_000 };
                let shown =
                    self.clock.instant(&self.clock.shown(now)).ok_or(DataAccessResult::OtherReason)?;
                self.clock.set(now, (shown + step / 2).div_euclid(step) * step);
            }
            (DISCONNECT_CONTROL, method @ 1..=2) => {
                let connected = method == 2;
                for (id, data) in [(2, Data::Boolean(connected)), (3, Data::Enum(u8::from(connected)))] {
                    if let Some(attribute) = object.attribute_mut(id) {
                        attribute.value = Value::Fixed(data);
                    }
                }
            }
            _ => return Err(DataAccessResult::ReadWriteDenied),
        }
        Ok(None)
    }

    /// What a short name stands for.
    #[must_use]
    pub fn resolve(&self, name: u16) -> Option<ShortName> {
        let object = self
            .objects
            .iter()
            .filter(|object| object.base_name <= name)
            .max_by_key(|object| object.base_name)?;
        let offset = name - object.base_name;
        let instance_id = object.logical_name;
        let class_id = object.class.0;
        let attribute =
            (1..=attribute_count(object)).find(|&id| ClassId::attribute_offset(id) == Some(offset));
        if let Some(attribute_id) = attribute {
            return Some(ShortName::Attribute(AttributeDescriptor { class_id, instance_id, attribute_id }));
        }
        let method_id =
            object.methods.iter().copied().find(|&id| method_offset(object, id) == Some(offset))?;
        Some(ShortName::Method(MethodDescriptor { class_id, instance_id, method_id }))
    }

    fn find(&self, viewer: &Viewer, class: u16, name: Obis) -> Result<usize, DataAccessResult> {
        let &index = self.by_name.get(&name).ok_or(DataAccessResult::ObjectUndefined)?;
        let object = &self.objects[index];
        if viewer.audience == Audience::Everyone && object.audience != Audience::Everyone {
            return Err(DataAccessResult::ReadWriteDenied);
        }
        if object.class.0 == class { Ok(index) } else { Err(DataAccessResult::ObjectClassInconsistent) }
    }
}

const DISCONNECT_CONTROL: ClassId = ClassId(70);

/// Attributes, the logical name included.
fn attribute_count(object: &Object) -> i8 {
    i8::try_from(object.attributes.len() + 1).unwrap_or(i8::MAX)
}

fn method_offset(object: &Object, id: i8) -> Option<u16> {
    object.class.method_offset(Some(object.version), id)
}

/// Gives every object a base name, with room for its attributes and methods.
fn name_shortly(objects: &mut [Object]) {
    let mut next = 0x0100u16;
    for object in objects {
        if object.class == ClassId::ASSOCIATION_SN {
            object.base_name = ASSOCIATION_SN_BASE;
            continue;
        }
        object.base_name = next;
        let attributes = ClassId::attribute_offset(attribute_count(object)).unwrap_or(0);
        let methods = object.methods.iter().filter_map(|&id| method_offset(object, id)).max().unwrap_or(0);
        next += (attributes.max(methods) + 8).next_multiple_of(0x10);
    }
}
