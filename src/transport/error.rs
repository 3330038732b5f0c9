//! Failures of the byte stream under a session.

use std::io;

use super::mode_e::SignOnError;
use crate::error::{Code, Layer, Report};

/// A failure to open or use a byte stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The host name did not resolve.
    #[error("cannot resolve {host}: {reason}")]
    Resolve {
        /// The name asked for.
        host: String,
        /// The resolver's words.
        reason: String,
    },
    /// The peer refused the connection.
    #[error("{address} refused the connection")]
    Refused {
        /// Host and port.
        address: String,
    },
    /// The connection did not open in time, or there is no route.
    #[error("no connection to {address}: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The peer closed the stream.
    #[error("the peer closed the connection")]
    Closed,
    /// It is for the meter to open the connection, and it has not.
    #[error("the meter has not called")]
    NotCalled,
    /// Reading or writing failed.
    #[error("the connection broke: {0}")]
    Broken(io::ErrorKind),
    /// The port can't be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Address and port.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// Who connected to us stayed unknown.
    #[error("{peer} connected and is not known to be a meter of the configuration")]
    Unidentified {
        /// Address and port.
        peer: String,
    },
    /// The meter did not sign on.
    #[error(transparent)]
    ModeE(#[from] SignOnError),
    /// The serial port is absent, or is no serial port.
    #[error("cannot open {device}: {reason}")]
    SerialOpen {
        /// Its path.
        device: String,
        /// What the system said.
        reason: String,
    },
    /// The serial port may not be opened by the user we run as.
    #[error("no permission to open {device}")]
    SerialPermission {
        /// Its path.
        device: String,
        /// The group whose members may, if there is one.
        group: Option<String>,
    },
    /// Another program, or another link, has the serial port.
    #[error("{device} is in use")]
    SerialBusy {
        /// Its path.
        device: String,
    },
    /// The driver does not do what was asked.
    #[error("{device} refused {refused}")]
    SerialSettings {
        /// Its path.
        device: String,
        /// The settings, and what the port has instead.
        refused: String,
    },
    /// The serial port vanished while it was open.
    #[error("{device} is gone")]
    SerialGone {
        /// Its path.
        device: String,
    },
    /// The serial port sends nothing: its flow control holds it.
    #[error("{device} does not send: flow control holds it")]
    SerialStalled {
        /// Its path.
        device: String,
    },
}

impl TransportError {
    /// The published form.
    #[must_use]
    pub fn report(&self) -> Report {
        let (code, layer) = match self {
            Self::ModeE(error) => return error.report(),
            Self::Resolve { .. } => (Code::Dns, Layer::Dns),
            Self::Refused { .. } => (Code::TcpRefused, Layer::Tcp),
            Self::Unreachable { .. } => (Code::TcpTimeout, Layer::Tcp),
            Self::Closed | Self::Broken(_) => (Code::TcpClosed, Layer::Tcp),
            Self::Listen { .. } => (Code::Listen, Layer::Tcp),
            Self::Unidentified { .. } => (Code::WrongMeter, Layer::Tcp),
            Self::SerialOpen { .. } => (Code::SerialOpen, Layer::Serial),
            Self::SerialPermission { .. } => (Code::SerialPermission, Layer::Serial),
            Self::SerialBusy { .. } => (Code::SerialBusy, Layer::Serial),
            Self::SerialSettings { .. } | Self::SerialStalled { .. } => (Code::SerialSettings, Layer::Serial),
            Self::SerialGone { .. } => (Code::SerialGone, Layer::Serial),
            Self::NotCalled => (Code::LinkDown, Layer::Tcp),
        };
        let report = Report::new(code, layer, self.to_string());
        match self {
            Self::SerialPermission { group: Some(group), .. } => {
                report.with_hint(format!("add the user that runs dlms2mqtt to the group {group}"))
            }
            Self::Unidentified { .. } => report.with_hint(
                "check the identity of the devices on this connection, and who may reach the port",
            ),
            Self::NotCalled => report.with_hint(
                "check the destination address of the meter or its modem, and the firewall in front of the port",
            ),
            Self::SerialStalled { .. } => {
                report.with_hint("check the wiring of RTS and CTS, or set flow_control: none")
            }
            _ => report,
        }
    }
}

impl From<io::Error> for TransportError {
    /// A stream that knows better than the system's number says so with a `TransportError` inside.
    fn from(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            kind => Self::Broken(kind),
        })
    }
}
