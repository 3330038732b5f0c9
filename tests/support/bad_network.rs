//! A TCP proxy that does what modems and mobile networks do.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How octets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Whole,
    /// Answers come octet by octet.
    SingleOctets,
    /// What is asked comes back before its answer.
    Echoing,
}

/// What happens to every connection that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Nothing passes any more, and nobody says so.
    Stall,
    /// It is reset.
    Reset,
    /// The meter's side ends; ours may still be written to.
    HalfClose,
}

/// Stops when dropped.
pub(crate) struct BadNetwork {
    port: u16,
    manner: watch::Sender<Manner>,
    mishap: broadcast::Sender<Mishap>,
    accepted: watch::Receiver<usize>,
    _stop: DropGuard,
}

impl BadNetwork {
    /// Before a port of 127.0.0.1.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (manner, mishap) = (watch::Sender::new(Manner::Whole), broadcast::Sender::new(8));
        let (counting, accepted) = watch::channel(0);
        let stop = CancellationToken::new();
        let (manners, mishaps) = (manner.clone(), mishap.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                counting.send_modify(|count| *count += 1);
                tokio::spawn(pass(client, server, manners.subscribe(), mishaps.subscribe()));
            }
        }));
        Self { port, manner, mishap, accepted, _stop: stop.drop_guard() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn be(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    pub(crate) fn suffer(&self, mishap: Mishap) {
        let _ = self.mishap.send(mishap);
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        *self.accepted.borrow()
    }
}

async fn pass(
    mut client: TcpStream,
    server: u16,
    manner: watch::Receiver<Manner>,
    mut mishaps: broadcast::Receiver<Mishap>,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    client.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; 4096], vec![0; 4096]);
    loop {
        tokio::select! {
            mishap = mishaps.recv() => match mishap {
                Ok(Mishap::Stall) | Err(_) => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    return Ok(());
                }
                Ok(Mishap::Reset) => {
                    // What was not read when a socket closes makes a reset of it; this makes sure.
                    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
                    return Ok(());
                }
                Ok(Mishap::HalfClose) => {
                    client.shutdown().await?;
                    let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
                    return Ok(());
                }
            },
            count = client.read(&mut asked) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                if *manner.borrow() == Manner::Echoing {
                    client.write_all(&asked[..count]).await?;
                }
                server.write_all(&asked[..count]).await?;
            }
            count = server.read(&mut answered) => {
                let count = count?;
                if count == 0 {
                    return Ok(());
                }
                if *manner.borrow() == Manner::SingleOctets {
                    for octet in &answered[..count] {
                        client.write_u8(*octet).await?;
                        tokio::task::yield_now().await;
                    }
                } else {
                    client.write_all(&answered[..count]).await?;
                }
            }
        }
    }
}
