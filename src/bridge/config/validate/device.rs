//! Devices: addresses, security, HDLC, and what their connection can carry.

use std::collections::BTreeMap;
use std::time::Duration;

use super::connection::hold;
use super::{
    Made, Surroundings, flag, missing, one_of, plain_text, required, timed, timed_unless_off, within,
};
use crate::bridge::config::address::{
    HIGHEST_ADDRESS, Physical, ServerAddress, ServerAddressType, title_of_gateway,
};
use crate::bridge::config::defaults;
use crate::bridge::config::document::Document;
use crate::bridge::config::document::device::{
    self as written, AccessSecurity, Interface, InvocationCounter, TransportSecurity,
};
use crate::bridge::config::model::{
    Connection, Device, Hdlc, Hold, Identity, Link, ModeE, Referencing, Security,
};
use crate::bridge::config::path::Path;
use crate::bridge::config::problem::{Findings, Problem};
use crate::bridge::config::quantity::{Flag, Text};
use crate::bridge::config::secret::Secret;
use crate::security::control_byte::SecuritySuite;
use crate::security::key::SystemTitle;
use crate::wire::hdlc::address::AddressSize;

const MODE_E_BAUDS: &[i64] = &[300, 600, 1200, 2400, 4800, 9600, 19_200];
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);
/// Of a longer device address IEC 62056-21 knows nothing.
const LONGEST_MODE_E_ADDRESS: usize = 32;

pub(super) fn devices(
    document: &Document,
    surroundings: &Surroundings,
    findings: &mut Findings,
) -> Made<Device> {
    let at = Path::root().key("devices");
    let connections = document.connections.as_deref().unwrap_or_default();
    let written = document.devices.as_deref().unwrap_or_default();
    written
        .iter()
        .enumerate()
        .map(|(index, written)| {
            let at = at.index(index);
            let made = device(written, surroundings, &at, findings);
            let named = written.connection.as_ref()?;
            match connections.iter().find(|candidate| candidate.name.as_ref() == Some(named)) {
                Some(connection) => {
                    let hold = hold(written.hold.or(connection.hold));
                    made.map(|made| Device { hold, ..made })
                }
                None => {
                    let known = connections.iter().filter_map(|connection| connection.name.as_ref());
                    findings.push(super::unknown(at.key("connection"), "connection", named, known));
                    None
                }
            }
        })
        .collect()
}

fn device(
    written: &written::Device,
    surroundings: &Surroundings,
    at: &Path,
    findings: &mut Findings,
) -> Option<Device> {
    let name = required(written.name.clone(), &at.key("name"), findings);
    plain_text(written.title.as_deref(), 256, &at.key("title"), findings);
    let connection = required(written.connection.clone(), &at.key("connection"), findings);
    let interface = written.interface.unwrap_or(defaults::INTERFACE);
    let server = server_address(written, interface, at, findings);
    let highest_client = if interface == Interface::Wrapper { 65_535 } else { 127 };
    let client = |value, default, key: &str, findings: &mut Findings| {
        within::<u16>(value, default, 1..=highest_client, &at.key(key), findings)
    };
    let client_address = client(written.client_address, defaults::CLIENT_ADDRESS, "client_address", findings);
    let counter_client = client(
        written.invocation_counter_client,
        defaults::CLIENT_ADDRESS,
        "invocation_counter_client",
        findings,
    );
    let security = security(written, surroundings, counter_client, at, findings);
    let any = Duration::ZERO..=LONGEST_TIMEOUT;
    let timeout = timed(
        written.timeout,
        defaults::TIMEOUT,
        Duration::from_millis(100)..=LONGEST_TIMEOUT,
        &at.key("timeout"),
        findings,
    );
    let request_delay =
        timed(written.request_delay, Duration::ZERO, any.clone(), &at.key("request_delay"), findings);
    let disconnect_delay =
        timed(written.disconnect_delay, Duration::ZERO, any, &at.key("disconnect_delay"), findings);
    let retries = within(written.retries, defaults::RETRIES, 0..=10, &at.key("retries"), findings);
    let max_pdu_size =
        within(written.max_pdu_size, defaults::MAX_PDU_SIZE, 12..=65_535, &at.key("max_pdu_size"), findings);
    let hdlc = hdlc(written, interface, &at.key("hdlc"), findings);
    let mode_e = mode_e(written, interface, &at.key("mode_e"), findings);
    let time_zone = time_zone(written.time_zone.as_deref(), &at.key("time_zone"), findings);
    let clock_drift_limit = clock_drift_limit(written, &at.key("clock_drift_limit"), findings);
    let labels = labels(written.labels.as_ref(), &at.key("labels"), findings);
    Some(Device {
        name: name?,
        title: written.title.clone(),
        enabled: flag(written.enabled, true),
        connection: connection?,
        interface,
        server: server?,
        client_address,
        referencing: match written.logical_name_referencing {
            Some(Flag(false)) => Referencing::ShortName,
            _ => Referencing::LogicalName,
        },
        security,
        release: written.release.unwrap_or(defaults::RELEASE),
        hold: Hold::Release,
        timeout,
        retries,
        max_pdu_size,
        request_delay,
        disconnect_delay,
        hdlc,
        mode_e,
        time_zone,
        deviation: written.deviation.unwrap_or(defaults::DEVIATION),
        clock_drift_limit,
        identity: identity(written.identity.as_ref(), &at.key("identity"), findings),
        labels,
    })
}

/// 0 is off too: a limit of nothing would be crossed by every reading.
fn clock_drift_limit(written: &written::Device, at: &Path, findings: &mut Findings) -> Option<Duration> {
    let range = Duration::ZERO..=Duration::from_secs(86_400);
    let limit = written.clock_drift_limit.as_ref();
    timed_unless_off(limit, defaults::CLOCK_DRIFT_LIMIT, range, at, findings).filter(|limit| !limit.is_zero())
}

fn server_address(
    written: &written::Device,
    interface: Interface,
    at: &Path,
    findings: &mut Findings,
) -> Option<ServerAddress> {
    let range = 0..=i64::from(HIGHEST_ADDRESS);
    let before = findings.len();
    let logical: u16 =
        within(written.logical_server_address, 0, range.clone(), &at.key("logical_server_address"), findings);
    let given: u16 =
        within(written.server_address, defaults::SERVER_ADDRESS, range, &at.key("server_address"), findings);
    let whole = 0..=i64::MAX;
    within::<i64>(written.serial_number, 0, whole, &at.key("serial_number"), findings);
    let kind = written.server_address_type.unwrap_or(ServerAddressType::Default);
    let physical = match kind {
        ServerAddressType::Default => {
            let unused = [
                ("serial_number", written.serial_number.is_some()),
                ("serial_number_formula", written.serial_number_formula.is_some()),
            ];
            for (key, _) in unused.iter().filter(|(_, given)| *given) {
                if !findings.is_unreadable(&at.key("server_address_type")) {
                    let hint = "set server_address_type: serial_number";
                    findings.warning(at.key(*key), "is not used: the server address is given", hint);
                }
            }
            Physical::Given(given)
        }
        ServerAddressType::SerialNumber => from_serial_number(written, at, findings)?,
    };
    let size_at = at.key("hdlc").key("address_size");
    let forced = match written.hdlc.as_ref().and_then(|hdlc| hdlc.address_size) {
        None => None,
        Some(bytes) => {
            let bytes = one_of(Some(bytes), 0, &[1, 2, 4], &size_at, findings);
            u8::try_from(bytes).ok().and_then(AddressSize::from_octets)
        }
    };
    if findings.len() > before && findings.has_errors() {
        return None;
    }
    let (Physical::Given(lower) | Physical::FromSerial(lower)) = physical;
    if interface == Interface::Wrapper {
        return Some(ServerAddress::Wrapper { wport: if logical == 0 { lower } else { logical } });
    }
    if kind == ServerAddressType::SerialNumber && logical == 0 {
        let message =
            "a serial number goes into the lower half of the address; 1 is taken for the upper half";
        findings.warning(at.key("logical_server_address"), message, "set logical_server_address: 1");
    }
    ServerAddress::hdlc(logical, physical, forced)
        .map_err(|error| {
            let problem = Problem::error(size_at, error.to_string());
            findings.push(problem.with_hint("leave address_size out, or set 4"));
        })
        .ok()
}

fn from_serial_number(written: &written::Device, at: &Path, findings: &mut Findings) -> Option<Physical> {
    if written.server_address.is_some() {
        let hint = "leave it out, or set server_address_type: default";
        findings.warning(
            at.key("server_address"),
            "is not used: it is computed from the serial number",
            hint,
        );
    }
    let number = required(written.serial_number, &at.key("serial_number"), findings)?;
    let number = u64::try_from(number.0).ok()?;
    let formula = written.serial_number_formula.unwrap_or(defaults::SERIAL_FORMULA);
    let address = formula.apply(number);
    if address.is_none() {
        let message = format!("`{formula}` of {number} is over {HIGHEST_ADDRESS}, the highest address");
        let problem = Problem::error(at.key("serial_number_formula"), message);
        findings.push(problem.with_hint("the usual formula is SN % 10000 + 1000"));
    }
    address.map(Physical::FromSerial)
}

fn security(
    written: &written::Device,
    surroundings: &Surroundings,
    counter_client: u16,
    at: &Path,
    findings: &mut Findings,
) -> Security {
    let access = written.access_security.unwrap_or(defaults::ACCESS_SECURITY);
    let transport = written.transport_security.unwrap_or(defaults::TRANSPORT_SECURITY);
    let suite = match within::<i64>(written.security_suite, 0, 0..=2, &at.key("security_suite"), findings) {
        1 => SecuritySuite::Suite1,
        2 => SecuritySuite::Suite2,
        _ => SecuritySuite::Suite0,
    };
    password(written, access, at, findings);
    keys(written, access, transport, suite, at, findings);
    let mut made = Security {
        access,
        transport,
        suite,
        password: None,
        authentication_key: None,
        block_cipher_key: None,
        dedicated_key: None,
        invocation_counter: None,
        invocation_counter_client: counter_client,
        system_title: match written.system_title {
            Some(title) => title.0,
            // Without a gateway's name there will be no configuration.
            None => surroundings.gateway.as_ref().map_or(SystemTitle([0; 8]), title_of_gateway),
        },
        server_system_title: written.server_system_title.map(|title| title.0),
        replay_check: written.replay_check.unwrap_or(defaults::REPLAY_CHECK),
        ciphering_form: written.ciphering_form.unwrap_or(defaults::CIPHERING_FORM),
        hls_object: written.hls_object.map_or(defaults::HLS_OBJECT, |obis| obis.0),
    };
    let place = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.below(&surroundings.directory));
    made.password = place(&written.password);
    made.authentication_key = place(&written.authentication_key);
    made.block_cipher_key = place(&written.block_cipher_key);
    made.dedicated_key = place(&written.dedicated_key);
    made.invocation_counter = match written.invocation_counter {
        Some(InvocationCounter::Object(obis)) => Some(obis.0),
        Some(InvocationCounter::None) => None,
        None => made.is_ciphered().then_some(defaults::INVOCATION_COUNTER),
    };
    made
}

fn password(written: &written::Device, access: AccessSecurity, at: &Path, findings: &mut Findings) {
    let needed = match access {
        AccessSecurity::None | AccessSecurity::HighGmac => false,
        AccessSecurity::Low
        | AccessSecurity::High
        | AccessSecurity::HighMd5
        | AccessSecurity::HighSha1
        | AccessSecurity::HighSha256 => true,
    };
    let at = at.key("password");
    match &written.password {
        None if needed => {
            let problem = missing(&at);
            findings.push(problem.with_hint(format!("access_security {access} needs a password")));
        }
        Some(_) if !needed && !findings.is_unreadable(&at) => {
            let hint = "leave it out, or set access_security to what the meter asks for";
            findings.warning(at, format!("is not used by access_security {access}"), hint);
        }
        Some(secret @ Secret::Plain(_)) => {
            if let Err(error) = secret.password() {
                findings.error(at, error.to_string());
            }
        }
        Some(_) | None => {}
    }
}

fn keys(
    written: &written::Device,
    access: AccessSecurity,
    transport: TransportSecurity,
    suite: SecuritySuite,
    at: &Path,
    findings: &mut Findings,
) {
    let gmac = access == AccessSecurity::HighGmac;
    let authenticated =
        matches!(transport, TransportSecurity::Authentication | TransportSecurity::AuthenticationEncryption);
    let ciphered = transport != TransportSecurity::None;
    let who =
        if gmac { "access_security high_gmac".to_owned() } else { format!("transport_security {transport}") };
    let keys = [
        ("authentication_key", &written.authentication_key, gmac || authenticated),
        ("block_cipher_key", &written.block_cipher_key, gmac || ciphered),
        ("dedicated_key", &written.dedicated_key, false),
    ];
    for (key, secret, needed) in keys {
        let at = at.key(key);
        match secret {
            None if needed => {
                let digits = suite.key_length() * 2;
                findings.push(missing(&at).with_hint(format!("{who} needs it: {digits} hex digits")));
            }
            Some(secret @ Secret::Plain(_)) => {
                if let Err(error) = secret.key(suite.key_length()) {
                    findings.error(at.clone(), format!("{suite}: {error}"));
                }
            }
            Some(_) | None => {}
        }
        let used = if key == "dedicated_key" { ciphered } else { gmac || ciphered };
        if secret.is_some() && !used {
            let hint = "set transport_security, or access_security: high_gmac";
            findings.warning(at, "is not used: nothing is ciphered", hint);
        }
    }
}

fn hdlc(written: &written::Device, interface: Interface, at: &Path, findings: &mut Findings) -> Hdlc {
    if written.hdlc.is_some() && interface == Interface::Wrapper {
        findings.warning(at.clone(), "has no meaning for interface wrapper", "leave it out");
    }
    let written = written.hdlc.clone().unwrap_or_default();
    let info = 32..=2030;
    Hdlc {
        max_info_tx: within(
            written.max_info_tx,
            defaults::INFO_FIELD,
            info.clone(),
            &at.key("max_info_tx"),
            findings,
        ),
        max_info_rx: within(
            written.max_info_rx,
            defaults::INFO_FIELD,
            info,
            &at.key("max_info_rx"),
            findings,
        ),
        window_tx: within(written.window_tx, defaults::WINDOW, 1..=7, &at.key("window_tx"), findings),
        window_rx: within(written.window_rx, defaults::WINDOW, 1..=7, &at.key("window_rx"), findings),
        inter_octet_timeout: timed(
            written.inter_octet_timeout,
            defaults::INTER_OCTET_TIMEOUT,
            Duration::from_millis(20)..=Duration::from_secs(60),
            &at.key("inter_octet_timeout"),
            findings,
        ),
        keep_alive: timed_unless_off(
            written.keep_alive.as_ref(),
            defaults::HDLC_KEEP_ALIVE,
            Duration::from_secs(1)..=Duration::from_secs(3600),
            &at.key("keep_alive"),
            findings,
        ),
    }
}

fn mode_e(written: &written::Device, interface: Interface, at: &Path, findings: &mut Findings) -> ModeE {
    if written.mode_e.is_some() && interface != Interface::HdlcModeE {
        let hint = "leave it out, or set interface: hdlc_mode_e";
        findings.warning(at.clone(), format!("has no meaning for interface {interface}"), hint);
    }
    let written = written.mode_e.clone().unwrap_or_default();
    let address = written.address.map(|Text(address)| address).unwrap_or_default();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b' ';
    if address.len() > LONGEST_MODE_E_ADDRESS || !address.bytes().all(legal) {
        findings.error(at.key("address"), "must be at most 32 letters, digits or spaces");
    }
    let max_baud =
        one_of(written.max_baud, defaults::MODE_E_BAUD, MODE_E_BAUDS, &at.key("max_baud"), findings);
    ModeE { address, max_baud: u32::try_from(max_baud).unwrap_or_default() }
}

fn time_zone(written: Option<&str>, at: &Path, findings: &mut Findings) -> Option<jiff::tz::TimeZone> {
    let name = written?;
    match jiff::tz::TimeZone::get(name) {
        Ok(zone) => Some(zone),
        Err(_) => {
            let problem = Problem::error(at.clone(), "not a time zone that is known");
            findings.push(problem.with_hint("use a name of the IANA database, like Europe/Vilnius or UTC"));
            None
        }
    }
}

fn identity(written: Option<&written::Identity>, at: &Path, findings: &mut Findings) -> Identity {
    let Some(written) = written else { return Identity::default() };
    let mut part = |text: &Option<Text>, key: &str| {
        let text = text.as_ref().map(|Text(text)| text.clone())?;
        if text.is_empty() || text.len() > 64 {
            findings.error(at.key(key), "must be 1 to 64 bytes");
        }
        Some(text)
    };
    Identity {
        serial: part(&written.serial, "serial"),
        logical_device_name: part(&written.logical_device_name, "logical_device_name"),
    }
}

/// Labels of devices and groups.
pub(super) fn labels(
    written: Option<&BTreeMap<String, Text>>,
    at: &Path,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (key, Text(text)) in written.into_iter().flatten() {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=64).contains(&key.len()) || !key.bytes().all(legal) {
            findings.error(at.key(key), "the name of a label is 1 to 64 letters, digits, _ or -");
        }
        plain_text(Some(text), 256, &at.key(key), findings);
        labels.insert(key.clone(), text.clone());
    }
    labels
}

/// What a device's framing asks of its connection.
pub(super) fn on_their_connections(
    document: &Document,
    devices: &[Option<Device>],
    connections: &[Option<Connection>],
    findings: &mut Findings,
) {
    let written = document.devices.as_deref().unwrap_or_default();
    for (index, (device, written)) in devices.iter().zip(written).enumerate() {
        let Some(device) = device else { continue };
        let connection = connections.iter().flatten().find(|connection| connection.name == device.connection);
        let Some(connection) = connection else { continue };
        // The default interface is as wrong on UDP as a written one.
        let at = Path::root().key("devices").index(index);
        let at = if written.interface.is_some() { at.key("interface") } else { at };
        match (&connection.link, device.interface) {
            (Link::Udp(_), Interface::Hdlc | Interface::HdlcModeE) => {
                let message = format!(
                    "interface {} can't go over UDP (connection `{}`)",
                    device.interface, connection.name
                );
                findings.push(Problem::error(at, message).with_hint("set interface: wrapper, or type: tcp"));
            }
            (Link::Udp(_), Interface::Wrapper) if device.referencing == Referencing::ShortName => {
                let at = Path::root().key("devices").index(index).key("logical_name_referencing");
                let message = format!(
                    "short names can't go over UDP: answers bear no number, and datagrams get lost and repeated \
                     (connection `{}`)",
                    connection.name
                );
                findings.push(Problem::error(at, message).with_hint("use a connection of type: tcp"));
            }
            (Link::Serial(_), Interface::Wrapper) => {
                let message = format!(
                    "the WRAPPER has no checksum for a serial line (connection `{}`)",
                    connection.name
                );
                findings.warning(at, message, "meters on serial lines mostly speak hdlc");
            }
            (Link::Serial(serial), Interface::Hdlc) if serial.data_bits == 7 => {
                let message = format!("HDLC needs 8 data bits, connection `{}` has 7", connection.name);
                findings.warning(at, message, "set data_bits: 8 on the connection");
            }
            (Link::Listen(_), _) if is_nameless(device) && has_neighbours(device, devices) => {
                let message = format!(
                    "nothing tells it from the other devices that call on connection `{}`",
                    connection.name
                );
                let hint = "set identity.serial, identity.logical_device_name or server_system_title";
                findings.warning(Path::root().key("devices").index(index), message, hint);
            }
            _ => {}
        }
    }
}

fn is_nameless(device: &Device) -> bool {
    device.identity == Identity::default() && device.security.server_system_title.is_none()
}

fn has_neighbours(device: &Device, devices: &[Option<Device>]) -> bool {
    devices.iter().flatten().any(|other| other.name != device.name && other.connection == device.connection)
}
