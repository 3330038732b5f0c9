//! JSON Schemas of the payloads.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};

use super::profile_rows::ProfileRows;
use super::snapshot::Snapshot;
use super::status::{AvailabilityPayload, EventPayload, StatusPayload};
use super::value::ValuePayload;
use crate::error::{Code, Layer, Report};

/// The names of the schemas there are.
pub const SCHEMAS: &[&str] = &["value", "snapshot", "profile", "status", "availability", "event"];

/// The schema of a payload as text, as the program prints it; `None` for a name that is not among [`SCHEMAS`].
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    Some(match name {
        "value" => include_str!("../../../docs/schemas/value.json"),
        "snapshot" => include_str!("../../../docs/schemas/snapshot.json"),
        "profile" => include_str!("../../../docs/schemas/profile.json"),
        "status" => include_str!("../../../docs/schemas/status.json"),
        "availability" => include_str!("../../../docs/schemas/availability.json"),
        "event" => include_str!("../../../docs/schemas/event.json"),
        _ => return None,
    })
}

/// The JSON Schema of a payload, made from its type; `None` for a name that is not among [`SCHEMAS`].
#[must_use]
pub fn schema(name: &str) -> Option<serde_json::Value> {
    let schema = match name {
        "value" => schema_for!(ValuePayload<'_>),
        "snapshot" => schema_for!(Snapshot<'_>),
        "profile" => schema_for!(ProfileRows<'_>),
        "status" => schema_for!(StatusPayload<'_>),
        "availability" => schema_for!(AvailabilityPayload<'_>),
        "event" => schema_for!(EventPayload<'_>),
        _ => return None,
    };
    Some(schema.to_value())
}

impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "Code".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Self::ALL.iter().map(|code| code.as_str()).collect();
        json_schema!({ "type": "string", "description": "Stable error code; there may be new ones.", "examples": names })
    }
}

impl JsonSchema for Layer {
    fn schema_name() -> Cow<'static, str> {
        "Layer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Self::ALL.iter().map(|layer| layer.as_str()).collect();
        json_schema!({ "type": "string", "description": "Where in the stack the failure arose.", "enum": names })
    }
}

impl JsonSchema for Report {
    fn schema_name() -> Cow<'static, str> {
        "Error".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let code = generator.subschema_for::<Code>();
        let layer = generator.subschema_for::<Layer>();
        json_schema!({
            "type": "object",
            "properties": {
                "code": code,
                "layer": layer,
                "message": { "type": "string", "description": "What happened." },
                "hint": { "type": "string", "description": "What a technician can do about it." },
                "dlms": { "type": "integer", "description": "The protocol's own number." },
            },
            "required": ["code", "layer", "message", "hint"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_schema() {
        for name in SCHEMAS {
            let schema = schema(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(schema["type"], "object", "{name}: {schema}");
            assert_eq!(schema["properties"]["v"]["type"], "integer", "{name}");
            assert_eq!(schema["properties"]["ts"]["type"], "string", "{name}");
            assert!(schema["title"].is_string() && schema["description"].is_string(), "{name}");
            let required = schema["required"].as_array().expect("required members");
            assert!(required.iter().any(|member| member == "gateway"), "{name}: {required:?}");
        }
        assert_eq!(schema("nothing"), None);
    }

    #[test]
    fn value_allows_any_json_and_requires_a_quality() {
        let schema = schema("value").expect("there is one");
        assert_eq!(schema["properties"]["obis"]["type"], serde_json::json!(["string", "null"]));
        let required = schema["required"].as_array().expect("required members");
        for member in ["v", "gateway", "device", "class", "quality", "ts", "value"] {
            assert!(required.iter().any(|other| other == member), "{member}: {required:?}");
        }
        for member in ["unit", "error", "meter_ts", "seq"] {
            assert!(!required.iter().any(|other| other == member), "{member}");
        }
    }
}
