//! The APDU being sent: its segments, which of them are acknowledged and which may go out.

use crate::wire::hdlc::Sequence;

/// An APDU with its LLC header, cut into segments of equal length, and the state variable V(S).
#[derive(Debug, Default)]
pub(crate) struct SendWindow {
    octets: Vec<u8>,
    segment: usize,
    /// Octets at the front whose segments are acknowledged.
    acknowledged: usize,
    /// The number of the first segment that is not acknowledged.
    oldest: Sequence,
    /// Segments sent and not acknowledged.
    in_flight: u8,
}

/// One I frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing<'a> {
    pub(crate) number: Sequence,
    pub(crate) information: &'a [u8],
    /// S: more segments follow this one.
    pub(crate) segmented: bool,
    /// Whether the peer's turn begins after it.
    pub(crate) ends_turn: bool,
}

/// The effect of an N(R).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// Some segments more.
    More,
    /// Nothing new.
    Nothing,
    /// A frame that was never sent.
    Nonsense,
}

impl SendWindow {
    /// As after SNRM and UA.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes an APDU to send in segments of `segment` octets. The last one must be done.
    pub(crate) fn load(&mut self, llc: [u8; 3], apdu: &[u8], segment: u16) {
        self.octets.clear();
        self.octets.extend_from_slice(&llc);
        self.octets.extend_from_slice(apdu);
        self.segment = usize::from(segment.max(1));
        self.acknowledged = 0;
    }

    /// Whether everything is acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.acknowledged >= self.octets.len()
    }

    /// Takes the peer's N(R).
    pub(crate) fn acknowledge(&mut self, receive: Sequence) -> Acknowledged {
        let count = receive.since(self.oldest);
        if count > self.in_flight {
            return Acknowledged::Nonsense;
        }
        if count == 0 {
            return Acknowledged::Nothing;
        }
        self.oldest = receive;
        self.in_flight = self.in_flight.saturating_sub(count);
        let octets = usize::from(count).saturating_mul(self.segment);
        self.acknowledged = self.acknowledged.saturating_add(octets).min(self.octets.len());
        Acknowledged::More
    }

    /// Takes everything sent for acknowledged.
    pub(crate) fn acknowledge_all(&mut self) -> Acknowledged {
        self.acknowledge(self.oldest.plus(self.in_flight))
    }

    /// The frames of our next turn: from the first that is not acknowledged, as many as the peer takes.
    pub(crate) fn turn(&mut self, window: u8) -> impl Iterator<Item = Outgoing<'_>> {
        let rest = self.octets.get(self.acknowledged..).unwrap_or_default();
        let segment = self.segment.max(1);
        let segments = rest.len().div_ceil(segment);
        let count = u8::try_from(segments).unwrap_or(u8::MAX).min(window.clamp(1, 7));
        self.in_flight = self.in_flight.max(count);
        let oldest = self.oldest;
        rest.chunks(segment).zip(1..=count).map(move |(information, ordinal)| Outgoing {
            number: oldest.plus(ordinal.saturating_sub(1)),
            information,
            segmented: usize::from(ordinal) < segments,
            ends_turn: ordinal == count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hdlc::LLC_COMMAND;

    fn numbers(window: &mut SendWindow, size: u8) -> Vec<(u8, usize, bool, bool)> {
        window
            .turn(size)
            .map(|out| (out.number.value(), out.information.len(), out.segmented, out.ends_turn))
            .collect()
    }

    #[test]
    fn one_by_one() {
        let mut window = SendWindow::default();
        assert!(window.is_done());
        window.load(LLC_COMMAND, &[7; 7], 4);
        assert_eq!(numbers(&mut window, 1), [(0, 4, true, true)]);
        assert_eq!(window.acknowledge(Sequence::ZERO), Acknowledged::Nothing);
        assert_eq!(window.acknowledge(Sequence::new(2)), Acknowledged::Nonsense);
        assert_eq!(numbers(&mut window, 1), [(0, 4, true, true)], "the same again");
        assert_eq!(window.acknowledge(Sequence::new(1)), Acknowledged::More);
        assert_eq!(numbers(&mut window, 1), [(1, 4, true, true)]);
        assert_eq!(window.acknowledge(Sequence::new(2)), Acknowledged::More);
        assert_eq!(numbers(&mut window, 1), [(2, 2, false, true)]);
        assert_eq!(window.acknowledge(Sequence::new(3)), Acknowledged::More);
        assert!(window.is_done());
        window.load(LLC_COMMAND, &[], 4);
        assert_eq!(numbers(&mut window, 7), [(3, 3, false, true)]);
    }

    #[test]
    fn a_window_goes_back_to_the_lost_frame() {
        let mut window = SendWindow::default();
        window.load(LLC_COMMAND, &[7; 17], 4);
        assert_eq!(numbers(&mut window, 3), [(0, 4, true, false), (1, 4, true, false), (2, 4, true, true)]);
        assert_eq!(window.acknowledge(Sequence::new(1)), Acknowledged::More);
        assert_eq!(numbers(&mut window, 3), [(1, 4, true, false), (2, 4, true, false), (3, 4, true, true)]);
        assert_eq!(window.acknowledge(Sequence::new(4)), Acknowledged::More);
        assert_eq!(numbers(&mut window, 3), [(4, 4, false, true)]);
        assert_eq!(window.acknowledge(Sequence::new(5)), Acknowledged::More);
        assert!(window.is_done());
    }
}
