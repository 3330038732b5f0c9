//! Failures of a client's operation: the stream's or the session's.

use crate::error::Report;
use crate::session::error::{Recovery, SessionError};
use crate::session::link::LinkError;
use crate::transport::TransportError;

/// Why an operation with a meter failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The byte stream failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The session's link failed, and it is a wrapper link.
    #[error(transparent)]
    Wrapper(LinkError),
}

impl ClientError {
    /// What to do about it.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        match self {
            Self::Transport(_) | Self::Wrapper(_) => Recovery::ReopenLink,
            Self::Session(error) => error.recovery(),
        }
    }

    /// The published form.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::Transport(error) => error.report(),
            Self::Session(error) => error.report(),
            Self::Wrapper(error) => error.wrapper_report(),
        }
    }
}
