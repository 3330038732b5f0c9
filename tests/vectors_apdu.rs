//! xDLMS services against the vectors, in both directions: bytes to fields and fields to bytes.

mod support;

use dlms2mqtt::wire::data::Data;
use dlms2mqtt::wire::date_time::DateTime;
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::xdlms::access::{
    AccessKind, AccessOutcome, AccessRequest, AccessResponse, AccessSpecification,
};
use dlms2mqtt::wire::xdlms::action::{ActionOutcome, ActionRequest, ActionResponse};
use dlms2mqtt::wire::xdlms::ciphered::{GeneralCiphered, ServiceCiphered};
use dlms2mqtt::wire::xdlms::get::{GetRequest, GetResponse};
use dlms2mqtt::wire::xdlms::notify::{
    DataNotification, EventNotification, InformationReport, NotificationBody,
};
use dlms2mqtt::wire::xdlms::set::{SetRequest, SetResponse};
use dlms2mqtt::wire::xdlms::sn::{
    Confirmation, ReadBlock, ReadRequest, ReadResponse, ReadResult, VariableAccess, WriteRequest,
    WriteResponse, WriteResult,
};
use dlms2mqtt::wire::xdlms::{
    AttributeDescriptor, AttributeRequest, DataAccessResult, GetDataResult, InvokeIdAndPriority,
    LongInvokeIdAndPriority, MethodDescriptor, SelectiveAccess, tag,
};
use serde_json::Value;
use support::apdu::Apdu;
use support::vectors::{Vector, captured, data, hex, to_hex, vectors};

const C1: InvokeIdAndPriority = InvokeIdAndPriority::C1;

fn number<T: TryFrom<u64>>(json: &Value) -> T {
    let number = json.as_u64().unwrap_or_else(|| panic!("number expected, not {json}"));
    T::try_from(number).unwrap_or_else(|_| panic!("{number} is too large"))
}

fn items(json: &Value) -> &[Value] {
    json.as_array().unwrap_or_else(|| panic!("list expected, not {json}"))
}

/// A value, or a number that is a data-access-result.
fn value_or_result(json: &Value) -> GetDataResult {
    if json.is_u64() { Err(result(json)) } else { Ok(data(json)) }
}

fn result(json: &Value) -> DataAccessResult {
    DataAccessResult::from_code(number(json))
}

fn attribute(class_id: u16, obis: &str, attribute_id: i8) -> AttributeDescriptor {
    AttributeDescriptor { class_id, instance_id: obis.parse().expect("OBIS code"), attribute_id }
}

fn whole(class_id: u16, obis: &str, attribute_id: i8) -> AttributeRequest {
    AttributeRequest::whole(attribute(class_id, obis, attribute_id))
}

fn method(class_id: u16, obis: &str, method_id: i8) -> MethodDescriptor {
    MethodDescriptor { class_id, instance_id: obis.parse().expect("OBIS code"), method_id }
}

/// The APDU that a vector describes: from its fields, and where it has none from its description.
fn described(vector: &Vector) -> Apdu<'static> {
    let name = vector.name.as_str();
    let (input, expected) = (|key| vector.input(key), |key| vector.expected(key));
    match name {
        _ if name.starts_with("get-normal-") => {
            let invoke = InvokeIdAndPriority(number(input("invoke_id_and_priority")));
            assert_eq!(number::<u8>(input("invoke_id")), invoke.id());
            assert_eq!(input("confirmed"), invoke.confirmed());
            assert_eq!(input("high_priority"), invoke.high_priority());
            let obis = input("obis").as_str().expect("OBIS code");
            let request = whole(number(input("class_id")), obis, number(input("attribute")));
            Apdu::GetRequest(GetRequest::Normal { invoke, request })
        }
        _ if name.starts_with("get-profile-") => {
            let selector = number(input("selector"));
            let selection = Some(SelectiveAccess { selector, parameters: data(input("parameter")) });
            let attribute = attribute(7, "1-0:99.1.0*255", 2);
            let request = AttributeRequest { attribute, selection };
            Apdu::GetRequest(GetRequest::Normal { invoke: C1, request })
        }
        "get-next-1" => Apdu::GetRequest(GetRequest::Next { invoke: C1, block: number(input("block")) }),
        "get-with-list-2" => Apdu::GetRequest(GetRequest::WithList {
            invoke: C1,
            requests: vec![whole(1, "0-0:42.0.0*255", 2), whole(8, "0-0:1.0.0*255", 2)],
        }),
        "get-response-list" => Apdu::GetResponse(GetResponse::WithList {
            invoke: C1,
            results: items(expected("results")).iter().map(value_or_result).collect(),
        }),
        "get-response-block-error" => Apdu::GetResponse(GetResponse::WithDataBlock {
            invoke: C1,
            last: expected("last") == true,
            block: number(expected("block")),
            result: Err(result(expected("data_access_result"))),
        }),
        _ if name.starts_with("get-response-error-") => {
            let refusal = result(expected("data_access_result"));
            assert_eq!(expected("name"), refusal.name());
            Apdu::GetResponse(GetResponse::Normal { invoke: C1, result: Err(refusal) })
        }
        _ if name.starts_with("get-response-") => {
            Apdu::GetResponse(GetResponse::Normal { invoke: C1, result: Ok(data(expected("data"))) })
        }
        "set-clock" => Apdu::SetRequest(SetRequest::Normal {
            invoke: C1,
            request: whole(8, "0-0:1.0.0*255", 2),
            value: data(input("data")),
        }),
        "set-u16" => Apdu::SetRequest(SetRequest::Normal {
            invoke: InvokeIdAndPriority(0x41),
            request: whole(1, "0-0:96.50.0*255", 2),
            value: Data::LongUnsigned(7),
        }),
        "set-list" => Apdu::SetRequest(SetRequest::WithList {
            invoke: C1,
            requests: vec![whole(1, "0-0:96.50.0*255", 2), whole(1, "0-0:96.50.1*255", 2)],
            values: vec![Data::Unsigned(1), Data::VisibleString(b"on".to_vec())],
        }),
        "set-response-list" => Apdu::SetResponse(SetResponse::WithList {
            invoke: C1,
            results: items(expected("results")).iter().map(result).collect(),
        }),
        "set-response-block" => {
            Apdu::SetResponse(SetResponse::Block { invoke: C1, block: number(expected("block")) })
        }
        "set-response-last-block" => Apdu::SetResponse(SetResponse::LastBlock {
            invoke: C1,
            result: result(expected("result")),
            block: number(expected("block")),
        }),
        _ if name.starts_with("set-response-") => {
            let result = result(expected("result"));
            assert_eq!(expected("name"), result.name());
            Apdu::SetResponse(SetResponse::Normal { invoke: C1, result })
        }
        "action-disconnect" => Apdu::ActionRequest(ActionRequest::Normal {
            invoke: C1,
            method: method(70, "0-0:96.3.10*255", 1),
            parameter: Some(Data::Integer(0)),
        }),
        "action-no-param" => Apdu::ActionRequest(ActionRequest::Normal {
            invoke: C1,
            method: method(15, "0-0:40.0.0*255", 1),
            parameter: None,
        }),
        "action-list" => Apdu::ActionRequest(ActionRequest::WithList {
            invoke: C1,
            methods: vec![method(70, "0-0:96.3.10*255", 1), method(9, "0-0:10.0.0*255", 1)],
            parameters: vec![Data::Integer(0), Data::LongUnsigned(1)],
        }),
        _ if name.starts_with("action-response-") => {
            let returned = match (expected("data"), expected("data_access_result")) {
                (Value::Null, Value::Null) => None,
                (Value::Null, refusal) => Some(Err(result(refusal))),
                (value, _) => Some(Ok(data(value))),
            };
            let outcome = ActionOutcome { result: result(expected("result")), returned };
            Apdu::ActionResponse(ActionResponse::Normal { invoke: C1, outcome })
        }
        _ if name.starts_with("data-notification-") => Apdu::DataNotification(notification(vector)),
        _ => described_short_name(vector),
    }
}

fn notification(vector: &Vector) -> DataNotification<'static> {
    let invoke = match vector.expected("long_invoke_id").as_u64() {
        Some(id) if vector.expected("confirmed") != true => u32::try_from(id).expect("24 bits"),
        _ => 0x4000_0000,
    };
    DataNotification {
        invoke: LongInvokeIdAndPriority(invoke),
        date_time: date_time(vector.expected("date_time")),
        body: NotificationBody::Data(data(vector.expected("body"))),
    }
}

fn date_time(json: &Value) -> Option<DateTime> {
    let value = serde_json::json!({"type": "date-time", "value": json.as_str()?});
    let Data::DateTime(date_time) = data(&value) else { panic!("date-time") };
    Some(date_time)
}

/// The services of short names, and those that serve both kinds of names.
fn described_short_name(vector: &Vector) -> Apdu<'static> {
    let name = vector.name.as_str();
    let (input, expected) = (|key| vector.input(key), |key| vector.expected(key));
    let short = VariableAccess::Name;
    let names = |json| items(json).iter().map(|name| short(number(name))).collect();
    match name {
        "read-1" | "read-3" => Apdu::ReadRequest(ReadRequest { variables: names(input("short_names")) }),
        "read-param-range" | "read-hls-reply-sn" => {
            let parameter = match name {
                "read-param-range" => data(input("parameter")),
                _ => Data::OctetString(hex("00112233445566778899aabbccddeeff")),
            };
            let name = number(input("short_name"));
            let selector = number(input("selector"));
            let variables = vec![VariableAccess::Parameterised { name, selector, parameter }];
            Apdu::ReadRequest(ReadRequest { variables })
        }
        "read-block-2" => Apdu::ReadRequest(ReadRequest {
            variables: vec![VariableAccess::BlockNumber(number(input("block")))],
        }),
        "read-response-data" | "read-response-mixed" => {
            let results = items(expected("results")).iter().map(|json| match value_or_result(json) {
                Ok(data) => ReadResult::Data(data),
                Err(refusal) => ReadResult::Error(refusal),
            });
            Apdu::ReadResponse(ReadResponse { results: results.collect() })
        }
        "read-response-block" => {
            let raw = hex(expected("raw").as_str().expect("raw")).leak();
            let last = expected("last") == true;
            let block = ReadBlock { last, number: number(expected("block")), raw };
            Apdu::ReadResponse(ReadResponse { results: vec![ReadResult::Block(block)] })
        }
        "write-hls-reply-sn" => write(
            vec![short(number(input("short_name")))],
            vec![Data::OctetString(hex("7f972522bcdd51eb26a0bbddd4e2aa01"))],
        ),
        "write-1" => write(names(input("short_names")), items(input("data")).iter().map(data).collect()),
        "write-2" => {
            write(vec![short(0x0100), short(0x0108)], vec![Data::Unsigned(1), Data::LongUnsigned(2)])
        }
        "write-param" => write(
            vec![VariableAccess::Parameterised { name: 0x0130, selector: 1, parameter: Data::Integer(0) }],
            vec![Data::Null],
        ),
        "write-response-ok" | "write-response-mixed" => {
            let results = items(expected("results")).iter().map(|json| match result(json) {
                DataAccessResult::Success => WriteResult::Success,
                refusal => WriteResult::Error(refusal),
            });
            Apdu::WriteResponse(WriteResponse { results: results.collect() })
        }
        "unconfirmed-write" => Apdu::WriteRequest(WriteRequest {
            confirmation: Confirmation::Unconfirmed,
            variables: vec![short(0x0100)],
            values: vec![Data::Unsigned(5)],
        }),
        "information-report" => Apdu::InformationReport(InformationReport {
            time: None,
            variables: vec![short(0x2AA0)],
            values: vec![Data::DoubleLongUnsigned(0x4D)],
        }),
        "event-notification" => Apdu::EventNotification(EventNotification {
            time: None,
            attribute: attribute(1, "0-0:97.98.20*255", 2),
            value: Data::DoubleLongUnsigned(4),
        }),
        "access-request" => Apdu::AccessRequest(AccessRequest {
            invoke: LongInvokeIdAndPriority(0x4000_0001),
            date_time: None,
            specifications: vec![
                AccessSpecification::Get(whole(3, "1-0:1.8.0*255", 2)),
                AccessSpecification::Set(whole(1, "0-0:96.50.0*255", 2)),
            ],
            values: vec![Data::Null, Data::LongUnsigned(9)],
        }),
        "access-response" => Apdu::AccessResponse(AccessResponse {
            invoke: LongInvokeIdAndPriority(0x4000_0001),
            date_time: None,
            specifications: Vec::new(),
            values: vec![Data::DoubleLongUnsigned(5), Data::Null],
            outcomes: vec![
                AccessOutcome { kind: AccessKind::Get, result: DataAccessResult::Success },
                AccessOutcome { kind: AccessKind::Set, result: DataAccessResult::ReadWriteDenied },
            ],
        }),
        _ => panic!("{name}: nobody checks it"),
    }
}

fn write(variables: Vec<VariableAccess<'static>>, values: Vec<Data>) -> Apdu<'static> {
    Apdu::WriteRequest(WriteRequest { confirmation: Confirmation::Confirmed, variables, values })
}

#[test]
fn services_both_ways() {
    let vectors = vectors("xdlms");
    assert_eq!(vectors.len(), 81);
    for vector in vectors {
        let (bytes, apdu) = (vector.hex(), described(&vector));
        assert_eq!(Apdu::decode(&bytes).as_ref(), Ok(&apdu), "{}", vector.name);
        let mut written = to_hex(&bytes);
        if vector.name == "data-notification-tag09" {
            // A meter's own form of the date-time; we write the standard's.
            written = written.replacen("090c", "0c", 1);
        }
        assert_eq!(to_hex(&apdu.encode()), written, "{}", vector.name);
    }
}

#[test]
fn ciphered_framing() {
    let mut checked = 0;
    for vector in vectors("security") {
        let apdus = match vector.json["hex"].as_str() {
            None => vector.exchange().into_iter().map(|(_, bytes)| bytes).collect(),
            // A wrapped key is no APDU.
            Some(_) if vector.name.starts_with("keywrap-") => continue,
            Some(text) => vec![hex(text)],
        };
        for bytes in apdus {
            if vector.name == "invalid-too-short" {
                // Already its length is wrong.
                assert!(Apdu::decode(&bytes).is_err());
                checked += 1;
                continue;
            }
            let apdu = Apdu::decode(&bytes).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
            let body = match apdu {
                Apdu::GeneralCiphered(GeneralCiphered { system_title, body, .. }) => {
                    let expected = match vector.name.as_str() {
                        "general-glo-empty-title" => "",
                        _ => vector.input("system_title").as_str().expect("system title"),
                    };
                    assert_eq!(to_hex(system_title), expected, "{}", vector.name);
                    body
                }
                Apdu::ServiceCiphered(ServiceCiphered { tag, body }) => {
                    if let Some(plain) = vector.input("plaintext").as_str() {
                        assert_eq!(tag::plain_of(tag), hex(plain).first().copied(), "{}", vector.name);
                        assert_eq!(tag::is_ded(tag), vector.input("protection") == "ded");
                    }
                    body
                }
                other => panic!("{}: {other:?}", vector.name),
            };
            if let Some(control) = vector.expected("security_control").as_str() {
                assert_eq!(to_hex(&body[..1]), control, "{}", vector.name);
            }
            assert_eq!(to_hex(&apdu.encode()), to_hex(&bytes), "{}", vector.name);
            checked += 1;
        }
    }
    assert_eq!(checked, 41);
}

#[test]
fn captured_services() {
    for vector in captured("xdlms", 2) {
        let bytes = vector.hex();
        let apdu = Apdu::decode(&bytes).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(to_hex(&apdu.encode()), to_hex(&bytes), "{}", vector.name);
        let length = match apdu {
            Apdu::ActionRequest(ActionRequest::Normal {
                method,
                parameter: Some(Data::OctetString(proof)),
                ..
            }) => {
                assert_eq!((method.class_id, method.instance_id), (15, Obis::new(0, 0, 40, 0, 0, 255)));
                proof.len()
            }
            Apdu::ActionResponse(ActionResponse::Normal { outcome, .. }) => match outcome.returned {
                Some(Ok(Data::OctetString(proof))) => proof.len(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(length, 17, "{}: control byte, counter and tag", vector.name);
    }
}

#[test]
fn captured_sessions() {
    let mut checked = 0;
    for vector in captured("sessions", 4) {
        for message in items(vector.expected("apdus")) {
            // What the capture does not hold is null.
            let Some(text) = message["hex"].as_str() else { continue };
            let bytes = hex(text);
            let apdu = Apdu::decode(&bytes).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
            assert_eq!(to_hex(&apdu.encode()), to_hex(&bytes), "{}", vector.name);
            checked += 1;
        }
    }
    assert!([0, 103].contains(&checked), "{checked}");
}

#[test]
fn captured_pushes() {
    let mut checked = 0;
    for vector in captured("captures", 30) {
        let plain = vector.expected("plaintext").as_str().or(vector.json["apdu"].as_str()).map(hex);
        let Some(bytes) = plain.filter(|bytes| bytes.first() == Some(&tag::DATA_NOTIFICATION)) else {
            continue;
        };
        let push =
            DataNotification::decode(&bytes).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        let mut written = Vec::new();
        push.encode(&mut written);
        if vector.expected("axdr_valid") == false {
            assert!(matches!(push.body, NotificationBody::Raw { .. }), "{}", vector.name);
        } else {
            let invoke = u32::from_str_radix(
                vector.expected("long_invoke_id_and_priority").as_str().expect("invoke id"),
                16,
            );
            assert_eq!(Ok(push.invoke.0), invoke, "{}", vector.name);
            assert_eq!(push.date_time, date_time(vector.expected("date_time")), "{}", vector.name);
            assert_eq!(push.body, NotificationBody::Data(data(vector.expected("body"))), "{}", vector.name);
        }
        let tagged = vector.expected("date_time_form") == "tagged octet-string";
        assert_eq!(written.len() + usize::from(tagged), bytes.len(), "{}", vector.name);
        assert!(bytes.ends_with(&written[5..]), "{}", vector.name);
        checked += 1;
    }
    assert!([0, 15].contains(&checked), "{checked}");
}

#[test]
fn captured_apdus_in_hdlc_frames() {
    let mut checked = 0;
    for vector in captured("captures", 30) {
        let Some(information) = vector.expected("information").as_str() else { continue };
        let Some(text) = information.strip_prefix("e6e600").or(information.strip_prefix("e6e700")) else {
            continue;
        };
        let bytes = hex(text);
        let apdu = Apdu::decode(&bytes).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        // One meter writes its outer length in three bytes.
        let written = to_hex(&apdu.encode());
        assert_eq!(written, text.replacen("61820035", "6135", 1), "{}", vector.name);
        if let Apdu::Aare(aare) = &apdu {
            assert_eq!(u64::from(aare.result.code()), vector.expected("result").as_u64().expect("result"));
            if let Some(title) = vector.expected("server_system_title").as_str() {
                assert_eq!(aare.responding_ap_title.map(to_hex).as_deref(), Some(title));
            }
        }
        checked += 1;
    }
    assert!([0, 7].contains(&checked), "{checked}");
}
