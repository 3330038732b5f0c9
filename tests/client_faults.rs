//! The meter client against the peer meter's faults: the right code, and never a wrong value.

mod support;

use dlms2mqtt::client::MeterClient;
use dlms2mqtt::error::Code;
use dlms2mqtt::session::client::ClientSession;
use dlms2mqtt::transport::Driver;
use dlms2mqtt::wire::xdlms::{AttributeDescriptor, AttributeRequest};
use support::peer_mode::{Mode, PLAIN};
use support::vectors::to_hex;
use tokio::net::TcpStream;

/// What a reading of one attribute after the other came to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Attributes that were read and equal the dump.
    equal: usize,
    /// Codes of attributes that the meter refused, in order, without repeats.
    refused: Vec<Code>,
    /// What ended it, if anything did.
    end: Option<Code>,
}

/// Reads attributes one after the other until the meter's fault ends it; every value must be the true one.
async fn read_until_fault(mode: Mode) -> Option<Outcome> {
    let meter = mode.start(1)?;
    let mut outcome = Outcome { equal: 0, refused: Vec::new(), end: None };
    let stream = TcpStream::connect(("127.0.0.1", meter.port())).await.expect("a connection");
    let mut driver = Driver::new(stream);
    let mut session = ClientSession::new(mode.link(), mode.settings());
    let mut client = MeterClient::new(&mut driver, &mut session);
    client.open().await.expect("a link");
    if let Err(error) = client.associate(mode.security(101)).await {
        outcome.end = Some(error.report().code);
        return Some(outcome);
    }
    let readable =
        meter.attributes().into_iter().filter(|attribute| attribute.hex.is_some() && !attribute.dynamic);
    for attribute in readable.take(40) {
        let descriptor = AttributeDescriptor {
            class_id: attribute.class,
            instance_id: attribute.obis.parse().expect("an OBIS code"),
            attribute_id: attribute.attribute,
        };
        match client.read_one(AttributeRequest::whole(descriptor)).await {
            Ok(Ok(data)) => {
                assert_eq!(Some(to_hex(&data.to_bytes())), attribute.hex, "{mode:?}: {attribute:?}");
                outcome.equal += 1;
            }
            Ok(Err(report)) => {
                if outcome.refused.last() != Some(&report.code) {
                    outcome.refused.push(report.code);
                }
            }
            Err(error) => {
                outcome.end = Some(error.report().code);
                break;
            }
        }
    }
    Some(outcome)
}

async fn expect_end(mode: Mode, code: Code) {
    let Some(outcome) = read_until_fault(mode).await else { return };
    assert_eq!(outcome.end, Some(code), "{mode:?}: {outcome:?}");
    assert!(outcome.equal < 40, "{mode:?}: the fault came too late to be seen");
}

const CIPHERED: Mode = Mode { authentication: "gmac", security: "authencr", ..PLAIN };

#[tokio::test]
async fn a_spoilt_tag_is_named_and_its_value_dropped() {
    for framing in ["wrapper", "hdlc"] {
        for security in ["auth", "authencr"] {
            let mode = Mode { framing, security, arguments: &["--bad-tag-every", "7"], ..CIPHERED };
            expect_end(mode, Code::CipherTag).await;
        }
    }
}

#[tokio::test]
async fn a_repeated_counter_is_a_replay() {
    for framing in ["wrapper", "hdlc"] {
        expect_end(Mode { framing, arguments: &["--wrong-ic"], ..CIPHERED }, Code::Replay).await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_named_whole_or_in_mid_frame() {
    for framing in ["wrapper", "hdlc"] {
        expect_end(Mode { framing, arguments: &["--drop-after", "9"], ..PLAIN }, Code::TcpClosed).await;
        expect_end(Mode { framing, arguments: &["--close-mid-frame", "9"], ..PLAIN }, Code::TcpClosed).await;
    }
}

#[tokio::test]
async fn a_busy_meter_refuses_and_goes_on() {
    for framing in ["wrapper", "hdlc"] {
        let mode = Mode { framing, arguments: &["--busy-first", "5"], ..PLAIN };
        let Some(outcome) = read_until_fault(mode).await else { return };
        let expected = Outcome { equal: 35, refused: vec![Code::TemporaryFailure], end: None };
        assert_eq!(outcome, expected, "{mode:?}");
    }
}
