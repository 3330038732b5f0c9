//! The example configuration, what a small one comes to, and what is looked at outside the file.

use std::path::Path;
use std::time::Duration;

use dlms2mqtt::bridge::config::address::ServerAddress;
use dlms2mqtt::bridge::config::load::{Loaded, Problems, load_file, load_text};
use dlms2mqtt::bridge::config::model::{Config, Hold, Link, Persistence, Qos, Scheme, Selection};
use dlms2mqtt::bridge::config::tree::Format;
use dlms2mqtt::cosem::catalogue::ClassId;
use dlms2mqtt::wire::obis::Obis;

const EXAMPLE: &str = include_str!("../config.yaml.example");

fn load(text: &str) -> Loaded {
    load_text(text, Format::Yaml, Path::new("/etc/dlms2mqtt")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn config(text: &str) -> Config {
    load(text).config
}

#[test]
fn the_example_is_valid_without_a_warning() {
    let Loaded { config, warnings } = load(EXAMPLE);
    assert!(warnings.is_empty(), "{warnings:#?}");
    assert_eq!(config.mqtt.broker.scheme, Scheme::Mqtts);
    assert_eq!(config.groups["billing"].interval, Duration::from_secs(900));
    assert_eq!(config.devices["main-meter"].server, ServerAddress::Wrapper { wport: 1 });
    let ServerAddress::Hdlc(tariff) = config.devices["tariff-meter"].server else { panic!("it speaks HDLC") };
    assert_eq!(tariff.encode().as_bytes(), [0x00, 0x02, 0x68, 0x2D]);
    assert_eq!(config.values_of(&"main-meter".parse().unwrap()).count(), 6);
}

#[test]
fn the_documents_first_example_is_valid() {
    let reference = include_str!("../docs/CONFIG.md");
    let yaml = reference.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(load(yaml).warnings, []);
}

#[test]
fn defaults_are_applied() {
    let config = config(
        "
gateway: substation-7
mqtt: { url: mqtt://b, control: off }
connections: [{ name: c, host: '::1' }, { name: s, type: serial, device: /dev/ttyS9 }]
devices:
  - { name: d, connection: c }
  - { name: k, connection: c, server_address: 2, hold: yes, transport_security: encryption, block_cipher_key: { file: k } }
groups: [{ name: g, devices: [d], values: [{ name: v, obis: '1-0:1.8.0' }, { name: p, obis: 1.0.99.1.0.255, class: 7 }] }]
",
    );
    assert!(config.enabled);
    assert_eq!(config.state_dir, Path::new("/var/lib/dlms2mqtt"));
    assert_eq!(config.secrets_dir, Path::new("/var/lib/dlms2mqtt/secrets"));
    assert_eq!(config.mqtt.client_id, "dlms2mqtt-substation-7");
    assert_eq!((config.mqtt.qos, config.mqtt.broker.port), (Qos::AtLeastOnce, 1883));
    assert!(!config.mqtt.control.allows("config/get"));
    assert_eq!(config.outbox.max_bytes, 64 << 20);
    let Link::Tcp(tcp) = &config.connections["c"].link else { panic!("TCP is the default") };
    assert_eq!((tcp.host.as_str(), tcp.port, tcp.persistence), ("::1", 4059, Persistence::PerCycle));
    let Link::Serial(serial) = &config.connections["s"].link else { panic!("it is serial") };
    assert_eq!((serial.baud_rate, serial.data_bits, serial.stop_bits), (9600, 8, 1));
    let device = &config.devices["d"];
    assert_eq!((device.client_address, device.hold, device.max_pdu_size), (16, Hold::Release, 65_535));
    assert_eq!(device.security.system_title.to_string(), "444C4D72E50E2D0B");
    assert_eq!(device.security.invocation_counter, None);
    let ciphered = &config.devices["k"];
    assert_eq!(ciphered.hold, Hold::Hold);
    assert_eq!(ciphered.security.invocation_counter, Some(Obis::new(0, 0, 43, 1, 0, 255)));
    assert_eq!(format!("{:?}", ciphered.security.block_cipher_key), "Some(File(/etc/dlms2mqtt/k))");
    let [value, profile] = config.groups["g"].values.as_slice() else { panic!("two values") };
    assert_eq!((value.class, &value.selection), (ClassId::DATA, &Selection::Usual));
    assert_eq!(value.obis, Some(Obis::new(1, 0, 1, 8, 0, 255)));
    assert_eq!(profile.profile.as_ref().unwrap().entries, Some(1));
}

#[test]
fn verbs_are_allowed_one_by_one() {
    let allows = |control: &str, verb: &str| {
        config(&format!("gateway: g\nmqtt: {{ url: mqtt://b{control} }}")).mqtt.control.allows(verb)
    };
    for verb in ["config/set", "test/device", "read", "device/scan", "job/list", "health_check"] {
        assert!(allows("", verb), "{verb}");
    }
    for verb in ["set", "action", "relay", "clock/sync", "test_inline", "unheard/of"] {
        assert!(!allows("", verb), "{verb}");
    }
    assert!(allows(", control: { allow: [config/get] }", "config/get"));
    assert!(!allows(", control: { allow: [config/get] }", "config/set"));
    assert!(!allows(", control: { allow: [] }", "config/get"));
    assert!(!allows(", control: false", "config/get"));
}

#[cfg(unix)]
#[test]
fn a_file_and_its_secrets_are_looked_at() {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    let text = |keys: &str| {
        format!(
            "gateway: g\nmqtt: {{ url: mqtt://b }}\nconnections: [{{ name: c, host: h }}]\ndevices:\n  - {{ name: d, connection: c, {keys} }}\n"
        )
    };
    let load = |keys: &str, mode: u32| {
        write(&path, text(keys)).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        load_file(&path)
    };
    let plain = "access_security: low, password: secret-word";
    assert_eq!(load(plain, 0o600).unwrap().warnings, []);
    let open = load(plain, 0o644).unwrap().warnings;
    assert!(open[0].message.contains("others can read it"), "{open:?}");

    let keyed = "transport_security: encryption, block_cipher_key: { file: key }";
    let absent = load(keyed, 0o644).unwrap().warnings;
    assert_eq!(absent[0].path.pointer(), "/devices/0/block_cipher_key");
    assert!(absent[0].message.contains("no such file"), "{absent:?}");

    let key = directory.path().join("key");
    write(&key, "00112233\n").unwrap();
    set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let Problems(short) = load(keyed, 0o644).unwrap_err();
    assert!(short[0].message.contains("16 bytes"), "{short:?}");
    assert_eq!(short[0].position.unwrap().line, 5);

    write(&key, "000102030405060708090A0B0C0D0E0F\n").unwrap();
    let loaded = load(keyed, 0o644).unwrap();
    assert_eq!(loaded.warnings, []);
    let key_bytes = loaded.config.devices["d"].security.block_cipher_key.as_ref().unwrap().key(16).unwrap();
    assert_eq!(key_bytes.expose()[15], 15);
    set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    assert!(load(keyed, 0o644).unwrap().warnings[0].message.contains("others can read this secret"));

    let Problems(problems) = load_file(&directory.path().join("absent.yaml")).unwrap_err();
    assert!(problems[0].message.contains("absent.yaml"), "{problems:?}");
}
