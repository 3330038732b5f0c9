//! A connection as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bridge::config::forms::Switchable;
use crate::bridge::config::name::Name;
use crate::bridge::config::quantity::{Flag, Integer, Period};
use crate::bridge::config::scalar::choice;

/// A line that meters hang on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    /// Name: 1 to 64 letters, digits, _ or -.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether it is used. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<Flag>,
    /// Kind of line. Default: tcp.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// tcp, udp: name or address of the peer. listen: address to listen on (default: every one).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// tcp, udp: port of the peer. listen: port to listen on. Default: 4059.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<Integer>,
    /// tcp: keep the connection between cycles. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent: Option<Flag>,
    /// Keep associations open between visits, whatever the pause. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Flag>,
    /// tcp: longest time for the connection to open. Default: 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Period>,
    /// tcp, listen: idle time after which TCP probes the peer, or off. Default: 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Switchable<Period>>,
    /// listen: most connections at a time. Default: 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub max_connections: Option<Integer>,
    /// listen: time in which who connects must be known. Default: 30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identify_timeout: Option<Period>,
    /// serial: path of the port; best one below /dev/serial/by-id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// serial: 300, 1200, 2400, 4800, 9600, 19200, 38400, 57600 or 115200 baud. Default: 9600.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [300, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, null]))]
    pub baud_rate: Option<Integer>,
    /// serial: data bits. HDLC needs 8. Default: 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 8))]
    pub data_bits: Option<Integer>,
    /// serial: stop bits. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2))]
    pub stop_bits: Option<Integer>,
    /// serial: parity. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parity: Option<Parity>,
    /// serial: flow control. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_control: Option<FlowControl>,
    /// serial: direction control of RS-485 by the driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rs485: Option<Rs485>,
    /// serial, tcp: software_7e1 computes the parity bit over 8 data bits, for serial servers and optical heads that can't.
    /// Default: native.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parity_mode: Option<ParityMode>,
    /// serial, tcp: what becomes of our own bytes coming back. Default: auto.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo: Option<Echo>,
    /// Pause between receiving and sending. Default: 20ms on serial lines, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turnaround: Option<Period>,
}

choice! {
    /// Kind of line.
    Kind {
        /// We connect over TCP.
        Tcp => "tcp",
        /// A serial port.
        Serial => "serial",
        /// UDP, with the WRAPPER.
        Udp => "udp",
        /// Meters or modems connect to us over TCP.
        Listen => "listen",
    }
}

choice! {
    /// Parity.
    Parity {
        /// None.
        None => "none",
        /// Even.
        Even => "even",
        /// Odd.
        Odd => "odd",
        /// Always 1.
        Mark => "mark",
        /// Always 0.
        Space => "space",
    }
}

choice! {
    /// Flow control.
    FlowControl {
        /// None.
        None => "none",
        /// By the lines RTS and CTS.
        RtsCts => "rts_cts",
        /// By characters. HDLC is transparent, so this can't carry it safely.
        XonXoff => "xon_xoff",
    }
}

choice! {
    /// Who makes the parity bit.
    ParityMode {
        /// The port.
        Native => "native",
        /// We do: 7 bits and even parity in 8 bits without.
        Software7E1 => "software_7e1",
    }
}

choice! {
    /// What becomes of our own bytes coming back.
    Echo {
        /// Noticed: dropped once it is certain.
        Auto => "auto",
        /// Always dropped.
        Drop => "drop",
        /// Never looked for.
        Off => "off",
    }
}

/// Direction control of RS-485, where the driver has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rs485 {
    /// RTS is high while sending. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rts_on_send: Option<Flag>,
    /// RTS is high after sending. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rts_after_send: Option<Flag>,
    /// Pause between RTS and the first bit. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_before_send: Option<Period>,
    /// Pause between the last bit and RTS. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_after_send: Option<Period>,
    /// Receive while sending. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_during_send: Option<Flag>,
}
