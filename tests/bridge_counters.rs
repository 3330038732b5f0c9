//! Invocation counters that a meter refuses in the middle of a visit: raised once, told of, and nothing lost by it.

mod support;

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use dlms2mqtt::bridge::config::load_text;
use dlms2mqtt::bridge::config::tree::Format;
use dlms2mqtt::bridge::link::meter::{Counters, Meter};
use dlms2mqtt::bridge::link::open::open_link;
use dlms2mqtt::client::FileCounterStore;
use dlms2mqtt::security::{CounterId, SystemTitle};
use serde_json::{Value, json};
use support::mosquitto::{Message, Mosquitto, Subscriber};
use support::peer_mode::{BLOCK_CIPHER_KEY, Mode, OWN_TITLE, PLAIN, key};
use support::scripted::{AARQ, Act, Asked, ENERGY, Scripted, wrapped};
use support::site::{Gateway, Site, topic};

const GLO_GET: u8 = 0xC8;
const PUBLIC_CLIENT: u16 = 16;
const CIPHERED: Mode = Mode { authentication: "gmac", security: "authencr", ..PLAIN };

/// A meter that passes everything on to another one, and its answers back as `answer` says: it gets the request and
/// what the other meter answers. Without an answer it hangs up.
async fn relay(
    to: u16,
    answer: impl Fn(&Asked, Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> Scripted {
    let streams: Mutex<HashMap<usize, TcpStream>> = Mutex::default();
    Scripted::start(move |asked| {
        let mut streams = streams.lock().expect("no panic");
        let stream = streams
            .entry(asked.connection)
            .or_insert_with(|| TcpStream::connect(("127.0.0.1", to)).expect("the meter listens"));
        stream.write_all(&wrapped(asked.client, asked.server, &asked.apdu)).expect("the meter listens");
        let mut header = [0; 8];
        stream.read_exact(&mut header).expect("the meter answers");
        let mut apdu = vec![0; usize::from(u16::from_be_bytes([header[6], header[7]]))];
        stream.read_exact(&mut apdu).expect("the meter answers");
        vec![answer(asked, apdu).map_or(Act::Close, Act::Say)]
    })
    .await
}

/// Another client with the same keys and title: the meter sees its counter, far above the gateway's.
async fn intrude(port: u16, counter: u32) {
    let state = tempfile::tempdir().expect("a folder");
    let store = FileCounterStore::open(state.path()).expect("a folder");
    let id = CounterId::sending(&key(BLOCK_CIPHER_KEY), SystemTitle(OWN_TITLE));
    store.raise(&id, counter).expect("written");
    let config = CIPHERED.configuration(port, state.path()).to_string();
    let config = load_text(&config, Format::Json, Path::new("")).expect("valid").config;
    let device = Arc::new(config.devices.values().next().expect("a device").clone());
    let connection = Arc::new(config.connections.values().next().expect("a connection").clone());
    let mut driver = open_link(&connection, device.interface).await.expect("the port is open");
    let mut meter = Meter::new(device, connection, Counters::File(store)).expect("a meter");
    meter.associate(&mut driver).await.expect("the meter takes a higher counter");
    meter.leave(&mut driver).await;
}

/// A gateway that reads two values of the meter at `port` each second.
struct Yard {
    _broker: Mosquitto,
    live: Subscriber,
    site: Site,
    gateway: Gateway,
}

impl Yard {
    /// With a connection for each cycle, or one that is kept with its association.
    fn start(port: u16, connection: &Value) -> Self {
        let broker = Mosquitto::start();
        let live = broker.subscribe("dlms/g/#");
        let mut site = Site::new(&broker.url());
        let mode = CIPHERED.configuration(port, Path::new("/"));
        for list in ["connections", "devices"] {
            site.config[list] = mode[list].clone();
        }
        site.config["connections"][0]["persistent"] = connection["persistent"].clone();
        let values = json!([
            {"name": "energy", "obis": ENERGY, "class": "register"},
            {"name": "time", "obis": "0.0.1.0.0.255", "class": "clock"},
        ]);
        let site = site.group("g", &["meter"], values, json!({}));
        let gateway = site.start();
        Self { _broker: broker, live, site, gateway }
    }

    /// Waits until so many cycles with this outcome were published.
    async fn cycles(&self, status: &str, count: usize) -> Vec<Message> {
        let enough = |seen: &[Message]| outcomes(seen).iter().filter(|seen| *seen == status).count() >= count;
        self.live.until(&format!("{count} cycles {status}"), enough).await
    }
}

fn outcomes(messages: &[Message]) -> Vec<Value> {
    let topic = topic("devices/meter/groups/g");
    let snapshots = messages.iter().filter(|message| message.topic == topic);
    snapshots.map(|message| message.json()["status"].clone()).collect()
}

/// The `counter_resynced` events: their severity and data.
fn resyncs(messages: &[Message]) -> Vec<(Value, Value)> {
    let topic = topic("devices/meter/event");
    let events = messages.iter().filter(|message| message.topic == topic).map(Message::json);
    let resyncs = events.filter(|event| event["type"] == "counter_resynced");
    resyncs.map(|event| (event["severity"].clone(), event["data"].clone())).collect()
}

/// How many associations clients other than the public one asked for.
fn associations(meter: &Scripted) -> usize {
    let of_ours = |asked: &&Asked| asked.client != PUBLIC_CLIENT && asked.apdu.first() == Some(&AARQ);
    meter.asked().iter().filter(of_ours).count()
}

/// The meter's counter jumps while the gateway's association is open; its refusals pass through `refusal`.
async fn is_raised_within_the_visit(
    refusal: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
    reason: &str,
) {
    let Some(peer) = CIPHERED.start(1) else { return };
    let meter =
        relay(peer.port(), move |_, apdu| Some(if apdu[0] == 0xD8 { refusal(apdu) } else { apdu })).await;
    let yard = Yard::start(meter.port(), &json!({"persistent": true}));
    let before = outcomes(&yard.cycles("ok", 2).await).len();
    assert_eq!(
        (associations(&meter), resyncs(&yard.live.messages()).len()),
        (1, 0),
        "the first reading is none"
    );

    intrude(peer.port(), 100_000).await;
    let seen = yard.cycles("ok", before + 3).await;
    assert!(outcomes(&seen).iter().all(|outcome| outcome == "ok"), "no cycle failed: {:?}", outcomes(&seen));
    let [(severity, data)] = resyncs(&seen).try_into().expect("told once");
    assert_eq!(severity, "warning");
    let (ours, next) = (data["before"].as_u64().expect("a number"), data["next"].as_u64().expect("a number"));
    assert!(ours < 100_000 && next > 100_000, "{data}");
    assert!(data["reason"].as_str().is_some_and(|text| text.contains(reason)), "{data}");
    assert_eq!(associations(&meter), 2, "one more association");
    yard.gateway.stop().await;
}

#[tokio::test]
async fn a_counter_that_the_refusal_names_is_used_in_the_same_visit() {
    is_raised_within_the_visit(|refusal| refusal, "named the one").await;
}

#[tokio::test]
async fn a_counter_that_the_refusal_keeps_silent_about_is_read_through_the_public_client() {
    // service-unknown, invocation-counter-error, and no counter behind it.
    is_raised_within_the_visit(|_| vec![0xD8, 0x02, 0x06], "public client").await;
}

#[tokio::test]
async fn a_counter_that_would_use_up_ours_is_not_believed_of_a_refusal() {
    // A forged refusal. The meter itself is asked.
    is_raised_within_the_visit(
        |_| [&[0xD8, 0x02, 0x06][..], &(u32::MAX - 1).to_be_bytes()].concat(),
        "public client",
    )
    .await;
}

#[tokio::test]
async fn a_counter_that_would_use_up_ours_is_not_believed_of_a_reading_either() {
    const GET: u8 = 0xC0;
    let Some(peer) = CIPHERED.start(1) else { return };
    let forges = Arc::new(AtomicBool::new(false));
    let is_forging = Arc::clone(&forges);
    let meter = relay(peer.port(), move |asked, apdu| {
        let mad = 0xFFFF_0000_u32.to_be_bytes();
        Some(match asked.apdu[0] {
            _ if !is_forging.load(Ordering::SeqCst) => apdu,
            GLO_GET => [&[0xD8, 0x02, 0x06][..], &mad].concat(),
            GET if asked.client == PUBLIC_CLIENT => {
                [&[0xC4, 0x01, asked.apdu[2], 0x00, 0x06][..], &mad].concat()
            }
            _ => apdu,
        })
    })
    .await;
    let yard = Yard::start(meter.port(), &json!({"persistent": true}));
    yard.cycles("ok", 1).await;
    forges.store(true, Ordering::SeqCst);
    let seen = yard.cycles("failed", 1).await;
    let snapshots = topic("devices/meter/groups/g");
    let mut failed = seen.iter().filter(|message| message.topic == snapshots).map(Message::json);
    let failed = failed.rfind(|snapshot| snapshot["status"] == "failed").expect("one");
    assert_eq!(failed["error"]["code"], "CIPHER_IC", "{failed}");
    assert!(failed["error"]["hint"].as_str().is_some_and(|hint| hint.contains("new keys")), "{failed}");
    assert_eq!(resyncs(&seen), []);
    yard.gateway.stop().await;
    let store = FileCounterStore::open(&yard.site.path().join("state")).expect("a folder");
    let id = CounterId::sending(&key(BLOCK_CIPHER_KEY), SystemTitle(OWN_TITLE));
    let limit = store.limit(&id).expect("readable").expect("used");
    assert!(limit < 1_000_000, "{limit}");
}

#[tokio::test]
async fn a_meter_that_hangs_up_at_a_low_counter_is_asked_for_its_own() {
    let Some(peer) = CIPHERED.start(1) else { return };
    let meter = relay(peer.port(), |_, apdu| (apdu[0] != 0xD8).then_some(apdu)).await;
    let yard = Yard::start(meter.port(), &json!({"persistent": false}));
    let before = outcomes(&yard.cycles("ok", 2).await).len();
    intrude(peer.port(), 100_000).await;
    yard.live.until("counter_resynced", |seen| resyncs(seen).len() == 1).await;
    let seen = yard.cycles("ok", before + 2).await;
    let [(_, data)] = resyncs(&seen).try_into().expect("told once");
    assert!(data["next"].as_u64().is_some_and(|next| next > 100_000), "{data}");
    assert!(data["reason"].as_str().is_some_and(|text| text.contains("did not answer")), "{data}");
    yard.gateway.stop().await;
}

#[tokio::test]
async fn a_second_refusal_in_the_same_visit_is_a_failure() {
    let Some(peer) = CIPHERED.start(1) else { return };
    let refuses = Arc::new(AtomicBool::new(false));
    let (is_refusing, refusals) = (Arc::clone(&refuses), AtomicU32::new(1));
    let meter = relay(peer.port(), move |asked, apdu| {
        if asked.apdu[0] != GLO_GET || !is_refusing.load(Ordering::SeqCst) {
            return Some(apdu);
        }
        // Each refusal demands more than the one before.
        let demanded = 1_000_000 * refusals.fetch_add(1, Ordering::SeqCst);
        Some([&[0xD8, 0x01, 0x06][..], &demanded.to_be_bytes()].concat())
    })
    .await;
    let yard = Yard::start(meter.port(), &json!({"persistent": true}));
    yard.cycles("ok", 1).await;
    refuses.store(true, Ordering::SeqCst);
    let seen = yard.cycles("failed", 3).await;
    let snapshots = topic("devices/meter/groups/g");
    let failed: Vec<Value> = seen
        .iter()
        .filter(|message| message.topic == snapshots)
        .map(Message::json)
        .filter(|snapshot| snapshot["status"] == "failed")
        .collect();
    for snapshot in &failed {
        assert_eq!(snapshot["error"]["code"], "CIPHER_IC", "{snapshot}");
    }
    assert_eq!(resyncs(&seen).len(), 1, "raised once");
    assert_eq!(associations(&meter), 2, "the meter is left alone after the second refusal");
    yard.gateway.stop().await;
}
