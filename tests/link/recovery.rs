//! How an HDLC link recovers: lost, late, damaged and repeated frames, and what ends it.

use super::*;

#[test]
fn an_unanswered_frame_is_sent_again() {
    let mut bench = Bench::up();
    bench.send(b"request");
    let first = bench.sent();
    let again = bench.pass(TIMEOUT * 4);
    assert_eq!(again, [first.clone(), first.clone(), first].concat());
    assert_eq!(bench.event(), failed(LinkError::Timeout));
    assert_eq!(LinkError::Timeout.report().code, Code::Timeout);
    assert_eq!(bench.link.counters().retransmissions, 3);
}

#[test]
fn late_answers_to_repeated_frames_do_not_double_the_traffic() {
    let mut bench = Bench::up();
    bench.send(b"one");
    bench.sent();
    assert_eq!(controls(&bench.pass(TIMEOUT)), [0x10]);
    bench.answer(0x30, &with_llc(b"first"));
    assert_eq!(bench.event(), apdu(b"first"));
    bench.send(b"two");
    assert_eq!(bench.controls(), [0x32]);
    // The answer to the repetition: the same again, or an RR.
    bench.answer(0x30, &with_llc(b"first"));
    assert_eq!(bench.event(), None);
    assert_eq!(bench.controls(), [0; 0]);
    bench.answer(0x52, &with_llc(b"second"));
    assert_eq!(bench.event(), apdu(b"second"));
    assert_eq!(bench.link.counters().duplicates, 1);
}

#[test]
fn a_damaged_answer_is_asked_for_again() {
    let mut bench = Bench::up();
    bench.send(b"request");
    bench.sent();
    let mut octets = bench.frame(0x30, false, &with_llc(b"answer"));
    octets[14] ^= 1;
    bench.receive(&octets);
    assert_eq!(bench.controls(), [0; 0], "dropped silently");
    assert_eq!(controls(&bench.pass(TIMEOUT / 2)), [0x11], "RR, not the request");
    bench.answer(0x30, &with_llc(b"answer"));
    assert_eq!(bench.event(), apdu(b"answer"));
}

#[test]
fn a_damaged_segment_is_asked_for_again() {
    let mut bench = Bench::up();
    bench.send(b"request");
    bench.answer_segment(0x30, &with_llc(b"a"));
    bench.sent();
    let mut octets = bench.frame(0x32, false, b"b");
    octets[9] ^= 0x10;
    bench.receive(&octets);
    assert_eq!(controls(&bench.pass(TIMEOUT / 2)), [0x31]);
    bench.answer(0x32, b"b");
    assert_eq!(bench.event(), apdu(b"ab"));
}

#[test]
fn nothing_but_damage_is_told() {
    let mut bench = Bench::up();
    bench.send(b"request");
    let mut octets = bench.frame(0x30, false, &with_llc(b"answer"));
    octets[14] ^= 1;
    for _ in 0..4 {
        bench.receive(&octets);
        bench.pass(TIMEOUT);
    }
    assert_eq!(bench.event(), failed(LinkError::Damaged));
    assert_eq!(LinkError::Damaged.report().code, Code::HdlcFcs);
    assert!(bench.link.counters().checksum_failures >= 2);
}

#[test]
fn a_lost_request_that_the_station_tells_of_is_sent_again_at_once() {
    let mut bench = Bench::up();
    bench.send(b"request");
    bench.sent();
    bench.answer(0x11, &[]);
    assert_eq!(bench.controls(), [0x10]);
}

#[test]
fn a_gap_in_a_window_is_asked_for() {
    let mut bench = Bench::connected(config(), parameters(32, 3));
    bench.send(b"request");
    bench.sent();
    bench.answer_segment(0x20, &with_llc(b"a"));
    bench.answer_segment(0x34, b"c");
    assert_eq!(bench.controls(), [0x31]);
    bench.answer_segment(0x22, b"b");
    bench.answer(0x34, b"c");
    assert_eq!(bench.event(), apdu(b"abc"));
}

#[test]
fn a_station_that_only_repeats_itself_is_given_up() {
    let mut bench = Bench::up();
    bench.send(b"one");
    bench.answer(0x30, &with_llc(b"first"));
    assert_eq!(bench.event(), apdu(b"first"));
    bench.send(b"two");
    for _ in 0..1000 {
        bench.answer(0x30, &with_llc(b"first"));
        bench.pass(Duration::from_millis(100));
    }
    assert_eq!(bench.event(), failed(LinkError::Timeout));
}

#[test]
fn a_peer_that_trickles_octets_is_late_too() {
    let mut bench = Bench::up();
    bench.send(b"request");
    // A frame that is good as far as it goes, an octet every 400 ms.
    let octets = bench.frame(0x30, false, &[0x7E; 2000]);
    for octet in octets {
        bench.receive(&[octet]);
        bench.pass(Duration::from_millis(400));
        if let Some(event) = bench.event() {
            assert_eq!(Some(event), failed(LinkError::Timeout));
            return;
        }
    }
    panic!("it waits for ever");
}

#[test]
fn an_answer_that_is_coming_in_when_time_is_up_is_taken() {
    let mut bench = Bench::up();
    bench.send(b"request");
    bench.sent();
    let octets = bench.frame(0x30, false, &with_llc(b"answer"));
    bench.pass(TIMEOUT - Duration::from_millis(100));
    for octet in octets.chunks(2) {
        bench.receive(octet);
        assert_eq!(bench.pass(Duration::from_millis(50)), []);
    }
    assert_eq!(bench.event(), apdu(b"answer"));
}

#[test]
fn answers_of_others_extend_nothing() {
    let mut bench = Bench::up();
    bench.send(b"request");
    bench.sent();
    let mut stranger = Vec::new();
    Frame {
        segmented: false,
        destination: ClientAddress::PUBLIC.encode(),
        source: ServerAddress::new(1, Some(18), None).unwrap().encode(),
        control: Control::decode(0x30).unwrap(),
        information: &with_llc(b"strange"),
    }
    .encode(&mut stranger)
    .unwrap();
    for _ in 0..3 {
        bench.receive(&stranger);
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(controls(&bench.pass(Duration::from_secs(2))), [0x10], "five seconds in all");
    assert_eq!(bench.event(), None);
    assert_eq!(bench.link.counters().foreign, 3);
}

#[test]
fn what_ends_a_link() {
    for (control, information, error) in [
        (0x1F, &[][..], LinkError::DisconnectedMode),
        (0x97, &[0x54, 0x00, 0x10], LinkError::FrameRejected { control: 0x54, reason: 0x10 }),
        (0x97, &[], LinkError::FrameRejected { control: 0, reason: 0 }),
    ] {
        let mut bench = Bench::up();
        bench.send(b"request");
        bench.answer(control, information);
        assert_eq!(bench.event(), failed(error));
        assert!(!bench.link.is_connected());
        assert_eq!(bench.link.poll_timeout(), None);
    }
}
