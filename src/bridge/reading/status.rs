//! The payloads about a device itself: its status, its availability, its events.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::json::{Json, gateway_time, gateway_time_or_null};
use crate::error::{Code, Report};

/// Whether a device can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It answered.
    Online,
    /// Two visits in a row failed.
    Offline,
}

/// The state of the link to a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Open.
    Up,
    /// Being opened.
    Connecting,
    /// Closed.
    #[default]
    Down,
}

/// Whether an application association is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssociationState {
    /// No.
    #[default]
    None,
    /// Yes.
    Associated,
}

/// How the association is secured, in the words of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SecurityStatus {
    /// `access_security`.
    pub authentication: String,
    /// `transport_security`.
    pub transport: String,
    /// Security suite.
    pub suite: u8,
}

/// Who answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IdentityStatus {
    /// Logical device name.
    pub logical_device_name: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// System title, hexadecimal.
    pub system_title: Option<String>,
}

/// What was agreed with the meter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Negotiated {
    /// Largest APDU that the meter takes; 0 where it sets no limit.
    pub max_pdu: Option<u16>,
    /// Services, by their names in the standard.
    pub conformance: Vec<String>,
    /// Parameters of HDLC; null on WRAPPER.
    pub hdlc: Option<HdlcStatus>,
}

/// The agreed parameters of HDLC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HdlcStatus {
    /// Longest information field that we send.
    pub info_tx: u16,
    /// Longest information field that we receive.
    pub info_rx: u16,
    /// Frames that we send before an acknowledgement.
    pub window_tx: u8,
    /// Frames that we receive before we acknowledge.
    pub window_rx: u8,
}

/// Our invocation counter for the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CounterStatus {
    /// The next one that is used.
    pub next: u32,
    /// How many are left for this key.
    pub remaining: u32,
}

/// The meter's clock beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ClockStatus {
    /// Seconds that the meter is ahead.
    pub offset_s: f64,
    /// When that was measured.
    #[serde(serialize_with = "gateway_time")]
    #[schemars(with = "String")]
    pub measured_at: Timestamp,
}

/// Counts of visits by their outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PollCounts {
    /// Everything was read.
    pub ok: u64,
    /// Something was not.
    pub partial: u64,
    /// Nothing was.
    pub failed: u64,
    /// Ticks that passed unserved.
    pub skipped: u64,
}

/// What is known about a device, apart from its values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct DeviceStatus {
    /// Whether it can be read; null until the first visit has ended.
    pub state: Option<DeviceState>,
    /// Its link.
    pub link: LinkState,
    /// Its association.
    pub association: AssociationState,
    /// Its security.
    pub security: SecurityStatus,
    /// Who answered.
    pub identity: IdentityStatus,
    /// What was agreed; null before the first association.
    pub negotiated: Option<Negotiated>,
    /// The last good answer.
    #[serde(serialize_with = "gateway_time_or_null")]
    #[schemars(with = "Option<String>")]
    pub last_ok: Option<Timestamp>,
    /// The last failure.
    pub last_error: Option<Report>,
    /// No visit before this time.
    #[serde(serialize_with = "gateway_time_or_null")]
    #[schemars(with = "Option<String>")]
    pub backoff_until: Option<Timestamp>,
    /// Null without ciphering.
    pub invocation_counter: Option<CounterStatus>,
    /// Null until the clock was read.
    pub clock: Option<ClockStatus>,
    /// Visits.
    pub polls: PollCounts,
}

/// The payload of a device's status (`devices/<device>/status`).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "Device status")]
pub struct StatusPayload<'a> {
    /// Schema version.
    pub v: u8,
    /// The gateway.
    pub gateway: &'a str,
    /// The device.
    pub device: &'a str,
    /// When this was so.
    #[serde(serialize_with = "gateway_time")]
    #[schemars(with = "String")]
    pub ts: Timestamp,
    /// What is known.
    #[serde(flatten)]
    pub status: &'a DeviceStatus,
}

/// The payload of a device's availability (`devices/<device>/availability`).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "Device availability")]
pub struct AvailabilityPayload<'a> {
    /// Schema version.
    pub v: u8,
    /// The gateway.
    pub gateway: &'a str,
    /// The device.
    pub device: &'a str,
    /// Whether it can be read.
    pub state: DeviceState,
    /// Since when.
    #[serde(serialize_with = "gateway_time")]
    #[schemars(with = "String")]
    pub ts: Timestamp,
}

/// How serious an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Worth a look.
    Warning,
    /// Something is lost or does not work.
    Error,
}

/// The payload of an event of the bridge or of a device (`bridge/event`, `devices/<device>/event`).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "Event")]
pub struct EventPayload<'a> {
    /// Schema version.
    pub v: u8,
    /// The gateway.
    pub gateway: &'a str,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// How serious it is.
    pub severity: Severity,
    /// The device, where it concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<&'a str>,
    /// The connection, where it concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<&'a str>,
    /// The error code, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Details that depend on the type; an object.
    pub data: &'a Json,
    /// When.
    #[serde(serialize_with = "gateway_time")]
    #[schemars(with = "String")]
    pub ts: Timestamp,
    /// Rises with every message of the gateway.
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Layer;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn status_has_one_shape() {
        let unset = DeviceStatus::default();
        let payload = |status| StatusPayload {
            v: 1,
            gateway: "g",
            device: "d",
            ts: at("2026-08-22T10:15:00Z"),
            status,
        };
        assert_eq!(
            serde_json::to_string(&payload(&unset)).expect("writable"),
            concat!(
                r#"{"v":1,"gateway":"g","device":"d","ts":"2026-08-22T10:15:00.000Z","state":null,"link":"down","#,
                r#""association":"none","security":{"authentication":"","transport":"","suite":0},"#,
                r#""identity":{"logical_device_name":null,"serial":null,"system_title":null},"negotiated":null,"#,
                r#""last_ok":null,"last_error":null,"backoff_until":null,"invocation_counter":null,"clock":null,"#,
                r#""polls":{"ok":0,"partial":0,"failed":0,"skipped":0}}"#,
            )
        );
        let full = DeviceStatus {
            state: Some(DeviceState::Online),
            link: LinkState::Up,
            association: AssociationState::Associated,
            negotiated: Some(Negotiated {
                max_pdu: Some(1024),
                conformance: vec!["get".into()],
                hdlc: Some(HdlcStatus { info_tx: 128, info_rx: 128, window_tx: 1, window_rx: 1 }),
            }),
            last_ok: Some(at("2026-08-22T10:14:59.5Z")),
            last_error: Some(Report::new(Code::Timeout, Layer::Get, "late").with_hint("wait")),
            invocation_counter: Some(CounterStatus { next: 5, remaining: 9 }),
            clock: Some(ClockStatus { offset_s: -1.5, measured_at: at("2026-08-22T10:14:59Z") }),
            ..DeviceStatus::default()
        };
        let text = serde_json::to_string(&payload(&full)).expect("writable");
        for part in [
            r#""state":"online","link":"up","association":"associated""#,
            r#""negotiated":{"max_pdu":1024,"conformance":["get"],"hdlc":{"info_tx":128,"info_rx":128,"window_tx":1,"window_rx":1}}"#,
            r#""last_ok":"2026-08-22T10:14:59.500Z","last_error":{"code":"TIMEOUT","layer":"get","message":"late","hint":"wait"}"#,
            r#""invocation_counter":{"next":5,"remaining":9},"clock":{"offset_s":-1.5,"measured_at":"2026-08-22T10:14:59.000Z"}"#,
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn availability_and_events() {
        let availability = AvailabilityPayload {
            v: 1,
            gateway: "g",
            device: "d",
            state: DeviceState::Offline,
            ts: at("2026-08-22T10:15:00Z"),
        };
        assert_eq!(
            serde_json::to_string(&availability).expect("writable"),
            r#"{"v":1,"gateway":"g","device":"d","state":"offline","ts":"2026-08-22T10:15:00.000Z"}"#
        );
        let event = EventPayload {
            v: 1,
            gateway: "g",
            kind: "error",
            severity: Severity::Warning,
            device: Some("d"),
            connection: None,
            code: Some(Code::AuthHls),
            data: &Json::Object(vec![]),
            ts: at("2026-08-22T10:15:00Z"),
            seq: 7,
        };
        assert_eq!(
            serde_json::to_string(&event).expect("writable"),
            r#"{"v":1,"gateway":"g","type":"error","severity":"warning","device":"d","code":"AUTH_HLS","data":{},"ts":"2026-08-22T10:15:00.000Z","seq":7}"#
        );
    }
}
