//! What the servers of both data links speak of, and one set of verbs for them.

use std::time::Instant;

use super::hdlc_server::HdlcServer;
use super::link::LinkError;
use super::wrapper_server::WrapperServer;

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peers {
    /// The client's address: HDLC SAP or wPort.
    pub client: u16,
    /// The logical device addressed: the upper HDLC address or the wPort.
    pub server: u16,
}

/// What a server's link reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// A client set the link up, perhaps anew: any association is lost. Wrapper links never say so.
    Connected(Peers),
    /// A whole request. Answer it with `reply`.
    Apdu(Peers, Vec<u8>),
    /// The client took the link down, or another client took it over.
    Disconnected(Peers),
    /// The link is of no more use.
    Failed(LinkError),
}

/// The server's end of a data link.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one of these a connection, never moved about")]
pub enum ServerLink {
    /// HDLC.
    Hdlc(HdlcServer),
    /// The TCP wrapper.
    Wrapper(WrapperServer),
}

macro_rules! delegate {
    ($self:ident, $link:ident => $call:expr) => {
        match $self {
            ServerLink::Hdlc($link) => $call,
            ServerLink::Wrapper($link) => $call,
        }
    };
}

impl ServerLink {
    /// Answers the latest request.
    ///
    /// # Errors
    /// `NotConnected` where nobody asked; `Busy` while an earlier answer is being sent; `TooLong` for
    /// more than the wrapper can carry.
    pub fn reply(&mut self, now: Instant, apdu: &[u8]) -> Result<(), LinkError> {
        delegate!(self, link => link.reply(now, apdu))
    }

    /// Takes received octets.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        delegate!(self, link => link.handle_input(now, bytes));
    }

    /// Acts on what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        delegate!(self, link => link.handle_timeout(now));
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        delegate!(self, link => link.poll_timeout())
    }

    /// Appends octets to send; false where there are none.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        delegate!(self, link => link.poll_transmit(out))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        delegate!(self, link => link.poll_event())
    }
}
