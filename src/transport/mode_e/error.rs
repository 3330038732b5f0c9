//! What a meter did instead of signing on.

use crate::error::{Code, Layer, Report};

/// Octets quoted of an answer that can't be read.
const QUOTED: usize = 32;

/// Why a sign-on failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignOnError {
    /// The address can't be sent.
    #[error("the address of IEC 62056-21 has at most 32 letters, digits and spaces")]
    Address,
    /// Nothing came.
    #[error("no answer to the sign-on at 300 baud")]
    Silent,
    /// Our own request came back, and nothing else.
    #[error("no answer to the sign-on at 300 baud but its own echo")]
    OnlyEcho,
    /// Something came that is no identification.
    #[error(
        "the answer to the sign-on can't be read: {octets} octets, {parity_errors} of them with wrong parity, beginning {beginning:?}"
    )]
    Unreadable {
        /// The first octets, escaped.
        beginning: String,
        /// How many came.
        octets: usize,
        /// How many of them had a wrong parity bit; 0 where the port checks it.
        parity_errors: u64,
    },
    /// The meter sends a data readout: it knows modes C or D alone.
    #[error("the meter sends a data readout instead: it does not offer mode E")]
    Readout,
    /// The meter answered the selection of mode E with NAK.
    #[error("the meter refused the selection of mode E (NAK)")]
    Refused,
}

impl SignOnError {
    pub(super) fn unreadable(received: &[u8], parity_errors: u64) -> Self {
        let beginning = received[..received.len().min(QUOTED)].escape_ascii().to_string();
        Self::Unreadable { beginning, octets: received.len(), parity_errors }
    }

    /// This, unless the attempt before it says more.
    pub(super) fn or(self, earlier: Self) -> Self {
        if self == Self::Silent { earlier } else { self }
    }

    /// The published form.
    #[must_use]
    pub fn report(&self) -> Report {
        let report = Report::new(Code::ModeE, Layer::ModeE, self.to_string());
        match self {
            Self::Address => report.with_hint("check mode_e.address"),
            Self::Silent | Self::OnlyEcho => report.with_hint(
                "check the seat of the optical head and the address; the meter may speak HDLC directly (interface: hdlc, often 9600 8N1)",
            ),
            Self::Unreadable { parity_errors: 0, .. } => {
                report.with_hint("check that the line is 300 baud 7E1; on serial servers set parity_mode: software_7e1")
            }
            Self::Unreadable { .. } => report.with_hint("check that the line is 300 baud, and the seat of the optical head"),
            Self::Readout | Self::Refused => {
                report.with_hint("the meter does not speak DLMS at this port, or its optical port must be set to it")
            }
        }
    }
}
