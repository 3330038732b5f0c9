//! A three-phase electricity meter of a household with a roof of photovoltaics.

use std::sync::Arc;

use super::{capture, profile_object, register, seed, time_column, value_column};
use crate::sim::config::MeterConfig;
use crate::sim::model::measure::{Number, Scale, Signal, live, mean, present, sum, total, total_within};
use crate::sim::model::object::{Live, Moment, Object};
use crate::sim::model::peak::PeakDemand;
use crate::sim::model::profile::{Column, Profile, Schedule};
use crate::sim::model::wave::{DAY, Wave};
use crate::wire::data::Data;
use crate::wire::obis::Obis;

const ENERGY: Scale = Scale { scaler: 0, unit: 30, number: Number::DoubleLongUnsigned };
const REACTIVE_ENERGY: Scale = Scale { scaler: 0, unit: 32, number: Number::DoubleLongUnsigned };
const POWER: Scale = Scale { scaler: 0, unit: 27, number: Number::DoubleLongUnsigned };
const REACTIVE_POWER: Scale = Scale { scaler: 0, unit: 29, number: Number::DoubleLongUnsigned };
const VOLTAGE: Scale = Scale { scaler: -1, unit: 35, number: Number::LongUnsigned };
const CURRENT: Scale = Scale { scaler: -2, unit: 33, number: Number::LongUnsigned };
const FREQUENCY: Scale = Scale { scaler: -2, unit: 44, number: Number::LongUnsigned };
const POWER_FACTOR: Scale = Scale { scaler: -3, unit: 255, number: Number::Long };

/// Day tariff from 6 to 22 hours UTC, night tariff for the rest.
const DAY_TARIFF: &[(f64, f64)] = &[(6.0, 22.0)];
const NIGHT_TARIFF: &[(f64, f64)] = &[(0.0, 6.0), (22.0, 24.0)];
const DEMAND_PERIOD: u32 = 900;
/// Reactive power of the household, as a part of the active.
const REACTIVE_PART: f64 = 0.21;

const fn electricity(c: u8, d: u8, e: u8) -> Obis {
    Obis::new(1, 0, c, d, e, 255)
}

struct Phase {
    power: Wave,
    voltage: Wave,
}

pub(super) fn objects(config: &MeterConfig) -> Vec<Object> {
    let mut seed = seed(config);
    let phases: [Phase; 3] = std::array::from_fn(|_| {
        let base = seed.between(250.0, 600.0);
        let evening = seed.between(18.5, 20.5);
        Phase {
            power: Wave::constant(base)
                .with_daily_peak(base * 0.35, evening)
                .with(base * 0.2, DAY / 2.0, &mut seed)
                .with(base * 0.15, DAY * 6.3, &mut seed)
                .with(base * 0.12, 2_900.0, &mut seed)
                .with(base * 0.08, 437.0, &mut seed)
                .with(base * 0.05, 61.0, &mut seed),
            voltage: Wave::constant(seed.between(229.0, 232.5))
                .with(1.8, DAY / 2.0, &mut seed)
                .with(0.9, 1_700.0, &mut seed)
                .with(0.4, 47.0, &mut seed),
        }
    });
    let import = Wave::sum(&phases.each_ref().map(|phase| phase.power.clone()));
    let peak = seed.between(300.0, 500.0);
    // Never under 0, so an average over clouds and nights; it peaks at noon.
    let export =
        Wave::constant(peak).with_daily_peak(peak * 0.8, 11.2).with(peak * 0.15, DAY * 3.7, &mut seed);
    let frequency = Wave::constant(50.0)
        .with(0.018, 1_130.0, &mut seed)
        .with(0.012, 89.0, &mut seed)
        .with(0.006, 13.0, &mut seed);

    let initial = [seed.between(0.0, 4e6), seed.between(0.0, 2e6)];
    let day = total_within(import.clone(), initial[0], DAY_TARIFF);
    let night = total_within(import.clone(), initial[1], NIGHT_TARIFF);
    // The sum of the tariffs as shown, so that the parts always add up to the whole.
    let imported: Signal = {
        let (day, night) = (Arc::clone(&day), Arc::clone(&night));
        Arc::new(move |t| day(t).trunc() + night(t).trunc())
    };
    let exported = total(export.clone(), seed.between(0.0, 1e6));
    let reactive = import.scaled(REACTIVE_PART);

    let mut objects = vec![
        register(electricity(1, 8, 0), ENERGY, &imported),
        register(electricity(1, 8, 1), ENERGY, &day),
        register(electricity(1, 8, 2), ENERGY, &night),
        register(electricity(2, 8, 0), ENERGY, &exported),
        register(electricity(3, 8, 0), REACTIVE_ENERGY, &total(reactive.clone(), 0.0)),
        register(electricity(4, 8, 0), REACTIVE_ENERGY, &present(Wave::constant(0.0))),
        register(
            electricity(1, 7, 0),
            POWER,
            &sum(phases.iter().map(|phase| present(phase.power.clone())).collect()),
        ),
        register(electricity(2, 7, 0), POWER, &present(export)),
        register(electricity(3, 7, 0), REACTIVE_POWER, &present(reactive)),
        register(electricity(14, 7, 0), FREQUENCY, &present(frequency)),
        register(
            electricity(13, 7, 0),
            POWER_FACTOR,
            &present(Wave::constant(REACTIVE_PART.mul_add(REACTIVE_PART, 1.0).sqrt().recip())),
        ),
    ];
    for (index, phase) in (0u8..).zip(phases) {
        let group = |first: u8| first + 20 * index;
        let (power, voltage) = (present(phase.power), present(phase.voltage));
        objects.push(register(electricity(group(32), 7, 0), VOLTAGE, &voltage));
        objects.push(register(electricity(group(31), 7, 0), CURRENT, &current(&power, &voltage)));
        objects.push(register(electricity(group(21), 7, 0), POWER, &power));
    }
    objects.push(demand_register(electricity(1, 4, 0), &import));
    objects.push(maximum_register(electricity(1, 6, 0), &import));
    objects.extend(profiles(config, [&imported, &day, &night, &exported]));
    objects.extend(controls());
    objects
}

fn current(power: &Signal, voltage: &Signal) -> Signal {
    let (power, voltage) = (Arc::clone(power), Arc::clone(voltage));
    let apparent = REACTIVE_PART.mul_add(REACTIVE_PART, 1.0).sqrt();
    Arc::new(move |t| power(t) * apparent / voltage(t))
}

/// Demand over one period of 15 minutes.
fn demand_register(name: Obis, power: &Wave) -> Object {
    let period = i64::from(DEMAND_PERIOD) * 1000;
    let start = move |millis: i64| millis.div_euclid(period) * period;
    let age = |millis: i64, moment: Moment<'_>| Moment { millis, clock: moment.clock }.age();
    let (so_far, before) = (power.clone(), power.clone());
    Object::new(5, 0, name)
        .with(live(move |moment| {
            let begin = age(start(moment.millis), moment);
            // What the period would come to if nothing more were used.
            POWER.data(so_far.integral(begin, moment.age()) / f64::from(DEMAND_PERIOD))
        }))
        .with(live(move |moment| {
            let end = age(start(moment.millis), moment);
            POWER.data(mean(&before, end - f64::from(DEMAND_PERIOD), end))
        }))
        .with(POWER.scaler_unit())
        .with(Data::Unsigned(0))
        .with(live(move |moment| moment.clock.octets(start(moment.millis))))
        .with(live(move |moment| moment.clock.octets(start(moment.millis))))
        .with(Data::DoubleLongUnsigned(DEMAND_PERIOD))
        .with(Data::LongUnsigned(1))
}

/// The highest demand of the month, and when its period ended.
fn maximum_register(name: Obis, power: &Wave) -> Object {
    let demand = Arc::new(PeakDemand::new(power.clone(), DEMAND_PERIOD));
    let captured = Arc::clone(&demand);
    Object::new(4, 0, name)
        .with(live(move |moment| POWER.data(demand.at(moment).power)))
        .with(POWER.scaler_unit())
        .with(Data::Unsigned(0))
        .with(live(move |moment| moment.clock.octets(captured.at(moment).millis)))
}

fn profiles(config: &MeterConfig, [imported, day, night, exported]: [&Signal; 4]) -> Vec<Object> {
    // Bit 3: daylight saving, as the companion specifications of several countries have it.
    let status: Live =
        Arc::new(|moment| Data::Unsigned(moment.clock.date_time(moment.millis).status >> 4 & 0x08));
    let load = Schedule::Every(config.capture_period);
    let quarter_hours = Profile::new(
        vec![
            time_column(),
            Column { object: capture(1, Obis::new(0, 0, 96, 10, 1, 255), 2), value: Arc::clone(&status) },
            value_column(3, electricity(1, 8, 0), ENERGY, imported),
            value_column(3, electricity(2, 8, 0), ENERGY, exported),
        ],
        load,
        config.profile_rows,
    );
    let days = Profile::new(
        vec![
            time_column(),
            value_column(3, electricity(1, 8, 1), ENERGY, day),
            value_column(3, electricity(1, 8, 2), ENERGY, night),
            value_column(3, electricity(2, 8, 0), ENERGY, exported),
        ],
        Schedule::Daily,
        config.profile_rows.min(62),
    );
    vec![
        Object::new(1, 0, Obis::new(0, 0, 96, 10, 1, 255)).with(status),
        profile_object(electricity(99, 1, 0), quarter_hours, load),
        profile_object(electricity(99, 2, 0), days, Schedule::Daily),
    ]
}

fn controls() -> Vec<Object> {
    vec![
        Object::new(1, 0, Obis::new(0, 0, 96, 14, 0, 255)).with(live(|moment| {
            let hour = moment.millis.rem_euclid(86_400_000) / 3_600_000;
            Data::Unsigned(if (6..22).contains(&hour) { 1 } else { 2 })
        })),
        Object::new(1, 0, Obis::new(0, 0, 96, 7, 21, 255)).with(Data::LongUnsigned(3)),
        Object::new(70, 0, Obis::new(0, 0, 96, 3, 10, 255))
            .with(Data::Boolean(true))
            .with(Data::Enum(1))
            .with(Data::Enum(4))
            .with_methods(&[1, 2]),
    ]
}
