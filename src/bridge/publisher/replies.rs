//! Answers that wait for their turn: bounded, and worthless after their deadline.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::super::topics::Topic;

/// Bounds of what waits: the callers have long given up before this many matter.
const MOST: usize = 256;
const MOST_BYTES: usize = 8 << 20;

/// An answer to a request: not retained, not kept past its deadline, never written to disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The response topic.
    pub topic: Topic,
    /// One JSON object in UTF-8.
    pub payload: Bytes,
    /// When nobody waits for it any more.
    pub deadline: Instant,
    /// MQTT 5: what the request carried.
    pub correlation_data: Option<Bytes>,
}

/// First in, first out.
#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: VecDeque<Reply>,
    bytes: usize,
    /// Past their deadline, or more than may wait.
    pub(super) dropped: u64,
}

impl Replies {
    pub(super) fn push(&mut self, reply: Reply) {
        self.bytes += reply.payload.len();
        self.waiting.push_back(reply);
        self.bound();
    }

    /// Puts back, ahead of the others and in the same order, what did not reach the broker.
    pub(super) fn put_back(&mut self, replies: Vec<Reply>) {
        for reply in replies.into_iter().rev() {
            self.bytes += reply.payload.len();
            self.waiting.push_front(reply);
        }
        self.bound();
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<Reply> {
        while let Some(reply) = self.waiting.pop_front() {
            self.bytes -= reply.payload.len();
            if reply.deadline > now {
                return Some(reply);
            }
            self.dropped += 1;
        }
        None
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn bound(&mut self) {
        while self.waiting.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.waiting.pop_front() else { return };
            self.bytes -= oldest.payload.len();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reply(number: usize, size: usize, deadline: Instant) -> Reply {
        let topic = number.to_string().as_str().into();
        Reply { topic, payload: Bytes::from(vec![b' '; size]), deadline, correlation_data: None }
    }

    fn topics(replies: &mut Replies, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| replies.pop(now)).map(|reply| reply.topic.parse().unwrap()).collect()
    }

    #[test]
    fn replies_leave_in_order_and_not_after_their_deadline() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut replies = Replies::default();
        for (number, deadline) in [(1, later), (2, now), (3, later)] {
            replies.push(reply(number, 10, deadline));
        }
        assert_eq!(topics(&mut replies, now), [1, 3]);
        assert_eq!((replies.dropped, replies.bytes, replies.is_empty()), (1, 0, true));
    }

    #[test]
    fn what_is_put_back_goes_first() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut replies = Replies::default();
        replies.push(reply(3, 10, later));
        replies.put_back(vec![reply(1, 10, later), reply(2, 10, later)]);
        assert_eq!(topics(&mut replies, now), [1, 2, 3]);
    }

    #[test]
    fn too_many_or_too_large_cost_the_oldest() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut replies = Replies::default();
        for number in 0..MOST + 2 {
            replies.push(reply(number, 1, later));
        }
        assert_eq!(replies.dropped, 2);
        assert_eq!(topics(&mut replies, now).first(), Some(&2));
        for number in 0..3 {
            replies.push(reply(number, MOST_BYTES / 2, later));
        }
        assert_eq!(topics(&mut replies, now), [1, 2]);
    }
}
