//! What a client makes of the APDUs that come: which answer they are, and what they end.

use std::mem;
use std::time::{Duration, Instant};

use super::super::association::{AwaitAare, AwaitHlsReply, Negotiated, Verdict};
use super::super::error::{Recovery, SessionError};
use super::super::exchange::{Exchange, ExchangeError, Step};
use super::super::general_block::Progress;
use super::super::link::{LinkError, Reply};
use super::{ClientSession, Event, State};
use crate::error::Code;
use crate::wire::acse;
use crate::wire::xdlms::tag;

/// APDUs that answer nothing, tolerated while waiting for a response.
const MAX_UNRELATED: u32 = 64;

/// How long an answer proves that the association is open. "Service not allowed" is then said of one object, or of a
/// list: some meters say so instead of a result. No meter gives up an association so soon.
const PROOF_LASTS: Duration = Duration::from_secs(10);

impl ClientSession {
    pub(super) fn on_unsolicited(&mut self, mut apdu: Vec<u8>) {
        match self.deciphered(&mut apdu) {
            Ok(plain) => {
                let plain = plain.to_vec();
                self.events.push_back(Event::Notification(plain));
            }
            Err(error) => tracing::warn!(%error, "a notification could not be deciphered"),
        }
    }

    pub(super) fn on_apdu(&mut self, now: Instant, mut apdu: Vec<u8>) {
        if apdu.first() != Some(&tag::GENERAL_BLOCK_TRANSFER) {
            return self.on_whole_apdu(now, &mut apdu);
        }
        self.request.clear();
        match self.blocks.take(&apdu, &mut self.request) {
            Ok(Progress::Complete(mut whole)) => self.on_whole_apdu(now, &mut whole),
            Ok(Progress::Acknowledge) => {
                if let Err(error) = self.link.send(now, &self.request, Reply::Expected) {
                    self.end_operation(Recovery::ReopenLink);
                    self.fail(error.into());
                }
            }
            Ok(Progress::Wait) => self.link.await_reply(now),
            Err(error) => {
                self.end_operation(error.recovery());
                self.fail(error);
            }
        }
    }

    fn on_whole_apdu(&mut self, now: Instant, apdu: &mut [u8]) {
        let is_notification = apdu.first().is_some_and(|&first| tag::is_notification(first));
        match self.deciphered(apdu) {
            Ok(plain) => self.on_plain_apdu(now, plain),
            // It answers nothing: what our policy refuses of it is no reason to lose the answer that is due.
            Err(error) if is_notification => {
                tracing::warn!(%error, "a notification is dropped");
                self.on_unrelated(now);
            }
            Err(error) => {
                self.end_operation(Recovery::BackOffMeter);
                self.fail(error);
            }
        }
    }

    /// Takes the protection off what is ciphered; checks that what is not may be plain.
    fn deciphered<'a>(&mut self, apdu: &'a mut [u8]) -> Result<&'a [u8], SessionError> {
        let is_ciphered = apdu.first().is_some_and(|&first| tag::is_ciphered(first));
        let is_acse = matches!(apdu.first(), Some(&(acse::AARE | acse::RLRE)));
        match &mut self.security {
            Some(security) if (is_ciphered || self.settings.is_ciphered()) && !is_acse => {
                Ok(security.unprotect(apdu)?.apdu)
            }
            _ => Ok(apdu),
        }
    }

    fn on_plain_apdu(&mut self, now: Instant, apdu: &[u8]) {
        let Some(&first) = apdu.first() else { return self.on_unrelated(now) };
        if tag::is_notification(first) {
            self.events.push_back(Event::Notification(apdu.to_vec()));
            return self.on_unrelated(now);
        }
        match mem::replace(&mut self.state, State::Open) {
            State::AwaitAare(awaiting) => self.on_association_response(now, awaiting, apdu),
            State::AwaitHlsReply(awaiting, exchange) => self.on_hls_response(now, awaiting, exchange, apdu),
            State::Exchanging(negotiated, exchange) => self.on_response(now, negotiated, exchange, apdu),
            State::AwaitRlre => match first {
                acse::RLRE | tag::EXCEPTION_RESPONSE | tag::CONFIRMED_SERVICE_ERROR => {
                    self.events.push_back(Event::Released);
                }
                _ if self.answers_are_unnumbered() => self.on_answer_too_many(),
                _ => {
                    self.state = State::AwaitRlre;
                    self.on_unrelated(now);
                }
            },
            State::Associated(_) if self.answers_are_unnumbered() => self.on_answer_too_many(),
            // A second answer, or one that came too late: nobody asked.
            idle => {
                tracing::debug!(tag = first, "an APDU that answers nothing");
                self.state = idle;
            }
        }
    }

    fn on_answer_too_many(&mut self) {
        self.end_operation(Recovery::ReopenLink);
        self.fail(SessionError::OutOfStep);
    }

    /// Goes on waiting after an APDU that does not answer the request.
    fn on_unrelated(&mut self, now: Instant) {
        self.unrelated = self.unrelated.saturating_add(1);
        if !self.is_waiting() {
            return;
        }
        if self.unrelated > MAX_UNRELATED {
            self.end_operation(Recovery::ReopenLink);
            return self.fail(LinkError::Drowned.into());
        }
        self.link.await_reply(now);
    }

    fn on_association_response(&mut self, now: Instant, awaiting: AwaitAare, apdu: &[u8]) {
        let verdict = awaiting.on_response(&self.settings, self.security.as_mut(), apdu);
        if matches!(verdict, Ok(Verdict::Authenticate(..))) {
            self.events.push_back(Event::Accepted);
        }
        self.on_verdict(now, verdict);
    }

    fn on_hls_response(
        &mut self,
        now: Instant,
        awaiting: AwaitHlsReply,
        mut exchange: Exchange,
        apdu: &[u8],
    ) {
        self.request.clear();
        match exchange.on_response(apdu, &mut self.request) {
            Ok(Step::Send) => match self.transmit(now) {
                Ok(()) => self.state = State::AwaitHlsReply(awaiting, exchange),
                Err(error) => self.fail(error),
            },
            Ok(Step::Stale) => {
                self.state = State::AwaitHlsReply(awaiting, exchange);
                self.on_unrelated(now);
            }
            Ok(Step::Done(outcome)) => {
                let verdict = awaiting.on_outcome(&self.settings, self.security.as_mut(), outcome);
                self.on_verdict(now, verdict);
            }
            Err(error) => {
                let verdict = awaiting.on_failure(&self.settings, self.security.as_mut(), error);
                self.on_verdict(now, verdict);
            }
        }
    }

    fn on_verdict(&mut self, now: Instant, verdict: Result<Verdict, SessionError>) {
        match verdict {
            Ok(Verdict::Associated(negotiated)) => {
                self.answered = Some(now);
                self.associated(negotiated);
            }
            Ok(Verdict::Authenticate(awaiting, service)) => {
                let limits = self.limits(awaiting.negotiated());
                match self.start(now, service, limits) {
                    Ok(exchange) => self.state = State::AwaitHlsReply(awaiting, exchange),
                    Err(error) => self.fail(error),
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn associated(&mut self, negotiated: Box<Negotiated>) {
        self.events.push_back(Event::Associated(negotiated.clone()));
        self.state = State::Associated(negotiated);
    }

    fn on_response(
        &mut self,
        now: Instant,
        negotiated: Box<Negotiated>,
        mut exchange: Exchange,
        apdu: &[u8],
    ) {
        self.request.clear();
        match exchange.on_response(apdu, &mut self.request) {
            Ok(Step::Send) => match self.transmit(now) {
                Ok(()) => self.state = State::Exchanging(negotiated, exchange),
                Err(error) => self.fail(error),
            },
            Ok(Step::Stale) => {
                self.state = State::Exchanging(negotiated, exchange);
                self.on_unrelated(now);
            }
            Ok(Step::Done(outcome)) => {
                self.answered = Some(now);
                self.state = State::Associated(negotiated);
                self.events.push_back(Event::Outcome(outcome));
            }
            Err(error) => self.on_exchange_failure(now, negotiated, error),
        }
    }

    fn on_exchange_failure(&mut self, now: Instant, negotiated: Box<Negotiated>, error: ExchangeError) {
        let is_proven = self.answered.is_some_and(|at| now.saturating_duration_since(at) < PROOF_LASTS);
        let error = match error {
            ExchangeError::Exception(exception)
                if is_proven && exception.report().code == Code::ServiceNotAllowed =>
            {
                ExchangeError::Refused(exception)
            }
            error => error,
        };
        if error.recovery() == Recovery::ReportOnly {
            self.state = State::Associated(negotiated);
        }
        self.fail(error.into());
    }
}
