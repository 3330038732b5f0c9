//! Opening a TCP connection to a meter or to the modem in front of it.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

use super::attempts::ATTEMPTS;
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

/// Connects to the first address of the host that answers, in its turn among the attempts of this process.
///
/// # Errors
/// `Resolve`, `Refused`, `Unreachable`: the last address's failure where a name has several.
pub async fn connect(settings: &TcpSettings) -> Result<TcpStream, TransportError> {
    ATTEMPTS.turn().await;
    let address = authority(&settings.host, settings.port);
    let deadline = Instant::now() + settings.connect_timeout;
    timeout_at(deadline, connect_any(settings, &address, deadline)).await.unwrap_or_else(|_| {
        let reason = format!("no answer within {:?}", settings.connect_timeout);
        Err(TransportError::Unreachable { address, reason })
    })
}

async fn connect_any(
    settings: &TcpSettings,
    address: &str,
    deadline: Instant,
) -> Result<TcpStream, TransportError> {
    let unresolved = |reason: String| TransportError::Resolve { host: settings.host.clone(), reason };
    let candidates = lookup_host((settings.host.as_str(), settings.port))
        .await
        .map_err(|error| unresolved(error.to_string()))?;
    let candidates: Vec<_> = candidates.collect();
    let mut failure = unresolved("the name has no address".to_owned());
    for (tried, candidate) in candidates.iter().enumerate() {
        // An address that swallows everything (IPv6 without a route, often) must leave time for the others.
        let left = u32::try_from(candidates.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let outcome = timeout(share, TcpStream::connect(candidate));
        match outcome.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                configure(&stream, settings.keep_alive)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                failure = TransportError::Refused { address: address.to_owned() };
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => failure = error.into(),
            Err(error) => {
                failure =
                    TransportError::Unreachable { address: address.to_owned(), reason: error.to_string() };
            }
        }
    }
    Err(failure)
}

/// Sends without delay, and probes a silent peer, so that one that vanished is noticed.
pub(super) fn configure(stream: &TcpStream, keep_alive: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(idle) = keep_alive {
        let probes = TcpKeepalive::new().with_time(idle).with_interval(idle).with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&probes)?;
    }
    Ok(())
}

/// Host and port as they are written together: IPv6 addresses in brackets.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::error::Code;

    fn settings(host: &str, port: u16) -> TcpSettings {
        let connect_timeout = Duration::from_secs(5);
        TcpSettings { host: host.into(), port, connect_timeout, keep_alive: Some(Duration::from_secs(30)) }
    }

    #[tokio::test]
    async fn connections_open_or_say_why_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = connect(&settings("localhost", port)).await.unwrap();
        assert!(SockRef::from(&stream).keepalive().unwrap());
        assert!(stream.nodelay().unwrap());
        drop(listener);
        let error = connect(&settings("127.0.0.1", port)).await.unwrap_err();
        assert_eq!(error.report().code, Code::TcpRefused);
        let error = connect(&settings("meter.invalid", port)).await.unwrap_err();
        assert_eq!(error.report().code, Code::Dns);
    }

    #[tokio::test]
    async fn a_host_that_does_not_answer_is_given_up_in_time() {
        let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&full).listen(0).unwrap();
        let address = full.local_addr().unwrap();
        // Nobody accepts: once as many wait as the system lets, it drops what comes on.
        let waiting = (0..100)
            .map_while(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok());
        let waiting: Vec<_> = waiting.collect();
        assert!(waiting.len() < 100);
        let patient = Duration::from_millis(500);
        let begun = Instant::now();
        let settings = TcpSettings { connect_timeout: patient, ..settings("127.0.0.1", address.port()) };
        let error = connect(&settings).await.unwrap_err();
        assert_eq!(error.report().code, Code::TcpTimeout);
        assert!(begun.elapsed() >= patient && begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn ipv6_addresses_have_brackets() {
        assert_eq!(authority("2001:db8::7", 4059), "[2001:db8::7]:4059");
        assert_eq!(authority("modem", 4059), "modem:4059");
    }
}
