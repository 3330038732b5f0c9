//! One named cause where several look alike from outside: what the failure itself tells, and what harmless questions
//! bring to light. No password and no proof is sent to find out.

use crate::bridge::config::address::ServerAddress;
use crate::bridge::config::document::device::{AccessSecurity, Interface, TransportSecurity};
use crate::bridge::config::model::{Connection, Device, Link, Referencing};
use crate::error::{Code, Report};
use crate::session::link::LinkCounters;
use crate::wire::hdlc::address::{self as hdlc, AddressSize};

use super::recorder::StepName;
use super::trial::{Depth, Heard, Trial};

/// Why a step failed, as far as it can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Octets arrive that are no frames.
    Line,
    /// Frames arrive, but for others.
    Foreign,
    ClientAddress,
    ServerAddress(ServerAddress),
    Framing(Interface),
    Nobody,
    Referencing,
    CipheringWanted,
    CipheringUnwanted,
    NoAuthenticationWanted,
    AuthenticationWanted,
    Mechanism,
    Password,
    HlsSecret,
    HlsSecretOrTitles,
    ServerTitle,
    Policy(u8),
    BlockCipherKeyOrTitle,
    AuthenticationKey,
    KeysOrTitle,
    ProofAlone,
    SilentToCiphering,
    SilentToUs,
}

impl Cause {
    /// What is wrong, and what to do about it.
    fn words(self, device: &Device) -> (String, &'static str) {
        let client = device.client_address;
        match self {
            Self::Line => (
                "octets arrive, but no whole frame".to_owned(),
                "check baud rate, parity and stop bits, termination and polarity of the line",
            ),
            Self::Foreign => (
                "frames of other stations arrive, none of this one".to_owned(),
                "check server_address, logical_server_address and hdlc.address_size",
            ),
            Self::ClientAddress => (
                format!("a meter answers at this server address, but not client {client}"),
                "set client_address to one that the meter knows, like 1, 2, 3, 17, 32, 48, 64 or 100",
            ),
            Self::ServerAddress(answers) => (
                format!("a meter answers at server address {}, not at the configured one", shown(answers)),
                "check server_address, logical_server_address and hdlc.address_size",
            ),
            Self::Framing(Interface::Wrapper) => (
                "the meter speaks the TCP wrapper, not HDLC".to_owned(),
                "set interface: wrapper",
            ),
            Self::Framing(_) => {
                ("the meter speaks HDLC, not the TCP wrapper".to_owned(), "set interface: hdlc")
            }
            Self::Nobody => (
                "no octet arrives, whoever asks".to_owned(),
                "check the cabling and power of the meter, the line's settings in the modem (baud rate, parity), server_address and interface",
            ),
            Self::Referencing => match device.referencing {
                Referencing::LogicalName => (
                    "the meter uses short names".to_owned(),
                    "set logical_name_referencing: false",
                ),
                Referencing::ShortName => (
                    "the meter uses logical names".to_owned(),
                    "set logical_name_referencing: true",
                ),
            },
            Self::CipheringWanted => (
                format!("the meter wants client {client} to cipher"),
                "set transport_security and its keys, or another client_address",
            ),
            Self::CipheringUnwanted => (
                format!("the meter does not cipher with client {client}"),
                "set transport_security: none, or another client_address",
            ),
            Self::NoAuthenticationWanted => (
                format!("client {client} is accepted without authentication"),
                "set access_security: none, or another client_address",
            ),
            Self::AuthenticationWanted => (
                format!("the meter demands authentication of client {client}"),
                "set access_security to low or a high mechanism, and its password or keys",
            ),
            Self::Mechanism => (
                format!("the meter does not take access_security: {} from client {client}", device.security.access),
                "set access_security to the mechanism that the meter demands of this client; the password was not judged",
            ),
            Self::Password => (
                "the meter took the mechanism and refused the password".to_owned(),
                "check password and client_address before the next trial: meters lock after a few",
            ),
            Self::HlsSecret => (
                "the meter took the mechanism and refused our proof: the secret is another".to_owned(),
                "check password (the HLS secret) before the next trial: meters lock after a few",
            ),
            Self::HlsSecretOrTitles => (
                "the meter refused our proof, which is made of the secret and both system titles".to_owned(),
                "check password (the HLS secret) and system_title before the next trial: meters lock after a few",
            ),
            Self::ServerTitle => (
                "the meter took what we made with the keys, so they are right; what it sends does not fit its system title"
                    .to_owned(),
                "check server_system_title, or leave it out",
            ),
            Self::Policy(policy) => (
                format!("the meter's security policy is {}, not {}", policy_name(policy), device.security.transport),
                "set transport_security as the policy has it",
            ),
            Self::BlockCipherKeyOrTitle => (
                "the meter cannot decipher us: block_cipher_key is another, or it does not know our system_title".to_owned(),
                "check block_cipher_key, then system_title; authentication_key plays no part here",
            ),
            Self::AuthenticationKey => (
                "ciphering works, so block_cipher_key and both titles are right: authentication_key is another".to_owned(),
                "check authentication_key",
            ),
            Self::KeysOrTitle => (
                "block_cipher_key or authentication_key is another, or they are swapped, or the meter does not know our system_title: from outside these look the same"
                    .to_owned(),
                "check both keys and their order, then system_title",
            ),
            Self::ProofAlone => (
                "ciphering works both ways, so keys and titles are right: the meter refuses the proof itself".to_owned(),
                "check access_security, client_address and hls_object",
            ),
            Self::SilentToCiphering => (
                format!("the meter answers client {client} in the clear, and falls silent when we cipher"),
                "check the invocation_counter object first, then system_title and the keys",
            ),
            Self::SilentToUs => (
                "a link opens, and the meter does not answer the association".to_owned(),
                "check client_address, access_security, and with ciphering the invocation_counter object",
            ),
        }
    }
}

fn shown(address: ServerAddress) -> String {
    match address {
        ServerAddress::Wrapper { wport } => wport.to_string(),
        ServerAddress::Hdlc(address) => {
            let octets = address.size().octets();
            match address.lower() {
                Some(lower) => format!("{}/{lower} ({octets} octets)", address.upper()),
                None => format!("{} ({octets} octets)", address.upper()),
            }
        }
    }
}

/// security_policy of class 64: a number in version 0, a mask from version 1 on, whose two lowest bits mean nothing.
const fn policy_protection(policy: u8) -> TransportSecurity {
    let (authenticated, encrypted) = match policy {
        0..=3 => (policy & 1 != 0, policy & 2 != 0),
        _ => (policy & 0x24 != 0, policy & 0x48 != 0),
    };
    match (authenticated, encrypted) {
        (false, false) => TransportSecurity::None,
        (true, false) => TransportSecurity::Authentication,
        (false, true) => TransportSecurity::Encryption,
        (true, true) => TransportSecurity::AuthenticationEncryption,
    }
}

const fn policy_name(policy: u8) -> &'static str {
    policy_protection(policy).as_str()
}

/// Puts the cause into the report of a failed step, where one can be named.
pub(super) async fn explain(
    device: &Device,
    connection: &Connection,
    step: StepName,
    seen: &LinkCounters,
    error: &mut Report,
) {
    let detective = Detective { device, connection };
    if let Some(cause) = detective.cause(step, seen, error).await {
        let (what, hint) = cause.words(device);
        error.message = format!("{}; {what}", error.message);
        error.hint = hint.into();
    }
}

struct Detective<'a> {
    device: &'a Device,
    connection: &'a Connection,
}

impl Detective<'_> {
    async fn cause(&self, step: StepName, seen: &LinkCounters, error: &Report) -> Option<Cause> {
        let security = &self.device.security;
        let is_gmac = security.access == AccessSecurity::HighGmac;
        match (step, error.code, error.dlms) {
            (StepName::Snrm, Code::HdlcNoUa | Code::HdlcFcs | Code::Timeout, _) => self.no_link(seen).await,
            (
                StepName::Aarq | StepName::Counter,
                Code::Timeout | Code::TcpClosed | Code::WrapperAddress,
                _,
            ) => self.no_answer(step).await,
            (StepName::Aarq, Code::AareRejected, Some(2)) => self.context().await,
            (StepName::Aarq, Code::AareRejected, Some(11 | 12)) => Some(Cause::Mechanism),
            (StepName::Aarq, Code::AareRejected | Code::HlsRequired, Some(14) | None)
                if security.access == AccessSecurity::None =>
            {
                Some(Cause::AuthenticationWanted)
            }
            (StepName::Aarq, Code::HlsRequired, _) => Some(Cause::Mechanism),
            (StepName::Aarq, Code::AareRejected, Some(13)) if security.access == AccessSecurity::Low => {
                Some(Cause::Password)
            }
            (StepName::Aarq, Code::AareRejected, Some(0 | 1)) => self.no_reason().await,
            // Under encryption alone a wrong key makes nonsense of the proposal.
            (StepName::Aarq, Code::ServiceError | Code::CipherKey, _)
                if security.transport == TransportSecurity::Encryption =>
            {
                self.policy().await.or(Some(Cause::BlockCipherKeyOrTitle))
            }
            (StepName::Aarq, Code::CipherKey, _) => self.policy().await.or(Some(Cause::KeysOrTitle)),
            (StepName::Aarq, Code::Downgrade, _) => self.policy().await,
            (StepName::Aarq | StepName::Hls, Code::CipherTag, _) => Some(Cause::ServerTitle),
            (StepName::Hls, Code::AuthHls, Some(_)) if is_gmac => Some(match security.transport {
                TransportSecurity::None => Cause::KeysOrTitle,
                TransportSecurity::Encryption => Cause::AuthenticationKey,
                TransportSecurity::Authentication | TransportSecurity::AuthenticationEncryption => {
                    Cause::ProofAlone
                }
            }),
            (StepName::Hls, Code::AuthHls, Some(_)) if security.access == AccessSecurity::HighSha256 => {
                Some(Cause::HlsSecretOrTitles)
            }
            (StepName::Hls, Code::AuthHls, Some(_)) => Some(Cause::HlsSecret),
            _ => None,
        }
    }

    async fn ask(&self, trial: Trial) -> Heard {
        trial.ask(self.device, self.connection).await
    }

    fn configured(&self) -> Trial {
        Trial::of(self.device)
    }

    fn public(&self) -> Trial {
        Trial { client: self.device.security.invocation_counter_client, ..self.configured() }
    }

    /// No UA came.
    async fn no_link(&self, seen: &LinkCounters) -> Option<Cause> {
        if seen.foreign > 0 {
            return Some(Cause::Foreign);
        }
        if seen.noise_octets > 0 || seen.checksum_failures > 0 || seen.cut_off > 0 {
            return Some(Cause::Line);
        }
        if self.device.interface == Interface::HdlcModeE {
            return None;
        }
        let link = |trial: Trial| Trial { depth: Depth::Link, ..trial };
        if self.public().client != self.device.client_address
            && self.ask(link(self.public())).await.is_answer()
        {
            return Some(Cause::ClientAddress);
        }
        for server in other_hdlc_servers(self.device.server) {
            for asking in [self.configured(), self.public()] {
                if self.ask(link(Trial { server, ..asking })).await.is_answer() {
                    return Some(Cause::ServerAddress(server));
                }
            }
        }
        if matches!(self.connection.link, Link::Tcp(_) | Link::Udp(_)) {
            let server = ServerAddress::Wrapper { wport: 1 };
            for asking in [self.public(), self.configured()] {
                if self.ask(Trial { server, ..asking }).await.is_answer() {
                    return Some(Cause::Framing(Interface::Wrapper));
                }
            }
        }
        Some(Cause::Nobody)
    }

    /// No answer came to an association request.
    async fn no_answer(&self, step: StepName) -> Option<Cause> {
        if let ServerAddress::Hdlc(_) = self.device.server {
            let heard = self.ask(self.configured()).await;
            let is_heard = !matches!(heard, Heard::Nothing | Heard::Link);
            return Some(if is_heard && self.device.security.transport != TransportSecurity::None {
                Cause::SilentToCiphering
            } else {
                Cause::SilentToUs
            });
        }
        if step == StepName::Aarq && self.ask(self.configured()).await.is_answer() {
            let ciphers = self.device.security.transport != TransportSecurity::None;
            return Some(if ciphers { Cause::SilentToCiphering } else { Cause::SilentToUs });
        }
        if self.public().client != self.device.client_address && self.ask(self.public()).await.is_answer() {
            return Some(Cause::ClientAddress);
        }
        for wport in [1, 16] {
            let server = ServerAddress::Wrapper { wport };
            if server == self.device.server {
                continue;
            }
            for asking in [self.configured(), self.public()] {
                if self.ask(Trial { server, ..asking }).await.is_answer() {
                    return Some(Cause::ServerAddress(server));
                }
            }
        }
        if let Ok(server) = hdlc::ServerAddress::new(1, None, None) {
            let server = ServerAddress::Hdlc(server);
            for asking in [self.public(), self.configured()] {
                if self.ask(Trial { server, depth: Depth::Link, ..asking }).await.is_answer() {
                    return Some(Cause::Framing(Interface::Hdlc));
                }
            }
        }
        Some(Cause::Nobody)
    }

    /// The meter does not take the application context: referencing, or ciphering.
    async fn context(&self) -> Option<Cause> {
        let ciphers = self.device.security.transport != TransportSecurity::None;
        let other = match self.device.referencing {
            Referencing::LogicalName => Referencing::ShortName,
            Referencing::ShortName => Referencing::LogicalName,
        };
        if ciphers && self.ask(self.configured()).await.takes_context() {
            return Some(Cause::CipheringUnwanted);
        }
        // The public client never ciphers, so that it shows which names a meter goes by.
        for asking in [self.configured(), self.public()] {
            if self.ask(Trial { referencing: other, ..asking }).await.takes_context() {
                return Some(Cause::Referencing);
            }
        }
        (!ciphers).then_some(Cause::CipheringWanted)
    }

    /// A refusal without a reason.
    async fn no_reason(&self) -> Option<Cause> {
        if self.device.security.access == AccessSecurity::None {
            return None;
        }
        let heard = self.ask(self.configured()).await;
        matches!(heard, Heard::Accepted { .. }).then_some(Cause::NoAuthenticationWanted)
    }

    /// Whether the meter's policy, as the public client sees it, is another than ours.
    async fn policy(&self) -> Option<Cause> {
        let heard = self.ask(Trial { depth: Depth::Policy, ..self.public() }).await;
        let Heard::Accepted { policy: Some(policy) } = heard else { return None };
        (policy_protection(policy) != self.device.security.transport).then_some(Cause::Policy(policy))
    }
}

/// Addresses that meters have from the factory, but the configured one.
fn other_hdlc_servers(configured: ServerAddress) -> Vec<ServerAddress> {
    let usual = [
        hdlc::ServerAddress::new(1, None, None),
        hdlc::ServerAddress::new(1, Some(16), None),
        hdlc::ServerAddress::new(1, Some(17), None),
        hdlc::ServerAddress::new(1, None, Some(AddressSize::Four)),
    ];
    let usual = usual.into_iter().flatten().map(ServerAddress::Hdlc);
    usual.filter(|server| *server != configured).collect()
}
