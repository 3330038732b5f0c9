//! Health over HTTP, metrics, the health check, the service manager and the log, of the program as it is started.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::mosquitto::{Mosquitto, PATIENCE, free_port};
use support::python::python;
use support::site::Site;

/// Ends what it started.
struct Running(Child);

impl Running {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn meter(port: u16) -> Running {
    let listen = format!("127.0.0.1:{port}");
    let child = Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"))
        .args(["sim", "--listen", &listen, "--interface", "wrapper", "--client-address", "1"])
        .args(["--authentication", "high_gmac", "--security", "authentication_encryption"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Running(child)
}

fn site(broker: u16, meter: u16, http: u16) -> Site {
    let mut site = Site::new(&format!("mqtt://127.0.0.1:{broker}"))
        .connection("feeder", meter, json!({}))
        .connection("nowhere", free_port(), json!({}))
        .device(
            "main",
            "feeder",
            json!({
                "interface": "wrapper", "client_address": 1,
                "access_security": "high_gmac", "transport_security": "authentication_encryption",
                "authentication_key": "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF",
                "block_cipher_key": "000102030405060708090A0B0C0D0E0F",
            }),
        )
        .device("absent", "nowhere", json!({}))
        .group(
            "energy",
            &["main", "absent"],
            json!([{ "name": "import", "obis": "1.0.1.8.0.255", "class": "register" }]),
            json!({}),
        );
    site.config["http"] = json!({ "listen": format!("127.0.0.1:{http}") });
    site
}

/// Status and body; `None` while nobody listens.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    ask(port, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

fn ask(port: u16, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What the Prometheus project's parser makes of a text.
fn samples(text: &str) -> Vec<Value> {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/metrics.py");
    let mut parser = python(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    parser.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let parsed = parser.wait_with_output().unwrap();
    assert!(parsed.status.success(), "the parser refuses:\n{text}");
    let lines = String::from_utf8(parsed.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn value(samples: &[Value], name: &str, labels: impl Into<Value>) -> f64 {
    let labels = labels.into();
    let fits = |sample: &&Value| {
        sample["name"] == name
            && labels.as_object().unwrap().iter().all(|(label, value)| sample["labels"][label] == *value)
    };
    let found: Vec<&Value> = samples.iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{name} {labels} in {samples:#?}");
    found[0]["value"].as_f64().unwrap()
}

#[test]
fn readiness_follows_the_broker_and_liveness_does_not() {
    let (broker_port, meter_port, http) = (free_port(), free_port(), free_port());
    let _meter = meter(meter_port);
    let mut site = site(broker_port, meter_port, http);
    let log = site.path().join("log");
    let notified = UnixDatagram::bind(site.path().join("notify")).unwrap();
    notified.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 128];
        let length = notified.recv(&mut text).expect("the service manager is told");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let is_healthy = |site: &Site| site.program("healthcheck").output().unwrap().status.code();
    assert_eq!(is_healthy(&site), Some(1), "nobody runs");

    let mut bridge = Running(
        site.program("run")
            .args(["--log-format", "json", "--log-level", "dlms2mqtt=debug"])
            .env("NOTIFY_SOCKET", site.path().join("notify"))
            // Slow enough for a queue that was emptied to take the farewell, whatever else the machine does.
            .env("WATCHDOG_USEC", "2000000")
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap(),
    );
    assert!(told().starts_with("READY=1"));
    for _ in 0..3 {
        assert_eq!(told(), "WATCHDOG=1");
    }
    // From here on nobody reads what the manager is told, and the bridge must not mind.

    wait_for("it listens", || get(http, "/healthz").is_some());
    wait_for("it says why it is not ready", || {
        let (status, body) = get(http, "/readyz").unwrap();
        assert_eq!(status, 503);
        body.contains("TCP_REFUSED") && body.contains("hint: ")
    });
    let unhealthy = site.program("healthcheck").output().unwrap();
    assert_eq!(unhealthy.status.code(), Some(1));
    assert!(String::from_utf8(unhealthy.stderr).unwrap().contains("TCP_REFUSED"));
    assert_eq!(get(http, "/healthz"), Some((200, "alive\n".to_owned())));

    let mut broker = Mosquitto::setup().port(broker_port).start();
    wait_for("ready with a broker", || get(http, "/readyz").unwrap().0 == 200);
    assert_eq!(is_healthy(&site), Some(0));
    assert_eq!(
        value(&samples(&get(http, "/metrics").unwrap().1), "dlms2mqtt_mqtt_connected", json!({})),
        1.0
    );

    broker.kill();
    wait_for("not ready without", || get(http, "/readyz").unwrap().0 == 503);
    assert_eq!(is_healthy(&site), Some(1));
    assert_eq!(get(http, "/healthz").unwrap().0, 200, "alive all the same");
    broker.restart();
    wait_for("ready again", || get(http, "/readyz").unwrap().0 == 200);
    assert_eq!(is_healthy(&site), Some(0));

    wait_for("both links were polled", || {
        let text = get(http, "/metrics").unwrap().1;
        text.contains("dlms2mqtt_polls_total{connection=\"feeder\",outcome=\"ok\"} 2")
            && text.contains("connection=\"nowhere\",code=\"TCP_REFUSED\"")
    });
    every_metric_is_there(&samples(&get(http, "/metrics").unwrap().1));

    let moved = free_port();
    site.config["http"]["listen"] = json!(format!("127.0.0.1:{moved}"));
    site.file();
    bridge.signal("HUP");
    wait_for("it listens elsewhere", || get(moved, "/readyz").is_some_and(|(status, _)| status == 200));
    wait_for("and no longer there", || get(http, "/readyz").is_none());

    notified.set_nonblocking(true).unwrap();
    while notified.recv(&mut [0; 128]).is_ok() {}
    notified.set_nonblocking(false).unwrap();
    assert_eq!(bridge.terminate(), Some(0));
    wait_for("it says that it stops", || told().starts_with("STOPPING=1"));
    log_lines_say_of_whom_they_speak(&fs::read_to_string(&log).unwrap());
}

fn every_metric_is_there(samples: &[Value]) {
    let feeder = json!({ "connection": "feeder" });
    assert!(
        value(samples, "dlms2mqtt_polls_total", json!({ "connection": "feeder", "outcome": "ok" })) >= 2.0
    );
    assert!(
        value(samples, "dlms2mqtt_polls_total", json!({ "connection": "nowhere", "outcome": "failed" }))
            >= 1.0
    );
    assert!(
        value(samples, "dlms2mqtt_errors_total", json!({ "connection": "nowhere", "code": "TCP_REFUSED" }))
            >= 1.0
    );
    assert!(value(samples, "dlms2mqtt_read_seconds_count", feeder.clone()) >= 2.0);
    assert!(value(samples, "dlms2mqtt_read_seconds_sum", feeder.clone()) > 0.0);
    let all = json!({ "connection": "feeder", "le": "+Inf" });
    assert!(value(samples, "dlms2mqtt_read_seconds_bucket", all) >= 2.0);
    assert_eq!(value(samples, "dlms2mqtt_read_seconds_count", json!({ "connection": "nowhere" })), 0.0);
    let states = ["up", "connecting", "down"].map(|state| {
        value(samples, "dlms2mqtt_link_state", json!({ "connection": "nowhere", "state": state }))
    });
    assert_eq!(states.iter().sum::<f64>(), 1.0);
    assert_eq!(value(samples, "dlms2mqtt_link_failing", json!({ "connection": "nowhere" })), 1.0);
    assert_eq!(value(samples, "dlms2mqtt_link_failing", feeder.clone()), 0.0);
    assert_eq!(value(samples, "dlms2mqtt_link_queue", feeder.clone()), 0.0);
    assert!(value(samples, "dlms2mqtt_skipped_ticks_total", feeder) >= 0.0);
    let left = value(samples, "dlms2mqtt_invocation_counter_headroom", json!({ "device": "main" }));
    assert!(left > 4.0e9 && left < 4_294_967_295.0, "{left}");
    for name in ["outbox_messages", "outbox_bytes", "outbox_oldest_seconds", "outbox_dropped_total"] {
        assert!(value(samples, &format!("dlms2mqtt_{name}"), json!({})) >= 0.0);
    }
    assert!(value(samples, "dlms2mqtt_mqtt_connections_total", json!({})) >= 2.0);
    assert!(value(samples, "dlms2mqtt_mqtt_published_total", json!({})) >= 2.0);
    assert!(value(samples, "dlms2mqtt_uptime_seconds", json!({})) > 0.0);
    assert_eq!(value(samples, "dlms2mqtt_build_info", json!({ "gateway": "g" })), 1.0);
    for name in ["mqtt_refused_total", "replies_dropped_total", "requests_refused_total"] {
        assert_eq!(value(samples, &format!("dlms2mqtt_{name}"), json!({})), 0.0);
    }
}

fn log_lines_say_of_whom_they_speak(log: &str) {
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        assert!(
            line["level"].is_string() && line["target"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
    let of_visit = |line: &&Value| line["link"] == "nowhere" && line["device"] == "absent";
    let found = lines.iter().find(of_visit).unwrap_or_else(|| panic!("no line of a visit in {log}"));
    assert!(found["transaction"].as_str().is_some_and(|number| number.starts_with("poll-")), "{found}");
}

#[test]
fn strange_clients_get_an_answer_or_the_door() {
    let (broker, http) = (Mosquitto::start(), free_port());
    let site = site(broker.port(), free_port(), http);
    let bridge = site.program("run").stderr(Stdio::null()).spawn().unwrap();
    let _bridge = Running(bridge);
    wait_for("it listens", || get(http, "/healthz").is_some());
    assert_eq!(get(http, "/").unwrap().0, 404);
    assert_eq!(ask(http, "POST /healthz HTTP/1.0\r\n\r\n").unwrap().0, 405);
    assert_eq!(ask(http, "HEAD /healthz HTTP/1.0\r\n\r\n").unwrap(), (200, String::new()));
    assert_eq!(ask(http, "nonsense\r\n\r\n").unwrap().0, 400);
    let huge = format!("GET /healthz HTTP/1.0\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let mut stream = TcpStream::connect(("127.0.0.1", http)).unwrap();
    let _ = stream.write_all(huge.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431") || answer.starts_with(b"HTTP/1.0 431"));
    // Who says nothing, and who asks for much and reads nothing, makes room for who comes after.
    let silent: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(("127.0.0.1", http)).unwrap()).collect();
    assert_eq!(get(http, "/healthz").unwrap().0, 200);
    let deaf: Vec<TcpStream> = (0..40).map(|_| deaf(http)).collect();
    assert_eq!(get(http, "/healthz").unwrap().0, 200);
    drop((silent, deaf));
}

/// A client that sends requests until no more are taken, and takes no answer.
fn deaf(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    while stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: gateway\r\n\r\n").is_ok() {}
    stream
}

#[test]
fn the_health_check_says_why_it_cannot_ask() {
    let mut site = site(1, 1, free_port());
    site.config.as_object_mut().unwrap().remove("http");
    let said = site.program("healthcheck").output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8(said.stderr).unwrap().contains("no bridge answers"));
}

#[test]
fn the_health_check_asks_the_control_socket_first() {
    let mut site = site(1, 1, free_port());
    site.config.as_object_mut().unwrap().remove("http");
    fs::create_dir(site.path().join("state")).unwrap();
    let socket = UnixListener::bind(site.path().join("state/control.sock")).unwrap();
    for (answer, code, said) in [
        (r#"{"status":"ok","data":{"status":"ok","mqtt":{"connected":true}}}"#, 0, "connected"),
        (r#"{"data":{"mqtt":{"connected":false,"error":"MQTT_AUTH"}}}"#, 1, "MQTT_AUTH"),
        (r#"{"data":{"mqtt":{"connected":false}}}"#, 1, "not connected yet"),
        (r#"{"status":"error","error":{"code":"NOT_ALLOWED"}}"#, 1, "no bridge answers"),
        ("nonsense", 1, "no bridge answers"),
    ] {
        let socket = socket.try_clone().unwrap();
        let serves = thread::spawn(move || {
            let (mut stream, _) = socket.accept().unwrap();
            let mut request = String::new();
            BufReader::new(&stream).read_line(&mut request).unwrap();
            let _ = writeln!(stream, "{answer}");
            serde_json::from_str::<Value>(&request).unwrap()
        });
        let checked = site.program("healthcheck").output().unwrap();
        assert_eq!(serves.join().unwrap(), json!({ "verb": "health_check" }));
        assert_eq!(checked.status.code(), Some(code), "{answer}: {checked:?}");
        let all = [checked.stdout, checked.stderr].concat();
        assert!(String::from_utf8(all).unwrap().contains(said), "{answer}");
    }
}

#[test]
fn the_health_check_waits_for_no_socket_that_never_comes_to_an_end() {
    let mut site = site(1, 1, free_port());
    site.config.as_object_mut().unwrap().remove("http");
    fs::create_dir(site.path().join("state")).unwrap();
    let socket = UnixListener::bind(site.path().join("state/control.sock")).unwrap();
    let trickle = thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if stream.write_all(b" ").is_err() {
                return true;
            }
            thread::sleep(Duration::from_millis(100));
        }
        false
    });
    let checked = site.program("healthcheck").output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    assert!(String::from_utf8(checked.stderr).unwrap().contains("no bridge answers"));
    assert!(trickle.join().unwrap(), "it waited for the end");
}

#[test]
fn the_health_check_tells_a_bridge_that_hangs_from_one_that_is_not_there() {
    let port = free_port();
    let site = site(1, 1, port);
    let checked = || String::from_utf8(site.program("healthcheck").output().unwrap().stderr).unwrap();
    assert!(checked().contains("TCP_REFUSED"));
    let _never_answers = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert!(checked().contains("TCP_TIMEOUT"));
}
