//! What a server sends unasked: data-notification, event-notification and InformationReport.

use super::sn::VariableAccess;
use super::{
    AttributeDescriptor, LongInvokeIdAndPriority, expect_tag, list, long_date_time, put_list,
    put_long_date_time, tag,
};
use crate::wire::cursor::{Reader, put_octets};
use crate::wire::data::Data;
use crate::wire::date_time::DateTime;
use crate::wire::error::{WireError, WireErrorKind};

/// Bytes of an encoded date-time, which is also what its octet-string announces.
const DATE_TIME_LENGTH: u8 = 12;
/// Tag of an octet-string in Data.
const OCTET_STRING: u8 = 0x09;

/// data-notification: a push.
#[derive(Clone, Debug, PartialEq)]
pub struct DataNotification<'a> {
    /// Pairs the confirmation, if one is awaited; often a counter or 0.
    pub invoke: LongInvokeIdAndPriority,
    /// When it was made.
    pub date_time: Option<DateTime>,
    /// What is notified.
    pub body: NotificationBody<'a>,
}

/// The body of a push.
#[derive(Clone, Debug, PartialEq)]
pub enum NotificationBody<'a> {
    /// A value.
    Data(Data),
    /// Bytes that are no valid A-XDR: meters are known that push their own encoding.
    Raw {
        /// The body as received.
        bytes: &'a [u8],
        /// Why it is no value; the offset counts from the start of the body.
        error: WireError,
    },
}

impl<'a> DataNotification<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::DATA_NOTIFICATION);
        put_long_date_time(out, self.invoke, self.date_time.as_ref());
        match &self.body {
            NotificationBody::Data(data) => data.encode(out),
            NotificationBody::Raw { bytes, .. } => out.extend_from_slice(bytes),
        }
    }

    /// Reads an APDU. The date-time may carry the tag of an octet-string in front of its length.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `Length`, `Invalid` for the date-time. The body never fails.
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::DATA_NOTIFICATION)?;
        let (invoke, date_time) = long_date_time(&mut reader)?;
        let bytes = reader.rest();
        let body = match Data::from_bytes(bytes) {
            Ok(data) => NotificationBody::Data(data),
            Err(error) => NotificationBody::Raw { bytes, error },
        };
        Ok(Self { invoke, date_time, body })
    }
}

/// data-notification-confirm. Its layout is taken from the standard alone: no other implementation is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataNotificationConfirm {
    /// As in the notification.
    pub invoke: LongInvokeIdAndPriority,
    /// When it was made.
    pub date_time: Option<DateTime>,
}

impl DataNotificationConfirm {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::DATA_NOTIFICATION_CONFIRM);
        put_long_date_time(out, self.invoke, self.date_time.as_ref());
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `Length`, `TrailingBytes`, `Invalid` for the date-time.
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::DATA_NOTIFICATION_CONFIRM)?;
        let (invoke, date_time) = long_date_time(&mut reader)?;
        reader.finish()?;
        Ok(Self { invoke, date_time })
    }
}

/// event-notification-request (LN): one attribute. The client never answers.
#[derive(Clone, Debug, PartialEq)]
pub struct EventNotification {
    /// When it happened.
    pub time: Option<DateTime>,
    /// Of which attribute.
    pub attribute: AttributeDescriptor,
    /// Its value.
    pub value: Data,
}

impl EventNotification {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::EVENT_NOTIFICATION);
        match &self.time {
            None => out.push(0),
            Some(time) => {
                out.extend_from_slice(&[1, DATE_TIME_LENGTH]);
                time.encode(out);
            }
        }
        self.attribute.encode(out);
        self.value.encode(out);
    }

    /// Reads an APDU. The time may stand with or without its length.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `TrailingBytes`, and as [`Data::decode`].
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::EVENT_NOTIFICATION)?;
        let reader = &mut reader;
        let time = if reader.is_present()? {
            // As the high byte of a year the length would mean the year 3072.
            if reader.peek() == Some(DATE_TIME_LENGTH) {
                reader.u8()?;
            }
            Some(DateTime::decode(reader)?)
        } else {
            None
        };
        let attribute = AttributeDescriptor::decode(reader)?;
        let value = Data::decode(reader)?;
        reader.finish()?;
        Ok(Self { time, attribute, value })
    }
}

/// informationReportRequest (SN): variables and their values.
#[derive(Clone, Debug, PartialEq)]
pub struct InformationReport<'a> {
    /// When it was made: a GeneralizedTime as text.
    pub time: Option<&'a [u8]>,
    /// Which variables.
    pub variables: Vec<VariableAccess<'a>>,
    /// Their values, in the same order.
    pub values: Vec<Data>,
}

impl<'a> InformationReport<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::INFORMATION_REPORT);
        match self.time {
            None => out.push(0),
            Some(time) => {
                out.push(1);
                put_octets(out, time);
            }
        }
        put_list(out, self.variables.iter(), |out, variable| variable.encode(out));
        put_list(out, self.values.iter(), |out, value| value.encode(out));
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`, and as [`Data::decode`].
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::INFORMATION_REPORT)?;
        let reader = &mut reader;
        let time = if reader.is_present()? { Some(reader.octets()?) } else { None };
        let variables = list(reader, VariableAccess::decode)?;
        let values = list(reader, Data::decode)?;
        reader.finish()?;
        Ok(Self { time, variables, values })
    }
}

/// Reads the octet-string that holds a date-time: `00`, `0C` and twelve bytes, or the same behind `09`.
pub(super) fn date_time(reader: &mut Reader<'_>) -> Result<Option<DateTime>, WireError> {
    let start = reader.position();
    if reader.rest().starts_with(&[OCTET_STRING, DATE_TIME_LENGTH]) {
        reader.u8()?;
    }
    match reader.u8()? {
        0 => Ok(None),
        DATE_TIME_LENGTH => DateTime::decode(reader).map(Some),
        _ => Err(WireErrorKind::Invalid("date-time").at(start)),
    }
}

/// Appends the octet-string that holds a date-time.
pub(super) fn put_date_time(out: &mut Vec<u8>, date_time: Option<&DateTime>) {
    match date_time {
        None => out.push(0),
        Some(date_time) => {
            out.push(DATE_TIME_LENGTH);
            date_time.encode(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::date_time::{Date, Time};
    use crate::wire::obis::Obis;

    const TIME: [u8; 12] = [0x07, 0xE8, 1, 0x1F, 3, 0x0C, 0x1E, 0x2D, 0, 0xFF, 0xC4, 0];
    const AT: DateTime = DateTime {
        date: Date { year: 2024, month: 1, day: 31, weekday: 3 },
        time: Time { hour: 12, minute: 30, second: 45, hundredths: 0 },
        deviation: -60,
        status: 0,
    };

    #[test]
    fn data_notification_both_ways() {
        let head = [0x0F, 0x40, 0, 0, 7];
        let body = [0x12, 0, 5];
        let notification = |date_time| DataNotification {
            invoke: LongInvokeIdAndPriority(0x4000_0007),
            date_time,
            body: NotificationBody::Data(Data::LongUnsigned(5)),
        };
        for (date_time, middle) in [(None, vec![0]), (Some(AT), [&[12][..], &TIME].concat())] {
            let bytes = [&head[..], &middle, &body].concat();
            let mut out = Vec::new();
            notification(date_time).encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(DataNotification::decode(&bytes), Ok(notification(date_time)));
        }
        let tagged = [&head[..], &[9, 12], &TIME, &body].concat();
        assert_eq!(DataNotification::decode(&tagged), Ok(notification(Some(AT))));
        let odd = [&head[..], &[5, 1, 2, 3, 4, 5], &body].concat();
        assert_eq!(DataNotification::decode(&odd), Err(WireErrorKind::Invalid("date-time").at(5)));
    }

    #[test]
    fn a_body_that_is_no_value_is_kept() {
        let bytes = [0x0F, 0, 0, 0, 1, 0, 2, 2, 0, 1, 0, 0];
        let notification = DataNotification::decode(&bytes).unwrap();
        let error = WireErrorKind::TrailingBytes.at(5);
        assert_eq!(notification.body, NotificationBody::Raw { bytes: &bytes[6..], error });
        let mut out = Vec::new();
        notification.encode(&mut out);
        assert_eq!(out, bytes);
    }

    #[test]
    fn confirmation_both_ways() {
        let bytes = [0x10, 0x40, 0, 0, 7, 0];
        let confirm =
            DataNotificationConfirm { invoke: LongInvokeIdAndPriority(0x4000_0007), date_time: None };
        let mut out = Vec::new();
        confirm.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(DataNotificationConfirm::decode(&bytes), Ok(confirm));
    }

    #[test]
    fn event_notification_both_ways() {
        let tail = [0, 1, 0, 0, 97, 98, 20, 255, 2, 0x11, 4];
        let event = |time| EventNotification {
            time,
            attribute: AttributeDescriptor {
                class_id: 1,
                instance_id: Obis::new(0, 0, 97, 98, 20, 255),
                attribute_id: 2,
            },
            value: Data::Unsigned(4),
        };
        for (time, head) in [(None, vec![0xC2, 0]), (Some(AT), [&[0xC2, 1, 12][..], &TIME].concat())] {
            let bytes = [&head[..], &tail].concat();
            let mut out = Vec::new();
            event(time).encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(EventNotification::decode(&bytes), Ok(event(time)));
        }
        let without_length = [&[0xC2, 1][..], &TIME, &tail].concat();
        assert_eq!(EventNotification::decode(&without_length), Ok(event(Some(AT))));
    }

    #[test]
    fn information_report_both_ways() {
        for (time, head) in
            [(None, &[0x18, 0][..]), (Some(&b"20240131"[..]), &[0x18, 1, 8, 50, 48, 50, 52, 48, 49, 51, 49])]
        {
            let bytes = [head, &[1, 2, 0x2A, 0xA0, 1, 0x11, 7]].concat();
            let variables = vec![VariableAccess::Name(0x2AA0)];
            let report = InformationReport { time, variables, values: vec![Data::Unsigned(7)] };
            let mut out = Vec::new();
            report.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(InformationReport::decode(&bytes), Ok(report));
        }
    }
}
