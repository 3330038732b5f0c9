//! Long values in service-specific blocks: one that goes out, one that comes in.

use crate::wire::xdlms::InvokeIdAndPriority;

/// The most bytes of one long request that a meter gathers.
const MAX_INCOMING: usize = 1 << 20;

/// A long answer on its way out.
pub(super) struct Outgoing {
    pub(super) invoke: InvokeIdAndPriority,
    raw: Vec<u8>,
    sent: usize,
    number: u32,
}

/// One block of it.
pub(super) struct OutgoingBlock<'a> {
    pub(super) last: bool,
    pub(super) number: u32,
    pub(super) raw: &'a [u8],
}

impl Outgoing {
    pub(super) const fn new(invoke: InvokeIdAndPriority, raw: Vec<u8>) -> Self {
        Self { invoke, raw, sent: 0, number: 0 }
    }

    /// Number of the block that was sent last.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// The next block, of `size` bytes at most.
    pub(super) fn next(&mut self, size: usize) -> OutgoingBlock<'_> {
        let start = self.sent;
        self.sent = (start + size.max(1)).min(self.raw.len());
        self.number += 1;
        OutgoingBlock {
            last: self.sent == self.raw.len(),
            number: self.number,
            raw: &self.raw[start..self.sent],
        }
    }
}

/// A long request on its way in: what it is about, and its bytes so far.
pub(super) struct Incoming<T> {
    pub(super) target: T,
    pub(super) raw: Vec<u8>,
    number: u32,
}

impl<T> Incoming<T> {
    pub(super) const fn new(target: T) -> Self {
        Self { target, raw: Vec::new(), number: 0 }
    }

    /// Takes the next block; false where it is not the next, or too much.
    pub(super) fn take(&mut self, number: u32, raw: &[u8]) -> bool {
        let fits = number == self.number + 1 && self.raw.len() + raw.len() <= MAX_INCOMING;
        if fits {
            self.number = number;
            self.raw.extend_from_slice(raw);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_out_and_in() {
        let mut outgoing = Outgoing::new(InvokeIdAndPriority::C1, (0..10).collect());
        let mut incoming = Incoming::new(());
        loop {
            let block = outgoing.next(4);
            assert!(block.raw.len() <= 4);
            assert!(incoming.take(block.number, block.raw));
            if block.last {
                break;
            }
        }
        assert_eq!(incoming.raw, (0..10).collect::<Vec<u8>>());
        assert_eq!(outgoing.number(), 3);
        assert!(!incoming.take(5, &[]), "a gap");
        assert!(!incoming.take(4, &vec![0; MAX_INCOMING]), "too much");
    }
}
