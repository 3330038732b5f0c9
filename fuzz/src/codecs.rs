//! Codecs: what decodes and encodes again is the same.

use dlms2mqtt::bridge::reading::meter_time::TimeRules;
use dlms2mqtt::bridge::reading::render::render;
use dlms2mqtt::cosem::capture_object::CaptureObject;
use dlms2mqtt::cosem::catalogue::ClassId;
use dlms2mqtt::cosem::object_list::ObjectList;
use dlms2mqtt::cosem::profile::{self, NullCells, RowExpander, SortMethod};
use dlms2mqtt::cosem::scaler_unit::ScalerUnit;
use dlms2mqtt::security::{
    Key, MemoryCounterStore, Protection, SecurityContext, SecuritySettings, SecuritySuite, SystemTitle,
    UnverifiedDecryption,
};
use dlms2mqtt::wire::acse::{Aare, Aarq, Rlre, Rlrq};
use dlms2mqtt::wire::compact_array::{TypeDescription, decode_compact_buffer};
use dlms2mqtt::wire::data::Data;
use dlms2mqtt::wire::date_time::{Date, DateTime, Time};
use dlms2mqtt::wire::hdlc::FLAG;
use dlms2mqtt::wire::hdlc::deframer::Deframer as HdlcDeframer;
use dlms2mqtt::wire::hdlc::frame::Frame;
use dlms2mqtt::wire::hdlc::negotiation::Parameters;
use dlms2mqtt::wire::iec62056_21::SignOnAnswer;
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::wrapper::{Deframer as WrapperDeframer, Pdu};
use dlms2mqtt::wire::xdlms::access::{AccessRequest, AccessResponse};
use dlms2mqtt::wire::xdlms::action::{ActionRequest, ActionResponse};
use dlms2mqtt::wire::xdlms::ciphered::{GeneralCiphered, ServiceCiphered};
use dlms2mqtt::wire::xdlms::fault::{ConfirmedServiceError, ExceptionResponse};
use dlms2mqtt::wire::xdlms::gbt::GeneralBlockTransfer;
use dlms2mqtt::wire::xdlms::get::{GetRequest, GetResponse, decode_list_content};
use dlms2mqtt::wire::xdlms::initiate::{InitiateRequest, InitiateResponse};
use dlms2mqtt::wire::xdlms::notify::{
    DataNotification, DataNotificationConfirm, EventNotification, InformationReport,
};
use dlms2mqtt::wire::xdlms::set::{SetRequest, SetResponse};
use dlms2mqtt::wire::xdlms::sn::{
    ReadRequest, ReadResponse, WriteRequest, WriteResponse, decode_read_content,
};

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
    let _ = Date::from_bytes(bytes).map(|date| date.to_string());
    let _ = Time::from_bytes(bytes).map(|time| time.to_string());
    let _ = DateTime::from_bytes(bytes).map(|date_time| date_time.to_string());
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
    let _ = (text.parse::<Date>(), text.parse::<Time>(), text.parse::<DateTime>());
    let _ = (Key::from_hex(text), SystemTitle::from_hex(text));
}

/// The HDLC link: frames, the stream they come in, however it is split, negotiation, and the mode E sign-on.
pub fn hdlc(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(bytes) {
        let mut encoded = Vec::new();
        frame.encode(&mut encoded).expect("a decoded frame is not too long");
        assert_eq!(encoded.strip_prefix(&[FLAG]).and_then(|rest| rest.strip_suffix(&[FLAG])), Some(bytes));
    }
    let frames = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut deframer = HdlcDeframer::new();
        let mut frames = Vec::new();
        for piece in pieces {
            deframer.feed(piece);
            while let Some(frame) = deframer.next() {
                frame.encode(&mut frames).expect("a decoded frame is not too long");
            }
        }
        deframer.gap();
        while let Some(frame) = deframer.next() {
            frame.encode(&mut frames).expect("a decoded frame is not too long");
        }
        frames
    };
    assert_eq!(frames(&mut bytes.chunks(1)), frames(&mut std::iter::once(bytes)));
    if let Ok(parameters) = Parameters::decode(bytes) {
        let mut encoded = Vec::new();
        parameters.encode(&mut encoded);
        assert_eq!(Parameters::decode(&encoded), Ok(parameters));
    }
    let _ = SignOnAnswer::parse(bytes);
}

/// The wrapper stream, however it is split.
pub fn wrapper(bytes: &[u8]) {
    if let Ok(pdu) = Pdu::decode(bytes) {
        let mut encoded = Vec::new();
        pdu.encode(&mut encoded).expect("a decoded PDU is not too long");
        assert_eq!(encoded, bytes);
    }
    let pdus = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut deframer = WrapperDeframer::new(2048);
        let mut pdus = Vec::new();
        for piece in pieces {
            deframer.feed(piece);
            loop {
                match deframer.next() {
                    Ok(Some(pdu)) => pdu.encode(&mut pdus).expect("a decoded PDU is not too long"),
                    Ok(None) => break,
                    // Octets after the first bad one don't change the verdict's kind, but may its detail.
                    Err(_) => return (pdus, false),
                }
            }
        }
        (pdus, true)
    };
    assert_eq!(pdus(&mut bytes.chunks(1)), pdus(&mut std::iter::once(bytes)));
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
    round_trip!(SetRequest, bytes);
    round_trip!(SetResponse, bytes);
    round_trip!(ActionRequest, bytes);
    round_trip!(ActionResponse, bytes);
    round_trip!(AccessRequest, bytes);
    round_trip!(AccessResponse, bytes);
    round_trip!(ReadRequest, bytes);
    round_trip!(ReadResponse, bytes);
    round_trip!(WriteRequest, bytes);
    round_trip!(WriteResponse, bytes);
    round_trip!(DataNotification, bytes);
    round_trip!(DataNotificationConfirm, bytes);
    round_trip!(EventNotification, bytes);
    round_trip!(InformationReport, bytes);
    round_trip!(GeneralBlockTransfer, bytes);
    round_trip!(ServiceCiphered, bytes);
    round_trip!(GeneralCiphered, bytes);
    let _ = (decode_list_content(bytes), decode_read_content(bytes));
}

/// What the object model makes of any Data: object lists, capture objects, rows.
pub fn objects(bytes: &[u8]) {
    let Ok(value) = Data::from_bytes(bytes) else { return };
    let _ = ObjectList::from_association_ln(&value, bytes.first().copied().unwrap_or_default());
    let _ = ObjectList::from_association_sn(&value);
    let _ = (CaptureObject::from_data(&value), SortMethod::from_data(&value), ScalerUnit::from_data(&value));
    for (class, attribute) in [(3, 2), (8, 2), (15, 2), (20, 5), (40, 2), (47, 6), (70, 3)] {
        let known = ClassId(class).attribute(None, attribute, Some(&value)).expect("listed");
        let _ = render(&value, &known.shape, i8::MIN, &TimeRules::default());
    }
    let clock = CaptureObject::new(ClassId(8), Obis::new(0, 0, 1, 0, 0, 255), 2);
    let mut expander = RowExpander::new(&[clock], 900, SortMethod::Fifo, NullCells::Previous);
    for mut row in profile::rows(value).unwrap_or_default() {
        expander.expand(&mut row);
    }
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
