//! Secrets that are wrong and counters that go back, at an independent meter: how often it is tried, and what is said.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlms2mqtt::bridge::backoff::is_refusal;
use dlms2mqtt::bridge::config::load_text;
use dlms2mqtt::bridge::config::tree::Format;
use dlms2mqtt::bridge::link::meter::{Counters, Meter};
use dlms2mqtt::bridge::link::open::open_link;
use dlms2mqtt::bridge::link::station::Station;
use dlms2mqtt::client::FileCounterStore;
use dlms2mqtt::error::{Code, Report};
use dlms2mqtt::wire::wrapper::Deframer;
use serde_json::{Value, json};
use support::peer_mode::{AUTHENTICATION_KEY, BLOCK_CIPHER_KEY, DEDICATED_KEY, Mode, PLAIN};
use support::proxy::Proxy;

const AARQ: u8 = 0x60;
const WRONG_KEY: &str = "0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F0F";

const CIPHERED: Mode = Mode { authentication: "gmac", security: "authencr", ..PLAIN };

/// A device as the bridge has it, on its own, so that time can be made to pass.
struct Visitor {
    station: Station,
    now: Instant,
}

impl Visitor {
    /// `keys` change the device of a mode's configuration.
    fn new(mode: Mode, port: u16, state_dir: &Path, keys: &Value) -> Self {
        let mut config = mode.configuration(port, state_dir);
        let device = config["devices"][0].as_object_mut().expect("a device");
        device.extend(keys.as_object().expect("keys").clone());
        let config = load_text(&config.to_string(), Format::Json, Path::new("")).expect("valid").config;
        let device = Arc::new(config.devices.values().next().expect("a device").clone());
        let connection = Arc::new(config.connections.values().next().expect("a connection").clone());
        let counters = Counters::File(FileCounterStore::open(state_dir).expect("a folder"));
        let meter = Meter::new(Arc::clone(&device), connection, counters);
        Self { station: Station::new(device, meter, Vec::new()), now: Instant::now() }
    }

    /// One visit: associates and leaves.
    async fn visit(&mut self) -> Result<(), Report> {
        let meter = self.station.meter.as_mut().expect("a meter");
        let connection = meter.connection();
        let mut driver = open_link(connection, meter.device.interface).await.expect("the port is open");
        let outcome = meter.associate(&mut driver).await.map(|_| ()).map_err(|failure| failure.report);
        meter.leave(&mut driver).await;
        outcome
    }
}

/// How many associations clients other than the public one have asked for.
fn attempts(proxy: &Proxy) -> usize {
    let of_connection = |octets: &Vec<u8>| {
        let mut deframer = Deframer::new(u16::MAX);
        deframer.feed(octets);
        let mut count = 0;
        while let Ok(Some(pdu)) = deframer.next() {
            count += usize::from(pdu.source != 16 && pdu.apdu.first() == Some(&AARQ));
        }
        count
    };
    proxy.sent().iter().map(of_connection).sum()
}

/// Visits again and again, longer apart than any pause.
async fn is_tried_five_times(mode: Mode, keys: Value, code: Code) {
    let Some(meter) = mode.start(1) else { return };
    let proxy = Proxy::to(meter.port()).await;
    let state = tempfile::tempdir().expect("a folder");
    let mut visitor = Visitor::new(mode, proxy.port(), state.path(), &keys);
    let (mut told, mut left_alone) = (0, 0);
    for _ in 0..9 {
        if visitor.station.pause(visitor.now).is_some() {
            left_alone += 1;
        } else {
            let report = visitor.visit().await.expect_err("the secrets are wrong");
            assert_eq!(report.code, code, "{keys}: {report}");
            assert!(is_refusal(report.code, report.dlms), "{keys}: {report}");
            told += u32::from(visitor.station.failed(&report, visitor.now).locked_out);
            assert!(visitor.station.pause(visitor.now).is_some(), "no second attempt at once");
        }
        visitor.now += Duration::from_secs(2 * 3600);
    }
    assert_eq!((attempts(&proxy), told, left_alone), (5, 1, 4), "{keys}");
    let last = visitor.station.pause(visitor.now).expect("for good");
    assert!(last.message.starts_with("no more attempts"), "{last}");
}

#[tokio::test]
async fn a_meter_sees_a_wrong_password_five_times_and_no_more() {
    let low = Mode { authentication: "low", ..PLAIN };
    let wrong = json!({"password": "wrong"});
    is_tried_five_times(low, wrong.clone(), Code::AareRejected).await;
    for authentication in ["md5", "sha1", "sha256", "high"] {
        is_tried_five_times(Mode { authentication, ..PLAIN }, wrong.clone(), Code::AuthHls).await;
    }
}

#[tokio::test]
async fn a_meter_sees_a_wrong_key_five_times_and_no_more() {
    for (security, keys, code) in [
        ("authencr", json!({"authentication_key": WRONG_KEY}), Code::CipherKey),
        ("authencr", json!({"block_cipher_key": WRONG_KEY}), Code::CipherKey),
        ("none", json!({"authentication_key": WRONG_KEY}), Code::AuthHls),
        ("none", json!({"block_cipher_key": WRONG_KEY}), Code::AuthHls),
    ] {
        is_tried_five_times(Mode { security, ..CIPHERED }, keys, code).await;
    }
}

/// A visit of a gateway that has just started, to a meter whose own counter stands at `counter`.
async fn visit_at(counter: &'static str, replay_check: &str, state: &Path) -> Option<Result<(), Report>> {
    let arguments: &'static [&'static str] = match counter {
        "1000" => &["--server-ic", "1000"],
        "10" => &["--server-ic", "10"],
        _ => &["--server-ic", "5000"],
    };
    let mode = Mode { arguments, ..CIPHERED };
    let meter = mode.start(1)?;
    let mut visitor = Visitor::new(mode, meter.port(), state, &json!({"replay_check": replay_check}));
    Some(visitor.visit().await)
}

#[tokio::test]
async fn the_strict_replay_check_outlives_the_gateway() {
    let state = tempfile::tempdir().expect("a folder");
    let Some(first) = visit_at("1000", "strict", state.path()).await else { return };
    assert_eq!(first, Ok(()));
    let replayed = visit_at("10", "strict", state.path()).await.expect("a meter").expect_err("it went back");
    assert_eq!(replayed.code, Code::Replay, "{replayed}");
    let again = visit_at("1000", "strict", state.path()).await.expect("a meter").expect_err("the same again");
    assert_eq!(again.code, Code::Replay, "{again}");
    assert_eq!(visit_at("5000", "strict", state.path()).await, Some(Ok(())));
    // Meters that start anew with each association are why this is not the default.
    assert_eq!(visit_at("10", "association", state.path()).await, Some(Ok(())));
}

#[tokio::test]
async fn right_secrets_are_no_refusal() {
    let Some(meter) = CIPHERED.start(1) else { return };
    let state = tempfile::tempdir().expect("a folder");
    let keys = json!({"authentication_key": AUTHENTICATION_KEY, "block_cipher_key": BLOCK_CIPHER_KEY});
    let mut visitor = Visitor::new(CIPHERED, meter.port(), state.path(), &keys);
    for _ in 0..3 {
        assert_eq!(visitor.visit().await, Ok(()));
    }
}

/// The first octets of what was sent over connections, PDU by PDU.
fn tags(proxy: &Proxy) -> Vec<u8> {
    let of_connection = |octets: &Vec<u8>| {
        let mut deframer = Deframer::new(u16::MAX);
        deframer.feed(octets);
        let mut tags = Vec::new();
        while let Ok(Some(pdu)) = deframer.next() {
            tags.extend(pdu.apdu.first().filter(|_| pdu.source != 16));
        }
        tags
    };
    proxy.sent().iter().flat_map(of_connection).collect()
}

#[tokio::test]
async fn the_general_forms_of_ciphering_are_used_where_they_are_configured() {
    for (keys, tag) in [
        (json!({}), 0xC8),
        (json!({"ciphering_form": "general"}), 0xDB),
        (json!({"ciphering_form": "general", "dedicated_key": DEDICATED_KEY}), 0xDC),
    ] {
        let Some(meter) = CIPHERED.start(1) else { return };
        let proxy = Proxy::to(meter.port()).await;
        let state = tempfile::tempdir().expect("a folder");
        let mut visitor = Visitor::new(CIPHERED, proxy.port(), state.path(), &keys);
        assert_eq!(visitor.visit().await, Ok(()), "{keys}");
        let tags = tags(&proxy);
        assert!(tags.contains(&tag), "{keys}: {tags:02X?}");
        assert!(
            tags.iter().all(|&sent| matches!(sent, 0x60 | 0x62) || sent == tag || sent == 0xCB),
            "{tags:02X?}"
        );
    }
}
