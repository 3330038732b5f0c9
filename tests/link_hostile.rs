//! Links against peers that send anything: they don't panic, don't spin, and keep what they hold bounded.

use std::time::{Duration, Instant};

use dlms2mqtt::session::{
    HdlcConfig, HdlcLink, HdlcServer, HdlcServerConfig, LinkError, LinkEvent, PushListener, Reply,
    ServerEvent, WrapperConfig, WrapperLink, WrapperServer,
};
use dlms2mqtt::wire::hdlc::{ClientAddress, Control, Frame, Parameters, RawAddress, ServerAddress};
use dlms2mqtt::wire::wrapper::Pdu;

const US: &[u8] = &[0x21];
const THEM: &[u8] = &[0x02, 0x23];

fn address(bytes: &[u8]) -> RawAddress {
    RawAddress::parse(bytes).unwrap()
}

/// Octets that a bad peer could send to a station with address `to`, from `from`.
fn octets(random: &mut fastrand::Rng, to: &[u8], from: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    for _ in 0..random.usize(1..4) {
        match random.u8(0..10) {
            0 => octets.extend((0..random.usize(0..60)).map(|_| random.u8(..))),
            1 => octets.extend([0x7E, 0xA7, 0xFF, 0x21, 0x02].iter().take(random.usize(1..=5))),
            _ => {
                let control = loop {
                    if let Ok(control) = Control::decode(random.u8(..)) {
                        break control;
                    }
                };
                let information: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
                let (destination, source) = if random.u8(0..10) == 0 { (from, to) } else { (to, from) };
                let frame = Frame {
                    segmented: random.bool(),
                    destination: address(destination),
                    source: address(source),
                    control,
                    information: &information,
                };
                let start = octets.len();
                frame.encode(&mut octets).unwrap();
                if random.u8(0..6) == 0 {
                    let at = random.usize(start..octets.len());
                    octets[at] ^= 1 << random.u8(0..8);
                }
            }
        }
    }
    octets
}

/// The verbs that every station has.
trait Station {
    fn handle_input(&mut self, now: Instant, bytes: &[u8]);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool;
    /// Takes every event; how many there were.
    fn take_events(&mut self) -> usize;
}

macro_rules! station {
    ($($station:ty),*) => {$(
        impl Station for $station {
            fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
                self.handle_input(now, bytes);
            }
            fn handle_timeout(&mut self, now: Instant) {
                self.handle_timeout(now);
            }
            fn poll_timeout(&self) -> Option<Instant> {
                self.poll_timeout()
            }
            fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
                self.poll_transmit(out)
            }
            fn take_events(&mut self) -> usize {
                std::iter::from_fn(|| self.poll_event()).count()
            }
        }
    )*};
}

station!(HdlcLink, HdlcServer, WrapperLink, WrapperServer, PushListener);

/// Feeds octets in pieces, lets time pass, and watches that each deadline is worked off.
fn attack<S: Station>(
    station: &mut S,
    random: &mut fastrand::Rng,
    now: &mut Instant,
    octets: &[u8],
) -> (usize, usize) {
    let mut out = Vec::new();
    let mut events = 0;
    let mut rest = octets;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.usize(1..=rest.len()));
        rest = behind;
        station.handle_input(*now, piece);
        events += station.take_events();
        station.poll_transmit(&mut out);
        let until = *now + Duration::from_millis(random.u64(0..3) * random.u64(0..3000));
        let mut deadlines = 0;
        while let Some(at) = station.poll_timeout().filter(|&at| at <= until) {
            *now = at.max(*now);
            station.handle_timeout(*now);
            events += station.take_events();
            station.poll_transmit(&mut out);
            deadlines += 1;
            assert!(deadlines < 200, "a busy loop");
        }
        *now = until;
    }
    (events, out.len())
}

fn server_address() -> ServerAddress {
    ServerAddress::decode(address(THEM))
}

#[test]
fn a_client_link() {
    let mut ups = 0;
    let mut sent = 0;
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut now = Instant::now();
        let mut config = HdlcConfig::new(ClientAddress::PUBLIC, server_address());
        config.proposal = Parameters { window_tx: 3, window_rx: 3, ..Parameters::default() };
        let mut link = HdlcLink::new(config);
        for _ in 0..40 {
            if !link.is_connected() {
                link.connect(now);
                let mut ua = Vec::new();
                Frame {
                    segmented: false,
                    destination: address(US),
                    source: address(THEM),
                    control: Control::UA,
                    information: &[],
                }
                .encode(&mut ua)
                .unwrap();
                attack(&mut link, &mut random, &mut now, &ua);
                ups += u32::from(link.is_connected());
            }
            match random.u8(0..6) {
                0 => link.keep_alive(now),
                1 => link.await_reply(now),
                2 => link.disconnect(now),
                _ => {
                    let reply = if random.bool() { Reply::Expected } else { Reply::None };
                    let _ = link.send(now, &vec![1; random.usize(0..1000)], reply);
                }
            }
            let input = octets(&mut random, US, THEM);
            let (events, octets) = attack(&mut link, &mut random, &mut now, &input);
            assert!(events <= 100, "{events} events");
            sent += octets;
        }
        // Whatever it waits for ends.
        let mut deadlines = 0;
        while let Some(at) = link.poll_timeout() {
            now = at.max(now);
            link.handle_timeout(now);
            link.poll_transmit(&mut Vec::new());
            deadlines += 1;
            assert!(deadlines < 200, "seed {seed}: it waits for ever");
        }
    }
    assert!(ups > 1000 && sent > 100_000, "{ups} {sent}");
}

#[test]
fn a_server_link() {
    let mut requests = 0;
    let mut sent = 0;
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut now = Instant::now();
        let mut server = HdlcServer::new(HdlcServerConfig::new(vec![server_address()]));
        for _ in 0..60 {
            let mut input = octets(&mut random, THEM, US);
            if !server.is_connected() {
                Frame {
                    segmented: false,
                    destination: address(THEM),
                    source: address(US),
                    control: Control::SNRM,
                    information: &[],
                }
                .encode(&mut input)
                .unwrap();
            }
            server.handle_input(now, &input);
            while let Some(event) = server.poll_event() {
                if let ServerEvent::Apdu(_, apdu) = event {
                    requests += 1;
                    let _ = server.reply(now, &apdu.repeat(random.usize(0..20)));
                }
            }
            let input = octets(&mut random, THEM, US);
            sent += attack(&mut server, &mut random, &mut now, &input).1;
        }
    }
    assert!(requests > 500 && sent > 100_000, "{requests} {sent}");
}

#[test]
fn wrapper_links_and_listeners() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut now = Instant::now();
        let mut link = WrapperLink::new(WrapperConfig::new(16, 1));
        let mut server = WrapperServer::new(vec![1]);
        let mut listener = PushListener::new(4096, Duration::from_millis(500));
        for _ in 0..40 {
            if !link.is_connected() {
                link.connect(now);
            }
            let _ = link.send(now, &[1; 40], Reply::Expected);
            let mut input = Vec::new();
            for _ in 0..random.usize(1..4) {
                let apdu: Vec<u8> = (0..random.usize(1..80)).map(|_| random.u8(..)).collect();
                let pdu = Pdu { source: random.u16(0..3), destination: random.u16(0..18), apdu: &apdu };
                pdu.encode(&mut input).unwrap();
            }
            if random.u8(0..8) == 0 {
                let at = random.usize(0..input.len());
                input[at] = random.u8(..);
            }
            attack(&mut link, &mut random, &mut now, &input);
            attack(&mut server, &mut random, &mut now, &input);
            if random.bool() {
                input = octets(&mut random, &[0xCF], THEM);
            }
            attack(&mut listener, &mut random, &mut now, &input);
        }
    }
}

#[test]
fn segments_without_an_end_are_not_kept_for_ever() {
    let now = Instant::now();
    let mut link = HdlcLink::new(HdlcConfig {
        max_apdu: 10_000,
        ..HdlcConfig::new(ClientAddress::PUBLIC, server_address())
    });
    let mut server = HdlcServer::new(HdlcServerConfig {
        max_apdu: 10_000,
        ..HdlcServerConfig::new(vec![server_address()])
    });
    let frame = |control: Control, to: &[u8], from: &[u8], information: &[u8]| {
        let mut octets = Vec::new();
        Frame {
            segmented: !information.is_empty(),
            destination: address(to),
            source: address(from),
            control,
            information,
        }
        .encode(&mut octets)
        .unwrap();
        octets
    };
    link.connect(now);
    link.handle_input(now, &frame(Control::UA, US, THEM, &[]));
    server.handle_input(now, &frame(Control::SNRM, THEM, US, &[]));
    let mut failure = None;
    let mut lost = false;
    for count in 0..100u8 {
        let send = dlms2mqtt::wire::hdlc::Sequence::new(count);
        let control = Control::Information { send, receive: Default::default(), poll: true };
        link.handle_input(now, &frame(control, US, THEM, &[1; 1000]));
        server.handle_input(now, &frame(control, THEM, US, &[1; 1000]));
        while let Some(event) = link.poll_event() {
            if let LinkEvent::Failed(error) = event {
                failure.get_or_insert((error, count));
            }
        }
        while let Some(event) = server.poll_event() {
            lost |= matches!(event, ServerEvent::Disconnected(_));
        }
    }
    assert_eq!(failure, Some((LinkError::TooLong, 10)));
    assert!(lost);
}
