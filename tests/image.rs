//! The container image: its final stage is made of the static binary, and runs as `docker/compose.demo.yaml` has it.

mod support;

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::mosquitto::{Mosquitto, PATIENCE};
use support::not_run::not_run;
use tempfile::TempDir;

const IMAGE: &str = "localhost/dlms2mqtt:test";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// buildah and podman with a store of their own, emptied on drop.
struct Engine {
    folder: TempDir,
    runtime: &'static str,
}

impl Engine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        // Plain directories need no kernel module; the limits are those that any machine grants.
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{place}/store\"\nrunroot = \"{place}/run\"\n"
        );
        fs::write(folder.path().join("storage.conf"), storage).unwrap();
        let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
        fs::write(folder.path().join("containers.conf"), limits).unwrap();
        Self { folder, runtime: "crun" }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(root())
            .env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"))
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .env("BUILDAH_ISOLATION", "chroot")
            .env_remove("STORAGE_DRIVER");
        command
    }

    fn podman(&self, arguments: &[&str]) -> Output {
        let mut podman = self.command("podman");
        podman.args(["--runtime", self.runtime]).args(arguments).output().expect("podman runs")
    }

    /// Runs a container as the compose files do: nothing may be written, nothing is allowed.
    fn run(&self, arguments: &[&str]) -> Output {
        let usual = ["run", "--pull=never", "--network=host", "--read-only", "--read-only-tmpfs=false"];
        let usual = [&usual[..], &["--cap-drop=all", "--security-opt=no-new-privileges"]].concat();
        self.podman(&[&usual, arguments].concat())
    }

    /// The image's own health check.
    fn is_healthy(&self, container: &str) -> bool {
        self.podman(&["healthcheck", "run", container]).status.success()
    }

    fn inspect(&self, what: &str) -> Value {
        let said = self.podman(&["inspect", what]);
        let said: Value = serde_json::from_slice(&said.stdout).expect("JSON");
        said[0].clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.podman(&["rm", "--all", "--force", "--time=0"]);
        self.podman(&["volume", "rm", "--all", "--force"]);
        let _ = self.command("buildah").args(["rm", "--all"]).output();
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|said| said.status.success())
}

/// The engine with the image in it, or why this machine can't have it.
fn engine_with_image() -> Result<Engine, String> {
    let Some(binary) = std::env::var_os("DLMS2MQTT_STATIC") else {
        return Err("no static binary: DLMS2MQTT_STATIC names none".into());
    };
    let said = Command::new(&binary).arg("--version").output().expect("the static binary starts");
    assert!(said.status.success(), "{said:?}");
    for program in ["buildah", "podman"] {
        if !is_there(program) {
            return Err(format!("{program} is not installed"));
        }
    }
    let mut engine = Engine::new();
    let said = engine.command("buildah").args(["from", "scratch"]).output().unwrap();
    if !said.status.success() {
        return Err(format!("buildah cannot work here: {}", text(&said)));
    }
    let built = engine.command(root().join("docker/image")).arg(&binary).arg(IMAGE).output().unwrap();
    assert!(built.status.success(), "{}", text(&built));
    let mut refusals = String::new();
    for runtime in ["crun", "runc"] {
        engine.runtime = runtime;
        let said = engine.run(&["--rm", IMAGE, "--version"]);
        if said.status.success() {
            return Ok(engine);
        }
        refusals += &format!("{runtime}: {} ", text(&said).trim());
    }
    Err(format!("podman cannot run containers here: {}", refusals.replace('\n', " ")))
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool, log: impl Fn() -> String) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < 2 * PATIENCE, "{what}: {}", log());
        thread::sleep(Duration::from_millis(200));
    }
}

/// Addresses of the loopback, one a service, that no other test uses.
struct Network(u32);

impl Network {
    fn address(&self, service: u8) -> String {
        format!("127.{}.{}.{service}", 100 + self.0 % 100, self.0 / 100 % 250)
    }
}

/// The command line of a service of `docker/compose.demo.yaml`.
fn command_of(service: &str, address: &str) -> Vec<String> {
    let compose = fs::read_to_string(root().join("docker/compose.demo.yaml")).unwrap();
    let compose: serde_yaml::Value = serde_yaml::from_str(&compose).unwrap();
    let command = compose["services"][service]["command"].as_str().expect("a command");
    command.split_whitespace().map(|word| word.replace("0.0.0.0", address)).collect()
}

#[test]
fn the_demo_runs_in_the_image_and_its_health_follows_the_broker() {
    let engine = match engine_with_image() {
        Ok(engine) => engine,
        Err(why) => return not_run(1, &format!("the container image, built and run ({why})")),
    };
    says_what_it_is(&engine.inspect(IMAGE));

    let network = Network(std::process::id());
    let (electricity, water, bridge, broker) =
        (network.address(2), network.address(3), network.address(4), network.address(5));
    // Meters are found in the file of hosts, the broker by asking a name server.
    let names = network.address(6);
    fs::write(engine.path("hosts"), format!("{electricity} electricity\n{water} water\n")).unwrap();
    fs::write(engine.path("resolv.conf"), format!("nameserver {names}\n")).unwrap();
    name_server(&names, &broker);
    let config = fs::read_to_string(root().join("docker/demo/config.yaml")).unwrap();
    assert!(config.contains("0.0.0.0"));
    readable_by_all(&engine.path("config"), &config.replace("0.0.0.0", &bridge));

    for (service, address) in [("electricity", &electricity), ("water", &water)] {
        let command = command_of(service, address);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let started = engine.run(&[&["--detach", "--name", service, IMAGE], &command[..]].concat());
        assert!(started.status.success(), "{}", text(&started));
    }
    let mounted = |file: &str| format!("{}:/etc/{file}:ro", engine.path(file).display());
    let (hosts, resolver) = (mounted("hosts"), mounted("resolv.conf"));
    let config = format!("{}:/etc/dlms2mqtt:ro", engine.path("config").display());
    let files = ["--no-hosts", "--volume", &hosts, "--volume", &resolver];
    let volumes = [&files[..], &["--volume", &config, "--volume", "data:/data"]].concat();
    let started = engine.run(&[&["--detach", "--name", "bridge"], &volumes[..], &[IMAGE]].concat());
    assert!(started.status.success(), "{}", text(&started));
    let log = || text(&engine.podman(&["logs", "bridge"]));

    assert!(!engine.is_healthy("bridge"), "healthy without a broker: {}", log());
    let mut mosquitto = Mosquitto::setup().line(&format!("listener 1883 {broker}")).start();
    wait_for("green with a broker", || engine.is_healthy("bridge"), log);
    for topic in ["feeder/groups/electricity", "water/groups/water"] {
        let snapshot = subscribe(&broker, &format!("dlms/demo/devices/{topic}"));
        assert_eq!(snapshot["status"], "ok", "{snapshot}");
    }
    mosquitto.kill();
    wait_for("red without", || !engine.is_healthy("bridge"), log);
    assert_eq!(engine.inspect("bridge")["State"]["Running"], true, "{}", log());
    mosquitto.restart();
    wait_for("green again", || engine.is_healthy("bridge"), log);

    let stopped = engine.podman(&["stop", "--time=20", "bridge"]);
    assert!(stopped.status.success(), "{}", text(&stopped));
    assert_eq!(engine.inspect("bridge")["State"]["ExitCode"], 0, "{}", log());
    let state = subscribe(&broker, "dlms/demo/bridge/state");
    assert_eq!((&state["state"], &state["reason"]), (&"offline".into(), &"shutdown".into()), "{state}");
}

/// A name server that knows one name.
fn name_server(address: &str, broker: &str) {
    let socket = UdpSocket::bind((address, 53)).expect("the port of name servers");
    let broker: Ipv4Addr = broker.parse().unwrap();
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            // After the head of 12 octets the question: labels, a zero, type and class.
            let question = &query[12..length];
            let end = question.iter().position(|octet| *octet == 0).unwrap() + 5;
            let is_known = question.starts_with(b"\x06broker\x00\x00\x01");
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_known), 0, 0, 0, 0]);
            answer.extend(&question[..end]);
            if is_known {
                // The name of the question, an address, for a minute.
                answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(broker.octets());
            }
            let _ = socket.send_to(&answer, client);
        }
    });
}

fn says_what_it_is(image: &Value) {
    let config = &image["Config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/dlms2mqtt"]));
    assert!(config["Volumes"].get("/data").is_some(), "{config}");
    let check = image["HealthCheck"].get("Test").or_else(|| image["Healthcheck"].get("Test"));
    assert_eq!(check, Some(&serde_json::json!(["CMD", "/dlms2mqtt", "healthcheck"])), "{image}");
    for label in ["title", "description", "licenses", "version", "revision"] {
        let value = config["Labels"][&format!("org.opencontainers.image.{label}")].as_str();
        assert!(value.is_some_and(|value| !value.is_empty()), "{label}");
    }
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
}

/// The first message of a topic.
fn subscribe(broker: &str, topic: &str) -> Value {
    let said =
        Command::new("mosquitto_sub").args(["-h", broker, "-C", "1", "-W", "60", "-t", topic]).output();
    let said = said.expect("mosquitto_sub runs");
    serde_json::from_slice(&said.stdout).unwrap_or_else(|_| panic!("{topic}: {said:?}"))
}

/// A folder with `config.yaml`, for a user that is not the one who runs the test.
fn readable_by_all(folder: &Path, config: &str) {
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("config.yaml"), config).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.join("config.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
}
