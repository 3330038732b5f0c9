//! Requests of the gateway's owner over `state_dir/control.sock`: one JSON object a line, with its verb; one a line
//! come the answers.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{self, WeakSender};
use tokio::task::AbortHandle;

use super::dispatch::{Arrived, Caller, ControlPlane, ReplyTo};
use super::request::{Refusal, Request, object};
use crate::bridge::publisher::LARGEST_REQUEST;
use crate::error::{Code, Layer, Report};

/// The socket's name in the state directory.
const FILE: &str = "control.sock";

/// Connections at a time.
const MOST_CONNECTIONS: usize = 16;

/// Answers that may wait for a slow reader.
const ANSWERS: usize = 64;

/// Time for a reader to take an answer.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// Where the socket of a bridge with this state directory is.
#[must_use]
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

/// The socket, removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Listens. Only the owner may connect: the directory is closed to others, and so is the socket.
    ///
    /// # Errors
    /// The file system's.
    pub fn bind(state_dir: &Path) -> io::Result<Self> {
        let path = socket_path(state_dir);
        // Who holds the state directory's lock may clear away what a crash has left.
        if fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket()) {
            fs::remove_file(&path)?;
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves connections. Runs for ever. Where there are too many, one more ends the oldest that waits for nothing.
    pub async fn serve(self, plane: Arc<ControlPlane>) {
        let mut connections: VecDeque<Connection> = VecDeque::new();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    connections.retain(|connection| !connection.serving.is_finished());
                    if connections.len() >= MOST_CONNECTIONS {
                        let Some(oldest) = connections.iter().position(Connection::is_idle) else { continue };
                        if let Some(connection) = connections.remove(oldest) {
                            connection.serving.abort();
                        }
                    }
                    connections.push_back(Connection::serve(Arc::clone(&plane), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot accept");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

/// Somebody at the socket.
struct Connection {
    serving: AbortHandle,
    answers: WeakSender<Bytes>,
}

impl Connection {
    fn serve(plane: Arc<ControlPlane>, stream: UnixStream) -> Self {
        let (answers, outgoing) = mpsc::channel(ANSWERS);
        let weak = answers.downgrade();
        let serving = tokio::spawn(async move { serve_stream(&plane, stream, answers, outgoing).await });
        Self { serving: serving.abort_handle(), answers: weak }
    }

    /// Whether no request of it is being served: beside the reader, each of those can answer.
    fn is_idle(&self) -> bool {
        self.answers.strong_count() <= 1
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn serve_stream(
    plane: &Arc<ControlPlane>,
    stream: UnixStream,
    answers: mpsc::Sender<Bytes>,
    mut outgoing: mpsc::Receiver<Bytes>,
) {
    let (read, mut write) = stream.into_split();
    let writing = tokio::spawn(async move {
        while let Some(answer) = outgoing.recv().await {
            let line = [&answer[..], b"\n"].concat();
            match tokio::time::timeout(WRITE_TIME, write.write_all(&line)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    });
    let mut lines = BufReader::new(read);
    while let Some(line) = next_line(&mut lines).await {
        let (verb, request) = match line {
            Line::Whole(line) if line.trim_ascii().is_empty() => continue,
            Line::Whole(line) => take_apart(&line),
            Line::TooLong => {
                let message = format!("the request has over {LARGEST_REQUEST} bytes");
                let report = Report::new(Code::RequestTooLarge, Layer::Control, message);
                (String::new(), Err(Refusal { transaction: None, report }))
            }
        };
        let arrived = Arrived { verb, request, caller: Caller::Socket, expiry: None };
        plane.take(arrived, ToLine(answers.clone())).await;
    }
    // What is still being served is answered before the writer ends.
    drop(answers);
    let _ = writing.await;
}

fn take_apart(line: &[u8]) -> (String, Result<Request, Refusal>) {
    let mut request = match object(line) {
        Ok(request) => request,
        Err(refusal) => return (String::new(), Err(refusal)),
    };
    match request.remove("verb") {
        Some(Value::String(verb)) => {
            let request = Request::take_apart(&verb, request);
            (verb, request)
        }
        _ => {
            let report = super::request::invalid("verb: the name of a verb is expected");
            (String::new(), Err(Refusal { transaction: None, report }))
        }
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// The next line; `None` at the end. Of one that is too long nothing is kept.
async fn next_line<R: AsyncRead + Unpin>(lines: &mut BufReader<R>) -> Option<Line> {
    let mut line = Vec::new();
    let most = LARGEST_REQUEST as u64 + 1;
    let read = (&mut *lines).take(most).read_until(b'\n', &mut line).await.ok()?;
    if read == 0 {
        return None;
    }
    if line.last() == Some(&b'\n') || line.len() <= LARGEST_REQUEST {
        return Some(Line::Whole(line));
    }
    loop {
        line.clear();
        let read = (&mut *lines).take(most).read_until(b'\n', &mut line).await.ok()?;
        if read == 0 || line.last() == Some(&b'\n') {
            return Some(Line::TooLong);
        }
    }
}

/// A line to whoever is at the other end.
struct ToLine(mpsc::Sender<Bytes>);

impl ReplyTo for ToLine {
    async fn reply(&self, answer: Bytes, _until: Instant) -> Result<(), Report> {
        // Who has gone needs no answer.
        let _ = self.0.send(answer).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_the_next_one_is_found() {
        let mut text = vec![b'x'; LARGEST_REQUEST * 3];
        text.extend(b"\n{\"verb\":\"read\"}\nlast");
        let mut lines = BufReader::new(&text[..]);
        assert!(matches!(next_line(&mut lines).await, Some(Line::TooLong)));
        let Some(Line::Whole(line)) = next_line(&mut lines).await else { panic!("a line") };
        let (verb, request) = take_apart(&line);
        assert_eq!((verb.as_str(), request.is_ok()), ("read", true));
        assert!(matches!(next_line(&mut lines).await, Some(Line::Whole(line)) if line == b"last"));
        assert!(next_line(&mut lines).await.is_none());
    }

    #[test]
    fn a_line_must_name_its_verb() {
        for (line, code) in [
            (&b"{}"[..], Code::InvalidArgument),
            (b"{\"verb\":1}", Code::InvalidArgument),
            (b"read", Code::Malformed),
            (b"\xFF", Code::Malformed),
        ] {
            assert_eq!(take_apart(line).1.unwrap_err().report.code, code);
        }
    }

    #[tokio::test]
    async fn the_socket_is_the_owners_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let first = ControlSocket::bind(folder.path()).unwrap();
        let path = socket_path(folder.path());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::mem::forget(first);
        let again = ControlSocket::bind(folder.path()).unwrap();
        drop(again);
        assert!(!path.exists());
    }
}
