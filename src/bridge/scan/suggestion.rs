//! Groups ready to be configured, made of the objects of a meter.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use crate::bridge::config::Name;
use crate::bridge::config::document::group::{Group, Value};
use crate::bridge::config::forms::{Attributes, Names};
use crate::bridge::config::model::{Config, Device};
use crate::bridge::config::object::{ClassRef, ObisText};
use crate::bridge::config::quantity::{Flag, Integer, Period};
use crate::cosem::catalogue::ClassId;
use crate::cosem::obis_name::obis_name;
use crate::cosem::object_list::{Object, ObjectList};
use crate::wire::obis::Obis;

/// Rows of a profile that are suggested for each reading: a day of quarter hours.
const ENTRIES: i64 = 96;

/// Longest name of the configuration.
const LONGEST_NAME: usize = 64;

/// A part of a configuration: readings every 15 minutes, profiles every hour, and everything else, disabled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// The groups.
    pub groups: Vec<Group>,
}

/// Names that a configuration uses already.
#[derive(Clone, Debug, Default)]
pub struct Taken(HashSet<String>);

impl Taken {
    /// The names of groups and values in a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let groups = config.groups.values();
        Self(
            groups
                .flat_map(|group| {
                    let values = group.values.iter().map(|value| value.name.to_string());
                    values.chain([group.name.to_string()])
                })
                .collect(),
        )
    }

    /// A name like `wanted` that is not taken yet.
    fn take(&mut self, wanted: &str, otherwise: &str) -> Name {
        let numbered = (2..).map(|number| format!("{}-{number}", cut(otherwise, LONGEST_NAME - 8)));
        let mut candidates = [cut(wanted, LONGEST_NAME).to_owned(), cut(otherwise, LONGEST_NAME).to_owned()]
            .into_iter()
            .filter(|name| !name.is_empty())
            .chain(numbered);
        let name = candidates.find(|name| self.0.insert(name.clone())).unwrap_or_default();
        name.parse().unwrap_or_else(|_| unreachable!("{name:?} is a name"))
    }
}

impl Suggestion {
    /// Groups for the objects of a meter, under names that are not taken.
    #[must_use]
    pub fn of(device: &Device, objects: &ObjectList, mut taken: Taken) -> Self {
        let (mut readings, mut profiles, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for object in &objects.objects {
            let can_read = |id| object.access.as_ref().is_none_or(|access| access.can_read(id));
            match object.class {
                ClassId::PROFILE_GENERIC if can_read(2) => {
                    let entries = Some(Integer(ENTRIES));
                    profiles.push(Value { entries, ..value(object, &mut taken) });
                }
                ClassId::DATA
                | ClassId::REGISTER
                | ClassId::EXTENDED_REGISTER
                | ClassId::DEMAND_REGISTER
                | ClassId::CLOCK
                | ClassId::COMPACT_DATA
                    if can_read(2) =>
                {
                    readings.push(value(object, &mut taken));
                }
                ClassId::ASSOCIATION_LN | ClassId::ASSOCIATION_SN => {}
                class
                    if class.class().is_some_and(|class| !class.attributes.is_empty())
                        && (2..=127).any(can_read) =>
                {
                    let attributes = Some(Attributes::All);
                    others.push(Value { attributes, ..value(object, &mut taken) });
                }
                _ => {}
            }
        }
        let quarter = Duration::from_secs(15 * 60);
        let groups = [
            ("readings", quarter, true, readings),
            ("profiles", 4 * quarter, true, profiles),
            ("setup", 96 * quarter, false, others),
        ];
        let groups = groups.into_iter().filter(|(.., values)| !values.is_empty());
        let groups = groups.map(|(kind, interval, enabled, values)| Group {
            name: Some(taken.take(&format!("{}-{kind}", cut(device.name.as_str(), 48)), kind)),
            enabled: (!enabled).then_some(Flag(false)),
            interval: Some(Period(interval)),
            devices: Some(Names(vec![device.name.clone()])),
            values: Some(values),
            ..Group::default()
        });
        Self { groups: groups.collect() }
    }
}

fn value(object: &Object, taken: &mut Taken) -> Value {
    let title = obis_name(object.obis);
    let wanted = title.as_deref().map(slug).unwrap_or_default();
    Value {
        name: Some(taken.take(&wanted, name_of(object.obis).as_str())),
        title: title.map(Cow::into_owned),
        obis: Some(ObisText(object.obis)),
        class: Some(ClassRef(object.class)),
        ..Value::default()
    }
}

/// A name for an object that has none: the groups of its logical name.
pub(super) fn name_of(obis: Obis) -> Name {
    let groups: Vec<String> = obis.0.iter().map(u8::to_string).collect();
    // Digits and hyphens make a name.
    groups.join("-").parse().unwrap_or_else(|_| unreachable!("{obis} makes a name"))
}

/// Lower case, digits, and one underscore for everything between.
fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if !slug.is_empty() && !slug.ends_with('_') => slug.push('_'),
            _ => {}
        }
    }
    slug.truncate(slug.trim_end_matches('_').len());
    slug
}

/// At most `length` characters of an ASCII text.
fn cut(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_plain_and_not_taken_twice() {
        assert_eq!(slug("Active energy import (+A), rate 1"), "active_energy_import_a_rate_1");
        assert_eq!(slug("—"), "");
        let mut taken = Taken::default();
        let long = "x".repeat(80);
        let names: Vec<Name> = [("energy", "1-0-1-8-0-255"); 4]
            .into_iter()
            .chain([("", "0"), (long.as_str(), "y")])
            .map(|(wanted, otherwise)| taken.take(wanted, otherwise))
            .collect();
        let names: Vec<&str> = names.iter().map(Name::as_str).collect();
        assert_eq!(names[..5], ["energy", "1-0-1-8-0-255", "1-0-1-8-0-255-2", "1-0-1-8-0-255-3", "0"]);
        assert_eq!(names[5].len(), LONGEST_NAME);
    }
}
