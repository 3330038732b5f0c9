//! The objects of a meter as an association shows them: classes, names, short names and access rights.

use super::capture_object::{integer, obis_of};
use super::catalogue::ClassId;
use crate::wire::data::Data;
use crate::wire::obis::Obis;

/// The objects that an association shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectList {
    /// In the order of the meter.
    pub objects: Vec<Object>,
    /// Elements that could not be understood.
    pub skipped: usize,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its class.
    pub class: ClassId,
    /// Version of the class.
    pub version: u8,
    /// Logical name.
    pub obis: Obis,
    /// Base name, in short-name referencing.
    pub base_name: Option<u16>,
    /// What this association may do; `None` where the meter does not say, or not in a form that we understand.
    pub access: Option<AccessRights>,
}

/// What an association may do with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRights {
    /// Attributes, in the order of the meter.
    pub attributes: Vec<AttributeAccess>,
    /// Methods, in the order of the meter.
    pub methods: Vec<MethodAccess>,
}

/// What an association may do with an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeAccess {
    /// The attribute.
    pub id: i8,
    /// access_mode as the meter sends it.
    pub mode: u8,
    /// Whether it can be read, perhaps with authentication.
    pub readable: bool,
    /// Whether it can be written, perhaps with authentication.
    pub writable: bool,
    /// Selectors for selective access.
    pub selectors: Vec<i8>,
}

/// What an association may do with a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodAccess {
    /// The method.
    pub id: i8,
    /// access_mode as the meter sends it; a boolean is 0 or 1.
    pub mode: u8,
    /// Whether it can be invoked, perhaps with authentication.
    pub invocable: bool,
}

/// How access modes are to be understood.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Modes {
    /// One of a list (association versions 0 to 2, and short names).
    Enumerated,
    /// A mask of flags (association version 3).
    Mask,
}

impl ObjectList {
    /// Reads attribute 2 of Association LN of this version; `None` where it is no array.
    #[must_use]
    pub fn from_association_ln(data: &Data, version: u8) -> Option<Self> {
        let modes = if version >= 3 { Modes::Mask } else { Modes::Enumerated };
        Self::collect(data, |element| {
            let [class, version, obis, rest @ ..] = element else { return None };
            Some(Object {
                class: ClassId(integer(class)?),
                version: integer(version)?,
                obis: obis_of(obis)?,
                base_name: None,
                access: rest.first().and_then(|rights| AccessRights::from_data(rights, modes)),
            })
        })
    }

    /// Reads attribute 2 of Association SN; `None` where it is no array.
    #[must_use]
    pub fn from_association_sn(data: &Data) -> Option<Self> {
        Self::collect(data, |element| {
            let [base_name, class, version, obis, ..] = element else { return None };
            Some(Object {
                class: ClassId(integer(class)?),
                version: integer(version)?,
                obis: obis_of(obis)?,
                base_name: Some(base_name_of(base_name)?),
                access: None,
            })
        })
    }

    /// Adds attribute 3 of Association SN (from version 1), the access rights by base name.
    pub fn add_access_rights_sn(&mut self, data: &Data) {
        for element in elements(data).unwrap_or_default() {
            let Data::Structure(fields) = element else { continue };
            let [base_name, rights @ ..] = fields.as_slice() else { continue };
            let Some(base_name) = base_name_of(base_name) else { continue };
            let access = AccessRights::from_fields(rights, Modes::Enumerated);
            if let Some(object) = self.objects.iter_mut().find(|object| object.base_name == Some(base_name)) {
                object.access = access;
            }
        }
    }

    /// The object of this name; of this class, where one is given.
    #[must_use]
    pub fn find(&self, obis: Obis, class: Option<ClassId>) -> Option<&Object> {
        self.objects
            .iter()
            .find(|object| object.obis == obis && class.is_none_or(|class| object.class == class))
    }

    fn collect(data: &Data, read: impl Fn(&[Data]) -> Option<Object>) -> Option<Self> {
        let elements = elements(data)?;
        let objects: Vec<_> = elements
            .iter()
            .filter_map(|element| match element {
                Data::Structure(fields) => read(fields),
                _ => None,
            })
            .collect();
        Some(Self { skipped: elements.len() - objects.len(), objects })
    }
}

impl AccessRights {
    /// Whether attribute `id` can be read; unknown attributes cannot.
    #[must_use]
    pub fn can_read(&self, id: i8) -> bool {
        self.attributes.iter().any(|attribute| attribute.id == id && attribute.readable)
    }

    fn from_data(data: &Data, modes: Modes) -> Option<Self> {
        match data {
            Data::Structure(fields) => Self::from_fields(fields, modes),
            _ => None,
        }
    }

    /// Reads the two lists; a method list that is missing or odd is empty, an odd attribute list is no access rights.
    fn from_fields(fields: &[Data], modes: Modes) -> Option<Self> {
        let [attributes, rest @ ..] = fields else { return None };
        let attributes =
            elements(attributes)?.iter().map(|item| attribute_access(item, modes)).collect::<Option<_>>()?;
        let methods = rest.first().and_then(elements).unwrap_or_default();
        Some(Self {
            attributes,
            methods: methods.iter().filter_map(|item| method_access(item, modes)).collect(),
        })
    }
}

fn attribute_access(item: &Data, modes: Modes) -> Option<AttributeAccess> {
    let Data::Structure(fields) = item else { return None };
    let [id, mode, rest @ ..] = fields.as_slice() else { return None };
    let mode: u8 = integer(mode)?;
    let (readable, writable) = match modes {
        Modes::Enumerated => (matches!(mode, 1 | 3 | 4 | 6), matches!(mode, 2 | 3 | 5 | 6)),
        Modes::Mask => (mode & 0x01 != 0, mode & 0x02 != 0),
    };
    let selectors = rest.first().and_then(elements).unwrap_or_default();
    Some(AttributeAccess {
        id: integer(id)?,
        mode,
        readable,
        writable,
        selectors: selectors.iter().filter_map(integer).collect(),
    })
}

fn method_access(item: &Data, modes: Modes) -> Option<MethodAccess> {
    let Data::Structure(fields) = item else { return None };
    let [id, mode, ..] = fields.as_slice() else { return None };
    let mode: u8 = match mode {
        Data::Boolean(allowed) => u8::from(*allowed),
        mode => integer(mode)?,
    };
    let invocable = match modes {
        Modes::Enumerated => mode != 0,
        Modes::Mask => mode & 0x01 != 0,
    };
    Some(MethodAccess { id: integer(id)?, mode, invocable })
}

/// A base name: long by the standard, where 0xFA00 is negative; long-unsigned is tolerated.
fn base_name_of(data: &Data) -> Option<u16> {
    match data {
        Data::Long(name) => Some(name.cast_unsigned()),
        other => integer(other),
    }
}

fn elements(data: &Data) -> Option<&[Data]> {
    match data {
        Data::Array(elements) => Some(elements),
        Data::CompactArray(array) => Some(array.elements()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(hex: &str) -> Data {
        let hex: String = hex.split_whitespace().collect();
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
            .collect();
        Data::from_bytes(&bytes).expect("well formed")
    }

    #[test]
    fn association_ln() {
        // One data object: attribute 1 readable, 2 readable and writable with selectors 1 and 2; method 1 allowed.
        let data = decode(
            "0101 0204 120001 1100 090600002a0000ff 0202
             0102 0203 0f01 1601 00  0203 0f02 1603 0102 0f01 0f02
             0101 0202 0f01 1601",
        );
        let list = ObjectList::from_association_ln(&data, 1).expect("an array");
        assert_eq!(list.skipped, 0);
        let object = list.find(Obis([0, 0, 42, 0, 0, 255]), Some(ClassId::DATA)).expect("listed");
        assert_eq!((object.version, object.base_name), (0, None));
        let access = object.access.as_ref().expect("understood");
        assert_eq!(
            access.attributes,
            [
                AttributeAccess { id: 1, mode: 1, readable: true, writable: false, selectors: vec![] },
                AttributeAccess { id: 2, mode: 3, readable: true, writable: true, selectors: vec![1, 2] },
            ]
        );
        assert_eq!(access.methods, [MethodAccess { id: 1, mode: 1, invocable: true }]);
        assert!(access.can_read(2) && !access.can_read(3));
        assert_eq!(list.find(Obis([0, 0, 42, 0, 0, 255]), Some(ClassId::CLOCK)), None);
    }

    #[test]
    fn modes_by_version() {
        let data = |attribute: u8, method: &str| {
            decode(&format!(
                "0101 0204 120001 1100 090600002a0000ff 0202 0101 0203 0f02 16{attribute:02x} 00
                 0101 0202 0f01 {method}"
            ))
        };
        let access = |version, attribute, method| {
            let list = ObjectList::from_association_ln(&data(attribute, method), version).expect("an array");
            let access = list.objects[0].access.clone().expect("understood");
            (access.attributes[0].readable, access.attributes[0].writable, access.methods[0].invocable)
        };
        for (mode, readable, writable) in [
            (0, false, false),
            (1, true, false),
            (2, false, true),
            (3, true, true),
            (4, true, false),
            (5, false, true),
            (6, true, true),
        ] {
            assert_eq!(access(0, mode, "0301"), (readable, writable, true), "mode {mode}");
        }
        assert_eq!(access(0, 1, "0300"), (true, false, false), "methods were booleans in version 0");
        assert_eq!(access(1, 1, "1602"), (true, false, true), "authenticated access");
        assert_eq!(access(3, 0x05, "1605"), (true, false, true), "read, authenticated request");
        assert_eq!(access(3, 0x06, "1604"), (false, true, false), "write, authenticated request");
    }

    #[test]
    fn association_sn() {
        let mut list = ObjectList::from_association_sn(&decode(
            "0102 0204 10fa00 12000c 1101 0906000028 0000ff  0204 120100 120003 1100 0906 0100010800ff",
        ))
        .expect("an array");
        assert_eq!(list.objects[0].base_name, Some(0xFA00));
        assert_eq!(list.objects[1].base_name, Some(0x0100), "long-unsigned is tolerated");
        assert!(list.objects.iter().all(|object| object.access.is_none()));
        list.add_access_rights_sn(&decode("0101 0203 100100 0101 0203 0f02 1601 00 0100"));
        assert!(list.objects[1].access.as_ref().expect("added").can_read(2));
        assert_eq!(list.objects[0].access, None);
    }

    #[test]
    fn odd_lists() {
        // Not a structure; too short; without access rights; with access rights that are a number.
        let list = ObjectList::from_association_ln(
            &decode(
                "0104 1101  0202 120001 1100  0203 120001 1100 090600002a0000ff
                 0204 120003 1100 09060100010800ff 1100",
            ),
            1,
        )
        .expect("an array");
        assert_eq!((list.objects.len(), list.skipped), (2, 2));
        assert!(list.objects.iter().all(|object| object.access.is_none()));
        assert_eq!(ObjectList::from_association_ln(&Data::Null, 1), None);
        assert_eq!(ObjectList::from_association_sn(&Data::Null), None);
    }
}
