//! Compact arrays and compact buffers (class 62): values without tags, and the description that gives them types.

use super::cursor::{Reader, put_length};
use super::data::{Data, MAX_DEPTH};
use super::data_type::DataType;
use super::error::{WireError, WireErrorKind};

/// Most values that are decoded for each byte of a description and its contents. Values of no width (null-data) and
/// the containers around values cost no contents: without a limit, a small description could demand any number.
const VALUES_PER_BYTE: usize = 4;

/// A compact-array (0x13): elements of one type, which is described once.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactArray {
    // Boxed so that this variant does not widen every `Data`.
    description: Box<TypeDescription>,
    elements: Vec<Data>,
}

/// The type of values that are sent without tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeDescription {
    /// A type without parts: neither array, structure nor compact-array.
    Simple(SimpleType),
    /// An array of always `count` elements.
    Array {
        /// Number of elements.
        count: u16,
        /// Their type.
        element: Box<TypeDescription>,
    },
    /// A structure, by the types of its elements.
    Structure(Vec<TypeDescription>),
}

/// A type without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SimpleType(DataType);

impl SimpleType {
    /// The simple type; `None` for array, structure and compact-array.
    #[must_use]
    pub const fn new(data_type: DataType) -> Option<Self> {
        match data_type {
            DataType::Array | DataType::Structure | DataType::CompactArray => None,
            simple => Some(Self(simple)),
        }
    }

    /// As a type among all.
    #[must_use]
    pub const fn data_type(self) -> DataType {
        self.0
    }

    /// Fewest bytes that a value takes without its tag; a string takes its length at least.
    const fn min_width(self) -> usize {
        match self.0 {
            DataType::DoubleLong
            | DataType::DoubleLongUnsigned
            | DataType::Float32
            | DataType::Time
            | DataType::DeltaDoubleLong
            | DataType::DeltaDoubleLongUnsigned => 4,
            DataType::Long
            | DataType::LongUnsigned
            | DataType::DeltaLong
            | DataType::DeltaLongUnsigned => 2,
            DataType::Long64 | DataType::Long64Unsigned | DataType::Float64 => 8,
            DataType::DateTime => 12,
            DataType::Date => 5,
            DataType::Null | DataType::DontCare => 0,
            DataType::BitString
            | DataType::OctetString
            | DataType::VisibleString
            | DataType::Utf8String
            | DataType::Boolean
            | DataType::Bcd
            | DataType::Integer
            | DataType::Unsigned
            | DataType::Enum
            | DataType::DeltaInteger
            | DataType::DeltaUnsigned
            // Never simple, see `new`.
            | DataType::Array
            | DataType::Structure
            | DataType::CompactArray => 1,
        }
    }
}

/// Decodes the compact_buffer of class 62: one value of the type that template_description describes.
///
/// # Errors
/// `Invalid("template_description")` with an offset in `template`; otherwise as [`TypeDescription::decode_value`],
/// with an offset in `buffer`.
pub fn decode_compact_buffer(template: &[u8], buffer: &[u8]) -> Result<Data, WireError> {
    TypeDescription::from_bytes(template)
        .map_err(|error| WireErrorKind::Invalid("template_description").at(error.offset))?
        .decode_value(buffer)
}

impl CompactArray {
    /// A compact array; `None` where an element is not of the described type, or where elements have no width, so
    /// that a receiver could not count them.
    #[must_use]
    pub fn new(description: TypeDescription, elements: Vec<Data>) -> Option<Self> {
        let fits =
            description.min_width() > 0 && elements.iter().all(|element| description.describes(element));
        fits.then(|| Self { description: Box::new(description), elements })
    }

    /// The type of each element.
    #[must_use]
    pub const fn description(&self) -> &TypeDescription {
        &self.description
    }

    /// The elements, as those of an array.
    #[must_use]
    pub fn elements(&self) -> &[Data] {
        &self.elements
    }

    /// The elements, as those of an array.
    #[must_use]
    pub fn into_elements(self) -> Vec<Data> {
        self.elements
    }

    /// Reads what follows the tag; `depth` containers are around it.
    pub(super) fn decode(reader: &mut Reader<'_>, depth: usize) -> Result<Self, WireError> {
        let start = reader.position();
        let description = TypeDescription::decode(reader, depth.saturating_add(1))?;
        if description.min_width() == 0 {
            return Err(WireErrorKind::Invalid("compact-array of elements without width").at(start));
        }
        let length = reader.length()?;
        let mut contents = reader.sub_reader(length)?;
        let mut work = Work::for_bytes(reader.position().saturating_sub(start));
        let mut elements = Vec::new();
        while !contents.is_empty() {
            elements.push(description.value(&mut contents, &mut work)?);
        }
        Ok(Self { description: Box::new(description), elements })
    }

    /// Appends what follows the tag.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.description.encode(out);
        let mut contents = Vec::new();
        self.elements.iter().for_each(|element| put_untagged(element, &mut contents));
        put_length(out, contents.len());
        out.extend_from_slice(&contents);
    }
}

impl TypeDescription {
    /// The description of a simple type; `None` for array, structure and compact-array.
    #[must_use]
    pub fn simple(data_type: DataType) -> Option<Self> {
        SimpleType::new(data_type).map(Self::Simple)
    }

    /// Reads a description that takes all of `bytes`, like the attribute template_description of class 62.
    ///
    /// # Errors
    /// `Truncated`, `UnknownTag`, `Length`, `TooDeep`, `TrailingBytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let description = Self::decode(&mut reader, 0)?;
        reader.finish()?;
        Ok(description)
    }

    /// The encoding as bytes of its own.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Reads one value of this type that takes all of `contents`.
    ///
    /// # Errors
    /// `Truncated`, `Length`, `TooManyElements`, `TrailingBytes`.
    pub fn decode_value(&self, contents: &[u8]) -> Result<Data, WireError> {
        let mut reader = Reader::new(contents);
        let mut work = Work::for_bytes(self.nodes().saturating_add(contents.len()));
        let value = self.value(&mut reader, &mut work)?;
        reader.finish()?;
        Ok(value)
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, depth: usize) -> Result<Self, WireError> {
        let start = reader.position();
        if depth > MAX_DEPTH {
            return Err(WireErrorKind::TooDeep.at(start));
        }
        let deeper = depth.saturating_add(1);
        let tag = reader.u8()?;
        match DataType::from_tag(tag) {
            Some(DataType::Array) => {
                let count = reader.u16()?;
                Ok(Self::Array { count, element: Box::new(Self::decode(reader, deeper)?) })
            }
            Some(DataType::Structure) => {
                let elements =
                    (0..reader.count()?).map(|_| Self::decode(reader, deeper)).collect::<Result<_, _>>()?;
                Ok(Self::Structure(elements))
            }
            data_type => {
                data_type.and_then(Self::simple).ok_or_else(|| WireErrorKind::UnknownTag(tag).at(start))
            }
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(simple) => out.push(simple.0.tag()),
            Self::Array { count, element } => {
                out.push(DataType::Array.tag());
                out.extend_from_slice(&count.to_be_bytes());
                element.encode(out);
            }
            Self::Structure(elements) => {
                out.push(DataType::Structure.tag());
                put_length(out, elements.len());
                elements.iter().for_each(|element| element.encode(out));
            }
        }
    }

    fn value(&self, reader: &mut Reader<'_>, work: &mut Work) -> Result<Data, WireError> {
        work.spend_one(reader)?;
        // `collect` into a `Result` reserves nothing for the count.
        match self {
            Self::Simple(simple) => Data::decode_simple(simple.0, reader),
            Self::Array { count, element } => {
                (0..*count).map(|_| element.value(reader, work)).collect::<Result<_, _>>().map(Data::Array)
            }
            Self::Structure(elements) => elements
                .iter()
                .map(|element| element.value(reader, work))
                .collect::<Result<_, _>>()
                .map(Data::Structure),
        }
    }

    /// Whether `value` is of this type.
    fn describes(&self, value: &Data) -> bool {
        match (self, value) {
            (Self::Array { count, element }, Data::Array(values)) => {
                values.len() == usize::from(*count) && values.iter().all(|value| element.describes(value))
            }
            (Self::Structure(elements), Data::Structure(values)) => {
                values.len() == elements.len()
                    && elements.iter().zip(values).all(|(element, value)| element.describes(value))
            }
            (Self::Simple(simple), value) => value.data_type() == simple.0,
            _ => false,
        }
    }

    /// Fewest bytes that a value of this type takes.
    fn min_width(&self) -> usize {
        match self {
            Self::Simple(simple) => simple.min_width(),
            Self::Array { count, element } => element.min_width().saturating_mul(usize::from(*count)),
            Self::Structure(elements) => {
                elements.iter().fold(0, |width, element| width.saturating_add(element.min_width()))
            }
        }
    }

    /// Number of descriptions in this one, itself included.
    fn nodes(&self) -> usize {
        match self {
            Self::Simple(_) => 1,
            Self::Array { element, .. } => element.nodes().saturating_add(1),
            Self::Structure(elements) => {
                elements.iter().fold(1, |nodes, element| nodes.saturating_add(element.nodes()))
            }
        }
    }
}

/// Appends a value without tags, and without the counts of arrays and structures.
fn put_untagged(value: &Data, out: &mut Vec<u8>) {
    match value {
        Data::Array(elements) | Data::Structure(elements) => {
            elements.iter().for_each(|element| put_untagged(element, out));
        }
        simple => simple.encode_body(out),
    }
}

/// How many values may still be decoded.
struct Work {
    values: usize,
}

impl Work {
    /// What so many bytes justify.
    const fn for_bytes(bytes: usize) -> Self {
        Self { values: bytes.saturating_mul(VALUES_PER_BYTE) }
    }

    fn spend_one(&mut self, reader: &Reader<'_>) -> Result<(), WireError> {
        self.values =
            self.values.checked_sub(1).ok_or_else(|| reader.error(WireErrorKind::TooManyElements))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple(data_type: DataType) -> TypeDescription {
        TypeDescription::simple(data_type).unwrap()
    }

    #[test]
    fn structures_both_ways() {
        let bytes = [
            0x13, 0x02, 0x03, 0x11, 0x09, 0x01, 0, 2, 0x10, 0x0D, 7, 1, 0xAA, 0, 1, 0xFF, 0xFE, 8, 0, 0, 3,
            0, 4,
        ];
        let description = TypeDescription::Structure(vec![
            simple(DataType::Unsigned),
            simple(DataType::OctetString),
            TypeDescription::Array { count: 2, element: Box::new(simple(DataType::Long)) },
        ]);
        let row = |id, octets: &[u8], longs: [i16; 2]| {
            let longs = longs.map(Data::Long).to_vec();
            Data::Structure(vec![Data::Unsigned(id), Data::OctetString(octets.to_vec()), Data::Array(longs)])
        };
        let rows = vec![row(7, &[0xAA], [1, -2]), row(8, &[], [3, 4])];
        let array = CompactArray::new(description, rows.clone()).unwrap();
        assert_eq!(Data::from_bytes(&bytes), Ok(Data::CompactArray(array.clone())));
        assert_eq!(array.elements(), rows);
        assert_eq!(Data::CompactArray(array).to_bytes(), bytes);
    }

    #[test]
    fn elements_must_be_of_the_type_and_have_a_width() {
        assert_eq!(CompactArray::new(simple(DataType::Unsigned), vec![Data::Integer(1)]), None);
        assert_eq!(CompactArray::new(simple(DataType::Null), vec![Data::Null]), None);
        let pair = TypeDescription::Array { count: 2, element: Box::new(simple(DataType::Unsigned)) };
        assert_eq!(CompactArray::new(pair, vec![Data::Array(vec![Data::Unsigned(1)])]), None);
        assert_eq!(TypeDescription::simple(DataType::CompactArray), None);
    }

    #[test]
    fn errors_say_where() {
        let cases: &[(&[u8], WireError)] = &[
            // Of null-data, of an empty structure, of an array of none.
            (&[0x13, 0x00, 0x00], WireErrorKind::Invalid("compact-array of elements without width").at(1)),
            (
                &[0x13, 0x02, 0x00, 0x01, 0x00],
                WireErrorKind::Invalid("compact-array of elements without width").at(1),
            ),
            (
                &[0x13, 0x01, 0, 0, 0x11, 0],
                WireErrorKind::Invalid("compact-array of elements without width").at(1),
            ),
            (&[0x13, 0x12, 0x03, 0, 1, 0], WireErrorKind::Truncated.at(5)),
            (&[0x13, 0x12, 0x03, 0, 1], WireErrorKind::Truncated.at(3)),
            (&[0x13, 0x13, 0x11, 0x00], WireErrorKind::UnknownTag(0x13).at(1)),
            (&[0x13, 0x02, 0x02, 0x11, 0x07, 0x00], WireErrorKind::UnknownTag(0x07).at(4)),
            (&[0x13, 0x02, 0x05, 0x11, 0x07, 0x00], WireErrorKind::Length.at(2)),
            // A string inside may not reach beyond the contents.
            (&[0x13, 0x09, 0x02, 0x03, 0xAA, 0xBB, 0xCC], WireErrorKind::Truncated.at(4)),
        ];
        for (bytes, error) in cases {
            assert_eq!(Data::from_bytes(bytes), Err(*error), "{bytes:02x?}");
        }
    }

    #[test]
    fn descriptions_cannot_demand_more_than_bytes_justify() {
        // 65535 × 65535 null-data and one unsigned.
        let bytes = [0x13, 0x02, 0x02, 0x01, 0xFF, 0xFF, 0x01, 0xFF, 0xFF, 0x00, 0x11, 0x01, 0x05];
        assert_eq!(Data::from_bytes(&bytes).map_err(|error| error.kind), Err(WireErrorKind::TooManyElements));
        assert_eq!(
            decode_compact_buffer(&[0x01, 0xFF, 0xFF, 0x00], &[]),
            Err(WireErrorKind::TooManyElements.at(0))
        );
        // Six values for each byte of contents: a few are paid for by the description, many are not.
        let described = |count: u8| {
            [&[0x13, 0x02, 5, 0, 0, 0, 0, 0x11, count][..], &vec![1; usize::from(count)]].concat()
        };
        assert!(Data::from_bytes(&described(10)).is_ok());
        assert_eq!(Data::from_bytes(&described(100)), Err(WireErrorKind::TooManyElements.at(9 + 72)));
        // Without zero widths the contents run out.
        let bytes = [0x13, 0x01, 0xFF, 0xFF, 0x01, 0xFF, 0xFF, 0x11, 0x03, 1, 2, 3];
        assert_eq!(Data::from_bytes(&bytes), Err(WireErrorKind::Truncated.at(12)));
        let mut deep = vec![0x13];
        deep.extend([0x01, 0, 1].repeat(200));
        assert_eq!(Data::from_bytes(&deep), Err(WireErrorKind::TooDeep.at(1 + 32 * 3)));
    }

    #[test]
    fn compact_buffers() {
        let row = Data::Structure(vec![Data::Unsigned(3), Data::Null, Data::Long(-7)]);
        assert_eq!(decode_compact_buffer(&[0x02, 3, 0x11, 0x00, 0x10], &[3, 0xFF, 0xF9]), Ok(row));
        assert_eq!(decode_compact_buffer(&[0x11], &[3, 4]), Err(WireErrorKind::TrailingBytes.at(1)));
        assert_eq!(decode_compact_buffer(&[0x12], &[3]), Err(WireErrorKind::Truncated.at(0)));
        assert_eq!(
            decode_compact_buffer(&[0x02, 1, 0x07], &[3]),
            Err(WireErrorKind::Invalid("template_description").at(2))
        );
        assert_eq!(
            decode_compact_buffer(&[0x11, 0x11], &[3]),
            Err(WireErrorKind::Invalid("template_description").at(1))
        );
    }
}
