//! Short names: from the logical names of objects to the 16-bit names that an association SN gives them.

use std::collections::HashMap;

use crate::cosem::catalogue::ClassId;
use crate::cosem::object_list::ObjectList;
use crate::wire::obis::Obis;
use crate::wire::xdlms::sn::VariableAccess;
use crate::wire::xdlms::{AttributeDescriptor, AttributeRequest, DataAccessResult, MethodDescriptor};

/// Base name of the current association (Green Book, reserved base names).
pub(crate) const ASSOCIATION: u16 = 0xFA00;

/// Base name of the object with the logical device name.
const LOGICAL_DEVICE_NAME: u16 = 0xFD00;

/// What every name made by [`ShortNames::stand_in`] begins with; no medium of the standard has this number.
const STAND_IN: [u8; 4] = [0xFF, 0x53, 0x4E, 0xFF];

/// The base names of a meter's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortNames(HashMap<Obis, Vec<Named>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    class: ClassId,
    version: u8,
    base: u16,
}

impl ShortNames {
    /// The names in an object list of Association SN.
    #[must_use]
    pub fn of(objects: &ObjectList) -> Self {
        let mut names: HashMap<Obis, Vec<Named>> = HashMap::with_capacity(objects.objects.len());
        for object in &objects.objects {
            let Some(base) = object.base_name else { continue };
            let named = Named { class: object.class, version: object.version, base };
            names.entry(object.obis).or_default().push(named);
        }
        Self(names)
    }

    /// A name that stands for the logical name of an object of which only the base name is known. It is understood by
    /// every [`ShortNames`], and never sent.
    #[must_use]
    pub const fn stand_in(base: u16) -> Obis {
        let [first, second, third, fourth] = STAND_IN;
        let [high, low] = base.to_be_bytes();
        Obis([first, second, third, fourth, high, low])
    }

    /// Whether no object is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The short name of an attribute.
    ///
    /// # Errors
    /// What the meter would say: `ObjectUndefined`, or `ObjectClassInconsistent` where the object is of another class.
    pub fn attribute(&self, attribute: &AttributeDescriptor) -> Result<u16, DataAccessResult> {
        let named = self.find(ClassId(attribute.class_id), attribute.instance_id)?;
        let offset = ClassId::attribute_offset(attribute.attribute_id);
        offset.and_then(|offset| named.base.checked_add(offset)).ok_or(DataAccessResult::ObjectUndefined)
    }

    /// What to read for a request: the attribute by its name, or a part of it by parameterised access.
    ///
    /// # Errors
    /// As [`Self::attribute`].
    pub fn variable(&self, request: AttributeRequest) -> Result<VariableAccess<'static>, DataAccessResult> {
        let name = self.attribute(&request.attribute)?;
        Ok(match request.selection {
            None => VariableAccess::Name(name),
            Some(selection) => VariableAccess::Parameterised {
                name,
                selector: selection.selector,
                parameter: selection.parameters,
            },
        })
    }

    /// The short name of a method.
    ///
    /// # Errors
    /// As [`Self::attribute`]; `ObjectUndefined` too where the layout of the class is not known.
    pub fn method(&self, method: &MethodDescriptor) -> Result<u16, DataAccessResult> {
        let named = self.find(ClassId(method.class_id), method.instance_id)?;
        let offset = named.class.method_offset(Some(named.version), method.method_id);
        offset.and_then(|offset| named.base.checked_add(offset)).ok_or(DataAccessResult::ObjectUndefined)
    }

    fn find(&self, class: ClassId, obis: Obis) -> Result<Named, DataAccessResult> {
        let known = self.0.get(&obis).map(Vec::as_slice).unwrap_or_default();
        if let Some(named) = known.iter().find(|named| named.class == class) {
            return Ok(*named);
        }
        match (obis.0, class) {
            ([a, b, c, d, high, low], _) if [a, b, c, d] == STAND_IN => {
                Ok(Named { class, version: 0, base: u16::from_be_bytes([high, low]) })
            }
            ([0, 0, 40, 0, 0, 255], ClassId::ASSOCIATION_SN) => {
                Ok(Named { class, version: 0, base: ASSOCIATION })
            }
            ([0, 0, 42, 0, 0, 255], ClassId::DATA) if known.is_empty() => {
                Ok(Named { class, version: 0, base: LOGICAL_DEVICE_NAME })
            }
            _ if known.is_empty() => Err(DataAccessResult::ObjectUndefined),
            _ => Err(DataAccessResult::ObjectClassInconsistent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosem::object_list::Object;

    const REGISTER: Obis = Obis::new(1, 0, 1, 8, 0, 255);

    fn names() -> ShortNames {
        let object =
            |class, version, obis, base| Object { class, version, obis, base_name: Some(base), access: None };
        ShortNames::of(&ObjectList {
            objects: vec![
                object(ClassId::REGISTER, 0, REGISTER, 0x0BB8),
                object(ClassId::DATA, 0, REGISTER, 0x0C00),
                object(ClassId(64), 1, Obis::new(0, 0, 43, 0, 0, 255), 0xFFF0),
            ],
            skipped: 0,
        })
    }

    fn attribute(class: ClassId, obis: Obis, attribute_id: i8) -> Result<u16, DataAccessResult> {
        names().attribute(&AttributeDescriptor { class_id: class.0, instance_id: obis, attribute_id })
    }

    fn method(class: u16, obis: Obis, method_id: i8) -> Result<u16, DataAccessResult> {
        names().method(&MethodDescriptor { class_id: class, instance_id: obis, method_id })
    }

    #[test]
    fn attributes_and_methods_stand_at_their_offsets() {
        assert_eq!(attribute(ClassId::REGISTER, REGISTER, 1), Ok(0x0BB8));
        assert_eq!(attribute(ClassId::REGISTER, REGISTER, 3), Ok(0x0BC8));
        assert_eq!(attribute(ClassId::DATA, REGISTER, 2), Ok(0x0C08), "two objects of one name");
        assert_eq!(method(3, REGISTER, 1), Ok(0x0BB8 + 0x28));
    }

    #[test]
    fn what_is_not_there_is_refused_as_the_meter_would() {
        let undefined = Err(DataAccessResult::ObjectUndefined);
        assert_eq!(attribute(ClassId::REGISTER, Obis::new(1, 0, 2, 8, 0, 255), 2), undefined);
        assert_eq!(attribute(ClassId::CLOCK, REGISTER, 2), Err(DataAccessResult::ObjectClassInconsistent));
        assert_eq!(attribute(ClassId::REGISTER, REGISTER, -1), undefined);
        assert_eq!(
            attribute(ClassId(64), Obis::new(0, 0, 43, 0, 0, 255), 3),
            undefined,
            "past the last name"
        );
        assert_eq!(method(1, REGISTER, 1), undefined, "no such method");
    }

    #[test]
    fn reserved_names_and_stand_ins_need_no_list() {
        assert_eq!(attribute(ClassId::ASSOCIATION_SN, Obis::new(0, 0, 40, 0, 0, 255), 2), Ok(0xFA08));
        assert_eq!(attribute(ClassId::DATA, Obis::new(0, 0, 42, 0, 0, 255), 2), Ok(0xFD08));
        assert_eq!(attribute(ClassId(9000), ShortNames::stand_in(0x1234), 2), Ok(0x123C));
        assert_eq!(method(3, ShortNames::stand_in(0x1000), 1), Ok(0x1028));
    }
}
