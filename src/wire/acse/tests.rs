//! Golden bytes of association control, and what real meters do to it.

use super::*;

const INITIATE_REQUEST: [u8; 14] = [1, 0, 0, 0, 6, 0x5F, 0x1F, 4, 0, 0, 0x7E, 0x1F, 0x04, 0xB0];

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn aarq_with_password_both_ways() {
    let bytes = hex(concat!(
        "6036a1090607608574050801018a0207808b0760857405080201ac0a80083132333435363738",
        "be10040e01000000065f1f0400007e1f04b0"
    ));
    let aarq = Aarq {
        application_context: ApplicationContext::LogicalName,
        calling_ap_title: None,
        calling_ae_qualifier: None,
        calling_ae_invocation_id: None,
        mechanism: Mechanism::Low,
        authentication_value: Some(AuthenticationValue(b"12345678")),
        user_information: Some(&INITIATE_REQUEST),
    };
    let mut out = Vec::new();
    aarq.encode(&mut out);
    assert_eq!(out, bytes);
    assert_eq!(Aarq::decode(&bytes), Ok(aarq));
    assert!(!format!("{aarq:?}").contains("49, 50"), "the password is not printed");
}

fn accepted() -> Aare<'static> {
    Aare {
        application_context: Some(ApplicationContext::LogicalName),
        result: AssociationResult::Accepted,
        diagnostic: Diagnostic::AUTHENTICATION_REQUIRED,
        responding_ap_title: Some(b"MMM\0\0\0\0\x01"),
        responding_ae_qualifier: None,
        mechanism: Some(Mechanism::HighGmac),
        authentication_value: Some(AuthenticationValue(b"P6wRJ21F")),
        user_information: Some(&[8, 0, 6, 0x5F, 0x1F, 4, 0, 0, 0x50, 0x1F, 0x01, 0xF4, 0x00, 0x07]),
    }
}

const ACCEPTED: &str = concat!(
    "614ea109060760857405080101a203020100a305a10302010ea40a04084d4d4d0000000001",
    "88020780890760857405080205aa0a8008503677524a323146be10040e0800065f1f040000501f01f40007"
);

#[test]
fn aare_with_challenge_both_ways() {
    let bytes = hex(ACCEPTED);
    let mut out = Vec::new();
    accepted().encode(&mut out);
    assert_eq!(out, bytes);
    assert_eq!(Aare::decode(&bytes), Ok(accepted()));
}

#[test]
fn fields_in_any_order_and_unknown_ones() {
    let mut fields = Vec::new();
    let bytes = hex(ACCEPTED);
    let mut reader = Reader::new(&bytes[2..]);
    while !reader.is_empty() {
        let start = reader.position();
        Element::decode(&mut reader).unwrap();
        fields.push(bytes[2 + start..2 + reader.position()].to_vec());
    }
    fields.push(vec![0x80, 0x02, 0x07, 0x80]);
    fields.push(vec![0xBD, 0x81, 0x01, 0xEE]);
    fields.reverse();
    let mut shuffled = vec![0x61, 0x82, 0x00, 0x00];
    shuffled.extend(fields.concat());
    assert_eq!(Aare::decode(&shuffled), Ok(accepted()), "and the outer length is a hint");
}

#[test]
fn lengths_one_too_small() {
    // As an old meter does it: 61, BE and 04 announce one byte less than they hold.
    let bytes = hex(concat!(
        "6128a109060760857405080102a203020100a305a103020100",
        "be0f040d0800065f1f040018022001f4fa00"
    ));
    let aare = Aare::decode(&bytes).unwrap();
    assert_eq!(aare.application_context, Some(ApplicationContext::ShortName));
    assert_eq!(aare.user_information, Some(&hex("0800065f1f040018022001f4fa00")[..]));
}

#[test]
fn rejection_without_user_information() {
    let bytes = hex("6117a109060760857405080101a203020101a305a10302010d");
    let aare = Aare::decode(&bytes).unwrap();
    assert_eq!(aare.result, AssociationResult::RejectedPermanent);
    assert_eq!(aare.diagnostic, Diagnostic::AUTHENTICATION_FAILURE);
    assert_eq!(aare.user_information, None);
}

#[test]
fn what_is_no_aare() {
    assert_eq!(Aare::decode(&[]), Err(WireErrorKind::Truncated.at(0)));
    assert_eq!(Aare::decode(&[0x60, 0x00]), Err(WireErrorKind::UnknownTag(0x60).at(0)));
    assert_eq!(Aare::decode(&[0x61, 0x00]), Err(WireErrorKind::Invalid("association result").at(0)));
    assert_eq!(Aare::decode(&hex("6105a203020107")), Err(WireErrorKind::Invalid("association result").at(0)));
}

#[test]
fn release_both_ways() {
    let glo = [0x21, 0x02, 0xAA, 0xBB];
    for (bytes, reason, user_information) in [
        ("6200", None, None),
        ("6203800100", Some(ReleaseReason::NORMAL), None),
        ("620380011e", Some(ReleaseReason::USER_DEFINED), None),
        ("620b800100be06040421 02aabb", Some(ReleaseReason::NORMAL), Some(&glo[..])),
    ] {
        let bytes = hex(&bytes.replace(' ', ""));
        let rlrq = Rlrq { reason, user_information };
        let mut out = Vec::new();
        rlrq.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(Rlrq::decode(&bytes), Ok(rlrq));
        let mut response = bytes.clone();
        response[0] = RLRE;
        assert_eq!(Rlre::decode(&response), Ok(Rlre { reason, user_information }));
    }
}
