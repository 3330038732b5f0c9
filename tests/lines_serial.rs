//! The bridge on serial lines: pseudo-terminals with the peer meter at their far end, a real broker at ours.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::bad_network::{BadNetwork, Manner};
use support::line_hub::LineHub;
use support::mosquitto::{Message, Mosquitto};
use support::not_run::not_run;
use support::optical_head::{OpticalHead, Parity};
use support::peer_meter::PeerMeter;
use support::pty::PtyLine;
use support::readings::{Readings, next_failure, next_good, snapshots};
use support::site::{Site, topic};

/// A site whose connection `c` is a serial port.
fn serial_site(broker: &Mosquitto, line: &PtyLine, keys: Value) -> Site {
    let mut site = Site::new(&broker.url());
    let mut connection =
        json!({"name": "c", "type": "serial", "device": line.device(), "baud_rate": 115_200});
    let (Value::Object(all), Value::Object(keys)) = (&mut connection, keys) else {
        panic!("keys are objects")
    };
    all.extend(keys);
    site.config["connections"] = json!([connection]);
    site
}

#[tokio::test]
async fn every_number_arrives_over_a_serial_port_that_vanishes_and_returns() {
    let Some(meter) = PeerMeter::start(&["--interface", "hdlc", "--server-address", "1"], 3) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let mut line = PtyLine::to_tcp(meter.port());
    let readings = Readings::of(&meter);
    let gateway = serial_site(&broker, &line, json!({}))
        .device("m", "c", json!({}))
        .group("g", &["m"], readings.values.clone(), json!({}))
        .start();
    readings.assert_all_in(&next_good(&live, "m").await);

    line.unplug();
    let code = next_failure(&live, "m").await;
    assert!(["SERIAL_GONE", "SERIAL_OPEN"].contains(&code.as_str()), "{code}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(next_failure(&live, "m").await, "SERIAL_OPEN");
    line.plug();
    let back = Instant::now();
    readings.assert_all_in(&next_good(&live, "m").await);
    // Looked for each second, given half a second to settle, then read at the next full second.
    assert!(back.elapsed() < Duration::from_secs(4), "{:?}", back.elapsed());
    gateway.stop().await;
}

#[tokio::test]
async fn a_line_that_only_echoes_is_named() {
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let line = PtyLine::echoing();
    let value = json!([{"name": "v", "obis": "1.0.1.8.0.255", "class": "register"}]);
    let gateway = serial_site(&broker, &line, json!({}))
        .device("m", "c", json!({"retries": 1}))
        .group("g", &["m"], value, json!({}))
        .start();
    assert_eq!(next_failure(&live, "m").await, "SERIAL_ECHO");
    gateway.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let line = PtyLine::pair();
    let settings = dlms2mqtt::transport::SerialSettings {
        device: line.device(),
        format: dlms2mqtt::transport::serial::LineFormat::eight_n_one(9600),
        flow: dlms2mqtt::transport::serial::FlowControl::None,
        rs485: None,
    };
    let taken = dlms2mqtt::transport::SerialPort::open(&settings).await.expect("opened");
    let value = json!([{"name": "v", "obis": "1.0.1.8.0.255", "class": "register"}]);
    let gateway = serial_site(&broker, &line, json!({}))
        .device("m", "c", json!({}))
        .group("g", &["m"], value, json!({}))
        .start();
    assert_eq!(next_failure(&live, "m").await, "SERIAL_BUSY");
    gateway.stop().await;
    drop(taken);
}

#[test]
fn check_names_a_port_that_is_absent() {
    let mut site = Site::new("mqtt://127.0.0.1:1");
    site.config["connections"] = json!([{"name": "c", "type": "serial", "device": "/dev/no-such-port"}]);
    let output = site.program("check").output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("/dev/no-such-port does not exist"), "{text}");
    assert!(text.contains("connections[0].device") || text.contains("/connections/0/device"), "{text}");
}

#[tokio::test]
async fn test_names_a_port_that_is_absent_or_in_use_or_not_ours() {
    let line = PtyLine::pair();
    let mode = |path: &std::path::Path, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("ours");
    };
    let mut site = Site::new("mqtt://127.0.0.1:1").device("m", "c", json!({}));
    mode(site.path(), 0o755);
    let mut says = |device: &std::path::Path, code: &str, user: Option<u32>| {
        site.config["connections"] =
            json!([{"name": "c", "type": "serial", "device": device, "baud_rate": 9600}]);
        for of in [["device", "m"], ["connection", "c"]] {
            let mut test = site.program("test");
            if let Some(user) = user {
                std::os::unix::process::CommandExt::uid(&mut test, user);
            }
            let output = match test.args(of).output() {
                Err(error) if user.is_some() && error.kind() == std::io::ErrorKind::PermissionDenied => {
                    not_run(1, "a serial port that may not be opened: nobody may run the program");
                    continue;
                }
                output => output.expect("the program runs"),
            };
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && text.contains(code), "{of:?}: {text}");
        }
    };
    says(std::path::Path::new("/dev/no-such-port"), "SERIAL_OPEN", None);
    let settings = dlms2mqtt::transport::SerialSettings {
        device: line.device(),
        format: dlms2mqtt::transport::serial::LineFormat::eight_n_one(9600),
        flow: dlms2mqtt::transport::serial::FlowControl::None,
        rs485: None,
    };
    let taken = dlms2mqtt::transport::SerialPort::open(&settings).await.expect("opened");
    says(&line.device(), "SERIAL_BUSY", None);
    drop(taken);
    let forbidden = line.far_device();
    mode(&forbidden, 0);
    // Root may open all.
    const NOBODY: u32 = 65_534;
    let user = std::fs::File::open(&forbidden).is_ok().then_some(NOBODY);
    says(&forbidden, "SERIAL_PERMISSION", user);
}

#[tokio::test]
async fn meters_share_a_line_and_a_dead_one_costs_its_time_out() {
    let start = |server: &str| PeerMeter::start(&["--interface", "hdlc", "--server-address", server], 4);
    let (Some(one), Some(other)) = (start("1/17"), start("1/18")) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let hub = LineHub::of(&[one.port(), other.port()]).await;
    let line = PtyLine::to_tcp(hub.port());
    let readings = Readings::of(&one);
    let at = |physical: u8| json!({"server_address": physical, "logical_server_address": 1, "timeout": "600ms", "retries": 2});
    let gateway = serial_site(&broker, &line, json!({}))
        .device("one", "c", at(17))
        .device("dead", "c", at(99))
        .device("other", "c", at(18))
        .group("g", &["one", "dead", "other"], readings.values.clone(), json!({"interval": 2}))
        .start();
    for device in ["one", "other", "one", "other"] {
        readings.assert_all_in(&next_good(&live, device).await);
    }
    assert_eq!(next_failure(&live, "dead").await, "HDLC_NO_UA");
    let worst = |messages: &[Message]| {
        let all = ["one", "other"].into_iter().flat_map(|device| snapshots(messages, device, "g"));
        // Before it was known to be dead, it was asked three times.
        all.skip(2).map(|snapshot| snapshot["late_ms"].as_u64().expect("late_ms")).max()
    };
    for device in ["one", "other", "one", "other"] {
        readings.assert_all_in(&next_good(&live, device).await);
    }
    let messages = live.messages();
    let worst = worst(&messages).expect("snapshots");
    assert!(worst < 3 * 600 + 1200, "{worst} ms late at worst");
    let status = messages.iter().rfind(|message| message.topic == topic("devices/dead/status"));
    let status = status.expect("a status").json();
    assert!(status["backoff_until"].is_string(), "{status}");
    gateway.stop().await;
}

#[tokio::test]
async fn meters_sign_on_over_a_serial_port_one_after_the_other() {
    let start = |server: &str| PeerMeter::start(&["--interface", "hdlc", "--server-address", server], 2);
    let (Some(one), Some(other)) = (start("1"), start("1")) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let head = OpticalHead::before(&[("11", one.port()), ("22", other.port())], Parity::Client).await;
    let line = PtyLine::to_tcp(head.port());
    let readings = Readings::of(&one);
    let keys = |address: &str| json!({"interface": "hdlc_mode_e", "mode_e": {"address": address, "max_baud": 9600}, "timeout": "2s"});
    let gateway = serial_site(&broker, &line, json!({"baud_rate": 300, "parity_mode": "software_7e1"}))
        .device("one", "c", keys("11"))
        .device("other", "c", keys("22"))
        .group("g", &["one", "other"], readings.values.clone(), json!({"interval": 4}))
        .start();
    for device in ["one", "other", "one"] {
        readings.assert_all_in(&next_good(&live, device).await);
    }
    let sign_ons = head.sign_ons();
    // The fifth speed, 9600 baud, is the fastest that both take.
    assert!(sign_ons.starts_with(&["11 252".to_owned(), "22 252".to_owned()]), "{sign_ons:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_line_that_echoes_all_we_say_is_read() {
    let start = |framing: &str| PeerMeter::start(&["--interface", framing], 2);
    let (Some(hdlc), Some(wrapper)) = (start("hdlc"), start("wrapper")) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    for (meter, framing, echo) in
        [(&hdlc, "hdlc", "drop"), (&hdlc, "hdlc", "auto"), (&wrapper, "wrapper", "auto")]
    {
        let network = BadNetwork::before(meter.port()).await;
        network.be(Manner::Echoing);
        let line = PtyLine::to_tcp(network.port());
        let readings = Readings::of(meter);
        let device = format!("{framing}-{echo}");
        let gateway = serial_site(&broker, &line, json!({"echo": echo}))
            .device(&device, "c", json!({"interface": framing, "timeout": "2s"}))
            .group("g", &[&device], readings.values.clone(), json!({}))
            .start();
        readings.assert_all_in(&next_good(&live, &device).await);
        gateway.stop().await;
    }
}
