//! A client's session that is sent other APDUs than the answer: pushes, stale answers, exceptions, blocks without end.

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
use dlms2mqtt::wire::xdlms::sn::VariableAccess;
use dlms2mqtt::wire::xdlms::{AttributeDescriptor, AttributeRequest, DataAccessResult, GetDataResult};

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
        Self::by(Referencing::LogicalName)
    }

    fn by(referencing: Referencing) -> Self {
        let settings = AssociationSettings {
            referencing,
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
        let mut aare = AARE.to_vec();
        if referencing == Referencing::ShortName {
            aare[12] = 2;
        }
        bench.hear(&[&aare]);
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

    /// Asks for variables by short names.
    fn read(&mut self, names: &[u16]) {
        let variables = names.iter().map(|&name| VariableAccess::Name(name)).collect();
        self.session.request(self.now, Service::Read(variables));
        self.sent();
    }

    #[track_caller]
    fn got_list(&mut self, expected: Vec<GetDataResult>) {
        assert_eq!(self.session.poll_event(), Some(Event::Outcome(Outcome::GetList(expected))));
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

#[test]
fn a_value_by_short_name_that_cannot_be_decoded_spoils_only_its_request() {
    let mut bench = Bench::by(Referencing::ShortName);
    let cases: [(&[u16], &[u8]); 4] = [
        (&[0x1008], &[0x0C, 1, 0, 0xEE]),
        (&[0x1008], &[0x0C, 1, 0, 0x11, 5, 5]),
        (&[0x1008, 0x1108], &[0x0C, 2, 0, 0x11, 5, 0, 0xEE]),
        // The whole of it in one block, and cut off there.
        (&[0x1008], &[0x0C, 1, 2, 1, 0, 1, 4, 1, 0, 0x12, 0]),
    ];
    for (names, response) in cases {
        bench.read(names);
        bench.hear(&[response]);
        let error = bench.failed();
        assert_eq!(
            (error.recovery(), error.report().code),
            (Recovery::ReportOnly, Code::Decode),
            "{response:02X?}"
        );
        bench.read(&[0x1008]);
        bench.hear(&[&[0x0C, 1, 0, 0x11, 7]]);
        bench.got_list(vec![Ok(Data::Unsigned(7))]);
    }
    bench.read(&[0x1008]);
    bench.hear(&[&[0x0C, 2, 0, 0xEE]]);
    assert_eq!(bench.failed().recovery(), Recovery::Reassociate, "whose answer that is nobody knows");
}

#[test]
fn a_list_by_short_names_with_another_number_of_results_is_no_list_of_values() {
    let mut bench = Bench::by(Referencing::ShortName);
    bench.read(&[0x1008, 0x1108]);
    bench.hear(&[&[0x0C, 1, 0, 0x11, 7]]);
    assert_eq!(bench.failed().report().code, Code::Decode);
    bench.read(&[0x1008, 0x1108]);
    bench.hear(&[&[0x0C, 2, 0, 0x11, 7, 1, 4]]);
    bench.got_list(vec![Ok(Data::Unsigned(7)), Err(DataAccessResult::ObjectUndefined)]);
}

#[test]
fn an_answer_too_many_ends_the_connection_where_answers_bear_no_number() {
    let answer: &[u8] = &[0x0C, 1, 0, 0x11, 7];
    let mut bench = Bench::by(Referencing::ShortName);
    bench.read(&[0x1008]);
    bench.hear(&[answer, answer]);
    bench.got_list(vec![Ok(Data::Unsigned(7))]);
    assert_out_of_step(&mut bench);

    let mut bench = Bench::by(Referencing::ShortName);
    bench.read(&[0x1008]);
    bench.hear(&[answer]);
    bench.got_list(vec![Ok(Data::Unsigned(7))]);
    bench.hear(&[PUSH]);
    assert_eq!(bench.session.poll_event(), Some(Event::Notification(PUSH.to_vec())), "a push is none");
    bench.hear(&[answer]);
    assert_out_of_step(&mut bench);

    let mut bench = Bench::by(Referencing::ShortName);
    bench.session.release(bench.now);
    bench.hear(&[answer]);
    assert_out_of_step(&mut bench);

    let mut numbered = Bench::associated();
    let invoke = numbered.ask();
    numbered.hear(&[&self::answer(invoke, 7), &self::answer(invoke, 7)]);
    numbered.got(7);
    assert_eq!(numbered.session.poll_event(), None, "its number says that it is old");
}

#[track_caller]
fn assert_out_of_step(bench: &mut Bench) {
    let error = bench.failed();
    assert_eq!(error, SessionError::OutOfStep);
    assert_eq!(error.recovery(), Recovery::ReopenLink);
    assert_eq!(error.report().code, Code::Decode);
    assert!(!bench.session.is_open());
}

/// Lets the meter say something every four seconds until the session gives up; the seconds that took.
fn held(bench: &mut Bench, mut says: impl FnMut(u32, u8) -> Vec<u8>) -> (u64, SessionError) {
    let begun = bench.now;
    let invoke = bench.ask();
    for turn in 1..10_000 {
        bench.now += Duration::from_secs(4);
        let apdu = says(turn, invoke);
        bench.hear(&[&apdu]);
        bench.sent();
        while let Some(event) = bench.session.poll_event() {
            match event {
                Event::Failed(error) => return ((bench.now - begun).as_secs(), error),
                Event::Notification(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("it goes on for ever");
}

fn block(number: u32, invoke: u8, raw: &[u8]) -> Vec<u8> {
    let length = u8::try_from(raw.len()).expect("short");
    [&[0xC4, 2, invoke, 0][..], &number.to_be_bytes(), &[0, length], raw].concat()
}

#[test]
fn a_meter_that_brings_hardly_anything_does_not_hold_the_link() {
    type Says = fn(u32, u8) -> Vec<u8>;
    let ways: [(&str, Says); 4] = [
        ("blocks of one octet", |turn, invoke| block(turn, invoke, &[9])),
        ("pushes", |_, _| PUSH.to_vec()),
        ("answers to other requests", |_, invoke| answer(invoke ^ 3, 1).to_vec()),
        ("the same general block", |_, _| vec![0xE0, 0x01, 0, 1, 0, 0, 1, 0xC4]),
    ];
    for (way, says) in ways {
        let mut bench = Bench::associated();
        let (seconds, error) = held(&mut bench, says);
        assert!((60..=400).contains(&seconds), "{way}: {seconds} s");
        assert!(matches!(error.recovery(), Recovery::ReopenLink | Recovery::Reassociate), "{way}: {error}");
        assert!(matches!(error.report().code, Code::Timeout | Code::BlockTransfer), "{way}: {error}");
    }
}

#[test]
fn an_association_request_is_not_waited_for_any_longer() {
    let mut bench = Bench::associated();
    bench.session.close(bench.now);
    while bench.session.poll_event().is_some() {}
    bench.session.open(bench.now);
    bench.session.associate(bench.now, &[0; 16], None);
    while bench.session.poll_event().is_some() {}
    let begun = bench.now;
    loop {
        bench.now += Duration::from_secs(4);
        bench.hear(&[&[0xE0, 0x01, 0, 1, 0, 0, 1, 0x61]]);
        bench.sent();
        if let Some(Event::Failed(error)) = bench.session.poll_event() {
            assert_eq!(error.report().code, Code::Timeout);
            assert!(error.to_string().contains("hardly anything"), "{error}");
            break;
        }
        assert!(bench.now - begun < Duration::from_secs(300));
    }
}

#[test]
fn a_slow_meter_that_does_bring_something_is_waited_for() {
    let mut bench = Bench::associated();
    let raw = [7; 100];
    let (seconds, error) = held(&mut bench, |turn, invoke| block(turn, invoke, &raw));
    assert!(seconds >= 3_500, "given up only after an hour: {seconds} s: {error}");
}

#[test]
fn blocks_must_hold_something_however_fast_they_come() {
    let mut bench = Bench::associated();
    let invoke = bench.ask();
    for number in 1..200 {
        bench.hear(&[&block(number, invoke, &[9])]);
        bench.sent();
        if let Some(Event::Failed(error)) = bench.session.poll_event() {
            assert_eq!((error.recovery(), error.report().code), (Recovery::Reassociate, Code::BlockTransfer));
            assert!((64..100).contains(&number), "at block {number}");
            return;
        }
    }
    panic!("blocks of one octet each, by the hundred");
}
