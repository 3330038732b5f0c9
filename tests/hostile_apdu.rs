//! APDUs against hostile input: every truncation and every flipped bit of every vector, and each body under each tag.

mod support;

use dlms2mqtt::wire::xdlms::conformance::Conformance;
use dlms2mqtt::wire::xdlms::initiate::InitiateResponse;
use support::apdu::Apdu;
use support::vectors::{hex, vectors};

/// The APDUs of every vector.
fn apdus() -> Vec<Vec<u8>> {
    let mut apdus = Vec::new();
    for category in ["association", "xdlms", "blocks", "security"] {
        for vector in vectors(category) {
            match vector.json["hex"].as_str() {
                Some(text) => apdus.push(hex(text)),
                None => apdus.extend(vector.exchange().into_iter().map(|(_, bytes)| bytes)),
            }
        }
    }
    apdus.retain(|bytes| Apdu::decode(bytes).is_ok());
    assert_eq!(apdus.len(), 327);
    apdus
}

/// Decodes; what is accepted must survive its own encoding.
fn check(bytes: &[u8]) -> bool {
    let Ok(apdu) = Apdu::decode(bytes) else { return false };
    let encoded = apdu.encode();
    // Compared as bytes: NaN is not equal to itself.
    let again = Apdu::decode(&encoded).unwrap_or_else(|error| panic!("{error} in our own {encoded:02x?}"));
    assert_eq!(again.encode(), encoded, "{apdu:?}");
    true
}

#[test]
fn truncations_are_refused() {
    for bytes in apdus() {
        for end in 0..bytes.len() {
            let accepted = check(&bytes[..end]);
            // Of these a part may be whole: fields of ACSE, a body of any bytes, a counter that may be missing.
            let parts = matches!(bytes[0], 0x60..=0x63 | 0x0F) || bytes.starts_with(&[0xD8, 1, 6]);
            assert!(!accepted || parts, "{:02x?}", &bytes[..end]);
        }
    }
}

#[test]
fn a_truncated_association_response_is_never_taken_for_a_whole_one() {
    for bytes in apdus().into_iter().filter(|bytes| bytes[0] == 0x61) {
        let Ok(Apdu::Aare(whole)) = Apdu::decode(&bytes) else { panic!("AARE") };
        for end in 0..bytes.len() {
            if let Ok(Apdu::Aare(part)) = Apdu::decode(&bytes[..end]) {
                assert_ne!(part, whole);
                assert_eq!((part.result, part.user_information), (whole.result, None));
            }
        }
    }
}

#[test]
fn flipped_bits_are_survived() {
    for mut bytes in apdus() {
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            check(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_body_under_every_tag() {
    for mut bytes in apdus() {
        for tag in 0..=0xFF {
            bytes[0] = tag;
            check(&bytes);
        }
    }
}

#[test]
fn random_bytes() {
    let mut random = fastrand::Rng::with_seed(0x4150_4455);
    let mut accepted = 0;
    for _ in 0..200_000 {
        let mut bytes: Vec<u8> = (0..random.usize(1..40)).map(|_| random.u8(..)).collect();
        // Small numbers are likelier to be choices and counts that lead on.
        for byte in bytes.iter_mut().skip(1) {
            if random.bool() {
                *byte &= 0x07;
            }
        }
        accepted += usize::from(check(&bytes));
    }
    assert!(accepted > 100, "only {accepted} reached the end of a decoder");
}

#[test]
fn a_lying_count_reserves_no_memory() {
    for head in ["c003c1", "c403c1", "c104c1", "c505c1", "c303c1", "c703c1", "05", "0c", "06", "0d", "1800"] {
        let bytes = hex(&format!("{head}84ffffffff0000"));
        assert!(Apdu::decode(&bytes).is_err(), "{head}");
    }
}

#[test]
fn conformance_of_any_bits_is_kept() {
    for bit in 0..24 {
        let conformance = Conformance(1 << bit);
        let response =
            InitiateResponse { quality_of_service: None, version: 6, conformance, max_pdu: 0, vaa_name: 7 };
        let bytes = Apdu::InitiateResponse(response).encode();
        assert_eq!(Apdu::decode(&bytes), Ok(Apdu::InitiateResponse(response)));
        assert_eq!(conformance.names().count(), 1);
    }
}
