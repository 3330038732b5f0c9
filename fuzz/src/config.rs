//! Configurations, as a file or as a request: a configuration or problems, and problems that can be shown.

use std::path::Path;

use dlms2mqtt::bridge::config::tree::Format;
use dlms2mqtt::bridge::config::{Problem, load_text};

/// YAML and JSON.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for format in [Format::Yaml, Format::Json] {
        match load_text(text, format, Path::new("/nonexistent")) {
            Ok(loaded) => assert!(!loaded.warnings.iter().any(Problem::is_error)),
            Err(problems) => {
                assert!(problems.0.iter().any(Problem::is_error));
                for problem in &problems.0 {
                    assert!(!problem.to_string().is_empty());
                }
            }
        }
    }
}
