//! Harmless questions to a meter that does not answer as configured: a link, and an association without password.

use std::time::Duration;

use crate::bridge::config::address::ServerAddress;
use crate::bridge::config::document::device::Interface;
use crate::bridge::config::model::{Connection, Device, Referencing as ConfiguredReferencing};
use crate::bridge::link::approach::Approach;
use crate::bridge::link::meter::attribute;
use crate::bridge::link::open::{LinkStream, open_link};
use crate::bridge::link::settings::{Credentials, data_link};
use crate::client::{ClientError, MeterClient};
use crate::cosem::catalogue::ClassId;
use crate::session::client::ClientSession;
use crate::session::error::SessionError;
use crate::wire::acse::Diagnostic;
use crate::wire::data::Data;
use crate::wire::obis::Obis;

/// Longest wait for an answer: several questions may have to be asked.
const PATIENCE: Duration = Duration::from_millis(1500);

const SECURITY_SETUP: Obis = Obis::new(0, 0, 43, 0, 0, 255);
const SECURITY_POLICY: i8 = 2;

/// Who asks, and whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) client: u16,
    pub(super) server: ServerAddress,
    pub(super) referencing: ConfiguredReferencing,
    pub(super) depth: Depth,
}

/// How far a trial goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The HDLC link.
    Link,
    /// The association.
    Association,
    /// The security policy, by the association of the public client.
    Policy,
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// The link is open; an association was not tried, or not answered.
    Link,
    /// The association was refused, with a diagnostic where it was an AARE.
    Refused(Option<Diagnostic>),
    Accepted {
        /// security_policy of the security setup.
        policy: Option<u8>,
    },
}

impl Heard {
    /// Whether anybody is there.
    pub(super) fn is_answer(self) -> bool {
        self != Self::Nothing
    }

    /// Whether the meter took the application context, whatever it says of the rest.
    pub(super) fn takes_context(self) -> bool {
        match self {
            Self::Accepted { .. } => true,
            Self::Refused(Some(diagnostic)) => {
                diagnostic != Diagnostic::APPLICATION_CONTEXT_NAME_NOT_SUPPORTED
            }
            Self::Nothing | Self::Link | Self::Refused(None) => false,
        }
    }
}

impl Trial {
    /// The configured way, but without authentication.
    pub(super) const fn of(device: &Device) -> Self {
        Self {
            client: device.client_address,
            server: device.server,
            referencing: device.referencing,
            depth: Depth::Association,
        }
    }

    /// Asks over a port of its own.
    pub(super) async fn ask(self, device: &Device, connection: &Connection) -> Heard {
        let device = Device {
            server: self.server,
            referencing: self.referencing,
            interface: match self.server {
                ServerAddress::Hdlc(_) => Interface::Hdlc,
                ServerAddress::Wrapper { .. } => Interface::Wrapper,
            },
            timeout: device.timeout.min(PATIENCE),
            retries: 0,
            ..device.clone()
        };
        let Ok(mut driver) = open_link(connection, device.interface).await else { return Heard::Nothing };
        let mut approach = Approach::new(connection);
        if approach.ready(&mut driver, &device, connection).await.is_err() {
            return Heard::Nothing;
        }
        let octet_time = approach.octet_time();
        let Ok(link) = data_link(&device, connection, self.client, octet_time) else { return Heard::Nothing };
        let mut session = ClientSession::new(link, Credentials::public(&device));
        let mut client = MeterClient::new(&mut driver, &mut session);
        let heard = self.hear(&mut client).await;
        tracing::debug!(device = %device.name, trial = ?self, ?heard, "asked");
        let _ = client.close().await;
        let _ = driver.into_inner().into_inner().close().await;
        heard
    }

    async fn hear(self, client: &mut MeterClient<'_, LinkStream>) -> Heard {
        if client.open().await.is_err() {
            return Heard::Nothing;
        }
        let is_wrapper = client.session().is_wrapper();
        if self.depth == Depth::Link && !is_wrapper {
            return Heard::Link;
        }
        match client.associate(None).await {
            Ok(_) => Heard::Accepted { policy: self.policy(client).await },
            Err(ClientError::Session(SessionError::Rejected(diagnostic))) => Heard::Refused(Some(diagnostic)),
            Err(ClientError::Session(SessionError::Link(_)) | ClientError::Transport(_)) if !is_wrapper => {
                Heard::Link
            }
            Err(ClientError::Transport(_) | ClientError::Wrapper(_)) => Heard::Nothing,
            Err(ClientError::Session(_)) => Heard::Refused(None),
        }
    }

    async fn policy(self, client: &mut MeterClient<'_, LinkStream>) -> Option<u8> {
        if self.depth != Depth::Policy {
            return None;
        }
        match client.read_one(attribute(ClassId(64), SECURITY_SETUP, SECURITY_POLICY)).await {
            Ok(Ok(Data::Enum(policy) | Data::Unsigned(policy))) => Some(policy),
            _ => None,
        }
    }
}
