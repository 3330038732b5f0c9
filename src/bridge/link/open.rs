//! Opening the port of a configured connection.

use crate::bridge::config::model::{Connection, Link};
use crate::transport::tcp::{self, TcpSettings};
use crate::transport::{Port, TransportError};

/// Opens the port of a connection.
///
/// # Errors
/// Why it does not open.
pub async fn open_port(connection: &Connection) -> Result<Port, TransportError> {
    match &connection.link {
        Link::Tcp(settings) => {
            let settings = TcpSettings {
                host: settings.host.clone(),
                port: settings.port,
                connect_timeout: settings.connect_timeout,
                keep_alive: settings.keep_alive,
            };
            tcp::connect(&settings).await.map(Port::Tcp)
        }
        Link::Udp(_) | Link::Listen(_) | Link::Serial(_) => Err(TransportError::Unsupported),
    }
}
