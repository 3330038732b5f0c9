//! TLS to a real broker, and each way in which certificates can be wrong told apart.

mod support;

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use dlms2mqtt::bridge::outbox::{Limits, MemoryOutbox};
use dlms2mqtt::bridge::publisher::{
    BackoffSettings, BrokerUrl, MqttState, Protocol, Publisher, PublisherSettings, TlsSettings, Version,
};
use dlms2mqtt::bridge::topics::Topics;
use dlms2mqtt::error::Code;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use support::mosquitto::{Mosquitto, PATIENCE, free_port};

/// Validity of a test certificate.
#[derive(Clone, Copy)]
enum Valid {
    Now,
    Past,
    Future,
}

/// A certificate authority and the files it signs.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// PEM files of one certificate.
struct Identity {
    cert: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn sign(&self, name: &str, host: &str, valid: Valid) -> Identity {
        let key = KeyPair::generate().unwrap();
        let cert = params(name, host, valid).signed_by(&key, &self.issuer).unwrap();
        Identity::write(self.folder.path(), name, &cert, &key)
    }
}

impl Identity {
    /// Its own authority, as `openssl req -x509` makes them.
    fn self_signed(folder: &Path, name: &str, host: &str, valid: Valid) -> Self {
        let mut params = params(name, host, valid);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Self::write(folder, name, &cert, &key)
    }

    fn write(folder: &Path, name: &str, cert: &Certificate, key: &KeyPair) -> Self {
        let path = |what: &str| folder.join(format!("{name}.{what}.pem"));
        let identity = Self { cert: path("cert"), key: path("key") };
        fs::write(&identity.cert, cert.pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }
}

fn params(name: &str, host: &str, valid: Valid) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = match valid {
        Valid::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2090, 1, 1)),
        Valid::Past => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
        Valid::Future => (date_time_ymd(2080, 1, 1), date_time_ymd(2090, 1, 1)),
    };
    params
}

/// A broker with a TLS listener, and the port of that.
fn broker(server: &Identity, further: &[&str]) -> (Mosquitto, u16) {
    let port = free_port();
    let mut setup = Mosquitto::setup()
        .line(&format!("listener {port} 127.0.0.1"))
        .line(&format!("certfile {}", server.cert.display()))
        .line(&format!("keyfile {}", server.key.display()));
    for line in further {
        setup = setup.line(line);
    }
    let broker = setup.start();
    // Websockets listen a little later than the plain port.
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < PATIENCE, "no TLS listener:\n{}", broker.log());
        thread::sleep(Duration::from_millis(10));
    }
    (broker, port)
}

fn start(url: &str, tls: TlsSettings) -> Publisher {
    let topics = Topics::new("dlms/g").unwrap();
    let mut settings = PublisherSettings::new("g", topics, BrokerUrl::parse(url).unwrap());
    settings.tls = tls;
    settings.backoff =
        BackoffSettings { first: Duration::from_millis(100), longest: Duration::from_millis(400) };
    let outbox = MemoryOutbox::new(Limits::default());
    Publisher::spawn(settings, Box::new(outbox), CancellationToken::new())
}

fn trusting(ca: &Path) -> TlsSettings {
    TlsSettings { ca_file: Some(ca.to_owned()), ..TlsSettings::default() }
}

/// The first thing to happen: a connection, or the code of its failure.
async fn outcome(publisher: &Publisher) -> Result<Version, Code> {
    let mut states = publisher.handle.mqtt_state();
    let settled = |state: &MqttState| state.connected || state.last_error.is_some();
    let state = timeout(PATIENCE, states.wait_for(settled)).await.expect("an outcome").unwrap().clone();
    match state.last_error {
        Some(report) => {
            assert!(!report.hint.is_empty());
            Err(report.code)
        }
        None => Ok(state.protocol.unwrap()),
    }
}

#[tokio::test]
async fn a_trusted_broker_is_reached_over_tls_and_websockets_in_both_versions() {
    let authority = Authority::new();
    let server = authority.sign("server", "localhost", Valid::Now);
    let (_plain, tls_port) = broker(&server, &[]);
    let (_websockets, wss_port) = broker(&server, &["protocol websockets"]);
    for version in [Version::V5, Version::V311] {
        for url in [format!("mqtts://localhost:{tls_port}"), format!("wss://localhost:{wss_port}/mqtt")] {
            let topics = Topics::new("dlms/g").unwrap();
            let mut settings = PublisherSettings::new("g", topics, BrokerUrl::parse(&url).unwrap());
            settings.tls = trusting(&authority.file());
            settings.protocol = Protocol::Only(version);
            let outbox = Box::new(MemoryOutbox::new(Limits::default()));
            let publisher = Publisher::spawn(settings, outbox, CancellationToken::new());
            assert_eq!(outcome(&publisher).await, Ok(version), "{url}");
            assert!(publisher.handle.drain(PATIENCE).await.said_offline, "{url}");
        }
    }
}

#[tokio::test]
async fn each_fault_of_the_brokers_certificate_has_its_code() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (identity, ca, code) in [
        (authority.sign("stranger", "localhost", Valid::Now), stranger.file(), Code::TlsCa),
        (authority.sign("expired", "localhost", Valid::Past), authority.file(), Code::TlsExpired),
        (authority.sign("early", "localhost", Valid::Future), authority.file(), Code::TlsExpired),
        (authority.sign("other", "other.example", Valid::Now), authority.file(), Code::TlsName),
    ] {
        for (scheme, line) in [("mqtts", "protocol mqtt"), ("wss", "protocol websockets")] {
            let (_broker, port) = broker(&identity, &[line]);
            let publisher = start(&format!("{scheme}://localhost:{port}"), trusting(&ca));
            assert_eq!(outcome(&publisher).await, Err(code), "{scheme}");
        }
    }
}

/// What `ca_file` lists is trusted as the broker itself too; its validity and its name count as ever.
#[tokio::test]
async fn a_broker_may_have_a_certificate_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name, host, valid| Identity::self_signed(folder.path(), name, host, valid);
    let good = of("good", "localhost", Valid::Now);
    for (identity, ca, expected) in
        [(&good, &good, Ok(Version::V5)), (&good, &of("good-too", "localhost", Valid::Now), Err(Code::TlsCa))]
    {
        let (_broker, port) = broker(identity, &[]);
        let publisher = start(&format!("mqtts://localhost:{port}"), trusting(&ca.cert));
        assert_eq!(outcome(&publisher).await, expected, "{}", ca.cert.display());
    }
    for (name, host, valid, code) in [
        ("past", "localhost", Valid::Past, Code::TlsExpired),
        ("future", "localhost", Valid::Future, Code::TlsExpired),
        ("other", "other.example", Valid::Now, Code::TlsName),
    ] {
        let own = of(name, host, valid);
        let (_broker, port) = broker(&own, &[]);
        let url = format!("mqtts://localhost:{port}");
        assert_eq!(outcome(&start(&url, trusting(&own.cert))).await, Err(code), "{name}");
    }
}

#[tokio::test]
async fn the_configured_server_name_is_the_one_that_counts() {
    let authority = Authority::new();
    let (_broker, port) = broker(&authority.sign("other", "other.example", Valid::Now), &[]);
    let named =
        |name: &str| TlsSettings { server_name: Some(name.to_owned()), ..trusting(&authority.file()) };
    let url = format!("mqtts://localhost:{port}");
    assert_eq!(outcome(&start(&url, named("other.example"))).await, Ok(Version::V5));
    assert_eq!(outcome(&start(&url, named("localhost"))).await, Err(Code::TlsName));
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_the_broker_wants_one() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.sign("server", "localhost", Valid::Now);
    let ca = format!("cafile {}", authority.file().display());
    for tls_version in ["tlsv1.2", "tlsv1.3"] {
        let further = [ca.as_str(), "require_certificate true", &format!("tls_version {tls_version}")];
        let (_broker, port) = broker(&server, &further);
        let url = format!("mqtts://localhost:{port}");
        let with = |identity: &Identity| TlsSettings {
            cert_file: Some(identity.cert.clone()),
            key_file: Some(identity.key.clone()),
            ..trusting(&authority.file())
        };
        let good = authority.sign("client", "gateway", Valid::Now);
        assert_eq!(outcome(&start(&url, with(&good))).await, Ok(Version::V5), "{tls_version}");
        let without = trusting(&authority.file());
        assert_eq!(outcome(&start(&url, without)).await, Err(Code::TlsClientCert), "{tls_version}");
        let unknown = stranger.sign("client", "gateway", Valid::Now);
        assert_eq!(outcome(&start(&url, with(&unknown))).await, Err(Code::TlsClientCert), "{tls_version}");
        let expired = authority.sign("old", "gateway", Valid::Past);
        assert_eq!(outcome(&start(&url, with(&expired))).await, Err(Code::TlsClientCert), "{tls_version}");
    }
}

#[tokio::test]
async fn a_file_at_fault_is_named_and_renewed_files_need_no_restart() {
    let authority = Authority::new();
    let (broker, port) = broker(&authority.sign("server", "localhost", Valid::Now), &[]);
    let url = format!("mqtts://localhost:{port}");
    let missing = broker.directory().join("later.pem");
    let publisher = start(&url, trusting(&missing));
    assert_eq!(outcome(&publisher).await, Err(Code::TlsCa));
    let message = publisher.handle.mqtt_state().borrow().last_error.clone().unwrap().message;
    assert!(message.contains("later.pem"), "{message}");
    fs::copy(authority.file(), &missing).unwrap();
    let mut states = publisher.handle.mqtt_state();
    timeout(PATIENCE, states.wait_for(|state| state.connected)).await.unwrap().unwrap();

    let key = authority.sign("client", "gateway", Valid::Now).key;
    let not_a_cert = TlsSettings {
        cert_file: Some(key.clone()),
        key_file: Some(key.clone()),
        ..trusting(&authority.file())
    };
    let publisher = start(&url, not_a_cert);
    assert_eq!(outcome(&publisher).await, Err(Code::TlsClientCert));
    let half = TlsSettings { cert_file: Some(key), ..trusting(&authority.file()) };
    assert_eq!(outcome(&start(&url, half)).await, Err(Code::TlsClientCert));
}

#[tokio::test]
async fn a_client_certificate_is_renewed_without_a_restart() {
    let authority = Authority::new();
    let server = authority.sign("server", "localhost", Valid::Now);
    let ca = format!("cafile {}", authority.file().display());
    let (_broker, port) = broker(&server, &[&ca, "require_certificate true"]);
    let (old, new) =
        (authority.sign("old", "gateway", Valid::Past), authority.sign("new", "gateway", Valid::Now));
    let tls = TlsSettings {
        cert_file: Some(old.cert.clone()),
        key_file: Some(old.key.clone()),
        ..trusting(&authority.file())
    };
    let publisher = start(&format!("mqtts://localhost:{port}"), tls);
    assert_eq!(outcome(&publisher).await, Err(Code::TlsClientCert));
    // One after the other, as a renewal does it: the pair that does not fit in between does no harm.
    fs::copy(&new.key, &old.key).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!publisher.handle.mqtt_state().borrow().connected);
    fs::copy(&new.cert, &old.cert).unwrap();
    let mut states = publisher.handle.mqtt_state();
    timeout(PATIENCE, states.wait_for(|state| state.connected)).await.unwrap().unwrap();
}

#[tokio::test]
async fn tls_to_a_plain_port_and_plain_to_a_tls_port_are_explained() {
    let authority = Authority::new();
    let (broker, port) = broker(&authority.sign("server", "localhost", Valid::Now), &[]);
    let urls = [format!("mqtts://localhost:{}", broker.port()), format!("mqtt://localhost:{port}")];
    for url in urls {
        let publisher = start(&url, trusting(&authority.file()));
        assert_eq!(outcome(&publisher).await, Err(Code::TcpClosed), "{url}");
    }
}
