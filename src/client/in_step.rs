//! The proof that each answer was that of its request, where answers bear no number.
//!
//! Short names have no invoke-id and the wrapper no sequence numbers. When a modem, a gateway or the meter repeats one
//! answer, each that follows is taken for the next request's, and no single one looks wrong. But one answer too many stays
//! so: it stands before the answer to a last question whose answer is known beforehand.

use tokio::io::{AsyncRead, AsyncWrite};

use super::short_names::ASSOCIATION;
use super::{ClientError, MeterClient};
use crate::session::error::Recovery;
use crate::wire::data::Data;
use crate::wire::xdlms::sn::VariableAccess;

/// What the last question said of the answers before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InStep {
    /// Each was that of its request.
    Proven,
    /// Nothing: the meter does not tell the name of its association, or it has an unusual one.
    Untold,
}

impl<S: AsyncRead + AsyncWrite + Unpin> MeterClient<'_, S> {
    /// Proves that all answers were those of their requests, where answers bear no number. What was read before is to
    /// be trusted only if this succeeds. A meter that does not tell is asked to release the association: before its
    /// answer to that there must be no other.
    ///
    /// # Errors
    /// [`SessionError::OutOfStep`]; the stream's, the link's.
    ///
    /// [`SessionError::OutOfStep`]: crate::session::error::SessionError::OutOfStep
    pub async fn prove_in_step(&mut self) -> Result<(), ClientError> {
        match self.ask_in_step().await? {
            InStep::Proven => Ok(()),
            InStep::Untold => self.release().await,
        }
    }

    /// Asks for the name of the association, where answers bear no number; the association stays open.
    ///
    /// # Errors
    /// As [`Self::prove_in_step`].
    pub async fn ask_in_step(&mut self) -> Result<InStep, ClientError> {
        if !self.session().answers_are_unnumbered() {
            return Ok(InStep::Proven);
        }
        match self.read(vec![VariableAccess::Name(ASSOCIATION)]).await {
            Ok(results) => match results.as_slice() {
                [Ok(Data::OctetString(name))] if is_association(name) => Ok(InStep::Proven),
                _ => Ok(InStep::Untold),
            },
            Err(error) if error.recovery() == Recovery::ReportOnly => Ok(InStep::Untold),
            Err(error) => Err(error),
        }
    }
}

/// Whether a logical name is that of an association: 0-0:40.0.x*255.
const fn is_association(name: &[u8]) -> bool {
    matches!(name, [0, 0, 40, 0, _, 255])
}
