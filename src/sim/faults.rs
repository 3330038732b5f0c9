//! What can go wrong with a simulated meter: on purpose, countable, and the same every time.

use std::num::NonZeroU32;
use std::time::Duration;

/// Faults of a meter. Replies are counted over its whole life, whatever the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Closes the connection instead of sending the reply after so many, and begins to count anew.
    pub drop_after: Option<NonZeroU32>,
    /// Sends half of this reply, then closes the connection.
    pub close_mid_frame: Option<NonZeroU32>,
    /// Sends so many replies, and then none any more.
    pub stall_after: Option<u32>,
    /// Waits before each reply.
    pub delay: Duration,
    /// Sends replies in pieces of so many bytes, a millisecond apart.
    pub chunk: Option<NonZeroU32>,
    /// Spoils the check sequence of some replies (HDLC).
    pub corrupt_fcs: Every,
    /// Answers some requests from another address.
    pub wrong_address: Every,
    /// Sends some replies twice.
    pub answer_twice: Every,
    /// Answers so many first reads with temporary-failure.
    pub busy_first: u32,
    /// Spoils the authentication tag of some ciphered replies.
    pub bad_tag: Every,
    /// Plays back the ciphered reply before, old invocation counter and all, instead of some ciphered replies.
    pub wrong_counter: Every,
    /// What becomes of an association whose connection broke.
    pub stale_association: StaleAssociation,
}

impl Faults {
    /// Whether octets have to pass through the faults of the line.
    #[must_use]
    pub fn touch_the_line(&self) -> bool {
        self.drop_after.is_some()
            || self.close_mid_frame.is_some()
            || self.stall_after.is_some()
            || self.delay > Duration::ZERO
            || self.chunk.is_some()
            || [self.corrupt_fcs, self.wrong_address, self.answer_twice].iter().any(|every| every.0.is_some())
    }
}

/// Every so many-th; never by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Every(pub Option<NonZeroU32>);

impl Every {
    /// Each `count`-th; never for 0.
    #[must_use]
    pub const fn nth(count: u32) -> Self {
        Self(NonZeroU32::new(count))
    }

    /// Whether the `number`-th, counted from 1, is one of them.
    #[must_use]
    pub fn hits(self, number: u32) -> bool {
        self.0.is_some_and(|count| number % count == 0)
    }
}

/// What becomes of an association whose connection broke without release or disconnect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaleAssociation {
    /// It ends.
    #[default]
    Ends,
    /// The meter thinks that it lives, and refuses a new one for so long, or until it is disconnected.
    Lingers(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nth() {
        let hits = |every: Every| (1..=6).filter(|&number| every.hits(number)).collect::<Vec<_>>();
        assert_eq!(hits(Every::nth(2)), [2, 4, 6]);
        assert_eq!(hits(Every::nth(1)), [1, 2, 3, 4, 5, 6]);
        assert_eq!(hits(Every::nth(0)), [0; 0]);
    }
}
