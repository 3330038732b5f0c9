//! What is known of a meter between visits: who it is, and what does not change from read to read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::client::ShortNames;
use crate::client::batch::Lists;
use crate::client::profile::ProfileLayout;
use crate::cosem::catalogue::ClassId;
use crate::cosem::object_list::ObjectList;
use crate::cosem::scaler_unit::ScalerUnit;
use crate::wire::obis::Obis;

/// What a meter says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterIdentity {
    /// Logical device name (0-0:42.0.0*255).
    pub logical_device_name: Option<String>,
    /// Serial number (device ID 1).
    pub serial: Option<String>,
}

/// Static attributes of a meter. Kept while the same meter answers, forgotten when another does, or when it does
/// not say who it is.
#[derive(Debug, Default)]
pub struct MeterMemory {
    /// Who it is.
    pub identity: MeterIdentity,
    /// What it makes of lists.
    pub lists: Lists,
    /// Scaler and unit of registers.
    pub scaler_units: HashMap<(ClassId, Obis), ScalerUnit>,
    /// Columns and order of profiles.
    pub layouts: HashMap<Obis, ProfileLayout>,
    /// Its objects, once they were needed.
    pub objects: Objects,
    /// Their base names, in short-name referencing.
    pub names: Arc<ShortNames>,
}

/// The object list of an association.
#[derive(Debug, Default)]
pub enum Objects {
    /// Not needed so far.
    #[default]
    Unread,
    /// Read without access rights, for the base names.
    Named(ObjectList),
    /// Read.
    Known(ObjectList),
    /// The meter does not show it.
    Denied,
}

impl MeterMemory {
    /// A meter has associated and said who it is.
    pub fn recognise(&mut self, identity: MeterIdentity) {
        if !self.is_of(&identity) {
            *self = Self { identity, ..Self::default() };
        }
    }

    /// What was read may be another object's.
    pub fn forget_what_was_read(&mut self) {
        *self = Self { lists: self.lists, ..Self::default() };
    }

    /// Whether this is the memory of the meter that says so of itself.
    #[must_use]
    pub fn is_of(&self, identity: &MeterIdentity) -> bool {
        identity.logical_device_name.is_some() && *identity == self.identity
    }

    /// Takes in the objects of an association SN.
    pub fn learn_names(&mut self, objects: ObjectList) {
        self.names = Arc::new(ShortNames::of(&objects));
        self.objects = Objects::Named(objects);
    }

    /// The objects, where they are known.
    #[must_use]
    pub const fn objects(&self) -> Option<&ObjectList> {
        match &self.objects {
            Objects::Named(objects) | Objects::Known(objects) => Some(objects),
            Objects::Unread | Objects::Denied => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> MeterIdentity {
        MeterIdentity { logical_device_name: Some(name.to_owned()), serial: None }
    }

    #[test]
    fn another_meter_starts_with_an_empty_memory() {
        let mut memory = MeterMemory::default();
        let register = (ClassId::REGISTER, Obis::new(1, 0, 1, 8, 0, 255));
        memory.recognise(named("LGZ1"));
        memory.scaler_units.insert(register, ScalerUnit { scaler: -3, unit: crate::cosem::unit::Unit(30) });
        memory.recognise(named("LGZ1"));
        assert_eq!(memory.scaler_units.len(), 1, "the same meter");
        memory.recognise(named("LGZ2"));
        assert!(memory.scaler_units.is_empty(), "another meter");
        memory.scaler_units.insert(register, ScalerUnit { scaler: 0, unit: crate::cosem::unit::Unit(30) });
        memory.recognise(MeterIdentity::default());
        assert!(memory.scaler_units.is_empty(), "a meter that says nothing may be any");
    }
}
