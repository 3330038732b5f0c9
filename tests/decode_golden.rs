//! `dissect` on what people paste, against trees that were read over by eye: `tests/decode/*.txt` to `*.json`.
//!
//! A line `# key: …`, `# auth-key: …` or `# system-title: …` before the text gives the settings. To write the trees anew
//! after a change that is meant, set `DLMS2MQTT_BLESS` and read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use dlms2mqtt::dissect::{Settings, dissect_text};
use dlms2mqtt::security::{Key, SystemTitle};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decode");
    let entries = fs::read_dir(folder).expect("tests/decode").map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
    cases.sort();
    cases
}

/// The settings of the first lines, and the text behind them.
fn read(case: &Path) -> (Settings, String) {
    let mut settings = Settings::default();
    let text = fs::read_to_string(case).expect("text");
    let mut rest = text.as_str();
    while let Some((line, behind)) = rest.split_once('\n') {
        let Some((name, value)) = line.strip_prefix("# ").and_then(|line| line.split_once(": ")) else {
            break;
        };
        match name {
            "key" => settings.key = Some(Key::from_hex(value).expect("a key")),
            "auth-key" => settings.authentication_key = Some(Key::from_hex(value).expect("a key")),
            "system-title" => settings.system_title = Some(SystemTitle::from_hex(value).expect("a title")),
            _ => {}
        }
        rest = behind;
    }
    (settings, rest.to_owned())
}

#[test]
fn pastes_become_the_trees_that_they_are() {
    let cases = cases();
    assert!(cases.len() >= 12, "{} cases", cases.len());
    for case in &cases {
        let (settings, text) = read(case);
        let mut found = serde_json::to_string_pretty(&dissect_text(&text, settings)).expect("JSON");
        found.push('\n');
        let golden = case.with_extension("json");
        if std::env::var_os("DLMS2MQTT_BLESS").is_some() {
            fs::write(&golden, &found).expect("written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert!(found == expected, "{} differs:\n{found}", golden.display());
    }
    println!("{} pastes compared", cases.len());
}
