//! One visit to a meter: the attributes of all due values in as few requests as possible, then the profiles.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};

use super::clock::{ClockReading, ExchangeTimes};
use super::memory::{MeterMemory, Objects};
use super::meter::attribute;
use crate::bridge::config::document::device::Deviation;
use crate::bridge::config::model::{ClassSource, Device, NameSource, Selection as Configured, Value};
use crate::bridge::config::object::Unit as ConfiguredUnit;
use crate::bridge::reading::compact::{self, compact_reading};
use crate::bridge::reading::meter_time::TimeRules;
use crate::bridge::reading::object::{Answer, ObjectReading, reading};
use crate::bridge::reading::plan::{Extent, Form, ReadingPlan, Selection, plan};
use crate::bridge::reading::profile_rows::{ColumnSource, Rows};
use crate::bridge::reading::scale::{Overrides, UnitOverride, scaler_unit};
use crate::bridge::reading::value::{Confidence, Identity, Reading};
use crate::client::{ClientError, MeterClient, ShortNames};
use crate::cosem::catalogue::ClassId;
use crate::cosem::object_list::Object;
use crate::cosem::scaler_unit::ScalerUnit;
use crate::cosem::unit::Unit;
use crate::error::{Code, Layer, Report};
use crate::wire::acse::Referencing;
use crate::wire::data::Data;
use crate::wire::date_time::DeviationSense;
use crate::wire::obis::Obis;
use crate::wire::xdlms::AttributeRequest;

/// Attributes that are tried of an object of an unknown class.
const MAX_UNKNOWN_ATTRIBUTES: i8 = 32;

/// What a visit found of one value.
#[derive(Debug)]
pub enum Found {
    /// A value.
    Value(Box<Reading>),
    /// Rows of a profile.
    Rows(Result<FoundRows, Report>),
}

impl Found {
    /// Whether there is a value, or rows.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.error().is_none()
    }

    /// Why there is neither.
    #[must_use]
    pub fn error(&self) -> Option<&Report> {
        match self {
            Self::Value(reading) => reading.error.as_ref(),
            Self::Rows(rows) => rows.as_ref().err(),
        }
    }
}

/// Rows of a profile, ready to be published.
#[derive(Debug)]
pub struct FoundRows {
    /// The profile's logical name, where the configuration or the meter's object list tells it.
    pub obis: Option<Obis>,
    /// The rows.
    pub rows: Rows,
    /// Seconds between them.
    pub capture_period: u32,
}

/// What a visit came to: something for each value, and why it ended early if it did.
#[derive(Debug)]
pub struct Visited {
    /// In the order of the values asked for.
    pub found: Vec<Found>,
    /// What broke the visit off; what was not read by then bears this error.
    pub broken: Option<ClientError>,
}

/// What a part of a visit came to.
#[derive(Debug)]
pub struct Part {
    /// The meter's clock, where its time was among what was read.
    pub clock: Option<ClockReading>,
    /// In the order of the values asked for; `None`: left for another part.
    pub found: Vec<Option<Found>>,
    /// What broke the visit off; what was not read by then bears this error.
    pub broken: Option<ClientError>,
}

/// Whether somebody waits for the line. It is asked before each exchange.
pub type MakeWay<'a> = &'a (dyn Fn() -> bool + Sync);

/// Of who has the line to himself.
pub const NEVER: MakeWay<'static> = &|| false;

/// Reads values of one meter.
pub async fn read_values<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut MeterClient<'_, S>,
    memory: &mut MeterMemory,
    device: &Device,
    values: &[&Value],
) -> Visited {
    let Part { found, broken, .. } = read_part(client, memory, device, values, NEVER).await;
    Visited { found: found.into_iter().flatten().collect(), broken }
}

/// Reads values of one meter until somebody waits for the line. At least one value is read in any case, so that a
/// visit comes to its end whoever else wants the line.
pub async fn read_part<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut MeterClient<'_, S>,
    memory: &mut MeterMemory,
    device: &Device,
    values: &[&Value],
    make_way: MakeWay<'_>,
) -> Part {
    let mut part = read_unproven(client, memory, device, values, make_way).await;
    if values.is_empty() || !client.session().answers_are_unnumbered() {
        return part;
    }
    // All that was read stands or falls with the proof at the end.
    if part.broken.is_none() {
        part.broken = client.prove_in_step().await.err();
    }
    if let Some(error) = &part.broken {
        let values: Vec<Value> = values.iter().map(|&value| value.clone()).collect();
        part.found = none_of(&values, &error.report()).into_iter().map(Some).collect();
        part.clock = None;
        memory.forget_what_was_read();
    }
    part
}

/// The same without the proof that a client needs where answers bear no number: [`MeterClient::prove_in_step`].
pub async fn read_unproven<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut MeterClient<'_, S>,
    memory: &mut MeterMemory,
    device: &Device,
    values: &[&Value],
    make_way: MakeWay<'_>,
) -> Part {
    let mut visit = Visit::new(client, memory, device, make_way);
    let found = visit.read(values).await;
    Part { clock: visit.clock, found, broken: visit.broken }
}

/// How the date-times of a device are understood.
#[must_use]
pub fn time_rules(device: &Device) -> TimeRules {
    TimeRules { time_zone: device.time_zone.clone(), deviation: deviation_sense(device.deviation) }
}

const fn deviation_sense(deviation: Deviation) -> DeviationSense {
    match deviation {
        Deviation::Standard => DeviationSense::Standard,
        Deviation::Reversed => DeviationSense::Reversed,
        Deviation::Ignore => DeviationSense::Ignore,
    }
}

/// A visit under way.
pub(super) struct Visit<'v, 'c, S> {
    pub(super) client: &'v mut MeterClient<'c, S>,
    pub(super) memory: &'v mut MeterMemory,
    pub(super) rules: TimeRules,
    confidence: Confidence,
    make_way: MakeWay<'v>,
    /// There was an exchange that brought a value.
    has_read: bool,
    clock: Option<ClockReading>,
    pub(super) broken: Option<ClientError>,
}

/// A value with what is to be read for it.
pub(super) struct Planned<'a> {
    pub(super) value: &'a Value,
    /// As payloads name it.
    pub(super) identity: Identity,
    /// As requests name it.
    pub(super) obis: Obis,
    class: ClassId,
    version: Option<u8>,
    plan: ReadingPlan,
    overrides: Overrides,
}

impl Planned<'_> {
    /// Whether it takes more of the meter than its attributes.
    fn takes_exchanges(&self) -> bool {
        match self.plan.form {
            Form::Rows | Form::CompactBuffer => true,
            Form::Members => self.plan.extent == Extent::Open,
            Form::Single { .. } => false,
        }
    }
}

/// Attributes to read, each once, and their answers.
#[derive(Default)]
struct Attributes {
    index: HashMap<(ClassId, Obis, i8), usize>,
    requests: Vec<AttributeRequest>,
    answers: Vec<Result<Data, Report>>,
    /// How many answers it takes for the first value.
    first: Option<usize>,
}

impl Attributes {
    fn ask(&mut self, class: ClassId, obis: Obis, id: i8) {
        self.index.entry((class, obis, id)).or_insert_with(|| {
            self.requests.push(attribute(class, obis, id));
            self.requests.len() - 1
        });
    }

    fn answer(&self, class: ClassId, obis: Obis, id: i8) -> Option<&Result<Data, Report>> {
        self.answers.get(*self.index.get(&(class, obis, id))?)
    }

    /// What the meter's clock showed, if its time was asked for.
    fn clock(&self, times: &ExchangeTimes) -> Option<ClockReading> {
        let is_time = |request: &AttributeRequest| {
            (request.attribute.class_id, request.attribute.attribute_id) == (ClassId::CLOCK.0, 2)
        };
        let place = self.requests.iter().position(is_time)?;
        let time = self.answers.get(place)?.as_ref().ok()?.date_time()?;
        Some(ClockReading { time, read_at: times.middle(place)? })
    }

    /// Whether everything that was asked of an object has been answered.
    fn are_complete_for(&self, item: &Planned<'_>) -> bool {
        let mut ids = item.plan.attributes.iter().copied().chain(item.plan.scaler_unit);
        ids.all(|id| {
            let asked = self.index.get(&(item.class, item.obis, id));
            asked.is_none_or(|&index| index < self.answers.len())
        })
    }
}

impl<'v, 'c, S: AsyncRead + AsyncWrite + Unpin> Visit<'v, 'c, S> {
    /// Before its first exchange.
    pub(super) fn new(
        client: &'v mut MeterClient<'c, S>,
        memory: &'v mut MeterMemory,
        device: &Device,
        make_way: MakeWay<'v>,
    ) -> Self {
        Self {
            client,
            memory,
            rules: time_rules(device),
            confidence: Confidence::at(Timestamp::now()),
            make_way,
            has_read: false,
            clock: None,
            broken: None,
        }
    }

    async fn read(&mut self, values: &[&Value]) -> Vec<Option<Found>> {
        if values.iter().any(|value| needs_objects(value)) {
            self.read_objects().await;
        }
        let planned: Vec<Result<Planned<'_>, Box<Reading>>> =
            values.iter().map(|value| self.plan(value)).collect();
        let attributes = self.read_attributes(&planned).await;
        let mut found = Vec::with_capacity(planned.len());
        for item in planned {
            found.push(match item {
                Err(refused) => Some(Found::Value(refused)),
                Ok(planned) if planned.takes_exchanges() && self.makes_way() => None,
                Ok(planned) if planned.plan.form == Form::Rows => {
                    let rows = self.rows(&planned).await;
                    self.has_read = true;
                    Some(Found::Rows(rows))
                }
                Ok(planned) if attributes.are_complete_for(&planned) => {
                    let value = self.value(&planned, &attributes).await;
                    self.has_read = true;
                    Some(Found::Value(Box::new(value)))
                }
                Ok(_) => None,
            });
        }
        found
    }

    fn makes_way(&self) -> bool {
        self.has_read && self.broken.is_none() && (self.make_way)()
    }

    pub(super) fn plan<'a>(&self, value: &'a Value) -> Result<Planned<'a>, Box<Reading>> {
        let (obis, class, object) = self
            .locate(value)
            .map_err(|error| Box::new(Reading::bad(identity(value, value.class), error)))?;
        let version = object.map(|object| object.version);
        let mut identity = identity(value, class);
        identity.obis = identity.obis.or(object.map(|object| object.obis));
        let access = object.and_then(|object| object.access.as_ref());
        let selection = match &value.selection {
            Configured::Usual => Selection::Usual,
            Configured::One(id) => Selection::One(*id),
            Configured::Many(ids) => Selection::Many(ids),
            Configured::All => Selection::All,
        };
        let overrides = overrides(value);
        Ok(Planned {
            value,
            identity,
            obis,
            class,
            version,
            plan: plan(class, version, selection, access),
            overrides,
        })
    }

    /// The object of a value: its name for the client, its class, and what the object list says of it.
    fn locate(&self, value: &Value) -> Result<(Obis, ClassId, Option<&Object>), Report> {
        let is_short = self.client.referencing() == Referencing::ShortName;
        let by_short_name = value.short_name.filter(|_| is_short);
        let listed = |class| {
            let objects = self.memory.objects()?;
            match (by_short_name, value.obis) {
                (Some(base), _) => objects.objects.iter().find(|object| object.base_name == Some(base)),
                (None, Some(obis)) => objects.find(obis, class),
                (None, None) => None,
            }
        };
        let obis = match (by_short_name, value.obis) {
            (Some(base), _) => ShortNames::stand_in(base),
            (None, Some(obis)) => obis,
            (None, None) => {
                let message = "short names need a device with logical_name_referencing off";
                return Err(Report::new(Code::InvalidArgument, Layer::Config, message));
            }
        };
        if value.class_source == ClassSource::Configured {
            let object = listed(Some(value.class)).filter(|object| object.class == value.class);
            return Ok((obis, value.class, object));
        }
        match listed(Some(value.class)).or_else(|| listed(None)) {
            // All its rows may be many: that must be meant.
            Some(object) if object.class == ClassId::PROFILE_GENERIC => {
                let message = "the object is a profile_generic, and no class is configured";
                let report = Report::new(Code::ClassMismatch, Layer::Config, message);
                Err(report.with_hint("set class: profile_generic, and which rows to read"))
            }
            Some(object) => Ok((obis, object.class, Some(object))),
            None => Ok((obis, value.class, None)),
        }
    }

    async fn read_attributes(&mut self, planned: &[Result<Planned<'_>, Box<Reading>>]) -> Attributes {
        let mut attributes = Attributes::default();
        for item in planned.iter().flatten().filter(|item| item.plan.form != Form::Rows) {
            for &id in &item.plan.attributes {
                attributes.ask(item.class, item.obis, id);
            }
            let is_known = self.memory.scaler_units.contains_key(&(item.class, item.obis));
            if let Some(id) = item.plan.scaler_unit.filter(|_| !is_known && !item.overrides.are_complete()) {
                attributes.ask(item.class, item.obis, id);
            }
            attributes.first.get_or_insert(attributes.requests.len());
        }
        if self.broken.is_some() {
            attributes.answers.resize(attributes.requests.len(), Err(self.why_broken()));
            return attributes;
        }
        let requests = attributes.requests.clone();
        let (lists, answers) = (&mut self.memory.lists, &mut attributes.answers);
        let (make_way, first) = (self.make_way, attributes.first.unwrap_or_default());
        let mut times = ExchangeTimes::default();
        let go_on = |answers: usize| {
            times.begin(answers);
            answers < first || !make_way()
        };
        if let Err(error) = self.client.read_attributes_while(requests, lists, answers, go_on).await {
            attributes.answers.resize(attributes.requests.len(), Err(error.report()));
            self.broken = Some(error);
        }
        self.clock = attributes.clock(&times);
        for item in planned.iter().flatten() {
            let Some(id) = item.plan.scaler_unit else { continue };
            if let Some(Ok(data)) = attributes.answer(item.class, item.obis, id)
                && let Some(scaler_unit) = ScalerUnit::from_data(data)
            {
                self.memory.scaler_units.insert((item.class, item.obis), scaler_unit);
            }
        }
        attributes
    }

    async fn value(&mut self, item: &Planned<'_>, attributes: &Attributes) -> Reading {
        let mut answers: Vec<Answer> = item
            .plan
            .attributes
            .iter()
            .filter_map(|&id| {
                let data = attributes.answer(item.class, item.obis, id)?.clone();
                Some(Answer { attribute: id, data })
            })
            .collect();
        match item.plan.form {
            Form::CompactBuffer => return self.compact(item, &answers).await,
            Form::Members if item.plan.extent == Extent::Open => self.read_on(item, &mut answers).await,
            _ => {}
        }
        let scaler_unit = match self.memory.scaler_units.get(&(item.class, item.obis)) {
            Some(known) => Ok(Some(*known)),
            None => match item.plan.scaler_unit.and_then(|id| attributes.answer(item.class, item.obis, id)) {
                Some(Err(error)) => Err(error.clone()),
                Some(Ok(data)) => scaler_unit(data).map(Some),
                None => Ok(None),
            },
        };
        reading(&ObjectReading {
            identity: item.identity.clone(),
            version: item.version,
            plan: &item.plan,
            answers: &answers,
            scaler_unit,
            overrides: &item.overrides,
            times: &self.rules,
            confidence: self.confidence,
        })
    }

    /// Reads attributes of an unknown object until the meter refuses one.
    async fn read_on(&mut self, item: &Planned<'_>, answers: &mut Vec<Answer>) {
        if answers.last().is_none_or(|answer| answer.data.is_err()) {
            return;
        }
        for id in 3..=MAX_UNKNOWN_ATTRIBUTES {
            let Some(answer) = self.read_one(attribute(item.class, item.obis, id)).await else { return };
            let Ok(data) = answer else { return };
            answers.push(Answer { attribute: id, data: Ok(data) });
        }
    }

    async fn compact(&mut self, item: &Planned<'_>, answers: &[Answer]) -> Reading {
        let attribute = |id: i8| -> Result<&Data, Report> {
            let answer = answers.iter().find(|answer| answer.attribute == id);
            answer.map_or_else(|| Err(unread()), |answer| answer.data.as_ref().map_err(Clone::clone))
        };
        let decoded = (|| {
            let elements = compact::elements(attribute(2)?, attribute(5)?)?;
            Ok((elements, compact::capture_objects(attribute(3)?)?))
        })();
        let (elements, objects) = match decoded {
            Ok(decoded) => decoded,
            Err(error) => return Reading::bad(item.identity.clone(), error),
        };
        let mut columns = Vec::with_capacity(objects.len());
        for object in objects {
            let scaler_unit = match ColumnSource::scaler_unit_attribute(object) {
                None => Ok(None),
                Some(id) => self.scaler_unit(object.class, object.obis, id).await.map(Some),
            };
            columns.push(ColumnSource { object, scaler_unit });
        }
        let names = item.value.profile.as_ref().map(|profile| profile.columns.clone()).unwrap_or_default();
        compact_reading(item.identity.clone(), &elements, &columns, &names, &self.rules, self.confidence)
    }

    async fn scaler_unit(&mut self, class: ClassId, obis: Obis, id: i8) -> Result<ScalerUnit, Report> {
        if let Some(known) = self.memory.scaler_units.get(&(class, obis)) {
            return Ok(*known);
        }
        let data =
            self.read_one(attribute(class, obis, id)).await.unwrap_or_else(|| Err(self.why_broken()))?;
        let scaler_unit = scaler_unit(&data)?;
        self.memory.scaler_units.insert((class, obis), scaler_unit);
        Ok(scaler_unit)
    }

    async fn read_objects(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let read = match std::mem::take(&mut self.memory.objects) {
            Objects::Unread => {
                self.client.object_list().await.map(|objects| objects.map_or(Objects::Denied, Objects::Known))
            }
            Objects::Named(mut objects) => {
                let added = self.client.add_access_rights(&mut objects).await;
                added.map(|()| Objects::Known(objects))
            }
            known => Ok(known),
        };
        match read {
            Ok(objects) => self.memory.objects = objects,
            Err(error) => self.broken = Some(error),
        }
    }

    /// One attribute; `None` where the visit is, or thereby gets, broken.
    async fn read_one(&mut self, request: AttributeRequest) -> Option<Result<Data, Report>> {
        if self.broken.is_some() {
            return None;
        }
        match self.client.read_one(request).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.broken = Some(error);
                None
            }
        }
    }

    pub(super) fn why_broken(&self) -> Report {
        self.broken.as_ref().map_or_else(unread, ClientError::report)
    }
}

/// Whether it takes the object list to know what to read.
fn needs_objects(value: &Value) -> bool {
    match value.selection {
        Configured::All => true,
        Configured::Usual => !matches!(
            value.class,
            ClassId::DATA
                | ClassId::REGISTER
                | ClassId::EXTENDED_REGISTER
                | ClassId::DEMAND_REGISTER
                | ClassId::PROFILE_GENERIC
                | ClassId::CLOCK
                | ClassId::COMPACT_DATA
        ),
        Configured::One(_) | Configured::Many(_) => false,
    }
}

/// What is said of values that were not read at all.
#[must_use]
pub fn none_of(values: &[Value], why: &Report) -> Vec<Found> {
    let found = |value: &Value| {
        if value.is_profile() {
            Found::Rows(Err(why.clone()))
        } else {
            Found::Value(Box::new(Reading::bad(identity(value, value.class), why.clone())))
        }
    };
    values.iter().map(found).collect()
}

/// How a value is named in payloads; `class` is the one it turned out to be of.
#[must_use]
pub fn identity(value: &Value, class: ClassId) -> Identity {
    let name = (value.name_source == NameSource::Configured).then(|| value.name.to_string());
    Identity { name, obis: value.obis, short_name: value.short_name, class }
}

fn overrides(value: &Value) -> Overrides {
    Overrides {
        scaler: value.scaler,
        unit: value.unit.as_ref().map(|unit| match unit {
            ConfiguredUnit::Text(text) => UnitOverride::Text(text.clone()),
            ConfiguredUnit::Code(code) => UnitOverride::Code(Unit(*code)),
        }),
    }
}

fn unread() -> Report {
    Report::new(Code::Internal, Layer::Internal, "an attribute was not read")
}
