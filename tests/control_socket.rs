//! The control socket and the commands that use it while the bridge runs; and that nothing secret leaves the process,
//! whoever asks for whatever.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bridge::RunningBridge;
use support::mosquitto::{Mosquitto, PATIENCE};
use support::paho::Paho;
use support::peer_meter::PeerMeter;

const BLOCK_CIPHER_KEY: &str = "5EC2E7000000000000000000000000E1";
const AUTHENTICATION_KEY: &str = "5EC2E7000000000000000000000000A2";
const DEDICATED_KEY: &str = "5EC2E7000000000000000000000000D3";
const METER_PASSWORD: &str = "M3terPazzword";
const BROKER_PASSWORD: &str = "Br0kerPazzword";
const WRONG_PASSWORD: &str = "Wr0ngPazzword";

fn ciphered(checks: usize) -> Option<PeerMeter> {
    let usual =
        ["--interface", "wrapper", "--auth", "gmac", "--security", "authencr", "--client-address", "1"];
    let keys = ["--ekey", BLOCK_CIPHER_KEY, "--akey", AUTHENTICATION_KEY];
    PeerMeter::start(&[&usual[..], &keys].concat(), checks)
}

fn by_password(checks: usize) -> Option<PeerMeter> {
    let usual =
        ["--interface", "wrapper", "--auth", "low", "--password", METER_PASSWORD, "--client-address", "1"];
    PeerMeter::start(&usual, checks)
}

fn config(broker: &str, control: &str, ciphered: u16, by_password: u16) -> String {
    format!(
        "
gateway: g
state_dir: STATE
mqtt: {{ url: {broker}, username: u, password: {BROKER_PASSWORD}, control: {control} }}
connections:
  - {{ name: one, host: 127.0.0.1, port: {ciphered}, persistent: true }}
  - {{ name: two, host: 127.0.0.1, port: {by_password}, persistent: true }}
devices:
  - {{ name: meter, connection: one, interface: wrapper, access_security: high_gmac, client_address: 1,
      transport_security: authentication_encryption, block_cipher_key: {BLOCK_CIPHER_KEY},
      authentication_key: {AUTHENTICATION_KEY}, dedicated_key: {DEDICATED_KEY} }}
  - {{ name: low, connection: two, interface: wrapper, access_security: low, password: {METER_PASSWORD}, client_address: 1 }}
  - {{ name: wrong, connection: two, interface: wrapper, access_security: low, password: {WRONG_PASSWORD}, client_address: 1,
      enabled: false }}
groups:
  - name: fast
    interval: 1
    devices: [meter, low]
    values: [{{ name: energy, obis: 1.0.1.8.0.255, class: register }}]
"
    )
}

fn socket(bridge: &RunningBridge) -> PathBuf {
    bridge.folder().join("state/control.sock")
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One connection to the socket.
struct Line(BufReader<UnixStream>);

impl Line {
    fn to(bridge: &RunningBridge) -> Self {
        let path = socket(bridge);
        until("the socket", || path.exists());
        let stream = UnixStream::connect(path).expect("the socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("written");
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The final answer.
    fn request(&mut self, verb: &str, mut arguments: Value) -> Value {
        arguments["verb"] = verb.into();
        self.send(&format!("{arguments}\n"));
        loop {
            let answer = self.receive();
            if answer["status"] != "accepted" {
                return answer;
            }
        }
    }
}

fn command(bridge: &RunningBridge, arguments: &[&str]) -> Output {
    let (name, rest) = arguments.split_first().expect("a command");
    Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"))
        .args([name, "--config"])
        .arg(bridge.config())
        .args(rest)
        .env_remove("RUST_LOG")
        .output()
        .expect("it runs")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn success(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn commands_ask_the_bridge_that_runs_and_the_meter_where_none_does() {
    let (Some(meter), Some(low)) = (ciphered(1), by_password(1)) else { return };
    let mut broker = Mosquitto::start();
    let mut bridge = RunningBridge::start(&config(&broker.url(), "off", meter.port(), low.port()));
    until("the socket", || socket(&bridge).exists());
    let in_both_ways = |bridge: &RunningBridge| {
        let tested = success(&command(bridge, &["test", "device", "meter"]));
        let steps: Vec<&str> = tested.lines().filter_map(|line| line.split(' ').next()).collect();
        let all =
            ["resolve", "connect", "open", "mode_e", "snrm", "counter", "aarq", "hls", "read", "release"];
        assert_eq!(steps, all, "{tested}");
        let json: Value =
            serde_json::from_str(&success(&command(bridge, &["test", "--json", "group", "fast"]))).unwrap();
        assert_eq!(json["ok"], true, "{json}");
        let read = success(&command(
            bridge,
            &["read", "--device", "meter", "1-0:1.8.0*255", "1.0.99.1.0.255:7", "--entries", "3"],
        ));
        let lines: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["name"], &lines[0]["quality"]), (&json!("energy"), &json!("good")), "{read}");
        assert_eq!(lines[1]["rows"].as_array().map(Vec::len), Some(3), "{read}");
        // Of a profile that is not there a line says so.
        let failed = command(bridge, &["read", "--device", "meter", "1.0.99.77.0.255:7", "--entries", "3"]);
        let line: Value = serde_json::from_slice(&failed.stdout).unwrap_or_else(|_| panic!("{failed:?}"));
        assert_eq!((failed.status.code(), &line["quality"]), (Some(1), &json!("bad")), "{line}");
        assert!(text(&failed.stderr).contains(line["error"]["code"].as_str().unwrap()), "{failed:?}");
        let objects = success(&command(bridge, &["scan", "--device", "meter", "--values"]));
        let energy = objects.lines().find(|line| line.contains("1-0:1.8.0*255")).expect("energy");
        assert!(serde_json::from_str::<Value>(energy).unwrap()["reading"]["value"].is_object(), "{energy}");
        assert!(success(&command(bridge, &["scan", "--device", "meter", "--yaml"])).starts_with("groups:"));
        let nobody = command(bridge, &["test", "device", "nobody"]);
        assert_eq!(nobody.status.code(), Some(1));
        assert!(text(&nobody.stderr).contains("UNKNOWN_NAME"), "{}", text(&nobody.stderr));
        (steps.len(), lines[0]["value"].clone(), objects.lines().count())
    };
    let asked = in_both_ways(&bridge);
    until("the broker", || command(&bridge, &["healthcheck"]).status.success());
    broker.kill();
    until("its loss", || command(&bridge, &["healthcheck"]).status.code() == Some(1));
    // What a crash leaves of the socket is in nobody's way.
    bridge.kill();
    assert!(socket(&bridge).exists());
    assert_eq!(in_both_ways(&bridge), asked);
}

#[test]
fn the_socket_takes_one_request_a_line_from_its_owner_alone() {
    let (Some(meter), Some(low)) = (ciphered(1), by_password(1)) else { return };
    let broker = Mosquitto::start();
    // What is allowed over MQTT is of no account here.
    let bridge = RunningBridge::start(&config(&broker.url(), "off", meter.port(), low.port()));
    let mut line = Line::to(&bridge);
    assert_eq!(fs::metadata(socket(&bridge)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(bridge.folder().join("state")).unwrap().permissions().mode() & 0o077, 0);
    let health = line.request("health_check", json!({ "transaction": "h" }));
    assert_eq!((&health["status"], &health["transaction"]), (&json!("ok"), &json!("h")), "{health}");
    for (wrong, code) in [
        ("no json\n", "MALFORMED"),
        ("[]\n", "MALFORMED"),
        ("{}\n", "INVALID_ARGUMENT"),
        ("{\"verb\":\"nonsense\"}\n", "UNKNOWN_VERB"),
        ("{\"verb\":\"read\",\"device\":\"low\"}\n", "INVALID_ARGUMENT"),
    ] {
        line.send(wrong);
        assert_eq!(line.receive()["error"]["code"], code, "{wrong}");
    }
    line.send(&format!("{{\"verb\":\"read\",\"x\":\"{}\"}}\n\n", "x".repeat(600 << 10)));
    assert_eq!(line.receive()["error"]["code"], "REQUEST_TOO_LARGE");
    // Several at once, answered in whatever order, told apart by their transactions.
    for number in 0..5 {
        let request = json!({ "verb": "read", "transaction": format!("t{number}"), "device": "low",
            "objects": [{ "obis": "1.0.1.8.0.255" }] });
        line.send(&format!("{request}\n"));
    }
    let mut answered: Vec<Value> = (0..5).map(|_| line.receive()).collect();
    answered.sort_by_key(|answer| answer["transaction"].to_string());
    for (number, answer) in answered.iter().enumerate() {
        assert_eq!((&answer["status"], &answer["transaction"]), (&json!("ok"), &json!(format!("t{number}"))));
    }
}

/// Everything below a directory that others than its owner may read.
#[test]
fn clients_that_ask_nothing_make_room_for_one_that_does() {
    let bridge = RunningBridge::start(&config("mqtt://127.0.0.1:1", "'off'", 1, 1));
    until("the socket", || socket(&bridge).exists());
    let silent: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(socket(&bridge)).unwrap()).collect();
    let mut stream = UnixStream::connect(socket(&bridge)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"{\"verb\":\"health_check\"}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.contains("\"ok\""), "{answer}");
    drop(silent);
}

fn readable_by_others(directory: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        if metadata.is_dir() {
            readable_by_others(&path, found);
        } else if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
            found.push((path.clone(), fs::read(&path).expect("readable")));
        }
    }
}

/// A secret in every form in which it might stand somewhere.
fn forms(secret: &str) -> Vec<String> {
    let hex = |separator: &str| {
        let octets: Vec<String> = secret.bytes().map(|octet| format!("{octet:02x}")).collect();
        octets.join(separator)
    };
    vec![secret.to_lowercase(), hex(""), hex(" "), hex(":")]
}

#[test]
fn nothing_secret_leaves_the_process() {
    let (Some(meter), Some(low)) = (ciphered(1), by_password(1)) else { return };
    let broker = Mosquitto::start();
    let paho = Paho::start(broker.port(), "5", "dlms/g", &["#"]);
    let all = "{ allow: [config, test, test_inline, read, device, poll, profile, job, log_level, health_check, restart] }";
    let bridge = RunningBridge::start(&config(&broker.url(), all, meter.port(), low.port()));
    paho.event("started");
    let mut line = Line::to(&bridge);
    let mut left: Vec<String> = Vec::new();
    let inline = json!({ "name": "x", "connection": "two", "interface": "wrapper", "client_address": 1,
        "access_security": "low", "password": WRONG_PASSWORD });
    let other_key = json!({ "name": "y", "connection": "one", "interface": "wrapper", "client_address": 1,
        "access_security": "high_gmac", "transport_security": "authentication_encryption",
        "block_cipher_key": AUTHENTICATION_KEY, "authentication_key": BLOCK_CIPHER_KEY });
    let requests = [
        ("log_level", json!({ "level": "trace", "for": "1h" })),
        ("log_level", json!({ "level": "trace", "target": "one", "for": "1h" })),
        ("log_level", json!({ "level": "trace", "target": "two", "for": "1h" })),
        ("config/get", json!({})),
        ("config/history", json!({})),
        (
            "config/validate",
            json!({ "patch": { "devices": [{ "name": "low", "password": METER_PASSWORD, "nonsense": 1 }] } }),
        ),
        (
            "config/patch",
            json!({ "patch": { "devices": [{ "name": "low", "password": METER_PASSWORD, "title": "x" }] } }),
        ),
        (
            "config/patch",
            json!({ "patch": { "devices": [{ "name": "meter", "block_cipher_key": format!("{BLOCK_CIPHER_KEY}00") }] } }),
        ),
        (
            "config/patch",
            json!({ "patch": { "devices": [{ "name": "low", "password": [METER_PASSWORD] }] } }),
        ),
        ("config/patch", json!({ "patch": { "mqtt": { "password": { "plain": BROKER_PASSWORD } } } })),
        ("config/rollback", json!({})),
        ("test/device", json!({ "device": "meter" })),
        ("test/device", json!({ "device": "low" })),
        ("test/device", json!({ "device": "wrong" })),
        ("test/device", json!({ "device": inline })),
        ("test/device", json!({ "device": other_key })),
        ("test/group", json!({ "group": "fast" })),
        ("test/connection", json!({ "connection": "one" })),
        ("device/reconnect", json!({ "device": "meter" })),
        ("device/scan", json!({ "device": "meter", "values": true })),
        ("device/scan", json!({ "device": "low", "values": true })),
        ("read", json!({ "group": "fast" })),
        // The secret itself is among the attributes of an association.
        (
            "read",
            json!({ "device": "low", "objects": [{ "obis": "0.0.40.0.0.255", "class": 15, "attributes": "all" }] }),
        ),
        ("health_check", json!({})),
        ("job/list", json!({})),
    ];
    for (verb, arguments) in requests {
        // Requests are their senders'; what comes back is ours.
        left.push(paho.request(verb, arguments.clone()).to_string());
        left.push(line.request(verb, arguments).to_string());
    }
    let polls = || paho.of("devices/meter/groups/fast").len();
    let before = polls();
    until("polls under trace", || polls() > before + 1);
    let log = bridge.log();
    assert!(log.contains("TRACE") && log.contains("physical"), "the log is as loud as it can be");
    left.push(log);
    let messages = paho.messages();
    assert!(messages.len() > 100);
    let ours = messages.into_iter().filter(|message| !message.topic.contains("bridge/request/"));
    left.extend(ours.map(|message| format!("{} {}", message.topic, message.payload)));
    for arguments in
        [&["test", "device", "wrong"][..], &["test", "device", "low"], &["scan", "--device", "meter"]]
    {
        let output = command(&bridge, arguments);
        left.push(text(&output.stdout) + &text(&output.stderr));
    }
    let mut files = Vec::new();
    readable_by_others(&bridge.folder().join("state"), &mut files);
    left.extend(files.into_iter().map(|(path, octets)| format!("{} {}", path.display(), text(&octets))));
    for secret in
        [BLOCK_CIPHER_KEY, AUTHENTICATION_KEY, DEDICATED_KEY, METER_PASSWORD, BROKER_PASSWORD, WRONG_PASSWORD]
    {
        for form in forms(secret) {
            for text in &left {
                let text = text.to_lowercase();
                if let Some(at) = text.find(&form) {
                    let around: String =
                        text[..at].chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
                    panic!("{secret} left as {form} after …{around}");
                }
            }
        }
    }
}
