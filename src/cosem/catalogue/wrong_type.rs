//! Values whose type is none that their attribute can have, with the tolerance that meters need.

use std::fmt;

use super::ClassId;
use super::shape::Shape;
use crate::error::{Code, Layer, Report};
use crate::wire::data::Data;
use crate::wire::data_type::DataType;

/// A value of a type that its attribute cannot have.
///
/// What meters vary in is no wrong type: the width of integers, a boolean, an enumeration or flags as an integer, one
/// kind of string for another, a date-time as octets or typed, and data of another version of the class. Null-data and
/// dont-care are of no type at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} came as {came}, but {class} asks for {wanted}", name = self.class.attribute_name(None, self.attribute))]
pub struct WrongType {
    class: ClassId,
    attribute: i8,
    came: Came,
    wanted: &'static str,
}

impl WrongType {
    /// What is wrong with `data` as attribute `id` of a class, if anything. Only its outermost type is looked at.
    #[must_use]
    pub fn of(class: ClassId, version: Option<u8>, id: i8, data: &Data) -> Option<Self> {
        let shape = &class.attribute(version, id, Some(data))?.shape;
        (!shape.admits(data)).then(|| Self {
            class,
            attribute: id,
            came: Came::of(data, shape),
            wanted: shape.wanted(),
        })
    }

    /// The published form.
    #[must_use]
    pub fn report(&self) -> Report {
        Report::new(Code::Decode, Layer::Decode, self.to_string()).with_hint(
            "the object may be of another class than the one configured: scan the device for its objects; \
             if the class is right, the meter departs from it",
        )
    }
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Came {
    data_type: DataType,
    /// The number of octets, where that is what is wrong.
    octets: Option<usize>,
}

impl Came {
    fn of(data: &Data, shape: &Shape) -> Self {
        let octets = match data {
            Data::OctetString(octets) if shape.octets().is_some() => Some(octets.len()),
            _ => None,
        };
        Self { data_type: data.data_type(), octets }
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.data_type.name())?;
        self.octets.map_or(Ok(()), |octets| write!(f, " of {octets} octets"))
    }
}

impl Shape {
    /// Whether a value of this type can stand where this shape is asked for, if only in its generic form.
    fn admits(&self, data: &Data) -> bool {
        let family = Family::of(data.data_type());
        match self {
            _ if family == Family::Nothing => true,
            Self::Any => true,
            Self::Scaled => !matches!(family, Family::Array | Family::Structure),
            Self::Number | Self::Unit | Self::Enum(_) | Self::Boolean => {
                matches!(family, Family::Number | Family::Bits)
            }
            Self::BitString => matches!(family, Family::Bits | Family::Number | Family::Octets),
            Self::OctetString | Self::LogicalName => family == Family::Octets,
            Self::DateTime | Self::Date | Self::Time => match data {
                // Without octets, a time that is not there: of a maximum that was never reached, for example.
                Data::OctetString(octets) => octets.is_empty() || Some(octets.len()) == self.octets(),
                _ => family == Family::Time,
            },
            Self::Array(_) => family == Family::Array,
            Self::Structure(_) => matches!(family, Family::Structure | Family::Array),
            Self::ObjectIdentifier(_) => {
                matches!(family, Family::Structure | Family::Array | Family::Octets)
            }
        }
    }

    /// How many octets a time has in an octet-string.
    const fn octets(&self) -> Option<usize> {
        match self {
            Self::DateTime => Some(12),
            Self::Date => Some(5),
            Self::Time => Some(4),
            _ => None,
        }
    }

    const fn wanted(&self) -> &'static str {
        match self {
            Self::Any => "any type",
            Self::Scaled => "a simple type like a number",
            Self::Number | Self::Unit => "a number",
            Self::Boolean => "a boolean",
            Self::Enum(_) => "an enumeration",
            Self::BitString => "a bit-string",
            Self::OctetString => "an octet-string",
            Self::LogicalName => "a logical name",
            Self::DateTime => "a date-time",
            Self::Date => "a date",
            Self::Time => "a time of day",
            Self::Array(_) => "an array",
            Self::Structure(_) => "a structure",
            Self::ObjectIdentifier(_) => "an object identifier",
        }
    }
}

/// Types that say the same kind of thing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Nothing,
    Number,
    Bits,
    Octets,
    Time,
    Array,
    Structure,
}

impl Family {
    const fn of(data_type: DataType) -> Self {
        match data_type {
            DataType::Null | DataType::DontCare => Self::Nothing,
            DataType::Array | DataType::CompactArray => Self::Array,
            DataType::Structure => Self::Structure,
            DataType::BitString => Self::Bits,
            DataType::OctetString | DataType::VisibleString | DataType::Utf8String => Self::Octets,
            DataType::DateTime | DataType::Date | DataType::Time => Self::Time,
            DataType::Boolean
            | DataType::DoubleLong
            | DataType::DoubleLongUnsigned
            | DataType::Bcd
            | DataType::Integer
            | DataType::Long
            | DataType::Unsigned
            | DataType::LongUnsigned
            | DataType::Long64
            | DataType::Long64Unsigned
            | DataType::Enum
            | DataType::Float32
            | DataType::Float64
            | DataType::DeltaInteger
            | DataType::DeltaLong
            | DataType::DeltaDoubleLong
            | DataType::DeltaUnsigned
            | DataType::DeltaLongUnsigned
            | DataType::DeltaDoubleLongUnsigned => Self::Number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::data::BitString;
    use crate::wire::date_time::DateTime;

    fn message(class: u16, id: i8, data: &Data) -> Option<String> {
        WrongType::of(ClassId(class), None, id, data).map(|wrong| wrong.to_string())
    }

    #[test]
    fn what_cannot_be_is_named() {
        let structure = || Data::Structure(vec![Data::Unsigned(1)]);
        let array = || Data::Array(vec![Data::Unsigned(1)]);
        let octets = |count| Data::OctetString(vec![7; count]);
        for (class, id, data, expected) in [
            (3, 2, structure(), "value came as structure, but register asks for a simple type like a number"),
            (
                4,
                2,
                array(),
                "value came as array, but extended_register asks for a simple type like a number",
            ),
            (
                5,
                3,
                array(),
                "last_average_value came as array, but demand_register asks for a simple type like a number",
            ),
            (8, 2, Data::Long64(5), "time came as long64, but clock asks for a date-time"),
            (8, 2, octets(5), "time came as octet-string of 5 octets, but clock asks for a date-time"),
            (
                8,
                2,
                Data::VisibleString(vec![0x30; 12]),
                "time came as visible-string, but clock asks for a date-time",
            ),
            (8, 8, octets(1), "daylight_savings_enabled came as octet-string, but clock asks for a boolean"),
            (7, 2, Data::Unsigned(5), "buffer came as unsigned, but profile_generic asks for an array"),
            (7, 2, structure(), "buffer came as structure, but profile_generic asks for an array"),
            (
                70,
                3,
                structure(),
                "control_state came as structure, but disconnect_control asks for an enumeration",
            ),
            (
                20,
                2,
                Data::Unsigned(1),
                "calendar_name_active came as unsigned, but activity_calendar asks for an octet-string",
            ),
            (40, 7, octets(2), "repetition_delay came as octet-string, but push_setup asks for a structure"),
        ] {
            assert_eq!(message(class, id, &data).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_meters_vary_in_is_admitted() {
        let bits = || Data::BitString(BitString::new(8, &[5]).expect("bits"));
        let octets = |count| Data::OctetString(vec![7; count]);
        let elements = |count| Data::Structure(vec![Data::Unsigned(1); count]);
        for (class, id, data) in [
            (1, 2, elements(1)),
            (3, 2, Data::Float32(1.0)),
            (3, 2, Data::Enum(1)),
            (3, 2, Data::Boolean(true)),
            (3, 2, bits()),
            (3, 2, octets(3)),
            (3, 2, Data::Utf8String(vec![0x41])),
            (3, 2, Data::DateTime(DateTime::NOT_SPECIFIED)),
            (3, 3, elements(3)),
            (4, 5, octets(0)),
            (4, 5, octets(12)),
            (8, 2, Data::DateTime(DateTime::NOT_SPECIFIED)),
            (8, 3, Data::DoubleLong(-60)),
            (8, 4, bits()),
            (8, 8, Data::Unsigned(1)),
            (8, 9, Data::Unsigned(1)),
            (18, 3, octets(4)),
            (40, 7, Data::LongUnsigned(5)),
            (40, 7, elements(3)),
            (42, 3, octets(4)),
            (15, 4, octets(7)),
            (15, 4, elements(7)),
            (41, 3, octets(5)),
            (47, 2, octets(5)),
            (20, 2, Data::VisibleString(vec![0x41])),
            (70, 2, Data::Unsigned(1)),
            (70, 3, Data::Boolean(true)),
            (70, 99, elements(1)),
            (9000, 2, elements(1)),
        ] {
            assert_eq!(message(class, id, &data), None);
        }
    }

    #[test]
    fn nothing_is_of_no_type() {
        for class in super::super::classes() {
            for attribute in class.attributes {
                for data in [Data::Null, Data::DontCare] {
                    assert_eq!(message(class.id.0, attribute.id, &data), None);
                }
            }
        }
    }

    #[test]
    fn its_report_blames_the_decoding() {
        let report = WrongType::of(ClassId::CLOCK, Some(0), 2, &Data::Long64(5)).expect("wrong").report();
        assert_eq!((report.code, report.layer), (Code::Decode, Layer::Decode));
        assert!(report.message.contains("long64") && report.hint.contains("scan"), "{report:?}");
    }
}
