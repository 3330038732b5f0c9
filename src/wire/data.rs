//! COSEM Data (A-XDR, IEC 62056-5-3): the self-describing value that every attribute is made of.

use super::cursor::{Reader, put_length, put_octets};
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

/// A bit-string: bits counted from the most significant of the first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitString {
    bits: usize,
    bytes: Vec<u8>,
}

impl BitString {
    /// The first `bits` bits of `bytes`; `None` where there are fewer. Padding bits are cleared.
    #[must_use]
    pub fn new(bits: usize, bytes: &[u8]) -> Option<Self> {
        let mut bytes = bytes.get(..bits.div_ceil(8))?.to_vec();
        let padding = bits.div_ceil(8).saturating_mul(8).saturating_sub(bits);
        if let Some(last) = bytes.last_mut() {
            *last = *last >> padding << padding;
        }
        Some(Self { bits, bytes })
    }

    /// Number of bits.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bits
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// The bits, first first.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        self.bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).take(self.bits)
    }

    /// The bytes, padded with zero bits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Data {
    /// Reads one value.
    ///
    /// # Errors
    /// `Truncated`, `UnknownTag`, `Length`, `TooDeep`.
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
        Ok(match reader.u8()? {
            0x00 => Self::Null,
            0x01 => Self::Array(Self::elements(reader, depth)?),
            0x02 => Self::Structure(Self::elements(reader, depth)?),
            0x03 => Self::Boolean(reader.u8()? != 0),
            0x04 => {
                let bits = reader.length()?;
                let bytes = reader.take(bits.div_ceil(8))?;
                Self::BitString(BitString::new(bits, bytes).ok_or(WireErrorKind::Length.at(start))?)
            }
            0x05 => Self::DoubleLong(i32::from_be_bytes(reader.array()?)),
            0x06 => Self::DoubleLongUnsigned(reader.u32()?),
            0x09 => Self::OctetString(reader.octets()?.to_vec()),
            0x0A => Self::VisibleString(reader.octets()?.to_vec()),
            0x0C => Self::Utf8String(reader.octets()?.to_vec()),
            0x0D => Self::Bcd(reader.i8()?),
            0x0F => Self::Integer(reader.i8()?),
            0x10 => Self::Long(i16::from_be_bytes(reader.array()?)),
            0x11 => Self::Unsigned(reader.u8()?),
            0x12 => Self::LongUnsigned(reader.u16()?),
            0x14 => Self::Long64(i64::from_be_bytes(reader.array()?)),
            0x15 => Self::Long64Unsigned(u64::from_be_bytes(reader.array()?)),
            0x16 => Self::Enum(reader.u8()?),
            0x17 => Self::Float32(f32::from_be_bytes(reader.array()?)),
            0x18 => Self::Float64(f64::from_be_bytes(reader.array()?)),
            0x19 => Self::DateTime(DateTime::decode(reader)?),
            0x1A => Self::Date(Date::decode(reader)?),
            0x1B => Self::Time(Time::decode(reader)?),
            0x1C => Self::DeltaInteger(reader.i8()?),
            0x1D => Self::DeltaLong(i16::from_be_bytes(reader.array()?)),
            0x1E => Self::DeltaDoubleLong(i32::from_be_bytes(reader.array()?)),
            0x1F => Self::DeltaUnsigned(reader.u8()?),
            0x20 => Self::DeltaLongUnsigned(reader.u16()?),
            0x21 => Self::DeltaDoubleLongUnsigned(reader.u32()?),
            0xFF => Self::DontCare,
            tag => return Err(WireErrorKind::UnknownTag(tag).at(start)),
        })
    }

    fn elements(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<Self>, WireError> {
        let start = reader.position();
        let count = reader.length()?;
        // Each element takes a byte at least: a larger count is a lie, and no memory is reserved for it.
        if count > reader.remaining() {
            return Err(WireErrorKind::Length.at(start));
        }
        let mut elements = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            elements.push(Self::decode_at(reader, depth.saturating_add(1))?);
        }
        Ok(elements)
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
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
        self.kind().0
    }

    /// The standard's name of the type.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        self.kind().1
    }

    const fn kind(&self) -> (u8, &'static str) {
        match self {
            Self::Null => (0x00, "null-data"),
            Self::Array(_) => (0x01, "array"),
            Self::Structure(_) => (0x02, "structure"),
            Self::Boolean(_) => (0x03, "boolean"),
            Self::BitString(_) => (0x04, "bit-string"),
            Self::DoubleLong(_) => (0x05, "double-long"),
            Self::DoubleLongUnsigned(_) => (0x06, "double-long-unsigned"),
            Self::OctetString(_) => (0x09, "octet-string"),
            Self::VisibleString(_) => (0x0A, "visible-string"),
            Self::Utf8String(_) => (0x0C, "utf8-string"),
            Self::Bcd(_) => (0x0D, "bcd"),
            Self::Integer(_) => (0x0F, "integer"),
            Self::Long(_) => (0x10, "long"),
            Self::Unsigned(_) => (0x11, "unsigned"),
            Self::LongUnsigned(_) => (0x12, "long-unsigned"),
            Self::Long64(_) => (0x14, "long64"),
            Self::Long64Unsigned(_) => (0x15, "long64-unsigned"),
            Self::Enum(_) => (0x16, "enum"),
            Self::Float32(_) => (0x17, "float32"),
            Self::Float64(_) => (0x18, "float64"),
            Self::DateTime(_) => (0x19, "date-time"),
            Self::Date(_) => (0x1A, "date"),
            Self::Time(_) => (0x1B, "time"),
            Self::DeltaInteger(_) => (0x1C, "delta-integer"),
            Self::DeltaLong(_) => (0x1D, "delta-long"),
            Self::DeltaDoubleLong(_) => (0x1E, "delta-double-long"),
            Self::DeltaUnsigned(_) => (0x1F, "delta-unsigned"),
            Self::DeltaLongUnsigned(_) => (0x20, "delta-long-unsigned"),
            Self::DeltaDoubleLongUnsigned(_) => (0x21, "delta-double-long-unsigned"),
            Self::DontCare => (0xFF, "dont-care"),
        }
    }
}
