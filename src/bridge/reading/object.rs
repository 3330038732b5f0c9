//! From what a meter answered for one object to the value that is published.

use std::borrow::Cow;

use indexmap::IndexMap;

use super::json::Json;
use super::meter_time::{Certainty, MeterTime, TimeRules};
use super::plan::{Form, ReadingPlan};
use super::render::{NotFinite, Rendered, nested, render};
use super::scale::{Overrides, Scale, scaler_unit, without_scaler};
use super::value::{Confidence, Identity, Quality, Reading};
use crate::cosem::catalogue::ClassId;
use crate::cosem::catalogue::shape::Shape;
use crate::cosem::catalogue::wrong_type::WrongType;
use crate::cosem::decimal::Decimal;
use crate::cosem::profile::date_time;
use crate::cosem::scaler_unit::ScalerUnit;
use crate::error::{Code, Layer, Report};
use crate::wire::data::Data;
use crate::wire::date_time::DateTime;

/// What the meter answered for one attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The attribute.
    pub attribute: i8,
    /// Its value, or why there is none.
    pub data: Result<Data, Report>,
}

/// All that is known about one read object.
#[derive(Clone, Debug)]
pub struct ObjectReading<'a> {
    /// Which object.
    pub identity: Identity,
    /// Version of its class, where the object list tells.
    pub version: Option<u8>,
    /// What was to be read.
    pub plan: &'a ReadingPlan,
    /// What was answered, in any order.
    pub answers: &'a [Answer],
    /// The scaler_unit of the object as read now or before. `Ok(None)`: it has none, or it is among the answers.
    pub scaler_unit: Result<Option<ScalerUnit>, Report>,
    /// What the configuration gives in its place.
    pub overrides: &'a Overrides,
    /// How its date-times are to be understood.
    pub times: &'a TimeRules,
    /// Whether its circumstances put it in doubt.
    pub confidence: Confidence,
}

/// Makes the published value of what was read.
///
/// Of a profile there is no such value: its rows are a payload of their own, and so [`Form::Rows`] is an error here.
#[must_use]
pub fn reading(object: &ObjectReading<'_>) -> Reading {
    match object.plan.form {
        Form::Single { value, status, capture_time } => single(object, value, status, capture_time),
        Form::Members => members(object),
        Form::CompactBuffer | Form::Rows => Reading::bad(
            object.identity.clone(),
            Report::new(Code::Internal, Layer::Internal, "a buffer was taken for a single value"),
        ),
    }
}

impl Reading {
    fn set_unit(&mut self, scale: &Scale) {
        self.unit.clone_from(&scale.unit);
        self.unit_code = scale.unit_code;
        self.scaler = scale.scaler;
    }

    /// Takes a time of the meter; one that cannot be, as 30 February, shows that its clock is not to be relied on.
    fn set_meter_time(&mut self, time: Option<DateTime>, times: &TimeRules) {
        if time.is_some_and(|time| !time.is_valid()) {
            self.quality = self.quality.max(Quality::Uncertain);
        }
        self.set_time(time.and_then(|time| times.meter_time(&time)));
    }

    fn set_time(&mut self, time: Option<MeterTime>) {
        if let Some(time) = time {
            if time.certainty == Certainty::Uncertain {
                self.quality = self.quality.max(Quality::Uncertain);
            }
            self.meter_ts = Some(time.text);
        }
    }
}

fn single(object: &ObjectReading<'_>, value: i8, status: Option<i8>, capture_time: Option<i8>) -> Reading {
    let class = object.identity.class;
    let version = object.version;
    let mut reading = Reading {
        attribute: Some(value),
        quality: Quality::of(object.confidence),
        ..Reading::empty(object.identity.clone())
    };
    let data = match answer(object.answers, value) {
        Ok(data) => data,
        Err(error) => return Reading { error: Some(error), quality: Quality::Bad, ..reading },
    };
    reading.data_type = Some(data.type_name());
    let shape = shape_of(class, version, value, data);
    let raw = Decimal::from_data(data).filter(|_| !matches!(data, Data::Enum(_)));
    reading.raw = raw.map(Json::Number);
    if let Err(error) = of_its_type(class, version, value, data) {
        return Reading { error: Some(error), quality: Quality::Bad, ..reading };
    }
    let scale = match scale(object, matches!(shape, Shape::Scaled)) {
        Ok(scale) => scale,
        // Without its scaler a number would be wrong; what is no number needs none.
        Err(error) if raw.is_some() => {
            return Reading { error: Some(error), quality: Quality::Bad, ..reading };
        }
        Err(_) => Scale::NONE,
    };
    reading.set_unit(&scale);
    let rendered = match render(data, &shape, scale.scaler.unwrap_or(0), object.times) {
        Ok(rendered) => rendered,
        Err(error) => return Reading { error: Some(not_finite(error)), quality: Quality::Bad, ..reading },
    };
    let Rendered { value: json, text, date_time: hidden, fields, time } = rendered;
    if let Json::Number(number) = &json {
        reading.value_str = number.exceeds_double().then(|| number.to_string());
    }
    (reading.value, reading.text, reading.date_time, reading.fields) = (json, text, hidden, fields);
    if carries_time(class, value) {
        reading.set_meter_time(time, object.times);
    }
    if let Some(id) = status {
        reading.status = Some(companion(object, id, &mut reading.errors));
    }
    if let Some(id) = capture_time {
        match typed_answer(object, id) {
            Ok(data) => {
                reading.set_meter_time(date_time(data), object.times);
            }
            Err(error) => {
                reading.errors.insert(class.attribute_name(version, id), error);
            }
        }
    }
    reading
}

/// An attribute published beside the value: null, with its error, where it could not be read.
fn companion(object: &ObjectReading<'_>, id: i8, errors: &mut IndexMap<String, Report>) -> Json {
    match typed_answer(object, id) {
        Ok(data) => nested(data, &shape_of(object.identity.class, object.version, id, data), object.times),
        Err(error) => {
            errors.insert(object.identity.class.attribute_name(object.version, id), error);
            Json::Null
        }
    }
}

fn members(object: &ObjectReading<'_>) -> Reading {
    let class = object.identity.class;
    let version = object.version;
    let mut reading =
        Reading { quality: Quality::of(object.confidence), ..Reading::empty(object.identity.clone()) };
    reading.attributes = object.answers.iter().map(|answer| answer.attribute).collect();
    let needs_scale = object.plan.scaler_unit.is_some();
    let scale = scale(object, needs_scale);
    if let Ok(scale) = &scale {
        reading.set_unit(scale);
    }
    let mut object_members: Vec<(Cow<'static, str>, Json)> = Vec::with_capacity(object.answers.len());
    for Answer { attribute: id, data } in object.answers {
        let name = class.attribute_name(version, *id);
        let rendered = data.as_ref().map_err(Clone::clone).and_then(|data| {
            of_its_type(class, version, *id, data)?;
            let shape = shape_of(class, version, *id, data);
            let scaler = match (&shape, &scale) {
                (Shape::Scaled, Ok(scale)) => scale.scaler.unwrap_or(0),
                (Shape::Scaled, Err(error)) if Decimal::from_data(data).is_some() => {
                    return Err(error.clone());
                }
                _ => 0,
            };
            let rendered = render(data, &shape, scaler, object.times).map_err(not_finite)?;
            if carries_time(class, *id) {
                reading.set_meter_time(rendered.time, object.times);
            }
            Ok(rendered)
        });
        match rendered {
            Ok(rendered) => {
                let beside = [("text", rendered.text), ("date_time", rendered.date_time)];
                object_members.push((name.clone().into(), rendered.value));
                for (suffix, text) in beside {
                    if let Some(text) = text {
                        object_members.push((format!("{name}_{suffix}").into(), Json::Text(text)));
                    }
                }
            }
            Err(error) => {
                object_members.push((name.clone().into(), Json::Null));
                reading.errors.insert(name, error);
            }
        }
    }
    // Of an object of which nothing could be read, nothing is known.
    if !object.answers.is_empty() && reading.errors.len() == object.answers.len() {
        reading.error = reading.errors.values().next().cloned();
        reading.quality = Quality::Bad;
    } else {
        reading.value = Json::Object(object_members);
    }
    reading
}

fn shape_of(class: ClassId, version: Option<u8>, id: i8, data: &Data) -> Shape {
    class.attribute(version, id, Some(data)).map_or(Shape::Any, |attribute| attribute.shape)
}

/// Attributes that are the object's own time.
const fn carries_time(class: ClassId, id: i8) -> bool {
    matches!(
        (class, id),
        (ClassId::CLOCK, 2) | (ClassId::EXTENDED_REGISTER, 5) | (ClassId::DEMAND_REGISTER, 6)
    )
}

/// The scale for numbers of the object: the meter's where they have one, and what the configuration gives.
fn scale(object: &ObjectReading<'_>, is_scaled: bool) -> Result<Scale, Report> {
    if !is_scaled || object.overrides.are_complete() {
        return Ok(Scale::new(None, object.overrides));
    }
    let read_now = || {
        let id = object.identity.class.scaler_unit_attribute()?;
        let answer = object.answers.iter().find(|answer| answer.attribute == id)?;
        Some(answer.data.clone())
    };
    let meter = match (&object.scaler_unit, read_now()) {
        (Ok(Some(scaler_unit)), _) => Ok(Some(*scaler_unit)),
        (_, Some(Ok(data))) => scaler_unit(&data).map(Some),
        (Ok(None), None) => Ok(None),
        (_, Some(Err(error))) => Err(error),
        (Err(error), None) => Err(error.clone()),
    };
    match meter {
        Ok(meter) => Ok(Scale::new(meter, object.overrides)),
        // A scaler that the configuration gives is enough for the number to be right.
        Err(_) if object.overrides.scaler.is_some() => Ok(Scale::new(None, object.overrides)),
        Err(error) => Err(without_scaler(&error)),
    }
}

fn answer(answers: &[Answer], id: i8) -> Result<&Data, Report> {
    match answers.iter().find(|answer| answer.attribute == id) {
        Some(answer) => answer.data.as_ref().map_err(Clone::clone),
        None => Err(Report::new(Code::Internal, Layer::Internal, format!("attribute {id} was not read"))),
    }
}

/// The answer for one attribute, where it is of a type that the attribute can have.
fn typed_answer<'a>(object: &ObjectReading<'a>, id: i8) -> Result<&'a Data, Report> {
    let data = answer(object.answers, id)?;
    of_its_type(object.identity.class, object.version, id, data)?;
    Ok(data)
}

fn of_its_type(class: ClassId, version: Option<u8>, id: i8, data: &Data) -> Result<(), Report> {
    WrongType::of(class, version, id, data).map_or(Ok(()), |wrong| Err(wrong.report()))
}

fn not_finite(error: NotFinite) -> Report {
    Report::new(Code::Decode, Layer::Decode, error.to_string())
        .with_hint("the meter has no number for this at the moment; its answer itself was understood")
}

#[cfg(test)]
mod tests;
