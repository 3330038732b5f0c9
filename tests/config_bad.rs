//! Bad configurations: each is refused at the right place, with the right code and words that help.

use std::path::Path;

use dlms2mqtt::bridge::config::load::{Problems, load_file, load_text};
use dlms2mqtt::bridge::config::tree::Format;
use dlms2mqtt::bridge::config::{Problem, Severity};
use dlms2mqtt::error::Code;

const GOOD: &str = "
gateway: g
mqtt: { url: 'mqtt://broker' }
outbox: {}
connections:
  - { name: tcp, host: 10.0.0.1 }
  - { name: line, type: serial, device: /dev/ttyS9 }
  - { name: dgram, type: udp, host: h }
devices:
  - { name: d, connection: tcp }
  - { name: w, connection: tcp, interface: wrapper }
groups:
  - name: grp
    devices: [d]
    values:
      - { name: v, obis: 1.0.1.8.0.255, class: register }
";

/// A change to [`GOOD`], and where it hurts: the change as from → to, pointer, code, and part of message or hint.
type Case = (&'static str, &'static str, &'static str, Code, &'static str);

const INVALID: Code = Code::ConfigInvalid;
const UNKNOWN: Code = Code::UnknownName;
const DUPLICATE: Code = Code::DuplicateName;

const TCP: &str = "name: tcp,";
const LINE: &str = "name: line,";
const DEVICE: &str = "name: d,";
const WRAPPER: &str = "name: w,";
const GROUP: &str = "- name: grp";
const VALUE: &str = "name: v,";
const MQTT: &str = "mqtt: {";

const ERRORS: &[Case] = &[
    // The whole.
    ("gateway: g", "", "/gateway", INVALID, "is missing"),
    ("gateway: g", "gateway: sub station", "/gateway", INVALID, "1 to 64 letters"),
    ("gateway: g", "gateway: 7", "/gateway", INVALID, "needs quotes"),
    ("gateway: g", "gateway: g\nversion: 2", "/version", INVALID, "must be 1, not 2"),
    ("gateway: g", "gateway: g\nenabled: maybe", "/enabled", INVALID, "true or false"),
    ("gateway: g", "gateway: g\ngatewy: h", "/gatewy", INVALID, "did you mean `gateway`?"),
    ("gateway: g", "gateway: g\nhttp: { listen: nowhere }", "/http/listen", INVALID, "an address and a port"),
    ("gateway: g", "gateway: g\nhttp: {}", "/http/listen", INVALID, "is missing"),
    ("gateway: g", "gateway: g\nhttp: on", "/http", INVALID, ""),
    ("outbox: {}", "outbox: { max_bytes: lots }", "/outbox/max_bytes", INVALID, "64MiB"),
    ("outbox: {}", "outbox: { max_bytes: 1KiB }", "/outbox/max_bytes", INVALID, "at least 64KiB"),
    ("outbox: {}", "outbox: { max_age: -5 }", "/outbox/max_age", INVALID, "negative"),
    ("outbox: {}", "outbox: { durability: disk }", "/outbox/durability", INVALID, "memory, spill, always"),
    (
        "outbox: {}",
        "outbox: { when_full: drop_oldst }",
        "/outbox/when_full",
        INVALID,
        "did you mean `drop_oldest`?",
    ),
    ("outbox: {}", "outbox: []", "/outbox", INVALID, "not a list"),
    ("outbox: {}", "outbox: { max_bytes: 99999999999GiB }", "/outbox/max_bytes", INVALID, "out of range"),
    (
        "outbox: {}",
        "outbox: { max_bytes: 99999999999999999999 }",
        "/outbox/max_bytes",
        INVALID,
        "out of range",
    ),
    // The broker.
    ("mqtt: { url: 'mqtt://broker' }", "", "/mqtt", INVALID, "is missing"),
    ("url: 'mqtt://broker'", "", "/mqtt/url", INVALID, "is missing"),
    ("mqtt://broker", "http://broker", "/mqtt/url", INVALID, "mqtt, mqtts, ws or wss"),
    ("mqtt://broker", "mqtt://broker:99999", "/mqtt/url", INVALID, "1 to 65535"),
    ("mqtt://broker", "mqtt://user:word@broker", "/mqtt/url", INVALID, "mqtt.username"),
    (MQTT, "mqtt: { qos: 2,", "/mqtt/qos", INVALID, "must be 0 to 1, not 2"),
    (MQTT, "mqtt: { keep_alive: 4,", "/mqtt/keep_alive", INVALID, "must be 5s to"),
    (MQTT, "mqtt: { keep_alive: 65536,", "/mqtt/keep_alive", INVALID, "must be 5s to 18h12m15s"),
    (MQTT, "mqtt: { keep_alive: 5500ms,", "/mqtt/keep_alive", INVALID, "whole seconds"),
    (MQTT, "mqtt: { protocol: 4,", "/mqtt/protocol", INVALID, "auto, 5, 3.1.1"),
    (MQTT, "mqtt: { base_topic: dlms/#,", "/mqtt/base_topic", INVALID, "wildcard"),
    (MQTT, "mqtt: { base_topic: dlms//x,", "/mqtt/base_topic", INVALID, "empty level"),
    (MQTT, "mqtt: { password: p,", "/mqtt/password", INVALID, "mqtt.username"),
    (MQTT, "mqtt: { tls: { ca_file: x },", "/mqtt/tls", INVALID, "mqtts://"),
    (
        "url: 'mqtt://broker'",
        "url: 'mqtts://broker', tls: { cert_file: x }",
        "/mqtt/tls/key_file",
        INVALID,
        "is missing",
    ),
    (
        MQTT,
        "mqtt: { control: { allow: [config, reed] },",
        "/mqtt/control/allow/1",
        INVALID,
        "did you mean `read`?",
    ),
    (MQTT, "mqtt: { control: { alow: [] },", "/mqtt/control/alow", INVALID, "did you mean `allow`?"),
    (MQTT, "mqtt: { response_topics: [a/#/b],", "/mqtt/response_topics/0", INVALID, "topic filter"),
    // Connections.
    ("name: dgram, ", "", "/connections/2/name", INVALID, "is missing"),
    ("host: 10.0.0.1", "port: 1", "/connections/0/host", INVALID, "is missing"),
    ("host: 10.0.0.1", "host: 'tcp://10.0.0.1'", "/connections/0/host", INVALID, "without a scheme"),
    (TCP, "name: tcp, port: 0,", "/connections/0/port", INVALID, "must be 1 to 65535, not 0"),
    (TCP, "name: tcp, port: 65536,", "/connections/0/port", INVALID, "must be 1 to 65535"),
    (TCP, "name: tcp, port: '4059',", "/connections/0/port", INVALID, "a whole number"),
    (TCP, "name: tcp, port: 4059.5,", "/connections/0/port", INVALID, "fraction"),
    (TCP, "name: tcp, baud_rate: 9600,", "/connections/0/baud_rate", INVALID, "it belongs to type serial"),
    (TCP, "name: tcp, type: modem,", "/connections/0/type", INVALID, "tcp, serial, udp, listen"),
    (
        TCP,
        "name: tcp, connect_timeout: 1h,",
        "/connections/0/connect_timeout",
        INVALID,
        "must be 100ms to 10m",
    ),
    (TCP, "name: tcp, titel: x,", "/connections/0/titel", INVALID, "did you mean `title`?"),
    ("name: line,", "name: tcp,", "/connections/1/name", DUPLICATE, "connections[0]"),
    (LINE, "name: line, baud_rate: 9601,", "/connections/1/baud_rate", INVALID, "must be one of 300, 1200"),
    (LINE, "name: line, data_bits: 9,", "/connections/1/data_bits", INVALID, "must be 5 to 8, not 9"),
    (LINE, "name: line, stop_bits: 3,", "/connections/1/stop_bits", INVALID, "must be 1 to 2"),
    (LINE, "name: line, parity: evn,", "/connections/1/parity", INVALID, "did you mean `even`?"),
    (
        LINE,
        "name: line, parity_mode: software_7e1, data_bits: 7,",
        "/connections/1/parity_mode",
        INVALID,
        "data_bits 8",
    ),
    (LINE, "name: line, flow_control: rts_cts, rs485: {},", "/connections/1/rs485", INVALID, "RTS"),
    (
        LINE,
        "name: line, rs485: { rts_after_send: true },",
        "/connections/1/rs485/rts_after_send",
        INVALID,
        "must change after sending",
    ),
    (LINE, "name: line, host: h,", "/connections/1/host", INVALID, "no meaning for type serial"),
    ("type: serial, device: /dev/ttyS9", "type: serial", "/connections/1/device", INVALID, "is missing"),
    ("type: udp, host: h", "type: serial, device: /dev/ttyS9", "/connections/2/device", INVALID, "`line`"),
    ("type: udp, host: h", "type: listen, host: example", "/connections/2/host", INVALID, "not a name"),
    // Devices.
    (
        "name: d, connection: tcp",
        "name: d, connection: tpc",
        "/devices/0/connection",
        UNKNOWN,
        "did you mean `tcp`?",
    ),
    ("name: d, connection: tcp", "name: d", "/devices/0/connection", INVALID, "is missing"),
    (
        DEVICE,
        "name: d, server_address: 99999999999999999999,",
        "/devices/0/server_address",
        INVALID,
        "out of range: the number is too large",
    ),
    (
        DEVICE,
        "name: d, client_address: -99999999999999999999,",
        "/devices/0/client_address",
        INVALID,
        "too small",
    ),
    (DEVICE, "name: d, timeout: 99999999999999999999,", "/devices/0/timeout", INVALID, "out of range"),
    (DEVICE, "name: d, timeout: -99999999999999999999,", "/devices/0/timeout", INVALID, "negative"),
    (
        GROUP,
        "- name: grp\n    interval: 99999999999999999999d",
        "/groups/0/interval",
        INVALID,
        "out of range: the duration is too long",
    ),
    (GROUP, "- name: grp\n    interval: 18446744073709551615", "/groups/0/interval", INVALID, "must be"),
    ("name: w,", "name: d,", "/devices/1/name", DUPLICATE, "another device"),
    ("name: d, connection: tcp", "name: d, connection: dgram", "/devices/0", INVALID, "can't go over UDP"),
    (
        "name: d, connection: tcp",
        "name: d, connection: dgram, interface: wrapper, logical_name_referencing: false",
        "/devices/0/logical_name_referencing",
        INVALID,
        "no number",
    ),
    (
        DEVICE,
        "name: d, server_adress: 1,",
        "/devices/0/server_adress",
        INVALID,
        "did you mean `server_address`?",
    ),
    (
        DEVICE,
        "name: d, server_address: 16384,",
        "/devices/0/server_address",
        INVALID,
        "0 to 16383, not 16384",
    ),
    (DEVICE, "name: d, server_address: -1,", "/devices/0/server_address", INVALID, "0 to 16383, not -1"),
    (
        DEVICE,
        "name: d, logical_server_address: 16384,",
        "/devices/0/logical_server_address",
        INVALID,
        "0 to 16383",
    ),
    (DEVICE, "name: d, client_address: 128,", "/devices/0/client_address", INVALID, "1 to 127, not 128"),
    (DEVICE, "name: d, client_address: 0,", "/devices/0/client_address", INVALID, "1 to 127, not 0"),
    (WRAPPER, "name: w, client_address: 65536,", "/devices/1/client_address", INVALID, "1 to 65535"),
    (DEVICE, "name: d, interface: wraper,", "/devices/0/interface", INVALID, "did you mean `wrapper`?"),
    (
        DEVICE,
        "name: d, hdlc: { address_size: 3 },",
        "/devices/0/hdlc/address_size",
        INVALID,
        "1, 2, 4, not 3",
    ),
    (
        DEVICE,
        "name: d, server_address: 200, hdlc: { address_size: 1 },",
        "/devices/0/hdlc/address_size",
        INVALID,
        "fit",
    ),
    (DEVICE, "name: d, hdlc: { max_info_rx: 2031 },", "/devices/0/hdlc/max_info_rx", INVALID, "32 to 2030"),
    (DEVICE, "name: d, hdlc: { window_tx: 8 },", "/devices/0/hdlc/window_tx", INVALID, "1 to 7"),
    (
        DEVICE,
        "name: d, server_address_type: serial_number,",
        "/devices/0/serial_number",
        INVALID,
        "is missing",
    ),
    (
        DEVICE,
        "name: d, server_address_type: serial_number, serial_number: 99999, serial_number_formula: SN % 100000,",
        "/devices/0/serial_number_formula",
        INVALID,
        "over 16383",
    ),
    (
        DEVICE,
        "name: d, serial_number_formula: 'SN * 2',",
        "/devices/0/serial_number_formula",
        INVALID,
        "SN % 10000 + 1000",
    ),
    (DEVICE, "name: d, access_security: low,", "/devices/0/password", INVALID, "needs a password"),
    (DEVICE, "name: d, access_security: high_md5,", "/devices/0/password", INVALID, "needs a password"),
    (
        DEVICE,
        "name: d, access_security: low, password: 123456,",
        "/devices/0/password",
        INVALID,
        "needs quotes",
    ),
    (DEVICE, "name: d, access_security: low, password: '',", "/devices/0/password", INVALID, "empty"),
    (
        DEVICE,
        "name: d, access_security: low, password: 'hex:0g',",
        "/devices/0/password",
        INVALID,
        "hex digits",
    ),
    (
        DEVICE,
        "name: d, access_security: low, password: { evn: X },",
        "/devices/0/password",
        INVALID,
        "did you mean `env`?",
    ),
    (
        DEVICE,
        "name: d, access_security: low, password: { redacted: true },",
        "/devices/0/password",
        INVALID,
        "redacted",
    ),
    (DEVICE, "name: d, access_security: ecdsa,", "/devices/0/access_security", INVALID, "none, low, high"),
    (
        DEVICE,
        "name: d, access_security: high_gmac, block_cipher_key: { env: K },",
        "/devices/0/authentication_key",
        INVALID,
        "high_gmac needs it: 32 hex digits",
    ),
    (
        DEVICE,
        "name: d, access_security: high_gmac, authentication_key: { env: K },",
        "/devices/0/block_cipher_key",
        INVALID,
        "high_gmac needs it",
    ),
    (
        DEVICE,
        "name: d, transport_security: encryption,",
        "/devices/0/block_cipher_key",
        INVALID,
        "encryption needs it",
    ),
    (
        DEVICE,
        "name: d, transport_security: authentication_encryption, block_cipher_key: { env: K },",
        "/devices/0/authentication_key",
        INVALID,
        "needs it",
    ),
    (
        DEVICE,
        "name: d, transport_security: encryption, block_cipher_key: '0011',",
        "/devices/0/block_cipher_key",
        INVALID,
        "16 bytes (32 hex digits) is expected, this one has 2",
    ),
    (
        DEVICE,
        "name: d, security_suite: 2, transport_security: encryption, block_cipher_key: 000102030405060708090A0B0C0D0E0F,",
        "/devices/0/block_cipher_key",
        INVALID,
        "32 bytes",
    ),
    (
        DEVICE,
        "name: d, transport_security: encryption, block_cipher_key: 10203040506070809010203040506070,",
        "/devices/0/block_cipher_key",
        INVALID,
        "needs quotes",
    ),
    (DEVICE, "name: d, security_suite: 3,", "/devices/0/security_suite", INVALID, "0 to 2"),
    (DEVICE, "name: d, system_title: 4B41,", "/devices/0/system_title", INVALID, "16 hex digits"),
    (DEVICE, "name: d, invocation_counter: 0.43,", "/devices/0/invocation_counter", INVALID, ""),
    (DEVICE, "name: d, hls_object: 40,", "/devices/0/hls_object", INVALID, "OBIS"),
    (DEVICE, "name: d, max_pdu_size: 65536,", "/devices/0/max_pdu_size", INVALID, "12 to 65535"),
    (DEVICE, "name: d, retries: 11,", "/devices/0/retries", INVALID, "0 to 10"),
    (DEVICE, "name: d, timeout: 0,", "/devices/0/timeout", INVALID, "must be 100ms"),
    (DEVICE, "name: d, time_zone: Europe/Wilna,", "/devices/0/time_zone", INVALID, "IANA"),
    (DEVICE, "name: d, mode_e: { max_baud: 115200 },", "/devices/0/mode_e/max_baud", INVALID, "19200"),
    (DEVICE, "name: d, labels: { 'a b': c },", "/devices/0/labels/a b", INVALID, "label"),
    (DEVICE, "name: d, identity: { serial: '' },", "/devices/0/identity/serial", INVALID, "1 to 64"),
    // Groups.
    (GROUP, "- name: grp\n    interval: 0", "/groups/0/interval", INVALID, "must be 1s"),
    (GROUP, "- name: grp\n    interval: 4294967296", "/groups/0/interval", INVALID, "must be 1s"),
    (GROUP, "- name: grp\n    interval: 1500ms", "/groups/0/interval", INVALID, "whole seconds"),
    (GROUP, "- name: grp\n    interval: soon", "/groups/0/interval", INVALID, "15m"),
    (GROUP, "- name: grp\n    offset: 2m", "/groups/0/offset", INVALID, "less than the interval"),
    ("devices: [d]", "devices: [d, nobody]", "/groups/0/devices/1", UNKNOWN, "no device `nobody`"),
    ("devices: [d]", "devices: [d, d]", "/groups/0/devices/1", DUPLICATE, "named twice"),
    ("devices: [d]", "", "/groups/0/values/0/device", INVALID, "no device is named"),
    // Values.
    (VALUE, "name: v, device: x,", "/groups/0/values/0/device", UNKNOWN, "no device `x`"),
    (VALUE, "name: v.1,", "/groups/0/values/0/name", INVALID, "1 to 64 letters"),
    ("obis: 1.0.1.8.0.255", "obis: 1.8.0", "/groups/0/values/0/obis", INVALID, "reduced"),
    ("obis: 1.0.1.8.0.255", "obis: 1.8", "/groups/0/values/0/obis", INVALID, "OBIS"),
    ("obis: 1.0.1.8.0.255", "obis: 1.0.1.8.0.256", "/groups/0/values/0/obis", INVALID, "over 255"),
    ("obis: 1.0.1.8.0.255, ", "", "/groups/0/values/0/obis", INVALID, "is missing"),
    ("obis: 1.0.1.8.0.255", "short_name: 0x1234", "/groups/0/values/0/short_name", INVALID, "logical names"),
    ("class: register", "class: regster", "/groups/0/values/0/class", INVALID, "did you mean `register`?"),
    ("class: register", "class: 70000", "/groups/0/values/0/class", INVALID, "0 to 65535"),
    (
        VALUE,
        "name: v, attribute: 2, attributes: all,",
        "/groups/0/values/0/attributes",
        INVALID,
        "exclude each other",
    ),
    (VALUE, "name: v, attribute: 0,", "/groups/0/values/0/attribute", INVALID, "attributes: all"),
    (VALUE, "name: v, attribute: 128,", "/groups/0/values/0/attribute", INVALID, "-128 to 127"),
    (VALUE, "name: v, attributes: [],", "/groups/0/values/0/attributes", INVALID, "at least one"),
    (VALUE, "name: v, attributes: every,", "/groups/0/values/0/attributes", INVALID, "all, or a list"),
    (VALUE, "name: v, attributes: [2, 2],", "/groups/0/values/0/attributes/1", INVALID, "twice"),
    (
        "class: register",
        "class: profile_generic, entries: 0",
        "/groups/0/values/0/entries",
        INVALID,
        "1 to 32767, not 0",
    ),
    (
        "class: register",
        "class: profile_generic, entries: 32768",
        "/groups/0/values/0/entries",
        INVALID,
        "1 to 32767",
    ),
    ("class: register", "class: profile_generic, to: now", "/groups/0/values/0/from", INVALID, "is missing"),
    (
        "class: register",
        "class: profile_generic, from: 1h, to: 2h",
        "/groups/0/values/0/to",
        INVALID,
        "before it begins",
    ),
    (
        "class: register",
        "class: profile_generic, from: yesterday",
        "/groups/0/values/0/from",
        INVALID,
        "2026-",
    ),
    (
        "class: register",
        "class: profile_generic, from: 1h, capture: incremental",
        "/groups/0/values/0/from",
        INVALID,
        "exclude",
    ),
    (
        "class: register",
        "class: profile_generic, columns: { 1.8.0: x }",
        "/groups/0/values/0/columns/1.8.0",
        INVALID,
        "reduced",
    ),
    (
        "class: register",
        "class: profile_generic, columns: { 1.0.1.8.0.255: 'a b' }",
        "/groups/0/values/0/columns",
        INVALID,
        "column",
    ),
    (VALUE, "name: v, scaler: 128,", "/groups/0/values/0/scaler", INVALID, "-128 to 127"),
    (VALUE, "name: v, unit: 'k W h',", "/groups/0/values/0/unit", INVALID, "unit"),
    (
        "- { name: v, obis: 1.0.1.8.0.255, class: register }",
        "- { name: v, obis: 1.0.1.8.0.255 }\n      - { name: v, obis: 1.0.2.8.0.255 }",
        "/groups/0/values/1/name",
        DUPLICATE,
        "another value `v` of device `d`",
    ),
    (
        GROUP,
        "- { name: first, devices: d, values: [{ name: v, obis: 1.0.99.1.0.255, class: 7, entries: 1 }] }\n  - { name: other, devices: d, values: [{ name: v, obis: 1.0.99.2.0.255, class: 7, entries: 1 }] }\n  - name: grp",
        "/groups/1/values/0/name",
        DUPLICATE,
        "`first`",
    ),
    ("broker' }", "broker', per_value_topics: on }\nx-anchor: &a 1", "/x-anchor", INVALID, "unknown key"),
    (
        GROUP,
        "- name: grp\n    values: none\n  - name: grp2",
        "/groups/0/values",
        INVALID,
        "a list is expected",
    ),
    (GROUP, "- just text\n  - name: grp", "/groups/0", INVALID, "a mapping of keys"),
];

/// The same for warnings.
const WARNINGS: &[Case] = &[
    (LINE, "name: line, data_bits: 6,", "/connections/1/data_bits", INVALID, "HDLC needs 8"),
    (LINE, "name: line, data_bits: 5,", "/connections/1/data_bits", INVALID, "HDLC needs 8"),
    (LINE, "name: line, flow_control: xon_xoff,", "/connections/1/flow_control", INVALID, "inside HDLC"),
    (
        DEVICE,
        "name: d, server_address_type: serial_number, serial_number: 1,",
        "/devices/0/logical_server_address",
        INVALID,
        "1 is taken",
    ),
    (DEVICE, "name: d, serial_number: 1,", "/devices/0/serial_number", INVALID, "is not used"),
    (DEVICE, "name: d, password: x,", "/devices/0/password", INVALID, "is not used by access_security none"),
    (
        DEVICE,
        "name: d, dedicated_key: { env: K },",
        "/devices/0/dedicated_key",
        INVALID,
        "nothing is ciphered",
    ),
    (DEVICE, "name: d, mode_e: {},", "/devices/0/mode_e", INVALID, "no meaning for interface hdlc"),
    (WRAPPER, "name: w, hdlc: {},", "/devices/1/hdlc", INVALID, "no meaning for interface wrapper"),
    (
        "connection: tcp, interface: wrapper",
        "connection: line, interface: wrapper",
        "/devices/1/interface",
        INVALID,
        "no checksum",
    ),
    ("connection: tcp, interface: wrapper", "connection: tcp", "/devices/1", INVALID, "same addresses"),
    (
        "connection: tcp }\n  - { name: w, connection: tcp, interface: wrapper",
        "connection: tcp, transport_security: encryption, block_cipher_key: { env: K } }\n  - { name: w, connection: tcp, interface: wrapper, transport_security: encryption, block_cipher_key: { env: K }",
        "/devices/1/block_cipher_key",
        INVALID,
        "same key and system title",
    ),
    (VALUE, "name: v, enabled: false,", "/groups/0/values", INVALID, "no value is enabled"),
    (VALUE, "name: v, entries: 5,", "/groups/0/values/0/entries", INVALID, "profile_generic alone"),
    (VALUE, "name: v, short_name: 0x1234,", "/groups/0/values/0/short_name", INVALID, "logical names"),
    ("type: udp, host: h", "type: tcp, host: 10.0.0.1", "/connections/2/host", INVALID, "same host and port"),
];

fn load(text: &str) -> Result<Vec<Problem>, Vec<Problem>> {
    match load_text(text, Format::Yaml, Path::new("/etc/dlms2mqtt")) {
        Ok(loaded) => Ok(loaded.warnings),
        Err(Problems(problems)) => Err(problems),
    }
}

fn changed((from, to, ..): &Case) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "`{from}` must stand once");
    GOOD.replacen(from, to, 1)
}

fn found<'a>(problems: &'a [Problem], (_, _, pointer, code, words): &Case) -> Option<&'a Problem> {
    problems.iter().find(|problem| {
        problem.path.pointer() == *pointer
            && problem.code == *code
            && (problem.message.contains(words) || problem.hint.contains(words))
    })
}

#[test]
fn the_good_one_is_good() {
    assert_eq!(load(GOOD), Ok(vec![]));
}

#[test]
fn errors_are_found_where_they_are() {
    let mut failures = Vec::new();
    for case in ERRORS {
        let problems = match load(&changed(case)) {
            Err(problems) => problems,
            Ok(warnings) => {
                failures.push(format!("{}: was accepted with {warnings:#?}", case.1));
                continue;
            }
        };
        match found(&problems, case) {
            None => failures.push(format!("{case:?} is not among {}", Problems(problems))),
            Some(problem) => {
                // One fault makes one error: what follows from it isn't reported again.
                let errors = problems.iter().filter(|problem| problem.is_error()).count();
                if errors != 1 || problem.severity != Severity::Error || problem.position.is_none() {
                    failures.push(format!("{}: {}", case.1, Problems(problems)));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{} bad configurations refused", ERRORS.len());
}

#[test]
fn warnings_do_not_hinder() {
    for case in WARNINGS {
        let warnings = load(&changed(case)).unwrap_or_else(|problems| panic!("{case:?}: {problems:#?}"));
        let warning = found(&warnings, case).unwrap_or_else(|| panic!("{case:?}: {warnings:#?}"));
        assert_eq!(warning.severity, Severity::Warning);
    }
}

#[test]
fn every_problem_is_found_at_once() {
    let text = "
gateway: a b
colour: blue
mqtt: { url: x, qos: 2, keep_alive: never, protcol: auto }
connections:
  - { name: c, host: h, prt: 1, baud_rate: 9600 }
  - text
devices:
  - { name: d, connection: nowhere, client_address: 500, server_adress: 1, timeout: soon }
groups:
  - name: g
    interval: x
    devices: [d, 'a b']
    values:
      - { name: v, obis: 1.8.0, class: nothing, attribute: two }
      - { name: v w, obis: 1.0.1.8.0.255 }
";
    let problems = load(text).unwrap_err();
    let pointers: Vec<_> = problems.iter().map(|problem| problem.path.pointer()).collect();
    for pointer in [
        "/gateway",
        "/colour",
        "/mqtt/url",
        "/mqtt/qos",
        "/mqtt/keep_alive",
        "/mqtt/protcol",
        "/connections/0/prt",
        "/connections/0/baud_rate",
        "/connections/1",
        "/devices/0/connection",
        "/devices/0/client_address",
        "/devices/0/server_adress",
        "/devices/0/timeout",
        "/groups/0/interval",
        "/groups/0/devices/1",
        "/groups/0/values/0/obis",
        "/groups/0/values/0/class",
        "/groups/0/values/0/attribute",
        "/groups/0/values/1/name",
    ] {
        assert!(pointers.iter().any(|found| found == pointer), "{pointer} is missing in {pointers:#?}");
    }
    assert_eq!(pointers.len(), 19, "{problems:#?}");
}

#[test]
fn values_are_unique_where_their_topics_are() {
    let twice =
        GOOD.to_owned() + "  - { name: more, devices: d, values: [{ name: v, obis: 1.0.2.8.0.255 }] }\n";
    assert_eq!(load(&twice), Ok(vec![]));
    let topics = twice.replace("mqtt: {", "mqtt: { per_value_topics: true,");
    let problems = load(&topics).unwrap_err();
    assert_eq!(problems[0].path.pointer(), "/groups/1/values/0/name");
    assert_eq!(problems[0].code, Code::DuplicateName);
    // Of two devices, values may have one name.
    let apart = GOOD.replace(
        "class: register }",
        "class: register }\n      - { name: v, device: w, obis: 1.0.1.8.0.255, class: register }",
    );
    assert_eq!(load(&apart), Ok(vec![]));
}

#[test]
fn positions_are_those_of_the_text() {
    let problems = load(&GOOD.replace("obis: 1.0.1.8.0.255", "obis: 1.8.0")).unwrap_err();
    assert_eq!(problems[0].path.to_string(), "groups[0].values[0].obis");
    let at = problems[0].position.unwrap();
    assert_eq!((at.line, at.column), (16, 20));
    let json = "{\"gateway\":\"g\",\n\"mqtt\":{\"url\":\"mqtt://b\",\n\"qos\":2}}";
    let Problems(problems) = load_text(json, Format::Json, Path::new("")).unwrap_err();
    assert_eq!(problems[0].path.pointer(), "/mqtt/qos");
    assert_eq!(problems[0].position.unwrap().line, 3);
}

#[test]
fn texts_that_are_no_configuration_are_one_problem() {
    for text in ["", "just text", "[]", "a: [", "a: 1\na: 2", "\t", "42", "gateway: !x y", "{", "%"] {
        let problems = load(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
        assert_eq!(problems[0].path.pointer(), "", "{text}");
    }
}

#[test]
fn an_empty_configuration_is_called_empty() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    for text in ["", " \n\n", "# gateway: g\n\n# nothing else\n", "---\n...\n", "null", "\u{FEFF}"] {
        std::fs::write(&file, text).unwrap();
        for path in [file.as_path(), Path::new("/dev/null")] {
            let Problems(problems) = load_file(path).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
            assert_eq!(problem.message, "the configuration is empty", "{text:?}");
            assert!(problem.hint.contains("config.yaml.example"), "{problem:?}");
        }
    }
    let Problems(problems) = load_text("\n", Format::Json, Path::new("")).unwrap_err();
    assert_eq!(problems[0].message, "the configuration is empty");
}

#[test]
fn a_file_that_never_ends_is_refused() {
    let Problems(problems) = load_file(Path::new("/dev/zero")).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert!(problem.message.contains("/dev/zero: it is longer than 16 MiB"), "{problem}");
}
