//! Several meters on one line: what is said to one is heard by all.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A TCP port of 127.0.0.1 that leads to all of them, as a modem before a two-wire line does. Stops when dropped.
pub(crate) struct LineHub {
    port: u16,
    _stop: DropGuard,
}

impl LineHub {
    /// A line with the meters that listen on these ports of 127.0.0.1.
    pub(crate) async fn of(meters: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let meters = meters.to_vec();
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            let mut lines = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                lines.spawn(serve(client, meters.clone()));
            }
        }));
        Self { port, _stop: stop.drop_guard() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

async fn serve(client: TcpStream, meters: Vec<u16>) -> std::io::Result<()> {
    let (mut from_client, to_client) = client.into_split();
    let to_client = Arc::new(Mutex::new(to_client));
    let mut to_meters = Vec::new();
    let mut answering = JoinSet::new();
    for port in meters {
        let (mut from_meter, to_meter) = TcpStream::connect(("127.0.0.1", port)).await?.into_split();
        to_meters.push(to_meter);
        let to_client = Arc::clone(&to_client);
        answering.spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok(count @ 1..) = from_meter.read(&mut buffer).await {
                let _ = to_client.lock().await.write_all(&buffer[..count]).await;
            }
        });
    }
    let mut buffer = vec![0; 4096];
    loop {
        let count = from_client.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        for to_meter in &mut to_meters {
            to_meter.write_all(&buffer[..count]).await?;
        }
    }
}
