//! The example configuration and what a small one comes to.

use std::path::Path;
use std::time::Duration;

use dlms2mqtt::bridge::config::load::load_text;
use dlms2mqtt::bridge::config::tree::Format;

const EXAMPLE: &str = include_str!("../config.yaml.example");

#[test]
fn the_example_is_valid_without_a_warning() {
    let loaded =
        load_text(EXAMPLE, Format::Yaml, Path::new("/etc/dlms2mqtt")).unwrap_or_else(|p| panic!("{p}"));
    assert!(loaded.warnings.is_empty(), "{:#?}", loaded.warnings);
    assert_eq!(loaded.config.groups["billing"].interval, Duration::from_secs(900));
}
