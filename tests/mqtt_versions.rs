//! Which version of MQTT is spoken with brokers that know only the old one, and that waiting costs nothing.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dlms2mqtt::bridge::outbox::{Limits, MemoryOutbox, Retain};
use dlms2mqtt::bridge::publisher::{
    BackoffSettings, BrokerUrl, Protocol, Publisher, PublisherSettings, Version,
};
use dlms2mqtt::bridge::topics::Topics;
use dlms2mqtt::error::Code;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use support::mosquitto::{Mosquitto, PATIENCE, free_port};

fn start(url: &str, protocol: Protocol) -> Publisher {
    let topics = Topics::new("dlms/g").unwrap();
    let mut settings = PublisherSettings::new("g", topics, BrokerUrl::parse(url).unwrap());
    settings.protocol = protocol;
    settings.backoff =
        BackoffSettings { first: Duration::from_millis(100), longest: Duration::from_millis(400) };
    let outbox = MemoryOutbox::new(Limits::default());
    Publisher::spawn(settings, Box::new(outbox), CancellationToken::new())
}

async fn connected(publisher: &Publisher) -> Version {
    let mut states = publisher.handle.mqtt_state();
    let found = timeout(PATIENCE, states.wait_for(|state| state.connected)).await;
    found.expect("a connection").unwrap().protocol.unwrap()
}

/// How a broker of 3.1.1 alone meets a CONNECT of MQTT 5.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// It closes.
    Close,
    /// It answers as 3.1.1 says (3.2.2.3: unacceptable protocol version), which MQTT 5 cannot read.
    OldConnack,
    /// It answers as MQTT 5 says: unsupported protocol version.
    NewConnack,
}

/// A broker of 3.1.1 alone, which keeps what it was sent.
struct OldBroker {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    levels: Vec<u8>,
    topics: Vec<String>,
}

impl OldBroker {
    async fn start(refusal: Refusal) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let sink = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(client, refusal, Arc::clone(&sink)));
            }
        });
        Self { port, seen }
    }
}

async fn serve(mut client: TcpStream, refusal: Refusal, seen: Arc<Mutex<Seen>>) -> Option<()> {
    loop {
        let (kind, packet) = read_packet(&mut client).await?;
        let answer = match kind >> 4 {
            // CONNECT: the length of "MQTT", the name, the level.
            1 => {
                let level = packet[6];
                seen.lock().unwrap().levels.push(level);
                match (level, refusal) {
                    (4, _) => vec![0x20, 2, 0, 0],
                    (_, Refusal::Close) => return None,
                    (_, Refusal::OldConnack) => vec![0x20, 2, 0, 1],
                    (_, Refusal::NewConnack) => vec![0x20, 3, 0, 0x84, 0],
                }
            }
            3 => {
                let length = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
                let (topic, rest) = packet[2..].split_at(length);
                seen.lock().unwrap().topics.push(String::from_utf8(topic.to_vec()).unwrap());
                vec![0x40, 2, rest[0], rest[1]]
            }
            8 => vec![0x90, 3, packet[0], packet[1], 1],
            12 => vec![0xD0, 0],
            14 => return None,
            other => panic!("packet type {other}"),
        };
        client.write_all(&answer).await.ok()?;
        if matches!(answer[..], [0x20, _, _, 1 | 0x84, ..]) {
            return None;
        }
    }
}

async fn read_packet(client: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let kind = client.read_u8().await.ok()?;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = client.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut packet = vec![0; length];
    client.read_exact(&mut packet).await.ok()?;
    Some((kind, packet))
}

#[tokio::test]
async fn auto_speaks_3_1_1_with_a_broker_that_knows_no_other_and_remembers() {
    for refusal in [Refusal::Close, Refusal::OldConnack, Refusal::NewConnack] {
        let broker = OldBroker::start(refusal).await;
        let publisher = start(&format!("mqtt://127.0.0.1:{}", broker.port), Protocol::Auto);
        assert_eq!(connected(&publisher).await, Version::V311, "{refusal:?}");
        let topic: Arc<str> = "dlms/g/devices/m/event".into();
        publisher
            .handle
            .publish_telemetry(topic.clone(), Bytes::from_static(b"{}"), Retain::Transient)
            .await
            .unwrap();
        let drained = publisher.handle.drain(PATIENCE).await;
        assert!(drained.said_offline);
        let seen = broker.seen.lock().unwrap();
        assert_eq!(seen.levels, [5, 4], "{refusal:?}: one attempt each, without a pause between");
        assert_eq!(seen.topics, ["dlms/g/bridge/state", &topic, "dlms/g/bridge/state"]);
    }
}

#[tokio::test]
async fn a_named_version_does_not_fall_back() {
    let broker = OldBroker::start(Refusal::OldConnack).await;
    let publisher = start(&format!("mqtt://127.0.0.1:{}", broker.port), Protocol::Only(Version::V5));
    let mut states = publisher.handle.mqtt_state();
    let failed = states.wait_for(|state| state.last_error.is_some());
    let report = timeout(PATIENCE, failed).await.unwrap().unwrap().last_error.clone().unwrap();
    assert!(report.hint.contains("auto"), "{report}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let levels = broker.seen.lock().unwrap().levels.clone();
    assert!(levels.len() >= 2 && levels.iter().all(|level| *level == 5), "{levels:?}");
}

#[tokio::test]
async fn auto_speaks_5_with_a_broker_that_knows_both() {
    let broker = Mosquitto::start();
    let publisher = start(&broker.url(), Protocol::Auto);
    assert_eq!(connected(&publisher).await, Version::V5);
}

/// A second without work is a second without wake-ups, connected or not.
#[test]
fn idling_makes_no_wake_ups_to_speak_of() {
    let broker = Mosquitto::start();
    let absent = format!("mqtt://127.0.0.1:{}", free_port());
    for (url, connects) in [(broker.url(), true), (absent, false)] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let publisher = runtime.block_on(async {
            let publisher = start(&url, Protocol::Auto);
            let mut states = publisher.handle.mqtt_state();
            let settled = states.wait_for(|state| {
                state.connected || state.last_error.as_ref().is_some_and(|r| r.code == Code::TcpRefused)
            });
            timeout(PATIENCE, settled).await.unwrap().unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            publisher
        });
        assert_eq!(publisher.handle.mqtt_state().borrow().connected, connects);
        let before = runtime.metrics().worker_park_count(0);
        std::thread::sleep(Duration::from_secs(3));
        let parks = runtime.metrics().worker_park_count(0) - before;
        println!("{url}: {parks} wake-ups in 3 s");
        // Without a broker: about ten attempts, each a handful of steps.
        assert!(parks <= if connects { 3 } else { 120 }, "{parks} wake-ups");
        drop(publisher);
    }
}

#[cfg(feature = "demo")]
#[tokio::test]
async fn the_demos_broker_serves_the_publisher_and_other_clients() {
    let port = dlms2mqtt::demo_broker::start(0).unwrap();
    let live = support::mosquitto::subscribe_at(port, "dlms/g/#");
    let publisher = start(&format!("mqtt://127.0.0.1:{port}"), Protocol::Auto);
    assert_eq!(connected(&publisher).await, Version::V311);
    let topic: Arc<str> = "dlms/g/devices/m/groups/b".into();
    let large = Bytes::from(format!(r#"{{"seq":1,"text":"{}"}}"#, "x".repeat(100_000)));
    publisher.handle.publish_telemetry(topic.clone(), large, Retain::Retained).await.unwrap();
    let seen =
        live.until("snapshot", |messages| messages.iter().any(|message| message.topic == *topic)).await;
    assert_eq!(seen.last().unwrap().json()["seq"], 1);
    let late = support::mosquitto::subscribe_at(port, "dlms/g/devices/#");
    late.until("retained snapshot", |messages| !messages.is_empty()).await;

    assert!(dlms2mqtt::demo_broker::start(port).is_err(), "its port is taken");
}
