//! Imports of a router's DLMS client: every option, what has no counterpart, and that each result loads.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use dlms2mqtt::bridge::config::address::ServerAddress;
use dlms2mqtt::bridge::config::document::device::{AccessSecurity, TransportSecurity};
use dlms2mqtt::bridge::config::load::{Loaded, load_text};
use dlms2mqtt::bridge::config::model::{Link, Persistence, Referencing, Selection};
use dlms2mqtt::bridge::config::tree::Format;
use dlms2mqtt::bridge::import::{Imported, rutx09};
use dlms2mqtt::cosem::catalogue::ClassId;
use dlms2mqtt::wire::obis::Obis;
use proptest::prelude::*;

const ROUTER: &str = include_str!("data/rutx09/dlms_client");

fn import(text: &str) -> Imported {
    let settings = rutx09::Settings {
        gateway: "site-4".parse().unwrap(),
        mqtt_url: "mqtt://broker.example".to_owned(),
        secrets: "secrets".into(),
    };
    rutx09::import(text, settings).unwrap()
}

fn load(imported: &Imported) -> Loaded {
    let yaml = imported.yaml().unwrap();
    load_text(&yaml, Format::Yaml, Path::new("/etc/dlms2mqtt"))
        .unwrap_or_else(|problems| panic!("{problems}\n{yaml}"))
}

/// The notes of a file with one TCP connection, one meter, one group and one value, and these options besides.
fn notes(connection: &str, device: &str, group: &str, value: &str) -> (Loaded, Vec<String>) {
    let text = format!(
        "config connection '1'\n option name 'c'\n option address '10.0.0.1'\n option port '4059'\n{connection}\n\
         config physical_device '2'\n option name 'd'\n option enabled '1'\n option connection '1'\n option client_addr '16'\n{device}\n\
         config cosem_group '3'\n option name 'g'\n option enabled '1'\n option interval '60'\n{group}\n\
         config cosem '4'\n option name 'v'\n option enabled '1'\n option cosem_group '3'\n list physical_device '2'\n option logical_name '1.0.1.8.0.255'\n{value}\n"
    );
    let imported = import(&text);
    let notes = imported.notes.iter().map(ToString::to_string).filter(|note| !note.starts_with("mqtt:"));
    (load(&imported), notes.collect())
}

#[test]
fn a_whole_router_is_taken_over() {
    let imported = import(ROUTER);
    let Loaded { config, .. } = load(&imported);
    assert!(config.enabled);
    assert_eq!(config.gateway.as_str(), "site-4");

    let modem = &config.connections["Modem-feeder-1"];
    assert_eq!(modem.title.as_deref(), Some("Modem, feeder 1"));
    let Link::Tcp(tcp) = &modem.link else { panic!("{:?}", modem.link) };
    assert_eq!((tcp.host.as_str(), tcp.port, tcp.persistence), ("10.1.2.3", 4061, Persistence::Persistent));
    let Link::Serial(serial) = &config.connections["RS485"].link else { panic!("a serial line") };
    assert_eq!((serial.device.to_str(), serial.baud_rate, serial.data_bits), (Some("/dev/rs485"), 19_200, 7));
    assert_eq!(
        (serial.stop_bits, serial.parity.as_str(), serial.flow_control.as_str()),
        (2, "even", "rts_cts")
    );
    assert!(!config.connections["Old-modem"].enabled);

    let main = &config.devices["Main-meter-T1"];
    assert!(main.enabled);
    assert_eq!(main.server, ServerAddress::Wrapper { wport: 1 << 7 | 17 });
    assert_eq!(main.client_address, 1);
    assert_eq!(main.security.access, AccessSecurity::HighGmac);
    assert_eq!(main.security.transport, TransportSecurity::AuthenticationEncryption);
    assert_eq!(main.security.invocation_counter, Some(Obis::new(0, 0, 43, 1, 1, 255)));
    assert!(main.security.dedicated_key.is_some() && main.security.password.is_none());
    let tariff = &config.devices["Skaitiklis-Nr-2"];
    let ServerAddress::Hdlc(address) = tariff.server else { panic!("it speaks HDLC") };
    assert_eq!(
        address.encode().as_bytes(),
        [0x00, 0x02, 0x68, 0x2D],
        "4 bytes: logical 1, SN % 10000 + 1000"
    );
    assert_eq!((tariff.security.access, tariff.client_address), (AccessSecurity::Low, 32));
    let old = &config.devices["old-one"];
    assert_eq!(old.referencing, Referencing::ShortName);
    assert!(!old.enabled);

    let billing = &config.groups["Billing"];
    assert_eq!((billing.interval.as_secs(), billing.enabled), (900, true));
    let values: Vec<_> = billing.values.iter().map(|value| (value.name.as_str(), value.class)).collect();
    assert_eq!(
        values,
        [
            ("Energy", ClassId::REGISTER),
            ("Energy-2", ClassId::REGISTER),
            ("Load", ClassId::PROFILE_GENERIC),
            ("Clock", ClassId::CLOCK)
        ]
    );
    assert_eq!(billing.values[0].devices.len(), 2);
    assert_eq!(billing.values[0].obis, Some(Obis::new(1, 0, 1, 8, 0, 255)));
    assert_eq!(billing.values[2].profile.as_ref().unwrap().entries, Some(96));
    assert_eq!(billing.values[3].selection, Selection::One(2));
    let other = &config.groups["Other"];
    assert_eq!((other.values[0].short_name, other.values[0].class), (Some(0x1B58), ClassId::REGISTER));
    assert_eq!(other.values[1].name.as_str(), "Load-2", "profiles have no group in their topic");
    assert_eq!(other.values[1].class, ClassId::PROFILE_GENERIC);
    assert!(!other.values[1].enabled);
}

#[test]
fn secrets_leave_for_files() {
    let imported = import(ROUTER);
    let yaml = imported.yaml().unwrap();
    let files: Vec<(String, &str)> = imported
        .secrets
        .iter()
        .map(|secret| (secret.path.display().to_string(), secret.content.as_str()))
        .collect();
    assert_eq!(
        files,
        [
            ("secrets/Main-meter-T1.ak".to_owned(), "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"),
            ("secrets/Main-meter-T1.ek".to_owned(), "000102030405060708090A0B0C0D0E0F"),
            ("secrets/Main-meter-T1.dk".to_owned(), "E0E1E2E3E4E5E6E7E8E9EAEBECEDEEEF"),
            ("secrets/Skaitiklis-Nr-2.password".to_owned(), "Pa ss'1"),
        ]
    );
    for (path, content) in &files {
        assert!(yaml.contains(path) && !yaml.contains(content), "{yaml}");
    }
    let shown = format!("{imported:?}");
    assert!(files.iter().all(|(_, content)| !shown.contains(content)), "{shown}");
}

#[test]
fn a_password_that_would_be_read_back_otherwise_is_kept_as_digits() {
    for (password, content) in
        [("p ", "p "), ("p\r", "hex:700D"), ("p\n", "hex:700A"), ("hex:1", "hex:6865783A31")]
    {
        let text = ROUTER.replace("'Pa ss'\\''1'", &format!("'{password}'"));
        assert_ne!(text, ROUTER);
        let imported = import(&text);
        let kept = imported.secrets.iter().find(|secret| secret.path.ends_with("Skaitiklis-Nr-2.password"));
        assert_eq!(kept.unwrap().content.as_str(), content, "{password:?}");
    }
}

#[test]
fn what_cannot_be_taken_over_is_said_and_switched_off() {
    for (connection, device, said) in [
        (" option port '70000'", "", "`port` is 70000, and must be 1 to 65535 here"),
        (" option address 'a b'", "", "`address` is missing or no host"),
        (" option connection_type '2'", "", "`connection_type` is 2, a choice that is not known here"),
        (" option connection_type '1'", "", "`device` is missing"),
        (
            " option connection_type '1'\n option device '/dev/rs485'\n option baudrate '1800'",
            "",
            "`baudrate` is 1800, which is not offered here",
        ),
        (
            " option connection_type '1'\n option device '/dev/rs485'\n option parity 'weird'",
            "",
            "`parity` is weird, a choice that is not known here",
        ),
    ] {
        let (loaded, notes) = notes(connection, device, "", "");
        assert!(notes.iter().any(|note| note.contains(said)), "{said}: {notes:#?}");
        assert!(notes.iter().any(|note| note.contains("disabled until")), "{notes:#?}");
        assert!(!loaded.config.connections["c"].enabled);
    }
    for (device, said) in [
        (" option client_addr '0'", "`client_addr` is 0, and must be 1 to 127 here"),
        (" option client_addr '200'", "`client_addr` is 200, and must be 1 to 127 here"),
        (" option server_addr '-1'", "`server_addr` is -1"),
        (" option access_security '7'", "`access_security` is 7, a choice that is not known here"),
        (" option transport_security '8'", "`transport_security` is 8"),
        (" option interface '2'", "`interface` is 2"),
        (
            " option interface '1'\n option log_server_addr '200'\n option server_addr '1'",
            "make the wPort 25601, over 16383",
        ),
    ] {
        let (loaded, notes) = notes("", device, "", "");
        assert!(notes.iter().any(|note| note.contains(said)), "{said}: {notes:#?}");
        assert!(!loaded.config.devices["d"].enabled, "{device}");
    }
    let (loaded, found) = notes("", "", " option interval '0'", "");
    assert!(found.iter().any(|note| note.contains("`interval` is 0")), "{found:?}");
    assert!(!loaded.config.groups["g"].enabled);
    let (loaded, found) = notes("", "", "", " option logical_name '1.8.0'");
    assert!(found.iter().any(|note| note.contains("1.8.0: reduced OBIS form")), "{found:?}");
    assert!(loaded.config.groups["g"].values.is_empty());
}

#[test]
fn nothing_is_dropped_in_silence() {
    let (_, found) =
        notes(" option colour 'red'", " option secret_thing 'hunter2'", "", " option number_of 'x'");
    assert_eq!(
        found,
        [
            "connection 1 (c): `colour` has no counterpart here: not taken over",
            "physical_device 2 (d): `secret_thing` has no counterpart here: not taken over",
            "cosem 4 (v): `number_of` has no counterpart here: not taken over",
        ]
    );
    let (_, found) = notes("", "", "", "config wonder 'w'\n option x 'y'");
    assert_eq!(found, ["wonder w: a section of a kind that is not known here: not taken over"]);
    assert_eq!(notes("", "", "", "").1, [""; 0]);
}

#[test]
fn missing_and_malformed_keys_are_asked_for() {
    let device =
        " option transport_security '48'\n option block_cipher_key 'not hex at all, yet 32 long ....'";
    let (loaded, found) = notes("", device, "", "");
    assert!(
        found
            .iter()
            .any(|note| note.contains("`authentication_key` is missing: write the key to secrets/d.ak"))
    );
    assert!(
        found
            .iter()
            .any(|note| note
                .contains("`block_cipher_key` is not 32 hex digits: write the key to secrets/d.ek"))
    );
    assert!(found.iter().all(|note| !note.contains("yet 32")), "{found:?}");
    assert!(loaded.config.devices["d"].security.block_cipher_key.is_some());
}

#[test]
fn attributes_addresses_and_references_are_read_in_every_form() {
    let selection = |value: &str| notes("", "", "", value).0.config.groups["g"].values[0].selection.clone();
    assert_eq!(selection(" option attributes '2'"), Selection::One(2));
    assert_eq!(selection(" list attributes '2'\n list attributes '3'"), Selection::Many(vec![2, 3]));
    assert_eq!(selection(" option attributes '2,3 3'"), Selection::Many(vec![2, 3]));
    assert_eq!(selection(" option attributes 'all'"), Selection::All);

    let server = |device: &str| notes("", device, "", "").0.config.devices["d"].server;
    let octets = |device: &str| match server(device) {
        ServerAddress::Hdlc(address) => address.encode().as_bytes().to_vec(),
        ServerAddress::Wrapper { wport } => wport.to_be_bytes().to_vec(),
    };
    assert_eq!(octets(" option server_addr '1'"), [0x03]);
    assert_eq!(octets(" option server_addr '145'"), [0x02, 0x23]);
    assert_eq!(octets(" option server_addr '17'\n option log_server_addr '1'"), [0x02, 0x23]);
    assert_eq!(octets(" option interface '1'\n option server_addr '5'"), [0, 5]);
    assert_eq!(octets(" option interface '1'\n option server_addr '5'\n option log_server_addr '2'"), [1, 5]);
    let serial = " option interface '1'\n option server_addr '12345678'\n option server_addr_type '1'";
    assert_eq!(octets(serial), 6678_u16.to_be_bytes());

    for option in ["use_ln_ref", "use_logical_name_ref"] {
        let device = format!(" option {option} '0'");
        let (loaded, _) = notes("", &device, "", " option short_name '0x1B58'");
        assert_eq!(loaded.config.devices["d"].referencing, Referencing::ShortName);
        assert_eq!(loaded.config.groups["g"].values[0].short_name, Some(0x1B58));
    }
    let (loaded, _) = notes("", "", "", " option short_name '0x1B58'");
    assert_eq!(loaded.config.groups["g"].values[0].short_name, None, "read by logical names");
}

#[test]
fn the_command_writes_files_for_the_owner_alone_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let router = folder.path().join("dlms_client");
    fs::write(&router, ROUTER).unwrap();
    let output = folder.path().join("config.yaml");
    let import = |more: &[&str]| -> Output {
        let mut command = Command::cargo_bin("dlms2mqtt").unwrap();
        command
            .current_dir(folder.path())
            .args(["import", "rutx09"])
            .arg(&router)
            .args(more)
            .output()
            .unwrap()
    };
    let done = import(&["--gateway", "site-4", "--output", output.to_str().unwrap()]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{said}");
    assert!(said.contains("cosem 15 (Load): `enabled` is not set"), "{said}");
    let key = folder.path().join("secrets/Main-meter-T1.ek");
    assert_eq!(fs::read_to_string(&key).unwrap(), "000102030405060708090A0B0C0D0E0F");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(folder.path().join("secrets")).unwrap().permissions().mode() & 0o777, 0o700);

    let check =
        Command::cargo_bin("dlms2mqtt").unwrap().args(["check", "--config"]).arg(&output).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));

    assert_eq!(import(&["--output", output.to_str().unwrap()]).status.code(), Some(1), "it is there already");
    let printed = import(&[]);
    assert!(printed.status.success(), "the same secrets may be there already");
    assert!(String::from_utf8(printed.stdout).unwrap().contains("gateway: gateway"));
    fs::write(&key, "another").unwrap();
    let refused = import(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&key).unwrap(), "another");
    fs::write(&router, "dlms_client.1=connection\n").unwrap();
    let refused = import(&[]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("uci export"), "{refused:?}");
}

/// Words that mean something to the importer, and some that do not.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("0".to_owned()),
        Just("1".to_owned()),
        Just("7".to_owned()),
        Just("48".to_owned()),
        Just("1.0.1.8.0.255".to_owned()),
        Just("/dev/rs485".to_owned()),
        "[ -~]{0,12}".prop_map(|text| text.replace(['\'', '\\'], "")),
        Just("a\u{2028}b: c\u{85}- d".to_owned()),
        "\\PC{0,4}".prop_map(|text| text.replace(['\'', '\\'], "")),
        (-300_i64..70_000).prop_map(|number| number.to_string()),
    ]
}

fn section() -> impl Strategy<Value = String> {
    const OPTIONS: &[&str] = &[
        "enabled",
        "name",
        "connection_type",
        "address",
        "port",
        "persistent",
        "device",
        "baudrate",
        "databits",
        "stopbits",
        "parity",
        "flowcontrol",
        "server_addr",
        "server_addr_type",
        "log_server_addr",
        "client_addr",
        "password",
        "connection",
        "cosem_group",
        "logical_name",
        "short_name",
        "use_logical_name_ref",
        "interface",
        "access_security",
        "transport_security",
        "authentication_key",
        "block_cipher_key",
        "dedicated_key",
        "invocation_counter",
        "use_ln_ref",
        "interval",
        "cosem_id",
        "entries",
        "attributes",
        "physical_device",
        "obis",
    ];
    let kind = prop::sample::select(vec!["connection", "physical_device", "cosem_group", "cosem", "main"]);
    let options = prop::collection::vec((prop::sample::select(OPTIONS.to_vec()), word()), 0..14);
    (kind, "[0-3]", options).prop_map(|(kind, id, options)| {
        let options: String =
            options.iter().map(|(name, value)| format!(" option {name} '{value}'\n")).collect();
        format!("config {kind} '{id}'\n{options}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the router's file says, what comes out of it loads.
    #[test]
    fn every_import_loads(sections in prop::collection::vec(section(), 0..12)) {
        let imported = import(&sections.concat());
        let yaml = imported.yaml().unwrap();
        let loaded = load_text(&yaml, Format::Yaml, Path::new("/etc/dlms2mqtt"));
        prop_assert!(loaded.is_ok(), "{}\n{yaml}", loaded.unwrap_err());
    }
}

#[test]
fn a_file_of_something_else_is_named_as_such() {
    for text in ["", "package network\nconfig interface 'lan'\n option proto 'static'\n"] {
        let imported = import(text);
        load(&imported);
        assert!(imported.notes.iter().any(|note| note.text.contains("nothing of a DLMS client")), "{text}");
    }
}

/// Each of thousands with the same name gets a number at once, without trying all those before it.
#[test]
fn thousands_of_sections_of_one_name_are_numbered() {
    let value = "config cosem\n option name E\n option enabled 1\n option cosem_group 3\n list physical_device 2\n \
                 option logical_name 1.0.1.8.0.255\n option cosem_id 3\n";
    let (loaded, notes) = notes("", "", "", &value.repeat(20_000));
    assert_eq!(notes, [""; 0]);
    assert_eq!(loaded.config.groups[0].values.len(), 20_001);
    assert_eq!(loaded.config.groups[0].values[20_000].name.to_string(), "E-20000");
}

#[test]
fn a_file_that_never_ends_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"))
        .args(["import", "rutx09", "/dev/zero"])
        .output()
        .expect("runs");
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("longer than 16 MiB"), "{output:?}");
}
