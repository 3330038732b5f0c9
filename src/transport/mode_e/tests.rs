//! Sign-ons with scripted meters, in virtual time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, DuplexStream, ReadBuf, duplex};

use super::*;
use crate::error::Code;

/// A line that remembers when it was set to what.
struct Bench {
    stream: DuplexStream,
    start: Instant,
    formats: Vec<(Duration, LineFormat)>,
}

impl Bench {
    fn new() -> (Self, DuplexStream) {
        let (stream, meter) = duplex(1024);
        (Self { stream, start: Instant::now(), formats: Vec::new() }, meter)
    }
}

impl Line for Bench {
    async fn drain(&mut self, line_time: Duration) -> Result<(), TransportError> {
        sleep(line_time).await;
        Ok(())
    }

    async fn set_format(&mut self, format: LineFormat) -> Result<(), TransportError> {
        self.formats.push((self.start.elapsed(), format));
        Ok(())
    }
}

impl AsyncRead for Bench {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Bench {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

fn settings() -> SignOnSettings {
    SignOnSettings {
        address: String::new(),
        max_baud: 115_200,
        parity: ParityMaker::Port,
        timeout: Duration::from_secs(5),
        effort: Effort::Full,
    }
}

async fn hear(meter: &mut DuplexStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    meter.read_exact(&mut heard).await.expect("read");
    assert_eq!(heard.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

async fn say(meter: &mut DuplexStream, octets: &[u8]) {
    meter.write_all(octets).await.expect("written");
}

async fn outcome_of(
    script: impl AsyncFnOnce(&mut DuplexStream),
    settings: &SignOnSettings,
) -> (Result<SignOn, TransportError>, Bench) {
    let (mut line, mut meter) = Bench::new();
    let (outcome, ()) = tokio::join!(sign_on(&mut line, settings), async { script(&mut meter).await });
    (outcome, line)
}

fn failure(outcome: (Result<SignOn, TransportError>, Bench)) -> SignOnError {
    match outcome.0 {
        Err(TransportError::ModeE(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_meter_signs_on_and_the_line_is_switched_when_all_is_sent() {
    let script = async |meter: &mut DuplexStream| {
        hear(meter, b"/?!\r\n").await;
        sleep(Duration::from_millis(300)).await;
        say(meter, b"/ISK5\\2ME382-1003\r\n").await;
        let answered = Instant::now();
        hear(meter, b"\x06252\r\n").await;
        assert!(answered.elapsed() >= REACTION, "a slow meter is left its reaction time");
        say(meter, b"\x06252\r\n").await;
    };
    let (outcome, mut line) = outcome_of(script, &settings()).await;
    let expected = SignOn {
        manufacturer: "ISK".into(),
        identification: "ME382-1003".into(),
        offered_baud: 9600,
        baud: 9600,
        announces_mode_e: true,
    };
    assert_eq!(outcome, Ok(expected));
    let [(_, start), (switched, fast)] = line.formats[..] else { panic!("{:?}", line.formats) };
    assert_eq!((start, fast), (LineFormat::SIGN_ON, LineFormat::eight_n_one(9600)));
    // 300 ms of the meter, 200 ms reaction, 6 characters at 300 baud, 300 ms of listening.
    assert_eq!(switched.as_millis(), 300 + 200 + 200 + 300);
    assert_eq!(line.start.elapsed().as_millis(), 1300, "and 300 ms more at the new speed");
    assert!(listen(&mut line, CONFIRMATION).await.is_err(), "nothing is left of the confirmation");
}

#[tokio::test(start_paused = true)]
async fn the_speed_is_limited_and_the_address_sent() {
    let script = async |meter: &mut DuplexStream| {
        hear(meter, b"/?12345678!\r\n").await;
        say(meter, b"/LGz6\\@\\2ZMD\r\n").await;
        let answered = Instant::now();
        hear(meter, b"\x06242\r\n").await;
        assert_eq!(answered.elapsed(), FAST_REACTION);
        // A confirmation at the new speed, unreadable at the old one.
        sleep(Duration::from_millis(550)).await;
        say(meter, b"\x86\xb2\x34\xb2\x8d\x0a").await;
        sleep(Duration::from_secs(1)).await;
    };
    let settings = SignOnSettings { address: "12345678".into(), max_baud: 5000, ..settings() };
    let (outcome, line) = outcome_of(script, &settings).await;
    let meter = outcome.expect("signed on");
    assert_eq!((meter.manufacturer.as_str(), meter.offered_baud, meter.baud), ("LGZ", 19_200, 4800));
    assert_eq!(line.formats.last().map(|(_, format)| *format), Some(LineFormat::eight_n_one(4800)));
}

#[tokio::test(start_paused = true)]
async fn software_parity_goes_over_eight_bits() {
    let coded =
        |text: &[u8]| text.iter().map(|&octet| iec62056_21::with_even_parity(octet)).collect::<Vec<_>>();
    let script = async |meter: &mut DuplexStream| {
        hear(meter, &coded(b"/?!\r\n")).await;
        say(meter, &coded(b"/ISK3\\2ME\r\n")).await;
        hear(meter, &coded(b"\x06232\r\n")).await;
        sleep(Duration::from_secs(1)).await;
    };
    let settings = SignOnSettings { parity: ParityMaker::Software, ..settings() };
    let (outcome, line) = outcome_of(script, &settings).await;
    assert_eq!(outcome.expect("signed on").baud, 2400);
    let formats: Vec<_> = line.formats.iter().map(|(_, format)| *format).collect();
    assert_eq!(formats, [LineFormat::eight_n_one(300), LineFormat::eight_n_one(2400)]);
}

#[tokio::test(start_paused = true)]
async fn a_sleeping_meter_is_asked_thrice_and_woken() {
    let script = async |meter: &mut DuplexStream| {
        let start = Instant::now();
        hear(meter, b"/?!\r\n").await;
        hear(meter, b"/?!\r\n").await;
        assert!(start.elapsed() >= ATTEMPT_PERIOD);
        hear(meter, &[0; 65]).await;
        let woken = Instant::now();
        hear(meter, b"/?!\r\n").await;
        assert!(woken.elapsed() >= WAKE_UP + WAKE_UP_PAUSE);
        say(meter, b"/?!\r\n/ISK0ME\r\n").await;
        hear(meter, b"\x06202\r\n").await;
        sleep(Duration::from_secs(1)).await;
    };
    let (outcome, _) = outcome_of(script, &settings()).await;
    let meter = outcome.expect("signed on");
    assert!(!meter.announces_mode_e, "it may take mode E nevertheless");
    assert_eq!(meter.baud, 300);
}

#[tokio::test(start_paused = true)]
async fn silence_echo_noise_and_readouts_are_told_apart() {
    let patience = Duration::from_secs(60);
    assert_eq!(failure(outcome_of(async |_| sleep(patience).await, &settings()).await), SignOnError::Silent);

    let echo = async |meter: &mut DuplexStream| {
        for _ in 0..2 {
            hear(meter, b"/?!\r\n").await;
            say(meter, b"/?!\r\n").await;
        }
        sleep(patience).await;
    };
    assert_eq!(
        failure(outcome_of(echo, &settings()).await),
        SignOnError::OnlyEcho,
        "the silent third says less"
    );

    let noise = async |meter: &mut DuplexStream| {
        hear(meter, b"/?!\r\n").await;
        say(meter, b"\xff\x13\x80").await;
        sleep(patience).await;
    };
    let error = failure(outcome_of(noise, &settings()).await);
    assert_eq!(
        error,
        SignOnError::Unreadable { beginning: "\\xff\\x13\\x80".into(), octets: 3, parity_errors: 0 }
    );
    assert!(error.report().hint.contains("software_7e1"));
    let software = SignOnSettings { parity: ParityMaker::Software, ..settings() };
    let noise = async |meter: &mut DuplexStream| {
        hear(meter, b"\xaf\x3f\x21\x8d\x0a").await;
        say(meter, b"\xff\x13\x80").await;
        sleep(patience).await;
    };
    let error = failure(outcome_of(noise, &software).await);
    assert!(matches!(error, SignOnError::Unreadable { octets: 3, parity_errors: 2, .. }), "{error:?}");

    let readout = async |meter: &mut DuplexStream| {
        hear(meter, b"/?!\r\n").await;
        say(meter, b"\x02F.F(00)\r\n!\r\n\x03").await;
        sleep(patience).await;
    };
    assert_eq!(failure(outcome_of(readout, &settings()).await), SignOnError::Readout);
}

#[tokio::test(start_paused = true)]
async fn refusals_of_mode_e_are_seen_before_and_after_the_switch() {
    for (delay, refusal, expected) in [
        (100, &b"\x15"[..], SignOnError::Refused),
        (100, b"\x06202\r\n\x02F.F(00)", SignOnError::Readout),
        (550, b"\x82\xc6.\xc6\x28", SignOnError::Readout),
    ] {
        let script = async |meter: &mut DuplexStream| {
            hear(meter, b"/?!\r\n").await;
            say(meter, b"/ISK0ME382\r\n").await;
            hear(meter, b"\x06202\r\n").await;
            sleep(Duration::from_millis(delay)).await;
            say(meter, refusal).await;
            sleep(Duration::from_secs(1)).await;
        };
        let error = failure(outcome_of(script, &settings()).await);
        assert_eq!(error, expected);
        assert_eq!(TransportError::from(error).report().code, Code::ModeE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_ends_is_no_silence() {
    let (mut line, meter) = Bench::new();
    let hang_up = async {
        sleep(Duration::from_millis(10)).await;
        drop(meter);
    };
    let settings = settings();
    let (outcome, ()) = tokio::join!(sign_on(&mut line, &settings), hang_up);
    assert_eq!(outcome, Err(TransportError::Closed));
    let (mut line, _meter) = Bench::new();
    let wrong = SignOnSettings { address: "!".into(), ..settings };
    assert_eq!(sign_on(&mut line, &wrong).await, Err(SignOnError::Address.into()));
}

#[tokio::test(start_paused = true)]
async fn a_dead_meter_costs_one_time_out_where_a_single_request_is_enough() {
    let single = SignOnSettings { effort: Effort::Single, timeout: Duration::from_secs(3), ..settings() };
    let script = async |meter: &mut DuplexStream| {
        hear(meter, b"/?!\r\n").await;
        let more = timeout(Duration::from_secs(60), meter.read_u8()).await;
        assert!(more.is_err(), "nothing else is said: {more:?}");
    };
    let (mut line, mut meter) = Bench::new();
    let begun = Instant::now();
    let silent = async {
        let outcome = sign_on(&mut line, &single).await;
        (outcome, begun.elapsed())
    };
    let ((outcome, took), ()) = tokio::join!(silent, script(&mut meter));
    assert_eq!(outcome, Err(SignOnError::Silent.into()));
    // The request takes 167 ms of the line.
    assert!(took < Duration::from_millis(3250), "{took:?}");
}
