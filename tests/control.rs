//! Requests over MQTT from a third-party client, in both versions, and their answers.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::bridge::RunningBridge;
use support::mosquitto::{Mosquitto, PATIENCE};
use support::paho::Paho;
use support::peer_meter::PeerMeter;

const VERSIONS: [&str; 2] = ["5", "3.1.1"];

fn config(broker: &Mosquitto, version: &str, meter: u16) -> String {
    format!(
        "
gateway: g
state_dir: STATE
mqtt:
  url: {url}
  protocol: '{version}'
  response_topics: ['scada/#']
  control: {{ allow: [config, test, test_inline, read, device, poll, profile, job, log_level, health_check, restart] }}
connections: [{{ name: line, host: 127.0.0.1, port: {meter}, persistent: true }}]
devices:
  - {{ name: meter, connection: line, interface: wrapper, access_security: low, password: Tops3cret, client_address: 1 }}
groups:
  - name: fast
    interval: 1
    devices: [meter]
    values: [{{ name: energy, obis: 1.0.1.8.0.255, class: register }}]
",
        url = broker.url()
    )
}

fn meter(checks: usize) -> Option<PeerMeter> {
    PeerMeter::start(
        &["--interface", "wrapper", "--auth", "low", "--password", "Tops3cret", "--client-address", "1"],
        checks,
    )
}

#[test]
fn health_configuration_and_values_in_both_versions() {
    let Some(meter) = meter(12) else { return };
    for version in VERSIONS {
        let broker = Mosquitto::start();
        let paho = Paho::start(broker.port(), version, "dlms/g", &["scada/#"]);
        let _bridge = RunningBridge::start(&config(&broker, version, meter.port()));
        paho.event("started");

        let health = paho.request("health_check", json!({}));
        assert_eq!((&health["status"], &health["gateway"]), (&json!("ok"), &json!("g")), "{health}");
        assert!(health["data"]["uptime_s"].is_u64(), "{health}");

        let shown = paho.request("config/get", json!({}));
        let data = &shown["data"];
        assert_eq!(data["config"]["devices"][0]["password"], json!({ "redacted": true }), "{shown}");
        assert_eq!((&data["revision"], data["sha256"].as_str().map(str::len)), (&json!(1), Some(64)));

        let same = paho.request("config/validate", json!({ "config": data["config"] }));
        assert_eq!((&same["data"]["valid"], &same["data"]["plan"]), (&json!(true), &json!([])), "{same}");
        let wrong =
            paho.request("config/validate", json!({ "config": { "gateway": "g", "conections": [] } }));
        assert_eq!((&wrong["status"], &wrong["data"]["valid"]), (&json!("ok"), &json!(false)), "{wrong}");
        assert_eq!(wrong["data"]["problems"][0]["pointer"], "/conections", "{wrong}");

        let read = paho.request(
            "read",
            json!({ "device": "meter", "objects": [{ "obis": "1-0:1.8.0*255" }, { "obis": "1-0:99.99.99*255" }] }),
        );
        assert_eq!(read["status"], "partial", "{read}");
        let [energy, missing] = &read["data"]["values"].as_array().unwrap()[..] else { panic!("{read}") };
        assert_eq!((&energy["name"], &energy["quality"]), (&json!("energy"), &json!("good")), "{energy}");
        assert!(energy["value"].is_number() && energy["unit"] == "Wh", "{energy}");
        assert_eq!(missing["error"]["code"], "OBJECT_UNDEFINED", "{missing}");

        let snapshots = paho.request("read", json!({ "group": "fast" }));
        assert_eq!(snapshots["data"]["snapshots"][0]["values"]["energy"]["quality"], "good", "{snapshots}");
        assert_eq!(snapshots["status"], "ok", "{snapshots}");
    }
}

#[test]
fn tests_pauses_jobs_and_the_log_in_both_versions() {
    let Some(meter) = meter(10) else { return };
    for version in VERSIONS {
        let broker = Mosquitto::start();
        let paho = Paho::start(broker.port(), version, "dlms/g", &[]);
        let bridge = RunningBridge::start(&config(&broker, version, meter.port()));
        paho.event("started");

        let tested = paho.request("test/device", json!({ "device": "meter" }));
        assert_eq!((&tested["status"], &tested["data"]["ok"]), (&json!("ok"), &json!(true)), "{tested}");
        assert!(tested["data"]["identity"]["logical_device_name"].is_string(), "{tested}");
        let refused = paho.request(
            "test/device",
            json!({ "device": { "name": "other", "connection": "line", "interface": "wrapper", "client_address": 1,
                "access_security": "low", "password": "wrong" } }),
        );
        assert_eq!(refused["error"]["code"], "AARE_REJECTED", "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains("refused the password"), "{refused}");
        let group = paho.request("test/group", json!({ "group": "fast" }));
        assert_eq!(group["data"]["snapshots"][0]["values"]["energy"]["quality"], "good", "{group}");

        let paused = paho.request("poll/pause", json!({ "device": "meter" }));
        assert_eq!(paused["data"]["polls"], 1, "{paused}");
        let resumed = paho.request("poll/resume", json!({ "device": "meter" }));
        assert_eq!(resumed["data"]["polls"], 1, "{resumed}");
        assert_eq!(paho.request("job/list", json!({}))["data"], json!({ "jobs": [] }));
        let unknown = paho.request("job/cancel", json!({ "job": "job-7" }));
        assert_eq!(unknown["error"]["code"], "UNKNOWN_NAME", "{unknown}");

        let louder = paho.request("log_level", json!({ "level": "debug", "for": "2s" }));
        assert_eq!(louder["status"], "ok", "{louder}");
        bridge.until_logged("the usual log level is back");
        assert_eq!(paho.request("restart", json!({}))["status"], "ok");
        bridge.until_logged("starting anew on request");
        // Until it is back nobody hears a request.
        let starts = || paho.of("bridge/event").iter().filter(|it| it.json()["type"] == "started").count();
        let begun = Instant::now();
        while starts() < 2 {
            assert!(begun.elapsed() < PATIENCE, "the bridge does not come back");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(paho.request("device/reconnect", json!({ "device": "meter" }))["status"], "ok");
    }
}

#[test]
fn another_gateway_of_our_name_is_told_of() {
    let broker = Mosquitto::start();
    let paho = Paho::start(broker.port(), "5", "dlms/g", &[]);
    let configuration = config(&broker, "5", 1);
    let _one = RunningBridge::start(&configuration);
    paho.event("started");
    let _other = RunningBridge::start(&configuration);
    let event = paho.event("client_id_conflict");
    assert_eq!(
        (&event["code"], &event["severity"]),
        (&json!("MQTT_CLIENT_ID_CONFLICT"), &json!("warning")),
        "{event}"
    );
    assert!(event["data"]["reason"].is_string(), "{event}");
}
