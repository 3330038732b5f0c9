//! General block transfer (Green Book clause 9.3.5): reassembly of an APDU that arrives in E0 blocks.

use super::error::SessionError;
use crate::wire::xdlms::gbt::GeneralBlockTransfer;

/// Longest APDU that is put together, in bytes.
const MAX_APDU: usize = 8 << 20;

/// The blocks of one incoming APDU.
#[derive(Debug, Default)]
pub(super) struct GeneralBlocks {
    last: u16,
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
        self.last = 0;
        self.bytes.clear();
    }

    /// Takes one block; an acknowledgement, if one is due, is appended to `out`.
    ///
    /// A repeated block is acknowledged again, a missing one asked for again: its number is not acknowledged.
    pub(super) fn take(&mut self, apdu: &[u8], out: &mut Vec<u8>) -> Result<Progress, SessionError> {
        let block = GeneralBlockTransfer::decode(apdu).map_err(SessionError::Acse)?;
        let expected = self.last.wrapping_add(1);
        if block.number == expected {
            if self.bytes.len().saturating_add(block.data.len()) > MAX_APDU {
                return Err(SessionError::GeneralBlock { expected, received: block.number });
            }
            self.last = expected;
            self.bytes.extend_from_slice(block.data);
            if block.last {
                self.last = 0;
                return Ok(Progress::Complete(std::mem::take(&mut self.bytes)));
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
