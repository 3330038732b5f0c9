//! Serial ports, on pseudo-terminals with the peer meter, or another port, at their far end.

mod support;

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use dlms2mqtt::error::Code;
use dlms2mqtt::transport::mode_e::{self, Effort, ParityMaker, SignOnSettings};
use dlms2mqtt::transport::rs485::{OwnBytes, Rs485Settings, RtsLevel};
use dlms2mqtt::transport::serial::{DataBits, FlowControl, LineFormat, Parity, StopBits, wait_for_return};
use dlms2mqtt::transport::seven_e_one::SevenEvenOne;
use dlms2mqtt::transport::{EchoFilter, EchoMode, Port, SerialPort, SerialSettings, TransportError};
use dlms2mqtt::wire::hdlc::{ClientAddress, Control, Deframer, Frame, ServerAddress};

use support::peer_meter::PeerMeter;
use support::pty::PtyLine;

const PATIENCE: Duration = Duration::from_secs(10);

fn settings(device: &Path) -> SerialSettings {
    SerialSettings {
        device: device.to_owned(),
        format: LineFormat::eight_n_one(9600),
        flow: FlowControl::None,
        rs485: None,
    }
}

async fn refused(settings: &SerialSettings) -> TransportError {
    match SerialPort::open(settings).await {
        Ok(port) => panic!("{port:?} opened"),
        Err(error) => error,
    }
}

async fn read(port: &mut SerialPort, count: usize) -> Vec<u8> {
    let mut octets = vec![0; count];
    timeout(PATIENCE, port.read_exact(&mut octets)).await.expect("in time").expect("read");
    octets
}

#[tokio::test]
async fn a_meter_answers_behind_a_port() {
    let Some(meter) = PeerMeter::start(&["--interface", "hdlc"], 1) else { return };
    let line = PtyLine::to_tcp(meter.port());
    let mut port = SerialPort::open(&settings(&line.device())).await.expect("opened");

    let mut snrm = Vec::new();
    let request = Frame {
        destination: ServerAddress::new(1, None, None).expect("legal").encode(),
        source: ClientAddress::new(16).expect("legal").encode(),
        control: Control::SetNormalResponseMode { poll: true },
        segmented: false,
        information: &[],
    };
    request.encode(&mut snrm).expect("encodes");
    port.write_all(&snrm).await.expect("written");

    let mut deframer = Deframer::new();
    let answer = async {
        loop {
            let mut octets = [0; 64];
            let count = port.read(&mut octets).await.expect("read");
            deframer.feed(&octets[..count]);
            if let Some(frame) = deframer.next() {
                return (frame.control, frame.information.to_vec());
            }
        }
    };
    let (control, information) = timeout(PATIENCE, answer).await.expect("an answer");
    assert_eq!(control, Control::UnnumberedAcknowledge { poll: true });
    assert!(!information.is_empty(), "the parameters of HDLC");
    port.close().await.expect("closed");
}

#[tokio::test]
async fn octets_cross_a_line_both_ways_whatever_their_value() {
    let line = PtyLine::pair();
    let mut near = SerialPort::open(&settings(&line.device())).await.expect("opened");
    let mut far = SerialPort::open(&settings(&line.far_device())).await.expect("opened");
    let every: Vec<u8> = (0..=u8::MAX).collect();
    near.write_all(&every).await.expect("written");
    assert_eq!(read(&mut far, 256).await, every);
    far.write_all(&every).await.expect("written");
    assert_eq!(read(&mut near, 256).await, every);
}

#[tokio::test]
async fn settings_change_on_the_open_port_and_refusals_are_named() {
    let line = PtyLine::pair();
    let mut port = SerialPort::open(&settings(&line.device())).await.expect("opened");
    for baud in [300, 115_200, 12_345] {
        let format = LineFormat { stop_bits: StopBits::Two, ..LineFormat::eight_n_one(baud) };
        port.set_format(format).await.expect("a pseudo-terminal takes any speed");
        assert_eq!(port.format(), format);
    }
    let error = port.set_format(LineFormat::SIGN_ON).await.expect_err("a pseudo-terminal has no parity");
    assert_eq!(error.report().code, Code::SerialSettings);
    let text = error.to_string();
    assert!(text.contains("data bits 7") && text.contains("parity even (the port has none)"), "{text}");

    drop(port);
    let mut wanted = settings(&line.device());
    wanted.format = LineFormat { data_bits: DataBits::Eight, parity: Parity::Mark, ..wanted.format };
    assert_eq!(refused(&wanted).await.report().code, Code::SerialSettings);
    wanted.format.parity = Parity::None;
    wanted.flow = FlowControl::RtsCts;
    SerialPort::open(&wanted).await.expect("the failed one was closed");
}

#[tokio::test]
async fn direction_control_is_refused_where_the_driver_has_none() {
    let line = PtyLine::pair();
    let mut wanted = settings(&line.device());
    wanted.rs485 = Some(Rs485Settings {
        rts_while_sending: RtsLevel::High,
        delay_before_send: Duration::ZERO,
        delay_after_send: Duration::ZERO,
        own_bytes: OwnBytes::Unheard,
    });
    let error = refused(&wanted).await;
    assert_eq!(error.report().code, Code::SerialSettings);
    assert!(error.to_string().contains("rs485"), "{error}");
}

#[tokio::test]
async fn one_port_is_opened_once() {
    let line = PtyLine::pair();
    let mut first = SerialPort::open(&settings(&line.device())).await.expect("opened");
    let mut far = SerialPort::open(&settings(&line.far_device())).await.expect("opened");
    let error = refused(&settings(&line.device())).await;
    assert_eq!(error.report().code, Code::SerialBusy);
    first.write_all(b"still ours").await.expect("written");
    assert_eq!(read(&mut far, 10).await, b"still ours");
    assert_eq!(refused(&settings(&line.device())).await.report().code, Code::SerialBusy, "again");
    drop(first);
    SerialPort::open(&settings(&line.device())).await.expect("free again");
}

#[tokio::test]
async fn what_is_no_port_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let absent = refused(&settings(&folder.path().join("ttyUSB7"))).await;
    assert_eq!(absent.report().code, Code::SerialOpen);
    assert!(absent.to_string().contains("does not exist"), "{absent}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    let wrong = refused(&settings(&file)).await;
    assert_eq!(wrong.report().code, Code::SerialOpen);
    assert!(wrong.to_string().contains("not a serial port"), "{wrong}");
}

#[tokio::test]
async fn a_port_that_vanishes_is_waited_for_and_opened_again() {
    let mut line = PtyLine::pair();
    let device = line.device();
    let mut port = SerialPort::open(&settings(&device)).await.expect("opened");
    let unplug = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        line.unplug();
    };
    let mut octets = [0; 8];
    let (outcome, ()) = tokio::join!(timeout(PATIENCE, port.read(&mut octets)), unplug);
    let error = TransportError::from(outcome.expect("noticed").expect_err("gone"));
    assert_eq!(error, TransportError::SerialGone { device: device.display().to_string() });
    let error = TransportError::from(port.write(b"x").await.expect_err("gone"));
    assert_eq!(error.report().code, Code::SerialGone);
    assert_eq!(
        port.set_format(LineFormat::eight_n_one(300)).await.expect_err("gone").report().code,
        Code::SerialGone
    );
    drop(port);

    assert!(timeout(Duration::from_millis(200), wait_for_return(&device)).await.is_err(), "it is out");
    line.plug();
    timeout(PATIENCE, wait_for_return(&device)).await.expect("it is back");
    let mut port = SerialPort::open(&settings(&device)).await.expect("opened again");
    let mut far = SerialPort::open(&settings(&line.far_device())).await.expect("opened");
    far.write_all(b"back").await.expect("written");
    assert_eq!(read(&mut port, 4).await, b"back");
}

#[tokio::test]
async fn opening_discards_what_arrived_before() {
    let line = PtyLine::pair();
    let mut far = SerialPort::open(&settings(&line.far_device())).await.expect("opened");
    let first = SerialPort::open(&settings(&line.device())).await.expect("opened");
    far.write_all(b"old").await.expect("written");
    far.drain().await.expect("drained");
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(first);
    let mut port = SerialPort::open(&settings(&line.device())).await.expect("opened");
    far.write_all(b"new").await.expect("written");
    assert_eq!(read(&mut port, 3).await, b"new");
}

#[tokio::test]
async fn a_meter_signs_on_over_a_port_without_parity() {
    let line = PtyLine::pair();
    let mut port = Port::Serial(SerialPort::open(&settings(&line.device())).await.expect("opened"));
    let far = SerialPort::open(&settings(&line.far_device())).await.expect("opened");
    let sign_on = SignOnSettings {
        address: "4711".to_owned(),
        max_baud: 9600,
        parity: ParityMaker::Software,
        timeout: PATIENCE,
        effort: Effort::Full,
    };
    let meter = async {
        let mut far = SevenEvenOne::new(far);
        let mut request = [0; 9];
        far.read_exact(&mut request).await.expect("read");
        assert_eq!(&request, b"/?4711!\r\n");
        far.write_all(b"/ISK6\\2ME382\r\n").await.expect("written");
        let mut selection = [0; 6];
        far.read_exact(&mut selection).await.expect("read");
        assert_eq!(&selection, b"\x06252\r\n");
        far
    };
    let (outcome, far) = tokio::join!(mode_e::sign_on(&mut port, &sign_on), meter);
    assert_eq!(outcome.expect("signed on").baud, 9600);
    assert_eq!(far.parity_errors(), 0);
    let Port::Serial(port) = port else { panic!("{port:?}") };
    assert_eq!(port.format(), LineFormat::eight_n_one(9600));

    let mut port = Port::Serial(port);
    let native = SignOnSettings { parity: ParityMaker::Port, ..sign_on };
    let error = mode_e::sign_on(&mut port, &native).await.expect_err("a pseudo-terminal has no parity");
    assert_eq!(error.report().code, Code::SerialSettings);
}

#[tokio::test]
async fn the_echo_of_a_line_is_dropped() {
    let line = PtyLine::echoing();
    let port = SerialPort::open(&settings(&line.device())).await.expect("opened");
    let mut port = EchoFilter::new(port, EchoMode::Drop);
    for count in 1..=3 {
        port.write_all(b"\x7e\xa0\x07\x03\x21\x93\x0f\x01\x7e").await.expect("written");
        assert!(
            timeout(Duration::from_millis(200), port.read(&mut [0; 64])).await.is_err(),
            "nobody else is there"
        );
        assert_eq!(port.echoes(), count);
    }
}
