//! The client's wrapper link (IEC 62056-47) on a TCP connection, sans-IO.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::link::{AddressCheck, LinkCounters, LinkError, LinkEvent, LinkParameters, Reply};
use super::patience::Pace;
use crate::wire::wrapper::{Deframer, Pdu};

/// What a wrapper link must know.
#[derive(Clone, Copy, Debug)]
pub struct WrapperConfig {
    /// Our wPort: the client address.
    pub client: u16,
    /// The server's wPort: the logical device.
    pub server: u16,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// Whose PDUs count as answers.
    pub address_check: AddressCheck,
    /// Octets of the longest APDU taken.
    pub max_apdu: u16,
}

impl WrapperConfig {
    /// With the usual defaults.
    #[must_use]
    pub const fn new(client: u16, server: u16) -> Self {
        Self {
            client,
            server,
            response_timeout: Duration::from_secs(5),
            address_check: AddressCheck::Tolerant,
            max_apdu: u16::MAX,
        }
    }
}

/// One link to one server. Nothing is sent twice: TCP sees to delivery.
#[derive(Debug)]
pub struct WrapperLink {
    config: WrapperConfig,
    deframer: Deframer,
    state: State,
    output: Vec<u8>,
    /// The latest PDU of other wPorts since the request.
    stranger: Option<LinkError>,
    counters: LinkCounters,
    events: VecDeque<LinkEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Idle,
    Waiting {
        due: Instant,
        /// Octets of an unfinished PDU that were there when the time was last extended.
        had: usize,
    },
}

/// A PDU that is coming in extends the time for an answer while each extension brings at least this
/// part of it: so a slow modem is waited for, and a peer that trickles octets is not.
const LEAST_PROGRESS: usize = 16;

impl WrapperLink {
    /// A link that is down, for a TCP connection that is up.
    #[must_use]
    pub fn new(config: WrapperConfig) -> Self {
        Self {
            config,
            deframer: Deframer::new(config.max_apdu),
            state: State::Down,
            output: Vec::new(),
            stranger: None,
            counters: LinkCounters::default(),
            events: VecDeque::new(),
        }
    }

    /// Is up at once: the wrapper has no handshake.
    pub fn connect(&mut self, _now: Instant) {
        self.state = State::Idle;
        self.deframer.clear();
        self.output.clear();
        self.events.push_back(LinkEvent::Connected(LinkParameters {
            max_send: u16::MAX,
            max_receive: self.config.max_apdu,
            send_window: 1,
            receive_window: 1,
        }));
    }

    /// The same: nothing is sent twice on the wrapper.
    pub fn probe(&mut self, now: Instant) {
        self.connect(now);
    }

    /// Sends an APDU.
    ///
    /// # Errors
    /// `NotConnected`; `Busy` while an answer is due; `TooLong` over 65535 octets.
    pub fn send(&mut self, now: Instant, apdu: &[u8], reply: Reply) -> Result<(), LinkError> {
        match self.state {
            State::Down => return Err(LinkError::NotConnected),
            State::Waiting { .. } => return Err(LinkError::Busy),
            State::Idle => {}
        }
        let WrapperConfig { client, server, .. } = self.config;
        Pdu { source: client, destination: server, apdu }
            .encode(&mut self.output)
            .map_err(|_| LinkError::TooLong)?;
        if reply == Reply::Expected {
            self.await_reply(now);
        }
        Ok(())
    }

    /// Waits for an answer again, after one that turned out to be something else.
    pub fn await_reply(&mut self, now: Instant) {
        // What came with the PDU that was something else may be the answer.
        let has_more = self.events.iter().any(|event| matches!(event, LinkEvent::Apdu(_)));
        if self.state != State::Down && !has_more {
            self.stranger = None;
            self.wait(now);
        }
    }

    /// Does nothing: the wrapper has no keep-alive.
    pub fn keep_alive(&mut self, _now: Instant) {}

    /// Is down at once.
    pub fn disconnect(&mut self, _now: Instant) {
        self.state = State::Down;
        self.events.push_back(LinkEvent::Disconnected);
    }

    /// Whether the link is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state != State::Down
    }

    /// Whether the link is up and waits for nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// How long it waits.
    pub(super) const fn pace(&self) -> Pace {
        Pace { silence: self.config.response_timeout, octet_time: Duration::ZERO }
    }

    /// What it has seen.
    #[must_use]
    pub const fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Takes received octets.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.state == State::Down {
            return;
        }
        self.deframer.feed(bytes);
        loop {
            match self.deframer.next() {
                Ok(Some(pdu)) => {
                    self.counters.frames = self.counters.frames.saturating_add(1);
                    match origin(&self.config, &pdu) {
                        Origin::Foreign => {
                            self.counters.foreign = self.counters.foreign.saturating_add(1);
                            self.stranger = Some(LinkError::WrapperAddress {
                                source_port: pdu.source,
                                destination_port: pdu.destination,
                            });
                            continue;
                        }
                        Origin::Tolerated => {
                            self.counters.tolerated_addresses =
                                self.counters.tolerated_addresses.saturating_add(1);
                        }
                        Origin::Ours => {}
                    }
                    let octets = u64::try_from(pdu.apdu.len()).unwrap_or(u64::MAX);
                    self.counters.octets = self.counters.octets.saturating_add(octets);
                    self.state = State::Idle;
                    self.events.push_back(LinkEvent::Apdu(pdu.apdu.to_vec()));
                }
                Ok(None) => break,
                Err(error) => {
                    self.fail(LinkError::NotWrapper(error));
                    return;
                }
            }
        }
        self.handle_timeout(now);
    }

    /// Acts on what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let State::Waiting { due, had } = self.state else { return };
        if due > now {
            return;
        }
        let has = self.deframer.pending();
        let step = self.deframer.expected().map(|whole| whole.div_ceil(LEAST_PROGRESS));
        if step.is_some_and(|step| has >= had.saturating_add(step)) {
            self.wait(now);
        } else {
            self.fail(self.stranger.unwrap_or(LinkError::Timeout));
        }
    }

    /// When [`Self::handle_timeout`] is due; `None` on an idle link.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { due, .. } => Some(due),
            State::Down | State::Idle => None,
        }
    }

    /// Appends octets to send; false where there are none.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let any = !self.output.is_empty();
        out.append(&mut self.output);
        any
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    fn wait(&mut self, now: Instant) {
        let due = now.checked_add(self.config.response_timeout).unwrap_or(now);
        self.state = State::Waiting { due, had: self.deframer.pending() };
    }

    fn fail(&mut self, error: LinkError) {
        self.state = State::Down;
        self.events.push_back(LinkEvent::Failed(error));
    }
}

/// For whom a PDU is.
enum Origin {
    Ours,
    /// For us by wPorts that are wrong in a known way: not swapped in the answer, or source 0.
    Tolerated,
    Foreign,
}

fn origin(config: &WrapperConfig, pdu: &Pdu<'_>) -> Origin {
    let ports = (pdu.source, pdu.destination);
    if ports == (config.server, config.client) {
        Origin::Ours
    } else if config.address_check == AddressCheck::Ignored
        || ports == (config.client, config.server)
        || ports == (0, config.client)
    {
        Origin::Tolerated
    } else {
        Origin::Foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::wire::wrapper::WrapperError;

    fn up() -> (WrapperLink, Instant) {
        let mut link = WrapperLink::new(WrapperConfig::new(16, 1));
        let now = Instant::now();
        assert_eq!(link.send(now, b"x", Reply::None), Err(LinkError::NotConnected));
        link.connect(now);
        assert!(matches!(link.poll_event(), Some(LinkEvent::Connected(_))));
        (link, now)
    }

    fn pdu(source: u16, destination: u16, apdu: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Pdu { source, destination, apdu }.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn request_and_answer() {
        let (mut link, now) = up();
        link.send(now, b"request", Reply::Expected).unwrap();
        assert_eq!(link.send(now, b"x", Reply::None), Err(LinkError::Busy));
        let mut out = Vec::new();
        assert!(link.poll_transmit(&mut out));
        assert!(!link.poll_transmit(&mut out));
        assert_eq!(out, pdu(16, 1, b"request"));
        assert_eq!(link.poll_timeout(), Some(now + Duration::from_secs(5)));
        let answer = pdu(1, 16, b"answer");
        link.handle_input(now, &answer[..9]);
        assert_eq!(link.poll_event(), None);
        link.handle_input(now, &answer[9..]);
        assert_eq!(link.poll_event(), Some(LinkEvent::Apdu(b"answer".to_vec())));
        assert_eq!(link.poll_timeout(), None);
        assert!(link.is_idle());
        link.disconnect(now);
        assert_eq!(link.poll_event(), Some(LinkEvent::Disconnected));
        assert!(!link.is_connected());
    }

    #[test]
    fn an_answer_that_came_with_something_else_is_not_waited_for_again() {
        let (mut link, now) = up();
        link.send(now, b"request", Reply::Expected).unwrap();
        link.handle_input(now, &[pdu(1, 16, b"stale"), pdu(1, 16, b"answer")].concat());
        assert_eq!(link.poll_event(), Some(LinkEvent::Apdu(b"stale".to_vec())));
        link.await_reply(now);
        assert_eq!(link.poll_event(), Some(LinkEvent::Apdu(b"answer".to_vec())));
        assert!(link.is_idle());
        link.await_reply(now);
        assert!(link.poll_timeout().is_some(), "nothing else has come");
    }

    #[test]
    fn silence_and_strangers() {
        for (input, error) in [
            (vec![], LinkError::Timeout),
            (pdu(2, 16, b"answer"), LinkError::WrapperAddress { source_port: 2, destination_port: 16 }),
            (vec![0x7E, 0xA0], LinkError::NotWrapper(WrapperError::SpeaksHdlc)),
            (b"/ISK5".to_vec(), LinkError::NotWrapper(WrapperError::SpeaksIec62056)),
        ] {
            let (mut link, now) = up();
            link.send(now, b"request", Reply::Expected).unwrap();
            link.handle_input(now, &input);
            link.handle_timeout(now + Duration::from_secs(5));
            assert_eq!(link.poll_event(), Some(LinkEvent::Failed(error)));
            assert_eq!(link.poll_timeout(), None);
        }
        let report = LinkError::NotWrapper(WrapperError::SpeaksHdlc).report();
        assert_eq!(report.code, Code::Decode);
        assert!(report.message.contains("HDLC"));
        let stranger = LinkError::WrapperAddress { source_port: 2, destination_port: 16 };
        assert_eq!(stranger.report().code, Code::WrapperAddress);
    }

    #[test]
    fn tolerated_addresses() {
        for (source, destination) in [(16, 1), (0, 16)] {
            let (mut link, now) = up();
            link.send(now, b"request", Reply::Expected).unwrap();
            link.handle_input(now, &pdu(source, destination, b"answer"));
            assert_eq!(link.poll_event(), Some(LinkEvent::Apdu(b"answer".to_vec())));
            assert_eq!(link.counters().tolerated_addresses, 1);
        }
        let mut link = WrapperLink::new(WrapperConfig {
            address_check: AddressCheck::Ignored,
            ..WrapperConfig::new(16, 1)
        });
        let now = Instant::now();
        link.connect(now);
        link.poll_event();
        link.handle_input(now, &pdu(7, 8, b"answer"));
        assert_eq!(link.poll_event(), Some(LinkEvent::Apdu(b"answer".to_vec())));
    }

    /// Feeds an answer at a steady rate; the end of it, or the failure.
    fn feed(octets: usize, each: Duration) -> LinkEvent {
        let (mut link, mut now) = up();
        link.send(now, b"request", Reply::Expected).unwrap();
        for octet in pdu(1, 16, &vec![1; 60_000]).chunks(octets) {
            now += each;
            link.handle_input(now, octet);
            if let Some(event) = link.poll_event() {
                return event;
            }
        }
        panic!("it waits for ever");
    }

    #[test]
    fn a_slow_modem_is_waited_for_and_a_trickle_is_not() {
        assert!(matches!(feed(1000, Duration::from_secs(1)), LinkEvent::Apdu(_)));
        assert_eq!(feed(1, Duration::from_secs(1)), LinkEvent::Failed(LinkError::Timeout));
    }
}
