//! Names of well-known objects by their OBIS codes (IEC 62056-61), for people who read a list of objects.
//!
//! The rows for heat, water and heat cost allocators (media 4, 5, 6, 8 and 9) have no second source.

use std::borrow::Cow;

use crate::wire::obis::Obis;

/// What an object with this code usually is; `None` for codes without a standard meaning.
#[must_use]
pub fn obis_name(obis: Obis) -> Option<Cow<'static, str>> {
    listed(obis).or_else(|| electricity(obis))
}

fn listed(obis: Obis) -> Option<Cow<'static, str>> {
    let &(pattern, name) = NAMES.iter().find(|(pattern, _)| matches(pattern, obis))?;
    // Of a range of groups E, the name says which one it is.
    let [.., e, _] = obis.0;
    let many = pattern.split('.').nth(4).is_some_and(|group| group == "e");
    Some(if many { Cow::Owned(format!("{name} {e}")) } else { Cow::Borrowed(name) })
}

/// Whether `pattern` (six groups, each a number, `x`, `e` or `lo-hi`) fits the code.
fn matches(pattern: &str, obis: Obis) -> bool {
    pattern.split('.').zip(obis.0).all(|(group, value)| match group {
        "x" | "e" => true,
        _ => match group.split_once('-') {
            Some((low, high)) => {
                low.parse().is_ok_and(|low| value >= low) && high.parse().is_ok_and(|high| value <= high)
            }
            None => group.parse() == Ok(value),
        },
    })
}

/// Medium 1: quantity (C), processing (D), rate (E) and billing period (F) each contribute to the name.
fn electricity(obis: Obis) -> Option<Cow<'static, str>> {
    let [1, _, c, d, e, f] = obis.0 else { return None };
    let (quantity, integral) = quantity(c)?;
    let name = match d {
        2 => format!("cumulative maximum demand, {quantity}"),
        4 => format!("average demand in the current period, {quantity}"),
        5 => format!("average demand in the last period, {quantity}"),
        6 => format!("maximum demand, {quantity}"),
        7 => quantity.clone(),
        8 => integral?,
        9 => format!("{} since the last billing", integral?),
        29 => format!("{} in the capture interval", integral?),
        32 => format!("sags, {quantity}"),
        36 => format!("swells, {quantity}"),
        _ => return None,
    };
    // With an instantaneous value group E is no rate.
    let rate = match (d, e) {
        (_, 0) => String::new(),
        (2 | 4 | 5 | 6 | 8 | 9 | 29, 1..=63) => format!(", rate {e}"),
        _ => return None,
    };
    let period = match f {
        255 => String::new(),
        0..=99 => format!(", billing period {f}"),
        101..=126 => ", past billing periods".to_owned(),
        _ => return None,
    };
    Some(Cow::Owned(format!("{name}{rate}{period}")))
}

/// What group C measures, and the name of its time integral where it has one.
fn quantity(c: u8) -> Option<(String, Option<String>)> {
    let (base, phase) = match c {
        1..=20 => (c, ""),
        21..=34 => (c - 20, " L1"),
        41..=54 => (c - 40, " L2"),
        61..=74 => (c - 60, " L3"),
        91 => return Some(("current in the neutral".to_owned(), None)),
        92 => return Some(("voltage of the neutral".to_owned(), None)),
        90 => return Some(("sum of the currents".to_owned(), None)),
        84 => return Some(("power factor, export".to_owned(), None)),
        _ => return None,
    };
    let (power, energy) = match base {
        1 => ("active power, import", Some("active energy, import")),
        2 => ("active power, export", Some("active energy, export")),
        3 => ("reactive power, import", Some("reactive energy, import")),
        4 => ("reactive power, export", Some("reactive energy, export")),
        5 => ("reactive power, quadrant I", Some("reactive energy, quadrant I")),
        6 => ("reactive power, quadrant II", Some("reactive energy, quadrant II")),
        7 => ("reactive power, quadrant III", Some("reactive energy, quadrant III")),
        8 => ("reactive power, quadrant IV", Some("reactive energy, quadrant IV")),
        9 => ("apparent power, import", Some("apparent energy, import")),
        10 => ("apparent power, export", Some("apparent energy, export")),
        11 => ("current", None),
        12 => ("voltage", None),
        13 => ("power factor", None),
        14 => ("frequency", None),
        15 if phase.is_empty() => ("active power, absolute", Some("active energy, absolute")),
        16 if phase.is_empty() => ("active power, net", Some("active energy, net")),
        17 if phase.is_empty() => ("active power, quadrant I", Some("active energy, quadrant I")),
        18 if phase.is_empty() => ("active power, quadrant II", Some("active energy, quadrant II")),
        19 if phase.is_empty() => ("active power, quadrant III", Some("active energy, quadrant III")),
        20 if phase.is_empty() => ("active power, quadrant IV", Some("active energy, quadrant IV")),
        _ => return None,
    };
    Some((format!("{power}{phase}"), energy.map(|energy| format!("{energy}{phase}"))))
}

/// Patterns and names; the first that fits counts.
const NAMES: &[(&str, &str)] = &[
    ("0.0.1.0.0.255", "clock"),
    ("0.0.1.1.0.255", "UNIX clock"),
    ("0.0.2.0.0.255", "modem configuration"),
    ("0.0.2.1.0.255", "auto connect"),
    ("0.0.2.2.0.255", "auto answer"),
    ("0.0.10.0.0.255", "script table: global meter reset"),
    ("0.0.10.0.1.255", "script table: end of billing period"),
    ("0.0.10.0.100.255", "script table: tariffs"),
    ("0.0.10.0.106.255", "script table: disconnect control"),
    ("0.0.10.0.107.255", "script table: image activation"),
    ("0.0.10.0.108.255", "script table: push"),
    ("0.0.11.0.0.255", "special days table"),
    ("0.0.12.0.0.255", "schedule"),
    ("0.0.13.0.0.255", "activity calendar"),
    ("0.0.14.0.0.255", "register activation"),
    ("0.0.15.0.0.255", "action schedule: end of billing period"),
    ("0.0.15.0.1.255", "action schedule: disconnect control"),
    ("0.0.15.0.2.255", "action schedule: image activation"),
    ("0.0.15.0.4.255", "action schedule: push"),
    ("0.0.16.0.e.255", "register monitor"),
    ("0.0.16.1.e.255", "alarm monitor"),
    ("0.0.17.0.0.255", "limiter"),
    ("0.0.18.0.0.255", "array manager"),
    ("0.0.19.x.0.255", "payment metering"),
    ("0.0.20.0.0.255", "IEC local port setup, optical"),
    ("0.0.20.0.1.255", "IEC local port setup, electrical"),
    ("0.0.21.0.0.255", "readout list: local port"),
    ("0.0.21.0.1.255", "readout list: display"),
    ("0.0.21.0.2.255", "readout list: alternate display"),
    ("0.0.21.0.3.255", "readout list: service display"),
    ("0.0.21.0.4.255", "readout list: configurable data"),
    ("0.0.21.0.5.255", "readout list: additional"),
    ("0.0.22.0.0.255", "IEC HDLC setup"),
    ("0.0.23.0.0.255", "IEC twisted pair setup"),
    ("0.x.24.0.0.255", "M-Bus port setup"),
    ("0.x.24.1.0.255", "M-Bus client"),
    ("0.x.24.2.e.255", "M-Bus value"),
    ("0.x.24.3.0.255", "M-Bus profile"),
    ("0.x.24.4.0.255", "M-Bus disconnect control"),
    ("0.x.24.5.0.255", "M-Bus control log"),
    ("0.0.25.0.0.255", "TCP-UDP setup"),
    ("0.0.25.1.0.255", "IPv4 setup"),
    ("0.0.25.2.0.255", "MAC address setup"),
    ("0.0.25.3.0.255", "PPP setup"),
    ("0.0.25.4.0.255", "GPRS modem setup"),
    ("0.0.25.5.0.255", "SMTP setup"),
    ("0.0.25.6.0.255", "GSM diagnostic"),
    ("0.0.25.7.0.255", "IPv6 setup"),
    ("0.x.25.9.0.255", "push setup"),
    ("0.0.25.10.0.255", "NTP setup"),
    ("0.0.40.0.0.255", "current association"),
    ("0.0.40.0.e.255", "association"),
    ("0.0.41.0.0.255", "SAP assignment"),
    ("0.0.42.0.0.255", "logical device name"),
    ("0.0.43.0.e.255", "security setup"),
    ("0.x.43.1.e.255", "invocation counter"),
    ("0.0.43.2.e.255", "data protection"),
    ("0.0.44.0.0.255", "image transfer"),
    ("0.0.44.1.e.255", "function control"),
    ("0.0.65.x.e.255", "utility table"),
    ("0.0.66.0.e.255", "compact data"),
    ("0.0.94.91.0.255", "nameplate (India)"),
    ("0.0.94.91.10.255", "nameplate profile (India)"),
    ("0.0.94.91.3-7.255", "scaler profile (India)"),
    ("0.x.96.1.0.255", "device ID 1, often the serial number"),
    ("0.x.96.1.1.255", "device ID 2"),
    ("0.x.96.1.2.255", "device ID 3"),
    ("0.x.96.1.3.255", "device ID 4"),
    ("0.x.96.1.4.255", "device ID 5"),
    ("0.x.96.1.5.255", "device ID 6"),
    ("0.x.96.1.6.255", "device ID 7"),
    ("0.x.96.1.7.255", "device ID 8"),
    ("0.x.96.1.8.255", "device ID 9"),
    ("0.x.96.1.9.255", "device ID 10"),
    ("0.x.96.1.255.255", "device IDs"),
    ("0.0.96.2.0.255", "number of configuration changes"),
    ("0.0.96.2.1.255", "date of the last configuration change"),
    ("0.0.96.2.13.255", "date of the last calendar programming"),
    ("0.0.96.3.1.255", "input control signals"),
    ("0.0.96.3.2.255", "output control signals"),
    ("0.x.96.3.10.255", "disconnect control"),
    ("0.0.96.4.0.255", "internal control signals"),
    ("0.0.96.5.0.255", "internal operating status"),
    ("0.0.96.6.0.255", "battery use time counter"),
    ("0.0.96.6.3.255", "battery voltage"),
    ("0.0.96.6.6.255", "battery remaining time"),
    ("0.0.96.7.0.255", "power failures in all phases"),
    ("0.0.96.7.1.255", "power failures, L1"),
    ("0.0.96.7.2.255", "power failures, L2"),
    ("0.0.96.7.3.255", "power failures, L3"),
    ("0.0.96.7.9.255", "long power failures in any phase"),
    ("0.0.96.7.19.255", "duration of the last long power failure"),
    ("0.0.96.7.21.255", "power failures in any phase"),
    ("0.0.96.8.0.255", "operating time"),
    ("0.0.96.8.1.255", "operating time, rate 1"),
    ("0.0.96.8.2.255", "operating time, rate 2"),
    ("0.0.96.9.0.255", "ambient temperature"),
    ("0.0.96.10.1.255", "profile status"),
    ("0.0.96.11.e.255", "event code"),
    ("0.0.96.12.5.255", "GSM field strength"),
    ("0.0.96.13.0.255", "consumer message text"),
    ("0.0.96.13.1.255", "consumer message code"),
    ("0.0.96.14.0.255", "current tariff"),
    ("0.0.96.15.e.255", "event counter"),
    ("0.0.96.20.e.255", "tamper counter"),
    ("0.0.97.97.0.255", "error register"),
    ("0.0.97.98.0.255", "alarm register 1"),
    ("0.0.97.98.1.255", "alarm register 2"),
    ("0.0.97.98.10.255", "alarm filter 1"),
    ("0.0.97.98.11.255", "alarm filter 2"),
    ("0.0.97.98.20.255", "alarm descriptor 1"),
    ("0.0.97.98.21.255", "alarm descriptor 2"),
    ("0.0.98.1.0.255", "billing profile"),
    ("0.0.99.98.0.255", "standard event log"),
    ("0.0.99.98.1.255", "fraud detection log"),
    ("0.0.99.98.2.255", "disconnect control log"),
    ("0.0.99.98.3.255", "M-Bus event log"),
    ("0.0.99.98.4.255", "power quality log"),
    ("0.0.99.98.5.255", "communication log"),
    ("0.0.94.x.x.255", "country specific"),
    ("1.x.0.0.0.255", "electricity ID 1"),
    ("1.x.0.0.1.255", "electricity ID 2"),
    ("1.x.0.0.2.255", "electricity ID 3"),
    ("1.x.0.0.3-9.255", "electricity ID"),
    ("1.0.0.1.0.255", "billing period counter"),
    ("1.0.0.1.2.255", "time stamp of the last billing period"),
    ("1.0.0.2.0.255", "active firmware identifier"),
    ("1.0.0.2.2.255", "time switch program number"),
    ("1.0.0.2.8.255", "active firmware signature"),
    ("1.0.0.3.0.255", "pulse constant, active energy"),
    ("1.0.0.3.3.255", "pulse constant, LED"),
    ("1.0.0.4.2.255", "current transformer ratio, numerator"),
    ("1.0.0.4.3.255", "voltage transformer ratio, numerator"),
    ("1.0.0.6.0.255", "nominal voltage"),
    ("1.0.0.6.1.255", "basic current"),
    ("1.0.0.8.0.255", "demand period"),
    ("1.0.0.8.4.255", "recording interval of load profile 1"),
    ("1.0.0.8.5.255", "recording interval of load profile 2"),
    ("1.0.0.9.0-2.255", "local time or date"),
    ("1.0.94.7.e.255", "country specific"),
    ("1.0.98.1.0.255", "billing profile 1"),
    ("1.0.98.2.0.255", "billing profile 2"),
    ("1.0.99.1.0.255", "load profile 1"),
    ("1.0.99.2.0.255", "load profile 2"),
    ("1.0.99.97.0.255", "power failure log"),
    ("1.0.99.98.e.255", "event log"),
    ("1.0.99.99.e.255", "certification data log"),
    ("1.1.0.2.129.255", "OBIS list version"),
    ("4.0.1.0.0.255", "heat cost allocator units"),
    ("5.0.1.0.0.255", "cooling energy"),
    ("6.0.1.0.0.255", "heat energy"),
    ("6.0.2.0.0.255", "heat volume"),
    ("6.0.8.0.0.255", "heat power"),
    ("6.0.9.0.0.255", "heat flow rate"),
    ("6.0.10.0.0.255", "flow temperature"),
    ("6.0.11.0.0.255", "return temperature"),
    ("7.0.0.0.0.255", "gas ID"),
    ("7.x.1.0.0.255", "gas volume, forward undisturbed"),
    ("7.x.3.0.0.255", "gas volume, forward absolute"),
    ("7.x.13.2.0.255", "gas converter volume at base conditions"),
    ("7.0.41.0.0.255", "gas temperature"),
    ("7.0.42.0.0.255", "gas pressure"),
    ("7.0.43.0.0.255", "gas flow rate"),
    ("7.0.99.99.e.255", "gas profile"),
    ("8.0.1.0.0.255", "cold water volume"),
    ("8.0.2.0.0.255", "cold water flow rate"),
    ("9.0.1.0.0.255", "hot water volume"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) -> Option<String> {
        obis_name(Obis([a, b, c, d, e, f])).map(Cow::into_owned)
    }

    #[test]
    fn patterns_are_well_formed() {
        for (pattern, _) in NAMES {
            let groups: Vec<_> = pattern.split('.').collect();
            assert_eq!(groups.len(), 6, "{pattern}");
            for group in groups {
                let fine = match group.split_once('-') {
                    Some((low, high)) => {
                        low.parse::<u8>().ok().zip(high.parse().ok()).is_some_and(|(low, high)| low < high)
                    }
                    None => matches!(group, "x" | "e") || group.parse::<u8>().is_ok(),
                };
                assert!(fine, "{pattern}");
            }
        }
    }

    #[test]
    fn names() {
        let is = |actual: Option<String>, expected: &str| assert_eq!(actual.as_deref(), Some(expected));
        is(name(0, 0, 1, 0, 0, 255), "clock");
        is(name(0, 3, 24, 1, 0, 255), "M-Bus client");
        is(name(0, 0, 40, 0, 0, 255), "current association");
        is(name(0, 0, 40, 0, 2, 255), "association 2");
        is(name(0, 0, 94, 91, 5, 255), "scaler profile (India)");
        is(name(1, 0, 1, 8, 0, 255), "active energy, import");
        is(name(1, 0, 2, 8, 3, 255), "active energy, export, rate 3");
        is(name(1, 0, 1, 8, 0, 2), "active energy, import, billing period 2");
        is(name(1, 0, 72, 7, 0, 255), "voltage L3");
        is(name(1, 0, 1, 6, 0, 255), "maximum demand, active power, import");
        is(name(1, 0, 1, 29, 0, 255), "active energy, import in the capture interval");
        is(name(1, 0, 32, 32, 0, 255), "sags, voltage L1");
        is(name(1, 0, 99, 1, 0, 255), "load profile 1");
    }

    #[test]
    fn codes_without_a_standard_meaning() {
        assert_eq!(name(0, 0, 128, 0, 0, 255), None);
        assert_eq!(name(1, 0, 12, 8, 0, 255), None, "no time integral of a voltage");
        assert_eq!(name(1, 0, 35, 7, 0, 255), None);
        assert_eq!(name(1, 0, 1, 8, 64, 255), None);
        assert_eq!(name(2, 0, 1, 8, 0, 255), None);
    }
}
