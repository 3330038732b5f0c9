//! The documents tell what is so: their commands run and print what they show, their tables are the code's, their links lead somewhere.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dlms2mqtt::error::Code;
use support::mosquitto::free_port;

const BEGIN: &str = "<!-- codes: made from src/error.rs by tests/docs.rs; UPDATE_DOCS=1 writes it anew -->\n";
const END: &str = "<!-- end of codes -->";

/// Ports that documents name, and that may be taken where the tests run.
const PORTS: &[&str] = &["4059", "1883", "9187"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every document, with its path from the root.
fn documents() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name));
    let mut found: Vec<PathBuf> =
        docs.chain(top).filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
    found.sort();
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// A fenced block: what stands behind the fence, and the lines between.
struct Block {
    info: String,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            found.push(Block { info: info.to_owned(), text: inside.join("\n") + "\n" });
        }
    }
    found
}

/// What a block of commands is to print; `None`: whatever it likes.
struct Step {
    commands: String,
    output: Option<String>,
}

#[test]
fn commands_do_what_the_documents_say() {
    let mut tested = Vec::new();
    for (path, text) in documents() {
        let mut script = String::new();
        let mut steps: Vec<Step> = Vec::new();
        for block in blocks(&text) {
            if let Some((_, name)) = block.info.split_once(" file=") {
                writeln!(script, "cat >{name} <<'END_OF_FILE'\n{}END_OF_FILE", block.text).unwrap();
            } else if block.info == "sh tested" {
                writeln!(script, "exec >out.{} 2>&1\n{}", steps.len(), block.text).unwrap();
                steps.push(Step { commands: block.text, output: None });
            } else if block.info == "text output" {
                steps.last_mut().expect("an output follows its commands").output = Some(block.text);
            }
        }
        if !steps.is_empty() {
            run(&path, &script, &steps);
            tested.push(path.file_name().unwrap().to_owned());
        }
    }
    assert_eq!(tested, ["FIRST-METER.md", "MIGRATION-RUTX09.md"]);
}

/// A command is tried by this test, or by hand; then [STATUS.md](../docs/STATUS.md) says where.
#[test]
fn no_command_is_untried() {
    let status = fs::read_to_string(root().join("docs/STATUS.md")).unwrap();
    let (_, by_hand) = status.split_once("## Commands of the documents").expect("there is such a section");
    for (path, text) in documents() {
        let name = path.file_name().unwrap().to_str().unwrap();
        for block in blocks(&text) {
            let mut words = block.info.split(' ');
            if !matches!(words.next(), Some("sh" | "console" | "bash" | "shell")) {
                continue;
            }
            match words.next() {
                Some("tested") => {}
                Some("by-hand") => assert!(by_hand.contains(name), "{name}: {}", block.text),
                _ => panic!("{name}: neither tested nor tried by hand: {}", block.text),
            }
        }
    }
}

fn run(document: &Path, script: &str, steps: &[Step]) {
    let ports: Vec<(&str, String)> = PORTS.iter().map(|port| (*port, free_port().to_string())).collect();
    let moved =
        |text: &str| ports.iter().fold(text.to_owned(), |text, (port, free)| text.replace(port, free));
    let folder = tempfile::tempdir().unwrap();
    let binaries = Path::new(env!("CARGO_BIN_EXE_dlms2mqtt")).parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let script = format!("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n{}", moved(script));
    let ran = Command::new("timeout")
        .args(["120", "bash", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{binaries}:{path}:/usr/local/sbin:/usr/sbin"))
        .env_remove("RUST_LOG")
        .env_remove("DLMS2MQTT_CONFIG")
        .output()
        .unwrap();
    for (number, step) in steps.iter().enumerate() {
        let printed = fs::read_to_string(folder.path().join(format!("out.{number}")));
        let printed =
            printed.unwrap_or_else(|_| panic!("{}: never came to\n{}", document.display(), step.commands));
        let Some(expected) = &step.output else { continue };
        assert!(
            is_like(&moved(expected), &printed),
            "{}: the commands\n{}\nare to print\n{expected}\nand print\n{printed}",
            document.display(),
            step.commands
        );
    }
    assert!(ran.status.success(), "{}: {ran:?}", document.display());
}

/// `…` stands for anything.
fn is_like(expected: &str, printed: &str) -> bool {
    let mut parts = expected.trim().split('…');
    let Some(mut rest) = parts.next().and_then(|first| printed.trim().strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    for (index, part) in parts.iter().enumerate() {
        if index + 1 == parts.len() && !rest.ends_with(part) {
            return false;
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    !parts.is_empty() || rest.is_empty()
}

#[test]
fn outputs_are_compared() {
    assert!(is_like("a…c\n", "abc"));
    assert!(is_like("a…c…", "abcd"));
    assert!(is_like("abc", "abc\n"));
    for (expected, printed) in [("abc", "abcd"), ("a…c", "abd"), ("a…c…e", "a e"), ("b", "ab")] {
        assert!(!is_like(expected, printed), "{expected} {printed}");
    }
}

/// The doc comment of each code in `src/error.rs`.
fn meaning(source: &str, code: Code) -> String {
    let declared = format!("=> \"{code}\"");
    let lines: Vec<&str> = source.lines().collect();
    let at = lines.iter().position(|line| line.contains(&declared)).unwrap_or_else(|| panic!("{code}"));
    let above = lines[..at].iter().rev().map(|line| line.trim());
    let mut comment: Vec<&str> = above.map_while(|line| line.strip_prefix("/// ")).collect();
    comment.reverse();
    assert!(!comment.is_empty(), "{code} has no doc comment");
    comment.join(" ")
}

#[test]
fn troubleshooting_knows_every_code() {
    let source = fs::read_to_string(root().join("src/error.rs")).unwrap();
    let mut table = String::from("\n| code | what it means | what to do |\n|---|---|---|\n");
    for code in Code::ALL {
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(table, "| `{code}` | {} | {} |", cell(&meaning(&source, *code)), cell(code.hint())).unwrap();
    }
    table.push('\n');
    let path = root().join("docs/TROUBLESHOOTING.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the place of the codes is marked");
    let (written, after) = rest.split_once(END).expect("the end of the codes is marked");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(written, table, "run this test with UPDATE_DOCS=1 to write docs/TROUBLESHOOTING.md anew");
    }
    let named = before.split('`').skip(1).step_by(2).filter(|word| {
        word.len() > 3
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
            && word.contains('_')
    });
    for word in named {
        let known = Code::ALL.iter().any(|code| code.as_str() == word);
        assert!(known || word.ends_with('_'), "{word} is no code");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut followed = 0;
    for (path, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            let place = path.parent().unwrap().join(file);
            assert!(place.exists(), "{} points to {target}, which is not there", path.display());
        }
    }
    assert!(followed > 10, "only {followed} links found");
}

/// Files of the image and of services that name things of the program.
#[test]
fn configurations_that_are_shipped_are_valid() {
    use dlms2mqtt::bridge::config::load_text;
    use dlms2mqtt::bridge::config::tree::Format;

    let demo = fs::read_to_string(root().join("docker/demo/config.yaml")).unwrap();
    let openwrt = fs::read_to_string(root().join("packaging/openwrt/dlms2mqtt/files/config.yaml")).unwrap();
    let kubernetes = fs::read_to_string(root().join("packaging/kubernetes/dlms2mqtt.yaml")).unwrap();
    let inside =
        kubernetes.split("config.yaml: |\n").nth(1).and_then(|rest| rest.split("\n---").next()).unwrap();
    let kubernetes: String =
        inside.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    for (name, text) in [("demo", demo), ("openwrt", openwrt), ("kubernetes", kubernetes)] {
        load_text(&text, Format::Yaml, Path::new("/etc/dlms2mqtt"))
            .unwrap_or_else(|problems| panic!("{name}: {problems}"));
    }
}
