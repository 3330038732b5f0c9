//! Ready-made meters: the objects that every meter has, and those of its medium.

mod electricity;
mod gas;
mod heat;
#[cfg(test)]
mod tests;
mod water;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::clock::MeterClock;
use super::measure::{Scale, Signal, live};
use super::object::{Access, AssociationValue, Live, Object, Value};
use super::profile::{Column, Profile, Schedule};
use super::wave::Seed;
use super::{ASSOCIATION_LN, Model};
use crate::cosem::capture_object::CaptureObject;
use crate::cosem::catalogue::ClassId;
use crate::sim::config::{Framing, MeterConfig};
use crate::wire::acse::Referencing;
use crate::wire::data::Data;
use crate::wire::obis::Obis;

/// What a simulated meter measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// A three-phase electricity meter.
    Electricity,
    /// A gas meter.
    Gas,
    /// A cold water meter.
    Water,
    /// A heat meter.
    Heat,
}

/// A text that names no preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the presets are electricity, gas, water and heat")]
pub struct UnknownPreset;

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Electricity, Self::Gas, Self::Water, Self::Heat];

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Electricity => "electricity",
            Self::Gas => "gas",
            Self::Water => "water",
            Self::Heat => "heat",
        }
    }

    /// Its part of the logical device name.
    #[must_use]
    pub(in crate::sim) const fn type_number(self) -> u32 {
        match self {
            Self::Electricity => 1,
            Self::Gas => 7,
            Self::Water => 8,
            Self::Heat => 6,
        }
    }

    /// The model of a meter of this kind.
    #[must_use]
    pub fn model(self, config: &MeterConfig) -> Model {
        let mut objects = common(config);
        objects.extend(match self {
            Self::Electricity => electricity::objects(config),
            Self::Gas => gas::objects(config),
            Self::Water => water::objects(config),
            Self::Heat => heat::objects(config),
        });
        Model::new(objects, MeterClock::new(config.zone.clone()))
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|preset| preset.name() == text).ok_or(UnknownPreset)
    }
}

/// Numbers for one purpose of one meter.
fn seed(config: &MeterConfig) -> Seed {
    Seed::new(u64::from(config.serial_number) << 8 | u64::from(config.preset.type_number()))
}

/// What every meter has.
fn common(config: &MeterConfig) -> Vec<Object> {
    let device_name = config.logical_device_name();
    let serial_number = format!("{:08}", config.serial_number);
    let mut objects = vec![
        association(config),
        Object::new(17, 0, Obis::new(0, 0, 41, 0, 0, 255)).for_everyone().with(Data::Array(vec![
            Data::Structure(vec![Data::LongUnsigned(config.server_address.logical), octets(&device_name)]),
        ])),
        text(Obis::new(0, 0, 42, 0, 0, 255), &device_name).for_everyone(),
        text(Obis::new(0, 0, 96, 1, 0, 255), &serial_number).for_everyone(),
        text(Obis::new(1, 0, 0, 2, 0, 255), concat!("dlms2mqtt-sim ", env!("CARGO_PKG_VERSION"))),
        Object::new(1, 0, Obis::new(0, 0, 96, 1, 9, 255)).with_access(Access::ReadWrite, octets("")),
        clock(),
        Object::new(1, 0, Obis::new(0, 0, 43, 1, 0, 255)).for_everyone().with(Value::ClientCounter),
        security_setup(config),
        Object::new(1, 0, Obis::new(0, 0, 97, 97, 0, 255)).with(Data::DoubleLongUnsigned(0)),
        Object::new(1, 0, Obis::new(0, 0, 96, 11, 0, 255))
            .with(live(|moment| Data::Unsigned(event_code(moment.millis)))),
        event_log(config),
    ];
    objects.extend(communication(config));
    objects
}

fn association(config: &MeterConfig) -> Object {
    match config.referencing {
        Referencing::LogicalName => Object::new(15, 1, ASSOCIATION_LN)
            .with(AssociationValue::ObjectList)
            .with(AssociationValue::Partners)
            .with(AssociationValue::ContextName)
            .with(AssociationValue::ContextInfo)
            .with(AssociationValue::MechanismName)
            .with_access(Access::None, Data::Null)
            .with(AssociationValue::Status)
            .with(name(SECURITY_SETUP))
            .with_methods(&[1]),
        Referencing::ShortName => Object::new(12, 2, ASSOCIATION_LN)
            .with(AssociationValue::ObjectList)
            .with(AssociationValue::AccessRights)
            .with(name(SECURITY_SETUP))
            .with_methods(&[8]),
    }
    .for_everyone()
}

const SECURITY_SETUP: Obis = Obis::new(0, 0, 43, 0, 0, 255);
const CLOCK: Obis = Obis::new(0, 0, 1, 0, 0, 255);

fn security_setup(config: &MeterConfig) -> Object {
    let (suite, title) = match &config.security {
        Some(security) => (security.suite.id(), security.system_title.0.to_vec()),
        None => (0, Vec::new()),
    };
    Object::new(64, 0, SECURITY_SETUP)
        .with(Data::Enum(config.policy().bits() >> 4))
        .with(Data::Enum(suite))
        .with(Data::OctetString(Vec::new()))
        .with(Data::OctetString(title))
}

fn clock() -> Object {
    // Last Sunday of March and October, the rule of the European Union; whether it holds is told by the zone.
    let change = |month, hour| Data::OctetString(vec![0xFF, 0xFF, month, 0xFE, 7, hour, 0, 0, 0, 0x80, 0, 0]);
    Object::new(8, 0, CLOCK)
        .with_access(Access::ReadWrite, Value::Clock)
        .with(live(|moment| {
            let shown = moment.clock.date_time(moment.millis);
            Data::Long(shown.deviation + if shown.status & 0x80 == 0 { 0 } else { 60 })
        }))
        .with(Value::ClockStatus)
        .with(change(3, 2))
        .with(change(10, 3))
        .with(Data::Integer(60))
        .with(Data::Boolean(true))
        .with(Data::Enum(1))
        .with_methods(&[1, 2, 3, 6])
        .for_everyone()
}

fn communication(config: &MeterConfig) -> Vec<Object> {
    match config.framing {
        Framing::Hdlc(hdlc) => vec![
            Object::new(23, 1, Obis::new(0, 0, 22, 0, 0, 255))
                .with(Data::Enum(5))
                .with(Data::Unsigned(hdlc.parameters.window_tx))
                .with(Data::Unsigned(hdlc.parameters.window_rx))
                .with(Data::LongUnsigned(hdlc.parameters.max_info_tx))
                .with(Data::LongUnsigned(hdlc.parameters.max_info_rx))
                .with(Data::LongUnsigned(25))
                .with(Data::LongUnsigned(120))
                .with(Data::LongUnsigned(config.server_address.physical.unwrap_or(0))),
        ],
        Framing::Wrapper => vec![
            Object::new(41, 0, Obis::new(0, 0, 25, 0, 0, 255))
                .with(Data::LongUnsigned(4059))
                .with(name(Obis::new(0, 0, 25, 1, 0, 255)))
                .with(Data::LongUnsigned(1460))
                .with(Data::Unsigned(1))
                .with(Data::LongUnsigned(180)),
            Object::new(42, 0, Obis::new(0, 0, 25, 1, 0, 255))
                .with(name(Obis::new(0, 0, 25, 2, 0, 255)))
                .with(Data::DoubleLongUnsigned(0x7F00_0001))
                .with(Data::Array(Vec::new()))
                .with(Data::Array(Vec::new()))
                .with(Data::DoubleLongUnsigned(0xFF00_0000))
                .with(Data::DoubleLongUnsigned(0))
                .with(Data::Boolean(false))
                .with(Data::DoubleLongUnsigned(0))
                .with(Data::DoubleLongUnsigned(0)),
        ],
    }
}

/// Standard event log: time and code, 50 events.
fn event_log(config: &MeterConfig) -> Object {
    let code: Live = Arc::new(|moment| Data::Unsigned(event_code(moment.millis)));
    let columns =
        vec![time_column(), Column { object: capture(1, Obis::new(0, 0, 96, 11, 0, 255), 2), value: code }];
    let profile = Profile::new(columns, Schedule::Events, config.profile_rows.min(50));
    profile_object(Obis::new(0, 0, 99, 98, 0, 255), profile, Schedule::Events)
}

/// Power down 1, power up 2, clock set 4 and 5, terminal cover removed 40.
fn event_code(millis: i64) -> u8 {
    let codes = [1, 2, 4, 5, 40];
    let number = Seed::new(millis.cast_unsigned() / 3_600_000).number();
    codes[usize::try_from(number % 5).unwrap_or(0)]
}

/// A profile whose rows are sorted by time, oldest first.
fn profile_object(name: Obis, profile: Profile, schedule: Schedule) -> Object {
    let capture_objects = profile.capture_objects();
    let capacity = Data::DoubleLongUnsigned(profile.capacity());
    Object::new(7, 1, name)
        .with(profile)
        .with(capture_objects)
        .with(Data::DoubleLongUnsigned(schedule.capture_period()))
        .with(Data::Enum(1))
        .with(capture(8, CLOCK, 2).to_data())
        .with(capacity.clone())
        .with(capacity)
}

/// The time of the row.
fn time_column() -> Column {
    Column { object: capture(8, CLOCK, 2), value: Arc::new(|moment| moment.clock.octets(moment.millis)) }
}

/// The value that a register had at the time of the row.
fn value_column(class: u16, name: Obis, scale: Scale, signal: &Signal) -> Column {
    let signal = Arc::clone(signal);
    Column {
        object: capture(class, name, 2),
        value: Arc::new(move |moment| scale.data(signal(moment.age()))),
    }
}

fn register(name: Obis, scale: Scale, signal: &Signal) -> Object {
    Object::new(3, 0, name).with(scale.now(signal)).with(scale.scaler_unit())
}

/// An extended register that captured its value `every` seconds, on the second.
fn extended_register(name: Obis, scale: Scale, signal: &Signal, every: u32) -> Object {
    let captured = move |millis: i64| millis.div_euclid(i64::from(every) * 1000) * i64::from(every) * 1000;
    let signal = Arc::clone(signal);
    Object::new(4, 0, name)
        .with(live(move |moment| {
            let then = super::object::Moment { millis: captured(moment.millis), clock: moment.clock };
            scale.data(signal(then.age()))
        }))
        .with(scale.scaler_unit())
        .with(Data::Unsigned(0))
        .with(live(move |moment| moment.clock.octets(captured(moment.millis))))
}

const fn capture(class: u16, name: Obis, attribute: i8) -> CaptureObject {
    CaptureObject::new(ClassId(class), name, attribute)
}

fn text(name: Obis, text: &str) -> Object {
    Object::new(1, 0, name).with(octets(text))
}

fn octets(text: &str) -> Data {
    Data::OctetString(text.as_bytes().to_vec())
}

fn name(obis: Obis) -> Data {
    Data::OctetString(obis.0.to_vec())
}
