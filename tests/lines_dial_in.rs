//! Meters that call the bridge, through modems with ports that change with each call.

mod support;

use std::time::{Duration, Instant};

use dlms2mqtt::sim::{Framing, MeterConfig, Preset, SimulatedMeter};
use serde_json::{Value, json};

use support::modem::Call;
use support::mosquitto::{Message, Mosquitto, free_port};
use support::peer_meter::PeerMeter;
use support::readings::{Readings, next_failure, next_good, snapshots};
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
