//! The client on one connection: GETs, registers by lists and profile rows a second, both framings, plain and ciphered.
//!
//! The simulated meter runs in the same process on a thread of its own; a raw ping-pong of as many bytes shows what
//! the machine and the runtimes take by themselves.

use std::net::SocketAddr;
use std::sync::mpsc;

use divan::Bencher;
use divan::counter::ItemsCount;
use dlms2mqtt::client::MeterClient;
use dlms2mqtt::client::batch::Lists;
use dlms2mqtt::client::profile::Rows;
use dlms2mqtt::cosem::catalogue::ClassId;
use dlms2mqtt::cosem::profile::NullCells;
use dlms2mqtt::security::{
    CipherKey, Key, MemoryCounterStore, Protection, SecurityContext, SecuritySettings, SecuritySuite,
    SystemTitle,
};
use dlms2mqtt::session::association::{AssociationSettings, Ciphering};
use dlms2mqtt::session::client::ClientSession;
use dlms2mqtt::session::{DataLink, HdlcConfig, HdlcLink, WrapperConfig, WrapperLink};
use dlms2mqtt::sim::{Framing, HdlcConfig as SimHdlc, MeterConfig, Preset, SecurityConfig, SimulatedMeter};
use dlms2mqtt::transport::Driver;
use dlms2mqtt::wire::acse::{Mechanism, Referencing};
use dlms2mqtt::wire::hdlc::address::{ClientAddress, ServerAddress};
use dlms2mqtt::wire::hdlc::negotiation::Parameters;
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::xdlms::conformance::Conformance;
use dlms2mqtt::wire::xdlms::{AttributeDescriptor, AttributeRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

const ENERGY: Obis = Obis::new(1, 0, 1, 8, 0, 255);
const PROFILE: Obis = Obis::new(1, 0, 99, 1, 0, 255);
const ROWS: u32 = 1_500;
const OWN_TITLE: SystemTitle = SystemTitle(*b"DLM\0\0\0\0\x07");

fn main() {
    divan::main();
}

/// How the client talks to the meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Wrapper,
    Hdlc,
    /// WRAPPER with HLS GMAC, authenticated and encrypted.
    WrapperCiphered,
    HdlcCiphered,
}

const PLAIN: [Mode; 2] = [Mode::Wrapper, Mode::Hdlc];
const ALL: [Mode; 4] = [Mode::Wrapper, Mode::Hdlc, Mode::WrapperCiphered, Mode::HdlcCiphered];

impl Mode {
    fn is_ciphered(self) -> bool {
        matches!(self, Self::WrapperCiphered | Self::HdlcCiphered)
    }

    fn is_hdlc(self) -> bool {
        matches!(self, Self::Hdlc | Self::HdlcCiphered)
    }
}

fn key(hex: &str) -> Key {
    Key::from_hex(hex).expect("a key")
}

fn encryption_key() -> Key {
    key("000102030405060708090A0B0C0D0E0F")
}

fn authentication_key() -> Key {
    key("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF")
}

/// Serves a meter on a thread of its own, as another machine would.
fn serve(mode: Mode) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let wide = Parameters { max_info_tx: 2030, max_info_rx: 2030, window_tx: 1, window_rx: 1 };
            let framing = if mode.is_hdlc() {
                Framing::Hdlc(SimHdlc { parameters: wide, ..SimHdlc::default() })
            } else {
                Framing::Wrapper
            };
            let mut config = MeterConfig::new(Preset::Electricity, 51_324_481, framing);
            config.client_address = 1;
            config.profile_rows = ROWS;
            config.max_pdu = u16::MAX;
            if mode.is_ciphered() {
                config.authentication = Mechanism::HighGmac;
                config.security = Some(SecurityConfig {
                    suite: SecuritySuite::Suite0,
                    policy: Protection::AuthenticatedEncryption,
                    system_title: SystemTitle(*b"SIM\0\0\0\0\x01"),
                    block_cipher_key: encryption_key(),
                    authentication_key: authentication_key(),
                    client_counter: 0,
                });
            }
            let meter = SimulatedMeter::spawn(("127.0.0.1", 0), config).await.expect("a meter");
            tell.send(meter.address()).expect("a listener");
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("an address")
}

/// An associated client with its runtime.
struct Rig {
    runtime: Runtime,
    driver: Driver<TcpStream>,
    session: ClientSession,
}

impl Rig {
    fn new(mode: Mode) -> Self {
        let address = serve(mode);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let stream = runtime.block_on(TcpStream::connect(address)).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let link: DataLink = if mode.is_hdlc() {
            let client = ClientAddress::new(1).expect("an address");
            let server = ServerAddress::new(1, None, None).expect("an address");
            let proposal = Parameters { max_info_tx: 2030, max_info_rx: 2030, window_tx: 1, window_rx: 1 };
            HdlcLink::new(HdlcConfig { proposal, ..HdlcConfig::new(client, server) }).into()
        } else {
            WrapperLink::new(WrapperConfig::new(1, 1)).into()
        };
        let settings = AssociationSettings {
            referencing: Referencing::LogicalName,
            ciphering: if mode.is_ciphered() { Ciphering::Ciphered } else { Ciphering::Plain },
            mechanism: if mode.is_ciphered() { Mechanism::HighGmac } else { Mechanism::Lowest },
            secret: Zeroizing::default(),
            own_title: Some(OWN_TITLE),
            server_title: None,
            dedicated_key: None,
            conformance: Conformance::LN_PROPOSAL,
            max_pdu: u16::MAX,
            hls_object: Obis::new(0, 0, 40, 0, 0, 255),
        };
        let security = mode.is_ciphered().then(|| {
            let mut settings = SecuritySettings::new(SecuritySuite::Suite0, OWN_TITLE, encryption_key());
            settings.protection = Protection::AuthenticatedEncryption;
            settings.authentication_key = Some(authentication_key());
            let store = Box::new(MemoryCounterStore::default());
            let mut context = SecurityContext::new(settings, store).expect("a context");
            context.raise_send_counter(CipherKey::Global, 1).expect("the key");
            context
        });
        let driver = runtime.block_on(async { Driver::new(stream) });
        let mut rig = Self { runtime, driver, session: ClientSession::new(link, settings) };
        rig.run(async |mut client| {
            client.open().await.expect("a link");
            client.associate(security).await.expect("an association");
        });
        rig
    }

    fn run<T>(&mut self, operation: impl AsyncFnOnce(MeterClient<'_, TcpStream>) -> T) -> T {
        let client = MeterClient::new(&mut self.driver, &mut self.session);
        self.runtime.block_on(operation(client))
    }
}

fn register(c: u8, d: u8) -> AttributeRequest {
    attribute(ClassId::REGISTER, Obis::new(1, 0, c, d, 0, 255), 2)
}

fn attribute(class: ClassId, obis: Obis, attribute_id: i8) -> AttributeRequest {
    AttributeRequest::whole(AttributeDescriptor { class_id: class.0, instance_id: obis, attribute_id })
}

/// Requests and answers of a GET's size, without any protocol.
#[divan::bench]
fn raw_ping_pong(bencher: Bencher<'_, '_>) {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
            tell.send(listener.local_addr().expect("an address")).expect("a listener");
            let (mut stream, _) = listener.accept().await.expect("a client");
            stream.set_nodelay(true).expect("an option");
            let mut request = [0; 21];
            while stream.read_exact(&mut request).await.is_ok() {
                stream.write_all(&[0; 17]).await.expect("a client that listens");
            }
        });
    });
    let address = told.recv().expect("an address");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut stream = runtime.block_on(TcpStream::connect(address)).expect("a connection");
    stream.set_nodelay(true).expect("an option");
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        runtime.block_on(async {
            stream.write_all(&[0; 21]).await.expect("a peer");
            stream.read_exact(&mut [0; 17]).await.expect("an answer");
        });
    });
}

/// GETs of one register, one after the other.
#[divan::bench(args = ALL)]
fn get(bencher: Bencher<'_, '_>, mode: Mode) {
    let mut rig = Rig::new(mode);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        rig.run(async |mut client| {
            let answer = client.get(attribute(ClassId::REGISTER, ENERGY, 2)).await.expect("an answer");
            divan::black_box(answer).expect("a value");
        });
    });
}

/// Polls of twenty attributes, by lists where they are negotiated.
#[divan::bench(args = ALL)]
fn poll_of_20_registers(bencher: Bencher<'_, '_>, mode: Mode) {
    let mut rig = Rig::new(mode);
    let places = [(1, 8), (2, 8), (3, 8), (4, 8), (1, 7), (2, 7), (3, 7), (14, 7), (32, 7), (31, 7)];
    let requests: Vec<AttributeRequest> =
        places.iter().chain(&places).map(|&(c, d)| register(c, d)).collect();
    let mut lists = Lists::default();
    bencher.counter(ItemsCount::new(20_u32)).bench_local(|| {
        rig.run(async |mut client| {
            let mut answers = Vec::new();
            client.read_attributes(requests.clone(), &mut lists, &mut answers).await.expect("answers");
            assert!(answers.len() == 20 && answers.iter().all(Result::is_ok));
        });
    });
}

/// Rows of a profile of 1,500.
#[divan::bench(args = ALL, sample_count = 20)]
fn profile_rows(bencher: Bencher<'_, '_>, mode: Mode) {
    let mut rig = Rig::new(mode);
    let mut lists = Lists::default();
    let mut layout = rig.run(async |mut client| {
        client.profile_layout(PROFILE, &mut lists).await.expect("an answer").expect("a profile")
    });
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| {
        rig.run(async |mut client| {
            let rows = client.profile_rows(PROFILE, &mut layout, Rows::All, NullCells::Null).await;
            assert_eq!(rows.expect("an answer").expect("rows").len(), ROWS as usize);
        });
    });
}

/// Opening link and association, and releasing them.
#[divan::bench(args = PLAIN)]
fn associate_and_release(bencher: Bencher<'_, '_>, mode: Mode) {
    let mut rig = Rig::new(mode);
    rig.run(async |mut client| client.close().await.expect("a close"));
    bencher.bench_local(|| {
        rig.run(async |mut client| {
            client.open().await.expect("a link");
            client.associate(None).await.expect("an association");
            client.close().await.expect("a close");
        });
    });
}
