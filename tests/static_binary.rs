//! The static binary as it is released: small, quick to start, light when idle, with DNS, TLS and serial ports in it.
//! `scripts/test` builds it and names it in `DLMS2MQTT_STATIC`.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use support::mosquitto::{Mosquitto, PATIENCE, free_port};
use support::not_run::not_run;

const MOST_BYTES: u64 = 8_000_000;
const LONGEST_START: Duration = Duration::from_millis(50);
const MOST_RESIDENT_KIB: u64 = 10 << 10;

/// The binary, unless there is none; then that is recorded.
fn binary(checks: &str) -> Option<PathBuf> {
    let found = std::env::var_os("DLMS2MQTT_STATIC").map(PathBuf::from);
    if found.is_none() {
        not_run(1, &format!("the static binary: {checks} (DLMS2MQTT_STATIC names none)"));
    }
    found
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Running {
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
}

fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn it_is_small_stands_alone_and_starts_at_once() {
    let Some(binary) = binary("size and start") else { return };
    let size = fs::metadata(&binary).unwrap().len();
    assert!(size < MOST_BYTES, "{size} bytes");
    let linked = Command::new("ldd").arg(&binary).output().unwrap();
    let linked =
        String::from_utf8_lossy(&linked.stdout).into_owned() + &String::from_utf8_lossy(&linked.stderr);
    assert!(linked.contains("statically linked") || linked.contains("not a dynamic executable"), "{linked}");
    // The machine may be busy with other tests: the best of many says what the program needs.
    let best = (0..50).map(|_| {
        let started = Instant::now();
        assert!(Command::new(&binary).arg("--version").stdout(Stdio::null()).status().unwrap().success());
        started.elapsed()
    });
    let best = best.min().unwrap();
    assert!(best < LONGEST_START, "{best:?}");
    eprintln!("{size} bytes, started and ended in {best:?}");
}

/// A broker that wants TLS, and the authority that vouches for it.
fn tls_broker(folder: &Path) -> (Mosquitto, u16) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name.push(DnType::CommonName, "test authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    let port = free_port();
    let file = |name: &str| folder.join(name).display().to_string();
    let broker = Mosquitto::setup()
        .line(&format!("listener {port}"))
        .line(&format!("certfile {}", file("server.pem")))
        .line(&format!("keyfile {}", file("server.key")))
        .start();
    (broker, port)
}

/// A serial port with a simulated meter at its other end.
fn serial_meter(binary: &Path, folder: &Path) -> (Running, Running, PathBuf) {
    let port = free_port();
    let sim = start(
        Command::new(binary)
            .args(["sim", "--interface", "hdlc", "--client-address", "1"])
            .args(["--listen", &format!("127.0.0.1:{port}")]),
    );
    wait_for("the meter listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let device = folder.join("ttyS0");
    let link = format!("PTY,raw,echo=0,link={}", device.display());
    let line = start(Command::new("socat").args([&link, &format!("TCP:127.0.0.1:{port}")]));
    wait_for("the serial port is there", || device.exists().then_some(()));
    (sim, line, device)
}

#[test]
fn it_resolves_names_speaks_tls_and_serial_and_idles_light() {
    let Some(binary) = binary("DNS, TLS, serial ports and memory") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (broker, tls) = tls_broker(folder.path());
    let (_sim, _line, device) = serial_meter(&binary, folder.path());
    let http = free_port();
    let config = json!({
        "gateway": "static",
        "state_dir": folder.path().join("state"),
        "mqtt": {
            "url": format!("mqtts://localhost:{tls}"),
            "tls": { "ca_file": folder.path().join("ca.pem") },
        },
        "http": { "listen": format!("127.0.0.1:{http}") },
        "connections": [{ "name": "rs485", "type": "serial", "device": device, "baud_rate": 115_200 }],
        "devices": [{ "name": "m", "connection": "rs485", "interface": "hdlc", "client_address": 1 }],
        "groups": [{
            "name": "g", "interval": 1, "devices": ["m"],
            "values": [{ "name": "energy", "obis": "1.0.1.8.0.255", "class": "register" }],
        }],
    });
    let file = folder.path().join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    let bridge = start(Command::new(&binary).arg("run").arg("--config").arg(&file));
    let said = Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &broker.port().to_string(), "-W", "60", "-C", "3"])
        .args(["-t", "dlms/static/devices/m/groups/g"])
        .output()
        .unwrap();
    let snapshots = String::from_utf8(said.stdout).unwrap();
    assert_eq!(snapshots.lines().count(), 3, "{snapshots}");
    for snapshot in snapshots.lines() {
        let snapshot: Value = serde_json::from_str(snapshot).unwrap();
        assert_eq!(snapshot["status"], "ok", "{snapshot}");
    }
    let healthy = Command::new(&binary).arg("healthcheck").arg("--config").arg(&file).status().unwrap();
    assert!(healthy.success());
    let resident = resident_kib(bridge.0.id());
    assert!(resident < MOST_RESIDENT_KIB, "{resident} KiB");
    eprintln!("{resident} KiB resident, polling a serial meter each second over TLS");
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says so");
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}
