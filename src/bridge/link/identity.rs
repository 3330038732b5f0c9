//! Who answers: what a meter tells of itself, held against what is expected of it.

use super::clock::{ClockReading, ExchangeTimes};
use super::failure::Failure;
use super::memory::MeterIdentity;
use super::meter::attribute;
use crate::bridge::config::model::Identity as ExpectedIdentity;
use crate::cosem::catalogue::ClassId;
use crate::error::{Code, Layer, Report};
use crate::wire::data::Data;
use crate::wire::obis::Obis;
use crate::wire::xdlms::AttributeRequest;

const LOGICAL_DEVICE_NAME: Obis = Obis::new(0, 0, 42, 0, 0, 255);
const DEVICE_ID: Obis = Obis::new(0, 0, 96, 1, 0, 255);
const ELECTRICITY_ID: Obis = Obis::new(1, 0, 0, 0, 0, 255);
const CLOCK: Obis = Obis::new(0, 0, 1, 0, 0, 255);

/// The place of the clock among the requests.
const CLOCK_REQUEST: usize = 3;

/// A text, `None` where the meter does not tell it, an error where it could not tell just now.
type Answer = Result<Option<String>, Report>;

/// What a meter told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    name: Answer,
    /// Device ID 1, and the electricity meter's own.
    serials: [Answer; 2],
    /// Its clock.
    pub clock: Option<ClockReading>,
}

impl Told {
    /// What to read.
    #[must_use]
    pub fn requests() -> Vec<AttributeRequest> {
        vec![
            attribute(ClassId::DATA, LOGICAL_DEVICE_NAME, 2),
            attribute(ClassId::DATA, DEVICE_ID, 2),
            attribute(ClassId::DATA, ELECTRICITY_ID, 2),
            attribute(ClassId::CLOCK, CLOCK, 2),
        ]
    }

    /// What the answers to [`Self::requests`] say, and when they came.
    #[must_use]
    pub fn new(answers: Vec<Result<Data, Report>>, times: &ExchangeTimes) -> Self {
        let mut answers = answers.into_iter();
        let told = |answer: Option<Result<Data, Report>>| match answer {
            Some(Ok(data)) => Ok(text(&data)),
            Some(Err(error)) if is_passing(&error) => Err(error),
            _ => Ok(None),
        };
        let name = told(answers.next());
        let serials = [told(answers.next()), told(answers.next())];
        let time = answers.next().and_then(Result::ok).as_ref().and_then(Data::date_time);
        let clock = time.zip(times.middle(CLOCK_REQUEST));
        let clock = clock.map(|(time, read_at)| ClockReading { time, read_at });
        Self { name, serials, clock }
    }

    /// Whether it is the meter that is expected. A meter that tells nothing is taken as it is.
    ///
    /// # Errors
    /// `WRONG_METER`, or why the meter could not tell just now.
    pub fn check(&self, expected: &ExpectedIdentity) -> Result<(), Failure> {
        if let Some(name) = &expected.logical_device_name {
            check("logical device name", name, std::slice::from_ref(&self.name))?;
        }
        match &expected.serial {
            Some(serial) => check("serial number", serial, &self.serials),
            None => Ok(()),
        }
    }

    /// Whether it is the meter that is expected, as far as it tells.
    #[must_use]
    pub fn compare(&self, expected: &ExpectedIdentity) -> Recognition {
        let name = std::slice::from_ref(&self.name);
        compare(expected.logical_device_name.as_deref(), name)
            .and(compare(expected.serial.as_deref(), &self.serials))
    }

    /// What it told, in words.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let told = |answer: &Answer| answer.as_ref().ok().cloned().flatten();
        let name = told(&self.name).map(|name| format!("logical device name {name}"));
        let serials = self.serials.iter().filter_map(told).map(|serial| format!("serial number {serial}"));
        name.into_iter().chain(serials).collect()
    }

    /// Its names.
    #[must_use]
    pub fn identity(&self, expected: &ExpectedIdentity) -> MeterIdentity {
        let told = |answer: &Answer| answer.as_ref().ok().cloned().flatten();
        MeterIdentity {
            logical_device_name: told(&self.name),
            serial: expected.serial.clone().or_else(|| self.serials.iter().find_map(told)),
        }
    }
}

/// Whether a meter is an expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// It is.
    Same,
    /// It is another.
    Other,
    /// It does not tell, or nothing is expected.
    Unknown,
}

impl Recognition {
    /// By one trait and another: all that is told must be as expected.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Other, _) | (_, Self::Other) => Self::Other,
            (Self::Same, _) | (_, Self::Same) => Self::Same,
            (Self::Unknown, Self::Unknown) => Self::Unknown,
        }
    }
}

fn compare(expected: Option<&str>, answers: &[Answer]) -> Recognition {
    let Some(expected) = expected else { return Recognition::Unknown };
    let told: Vec<&str> = answers.iter().filter_map(|answer| answer.as_ref().ok()?.as_deref()).collect();
    if told.contains(&expected) {
        Recognition::Same
    } else if told.is_empty() || answers.iter().any(Result::is_err) {
        Recognition::Unknown
    } else {
        Recognition::Other
    }
}

fn check(what: &str, expected: &str, answers: &[Answer]) -> Result<(), Failure> {
    let mut told = answers.iter().filter_map(|answer| answer.as_ref().ok()?.as_deref()).peekable();
    let first = told.peek().copied();
    if told.any(|found| found == expected) {
        return Ok(());
    }
    // What could not be read just now may be what is expected.
    if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
        return Err(Failure::of_meter(error.clone()));
    }
    match first {
        Some(found) => {
            let message = format!("the {what} is {found}, not {expected}");
            Err(Failure::of_meter(Report::new(Code::WrongMeter, Layer::Acse, message)))
        }
        None => {
            tracing::warn!("the meter does not tell its {what}: it is not checked");
            Ok(())
        }
    }
}

/// Whether a refusal passes, and so says nothing of what the meter has or tells.
const fn is_passing(error: &Report) -> bool {
    matches!(error.code, Code::TemporaryFailure | Code::MeterFault)
}

/// A text, or a number as text.
fn text(data: &Data) -> Option<String> {
    match data {
        Data::OctetString(bytes) | Data::VisibleString(bytes) | Data::Utf8String(bytes) => {
            let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
            let text = std::str::from_utf8(bytes).ok()?.trim();
            let is_text = !text.is_empty() && text.chars().all(|c| !c.is_control());
            is_text.then(|| text.to_owned())
        }
        Data::DoubleLongUnsigned(number) => Some(number.to_string()),
        Data::Long64Unsigned(number) => Some(number.to_string()),
        Data::LongUnsigned(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(text: &str) -> Result<Data, Report> {
        Ok(Data::OctetString(text.into()))
    }

    fn what_told(answers: Vec<Result<Data, Report>>) -> Told {
        Told::new(answers, &ExchangeTimes::default())
    }

    fn refused(code: Code) -> Result<Data, Report> {
        Err(Report::new(code, Layer::Get, "no"))
    }

    fn expecting(serial: Option<&str>, name: Option<&str>) -> ExpectedIdentity {
        ExpectedIdentity { serial: serial.map(str::to_owned), logical_device_name: name.map(str::to_owned) }
    }

    fn checked(answers: [Result<Data, Report>; 3], expected: &ExpectedIdentity) -> Option<Code> {
        what_told(answers.into()).check(expected).err().map(|failure| failure.report.code)
    }

    #[test]
    fn any_of_the_serial_numbers_will_do() {
        let answers = || [octets("LGZ1"), octets("77"), Ok(Data::DoubleLongUnsigned(88))];
        for (serial, verdict) in [("77", None), ("88", None), ("99", Some(Code::WrongMeter))] {
            assert_eq!(checked(answers(), &expecting(Some(serial), None)), verdict, "{serial}");
        }
        assert_eq!(checked(answers(), &expecting(None, Some("LGZ1"))), None);
        assert_eq!(checked(answers(), &expecting(None, Some("LGZ2"))), Some(Code::WrongMeter));
        assert_eq!(
            what_told(answers().into()).identity(&expecting(None, None)).serial.as_deref(),
            Some("77")
        );
    }

    #[test]
    fn callers_are_recognised_by_all_that_they_tell() {
        let told = what_told(vec![octets("LGZ1"), octets("77"), refused(Code::ObjectUndefined)]);
        let recognised = |serial, name| told.compare(&expecting(serial, name));
        assert_eq!(recognised(Some("77"), None), Recognition::Same);
        assert_eq!(recognised(Some("77"), Some("LGZ1")), Recognition::Same);
        assert_eq!(recognised(Some("77"), Some("LGZ2")), Recognition::Other);
        assert_eq!(recognised(Some("78"), Some("LGZ1")), Recognition::Other);
        assert_eq!(recognised(None, None), Recognition::Unknown);
        let mute =
            what_told(vec![refused(Code::AccessDenied), octets("77"), refused(Code::TemporaryFailure)]);
        assert_eq!(mute.compare(&expecting(None, Some("LGZ1"))), Recognition::Unknown);
        assert_eq!(
            mute.compare(&expecting(Some("78"), None)),
            Recognition::Unknown,
            "it may be the other one"
        );
        assert_eq!(told.words(), ["logical device name LGZ1", "serial number 77"]);
    }

    #[test]
    fn who_does_not_tell_is_taken_as_he_is_and_who_is_busy_is_not() {
        let expected = expecting(Some("77"), None);
        let silent = || refused(Code::ObjectUndefined);
        let busy = || refused(Code::TemporaryFailure);
        assert_eq!(checked([silent(), silent(), silent()], &expected), None);
        assert_eq!(checked([silent(), octets("77"), busy()], &expected), None);
        assert_eq!(checked([silent(), octets("66"), busy()], &expected), Some(Code::TemporaryFailure));
        assert_eq!(checked([silent(), busy(), silent()], &expected), Some(Code::TemporaryFailure));
        assert_eq!(checked([busy(), busy(), busy()], &expecting(None, None)), None, "nothing is expected");
    }

    #[test]
    fn texts_are_trimmed_and_octets_that_are_none_are_no_text() {
        assert_eq!(text(&Data::OctetString(b" 123\0".to_vec())).as_deref(), Some("123"));
        assert_eq!(text(&Data::OctetString(vec![1, 2, 3])), None);
        assert_eq!(text(&Data::OctetString(vec![0xFF, 0xFE])), None);
        assert_eq!(text(&Data::LongUnsigned(7)).as_deref(), Some("7"));
        assert_eq!(text(&Data::Null), None);
    }
}
