//! One configured meter on its link: associating, identifying, releasing. The stream is the caller's.

use std::sync::Arc;
use std::time::Duration;

use super::approach::Approach;
use super::failure::Failure;
use super::identity::Told;
use super::memory::MeterMemory;
use super::settings::{Credentials, data_link};
use crate::bridge::config::document::device::Release;
use crate::bridge::config::model::{Connection, Device};
use crate::client::{ClientError, FileCounterStore, MeterClient, ShortNames};
use crate::cosem::catalogue::ClassId;
use crate::error::{Code, Layer, Report};
use crate::security::{CipherKey, CounterId, CounterStore, MemoryCounterStore, SecurityContext};
use crate::session::association::Negotiated;
use crate::session::client::ClientSession;
use crate::session::error::Recovery;
use crate::session::link::LinkParameters;
use crate::transport::Driver;
use crate::transport::line::Line;
use crate::wire::acse::Referencing;
use crate::wire::data::Data;
use crate::wire::date_time::DateTime;
use crate::wire::obis::Obis;
use crate::wire::xdlms::{AttributeDescriptor, AttributeRequest};

/// Pause between the public client's association and the real one: meters need a moment to change clients.
const CHANGE_OF_CLIENT: Duration = Duration::from_millis(300);

/// Where invocation counters are kept.
#[derive(Clone, Debug)]
pub enum Counters {
    /// For trials: forgotten at the end.
    Memory(MemoryCounterStore),
    /// In the state directory.
    File(FileCounterStore),
}

impl Counters {
    fn store(&self) -> Box<dyn CounterStore> {
        match self {
            Self::Memory(store) => Box::new(store.clone()),
            Self::File(store) => Box::new(store.clone()),
        }
    }

    /// Whether this counter was ever used.
    fn knows(&self, id: &CounterId) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::File(store) => matches!(store.limit(id), Ok(Some(_))),
        }
    }
}

/// What an association showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Association {
    /// What the link agreed on.
    pub link: LinkParameters,
    /// What the association agreed on.
    pub negotiated: Negotiated,
    /// The meter's clock, where it let us read it.
    pub clock: Option<DateTime>,
    /// Our next invocation counter under the global key, where there is ciphering.
    pub counter: Option<u32>,
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
    /// The logical device name that was told last.
    last_name: Option<String>,
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
            last_name: None,
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

    /// Whether it is reached over HDLC.
    #[must_use]
    pub const fn is_hdlc(&self) -> bool {
        !self.session.is_wrapper()
    }

    /// The client for calls while associated, beside what is remembered.
    pub fn client<'a, L: Line>(
        &'a mut self,
        driver: &'a mut Driver<L>,
    ) -> (MeterClient<'a, L>, &'a mut MeterMemory) {
        let names = Arc::clone(&self.memory.names);
        (MeterClient::new(driver, &mut self.session).with_names(names), &mut self.memory)
    }

    /// Forgets the session: the stream is gone.
    pub fn forget_session(&mut self) {
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
            self.sync_counter(driver).await?;
        }
        let opened = match self.open_and_associate(driver).await {
            Err(failure) if self.is_counter_trouble(&failure) => {
                tracing::info!(device = %self.device.name, code = %failure.report.code, "reading the invocation counter anew");
                let next = self.next_counter();
                self.leave(driver).await;
                let floor = self.sync_counter(driver).await?;
                if next.is_some_and(|next| next >= floor) {
                    // The counter was good: it is something else that the meter refuses, and it counts refusals.
                    return Err(failure);
                }
                self.open_and_associate(driver).await?
            }
            outcome => outcome?,
        };
        let (link, negotiated) = opened;
        let clock = self.identify(driver).await?;
        let name = self.memory.identity.logical_device_name.clone();
        let replaced = match (&self.last_name, &name) {
            (Some(before), Some(now)) if before != now => self.last_name.clone(),
            _ => None,
        };
        self.last_name = name.or(self.last_name.take());
        let counter = self.next_counter();
        Ok(self.association.insert(Association { link, negotiated, clock, counter, replaced }))
    }

    fn next_counter(&self) -> Option<u32> {
        self.session.security().map(SecurityContext::next_counter)
    }

    async fn open_and_associate<L: Line>(
        &mut self,
        driver: &mut Driver<L>,
    ) -> Result<(LinkParameters, Negotiated), Failure> {
        let security = self.security()?;
        self.approach.ready(driver, &self.device, &self.connection).await.map_err(ClientError::from)?;
        // The line's speed may be known only now.
        self.forget_session();
        let mut client = MeterClient::new(driver, &mut self.session);
        let link = self.approach.open(&mut client).await?;
        let negotiated = client.associate(security).await?;
        Ok((link, negotiated))
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

    /// Whether the counter must be read before the first use of these keys.
    fn needs_counter(&self) -> bool {
        let Some(settings) = &self.credentials.security else { return false };
        let id = CounterId::sending(&settings.block_cipher_key, settings.own_title);
        self.device.security.invocation_counter.is_some()
            && self.counter_floor.is_none()
            && !self.counters.knows(&id)
    }

    /// Whether a failure may be the meter's way of refusing our counter. Asked once: what follows is a new attempt.
    fn is_counter_trouble(&self, failure: &Failure) -> bool {
        let has_counter =
            self.credentials.security.is_some() && self.device.security.invocation_counter.is_some();
        has_counter
            && match failure.report.code {
                Code::CipherIc => true,
                // Many meters do not answer, or answer with a failed authentication.
                Code::Timeout | Code::AuthHls => {
                    self.session.is_open() || failure.report.code == Code::AuthHls
                }
                Code::AareRejected => failure.report.dlms == Some(13) && !self.has_password(),
                _ => false,
            }
    }

    fn has_password(&self) -> bool {
        !self.credentials.association.secret.is_empty()
    }

    /// Reads the invocation counter through the public client.
    ///
    /// # Errors
    /// The failure of any step; `CIPHER_IC` where the meter does not show its counter.
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
        leave(&mut public, Release::Auto).await?;
        self.approach.left(&self.device);
        tokio::time::sleep(CHANGE_OF_CLIENT.max(self.device.disconnect_delay)).await;
        let unusable = |why: String| {
            let message = format!("the invocation counter {obis} {why}");
            Failure::of_meter(Report::new(Code::CipherIc, Layer::Cipher, message))
        };
        let data = answer.map_err(|report| unusable(format!("cannot be read: {}", report.message)))?;
        let used = counter(&data).ok_or_else(|| unusable(format!("is {}, no number", data.type_name())))?;
        let next = used.saturating_add(1);
        self.counter_floor = self.counter_floor.max(Some(next));
        Ok(next)
    }

    /// Finds out who answers, and what time it is there.
    async fn identify<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<Option<DateTime>, Failure> {
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
        Ok(told.clock)
    }

    async fn ask_identity<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<Told, Failure> {
        let mut answers = Vec::new();
        let (mut client, memory) = self.client(driver);
        client.read_attributes(Told::requests(), &mut memory.lists, &mut answers).await?;
        Ok(Told::new(answers))
    }

    /// Learns the base names. A meter that does not show them can be read by configured short names only.
    async fn read_names<L: Line>(&mut self, driver: &mut Driver<L>) -> Result<(), Failure> {
        self.memory = MeterMemory { lists: self.memory.lists, ..MeterMemory::default() };
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

pub(super) fn attribute(class: ClassId, obis: Obis, attribute_id: i8) -> AttributeRequest {
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
