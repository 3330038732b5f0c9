//! Opening the line of a configured connection: the port, the echo filter and the trace over it.

use super::serial_line::serial_settings;
use super::traces::trace_of;
use crate::bridge::config::document::connection::Echo;
use crate::bridge::config::document::device::Interface;
use crate::bridge::config::model::{Connection, Link};
use crate::transport::tcp::{self, TcpSettings};
use crate::transport::udp::UdpSettings;
use crate::transport::{Driver, EchoFilter, EchoMode, Port, SerialPort, Traced, TransportError, UdpPort};

/// The stream of a link: its port without echoes.
pub type LinkStream = EchoFilter<Port>;

/// A link's stream with its buffers, traced.
pub type LinkDriver = Driver<LinkStream>;

/// Opens the line of a connection for meters that speak `interface`.
///
/// # Errors
/// Why it does not open; `NotCalled` where it is for the meter to open it.
pub async fn open_link(connection: &Connection, interface: Interface) -> Result<LinkDriver, TransportError> {
    Ok(link_over(open_port(connection).await?, connection, interface))
}

/// The link over a port that is open.
#[must_use]
pub fn link_over(port: Port, connection: &Connection, interface: Interface) -> LinkDriver {
    let stream = EchoFilter::new(port, echo_mode(connection, interface));
    Driver::over(Traced::new(stream, trace_of(connection.name.as_str())))
}

/// Opens the port of a connection.
///
/// # Errors
/// Why it does not open; `NotCalled` where it is for the meter to open it.
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
        Link::Udp(settings) => {
            let settings = UdpSettings { host: settings.host.clone(), port: settings.port };
            UdpPort::open(&settings).await.map(Port::Udp)
        }
        Link::Serial(settings) => SerialPort::open(&serial_settings(settings)).await.map(Port::Serial),
        Link::Listen(_) => Err(TransportError::NotCalled),
    }
}

/// HDLC and the sign-on know their own octets, and can tell a line that merely echoes from a silent one. The wrapper
/// cannot: on serial lines the filter looks out for it.
fn echo_mode(connection: &Connection, interface: Interface) -> EchoMode {
    match (connection.echo, interface, &connection.link) {
        (Echo::Drop, ..) | (Echo::Auto, Interface::Wrapper, Link::Serial(_)) => EchoMode::Drop,
        (Echo::Off | Echo::Auto, ..) => EchoMode::Pass,
    }
}
