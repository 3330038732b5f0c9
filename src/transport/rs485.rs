//! Direction control of an RS-485 transceiver by the serial driver (Linux `TIOCSRS485`).

use std::path::Path;
use std::time::Duration;

use rustix::fd::OwnedFd;
use serial2::rs4xx::{Rs485Config, TransceiverMode};

use super::error::TransportError;

/// How the driver turns the line around. Most USB adapters do it by themselves and need none of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rs485Settings {
    /// Level of RTS while sending; after it, the other.
    pub rts_while_sending: RtsLevel,
    /// Pause between RTS and the first bit. Whole milliseconds count.
    pub delay_before_send: Duration,
    /// Pause between the last bit and RTS. Whole milliseconds count.
    pub delay_after_send: Duration,
    /// Whether the receiver is on while we send.
    pub own_bytes: OwnBytes,
}

/// Level of the line RTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RtsLevel {
    /// Low.
    Low,
    /// High, as most transceivers need it to send.
    High,
}

/// Whether the receiver is on while we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnBytes {
    /// Off.
    Unheard,
    /// On, as full duplex lines need it.
    Heard,
}

impl Rs485Settings {
    /// Asks the driver for it, and compares what the driver says it does.
    pub(super) fn apply(&self, terminal: &OwnedFd, device: &Path) -> Result<(), TransportError> {
        let refuse = |refused: String| TransportError::SerialSettings {
            device: device.to_string_lossy().into_owned(),
            refused,
        };
        let wanted = self.config();
        let port = terminal.try_clone().map(serial2::SerialPort::from)?;
        // Drivers without it answer ENOTTY, or now and then EINVAL.
        port.set_rs4xx_mode(wanted.clone())
            .and_then(|()| port.get_rs4xx_mode())
            .map_err(|error| refuse(format!("rs485 (the driver has no direction control: {error})")))
            .and_then(|actual| match difference(&wanted, &actual) {
                None => Ok(()),
                Some(refused) => Err(refuse(refused)),
            })
    }

    fn config(&self) -> Rs485Config {
        let mut config = Rs485Config::new();
        config.set_invert_rts(self.rts_while_sending == RtsLevel::Low);
        config.set_delay_before_send(self.delay_before_send);
        config.set_delay_after_send(self.delay_after_send);
        config.set_full_duplex(self.own_bytes == OwnBytes::Heard);
        config
    }
}

/// What the driver does otherwise than asked. Delays may be longer: drivers round them.
fn difference(wanted: &Rs485Config, actual: &TransceiverMode) -> Option<String> {
    let TransceiverMode::Rs485(actual) = actual else {
        return Some("rs485 (the driver left it off)".to_owned());
    };
    if wanted.get_invert_rts() != actual.get_invert_rts() {
        return Some("rs485 level of RTS".to_owned());
    }
    if wanted.get_full_duplex() != actual.get_full_duplex() {
        return Some("rs485 receive_during_send".to_owned());
    }
    let millis = |delay: Duration| delay.as_millis();
    if millis(actual.get_delay_before_send()) < millis(wanted.get_delay_before_send()) {
        return Some(format!("rs485 delay_before_send (the port has {:?})", actual.get_delay_before_send()));
    }
    if millis(actual.get_delay_after_send()) < millis(wanted.get_delay_after_send()) {
        return Some(format!("rs485 delay_after_send (the port has {:?})", actual.get_delay_after_send()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Rs485Settings = Rs485Settings {
        rts_while_sending: RtsLevel::High,
        delay_before_send: Duration::from_millis(2),
        delay_after_send: Duration::from_millis(3),
        own_bytes: OwnBytes::Unheard,
    };

    #[test]
    fn what_a_driver_does_otherwise_is_named() {
        let wanted = SETTINGS.config();
        assert_eq!(difference(&wanted, &TransceiverMode::Rs485(wanted.clone())), None);
        assert!(difference(&wanted, &TransceiverMode::Default).unwrap().contains("off"));
        let other = |change: fn(&mut Rs485Settings)| {
            let mut settings = SETTINGS;
            change(&mut settings);
            difference(&wanted, &TransceiverMode::Rs485(settings.config())).unwrap_or_default()
        };
        assert!(other(|s| s.rts_while_sending = RtsLevel::Low).contains("RTS"));
        assert!(other(|s| s.own_bytes = OwnBytes::Heard).contains("receive_during_send"));
        assert!(other(|s| s.delay_before_send = Duration::ZERO).contains("delay_before_send"));
        assert!(other(|s| s.delay_after_send = Duration::from_millis(1)).contains("delay_after_send"));
        assert_eq!(other(|s| s.delay_after_send = Duration::from_millis(9)), "");
    }
}
