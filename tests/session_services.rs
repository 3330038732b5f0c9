//! Services of a client's session, byte for byte: what it sends and what it makes of the answers, against vectors that
//! others agree on; protection, authentication and release against a partner played by hand.

mod support;

use std::time::{Duration, Instant};

use dlms2mqtt::error::Code;
use dlms2mqtt::security::hls::{self, HlsInputs};
use dlms2mqtt::security::{
    CipherKey, CipheringForm, Key, MemoryCounterStore, Protection, ReplayCheck, SecurityContext,
    SecuritySettings, SecuritySuite, SystemTitle,
};
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
const SERVER_TITLE: &str = "4d4d4d0000000001";
const BLOCK_CIPHER_KEY: &str = "000102030405060708090a0b0c0d0e0f";
const AUTHENTICATION_KEY: &str = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf";
const DEDICATED_KEY: &str = "00112233445566778899aabbccddeeff";
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

fn key(hex: &str) -> Key {
    Key::from_hex(hex).expect("a key")
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

/// Protection of the vectors.
fn protection() -> SecuritySettings {
    let mut settings =
        SecuritySettings::new(SecuritySuite::Suite0, title(CLIENT_TITLE), key(BLOCK_CIPHER_KEY));
    settings.protection = Protection::AuthenticatedEncryption;
    settings.authentication_key = Some(key(AUTHENTICATION_KEY));
    // The vectors were made one by one: their counters don't rise.
    settings.replay_check = ReplayCheck::Off;
    settings
}

fn context(settings: SecuritySettings, counter: u32) -> SecurityContext {
    let mut context =
        SecurityContext::new(settings, Box::new(MemoryCounterStore::default())).expect("settings");
    context.raise_send_counter(CipherKey::Global, counter).expect("a key");
    context
}

fn ciphered(mechanism: Mechanism) -> AssociationSettings {
    AssociationSettings { ciphering: Ciphering::Ciphered, ..settings(Referencing::LogicalName, mechanism) }
}

/// An association of the vectors with a password: AARQ and AARE byte for byte.
fn ciphered_bench(security: SecuritySettings) -> Bench {
    let mut bench = Bench::new(ciphered(Mechanism::Low));
    let aarq = bench.propose(&[0; 16], Some(context(security, 0x0123_4567)));
    assert_eq!(to_hex(&aarq), to_hex(&bytes("association", "aarq-ln-cipher-mech1")));
    bench.hear(&bytes("association", "aare-ln-cipher-lls"));
    bench.associated();
    bench
}

#[test]
fn a_ciphered_association_and_its_answers() {
    let mut bench = ciphered_bench(protection());
    let sent = bench.request(energy());
    assert_eq!(sent[..7], [0xC8, 30, 0x30, 0x01, 0x23, 0x45, 0x68], "the next counter");
    bench.hear(&bytes("security", "glo-get-response"));
    assert_eq!(bench.outcome(), Outcome::Get(Ok(Data::DoubleLongUnsigned(123_456))));
}

#[test]
fn general_glo_and_general_ded_and_ded_requests() {
    for (name, form, dedicated, first) in [
        ("general-glo-get-authenc", CipheringForm::General, false, 255),
        ("glo-get-authenc", CipheringForm::ServiceSpecific, false, 0),
        ("ded-get-authenc", CipheringForm::ServiceSpecific, true, 0),
        ("general-ded", CipheringForm::General, true, 0),
    ] {
        let mut security = protection();
        security.form = form;
        security.dedicated_key = dedicated.then(|| key(DEDICATED_KEY));
        let mut association = ciphered(Mechanism::Low);
        association.dedicated_key = dedicated.then(|| key(DEDICATED_KEY));
        let mut context = context(security, first);
        if dedicated {
            context.raise_send_counter(CipherKey::Dedicated, 3).expect("a key");
        }
        let mut bench = Bench::new(association);
        let aarq = bench.propose(&[0; 16], Some(context));
        assert!(aarq.windows(2).any(|two| two[0] == 0x21), "the InitiateRequest goes by the global key");
        bench.hear(&aare(
            &mut meter(SecuritySuite::Suite0, (BLOCK_CIPHER_KEY, AUTHENTICATION_KEY), None),
            None,
        ));
        bench.associated();
        let sent = bench.request(energy());
        match name {
            "general-glo-get-authenc" | "ded-get-authenc" => {
                assert_eq!(to_hex(&sent), to_hex(&bytes("security", name)), "{name}");
            }
            "general-ded" => {
                // The same body as under the tag of the service: key, counter and title are the same.
                let specific = bytes("security", "ded-get-authenc");
                let expected = [&hex("dc08")[..], &hex(CLIENT_TITLE), &specific[1..]].concat();
                assert_eq!(to_hex(&sent), to_hex(&expected));
            }
            _ => assert_eq!(sent[..7], [0xC8, 30, 0x30, 0, 0, 0, 2]),
        }
        bench.hear(&bytes("security", "glo-get-response"));
        assert_eq!(bench.outcome(), Outcome::Get(Ok(Data::DoubleLongUnsigned(123_456))), "{name}");
    }
}

#[test]
fn general_forms_are_not_used_where_the_meter_does_not_agree_to_them() {
    let mut security = protection();
    security.form = CipheringForm::General;
    let mut bench = ciphered_bench(security);
    assert_eq!(bench.request(energy())[0], 0xC8);
}

/// A meter's side: its context, which protects what it says.
fn meter(suite: SecuritySuite, keys: (&str, &str), dedicated: Option<&str>) -> SecurityContext {
    let mut settings = SecuritySettings::new(suite, title(SERVER_TITLE), key(keys.0));
    settings.protection = Protection::AuthenticatedEncryption;
    settings.authentication_key = Some(key(keys.1));
    settings.dedicated_key = dedicated.map(key);
    settings.peer_title = Some(title(CLIENT_TITLE));
    SecurityContext::new(settings, Box::new(MemoryCounterStore::default())).expect("settings")
}

/// An AARE that accepts with a ciphered InitiateResponse; `challenge` demands authentication in four passes.
fn aare(meter: &mut SecurityContext, challenge: Option<(u8, &[u8])>) -> Vec<u8> {
    let mut initiate = Vec::new();
    meter.protect_initiate(&hex("0800065f1f0400407fff01f40007"), &mut initiate).expect("a key");
    let short = |length: usize| u8::try_from(length).expect("short");
    let mut body = hex("a109060760857405080103a203020100a305a1030201");
    body.push(if challenge.is_some() { 14 } else { 0 });
    body.extend(hex("a40a0408"));
    body.extend(hex(SERVER_TITLE));
    if let Some((mechanism, challenge)) = challenge {
        body.extend(hex("880207808907608574050802"));
        body.push(mechanism);
        body.extend([0xAA, short(challenge.len() + 2), 0x80, short(challenge.len())]);
        body.extend_from_slice(challenge);
    }
    body.extend([0xBE, short(initiate.len() + 2), 0x04, short(initiate.len())]);
    body.extend(initiate);
    [&[0x61, 0x81, short(body.len())][..], &body].concat()
}

fn protected(meter: &mut SecurityContext, apdu: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    meter.protect(apdu, &mut out).expect("a key");
    out
}

#[test]
fn suites_one_and_two_with_and_without_a_dedicated_key() {
    let long = |hex: &str| format!("{hex}{hex}");
    let (block, authentication, dedicated) =
        (long(BLOCK_CIPHER_KEY), long(AUTHENTICATION_KEY), long(DEDICATED_KEY));
    for (suite, block, authentication, dedicated, control) in [
        (SecuritySuite::Suite1, BLOCK_CIPHER_KEY, AUTHENTICATION_KEY, DEDICATED_KEY, 0x31),
        (SecuritySuite::Suite2, block.as_str(), authentication.as_str(), dedicated.as_str(), 0x32),
    ] {
        for dedicated in [None, Some(dedicated)] {
            let mut security = SecuritySettings::new(suite, title(CLIENT_TITLE), key(block));
            security.protection = Protection::AuthenticatedEncryption;
            security.authentication_key = Some(key(authentication));
            security.dedicated_key = dedicated.map(key);
            let mut association = ciphered(Mechanism::Low);
            association.dedicated_key = dedicated.map(key);
            let mut meter = meter(suite, (block, authentication), dedicated);
            let mut bench = Bench::new(association);
            bench.propose(&[0; 16], Some(context(security, 1)));
            bench.hear(&aare(&mut meter, None));
            bench.associated();
            meter.open();
            let mut sent = bench.request(energy());
            assert_eq!(sent[0], if dedicated.is_some() { 0xD0 } else { 0xC8 });
            assert_eq!(sent[2], control);
            let asked = meter.unprotect(&mut sent).expect("the same keys").apdu.to_vec();
            assert_eq!(to_hex(&asked), "c001c100030100010800ff0200");
            bench.hear(&protected(&mut meter, &hex("c401c1000600000007")));
            assert_eq!(bench.outcome(), Outcome::Get(Ok(Data::DoubleLongUnsigned(7))));
            // An answer of another suite is a downgrade, whatever it says.
            bench.request(energy());
            bench.hear(&bytes("security", "glo-get-response"));
            assert_eq!(bench.failed().report().code, Code::Downgrade);
        }
    }
}

#[test]
fn an_answer_with_less_protection_than_our_policy_is_a_downgrade() {
    for plain_or_weaker in [hex("c401c1000600000007"), {
        let mut settings =
            SecuritySettings::new(SecuritySuite::Suite0, title(SERVER_TITLE), key(BLOCK_CIPHER_KEY));
        settings.protection = Protection::Encryption;
        settings.authentication_key = Some(key(AUTHENTICATION_KEY));
        protected(&mut context(settings, 0x0200_0000), &hex("c401c1000600000007"))
    }] {
        let mut bench = ciphered_bench(protection());
        bench.request(energy());
        bench.hear(&plain_or_weaker);
        let error = bench.failed();
        assert_eq!((error.report().code, error.recovery()), (Code::Downgrade, Recovery::BackOffMeter));
        assert!(bench.session.negotiated().is_none(), "the association is over");
        bench.request(energy());
        assert!(matches!(bench.failed(), SessionError::NotReady));
    }
}

#[test]
fn a_plain_notification_in_a_ciphered_association_is_dropped_and_costs_no_answer() {
    let push = hex("0f00000001000901aa");
    let mut bench = ciphered_bench(protection());
    bench.hear(&push);
    bench.request(energy());
    bench.hear(&push);
    assert_eq!(bench.session.poll_event(), None);
    bench.hear(&bytes("security", "glo-get-response"));
    assert_eq!(bench.outcome(), Outcome::Get(Ok(Data::DoubleLongUnsigned(123_456))));
}

#[test]
fn a_spoilt_or_repeated_answer_has_its_own_code() {
    let mut strict = protection();
    strict.replay_check = ReplayCheck::Association;
    let mut bench = ciphered_bench(strict);
    bench.request(energy());
    // Its counter is below that of the AARE.
    bench.hear(&bytes("security", "glo-get-response"));
    assert_eq!(bench.failed().report().code, Code::Replay);

    let mut bench = ciphered_bench(protection());
    bench.request(energy());
    let mut spoilt = bytes("security", "glo-get-response");
    *spoilt.last_mut().expect("a tag") ^= 1;
    bench.hear(&spoilt);
    assert_eq!(bench.failed().report().code, Code::CipherTag);
}

/// High level authentication of a ciphered association up to the meter's proof, which `spoil` may change.
fn proven(mechanism: Mechanism, number: u8, spoil: impl Fn(&mut Vec<u8>)) -> Bench {
    let keys = (BLOCK_CIPHER_KEY, AUTHENTICATION_KEY);
    let mut meter = meter(SecuritySuite::Suite0, keys, None);
    let mut security = protection();
    security.replay_check = ReplayCheck::Association;
    let (ctos, stoc) = ([0x11; 16], [0x22; 16]);
    let mut bench = Bench::new(ciphered(mechanism));
    bench.propose(&ctos, Some(context(security, 1)));
    bench.hear(&aare(&mut meter, Some((number, &stoc))));
    assert!(matches!(bench.session.poll_event(), Some(Event::Accepted)));
    meter.open();
    let mut pass3 = bench.sent();
    assert_eq!(pass3[0], 0xCB, "the proof goes ciphered");
    let pass3 = meter.unprotect(&mut pass3).expect("the same keys").apdu.to_vec();
    assert_eq!(to_hex(&pass3[..14]), "c301c1000f0000280000ff010109");
    let inputs = HlsInputs {
        secret: b"12345678",
        client_title: Some(title(CLIENT_TITLE)),
        server_title: Some(title(SERVER_TITLE)),
        ctos: &ctos,
        stoc: &stoc,
    };
    let mut proof = hls::server_reply(mechanism, &inputs, Some(&mut meter)).expect("a proof");
    spoil(&mut proof);
    let length = u8::try_from(proof.len()).expect("short");
    let pass4 = [&hex("c701c100010009")[..], &[length], &proof].concat();
    bench.hear(&protected(&mut meter, &pass4));
    bench
}

#[test]
fn a_wrong_proof_of_the_meter_ends_a_ciphered_association() {
    for (mechanism, number) in [
        (Mechanism::HighMd5, 3),
        (Mechanism::HighSha1, 4),
        (Mechanism::HighGmac, 5),
        (Mechanism::HighSha256, 6),
    ] {
        proven(mechanism, number, |_| {}).associated();
        for spoil in [
            (|proof: &mut Vec<u8>| *proof.last_mut().expect("octets") ^= 1) as fn(&mut Vec<u8>),
            |proof| {
                proof.pop();
            },
            Vec::clear,
        ] {
            let mut bench = proven(mechanism, number, spoil);
            let error = bench.failed();
            assert_eq!(error.report().code, Code::AuthHls, "{mechanism}: {error}");
            assert_eq!(error.recovery(), Recovery::BackOffMeter);
            assert!(bench.session.negotiated().is_none());
            bench.request(energy());
            assert!(matches!(bench.failed(), SessionError::NotReady));
        }
    }
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
