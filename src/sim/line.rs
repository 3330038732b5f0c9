//! One connection to one or more simulated meters, sans-IO: framing, applications, and faults of the line.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::application::{Application, Replies};
use super::config::{Framing, MeterConfig};
use super::faults::Faults;
use super::meter::Meter;
use super::server::SpawnError;
use crate::session::{HdlcServer, HdlcServerConfig, Peers, ServerEvent, ServerLink, WrapperServer};
use crate::transport::Session;
use crate::wire::hdlc::{AddressSize, ClientAddress, Deframer, Frame, ServerAddress};

/// Between two pieces of a reply that is sent in pieces.
const CHUNK_PAUSE: Duration = Duration::from_millis(1);

/// What a line reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEvent {
    /// The meter wants the connection closed.
    HangUp,
}

/// A connection to the meters of a port.
pub struct Line {
    stations: Vec<Station>,
    staged: VecDeque<Piece>,
    state: State,
    now: Option<Instant>,
    replies: Replies,
    burst: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// What is sent from now on gets lost.
    Silent,
    /// To be closed when everything staged is out.
    Closing,
}

/// Octets that wait for their time.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

/// A link, and the meters that it leads to: one on HDLC, any number behind one wrapper.
struct Station {
    link: ServerLink,
    meters: Vec<Arc<Meter>>,
    applications: Vec<Application>,
    /// The meter that was spoken to last.
    latest: usize,
}

impl Line {
    /// A new connection to `meters`, which all have the same framing.
    ///
    /// # Errors
    /// Where an address does not fit the framing.
    pub fn new(meters: &[Arc<Meter>]) -> Result<Self, SpawnError> {
        let station = |link, meters| Station { link, meters, applications: Vec::new(), latest: 0 };
        let wrapped = meters.iter().all(|meter| meter.config().framing == Framing::Wrapper);
        let stations = if wrapped {
            let ports = meters.iter().map(|meter| meter.config().server_address.logical).collect();
            vec![station(ServerLink::Wrapper(WrapperServer::new(ports)), meters.to_vec())]
        } else {
            meters
                .iter()
                .map(|meter| Ok(station(hdlc_server(meter.config())?, vec![Arc::clone(meter)])))
                .collect::<Result<_, SpawnError>>()?
        };
        Ok(Self {
            stations,
            staged: VecDeque::new(),
            state: State::Open,
            now: None,
            replies: Replies::default(),
            burst: Vec::new(),
        })
    }

    /// Takes note that the connection broke.
    pub fn abandon(&mut self, now: Instant) {
        for application in self.stations.iter_mut().flat_map(|station| &mut station.applications) {
            application.abandon(now);
        }
    }

    fn run(&mut self, now: Instant) {
        self.now = Some(now);
        for station in &mut self.stations {
            station.run(now, &mut self.replies);
        }
    }
}

fn hdlc_server(config: &MeterConfig) -> Result<ServerLink, SpawnError> {
    let Framing::Hdlc(hdlc) = config.framing else { return Err(SpawnError::MixedFraming) };
    let addresses: Vec<ServerAddress> = match hdlc.address_size {
        Some(size) => vec![config.server_address.hdlc(Some(size))?],
        None => {
            let shortest = config.server_address.hdlc(None)?;
            let all = [AddressSize::One, AddressSize::Two, AddressSize::Four];
            let longer = all.into_iter().filter(|&size| size > shortest.size());
            let fitting = longer.filter_map(|size| config.server_address.hdlc(Some(size)).ok());
            std::iter::once(shortest).chain(fitting).collect()
        }
    };
    ClientAddress::new(u8::try_from(config.client_address).unwrap_or(u8::MAX))?;
    let mut server = HdlcServerConfig::new(addresses);
    server.limits = hdlc.parameters.clamped();
    Ok(ServerLink::Hdlc(HdlcServer::new(server)))
}

impl Station {
    fn run(&mut self, now: Instant, replies: &mut Replies) {
        while let Some(event) = self.link.poll_event() {
            match event {
                ServerEvent::Apdu(peers, apdu) => {
                    let Some(application) = self.application(peers) else { continue };
                    replies.clear();
                    application.handle(now, &apdu, replies);
                    for reply in replies.iter() {
                        if let Err(error) = self.link.reply(now, reply) {
                            tracing::debug!(%error, "a reply of the simulated meter is lost");
                        }
                    }
                }
                ServerEvent::Connected(peers) => self.with_application(peers, Application::forget),
                ServerEvent::Disconnected(peers) => self.with_application(peers, Application::disconnect),
                ServerEvent::Failed(error) => tracing::debug!(%error, "the simulated meter gives up"),
            }
        }
    }

    /// The application of the meter and the client that speak; one more where the client is new.
    fn application(&mut self, peers: Peers) -> Option<&mut Application> {
        self.latest = self.meter(peers)?;
        let meter = &self.meters[self.latest];
        let known = self.applications.iter().position(|application| {
            application.client() == peers.client && Arc::ptr_eq(application.meter(), meter)
        });
        let index = known.unwrap_or_else(|| {
            // A client that tries every address may not fill the memory.
            if self.applications.len() >= 16 {
                self.applications.remove(0);
            }
            self.applications.push(Application::new(Arc::clone(meter), peers.client));
            self.applications.len() - 1
        });
        self.applications.get_mut(index)
    }

    fn with_application(&mut self, peers: Peers, act: impl FnOnce(&mut Application)) {
        self.application(peers).map(act);
    }

    fn meter(&self, peers: Peers) -> Option<usize> {
        match self.link {
            ServerLink::Hdlc(_) => Some(0),
            ServerLink::Wrapper(_) => {
                self.meters.iter().position(|meter| meter.config().server_address.logical == peers.server)
            }
        }
    }
}

impl Session for Line {
    type Event = LineEvent;

    fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        for station in &mut self.stations {
            station.link.handle_input(now, bytes);
        }
        self.run(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        for station in &mut self.stations {
            if station.link.poll_timeout().is_some_and(|due| due <= now) {
                station.link.handle_timeout(now);
            }
        }
        self.run(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let links = self.stations.iter().filter_map(|station| station.link.poll_timeout());
        links.chain(self.staged.front().map(|piece| piece.due)).min()
    }

    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let Some(now) = self.now else { return false };
        for station in &mut self.stations {
            let meter = &station.meters[station.latest];
            if !meter.config().faults.touch_the_line() && self.state == State::Open {
                station.link.poll_transmit(out);
                continue;
            }
            self.burst.clear();
            if station.link.poll_transmit(&mut self.burst) {
                let wrapped = matches!(station.link, ServerLink::Wrapper(_));
                self.state = stage(meter, wrapped, self.state, now, &mut self.burst, &mut self.staged);
            }
        }
        let due = self.staged.partition_point(|piece| piece.due <= now);
        self.staged.drain(..due).for_each(|piece| out.extend_from_slice(&piece.bytes));
        out.len() > before
    }

    fn poll_event(&mut self) -> Option<LineEvent> {
        (self.state == State::Closing && self.staged.is_empty()).then_some(LineEvent::HangUp)
    }
}

/// Stages a reply with the faults of the meter; the state of the line afterwards.
fn stage(
    meter: &Meter,
    wrapped: bool,
    state: State,
    now: Instant,
    burst: &mut Vec<u8>,
    staged: &mut VecDeque<Piece>,
) -> State {
    if state != State::Open {
        return state;
    }
    let faults: &Faults = &meter.config().faults;
    let number = meter.count_reply();
    if faults.drop_after.is_some_and(|count| number > count.get()) {
        meter.forget_replies();
        return State::Closing;
    }
    if faults.stall_after.is_some_and(|count| number > count) {
        return State::Silent;
    }
    if faults.corrupt_fcs.hits(number)
        && let [.., check, _flag] = burst.as_mut_slice()
    {
        *check ^= 0x01;
    }
    if faults.wrong_address.hits(number) {
        *burst = if wrapped { from_other_port(burst) } else { from_other_station(burst) };
    }
    if faults.answer_twice.hits(number) {
        burst.extend_from_within(..);
    }
    let mut next = State::Open;
    if faults.close_mid_frame.is_some_and(|count| number == count.get()) {
        burst.truncate(burst.len() / 2);
        next = State::Closing;
    }
    let size = faults.chunk.map_or(burst.len(), |chunk| usize::try_from(chunk.get()).unwrap_or(usize::MAX));
    let mut due = staged.back().map_or(now, |last| last.due.max(now)) + faults.delay;
    for bytes in burst.chunks(size.max(1)) {
        staged.push_back(Piece { due, bytes: bytes.to_vec() });
        due += CHUNK_PAUSE;
    }
    next
}

/// The same frames, as another station would send them.
fn from_other_station(burst: &[u8]) -> Vec<u8> {
    let mut deframer = Deframer::new();
    deframer.feed(burst);
    let mut out = Vec::with_capacity(burst.len());
    while let Some(frame) = deframer.next() {
        let source = ServerAddress::decode(frame.source);
        let other = ServerAddress::new(source.upper() ^ 0x02, source.lower(), Some(source.size()));
        let source = other.map_or(frame.source, ServerAddress::encode);
        let _ = Frame { source, ..frame }.encode(&mut out);
    }
    out
}

/// The same PDU from another wPort.
fn from_other_port(burst: &[u8]) -> Vec<u8> {
    let mut out = burst.to_vec();
    if let Some(port) = out.get_mut(3) {
        *port ^= 0x02;
    }
    out
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::sim::config::{HdlcConfig, ServerSap};
    use crate::sim::faults::Every;
    use crate::sim::model::preset::Preset;
    use crate::wire::hdlc::Control;
    use crate::wire::wrapper::Pdu;

    const HDLC: Framing = Framing::Hdlc(HdlcConfig {
        parameters: crate::wire::hdlc::Parameters {
            max_info_tx: 128,
            max_info_rx: 128,
            window_tx: 1,
            window_rx: 1,
        },
        address_size: None,
    });

    fn config(framing: Framing, faults: Faults) -> MeterConfig {
        let mut config = MeterConfig::new(Preset::Water, 1, framing);
        config.faults = faults;
        config
    }

    fn line(config: MeterConfig) -> (Line, Arc<Meter>) {
        let meter = Arc::new(Meter::new(config));
        (Line::new(&[Arc::clone(&meter)]).unwrap(), meter)
    }

    fn wrapped(apdu: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Pdu { source: 16, destination: 1, apdu }.encode(&mut out).unwrap();
        out
    }

    /// A request that needs no association, and what the meter answers: exception-response.
    const REQUEST: [u8; 13] = [0xC0, 1, 0xC1, 0, 1, 0, 0, 0x60, 1, 0, 255, 2, 0];
    const NOTHING: [u8; 0] = [];
    const ANSWER: [u8; 11] = [0, 1, 0, 1, 0, 16, 0, 3, 0xD8, 1, 1];

    fn ask(line: &mut Line, now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        line.handle_input(now, &wrapped(&REQUEST));
        line.poll_transmit(&mut out);
        out
    }

    #[test]
    fn without_faults_every_request_is_answered() {
        let (mut line, _) = line(config(Framing::Wrapper, Faults::default()));
        let now = Instant::now();
        assert_eq!(ask(&mut line, now), ANSWER);
        let other = Pdu { source: 16, destination: 2, apdu: &REQUEST };
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        other.encode(&mut bytes).unwrap();
        line.handle_input(now, &bytes);
        assert!(!line.poll_transmit(&mut out), "nobody has this address");
        assert_eq!((line.poll_event(), line.poll_timeout()), (None, None));
    }

    #[test]
    fn faults_of_the_stream() {
        let nth = NonZeroU32::new;
        let now = Instant::now();
        let (mut dropping, _) =
            line(config(Framing::Wrapper, Faults { drop_after: nth(1), ..Faults::default() }));
        assert_eq!(ask(&mut dropping, now), ANSWER);
        assert_eq!(dropping.poll_event(), None);
        assert_eq!(ask(&mut dropping, now), NOTHING);
        assert_eq!(dropping.poll_event(), Some(LineEvent::HangUp));

        let (mut cutting, _) =
            line(config(Framing::Wrapper, Faults { close_mid_frame: nth(1), ..Faults::default() }));
        assert_eq!(ask(&mut cutting, now), ANSWER[..5]);
        assert_eq!(cutting.poll_event(), Some(LineEvent::HangUp));

        let (mut stalling, _) =
            line(config(Framing::Wrapper, Faults { stall_after: Some(1), ..Faults::default() }));
        assert_eq!(ask(&mut stalling, now), ANSWER);
        assert_eq!(ask(&mut stalling, now), NOTHING);
        assert_eq!(ask(&mut stalling, now), NOTHING);
        assert_eq!(stalling.poll_event(), None, "it stays open");

        let twice = Faults { answer_twice: Every::nth(2), ..Faults::default() };
        let (mut repeating, _) = line(config(Framing::Wrapper, twice));
        assert_eq!(ask(&mut repeating, now), ANSWER);
        assert_eq!(ask(&mut repeating, now), [ANSWER, ANSWER].concat());

        let wrong = Faults { wrong_address: Every::nth(1), ..Faults::default() };
        let (mut confused, _) = line(config(Framing::Wrapper, wrong));
        assert_eq!(ask(&mut confused, now)[..8], [0, 1, 0, 3, 0, 16, 0, 3]);
    }

    #[test]
    fn delays_and_pieces() {
        let faults = Faults { delay: Duration::from_secs(2), chunk: NonZeroU32::new(4), ..Faults::default() };
        let (mut line, _) = line(config(Framing::Wrapper, faults));
        let mut now = Instant::now();
        assert_eq!(ask(&mut line, now), NOTHING);
        let mut pieces = Vec::new();
        while let Some(due) = line.poll_timeout() {
            assert!(due > now);
            now = due;
            line.handle_timeout(now);
            let mut out = Vec::new();
            assert!(line.poll_transmit(&mut out));
            pieces.push(out);
        }
        assert_eq!(pieces, [&ANSWER[..4], &ANSWER[4..8], &ANSWER[8..]]);
    }

    fn set_up(line: &mut Line, physical: u16) -> Vec<u8> {
        let address = ServerAddress::new(1, Some(physical), None).unwrap();
        let (mut frame, mut out) = (Vec::new(), Vec::new());
        Frame {
            segmented: false,
            destination: address.encode(),
            source: ClientAddress::PUBLIC.encode(),
            control: Control::SetNormalResponseMode { poll: true },
            information: &[],
        }
        .encode(&mut frame)
        .unwrap();
        line.handle_input(Instant::now(), &frame);
        line.poll_transmit(&mut out);
        out
    }

    #[test]
    fn stations_of_one_line() {
        let station = |physical, faults| {
            let mut config = config(HDLC, faults);
            config.server_address = ServerSap { logical: 1, physical: Some(physical) };
            Arc::new(Meter::new(config))
        };
        let spoilt = Faults { corrupt_fcs: Every::nth(1), ..Faults::default() };
        let lost = Faults { wrong_address: Every::nth(1), ..Faults::default() };
        let meters = [station(17, Faults::default()), station(18, spoilt), station(19, lost)];
        let mut line = Line::new(&meters).unwrap();
        let source = |answer: &[u8]| Some(Frame::decode(answer.get(1..answer.len() - 1)?).ok()?.source);
        let address = |logical, physical| ServerAddress::new(logical, Some(physical), None).unwrap().encode();
        assert_eq!(source(&set_up(&mut line, 17)), Some(address(1, 17)));
        let damaged = set_up(&mut line, 18);
        assert_eq!((damaged.len() > 10, source(&damaged)), (true, None), "a wrong check sequence");
        assert_eq!(source(&set_up(&mut line, 19)), Some(address(3, 19)));
        assert_eq!(set_up(&mut line, 20), NOTHING, "nobody has this address");
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let mut beyond = config(HDLC, Faults::default());
        beyond.client_address = 200;
        assert!(matches!(Line::new(&[Arc::new(Meter::new(beyond))]), Err(SpawnError::Address(_))));
        let mut beyond = config(HDLC, Faults::default());
        beyond.server_address = ServerSap::logical(20_000);
        assert!(matches!(Line::new(&[Arc::new(Meter::new(beyond))]), Err(SpawnError::Address(_))));
    }
}
