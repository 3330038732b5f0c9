//! The trace of a link: every layer in the log, a capture file that Wireshark opens, and no password in either.

mod support;

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;
use zeroize::Zeroizing;

use dlms2mqtt::client::MeterClient;
use dlms2mqtt::session::association::{AssociationSettings, Ciphering};
use dlms2mqtt::session::client::ClientSession;
use dlms2mqtt::session::{DataLink, HdlcConfig, HdlcLink, WrapperConfig, WrapperLink};
use dlms2mqtt::transport::serial::{FlowControl, LineFormat};
use dlms2mqtt::transport::tcp::{self, TcpSettings};
use dlms2mqtt::transport::trace::{Direction, Framing, Layers};
use dlms2mqtt::transport::{Driver, EchoFilter, EchoMode, Port, SerialPort, SerialSettings, Trace, Traced};
use dlms2mqtt::wire::acse::{Mechanism, Referencing};
use dlms2mqtt::wire::hdlc::{ClientAddress, ServerAddress};
use dlms2mqtt::wire::obis::Obis;
use dlms2mqtt::wire::xdlms::conformance::Conformance;

use support::not_run::not_run;
use support::peer_meter::PeerMeter;
use support::pty::PtyLine;
use support::vectors::to_hex;

const PASSWORD: &str = "OpenSesame8";
const LINK: &str = "feeder 4";

/// What was logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("unpoisoned"))).expect("UTF-8")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("unpoisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn settings() -> AssociationSettings {
    AssociationSettings {
        referencing: Referencing::LogicalName,
        ciphering: Ciphering::Plain,
        mechanism: Mechanism::Low,
        secret: Zeroizing::new(PASSWORD.as_bytes().to_vec()),
        own_title: None,
        server_title: None,
        dedicated_key: None,
        conformance: Conformance::LN_PROPOSAL,
        max_pdu: 0xFFFF,
        hls_object: Obis::new(0, 0, 40, 0, 0, 255),
    }
}

/// One association, opened and released.
async fn associate(port: Port, link: DataLink, trace: &Trace) {
    let stream = EchoFilter::new(port, EchoMode::Drop);
    let mut driver = Driver::over(Traced::new(stream, trace.clone()));
    let mut session = ClientSession::new(link, settings());
    let mut client = MeterClient::new(&mut driver, &mut session);
    client.open().await.expect("the link opens");
    client.associate(None).await.expect("the password is right");
    client.release().await.expect("a release");
    client.close().await.expect("a close");
}

fn decoder(apdu: &[u8]) -> Option<String> {
    (apdu.first() == Some(&0x60)).then(|| format!("AARQ of {} octets", apdu.len()))
}

#[tokio::test]
async fn hdlc_on_a_serial_line() {
    // So short fields that the AARQ goes in segments.
    let arguments = ["--interface", "hdlc", "--auth", "low", "--password", PASSWORD, "--client-address", "2"];
    let Some(meter) = PeerMeter::start(&[&arguments[..], &["--hdlc-info", "32/32"]].concat(), 2) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("line.pcapng");
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let trace = Trace::with_decoder(LINK, Some(decoder));
    trace.show(Layers::ALL);
    trace.start_capture(&capture, 1 << 20).expect("a new file");
    let port = || async {
        let line = PtyLine::to_tcp(meter.port());
        let settings = SerialSettings {
            device: line.device(),
            format: LineFormat::eight_n_one(9600),
            flow: FlowControl::None,
            rs485: None,
        };
        (Port::Serial(SerialPort::open(&settings).await.expect("opened")), line)
    };
    let link = || {
        let (client, server) = (ClientAddress::new(2), ServerAddress::new(1, None, None));
        DataLink::from(HdlcLink::new(HdlcConfig::new(client.expect("legal"), server.expect("legal"))))
    };
    let (stream, line) = port().await;
    associate(stream, link(), &trace).await;
    drop(line);

    let text = log.take();
    for part in [
        "dlms2mqtt::physical: link=\"feeder 4\" direction=tx octets=7ea0",
        "dlms2mqtt::frame: SNRM P from 05 to 03",
        "segmented link=\"feeder 4\" direction=tx",
        "dlms2mqtt::frame: UA P from 03 to 05",
        "dlms2mqtt::apdu: link=\"feeder 4\" direction=tx octets=60",
        "dlms2mqtt::apdu: link=\"feeder 4\" direction=rx octets=61",
        "dlms2mqtt::decoded: AARQ of ",
        "dlms2mqtt::frame: DISC P",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert_no_password(text.as_bytes());
    trace.decoded(Direction::Received, &"deciphered");
    assert!(log.take().contains("dlms2mqtt::decoded: deciphered link=\"feeder 4\" direction=rx"));

    // Switched off while it runs.
    trace.show(Layers::NONE);
    trace.stop_capture();
    let size = settled(&capture);
    let (stream, _line) = port().await;
    associate(stream, link(), &trace).await;
    assert_eq!(log.take(), "");
    assert_eq!(settled(&capture), size);

    opened_by_wireshark(&capture, "7ea0");
}

#[tokio::test]
async fn the_wrapper_over_tcp() {
    let arguments =
        ["--interface", "wrapper", "--auth", "low", "--password", PASSWORD, "--client-address", "2"];
    let Some(meter) = PeerMeter::start(&arguments, 1) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("line.pcapng");
    let trace = Trace::new(LINK);
    trace.set_framing(Framing::Wrapper);
    trace.start_capture(&capture, 1 << 20).expect("a new file");
    let settings = TcpSettings {
        host: "127.0.0.1".to_owned(),
        port: meter.port(),
        connect_timeout: Duration::from_secs(10),
        keep_alive: None,
    };
    let stream = tcp::connect(&settings).await.expect("connected");
    associate(Port::Tcp(stream), WrapperLink::new(WrapperConfig::new(2, 1)).into(), &trace).await;
    trace.stop_capture();
    settled(&capture);
    opened_by_wireshark(&capture, "00010002");
}

/// The size of a file once its writer has ended.
fn settled(path: &Path) -> u64 {
    let start = Instant::now();
    let mut size = 0;
    while start.elapsed() < Duration::from_millis(300) || size == 0 {
        size = path.metadata().expect("the file").len();
        std::thread::sleep(Duration::from_millis(10));
    }
    size
}

fn assert_no_password(bytes: &[u8]) {
    for secret in [PASSWORD.to_owned(), to_hex(PASSWORD.as_bytes())] {
        // Half of it would be half too much.
        for part in secret.as_bytes().windows(secret.len() / 2) {
            let found = bytes.windows(part.len()).any(|window| window == part);
            assert!(!found, "{} is told", part.escape_ascii());
        }
    }
}

fn opened_by_wireshark(capture: &Path, beginning: &str) {
    assert_no_password(&std::fs::read(capture).expect("the file"));
    let fields = [
        "frame.interface_name",
        "tcp.port",
        "tcp.checksum.status",
        "tcp.payload",
        "frame.comment",
        "_ws.expert",
    ];
    let output = Command::new("tshark")
        .args(["-o", "tcp.check_checksum:TRUE", "-T", "fields", "-r"])
        .arg(capture)
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .output();
    let Ok(output) = output else {
        return not_run(1, "the capture file: tshark is not installed");
    };
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let packets: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert!(packets.len() >= 4, "{text}");
    const GOOD: &str = "1";
    for packet in &packets {
        assert_eq!(packet[..3], [LINK, packet[1], GOOD], "{text}");
        assert!(packet[1].contains("4059"), "{text}");
    }
    assert!(packets[0][3].starts_with(beginning), "{text}");
    assert!(packets.iter().any(|packet| packet[4].contains("masked")), "{text}");
    let harmless = |finding: &str| finding.is_empty() || finding.starts_with("Expert Info (Comment/Comment)");
    assert!(packets.iter().all(|packet| harmless(packet[5])), "Wireshark has something to object:\n{text}");
}
