//! `dlms2mqtt healthcheck`: whether the running bridge has its broker, for containers and scripts.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::{CommandError, ConfigArgs};
use crate::error::{Code, Layer, Report};

/// Less than the time that container engines give a check.
const TIME: Duration = Duration::from_secs(3);

/// An answer is a few lines.
const LONGEST_ANSWER: u64 = 16 * 1024;

/// Asks `/readyz`.
pub(super) fn run(args: &ConfigArgs) -> Result<(), CommandError> {
    let config = args.load()?;
    let Some(http) = &config.http else {
        let message = "there is nobody to ask: the configuration has no http";
        return Err(Report::new(Code::ConfigInvalid, Layer::Config, message)
            .with_hint("add http: { listen: 127.0.0.1:9187 }")
            .into());
    };
    let address = reachable(http.listen);
    let answer = ask(address).map_err(|error| {
        let message = format!("the bridge does not answer at {address}: {error}");
        Report::new(Code::TcpRefused, Layer::Tcp, message)
            .with_hint("check that it runs with this configuration")
    })?;
    if answer.is_ready {
        println!("{}", answer.text.trim_end());
        return Ok(());
    }
    let message = format!("the bridge has no broker: {}", answer.text.trim_end());
    Err(Report::new(Code::LinkDown, Layer::Mqtt, message).with_hint("see the bridge's log").into())
}

struct Answer {
    is_ready: bool,
    text: String,
}

/// HTTP/1.0, so that the answer ends with the connection.
fn ask(address: SocketAddr) -> io::Result<Answer> {
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
