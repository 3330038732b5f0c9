//! The broker inside the demo, so that it needs nothing but this binary. Good enough to show; not for production.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

/// How long the broker may take until it accepts connections.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a broker for MQTT 3.1.1 on 127.0.0.1 and returns its port: `port`, or any free one where that is 0.
///
/// It runs until the process ends; there is no way to stop it.
///
/// # Errors
/// When the port is in use, or no connection is accepted within ten seconds.
pub fn start(port: u16) -> io::Result<u16> {
    // The broker only logs that its port is taken, so that is found out before.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr()?;
    let mut broker = Broker::new(config(address));
    thread::Builder::new().name("demo-broker".to_owned()).spawn(move || {
        if let Err(error) = broker.start() {
            tracing::error!(%error, "the demo's broker ended");
        }
    })?;
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        if started.elapsed() > PATIENCE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the demo's broker does not start"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(address.port())
}

fn config(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 10_000,
        max_payload_size: 1 << 20,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server = ServerSettings {
        name: "demo-broker".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    Config {
        router: RouterConfig {
            max_connections: 100,
            max_outgoing_packet_count: 200,
            max_segment_size: 1 << 20,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("demo".to_owned(), server)])),
        ..Config::default()
    }
}
