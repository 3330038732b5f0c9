//! Both roles of a context against each other, and against everything hostile.

use super::*;
use crate::security::{MemoryCounterStore, StoreError};

const GET: [u8; 13] = [0xC0, 1, 0xC1, 0, 3, 1, 0, 1, 8, 0, 0xFF, 2, 0];
const ANSWER: [u8; 9] = [0xC4, 1, 0xC1, 0, 6, 0, 1, 0xE2, 0x40];
const CLIENT: SystemTitle = SystemTitle(*b"MMM\0\0\xBC\x61\x4E");
const SERVER: SystemTitle = SystemTitle(*b"MMM\0\0\0\0\x01");
const PROTECTIONS: [Protection; 3] =
    [Protection::Authentication, Protection::Encryption, Protection::AuthenticatedEncryption];

fn key(byte: u8, suite: SecuritySuite) -> Key {
    Key::from_bytes(&vec![byte; suite.key_length()]).unwrap()
}

fn settings(protection: Protection, own: SystemTitle, peer: SystemTitle) -> SecuritySettings {
    let suite = SecuritySuite::Suite0;
    SecuritySettings {
        protection,
        peer_title: Some(peer),
        authentication_key: Some(key(0xA5, suite)),
        ..SecuritySettings::new(suite, own, key(0xE7, suite))
    }
}

fn context(settings: SecuritySettings) -> SecurityContext {
    SecurityContext::new(settings, Box::new(MemoryCounterStore::default())).unwrap()
}

fn client(protection: Protection) -> SecurityContext {
    context(settings(protection, CLIENT, SERVER))
}

fn server(protection: Protection) -> SecurityContext {
    context(settings(protection, SERVER, CLIENT))
}

fn protected(context: &mut SecurityContext, apdu: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    context.protect(apdu, &mut out).unwrap();
    out
}

fn refused(context: &mut SecurityContext, apdu: &[u8]) -> SecurityError {
    context.unprotect(&mut apdu.to_vec()).expect_err("refused")
}

#[test]
fn both_roles_in_every_form_protection_and_suite() {
    for suite in [SecuritySuite::Suite0, SecuritySuite::Suite1, SecuritySuite::Suite2] {
        for protection in PROTECTIONS {
            for form in [CipheringForm::ServiceSpecific, CipheringForm::General] {
                for dedicated in [None, Some(key(0xDD, suite))] {
                    let make = |own, peer| {
                        let mut context = context(SecuritySettings {
                            protection,
                            form,
                            peer_title: Some(peer),
                            authentication_key: Some(key(0xA5, suite)),
                            dedicated_key: dedicated.clone(),
                            ..SecuritySettings::new(suite, own, key(0xE7, suite))
                        });
                        context.open();
                        context
                    };
                    let (mut client, mut server) = (make(CLIENT, SERVER), make(SERVER, CLIENT));
                    for round in 1..4 {
                        let mut request = protected(&mut client, &GET);
                        assert!(request.len() <= client.protected_length(GET.len()));
                        let received = server.unprotect(&mut request).unwrap();
                        assert_eq!(received.apdu, GET);
                        assert_eq!(received.is_authenticated(), protection.authenticates());
                        let header = received.header.unwrap();
                        assert_eq!((header.counter, header.sender, header.form), (round, CLIENT, form));
                        let mut answer = Vec::new();
                        server.protect_as(header.form, header.key, &ANSWER, &mut answer).unwrap();
                        assert_eq!(client.unprotect(&mut answer).unwrap().apdu, ANSWER);
                    }
                }
            }
        }
    }
}

#[test]
fn initiate_takes_the_global_key_and_a_service_without_its_form_the_general_one() {
    let dedicated_key = Some(key(0xDD, SecuritySuite::Suite0));
    let policy = Protection::AuthenticatedEncryption;
    let mut client = context(SecuritySettings { dedicated_key, ..settings(policy, CLIENT, SERVER) });
    assert_eq!(protected(&mut client, &GET)[0], 0xC8, "the association is not open yet");
    client.open();
    assert_eq!(protected(&mut client, &GET)[0], 0xD0);
    assert_eq!(protected(&mut client, &[1, 0, 0, 0, 6])[0], 0x21);
    assert_eq!(protected(&mut client, &[0x0F, 0, 0, 0, 1, 0, 0])[..2], [0xDC, 8]);
    client.set_form(CipheringForm::General);
    assert_eq!(protected(&mut client, &[8, 0, 6])[0], 0x28);
}

#[test]
fn appends_and_leaves_nothing_on_error() {
    let mut client = client(Protection::AuthenticatedEncryption);
    let mut out = vec![1, 2, 3];
    client.raise_send_counter(CipherKey::Global, u32::MAX - 1).unwrap();
    client.protect(&GET, &mut out).unwrap();
    let length = out.len();
    assert_eq!(out[..3], [1, 2, 3]);
    assert_eq!(client.protect(&GET, &mut out), Err(SecurityError::CounterExhausted));
    assert_eq!(client.protect_as(CipheringForm::General, CipherKey::Dedicated, &GET, &mut out), {
        Err(SecurityError::KeyMissing(CipherKey::Dedicated))
    });
    assert_eq!(client.protect(&[], &mut out), Err(WireErrorKind::Truncated.at(0).into()));
    assert_eq!(out.len(), length);
}

#[test]
fn a_store_that_fails_stops_the_sender() {
    struct Broken;
    impl CounterStore for Broken {
        fn reserve(&mut self, _: &CounterId, _: u32, _: u32) -> Result<std::ops::Range<u32>, StoreError> {
            Err(StoreError::Damaged)
        }
    }
    let settings = settings(Protection::Encryption, CLIENT, SERVER);
    let mut client = SecurityContext::new(settings, Box::new(Broken)).unwrap();
    let mut out = Vec::new();
    assert_eq!(client.protect(&GET, &mut out), Err(StoreError::Damaged.into()));
    assert_eq!(client.gmac(&[1; 16]), Err(StoreError::Damaged.into()));
    assert!(out.is_empty());
    let report = SecurityError::from(StoreError::Damaged).report();
    assert_eq!(report.code, crate::error::Code::StoreDamaged);
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused_and_changes_nothing() {
    for protection in [Protection::Authentication, Protection::AuthenticatedEncryption] {
        let (mut client, mut server) = (client(protection), server(protection));
        for form in [CipheringForm::ServiceSpecific, CipheringForm::General] {
            let mut answer = Vec::new();
            server.protect_as(form, CipherKey::Global, &ANSWER, &mut answer).unwrap();
            for bit in 0..answer.len() * 8 {
                let mut damaged = answer.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let error = refused(&mut client, &damaged);
                // Without a header it is a plain APDU: less than the policy demands.
                assert!(bit < 8 || error != SecurityError::Garbled, "{bit}: {error}");
            }
            for length in 0..answer.len() {
                refused(&mut client, &answer[..length]);
            }
            refused(&mut client, &[answer.as_slice(), &[0]].concat());
            assert_eq!(client.unprotect(&mut answer).unwrap().apdu, ANSWER);
        }
    }
}

#[test]
fn random_bytes_never_pass() {
    let mut client = client(Protection::AuthenticatedEncryption);
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let tags = [0xCC, 0xD4, 0xDB, 0xDC, 0x28, 0x2C, 0xDD, 0xDF, 0xC4, 0xE0];
    for round in 0..20_000 {
        let length = usize::try_from(random() % 64).unwrap();
        let mut apdu: Vec<u8> = (0..length).map(|_| random().to_le_bytes()[0]).collect();
        if let Some(first) = apdu.first_mut() {
            *first = if round % 4 == 0 { *first } else { tags[round % tags.len()] };
        }
        if let (Some(second), 2) = (apdu.get_mut(1), round % 3) {
            *second = u8::try_from(length - 2).unwrap_or_default();
        }
        let faults = [Some(&0x0E), Some(&0xD8)];
        let passes = faults.contains(&apdu.first());
        assert_eq!(client.unprotect(&mut apdu).is_ok(), passes, "{round}");
    }
    assert_eq!(client.last_received(), None);
}

#[test]
fn less_than_the_policy_is_a_downgrade() {
    for required in PROTECTIONS {
        for received in PROTECTIONS {
            let (mut client, mut server) = (client(required), server(received));
            let mut answer = protected(&mut server, &ANSWER);
            let unprotected = client.unprotect(&mut answer).map(|unprotected| unprotected.apdu.to_vec());
            if received.covers(required) {
                assert_eq!(unprotected, Ok(ANSWER.to_vec()));
            } else {
                assert_eq!(unprotected, Err(SecurityError::Downgrade { required, received }));
            }
        }
        let none = Protection::None;
        let mut client = client(required);
        assert_eq!(refused(&mut client, &ANSWER), SecurityError::Downgrade { required, received: none });
        let bare = [0xCC, 6, 0, 0, 0, 0, 9, 0xC4];
        assert_eq!(refused(&mut client, &bare), SecurityError::Downgrade { required, received: none });
        for fault in [[0x0E, 1, 6], [0xD8, 1, 2]] {
            let received = client.unprotect(&mut fault.to_vec()).map(|received| received.header);
            assert_eq!(received, Ok(None));
        }
    }
}

#[test]
fn without_a_policy_plain_passes_and_protection_is_taken_off() {
    let mut client = client(Protection::None);
    assert_eq!(protected(&mut client, &GET), GET);
    let mut plain = ANSWER;
    let received = client.unprotect(&mut plain).unwrap();
    assert_eq!((received.apdu, received.is_authenticated()), (ANSWER.as_slice(), false));
    let mut answer = protected(&mut server(Protection::AuthenticatedEncryption), &ANSWER);
    assert!(client.unprotect(&mut answer).unwrap().is_authenticated());
    let bare = [0xCC, 6, 0, 0, 0, 0, 9, 0xC4];
    assert!(matches!(refused(&mut client, &bare), SecurityError::Downgrade { .. }));
}

#[test]
fn replays_by_association_for_life_and_unchecked() {
    let policy = Protection::AuthenticatedEncryption;
    let mut server = server(policy);
    let [first, second] = [(); 2].map(|()| protected(&mut server, &ANSWER));
    let with = |replay_check| context(SecuritySettings { replay_check, ..settings(policy, CLIENT, SERVER) });

    let mut client = with(ReplayCheck::Association);
    client.unprotect(&mut second.clone()).unwrap();
    assert_eq!(client.last_received(), Some(2));
    assert_eq!(refused(&mut client, &second), SecurityError::Replay { received: 2, last: 2 });
    assert_eq!(refused(&mut client, &first), SecurityError::Replay { received: 1, last: 2 });
    assert!(with(ReplayCheck::Association).unprotect(&mut first.clone()).is_ok());

    let mut client = with(ReplayCheck::Strict { last_received: Some(1) });
    assert_eq!(refused(&mut client, &first), SecurityError::Replay { received: 1, last: 1 });
    client.unprotect(&mut second.clone()).unwrap();

    let mut client = with(ReplayCheck::Off);
    client.unprotect(&mut second.clone()).unwrap();
    client.unprotect(&mut first.clone()).unwrap();
    assert_eq!(client.last_received(), Some(2));
}

#[test]
fn a_forged_counter_is_not_accepted() {
    let policy = Protection::AuthenticatedEncryption;
    let (mut client, mut server) = (client(policy), server(policy));
    let mut forged = protected(&mut server, &ANSWER);
    forged[3..7].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(refused(&mut client, &forged), SecurityError::TagMismatch);
    assert_eq!(client.last_received(), None);
    assert!(client.unprotect(&mut protected(&mut server, &ANSWER)).is_ok());
}

#[test]
fn our_own_request_does_not_come_back_as_an_answer() {
    let mut client = client(Protection::AuthenticatedEncryption);
    assert_eq!(refused_reflection(&mut client, CipheringForm::ServiceSpecific), SecurityError::TagMismatch);
    let collision = SecurityError::TitleCollision(CLIENT);
    assert_eq!(refused_reflection(&mut client, CipheringForm::General), collision);
    assert_eq!(client.set_peer_title(CLIENT), Err(collision));
    let same = settings(Protection::Encryption, CLIENT, CLIENT);
    let made = SecurityContext::new(same, Box::new(MemoryCounterStore::default()));
    assert_eq!(made.err(), Some(collision));
}

fn refused_reflection(client: &mut SecurityContext, form: CipheringForm) -> SecurityError {
    let mut request = Vec::new();
    client.protect_as(form, CipherKey::Global, &GET, &mut request).unwrap();
    refused(client, &request)
}

#[test]
fn titles_unknown_learnt_and_foreign() {
    let policy = Protection::AuthenticatedEncryption;
    let mut server = server(policy);
    let general = |server: &mut SecurityContext| {
        let mut out = Vec::new();
        server.protect_as(CipheringForm::General, CipherKey::Global, &ANSWER, &mut out).unwrap();
        out
    };
    let untitled = SecuritySettings { peer_title: None, ..settings(policy, CLIENT, SERVER) };
    let mut client = context(untitled);
    assert_eq!(refused(&mut client, &protected(&mut server, &ANSWER)), SecurityError::TitleMissing);
    client.unprotect(&mut general(&mut server)).unwrap();
    assert_eq!(client.peer_title(), Some(SERVER));
    client.unprotect(&mut protected(&mut server, &ANSWER)).unwrap();

    let other = SystemTitle(*b"ZZZ\0\0\0\0\x02");
    let strict = settings(policy, CLIENT, other);
    let tolerant = SecuritySettings { title_check: TitleCheck::Tolerant, ..strict.clone() };
    assert_eq!(refused(&mut context(strict), &general(&mut server)), {
        SecurityError::TitleMismatch { expected: other, received: SERVER }
    });
    let mut apdu = general(&mut server);
    let mut client = context(tolerant);
    assert_eq!(client.unprotect(&mut apdu).unwrap().header.unwrap().sender, SERVER);
    assert_eq!(client.peer_title(), Some(other));
}

#[test]
fn without_the_authentication_key_only_by_permission() {
    let sent = Protection::AuthenticatedEncryption;
    let lacking =
        SecuritySettings { authentication_key: None, ..settings(Protection::Encryption, CLIENT, SERVER) };
    let allowing = SecuritySettings { unverified_decryption: UnverifiedDecryption::Allow, ..lacking.clone() };
    let answer = protected(&mut server(sent), &ANSWER);
    assert_eq!(refused(&mut context(lacking.clone()), &answer), SecurityError::AuthenticationKeyMissing);
    let mut apdu = answer.clone();
    let mut listener = context(allowing);
    let received = listener.unprotect(&mut apdu).unwrap();
    assert_eq!((received.apdu, received.is_authenticated()), (ANSWER.as_slice(), false));
    assert_eq!(received.header.unwrap().authentication, Authentication::Unverified);

    let demanding = SecuritySettings { protection: sent, ..lacking };
    let made = SecurityContext::new(demanding, Box::new(MemoryCounterStore::default()));
    assert_eq!(made.err(), Some(SecurityError::AuthenticationKeyMissing));
}

#[test]
fn wrong_keys_and_suites_are_named() {
    let right = settings(Protection::Encryption, CLIENT, SERVER);
    let suite = SecuritySuite::Suite0;
    let mut server = server(Protection::Encryption);
    let answer = protected(&mut server, &ANSWER);
    let wrong = SecuritySettings { block_cipher_key: key(1, suite), ..right.clone() };
    assert_eq!(refused(&mut context(wrong), &answer), SecurityError::Garbled);

    let suite_1 = SecuritySettings { suite: SecuritySuite::Suite1, ..right.clone() };
    let lenient = SecuritySettings { suite_check: SuiteCheck::KeyLength, ..suite_1.clone() };
    assert_eq!(refused(&mut context(suite_1), &answer), {
        SecurityError::SuiteMismatch { expected: SecuritySuite::Suite1, received: suite }
    });
    assert_eq!(context(lenient).unprotect(&mut answer.clone()).unwrap().apdu, ANSWER);

    let long = SecuritySettings { block_cipher_key: key(1, SecuritySuite::Suite2), ..right };
    let made = SecurityContext::new(long, Box::new(MemoryCounterStore::default()));
    assert_eq!(made.err(), Some(SecurityError::KeyLength { suite, found: 32 }));

    let mut client = client(Protection::AuthenticatedEncryption);
    let no_dedicated = [0xD4, 17, 0x30, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(refused(&mut client, &no_dedicated), SecurityError::KeyMissing(CipherKey::Dedicated));
    let broadcast = [0xCC, 17, 0x70, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(refused(&mut client, &broadcast), SecurityError::KeyMissing(CipherKey::Broadcast));
    let compressed = [0xCC, 17, 0xB0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(refused(&mut client, &compressed), SecurityError::CompressionUnsupported);
}

#[test]
fn the_service_inside_must_be_the_one_announced() {
    let policy = Protection::AuthenticatedEncryption;
    let (mut client, mut server) = (client(policy), server(policy));
    let mut out = Vec::new();
    let specific = CipheringForm::ServiceSpecific;
    server.seal(specific, CipherKey::Global, 0xC4, &[0xC5, 1, 0xC1, 0], &mut out).unwrap();
    let mismatch = SecurityError::ServiceMismatch { expected: 0xC4, received: 0xC5 };
    assert_eq!(refused(&mut client, &out), mismatch);
    out.clear();
    server.seal(specific, CipherKey::Global, 0xC4, &[], &mut out).unwrap();
    assert_eq!(refused(&mut client, &out), WireErrorKind::Truncated.at(0).into());
}

#[test]
fn gmac_proofs_between_both_roles() {
    for protection in [Protection::None, Protection::AuthenticatedEncryption] {
        let (mut client, mut server) = (client(protection), server(protection));
        let challenge = [0x42; 16];
        let proof = client.gmac(&challenge).unwrap();
        assert_eq!(proof[..5], [0x10, 0, 0, 0, 1]);
        assert_eq!(server.verify_gmac(&challenge, &proof), Ok(()));
        assert_eq!(server.verify_gmac(&[0x43; 16], &proof), Err(SecurityError::TagMismatch));
        assert_eq!(client.verify_gmac(&challenge, &proof), Err(SecurityError::TagMismatch), "reflected");
        for bit in 0..proof.len() * 8 {
            let mut damaged = proof;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(server.verify_gmac(&challenge, &damaged).is_err());
        }
        for length in 0..proof.len() {
            assert!(server.verify_gmac(&challenge, &proof[..length]).is_err());
        }
        assert_ne!(client.gmac(&challenge).unwrap(), proof, "a counter of its own each time");
    }
}

#[test]
fn nothing_printed_holds_a_key() {
    let secrets = SecuritySettings {
        dedicated_key: Some(key(0xDD, SecuritySuite::Suite0)),
        broadcast_key: Some(key(0xBB, SecuritySuite::Suite0)),
        ..settings(Protection::AuthenticatedEncryption, CLIENT, SERVER)
    };
    let mut printed = format!("{secrets:?} {secrets:#?}");
    let mut client = context(secrets);
    printed += &format!("{client:?} {client:#?}");
    for apdu in [&[0xCC][..], &[0xCC, 5, 0x30, 0, 0, 0, 1], &[0xDB, 2, 1, 2, 0], &[0xDD], &ANSWER] {
        let error = refused(&mut client, apdu);
        printed += &format!("{error} {error:?} {:?}", error.report());
    }
    for byte in [0xA5u8, 0xE7, 0xDD, 0xBB] {
        for text in
            [format!("{byte:02x}{byte:02x}"), format!("{byte:02X}{byte:02X}"), format!("{byte}, {byte}")]
        {
            assert!(!printed.contains(&text), "{text} in {printed}");
        }
    }
    assert!(printed.contains("***"));
}
