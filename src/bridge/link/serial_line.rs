//! From a configured serial port to the settings of the transport.

use crate::bridge::config::document::connection::{
    FlowControl as ConfiguredFlow, Parity as ConfiguredParity,
};
use crate::bridge::config::model::{Level, OwnBytes as ConfiguredOwnBytes, Rs485, Serial};
use crate::transport::SerialSettings;
use crate::transport::rs485::{OwnBytes, Rs485Settings, RtsLevel};
use crate::transport::serial::{DataBits, FlowControl, LineFormat, Parity, StopBits};

/// Everything that is set on the port.
#[must_use]
pub fn serial_settings(serial: &Serial) -> SerialSettings {
    SerialSettings {
        device: serial.device.clone(),
        format: line_format(serial),
        flow: match serial.flow_control {
            ConfiguredFlow::None => FlowControl::None,
            ConfiguredFlow::RtsCts => FlowControl::RtsCts,
            ConfiguredFlow::XonXoff => FlowControl::XonXoff,
        },
        rs485: serial.rs485.as_ref().map(direction_control),
    }
}

/// Speed and character format outside sign-ons.
#[must_use]
pub fn line_format(serial: &Serial) -> LineFormat {
    LineFormat {
        baud: serial.baud_rate,
        // Validation has seen to the ranges.
        data_bits: DataBits::new(serial.data_bits).unwrap_or(DataBits::Eight),
        parity: match serial.parity {
            ConfiguredParity::None => Parity::None,
            ConfiguredParity::Even => Parity::Even,
            ConfiguredParity::Odd => Parity::Odd,
            ConfiguredParity::Mark => Parity::Mark,
            ConfiguredParity::Space => Parity::Space,
        },
        stop_bits: StopBits::new(serial.stop_bits).unwrap_or(StopBits::One),
    }
}

/// The level after sending is the other one: validation refuses anything else.
const fn direction_control(rs485: &Rs485) -> Rs485Settings {
    Rs485Settings {
        rts_while_sending: match rs485.rts_on_send {
            Level::Low => RtsLevel::Low,
            Level::High => RtsLevel::High,
        },
        delay_before_send: rs485.delay_before_send,
        delay_after_send: rs485.delay_after_send,
        own_bytes: match rs485.own_bytes {
            ConfiguredOwnBytes::Unheard => OwnBytes::Unheard,
            ConfiguredOwnBytes::Heard => OwnBytes::Heard,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_setting_reaches_the_port() {
        let serial = Serial {
            device: "/dev/ttyS7".into(),
            baud_rate: 1200,
            data_bits: 7,
            stop_bits: 2,
            parity: ConfiguredParity::Mark,
            flow_control: ConfiguredFlow::RtsCts,
            rs485: Some(Rs485 {
                rts_on_send: Level::Low,
                rts_after_send: Level::High,
                delay_before_send: Duration::from_millis(1),
                delay_after_send: Duration::from_millis(2),
                own_bytes: ConfiguredOwnBytes::Heard,
            }),
        };
        let settings = serial_settings(&serial);
        assert_eq!(settings.device, serial.device);
        assert_eq!(settings.format.to_string(), "1200 7M2");
        assert_eq!(settings.flow, FlowControl::RtsCts);
        let rs485 = settings.rs485.unwrap();
        assert_eq!((rs485.rts_while_sending, rs485.own_bytes), (RtsLevel::Low, OwnBytes::Heard));
        assert_eq!(rs485.delay_before_send + rs485.delay_after_send, Duration::from_millis(3));
    }
}
