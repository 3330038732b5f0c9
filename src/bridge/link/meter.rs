//! One configured meter on its link: associating, identifying, releasing. The stream is the caller's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::approach::Approach;
use super::clock::ExchangeTimes;
pub use super::counters::Counters;
use super::failure::Failure;
use super::identity::Told;
use super::memory::MeterMemory;
use super::resync::{CounterResync, ResyncReason, believed};
use super::settings::{Credentials, data_link};
use crate::bridge::config::document::device::Release;
use crate::bridge::config::model::{Connection, Device};
use crate::bridge::reading::status::{
    CounterStatus, HdlcStatus, IdentityStatus, Negotiated as NegotiatedStatus,
};
use crate::client::{ClientError, MeterClient, ShortNames};
use crate::cosem::catalogue::ClassId;
use crate::error::{Code, Layer, Report};
use crate::security::{CipherKey, ReplayCheck, SecurityContext};
use crate::session::association::Negotiated;
use crate::session::client::ClientSession;
use crate::session::error::Recovery;
use crate::session::link::{LinkCounters, LinkParameters};
use crate::transport::Driver;
use crate::transport::line::Line;
use crate::wire::acse::Referencing;
use crate::wire::data::Data;
use crate::wire::obis::Obis;
use crate::wire::xdlms::{AttributeDescriptor, AttributeRequest};

/// Pause between the public client's association and the real one: meters need a moment to change clients.
const CHANGE_OF_CLIENT: Duration = Duration::from_millis(300);

/// What an association showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Association {
    /// What the link agreed on.
    pub link: LinkParameters,
    /// What the association agreed on.
    pub negotiated: Negotiated,
    /// What the meter told of itself.
    pub told: Told,
    /// The logical device name of the meter that answered here before, where another answers now.
    pub replaced: Option<String>,
}

/// One meter.
#[derive(Debug)]
pub struct Meter {
    /// Its configuration.
    pub device: Arc<Device>,
    /// What is known of it.
    pub memory: MeterMemory,
    connection: Arc<Connection>,
    credentials: Credentials,
    counters: Counters,
    approach: Approach,
    session: ClientSession,
    association: Option<Association>,
    /// The lowest counter that the meter takes, as it said.
    counter_floor: Option<u32>,
    /// Why the counter that it named last is not believed.
    disbelief: Option<Report>,
    /// The logical device name that was told last.
    last_name: Option<String>,
    /// The counter that we would have used next when the meter fell silent at our association, as some do at a counter
    /// that they know: ask before the next time.
    doubted_counter: Option<u32>,
    /// The counter was raised, and nobody was told yet.
    resync: Option<CounterResync>,
    accepted: Option<Instant>,
    /// What the meter said unasked in sessions that have ended.
    notifications: Vec<Vec<u8>>,
}

impl Meter {
    /// A meter that nobody has talked to yet.
    ///
    /// # Errors
    /// `CONFIG_INVALID` where its secrets cannot be read.
    pub fn new(device: Arc<Device>, connection: Arc<Connection>, counters: Counters) -> Result<Self, Report> {
        let credentials = Credentials::of(&device)?;
        let approach = Approach::new(&connection);
        let link = data_link(&device, &connection, device.client_address, approach.octet_time())?;
        let session = ClientSession::new(link, credentials.association.clone());
        Ok(Self {
            device,
            memory: MeterMemory::default(),
            connection,
            credentials,
            counters,
            approach,
            session,
            association: None,
            counter_floor: None,
            disbelief: None,
            last_name: None,
            doubted_counter: None,
            resync: None,
            accepted: None,
            notifications: Vec::new(),
        })
    }

    /// Goes on with settings that leave the association as it is. Times of the data link hold from the next one on.
    pub fn reconfigure(&mut self, device: Arc<Device>, connection: Arc<Connection>) {
        self.device = device;
        self.connection = connection;
        if self.association.is_none() {
            self.forget_session();
        }
    }

    /// What the open association showed.
    #[must_use]
    pub const fn association(&self) -> Option<&Association> {
        self.association.as_ref()
    }

    /// When the meter accepted the last proposal and authentication in four passes began, if it came so far.
    #[must_use]
    pub const fn accepted(&self) -> Option<Instant> {
        self.accepted
    }

    /// What the link to it has seen since it was last set up.
    #[must_use]
    pub fn link_counters(&self) -> LinkCounters {
        self.session.link_counters()
    }

    /// Whether it is reached over HDLC.
    #[must_use]
    pub const fn is_hdlc(&self) -> bool {
        !self.session.is_wrapper()
    }

    /// The line to it.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether its answers bear no number: a late one must not meet the next request.
    #[must_use]
    pub fn answers_are_unnumbered(&self) -> bool {
        self.session.answers_are_unnumbered()
    }

    /// The client for calls while associated, beside what is remembered.
    pub fn client<'a, L: Line>(
        &'a mut self,
        driver: &'a mut Driver<L>,
    ) -> (MeterClient<'a, L>, &'a mut MeterMemory) {
        let names = Arc::clone(&self.memory.names);
        (MeterClient::new(driver, &mut self.session).with_names(names), &mut self.memory)
    }

    /// What the meter said unasked while something else was waited for, in plain form.
    pub fn take_notifications(&mut self) -> Vec<Vec<u8>> {
        self.notifications.append(&mut self.session.take_notifications());
        std::mem::take(&mut self.notifications)
    }

    /// Forgets the session: the stream is gone.
    pub fn forget_session(&mut self) {
        self.keep_received();
        self.notifications.append(&mut self.session.take_notifications());
        self.association = None;
        // The link was made once before, so it can be made again.
        let octet_time = self.approach.octet_time();
        let link = data_link(&self.device, &self.connection, self.device.client_address, octet_time);
        if let Ok(link) = link {
            self.session = ClientSession::new(link, self.credentials.association.clone());
        }
    }

    /// Sets up link and association, and finds out who answers.
    ///
    /// # Errors
    /// The failure of any step; `WRONG_METER` where another meter answers than configured.
    pub async fn associate<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<&Association, Failure> {
        if self.needs_counter() {
            let next = self.sync_counter(driver).await?;
            if let Some(before) = self.doubted_counter.filter(|&before| before < next) {
                self.resync = Some(CounterResync { before, next, reason: ResyncReason::Silence });
            }
        }
        self.ready(driver).await?;
        let link = self.open_link(driver).await?;
        let (link, negotiated) = match self.propose(driver).await {
            Ok(negotiated) => (link, negotiated),
            Err(failure) => {
                if !self.has_caught_up(driver, &failure).await? {
                    return Err(failure);
                }
                self.ready(driver).await?;
                (self.open_link(driver).await?, self.propose(driver).await?)
            }
        };
        self.enter(driver, link, negotiated).await
    }

    /// Readies the line: rest, speed and format, the sign-on of mode E.
    ///
    /// # Errors
    /// The line's; `MODE_E` where the meter does not sign on.
    pub async fn ready<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<(), Failure> {
        self.approach.ready(driver, &self.device, &self.connection).await.map_err(ClientError::from)?;
        // The line's speed may be known only now.
        self.forget_session();
        Ok(())
    }

    /// Sets up the link.
    ///
    /// # Errors
    /// The stream's or the link's.
    pub async fn open_link<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<LinkParameters, Failure> {
        Ok(self.approach.open(&mut MeterClient::new(driver, &mut self.session)).await?)
    }

    /// Proposes the association over the open link, and authenticates.
    ///
    /// # Errors
    /// The stream's, the link's, the meter's refusal, or the failure of either partner's proof; `REPLAY`.
    pub async fn propose<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<Negotiated, Failure> {
        let security = self.security()?;
        let mut client = MeterClient::new(driver, &mut self.session);
        let outcome = client.associate(security).await;
        self.accepted = client.accepted();
        if let Err(ClientError::Session(error)) = &outcome {
            self.hear(error.expected_counter());
        }
        let negotiated = outcome?;
        self.doubted_counter = None;
        self.check_received(&negotiated)?;
        Ok(negotiated)
    }

    /// Finds out who answers in the association that is open.
    ///
    /// # Errors
    /// `WRONG_METER` where another meter answers than configured; failures that end the association.
    pub async fn enter<L: Line>(
        &mut self,
        driver: &mut Driver<L>,
        link: LinkParameters,
        negotiated: Negotiated,
    ) -> Result<&Association, Failure> {
        let told = self.identify(driver).await?;
        let name = self.memory.identity.logical_device_name.clone();
        let replaced = match (&self.last_name, &name) {
            (Some(before), Some(now)) if before != now => self.last_name.clone(),
            _ => None,
        };
        self.last_name = name.or(self.last_name.take());
        Ok(self.association.insert(Association { link, negotiated, told, replaced }))
    }

    fn security(&self) -> Result<Option<SecurityContext>, Failure> {
        let Some(settings) = self.credentials.security.clone() else { return Ok(None) };
        let floor = self.counter_floor;
        let context = SecurityContext::new(settings, self.counters.store()).and_then(|mut context| {
            if let Some(floor) = floor {
                context.raise_send_counter(CipherKey::Global, floor)?;
            }
            context.reserve_counters()?;
            Ok(context)
        });
        context.map(Some).map_err(|error| Failure::of_meter(error.report()))
    }

    /// Whether the counter must be read before these keys are used.
    #[must_use]
    pub fn needs_counter(&self) -> bool {
        let Some(settings) = &self.credentials.security else { return false };
        let is_new = self.counter_floor.is_none() && !self.counters.knows(settings);
        self.device.security.invocation_counter.is_some() && (is_new || self.doubted_counter.is_some())
    }

    /// After a refusal: whether our counter was too low, and is not any more. A meter that refuses us for another
    /// reason is not asked again: it may count attempts.
    ///
    /// # Errors
    /// Those of [`Self::sync_counter`], unless it was the refusal of something else; `CIPHER_IC` for a counter that is not
    /// believed and cannot be asked for.
    pub async fn has_caught_up<L: Line>(
        &mut self,
        driver: &mut Driver<L>,
        failure: &Failure,
    ) -> Result<bool, Failure> {
        let Some(next) = self.session.security().and_then(|it| it.next_send_counter(CipherKey::Global))
        else {
            return Ok(false);
        };
        if let Some(floor) = self.counter_floor.filter(|&floor| floor > next) {
            // The refusal itself said which counter the meter expects.
            self.leave(driver).await;
            self.resync = Some(CounterResync { before: next, next: floor, reason: ResyncReason::Named });
            return Ok(true);
        }
        let can_ask = self.device.security.invocation_counter.is_some();
        if let Some(report) = self.disbelief.take().filter(|_| !can_ask) {
            return Err(Failure::of_meter(report));
        }
        match failure.report.code {
            // Meters that refuse a counter by silence need a new stream.
            Code::Timeout | Code::TcpClosed => {
                self.doubted_counter = can_ask.then_some(next);
                Ok(false)
            }
            Code::AareRejected if !matches!(failure.report.dlms, Some(0 | 1 | 13)) => Ok(false),
            Code::CipherIc | Code::CipherKey | Code::AuthHls | Code::AareRejected if can_ask => {
                tracing::info!(device = %self.device.name, code = %failure.report.code, "reading the invocation counter anew");
                self.leave(driver).await;
                match self.sync_counter(driver).await {
                    Ok(expected) if expected > next => {
                        let reason = ResyncReason::Refused;
                        self.resync = Some(CounterResync { before: next, next: expected, reason });
                        Ok(true)
                    }
                    Ok(_) => Ok(false),
                    Err(error) if failure.report.code == Code::CipherIc => Err(error),
                    Err(_) => Ok(false),
                }
            }
            _ => Ok(false),
        }
    }

    /// Takes note of the counter that the meter expects, as it said in an open association. With a dedicated key that
    /// counter is another one, and every association begins with a fresh one of the meter.
    pub fn learn_counter(&mut self, error: &ClientError) {
        let has_dedicated =
            self.credentials.security.as_ref().is_some_and(|settings| settings.dedicated_key.is_some());
        if let ClientError::Session(error) = error
            && !has_dedicated
        {
            self.hear(error.expected_counter());
        }
    }

    /// Takes note of the counter that a refusal names.
    fn hear(&mut self, expected: Option<u32>) {
        match expected.map(believed) {
            Some(Ok(expected)) => self.counter_floor = self.counter_floor.max(Some(expected)),
            Some(Err(report)) => self.disbelief = Some(report),
            None => {}
        }
    }

    /// How the counter was raised, since that was taken last.
    #[must_use]
    pub const fn resync(&self) -> Option<&CounterResync> {
        self.resync.as_ref()
    }

    /// The same, once.
    pub const fn take_resync(&mut self) -> Option<CounterResync> {
        self.resync.take()
    }

    /// Who answers, as far as it told.
    #[must_use]
    pub fn identity_status(&self) -> IdentityStatus {
        let title = self.association.as_ref().and_then(|it| it.negotiated.server_title);
        IdentityStatus {
            logical_device_name: self.memory.identity.logical_device_name.clone(),
            serial: self.memory.identity.serial.clone(),
            system_title: title.map(|title| title.to_string()),
        }
    }

    /// What the open association agreed on.
    #[must_use]
    pub fn negotiated_status(&self) -> Option<NegotiatedStatus> {
        let Association { link, negotiated, .. } = self.association.as_ref()?;
        Some(NegotiatedStatus {
            max_pdu: Some(negotiated.max_send_pdu.unwrap_or(0)),
            conformance: negotiated.conformance.names().map(str::to_owned).collect(),
            hdlc: self.is_hdlc().then_some(HdlcStatus {
                info_tx: link.max_send,
                info_rx: link.max_receive,
                window_tx: link.send_window,
                window_rx: link.receive_window,
            }),
        })
    }

    /// Our invocation counter; `None` without ciphering or before its first use.
    #[must_use]
    pub fn counter_status(&self) -> Option<CounterStatus> {
        let settings = self.credentials.security.as_ref()?;
        self.counters.status(settings, self.session.security())
    }

    fn is_strict(&self) -> bool {
        let settings = self.credentials.security.as_ref();
        settings.is_some_and(|settings| matches!(settings.replay_check, ReplayCheck::Strict { .. }))
    }

    fn check_received(&self, negotiated: &Negotiated) -> Result<(), Failure> {
        let (Some(settings), Some(session)) = (&self.credentials.security, self.session.security()) else {
            return Ok(());
        };
        match negotiated.server_title {
            Some(sender) if self.is_strict() => {
                self.counters.check_received(settings, sender, session).map_err(Failure::of_meter)
            }
            _ => Ok(()),
        }
    }

    fn keep_received(&self) {
        let (Some(settings), Some(session)) = (&self.credentials.security, self.session.security()) else {
            return;
        };
        // Only what was checked before is kept: an association that failed tells nothing.
        if let Some(sender) = self.association.as_ref().and_then(|it| it.negotiated.server_title)
            && let Some((_, last)) = session.received()
            && self.is_strict()
            && let Err(report) = self.counters.keep_received(settings, sender, last)
        {
            tracing::error!(device = %self.device.name, message = %report.message, "the replay check forgets");
        }
    }

    /// Reads the invocation counter through the public client.
    ///
    /// # Errors
    /// The failure of any step; `CIPHER_IC` where the meter does not show its counter, or one that is not believed.
    pub async fn sync_counter<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<u32, Failure> {
        let Some(obis) = self.device.security.invocation_counter else {
            let message =
                "the meter refuses our invocation counter, and no object is configured to read it from";
            return Err(Failure::of_meter(Report::new(Code::CipherIc, Layer::Cipher, message)));
        };
        let client_address = self.device.security.invocation_counter_client;
        self.approach.ready(driver, &self.device, &self.connection).await.map_err(ClientError::from)?;
        let octet_time = self.approach.octet_time();
        let link = data_link(&self.device, &self.connection, client_address, octet_time)
            .map_err(Failure::of_meter)?;
        let mut session = ClientSession::new(link, Credentials::public(&self.device));
        let mut public = MeterClient::new(driver, &mut session);
        self.approach.open(&mut public).await?;
        public.associate(None).await?;
        if public.referencing() == Referencing::ShortName {
            // Other clients may see other objects: their list is of no use here, nor is this one to them.
            let objects = public.base_names().await?.map_err(Failure::of_meter)?;
            public = public.with_names(Arc::new(ShortNames::of(&objects)));
        }
        let answer = public.read_one(attribute(ClassId::DATA, obis, 2)).await?;
        let left = leave(&mut public, Release::Auto).await;
        self.notifications.append(&mut public.take_notifications());
        left?;
        self.approach.left(&self.device);
        tokio::time::sleep(CHANGE_OF_CLIENT.max(self.device.disconnect_delay)).await;
        let unusable = |why: String| {
            let message = format!("the invocation counter {obis} {why}");
            Failure::of_meter(Report::new(Code::CipherIc, Layer::Cipher, message))
        };
        let data = answer.map_err(|report| unusable(format!("cannot be read: {}", report.message)))?;
        let used = counter(&data).ok_or_else(|| unusable(format!("is {}, no number", data.type_name())))?;
        let next = believed(used.saturating_add(1)).map_err(Failure::of_meter)?;
        self.counter_floor = self.counter_floor.max(Some(next));
        Ok(next)
    }

    /// Finds out who answers, and what time it is there.
    async fn identify<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<Told, Failure> {
        let mut told = None;
        let mut is_fresh = false;
        if self.session.settings().referencing == Referencing::ShortName {
            // Base names are the meter's own choice: those of one meter are read as something else by another.
            if !self.memory.names.is_empty() {
                told = Some(self.ask_identity(driver).await?)
                    .filter(|told| self.memory.is_of(&told.identity(&self.device.identity)));
            }
            is_fresh = told.is_none();
            if is_fresh {
                self.read_names(driver).await?;
            }
        }
        let told = match told {
            Some(told) => told,
            None => self.ask_identity(driver).await?,
        };
        told.check(&self.device.identity)?;
        let identity = told.identity(&self.device.identity);
        if is_fresh {
            self.memory.identity = identity;
        } else {
            self.memory.recognise(identity);
        }
        Ok(told)
    }

    async fn ask_identity<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<Told, Failure> {
        let mut answers = Vec::new();
        let mut times = ExchangeTimes::default();
        let (mut client, memory) = self.client(driver);
        let note_time = |answers| {
            times.begin(answers);
            true
        };
        client.read_attributes_while(Told::requests(), &mut memory.lists, &mut answers, note_time).await?;
        Ok(Told::new(answers, &times))
    }

    /// Learns the base names. A meter that does not show them can be read by configured short names only.
    async fn read_names<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<(), Failure> {
        self.memory.forget_what_was_read();
        let (mut client, memory) = self.client(driver);
        match client.base_names().await? {
            Ok(objects) => memory.learn_names(objects),
            Err(report) => {
                tracing::warn!(device = %self.device.name, code = %report.code, message = %report.message,
                    "the meter does not show its object list: only values with a short_name can be read");
            }
        }
        Ok(())
    }

    /// Ends the association and the link, as far as the meter goes along; the stream stays open.
    pub async fn leave<L: Line>(&mut self, driver: &mut Driver<L>) {
        if self.session.is_open() {
            let mut client = MeterClient::new(driver, &mut self.session);
            if let Err(error) = leave(&mut client, self.device.release).await {
                tracing::debug!(device = %self.device.name, %error, "the meter did not take leave");
            }
            self.approach.left(&self.device);
        }
        self.forget_session();
    }
}

async fn leave<L: Line>(client: &mut MeterClient<'_, L>, release: Release) -> Result<(), ClientError> {
    let session = client.session();
    let wants_release = match release {
        Release::Always => true,
        Release::Never => false,
        Release::Auto => session.is_wrapper() || session.settings().is_ciphered(),
    };
    if wants_release && session.negotiated().is_some() {
        match client.release().await {
            Err(error) if error.recovery() == Recovery::ReopenLink => return Err(error),
            _ => {}
        }
    }
    client.close().await
}

/// A request for a whole attribute.
#[must_use]
pub const fn attribute(class: ClassId, obis: Obis, attribute_id: i8) -> AttributeRequest {
    AttributeRequest::whole(AttributeDescriptor { class_id: class.0, instance_id: obis, attribute_id })
}

/// A counter of any integer type; all of them count in 32 bits.
fn counter(data: &Data) -> Option<u32> {
    match *data {
        Data::DoubleLongUnsigned(value) => Some(value),
        Data::DoubleLong(value) => Some(value.cast_unsigned()),
        Data::Long64Unsigned(value) => u32::try_from(value & 0xFFFF_FFFF).ok(),
        Data::Long64(value) => u32::try_from(value & 0xFFFF_FFFF).ok(),
        Data::LongUnsigned(value) => Some(value.into()),
        _ => None,
    }
}

/// Whether a device uses invocation counters.
#[must_use]
pub fn is_protected(device: &Device) -> bool {
    device.security.is_ciphered()
}
