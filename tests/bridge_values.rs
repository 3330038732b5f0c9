//! Every value of an independent meter, as a subscriber of a real broker receives it, against the meter's own account.

mod support;

use serde_json::{Map, Value, json};

use support::expected::{
    Published, Shape, attribute, is_gateway_time, member, obis_of, scaled_text, top, unit,
};
use support::mosquitto::{Message, Mosquitto};
use support::peer_meter::{Attribute, PeerMeter};
use support::site::{Site, topic};

/// What is configured, and the entry that the snapshot must have for it; `None` where the value changes by itself.
struct Case {
    value: Value,
    entry: Option<Value>,
    /// The value payload's `type`, for single attributes.
    data_type: Option<String>,
}

fn number_of(attribute: &Attribute) -> Option<i128> {
    attribute.value["v"].as_i64().map(Into::into).or_else(|| attribute.value["v"].as_u64().map(Into::into))
}

/// Scaler and unit code of an object, from its own scaler_unit.
fn scaler_unit(class: u16, attributes: &[Attribute]) -> Option<(i32, u64)> {
    let id = match class {
        3 | 4 => 3,
        5 => 4,
        _ => return None,
    };
    let found = attributes.iter().find(|attribute| attribute.attribute == id)?;
    let [scaler, unit] = found.value["v"].as_array()?.as_slice() else { return None };
    Some((i32::try_from(scaler["v"].as_i64()?).ok()?, unit["v"].as_u64()?))
}

/// What no double holds is beside the value as text.
fn value_str(value: &Value, text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
    let beyond = value.as_i64().is_some_and(|number| number.unsigned_abs() > 1 << 53)
        || value.as_u64().is_some_and(|number| number > 1 << 53);
    (significant > 15 || beyond).then(|| text.to_owned())
}

/// The object's own time: attribute and the classes that have one.
fn time_attribute(class: u16) -> Option<i8> {
    match class {
        4 => Some(5),
        5 => Some(6),
        8 => Some(2),
        _ => None,
    }
}

fn set_unit(entry: &mut Map<String, Value>, code: u64) {
    entry.insert("unit_code".into(), code.into());
    if let Some(unit) = unit(code) {
        entry.insert("unit".into(), unit.into());
    }
}

fn single_entry(attribute: &Attribute, shape: &Shape, scale: Option<(i32, u64)>) -> Map<String, Value> {
    let scale = scale.filter(|_| matches!(shape, Shape::Scaled));
    let Published { value, text, date_time } = top(&attribute.value, shape, scale.map_or(0, |scale| scale.0));
    let mut entry = Map::new();
    let is_number = value.is_number() && attribute.value["t"] != "enum";
    if is_number {
        let text = match number_of(attribute) {
            Some(number) => scaled_text(number, scale.map_or(0, |scale| scale.0)),
            None => value.to_string(),
        };
        if let Some(text) = value_str(&value, &text) {
            entry.insert("value_str".into(), text.into());
        }
    }
    if Some(attribute.attribute) == time_attribute(attribute.class) {
        entry.insert("meter_ts".into(), value.clone());
    }
    entry.insert("value".into(), value);
    for (key, text) in [("text", text), ("date_time", date_time)] {
        if let Some(text) = text {
            entry.insert(key.into(), text.into());
        }
    }
    if let Some((_, code)) = scale {
        set_unit(&mut entry, code);
    }
    entry.insert("quality".into(), "good".into());
    entry.insert("obis".into(), obis_of(&attribute.obis).into());
    entry
}

fn all_entry(class: u16, obis: &str, attributes: &[Attribute]) -> Map<String, Value> {
    let scale = scaler_unit(class, attributes);
    let mut members = Map::new();
    let mut entry = Map::new();
    for found in attributes {
        let (name, shape) = attribute(class, found.attribute);
        let before = members.len();
        member(&mut members, &name, &found.value, &shape, scale.map_or(0, |scale| scale.0));
        assert!(members.len() > before, "{name} stands twice");
        if Some(found.attribute) == time_attribute(class) {
            entry.insert("meter_ts".into(), members[&name].clone());
        }
    }
    entry.insert("value".into(), members.into());
    if let Some((_, code)) = scale {
        set_unit(&mut entry, code);
    }
    entry.insert("quality".into(), "good".into());
    entry.insert("obis".into(), obis_of(obis).into());
    entry
}

/// `attribute: n` of every attribute that may be read.
fn single_cases(meter: &PeerMeter) -> Vec<Case> {
    let mut cases = Vec::new();
    for (class, obis, attributes) in meter.objects() {
        let scale = scaler_unit(class, &attributes);
        let logical_name = meter.attribute(class, &obis, 1);
        for found in attributes.iter().chain([&logical_name]) {
            if (class, found.attribute) == (7, 2) {
                continue;
            }
            let name = format!("v{}", cases.len());
            let (_, shape) = attribute(class, found.attribute);
            cases.push(Case {
                value: json!({"name": name, "obis": obis, "class": class, "attribute": found.attribute}),
                entry: (!found.dynamic).then(|| single_entry(found, &shape, scale).into()),
                data_type: found.value["t"].as_str().map(str::to_owned),
            });
        }
    }
    cases
}

/// `attributes: all` of every object.
fn all_cases(meter: &PeerMeter) -> Vec<Case> {
    let mut cases = Vec::new();
    for (class, obis, attributes) in meter.objects() {
        // Of an object whose only attribute is denied nothing can be published; it has a test of its own.
        if attributes.is_empty() {
            continue;
        }
        let is_dynamic = attributes.iter().any(|attribute| attribute.dynamic);
        let name = format!("all{}", cases.len());
        cases.push(Case {
            value: json!({"name": name, "obis": obis, "class": class, "attributes": "all"}),
            entry: (!is_dynamic).then(|| all_entry(class, &obis, &attributes).into()),
            data_type: None,
        });
    }
    cases
}

/// No attribute named: what the class is usually read for.
fn usual_cases(meter: &PeerMeter) -> Vec<Case> {
    let mut cases = Vec::new();
    for (class, obis, attributes) in meter.objects() {
        if class == 7 || attributes.is_empty() {
            continue;
        }
        let found = |id: i8| attributes.iter().find(|attribute| attribute.attribute == id);
        let usual = |id: i8| {
            let (_, shape) = attribute(class, id);
            single_entry(found(id).expect("attribute"), &shape, scaler_unit(class, &attributes))
        };
        let entry = match class {
            1 | 3 | 8 => usual(2),
            4 | 5 => {
                let mut entry = usual(2);
                let status = if class == 4 { 4 } else { 5 };
                let time = time_attribute(class).expect("a time");
                entry.insert("status".into(), found(status).expect("status").value["v"].clone());
                entry.insert("meter_ts".into(), usual(time)["value"].clone());
                entry
            }
            // 07 075BCD15 08FD by 02 03 11 06 12, and the scalers of the captured registers.
            62 => {
                let mut entry = all_entry(class, &obis, &attributes);
                entry.insert("value".into(), json!([7, 123_456.789, 230.1]));
                entry
            }
            _ => all_entry(class, &obis, &attributes),
        };
        let is_dynamic = match class {
            1 | 3 | 8 => found(2).is_some_and(|attribute| attribute.dynamic),
            _ => attributes.iter().any(|attribute| attribute.dynamic),
        };
        let name = format!("usual{}", cases.len());
        cases.push(Case {
            value: json!({"name": name, "obis": obis, "class": class}),
            entry: (!is_dynamic).then(|| entry.into()),
            data_type: None,
        });
    }
    cases
}

fn has(topic: &str) -> impl Fn(&[Message]) -> bool + '_ {
    move |messages| messages.iter().any(|message| message.topic == topic)
}

/// Compares a snapshot with what it must hold; returns how many values were equal and how many only good.
fn compare(snapshot: &Value, cases: &[Case], place: &str) -> (usize, usize) {
    assert_eq!(snapshot["status"], "ok", "{place}: {}", snapshot["error"]);
    assert_eq!(snapshot["errors"], Value::Null, "{place}");
    let values = snapshot["values"].as_object().expect("values");
    assert_eq!(values.len(), cases.len(), "{place}");
    let (mut equal, mut good) = (0, 0);
    for Case { value, entry, .. } in cases {
        let found = &values[value["name"].as_str().expect("a name")];
        match entry {
            Some(entry) => {
                assert_eq!(found, entry, "{place}: {value}");
                equal += 1;
            }
            None => {
                assert_eq!(found["quality"], "good", "{place}: {value}");
                assert!(!found["value"].is_null(), "{place}: {value}");
                good += 1;
            }
        }
    }
    (equal, good)
}

fn configured(cases: &[Case]) -> Value {
    cases.iter().map(|case| case.value.clone()).collect()
}

async fn every_value(framing: &str, arguments: &[&str]) {
    let arguments = [&["--interface", framing], arguments].concat();
    let Some(meter) = PeerMeter::start(&arguments, 3) else { return };
    let (single, all, usual) = (single_cases(&meter), all_cases(&meter), usual_cases(&meter));
    assert_eq!((single.len(), all.len(), usual.len()), (306, 80, 78));
    let broker = Mosquitto::start();
    let live = broker.subscribe("dlms/g/#");
    let hourly = json!({"interval": 3600});
    let mut site = Site::new(&broker.url())
        .connection("c", meter.port(), json!({}))
        .device("m", "c", json!({"interface": framing, "timeout": "1s", "retries": 4}))
        .group("single", &["m"], configured(&single), hourly.clone())
        .group("all", &["m"], configured(&all), hourly.clone())
        .group("usual", &["m"], configured(&usual), hourly);
    site.config["mqtt"]["per_value_topics"] = true.into();
    let gateway = site.start();
    let last = topic("devices/m/status");
    let messages = live.until("status", has(&last)).await;
    let snapshot = |group: &str| {
        let topic = topic(&format!("devices/m/groups/{group}"));
        messages.iter().find(|message| message.topic == topic).expect("a snapshot")
    };
    let mut sum = (0, 0);
    for (group, cases) in [("single", &single), ("all", &all), ("usual", &usual)] {
        let message = snapshot(group);
        let (equal, good) = compare(&message.json(), cases, &format!("{framing} {group}"));
        sum = (sum.0 + equal, sum.1 + good);
    }
    println!("{framing} {arguments:?}: {} values equal, {} that change by themselves good", sum.0, sum.1);
    // The number as text keeps all its digits.
    assert!(snapshot("single").payload.contains(r#""value":123456.789,"#));
    assert!(snapshot("single").payload.contains(r#""value":18446744073709551615,"#));
    for Case { value, entry, data_type } in &single {
        let name = value["name"].as_str().expect("a name");
        let topic = topic(&format!("devices/m/values/{name}"));
        let found = messages.iter().find(|message| message.topic == topic).expect("a value");
        let payload = found.json();
        for (key, expected) in [
            ("v", json!(1)),
            ("gateway", json!("g")),
            ("device", json!("m")),
            ("serial", json!("42424242")),
            ("name", value["name"].clone()),
            ("class", value["class"].clone()),
            ("attribute", value["attribute"].clone()),
            ("obis", json!(obis_of(value["obis"].as_str().expect("obis")))),
            ("type", json!(data_type)),
            ("quality", json!("good")),
        ] {
            assert_eq!(payload[key], expected, "{framing}: {key} of {payload}");
        }
        assert!(is_gateway_time(&payload["ts"]) && payload["seq"].is_u64() && payload["poll_ms"].is_u64());
        for key in ["value", "value_str", "text", "unit", "unit_code", "meter_ts"] {
            if let Some(entry) = entry {
                assert_eq!(payload[key], entry[key], "{framing}: {key} of {payload}");
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn every_value_over_hdlc() {
    every_value("hdlc", &[]).await;
}

#[tokio::test]
async fn every_value_over_wrapper() {
    every_value("wrapper", &[]).await;
}

#[tokio::test]
async fn every_value_in_small_blocks_frames_and_chunks() {
    every_value("hdlc", &["--max-pdu", "128", "--hdlc-info", "62/62", "--corrupt-fcs-every", "300"]).await;
    every_value("wrapper", &["--block-size", "60", "--chunk", "7"]).await;
}

/// The rows that the payloads of one profile must hold, from the meter's own account of its buffer.
fn expected_rows(meter: &PeerMeter, obis: &str, scalers: &[i32]) -> Vec<Value> {
    let buffer = meter.attribute(7, obis, 2);
    let row = |row: &Value| -> Value {
        let cells = row["v"].as_array().expect("cells").iter().zip(scalers).enumerate();
        cells
            .map(|(column, (cell, scaler))| match column {
                0 => top(cell, &Shape::DateTime, 0).value,
                _ => top(cell, &Shape::Scaled, *scaler).value,
            })
            .collect()
    };
    buffer.value["v"].as_array().expect("rows").iter().map(row).collect()
}

/// All rows of a profile's messages, which must be whole and in order.
fn published_rows(messages: &[Message], name: &str, snapshot: &Value) -> Vec<Value> {
    let topic = topic(&format!("devices/m/profiles/{name}"));
    let batches: Vec<Value> =
        messages.iter().filter(|message| message.topic == topic).map(Message::json).collect();
    let mut rows = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        assert_eq!((&batch["batch"], &batch["last"]), (&json!(number), &json!(number + 1 == batches.len())));
        assert_eq!(
            (&batch["group"], &batch["profile"], &batch["mode"], &batch["gaps"], &batch["time_column"]),
            (&json!("g"), &json!(name), &json!("live"), &json!([]), &json!(0))
        );
        assert_eq!(batch["read_id"], snapshot["profiles"][name]["read_id"], "{name}");
        assert!(is_gateway_time(&batch["ts"]) && batch["seq"].is_u64());
        let of_batch = batch["rows"].as_array().expect("rows");
        assert!(of_batch.len() <= 500);
        rows.extend(of_batch.iter().cloned());
    }
    let entry = &snapshot["profiles"][name];
    assert_eq!(entry["rows"], rows.len(), "{name}");
    let time = |row: Option<&Value>| row.map_or(Value::Null, |row| row[0].clone());
    assert_eq!((&entry["first"], &entry["last"]), (&time(rows.first()), &time(rows.last())), "{name}");
    rows
}

#[tokio::test]
async fn rows_of_profiles_by_entries_by_time_and_in_batches() {
    for framing in ["hdlc", "wrapper"] {
        let arguments = ["--interface", framing, "--profile-rows", "1200", "--max-pdu", "2000"];
        let Some(meter) = PeerMeter::start(&arguments, 4) else { return };
        let load = "1.0.99.1.0.255";
        let values = json!([
            {"name": "newest", "obis": load, "class": "profile_generic", "entries": 5,
                "columns": {"1.0.1.8.0.255": "energy"}},
            {"name": "everything", "obis": load, "class": 7, "entries": 32767},
            {"name": "morning", "obis": load, "class": 7, "from": "2026-01-03T06:00:00", "to": "2026-01-03T07:00:00"},
            {"name": "events", "obis": "0.0.99.98.0.255", "class": 7, "attribute": 2, "entries": 100},
            {"name": "energy", "obis": "1.0.1.8.0.255", "class": 3},
        ]);
        let broker = Mosquitto::start();
        let live = broker.subscribe_with("dlms/g/#", &["-V", "mqttv5", "--retain-as-published"]);
        let gateway = Site::new(&broker.url())
            .connection("c", meter.port(), json!({}))
            .device("m", "c", json!({"interface": framing, "timeout": "10s"}))
            .group("g", &["m"], values, json!({"interval": 3600}))
            .start();
        let snapshot_topic = topic("devices/m/groups/g");
        let seen = live.until("a snapshot", has(&snapshot_topic)).await;
        let snapshot = seen.iter().find(|message| message.topic == snapshot_topic).unwrap().json();
        assert_eq!(snapshot["status"], "ok", "{snapshot}");
        assert_eq!(snapshot["values"].as_object().expect("values").len(), 1, "profiles are no values");

        let all = expected_rows(&meter, load, &[0, 0, -3, 0]);
        assert_eq!(all.len(), 1200);
        assert_eq!(published_rows(&seen, "everything", &snapshot), all, "{framing}");
        assert_eq!(published_rows(&seen, "newest", &snapshot), all[1195..], "{framing}");
        // Row n ends the quarter n + 1 after midnight of the first day: two days and six hours are 216 quarters.
        assert_eq!(published_rows(&seen, "morning", &snapshot), all[215..220], "{framing}");
        assert_eq!(
            published_rows(&seen, "events", &snapshot),
            expected_rows(&meter, "0.0.99.98.0.255", &[0, 0]),
            "{framing}"
        );
        let of = |name: &str| {
            let topic = topic(&format!("devices/m/profiles/{name}"));
            seen.iter().filter(|message| message.topic == topic).cloned().collect::<Vec<_>>()
        };
        assert_eq!(of("everything").len(), 3, "500 rows in each batch, and the rest");
        assert!(of("everything").iter().all(|message| !message.retain), "rows are never retained");
        let newest = of("newest")[0].json();
        assert_eq!((&newest["obis"], &newest["capture_period_s"]), (&json!("1-0:99.1.0*255"), &json!(900)));
        assert_eq!(
            newest["columns"],
            json!([
                {"name": "clock", "obis": "0-0:1.0.0*255", "class": 8, "attribute": 2, "index": 0, "type": "octet-string"},
                {"name": "0-0:96.10.1*255", "obis": "0-0:96.10.1*255", "class": 1, "attribute": 2, "index": 0, "type": "unsigned"},
                {"name": "energy", "obis": "1-0:1.8.0*255", "class": 3, "attribute": 2, "index": 0,
                    "type": "double-long-unsigned", "unit": "Wh", "unit_code": 30, "scaler": -3},
                {"name": "1-0:2.8.0*255", "obis": "1-0:2.8.0*255", "class": 3, "attribute": 2, "index": 0,
                    "type": "double-long-unsigned", "unit": "Wh", "unit_code": 30, "scaler": 0},
            ])
        );
        gateway.stop().await;
    }
}
