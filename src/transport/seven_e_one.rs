//! Seven bits and even parity over a stream of eight bits without: for serial servers and ports that can't do 7E1.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::iec62056_21::{with_even_parity, without_parity};

/// Octets converted at a time.
const CHUNK: usize = 64;
/// What a port that checks parity itself gives for a character that fails it.
const SPOILT: u8 = 0;

/// A stream whose characters bear their parity in bit 7. A received one of wrong parity is read as NUL, and counted.
#[derive(Debug)]
pub struct SevenEvenOne<S> {
    stream: S,
    parity_errors: u64,
}

impl<S> SevenEvenOne<S> {
    /// Over `stream`.
    pub const fn new(stream: S) -> Self {
        Self { stream, parity_errors: 0 }
    }

    /// Received characters of wrong parity.
    #[must_use]
    pub const fn parity_errors(&self) -> u64 {
        self.parity_errors
    }

    /// The stream below.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SevenEvenOne<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buf);
        for octet in &mut buf.filled_mut()[before..] {
            *octet = without_parity(*octet).unwrap_or_else(|| {
                this.parity_errors += 1;
                SPOILT
            });
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SevenEvenOne<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut chunk = [0; CHUNK];
        let count = buf.len().min(CHUNK);
        for (coded, character) in chunk.iter_mut().zip(buf) {
            *coded = with_even_parity(*character);
        }
        Pin::new(&mut self.get_mut().stream).poll_write(cx, &chunk[..count])
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn parity_is_made_checked_and_taken_away() {
        let (near, mut far) = duplex(1024);
        let mut near = SevenEvenOne::new(near);
        near.write_all(b"/?12345678!\r\n").await.unwrap();
        let mut sent = [0; 13];
        far.read_exact(&mut sent).await.unwrap();
        // As the reference vector has it.
        assert_eq!(sent, *b"\xaf\x3f\xb1\xb2\x33\xb4\x35\x36\xb7\xb8\x21\x8d\x0a");

        far.write_all(&[0xAF, 0x3F, 0x2F, 0x8D, 0x0A]).await.unwrap();
        let mut received = [0; 5];
        near.read_exact(&mut received).await.unwrap();
        assert_eq!(received, *b"/?\0\r\n");
        assert_eq!(near.parity_errors(), 1);
    }

    #[tokio::test]
    async fn long_writes_are_whole() {
        let (near, mut far) = duplex(1024);
        let mut near = SevenEvenOne::new(near);
        let text: Vec<u8> = (0..1000_u32).map(|n| (n % 128) as u8).collect();
        near.write_all(&text).await.unwrap();
        let mut sent = vec![0; 1000];
        far.read_exact(&mut sent).await.unwrap();
        assert!(sent.iter().all(|octet| octet.count_ones() % 2 == 0));
        assert!(sent.iter().zip(&text).all(|(coded, character)| coded & 0x7F == *character));
    }
}
