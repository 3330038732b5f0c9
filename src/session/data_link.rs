//! One set of verbs for both data links.

use std::time::Instant;

use super::hdlc_link::HdlcLink;
use super::link::{LinkCounters, LinkError, LinkEvent, Reply};
use super::patience::Pace;
use super::wrapper_link::WrapperLink;
use crate::error::Report;

/// The data link below an association.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one of these a session, never moved about")]
pub enum DataLink {
    /// HDLC, on serial lines and through transparent modems.
    Hdlc(HdlcLink),
    /// The TCP wrapper.
    Wrapper(WrapperLink),
}

macro_rules! delegate {
    ($self:ident, $link:ident => $call:expr) => {
        match $self {
            DataLink::Hdlc($link) => $call,
            DataLink::Wrapper($link) => $call,
        }
    };
}

impl From<HdlcLink> for DataLink {
    fn from(link: HdlcLink) -> Self {
        Self::Hdlc(link)
    }
}

impl From<WrapperLink> for DataLink {
    fn from(link: WrapperLink) -> Self {
        Self::Wrapper(link)
    }
}

impl DataLink {
    /// Sets the link up. Ends in `Connected` or `Failed`.
    pub fn connect(&mut self, now: Instant) {
        delegate!(self, link => link.connect(now));
    }

    /// The same with a single attempt: for a station that was silent before and shares its line with others.
    pub fn probe(&mut self, now: Instant) {
        delegate!(self, link => link.probe(now));
    }

    /// Sends an APDU.
    ///
    /// # Errors
    /// `NotConnected`; `Busy` while an answer is due; `TooLong` for more than the wrapper can carry.
    pub fn send(&mut self, now: Instant, apdu: &[u8], reply: Reply) -> Result<(), LinkError> {
        delegate!(self, link => link.send(now, apdu, reply))
    }

    /// Waits for an answer again, after one that turned out to be something else.
    pub fn await_reply(&mut self, now: Instant) {
        delegate!(self, link => link.await_reply(now));
    }

    /// Keeps an idle link alive, where the link has a means of its own.
    pub fn keep_alive(&mut self, now: Instant) {
        delegate!(self, link => link.keep_alive(now));
    }

    /// Takes the link down. Ends in `Disconnected`, with or without an answer.
    pub fn disconnect(&mut self, now: Instant) {
        delegate!(self, link => link.disconnect(now));
    }

    /// Whether the link is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        delegate!(self, link => link.is_connected())
    }

    /// Whether the link is up and waits for nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        delegate!(self, link => link.is_idle())
    }

    /// The published form of an error of this link.
    #[must_use]
    pub fn report(&self, error: LinkError) -> Report {
        match self {
            Self::Hdlc(_) => error.report(),
            Self::Wrapper(_) => error.wrapper_report(),
        }
    }

    /// How long it waits.
    pub(super) fn pace(&self) -> Pace {
        delegate!(self, link => link.pace())
    }

    /// What it has seen.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        delegate!(self, link => link.counters())
    }

    /// Takes received octets.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        delegate!(self, link => link.handle_input(now, bytes));
    }

    /// Acts on what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        delegate!(self, link => link.handle_timeout(now));
    }

    /// When [`Self::handle_timeout`] is due; `None` on an idle link.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        delegate!(self, link => link.poll_timeout())
    }

    /// Appends octets to send; false where there are none.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        delegate!(self, link => link.poll_transmit(out))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        delegate!(self, link => link.poll_event())
    }
}
