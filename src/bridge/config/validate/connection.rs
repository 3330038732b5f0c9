//! Connections: which keys a kind of line has, and their ranges.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::mqtt::is_host;
use super::{Made, flag, one_of, period, plain_text, required, timed, timed_unless_off, within};
use crate::bridge::config::defaults;
use crate::bridge::config::document::Document;
use crate::bridge::config::document::connection::{self as written, FlowControl, Kind, Parity, ParityMode};
use crate::bridge::config::model::{
    Connection, Hold, Level, Link, Listen, OwnBytes, Persistence, Rs485, Serial, Tcp, Udp,
};
use crate::bridge::config::path::Path;
use crate::bridge::config::problem::{Findings, Problem};
use crate::bridge::config::quantity::{Flag, Period};

const BAUD_RATES: &[i64] = &[300, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(super) fn connections(document: &Document, findings: &mut Findings) -> Made<Connection> {
    let at = Path::root().key("connections");
    let written = document.connections.as_deref().unwrap_or_default();
    written
        .iter()
        .enumerate()
        .map(|(index, written)| connection(written, &at.index(index), findings))
        .collect()
}

fn connection(written: &written::Connection, at: &Path, findings: &mut Findings) -> Option<Connection> {
    let name = required(written.name.clone(), &at.key("name"), findings);
    plain_text(written.title.as_deref(), 256, &at.key("title"), findings);
    let kind = written.kind.unwrap_or(defaults::KIND);
    if !findings.is_unreadable(&at.key("type")) {
        foreign_keys(written, kind, at, findings);
    }
    let link = match kind {
        Kind::Tcp => tcp(written, at, findings).map(Link::Tcp),
        Kind::Udp => udp(written, at, findings).map(Link::Udp),
        Kind::Listen => listen(written, at, findings).map(Link::Listen),
        Kind::Serial => serial(written, at, findings).map(Link::Serial),
    };
    let parity_mode = written.parity_mode.unwrap_or(defaults::PARITY_MODE);
    if let (ParityMode::Software7E1, Some(Link::Serial(serial))) = (parity_mode, &link)
        && (serial.data_bits != 8 || serial.parity != Parity::None)
    {
        let problem = Problem::error(at.key("parity_mode"), "software_7e1 needs data_bits 8 and parity none");
        findings.push(problem.with_hint("the parity bit is computed into the eighth bit"));
    }
    let usual_turnaround = if kind == Kind::Serial { defaults::SERIAL_TURNAROUND } else { Duration::ZERO };
    let turnaround = timed(
        written.turnaround,
        usual_turnaround,
        Duration::ZERO..=LONGEST_PAUSE,
        &at.key("turnaround"),
        findings,
    );
    Some(Connection {
        name: name?,
        title: written.title.clone(),
        enabled: flag(written.enabled, true),
        link: link?,
        hold: hold(written.hold),
        turnaround,
        echo: written.echo.unwrap_or(defaults::ECHO),
        parity_mode,
    })
}

/// Keys of other kinds of line are mistakes: a serial port with a host, a TCP endpoint with a baud rate.
fn foreign_keys(written: &written::Connection, kind: Kind, at: &Path, findings: &mut Findings) {
    use Kind::{Listen, Serial, Tcp, Udp};
    let keys: &[(&str, bool, &[Kind])] = &[
        ("host", written.host.is_some(), &[Tcp, Udp, Listen]),
        ("port", written.port.is_some(), &[Tcp, Udp, Listen]),
        ("persistent", written.persistent.is_some(), &[Tcp]),
        ("connect_timeout", written.connect_timeout.is_some(), &[Tcp]),
        ("keep_alive", written.keep_alive.is_some(), &[Tcp, Listen]),
        ("max_connections", written.max_connections.is_some(), &[Listen]),
        ("identify_timeout", written.identify_timeout.is_some(), &[Listen]),
        ("device", written.device.is_some(), &[Serial]),
        ("baud_rate", written.baud_rate.is_some(), &[Serial]),
        ("data_bits", written.data_bits.is_some(), &[Serial]),
        ("stop_bits", written.stop_bits.is_some(), &[Serial]),
        ("parity", written.parity.is_some(), &[Serial]),
        ("flow_control", written.flow_control.is_some(), &[Serial]),
        ("rs485", written.rs485.is_some(), &[Serial]),
        ("parity_mode", written.parity_mode.is_some(), &[Serial, Tcp, Listen]),
        ("echo", written.echo.is_some(), &[Serial, Tcp]),
    ];
    for (key, given, kinds) in keys {
        if *given && !kinds.contains(&kind) {
            let kinds = kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
            let problem = Problem::error(at.key(*key), format!("has no meaning for type {kind}"));
            findings.push(problem.with_hint(format!("it belongs to type {kinds}")));
        }
    }
}

pub(super) fn hold(written: Option<Flag>) -> Hold {
    match written {
        Some(Flag(true)) => Hold::Hold,
        Some(Flag(false)) | None => Hold::Release,
    }
}

fn tcp(written: &written::Connection, at: &Path, findings: &mut Findings) -> Option<Tcp> {
    let host = host(written, at, findings);
    let port = port(written, at, findings);
    let connect_timeout = timed(
        written.connect_timeout,
        defaults::CONNECT_TIMEOUT,
        Duration::from_millis(100)..=LONGEST_TIMEOUT,
        &at.key("connect_timeout"),
        findings,
    );
    let keep_alive = keep_alive(written, at, findings);
    Some(Tcp {
        host: host?,
        port,
        persistence: match written.persistent {
            Some(Flag(true)) => Persistence::Persistent,
            _ => Persistence::PerCycle,
        },
        connect_timeout,
        keep_alive,
    })
}

fn udp(written: &written::Connection, at: &Path, findings: &mut Findings) -> Option<Udp> {
    let host = host(written, at, findings);
    let port = port(written, at, findings);
    Some(Udp { host: host?, port })
}

fn listen(written: &written::Connection, at: &Path, findings: &mut Findings) -> Option<Listen> {
    let address = match &written.host {
        None => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Some(host) => {
            let address = host.parse().ok();
            if address.is_none() {
                let problem =
                    Problem::error(at.key("host"), "an address to listen on is expected, not a name");
                findings.push(problem.with_hint("0.0.0.0 or :: listens on every one"));
            }
            address
        }
    };
    let port = port(written, at, findings);
    let max_connections = within(
        written.max_connections,
        defaults::MAX_CONNECTIONS,
        1..=65_535,
        &at.key("max_connections"),
        findings,
    );
    let identify_timeout = timed(
        written.identify_timeout,
        defaults::IDENTIFY_TIMEOUT,
        Duration::from_secs(1)..=LONGEST_TIMEOUT,
        &at.key("identify_timeout"),
        findings,
    );
    let keep_alive = keep_alive(written, at, findings);
    Some(Listen { address: SocketAddr::new(address?, port), keep_alive, max_connections, identify_timeout })
}

fn host(written: &written::Connection, at: &Path, findings: &mut Findings) -> Option<String> {
    let at = at.key("host");
    let host = required(written.host.as_deref(), &at, findings)?;
    let plain = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if is_host(plain) {
        return Some(plain.to_owned());
    }
    let problem = Problem::error(at, "a host name or an address is expected");
    findings.push(problem.with_hint("without a scheme; the port goes into `port`"));
    None
}

fn port(written: &written::Connection, at: &Path, findings: &mut Findings) -> u16 {
    within(written.port, defaults::PORT, 1..=65_535, &at.key("port"), findings)
}

fn keep_alive(written: &written::Connection, at: &Path, findings: &mut Findings) -> Option<Duration> {
    let range = Duration::from_secs(1)..=Duration::from_secs(32_767);
    let at = at.key("keep_alive");
    timed_unless_off(written.keep_alive.as_ref(), defaults::TCP_KEEP_ALIVE, range, &at, findings)
}

fn serial(written: &written::Connection, at: &Path, findings: &mut Findings) -> Option<Serial> {
    let device = required(written.device.as_deref(), &at.key("device"), findings);
    if device.is_some_and(str::is_empty) {
        findings.error(at.key("device"), "must not be empty");
    }
    let baud_rate =
        one_of(written.baud_rate, defaults::BAUD_RATE, BAUD_RATES, &at.key("baud_rate"), findings);
    let data_bits = within(written.data_bits, defaults::DATA_BITS, 5..=8, &at.key("data_bits"), findings);
    if matches!(data_bits, 5 | 6) {
        let message = format!("HDLC needs 8 data bits, {data_bits} can't carry it");
        findings.warning(at.key("data_bits"), message, "use 8");
    }
    let stop_bits = within(written.stop_bits, defaults::STOP_BITS, 1..=2, &at.key("stop_bits"), findings);
    let flow_control = written.flow_control.unwrap_or(defaults::FLOW_CONTROL);
    if flow_control == FlowControl::XonXoff {
        let message = "XON and XOFF (11, 13 hex) occur inside HDLC frames, which will lose them";
        findings.warning(at.key("flow_control"), message, "use none or rts_cts");
    }
    if flow_control == FlowControl::RtsCts && written.rs485.is_some() {
        findings.error(at.key("rs485"), "RTS can't control both direction and flow");
    }
    let rs485 = written.rs485.as_ref().map(|written| rs485(written, &at.key("rs485"), findings));
    Some(Serial {
        device: PathBuf::from(device?),
        baud_rate: u32::try_from(baud_rate).unwrap_or_default(),
        data_bits,
        stop_bits,
        parity: written.parity.unwrap_or(defaults::PARITY),
        flow_control,
        rs485,
    })
}

fn rs485(written: &written::Rs485, at: &Path, findings: &mut Findings) -> Rs485 {
    let delay = |value: Option<Period>, key: &str, findings: &mut Findings| {
        let value = period(value, Duration::ZERO);
        if value > Duration::from_millis(1000) {
            findings.error(at.key(key), "must be 0 to 1s");
        }
        value
    };
    let level =
        |value: Option<Flag>, default: bool| if flag(value, default) { Level::High } else { Level::Low };
    let rts_on_send = level(written.rts_on_send, true);
    let rts_after_send = level(written.rts_after_send, false);
    if rts_on_send == rts_after_send {
        let message = "the level of RTS must change after sending: it turns the line around";
        findings.push(
            Problem::error(at.key("rts_after_send"), message)
                .with_hint("usually rts_on_send: true and rts_after_send: false"),
        );
    }
    Rs485 {
        rts_on_send,
        rts_after_send,
        delay_before_send: delay(written.delay_before_send, "delay_before_send", findings),
        delay_after_send: delay(written.delay_after_send, "delay_after_send", findings),
        own_bytes: if flag(written.receive_during_send, false) { OwnBytes::Heard } else { OwnBytes::Unheard },
    }
}
