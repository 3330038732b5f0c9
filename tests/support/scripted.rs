//! A meter over the TCP wrapper that says exactly what a test wants it to say, byte by byte, and counts what it is asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What the meter does on a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Says an APDU, from the wPort that was asked to the client that asked.
    Say(Vec<u8>),
    /// The same from another wPort.
    SayFrom(u16, Vec<u8>),
    /// Sends octets as they are.
    Raw(Vec<u8>),
    Pause(Duration),
    Close,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Counted from 0.
    pub(crate) connection: usize,
    /// The wPort that asks.
    pub(crate) client: u16,
    /// The wPort that is asked.
    pub(crate) server: u16,
    pub(crate) apdu: Vec<u8>,
    pub(crate) at: Instant,
}

/// The meter; it stops when dropped.
pub(crate) struct Scripted {
    port: u16,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: AbortHandle,
}

impl Scripted {
    /// A meter that answers each request as `script` says.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::start_at(0, script).await
    }

    /// The same on a given port.
    pub(crate) async fn start_at(
        port: u16,
        script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (counter, log, script) = (Arc::clone(&connections), Arc::clone(&asked), Arc::new(script));
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let connection = counter.fetch_add(1, Ordering::SeqCst);
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                tokio::spawn(async move {
                    let _ = serve(stream, connection, &log, &*script).await;
                });
            }
        });
        Self { port, connections, asked, task: task.abort_handle() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    /// How many requests of a kind there were, by the APDU's first octet.
    pub(crate) fn count(&self, tag: u8) -> usize {
        self.asked().iter().filter(|asked| asked.apdu.first() == Some(&tag)).count()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    log: &Mutex<Vec<Asked>>,
    script: &(impl Fn(&Asked) -> Vec<Act> + Sync),
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header).await?;
        let mut apdu = vec![0; usize::from(u16::from_be_bytes([header[6], header[7]]))];
        stream.read_exact(&mut apdu).await?;
        let client = u16::from_be_bytes([header[2], header[3]]);
        let server = u16::from_be_bytes([header[4], header[5]]);
        let asked = Asked { connection, client, server, apdu, at: Instant::now() };
        log.lock().expect("no panic").push(asked.clone());
        for act in script(&asked) {
            match act {
                Act::Say(apdu) => stream.write_all(&wrapped(server, client, &apdu)).await?,
                Act::SayFrom(server, apdu) => stream.write_all(&wrapped(server, client, &apdu)).await?,
                Act::Raw(octets) => stream.write_all(&octets).await?,
                Act::Pause(time) => tokio::time::sleep(time).await,
                Act::Close => return Ok(()),
            }
        }
    }
}

/// An APDU with the header of the wrapper.
pub(crate) fn wrapped(from: u16, to: u16, apdu: &[u8]) -> Vec<u8> {
    let length = u16::try_from(apdu.len()).expect("short");
    [&1u16.to_be_bytes()[..], &from.to_be_bytes(), &to.to_be_bytes(), &length.to_be_bytes(), apdu].concat()
}

pub(crate) const AARQ: u8 = 0x60;
pub(crate) const RLRQ: u8 = 0x62;
pub(crate) const GET: u8 = 0xC0;

/// The register that this meter has: 12.345 kWh as 12345 Wh.
pub(crate) const ENERGY: &str = "1.0.1.8.0.255";
pub(crate) const SERIAL: &str = "SN77";

/// What a well-behaved meter answers: GET one by one, in blocks never. It has a logical device name, a serial number
/// and one register.
pub(crate) fn well_behaved(asked: &Asked) -> Vec<Act> {
    vec![Act::Say(answer(&asked.apdu))]
}

/// The answer to one request.
pub(crate) fn answer(request: &[u8]) -> Vec<u8> {
    match request[0] {
        AARQ => accepted(),
        RLRQ => vec![0x63, 0x03, 0x80, 0x01, 0x00],
        GET => {
            let data: &[u8] = match (&request[3..11], request[11]) {
                ([0, 1, 0, 0, 42, 0, 0, 255], 2) => b"\x09\x04TEST",
                ([0, 1, 0, 0, 96, 1, 0, 255], 2) => b"\x09\x04SN77",
                ([0, 3, 1, 0, 1, 8, 0, 255], 2) => &[0x06, 0, 0, 0x30, 0x39],
                ([0, 3, 1, 0, 1, 8, 0, 255], 3) => &[0x02, 0x02, 0x0F, 0x00, 0x16, 30],
                _ => return vec![0xC4, 0x01, request[2], 0x01, 4],
            };
            [&[0xC4, 0x01, request[2], 0x00], data].concat()
        }
        // exception-response: service not allowed, service unknown.
        _ => vec![0xD8, 0x01, 0x02],
    }
}

/// AARE: accepted; services GET and blocks with it; PDUs up to 1024 octets.
pub(crate) fn accepted() -> Vec<u8> {
    let mut aare = vec![0x61, 0x29, 0xA1, 0x09, 0x06, 0x07, 0x60, 0x85, 0x74, 0x05, 0x08, 0x01, 0x01];
    aare.extend([0xA2, 0x03, 0x02, 0x01, 0x00, 0xA3, 0x05, 0xA1, 0x03, 0x02, 0x01, 0x00]);
    aare.extend([0xBE, 0x10, 0x04, 0x0E, 0x08, 0x00, 0x06, 0x5F, 0x1F, 0x04, 0x00, 0x00, 0x10, 0x10]);
    aare.extend([0x04, 0x00, 0x00, 0x07]);
    aare
}

/// AARE: rejected for good, by the meter's application, with this diagnostic (13: authentication failure).
pub(crate) fn rejected(diagnostic: u8) -> Vec<u8> {
    let mut aare = vec![0x61, 0x17, 0xA1, 0x09, 0x06, 0x07, 0x60, 0x85, 0x74, 0x05, 0x08, 0x01, 0x01];
    aare.extend([0xA2, 0x03, 0x02, 0x01, 0x01, 0xA3, 0x05, 0xA1, 0x03, 0x02, 0x01, diagnostic]);
    aare
}

/// Whether a request is a GET of the register's value.
pub(crate) fn asks_for_energy(request: &[u8]) -> bool {
    request[0] == GET && request.get(3..12) == Some(&[0, 3, 1, 0, 1, 8, 0, 255, 2])
}
