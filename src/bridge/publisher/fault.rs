//! What the MQTT library says went wrong, as whose fault it is and what to do next.

use std::error::Error;
use std::io;

use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode as CodeV5, DisconnectReasonCode};
use rumqttc::{ConnectReturnCode as CodeV311, v5};
use rustls::{AlertDescription, CertificateError};

use crate::error::{Code, Layer, Report};

/// A connection that ended or never began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) report: Report,
}

/// What the next attempt depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The broker says that it does not speak this version (0x84).
    UnsupportedVersion,
    /// The peer closed or reset the connection.
    Closed,
    /// What the peer sent is not MQTT of this version.
    Unreadable,
    /// Another client took our client id.
    TakenOver,
    /// Anything else.
    Other,
}

impl Fault {
    pub(super) fn other(report: Report) -> Self {
        Self { kind: FaultKind::Other, report }
    }

    fn mqtt(code: Code, message: impl Into<String>) -> Self {
        Self::other(Report::new(code, Layer::Mqtt, message))
    }

    fn closed(message: &str) -> Self {
        Self {
            kind: FaultKind::Closed,
            report: Report::new(Code::TcpClosed, Layer::Tcp, message).with_hint(CLOSED),
        }
    }

    fn unreadable(message: &str) -> Self {
        let report = Report::new(Code::TcpClosed, Layer::Mqtt, message).with_hint(
            "check that mqtt.url names the broker's MQTT port, the scheme (mqtt, mqtts, ws, wss) and, \
             of ws and wss, the path",
        );
        Self { kind: FaultKind::Unreadable, report }
    }

    pub(super) fn resolve(host: &str, error: &io::Error) -> Self {
        Self::other(
            Report::new(Code::Dns, Layer::Dns, format!("{host} does not resolve: {error}"))
                .with_hint("check the host of mqtt.url and the gateway's DNS server"),
        )
    }

    pub(super) fn timeout(message: &str) -> Self {
        Self::other(
            Report::new(Code::TcpTimeout, Layer::Tcp, message)
                .with_hint("check host and port of mqtt.url, route and firewall"),
        )
    }

    pub(super) fn conflict(message: &str) -> Self {
        Self {
            kind: FaultKind::TakenOver,
            report: Report::new(Code::MqttClientIdConflict, Layer::Mqtt, message),
        }
    }
}

const CLOSED: &str = "see the broker's log; check that scheme and port of mqtt.url fit; \
     over TLS it may want a client certificate";

impl From<v5::ConnectionError> for Fault {
    fn from(error: v5::ConnectionError) -> Self {
        use v5::{ConnectionError as E, StateError as S};
        if let Some(fault) = of_tls(&error) {
            return fault;
        }
        match error {
            E::ConnectionRefused(code) => refused_v5(code),
            E::MqttState(S::ServerDisconnect { reason_code, reason_string }) => {
                disconnected(reason_code, reason_string.as_deref())
            }
            E::MqttState(S::ConnectionAborted) => Self::closed("the broker closed the connection"),
            E::MqttState(S::AwaitPingResp) => Self::timeout("the broker no longer answers pings"),
            E::Timeout(_) => Self::timeout("the broker does not answer"),
            E::NotConnAck(_) => {
                Self::unreadable("the peer answered CONNECT with another packet than CONNACK")
            }
            other => of_any(&other),
        }
    }
}

impl From<rumqttc::ConnectionError> for Fault {
    fn from(error: rumqttc::ConnectionError) -> Self {
        use rumqttc::{ConnectionError as E, StateError as S};
        if let Some(fault) = of_tls(&error) {
            return fault;
        }
        match error {
            E::ConnectionRefused(code) => refused_v311(code),
            E::MqttState(S::ConnectionAborted) => Self::closed("the broker closed the connection"),
            E::MqttState(S::AwaitPingResp) => Self::timeout("the broker no longer answers pings"),
            E::NetworkTimeout | E::FlushTimeout => Self::timeout("the broker does not answer"),
            E::NotConnAck(_) => {
                Self::unreadable("the peer answered CONNECT with another packet than CONNACK")
            }
            other => of_any(&other),
        }
    }
}

fn refused_v5(code: CodeV5) -> Fault {
    match code {
        CodeV5::UnsupportedProtocolVersion | CodeV5::RefusedProtocolVersion => Fault {
            kind: FaultKind::UnsupportedVersion,
            ..Fault::mqtt(Code::MqttDenied, "the broker does not speak MQTT 5")
        },
        CodeV5::BadUserNamePassword | CodeV5::NotAuthorized | CodeV5::BadAuthenticationMethod => {
            Fault::mqtt(Code::MqttAuth, "the broker refused user name or password")
        }
        other => refused(&format!("{other:?}")),
    }
}

fn refused_v311(code: CodeV311) -> Fault {
    match code {
        CodeV311::RefusedProtocolVersion => Fault {
            kind: FaultKind::UnsupportedVersion,
            ..Fault::mqtt(Code::MqttDenied, "the broker does not speak MQTT 3.1.1")
        },
        CodeV311::BadUserNamePassword | CodeV311::NotAuthorized => {
            Fault::mqtt(Code::MqttAuth, "the broker refused user name or password")
        }
        other => refused(&format!("{other:?}")),
    }
}

fn refused(reason: &str) -> Fault {
    let report =
        Report::new(Code::MqttDenied, Layer::Mqtt, format!("the broker refused the connection: {reason}"))
            .with_hint("see the broker's log; check mqtt.client_id and what the broker allows it");
    Fault::other(report)
}

fn disconnected(code: DisconnectReasonCode, text: Option<&str>) -> Fault {
    let text = text.map_or_else(String::new, |text| {
        let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        format!(" ({text})")
    });
    let message = format!("the broker ended the connection: {code:?}{text}");
    match code {
        DisconnectReasonCode::SessionTakenOver => Fault::conflict(&message),
        DisconnectReasonCode::NotAuthorized => Fault::mqtt(Code::MqttDenied, message),
        _ => Fault::closed(&message),
    }
}

/// The first TLS error among the causes.
fn of_tls(error: &(dyn Error + 'static)) -> Option<Fault> {
    causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()).map(tls)
}

fn tls(error: &rustls::Error) -> Fault {
    let message = format!("TLS: {error}");
    match error {
        rustls::Error::InvalidCertificate(fault) => match fault {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Fault::mqtt(Code::TlsExpired, message),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Fault::mqtt(Code::TlsName, message)
            }
            _ => Fault::mqtt(Code::TlsCa, message),
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied
            // In TLS 1.2 this is all a server says that got no certificate.
            | AlertDescription::HandshakeFailure => Fault::mqtt(Code::TlsClientCert, message),
            _ => Fault::other(Fault::unreadable(&message).report),
        },
        _ => Fault::other(
            Report::new(Code::TcpClosed, Layer::Mqtt, message)
                .with_hint("the peer may not speak TLS on this port: check scheme and port of mqtt.url"),
        ),
    }
}

fn of_any(error: &(dyn Error + 'static)) -> Fault {
    match causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()) {
        Some(cause) => of_io(cause),
        None => Fault::unreadable(&format!("the connection failed: {error}")),
    }
}

fn of_io(error: &io::Error) -> Fault {
    use io::ErrorKind as K;
    match error.kind() {
        K::ConnectionRefused => Fault::other(
            Report::new(Code::TcpRefused, Layer::Tcp, "nobody accepts connections at the broker's address")
                .with_hint("check host and port of mqtt.url, and that the broker runs"),
        ),
        K::TimedOut | K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown => {
            Fault::timeout(&format!("the broker cannot be reached: {error}"))
        }
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof | K::NotConnected => {
            Fault::closed(&format!("the broker closed the connection: {error}"))
        }
        _ => Fault::other(
            Report::new(Code::TcpClosed, Layer::Tcp, format!("the connection failed: {error}"))
                .with_hint(CLOSED),
        ),
    }
}

/// The error and everything below it. Two hide what they wrap from `source`, and are looked into.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        if let Some(wrapped) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            return Some(wrapped as &(dyn Error + 'static));
        }
        if let Some(v5::StateError::Deserialization(wrapped)) = error.downcast_ref() {
            return Some(wrapped);
        }
        error.source()
    })
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes;

    use super::*;

    fn of_v5(error: v5::ConnectionError) -> (FaultKind, Code) {
        let fault = Fault::from(error);
        (fault.kind, fault.report.code)
    }

    #[test]
    fn faults_of_the_library_get_their_code() {
        use v5::{ConnectionError as E, StateError as S};
        let io = |kind: io::ErrorKind| E::Io(kind.into());
        let taken_over =
            S::ServerDisconnect { reason_code: DisconnectReasonCode::SessionTakenOver, reason_string: None };
        for (error, kind, code) in [
            (E::ConnectionRefused(CodeV5::NotAuthorized), FaultKind::Other, Code::MqttAuth),
            (E::ConnectionRefused(CodeV5::BadUserNamePassword), FaultKind::Other, Code::MqttAuth),
            (E::ConnectionRefused(CodeV5::Banned), FaultKind::Other, Code::MqttDenied),
            (
                E::ConnectionRefused(CodeV5::UnsupportedProtocolVersion),
                FaultKind::UnsupportedVersion,
                Code::MqttDenied,
            ),
            (E::MqttState(taken_over), FaultKind::TakenOver, Code::MqttClientIdConflict),
            (E::MqttState(S::ConnectionAborted), FaultKind::Closed, Code::TcpClosed),
            (io(io::ErrorKind::ConnectionRefused), FaultKind::Other, Code::TcpRefused),
            (io(io::ErrorKind::ConnectionReset), FaultKind::Closed, Code::TcpClosed),
            (io(io::ErrorKind::HostUnreachable), FaultKind::Other, Code::TcpTimeout),
            (
                E::MqttState(S::Deserialization(mqttbytes::Error::MalformedPacket)),
                FaultKind::Unreadable,
                Code::TcpClosed,
            ),
            (
                E::MqttState(S::Deserialization(mqttbytes::Error::Io(io::ErrorKind::ConnectionReset.into()))),
                FaultKind::Closed,
                Code::TcpClosed,
            ),
        ] {
            let shown = format!("{error:?}");
            assert_eq!(of_v5(error), (kind, code), "{shown}");
        }
    }

    #[test]
    fn a_tls_error_is_found_however_deep_it_is_wrapped() {
        for (error, code) in [
            (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), Code::TlsCa),
            (rustls::Error::InvalidCertificate(CertificateError::Expired), Code::TlsExpired),
            (rustls::Error::InvalidCertificate(CertificateError::NotValidForName), Code::TlsName),
            (rustls::Error::AlertReceived(AlertDescription::CertificateRequired), Code::TlsClientCert),
        ] {
            let wrapped = || io::Error::new(io::ErrorKind::InvalidData, error.clone());
            assert_eq!(of_v5(v5::ConnectionError::Tls(wrapped().into())).1, code);
            let while_reading = v5::StateError::Deserialization(mqttbytes::Error::Io(wrapped()));
            assert_eq!(of_v5(v5::ConnectionError::MqttState(while_reading)).1, code);
            let while_reading =
                rumqttc::StateError::Deserialization(rumqttc::mqttbytes::Error::Io(wrapped()));
            assert_eq!(Fault::from(rumqttc::ConnectionError::MqttState(while_reading)).report.code, code);
        }
    }
}
