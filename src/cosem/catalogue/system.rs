//! Classes of the meter itself: associations, security, access points, firmware.

use super::shape::{CODE, Field, Shape};
use super::{Class, ClassId, fixed, live, method, methods_at, name_only};

pub(super) const CLASSES: &[Class] = &[
    Class {
        id: ClassId::ASSOCIATION_SN,
        name: "association_sn",
        newest: 4,
        attributes: &[
            fixed(
                2,
                "object_list",
                Shape::Array(&Shape::Structure(&[
                    ("base_name", Shape::Number),
                    ("class_id", Shape::Number),
                    ("version", Shape::Number),
                    ("logical_name", Shape::LogicalName),
                ])),
            ),
            fixed(
                3,
                "access_rights_list",
                Shape::Array(&Shape::Structure(&[
                    ("base_name", Shape::Number),
                    ("attribute_access", ATTRIBUTE_ACCESS),
                    ("method_access", METHOD_ACCESS),
                ])),
            )
            .since(1),
            fixed(4, "security_setup_reference", Shape::LogicalName).since(2),
            fixed(5, "user_list", Shape::Array(&USER)).since(4),
            fixed(6, "current_user", USER).since(4),
        ],
        methods: &[
            method(1, "getlist_by_classid").until(0),
            method(2, "getobj_by_logicalname").until(0),
            method(3, "read_by_logicalname"),
            method(4, "get_attributes_and_methods").until(0),
            method(5, "change_secret"),
            method(6, "change_hls_secret"),
            method(8, "reply_to_hls_authentication"),
            method(9, "add_user").since(4),
            method(10, "remove_user").since(4),
        ],
        short_names: &[methods_at(0x20)],
    },
    Class {
        id: ClassId::ASSOCIATION_LN,
        name: "association_ln",
        newest: 3,
        attributes: &[
            fixed(2, "object_list", Shape::Array(&Shape::Structure(OBJECT_LIST_ELEMENT))).until(2),
            fixed(2, "object_list", Shape::Array(&Shape::Structure(OBJECT_LIST_ELEMENT_V3))).since(3),
            fixed(
                3,
                "associated_partners_id",
                Shape::Structure(&[("client_sap", Shape::Number), ("server_sap", Shape::Number)]),
            ),
            fixed(4, "application_context_name", Shape::ObjectIdentifier(APPLICATION_CONTEXT_NAME)),
            fixed(
                5,
                "xdlms_context_info",
                Shape::Structure(&[
                    ("conformance", Shape::BitString),
                    ("max_receive_pdu", Shape::Number),
                    ("max_send_pdu", Shape::Number),
                    ("dlms_version", Shape::Number),
                    ("quality_of_service", Shape::Number),
                    ("cyphering_info", Shape::OctetString),
                ]),
            ),
            fixed(6, "authentication_mechanism_name", Shape::ObjectIdentifier(MECHANISM_NAME)),
            fixed(7, "secret", Shape::OctetString),
            live(
                8,
                "association_status",
                Shape::Enum(&[(0, "non_associated"), (1, "association_pending"), (2, "associated")]),
            ),
            fixed(9, "security_setup_reference", Shape::LogicalName).since(1),
            fixed(10, "user_list", Shape::Array(&USER)).since(2),
            fixed(11, "current_user", USER).since(2),
        ],
        methods: &[
            method(1, "reply_to_hls_authentication"),
            method(2, "change_hls_secret"),
            method(3, "add_object"),
            method(4, "remove_object"),
            method(5, "add_user").since(2),
            method(6, "remove_user").since(2),
        ],
        short_names: &[methods_at(0x60)],
    },
    Class {
        id: ClassId(17),
        name: "sap_assignment",
        newest: 0,
        attributes: &[fixed(
            2,
            "sap_assignment_list",
            Shape::Array(&Shape::Structure(&[
                ("sap", Shape::Number),
                ("logical_device_name", Shape::OctetString),
            ])),
        )],
        methods: &[method(1, "connect_logical_device")],
        short_names: &[methods_at(0x20)],
    },
    Class {
        id: ClassId(18),
        name: "image_transfer",
        newest: 0,
        attributes: &[
            fixed(2, "image_block_size", Shape::Number),
            live(3, "image_transferred_blocks_status", Shape::BitString),
            live(4, "image_first_not_transferred_block_number", Shape::Number),
            fixed(5, "image_transfer_enabled", Shape::Boolean),
            live(6, "image_transfer_status", IMAGE_TRANSFER_STATUS),
            live(
                7,
                "image_to_activate_info",
                Shape::Array(&Shape::Structure(&[
                    ("image_to_activate_size", Shape::Number),
                    ("image_to_activate_identification", Shape::OctetString),
                    ("image_to_activate_signature", Shape::OctetString),
                ])),
            ),
        ],
        methods: &[
            method(1, "image_transfer_initiate"),
            method(2, "image_block_transfer"),
            method(3, "image_verify"),
            method(4, "image_activate"),
        ],
        short_names: &[methods_at(0x40)],
    },
    Class {
        id: ClassId(64),
        name: "security_setup",
        newest: 1,
        attributes: &[
            fixed(
                2,
                "security_policy",
                Shape::Enum(&[
                    (0, "none"),
                    (1, "authenticated"),
                    (2, "encrypted"),
                    (3, "authenticated_and_encrypted"),
                ]),
            )
            .until(0),
            // A mask of seven flags from version 1 on: its values have no names.
            fixed(2, "security_policy", CODE).since(1),
            fixed(
                3,
                "security_suite",
                Shape::Enum(&[
                    (0, "aes_gcm_128"),
                    (1, "ecdh_ecdsa_aes_gcm_128_sha_256"),
                    (2, "ecdh_ecdsa_aes_gcm_256_sha_384"),
                ]),
            ),
            live(4, "client_system_title", Shape::OctetString),
            fixed(5, "server_system_title", Shape::OctetString),
            live(
                6,
                "certificates",
                Shape::Array(&Shape::Structure(&[
                    (
                        "certificate_entity",
                        Shape::Enum(&[
                            (0, "server"),
                            (1, "client"),
                            (2, "certification_authority"),
                            (3, "other"),
                        ]),
                    ),
                    (
                        "certificate_type",
                        Shape::Enum(&[
                            (0, "digital_signature"),
                            (1, "key_agreement"),
                            (2, "tls"),
                            (3, "other"),
                        ]),
                    ),
                    ("serial_number", Shape::OctetString),
                    ("issuer", Shape::OctetString),
                    ("subject", Shape::OctetString),
                    ("subject_alt_name", Shape::OctetString),
                ])),
            )
            .since(1),
        ],
        methods: &[
            method(1, "security_activate"),
            method(2, "global_key_transfer").until(0),
            method(2, "key_transfer").since(1),
            method(3, "key_agreement").since(1),
            method(4, "generate_key_pair").since(1),
            method(5, "generate_certificate_request").since(1),
            method(6, "import_certificate").since(1),
            method(7, "export_certificate").since(1),
            method(8, "remove_certificate").since(1),
        ],
        short_names: &[methods_at(0x28).until(0), methods_at(0x30).since(1)],
    },
    name_only(30, "data_protection"),
];

const IMAGE_TRANSFER_STATUS: Shape = Shape::Enum(&[
    (0, "not_initiated"),
    (1, "initiated"),
    (2, "verification_initiated"),
    (3, "verification_successful"),
    (4, "verification_failed"),
    (5, "activation_initiated"),
    (6, "activation_successful"),
    (7, "activation_failed"),
]);

const USER: Shape = Shape::Structure(&[("id", Shape::Number), ("name", Shape::Any)]);

const OBJECT_LIST_ELEMENT: &[Field] = &[
    ("class_id", Shape::Number),
    ("version", Shape::Number),
    ("logical_name", Shape::LogicalName),
    (
        "access_rights",
        Shape::Structure(&[("attribute_access", ATTRIBUTE_ACCESS), ("method_access", METHOD_ACCESS)]),
    ),
];

const OBJECT_LIST_ELEMENT_V3: &[Field] = &[
    ("class_id", Shape::Number),
    ("version", Shape::Number),
    ("logical_name", Shape::LogicalName),
    (
        "access_rights",
        Shape::Structure(&[
            ("attribute_access", Shape::Array(&ATTRIBUTE_ACCESS_ITEM_V3)),
            ("method_access", Shape::Array(&METHOD_ACCESS_ITEM_V3)),
        ]),
    ),
];

const ATTRIBUTE_ACCESS: Shape = Shape::Array(&Shape::Structure(&[
    ("attribute_id", Shape::Number),
    (
        "access_mode",
        Shape::Enum(&[
            (0, "no_access"),
            (1, "read"),
            (2, "write"),
            (3, "read_and_write"),
            (4, "authenticated_read"),
            (5, "authenticated_write"),
            (6, "authenticated_read_and_write"),
        ]),
    ),
    ("access_selectors", Shape::Array(&Shape::Number)),
]));

const METHOD_ACCESS: Shape = Shape::Array(&Shape::Structure(&[
    ("method_id", Shape::Number),
    ("access_mode", Shape::Enum(&[(0, "no_access"), (1, "access"), (2, "authenticated_access")])),
]));

/// From version 3 on the modes are masks of flags: their values have no names.
const ATTRIBUTE_ACCESS_ITEM_V3: Shape = Shape::Structure(&[
    ("attribute_id", Shape::Number),
    ("access_mode", CODE),
    ("access_selectors", Shape::Array(&Shape::Number)),
]);

const METHOD_ACCESS_ITEM_V3: Shape = Shape::Structure(&[("method_id", Shape::Number), ("access_mode", CODE)]);

const APPLICATION_CONTEXT_NAME: &[Field] = &[
    ("joint_iso_ctt_element", Shape::Number),
    ("country_element", Shape::Number),
    ("country_name_element", Shape::Number),
    ("identified_organization_element", Shape::Number),
    ("dlms_ua_element", Shape::Number),
    ("application_context_element", Shape::Number),
    ("context_id_element", Shape::Number),
];

const MECHANISM_NAME: &[Field] = &[
    ("joint_iso_ctt_element", Shape::Number),
    ("country_element", Shape::Number),
    ("country_name_element", Shape::Number),
    ("identified_organization_element", Shape::Number),
    ("dlms_ua_element", Shape::Number),
    ("authentication_mechanism_name_element", Shape::Number),
    ("mechanism_id_element", Shape::Number),
];
