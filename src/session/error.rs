//! Why a session operation failed, and what follows from it.

use super::exchange::ExchangeError;
use super::link::LinkError;
use crate::error::{Code, Layer, Report};
use crate::security::SecurityError;
use crate::wire::acse::{Diagnostic, Mechanism};
use crate::wire::error::WireError;
use crate::wire::xdlms::DataAccessResult;
use crate::wire::xdlms::fault::{ConfirmedServiceError, ExceptionResponse, ServiceError};

/// The failure of an operation of a [`super::client::ClientSession`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The data link failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// An association APDU cannot be decoded.
    #[error("association response not understood: {0}")]
    Acse(WireError),
    /// An APDU of another kind came in answer to an association request.
    #[error("APDU with tag {0:#04x} in answer to an association request")]
    UnexpectedApdu(u8),
    /// The AARE says no.
    #[error("association rejected: {0}")]
    Rejected(Diagnostic),
    /// The meter accepted another application context than proposed.
    #[error("the meter answered with another application context")]
    ApplicationContext,
    /// A ConfirmedServiceError in answer to the association request.
    #[error("association refused: {0}")]
    InitiateError(ConfirmedServiceError),
    /// An exception-response in answer to the association request.
    #[error("association refused: {0}")]
    InitiateException(ExceptionResponse),
    /// The meter demands high level authentication that was not asked for.
    #[error("the meter demands authentication in four passes; {0} was proposed")]
    HlsRequired(Mechanism),
    /// The meter sent no challenge.
    #[error("the meter accepted high level authentication without a challenge")]
    NoChallenge,
    /// The meter refused our proof.
    #[error("the meter refused the authentication: {0}")]
    HlsRefused(DataAccessResult),
    /// The meter gave no proof of its own.
    #[error("the meter gave no proof of its identity")]
    NoProof,
    /// Protection failed.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// A service failed.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A general block transfer went wrong.
    #[error("general block transfer: block {received} instead of {expected}")]
    GeneralBlock {
        /// The block that was due.
        expected: u16,
        /// The block that came.
        received: u16,
    },
    /// An answer that nobody asked for, where answers bear no number: any other may have been taken for its neighbour.
    #[error(
        "an answer too many: answers by short names bear no number, so none since the last proof is trusted"
    )]
    OutOfStep,
    /// The system gave no random bytes for the challenge.
    #[error("no random bytes for the challenge")]
    NoEntropy,
    /// The operation does not fit the session's state: our own fault.
    #[error("the session is not ready for this operation")]
    NotReady,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing is lost: report it and go on.
    ReportOnly,
    /// The association is gone or in doubt: associate again.
    Reassociate,
    /// The link is gone or in doubt: open it again.
    ReopenLink,
    /// The meter refuses us: try again later, and not often.
    BackOffMeter,
}

impl SessionError {
    /// What to do about it.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        match self {
            Self::Link(_) | Self::OutOfStep => Recovery::ReopenLink,
            Self::Acse(_)
            | Self::UnexpectedApdu(_)
            | Self::Rejected(_)
            | Self::ApplicationContext
            | Self::InitiateError(_)
            | Self::InitiateException(_)
            | Self::HlsRequired(_)
            | Self::NoChallenge
            | Self::HlsRefused(_)
            | Self::NoProof
            | Self::Security(_) => Recovery::BackOffMeter,
            Self::GeneralBlock { .. } => Recovery::Reassociate,
            Self::Exchange(error) => error.recovery(),
            Self::NoEntropy | Self::NotReady => Recovery::ReportOnly,
        }
    }

    /// The invocation counter that the meter says it expects. Nobody vouches for it: exceptions come in clear.
    #[must_use]
    pub const fn expected_counter(&self) -> Option<u32> {
        match self {
            Self::InitiateException(exception) | Self::Exchange(ExchangeError::Exception(exception)) => {
                exception.invocation_counter
            }
            _ => None,
        }
    }

    /// The published form.
    #[must_use]
    pub fn report(&self) -> Report {
        let plain = |code, layer| Report::new(code, layer, self.to_string());
        match self {
            Self::Link(error) => error.report(),
            Self::Security(error) => error.report(),
            Self::Exchange(error) => error.report(),
            Self::Rejected(diagnostic) => diagnostic.report(),
            Self::InitiateError(error) => error.report(),
            Self::InitiateException(error) => error.report(),
            Self::Acse(_) | Self::UnexpectedApdu(_) => plain(Code::Decode, Layer::Acse),
            Self::ApplicationContext => plain(Code::AareRejected, Layer::Acse),
            Self::HlsRequired(_) => plain(Code::HlsRequired, Layer::Hls),
            Self::HlsRefused(result) => plain(Code::AuthHls, Layer::Hls).with_dlms(result.code()),
            Self::NoChallenge | Self::NoProof => plain(Code::AuthHls, Layer::Hls),
            Self::GeneralBlock { .. } => plain(Code::BlockTransfer, Layer::Get),
            Self::OutOfStep => plain(Code::Decode, Layer::Wrapper)
                .with_hint("something between us and the meter repeats answers, or sends them too late"),
            Self::NoEntropy | Self::NotReady => plain(Code::Internal, Layer::Internal),
        }
    }
}

impl ExchangeError {
    /// What to do about it.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        match self {
            // Whatever the state: another association with the same counter is refused as well.
            Self::Exception(exception)
                if matches!(exception.service, ServiceError::InvocationCounterError) =>
            {
                Recovery::BackOffMeter
            }
            // The meter has no association with us any more.
            Self::Exception(exception) if exception.state == ExceptionResponse::SERVICE_NOT_ALLOWED => {
                Recovery::Reassociate
            }
            Self::Exception(exception) if matches!(exception.service, ServiceError::DecipheringError) => {
                Recovery::BackOffMeter
            }
            Self::Value(_)
            | Self::Exception(_)
            | Self::Refused(_)
            | Self::ServiceError(_)
            | Self::TooLong
            | Self::RequestTooLong(_)
            | Self::ResultCount { .. } => Recovery::ReportOnly,
            // Block counters and answers may be out of step: start afresh rather than trust the next answer.
            Self::Wire(_) | Self::Unexpected(_) | Self::BlockNumber { .. } | Self::SparseBlocks => {
                Recovery::Reassociate
            }
        }
    }

    /// The published form.
    #[must_use]
    pub fn report(&self) -> Report {
        let plain = |code, layer| Report::new(code, layer, self.to_string());
        match self {
            Self::Exception(exception) | Self::Refused(exception) => exception.report(),
            Self::ServiceError(error) => error.report(),
            Self::Wire(_) | Self::Value(_) | Self::Unexpected(_) | Self::ResultCount { .. } => {
                plain(Code::Decode, Layer::Decode)
            }
            Self::BlockNumber { .. } | Self::SparseBlocks | Self::TooLong => {
                plain(Code::BlockTransfer, Layer::Get)
            }
            Self::RequestTooLong(_) => plain(Code::BlockTransfer, Layer::Set),
        }
    }
}
