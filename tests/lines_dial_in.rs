//! Meters that call the bridge, through modems with ports that change with each call.

mod support;

use std::time::{Duration, Instant};

use dlms2mqtt::sim::{Framing, MeterConfig, Preset, SimulatedMeter};
use serde_json::{Value, json};

use support::modem::Call;
use support::mosquitto::{Message, Mosquitto, free_port};
use support::peer_meter::PeerMeter;
use support::readings::{Readings, next_failure, next_good, next_snapshot, snapshots};
use support::scripted::{AARQ, Act, Scripted, rejected};
use support::site::{Site, topic};

const PATIENCE: Duration = Duration::from_secs(10);

/// What the peer meter says of itself.
const PEERS_NAME: &str = "RIG0000000000042";
const PEERS_SERIAL: &str = "42424242";

fn peer(arguments: &[&str], checks: usize) -> Option<PeerMeter> {
    PeerMeter::start(&[&["--interface", "wrapper"], arguments].concat(), checks)
}

fn listening(broker: &Mosquitto, port: u16, keys: Value) -> Site {
    let (mut all, Value::Object(keys)) = (json!({"type": "listen", "identify_timeout": "2s"}), keys) else {
        panic!("keys are objects")
    };
    all.as_object_mut().expect("an object").extend(keys);
    Site::new(&broker.url()).connection("calls", port, all)
}

#[tokio::test]
async fn two_meters_call_are_told_apart_and_call_again() {
    let Some(one) = peer(&[], 4) else { return };
    let other = MeterConfig::new(Preset::Electricity, 51_324_481, Framing::Wrapper);
    let others_name = other.logical_device_name();
    let other = SimulatedMeter::spawn(("127.0.0.1", 0), other).await.expect("a port");
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let readings = Readings::of(&one);
    let port = free_port();
    let identified = |identity: Value| json!({"interface": "wrapper", "timeout": "1s", "identity": identity});
    let ldn = json!([{"name": "ldn", "obis": "0.0.42.0.0.255", "class": "data"}]);
    let gateway = listening(&broker, port, json!({}))
        .device("one", "calls", identified(json!({"logical_device_name": PEERS_NAME})))
        .device("other", "calls", identified(json!({"serial": "51324481"})))
        .group("g", &["one"], readings.values.clone(), json!({}))
        .group("who", &["one", "other"], ldn, json!({}))
        .start();
    assert_eq!(next_failure(&live, "one").await, "LINK_DOWN", "nobody has called");
    let others_call = Call::through(port, b"", other.address().port()).await;
    let its_call = Call::through(port, b"", one.port()).await;
    readings.assert_all_in(&next_good(&live, "one").await);
    let who = topic("devices/other/groups/who");
    let has_answered = |message: &Message| message.topic == who && message.json()["status"] == "ok";
    live.until("answer", |messages| messages.iter().any(has_answered)).await;
    assert!(!its_call.is_over() && !others_call.is_over());

    // It calls again without having hung up, as modems do that lost their network: the new call is the one that counts.
    let again = Call::through(port, b"", one.port()).await;
    its_call.ended(PATIENCE).await;
    readings.assert_all_in(&next_good(&live, "one").await);
    assert!(!again.is_over() && !others_call.is_over());

    // It hangs up, is missed, and comes back.
    drop(again);
    assert_eq!(next_failure(&live, "one").await, "LINK_DOWN");
    let _back = Call::through(port, b"", one.port()).await;
    readings.assert_all_in(&next_good(&live, "one").await);
    gateway.stop().await;

    for (device, name) in [("one", PEERS_NAME), ("other", &others_name)] {
        let all = snapshots(&live.messages(), device, "who");
        let told = |snapshot: &Value| snapshot["values"]["ldn"]["text"].as_str().map(str::to_owned);
        let names: Vec<String> = all.iter().filter(|it| it["status"] == "ok").filter_map(told).collect();
        assert!(names.len() > 2 && names.iter().all(|found| found == name), "{device}: {names:?}");
    }
    other.stop().await;
}

#[tokio::test]
async fn a_heartbeat_tells_who_calls_where_no_public_client_is_served() {
    let arguments = ["--auth", "low", "--password", "OpenSesame8", "--no-public-client"];
    let Some(meter) = peer(&arguments, 2) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let readings = Readings::of(&meter);
    let port = free_port();
    let secret = |identity: Value| {
        json!({
            "interface": "wrapper", "timeout": "1s", "access_security": "low", "password": "OpenSesame8",
            "identity": identity,
        })
    };
    let gateway = listening(&broker, port, json!({}))
        .device("one", "calls", secret(json!({"logical_device_name": PEERS_NAME, "serial": PEERS_SERIAL})))
        .device("absent", "calls", secret(json!({"serial": "77"})))
        .group("g", &["one", "absent"], readings.values.clone(), json!({}))
        .start();
    let call = Call::through(port, b"IMEI:356938035643809;SN=42424242\r\n", meter.port()).await;
    readings.assert_all_in(&next_good(&live, "one").await);
    drop(call);

    // Without a heartbeat the password is tried, for it is that of every device here.
    assert_eq!(next_failure(&live, "one").await, "LINK_DOWN");
    let _call = Call::through(port, b"", meter.port()).await;
    readings.assert_all_in(&next_good(&live, "one").await);
    gateway.stop().await;
}

#[tokio::test]
async fn strangers_are_hung_up_on_and_bounded() {
    let Some(stranger) = peer(&[], 3) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let port = free_port();
    let value = json!([{"name": "v", "obis": "1.0.1.8.0.255", "class": "register"}]);
    let named = |name: &str| json!({"interface": "wrapper", "timeout": "1s", "identity": {"logical_device_name": name}});
    let gateway = listening(&broker, port, json!({"max_connections": 2}))
        .device("one", "calls", named("LGZ1030000000001"))
        .device("other", "calls", named("LGZ1030000000002"))
        .group("g", &["one", "other"], value, json!({}))
        .start();
    // A meter of somebody else is asked who it is, and left.
    let call = Call::through(port, b"", stranger.port()).await;
    call.ended(PATIENCE).await;
    let is_event = |message: &&Message| {
        message.topic == topic("bridge/event") && message.json()["type"] == "unknown_caller"
    };
    let messages = live.until("event", |messages| messages.iter().any(|it| is_event(&it))).await;
    let event = messages.iter().find(is_event).expect("it was there").json();
    assert_eq!(event["code"], "WRONG_METER");
    assert!(event["data"]["message"].as_str().is_some_and(|words| words.contains("RIG")), "{event}");

    // Two that say nothing fill the port for the time to be known; a third is not even listened to.
    let begun = Instant::now();
    let (first, second) = (Call::mute(port).await, Call::mute(port).await);
    let third = Call::mute(port).await;
    third.ended(Duration::from_secs(1)).await;
    assert!(!first.is_over() && !second.is_over());
    first.ended(PATIENCE).await;
    second.ended(PATIENCE).await;
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
    let all = ["one", "other"].into_iter().flat_map(|device| snapshots(&live.messages(), device, "g"));
    assert!(
        all.into_iter().all(|snapshot| snapshot["status"] == "failed"),
        "nothing of a stranger is published"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn meters_that_call_over_hdlc_are_told_apart_by_system_title() {
    let start = |title: &str| {
        let security = ["--client-address", "1", "--security", "authencr", "--system-title", title];
        PeerMeter::start(&[&["--interface", "hdlc"], &security[..]].concat(), 2)
    };
    const TITLES: [(&str, &str); 2] = [("one", "524947000000002A"), ("other", "524947000000002B")];
    let (Some(one), Some(other)) = (start(TITLES[0].1), start(TITLES[1].1)) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let readings = Readings::of(&one);
    let port = free_port();
    // They say the same name and have the same keys: nothing else tells them apart.
    let titled = |title: &str| {
        json!({
            "interface": "hdlc", "timeout": "2s", "client_address": 1, "server_system_title": title,
            "transport_security": "authentication_encryption",
            "block_cipher_key": "000102030405060708090A0B0C0D0E0F",
            "authentication_key": "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF",
        })
    };
    // Its folder holds the invocation counters.
    let site = listening(&broker, port, json!({"identify_timeout": "20s"}))
        .device("one", "calls", titled(TITLES[0].1))
        .device("other", "calls", titled(TITLES[1].1))
        .group("g", &["one", "other"], readings.values.clone(), json!({}));
    let gateway = site.start();
    let _others_call = Call::through(port, b"", other.port()).await;
    readings.assert_all_in(&next_good(&live, "other").await);
    let _its_call = Call::through(port, b"", one.port()).await;
    readings.assert_all_in(&next_good(&live, "one").await);
    for (device, title) in TITLES {
        let topic = topic(&format!("devices/{device}/status"));
        let told = |message: &&Message| {
            message.topic == topic && message.json()["identity"]["system_title"].is_string()
        };
        let messages = live.until("status", |messages| messages.iter().any(|it| told(&it))).await;
        let status = messages.iter().rfind(told).expect("it was there").json();
        assert_eq!(status["identity"]["system_title"], title, "{device}: {status}");
    }
    gateway.stop().await;
    // One key and one title of ours are one counter, whichever meter it is used with, and before it is known which.
    let counters = std::fs::read_dir(site.path().join("state/counters")).expect("the counters");
    assert_eq!(counters.count(), 1);
}

#[tokio::test]
async fn who_refuses_our_password_is_not_tried_with_it_at_each_call() {
    let refusing = Scripted::start(|asked| {
        vec![if asked.apdu[0] == AARQ { Act::Say(rejected(13)) } else { Act::Close }]
    })
    .await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let port = free_port();
    let secret = |serial: &str| {
        json!({
            "interface": "wrapper", "timeout": "2s", "access_security": "low", "password": "OpenSesame8",
            "client_address": 1, "identity": {"serial": serial},
        })
    };
    let value = json!([{"name": "v", "obis": "1.0.1.8.0.255", "class": "register"}]);
    let gateway = listening(&broker, port, json!({"identify_timeout": "20s"}))
        .device("one", "calls", secret("1"))
        .device("other", "calls", secret("2"))
        .group("g", &["one", "other"], value, json!({}))
        .start();
    let told = |messages: &[Message]| {
        let events = messages.iter().filter(|it| it.topic == topic("bridge/event")).map(Message::json);
        events.filter(|event| event["type"] == "unknown_caller").count()
    };
    for calls in 1..=3 {
        let call = Call::through(port, b"", refusing.port()).await;
        call.ended(PATIENCE).await;
        live.until("event", |messages| told(messages) == calls).await;
    }
    let has_password = |apdu: &[u8]| apdu.windows(11).any(|octets| octets == b"OpenSesame8");
    let attempts = refusing.asked().iter().filter(|asked| has_password(&asked.apdu)).count();
    assert_eq!(attempts, 1, "the next is a minute away");
    assert_eq!(refusing.count(AARQ), 4, "the public client asks each time");
    gateway.stop().await;
}

#[tokio::test]
async fn a_damaged_counter_of_ours_is_not_called_a_wrong_meter() {
    let Some(meter) = peer(&["--client-address", "1", "--security", "authencr", "--no-public-client"], 2)
    else {
        return;
    };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let port = free_port();
    let ciphered = |serial: &str| {
        json!({
            "interface": "wrapper", "timeout": "2s", "client_address": 1, "identity": {"serial": serial},
            "transport_security": "authentication_encryption", "invocation_counter": "none",
            "block_cipher_key": "000102030405060708090A0B0C0D0E0F",
            "authentication_key": "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF",
        })
    };
    let value = json!([{"name": "v", "obis": "1.0.1.8.0.255", "class": "register"}]);
    let site = listening(&broker, port, json!({"identify_timeout": "20s"}))
        .device("one", "calls", ciphered(PEERS_SERIAL))
        .device("other", "calls", ciphered("2"))
        .group("g", &["one", "other"], value, json!({}));
    let gateway = site.start();
    let call = Call::through(port, b"", meter.port()).await;
    next_good(&live, "one").await;
    gateway.stop().await;
    drop(call);
    for counter in std::fs::read_dir(site.path().join("state/counters")).expect("the counters") {
        std::fs::write(counter.expect("a file").path(), "1 7 damaged").expect("writable");
    }
    let gateway = site.start();
    let call = Call::through(port, b"", meter.port()).await;
    call.ended(PATIENCE).await;
    let is_event = |message: &&Message| {
        message.topic == topic("bridge/event") && message.json()["type"] == "unknown_caller"
    };
    let messages = live.until("event", |messages| messages.iter().any(|it| is_event(&it))).await;
    let event = messages.iter().find(is_event).expect("it was there").json();
    assert_eq!(event["code"], "STORE_DAMAGED", "{event}");
    gateway.stop().await;
}

/// What the command `test device` says, which asks the bridge that runs.
async fn tested(site: &Site, device: &str) -> Value {
    let mut test = site.program("test");
    test.args(["device", device, "--json"]);
    let output = tokio::task::spawn_blocking(move || test.output()).await.expect("no panic");
    let output = output.expect("the program runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test]
async fn a_test_goes_over_the_call_of_the_meter_and_leaves_it_open() {
    let Some(meter) = peer(&[], 3) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let readings = Readings::of(&meter);
    let port = free_port();
    let named =
        |serial: &str| json!({"interface": "wrapper", "timeout": "2s", "identity": {"serial": serial}});
    let site = listening(&broker, port, json!({"identify_timeout": "20s"}))
        .device("one", "calls", named(PEERS_SERIAL))
        .device("absent", "calls", named("77"))
        .group("g", &["one", "absent"], readings.values.clone(), json!({}));
    let gateway = site.start();
    let call = Call::through(port, b"", meter.port()).await;
    readings.assert_all_in(&next_good(&live, "one").await);
    let of_one = tested(&site, "one").await.to_string();
    assert!(of_one.contains(PEERS_NAME) && !of_one.contains("\"failed\""), "{of_one}");
    let of_absent = tested(&site, "absent").await.to_string();
    assert!(of_absent.contains("LINK_DOWN"), "{of_absent}");
    readings.assert_all_in(&next_good(&live, "one").await);
    assert!(!call.is_over(), "the call goes on");
    gateway.stop().await;
}

#[tokio::test]
async fn who_claims_the_name_of_another_is_not_believed() {
    let Some(impostor) = peer(&[], 2) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let readings = Readings::of(&impostor);
    let port = free_port();
    let identified = |identity: Value| json!({"interface": "wrapper", "timeout": "2s", "identity": identity});
    let gateway = listening(&broker, port, json!({"identify_timeout": "20s"}))
        .device("claimed", "calls", identified(json!({"serial": "51324481"})))
        .device("itself", "calls", identified(json!({"serial": PEERS_SERIAL})))
        .group("g", &["claimed", "itself"], readings.values.clone(), json!({}))
        .start();
    assert_eq!(next_failure(&live, "claimed").await, "LINK_DOWN", "nobody has called");
    let _claim = Call::through(port, b"SN=51324481\r\n", impostor.port()).await;
    let is_found_out = |snapshot: &Value| snapshot["error"]["code"] == "WRONG_METER";
    next_snapshot(&live, "claimed", is_found_out).await;
    let _call = Call::through(port, b"", impostor.port()).await;
    readings.assert_all_in(&next_good(&live, "itself").await);
    gateway.stop().await;
    let of_claimed = snapshots(&live.messages(), "claimed", "g");
    assert!(of_claimed.iter().all(|snapshot| snapshot["status"] == "failed"), "nothing of it is published");
}

#[tokio::test]
async fn a_meter_that_goes_away_in_the_middle_of_a_reading_returns() {
    let Some(meter) = peer(&[], 3) else { return };
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let readings = Readings::of(&meter);
    let port = free_port();
    let named = json!({"interface": "wrapper", "timeout": "2s", "identity": {"serial": PEERS_SERIAL}});
    let absent = json!({"interface": "wrapper", "timeout": "2s", "identity": {"serial": "77"}});
    let gateway = listening(&broker, port, json!({"identify_timeout": "20s"}))
        .device("one", "calls", named)
        .device("absent", "calls", absent)
        .group("g", &["one", "absent"], readings.values.clone(), json!({}))
        .start();
    for octets in [400, 700, 1000] {
        let call = Call::cut_after(octets, port, meter.port()).await;
        call.ended(PATIENCE).await;
        let _call = Call::through(port, b"", meter.port()).await;
        readings.assert_all_in(&next_good(&live, "one").await);
    }
    gateway.stop().await;
    let of_absent = snapshots(&live.messages(), "absent", "g");
    assert!(of_absent.iter().all(|snapshot| snapshot["status"] == "failed"), "nothing of another's call");
}
