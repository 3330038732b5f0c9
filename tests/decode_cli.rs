//! `dlms2mqtt decode` as a person runs it: what is printed where, and with which exit code.

use assert_cmd::Command;
use serde_json::Value;

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

fn decode(arguments: &[&str], stdin: &str) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"));
    let output = command.arg("decode").args(arguments).write_stdin(stdin).output().expect("runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_frame_as_an_argument() {
    let outcome = decode(&["7EA0070321930F017E"], "");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
    let json = outcome.json();
    assert_eq!(
        (&json["v"], &json["errors"], &json["frames"][0]["name"]),
        (&1.into(), &0.into(), &"hdlc".into())
    );
    let spread = decode(&["7E", "A0", "07", "03", "21", "93", "0F", "01", "7E"], "");
    assert_eq!(spread.json()["frames"], json["frames"]);
}

#[test]
fn a_log_on_standard_input() {
    let outcome = decode(&["-"], "opened port\nTX: 7E A0 07 03 21 93 0F 01 7E\nRX: C4 01 C1 00 11 05\n");
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("line 1 ignored"), "{}", outcome.stderr);
    assert_eq!(outcome.json()["frames"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_could_not_be_decoded() {
    let outcome = decode(&["C401C100 07"], "");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("DECODE"), "{}", outcome.stderr);
    let json = outcome.json();
    assert_eq!(json["errors"], 1);
    assert_eq!(
        json.pointer("/frames/0/children/1/children/0/error/kind"),
        Some(&"unknown_tag".into()),
        "{json}"
    );
}

#[test]
fn nothing_to_decode() {
    for arguments in [&["be careful"][..], &["-"], &[]] {
        let outcome = decode(arguments, "nothing here\n");
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(64), ""), "{arguments:?}");
        assert_ne!(outcome.stderr, "");
    }
}

#[test]
fn keys_stay_secret() {
    let (key, authentication_key) = ("000102030405060708090a0b0c0d0e0f", "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf");
    let apdu = "c81e3001234567411312ff935a47566827c467bc7d825c3be4a77c3fcc056b6b";
    let title = "4d4d4d0000bc614e";
    let arguments = ["--key", key, "--auth-key", authentication_key, "--system-title", title, apdu, key];
    let outcome = decode(&arguments, "");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("tag ok"));
    for secret in [key, authentication_key] {
        assert!(!outcome.stdout.contains(secret) && !outcome.stderr.contains(secret));
    }
    let behind = decode(&[apdu, "--key", key, "--system-title", title, "--auth-key", authentication_key], "");
    assert!(behind.stdout.contains("tag ok"), "options may stand behind: {}", behind.stdout);
    let wrong = decode(&["--key", &key[1..], apdu], "");
    assert_eq!(wrong.code, Some(64));
    assert!(!wrong.stderr.contains(&key[1..]), "{}", wrong.stderr);
}

#[test]
fn passwords_only_on_demand() {
    let aarq = "6036a1090607608574050801018a0207808b0760857405080201ac0a80083132333435363738\
                be10040e01000000065f1f0400007e1f04b0";
    let hidden = decode(&[aarq], "");
    assert_eq!(hidden.code, Some(0));
    assert!(hidden.stdout.contains("***") && !hidden.stdout.contains("3132333435363738"));
    let shown = decode(&["--show-secrets", aarq], "");
    assert!(shown.stdout.contains("12345678"), "{}", shown.stdout);
    // Cut off in the middle of the password.
    let cut = decode(&[&aarq[..80]], "");
    assert_eq!(cut.code, Some(1));
    assert!(!cut.stdout.contains("313233"), "{}", cut.stdout);
}

#[test]
fn nobody_reads_what_is_printed() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let mut command = Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"));
    command.args(["decode", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("runs");
    drop((child.stdout.take(), child.stderr.take()));
    child.stdin.take().expect("piped").write_all(b"opened port\nC401C100 07\n").expect("it listens");
    assert_eq!(child.wait().expect("ends").code(), Some(1), "the code of a failure, not of a panic");
}

#[test]
fn what_never_ends_is_refused() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_dlms2mqtt"))
        .args(["decode", "-"])
        .stdin(std::fs::File::open("/dev/zero").expect("there"))
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("longer than 16 MiB"), "{output:?}");
    let key = decode(&["--key", "@/dev/zero", "7EA0070321930F017E"], "");
    assert_eq!(key.code, Some(64));
    assert!(key.stderr.contains("longer than 16 MiB"), "{}", key.stderr);
}
