//! What a server sends instead of a response: ConfirmedServiceError and exception-response.

use std::fmt;

use super::{expect_tag, tag};
use crate::error::{Code, Layer, Report};
use crate::wire::error::WireError;

/// confirmedServiceError: three numbers that name a fault; unknown ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfirmedServiceError {
    /// Service: 1 initiateError, 5 read, 6 write.
    pub service: u8,
    /// Error class.
    pub class: u8,
    /// Error within the class.
    pub value: u8,
}

impl ConfirmedServiceError {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[tag::CONFIRMED_SERVICE_ERROR, self.service, self.class, self.value]);
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `TrailingBytes`.
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::CONFIRMED_SERVICE_ERROR)?;
        let [service, class, value] = reader.array()?;
        reader.finish()?;
        Ok(Self { service, class, value })
    }

    /// The standard's name of the service.
    #[must_use]
    pub const fn service_name(self) -> &'static str {
        match self.service {
            1 => "initiateError",
            2 => "getStatus",
            3 => "getNameList",
            4 => "getVariableAttribute",
            5 => "read",
            6 => "write",
            7 => "getDataSetAttribute",
            8 => "getTIAttribute",
            9 => "changeScope",
            10 => "start",
            11 => "stop",
            12 => "resume",
            13 => "makeUsable",
            14 => "initiateLoad",
            15 => "loadSegment",
            16 => "terminateLoad",
            17 => "initiateUpLoad",
            18 => "upLoadSegment",
            19 => "terminateUpLoad",
            _ => "unknown service",
        }
    }

    /// The standard's name of the error class.
    #[must_use]
    pub const fn class_name(self) -> &'static str {
        match self.class {
            0 => "application-reference",
            1 => "hardware-resource",
            2 => "vde-state-error",
            3 => "service",
            4 => "definition",
            5 => "access",
            6 => "initiate",
            7 => "load-data-set",
            8 => "change-scope",
            9 => "task",
            _ => "unknown class",
        }
    }

    /// The standard's name of the error.
    #[must_use]
    pub const fn value_name(self) -> &'static str {
        match (self.class, self.value) {
            (0..=9, 0) => "other",
            (0, 1) => "time-elapsed",
            (0, 2) => "application-unreachable",
            (0, 3) => "application-reference-invalid",
            (0, 4) => "application-context-unsupported",
            (0, 5) => "provider-communication-error",
            (0, 6) => "deciphering-error",
            (1, 1) => "memory-unavailable",
            (1, 2) => "processor-resource-unavailable",
            (1, 3) => "mass-storage-unavailable",
            (1, 4) => "other-resource-unavailable",
            (2, 1) => "no-dlms-context",
            (2, 2) => "loading-data-set",
            (2, 3) => "status-nochange",
            (2, 4) => "status-inoperable",
            (3, 1) => "pdu-size",
            (3, 2) => "service-unsupported",
            (4, 1) => "object-undefined",
            (4, 2) => "object-class-inconsistent",
            (4, 3) => "object-attribute-inconsistent",
            (5, 1) => "scope-of-access-violated",
            (5, 2) => "object-access-invalid",
            (5, 3) => "hardware-fault",
            (5, 4) => "object-unavailable",
            (6, 1) => "dlms-version-too-low",
            (6, 2) => "incompatible-conformance",
            (6, 3) => "pdu-size-too-short",
            (6, 4) => "refused-by-the-VDE-handler",
            _ => "unknown error",
        }
    }

    /// The published form. Its number is the error within the class; the message names all three.
    #[must_use]
    pub fn report(self) -> Report {
        let layer = match self.service {
            5 => Layer::Get,
            6 => Layer::Set,
            _ => Layer::Acse,
        };
        Report::new(Code::ServiceError, layer, format!("the meter answers ConfirmedServiceError: {self}"))
            .with_dlms(self.value)
    }
}

impl fmt::Display for ConfirmedServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, class, value } = self;
        let (service_name, class_name) = (self.service_name(), self.class_name());
        write!(f, "{service_name} {class_name} {} ({service}-{class}-{value})", self.value_name())
    }
}

/// The service-error of an exception-response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceError {
    /// operation-not-possible (1).
    OperationNotPossible,
    /// service-not-supported (2).
    ServiceNotSupported,
    /// other-reason (3).
    OtherReason,
    /// pdu-too-long (4).
    PduTooLong,
    /// deciphering-error (5).
    DecipheringError,
    /// invocation-counter-error (6).
    InvocationCounterError,
    /// A number that the standard does not define.
    Other(u8),
}

impl ServiceError {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::OperationNotPossible => 1,
            Self::ServiceNotSupported => 2,
            Self::OtherReason => 3,
            Self::PduTooLong => 4,
            Self::DecipheringError => 5,
            Self::InvocationCounterError => 6,
            Self::Other(code) => code,
        }
    }

    /// The error with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::OperationNotPossible,
            2 => Self::ServiceNotSupported,
            3 => Self::OtherReason,
            4 => Self::PduTooLong,
            5 => Self::DecipheringError,
            6 => Self::InvocationCounterError,
            code => Self::Other(code),
        }
    }

    /// The standard's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OperationNotPossible => "operation-not-possible",
            Self::ServiceNotSupported => "service-not-supported",
            Self::OtherReason => "other-reason",
            Self::PduTooLong => "pdu-too-long",
            Self::DecipheringError => "deciphering-error",
            Self::InvocationCounterError => "invocation-counter-error",
            Self::Other(_) => "unknown error",
        }
    }
}

/// exception-response. It comes in clear even in a ciphered association, so anyone may have sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExceptionResponse {
    /// state-error: 1 service-not-allowed, 2 service-unknown.
    pub state: u8,
    /// service-error.
    pub service: ServiceError,
    /// The counter that the server expects; with invocation-counter-error only, and some leave it out.
    pub invocation_counter: Option<u32>,
}

impl ExceptionResponse {
    /// state-error service-not-allowed.
    pub const SERVICE_NOT_ALLOWED: u8 = 1;
    /// state-error service-unknown.
    pub const SERVICE_UNKNOWN: u8 = 2;

    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[tag::EXCEPTION_RESPONSE, self.state, self.service.code()]);
        if let Some(counter) = self.invocation_counter {
            out.extend_from_slice(&counter.to_be_bytes());
        }
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `TrailingBytes`.
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::EXCEPTION_RESPONSE)?;
        let state = reader.u8()?;
        let service = ServiceError::from_code(reader.u8()?);
        let counted = service == ServiceError::InvocationCounterError && !reader.is_empty();
        let invocation_counter = if counted { Some(reader.u32()?) } else { None };
        reader.finish()?;
        Ok(Self { state, service, invocation_counter })
    }

    /// The standard's name of the state-error.
    #[must_use]
    pub const fn state_name(self) -> &'static str {
        match self.state {
            Self::SERVICE_NOT_ALLOWED => "service-not-allowed",
            Self::SERVICE_UNKNOWN => "service-unknown",
            _ => "unknown state",
        }
    }

    /// The published form. The APDU does not say which service it answers: unless ciphering failed the layer is
    /// `acse`, and the caller that knows the service may put its own.
    #[must_use]
    pub fn report(self) -> Report {
        let (code, layer) = match self.service {
            ServiceError::DecipheringError => (Code::CipherKey, Layer::Cipher),
            ServiceError::InvocationCounterError => (Code::CipherIc, Layer::Cipher),
            _ if self.state == Self::SERVICE_NOT_ALLOWED => (Code::ServiceNotAllowed, Layer::Acse),
            _ => (Code::Exception, Layer::Acse),
        };
        Report::new(code, layer, format!("the meter answers exception-response: {self}"))
            .with_dlms(self.service.code())
    }
}

impl fmt::Display for ExceptionResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, service) = (self.state_name(), self.service.name());
        write!(f, "{state}, {service} ({}-{})", self.state, self.service.code())?;
        match self.invocation_counter {
            Some(counter) => write!(f, ", the meter expects invocation counter {counter}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::WireErrorKind;

    #[test]
    fn confirmed_service_error_both_ways() {
        let bytes = [0x0E, 1, 6, 3];
        let error = ConfirmedServiceError { service: 1, class: 6, value: 3 };
        let mut out = Vec::new();
        error.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(ConfirmedServiceError::decode(&bytes), Ok(error));
        let report = error.report();
        assert_eq!((report.code, report.layer, report.dlms), (Code::ServiceError, Layer::Acse, Some(3)));
        assert!(report.message.ends_with("initiateError initiate pdu-size-too-short (1-6-3)"));
    }

    #[test]
    fn exception_response_both_ways() {
        for (bytes, state, service, invocation_counter, code) in [
            (&[0xD8u8, 1, 1][..], 1, ServiceError::OperationNotPossible, None, Code::ServiceNotAllowed),
            (&[0xD8, 2, 2], 2, ServiceError::ServiceNotSupported, None, Code::Exception),
            (&[0xD8, 2, 5], 2, ServiceError::DecipheringError, None, Code::CipherKey),
            (&[0xD8, 1, 6, 0, 0, 0, 255], 1, ServiceError::InvocationCounterError, Some(255), Code::CipherIc),
            (&[0xD8, 1, 6], 1, ServiceError::InvocationCounterError, None, Code::CipherIc),
            (&[0xD8, 3, 9], 3, ServiceError::Other(9), None, Code::Exception),
        ] {
            let exception = ExceptionResponse { state, service, invocation_counter };
            let mut out = Vec::new();
            exception.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(ExceptionResponse::decode(bytes), Ok(exception));
            assert_eq!(exception.report().code, code);
        }
        assert_eq!(ExceptionResponse::decode(&[0xD8, 1, 1, 0]), Err(WireErrorKind::TrailingBytes.at(3)));
        assert_eq!(ExceptionResponse::decode(&[0xD8, 1, 6, 0]), Err(WireErrorKind::Truncated.at(3)));
    }
}
