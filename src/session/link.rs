//! What every data link speaks of: timing, events, errors and counters.

use std::time::Duration;

use crate::error::{Code, Layer, Report};
use crate::wire::wrapper::WrapperError;

/// The times of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkTiming {
    /// How long an answer may take, counted from the moment our last octet left.
    pub response_timeout: Duration,
    /// How often an unanswered frame is sent again before the link fails.
    pub retries: u32,
    /// The longest gap inside a frame.
    pub inter_octet_timeout: Duration,
    /// The shortest pause between receiving and sending (turnaround).
    pub request_delay: Duration,
    /// The shortest pause between a disconnect and what is sent next.
    pub disconnect_delay: Duration,
    /// How long one octet takes on the line; zero where that is negligible. It matters at 300 baud.
    pub octet_time: Duration,
}

impl Default for LinkTiming {
    /// For a meter on a directly attached serial line or a local network.
    fn default() -> Self {
        Self {
            response_timeout: Duration::from_secs(5),
            retries: 3,
            inter_octet_timeout: Duration::from_millis(500),
            request_delay: Duration::ZERO,
            disconnect_delay: Duration::ZERO,
            octet_time: Duration::ZERO,
        }
    }
}

/// Whether the meter answers an APDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It does: the link fails where no answer comes.
    Expected,
    /// It does not.
    None,
}

/// Whose frames count as answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressCheck {
    /// Those of the addressed station, known faults of real meters included.
    #[default]
    Tolerant,
    /// Everybody's: for the only meter on a line whose addresses make no sense.
    Ignored,
}

/// What holds for a link that is up, from our view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkParameters {
    /// Octets of the longest information field that we send.
    pub max_send: u16,
    /// Octets of the longest information field that we receive.
    pub max_receive: u16,
    /// Frames we send before an acknowledgement.
    pub send_window: u8,
    /// Frames we receive before an acknowledgement.
    pub receive_window: u8,
}

/// What a link reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The link is up.
    Connected(LinkParameters),
    /// A whole APDU, without the link's headers.
    Apdu(Vec<u8>),
    /// A whole APDU that came outside of the numbered exchange: a push.
    Unsolicited(Vec<u8>),
    /// The link is down, as asked.
    Disconnected,
    /// The link is down, not as asked.
    Failed(LinkError),
}

/// Why a link failed, or why it refuses an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No answer to SNRM.
    #[error("no answer to SNRM")]
    NoUa,
    /// The station answered DM: it is, or has gone, off line.
    #[error("the station is disconnected (DM)")]
    DisconnectedMode,
    /// The station answered FRMR.
    #[error("the station rejected a frame (FRMR): control {control:#04x}, reason {reason:#04x}")]
    FrameRejected {
        /// The control octet that it rejects; 0 where it does not say.
        control: u8,
        /// Its reason; the order of bits differs between meters.
        reason: u8,
    },
    /// The station set the link up anew by itself (UA without SNRM): the association is lost.
    #[error("the station reset the link (unexpected UA)")]
    Reset,
    /// No answer, and damaged frames were seen.
    #[error("no undamaged answer: frames arrive with wrong check sequences")]
    Damaged,
    /// No answer at all.
    #[error("no answer in time")]
    Timeout,
    /// No answer, but many other APDUs.
    #[error("no answer among many other APDUs")]
    Drowned,
    /// Parts of answers without end, and hardly anything in them.
    #[error("the meter keeps the link busy and brings hardly anything")]
    Stalled,
    /// No answer but our own frames.
    #[error("no answer but the echo of our own frames")]
    Echo,
    /// No answer but PDUs of other wPorts.
    #[error("the answer came from wPort {source_port} to {destination_port}")]
    WrapperAddress {
        /// wPort of the sender.
        source_port: u16,
        /// wPort of the receiver.
        destination_port: u16,
    },
    /// The stream is no wrapper stream.
    #[error(transparent)]
    NotWrapper(#[from] WrapperError),
    /// An APDU longer than the link takes.
    #[error("an APDU is longer than the link takes")]
    TooLong,
    /// The link is not up.
    #[error("the link is not up")]
    NotConnected,
    /// The link still waits for an answer.
    #[error("the link still waits for an answer")]
    Busy,
}

impl LinkError {
    /// The published form on a wrapper link.
    #[must_use]
    pub fn wrapper_report(&self) -> Report {
        let report = self.report();
        match report.layer {
            Layer::Hdlc => Report { layer: Layer::Wrapper, ..report },
            _ => report,
        }
    }

    /// The published form. For an error of a certain link see [`super::DataLink::report`].
    #[must_use]
    pub fn report(&self) -> Report {
        let (code, layer) = match self {
            Self::NoUa => (Code::HdlcNoUa, Layer::Hdlc),
            Self::DisconnectedMode | Self::Reset => (Code::HdlcDm, Layer::Hdlc),
            Self::FrameRejected { .. } => (Code::HdlcFrmr, Layer::Hdlc),
            Self::Damaged => (Code::HdlcFcs, Layer::Hdlc),
            Self::Timeout | Self::Drowned | Self::Stalled => (Code::Timeout, Layer::Hdlc),
            Self::Echo => (Code::SerialEcho, Layer::Serial),
            Self::WrapperAddress { .. } => (Code::WrapperAddress, Layer::Wrapper),
            Self::NotWrapper(_) => (Code::Decode, Layer::Wrapper),
            Self::TooLong => (Code::Decode, Layer::Hdlc),
            Self::NotConnected => (Code::LinkDown, Layer::Hdlc),
            Self::Busy => (Code::Busy, Layer::Hdlc),
        };
        let report = Report::new(code, layer, self.to_string());
        match self {
            Self::Reset => {
                report.with_hint("another client may use the meter; the association is set up again")
            }
            Self::NotWrapper(WrapperError::SpeaksHdlc) => {
                report.with_hint("set interface: hdlc on the device: the meter speaks HDLC over TCP")
            }
            Self::NotWrapper(WrapperError::SpeaksIec62056) => report.with_hint(
                "the meter answers in IEC 62056-21 text: set interface: hdlc_mode_e, or check the port",
            ),
            Self::NotWrapper(_) => {
                report.with_hint("check interface: the peer does not speak the TCP wrapper")
            }
            Self::Stalled => report.with_hint("the meter was given up so that others are served"),
            Self::Drowned => {
                report.with_hint("the meter sends pushes, or answers to requests of others, here")
            }
            _ => report,
        }
    }
}

/// What a link has seen, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Good frames or PDUs, of anybody.
    pub frames: u64,
    /// Frames dropped because a check sequence did not match.
    pub checksum_failures: u64,
    /// Frames dropped because they ended too early.
    pub cut_off: u64,
    /// Octets outside of frames.
    pub noise_octets: u64,
    /// Frames of other stations or for other clients.
    pub foreign: u64,
    /// Our own frames that came back.
    pub echoes: u64,
    /// Answers whose addresses were wrong in a known and harmless way.
    pub tolerated_addresses: u64,
    /// Acknowledgements of frames that were never sent, where they can only mean those that were.
    pub tolerated_numbers: u64,
    /// Frames that had arrived before.
    pub duplicates: u64,
    /// Frames sent again, or asked for again.
    pub retransmissions: u64,
    /// APDUs whose segments each repeated the LLC header.
    pub repeated_llc: u64,
    /// Octets of APDUs and of their segments, each counted once.
    pub octets: u64,
}
