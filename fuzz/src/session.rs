//! A client's session with a meter that answers whatever it likes.

use std::time::{Duration, Instant};

use dlms2mqtt::security::{
    Key, MemoryCounterStore, Protection, SecurityContext, SecuritySettings, SecuritySuite, SystemTitle,
};
use dlms2mqtt::session::association::{AssociationSettings, Ciphering};
use dlms2mqtt::session::client::{ClientSession, Event};
use dlms2mqtt::session::exchange::Service;
use dlms2mqtt::session::{DataLink, HdlcConfig, HdlcLink, WrapperConfig, WrapperLink};
use dlms2mqtt::wire::acse::{Mechanism, Referencing};
use dlms2mqtt::wire::hdlc::address::{ClientAddress, ServerAddress};
use dlms2mqtt::wire::hdlc::control::Control;
use dlms2mqtt::wire::hdlc::frame::Frame;
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::wrapper::Pdu;
use dlms2mqtt::wire::xdlms::conformance::Conformance;
use dlms2mqtt::wire::xdlms::gbt::GeneralBlockTransfer;
use dlms2mqtt::wire::xdlms::{AttributeDescriptor, AttributeRequest};

/// More steps than this without input from the meter are a busy loop.
const PATIENCE: usize = 1_000;

/// The first byte chooses link, referencing and mechanism; then come pieces of a length, a way to deliver it, and bytes.
pub fn session(bytes: &[u8]) {
    let Some((&choice, mut rest)) = bytes.split_first() else { return };
    let mut meter = Meter::new(choice);
    while let Some((&[length, way], after)) = rest.split_first_chunk() {
        let (piece, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        meter.deliver(way, piece);
    }
    meter.fall_silent();
}

/// The first byte chooses what is answered in general blocks: a GET, or the AARQ. Then come the blocks: control, number,
/// length, data.
pub fn gbt(bytes: &[u8]) {
    let Some((&choice, mut rest)) = bytes.split_first() else { return };
    let mut meter = Meter::new(1);
    if choice & 1 == 0 {
        meter.deliver(1, AARE);
    }
    while let Some((&[control, number, length], after)) = rest.split_first_chunk() {
        let (data, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let block = GeneralBlockTransfer {
            last: control & 0x80 != 0,
            streaming: control & 0x40 != 0,
            window: control & 0x3F,
            number: number.into(),
            acknowledged: 0,
            data,
        };
        let mut apdu = Vec::new();
        block.encode(&mut apdu);
        meter.deliver(1, &apdu);
    }
    meter.fall_silent();
}

/// Accepted, logical names, no authentication; every service.
const AARE: &[u8] = &[
    0x61, 0x29, 0xA1, 0x09, 0x06, 0x07, 0x60, 0x85, 0x74, 0x05, 0x08, 0x01, 0x01, 0xA2, 0x03, 0x02, 0x01,
    0x00, 0xA3, 0x05, 0xA1, 0x03, 0x02, 0x01, 0x00, 0xBE, 0x10, 0x04, 0x0E, 0x08, 0x00, 0x06, 0x5F, 0x1F,
    0x04, 0x00, 0x20, 0xFF, 0xFF, 0x04, 0x00, 0x00, 0x07,
];

struct Meter {
    session: ClientSession,
    ciphered: bool,
    hdlc: Option<(ClientAddress, ServerAddress)>,
    now: Instant,
}

impl Meter {
    fn new(choice: u8) -> Self {
        let client = ClientAddress::new(16).expect("an address");
        let server = ServerAddress::new(1, None, None).expect("an address");
        let hdlc = choice & 1 == 0;
        let link: DataLink = if hdlc {
            HdlcLink::new(HdlcConfig::new(client, server)).into()
        } else {
            WrapperLink::new(WrapperConfig::new(16, 1)).into()
        };
        let ciphered = choice & 4 != 0;
        let mechanism = match choice >> 3 & 3 {
            0 => Mechanism::Lowest,
            1 => Mechanism::Low,
            2 => Mechanism::HighMd5,
            _ => Mechanism::HighGmac,
        };
        let settings = AssociationSettings {
            referencing: if choice & 2 == 0 { Referencing::LogicalName } else { Referencing::ShortName },
            ciphering: if ciphered { Ciphering::Ciphered } else { Ciphering::Plain },
            mechanism,
            secret: b"secret".to_vec().into(),
            own_title: Some(title("444C4D0000000001")),
            server_title: None,
            dedicated_key: None,
            conformance: Conformance(0x00FF_FFFF),
            max_pdu: 1024,
            hls_object: Obis::new(0, 0, 40, 0, 0, 255),
        };
        let now = Instant::now();
        let mut session = ClientSession::new(link, settings);
        session.open(now);
        let mut meter = Self { session, ciphered, hdlc: hdlc.then_some((client, server)), now };
        meter.settle();
        meter
    }

    /// Raw bytes, or an APDU in a frame whose check sequences are right; now and then time passes.
    fn deliver(&mut self, way: u8, piece: &[u8]) {
        let mut framed = Vec::new();
        match (way & 3, self.hdlc) {
            (0, _) => framed.extend_from_slice(piece),
            (_, Some((client, server))) => {
                let (control, information) = piece.split_first().unwrap_or((&0x73, &[]));
                let Ok(control) = Control::decode(*control) else { return };
                let frame = Frame {
                    segmented: way & 4 != 0,
                    destination: client.encode(),
                    source: server.encode(),
                    control,
                    information,
                };
                frame.encode(&mut framed).expect("a short frame");
            }
            (_, None) => {
                let pdu = Pdu { source: 1, destination: 16, apdu: piece };
                if pdu.encode(&mut framed).is_err() {
                    return;
                }
            }
        }
        self.session.handle_input(self.now, &framed);
        self.settle();
        if way & 8 != 0 {
            self.pass_time();
        }
    }

    /// Sends what is to be sent, hears what happened, and goes on to the next step of a visit.
    fn settle(&mut self) {
        for _ in 0..PATIENCE {
            let mut out = Vec::new();
            while self.session.poll_transmit(&mut out) {
                assert!(out.len() < 1 << 20, "it sends without end");
            }
            let Some(event) = self.session.poll_event() else { return };
            match event {
                Event::Accepted => {}
                Event::Opened(_) => {
                    let security = self.ciphered.then(security);
                    self.session.associate(self.now, &[0x11; 16], security);
                }
                Event::Associated(_) => self.session.request(self.now, clock()),
                Event::Outcome(_) => self.session.release(self.now),
                Event::Released => self.session.close(self.now),
                Event::Failed(error) => assert!(!error.report().message.is_empty()),
                Event::Closed | Event::Notification(_) => {}
            }
        }
        panic!("events without end");
    }

    fn pass_time(&mut self) -> bool {
        let Some(deadline) = self.session.poll_timeout() else { return false };
        self.now = self.now.max(deadline) + Duration::from_millis(1);
        self.session.handle_timeout(self.now);
        self.settle();
        true
    }

    /// A meter that says nothing more is given up.
    fn fall_silent(&mut self) {
        for _ in 0..PATIENCE {
            if !self.pass_time() {
                return;
            }
        }
        panic!("it waits for ever");
    }
}

fn clock() -> Service {
    let time =
        AttributeDescriptor { class_id: 8, instance_id: Obis::new(0, 0, 1, 0, 0, 255), attribute_id: 2 };
    Service::Get(AttributeRequest::whole(time))
}

fn title(hex: &str) -> SystemTitle {
    SystemTitle::from_hex(hex).expect("8 bytes")
}

fn security() -> SecurityContext {
    let key = || Key::from_bytes(&[0x5A; 16]).expect("16 bytes");
    let mut settings = SecuritySettings::new(SecuritySuite::Suite0, title("444C4D0000000001"), key());
    settings.protection = Protection::AuthenticatedEncryption;
    settings.authentication_key = Some(key());
    SecurityContext::new(settings, Box::new(MemoryCounterStore::default())).expect("settings")
}
