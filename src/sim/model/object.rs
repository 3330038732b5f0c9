//! COSEM objects as data: class, name, and attributes that are fixed, follow from the time, or belong to the association.

use std::sync::Arc;

use jiff::Timestamp;

use super::clock::MeterClock;
use super::profile::Profile;
use crate::cosem::catalogue::ClassId;
use crate::wire::data::Data;
use crate::wire::obis::Obis;

/// What an association may do with an attribute (access_mode of Association LN, versions 0 to 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// 0.
    None,
    /// 1.
    Read,
    /// 2.
    Write,
    /// 3.
    ReadWrite,
}

impl Access {
    /// The number on the wire.
    #[must_use]
    pub const fn mode(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Read => 1,
            Self::Write => 2,
            Self::ReadWrite => 3,
        }
    }

    /// Whether the attribute can be read.
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Whether the attribute can be written.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

/// An instant, and the clock that names it.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Milliseconds of UTC.
    pub millis: i64,
    /// The meter's clock.
    pub clock: &'a MeterClock,
}

impl Moment<'_> {
    /// Seconds since the meter was installed, what [`Wave`](super::wave::Wave) counts in.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of this century are exact")]
    pub fn age(&self) -> f64 {
        (self.millis - INSTALLED) as f64 / 1000.0
    }
}

/// When every simulated meter was installed: 1 January 2024 UTC, in milliseconds.
pub const INSTALLED: i64 = 1_704_067_200_000;

/// A value that follows from the time.
pub type Live = Arc<dyn Fn(Moment<'_>) -> Data + Send + Sync>;

/// What an attribute holds.
#[derive(Clone)]
pub enum Value {
    /// Always this, until it is written.
    Fixed(Data),
    /// What follows from the time.
    Live(Live),
    /// What the clock shows.
    Clock,
    /// The status of the clock.
    ClockStatus,
    /// Rows of a profile.
    Buffer(Box<Profile>),
    /// What the present association says of itself.
    Association(AssociationValue),
    /// The last invocation counter that was accepted from the client.
    ClientCounter,
}

/// An attribute of the association object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssociationValue {
    /// The objects, in the form of the referencing in use.
    ObjectList,
    /// Client and server SAP.
    Partners,
    /// The application context name.
    ContextName,
    /// Conformance, PDU sizes, DLMS version.
    ContextInfo,
    /// The authentication mechanism name.
    MechanismName,
    /// non-associated, pending, associated.
    Status,
    /// Access rights by base name (short names).
    AccessRights,
}

/// An attribute.
#[derive(Clone)]
pub struct Attribute {
    /// Number, from 2: number 1 is every object's logical name.
    pub id: i8,
    /// What a client may do with it.
    pub access: Access,
    /// What it holds.
    pub value: Value,
}

/// Who may see an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The client with its full rights alone.
    Client,
    /// The public client as well.
    Everyone,
}

/// A COSEM object.
#[derive(Clone)]
pub struct Object {
    /// Interface class.
    pub class: ClassId,
    /// Version of the class.
    pub version: u8,
    /// Logical name.
    pub logical_name: Obis,
    /// Attributes from number 2 on.
    pub attributes: Vec<Attribute>,
    /// Numbers of the methods that it has.
    pub methods: Vec<i8>,
    /// Who may see it.
    pub audience: Audience,
    /// Short name of attribute 1; given by the model.
    pub base_name: u16,
}

impl Object {
    /// An object without attributes.
    #[must_use]
    pub const fn new(class: u16, version: u8, logical_name: Obis) -> Self {
        Self {
            class: ClassId(class),
            version,
            logical_name,
            attributes: Vec::new(),
            methods: Vec::new(),
            audience: Audience::Client,
            base_name: 0,
        }
    }

    /// The same with the next attribute, read only.
    #[must_use]
    pub fn with(self, value: impl Into<Value>) -> Self {
        self.with_access(Access::Read, value)
    }

    /// The same with the next attribute.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "no class has 100 attributes"
    )]
    pub fn with_access(mut self, access: Access, value: impl Into<Value>) -> Self {
        let id = self.attributes.len() as i8 + 2;
        self.attributes.push(Attribute { id, access, value: value.into() });
        self
    }

    /// The same with methods.
    #[must_use]
    pub fn with_methods(mut self, methods: &[i8]) -> Self {
        self.methods = methods.to_vec();
        self
    }

    /// The same, for the public client to see.
    #[must_use]
    pub const fn for_everyone(mut self) -> Self {
        self.audience = Audience::Everyone;
        self
    }

    /// The attribute with this number, from 2 on.
    #[must_use]
    pub fn attribute(&self, id: i8) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.id == id)
    }

    /// The same, to change it.
    pub fn attribute_mut(&mut self, id: i8) -> Option<&mut Attribute> {
        self.attributes.iter_mut().find(|attribute| attribute.id == id)
    }
}

impl From<Data> for Value {
    fn from(data: Data) -> Self {
        Self::Fixed(data)
    }
}

impl From<Live> for Value {
    fn from(live: Live) -> Self {
        Self::Live(live)
    }
}

impl From<Profile> for Value {
    fn from(profile: Profile) -> Self {
        Self::Buffer(Box::new(profile))
    }
}

impl From<AssociationValue> for Value {
    fn from(value: AssociationValue) -> Self {
        Self::Association(value)
    }
}

/// The instant of a timestamp, by this clock.
#[must_use]
pub fn moment(now: Timestamp, clock: &MeterClock) -> Moment<'_> {
    Moment { millis: now.as_millisecond(), clock }
}
