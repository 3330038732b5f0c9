//! Modems that call the gateway, each with a meter behind it, and datagrams that reach one.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A call that lasts until it is dropped, or the gateway hangs up.
pub(crate) struct Call {
    over: CancellationToken,
    _hang_up: DropGuard,
}

impl Call {
    /// Calls a port of 127.0.0.1 as soon as that is listened on, says `heartbeat`, and connects through to a meter.
    pub(crate) async fn through(gateway: u16, heartbeat: &[u8], meter: u16) -> Self {
        let mut line = dial(gateway).await;
        line.write_all(heartbeat).await.unwrap();
        let mut meter = TcpStream::connect(("127.0.0.1", meter)).await.unwrap();
        Self::lasting(async move {
            let _ = tokio::io::copy_bidirectional(&mut line, &mut meter).await;
        })
    }

    /// Calls and connects through to a meter, and loses its network after so many octets from it.
    pub(crate) async fn cut_after(octets: u64, gateway: u16, meter: u16) -> Self {
        let (mut from_gateway, mut to_gateway) = dial(gateway).await.into_split();
        let meter = TcpStream::connect(("127.0.0.1", meter)).await.unwrap();
        let (from_meter, mut to_meter) = meter.into_split();
        Self::lasting(async move {
            let mut answers = from_meter.take(octets);
            tokio::select! {
                _ = tokio::io::copy(&mut from_gateway, &mut to_meter) => {}
                _ = tokio::io::copy(&mut answers, &mut to_gateway) => {}
            }
        })
    }

    /// Calls, and says nothing whatever it is asked.
    pub(crate) async fn mute(gateway: u16) -> Self {
        let mut line = dial(gateway).await;
        Self::lasting(async move {
            let _ = tokio::io::copy(&mut line, &mut tokio::io::sink()).await;
        })
    }

    fn lasting(work: impl Future<Output = ()> + Send + 'static) -> Self {
        let (hang_up, over) = (CancellationToken::new(), CancellationToken::new());
        let (ended, hung_up) = (over.clone(), hang_up.clone());
        tokio::spawn(async move {
            hung_up.run_until_cancelled_owned(work).await;
            ended.cancel();
        });
        Self { over, _hang_up: hang_up.drop_guard() }
    }

    /// Waits until the gateway hangs up.
    pub(crate) async fn ended(&self, patience: Duration) {
        tokio::time::timeout(patience, self.over.cancelled()).await.expect("the gateway hangs up");
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }
}

async fn dial(port: u16) -> TcpStream {
    for _ in 0..200 {
        if let Ok(line) = TcpStream::connect(("127.0.0.1", port)).await {
            return line;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody listens on {port}");
}

/// A UDP port of 127.0.0.1 before a meter that speaks the wrapper over TCP: one PDU, one datagram.
pub(crate) async fn udp_before(meter: u16) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut meter = TcpStream::connect(("127.0.0.1", meter)).await.unwrap();
        let mut datagram = vec![0; 65_536];
        while let Ok((count, peer)) = socket.recv_from(&mut datagram).await {
            meter.write_all(&datagram[..count]).await.unwrap();
            let mut pdu = vec![0; 8];
            meter.read_exact(&mut pdu).await.unwrap();
            let length = usize::from(u16::from_be_bytes([pdu[6], pdu[7]]));
            pdu.resize(8 + length, 0);
            meter.read_exact(&mut pdu[8..]).await.unwrap();
            socket.send_to(&pdu, peer).await.unwrap();
        }
    });
    port
}
