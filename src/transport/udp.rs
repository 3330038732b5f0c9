//! UDP with the wrapper, presented as a stream: one datagram is one wrapper PDU (IEC 62056-47).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UdpSocket, lookup_host};

use super::error::TransportError;
use crate::wire::wrapper::{HEADER, Pdu};

/// The longest datagram there is.
const LONGEST: usize = 65_535;

/// Where the peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpSettings {
    /// Name or address, v4 or v6.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

/// A socket that hears one peer alone. Datagrams that are no wrapper PDU are dropped: they would spoil the stream.
#[derive(Debug)]
pub struct UdpPort {
    socket: UdpSocket,
    address: String,
    datagram: Box<[u8]>,
    /// What of `datagram` has not been read yet.
    unread: std::ops::Range<usize>,
    dropped: u64,
}

impl UdpPort {
    /// Opens a socket to the first address of the host.
    ///
    /// # Errors
    /// `Resolve`, `Unreachable`. Whether anyone is there shows when the first answer comes, or does not.
    pub async fn open(settings: &UdpSettings) -> Result<Self, TransportError> {
        let address = super::tcp::authority(&settings.host, settings.port);
        let unresolved = |reason: String| TransportError::Resolve { host: settings.host.clone(), reason };
        let mut candidates = lookup_host((settings.host.as_str(), settings.port))
            .await
            .map_err(|error| unresolved(error.to_string()))?;
        let peer = candidates.next().ok_or_else(|| unresolved("the name has no address".to_owned()))?;
        let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let connected = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(peer).await.map(|()| socket)
        };
        match connected.await {
            Ok(socket) => Ok(Self {
                socket,
                address,
                datagram: vec![0; LONGEST].into_boxed_slice(),
                unread: 0..0,
                dropped: 0,
            }),
            Err(error) => Err(TransportError::Unreachable { address, reason: error.to_string() }),
        }
    }

    /// Datagrams that were no wrapper PDU.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// An ICMP message that nobody listens there is the answer to what was sent before; the next write brings it.
    fn translate(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            io::Error::other(TransportError::Refused { address: self.address.clone() })
        } else {
            error
        }
    }
}

impl AsyncRead for UdpPort {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let port = self.get_mut();
        while port.unread.is_empty() {
            let mut datagram = ReadBuf::new(&mut port.datagram);
            let outcome = ready!(port.socket.poll_recv(cx, &mut datagram));
            let length = datagram.filled().len();
            outcome.map_err(|error| port.translate(error))?;
            if Pdu::decode(&port.datagram[..length]).is_ok() {
                port.unread = 0..length;
            } else {
                port.dropped += 1;
                tracing::debug!(
                    address = port.address,
                    length,
                    "a datagram that is no wrapper PDU is dropped"
                );
            }
        }
        let count = port.unread.len().min(buf.remaining());
        let end = port.unread.start + count;
        buf.put_slice(&port.datagram[port.unread.start..end]);
        port.unread.start = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for UdpPort {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let port = self.get_mut();
        let pdu = &buf[..first_pdu(buf)];
        port.socket.poll_send(cx, pdu).map_err(|error| port.translate(error))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Octets of the first PDU of a stream; all of it where the header says nothing of use.
fn first_pdu(stream: &[u8]) -> usize {
    let length = match stream.first_chunk::<HEADER>() {
        Some(&[.., high, low]) => HEADER + usize::from(u16::from_be_bytes([high, low])),
        None => stream.len(),
    };
    length.min(stream.len())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Duration, timeout};

    use super::*;
    use crate::error::Code;

    const FIRST: &[u8] = &[0, 1, 0, 16, 0, 1, 0, 3, 0x61, 0x01, 0x02];
    const SECOND: &[u8] = &[0, 1, 0, 16, 0, 1, 0, 1, 0x63];

    async fn pair() -> (UdpPort, UdpSocket) {
        let meter = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = meter.local_addr().unwrap().port();
        let near = UdpPort::open(&UdpSettings { host: "localhost".into(), port }).await;
        let near = match near {
            Ok(near) if near.socket.peer_addr().unwrap().is_ipv4() => near,
            _ => UdpPort::open(&UdpSettings { host: "127.0.0.1".into(), port }).await.unwrap(),
        };
        meter.connect(near.socket.local_addr().unwrap()).await.unwrap();
        (near, meter)
    }

    #[tokio::test]
    async fn each_pdu_is_a_datagram() {
        let (mut near, meter) = pair().await;
        near.write_all(&[FIRST, SECOND].concat()).await.unwrap();
        let mut datagram = [0; 64];
        assert_eq!(meter.recv(&mut datagram).await.unwrap(), FIRST.len());
        assert_eq!(&datagram[..FIRST.len()], FIRST);
        assert_eq!(meter.recv(&mut datagram).await.unwrap(), SECOND.len());

        meter.send(SECOND).await.unwrap();
        meter.send(b"\x00\x01\x00").await.unwrap();
        meter.send(&FIRST[..10]).await.unwrap();
        meter.send(b"").await.unwrap();
        meter.send(FIRST).await.unwrap();
        let mut received = vec![0; SECOND.len() + FIRST.len()];
        timeout(Duration::from_secs(5), near.read_exact(&mut received)).await.unwrap().unwrap();
        assert_eq!(received, [SECOND, FIRST].concat());
        assert_eq!(near.dropped(), 3);
    }

    #[tokio::test]
    async fn a_long_pdu_is_read_in_parts() {
        let (mut near, meter) = pair().await;
        let mut pdu = vec![0, 1, 0, 16, 0, 1, 0x40, 0];
        pdu.resize(HEADER + 0x4000, 0xAB);
        meter.send(&pdu).await.unwrap();
        let mut received = vec![0; pdu.len()];
        timeout(Duration::from_secs(5), near.read_exact(&mut received)).await.unwrap().unwrap();
        assert_eq!(received, pdu);
    }

    #[tokio::test]
    async fn nobody_there_is_a_refusal() {
        let (mut near, meter) = pair().await;
        drop(meter);
        near.write_all(SECOND).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let error = TransportError::from(near.write_all(SECOND).await.unwrap_err());
        assert_eq!(error.report().code, Code::TcpRefused);
    }
}
