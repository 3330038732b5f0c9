//! What must hold of any bytes at all: nothing panics, and what was accepted survives a round trip.
//!
//! Each function is the body of the fuzz target of its name; `tests/hostile.rs` runs the same bodies on every test.

use dlms2mqtt::security::context::{SecurityContext, SecuritySettings, UnverifiedDecryption};
use dlms2mqtt::security::control_byte::{Protection, SecuritySuite};
use dlms2mqtt::security::counter::MemoryCounterStore;
use dlms2mqtt::security::key::{Key, SystemTitle};
use dlms2mqtt::wire::acse::{Aare, Aarq, Rlre, Rlrq};
use dlms2mqtt::wire::compact_array::{TypeDescription, decode_compact_buffer};
use dlms2mqtt::wire::data::Data;
use dlms2mqtt::wire::date_time::{Date, DateTime, Time};
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::xdlms::fault::{ConfirmedServiceError, ExceptionResponse};
use dlms2mqtt::wire::xdlms::get::{GetRequest, GetResponse, decode_list_content};
use dlms2mqtt::wire::xdlms::initiate::{InitiateRequest, InitiateResponse};

/// What `tests/hostile.rs` and the README of the corpus go by.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("data", data),
    ("compact", compact),
    ("text", text),
    ("acse", acse),
    ("apdu", apdu),
    ("ciphered", ciphered),
];

/// Accepted bytes, encoded again, decode to what encodes to the same bytes. Encodings are compared because NaN is
/// not equal to itself.
macro_rules! round_trip {
    ($type:ty, $bytes:expr) => {
        if let Ok(value) = <$type>::decode($bytes) {
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            value.encode(&mut once);
            <$type>::decode(&once).expect("what was encoded decodes").encode(&mut twice);
            assert_eq!(once, twice, "{}", stringify!($type));
        }
    };
}

/// A-XDR Data.
pub fn data(bytes: &[u8]) {
    if let Ok(value) = Data::from_bytes(bytes) {
        let once = value.to_bytes();
        let again = Data::from_bytes(&once).expect("what was encoded decodes");
        assert_eq!(once, again.to_bytes());
    }
    let _ = (Date::from_bytes(bytes), Time::from_bytes(bytes), DateTime::from_bytes(bytes));
}

/// Type descriptions, and compact buffers of class 62: the first byte says where the buffer begins.
pub fn compact(bytes: &[u8]) {
    let Some((&at, rest)) = bytes.split_first() else { return };
    let (template, buffer) = rest.split_at(usize::from(at).min(rest.len()));
    let _ = decode_compact_buffer(template, buffer);
    if let Ok(description) = TypeDescription::from_bytes(template) {
        let once = description.to_bytes();
        assert_eq!(TypeDescription::from_bytes(&once).as_ref(), Ok(&description));
    }
}

/// What people write.
pub fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(obis) = text.parse::<Obis>() {
        assert_eq!(obis.to_string().parse(), Ok(obis));
    }
    let _ = (Key::from_hex(text), SystemTitle::from_hex(text));
}

/// Association control.
pub fn acse(bytes: &[u8]) {
    round_trip!(Aarq, bytes);
    round_trip!(Aare, bytes);
    round_trip!(Rlrq, bytes);
    round_trip!(Rlre, bytes);
    round_trip!(InitiateRequest, bytes);
    round_trip!(InitiateResponse, bytes);
    round_trip!(ConfirmedServiceError, bytes);
    round_trip!(ExceptionResponse, bytes);
}

/// xDLMS services.
pub fn apdu(bytes: &[u8]) {
    round_trip!(GetRequest, bytes);
    round_trip!(GetResponse, bytes);
    let _ = decode_list_content(bytes);
}

/// Protected APDUs, under a policy that the first byte chooses. Keys are known to nobody, so whatever passes passed
/// unprotected or unverified.
pub fn ciphered(bytes: &[u8]) {
    let Some((&policy, apdu)) = bytes.split_first() else { return };
    let key = || Key::from_bytes(&[0x5A; 16]).expect("16 bytes");
    let own = SystemTitle::from_hex("444C4D0000000001").expect("8 bytes");
    let mut settings = SecuritySettings::new(SecuritySuite::Suite0, own, key());
    settings.protection = Protection::from_bits(policy & 0x30);
    settings.authentication_key = Some(key());
    settings.peer_title = SystemTitle::from_hex("4D4D4D0000BC614E").ok();
    if policy & 1 != 0 {
        settings.unverified_decryption = UnverifiedDecryption::Allow;
    }
    if policy & 2 != 0 {
        settings.dedicated_key = Some(key());
    }
    let mut context =
        SecurityContext::new(settings, Box::new(MemoryCounterStore::default())).expect("settings");
    if let Ok(plain) = context.unprotect(&mut apdu.to_vec()) {
        assert!(!plain.apdu.is_empty());
    }
}
