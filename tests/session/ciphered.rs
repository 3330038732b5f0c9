//! Ciphered associations: what is protected and how, the meter's proof, and answers that are not to be trusted.

use dlms2mqtt::security::hls::{self, HlsInputs};
use dlms2mqtt::security::{
    CipherKey, CipheringForm, Key, MemoryCounterStore, Protection, ReplayCheck, SecurityContext,
    SecuritySettings, SecuritySuite,
};

use super::*;

const SERVER_TITLE: &str = "4d4d4d0000000001";
const BLOCK_CIPHER_KEY: &str = "000102030405060708090a0b0c0d0e0f";
const AUTHENTICATION_KEY: &str = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf";
const DEDICATED_KEY: &str = "00112233445566778899aabbccddeeff";

fn key(hex: &str) -> Key {
    Key::from_hex(hex).expect("a key")
}

/// Protection of the vectors.
fn protection() -> SecuritySettings {
    let mut settings =
        SecuritySettings::new(SecuritySuite::Suite0, title(CLIENT_TITLE), key(BLOCK_CIPHER_KEY));
    settings.protection = Protection::AuthenticatedEncryption;
    settings.authentication_key = Some(key(AUTHENTICATION_KEY));
    // The vectors were made one by one: their counters don't rise.
    settings.replay_check = ReplayCheck::Off;
    settings
}

fn context(settings: SecuritySettings, counter: u32) -> SecurityContext {
    let mut context =
        SecurityContext::new(settings, Box::new(MemoryCounterStore::default())).expect("settings");
    context.raise_send_counter(CipherKey::Global, counter).expect("a key");
    context
}

fn ciphered(mechanism: Mechanism) -> AssociationSettings {
    AssociationSettings { ciphering: Ciphering::Ciphered, ..settings(Referencing::LogicalName, mechanism) }
}

/// An association of the vectors with a password: AARQ and AARE byte for byte.
fn ciphered_bench(security: SecuritySettings) -> Bench {
    let mut bench = Bench::new(ciphered(Mechanism::Low));
    let aarq = bench.propose(&[0; 16], Some(context(security, 0x0123_4567)));
    assert_eq!(to_hex(&aarq), to_hex(&bytes("association", "aarq-ln-cipher-mech1")));
    bench.hear(&bytes("association", "aare-ln-cipher-lls"));
    bench.associated();
    bench
}

#[test]
fn a_ciphered_association_and_its_answers() {
    let mut bench = ciphered_bench(protection());
    let sent = bench.request(energy());
    assert_eq!(sent[..7], [0xC8, 30, 0x30, 0x01, 0x23, 0x45, 0x68], "the next counter");
    bench.hear(&bytes("security", "glo-get-response"));
    assert_eq!(bench.outcome(), Outcome::Get(Ok(Data::DoubleLongUnsigned(123_456))));
}

#[test]
fn general_glo_and_general_ded_and_ded_requests() {
    for (name, form, dedicated, first) in [
        ("general-glo-get-authenc", CipheringForm::General, false, 255),
        ("glo-get-authenc", CipheringForm::ServiceSpecific, false, 0),
        ("ded-get-authenc", CipheringForm::ServiceSpecific, true, 0),
        ("general-ded", CipheringForm::General, true, 0),
    ] {
        let mut security = protection();
        security.form = form;
        security.dedicated_key = dedicated.then(|| key(DEDICATED_KEY));
        let mut association = ciphered(Mechanism::Low);
        association.dedicated_key = dedicated.then(|| key(DEDICATED_KEY));
        let mut context = context(security, first);
        if dedicated {
            context.raise_send_counter(CipherKey::Dedicated, 3).expect("a key");
        }
        let mut bench = Bench::new(association);
        let aarq = bench.propose(&[0; 16], Some(context));
        assert!(aarq.windows(2).any(|two| two[0] == 0x21), "the InitiateRequest goes by the global key");
        bench.hear(&aare(
            &mut meter(SecuritySuite::Suite0, (BLOCK_CIPHER_KEY, AUTHENTICATION_KEY), None),
            None,
        ));
        bench.associated();
        let sent = bench.request(energy());
        match name {
            "general-glo-get-authenc" | "ded-get-authenc" => {
                assert_eq!(to_hex(&sent), to_hex(&bytes("security", name)), "{name}");
            }
            "general-ded" => {
                // The same body as under the tag of the service: key, counter and title are the same.
                let specific = bytes("security", "ded-get-authenc");
                let expected = [&hex("dc08")[..], &hex(CLIENT_TITLE), &specific[1..]].concat();
                assert_eq!(to_hex(&sent), to_hex(&expected));
            }
            _ => assert_eq!(sent[..7], [0xC8, 30, 0x30, 0, 0, 0, 2]),
        }
        bench.hear(&bytes("security", "glo-get-response"));
        assert_eq!(bench.outcome(), Outcome::Get(Ok(Data::DoubleLongUnsigned(123_456))), "{name}");
    }
}

#[test]
fn general_forms_are_not_used_where_the_meter_does_not_agree_to_them() {
    let mut security = protection();
    security.form = CipheringForm::General;
    let mut bench = ciphered_bench(security);
    assert_eq!(bench.request(energy())[0], 0xC8);
}

/// A meter's side: its context, which protects what it says.
fn meter(suite: SecuritySuite, keys: (&str, &str), dedicated: Option<&str>) -> SecurityContext {
    let mut settings = SecuritySettings::new(suite, title(SERVER_TITLE), key(keys.0));
    settings.protection = Protection::AuthenticatedEncryption;
    settings.authentication_key = Some(key(keys.1));
    settings.dedicated_key = dedicated.map(key);
    settings.peer_title = Some(title(CLIENT_TITLE));
    SecurityContext::new(settings, Box::new(MemoryCounterStore::default())).expect("settings")
}

/// An AARE that accepts with a ciphered InitiateResponse; `challenge` demands authentication in four passes.
fn aare(meter: &mut SecurityContext, challenge: Option<(u8, &[u8])>) -> Vec<u8> {
    let mut initiate = Vec::new();
    meter.protect_initiate(&hex("0800065f1f0400407fff01f40007"), &mut initiate).expect("a key");
    let short = |length: usize| u8::try_from(length).expect("short");
    let mut body = hex("a109060760857405080103a203020100a305a1030201");
    body.push(if challenge.is_some() { 14 } else { 0 });
    body.extend(hex("a40a0408"));
    body.extend(hex(SERVER_TITLE));
    if let Some((mechanism, challenge)) = challenge {
        body.extend(hex("880207808907608574050802"));
        body.push(mechanism);
        body.extend([0xAA, short(challenge.len() + 2), 0x80, short(challenge.len())]);
        body.extend_from_slice(challenge);
    }
    body.extend([0xBE, short(initiate.len() + 2), 0x04, short(initiate.len())]);
    body.extend(initiate);
    [&[0x61, 0x81, short(body.len())][..], &body].concat()
}

fn protected(meter: &mut SecurityContext, apdu: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    meter.protect(apdu, &mut out).expect("a key");
    out
}

#[test]
fn suites_one_and_two_with_and_without_a_dedicated_key() {
    let long = |hex: &str| format!("{hex}{hex}");
    let (block, authentication, dedicated) =
        (long(BLOCK_CIPHER_KEY), long(AUTHENTICATION_KEY), long(DEDICATED_KEY));
    for (suite, block, authentication, dedicated, control) in [
        (SecuritySuite::Suite1, BLOCK_CIPHER_KEY, AUTHENTICATION_KEY, DEDICATED_KEY, 0x31),
        (SecuritySuite::Suite2, block.as_str(), authentication.as_str(), dedicated.as_str(), 0x32),
    ] {
        for dedicated in [None, Some(dedicated)] {
            let mut security = SecuritySettings::new(suite, title(CLIENT_TITLE), key(block));
            security.protection = Protection::AuthenticatedEncryption;
            security.authentication_key = Some(key(authentication));
            security.dedicated_key = dedicated.map(key);
            let mut association = ciphered(Mechanism::Low);
            association.dedicated_key = dedicated.map(key);
            let mut meter = meter(suite, (block, authentication), dedicated);
            let mut bench = Bench::new(association);
            bench.propose(&[0; 16], Some(context(security, 1)));
            bench.hear(&aare(&mut meter, None));
            bench.associated();
            meter.open();
            let mut sent = bench.request(energy());
            assert_eq!(sent[0], if dedicated.is_some() { 0xD0 } else { 0xC8 });
            assert_eq!(sent[2], control);
            let asked = meter.unprotect(&mut sent).expect("the same keys").apdu.to_vec();
            assert_eq!(to_hex(&asked), "c001c100030100010800ff0200");
            bench.hear(&protected(&mut meter, &hex("c401c1000600000007")));
            assert_eq!(bench.outcome(), Outcome::Get(Ok(Data::DoubleLongUnsigned(7))));
            // An answer of another suite is a downgrade, whatever it says.
            bench.request(energy());
            bench.hear(&bytes("security", "glo-get-response"));
            assert_eq!(bench.failed().report().code, Code::Downgrade);
        }
    }
}

#[test]
fn an_answer_with_less_protection_than_our_policy_is_a_downgrade() {
    for plain_or_weaker in [hex("c401c1000600000007"), {
        let mut settings =
            SecuritySettings::new(SecuritySuite::Suite0, title(SERVER_TITLE), key(BLOCK_CIPHER_KEY));
        settings.protection = Protection::Encryption;
        settings.authentication_key = Some(key(AUTHENTICATION_KEY));
        protected(&mut context(settings, 0x0200_0000), &hex("c401c1000600000007"))
    }] {
        let mut bench = ciphered_bench(protection());
        bench.request(energy());
        bench.hear(&plain_or_weaker);
        let error = bench.failed();
        assert_eq!((error.report().code, error.recovery()), (Code::Downgrade, Recovery::BackOffMeter));
        assert!(bench.session.negotiated().is_none(), "the association is over");
        bench.request(energy());
        assert!(matches!(bench.failed(), SessionError::NotReady));
    }
}

#[test]
fn a_plain_notification_in_a_ciphered_association_is_dropped_and_costs_no_answer() {
    let push = hex("0f00000001000901aa");
    let mut bench = ciphered_bench(protection());
    bench.hear(&push);
    bench.request(energy());
    bench.hear(&push);
    assert_eq!(bench.session.poll_event(), None);
    bench.hear(&bytes("security", "glo-get-response"));
    assert_eq!(bench.outcome(), Outcome::Get(Ok(Data::DoubleLongUnsigned(123_456))));
}

#[test]
fn a_spoilt_or_repeated_answer_has_its_own_code() {
    let mut strict = protection();
    strict.replay_check = ReplayCheck::Association;
    let mut bench = ciphered_bench(strict);
    bench.request(energy());
    // Its counter is below that of the AARE.
    bench.hear(&bytes("security", "glo-get-response"));
    assert_eq!(bench.failed().report().code, Code::Replay);

    let mut bench = ciphered_bench(protection());
    bench.request(energy());
    let mut spoilt = bytes("security", "glo-get-response");
    *spoilt.last_mut().expect("a tag") ^= 1;
    bench.hear(&spoilt);
    assert_eq!(bench.failed().report().code, Code::CipherTag);
}

/// High level authentication of a ciphered association up to the meter's proof, which `spoil` may change.
fn proven(mechanism: Mechanism, number: u8, spoil: impl Fn(&mut Vec<u8>)) -> Bench {
    let keys = (BLOCK_CIPHER_KEY, AUTHENTICATION_KEY);
    let mut meter = meter(SecuritySuite::Suite0, keys, None);
    let mut security = protection();
    security.replay_check = ReplayCheck::Association;
    let (ctos, stoc) = ([0x11; 16], [0x22; 16]);
    let mut bench = Bench::new(ciphered(mechanism));
    bench.propose(&ctos, Some(context(security, 1)));
    bench.hear(&aare(&mut meter, Some((number, &stoc))));
    assert!(matches!(bench.session.poll_event(), Some(Event::Accepted)));
    meter.open();
    let mut pass3 = bench.sent();
    assert_eq!(pass3[0], 0xCB, "the proof goes ciphered");
    let pass3 = meter.unprotect(&mut pass3).expect("the same keys").apdu.to_vec();
    assert_eq!(to_hex(&pass3[..14]), "c301c1000f0000280000ff010109");
    let inputs = HlsInputs {
        secret: b"12345678",
        client_title: Some(title(CLIENT_TITLE)),
        server_title: Some(title(SERVER_TITLE)),
        ctos: &ctos,
        stoc: &stoc,
    };
    let mut proof = hls::server_reply(mechanism, &inputs, Some(&mut meter)).expect("a proof");
    spoil(&mut proof);
    let length = u8::try_from(proof.len()).expect("short");
    let pass4 = [&hex("c701c100010009")[..], &[length], &proof].concat();
    bench.hear(&protected(&mut meter, &pass4));
    bench
}

#[test]
fn a_wrong_proof_of_the_meter_ends_a_ciphered_association() {
    for (mechanism, number) in [
        (Mechanism::HighMd5, 3),
        (Mechanism::HighSha1, 4),
        (Mechanism::HighGmac, 5),
        (Mechanism::HighSha256, 6),
    ] {
        proven(mechanism, number, |_| {}).associated();
        for spoil in [
            (|proof: &mut Vec<u8>| *proof.last_mut().expect("octets") ^= 1) as fn(&mut Vec<u8>),
            |proof| {
                proof.pop();
            },
            Vec::clear,
        ] {
            let mut bench = proven(mechanism, number, spoil);
            let error = bench.failed();
            assert_eq!(error.report().code, Code::AuthHls, "{mechanism}: {error}");
            assert_eq!(error.recovery(), Recovery::BackOffMeter);
            assert!(bench.session.negotiated().is_none());
            bench.request(energy());
            assert!(matches!(bench.failed(), SessionError::NotReady));
        }
    }
}
