//! The JSON Schemas in `docs/schemas`, which the program prints, are those of the types.

use std::fs;
use std::path::Path;
use std::process::Command;

use dlms2mqtt::bridge::{config, reading};
use serde_json::Value;

/// Every schema by name, made from the types.
fn made() -> Vec<(&'static str, Value)> {
    let payloads =
        reading::schema::SCHEMAS.iter().map(|name| (*name, reading::schema::schema(name).unwrap()));
    payloads.chain([("config", config::schema::schema())]).collect()
}

#[test]
fn the_files_are_those_of_the_types() {
    for (name, schema) in made() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schemas/{name}.json"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(path, text).unwrap();
        } else {
            let written = fs::read_to_string(path).unwrap_or_default();
            assert_eq!(
                written, text,
                "run this test with UPDATE_DOCS=1 to write docs/schemas/{name}.json anew"
            );
        }
    }
}

#[test]
fn the_program_prints_them() {
    let program =
        |name: &str| Command::new(env!("CARGO_BIN_EXE_dlms2mqtt")).args(["schema", name]).output().unwrap();
    for (name, schema) in made() {
        let output = program(name);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), schema, "{name}");
    }
    assert_eq!(program("nothing").status.code(), Some(64));
}
