//! One block of a long SET or ACTION.

use crate::wire::cursor::{Reader, put_octets};
use crate::wire::error::WireError;

/// DataBlock-SA: bytes of a long value, cut anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataBlock<'a> {
    /// Whether it is the last.
    pub last: bool,
    /// Its number, from 1.
    pub number: u32,
    /// Its bytes.
    pub raw: &'a [u8],
}

impl<'a> DataBlock<'a> {
    /// Octets before the raw bytes at the most: last, number, length.
    pub const MAX_HEADER: usize = 1 + 4 + 5;

    /// Appends the block.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.last));
        out.extend_from_slice(&self.number.to_be_bytes());
        put_octets(out, self.raw);
    }

    /// Reads a block.
    ///
    /// # Errors
    /// `Truncated`, `Length`.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self { last: reader.u8()? != 0, number: reader.u32()?, raw: reader.octets()? })
    }
}
