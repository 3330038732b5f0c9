//! What the publisher must know: the broker, the credentials, the limits.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use super::super::topics::Topics;

/// Everything the publisher is told. Start with [`PublisherSettings::new`] and change what differs.
#[derive(Clone, Debug)]
pub struct PublisherSettings {
    /// The gateway's name, part of every payload.
    pub gateway: String,
    /// All topics.
    pub topics: Topics,
    /// Where the broker is.
    pub broker: BrokerUrl,
    /// Which version of MQTT to speak.
    pub protocol: Protocol,
    /// Stable, and unique at the broker.
    pub client_id: String,
    /// User name and password.
    pub credentials: Option<Credentials>,
    /// Trust and identity for `mqtts` and `wss`.
    pub tls: TlsSettings,
    /// Time between pings.
    pub keep_alive: KeepAlive,
    /// Of everything that is published.
    pub qos: Qos,
    /// Whether requests are subscribed to.
    pub requests: Requests,
    /// Most publishes on their way at once; MQTT 5 brokers may ask for fewer.
    pub window: u16,
    /// Time for the TCP connection, TLS and CONNACK together.
    pub connect_timeout: Duration,
    /// Pause between attempts to connect.
    pub backoff: BackoffSettings,
    /// Where the published retained topics are remembered; `None`: in memory alone.
    pub state_dir: Option<PathBuf>,
}

impl PublisherSettings {
    /// Settings with the defaults of the configuration: any protocol version, QoS 1, 30 s keep-alive.
    #[must_use]
    pub fn new(gateway: &str, topics: Topics, broker: BrokerUrl) -> Self {
        Self {
            gateway: gateway.to_owned(),
            topics,
            broker,
            protocol: Protocol::Auto,
            client_id: format!("dlms2mqtt-{gateway}"),
            credentials: None,
            tls: TlsSettings::default(),
            keep_alive: KeepAlive::DEFAULT,
            qos: Qos::AtLeastOnce,
            requests: Requests::Subscribed,
            window: 100,
            connect_timeout: Duration::from_secs(10),
            backoff: BackoffSettings::default(),
            state_dir: None,
        }
    }
}

/// Which version of MQTT to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 5, and 3.1.1 with a broker that does not know it.
    #[default]
    Auto,
    /// This version and no other.
    Only(Version),
}

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 5.0
    V5,
    /// MQTT 3.1.1
    V311,
}

impl Version {
    /// As the configuration and `bridge/info` write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V5 => "5",
            Self::V311 => "3.1.1",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Quality of service of what is published. Exactly once is not offered: `seq` lets consumers drop duplicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qos {
    /// 0: what was on its way when a connection broke is lost.
    AtMostOnce,
    /// 1: nothing is lost, some arrives twice.
    #[default]
    AtLeastOnce,
}

/// Whether `bridge/request/#` is subscribed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requests {
    /// It is.
    #[default]
    Subscribed,
    /// Nobody may ask anything.
    Off,
}

/// A user name and perhaps a password.
#[derive(Clone)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password. Never shown.
    pub password: Option<Zeroizing<String>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        f.debug_struct("Credentials").field("username", &self.username).field("password", &password).finish()
    }
}

/// Trust and identity. Files are read at each connection, so that renewed certificates need no restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate and its chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file of its private key.
    pub key_file: Option<PathBuf>,
    /// The name the broker's certificate must carry, where it is not the host of the URL.
    pub server_name: Option<String>,
}

/// Keep-alive: 5 s to 65,535 s, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive(Duration);

/// Keep-alive out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("keep_alive must be between 5 s and 65535 s")]
pub struct KeepAliveError;

impl KeepAlive {
    /// 30 s.
    pub const DEFAULT: Self = Self(Duration::from_secs(30));

    /// The keep-alive, of which parts of a second are dropped.
    ///
    /// # Errors
    /// Under 5 s or over 65,535 s.
    pub fn new(time: Duration) -> Result<Self, KeepAliveError> {
        match time.as_secs() {
            seconds @ 5..=65_535 => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(KeepAliveError),
        }
    }

    /// Whole seconds.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

/// Pauses between attempts to connect: doubled from `first` to `longest`, each shortened by a random part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(60) }
    }
}

/// How the broker is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `mqtt://`: MQTT over TCP.
    Mqtt,
    /// `mqtts://`: MQTT over TLS.
    Mqtts,
    /// `ws://`: MQTT over a websocket.
    Ws,
    /// `wss://`: MQTT over a websocket over TLS.
    Wss,
}

impl Scheme {
    /// Whether the connection is protected by TLS.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// Where the broker is: `mqtts://broker.example:8883`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// How.
    pub scheme: Scheme,
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path of a websocket, `/` where none was given.
    pub path: String,
}

/// Why a text is no broker's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BrokerUrlError {
    /// Another scheme, or none.
    #[error("a broker's URL begins with mqtt://, mqtts://, ws:// or wss://")]
    Scheme,
    /// No host, or one with forbidden characters.
    #[error("the URL has no valid host")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the URL's port is not a number from 1 to 65535")]
    Port,
    /// `user:password@`: secrets stand in `username` and `password`, where they are not shown.
    #[error("the URL holds a user name: use mqtt.username and mqtt.password")]
    Credentials,
    /// Only websockets have one.
    #[error("only ws:// and wss:// have a path")]
    Path,
}

impl BrokerUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// See [`BrokerUrlError`], which never repeats the text.
    pub fn parse(url: &str) -> Result<Self, BrokerUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(BrokerUrlError::Scheme)?;
        let scheme = [Scheme::Mqtt, Scheme::Mqtts, Scheme::Ws, Scheme::Wss]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known.as_str()))
            .ok_or(BrokerUrlError::Scheme)?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err(BrokerUrlError::Credentials);
        }
        let websocket = matches!(scheme, Scheme::Ws | Scheme::Wss);
        if !websocket && path != "/" {
            return Err(BrokerUrlError::Path);
        }
        if path.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(BrokerUrlError::Path);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => scheme.default_port(),
            Some(text) => match text.parse() {
                Ok(0) | Err(_) => return Err(BrokerUrlError::Port),
                Ok(port) => port,
            },
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || !host.chars().all(fits) {
            return Err(BrokerUrlError::Host);
        }
        Ok(Self { scheme, host: host.to_owned(), port, path: path.to_owned() })
    }
}

/// `broker:1883` → broker, 1883; `[::1]:1883` → ::1, 1883.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), BrokerUrlError> {
    if let Some(inside) = authority.strip_prefix('[') {
        let (host, rest) = inside.split_once(']').ok_or(BrokerUrlError::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(BrokerUrlError::Host),
        };
    }
    match authority.split_once(':') {
        // An IPv6 address without brackets: where its port begins is anybody's guess.
        Some((_, port)) if port.contains(':') => Err(BrokerUrlError::Host),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let path = if self.path == "/" { "" } else { &self.path };
        write!(f, "{}://{open}{}{close}:{}{path}", self.scheme.as_str(), self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written() {
        for (url, written) in [
            ("mqtt://broker.example", "mqtt://broker.example:1883"),
            ("mqtts://broker.example:8884/", "mqtts://broker.example:8884"),
            ("MQTT://10.0.0.1:1", "mqtt://10.0.0.1:1"),
            ("ws://b:9001/mqtt?x=1", "ws://b:9001/mqtt?x=1"),
            ("wss://b", "wss://b:443"),
            ("mqtt://[fd00::1]:1883", "mqtt://[fd00::1]:1883"),
            ("mqtts://[::1]", "mqtts://[::1]:8883"),
        ] {
            assert_eq!(BrokerUrl::parse(url).unwrap().to_string(), written, "{url}");
        }
        assert_eq!(BrokerUrl::parse("mqtt://[fd00::1]").unwrap().host, "fd00::1");
    }

    #[test]
    fn other_texts_are_refused() {
        for (url, error) in [
            ("broker.example", BrokerUrlError::Scheme),
            ("http://b", BrokerUrlError::Scheme),
            ("mqtt://", BrokerUrlError::Host),
            ("mqtt://:1883", BrokerUrlError::Host),
            ("mqtt://fd00::1", BrokerUrlError::Host),
            ("mqtt://[::1", BrokerUrlError::Host),
            ("mqtt://[::1]x", BrokerUrlError::Host),
            ("mqtt://a b", BrokerUrlError::Host),
            ("mqtt://b:0", BrokerUrlError::Port),
            ("mqtt://b:65536", BrokerUrlError::Port),
            ("mqtt://b:", BrokerUrlError::Port),
            ("mqtt://user:secret@b", BrokerUrlError::Credentials),
            ("mqtt://b/path", BrokerUrlError::Path),
            ("ws://b/a b", BrokerUrlError::Path),
        ] {
            assert_eq!(BrokerUrl::parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn keep_alive_stays_where_the_client_library_does_not_panic() {
        assert_eq!(KeepAlive::new(Duration::from_millis(4_999)), Err(KeepAliveError));
        assert_eq!(KeepAlive::new(Duration::from_secs(65_536)), Err(KeepAliveError));
        assert_eq!(KeepAlive::new(Duration::from_millis(5_500)).unwrap().duration(), Duration::from_secs(5));
    }

    #[test]
    fn passwords_are_not_shown() {
        let password = Some(Zeroizing::new("hunter2".to_owned()));
        let shown = format!("{:?}", Credentials { username: "u".into(), password });
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
    }
}
