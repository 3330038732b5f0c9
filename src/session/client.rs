//! The client's side of a meter's link: link, association and one service at a time, without I/O or clock.

mod incoming;

use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

use super::association::{AssociationSettings, AwaitAare, AwaitHlsReply, Negotiated};
use super::data_link::DataLink;
use super::error::{Recovery, SessionError};
use super::exchange::{Exchange, Limits, Outcome, Service};
use super::general_block::GeneralBlocks;
use super::link::{LinkCounters, LinkError, LinkEvent, LinkParameters, Reply};
use super::patience::Patience;
use crate::security::SecurityContext;
use crate::wire::acse::Referencing;
use crate::wire::xdlms::InvokeIdAndPriority;

/// Octets of notifications that are kept until they are taken; what comes beyond them is dropped.
const MAX_NOTIFICATIONS: usize = 1 << 20;

/// Bytes that ciphering adds to a request at the most: tag, length, system title, security header, tag.
const CIPHERING_OVERHEAD: usize = 1 + 5 + 9 + 5 + 12;

/// What a session reports.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// The link is open.
    Opened(LinkParameters),
    /// The meter accepts the association, and we prove who we are: authentication in four passes.
    Accepted,
    /// The association is open.
    Associated(Box<Negotiated>),
    /// The service under way is done.
    Outcome(Outcome),
    /// The association is released.
    Released,
    /// The link is closed.
    Closed,
    /// An unconfirmed APDU of the meter (DataNotification, EventNotification, InformationReport), in plain form.
    Notification(Vec<u8>),
    /// The operation under way failed, or the link broke.
    Failed(SessionError),
}

/// A client's session with one meter.
#[derive(Debug)]
pub struct ClientSession {
    link: DataLink,
    settings: AssociationSettings,
    security: Option<SecurityContext>,
    state: State,
    invoke: u8,
    unrelated: u32,
    /// When the meter last showed that the association is open.
    answered: Option<Instant>,
    patience: Patience,
    blocks: GeneralBlocks,
    events: VecDeque<Event>,
    notifications: Vec<Vec<u8>>,
    request: Vec<u8>,
    protected: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Closed,
    Opening,
    /// The link is open, nobody is associated.
    Open,
    AwaitAare(AwaitAare),
    AwaitHlsReply(AwaitHlsReply, Exchange),
    Associated(Box<Negotiated>),
    Exchanging(Box<Negotiated>, Exchange),
    AwaitRlre,
    Closing,
}

impl ClientSession {
    /// A session that is closed.
    #[must_use]
    pub fn new(link: DataLink, settings: AssociationSettings) -> Self {
        Self {
            link,
            settings,
            security: None,
            state: State::Closed,
            invoke: 0,
            unrelated: 0,
            answered: None,
            patience: Patience::default(),
            blocks: GeneralBlocks::default(),
            events: VecDeque::new(),
            notifications: Vec::new(),
            request: Vec::new(),
            protected: Vec::new(),
        }
    }

    /// Whether the link is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed | State::Opening | State::Closing)
    }

    /// What was negotiated, while the association is open.
    #[must_use]
    pub const fn negotiated(&self) -> Option<&Negotiated> {
        match &self.state {
            State::Associated(negotiated) | State::Exchanging(negotiated, _) => Some(negotiated),
            _ => None,
        }
    }

    /// Whether the link is a wrapper link: then RLRQ is the only release.
    #[must_use]
    pub const fn is_wrapper(&self) -> bool {
        matches!(self.link, DataLink::Wrapper(_))
    }

    /// Whether answers bear no number of their own, so that one too many can be taken for the next: those by short
    /// names have no invoke-id, and the wrapper has no sequence numbers as HDLC has.
    #[must_use]
    pub fn answers_are_unnumbered(&self) -> bool {
        self.is_wrapper() && self.settings.referencing == Referencing::ShortName
    }

    /// What the link has seen.
    #[must_use]
    pub fn link_counters(&self) -> LinkCounters {
        self.link.counters()
    }

    /// The settings of the association.
    #[must_use]
    pub const fn settings(&self) -> &AssociationSettings {
        &self.settings
    }

    /// The ciphering, where there is any.
    pub const fn security_mut(&mut self) -> Option<&mut SecurityContext> {
        self.security.as_mut()
    }

    /// The ciphering, where there is any.
    #[must_use]
    pub const fn security(&self) -> Option<&SecurityContext> {
        self.security.as_ref()
    }

    /// Opens the link.
    pub fn open(&mut self, now: Instant) {
        self.state = State::Opening;
        self.link.connect(now);
        self.pump(now);
    }

    /// Opens the link with a single attempt: for a meter that was silent before and shares its line with others.
    pub fn probe(&mut self, now: Instant) {
        self.state = State::Opening;
        self.link.probe(now);
        self.pump(now);
    }

    /// Proposes the association. `challenge`: random bytes, 8 to 64, for high level authentication;
    /// `security`: a fresh context, needed for ciphered contexts and for GMAC.
    pub fn associate(&mut self, now: Instant, challenge: &[u8], security: Option<SecurityContext>) {
        if !matches!(self.state, State::Open) {
            return self.fail(SessionError::NotReady);
        }
        self.security = security;
        self.request.clear();
        self.invoke = 0;
        match AwaitAare::propose(&self.settings, challenge, self.security.as_mut(), &mut self.request) {
            Ok(awaiting) => {
                self.state = State::AwaitAare(awaiting);
                self.transmit_plain(now);
            }
            Err(error) => self.fail(error),
        }
    }

    /// Runs a service.
    pub fn request(&mut self, now: Instant, service: Service) {
        match mem::replace(&mut self.state, State::Open) {
            State::Associated(negotiated) => {
                let limits = self.limits(&negotiated);
                match self.start(now, service, limits) {
                    Ok(exchange) => self.state = State::Exchanging(negotiated, exchange),
                    Err(error) => {
                        self.state = State::Associated(negotiated);
                        self.fail(error);
                    }
                }
            }
            other => {
                self.state = other;
                self.fail(SessionError::NotReady);
            }
        }
    }

    /// Releases the association by RLRQ.
    pub fn release(&mut self, now: Instant) {
        if !matches!(self.state, State::Associated(_)) {
            return self.fail(SessionError::NotReady);
        }
        self.request.clear();
        match super::association::put_release(&self.settings, self.security.as_mut(), &mut self.request) {
            Ok(()) => {
                self.state = State::AwaitRlre;
                self.transmit_plain(now);
            }
            Err(error) => {
                self.state = State::Open;
                self.fail(error);
            }
        }
    }

    /// Closes the link; an association that is open ends with it.
    pub fn close(&mut self, now: Instant) {
        if !self.is_open() {
            self.state = State::Closed;
            self.events.push_back(Event::Closed);
            return;
        }
        self.state = State::Closing;
        self.link.disconnect(now);
        self.pump(now);
    }

    /// Asks the meter whether it is still there, to keep an idle link open (HDLC: RR).
    pub fn keep_alive(&mut self, now: Instant) {
        if self.is_open() {
            self.link.keep_alive(now);
        }
    }

    /// Takes bytes that arrived.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.link.handle_input(now, bytes);
        self.pump(now);
        if self.is_waiting() && self.patience.is_exhausted(now, self.link.counters().octets) {
            self.end_operation(Recovery::ReopenLink);
            self.fail(LinkError::Stalled.into());
        }
        self.settle(now);
    }

    /// Acts on a deadline that has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.link.handle_timeout(now);
        self.pump(now);
        self.settle(now);
    }

    /// The next deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.link.poll_timeout()
    }

    /// Appends bytes to send; false where there are none.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        self.link.poll_transmit(out)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Keeps a notification that came while something else was waited for.
    pub fn keep_notification(&mut self, apdu: Vec<u8>) {
        let kept = self.notifications.iter().map(Vec::len).fold(0, usize::saturating_add);
        if kept.saturating_add(apdu.len()) > MAX_NOTIFICATIONS {
            tracing::warn!(octets = apdu.len(), "too many notifications at a time: one is dropped");
            return;
        }
        self.notifications.push(apdu);
    }

    /// The notifications that were kept.
    pub fn take_notifications(&mut self) -> Vec<Vec<u8>> {
        mem::take(&mut self.notifications)
    }

    fn fail(&mut self, error: SessionError) {
        self.events.push_back(Event::Failed(error));
    }

    fn limits(&self, negotiated: &Negotiated) -> Limits {
        let overhead = if self.settings.is_ciphered() { CIPHERING_OVERHEAD } else { 0 };
        let request = negotiated.max_send_pdu.map_or(usize::from(u16::MAX), usize::from);
        Limits { request: request.saturating_sub(overhead).max(1), conformance: negotiated.conformance }
    }

    fn start(&mut self, now: Instant, service: Service, limits: Limits) -> Result<Exchange, SessionError> {
        self.begin(now);
        self.invoke = self.invoke.wrapping_add(1) & 0x0F;
        self.request.clear();
        let invoke = InvokeIdAndPriority::C1.with_id(self.invoke);
        let exchange = Exchange::start(service, invoke, limits, &mut self.request)?;
        self.transmit(now)?;
        Ok(exchange)
    }

    /// Sends the request as the association wants it.
    fn transmit(&mut self, now: Instant) -> Result<(), SessionError> {
        self.unrelated = 0;
        match &mut self.security {
            Some(security) if self.settings.is_ciphered() => {
                self.protected.clear();
                security.protect(&self.request, &mut self.protected)?;
                self.link.send(now, &self.protected, Reply::Expected)?;
            }
            _ => self.link.send(now, &self.request, Reply::Expected)?,
        }
        Ok(())
    }

    /// An operation of one or more requests begins.
    fn begin(&mut self, now: Instant) {
        self.blocks.reset();
        self.patience.begin(now, self.link.pace(), self.link.counters().octets);
    }

    /// Closes the account of an operation that has ended.
    fn settle(&mut self, now: Instant) {
        if !self.is_waiting() {
            self.patience.end(now, self.link.counters().octets);
        }
    }

    const fn is_waiting(&self) -> bool {
        matches!(
            self.state,
            State::AwaitAare(_) | State::AwaitHlsReply(..) | State::Exchanging(..) | State::AwaitRlre
        )
    }

    /// Sends the request as it is: association APDUs carry their own protection.
    fn transmit_plain(&mut self, now: Instant) {
        self.begin(now);
        self.unrelated = 0;
        if let Err(error) = self.link.send(now, &self.request, Reply::Expected) {
            self.state = State::Open;
            self.fail(error.into());
        }
    }

    fn pump(&mut self, now: Instant) {
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Connected(parameters) => {
                    self.state = State::Open;
                    self.blocks.reset();
                    self.events.push_back(Event::Opened(parameters));
                }
                LinkEvent::Apdu(apdu) => self.on_apdu(now, apdu),
                LinkEvent::Unsolicited(apdu) => self.on_unsolicited(apdu),
                LinkEvent::Disconnected => {
                    self.state = State::Closed;
                    self.events.push_back(Event::Closed);
                }
                LinkEvent::Failed(error) => self.on_link_failure(error),
            }
        }
    }

    fn on_link_failure(&mut self, error: LinkError) {
        match mem::replace(&mut self.state, State::Closed) {
            // Many meters do not answer a release. That is no failure.
            State::AwaitRlre if error == LinkError::Timeout => {
                self.state = State::Open;
                self.events.push_back(Event::Released);
            }
            _ => self.fail(error.into()),
        }
    }

    /// Ends what is under way after a failure that leaves the association unusable.
    fn end_operation(&mut self, recovery: Recovery) {
        self.blocks.reset();
        self.state = match recovery {
            Recovery::ReopenLink => State::Closed,
            _ if self.is_open() => State::Open,
            _ => State::Closed,
        };
    }
}
