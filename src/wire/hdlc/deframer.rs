//! Frames out of a stream of octets that may be split, joined, noisy or cut off anywhere.

use super::FLAG;
use super::frame::{Frame, Layout};
use crate::wire::error::WireErrorKind;

/// What a [`Deframer`] has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeframerCounters {
    /// Good frames.
    pub frames: u64,
    /// Frames dropped because HCS or FCS did not match.
    pub checksum_failures: u64,
    /// Frames dropped because they ended too early or without a flag.
    pub cut_off: u64,
    /// Octets that belonged to no good frame.
    pub noise_octets: u64,
}

/// Collects octets and hands out frames that borrow from its buffer.
///
/// Feed it, then call [`Self::next`] until it has no more: then it holds less than one frame.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    /// Everything before has been handed out or dropped.
    start: usize,
    line: Line,
    counters: DeframerCounters,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// More octets of the same frame may come.
    #[default]
    Busy,
    /// The line has been silent: what is not complete never will be.
    Silent,
}

/// Octets kept at most. Nobody who drains the frames ever meets it.
const CAPACITY: usize = 64 * 1024;

enum Candidate {
    Good(Layout),
    Incomplete,
    Bad(WireErrorKind),
}

impl Deframer {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes received octets.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.line = Line::Busy;
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        let surplus = self.buffer.len().saturating_add(bytes.len()).saturating_sub(CAPACITY);
        self.counters.noise_octets = self.counters.noise_octets.saturating_add(surplus as u64);
        let skipped = surplus.saturating_sub(self.buffer.len());
        self.buffer.drain(..surplus.min(self.buffer.len()));
        self.buffer.extend_from_slice(bytes.get(skipped..).unwrap_or_default());
    }

    /// Tells that the line has been silent for longer than the gap allowed inside a frame.
    ///
    /// Then call [`Self::next`] until it has no more: a frame that lacks only its closing flag is
    /// good, anything else incomplete is dropped.
    pub fn gap(&mut self) {
        self.line = Line::Silent;
    }

    /// The next frame.
    ///
    /// A frame ends where its length says, never at a flag inside. After a failure the search goes
    /// on at the octet behind the failed opening flag.
    #[allow(clippy::should_implement_trait, reason = "frames borrow from the deframer")]
    pub fn next(&mut self) -> Option<Frame<'_>> {
        let layout = loop {
            if !self.seek_flag() {
                return None;
            }
            match self.candidate() {
                Candidate::Good(layout) => break layout,
                Candidate::Incomplete => return None,
                Candidate::Bad(kind) => self.drop_flag(kind),
            }
        };
        self.counters.frames = self.counters.frames.saturating_add(1);
        let first = self.start.saturating_add(1);
        let end = first.saturating_add(layout.header.length);
        // The closing flag stays: it may open the next frame.
        self.start = end;
        Some(Frame::of(layout, self.buffer.get(first..end).unwrap_or_default()))
    }

    /// Whether part of a frame has arrived, so that silence would mean something.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.pending() > 1
    }

    /// Octets held.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// What it has seen so far.
    #[must_use]
    pub const fn counters(&self) -> DeframerCounters {
        self.counters
    }

    /// Forgets what it holds; the counters stay.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.line = Line::Busy;
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Moves to the last of the flags that come next. False where there is none.
    fn seek_flag(&mut self) -> bool {
        let rest = self.rest();
        let noise = rest.iter().position(|&octet| octet == FLAG).unwrap_or(rest.len());
        let flags = rest.iter().skip(noise).take_while(|&&octet| octet == FLAG).count();
        self.counters.noise_octets = self.counters.noise_octets.saturating_add(noise as u64);
        self.start = self.start.saturating_add(noise).saturating_add(flags.saturating_sub(1));
        flags > 0
    }

    fn candidate(&self) -> Candidate {
        let bytes = self.rest().get(1..).unwrap_or_default();
        if bytes.is_empty() {
            return Candidate::Incomplete;
        }
        let kind = match Layout::read(bytes) {
            Ok(layout) => match bytes.get(layout.header.length) {
                Some(&FLAG) => return Candidate::Good(layout),
                None if self.line == Line::Silent => return Candidate::Good(layout),
                None => WireErrorKind::Truncated,
                Some(_) => WireErrorKind::TrailingBytes,
            },
            Err(error) => error.kind,
        };
        match kind {
            WireErrorKind::Truncated if self.line == Line::Busy => Candidate::Incomplete,
            kind => Candidate::Bad(kind),
        }
    }

    fn drop_flag(&mut self, kind: WireErrorKind) {
        self.start = self.start.saturating_add(1);
        self.counters.noise_octets = self.counters.noise_octets.saturating_add(1);
        match kind {
            WireErrorKind::Checksum => {
                self.counters.checksum_failures = self.counters.checksum_failures.saturating_add(1);
            }
            WireErrorKind::Truncated | WireErrorKind::TrailingBytes => {
                self.counters.cut_off = self.counters.cut_off.saturating_add(1);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hdlc::{ClientAddress, Control, Sequence, ServerAddress};

    fn frame(information: &[u8]) -> Frame<'_> {
        Frame {
            segmented: false,
            destination: ClientAddress::PUBLIC.encode(),
            source: ServerAddress::new(1, Some(17), None).unwrap().encode(),
            control: Control::Information { send: Sequence::ZERO, receive: Sequence::ZERO, poll: true },
            information,
        }
    }

    fn bytes(information: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(information).encode(&mut out).unwrap();
        out
    }

    fn drain(deframer: &mut Deframer) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while let Some(frame) = deframer.next() {
            found.push(frame.information.to_vec());
        }
        found
    }

    #[test]
    fn any_split_and_any_joining() {
        let (first, second) = (b"~one~}".to_vec(), vec![FLAG; 40]);
        let mut shared = bytes(&first);
        shared.pop();
        for stream in [
            [bytes(&first), bytes(&second)].concat(),
            [shared, bytes(&second)].concat(),
            [bytes(&first), vec![FLAG; 5], bytes(&second), vec![FLAG; 3]].concat(),
        ] {
            for size in 1..stream.len() {
                let mut deframer = Deframer::new();
                let mut found = Vec::new();
                for chunk in stream.chunks(size) {
                    deframer.feed(chunk);
                    found.extend(drain(&mut deframer));
                }
                assert_eq!(found, [first.clone(), second.clone()]);
                assert_eq!(deframer.counters(), DeframerCounters { frames: 2, ..Default::default() });
                assert!(!deframer.is_mid_frame());
            }
        }
    }

    #[test]
    fn starts_in_the_middle_and_goes_on_after_damage() {
        let mut damaged = bytes(b"damaged");
        damaged[12] ^= 0x40;
        let stream = [&bytes(b"tail")[5..], &damaged, b"noise", &bytes(b"good")].concat();
        let mut deframer = Deframer::new();
        deframer.feed(&stream);
        assert_eq!(drain(&mut deframer), [b"good"]);
        let counters = deframer.counters();
        assert_eq!((counters.frames, counters.checksum_failures), (1, 1));
        assert!(counters.noise_octets > 0);
    }

    #[test]
    fn a_frame_inside_the_supposed_length_of_another_is_found() {
        // An opening flag whose header lies about a long frame swallows nothing.
        let good = bytes(b"good");
        let mut liar = bytes(&[0; 500]);
        liar.truncate(20);
        let mut deframer = Deframer::new();
        deframer.feed(&[&liar[..], &good].concat());
        assert_eq!(drain(&mut deframer), Vec::<Vec<u8>>::new(), "it may still be true");
        assert!(deframer.is_mid_frame());
        deframer.gap();
        assert_eq!(drain(&mut deframer), [b"good"]);
        assert_eq!(deframer.counters().cut_off, 1);
        assert!(!deframer.is_mid_frame());
    }

    #[test]
    fn a_missing_closing_flag_is_forgiven_after_silence() {
        let mut stream = bytes(b"good");
        stream.pop();
        let mut deframer = Deframer::new();
        deframer.feed(&stream);
        assert_eq!(deframer.next(), None);
        deframer.gap();
        assert_eq!(deframer.next(), Some(frame(b"good")));
        assert_eq!(deframer.next(), None);
        stream.push(0x55);
        deframer.feed(&stream);
        assert_eq!(deframer.next(), None);
        assert_eq!(deframer.counters().cut_off, 1);
    }

    #[test]
    fn holds_less_than_a_frame_whatever_comes() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut deframer = Deframer::new();
        for _ in 0..5000 {
            let mut chunk = match random.u8(0..4) {
                0 => (0..random.usize(0..300)).map(|_| random.u8(..)).collect(),
                1 => [FLAG, 0xA7, 0xFF].repeat(random.usize(0..50)),
                2 => bytes(&vec![FLAG; random.usize(0..2030)]),
                _ => {
                    (0..random.usize(0..300)).map(|_| [FLAG, 0xA0, 0x03, 0x21][random.usize(0..4)]).collect()
                }
            };
            if random.bool() && !chunk.is_empty() {
                let at = random.usize(0..chunk.len());
                chunk[at] = random.u8(..);
            }
            deframer.feed(&chunk);
            while deframer.next().is_some() {}
            assert!(deframer.pending() <= 2048, "{}", deframer.pending());
            if random.u8(0..8) == 0 {
                deframer.gap();
                while deframer.next().is_some() {}
                assert!(!deframer.is_mid_frame());
            }
        }
        assert!(deframer.counters().frames > 100);
        assert!(deframer.buffer.capacity() <= 2 * CAPACITY);
    }

    #[test]
    fn undrained_input_is_bounded() {
        let mut deframer = Deframer::new();
        deframer.feed(&[0; 10]);
        deframer.feed(&vec![1; 3 * CAPACITY]);
        assert_eq!(deframer.pending(), CAPACITY);
        deframer.feed(&bytes(b"good"));
        assert_eq!(deframer.next(), Some(frame(b"good")));
    }
}
