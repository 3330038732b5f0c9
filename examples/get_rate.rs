//! GETs a second and CPU time a GET of the client as a process of its own, against a meter in another process.
//!
//! `cargo run --release -- sim --listen 127.0.0.1:4059 --interface wrapper`, and in another terminal
//! `cargo run --release --example get_rate -- 127.0.0.1:4059 wrapper plain 200000`. For ciphered APDUs (HLS GMAC,
//! authenticated and encrypted) give the meter the keys below and say `ciphered`. `raw 200000` sends and receives as many
//! octets without any protocol, with blocking sockets and with tokio: what the machine takes by itself.

use std::io::{Read, Write};
use std::time::Instant;

use anyhow::{Context, bail};
use dlms2mqtt::client::MeterClient;
use dlms2mqtt::client::batch::Lists;
use dlms2mqtt::client::profile::Rows;
use dlms2mqtt::cosem::profile::NullCells;
use dlms2mqtt::security::{
    CipherKey, Key, MemoryCounterStore, Protection, SecurityContext, SecuritySettings, SecuritySuite,
    SystemTitle,
};
use dlms2mqtt::session::association::{AssociationSettings, Ciphering};
use dlms2mqtt::session::client::ClientSession;
use dlms2mqtt::session::{DataLink, HdlcConfig, HdlcLink, WrapperConfig, WrapperLink};
use dlms2mqtt::transport::Driver;
use dlms2mqtt::wire::acse::{Mechanism, Referencing};
use dlms2mqtt::wire::hdlc::address::{ClientAddress, ServerAddress};
use dlms2mqtt::wire::hdlc::negotiation::Parameters;
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::xdlms::conformance::Conformance;
use dlms2mqtt::wire::xdlms::{AttributeDescriptor, AttributeRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const OWN_TITLE: SystemTitle = SystemTitle(*b"DLM\0\0\0\0\x07");

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [raw, count] = arguments.as_slice()
        && raw == "raw"
    {
        return ping_pong(count.parse().context("COUNT is a number")?).await;
    }
    let [address, framing, protection, count] = arguments.as_slice() else {
        bail!("ADDRESS hdlc|wrapper plain|ciphered COUNT")
    };
    let is_ciphered = protection == "ciphered";
    let count: u32 = count.parse().context("COUNT is a number")?;
    let link: DataLink = match framing.as_str() {
        "wrapper" => WrapperLink::new(WrapperConfig::new(1, 1)).into(),
        "hdlc" => {
            let server = ServerAddress::new(1, None, None)?;
            let proposal = Parameters { max_info_tx: 2030, max_info_rx: 2030, window_tx: 1, window_rx: 1 };
            let config = HdlcConfig::new(ClientAddress::new(1)?, server);
            HdlcLink::new(HdlcConfig { proposal, ..config }).into()
        }
        other => bail!("no framing {other}"),
    };
    let settings = AssociationSettings {
        referencing: Referencing::LogicalName,
        ciphering: if is_ciphered { Ciphering::Ciphered } else { Ciphering::Plain },
        mechanism: if is_ciphered { Mechanism::HighGmac } else { Mechanism::Lowest },
        secret: Default::default(),
        own_title: Some(OWN_TITLE),
        server_title: None,
        dedicated_key: None,
        conformance: Conformance::LN_PROPOSAL,
        max_pdu: u16::MAX,
        hls_object: Obis::new(0, 0, 40, 0, 0, 255),
    };
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut driver = Driver::new(stream);
    let mut session = ClientSession::new(link, settings);
    let mut client = MeterClient::new(&mut driver, &mut session);
    client.open().await?;
    client.associate(is_ciphered.then(security).transpose()?).await?;
    let energy = register(1, 8);
    let measure = Measure::begin()?;
    for _ in 0..count {
        anyhow::ensure!(client.get(energy.clone()).await?.is_ok(), "the meter refuses");
    }
    measure.end(framing, protection, "GET", count)?;
    let places = [(1, 8), (2, 8), (3, 8), (4, 8), (1, 7), (2, 7), (3, 7), (14, 7), (32, 7), (31, 7)];
    let twenty: Vec<_> = places.iter().chain(&places).map(|&(c, d)| register(c, d)).collect();
    let (mut lists, polls) = (Lists::default(), count / 10);
    let measure = Measure::begin()?;
    for _ in 0..polls {
        let mut answers = Vec::new();
        client.read_attributes(twenty.clone(), &mut lists, &mut answers).await?;
        anyhow::ensure!(answers.iter().all(Result::is_ok), "the meter refuses");
    }
    measure.end(framing, protection, "poll of 20 registers", polls)?;
    let profile = Obis::new(1, 0, 99, 1, 0, 255);
    let mut layout = client.profile_layout(profile, &mut lists).await??;
    let (reads, mut rows) = (count / 1000, 0);
    let measure = Measure::begin()?;
    for _ in 0..reads {
        rows = client.profile_rows(profile, &mut layout, Rows::All, NullCells::Null).await??.len();
    }
    measure.end(framing, protection, &format!("profile of {rows} rows"), reads)?;
    client.close().await?;
    Ok(())
}

/// Requests and answers of a GET's size against a thread that answers at once; only this thread's CPU is counted.
async fn ping_pong(count: u32) -> anyhow::Result<()> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            stream.set_nodelay(true).expect("an option");
            let mut request = [0; 21];
            while stream.read_exact(&mut request).is_ok() {
                stream.write_all(&[0; 17]).expect("a client that listens");
            }
        }
    });
    let mut answer = [0; 17];
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let measure = Measure::begin()?;
    for _ in 0..count {
        stream.write_all(&[0; 21])?;
        stream.read_exact(&mut answer)?;
    }
    measure.end("raw", "blocking", "ping-pong", count)?;
    drop(stream);
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let measure = Measure::begin()?;
    for _ in 0..count {
        AsyncWriteExt::write_all(&mut stream, &[0; 21]).await?;
        AsyncReadExt::read_exact(&mut stream, &mut answer).await?;
    }
    measure.end("raw", "tokio", "ping-pong", count)
}

fn register(c: u8, d: u8) -> AttributeRequest {
    let instance_id = Obis::new(1, 0, c, d, 0, 255);
    AttributeRequest::whole(AttributeDescriptor { class_id: 3, instance_id, attribute_id: 2 })
}

fn security() -> anyhow::Result<SecurityContext> {
    let key = |hex: &str| Key::from_hex(hex).context("a key");
    let block_cipher_key = key("000102030405060708090A0B0C0D0E0F")?;
    let mut settings = SecuritySettings::new(SecuritySuite::Suite0, OWN_TITLE, block_cipher_key);
    settings.protection = Protection::AuthenticatedEncryption;
    settings.authentication_key = Some(key("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF")?);
    let mut context = SecurityContext::new(settings, Box::new(MemoryCounterStore::default()))?;
    // A number that no earlier run of this example can have used.
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    context.raise_send_counter(CipherKey::Global, u32::try_from(now)?)?;
    Ok(context)
}

/// Wall and CPU time of a run.
struct Measure {
    begun: Instant,
    cpu: f64,
}

impl Measure {
    fn begin() -> anyhow::Result<Self> {
        Ok(Self { begun: Instant::now(), cpu: cpu_seconds()? })
    }

    fn end(self, framing: &str, protection: &str, what: &str, count: u32) -> anyhow::Result<()> {
        let (wall, cpu) = (self.begun.elapsed().as_secs_f64(), cpu_seconds()? - self.cpu);
        let count = f64::from(count);
        println!(
            "{framing} {protection}: {what}: {:.0}/s, {:.2} us of CPU each",
            count / wall,
            cpu / count * 1e6
        );
        Ok(())
    }
}

/// User and system time of this process in seconds (`/proc/self/schedstat`, nanoseconds on the CPU).
fn cpu_seconds() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().context("a figure")?.parse()?;
    Ok(nanoseconds / 1e9)
}
