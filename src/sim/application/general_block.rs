//! General block transfer: requests that come in blocks, answers that go out in windows of blocks.

use super::Replies;
use crate::wire::xdlms::gbt::GeneralBlockTransfer;

/// Bytes of a block besides its data: tag, control, two numbers, length.
const HEADER: usize = 9;
/// The most bytes of one request that a meter gathers.
const MAX_REQUEST: usize = 1 << 20;

/// The state of both directions.
pub(super) struct GeneralBlocks {
    request: Vec<u8>,
    /// Number of the last block received in order.
    received: u16,
    answer: Vec<u8>,
    /// Blocks that the client takes in a row.
    window: u8,
    /// Our own window, as we announce it.
    own_window: u8,
    /// APDUs that the link below takes in a row.
    link_window: u8,
}

impl GeneralBlocks {
    /// Over a link that takes `link_window` APDUs in a row.
    pub(super) const fn new(link_window: u8) -> Self {
        Self { request: Vec::new(), received: 0, answer: Vec::new(), window: 1, own_window: 1, link_window }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.link_window);
    }

    /// Whether the request that is being answered came in blocks.
    pub(super) const fn is_receiving(&self) -> bool {
        self.received > 0
    }

    /// Takes a block: an acknowledgement sends the next window, the last block of a request gives the request.
    pub(super) fn receive(&mut self, apdu: &[u8], limit: usize, replies: &mut Replies) -> Option<Vec<u8>> {
        let block = GeneralBlockTransfer::decode(apdu).ok()?;
        self.window = block.window.clamp(1, self.link_window);
        if !self.answer.is_empty() && block.data.is_empty() {
            self.send_window(block.acknowledged, limit, replies);
            return None;
        }
        if block.number == 1 && self.received > 0 {
            self.clear();
            self.window = block.window.clamp(1, self.link_window);
        }
        if block.number == self.received.wrapping_add(1)
            && self.request.len() + block.data.len() <= MAX_REQUEST
        {
            self.received = block.number;
            self.request.extend_from_slice(block.data);
            if block.last {
                return Some(std::mem::take(&mut self.request));
            }
        }
        if !block.streaming {
            self.acknowledge(replies);
        }
        None
    }

    fn acknowledge(&self, replies: &mut Replies) {
        let number = self.received.max(1);
        let block = GeneralBlockTransfer {
            last: true,
            streaming: false,
            window: self.own_window,
            number,
            acknowledged: self.received,
            data: &[],
        };
        replies.add(|out| block.encode(out));
    }

    /// Sends the first window of an APDU.
    pub(super) fn send(&mut self, apdu: &[u8], own_window: u8, limit: usize, replies: &mut Replies) {
        self.answer = apdu.to_vec();
        self.own_window = own_window;
        // Until the client has told its window, one block at a time.
        self.send_window(0, limit, replies);
    }

    /// Sends the blocks that follow `acknowledged`, as many as the client takes in a row.
    fn send_window(&mut self, acknowledged: u16, limit: usize, replies: &mut Replies) {
        let size = limit.saturating_sub(HEADER).max(1);
        let total = self.answer.len().div_ceil(size);
        let first = usize::from(acknowledged);
        let end = total.min(first + usize::from(self.window));
        for (index, data) in self.answer.chunks(size).enumerate().take(end).skip(first) {
            let block = GeneralBlockTransfer {
                last: index + 1 == total,
                streaming: index + 1 < end,
                window: self.own_window,
                number: u16::try_from(index + 1).unwrap_or(u16::MAX),
                acknowledged: self.received,
                data,
            };
            replies.add(|out| block.encode(out));
        }
        if first >= total {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(replies: &Replies) -> Vec<(bool, bool, u16, u16, Vec<u8>)> {
        replies
            .iter()
            .map(|apdu| GeneralBlockTransfer::decode(apdu).unwrap())
            .map(|block| (block.last, block.streaming, block.number, block.acknowledged, block.data.to_vec()))
            .collect()
    }

    fn client(last: bool, window: u8, number: u16, acknowledged: u16, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        GeneralBlockTransfer { last, streaming: false, window, number, acknowledged, data }.encode(&mut out);
        out
    }

    #[test]
    fn answers_go_out_in_windows_and_lost_blocks_again() {
        let (mut general, mut replies) = (GeneralBlocks::new(63), Replies::default());
        let answer: Vec<u8> = (0..50).collect();
        general.send(&answer, 3, HEADER + 10, &mut replies);
        assert_eq!(blocks(&replies), [(false, false, 1, 0, answer[..10].to_vec())]);
        replies.clear();
        assert_eq!(general.receive(&client(true, 2, 1, 1, &[]), HEADER + 10, &mut replies), None);
        let window =
            [(false, true, 2, 0, answer[10..20].to_vec()), (false, false, 3, 0, answer[20..30].to_vec())];
        assert_eq!(blocks(&replies), window);
        replies.clear();
        general.receive(&client(true, 2, 2, 2, &[]), HEADER + 10, &mut replies);
        assert_eq!(blocks(&replies)[0].2, 3, "the client lost block 3");
        replies.clear();
        general.receive(&client(true, 2, 3, 4, &[]), HEADER + 10, &mut replies);
        assert_eq!(blocks(&replies), [(true, false, 5, 0, answer[40..].to_vec())]);
        replies.clear();
        general.receive(&client(true, 2, 4, 5, &[]), HEADER + 10, &mut replies);
        assert_eq!(blocks(&replies), []);
    }

    #[test]
    fn requests_come_in_blocks() {
        let (mut general, mut replies) = (GeneralBlocks::new(63), Replies::default());
        assert_eq!(general.receive(&client(false, 1, 1, 0, &[1, 2]), 100, &mut replies), None);
        assert_eq!(blocks(&replies), [(true, false, 1, 1, vec![])]);
        assert!(general.is_receiving());
        replies.clear();
        assert_eq!(
            general.receive(&client(false, 1, 3, 0, &[9]), 100, &mut replies),
            None,
            "block 2 is missing"
        );
        assert_eq!(blocks(&replies), [(true, false, 1, 1, vec![])], "what came last is said again");
        replies.clear();
        assert_eq!(general.receive(&client(true, 1, 2, 1, &[3]), 100, &mut replies), Some(vec![1, 2, 3]));
        assert_eq!(blocks(&replies), []);
    }
}
