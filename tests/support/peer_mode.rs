//! One way of talking to the peer meter: how it is started, and what the client's side of it is.

use std::path::Path;
use std::time::Duration;

use dlms2mqtt::security::{
    CipherKey, CipheringForm, Key, MemoryCounterStore, Protection, SecurityContext, SecuritySettings,
    SecuritySuite, SystemTitle,
};
use dlms2mqtt::session::association::{AssociationSettings, Ciphering};
use dlms2mqtt::session::{DataLink, HdlcConfig, HdlcLink, WrapperConfig, WrapperLink};
use dlms2mqtt::wire::acse::{Mechanism, Referencing};
use dlms2mqtt::wire::hdlc::address::{AddressSize, ClientAddress, ServerAddress};
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::xdlms::conformance::Conformance;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::peer_meter::PeerMeter;

pub(crate) const PASSWORD: &[u8] = b"Gurux";
pub(crate) const OWN_TITLE: [u8; 8] = *b"DLM\0\0\0\0\x07";
pub(crate) const BLOCK_CIPHER_KEY: &str = "000102030405060708090A0B0C0D0E0F";
pub(crate) const AUTHENTICATION_KEY: &str = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF";
pub(crate) const DEDICATED_KEY: &str = "00112233445566778899AABBCCDDEEFF";

pub(crate) const AUTHENTICATIONS: [&str; 7] = ["none", "low", "high", "md5", "sha1", "gmac", "sha256"];
pub(crate) const SECURITIES: [&str; 4] = ["none", "auth", "encr", "authencr"];

/// One way of talking to the peer meter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) framing: &'static str,
    pub(crate) referencing: &'static str,
    pub(crate) authentication: &'static str,
    pub(crate) security: &'static str,
    pub(crate) dedicated: bool,
    pub(crate) form: CipheringForm,
    pub(crate) client: u16,
    pub(crate) server: Server,
    pub(crate) arguments: &'static [&'static str],
}

/// A server address, as both sides are told it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    /// The upper HDLC address alone, or the wPort.
    Logical(u16),
    /// Upper and lower HDLC address, in the size that they need.
    Both(u16, u16),
    /// The lower address from a serial number: always four bytes.
    Serial(u16, u16),
    /// The upper address alone, in this size.
    Forced(u16, AddressSize),
}

pub(crate) const PLAIN: Mode = Mode {
    framing: "wrapper",
    referencing: "ln",
    authentication: "none",
    security: "none",
    dedicated: false,
    form: CipheringForm::ServiceSpecific,
    client: 1,
    server: Server::Logical(1),
    arguments: &[],
};

impl Mode {
    /// Starts the meter; `checks` are lost where there is none.
    pub(crate) fn start(&self, checks: usize) -> Option<PeerMeter> {
        let server = match self.server {
            Server::Logical(logical) | Server::Forced(logical, _) => logical.to_string(),
            Server::Both(logical, physical) | Server::Serial(logical, physical) => {
                format!("{logical}/{physical}")
            }
        };
        let client = self.client.to_string();
        let mut arguments = vec!["--interface", self.framing, "--referencing", self.referencing];
        arguments.extend(["--auth", self.authentication, "--security", self.security]);
        arguments.extend(["--client-address", &client, "--server-address", &server, "--client-ic", "100"]);
        arguments.extend(self.arguments);
        PeerMeter::start(&arguments, checks)
    }

    pub(crate) fn link(&self) -> DataLink {
        if self.framing == "wrapper" {
            let Server::Logical(wport) = self.server else { panic!("{:?} on wrapper", self.server) };
            return WrapperLink::new(WrapperConfig::new(self.client, wport)).into();
        }
        let client = u8::try_from(self.client).expect("a client address of HDLC");
        let client = ClientAddress::new(client).expect("a client address");
        let server = match self.server {
            Server::Logical(logical) => ServerAddress::new(logical, None, None),
            Server::Both(logical, physical) => ServerAddress::new(logical, Some(physical), None),
            Server::Serial(logical, physical) => ServerAddress::by_serial_number(logical, physical),
            Server::Forced(logical, size) => ServerAddress::new(logical, None, Some(size)),
        };
        let mut config = HdlcConfig::new(client, server.expect("a server address"));
        if self.arguments.contains(&"--corrupt-fcs-every") {
            // Each spoilt frame costs one time-out.
            config.timing.response_timeout = Duration::from_secs(1);
        }
        HdlcLink::new(config).into()
    }

    pub(crate) fn is_short_name(&self) -> bool {
        self.referencing == "sn"
    }

    pub(crate) fn settings(&self) -> AssociationSettings {
        let (referencing, conformance) = if self.is_short_name() {
            let general = match self.form {
                CipheringForm::ServiceSpecific => Conformance::default(),
                CipheringForm::General => Conformance::GENERAL_PROTECTION,
            };
            (Referencing::ShortName, Conformance::SN_PROPOSAL | general)
        } else {
            let proposal = match self.form {
                CipheringForm::ServiceSpecific => Conformance::LN_PROPOSAL,
                CipheringForm::General => Conformance::LN_GENERAL_PROPOSAL,
            };
            (Referencing::LogicalName, proposal)
        };
        AssociationSettings {
            referencing,
            ciphering: if self.security == "none" { Ciphering::Plain } else { Ciphering::Ciphered },
            mechanism: mechanism(self.authentication),
            secret: Zeroizing::new(PASSWORD.to_vec()),
            own_title: Some(SystemTitle(OWN_TITLE)),
            server_title: None,
            dedicated_key: self.dedicated.then(|| key(DEDICATED_KEY)),
            conformance,
            max_pdu: 0xFFFF,
            hls_object: Obis::new(0, 0, 40, 0, 0, 255),
        }
    }

    /// The protection, with `counter` as the first invocation counter.
    pub(crate) fn security(&self, counter: u32) -> Option<SecurityContext> {
        let settings = self.security_settings()?;
        let mut context =
            SecurityContext::new(settings, Box::new(MemoryCounterStore::default())).expect("a context");
        context.raise_send_counter(CipherKey::Global, counter).expect("the global key");
        Some(context)
    }

    pub(crate) fn security_settings(&self) -> Option<SecuritySettings> {
        if self.security == "none" && self.authentication != "gmac" {
            return None;
        }
        let mut settings =
            SecuritySettings::new(SecuritySuite::Suite0, SystemTitle(OWN_TITLE), key(BLOCK_CIPHER_KEY));
        settings.protection = protection(self.security);
        settings.authentication_key = Some(key(AUTHENTICATION_KEY));
        settings.form = self.form;
        settings.dedicated_key = self.dedicated.then(|| key(DEDICATED_KEY));
        Some(settings)
    }
}

impl Mode {
    /// A configuration with one device, `meter`, that talks in this way to a meter on a port of 127.0.0.1.
    pub(crate) fn configuration(&self, port: u16, state_dir: &Path) -> Value {
        let access = match self.authentication {
            "md5" | "sha1" | "gmac" | "sha256" => format!("high_{}", self.authentication),
            other => other.to_owned(),
        };
        let transport = match self.security {
            "auth" => "authentication",
            "encr" => "encryption",
            "authencr" => "authentication_encryption",
            other => other,
        };
        let mut device = json!({
            "name": "meter", "connection": "line", "interface": self.framing,
            "client_address": self.client, "logical_name_referencing": !self.is_short_name(),
            "access_security": access, "transport_security": transport, "timeout": "2s", "retries": 0,
        });
        let Server::Logical(server) = self.server else { panic!("{:?} in a configuration", self.server) };
        device["server_address"] = server.into();
        if !matches!(self.authentication, "none" | "gmac") {
            device["password"] = String::from_utf8_lossy(PASSWORD).into();
        }
        if self.security != "none" || self.authentication == "gmac" {
            device["system_title"] =
                OWN_TITLE.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
            device["authentication_key"] = AUTHENTICATION_KEY.into();
            device["block_cipher_key"] = BLOCK_CIPHER_KEY.into();
        }
        if self.dedicated {
            device["dedicated_key"] = DEDICATED_KEY.into();
        }
        json!({
            "version": 1, "gateway": "test", "state_dir": state_dir, "mqtt": { "url": "mqtt://127.0.0.1:1" },
            "connections": [{ "name": "line", "type": "tcp", "host": "127.0.0.1", "port": port }],
            "devices": [device],
            "groups": [],
        })
    }
}

fn mechanism(name: &str) -> Mechanism {
    match name {
        "none" => Mechanism::Lowest,
        "low" => Mechanism::Low,
        "high" => Mechanism::High,
        "md5" => Mechanism::HighMd5,
        "sha1" => Mechanism::HighSha1,
        "gmac" => Mechanism::HighGmac,
        "sha256" => Mechanism::HighSha256,
        other => panic!("no mechanism {other}"),
    }
}

fn protection(name: &str) -> Protection {
    match name {
        "none" => Protection::None,
        "auth" => Protection::Authentication,
        "encr" => Protection::Encryption,
        "authencr" => Protection::AuthenticatedEncryption,
        other => panic!("no protection {other}"),
    }
}

pub(crate) fn key(hex: &str) -> Key {
    Key::from_hex(hex).expect("a key")
}
