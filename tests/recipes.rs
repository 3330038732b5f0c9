//! What is shipped beside the program - service, package, compose and cluster files - is read by those who would read it.

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use serde::Deserialize as _;
use serde_yaml::Value;
use support::mosquitto::{PATIENCE, free_port};
use support::not_run::not_run;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Vec<Value> {
    let text = read(path);
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{path}: {error}")))
        .collect()
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let unit = read("packaging/systemd/dlms2mqtt.service");
    // The program need not be installed to have its unit verified.
    let unit = unit.replace("/usr/bin/dlms2mqtt", env!("CARGO_BIN_EXE_dlms2mqtt"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dlms2mqtt.service");
    fs::write(&file, unit).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output();
    let Ok(verified) = verified else {
        return not_run(1, "the systemd unit by systemd-analyze (not installed)");
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    // It also complains of units of the machine itself.
    let of_ours: Vec<&str> = said.lines().filter(|line| line.contains("dlms2mqtt")).collect();
    assert!(verified.status.success() && of_ours.is_empty(), "{said}");
    let exposure = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(exposure.status.success(), "{}", String::from_utf8_lossy(&exposure.stdout));
}

#[test]
fn shells_can_read_the_scripts() {
    for (shell, script) in [
        ("sh", "packaging/openwrt/dlms2mqtt/files/dlms2mqtt.init"),
        ("bash", "packaging/openwrt/ipk"),
        ("sh", "docker/rootfs"),
        ("sh", "docker/mosquitto/start"),
        ("bash", "docker/image"),
        ("bash", "scripts/test"),
        ("bash", ".ci/run"),
    ] {
        let read = Command::new(shell).arg("-n").arg(root().join(script)).output().unwrap();
        assert!(read.status.success(), "{script}: {}", String::from_utf8_lossy(&read.stderr));
    }
}

/// procd's functions, which write down what they are called with.
const PROCD: &str = r#"
procd_open_instance() { echo open; }
procd_close_instance() { echo close; }
procd_set_param() { echo "$@"; }
procd_send_signal() { echo "signal $@"; }
"#;

#[test]
fn the_init_script_starts_only_what_is_valid() {
    let script = read("packaging/openwrt/dlms2mqtt/files/dlms2mqtt.init");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let script = script
        .replace("/usr/bin/dlms2mqtt", env!("CARGO_BIN_EXE_dlms2mqtt"))
        .replace("/etc/dlms2mqtt/config.yaml", config.to_str().unwrap());
    let call = |function: &str| {
        let program = format!("{PROCD}\n{script}\n{function}");
        let said = Command::new("sh").args(["-c", &program]).output().unwrap();
        (said.status.success(), String::from_utf8(said.stdout).unwrap())
    };
    fs::copy(root().join("packaging/openwrt/dlms2mqtt/files/config.yaml"), &config).unwrap();
    let (started, said) = call("start_service");
    assert!(
        started && said.contains("open") && said.contains("run --config") && said.ends_with("close\n"),
        "{said}"
    );
    let (reloaded, said) = call("reload_service");
    assert!(reloaded && said.contains("signal dlms2mqtt * HUP"), "{said}");
    fs::write(&config, "gateway: [").unwrap();
    let (started, said) = call("start_service");
    assert!(!started && !said.contains("open"), "{said}");
    let (reloaded, said) = call("reload_service");
    assert!(!reloaded && !said.contains("signal"), "{said}");
}

/// What `tar -tv` lists of an archive that is given as bytes: mode, owner and name of each file.
fn listing(archive: &[u8]) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines = String::from_utf8(tar(&["-tzv"], archive)).unwrap();
    lines.lines().map(words).map(|words| format!("{} {} {}", words[0], words[1], words[5])).collect()
}

fn tar(arguments: &[&str], archive: &[u8]) -> Vec<u8> {
    let mut tar = Command::new("tar");
    let mut tar = tar.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = tar.stdin.take().unwrap();
    let archive = archive.to_vec();
    let writer = thread::spawn(move || input.write_all(&archive));
    let output = tar.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}

#[test]
fn a_package_for_opkg_holds_what_the_router_needs() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("binary");
    fs::write(&binary, "\x7fELF").unwrap();
    let pack = |directory: &str| {
        let output = folder.path().join(directory);
        let script = root().join("packaging/openwrt/ipk");
        let packed = Command::new(script).arg(&binary).arg("arm_cortex-a7").arg(&output).output().unwrap();
        assert!(packed.status.success(), "{packed:?}");
        let package = String::from_utf8(packed.stdout).unwrap();
        let name = format!("dlms2mqtt_{}-1_arm_cortex-a7.ipk", env!("CARGO_PKG_VERSION"));
        assert_eq!(Path::new(package.trim()), output.join(name));
        fs::read(package.trim()).unwrap()
    };
    let package = pack("one");
    assert!(package == pack("two"), "the same input makes the same package");
    assert_eq!(tar(&["-xzO", "./debian-binary"], &package), b"2.0\n");
    let data = tar(&["-xzO", "./data.tar.gz"], &package);
    let files: Vec<String> = listing(&data).into_iter().filter(|file| !file.ends_with('/')).collect();
    assert_eq!(
        files,
        [
            "-rw------- 0/0 ./etc/dlms2mqtt/config.yaml",
            "-rwxr-xr-x 0/0 ./etc/init.d/dlms2mqtt",
            "-rwxr-xr-x 0/0 ./usr/bin/dlms2mqtt"
        ]
    );
    let control = tar(&["-xzO", "./control.tar.gz"], &package);
    let control_file = String::from_utf8(tar(&["-xzO", "./control"], &control)).unwrap();
    for line in ["Package: dlms2mqtt", "Architecture: arm_cortex-a7", "Depends: ca-bundle"] {
        assert!(control_file.lines().any(|it| it == line), "{line}: {control_file}");
    }
    assert_eq!(tar(&["-xzO", "./conffiles"], &control), b"/etc/dlms2mqtt/config.yaml\n");
    for script in ["./postinst", "./prerm"] {
        assert!(listing(&control).contains(&format!("-rwxr-xr-x 0/0 {script}")), "{script}");
        // Where an image is put together there is no service to enable or to stop.
        let text = String::from_utf8(tar(&["-xzO", script], &control)).unwrap();
        let ran = Command::new("sh").args(["-c", &text]).env("IPKG_INSTROOT", "/image").output().unwrap();
        assert!(ran.status.success() && ran.stderr.is_empty(), "{script}: {ran:?}");
    }
}

#[test]
fn containers_have_few_rights_and_state_of_their_own() {
    for file in ["docker/compose.yaml", "docker/compose.demo.yaml"] {
        let compose = &yaml(file)[0];
        let bridge = &compose["services"]["bridge"];
        assert_eq!(bridge["read_only"], true, "{file}");
        assert_eq!(bridge["cap_drop"][0], "ALL", "{file}");
        let volumes: Vec<&str> =
            bridge["volumes"].as_sequence().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(volumes.contains(&"data:/data"), "{file}: {volumes:?}");
        for volume in volumes.iter().filter(|volume| volume.starts_with("./config")) {
            assert!(volume.ends_with(":ro"), "{file}: {volume}");
        }
        for (name, service) in compose["services"].as_mapping().unwrap() {
            let Some(secrets) = service["secrets"].as_sequence() else { continue };
            for secret in secrets {
                assert!(!compose["secrets"][secret].is_null(), "{file}: {name:?} wants {secret:?}");
            }
        }
    }
    let cluster = yaml("packaging/kubernetes/dlms2mqtt.yaml");
    let kinds: Vec<&str> = cluster.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, ["ConfigMap", "PersistentVolumeClaim", "StatefulSet", "Service"]);
    let pod = &cluster[2]["spec"]["template"];
    assert_eq!(cluster[2]["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]);
    assert_eq!(cluster[3]["spec"]["selector"], pod["metadata"]["labels"]);
    assert_eq!(cluster[2]["spec"]["replicas"], 1);
    let bridge = &pod["spec"]["containers"][0];
    assert_eq!(bridge["livenessProbe"]["httpGet"]["path"], "/healthz");
    assert_eq!(bridge["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert_eq!(bridge["securityContext"]["readOnlyRootFilesystem"], true);
    let mounts = bridge["volumeMounts"].as_sequence().unwrap();
    let volumes = pod["spec"]["volumes"].as_sequence().unwrap();
    for mount in mounts {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount:?}");
    }
}

struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The broker of `docker/compose.yaml`, started by its own script on this machine's mosquitto.
#[test]
fn the_composed_broker_lets_the_gateway_write_and_the_reader_read() {
    let folder = tempfile::tempdir().unwrap();
    // Started as root mosquitto becomes another user, who has to get here.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let port = free_port();
    for name in ["secrets", "data"] {
        fs::create_dir(place(name)).unwrap();
        fs::set_permissions(place(name), fs::Permissions::from_mode(0o777)).unwrap();
    }
    // As a container has it that is started again; its owner is another where the test may say so.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::write(place("passwords"), "gateway:an earlier one\n").unwrap();
    fs::set_permissions(place("passwords"), fs::Permissions::from_mode(0o400)).unwrap();
    let _ = chown(place("passwords"), Some(65534), Some(65534));
    fs::write(place("secrets/mqtt_gateway"), "0123456789abcdef").unwrap();
    fs::write(place("secrets/mqtt_reader"), "fedcba9876543210\n").unwrap();
    fs::copy(root().join("docker/mosquitto/acl"), place("acl")).unwrap();
    let config = read("docker/mosquitto/mosquitto.conf")
        .replace("listener 1883", &format!("listener {port} 127.0.0.1"))
        .replace("/tmp/passwords", &place("passwords"))
        .replace("/mosquitto/config/acl", &place("acl"))
        .replace("/mosquitto/data", &place("data"));
    fs::write(place("mosquitto.conf"), config).unwrap();
    let path = format!("{}:/usr/local/sbin:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let broker = Command::new("sh")
        .arg(root().join("docker/mosquitto/start"))
        .env("PATH", &path)
        .env("SECRETS", place("secrets"))
        .env("PASSWORDS", place("passwords"))
        .env("CONFIG", place("mosquitto.conf"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _broker = Broker(broker);

    let client = |program: &str, user: &str, password: &str, further: &[&str]| {
        let port = port.to_string();
        let mut client = Command::new(program);
        client.args(["-h", "127.0.0.1", "-p", &port, "-V", "5", "-q", "1", "-u", user, "-P", password]);
        client.args(further).output().unwrap()
    };
    let publish = |user: &str, password: &str, topic: &str| {
        let further = ["-t", topic, "-m", "{}", "-r"];
        let said = client("mosquitto_pub", user, password, &further);
        said.status.success() && !String::from_utf8_lossy(&said.stderr).to_lowercase().contains("not authori")
    };
    let gateway = ("gateway", "0123456789abcdef");
    let reader = ("reader", "fedcba9876543210");
    let started = Instant::now();
    while !publish(gateway.0, gateway.1, "dlms/substation-7/bridge/state") {
        assert!(started.elapsed() < PATIENCE, "the gateway may write");
        thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(!publish(gateway.0, reader.1, "dlms/substation-7/bridge/state"), "wrong password");
    assert!(!publish("nobody", "x", "dlms/substation-7/bridge/state"), "unknown user");
    assert!(
        !publish(reader.0, reader.1, "dlms/substation-7/bridge/request/restart"),
        "the reader may not write"
    );
    assert!(!publish(gateway.0, gateway.1, "elsewhere"), "only below its base topic");
    let read = client("mosquitto_sub", reader.0, reader.1, &["-t", "dlms/#", "-C", "1", "-W", "20"]);
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), "{}");
    assert!(Path::new(&place("passwords")).exists());
    assert_eq!(fs::metadata(place("passwords")).unwrap().permissions().mode() & 0o777, 0o600);
}
