//! A request as its sender wrote it: one JSON object with an optional transaction, an optional end of its life, and
//! the arguments of its verb.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::bridge::config::load::read_part;
use crate::bridge::config::tree::{self, Format};
use crate::error::{Code, Layer, Report};

/// The longest transaction, in characters.
pub const LONGEST_TRANSACTION: usize = 64;

/// Time that a request has where it does not say.
pub const USUAL_TIME: Duration = Duration::from_secs(120);

/// The latest end that a request may ask for.
const LONGEST_TIME: Duration = Duration::from_secs(3600);

/// One request, taken apart.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the sender knows the answer by.
    pub transaction: Option<String>,
    /// When nobody waits for the answer any more.
    pub expires_at: Option<Timestamp>,
    /// The rest.
    pub arguments: Value,
    /// Of the body, to tell a redelivery from another request.
    pub digest: Digested,
}

/// SHA-256 of a request's verb and body.
pub type Digested = [u8; 32];

/// Why a request was not run, and the transaction to be echoed where one could be read.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The transaction, where it is one.
    pub transaction: Option<String>,
    /// Why.
    pub report: Report,
}

impl Request {
    /// Takes a payload apart.
    ///
    /// # Errors
    /// `MALFORMED` for what is no JSON object, `INVALID_ARGUMENT` for a transaction or time that is none.
    pub fn parse(verb: &str, payload: &[u8]) -> Result<Self, Refusal> {
        Self::take_apart(verb, object(payload)?)
    }

    /// Takes an object apart whose verb has been read.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a transaction or time that is none.
    pub fn take_apart(verb: &str, mut object: Map<String, Value>) -> Result<Self, Refusal> {
        let digest = digest(verb, &object);
        let transaction = match object.remove("transaction") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.chars().count() <= LONGEST_TRANSACTION => Some(text),
            Some(_) => {
                let message =
                    format!("transaction: a text of up to {LONGEST_TRANSACTION} characters is expected");
                return Err(Refusal { transaction: None, report: invalid(message) });
            }
        };
        let expires_at = match object.remove("expires_at") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => match text.parse::<Timestamp>() {
                Ok(time) => Some(time),
                Err(_) => return Err(Refusal { transaction, report: no_time() }),
            },
            Some(_) => return Err(Refusal { transaction, report: no_time() }),
        };
        Ok(Self { transaction, expires_at, arguments: Value::Object(object), digest })
    }

    /// The time that is left, bounded; `None`: none.
    #[must_use]
    pub fn time_left(&self, now: Timestamp) -> Option<Duration> {
        let Some(end) = self.expires_at else { return Some(USUAL_TIME) };
        let left = end.as_millisecond().saturating_sub(now.as_millisecond());
        let left = u64::try_from(left).ok().filter(|&left| left > 0)?;
        Some(Duration::from_millis(left).min(LONGEST_TIME))
    }

    /// The arguments as a verb wants them.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the place of the first that is wrong, missing or unknown.
    pub fn arguments<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Report> {
        arguments(&self.arguments)
    }
}

/// The arguments in `tree` as a verb wants them.
///
/// # Errors
/// `INVALID_ARGUMENT` with the place of the first that is wrong, missing or unknown.
pub fn arguments<'a, T: Deserialize<'a>>(tree: &'a Value) -> Result<T, Report> {
    read_part(tree).map_err(|problem| {
        let place =
            if problem.path.segments().is_empty() { String::new() } else { format!("{}: ", problem.path) };
        let report = invalid(format!("{place}{}", problem.message));
        if problem.hint.is_empty() { report } else { report.with_hint(problem.hint) }
    })
}

/// The one JSON object that a payload must be.
///
/// # Errors
/// `MALFORMED`.
pub fn object(payload: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let malformed = |message: String| Refusal {
        transaction: None,
        report: Report::new(Code::Malformed, Layer::Control, message),
    };
    let text = std::str::from_utf8(payload).map_err(|error| malformed(format!("the request is {error}")))?;
    match tree::parse(text, Format::Json) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(malformed("the request is not a JSON object".to_owned())),
        Err(problem) => Err(malformed(problem.message)),
    }
}

/// When a request that has `left` ends.
#[must_use]
pub fn deadline(left: Duration) -> Instant {
    Instant::now() + left
}

/// An argument is missing or wrong.
#[must_use]
pub fn invalid(message: impl Into<String>) -> Report {
    Report::new(Code::InvalidArgument, Layer::Control, message)
}

fn no_time() -> Report {
    invalid("expires_at: a time like 2026-08-22T10:15:00Z is expected")
}

/// Keys of a map are in alphabetical order, so that the same object has the same digest however it was written.
fn digest(verb: &str, object: &Map<String, Value>) -> Digested {
    let mut hash = Sha256::new();
    hash.update(verb);
    hash.update([0]);
    hash.update(serde_json::to_vec(object).unwrap_or_default());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(payload: &[u8]) -> Code {
        Request::parse("read", payload).unwrap_err().report.code
    }

    #[test]
    fn a_request_is_taken_apart() {
        let request = Request::parse(
            "read",
            br#"{"transaction":"t1","expires_at":"2026-01-01T00:00:10Z","device":"m"}"#,
        )
        .unwrap();
        assert_eq!(request.transaction.as_deref(), Some("t1"));
        assert_eq!(request.arguments, serde_json::json!({ "device": "m" }));
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(request.time_left(now), Some(Duration::from_secs(10)));
        assert_eq!(request.time_left("2026-01-01T00:00:10Z".parse().unwrap()), None);
        let endless = Request::parse("read", b"{}").unwrap();
        assert_eq!(endless.time_left(now), Some(USUAL_TIME));
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        let deep = "[".repeat(100_000);
        for payload in
            [&b""[..], b"null", b"[]", b"1", b"{", b"{}x", b"\xFF", b"{\"a\":1,\"a\":2}", deep.as_bytes()]
        {
            assert_eq!(code(payload), Code::Malformed);
        }
    }

    #[test]
    fn wrong_transactions_and_times_are_invalid() {
        let long = format!(r#"{{"transaction":"{}"}}"#, "x".repeat(65));
        for payload in [
            long.as_str(),
            r#"{"transaction":7}"#,
            r#"{"expires_at":7}"#,
            r#"{"expires_at":"tomorrow"}"#,
            r#"{"transaction":"t","expires_at":"2026-13-01T00:00:00Z"}"#,
        ] {
            assert_eq!(code(payload.as_bytes()), Code::InvalidArgument, "{payload}");
        }
    }

    #[test]
    fn the_digest_depends_on_verb_and_body_and_not_on_the_order_of_keys() {
        let digest = |verb, text: &str| Request::parse(verb, text.as_bytes()).unwrap().digest;
        let one = digest("read", r#"{"transaction":"t","device":"m"}"#);
        assert_eq!(one, digest("read", r#"{ "device":"m", "transaction":"t" }"#));
        assert_ne!(one, digest("read", r#"{"transaction":"t","device":"n"}"#));
        assert_ne!(one, digest("device/scan", r#"{"transaction":"t","device":"m"}"#));
    }
}
