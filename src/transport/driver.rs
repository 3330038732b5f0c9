//! The only loop that joins a sans-IO session with a byte stream and the clock.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant as TokioInstant, Sleep, sleep_until};

use super::error::TransportError;
use super::trace::{Trace, Traced};

/// What one read takes at the most.
const INPUT_BYTES: usize = 4096;

/// The verbs of a sans-IO session.
pub trait Session {
    /// What the session reports.
    type Event;

    /// Takes bytes that arrived.
    fn handle_input(&mut self, now: Instant, bytes: &[u8]);
    /// Acts on a deadline that has passed.
    fn handle_timeout(&mut self, now: Instant);
    /// The next deadline.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Appends bytes to send; false where there are none.
    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool;
    /// The next event.
    fn poll_event(&mut self) -> Option<Self::Event>;
}

/// A byte stream with its buffers. All state is here or in the session, so every await is cancel-safe.
#[derive(Debug)]
pub struct Driver<S> {
    stream: Traced<S>,
    input: Box<[u8]>,
    output: Vec<u8>,
    sent: usize,
    timer: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    heard_at: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// A driver of `stream`, which belongs to no link that is traced.
    pub fn new(stream: S) -> Self {
        Self::over(Traced::new(stream, Trace::new("")))
    }

    /// A driver of the stream of a link.
    pub fn over(stream: Traced<S>) -> Self {
        Self {
            stream,
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            output: Vec::with_capacity(256),
            sent: 0,
            timer: Box::pin(sleep_until(TokioInstant::now())),
            armed: None,
            heard_at: now(),
        }
    }

    /// When something came last; before that, when the driver was made.
    pub const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// The stream, to be readied for a session: what the last one left unsent is dropped.
    pub fn stream_mut(&mut self) -> &mut Traced<S> {
        self.output.clear();
        self.sent = 0;
        &mut self.stream
    }

    /// The stream, without the session's unsent bytes.
    pub fn into_inner(self) -> S {
        self.stream.into_inner()
    }

    /// Runs the session until it reports something.
    ///
    /// # Errors
    /// The stream's end or failure.
    pub async fn next_event<T: Session>(&mut self, session: &mut T) -> Result<T::Event, TransportError> {
        poll_fn(|cx| self.poll_event(cx, session)).await
    }

    /// Gives the session what has arrived, without waiting for more.
    ///
    /// # Errors
    /// The stream's end or failure.
    pub async fn take_in<T: Session>(&mut self, session: &mut T) -> Result<(), TransportError> {
        poll_fn(|cx| {
            loop {
                let mut buffer = ReadBuf::new(&mut self.input);
                match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                        return Poll::Ready(Err(TransportError::Closed));
                    }
                    Poll::Ready(Ok(())) => session.handle_input(now(), buffer.filled()),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => return Poll::Ready(Ok(())),
                }
            }
        })
        .await
    }

    /// Drops what arrives, for nobody waits for it, until the stream ends.
    pub async fn end(&mut self) -> TransportError {
        poll_fn(|cx| {
            loop {
                let mut buffer = ReadBuf::new(&mut self.input);
                match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                        return Poll::Ready(TransportError::Closed);
                    }
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(error.into()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    fn poll_event<T: Session>(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut T,
    ) -> Poll<Result<T::Event, TransportError>> {
        loop {
            if let Some(event) = session.poll_event() {
                // What the session wants said with the event (an acknowledgement) goes out first, as far as it can.
                session.poll_transmit(&mut self.output);
                if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                    return Poll::Ready(Err(error));
                }
                return Poll::Ready(Ok(event));
            }
            session.poll_transmit(&mut self.output);
            if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
            let mut buffer = ReadBuf::new(&mut self.input);
            if let Poll::Ready(outcome) = Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                outcome?;
                let bytes = buffer.filled();
                if bytes.is_empty() {
                    return Poll::Ready(Err(TransportError::Closed));
                }
                self.heard_at = now();
                session.handle_input(self.heard_at, bytes);
                continue;
            }
            match session.poll_timeout() {
                Some(deadline) if self.is_past(cx, deadline) => session.handle_timeout(now()),
                _ => return Poll::Pending,
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        while self.sent < self.output.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output[self.sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(TransportError::Closed)),
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.output.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Whether `deadline` has passed; arms the timer for it otherwise.
    ///
    /// A timer that is armed for an earlier time is left alone: it wakes the task once and is armed anew then.
    /// So a session that moves its deadline with every exchange costs no timer operation an exchange.
    fn is_past(&mut self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        loop {
            let timely = self.armed.is_some_and(|armed| armed <= deadline);
            if !timely {
                self.timer.as_mut().reset(TokioInstant::from_std(deadline));
                self.armed = Some(deadline);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.armed = None;
            if now() >= deadline {
                return true;
            }
        }
    }
}

fn now() -> Instant {
    TokioInstant::now().into_std()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Sends a byte, waits for one, reports it; asks again each second.
    #[derive(Default)]
    struct Echo {
        unsent: bool,
        deadline: Option<Instant>,
        tries: u32,
        received: Option<u8>,
    }

    impl Session for Echo {
        type Event = u8;

        fn handle_input(&mut self, _: Instant, bytes: &[u8]) {
            self.received = bytes.first().copied();
            self.deadline = None;
        }
        fn handle_timeout(&mut self, now: Instant) {
            self.tries += 1;
            self.unsent = true;
            self.deadline = Some(now + Duration::from_secs(1));
        }
        fn poll_timeout(&self) -> Option<Instant> {
            self.deadline
        }
        fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
            let unsent = std::mem::take(&mut self.unsent);
            if unsent {
                out.push(7);
            }
            unsent
        }
        fn poll_event(&mut self) -> Option<u8> {
            self.received.take()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_fire_in_virtual_time_and_cancelling_loses_nothing() {
        let (near, mut far) = duplex(64);
        let mut driver = Driver::new(near);
        let mut session =
            Echo { unsent: true, deadline: Some(now() + Duration::from_secs(1)), ..Echo::default() };
        for _ in 0..20 {
            let step = tokio::time::timeout(Duration::from_millis(333), driver.next_event(&mut session));
            assert!(step.await.is_err(), "nothing arrives");
        }
        assert_eq!(session.tries, 6);
        far.write_all(&[42]).await.unwrap();
        assert_eq!(driver.next_event(&mut session).await, Ok(42));
        let mut heard = vec![0; 7];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [7; 7]);
        drop(far);
        assert_eq!(driver.next_event(&mut session).await, Err(TransportError::Closed));
    }
}
