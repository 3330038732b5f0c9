//! Which transactions were run, and what was answered: a redelivered request is answered from here.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::request::Digested;

/// How long a transaction is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How many are.
const MOST: usize = 1000;

/// Most bytes of answers that are kept. Older ones are forgotten, their transactions are not.
const MOST_BYTES: usize = 16 << 20;

/// The transactions of the last ten minutes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    entries: HashMap<String, Entry>,
    /// In the order of their arrival.
    order: VecDeque<(Instant, String)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    digest: Digested,
    outcome: watch::Receiver<Outcome>,
    size: usize,
}

/// What is known of the answer to a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It runs.
    #[default]
    Running,
    /// It was answered so.
    Answered(Bytes),
    /// It was answered, and the answer is no longer kept.
    Forgotten,
}

/// What a transaction turns out to be.
#[derive(Debug)]
pub(super) enum Seen {
    /// New: run it, and note the answer.
    New(watch::Sender<Outcome>),
    /// The same request again.
    Again(watch::Receiver<Outcome>),
    /// Another request under the same transaction.
    Other,
}

impl Memory {
    /// Looks a transaction up, and remembers it if it is new.
    pub(super) fn see(&mut self, transaction: &str, digest: Digested, now: Instant) -> Seen {
        self.forget_old(now);
        if let Some(entry) = self.entries.get(transaction) {
            return if entry.digest == digest { Seen::Again(entry.outcome.clone()) } else { Seen::Other };
        }
        let (sender, outcome) = watch::channel(Outcome::Running);
        self.entries.insert(transaction.to_owned(), Entry { digest, outcome, size: 0 });
        self.order.push_back((now, transaction.to_owned()));
        while self.order.len() > MOST {
            self.forget_oldest();
        }
        Seen::New(sender)
    }

    /// Takes back what was not run after all.
    pub(super) fn unsee(&mut self, transaction: &str) {
        if let Some(entry) = self.entries.remove(transaction) {
            self.bytes -= entry.size;
            self.order.retain(|(_, known)| known != transaction);
        }
    }

    /// Notes an answer.
    pub(super) fn answered(&mut self, transaction: &str, sender: &watch::Sender<Outcome>, answer: Bytes) {
        let size = answer.len();
        sender.send_replace(Outcome::Answered(answer));
        let Some(entry) = self.entries.get_mut(transaction) else { return };
        if !entry.outcome.same_channel(&sender.subscribe()) {
            return;
        }
        entry.size = size;
        self.bytes += size;
        let mut oldest = 0;
        while self.bytes > MOST_BYTES {
            let Some((_, transaction)) = self.order.get(oldest) else { break };
            if let Some(entry) = self.entries.get_mut(transaction).filter(|entry| entry.size > 0) {
                self.bytes -= std::mem::take(&mut entry.size);
                // Its sender has gone; a closed channel with this value says so.
                entry.outcome = watch::channel(Outcome::Forgotten).1;
            }
            oldest += 1;
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(since, _)| now.duration_since(*since) > REMEMBERED) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, transaction)) = self.order.pop_front() else { return };
        if let Some(entry) = self.entries.remove(&transaction) {
            self.bytes -= entry.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(memory: &mut Memory, transaction: &str, now: Instant) -> watch::Sender<Outcome> {
        match memory.see(transaction, [1; 32], now) {
            Seen::New(sender) => sender,
            other => panic!("{transaction} is new, not {other:?}"),
        }
    }

    #[test]
    fn the_same_request_finds_its_answer_and_another_is_told_apart() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let sender = new(&mut memory, "t", now);
        let Seen::Again(outcome) = memory.see("t", [1; 32], now) else { panic!("again") };
        assert_eq!(*outcome.borrow(), Outcome::Running);
        memory.answered("t", &sender, Bytes::from_static(b"{}"));
        assert_eq!(*outcome.borrow(), Outcome::Answered(Bytes::from_static(b"{}")));
        assert!(matches!(memory.see("t", [2; 32], now), Seen::Other));
    }

    #[test]
    fn transactions_are_forgotten_after_ten_minutes_or_a_thousand_others() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        new(&mut memory, "old", now);
        assert!(matches!(memory.see("old", [1; 32], now + REMEMBERED), Seen::Again(_)));
        new(&mut memory, "old", now + REMEMBERED + Duration::from_secs(1));
        for number in 0..MOST {
            new(&mut memory, &number.to_string(), now + REMEMBERED + Duration::from_secs(2));
        }
        new(&mut memory, "old", now + REMEMBERED + Duration::from_secs(3));
        assert_eq!((memory.entries.len(), memory.order.len()), (MOST, MOST));
    }

    #[test]
    fn large_answers_are_forgotten_and_their_transactions_are_not() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for number in 0..20 {
            let transaction = number.to_string();
            let sender = new(&mut memory, &transaction, now);
            memory.answered(&transaction, &sender, Bytes::from(vec![b' '; 1 << 20]));
        }
        assert!(memory.bytes <= MOST_BYTES);
        let Seen::Again(outcome) = memory.see("0", [1; 32], now) else { panic!("again") };
        assert_eq!(*outcome.borrow(), Outcome::Forgotten);
        let Seen::Again(outcome) = memory.see("19", [1; 32], now) else { panic!("again") };
        assert!(matches!(*outcome.borrow(), Outcome::Answered(_)));
        memory.unsee("19");
        new(&mut memory, "19", now);
    }
}
