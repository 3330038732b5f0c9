//! The bridge over TCP and UDP as sites have it: bad networks, shared modems, sign-ons; the trace of a line.

mod support;

use std::time::Duration;

use dlms2mqtt::bridge::link::traces::trace_of;
use dlms2mqtt::transport::trace::Layers;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use support::bad_network::{BadNetwork, Manner, Mishap};
use support::line_hub::LineHub;
use support::modem::udp_before;
use support::mosquitto::Mosquitto;
use support::not_run::not_run;
use support::optical_head::{OpticalHead, Parity};
use support::peer_meter::PeerMeter;
use support::readings::{Readings, next_good, next_snapshot};
use support::site::Site;

#[tokio::test]
async fn a_bad_network_costs_a_cycle_at_most() {
    let Some(meter) = PeerMeter::start(&["--interface", "hdlc"], 6) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let network = BadNetwork::before(meter.port()).await;
    let readings = Readings::of(&meter);
    let gateway = Site::new(&broker.url())
        .connection("c", network.port(), json!({"persistent": true}))
        .device("m", "c", json!({"retries": 1}))
        .group("g", &["m"], readings.values.clone(), json!({}))
        .start();
    readings.assert_all_in(&next_good(&live, "m").await);
    for manner in [Manner::SingleOctets, Manner::Echoing, Manner::Whole] {
        network.be(manner);
        next_good(&live, "m").await;
        readings.assert_all_in(&next_good(&live, "m").await);
    }
    assert_eq!(network.accepted(), 1, "the connection is kept");
    for (known, mishap) in [Mishap::Reset, Mishap::HalfClose, Mishap::Stall].into_iter().enumerate() {
        network.suffer(mishap);
        readings.assert_all_in(&next_good(&live, "m").await);
        let good = next_good(&live, "m").await;
        assert!(good["late_ms"].as_u64().expect("late_ms") < 1500, "{mishap:?}: {good}");
        assert_eq!(network.accepted(), known + 2, "{mishap:?}: one new connection");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn one_connection_serves_all_meters_behind_a_modem() {
    let start = |server: &str| PeerMeter::start(&["--interface", "hdlc", "--server-address", server], 2);
    let (Some(one), Some(other)) = (start("1/17"), start("1/18")) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let hub = LineHub::of(&[one.port(), other.port()]).await;
    let modem = BadNetwork::before(hub.port()).await;
    let readings = Readings::of(&one);
    let at = |physical: u8| json!({"server_address": physical, "logical_server_address": 1});
    let gateway = Site::new(&broker.url())
        .connection("c", modem.port(), json!({"persistent": true}))
        .device("one", "c", at(17))
        .device("other", "c", at(18))
        .device("dead", "c", at(99))
        .group("g", &["one", "other", "dead"], readings.values.clone(), json!({}))
        .start();
    for device in ["one", "other", "one", "other"] {
        readings.assert_all_in(&next_good(&live, device).await);
    }
    assert_eq!(modem.accepted(), 1, "a silent meter does not take the line of its neighbours down");
    gateway.stop().await;
}

#[tokio::test]
async fn a_meter_signs_on_over_tcp_each_time() {
    let Some(meter) = PeerMeter::start(&["--interface", "hdlc"], 2) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let head = OpticalHead::before(&[("", meter.port())], Parity::Port).await;
    let readings = Readings::of(&meter);
    // Nothing is kept open between cycles, so each begins with a sign-on.
    let gateway = Site::new(&broker.url())
        .connection("c", head.port(), json!({"persistent": false}))
        .device("m", "c", json!({"interface": "hdlc_mode_e", "timeout": "2s"}))
        .group("g", &["m"], readings.values.clone(), json!({"interval": 3}))
        .start();
    for _ in 0..2 {
        readings.assert_all_in(&next_good(&live, "m").await);
    }
    let sign_ons = head.sign_ons();
    assert!(sign_ons.len() >= 2 && sign_ons.iter().all(|selection| selection == " 252"), "{sign_ons:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_meter_is_read_over_ipv6() {
    let listener = match TcpListener::bind("[::1]:0").await {
        Ok(listener) => listener,
        Err(error) => return not_run(1, &format!("reading over IPv6: {error}")),
    };
    let Some(meter) = PeerMeter::start(&["--interface", "wrapper"], 1) else { return };
    let (port, meters_port) = (listener.local_addr().expect("an address").port(), meter.port());
    tokio::spawn(async move {
        while let Ok((mut line, _)) = listener.accept().await {
            let mut meter = TcpStream::connect(("127.0.0.1", meters_port)).await.expect("the meter");
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut line, &mut meter).await;
            });
        }
    });
    assert_all_arrives(&meter, port, json!({"host": "::1"})).await;
}

#[tokio::test]
async fn values_arrive_by_datagrams() {
    let Some(meter) = PeerMeter::start(&["--interface", "wrapper"], 1) else { return };
    assert_all_arrives(&meter, udp_before(meter.port()).await, json!({"type": "udp"})).await;
}

/// Every number of a meter behind the wrapper reaches a subscriber over this connection.
async fn assert_all_arrives(meter: &PeerMeter, port: u16, connection: Value) {
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let readings = Readings::of(meter);
    let gateway = Site::new(&broker.url())
        .connection("c", port, connection)
        .device("m", "c", json!({"interface": "wrapper", "timeout": "2s"}))
        .group("g", &["m"], readings.values.clone(), json!({}))
        .start();
    readings.assert_all_in(&next_good(&live, "m").await);
    gateway.stop().await;
}

#[tokio::test]
async fn a_line_is_traced_while_it_runs() {
    let Some(meter) =
        PeerMeter::start(&["--interface", "wrapper", "--auth", "low", "--password", "OpenSesame8"], 3)
    else {
        return;
    };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let readings = Readings::of(&meter);
    let site = Site::new(&broker.url())
        .connection("traced-line", meter.port(), json!({}))
        .device(
            "m",
            "traced-line",
            json!({
                "interface": "wrapper", "access_security": "low", "password": "OpenSesame8", "timeout": "2s",
            }),
        )
        .group("g", &["m"], readings.values.clone(), json!({}));
    let gateway = site.start();
    next_good(&live, "m").await;
    let trace = trace_of("traced-line");
    let file = site.path().join("line.pcapng");
    trace.start_capture(&file, 1 << 20).expect("a new file");
    trace.show(Layers::DECODED);
    for _ in 0..2 {
        next_snapshot(&live, "m", |_| true).await;
    }
    trace.show(Layers::NONE);
    trace.stop_capture();
    gateway.stop().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let captured = std::fs::read(&file).expect("the file");
    assert!(
        captured.starts_with(&[0x0A, 0x0D, 0x0D, 0x0A]) && captured.len() > 1000,
        "{} octets",
        captured.len()
    );
    let holds = |needle: &[u8]| captured.windows(needle.len()).any(|window| window == needle);
    assert!(holds(&[1, 0, 1, 8, 0, 255]), "an object that was read");
    assert!(holds(&[0xAC, 0x0D, 0x80, 0x0B]), "where the password was sent");
    assert!(!holds(b"OpenSesame8"), "the password itself");
}
