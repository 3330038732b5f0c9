//! The numbered exchange: segments and acknowledgements both ways, and what to do where they don't come.

use std::time::{Duration, Instant};

use super::super::after;
use super::{Recovery, Seen, State, Station, Waiting};
use crate::session::link::{LinkError, LinkEvent, Reply};
use crate::session::reassembly::{Reassembled, Segment};
use crate::session::send_window::Acknowledged;
use crate::wire::hdlc::{Control, Frame, LLC_COMMAND, Sequence};

impl Station {
    /// An I frame, RR or RNR came.
    pub(super) fn handle_numbered(&mut self, now: Instant, frame: &Frame<'_>) {
        match frame.control {
            Control::Information { send, receive, poll } => {
                let arrival = self.handle_information(send, frame);
                if self.is_up() {
                    self.go_on(now, receive, arrival, Answer::of(poll), Readiness::Ready);
                }
            }
            Control::ReceiveReady { receive, .. } => {
                self.go_on(now, receive, Arrival::Nothing, Answer::Final, Readiness::Ready);
            }
            Control::ReceiveNotReady { receive, .. } => {
                self.go_on(now, receive, Arrival::Nothing, Answer::Final, Readiness::NotReady);
            }
            _ => {}
        }
    }

    fn handle_information(&mut self, send: Sequence, frame: &Frame<'_>) -> Arrival {
        if send != self.receive {
            self.counters.duplicates = self.counters.duplicates.saturating_add(1);
            return Arrival::Nothing;
        }
        self.receive = self.receive.next();
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        let octets = u64::try_from(frame.information.len()).unwrap_or(u64::MAX);
        self.counters.octets = self.counters.octets.saturating_add(octets);
        match self.incoming.push(frame.information, Segment::of(frame.segmented)) {
            Reassembled::Partial => Arrival::Segment,
            Reassembled::Whole { apdu, repeated_llc } => {
                self.counters.repeated_llc =
                    self.counters.repeated_llc.saturating_add(u64::from(repeated_llc));
                self.events.push_back(LinkEvent::Apdu(apdu));
                Arrival::Apdu
            }
            Reassembled::TooLong => {
                self.fail(LinkError::TooLong);
                Arrival::Nothing
            }
        }
    }

    /// What comes next, after a numbered frame.
    fn go_on(
        &mut self,
        now: Instant,
        receive: Sequence,
        arrival: Arrival,
        answer: Answer,
        readiness: Readiness,
    ) {
        let State::Up { waiting, settled } = &mut self.state else { return };
        *settled = true;
        let mut waiting = *waiting;
        if answer == Answer::Final {
            self.recovery.open_turns = self.recovery.open_turns.saturating_sub(1);
        }
        let acknowledged = self.take_acknowledgement(receive, arrival, answer);
        let progress = acknowledged == Acknowledged::More || arrival != Arrival::Nothing;
        if progress {
            self.note_progress();
        }
        if arrival == Arrival::Segment && waiting == Waiting::Nothing {
            // An APDU that nobody asked for: its rest must be asked for.
            waiting = Waiting::Answer;
            self.wait_for(waiting);
        }
        if waiting == Waiting::Nothing {
            return;
        }
        // A full window ends the peer's turn, whatever its F bit says.
        if answer == Answer::Final || self.unacknowledged >= self.parameters.window_rx {
            let news = match (readiness, acknowledged, arrival) {
                (Readiness::NotReady, ..) => News::NotReady,
                (_, Acknowledged::More, _) => News::Acknowledged,
                (_, _, Arrival::Segment | Arrival::Apdu) => News::Arrived,
                _ => News::Nothing,
            };
            self.go_on_in_our_turn(now, waiting, arrival, news);
        } else if arrival == Arrival::Apdu && self.window.is_done() {
            // More may follow in the same turn: talk when the line is silent.
            self.rest(now, self.config.timing.inter_octet_timeout);
            self.finish_exchange(now);
        } else if arrival != Arrival::Nothing && self.turn.is_unsent() {
            self.rest(now, self.config.timing.inter_octet_timeout);
            self.take_turn(now);
        } else if progress {
            self.expect_answer(now, now);
        }
        if !self.is_idle() && self.deadline.is_none() && self.ask_again.is_none() {
            self.expect_answer(now, now);
        }
    }

    /// Takes N(R).
    ///
    /// Some meters count our RR as if they were I frames. A new I frame of such a meter says that it has
    /// our request, whatever its N(R). Late frames can't be mistaken for it: they are not new.
    fn take_acknowledgement(&mut self, receive: Sequence, arrival: Arrival, answer: Answer) -> Acknowledged {
        let acknowledged = self.window.acknowledge(receive);
        let is_new = arrival != Arrival::Nothing;
        let is_the_answer = self.miscounts && answer == Answer::Final && self.recovery.open_turns == 0;
        if acknowledged != Acknowledged::Nonsense || !(is_new || is_the_answer) {
            return acknowledged;
        }
        self.miscounts = true;
        self.counters.tolerated_numbers = self.counters.tolerated_numbers.saturating_add(1);
        self.window.acknowledge_all()
    }

    fn go_on_in_our_turn(&mut self, now: Instant, waiting: Waiting, arrival: Arrival, news: News) {
        let may_repeat = self.recovery.open_turns == 0 && self.recovery.tries < self.config.timing.retries;
        let unsent = self.turn.is_unsent();
        if !self.window.is_done() {
            match news {
                News::NotReady => self.ask_later(now),
                News::Acknowledged => self.take_turn(now),
                // What waits to be sent must tell the new N(R).
                News::Arrived if unsent => self.take_turn(now),
                News::Arrived | News::Nothing if may_repeat => self.repeat_turn(now),
                News::Arrived | News::Nothing => {}
            }
        } else if arrival == Arrival::Apdu
            || waiting == Waiting::Acknowledgement && !self.incoming.is_partial()
        {
            self.finish_exchange(now);
        } else if self.incoming.is_partial() {
            match news {
                News::NotReady => self.ask_later(now),
                News::Acknowledged | News::Arrived => self.take_turn(now),
                News::Nothing if may_repeat => self.repeat_turn(now),
                News::Nothing => {}
            }
        } else if news != News::Nothing || self.recovery.open_turns == 0 {
            self.ask_later(now);
        }
    }

    fn note_progress(&mut self) {
        let Recovery { open_turns, repeated, .. } = self.recovery;
        let seen = Seen { answer: true, ..Seen::default() };
        self.recovery = Recovery { open_turns, repeated, seen, ..Recovery::default() };
        self.busy_until = None;
        self.ask_again = None;
    }

    pub(super) fn start(&mut self, now: Instant, apdu: &[u8], reply: Reply) {
        self.begin_exchange(match reply {
            Reply::Expected => Waiting::Answer,
            Reply::None => Waiting::Acknowledgement,
        });
        self.window.load(LLC_COMMAND, apdu, self.parameters.max_info_tx);
        self.take_turn(now);
    }

    pub(super) fn begin_exchange(&mut self, waiting: Waiting) {
        // Late answers to repeated frames arrive within the exchange that follows, if at all.
        let open_turns = if self.recovery.repeated { self.recovery.open_turns } else { 0 };
        self.recovery = Recovery { open_turns, ..Recovery::default() };
        self.busy_until = None;
        self.wait_for(waiting);
    }

    fn finish_exchange(&mut self, now: Instant) {
        self.begin_turn();
        self.wait_for(Waiting::Nothing);
        self.deadline = None;
        self.ask_again = None;
        if let Some((apdu, reply)) = self.queued.take() {
            self.start(now, &apdu, reply);
        }
    }

    /// The station has nothing for us yet: ask it again in a while.
    pub(super) fn ask_later(&mut self, now: Instant) {
        let timing = self.config.timing;
        let patience = timing.response_timeout.saturating_mul(timing.retries.saturating_add(1));
        let interval = timing
            .response_timeout
            .checked_div(8)
            .unwrap_or_default()
            .clamp(Duration::from_millis(50), Duration::from_secs(1));
        self.busy_until.get_or_insert(after(now, patience));
        self.deadline = None;
        self.ask_again.get_or_insert(after(now, interval.max(timing.request_delay)));
    }

    pub(super) fn ask(&mut self, now: Instant) {
        if self.busy_until.is_some_and(|until| until <= now) {
            self.fail(LinkError::Timeout);
        } else {
            self.send_ready(now);
        }
    }

    /// Asks for a lost answer again, or sends again what was not acknowledged.
    pub(super) fn repeat_turn(&mut self, now: Instant) {
        self.recovery.tries = self.recovery.tries.saturating_add(1);
        self.recovery.repeated = true;
        self.counters.retransmissions = self.counters.retransmissions.saturating_add(1);
        if std::mem::take(&mut self.recovery.answer_damaged) {
            self.send_ready(now);
        } else {
            self.take_turn(now);
        }
    }

    /// Sends what is to be sent: the next segments, else RR.
    pub(super) fn take_turn(&mut self, now: Instant) {
        if self.window.is_done() {
            self.send_ready(now);
            return;
        }
        let (us, them) = (self.addressing.us, self.addressing.them);
        self.begin_turn();
        let size = if self.miscounts { 1 } else { self.parameters.window_tx };
        for out in self.window.turn(size) {
            let control =
                Control::Information { send: out.number, receive: self.receive, poll: out.ends_turn };
            self.turn.push(&Frame {
                segmented: out.segmented,
                destination: them,
                source: us,
                control,
                information: out.information,
            });
        }
        self.release(now);
    }

    fn send_ready(&mut self, now: Instant) {
        self.begin_turn();
        self.push_command(Control::ReceiveReady { receive: self.receive, poll: true }, &[]);
        self.release(now);
    }
}

/// What a numbered frame brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    Nothing,
    Segment,
    Apdu,
}

/// The F bit of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Continues,
    Final,
}

impl Answer {
    const fn of(poll: bool) -> Self {
        if poll { Self::Final } else { Self::Continues }
    }
}

/// What a frame that ends the peer's turn means for ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// The peer takes nothing now.
    NotReady,
    /// It has more of our APDU.
    Acknowledged,
    /// We have more of its APDU.
    Arrived,
    Nothing,
}

/// RR and I, or RNR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    NotReady,
}
