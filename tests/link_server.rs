//! The server's HDLC link against a scripted client, and the listener for pushes against captured ones.

mod support;

use std::time::{Duration, Instant};

use dlms2mqtt::session::{
    HdlcServer, HdlcServerConfig, LinkError, LinkEvent, Peers, PushListener, ServerEvent,
};
use dlms2mqtt::wire::hdlc::{
    AddressSize, ClientAddress, Control, Deframer, Frame, Parameters, RawAddress, ServerAddress,
};
use dlms2mqtt::wire::wrapper::Pdu;
use support::vectors::{captured, hex, to_hex, vectors};

struct Bench {
    server: HdlcServer,
    now: Instant,
}

const MANAGEMENT: Peers = Peers { client: 1, server: 1 };
const PUBLIC: Peers = Peers { client: 16, server: 1 };

impl Bench {
    fn new(limits: Parameters) -> Self {
        let short = ServerAddress::new(1, Some(17), None).unwrap();
        let long = ServerAddress::new(1, Some(17), Some(AddressSize::Four)).unwrap();
        let clients = vec![ClientAddress::MANAGEMENT, ClientAddress::PUBLIC];
        let config = HdlcServerConfig { clients, limits, ..HdlcServerConfig::new(vec![short, long]) };
        Self { server: HdlcServer::new(config), now: Instant::now() }
    }

    /// Sends a frame, and gives the control octets and information fields of the answers.
    fn ask(&mut self, from: u8, control: u8, segmented: bool, information: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut octets = Vec::new();
        Frame {
            segmented,
            destination: ServerAddress::new(1, Some(17), None).unwrap().encode(),
            source: ClientAddress::new(from).unwrap().encode(),
            control: Control::decode(control).unwrap(),
            information,
        }
        .encode(&mut octets)
        .unwrap();
        self.server.handle_input(self.now, &octets);
        self.said(from)
    }

    fn said(&mut self, to: u8) -> Vec<(u8, Vec<u8>)> {
        let mut octets = Vec::new();
        self.server.poll_transmit(&mut octets);
        let mut deframer = Deframer::new();
        deframer.feed(&octets);
        let mut found = Vec::new();
        while let Some(frame) = deframer.next() {
            assert_eq!(frame.destination, ClientAddress::new(to).unwrap().encode());
            found.push((frame.control.encode(), frame.information.to_vec()));
        }
        found
    }

    fn controls(&mut self, from: u8, control: u8, information: &[u8]) -> Vec<u8> {
        self.ask(from, control, false, information).into_iter().map(|(control, _)| control).collect()
    }
}

#[test]
fn set_up_and_taken_down() {
    let mut bench = Bench::new(Parameters { max_info_tx: 512, ..Parameters::default() });
    assert_eq!(bench.controls(16, 0x53, &[]), [0x1F], "DM: nothing to take down");
    assert_eq!(bench.controls(16, 0x10, b"x"), [0x1F]);
    let proposal = hex("8180140502040006020400070400000001080400000001");
    let [(0x73, parameters)] = &bench.ask(16, 0x93, false, &proposal)[..] else { panic!("no UA") };
    let agreed = Parameters::decode(parameters).unwrap();
    assert_eq!(agreed, Parameters { max_info_tx: 512, max_info_rx: 128, window_tx: 1, window_rx: 1 });
    assert_eq!(bench.server.poll_event(), Some(ServerEvent::Connected(PUBLIC)));
    // Another client takes over; a third is nobody.
    assert_eq!(bench.controls(1, 0x93, &[]), [0x73]);
    assert_eq!(bench.server.poll_event(), Some(ServerEvent::Disconnected(PUBLIC)));
    assert_eq!(bench.server.poll_event(), Some(ServerEvent::Connected(MANAGEMENT)));
    assert_eq!(bench.controls(16, 0x11, &[]), [0x1F]);
    assert_eq!(bench.controls(3, 0x93, &[]), [0; 0]);
    assert_eq!(bench.controls(1, 0x53, &[]), [0x73]);
    assert_eq!(bench.server.poll_event(), Some(ServerEvent::Disconnected(MANAGEMENT)));
    assert_eq!(bench.server.reply(bench.now, b"x"), Err(LinkError::NotConnected));
    assert!(!bench.server.is_connected());
}

#[test]
fn answers_in_segments_and_again_when_asked() {
    let mut bench = Bench::new(Parameters { max_info_tx: 32, ..Parameters::default() });
    bench.ask(1, 0x93, false, &[]);
    bench.server.poll_event();
    assert_eq!(bench.ask(1, 0x10, true, b"\xE6\xE6\x00ques"), [(0x31, vec![])], "more, please");
    assert_eq!(bench.ask(1, 0x12, false, b"tion"), [], "at work");
    assert_eq!(bench.server.poll_event(), Some(ServerEvent::Apdu(MANAGEMENT, b"question".to_vec())));
    bench.server.reply(bench.now, &[7; 40]).unwrap();
    let first = bench.said(1);
    assert_eq!((first[0].0, first[0].1.len()), (0x50, 32));
    assert_eq!(bench.server.reply(bench.now, b"x"), Err(LinkError::Busy));
    assert_eq!(bench.ask(1, 0x12, false, b"tion"), first, "the client repeats: so does the meter");
    assert_eq!(bench.server.poll_event(), None, "and does nothing twice");
    let second = bench.ask(1, 0x31, false, &[]);
    assert_eq!((second[0].0, second[0].1.len()), (0x52, 11));
    assert_eq!(bench.controls(1, 0x51, &[]), [0x51], "nothing more to say");
}

#[test]
fn slow_work_is_acknowledged() {
    let mut bench = Bench::new(Parameters::default());
    bench.ask(1, 0x93, false, &[]);
    bench.ask(1, 0x10, false, b"question");
    let at = bench.server.poll_timeout().unwrap();
    assert_eq!(at, bench.now + Duration::from_millis(200));
    bench.server.handle_timeout(at);
    assert_eq!(bench.said(1), [(0x31, vec![])]);
    assert_eq!(bench.server.poll_timeout(), None);
    bench.server.reply(at, b"answer").unwrap();
    assert_eq!(bench.said(1), [], "a meter speaks when asked");
    assert_eq!(bench.controls(1, 0x11, &[]), [0x30]);
}

#[test]
fn a_request_longer_than_the_meter_takes_is_rejected() {
    let mut bench = Bench::new(Parameters::default());
    bench.server = HdlcServer::new(HdlcServerConfig {
        max_apdu: 10,
        ..HdlcServerConfig::new(vec![ServerAddress::new(1, Some(17), None).unwrap()])
    });
    bench.ask(1, 0x93, false, &[]);
    assert_eq!(bench.ask(1, 0x10, false, &[1; 20]), [(0x97, vec![0x10, 0, 0x20])]);
    assert!(!bench.server.is_connected());
}

fn listener() -> PushListener {
    PushListener::new(64 * 1024, Duration::from_millis(500))
}

fn pushed(listener: &mut PushListener) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| listener.poll_event())
        .map(|event| match event {
            LinkEvent::Unsolicited(apdu) => apdu,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_push_of_our_own_server_is_heard() {
    let mut bench = Bench::new(Parameters { max_info_tx: 32, ..Parameters::default() });
    let source = ServerAddress::new(1, Some(17), None).unwrap().encode();
    bench.server.push(source, RawAddress::parse(&[0xCF]).unwrap(), &[7; 100]);
    let mut octets = Vec::new();
    bench.server.poll_transmit(&mut octets);
    let mut listener = listener();
    for octet in octets {
        listener.handle_input(bench.now, &[octet]);
    }
    assert_eq!(pushed(&mut listener), [vec![7; 100]]);
    assert_eq!(listener.poll_timeout(), None);
}

#[test]
fn pushes_in_the_wrapper() {
    let mut listener = listener();
    let mut octets = Vec::new();
    for apdu in [&b"one"[..], b"two"] {
        Pdu { source: 1, destination: 102, apdu }.encode(&mut octets).unwrap();
    }
    listener.handle_input(Instant::now(), &octets);
    assert_eq!(pushed(&mut listener), [&b"one"[..], b"two"]);
    listener.handle_input(Instant::now(), &[9, 9]);
    assert!(matches!(listener.poll_event(), Some(LinkEvent::Failed(LinkError::NotWrapper(_)))));
}

#[test]
fn a_push_from_the_middle_of_a_frame_on_and_one_cut_off() {
    let now = Instant::now();
    let push = vectors("hdlc").into_iter().find(|vector| vector.name == "ui-datanotification").unwrap().hex();
    let mut listener = listener();
    listener.handle_input(now, &push[7..]);
    listener.handle_input(now, &push);
    assert_eq!(pushed(&mut listener).len(), 1);
    // Without its closing flag it is complete when the line is silent.
    listener.handle_input(now, &push[..push.len() - 1]);
    assert_eq!(pushed(&mut listener).len(), 0);
    listener.handle_timeout(listener.poll_timeout().unwrap());
    assert_eq!(pushed(&mut listener).len(), 1);
    assert_eq!(listener.poll_timeout(), None);
}

#[test]
fn pushes_of_real_meters() {
    let mut heard = 0;
    for vector in captured("captures", 30) {
        let (Some(frames), Some(apdu)) = (vector.json["frames"].as_array(), vector.json["apdu"].as_str())
        else {
            continue;
        };
        if vector.input("link") != "hdlc" {
            continue;
        }
        let mut listener = listener();
        let octets: Vec<u8> = frames.iter().flat_map(|frame| hex(frame.as_str().unwrap())).collect();
        // As serial lines deliver them.
        for piece in octets.chunks(13) {
            listener.handle_input(Instant::now(), piece);
        }
        let found: Vec<String> = pushed(&mut listener).iter().map(|apdu| to_hex(apdu)).collect();
        match &found[..] {
            [whole] => assert_eq!(whole, apdu, "{}", vector.name),
            // General block transfer, one block a frame, is joined above this layer.
            blocks => {
                assert_eq!(blocks.len(), frames.len(), "{}", vector.name);
                assert!(blocks.iter().all(|block| block.starts_with("e0")), "{}", vector.name);
            }
        }
        heard += 1;
    }
    assert!([0, 10].contains(&heard), "{heard} captures");
}
