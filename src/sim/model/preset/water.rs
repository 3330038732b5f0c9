//! A cold water meter: volume, flow, water temperature, an hourly and a daily profile.

use super::{profile_object, register, seed, time_column, value_column};
use crate::sim::config::MeterConfig;
use crate::sim::model::measure::{Number, Scale, present, total};
use crate::sim::model::object::Object;
use crate::sim::model::profile::{Profile, Schedule};
use crate::sim::model::wave::{DAY, Wave};
use crate::wire::obis::Obis;

const VOLUME: Scale = Scale { scaler: -3, unit: 13, number: Number::DoubleLongUnsigned };
const FLOW: Scale = Scale { scaler: -3, unit: 15, number: Number::LongUnsigned };
const TEMPERATURE: Scale = Scale { scaler: -1, unit: 9, number: Number::Long };

const fn water(c: u8, d: u8, e: u8) -> Obis {
    Obis::new(8, 0, c, d, e, 255)
}

pub(super) fn objects(config: &MeterConfig) -> Vec<Object> {
    let mut seed = seed(config);
    let mean = seed.between(0.012, 0.02);
    let flow = Wave::constant(mean)
        .with_daily_peak(mean * 0.5, 7.5)
        .with(mean * 0.3, DAY / 2.0, &mut seed)
        .with(mean * 0.1, 4_100.0, &mut seed);
    let temperature = Wave::constant(11.5).with(4.0, DAY * 365.25, &mut seed).with(0.6, DAY, &mut seed);
    let volume = total(flow.clone(), seed.between(10.0, 900.0));
    let hourly = Schedule::Every(3600);
    let profile = |schedule: Schedule, rows: u32| {
        let columns = vec![time_column(), value_column(3, water(1, 0, 0), VOLUME, &volume)];
        Profile::new(columns, schedule, rows)
    };
    vec![
        register(water(1, 0, 0), VOLUME, &volume),
        register(water(2, 0, 0), FLOW, &present(flow)),
        register(water(3, 0, 0), TEMPERATURE, &present(temperature)),
        profile_object(water(99, 1, 0), profile(hourly, config.profile_rows), hourly),
        profile_object(
            water(99, 2, 0),
            profile(Schedule::Daily, config.profile_rows.min(366)),
            Schedule::Daily,
        ),
    ]
}
