//! A client's session that is sent other APDUs than the answer: pushes, stale answers, exceptions, empty blocks.

use std::time::{Duration, Instant};

use dlms2mqtt::error::Code;
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
use dlms2mqtt::wire::xdlms::{AttributeDescriptor, AttributeRequest};

/// Accepted, without authentication; GET.
const AARE: &[u8] = &[
    0x61, 0x29, 0xA1, 0x09, 0x06, 0x07, 0x60, 0x85, 0x74, 0x05, 0x08, 0x01, 0x01, 0xA2, 0x03, 0x02, 0x01,
    0x00, 0xA3, 0x05, 0xA1, 0x03, 0x02, 0x01, 0x00, 0xBE, 0x10, 0x04, 0x0E, 0x08, 0x00, 0x06, 0x5F, 0x1F,
    0x04, 0x00, 0x00, 0x00, 0x10, 0x04, 0x00, 0x00, 0x07,
];

/// A DataNotification without a time, of null-data.
const PUSH: &[u8] = &[0x0F, 0, 0, 0, 1, 0, 0];

/// Service not allowed, service not supported.
const NOT_ALLOWED: &[u8] = &[0xD8, 1, 2];

struct Bench {
    session: ClientSession,
    now: Instant,
}

impl Bench {
    fn associated() -> Self {
        let settings = AssociationSettings {
            referencing: Referencing::LogicalName,
            ciphering: Ciphering::Plain,
            mechanism: Mechanism::Lowest,
            secret: Default::default(),
            own_title: None,
            server_title: None,
            dedicated_key: None,
            conformance: Conformance::LN_PROPOSAL,
            max_pdu: 0xFFFF,
            hls_object: Obis::new(0, 0, 40, 0, 0, 255),
        };
        let link = WrapperLink::new(WrapperConfig::new(16, 1));
        let mut bench = Self { session: ClientSession::new(link.into(), settings), now: Instant::now() };
        bench.session.open(bench.now);
        assert!(matches!(bench.session.poll_event(), Some(Event::Opened(_))));
        bench.session.associate(bench.now, &[0; 16], None);
        bench.sent();
        bench.hear(&[AARE]);
        assert!(matches!(bench.session.poll_event(), Some(Event::Associated(_))));
        bench
    }

    /// Asks for an attribute; returns the invoke-id-and-priority of the request.
    fn ask(&mut self) -> u8 {
        let register =
            AttributeDescriptor { class_id: 3, instance_id: Obis::new(1, 0, 1, 8, 0, 255), attribute_id: 2 };
        self.session.request(self.now, Service::Get(AttributeRequest::whole(register)));
        let sent = self.sent();
        sent[8 + 2]
    }

    fn sent(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.session.poll_transmit(&mut out);
        out
    }

    /// All of it arrives at once.
    fn hear(&mut self, apdus: &[&[u8]]) {
        let mut octets = Vec::new();
        for apdu in apdus {
            Pdu { source: 1, destination: 16, apdu }.encode(&mut octets).expect("short");
        }
        self.session.handle_input(self.now, &octets);
    }

    #[track_caller]
    fn got(&mut self, expected: u8) {
        let outcome = Event::Outcome(Outcome::Get(Ok(Data::Unsigned(expected))));
        assert_eq!(self.session.poll_event(), Some(outcome));
    }

    #[track_caller]
    fn failed(&mut self) -> SessionError {
        match self.session.poll_event() {
            Some(Event::Failed(error)) => error,
            other => panic!("expected a failure, not {other:?}"),
        }
    }
}

fn answer(invoke: u8, value: u8) -> [u8; 6] {
    [0xC4, 1, invoke, 0, 0x11, value]
}

#[test]
fn what_arrives_together_with_the_answer_leaves_the_link_free_for_the_next_request() {
    let mut bench = Bench::associated();
    for value in 0..20 {
        let invoke = bench.ask();
        let (stale, answer) = (answer(invoke ^ 3, 99), answer(invoke, value));
        let before: &[&[u8]] = if value % 2 == 0 { &[&stale, &answer] } else { &[PUSH, &answer, &stale] };
        bench.hear(before);
        if value % 2 == 1 {
            assert_eq!(bench.session.poll_event(), Some(Event::Notification(PUSH.to_vec())));
        }
        bench.got(value);
        assert_eq!(bench.session.poll_event(), None);
    }
}

#[test]
fn an_answer_after_a_push_is_waited_for_as_long_as_any() {
    let mut bench = Bench::associated();
    let invoke = bench.ask();
    bench.now += Duration::from_secs(4);
    bench.hear(&[PUSH]);
    assert_eq!(bench.session.poll_event(), Some(Event::Notification(PUSH.to_vec())));
    bench.now += Duration::from_secs(4);
    bench.session.handle_timeout(bench.now);
    assert_eq!(bench.session.poll_event(), None, "five seconds from the push on");
    bench.hear(&[&answer(invoke, 7)]);
    bench.got(7);
}

#[test]
fn pushes_without_end_are_no_answer() {
    let mut bench = Bench::associated();
    bench.ask();
    bench.hear(&vec![PUSH; 100]);
    let mut pushes = 0;
    let error = loop {
        match bench.session.poll_event() {
            Some(Event::Notification(_)) => pushes += 1,
            Some(Event::Failed(error)) => break error,
            other => panic!("{other:?} after {pushes} pushes"),
        }
    };
    assert!(error.to_string().contains("other APDUs"), "{error}");
    assert_eq!(error.report().code, Code::Timeout);
    assert_eq!(error.recovery(), Recovery::ReopenLink);
}

#[test]
fn a_refusal_right_after_an_answer_is_of_one_object_and_later_of_the_association() {
    let mut bench = Bench::associated();
    for _ in 0..3 {
        bench.ask();
        bench.hear(&[NOT_ALLOWED]);
        let error = bench.failed();
        assert_eq!((error.recovery(), error.report().code), (Recovery::ReportOnly, Code::ServiceNotAllowed));
        let invoke = bench.ask();
        bench.hear(&[&answer(invoke, 5)]);
        bench.got(5);
    }
    bench.now += Duration::from_secs(60);
    bench.ask();
    bench.hear(&[NOT_ALLOWED]);
    let error = bench.failed();
    assert_eq!((error.recovery(), error.report().code), (Recovery::Reassociate, Code::ServiceNotAllowed));
    assert!(bench.session.negotiated().is_none());
}

#[test]
fn an_invocation_counter_error_is_no_refusal_of_an_object() {
    let mut bench = Bench::associated();
    bench.ask();
    bench.hear(&[&[0xD8, 1, 6, 0, 0, 0, 9]]);
    let error = bench.failed();
    assert_eq!(error.report().code, Code::CipherIc);
    assert_ne!(error.recovery(), Recovery::ReportOnly);
}

#[test]
fn blocks_without_data_end() {
    let mut bench = Bench::associated();
    let invoke = bench.ask();
    for number in 1..=16_u8 {
        bench.hear(&[&[0xC4, 2, invoke, 0, 0, 0, 0, number, 0, 0]]);
        assert_eq!(bench.session.poll_event(), None);
        assert!(!bench.sent().is_empty(), "the next block is asked for");
    }
    bench.hear(&[&[0xC4, 2, invoke, 0, 0, 0, 0, 17, 0, 0]]);
    let error = bench.failed();
    assert_eq!((error.recovery(), error.report().code), (Recovery::Reassociate, Code::BlockTransfer));
}

#[test]
fn a_value_that_cannot_be_decoded_spoils_only_itself() {
    let mut bench = Bench::associated();
    let invoke = bench.ask();
    bench.hear(&[&[0xC4, 1, invoke, 0, 0x11, 5, 5]]);
    let trailing = bench.failed();
    let invoke = bench.ask();
    bench.hear(&[&[0xC4, 1, invoke, 0, 0xEE]]);
    let unknown = bench.failed();
    let invoke = bench.ask();
    bench.hear(&[&[0xC4, 2, invoke, 1, 0, 0, 0, 1, 0, 2, 0x12, 0]]);
    let cut_off = bench.failed();
    for error in [trailing, unknown, cut_off] {
        assert_eq!((error.recovery(), error.report().code), (Recovery::ReportOnly, Code::Decode));
    }
    let invoke = bench.ask();
    bench.hear(&[&answer(invoke, 5)]);
    bench.got(5);
    bench.ask();
    bench.hear(&[&[0xC4, 9, 0, 0]]);
    assert_eq!(bench.failed().recovery(), Recovery::Reassociate, "whose answer that is nobody knows");
}
