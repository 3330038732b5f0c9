//! Measured quantities: a course in time, the power of ten and the integer type in which the meter shows it.

use std::sync::{Arc, Mutex, PoisonError};

use super::object::{Live, Moment, Value};
use super::wave::Wave;
use crate::cosem::scaler_unit::ScalerUnit;
use crate::cosem::unit::Unit;
use crate::wire::data::Data;

/// The integer type of a register's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// long (16 bits).
    Long,
    /// long-unsigned (16 bits).
    LongUnsigned,
    /// double-long (32 bits).
    DoubleLong,
    /// double-long-unsigned (32 bits), beginning again at 0 as a meter's register does.
    DoubleLongUnsigned,
    /// long64-unsigned (64 bits).
    Long64Unsigned,
}

impl Number {
    /// The number as Data. What does not fit 16 bits, or is negative without a sign, stays at the bound.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded before, or wanted")]
    fn data(self, raw: f64) -> Data {
        match self {
            Self::Long => Data::Long(raw as i16),
            Self::LongUnsigned => Data::LongUnsigned(raw as u16),
            Self::DoubleLong => Data::DoubleLong(raw as i32),
            Self::DoubleLongUnsigned => Data::DoubleLongUnsigned(raw as u64 as u32),
            Self::Long64Unsigned => Data::Long64Unsigned(raw as u64),
        }
    }
}

/// A physical quantity in the course of time: seconds since the installation → value in the base unit.
pub type Signal = Arc<dyn Fn(f64) -> f64 + Send + Sync>;

/// How a quantity is shown.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Power of ten.
    pub scaler: i8,
    /// Unit code.
    pub unit: u8,
    /// Integer type.
    pub number: Number,
}

impl Scale {
    /// The scaler_unit attribute.
    #[must_use]
    pub fn scaler_unit(self) -> Data {
        ScalerUnit { scaler: self.scaler, unit: Unit(self.unit) }.to_data()
    }

    /// The raw value of a quantity, cut towards zero as a register cuts it.
    #[must_use]
    pub fn data(self, value: f64) -> Data {
        // Division by a power of ten is exact where multiplication by its inverse is not.
        let power = 10f64.powi(i32::from(self.scaler.abs()));
        let raw = if self.scaler < 0 { value * power } else { value / power };
        self.number.data(raw.trunc())
    }

    /// An attribute that shows `signal` now. The meter measures once a second.
    #[must_use]
    pub fn now(self, signal: &Signal) -> Value {
        let signal = Arc::clone(signal);
        let latest: Mutex<Option<(i64, Data)>> = Mutex::new(None);
        live(move |moment| {
            let second = moment.millis.div_euclid(1000);
            let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
            match &*latest {
                Some((measured, data)) if *measured == second => data.clone(),
                _ => {
                    let begin = Moment { millis: second * 1000, clock: moment.clock };
                    let data = self.data(signal(begin.age()));
                    *latest = Some((second, data.clone()));
                    data
                }
            }
        })
    }
}

/// An attribute of this function of the time.
pub fn live(value: impl Fn(Moment<'_>) -> Data + Send + Sync + 'static) -> Value {
    Value::Live(Arc::new(value) as Live)
}

/// The quantity itself.
#[must_use]
pub fn present(wave: Wave) -> Signal {
    Arc::new(move |t| wave.at(t))
}

/// What has been counted since the installation: `initial`, and the quantity integrated over hours.
#[must_use]
pub fn total(wave: Wave, initial: f64) -> Signal {
    Arc::new(move |t| initial + wave.integral(0.0, t) / 3600.0)
}

/// The same, counted only between these hours of the day.
#[must_use]
pub fn total_within(wave: Wave, initial: f64, windows: &'static [(f64, f64)]) -> Signal {
    Arc::new(move |t| {
        let hours: f64 = windows
            .iter()
            .map(|(start, end)| wave.integral_within(start * 3600.0, end * 3600.0, t) / 3600.0)
            .sum();
        initial + hours
    })
}

/// The sum of signals.
#[must_use]
pub fn sum(parts: Vec<Signal>) -> Signal {
    Arc::new(move |t| parts.iter().map(|part| part(t)).sum())
}

/// Mean of the quantity from second `from` to second `to`.
#[must_use]
pub fn mean(wave: &Wave, from: f64, to: f64) -> f64 {
    if to > from { wave.integral(from, to) / (to - from) } else { wave.at(from) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_bounds() {
        let scale = |scaler, number| Scale { scaler, unit: 30, number };
        assert_eq!(scale(-1, Number::LongUnsigned).data(230.19), Data::LongUnsigned(2301));
        assert_eq!(scale(3, Number::DoubleLongUnsigned).data(1_234_567.0), Data::DoubleLongUnsigned(1234));
        assert_eq!(scale(0, Number::LongUnsigned).data(-1.0), Data::LongUnsigned(0));
        assert_eq!(scale(0, Number::Long).data(1e9), Data::Long(i16::MAX));
        assert_eq!(scale(0, Number::DoubleLongUnsigned).data(4_294_967_297.0), Data::DoubleLongUnsigned(1));
        assert_eq!(
            scale(0, Number::Long64Unsigned).data(4_294_967_297.0),
            Data::Long64Unsigned(4_294_967_297)
        );
    }

    #[test]
    fn totals_grow() {
        let counted = total(Wave::constant(1000.0), 5.0);
        assert_eq!((counted(0.0), counted(7200.0)), (5.0, 2005.0));
        let halves = sum(vec![
            total_within(Wave::constant(1000.0), 0.0, &[(6.0, 22.0)]),
            total_within(Wave::constant(1000.0), 0.0, &[(0.0, 6.0), (22.0, 24.0)]),
        ]);
        assert!((halves(1_000_000.0) - counted(1_000_000.0) + 5.0).abs() < 1e-6);
    }
}
