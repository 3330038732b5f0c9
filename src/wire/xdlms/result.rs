//! Data-access-result and action-result: what a server says about one attribute or method.

use std::fmt;

use crate::error::{Code, Layer, Report};

/// The result for one object (IEC 62056-5-3, "Data-Access-Result"; Action-Result has the same numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataAccessResult {
    /// 0.
    Success,
    /// 1.
    HardwareFault,
    /// 2.
    TemporaryFailure,
    /// 3.
    ReadWriteDenied,
    /// 4.
    ObjectUndefined,
    /// 9.
    ObjectClassInconsistent,
    /// 11.
    ObjectUnavailable,
    /// 12.
    TypeUnmatched,
    /// 13.
    ScopeOfAccessViolated,
    /// 14.
    DataBlockUnavailable,
    /// 15; of a method: long-action-aborted.
    LongGetAborted,
    /// 16; of a method: no-long-action-in-progress.
    NoLongGetInProgress,
    /// 17.
    LongSetAborted,
    /// 18.
    NoLongSetInProgress,
    /// 19.
    DataBlockNumberInvalid,
    /// 250.
    OtherReason,
    /// A number that the standard does not define.
    Other(u8),
}

impl DataAccessResult {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::HardwareFault => 1,
            Self::TemporaryFailure => 2,
            Self::ReadWriteDenied => 3,
            Self::ObjectUndefined => 4,
            Self::ObjectClassInconsistent => 9,
            Self::ObjectUnavailable => 11,
            Self::TypeUnmatched => 12,
            Self::ScopeOfAccessViolated => 13,
            Self::DataBlockUnavailable => 14,
            Self::LongGetAborted => 15,
            Self::NoLongGetInProgress => 16,
            Self::LongSetAborted => 17,
            Self::NoLongSetInProgress => 18,
            Self::DataBlockNumberInvalid => 19,
            Self::OtherReason => 250,
            Self::Other(code) => code,
        }
    }

    /// The result with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Success,
            1 => Self::HardwareFault,
            2 => Self::TemporaryFailure,
            3 => Self::ReadWriteDenied,
            4 => Self::ObjectUndefined,
            9 => Self::ObjectClassInconsistent,
            11 => Self::ObjectUnavailable,
            12 => Self::TypeUnmatched,
            13 => Self::ScopeOfAccessViolated,
            14 => Self::DataBlockUnavailable,
            15 => Self::LongGetAborted,
            16 => Self::NoLongGetInProgress,
            17 => Self::LongSetAborted,
            18 => Self::NoLongSetInProgress,
            19 => Self::DataBlockNumberInvalid,
            250 => Self::OtherReason,
            code => Self::Other(code),
        }
    }

    /// The standard's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::HardwareFault => "hardware-fault",
            Self::TemporaryFailure => "temporary-failure",
            Self::ReadWriteDenied => "read-write-denied",
            Self::ObjectUndefined => "object-undefined",
            Self::ObjectClassInconsistent => "object-class-inconsistent",
            Self::ObjectUnavailable => "object-unavailable",
            Self::TypeUnmatched => "type-unmatched",
            Self::ScopeOfAccessViolated => "scope-of-access-violated",
            Self::DataBlockUnavailable => "data-block-unavailable",
            Self::LongGetAborted => "long-get-aborted",
            Self::NoLongGetInProgress => "no-long-get-in-progress",
            Self::LongSetAborted => "long-set-aborted",
            Self::NoLongSetInProgress => "no-long-set-in-progress",
            Self::DataBlockNumberInvalid => "data-block-number-invalid",
            Self::OtherReason => "other-reason",
            Self::Other(_) => "unknown result",
        }
    }

    /// Whether the access succeeded.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Success)
    }

    /// `Err` with every result but success.
    ///
    /// # Errors
    /// The result itself.
    pub const fn into_result(self) -> Result<(), Self> {
        if self.is_success() { Ok(()) } else { Err(self) }
    }

    /// The published form of a refusal met in `layer`.
    ///
    /// Success where data were due is published as `OTHER_REASON` too.
    #[must_use]
    pub fn report(self, layer: Layer) -> Report {
        let code = match self {
            Self::HardwareFault => Code::MeterFault,
            Self::TemporaryFailure => Code::TemporaryFailure,
            Self::ReadWriteDenied | Self::ScopeOfAccessViolated => Code::AccessDenied,
            Self::ObjectUndefined => Code::ObjectUndefined,
            Self::ObjectClassInconsistent => Code::ClassMismatch,
            Self::ObjectUnavailable => Code::ObjectUnavailable,
            Self::TypeUnmatched => Code::TypeMismatch,
            Self::DataBlockUnavailable
            | Self::LongGetAborted
            | Self::NoLongGetInProgress
            | Self::LongSetAborted
            | Self::NoLongSetInProgress
            | Self::DataBlockNumberInvalid => Code::BlockTransfer,
            Self::Success | Self::OtherReason | Self::Other(_) => Code::OtherReason,
        };
        Report::new(code, layer, format!("the meter answers {self}")).with_dlms(self.code())
    }
}

impl fmt::Display for DataAccessResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives() {
        for code in 0..=0xFF {
            assert_eq!(DataAccessResult::from_code(code).code(), code);
        }
    }

    #[test]
    fn published_codes() {
        for (number, code) in [
            (1, Code::MeterFault),
            (2, Code::TemporaryFailure),
            (3, Code::AccessDenied),
            (4, Code::ObjectUndefined),
            (9, Code::ClassMismatch),
            (11, Code::ObjectUnavailable),
            (12, Code::TypeMismatch),
            (13, Code::AccessDenied),
            (14, Code::BlockTransfer),
            (19, Code::BlockTransfer),
            (77, Code::OtherReason),
            (250, Code::OtherReason),
        ] {
            let report = DataAccessResult::from_code(number).report(Layer::Get);
            assert_eq!((report.code, report.dlms), (code, Some(i64::from(number))));
        }
        let report = DataAccessResult::ReadWriteDenied.report(Layer::Set);
        assert_eq!(report.to_string(), "ACCESS_DENIED (set): the meter answers read-write-denied (3)");
    }
}
