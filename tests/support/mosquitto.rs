//! A real broker and third-party clients for tests: Debian's mosquitto, mosquitto_sub and mosquitto_pub.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a broker may take to start, and a message to arrive, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A broker on a free port of 127.0.0.1, killed on drop.
pub(crate) struct Mosquitto {
    child: Option<Child>,
    directory: TempDir,
    port: u16,
}

/// What the broker is to be like.
#[derive(Default)]
pub(crate) struct Setup {
    lines: String,
    users: Vec<(String, String)>,
    acl: Option<String>,
    port: Option<u16>,
}

impl Setup {
    /// A further line of `mosquitto.conf`, after the plain listener.
    pub(crate) fn line(mut self, line: &str) -> Self {
        writeln!(self.lines, "{line}").unwrap();
        self
    }

    /// Demands a user name and password.
    pub(crate) fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// The text of the access control list.
    pub(crate) fn acl(mut self, text: &str) -> Self {
        self.acl = Some(text.to_owned());
        self
    }

    /// A given port instead of any free one.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Saves every change within a second, so that what was acknowledged survives a kill.
    pub(crate) fn durable(self) -> Self {
        self.line("persistence true")
            .line("autosave_on_changes true")
            .line("autosave_interval 1")
            .line("max_queued_messages 0")
    }

    /// Starts the broker and waits until it accepts connections.
    pub(crate) fn start(self) -> Mosquitto {
        // A broker that saves every change waits for the disk every time; memory spares the tests that.
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.unwrap();
        let port = self.port.unwrap_or_else(free_port);
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut config = String::from("per_listener_settings false\n");
        writeln!(config, "listener {port} 127.0.0.1").unwrap();
        writeln!(config, "persistence_location {}/", directory.path().display()).unwrap();
        // Started by root it would else become a user who may not write here; otherwise ignored.
        writeln!(config, "user root").unwrap();
        if self.users.is_empty() {
            writeln!(config, "allow_anonymous true").unwrap();
        } else {
            for (name, password) in &self.users {
                let status = command("mosquitto_passwd")
                    .args(if Path::new(&path("passwords")).exists() { &["-b"][..] } else { &["-c", "-b"] })
                    .args([path("passwords"), name.clone(), password.clone()])
                    .status();
                assert!(status.expect("mosquitto_passwd runs").success());
            }
            writeln!(config, "password_file {}", path("passwords")).unwrap();
        }
        if let Some(acl) = &self.acl {
            std::fs::write(path("acl"), acl).unwrap();
            writeln!(config, "acl_file {}", path("acl")).unwrap();
        }
        config.push_str(&self.lines);
        std::fs::write(path("mosquitto.conf"), config).unwrap();
        let mut broker = Mosquitto { child: None, directory, port };
        broker.restart();
        broker
    }
}

impl Mosquitto {
    /// A broker that anybody may use and that forgets everything when it stops.
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// A broker to be described.
    pub(crate) fn setup() -> Setup {
        Setup::default()
    }

    /// The port of its plain listener.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its plain listener as a URL.
    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it with the same configuration and port, after killing it if it still runs.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("mosquitto.log"))
            .unwrap();
        let mut child = command("mosquitto")
            .arg("-v")
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("mosquitto does not start ({error}): run scripts/test, which installs it")
            });
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("mosquitto ended with {status}:\n{}", self.log());
            }
            assert!(started.elapsed() < PATIENCE, "mosquitto does not listen:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
        self.child = Some(child);
    }

    /// What the broker wrote so far, over all its restarts.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("mosquitto.log")).unwrap_or_default()
    }

    /// A folder that lives as long as the broker, for certificates and the like.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Publishes with mosquitto_pub: `options` are its own (`-r`, `-V mqttv5`, `-D publish response-topic x` …).
    pub(crate) fn publish(&self, topic: &str, payload: &[u8], options: &[&str]) {
        let mut child = command("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-q", "1", "-t", topic, "-s"])
            .args(options)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("mosquitto_pub does not start ({error}): run scripts/test"));
        child.stdin.take().unwrap().write_all(payload).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Subscribes to `filter` with mosquitto_sub, and returns once the broker has confirmed the subscription.
    pub(crate) fn subscribe(&self, filter: &str) -> Subscriber {
        self.subscribe_with(filter, &["-V", "mqttv5"])
    }

    /// The same with options of mosquitto_sub: `-c`, `-u`, `-P`, `--retain-as-published` …
    pub(crate) fn subscribe_with(&self, filter: &str, options: &[&str]) -> Subscriber {
        Subscriber::start(self.port, filter, options)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One message as mosquitto_sub saw it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    /// As received: 1 for what the broker had stored, or as published with `--retain-as-published`.
    pub(crate) retain: bool,
    pub(crate) qos: u64,
    pub(crate) payload: String,
    /// MQTT 5 properties by mosquitto's names, null when there are none.
    pub(crate) properties: Value,
}

impl Message {
    /// The payload as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.payload)
            .unwrap_or_else(|error| panic!("{} is not JSON ({error}): {}", self.topic, self.payload))
    }
}

/// A running mosquitto_sub, killed on drop. It connects again by itself when the broker returns.
pub(crate) struct Subscriber {
    child: Child,
    seen: Arc<Mutex<Vec<Message>>>,
    subscriptions: Arc<AtomicUsize>,
}

impl Subscriber {
    fn start(port: u16, filter: &str, options: &[&str]) -> Self {
        let mut child = command("stdbuf")
            .args(["-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", &port.to_string()])
            .args(["-q", "1", "-t", filter, "-F", "%j"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("mosquitto_sub does not start ({error}): run scripts/test"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let subscriptions = Arc::new(AtomicUsize::new(0));
        let (sink, counter) = (Arc::clone(&seen), Arc::clone(&subscriptions));
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.starts_with("Subscribed (") {
                    counter.fetch_add(1, Ordering::Relaxed);
                } else if line.starts_with('{') {
                    sink.lock().unwrap().push(parse(&line));
                }
            }
        });
        let subscriber = Self { child, seen, subscriptions };
        let started = Instant::now();
        while subscriber.subscriptions() == 0 {
            assert!(started.elapsed() < PATIENCE, "the broker does not confirm the subscription");
            thread::sleep(Duration::from_millis(5));
        }
        subscriber
    }

    /// How often the broker has confirmed the subscription: once more after each restart.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed)
    }

    /// All messages so far.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.seen.lock().unwrap().clone()
    }

    /// All messages of one topic so far.
    pub(crate) fn of(&self, topic: &str) -> Vec<Message> {
        self.messages().into_iter().filter(|message| message.topic == topic).collect()
    }

    /// Waits until `enough` holds of all messages so far, and returns them.
    pub(crate) async fn until(&self, what: &str, enough: impl Fn(&[Message]) -> bool) -> Vec<Message> {
        let started = Instant::now();
        loop {
            let messages = self.messages();
            if enough(&messages) {
                return messages;
            }
            if started.elapsed() > PATIENCE {
                let last: Vec<_> = messages.iter().rev().take(20).map(|message| &message.topic).collect();
                panic!("no {what} among {} messages, the last of which were {last:?}", messages.len());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Message {
    let json: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("mosquitto_sub wrote {line:?}: {error}"));
    Message {
        topic: json["topic"].as_str().unwrap().to_owned(),
        retain: json["retain"] == 1,
        qos: json["qos"].as_u64().unwrap(),
        payload: json["payload"].as_str().unwrap_or_default().to_owned(),
        properties: json["properties"].clone(),
    }
}

/// Subscribes with MQTT 3.1.1 at any broker on 127.0.0.1.
pub(crate) fn subscribe_at(port: u16, filter: &str) -> Subscriber {
    Subscriber::start(port, filter, &["-V", "mqttv311"])
}

/// A TCP port of 127.0.0.1 that nobody listens on just now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A command found in PATH or where Debian keeps its daemons.
fn command(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|candidate| candidate.exists());
    let program =
        found.unwrap_or_else(|| panic!("{name} is not installed: run scripts/test, which installs it"));
    Command::new(program)
}
