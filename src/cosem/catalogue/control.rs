//! Classes that switch, schedule and supervise: scripts, calendars, monitors, limiter, disconnector.

use super::shape::{ACTION_ITEM, BAUD_RATE, CODE, NUMBERS, Shape, VALUE_DEFINITION};
use super::{Class, ClassId, fixed, live, method, methods_at, name_only};

pub(super) const CLASSES: &[Class] = &[
    Class {
        id: ClassId(9),
        name: "script_table",
        newest: 0,
        attributes: &[fixed(
            2,
            "scripts",
            Shape::Array(&Shape::Structure(&[
                ("script_identifier", Shape::Number),
                ("actions", Shape::Array(&SCRIPT_ACTION)),
            ])),
        )],
        methods: &[method(1, "execute")],
        short_names: &[methods_at(0x20)],
    },
    Class {
        id: ClassId(10),
        name: "schedule",
        newest: 0,
        attributes: &[fixed(
            2,
            "entries",
            Shape::Array(&Shape::Structure(&[
                ("index", Shape::Number),
                ("enable", Shape::Boolean),
                ("script_logical_name", Shape::LogicalName),
                ("script_selector", Shape::Number),
                ("switch_time", Shape::Time),
                ("validity_window", Shape::Number),
                ("exec_weekdays", Shape::BitString),
                ("exec_specdays", Shape::BitString),
                ("begin_date", Shape::Date),
                ("end_date", Shape::Date),
            ])),
        )],
        methods: &[method(1, "enable_disable"), method(2, "insert"), method(3, "delete")],
        short_names: &[methods_at(0x20)],
    },
    Class {
        id: ClassId(11),
        name: "special_days_table",
        newest: 0,
        attributes: &[fixed(
            2,
            "entries",
            Shape::Array(&Shape::Structure(&[
                ("index", Shape::Number),
                ("specialday_date", Shape::Date),
                ("day_id", Shape::Number),
            ])),
        )],
        methods: &[method(1, "insert"), method(2, "delete")],
        short_names: &[methods_at(0x10)],
    },
    Class {
        id: ClassId(20),
        name: "activity_calendar",
        newest: 0,
        attributes: &[
            fixed(2, "calendar_name_active", Shape::OctetString),
            fixed(3, "season_profile_active", SEASONS),
            fixed(4, "week_profile_table_active", WEEKS),
            fixed(5, "day_profile_table_active", DAYS),
            fixed(6, "calendar_name_passive", Shape::OctetString),
            fixed(7, "season_profile_passive", SEASONS),
            fixed(8, "week_profile_table_passive", WEEKS),
            fixed(9, "day_profile_table_passive", DAYS),
            fixed(10, "activate_passive_calendar_time", Shape::DateTime),
        ],
        methods: &[method(1, "activate_passive_calendar")],
        short_names: &[methods_at(0x50)],
    },
    Class {
        id: ClassId(21),
        name: "register_monitor",
        newest: 0,
        attributes: &[
            fixed(2, "thresholds", Shape::Array(&Shape::Any)),
            fixed(3, "monitored_value", VALUE_DEFINITION),
            fixed(
                4,
                "actions",
                Shape::Array(&Shape::Structure(&[("action_up", ACTION_ITEM), ("action_down", ACTION_ITEM)])),
            ),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(22),
        name: "single_action_schedule",
        newest: 0,
        attributes: &[
            fixed(2, "executed_script", ACTION_ITEM),
            fixed(
                3,
                "type",
                Shape::Enum(&[
                    (1, "one_entry_date_wildcards"),
                    (2, "same_time_no_wildcards"),
                    (3, "same_time_date_wildcards"),
                    (4, "different_times_no_wildcards"),
                    (5, "different_times_date_wildcards"),
                ]),
            ),
            fixed(
                4,
                "execution_time",
                Shape::Array(&Shape::Structure(&[("time", Shape::Time), ("date", Shape::Date)])),
            ),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(25),
        name: "m_bus_slave_port_setup",
        newest: 0,
        attributes: &[
            fixed(2, "default_baud", BAUD_RATE),
            fixed(3, "avail_baud", BAUD_RATE),
            fixed(4, "addr_state", Shape::Enum(&[(0, "not_assigned"), (1, "assigned")])),
            fixed(5, "bus_address", Shape::Number),
        ],
        methods: &[],
        short_names: &[],
    },
    Class {
        id: ClassId(65),
        name: "parameter_monitor",
        newest: 0,
        attributes: &[
            live(
                2,
                "changed_parameter",
                Shape::Structure(&[
                    ("class_id", Shape::Number),
                    ("logical_name", Shape::LogicalName),
                    ("attribute_index", Shape::Number),
                    ("attribute_value", Shape::Any),
                ]),
            ),
            live(3, "capture_time", Shape::DateTime),
            fixed(4, "parameter_list", Shape::Array(&VALUE_DEFINITION)),
        ],
        methods: &[method(1, "add_parameter"), method(2, "delete_parameter")],
        short_names: &[methods_at(0x20)],
    },
    Class {
        id: ClassId(68),
        name: "arbitrator",
        newest: 0,
        attributes: &[
            fixed(2, "actions", Shape::Array(&ACTION_ITEM)),
            fixed(3, "permissions_table", Shape::Array(&Shape::BitString)),
            fixed(4, "weightings_table", Shape::Array(&NUMBERS)),
            live(5, "most_recent_requests_table", Shape::Array(&Shape::BitString)),
            live(6, "last_outcome", Shape::Number),
        ],
        methods: &[method(1, "request_action"), method(2, "reset")],
        short_names: &[methods_at(0x30)],
    },
    Class {
        id: ClassId(70),
        name: "disconnect_control",
        newest: 0,
        attributes: &[
            live(2, "output_state", Shape::Boolean),
            live(
                3,
                "control_state",
                Shape::Enum(&[(0, "disconnected"), (1, "connected"), (2, "ready_for_reconnection")]),
            ),
            fixed(4, "control_mode", CODE),
        ],
        methods: &[method(1, "remote_disconnect"), method(2, "remote_reconnect")],
        short_names: &[methods_at(0x20)],
    },
    Class {
        id: ClassId(71),
        name: "limiter",
        newest: 0,
        attributes: &[
            fixed(2, "monitored_value", VALUE_DEFINITION),
            live(3, "threshold_active", Shape::Any),
            fixed(4, "threshold_normal", Shape::Any),
            fixed(5, "threshold_emergency", Shape::Any),
            fixed(6, "min_over_threshold_duration", Shape::Number),
            fixed(7, "min_under_threshold_duration", Shape::Number),
            fixed(
                8,
                "emergency_profile",
                Shape::Structure(&[
                    ("emergency_profile_id", Shape::Number),
                    ("emergency_activation_time", Shape::DateTime),
                    ("emergency_duration", Shape::Number),
                ]),
            ),
            fixed(9, "emergency_profile_group_id_list", NUMBERS),
            live(10, "emergency_profile_active", Shape::Boolean),
            fixed(
                11,
                "actions",
                Shape::Structure(&[
                    ("action_over_threshold", ACTION_ITEM),
                    ("action_under_threshold", ACTION_ITEM),
                ]),
            ),
        ],
        methods: &[],
        short_names: &[],
    },
    name_only(67, "sensor_manager"),
    name_only(111, "account"),
    name_only(112, "credit"),
    name_only(113, "charge"),
    name_only(115, "token_gateway"),
    name_only(122, "function_control"),
];

const SCRIPT_ACTION: Shape = Shape::Structure(&[
    ("service_id", Shape::Enum(&[(1, "write"), (2, "execute")])),
    ("class_id", Shape::Number),
    ("logical_name", Shape::LogicalName),
    ("index", Shape::Number),
    ("parameter", Shape::Any),
]);

const SEASONS: Shape = Shape::Array(&Shape::Structure(&[
    ("season_profile_name", Shape::OctetString),
    ("season_start", Shape::DateTime),
    ("week_name", Shape::OctetString),
]));

const WEEKS: Shape = Shape::Array(&Shape::Structure(&[
    ("week_profile_name", Shape::OctetString),
    ("monday", Shape::Number),
    ("tuesday", Shape::Number),
    ("wednesday", Shape::Number),
    ("thursday", Shape::Number),
    ("friday", Shape::Number),
    ("saturday", Shape::Number),
    ("sunday", Shape::Number),
]));

const DAYS: Shape = Shape::Array(&Shape::Structure(&[
    ("day_id", Shape::Number),
    (
        "day_schedule",
        Shape::Array(&Shape::Structure(&[
            ("start_time", Shape::Time),
            ("script_logical_name", Shape::LogicalName),
            ("script_selector", Shape::Number),
        ])),
    ),
]));
