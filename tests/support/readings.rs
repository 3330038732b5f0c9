//! Numbers of the peer meter, configured as values, and what a snapshot must say of them.

use serde_json::{Value, json};

use super::mosquitto::{Message, Subscriber};
use super::peer_meter::PeerMeter;
use super::site::topic;

/// Values of one meter and their numbers.
pub(crate) struct Readings {
    pub(crate) values: Value,
    numbers: Vec<(String, f64)>,
}

impl Readings {
    /// Every register, and every data object with a number.
    pub(crate) fn of(meter: &PeerMeter) -> Self {
        let mut values = Vec::new();
        let mut numbers = Vec::new();
        for (class, obis, attributes) in meter.objects() {
            let kind = match class {
                1 => "data",
                3 => "register",
                _ => continue,
            };
            let find = |id: i8| attributes.iter().find(|attribute| attribute.attribute == id);
            let Some(number) = find(2).filter(|found| !found.dynamic).and_then(|found| {
                let is_enum = found.value["t"] == "enum" || found.value["t"] == "bcd";
                found.value["v"].as_f64().filter(|_| !is_enum)
            }) else {
                continue;
            };
            let scaler = find(3).and_then(|found| found.value["v"][0]["v"].as_i64()).unwrap_or(0);
            let name = format!("v{}", numbers.len());
            values.push(json!({ "name": name, "obis": obis, "class": kind }));
            numbers.push((name, number * 10_f64.powi(i32::try_from(scaler).expect("a scaler"))));
        }
        assert!(numbers.len() >= 20, "only {} numbers", numbers.len());
        Self { values: values.into(), numbers }
    }

    /// Whether a snapshot holds every value as the meter has it.
    pub(crate) fn assert_all_in(&self, snapshot: &Value) {
        assert_eq!(snapshot["status"], "ok", "{snapshot}");
        for (name, number) in &self.numbers {
            let found = &snapshot["values"][name];
            assert_eq!(found["quality"], "good", "{name}: {found}");
            let value = found["value"].as_f64().unwrap_or_else(|| panic!("{name} is {found}"));
            let slack = number.abs() * 1e-12;
            assert!((value - number).abs() <= slack, "{name} is {value}, not {number}");
        }
    }
}

/// The snapshots of a device's group so far, oldest first.
pub(crate) fn snapshots(messages: &[Message], device: &str, group: &str) -> Vec<Value> {
    let topic = topic(&format!("devices/{device}/groups/{group}"));
    messages.iter().filter(|message| message.topic == topic).map(Message::json).collect()
}

/// The next snapshot of the group `g` of a device, beyond those that were there, of which `wanted` holds.
pub(crate) async fn next_snapshot(live: &Subscriber, device: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let had = snapshots(&live.messages(), device, "g").len();
    let new =
        |messages: &[Message]| snapshots(messages, device, "g").into_iter().skip(had).find(|it| wanted(it));
    let messages = live.until(&format!("snapshot of {device}"), |messages| new(messages).is_some()).await;
    new(&messages).expect("it was there")
}

/// The next snapshot without errors.
pub(crate) async fn next_good(live: &Subscriber, device: &str) -> Value {
    next_snapshot(live, device, |snapshot| snapshot["status"] == "ok").await
}

/// The next snapshot in which all failed, and with which code.
pub(crate) async fn next_failure(live: &Subscriber, device: &str) -> String {
    let failed = next_snapshot(live, device, |snapshot| snapshot["status"] == "failed").await;
    failed["error"]["code"].as_str().unwrap_or_else(|| panic!("no code in {failed}")).to_owned()
}
