//! The JSON Schema of the configuration, for editors and for `dlms2mqtt schema config`.

use serde_json::Value;

use super::document::Document;

/// The schema as text. The program prints this and never makes it: what makes it is a quarter of a megabyte of code.
pub const TEXT: &str = include_str!("../../../docs/schemas/config.json");

/// The JSON Schema (draft 2020-12) of the configuration, with descriptions and ranges, made from the types.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Document).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_descriptions_and_ranges() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], false);
        let device = &schema["$defs"]["Device"]["properties"];
        assert_eq!(device["server_address"]["maximum"], 16383);
        assert_eq!(device["access_security"]["description"], "Authentication. Default: none.");
        for (name, part) in schema["$defs"].as_object().unwrap() {
            for (key, property) in part["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].is_string(), "{name}.{key} has no description");
            }
        }
    }
}
