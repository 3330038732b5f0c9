//! Sections `cosem_group` and `cosem`: what is read, how often, of whom.

use std::time::Duration;

use super::options::Options;
use super::{Importer, Slugs, enabled, named, named_beside};
use crate::bridge::config::Name;
use crate::bridge::config::document::device::Device;
use crate::bridge::config::document::group::{Group, Value};
use crate::bridge::config::forms::{Attributes, Names};
use crate::bridge::config::object::{ClassRef, ObisText, ShortName};
use crate::bridge::config::quantity::{Flag, Integer, Period};
use crate::bridge::import::uci::Section;
use crate::cosem::catalogue::ClassId;

impl Importer {
    pub(super) fn groups<'a>(
        &mut self,
        groups: impl Iterator<Item = &'a Section>,
        values: impl Iterator<Item = &'a Section>,
    ) -> Vec<Group> {
        let mut slugs = Slugs::default();
        let mut made: Vec<(&str, Group, Slugs)> = Vec::new();
        for section in groups {
            let mut options = Options::new(section);
            let group = group(&mut options, &mut slugs);
            self.notes.extend(options.finish());
            made.push((&section.id, group, Slugs::default()));
        }
        // Rows of a profile are published without their group: names of profiles are unique over all groups.
        let mut profiles = Slugs::default();
        for section in values {
            let mut options = Options::new(section);
            let id = options.text("cosem_group").unwrap_or_default();
            match made.iter_mut().find(|(known, _, _)| *known == id) {
                Some((_, group, names)) => {
                    let value = self.value(&mut options, names, &mut profiles);
                    group.values.get_or_insert_default().extend(value);
                }
                None => options.note("`cosem_group` names none that is there: the value is left out"),
            }
            self.notes.extend(options.finish());
        }
        made.into_iter().map(|(_, group, _)| with_common_devices(group)).collect()
    }

    fn value(&self, options: &mut Options<'_>, names: &mut Slugs, profiles: &mut Slugs) -> Option<Value> {
        let class = match options.number("cosem_id", 0..=65_535) {
            Ok(class) => class.and_then(|class| u16::try_from(class).ok()).map_or(ClassId::DATA, ClassId),
            Err(_) => {
                options.note("the value is left out");
                return None;
            }
        };
        let is_profile = class == ClassId::PROFILE_GENERIC;
        let obis = self.object(options);
        let short_name = short_name(options);
        let devices = self.devices_of(options);
        let Some((obis, devices, short_name)) = addressed(options, obis, &devices, short_name) else {
            options.note("the value is left out");
            return None;
        };
        let (name, title) =
            if is_profile { named_beside(options, names, profiles) } else { named(options, names) };
        let mut made = Value {
            name: Some(name),
            title,
            enabled: enabled(options),
            device: Some(Names(devices)),
            obis: obis.map(ObisText),
            short_name: short_name.map(ShortName),
            class: Some(ClassRef(class)),
            ..Value::default()
        };
        match options.number("entries", 1..=32_767) {
            Ok(entries) => made.entries = entries.filter(|_| is_profile).map(Integer),
            Err(_) if is_profile => made.enabled = Some(Flag(false)),
            Err(_) => {}
        }
        select(options, &mut made);
        Some(made)
    }

    /// `logical_name`, which older firmware calls `obis`.
    fn object(&self, options: &mut Options<'_>) -> Option<crate::wire::obis::Obis> {
        let older = options.text("obis");
        let text = options.text("logical_name").or(older)?;
        match text.parse() {
            Ok(obis) => Some(obis),
            Err(error) => {
                options.note(format!("the OBIS code {text}: {error}"));
                None
            }
        }
    }

    fn devices_of(&self, options: &mut Options<'_>) -> Vec<&Device> {
        let mut found: Vec<&Device> = Vec::new();
        for id in options.words("physical_device") {
            let device = self.meters.iter().find(|(known, _)| *known == id);
            match device.and_then(|(_, index)| self.devices.get(*index)) {
                Some(device) if found.iter().any(|known| known.name == device.name) => {}
                Some(device) => found.push(device),
                None => options.note(format!("`physical_device` names {id}, which is not there")),
            }
        }
        found
    }
}

fn group(options: &mut Options<'_>, slugs: &mut Slugs) -> Group {
    let (name, title) = named(options, slugs);
    let mut made = Group { name: Some(name), title, enabled: enabled(options), ..Group::default() };
    match options.number("interval", 1..=u32::MAX.into()) {
        Ok(interval) => {
            if interval.is_none() {
                options.note("`interval` is missing: 1 s, as on the router");
            }
            let seconds = interval.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(1);
            made.interval = Some(Period(Duration::from_secs(seconds)));
        }
        Err(_) => {
            options.note("disabled until that is settled");
            made.enabled = Some(Flag(false));
        }
    }
    made
}

/// Which object of which devices. What a device's kind of referencing cannot use is dropped.
fn addressed(
    options: &mut Options<'_>,
    obis: Option<crate::wire::obis::Obis>,
    devices: &[&Device],
    short_name: Option<u16>,
) -> Option<(Option<crate::wire::obis::Obis>, Vec<Name>, Option<u16>)> {
    let by_short_name = |device: &&Device| device.logical_name_referencing == Some(Flag(false));
    let all_short = devices.iter().all(by_short_name);
    let name = |device: &Device| device.name.clone();
    let everyone = || devices.iter().filter_map(|device| name(device)).collect::<Vec<Name>>();
    if devices.is_empty() {
        options.note("`physical_device` names nobody to read it from");
        return None;
    }
    match (obis, short_name) {
        (None, None) => {
            options.note("it has neither an OBIS code nor a short name");
            None
        }
        (Some(obis), Some(_)) if !all_short => Some((Some(obis), everyone(), None)),
        (None, Some(_)) if !all_short => {
            options
                .note("it has a short name alone: devices that are read by logical names are taken from it");
            let short: Vec<Name> = devices
                .iter()
                .filter(|device| by_short_name(device))
                .filter_map(|device| name(device))
                .collect();
            (!short.is_empty()).then_some((None, short, short_name))
        }
        (obis, short_name) => Some((obis, everyone(), short_name)),
    }
}

/// A base name: `0x…`, or a decimal number.
fn short_name(options: &mut Options<'_>) -> Option<u16> {
    let text = options.text("short_name")?;
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match digits {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse::<u16>().ok(),
    };
    match number {
        Some(number) if digits.is_none() => {
            options.note(format!("`short_name` {text} is taken for a decimal number, {number:#06X}"));
        }
        Some(_) => {}
        None => options.note(format!("`short_name` is {text}, no number up to 65535")),
    }
    number
}

fn select(options: &mut Options<'_>, made: &mut Value) {
    let words = options.words("attributes");
    let words: Vec<&str> =
        words.iter().flat_map(|word| word.split([',', ' '])).filter(|word| !word.is_empty()).collect();
    let numbers: Vec<i64> = words
        .iter()
        .filter_map(|word| word.parse().ok())
        .filter(|number| (1..=127).contains(number))
        .collect();
    match numbers.as_slice() {
        [] if words.is_empty() => {}
        _ if words.iter().any(|word| matches!(*word, "all" | "0")) => made.attributes = Some(Attributes::All),
        _ if numbers.len() != words.len() => {
            options.note("`attributes` are no numbers from 1 to 127: all are read");
            made.attributes = Some(Attributes::All);
        }
        [one] => made.attribute = Some(Integer(*one)),
        several => {
            let mut listed: Vec<i64> = Vec::new();
            several.iter().for_each(|number| {
                if !listed.contains(number) {
                    listed.push(*number);
                }
            });
            made.attributes = Some(Attributes::Listed(listed.into_iter().map(Integer).collect()));
        }
    }
}

/// Devices that every value names are said once, by the group.
fn with_common_devices(mut group: Group) -> Group {
    let values = group.values.get_or_insert_default();
    let common = values.first().and_then(|value| value.device.clone());
    if common.is_some() && values.iter().all(|value| value.device == common) {
        values.iter_mut().for_each(|value| value.device = None);
        group.devices = common;
    }
    group
}
