//! A stream whose octets are traced as they pass.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::scan::Scanner;
use super::{Direction, Trace};
use crate::transport::error::TransportError;
use crate::transport::line::Line;
use crate::transport::serial::LineFormat;

/// A stream whose octets are traced as they pass. Costs two loads an operation where nothing is wanted.
#[derive(Debug)]
pub struct Traced<S> {
    stream: S,
    trace: Trace,
    sent: Scanner,
    received: Scanner,
}

impl<S> Traced<S> {
    /// Over `stream`.
    pub fn new(stream: S, trace: Trace) -> Self {
        Self { stream, trace, sent: Scanner::default(), received: Scanner::default() }
    }

    /// The stream below.
    pub const fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The trace of its link.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The stream below.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Traced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.trace.octets(Direction::Received, &buf.filled()[before..], &mut this.received);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Traced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        this.trace.octets(Direction::Sent, &buf[..count], &mut this.sent);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<L: Line> Line for Traced<L> {
    async fn drain(&mut self, line_time: Duration) -> Result<(), TransportError> {
        self.stream.drain(line_time).await
    }

    async fn set_format(&mut self, format: LineFormat) -> Result<(), TransportError> {
        self.stream.set_format(format).await
    }
}
