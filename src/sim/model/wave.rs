//! Quantities in the course of time: sums of sine waves, whose integrals are known without summing up.

use std::f64::consts::TAU;

/// Seconds of a day.
pub const DAY: f64 = 86_400.0;

/// A quantity in the course of time. Equal seeds give equal courses.
#[derive(Clone, Debug)]
pub struct Wave {
    mean: f64,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    amplitude: f64,
    /// Radians a second.
    pulsation: f64,
    phase: f64,
}

impl Part {
    /// The antiderivative at `t`, up to a constant.
    fn integral(&self, t: f64) -> f64 {
        -self.amplitude / self.pulsation * self.pulsation.mul_add(t, self.phase).cos()
    }

    /// Sum of the antiderivative at `start`, `start` + 1 day, … over `days` days.
    fn daily_sum(&self, start: f64, days: f64) -> f64 {
        let (first, step) = (self.pulsation.mul_add(start, self.phase), self.pulsation * DAY);
        let half = (step / 2.0).sin();
        // Σ cos(x + k·s) in closed form; a wave that repeats daily adds the same each day.
        let sum = if half.abs() < 1e-9 {
            days * first.cos()
        } else {
            (days * step / 2.0).sin() / half * ((days - 1.0) * step).mul_add(0.5, first).cos()
        };
        -self.amplitude / self.pulsation * sum
    }
}

impl Wave {
    /// A constant quantity.
    #[must_use]
    pub const fn constant(mean: f64) -> Self {
        Self { mean, parts: Vec::new() }
    }

    /// The same with a sine of this amplitude, period in seconds and seed-given phase on top.
    #[must_use]
    pub fn with(mut self, amplitude: f64, period: f64, seed: &mut Seed) -> Self {
        self.parts.push(Part { amplitude, pulsation: TAU / period, phase: seed.fraction() * TAU });
        self
    }

    /// The same with a daily sine that peaks `hour` hours after midnight.
    #[must_use]
    pub fn with_daily_peak(mut self, amplitude: f64, hour: f64) -> Self {
        self.parts.push(Part { amplitude, pulsation: TAU / DAY, phase: TAU * (0.25 - hour / 24.0) });
        self
    }

    /// The quantity times a factor.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let parts = self.parts.iter().map(|part| Part { amplitude: part.amplitude * factor, ..*part });
        Self { mean: self.mean * factor, parts: parts.collect() }
    }

    /// The sum of quantities.
    #[must_use]
    pub fn sum(waves: &[Self]) -> Self {
        Self {
            mean: waves.iter().map(|wave| wave.mean).sum(),
            parts: waves.iter().flat_map(|wave| wave.parts.iter().copied()).collect(),
        }
    }

    /// The value at `t` seconds.
    #[must_use]
    pub fn at(&self, t: f64) -> f64 {
        let swing = |part: &Part| part.amplitude * part.pulsation.mul_add(t, part.phase).sin();
        self.mean + self.parts.iter().map(swing).sum::<f64>()
    }

    /// The integral from `from` to `to` seconds.
    #[must_use]
    pub fn integral(&self, from: f64, to: f64) -> f64 {
        let waves: f64 = self.parts.iter().map(|part| part.integral(to) - part.integral(from)).sum();
        self.mean.mul_add(to - from, waves)
    }

    /// The integral from second 0 to `to`, counting each day only the seconds from `start` to `end` of the day.
    #[must_use]
    pub fn integral_within(&self, start: f64, end: f64, to: f64) -> f64 {
        let days = (to / DAY).floor().max(0.0);
        let midnight = days * DAY;
        let whole: f64 =
            self.parts.iter().map(|part| part.daily_sum(end, days) - part.daily_sum(start, days)).sum();
        let today = (to - midnight).clamp(start, end);
        self.mean.mul_add((end - start) * days, whole) + self.integral(midnight + start, midnight + today)
    }

    /// The least that the value can be.
    #[must_use]
    pub fn floor(&self) -> f64 {
        self.mean - self.parts.iter().map(|part| part.amplitude.abs()).sum::<f64>()
    }
}

/// Numbers that look random and follow from a start alone (SplitMix64).
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// Numbers that follow from `start`.
    #[must_use]
    pub const fn new(start: u64) -> Self {
        Self(start)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next number from 0 to 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The next number from `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        self.fraction().mul_add(high - low, low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave() -> Wave {
        let mut seed = Seed::new(7);
        Wave::constant(500.0)
            .with(150.0, 5.3 * DAY, &mut seed)
            .with(90.0, DAY / 3.0, &mut seed)
            .with_daily_peak(200.0, 19.0)
    }

    #[test]
    fn the_integral_is_the_sum_of_the_values() {
        let wave = wave();
        let (from, to) = (1_000.0, 200_000.0);
        let steps: f64 = (0..19_900).map(|step| wave.at(from + 10.0 * f64::from(step) + 5.0) * 10.0).sum();
        assert!((wave.integral(from, to) / steps - 1.0).abs() < 1e-6);
        assert!(wave.floor() > 0.0 && Wave::constant(2.0).integral(0.0, 10.0) == 20.0);
    }

    #[test]
    fn daily_windows_add_up_to_the_whole() {
        let wave = wave();
        for to in [0.0, 3_600.0, 40_000.0, 86_400.0, 900_000.0, 20_000_000.5] {
            let (six, ten) = (6.0 * 3600.0, 22.0 * 3600.0);
            let day = wave.integral_within(six, ten, to);
            let night = wave.integral_within(0.0, six, to) + wave.integral_within(ten, DAY, to);
            let total = wave.integral(0.0, to);
            assert!(
                (day + night - total).abs() <= total.abs() * 1e-9 + 1e-3,
                "{to}: {day} + {night} ≠ {total}"
            );
        }
        let naive: f64 = (0..10)
            .map(|day| {
                wave.integral(f64::from(day).mul_add(DAY, 3600.0), f64::from(day).mul_add(DAY, 7200.0))
            })
            .sum();
        assert!((wave.integral_within(3600.0, 7200.0, 10.0 * DAY) / naive - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_daily_peak_is_at_its_hour() {
        let wave = Wave::constant(10.0).with_daily_peak(5.0, 19.0);
        assert!((wave.at(19.0 * 3600.0) - 15.0).abs() < 1e-9);
        assert!((wave.scaled(2.0).at(7.0 * 3600.0) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn equal_seeds_give_equal_numbers() {
        let numbers = |start| std::array::from_fn::<u64, 4, _>(|_| Seed::new(start).number());
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        assert!((0..100).all(|start| (0.0..1.0).contains(&Seed::new(start).fraction())));
    }
}
