//! Configurations from whoever can write one: nothing panics, nothing hangs, and no secret is quoted.

use std::path::Path;
use std::time::{Duration, Instant};

use dlms2mqtt::bridge::config::load::{Problems, load_text, load_tree};
use dlms2mqtt::bridge::config::tree::Format;
use serde_json::{Value, json};

const EXAMPLE: &str = include_str!("../config.yaml.example");
/// Of one run; the same on every machine.
const SEED: u64 = 0x444C_4D53;
/// What a mutation may leave behind: single characters that mean something, and words that are keys elsewhere.
const CRUMBS: &[&str] = &[
    "\n",
    " ",
    "\t",
    ":",
    "-",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "#",
    "&a ",
    "*a",
    "!x ",
    "|",
    ">",
    "%",
    "@",
    "~",
    "0x",
    "1e999",
    ".nan",
    "-1",
    "99999999999999999999",
    "null",
    "off",
    "true",
    "name",
    "values",
    "\u{0}",
    "é",
    "\u{FEFF}",
];

fn load_all_ways(text: &str) {
    for format in [Format::Yaml, Format::Json] {
        match load_text(text, format, Path::new("/c")) {
            Ok(loaded) => drop(loaded.config.to_json_redacted()),
            Err(Problems(problems)) => assert!(!problems.is_empty(), "refused without a reason:\n{text}"),
        }
    }
}

#[test]
fn mutated_texts_are_read_or_refused() {
    let mut random = fastrand::Rng::with_seed(SEED);
    let json = serde_json::to_string(&example()).unwrap();
    for round in 0..400 {
        let mut text = if round % 2 == 0 { EXAMPLE.to_owned() } else { json.clone() };
        for _ in 0..random.usize(1..6) {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let at = boundaries[random.usize(..boundaries.len())];
            let end = boundaries[random.usize(..boundaries.len())].clamp(at, (at + 40).min(text.len()));
            let end = (at..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(at);
            match random.u8(0..3) {
                0 => text.replace_range(at..end, ""),
                1 => text.insert_str(at, CRUMBS[random.usize(..CRUMBS.len())]),
                _ => text.replace_range(at..end, CRUMBS[random.usize(..CRUMBS.len())]),
            }
        }
        load_all_ways(&text);
    }
}

#[test]
fn random_texts_are_refused() {
    let mut random = fastrand::Rng::with_seed(SEED);
    for _ in 0..500 {
        let length = random.usize(0..200);
        let text: String = (0..length)
            .map(|_| {
                if random.bool() {
                    CRUMBS[random.usize(..CRUMBS.len())].to_owned()
                } else {
                    random.alphanumeric().to_string()
                }
            })
            .collect();
        load_all_ways(&text);
    }
}

#[test]
fn every_node_may_be_anything() {
    let example = example();
    let mut pointers = Vec::new();
    collect(&example, String::new(), &mut pointers);
    let stuff = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1.5),
        json!(""),
        json!("\u{0}"),
        json!("x".repeat(70)),
        json!([]),
        json!([[[]]]),
        json!({}),
        json!({ "name": "n" }),
        json!({ "redacted": true }),
    ];
    let mut tried = 0;
    for pointer in &pointers {
        for thing in &stuff {
            let mut tree = example.clone();
            *tree.pointer_mut(pointer).unwrap() = thing.clone();
            drop(load_tree(tree, Path::new("/c")));
            tried += 1;
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn depth_and_aliases_are_bounded() {
    let began = Instant::now();
    for (open, close) in
        [("[", "]"), ("{a: ", "}"), ("- ", ""), ("{\"a\":", "}"), ("? ", ""), ("!a ", ""), ("&a ", "")]
    {
        for depth in [100, 200, 2_000, 50_000] {
            load_all_ways(&format!("{}x{}", open.repeat(depth), close.repeat(depth)));
            load_all_ways(&format!("gateway: {}x{}", open.repeat(depth), close.repeat(depth)));
        }
    }
    let mut laughs = "a0: &a0 [l,l,l,l,l,l,l,l]\n".to_owned();
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 8].join(",");
        laughs += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    load_all_ways(&laughs);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn many_problems_end() {
    let devices: Vec<Value> = (0..5_000).map(|_| json!({ "name": "a b", "bogus": 1 })).collect();
    let text = serde_json::to_string(&json!({ "gateway": "g", "devices": devices })).unwrap();
    let began = Instant::now();
    let Problems(problems) = load_text(&text, Format::Json, Path::new("/c")).unwrap_err();
    assert!((100..=200).contains(&problems.len()), "{}", problems.len());
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn no_secret_is_quoted() {
    const SECRETS: &[&str] = &["Sesame-0pen-17", "A0B1C2D3E4F5060708090A0B0C0D0E0F", "7215551212"];
    let devices = |password: Value, key: Value| {
        json!({
            "gateway": "g",
            "mqtt": { "url": "mqtt://b", "username": "u", "password": password.clone() },
            "connections": [{ "name": "c", "host": "h" }],
            "devices": [
                { "name": "a", "connection": "c", "access_security": "low", "password": password.clone() },
                { "name": "b", "connection": "c", "client_address": 3, "transport_security": "authentication_encryption",
                  "authentication_key": key.clone(), "block_cipher_key": key.clone(), "dedicated_key": key },
            ],
        })
    };
    let mut shown = String::new();
    for secret in SECRETS {
        // In their places, in wrong ones, and in wrong forms.
        let number: Value = secret.parse::<u64>().map_or(json!(secret), Value::from);
        for form in [
            json!(secret),
            number,
            json!([secret]),
            json!({ "env": "X", "file": secret }),
            json!({ "env": [secret] }),
            json!({ "plain": secret }),
            json!(format!("hex:{secret}")),
        ] {
            show(load_tree(devices(form.clone(), form.clone()), Path::new("/c")), &mut shown);
            let mut misplaced = devices(json!("x"), json!("y"));
            for pointer in [
                "/mqtt",
                "/devices/0",
                "/devices/1/hdlc",
                "/mqtt/tls",
                "/mqtt/control",
                "/groups",
                "/connections/0",
            ] {
                if let Some(place) = misplaced.pointer_mut(pointer) {
                    *place = form.clone();
                }
            }
            show(load_tree(misplaced, Path::new("/c")), &mut shown);
        }
        show(load_tree(devices(json!(secret), json!(secret)), Path::new("/c")), &mut shown);
        let url = json!({ "gateway": "g", "mqtt": { "url": format!("mqtt://user:{secret}@host") } });
        show(load_tree(url, Path::new("/c")), &mut shown);
        let yaml = format!("gateway: g\nmqtt: {{ url: 'mqtt://b', username: u, password: {secret} }}\n");
        show(load_text(&yaml, Format::Yaml, Path::new("/c")), &mut shown);
    }
    assert!(shown.len() > 1000, "something was shown");
    for secret in SECRETS {
        let at = shown.find(secret);
        assert!(at.is_none(), "{secret} is quoted: …{}", &shown[at.unwrap().saturating_sub(200)..][..300]);
    }
}

fn show(loaded: Result<dlms2mqtt::bridge::config::Loaded, Problems>, shown: &mut String) {
    match loaded {
        Ok(loaded) => {
            // A file's name isn't a secret, but these are secrets in the place of one.
            *shown += &format!("{loaded:?} {:?} {}", loaded.config, loaded.config.to_json_redacted());
        }
        Err(problems) => {
            *shown += &format!("{problems} {problems:?} {}", serde_json::to_string(&problems.0).unwrap());
        }
    }
}

fn example() -> Value {
    load_text(EXAMPLE, Format::Yaml, Path::new("/c")).unwrap().config.source().expose().clone()
}

fn collect(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                collect(value, format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                collect(value, format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
    found.push(pointer);
}
