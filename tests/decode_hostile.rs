//! `dissect` under attack: noise and spoilt vectors never panic, and what comes out is bounded by what went in.

mod support;

use dlms2mqtt::dissect::{Settings, dissect_bytes, dissect_text};
use dlms2mqtt::security::{Key, SystemTitle};
use support::vectors::{to_hex, vectors};

/// Set `DLMS2MQTT_SEED` to walk other paths; a failure prints the input itself.
fn random() -> fastrand::Rng {
    let seed = std::env::var("DLMS2MQTT_SEED").map_or(0x0DEC_0DE5, |seed| seed.parse().expect("a number"));
    fastrand::Rng::with_seed(seed)
}

fn settings() -> Settings {
    Settings {
        key: Key::from_hex("000102030405060708090a0b0c0d0e0f").ok(),
        authentication_key: Key::from_hex("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf").ok(),
        system_title: SystemTitle::from_hex("4d4d4d0000bc614e").ok(),
        ..Settings::default()
    }
}

/// A node takes some hundred characters, and a byte some nodes at worst.
fn assert_bounded(input: usize, found: &dlms2mqtt::dissect::Dissection, what: &dyn Fn() -> String) {
    let output = serde_json::to_string(found).expect("JSON").len();
    assert!(output <= 4096 + 2048 * input, "{output} characters for {input} bytes: {}", what());
}

fn attack(bytes: &[u8]) {
    let shown = || to_hex(&bytes[..bytes.len().min(200)]);
    let outcome = std::panic::catch_unwind(|| dissect_bytes(bytes, settings()));
    let found = outcome.unwrap_or_else(|_| panic!("panics on {}", shown()));
    assert_bounded(bytes.len(), &found, &shown);
    // Every node lies within the bytes that it is of, where they are those of the frame.
    for frame in &found.frames {
        assert!(frame.node.length <= bytes.len(), "{}", shown());
    }
}

/// Every vector with bytes of its own, and every message of an exchange.
fn seeds() -> Vec<Vec<u8>> {
    let categories = ["hdlc", "wrapper", "association", "xdlms", "security", "data", "blocks", "mode_e"];
    let mut seeds = Vec::new();
    for vector in categories.into_iter().flat_map(vectors) {
        if vector.json["hex"].is_string() {
            seeds.push(vector.hex());
        } else if vector.json["exchange"].is_array() {
            let all: Vec<_> = vector.exchange().into_iter().map(|(_, bytes)| bytes).collect();
            seeds.push(all.concat());
            seeds.extend(all);
        }
    }
    seeds
}

fn spoilt(seed: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..=bytes.len());
        match random.u8(0..5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.u8(..)),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] = [0, 1, 0x7E, 0x7F, 0x80, 0x84, 0xFF][random.usize(0..7)],
            _ if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
            _ => bytes.push(random.u8(..)),
        }
    }
    bytes
}

#[test]
fn bytes() {
    let mut random = random();
    let seeds = seeds();
    assert!(seeds.len() > 350, "{}", seeds.len());
    for seed in &seeds {
        attack(seed);
        (0..seed.len()).step_by(3).for_each(|end| attack(&seed[..end]));
        (0..12).for_each(|_| attack(&spoilt(seed, &mut random)));
    }
    for _ in 0..4000 {
        let mut noise: Vec<u8> = (0..random.usize(0..120)).map(|_| random.u8(..)).collect();
        if let Some(first) = noise.first_mut() {
            *first = [0x7E, 0x00, 0x68, 0x60, 0x61, 0xC4, 0xDB, 0xE0, 0x0F, 0xDD, 0xDA, *first]
                [random.usize(0..12)];
        }
        attack(&noise);
    }
}

#[test]
fn nesting_and_counts() {
    // Structures without end, in an APDU and alone.
    attack(&[&[0xC4, 0x01, 0xC1, 0x00][..], &[0x02, 0x01].repeat(20_000)].concat());
    attack(&[0x02, 0x01].repeat(20_000));
    // Many values of one byte.
    attack(&[&[0xC4, 0x01, 0xC1, 0x00, 0x01, 0x82, 0x27, 0x10][..], &[0; 10_000]].concat());
    // A compact-array of nothing, a thousand times.
    attack(&[0x13, 0x02, 0x01, 0x01, 0xFF, 0xFF, 0x00, 0x00]);
    attack(&[&[0x13, 0x02, 0x02, 0x11, 0x01, 0x00, 0xFF, 0x00, 0x81, 0xC8][..], &[7; 200]].concat());
    // general-glo in general-glo, with a tag that is only checked: its content is in sight.
    let mut nested = vec![0xC0, 0x02, 0xC1, 0, 0, 0, 1];
    for _ in 0..40 {
        let mut outer = vec![0xDB, 0x08];
        outer.extend(b"MMM\0\0\0\0\x01");
        let length = u16::try_from(nested.len() + 17).expect("short");
        outer.push(0x82);
        outer.extend(length.to_be_bytes());
        outer.extend([0x10, 0, 0, 0, 1]);
        outer.extend(nested);
        outer.extend([0; 12]);
        nested = outer;
    }
    attack(&nested);
    // Blocks in blocks.
    let mut nested = vec![0xC0, 0x02, 0xC1, 0, 0, 0, 1];
    for _ in 0..40 {
        let length = u16::try_from(nested.len()).expect("short").to_be_bytes();
        nested = [&[0xE0, 0x80, 0, 1, 0, 0, 0x82][..], &length, &nested].concat();
    }
    attack(&nested);
}

/// What pastes are made of, and what they are spoilt with.
const PIECES: &[&str] = &[
    "7E A0 07 03 21 93 0F 01 7E",
    "7ea0",
    "C0 01 C1 00 08",
    "0x7e,",
    "0x",
    "TX:",
    "RX: ",
    "->",
    "12:34:56",
    "2024-01-31",
    "0000  ",
    "00000010: ",
    "|~...|",
    "b'\\x7e\\xa0",
    "'",
    "\"",
    "\\",
    "\n",
    "\r\n",
    "\t",
    "   ",
    ":",
    "-",
    "é",
    "€",
    "[",
    "{",
    "/ISK5\\2MT",
    "/?!",
    "0",
    "f",
    "dead beef",
    "99:99",
    "7E:A0:07",
    "31.12.2024 23:59:59,123",
    "E6E7",
    "0001000100100009",
];

#[test]
fn texts() {
    let mut random = random();
    for _ in 0..6000 {
        let text: String = (0..random.usize(1..25)).map(|_| PIECES[random.usize(0..PIECES.len())]).collect();
        let outcome = std::panic::catch_unwind(|| dissect_text(&text, settings()));
        let found = outcome.unwrap_or_else(|_| panic!("panics on {text:?}"));
        assert_bounded(text.len(), &found, &|| text.clone());
    }
}

#[test]
fn long_pastes_end() {
    // Lines none of which ends the APDU that the first begins.
    let endless = "C4 01 C1 00 09 84 00 FF FF FF\n".to_owned() + &"00 01 02 03\n".repeat(30_000);
    let found = dissect_text(&endless, Settings::default());
    assert!(found.errors > 0);
    let each = "C4 01 C1 00 09 84 00 FF FF FF\n".repeat(20_000);
    assert_eq!(dissect_text(&each, Settings::default()).frames.len(), 20_000);
}
