//! The published form of every failure: a stable code, the layer it arose in, a message and a hint.
//!
//! Each layer has its own error enum; what leaves the process (MQTT, CLI, logs) is a [`Report`].
//! Codes and layers are the contract of `docs/MQTT.md`, section "Codes".

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

macro_rules! names {
    ($(#[$meta:meta])* $enum:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $enum { $($(#[$doc])* $variant,)* }

        impl $enum {
            /// Every variant, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name as published.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $enum {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

names! {
    /// Where in the stack a failure arose.
    Layer {
        /// Name resolution.
        Dns => "dns",
        /// The TCP (or UDP) connection.
        Tcp => "tcp",
        /// The serial port.
        Serial => "serial",
        /// The IEC 62056-21 mode E sign-on.
        ModeE => "mode_e",
        /// The HDLC data link (IEC 62056-46).
        Hdlc => "hdlc",
        /// The TCP/UDP wrapper (IEC 62056-47).
        Wrapper => "wrapper",
        /// Association control: AARQ, AARE, RLRQ, RLRE.
        Acse => "acse",
        /// High level security: passes 3 and 4.
        Hls => "hls",
        /// Protection of APDUs.
        Cipher => "cipher",
        /// Reading: GET and Read.
        Get => "get",
        /// Writing: SET and Write.
        Set => "set",
        /// Method invocation.
        Action => "action",
        /// Decoding of what a meter sent.
        Decode => "decode",
        /// Poll schedules.
        Schedule => "schedule",
        /// The control plane.
        Control => "control",
        /// The configuration.
        Config => "config",
        /// The MQTT connection.
        Mqtt => "mqtt",
        /// Durable state: outbox, counters, cursors.
        Store => "store",
        /// Our own fault.
        Internal => "internal",
    }
}

names! {
    /// Stable error codes. Names are a contract: add, never rename.
    Code {
        /// The host name did not resolve.
        Dns => "DNS",
        /// The peer refused the TCP connection.
        TcpRefused => "TCP_REFUSED",
        /// The TCP connection did not open in time.
        TcpTimeout => "TCP_TIMEOUT",
        /// The peer closed or reset the TCP connection.
        TcpClosed => "TCP_CLOSED",
        /// The TCP port for meters that connect to us could not be listened on.
        Listen => "LISTEN",
        /// The serial port could not be opened.
        SerialOpen => "SERIAL_OPEN",
        /// The serial port vanished.
        SerialGone => "SERIAL_GONE",
        /// Another process holds the serial port.
        SerialBusy => "SERIAL_BUSY",
        /// No permission to open the serial port.
        SerialPermission => "SERIAL_PERMISSION",
        /// The port refused the settings.
        SerialSettings => "SERIAL_SETTINGS",
        /// Our own bytes came back.
        SerialEcho => "SERIAL_ECHO",
        /// The mode E sign-on failed.
        ModeE => "MODE_E",
        /// SNRM was not answered.
        HdlcNoUa => "HDLC_NO_UA",
        /// The station is disconnected.
        HdlcDm => "HDLC_DM",
        /// The station rejected a frame.
        HdlcFrmr => "HDLC_FRMR",
        /// Frames arrive damaged.
        HdlcFcs => "HDLC_FCS",
        /// A wrapper PDU came from, or went to, other wPorts.
        WrapperAddress => "WRAPPER_ADDRESS",
        /// The association was refused.
        AareRejected => "AARE_REJECTED",
        /// High level authentication failed.
        AuthHls => "AUTH_HLS",
        /// The meter demands high level authentication.
        HlsRequired => "HLS_REQUIRED",
        /// An authentication tag does not match.
        CipherTag => "CIPHER_TAG",
        /// The invocation counter was refused.
        CipherIc => "CIPHER_IC",
        /// A system title is missing or wrong.
        CipherSystemTitle => "CIPHER_SYSTEM_TITLE",
        /// The meter could not decipher what we sent.
        CipherKey => "CIPHER_KEY",
        /// A protected APDU was repeated.
        Replay => "REPLAY",
        /// The meter answered with less protection than agreed.
        Downgrade => "DOWNGRADE",
        /// The service is not allowed in this association.
        ServiceNotAllowed => "SERVICE_NOT_ALLOWED",
        /// A ConfirmedServiceError.
        ServiceError => "SERVICE_ERROR",
        /// An exception-response.
        Exception => "EXCEPTION",
        /// Access to the attribute is denied.
        AccessDenied => "ACCESS_DENIED",
        /// The meter has no such object.
        ObjectUndefined => "OBJECT_UNDEFINED",
        /// The object is not available now.
        ObjectUnavailable => "OBJECT_UNAVAILABLE",
        /// The object is of another class.
        ClassMismatch => "CLASS_MISMATCH",
        /// The type does not match.
        TypeMismatch => "TYPE_MISMATCH",
        /// The meter reports a hardware fault.
        MeterFault => "METER_FAULT",
        /// The meter is busy.
        TemporaryFailure => "TEMPORARY_FAILURE",
        /// A block transfer went wrong.
        BlockTransfer => "BLOCK_TRANSFER",
        /// The meter gives no reason.
        OtherReason => "OTHER_REASON",
        /// No answer in time.
        Timeout => "TIMEOUT",
        /// What arrived could not be decoded.
        Decode => "DECODE",
        /// Another meter answered.
        WrongMeter => "WRONG_METER",
        /// The link is down.
        LinkDown => "LINK_DOWN",
        /// A queue is full.
        Busy => "BUSY",
        /// Not allowed by the configuration.
        NotAllowed => "NOT_ALLOWED",
        /// The deadline of a request is past.
        Expired => "EXPIRED",
        /// Cancelled.
        Cancelled => "CANCELLED",
        /// An argument is missing or wrong.
        InvalidArgument => "INVALID_ARGUMENT",
        /// Not a JSON object.
        Malformed => "MALFORMED",
        /// No such verb.
        UnknownVerb => "UNKNOWN_VERB",
        /// No such name.
        UnknownName => "UNKNOWN_NAME",
        /// A name stands twice.
        DuplicateName => "DUPLICATE_NAME",
        /// The configuration is not valid.
        ConfigInvalid => "CONFIG_INVALID",
        /// The configuration has changed meanwhile.
        RevisionConflict => "REVISION_CONFLICT",
        /// A request was retained.
        RequestRetained => "REQUEST_RETAINED",
        /// A request is too large.
        RequestTooLarge => "REQUEST_TOO_LARGE",
        /// The response topic is not on the allow-list.
        ResponseTopicForbidden => "RESPONSE_TOPIC_FORBIDDEN",
        /// Another client uses our client id.
        MqttClientIdConflict => "MQTT_CLIENT_ID_CONFLICT",
        /// The broker refused user name or password.
        MqttAuth => "MQTT_AUTH",
        /// The broker denies a topic.
        MqttDenied => "MQTT_DENIED",
        /// The broker's certificate is not trusted.
        TlsCa => "TLS_CA",
        /// A certificate is expired or not yet valid.
        TlsExpired => "TLS_EXPIRED",
        /// The certificate is for another name.
        TlsName => "TLS_NAME",
        /// The client certificate was refused.
        TlsClientCert => "TLS_CLIENT_CERT",
        /// Another process holds the state directory.
        StateLocked => "STATE_LOCKED",
        /// The store is full.
        StoreFull => "STORE_FULL",
        /// The store is damaged.
        StoreDamaged => "STORE_DAMAGED",
        /// Our own fault.
        Internal => "INTERNAL",
    }
}

/// One failure as a person or a program outside meets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Stable code.
    pub code: Code,
    /// Layer in which it arose.
    pub layer: Layer,
    /// What happened, in one sentence. Never holds a secret.
    pub message: String,
    /// What a technician can do about it.
    pub hint: Cow<'static, str>,
    /// The protocol's own number (data-access-result, diagnostic, service error), where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dlms: Option<i64>,
}

impl Report {
    /// A report with the code's usual hint.
    #[must_use]
    pub fn new(code: Code, layer: Layer, message: impl Into<String>) -> Self {
        Self { code, layer, message: message.into(), hint: Cow::Borrowed(code.hint()), dlms: None }
    }

    /// The same with a hint of its own.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same with the protocol's number.
    #[must_use]
    pub fn with_dlms(mut self, number: impl Into<i64>) -> Self {
        self.dlms = Some(number.into());
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.layer, self.message)
    }
}

impl std::error::Error for Report {}

impl Code {
    /// The usual next step for a technician.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Dns => "check the host name and the gateway's DNS server",
            Self::TcpRefused => "check address and port; the modem may already serve another client",
            Self::TcpTimeout => "check address, route and firewall, and that the modem has power",
            Self::TcpClosed => {
                "the peer closed the connection: another client, an idle time-out, or a wrong framing (hdlc or wrapper)"
            }
            Self::Listen => {
                "another program listens there, the address is not of this host, or the port is under 1024"
            }
            Self::SerialOpen => "check the device path of the connection",
            Self::SerialGone => "plug the adapter in again; use a /dev/serial/by-id path",
            Self::SerialBusy => "stop the other program that uses the port",
            Self::SerialPermission => {
                "add the service's user to the group that owns the port (often dialout)"
            }
            Self::SerialSettings => {
                "the driver does not support these settings; try others or another adapter"
            }
            Self::SerialEcho => "the line echoes our own bytes: set echo: drop on the connection",
            Self::ModeE => "check the optical head, 300 baud 7E1 and that the meter offers mode E",
            Self::HdlcNoUa => {
                "no answer to SNRM: check server address and address size, client address, and on serial lines baud rate and parity"
            }
            Self::HdlcDm => {
                "the meter is disconnected or busy with another client; wait for its inactivity time-out"
            }
            Self::HdlcFrmr => "the meter rejected a frame; the link is set up again",
            Self::HdlcFcs => "frames arrive damaged: check cabling, termination, baud rate and parity",
            Self::WrapperAddress => "check server_address (wPort) and client_address",
            Self::AareRejected => {
                "check access_security, password, client_address and the referencing of the meter"
            }
            Self::AuthHls => {
                "check the password (HLS secret) or, for high_gmac, both keys and the system titles"
            }
            Self::HlsRequired => "set access_security to the mechanism that the meter demands",
            Self::CipherTag => "check authentication_key and block_cipher_key: they may be swapped",
            Self::CipherIc => {
                "the meter expects a higher invocation counter: check the invocation_counter object"
            }
            Self::CipherSystemTitle => "check system_title and server_system_title",
            Self::CipherKey => "check block_cipher_key, authentication_key and the client's system_title",
            Self::Replay => {
                "an answer was repeated with an old counter; if the meter restarts its counter, see replay_check"
            }
            Self::Downgrade => "the meter answers with less protection than transport_security asks for",
            Self::ServiceNotAllowed => {
                "another association may still be open, or the client address has no right to this service"
            }
            Self::ServiceError => "see the number in dlms; check the negotiated services and the PDU size",
            Self::Exception => "the meter could not serve the request; see the number in dlms",
            Self::AccessDenied => {
                "this client may not read it: use another client_address or access_security"
            }
            Self::ObjectUndefined => "the meter has no such object: check obis and class, or scan the meter",
            Self::ObjectUnavailable => "the object is not available at present",
            Self::ClassMismatch => "the object exists with another class: check class, or scan the meter",
            Self::TypeMismatch => "the meter does not accept this type or selection here",
            Self::MeterFault => "the meter reports a fault of its own",
            Self::TemporaryFailure => "the meter is busy; it is asked again at the next cycle",
            Self::BlockTransfer => "the block transfer failed; a smaller max_pdu_size may help",
            Self::OtherReason => {
                "the meter gives no reason; selective access or this attribute may be unsupported"
            }
            Self::Timeout => "no answer: check addresses and cabling, or raise timeout",
            Self::Decode => {
                "the answer is not valid DLMS; --log-level dlms2mqtt::physical=trace shows its bytes"
            }
            Self::WrongMeter => "another meter answers here: check address and identity",
            Self::LinkDown => "the connection is down; see bridge/health",
            Self::Busy => "too many requests are waiting; try again later",
            Self::NotAllowed => "allow it in the configuration if it is meant",
            Self::Expired => "send the request with a later expires_at",
            Self::Cancelled => "cancelled on request",
            Self::InvalidArgument => "see the message for the argument",
            Self::Malformed => "send one JSON object in UTF-8",
            Self::UnknownVerb => "see docs/MQTT.md for the verbs",
            Self::UnknownName => "see the inventories for the names configured",
            Self::DuplicateName => "give each a name of its own",
            Self::ConfigInvalid => "see the problems listed",
            Self::RevisionConflict => "read the configuration again and repeat the change on it",
            Self::RequestRetained => "publish requests without the retain flag",
            Self::RequestTooLarge => "keep requests under 512 KiB",
            Self::ResponseTopicForbidden => "list the topic in mqtt.response_topics",
            Self::MqttClientIdConflict => "give each gateway its own name or mqtt.client_id",
            Self::MqttAuth => "check mqtt.username and mqtt.password",
            Self::MqttDenied => "check the broker's access control list",
            Self::TlsCa => "check mqtt.tls.ca_file",
            Self::TlsExpired => "check the validity of the certificate and the gateway's clock",
            Self::TlsName => "the certificate is for another name: check mqtt.url or mqtt.tls.server_name",
            Self::TlsClientCert => "check mqtt.tls.cert_file and key_file",
            Self::StateLocked => "another dlms2mqtt uses this state_dir",
            Self::StoreFull => "free space, or raise outbox.max_bytes",
            Self::StoreDamaged => "the damaged part was set aside; see the log",
            Self::Internal => "please report this with the log",
        }
    }
}
