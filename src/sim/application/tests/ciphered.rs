//! High level authentication and ciphered APDUs.

use super::*;
use crate::security::hls;
use crate::security::{CipherKey, HlsInputs, MemoryCounterStore, SecurityContext, SecuritySettings};

#[test]
fn high_level_authentication() {
    for mechanism in [Mechanism::High, Mechanism::HighMd5, Mechanism::HighSha1] {
        for right in [true, false] {
            let mut config = secured(Protection::None);
            config.authentication = mechanism;
            let mut client = Client::new(config);
            let mut initiate = Vec::new();
            InitiateRequest::new(Conformance::LN_PROPOSAL, 1024).encode(&mut initiate);
            let aare = client.ask(&aarq(ApplicationContext::LogicalName, mechanism, Some(CTOS), &initiate));
            let aare = Aare::decode(&aare).unwrap();
            assert_eq!(aare.diagnostic, Diagnostic::AUTHENTICATION_REQUIRED);
            let closed = (ServiceError::OperationNotPossible, None);
            assert_eq!(client.exception(&get_normal(SERIAL_NUMBER)), closed, "before pass 3");
            let inputs = HlsInputs {
                secret: if right { b"0123456789abcdef" } else { b"0123456789abcdeF" },
                client_title: None,
                server_title: None,
                ctos: CTOS,
                stoc: aare.authentication_value.unwrap().0,
            };
            let proof = hls::client_reply(mechanism, &inputs, None).unwrap();
            let outcome = client.action(15, OBJECT_LIST.instance_id, 1, Data::OctetString(proof));
            if right {
                let Some(Ok(Data::OctetString(proof))) = outcome.returned else { panic!("{outcome:?}") };
                assert_eq!(hls::verify_server_reply(mechanism, &inputs, None, &proof), Ok(()));
                assert!(client.get(SERIAL_NUMBER).is_ok());
            } else {
                assert_eq!(outcome, ActionOutcome::plain(DataAccessResult::ReadWriteDenied));
                assert_eq!(client.exception(&get_normal(SERIAL_NUMBER)), closed, "it is over");
            }
        }
    }
}

/// A client's side of a ciphered association.
fn ciphering(protection: Protection, next: u32) -> SecurityContext {
    let mut settings =
        SecuritySettings::new(SecuritySuite::Suite0, CLIENT_TITLE, Key::from_bytes(&[1; 16]).unwrap());
    settings.protection = protection;
    settings.peer_title = Some(METER_TITLE);
    settings.authentication_key = Some(Key::from_bytes(&[2; 16]).unwrap());
    let mut context = SecurityContext::new(settings, Box::new(MemoryCounterStore::default())).unwrap();
    context.raise_send_counter(CipherKey::Global, next).unwrap();
    context
}

fn ciphered_aarq(context: &mut SecurityContext) -> Vec<u8> {
    let mut initiate = Vec::new();
    InitiateRequest::new(Conformance::LN_GENERAL_PROPOSAL, 1024).encode(&mut initiate);
    let protected = encoded(|out| context.protect(&initiate, out).unwrap());
    aarq(ApplicationContext::LogicalNameCiphered, Mechanism::Lowest, None, &protected)
}

#[test]
fn ciphered_requests() {
    let mut client = Client::new(secured(Protection::AuthenticatedEncryption));
    let mut context = ciphering(Protection::AuthenticatedEncryption, 101);
    let mut aare = client.ask(&ciphered_aarq(&mut context));
    let mut initiate = Aare::decode(&aare).unwrap().user_information.unwrap().to_vec();
    assert_eq!(initiate[0], 0x28);
    InitiateResponse::decode(context.unprotect(&mut initiate).unwrap().apdu).unwrap();
    aare.clear();

    let request = encoded(|out| context.protect(&get_normal(COUNTER), out).unwrap());
    let mut answer = client.ask(&request);
    assert_eq!(answer[0], 0xCC);
    let plain = context.unprotect(&mut answer).unwrap().apdu.to_vec();
    let GetResponse::Normal { result, .. } = GetResponse::decode(&plain).unwrap() else {
        panic!("{plain:02x?}")
    };
    assert_eq!(result, Ok(Data::DoubleLongUnsigned(102)));

    assert_eq!(client.exception(&request), (ServiceError::InvocationCounterError, Some(103)), "a replay");
    assert_eq!(client.exception(&get_normal(COUNTER)), (ServiceError::OperationNotPossible, None), "plain");
    let mut spoilt = encoded(|out| context.protect(&get_normal(COUNTER), out).unwrap());
    *spoilt.last_mut().unwrap() ^= 1;
    assert_eq!(client.exception(&spoilt), (ServiceError::DecipheringError, None));

    let mut late = ciphering(Protection::AuthenticatedEncryption, 50);
    let old = ciphered_aarq(&mut late);
    assert_eq!(client.exception(&old), (ServiceError::InvocationCounterError, Some(103)));
}

#[test]
fn weak_protection_is_refused_and_stronger_answered_alike() {
    let mut client = Client::new(secured(Protection::AuthenticatedEncryption));
    let weak = ciphered_aarq(&mut ciphering(Protection::Encryption, 101));
    assert_eq!(client.exception(&weak), (ServiceError::OperationNotPossible, None));

    let mut client = Client::new(secured(Protection::Authentication));
    let mut context = ciphering(Protection::AuthenticatedEncryption, 101);
    client.ask(&ciphered_aarq(&mut context));
    let mut answer = client.ask(&encoded(|out| context.protect(&get_normal(COUNTER), out).unwrap()));
    let header = context.unprotect(&mut answer).unwrap().header.unwrap();
    assert_eq!(header.control.protection, Protection::AuthenticatedEncryption);
}

#[test]
fn faults_of_the_cipher() {
    for (bad_tag, wrong_counter, code) in [(2, 0, "CIPHER_TAG"), (0, 2, "REPLAY")] {
        let mut config = secured(Protection::AuthenticatedEncryption);
        config.faults.bad_tag = Every::nth(bad_tag);
        config.faults.wrong_counter = Every::nth(wrong_counter);
        let mut client = Client::new(config);
        let mut context = ciphering(Protection::AuthenticatedEncryption, 101);
        client.ask(&ciphered_aarq(&mut context));
        for expected in [Ok(()), Err(code), Ok(()), Err(code)] {
            let mut answer = client.ask(&encoded(|out| context.protect(&get_normal(COUNTER), out).unwrap()));
            let found = context.unprotect(&mut answer).map(drop);
            assert_eq!(found.map_err(|error| error.report().code.as_str()), expected);
        }
    }
}
