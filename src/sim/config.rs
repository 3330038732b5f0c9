//! What a simulated meter is like: addresses, association, security, sizes, faults.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use super::faults::Faults;
use super::model::preset::Preset;
use crate::security::{Key, Protection, SecuritySuite, SystemTitle};
use crate::wire::acse::{Mechanism, Referencing};
use crate::wire::hdlc::{AddressError, AddressSize, Parameters, ServerAddress};

/// A password or HLS secret. Never printed, wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A secret of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Where the time comes from: the system, or a test.
pub type TimeSource = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The framing that a meter is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// HDLC (IEC 62056-46), here in TCP.
    Hdlc(HdlcConfig),
    /// The wrapper of IEC 62056-47.
    Wrapper,
}

/// What an HDLC station is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HdlcConfig {
    /// The station's limits.
    pub parameters: Parameters,
    /// Octets of the server address, where they are not the fewest that it fits in.
    pub address_size: Option<AddressSize>,
}

/// A server's address as people write it: `1` or `1/17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSap {
    /// Logical device: upper HDLC address, wPort.
    pub logical: u16,
    /// Physical device: lower HDLC address.
    pub physical: Option<u16>,
}

/// A text that is no server address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server address is LOGICAL or LOGICAL/PHYSICAL, each 0 to 16383")]
pub struct ServerSapError;

impl ServerSap {
    /// The logical device alone.
    #[must_use]
    pub const fn logical(logical: u16) -> Self {
        Self { logical, physical: None }
    }

    /// The address on HDLC.
    ///
    /// # Errors
    /// Where a half is over 16383 or does not fit in `size`.
    pub fn hdlc(self, size: Option<AddressSize>) -> Result<ServerAddress, AddressError> {
        ServerAddress::new(self.logical, self.physical, size)
    }
}

impl std::str::FromStr for ServerSap {
    type Err = ServerSapError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let half = |text: &str| text.parse().ok().filter(|&half| half < 0x4000u16).ok_or(ServerSapError);
        Ok(match text.split_once('/') {
            Some((logical, physical)) => Self { logical: half(logical)?, physical: Some(half(physical)?) },
            None => Self::logical(half(text)?),
        })
    }
}

impl fmt::Display for ServerSap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.physical {
            Some(physical) => write!(f, "{}/{physical}", self.logical),
            None => write!(f, "{}", self.logical),
        }
    }
}

/// Keys and policy of a meter.
#[derive(Clone, Debug)]
pub struct SecurityConfig {
    /// The security suite.
    pub suite: SecuritySuite,
    /// What must cover the client's APDUs at least; answers are covered like the request.
    pub policy: Protection,
    /// The meter's system title.
    pub system_title: SystemTitle,
    /// The global unicast encryption key.
    pub block_cipher_key: Key,
    /// The authentication key.
    pub authentication_key: Key,
    /// The last invocation counter that the client used: it must send higher ones.
    pub client_counter: u32,
}

/// A simulated meter.
#[derive(Clone)]
pub struct MeterConfig {
    /// What it measures.
    pub preset: Preset,
    /// Serial number, 0 to 99,999,999; its measurements follow from it.
    pub serial_number: u32,
    /// How it is reached.
    pub framing: Framing,
    /// Its address.
    pub server_address: ServerSap,
    /// The client with full rights: SAP, wPort.
    pub client_address: u16,
    /// Whether client 16 may read the invocation counter and the like without authentication.
    pub public_client: PublicClient,
    /// How objects are referenced.
    pub referencing: Referencing,
    /// How the client must authenticate itself.
    pub authentication: Mechanism,
    /// Password or HLS secret.
    pub secret: Secret,
    /// Keys, where APDUs are ciphered or the client authenticates itself by GMAC or SHA-256.
    pub security: Option<SecurityConfig>,
    /// Longest APDU that it takes and sends, bytes.
    pub max_pdu: u16,
    /// Window of general block transfer; `None` where it is not offered.
    pub general_block_transfer: Option<u8>,
    /// Rows of the load profile.
    pub profile_rows: u32,
    /// Seconds between rows of the load profile.
    pub capture_period: u32,
    /// The zone of its clock.
    pub zone: TimeZone,
    /// Where the time comes from.
    pub time: TimeSource,
    /// What goes wrong.
    pub faults: Faults,
}

/// Whether client 16 may associate besides the configured client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicClient {
    /// It may, and sees a few objects.
    Admitted,
    /// It may not.
    Refused,
}

impl MeterConfig {
    /// SAP of the public client.
    pub const PUBLIC_CLIENT: u16 = 16;

    /// A meter without security, at server address 1, for client 16.
    #[must_use]
    pub fn new(preset: Preset, serial_number: u32, framing: Framing) -> Self {
        Self {
            preset,
            serial_number,
            framing,
            server_address: ServerSap::logical(1),
            client_address: Self::PUBLIC_CLIENT,
            public_client: PublicClient::Admitted,
            referencing: Referencing::LogicalName,
            authentication: Mechanism::Lowest,
            secret: Secret::default(),
            security: None,
            max_pdu: 1024,
            general_block_transfer: None,
            profile_rows: 1500,
            capture_period: 900,
            zone: TimeZone::system(),
            time: Arc::new(Timestamp::now),
            faults: Faults::default(),
        }
    }

    /// The protection that the client's APDUs must have at least.
    #[must_use]
    pub fn policy(&self) -> Protection {
        self.security.as_ref().map_or(Protection::None, |security| security.policy)
    }

    /// The logical device name: manufacturer, kind and serial number, 16 characters.
    #[must_use]
    pub fn logical_device_name(&self) -> String {
        format!("SIM{:05}{:08}", self.preset.type_number(), self.serial_number)
    }
}

impl fmt::Debug for MeterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeterConfig")
            .field("preset", &self.preset)
            .field("serial_number", &self.serial_number)
            .field("framing", &self.framing)
            .field("server_address", &self.server_address)
            .field("client_address", &self.client_address)
            .field("referencing", &self.referencing)
            .field("authentication", &self.authentication)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_addresses() {
        assert_eq!("1".parse(), Ok(ServerSap::logical(1)));
        assert_eq!("1/17".parse(), Ok(ServerSap { logical: 1, physical: Some(17) }));
        for wrong in ["", "1/", "/1", "16384", "-1", "1/2/3"] {
            assert_eq!(wrong.parse::<ServerSap>(), Err(ServerSapError), "{wrong}");
        }
        assert_eq!("1/17".parse::<ServerSap>().unwrap().to_string(), "1/17");
    }

    #[test]
    fn secrets_do_not_print() {
        let mut config = MeterConfig::new(Preset::Electricity, 1, Framing::Wrapper);
        config.secret = Secret::new(b"hunter2");
        assert!(!format!("{config:?} {:?}", config.secret).contains("hunter2"));
        assert_eq!(config.logical_device_name().len(), 16);
    }
}
