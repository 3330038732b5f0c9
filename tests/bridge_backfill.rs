//! Rows that were missed while the gateway was away: told, read in slices behind everything else, each published.

mod support;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dlms2mqtt::wire::data::Data;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use support::mosquitto::{Message, Mosquitto, PATIENCE, Subscriber};
use support::peer_meter::PeerMeter;
use support::scripted::{AARQ, Act, Asked, GET, Scripted, accepted, answer};
use support::site::{Gateway, Site, topic};

const PROFILE: [u8; 8] = [0, 7, 1, 0, 99, 1, 0, 255];
const QUARTER: i64 = 900;
/// 1 June 2024.
const FIRST: i64 = 1_717_200_000;

/// A meter with a load profile in quarters of an hour, counted from the first.
struct Recorder {
    newest: AtomicI64,
    oldest: AtomicI64,
    /// Range requests that are still answered; then there is silence.
    patience: AtomicUsize,
    selects: AtomicBool,
    /// Ranges are denied.
    denies: AtomicBool,
    answer_time: Duration,
}

impl Recorder {
    fn new() -> Self {
        Self {
            newest: AtomicI64::new(10),
            oldest: AtomicI64::new(0),
            patience: AtomicUsize::new(usize::MAX),
            selects: AtomicBool::new(true),
            denies: AtomicBool::new(false),
            answer_time: Duration::ZERO,
        }
    }

    async fn start(self) -> (Arc<Self>, Scripted) {
        let recorder = Arc::new(self);
        let script = Arc::clone(&recorder);
        let meter = Scripted::start(move |asked| script.answer(asked)).await;
        (recorder, meter)
    }

    fn answer(&self, asked: &Asked) -> Vec<Act> {
        let apdu = &asked.apdu;
        if apdu[0] == AARQ {
            let mut aare = accepted();
            // Selective access, beside GET.
            let conformance = aare.len() - 5;
            aare[conformance] |= 0x04;
            return vec![Act::Say(aare)];
        }
        if apdu[0] != GET || apdu[3..11] != PROFILE {
            return vec![Act::Say(answer(apdu))];
        }
        let (oldest, newest) = (self.oldest.load(Ordering::SeqCst), self.newest.load(Ordering::SeqCst));
        let data = match (apdu[11], is_selected(apdu)) {
            (2, None) => rows(oldest..=newest),
            (2, Some(_)) if !self.selects.load(Ordering::SeqCst) => {
                return vec![Act::Say(vec![0xC4, 0x01, apdu[2], 0x01, 12])];
            }
            (2, Some(Selection::Entries(from, to))) => rows(oldest + from - 1..=oldest + to - 1),
            (2, Some(Selection::Range(..))) if self.denies.load(Ordering::SeqCst) => {
                return vec![Act::Say(vec![0xC4, 0x01, apdu[2], 0x01, 11])];
            }
            (2, Some(Selection::Range(from, to))) => {
                let left = |left: usize| left.checked_sub(1);
                if self.patience.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_err() {
                    return vec![];
                }
                rows(from.max(oldest)..=to.min(newest))
            }
            (3, _) => columns(),
            (4, _) => Data::DoubleLongUnsigned(u32::try_from(QUARTER).expect("short")),
            (5, _) => Data::Enum(1),
            (7, _) => Data::DoubleLongUnsigned(u32::try_from(newest - oldest + 1).expect("few")),
            _ => return vec![Act::Say(answer(apdu))],
        };
        let said = [&[0xC4, 0x01, apdu[2], 0x00], &data.to_bytes()[..]].concat();
        let is_range = matches!(is_selected(apdu), Some(Selection::Range(..)));
        let time = if is_range { self.answer_time } else { Duration::ZERO };
        vec![Act::Pause(time), Act::Say(said)]
    }
}

enum Selection {
    Entries(i64, i64),
    /// Quarters.
    Range(i64, i64),
}

fn is_selected(apdu: &[u8]) -> Option<Selection> {
    let (selector, parameters) = apdu.get(12..)?.strip_prefix(&[1])?.split_first()?;
    let Data::Structure(parameters) = Data::from_bytes(parameters).expect("parameters") else {
        panic!("a structure")
    };
    Some(match (selector, parameters.as_slice()) {
        (2, [Data::DoubleLongUnsigned(from), Data::DoubleLongUnsigned(to), ..]) => {
            Selection::Entries((*from).into(), (*to).into())
        }
        (1, [_, from, to, _]) => {
            let seconds =
                |bound: &Data| bound.date_time().expect("a time").local_millis().expect("complete") / 1000;
            let quarter = |seconds: i64| seconds.div_euclid(QUARTER);
            // Rows on the bounds are included, those before them are not.
            Selection::Range(quarter(seconds(from) - FIRST + QUARTER - 1), quarter(seconds(to) - FIRST))
        }
        other => panic!("{other:?}"),
    })
}

fn asks_for_rows(asked: &Asked) -> bool {
    asked.apdu[0] == GET && asked.apdu[3..12] == [&PROFILE[..], &[2]].concat()
}

fn columns() -> Data {
    let column = |class, obis: [u8; 6]| {
        let obis = Data::OctetString(obis.to_vec());
        Data::Structure(vec![Data::LongUnsigned(class), obis, Data::Integer(2), Data::LongUnsigned(0)])
    };
    Data::Array(vec![column(8, [0, 0, 1, 0, 0, 255]), column(3, [1, 0, 1, 8, 0, 255])])
}

fn rows(quarters: std::ops::RangeInclusive<i64>) -> Data {
    Data::Array(
        quarters
            .map(|quarter| {
                let time = time_of(quarter).to_zoned(TimeZone::UTC).datetime();
                let octet = |number: i8| u8::try_from(number).expect("positive");
                let [high, low] = time.year().to_be_bytes();
                let date = [high, low, octet(time.month()), octet(time.day()), 0xFF];
                let clock = [octet(time.hour()), octet(time.minute()), 0, 0, 0, 0, 0];
                let energy = u32::try_from(quarter).expect("positive");
                let clock = Data::OctetString([&date[..], &clock[..]].concat());
                Data::Structure(vec![clock, Data::DoubleLongUnsigned(energy)])
            })
            .collect(),
    )
}

fn time_of(quarter: i64) -> Timestamp {
    Timestamp::from_second(FIRST + quarter * QUARTER).expect("a time")
}

fn text_of(quarter: i64) -> String {
    format!("{}+00:00", time_of(quarter).to_zoned(TimeZone::UTC).datetime())
}

/// A gateway that reads the newest two rows each second.
struct Yard {
    broker: Mosquitto,
    live: Subscriber,
    site: Site,
}

impl Yard {
    fn new(port: u16, value: &Value) -> Self {
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/#");
        let mut lp =
            json!({"name": "lp", "obis": "1.0.99.1.0.255", "class": "profile_generic", "entries": 2});
        lp.as_object_mut().expect("a value").extend(value.as_object().expect("keys").clone());
        let site = Site::new(&broker.url())
            .connection("c", port, json!({"persistent": true}))
            // A time-out on a busy machine would put the fill off for a minute.
            .device("m", "c", json!({"interface": "wrapper", "timeout": "15s"}))
            .group("g", &["m"], json!([lp]), json!({}));
        Self { broker, live, site }
    }

    /// Publishes what there is at first, and stops.
    async fn read_once(&self) {
        let gateway = self.site.start();
        self.live.until("live rows", |seen| !quarters(seen, "live").is_empty()).await;
        gateway.stop().await;
        assert_eq!(gaps(&self.live.messages()), Vec::<Value>::new(), "the first rows ever leave no gap");
    }

    /// Waits until the position on disk is past this slice, counted from 0, of the first gap.
    async fn reached(&self, slice: i64) {
        let ms = (FIRST + (10 + 96 * (slice + 1)) * QUARTER) * 1000;
        let file = self.site.path().join("state/profiles/m.lp");
        let position = || serde_json::from_slice::<Value>(&std::fs::read(&file).ok()?).ok();
        let has_reached = |it: Value| it["track"]["gaps"][0]["reached"]["local_ms"].as_i64() >= Some(ms);
        let begun = Instant::now();
        while !position().is_some_and(has_reached) {
            assert!(begun.elapsed() < PATIENCE, "the position is not written: {:?}", position());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn filled(&self) -> (Vec<Message>, Value) {
        let seen = self.live.until("gap_filled", |seen| events(seen, "gap_filled").len() == 1).await;
        let [filled] = events(&seen, "gap_filled").try_into().expect("one");
        (seen, filled)
    }
}

fn events(messages: &[Message], kind: &str) -> Vec<Value> {
    let topic = topic("devices/m/event");
    let events = messages.iter().filter(|message| message.topic == topic).map(Message::json);
    events.filter(|event| event["type"] == kind).collect()
}

fn gaps(messages: &[Message]) -> Vec<Value> {
    [events(messages, "gap_opened"), events(messages, "gap_filled")].concat()
}

fn batches(messages: &[Message], mode: &str) -> Vec<Value> {
    let topic = topic("devices/m/profiles/lp");
    let batches = messages.iter().filter(|message| message.topic == topic).map(Message::json);
    batches.filter(|batch| batch["mode"] == mode).collect()
}

/// The rows of these batches, as the quarters that their energy names. Their times must be those.
fn quarters(messages: &[Message], mode: &str) -> Vec<i64> {
    let batches = batches(messages, mode);
    let rows = batches.iter().flat_map(|batch| batch["rows"].as_array().expect("rows").clone());
    rows.map(|row| {
        let quarter = row[1].as_i64().expect("a number");
        assert_eq!(row[0], text_of(quarter), "{row}");
        quarter
    })
    .collect()
}

fn span(event: &Value) -> (&Value, &Value) {
    (&event["data"]["from"], &event["data"]["to"])
}

#[tokio::test]
async fn rows_that_were_missed_are_read_when_the_gateway_is_back() {
    let (recorder, meter) = Recorder::new().start().await;
    let yard = Yard::new(meter.port(), &json!({}));
    yard.read_once().await;
    recorder.newest.store(500, Ordering::SeqCst);
    let gateway = yard.site.start();
    let (seen, filled) = yard.filled().await;
    let [opened] = events(&seen, "gap_opened").try_into().expect("told once");
    assert_eq!(span(&opened), (&json!(text_of(10)), &json!(text_of(499))));
    assert_eq!((&opened["severity"], &opened["data"]["profile"]), (&json!("warning"), &json!("lp")));
    assert!(opened["data"]["reason"].is_string(), "{opened}");
    assert_eq!(span(&filled), span(&opened));
    assert_eq!((&filled["severity"], &filled["data"]["rows"]), (&json!("info"), &json!(488)));
    assert_eq!(filled["data"]["reason"], Value::Null, "{filled}");
    assert_eq!(quarters(&seen, "backfill"), (11..=498).collect::<Vec<_>>(), "each once, in order");
    let batches = batches(&seen, "backfill");
    assert!(batches.len() >= 5 && batches.iter().all(|batch| batch["gaps"] == json!([])), "in slices");
    gateway.stop().await;
}

#[tokio::test]
async fn a_fill_goes_on_after_a_kill() {
    let (recorder, meter) = Recorder::new().start().await;
    let yard = Yard::new(meter.port(), &json!({}));
    yard.read_once().await;
    recorder.newest.store(500, Ordering::SeqCst);
    recorder.patience.store(2, Ordering::SeqCst);
    let mut gateway = yard.site.program("run").stderr(Stdio::null()).spawn().expect("the program starts");
    yard.live.until("two slices", |seen| batches(seen, "backfill").len() == 2).await;
    yard.reached(1).await;
    // Without ceremony, while the third is waited for or was given up for now.
    gateway.kill().expect("it runs");
    gateway.wait().expect("it ends");
    recorder.patience.store(usize::MAX, Ordering::SeqCst);
    let gateway = yard.site.start();
    let (seen, filled) = yard.filled().await;
    assert_eq!(events(&seen, "gap_opened").len(), 1, "told once");
    assert_eq!(span(&filled), (&json!(text_of(10)), &json!(text_of(499))));
    let filled = quarters(&seen, "backfill");
    assert_eq!(filled.iter().copied().collect::<BTreeSet<_>>(), (11..=498).collect());
    assert!(filled.len() <= 488 + 96, "at most one slice comes twice: {}", filled.len());
    gateway.stop().await;
}

#[tokio::test]
async fn rows_that_the_broker_never_confirmed_are_read_again_after_a_kill() {
    let (recorder, meter) = Recorder::new().start().await;
    let mut yard = Yard::new(meter.port(), &json!({}));
    yard.site.config["outbox"] = json!({"durability": "memory"});
    yard.read_once().await;
    let mut gateway = yard.site.program("run").stderr(Stdio::null()).spawn().expect("the program starts");
    yard.live.until("live rows", |seen| batches(seen, "live").len() >= 3).await;
    yard.broker.kill();
    recorder.newest.store(500, Ordering::SeqCst);
    let polls = || meter.asked().iter().filter(|asked| asks_for_rows(asked)).count();
    // All is published as far as the links know, and waits for the broker.
    let (before, begun) = (polls(), Instant::now());
    while polls() < before + 10 {
        assert!(begun.elapsed() < PATIENCE, "the meter is not polled");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gateway.kill().expect("it runs");
    gateway.wait().expect("it ends");
    yard.broker.restart();
    yard.live = yard.broker.subscribe("dlms/g/#");
    let gateway = yard.site.start();
    let (seen, filled) = yard.filled().await;
    assert_eq!(span(&filled), (&json!(text_of(10)), &json!(text_of(499))));
    assert_eq!(quarters(&seen, "backfill"), (11..=498).collect::<Vec<_>>());
    gateway.stop().await;
}

#[tokio::test]
async fn a_gap_is_not_filled_at_the_cost_of_what_waits_for_the_broker() {
    let (recorder, meter) = Recorder::new().start().await;
    let mut yard = Yard::new(meter.port(), &json!({}));
    yard.site.config["outbox"] = json!({"durability": "memory", "max_bytes": "256KiB"});
    yard.read_once().await;
    yard.broker.kill();
    // Far more than the outbox holds.
    recorder.newest.store(20_000, Ordering::SeqCst);
    let gateway = yard.site.start();
    let asked = |is_range: bool| {
        let asked = meter.asked();
        let selections =
            asked.iter().filter(|asked| asks_for_rows(asked)).map(|asked| is_selected(&asked.apdu));
        selections.filter(|selection| matches!(selection, Some(Selection::Range(..))) == is_range).count()
    };
    let polled = async |more: usize| {
        let (before, begun) = (asked(false), Instant::now());
        while asked(false) < before + more {
            assert!(begun.elapsed() < PATIENCE, "the meter is not polled");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    polled(8).await;
    let slices = asked(true);
    assert!(slices > 5, "there was room: {slices}");
    polled(4).await;
    assert_eq!(asked(true), slices, "there is none any more");
    yard.broker.restart();
    yard.live = yard.broker.subscribe("dlms/g/#");
    let (seen, filled) = yard.filled().await;
    assert_eq!((&filled["data"]["rows"], &filled["data"]["reason"]), (&json!(19_988), &Value::Null));
    let health = seen.iter().rfind(|message| message.topic == topic("bridge/health")).expect("the health");
    assert_eq!(health.json()["outbox"]["dropped"], 0, "nothing was lost");
    gateway.stop().await;
}

#[tokio::test]
async fn rows_that_the_meter_has_no_more_are_told() {
    let (recorder, meter) = Recorder::new().start().await;
    let yard = Yard::new(meter.port(), &json!({}));
    yard.read_once().await;
    recorder.newest.store(500, Ordering::SeqCst);
    recorder.oldest.store(450, Ordering::SeqCst);
    let gateway = yard.site.start();
    let (seen, filled) = yard.filled().await;
    assert_eq!(quarters(&seen, "backfill"), (450..=498).collect::<Vec<_>>());
    assert_eq!((&filled["severity"], &filled["data"]["rows"]), (&json!("warning"), &json!(49)));
    assert!(filled["data"]["reason"].as_str().is_some_and(|text| text.contains("no rows")), "{filled}");
    let holes: Vec<Value> = batches(&seen, "backfill")
        .iter()
        .flat_map(|batch| batch["gaps"].as_array().expect("gaps").clone())
        .collect();
    let [hole] = holes.try_into().expect("one");
    assert_eq!((&hole["from"], &hole["to"]), (&json!(text_of(10)), &json!(text_of(450))));
    gateway.stop().await;
}

#[tokio::test]
async fn a_meter_that_denies_the_rows_closes_the_gap() {
    let (recorder, meter) = Recorder::new().start().await;
    recorder.denies.store(true, Ordering::SeqCst);
    let yard = Yard::new(meter.port(), &json!({}));
    yard.read_once().await;
    recorder.newest.store(500, Ordering::SeqCst);
    let gateway = yard.site.start();
    let (seen, filled) = yard.filled().await;
    assert_eq!((&filled["severity"], &filled["code"]), (&json!("warning"), &json!("OBJECT_UNAVAILABLE")));
    assert_eq!(filled["data"]["rows"], 0);
    assert!(filled["data"]["reason"].as_str().is_some_and(|text| !text.is_empty()), "{filled}");
    assert_eq!(batches(&seen, "backfill"), Vec::<Value>::new());
    gateway.stop().await;
}

#[tokio::test]
async fn a_meter_that_selects_nothing_fills_a_gap_too() {
    let (recorder, meter) = Recorder::new().start().await;
    recorder.selects.store(false, Ordering::SeqCst);
    let yard = Yard::new(meter.port(), &json!({}));
    yard.read_once().await;
    recorder.newest.store(500, Ordering::SeqCst);
    let gateway = yard.site.start();
    let (seen, filled) = yard.filled().await;
    assert_eq!(filled["data"]["rows"], 488);
    assert_eq!(quarters(&seen, "backfill"), (11..=498).collect::<Vec<_>>());
    assert_eq!(
        batches(&seen, "backfill").len(),
        2,
        "the rest at once, when it is clear that there is no choice"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn polls_go_on_while_a_gap_is_filled() {
    let slow = Recorder { answer_time: Duration::from_millis(400), ..Recorder::new() };
    let (recorder, meter) = slow.start().await;
    let yard = Yard::new(meter.port(), &json!({}));
    yard.read_once().await;
    recorder.newest.store(1500, Ordering::SeqCst);
    let gateway = yard.site.start();
    yard.filled().await;
    let asked: Vec<Option<Selection>> = meter
        .asked()
        .iter()
        .filter(|asked| asks_for_rows(asked))
        .map(|asked| is_selected(&asked.apdu))
        .collect();
    let is_slice = |selection: &Option<Selection>| matches!(selection, Some(Selection::Range(..)));
    let begin = asked.iter().position(is_slice).expect("slices");
    let end = asked.iter().rposition(is_slice).expect("slices");
    let polls = asked[begin..end].iter().filter(|selection| !is_slice(selection)).count();
    assert!(end - begin >= 15 && polls >= 4, "{polls} polls in {} requests", end - begin);
    gateway.stop().await;
}

#[tokio::test]
async fn an_incremental_profile_has_each_row_once() {
    let (recorder, meter) = Recorder::new().start().await;
    // Not wanted in the first reading nor later: the number of rows.
    let mut yard = Yard::new(meter.port(), &json!({"capture": "incremental", "backfill": false}));
    let value = yard.site.config["groups"][0]["values"][0].as_object_mut().expect("a value");
    value.remove("entries");
    yard.read_once().await;
    let gateway = yard.site.start();
    for newest in [12, 15] {
        recorder.newest.store(newest, Ordering::SeqCst);
        yard.live.until("new rows", |seen| quarters(seen, "live").last() == Some(&newest)).await;
    }
    gateway.stop().await;
    recorder.newest.store(80, Ordering::SeqCst);
    let gateway = yard.site.start();
    yard.live.until("new rows", |seen| quarters(seen, "live").last() == Some(&80)).await;
    gateway.stop().await;
    assert_eq!(quarters(&yard.live.messages(), "live"), (0..=80).collect::<Vec<_>>());
    assert_eq!(gaps(&yard.live.messages()), Vec::<Value>::new());
}

#[tokio::test]
async fn an_incremental_profile_with_a_limit_leaves_the_rest_to_the_back_fill() {
    let (recorder, meter) = Recorder::new().start().await;
    let yard = Yard::new(meter.port(), &json!({"capture": "incremental", "entries": 5}));
    yard.read_once().await;
    recorder.newest.store(500, Ordering::SeqCst);
    let gateway = yard.site.start();
    let (seen, filled) = yard.filled().await;
    assert_eq!(filled["data"]["rows"], 485);
    let all = [quarters(&seen, "live"), quarters(&seen, "backfill")].concat();
    assert_eq!(all.len(), 495, "each once");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (6..=500).collect());
    gateway.stop().await;
}

#[tokio::test]
async fn of_a_window_with_a_limit_the_newest_rows_are_read() {
    let (_, meter) = Recorder::new().start().await;
    let yard = Yard::new(meter.port(), &json!({"from": text_of(4), "to": text_of(9), "entries": 3}));
    yard.read_once().await;
    let messages = yard.live.messages();
    assert_eq!(batches(&messages, "live")[0]["rows"].as_array().expect("rows").len(), 3);
    assert_eq!(quarters(&messages, "live")[..3], [7, 8, 9]);
}

#[tokio::test]
async fn what_shall_not_be_filled_is_not() {
    let (recorder, meter) = Recorder::new().start().await;
    let yard = Yard::new(meter.port(), &json!({"backfill": false}));
    yard.read_once().await;
    recorder.newest.store(500, Ordering::SeqCst);
    let gateway: Gateway = yard.site.start();
    yard.live.until("live rows", |seen| quarters(seen, "live").contains(&500)).await;
    gateway.stop().await;
    let seen = yard.live.messages();
    assert_eq!((gaps(&seen).len(), batches(&seen, "backfill").len()), (0, 0));
}

/// The same at a meter of other hands: the rows of a range are those that it has.
#[tokio::test]
async fn an_independent_meter_gives_the_rows_that_were_missed() {
    let Some(peer) = PeerMeter::start(&["--interface", "wrapper"], 1) else { return };
    let buffer = peer.attribute(7, "1.0.99.1.0.255", 2);
    let hex = buffer.hex.expect("readable");
    let octets: Vec<u8> = (0..hex.len() / 2)
        .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).expect("hexadecimal"))
        .collect();
    let Ok(Data::Array(rows)) = Data::from_bytes(&octets) else { panic!("a buffer") };
    let yard = Yard::new(peer.port(), &json!({}));
    let gateway = yard.site.start();
    let live = |seen: &[Message]| batches(seen, "live").len() >= 2;
    yard.live.until("live rows", live).await;
    gateway.stop().await;

    // As though the gateway had gone away after the eleventh row.
    let file = yard.site.path().join("state/profiles/m.lp");
    let mut track: Value = serde_json::from_slice(&std::fs::read(&file).expect("a track")).expect("JSON");
    let Data::Structure(cells) = &rows[10] else { panic!("a row") };
    let local_ms = cells[0].date_time().expect("a time").local_millis().expect("complete");
    let newest = &mut track["track"]["newest"];
    let passed = newest["local_ms"].as_i64().expect("a number") - local_ms;
    newest["local_ms"] = json!(local_ms);
    if let Some(utc) = newest["utc_ms"].as_i64() {
        newest["utc_ms"] = json!(utc - passed);
    }
    std::fs::write(&file, track.to_string()).expect("written");

    let gateway = yard.site.start();
    let (seen, filled) = yard.filled().await;
    let found: Vec<Value> = batches(&seen, "backfill")
        .iter()
        .flat_map(|batch| batch["rows"].as_array().expect("rows").clone())
        .collect();
    let missed = rows.len() - 13;
    assert_eq!((found.len(), &filled["data"]["rows"]), (missed, &json!(missed)));
    assert_eq!(filled["data"]["reason"], Value::Null, "{filled}");
    gateway.stop().await;
}
