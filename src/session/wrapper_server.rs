//! The server's end of a wrapper link (IEC 62056-47), sans-IO.

use std::collections::VecDeque;
use std::time::Instant;

use super::link::LinkError;
use super::server_link::{Peers, ServerEvent};
use crate::wire::wrapper::{Deframer, Pdu};

/// One TCP connection of one or more clients.
#[derive(Debug)]
pub struct WrapperServer {
    /// wPorts of the logical devices; PDUs for others are dropped.
    servers: Vec<u16>,
    deframer: Deframer,
    /// Who asked last.
    peers: Option<Peers>,
    output: Vec<u8>,
    events: VecDeque<ServerEvent>,
}

impl WrapperServer {
    /// A server of the logical devices with these wPorts.
    #[must_use]
    pub fn new(servers: Vec<u16>) -> Self {
        Self {
            servers,
            deframer: Deframer::default(),
            peers: None,
            output: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Answers the latest request.
    ///
    /// # Errors
    /// `NotConnected` where nobody asked; `TooLong` over 65535 octets.
    pub fn reply(&mut self, _now: Instant, apdu: &[u8]) -> Result<(), LinkError> {
        let Peers { client, server } = self.peers.ok_or(LinkError::NotConnected)?;
        Pdu { source: server, destination: client, apdu }
            .encode(&mut self.output)
            .map_err(|_| LinkError::TooLong)
    }

    /// Takes received octets.
    pub fn handle_input(&mut self, _now: Instant, bytes: &[u8]) {
        self.deframer.feed(bytes);
        loop {
            match self.deframer.next() {
                Ok(Some(pdu)) if self.servers.contains(&pdu.destination) => {
                    let peers = Peers { client: pdu.source, server: pdu.destination };
                    self.peers = Some(peers);
                    self.events.push_back(ServerEvent::Apdu(peers, pdu.apdu.to_vec()));
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    let failed = ServerEvent::Failed(LinkError::NotWrapper(error));
                    if self.events.back() != Some(&failed) {
                        self.events.push_back(failed);
                    }
                    return;
                }
            }
        }
    }

    /// Does nothing: no time matters here.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// Always `None`.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Appends octets to send; false where there are none.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let any = !self.output.is_empty();
        out.append(&mut self.output);
        any
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::wrapper::WrapperError;

    #[test]
    fn answers_whom_it_was_asked_by() {
        let now = Instant::now();
        let mut server = WrapperServer::new(vec![1, 17]);
        assert_eq!(server.reply(now, b"x"), Err(LinkError::NotConnected));
        let mut octets = Vec::new();
        for (source, destination, apdu) in [(16, 17, b"public"), (1, 2, b"nobody"), (1, 1, b"manage")] {
            Pdu { source, destination, apdu }.encode(&mut octets).unwrap();
        }
        let mut found = Vec::new();
        for octet in octets {
            server.handle_input(now, &[octet]);
            while let Some(ServerEvent::Apdu(peers, apdu)) = server.poll_event() {
                server.reply(now, &apdu).unwrap();
                found.push((peers.client, peers.server));
            }
        }
        assert_eq!(found, [(16, 17), (1, 1)]);
        let mut out = Vec::new();
        assert!(server.poll_transmit(&mut out));
        let first = Pdu::decode(&out[..14]).unwrap();
        assert_eq!((first.source, first.destination, first.apdu), (17, 16, &b"public"[..]));
    }

    #[test]
    fn hdlc_is_told_once() {
        let now = Instant::now();
        let mut server = WrapperServer::new(vec![1]);
        server.handle_input(now, &[0x7E]);
        server.handle_input(now, &[0x7E]);
        let failed = ServerEvent::Failed(LinkError::NotWrapper(WrapperError::SpeaksHdlc));
        assert_eq!(server.poll_event(), Some(failed));
        assert_eq!(server.poll_event(), None);
    }
}
