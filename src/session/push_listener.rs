//! Pushes of meters that nobody asked: HDLC or wrapper, whichever comes, whatever the addresses.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::link::{LinkError, LinkEvent};
use super::reassembly::{Reassembled, Reassembly, Segment};
use crate::wire::hdlc::{self, Control, Frame, RawAddress};
use crate::wire::wrapper;

/// Segments of one APDU come at most so far apart.
const SEGMENT_GAP: Duration = Duration::from_secs(10);

/// Listens on a stream. Reports APDUs as `Unsolicited`; a broken wrapper stream as `Failed`.
#[derive(Debug)]
pub struct PushListener {
    framing: Framing,
    inter_octet_timeout: Duration,
    gap: Option<Instant>,
    incoming: Reassembly,
    /// Who sent the latest segment, and when.
    sender: Option<(RawAddress, Instant)>,
    events: VecDeque<LinkEvent>,
}

#[derive(Debug)]
enum Framing {
    Unknown,
    Hdlc(hdlc::Deframer),
    Wrapper(wrapper::Deframer),
}

impl PushListener {
    /// One that takes APDUs of at most `max_apdu` octets.
    #[must_use]
    pub const fn new(max_apdu: usize, inter_octet_timeout: Duration) -> Self {
        Self {
            framing: Framing::Unknown,
            inter_octet_timeout,
            gap: None,
            incoming: Reassembly::new(max_apdu),
            sender: None,
            events: VecDeque::new(),
        }
    }

    /// Takes received octets. The first tells the framing: a wrapper header begins with 00, and anything
    /// else is HDLC, perhaps from the middle of a frame on.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if let (Framing::Unknown, Some(&first)) = (&self.framing, bytes.first()) {
            self.framing = match first {
                0 => Framing::Wrapper(wrapper::Deframer::default()),
                _ => Framing::Hdlc(hdlc::Deframer::new()),
            };
        }
        match &mut self.framing {
            Framing::Unknown => {}
            Framing::Hdlc(deframer) => deframer.feed(bytes),
            Framing::Wrapper(deframer) => deframer.feed(bytes),
        }
        self.drain(now);
    }

    /// Acts on what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.gap.is_some_and(|at| at <= now) {
            if let Framing::Hdlc(deframer) = &mut self.framing {
                deframer.gap();
            }
            self.drain(now);
        }
    }

    /// When [`Self::handle_timeout`] is due; `None` between frames.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.gap
    }

    /// Nothing is ever sent.
    pub const fn poll_transmit(&mut self, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    fn drain(&mut self, now: Instant) {
        self.gap = None;
        // What is taken out of the deframer borrows from it, the handling needs the rest.
        match std::mem::replace(&mut self.framing, Framing::Unknown) {
            Framing::Unknown => {}
            Framing::Hdlc(mut deframer) => {
                while let Some(frame) = deframer.next() {
                    self.handle_frame(now, &frame);
                }
                if deframer.is_mid_frame() {
                    self.gap = Some(now.checked_add(self.inter_octet_timeout).unwrap_or(now));
                }
                self.framing = Framing::Hdlc(deframer);
            }
            Framing::Wrapper(mut deframer) => {
                loop {
                    match deframer.next() {
                        Ok(Some(pdu)) => self.events.push_back(LinkEvent::Unsolicited(pdu.apdu.to_vec())),
                        Ok(None) => break,
                        Err(error) => {
                            let failed = LinkEvent::Failed(LinkError::NotWrapper(error));
                            if self.events.back() != Some(&failed) {
                                self.events.push_back(failed);
                            }
                            break;
                        }
                    }
                }
                self.framing = Framing::Wrapper(deframer);
            }
        }
    }

    /// Some meters push in UI frames, some in I frames that belong to no connection.
    fn handle_frame(&mut self, now: Instant, frame: &Frame<'_>) {
        let (Control::UnnumberedInformation { .. } | Control::Information { .. }) = frame.control else {
            return;
        };
        let goes_on = self.sender.is_some_and(|(sender, at)| {
            sender == frame.source && now.saturating_duration_since(at) <= SEGMENT_GAP
        });
        if !goes_on {
            self.incoming.clear();
        }
        self.sender = Some((frame.source, now));
        if let Reassembled::Whole { apdu, .. } =
            self.incoming.push(frame.information, Segment::of(frame.segmented))
        {
            self.events.push_back(LinkEvent::Unsolicited(apdu));
        }
    }
}
