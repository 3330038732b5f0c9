//! The catalogue of interface classes: names, attributes, value shapes and methods by version, as data.
//!
//! It names what a meter sends: values that do not fit their shape are shown in their generic form, and classes,
//! versions and attributes that are not listed pass through by number. It judges the outermost type alone, in
//! [`wrong_type`]: an attribute can be answered by what it is not at all.

mod communication;
mod control;
mod measurement;
pub mod shape;
mod system;
pub mod wrong_type;

use std::fmt;
use std::str::FromStr;

use shape::Shape;

use crate::wire::data::Data;

/// An interface class by its number, listed here or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub u16);

impl ClassId {
    /// Data.
    pub const DATA: Self = Self(1);
    /// Register.
    pub const REGISTER: Self = Self(3);
    /// Extended register.
    pub const EXTENDED_REGISTER: Self = Self(4);
    /// Demand register.
    pub const DEMAND_REGISTER: Self = Self(5);
    /// Profile generic.
    pub const PROFILE_GENERIC: Self = Self(7);
    /// Clock.
    pub const CLOCK: Self = Self(8);
    /// Association SN.
    pub const ASSOCIATION_SN: Self = Self(12);
    /// Association LN.
    pub const ASSOCIATION_LN: Self = Self(15);
    /// Compact data.
    pub const COMPACT_DATA: Self = Self(62);

    /// The catalogue's entry.
    #[must_use]
    pub fn class(self) -> Option<&'static Class> {
        classes().find(|class| class.id == self)
    }

    /// The attribute that holds the scaler_unit of the values of this class.
    #[must_use]
    pub const fn scaler_unit_attribute(self) -> Option<i8> {
        match self {
            Self::REGISTER | Self::EXTENDED_REGISTER => Some(3),
            Self::DEMAND_REGISTER | Self(61) => Some(4),
            _ => None,
        }
    }

    /// The attribute `id` as the catalogue knows it in this version, or in any where the version is not known.
    ///
    /// Versions differ in the form of some attributes. Among the forms of this version the newest that fits `data` is
    /// taken, else one of another version that fits, else the newest.
    #[must_use]
    pub fn attribute(self, version: Option<u8>, id: i8, data: Option<&Data>) -> Option<&'static Attribute> {
        if id == 1 {
            return Some(&LOGICAL_NAME);
        }
        let known = || {
            self.class().into_iter().flat_map(|class| class.attributes).filter(move |known| known.id == id)
        };
        let of_version = || known().filter(|known| known.versions.contains(version));
        let newest = of_version().next_back()?;
        let Some(data) = data else { return Some(newest) };
        // Meters are not always of the version that they name.
        let fits = |known: &&Attribute| known.shape.accepts(data);
        of_version().rev().find(fits).or_else(|| known().rev().find(fits)).or(Some(newest))
    }

    /// The published name of attribute `id`: the catalogue's, or `attribute_<n>`.
    #[must_use]
    pub fn attribute_name(self, version: Option<u8>, id: i8) -> String {
        match self.attribute(version, id, None) {
            Some(attribute) => attribute.name.to_owned(),
            None => format!("attribute_{id}"),
        }
    }

    /// What to add to an object's base name to address method `id` by its short name; `None` where the standard's
    /// layout is not known.
    #[must_use]
    pub fn method_offset(self, version: Option<u8>, id: i8) -> Option<u16> {
        let layout = self.class()?.short_names.iter().find(|layout| layout.versions.contains(version))?;
        let steps = u16::try_from(id.checked_sub(layout.method)?).ok()?;
        Some(layout.offset + 8 * steps)
    }

    /// What to add to an object's base name to address attribute `id` by its short name; `None` under 1.
    #[must_use]
    pub fn attribute_offset(id: i8) -> Option<u16> {
        u16::try_from(id.checked_sub(1)?).ok().map(|steps| 8 * steps)
    }
}

impl fmt::Display for ClassId {
    /// The class's name, or its number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class() {
            Some(class) => f.write_str(class.name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A text that names no interface class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown interface class: use a name like register, or the number of the class")]
pub struct UnknownClass;

impl FromStr for ClassId {
    type Err = UnknownClass;

    /// Reads a number, or a name in lower or upper case, with `_`, `-` or spaces between words.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(number) = text.parse() {
            return Ok(Self(number));
        }
        let name: String =
            text.chars().map(|c| if matches!(c, '-' | ' ') { '_' } else { c.to_ascii_lowercase() }).collect();
        classes().find(|class| class.name == name).map(|class| class.id).ok_or(UnknownClass)
    }
}

/// Every class of the catalogue, by number within each chapter.
pub fn classes() -> impl Iterator<Item = &'static Class> {
    [measurement::CLASSES, control::CLASSES, communication::CLASSES, system::CLASSES].into_iter().flatten()
}

/// An interface class.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// Number.
    pub id: ClassId,
    /// Name as published and as written in a configuration.
    pub name: &'static str,
    /// Newest version that is listed.
    pub newest: u8,
    /// Attributes from 2 up; several of one number where versions differ, oldest first. Empty where only the name of
    /// the class is known.
    pub attributes: &'static [Attribute],
    /// Methods.
    pub methods: &'static [Method],
    /// Where methods stand in short-name referencing.
    pub short_names: &'static [ShortNames],
}

impl Class {
    /// The attributes of this version, or of any version where it is not known: one for each number, in order.
    pub fn attributes(&self, version: Option<u8>) -> impl Iterator<Item = &'static Attribute> {
        let mut last = 1;
        self.attributes.iter().filter(move |attribute| {
            let first = attribute.versions.contains(version) && attribute.id > last;
            if first {
                last = attribute.id;
            }
            first
        })
    }

    /// The attribute of this name.
    #[must_use]
    pub fn attribute_named(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// An attribute of a class.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Number.
    pub id: i8,
    /// Name as published.
    pub name: &'static str,
    /// Versions that have it in this form.
    pub versions: Versions,
    /// Whether it changes by itself.
    pub change: Change,
    /// The form of its value.
    pub shape: Shape,
}

/// Whether a meter changes an attribute by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Set by configuration: can be cached within an association.
    Static,
    /// Changed by the meter.
    Dynamic,
}

/// A method of a class.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Number.
    pub id: i8,
    /// Name.
    pub name: &'static str,
    /// Versions that have it.
    pub versions: Versions,
}

/// Where the methods of a class stand after its attributes, in short-name referencing.
#[derive(Clone, Copy, Debug)]
pub struct ShortNames {
    versions: Versions,
    method: i8,
    offset: u16,
}

/// A range of versions of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    first: u8,
    last: u8,
}

impl Versions {
    const ALL: Self = Self { first: 0, last: u8::MAX };

    /// Whether `version` is among them; an unknown one always is.
    #[must_use]
    pub fn contains(self, version: Option<u8>) -> bool {
        version.is_none_or(|version| (self.first..=self.last).contains(&version))
    }
}

const LOGICAL_NAME: Attribute = fixed(1, "logical_name", Shape::LogicalName);

/// An attribute that only configuration changes.
const fn fixed(id: i8, name: &'static str, shape: Shape) -> Attribute {
    Attribute { id, name, versions: Versions::ALL, change: Change::Static, shape }
}

/// An attribute that the meter changes by itself.
const fn live(id: i8, name: &'static str, shape: Shape) -> Attribute {
    Attribute { id, name, versions: Versions::ALL, change: Change::Dynamic, shape }
}

impl Attribute {
    const fn since(mut self, version: u8) -> Self {
        self.versions.first = version;
        self
    }

    const fn until(mut self, version: u8) -> Self {
        self.versions.last = version;
        self
    }
}

const fn method(id: i8, name: &'static str) -> Method {
    Method { id, name, versions: Versions::ALL }
}

impl Method {
    const fn since(mut self, version: u8) -> Self {
        self.versions.first = version;
        self
    }

    const fn until(mut self, version: u8) -> Self {
        self.versions.last = version;
        self
    }
}

/// Method 1 stands at `offset`, in every version.
const fn methods_at(offset: u16) -> ShortNames {
    ShortNames { versions: Versions::ALL, method: 1, offset }
}

impl ShortNames {
    const fn since(mut self, version: u8) -> Self {
        self.versions.first = version;
        self
    }

    const fn until(mut self, version: u8) -> Self {
        self.versions.last = version;
        self
    }
}

/// A class of which only number and name are listed.
const fn name_only(id: u16, name: &'static str) -> Class {
    Class { id: ClassId(id), name, newest: 0, attributes: &[], methods: &[], short_names: &[] }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_classes_of_the_contract_are_all_there() {
        for id in [
            1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 40,
            41, 42, 43, 45, 47, 48, 61, 62, 63, 64, 65, 68, 70, 71, 72,
        ] {
            let class = ClassId(id).class().unwrap_or_else(|| panic!("class {id}"));
            assert!(!class.attributes.is_empty(), "class {id}");
        }
    }

    #[test]
    fn the_catalogue_is_consistent() {
        let mut ids = HashSet::new();
        let mut names = HashSet::new();
        for class in classes() {
            assert!(ids.insert(class.id) && names.insert(class.name), "{} stands twice", class.name);
            assert!(is_name(class.name), "{}", class.name);
            assert!(class.attributes.is_sorted_by_key(|attribute| attribute.id), "{}", class.name);
            for version in 0..=class.newest {
                let ids: Vec<_> = class.attributes(Some(version)).map(|attribute| attribute.id).collect();
                assert!(ids.is_sorted_by(|a, b| a < b), "{} version {version}: {ids:?}", class.name);
                let mut of_version = HashSet::new();
                for attribute in class.attributes.iter().filter(|a| a.versions.contains(Some(version))) {
                    assert!(
                        attribute.id >= 2 && is_name(attribute.name),
                        "{}.{}",
                        class.name,
                        attribute.name
                    );
                    assert!(of_version.insert(attribute.id), "{}.{} twice", class.name, attribute.name);
                    attribute.shape.check_names();
                }
            }
            for method in class.methods {
                assert!(is_name(method.name), "{}.{}", class.name, method.name);
            }
        }
    }

    pub(super) fn is_name(name: &str) -> bool {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!("register".parse(), Ok(ClassId(3)));
        assert_eq!("Profile generic".parse(), Ok(ClassId(7)));
        assert_eq!("TCP-UDP setup".parse(), Ok(ClassId(41)));
        assert_eq!("9000".parse(), Ok(ClassId(9000)));
        assert_eq!("registers".parse::<ClassId>(), Err(UnknownClass));
        assert_eq!("70000".parse::<ClassId>(), Err(UnknownClass));
        assert_eq!(ClassId(8).to_string(), "clock");
        assert_eq!(ClassId(9000).to_string(), "9000");
        for class in classes() {
            assert_eq!(class.name.parse(), Ok(class.id));
        }
    }

    #[test]
    fn attributes_by_version_and_by_form() {
        let name = |version, id| ClassId(40).attribute_name(version, id);
        assert_eq!(name(Some(0), 7), "repetition_delay");
        assert_eq!(name(Some(0), 8), "attribute_8");
        assert_eq!(name(None, 8), "port_reference");
        assert_eq!(ClassId(9000).attribute_name(None, 2), "attribute_2");
        assert_eq!(ClassId(9000).attribute_name(None, 1), "logical_name");

        let cell = |version, elements: usize| {
            let data = Data::Structure(vec![Data::Unsigned(0); elements]);
            let attribute = ClassId(47).attribute(version, 6, Some(&data)).expect("listed");
            match attribute.shape {
                Shape::Structure(fields) => fields.len(),
                _ => 0,
            }
        };
        assert_eq!((cell(Some(0), 4), cell(Some(1), 7)), (4, 7));
        assert_eq!((cell(None, 4), cell(None, 7)), (4, 7), "the data decides");
        assert_eq!(cell(None, 5), 7, "nothing fits: the newest");
        assert_eq!(cell(Some(1), 4), 4, "the meter has the form of another version");

        let columns = Data::Array(vec![Data::Structure(vec![Data::Null; 4])]);
        let attribute = ClassId::COMPACT_DATA.attribute(Some(1), 3, Some(&columns)).expect("listed");
        assert!(attribute.versions.contains(Some(0)), "elements are looked at as well");
    }

    #[test]
    fn short_names() {
        assert_eq!(ClassId::attribute_offset(2), Some(8));
        assert_eq!(ClassId::attribute_offset(0), None);
        assert_eq!(ClassId(15).method_offset(Some(1), 1), Some(0x60));
        assert_eq!(ClassId(64).method_offset(Some(0), 1), Some(0x28));
        assert_eq!(ClassId(64).method_offset(Some(1), 1), Some(0x30));
        assert_eq!(ClassId(72).method_offset(Some(1), 1), Some(0x70));
        assert_eq!(ClassId(1).method_offset(Some(0), 1), None);
        assert_eq!(ClassId(3).method_offset(Some(0), 0), None);
        assert_eq!(ClassId(40).method_offset(Some(2), 1), None, "not known to us");
    }
}
