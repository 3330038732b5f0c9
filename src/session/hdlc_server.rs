//! The server's HDLC data link (IEC 62056-46, normal response mode), sans-IO: a meter's end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::link::LinkError;
use super::reassembly::{Reassembled, Reassembly, Segment};
use super::send_window::SendWindow;
use super::server_link::{Peers, ServerEvent};
use crate::wire::hdlc::{
    ClientAddress, Control, Deframer, Frame, LLC_RESPONSE, Parameters, RawAddress, Sequence, ServerAddress,
};

/// What a server must know.
#[derive(Clone, Debug)]
pub struct HdlcServerConfig {
    /// Its addresses, each in each size that it answers to.
    pub addresses: Vec<ServerAddress>,
    /// The clients that it serves; none means all.
    pub clients: Vec<ClientAddress>,
    /// The most that it negotiates, from its own view.
    pub limits: Parameters,
    /// Octets of the longest request.
    pub max_apdu: usize,
    /// How long a request may be worked on before the client is told (RR) that it has arrived.
    pub acknowledge_after: Duration,
    /// The longest gap inside a frame.
    pub inter_octet_timeout: Duration,
}

impl HdlcServerConfig {
    /// With the defaults of the profile.
    #[must_use]
    pub fn new(addresses: Vec<ServerAddress>) -> Self {
        Self {
            addresses,
            clients: Vec::new(),
            limits: Parameters::default(),
            max_apdu: 64 * 1024,
            acknowledge_after: Duration::from_millis(200),
            inter_octet_timeout: Duration::from_millis(500),
        }
    }
}

/// The data link of a meter: one client at a time, the latest that asked.
#[derive(Debug)]
pub struct HdlcServer {
    config: HdlcServerConfig,
    deframer: Deframer,
    gap: Option<Instant>,
    connection: Option<Connection>,
    output: Vec<u8>,
    events: VecDeque<ServerEvent>,
}

#[derive(Debug)]
struct Connection {
    peers: Peers,
    /// Our address, as the client writes it.
    us: RawAddress,
    them: RawAddress,
    parameters: Parameters,
    window: SendWindow,
    /// V(R).
    receive: Sequence,
    incoming: Reassembly,
    turn: Turn,
    /// Whether a request waits for its answer.
    working: bool,
}

/// A server speaks only when asked to (P = 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Theirs,
    /// Ours, at the latest then.
    Ours(Instant),
}

impl HdlcServer {
    /// A server whose link is down.
    #[must_use]
    pub fn new(config: HdlcServerConfig) -> Self {
        Self {
            config,
            deframer: Deframer::new(),
            gap: None,
            connection: None,
            output: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Answers the latest request.
    ///
    /// # Errors
    /// `NotConnected`; `Busy` while an earlier answer is being sent.
    pub fn reply(&mut self, _now: Instant, apdu: &[u8]) -> Result<(), LinkError> {
        let connection = self.connection.as_mut().ok_or(LinkError::NotConnected)?;
        if !connection.window.is_done() {
            return Err(LinkError::Busy);
        }
        connection.working = false;
        connection.window.load(LLC_RESPONSE, apdu, connection.parameters.max_info_tx);
        if connection.turn != Turn::Theirs {
            connection.speak(&mut self.output);
        }
        Ok(())
    }

    /// Sends an APDU in UI frames, unasked, from and to any addresses.
    pub fn push(&mut self, source: RawAddress, destination: RawAddress, apdu: &[u8]) {
        let information = [&LLC_RESPONSE[..], apdu].concat();
        let mut segments = information.chunks(usize::from(self.config.limits.max_info_tx.max(1))).peekable();
        while let Some(information) = segments.next() {
            let segmented = segments.peek().is_some();
            let control = Control::UnnumberedInformation { poll: !segmented };
            // Never too long: a segment is shorter than the longest frame.
            let _ = Frame { segmented, destination, source, control, information }.encode(&mut self.output);
        }
    }

    /// Whether a client holds the link.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Drops the link without a word, as a meter that lost its power.
    pub fn reset(&mut self) {
        self.connection = None;
        self.output.clear();
        self.deframer.clear();
    }

    /// Takes received octets.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.deframer.feed(bytes);
        self.drain(now);
        let gap = now.checked_add(self.config.inter_octet_timeout).unwrap_or(now);
        self.gap = self.deframer.is_mid_frame().then_some(gap);
    }

    /// Acts on what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.gap.is_some_and(|at| at <= now) {
            self.gap = None;
            self.deframer.gap();
            self.drain(now);
        }
        if let Some(connection) = &mut self.connection
            && let Turn::Ours(latest) = connection.turn
            && latest <= now
        {
            connection.speak(&mut self.output);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let turn = self.connection.as_ref().and_then(|connection| match connection.turn {
            Turn::Ours(latest) => Some(latest),
            Turn::Theirs => None,
        });
        [self.gap, turn].into_iter().flatten().min()
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

    fn drain(&mut self, now: Instant) {
        // The frame borrows from the deframer, the handling needs the rest.
        let mut deframer = std::mem::take(&mut self.deframer);
        while let Some(frame) = deframer.next() {
            self.handle_frame(now, &frame);
        }
        self.deframer = deframer;
    }

    fn handle_frame(&mut self, now: Instant, frame: &Frame<'_>) {
        let Some(client) = ClientAddress::decode(frame.source) else { return };
        let server = ServerAddress::decode(frame.destination);
        let known = self.config.addresses.iter().any(|address| address.encode() == frame.destination);
        if !known || !self.config.clients.is_empty() && !self.config.clients.contains(&client) {
            return;
        }
        let peers = Peers { client: u16::from(client.sap()), server: server.upper() };
        match frame.control {
            Control::SetNormalResponseMode { .. } => self.set_up(peers, frame),
            Control::Disconnect { .. } => self.take_down(peers, frame),
            Control::Information { .. } | Control::ReceiveReady { .. } | Control::ReceiveNotReady { .. } => {
                self.handle_numbered(now, peers, frame);
            }
            // Nothing that a client sends.
            Control::UnnumberedAcknowledge { .. }
            | Control::DisconnectedMode { .. }
            | Control::FrameReject { .. }
            | Control::UnnumberedInformation { .. } => {}
        }
    }

    fn set_up(&mut self, peers: Peers, frame: &Frame<'_>) {
        let proposal = Parameters::decode(frame.information).unwrap_or_default();
        let parameters = self.config.limits.answer(&proposal);
        if let Some(former) = self.connection.take().filter(|former| former.peers != peers) {
            self.events.push_back(ServerEvent::Disconnected(former.peers));
        }
        self.connection = Some(Connection {
            peers,
            us: frame.destination,
            them: frame.source,
            parameters,
            window: SendWindow::default(),
            receive: Sequence::ZERO,
            incoming: Reassembly::new(self.config.max_apdu),
            turn: Turn::Theirs,
            working: false,
        });
        let mut information = Vec::new();
        parameters.encode(&mut information);
        answer(&mut self.output, frame, Control::UA, &information);
        self.events.push_back(ServerEvent::Connected(peers));
    }

    fn take_down(&mut self, peers: Peers, frame: &Frame<'_>) {
        match self.connection.take_if(|connection| connection.peers == peers) {
            Some(_) => {
                answer(&mut self.output, frame, Control::UA, &[]);
                self.events.push_back(ServerEvent::Disconnected(peers));
            }
            None => answer(&mut self.output, frame, Control::DM, &[]),
        }
    }

    fn handle_numbered(&mut self, now: Instant, peers: Peers, frame: &Frame<'_>) {
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.peers == peers) else {
            if frame.control.poll() {
                answer(&mut self.output, frame, Control::DM, &[]);
            }
            return;
        };
        let request = match connection.take(frame) {
            Taken::Request(apdu) => Some(apdu),
            Taken::Nothing => None,
            Taken::TooLong => {
                let rejected = [frame.control.encode(), 0, TOO_LONG];
                answer(&mut self.output, frame, Control::FrameReject { poll: true }, &rejected);
                self.connection = None;
                self.events.push_back(ServerEvent::Disconnected(peers));
                return;
            }
        };
        if frame.control.poll() {
            match request {
                Some(_) => {
                    let latest = now.checked_add(self.config.acknowledge_after).unwrap_or(now);
                    connection.turn = Turn::Ours(latest);
                }
                None => connection.speak(&mut self.output),
            }
        }
        self.events.extend(request.map(|apdu| ServerEvent::Apdu(peers, apdu)));
    }
}

/// FRMR reason Y: the information field is too long.
const TOO_LONG: u8 = 0x20;

/// The effect of a numbered frame.
enum Taken {
    Nothing,
    Request(Vec<u8>),
    TooLong,
}

impl Connection {
    fn take(&mut self, frame: &Frame<'_>) -> Taken {
        let (Control::Information { receive, .. }
        | Control::ReceiveReady { receive, .. }
        | Control::ReceiveNotReady { receive, .. }) = frame.control
        else {
            return Taken::Nothing;
        };
        self.window.acknowledge(receive);
        match frame.control {
            Control::Information { send, .. } if send == self.receive => {}
            _ => return Taken::Nothing,
        }
        self.receive = self.receive.next();
        match self.incoming.push(frame.information, Segment::of(frame.segmented)) {
            Reassembled::Partial => Taken::Nothing,
            Reassembled::Whole { apdu, .. } => {
                self.working = true;
                Taken::Request(apdu)
            }
            Reassembled::TooLong => Taken::TooLong,
        }
    }

    /// Says what there is to say: what is not acknowledged of the answer, else RR.
    fn speak(&mut self, output: &mut Vec<u8>) {
        self.turn = Turn::Theirs;
        let (source, destination, receive) = (self.us, self.them, self.receive);
        if self.window.is_done() {
            let control = Control::ReceiveReady { receive, poll: true };
            let _ = Frame { segmented: false, destination, source, control, information: &[] }.encode(output);
            return;
        }
        for out in self.window.turn(self.parameters.window_tx) {
            let control = Control::Information { send: out.number, receive, poll: out.ends_turn };
            let _ = Frame {
                segmented: out.segmented,
                destination,
                source,
                control,
                information: out.information,
            }
            .encode(output);
        }
    }
}

fn answer(output: &mut Vec<u8>, to: &Frame<'_>, control: Control, information: &[u8]) {
    // Never too long: these fields are short.
    let _ = Frame { segmented: false, destination: to.source, source: to.destination, control, information }
        .encode(output);
}
