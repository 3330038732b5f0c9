//! Mode E scripted before meters that speak HDLC: sign-on, switch, HDLC until DISC, and back.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Who makes the parity bit that the meter's end expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parity {
    /// A port in between: none is seen here.
    Port,
    /// The client: bit 7 is even parity until the switch.
    Client,
}

/// A TCP port of 127.0.0.1 that leads to meters by their addresses of IEC 62056-21. Stops when dropped.
pub(crate) struct OpticalHead {
    port: u16,
    sign_ons: Arc<Mutex<Vec<String>>>,
    _stop: DropGuard,
}

impl OpticalHead {
    /// Before meters: address, and port of 127.0.0.1.
    pub(crate) async fn before(meters: &[(&str, u16)], parity: Parity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let meters: Vec<(String, u16)> =
            meters.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect();
        let sign_ons = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let heard = Arc::clone(&sign_ons);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let head = Head { client, meters: meters.clone(), parity, sign_ons: Arc::clone(&heard) };
                tokio::spawn(head.serve());
            }
        }));
        Self { port, sign_ons, _stop: stop.drop_guard() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Address and selection (`2` speed `2`) of each complete sign-on.
    pub(crate) fn sign_ons(&self) -> Vec<String> {
        self.sign_ons.lock().unwrap().clone()
    }
}

struct Head {
    client: TcpStream,
    meters: Vec<(String, u16)>,
    parity: Parity,
    sign_ons: Arc<Mutex<Vec<String>>>,
}

impl Head {
    async fn serve(mut self) -> std::io::Result<()> {
        loop {
            let request = self.line().await?;
            // What is before it belongs to nobody: frames of a session that nobody closed.
            let Some(at) = request.rfind("/?") else { continue };
            let address = request[at + 2..].trim_end_matches(['!', '\r', '\n']).to_owned();
            let Some((_, port)) = self.meters.iter().find(|(name, _)| *name == address) else { continue };
            let port = *port;
            self.say(b"/PEE5\\2PEER 1\r\n").await?;
            let selection = self.line().await?;
            assert!(selection.starts_with('\x06'), "no selection: {selection:?}");
            self.sign_ons.lock().unwrap().push(format!("{address} {}", selection[1..].trim_end()));
            self.speak_hdlc(port).await?;
        }
    }

    /// A line, parity checked and taken away.
    async fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut octet = self.client.read_u8().await?;
            if self.parity == Parity::Client {
                if !octet.count_ones().is_multiple_of(2) {
                    octet = b'?';
                }
                octet &= 0x7F;
            }
            line.push(octet);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    async fn say(&mut self, text: &[u8]) -> std::io::Result<()> {
        let odd = |octet: u8| u8::from(!octet.count_ones().is_multiple_of(2)) << 7;
        let coded: Vec<u8> = match self.parity {
            Parity::Port => text.to_vec(),
            Parity::Client => text.iter().map(|octet| octet | odd(*octet)).collect(),
        };
        self.client.write_all(&coded).await
    }

    /// Until the answer to DISC.
    async fn speak_hdlc(&mut self, port: u16) -> std::io::Result<()> {
        let mut meter = TcpStream::connect(("127.0.0.1", port)).await?;
        let (mut asked, mut answered) = (vec![0; 4096], vec![0; 4096]);
        let mut leaves = false;
        loop {
            tokio::select! {
                count = self.client.read(&mut asked) => {
                    let count = count?;
                    if count == 0 {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                    leaves |= is_disc(&asked[..count]);
                    meter.write_all(&asked[..count]).await?;
                }
                count = meter.read(&mut answered) => {
                    self.client.write_all(&answered[..count?]).await?;
                    if leaves {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Whether a piece begins with DISC: flag, two octets of format, two addresses, 53.
fn is_disc(octets: &[u8]) -> bool {
    let mut rest = octets.get(3..).unwrap_or_default().iter();
    for _ in 0..2 {
        rest.find(|octet| *octet & 1 == 1);
    }
    rest.next() == Some(&0x53)
}
