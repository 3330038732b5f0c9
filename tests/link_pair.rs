//! A client link and a server link on a bad line with a virtual clock: every APDU arrives once and whole, or
//! the link fails and says so.

#[path = "link/wire.rs"]
mod wire;

use std::time::{Duration, Instant};

use dlms2mqtt::session::{
    HdlcConfig, HdlcLink, HdlcServer, HdlcServerConfig, LinkEvent, LinkTiming, Peers, Reply, ServerEvent,
};
use dlms2mqtt::wire::hdlc::{ClientAddress, Parameters, ServerAddress};
use wire::{Faults, Wire};

struct Pair {
    now: Instant,
    client: HdlcLink,
    server: HdlcServer,
    up: Wire,
    down: Wire,
    random: fastrand::Rng,
    seed: u64,
    /// Requests that the server has seen.
    last_seen: Option<u32>,
}

#[derive(Debug, Default)]
struct Tally {
    answered: u32,
    failed: u32,
    retransmissions: u64,
    duplicates: u64,
}

/// The request or answer with a number: another text for each, up to 10 KiB long.
fn text(seed: u64, number: u32, answer: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed << 33 | u64::from(number) << 1 | answer);
    let length = match random.u8(0..4) {
        0 => random.usize(0..10_240),
        1 => random.usize(0..600),
        _ => random.usize(0..100),
    };
    let mut text = number.to_be_bytes().to_vec();
    text.extend((0..length).map(|_| random.u8(..)));
    text
}

fn parameters(random: &mut fastrand::Rng) -> Parameters {
    Parameters {
        max_info_tx: random.u16(32..=2030),
        max_info_rx: random.u16(32..=2030),
        window_tx: random.u8(1..=7),
        window_rx: random.u8(1..=7),
    }
}

impl Pair {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let address = ServerAddress::new(1, Some(17), None).unwrap();
        let timing = LinkTiming {
            response_timeout: Duration::from_millis(2000),
            retries: 4,
            inter_octet_timeout: Duration::from_millis(100),
            request_delay: Duration::from_millis(random.u64(0..2) * 20),
            ..LinkTiming::default()
        };
        let proposal = parameters(&mut random);
        let limits = parameters(&mut random);
        let config = HdlcConfig { proposal, timing, ..HdlcConfig::new(ClientAddress::PUBLIC, address) };
        Self {
            now: Instant::now(),
            client: HdlcLink::new(config),
            server: HdlcServer::new(HdlcServerConfig { limits, ..HdlcServerConfig::new(vec![address]) }),
            up: Wire::new(faults, seed ^ 1),
            down: Wire::new(faults, seed ^ 2),
            random,
            seed,
            last_seen: None,
        }
    }

    /// Runs both stations until the client reports something.
    fn next_event(&mut self) -> LinkEvent {
        let mut octets = Vec::new();
        let mut at_this_instant = 0;
        loop {
            octets.clear();
            if self.client.poll_transmit(&mut octets) {
                self.up.send(self.now, &octets);
            }
            self.serve();
            octets.clear();
            if self.server.poll_transmit(&mut octets) {
                self.down.send(self.now, &octets);
            }
            if let Some(event) = self.client.poll_event() {
                return event;
            }
            if let Some(piece) = self.up.receive(self.now) {
                self.server.handle_input(self.now, &piece);
                continue;
            }
            if let Some(piece) = self.down.receive(self.now) {
                self.client.handle_input(self.now, &piece);
                continue;
            }
            let deadlines = [
                self.client.poll_timeout(),
                self.server.poll_timeout(),
                self.up.next_arrival(),
                self.down.next_arrival(),
            ];
            let next = deadlines.into_iter().flatten().min().expect("neither station waits for anything");
            at_this_instant = if next > self.now { 0 } else { at_this_instant + 1 };
            assert!(at_this_instant < 4, "a busy loop");
            self.now = self.now.max(next);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
    }

    fn serve(&mut self) {
        while let Some(event) = self.server.poll_event() {
            let ServerEvent::Apdu(peers, request) = event else { continue };
            assert_eq!(peers, Peers { client: 16, server: 1 });
            let number = u32::from_be_bytes(*request.first_chunk().expect("a number"));
            assert_eq!(request, text(self.seed, number, 0), "seed {}: the request is another", self.seed);
            assert!(self.last_seen.is_none_or(|last| last < number), "seed {}: {number} twice", self.seed);
            self.last_seen = Some(number);
            self.server.reply(self.now, &text(self.seed, number, 1)).expect("the former answer is through");
        }
    }

    fn connect(&mut self) -> bool {
        for _ in 0..20 {
            self.client.connect(self.now);
            match self.next_event() {
                LinkEvent::Connected(_) => return true,
                LinkEvent::Failed(_) => {}
                other => panic!("{other:?}"),
            }
        }
        false
    }

    fn run(mut self, exchanges: u32) -> Tally {
        let mut tally = Tally::default();
        assert!(self.connect(), "seed {}: never up", self.seed);
        for number in 0..exchanges {
            let seed = self.seed;
            self.client.send(self.now, &text(seed, number, 0), Reply::Expected).expect("idle");
            match self.next_event() {
                LinkEvent::Apdu(answer) => {
                    assert_eq!(answer, text(seed, number, 1), "seed {seed}: the answer is another");
                    assert_eq!(self.last_seen, Some(number));
                    tally.answered += 1;
                    if self.random.u8(0..4) == 0 {
                        self.now += Duration::from_secs(self.random.u64(0..10));
                        self.client.keep_alive(self.now);
                    }
                    if !self.settle() {
                        tally.failed += 1;
                        assert!(self.connect(), "seed {seed}: never up again");
                    }
                }
                LinkEvent::Failed(_) => {
                    tally.failed += 1;
                    if self.random.bool() {
                        self.client.disconnect(self.now);
                        assert_eq!(self.next_event(), LinkEvent::Disconnected);
                    }
                    assert!(self.connect(), "seed {seed}: never up again");
                }
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        self.client.disconnect(self.now);
        assert_eq!(self.next_event(), LinkEvent::Disconnected);
        assert_eq!(self.client.poll_timeout(), None);
        let counters = self.client.counters();
        assert_eq!(counters.tolerated_numbers, 0, "seed {}: this meter counts well", self.seed);
        Tally { retransmissions: counters.retransmissions, duplicates: counters.duplicates, ..tally }
    }

    /// Lets a keep-alive end. False where the link failed over it.
    fn settle(&mut self) -> bool {
        let mut octets = Vec::new();
        while !self.client.is_idle() {
            octets.clear();
            if self.client.poll_transmit(&mut octets) {
                self.up.send(self.now, &octets);
            }
            self.serve();
            octets.clear();
            if self.server.poll_transmit(&mut octets) {
                self.down.send(self.now, &octets);
            }
            while let Some(piece) = self.up.receive(self.now) {
                self.server.handle_input(self.now, &piece);
            }
            while let Some(piece) = self.down.receive(self.now) {
                self.client.handle_input(self.now, &piece);
            }
            match self.client.poll_event() {
                None => {}
                Some(LinkEvent::Failed(_)) => return false,
                Some(other) => panic!("seed {}: {other:?}", self.seed),
            }
            self.now += Duration::from_millis(5);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
        true
    }
}

fn run(seeds: std::ops::Range<u64>, exchanges: u32, faults: Faults) -> Tally {
    let mut total = Tally::default();
    for seed in seeds {
        let tally = Pair::new(seed, faults).run(exchanges);
        total.answered += tally.answered;
        total.failed += tally.failed;
        total.retransmissions += tally.retransmissions;
        total.duplicates += tally.duplicates;
    }
    eprintln!("{faults:?}: {total:?}");
    total
}

const GOOD: Faults = Faults { lost: 0, repeated: 0, damaged: 0, delay: Duration::from_millis(100) };

#[test]
fn a_good_line_needs_no_recovery() {
    let tally = run(0..30, 12, GOOD);
    assert_eq!((tally.answered, tally.failed, tally.retransmissions, tally.duplicates), (360, 0, 0, 0));
}

#[test]
fn a_line_that_loses_repeats_and_damages_frames() {
    let tally = run(100..160, 12, Faults { lost: 4, repeated: 4, damaged: 4, ..GOOD });
    assert!(tally.answered > 600, "{tally:?}");
    assert!(tally.retransmissions > 100 && tally.duplicates > 100, "{tally:?}");
}

#[test]
fn a_line_that_is_hardly_usable() {
    let tally = run(200..240, 10, Faults { lost: 20, repeated: 10, damaged: 15, ..GOOD });
    assert!(tally.answered > 50 && tally.failed > 50, "{tally:?}");
}

#[test]
fn answers_that_come_later_than_they_should() {
    let tally = run(300..340, 12, Faults { delay: Duration::from_millis(2500), ..GOOD });
    assert!(tally.answered > 300 && tally.retransmissions > 50, "{tally:?}");
}

#[test]
fn late_and_lossy() {
    let faults = Faults { lost: 5, repeated: 5, damaged: 5, delay: Duration::from_millis(2500) };
    let tally = run(400..440, 10, faults);
    assert!(tally.answered > 200, "{tally:?}");
}
