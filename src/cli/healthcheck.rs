//! `dlms2mqtt healthcheck`: whether the running bridge has its broker, for containers and scripts.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{CommandError, ConfigArgs};
use crate::error::{Code, Layer, Report};

/// Less than the time that container engines give a check.
const TIME: Duration = Duration::from_secs(3);

/// Health names every connection.
const LONGEST_ANSWER: u64 = 4 << 20;

/// In the state directory.
const SOCKET: &str = "control.sock";

/// Asks over the control socket, and where that is silent over HTTP.
pub(super) fn run(args: &ConfigArgs) -> Result<(), CommandError> {
    let config = args.load()?;
    if let Some(answer) = ask_socket(&config.state_dir.join(SOCKET)) {
        return verdict(&answer);
    }
    let Some(http) = &config.http else {
        let message =
            format!("no bridge answers at {}/{SOCKET}, and http is off", config.state_dir.display());
        return Err(Report::new(Code::LinkDown, Layer::Control, message)
            .with_hint("check that it runs with this configuration, and as this user")
            .into());
    };
    let address = reachable(http.listen);
    let answer = ask_http(address).map_err(|error| {
        let message = format!("the bridge does not answer at {address}: {error}");
        Report::new(Code::TcpRefused, Layer::Tcp, message)
            .with_hint("check that it runs with this configuration")
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
fn ask_socket(path: &Path) -> Option<Answer> {
    let mut stream = UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(TIME)).ok()?;
    stream.set_write_timeout(Some(TIME)).ok()?;
    stream.write_all(b"{\"verb\":\"health_check\"}\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_line(&mut line).ok()?;
    let answer: Value = serde_json::from_str(&line).ok()?;
    let mqtt = answer.pointer("/data/mqtt")?;
    let is_ready = mqtt.get("connected")?.as_bool()?;
    let why = mqtt.get("error").and_then(Value::as_str).unwrap_or("not connected yet");
    Some(Answer { is_ready, text: if is_ready { "connected" } else { why }.to_owned() })
}

/// HTTP/1.0, so that the answer ends with the connection.
fn ask_http(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, TIME)?;
    stream.set_read_timeout(Some(TIME))?;
    stream.set_write_timeout(Some(TIME))?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
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
