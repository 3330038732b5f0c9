//! What real meters and lines do to an HDLC link: echoes, swapped addresses, LLC headers, pushes, wrong counts.

use super::*;

#[test]
fn the_optical_head_echoes() {
    let mut bench = Bench::new(config());
    bench.link.connect(bench.now);
    let mut snrm = Vec::new();
    bench.link.poll_transmit(&mut snrm);
    bench.receive(&snrm);
    bench.answer(0x73, &[]);
    assert_eq!(bench.event(), Some(LinkEvent::Connected(DEFAULTS)));
    bench.send(b"request");
    let mut request = Vec::new();
    bench.link.poll_transmit(&mut request);
    request.extend(bench.frame(0x30, false, &with_llc(b"answer")));
    bench.receive(&request);
    assert_eq!(bench.event(), apdu(b"answer"));
    assert_eq!(bench.link.counters().echoes, 2);
}

#[test]
fn nothing_but_an_echo() {
    let mut bench = Bench::new(config());
    bench.link.connect(bench.now);
    let mut snrm = Vec::new();
    for _ in 0..4 {
        snrm.clear();
        bench.link.poll_transmit(&mut snrm);
        bench.receive(&snrm);
        bench.now += TIMEOUT;
        bench.link.handle_timeout(bench.now);
    }
    assert_eq!(bench.event(), failed(LinkError::Echo));
    assert_eq!(LinkError::Echo.report().code, Code::SerialEcho);
}

#[test]
fn an_rr_that_looks_like_ours_is_no_echo() {
    let server = ServerAddress::new(1, None, None).unwrap();
    let config = HdlcConfig::new(ClientAddress::MANAGEMENT, server);
    let mut bench = Bench::connected(config, parameters(128, 1));
    bench.link.keep_alive(bench.now);
    assert_eq!(bench.controls(), [0x11]);
    bench.answer(0x11, &[]);
    assert!(bench.link.is_idle());
    assert_eq!(bench.link.counters().echoes, 0);
}

#[test]
fn swapped_addresses() {
    let mut bench = Bench::up();
    bench.send(b"request");
    let mut octets = Vec::new();
    Frame {
        segmented: false,
        destination: ServerAddress::new(1, Some(17), None).unwrap().encode(),
        source: ClientAddress::PUBLIC.encode(),
        control: Control::decode(0x30).unwrap(),
        information: &with_llc(b"answer"),
    }
    .encode(&mut octets)
    .unwrap();
    bench.receive(&octets);
    assert_eq!(bench.event(), apdu(b"answer"));
    assert_eq!(bench.link.counters().tolerated_addresses, 1);
}

#[test]
fn senseless_addresses_where_they_are_ignored() {
    let mut bench = Bench::new(HdlcConfig { address_check: AddressCheck::Ignored, ..config() });
    bench.link.connect(bench.now);
    let mut octets = Vec::new();
    Frame {
        segmented: false,
        destination: ClientAddress::new(99).unwrap().encode(),
        source: ServerAddress::new(77, None, None).unwrap().encode(),
        control: Control::UA,
        information: &[],
    }
    .encode(&mut octets)
    .unwrap();
    bench.receive(&octets);
    assert_eq!(bench.event(), Some(LinkEvent::Connected(DEFAULTS)));
}

#[test]
fn no_llc_and_too_many() {
    let mut bench = Bench::up();
    bench.send(b"request");
    bench.answer(0x30, b"bare");
    assert_eq!(bench.event(), apdu(b"bare"));
    bench.send(b"request");
    bench.answer_segment(0x52, &with_llc(b"a"));
    bench.answer_segment(0x54, &with_llc(b"b"));
    bench.answer(0x56, &with_llc(b"c"));
    assert_eq!(bench.event(), apdu(b"abc"));
    assert_eq!(bench.link.counters().repeated_llc, 1);
}

#[test]
fn a_pause_is_kept_before_every_turn() {
    let pause = Duration::from_millis(300);
    let timing = LinkTiming { request_delay: pause, ..LinkTiming::default() };
    let mut bench = Bench::connected(HdlcConfig { timing, ..config() }, parameters(128, 1));
    bench.send(b"request");
    assert_eq!(bench.controls(), [0; 0]);
    assert_eq!(controls(&bench.pass(pause)), [0x10]);
    bench.answer_segment(0x30, &with_llc(b"a"));
    assert_eq!(bench.controls(), [0; 0]);
    assert_eq!(controls(&bench.pass(pause)), [0x31]);
    // The time-out counts from the sending.
    assert_eq!(bench.pass(TIMEOUT - Duration::from_millis(1)), []);
    assert_eq!(controls(&bench.pass(Duration::from_millis(1))), [0x31]);
}

#[test]
fn slow_lines_get_the_time_that_octets_take() {
    let timing = LinkTiming { octet_time: Duration::from_millis(33), ..LinkTiming::default() };
    let mut bench = Bench::connected(HdlcConfig { timing, ..config() }, parameters(128, 1));
    bench.send(&[0; 100]);
    let octets = 100 + 3 + 12;
    bench.sent();
    assert_eq!(bench.pass(TIMEOUT + Duration::from_millis(33 * octets - 1)), []);
    assert_eq!(controls(&bench.pass(Duration::from_millis(1))), [0x10]);
}

#[test]
fn more_apdus_after_a_whole_one_in_one_turn() {
    let mut bench = Bench::connected(config(), parameters(128, 3));
    bench.send(b"request");
    bench.sent();
    bench.answer(0x20, &with_llc(b"first"));
    assert_eq!(bench.event(), apdu(b"first"));
    // The next request waits for silence, and takes notice of what comes meanwhile.
    bench.send(b"next");
    assert_eq!(bench.controls(), [0; 0]);
    bench.answer(0x32, &with_llc(b"second"));
    assert_eq!(bench.event(), apdu(b"second"));
    assert_eq!(controls(&bench.pass(Duration::from_millis(500))), [0x52]);
}

#[test]
fn pushes_in_ui_frames_whatever_their_addresses() {
    let mut bench = Bench::up();
    bench.send(b"request");
    bench.sent();
    let push = |control, segmented, information: &[u8]| {
        let mut octets = Vec::new();
        Frame {
            segmented,
            destination: dlms2mqtt::wire::hdlc::RawAddress::parse(&[0xCE, 0xFF]).unwrap(),
            source: ClientAddress::MANAGEMENT.encode(),
            control: Control::decode(control).unwrap(),
            information,
        }
        .encode(&mut octets)
        .unwrap();
        octets
    };
    bench.receive(&push(0x03, true, &with_llc(b"a push")));
    bench.receive(&push(0x13, false, b" in two"));
    assert_eq!(bench.event(), Some(LinkEvent::Unsolicited(b"a push in two".to_vec())));
    // A cut-off push does not spoil the next one, much later.
    bench.receive(&push(0x03, true, &with_llc(b"lost")));
    bench.answer(0x30, &with_llc(b"answer"));
    assert_eq!(bench.event(), apdu(b"answer"));
    bench.now += Duration::from_secs(60);
    bench.receive(&push(0x13, false, &with_llc(b"next")));
    assert_eq!(bench.event(), Some(LinkEvent::Unsolicited(b"next".to_vec())));
}

#[test]
fn a_meter_that_counts_our_rr_as_i_frames() {
    let mut bench = Bench::connected(config(), parameters(32, 1));
    bench.send(b"one");
    bench.answer_segment(0x30, b"a");
    bench.sent();
    bench.answer(0x52, b"b");
    assert_eq!(bench.event(), apdu(b"ab"));
    // V(S) is 1; it says 2 already, and 3 next.
    bench.send(b"two");
    bench.answer(0x74, b"c");
    assert_eq!(bench.event(), apdu(b"c"));
    assert!(bench.link.is_idle());
    // From now on its RR is believed, too, where nothing else can be its answer.
    bench.send(&[0; 40]);
    assert_eq!(bench.controls(), [0x74]);
    bench.answer(0x91, &[]);
    assert_eq!(bench.controls(), [0x76]);
    bench.answer(0xB6, b"d");
    assert_eq!(bench.event(), apdu(b"d"));
    assert_eq!(bench.link.counters().tolerated_numbers, 4);
}

#[test]
fn a_lone_llc_is_an_empty_apdu() {
    let mut bench = Bench::up();
    bench.send(b"request");
    bench.answer(0x30, &LLC);
    assert_eq!(bench.event(), apdu(b""));
}
