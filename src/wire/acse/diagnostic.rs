//! How a server answers an association request: the result, and the diagnostic that explains it.

use std::fmt;

use crate::error::{Code, Layer, Report};

/// AARE result. It alone decides; a diagnostic may stand beside an acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssociationResult {
    /// accepted (0).
    Accepted,
    /// rejected-permanent (1).
    RejectedPermanent,
    /// rejected-transient (2).
    RejectedTransient,
}

impl AssociationResult {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::RejectedPermanent => 1,
            Self::RejectedTransient => 2,
        }
    }

    /// The result with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Accepted),
            1 => Some(Self::RejectedPermanent),
            2 => Some(Self::RejectedTransient),
            _ => None,
        }
    }
}

/// Who made a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiagnosticSource {
    /// acse-service-user: the application, choice `A1`.
    User,
    /// acse-service-provider: the ACSE layer itself, choice `A2`.
    Provider,
}

/// The result-source-diagnostic of an AARE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Who made it.
    pub source: DiagnosticSource,
    /// Its number; unknown ones are kept.
    pub value: u8,
}

impl Diagnostic {
    /// Nothing to say.
    pub const NULL: Self = Self { source: DiagnosticSource::User, value: 0 };
    /// application-context-name-not-supported.
    pub const APPLICATION_CONTEXT_NAME_NOT_SUPPORTED: Self =
        Self { source: DiagnosticSource::User, value: 2 };
    /// The mechanism that was asked for is not supported.
    pub const MECHANISM_NAME_NOT_RECOGNISED: Self = Self { source: DiagnosticSource::User, value: 11 };
    /// The meter wants a mechanism, none was named.
    pub const MECHANISM_NAME_REQUIRED: Self = Self { source: DiagnosticSource::User, value: 12 };
    /// Wrong password.
    pub const AUTHENTICATION_FAILURE: Self = Self { source: DiagnosticSource::User, value: 13 };
    /// Passes 3 and 4 of high level authentication must follow.
    pub const AUTHENTICATION_REQUIRED: Self = Self { source: DiagnosticSource::User, value: 14 };

    /// The standard's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.source, self.value) {
            (_, 0) => "null",
            (_, 1) => "no-reason-given",
            (DiagnosticSource::Provider, 2) => "no-common-acse-version",
            (DiagnosticSource::User, 2) => "application-context-name-not-supported",
            (DiagnosticSource::User, 3) => "calling-AP-title-not-recognized",
            (DiagnosticSource::User, 4) => "calling-AP-invocation-identifier-not-recognized",
            (DiagnosticSource::User, 5) => "calling-AE-qualifier-not-recognized",
            (DiagnosticSource::User, 6) => "calling-AE-invocation-identifier-not-recognized",
            (DiagnosticSource::User, 7) => "called-AP-title-not-recognized",
            (DiagnosticSource::User, 8) => "called-AP-invocation-identifier-not-recognized",
            (DiagnosticSource::User, 9) => "called-AE-qualifier-not-recognized",
            (DiagnosticSource::User, 10) => "called-AE-invocation-identifier-not-recognized",
            (DiagnosticSource::User, 11) => "authentication-mechanism-name-not-recognised",
            (DiagnosticSource::User, 12) => "authentication-mechanism-name-required",
            (DiagnosticSource::User, 13) => "authentication-failure",
            (DiagnosticSource::User, 14) => "authentication-required",
            _ => "unknown diagnostic",
        }
    }

    /// The published form, for an association that was rejected.
    #[must_use]
    pub fn report(self) -> Report {
        let report = Report::new(
            Code::AareRejected,
            Layer::Acse,
            format!("the meter refused the association: {self}"),
        )
        .with_dlms(self.value);
        match (self.source, self.value) {
            (DiagnosticSource::User, 2) => {
                report.with_hint("the meter wants another referencing (LN or SN), or ciphering on or off")
            }
            (DiagnosticSource::User, 3) => {
                report.with_hint("check the client's system_title: the meter does not know it")
            }
            (DiagnosticSource::User, 11 | 12 | 14) => {
                report.with_hint("set access_security to the mechanism that the meter demands")
            }
            (DiagnosticSource::User, 13) => {
                report.with_hint("check the password and client_address; too many trials may lock the meter")
            }
            _ => report,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            DiagnosticSource::User => "acse-service-user",
            DiagnosticSource::Provider => "acse-service-provider",
        };
        write!(f, "{} ({source} {})", self.name(), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_names_its_reason() {
        let report = Diagnostic::AUTHENTICATION_FAILURE.report();
        assert_eq!((report.code, report.layer, report.dlms), (Code::AareRejected, Layer::Acse, Some(13)));
        assert_eq!(
            report.message,
            "the meter refused the association: authentication-failure (acse-service-user 13)"
        );
        assert!(report.hint.contains("password"));
        let provider = Diagnostic { source: DiagnosticSource::Provider, value: 2 };
        assert_eq!(provider.name(), "no-common-acse-version");
        assert_eq!(Diagnostic { source: DiagnosticSource::User, value: 99 }.name(), "unknown diagnostic");
    }
}
