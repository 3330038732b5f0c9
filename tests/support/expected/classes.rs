//! Names and shapes of attributes by class, written down apart from the product's catalogue.

/// Attributes from 2 on by class, with what they are: `.` plain, `o` octets, `L` logical name, `T` date-time, `D`
/// date, `C` time of day, `S` scaled by the object's scaler_unit, `U` unit, `(n=name,…)` enumeration, `[x]` array,
/// `{name:x,…}` structure.
pub(super) const CLASSES: &[(u64, &[(&str, &str)])] = &[
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
pub(super) const QOS: &str = "{precedence:.,delay:.,reliability:.,peak_throughput:.,mean_throughput:.}";
