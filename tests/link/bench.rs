//! A client link on a bench: a scripted meter and a clock that only moves when told.

use std::time::{Duration, Instant};

use dlms2mqtt::session::{HdlcConfig, HdlcLink, LinkEvent, LinkParameters, Reply};
use dlms2mqtt::wire::hdlc::{ClientAddress, Control, Deframer, Frame, Parameters, ServerAddress};

/// A frame that the link sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) control: u8,
    pub(crate) segmented: bool,
    pub(crate) information: Vec<u8>,
}

pub(crate) struct Bench {
    pub(crate) link: HdlcLink,
    pub(crate) now: Instant,
    config: HdlcConfig,
    deframer: Deframer,
}

pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
pub(crate) const LLC: [u8; 3] = [0xE6, 0xE7, 0x00];

/// Client 16, meter 1/17, five seconds and three retries.
pub(crate) fn config() -> HdlcConfig {
    HdlcConfig::new(ClientAddress::PUBLIC, ServerAddress::new(1, Some(17), None).unwrap())
}

impl Bench {
    pub(crate) fn new(config: HdlcConfig) -> Self {
        Self { link: HdlcLink::new(config), now: Instant::now(), config, deframer: Deframer::new() }
    }

    /// A link that is up with these parameters in the UA.
    pub(crate) fn connected(mut config: HdlcConfig, ua: Parameters) -> Self {
        config.proposal = Parameters { max_info_tx: 2030, max_info_rx: 2030, window_tx: 7, window_rx: 7 };
        let mut bench = Self::new(config);
        bench.link.connect(bench.now);
        assert_eq!(bench.controls(), [0x93]);
        let mut information = Vec::new();
        ua.encode(&mut information);
        bench.answer(0x73, &information);
        assert!(matches!(bench.link.poll_event(), Some(LinkEvent::Connected(_))));
        bench
    }

    pub(crate) fn up() -> Self {
        Self::connected(config(), Parameters::default())
    }

    /// What the link sends now.
    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        let mut octets = Vec::new();
        while self.link.poll_transmit(&mut octets) {}
        self.deframer.feed(&octets);
        let mut found = Vec::new();
        while let Some(frame) = self.deframer.next() {
            assert_eq!(frame.source, self.config.client.encode());
            assert_eq!(frame.destination, self.config.server.encode());
            found.push(Sent {
                control: frame.control.encode(),
                segmented: frame.segmented,
                information: frame.information.to_vec(),
            });
        }
        found
    }

    pub(crate) fn controls(&mut self) -> Vec<u8> {
        self.sent().iter().map(|frame| frame.control).collect()
    }

    /// The octets of an answer of the meter.
    pub(crate) fn frame(&self, control: u8, segmented: bool, information: &[u8]) -> Vec<u8> {
        let mut octets = Vec::new();
        Frame {
            segmented,
            destination: self.config.client.encode(),
            source: self.config.server.encode(),
            control: Control::decode(control).unwrap(),
            information,
        }
        .encode(&mut octets)
        .unwrap();
        octets
    }

    pub(crate) fn answer(&mut self, control: u8, information: &[u8]) {
        let octets = self.frame(control, false, information);
        self.receive(&octets);
    }

    pub(crate) fn answer_segment(&mut self, control: u8, information: &[u8]) {
        let octets = self.frame(control, true, information);
        self.receive(&octets);
    }

    pub(crate) fn receive(&mut self, octets: &[u8]) {
        self.link.handle_input(self.now, octets);
    }

    pub(crate) fn send(&mut self, apdu: &[u8]) {
        self.link.send(self.now, apdu, Reply::Expected).unwrap();
    }

    /// Lets time pass, to the link's deadlines on the way, until it sends something or reports something.
    pub(crate) fn pass(&mut self, duration: Duration) -> Vec<Sent> {
        let end = self.now + duration;
        let mut sent = Vec::new();
        while let Some(at) = self.link.poll_timeout().filter(|&at| at <= end) {
            assert!(at >= self.now, "a deadline in the past");
            self.now = at;
            self.link.handle_timeout(at);
            assert_ne!(self.link.poll_timeout(), Some(at), "a deadline that does not move");
            sent.extend(self.sent());
        }
        self.now = end;
        sent
    }

    pub(crate) fn event(&mut self) -> Option<LinkEvent> {
        self.link.poll_event()
    }
}

pub(crate) fn with_llc(apdu: &[u8]) -> Vec<u8> {
    [&LLC[..], apdu].concat()
}

pub(crate) fn parameters(max_info: u16, window: u8) -> Parameters {
    Parameters { max_info_tx: max_info, max_info_rx: max_info, window_tx: window, window_rx: window }
}

pub(crate) const DEFAULTS: LinkParameters =
    LinkParameters { max_send: 128, max_receive: 128, send_window: 1, receive_window: 1 };
