//! Every verb over MQTT from a third-party client, in both versions of MQTT, and what requests may not do.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dlms2mqtt::bridge::control::Verb;
use serde_json::{Value, json};
use support::bridge::RunningBridge;
use support::mosquitto::{Mosquitto, PATIENCE};
use support::paho::{Arrived, Paho};
use support::peer_meter::PeerMeter;
use support::proxy::{Answers, Proxy};

const VERSIONS: [&str; 2] = ["5", "3.1.1"];
const PASSWORD: &str = "Tops3cret";
const ALLOW: &str =
    "[config, test, test_inline, read, device, poll, profile, job, log_level, health_check, restart]";

fn meter(checks: usize, faults: &[&str]) -> Option<PeerMeter> {
    let usual = ["--interface", "wrapper", "--auth", "low", "--password", PASSWORD, "--client-address", "1"];
    PeerMeter::start(&[&usual[..], faults].concat(), checks)
}

fn config(broker: &Mosquitto, version: &str, port: u16, allow: &str, values: &str) -> String {
    format!(
        "
gateway: g
state_dir: STATE
mqtt:
  url: {url}
  protocol: '{version}'
  response_topics: ['scada/#']
  control: {{ allow: {allow} }}
connections: [{{ name: line, host: 127.0.0.1, port: {port}, persistent: true }}]
devices:
  - {{ name: meter, connection: line, interface: wrapper, access_security: low, password: {PASSWORD}, client_address: 1,
      retries: 0 }}
groups:
  - name: fast
    interval: 1
    devices: [meter]
    values: {values}
  - name: rows
    interval: 1d
    offset: 12h
    devices: [meter]
    values: [{{ name: load, obis: 1.0.99.1.0.255, class: profile_generic, entries: 4 }}]
",
        url = broker.url()
    )
}

const ENERGY: &str = "[{ name: energy, obis: 1.0.1.8.0.255, class: register }]";

/// How often `needle` stands in what was sent.
fn count(sent: &[Vec<u8>], needle: &str) -> usize {
    sent.iter()
        .map(|octets| octets.windows(needle.len()).filter(|part| *part == needle.as_bytes()).count())
        .sum()
}

fn snapshots(paho: &Paho) -> usize {
    paho.of("devices/meter/groups/fast").len()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends requests and notes their verbs.
struct Caller<'p> {
    paho: &'p Paho,
    asked: BTreeSet<String>,
}

impl Caller<'_> {
    fn ok(&mut self, verb: &str, arguments: Value) -> Value {
        self.asked.insert(verb.to_owned());
        let answer = self.paho.request(verb, arguments);
        assert_eq!(answer["status"], "ok", "{verb}: {answer:#}");
        answer["data"].clone()
    }

    fn error(&mut self, verb: &str, arguments: Value) -> Value {
        self.asked.insert(verb.to_owned());
        let answer = self.paho.request(verb, arguments);
        assert_eq!(answer["status"], "error", "{verb}: {answer:#}");
        assert!(!answer["error"]["hint"].as_str().expect("a hint").is_empty(), "{answer:#}");
        answer
    }

    /// A job: accepted, progress, one final answer.
    fn job(&mut self, verb: &str, arguments: Value) -> Value {
        self.asked.insert(verb.to_owned());
        let transaction = self.paho.send(verb, arguments);
        let answer = self.paho.answer(verb, &transaction);
        assert_eq!(answer["status"], "ok", "{verb}: {answer:#}");
        let answers: Vec<Value> =
            self.paho.of(&format!("bridge/response/{verb}")).iter().map(Arrived::json).collect();
        let statuses: Vec<&Value> =
            answers.iter().filter(|it| it["transaction"] == *transaction).map(|it| &it["status"]).collect();
        assert_eq!(statuses, ["accepted", "ok"], "{answers:#?}");
        let job = answer["job"].clone();
        assert!(answers.iter().all(|it| it["transaction"] != *transaction || it["job"] == job));
        let said = self.paho.until("progress", |message| {
            let is_event = message.topic == "dlms/g/bridge/event";
            is_event.then(|| message.json()).filter(|event| event["data"]["job"] == job)
        });
        assert_eq!((&said["type"], &said["data"]["verb"]), (&json!("job_progress"), &json!(verb)));
        answer["data"].clone()
    }
}

#[test]
fn every_verb_in_both_versions() {
    let Some(meter) = meter(2 * Verb::ALL.len(), &[]) else { return };
    for version in VERSIONS {
        let broker = Mosquitto::start();
        let paho = Paho::start(broker.port(), version, "dlms/g", &[]);
        let bridge = RunningBridge::start(&config(&broker, version, meter.port(), ALLOW, ENERGY));
        paho.event("started");
        let mut caller = Caller { paho: &paho, asked: BTreeSet::new() };

        let health = caller.ok("health_check", json!({}));
        assert_eq!(health["mqtt"]["connected"], true, "{health}");
        let shown = caller.ok("config/get", json!({}));
        let verdict = caller.ok("config/validate", json!({ "config": shown["config"] }));
        assert_eq!(verdict["plan"], json!([]));
        caller.ok("config/set", json!({ "config": shown["config"] }));
        let patched = caller.ok(
            "config/patch",
            json!({ "patch": { "groups": [{ "name": "fast", "interval": 2 }] },
            "confirm_within_s": 600 }),
        );
        assert_eq!(patched["plan"][0]["kind"], "group", "{patched}");
        caller.ok("config/confirm", json!({ "revision": patched["revision"] }));
        let back = caller.ok("config/rollback", json!({}));
        assert!(back["revision"].as_u64() > patched["revision"].as_u64(), "{back}");
        let history = caller.ok("config/history", json!({}));
        assert_eq!(history["revision"], back["revision"], "{history}");

        let connection = caller.ok("test/connection", json!({ "connection": "line" }));
        assert_eq!(connection["steps"][1]["status"], "ok", "{connection}");
        let device = caller.ok("test/device", json!({ "device": "meter" }));
        assert!(device["identity"]["serial"].is_string(), "{device}");
        assert!(device["negotiated"]["max_pdu"].is_u64(), "{device}");
        let group = caller.ok("test/group", json!({ "group": "rows" }));
        assert_eq!(group["snapshots"][0]["profiles"]["load"]["rows"], 4, "{group}");

        let read = caller.ok(
            "read",
            json!({ "device": "meter", "objects": [
            { "obis": "1.0.1.8.0.255" }, { "obis": "0.0.1.0.0.255", "class": "clock", "attributes": [2, 3] },
            { "obis": "1.0.99.1.0.255", "class": 7, "entries": 2 } ] }),
        );
        assert_eq!(read["values"][0]["quality"], "good", "{read}");
        assert!(read["values"][1]["value"]["time_zone"].is_number(), "{read}");
        assert_eq!(read["values"][2]["rows"].as_array().map(Vec::len), Some(2), "{read}");
        let snapshots = caller.ok("read", json!({ "group": "fast" }));
        assert_eq!(snapshots["snapshots"][0]["status"], "ok", "{snapshots}");

        let listed = caller.ok("device/scan", json!({ "device": "meter" }));
        let scanned = caller.job("device/scan", json!({ "device": "meter", "values": true }));
        assert_eq!(scanned["objects"].as_array().map(Vec::len), listed["objects"].as_array().map(Vec::len));
        let energy =
            scanned["objects"].as_array().unwrap().iter().find(|it| it["obis"] == "1-0:1.8.0*255").unwrap();
        assert_eq!(energy["reading"]["quality"], "good", "{energy}");
        assert!(scanned["configuration"].as_str().unwrap().starts_with("groups:"), "{scanned}");

        let all = json!({ "device": "meter", "profile": "load", "from": "2000-01-01T00:00:00Z", "to": "2000-01-03T00:00:00Z" });
        caller.job("profile/read", all);
        caller.ok("poll/pause", json!({ "connection": "line", "for": "1h" }));
        assert_eq!(caller.ok("poll/resume", json!({ "connection": "line" })), json!({ "polls": 2 }));
        caller.ok("device/reconnect", json!({ "device": "meter" }));
        assert_eq!(caller.ok("job/list", json!({})), json!({ "jobs": [] }));
        assert_eq!(caller.error("job/cancel", json!({ "job": "job-99" }))["error"]["code"], "UNKNOWN_NAME");
        caller.ok("log_level", json!({ "level": "debug", "target": "dlms2mqtt::bridge", "for": "1s" }));
        bridge.until_logged("the usual log level is back");
        caller.ok("log_level", json!({ "level": "trace", "target": "line", "for": "1h" }));
        caller.ok("read", json!({ "group": "fast" }));
        bridge.until_logged("physical");
        caller.ok("restart", json!({}));
        bridge.until_logged("starting anew on request");
        until("the bridge is back", || {
            paho.of("bridge/event").iter().filter(|event| event.json()["type"] == "started").count() == 2
        });

        let all: BTreeSet<String> = Verb::ALL.iter().map(|verb| verb.as_str().to_owned()).collect();
        assert_eq!(caller.asked, all, "every verb was asked");
    }
}

#[test]
fn a_job_can_be_cancelled() {
    let Some(meter) = meter(1, &["--delay-ms", "20"]) else { return };
    let broker = Mosquitto::start();
    let paho = Paho::start(broker.port(), "5", "dlms/g", &[]);
    let _bridge = RunningBridge::start(&config(&broker, "5", meter.port(), ALLOW, ENERGY));
    paho.event("started");
    let long = json!({ "device": "meter", "profile": "load", "from": "1995-01-01T00:00:00Z", "to": "2005-01-01T00:00:00Z" });
    let transaction = paho.send("profile/read", long);
    let progress = paho.event("job_progress");
    let jobs = paho.request("job/list", json!({}))["data"]["jobs"].clone();
    assert_eq!(
        (&jobs[0]["job"], &jobs[0]["verb"]),
        (&progress["data"]["job"], &json!("profile/read")),
        "{jobs}"
    );
    assert_eq!(paho.request("job/cancel", json!({ "job": jobs[0]["job"] }))["status"], "ok");
    let end = paho.answer("profile/read", &transaction);
    assert_eq!((&end["error"]["code"], &end["job"]), (&json!("CANCELLED"), &jobs[0]["job"]), "{end}");
    assert_eq!(paho.request("job/list", json!({}))["data"], json!({ "jobs": [] }));
}

/// Verb, payload, and the code of the answer.
fn malformed() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let texts: &[(&str, &str, &str)] = &[
        ("read", "", "MALFORMED"),
        ("read", "null", "MALFORMED"),
        ("read", "[]", "MALFORMED"),
        ("read", "1", "MALFORMED"),
        ("read", "\"read\"", "MALFORMED"),
        ("read", "{", "MALFORMED"),
        ("read", "{}}", "MALFORMED"),
        ("read", "{\"device\":\"meter\",\"device\":\"meter\"}", "MALFORMED"),
        ("read", "{'device':'meter'}", "MALFORMED"),
        ("read", "{}", "INVALID_ARGUMENT"),
        ("read", "{\"transaction\":7}", "INVALID_ARGUMENT"),
        ("read", "{\"expires_at\":\"soon\"}", "INVALID_ARGUMENT"),
        ("read", "{\"expires_at\":\"2001-01-01T00:00:00Z\"}", "EXPIRED"),
        ("read", "{\"device\":\"meter\"}", "INVALID_ARGUMENT"),
        ("read", "{\"device\":\"meter\",\"objects\":[]}", "INVALID_ARGUMENT"),
        ("read", "{\"device\":\"meter\",\"objects\":{}}", "INVALID_ARGUMENT"),
        ("read", "{\"device\":\"meter\",\"objects\":[{}]}", "INVALID_ARGUMENT"),
        ("read", "{\"device\":\"meter\",\"objects\":[{\"obis\":\"1.8.0\"}]}", "INVALID_ARGUMENT"),
        (
            "read",
            "{\"device\":\"meter\",\"objects\":[{\"obis\":\"1.0.1.8.0.255\",\"attribute\":0}]}",
            "INVALID_ARGUMENT",
        ),
        (
            "read",
            "{\"device\":\"meter\",\"objects\":[{\"obis\":\"1.0.1.8.0.255\",\"attribute\":2,\"attributes\":[2]}]}",
            "INVALID_ARGUMENT",
        ),
        (
            "read",
            "{\"device\":\"meter\",\"objects\":[{\"obis\":\"1.0.1.8.0.255\",\"class\":\"nonsense\"}]}",
            "INVALID_ARGUMENT",
        ),
        (
            "read",
            "{\"device\":\"meter\",\"objects\":[{\"obis\":\"1.0.99.1.0.255\",\"entries\":0}]}",
            "INVALID_ARGUMENT",
        ),
        (
            "read",
            "{\"device\":\"meter\",\"objects\":[{\"obis\":\"1.0.1.8.0.255\"}],\"max_age\":\"never\"}",
            "INVALID_ARGUMENT",
        ),
        ("read", "{\"device\":\"nobody\",\"objects\":[{\"obis\":\"1.0.1.8.0.255\"}]}", "UNKNOWN_NAME"),
        ("read", "{\"device\":\"no body\",\"objects\":[{\"obis\":\"1.0.1.8.0.255\"}]}", "INVALID_ARGUMENT"),
        ("read", "{\"group\":\"nobody\"}", "UNKNOWN_NAME"),
        ("read", "{\"group\":\"fast\",\"more\":1}", "INVALID_ARGUMENT"),
        ("config/get", "{\"x\":1}", "INVALID_ARGUMENT"),
        ("config/set", "{}", "INVALID_ARGUMENT"),
        ("config/set", "{\"config\":7}", "CONFIG_INVALID"),
        ("config/set", "{\"config\":{}}", "CONFIG_INVALID"),
        ("config/patch", "{\"patch\":[]}", "CONFIG_INVALID"),
        ("config/patch", "{\"patch\":{\"groups\":[{}]}}", "CONFIG_INVALID"),
        ("config/patch", "{\"patch\":{},\"base_revision\":-1}", "INVALID_ARGUMENT"),
        ("config/patch", "{\"patch\":{},\"base_revision\":77}", "REVISION_CONFLICT"),
        ("config/patch", "{\"patch\":{},\"confirm_within_s\":0}", "INVALID_ARGUMENT"),
        ("config/validate", "{\"patch\":{},\"config\":{}}", "INVALID_ARGUMENT"),
        ("config/confirm", "{}", "INVALID_ARGUMENT"),
        ("config/rollback", "{\"revision\":999}", "UNKNOWN_NAME"),
        ("test/device", "{}", "INVALID_ARGUMENT"),
        ("test/device", "{\"device\":7}", "INVALID_ARGUMENT"),
        ("test/device", "{\"device\":\"nobody\"}", "UNKNOWN_NAME"),
        (
            "test/device",
            "{\"device\":{\"name\":\"x\",\"connection\":\"line\",\"nonsense\":1}}",
            "CONFIG_INVALID",
        ),
        (
            "test/device",
            "{\"device\":{\"name\":\"x\",\"connection\":\"line\",\"access_security\":\"low\",\"password\":{\"file\":\"/etc/passwd\"}}}",
            "NOT_ALLOWED",
        ),
        ("test/connection", "{\"connection\":{\"host\":\"\"}}", "CONFIG_INVALID"),
        ("test/group", "{\"group\":\"fast\",\"device\":\"nobody\"}", "INVALID_ARGUMENT"),
        ("device/scan", "{\"device\":\"nobody\"}", "UNKNOWN_NAME"),
        ("device/scan", "{\"device\":\"meter\",\"values\":\"all\"}", "INVALID_ARGUMENT"),
        ("device/reconnect", "{}", "INVALID_ARGUMENT"),
        ("profile/read", "{\"device\":\"meter\",\"profile\":\"energy\",\"from\":\"1d\"}", "UNKNOWN_NAME"),
        (
            "profile/read",
            "{\"device\":\"meter\",\"profile\":\"load\",\"from\":\"2020-01-01T00:00:00Z\",\"to\":\"2019-01-01T00:00:00Z\"}",
            "INVALID_ARGUMENT",
        ),
        (
            "profile/read",
            "{\"device\":\"meter\",\"profile\":\"load\",\"from\":\"yesterday\"}",
            "INVALID_ARGUMENT",
        ),
        ("poll/pause", "{}", "INVALID_ARGUMENT"),
        ("poll/pause", "{\"device\":\"meter\",\"group\":\"fast\"}", "INVALID_ARGUMENT"),
        ("poll/pause", "{\"device\":\"meter\",\"for\":0}", "INVALID_ARGUMENT"),
        ("poll/resume", "{\"device\":\"nobody\"}", "UNKNOWN_NAME"),
        ("log_level", "{\"level\":\"loud\"}", "INVALID_ARGUMENT"),
        ("log_level", "{\"level\":\"debug\",\"target\":\"a=b,c\"}", "INVALID_ARGUMENT"),
        ("job/cancel", "{\"job\":1}", "INVALID_ARGUMENT"),
        ("restart", "{\"now\":true}", "INVALID_ARGUMENT"),
        ("nonsense", "{}", "UNKNOWN_VERB"),
        ("read/more", "{}", "UNKNOWN_VERB"),
        ("set", "{}", "UNKNOWN_VERB"),
    ];
    let mut all: Vec<_> =
        texts.iter().map(|(verb, text, code)| (*verb, text.as_bytes().to_vec(), *code)).collect();
    all.push(("read", b"\xFF\xFE{}".to_vec(), "MALFORMED"));
    all.push(("read", "[".repeat(200_000).into_bytes(), "MALFORMED"));
    all.push((
        "read",
        format!("{{\"transaction\":\"{}\"}}", "x".repeat(65)).into_bytes(),
        "INVALID_ARGUMENT",
    ));
    all.push(("read", format!("{{\"a\":\"{}\"}}", "x".repeat(600 << 10)).into_bytes(), "REQUEST_TOO_LARGE"));
    all
}

#[test]
fn malformed_requests_are_refused_by_code_while_polls_go_on() {
    let Some(meter) = meter(2 * malformed().len(), &[]) else { return };
    for version in VERSIONS {
        let broker = Mosquitto::start();
        let paho = Paho::start(broker.port(), version, "dlms/g", &[]);
        let _bridge = RunningBridge::start(&config(&broker, version, meter.port(), ALLOW, ENERGY));
        paho.event("started");
        let requests = malformed();
        assert!(requests.len() > 40);
        for (verb, payload, code) in requests {
            let topic = format!("bridge/response/{verb}");
            let before = paho.of(&topic).len();
            let hex: String = payload.iter().map(|octet| format!("{octet:02x}")).collect();
            paho.publish(
                &json!({ "topic": format!("dlms/g/bridge/request/{verb}"), "payload": { "hex": hex } }),
            );
            let shown: String = String::from_utf8_lossy(&payload).chars().take(100).collect();
            until(&format!("an answer to {verb} {shown}"), || paho.of(&topic).len() > before);
            let answers = paho.of(&topic);
            assert_eq!(answers.len(), before + 1, "one answer to {verb} {shown}");
            let answer = answers[before].json();
            assert_eq!(
                (&answer["status"], &answer["error"]["code"]),
                (&json!("error"), &json!(code)),
                "{shown}: {answer:#}"
            );
        }
        let before = snapshots(&paho);
        until("polls go on", || snapshots(&paho) > before + 1);
        let last = paho.of("devices/meter/groups/fast").last().unwrap().json();
        assert_eq!(last["status"], "ok", "{last}");
    }
}

#[test]
fn answers_go_where_they_were_wanted_and_once() {
    let Some(meter) = meter(6, &[]) else { return };
    let broker = Mosquitto::start();
    let paho = Paho::start(broker.port(), "5", "dlms/g", &["scada/#"]);
    let _bridge =
        RunningBridge::start(&config(&broker, "5", meter.port(), "[health_check, poll, read]", ENERGY));
    paho.event("started");
    let send = |payload: Value, more: Value| {
        let mut command =
            json!({ "topic": "dlms/g/bridge/request/health_check", "payload": payload.to_string() });
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        paho.publish(&command);
    };
    let answered = |transaction: &str| {
        let of = |topic: &str| {
            let messages = paho.messages().into_iter().filter(|it| it.topic == topic);
            messages.filter(|it| it.json()["transaction"] == transaction).collect::<Vec<_>>()
        };
        (of("dlms/g/bridge/response/health_check"), of("scada/one"))
    };
    send(json!({ "transaction": "a" }), json!({ "response_topic": "scada/one", "correlation": "00ff" }));
    until("both answers", || answered("a").0.len() == 1 && answered("a").1.len() == 1);
    let (default, own) = answered("a");
    assert_eq!(
        (default[0].correlation.as_deref(), own[0].correlation.as_deref()),
        (Some("00ff"), Some("00ff"))
    );
    assert!(!own[0].retain && own[0].payload == default[0].payload);

    send(json!({ "transaction": "b" }), json!({ "response_topic": "elsewhere/one" }));
    until("a refusal", || answered("b").0.len() == 1);
    assert_eq!(answered("b").0[0].json()["error"]["code"], "RESPONSE_TOPIC_FORBIDDEN");

    // Again: the stored answer, to the letter. Another body under the same transaction: refused.
    send(json!({ "transaction": "a" }), json!({}));
    until("the stored answer", || answered("a").0.len() == 2);
    assert_eq!(answered("a").0[1].payload, default[0].payload);
    send(json!({ "transaction": "a", "x": 1 }), json!({}));
    until("a refusal", || answered("a").0.len() == 3);
    assert_eq!(answered("a").0[2].json()["error"]["code"], "INVALID_ARGUMENT");

    send(json!({ "transaction": "c" }), json!({ "retain": true }));
    until("a refusal", || answered("c").0.len() == 1);
    assert_eq!(answered("c").0[0].json()["error"]["code"], "REQUEST_RETAINED");
    let refused = paho.request("config/get", json!({}));
    assert_eq!(refused["error"]["code"], "NOT_ALLOWED", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_cut_in_between_the_exchanges_of_a_poll() {
    // Without lists each value is an exchange of its own, and a poll takes five seconds.
    let Some(meter) = meter(1, &["--delay-ms", "250", "--conformance", "00181d"]) else { return };
    let broker = Mosquitto::start();
    let paho = Paho::start(broker.port(), "5", "dlms/g", &[]);
    let values: Vec<String> = (0..20)
        .map(|number| format!("{{ name: v{number}, obis: 1.0.{}.8.0.255, class: register }}", number + 1))
        .collect();
    let _bridge =
        RunningBridge::start(&config(&broker, "5", meter.port(), ALLOW, &format!("[{}]", values.join(", "))));
    paho.event("started");
    // On a busy machine a poll may end while we are not looking: then the next one is tried.
    let before = (0..4).find_map(|_| {
        let ended = snapshots(&paho);
        until("a poll ends", || snapshots(&paho) > ended);
        let before = snapshots(&paho);
        std::thread::sleep(Duration::from_secs(1));
        let read =
            paho.request("read", json!({ "device": "meter", "objects": [{ "obis": "1.0.1.8.0.255" }] }));
        assert_eq!(read["status"], "ok", "{read}");
        let tested = paho.request("test/device", json!({ "device": "meter" }));
        assert_eq!(tested["status"], "ok", "{tested}");
        (snapshots(&paho) == before).then_some(before)
    });
    let before = before.expect("both come before the end of the poll");
    until("the poll ends", || snapshots(&paho) > before);
    let snapshot = paho.of("devices/meter/groups/fast")[before].json();
    let values = snapshot["values"].as_object().unwrap();
    assert_eq!(values.len(), 20, "{snapshot:#}");
    assert_eq!(values["v0"]["quality"], "good", "{snapshot:#}");
    let codes: BTreeSet<&str> = snapshot["errors"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, it)| it["code"].as_str())
        .collect();
    assert!(codes.iter().all(|code| *code == "OBJECT_UNDEFINED"), "{snapshot:#}");
    // The ticks that passed meanwhile are not silently gone.
    let skipped = paho.event("ticks_skipped");
    assert_eq!(
        (&skipped["connection"], &skipped["severity"]),
        (&json!("line"), &json!("warning")),
        "{skipped}"
    );
    assert!(skipped["data"]["skipped"].as_u64() > Some(0), "{skipped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_outlive_changes_of_the_configuration_and_of_the_link() {
    let Some(meter) = meter(1, &[]) else { return };
    let (one, other) = (Proxy::to(meter.port()).await, Proxy::to(meter.port()).await);
    let broker = Mosquitto::start();
    let paho = Paho::start(broker.port(), "5", "dlms/g", &[]);
    let _bridge = RunningBridge::start(&config(&broker, "5", one.port(), ALLOW, ENERGY));
    paho.event("started");
    until("a first poll", || snapshots(&paho) > 0);
    assert_eq!(paho.request("poll/pause", json!({ "device": "meter" }))["data"]["polls"], 2);
    let before = snapshots(&paho);
    let moved = paho.request(
        "config/patch",
        json!({ "patch": { "connections": [{ "name": "line", "port": other.port() }] } }),
    );
    assert_eq!(moved["status"], "ok", "{moved}");
    let slower =
        paho.request("config/patch", json!({ "patch": { "groups": [{ "name": "fast", "title": "x" }] } }));
    assert_eq!(slower["status"], "ok", "{slower}");
    // A request is no poll: it is served, and it is the proof that three seconds would have been enough.
    std::thread::sleep(Duration::from_secs(3));
    let read = paho.request("read", json!({ "device": "meter", "objects": [{ "obis": "1.0.1.8.0.255" }] }));
    assert_eq!(read["status"], "ok", "{read}");
    assert_eq!(snapshots(&paho), before);
    assert_eq!(other.connections(), 1);
    assert_eq!(paho.request("poll/resume", json!({ "device": "meter" }))["data"]["polls"], 2);
    until("polls again", || snapshots(&paho) > before);
    // And one that ends by itself.
    paho.request("poll/pause", json!({ "group": "fast", "for": "2s" }));
    let before = snapshots(&paho);
    until("polls again", || snapshots(&paho) > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_may_be_content_with_what_was_read() {
    let Some(meter) = meter(1, &[]) else { return };
    let proxy = Proxy::to(meter.port()).await;
    let broker = Mosquitto::start();
    let paho = Paho::start(broker.port(), "5", "dlms/g", &[]);
    let _bridge = RunningBridge::start(&config(&broker, "5", proxy.port(), ALLOW, ENERGY));
    paho.event("started");
    until("a first poll", || snapshots(&paho) > 0);
    paho.request("poll/pause", json!({ "device": "meter" }));
    let sent = || proxy.sent().iter().map(Vec::len).sum::<usize>();
    let before = sent();
    let objects = json!([{ "obis": "1.0.1.8.0.255" }]);
    let read = paho.request("read", json!({ "device": "meter", "objects": objects, "max_age": "1h" }));
    assert_eq!(
        (&read["status"], &read["data"]["values"][0]["quality"]),
        (&json!("ok"), &json!("stale")),
        "{read}"
    );
    assert!(read["data"]["values"][0]["value"].is_number(), "{read}");
    assert_eq!(sent(), before, "the meter was not asked");
    let fresh = paho.request("read", json!({ "device": "meter", "objects": objects, "max_age": "1ms" }));
    assert_eq!(fresh["data"]["values"][0]["quality"], "good", "{fresh}");
    assert!(sent() > before);
    // Also while the meter is silent: what is known stays known, what is not fails.
    proxy.answers(Answers::Hold);
    let both = json!([{ "obis": "1.0.1.8.0.255" }, { "obis": "1.0.2.8.0.255", "class": 3 }]);
    let half = paho.request("read", json!({ "device": "meter", "objects": both, "max_age": "1h" }));
    let values = &half["data"]["values"];
    assert_eq!(half["status"], "partial", "{half}");
    assert_eq!((&values[0]["quality"], &values[1]["quality"]), (&json!("stale"), &json!("bad")), "{half}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_never_use_up_the_attempts_of_a_meter() {
    let Some(meter) = meter(1, &[]) else { return };
    let proxy = Proxy::to(meter.port()).await;
    let broker = Mosquitto::start();
    let paho = Paho::start(broker.port(), "5", "dlms/g", &[]);
    let _bridge = RunningBridge::start(&config(&broker, "5", proxy.port(), ALLOW, ENERGY));
    paho.event("started");
    until("a first poll", || snapshots(&paho) > 0);
    let device = |name: &str, password: &str| {
        json!({ "device": { "name": name, "connection": "line", "interface": "wrapper", "client_address": 1,
            "access_security": "low", "password": password } })
    };
    for attempt in 0..8 {
        // Under whatever name: it is the meter that counts.
        let answer = paho.request("test/device", device(&format!("d{attempt}"), "Wr0ngPass"));
        let code = if attempt < 5 { "AARE_REJECTED" } else { "NOT_ALLOWED" };
        assert_eq!(answer["error"]["code"], code, "{attempt}: {answer:#}");
    }
    assert_eq!(count(&proxy.sent(), "Wr0ngPass"), 5, "refusals that the meter saw");
    // The right one is polled with all the while.
    let before = snapshots(&paho);
    until("polls go on", || snapshots(&paho) > before);
    assert_eq!(paho.of("devices/meter/groups/fast").last().unwrap().json()["status"], "ok");
    // What is configured has no other budget: its polls and its tests count as one.
    let wrong = paho.request(
        "config/patch",
        json!({ "patch": { "devices": [{ "name": "meter", "password": "W0rsePass" }] } }),
    );
    assert_eq!(wrong["status"], "ok", "{wrong}");
    for _ in 0..8 {
        let answer = paho.request("test/device", json!({ "device": "meter" }));
        assert_eq!(answer["error"]["code"], "AARE_REJECTED", "{answer:#}");
    }
    assert!(count(&proxy.sent(), "W0rsePass") <= 5, "{}", count(&proxy.sent(), "W0rsePass"));
    paho.request("device/reconnect", json!({ "device": "meter" }));
}

#[test]
fn no_secret_is_led_to_another_host() {
    let Some(meter) = meter(1, &[]) else { return };
    let broker = Mosquitto::start();
    let paho = Paho::start(broker.port(), "5", "dlms/g", &[]);
    let _bridge = RunningBridge::start(&config(&broker, "5", meter.port(), ALLOW, ENERGY));
    paho.event("started");
    let elsewhere = json!({ "patch": { "connections": [{ "name": "line", "host": "localhost" }] } });
    let refused = paho.request("config/patch", elsewhere);
    assert_eq!(refused["error"]["code"], "NOT_ALLOWED", "{refused:#}");
    assert_eq!(refused["data"]["problems"][0]["pointer"], "/devices/0/password", "{refused:#}");
    let inline = json!({ "connection": { "name": "line", "host": "localhost", "port": meter.port() }, "device": "meter" });
    let refused = paho.request("test/device", inline);
    assert_eq!(refused["error"]["code"], "NOT_ALLOWED", "{refused:#}");
    let known = json!({ "patch": { "connections": [{ "name": "line", "host": "localhost" }],
        "devices": [{ "name": "meter", "password": PASSWORD }] } });
    let moved = paho.request("config/patch", known);
    assert_eq!(moved["status"], "ok", "{moved:#}");
}
