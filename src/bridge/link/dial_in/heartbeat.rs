//! What a modem says unasked when it has connected: whether it is a heartbeat, and whose.

use crate::bridge::config::model::Device;

/// Octets of a heartbeat that are looked at.
pub(super) const LONGEST: usize = 256;

const HDLC_FLAG: u8 = 0x7E;
const WRAPPER_VERSION: &[u8] = &[0x00, 0x01];

/// Whether these first octets belong to DLMS, a push perhaps: then they are left for the session.
pub(super) fn is_dlms(octets: &[u8]) -> bool {
    octets.first() == Some(&HDLC_FLAG) || octets.starts_with(WRAPPER_VERSION)
}

/// The only device that a heartbeat names, by its place among `devices`.
pub(super) fn named(octets: &[u8], devices: &[impl AsRef<Device>]) -> Option<usize> {
    let mut named = devices.iter().enumerate().filter(|(_, device)| names(octets, device.as_ref()));
    match (named.next(), named.next()) {
        (Some((index, _)), None) => Some(index),
        _ => None,
    }
}

/// By serial number, logical device name or system title as a word of it; by the device's own name if that is all of it.
fn names(octets: &[u8], device: &Device) -> bool {
    let title = device.security.server_system_title;
    if title.is_some_and(|title| octets.windows(title.0.len()).any(|window| window == title.0)) {
        return true;
    }
    let text = String::from_utf8_lossy(octets);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let title = title.map(|title| title.to_string());
    let traits = [&device.identity.serial, &device.identity.logical_device_name, &title];
    text.eq_ignore_ascii_case(device.name.as_str())
        || traits.into_iter().flatten().any(|name| has_word(text, name))
}

/// Whether `word` stands in `text` with nothing before or after it that would make it part of another.
fn has_word(text: &str, word: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let word = word.to_ascii_lowercase();
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !word.is_empty()
        && text.match_indices(&word).any(|(at, _)| {
            let (before, rest) = text.split_at(at);
            let after = rest.strip_prefix(&word).unwrap_or_default();
            !joins(before.chars().next_back()) && !joins(after.chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        assert!(has_word("IMEI:356938035643809;SN=51324481", "51324481"));
        assert!(has_word("51324481", "51324481"));
        assert!(has_word("sn lgz1030000123", "LGZ1030000123"));
        assert!(!has_word("SN=513244810", "51324481"));
        assert!(!has_word("SN=A51324481", "51324481"));
        assert!(!has_word("SN=", ""));
    }

    #[test]
    fn frames_are_no_heartbeats() {
        assert!(is_dlms(&[0x7E, 0xA0, 0x07]));
        assert!(is_dlms(&[0x00, 0x01, 0x00, 0x01]));
        assert!(!is_dlms(b"IMEI:1"));
        assert!(!is_dlms(b""));
    }
}
