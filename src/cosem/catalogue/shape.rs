//! Shapes: what an attribute's value is made of, in the names of the Blue Book.

use crate::wire::data::Data;

/// The form of a value. A hint for naming and display: a value of another form is shown in its generic one.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Anything.
    Any,
    /// A number to which the object's own scaler_unit applies; or, in some meters, a string or bit-string.
    Scaled,
    /// A number.
    Number,
    /// A boolean.
    Boolean,
    /// A number with named values.
    Enum(&'static [(u8, &'static str)]),
    /// A unit code.
    Unit,
    /// A bit-string.
    BitString,
    /// An octet-string that is no date-time.
    OctetString,
    /// Six octets that name an object.
    LogicalName,
    /// A date-time, as 12 octets or typed.
    DateTime,
    /// A date, as 5 octets or typed.
    Date,
    /// A time of day, as 4 octets or typed.
    Time,
    /// An array of like elements.
    Array(&'static Shape),
    /// A structure with named fields.
    Structure(&'static [Field]),
    /// An object identifier: a structure of its arcs, or its octets.
    ObjectIdentifier(&'static [Field]),
}

/// A named element of a structure.
pub type Field = (&'static str, Shape);

impl Shape {
    /// Whether the outermost form of `data` is this one; of an array, that of the first element too.
    #[must_use]
    pub fn accepts(&self, data: &Data) -> bool {
        match self {
            Self::Any | Self::Scaled => true,
            Self::Number | Self::Unit | Self::Enum(_) => is_integer(data),
            Self::Boolean => matches!(data, Data::Boolean(_)),
            Self::BitString => matches!(data, Data::BitString(_)),
            Self::OctetString => matches!(data, Data::OctetString(_)),
            Self::LogicalName => matches!(data, Data::OctetString(octets) if octets.len() == 6),
            Self::DateTime => match data {
                Data::OctetString(octets) => octets.len() == 12,
                _ => matches!(data, Data::DateTime(_)),
            },
            Self::Date => match data {
                Data::OctetString(octets) => octets.len() == 5,
                _ => matches!(data, Data::Date(_)),
            },
            Self::Time => match data {
                Data::OctetString(octets) => octets.len() == 4,
                _ => matches!(data, Data::Time(_)),
            },
            Self::Array(element) => match data {
                Data::Array(elements) => elements.first().is_none_or(|first| element.accepts(first)),
                Data::CompactArray(array) => {
                    array.elements().first().is_none_or(|first| element.accepts(first))
                }
                _ => false,
            },
            Self::Structure(fields) => {
                matches!(data, Data::Structure(elements) if elements.len() == fields.len())
            }
            Self::ObjectIdentifier(arcs) => match data {
                Data::Structure(elements) => elements.len() == arcs.len(),
                _ => matches!(data, Data::OctetString(_)),
            },
        }
    }

    /// The shape of element `index`, counted from 1, of an array or a structure; `Any` where it has none.
    #[must_use]
    pub fn element(&self, index: u16) -> Self {
        match self {
            Self::Array(element) => **element,
            Self::Structure(fields) | Self::ObjectIdentifier(fields) => usize::from(index)
                .checked_sub(1)
                .and_then(|at| fields.get(at))
                .map_or(Self::Any, |&(_, shape)| shape),
            _ => Self::Any,
        }
    }

    #[cfg(test)]
    pub(super) fn check_names(&self) {
        match self {
            Self::Array(element) => element.check_names(),
            Self::Structure(fields) | Self::ObjectIdentifier(fields) => {
                for (name, shape) in *fields {
                    assert!(super::tests::is_name(name), "{name}");
                    shape.check_names();
                }
            }
            Self::Enum(names) => {
                assert!(names.is_sorted_by(|a, b| a.0 < b.0), "{names:?}");
                assert!(names.iter().all(|(_, name)| super::tests::is_name(name)), "{names:?}");
            }
            _ => {}
        }
    }
}

fn is_integer(data: &Data) -> bool {
    matches!(
        data,
        Data::Enum(_)
            | Data::Integer(_)
            | Data::Long(_)
            | Data::DoubleLong(_)
            | Data::Long64(_)
            | Data::Unsigned(_)
            | Data::LongUnsigned(_)
            | Data::DoubleLongUnsigned(_)
            | Data::Long64Unsigned(_)
            | Data::Bcd(_)
    )
}

/// scal_unit_type.
pub(super) const SCALER_UNIT: Shape = Shape::Structure(&[("scaler", Shape::Number), ("unit", Shape::Unit)]);

/// Which attribute of which object, and which element of it.
pub(super) const CAPTURE_OBJECT: Shape = Shape::Structure(&[
    ("class_id", Shape::Number),
    ("logical_name", Shape::LogicalName),
    ("attribute_index", Shape::Number),
    ("data_index", Shape::Number),
]);

/// Which attribute of which object.
pub(super) const VALUE_DEFINITION: Shape = Shape::Structure(&[
    ("class_id", Shape::Number),
    ("logical_name", Shape::LogicalName),
    ("attribute_index", Shape::Number),
]);

/// Which object.
pub(super) const OBJECT_DEFINITION: Shape =
    Shape::Structure(&[("class_id", Shape::Number), ("logical_name", Shape::LogicalName)]);

/// Which script of which script table.
pub(super) const ACTION_ITEM: Shape =
    Shape::Structure(&[("script_logical_name", Shape::LogicalName), ("script_selector", Shape::Number)]);

/// From when to when.
pub(super) const WINDOW: Shape =
    Shape::Structure(&[("start_time", Shape::DateTime), ("end_time", Shape::DateTime)]);

/// An enumeration whose values have no names here.
pub(super) const CODE: Shape = Shape::Enum(&[]);

/// Speeds of serial lines.
pub(super) const BAUD_RATE: Shape = Shape::Enum(&[
    (0, "300"),
    (1, "600"),
    (2, "1200"),
    (3, "2400"),
    (4, "4800"),
    (5, "9600"),
    (6, "19200"),
    (7, "38400"),
    (8, "57600"),
    (9, "115200"),
]);

/// Numbers, as an array.
pub(super) const NUMBERS: Shape = Shape::Array(&Shape::Number);

/// Octet-strings, as an array.
pub(super) const OCTET_STRINGS: Shape = Shape::Array(&Shape::OctetString);
