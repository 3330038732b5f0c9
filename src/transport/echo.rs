//! Our own octets coming back, as two-wire lines and optical heads give them: taken out before anyone sees them.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What becomes of our own octets coming back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EchoMode {
    /// They are passed on. The HDLC link knows its own frames and says so, or passes over them.
    #[default]
    Pass,
    /// They are dropped.
    Drop,
}

/// Octets sent of which no echo came, at the most. Past them, no echo is expected any more.
const MOST_EXPECTED: usize = 64 * 1024;
/// Octets that a line makes up at the most when its driver is switched on, before the echo begins.
const MOST_NOISE: usize = 4;

/// A stream without the echo of what is written to it.
///
/// Octets are dropped only where all of what was written at once comes back, octet for octet and before anything
/// else: what merely begins like it is passed on whole. So an answer is never eaten, and a line without echo works too.
#[derive(Debug)]
pub struct EchoFilter<S> {
    stream: S,
    mode: EchoMode,
    expected: Expected,
    /// Octets that are no echo, and were not read yet.
    released: VecDeque<u8>,
}

/// What was written and may come back.
#[derive(Debug, Default)]
struct Expected {
    octets: VecDeque<u8>,
    /// How many of them each write has.
    writes: VecDeque<usize>,
    /// The last write was taken in part only: it goes on with the next.
    last_goes_on: bool,
    /// Octets at the front that came back, held until it is clear whether they are an echo.
    matched: usize,
    noise: usize,
    echoes: u64,
}

impl<S> EchoFilter<S> {
    /// Over `stream`.
    pub fn new(stream: S, mode: EchoMode) -> Self {
        Self { stream, mode, expected: Expected::default(), released: VecDeque::new() }
    }

    /// Writes that came back whole and were dropped.
    #[must_use]
    pub const fn echoes(&self) -> u64 {
        self.expected.echoes
    }

    /// The stream below.
    pub const fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream below. What is held is lost.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl Expected {
    /// Octets that the stream took of a write.
    fn sent(&mut self, octets: &[u8], whole: usize) {
        if self.octets.len() + octets.len() > MOST_EXPECTED {
            self.forget();
        }
        self.octets.extend(octets);
        match self.writes.back_mut() {
            Some(last) if self.last_goes_on => *last += octets.len(),
            _ => self.writes.push_back(octets.len()),
        }
        self.last_goes_on = octets.len() < whole;
    }

    /// An octet that came; what is no echo goes to `released`.
    fn received(&mut self, octet: u8, released: &mut VecDeque<u8>) {
        if self.octets.get(self.matched) == Some(&octet) {
            self.matched += 1;
            self.drop_echo();
        } else if self.matched == 0 && self.noise < MOST_NOISE && !self.octets.is_empty() {
            self.noise += 1;
            released.push_back(octet);
        } else {
            released.extend(self.octets.drain(..self.matched));
            released.push_back(octet);
            self.forget();
        }
    }

    fn drop_echo(&mut self) {
        let unfinished = self.last_goes_on && self.writes.len() == 1;
        if self.writes.front() == Some(&self.matched) && !unfinished {
            self.octets.drain(..self.matched);
            self.writes.pop_front();
            self.matched = 0;
            self.noise = 0;
            self.echoes += 1;
        }
    }

    fn forget(&mut self) {
        *self = Self { echoes: self.echoes, ..Self::default() };
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for EchoFilter<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.released.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let end_of_file = buf.filled().len() == before;
            if end_of_file || this.expected.octets.is_empty() {
                return Poll::Ready(Ok(()));
            }
            for &octet in &buf.filled()[before..] {
                this.expected.received(octet, &mut this.released);
            }
            buf.set_filled(before);
        }
        let (front, _) = this.released.as_slices();
        let count = front.len().min(buf.remaining());
        buf.put_slice(&front[..count]);
        this.released.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EchoFilter<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        if this.mode == EchoMode::Drop {
            this.expected.sent(&buf[..count], buf.len());
        }
        Poll::Ready(Ok(count))
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
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    const REQUEST: &[u8] = b"\x7e\xa0\x07\x03\x21\x93\x0f\x01\x7e";
    const ANSWER: &[u8] = b"\x7e\xa0\x07\x21\x03\x73\x01\x02\x7e";

    fn line(mode: EchoMode, room: usize) -> (EchoFilter<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(room);
        (EchoFilter::new(near, mode), far)
    }

    /// Everything that can be read before the line falls silent.
    async fn heard(stream: &mut EchoFilter<DuplexStream>) -> Vec<u8> {
        let mut heard = Vec::new();
        while let Ok(Ok(count @ 1..)) = timeout(Duration::from_secs(1), stream.read_buf(&mut heard)).await {
            assert!(count > 0);
        }
        heard
    }

    #[tokio::test(start_paused = true)]
    async fn an_echo_is_dropped_however_it_is_split() {
        let all = [REQUEST, ANSWER].concat();
        for split in 1..all.len() {
            let (mut near, mut far) = line(EchoMode::Drop, 1024);
            near.write_all(REQUEST).await.unwrap();
            let (first, second) = all.split_at(split);
            far.write_all(first).await.unwrap();
            let early = heard(&mut near).await;
            far.write_all(second).await.unwrap();
            assert_eq!([early, heard(&mut near).await].concat(), ANSWER, "split at {split}");
            assert_eq!(near.echoes(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_echo_is_never_eaten() {
        let (mut near, mut far) = line(EchoMode::Drop, 1024);
        for _ in 0..3 {
            near.write_all(REQUEST).await.unwrap();
            far.write_all(ANSWER).await.unwrap();
            assert_eq!(heard(&mut near).await, ANSWER);
        }
        // Sent three times before the answer comes.
        for _ in 0..3 {
            near.write_all(REQUEST).await.unwrap();
        }
        far.write_all(ANSWER).await.unwrap();
        assert_eq!(heard(&mut near).await, ANSWER);
        assert_eq!(near.echoes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn lost_and_spoilt_echoes_and_noise_cost_nothing() {
        let (mut near, mut far) = line(EchoMode::Drop, 1024);
        // The first echo is lost, the second comes.
        near.write_all(REQUEST).await.unwrap();
        near.write_all(REQUEST).await.unwrap();
        far.write_all(&[REQUEST, ANSWER].concat()).await.unwrap();
        assert_eq!(heard(&mut near).await, ANSWER);
        assert_eq!(near.echoes(), 1);
        // A collision spoils the echo: it is passed on, for who checks the sums.
        near.write_all(REQUEST).await.unwrap();
        let mut spoilt = REQUEST.to_vec();
        spoilt[6] ^= 4;
        far.write_all(&[&spoilt, ANSWER].concat()).await.unwrap();
        assert_eq!(heard(&mut near).await, [&spoilt, ANSWER].concat());
        // The driver makes noise when it is switched on.
        near.write_all(REQUEST).await.unwrap();
        far.write_all(&[b"\x00\xff", REQUEST, ANSWER].concat()).await.unwrap();
        assert_eq!(heard(&mut near).await, [b"\x00\xff", ANSWER].concat());
        assert_eq!(near.echoes(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_taken_in_parts_is_one_echo() {
        let (mut near, mut far) = line(EchoMode::Drop, 4);
        let echoing = async {
            let mut octets = [0; 64];
            let mut left = REQUEST.len();
            while left > 0 {
                let count = far.read(&mut octets).await.unwrap();
                far.write_all(&octets[..count]).await.unwrap();
                left -= count;
            }
            far.write_all(ANSWER).await.unwrap();
        };
        let asking = async {
            near.write_all(REQUEST).await.unwrap();
            heard(&mut near).await
        };
        let (_, heard) = tokio::join!(echoing, asking);
        assert_eq!(heard, ANSWER);
        assert_eq!(near.echoes(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn passed_where_it_is_not_to_be_dropped() {
        let (mut near, mut far) = line(EchoMode::Pass, 1024);
        near.write_all(REQUEST).await.unwrap();
        far.write_all(REQUEST).await.unwrap();
        assert_eq!(heard(&mut near).await, REQUEST);
        drop(far);
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0, "the end of the stream is passed on");
    }
}
