//! The gateway is killed while the broker is away: what was polled meanwhile arrives when both are back.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dlms2mqtt::sim::{Framing, MeterConfig, Preset, SimulatedMeter};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

use support::bridge::RunningBridge;
use support::mosquitto::{Message, Mosquitto, PATIENCE, Subscriber, free_port};
use support::proxy::{Answers, Proxy};

/// Sequence numbers of one run; the next begins behind them.
const BLOCK: u64 = 10_000;

async fn meter() -> SimulatedMeter {
    let config = MeterConfig::new(Preset::Electricity, 4711, Framing::Wrapper);
    SimulatedMeter::spawn("127.0.0.1:0", config).await.expect("a port")
}

fn config(broker: u16, meter: &SimulatedMeter, outbox: &str) -> String {
    format!(
        "
gateway: g
state_dir: STATE
mqtt: {{ url: 'mqtt://127.0.0.1:{broker}', per_value_topics: true }}
outbox: {outbox}
connections: [{{ name: line, host: 127.0.0.1, port: {meter}, persistent: true }}]
devices: [{{ name: meter, connection: line, interface: wrapper, client_address: 16 }}]
groups:
  - name: fast
    interval: 1s
    devices: [meter]
    values:
      - {{ name: import, obis: 1.0.1.8.0.255, class: register }}
      - {{ name: export, obis: 1.0.2.8.0.255, class: register }}
",
        meter = meter.address().port()
    )
}

/// A subscriber whose session outlives the broker's restarts, and that sees `retain` as it was published.
fn kept(broker: &Mosquitto) -> Subscriber {
    let options = ["-V", "mqttv5", "-c", "-i", "consumer", "-x", "3600", "--retain-as-published"];
    broker.subscribe_with("dlms/g/#", &options)
}

/// The numbers of all telemetry, by run.
fn numbers(messages: &[Message]) -> BTreeMap<u64, BTreeSet<u64>> {
    let mut runs: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for seq in messages.iter().filter_map(seq) {
        runs.entry(seq / BLOCK).or_default().insert(seq);
    }
    runs
}

fn seq(message: &Message) -> Option<u64> {
    // The presence of an older run that said its will has none either.
    serde_json::from_str::<Value>(&message.payload).ok()?["seq"].as_u64()
}

fn has_gap(numbers: &BTreeSet<u64>) -> bool {
    let (first, last) = (numbers.first().unwrap(), numbers.last().unwrap());
    first % BLOCK != 1 || last - first + 1 != numbers.len() as u64
}

fn snapshots(messages: &[Message]) -> Vec<&Message> {
    messages.iter().filter(|message| message.topic == "dlms/g/devices/meter/groups/fast").collect()
}

fn store(bridge: &RunningBridge) -> Vec<PathBuf> {
    let folder = bridge.folder().join("state/outbox");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect()
}

/// Everything below a folder is for its owner alone.
fn assert_private(folder: &Path) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700, "{}", folder.display());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_private(&path);
        } else {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

async fn until_empty(bridge: &RunningBridge) {
    let began = Instant::now();
    while !store(bridge).is_empty() {
        assert!(began.elapsed() < PATIENCE, "the backlog is still on the disk: {:?}", store(bridge));
        sleep(Duration::from_millis(100)).await;
    }
}

/// mosquitto acknowledges before it saves. Its last answers are held back until it has, so that whatever the gateway
/// believes to be sent survives the broker's end.
async fn stop_broker(broker: &mut Mosquitto, proxy: &Proxy) {
    proxy.answers(Answers::Hold);
    sleep(Duration::from_millis(1_500)).await;
    broker.kill();
    proxy.cut();
    proxy.answers(Answers::Pass);
}

#[tokio::test]
async fn everything_polled_while_the_broker_was_away_outlives_kills_of_the_gateway() {
    let mut broker = Mosquitto::setup().durable().start();
    let subscriber = kept(&broker);
    let proxy = Proxy::to(broker.port()).await;
    let meter = meter().await;
    let mut bridge = RunningBridge::start(&config(proxy.port(), &meter, "{ durability: spill }"));
    subscriber.until("live values", |messages| snapshots(messages).len() >= 4).await;
    // What was polled before the connection stood may have been written; a broker that keeps up wears no flash.
    until_empty(&bridge).await;

    stop_broker(&mut broker, &proxy).await;
    let seen_before = numbers(&subscriber.messages());
    let mut killed_at = Vec::new();
    for _ in 0..3 {
        sleep(Duration::from_secs(4)).await;
        killed_at.push(Timestamp::now());
        bridge.crash_and_restart();
    }
    sleep(Duration::from_secs(2)).await;
    let state = bridge.folder().join("state");
    assert!(state.join("history").is_dir() && state.join("outbox").is_dir());
    assert_private(&state);
    broker.restart();
    let back_at = Timestamp::now();
    let is_live =
        |message: &&Message| message.json()["ts"].as_str().unwrap().parse::<Timestamp>().unwrap() > back_at;
    let complete = |messages: &[Message]| {
        let all = snapshots(messages);
        all.iter().filter(|message| is_live(message)).count() >= 3 && !numbers(messages).values().any(has_gap)
    };
    let seen = subscriber.until("everything", complete).await;
    let runs = numbers(&seen);
    assert_eq!(runs.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3], "every run is heard of");
    assert!(seen_before[&0].len() < runs[&0].len(), "the first run's last polls came after it had died");

    // Each run was heard until its death, but for the poll that was under way: three messages a poll, a poll a second.
    for (run, died) in killed_at.iter().enumerate() {
        let of_run: Vec<_> = snapshots(&seen)
            .into_iter()
            .filter(|message| seq(message).unwrap() / BLOCK == run as u64)
            .collect();
        let last: Timestamp = of_run
            .iter()
            .map(|message| message.json()["ts"].as_str().unwrap().parse().unwrap())
            .max()
            .unwrap();
        let silence = died.duration_since(last).as_millis();
        println!("run {run}: {} numbers, silent for its last {silence} ms", runs[&(run as u64)].len());
        assert!(silence < 3_000, "run {run} was not heard for its last {silence} ms");
        assert!(runs[&(run as u64)].len() > 6, "{}", runs[&(run as u64)].len());
    }

    // What died runs had left came as replays and did not touch the retained value.
    let late: Vec<_> =
        snapshots(&seen).into_iter().filter(|m| (1..3).contains(&(seq(m).unwrap() / BLOCK))).collect();
    assert!(late.len() >= 4, "{}", late.len());
    for message in late {
        assert!(!message.retain && message.json()["replay"] == true, "{}", message.payload);
    }
    let fresh = broker.subscribe("dlms/g/devices/meter/groups/fast");
    let retained = fresh.until("the retained snapshot", |messages| !messages.is_empty()).await;
    assert!(retained[0].retain && seq(&retained[0]).unwrap() / BLOCK == 3, "{}", retained[0].payload);
    assert_eq!(retained[0].json()["replay"], Value::Null);

    until_empty(&bridge).await;
}

#[tokio::test]
async fn a_clean_stop_without_a_broker_keeps_what_waits() {
    let port = free_port();
    let meter = meter().await;
    let mut bridge = RunningBridge::start(&config(port, &meter, "{ durability: spill }"));
    sleep(Duration::from_secs(3)).await;
    bridge.signal("TERM");
    while bridge.runs() {
        sleep(Duration::from_millis(50)).await;
    }
    let broker = Mosquitto::setup().port(port).start();
    let subscriber = kept(&broker);
    bridge.crash_and_restart();
    let complete = |messages: &[Message]| {
        let runs = numbers(messages);
        runs.len() == 2 && !runs.values().any(has_gap) && snapshots(messages).len() > 8
    };
    let seen = subscriber.until("both runs", complete).await;
    let kinds = |run: u64| -> Vec<Value> {
        let of_run = seen.iter().filter(|message| seq(message).is_some_and(|seq| seq / BLOCK == run));
        of_run.map(|message| message.json()["type"].clone()).filter(Value::is_string).collect()
    };
    assert!(kinds(0).contains(&"started".into()) && kinds(0).contains(&"stopping".into()), "{:?}", kinds(0));
}

#[tokio::test]
async fn with_always_a_kill_loses_nothing_though_the_broker_had_only_fallen_silent() {
    let mut broker = Mosquitto::setup().durable().start();
    let subscriber = kept(&broker);
    let proxy = Proxy::to(broker.port()).await;
    let meter = meter().await;
    let mut bridge = RunningBridge::start(&config(proxy.port(), &meter, "{ durability: always }"));
    subscriber.until("live values", |messages| snapshots(messages).len() >= 4).await;
    // The connection stands, so no rule of `spill` would have these on disk yet.
    proxy.answers(Answers::Hold);
    sleep(Duration::from_millis(1_500)).await;
    broker.kill();
    sleep(Duration::from_millis(1_500)).await;
    let died = Timestamp::now();
    bridge.kill();
    proxy.cut();
    proxy.answers(Answers::Pass);
    broker.restart();
    bridge.crash_and_restart();
    let complete = |messages: &[Message]| {
        let runs = numbers(messages);
        runs.len() == 2 && !runs.values().any(has_gap)
    };
    let seen = subscriber.until("both runs", complete).await;
    let first_run = snapshots(&seen).into_iter().filter(|message| seq(message).unwrap() < BLOCK);
    let last: Timestamp =
        first_run.map(|message| message.json()["ts"].as_str().unwrap().parse().unwrap()).max().unwrap();
    let silence = died.duration_since(last).as_millis();
    assert!(silence < 3_000, "not heard for its last {silence} ms");
}

#[tokio::test]
async fn a_damaged_store_is_told_and_set_aside_and_polling_goes_on() {
    let port = free_port();
    let meter = meter().await;
    let mut bridge = RunningBridge::start(&config(port, &meter, "{ durability: spill }"));
    sleep(Duration::from_secs(3)).await;
    bridge.kill();
    let [segment] = &store(&bridge)[..] else { panic!("one segment") };
    let mut bytes = fs::read(segment).unwrap();
    bytes[100] ^= 0xFF;
    fs::write(segment, bytes).unwrap();
    let broker = Mosquitto::setup().port(port).start();
    let subscriber = broker.subscribe("dlms/g/#");
    bridge.crash_and_restart();
    let told = |message: &Message| {
        message.topic == "dlms/g/bridge/event" && message.json()["type"] == "store_degraded"
    };
    let seen = subscriber
        .until("the event and values", |messages| messages.iter().any(told) && snapshots(messages).len() > 2)
        .await;
    let event = seen.iter().find(|message| told(message)).unwrap().json();
    assert_eq!((&event["code"], &event["severity"]), (&"STORE_DAMAGED".into(), &"error".into()), "{event}");
    assert!(segment.with_extension("damaged").exists());
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_told_and_memory_serves() {
    let broker = Mosquitto::start();
    let subscriber = broker.subscribe("dlms/g/#");
    let meter = meter().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("outbox"), "not a folder").unwrap();
    let state = folder.path().display().to_string();
    let text = config(broker.port(), &meter, "{ durability: always }").replace("STATE", &state);
    let _bridge = RunningBridge::start(&text);
    let told = |message: &Message| message.json()["type"] == "store_degraded";
    let is_event = |message: &&Message| message.topic == "dlms/g/bridge/event";
    subscriber
        .until("the event and values", |messages| {
            messages.iter().filter(is_event).any(told) && snapshots(messages).len() > 2
        })
        .await;
}

#[tokio::test]
async fn messages_lost_to_the_limit_are_told_once_and_counted() {
    let port = free_port();
    let meter = meter().await;
    let bridge = RunningBridge::start(&config(port, &meter, "{ max_bytes: 64KiB, max_age: 2s }"));
    sleep(Duration::from_secs(6)).await;
    let broker = Mosquitto::setup().port(port).start();
    let subscriber = kept(&broker);
    let is_event = |message: &&Message| message.topic == "dlms/g/bridge/event";
    let told = |message: &Message| message.json()["type"] == "outbox_dropped";
    let dropped = |messages: &[Message]| -> Vec<Value> {
        let all = messages.iter().filter(is_event).filter(|message| told(message));
        all.map(|message| message.json()["data"]["dropped"].clone()).collect()
    };
    // The event itself grows old and is lost like anything else, unless it came late enough.
    let seen = subscriber.until("values", |messages| snapshots(messages).len() > 4).await;
    let events = dropped(&seen);
    assert!(events.len() <= 1, "{events:?}");
    let oldest: u64 = seen.iter().filter_map(seq).min().unwrap();
    assert!(oldest > 4, "the first messages were too old: {oldest}");
    drop(bridge);
}
