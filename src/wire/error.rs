//! What can be wrong with received bytes, and where.

use std::fmt;

/// A decoding failure: what was wrong, and the offset in bytes from the start of the decoded input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct WireError {
    /// What was wrong.
    pub kind: WireErrorKind,
    /// Offset in bytes of the item that could not be decoded.
    pub offset: usize,
}

/// The kinds of decoding failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireErrorKind {
    /// The input ends inside an item.
    Truncated,
    /// Bytes follow the end of the item.
    TrailingBytes,
    /// A choice or type tag that the standard does not define.
    UnknownTag(u8),
    /// A length or count that cannot be represented, or that the remaining bytes cannot justify.
    Length,
    /// Structures nested deeper than the decoder's limit.
    TooDeep,
    /// More elements than the decoder's work budget.
    TooManyElements,
    /// A check sequence (HCS or FCS) does not match.
    Checksum,
    /// A value outside the range of its field; the text names the field.
    Invalid(&'static str),
}

impl WireErrorKind {
    /// The error at `offset`.
    #[must_use]
    pub const fn at(self, offset: usize) -> WireError {
        WireError { kind: self, offset }
    }
}

impl fmt::Display for WireErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("input ends"),
            Self::TrailingBytes => f.write_str("unexpected bytes follow"),
            Self::UnknownTag(tag) => write!(f, "unknown tag {tag:#04x}"),
            Self::Length => f.write_str("impossible length"),
            Self::TooDeep => f.write_str("nested too deep"),
            Self::TooManyElements => f.write_str("too many elements"),
            Self::Checksum => f.write_str("check sequence does not match"),
            Self::Invalid(field) => write!(f, "invalid {field}"),
        }
    }
}
