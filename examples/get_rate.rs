//! GETs a second and CPU time a GET of the client as a process of its own, against a meter in another process.
//!
//! `cargo run --release -- sim --listen 127.0.0.1:4059 --interface wrapper`, and in another terminal
//! `cargo run --release --example get_rate -- 127.0.0.1:4059 wrapper 200000`.

use std::time::Instant;

use anyhow::{Context, bail};
use dlms2mqtt::client::MeterClient;
use dlms2mqtt::session::association::{AssociationSettings, Ciphering};
use dlms2mqtt::session::client::ClientSession;
use dlms2mqtt::session::{DataLink, HdlcConfig, HdlcLink, WrapperConfig, WrapperLink};
use dlms2mqtt::transport::Driver;
use dlms2mqtt::wire::acse::{Mechanism, Referencing};
use dlms2mqtt::wire::hdlc::address::{ClientAddress, ServerAddress};
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::xdlms::conformance::Conformance;
use dlms2mqtt::wire::xdlms::{AttributeDescriptor, AttributeRequest};
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, framing, count] = arguments.as_slice() else { bail!("ADDRESS hdlc|wrapper COUNT") };
    let count: u32 = count.parse().context("COUNT is a number")?;
    let link: DataLink = match framing.as_str() {
        "wrapper" => WrapperLink::new(WrapperConfig::new(16, 1)).into(),
        "hdlc" => {
            let server = ServerAddress::new(1, None, None)?;
            HdlcLink::new(HdlcConfig::new(ClientAddress::new(16)?, server)).into()
        }
        other => bail!("no framing {other}"),
    };
    let settings = AssociationSettings {
        referencing: Referencing::LogicalName,
        ciphering: Ciphering::Plain,
        mechanism: Mechanism::Lowest,
        secret: Default::default(),
        own_title: None,
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
    client.associate(None).await?;
    let attribute =
        AttributeDescriptor { class_id: 3, instance_id: Obis::new(1, 0, 1, 8, 0, 255), attribute_id: 2 };
    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    for _ in 0..count {
        let answer = client.get(AttributeRequest::whole(attribute)).await?;
        anyhow::ensure!(answer.is_ok(), "the meter refuses: {answer:?}");
    }
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    let gets = f64::from(count);
    println!("{framing}: {:.0} GET/s, {:.2} us of CPU a GET", gets / wall, cpu / gets * 1e6);
    client.close().await?;
    Ok(())
}

/// User and system time of this process in seconds (`/proc/self/schedstat`, nanoseconds on the CPU).
fn cpu_seconds() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().context("a figure")?.parse()?;
    Ok(nanoseconds / 1e9)
}
