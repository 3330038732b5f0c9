//! The few payloads the publisher writes itself: birth, last will, farewell, `BUSY`, and the mark of a replay.

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::request::{IncomingRequest, RequestBody};
use crate::error::{Code, Layer, Report};

/// What `bridge/state` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// The birth.
    Online,
    /// The last will, which the broker says in our stead.
    Lost,
    /// The last word of a clean stop.
    Shutdown,
}

pub(super) fn presence(gateway: &str, presence: Presence, now: Timestamp) -> Bytes {
    #[derive(Serialize)]
    struct State<'a> {
        v: u8,
        gateway: &'a str,
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ts: Option<String>,
    }
    let ts = Some(format!("{now:.3}"));
    json(&match presence {
        Presence::Online => State { v: 1, gateway, state: "online", reason: None, ts },
        // Whenever the broker says it, the time would be that of the connection.
        Presence::Lost => State { v: 1, gateway, state: "offline", reason: None, ts: None },
        Presence::Shutdown => State { v: 1, gateway, state: "offline", reason: Some("shutdown"), ts },
    })
}

/// The answer to a request that found the queue full.
pub(super) fn busy(gateway: &str, request: &IncomingRequest, now: Timestamp) -> Bytes {
    #[derive(Deserialize)]
    struct Asked {
        transaction: Option<String>,
    }
    #[derive(Serialize)]
    struct Answer<'a> {
        v: u8,
        gateway: &'a str,
        status: &'static str,
        transaction: Option<String>,
        error: Report,
        ts: String,
        duration_ms: u64,
    }
    let transaction = match &request.body {
        RequestBody::Payload(payload) => serde_json::from_slice::<Asked>(payload).ok(),
        RequestBody::TooLarge { .. } => None,
    }
    .and_then(|asked| asked.transaction)
    .filter(|transaction| transaction.chars().count() <= 64);
    json(&Answer {
        v: 1,
        gateway,
        status: "error",
        transaction,
        error: Report::new(Code::Busy, Layer::Control, "too many requests are waiting"),
        ts: format!("{now:.3}"),
        duration_ms: 0,
    })
}

/// The same JSON object with `"replay":true` as its last member. Anything but an object stays as it is.
pub(super) fn as_replay(payload: &Bytes) -> Bytes {
    const MARK: &[u8] = b"\"replay\":true}";
    let trimmed = payload.trim_ascii_end();
    let Some(members) = trimmed.strip_suffix(b"}").map(<[u8]>::trim_ascii_end) else {
        return payload.clone();
    };
    let mut marked = BytesMut::with_capacity(members.len() + 1 + MARK.len());
    marked.extend_from_slice(members);
    if members.trim_ascii_start() != b"{" {
        marked.extend_from_slice(b",");
    }
    marked.extend_from_slice(MARK);
    marked.freeze()
}

/// What [`as_replay`] may add.
pub(super) const REPLAY_MARK: usize = 15;

fn json(value: &impl Serialize) -> Bytes {
    // Structures of strings and numbers always serialise.
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_is_as_the_contract_says() {
        let now = "2026-08-22T10:15:03.1204Z".parse().unwrap();
        for (kind, text) in [
            (Presence::Online, r#"{"v":1,"gateway":"g","state":"online","ts":"2026-08-22T10:15:03.120Z"}"#),
            (Presence::Lost, r#"{"v":1,"gateway":"g","state":"offline"}"#),
            (
                Presence::Shutdown,
                r#"{"v":1,"gateway":"g","state":"offline","reason":"shutdown","ts":"2026-08-22T10:15:03.120Z"}"#,
            ),
        ] {
            assert_eq!(presence("g", kind, now), text);
        }
    }

    #[test]
    fn a_replay_is_marked_and_stays_json() {
        for (before, after) in [
            (r#"{"v":1}"#, r#"{"v":1,"replay":true}"#),
            ("{\"a\":{}}\n", r#"{"a":{},"replay":true}"#),
            ("{ }", r#"{"replay":true}"#),
            ("[1]", "[1]"),
            ("", ""),
        ] {
            let marked = as_replay(&Bytes::from_static(before.as_bytes()));
            assert_eq!(marked, after);
            assert!(marked.len() <= before.len() + REPLAY_MARK);
        }
    }

    #[test]
    fn busy_echoes_the_transaction_where_there_is_one() {
        for (payload, transaction) in [
            (r#"{"transaction":"t-1","x":1}"#, serde_json::json!("t-1")),
            (r#"{"x":1}"#, serde_json::Value::Null),
            ("no json", serde_json::Value::Null),
        ] {
            let request = IncomingRequest {
                verb: "read".into(),
                body: RequestBody::new(Bytes::from_static(payload.as_bytes())),
                retained: false,
                response_topic: None,
                correlation_data: None,
                expiry_s: None,
            };
            let answer: serde_json::Value =
                serde_json::from_slice(&busy("g", &request, Timestamp::UNIX_EPOCH)).unwrap();
            assert_eq!(answer["transaction"], transaction);
            assert_eq!(answer["error"]["code"], "BUSY");
            assert_eq!(answer["status"], "error");
        }
    }
}
