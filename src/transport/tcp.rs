//! Opening a TCP connection to a meter or to the modem in front of it.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::error::TransportError;

/// Where and how to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSettings {
    /// Name or address, v4 or v6.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Time for resolution and connection together.
    pub connect_timeout: Duration,
    /// Idle time before keep-alive probes; none where `None`.
    pub keep_alive: Option<Duration>,
}

/// Connects to the first address of the host that answers.
///
/// # Errors
/// `Resolve`, `Refused`, `Unreachable`: the last address's failure where a name has several.
pub async fn connect(settings: &TcpSettings) -> Result<TcpStream, TransportError> {
    let address = format!("{}:{}", settings.host, settings.port);
    timeout(settings.connect_timeout, connect_any(settings, &address)).await.unwrap_or_else(|_| {
        let reason = format!("no answer within {:?}", settings.connect_timeout);
        Err(TransportError::Unreachable { address, reason })
    })
}

async fn connect_any(settings: &TcpSettings, address: &str) -> Result<TcpStream, TransportError> {
    let unresolved = |reason: String| TransportError::Resolve { host: settings.host.clone(), reason };
    let candidates = lookup_host((settings.host.as_str(), settings.port))
        .await
        .map_err(|error| unresolved(error.to_string()))?;
    let mut failure = unresolved("the name has no address".to_owned());
    for candidate in candidates {
        match TcpStream::connect(candidate).await {
            Ok(stream) => {
                configure(&stream, settings)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                failure = TransportError::Refused { address: address.to_owned() };
            }
            Err(error) => {
                failure =
                    TransportError::Unreachable { address: address.to_owned(), reason: error.to_string() };
            }
        }
    }
    Err(failure)
}

fn configure(stream: &TcpStream, settings: &TcpSettings) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(idle) = settings.keep_alive {
        let probes = TcpKeepalive::new().with_time(idle).with_interval(idle).with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&probes)?;
    }
    Ok(())
}
