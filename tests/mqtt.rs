//! The publisher against a real broker: what subscribers see, what survives, and what is said of each failure.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dlms2mqtt::bridge::outbox::{Limits, MemoryOutbox, Retain};
use dlms2mqtt::bridge::publisher::{
    BackoffSettings, BrokerUrl, Credentials, IncomingRequest, MqttState, Protocol, PublishError, Publisher,
    PublisherSettings, Reply, RequestBody, Version,
};
use dlms2mqtt::bridge::topics::Topics;
use dlms2mqtt::error::Code;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use support::mosquitto::{Message, Mosquitto, PATIENCE, free_port};
use support::proxy::{Answers, Proxy};

const BOTH: [Version; 2] = [Version::V5, Version::V311];

fn topics() -> Topics {
    Topics::new("dlms/g").unwrap()
}

fn settings(url: &str) -> PublisherSettings {
    let mut settings = PublisherSettings::new("g", topics(), BrokerUrl::parse(url).unwrap());
    settings.backoff =
        BackoffSettings { first: Duration::from_millis(100), longest: Duration::from_millis(400) };
    settings
}

fn speaking(url: &str, version: Version) -> PublisherSettings {
    PublisherSettings { protocol: Protocol::Only(version), ..settings(url) }
}

fn start(settings: PublisherSettings) -> Publisher {
    let outbox = MemoryOutbox::new(Limits::default());
    Publisher::spawn(settings, Box::new(outbox), CancellationToken::new())
}

fn numbered(seq: u64) -> Bytes {
    Bytes::from(json!({"v": 1, "seq": seq}).to_string())
}

async fn state_where(publisher: &Publisher, what: &str, holds: impl FnMut(&MqttState) -> bool) -> MqttState {
    let mut states = publisher.handle.mqtt_state();
    let found = timeout(PATIENCE, states.wait_for(holds)).await;
    found
        .unwrap_or_else(|_| panic!("no {what}: {:?}", publisher.handle.mqtt_state().borrow()))
        .unwrap()
        .clone()
}

async fn connected(publisher: &Publisher) -> MqttState {
    state_where(publisher, "connection", |state| state.connected).await
}

async fn failed_with(publisher: &Publisher, code: Code) -> MqttState {
    let failed = |state: &MqttState| state.last_error.as_ref().is_some_and(|report| report.code == code);
    state_where(publisher, code.as_str(), failed).await
}

async fn request(publisher: &mut Publisher) -> IncomingRequest {
    timeout(PATIENCE, publisher.requests.recv()).await.expect("a request arrives").expect("the task lives")
}

fn has(topic: &str) -> impl Fn(&[Message]) -> bool + '_ {
    move |messages| messages.iter().any(|message| message.topic == topic)
}

fn order(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.topic.strip_prefix("dlms/g/").unwrap()).collect()
}

#[tokio::test]
async fn a_subscriber_sees_birth_states_values_and_events_in_order_in_both_versions() {
    for version in BOTH {
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/#");
        let publisher = start(speaking(&broker.url(), version));
        assert_eq!(connected(&publisher).await.protocol, Some(version));
        let topics = topics();
        let handle = &publisher.handle;
        handle.publish_telemetry(topics.device_group("m", "b"), numbered(1), Retain::Retained).await.unwrap();
        handle
            .publish_state(topics.device_availability("m"), json_bytes(&json!({"state": "online"})))
            .unwrap();
        handle.publish_telemetry(topics.device_event("m"), numbered(2), Retain::Transient).await.unwrap();

        let seen = live.until("event", has(&topics.device_event("m"))).await;
        assert_eq!(
            order(&seen),
            ["bridge/state", "devices/m/groups/b", "devices/m/availability", "devices/m/event"]
        );
        let birth = seen[0].json();
        assert_eq!(
            (&birth["v"], &birth["gateway"], &birth["state"]),
            (&json!(1), &json!("g"), &json!("online"))
        );
        assert!(birth["ts"].as_str().unwrap().ends_with('Z'));
        assert!(seen.iter().all(|message| message.qos == 1));

        let late = broker.subscribe("dlms/g/#");
        let kept = late.until("retained messages", |messages| messages.len() >= 3).await;
        let mut kept: Vec<_> = kept.iter().map(|message| message.topic.as_str()).collect();
        kept.sort_unstable();
        assert_eq!(
            kept,
            ["dlms/g/bridge/state", "dlms/g/devices/m/availability", "dlms/g/devices/m/groups/b"]
        );
    }
}

#[tokio::test]
async fn a_broker_that_is_absent_at_start_is_waited_for() {
    let port = free_port();
    let publisher = start(settings(&format!("mqtt://127.0.0.1:{port}")));
    let report = failed_with(&publisher, Code::TcpRefused).await.last_error.unwrap();
    assert!(!report.hint.is_empty());
    for seq in 1..=3 {
        let topic = topics().device_event("m");
        publisher.handle.publish_telemetry(topic, numbered(seq), Retain::Transient).await.unwrap();
    }
    assert_eq!(publisher.handle.stats().depth.messages, 3);

    let broker = Mosquitto::setup().port(port).start();
    let subscriber = broker.subscribe_with("dlms/g/#", &[]);
    connected(&publisher).await;
    // The subscriber may come after the events, but never after what is retained.
    subscriber.until("birth", has("dlms/g/bridge/state")).await;
    wait_until("an empty outbox", || publisher.handle.stats().depth.messages == 0).await;
    assert_eq!(publisher.handle.stats().counters.connections, 1);
}

/// The bar: consumers that drop duplicates by `seq` have every message.
///
/// mosquitto acknowledges a message before it is on its disk. So the acknowledgements are held back a moment before the
/// broker is killed: what the publisher has seen acknowledged is saved, and what is on its way is not known to be.
#[tokio::test]
async fn nothing_is_lost_when_the_broker_is_killed_in_the_middle_of_five_thousand_messages() {
    const MESSAGES: u64 = 5_000;
    const KILLS: u64 = 3;
    for version in BOTH {
        let mut broker = Mosquitto::setup().durable().start();
        let kept_session = ["-V", "mqttv5", "-c", "-i", "consumer", "-x", "3600"];
        let subscriber = broker.subscribe_with("dlms/g/devices/m/#", &kept_session);
        let proxy = Proxy::to(broker.port()).await;
        let publisher = start(speaking(&format!("mqtt://127.0.0.1:{}", proxy.port()), version));
        let topic = topics().device_profile("m", "lp");
        for seq in 1..=MESSAGES {
            publisher
                .handle
                .publish_telemetry(topic.clone(), numbered(seq), Retain::Transient)
                .await
                .unwrap();
        }
        for kill in 1..=KILLS {
            let acknowledged = || publisher.handle.stats().counters.published;
            wait_until("progress", || acknowledged() > kill * MESSAGES / (KILLS + 1)).await;
            proxy.answers(Answers::Hold);
            tokio::time::sleep(Duration::from_millis(200)).await;
            broker.kill();
            proxy.cut();
            assert!(publisher.handle.stats().depth.messages >= 100, "killed in the middle");
            proxy.answers(Answers::Pass);
            broker.restart();
        }
        wait_until("an empty outbox", || publisher.handle.stats().depth.messages == 0).await;
        let complete = |messages: &[Message]| counts(messages).len() as u64 == MESSAGES;
        let seen = subscriber.until("complete set", complete).await;
        assert_eq!(counts(&seen).into_keys().collect::<Vec<_>>(), (1..=MESSAGES).collect::<Vec<_>>());

        let again = received(&broker.log(), "dlms/g/devices/m/profiles/lp").count() as u64 - MESSAGES;
        println!("MQTT {version}: {MESSAGES} messages, {KILLS} kills, {again} sent again");
        assert!(again <= KILLS * 100, "{again}");
        assert_eq!(publisher.handle.stats().counters.connections, KILLS + 1);
    }
}

/// The broker lives on, so each message that it has received is seen once by the subscriber.
#[tokio::test]
async fn a_cut_connection_loses_nothing_and_repeats_at_most_a_window() {
    const MESSAGES: u64 = 5_000;
    const CUTS: u64 = 5;
    const WINDOW: u64 = 100;
    for version in BOTH {
        let broker = Mosquitto::setup().line("max_queued_messages 0").start();
        let subscriber = broker.subscribe("dlms/g/devices/m/#");
        let proxy = Proxy::to(broker.port()).await;
        let publisher = start(speaking(&format!("mqtt://127.0.0.1:{}", proxy.port()), version));
        let topic = topics().device_profile("m", "lp");
        for seq in 1..=MESSAGES {
            publisher
                .handle
                .publish_telemetry(topic.clone(), numbered(seq), Retain::Transient)
                .await
                .unwrap();
        }
        for cut in 1..=CUTS {
            let acknowledged = || publisher.handle.stats().counters.published;
            wait_until("progress", || acknowledged() > cut * MESSAGES / (CUTS + 1)).await;
            proxy.cut();
            assert!(publisher.handle.stats().depth.messages > 0, "cut in the middle");
        }
        wait_until("an empty outbox", || publisher.handle.stats().depth.messages == 0).await;
        let complete = |messages: &[Message]| counts(messages).len() as u64 == MESSAGES;
        let seen = subscriber.until("complete set", complete).await;
        let again = seen.len() as u64 - MESSAGES;
        println!("MQTT {version}: {MESSAGES} messages, {CUTS} cuts, {again} sent again");
        assert!(again <= CUTS * WINDOW, "{again}");
        // First copies come in order.
        let mut seen: Vec<_> = seen.iter().map(|message| message.json()["seq"].as_u64().unwrap()).collect();
        let mut known = std::collections::BTreeSet::new();
        seen.retain(|seq| known.insert(*seq));
        assert!(seen.is_sorted());
    }
}

#[tokio::test]
async fn after_a_restart_without_persistence_the_retained_set_is_there_again_values_before_states() {
    let mut broker = Mosquitto::start();
    let publisher = start(settings(&broker.url()));
    connected(&publisher).await;
    let topics = topics();
    let handle = &publisher.handle;
    handle.publish_state(topics.device_availability("m"), json_bytes(&json!({"state": "online"}))).unwrap();
    handle.publish_telemetry(topics.device_group("m", "b"), numbered(1), Retain::Retained).await.unwrap();
    handle.publish_telemetry(topics.device_event("m"), numbered(2), Retain::Transient).await.unwrap();
    handle.publish_state(topics.bridge_groups(), json_bytes(&json!({"groups": []}))).unwrap();
    handle.publish_state(topics.bridge_info(), json_bytes(&json!({"version": "x"}))).unwrap();
    wait_until("four publishes", || handle.stats().counters.published >= 6).await;

    broker.kill();
    state_where(&publisher, "loss", |state| !state.connected).await;
    broker.restart();
    connected(&publisher).await;
    wait_until("the set again", || handle.stats().counters.published >= 11).await;
    let late = broker.subscribe("dlms/g/#");
    let kept = late.until("the retained set", |messages| messages.len() >= 5).await;
    assert!(kept.iter().all(|message| message.retain), "an event is not said twice");
    let log = broker.log();
    let (_, since_restart) = log.rsplit_once("mosquitto version").unwrap();
    let received: Vec<_> = received(since_restart, "dlms/g/").collect();
    let wanted =
        ["bridge/state", "bridge/info", "bridge/groups", "devices/m/groups/b", "devices/m/availability"];
    assert_eq!(received, wanted.map(|topic| format!("dlms/g/{topic}")));
}

#[tokio::test]
async fn what_waited_for_the_broker_is_replayed_unretained_and_marked_but_for_the_newest_of_its_topic() {
    for version in BOTH {
        let mut broker = Mosquitto::start();
        let publisher = start(speaking(&broker.url(), version));
        connected(&publisher).await;
        broker.kill();
        state_where(&publisher, "loss", |state| !state.connected).await;
        let topics = topics();
        let (snapshot, event) = (topics.device_group("m", "b"), topics.device_event("m"));
        for seq in [1, 3, 5] {
            let handle = &publisher.handle;
            handle.publish_telemetry(snapshot.clone(), numbered(seq), Retain::Retained).await.unwrap();
            handle.publish_telemetry(event.clone(), numbered(seq + 1), Retain::Transient).await.unwrap();
        }
        // The subscriber races with the publisher's return: it may miss replays, never see them unmarked.
        broker.restart();
        let live = broker.subscribe_with("dlms/g/devices/#", &["-V", "mqttv5", "--retain-as-published"]);
        let seen =
            live.until("the last event", |messages| messages.iter().any(|m| m.json()["seq"] == 6)).await;
        let of = |topic: &str| -> Vec<(u64, bool, bool)> {
            seen.iter()
                .filter(|message| message.topic == topic)
                .map(|message| {
                    let json = message.json();
                    (json["seq"].as_u64().unwrap(), message.retain, json["replay"] == true)
                })
                .collect()
        };
        assert!(!of(&snapshot).is_empty());
        for (seq, retained, replay) in of(&snapshot) {
            assert_eq!((retained, replay), (seq == 5, seq != 5), "{seq}");
        }
        assert!(of(&event).iter().all(|(_, retained, replay)| !retained && !replay));
        wait_until("an empty outbox", || publisher.handle.stats().depth.messages == 0).await;
        let late = broker.subscribe("dlms/g/devices/#");
        let kept = late.until("the snapshot", |messages| !messages.is_empty()).await;
        assert_eq!(kept[0].json(), json!({"v": 1, "seq": 5}));
    }
}

#[tokio::test]
async fn the_last_will_says_offline_when_the_gateway_dies_and_drain_says_why_when_it_stops() {
    for version in BOTH {
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/bridge/state");
        let cancel = CancellationToken::new();
        let outbox = Box::new(MemoryOutbox::new(Limits::default()));
        let publisher = Publisher::spawn(speaking(&broker.url(), version), outbox, cancel.clone());
        connected(&publisher).await;
        live.until("birth", |messages| messages.len() == 1).await;
        cancel.cancel();
        timeout(PATIENCE, publisher.task).await.unwrap().unwrap();
        let seen = live.until("will", |messages| messages.len() == 2).await;
        assert_eq!(seen[1].json(), json!({"v": 1, "gateway": "g", "state": "offline"}));

        let publisher = start(speaking(&broker.url(), version));
        connected(&publisher).await;
        for seq in 0..500 {
            let topic = topics().device_event("m");
            publisher.handle.publish_telemetry(topic, numbered(seq), Retain::Transient).await.unwrap();
        }
        let drained = publisher.handle.drain(Duration::from_secs(10)).await;
        assert_eq!((drained.left, drained.said_offline), (0, true));
        timeout(PATIENCE, publisher.task).await.unwrap().unwrap();
        let seen = live.until("farewell", |messages| messages.len() == 4).await;
        let farewell = seen[3].json();
        assert_eq!((&farewell["state"], &farewell["reason"]), (&json!("offline"), &json!("shutdown")));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(live.messages().len(), 4, "no will after a farewell");
    }
}

#[tokio::test]
async fn a_drain_without_a_broker_ends_and_says_what_is_left() {
    let publisher = start(settings(&format!("mqtt://127.0.0.1:{}", free_port())));
    let topic = topics().device_event("m");
    publisher.handle.publish_telemetry(topic, numbered(1), Retain::Transient).await.unwrap();
    let begun = Instant::now();
    let drained = publisher.handle.drain(Duration::from_secs(5)).await;
    assert_eq!((drained.left, drained.said_offline), (1, false));
    assert!(begun.elapsed() < Duration::from_secs(6));
    timeout(PATIENCE, publisher.task).await.unwrap().unwrap();
    let refused = publisher.handle.publish_state(topics().bridge_info(), Bytes::from_static(b"{}"));
    assert_eq!(refused, Ok(()), "states are kept, though nobody will send them");
}

#[tokio::test]
async fn a_wrong_password_is_named_and_never_shown() {
    for version in BOTH {
        let broker = Mosquitto::setup().user("gateway", "right").start();
        let mut settings = speaking(&broker.url(), version);
        let password = |text: &str| Some(text.to_owned().into());
        settings.credentials =
            Some(Credentials { username: "gateway".into(), password: password("wrong-and-secret") });
        let publisher = start(settings.clone());
        let state = failed_with(&publisher, Code::MqttAuth).await;
        assert!(!state.connected);
        let shown = format!("{state:?} {settings:?} {publisher:?}");
        assert!(!shown.contains("wrong-and-secret"), "{shown}");

        settings.credentials = Some(Credentials { username: "gateway".into(), password: password("right") });
        publisher.handle.reconfigure(settings).await.unwrap();
        assert_eq!(connected(&publisher).await.last_error, None);
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_named() {
    let publisher = start(settings("mqtt://no-such-host.invalid"));
    let report = failed_with(&publisher, Code::Dns).await.last_error.unwrap();
    assert!(report.message.contains("no-such-host.invalid"));
}

#[tokio::test]
async fn another_client_with_our_name_is_reported() {
    for version in BOTH {
        let broker = Mosquitto::start();
        let ours = start(speaking(&broker.url(), version));
        connected(&ours).await;
        let theirs = start(speaking(&broker.url(), version));
        let either = async {
            tokio::select! {
                state = failed_with(&ours, Code::MqttClientIdConflict) => state,
                state = failed_with(&theirs, Code::MqttClientIdConflict) => state,
            }
        };
        let report = either.await.last_error.unwrap();
        assert!(report.hint.contains("client_id"));
    }
}

#[tokio::test]
async fn a_large_payload_passes_and_a_larger_one_is_refused_before_the_outbox() {
    for version in BOTH {
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/devices/#");
        let publisher = start(speaking(&broker.url(), version));
        connected(&publisher).await;
        let topic = topics().device_profile("m", "lp");
        let large = json_bytes(&json!({"rows": "x".repeat(300 << 10)}));
        publisher.handle.publish_telemetry(topic.clone(), large.clone(), Retain::Transient).await.unwrap();
        let seen = live.until("large message", |messages| !messages.is_empty()).await;
        assert_eq!(seen[0].payload.len(), large.len());

        let larger = json_bytes(&json!({"rows": "x".repeat(1 << 20)}));
        let refused = publisher.handle.publish_telemetry(topic, larger, Retain::Transient).await;
        assert!(matches!(refused, Err(PublishError::TooLarge { limit: 1_048_576, .. })), "{refused:?}");
        assert_eq!(publisher.handle.stats().depth.messages, 0);
        assert_eq!(publisher.handle.stats().counters.connections, 1);
    }
}

#[tokio::test]
async fn the_packet_limit_of_an_mqtt_5_broker_is_kept() {
    let broker = Mosquitto::setup().line("max_packet_size 20000").start();
    let publisher = start(speaking(&broker.url(), Version::V5));
    // Accepted while the limit was not known: it must not poison the connection.
    let topic = topics().device_profile("m", "lp");
    let large = json_bytes(&json!({"rows": "x".repeat(30_000)}));
    publisher.handle.publish_telemetry(topic.clone(), large.clone(), Retain::Transient).await.unwrap();
    publisher.handle.publish_telemetry(topic.clone(), numbered(1), Retain::Transient).await.unwrap();
    connected(&publisher).await;
    wait_until("an empty outbox", || publisher.handle.stats().depth.messages == 0).await;
    let counters = publisher.handle.stats().counters;
    assert_eq!((counters.refused, counters.connections), (1, 1));

    let refused = publisher.handle.publish_telemetry(topic, large, Retain::Transient).await;
    assert!(matches!(refused, Err(PublishError::TooLarge { limit: 20_000, .. })), "{refused:?}");
}

#[tokio::test]
async fn requests_arrive_with_all_that_their_version_carries_and_are_answered() {
    for version in BOTH {
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/bridge/response/#");
        let mut publisher = start(speaking(&broker.url(), version));
        connected(&publisher).await;
        wait_until("the subscription", || broker.log().contains("dlms/g/bridge/request/#")).await;
        let properties = ["-V", "mqttv5", "-D", "publish", "response-topic", "dlms/answers", "-D", "publish"];
        let properties = [&properties[..], &["correlation-data", "c-1"]].concat();
        broker.publish("dlms/g/bridge/request/config/get", br#"{"transaction":"t"}"#, &properties);
        let asked = request(&mut publisher).await;
        assert_eq!(asked.verb, "config/get");
        assert_eq!(asked.body, RequestBody::Payload(Bytes::from_static(br#"{"transaction":"t"}"#)));
        assert!(!asked.retained);
        let (topic, correlation) = match version {
            Version::V5 => (Some("dlms/answers".to_owned()), Some(Bytes::from_static(b"c-1"))),
            Version::V311 => (None, None),
        };
        assert_eq!((&asked.response_topic, &asked.correlation_data), (&topic, &correlation));

        let reply = |payload: &'static str, deadline: Instant| Reply {
            topic: topics().response("config/get"),
            payload: Bytes::from_static(payload.as_bytes()),
            deadline,
            correlation_data: correlation.clone(),
        };
        publisher.handle.reply(reply(r#"{"late":true}"#, Instant::now())).unwrap();
        publisher.handle.reply(reply(r#"{"status":"ok"}"#, Instant::now() + PATIENCE)).unwrap();
        let seen = live.until("answer", |messages| !messages.is_empty()).await;
        assert_eq!(seen[0].json(), json!({"status": "ok"}));
        assert_eq!(publisher.handle.stats().counters.replies_dropped, 1);
        if version == Version::V5 {
            assert_eq!(seen[0].properties["correlation-data"], "c-1", "{:?}", seen[0].properties);
        }

        let big = vec![b' '; 600 << 10];
        broker.publish("dlms/g/bridge/request/read", &big, &[]);
        assert_eq!(request(&mut publisher).await.body, RequestBody::TooLarge { size: 600 << 10 });
    }
}

#[tokio::test]
async fn a_retained_request_is_seen_to_be_one_in_both_versions() {
    for version in BOTH {
        let broker = Mosquitto::start();
        broker.publish("dlms/g/bridge/request/restart", b"{}", &["-r"]);
        let mut publisher = start(speaking(&broker.url(), version));
        assert!(request(&mut publisher).await.retained);
        if version == Version::V5 {
            // While we are subscribed only Retain As Published tells.
            broker.publish("dlms/g/bridge/request/restart", b"{}", &["-r"]);
            assert!(request(&mut publisher).await.retained);
        }
    }
}

#[tokio::test]
async fn requests_beyond_the_queue_are_answered_busy() {
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/bridge/response/#");
    let publisher = start(settings(&broker.url()));
    connected(&publisher).await;
    wait_until("the subscription", || broker.log().contains("dlms/g/bridge/request/#")).await;
    // One a line, over one connection.
    let port = broker.port().to_string();
    let mut sender = std::process::Command::new("mosquitto_pub")
        .args(["-p", &port, "-q", "1", "-t", "dlms/g/bridge/request/read", "-l"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = sender.stdin.take().unwrap();
    for number in 0..80 {
        use std::io::Write as _;
        writeln!(lines, r#"{{"transaction":"t{number}"}}"#).unwrap();
    }
    drop(lines);
    let seen = live.until("sixteen answers", |messages| messages.len() == 16).await;
    assert!(sender.wait().unwrap().success());
    assert_eq!(publisher.handle.stats().counters.requests_refused, 16);
    assert_eq!(seen[0].topic, "dlms/g/bridge/response/read");
    let answers: Vec<Value> = seen.iter().map(Message::json).collect();
    assert!(answers.iter().all(|answer| answer["error"]["code"] == "BUSY"));
    assert_eq!(answers[0]["transaction"], "t64");
}

#[tokio::test]
async fn topics_of_removed_things_are_cleared_even_by_the_next_run() {
    let broker = Mosquitto::start();
    let folder = tempfile::tempdir().unwrap();
    let with_state =
        || PublisherSettings { state_dir: Some(folder.path().to_owned()), ..settings(&broker.url()) };
    let topic = topics().device_group("removed", "b");
    let publisher = start(with_state());
    publisher.handle.publish_telemetry(topic.clone(), numbered(1), Retain::Retained).await.unwrap();
    publisher.handle.drain(Duration::from_secs(5)).await;

    let publisher = start(with_state());
    assert_eq!(publisher.handle.retained_topics(), [topics().bridge_state(), topic.clone()]);
    publisher.handle.clear_retained(&topic).unwrap();
    connected(&publisher).await;
    wait_until("the topic forgotten", || publisher.handle.retained_topics() == [topics().bridge_state()])
        .await;
    let late = broker.subscribe("dlms/g/#");
    let kept = late.until("birth", |messages| !messages.is_empty()).await;
    assert_eq!(order(&kept), ["bridge/state"]);
}

#[tokio::test]
async fn what_the_access_control_list_denies_is_reported_by_mqtt_5_and_holds_up_nothing() {
    let acl = "topic readwrite dlms/g/bridge/#\ntopic write dlms/g/devices/open/#\n";
    let broker = Mosquitto::setup().acl(acl).start();
    let publisher = start(speaking(&broker.url(), Version::V5));
    connected(&publisher).await;
    for device in ["open", "closed", "open"] {
        let topic = topics().device_event(device);
        publisher.handle.publish_telemetry(topic, numbered(1), Retain::Transient).await.unwrap();
    }
    let state = failed_with(&publisher, Code::MqttDenied).await;
    assert!(state.connected);
    wait_until("an empty outbox", || publisher.handle.stats().depth.messages == 0).await;
    let counters = publisher.handle.stats().counters;
    assert_eq!((counters.refused, counters.published, counters.connections), (1, 3, 1));
}

#[tokio::test]
async fn websockets_carry_the_same() {
    for version in BOTH {
        let port = free_port();
        let setup =
            Mosquitto::setup().line(&format!("listener {port} 127.0.0.1")).line("protocol websockets");
        let broker = setup.start();
        let live = broker.subscribe("dlms/g/#");
        let publisher = start(speaking(&format!("ws://127.0.0.1:{port}/mqtt"), version));
        assert_eq!(connected(&publisher).await.protocol, Some(version));
        live.until("birth", has("dlms/g/bridge/state")).await;
    }
}

#[tokio::test]
async fn a_changed_broker_keeps_the_outbox() {
    let absent = start(settings(&format!("mqtt://127.0.0.1:{}", free_port())));
    let topic = topics().device_group("m", "b");
    absent.handle.publish_telemetry(topic.clone(), numbered(7), Retain::Retained).await.unwrap();
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/devices/#");
    absent.handle.reconfigure(settings(&broker.url())).await.unwrap();
    let seen = live.until("message", |messages| !messages.is_empty()).await;
    assert_eq!(seen[0].json()["seq"], 7);
}

/// The topics beginning with `prefix` that the broker's log says it received, in order.
fn received<'l>(log: &'l str, prefix: &str) -> impl Iterator<Item = &'l str> {
    let publishes = log.lines().filter(|line| line.contains("Received PUBLISH"));
    publishes.filter_map(|line| line.split('\'').nth(1)).filter(move |topic| topic.starts_with(prefix))
}

fn counts(messages: &[Message]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        *counts.entry(message.json()["seq"].as_u64().unwrap()).or_default() += 1;
    }
    counts
}

fn json_bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
