//! The link parameters that SNRM and UA carry.

use crate::wire::cursor::Reader;
use crate::wire::error::{WireError, WireErrorKind};

/// Link parameters from the view of the station that sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Octets of the longest information field this station sends, 32 to 2030.
    pub max_info_tx: u16,
    /// Octets of the longest information field this station takes, 32 to 2030.
    pub max_info_rx: u16,
    /// I frames this station may send before it waits for an acknowledgement, 1 to 7.
    pub window_tx: u8,
    /// I frames this station takes before it acknowledges, 1 to 7.
    pub window_rx: u8,
}

/// Bounds of an information field in octets.
const INFO: std::ops::RangeInclusive<u32> = 32..=2030;
/// Bounds of a window in frames.
const WINDOW: std::ops::RangeInclusive<u32> = 1..=7;
const FORMAT_IDENTIFIER: u8 = 0x81;
const GROUP_PARAMETERS: u8 = 0x80;
const MAX_INFO_TX: u8 = 0x05;
const MAX_INFO_RX: u8 = 0x06;
const WINDOW_TX: u8 = 0x07;
const WINDOW_RX: u8 = 0x08;

impl Default for Parameters {
    /// What holds where nothing is negotiated.
    fn default() -> Self {
        Self { max_info_tx: 128, max_info_rx: 128, window_tx: 1, window_rx: 1 }
    }
}

impl Parameters {
    /// The same with every value inside its bounds.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            max_info_tx: self.max_info_tx.clamp(32, 2030),
            max_info_rx: self.max_info_rx.clamp(32, 2030),
            window_tx: self.window_tx.clamp(1, 7),
            window_rx: self.window_rx.clamp(1, 7),
        }
    }

    /// Appends the information field of SNRM or UA.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[FORMAT_IDENTIFIER, GROUP_PARAMETERS, 0]);
        let start = out.len();
        for (id, value) in [(MAX_INFO_TX, self.max_info_tx), (MAX_INFO_RX, self.max_info_rx)] {
            match value.to_be_bytes() {
                [0, low] => out.extend_from_slice(&[id, 1, low]),
                [high, low] => out.extend_from_slice(&[id, 2, high, low]),
            }
        }
        for (id, value) in [(WINDOW_TX, self.window_tx), (WINDOW_RX, self.window_rx)] {
            out.extend_from_slice(&[id, 4, 0, 0, 0, value]);
        }
        let length = out.len().saturating_sub(start);
        if let Some(slot) = start.checked_sub(1).and_then(|at| out.get_mut(at)) {
            *slot = u8::try_from(length).unwrap_or(u8::MAX);
        }
    }

    /// From the information field of SNRM or UA.
    ///
    /// What is absent or out of bounds has its default; values of any width up to four octets, unknown
    /// parameters, other groups and a group length beyond the end are all seen in the field.
    ///
    /// # Errors
    /// `Invalid` where the field is something else, `Truncated` where a parameter is cut off.
    pub fn decode(information: &[u8]) -> Result<Self, WireError> {
        let mut parameters = Self::default();
        if information.is_empty() {
            return Ok(parameters);
        }
        let mut reader = Reader::new(information);
        if reader.u8()? != FORMAT_IDENTIFIER {
            return Err(WireErrorKind::Invalid("format identifier").at(0));
        }
        while let Some(group) = reader.peek() {
            reader.take(1)?;
            let Ok(length) = reader.u8() else { break };
            let body = reader.take(usize::from(length).min(reader.remaining()))?;
            if group == GROUP_PARAMETERS {
                parameters.read_group(body)?;
            }
        }
        Ok(parameters)
    }

    fn read_group(&mut self, body: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(body);
        while !reader.is_empty() {
            let id = reader.u8()?;
            let width = reader.u8()?;
            let value = reader.take(usize::from(width))?;
            let value = match value {
                [] | [_, _, _, _, _, ..] => continue,
                octets => octets.iter().fold(0u32, |value, &octet| value << 8 | u32::from(octet)),
            };
            let info = u16::try_from(value).ok().filter(|_| INFO.contains(&value));
            let window = u8::try_from(value).ok().filter(|_| WINDOW.contains(&value));
            let default = Self::default();
            match id {
                MAX_INFO_TX => self.max_info_tx = info.unwrap_or(default.max_info_tx),
                MAX_INFO_RX => self.max_info_rx = info.unwrap_or(default.max_info_rx),
                WINDOW_TX => self.window_tx = window.unwrap_or(default.window_tx),
                WINDOW_RX => self.window_rx = window.unwrap_or(default.window_rx),
                _ => {}
            }
        }
        Ok(())
    }

    /// What a server with the limits `self` answers to a client's proposal: the server's final values.
    #[must_use]
    pub fn answer(&self, proposal: &Self) -> Self {
        Self {
            max_info_tx: self.max_info_tx.min(proposal.max_info_rx),
            max_info_rx: self.max_info_rx.min(proposal.max_info_tx),
            window_tx: self.window_tx.min(proposal.window_rx),
            window_rx: self.window_rx.min(proposal.window_tx),
        }
    }

    /// What holds for a client that proposed `self` and was answered `ua`, from the client's view.
    ///
    /// What we send is bounded by both; what we take is the server's word.
    #[must_use]
    pub fn agreed(&self, ua: &Self) -> Self {
        Self {
            max_info_tx: self.max_info_tx.min(ua.max_info_rx),
            max_info_rx: ua.max_info_tx,
            window_tx: self.window_tx.min(ua.window_rx),
            window_rx: ua.window_tx,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &[u8] = &[0x81, 0x80, 0x12, 5, 1, 0x80, 6, 1, 0x80, 7, 4, 0, 0, 0, 1, 8, 4, 0, 0, 0, 1];

    #[test]
    fn both_ways() {
        let mut out = Vec::new();
        Parameters::default().encode(&mut out);
        assert_eq!(out, DEFAULTS);
        assert_eq!(Parameters::decode(&out), Ok(Parameters::default()));
        let long = Parameters { max_info_tx: 2030, max_info_rx: 255, window_tx: 7, window_rx: 3 };
        out.clear();
        long.encode(&mut out);
        assert_eq!(out[2], 0x13);
        assert_eq!(Parameters::decode(&out), Ok(long));
    }

    #[test]
    fn what_meters_send() {
        let default = Parameters::default();
        for (bytes, expected) in [
            (&[][..], default),
            (&[0x81], default),
            (&[0x81, 0x80], default),
            (&[0x81, 0x80, 0], default),
            // Two octets for a small value; one octet for a window.
            (&[0x81, 0x80, 7, 5, 2, 0, 0x80, 7, 1, 3], Parameters { window_tx: 3, ..default }),
            // A group length beyond the end.
            (&[0x81, 0x80, 0x12, 6, 1, 0x3E], Parameters { max_info_rx: 0x3E, ..default }),
            // Zero and out of bounds mean the default; unknown and empty parameters are passed over.
            (&[0x81, 0x80, 14, 5, 1, 0, 6, 2, 0xFF, 0xFF, 8, 1, 9, 9, 0, 7, 0], default),
            // User data before the parameters.
            (&[0x81, 0xF0, 2, 5, 5, 0x80, 3, 5, 1, 64], Parameters { max_info_tx: 64, ..default }),
        ] {
            assert_eq!(Parameters::decode(bytes), Ok(expected), "{bytes:02x?}");
        }
        assert!(Parameters::decode(&[0x80]).is_err());
        assert!(Parameters::decode(&[0x81, 0x80, 3, 5, 2, 1]).is_err());
    }

    #[test]
    fn both_views_agree() {
        let client = Parameters { max_info_tx: 512, max_info_rx: 1024, window_tx: 2, window_rx: 5 };
        let server = Parameters { max_info_tx: 2030, max_info_rx: 62, window_tx: 3, window_rx: 7 };
        let ua = server.answer(&client);
        assert_eq!(ua, Parameters { max_info_tx: 1024, max_info_rx: 62, window_tx: 3, window_rx: 2 });
        let agreed = client.agreed(&ua);
        assert_eq!(agreed, Parameters { max_info_tx: 62, max_info_rx: 1024, window_tx: 2, window_rx: 3 });
    }
}
