//! What the contract makes of a value that the peer meter says it has: written apart from the renderer under test.

use serde_json::{Map, Value};

/// What an attribute is, beyond its types on the wire.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Plain,
    LogicalName,
    DateTime,
    Date,
    Time,
    Scaled,
    Unit,
    /// Octets that are no date-time by chance.
    Octets,
    Enum(Vec<(u64, String)>),
    Array(Box<Shape>),
    Structure(Vec<(String, Shape)>),
}

/// A value as published, and what stands beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Published {
    pub(crate) value: Value,
    pub(crate) text: Option<String>,
    pub(crate) date_time: Option<String>,
}

/// Attributes from 2 on by class, with what they are: `.` plain, `o` octets, `L` logical name, `T` date-time, `D`
/// date, `C` time of day, `S` scaled by the object's scaler_unit, `U` unit, `(n=name,…)` enumeration, `[x]` array,
/// `{name:x,…}` structure.
const CLASSES: &[(u64, &[(&str, &str)])] = &[
    (1, &[("value", ".")]),
    (3, &[("value", "S"), ("scaler_unit", SCALER_UNIT)]),
    (4, &[("value", "S"), ("scaler_unit", SCALER_UNIT), ("status", "."), ("capture_time", "T")]),
    (
        5,
        &[
            ("current_average_value", "S"),
            ("last_average_value", "S"),
            ("scaler_unit", SCALER_UNIT),
            ("status", "."),
            ("capture_time", "T"),
            ("start_time_current", "T"),
            ("period", "."),
            ("number_of_periods", "."),
        ],
    ),
    (
        6,
        &[
            ("register_assignment", "[{class_id:.,logical_name:L}]"),
            ("mask_list", "[{mask_name:o,index_list:[.]}]"),
            ("active_mask", "o"),
        ],
    ),
    (
        7,
        &[
            ("buffer", "[.]"),
            ("capture_objects", CAPTURE_OBJECTS),
            ("capture_period", "."),
            ("sort_method", "(1=fifo)"),
            ("sort_object", CAPTURE_OBJECT),
            ("entries_in_use", "."),
            ("profile_entries", "."),
        ],
    ),
    (
        8,
        &[
            ("time", "T"),
            ("time_zone", "."),
            ("status", "."),
            ("daylight_savings_begin", "T"),
            ("daylight_savings_end", "T"),
            ("daylight_savings_deviation", "."),
            ("daylight_savings_enabled", "."),
            ("clock_base", "(1=internal_crystal)"),
        ],
    ),
    (
        9,
        &[(
            "scripts",
            "[{script_identifier:.,actions:[{service_id:(1=write,2=execute),class_id:.,logical_name:L,index:.,parameter:.}]}]",
        )],
    ),
    (11, &[("entries", "[{index:.,specialday_date:D,day_id:.}]")]),
    (
        15,
        &[
            (
                "object_list",
                "[{class_id:.,version:.,logical_name:L,access_rights:{attribute_access:[{attribute_id:.,access_mode:(0=no_access,1=read,3=read_and_write),access_selectors:.}],method_access:[{method_id:.,access_mode:(1=access)}]}}]",
            ),
            ("associated_partners_id", "{client_sap:.,server_sap:.}"),
            (
                "application_context_name",
                "{joint_iso_ctt_element:.,country_element:.,country_name_element:.,identified_organization_element:.,dlms_ua_element:.,application_context_element:.,context_id_element:.}",
            ),
            (
                "xdlms_context_info",
                "{conformance:.,max_receive_pdu:.,max_send_pdu:.,dlms_version:.,quality_of_service:.,cyphering_info:o}",
            ),
            (
                "authentication_mechanism_name",
                "{joint_iso_ctt_element:.,country_element:.,country_name_element:.,identified_organization_element:.,dlms_ua_element:.,authentication_mechanism_name_element:.,mechanism_id_element:.}",
            ),
            ("secret", "o"),
            ("association_status", "(0=non_associated,1=association_pending,2=associated)"),
            ("security_setup_reference", "L"),
        ],
    ),
    (17, &[("sap_assignment_list", "[{sap:.,logical_device_name:o}]")]),
    (
        18,
        &[
            ("image_block_size", "."),
            ("image_transferred_blocks_status", "."),
            ("image_first_not_transferred_block_number", "."),
            ("image_transfer_enabled", "."),
            ("image_transfer_status", "(1=initiated)"),
            (
                "image_to_activate_info",
                "[{image_to_activate_size:.,image_to_activate_identification:o,image_to_activate_signature:o}]",
            ),
        ],
    ),
    (
        19,
        &[
            ("default_mode", "(1=dlms)"),
            ("default_baud", BAUD),
            ("prop_baud", BAUD),
            ("response_time", "(0=20_ms)"),
            ("device_addr", "o"),
            ("pass_p1", "o"),
            ("pass_p2", "o"),
            ("pass_w5", "o"),
        ],
    ),
    (
        20,
        &[
            ("calendar_name_active", "o"),
            ("season_profile_active", SEASONS),
            ("week_profile_table_active", WEEKS),
            ("day_profile_table_active", DAYS),
            ("calendar_name_passive", "o"),
            ("season_profile_passive", SEASONS),
            ("week_profile_table_passive", WEEKS),
            ("day_profile_table_passive", DAYS),
            ("activate_passive_calendar_time", "T"),
        ],
    ),
    (
        21,
        &[
            ("thresholds", "[.]"),
            ("monitored_value", VALUE_DEFINITION),
            (
                "actions",
                "[{action_up:{script_logical_name:L,script_selector:.},action_down:{script_logical_name:L,script_selector:.}}]",
            ),
        ],
    ),
    (
        22,
        &[
            ("executed_script", "{script_logical_name:L,script_selector:.}"),
            ("type", "(1=one_entry_date_wildcards)"),
            ("execution_time", "[{time:C,date:D}]"),
        ],
    ),
    (
        23,
        &[
            ("comm_speed", BAUD),
            ("window_size_transmit", "."),
            ("window_size_receive", "."),
            ("max_info_field_length_transmit", "."),
            ("max_info_field_length_receive", "."),
            ("inter_octet_time_out", "."),
            ("inactivity_time_out", "."),
            ("device_address", "."),
        ],
    ),
    (24, &[("mode", "(1=active)"), ("speed", "."), ("primary_address_list", "[.]"), ("tabi_list", "[.]")]),
    (26, &[("table_id", "."), ("length", "."), ("buffer", "o")]),
    (
        27,
        &[
            ("comm_speed", BAUD),
            ("initialization_string", "[{request:o,response:o,delay:.}]"),
            ("modem_profile", "[o]"),
        ],
    ),
    (
        28,
        &[
            ("mode", "."),
            ("listening_window", WINDOWS),
            ("status", "(1=active)"),
            ("number_of_calls", "."),
            ("number_of_rings", "{nr_rings_in_window:.,nr_rings_out_of_window:.}"),
        ],
    ),
    (
        29,
        &[
            ("mode", "(101=always_connected)"),
            ("repetitions", "."),
            ("repetition_delay", "."),
            ("calling_window", WINDOWS),
            ("destination_list", "[o]"),
        ],
    ),
    (
        40,
        &[
            ("push_object_list", CAPTURE_OBJECTS),
            ("send_destination_and_method", "{transport_service:(0=tcp),destination:o,message:(0=a_xdr)}"),
            ("communication_window", WINDOWS),
            ("randomisation_start_interval", "."),
            ("number_of_retries", "."),
            ("repetition_delay", "."),
        ],
    ),
    (
        41,
        &[
            ("tcp_udp_port", "."),
            ("ip_reference", "L"),
            ("mss", "."),
            ("nb_of_sim_conn", "."),
            ("inactivity_time_out", "."),
        ],
    ),
    (
        42,
        &[
            ("dl_reference", "L"),
            ("ip_address", "."),
            ("multicast_ip_address", "[.]"),
            ("ip_options", "[{ip_option_type:.,ip_option_length:.,ip_option_data:o}]"),
            ("subnet_mask", "."),
            ("gateway_ip_address", "."),
            ("use_dhcp_flag", "."),
            ("primary_dns_address", "."),
            ("secondary_dns_address", "."),
        ],
    ),
    (43, &[("mac_address", "o")]),
    (45, &[("apn", "o"), ("pin_code", "."), ("quality_of_service", "{default:QOS,requested:QOS}")]),
    (
        47,
        &[
            ("operator", "."),
            ("status", "(1=home_network)"),
            ("cs_attachment", "(0=inactive)"),
            ("ps_status", "(5=lte)"),
            ("cell_info", "{cell_id:.,location_id:.,signal_quality:.,ber:.,mcc:.,mnc:.,channel_number:.}"),
            ("adjacent_cells", "[{cell_id:.,signal_quality:.}]"),
            ("capture_time", "T"),
        ],
    ),
    (
        48,
        &[
            ("dl_reference", "L"),
            ("address_config_mode", "(1=dhcpv6)"),
            ("unicast_ipv6_addresses", "[o]"),
            ("multicast_ipv6_addresses", "[o]"),
            ("gateway_ipv6_addresses", "[o]"),
            ("primary_dns_address", "o"),
            ("secondary_dns_address", "o"),
            ("traffic_class", "."),
            ("neighbor_discovery_setup", "[{rs_max_retry:.,rs_retry_wait_time:.,ra_send_period:.}]"),
        ],
    ),
    (
        62,
        &[
            ("compact_buffer", "o"),
            ("capture_objects", CAPTURE_OBJECTS),
            ("template_id", "."),
            ("template_description", "o"),
            ("capture_method", "(1=implicit)"),
        ],
    ),
    (
        64,
        &[
            ("security_policy", "."),
            ("security_suite", "(0=aes_gcm_128)"),
            ("client_system_title", "o"),
            ("server_system_title", "o"),
            (
                "certificates",
                "[{certificate_entity:(0=server),certificate_type:(1=key_agreement),serial_number:o,issuer:o,subject:o,subject_alt_name:o}]",
            ),
        ],
    ),
    (
        68,
        &[
            ("actions", "[{script_logical_name:L,script_selector:.}]"),
            ("permissions_table", "[.]"),
            ("weightings_table", "[[.]]"),
            ("most_recent_requests_table", "[.]"),
            ("last_outcome", "."),
        ],
    ),
    (
        70,
        &[
            ("output_state", "."),
            ("control_state", "(0=disconnected,1=connected,2=ready_for_reconnection)"),
            ("control_mode", "."),
        ],
    ),
    (
        71,
        &[
            ("monitored_value", VALUE_DEFINITION),
            ("threshold_active", "."),
            ("threshold_normal", "."),
            ("threshold_emergency", "."),
            ("min_over_threshold_duration", "."),
            ("min_under_threshold_duration", "."),
            (
                "emergency_profile",
                "{emergency_profile_id:.,emergency_activation_time:T,emergency_duration:.}",
            ),
            ("emergency_profile_group_id_list", "[.]"),
            ("emergency_profile_active", "."),
            (
                "actions",
                "{action_over_threshold:{script_logical_name:L,script_selector:.},action_under_threshold:{script_logical_name:L,script_selector:.}}",
            ),
        ],
    ),
];

const SCALER_UNIT: &str = "{scaler:.,unit:U}";
const CAPTURE_OBJECT: &str = "{class_id:.,logical_name:L,attribute_index:.,data_index:.}";
const CAPTURE_OBJECTS: &str = "[{class_id:.,logical_name:L,attribute_index:.,data_index:.}]";
const VALUE_DEFINITION: &str = "{class_id:.,logical_name:L,attribute_index:.}";
const BAUD: &str = "(5=9600,6=19200,9=115200)";
const WINDOWS: &str = "[{start_time:T,end_time:T}]";
const SEASONS: &str = "[{season_profile_name:o,season_start:T,week_name:o}]";
const WEEKS: &str =
    "[{week_profile_name:o,monday:.,tuesday:.,wednesday:.,thursday:.,friday:.,saturday:.,sunday:.}]";
const DAYS: &str = "[{day_id:.,day_schedule:[{start_time:C,script_logical_name:L,script_selector:.}]}]";
const QOS: &str = "{precedence:.,delay:.,reliability:.,peak_throughput:.,mean_throughput:.}";

/// Name and shape of an attribute; attribute 1 is the logical name everywhere.
pub(crate) fn attribute(class: u16, id: i8) -> (String, Shape) {
    if id == 1 {
        return ("logical_name".to_owned(), Shape::LogicalName);
    }
    let (_, attributes) = CLASSES
        .iter()
        .find(|(known, _)| *known == u64::from(class))
        .unwrap_or_else(|| panic!("class {class} has no names here"));
    let (name, shape) = attributes
        .get(usize::try_from(id - 2).unwrap())
        .unwrap_or_else(|| panic!("class {class} has no attribute {id} here"));
    ((*name).to_owned(), parse(&shape.replace("QOS", QOS)))
}

fn parse(text: &str) -> Shape {
    let mut rest = text;
    let shape = parse_one(&mut rest);
    assert!(rest.is_empty(), "{text}: {rest}");
    shape
}

fn parse_one(rest: &mut &str) -> Shape {
    let first = rest.chars().next().expect("a shape");
    *rest = &rest[1..];
    match first {
        '.' => Shape::Plain,
        'o' => Shape::Octets,
        'L' => Shape::LogicalName,
        'T' => Shape::DateTime,
        'D' => Shape::Date,
        'C' => Shape::Time,
        'S' => Shape::Scaled,
        'U' => Shape::Unit,
        '(' => {
            let (names, after) = rest.split_once(')').expect("a closed enumeration");
            *rest = after;
            let one = |name: &str| {
                let (number, name) = name.split_once('=').expect("number=name");
                (number.parse().expect("a number"), name.to_owned())
            };
            Shape::Enum(names.split(',').map(one).collect())
        }
        '[' => {
            let element = parse_one(rest);
            *rest = rest.strip_prefix(']').expect("a closed array");
            Shape::Array(Box::new(element))
        }
        '{' => {
            let mut fields = Vec::new();
            loop {
                let (name, after) = rest.split_once(':').expect("name:shape");
                *rest = after;
                fields.push((name.to_owned(), parse_one(rest)));
                match rest.split_at(1) {
                    (",", after) => *rest = after,
                    ("}", after) => {
                        *rest = after;
                        return Shape::Structure(fields);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        other => panic!("no shape {other}"),
    }
}

/// The value of a payload.
pub(crate) fn top(typed: &Value, shape: &Shape, scaler: i32) -> Published {
    let octets = octets(typed);
    let mut published = Published { value: nested(typed, shape), text: None, date_time: None };
    if let (Shape::Scaled, Some(number)) = (shape, typed["v"].as_i64()) {
        published.value = scaled(number.into(), scaler);
    }
    published.text = match (&octets, shape) {
        (_, Shape::Enum(_) | Shape::Unit) => name_of(typed, shape),
        (Some(_), Shape::LogicalName | Shape::DateTime | Shape::Date | Shape::Time) => None,
        (Some(octets), _) => printable(octets),
        _ => None,
    };
    if let (Some(octets), Shape::Plain, None) = (&octets, shape, &published.text)
        && octets.len() == 12
        && plausible(octets)
    {
        published.date_time = Some(date_time(octets));
    }
    published
}

/// A member of an object, with what stands beside it.
pub(crate) fn member(into: &mut Map<String, Value>, name: &str, typed: &Value, shape: &Shape, scaler: i32) {
    let Published { value, text, date_time } = top(typed, shape, scaler);
    into.insert(name.to_owned(), value);
    if let Some(text) = text {
        into.insert(format!("{name}_text"), text.into());
    }
    if let Some(date_time) = date_time {
        into.insert(format!("{name}_date_time"), date_time.into());
    }
}

/// A value within another.
pub(crate) fn nested(typed: &Value, shape: &Shape) -> Value {
    let value = &typed["v"];
    match typed["t"].as_str().expect("a type") {
        "octet-string" => {
            let octets = octets(typed).expect("octets");
            match (shape, octets.len()) {
                (Shape::LogicalName, 6) => obis(&octets).into(),
                (Shape::DateTime, 12) => date_time(&octets).into(),
                (Shape::Date, 5) => date(&octets).into(),
                (Shape::Time, 4) => time(&octets).into(),
                _ => value.clone(),
            }
        }
        "date-time" => date_time(&from_hex(value)).into(),
        "date" => date(&from_hex(value)).into(),
        "time" => time(&from_hex(value)).into(),
        "array" => {
            let element = match shape {
                Shape::Array(element) => element,
                _ => &Shape::Plain,
            };
            value.as_array().expect("elements").iter().map(|typed| nested(typed, element)).collect()
        }
        "structure" => {
            let elements = value.as_array().expect("elements");
            let Shape::Structure(fields) = shape else {
                return elements.iter().map(|typed| nested(typed, &Shape::Plain)).collect();
            };
            assert_eq!(fields.len(), elements.len(), "{typed}");
            let mut object = Map::new();
            for ((name, shape), typed) in fields.iter().zip(elements) {
                object.insert(name.clone(), nested(typed, shape));
                if let Some(text) = name_of(typed, shape) {
                    object.insert(format!("{name}_text"), text.into());
                }
            }
            object.into()
        }
        "compact-array" => {
            let (kind, contents) = (from_hex(&value["type"]), from_hex(&value["contents"]));
            let mut rest = contents.as_slice();
            let mut elements = Vec::new();
            while !rest.is_empty() {
                elements.push(compact(&mut kind.as_slice(), &mut rest));
            }
            elements.into()
        }
        _ => value.clone(),
    }
}

/// One element of a compact array by its type description: the types that the meter has in one.
fn compact(kind: &mut &[u8], contents: &mut &[u8]) -> Value {
    let tag = take(kind, 1)[0];
    match tag {
        0x02 => {
            let count = take(kind, 1)[0];
            (0..count).map(|_| compact(kind, contents)).collect()
        }
        0x06 => u32::from_be_bytes(take(contents, 4).try_into().unwrap()).into(),
        0x11 => take(contents, 1)[0].into(),
        0x12 => u16::from_be_bytes(take(contents, 2).try_into().unwrap()).into(),
        other => panic!("no type {other:#x}"),
    }
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = from.split_at(count);
    *from = rest;
    taken
}

fn name_of(typed: &Value, shape: &Shape) -> Option<String> {
    let code = typed["v"].as_u64()?;
    match shape {
        Shape::Enum(names) => names.iter().find(|(number, _)| *number == code).map(|(_, name)| name.clone()),
        Shape::Unit => unit(code).map(str::to_owned),
        _ => None,
    }
}

/// The units of the peer meter.
pub(crate) fn unit(code: u64) -> Option<&'static str> {
    match code {
        13 => Some("m3"),
        27 => Some("W"),
        30 => Some("Wh"),
        33 => Some("A"),
        35 => Some("V"),
        44 => Some("Hz"),
        0 | 255 => None,
        other => panic!("the peer meter has a new unit {other}"),
    }
}

/// `number` · 10^`scaler` with all its digits, by moving the point in its text.
pub(crate) fn scaled_text(number: i128, scaler: i32) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let digits = number.unsigned_abs().to_string();
    if scaler >= 0 {
        let zeros = if number == 0 { 0 } else { usize::try_from(scaler).unwrap() };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    let places = usize::try_from(-scaler).unwrap();
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn scaled(number: i128, scaler: i32) -> Value {
    serde_json::from_str(&scaled_text(number, scaler)).expect("a number")
}

/// `1-0:1.8.0*255` of six octets.
pub(crate) fn obis(octets: &[u8]) -> String {
    let [a, b, c, d, e, f] = octets.try_into().expect("six octets");
    format!("{a}-{b}:{c}.{d}.{e}*{f}")
}

/// The same of `1.0.1.8.0.255`.
pub(crate) fn obis_of(dotted: &str) -> String {
    obis(&dotted.split('.').map(|part| part.parse().expect("0 to 255")).collect::<Vec<u8>>())
}

fn octets(typed: &Value) -> Option<Vec<u8>> {
    (typed["t"] == "octet-string").then(|| from_hex(&typed["v"]))
}

fn from_hex(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hex");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn printable(octets: &[u8]) -> Option<String> {
    let text: Vec<u8> = octets.iter().rev().skip_while(|octet| **octet == 0).copied().collect();
    let is_text = !text.is_empty() && text.iter().all(|octet| (0x20..=0x7E).contains(octet));
    is_text.then(|| text.iter().rev().map(|&octet| char::from(octet)).collect())
}

fn plausible(octets: &[u8]) -> bool {
    let within = |octet: u8, low: u8, high: u8| octet == 0xFF || (low..=high).contains(&octet);
    within(octets[2], 1, 12)
        && within(octets[3], 1, 31)
        && within(octets[5], 0, 23)
        && within(octets[6], 0, 59)
}

fn date_time(octets: &[u8]) -> String {
    let deviation = i16::from_be_bytes([octets[9], octets[10]]);
    let offset = match deviation {
        i16::MIN => String::new(),
        minutes => {
            let sign = if minutes > 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
    };
    format!("{}T{}{offset}", date(&octets[..5]), time(&octets[5..9]))
}

fn date(octets: &[u8]) -> String {
    let year = u16::from_be_bytes([octets[0], octets[1]]);
    let year = if year == 0xFFFF { "*".to_owned() } else { format!("{year:04}") };
    let month = match octets[2] {
        0xFF => "*".to_owned(),
        0xFE => "dst_begin".to_owned(),
        0xFD => "dst_end".to_owned(),
        month => format!("{month:02}"),
    };
    let day = match octets[3] {
        0xFF => "*".to_owned(),
        0xFE => "last".to_owned(),
        0xFD => "second_last".to_owned(),
        day => format!("{day:02}"),
    };
    let is_complete = year != "*" && octets[2] < 0xFD && octets[3] < 0xFD;
    let weekday = match octets[4] {
        day @ 1..=7 if !is_complete => {
            ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][usize::from(day) - 1]
        }
        _ => "",
    };
    let slash = if weekday.is_empty() { "" } else { "/" };
    format!("{year}-{month}-{day}{slash}{weekday}")
}

fn time(octets: &[u8]) -> String {
    let field = |octet: u8| if octet == 0xFF { "*".to_owned() } else { format!("{octet:02}") };
    let hundredths = match octets[3] {
        0 | 0xFF => String::new(),
        hundredths => format!(".{hundredths:02}"),
    };
    format!("{}:{}:{}{hundredths}", field(octets[0]), field(octets[1]), field(octets[2]))
}

/// An RFC 3339 time as the gateway writes its own: UTC, milliseconds, `Z`.
pub(crate) fn is_gateway_time(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    form == "0000-00-00T00:00:00.000Z"
}
