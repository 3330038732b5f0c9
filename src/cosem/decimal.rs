//! Exact decimal numbers: a raw value times a power of ten, never through a float.

use std::fmt::{self, Write as _};

use crate::wire::data::Data;

/// Digits that every consumer's double can carry.
const SAFE_DIGITS: u32 = 15;
/// The largest magnitude up to which a double holds every integer.
const SAFE_INTEGER: i128 = 1 << 53;

/// `mantissa × 10^exponent`, in its one normal form: the mantissa does not end in 0, and zero is `0 × 10^0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i128,
    exponent: i16,
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self { mantissa: 0, exponent: 0 };

    /// `mantissa × 10^exponent`.
    #[must_use]
    pub const fn new(mantissa: i64, exponent: i8) -> Self {
        Self::normal(mantissa as i128, exponent as i16)
    }

    /// The number that `data` holds; `None` for what is no number, and for NaN and infinity.
    ///
    /// An enum is a number here, a boolean is not. Floats are taken at the shortest text of their own width: the
    /// float32 0.1 is 0.1.
    #[must_use]
    pub fn from_data(data: &Data) -> Option<Self> {
        let integer = match *data {
            Data::Integer(value) | Data::Bcd(value) | Data::DeltaInteger(value) => i128::from(value),
            Data::Long(value) | Data::DeltaLong(value) => i128::from(value),
            Data::DoubleLong(value) | Data::DeltaDoubleLong(value) => i128::from(value),
            Data::Long64(value) => i128::from(value),
            Data::Unsigned(value) | Data::DeltaUnsigned(value) | Data::Enum(value) => i128::from(value),
            Data::LongUnsigned(value) | Data::DeltaLongUnsigned(value) => i128::from(value),
            Data::DoubleLongUnsigned(value) | Data::DeltaDoubleLongUnsigned(value) => i128::from(value),
            Data::Long64Unsigned(value) => i128::from(value),
            Data::Float32(value) => return Self::from_exponent_text(&format!("{value:e}")),
            Data::Float64(value) => return Self::from_exponent_text(&format!("{value:e}")),
            _ => return None,
        };
        Some(Self::normal(integer, 0))
    }

    /// This times 10^`scaler`.
    #[must_use]
    pub const fn scaled(self, scaler: i8) -> Self {
        if self.mantissa == 0 {
            return self;
        }
        // The exponent of a float64 is within ±400 and a scaler within ±128: i16 is far.
        Self { mantissa: self.mantissa, exponent: self.exponent.saturating_add(scaler as i16) }
    }

    /// The number as an integer, where it is one and fits.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        let power = 10i128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        self.mantissa.checked_mul(power)?.try_into().ok()
    }

    /// Whether a consumer that reads JSON numbers as doubles would lose digits: beyond ±2⁵³, or more than 15
    /// significant digits.
    #[must_use]
    pub fn exceeds_double(self) -> bool {
        if self.mantissa.unsigned_abs().checked_ilog10().is_some_and(|log| log >= SAFE_DIGITS) {
            return true;
        }
        // At most 15 digits: only a positive exponent can take it beyond 2⁵³.
        u32::try_from(self.exponent).is_ok_and(|exponent| {
            10i128
                .checked_pow(exponent)
                .and_then(|power| self.mantissa.checked_mul(power))
                .is_none_or(|integer| integer.abs() > SAFE_INTEGER)
        }) && self.mantissa != 0
    }

    const fn normal(mut mantissa: i128, mut exponent: i16) -> Self {
        if mantissa == 0 {
            return Self::ZERO;
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        Self { mantissa, exponent }
    }

    /// Reads what `{:e}` writes of a finite float: `-1.2625e1`. `None` for `NaN` and `inf`.
    fn from_exponent_text(text: &str) -> Option<Self> {
        let (significand, exponent) = text.split_once('e')?;
        let exponent: i16 = exponent.parse().ok()?;
        let (whole, fraction) = significand.split_once('.').unwrap_or((significand, ""));
        let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
        Some(Self::normal(mantissa, exponent.checked_sub(i16::try_from(fraction.len()).ok()?)?))
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self::normal(i128::from(value), 0)
    }
}

impl fmt::Display for Decimal {
    /// All digits, no exponent, no trailing zeros after the point, no −0: a valid JSON number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.mantissa.unsigned_abs().to_string();
        if self.mantissa < 0 {
            f.write_char('-')?;
        }
        let zeros = usize::from(self.exponent.unsigned_abs());
        if self.exponent >= 0 {
            write!(f, "{digits}{:0<zeros$}", "")
        } else if let Some((whole, fraction)) =
            digits.len().checked_sub(zeros).filter(|whole| *whole > 0).map(|whole| digits.split_at(whole))
        {
            write!(f, "{whole}.{fraction}")
        } else {
            write!(f, "0.{digits:0>zeros$}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(data: &Data, scaler: i8) -> String {
        Decimal::from_data(data).expect("a number").scaled(scaler).to_string()
    }

    #[test]
    fn scaled_integers_keep_every_digit() {
        for (data, scaler, expected) in [
            (Data::DoubleLongUnsigned(12_345_678), -3, "12345.678"),
            (Data::LongUnsigned(2301), -1, "230.1"),
            (Data::LongUnsigned(2300), -1, "230"),
            (Data::Integer(5), 2, "500"),
            (Data::Long(-17), -2, "-0.17"),
            (Data::Unsigned(0), -5, "0"),
            (Data::Unsigned(0), 127, "0"),
            (Data::Long64Unsigned(u64::MAX), 0, "18446744073709551615"),
            (Data::Long64(i64::MIN), -19, "-0.9223372036854775808"),
            (Data::Long64(i64::MIN), -18, "-9.223372036854775808"),
            (Data::Bcd(0x42), 0, "66"),
            (Data::Enum(201), 0, "201"),
            (Data::DeltaLong(-3), 1, "-30"),
        ] {
            assert_eq!(text(&data, scaler), expected, "{data:?} × 10^{scaler}");
        }
    }

    #[test]
    fn floats_take_the_shortest_text_of_their_own_width() {
        for (data, scaler, expected) in [
            (Data::Float32(-12.625), 0, "-12.625"),
            (Data::Float32(0.1), 0, "0.1"),
            (Data::Float32(0.1), -1, "0.01"),
            (Data::Float64(0.1), 3, "100"),
            (Data::Float64(std::f64::consts::PI), 0, "3.141592653589793"),
            (Data::Float64(-0.0), 0, "0"),
            (Data::Float64(1e21), 0, "1000000000000000000000"),
            (Data::Float32(16_777_216.0), 0, "16777216"),
        ] {
            assert_eq!(text(&data, scaler), expected, "{data:?} × 10^{scaler}");
        }
        for data in [Data::Float32(f32::NAN), Data::Float32(f32::INFINITY), Data::Float64(f64::NEG_INFINITY)]
        {
            assert_eq!(Decimal::from_data(&data), None);
        }
        assert_eq!(Decimal::from_data(&Data::Boolean(true)), None);
        assert_eq!(Decimal::from_data(&Data::OctetString(vec![1])), None);
    }

    #[test]
    fn extremes_stay_short_and_exact() {
        assert_eq!(text(&Data::Float64(f64::MAX), 127).len(), 309 + 127);
        assert_eq!(text(&Data::Long64Unsigned(u64::MAX), 127).len(), 20 + 127);
        assert_eq!(text(&Data::Long64Unsigned(u64::MAX), -128).len(), 2 + 128);
        assert!(text(&Data::Float64(f64::MIN_POSITIVE), -128).ends_with("22250738585072014"));
    }

    #[test]
    fn what_a_double_cannot_hold() {
        for (mantissa, exponent, exceeds) in [
            (999_999_999_999_999, 0, false),
            (1_000_000_000_000_001, 0, true),
            (9_007_199_254_740_992, 0, true),
            (9, 15, false),
            (9_007, 12, false),
            (9_008, 12, true),
            (-9_008, 12, true),
            (1, 127, true),
            (0, 127, false),
            (123_456_789_012_345, -20, false),
            (1_234_567_890_123_456, -3, true),
            (1_234_567_890_123_450, -3, false),
        ] {
            let decimal = Decimal::new(mantissa, exponent);
            assert_eq!(decimal.exceeds_double(), exceeds, "{decimal}");
        }
    }

    /// Shifts the decimal point of a digit string, one place at a time.
    fn shifted(raw: i128, scaler: i8) -> String {
        let mut whole = raw.unsigned_abs().to_string();
        let mut fraction = String::new();
        for _ in 0..scaler.unsigned_abs() {
            if scaler > 0 {
                whole.push(if fraction.is_empty() { '0' } else { fraction.remove(0) });
            } else {
                fraction.insert(0, whole.pop().unwrap_or('0'));
            }
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let sign = if raw < 0 && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { whole };
        if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }

    proptest! {
        #[test]
        fn equals_shifting_the_point_by_hand(raw in any::<i64>(), small in -999i64..999, scaler in any::<i8>()) {
            for raw in [raw, small] {
                prop_assert_eq!(text(&Data::Long64(raw), scaler), shifted(i128::from(raw), scaler));
            }
        }

        #[test]
        fn unsigned_too(raw in any::<u64>(), scaler in any::<i8>()) {
            prop_assert_eq!(text(&Data::Long64Unsigned(raw), scaler), shifted(i128::from(raw), scaler));
        }

        #[test]
        fn a_float_reads_back_as_itself(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            prop_assert_eq!(text(&Data::Float64(float), 0).parse::<f64>(), Ok(float));
        }

        #[test]
        fn a_float32_reads_back_as_itself(bits in any::<u32>()) {
            let float = f32::from_bits(bits);
            prop_assume!(float.is_finite());
            prop_assert_eq!(text(&Data::Float32(float), 0).parse::<f32>(), Ok(float));
        }
    }
}
