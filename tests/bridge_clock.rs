//! The meter's clock beside the gateway's: measured at every reading, and told of when it leaves its limit.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use support::mosquitto::{Message, Mosquitto, Subscriber};
use support::scripted::{Act, Asked, GET, Scripted, answer};
use support::site::{Gateway, Site, topic};

/// Measurements may be off by so much on a machine that is busy.
const TOLERANCE: f64 = 10.0;

/// What the meter's clock shows.
#[derive(Clone, Copy)]
enum Zone {
    /// UTC, and says so.
    Utc,
    /// The time of Vilnius, and does not say so.
    Vilnius,
}

/// A meter whose clock a test can set.
struct Clock {
    ahead_s: AtomicI64,
    status: AtomicU8,
}

async fn meter(clock: Arc<Clock>, zone: Zone) -> Scripted {
    Scripted::start(move |asked: &Asked| {
        let is_time = asked.apdu[0] == GET && asked.apdu[3..12] == [0, 8, 0, 0, 1, 0, 0, 255, 2];
        if !is_time {
            return vec![Act::Say(answer(&asked.apdu))];
        }
        let shown = Timestamp::now().as_second() + clock.ahead_s.load(Ordering::SeqCst);
        let shown = Timestamp::from_second(shown).expect("a time");
        let (local, deviation) = match zone {
            Zone::Utc => (shown.to_zoned(TimeZone::UTC).datetime(), [0, 0]),
            Zone::Vilnius => {
                (shown.to_zoned(TimeZone::get("Europe/Vilnius").expect("a zone")).datetime(), [0x80, 0])
            }
        };
        let status = clock.status.load(Ordering::SeqCst);
        let data = [&[0x09, 12][..], &date_time(local), &[0], &deviation, &[status]].concat();
        vec![Act::Say([&[0xC4, 0x01, asked.apdu[2], 0x00], &data[..]].concat())]
    })
    .await
}

/// Year to seconds of a COSEM date-time, weekday not specified.
fn date_time(local: DateTime) -> [u8; 8] {
    let octet = |number: i8| u8::try_from(number).expect("positive");
    let [high, low] = local.year().to_be_bytes();
    let (month, day) = (octet(local.month()), octet(local.day()));
    [high, low, month, day, 0xFF, octet(local.hour()), octet(local.minute()), octet(local.second())]
}

/// A gateway that reads the clock each second, in an association that it keeps.
struct Yard {
    clock: Arc<Clock>,
    _meter: Scripted,
    _broker: Mosquitto,
    live: Subscriber,
    _site: Site,
    gateway: Gateway,
}

impl Yard {
    async fn start(zone: Zone, mut device: Value) -> Self {
        let clock = Arc::new(Clock { ahead_s: AtomicI64::new(0), status: AtomicU8::new(0) });
        let meter = meter(Arc::clone(&clock), zone).await;
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/#");
        device["interface"] = json!("wrapper");
        let values = json!([{"name": "time", "obis": "0.0.1.0.0.255", "class": "clock"}]);
        let site = Site::new(&broker.url())
            .connection("c", meter.port(), json!({"persistent": true}))
            .device("m", "c", device)
            .group("g", &["m"], values, json!({}));
        let gateway = site.start();
        Self { clock, _meter: meter, _broker: broker, live, _site: site, gateway }
    }

    /// Sets the clock, and waits for a cycle that has read it.
    async fn show(&self, ahead_s: i64, status: u8) {
        self.clock.ahead_s.store(ahead_s, Ordering::SeqCst);
        self.clock.status.store(status, Ordering::SeqCst);
        let before = cycles(&self.live.messages());
        // The first of them may have been under way.
        self.live.until("cycles", |seen| cycles(seen) >= before + 2).await;
    }

    fn drifts(&self) -> Vec<Value> {
        let topic = topic("devices/m/event");
        let events = self.live.messages().into_iter().filter(|message| message.topic == topic);
        events.map(|message| message.json()).filter(|event| event["type"] == "clock_drift").collect()
    }
}

fn cycles(messages: &[Message]) -> usize {
    let topic = topic("devices/m/groups/g");
    messages.iter().filter(|message| message.topic == topic && message.json()["status"] == "ok").count()
}

#[track_caller]
fn assert_near(offset: &Value, seconds: f64) {
    let offset = offset.as_f64().expect("a number");
    assert!((offset - seconds).abs() < TOLERANCE, "{offset}");
}

#[tokio::test]
async fn a_clock_that_leaves_its_limit_is_told_of_once_and_so_is_its_return() {
    let yard = Yard::start(Zone::Utc, json!({})).await;
    yard.show(0, 0).await;
    assert_eq!(yard.drifts(), Vec::<Value>::new());
    yard.show(120, 0).await;
    let [beyond] = yard.drifts().try_into().expect("told once");
    assert_eq!((&beyond["severity"], &beyond["data"]["state"]), (&json!("warning"), &json!("beyond")));
    assert_eq!(beyond["data"]["limit_s"], 60);
    assert_near(&beyond["data"]["offset_s"], 120.0);
    assert!(beyond["data"]["measured_at"].is_string(), "{beyond}");
    let statuses = yard.live.of(&topic("devices/m/status"));
    let status = statuses.last().expect("a status").json();
    assert_near(&status["clock"]["offset_s"], 120.0);

    // Within the limit, and not by much.
    yard.show(45, 0).await;
    assert_eq!(yard.drifts().len(), 1);
    // Far off, and the meter says that its clock is invalid, doubtful or badly kept.
    for status in [0x01, 0x02, 0x08] {
        yard.show(0, status).await;
        assert_eq!(yard.drifts().len(), 1, "{status:#04x}");
    }
    yard.show(-5, 0x80).await;
    let [_, within] = yard.drifts().try_into().expect("told once more");
    assert_eq!((&within["severity"], &within["data"]["state"]), (&json!("info"), &json!("within")));
    assert_near(&within["data"]["offset_s"], -5.0);
    yard.gateway.stop().await;
}

#[tokio::test]
async fn a_clock_without_deviation_is_in_the_zone_of_its_device() {
    let device = json!({"time_zone": "Europe/Vilnius", "clock_drift_limit": "5m"});
    let yard = Yard::start(Zone::Vilnius, device).await;
    yard.show(200, 0).await;
    assert_eq!(yard.drifts(), Vec::<Value>::new());
    yard.show(-400, 0).await;
    let [beyond] = yard.drifts().try_into().expect("told once");
    assert_near(&beyond["data"]["offset_s"], -400.0);
    yard.gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_measured_or_shall_not_be_told_is_not() {
    for (zone, device) in [
        (Zone::Vilnius, json!({})),
        (Zone::Utc, json!({"clock_drift_limit": "off"})),
        (Zone::Utc, json!({"clock_drift_limit": 0})),
    ] {
        let yard = Yard::start(zone, device.clone()).await;
        yard.show(4000, 0).await;
        assert_eq!(yard.drifts(), Vec::<Value>::new(), "{device}");
        yard.gateway.stop().await;
    }
}
