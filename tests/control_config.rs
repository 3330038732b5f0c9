//! The configuration changed while the bridge runs, from every side, and what the meters notice of it.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bridge::RunningBridge;
use support::mosquitto::{Mosquitto, free_port};
use support::paho::Paho;
use support::peer_meter::PeerMeter;
use support::proxy::Proxy;

const PASSWORD: &str = "Tops3cret";

/// Two meters behind proxies that count connections, a broker, and the bridge between.
struct Site {
    paho: Paho,
    bridge: RunningBridge,
    broker: Mosquitto,
    north: Proxy,
    south: Proxy,
    _meters: [PeerMeter; 2],
}

impl Site {
    /// `None` where there is no peer meter.
    async fn start(version: &str, checks: usize) -> Option<Self> {
        let arguments =
            ["--interface", "wrapper", "--auth", "low", "--password", PASSWORD, "--client-address", "1"];
        let meters = [PeerMeter::start(&arguments, checks)?, PeerMeter::start(&arguments, 0)?];
        let (north, south) = (Proxy::to(meters[0].port()).await, Proxy::to(meters[1].port()).await);
        let broker = Mosquitto::start();
        let paho = Paho::start(broker.port(), version, "dlms/g", &[]);
        let bridge = RunningBridge::start(&config(&broker, version, &north, &south));
        paho.event("started");
        let site = Self { paho, bridge, broker, north, south, _meters: meters };
        site.snapshots("north", "fast", 2);
        site.snapshots("south", "fast", 2);
        assert_eq!(site.connections(), (1, 1));
        Some(site)
    }

    fn connections(&self) -> (usize, usize) {
        (self.north.connections(), self.south.connections())
    }

    /// Waits for so many more good snapshots of a device.
    fn snapshots(&self, device: &str, group: &str, more: usize) {
        let topic = format!("devices/{device}/groups/{group}");
        let good = || {
            let messages = self.paho.of(&topic);
            let snapshots = messages.iter().filter(|message| !message.payload.is_empty());
            snapshots.filter(|message| message.json()["status"] == "ok").count()
        };
        let (before, started) = (good(), Instant::now());
        while good() < before + more {
            let last = self.paho.of(&topic).pop();
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "no {more} good snapshots of {device}: {last:?}\n{}",
                self.bridge.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn file(&self) -> String {
        fs::read_to_string(self.bridge.config()).unwrap()
    }

    fn patch(&self, patch: &Value) -> Value {
        self.paho.request("config/patch", json!({ "patch": patch }))
    }

    fn revision(&self) -> u64 {
        self.paho.request("config/get", json!({}))["data"]["revision"].as_u64().unwrap()
    }
}

fn config(broker: &Mosquitto, version: &str, north: &Proxy, south: &Proxy) -> String {
    let meter = |name: &str| {
        format!(
            "{{ name: {name}, connection: {name}, interface: wrapper, access_security: low, password: {PASSWORD}, client_address: 1 }}"
        )
    };
    format!(
        "\
# The two halls.
gateway: g
state_dir: STATE
mqtt:
  # The broker in the cellar
  url: {url}
  protocol: '{version}'
connections:
  - {{ name: north, host: 127.0.0.1, port: {north}, persistent: true }}
  # the new hall
  - {{ name: south, host: 127.0.0.1, port: {south}, persistent: true }}
devices:
  - {n}
  - {s}
groups:
  - name: fast
    interval: 1 # second
    devices: [north, south]
    values: [{{ name: energy, obis: 1.0.1.8.0.255, class: register }}]
",
        url = broker.url(),
        north = north.port(),
        south = south.port(),
        n = meter("north"),
        s = meter("south"),
    )
}

fn steps(answer: &Value) -> Vec<String> {
    assert_eq!(answer["status"], "ok", "{answer:#}");
    let plan = answer["data"]["plan"].as_array().unwrap();
    plan.iter()
        .map(|step| {
            let text = |key: &str| step[key].as_str().unwrap().to_owned();
            format!("{} {} {}", text("kind"), text("name"), text("action"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_touches_only_what_it_changes() {
    for version in ["5", "3.1.1"] {
        let Some(site) = Site::start(version, 14).await else { return };

        let interval = site.patch(&json!({ "groups": [{ "name": "fast", "interval": 2 }] }));
        assert_eq!(steps(&interval), ["group fast update"]);
        assert_eq!(interval["data"]["revision"], 2);
        site.snapshots("north", "fast", 2);
        assert_eq!(site.connections(), (1, 1), "an interval is no matter of the meter");
        let file = site.file();
        assert!(file.contains("interval: 2 # second\n") && file.contains("# the new hall\n"), "{file}");

        let value = json!({ "name": "power", "obis": "1.0.1.7.0.255", "class": "register" });
        let added = site.patch(&json!({ "groups": [{ "name": "fast", "interval": 1, "values": [value] }] }));
        assert_eq!(added["data"]["revision"], 3, "{added}");
        site.snapshots("south", "fast", 2);
        assert_eq!(site.connections(), (1, 1));
        let last = site.paho.of("devices/south/groups/fast").pop().unwrap().json();
        assert!(last["values"]["power"].is_object(), "{last}");

        // A password touches one meter, on the line that stays open.
        let wrong = site.patch(&json!({ "devices": [{ "name": "north", "password": "another" }] }));
        assert_eq!(steps(&wrong), ["device north restart"]);
        site.paho.until("refusal", |message| {
            let is_status = message.topic.ends_with("devices/north/status");
            is_status.then(|| message.json()).filter(|json| json["last_error"]["code"] == "AARE_REJECTED")
        });
        site.snapshots("south", "fast", 2);
        assert_eq!(site.connections().1, 1);
        let right = site.patch(&json!({ "devices": [{ "name": "north", "password": PASSWORD }] }));
        assert_eq!(steps(&right), ["device north restart"]);
        site.snapshots("north", "fast", 2);

        // A line is one actor.
        let south = site.south.connections();
        let before = site.north.connections();
        let line = site.patch(&json!({ "connections": [{ "name": "north", "turnaround": "5ms" }] }));
        assert_eq!(steps(&line), ["connection north restart"]);
        site.snapshots("north", "fast", 2);
        assert_eq!((site.north.connections(), site.south.connections()), (before + 1, south));

        // What is gone leaves nothing behind.
        let gone = site.patch(&json!({
            "devices": [{ "name": "south", "$delete": true }],
            "connections": [{ "name": "south", "$delete": true }],
            "groups": [{ "name": "fast", "devices": ["north"] }],
        }));
        assert!(steps(&gone).contains(&"device south stop".to_owned()), "{gone:#}");
        let subscriber = site.broker.subscribe("dlms/g/devices/#");
        let started = Instant::now();
        while subscriber.messages().iter().all(|message| message.topic != "dlms/g/devices/north/status") {
            assert!(started.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(20));
        }
        let left: Vec<_> =
            subscriber.messages().into_iter().filter(|it| it.topic.contains("/south/")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_configuration_goes_out_and_comes_back_with_its_secrets() {
    let Some(site) = Site::start("5", 12).await else { return };
    let shown = site.paho.request("config/get", json!({}))["data"]["config"].clone();
    let same = site.paho.request("config/set", json!({ "config": shown, "base_revision": 1 }));
    assert_eq!((&same["data"]["plan"], &same["data"]["revision"]), (&json!([]), &json!(1)), "{same}");
    assert!(site.file().contains(PASSWORD));

    let mut titled = shown.clone();
    titled["devices"][0]["title"] = json!("North hall");
    let set = site.paho.request("config/set", json!({ "config": titled, "base_revision": 1 }));
    assert_eq!(steps(&set)[0], "device north update", "{set:#}");
    assert_eq!(set["data"]["revision"], 2);
    assert!(site.file().contains("North hall") && site.file().contains(PASSWORD), "{}", site.file());
    site.snapshots("north", "fast", 2);
    assert_eq!(site.connections(), (1, 1));

    let stale = site.paho.request("config/set", json!({ "config": titled, "base_revision": 1 }));
    assert_eq!(stale["error"]["code"], "REVISION_CONFLICT", "{stale}");
    let foreign =
        site.patch(&json!({ "devices": [{ "name": "north", "password": { "file": "/etc/passwd" } }] }));
    assert_eq!(foreign["error"]["code"], "NOT_ALLOWED", "{foreign}");
    assert_eq!(foreign["data"]["problems"][0]["pointer"], "/devices/0/password");
    let invalid =
        site.patch(&json!({ "devices": [{ "name": "north", "interface": "smoke", "retries": -1 }] }));
    assert_eq!(invalid["error"]["code"], "CONFIG_INVALID", "{invalid}");
    assert_eq!(invalid["data"]["problems"].as_array().unwrap().len(), 2, "{invalid:#}");
    let moved = site.patch(&json!({ "state_dir": "/tmp/elsewhere", "secrets_dir": "/etc" }));
    assert_eq!(moved["error"]["code"], "NOT_ALLOWED", "{moved}");
    assert_eq!(site.revision(), 2, "nothing of it came into force");

    let history = site.paho.request("config/history", json!({}));
    let revisions = history["data"]["revisions"].as_array().unwrap();
    let told: Vec<_> = revisions.iter().map(|it| (it["revision"].as_u64(), it["origin"].as_str())).collect();
    assert_eq!(told, [(Some(1), Some("start")), (Some(2), Some("mqtt"))]);
    let back = site.paho.request("config/rollback", json!({}));
    assert_eq!(steps(&back), ["device north update"], "{back}");
    assert_eq!(back["data"]["revision"], 3);
    assert!(!site.file().contains("North hall") && site.file().contains("# The two halls.\n"));
    let unknown = site.paho.request("config/rollback", json!({ "revision": 99 }));
    assert_eq!(unknown["error"]["code"], "UNKNOWN_NAME", "{unknown}");
    site.snapshots("south", "fast", 1);
    assert_eq!(site.connections(), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_file_comes_into_force_and_a_broken_one_does_not() {
    let Some(site) = Site::start("5", 8).await else { return };
    let text = site.file();
    fs::write(site.bridge.config(), text.replace("interval: 1 # second", "interval: 2 # seconds")).unwrap();
    let applied = site.paho.event("config_applied");
    assert_eq!((&applied["data"]["origin"], &applied["data"]["revision"]), (&json!("file"), &json!(2)));
    fs::write(site.bridge.config(), text.replace("interval: 1", "intervall: 1")).unwrap();
    site.bridge.signal("HUP");
    let rejected = site.paho.event("config_rejected");
    assert!(rejected["data"]["problems"][0].as_str().unwrap().contains("interval"), "{rejected}");
    let refused = site.patch(&json!({ "groups": [{ "name": "fast", "interval": 3 }] }));
    assert_eq!(refused["error"]["code"], "REVISION_CONFLICT", "a hand's work is not written over: {refused}");
    assert!(site.file().contains("intervall"));
    fs::write(site.bridge.config(), text.replace("interval: 1", "interval: 1s")).unwrap();
    site.bridge.signal("HUP");
    site.paho.until("third revision", |message| {
        let is_event = message.topic == "dlms/g/bridge/event";
        is_event.then(|| message.json()).filter(|json| json["data"]["revision"] == 3)
    });
    site.snapshots("north", "fast", 2);
    assert_eq!(site.connections(), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_broker_address_returns_by_itself() {
    let Some(site) = Site::start("5", 6).await else { return };
    let text = site.file();
    let nowhere = format!("mqtt://127.0.0.1:{}", free_port());
    let set = site
        .paho
        .request("config/patch", json!({ "patch": { "mqtt": { "url": nowhere } }, "confirm_within_s": 4 }));
    assert_eq!(steps(&set)[0], "mqtt  restart", "{set}");
    assert!(set["data"]["confirm_by"].is_string(), "{set}");
    let reverted = site.paho.event("config_reverted");
    assert_eq!(
        (&reverted["data"]["reverted_revision"], &reverted["data"]["revision"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(site.file(), text);
    assert_eq!(site.revision(), 1);
    let next = site.patch(&json!({ "groups": [{ "name": "fast", "interval": 2 }] }));
    assert_eq!(next["data"]["revision"], 3, "a number is used once: {next}");
    site.snapshots("north", "fast", 1);
    assert_eq!(site.connections(), (1, 1), "the meters noticed nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_on_trial_stays_only_if_it_is_confirmed() {
    let Some(mut site) = Site::start("5", 9).await else { return };
    let text = site.file();
    let trial = |site: &Site, seconds: u64| {
        let patch = json!({ "groups": [{ "name": "fast", "interval": 2 }] });
        let set = site.paho.request("config/patch", json!({ "patch": patch, "confirm_within_s": seconds }));
        assert_eq!(set["status"], "ok", "{set}");
        set["data"]["revision"].as_u64().unwrap()
    };
    let first = trial(&site, 30);
    let other = site.patch(&json!({ "enabled": false }));
    assert_eq!(other["error"]["code"], "REVISION_CONFLICT", "one trial at a time: {other}");
    let back = site.paho.request("config/rollback", json!({}));
    assert_eq!((back["status"].as_str(), site.file() == text), (Some("ok"), true), "{back}");

    let second = trial(&site, 30);
    assert!(second > first);
    let wrong = site.paho.request("config/confirm", json!({ "revision": first }));
    assert_eq!(wrong["error"]["code"], "REVISION_CONFLICT", "{wrong}");
    let confirmed = site.paho.request("config/confirm", json!({}));
    assert_eq!(confirmed["data"]["revision"], second, "{confirmed}");
    let again = site.paho.request("config/confirm", json!({}));
    assert_eq!(again["error"]["code"], "INVALID_ARGUMENT", "{again}");

    // A crash does not make a trial stay.
    let kept = site.file();
    let set = site.paho.request(
        "config/patch",
        json!({ "patch": { "groups": [{ "name": "fast", "interval": 1 }] }, "confirm_within_s": 2 }),
    );
    let third = set["data"]["revision"].as_u64().unwrap();
    site.bridge.kill();
    std::thread::sleep(Duration::from_secs(2));
    assert_ne!(site.file(), kept);
    site.bridge.crash_and_restart();
    site.paho.until("return of the former", |message| {
        let is_event = message.topic == "dlms/g/bridge/event";
        is_event.then(|| message.json()).filter(|json| json["data"]["reverted_revision"] == third)
    });
    assert_eq!(site.file(), kept);
    assert_eq!(site.revision(), second);
}
