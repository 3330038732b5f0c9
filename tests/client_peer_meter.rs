//! The meter client against a simulated meter that shares no code with it: every attribute, byte for byte.

mod support;

use std::time::Duration;

use dlms2mqtt::client::MeterClient;
use dlms2mqtt::client::batch::Lists;
use dlms2mqtt::security::{
    Key, MemoryCounterStore, Protection, SecurityContext, SecuritySettings, SecuritySuite, SystemTitle,
};
use dlms2mqtt::session::association::{AssociationSettings, Ciphering};
use dlms2mqtt::session::client::ClientSession;
use dlms2mqtt::session::{DataLink, HdlcConfig, HdlcLink, WrapperConfig, WrapperLink};
use dlms2mqtt::transport::Driver;
use dlms2mqtt::wire::acse::{Mechanism, Referencing};
use dlms2mqtt::wire::hdlc::address::{ClientAddress, ServerAddress};
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::xdlms::conformance::Conformance;
use dlms2mqtt::wire::xdlms::{AttributeDescriptor, AttributeRequest};
use support::peer_meter::{Attribute, PeerMeter};
use support::vectors::to_hex;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

const PASSWORD: &[u8] = b"Gurux";
const OWN_TITLE: [u8; 8] = *b"DLM\0\0\0\0\x07";
const CLIENT: u8 = 1;

/// One way of talking to the meter.
#[derive(Clone, Copy, Debug)]
struct Mode {
    framing: &'static str,
    authentication: &'static str,
    security: &'static str,
    dedicated: bool,
    arguments: &'static [&'static str],
}

const PLAIN: Mode =
    Mode { framing: "wrapper", authentication: "none", security: "none", dedicated: false, arguments: &[] };

fn mechanism(name: &str) -> Mechanism {
    match name {
        "none" => Mechanism::Lowest,
        "low" => Mechanism::Low,
        "high" => Mechanism::High,
        "md5" => Mechanism::HighMd5,
        "sha1" => Mechanism::HighSha1,
        "gmac" => Mechanism::HighGmac,
        "sha256" => Mechanism::HighSha256,
        other => panic!("no mechanism {other}"),
    }
}

fn protection(name: &str) -> Protection {
    match name {
        "none" => Protection::None,
        "auth" => Protection::Authentication,
        "encr" => Protection::Encryption,
        "authencr" => Protection::AuthenticatedEncryption,
        other => panic!("no protection {other}"),
    }
}

fn key(hex: &str) -> Key {
    Key::from_hex(hex).expect("a key")
}

impl Mode {
    fn link(&self) -> DataLink {
        match self.framing {
            "wrapper" => WrapperLink::new(WrapperConfig::new(CLIENT.into(), 1)).into(),
            _ => {
                let client = ClientAddress::new(CLIENT).expect("a client address");
                let server = ServerAddress::new(1, None, None).expect("a server address");
                HdlcLink::new(HdlcConfig::new(client, server)).into()
            }
        }
    }

    fn settings(&self) -> AssociationSettings {
        AssociationSettings {
            referencing: Referencing::LogicalName,
            ciphering: if self.security == "none" { Ciphering::Plain } else { Ciphering::Ciphered },
            mechanism: mechanism(self.authentication),
            secret: Zeroizing::new(PASSWORD.to_vec()),
            own_title: Some(SystemTitle(OWN_TITLE)),
            server_title: None,
            dedicated_key: self.dedicated.then(dedicated_key),
            conformance: Conformance::LN_PROPOSAL,
            max_pdu: 0xFFFF,
            hls_object: Obis::new(0, 0, 40, 0, 0, 255),
        }
    }

    fn security(&self, counter: u32) -> Option<SecurityContext> {
        if self.security == "none" && self.authentication != "gmac" {
            return None;
        }
        let mut settings = SecuritySettings::new(
            SecuritySuite::Suite0,
            SystemTitle(OWN_TITLE),
            key("000102030405060708090A0B0C0D0E0F"),
        );
        settings.protection = protection(self.security);
        settings.authentication_key = Some(key("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"));
        settings.dedicated_key = self.dedicated.then(dedicated_key);
        let mut context =
            SecurityContext::new(settings, Box::new(MemoryCounterStore::default())).expect("a context");
        context.raise_send_counter(dlms2mqtt::security::CipherKey::Global, counter).expect("the global key");
        Some(context)
    }
}

fn dedicated_key() -> Key {
    key("00112233445566778899AABBCCDDEEFF")
}

fn request(attribute: &Attribute) -> AttributeRequest {
    AttributeRequest::whole(AttributeDescriptor {
        class_id: attribute.class,
        instance_id: attribute.obis.parse().expect("an OBIS code"),
        attribute_id: attribute.attribute,
    })
}

/// Reads every attribute and compares it with the meter's own dump; returns how many agreed.
async fn read_everything(mode: Mode) -> Option<usize> {
    let mut arguments =
        vec!["--interface", mode.framing, "--auth", mode.authentication, "--security", mode.security];
    arguments.extend(["--client-address", "1", "--client-ic", "100"]);
    arguments.extend(mode.arguments);
    let meter = PeerMeter::start(&arguments, 308)?;
    let stream = TcpStream::connect(("127.0.0.1", meter.port())).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let mut driver = Driver::new(stream);
    let mut session = ClientSession::new(mode.link(), mode.settings());
    let mut client = MeterClient::new(&mut driver, &mut session);
    client.open().await.unwrap_or_else(|error| panic!("{mode:?}: open: {error}"));
    let negotiated =
        client.associate(mode.security(101)).await.unwrap_or_else(|error| panic!("{mode:?}: {error}"));
    assert!(negotiated.conformance.contains(Conformance::GET), "{mode:?}: {negotiated:?}");
    let attributes = meter.attributes();
    let mut lists = Lists::default();
    let mut answers = Vec::new();
    client
        .read_attributes(attributes.iter().map(request).collect(), &mut lists, &mut answers)
        .await
        .unwrap_or_else(|error| panic!("{mode:?}: after {} attributes: {error}", answers.len()));
    assert_eq!(lists, Lists::Work, "{mode:?}");
    let mut equal = 0;
    for (attribute, answer) in attributes.iter().zip(&answers) {
        let place = format!("{mode:?}: {attribute:?}");
        match (&attribute.hex, answer) {
            (Some(_), Ok(_)) if attribute.dynamic => equal += 1,
            (Some(hex), Ok(data)) => {
                assert_eq!(&to_hex(&data.to_bytes()), hex, "{place}");
                equal += 1;
            }
            (None, Err(report)) => assert_eq!(report.code.as_str(), "ACCESS_DENIED", "{place}"),
            (expected, found) => panic!("{place}: expected {expected:?}, found {found:?}"),
        }
    }
    client.release().await.expect("a release");
    client.close().await.expect("a close");
    Some(equal)
}

async fn expect_all(modes: &[Mode]) {
    for &mode in modes {
        let reading = tokio::time::timeout(Duration::from_secs(60), read_everything(mode));
        if let Some(equal) = reading.await.unwrap_or_else(|_| panic!("{mode:?}: no end")) {
            assert_eq!(equal, 308, "{mode:?}");
        }
    }
}

#[tokio::test]
async fn both_framings_without_security() {
    expect_all(&[PLAIN, Mode { framing: "hdlc", ..PLAIN }]).await;
}

#[tokio::test]
async fn every_authentication_over_both_framings() {
    for framing in ["wrapper", "hdlc"] {
        for authentication in ["low", "high", "md5", "sha1", "gmac", "sha256"] {
            expect_all(&[Mode { framing, authentication, ..PLAIN }]).await;
        }
    }
}

#[tokio::test]
async fn every_ciphering_with_and_without_a_dedicated_key() {
    for framing in ["wrapper", "hdlc"] {
        for security in ["auth", "encr", "authencr"] {
            for dedicated in [false, true] {
                expect_all(&[Mode { framing, authentication: "gmac", security, dedicated, ..PLAIN }]).await;
            }
        }
    }
}

#[tokio::test]
async fn small_pdus_blocks_frames_and_chunks() {
    for framing in ["wrapper", "hdlc"] {
        let small = Mode { framing, arguments: &["--max-pdu", "128"], ..PLAIN };
        let blocks = Mode { framing, arguments: &["--block-size", "60"], ..PLAIN };
        let chunks = Mode { framing, arguments: &["--chunk", "3"], ..PLAIN };
        expect_all(&[small, blocks, Mode { security: "authencr", authentication: "low", ..small }]).await;
        if framing == "wrapper" {
            expect_all(&[chunks]).await;
        }
    }
    let hdlc = Mode { framing: "hdlc", ..PLAIN };
    expect_all(&[
        Mode { arguments: &["--hdlc-info", "62/62"], ..hdlc },
        Mode { arguments: &["--hdlc-info", "2030/2030"], ..hdlc },
        Mode { arguments: &["--hdlc-window", "7/7", "--hdlc-info", "64/64"], ..hdlc },
        Mode { arguments: &["--corrupt-fcs-every", "7"], ..hdlc },
    ])
    .await;
}
