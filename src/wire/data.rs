//! COSEM Data (A-XDR, IEC 62056-5-3): the self-describing value that every attribute is made of.

pub use super::bit_string::{BitString, BitStringError};
use super::compact_array::CompactArray;
use super::cursor::{Reader, put_length, put_octets};
use super::data_type::DataType;
use super::date_time::{Date, DateTime, Time};
use super::error::{WireError, WireErrorKind};

/// Deepest nesting of arrays and structures that is decoded.
pub const MAX_DEPTH: usize = 32;

/// A COSEM value.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// null-data (0x00).
    Null,
    /// array (0x01).
    Array(Vec<Data>),
    /// structure (0x02).
    Structure(Vec<Data>),
    /// boolean (0x03).
    Boolean(bool),
    /// bit-string (0x04).
    BitString(BitString),
    /// double-long (0x05).
    DoubleLong(i32),
    /// double-long-unsigned (0x06).
    DoubleLongUnsigned(u32),
    /// octet-string (0x09).
    OctetString(Vec<u8>),
    /// visible-string (0x0A); bytes as received, ASCII by the standard.
    VisibleString(Vec<u8>),
    /// utf8-string (0x0C); bytes as received.
    Utf8String(Vec<u8>),
    /// bcd (0x0D), Integer8 in the ASN.1.
    Bcd(i8),
    /// integer (0x0F).
    Integer(i8),
    /// long (0x10).
    Long(i16),
    /// unsigned (0x11).
    Unsigned(u8),
    /// long-unsigned (0x12).
    LongUnsigned(u16),
    /// compact-array (0x13).
    CompactArray(CompactArray),
    /// long64 (0x14).
    Long64(i64),
    /// long64-unsigned (0x15).
    Long64Unsigned(u64),
    /// enum (0x16).
    Enum(u8),
    /// float32 (0x17).
    Float32(f32),
    /// float64 (0x18).
    Float64(f64),
    /// date-time (0x19).
    DateTime(DateTime),
    /// date (0x1A).
    Date(Date),
    /// time (0x1B).
    Time(Time),
    /// delta-integer (0x1C).
    DeltaInteger(i8),
    /// delta-long (0x1D).
    DeltaLong(i16),
    /// delta-double-long (0x1E).
    DeltaDoubleLong(i32),
    /// delta-unsigned (0x1F).
    DeltaUnsigned(u8),
    /// delta-long-unsigned (0x20).
    DeltaLongUnsigned(u16),
    /// delta-double-long-unsigned (0x21).
    DeltaDoubleLongUnsigned(u32),
    /// dont-care (0xFF).
    DontCare,
}

impl Data {
    /// Reads one value. Work and memory are bounded by the bytes that it takes.
    ///
    /// # Errors
    /// `Truncated`, `UnknownTag`, `Length`, `TooDeep`, `TooManyElements`, and `Invalid` for a compact-array of
    /// elements without width.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Self::decode_at(reader, 0)
    }

    /// Reads one value that takes all of `bytes`.
    ///
    /// # Errors
    /// As [`Self::decode`], and `TrailingBytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let data = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(data)
    }

    fn decode_at(reader: &mut Reader<'_>, depth: usize) -> Result<Self, WireError> {
        let start = reader.position();
        if depth > MAX_DEPTH {
            return Err(WireErrorKind::TooDeep.at(start));
        }
        let tag = reader.u8()?;
        let deeper = depth.saturating_add(1);
        match DataType::from_tag(tag).ok_or_else(|| WireErrorKind::UnknownTag(tag).at(start))? {
            DataType::Array => Self::decode_elements(reader, deeper).map(Self::Array),
            DataType::Structure => Self::decode_elements(reader, deeper).map(Self::Structure),
            DataType::CompactArray => CompactArray::decode(reader, depth).map(Self::CompactArray),
            simple => Self::decode_simple(simple, reader),
        }
    }

    fn decode_elements(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<Self>, WireError> {
        let count = reader.count()?;
        let mut elements = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            elements.push(Self::decode_at(reader, depth)?);
        }
        Ok(elements)
    }

    /// Reads what follows the tag of a type without parts.
    pub(crate) fn decode_simple(data_type: DataType, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match data_type {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(reader.u8()? != 0),
            DataType::BitString => {
                let start = reader.position();
                let bits = reader.length()?;
                let bytes = reader.take(bits.div_ceil(8))?;
                Self::BitString(BitString::new(bits, bytes).ok_or(WireErrorKind::Length.at(start))?)
            }
            DataType::DoubleLong => Self::DoubleLong(i32::from_be_bytes(reader.array()?)),
            DataType::DoubleLongUnsigned => Self::DoubleLongUnsigned(reader.u32()?),
            DataType::OctetString => Self::OctetString(reader.octets()?.to_vec()),
            DataType::VisibleString => Self::VisibleString(reader.octets()?.to_vec()),
            DataType::Utf8String => Self::Utf8String(reader.octets()?.to_vec()),
            DataType::Bcd => Self::Bcd(reader.i8()?),
            DataType::Integer => Self::Integer(reader.i8()?),
            DataType::Long => Self::Long(i16::from_be_bytes(reader.array()?)),
            DataType::Unsigned => Self::Unsigned(reader.u8()?),
            DataType::LongUnsigned => Self::LongUnsigned(reader.u16()?),
            DataType::Long64 => Self::Long64(i64::from_be_bytes(reader.array()?)),
            DataType::Long64Unsigned => Self::Long64Unsigned(u64::from_be_bytes(reader.array()?)),
            DataType::Enum => Self::Enum(reader.u8()?),
            DataType::Float32 => Self::Float32(f32::from_be_bytes(reader.array()?)),
            DataType::Float64 => Self::Float64(f64::from_be_bytes(reader.array()?)),
            DataType::DateTime => Self::DateTime(DateTime::decode(reader)?),
            DataType::Date => Self::Date(Date::decode(reader)?),
            DataType::Time => Self::Time(Time::decode(reader)?),
            DataType::DeltaInteger => Self::DeltaInteger(reader.i8()?),
            DataType::DeltaLong => Self::DeltaLong(i16::from_be_bytes(reader.array()?)),
            DataType::DeltaDoubleLong => Self::DeltaDoubleLong(i32::from_be_bytes(reader.array()?)),
            DataType::DeltaUnsigned => Self::DeltaUnsigned(reader.u8()?),
            DataType::DeltaLongUnsigned => Self::DeltaLongUnsigned(reader.u16()?),
            DataType::DeltaDoubleLongUnsigned => Self::DeltaDoubleLongUnsigned(reader.u32()?),
            DataType::DontCare => Self::DontCare,
            DataType::Array | DataType::Structure | DataType::CompactArray => {
                return Err(reader.error(WireErrorKind::UnknownTag(data_type.tag())));
            }
        })
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        self.encode_body(out);
    }

    /// Appends what follows the tag.
    pub(super) fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null | Self::DontCare => {}
            Self::Array(elements) | Self::Structure(elements) => {
                put_length(out, elements.len());
                for element in elements {
                    element.encode(out);
                }
            }
            Self::Boolean(value) => out.push(u8::from(*value)),
            Self::BitString(value) => {
                put_length(out, value.len());
                out.extend_from_slice(value.as_bytes());
            }
            Self::OctetString(bytes) | Self::VisibleString(bytes) | Self::Utf8String(bytes) => {
                put_octets(out, bytes);
            }
            Self::Bcd(value) | Self::Integer(value) | Self::DeltaInteger(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Unsigned(value) | Self::Enum(value) | Self::DeltaUnsigned(value) => out.push(*value),
            Self::Long(value) | Self::DeltaLong(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::LongUnsigned(value) | Self::DeltaLongUnsigned(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::DoubleLong(value) | Self::DeltaDoubleLong(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::DoubleLongUnsigned(value) | Self::DeltaDoubleLongUnsigned(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::CompactArray(array) => array.encode(out),
            Self::Long64(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Long64Unsigned(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Float32(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::Float64(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::DateTime(value) => value.encode(out),
            Self::Date(value) => value.encode(out),
            Self::Time(value) => value.encode(out),
        }
    }

    /// The encoding as bytes of its own.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// The A-XDR tag.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        self.data_type().tag()
    }

    /// The standard's name of the type.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        self.data_type().name()
    }

    /// The elements of an array, a structure or a compact-array.
    #[must_use]
    pub fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) | Self::Structure(elements) => Some(elements),
            Self::CompactArray(array) => Some(array.elements()),
            _ => None,
        }
    }

    /// The date-time of a date-time, or of an octet-string of twelve octets, the form in which most meters send it.
    #[must_use]
    pub fn date_time(&self) -> Option<DateTime> {
        match self {
            Self::DateTime(date_time) => Some(*date_time),
            Self::OctetString(octets) => DateTime::from_bytes(octets).ok(),
            _ => None,
        }
    }

    /// The type.
    #[must_use]
    pub const fn data_type(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Array(_) => DataType::Array,
            Self::Structure(_) => DataType::Structure,
            Self::Boolean(_) => DataType::Boolean,
            Self::BitString(_) => DataType::BitString,
            Self::DoubleLong(_) => DataType::DoubleLong,
            Self::DoubleLongUnsigned(_) => DataType::DoubleLongUnsigned,
            Self::OctetString(_) => DataType::OctetString,
            Self::VisibleString(_) => DataType::VisibleString,
            Self::Utf8String(_) => DataType::Utf8String,
            Self::Bcd(_) => DataType::Bcd,
            Self::Integer(_) => DataType::Integer,
            Self::Long(_) => DataType::Long,
            Self::Unsigned(_) => DataType::Unsigned,
            Self::LongUnsigned(_) => DataType::LongUnsigned,
            Self::CompactArray(_) => DataType::CompactArray,
            Self::Long64(_) => DataType::Long64,
            Self::Long64Unsigned(_) => DataType::Long64Unsigned,
            Self::Enum(_) => DataType::Enum,
            Self::Float32(_) => DataType::Float32,
            Self::Float64(_) => DataType::Float64,
            Self::DateTime(_) => DataType::DateTime,
            Self::Date(_) => DataType::Date,
            Self::Time(_) => DataType::Time,
            Self::DeltaInteger(_) => DataType::DeltaInteger,
            Self::DeltaLong(_) => DataType::DeltaLong,
            Self::DeltaDoubleLong(_) => DataType::DeltaDoubleLong,
            Self::DeltaUnsigned(_) => DataType::DeltaUnsigned,
            Self::DeltaLongUnsigned(_) => DataType::DeltaLongUnsigned,
            Self::DeltaDoubleLongUnsigned(_) => DataType::DeltaDoubleLongUnsigned,
            Self::DontCare => DataType::DontCare,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_both_ways() {
        let cases: &[(Data, &[u8])] = &[
            (Data::Null, &[0x00]),
            (Data::Boolean(true), &[0x03, 0x01]),
            (Data::BitString("101".parse().unwrap()), &[0x04, 0x03, 0xA0]),
            (Data::DoubleLong(-2), &[0x05, 0xFF, 0xFF, 0xFF, 0xFE]),
            (Data::OctetString(vec![1, 2]), &[0x09, 0x02, 1, 2]),
            (Data::Long64(-1), &[0x14, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
            (Data::Float32(230.25), &[0x17, 0x43, 0x66, 0x40, 0x00]),
            (Data::DeltaLong(-300), &[0x1D, 0xFE, 0xD4]),
            (
                Data::Array(vec![Data::Structure(vec![Data::Integer(-3), Data::Enum(30)]), Data::DontCare]),
                &[0x01, 0x02, 0x02, 0x02, 0x0F, 0xFD, 0x16, 0x1E, 0xFF],
            ),
        ];
        for (value, bytes) in cases {
            assert_eq!(Data::from_bytes(bytes).as_ref(), Ok(value));
            assert_eq!(value.to_bytes(), *bytes);
        }
    }

    #[test]
    fn what_meters_send_besides() {
        assert_eq!(Data::from_bytes(&[0x03, 0xFF]), Ok(Data::Boolean(true)));
        assert_eq!(Data::from_bytes(&[0x09, 0x82, 0, 1, 7]), Ok(Data::OctetString(vec![7])), "long length");
    }

    #[test]
    fn errors_say_where() {
        let cases: &[(&[u8], WireError)] = &[
            (&[], WireErrorKind::Truncated.at(0)),
            (&[0x02, 0x02, 0x11, 0x05, 0x07], WireErrorKind::UnknownTag(0x07).at(4)),
            (&[0x02, 0x02, 0x11, 0x05, 0x12, 0x00], WireErrorKind::Truncated.at(5)),
            (&[0x01, 0x05, 0x00], WireErrorKind::Length.at(1)),
            (&[0x00, 0x00], WireErrorKind::TrailingBytes.at(1)),
        ];
        for (bytes, error) in cases {
            assert_eq!(Data::from_bytes(bytes), Err(*error), "{bytes:02x?}");
        }
    }

    #[test]
    fn views() {
        let clock = [0x07, 0xE8, 1, 31, 3, 12, 30, 45, 50, 0xFF, 0xC4, 0x80];
        let expected = DateTime::from_bytes(&clock).ok();
        assert_eq!(Data::OctetString(clock.to_vec()).date_time(), expected);
        assert_eq!(Data::from_bytes(&[&[0x19][..], &clock].concat()).unwrap().date_time(), expected);
        assert_eq!(Data::OctetString(vec![0; 11]).date_time(), None);
        assert_eq!(Data::Structure(vec![Data::Null]).elements(), Some(&[Data::Null][..]));
        assert_eq!(Data::Null.elements(), None);
        assert_eq!((Data::Enum(1).tag(), Data::Enum(1).type_name()), (0x16, "enum"));
    }
}
