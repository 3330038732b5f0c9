//! Association control, initiate and faults against the vectors, in both directions.

mod support;

use dlms2mqtt::wire::acse::{
    Aare, Aarq, ApplicationContext, AssociationResult, AuthenticationValue, Diagnostic, DiagnosticSource,
    Mechanism, ReleaseReason, Rlre, Rlrq,
};
use dlms2mqtt::wire::xdlms::ciphered::ServiceCiphered;
use dlms2mqtt::wire::xdlms::conformance::Conformance;
use dlms2mqtt::wire::xdlms::fault::{ConfirmedServiceError, ExceptionResponse, ServiceError};
use dlms2mqtt::wire::xdlms::initiate::{DedicatedKey, InitiateRequest, InitiateResponse};
use dlms2mqtt::wire::xdlms::tag;
use serde_json::Value;
use support::apdu::Apdu;
use support::vectors::{Vector, captured, hex, to_hex, vectors};

fn named(prefix: &str, count: usize) -> Vec<Vector> {
    let found: Vec<_> =
        vectors("association").into_iter().filter(|vector| vector.name.starts_with(prefix)).collect();
    assert_eq!(found.len(), count, "{prefix}");
    found
}

fn optional_hex(json: &Value) -> Option<Vec<u8>> {
    json.as_str().map(hex)
}

fn number<T: TryFrom<u64>>(json: &Value) -> T {
    let number = json.as_u64().unwrap_or_else(|| panic!("number expected, not {json}"));
    T::try_from(number).unwrap_or_else(|_| panic!("{number} is too large"))
}

fn services(json: &Value) -> Conformance {
    let names = json.as_array().expect("names of services");
    names.iter().fold(Conformance::NONE, |set, name| {
        set | Conformance::from_name(name.as_str().expect("name")).expect("service")
    })
}

fn both_ways(name: &str, apdu: &Apdu<'_>, bytes: &[u8]) {
    assert_eq!(Apdu::decode(bytes).as_ref(), Ok(apdu), "{name}");
    assert_eq!(to_hex(&apdu.encode()), to_hex(bytes), "{name}");
}

/// The ciphered APDU in a user information is just bytes here; that it is framed as one is checked.
fn user_information(plain: &[u8], received: Option<&[u8]>, context: ApplicationContext) -> Vec<u8> {
    if !context.is_ciphered() {
        return plain.to_vec();
    }
    let received = received.expect("user information");
    let ciphered = ServiceCiphered::decode(received).expect("ciphered APDU");
    assert_eq!(tag::plain_of(ciphered.tag), plain.first().copied());
    received.to_vec()
}

#[test]
fn every_vector_is_looked_at() {
    let counts = [38, 1, 34, 2, 2, 15, 51, 9];
    assert_eq!(vectors("association").len(), counts.iter().sum::<usize>());
}

#[test]
fn association_requests() {
    for vector in named("aarq-", 39).iter().filter(|vector| vector.input("user_id").is_null()) {
        let bytes = vector.hex();
        let decoded = Aarq::decode(&bytes).expect("AARQ");
        let initiate = InitiateRequest {
            dedicated_key: optional_hex(vector.input("dedicated_key")).map(|key| DedicatedKey::new(&key)),
            ..InitiateRequest::new(
                services(vector.input("conformance")),
                number(vector.input("max_receive_pdu_size")),
            )
        };
        let plain = hex(vector.expected("initiate_request").as_str().expect("initiate request"));
        both_ways(&vector.name, &Apdu::InitiateRequest(initiate), &plain);

        let context =
            ApplicationContext::from_id(number(vector.expected("application_context"))).expect("id");
        assert_eq!(context.is_ciphered(), vector.input("ciphered_context") == true);
        let information = user_information(&plain, decoded.user_information, context);
        let title = optional_hex(vector.input("client_system_title"));
        let authentication = optional_hex(vector.input("calling_authentication_value"));
        let aarq = Aarq {
            application_context: context,
            calling_ap_title: title.as_deref(),
            calling_ae_qualifier: None,
            calling_ae_invocation_id: None,
            mechanism: Mechanism::from_id(number(vector.input("mechanism"))).expect("mechanism"),
            authentication_value: authentication.as_deref().map(AuthenticationValue),
            user_information: Some(&information),
        };
        both_ways(&vector.name, &Apdu::Aarq(aarq), &bytes);
    }
}

#[test]
fn association_request_of_a_user() {
    let vector = &named("aarq-ln-plain-mech1-userid", 1)[0];
    let initiate = hex("01000000065f1f0400007e1fffff");
    let aarq = Aarq {
        application_context: ApplicationContext::LogicalName,
        calling_ap_title: None,
        calling_ae_qualifier: None,
        calling_ae_invocation_id: Some(number(vector.input("user_id"))),
        mechanism: Mechanism::Low,
        authentication_value: Some(AuthenticationValue(b"12345678")),
        user_information: Some(&initiate),
    };
    both_ways(&vector.name, &Apdu::Aarq(aarq), &vector.hex());
}

#[test]
fn association_responses() {
    for vector in named("aare-", 34) {
        let bytes = vector.hex();
        let decoded = Aare::decode(&bytes).expect("AARE");
        let context =
            ApplicationContext::from_id(number(vector.expected("application_context"))).expect("id");
        let information =
            initiate_answer(&vector).map(|plain| user_information(&plain, decoded.user_information, context));
        let title = optional_hex(vector.expected("server_system_title"));
        let challenge = optional_hex(vector.expected("server_challenge"));
        let mechanism = vector.expected("mechanism");
        let aare = Aare {
            application_context: Some(context),
            result: AssociationResult::from_code(number(vector.expected("result"))).expect("result"),
            diagnostic: diagnostic(vector.expected("source"), vector.expected("diagnostic")),
            responding_ap_title: title.as_deref(),
            responding_ae_qualifier: None,
            mechanism: mechanism.as_u64().and_then(|id| Mechanism::from_id(u8::try_from(id).ok()?)),
            authentication_value: challenge.as_deref().map(AuthenticationValue),
            user_information: information.as_deref(),
        };
        both_ways(&vector.name, &Apdu::Aare(aare), &bytes);
    }
}

fn diagnostic(source: &Value, value: &Value) -> Diagnostic {
    let source = match source.as_str().expect("source") {
        "acse-service-user" => DiagnosticSource::User,
        "acse-service-provider" => DiagnosticSource::Provider,
        other => panic!("source {other}"),
    };
    Diagnostic { source, value: number(value) }
}

/// The plain APDU that an AARE answers with, built from the fields expected.
fn initiate_answer(vector: &Vector) -> Option<Vec<u8>> {
    let fault = vector.expected("confirmed_service_error");
    if fault.is_object() {
        let error = ConfirmedServiceError { service: 1, class: 6, value: 1 };
        assert_names(error, fault);
        return Some(Apdu::ConfirmedServiceError(error).encode());
    }
    if vector.expected("vaa_name").is_null() {
        return None;
    }
    let response = InitiateResponse {
        quality_of_service: None,
        version: 6,
        conformance: services(vector.expected("negotiated_conformance")),
        max_pdu: number(vector.expected("max_send_pdu_size")),
        vaa_name: number(vector.expected("vaa_name")),
    };
    let plain = Apdu::InitiateResponse(response).encode();
    if let Some(expected) = vector.expected("initiate_response").as_str() {
        assert_eq!(to_hex(&plain), expected);
    }
    Some(plain)
}

#[test]
fn releases() {
    for vector in named("rlrq-", 2).into_iter().chain(named("rlre-", 2)) {
        let reason = match vector.name.as_str() {
            "rlrq-normal" | "rlre-normal" => Some(ReleaseReason::NORMAL),
            "rlrq-empty" | "rlre-empty" => None,
            other => panic!("{other}"),
        };
        let apdu = match vector.name.starts_with("rlrq") {
            true => Apdu::Rlrq(Rlrq { reason, user_information: None }),
            false => Apdu::Rlre(Rlre { reason, user_information: None }),
        };
        both_ways(&vector.name, &apdu, &vector.hex());
    }
}

#[test]
fn conformance_bits() {
    for vector in named("conformance-", 15) {
        let name = vector.input("name").as_str().expect("name");
        let conformance = Conformance::from_name(name).expect("service");
        assert_eq!(conformance, Conformance(0x80_0000 >> number::<u32>(vector.input("bit"))));
        assert_eq!(vector.expected("conformance_hex"), &conformance.to_string().to_lowercase());
        assert_eq!(conformance.names().collect::<Vec<_>>(), [name]);
        let response = InitiateResponse {
            quality_of_service: None,
            version: 6,
            conformance,
            max_pdu: 0x400,
            vaa_name: 7,
        };
        both_ways(&vector.name, &Apdu::InitiateResponse(response), &vector.hex());
    }
}

#[test]
fn confirmed_service_errors() {
    for vector in named("cse-", 51) {
        let numbers: Vec<u8> = vector.name.split('-').skip(1).map(|part| part.parse().unwrap()).collect();
        let [service, class, value] = numbers[..] else { panic!("{}", vector.name) };
        let error = ConfirmedServiceError { service, class, value };
        assert_names(error, &vector.json["expected"]);
        both_ways(&vector.name, &Apdu::ConfirmedServiceError(error), &vector.hex());
    }
}

fn assert_names(error: ConfirmedServiceError, expected: &Value) {
    assert_eq!(expected["service"], error.service_name());
    assert_eq!(expected["error_class"], error.class_name());
    assert_eq!(expected["error"], error.value_name());
}

#[test]
fn exception_responses() {
    for vector in named("exception-", 9) {
        let mut numbers = vector.name.split('-').skip(1).map(|part| part.parse().unwrap());
        let state = numbers.next().expect("state");
        let service = ServiceError::from_code(numbers.next().expect("service"));
        let counter = vector.expected("invocation_counter");
        let invocation_counter = counter.as_u64().map(|_| number(counter));
        let exception = ExceptionResponse { state, service, invocation_counter };
        assert_eq!(vector.expected("state_error"), exception.state_name());
        assert_eq!(vector.expected("service_error"), service.name());
        both_ways(&vector.name, &Apdu::ExceptionResponse(exception), &vector.hex());
    }
}

#[test]
fn captured_associations() {
    for vector in captured("association", 10) {
        let bytes = vector.hex();
        let apdu = Apdu::decode(&bytes).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        if vector.name == "cap-aare-sn-short-ui" {
            // Its three lengths are one too small; we write the true ones.
            let Apdu::Aare(aare) = apdu else { panic!("AARE") };
            let initiate = InitiateResponse::decode(aare.user_information.expect("user information"));
            let initiate = initiate.expect("InitiateResponse");
            assert_eq!(number::<u16>(vector.expected("max_send_pdu_size")), initiate.max_pdu);
            assert_eq!(number::<u16>(vector.expected("vaa_name")), initiate.vaa_name);
            assert_eq!(services(vector.expected("negotiated_conformance")), initiate.conformance);
            assert_eq!(number::<u8>(vector.expected("result")), aare.result.code());
            assert_eq!(to_hex(&Apdu::Aare(aare).encode()[..2]), "6129");
        } else {
            assert_eq!(to_hex(&apdu.encode()), to_hex(&bytes), "{}", vector.name);
        }
    }
}
