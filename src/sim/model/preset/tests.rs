//! What every preset must keep: registers that grow, values that are plausible, names that are unique.

use std::collections::HashSet;

use jiff::Timestamp;

use super::*;
use crate::sim::model::object::Audience;
use crate::sim::model::{ShortName, Viewer};
use crate::wire::acse::{ApplicationContext, Mechanism};
use crate::wire::xdlms::AttributeDescriptor;
use crate::wire::xdlms::conformance::Conformance;

const VIEWER: Viewer = Viewer {
    client: 16,
    server: 1,
    audience: Audience::Client,
    context: ApplicationContext::LogicalName,
    mechanism: Mechanism::Lowest,
    conformance: Conformance::LN_PROPOSAL,
    max_receive: 1024,
    max_send: 1024,
};

fn config(preset: Preset, serial_number: u32) -> MeterConfig {
    MeterConfig::new(preset, serial_number, Framing::Wrapper)
}

fn value(model: &mut Model, now: Timestamp, class: u16, name: Obis, attribute: i8) -> Data {
    let attribute = AttributeDescriptor { class_id: class, instance_id: name, attribute_id: attribute };
    let mut out = Vec::new();
    model.read(now, &VIEWER, &attribute, None, &mut out).unwrap();
    Data::from_bytes(&out).unwrap()
}

fn number(data: &Data) -> i64 {
    match *data {
        Data::DoubleLongUnsigned(value) => value.into(),
        Data::LongUnsigned(value) => value.into(),
        Data::Long(value) => value.into(),
        ref other => panic!("{other:?}"),
    }
}

fn days_after(start: &str, days: i64) -> Timestamp {
    start.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_hours(24 * days)
}

#[test]
fn counters_never_fall_and_differ_between_meters() {
    let totals = [
        (Preset::Electricity, Obis::new(1, 0, 1, 8, 0, 255)),
        (Preset::Electricity, Obis::new(1, 0, 1, 8, 1, 255)),
        (Preset::Electricity, Obis::new(1, 0, 1, 8, 2, 255)),
        (Preset::Electricity, Obis::new(1, 0, 2, 8, 0, 255)),
        (Preset::Electricity, Obis::new(1, 0, 3, 8, 0, 255)),
        (Preset::Gas, Obis::new(7, 0, 3, 0, 0, 255)),
        (Preset::Water, Obis::new(8, 0, 1, 0, 0, 255)),
        (Preset::Heat, Obis::new(6, 0, 1, 0, 0, 255)),
        (Preset::Heat, Obis::new(6, 0, 2, 0, 0, 255)),
    ];
    for (preset, name) in totals {
        let class = if preset == Preset::Gas { 4 } else { 3 };
        let course = |serial_number| -> Vec<i64> {
            let mut model = preset.model(&config(preset, serial_number));
            let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
            let instant = |step: i64| start + jiff::SignedDuration::from_secs(step * 1_237);
            (0..3_000).map(|step| number(&value(&mut model, instant(step), class, name, 2))).collect()
        };
        let first = course(1);
        assert!(first.is_sorted() && first[0] < first[2_999], "{preset} {name}");
        assert_eq!(first, course(1), "the same again");
        assert_ne!(first, course(2), "{preset} {name}: another meter");
    }
}

#[test]
fn power_is_what_the_energy_grows_by() {
    let mut model = Preset::Electricity.model(&config(Preset::Electricity, 1));
    let (power, energy) = (Obis::new(1, 0, 1, 7, 0, 255), Obis::new(1, 0, 1, 8, 0, 255));
    let start: Timestamp = "2026-03-01T09:00:00Z".parse().unwrap();
    let before = number(&value(&mut model, start, 3, energy, 2));
    let mut sum = 0;
    for second in (0..7_200).step_by(10) {
        sum += number(&value(&mut model, start + jiff::SignedDuration::from_secs(second), 3, power, 2)) * 10;
    }
    let after = number(&value(&mut model, start + jiff::SignedDuration::from_secs(7_200), 3, energy, 2));
    assert!((after - before - sum / 3600).abs() <= 3, "{} Wh, {} Wh", after - before, sum / 3600);
}

#[test]
fn values_are_plausible_all_the_year() {
    let bounds = [
        (Preset::Electricity, Obis::new(1, 0, 32, 7, 0, 255), 2_200..2_400),
        (Preset::Electricity, Obis::new(1, 0, 14, 7, 0, 255), 4_990..5_010),
        (Preset::Electricity, Obis::new(1, 0, 31, 7, 0, 255), 1..1_000),
        (Preset::Electricity, Obis::new(1, 0, 2, 7, 0, 255), 0..2_000),
        (Preset::Gas, Obis::new(7, 0, 43, 0, 0, 255), 1..1_000),
        (Preset::Gas, Obis::new(7, 0, 41, 0, 0, 255), -50..300),
        (Preset::Water, Obis::new(8, 0, 2, 0, 0, 255), 0..60),
        (Preset::Heat, Obis::new(6, 0, 10, 0, 0, 255), 5_500..6_900),
        (Preset::Heat, Obis::new(6, 0, 11, 0, 0, 255), 1_500..6_500),
    ];
    for (preset, name, bounds) in bounds {
        for serial_number in [1, 12_345_678, 99_999_999] {
            let mut model = preset.model(&config(preset, serial_number));
            for day in 0..365 {
                let now = days_after("2026-01-01T03:14:15Z", day) + jiff::SignedDuration::from_mins(67 * day);
                let found = number(&value(&mut model, now, 3, name, 2));
                assert!(bounds.contains(&found), "{preset} {serial_number} {name}: {found}");
            }
        }
    }
}

#[test]
fn names_are_unique_and_short_names_lead_back() {
    for preset in Preset::ALL {
        for referencing in [Referencing::LogicalName, Referencing::ShortName] {
            for framing in [Framing::Wrapper, Framing::Hdlc(crate::sim::config::HdlcConfig::default())] {
                let mut config = MeterConfig::new(preset, 1, framing);
                config.referencing = referencing;
                let model = preset.model(&config);
                let names: HashSet<Obis> = model.objects().iter().map(|object| object.logical_name).collect();
                assert_eq!(names.len(), model.objects().len(), "{preset}");
                if referencing == Referencing::LogicalName {
                    continue;
                }
                let mut short_names = HashSet::new();
                for object in model.objects() {
                    for id in 1..=i8::try_from(object.attributes.len() + 1).unwrap() {
                        let name = object.base_name + ClassId::attribute_offset(id).unwrap();
                        assert!(short_names.insert(name), "{preset}: {name:04x} twice");
                        let attribute = AttributeDescriptor {
                            class_id: object.class.0,
                            instance_id: object.logical_name,
                            attribute_id: id,
                        };
                        assert_eq!(model.resolve(name), Some(ShortName::Attribute(attribute)));
                    }
                    for &id in &object.methods {
                        let offset = object.class.method_offset(Some(object.version), id).unwrap();
                        assert!(short_names.insert(object.base_name + offset), "{preset}: a method twice");
                    }
                }
            }
        }
    }
}

#[test]
fn objects_have_the_attributes_of_their_class() {
    for preset in Preset::ALL {
        for object in preset.model(&config(preset, 1)).objects() {
            let class = object.class.class().unwrap();
            let known: Vec<i8> =
                class.attributes(Some(object.version)).map(|attribute| attribute.id).collect();
            let ours: Vec<i8> = object.attributes.iter().map(|attribute| attribute.id).collect();
            let listed: Vec<i8> = known.into_iter().filter(|&id| id != 1).collect();
            assert_eq!(ours, listed, "{preset} {} {}", object.class, object.logical_name);
        }
    }
}
