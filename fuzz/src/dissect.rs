//! What people paste to have it explained: frames, APDUs and logs, deciphered with their keys.

use dlms2mqtt::dissect::{Settings, dissect_bytes, dissect_text};
use dlms2mqtt::security::{Key, SystemTitle};

/// The bytes as they are, as a hexadecimal text, and as the text that they may be: none panics, and no node reaches
/// beyond the bytes that it is of.
pub fn dissect(bytes: &[u8]) {
    let found = dissect_bytes(bytes, settings());
    for frame in &found.frames {
        assert!(frame.node.length <= bytes.len());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = dissect_text(text, settings());
    }
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
    let _ = dissect_text(&hex, settings());
}

fn settings() -> Settings {
    Settings {
        key: Key::from_hex("000102030405060708090a0b0c0d0e0f").ok(),
        authentication_key: Key::from_hex("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf").ok(),
        system_title: SystemTitle::from_hex("4d4d4d0000bc614e").ok(),
        ..Settings::default()
    }
}
