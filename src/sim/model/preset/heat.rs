//! A heat meter: energy, volume, power, flow, two temperatures, an hourly and a daily profile.

use std::sync::Arc;

use super::{profile_object, register, seed, time_column, value_column};
use crate::sim::config::MeterConfig;
use crate::sim::model::measure::{Number, Scale, Signal, present, total};
use crate::sim::model::object::Object;
use crate::sim::model::profile::{Profile, Schedule};
use crate::sim::model::wave::{DAY, Wave};
use crate::wire::obis::Obis;

const ENERGY: Scale = Scale { scaler: 3, unit: 30, number: Number::DoubleLongUnsigned };
const VOLUME: Scale = Scale { scaler: -2, unit: 13, number: Number::DoubleLongUnsigned };
const POWER: Scale = Scale { scaler: 1, unit: 27, number: Number::DoubleLongUnsigned };
const FLOW: Scale = Scale { scaler: -3, unit: 15, number: Number::LongUnsigned };
const TEMPERATURE: Scale = Scale { scaler: -2, unit: 9, number: Number::LongUnsigned };
/// Heat of a cubic metre of water, Wh for each kelvin.
const HEAT_CAPACITY: f64 = 1_145.0;

const fn heat(c: u8, d: u8, e: u8) -> Obis {
    Obis::new(6, 0, c, d, e, 255)
}

pub(super) fn objects(config: &MeterConfig) -> Vec<Object> {
    let mut seed = seed(config);
    let mean = seed.between(3_000.0, 6_000.0);
    let power = Wave::constant(mean)
        .with_daily_peak(mean * 0.3, 6.5)
        .with(mean * 0.45, DAY * 365.25, &mut seed)
        .with(mean * 0.1, 3_300.0, &mut seed);
    // The pump runs evenly: flow is constant, and the temperatures follow the power.
    let flow = mean / HEAT_CAPACITY / 18.0;
    let supply = Wave::constant(62.0).with(2.0, DAY, &mut seed).with(0.4, 900.0, &mut seed);
    let returned: Signal = {
        let (supply, power) = (supply.clone(), power.clone());
        Arc::new(move |t| supply.at(t) - power.at(t) / (flow * HEAT_CAPACITY))
    };
    let energy = total(power.clone(), seed.between(1e6, 9e7));
    let volume = total(Wave::constant(flow), seed.between(100.0, 9_000.0));
    let hourly = Schedule::Every(3600);
    let profile = |schedule: Schedule, rows: u32| {
        let columns = vec![
            time_column(),
            value_column(3, heat(1, 0, 0), ENERGY, &energy),
            value_column(3, heat(2, 0, 0), VOLUME, &volume),
        ];
        Profile::new(columns, schedule, rows)
    };
    vec![
        register(heat(1, 0, 0), ENERGY, &energy),
        register(heat(2, 0, 0), VOLUME, &volume),
        register(heat(8, 0, 0), POWER, &present(power)),
        register(heat(9, 0, 0), FLOW, &present(Wave::constant(flow))),
        register(heat(10, 0, 0), TEMPERATURE, &present(supply)),
        register(heat(11, 0, 0), TEMPERATURE, &returned),
        profile_object(heat(99, 1, 0), profile(hourly, config.profile_rows), hourly),
        profile_object(
            heat(99, 2, 0),
            profile(Schedule::Daily, config.profile_rows.min(366)),
            Schedule::Daily,
        ),
    ]
}
