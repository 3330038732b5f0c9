//! What a sign-on needs of the stream it goes over: a speed that can change while it is open.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::echo::EchoFilter;
use super::error::TransportError;
use super::port::Port;
use super::serial::LineFormat;

/// A stream whose speed and character format can be changed; or whose far end sees to it, as TCP modems must.
pub trait Line: AsyncRead + AsyncWrite + Unpin + Send {
    /// Waits until what was written has been sent. `line_time` is how long that takes on the line.
    ///
    /// # Errors
    /// The line's end, or that it holds the octets back.
    fn drain(&mut self, line_time: Duration) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Sets speed and character format; nothing happens where the line has none.
    ///
    /// # Errors
    /// The line's end, or that it refuses.
    fn set_format(&mut self, format: LineFormat) -> impl Future<Output = Result<(), TransportError>> + Send;
}

impl Line for Port {
    async fn drain(&mut self, line_time: Duration) -> Result<(), TransportError> {
        match self {
            // An adapter takes octets over USB faster than it sends them, and some claim to be done too early.
            Self::Serial(port) => tokio::join!(port.drain(), sleep(line_time)).0,
            Self::Tcp(_) | Self::Caller(_) | Self::Udp(_) => {
                sleep(line_time).await;
                Ok(())
            }
        }
    }

    async fn set_format(&mut self, format: LineFormat) -> Result<(), TransportError> {
        match self {
            Self::Serial(port) if port.format() == format => Ok(()),
            Self::Serial(port) => port.set_format(format).await,
            Self::Tcp(_) | Self::Caller(_) | Self::Udp(_) => Ok(()),
        }
    }
}

impl<L: Line> Line for EchoFilter<L> {
    async fn drain(&mut self, line_time: Duration) -> Result<(), TransportError> {
        self.stream_mut().drain(line_time).await
    }

    async fn set_format(&mut self, format: LineFormat) -> Result<(), TransportError> {
        self.stream_mut().set_format(format).await
    }
}
