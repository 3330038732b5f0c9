//! What a subscriber may rely on: topics, retained flags, fields, order, numbers, and the state of things after restarts.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use support::expected::is_gateway_time;
use support::mosquitto::{Message, Mosquitto, Subscriber, free_port};
use support::scripted::{ENERGY, SERIAL, Scripted, well_behaved};
use support::site::{Site, topic};

fn wrapper() -> Value {
    json!({"interface": "wrapper"})
}

fn energy() -> Value {
    json!([{"name": "energy", "obis": ENERGY, "class": "register"}])
}

fn of<'a>(messages: &'a [Message], below: &str) -> Vec<&'a Message> {
    let topic = topic(below);
    messages.iter().filter(|message| message.topic == topic).collect()
}

/// How many snapshots of group g of device m there are.
fn cycles(messages: &[Message]) -> usize {
    of(messages, "devices/m/groups/g").len()
}

fn keys(json: &Value) -> Vec<&str> {
    json.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Subscribes so that the flag of each message shows as it was published.
fn watch(broker: &Mosquitto) -> Subscriber {
    broker.subscribe_with("dlms/g/#", &["-V", "mqttv5", "--retain-as-published"])
}

/// Subscribes, lets pass what the broker had kept, and gives how much that was.
async fn watch_from_now(broker: &Mosquitto) -> (Subscriber, usize) {
    let live = watch(broker);
    broker.publish("dlms/g/now", b"{}", &[]);
    let kept = live.until("now", |seen| seen.iter().any(|message| message.topic == topic("now"))).await;
    (live, kept.len())
}

fn number(json: &Value) -> u64 {
    json.as_u64().unwrap_or_else(|| panic!("{json} is no number"))
}

#[tokio::test]
async fn topics_flags_fields_and_order_in_both_versions_and_qualities_of_service() {
    let meter = Scripted::start(well_behaved).await;
    for (protocol, qos, per_value) in [("5", 1, true), ("3.1.1", 0, false)] {
        let broker = Mosquitto::start();
        let live = watch(&broker);
        let values = json!([
            {"name": "energy", "obis": ENERGY, "class": "register"},
            {"name": "absent", "obis": "0.0.1.2.3.255"},
        ]);
        let mut site = Site::new(&broker.url())
            .connection("c", meter.port(), json!({"persistent": true}))
            .device("m", "c", json!({"interface": "wrapper", "labels": {"site": "north", "bay": "7"}}))
            .group("g", &["m"], values, json!({"interval": 2, "labels": {"purpose": "test", "bay": "8"}}))
            .group(
                "h",
                &["m"],
                json!([{"name": "name", "obis": "0.0.42.0.0.255"}]),
                json!({"interval": 3600}),
            );
        site.config["mqtt"]["protocol"] = protocol.into();
        site.config["mqtt"]["qos"] = qos.into();
        site.config["mqtt"]["per_value_topics"] = per_value.into();
        let gateway = site.start();
        let enough = |seen: &[Message]| cycles(seen) >= 3 && !of(seen, "devices/m/status").is_empty();
        let seen = live.until("three cycles", enough).await;

        let below = |message: &Message| message.topic.strip_prefix("dlms/g/").unwrap().to_owned();
        let first: Vec<_> = seen.iter().take(5).map(below).collect();
        assert_eq!(
            first,
            ["bridge/state", "bridge/info", "bridge/connections", "bridge/devices", "bridge/groups"]
        );
        for message in &seen {
            let is_event = message.topic.ends_with("/event");
            assert_eq!(message.retain, !is_event, "{}", message.topic);
            assert_eq!(message.qos, qos, "{}", message.topic);
            let json = message.json();
            assert_eq!((&json["v"], &json["gateway"]), (&json!(1), &json!("g")), "{}", message.topic);
        }
        let topics: BTreeSet<_> = seen.iter().map(below).collect();
        let mut expected = vec![
            "bridge/connections",
            "bridge/devices",
            "bridge/event",
            "bridge/groups",
            "bridge/health",
            "bridge/info",
            "bridge/state",
            "devices/m/availability",
            "devices/m/event",
            "devices/m/groups/g",
            "devices/m/groups/h",
            "devices/m/status",
        ];
        if per_value {
            expected.extend(["devices/m/values/absent", "devices/m/values/energy", "devices/m/values/name"]);
        }
        assert_eq!(topics, expected.into_iter().map(str::to_owned).collect());

        let state = seen[0].json();
        assert_eq!(keys(&state), ["gateway", "state", "ts", "v"]);
        assert_eq!(state["state"], "online");
        let info = of(&seen, "bridge/info").last().unwrap().json();
        assert_eq!(info["mqtt"], json!({"protocol": protocol, "client_id": "dlms2mqtt-g"}));
        assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
        assert!(is_gateway_time(&info["started"]) && info["features"].is_array());
        assert_eq!(info["config"]["sha256"].as_str().map(str::len), Some(64));
        for (list, name) in [("connections", "c"), ("devices", "m"), ("groups", "g")] {
            let inventory = of(&seen, &format!("bridge/{list}"))[0].json();
            assert_eq!(inventory[list][0]["name"], name);
            assert!(inventory["revision"].is_u64());
        }
        let health = of(&seen, "bridge/health")[0].json();
        assert_eq!(
            keys(&health),
            [
                "connections",
                "errors",
                "gateway",
                "outbox",
                "polls",
                "queues",
                "status",
                "ts",
                "uptime_s",
                "v"
            ]
        );
        assert_eq!(keys(&health["outbox"]), ["bytes", "dropped", "messages", "oldest"]);

        // A value is there before its device is called online.
        let position = |below: &str| seen.iter().position(|message| message.topic == topic(below)).unwrap();
        // The next tick of group h is far, so it is read at once and first.
        assert!(position("devices/m/groups/h") < position("devices/m/availability"));
        if per_value {
            assert!(position("devices/m/values/name") < position("devices/m/availability"));
        }
        let availability: Vec<_> =
            of(&seen, "devices/m/availability").iter().map(|seen| seen.json()).collect();
        assert_eq!(availability.len(), 1);
        assert_eq!(keys(&availability[0]), ["device", "gateway", "state", "ts", "v"]);
        assert_eq!(availability[0]["state"], "online");

        let snapshots: Vec<_> = of(&seen, "devices/m/groups/g").iter().map(|seen| seen.json()).collect();
        for snapshot in &snapshots {
            assert_eq!(
                keys(snapshot),
                [
                    "cycle",
                    "device",
                    "duration_ms",
                    "errors",
                    "gateway",
                    "group",
                    "labels",
                    "late_ms",
                    "seq",
                    "serial",
                    "status",
                    "ts",
                    "v",
                    "values"
                ]
            );
            assert_eq!(
                (&snapshot["device"], &snapshot["serial"], &snapshot["group"], &snapshot["status"]),
                (&json!("m"), &json!(SERIAL), &json!("g"), &json!("partial"))
            );
            assert_eq!(snapshot["labels"], json!({"site": "north", "bay": "8", "purpose": "test"}));
            assert_eq!(
                snapshot["values"],
                json!({
                    "energy": {"value": 12345, "unit": "Wh", "unit_code": 30, "quality": "good", "obis": "1-0:1.8.0*255"},
                    "absent": {"value": null, "quality": "bad", "obis": "0-0:1.2.3*255"},
                })
            );
            assert!(is_gateway_time(&snapshot["ts"]));
            let cycle = snapshot["cycle"].as_str().unwrap();
            assert!(cycle.len() == "2026-08-22T10:15:00Z".len(), "{cycle}");
            assert_eq!(cycle.parse::<jiff::Timestamp>().unwrap().as_second() % 2, 0, "{cycle}");
            assert!(number(&snapshot["late_ms"]) < 1_000, "{snapshot}");
        }
        let second = |snapshot: &Value| {
            snapshot["cycle"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
        };
        assert!(snapshots.windows(2).all(|pair| second(&pair[1]) - second(&pair[0]) == 2));

        // After a connection the newest of each retained topic is said first: numbers rise on each topic, not across.
        let mut numbers = BTreeSet::new();
        let mut newest = BTreeMap::new();
        for message in &seen {
            let Some(seq) = message.json().get("seq").map(number) else { continue };
            assert!(numbers.insert(seq), "{seq} comes twice");
            assert!(newest.insert(&message.topic, seq).is_none_or(|before| before < seq), "{seq} comes late");
        }
        let start = number(&info["seq_start"]);
        assert!(numbers.iter().copied().eq((start..).take(numbers.len())), "{start}: {numbers:?}");

        // The status is said when it changes, not with each cycle.
        let status: Vec<_> = of(&seen, "devices/m/status").iter().map(|seen| seen.json()).collect();
        assert_eq!(status.len(), 1, "{status:?}");
        assert_eq!(
            (&status[0]["state"], &status[0]["link"], &status[0]["association"]),
            (&json!("online"), &json!("up"), &json!("associated"))
        );
        assert_eq!(
            status[0]["identity"],
            json!({"logical_device_name": "TEST", "serial": SERIAL, "system_title": null})
        );
        assert_eq!(status[0]["negotiated"]["max_pdu"], 1024);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_restart_clears_what_is_gone_and_goes_on_counting() {
    let meter = Scripted::start(well_behaved).await;
    let broker = Mosquitto::start();
    let two = |values: Value| {
        let both = ["m", "n"];
        Site::new(&broker.url())
            .connection("c", meter.port(), json!({}))
            .device("m", "c", wrapper())
            .device("n", "c", wrapper())
            .group("g", &both, values.clone(), json!({}))
            .group("h", &both, json!([{"name": "other", "obis": "0.0.42.0.0.255"}]), json!({}))
    };
    let mut site = two(energy());
    site.config["mqtt"]["per_value_topics"] = true.into();
    let first = watch(&broker);
    let gateway = site.start();
    let complete = |seen: &[Message]| {
        ["m", "n"].iter().all(|device| !of(seen, &format!("devices/{device}/status")).is_empty())
    };
    first.until("both devices", complete).await;
    gateway.stop().await;
    let before: u64 =
        first.messages().iter().filter_map(|message| message.json().get("seq").map(number)).max().unwrap();

    // Device n, group h and topics of single values are gone; the meter too.
    drop(meter);
    site.config["devices"].as_array_mut().unwrap().pop();
    site.config["groups"].as_array_mut().unwrap().pop();
    site.config["groups"][0]["devices"] = json!(["m"]);
    site.config["mqtt"]["per_value_topics"] = false.into();
    site.config["connections"][0]["port"] = free_port().into();
    let (live, kept) = watch_from_now(&broker).await;
    let gateway = site.start();
    let mut seen = live.until("a cycle", |seen| !of(&seen[kept..], "devices/m/status").is_empty()).await;
    seen.drain(..kept);
    let cleared: BTreeSet<_> = seen
        .iter()
        .filter(|message| message.payload.is_empty())
        .map(|message| message.topic.clone())
        .collect();
    for gone in [
        "devices/n/availability",
        "devices/n/status",
        "devices/n/groups/g",
        "devices/n/groups/h",
        "devices/n/values/energy",
        "devices/n/values/other",
        "devices/m/groups/h",
        "devices/m/values/energy",
        "devices/m/values/other",
        // Nobody has talked to it in this run: it is neither online nor offline.
        "devices/m/availability",
    ] {
        assert!(cleared.contains(&topic(gone)), "{gone} is not cleared: {cleared:?}");
    }
    let late = broker.subscribe("dlms/g/devices/#");
    late.until("what is left", |kept| kept.len() >= 2).await;
    let kept: BTreeSet<_> = late.messages().iter().map(|message| message.topic.clone()).collect();
    let expected = ["devices/m/availability", "devices/m/groups/g", "devices/m/status"].map(topic);
    assert!(kept.is_subset(&expected.into()), "{kept:?}");

    let numbers: Vec<u64> = seen
        .iter()
        .filter(|message| !message.payload.is_empty())
        .filter_map(|message| message.json().get("seq").map(number))
        .collect();
    assert!(numbers.iter().all(|number| *number > before), "{before} then {numbers:?}");
    assert_eq!(of(&seen, "bridge/info")[0].json()["seq_start"], numbers[0]);
    gateway.stop().await;

    // Remembered no longer: a third run clears nothing a second time but the availability.
    let (live, kept) = watch_from_now(&broker).await;
    let gateway = site.start();
    let mut seen = live.until("a cycle", |seen| !of(&seen[kept..], "devices/m/status").is_empty()).await;
    seen.drain(..kept);
    let cleared: Vec<_> =
        seen.iter().filter(|message| message.payload.is_empty()).map(|message| &message.topic).collect();
    assert!(cleared.iter().all(|cleared| **cleared == topic("devices/m/availability")), "{cleared:?}");
    gateway.stop().await;
}

/// The seconds of all snapshots, in the order of their cycles.
fn seconds(messages: &[Message]) -> Vec<i64> {
    let second = |message: &&Message| {
        message.json()["cycle"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
    };
    let mut seconds: Vec<i64> = of(messages, "devices/m/groups/g").iter().map(second).collect();
    seconds.sort_unstable();
    seconds.dedup();
    seconds
}

#[tokio::test]
async fn a_broker_that_comes_late_or_goes_for_a_while_costs_no_cycle() {
    let meter = Scripted::start(well_behaved).await;
    let port = free_port();
    let site = Site::new(&format!("mqtt://127.0.0.1:{port}"))
        .connection("c", meter.port(), json!({"persistent": true}))
        .device("m", "c", wrapper())
        .group("g", &["m"], energy(), json!({}));
    let gateway = site.start();
    let polls = |meter: &Scripted| {
        meter.asked().iter().filter(|asked| support::scripted::asks_for_energy(&asked.apdu)).count()
    };
    let three_more = async |meter: &Scripted| {
        let before = polls(meter);
        let started = std::time::Instant::now();
        while polls(meter) < before + 3 {
            assert!(started.elapsed() < support::mosquitto::PATIENCE, "polls go on without a broker");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    three_more(&meter).await;
    let mut broker = Mosquitto::setup().durable().port(port).start();
    let live = broker.subscribe_with(
        "dlms/g/#",
        &["-V", "mqttv5", "--retain-as-published", "-c", "-i", "watcher", "-x", "3600"],
    );
    let seen = live.until("the cycles of the time without a broker", |seen| seconds(seen).len() >= 4).await;
    assert_eq!(seen[0].topic, topic("bridge/state"));
    let replayed = of(&seen, "devices/m/groups/g");
    let replayed: Vec<_> = replayed.iter().filter(|message| message.json()["replay"] == true).collect();
    assert!(replayed.len() >= 2 && replayed.iter().all(|message| !message.retain), "{replayed:?}");

    broker.kill();
    three_more(&meter).await;
    broker.restart();
    let subscriptions = live.subscriptions();
    let before = seconds(&live.messages()).len();
    let seen = live.until("more cycles", |seen| seconds(seen).len() >= before + 5).await;
    assert!(live.subscriptions() >= subscriptions);
    let seconds = seconds(&seen);
    assert!(seconds.windows(2).all(|pair| pair[1] - pair[0] == 1), "a cycle is missing: {seconds:?}");
    assert_eq!(meter.connections(), 1, "the meter has noticed nothing");
    gateway.stop().await;
}

#[tokio::test]
async fn a_bridge_that_is_switched_off_is_there_and_polls_nothing() {
    let meter = Scripted::start(well_behaved).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let mut site = Site::new(&broker.url())
        .connection("c", meter.port(), json!({}))
        .device("m", "c", wrapper())
        .group("g", &["m"], energy(), json!({}));
    site.config["enabled"] = false.into();
    let gateway = site.start();
    live.until("health", |seen| !of(seen, "bridge/health").is_empty()).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(meter.connections(), 0);
    gateway.stop().await;
    let state = live.until("a farewell", |seen| of(seen, "bridge/state").len() == 2).await;
    let farewell = of(&state, "bridge/state")[1].json();
    assert_eq!((&farewell["state"], &farewell["reason"]), (&json!("offline"), &json!("shutdown")));
}
