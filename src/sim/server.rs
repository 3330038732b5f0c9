//! Simulated meters on TCP: one port for one meter, or for several behind one HDLC line or one wrapper.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{Framing, MeterConfig};
use super::line::Line;
use super::meter::Meter;
use crate::security::SecuritySuite;
use crate::transport::Driver;
use crate::wire::hdlc::AddressError;

/// After a failed accept: the process may be out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why meters cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The port could not be opened.
    #[error("cannot listen: {0}")]
    Listen(#[from] io::Error),
    /// An HDLC address out of range.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No meter at all.
    #[error("a port needs a meter")]
    NoMeter,
    /// HDLC and wrapper meters on one port.
    #[error("the meters of one port have one framing")]
    MixedFraming,
    /// A key of another length than the suite's.
    #[error("a key has {found} bytes, {suite} needs {}", suite.key_length())]
    KeyLength {
        /// The meter's suite.
        suite: SecuritySuite,
        /// Length in bytes of the key.
        found: usize,
    },
    /// Two meters with one address.
    #[error("two meters of one port have the same address")]
    SameAddress,
}

/// Simulated meters that are served until this is stopped or dropped.
#[derive(Debug)]
pub struct SimulatedMeter {
    address: SocketAddr,
    meters: Vec<Arc<Meter>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl SimulatedMeter {
    /// Serves one meter on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub async fn spawn(listen: impl ToSocketAddrs, config: MeterConfig) -> Result<Self, SpawnError> {
        Self::spawn_line(listen, vec![config]).await
    }

    /// Serves several meters on one port: stations of one HDLC line (multi-drop), or logical devices behind one
    /// wrapper.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub async fn spawn_line(
        listen: impl ToSocketAddrs,
        configs: Vec<MeterConfig>,
    ) -> Result<Self, SpawnError> {
        let listener = TcpListener::bind(listen).await?;
        Self::serve(listener, configs)
    }

    /// Serves meters on a listener that is open already. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub fn serve(listener: TcpListener, configs: Vec<MeterConfig>) -> Result<Self, SpawnError> {
        check(&configs)?;
        let address = listener.local_addr()?;
        let meters: Vec<Arc<Meter>> =
            configs.into_iter().map(|config| Arc::new(Meter::new(config))).collect();
        // Tells now whether the addresses fit, not at the first connection.
        Line::new(&meters)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(listener, meters.clone(), stop.clone(), tasks.clone()));
        Ok(Self { address, meters, stop, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The meters.
    #[must_use]
    pub fn meters(&self) -> &[Arc<Meter>] {
        &self.meters
    }

    /// Closes the port and every connection.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for SimulatedMeter {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn check(configs: &[MeterConfig]) -> Result<(), SpawnError> {
    let Some(first) = configs.first() else { return Err(SpawnError::NoMeter) };
    let wrapped = first.framing == Framing::Wrapper;
    if configs.iter().any(|config| (config.framing == Framing::Wrapper) != wrapped) {
        return Err(SpawnError::MixedFraming);
    }
    for security in configs.iter().filter_map(|config| config.security.as_ref()) {
        let keys = [&security.block_cipher_key, &security.authentication_key];
        let suite = security.suite;
        if let Some(wrong) = keys.into_iter().find(|key| key.len() != suite.key_length()) {
            return Err(SpawnError::KeyLength { suite, found: wrong.len() });
        }
    }
    let address = |config: &MeterConfig| {
        let physical = if wrapped { None } else { config.server_address.physical };
        (config.server_address.logical, physical)
    };
    let different: HashSet<_> = configs.iter().map(address).collect();
    if different.len() == configs.len() { Ok(()) } else { Err(SpawnError::SameAddress) }
}

async fn accept(listener: TcpListener, meters: Vec<Arc<Meter>>, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                tracing::debug!(%peer, "a client of the simulated meter connects");
                let (meters, stop) = (meters.clone(), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = converse(stream, &meters) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the simulated meter cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, meters: &[Arc<Meter>]) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let Ok(mut line) = Line::new(meters) else { return };
    let mut driver = Driver::new(stream);
    // The only event is that the meter hangs up, the only error that the client does.
    let ended = driver.next_event(&mut line).await;
    tracing::debug!(?ended, "a connection of the simulated meter ends");
    line.abandon(Instant::now());
}
