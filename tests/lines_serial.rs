//! The bridge on serial lines: pseudo-terminals with the peer meter at their far end, a real broker at ours.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::mosquitto::Mosquitto;
use support::peer_meter::PeerMeter;
use support::pty::PtyLine;
use support::readings::{Readings, next_failure, next_good};
use support::site::Site;

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
async fn only_an_echo_is_named_and_an_echo_is_dropped() {
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
