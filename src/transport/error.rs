//! Failures of the byte stream under a session.

use std::io;

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
    /// Reading or writing failed.
    #[error("the connection broke: {0}")]
    Broken(io::ErrorKind),
}

impl TransportError {
    /// The published form.
    #[must_use]
    pub fn report(&self) -> Report {
        let (code, layer) = match self {
            Self::Resolve { .. } => (Code::Dns, Layer::Dns),
            Self::Refused { .. } => (Code::TcpRefused, Layer::Tcp),
            Self::Unreachable { .. } => (Code::TcpTimeout, Layer::Tcp),
            Self::Closed | Self::Broken(_) => (Code::TcpClosed, Layer::Tcp),
        };
        Report::new(code, layer, self.to_string())
    }
}

impl From<io::Error> for TransportError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            kind => Self::Broken(kind),
        }
    }
}
