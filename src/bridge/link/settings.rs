//! From a configured device to what its sessions are made of.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::bridge::config::address::ServerAddress;
use crate::bridge::config::document::device::{
    AccessSecurity, CipheringForm, ReplayCheck, TransportSecurity,
};
use crate::bridge::config::model::{Connection, Device, Referencing as ConfiguredReferencing};
use crate::bridge::config::{Secret, SecretBytes};
use crate::error::{Code, Layer, Report};
use crate::security::{self, Key, Protection, SecuritySettings};
use crate::session::association::{AssociationSettings, Ciphering};
use crate::session::{DataLink, HdlcConfig, HdlcLink, LinkTiming, WrapperConfig, WrapperLink};
use crate::wire::acse::{Mechanism, Referencing};
use crate::wire::hdlc::address::ClientAddress;
use crate::wire::hdlc::negotiation::Parameters;
use crate::wire::xdlms::conformance::Conformance;

/// A device's association and protection, its secrets read.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// What the association is to be.
    pub association: AssociationSettings,
    /// What its protection is made of; `None` where nothing is ciphered or signed.
    pub security: Option<SecuritySettings>,
}

impl Credentials {
    /// Reads the secrets of a device.
    ///
    /// # Errors
    /// `CONFIG_INVALID` for a secret that cannot be read or used.
    pub fn of(device: &Device) -> Result<Self, Report> {
        let settings = &device.security;
        let suite = settings.suite;
        let key = |secret: &Option<Secret>| {
            let bytes = secret.as_ref().map(|secret| secret.key(suite.key_length())).transpose();
            bytes.map_err(|error| error.report())?.as_ref().map(to_key).transpose()
        };
        let password = settings.password.as_ref().map(Secret::password).transpose();
        let password = password.map_err(|error| error.report())?;
        let dedicated_key = key(&settings.dedicated_key)?;
        let security = match key(&settings.block_cipher_key)? {
            Some(block_cipher_key) if settings.is_ciphered() => Some(SecuritySettings {
                protection: protection(settings.transport),
                peer_title: settings.server_system_title,
                authentication_key: key(&settings.authentication_key)?,
                dedicated_key: dedicated_key.clone(),
                form: form(settings.ciphering_form),
                replay_check: replay_check(settings.replay_check),
                ..SecuritySettings::new(suite, settings.system_title, block_cipher_key)
            }),
            _ => None,
        };
        let referencing = referencing(device);
        let ciphering = match settings.transport {
            TransportSecurity::None => Ciphering::Plain,
            _ => Ciphering::Ciphered,
        };
        let association = AssociationSettings {
            referencing,
            ciphering,
            mechanism: mechanism(settings.access),
            secret: Zeroizing::new(
                password.as_ref().map(|secret| secret.expose().to_vec()).unwrap_or_default(),
            ),
            own_title: Some(settings.system_title),
            server_title: settings.server_system_title,
            dedicated_key,
            conformance: ciphered_proposal(referencing, settings.ciphering_form),
            max_pdu: device.max_pdu_size,
            hls_object: settings.hls_object,
        };
        Ok(Self { association, security })
    }

    /// The association of the public client: no authentication, no ciphering.
    #[must_use]
    pub fn public(device: &Device) -> AssociationSettings {
        let referencing = referencing(device);
        AssociationSettings {
            referencing,
            ciphering: Ciphering::Plain,
            mechanism: Mechanism::Lowest,
            secret: Zeroizing::default(),
            own_title: None,
            server_title: None,
            dedicated_key: None,
            conformance: proposal(referencing),
            max_pdu: device.max_pdu_size,
            hls_object: device.security.hls_object,
        }
    }
}

/// The data link to a device, for one of our client addresses, over a line on which an octet takes `octet_time`.
///
/// # Errors
/// `CONFIG_INVALID` for a client address that HDLC cannot carry.
pub fn data_link(
    device: &Device,
    connection: &Connection,
    client: u16,
    octet_time: Duration,
) -> Result<DataLink, Report> {
    match device.server {
        ServerAddress::Wrapper { wport } => {
            let response_timeout = device.timeout;
            let config = WrapperConfig { response_timeout, ..WrapperConfig::new(client, wport) };
            Ok(WrapperLink::new(config).into())
        }
        ServerAddress::Hdlc(server) => {
            let client = u8::try_from(client).ok().and_then(|client| ClientAddress::new(client).ok());
            let client = client.ok_or_else(|| {
                Report::new(
                    Code::ConfigInvalid,
                    Layer::Config,
                    "client_address is over 127, the limit of HDLC",
                )
            })?;
            let config = HdlcConfig {
                proposal: proposed_parameters(device),
                timing: timing(device, connection, octet_time),
                ..HdlcConfig::new(client, server)
            };
            Ok(HdlcLink::new(config).into())
        }
    }
}

fn proposed_parameters(device: &Device) -> Parameters {
    Parameters {
        max_info_tx: device.hdlc.max_info_tx,
        max_info_rx: device.hdlc.max_info_rx,
        window_tx: device.hdlc.window_tx,
        window_rx: device.hdlc.window_rx,
    }
}

fn timing(device: &Device, connection: &Connection, octet_time: Duration) -> LinkTiming {
    LinkTiming {
        response_timeout: device.timeout,
        retries: u32::from(device.retries),
        inter_octet_timeout: device.hdlc.inter_octet_timeout,
        request_delay: device.request_delay.max(connection.turnaround),
        disconnect_delay: device.disconnect_delay,
        octet_time,
    }
}

fn to_key(bytes: &SecretBytes) -> Result<Key, Report> {
    Key::from_bytes(bytes.expose())
        .map_err(|error| Report::new(Code::ConfigInvalid, Layer::Config, error.to_string()))
}

const fn referencing(device: &Device) -> Referencing {
    match device.referencing {
        ConfiguredReferencing::LogicalName => Referencing::LogicalName,
        ConfiguredReferencing::ShortName => Referencing::ShortName,
    }
}

const fn proposal(referencing: Referencing) -> Conformance {
    match referencing {
        Referencing::LogicalName => Conformance::LN_PROPOSAL,
        Referencing::ShortName => Conformance::SN_PROPOSAL,
    }
}

/// General forms of ciphering take a service of their own, which comes with other general services by logical names.
fn ciphered_proposal(referencing: Referencing, form: CipheringForm) -> Conformance {
    match (referencing, form) {
        (_, CipheringForm::Service) => proposal(referencing),
        (Referencing::LogicalName, CipheringForm::General) => Conformance::LN_GENERAL_PROPOSAL,
        (Referencing::ShortName, CipheringForm::General) => {
            proposal(referencing) | Conformance::GENERAL_PROTECTION
        }
    }
}

const fn form(form: CipheringForm) -> security::CipheringForm {
    match form {
        CipheringForm::Service => security::CipheringForm::ServiceSpecific,
        CipheringForm::General => security::CipheringForm::General,
    }
}

const fn mechanism(access: AccessSecurity) -> Mechanism {
    match access {
        AccessSecurity::None => Mechanism::Lowest,
        AccessSecurity::Low => Mechanism::Low,
        AccessSecurity::High => Mechanism::High,
        AccessSecurity::HighMd5 => Mechanism::HighMd5,
        AccessSecurity::HighSha1 => Mechanism::HighSha1,
        AccessSecurity::HighGmac => Mechanism::HighGmac,
        AccessSecurity::HighSha256 => Mechanism::HighSha256,
    }
}

const fn protection(transport: TransportSecurity) -> Protection {
    match transport {
        TransportSecurity::None => Protection::None,
        TransportSecurity::Authentication => Protection::Authentication,
        TransportSecurity::Encryption => Protection::Encryption,
        TransportSecurity::AuthenticationEncryption => Protection::AuthenticatedEncryption,
    }
}

const fn replay_check(check: ReplayCheck) -> security::ReplayCheck {
    match check {
        ReplayCheck::Association => security::ReplayCheck::Association,
        ReplayCheck::Strict => security::ReplayCheck::Strict { last_received: None },
        ReplayCheck::Off => security::ReplayCheck::Off,
    }
}
