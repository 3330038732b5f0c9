//! `dlms2mqtt sim`: a simulated meter for trials, with faults.

use std::io::{Write as _, stdout};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use tokio::signal::unix::{SignalKind, signal};

use super::{CommandError, runtime};
use crate::error::{Code, Layer, Report};
use crate::security::{Key, Protection, SecuritySuite, SystemTitle};
use crate::sim::config::PublicClient;
use crate::sim::faults::{Every, StaleAssociation};
use crate::sim::{
    Faults, Framing, HdlcConfig, MeterConfig, Preset, Secret, SecurityConfig, ServerSap, SimulatedMeter,
    SpawnError,
};
use crate::wire::acse::{Mechanism, Referencing};
use crate::wire::hdlc::{AddressSize, Parameters};

/// What to simulate.
#[derive(Debug, Args)]
pub(super) struct SimArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4059")]
    listen: SocketAddr,
    /// The framing.
    #[arg(long, value_enum, default_value_t = Interface::Hdlc)]
    interface: Interface,
    /// What the meter measures: electricity, gas, water or heat.
    #[arg(long, value_name = "KIND", default_value_t = Preset::Electricity)]
    preset: Preset,
    /// Serial number; what the meter measures follows from it.
    #[arg(long, value_name = "N", default_value_t = 12_345_678, value_parser = clap::value_parser!(u32).range(..100_000_000))]
    serial_number: u32,
    /// So many meters on the port, with consecutive serial numbers and addresses: physical on HDLC, logical on WRAPPER.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    stations: u16,
    /// Address of the client with full rights.
    #[arg(long, value_name = "N", default_value_t = MeterConfig::PUBLIC_CLIENT)]
    client_address: u16,
    /// Do not let client 16 read the invocation counter and the like without authentication.
    #[arg(long)]
    no_public_client: bool,
    /// Address of the (first) meter.
    #[arg(long, value_name = "LOGICAL[/PHYSICAL]", default_value_t = ServerSap::logical(1))]
    server_address: ServerSap,
    /// Octets of the server address on HDLC: 1, 2 or 4. By default every size that it fits in is answered.
    #[arg(long, value_name = "OCTETS", value_parser = address_size)]
    address_size: Option<AddressSize>,
    /// How objects are referenced: logical names or short names.
    #[arg(long, value_enum, default_value_t = ReferencingArg::Ln)]
    referencing: ReferencingArg,
    /// Longest APDU that the meter takes and sends, bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(64..))]
    max_pdu: u16,
    /// Offer general block transfer, with this window.
    #[arg(long, value_name = "WINDOW", value_parser = clap::value_parser!(u8).range(1..=63))]
    general_block_transfer: Option<u8>,
    /// Longest information field on HDLC, octets.
    #[arg(long, value_name = "RX/TX", default_value = "128/128", value_parser = pair::<u16>)]
    hdlc_info: (u16, u16),
    /// Window on HDLC, frames.
    #[arg(long, value_name = "RX/TX", default_value = "1/1", value_parser = pair::<u8>)]
    hdlc_window: (u8, u8),
    /// Rows of the load profile.
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(..=100_000))]
    profile_rows: u32,
    /// Seconds between rows of the load profile.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    capture_period: u32,
    /// Zone of the meter's clock, like Europe/Vienna; by default that of the system.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    #[command(flatten)]
    security: SecurityArgs,
    #[command(flatten)]
    faults: FaultArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Security")]
struct SecurityArgs {
    /// How the client must authenticate itself.
    #[arg(long, value_enum, default_value_t = Authentication::None)]
    authentication: Authentication,
    /// Password or HLS secret: text, or 0x and hexadecimal digits.
    #[arg(long, value_name = "SECRET", default_value = "", hide_default_value = true)]
    password: SecretText,
    /// What must cover the client's APDUs at least.
    #[arg(long, value_enum, default_value_t = Security::None)]
    security: Security,
    /// Security suite.
    #[arg(long, value_name = "0|1|2", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=2))]
    security_suite: u8,
    /// The meter's system title, 16 hexadecimal digits.
    #[arg(long, value_name = "HEX", default_value = "53494D0000000001", value_parser = SystemTitle::from_hex)]
    system_title: SystemTitle,
    /// Global unicast encryption key; by default 00 01 02 …
    #[arg(long, value_name = "HEX")]
    block_cipher_key: Option<SecretText>,
    /// Authentication key; by default D0 D1 D2 …
    #[arg(long, value_name = "HEX")]
    authentication_key: Option<SecretText>,
    /// The last invocation counter that the client used: the meter takes only higher ones.
    #[arg(long, value_name = "N", default_value_t = 0)]
    client_counter: u32,
}

/// Replies are counted over the meter's life; on HDLC one reply is what the meter sends in one turn.
#[derive(Debug, Args)]
#[command(next_help_heading = "Faults")]
struct FaultArgs {
    /// Close the connection instead of sending the reply after N.
    #[arg(long, value_name = "N")]
    drop_after: Option<NonZeroU32>,
    /// Send half of reply N, then close.
    #[arg(long, value_name = "N")]
    close_mid_frame: Option<NonZeroU32>,
    /// Send N replies, then none any more.
    #[arg(long, value_name = "N")]
    stall_after: Option<u32>,
    /// Wait before each reply.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,
    /// Send replies in pieces, 1 ms apart.
    #[arg(long, value_name = "BYTES")]
    chunk: Option<NonZeroU32>,
    /// Spoil the check sequence of every Nth reply (HDLC).
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    corrupt_fcs_every: u32,
    /// Send every Nth reply from another address.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    wrong_address_every: u32,
    /// Send every Nth reply twice.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    answer_twice_every: u32,
    /// Answer the first N reads with temporary-failure.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    busy_first: u32,
    /// Spoil the authentication tag of every Nth ciphered reply.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    bad_tag_every: u32,
    /// Play back the ciphered reply before instead of every Nth.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    wrong_counter_every: u32,
    /// After a connection broke without release, refuse associations for so long or until DISC.
    #[arg(long, value_name = "SECONDS")]
    stale_association: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Interface {
    Hdlc,
    Wrapper,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReferencingArg {
    Ln,
    Sn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Authentication {
    None,
    Low,
    High,
    HighMd5,
    HighSha1,
    HighGmac,
    HighSha256,
}

impl Authentication {
    const fn mechanism(self) -> Mechanism {
        match self {
            Self::None => Mechanism::Lowest,
            Self::Low => Mechanism::Low,
            Self::High => Mechanism::High,
            Self::HighMd5 => Mechanism::HighMd5,
            Self::HighSha1 => Mechanism::HighSha1,
            Self::HighGmac => Mechanism::HighGmac,
            Self::HighSha256 => Mechanism::HighSha256,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Security {
    None,
    Authentication,
    Encryption,
    AuthenticationEncryption,
}

impl Security {
    const fn protection(self) -> Protection {
        match self {
            Self::None => Protection::None,
            Self::Authentication => Protection::Authentication,
            Self::Encryption => Protection::Encryption,
            Self::AuthenticationEncryption => Protection::AuthenticatedEncryption,
        }
    }
}

/// A secret as it stands on the command line. Read later, so that no message about the arguments repeats it.
#[derive(Clone, Debug)]
struct SecretText(Secret);

impl FromStr for SecretText {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Secret::new(text.as_bytes())))
    }
}

impl SecretText {
    /// Text as it is, or what `0x` and hexadecimal digits stand for.
    fn secret(&self) -> Result<Secret, CommandError> {
        let Some(digits) = self.0.expose().strip_prefix(b"0x") else { return Ok(self.0.clone()) };
        let wrong = || CommandError::Usage("--password: 0x needs pairs of hexadecimal digits".to_owned());
        let (pairs, []) = digits.as_chunks::<2>() else { return Err(wrong()) };
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let byte = |&[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
        let bytes: Option<zeroize::Zeroizing<Vec<u8>>> =
            pairs.iter().map(byte).collect::<Option<Vec<u8>>>().map(zeroize::Zeroizing::new);
        bytes.map(|bytes| Secret::new(&bytes)).ok_or_else(wrong)
    }

    fn key(&self, name: &str) -> Result<Key, CommandError> {
        let text = std::str::from_utf8(self.0.expose()).unwrap_or_default();
        Key::from_hex(text).map_err(|error| CommandError::Usage(format!("--{name}: {error}")))
    }
}

fn address_size(text: &str) -> Result<AddressSize, &'static str> {
    text.parse().ok().and_then(AddressSize::from_octets).ok_or("1, 2 or 4")
}

fn pair<T: FromStr + Copy>(text: &str) -> Result<(T, T), &'static str> {
    let number = |text: &str| text.parse().map_err(|_| "a number, or two as RX/TX");
    match text.split_once('/') {
        Some((rx, tx)) => Ok((number(rx)?, number(tx)?)),
        None => number(text).map(|both| (both, both)),
    }
}

/// Serves until SIGINT or SIGTERM.
pub(super) fn run(args: &SimArgs) -> Result<(), CommandError> {
    let configs = args.configs()?;
    runtime()?.block_on(async {
        let meters = SimulatedMeter::spawn_line(args.listen, configs).await?;
        announce(&meters).map_err(|error| CommandError::Fault(error.into()))?;
        let fault = |error: std::io::Error| CommandError::Fault(error.into());
        let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        meters.stop().await;
        Ok(())
    })
}

/// One line on stdout: what listens where.
fn announce(meters: &SimulatedMeter) -> std::io::Result<()> {
    let Some(first) = meters.meters().first().map(|meter| meter.config()) else { return Ok(()) };
    let interface = if first.framing == Framing::Wrapper { "wrapper" } else { "hdlc" };
    let count = match meters.meters().len() {
        1 => "meter".to_owned(),
        count => format!("meters ({count}, from)"),
    };
    let mut out = stdout().lock();
    writeln!(
        out,
        "listening on {}: {} {count} {:08}, {interface}, server {}, client {}",
        meters.address(),
        first.preset,
        first.serial_number,
        first.server_address,
        first.client_address
    )?;
    out.flush()
}

impl From<SpawnError> for CommandError {
    fn from(error: SpawnError) -> Self {
        match error {
            SpawnError::Listen(_) => Self::Failed(
                Report::new(Code::Busy, Layer::Tcp, error.to_string())
                    .with_hint("choose another address or port: another process may have this one"),
            ),
            _ => Self::Usage(error.to_string()),
        }
    }
}

impl SimArgs {
    fn configs(&self) -> Result<Vec<MeterConfig>, CommandError> {
        if self.interface == Interface::Wrapper && self.faults.corrupt_fcs_every > 0 {
            return Err(CommandError::Usage("--corrupt-fcs-every needs --interface hdlc".to_owned()));
        }
        let mut config = MeterConfig::new(self.preset, self.serial_number, self.framing());
        config.client_address = self.client_address;
        config.public_client =
            if self.no_public_client { PublicClient::Refused } else { PublicClient::Admitted };
        config.referencing = match self.referencing {
            ReferencingArg::Ln => Referencing::LogicalName,
            ReferencingArg::Sn => Referencing::ShortName,
        };
        config.max_pdu = self.max_pdu;
        config.general_block_transfer = self.general_block_transfer;
        config.profile_rows = self.profile_rows;
        config.capture_period = self.capture_period;
        if let Some(zone) = &self.time_zone {
            config.zone = TimeZone::get(zone)
                .map_err(|_| CommandError::Usage(format!("--time-zone: there is no zone {zone}")))?;
        }
        config.authentication = self.security.authentication.mechanism();
        config.secret = self.security.password.secret()?;
        config.security = self.security.config()?;
        config.faults = self.faults.faults();
        Ok((0..self.stations).map(|station| self.station(&config, station)).collect())
    }

    fn framing(&self) -> Framing {
        let ((max_info_rx, max_info_tx), (window_rx, window_tx)) = (self.hdlc_info, self.hdlc_window);
        match self.interface {
            Interface::Wrapper => Framing::Wrapper,
            Interface::Hdlc => Framing::Hdlc(HdlcConfig {
                parameters: Parameters { max_info_tx, max_info_rx, window_tx, window_rx },
                address_size: self.address_size,
            }),
        }
    }

    fn station(&self, first: &MeterConfig, number: u16) -> MeterConfig {
        let mut config = first.clone();
        config.serial_number = (first.serial_number + u32::from(number)) % 100_000_000;
        let ServerSap { logical, physical } = self.server_address;
        config.server_address = match (self.interface, self.stations) {
            (_, 1) => self.server_address,
            (Interface::Hdlc, _) => {
                ServerSap { logical, physical: Some(physical.unwrap_or(16).saturating_add(number)) }
            }
            (Interface::Wrapper, _) => ServerSap::logical(logical.saturating_add(number)),
        };
        config
    }
}

impl SecurityArgs {
    fn config(&self) -> Result<Option<SecurityConfig>, CommandError> {
        let keyed = matches!(self.authentication, Authentication::HighGmac | Authentication::HighSha256);
        if self.security == Security::None && !keyed && self.block_cipher_key.is_none() {
            return Ok(None);
        }
        let suite = SecuritySuite::from_id(self.security_suite)
            .ok_or_else(|| CommandError::Usage("--security-suite: 0, 1 or 2".to_owned()))?;
        let key = |given: &Option<SecretText>, name, first: u8| match given {
            Some(text) => text.key(name),
            None => {
                let bytes: Vec<u8> = (first..).take(suite.key_length()).collect();
                Key::from_bytes(&bytes).map_err(|error| CommandError::Fault(error.into()))
            }
        };
        Ok(Some(SecurityConfig {
            suite,
            policy: self.security.protection(),
            system_title: self.system_title,
            block_cipher_key: key(&self.block_cipher_key, "block-cipher-key", 0x00)?,
            authentication_key: key(&self.authentication_key, "authentication-key", 0xD0)?,
            client_counter: self.client_counter,
        }))
    }
}

impl FaultArgs {
    fn faults(&self) -> Faults {
        Faults {
            drop_after: self.drop_after,
            close_mid_frame: self.close_mid_frame,
            stall_after: self.stall_after,
            delay: Duration::from_millis(self.delay_ms),
            chunk: self.chunk,
            corrupt_fcs: Every::nth(self.corrupt_fcs_every),
            wrong_address: Every::nth(self.wrong_address_every),
            answer_twice: Every::nth(self.answer_twice_every),
            busy_first: self.busy_first,
            bad_tag: Every::nth(self.bad_tag_every),
            wrong_counter: Every::nth(self.wrong_counter_every),
            stale_association: match self.stale_association {
                Some(seconds) => StaleAssociation::Lingers(Duration::from_secs(seconds)),
                None => StaleAssociation::Ends,
            },
        }
    }
}
