//! Services of a client's session, byte for byte: what it sends and what it makes of the answers, against vectors that
//! others agree on; authentication and release against a partner played by hand. Ciphering is in a file of its own.

#[path = "session/ciphered.rs"]
mod ciphered;
mod support;

use std::time::{Duration, Instant};

use dlms2mqtt::error::Code;
use dlms2mqtt::security::{SecurityContext, SystemTitle};
use dlms2mqtt::session::association::{AssociationSettings, Ciphering};
use dlms2mqtt::session::client::{ClientSession, Event};
use dlms2mqtt::session::error::{Recovery, SessionError};
use dlms2mqtt::session::exchange::{Outcome, Service};
use dlms2mqtt::session::{WrapperConfig, WrapperLink};
use dlms2mqtt::wire::acse::{Mechanism, Referencing};
use dlms2mqtt::wire::data::Data;
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::wrapper::Pdu;
use dlms2mqtt::wire::xdlms::conformance::Conformance;
use dlms2mqtt::wire::xdlms::sn::VariableAccess;
use dlms2mqtt::wire::xdlms::{AttributeDescriptor, AttributeRequest, DataAccessResult, MethodDescriptor};
use support::vectors::{Sender, Vector, data, hex, to_hex, vectors};

const CLIENT_TITLE: &str = "4d4d4d0000bc614e";
const ASSOCIATION: Obis = Obis::new(0, 0, 40, 0, 0, 255);

fn vector(category: &str, name: &str) -> Vector {
    vectors(category).into_iter().find(|vector| vector.name == name).expect(name)
}

fn bytes(category: &str, name: &str) -> Vec<u8> {
    vector(category, name).hex()
}

fn title(hex: &str) -> SystemTitle {
    SystemTitle::from_hex(hex).expect("a title")
}

/// An accepting AARE of the vectors with other services and another PDU size, both at their end.
fn accepting(name: &str, conformance: u32, max_pdu: u16) -> Vec<u8> {
    let mut aare = bytes("association", name);
    let end = aare.len();
    aare[end - 7..end - 4].copy_from_slice(&conformance.to_be_bytes()[1..]);
    aare[end - 4..end - 2].copy_from_slice(&max_pdu.to_be_bytes());
    aare
}

fn settings(referencing: Referencing, mechanism: Mechanism) -> AssociationSettings {
    AssociationSettings {
        referencing,
        ciphering: Ciphering::Plain,
        mechanism,
        secret: b"12345678".to_vec().into(),
        own_title: Some(title(CLIENT_TITLE)),
        server_title: None,
        dedicated_key: None,
        conformance: match referencing {
            Referencing::LogicalName => Conformance::LN_PROPOSAL,
            Referencing::ShortName => Conformance(0x1C_0320),
        },
        max_pdu: 1200,
        hls_object: ASSOCIATION,
    }
}

/// A session over the wrapper, and the meter's side of it by hand.
struct Bench {
    session: ClientSession,
    now: Instant,
}

impl Bench {
    fn new(settings: AssociationSettings) -> Self {
        let link = WrapperLink::new(WrapperConfig::new(16, 1));
        let mut bench = Self { session: ClientSession::new(link.into(), settings), now: Instant::now() };
        bench.session.open(bench.now);
        assert!(matches!(bench.session.poll_event(), Some(Event::Opened(_))));
        bench
    }

    /// Sends the AARQ; returns it.
    fn propose(&mut self, challenge: &[u8], security: Option<SecurityContext>) -> Vec<u8> {
        self.session.associate(self.now, challenge, security);
        self.sent()
    }

    /// Associated without any security; the meter takes PDUs of this size and knows every service.
    fn plain(referencing: Referencing, max_pdu: u16) -> Self {
        let mut bench = Self::new(settings(referencing, Mechanism::Lowest));
        bench.propose(&[0; 16], None);
        let (aare, conformance) = match referencing {
            Referencing::LogicalName => ("aare-ln-plain-accepted", 0x00_FFFF),
            Referencing::ShortName => ("aare-sn-plain-accepted", 0x1C_1B20),
        };
        bench.hear(&accepting(aare, conformance, max_pdu));
        bench.associated();
        bench
    }

    /// What was sent, without the wrapper's header; empty where nothing was.
    fn sent(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.session.poll_transmit(&mut out);
        if out.is_empty() { out } else { Pdu::decode(&out).expect("one PDU").apdu.to_vec() }
    }

    fn hear(&mut self, apdu: &[u8]) {
        let mut octets = Vec::new();
        Pdu { source: 1, destination: 16, apdu }.encode(&mut octets).expect("short");
        self.session.handle_input(self.now, &octets);
    }

    fn request(&mut self, service: Service) -> Vec<u8> {
        self.session.request(self.now, service);
        self.sent()
    }

    #[track_caller]
    fn associated(&mut self) {
        assert!(matches!(self.session.poll_event(), Some(Event::Associated(_))));
    }

    #[track_caller]
    fn outcome(&mut self) -> Outcome {
        match self.session.poll_event() {
            Some(Event::Outcome(outcome)) => outcome,
            other => panic!("expected an outcome, not {other:?}"),
        }
    }

    #[track_caller]
    fn failed(&mut self) -> SessionError {
        match self.session.poll_event() {
            Some(Event::Failed(error)) => error,
            other => panic!("expected a failure, not {other:?}"),
        }
    }

    /// Runs a service against an exchange of the vectors: each message that the client sends must be the vector's.
    #[track_caller]
    fn follow(&mut self, vector: &Vector, service: Service) -> Outcome {
        let mut service = Some(service);
        for (sender, message) in vector.exchange() {
            match sender {
                Sender::Client => {
                    let sent = match service.take() {
                        Some(service) => self.request(service),
                        None => self.sent(),
                    };
                    assert_eq!(to_hex(&sent), to_hex(&message), "{}", vector.name);
                }
                Sender::Server => self.hear(&message),
            }
        }
        self.outcome()
    }
}

const fn attribute(class_id: u16, obis: [u8; 6], attribute_id: i8) -> AttributeRequest {
    AttributeRequest::whole(AttributeDescriptor { class_id, instance_id: Obis(obis), attribute_id })
}

const fn method(class_id: u16, obis: [u8; 6], method_id: i8) -> MethodDescriptor {
    MethodDescriptor { class_id, instance_id: Obis(obis), method_id }
}

/// A plain request of the vectors: GET of the active energy.
fn energy() -> Service {
    Service::Get(attribute(3, [1, 0, 1, 8, 0, 255], 2))
}

#[test]
fn set_in_blocks() {
    let vector = vector("blocks", "set-block");
    // The vector's blocks carry 60 octets. What stands before the first one's takes 13, its header 10 at the most.
    let mut bench = Bench::plain(Referencing::LogicalName, 60 + 13 + 10);
    let seasons = attribute(20, [0, 0, 13, 0, 0, 255], 7);
    let outcome = bench.follow(&vector, Service::Set(seasons, data(vector.expected("data"))));
    assert_eq!(outcome, Outcome::Set(vec![DataAccessResult::Success]));
}

#[test]
fn action_in_blocks() {
    let vector = vector("blocks", "action-block");
    let mut bench = Bench::plain(Referencing::LogicalName, 80 + 13 + 10);
    let transfer = method(18, [0, 0, 44, 0, 0, 255], 2);
    let outcome = bench.follow(&vector, Service::Action(transfer, Some(data(vector.expected("parameter")))));
    assert_eq!(outcome, Outcome::Action(DataAccessResult::Success, None));
}

#[test]
fn get_in_blocks_and_what_ends_it() {
    let profile = || Service::Get(attribute(7, [1, 0, 99, 1, 0, 255], 2));
    let aborted = vector("blocks", "get-block-aborted");
    let outcome = Bench::plain(Referencing::LogicalName, 200).follow(&aborted, profile());
    let Outcome::Get(Err(refused)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(u64::from(refused.code()), aborted.expected("error").as_u64().expect("a number"));

    let list = vector("blocks", "get-list-block");
    let mut bench = Bench::plain(Referencing::LogicalName, 1000);
    let registers: Vec<_> = (1..=30).map(|c| attribute(3, [1, 0, c, 8, 0, 255], 2)).collect();
    let Outcome::GetList(values) = bench.follow(&list, Service::GetList(registers)) else { panic!() };
    let expected: Vec<_> = (0..30).map(|value| Ok(Data::DoubleLongUnsigned(value))).collect();
    assert_eq!(values.len(), 30);
    assert_eq!(values[..2], expected[..2]);

    let mut bench = Bench::plain(Referencing::LogicalName, 200);
    let out_of_order = vector("blocks", "get-block-out-of-order");
    bench.request(profile());
    for (_, answer) in out_of_order.exchange().into_iter().filter(|(sender, _)| *sender == Sender::Server) {
        bench.hear(&answer);
    }
    assert_eq!(bench.failed().report().code, Code::BlockTransfer);
}

#[test]
fn read_by_short_name_in_blocks() {
    let vector = vector("blocks", "sn-read-block");
    let mut bench = Bench::plain(Referencing::ShortName, 200);
    let outcome = bench.follow(&vector, Service::Read(vec![VariableAccess::Name(0x6208)]));
    let octets = (0..150).collect();
    assert_eq!(outcome, Outcome::GetList(vec![Ok(Data::OctetString(octets))]));
}

#[test]
fn lists() {
    let mut bench = Bench::plain(Referencing::LogicalName, 500);
    let two = vec![attribute(1, [0, 0, 42, 0, 0, 255], 2), attribute(8, [0, 0, 1, 0, 0, 255], 2)];
    assert_eq!(bench.request(Service::GetList(two.clone())), bytes("xdlms", "get-with-list-2"));
    // The vector's answer has three results: one too many.
    bench.hear(&bytes("xdlms", "get-response-list"));
    let error = bench.failed();
    assert_eq!((error.report().code, error.recovery()), (Code::Decode, Recovery::ReportOnly));

    let mut bench = Bench::plain(Referencing::LogicalName, 500);
    let three = [two.as_slice(), &two[..1]].concat();
    bench.request(Service::GetList(three));
    bench.hear(&bytes("xdlms", "get-response-list"));
    let expected = vector("xdlms", "get-response-list");
    let expected = expected.expected("results").as_array().expect("three").clone();
    assert_eq!(
        bench.outcome(),
        Outcome::GetList(vec![
            Ok(data(&expected[0])),
            Err(DataAccessResult::ObjectUndefined),
            Ok(data(&expected[2]))
        ])
    );

    let mut bench = Bench::plain(Referencing::LogicalName, 500);
    let items = vec![
        (attribute(1, [0, 0, 96, 50, 0, 255], 2), Data::Unsigned(1)),
        (attribute(1, [0, 0, 96, 50, 1, 255], 2), Data::VisibleString(b"on".to_vec())),
    ];
    assert_eq!(to_hex(&bench.request(Service::SetList(items))), to_hex(&bytes("xdlms", "set-list")));
    bench.hear(&bytes("xdlms", "set-response-list"));
    let outcome = bench.outcome();
    assert_eq!(outcome, Outcome::Set(vec![DataAccessResult::Success, DataAccessResult::ReadWriteDenied]));
}

#[test]
fn actions_in_a_list() {
    let items = || {
        vec![
            (method(70, [0, 0, 96, 3, 10, 255], 1), Data::Integer(0)),
            (method(9, [0, 0, 10, 0, 0, 255], 1), Data::LongUnsigned(1)),
        ]
    };
    let mut bench = Bench::plain(Referencing::LogicalName, 500);
    let request = bench.request(Service::ActionList(items()));
    assert_eq!(to_hex(&request), to_hex(&bytes("xdlms", "action-list")));
    bench.hear(&[0xC7, 0x03, 0xC1, 2, 0, 0, 3, 1, 0, 0x11, 7]);
    let expected = vec![
        (DataAccessResult::Success, None),
        (DataAccessResult::ReadWriteDenied, Some(Ok(Data::Unsigned(7)))),
    ];
    assert_eq!(bench.outcome(), Outcome::ActionList(expected.clone()));

    // The same answer in blocks.
    let mut bench = Bench::plain(Referencing::LogicalName, 500);
    bench.request(Service::ActionList(items()));
    bench.hear(&[0xC7, 0x02, 0xC1, 0, 0, 0, 0, 1, 3, 2, 0, 0]);
    assert_eq!(bench.sent(), [0xC3, 0x02, 0xC1, 0, 0, 0, 1]);
    bench.hear(&[0xC7, 0x02, 0xC1, 1, 0, 0, 0, 2, 5, 3, 1, 0, 0x11, 7]);
    assert_eq!(bench.outcome(), Outcome::ActionList(expected));

    // Refused as a whole; and with another number of results.
    let mut bench = Bench::plain(Referencing::LogicalName, 500);
    bench.request(Service::ActionList(items()));
    bench.hear(&[0xC7, 0x01, 0xC1, 3, 0]);
    assert_eq!(bench.outcome(), Outcome::ActionList(vec![(DataAccessResult::ReadWriteDenied, None); 2]));
    bench.request(Service::ActionList(items()));
    bench.hear(&[0xC7, 0x01, 0xC2, 0, 0]);
    assert_eq!(bench.failed().report().code, Code::Decode);

    // The request in blocks.
    let long = |octet| (method(9, [0, 0, 10, 0, 0, 255], 1), Data::OctetString(vec![octet; 60]));
    let mut bench = Bench::plain(Referencing::LogicalName, 70);
    let first = bench.request(Service::ActionList(vec![long(1), long(2)]));
    let head =
        [0xC3, 0x05, 0xC1, 2, 0, 9, 0, 0, 10, 0, 0, 255, 1, 0, 9, 0, 0, 10, 0, 0, 255, 1, 0, 0, 0, 0, 1];
    assert_eq!(first[..head.len()], head);
    let mut raw = first[head.len() + 1..].to_vec();
    for block in 1_u8..20 {
        bench.hear(&[0xC7, 0x04, 0xC1, 0, 0, 0, block]);
        let next = bench.sent();
        assert!(next.len() <= 70);
        assert_eq!((&next[..3], next[7]), (&[0xC3, 0x06, 0xC1][..], block + 1));
        raw.extend_from_slice(&next[9..]);
        if next[3] != 0 {
            break;
        }
    }
    let expected = [&[2, 9, 60][..], &[1; 60], &[9, 60], &[2; 60]].concat();
    assert_eq!(to_hex(&raw), to_hex(&expected));
    bench.hear(&[0xC7, 0x03, 0xC1, 2, 0, 0, 0, 0]);
    assert_eq!(bench.outcome(), Outcome::ActionList(vec![(DataAccessResult::Success, None); 2]));
}

#[test]
fn writes_by_short_name() {
    let mut bench = Bench::plain(Referencing::ShortName, 200);
    let two = vec![
        (VariableAccess::Name(0x100), Data::Unsigned(1)),
        (VariableAccess::Name(0x108), Data::LongUnsigned(2)),
    ];
    let sent = bench.request(Service::Write(two));
    assert_eq!(to_hex(&sent), to_hex(&bytes("xdlms", "write-2")));
    bench.hear(&bytes("xdlms", "write-response-mixed"));
    assert_eq!(
        bench.outcome(),
        Outcome::Set(vec![DataAccessResult::Success, DataAccessResult::ReadWriteDenied])
    );
}

#[test]
fn general_block_transfer() {
    let vector = vector("blocks", "gbt-no-streaming");
    let mut bench = Bench::plain(Referencing::LogicalName, 200);
    let outcome = bench.follow(&vector, Service::Get(attribute(1, [0, 0, 96, 2, 0, 255], 2)));
    let Outcome::Get(Ok(Data::OctetString(octets))) = outcome else { panic!("{outcome:?}") };
    assert_eq!(octets.len(), 0x104);
    assert!(octets.iter().zip(0_usize..).all(|(&octet, at)| usize::from(octet) == at % 256));
}

#[test]
fn a_general_block_that_is_lost_is_asked_for_again() {
    let vector = vector("blocks", "gbt-no-streaming");
    let answers: Vec<Vec<u8>> = vector
        .exchange()
        .into_iter()
        .filter_map(|(sender, message)| (sender == Sender::Server).then_some(message))
        .collect();
    let mut bench = Bench::plain(Referencing::LogicalName, 200);
    bench.request(Service::Get(attribute(1, [0, 0, 96, 2, 0, 255], 2)));
    bench.hear(&answers[0]);
    assert_eq!(bench.sent(), hex("e0810001000100"));
    // The second is lost, the third is there: the first is acknowledged again.
    bench.hear(&answers[2]);
    assert_eq!(bench.sent(), hex("e0810001000100"));
    bench.hear(&answers[1]);
    assert_eq!(bench.sent(), hex("e0810002000200"));
    // And one that is repeated is not counted twice.
    bench.hear(&answers[1]);
    assert_eq!(bench.sent(), hex("e0810002000200"));
    bench.hear(&answers[2]);
    assert!(matches!(bench.outcome(), Outcome::Get(Ok(Data::OctetString(octets))) if octets.len() == 0x104));
}

/// Short names, MD5: pass 3 by Read is refused in this way.
fn short_name_proof(refusal: &[u8]) -> (Bench, Vec<u8>) {
    let mut bench = Bench::new(settings(Referencing::ShortName, Mechanism::HighMd5));
    bench.propose(b"K56iVagY", None);
    bench.hear(&bytes("association", "aare-sn-plain-hls3"));
    assert!(matches!(bench.session.poll_event(), Some(Event::Accepted)));
    let read = bench.sent();
    assert_eq!(to_hex(&read[..8]), "050104fa58000910", "as jDLMS has it");
    bench.hear(refusal);
    let write = bench.sent();
    (bench, [&read[8..], &write].concat())
}

#[test]
fn high_level_authentication_by_write_where_the_read_is_refused() {
    for refusal in [
        // Data access results: no such object, type unmatched; service error; exception.
        &[0x0C, 1, 1, 4][..],
        &[0x0C, 1, 1, 12],
        &[0x0E, 5, 3, 2],
        &[0xD8, 1, 2],
    ] {
        let (mut bench, octets) = short_name_proof(refusal);
        let (proof, write) = octets.split_at(16);
        let head = &bytes("xdlms", "write-hls-reply-sn")[..8];
        assert_eq!(to_hex(write), to_hex(&[head, proof].concat()), "as Gurux has it: {refusal:02X?}");
        bench.hear(&bytes("xdlms", "write-response-ok"));
        bench.associated();

        let (mut bench, _) = short_name_proof(refusal);
        bench.hear(&[0x0D, 1, 1, 3]);
        let error = bench.failed();
        assert_eq!((error.report().code, error.recovery()), (Code::AuthHls, Recovery::BackOffMeter));
    }
    // A refusal of the proof itself is not worked around: the meter may count it.
    for denial in [3, 13] {
        let (mut bench, octets) = short_name_proof(&[0x0C, 1, 1, denial]);
        assert_eq!(octets.len(), 16, "no Write");
        assert_eq!(bench.failed().report().code, Code::AuthHls);
    }
}

#[test]
fn a_meter_that_does_not_answer_the_release_is_left_all_the_same() {
    let mut bench = Bench::plain(Referencing::LogicalName, 500);
    bench.session.release(bench.now);
    assert_eq!(bench.sent(), bytes("association", "rlrq-normal"));
    bench.now += Duration::from_secs(60);
    bench.session.handle_timeout(bench.now);
    assert_eq!(bench.session.poll_event(), Some(Event::Released));
    bench.session.close(bench.now);
    assert_eq!(bench.session.poll_event(), Some(Event::Closed));

    for answer in ["rlre-normal", "rlre-empty"] {
        let mut bench = Bench::plain(Referencing::LogicalName, 500);
        bench.session.release(bench.now);
        bench.hear(&bytes("association", answer));
        assert_eq!(bench.session.poll_event(), Some(Event::Released));
    }
}
