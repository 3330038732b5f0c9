//! The answer to a request, and the payload made of it.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::bridge::time::rfc3339;
use crate::error::{Code, Layer, Report};

/// How a request ended, or that it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Done.
    Ok,
    /// Not done.
    Error,
    /// A job has begun; its final answer follows.
    Accepted,
    /// Done in part.
    Partial,
}

/// What a verb has to say. Data is kept as text, so that numbers keep all their digits.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it ended.
    pub status: Status,
    /// The job, where there is one.
    pub job: Option<String>,
    /// What was asked for.
    pub data: Option<Box<RawValue>>,
    /// Why it was not done.
    pub error: Option<Report>,
}

impl Answer {
    /// Done, with data.
    #[must_use]
    pub fn ok(data: &impl Serialize) -> Self {
        Self::of(Status::Ok, data, None)
    }

    /// Done in part: the data, and the first of what failed.
    #[must_use]
    pub fn partial(data: &impl Serialize, error: Report) -> Self {
        Self::of(Status::Partial, data, Some(error))
    }

    /// Not done, with data that tells more.
    #[must_use]
    pub fn failed(data: &impl Serialize, error: Report) -> Self {
        Self::of(Status::Error, data, Some(error))
    }

    fn of(status: Status, data: &impl Serialize, error: Option<Report>) -> Self {
        match to_raw_value(data) {
            Ok(data) => Self { status, job: None, data: Some(data), error },
            Err(error) => {
                let message = format!("the answer cannot be written as JSON: {error}");
                Report::new(Code::Internal, Layer::Internal, message).into()
            }
        }
    }

    /// The payload.
    #[must_use]
    pub fn payload(
        &self,
        gateway: &str,
        transaction: Option<&str>,
        now: Timestamp,
        duration_ms: u64,
    ) -> Bytes {
        #[derive(Serialize)]
        struct Response<'a> {
            v: u8,
            gateway: &'a str,
            status: Status,
            transaction: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            job: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a Report>,
            ts: String,
            duration_ms: u64,
        }
        let response = Response {
            v: 1,
            gateway,
            status: self.status,
            transaction,
            job: self.job.as_deref(),
            data: self.data.as_deref(),
            error: self.error.as_ref(),
            ts: rfc3339(now),
            duration_ms,
        };
        // All keys are text, and what is within is JSON already.
        serde_json::to_vec(&response).unwrap_or_default().into()
    }
}

impl From<Report> for Answer {
    fn from(report: Report) -> Self {
        Self { status: Status::Error, job: None, data: None, error: Some(report) }
    }
}

impl From<Result<Self, Report>> for Answer {
    fn from(result: Result<Self, Report>) -> Self {
        result.unwrap_or_else(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_that_of_the_contract() {
        let now = "2026-08-22T10:15:03.120Z".parse().unwrap();
        let answer = Answer::ok(&serde_json::json!({ "a": 1 }));
        assert_eq!(
            answer.payload("g", Some("t"), now, 7),
            r#"{"v":1,"gateway":"g","status":"ok","transaction":"t","data":{"a":1},"ts":"2026-08-22T10:15:03.120Z","duration_ms":7}"#
        );
        let report = Report::new(Code::Busy, Layer::Control, "m").with_hint("h");
        assert_eq!(
            Answer::from(report).payload("g", None, now, 0),
            r#"{"v":1,"gateway":"g","status":"error","transaction":null,"error":{"code":"BUSY","layer":"control","message":"m","hint":"h"},"ts":"2026-08-22T10:15:03.120Z","duration_ms":0}"#
        );
    }
}
