//! Keeps the house in order: which layer may import which, and what every source file owes its reader.

use std::fs;
use std::path::{Path, PathBuf};

/// The top-level modules, lowest first. A module imports from lower ranks only; those of one rank are strangers.
const RANKS: &[&[&str]] = &[
    &["error"],
    &["wire"],
    &["security", "cosem"],
    &["dissect"],
    &["session"],
    &["transport", "storage"],
    &["client"],
    &["sim", "demo_broker"],
    &["bridge"],
    &["cli"],
    &["lib", "main"],
];

/// The product never leans on its own simulator, whatever the ranks say.
const NEVER: &[(&str, &str)] = &[("bridge", "sim"), ("bridge", "demo_broker")];

/// Layers that are told the time and handed bytes and entropy, and so can be replayed byte for byte.
const SANS_IO: &[&str] = &["error", "wire", "security", "cosem", "dissect", "session"];
const IO: &[&str] = &[
    "tokio::",
    "std::net",
    "std::fs",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "getrandom::",
    "fastrand::",
];

const LONGEST_FILE: usize = 800;
const LONG_FILE: usize = 600;

/// Names of COSEM services begin with GET by right, and wrappers of streams name what they wrap as std does; every
/// other `get_` is a getter, which Rust names without it.
const RIGHTFUL_GETS: &[&str] = &[
    "get_request",
    "get_response",
    "get_normal",
    "get_next",
    "get_with_list",
    "get_block",
    "get_ref(",
    "get_mut(",
];

#[test]
fn layers_import_only_downwards() {
    let found: Vec<String> = sources().iter().flat_map(|file| layering(&file.path, &file.text)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn sources_keep_the_house_rules() {
    let sources = sources();
    for file in sources.iter().filter(|file| file.text.lines().count() > LONG_FILE) {
        println!("{} is long: {} lines", file.path.display(), file.text.lines().count());
    }
    let found: Vec<String> = sources.iter().flat_map(|file| house_rules(&file.path, &file.text)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

struct Source {
    /// Relative to `src`.
    path: PathBuf,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                found.push(Source { path: path.strip_prefix(&root).expect("below src").to_owned(), text });
            }
        }
    }
    assert!(found.len() > 5, "only {} sources found below {}", found.len(), root.display());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// What in this file breaks the order of layers, one line a finding.
fn layering(path: &Path, text: &str) -> Vec<String> {
    let layer = layer_of(path);
    let Some(rank) = rank_of(&layer) else {
        return vec![format!(
            "{}: module `{layer}` has no place in RANKS of tests/layers.rs",
            path.display()
        )];
    };
    let code = without_comments(text);
    let mut found = Vec::new();
    for imported in imports(&code, module_depth(path)) {
        let legal = match rank_of(&imported) {
            _ if imported == layer => true,
            Some(other) => other < rank && !NEVER.contains(&(layer.as_str(), imported.as_str())),
            // Not a layer: a macro or an item of the crate's root.
            None => true,
        };
        if !legal {
            found.push(format!("{}: `{layer}` imports `{imported}`", path.display()));
        }
    }
    if SANS_IO.contains(&layer.as_str()) {
        let product = code.split("#[cfg(test)]").next().unwrap_or_default();
        for io in IO.iter().filter(|io| product.contains(**io)) {
            found.push(format!("{}: `{layer}` is sans-IO, yet names `{io}`", path.display()));
        }
    }
    found
}

fn house_rules(path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |what: String| found.push(format!("{}: {what}", path.display()));
    if !text.starts_with("//! ") {
        say("its first line does not say in `//!` why it exists".to_owned());
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        say(format!("{lines} lines; split it"));
    }
    let code = without_comments(text);
    for (number, line) in code.lines().enumerate() {
        for unfinished in ["todo!", "unimplemented!", "dbg!", "#[ignore"] {
            if line.contains(unfinished) {
                say(format!("line {}: `{unfinished}`", number + 1));
            }
        }
        if let Some((_, name)) = line.split_once("fn get_") {
            let name = format!("get_{name}");
            if !RIGHTFUL_GETS.iter().any(|right| name.starts_with(right)) {
                say(format!("line {}: a getter has no `get_` in its name", number + 1));
            }
        }
    }
    for (number, line) in text.lines().enumerate() {
        if line.contains("TODO") || line.contains("FIXME") {
            say(format!("line {}: unfinished", number + 1));
        }
    }
    found
}

/// `wire/hdlc/frame.rs` → `wire`, `sim.rs` → `sim`.
fn layer_of(path: &Path) -> String {
    let first = path.iter().next().and_then(|name| name.to_str()).expect("a path below src");
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

fn rank_of(layer: &str) -> Option<usize> {
    RANKS.iter().position(|rank| rank.contains(&layer))
}

/// How many `super::` lead from the file's own module to the crate's root.
fn module_depth(path: &Path) -> usize {
    let names = path.iter().count();
    match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") => names - 1,
        _ => names,
    }
}

/// The names that follow `crate::`, `dlms2mqtt::`, or a chain of `super::` that reaches the crate's root.
fn imports(code: &str, depth: usize) -> Vec<String> {
    let mut names = Vec::new();
    for prefix in ["crate::", "dlms2mqtt::"] {
        for (at, _) in code.match_indices(prefix) {
            if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                names.extend(heads(&code[at + prefix.len()..]));
            }
        }
    }
    let to_root = "super::".repeat(depth.max(1));
    for (at, _) in code.match_indices(&to_root) {
        names.extend(heads(code[at + to_root.len()..].trim_start_matches("super::")));
    }
    names.sort();
    names.dedup();
    names
}

/// The first segments of a path or of a braced group of paths: `{error::Code, wire::{a, b}}` → `error`, `wire`.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.trim_start().strip_prefix('{') else {
        return vec![identifier(rest)];
    };
    let mut heads = vec![identifier(group)];
    let mut depth = 1;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => heads.push(identifier(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Line comments and doc comments may speak of any layer.
fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_planted_violation_is_found() {
    let findings = |path: &str, text: &str| layering(Path::new(path), text);

    assert_eq!(
        findings("wire/data.rs", "use crate::session::Client;"),
        ["wire/data.rs: `wire` imports `session`"]
    );
    assert_eq!(
        findings("bridge/link_actor.rs", "fn f() { let m = crate::sim::Meter::new(); }"),
        ["bridge/link_actor.rs: `bridge` imports `sim`"]
    );
    assert_eq!(
        findings("session/client.rs", "use crate::{\n    wire::{data, obis},\n    transport::tcp,\n};"),
        ["session/client.rs: `session` imports `transport`"]
    );
    assert_eq!(findings("wire/hdlc/frame.rs", "use super::super::super::client;").len(), 1);
    assert_eq!(findings("security/cipher.rs", "use crate::cosem::Unit;").len(), 1, "strangers of one rank");
    assert_eq!(findings("wire/data.rs", "pub(in crate::bridge) fn f() {}").len(), 1);
    assert_eq!(findings("session/client.rs", "let now = Instant::now();").len(), 1);
    assert_eq!(findings("attic/old.rs", "").len(), 1, "a module without a rank");
}

#[test]
fn lawful_imports_pass() {
    let findings = |path: &str, text: &str| layering(Path::new(path), text);
    let none: [&str; 0] = [];

    assert_eq!(findings("wire/hdlc/frame.rs", "use super::super::error;\nuse crate::error::Code;"), none);
    assert_eq!(findings("wire/data.rs", "/// What [`crate::session`] makes of it.\nfn f() {}"), none);
    assert_eq!(findings("bridge/mod.rs", "use crate::{client, error::Report, wire::obis::Obis};"), none);
    assert_eq!(findings("main.rs", "use dlms2mqtt::{bridge, sim};"), none);
    assert_eq!(
        findings("session/client.rs", "#[cfg(test)]\nmod tests { fn now() { Instant::now(); } }"),
        none
    );
}

#[test]
fn broken_house_rules_are_found() {
    let findings = |text: &str| house_rules(Path::new("a.rs"), text).len();

    assert_eq!(findings("//! Why.\nfn name() {}\nfn get_with_list() {}\n"), 0);
    assert_eq!(findings("fn name() {}\n"), 1);
    assert_eq!(findings("//! Why.\nfn get_name() {}\n"), 1);
    assert_eq!(findings("//! Why.\nfn f() { todo!() }\n// FIXME\n"), 2);
    assert_eq!(findings(&format!("//! Why.\n{}", "\n".repeat(LONGEST_FILE))), 1);
}
