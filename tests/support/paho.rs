//! Eclipse paho, a third-party MQTT client, in a process of its own: sends requests and collects what arrives.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::mosquitto::PATIENCE;
use super::python::python;

/// The client, ended on drop.
pub(crate) struct Paho {
    child: Child,
    input: Mutex<ChildStdin>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    base: String,
    transactions: AtomicU64,
    name: String,
}

#[derive(Default)]
struct Seen {
    messages: Vec<Arrived>,
    sent: usize,
    is_ready: bool,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) retain: bool,
    /// Correlation data in hexadecimal.
    pub(crate) correlation: Option<String>,
}

impl Arrived {
    /// The payload as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.payload)
            .unwrap_or_else(|error| panic!("{} is not JSON ({error}): {}", self.topic, self.payload))
    }
}

impl Paho {
    /// Connects with a version of MQTT (`5` or `3.1.1`) and subscribes to everything below `base`, and to `more`.
    pub(crate) fn start(port: u16, version: &str, base: &str, more: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/mqtt_client.py");
        let mut child = python(&script)
            .args(["--port", &port.to_string(), "--version", version, &format!("{base}/#")])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the paho client starts");
        let seen: Arc<(Mutex<Seen>, Condvar)> = Arc::default();
        let sink = Arc::clone(&seen);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).unwrap();
                let mut seen = sink.0.lock().unwrap();
                match line["topic"].as_str() {
                    Some(topic) => seen.messages.push(Arrived {
                        topic: topic.to_owned(),
                        payload: line["payload"].as_str().unwrap().to_owned(),
                        retain: line["retain"] == true,
                        correlation: line["correlation"].as_str().map(str::to_owned),
                    }),
                    None if line["ready"] == true => seen.is_ready = true,
                    None => seen.sent += 1,
                }
                sink.1.notify_all();
            }
        });
        let input = Mutex::new(child.stdin.take().unwrap());
        let name = format!("{version}-{port}");
        let paho = Self { child, input, seen, base: base.to_owned(), transactions: AtomicU64::new(0), name };
        paho.wait("subscription", |seen| seen.is_ready.then_some(()));
        paho
    }

    /// Publishes what `command` describes (see `tests/peers/mqtt_client.py`), and waits until the broker has it.
    pub(crate) fn publish(&self, command: &Value) {
        let mut input = self.input.lock().unwrap();
        let before = self.seen.0.lock().unwrap().sent;
        writeln!(input, "{command}").unwrap();
        input.flush().unwrap();
        self.wait("confirmation", |seen| (seen.sent > before).then_some(()));
    }

    /// Sends a request with a transaction of its own, and returns its final answer.
    pub(crate) fn request(&self, verb: &str, arguments: Value) -> Value {
        let transaction = self.send(verb, arguments);
        self.answer(verb, &transaction)
    }

    /// Sends a request; returns its transaction.
    pub(crate) fn send(&self, verb: &str, mut arguments: Value) -> String {
        let number = self.transactions.fetch_add(1, Ordering::Relaxed);
        let transaction = format!("{}-{number}", self.name);
        if arguments.get("transaction").is_none() {
            arguments["transaction"] = json!(transaction);
        }
        let transaction = arguments["transaction"].as_str().unwrap().to_owned();
        self.publish(&json!({
            "topic": format!("{}/bridge/request/{verb}", self.base),
            "payload": arguments.to_string(),
        }));
        transaction
    }

    /// Waits for the final answer to a transaction on the default response topic.
    pub(crate) fn answer(&self, verb: &str, transaction: &str) -> Value {
        let topic = format!("{}/bridge/response/{verb}", self.base);
        self.until(&format!("answer to {verb}"), |message| {
            if message.topic != topic {
                return None;
            }
            let json = message.json();
            (json["transaction"] == transaction && json["status"] != "accepted").then_some(json)
        })
    }

    /// All messages so far.
    pub(crate) fn messages(&self) -> Vec<Arrived> {
        self.seen.0.lock().unwrap().messages.clone()
    }

    /// All messages so far on a topic below the base.
    pub(crate) fn of(&self, topic: &str) -> Vec<Arrived> {
        let topic = format!("{}/{topic}", self.base);
        self.messages().into_iter().filter(|message| message.topic == topic).collect()
    }

    /// Waits for a message from which `find` makes something.
    pub(crate) fn until<T>(&self, what: &str, find: impl Fn(&Arrived) -> Option<T>) -> T {
        self.wait(what, |seen| seen.messages.iter().find_map(&find))
    }

    /// Waits for an event of the bridge.
    pub(crate) fn event(&self, kind: &str) -> Value {
        let topic = format!("{}/bridge/event", self.base);
        self.until(&format!("event {kind}"), |message| {
            (message.topic == topic).then(|| message.json()).filter(|json| json["type"] == kind)
        })
    }

    fn wait<T>(&self, what: &str, find: impl Fn(&Seen) -> Option<T>) -> T {
        let started = Instant::now();
        let mut seen = self.seen.0.lock().unwrap();
        loop {
            if let Some(found) = find(&seen) {
                return found;
            }
            if started.elapsed() > PATIENCE {
                let last: Vec<_> = seen.messages.iter().rev().take(12).collect();
                panic!("no {what}; the last messages were {last:#?}");
            }
            seen = self.seen.1.wait_timeout(seen, Duration::from_millis(100)).unwrap().0;
        }
    }
}

impl Drop for Paho {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
