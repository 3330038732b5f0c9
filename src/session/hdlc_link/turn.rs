//! The frames of our turn: held back while the line must rest, remembered until the answer to know an echo.

use std::time::Instant;

use crate::wire::hdlc::Frame;

/// One turn of sending.
#[derive(Debug, Default)]
pub(super) struct Turn {
    octets: Vec<u8>,
    state: State,
    /// Octets at the front whose echo has come back.
    echoed: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Sent,
    /// Not before this instant.
    Held(Instant),
    Ready,
}

impl Turn {
    /// Begins a new turn; what has not left yet never will.
    pub(super) fn begin(&mut self) {
        self.octets.clear();
        self.echoed = 0;
        self.state = State::Sent;
    }

    /// Adds a frame. One that is too long is left out; the negotiated lengths never are.
    pub(super) fn push(&mut self, frame: &Frame<'_>) {
        let _ = frame.encode(&mut self.octets);
    }

    /// Lets the turn out at `at`.
    pub(super) fn release(&mut self, now: Instant, at: Instant) {
        self.state = if at > now { State::Held(at) } else { State::Ready };
    }

    /// Octets of the turn.
    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether it has not left yet.
    pub(super) fn is_unsent(&self) -> bool {
        self.state != State::Sent
    }

    pub(super) const fn held_until(&self) -> Option<Instant> {
        match self.state {
            State::Held(at) => Some(at),
            State::Sent | State::Ready => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.held_until().is_some_and(|at| at <= now) {
            self.state = State::Ready;
        }
    }

    pub(super) fn transmit(&mut self, out: &mut Vec<u8>) -> bool {
        if self.state != State::Ready {
            return false;
        }
        out.extend_from_slice(&self.octets);
        self.state = State::Sent;
        true
    }

    /// Whether `frame` is the next of ours to come back.
    pub(super) fn is_echo(&mut self, frame: &Frame<'_>) -> bool {
        if self.state != State::Sent {
            return false;
        }
        let mut at = self.echoed;
        while let Some(end) = self.end_of_frame(at) {
            let inner = at.saturating_add(1)..end.saturating_sub(1);
            let ours = self.octets.get(inner).map(Frame::decode);
            if ours.is_some_and(|ours| ours.as_ref() == Ok(frame)) {
                self.echoed = end;
                return true;
            }
            at = end;
        }
        false
    }

    /// The end of the frame that starts at `at`, its flags included.
    fn end_of_frame(&self, at: usize) -> Option<usize> {
        let [_, high, low] = *self.octets.get(at..)?.first_chunk::<3>()?;
        let length = usize::from(u16::from_be_bytes([high, low]) & 0x7FF);
        Some(at.saturating_add(length).saturating_add(2))
    }
}
