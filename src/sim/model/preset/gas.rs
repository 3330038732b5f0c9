//! A gas meter: volume in hourly captures, flow, temperature, a daily profile, a valve.

use super::{extended_register, profile_object, register, seed, time_column, value_column};
use crate::sim::config::MeterConfig;
use crate::sim::model::measure::{Number, Scale, present, total};
use crate::sim::model::object::Object;
use crate::sim::model::profile::{Profile, Schedule};
use crate::sim::model::wave::{DAY, Wave};
use crate::wire::data::Data;
use crate::wire::obis::Obis;

const VOLUME: Scale = Scale { scaler: -3, unit: 13, number: Number::DoubleLongUnsigned };
const FLOW: Scale = Scale { scaler: -3, unit: 15, number: Number::LongUnsigned };
const TEMPERATURE: Scale = Scale { scaler: -1, unit: 9, number: Number::Long };
const PRESSURE: Scale = Scale { scaler: -3, unit: 24, number: Number::LongUnsigned };

const fn gas(c: u8, d: u8, e: u8) -> Obis {
    Obis::new(7, 0, c, d, e, 255)
}

pub(super) fn objects(config: &MeterConfig) -> Vec<Object> {
    let mut seed = seed(config);
    let mean = seed.between(0.12, 0.3);
    let flow = Wave::constant(mean)
        .with_daily_peak(mean * 0.4, 7.0)
        .with(mean * 0.35, DAY * 365.25, &mut seed)
        .with(mean * 0.15, 5_400.0, &mut seed)
        .with(mean * 0.08, 610.0, &mut seed);
    let temperature = Wave::constant(11.0).with(7.0, DAY * 365.25, &mut seed).with(2.5, DAY, &mut seed);
    let pressure = Wave::constant(1.0361).with(0.004, DAY * 2.3, &mut seed);
    let volume = total(flow.clone(), seed.between(100.0, 9000.0));
    let hourly = Schedule::Every(3600);
    let profile = |schedule: Schedule, rows: u32| {
        let columns = vec![time_column(), value_column(4, gas(3, 0, 0), VOLUME, &volume)];
        Profile::new(columns, schedule, rows)
    };
    vec![
        extended_register(gas(3, 0, 0), VOLUME, &volume, 3600),
        register(gas(43, 0, 0), FLOW, &present(flow)),
        register(gas(41, 0, 0), TEMPERATURE, &present(temperature)),
        register(gas(42, 0, 0), PRESSURE, &present(pressure)),
        profile_object(gas(99, 99, 2), profile(hourly, config.profile_rows), hourly),
        profile_object(
            gas(99, 99, 3),
            profile(Schedule::Daily, config.profile_rows.min(366)),
            Schedule::Daily,
        ),
        Object::new(70, 0, Obis::new(0, 0, 96, 3, 10, 255))
            .with(Data::Boolean(true))
            .with(Data::Enum(1))
            .with(Data::Enum(4))
            .with_methods(&[1, 2]),
    ]
}
