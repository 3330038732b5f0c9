//! The client's and the server's wrapper links against captured sessions.

mod support;

use std::time::Instant;

use dlms2mqtt::session::{LinkEvent, Reply, ServerEvent, WrapperConfig, WrapperLink, WrapperServer};
use dlms2mqtt::wire::wrapper::Pdu;
use support::vectors::{Sender, captured, to_hex};

#[test]
fn captured_sessions_are_repeated_octet_by_octet() {
    let now = Instant::now();
    let mut messages = 0;
    for session in captured("sessions", 4) {
        if session.input("framing") != "wrapper" {
            continue;
        }
        let exchange = session.exchange();
        let first = Pdu::decode(&exchange[0].1).unwrap();
        let mut client = WrapperLink::new(WrapperConfig::new(first.source, first.destination));
        let mut server = WrapperServer::new(vec![first.destination]);
        client.connect(now);
        client.poll_event();
        for (sender, octets) in &exchange {
            let apdu = Pdu::decode(octets).unwrap().apdu;
            let mut sent = Vec::new();
            if *sender == Sender::Client {
                client.send(now, apdu, Reply::Expected).unwrap();
                client.poll_transmit(&mut sent);
                server.handle_input(now, &sent);
                let Some(ServerEvent::Apdu(_, heard)) = server.poll_event() else { panic!("no request") };
                assert_eq!(to_hex(&heard), to_hex(apdu));
            } else {
                server.reply(now, apdu).unwrap();
                server.poll_transmit(&mut sent);
                client.handle_input(now, &sent);
                assert_eq!(client.poll_event(), Some(LinkEvent::Apdu(apdu.to_vec())));
            }
            assert_eq!(to_hex(&sent), to_hex(octets), "{}", session.name);
            messages += 1;
        }
        assert_eq!(client.counters().tolerated_addresses, 0);
    }
    assert!([0, 38].contains(&messages), "{messages} messages");
}
