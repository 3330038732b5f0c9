//! Control requests as they arrive from the broker, unexamined but for their size.

use bytes::Bytes;

/// Requests of this many bytes and more are answered `REQUEST_TOO_LARGE`.
pub const LARGEST_REQUEST: usize = 512 << 10;

/// One message below `bridge/request/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingRequest {
    /// What follows `bridge/request/`: `read`, `config/get`, or anything else a caller made up.
    pub verb: String,
    /// The payload.
    pub body: RequestBody,
    /// It was retained, so its age is unknown.
    pub retained: bool,
    /// MQTT 5: where the caller wants the answer as well.
    pub response_topic: Option<String>,
    /// MQTT 5: to be returned with the answer, unread.
    pub correlation_data: Option<Bytes>,
    /// MQTT 5: seconds of life that the message had left when the broker sent it.
    pub expiry_s: Option<u32>,
}

/// What a request holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// The bytes as sent: JSON is to be expected.
    Payload(Bytes),
    /// The payload was larger than [`LARGEST_REQUEST`] and is not kept.
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
}

impl RequestBody {
    pub(super) fn new(payload: Bytes) -> Self {
        if payload.len() > LARGEST_REQUEST {
            Self::TooLarge { size: payload.len() }
        } else {
            Self::Payload(payload)
        }
    }
}
