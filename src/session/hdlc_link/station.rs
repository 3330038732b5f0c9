//! The client's side of the procedure: its state, set-up, silence and disconnect.

mod numbered;
mod recovery;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::HdlcConfig;
use super::addressing::{Addressing, Origin};
use super::turn::Turn;
use super::{after, earliest};
use crate::session::link::{LinkCounters, LinkError, LinkEvent, LinkParameters, LinkTiming, Reply};
use crate::session::reassembly::{Reassembled, Reassembly, Segment};
use crate::session::send_window::SendWindow;
use crate::wire::hdlc::{Control, Frame, Parameters, Sequence};
pub(super) use recovery::Line;
use recovery::{Deadline, Recovery, Seen};

/// Segments of a push that come further apart belong to different pushes.
const PUSH_GAP: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Station {
    config: HdlcConfig,
    addressing: Addressing,
    state: State,
    parameters: Parameters,
    window: SendWindow,
    /// V(R).
    receive: Sequence,
    /// I frames received that we have not acknowledged.
    unacknowledged: u8,
    incoming: Reassembly,
    pushes: Reassembly,
    last_push: Option<Instant>,
    /// An APDU that waits for the acknowledgement of one without an answer.
    queued: Option<(Vec<u8>, Reply)>,
    turn: Turn,
    /// The line must rest until then.
    not_before: Option<Instant>,
    deadline: Option<Deadline>,
    /// When to ask again a station that has nothing for us yet.
    ask_again: Option<Instant>,
    /// When our patience with such a station ends.
    busy_until: Option<Instant>,
    recovery: Recovery,
    /// Whether this line gives our own frames back.
    line_echoes: bool,
    /// Whether the meter's N(R) make no sense.
    miscounts: bool,
    counters: LinkCounters,
    events: VecDeque<LinkEvent>,
}

/// How often SNRM is sent where nobody answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tries {
    /// As often as any frame.
    All,
    One,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    /// SNRM is sent.
    Connecting {
        /// Without parameters.
        bare: bool,
        /// How often DM came.
        refused: u8,
    },
    Up {
        /// What for.
        waiting: Waiting,
        /// Whether a numbered frame has come: until then a further UA belongs to a repeated SNRM.
        settled: bool,
    },
    /// DISC is sent.
    Disconnecting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Acknowledgement,
    Answer,
}

impl Station {
    pub(super) fn new(config: HdlcConfig) -> Self {
        Self {
            addressing: Addressing::new(config.client, config.server, config.address_check),
            state: State::Down,
            parameters: Parameters::default(),
            window: SendWindow::default(),
            receive: Sequence::ZERO,
            unacknowledged: 0,
            incoming: Reassembly::new(config.max_apdu),
            pushes: Reassembly::new(config.max_apdu),
            last_push: None,
            queued: None,
            turn: Turn::default(),
            not_before: None,
            deadline: None,
            ask_again: None,
            busy_until: None,
            recovery: Recovery::default(),
            line_echoes: false,
            miscounts: false,
            counters: LinkCounters::default(),
            events: VecDeque::new(),
            config,
        }
    }

    /// Sends SNRM, and again where that is not answered, as often as `tries` says.
    pub(super) fn connect(&mut self, now: Instant, tries: Tries) {
        self.abandon();
        let spent = match tries {
            Tries::All => 0,
            Tries::One => self.config.timing.retries,
        };
        self.recovery = Recovery { tries: spent, ..Recovery::default() };
        self.line_echoes = false;
        self.miscounts = false;
        self.send_snrm(now, Snrm::WithParameters, 0);
    }

    pub(super) fn send(&mut self, now: Instant, apdu: &[u8], reply: Reply) -> Result<(), LinkError> {
        match self.state {
            State::Up { waiting: Waiting::Nothing, .. } => {
                self.start(now, apdu, reply);
                Ok(())
            }
            State::Up { waiting: Waiting::Acknowledgement, .. } if self.queued.is_none() => {
                self.queued = Some((apdu.to_vec(), reply));
                Ok(())
            }
            State::Up { .. } => Err(LinkError::Busy),
            _ => Err(LinkError::NotConnected),
        }
    }

    /// What has arrived behind the APDU that was no answer may be the answer.
    pub(super) fn await_reply(&mut self, now: Instant) {
        let has_more = self.events.iter().any(|event| matches!(event, LinkEvent::Apdu(_)));
        if self.is_idle() && !has_more {
            self.wait_for(Waiting::Answer);
            self.busy_until = None;
            self.ask_later(now);
        }
    }

    pub(super) fn keep_alive(&mut self, now: Instant) {
        if self.is_idle() {
            self.begin_exchange(Waiting::Acknowledgement);
            self.take_turn(now);
        }
    }

    pub(super) fn disconnect(&mut self, now: Instant) {
        if self.state == State::Disconnecting {
            return;
        }
        self.abandon();
        self.recovery = Recovery::default();
        self.state = State::Disconnecting;
        self.send_unnumbered(now, Control::DISC, &[]);
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Up { waiting: Waiting::Nothing, .. })
    }

    pub(super) fn counters(&self) -> LinkCounters {
        self.counters
    }

    pub(super) fn timing(&self) -> LinkTiming {
        self.config.timing
    }

    pub(super) fn transmit(&mut self, out: &mut Vec<u8>) -> bool {
        self.turn.transmit(out)
    }

    pub(super) fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    pub(super) fn poll_timeout(&self, line: Line) -> Option<Instant> {
        let overdue = self.deadline.map(|deadline| deadline.at(line));
        earliest([self.turn.held_until(), overdue, self.ask_again])
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, line: Line) {
        self.turn.handle_timeout(now);
        if self.ask_again.is_some_and(|at| at <= now) {
            self.ask_again = None;
            self.ask(now);
        }
        let overdue = self.deadline.map(|deadline| deadline.at(line));
        if overdue.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.handle_silence(now);
        }
    }

    /// A frame came whose check sequence does not match.
    pub(super) fn handle_damage(&mut self, now: Instant) {
        self.recovery.seen.damaged = true;
        self.recovery.answer_damaged = true;
        self.recovery.open_turns = self.recovery.open_turns.saturating_sub(1);
        // It was the answer, as likely as not: no need to wait for the whole time-out.
        let timing = self.config.timing;
        let soon = after(
            now,
            timing.inter_octet_timeout.max(timing.response_timeout.checked_div(4).unwrap_or_default()),
        );
        if let Some(deadline) = &mut self.deadline {
            deadline.due = deadline.due.min(soon);
        }
    }

    pub(super) fn handle_frame(&mut self, now: Instant, frame: &Frame<'_>) {
        if let Control::UnnumberedInformation { .. } = frame.control {
            self.handle_push(now, frame);
            return;
        }
        if self.is_echo(frame) {
            self.counters.echoes = self.counters.echoes.saturating_add(1);
            self.recovery.seen.echo = true;
            self.line_echoes = true;
            return;
        }
        match self.addressing.origin(frame) {
            Origin::Ours => {}
            Origin::Tolerated => {
                self.counters.tolerated_addresses = self.counters.tolerated_addresses.saturating_add(1);
            }
            Origin::Foreign => {
                self.counters.foreign = self.counters.foreign.saturating_add(1);
                return;
            }
        }
        self.recovery.seen.answer = true;
        self.rest(now, self.config.timing.request_delay);
        match self.state {
            State::Down => {}
            State::Connecting { bare, refused } => self.handle_while_connecting(now, frame, bare, refused),
            State::Up { .. } => self.handle_while_up(now, frame),
            State::Disconnecting => self.handle_while_disconnecting(now, frame),
        }
    }

    /// Whether our own frame came back.
    ///
    /// Where client and server have the same address, the answer to an RR may look like the RR. So RR
    /// is an echo only on lines that have echoed something else before, as they do from SNRM on.
    fn is_echo(&mut self, frame: &Frame<'_>) -> bool {
        let ambiguous = matches!(frame.control, Control::ReceiveReady { .. });
        self.addressing.is_like_ours(frame) && (self.line_echoes || !ambiguous) && self.turn.is_echo(frame)
    }

    fn handle_while_connecting(&mut self, now: Instant, frame: &Frame<'_>, bare: bool, refused: u8) {
        match frame.control {
            Control::UnnumberedAcknowledge { .. } => {
                let proposal = if bare { Parameters::default() } else { self.config.proposal };
                let answer = Parameters::decode(frame.information).unwrap_or_default();
                self.parameters = proposal.agreed(&answer);
                self.window.reset();
                self.receive = Sequence::ZERO;
                self.unacknowledged = 0;
                self.deadline = None;
                self.state = State::Up { waiting: Waiting::Nothing, settled: false };
                self.events.push_back(LinkEvent::Connected(self.link_parameters()));
            }
            // It may answer an earlier DISC, or dislike our parameters.
            Control::DisconnectedMode { .. } => match refused {
                0 => self.send_snrm(now, Snrm::of(bare), 1),
                1 if !bare => self.send_snrm(now, Snrm::Bare, 2),
                _ => self.fail(LinkError::DisconnectedMode),
            },
            Control::FrameReject { .. } if !bare => self.send_snrm(now, Snrm::Bare, refused),
            Control::FrameReject { .. } => self.fail(rejected(frame)),
            // Late answers of a former link.
            _ => {}
        }
    }

    fn handle_while_disconnecting(&mut self, now: Instant, frame: &Frame<'_>) {
        match frame.control {
            Control::UnnumberedAcknowledge { .. }
            | Control::DisconnectedMode { .. }
            | Control::FrameReject { .. } => self.finish_disconnect(now),
            _ => {}
        }
    }

    fn handle_while_up(&mut self, now: Instant, frame: &Frame<'_>) {
        match frame.control {
            Control::Information { .. } | Control::ReceiveReady { .. } | Control::ReceiveNotReady { .. } => {
                self.handle_numbered(now, frame);
            }
            Control::UnnumberedAcknowledge { .. } => match self.state {
                // The answer to an SNRM that was repeated because the first answer was late.
                State::Up { settled: false, .. } => {
                    let answer = Parameters::decode(frame.information).unwrap_or_default();
                    self.parameters = self.config.proposal.agreed(&answer);
                }
                _ => self.fail(LinkError::Reset),
            },
            Control::DisconnectedMode { .. } => self.fail(LinkError::DisconnectedMode),
            Control::FrameReject { .. } => self.fail(rejected(frame)),
            // Commands: no business of a server.
            Control::SetNormalResponseMode { .. }
            | Control::Disconnect { .. }
            | Control::UnnumberedInformation { .. } => {}
        }
    }

    fn handle_push(&mut self, now: Instant, frame: &Frame<'_>) {
        let stale = self.last_push.is_some_and(|last| now.saturating_duration_since(last) > PUSH_GAP);
        if stale {
            self.pushes.clear();
        }
        self.last_push = Some(now);
        if let Reassembled::Whole { apdu, .. } =
            self.pushes.push(frame.information, Segment::of(frame.segmented))
        {
            self.events.push_back(LinkEvent::Unsolicited(apdu));
        }
    }

    /// No answer came in time.
    fn handle_silence(&mut self, now: Instant) {
        let timing = self.config.timing;
        let last = self.recovery.tries >= timing.retries;
        match self.state {
            State::Down => {}
            State::Connecting { bare, refused } if !last => {
                self.recovery.tries = self.recovery.tries.saturating_add(1);
                self.send_snrm(now, Snrm::of(bare || self.recovery.tries >= timing.retries), refused);
            }
            State::Connecting { .. } => self.fail(self.recovery.reason(LinkError::NoUa)),
            State::Up { .. } if !last => self.repeat_turn(now),
            State::Up { .. } => self.fail(self.recovery.reason(LinkError::Timeout)),
            State::Disconnecting if self.recovery.tries == 0 && timing.retries > 0 => {
                self.recovery.tries = 1;
                self.send_unnumbered(now, Control::DISC, &[]);
            }
            State::Disconnecting => self.finish_disconnect(now),
        }
    }

    fn wait_for(&mut self, what: Waiting) {
        if let State::Up { waiting, .. } = &mut self.state {
            *waiting = what;
        }
    }

    /// Drops what has not left yet.
    fn begin_turn(&mut self) {
        if self.turn.is_unsent() {
            self.recovery.open_turns = self.recovery.open_turns.saturating_sub(1);
        }
        self.turn.begin();
    }

    fn send_snrm(&mut self, now: Instant, snrm: Snrm, refused: u8) {
        let bare = snrm == Snrm::Bare;
        self.state = State::Connecting { bare, refused };
        let mut information = Vec::new();
        if !bare {
            self.config.proposal.encode(&mut information);
        }
        self.send_unnumbered(now, Control::SNRM, &information);
    }

    fn send_unnumbered(&mut self, now: Instant, control: Control, information: &[u8]) {
        self.turn.begin();
        self.push_command(control, information);
        self.release(now);
    }

    fn push_command(&mut self, control: Control, information: &[u8]) {
        self.turn.push(&Frame {
            segmented: false,
            destination: self.addressing.them,
            source: self.addressing.us,
            control,
            information,
        });
    }

    /// Hands the turn to the line as soon as that may be used, and waits for the answer.
    fn release(&mut self, now: Instant) {
        let at = self.not_before.map_or(now, |not_before| not_before.max(now));
        self.turn.release(now, at);
        self.ask_again = None;
        self.unacknowledged = 0;
        self.recovery.open_turns = self.recovery.open_turns.saturating_add(1);
        self.recovery.answer_damaged = false;
        let octets = u32::try_from(self.turn.len()).unwrap_or(u32::MAX);
        let sent = after(at, self.config.timing.octet_time.saturating_mul(octets));
        self.expect_answer(now, sent);
    }

    fn expect_answer(&mut self, now: Instant, from: Instant) {
        let timing = self.config.timing;
        let due = after(from.max(now), timing.response_timeout);
        let longest = timing.octet_time.saturating_mul(LONGEST_FRAME);
        self.deadline = Some(Deadline { due, limit: after(due, timing.response_timeout.max(longest)) });
    }

    fn rest(&mut self, now: Instant, pause: Duration) {
        let until = after(now, pause);
        self.not_before = Some(self.not_before.map_or(until, |not_before| not_before.max(until)));
    }

    fn finish_disconnect(&mut self, now: Instant) {
        self.abandon();
        self.rest(now, self.config.timing.disconnect_delay);
        self.events.push_back(LinkEvent::Disconnected);
    }

    fn fail(&mut self, error: LinkError) {
        self.abandon();
        self.events.push_back(LinkEvent::Failed(error));
    }

    /// Drops everything that belongs to the present link.
    fn abandon(&mut self) {
        self.state = State::Down;
        self.window.reset();
        self.incoming.clear();
        self.queued = None;
        self.turn.begin();
        self.deadline = None;
        self.ask_again = None;
        self.busy_until = None;
    }

    fn link_parameters(&self) -> LinkParameters {
        LinkParameters {
            max_send: self.parameters.max_info_tx,
            max_receive: self.parameters.max_info_rx,
            send_window: self.parameters.window_tx,
            receive_window: self.parameters.window_rx,
        }
    }
}

/// Octets of the longest frame, flags included.
const LONGEST_FRAME: u32 = 2049;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Snrm {
    WithParameters,
    Bare,
}

impl Snrm {
    const fn of(bare: bool) -> Self {
        if bare { Self::Bare } else { Self::WithParameters }
    }
}

fn rejected(frame: &Frame<'_>) -> LinkError {
    let (control, reason) = match *frame.information {
        [control, _, reason, ..] => (control, reason),
        _ => (0, 0),
    };
    LinkError::FrameRejected { control, reason }
}
