//! Classes that set up communication: ports, modems, IP, push.

use super::shape::{BAUD_RATE, CAPTURE_OBJECT, CODE, NUMBERS, OCTET_STRINGS, Shape, WINDOW};
use super::{Class, ClassId, fixed, live, method, methods_at, name_only};

pub(super) const CLASSES: &[Class] = &[
    Class {
        id: ClassId(19),
        name: "iec_local_port_setup",
        newest: 1,
        attributes: &[
            fixed(2, "default_mode", Shape::Enum(&[(0, "iec_62056_21"), (1, "dlms"), (2, "unspecified")])),
            fixed(3, "default_baud", BAUD_RATE),
            fixed(4, "prop_baud", BAUD_RATE),
            fixed(5, "response_time", Shape::Enum(&[(0, "20_ms"), (1, "200_ms")])),
            fixed(6, "device_addr", Shape::OctetString),
            fixed(7, "pass_p1", Shape::OctetString),
            fixed(8, "pass_p2", Shape::OctetString),
            fixed(9, "pass_w5", Shape::OctetString),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(23),
        name: "iec_hdlc_setup",
        newest: 1,
        attributes: &[
            fixed(2, "comm_speed", BAUD_RATE),
            fixed(3, "window_size_transmit", Shape::Number),
            fixed(4, "window_size_receive", Shape::Number),
            fixed(5, "max_info_field_length_transmit", Shape::Number),
            fixed(6, "max_info_field_length_receive", Shape::Number),
            fixed(7, "inter_octet_time_out", Shape::Number),
            fixed(8, "inactivity_time_out", Shape::Number),
            fixed(9, "device_address", Shape::Number),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(24),
        name: "iec_twisted_pair",
        newest: 1,
        attributes: &[
            fixed(2, "mode", Shape::Enum(&[(0, "inactive"), (1, "active")])),
            fixed(3, "speed", CODE),
            fixed(4, "primary_address_list", NUMBERS),
            fixed(5, "tabi_list", NUMBERS),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(27),
        name: "modem_configuration",
        newest: 1,
        attributes: &[
            fixed(2, "comm_speed", BAUD_RATE),
            fixed(
                3,
                "initialization_string",
                Shape::Array(&Shape::Structure(&[
                    ("request", Shape::OctetString),
                    ("response", Shape::OctetString),
                ])),
            )
            .until(0),
            fixed(
                3,
                "initialization_string",
                Shape::Array(&Shape::Structure(&[
                    ("request", Shape::OctetString),
                    ("response", Shape::OctetString),
                    ("delay", Shape::Number),
                ])),
            )
            .since(1),
            fixed(4, "modem_profile", OCTET_STRINGS),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(28),
        name: "auto_answer",
        newest: 2,
        attributes: &[
            fixed(2, "mode", CODE),
            fixed(3, "listening_window", Shape::Array(&WINDOW)),
            live(4, "status", Shape::Enum(&[(0, "inactive"), (1, "active"), (2, "locked")])),
            fixed(5, "number_of_calls", Shape::Number),
            fixed(
                6,
                "number_of_rings",
                Shape::Structure(&[
                    ("nr_rings_in_window", Shape::Number),
                    ("nr_rings_out_of_window", Shape::Number),
                ]),
            ),
            fixed(
                7,
                "list_of_allowed_callers",
                Shape::Array(&Shape::Structure(&[("caller_id", Shape::OctetString), ("call_type", CODE)])),
            )
            .since(1),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(29),
        name: "auto_connect",
        newest: 2,
        attributes: &[
            fixed(
                2,
                "mode",
                Shape::Enum(&[
                    (0, "no_auto_dialling"),
                    (1, "auto_dialling_anytime"),
                    (2, "auto_dialling_in_window"),
                    (3, "auto_dialling_in_window_alarms_anytime"),
                    (4, "sms_via_plmn"),
                    (5, "sms_via_pstn"),
                    (6, "email"),
                    (101, "always_connected"),
                    (102, "connected_in_window"),
                    (103, "connected_in_window_else_on_invocation"),
                    (104, "connected_on_invocation"),
                ]),
            ),
            fixed(3, "repetitions", Shape::Number),
            fixed(4, "repetition_delay", Shape::Number),
            fixed(5, "calling_window", Shape::Array(&WINDOW)),
            fixed(6, "destination_list", OCTET_STRINGS),
        ],
        methods: &[method(1, "connect").since(2)],
        short_names: &[],
    },
    Class {
        id: ClassId(40),
        name: "push_setup",
        newest: 3,
        attributes: &[
            fixed(2, "push_object_list", Shape::Array(&CAPTURE_OBJECT)).until(1),
            fixed(2, "push_object_list", Shape::Array(&PUSH_OBJECT)).since(2),
            fixed(
                3,
                "send_destination_and_method",
                Shape::Structure(&[
                    ("transport_service", TRANSPORT_SERVICE),
                    ("destination", Shape::OctetString),
                    ("message", Shape::Enum(&[(0, "a_xdr"), (1, "xml")])),
                ]),
            ),
            fixed(4, "communication_window", Shape::Array(&WINDOW)),
            fixed(5, "randomisation_start_interval", Shape::Number),
            fixed(6, "number_of_retries", Shape::Number),
            fixed(7, "repetition_delay", Shape::Number).until(1),
            fixed(
                7,
                "repetition_delay",
                Shape::Structure(&[
                    ("min", Shape::Number),
                    ("exponent", Shape::Number),
                    ("max", Shape::Number),
                ]),
            )
            .since(2),
            fixed(8, "port_reference", Shape::LogicalName).since(1),
            fixed(9, "push_client_sap", Shape::Number).since(1),
            fixed(10, "push_protection_parameters", Shape::Array(&Shape::Any)).since(1),
            fixed(11, "push_operation_method", CODE).since(2),
            fixed(
                12,
                "confirmation_parameters",
                Shape::Structure(&[("start", Shape::DateTime), ("interval", Shape::Number)]),
            )
            .since(2),
            live(13, "last_confirmation_date_time", Shape::DateTime).since(2),
        ],
        methods: &[method(1, "push"), method(2, "reset").since(2)],
        short_names: &[methods_at(0x38).until(0)],
    },
    Class {
        id: ClassId(41),
        name: "tcp_udp_setup",
        newest: 0,
        attributes: &[
            fixed(2, "tcp_udp_port", Shape::Number),
            fixed(3, "ip_reference", Shape::LogicalName),
            fixed(4, "mss", Shape::Number),
            fixed(5, "nb_of_sim_conn", Shape::Number),
            fixed(6, "inactivity_time_out", Shape::Number),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(42),
        name: "ipv4_setup",
        newest: 0,
        attributes: &[
            fixed(2, "dl_reference", Shape::LogicalName),
            live(3, "ip_address", IPV4_ADDRESS),
            fixed(4, "multicast_ip_address", NUMBERS),
            fixed(
                5,
                "ip_options",
                Shape::Array(&Shape::Structure(&[
                    ("ip_option_type", Shape::Number),
                    ("ip_option_length", Shape::Number),
                    ("ip_option_data", Shape::OctetString),
                ])),
            ),
            fixed(6, "subnet_mask", IPV4_ADDRESS),
            fixed(7, "gateway_ip_address", IPV4_ADDRESS),
            fixed(8, "use_dhcp_flag", Shape::Boolean),
            fixed(9, "primary_dns_address", IPV4_ADDRESS),
            fixed(10, "secondary_dns_address", IPV4_ADDRESS),
        ],
        methods: &[
            method(1, "add_mc_ip_address"),
            method(2, "delete_mc_ip_address"),
            method(3, "get_nbof_mc_ip_addresses"),
        ],
        short_names: &[methods_at(0x60)],
    },
    Class {
        id: ClassId(43),
        name: "mac_address_setup",
        newest: 0,
        attributes: &[fixed(2, "mac_address", Shape::OctetString)],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(45),
        name: "gprs_modem_setup",
        newest: 0,
        attributes: &[
            fixed(2, "apn", Shape::OctetString),
            fixed(3, "pin_code", Shape::Number),
            fixed(
                4,
                "quality_of_service",
                Shape::Structure(&[("default", QUALITY_OF_SERVICE), ("requested", QUALITY_OF_SERVICE)]),
            ),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(47),
        name: "gsm_diagnostic",
        newest: 2,
        attributes: &[
            live(2, "operator", Shape::Any),
            live(
                3,
                "status",
                Shape::Enum(&[
                    (0, "not_registered"),
                    (1, "home_network"),
                    (2, "searching"),
                    (3, "denied"),
                    (4, "unknown"),
                    (5, "roaming"),
                ]),
            ),
            live(4, "cs_attachment", Shape::Enum(&[(0, "inactive"), (1, "incoming_call"), (2, "active")])),
            live(5, "ps_status", Shape::Enum(PACKET_SWITCHED_V0)).until(0),
            live(5, "ps_status", Shape::Enum(PACKET_SWITCHED_V1)).since(1).until(1),
            live(5, "ps_status", Shape::Enum(PACKET_SWITCHED_V2)).since(2),
            live(
                6,
                "cell_info",
                Shape::Structure(&[
                    ("cell_id", Shape::Number),
                    ("location_id", Shape::Number),
                    ("signal_quality", Shape::Number),
                    ("ber", Shape::Number),
                ]),
            )
            .until(0),
            live(
                6,
                "cell_info",
                Shape::Structure(&[
                    ("cell_id", Shape::Number),
                    ("location_id", Shape::Number),
                    ("signal_quality", Shape::Number),
                    ("ber", Shape::Number),
                    ("mcc", Shape::Number),
                    ("mnc", Shape::Number),
                    ("channel_number", Shape::Number),
                ]),
            )
            .since(1),
            live(
                7,
                "adjacent_cells",
                Shape::Array(&Shape::Structure(&[
                    ("cell_id", Shape::Number),
                    ("signal_quality", Shape::Number),
                ])),
            ),
            live(8, "capture_time", Shape::DateTime),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(48),
        name: "ipv6_setup",
        newest: 0,
        attributes: &[
            fixed(2, "dl_reference", Shape::LogicalName),
            fixed(
                3,
                "address_config_mode",
                Shape::Enum(&[
                    (0, "auto_configuration"),
                    (1, "dhcpv6"),
                    (2, "manual"),
                    (3, "neighbour_discovery"),
                ]),
            ),
            live(4, "unicast_ipv6_addresses", OCTET_STRINGS),
            fixed(5, "multicast_ipv6_addresses", OCTET_STRINGS),
            fixed(6, "gateway_ipv6_addresses", OCTET_STRINGS),
            fixed(7, "primary_dns_address", Shape::OctetString),
            fixed(8, "secondary_dns_address", Shape::OctetString),
            fixed(9, "traffic_class", Shape::Number),
            fixed(
                10,
                "neighbor_discovery_setup",
                Shape::Array(&Shape::Structure(&[
                    ("rs_max_retry", Shape::Number),
                    ("rs_retry_wait_time", Shape::Number),
                    ("ra_send_period", Shape::Number),
                ])),
            ),
        ],
        methods: &[method(1, "add_ipv6_address"), method(2, "remove_ipv6_address")],
        short_names: &[methods_at(0x60)],
    },
    name_only(44, "ppp_setup"),
    name_only(46, "smtp_setup"),
    name_only(55, "llc_sscs_setup"),
    name_only(73, "wireless_mode_q_channel"),
    name_only(74, "m_bus_master_port_setup"),
    name_only(100, "ntp_setup"),
];

/// A double-long-unsigned by the standard; its four octets say the same.
const IPV4_ADDRESS: Shape = Shape::Any;

const TRANSPORT_SERVICE: Shape = Shape::Enum(&[
    (0, "tcp"),
    (1, "udp"),
    (2, "ftp"),
    (3, "smtp"),
    (4, "sms"),
    (5, "hdlc"),
    (6, "m_bus"),
    (7, "zigbee"),
    (8, "gateway"),
]);

const PUSH_OBJECT: Shape = Shape::Structure(&[
    ("class_id", Shape::Number),
    ("logical_name", Shape::LogicalName),
    ("attribute_index", Shape::Number),
    ("data_index", Shape::Number),
    ("restriction", Shape::Structure(&[("type", CODE), ("value", Shape::Any)])),
    ("columns", Shape::Array(&CAPTURE_OBJECT)),
]);

const QUALITY_OF_SERVICE: Shape = Shape::Structure(&[
    ("precedence", Shape::Number),
    ("delay", Shape::Number),
    ("reliability", Shape::Number),
    ("peak_throughput", Shape::Number),
    ("mean_throughput", Shape::Number),
]);

const PACKET_SWITCHED_V0: &[(u8, &str)] =
    &[(0, "inactive"), (1, "gprs"), (2, "edge"), (3, "umts"), (4, "hsdpa")];

const PACKET_SWITCHED_V1: &[(u8, &str)] =
    &[(0, "inactive"), (1, "gprs"), (2, "edge"), (3, "umts"), (4, "hsdpa"), (5, "lte"), (6, "cdma")];

const PACKET_SWITCHED_V2: &[(u8, &str)] = &[
    (0, "inactive"),
    (1, "gprs"),
    (2, "edge"),
    (3, "umts"),
    (4, "hsdpa"),
    (5, "lte"),
    (6, "cdma"),
    (7, "lte_cat_m1"),
    (8, "nb_iot"),
];
