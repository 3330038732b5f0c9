//! Meters that fail in every way, and a gateway that says so: code, layer, hint; no busy loop, no wrong value.

mod support;
#[path = "faults/unasked.rs"]
mod unasked;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use support::mosquitto::{Message, Mosquitto, Subscriber, free_port};
use support::peer_meter::PeerMeter;
use support::scripted::{
    AARQ, Act, Asked, ENERGY, GET, SERIAL, Scripted, answer, asks_for_energy, rejected, well_behaved, wrapped,
};
use support::site::{Gateway, Site, topic};

fn energy() -> Value {
    json!([{"name": "energy", "obis": ENERGY, "class": "register"}])
}

fn wrapper() -> Value {
    json!({"interface": "wrapper"})
}

/// A broker, one meter, one group with the energy of it, and all that is published.
struct Yard {
    broker: Mosquitto,
    live: Subscriber,
    _site: Site,
    gateway: Gateway,
}

impl Yard {
    fn start(port: u16, device: Value) -> Self {
        Self::with(port, device, energy())
    }

    fn with(port: u16, device: Value, values: Value) -> Self {
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/#");
        let site = Site::new(&broker.url())
            .connection("c", port, json!({"connect_timeout": "1s", "persistent": true}))
            .device("m", "c", device)
            .group("g", &["m"], values, json!({}));
        let gateway = site.start();
        Self { broker, live, _site: site, gateway }
    }

    async fn snapshots_until(&self, what: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        snapshots(&self.live.until(what, |messages| enough(&snapshots(messages, "m"))).await, "m")
    }
}

fn snapshots(messages: &[Message], device: &str) -> Vec<Value> {
    let topic = topic(&format!("devices/{device}/groups/g"));
    messages.iter().filter(|message| message.topic == topic).map(Message::json).collect()
}

fn is_ok(snapshot: &Value) -> bool {
    snapshot["status"] == "ok"
}

/// A failed snapshot tells why and holds no value; one that is ok holds the true one.
fn assert_true(snapshot: &Value) {
    let entry = &snapshot["values"]["energy"];
    match snapshot["status"].as_str() {
        Some("ok") => {
            assert_eq!((&entry["value"], &entry["unit"]), (&json!(12345), &json!("Wh")), "{snapshot}");
            assert_eq!(snapshot["error"], Value::Null);
        }
        Some("failed") => {
            assert_eq!((&entry["value"], &entry["quality"]), (&Value::Null, &json!("bad")), "{snapshot}");
            // Where the visit itself failed, and not the object alone, the reason stands on top as well.
            let of_visit = Some(&snapshot["error"]).filter(|error| !error.is_null());
            for error in std::iter::once(&snapshot["errors"]["energy"]).chain(of_visit) {
                for key in ["code", "layer", "message", "hint"] {
                    assert!(error[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {snapshot}");
                }
            }
        }
        _ => panic!("{snapshot}"),
    }
}

/// A script that fails `times` times where `applies`, and behaves well otherwise.
fn failing(
    times: usize,
    applies: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
    fault: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
) -> impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static {
    let failed = AtomicUsize::new(0);
    move |asked| {
        let is_due = applies(&asked.apdu) && failed.fetch_add(1, Ordering::SeqCst) < times;
        if is_due { fault(asked) } else { well_behaved(asked) }
    }
}

/// The code of the first failed cycle, and that all is well afterwards.
async fn fails_and_recovers(
    script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
    code: &str,
    layer: &str,
) {
    let meter = Scripted::start(script).await;
    let yard = Yard::start(meter.port(), wrapper());
    let seen = yard
        .snapshots_until(&format!("recovery from {code}"), |seen| {
            seen.iter().any(|snapshot| snapshot["status"] == "failed") && seen.last().is_some_and(is_ok)
        })
        .await;
    seen.iter().for_each(assert_true);
    let first = seen.iter().find(|snapshot| snapshot["status"] == "failed").expect("a failure");
    let error = &first["errors"]["energy"];
    assert_eq!((&error["code"], &error["layer"]), (&json!(code), &json!(layer)), "{first}");
    yard.gateway.stop().await;
}

#[tokio::test]
async fn faults_that_pass_are_named_and_recovered_from() {
    let is_energy = asks_for_energy;
    let is_aarq = |apdu: &[u8]| apdu[0] == AARQ;
    let silent = failing(1, is_energy, |_| vec![]);
    let closing = failing(2, is_energy, |_| vec![Act::Close]);
    let half = failing(2, is_energy, |asked| {
        let whole = wrapped(1, 16, &answer(&asked.apdu));
        vec![Act::Raw(whole[..whole.len() / 2].to_vec()), Act::Close]
    });
    let stalling = failing(1, is_energy, |asked| {
        let whole = wrapped(1, 16, &answer(&asked.apdu));
        vec![Act::Raw(whole[..whole.len() / 2].to_vec())]
    });
    let elsewhere = failing(1, is_energy, |asked| vec![Act::SayFrom(7, answer(&asked.apdu))]);
    let noise = failing(2, is_energy, |_| vec![Act::Raw(vec![0xA5; 64])]);
    let wrong_data = failing(1, is_energy, |asked| {
        vec![Act::Say(vec![0xC4, 0x01, asked.apdu[2], 0x00, 0x02, 0x05, 0x06])]
    });
    let refusing = failing(1, is_aarq, |_| vec![Act::Say(rejected(1))]);
    tokio::join!(
        fails_and_recovers(silent, "TIMEOUT", "wrapper"),
        fails_and_recovers(closing, "TCP_CLOSED", "tcp"),
        fails_and_recovers(half, "TCP_CLOSED", "tcp"),
        fails_and_recovers(stalling, "TIMEOUT", "wrapper"),
        fails_and_recovers(elsewhere, "WRAPPER_ADDRESS", "wrapper"),
        fails_and_recovers(noise, "DECODE", "wrapper"),
        fails_and_recovers(wrong_data, "DECODE", "decode"),
        fails_and_recovers(refusing, "AARE_REJECTED", "acse"),
    );
}

#[tokio::test]
async fn a_meter_that_is_absent_is_told_in_every_cycle_and_found_when_it_comes() {
    let port = free_port();
    let yard = Yard::start(port, wrapper());
    let absent = yard.snapshots_until("four failed cycles", |seen| seen.len() >= 4).await;
    for (snapshot, next) in absent.iter().zip(&absent[1..]) {
        assert_true(snapshot);
        assert_eq!(
            (&snapshot["error"]["code"], &snapshot["error"]["layer"]),
            (&json!("TCP_REFUSED"), &json!("tcp"))
        );
        assert_eq!(cycle(next) - cycle(snapshot), 1, "no cycle is left out");
    }
    let offline = yard.live.of(&topic("devices/m/availability"));
    assert_eq!(
        offline.iter().map(|message| message.json()["state"].clone()).collect::<Vec<_>>(),
        ["offline"]
    );
    let meter = Scripted::start_at(port, well_behaved).await;
    let seen = yard.snapshots_until("an answer", |seen| seen.last().is_some_and(is_ok)).await;
    seen.iter().for_each(assert_true);
    assert_eq!(meter.connections(), 1);
    yard.gateway.stop().await;
}

/// The scheduled tick in seconds since the epoch.
fn cycle(snapshot: &Value) -> i64 {
    snapshot["cycle"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

/// A meter that fails for ever is asked again, not often, and each cycle says why.
async fn is_not_stormed(
    device: Value,
    most: usize,
    attempts: impl Fn(&Scripted) -> usize,
    script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
    code: &str,
) {
    let meter = Scripted::start(script).await;
    let yard = Yard::start(meter.port(), device);
    let seen = yard.snapshots_until("six cycles", |seen| seen.len() >= 6).await;
    for snapshot in &seen {
        assert_true(snapshot);
        assert_eq!(snapshot["error"]["code"], code, "{snapshot}");
    }
    let attempts = attempts(&meter);
    assert!((1..=most).contains(&attempts), "{code}: {attempts} attempts in six cycles");
    let status = yard.live.of(&topic("devices/m/status"));
    let status = status.last().expect("a status").json();
    assert_eq!((&status["state"], &status["last_error"]["code"]), (&json!("offline"), &json!(code)));
    assert!(status["backoff_until"].is_string(), "{status}");
    yard.gateway.stop().await;
}

#[tokio::test]
async fn failures_that_last_are_backed_off_from() {
    let aarqs = |meter: &Scripted| meter.count(AARQ);
    let secret = json!({"interface": "wrapper", "access_security": "low", "password": "wrong-guess"});
    tokio::join!(
        is_not_stormed(wrapper(), 3, Scripted::connections, |_| vec![Act::Close], "TCP_CLOSED"),
        is_not_stormed(wrapper(), 3, aarqs, |_| vec![Act::Say(rejected(1))], "AARE_REJECTED"),
        // Meters count refused passwords, and lock: the second attempt is a minute away.
        is_not_stormed(secret, 1, aarqs, |_| vec![Act::Say(rejected(13))], "AARE_REJECTED"),
        is_not_stormed(wrapper(), 3, aarqs, |_| vec![], "TIMEOUT"),
        is_not_stormed(wrapper(), 3, Scripted::connections, |_| vec![Act::Raw(vec![0x7E; 9])], "DECODE"),
    );
}

#[tokio::test]
async fn answers_that_come_twice_late_or_to_another_request_are_never_taken_for_others() {
    let values = json!([
        {"name": "energy", "obis": ENERGY, "class": "register"},
        {"name": "serial", "obis": "0.0.96.1.0.255"},
        {"name": "name", "obis": "0.0.42.0.0.255"},
    ]);
    let twice = |asked: &Asked| vec![Act::Say(answer(&asked.apdu)), Act::Say(answer(&asked.apdu))];
    // The answer of the request before goes ahead of the true one.
    let mixed = |asked: &Asked| {
        let mut other = answer(&asked.apdu);
        if asked.apdu[0] == GET {
            other[2] = (other[2] & 0xF0) | (other[2].wrapping_sub(1) & 0x0F);
            other.truncate(3);
            other.extend([0x00, 0x06, 0xDE, 0xAD, 0xBE, 0xEF]);
            return vec![Act::Say(other), Act::Say(answer(&asked.apdu))];
        }
        vec![Act::Say(other)]
    };
    // Past the time-out: too late for its own request, in time for the next.
    let late = failing(2, asks_for_energy, |asked| {
        vec![Act::Pause(Duration::from_millis(700)), Act::Say(answer(&asked.apdu))]
    });
    async fn never_wrong(
        values: Value,
        enough: usize,
        script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
    ) {
        let meter = Scripted::start(script).await;
        let yard = Yard::with(meter.port(), wrapper(), values);
        let seen = yard
            .snapshots_until("good cycles", |seen| {
                seen.iter().filter(|snapshot| is_ok(snapshot)).count() >= enough
            })
            .await;
        for snapshot in seen {
            for (name, expected) in
                [("energy", json!(12345)), ("serial", json!("534e3737")), ("name", json!("54455354"))]
            {
                let entry = &snapshot["values"][name];
                match entry["quality"].as_str() {
                    Some("good") => assert_eq!(entry["value"], expected, "{name}: {snapshot}"),
                    _ => assert_eq!(entry["value"], Value::Null, "{name}: {snapshot}"),
                }
            }
        }
        yard.gateway.stop().await;
    }
    tokio::join!(
        never_wrong(values.clone(), 3, twice),
        never_wrong(values.clone(), 3, mixed),
        never_wrong(values, 2, late),
    );
}

#[tokio::test]
async fn random_octets_in_any_answer_never_make_a_value() {
    let random = fastrand::Rng::with_seed(7);
    let random = std::sync::Mutex::new(random);
    let script = move |asked: &Asked| {
        let mut random = random.lock().unwrap();
        if random.u8(..) < 235 {
            return well_behaved(asked);
        }
        let mut octets = answer(&asked.apdu);
        match random.u8(..5) {
            0 => octets = (0..random.usize(1..200)).map(|_| random.u8(..)).collect(),
            1 => octets.truncate(random.usize(1..octets.len())),
            2 => octets.insert(0, random.u8(..)),
            3 => return vec![Act::Raw((0..random.usize(1..300)).map(|_| random.u8(..)).collect())],
            // The tags of answer, choice and type; what may be changed without being found out is the number itself.
            _ => {
                let at = random.usize(..octets.len().min(5));
                octets[at] ^= 1 << random.u8(..8);
            }
        }
        vec![Act::Say(octets)]
    };
    let meter = Scripted::start(script).await;
    // A back-off after each failure would leave little to see: many devices share the noise.
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let names: Vec<String> = (0..20).map(|number| format!("m{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut site = Site::new(&broker.url());
    for name in &names {
        site = site.connection(name, meter.port(), json!({})).device(name, name, wrapper());
    }
    let gateway = site.group("g", &names, energy(), json!({})).start();
    let is_snapshot = |message: &&Message| message.topic.ends_with("/groups/g");
    let seen =
        live.until("150 snapshots", |messages| messages.iter().filter(is_snapshot).count() >= 150).await;
    let mut codes = std::collections::BTreeMap::<String, usize>::new();
    for snapshot in seen.iter().filter(is_snapshot).map(Message::json) {
        let entry = &snapshot["values"]["energy"];
        match entry["quality"].as_str() {
            Some("good") => assert_eq!(entry["value"], 12345, "{snapshot}"),
            _ => assert_eq!(entry["value"], Value::Null, "{snapshot}"),
        }
        let code = snapshot["errors"]["energy"]["code"].as_str().unwrap_or("ok").to_owned();
        *codes.entry(code).or_default() += 1;
    }
    assert!(codes["DECODE"] > 20 && codes["ok"] > 20, "{codes:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_busy_or_missing_object_spoils_only_itself() {
    let values = json!([
        {"name": "energy", "obis": ENERGY, "class": "register"},
        {"name": "missing", "obis": "1.0.99.99.0.255", "class": "register"},
        {"name": "busy", "obis": "0.0.96.1.0.255"},
    ]);
    let script = |asked: &Asked| {
        if asked.apdu.get(3..12) == Some(&[0, 1, 0, 0, 96, 1, 0, 255, 2]) {
            return vec![Act::Say(vec![0xC4, 0x01, asked.apdu[2], 0x01, 2])];
        }
        well_behaved(asked)
    };
    let meter = Scripted::start(script).await;
    let yard = Yard::with(meter.port(), wrapper(), values);
    let seen = yard.snapshots_until("two cycles", |seen| seen.len() >= 2).await;
    for snapshot in seen {
        assert_eq!(snapshot["status"], "partial");
        assert_eq!(snapshot["error"], Value::Null);
        assert_eq!(snapshot["values"]["energy"]["value"], 12345);
        for (name, code, dlms) in [("missing", "OBJECT_UNDEFINED", 4), ("busy", "TEMPORARY_FAILURE", 2)] {
            let entry = &snapshot["values"][name];
            assert_eq!((&entry["value"], &entry["quality"]), (&Value::Null, &json!("bad")));
            let error = &snapshot["errors"][name];
            assert_eq!(
                (&error["code"], &error["layer"], &error["dlms"]),
                (&json!(code), &json!("get"), &json!(dlms))
            );
            assert!(error["hint"].is_string());
        }
    }
    let states = yard.live.of(&topic("devices/m/availability"));
    assert_eq!(states.last().unwrap().json()["state"], "online");
    yard.gateway.stop().await;
}

#[tokio::test]
async fn a_value_of_a_type_that_its_attribute_cannot_have_is_no_value() {
    let values = json!([
        {"name": "energy", "obis": ENERGY, "class": "register"},
        {"name": "clock", "obis": "0.0.1.0.0.255", "class": "clock"},
        {"name": "clock_whole", "obis": "0.0.1.0.0.255", "class": "clock", "attributes": [2, 3]},
        {"name": "serial", "obis": "0.0.96.1.0.255"},
    ]);
    let script = |asked: &Asked| {
        let data: &[u8] = match (asks_for_energy(&asked.apdu), asked.apdu.get(3..12)) {
            (true, _) => &[0x02, 0x02, 0x11, 0x01, 0x11, 0x02],
            (_, Some([0, 8, .., 2])) => &[0x14, 0, 0, 0, 0, 0x65, 0x53, 0xF1, 0x00],
            (_, Some([0, 8, .., 3])) => &[0x10, 0xFF, 0xC4],
            _ => return well_behaved(asked),
        };
        vec![Act::Say([&[0xC4, 0x01, asked.apdu[2], 0x00], data].concat())]
    };
    let meter = Scripted::start(script).await;
    let yard = Yard::with(meter.port(), wrapper(), values);
    let seen = yard.snapshots_until("a cycle", |seen| !seen.is_empty()).await;
    let snapshot = &seen[0];
    assert_eq!(snapshot["status"], "partial", "{snapshot}");
    for (name, came) in [("energy", "value came as structure"), ("clock", "time came as long64")] {
        let entry = &snapshot["values"][name];
        assert_eq!((&entry["value"], &entry["quality"]), (&Value::Null, &json!("bad")), "{snapshot}");
        let error = &snapshot["errors"][name];
        assert_eq!((&error["code"], &error["layer"]), (&json!("DECODE"), &json!("decode")));
        assert!(error["message"].as_str().unwrap().contains(came), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("scan"), "{error}");
    }
    assert_eq!(snapshot["values"]["clock_whole"]["value"], json!({"time": null, "time_zone": -60}));
    assert_eq!(snapshot["values"]["serial"]["quality"], "good");
    yard.gateway.stop().await;
}

#[tokio::test]
async fn of_another_meter_than_expected_nothing_is_published() {
    let meter = Scripted::start(well_behaved).await;
    let expecting = |serial: &str| json!({"interface": "wrapper", "identity": {"serial": serial}});
    let wrong = Yard::start(meter.port(), expecting("SN78"));
    let seen = wrong.snapshots_until("three cycles", |seen| seen.len() >= 3).await;
    for snapshot in &seen {
        assert_true(snapshot);
        assert_eq!(snapshot["error"]["code"], "WRONG_METER");
    }
    assert_eq!(meter.asked().iter().filter(|asked| asks_for_energy(&asked.apdu)).count(), 0);
    wrong.gateway.stop().await;
    let right = Yard::start(meter.port(), expecting(SERIAL));
    let seen = right.snapshots_until("a cycle", |seen| !seen.is_empty()).await;
    assert_true(&seen[0]);
    assert_eq!((&seen[0]["status"], &seen[0]["serial"]), (&json!("ok"), &json!(SERIAL)));
    right.gateway.stop().await;
}

#[tokio::test]
async fn a_dead_meter_on_a_shared_link_costs_the_others_no_more_than_its_time_out() {
    let script = |asked: &Asked| if asked.server == 2 { vec![] } else { well_behaved(asked) };
    let meter = Scripted::start(script).await;
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let gateway = Site::new(&broker.url())
        .connection("c", meter.port(), json!({"persistent": true}))
        .device("m", "c", wrapper())
        .device("dead", "c", json!({"interface": "wrapper", "server_address": 2}))
        .group("g", &["m", "dead"], energy(), json!({}))
        .start();
    let seen = live.until("eight cycles", |messages| snapshots(messages, "m").len() >= 8).await;
    for snapshot in snapshots(&seen, "m") {
        assert_true(&snapshot);
        assert!(is_ok(&snapshot), "{snapshot}");
        assert!(snapshot["late_ms"].as_u64().unwrap() < 600 + 400, "{snapshot}");
    }
    for snapshot in snapshots(&seen, "dead") {
        assert_true(&snapshot);
        assert_eq!(snapshot["error"]["code"], "TIMEOUT");
    }
    assert!(snapshots(&seen, "dead").len() >= 7);
    let asked = meter.asked().iter().filter(|asked| asked.server == 2).count();
    assert!((1..=4).contains(&asked), "{asked}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_slow_meter_is_waited_for() {
    let slow = |asked: &Asked| vec![Act::Pause(Duration::from_millis(150)), Act::Say(answer(&asked.apdu))];
    let meter = Scripted::start(slow).await;
    let yard = Yard::start(meter.port(), wrapper());
    let seen = yard.snapshots_until("two cycles", |seen| seen.len() >= 2).await;
    for snapshot in &seen {
        assert!(is_ok(snapshot), "{snapshot}");
        assert_true(snapshot);
    }
    assert!(seen[0]["duration_ms"].as_u64().unwrap() >= 900, "six exchanges of 150 ms");
    yard.gateway.stop().await;
}

/// The peer meter with a fault, read over HDLC or WRAPPER: whatever happens, no value is another than the true one.
async fn peer_with(
    arguments: &[&str],
    device: Value,
    enough: impl Fn(&[Value]) -> bool,
) -> Option<Vec<Value>> {
    let meter = PeerMeter::start(arguments, 1)?;
    let yard =
        Yard::with(meter.port(), device, json!([{"name": "energy", "obis": ENERGY, "class": "register"}]));
    let seen = yard.snapshots_until(&format!("what was expected of {arguments:?}"), enough).await;
    for snapshot in &seen {
        let entry = &snapshot["values"]["energy"];
        match entry["quality"].as_str() {
            Some("good") => assert_eq!(entry["value"], json!(123_456.789), "{arguments:?}: {snapshot}"),
            _ => assert_eq!(entry["value"], Value::Null, "{arguments:?}: {snapshot}"),
        }
    }
    yard.gateway.stop().await;
    Some(seen)
}

fn failed_then_ok(seen: &[Value]) -> bool {
    let failed = seen.iter().position(|snapshot| !is_ok(snapshot));
    failed.is_some_and(|failed| seen[failed..].iter().any(is_ok))
}

#[tokio::test]
async fn faults_of_an_independent_meter_over_both_framings() {
    let hdlc = || json!({"interface": "hdlc"});
    let patient = || json!({"interface": "hdlc", "retries": 3, "timeout": "300ms"});
    let two_ok = |seen: &[Value]| seen.iter().filter(|snapshot| is_ok(snapshot)).count() >= 2;
    tokio::join!(
        peer_with(&["--interface", "hdlc", "--close-mid-frame", "4"], hdlc(), failed_then_ok),
        peer_with(&["--interface", "wrapper", "--close-mid-frame", "3"], wrapper(), failed_then_ok),
        peer_with(&["--interface", "hdlc", "--corrupt-fcs-every", "2"], patient(), two_ok),
        peer_with(&["--interface", "wrapper", "--delay-ms", "80"], wrapper(), two_ok),
        // Every sixth reply is the end of the connection: visits go on over new ones.
        peer_with(&["--interface", "hdlc", "--drop-after", "6"], hdlc(), two_ok),
        peer_with(&["--interface", "wrapper", "--busy-first", "7"], wrapper(), failed_then_ok),
    );
}

#[tokio::test]
async fn the_health_tells_of_a_device_that_went_and_came_back() {
    let port = free_port();
    let yard = Yard::start(port, wrapper());
    let healths = |seen: &[Message]| -> Vec<Value> {
        let topic = topic("bridge/health");
        seen.iter().filter(|message| message.topic == topic).map(Message::json).collect()
    };
    let is = |status: &'static str| {
        move |seen: &[Message]| healths(seen).last().is_some_and(|last| last["status"] == status)
    };
    let seen = healths(&yard.live.until("a bad health", is("degraded")).await);
    let bad = seen.last().unwrap();
    assert!(bad["errors"]["TCP_REFUSED"].as_u64().unwrap() >= 1, "{bad}");
    assert!(bad["polls"]["failed"].as_u64().unwrap() >= 2 && bad["polls"]["ok"] == 0, "{bad}");
    assert_eq!(
        (&bad["connections"][0]["name"], &bad["connections"][0]["state"]),
        (&json!("c"), &json!("down"))
    );
    let _meter = Scripted::start_at(port, well_behaved).await;
    let seen = healths(&yard.live.until("a good health", is("ok")).await);
    let good = seen.last().unwrap();
    assert_eq!(good["connections"][0]["state"], "up");
    assert!(good["polls"]["ok"].as_u64().unwrap() >= 1, "{good}");
    assert!(seen.len() < 6, "said when it turns, not in each cycle");
    yard.gateway.stop().await;
}

#[tokio::test]
async fn the_fifth_refusal_is_the_last_and_is_told_once() {
    let meter = Scripted::start(|_| vec![Act::Say(rejected(13))]).await;
    let secret = json!({"interface": "wrapper", "access_security": "low", "password": "wrong-guess"});
    let yard = Yard::start(meter.port(), secret);
    yard.snapshots_until("the first refusal", |seen| !seen.is_empty()).await;
    // The polls pause for minutes now; a person tests, and again.
    let mut answers = Vec::new();
    for attempt in 2..=6 {
        let transaction = format!("attempt-{attempt}");
        let request = json!({"device": "m", "transaction": transaction}).to_string();
        yard.broker.publish(&topic("bridge/request/test/device"), request.as_bytes(), &[]);
        let is_answer = |message: &&Message| {
            message.topic == topic("bridge/response/test/device")
                && message.json()["transaction"] == transaction.as_str()
                && message.json()["status"] != "accepted"
        };
        let seen = yard.live.until(&transaction, |seen| seen.iter().any(|it| is_answer(&it))).await;
        answers.push(seen.iter().find(is_answer).expect("an answer").payload.clone());
    }
    assert_eq!(meter.count(AARQ), 5, "{answers:#?}");
    let last = answers.pop().expect("six attempts");
    assert!(last.contains("no more attempts") && last.contains("AARE_REJECTED"), "{last}");
    assert!(!answers.iter().any(|answer| answer.contains("no more attempts")), "{answers:#?}");
    let is_told = |message: &&Message| {
        message.topic == topic("devices/m/event") && message.payload.contains("no more attempts")
    };
    let seen = yard.live.until("the event", |seen| seen.iter().any(|it| is_told(&it))).await;
    let told: Vec<Value> = seen.iter().filter(is_told).map(Message::json).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    let [event] = told.as_slice() else { unreachable!() };
    assert_eq!(
        (&event["type"], &event["severity"], &event["device"], &event["code"]),
        (&json!("error"), &json!("error"), &json!("m"), &json!("AARE_REJECTED")),
    );
    yard.gateway.stop().await;
}
