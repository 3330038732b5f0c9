//! Which scaler and unit hold for a value: the meter's, or what the configuration gives in their place.

use crate::cosem::scaler_unit::ScalerUnit;
use crate::cosem::unit::Unit;
use crate::error::{Code, Layer, Report};
use crate::wire::data::Data;

/// A unit that the configuration gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitOverride {
    /// A text, published as it is, without a code.
    Text(String),
    /// A unit by its code.
    Code(Unit),
}

/// Scaler and unit that the configuration gives in place of the meter's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Power of ten.
    pub scaler: Option<i8>,
    /// Unit.
    pub unit: Option<UnitOverride>,
}

impl Overrides {
    /// Whether they make the meter's scaler_unit needless.
    #[must_use]
    pub const fn are_complete(&self) -> bool {
        self.scaler.is_some() && self.unit.is_some()
    }
}

/// The scaler and unit that hold for a value.
pub(super) struct Scale {
    pub(super) scaler: Option<i8>,
    pub(super) unit: Option<String>,
    pub(super) unit_code: Option<u8>,
}

impl Scale {
    pub(super) const NONE: Self = Self { scaler: None, unit: None, unit_code: None };

    pub(super) fn new(meter: Option<ScalerUnit>, overrides: &Overrides) -> Self {
        let unit_code = match &overrides.unit {
            Some(UnitOverride::Text(_)) => None,
            Some(UnitOverride::Code(unit)) => Some(*unit),
            None => meter.map(|meter| meter.unit),
        };
        Self {
            scaler: overrides.scaler.or(meter.map(|meter| meter.scaler)),
            unit: match &overrides.unit {
                Some(UnitOverride::Text(text)) => Some(text.clone()),
                _ => unit_code.and_then(Unit::text),
            },
            unit_code: unit_code.map(|unit| unit.0),
        }
    }
}

/// Reads the scaler_unit of an object.
///
/// # Errors
/// `DECODE` where it is none.
pub fn scaler_unit(data: &Data) -> Result<ScalerUnit, Report> {
    ScalerUnit::from_data(data).ok_or_else(|| {
        Report::new(
            Code::Decode,
            Layer::Decode,
            format!("scaler_unit is no scaler and unit, but {}", data.type_name()),
        )
    })
}

/// Why a number is not published.
pub(super) fn without_scaler(error: &Report) -> Report {
    let mut report = error.clone();
    report.message =
        format!("scaler_unit could not be read, and the number means nothing without it: {}", error.message);
    report.with_hint("give scaler and unit with the value if the meter does not offer them")
}
