//! Groups and values: what is read, of whom, when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::device::labels;
use super::{Made, flag, period, plain_text, required, timed, unknown, within};
use crate::bridge::config::defaults;
use crate::bridge::config::document::Document;
use crate::bridge::config::document::group::{self as written, Capture};
use crate::bridge::config::forms::{Attributes, Names};
use crate::bridge::config::model::{self, ClassSource, Group, NameSource, Profile, Selection, Value};
use crate::bridge::config::name::Name;
use crate::bridge::config::object::TimePoint;
use crate::bridge::config::path::Path;
use crate::bridge::config::problem::{Findings, Problem};
use crate::bridge::config::quantity::{Flag, Integer, Text};
use crate::cosem::catalogue::ClassId;
use crate::error::Code;

const LONGEST_INTERVAL: Duration = Duration::from_secs(u32::MAX as u64);

/// The devices that groups and values may name, and which of them are read by short names.
struct Devices<'a> {
    names: BTreeSet<&'a Name>,
    by_short_name: BTreeSet<&'a Name>,
}

pub(super) fn groups(document: &Document, findings: &mut Findings) -> Made<Group> {
    let at = Path::root().key("groups");
    let written = document.devices.as_deref().unwrap_or_default();
    let devices = Devices {
        names: written.iter().filter_map(|device| device.name.as_ref()).collect(),
        by_short_name: written
            .iter()
            .filter(|device| device.logical_name_referencing == Some(Flag(false)))
            .filter_map(|device| device.name.as_ref())
            .collect(),
    };
    let written = document.groups.as_deref().unwrap_or_default();
    written
        .iter()
        .enumerate()
        .map(|(index, written)| group(written, &devices, &at.index(index), findings))
        .collect()
}

fn group(
    written: &written::Group,
    devices: &Devices<'_>,
    at: &Path,
    findings: &mut Findings,
) -> Option<Group> {
    let name = required(written.name.clone(), &at.key("name"), findings);
    plain_text(written.title.as_deref(), 256, &at.key("title"), findings);
    let interval = timed(
        written.interval,
        defaults::INTERVAL,
        Duration::from_secs(1)..=LONGEST_INTERVAL,
        &at.key("interval"),
        findings,
    );
    if interval.subsec_nanos() != 0 {
        findings.error(at.key("interval"), "must be whole seconds");
    }
    let offset = period(written.offset, Duration::ZERO);
    if !offset.is_zero() && offset >= interval {
        findings.error(at.key("offset"), "must be less than the interval");
    }
    let usual = names(written.devices.as_ref(), devices, &at.key("devices"), findings);
    let values_at = at.key("values");
    let written_values = written.values.as_deref().unwrap_or_default();
    if !findings.is_unreadable(&values_at) && !written_values.iter().any(|value| flag(value.enabled, true)) {
        findings.warning(
            values_at.clone(),
            "no value is enabled: nothing is read",
            "add values, or disable the group",
        );
    }
    let values = written_values
        .iter()
        .enumerate()
        .filter_map(|(index, written)| value(written, &usual, devices, &values_at.index(index), findings))
        .collect();
    let labels = labels(written.labels.as_ref(), &at.key("labels"), findings);
    Some(Group {
        name: name?,
        title: written.title.clone(),
        enabled: flag(written.enabled, true),
        interval,
        offset,
        labels,
        values,
    })
}

/// The devices that a list names, each once; whether any was written is told by `Some`.
fn names(
    written: Option<&Names>,
    devices: &Devices<'_>,
    at: &Path,
    findings: &mut Findings,
) -> Option<Vec<Name>> {
    let Names(written) = written?;
    let mut named: Vec<Name> = Vec::new();
    for (index, name) in written.iter().enumerate() {
        // One name may stand without a list, and then has no index in the text.
        let at = if written.len() == 1 { at.clone() } else { at.index(index) };
        if !devices.names.contains(name) {
            findings.push(unknown(at, "device", name, devices.names.iter().copied()));
        } else if named.contains(name) {
            let problem = Problem::error(at, format!("the device `{name}` is named twice"));
            findings.push(problem.with_code(Code::DuplicateName));
        } else {
            named.push(name.clone());
        }
    }
    Some(named)
}

fn value(
    written: &written::Value,
    usual: &Option<Vec<Name>>,
    devices: &Devices<'_>,
    at: &Path,
    findings: &mut Findings,
) -> Option<Value> {
    let name = required(written.name.clone(), &at.key("name"), findings);
    plain_text(written.title.as_deref(), 256, &at.key("title"), findings);
    let device_at = at.key("device");
    let own = names(written.device.as_ref(), devices, &device_at, findings);
    let nobody = match (&own, usual) {
        (Some(_), _) => written.device.as_ref().is_some_and(|Names(names)| names.is_empty()),
        (None, Some(usual)) => usual.is_empty() && !group_devices_unreadable(at, findings),
        (None, None) => !group_devices_unreadable(at, findings),
    };
    if nobody {
        let problem = Problem::error(device_at, "no device is named to read this from");
        findings.push(problem.with_hint("set `device` here, or `devices` of the group"));
    }
    let of = own.or_else(|| usual.clone()).unwrap_or_default();

    if written.obis.is_none()
        && written.short_name.is_none()
        && !findings.is_unreadable(&at.key("short_name"))
    {
        let problem = Problem::error(at.key("obis"), "is missing");
        findings.push(problem.with_hint("name the object by obis, or by short_name"));
    }
    if written.short_name.is_some()
        && let Some(other) = of.iter().find(|name| !devices.by_short_name.contains(name))
    {
        let message = format!("is not used for `{other}`, which is read by logical names");
        if written.obis.is_none() {
            let problem = Problem::error(at.key("short_name"), message);
            findings
                .push(problem.with_hint("give obis, or set logical_name_referencing: false on the device"));
        } else {
            findings.warning(
                at.key("short_name"),
                message,
                "set logical_name_referencing: false on the device",
            );
        }
    }
    let class = written.class.map_or(defaults::CLASS, |class| class.0);
    let selection = selection(written, at, findings);
    let scaler = written
        .scaler
        .map(|scaler| within(Some(scaler), 0, i8::MIN.into()..=i8::MAX.into(), &at.key("scaler"), findings));
    let profile = profile(written, class, at, findings);
    Some(Value {
        name: name?,
        name_source: NameSource::Configured,
        title: written.title.clone(),
        enabled: flag(written.enabled, true),
        devices: of,
        obis: written.obis.map(|obis| obis.0),
        short_name: written.short_name.map(|short_name| short_name.0),
        class,
        class_source: if written.class.is_some() { ClassSource::Configured } else { ClassSource::Default },
        selection,
        scaler,
        unit: written.unit.clone(),
        profile,
    })
}

/// Whether the group of the value at `at` has devices that could not be read.
fn group_devices_unreadable(at: &Path, findings: &Findings) -> bool {
    let group = at.parent().and_then(|values| values.parent()).unwrap_or_default();
    findings.is_unreadable(&group.key("devices"))
}

fn selection(written: &written::Value, at: &Path, findings: &mut Findings) -> Selection {
    let attributes_at = at.key("attributes");
    match (written.attribute, &written.attributes) {
        (Some(_), Some(_)) => {
            let problem = Problem::error(attributes_at, "attribute and attributes exclude each other");
            findings.push(problem.with_hint("attribute: n gives the value alone, attributes an object"));
            Selection::Usual
        }
        (Some(number), None) => Selection::One(attribute(number, &at.key("attribute"), findings)),
        (None, Some(Attributes::All)) => Selection::All,
        (None, Some(Attributes::Listed(numbers))) => {
            if numbers.is_empty() {
                findings.error(attributes_at.clone(), "must name at least one attribute");
            }
            let mut listed = Vec::new();
            for (index, number) in numbers.iter().enumerate() {
                let at = attributes_at.index(index);
                let number = attribute(*number, &at, findings);
                if listed.contains(&number) {
                    findings.error(at, format!("attribute {number} is listed twice"));
                } else {
                    listed.push(number);
                }
            }
            Selection::Many(listed)
        }
        (None, None) => Selection::Usual,
    }
}

/// Attribute numbers are signed: those of manufacturers are negative. 0 would ask for all.
fn attribute(number: Integer, at: &Path, findings: &mut Findings) -> i8 {
    if number.0 == 0 {
        let problem = Problem::error(at.clone(), "attribute 0 is no attribute");
        findings.push(problem.with_hint("attributes: all reads every one"));
    }
    within(Some(number), 0, i8::MIN.into()..=i8::MAX.into(), at, findings)
}

fn profile(written: &written::Value, class: ClassId, at: &Path, findings: &mut Findings) -> Option<Profile> {
    let entries: Option<u16> =
        written.entries.map(|entries| within(Some(entries), 1, 1..=32_767, &at.key("entries"), findings));
    if class != ClassId::PROFILE_GENERIC {
        let given = [
            ("entries", written.entries.is_some()),
            ("columns", written.columns.is_some()),
            ("null_cells", written.null_cells.is_some()),
            ("from", written.from.is_some()),
            ("to", written.to.is_some()),
            ("capture", written.capture.is_some()),
            ("backfill", written.backfill.is_some()),
        ];
        for (key, _) in given.iter().filter(|(_, given)| *given) {
            if !findings.is_unreadable(&at.key("class")) {
                let hint = "leave it out, or set class: profile_generic";
                findings.warning(at.key(*key), "has a meaning for class profile_generic alone", hint);
            }
        }
        return None;
    }
    if written.to.is_some() && written.from.is_none() && !findings.is_unreadable(&at.key("from")) {
        let problem = Problem::error(at.key("from"), "is missing");
        findings.push(problem.with_hint("a window with an end needs a beginning"));
    }
    if let (Some(from), Some(to)) = (&written.from, &written.to)
        && ends_before_it_begins(from, to)
    {
        findings.error(at.key("to"), "the window ends before it begins");
    }
    let capture = written.capture.unwrap_or(defaults::CAPTURE);
    if capture == Capture::Incremental && (written.from.is_some() || written.to.is_some()) {
        let key = if written.from.is_some() { "from" } else { "to" };
        let problem = Problem::error(at.key(key), "a window and capture incremental exclude each other");
        findings.push(problem.with_hint("incremental reads what is new since the last reading"));
    }
    let bounded = entries.is_some() || written.from.is_some() || capture == Capture::Incremental;
    let columns = columns(written, at, findings);
    Some(Profile {
        // The whole buffer at every cycle is never meant.
        entries: if bounded { entries } else { Some(defaults::ENTRIES) },
        from: written.from.clone(),
        to: written.to.clone(),
        capture: match capture {
            Capture::Newest => model::Capture::Newest,
            Capture::Incremental => model::Capture::Since(None),
        },
        backfill: flag(written.backfill, true),
        null_cells: written.null_cells.unwrap_or(defaults::NULL_CELLS),
        columns,
    })
}

fn ends_before_it_begins(from: &TimePoint, to: &TimePoint) -> bool {
    match (from, to) {
        (TimePoint::Instant(from), TimePoint::Instant(to)) => to < from,
        (TimePoint::Local(from), TimePoint::Local(to)) => to < from,
        (TimePoint::Ago(from), TimePoint::Ago(to)) => to > from,
        (TimePoint::Now, TimePoint::Ago(to)) => !to.is_zero(),
        _ => false,
    }
}

fn columns(
    written: &written::Value,
    at: &Path,
    findings: &mut Findings,
) -> BTreeMap<crate::wire::obis::Obis, String> {
    let mut columns = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (obis, Text(name)) in written.columns.iter().flatten() {
        // The key as written may have another form; the pointer is that of the mapping then.
        let at = at.key("columns");
        if name.parse::<Name>().is_err() {
            findings.error(at, format!("the name of column {} is 1 to 64 letters, digits, _ or -", obis.0));
        } else if !names.insert(name) {
            let problem = Problem::error(at, format!("two columns have the name `{name}`"));
            findings.push(problem.with_code(Code::DuplicateName));
        }
        columns.insert(obis.0, name.clone());
    }
    columns
}
