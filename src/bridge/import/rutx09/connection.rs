//! Sections `connection`: TCP endpoints and serial ports.

use super::options::{Options, OutOfRange};
use super::{Importer, Slugs, named};
use crate::bridge::config::document::connection::{Connection, FlowControl, Kind, Parity};
use crate::bridge::config::quantity::{Flag, Integer};
use crate::bridge::import::uci::Section;

const PARITIES: &[(&str, Parity)] = &[
    ("none", Parity::None),
    ("even", Parity::Even),
    ("odd", Parity::Odd),
    ("mark", Parity::Mark),
    ("space", Parity::Space),
];

const FLOW_CONTROLS: &[(&str, FlowControl)] = &[
    ("none", FlowControl::None),
    ("rts/cts", FlowControl::RtsCts),
    ("rts_cts", FlowControl::RtsCts),
    ("xon/xoff", FlowControl::XonXoff),
    ("xon_xoff", FlowControl::XonXoff),
];

const KINDS: &[(&str, Kind)] =
    &[("0", Kind::Tcp), ("tcp", Kind::Tcp), ("1", Kind::Serial), ("serial", Kind::Serial)];

const BAUD_RATES: &[i64] = &[300, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];

/// A host that never is: RFC 2606.
const NO_HOST: &str = "address.invalid";

impl Importer {
    pub(super) fn connections<'a>(&mut self, sections: impl Iterator<Item = &'a Section>) -> Vec<Connection> {
        let mut slugs = Slugs::default();
        let mut made: Vec<Connection> = Vec::new();
        for section in sections {
            let mut options = Options::new(section);
            let mut connection = connection(&mut options, &mut slugs);
            let twin = connection
                .device
                .as_ref()
                .and_then(|port| made.iter().find(|other| other.device.as_ref() == Some(port)));
            if let Some(twin) = twin {
                let first = twin.name.as_ref().map_or_else(String::new, ToString::to_string);
                if is_same_port(twin, &connection) {
                    options.note(format!(
                        "uses the port of {first}, with the same settings: its devices hang on that"
                    ));
                    self.lines.extend(twin.name.clone().map(|name| (section.id.clone(), name)));
                    self.notes.extend(options.finish());
                    continue;
                }
                options.note(format!(
                    "uses the port of {first} with other settings; one port has one connection here: disabled"
                ));
                connection.device = Some(format!("/dev/null-{}", section.id));
                connection.enabled = Some(Flag(false));
            }
            self.lines.extend(connection.name.clone().map(|name| (section.id.clone(), name)));
            self.notes.extend(options.finish());
            made.push(connection);
        }
        made
    }
}

fn connection(options: &mut Options<'_>, slugs: &mut Slugs) -> Connection {
    let (name, title) = named(options, slugs);
    let mut made = Connection { name: Some(name), title, ..Connection::default() };
    // Older firmware has no such switch: the connection is used where a device names it.
    made.enabled = options.flag("enabled").filter(|enabled| !enabled).map(Flag);
    let kind = options.choice("connection_type", KINDS);
    let kind = kind.and_then(|kind| match kind {
        Some(kind) => Ok(kind),
        None => options.choice("type", KINDS).map(|kind| kind.unwrap_or(Kind::Tcp)),
    });
    made.kind = Some(kind.unwrap_or(Kind::Tcp));
    let filled = match kind {
        Ok(Kind::Serial) => serial(options, &mut made),
        Ok(_) | Err(OutOfRange) => tcp(options, &mut made),
    };
    // The editor keeps what was typed before the type was changed.
    let foreign: &[&'static str] = match kind {
        Ok(Kind::Serial) => &["address", "port", "persistent"],
        _ => &["device", "baudrate", "databits", "stopbits", "parity", "flowcontrol"],
    };
    for name in foreign {
        let _ = options.text(name);
    }
    if filled.is_err() || kind.is_err() {
        options.note("disabled until that is settled");
        made.enabled = Some(Flag(false));
    }
    made
}

fn tcp(options: &mut Options<'_>, made: &mut Connection) -> Result<(), OutOfRange> {
    let host = options.text("address");
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let is_host = |host: &String| {
        host.len() <= 253
            && host.chars().all(legal)
            && (!host.contains(':') || host.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let known = host.filter(is_host);
    let found = if known.is_some() { Ok(()) } else { Err(OutOfRange) };
    if known.is_none() {
        options.note(format!("`address` is missing or no host: {NO_HOST} stands for it"));
    }
    made.host = Some(known.unwrap_or_else(|| NO_HOST.to_owned()));
    let port = options.number("port", 1..=65_535);
    made.port = port.unwrap_or_default().map(Integer);
    if port == Ok(None) {
        options.note("`port` is missing: 4059, the usual one");
    }
    made.persistent = options.flag("persistent").filter(|persistent| *persistent).map(Flag);
    port.and(found)
}

fn serial(options: &mut Options<'_>, made: &mut Connection) -> Result<(), OutOfRange> {
    let port = options.text("device");
    let found = if port.is_some() { Ok(()) } else { Err(OutOfRange) };
    made.device = Some(match port {
        Some(path) if path.starts_with('/') => path,
        Some(name) => format!("/dev/{name}"),
        None => {
            options.note("`device` is missing");
            format!("/dev/null-{}", options.id())
        }
    });
    if found.is_ok() {
        options.note(
            "the port's path is the router's: elsewhere it has another, best one below /dev/serial/by-id",
        );
    }
    let baud_rate = options.number("baudrate", 300..=115_200).and_then(|rate| match rate {
        Some(rate) if !BAUD_RATES.contains(&rate) => {
            options.note(format!("`baudrate` is {rate}, which is not offered here"));
            Err(OutOfRange)
        }
        rate => Ok(rate),
    });
    let data_bits = options.number("databits", 5..=8);
    let stop_bits = options.number("stopbits", 1..=2);
    let parity = options.choice("parity", PARITIES);
    let flow_control = options.choice("flowcontrol", FLOW_CONTROLS);
    made.baud_rate = baud_rate.unwrap_or_default().map(Integer);
    made.data_bits = data_bits.unwrap_or_default().map(Integer);
    made.stop_bits = stop_bits.unwrap_or_default().map(Integer);
    made.parity = parity.unwrap_or_default();
    made.flow_control = flow_control.unwrap_or_default();
    baud_rate.and(data_bits).and(stop_bits)?;
    parity?;
    flow_control?;
    found
}

fn is_same_port(a: &Connection, b: &Connection) -> bool {
    let settings =
        |connection: &Connection| Connection { name: None, title: None, enabled: None, ..connection.clone() };
    settings(a) == settings(b) && a.enabled == b.enabled
}
