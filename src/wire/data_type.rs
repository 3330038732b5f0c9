//! The types of COSEM Data: tags and names of the standard.

use std::fmt;

macro_rules! data_types {
    ($($variant:ident = $tag:literal $name:literal,)*) => {
        /// A type of [`Data`](super::data::Data), by the choice of IEC 62056-5-3.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DataType { $(#[doc = concat!("`", $name, "`, tag ", stringify!($tag), ".")] $variant,)* }

        impl DataType {
            /// Every type, by tag.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The type of a tag; `None` where the standard defines none.
            #[must_use]
            pub const fn from_tag(tag: u8) -> Option<Self> {
                match tag {
                    $($tag => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The A-XDR tag.
            #[must_use]
            pub const fn tag(self) -> u8 {
                match self { $(Self::$variant => $tag,)* }
            }

            /// The standard's name, like `double-long-unsigned`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

data_types! {
    Null = 0x00 "null-data",
    Array = 0x01 "array",
    Structure = 0x02 "structure",
    Boolean = 0x03 "boolean",
    BitString = 0x04 "bit-string",
    DoubleLong = 0x05 "double-long",
    DoubleLongUnsigned = 0x06 "double-long-unsigned",
    OctetString = 0x09 "octet-string",
    VisibleString = 0x0A "visible-string",
    Utf8String = 0x0C "utf8-string",
    Bcd = 0x0D "bcd",
    Integer = 0x0F "integer",
    Long = 0x10 "long",
    Unsigned = 0x11 "unsigned",
    LongUnsigned = 0x12 "long-unsigned",
    CompactArray = 0x13 "compact-array",
    Long64 = 0x14 "long64",
    Long64Unsigned = 0x15 "long64-unsigned",
    Enum = 0x16 "enum",
    Float32 = 0x17 "float32",
    Float64 = 0x18 "float64",
    DateTime = 0x19 "date-time",
    Date = 0x1A "date",
    Time = 0x1B "time",
    DeltaInteger = 0x1C "delta-integer",
    DeltaLong = 0x1D "delta-long",
    DeltaDoubleLong = 0x1E "delta-double-long",
    DeltaUnsigned = 0x1F "delta-unsigned",
    DeltaLongUnsigned = 0x20 "delta-long-unsigned",
    DeltaDoubleLongUnsigned = 0x21 "delta-double-long-unsigned",
    DontCare = 0xFF "dont-care",
}

impl DataType {
    /// The type of a name, as [`Self::name`] gives it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|candidate| candidate.name() == name)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_names_lead_back() {
        for &data_type in DataType::ALL {
            assert_eq!(DataType::from_tag(data_type.tag()), Some(data_type));
            assert_eq!(DataType::from_name(data_type.name()), Some(data_type));
        }
        assert_eq!((0..=255).filter_map(DataType::from_tag).count(), DataType::ALL.len());
        for reserved in [0x07, 0x08, 0x0B, 0x0E, 0x22, 0xFE] {
            assert_eq!(DataType::from_tag(reserved), None);
        }
    }
}
