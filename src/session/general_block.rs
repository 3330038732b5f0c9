//! General block transfer (Green Book clause 9.3.5): reassembly of an APDU that arrives in E0 blocks.

use super::error::SessionError;
use super::exchange::ExchangeError;
use crate::wire::xdlms::gbt::GeneralBlockTransfer;

/// Longest APDU that is put together, in bytes.
const MAX_APDU: usize = 8 << 20;

/// Blocks in a row that bring nothing: repeated, ahead of one that was lost, or empty.
const MAX_IDLE_BLOCKS: u32 = 64;

/// The blocks of one incoming APDU.
#[derive(Debug, Default)]
pub(super) struct GeneralBlocks {
    last: u16,
    idle: u32,
    bytes: Vec<u8>,
}

/// What follows from a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The APDU is whole.
    Complete(Vec<u8>),
    /// The acknowledgement stands in the buffer.
    Acknowledge,
    /// More blocks of the window follow unasked.
    Wait,
}

impl GeneralBlocks {
    /// Forgets a transfer that did not end.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes one block; an acknowledgement, if one is due, is appended to `out`.
    ///
    /// A repeated block is acknowledged again, a missing one asked for again: its number is not acknowledged.
    pub(super) fn take(&mut self, apdu: &[u8], out: &mut Vec<u8>) -> Result<Progress, SessionError> {
        let block = GeneralBlockTransfer::decode(apdu).map_err(ExchangeError::Wire)?;
        let expected = self.last.wrapping_add(1);
        let is_news = block.number == expected && (block.last || !block.data.is_empty());
        self.idle = if is_news { 0 } else { self.idle.saturating_add(1) };
        if self.idle > MAX_IDLE_BLOCKS {
            return Err(SessionError::GeneralBlock { expected, received: block.number });
        }
        if block.number == expected {
            if self.bytes.len().saturating_add(block.data.len()) > MAX_APDU {
                return Err(SessionError::GeneralBlock { expected, received: block.number });
            }
            self.last = expected;
            self.bytes.extend_from_slice(block.data);
            if block.last {
                return Ok(Progress::Complete(std::mem::take(self).bytes));
            }
        } else if block.number > expected.saturating_add(u16::from(block.window)) {
            return Err(SessionError::GeneralBlock { expected, received: block.number });
        }
        if block.streaming {
            return Ok(Progress::Wait);
        }
        GeneralBlockTransfer {
            last: true,
            streaming: false,
            window: 1,
            number: self.last,
            acknowledged: self.last,
            data: &[],
        }
        .encode(out);
        Ok(Progress::Acknowledge)
    }
}
