//! A failure on a link, with what follows from it.

use crate::client::ClientError;
use crate::error::{Code, Report};
use crate::session::error::Recovery;
use crate::transport::TransportError;

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The link did not open: the same for all its meters, and no word about any of them.
    Link,
    /// The meter, or the way to it.
    Meter,
}

/// Why a visit, or a part of one, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What failed.
    pub subject: Subject,
    /// The published form.
    pub report: Report,
    /// What follows.
    pub recovery: Recovery,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self { subject: Subject::Meter, report: error.report(), recovery: error.recovery() }
    }
}

impl Failure {
    /// The link did not open.
    #[must_use]
    pub fn of_link(error: &TransportError) -> Self {
        Self { subject: Subject::Link, report: error.report(), recovery: Recovery::ReopenLink }
    }

    /// A failure after which the meter is left alone for a while.
    #[must_use]
    pub const fn of_meter(report: Report) -> Self {
        Self { subject: Subject::Meter, report, recovery: Recovery::BackOffMeter }
    }

    /// Whether it is that no answer came in time, or none to a sign-on.
    #[must_use]
    pub const fn has_waited(&self) -> bool {
        matches!(self.report.code, Code::Timeout | Code::HdlcNoUa | Code::TcpTimeout | Code::ModeE)
    }

    /// Whether a connection or an association that was kept open may have gone stale: worth another attempt on a new one.
    ///
    /// A meter that does not answer may be dead, and other meters wait: that is worth none.
    #[must_use]
    pub fn may_be_stale(&self) -> bool {
        !self.has_waited() && matches!(self.recovery, Recovery::ReopenLink | Recovery::Reassociate)
    }
}
