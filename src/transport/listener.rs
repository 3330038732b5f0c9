//! The TCP port where meters and modems connect to us: bounded, and without patience for who stays unknown.

use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::TransportError;
use super::tcp;

/// Pause after an accept failed, as for want of file descriptors: it would fail at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where and how to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSettings {
    /// Address and port.
    pub address: SocketAddr,
    /// Idle time before keep-alive probes; none where `None`.
    pub keep_alive: Option<Duration>,
    /// Most connections at a time, known or not.
    pub max_connections: u16,
    /// Time in which who connects must be known.
    pub identify_timeout: Duration,
}

/// A port that is listened on.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    settings: ListenSettings,
    slots: Arc<Semaphore>,
    refused: u64,
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// `Listen`.
    pub async fn bind(settings: ListenSettings) -> Result<Self, TransportError> {
        let listener = TcpListener::bind(settings.address).await.map_err(|error| TransportError::Listen {
            address: settings.address.to_string(),
            reason: error.to_string(),
        })?;
        let slots = Arc::new(Semaphore::new(usize::from(settings.max_connections)));
        Ok(Self { listener, settings, slots, refused: 0 })
    }

    /// Address and port, the port being the system's choice where 0 was asked for.
    ///
    /// # Errors
    /// The system's.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Connections closed at once because there were too many.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// The next caller. Who comes while there are too many is hung up on: its modem tries again later. Cancel-safe.
    pub async fn accept(&mut self) -> Caller {
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(address = %self.settings.address, %error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
                self.refused += 1;
                tracing::warn!(%peer, most = self.settings.max_connections, "too many connections: hung up");
                continue;
            };
            if let Err(error) = tcp::configure(&stream, self.settings.keep_alive) {
                tracing::debug!(%peer, %error, "the caller is gone already");
                continue;
            }
            let deadline = Instant::now() + self.settings.identify_timeout;
            return Caller { stream, peer, deadline, _slot: slot };
        }
    }
}

/// A connection from outside. It counts against the bound for as long as it lives.
#[derive(Debug)]
pub struct Caller {
    stream: TcpStream,
    peer: SocketAddr,
    deadline: Instant,
    _slot: OwnedSemaphorePermit,
}

impl Caller {
    /// Who calls. Behind mobile networks it says nothing about the meter.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What it says before it is asked, as modems do with a heartbeat: waits for it for `patience` at the most, and leaves
    /// it to be read. Empty where it waits to be asked.
    ///
    /// # Errors
    /// `Closed` where it hung up; `Unidentified` after the time to be known.
    pub async fn first_octets(&self, patience: Duration, most: usize) -> Result<Vec<u8>, TransportError> {
        let mut octets = vec![0; most];
        let until = (Instant::now() + patience).min(self.deadline);
        match timeout_at(until, self.stream.peek(&mut octets)).await {
            Ok(Ok(0)) if most > 0 => Err(TransportError::Closed),
            Ok(count) => {
                octets.truncate(count?);
                Ok(octets)
            }
            Err(_) if until == self.deadline => Err(self.patience().exhausted()),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// The way to end this call from elsewhere, whoever reads and writes it then.
    ///
    /// # Errors
    /// The system's: too many open files.
    pub fn hang_up(&self) -> io::Result<HangUp> {
        self.stream.as_fd().try_clone_to_owned().map(|fd| HangUp(fd.into()))
    }

    /// The time in which it must be known, to run what finds out under.
    #[must_use]
    pub const fn patience(&self) -> Patience {
        Patience { deadline: self.deadline, peer: self.peer }
    }
}

/// Ends a call from elsewhere.
#[derive(Debug)]
pub struct HangUp(std::net::TcpStream);

impl HangUp {
    /// Ends the call: who reads it sees its end.
    pub fn hang_up(self) {
        // It fails where the call has ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// The time in which a caller must be known.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    deadline: Instant,
    peer: SocketAddr,
}

impl Patience {
    /// Runs `work` for as long as the caller may stay unknown.
    ///
    /// # Errors
    /// `Unidentified`.
    pub async fn within<F: Future>(&self, work: F) -> Result<F::Output, TransportError> {
        timeout_at(self.deadline, work).await.map_err(|_| self.exhausted())
    }

    fn exhausted(&self) -> TransportError {
        TransportError::Unidentified { peer: self.peer.to_string() }
    }
}

impl AsyncRead for Caller {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Caller {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;
    use crate::error::Code;

    const SOON: Duration = Duration::from_millis(50);
    const PATIENCE: Duration = Duration::from_secs(5);

    async fn listener(max_connections: u16, identify_timeout: Duration) -> (Listener, SocketAddr) {
        let settings = ListenSettings {
            address: "127.0.0.1:0".parse().unwrap(),
            keep_alive: Some(Duration::from_secs(30)),
            max_connections,
            identify_timeout,
        };
        let listener = Listener::bind(settings).await.unwrap();
        let address = listener.local_address().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_heartbeat_is_seen_and_left_to_be_read() {
        let (mut listener, address) = listener(4, PATIENCE).await;
        let mut modem = TcpStream::connect(address).await.unwrap();
        let mut caller = listener.accept().await;
        assert_eq!(caller.peer(), modem.local_addr().unwrap());
        assert_eq!(caller.first_octets(SOON, 64).await, Ok(vec![]), "it waits to be asked");
        modem.write_all(b"IMEI:1234").await.unwrap();
        assert_eq!(caller.first_octets(PATIENCE, 64).await.unwrap(), b"IMEI:1234");
        let mut read = [0; 9];
        caller.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"IMEI:1234");
        drop(modem);
        assert_eq!(caller.first_octets(PATIENCE, 64).await, Err(TransportError::Closed));
    }

    #[tokio::test]
    async fn too_many_are_hung_up_on_until_one_leaves() {
        let (mut listener, address) = listener(2, PATIENCE).await;
        let mut modems = Vec::new();
        for _ in 0..2 {
            modems.push((TcpStream::connect(address).await.unwrap(), listener.accept().await));
        }
        let mut third = TcpStream::connect(address).await.unwrap();
        assert!(timeout(SOON, listener.accept()).await.is_err());
        assert_eq!(timeout(PATIENCE, third.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0, "hung up");
        assert_eq!(listener.refused(), 1);
        modems.pop();
        let _fourth = TcpStream::connect(address).await.unwrap();
        timeout(PATIENCE, listener.accept()).await.expect("there is room again");
    }

    #[tokio::test]
    async fn who_stays_unknown_is_given_up() {
        let (mut listener, address) = listener(2, SOON).await;
        let _modem = TcpStream::connect(address).await.unwrap();
        let caller = listener.accept().await;
        let error = caller.patience().within(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(error.report().code, Code::WrongMeter);
        assert_eq!(caller.first_octets(PATIENCE, 8).await, Err(error));
    }

    #[tokio::test]
    async fn a_port_in_use_is_said() {
        let (listener, address) = listener(1, SOON).await;
        let settings = ListenSettings { address, ..listener.settings.clone() };
        let error = Listener::bind(settings).await.unwrap_err();
        assert_eq!(error.report().code, Code::Listen);
        assert!(error.to_string().contains("in use"), "{error}");
    }
}
