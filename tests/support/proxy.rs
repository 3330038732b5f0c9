//! A TCP proxy between a client and a server that holds back what the server says, or cuts every connection.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Stops when dropped.
pub(crate) struct Proxy {
    port: u16,
    answers: watch::Sender<Answers>,
    cut: watch::Sender<u64>,
    _stop: DropGuard,
}

/// What becomes of the bytes from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    Pass,
    Hold,
}

impl Proxy {
    /// Listens on a free port and forwards to `server` on 127.0.0.1.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answers, cut) = (watch::Sender::new(Answers::Pass), watch::Sender::new(0));
        let stop = CancellationToken::new();
        let (stopped, answering, cutting) = (stop.clone(), answers.clone(), cut.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (answers, mut cut) = (answering.subscribe(), cutting.subscribe());
                let stopped = stopped.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = forward(client, server, answers) => {}
                        _ = cut.changed() => {}
                        () = stopped.cancelled() => {}
                    }
                });
            }
        }));
        Self { port, answers, cut, _stop: stop.drop_guard() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Holds or passes what the server says, on all connections from now on.
    pub(crate) fn answers(&self, answers: Answers) {
        self.answers.send_replace(answers);
    }

    /// Ends every connection at once.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

async fn forward(client: TcpStream, server: u16, mut answers: watch::Receiver<Answers>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    let answering = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = from_server.read(&mut buffer).await?;
            if read == 0 || answers.wait_for(|answers| *answers == Answers::Pass).await.is_err() {
                return std::io::Result::Ok(());
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    tokio::select! {
        _ = asking => {}
        _ = answering => {}
    }
}
