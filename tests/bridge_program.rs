//! The program as operators meet it: signals, exit codes, what it prints, and what it never tells.

mod support;

use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::assert::OutputAssertExt as _;
use serde_json::{Value, json};

use support::mosquitto::{Message, Mosquitto, PATIENCE};
use support::peer_meter::PeerMeter;
use support::scripted::{Act, ENERGY, RLRQ, Scripted, asks_for_energy, well_behaved};
use support::site::{Site, topic};

fn wrapper() -> Value {
    json!({"interface": "wrapper"})
}

fn energy() -> Value {
    json!([{"name": "energy", "obis": ENERGY, "class": "register"}])
}

/// A running program, killed when dropped.
struct Program(Child);

impl Program {
    fn run(site: &Site, options: &[&str]) -> Self {
        let mut command = site.program("run");
        command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("the program starts"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    async fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the program does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it wrote on stdout and stderr, once it has ended.
    fn output(&mut self) -> (String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().expect("piped").read_to_string(&mut out).expect("UTF-8");
        self.0.stderr.take().expect("piped").read_to_string(&mut err).expect("UTF-8");
        (out, err)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn of<'a>(messages: &'a [Message], below: &str) -> Vec<&'a Message> {
    let topic = topic(below);
    messages.iter().filter(|message| message.topic == topic).collect()
}

fn is_online(seen: &[Message]) -> bool {
    !of(seen, "devices/m/status").is_empty()
}

fn site(broker_url: &str, meter: u16) -> Site {
    Site::new(broker_url)
        .connection("c", meter, json!({"persistent": true}))
        .device("m", "c", wrapper())
        .group("g", &["m"], energy(), json!({}))
}

#[tokio::test]
async fn a_signal_drains_and_says_goodbye() {
    for signal in ["TERM", "INT"] {
        let meter = Scripted::start(well_behaved).await;
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/#");
        let site = site(&broker.url(), meter.port());
        let mut program = Program::run(&site, &[]);
        live.until("a reading", is_online).await;
        program.signal(signal);
        assert_eq!(program.ended().await.code(), Some(0), "{signal}");
        let seen = live
            .until("a farewell", |seen| of(seen, "bridge/state").last().unwrap().json()["state"] == "offline")
            .await;
        let last = seen.last().unwrap();
        assert_eq!(last.topic, topic("bridge/state"), "nothing comes after the farewell");
        let farewell = last.json();
        assert_eq!(farewell["reason"], "shutdown");
        assert!(farewell["ts"].is_string());
        let events: Vec<_> =
            of(&seen, "bridge/event").iter().map(|event| event.json()["type"].clone()).collect();
        assert_eq!(events, ["started", "stopping"]);
        assert_eq!(meter.count(RLRQ), 1, "the meter is released");
        let (out, err) = program.output();
        assert_eq!(out, "", "results alone go to stdout: {err}");
        let late = broker.subscribe("dlms/g/bridge/state");
        let kept = late.until("the retained farewell", |kept| !kept.is_empty()).await;
        assert_eq!(kept[0].json(), farewell);
    }
}

#[tokio::test]
async fn a_killed_program_is_declared_offline_by_its_will() {
    let meter = Scripted::start(well_behaved).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let site = site(&broker.url(), meter.port());
    let program = Program::run(&site, &[]);
    live.until("a reading", is_online).await;
    drop(program);
    let seen = live.until("the will", |seen| of(seen, "bridge/state").len() == 2).await;
    assert_eq!(of(&seen, "bridge/state")[1].json(), json!({"v": 1, "gateway": "g", "state": "offline"}));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let meter = Scripted::start(|asked| {
        let stalls = asks_for_energy(&asked.apdu);
        if stalls { vec![Act::Pause(Duration::from_secs(60))] } else { well_behaved(asked) }
    })
    .await;
    let broker = Mosquitto::start();
    let mut site = site(&broker.url(), meter.port());
    site.config["devices"][0]["timeout"] = "30s".into();
    let mut program = Program::run(&site, &[]);
    let started = Instant::now();
    while !meter.asked().iter().any(|asked| asks_for_energy(&asked.apdu)) {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    program.signal("TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(program.0.try_wait().unwrap().is_none(), "it takes leave in order");
    let again = Instant::now();
    program.signal("TERM");
    assert!(program.ended().await.code().is_some());
    assert!(again.elapsed() < Duration::from_secs(1), "{:?}", again.elapsed());
}

#[tokio::test]
async fn exit_codes_of_run_check_and_read() {
    let meter = Scripted::start(well_behaved).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let good = site(&broker.url(), meter.port());
    let _running = Program::run(&good, &[]);
    live.until("a reading", is_online).await;

    // A second process on the same state directory.
    let output = good.program("run").output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("STATE_LOCKED") && stderr.contains("hint: "), "{stderr}");
    assert!(output.stdout.is_empty());

    let valid = good.program("check").assert().code(0);
    let stdout = String::from_utf8_lossy(&valid.get_output().stdout).into_owned();
    assert!(stdout.contains("1 connections, 1 devices, 1 groups: valid"), "{stdout}");

    let mut bad = site(&broker.url(), meter.port());
    bad.config["devices"][0]["conection"] = "c".into();
    bad.config["groups"][0]["values"][0]["obis"] = "1.8.0".into();
    for command in ["check", "run"] {
        let refused = bad.program(command).assert().code(64);
        let (stdout, stderr) = (&refused.get_output().stdout, &refused.get_output().stderr);
        let said = String::from_utf8_lossy(if command == "check" { stdout } else { stderr });
        assert!(said.contains("conection") && said.contains("groups[0].values[0].obis"), "{said}");
    }
    bad.program("read").args(["--device", "m", ENERGY]).assert().code(64);
    good.program("read").args(["--device", "m"]).assert().code(64);
    good.program("read").args(["--device", "m", "1.8.0"]).assert().code(64);
    good.program("run").arg("--no-such-option").assert().code(64);
    good.program("dance").assert().code(64);
    let mut absent = Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"));
    absent.args(["run", "--config", "/nonexistent/config.yaml"]).assert().code(64);
    let mut help = Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"));
    help.arg("--help").assert().code(0);
}

fn read(site: &Site, arguments: &[&str], code: i32) -> (Vec<Value>, String) {
    let output = site.program("read").args(["--device", "m"]).args(arguments).output().expect("it runs");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (stdout.lines().map(parse).collect(), stderr)
}

#[test]
fn read_prints_values_as_json_lines_and_failures_as_words() {
    let Some(meter) = PeerMeter::start(&["--interface", "hdlc"], 12) else { return };
    let mut site = Site::new("mqtt://127.0.0.1:1").connection("c", meter.port(), json!({})).device(
        "m",
        "c",
        json!({"interface": "hdlc", "timeout": "5s"}),
    );
    site = site.group(
        "g",
        &["m"],
        json!([{"name": "energy", "obis": "1.0.1.8.0.255", "class": "register"}]),
        json!({}),
    );

    let (values, stderr) =
        read(&site, &["1-0:1.8.0*255", "1.0.32.7.0.255:register", "0.0.1.0.0.255:clock:3"], 0);
    assert_eq!(stderr, "");
    let shown: Vec<_> =
        values.iter().map(|value| (&value["name"], &value["value"], &value["unit"])).collect();
    assert_eq!(
        shown,
        // What the configuration does not name has no name.
        [
            (&json!("energy"), &json!(123_456.789), &json!("Wh")),
            (&Value::Null, &json!(230.1), &json!("V")),
            (&Value::Null, &json!(-60), &Value::Null),
        ]
    );
    for value in &values {
        assert_eq!((&value["v"], &value["gateway"], &value["device"]), (&json!(1), &json!("g"), &json!("m")));
        assert_eq!((&value["serial"], &value["quality"]), (&json!("42424242"), &json!("good")));
    }

    // The load profile has 96 rows, a quarter of an hour apart from 2026-01-01T00:15+01:00 on.
    let profile = "1.0.99.1.0.255:profile_generic";
    let (rows, _) = read(&site, &["--entries", "3", profile], 0);
    let clocks = |payload: &Value| -> Vec<String> {
        payload["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        clocks(&rows[0]),
        ["2026-01-01T23:30:00+01:00", "2026-01-01T23:45:00+01:00", "2026-01-02T00:00:00+01:00"]
    );
    assert_eq!(rows[0]["rows"][2], json!(["2026-01-02T00:00:00+01:00", 0, 1_003.52, 500_475]));
    let from_to = ["--from", "2026-01-01T05:00:00", "--to", "2026-01-01T05:30:00", profile];
    let (rows, _) = read(&site, &from_to, 0);
    assert_eq!(
        clocks(&rows[0]),
        ["2026-01-01T05:00:00+01:00", "2026-01-01T05:15:00+01:00", "2026-01-01T05:30:00+01:00"]
    );

    // One missing object: the others are printed, and the failure is told on stderr.
    let (values, stderr) = read(&site, &["1.0.99.99.0.255:register", "1-0:1.8.0*255"], 1);
    assert!(stderr.contains("OBJECT_UNDEFINED") && stderr.contains("hint: "), "{stderr}");
    let good: Vec<_> = values.iter().filter(|value| value["quality"] == "good").collect();
    assert_eq!((good.len(), &good[0]["value"]), (1, &json!(123_456.789)));
    assert!(values.iter().all(|value| value["quality"] == "good" || value["value"].is_null()));

    let output =
        site.program("read").args(["--device", "nobody", "1.0.1.8.0.255"]).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
    assert!(stderr.contains("UNKNOWN_NAME") && stderr.contains("nobody"), "{stderr}");
    drop(meter);
    let (values, stderr) = read(&site, &["1.0.1.8.0.255"], 1);
    assert!(values.is_empty() && stderr.contains("TCP_REFUSED") && stderr.contains("hint: "), "{stderr}");
}

const PASSWORD: &str = "S3kr1t-of-the-meter";
const BROKER_PASSWORD: &str = "S3kr1t-of-the-broker";
const ENCRYPTION_KEY: &str = "A1B2C3D4E5F60718293A4B5C6D7E8F90";
const AUTHENTICATION_KEY: &str = "0F1E2D3C4B5A69788796A5B4C3D2E1F0";

#[tokio::test]
async fn secrets_never_leave() {
    let arguments = ["--interface", "wrapper", "--client-address", "1"];
    let ciphered =
        ["--auth", "gmac", "--security", "authencr", "--ekey", ENCRYPTION_KEY, "--akey", AUTHENTICATION_KEY];
    let Some(ciphered) = PeerMeter::start(&[&arguments[..], &ciphered].concat(), 1) else { return };
    let password = ["--auth", "low", "--password", PASSWORD];
    let Some(low) = PeerMeter::start(&[&arguments[..], &password].concat(), 1) else { return };
    let broker = Mosquitto::setup().user("gateway", BROKER_PASSWORD).start();
    let live = broker.subscribe_with("#", &["-V", "mqttv5", "-u", "gateway", "-P", BROKER_PASSWORD]);
    let usual = json!({"interface": "wrapper", "client_address": 1, "timeout": "5s"});
    let with = |keys: Value| {
        let mut device = usual.clone();
        device.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        device
    };
    let mut site = Site::new(&broker.url())
        .connection("c", ciphered.port(), json!({}))
        .connection("d", low.port(), json!({}))
        .device(
            "m",
            "c",
            with(json!({
                "access_security": "high_gmac",
                "transport_security": "authentication_encryption",
                "block_cipher_key": ENCRYPTION_KEY,
                "authentication_key": AUTHENTICATION_KEY,
            })),
        )
        .device("n", "d", with(json!({"access_security": "low", "password": PASSWORD})))
        // And one that is refused: errors tell much.
        .device("wrong", "d", with(json!({"access_security": "low", "password": format!("{PASSWORD}x")})))
        .group("g", &["m", "n", "wrong"], energy(), json!({}));
    site.config["mqtt"]["username"] = "gateway".into();
    site.config["mqtt"]["password"] = BROKER_PASSWORD.into();
    let mut program = Program::run(&site, &["--log-level", "trace"]);
    // Trace fills a pipe faster than nobody reads it.
    let mut stderr = program.0.stderr.take().expect("piped");
    let log = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let status = |seen: &[Message], device: &str| !of(seen, &format!("devices/{device}/status")).is_empty();
    let seen =
        live.until("all devices", |seen| ["m", "n", "wrong"].iter().all(|device| status(seen, device))).await;
    for (device, expected) in [("m", "ok"), ("n", "ok"), ("wrong", "failed")] {
        let snapshot = of(&seen, &format!("devices/{device}/groups/g"))[0].json();
        assert_eq!(snapshot["status"], expected, "{snapshot}");
    }
    program.signal("TERM");
    assert_eq!(program.ended().await.code(), Some(0));
    let log = log.join().expect("no panic").expect("UTF-8");
    assert!(log.len() > 1_000, "the trace is there");
    let mut told = vec![("stderr".to_owned(), log)];
    told.extend(live.messages().into_iter().map(|message| (message.topic, message.payload)));
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    for secret in [PASSWORD, BROKER_PASSWORD, ENCRYPTION_KEY, AUTHENTICATION_KEY] {
        for form in [secret.to_lowercase(), hex(secret)] {
            for (place, text) in &told {
                let text = text.to_lowercase().replace(' ', "");
                assert!(!text.contains(&form), "{place} tells {secret}: {}", around(&text, &form));
            }
        }
    }
}

fn around<'a>(text: &'a str, found: &str) -> &'a str {
    let at = text.find(found).unwrap_or_default();
    let start = text[..at].rfind('\n').map_or(0, |start| start + 1);
    &text[start..text[at..].find('\n').map_or(text.len(), |end| at + end)]
}
