//! A serial port: opened for us alone, set in one step and read back, noticed when it vanishes.

mod errno;
mod format;
mod presence;
mod terminal;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::termios::{QueueSelector, tcdrain, tcflush};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_serial::SerialStream;

use super::error::TransportError;
use super::rs485::Rs485Settings;

pub use format::{DataBits, LineFormat, Parity, StopBits};
pub use presence::wait_for_return;
pub use terminal::FlowControl;

/// What waiting for the port to send takes at most, over the time that the octets need. Flow control can stop it for good.
const DRAIN_SURPLUS: Duration = Duration::from_secs(2);
/// Octets that a kernel holds for a port.
const KERNEL_OCTETS: usize = 4096;

/// Where a serial port is, and how it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialSettings {
    /// Path of the port; one below `/dev/serial/by-id` stays when adapters are plugged in elsewhere.
    pub device: PathBuf,
    /// Speed and character format.
    pub format: LineFormat,
    /// Flow control.
    pub flow: FlowControl,
    /// Direction control by the driver, if wanted.
    pub rs485: Option<Rs485Settings>,
}

/// An open serial port. Nobody else can open it meanwhile, as far as the system can prevent it.
///
/// Flushing does nothing, because waiting for the port blocks a thread: use [`Self::drain`].
#[derive(Debug)]
pub struct SerialPort {
    stream: SerialStream,
    /// The same terminal a second time, to be set and drained by threads that may block.
    control: Arc<OwnedFd>,
    device: PathBuf,
    format: LineFormat,
    flow: FlowControl,
}

impl SerialPort {
    /// Opens and sets a port. What arrived before is discarded.
    ///
    /// # Errors
    /// `SerialOpen`, `SerialPermission`, `SerialBusy`, `SerialSettings`.
    pub async fn open(settings: &SerialSettings) -> Result<Self, TransportError> {
        let settings = settings.clone();
        spawn_blocking(move || Self::open_blocking(&settings))
            .await
            .unwrap_or_else(|panic| Err(interrupted(&panic)))
    }

    fn open_blocking(settings: &SerialSettings) -> Result<Self, TransportError> {
        let device = settings.device.clone();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let control = rustix::fs::open(&device, flags, Mode::empty())
            .map_err(|errno| errno::opening(&device, errno))?;
        if !rustix::termios::isatty(&control) {
            return Err(errno::opening(&device, Errno::NOTTY));
        }
        probe_lock(&control).map_err(|errno| errno::opening(&device, errno))?;
        let stream = open_exclusively(settings)?;
        let port =
            Self { stream, control: Arc::new(control), device, format: settings.format, flow: settings.flow };
        set(&port.control, &port.device, settings.format, settings.flow)?;
        if let Some(rs485) = &settings.rs485 {
            rs485.apply(&port.control, &port.device)?;
        }
        port.discard_input();
        Ok(port)
    }

    /// Its path, as configured.
    #[must_use]
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// Speed and character format it is set to.
    #[must_use]
    pub const fn format(&self) -> LineFormat {
        self.format
    }

    /// Waits until everything written has left the port.
    ///
    /// # Errors
    /// `SerialGone`; `SerialStalled` where flow control keeps the octets back: they are discarded then.
    pub async fn drain(&mut self) -> Result<(), TransportError> {
        let terminal = Arc::clone(&self.control);
        let device = self.device.clone();
        self.unblocked(move || tcdrain(&*terminal).map_err(|errno| errno::using(&device, errno))).await
    }

    /// Sets another speed and character format, once everything written has left the port, and reads it back.
    ///
    /// # Errors
    /// Those of [`Self::drain`]; `SerialSettings` where the driver refuses it.
    pub async fn set_format(&mut self, format: LineFormat) -> Result<(), TransportError> {
        let terminal = Arc::clone(&self.control);
        let (device, flow) = (self.device.clone(), self.flow);
        self.unblocked(move || set(&terminal, &device, format, flow)).await?;
        self.format = format;
        Ok(())
    }

    /// Discards what arrived and was not read.
    pub fn discard_input(&self) {
        // It fails where the port is gone, which the next read tells.
        let _ = tcflush(&*self.control, QueueSelector::IFlush);
    }

    /// Sends what was written, then closes the port. Dropping it discards what has not been sent, and may block the thread
    /// for the time of the few octets that the hardware holds.
    ///
    /// # Errors
    /// Those of [`Self::drain`]. The port is closed all the same.
    pub async fn close(mut self) -> Result<(), TransportError> {
        let outcome = self.drain().await;
        spawn_blocking(move || drop(self)).await.map_err(|panic| interrupted(&panic))?;
        outcome
    }

    /// Runs what may block on a thread that may, for as long as the kernel's octets can take.
    async fn unblocked(
        &self,
        work: impl FnOnce() -> Result<(), TransportError> + Send + 'static,
    ) -> Result<(), TransportError> {
        let longest = self.format.time_of(KERNEL_OCTETS) + DRAIN_SURPLUS;
        match timeout(longest, spawn_blocking(work)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(interrupted(&panic)),
            Err(_) => {
                self.discard_output();
                Err(TransportError::SerialStalled { device: name(&self.device) })
            }
        }
    }

    fn discard_output(&self) {
        let _ = tcflush(&*self.control, QueueSelector::OFlush);
    }

    fn gone(&self) -> io::Error {
        io::Error::other(TransportError::SerialGone { device: name(&self.device) })
    }

    fn translate(&self, error: io::Error) -> io::Error {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        if errno.is_some_and(errno::means_gone) { self.gone() } else { error }
    }
}

impl Drop for SerialPort {
    fn drop(&mut self) {
        // The last close of a terminal waits for its output, half a minute where nothing takes it.
        self.discard_output();
    }
}

/// Another program's lock, before the library tries: its failed attempt takes the other's exclusivity away.
fn probe_lock(terminal: &OwnedFd) -> Result<(), Errno> {
    flock(terminal, FlockOperation::NonBlockingLockExclusive)?;
    flock(terminal, FlockOperation::Unlock)
}

/// Opens with `TIOCEXCL` and a lock. The format is set here too, but not all of it can be: it is set anew after.
fn open_exclusively(settings: &SerialSettings) -> Result<SerialStream, TransportError> {
    let device = name(&settings.device);
    let builder = tokio_serial::new(device.clone(), settings.format.baud).exclusive(true);
    SerialStream::open(&builder).map_err(|error| match error.kind {
        tokio_serial::ErrorKind::NoDevice => TransportError::SerialBusy { device },
        _ => TransportError::SerialOpen { device, reason: error.description },
    })
}

fn set(
    terminal: &OwnedFd,
    device: &Path,
    format: LineFormat,
    flow: FlowControl,
) -> Result<(), TransportError> {
    let refused = match terminal::apply(terminal, format, flow) {
        Ok(refused) => refused.join(", "),
        Err(Errno::INVAL | Errno::RANGE | Errno::OPNOTSUPP) => format.to_string(),
        Err(errno) => return Err(errno::using(device, errno)),
    };
    if refused.is_empty() {
        Ok(())
    } else {
        Err(TransportError::SerialSettings { device: name(device), refused })
    }
}

fn name(device: &Path) -> String {
    device.to_string_lossy().into_owned()
}

fn interrupted(panic: &tokio::task::JoinError) -> TransportError {
    TransportError::Broken(if panic.is_cancelled() {
        io::ErrorKind::Interrupted
    } else {
        io::ErrorKind::Other
    })
}

impl AsyncRead for SerialPort {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let port = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut port.stream).poll_read(cx, buf) {
            // A terminal that hung up reads as an end of file, or fails with EIO.
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                Poll::Ready(Err(port.gone()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(port.translate(error))),
            other => other,
        }
    }
}

impl AsyncWrite for SerialPort {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let port = self.get_mut();
        Pin::new(&mut port.stream).poll_write(cx, buf).map_err(|error| port.translate(error))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
