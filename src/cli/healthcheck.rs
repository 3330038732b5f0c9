//! `dlms2mqtt healthcheck`: whether the running bridge has its broker, for containers and scripts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::{CommandError, ConfigArgs, runtime};
use crate::bridge::config::Config;
use crate::bridge::control::socket_path;
use crate::error::{Code, Layer, Report};

/// For a whole answer. Two of them are less than the time that container engines give a check.
const TIME: Duration = Duration::from_secs(2);

/// Health names every connection.
const LONGEST_ANSWER: u64 = 4 << 20;

/// Asks over the control socket, and where that is silent over HTTP.
pub(super) fn run(args: &ConfigArgs) -> Result<(), CommandError> {
    let config = args.load()?;
    runtime()?.block_on(ask(&config))
}

async fn ask(config: &Config) -> Result<(), CommandError> {
    let socket = socket_path(&config.state_dir);
    let over_socket = timeout(TIME, ask_socket(&socket)).await;
    if let Ok(Some(answer)) = over_socket {
        return verdict(&answer);
    }
    let Some(http) = &config.http else {
        let message = format!("no bridge answers at {}, and http is off", socket.display());
        return Err(Report::new(Code::LinkDown, Layer::Control, message)
            .with_hint("check that it runs with this configuration, and as this user")
            .into());
    };
    let address = reachable(http.listen);
    let answer =
        timeout(TIME, ask_http(address)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let answer = answer.map_err(|error| {
        let message = format!("the bridge does not answer at {address}: {error}");
        let code = match error.kind() {
            io::ErrorKind::TimedOut => Code::TcpTimeout,
            _ => Code::TcpRefused,
        };
        Report::new(code, Layer::Tcp, message).with_hint("check that it runs with this configuration")
    })?;
    verdict(&answer)
}

fn verdict(answer: &Answer) -> Result<(), CommandError> {
    let text = answer.text.trim_end();
    if answer.is_ready {
        println!("{text}");
        return Ok(());
    }
    let message = format!("the bridge has no broker: {text}");
    Err(Report::new(Code::LinkDown, Layer::Mqtt, message).with_hint("see the bridge's log").into())
}

struct Answer {
    is_ready: bool,
    text: String,
}

/// `None` where nobody listens, or who listens does not say.
async fn ask_socket(path: &Path) -> Option<Answer> {
    let mut stream = UnixStream::connect(path).await.ok()?;
    stream.write_all(b"{\"verb\":\"health_check\"}\n").await.ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_line(&mut line).await.ok()?;
    let answer: Value = serde_json::from_str(&line).ok()?;
    let mqtt = answer.pointer("/data/mqtt")?;
    let is_ready = mqtt.get("connected")?.as_bool()?;
    let why = mqtt.get("error").and_then(Value::as_str).unwrap_or("not connected yet");
    Some(Answer { is_ready, text: if is_ready { "connected" } else { why }.to_owned() })
}

/// HTTP/1.0, so that the answer ends with the connection.
async fn ask_http(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer).await?;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !head.starts_with("HTTP/") || status.len() != 3 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "another program listens there"));
    }
    Ok(Answer { is_ready: status == "200", text: text.to_owned() })
}

/// Who listens on every address is asked on the loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}
