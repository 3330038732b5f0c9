//! A device as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bridge::config::address::{SerialFormula, ServerAddressType, TitleText};
use crate::bridge::config::forms::Switchable;
use crate::bridge::config::name::Name;
use crate::bridge::config::object::ObisText;
use crate::bridge::config::quantity::{Flag, Integer, Period, Text};
use crate::bridge::config::scalar::{Complaint, Scalar, choice, deserialize_scalar, expected};
use crate::bridge::config::secret::Secret;

/// A meter: a physical device, a DLMS server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// Name: 1 to 64 letters, digits, _ or -.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether it is read. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<Flag>,
    /// Name of the connection that it hangs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Name>,
    /// Framing. Default: hdlc.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
    /// How the physical address is found. Default: default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_address_type: Option<ServerAddressType>,
    /// Physical (lower) server address. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16383))]
    pub server_address: Option<Integer>,
    /// Logical (upper) server address; 0: not given. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16383))]
    pub logical_server_address: Option<Integer>,
    /// Serial number, for server_address_type serial_number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub serial_number: Option<Integer>,
    /// Physical address computed from the serial number. Default: SN % 10000 + 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number_formula: Option<SerialFormula>,
    /// Client address: 1 to 127 on HDLC, 1 to 65535 on WRAPPER. Default: 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub client_address: Option<Integer>,
    /// Authentication. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_security: Option<AccessSecurity>,
    /// Secret of low, high, high_md5, high_sha1 and high_sha256: text, or hex: and hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Protection of what is sent and asked of what comes back. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport_security: Option<TransportSecurity>,
    /// Security suite: 0 and 1 (AES-128), 2 (AES-256). Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2))]
    pub security_suite: Option<Integer>,
    /// Authentication key, in hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_key: Option<Secret>,
    /// Block cipher key (global unicast encryption key), in hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_cipher_key: Option<Secret>,
    /// Dedicated key, in hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedicated_key: Option<Secret>,
    /// OBIS code of the invocation counter that is read through the public client, or none.
    /// Default with ciphering: 0.0.43.1.0.255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocation_counter: Option<InvocationCounter>,
    /// Client address that the invocation counter is read with. Default: 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub invocation_counter_client: Option<Integer>,
    /// Our system title, 16 hex digits. Default: 444C4D and 5 bytes of a hash of the gateway's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_title: Option<TitleText>,
    /// The meter's system title, 16 hex digits. Default: the one it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_system_title: Option<TitleText>,
    /// What is asked of the meter's invocation counters. Default: association.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_check: Option<ReplayCheck>,
    /// How ciphered APDUs are tagged: by their service (glo-, ded-), or general-glo and general-ded where the meter agrees. Default: service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ciphering_form: Option<CipheringForm>,
    /// OBIS code of the association object that takes the HLS proof. Default: 0.0.40.0.0.255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hls_object: Option<ObisText>,
    /// Whether associations end with RLRQ. Default: auto.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// Keep the association open between visits. Default: that of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Flag>,
    /// Logical names (true) or short names (false). Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_name_referencing: Option<Flag>,
    /// Longest time for an answer. Default: 5s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// How often an unanswered request is repeated. Default: 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: Option<Integer>,
    /// Largest APDU that we receive, in bytes. Default: 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 12, max = 65535))]
    pub max_pdu_size: Option<Integer>,
    /// Pause before each request. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_delay: Option<Period>,
    /// Pause after disconnecting, before the next association. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disconnect_delay: Option<Period>,
    /// Parameters of HDLC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hdlc: Option<Hdlc>,
    /// Sign-on of interface hdlc_mode_e.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode_e: Option<ModeE>,
    /// Time zone of the meter's clock, like Europe/Vilnius. Default: that of its answers alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Sign of the deviation in date-times. Default: standard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation: Option<Deviation>,
    /// How far the meter's clock may be off before that is told as an event, or off. Default: 60s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_drift_limit: Option<Switchable<Period>>,
    /// What must be found there: another meter is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Free texts that go with what is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, Text>>,
}

choice! {
    /// Framing.
    Interface {
        /// HDLC (IEC 62056-46).
        Hdlc => "hdlc",
        /// WRAPPER (IEC 62056-47).
        Wrapper => "wrapper",
        /// HDLC after a sign-on of IEC 62056-21 mode E.
        HdlcModeE => "hdlc_mode_e",
    }
}

choice! {
    /// Authentication of client and server.
    AccessSecurity {
        /// None (lowest level).
        None => "none",
        /// Low: a password.
        Low => "low",
        /// High, manufacturer specific: AES-ECB.
        High => "high",
        /// High with MD5.
        HighMd5 => "high_md5",
        /// High with SHA-1.
        HighSha1 => "high_sha1",
        /// High with GMAC.
        HighGmac => "high_gmac",
        /// High with SHA-256.
        HighSha256 => "high_sha256",
    }
}

choice! {
    /// Protection of APDUs.
    TransportSecurity {
        /// None.
        None => "none",
        /// Authentication alone.
        Authentication => "authentication",
        /// Encryption alone.
        Encryption => "encryption",
        /// Both.
        AuthenticationEncryption => "authentication_encryption",
    }
}

choice! {
    /// What is asked of the meter's invocation counters.
    ReplayCheck {
        /// They rise within one association.
        Association => "association",
        /// They rise for ever.
        Strict => "strict",
        /// Nothing.
        Off => "off",
    }
}

choice! {
    /// How ciphered APDUs are tagged.
    CipheringForm {
        /// By their service: glo-get-request, ded-get-request and so on.
        Service => "service",
        /// general-glo-ciphering and general-ded-ciphering, where the meter agrees to general protection.
        General => "general",
    }
}

choice! {
    /// Whether associations end with RLRQ.
    Release {
        /// On WRAPPER and in ciphered associations; else DISC alone.
        Auto => "auto",
        /// Always.
        Always => "always",
        /// Never.
        Never => "never",
    }
}

choice! {
    /// Sign of the deviation in date-times.
    Deviation {
        /// UTC minus local time, as the Blue Book has it.
        Standard => "standard",
        /// Local time minus UTC.
        Reversed => "reversed",
        /// Not looked at.
        Ignore => "ignore",
    }
}

/// Where the invocation counter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvocationCounter {
    /// From this object of the meter, read through the public client.
    Object(ObisText),
    /// From the state file alone.
    None,
}

deserialize_scalar!(InvocationCounter, "an OBIS code, or none", |scalar| match scalar {
    Scalar::Text("none") => Ok(Self::None),
    Scalar::Text(text) => text
        .trim()
        .parse()
        .map(|obis| Self::Object(ObisText(obis)))
        .map_err(|error: crate::wire::obis::ObisError| Complaint::Owned(error.to_string())),
    Scalar::Integer(_) | Scalar::Switch(_) => Err(expected("an OBIS code, or none")),
});

crate::bridge::config::scalar::inline_schema!(InvocationCounter, { "type": "string" });

impl Serialize for InvocationCounter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Object(obis) => obis.serialize(serializer),
            Self::None => serializer.serialize_str("none"),
        }
    }
}

/// Parameters of HDLC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hdlc {
    /// Longest information field that we send, in bytes. Default: 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 32, max = 2030))]
    pub max_info_tx: Option<Integer>,
    /// Longest information field that we receive, in bytes. Default: 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 32, max = 2030))]
    pub max_info_rx: Option<Integer>,
    /// Frames that we send before an acknowledgement. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7))]
    pub window_tx: Option<Integer>,
    /// Frames that we receive before we acknowledge. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7))]
    pub window_rx: Option<Integer>,
    /// Bytes of the server address: 1, 2 or 4. Default: as few as it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [1, 2, 4, null]))]
    pub address_size: Option<Integer>,
    /// Pause inside a frame that ends it. Default: 500ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inter_octet_timeout: Option<Period>,
    /// Silence after which the link of an association that is held (`hold`) is asked whether it lives (RR), or off. Default: 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Switchable<Period>>,
}

/// Sign-on of IEC 62056-21 mode E.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModeE {
    /// The meter's address of IEC 62056-21, up to 32 characters. Default: none, every meter answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Text>,
    /// Highest speed that we agree to: 300, 600, 1200, 2400, 4800, 9600 or 19200 baud. Default: 9600.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [300, 600, 1200, 2400, 4800, 9600, 19200, null]))]
    pub max_baud: Option<Integer>,
}

/// What must be found at a device's address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Text>,
    /// COSEM logical device name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_device_name: Option<Text>,
}
