//! The meter client against a simulated meter that shares no code with it: values byte for byte, in every mode.
//!
//! Every readable attribute (308 by logical names, 304 by short names) in each framing with each referencing,
//! authentication, ciphering, kind of block, and address form; in the full product of framing, referencing,
//! authentication, ciphering and dedicated key (with small PDUs and blocks in turn) a dozen attributes and a profile
//! by range and by entries.

mod support;

use std::sync::Arc;
use std::time::Duration;

use dlms2mqtt::client::batch::Lists;
use dlms2mqtt::client::profile::{RangeBound, Rows};
use dlms2mqtt::client::{MeterClient, ShortNames};
use dlms2mqtt::cosem::profile::{self, NullCells};
use dlms2mqtt::error::Report;
use dlms2mqtt::security::CipheringForm;
use dlms2mqtt::session::client::ClientSession;
use dlms2mqtt::transport::Driver;
use dlms2mqtt::wire::data::Data;
use dlms2mqtt::wire::hdlc::address::AddressSize;
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::xdlms::conformance::Conformance;
use dlms2mqtt::wire::xdlms::{AttributeDescriptor, AttributeRequest};
use support::peer_meter::{Attribute, PeerMeter};
use support::peer_mode::{AUTHENTICATIONS, Mode, PLAIN, SECURITIES, Server};
use support::vectors::{hex, to_hex};
use tokio::net::TcpStream;

const HDLC: Mode = Mode { framing: "hdlc", ..PLAIN };
const FRAMINGS: [&str; 2] = ["wrapper", "hdlc"];
const REFERENCINGS: [&str; 2] = ["ln", "sn"];

/// Attributes that may be read, by logical names and by short names.
const READABLE: [usize; 2] = [308, 304];

/// What is read of the meter in one mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Every attribute.
    Everything,
    /// Each tenth attribute at the most, and rows of a profile.
    Sample,
}

fn request(attribute: &Attribute) -> AttributeRequest {
    AttributeRequest::whole(AttributeDescriptor {
        class_id: attribute.class,
        instance_id: attribute.obis.parse().expect("an OBIS code"),
        attribute_id: attribute.attribute,
    })
}

/// Reads attributes and compares them with the meter's own dump; returns how many were equal.
async fn read(meter: &PeerMeter, mode: Mode, extent: Extent, counter: u32) -> usize {
    let stream = TcpStream::connect(("127.0.0.1", meter.port())).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let mut driver = Driver::new(stream);
    let mut session = ClientSession::new(mode.link(), mode.settings());
    let mut client = MeterClient::new(&mut driver, &mut session);
    client.open().await.unwrap_or_else(|error| panic!("{mode:?}: open: {error}"));
    let negotiated =
        client.associate(mode.security(counter)).await.unwrap_or_else(|error| panic!("{mode:?}: {error}"));
    let service = if mode.is_short_name() { Conformance::READ } else { Conformance::GET };
    assert!(negotiated.conformance.contains(service), "{mode:?}: {negotiated:?}");
    if mode.form == CipheringForm::General {
        assert!(negotiated.conformance.contains(Conformance::GENERAL_PROTECTION), "{mode:?}: {negotiated:?}");
    }
    let mut attributes = meter.attributes();
    if mode.is_short_name() {
        let objects = client.base_names().await.expect("a session").expect("an object list");
        assert_eq!(objects.skipped, 0, "{mode:?}");
        for attribute in &attributes {
            let obis = attribute.obis.parse().expect("an OBIS code");
            let object = objects
                .objects
                .iter()
                .find(|object| object.obis == obis && object.class.0 == attribute.class);
            assert_eq!(
                object.and_then(|object| object.base_name),
                Some(attribute.base_name),
                "{attribute:?}"
            );
        }
        client = client.with_names(Arc::new(ShortNames::of(&objects)));
    }
    if extent == Extent::Sample {
        attributes = attributes.into_iter().step_by(25).collect();
        profile(&mut client, meter, mode).await;
    }
    let mut lists = Lists::default();
    let mut answers = Vec::new();
    client
        .read_attributes(attributes.iter().map(request).collect(), &mut lists, &mut answers)
        .await
        .unwrap_or_else(|error| panic!("{mode:?}: after {} attributes: {error}", answers.len()));
    assert_eq!(lists, Lists::Work, "{mode:?}");
    let equal = compare(mode, &attributes, &answers);
    client.release().await.expect("a release");
    client.close().await.expect("a close");
    equal
}

fn compare(mode: Mode, attributes: &[Attribute], answers: &[Result<Data, Report>]) -> usize {
    let mut equal = 0;
    for (attribute, answer) in attributes.iter().zip(answers) {
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
    equal
}

/// Rows of the load profile by entries and by range, against the whole buffer.
async fn profile(client: &mut MeterClient<'_, TcpStream>, meter: &PeerMeter, mode: Mode) {
    let buffer = meter.attribute(7, "1.0.99.1.0.255", 2);
    let buffer = Data::from_bytes(&hex(buffer.hex.as_deref().expect("readable"))).expect("data");
    let all = profile::rows(buffer).expect("an array");
    let obis = Obis::new(1, 0, 99, 1, 0, 255);
    let mut lists = Lists::default();
    let layout = client.profile_layout(obis, &mut lists).await;
    let mut layout = layout.unwrap_or_else(|error| panic!("{mode:?}: {error}")).expect("a layout");
    let bound = |row: &[Data]| {
        let local = profile::date_time(row.first().expect("a cell")).expect("a time");
        RangeBound { local, utc_seconds: 0 }
    };
    let (from, to) = (bound(&all[10]), bound(&all[12]));
    for (rows, expected) in
        [(Rows::Newest(3), &all[all.len() - 3..]), (Rows::Range { from, to }, &all[10..=12])]
    {
        let found = client.profile_rows(obis, &mut layout, rows, NullCells::Null).await;
        let found = found.unwrap_or_else(|error| panic!("{mode:?}: {rows:?}: {error}"));
        assert_eq!(found.as_deref(), Ok(expected), "{mode:?}: {rows:?}");
    }
}

/// Reads everything in each mode.
async fn expect_all(modes: &[Mode]) {
    for &mode in modes {
        let readable = READABLE[usize::from(mode.is_short_name())];
        let Some(meter) = mode.start(readable) else { continue };
        let reading =
            tokio::time::timeout(Duration::from_secs(60), read(&meter, mode, Extent::Everything, 101));
        assert_eq!(reading.await.unwrap_or_else(|_| panic!("{mode:?}: no end")), readable, "{mode:?}");
    }
}

/// `mode` in both framings and both referencings.
fn in_all_forms(mode: Mode) -> Vec<Mode> {
    let forms =
        FRAMINGS.into_iter().flat_map(|framing| REFERENCINGS.map(|referencing| (framing, referencing)));
    forms.map(|(framing, referencing)| Mode { framing, referencing, ..mode }).collect()
}

#[tokio::test]
async fn everything_without_security() {
    expect_all(&in_all_forms(PLAIN)).await;
}

#[tokio::test]
async fn everything_with_every_authentication() {
    for authentication in AUTHENTICATIONS {
        expect_all(&in_all_forms(Mode { authentication, ..PLAIN })).await;
    }
}

#[tokio::test]
async fn everything_with_every_ciphering_and_a_dedicated_key() {
    for security in &SECURITIES[1..] {
        for dedicated in [false, true] {
            expect_all(&in_all_forms(Mode { authentication: "gmac", security, dedicated, ..PLAIN })).await;
        }
    }
}

#[tokio::test]
async fn everything_in_the_general_forms_of_ciphering() {
    for security in &SECURITIES[1..] {
        for dedicated in [false, true] {
            let general =
                Mode { authentication: "gmac", security, dedicated, form: CipheringForm::General, ..PLAIN };
            expect_all(&FRAMINGS.map(|framing| Mode { framing, ..general })).await;
            let general = Mode { referencing: "sn", arguments: &["--conformance", "581220"], ..general };
            expect_all(&FRAMINGS.map(|framing| Mode { framing, ..general })).await;
        }
    }
}

#[tokio::test]
async fn everything_in_small_pdus_blocks_and_chunks() {
    for mode in [
        Mode { arguments: &["--max-pdu", "128"], ..PLAIN },
        Mode { arguments: &["--block-size", "60"], ..PLAIN },
        Mode { arguments: &["--max-pdu", "128"], security: "authencr", authentication: "low", ..PLAIN },
    ] {
        expect_all(&in_all_forms(mode)).await;
    }
    let listed = Mode { arguments: &["--max-pdu", "128", "--sn-blocks", "list"], ..PLAIN };
    expect_all(&in_all_forms(Mode { referencing: "sn", ..listed })).await;
    expect_all(&[Mode { arguments: &["--chunk", "3"], ..PLAIN }]).await;
}

#[tokio::test]
async fn everything_in_frames_of_every_size() {
    expect_all(&[
        Mode { arguments: &["--hdlc-info", "62/62"], ..HDLC },
        Mode { arguments: &["--hdlc-info", "2030/2030"], ..HDLC },
        Mode { arguments: &["--hdlc-window", "7/7", "--hdlc-info", "64/64"], ..HDLC },
        Mode { arguments: &["--corrupt-fcs-every", "7"], ..HDLC },
        Mode { arguments: &["--corrupt-fcs-every", "7"], referencing: "sn", ..HDLC },
    ])
    .await;
}

#[tokio::test]
async fn everything_at_addresses_of_every_form() {
    let wrapper = |client, server| Mode { client, server: Server::Logical(server), ..PLAIN };
    let hdlc = |client, server| Mode { client, server, ..HDLC };
    expect_all(&[
        wrapper(1, 4096),
        wrapper(112, 0xFF00),
        hdlc(127, Server::Logical(127)),
        hdlc(32, Server::Logical(145)),
        hdlc(48, Server::Both(17, 16)),
        hdlc(48, Server::Both(1, 866)),
        hdlc(48, Server::Serial(17, 5481)),
        hdlc(1, Server::Forced(1, AddressSize::Two)),
        hdlc(1, Server::Forced(1, AddressSize::Four)),
        Mode { referencing: "sn", ..hdlc(48, Server::Serial(17, 5481)) },
    ])
    .await;
}

/// The product of framing, referencing, authentication, ciphering and dedicated key.
async fn sample_of_the_product(framing: &'static str, referencing: &'static str) {
    const BLOCKS: [&[&str]; 4] =
        [&[], &["--max-pdu", "128"], &["--block-size", "60"], &["--max-pdu", "200", "--sn-blocks", "list"]];
    for (turn, authentication) in AUTHENTICATIONS.into_iter().enumerate() {
        for (step, security) in SECURITIES.into_iter().enumerate() {
            let arguments = BLOCKS[(turn + step) % BLOCKS.len()];
            let mode = Mode { framing, referencing, authentication, security, arguments, ..PLAIN };
            let Some(meter) = mode.start(16) else { continue };
            for (dedicated, counter) in [(false, 101), (true, 301)] {
                if dedicated && security == "none" {
                    continue;
                }
                let mode = Mode { dedicated, ..mode };
                let reading = read(&meter, mode, Extent::Sample, counter);
                let equal = tokio::time::timeout(Duration::from_secs(60), reading).await;
                let equal = equal.unwrap_or_else(|_| panic!("{mode:?}: no end"));
                assert!(equal >= 12, "{mode:?}: {equal}");
            }
        }
    }
}

#[tokio::test]
async fn a_sample_in_every_mode_of_wrapper_by_logical_names() {
    sample_of_the_product("wrapper", "ln").await;
}

#[tokio::test]
async fn a_sample_in_every_mode_of_wrapper_by_short_names() {
    sample_of_the_product("wrapper", "sn").await;
}

#[tokio::test]
async fn a_sample_in_every_mode_of_hdlc_by_logical_names() {
    sample_of_the_product("hdlc", "ln").await;
}

#[tokio::test]
async fn a_sample_in_every_mode_of_hdlc_by_short_names() {
    sample_of_the_product("hdlc", "sn").await;
}
