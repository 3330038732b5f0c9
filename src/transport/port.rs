//! The closed set of byte streams that a link can own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::error::TransportError;
use super::listener::Caller;
use super::serial::SerialPort;
use super::udp::UdpPort;

/// An open byte stream to one or more meters.
#[derive(Debug)]
pub enum Port {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection that a meter or modem opened to us.
    Caller(Caller),
    /// UDP, with the wrapper.
    Udp(UdpPort),
    /// A serial port.
    Serial(SerialPort),
}

impl Port {
    /// Sends what was written, then closes: TCP with a FIN, so that a modem is free for the next at once.
    ///
    /// # Errors
    /// What was written may not have been sent. The port is closed all the same.
    pub async fn close(self) -> Result<(), TransportError> {
        match self {
            Self::Tcp(mut stream) => Ok(stream.shutdown().await?),
            Self::Caller(mut caller) => Ok(caller.shutdown().await?),
            Self::Udp(_) => Ok(()),
            Self::Serial(port) => port.close().await,
        }
    }
}

impl AsyncRead for Port {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Caller(caller) => Pin::new(caller).poll_read(cx, buf),
            Self::Udp(port) => Pin::new(port).poll_read(cx, buf),
            Self::Serial(port) => Pin::new(port).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Port {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Caller(caller) => Pin::new(caller).poll_write(cx, buf),
            Self::Udp(port) => Pin::new(port).poll_write(cx, buf),
            Self::Serial(port) => Pin::new(port).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Caller(caller) => Pin::new(caller).poll_flush(cx),
            Self::Udp(port) => Pin::new(port).poll_flush(cx),
            Self::Serial(port) => Pin::new(port).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Caller(caller) => Pin::new(caller).poll_shutdown(cx),
            Self::Udp(port) => Pin::new(port).poll_shutdown(cx),
            Self::Serial(port) => Pin::new(port).poll_shutdown(cx),
        }
    }
}
