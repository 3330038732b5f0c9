//! Capture objects: which attribute of which object stands in a column of a profile, a push or a compact buffer.

use super::catalogue::ClassId;
use super::decimal::Decimal;
use crate::wire::data::Data;
use crate::wire::obis::Obis;

/// One attribute, or one element of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaptureObject {
    /// Class of the object.
    pub class: ClassId,
    /// Logical name of the object.
    pub obis: Obis,
    /// Attribute; 0 means all of them, in a push.
    pub attribute: i8,
    /// 0 for the whole attribute, else the element of it, counted from 1.
    pub data_index: u16,
}

impl CaptureObject {
    /// A whole attribute.
    #[must_use]
    pub const fn new(class: ClassId, obis: Obis, attribute: i8) -> Self {
        Self { class, obis, attribute, data_index: 0 }
    }

    /// Reads `structure { class_id, logical_name, attribute_index, data_index }`.
    ///
    /// What newer versions append (restrictions, columns) is not looked at, and other integer types are tolerated as
    /// long as the numbers fit.
    #[must_use]
    pub fn from_data(data: &Data) -> Option<Self> {
        let Data::Structure(elements) = data else { return None };
        let [class, obis, attribute, data_index, ..] = elements.as_slice() else { return None };
        Some(Self {
            class: ClassId(integer(class)?),
            obis: obis_of(obis)?,
            attribute: integer(attribute)?,
            data_index: integer(data_index)?,
        })
    }

    /// Reads an array of capture objects; `None` where one of its elements is none.
    #[must_use]
    pub fn list_from_data(data: &Data) -> Option<Vec<Self>> {
        let elements = match data {
            Data::Array(elements) => elements.as_slice(),
            Data::CompactArray(array) => array.elements(),
            _ => return None,
        };
        elements.iter().map(Self::from_data).collect()
    }

    /// The structure of four elements.
    #[must_use]
    pub fn to_data(self) -> Data {
        Data::Structure(vec![
            Data::LongUnsigned(self.class.0),
            Data::OctetString(self.obis.0.to_vec()),
            Data::Integer(self.attribute),
            Data::LongUnsigned(self.data_index),
        ])
    }

    /// Whether this is the time of a clock.
    #[must_use]
    pub fn is_clock(self) -> bool {
        self.class == ClassId::CLOCK && self.attribute == 2
    }

    /// Whether it names no object: the sort object of a profile that is not sorted.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.class.0 == 0
    }
}

/// An integer of any type, where it fits.
pub(super) fn integer<T: TryFrom<i64>>(data: &Data) -> Option<T> {
    T::try_from(Decimal::from_data(data)?.as_i64()?).ok()
}

/// A logical name.
pub(super) fn obis_of(data: &Data) -> Option<Obis> {
    match data {
        Data::OctetString(octets) => octets.as_slice().try_into().ok().map(Obis),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: CaptureObject = CaptureObject::new(ClassId::CLOCK, Obis([0, 0, 1, 0, 0, 255]), 2);
    const CLOCK_BYTES: [u8; 18] = [0x02, 0x04, 0x12, 0, 8, 0x09, 6, 0, 0, 1, 0, 0, 255, 0x0F, 2, 0x12, 0, 0];

    #[test]
    fn both_ways() {
        assert_eq!(CLOCK.to_data().to_bytes(), CLOCK_BYTES);
        let data = Data::from_bytes(&CLOCK_BYTES).expect("well formed");
        assert_eq!(CaptureObject::from_data(&data), Some(CLOCK));
        assert!(CLOCK.is_clock() && !CLOCK.is_none());
        assert_eq!(CaptureObject::list_from_data(&Data::Array(vec![data; 2])), Some(vec![CLOCK; 2]));
        assert_eq!(CaptureObject::list_from_data(&Data::Array(vec![])), Some(vec![]));
    }

    #[test]
    fn odd_forms() {
        let with = |elements: Vec<Data>| CaptureObject::from_data(&Data::Structure(elements));
        let name = || Data::OctetString(vec![0, 0, 1, 0, 0, 255]);
        assert_eq!(
            with(vec![Data::Unsigned(8), name(), Data::Unsigned(2), Data::Unsigned(0), Data::Null]),
            Some(CLOCK),
            "other integer types, and a restriction behind"
        );
        assert_eq!(with(vec![Data::LongUnsigned(8), name(), Data::Integer(2)]), None);
        assert_eq!(
            with(vec![Data::Unsigned(8), Data::OctetString(vec![1]), Data::Integer(2), Data::Unsigned(0)]),
            None
        );
        assert_eq!(with(vec![Data::Unsigned(8), name(), Data::LongUnsigned(200), Data::Unsigned(0)]), None);
        assert_eq!(CaptureObject::list_from_data(&Data::Array(vec![CLOCK.to_data(), Data::Null])), None);
        assert_eq!(CaptureObject::list_from_data(&Data::Null), None);
    }
}
