//! Other people's clients read the simulated meter: every mode that their libraries have.
//!
//! The meter stands at one instant, so each answer is held against what the meter has, and against what the other
//! library made of the same bytes.

mod support;

use std::sync::Arc;

use dlms2mqtt::cosem::object_list::ObjectList;
use dlms2mqtt::security::{Key, Protection, SecuritySuite, SystemTitle};
use dlms2mqtt::sim::{
    Framing, HdlcConfig, MeterConfig, Preset, Secret, SecurityConfig, ServerSap, SimulatedMeter,
};
use dlms2mqtt::wire::acse::{Mechanism, Referencing};
use dlms2mqtt::wire::data::Data;
use dlms2mqtt::wire::hdlc::Parameters;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use support::peer_client::{Answer, Outcome, PeerClient};

use PeerClient::{DlmsCosem, Gurux};

const HDLC: Framing = Framing::Hdlc(HdlcConfig { parameters: DEFAULTS, address_size: None });
const DEFAULTS: Parameters = Parameters { max_info_tx: 128, max_info_rx: 128, window_tx: 1, window_rx: 1 };
const EVERYTHING: &[&str] = &["--classes", "all", "--entries", "3"];

#[tokio::test(flavor = "multi_thread")]
async fn every_preset_over_both_framings() {
    for preset in Preset::ALL {
        for (framing, name) in [(HDLC, "hdlc"), (Framing::Wrapper, "wrapper")] {
            let meter = serve(meter(preset, framing)).await;
            for client in [Gurux, DlmsCosem] {
                let answers = read(client, &meter, &["--interface", name]).await;
                whole(client, &answers, 36);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_values_are_those_of_the_meter() {
    let meter = serve(meter(Preset::Electricity, HDLC)).await;
    for client in [Gurux, DlmsCosem] {
        let answers = read(client, &meter, &["--interface", "hdlc"]).await;
        let value = |class, obis, attribute| found(&answers, class, obis, attribute);
        // 2026-03-15 13:07:09 in Vienna, an hour ahead of UTC.
        assert_eq!(value(8, "0.0.1.0.0.255", 2), json!("07ea030f070d070900ffc400"));
        assert_eq!(value(8, "0.0.1.0.0.255", 3), json!(-60));
        assert_eq!(value(1, "0.0.96.1.0.255", 2), json!(hex(b"20261103")));
        assert_eq!(value(1, "0.0.42.0.0.255", 2), json!(hex(b"SIM0000120261103")));
        assert_eq!(value(3, "1.0.1.8.0.255", 3), json!([0, 30]));
        let energy = |obis| value(3, obis, 2).as_i64().expect("a number");
        assert_eq!(energy("1.0.1.8.0.255"), energy("1.0.1.8.1.255") + energy("1.0.1.8.2.255"));
        let volts = value(3, "1.0.32.7.0.255", 2).as_i64().expect("a number");
        assert!((2200..2400).contains(&volts), "{volts} × 0.1 V");
        let rows = rows(&answers, "1.0.99.1.0.255");
        assert_eq!(rows.len(), 3);

        assert!(rows.windows(2).all(|two| two[0][2].as_i64() < two[1][2].as_i64()), "{rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords() {
    for (framing, name) in [(HDLC, "hdlc"), (Framing::Wrapper, "wrapper")] {
        let mut config = meter(Preset::Gas, framing);
        config.authentication = Mechanism::Low;
        config.client_address = 2;
        config.secret = Secret::new(b"Gurux\xFF");
        let meter = serve(config).await;
        let login =
            ["--interface", name, "--auth", "low", "--password", "0x4775727578ff", "--client-address", "2"];
        for client in [Gurux, DlmsCosem] {
            whole(client, &read(client, &meter, &login).await, 36);
        }
        let wrong = ["--interface", name, "--auth", "low", "--password", "Gurux", "--client-address", "2"];
        for client in [Gurux, DlmsCosem] {
            refused(client, &meter, &wrong).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn high_level_authentication() {
    let mechanisms = [
        ("high", Mechanism::High),
        ("md5", Mechanism::HighMd5),
        ("sha1", Mechanism::HighSha1),
        ("gmac", Mechanism::HighGmac),
        ("sha256", Mechanism::HighSha256),
    ];
    for (framing, interface) in [(HDLC, "hdlc"), (Framing::Wrapper, "wrapper")] {
        for (name, mechanism) in mechanisms {
            let mut config = secured(meter(Preset::Water, framing), Protection::None);
            config.authentication = mechanism;
            let meter = serve(config).await;
            let login =
                ["--interface", interface, "--auth", name, "--password", SECRET, "--client-address", "1"];
            whole(Gurux, &read(Gurux, &meter, &login).await, 36);
            if mechanism != Mechanism::HighGmac {
                let wrong = [
                    "--interface",
                    interface,
                    "--auth",
                    name,
                    "--password",
                    "0123456789abcdeF",
                    "--client-address",
                    "1",
                ];
                refused(Gurux, &meter, &wrong).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ciphers() {
    let securities = [
        ("auth", Protection::Authentication),
        ("encr", Protection::Encryption),
        ("authencr", Protection::AuthenticatedEncryption),
    ];
    for (framing, interface) in [(HDLC, "hdlc"), (Framing::Wrapper, "wrapper")] {
        for (name, protection) in securities {
            for (auth, mechanism) in [
                ("none", Mechanism::Lowest),
                ("low", Mechanism::Low),
                ("gmac", Mechanism::HighGmac),
                ("sha256", Mechanism::HighSha256),
            ] {
                let mut config = secured(meter(Preset::Electricity, framing), protection);
                config.authentication = mechanism;
                let meter = serve(config).await;
                let modes = [
                    "--interface",
                    interface,
                    "--auth",
                    auth,
                    "--security",
                    name,
                    "--password",
                    SECRET,
                    "--client-address",
                    "1",
                ];
                whole(Gurux, &read(Gurux, &meter, &modes).await, 120);
                // The other library knows no other protection and no SHA.
                let both =
                    protection == Protection::AuthenticatedEncryption && mechanism != Mechanism::HighSha256;
                if both {
                    let meter = serve(meter_again(&meter)).await;
                    whole(DlmsCosem, &read(DlmsCosem, &meter, &modes).await, 120);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dedicated_key() {
    let mut config = secured(meter(Preset::Water, HDLC), Protection::AuthenticatedEncryption);
    config.authentication = Mechanism::Low;
    let meter = serve(config).await;
    let key = ["--dedicated-key", "00112233445566778899aabbccddeeff", "--invocation-counter", "1000"];
    let modes = ["--auth", "low", "--security", "authencr", "--password", SECRET, "--client-address", "1"];
    whole(Gurux, &read(Gurux, &meter, &[&modes[..], &key].concat()).await, 36);
    let last = meter.meters()[0].model().client_counter();
    assert!(last < 1010, "the global key ciphers the association alone, not {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn short_names() {
    for (framing, interface) in [(HDLC, "hdlc"), (Framing::Wrapper, "wrapper")] {
        for (auth, mechanism) in [("none", Mechanism::Lowest), ("low", Mechanism::Low)] {
            let mut config = meter(Preset::Electricity, framing);
            config.referencing = Referencing::ShortName;
            config.authentication = mechanism;
            config.secret = Secret::new(SECRET.as_bytes());
            // The library fails on blocks of a Read.
            config.max_pdu = u16::MAX;
            let meter = serve(config).await;
            let modes =
                ["--interface", interface, "--referencing", "sn", "--auth", auth, "--password", SECRET];
            let answers = read(Gurux, &meter, &modes).await;
            let mut values = 0;
            for answer in &answers {
                match &answer.outcome {
                    Outcome::Data { hex, value } => agree(Gurux, answer, &decode(hex), value.as_ref()),
                    refused @ Outcome::Refused(_) => panic!("{answer:?}: {refused:?}"),
                }
                values += 1;
            }
            assert!(values > 140, "{values}");
            assert_eq!(found(&answers, 1, "0.0.96.1.0.255", 2), json!(hex(b"20261103")));
            assert_eq!(rows(&answers, "1.0.99.1.0.255").len(), 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_and_old_counters_are_refused() {
    let mut config = secured(meter(Preset::Water, Framing::Wrapper), Protection::AuthenticatedEncryption);
    config.authentication = Mechanism::HighGmac;
    let meter = serve(config).await;
    let modes =
        ["--interface", "wrapper", "--auth", "gmac", "--security", "authencr", "--client-address", "1"];
    let key = ["--ekey", "000102030405060708090a0b0c0d0eff"];
    refused(Gurux, &meter, &[&modes[..], &key].concat()).await;
    let counter = ["--invocation-counter", "1000"];
    whole(Gurux, &read(Gurux, &meter, &[&modes[..], &counter].concat()).await, 36);
    refused(Gurux, &meter, &[&modes[..], &counter].concat()).await;
    let last = meter.meters()[0].model().client_counter();
    assert!(last > 1030, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_client_reads_the_counter_alone() {
    let mut config = secured(meter(Preset::Electricity, HDLC), Protection::AuthenticatedEncryption);
    config.authentication = Mechanism::HighGmac;
    if let Some(security) = &mut config.security {
        security.client_counter = 4711;
    }
    let meter = serve(config).await;
    for client in [Gurux, DlmsCosem] {
        let answers = read(client, &meter, &["--interface", "hdlc", "--client-address", "16"]).await;
        assert_eq!(found(&answers, 1, "0.0.43.1.0.255", 2), json!(4711));
        assert!(!answers.iter().any(|answer| answer.class == 3), "no registers for the public");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_windows_and_small_blocks() {
    let parameters = Parameters { max_info_tx: 62, max_info_rx: 62, window_tx: 3, window_rx: 3 };
    for (physical, clients) in [("17", &[Gurux, DlmsCosem][..]), ("866", &[Gurux])] {
        let framing = Framing::Hdlc(HdlcConfig { parameters, address_size: None });
        let mut config = meter(Preset::Electricity, framing);
        config.max_pdu = 100;
        config.server_address = ServerSap { logical: 1, physical: physical.parse().ok() };
        let meter = serve(config).await;
        let address = ["--interface", "hdlc", "--server-address", "1", "--physical-address", physical];
        // The other library writes such an address in three octets, which is no address.
        for &client in clients {
            whole(client, &read(client, &meter, &address).await, 120);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_meters_behind_one_line() {
    let stations = [(Preset::Electricity, 17), (Preset::Gas, 18), (Preset::Heat, 19)];
    let configs = stations.map(|(preset, physical)| {
        let mut config = meter(preset, HDLC);
        config.serial_number = u32::from(physical);
        config.server_address = ServerSap { logical: 1, physical: Some(physical) };
        config
    });
    let line = SimulatedMeter::spawn_line("127.0.0.1:0", configs.to_vec()).await.expect("a port");
    for (_, physical) in stations {
        let physical_address = physical.to_string();
        let address =
            ["--interface", "hdlc", "--server-address", "1", "--physical-address", &physical_address];
        let answers = read(Gurux, &line, &address).await;
        assert_eq!(found(&answers, 1, "0.0.96.1.0.255", 2), json!(hex(format!("{physical:08}").as_bytes())));
    }
}

const SECRET: &str = "0123456789abcdef";

fn meter(preset: Preset, framing: Framing) -> MeterConfig {
    let mut config = MeterConfig::new(preset, 20_261_103, framing);
    let now: Timestamp = "2026-03-15T12:07:09Z".parse().expect("an instant");
    config.time = Arc::new(move || now);
    config.zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
    config
}

fn secured(mut config: MeterConfig, policy: Protection) -> MeterConfig {
    config.client_address = 1;
    config.secret = Secret::new(SECRET.as_bytes());
    config.security = Some(SecurityConfig {
        suite: SecuritySuite::Suite0,
        policy,
        system_title: SystemTitle(*b"SIM\0\0\0\0\x01"),
        block_cipher_key: Key::from_hex("000102030405060708090a0b0c0d0e0f").expect("a key"),
        authentication_key: Key::from_hex("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf").expect("a key"),
        client_counter: 0,
    });
    config
}

/// A meter like this one that has not seen any counter.
fn meter_again(meter: &SimulatedMeter) -> MeterConfig {
    meter.meters()[0].config().clone()
}

async fn serve(config: MeterConfig) -> SimulatedMeter {
    SimulatedMeter::spawn("127.0.0.1:0", config).await.expect("a port")
}

async fn read(client: PeerClient, meter: &SimulatedMeter, arguments: &[&str]) -> Vec<Answer> {
    let port = meter.address().port();
    let arguments: Vec<String> = arguments.iter().chain(EVERYTHING).map(ToString::to_string).collect();
    let reading = move || client.read(port, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(reading).await.expect("the session runs to its end")
}

/// The client must not get through.
async fn refused(client: PeerClient, meter: &SimulatedMeter, arguments: &[&str]) {
    let port = meter.address().port();
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let reading = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        std::panic::catch_unwind(|| client.read(port, &arguments)).is_ok()
    };
    let through = tokio::task::spawn_blocking(reading).await.expect("the client ends");
    assert!(!through, "{client:?} got through");
}

/// Every readable attribute of the object list was read, and what the library made of it is what we make of it.
fn whole(client: PeerClient, answers: &[Answer], at_least: usize) {
    let listing =
        answers.iter().find(|answer| answer.class == 15 && answer.attribute == 2).expect("an object list");
    let Outcome::Data { hex: listing, .. } = &listing.outcome else { panic!("{client:?}: {listing:?}") };
    let list = ObjectList::from_association_ln(&decode(listing), 1).expect("an object list");
    assert_eq!(list.skipped, 0);
    let mut read = 0;
    for object in &list.objects {
        let access = object.access.as_ref().expect("access rights");
        for attribute in &access.attributes {
            let answer = answers
                .iter()
                .find(|answer| {
                    answer.obis == object.obis.dotted().to_string() && answer.attribute == attribute.id
                })
                .unwrap_or_else(|| panic!("{client:?} did not read {object:?} {}", attribute.id));
            match (&answer.outcome, attribute.readable) {
                (Outcome::Data { hex, value }, true) => {
                    agree(client, answer, &decode(hex), value.as_ref());
                    read += 1;
                }
                (Outcome::Refused(_), false) => {}
                (outcome, readable) => panic!("{client:?}: {answer:?}: {outcome:?}, readable {readable}"),
            }
        }
    }
    assert!(read >= at_least, "{client:?} read only {read} attributes");
}

fn agree(client: PeerClient, answer: &Answer, ours: &Data, theirs: Option<&Value>) {
    // One library lacks a type, the other has no empty arrays.
    match theirs {
        None => assert_eq!((client, answer.class, answer.attribute), (DlmsCosem, 15, 5), "{answer:?}"),
        Some(Value::Null) => {
            assert!(matches!(ours, Data::Null) || *ours == Data::Array(vec![]), "{answer:?}");
        }
        Some(theirs) => assert_eq!(plain(ours), *theirs, "{client:?}: {answer:?}"),
    }
}

/// A value as the clients print it.
fn plain(data: &Data) -> Value {
    match data {
        Data::Null => Value::Null,
        Data::Array(elements) | Data::Structure(elements) => elements.iter().map(plain).collect(),
        Data::Boolean(value) => json!(value),
        Data::BitString(bits) => json!(bits.to_string()),
        Data::OctetString(octets) => json!(hex(octets)),
        Data::DoubleLong(value) => json!(value),
        Data::DoubleLongUnsigned(value) => json!(value),
        Data::Integer(value) => json!(value),
        Data::Long(value) => json!(value),
        Data::Unsigned(value) | Data::Enum(value) => json!(value),
        Data::LongUnsigned(value) => json!(value),
        other => panic!("no meter here has {other:?}"),
    }
}

fn found(answers: &[Answer], class: u16, obis: &str, attribute: i8) -> Value {
    let answer = answers
        .iter()
        .find(|answer| (answer.class, answer.obis.as_str(), answer.attribute) == (class, obis, attribute))
        .unwrap_or_else(|| panic!("{class} {obis} {attribute} was not read"));
    match &answer.outcome {
        Outcome::Data { value: Some(value), .. } => value.clone(),
        other => panic!("{class} {obis} {attribute}: {other:?}"),
    }
}

fn rows(answers: &[Answer], obis: &str) -> Vec<Value> {
    match found(answers, 7, obis, 2) {
        Value::Array(rows) => rows,
        other => panic!("{other}"),
    }
}

fn decode(text: &str) -> Data {
    let octets: Vec<u8> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal"))
        .collect();
    Data::from_bytes(&octets).expect("well-formed Data")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
