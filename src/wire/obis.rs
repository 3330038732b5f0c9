//! OBIS codes (IEC 62056-61): six groups A-B:C.D.E*F that name a COSEM object.

use std::fmt;
use std::str::FromStr;

/// An OBIS code, as the six octets of a COSEM logical name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Obis(pub [u8; 6]);

impl Obis {
    /// The code with these groups.
    #[must_use]
    pub const fn new(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) -> Self {
        Self([a, b, c, d, e, f])
    }
}

impl fmt::Display for Obis {
    /// `1-0:1.8.0*255`, the form of every payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a}-{b}:{c}.{d}.{e}*{g}")
    }
}

/// A text that is no full OBIS code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObisError {
    /// A reduced form (`1.8.0`, `F.F`): medium and channel would have to be guessed.
    #[error("reduced OBIS form: write all groups, like 1-0:1.8.0*255")]
    Reduced,
    /// Neither `1.0.1.8.0.255`, `1-0:1.8.0*255` nor `1-0:1.8.0`.
    #[error("not an OBIS code: write it like 1-0:1.8.0*255 or 1.0.1.8.0.255")]
    Malformed,
    /// A group over 255.
    #[error("an OBIS group is over 255")]
    GroupRange,
}

impl FromStr for Obis {
    type Err = ObisError;

    fn from_str(_text: &str) -> Result<Self, Self::Err> {
        Err(ObisError::Malformed)
    }
}
