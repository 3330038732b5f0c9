//! Hostile input on every test run: the bodies of the fuzz targets on seeded random bytes, on spoilt vectors, and on
//! inputs that broke other implementations.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate of its own for the fuzzer")]
mod properties;

use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Set `DLMS2MQTT_SEED` to walk other paths; a failure prints the input itself.
fn random() -> fastrand::Rng {
    let seed = std::env::var("DLMS2MQTT_SEED").map_or(0x444C_4D53, |seed| seed.parse().expect("a number"));
    fastrand::Rng::with_seed(seed)
}

/// What is allocated is counted for the whole process, so only one test may run at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn nothing_from_a_meter_panics_or_allocates_beyond_what_arrived() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut cases = monsters();
    let seeds = seeds();
    assert!(seeds.len() > 80, "only {} vectors found", seeds.len());
    let mut random = random();
    for seed in &seeds {
        cases.extend(spoilt(seed, &mut random));
    }
    cases.extend((0..40_000).map(|_| noise(&mut random)));
    cases.extend((0..10_000).map(|_| visit(&seeds, &mut random)));
    for (name, body) in properties::FROM_METERS {
        for case in &cases {
            attack(name, *body, case);
        }
    }
    println!("{} inputs on each of {} targets", cases.len(), properties::FROM_METERS.len());
}

fn attack(name: &str, body: properties::Body, bytes: &[u8]) {
    let head = || bytes.iter().take(200).map(|byte| format!("{byte:02x}")).collect::<String>();
    let region = Region::new(ALLOCATOR);
    let outcome = catch_unwind(AssertUnwindSafe(|| body(bytes)));
    let allocated = region.change().bytes_allocated;
    assert!(outcome.is_ok(), "{name} panics on {} bytes {}", bytes.len(), head());
    // A decoded value takes some 40 bytes a byte at worst; a round trip makes several, each grown by doubling.
    let allowance = 16_384 + 400 * bytes.len();
    assert!(allocated <= allowance, "{name} allocates {allocated} for {} bytes {}", bytes.len(), head());
}

#[test]
fn nothing_that_is_pasted_panics() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut random = random();
    let mut cases = monsters();
    for seed in &seeds() {
        cases.extend(spoilt(seed, &mut random).into_iter().take(3));
    }
    for case in &cases {
        properties::dissect(case);
    }
}

#[test]
fn no_configuration_panics_or_takes_for_ever() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut random = random();
    let mut cases: Vec<Vec<u8>> = configurations().into_iter().map(String::into_bytes).collect();
    for _ in 0..2_000 {
        cases.extend(spoilt(CONFIGURATION.as_bytes(), &mut random).pop());
    }
    for case in &cases {
        let started = Instant::now();
        properties::config(case);
        let head = String::from_utf8_lossy(case).chars().take(80).collect::<String>();
        assert!(started.elapsed() < Duration::from_secs(10), "{:?} for {head}", started.elapsed());
    }
}

const CONFIGURATION: &str = "\
gateway: plant
mqtt: { url: mqtt://localhost, password: { env: NO_SUCH_VARIABLE } }
connections:
  - { name: bus, type: tcp, host: 10.0.0.1, port: 4059, connect_timeout: 1m30s }
devices:
  - name: meter
    connection: bus
    interface: wrapper
    access_security: high_gmac
    transport_security: authentication_encryption
    authentication_key: D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF
    block_cipher_key: 000102030405060708090A0B0C0D0E0F
groups:
  - name: energy
    interval: 15m
    devices: [meter]
    values:
      - { name: import, obis: 1.0.1.8.0.255, class: register }
      - { name: profile, obis: 1-0:99.1.0*255, class: profile_generic, entries: 96 }
";

/// Aliases that multiply, nesting without end, problems by the thousand, numbers beyond every type.
fn configurations() -> Vec<String> {
    let bomb = (1..12).fold(String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"), |bomb, level| {
        let alias = format!("*a{},", level - 1);
        format!("{bomb}a{level}: &a{level} [{}]\n", alias.repeat(10))
    });
    let unknown = |count: usize| (0..count).map(|key| format!("\"k{key}\":0,")).collect::<String>();
    let groups =
        |count: usize| (0..count).map(|n| format!("{{\"name\":\"g{n}\",\"what\":1}},")).collect::<String>();
    vec![
        CONFIGURATION.to_owned(),
        bomb,
        "[".repeat(100_000),
        "{\"a\":".repeat(100_000),
        "- ".repeat(50_000),
        "groups: [".repeat(2_000),
        "&a [*a]".to_owned(),
        "gateway: &a { b: *a }".to_owned(),
        format!("{{{}\"gateway\":\"g\"}}", unknown(2_000)),
        format!("{{\"groups\":[{}{{}}]}}", groups(500)),
        format!("gateway: {}", "9".repeat(100_000)),
        "version: 1e999999999".to_owned(),
        "outbox: { max_bytes: 99999999999999999999TiB, max_age: 18446744073709551615d }".to_owned(),
        "groups: [{ name: g, interval: 4294967296, offset: -1 }]".to_owned(),
    ]
}

/// Nesting without end, counts that lie, lengths that overflow.
fn monsters() -> Vec<Vec<u8>> {
    let mut monsters = vec![
        Vec::new(),
        vec![0x01, 0x84, 0xFF, 0xFF, 0xFF, 0xFF],
        vec![0x01, 0x88, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        vec![0x09, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x00],
        vec![0x04, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x00],
        // A compact array of nulls: elements without width, and a count that only lies.
        vec![0x13, 0x00, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x00],
        vec![0x13, 0x01, 0xFF, 0xFF, 0x01, 0xFF, 0xFF, 0x01, 0xFF, 0xFF, 0x00, 0x01, 0x00],
        vec![0x13, 0x02, 0x84, 0xFF, 0xFF, 0xFF, 0xFF],
        vec![0xC4, 0x03, 0xC1, 0x84, 0xFF, 0xFF, 0xFF, 0xFF],
        vec![0xC0, 0x03, 0xC1, 0x84, 0xFF, 0xFF, 0xFF, 0xFF],
        vec![0xDB, 0x08, 1, 2, 3, 4, 5, 6, 7, 8, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0x30],
    ];
    for nest in
        [&[0x01, 0x01][..], &[0x02, 0x01], &[0x13, 0x02, 0x01], &[0x02, 0xFF], &[0x13, 0x01, 0x00, 0x01]]
    {
        monsters.push(nest.repeat(8_000));
        let get_response: Vec<u8> = [&[0xC4, 0x01, 0xC1, 0x00][..], &nest.repeat(8_000)].concat();
        monsters.push(get_response);
    }
    for tag in [0x60, 0x61, 0x62, 0x63, 0xBE, 0x1F, 0x7F] {
        monsters.push([tag, 0x80].repeat(2_000));
        monsters.push([tag, 0xFF].repeat(2_000));
    }
    monsters
}

/// Every `hex` of the vectors.
fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the vectors") {
        let text = std::fs::read_to_string(entry.expect("the vectors").path()).expect("text");
        collect(&serde_json::from_str(&text).expect("JSON"), &mut seeds);
    }
    seeds.sort();
    seeds.dedup();
    seeds
}

fn collect(json: &serde_json::Value, seeds: &mut Vec<Vec<u8>>) {
    match json {
        serde_json::Value::Object(fields) => {
            if let Some(hex) = fields.get("hex").and_then(|hex| hex.as_str()) {
                let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
                seeds.push((0..hex.len()).step_by(2).map(octet).collect());
            }
            fields.values().for_each(|value| collect(value, seeds));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, seeds)),
        _ => {}
    }
}

/// A good message cut short, with a bit flipped, with a length that lies, with bytes inserted.
fn spoilt(seed: &[u8], random: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let mut spoilt = vec![seed.to_vec()];
    for _ in 0..12 {
        let mut bytes = seed.to_vec();
        for _ in 0..random.usize(1..4) {
            if bytes.is_empty() {
                break;
            }
            let at = random.usize(..bytes.len());
            match random.u8(..5) {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << random.u8(..8),
                2 => bytes[at] = *random.choice([0x00, 0x01, 0x7F, 0x80, 0x81, 0xFF].iter()).expect("some"),
                3 => drop(bytes.splice(at..=at, [0x84, 0xFF, 0xFF, 0xFF, 0xFF])),
                _ => drop(bytes.splice(at..at, [random.u8(..)])),
            }
        }
        spoilt.push(bytes);
    }
    spoilt
}

/// A script for the session target: a meter that opens the link and then answers with APDUs out of place.
fn visit(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let choice = random.u8(..);
    let mut script = vec![choice];
    let mut deliver = |way: u8, piece: &[u8]| {
        let piece = &piece[..piece.len().min(255)];
        script.extend([u8::try_from(piece.len()).expect("short"), way]);
        script.extend_from_slice(piece);
    };
    let hdlc = choice & 1 == 0;
    if hdlc {
        deliver(1, &[0x73]);
    }
    for turn in 0..random.u8(1..6) {
        let apdu = &seeds[random.usize(..seeds.len())];
        // Information frames numbered as they should be, mostly.
        let control = (turn + 1) << 5 | 0x10 | turn << 1;
        let control = if random.u8(..8) == 0 { random.u8(..) } else { control };
        let header: &[u8] = if hdlc { &[control, 0xE6, 0xE7, 0x00] } else { &[] };
        deliver(random.u8(..16) | 1, &[header, apdu].concat());
    }
    script
}

/// Random bytes that begin as an APDU or a Data might.
fn noise(random: &mut fastrand::Rng) -> Vec<u8> {
    let tags =
        [0x00, 0x01, 0x02, 0x09, 0x13, 0x60, 0x61, 0xC0, 0xC4, 0xC7, 0xD8, 0x0E, 0xC8, 0xCC, 0xDB, 0x7E];
    let mut bytes: Vec<u8> = (0..random.usize(..60)).map(|_| random.u8(..)).collect();
    if let Some(first) = bytes.first_mut() {
        *first = *random.choice(tags.iter()).expect("some");
    }
    // Small numbers are likelier to be counts and choices that lead on.
    for byte in &mut bytes {
        if random.bool() {
            *byte &= 0x07;
        }
    }
    bytes
}
