//! general-block-transfer: carries one block of any APDU, plain or ciphered.

use super::{expect_tag, tag};
use crate::wire::cursor::put_octets;
use crate::wire::error::WireError;

const LAST: u8 = 0x80;
const STREAMING: u8 = 0x40;
const WINDOW: u8 = 0x3F;

/// general-block-transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralBlockTransfer<'a> {
    /// Whether it is the sender's last block.
    pub last: bool,
    /// Whether more blocks of the window follow before the peer may answer.
    pub streaming: bool,
    /// Blocks that the sender accepts in a row, 0 to 63.
    pub window: u8,
    /// Number of this block, from 1; it wraps.
    pub number: u16,
    /// Number of the last block received in order; 0 for none.
    pub acknowledged: u16,
    /// Bytes of the APDU, cut anywhere.
    pub data: &'a [u8],
}

impl<'a> GeneralBlockTransfer<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let last = if self.last { LAST } else { 0 };
        let streaming = if self.streaming { STREAMING } else { 0 };
        out.extend_from_slice(&[tag::GENERAL_BLOCK_TRANSFER, last | streaming | self.window & WINDOW]);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.acknowledged.to_be_bytes());
        put_octets(out, self.data);
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `Length`, `TrailingBytes`.
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::GENERAL_BLOCK_TRANSFER)?;
        let control = reader.u8()?;
        let block = Self {
            last: control & LAST != 0,
            streaming: control & STREAMING != 0,
            window: control & WINDOW,
            number: reader.u16()?,
            acknowledged: reader.u16()?,
            data: reader.octets()?,
        };
        reader.finish()?;
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_both_ways() {
        for (last, streaming, window, bytes) in [
            (false, true, 0, [0xE0, 0x40, 0, 1, 0, 0, 2, 0x0F, 0]),
            (true, true, 0, [0xE0, 0xC0, 0, 1, 0, 0, 2, 0x0F, 0]),
            (true, false, 63, [0xE0, 0xBF, 0, 1, 0, 0, 2, 0x0F, 0]),
        ] {
            let data = &[0x0F, 0][..];
            let block = GeneralBlockTransfer { last, streaming, window, number: 1, acknowledged: 0, data };
            let mut out = Vec::new();
            block.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(GeneralBlockTransfer::decode(&bytes), Ok(block));
        }
    }
}
