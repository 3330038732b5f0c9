//! The peers themselves: before others' clients and others' meters judge this project, each pair must agree.

mod support;

use support::peer_client::{Answer, Outcome, PeerClient};
use support::peer_meter::{Attribute, PeerMeter};

use PeerClient::{DlmsCosem, Gurux};

#[test]
fn clients_read_every_attribute_over_hdlc() {
    agree(&["--interface", "hdlc"], &["--interface", "hdlc"], &[Gurux, DlmsCosem]);
}

#[test]
fn clients_read_every_attribute_over_the_wrapper() {
    agree(&["--interface", "wrapper"], &["--interface", "wrapper"], &[Gurux, DlmsCosem]);
}

#[test]
fn clients_log_in_with_a_password() {
    let login = ["--interface", "hdlc", "--auth", "low", "--password", "Gurux", "--client-address", "2"];
    agree(&login, &login, &[Gurux, DlmsCosem]);
}

#[test]
fn clients_gather_segments_and_blocks() {
    let meter = ["--server-address", "1/17", "--max-pdu", "64", "--hdlc-info", "32/32"];
    agree(&meter, &["--server-address", "1", "--physical-address", "17"], &[Gurux, DlmsCosem]);
}

#[test]
fn clients_authenticate_and_cipher() {
    for interface in ["hdlc", "wrapper"] {
        let modes =
            ["--interface", interface, "--auth", "gmac", "--security", "authencr", "--client-address", "1"];
        agree(&modes, &modes, &[Gurux]);
        // Each with a meter of its own: the meter remembers the highest invocation counter.
        agree(&modes, &modes, &[DlmsCosem]);
    }
}

/// Every answer of the clients is what the meter says is true, and no readable attribute is left out.
fn agree(meter: &[&str], client: &[&str], clients: &[PeerClient]) {
    let Some(meter) = PeerMeter::start(meter, 311 * clients.len()) else { return };
    let attributes = meter.attributes();
    for peer in clients {
        let answers = peer.read(meter.port(), &[client, &["--classes", "all", "--entries", "3"]].concat());
        assert_eq!(answers.len(), attributes.len() + 1, "{peer:?}: the object list comes twice");
        for answer in &answers {
            let truth = attributes
                .iter()
                .find(|a| {
                    (a.class, a.obis.as_str(), a.attribute) == (answer.class, &answer.obis, answer.attribute)
                })
                .unwrap_or_else(|| panic!("{peer:?} read what is not there: {answer:?}"));
            compare(*peer, answer, truth);
        }
    }
}

fn compare(peer: PeerClient, answer: &Answer, truth: &Attribute) {
    match (&answer.outcome, &truth.hex) {
        (Outcome::Refused(_), None) => {}
        (Outcome::Data { .. }, Some(_)) if truth.dynamic => {}
        (Outcome::Data { hex, .. }, Some(buffer)) if answer.entries.is_some() => {
            // Tag and count apart, the first rows of the whole buffer.
            assert!(hex.starts_with("0103") && hex.len() > 50, "{peer:?}: {answer:?}");
            assert!(buffer[4..].starts_with(&hex[4..]), "{peer:?}: {answer:?}");
        }
        (Outcome::Data { hex, .. }, Some(whole)) => assert_eq!(hex, whole, "{peer:?}: {answer:?}"),
        (outcome, hex) => panic!("{peer:?}: {outcome:?} where the meter has {hex:?}: {answer:?}"),
    }
}
