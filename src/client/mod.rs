//! L4: the meter client: one async call for each thing that can be asked of a meter.
//!
//! [`MeterClient`] joins a session with the driver of its stream for the time of a call. Both belong to the
//! caller, so that several meters can share one stream, one after the other.

pub mod batch;
pub mod counter_store;
pub mod error;
mod in_step;
pub mod objects;
pub mod profile;
pub mod short_names;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

pub use counter_store::FileCounterStore;
pub use error::ClientError;
pub use in_step::InStep;
pub use short_names::ShortNames;

use crate::security::SecurityContext;
use crate::session::association::Negotiated;
use crate::session::client::{ClientSession, Event};
use crate::session::error::SessionError;
use crate::session::exchange::{Outcome, Service};
use crate::session::link::LinkParameters;
use crate::transport::{Driver, Session};
use crate::wire::acse::Referencing;
use crate::wire::data::Data;
use crate::wire::xdlms::sn::VariableAccess;
use crate::wire::xdlms::{AttributeRequest, DataAccessResult, GetDataResult, MethodDescriptor};

/// Octets of the challenge for high level authentication: the one length that every known stack takes.
const CHALLENGE_OCTETS: usize = 16;

/// A meter on a stream, for one or more calls.
#[derive(Debug)]
pub struct MeterClient<'a, S> {
    driver: &'a mut Driver<S>,
    session: &'a mut ClientSession,
    names: Arc<ShortNames>,
    accepted: Option<std::time::Instant>,
}

impl Session for ClientSession {
    type Event = Event;

    fn handle_input(&mut self, now: std::time::Instant, bytes: &[u8]) {
        Self::handle_input(self, now, bytes);
    }
    fn handle_timeout(&mut self, now: std::time::Instant) {
        Self::handle_timeout(self, now);
    }
    fn poll_timeout(&self) -> Option<std::time::Instant> {
        Self::poll_timeout(self)
    }
    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        Self::poll_transmit(self, out)
    }
    fn poll_event(&mut self) -> Option<Event> {
        Self::poll_event(self)
    }
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> MeterClient<'a, S> {
    /// A client of the meter behind `session`, over `driver`'s stream.
    pub fn new(driver: &'a mut Driver<S>, session: &'a mut ClientSession) -> Self {
        Self { driver, session, names: Arc::default(), accepted: None }
    }

    /// The same, with the short names of the meter's objects: without them, short-name referencing reaches no more
    /// than the objects of reserved names.
    #[must_use]
    pub fn with_names(self, names: Arc<ShortNames>) -> Self {
        Self { names, ..self }
    }

    /// How objects are named to the meter.
    #[must_use]
    pub const fn referencing(&self) -> Referencing {
        self.session.settings().referencing
    }

    /// The session.
    #[must_use]
    pub const fn session(&self) -> &ClientSession {
        self.session
    }

    /// Unconfirmed APDUs that the meter sent meanwhile, in plain form.
    pub fn take_notifications(&mut self) -> Vec<Vec<u8>> {
        self.session.take_notifications()
    }

    /// Opens the link (HDLC: SNRM, UA).
    ///
    /// # Errors
    /// The stream's or the link's.
    pub async fn open(&mut self) -> Result<LinkParameters, ClientError> {
        self.session.open(now());
        self.opened().await
    }

    /// The same with a single attempt: for a meter that was silent before and shares its line with others.
    ///
    /// # Errors
    /// The stream's or the link's.
    pub async fn probe(&mut self) -> Result<LinkParameters, ClientError> {
        self.session.probe(now());
        self.opened().await
    }

    async fn opened(&mut self) -> Result<LinkParameters, ClientError> {
        match self.event().await? {
            Event::Opened(parameters) => Ok(parameters),
            _ => Err(SessionError::NotReady.into()),
        }
    }

    /// Associates, with authentication in four passes where the settings ask for it.
    ///
    /// # Errors
    /// The stream's, the link's, the meter's refusal, or the failure of either partner's proof.
    pub async fn associate(&mut self, security: Option<SecurityContext>) -> Result<Negotiated, ClientError> {
        let mut challenge = [0; CHALLENGE_OCTETS];
        getrandom::fill(&mut challenge).map_err(|_| SessionError::NoEntropy)?;
        self.session.associate(now(), &challenge, security);
        match self.event().await? {
            Event::Associated(negotiated) => Ok(*negotiated),
            _ => Err(SessionError::NotReady.into()),
        }
    }

    /// When the meter accepted the association and authentication in four passes began, if it came so far.
    #[must_use]
    pub const fn accepted(&self) -> Option<std::time::Instant> {
        self.accepted
    }

    /// Releases the association by RLRQ; the link stays open.
    ///
    /// # Errors
    /// The stream's or the link's. A meter that does not answer is none.
    pub async fn release(&mut self) -> Result<(), ClientError> {
        self.session.release(now());
        match self.event().await? {
            Event::Released => Ok(()),
            _ => Err(SessionError::NotReady.into()),
        }
    }

    /// Closes the link (HDLC: DISC); the stream stays open.
    ///
    /// # Errors
    /// The stream's. A meter that does not answer is none.
    pub async fn close(&mut self) -> Result<(), ClientError> {
        self.session.close(now());
        match self.event().await? {
            Event::Closed => Ok(()),
            _ => Err(SessionError::NotReady.into()),
        }
    }

    /// Runs a service.
    ///
    /// # Errors
    /// The stream's, the link's or the service's; the refusal of one attribute is a result in the outcome.
    pub async fn run(&mut self, service: Service) -> Result<Outcome, ClientError> {
        if self.session.answers_are_unnumbered() {
            self.hear_out().await?;
        }
        self.session.request(now(), service);
        match self.event().await? {
            Event::Outcome(outcome) => Ok(outcome),
            _ => Err(SessionError::NotReady.into()),
        }
    }

    /// Reads one attribute: GET, or Read of its short name.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn get(&mut self, request: AttributeRequest) -> Result<GetDataResult, ClientError> {
        if self.referencing() == Referencing::ShortName {
            return match self.names.variable(request) {
                Ok(variable) => only(self.read(vec![variable]).await?),
                Err(refused) => Ok(Err(refused)),
            };
        }
        match self.run(Service::Get(request)).await? {
            Outcome::Get(result) => Ok(result),
            _ => Err(SessionError::NotReady.into()),
        }
    }

    /// Reads several attributes in one request; results in its order.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn list(&mut self, requests: Vec<AttributeRequest>) -> Result<Vec<GetDataResult>, ClientError> {
        if self.referencing() == Referencing::LogicalName {
            return match self.run(Service::GetList(requests)).await? {
                Outcome::GetList(results) => Ok(results),
                _ => Err(SessionError::NotReady.into()),
            };
        }
        let mut results = Vec::with_capacity(requests.len());
        let mut variables = Vec::with_capacity(requests.len());
        for request in requests {
            results.push(self.names.variable(request).map(|variable| variables.push(variable)));
        }
        let answers = if variables.is_empty() { Vec::new() } else { self.read(variables).await? };
        let mut answers = answers.into_iter();
        results
            .into_iter()
            .map(|known| match known {
                Ok(()) => answers.next().ok_or(SessionError::NotReady.into()),
                Err(refused) => Ok(Err(refused)),
            })
            .collect()
    }

    async fn read(
        &mut self,
        variables: Vec<VariableAccess<'static>>,
    ) -> Result<Vec<GetDataResult>, ClientError> {
        match self.run(Service::Read(variables)).await? {
            Outcome::GetList(results) => Ok(results),
            _ => Err(SessionError::NotReady.into()),
        }
    }

    /// Writes one attribute: SET, or Write to its short name.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn set(
        &mut self,
        request: AttributeRequest,
        data: Data,
    ) -> Result<DataAccessResult, ClientError> {
        let service = match self.referencing() {
            Referencing::LogicalName => Service::Set(request, data),
            Referencing::ShortName => match self.names.variable(request) {
                Ok(variable) => Service::Write(vec![(variable, data)]),
                Err(refused) => return Ok(refused),
            },
        };
        match self.run(service).await? {
            Outcome::Set(results) => only(results),
            _ => Err(SessionError::NotReady.into()),
        }
    }

    /// Invokes a method with its parameters: ACTION, or Write to its short name, which brings nothing back. Without
    /// parameters a Write says integer 0.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn action(
        &mut self,
        method: MethodDescriptor,
        parameters: Option<Data>,
    ) -> Result<(DataAccessResult, Option<GetDataResult>), ClientError> {
        let service = match self.referencing() {
            Referencing::LogicalName => Service::Action(method, parameters),
            Referencing::ShortName => match self.names.method(&method) {
                Ok(name) => {
                    let parameters = parameters.unwrap_or(Data::Integer(0));
                    Service::Write(vec![(VariableAccess::Name(name), parameters)])
                }
                Err(refused) => return Ok((refused, None)),
            },
        };
        match self.run(service).await? {
            Outcome::Action(result, returned) => Ok((result, returned)),
            Outcome::Set(results) => Ok((only(results)?, None)),
            _ => Err(SessionError::NotReady.into()),
        }
    }

    /// Waits for the next notification while nothing is asked; ends with the stream.
    ///
    /// # Errors
    /// The stream's or the link's.
    pub async fn idle(&mut self) -> Result<Vec<u8>, ClientError> {
        match self.driver.next_event(self.session).await? {
            Event::Notification(apdu) => Ok(apdu),
            Event::Failed(error) => Err(self.failure(error)),
            _ => Err(SessionError::NotReady.into()),
        }
    }

    /// When the meter was heard last.
    #[must_use]
    pub fn heard_at(&self) -> Instant {
        Instant::from_std(self.driver.heard_at())
    }

    /// Asks the meter whether it is still there (HDLC: RR; the wrapper has no such question), while [`Self::idle`] waits
    /// for what it says.
    pub fn keep_alive(&mut self) {
        self.session.keep_alive(Instant::now().into_std());
    }

    /// Takes in what has arrived before it could be taken for the answer to the next request.
    async fn hear_out(&mut self) -> Result<(), ClientError> {
        // What has arrived is known to the runtime once it has had its turn.
        tokio::task::yield_now().await;
        self.driver.take_in(self.session).await?;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Notification(apdu) => self.session.keep_notification(apdu),
                Event::Failed(error) => return Err(self.failure(error)),
                _ => {}
            }
        }
        Ok(())
    }

    const fn failure(&self, error: SessionError) -> ClientError {
        match error {
            SessionError::Link(error) if self.session.is_wrapper() => ClientError::Wrapper(error),
            error => ClientError::Session(error),
        }
    }

    async fn event(&mut self) -> Result<Event, ClientError> {
        loop {
            match self.driver.next_event(self.session).await? {
                Event::Notification(apdu) => self.session.keep_notification(apdu),
                Event::Accepted => self.accepted = Some(now()),
                Event::Failed(error) => return Err(self.failure(error)),
                event => return Ok(event),
            }
        }
    }
}

/// The result of a request with one item.
fn only<T>(results: Vec<T>) -> Result<T, ClientError> {
    results.into_iter().next().ok_or(SessionError::NotReady.into())
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
