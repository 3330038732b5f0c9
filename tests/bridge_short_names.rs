//! Meters with short names over the wrapper, where answers bear no number: one too many never becomes a wrong value.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use support::mosquitto::{Message, Mosquitto, Subscriber};
use support::scripted::{AARQ, Act, Asked, RLRQ, Scripted};
use support::site::{Gateway, Site, topic};

const READ: u8 = 0x05;
const READ_RESPONSE: u8 = 0x0C;
const IMPORT: u16 = 0x1008;
const EXPORT: u16 = 0x1108;
const ASSOCIATION_NAME: u16 = 0xFA00;

/// AARE: accepted, short names; services Read, in blocks and of parts.
fn accepted() -> Vec<u8> {
    let mut aare = vec![0x61, 0x29, 0xA1, 0x09, 0x06, 0x07, 0x60, 0x85, 0x74, 0x05, 0x08, 0x01, 0x02];
    aare.extend([0xA2, 0x03, 0x02, 0x01, 0x00, 0xA3, 0x05, 0xA1, 0x03, 0x02, 0x01, 0x00]);
    aare.extend([0xBE, 0x10, 0x04, 0x0E, 0x08, 0x00, 0x06, 0x5F, 0x1F, 0x04, 0x00, 0x10, 0x10, 0x20]);
    aare.extend([0x04, 0x00, 0xFA, 0x00]);
    aare
}

/// structure { base_name, class_id, version, logical_name }
fn object(base: u16, class: u8, obis: [u8; 6]) -> Vec<u8> {
    let [high, low] = base.to_be_bytes();
    [&[2, 4, 0x10, high, low, 0x12, 0, class, 0x11, 0, 9, 6][..], &obis].concat()
}

/// 2026-03-15, 12:00, UTC.
const NOON: [u8; 12] = [0x07, 0xEA, 3, 15, 7, 12, 0, 0, 0, 0, 0, 0];

/// structure { class_id, logical_name, attribute_index, data_index }
fn column(class: u8, obis: [u8; 6]) -> Vec<u8> {
    [&[2, 4, 0x12, 0, class, 9, 6][..], &obis, &[0x0F, 2, 0x12, 0, 0]].concat()
}

/// The name that a Read of one variable asks for.
fn name_of(apdu: &[u8]) -> Option<u16> {
    match apdu {
        [READ, 1, 2 | 4, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// Two registers, 111 Wh in and 222 Wh out, and a profile with the one row of 2026-03-15 12:00 and 55 Wh.
fn answer(apdu: &[u8]) -> Vec<u8> {
    let data = match (apdu[0], name_of(apdu)) {
        (AARQ, _) => return accepted(),
        (RLRQ, _) => return vec![0x63, 0x03, 0x80, 0x01, 0x00],
        (_, Some(ASSOCIATION_NAME)) => vec![9, 6, 0, 0, 40, 0, 0, 255],
        (_, Some(0xFA08)) => {
            let import = object(0x1000, 3, [1, 0, 1, 8, 0, 255]);
            let export = object(0x1100, 3, [1, 0, 2, 8, 0, 255]);
            let profile = object(0x1300, 7, [1, 0, 99, 1, 0, 255]);
            let clock = object(0x1400, 8, [0, 0, 1, 0, 0, 255]);
            [&[1, 4][..], &import, &export, &profile, &clock].concat()
        }
        (_, Some(0xFD08)) => b"\x09\x04TEST".to_vec(),
        (_, Some(IMPORT)) => vec![6, 0, 0, 0, 111],
        (_, Some(EXPORT)) => vec![6, 0, 0, 0, 222],
        (_, Some(0x1010 | 0x1110)) => vec![2, 2, 0x0F, 0, 0x16, 30],
        (_, Some(0x1308)) => [&[1, 1, 2, 2, 9, 12][..], &NOON, &[6, 0, 0, 0, 55]].concat(),
        (_, Some(0x1310)) => {
            [&[1, 2][..], &column(8, [0, 0, 1, 0, 0, 255]), &column(3, [1, 0, 1, 8, 0, 255])].concat()
        }
        (_, Some(0x1318)) => vec![6, 0, 0, 3, 0x84],
        (_, Some(0x1320)) => vec![0x16, 1],
        (_, Some(0x1330 | 0x1338)) => vec![6, 0, 0, 0, 1],
        (_, Some(0x1408)) => [&[9, 12][..], &NOON].concat(),
        (_, Some(_)) => return vec![READ_RESPONSE, 1, 1, 4],
        _ => return vec![0xD8, 1, 2],
    };
    [&[READ_RESPONSE, 1, 0][..], &data].concat()
}

fn snapshots(messages: &[Message]) -> Vec<Value> {
    let topic = topic("devices/m/groups/g");
    messages.iter().filter(|message| message.topic == topic).map(Message::json).collect()
}

fn start(broker: &Mosquitto, port: u16, values: Value) -> (Gateway, Subscriber) {
    let live = broker.subscribe("dlms/g/#");
    let device = json!({"interface": "wrapper", "logical_name_referencing": false});
    let site = Site::new(&broker.url())
        .connection("c", port, json!({"connect_timeout": "1s", "persistent": true}))
        .device("m", "c", device)
        .group("g", &["m"], values, json!({}));
    (site.start(), live)
}

fn registers() -> Value {
    json!([
        {"name": "import", "obis": "1.0.1.8.0.255", "class": "register"},
        {"name": "export", "obis": "1.0.2.8.0.255", "class": "register"},
    ])
}

/// Whatever stands in a snapshot is true.
fn assert_true(snapshot: &Value) {
    let values = &snapshot["values"];
    for (name, truth) in [("import", 111), ("export", 222)] {
        let entry = &values[name];
        if entry["quality"] == "good" {
            assert_eq!((&entry["value"], &entry["unit"]), (&json!(truth), &json!("Wh")), "{snapshot}");
        } else {
            assert_eq!(entry["value"], Value::Null, "{snapshot}");
        }
    }
}

/// The meter does something else in answer to the Read of the import, as often as `times`; then all is well again.
async fn spoilt(times: usize, fault: fn(Vec<u8>) -> Vec<Act>, expected: Option<(&str, &str)>) -> Scripted {
    let done = AtomicUsize::new(0);
    let meter = Scripted::start(move |asked: &Asked| {
        let whole = answer(&asked.apdu);
        let is_due = name_of(&asked.apdu) == Some(IMPORT) && done.fetch_add(1, Ordering::SeqCst) < times;
        if is_due { fault(whole) } else { vec![Act::Say(whole)] }
    })
    .await;
    let broker = Mosquitto::start();
    let (gateway, live) = start(&broker, meter.port(), registers());
    let seen = live
        .until("good cycles after the fault", |seen| {
            let seen = snapshots(seen);
            let first = seen.iter().position(|snapshot| snapshot["status"] == "ok");
            first.is_some_and(|first| seen.len() > first + 1)
        })
        .await;
    let seen = snapshots(&seen);
    seen.iter().for_each(assert_true);
    assert_eq!(seen.last().expect("a cycle")["status"], "ok");
    if let Some((code, layer)) = expected {
        let failed = seen.iter().find(|snapshot| snapshot["status"] == "failed").expect("a failed cycle");
        assert_eq!((&failed["error"]["code"], &failed["error"]["layer"]), (&json!(code), &json!(layer)));
    }
    gateway.stop().await;
    meter
}

#[tokio::test]
async fn an_answer_that_is_repeated_never_becomes_the_value_of_the_next() {
    let at_once: fn(Vec<u8>) -> Vec<Act> = |whole| vec![Act::Say(whole.clone()), Act::Say(whole)];
    let after_the_next_request: fn(Vec<u8>) -> Vec<Act> =
        |whole| vec![Act::Say(whole.clone()), Act::Pause(Duration::from_millis(50)), Act::Say(whole)];
    let out_of_step = Some(("DECODE", "wrapper"));
    let (first, second) =
        tokio::join!(spoilt(2, at_once, out_of_step), spoilt(2, after_the_next_request, out_of_step));
    for meter in [first, second] {
        assert!(meter.connections() >= 3, "each time on a new connection, not only in a new association");
    }
}

#[tokio::test]
async fn an_answer_that_is_late_is_left_behind_with_its_connection() {
    let late: fn(Vec<u8>) -> Vec<Act> = |whole| vec![Act::Pause(Duration::from_millis(900)), Act::Say(whole)];
    let meter = spoilt(1, late, Some(("TIMEOUT", "wrapper"))).await;
    assert!(meter.connections() >= 2);
}

#[tokio::test]
async fn each_visit_ends_with_the_proof_that_answers_are_in_step() {
    let meter = spoilt(0, |whole| vec![Act::Say(whole)], None).await;
    let names: Vec<u16> = meter.asked().iter().filter_map(|asked| name_of(&asked.apdu)).collect();
    let visits: Vec<&[u16]> = names.split_inclusive(|&name| name == ASSOCIATION_NAME).collect();
    assert!(visits.len() >= 2, "{names:04X?}");
    for visit in &visits {
        assert_eq!(visit.iter().filter(|&&name| name == IMPORT || name == EXPORT).count(), 2, "{names:04X?}");
    }
    assert_eq!((meter.connections(), meter.count(AARQ)), (1, 1));
}

#[tokio::test]
async fn a_meter_that_does_not_tell_the_name_of_its_association_proves_it_by_its_release() {
    let meter = Scripted::start(|asked: &Asked| match name_of(&asked.apdu) {
        Some(ASSOCIATION_NAME) => vec![Act::Say(vec![READ_RESPONSE, 1, 1, 3])],
        _ => vec![Act::Say(answer(&asked.apdu))],
    })
    .await;
    let broker = Mosquitto::start();
    let (gateway, live) = start(&broker, meter.port(), registers());
    let seen = live.until("cycles", |seen| snapshots(seen).len() >= 3).await;
    for snapshot in snapshots(&seen) {
        assert_true(&snapshot);
        assert_eq!(snapshot["status"], "ok", "{snapshot}");
    }
    assert!(meter.count(RLRQ) >= 2, "one a visit");
    assert_eq!(meter.connections(), 1, "the connection is kept");
    gateway.stop().await;
}

#[tokio::test]
async fn values_by_short_name_alone_and_classes_from_the_object_list() {
    let meter = Scripted::start(|asked: &Asked| vec![Act::Say(answer(&asked.apdu))]).await;
    let broker = Mosquitto::start();
    let values = json!([
        {"name": "by_name", "short_name": 0x1000, "class": "register"},
        {"name": "classless", "short_name": 0x1100},
        {"name": "by_obis", "obis": "1.0.1.8.0.255"},
        {"name": "unlisted", "short_name": 0x5000, "class": "register"},
        {"name": "rows", "short_name": 0x1300, "class": "profile_generic", "entries": 1},
    ]);
    let (gateway, live) = start(&broker, meter.port(), values);
    let seen = live.until("cycles", |seen| snapshots(seen).len() >= 2).await;
    let snapshot = &snapshots(&seen)[0];
    assert_eq!(snapshot["status"], "partial", "{snapshot}");
    let values = &snapshot["values"];
    for (name, value, obis, short_name) in [
        ("by_name", 111, "1-0:1.8.0*255", json!(0x1000)),
        // Its class is the default, data; the object list knows that it is a register, with a unit.
        ("classless", 222, "1-0:2.8.0*255", json!(0x1100)),
        ("by_obis", 111, "1-0:1.8.0*255", Value::Null),
    ] {
        let entry = &values[name];
        assert_eq!((&entry["value"], &entry["unit"]), (&json!(value), &json!("Wh")), "{name}: {snapshot}");
        assert_eq!((&entry["obis"], &entry["short_name"]), (&json!(obis), &short_name), "{name}: {snapshot}");
    }
    assert_eq!((&values["unlisted"]["value"], &values["unlisted"]["obis"]), (&Value::Null, &Value::Null));
    assert_eq!(snapshot["errors"]["unlisted"]["code"], "OBJECT_UNDEFINED");
    let profile = &snapshot["profiles"]["rows"];
    assert_eq!((&profile["obis"], &profile["rows"]), (&json!("1-0:99.1.0*255"), &json!(1)), "{snapshot}");
    let topic = topic("devices/m/profiles/rows");
    let rows = live.until("rows", |seen| seen.iter().any(|message| message.topic == topic)).await;
    let rows = rows.iter().find(|message| message.topic == topic).expect("rows").json();
    assert_eq!(rows["obis"], "1-0:99.1.0*255", "{rows}");
    assert_eq!(rows["rows"][0][1], 55, "{rows}");
    gateway.stop().await;
}

const MANY: u16 = 40;
const FIRST: u16 = 0x2000;

/// Registers with 0, 1, 2 … of Wh, at names 0x40 apart; its association has no name that it tells.
fn many(apdu: &[u8]) -> Vec<u8> {
    let data = match name_of(apdu) {
        Some(ASSOCIATION_NAME) => return vec![READ_RESPONSE, 1, 1, 3],
        Some(0xFA08) => {
            let objects = (0..MANY).flat_map(|n| object(FIRST + n * 0x40, 3, [1, 0, 1, 8, n as u8, 255]));
            [1, MANY as u8].into_iter().chain(objects).collect()
        }
        Some(name @ FIRST..0x3000) => match name % 0x40 {
            0x08 => vec![6, 0, 0, 0, ((name - FIRST) / 0x40) as u8],
            0x10 => vec![2, 2, 0x0F, 0, 0x16, 30],
            _ => return vec![READ_RESPONSE, 1, 1, 4],
        },
        _ => return answer(apdu),
    };
    [&[READ_RESPONSE, 1, 0][..], &data].concat()
}

/// `scan --values` at a meter, as a person runs it.
async fn scan_values(port: u16) -> std::process::Output {
    let folder = tempfile::tempdir().expect("a folder");
    let config = json!({
        "gateway": "g", "mqtt": {"url": "mqtt://localhost"}, "state_dir": folder.path().join("state"),
        "connections": [{"name": "c", "host": "127.0.0.1", "port": port}],
        "devices": [{"name": "m", "connection": "c", "interface": "wrapper", "logical_name_referencing": false}],
    });
    let file = folder.path().join("config.json");
    std::fs::write(&file, config.to_string()).expect("a file");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"));
    command.args(["scan", "--device", "m", "--values", "--config"]).arg(&file);
    tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("no panic")
}

#[tokio::test]
async fn a_scan_reads_on_where_only_the_release_proves_anything() {
    let meter = Scripted::start(|asked: &Asked| vec![Act::Say(many(&asked.apdu))]).await;
    let output = scan_values(meter.port()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let objects: Vec<Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(objects.len(), usize::from(MANY));
    for (n, object) in objects.iter().enumerate() {
        assert_eq!(object["reading"]["value"]["value"], json!(n), "{object}");
    }
    assert_eq!((meter.count(AARQ), meter.count(RLRQ)), (1, 1));
}

#[tokio::test]
async fn a_scan_shows_no_value_that_is_not_proven() {
    let meter = Scripted::start(|asked: &Asked| {
        let whole = many(&asked.apdu);
        let is_repeated = name_of(&asked.apdu) == Some(FIRST + 17 * 0x40 + 8);
        if is_repeated { vec![Act::Say(whole.clone()), Act::Say(whole)] } else { vec![Act::Say(whole)] }
    })
    .await;
    let output = scan_values(meter.port()).await;
    assert!(!output.status.success());
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(shown.lines().count(), usize::from(MANY));
    assert!(!shown.contains("\"reading\""), "{shown}");
}
