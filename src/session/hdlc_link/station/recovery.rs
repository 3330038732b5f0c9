//! What a station remembers of trouble: late, lost and damaged answers, echoes.

use std::time::Instant;

use crate::session::link::LinkError;

/// When an answer is overdue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// Where nothing has come.
    pub(super) due: Instant,
    /// Where an answer is just coming in: a peer that trickles octets for ever is late, too.
    pub(super) limit: Instant,
}

/// What has gone wrong since the last progress.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recovery {
    /// Frames sent again.
    pub(super) tries: u32,
    /// Our turns that nobody has answered yet. While another answer may be on its way, an answer
    /// that brings nothing new is not acted upon: else every late answer would double the traffic.
    pub(super) open_turns: u8,
    /// Whether anything was sent again in this exchange.
    pub(super) repeated: bool,
    /// A damaged frame came in answer to the present turn: ask for it with RR.
    pub(super) answer_damaged: bool,
    pub(super) seen: Seen,
}

/// What has come in since the last progress.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// A damaged frame.
    pub(super) damaged: bool,
    /// Our own frame.
    pub(super) echo: bool,
    /// A good frame of the station.
    pub(super) answer: bool,
}

impl Deadline {
    /// When the answer is overdue.
    pub(super) const fn at(self, line: Line) -> Instant {
        match line {
            Line::MidFrame => self.limit,
            Line::Quiet => self.due,
        }
    }
}

/// Whether part of a frame has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session::hdlc_link) enum Line {
    MidFrame,
    Quiet,
}

impl Recovery {
    /// Why nothing usable came; `silence` where nothing came at all.
    pub(super) const fn reason(&self, silence: LinkError) -> LinkError {
        match self.seen {
            Seen { damaged: true, .. } => LinkError::Damaged,
            Seen { echo: true, answer: false, .. } => LinkError::Echo,
            _ => silence,
        }
    }
}
