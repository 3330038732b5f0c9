//! The configuration as the bridge uses it: valid, references resolved, every default applied.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

use super::address::ServerAddress;
use super::document::connection::{Echo, FlowControl, Parity, ParityMode};
use super::document::device::{
    AccessSecurity, CipheringForm, Deviation, Interface, Release, ReplayCheck, TransportSecurity,
};
use super::document::group::{Capture, NullCells};
use super::document::mqtt::{Permission, Protocol};
use super::document::{Document, Durability, WhenFull};
use super::load::Source;
use super::name::Name;
use super::object::{TimePoint, Unit};
use super::secret::Secret;
use crate::bridge::topics::Topics;
use crate::cosem::catalogue::ClassId;
use crate::security::control_byte::SecuritySuite;
use crate::security::key::SystemTitle;
use crate::wire::obis::Obis;

/// A valid configuration. What is disabled is in it too.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this gateway.
    pub gateway: Name,
    /// The global switch.
    pub enabled: bool,
    /// Directory of durable state.
    pub state_dir: PathBuf,
    /// Directory of secrets that may be named from afar.
    pub secrets_dir: PathBuf,
    /// The broker.
    pub mqtt: Mqtt,
    /// Messages on their way to the broker.
    pub outbox: Outbox,
    /// Health and metrics over HTTP, if wanted.
    pub http: Option<Http>,
    /// The lines, by name, in the order written.
    pub connections: IndexMap<Name, Connection>,
    /// The meters, by name, in the order written.
    pub devices: IndexMap<Name, Device>,
    /// The groups, by name, in the order written.
    pub groups: IndexMap<Name, Group>,
    pub(super) document: Document,
    pub(super) source: Source,
}

/// The broker and what is published there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// Where the broker is.
    pub broker: Broker,
    /// Version of MQTT.
    pub protocol: Protocol,
    /// Client id.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Certificates; used where the broker is reached over TLS.
    pub tls: Tls,
    /// Every topic, below the base topic.
    pub topics: Topics,
    /// Keep-alive interval, whole seconds.
    pub keep_alive: Duration,
    /// Quality of service of what is published.
    pub qos: Qos,
    /// Whether each value has a topic of its own as well.
    pub value_topics: ValueTopics,
    /// What may be asked over MQTT.
    pub control: Control,
    /// Topic filters of the response topics that callers may name.
    pub response_topics: Vec<String>,
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// How it is reached.
    pub scheme: Scheme,
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path of the websocket, beginning with a slash.
    pub path: String,
}

/// How a broker is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TCP.
    Mqtt,
    /// TLS.
    Mqtts,
    /// Websocket.
    Ws,
    /// Websocket over TLS.
    Wss,
}

/// Certificates. Relative paths are resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that are trusted; the system's if none.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and its key.
    pub client: Option<ClientCertificate>,
    /// The name that the broker's certificate must have, if not the host.
    pub server_name: Option<String>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// Quality of service of what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qos {
    /// 0.
    AtMostOnce,
    /// 1.
    AtLeastOnce,
}

/// Whether each value has a topic of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueTopics {
    /// Group snapshots alone.
    Off,
    /// `devices/<device>/values/<value>` too.
    On,
}

/// What may be asked over MQTT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Nothing: requests aren't even subscribed to.
    Off,
    /// These.
    Allow(BTreeSet<Permission>),
}

/// Messages on their way to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// When messages go to disk.
    pub durability: Durability,
    /// Most bytes that wait.
    pub max_bytes: u64,
    /// Longest time that a message waits.
    pub max_age: Duration,
    /// What gives way when it is full.
    pub when_full: WhenFull,
}

/// Health and metrics over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen.
    pub listen: SocketAddr,
}

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
    /// Whether associations stay open between visits.
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

/// A meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Name.
    pub name: Name,
    /// Free text.
    pub title: Option<String>,
    /// Whether it is read.
    pub enabled: bool,
    /// The connection that it hangs on.
    pub connection: Name,
    /// Framing.
    pub interface: Interface,
    /// The server's address as it goes on the line.
    pub server: ServerAddress,
    /// The client's address: at most 127 on HDLC.
    pub client_address: u16,
    /// Logical or short names.
    pub referencing: Referencing,
    /// Authentication and protection.
    pub security: Security,
    /// Whether associations end with RLRQ.
    pub release: Release,
    /// Whether the association stays open between visits.
    pub hold: Hold,
    /// Longest time for an answer.
    pub timeout: Duration,
    /// How often an unanswered request is repeated.
    pub retries: u8,
    /// Largest APDU that we receive, in bytes.
    pub max_pdu_size: u16,
    /// Pause before each request.
    pub request_delay: Duration,
    /// Pause after disconnecting.
    pub disconnect_delay: Duration,
    /// Parameters of HDLC; without meaning on WRAPPER.
    pub hdlc: Hdlc,
    /// Sign-on of `hdlc_mode_e`; without meaning elsewhere.
    pub mode_e: ModeE,
    /// Time zone of the meter's clock.
    pub time_zone: Option<jiff::tz::TimeZone>,
    /// Sign of the deviation in date-times.
    pub deviation: Deviation,
    /// What must be found there.
    pub identity: Identity,
    /// Free texts that go with what is published.
    pub labels: BTreeMap<String, String>,
}

/// How objects are named to a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Referencing {
    /// By logical name.
    LogicalName,
    /// By short name.
    ShortName,
}

/// Authentication and protection. Secrets are resolved when they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Authentication.
    pub access: AccessSecurity,
    /// Protection of APDUs.
    pub transport: TransportSecurity,
    /// Suite.
    pub suite: SecuritySuite,
    /// Secret of the mechanisms that have one.
    pub password: Option<Secret>,
    /// Authentication key.
    pub authentication_key: Option<Secret>,
    /// Block cipher key.
    pub block_cipher_key: Option<Secret>,
    /// Dedicated key.
    pub dedicated_key: Option<Secret>,
    /// Object to read the invocation counter from; `None`: the state file alone, or no ciphering.
    pub invocation_counter: Option<Obis>,
    /// Client address that it is read with.
    pub invocation_counter_client: u16,
    /// Our system title.
    pub system_title: SystemTitle,
    /// The meter's, if it is to be another than the one it sends.
    pub server_system_title: Option<SystemTitle>,
    /// What is asked of the meter's invocation counters.
    pub replay_check: ReplayCheck,
    /// How ciphered APDUs are tagged.
    pub ciphering_form: CipheringForm,
    /// The association object that takes the HLS proof.
    pub hls_object: Obis,
}

/// Parameters of HDLC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hdlc {
    /// Longest information field that we send.
    pub max_info_tx: u16,
    /// Longest information field that we receive.
    pub max_info_rx: u16,
    /// Frames that we send before an acknowledgement.
    pub window_tx: u8,
    /// Frames that we receive before we acknowledge.
    pub window_rx: u8,
    /// Pause inside a frame that ends it.
    pub inter_octet_timeout: Duration,
}

/// Sign-on of mode E.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeE {
    /// The meter's address of IEC 62056-21; may be empty.
    pub address: String,
    /// Highest speed that we agree to.
    pub max_baud: u32,
}

/// What must be found at a device's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Serial number.
    pub serial: Option<String>,
    /// Logical device name.
    pub logical_device_name: Option<String>,
}

/// Values that are read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: Name,
    /// Free text.
    pub title: Option<String>,
    /// Whether it is read.
    pub enabled: bool,
    /// Time between readings, whole seconds.
    pub interval: Duration,
    /// Added to every multiple of the interval.
    pub offset: Duration,
    /// Free texts that go with what is published.
    pub labels: BTreeMap<String, String>,
    /// What is read, in the order written.
    pub values: Vec<Value>,
}

/// One object of one or more meters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Name.
    pub name: Name,
    /// Where the name comes from.
    pub name_source: NameSource,
    /// Free text.
    pub title: Option<String>,
    /// Whether it is read.
    pub enabled: bool,
    /// The devices: its own, or the group's.
    pub devices: Vec<Name>,
    /// OBIS code; `None` only beside a short name.
    pub obis: Option<Obis>,
    /// Base name.
    pub short_name: Option<u16>,
    /// Class.
    pub class: ClassId,
    /// Where the class comes from.
    pub class_source: ClassSource,
    /// Which attributes.
    pub selection: Selection,
    /// Power of ten that replaces the meter's.
    pub scaler: Option<i8>,
    /// Unit that replaces the meter's.
    pub unit: Option<Unit>,
    /// Which rows, for class profile_generic.
    pub profile: Option<Profile>,
}

/// Where the name of a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameSource {
    /// It is written.
    Configured,
    /// It is made from the OBIS code, for an object that is read on request: no subscriber knows it.
    Made,
}

/// Where the class of a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClassSource {
    /// It is written.
    Configured,
    /// It is the default; where the meter's object list is known, that knows better.
    Default,
}

/// Which attributes of an object are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// What the class's usual reading is.
    Usual,
    /// One, published alone.
    One(i8),
    /// These, published as an object.
    Many(Vec<i8>),
    /// All from 2 on, published as an object.
    All,
}

/// Which rows of a profile are read, and how they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The newest so many rows (of the window, if there is one); `None`: all of the window, or all new ones.
    pub entries: Option<u16>,
    /// Start of the window.
    pub from: Option<TimePoint>,
    /// End of the window.
    pub to: Option<TimePoint>,
    /// The newest rows, or those since the last reading.
    pub capture: Capture,
    /// What an empty cell means.
    pub null_cells: NullCells,
    /// Names of columns by OBIS code.
    pub columns: BTreeMap<Obis, String>,
}

impl Config {
    /// The configuration as it was written.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.document
    }

    /// The configuration as it was written, with its secrets, for writing it back to disk.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The connection of a device.
    #[must_use]
    pub fn connection_of(&self, device: &Device) -> Option<&Connection> {
        self.connections.get(&device.connection)
    }

    /// The devices that hang on a connection.
    pub fn devices_of<'a>(&'a self, connection: &'a Name) -> impl Iterator<Item = &'a Device> {
        self.devices.values().filter(move |device| device.connection == *connection)
    }

    /// Every value of a device, with its group.
    pub fn values_of<'a>(&'a self, device: &'a Name) -> impl Iterator<Item = (&'a Group, &'a Value)> {
        self.groups
            .values()
            .flat_map(|group| group.values.iter().map(move |value| (group, value)))
            .filter(move |(_, value)| value.devices.contains(device))
    }

    /// Whether a device is read: it, its connection and the whole are enabled.
    #[must_use]
    pub fn is_active(&self, device: &Device) -> bool {
        self.enabled
            && device.enabled
            && self.connection_of(device).is_some_and(|connection| connection.enabled)
    }
}

impl Scheme {
    /// Whether the way goes over TLS.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// Whether the way goes over a websocket.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// As in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

impl Control {
    /// Whether a verb may be asked: itself, or its family (`config` for `config/get`).
    #[must_use]
    pub fn allows(&self, verb: &str) -> bool {
        let Self::Allow(permissions) = self else { return false };
        let family = verb.split_once('/').map_or(verb, |(family, _)| family);
        permissions.iter().any(|permission| permission.as_str() == verb || permission.as_str() == family)
    }

    /// Whether definitions that come with a test request may be used.
    #[must_use]
    pub fn allows_inline_tests(&self) -> bool {
        matches!(self, Self::Allow(permissions) if permissions.contains(&Permission::TestInline))
    }
}

impl Security {
    /// Whether invocation counters are used at all: for protected APDUs and for GMAC.
    #[must_use]
    pub fn is_ciphered(&self) -> bool {
        self.transport != TransportSecurity::None || self.access == AccessSecurity::HighGmac
    }
}

impl Value {
    /// Whether its rows are published apart from the snapshot.
    #[must_use]
    pub const fn is_profile(&self) -> bool {
        self.profile.is_some()
    }
}
