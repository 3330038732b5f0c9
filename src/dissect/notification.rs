//! What a server sends unasked: data-notification and event-notification.

use super::data;
use super::node::Node;
use super::subject::attribute;
use super::walker::{Step, Walker};
use crate::cosem::catalogue::shape::Shape;
use crate::wire::cursor::Reader;
use crate::wire::date_time::DateTime;
use crate::wire::error::WireErrorKind;
use crate::wire::xdlms::LongInvokeIdAndPriority;

/// Octets of a date-time.
const DATE_TIME_LENGTH: u8 = 12;
/// Tag of an octet-string in Data.
const OCTET_STRING: u8 = 0x09;

/// Reads what follows the tag of a data-notification.
pub(super) fn data_notification(walker: &mut Walker<'_>) -> Step {
    long_header(walker)?;
    data::data(walker, "notification-body", Shape::Any)
}

/// Reads what follows the tag of an event-notification-request.
pub(super) fn event_notification(walker: &mut Walker<'_>) -> Step {
    if walker.flag("time present")? {
        // As the high byte of a year the length would mean the year 3072.
        let read = |reader: &mut Reader<'_>| {
            if reader.peek() == Some(DATE_TIME_LENGTH) {
                reader.u8()?;
            }
            DateTime::decode(reader)
        };
        walker.field("time", read, |node: Node, time: &DateTime| node.with_value(time.to_string()))?;
    }
    let (_, subject) = attribute(walker)?;
    data::data(walker, "attribute-value", subject.shape)
}

/// long-invoke-id-and-priority and date-time.
pub(super) fn long_header(walker: &mut Walker<'_>) -> Step {
    let show = |node: Node, &word: &u32| {
        let invoke = LongInvokeIdAndPriority(word);
        let class = if invoke.confirmed() { "confirmed" } else { "unconfirmed" };
        let priority = if invoke.high_priority() { "high" } else { "normal" };
        let mut text = format!("long-invoke-id {}, {class}, {priority} priority", invoke.id());
        if invoke.self_descriptive() {
            text.push_str(", self-descriptive");
        }
        if invoke.break_on_error() {
            text.push_str(", break on error");
        }
        node.with_value(word).with_text(text)
    };
    walker.field("long-invoke-id-and-priority", Reader::u32, show)?;
    walker
        .field("date-time", date_time, |node: Node, time: &Option<DateTime>| match time {
            Some(time) => node.with_value(time.to_string()),
            None => node.with_text("absent"),
        })
        .map(drop)
}

/// `00`, `0C` and twelve bytes, or the same behind `09` as one meter sends it.
fn date_time(reader: &mut Reader<'_>) -> Result<Option<DateTime>, crate::wire::error::WireError> {
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
