//! What the demo shows: a table that updates on a terminal, one JSON object a line otherwise.

use std::collections::BTreeMap;
use std::io::{Write, stdout};

use serde::Deserialize;
use serde_json::value::RawValue;

/// The readings as a subscriber receives them.
#[derive(Debug)]
pub(super) struct View {
    port: u16,
    style: Style,
}

#[derive(Debug)]
enum Style {
    /// A line for each message.
    Lines,
    /// A row for each value.
    Table { rows: BTreeMap<(String, String), Row>, drawn: usize, messages: u64, is_stale: bool },
}

#[derive(Debug)]
struct Row {
    value: String,
    unit: String,
    quality: String,
    time: String,
}

#[derive(Deserialize)]
struct Snapshot<'a> {
    device: &'a str,
    ts: &'a str,
    #[serde(borrow)]
    values: BTreeMap<&'a str, Value<'a>>,
    #[serde(borrow, default)]
    profiles: BTreeMap<&'a str, Profile<'a>>,
}

#[derive(Deserialize)]
struct Value<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
    unit: Option<&'a str>,
    quality: &'a str,
}

#[derive(Deserialize)]
struct Profile<'a> {
    rows: u64,
    last: Option<&'a str>,
}

impl View {
    /// A view of the messages of the broker on `port`.
    pub(super) fn new(port: u16, is_terminal: bool) -> Self {
        let table = || Style::Table { rows: BTreeMap::new(), drawn: 0, messages: 0, is_stale: true };
        Self { port, style: if is_terminal { table() } else { Style::Lines } }
    }

    /// Says where to connect: with the table, or to stderr so that stdout is JSON alone.
    pub(super) fn begin(&self) {
        let port = self.port;
        let text = format!(
            "MQTT broker on 127.0.0.1:{port}; to see everything: mosquitto_sub -p {port} -v -t 'dlms/demo/#'"
        );
        match self.style {
            Style::Lines => eprintln!("{text}"),
            Style::Table { .. } => println!("{text}\nCtrl-C ends the demo.\n"),
        }
    }

    /// Takes a message.
    pub(super) fn take(&mut self, topic: &str, payload: &[u8]) {
        match &mut self.style {
            Style::Lines => {
                // A payload is one JSON object: it goes into the line as it came.
                let Ok(payload) = std::str::from_utf8(payload) else { return };
                let payload = if payload.is_empty() { "null" } else { payload };
                let line = format!("{{\"topic\":\"{topic}\",\"payload\":{payload}}}\n");
                // A reader that has seen enough closes the pipe; the demo ends by itself then.
                if stdout().write_all(line.as_bytes()).is_err() {
                    std::process::exit(0);
                }
            }
            Style::Table { rows, messages, is_stale, .. } => {
                *messages += 1;
                *is_stale = true;
                if !topic.contains("/groups/") {
                    return;
                }
                let Ok(snapshot) = serde_json::from_slice::<Snapshot<'_>>(payload) else { return };
                let time = snapshot.ts.get(11..19).unwrap_or(snapshot.ts).to_owned();
                let mut insert = |name: &str, value: String, unit: &str, quality: &str| {
                    let row =
                        Row { value, unit: unit.to_owned(), quality: quality.to_owned(), time: time.clone() };
                    rows.insert((snapshot.device.to_owned(), name.to_owned()), row);
                };
                for (name, value) in &snapshot.values {
                    let text = value.value.get().trim_matches('"').to_owned();
                    insert(name, text, value.unit.unwrap_or(""), value.quality);
                }
                for (name, profile) in &snapshot.profiles {
                    let last = profile.last.unwrap_or("-");
                    insert(name, format!("{} rows to {last}", profile.rows), "", "good");
                }
            }
        }
    }

    /// Draws the table again, if anything changed.
    pub(super) fn refresh(&mut self) {
        let Style::Table { rows, drawn, messages, is_stale } = &mut self.style else { return };
        if !std::mem::take(is_stale) || rows.is_empty() {
            return;
        }
        let mut out = String::new();
        if *drawn > 0 {
            out.push_str(&format!("\x1b[{drawn}A"));
        }
        let mut line = |text: String| {
            out.push_str(&text);
            out.push_str("\x1b[K\n");
        };
        line(format!(
            "{:<10} {:<14} {:>32} {:<6} {:<10} {}",
            "device", "value", "", "unit", "quality", "at (UTC)"
        ));
        for ((device, name), row) in rows.iter() {
            let Row { value, unit, quality, time } = row;
            line(format!("{device:<10} {name:<14} {value:>32} {unit:<6} {quality:<10} {time}"));
        }
        line(format!("{messages} messages received"));
        *drawn = rows.len() + 2;
        let mut stdout = stdout();
        let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    }

    /// Leaves the screen in order.
    pub(super) fn end(&mut self) {
        self.refresh();
    }
}
