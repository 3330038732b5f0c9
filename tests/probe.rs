//! Tests of devices, step by step, against the peer meter: what looks alike from outside gets a cause of its own.

mod support;

use std::sync::Arc;
use std::time::Duration;

use dlms2mqtt::bridge::config::load::load_tree;
use dlms2mqtt::bridge::config::model::Config;
use dlms2mqtt::bridge::link::meter::Counters;
use dlms2mqtt::bridge::probe::{Probe, StepStatus, test_connection, test_device};
use dlms2mqtt::client::FileCounterStore;
use dlms2mqtt::security::{CounterId, CounterStore as _, MemoryCounterStore, SystemTitle};
use serde_json::{Value, json};
use support::peer_mode::{BLOCK_CIPHER_KEY, Mode, OWN_TITLE, PLAIN, key};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const HDLC: Mode = Mode { framing: "hdlc", ..PLAIN };
const OTHER_KEY: &str = "0F0E0D0C0B0A09080706050403020100";

/// A configuration with what is changed of its device, and its state directory.
fn config(mode: Mode, port: u16, changes: &Value) -> (Config, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tree = mode.configuration(port, folder.path());
    for (name, value) in changes.as_object().expect("an object") {
        tree["devices"][0][name] = value.clone();
    }
    let loaded = load_tree(tree, folder.path()).unwrap_or_else(|problems| panic!("{problems:?}"));
    (loaded.config, folder)
}

async fn probe(config: &Config, counters: &Counters) -> Probe {
    let device = Arc::new(config.devices[0].clone());
    let connection = Arc::new(config.connections[0].clone());
    let testing = test_device(&device, &connection, counters, &[]);
    tokio::time::timeout(Duration::from_secs(60), testing).await.expect("an end").0
}

fn forgetful() -> Counters {
    Counters::Memory(MemoryCounterStore::default())
}

fn status(probe: &Probe, step: &str) -> (StepStatus, String) {
    let step = probe.steps.iter().find(|it| it.step.as_str() == step).expect("every step is there");
    (step.status, step.detail.clone())
}

/// A meter, a device that is configured otherwise, and what must be said of it.
struct Case {
    meter: Mode,
    device: Mode,
    changes: Value,
    step: &'static str,
    code: &'static str,
    cause: &'static str,
}

async fn expect(cases: Vec<Case>) {
    for Case { meter: mode, device, changes, step, code, cause } in cases {
        let Some(meter) = mode.start(1) else { continue };
        let (config, _state) = config(device, meter.port(), &changes);
        let probe = probe(&config, &forgetful()).await;
        let place = format!("{mode:?} {changes}: {probe:#?}");
        assert!(!probe.ok, "{place}");
        let failed: Vec<_> = probe.steps.iter().filter(|it| it.status == StepStatus::Failed).collect();
        let [failed] = failed.as_slice() else { panic!("{place}") };
        let error = failed.error.as_ref().expect("a failed step says why");
        assert_eq!((failed.step.as_str(), error.code.as_str()), (step, code), "{place}");
        assert!(error.message.contains(cause), "{cause}: {place}");
        assert!(!error.hint.is_empty(), "{place}");
    }
}

fn gmac(security: &'static str) -> Mode {
    Mode { authentication: "gmac", security, ..PLAIN }
}

#[tokio::test]
async fn a_healthy_device_passes_every_step() {
    for (mode, steps) in [
        (PLAIN, ["ok", "ok", "skipped", "skipped", "skipped", "skipped", "ok", "skipped", "ok", "ok"]),
        (HDLC, ["ok", "ok", "skipped", "skipped", "ok", "skipped", "ok", "skipped", "ok", "ok"]),
        (
            Mode { framing: "hdlc", ..gmac("authencr") },
            ["ok", "ok", "skipped", "skipped", "ok", "ok", "ok", "ok", "ok", "ok"],
        ),
        (
            Mode { framing: "hdlc", referencing: "sn", ..gmac("authencr") },
            ["ok", "ok", "skipped", "skipped", "ok", "ok", "ok", "ok", "ok", "ok"],
        ),
    ] {
        let Some(meter) = mode.start(1) else { continue };
        let (config, _state) = config(mode, meter.port(), &json!({}));
        let probe = probe(&config, &forgetful()).await;
        let json = serde_json::to_value(&probe).expect("JSON");
        assert!(probe.ok, "{json:#}");
        let found: Vec<_> = json["steps"].as_array().expect("steps").iter().map(|it| &it["status"]).collect();
        assert_eq!(found, steps, "{json:#}");
        assert!(json["identity"]["logical_device_name"].is_string(), "{json:#}");
        let service = if mode.is_short_name() { "read" } else { "get" };
        let conformance = json["negotiated"]["conformance"].as_array().expect("services");
        assert!(conformance.iter().any(|it| it == service), "{json:#}");
        assert_eq!(json["negotiated"]["hdlc"].is_object(), mode.framing == "hdlc", "{json:#}");
    }
}

/// A line at another speed: whatever is asked, octets come back that are no frame.
async fn noise(octets: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 256];
                while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(octets).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn octets_that_are_no_frames_are_the_lines_fault() {
    // Without flags, with flags but no format between them, and a frame whose check sequences do not fit.
    let noises: [&[u8]; 3] = [
        b"\x9f\xe0\x1c\xf8\x00\xff\x3c\xe7",
        b"\x7e\x1c\xf8\x7e\x00\x7e\xff\x3c\x7e",
        b"\x7e\xa0\x07\x21\x03\x73\x00\x00\x7e",
    ];
    for octets in noises {
        let port = noise(octets).await;
        let (config, _state) = config(HDLC, port, &json!({ "timeout": "300ms", "retries": 0 }));
        let garbled = probe(&config, &forgetful()).await;
        let error = garbled.error().unwrap_or_else(|| panic!("{octets:02x?}: {garbled:#?}"));
        assert!(error.message.contains("octets arrive, but no whole frame"), "{octets:02x?}: {garbled:#?}");
        assert!(error.hint.contains("baud"), "{octets:02x?}: {garbled:#?}");
        assert_eq!(status(&garbled, "snrm").0, StepStatus::Failed, "{octets:02x?}: {garbled:#?}");
    }
}

#[tokio::test]
async fn connections_without_a_meter() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (config_silent, _state) = config(HDLC, port, &json!({ "timeout": "100ms" }));
    let connected = test_connection(&config_silent.connections[0]).await;
    assert!(connected.ok, "{connected:#?}");
    assert_eq!(status(&connected, "connect").0, StepStatus::Ok);
    assert_eq!(
        status(&connected, "snrm"),
        (StepStatus::Skipped, "the connection alone is tested".to_owned())
    );
    for (mode, code) in [(HDLC, "HDLC_NO_UA"), (PLAIN, "TIMEOUT")] {
        let (config, _state) = config(mode, port, &json!({ "timeout": "100ms" }));
        let silent = probe(&config, &forgetful()).await;
        let error = silent.error().expect("a failure");
        assert_eq!(error.code.as_str(), code, "{silent:#?}");
        assert!(error.message.contains("no octet arrives, whoever asks"), "{silent:#?}");
    }
    drop(listener);
    let refused = probe(&config_silent, &forgetful()).await;
    assert_eq!(refused.error().map(|error| error.code.as_str()), Some("TCP_REFUSED"));
    assert_eq!(status(&refused, "connect").0, StepStatus::Failed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut tree = PLAIN.configuration(1, folder.path());
    tree["connections"][0]["host"] = "meter.invalid".into();
    let nameless = load_tree(tree, folder.path()).expect("valid").config;
    let nameless = probe(&nameless, &forgetful()).await;
    assert_eq!(nameless.error().map(|error| error.code.as_str()), Some("DNS"));
    assert_eq!(status(&nameless, "resolve").0, StepStatus::Failed);
}

#[tokio::test]
async fn silence_has_a_cause() {
    let case = |meter, changes, step, code, cause| Case { meter, device: meter, changes, step, code, cause };
    let slow = |mut changes: Value| {
        changes["timeout"] = "200ms".into();
        changes
    };
    expect(vec![
        case(HDLC, slow(json!({"client_address": 5})), "snrm", "HDLC_NO_UA", "but not client 5"),
        case(
            HDLC,
            slow(json!({"server_address": 77})),
            "snrm",
            "HDLC_NO_UA",
            "a meter answers at server address 1 ",
        ),
        case(HDLC, slow(json!({"interface": "wrapper"})), "aarq", "TIMEOUT", "speaks HDLC"),
        case(PLAIN, slow(json!({"client_address": 5})), "aarq", "TIMEOUT", "but not client 5"),
        case(PLAIN, slow(json!({"server_address": 77})), "aarq", "TIMEOUT", "answers at server address 1,"),
        case(PLAIN, slow(json!({"interface": "hdlc"})), "snrm", "HDLC_NO_UA", "speaks the TCP wrapper"),
    ])
    .await;
}

#[tokio::test]
async fn refusals_have_a_cause() {
    let low = Mode { authentication: "low", ..PLAIN };
    let md5 = Mode { authentication: "md5", ..PLAIN };
    let sha256 = Mode { authentication: "sha256", ..PLAIN };
    let short = Mode { referencing: "sn", ..PLAIN };
    let case = |meter, device, changes, step, code, cause| Case { meter, device, changes, step, code, cause };
    expect(vec![
        case(short, PLAIN, json!({}), "aarq", "AARE_REJECTED", "the meter uses short names"),
        case(PLAIN, short, json!({}), "aarq", "AARE_REJECTED", "the meter uses logical names"),
        case(low, low, json!({"password": "wrong"}), "aarq", "AARE_REJECTED", "refused the password"),
        case(low, md5, json!({}), "aarq", "AARE_REJECTED", "does not take access_security: high_md5"),
        case(low, PLAIN, json!({}), "aarq", "AARE_REJECTED", "demands authentication of client 1"),
        case(md5, md5, json!({"password": "wrong"}), "hls", "AUTH_HLS", "the secret is another"),
        case(
            sha256,
            sha256,
            json!({"password": "wrong"}),
            "hls",
            "AUTH_HLS",
            "secret and both system titles",
        ),
    ])
    .await;
}

#[tokio::test]
async fn failures_of_ciphering_have_a_cause() {
    let case = |meter, device, changes, step, code, cause| Case { meter, device, changes, step, code, cause };
    let other_ek = || json!({ "block_cipher_key": OTHER_KEY });
    let other_ak = || json!({ "authentication_key": OTHER_KEY });
    let low = Mode { authentication: "low", ..PLAIN };
    let low_both = Mode { security: "authencr", ..low };
    expect(vec![
        case(gmac("authencr"), gmac("none"), json!({}), "aarq", "AARE_REJECTED", "wants client 1 to cipher"),
        case(low, low_both, json!({}), "aarq", "AARE_REJECTED", "does not cipher with client 1"),
        case(
            gmac("authencr"),
            gmac("auth"),
            json!({}),
            "aarq",
            "CIPHER_KEY",
            "policy is authentication_encryption, not authentication",
        ),
        case(
            gmac("authencr"),
            gmac("authencr"),
            other_ek(),
            "aarq",
            "CIPHER_KEY",
            "from outside these look the same",
        ),
        case(
            gmac("authencr"),
            gmac("authencr"),
            other_ak(),
            "aarq",
            "CIPHER_KEY",
            "from outside these look the same",
        ),
        case(gmac("encr"), gmac("encr"), other_ek(), "aarq", "SERVICE_ERROR", "block_cipher_key is another"),
        case(gmac("encr"), gmac("encr"), other_ak(), "hls", "AUTH_HLS", "authentication_key is another"),
        case(gmac("none"), gmac("none"), other_ek(), "hls", "AUTH_HLS", "from outside these look the same"),
        case(
            gmac("authencr"),
            gmac("authencr"),
            json!({ "server_system_title": "4142434445464748" }),
            "aarq",
            "CIPHER_SYSTEM_TITLE",
            "4142434445464748",
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_invocation_counter_is_read_once_and_caught_up_with() {
    const AHEAD: Mode = Mode { arguments: &["--client-ic", "5000"], ..PLAIN };
    for (framing, counter_object) in
        [("wrapper", "0.0.43.1.0.255"), ("hdlc", "0.0.43.1.0.255"), ("wrapper", "none")]
    {
        let mode = Mode { framing, authentication: "gmac", security: "authencr", ..AHEAD };
        let Some(meter) = mode.start(1) else { continue };
        let (config, state) = config(mode, meter.port(), &json!({ "invocation_counter": counter_object }));
        let mut store = FileCounterStore::open(state.path()).expect("a store");
        let id = CounterId::sending(&key(BLOCK_CIPHER_KEY), SystemTitle(OWN_TITLE));
        store.reserve(&id, 7, 1).expect("a counter that the meter has seen");
        drop(store);
        let counters = || Counters::File(FileCounterStore::open(state.path()).expect("a store"));
        let caught_up = probe(&config, &counters()).await;
        assert!(caught_up.ok, "{caught_up:#?}");
        let (status_then, detail) = status(&caught_up, "counter");
        assert_eq!(status_then, StepStatus::Ok, "{detail}");
        assert!(detail.contains("the meter refused ours"), "{detail}");
        let stored = FileCounterStore::open(state.path()).expect("a store").limit(&id);
        assert!(stored.expect("readable").is_some_and(|limit| limit > 5000), "{stored:?}");
        // What is known is not asked for again.
        let known = probe(&config, &counters()).await;
        assert!(known.ok, "{known:#?}");
        assert_eq!(status(&known, "counter").0, StepStatus::Skipped);
    }
}
