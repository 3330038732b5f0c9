//! A line and its settings, every default applied.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::bridge::config::document::connection::{Echo, FlowControl, Parity, ParityMode};
use crate::bridge::config::name::Name;

/// A line that meters hang on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Name.
    pub name: Name,
    /// Free text.
    pub title: Option<String>,
    /// Whether it is used.
    pub enabled: bool,
    /// What kind of line it is, and where.
    pub link: Link,
    /// Whether associations stay open between visits, of devices that do not say it themselves.
    pub hold: Hold,
    /// Pause between receiving and sending.
    pub turnaround: Duration,
    /// What becomes of our own bytes coming back.
    pub echo: Echo,
    /// Who makes the parity bit.
    pub parity_mode: ParityMode,
}

/// A kind of line, with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// We connect over TCP.
    Tcp(Tcp),
    /// UDP.
    Udp(Udp),
    /// Meters or modems connect to us.
    Listen(Listen),
    /// A serial port.
    Serial(Serial),
}

/// A TCP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether the connection is kept between cycles.
    pub persistence: Persistence,
    /// Longest time for the connection to open.
    pub connect_timeout: Duration,
    /// Idle time after which TCP probes the peer.
    pub keep_alive: Option<Duration>,
}

/// Whether a connection is kept between cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// It is opened for each cycle and closed after it.
    PerCycle,
    /// It is kept.
    Persistent,
}

/// Whether associations stay open between visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// Released when the next visit is far.
    Release,
    /// Kept whatever the pause.
    Hold,
}

/// A UDP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A port where meters or modems connect to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address to listen on.
    pub address: SocketAddr,
    /// Idle time after which TCP probes the peer.
    pub keep_alive: Option<Duration>,
    /// Most connections at a time.
    pub max_connections: u16,
    /// Time in which who connects must be known.
    pub identify_timeout: Duration,
}

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial {
    /// Path of the port.
    pub device: PathBuf,
    /// Speed in baud.
    pub baud_rate: u32,
    /// Data bits, 5 to 8.
    pub data_bits: u8,
    /// Stop bits, 1 or 2.
    pub stop_bits: u8,
    /// Parity.
    pub parity: Parity,
    /// Flow control.
    pub flow_control: FlowControl,
    /// Direction control by the driver, if wanted.
    pub rs485: Option<Rs485>,
}

/// Direction control of RS-485.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rs485 {
    /// Level of RTS while sending.
    pub rts_on_send: Level,
    /// Level of RTS after sending.
    pub rts_after_send: Level,
    /// Pause between RTS and the first bit.
    pub delay_before_send: Duration,
    /// Pause between the last bit and RTS.
    pub delay_after_send: Duration,
    /// Whether we hear ourselves.
    pub own_bytes: OwnBytes,
}

/// Level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Low.
    Low,
    /// High.
    High,
}

/// Whether the receiver is on while we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnBytes {
    /// Off.
    Unheard,
    /// On.
    Heard,
}
