//! Every default of the configuration that is a plain value. Derived ones stand where they are derived.

use std::time::Duration;

use super::address::SerialFormula;
use super::document::connection::{Echo, FlowControl, Kind, Parity, ParityMode};
use super::document::device::{
    AccessSecurity, CipheringForm, Deviation, Interface, Release, ReplayCheck, TransportSecurity,
};
use super::document::group::{Capture, NullCells};
use super::document::mqtt::{Permission, Protocol};
use super::document::{Durability, WhenFull};
use crate::cosem::catalogue::ClassId;
use crate::wire::obis::Obis;

pub(super) const STATE_DIR: &str = "/var/lib/dlms2mqtt";
/// Below the state directory.
pub(super) const SECRETS_DIR: &str = "secrets";

pub(super) const PROTOCOL: Protocol = Protocol::Auto;
pub(super) const MQTT_KEEP_ALIVE: Duration = Duration::from_secs(30);
pub(super) const QOS: i64 = 1;
/// Everything but tests of definitions that come with the request, which could connect anywhere, and what writes to meters.
pub(super) const PERMISSIONS: &[Permission] = &[
    Permission::Config,
    Permission::Test,
    Permission::Read,
    Permission::Device,
    Permission::Poll,
    Permission::Profile,
    Permission::Job,
    Permission::LogLevel,
    Permission::HealthCheck,
    Permission::Restart,
];

pub(super) const DURABILITY: Durability = Durability::Spill;
pub(super) const OUTBOX_BYTES: u64 = 64 << 20;
pub(super) const OUTBOX_AGE: Duration = Duration::from_secs(7 * 86_400);
pub(super) const WHEN_FULL: WhenFull = WhenFull::DropOldest;

pub(super) const KIND: Kind = Kind::Tcp;
/// The port that IANA has registered for DLMS/COSEM.
pub(super) const PORT: i64 = 4059;
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const TCP_KEEP_ALIVE: Duration = Duration::from_secs(30);
pub(super) const MAX_CONNECTIONS: i64 = 64;
pub(super) const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const BAUD_RATE: i64 = 9600;
pub(super) const DATA_BITS: i64 = 8;
pub(super) const STOP_BITS: i64 = 1;
pub(super) const PARITY: Parity = Parity::None;
pub(super) const FLOW_CONTROL: FlowControl = FlowControl::None;
pub(super) const PARITY_MODE: ParityMode = ParityMode::Native;
pub(super) const ECHO: Echo = Echo::Auto;
/// Transceivers and optical heads need it to turn round.
pub(super) const SERIAL_TURNAROUND: Duration = Duration::from_millis(20);

pub(super) const INTERFACE: Interface = Interface::Hdlc;
pub(super) const SERVER_ADDRESS: i64 = 1;
pub(super) const SERIAL_FORMULA: SerialFormula = SerialFormula::USUAL;
/// The public client.
pub(super) const CLIENT_ADDRESS: i64 = 16;
pub(super) const ACCESS_SECURITY: AccessSecurity = AccessSecurity::None;
pub(super) const TRANSPORT_SECURITY: TransportSecurity = TransportSecurity::None;
pub(super) const INVOCATION_COUNTER: Obis = Obis::new(0, 0, 43, 1, 0, 255);
pub(super) const CIPHERING_FORM: CipheringForm = CipheringForm::Service;
pub(super) const REPLAY_CHECK: ReplayCheck = ReplayCheck::Association;
/// The current association.
pub(super) const HLS_OBJECT: Obis = Obis::new(0, 0, 40, 0, 0, 255);
pub(super) const RELEASE: Release = Release::Auto;
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const RETRIES: i64 = 2;
pub(super) const MAX_PDU_SIZE: i64 = 65_535;
pub(super) const INFO_FIELD: i64 = 128;
pub(super) const WINDOW: i64 = 1;
/// The standard's 25 ms are too short behind modems and USB adapters.
pub(super) const INTER_OCTET_TIMEOUT: Duration = Duration::from_millis(500);
/// A quarter of the inactivity time-out that meters have as a rule (class 23, 120 s).
pub(super) const HDLC_KEEP_ALIVE: Duration = Duration::from_secs(30);
pub(super) const MODE_E_BAUD: i64 = 9600;
pub(super) const CLOCK_DRIFT_LIMIT: Duration = Duration::from_secs(60);
pub(super) const DEVIATION: Deviation = Deviation::Standard;

pub(super) const INTERVAL: Duration = Duration::from_secs(60);
pub(super) const CLASS: ClassId = ClassId::DATA;
pub(super) const ENTRIES: u16 = 1;
pub(super) const NULL_CELLS: NullCells = NullCells::Null;
pub(super) const CAPTURE: Capture = Capture::Newest;
