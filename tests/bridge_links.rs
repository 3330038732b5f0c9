//! Connections and associations as the meter counts them: opened, kept, released, and opened again when they went stale.

mod support;

use std::time::Duration;

use serde_json::{Value, json};

use support::mosquitto::{Message, Mosquitto, PATIENCE, Subscriber};
use support::peer_meter::PeerMeter;
use support::proxy::{Answers, Proxy};
use support::scripted::{AARQ, Act, Asked, ENERGY, RLRQ, Scripted, answer, asks_for_energy, well_behaved};
use support::site::{Gateway, Site, topic};

fn energy() -> Value {
    json!([{"name": "energy", "obis": ENERGY, "class": "register"}])
}

fn snapshots(messages: &[Message], device: &str) -> Vec<Value> {
    let topic = topic(&format!("devices/{device}/groups/g"));
    messages.iter().filter(|message| message.topic == topic).map(Message::json).collect()
}

async fn ok_cycles(live: &Subscriber, device: &str, count: usize) {
    let seen = live.until("cycles", |seen| snapshots(seen, device).len() >= count).await;
    for snapshot in snapshots(&seen, device) {
        assert_eq!(snapshot["status"], "ok", "{snapshot}");
    }
}

fn start(broker: &Mosquitto, port: u16, connection: Value, device: Value, group: Value) -> Gateway {
    Site::new(&broker.url())
        .connection("c", port, connection)
        .device("m", "c", device)
        .group("g", &["m"], energy(), group)
        .start()
}

fn wrapper() -> Value {
    json!({"interface": "wrapper"})
}

#[tokio::test]
async fn a_persistent_connection_is_one_and_so_is_its_association() {
    let meter = Scripted::start(well_behaved).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let gateway = start(&broker, meter.port(), json!({"persistent": true}), wrapper(), json!({}));
    ok_cycles(&live, "m", 4).await;
    assert_eq!((meter.connections(), meter.count(AARQ), meter.count(RLRQ)), (1, 1, 0));
    gateway.stop().await;
    assert_eq!(meter.count(RLRQ), 1, "leave is taken at the stop");
}

#[tokio::test]
async fn a_connection_for_each_cycle_is_closed_after_it() {
    let meter = Scripted::start(well_behaved).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let gateway = start(&broker, meter.port(), json!({"persistent": false}), wrapper(), json!({}));
    ok_cycles(&live, "m", 3).await;
    gateway.stop().await;
    let cycles = snapshots(&live.messages(), "m").len();
    let connections = meter.connections();
    assert!((3..=cycles + 1).contains(&connections), "{connections} connections in {cycles} cycles");
    assert_eq!((meter.count(AARQ), meter.count(RLRQ)), (connections, connections));
    let scalers = meter
        .asked()
        .iter()
        .filter(|asked| asked.apdu.get(3..12) == Some(&[0, 3, 1, 0, 1, 8, 0, 255, 3]))
        .count();
    assert_eq!(scalers, 1, "scaler and unit are kept over connections to the same meter");
}

/// One visit at the start, and the next one in an hour or half a minute.
async fn after_one_visit(connection: Value, group: Value, requests: &[u8]) {
    let meter = Scripted::start(well_behaved).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let gateway = start(&broker, meter.port(), connection.clone(), wrapper(), group);
    ok_cycles(&live, "m", 1).await;
    live.until("status", |seen| seen.iter().any(|message| message.topic == topic("devices/m/status"))).await;
    let others =
        || meter.asked().iter().map(|asked| asked.apdu[0]).filter(|tag| *tag != 0xC0).collect::<Vec<_>>();
    assert_eq!(others(), requests, "{connection}");
    assert_eq!(meter.connections(), 1);
    gateway.stop().await;
    assert_eq!(others(), [AARQ, RLRQ], "{connection}");
}

/// A tick that is not within ten seconds, whenever this runs: seconds past the interval's last tick.
fn interval_with_distant_tick(interval: i64) -> Value {
    let now = jiff::Timestamp::now().as_second();
    let offset = (now + interval / 2).rem_euclid(interval);
    json!({"interval": interval, "offset": offset})
}

#[tokio::test]
async fn an_association_is_released_when_the_next_visit_is_far_unless_it_is_held() {
    tokio::join!(
        after_one_visit(json!({"persistent": true}), interval_with_distant_tick(3_600), &[AARQ, RLRQ]),
        after_one_visit(
            json!({"persistent": true, "hold": true}),
            interval_with_distant_tick(3_600),
            &[AARQ]
        ),
        after_one_visit(json!({"persistent": true}), interval_with_distant_tick(60), &[AARQ]),
        after_one_visit(json!({"persistent": false}), interval_with_distant_tick(60), &[AARQ, RLRQ]),
    );
}

/// DISC with the poll bit from client 16 to server 1 and the address fields before it.
fn disconnects(sent: &[u8]) -> usize {
    sent.windows(3).filter(|octets| *octets == [0x03, 0x21, 0x53]).count()
}

#[tokio::test]
async fn over_hdlc_the_link_is_disconnected() {
    let Some(meter) = PeerMeter::start(&["--interface", "hdlc"], 4) else { return };
    for (persistent, group, count) in
        [(true, interval_with_distant_tick(3_600), 1), (true, interval_with_distant_tick(60), 0)]
    {
        let proxy = Proxy::to(meter.port()).await;
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/#");
        let gateway = start(
            &broker,
            proxy.port(),
            json!({"persistent": persistent}),
            json!({"interface": "hdlc", "timeout": "2s"}),
            group,
        );
        ok_cycles(&live, "m", 1).await;
        live.until("status", |seen| seen.iter().any(|message| message.topic == topic("devices/m/status")))
            .await;
        assert_eq!(proxy.sent().iter().map(|sent| disconnects(sent)).collect::<Vec<_>>(), [count]);
        gateway.stop().await;
        assert_eq!(proxy.sent().iter().map(|sent| disconnects(sent)).collect::<Vec<_>>(), [1]);
    }
}

/// Receive-ready frames with the poll bit from client 16 to server 1, whatever their sequence number.
fn receive_ready(sent: &[u8]) -> usize {
    let is_one = |octets: &&[u8]| octets[..2] == [0x03, 0x21] && octets[2] & 0x1F == 0x11;
    sent.windows(3).filter(is_one).count()
}

/// Asks for the energy over MQTT, and waits for it.
async fn read_now(broker: &Mosquitto, live: &Subscriber, transaction: &str) {
    let objects = json!([{"obis": "1.0.1.8.0.255"}]);
    let request = json!({"transaction": transaction, "device": "m", "objects": objects}).to_string();
    broker.publish(&topic("bridge/request/read"), request.as_bytes(), &[]);
    let answer = |seen: &[Message]| {
        let answers = seen.iter().filter(|message| message.topic == topic("bridge/response/read"));
        answers.map(Message::json).find(|answer| answer["transaction"] == transaction)
    };
    let seen = live.until("the reading", |seen| answer(seen).is_some()).await;
    let answer = answer(&seen).unwrap();
    assert_eq!(answer["data"]["values"][0]["quality"], "good", "{answer}");
}

#[tokio::test]
async fn a_held_association_is_kept_alive_over_hdlc_and_one_that_is_silent_is_opened_anew() {
    let Some(meter) = PeerMeter::start(&["--interface", "hdlc"], 4) else { return };
    let proxy = Proxy::to(meter.port()).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let asked = |connection: usize, count: usize| {
        let proxy = &proxy;
        async move {
            let deadline = tokio::time::Instant::now() + PATIENCE;
            while proxy.sent().get(connection).is_none_or(|sent| receive_ready(sent) < count) {
                assert!(tokio::time::Instant::now() < deadline, "{:02x?}", proxy.sent());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    let gateway = start(
        &broker,
        proxy.port(),
        json!({"persistent": true, "hold": true}),
        json!({"interface": "hdlc", "timeout": "2s", "retries": 0, "hdlc": {"keep_alive": "1s"}}),
        interval_with_distant_tick(3_600),
    );
    ok_cycles(&live, "m", 1).await;
    asked(0, 3).await;
    read_now(&broker, &live, "first").await;
    assert_eq!(proxy.connections(), 1, "the association has held");

    // A meter that no longer answers is found out while nobody waits for it.
    proxy.answers(Answers::Hold);
    let silent = receive_ready(&proxy.sent()[0]);
    asked(0, silent + 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    proxy.answers(Answers::Pass);
    read_now(&broker, &live, "second").await;
    assert_eq!(proxy.connections(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn an_association_that_is_not_held_is_not_kept_alive() {
    let Some(meter) = PeerMeter::start(&["--interface", "hdlc"], 1) else { return };
    let proxy = Proxy::to(meter.port()).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let device = json!({"interface": "hdlc", "timeout": "2s", "hdlc": {"keep_alive": "1s"}});
    let gateway = start(&broker, proxy.port(), json!({"persistent": true}), device, json!({"interval": 4}));
    ok_cycles(&live, "m", 2).await;
    assert_eq!(proxy.sent().iter().map(|sent| receive_ready(sent)).sum::<usize>(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_kept_connection_that_went_stale_costs_no_cycle() {
    // The connection ends between two cycles, while nobody asks for anything.
    let Some(meter) = PeerMeter::start(&["--interface", "wrapper"], 1) else { return };
    let proxy = Proxy::to(meter.port()).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let device = json!({"interface": "wrapper", "timeout": "2s"});
    let gateway = start(&broker, proxy.port(), json!({"persistent": true}), device, json!({"interval": 2}));
    ok_cycles(&live, "m", 1).await;
    for cut in 1..=2 {
        proxy.cut();
        ok_cycles(&live, "m", cut + 1).await;
        assert_eq!(proxy.sent().len(), cut + 1);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_meter_that_ended_the_connection_or_forgot_the_association_is_asked_once_more() {
    // The first request of the second cycle is answered by the end of the connection, or by a refusal.
    for on_second in [Act::Close, Act::Say(vec![0xD8, 0x01, 0x01])] {
        let asked_before = std::sync::atomic::AtomicUsize::new(0);
        let meter = Scripted::start(move |asked: &Asked| {
            let again = asks_for_energy(&asked.apdu)
                && asked_before.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1;
            if again { vec![on_second.clone()] } else { vec![Act::Say(answer(&asked.apdu))] }
        })
        .await;
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/#");
        let gateway = start(&broker, meter.port(), json!({"persistent": true}), wrapper(), json!({}));
        ok_cycles(&live, "m", 3).await;
        assert_eq!(meter.count(AARQ), 2);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn meters_of_one_link_take_turns_and_leave_before_the_next() {
    let meter = Scripted::start(well_behaved).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let gateway = Site::new(&broker.url())
        .connection("c", meter.port(), json!({"persistent": true}))
        .device("a", "c", json!({"interface": "wrapper", "server_address": 1}))
        .device("b", "c", json!({"interface": "wrapper", "server_address": 2}))
        .group("g", &["a", "b"], energy(), json!({}))
        .start();
    ok_cycles(&live, "a", 3).await;
    ok_cycles(&live, "b", 3).await;
    gateway.stop().await;
    assert_eq!(meter.connections(), 1);
    let mut associated = None;
    for asked in meter.asked() {
        match asked.apdu[0] {
            AARQ => {
                assert_eq!(associated, None, "two associations at once");
                associated = Some(asked.server);
            }
            RLRQ => assert_eq!(associated.take(), Some(asked.server)),
            _ => assert_eq!(associated, Some(asked.server)),
        }
    }
    assert_eq!(associated, None, "somebody was left behind");
}

#[tokio::test]
async fn a_stop_while_a_meter_stalls_is_soon() {
    let meter = Scripted::start(|asked| {
        if asks_for_energy(&asked.apdu) {
            vec![Act::Pause(Duration::from_secs(60))]
        } else {
            well_behaved(asked)
        }
    })
    .await;
    let broker = Mosquitto::start();
    let device = json!({"interface": "wrapper", "timeout": "30s"});
    let gateway = start(&broker, meter.port(), json!({"persistent": true}), device, json!({}));
    let started = std::time::Instant::now();
    while !meter.asked().iter().any(|asked| asks_for_energy(&asked.apdu)) {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stopping = std::time::Instant::now();
    gateway.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(9), "{:?}", stopping.elapsed());
}
