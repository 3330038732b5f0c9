//! A failure on a link, with what follows from it.

use crate::client::ClientError;
use crate::error::Report;
use crate::session::error::Recovery;
use crate::transport::TransportError;

/// Why a visit, or a part of one, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The published form.
    pub report: Report,
    /// What follows.
    pub recovery: Recovery,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self { report: error.report(), recovery: error.recovery() }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self { report: error.report(), recovery: Recovery::ReopenLink }
    }
}

impl Failure {
    /// A failure after which the meter is left alone for a while.
    #[must_use]
    pub const fn of_meter(report: Report) -> Self {
        Self { report, recovery: Recovery::BackOffMeter }
    }
}
