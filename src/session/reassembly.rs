//! One APDU out of the information fields of its segments.

use crate::wire::hdlc::{LLC_COMMAND, strip_llc};

/// Collects the segments of one APDU at a time.
#[derive(Debug)]
pub(crate) struct Reassembly {
    octets: Vec<u8>,
    segments: u32,
    /// Where later segments began with an LLC header.
    headers: Vec<usize>,
    limit: usize,
}

/// Octets that each segment counts for at least: what every station can take. Otherwise a peer could send
/// empty segments for ever.
const SHORTEST: usize = 32;

/// A segment's effect.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reassembled {
    /// More segments must follow.
    Partial,
    /// The APDU is whole.
    Whole {
        apdu: Vec<u8>,
        /// Whether each segment began with an LLC header, which only the first may have.
        repeated_llc: bool,
    },
    /// The APDU is longer than allowed; what was collected is dropped.
    TooLong,
}

/// The S bit of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    More,
    Last,
}

impl Segment {
    pub(crate) const fn of(segmented: bool) -> Self {
        if segmented { Self::More } else { Self::Last }
    }
}

impl Reassembly {
    /// For APDUs of at most `limit` octets.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { octets: Vec::new(), segments: 0, headers: Vec::new(), limit }
    }

    /// Whether more segments must follow.
    pub(crate) const fn is_partial(&self) -> bool {
        self.segments > 0
    }

    pub(crate) fn clear(&mut self) {
        self.octets = Vec::new();
        self.segments = 0;
        self.headers.clear();
    }

    pub(crate) fn push(&mut self, information: &[u8], segment: Segment) -> Reassembled {
        let stripped = strip_llc(information);
        let piece = if self.segments == 0 {
            stripped.unwrap_or(information)
        } else {
            if stripped.is_some() && self.headers_so_far() {
                self.headers.push(self.octets.len());
            }
            information
        };
        let counted = usize::try_from(self.segments).unwrap_or(usize::MAX).saturating_mul(SHORTEST);
        if self.octets.len().saturating_add(piece.len()).max(counted) > self.limit {
            self.clear();
            return Reassembled::TooLong;
        }
        self.octets.extend_from_slice(piece);
        self.segments = self.segments.saturating_add(1);
        if segment == Segment::More {
            return Reassembled::Partial;
        }
        let repeated_llc = self.segments > 1 && self.headers_so_far();
        if repeated_llc {
            for &at in self.headers.iter().rev() {
                self.octets.drain(at..at.saturating_add(LLC_COMMAND.len()).min(self.octets.len()));
            }
        }
        let apdu = std::mem::take(&mut self.octets);
        self.clear();
        Reassembled::Whole { apdu, repeated_llc }
    }

    /// Whether every segment after the first had an LLC header. One that has none proves that those
    /// of the others are data.
    fn headers_so_far(&self) -> bool {
        usize::try_from(self.segments).is_ok_and(|segments| self.headers.len() == segments.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(segments: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut reassembly = Reassembly::new(100);
        let (last, first) = segments.split_last().unwrap();
        for segment in first {
            assert_eq!(reassembly.push(segment, Segment::More), Reassembled::Partial);
            assert!(reassembly.is_partial());
        }
        let Reassembled::Whole { apdu, repeated_llc } = reassembly.push(last, Segment::Last) else {
            panic!()
        };
        assert!(!reassembly.is_partial());
        (apdu, repeated_llc)
    }

    #[test]
    fn headers_of_either_direction_and_none() {
        assert_eq!(assemble(&[b"\xE6\xE7\x00abc"]), (b"abc".to_vec(), false));
        assert_eq!(assemble(&[b"\xE6\xE6\x00abc"]), (b"abc".to_vec(), false));
        assert_eq!(assemble(&[b"abc"]), (b"abc".to_vec(), false));
        assert_eq!(assemble(&[b"\xE6\xE7\x00ab", b"c", b"d"]), (b"abcd".to_vec(), false));
    }

    #[test]
    fn a_header_in_every_segment_is_a_fault_and_in_some_is_data() {
        let header = b"\xE6\xE7\x00";
        let with = |data: &[u8]| [&header[..], data].concat();
        assert_eq!(assemble(&[&with(b"a"), &with(b"b"), &with(b"c")]), (b"abc".to_vec(), true));
        assert_eq!(assemble(&[&with(b"a"), &with(b"b"), b"c"]), (b"a\xE6\xE7\x00bc".to_vec(), false));
        assert_eq!(assemble(&[&with(b"a"), b"b", &with(b"c")]), (b"ab\xE6\xE7\x00c".to_vec(), false));
    }

    #[test]
    fn too_long() {
        let mut reassembly = Reassembly::new(100);
        assert_eq!(reassembly.push(&[1; 60], Segment::More), Reassembled::Partial);
        assert_eq!(reassembly.push(&[1; 60], Segment::More), Reassembled::TooLong);
        assert!(!reassembly.is_partial());
        let empty = std::iter::repeat_with(|| reassembly.push(&[], Segment::More));
        assert_eq!(empty.take(100).position(|effect| effect == Reassembled::TooLong), Some(4));
    }
}
