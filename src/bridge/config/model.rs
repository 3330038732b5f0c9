//! The configuration as the bridge uses it: valid, references resolved, every default applied.

mod broker;
mod line;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;

pub use broker::{Broker, ClientCertificate, Control, Mqtt, Qos, Scheme, Tls, ValueTopics};
pub use line::{Connection, Hold, Level, Link, Listen, OwnBytes, Persistence, Rs485, Serial, Tcp, Udp};

use super::address::ServerAddress;
use super::document::device::{
    AccessSecurity, CipheringForm, Deviation, Interface, Release, ReplayCheck, TransportSecurity,
};
use super::document::group::NullCells;
use super::document::{Document, Durability, WhenFull};
use super::load::Source;
use super::name::Name;
use super::object::{TimePoint, Unit};
use super::secret::Secret;
use crate::bridge::reading::row_time::RowPoint;
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
    /// How far the meter's clock may be off before that is told; `None`: nothing is.
    pub clock_drift_limit: Option<Duration>,
    /// What must be found there.
    pub identity: Identity,
    /// Free texts that go with what is published.
    pub labels: BTreeMap<String, String>,
}

impl Device {
    /// Silence after which its association, if that is held, is kept alive. The wrapper has no question for that.
    #[must_use]
    pub fn keep_alive(&self) -> Option<Duration> {
        match (self.hold, self.interface) {
            (Hold::Hold, Interface::Hdlc | Interface::HdlcModeE) => self.hdlc.keep_alive,
            (Hold::Release, _) | (_, Interface::Wrapper) => None,
        }
    }
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
    /// Silence after which the link of a held association is asked whether it lives.
    pub keep_alive: Option<Duration>,
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
    /// Whether rows that were missed between two readings are read later.
    pub backfill: bool,
    /// What an empty cell means.
    pub null_cells: NullCells,
    /// Names of columns by OBIS code.
    pub columns: BTreeMap<Obis, String>,
}

/// Which rows of a profile are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// The newest, each time.
    Newest,
    /// Those after this one. A configuration knows of none: then it is all of them.
    Since(Option<RowPoint>),
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
