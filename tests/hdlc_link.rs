//! The client's HDLC link against scripted meters: the procedure; in files of their own its recoveries and the
//! faults of real meters.

#[path = "link/bench.rs"]
mod bench;
#[path = "link/faults_of_real_meters.rs"]
mod faults_of_real_meters;
#[path = "link/recovery.rs"]
mod recovery;
mod support;

use std::time::Duration;

use bench::{Bench, DEFAULTS, LLC, TIMEOUT, config, parameters, with_llc};
use dlms2mqtt::error::Code;
use dlms2mqtt::session::{AddressCheck, HdlcConfig, LinkError, LinkEvent, LinkTiming, Reply};
use dlms2mqtt::wire::hdlc::{ClientAddress, Control, Frame, ServerAddress};
use support::vectors::{Sender, captured, to_hex};

fn apdu(text: &[u8]) -> Option<LinkEvent> {
    Some(LinkEvent::Apdu(text.to_vec()))
}

fn failed(error: LinkError) -> Option<LinkEvent> {
    Some(LinkEvent::Failed(error))
}

fn controls(frames: &[bench::Sent]) -> Vec<u8> {
    frames.iter().map(|frame| frame.control).collect()
}

mod set_up {
    use super::*;

    #[test]
    fn negotiates() {
        let mut bench = Bench::new(config());
        assert_eq!(bench.link.send(bench.now, b"x", Reply::Expected), Err(LinkError::NotConnected));
        bench.link.connect(bench.now);
        let snrm = bench.sent();
        assert_eq!(controls(&snrm), [0x93]);
        assert_eq!(to_hex(&snrm[0].information), "818012050180060180070400000001080400000001");
        bench.answer(0x73, &[0x81, 0x80, 6, 5, 1, 0x40, 6, 1, 0x3E]);
        let expected = dlms2mqtt::session::LinkParameters { max_send: 0x3E, max_receive: 0x40, ..DEFAULTS };
        assert_eq!(bench.event(), Some(LinkEvent::Connected(expected)));
        assert!(bench.link.is_idle());
        assert_eq!(bench.link.poll_timeout(), None, "an idle link has no timers");
    }

    #[test]
    fn an_answer_without_parameters_means_the_defaults() {
        let mut bench = Bench::new(HdlcConfig { proposal: parameters(1024, 3), ..config() });
        bench.link.connect(bench.now);
        bench.answer(0x73, &[]);
        assert_eq!(bench.event(), Some(LinkEvent::Connected(DEFAULTS)));
    }

    #[test]
    fn the_last_try_goes_without_parameters() {
        let mut bench = Bench::new(config());
        bench.link.connect(bench.now);
        let mut sent = bench.sent();
        sent.extend(bench.pass(TIMEOUT * 4));
        assert_eq!(controls(&sent), [0x93; 4]);
        assert!(sent[..3].iter().all(|frame| !frame.information.is_empty()));
        assert!(sent[3].information.is_empty());
        assert_eq!(bench.event(), failed(LinkError::NoUa));
        assert_eq!(LinkError::NoUa.report().code, Code::HdlcNoUa);
        assert_eq!(bench.link.poll_timeout(), None);
    }

    #[test]
    fn a_disconnected_station_is_asked_again() {
        let mut bench = Bench::new(config());
        bench.link.connect(bench.now);
        bench.sent();
        bench.answer(0x1F, &[]);
        assert_eq!(bench.controls(), [0x93]);
        bench.answer(0x1F, &[]);
        assert!(bench.sent()[0].information.is_empty(), "without parameters");
        bench.answer(0x1F, &[]);
        assert_eq!(bench.event(), failed(LinkError::DisconnectedMode));
        assert_eq!(LinkError::DisconnectedMode.report().code, Code::HdlcDm);
    }

    #[test]
    fn rejected_parameters_are_left_out() {
        let mut bench = Bench::new(config());
        bench.link.connect(bench.now);
        bench.sent();
        bench.answer(0x97, &[0x93, 0, 0x40]);
        assert!(bench.sent()[0].information.is_empty());
        let again = bench.pass(TIMEOUT);
        assert!(again[0].information.is_empty(), "nor offered again");
        bench.answer(0x73, &[]);
        assert_eq!(bench.event(), Some(LinkEvent::Connected(DEFAULTS)));
    }

    #[test]
    fn a_late_answer_to_a_repeated_snrm_is_no_reset() {
        let mut bench = Bench::new(config());
        bench.link.connect(bench.now);
        bench.pass(TIMEOUT);
        bench.answer(0x73, &[]);
        assert!(matches!(bench.event(), Some(LinkEvent::Connected(_))));
        bench.send(b"request");
        bench.answer(0x73, &[]);
        bench.answer(0x30, &with_llc(b"answer"));
        assert_eq!(bench.event(), apdu(b"answer"));
        bench.answer(0x73, &[]);
        assert_eq!(bench.event(), failed(LinkError::Reset));
    }

    #[test]
    fn late_answers_of_a_former_link_are_passed_over() {
        let mut bench = Bench::up();
        bench.send(b"request");
        bench.pass(TIMEOUT * 5);
        assert_eq!(bench.event(), failed(LinkError::Timeout));
        bench.link.connect(bench.now);
        bench.answer(0x30, &with_llc(b"late"));
        bench.answer(0x11, &[]);
        bench.answer(0x73, &[]);
        assert_eq!(bench.event(), Some(LinkEvent::Connected(DEFAULTS)));
        assert_eq!(bench.event(), None);
    }
}

mod exchange {
    use super::*;

    #[test]
    fn requests_and_answers_with_running_numbers() {
        let mut bench = Bench::up();
        for count in 0..10u8 {
            let number = count & 7;
            bench.send(&[count]);
            let sent = bench.sent();
            assert_eq!(controls(&sent), [number << 5 | 0x10 | number << 1]);
            assert_eq!(sent[0].information, [0xE6, 0xE6, 0x00, count]);
            assert_eq!(bench.link.send(bench.now, b"x", Reply::Expected), Err(LinkError::Busy));
            bench.answer(((number + 1) & 7) << 5 | 0x10 | number << 1, &with_llc(&[count, 7]));
            assert_eq!(bench.event(), apdu(&[count, 7]));
            assert_eq!(bench.link.poll_timeout(), None);
        }
    }

    #[test]
    fn a_segmented_answer_is_fetched_with_rr() {
        let mut bench = Bench::up();
        bench.send(b"request");
        bench.sent();
        bench.answer_segment(0x30, &with_llc(b"one "));
        assert_eq!(bench.controls(), [0x31]);
        bench.answer_segment(0x32, b"two ");
        assert_eq!(bench.controls(), [0x51]);
        bench.answer(0x34, b"three");
        assert_eq!(bench.event(), apdu(b"one two three"));
        assert_eq!(bench.controls(), [0; 0]);
    }

    #[test]
    fn a_long_request_goes_in_segments() {
        let mut bench = Bench::connected(config(), parameters(32, 1));
        let request: Vec<u8> = (0..70).collect();
        bench.send(&request);
        let first = bench.sent();
        assert_eq!((first[0].control, first[0].segmented, first[0].information.len()), (0x10, true, 32));
        bench.answer(0x31, &[]);
        let second = bench.sent();
        assert_eq!((second[0].control, second[0].segmented, second[0].information.len()), (0x12, true, 32));
        bench.answer(0x51, &[]);
        let third = bench.sent();
        assert_eq!((third[0].control, third[0].segmented, third[0].information.len()), (0x14, false, 9));
        let whole = [&first[0].information[3..], &second[0].information, &third[0].information].concat();
        assert_eq!(whole, request);
        bench.answer(0x70, &with_llc(b"done"));
        assert_eq!(bench.event(), apdu(b"done"));
    }

    #[test]
    fn windows_of_both_directions() {
        let mut bench = Bench::connected(config(), parameters(32, 3));
        bench.send(&[5; 140]);
        assert_eq!(bench.controls(), [0x00, 0x02, 0x14]);
        // The second frame was lost: it and its followers go again.
        bench.answer(0x31, &[]);
        assert_eq!(bench.controls(), [0x02, 0x04, 0x16]);
        bench.answer(0x91, &[]);
        assert_eq!(bench.controls(), [0x18]);
        let mut octets = bench.frame(0xA0, true, &with_llc(b"a"));
        octets.extend(bench.frame(0xA2, true, b"b"));
        octets.extend(bench.frame(0xB4, true, b"c"));
        bench.receive(&octets);
        assert_eq!(bench.controls(), [0x71], "one acknowledgement for the window");
        bench.answer_segment(0xA6, b"d");
        assert_eq!(bench.controls(), [0; 0], "F=0: more is coming");
        bench.answer(0xB8, b"e");
        assert_eq!(bench.event(), apdu(b"abcde"));
    }

    #[test]
    fn a_meter_that_never_sets_f_is_acknowledged_when_its_window_is_full() {
        let mut bench = Bench::up();
        bench.send(b"request");
        bench.sent();
        bench.answer_segment(0x20, &with_llc(b"a"));
        assert_eq!(bench.controls(), [0x31]);
        bench.answer(0x22, b"b");
        assert_eq!(bench.event(), apdu(b"ab"));
    }

    #[test]
    fn a_busy_station_is_asked_until_it_is_ready() {
        let mut bench = Bench::up();
        bench.send(b"request");
        bench.sent();
        bench.answer(0x15, &[]);
        assert_eq!(bench.controls(), [0; 0]);
        assert_eq!(controls(&bench.pass(Duration::from_secs(1))), [0x11]);
        bench.answer(0x11, &[]);
        assert_eq!(bench.controls(), [0x10], "not taken before: again");
        bench.answer(0x31, &[]);
        assert_eq!(bench.controls(), [0; 0], "taken, no answer yet");
        assert_eq!(controls(&bench.pass(Duration::from_secs(1))), [0x11]);
        bench.answer(0x30, &with_llc(b"answer"));
        assert_eq!(bench.event(), apdu(b"answer"));
    }

    #[test]
    fn patience_with_a_busy_station_ends() {
        let mut bench = Bench::up();
        bench.send(b"request");
        bench.sent();
        for _ in 0..100 {
            bench.answer(0x35, &[]);
            bench.pass(Duration::from_secs(1));
        }
        assert_eq!(bench.event(), failed(LinkError::Timeout));
    }

    #[test]
    fn without_an_answer_the_next_waits_for_the_acknowledgement() {
        let mut bench = Bench::up();
        bench.link.send(bench.now, b"one", Reply::None).unwrap();
        bench.link.send(bench.now, b"two", Reply::Expected).unwrap();
        assert_eq!(bench.link.send(bench.now, b"three", Reply::Expected), Err(LinkError::Busy));
        assert_eq!(bench.controls(), [0x10]);
        bench.answer(0x31, &[]);
        assert_eq!(bench.controls(), [0x12]);
        bench.answer(0x50, &with_llc(b"answer"));
        assert_eq!(bench.event(), apdu(b"answer"));
        assert!(bench.link.is_idle());
    }

    #[test]
    fn an_answer_that_was_something_else_is_waited_for_again() {
        let mut bench = Bench::up();
        bench.send(b"request");
        bench.sent();
        bench.answer(0x30, &with_llc(b"notification"));
        assert_eq!(bench.event(), apdu(b"notification"));
        bench.link.await_reply(bench.now);
        assert_eq!(controls(&bench.pass(Duration::from_secs(1))), [0x31]);
        bench.answer(0x32, &with_llc(b"answer"));
        assert_eq!(bench.event(), apdu(b"answer"));
        assert_eq!(bench.link.poll_timeout(), None);
        bench.link.await_reply(bench.now);
        bench.pass(TIMEOUT * 10);
        assert_eq!(bench.event(), failed(LinkError::Timeout));
    }

    #[test]
    fn keep_alive_asks_an_idle_station() {
        let mut bench = Bench::up();
        bench.link.keep_alive(bench.now);
        assert_eq!(bench.controls(), [0x11]);
        bench.answer(0x11, &[]);
        assert!(bench.link.is_idle());
        assert_eq!(bench.link.poll_timeout(), None);
        bench.link.keep_alive(bench.now);
        assert_eq!(bench.controls(), [0x11]);
        assert_eq!(controls(&bench.pass(TIMEOUT * 4)), [0x11; 3]);
        assert_eq!(bench.event(), failed(LinkError::Timeout));
    }

    #[test]
    fn an_apdu_longer_than_allowed_ends_the_link() {
        let mut bench = Bench::connected(HdlcConfig { max_apdu: 200, ..config() }, parameters(128, 1));
        bench.send(b"request");
        bench.answer_segment(0x30, &[1; 128]);
        bench.answer_segment(0x32, &[1; 128]);
        assert_eq!(bench.event(), failed(LinkError::TooLong));
        assert_eq!(LinkError::TooLong.report().code, Code::Decode);
    }

    /// Plays a captured session of a client, from its first I frame that the publisher did not alter and
    /// without which nothing is missing, and compares every octet that the link sends.
    fn repeat(name: &str, client: ClientAddress, skip: usize) -> usize {
        let Some(session) = captured("sessions", 4).into_iter().find(|vector| vector.name == name) else {
            return 0;
        };
        let server = ServerAddress::new(1, None, None).unwrap();
        let mut bench = Bench::connected(HdlcConfig::new(client, server), parameters(128, 1));
        let exchange = session.exchange();
        let ours = exchange.iter().filter(|(_, octets)| {
            let frame = Frame::decode(&octets[1..octets.len() - 1]);
            let stations = [client.encode(), server.encode()];
            frame.is_ok_and(|Frame { source, destination, .. }| {
                [source, destination] == stations || [destination, source] == stations
            })
        });
        let mut checked = 0;
        for (sender, octets) in ours.skip(skip) {
            let frame = Frame::decode(&octets[1..octets.len() - 1]).unwrap();
            if *sender == Sender::Server {
                bench.receive(octets);
                continue;
            }
            match frame.control {
                Control::Information { send, receive, .. } => {
                    if checked == 0 {
                        bring_numbers_to(&mut bench, send.value(), receive.value());
                    }
                    while bench.event().is_some() {}
                    bench.send(&frame.information[3..]);
                }
                Control::Disconnect { .. } => bench.link.disconnect(bench.now),
                _ => {}
            }
            let mut sent = Vec::new();
            bench.link.poll_transmit(&mut sent);
            assert_eq!(to_hex(&sent), to_hex(octets));
            checked += 1;
        }
        assert!(matches!(bench.event(), Some(LinkEvent::Apdu(_))));
        checked
    }

    /// Exchanges something until V(S) and V(R) are these.
    fn bring_numbers_to(bench: &mut Bench, send: u8, receive: u8) {
        let mut from_meter = 0;
        for ours in 1..=send {
            bench.send(b"something");
            let segments = if ours == send { receive.wrapping_sub(from_meter + 1) & 7 } else { 0 };
            for last in (0..=segments).map(|segment| segment == segments) {
                let control = ours << 5 | 0x10 | (from_meter & 7) << 1;
                if last {
                    bench.answer(control, b"x");
                } else {
                    bench.answer_segment(control, b"x");
                }
                from_meter += 1;
            }
        }
        bench.sent();
    }

    #[test]
    fn captured_sessions_are_repeated_octet_by_octet() {
        let public = repeat("hdlc-director-attrs", ClientAddress::PUBLIC, 0);
        // Set-up and association come first, then the capture misses some exchanges.
        let management = repeat("hdlc-lls-capture-objects", ClientAddress::MANAGEMENT, 3);
        assert!([(0, 0), (30, 18)].contains(&(public, management)), "{public} {management}");
    }
}

mod disconnecting {
    use super::*;

    #[test]
    fn any_answer_and_none_are_a_disconnect() {
        for control in [0x73, 0x1F] {
            let mut bench = Bench::up();
            bench.link.disconnect(bench.now);
            assert_eq!(bench.controls(), [0x53]);
            bench.answer(control, &[]);
            assert_eq!(bench.event(), Some(LinkEvent::Disconnected));
        }
        let mut bench = Bench::up();
        bench.send(b"request");
        bench.link.disconnect(bench.now);
        assert_eq!(bench.controls(), [0x53]);
        assert_eq!(controls(&bench.pass(TIMEOUT * 2)), [0x53]);
        assert_eq!(bench.event(), Some(LinkEvent::Disconnected));
        assert_eq!(bench.link.poll_timeout(), None);
    }

    #[test]
    fn before_the_first_connect_too() {
        let timing = LinkTiming { disconnect_delay: Duration::from_secs(1), ..LinkTiming::default() };
        let mut bench = Bench::new(HdlcConfig { timing, ..config() });
        bench.link.disconnect(bench.now);
        assert_eq!(bench.controls(), [0x53]);
        bench.answer(0x1F, &[]);
        assert_eq!(bench.event(), Some(LinkEvent::Disconnected));
        bench.link.connect(bench.now);
        assert_eq!(bench.controls(), [0; 0], "the pause after DISC");
        assert_eq!(controls(&bench.pass(Duration::from_secs(1))), [0x93]);
    }
}
