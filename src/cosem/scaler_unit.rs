//! scaler_unit: what the raw number of a register means.

use super::decimal::Decimal;
use super::unit::Unit;
use crate::wire::data::Data;

/// The Blue Book's scal_unit_type: value = raw × 10^scaler, in `unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScalerUnit {
    /// Power of ten.
    pub scaler: i8,
    /// Physical unit.
    pub unit: Unit,
}

impl ScalerUnit {
    /// A pure number: scaler 0, no unit.
    pub const PLAIN: Self = Self { scaler: 0, unit: Unit::NONE };

    /// Reads `structure { integer scaler, enum unit }`; null-data is [`Self::PLAIN`].
    ///
    /// Other integer types are tolerated in both places, as long as the numbers fit.
    #[must_use]
    pub fn from_data(data: &Data) -> Option<Self> {
        match data {
            Data::Null | Data::DontCare => Some(Self::PLAIN),
            Data::Structure(elements) => match elements.as_slice() {
                [scaler, unit] => Some(Self {
                    scaler: i8::try_from(Decimal::from_data(scaler)?.as_i64()?).ok()?,
                    unit: Unit(u8::try_from(Decimal::from_data(unit)?.as_i64()?).ok()?),
                }),
                _ => None,
            },
            _ => None,
        }
    }

    /// The structure as a meter holds it.
    #[must_use]
    pub fn to_data(self) -> Data {
        Data::Structure(vec![Data::Integer(self.scaler), Data::Enum(self.unit.0)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let wh = ScalerUnit { scaler: -3, unit: Unit(30) };
        let bytes = [0x02, 0x02, 0x0F, 0xFD, 0x16, 0x1E];
        assert_eq!(wh.to_data().to_bytes(), bytes);
        assert_eq!(ScalerUnit::from_data(&Data::from_bytes(&bytes).expect("well formed")), Some(wh));
    }

    #[test]
    fn odd_forms() {
        let pair = |a, b| ScalerUnit::from_data(&Data::Structure(vec![a, b]));
        assert_eq!(
            pair(Data::Long(-1), Data::Unsigned(35)),
            Some(ScalerUnit { scaler: -1, unit: Unit(35) }),
            "other integer types"
        );
        assert_eq!(pair(Data::Long(200), Data::Enum(35)), None);
        assert_eq!(pair(Data::Null, Data::Enum(35)), None);
        assert_eq!(ScalerUnit::from_data(&Data::Null), Some(ScalerUnit::PLAIN));
        assert_eq!(ScalerUnit::from_data(&Data::Structure(vec![])), None);
        assert_eq!(ScalerUnit::from_data(&Data::Unsigned(1)), None);
    }
}
