//! A line between two stations that loses, repeats and damages frames, but never overtakes. Seeded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What the line does to frames, each in percent of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) lost: u8,
    pub(crate) repeated: u8,
    pub(crate) damaged: u8,
    /// The longest delay of a frame.
    pub(crate) delay: Duration,
}

/// One direction of the line.
pub(crate) struct Wire {
    faults: Faults,
    random: fastrand::Rng,
    queue: VecDeque<(Instant, Vec<u8>)>,
}

impl Wire {
    pub(crate) fn new(faults: Faults, seed: u64) -> Self {
        Self { faults, random: fastrand::Rng::with_seed(seed), queue: VecDeque::new() }
    }

    pub(crate) fn send(&mut self, now: Instant, mut octets: &[u8]) {
        while !octets.is_empty() {
            assert_eq!(octets[0], 0x7E);
            let length = usize::from(u16::from_be_bytes([octets[1], octets[2]]) & 0x7FF) + 2;
            let (frame, rest) = octets.split_at(length);
            octets = rest;
            if self.happens(self.faults.lost) {
                continue;
            }
            let copies = if self.happens(self.faults.repeated) { 2 } else { 1 };
            for _ in 0..copies {
                let mut frame = frame.to_vec();
                if self.happens(self.faults.damaged) {
                    // Few enough bits for any CRC of 16 to notice.
                    for _ in 0..self.random.usize(1..=3) {
                        let at = self.random.usize(0..frame.len());
                        frame[at] ^= 1 << self.random.u8(0..8);
                    }
                }
                self.enqueue(now, &frame);
            }
        }
    }

    /// In pieces, each a little later than the one before.
    fn enqueue(&mut self, now: Instant, frame: &[u8]) {
        let delay = self.faults.delay.mul_f64(self.random.f64());
        let mut at = (now + delay).max(self.queue.back().map_or(now, |&(at, _)| at));
        for piece in frame.chunks(self.random.usize(1..=frame.len())) {
            self.queue.push_back((at, piece.to_vec()));
            at += Duration::from_micros(self.random.u64(0..2000));
        }
    }

    fn happens(&mut self, percent: u8) -> bool {
        self.random.u8(0..100) < percent
    }

    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.queue.front().map(|&(at, _)| at)
    }

    pub(crate) fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.next_arrival().filter(|&at| at <= now)?;
        self.queue.pop_front().map(|(_, piece)| piece)
    }
}
