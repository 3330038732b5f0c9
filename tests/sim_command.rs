//! `dlms2mqtt sim` as people start it: what it says, what others read from it, how it ends.

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use support::peer_client::{Outcome, PeerClient};

const BINARY: &str = env!("CARGO_BIN_EXE_dlms2mqtt");

struct Sim {
    child: Child,
    line: String,
}

impl Sim {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["sim", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
        Self { child, line }
    }

    fn port(&self) -> u16 {
        let address = self.line.strip_prefix("listening on 127.0.0.1:").expect(&self.line);
        address.split(':').next().and_then(|port| port.parse().ok()).expect(&self.line)
    }

    /// Ends it as a service manager does; its exit code, and everything that it wrote.
    fn terminate(mut self) -> (Option<i32>, String) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill");
        assert!(killed.success());
        let mut written = self.line;
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        stdout.expect("piped").read_to_string(&mut written).expect("text");
        stderr.expect("piped").read_to_string(&mut written).expect("text");
        (self.child.wait().expect("it ends").code(), written)
    }
}

#[test]
fn a_secured_meter_is_read_and_ends_on_a_signal() {
    let sim = Sim::start(&[
        "--interface",
        "wrapper",
        "--preset",
        "gas",
        "--serial-number",
        "777",
        "--client-address",
        "1",
        "--authentication",
        "high_gmac",
        "--security",
        "authentication_encryption",
        "--block-cipher-key",
        "00112233445566778899AABBCCDDEEFF",
        "--authentication-key",
        "FFEEDDCCBBAA99887766554433221100",
        "--password",
        "not to be seen",
        "--log-level",
        "trace",
    ]);
    assert!(sim.line.ends_with(": gas meter 00000777, wrapper, server 1, client 1\n"), "{}", sim.line);
    let keys = ["--ekey", "00112233445566778899aabbccddeeff", "--akey", "ffeeddccbbaa99887766554433221100"];
    let modes =
        ["--interface", "wrapper", "--client-address", "1", "--auth", "gmac", "--security", "authencr"];
    for client in [PeerClient::Gurux, PeerClient::DlmsCosem] {
        let counter = if client == PeerClient::Gurux { "1000" } else { "100000" };
        let arguments = [&modes[..], &keys, &["--invocation-counter", counter]].concat();
        let answers = client.read(sim.port(), &arguments);
        let volume = answers.iter().find(|answer| answer.obis == "7.0.3.0.0.255" && answer.attribute == 2);
        assert!(matches!(volume.map(|answer| &answer.outcome), Some(Outcome::Data { .. })), "{volume:?}");
    }
    let (code, written) = sim.terminate();
    assert_eq!(code, Some(0), "{written}");
    for secret in ["not to be seen", "00112233445566", "ffeeddccbbaa"] {
        assert!(!written.to_lowercase().contains(secret), "{secret} was written");
    }
}

#[test]
fn arguments_that_make_no_sense() {
    for (arguments, words) in [
        (&["--preset", "steam"][..], "electricity, gas, water and heat"),
        (&["--corrupt-fcs-every", "2", "--interface", "wrapper"], "needs --interface hdlc"),
        (&["--server-address", "1/2/3"], "LOGICAL/PHYSICAL"),
        (&["--client-address", "200"], "0 to 127"),
        (&["--security", "encryption", "--block-cipher-key", "C0FFEE"], "a key has 16 or 32 bytes"),
        (
            &[
                "--security",
                "encryption",
                "--security-suite",
                "2",
                "--block-cipher-key",
                "00112233445566778899AABBCCDDEEFF",
            ],
            "suite 2",
        ),
        (&["--password", "0xC0FFE"], "pairs of hexadecimal digits"),
        (&["--time-zone", "Mars/Olympus"], "no zone"),
    ] {
        let output = Command::new(BINARY).args(["sim", "--listen", "127.0.0.1:0"]).args(arguments).output();
        let output = output.expect("the command starts");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {complaint}");
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("C0FFE"), "{complaint}");
    }
}
