//! A TCP proxy between a client and a server that holds back what the server says, or cuts every connection.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Stops when dropped.
pub(crate) struct Proxy {
    port: u16,
    answers: watch::Sender<Answers>,
    cut: watch::Sender<u64>,
    /// What each client sent, by connection.
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
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
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (stopped, answering, cutting, log) =
            (stop.clone(), answers.clone(), cut.clone(), Arc::clone(&sent));
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (answers, mut cut) = (answering.subscribe(), cutting.subscribe());
                let (stopped, log) = (stopped.clone(), Arc::clone(&log));
                log.lock().unwrap().push(Vec::new());
                let index = log.lock().unwrap().len() - 1;
                tokio::spawn(async move {
                    tokio::select! {
                        () = forward(client, server, answers, (&log, index)) => {}
                        _ = cut.changed() => {}
                        () = stopped.cancelled() => {}
                    }
                });
            }
        }));
        Self { port, answers, cut, sent, _stop: stop.drop_guard() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What clients sent so far, for each of their connections.
    pub(crate) fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.lock().unwrap().clone()
    }

    /// How many connections there were so far.
    pub(crate) fn connections(&self) -> usize {
        self.sent.lock().unwrap().len()
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

async fn forward(
    client: TcpStream,
    server: u16,
    mut answers: watch::Receiver<Answers>,
    (log, index): (&Mutex<Vec<Vec<u8>>>, usize),
) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = from_client.read(&mut buffer).await?;
            if read == 0 {
                return std::io::Result::Ok(());
            }
            log.lock().unwrap()[index].extend(&buffer[..read]);
            to_server.write_all(&buffer[..read]).await?;
        }
    };
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
