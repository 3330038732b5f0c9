//! Bad configurations: each is refused at the right place, with the right code and words that help.

#[path = "config_bad/cases.rs"]
mod cases;

use std::path::Path;

use cases::{Case, ERRORS, GOOD, WARNINGS};
use dlms2mqtt::bridge::config::load::{Problems, load_file, load_text};
use dlms2mqtt::bridge::config::tree::Format;
use dlms2mqtt::bridge::config::{Problem, Severity};
use dlms2mqtt::error::Code;

fn load(text: &str) -> Result<Vec<Problem>, Vec<Problem>> {
    match load_text(text, Format::Yaml, Path::new("/etc/dlms2mqtt")) {
        Ok(loaded) => Ok(loaded.warnings),
        Err(Problems(problems)) => Err(problems),
    }
}

fn changed((from, to, ..): &Case) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "`{from}` must stand once");
    GOOD.replacen(from, to, 1)
}

fn found<'a>(problems: &'a [Problem], (_, _, pointer, code, words): &Case) -> Option<&'a Problem> {
    problems.iter().find(|problem| {
        problem.path.pointer() == *pointer
            && problem.code == *code
            && (problem.message.contains(words) || problem.hint.contains(words))
    })
}

#[test]
fn the_good_one_is_good() {
    assert_eq!(load(GOOD), Ok(vec![]));
}

#[test]
fn errors_are_found_where_they_are() {
    let mut failures = Vec::new();
    for case in ERRORS {
        let problems = match load(&changed(case)) {
            Err(problems) => problems,
            Ok(warnings) => {
                failures.push(format!("{}: was accepted with {warnings:#?}", case.1));
                continue;
            }
        };
        match found(&problems, case) {
            None => failures.push(format!("{case:?} is not among {}", Problems(problems))),
            Some(problem) => {
                // One fault makes one error: what follows from it isn't reported again.
                let errors = problems.iter().filter(|problem| problem.is_error()).count();
                if errors != 1 || problem.severity != Severity::Error || problem.position.is_none() {
                    failures.push(format!("{}: {}", case.1, Problems(problems)));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{} bad configurations refused", ERRORS.len());
}

#[test]
fn warnings_do_not_hinder() {
    for case in WARNINGS {
        let warnings = load(&changed(case)).unwrap_or_else(|problems| panic!("{case:?}: {problems:#?}"));
        let warning = found(&warnings, case).unwrap_or_else(|| panic!("{case:?}: {warnings:#?}"));
        assert_eq!(warning.severity, Severity::Warning);
    }
}

#[test]
fn every_problem_is_found_at_once() {
    let text = "
gateway: a b
colour: blue
mqtt: { url: x, qos: 2, keep_alive: never, protcol: auto }
connections:
  - { name: c, host: h, prt: 1, baud_rate: 9600 }
  - text
devices:
  - { name: d, connection: nowhere, client_address: 500, server_adress: 1, timeout: soon }
groups:
  - name: g
    interval: x
    devices: [d, 'a b']
    values:
      - { name: v, obis: 1.8.0, class: nothing, attribute: two }
      - { name: v w, obis: 1.0.1.8.0.255 }
";
    let problems = load(text).unwrap_err();
    let pointers: Vec<_> = problems.iter().map(|problem| problem.path.pointer()).collect();
    for pointer in [
        "/gateway",
        "/colour",
        "/mqtt/url",
        "/mqtt/qos",
        "/mqtt/keep_alive",
        "/mqtt/protcol",
        "/connections/0/prt",
        "/connections/0/baud_rate",
        "/connections/1",
        "/devices/0/connection",
        "/devices/0/client_address",
        "/devices/0/server_adress",
        "/devices/0/timeout",
        "/groups/0/interval",
        "/groups/0/devices/1",
        "/groups/0/values/0/obis",
        "/groups/0/values/0/class",
        "/groups/0/values/0/attribute",
        "/groups/0/values/1/name",
    ] {
        assert!(pointers.iter().any(|found| found == pointer), "{pointer} is missing in {pointers:#?}");
    }
    assert_eq!(pointers.len(), 19, "{problems:#?}");
}

#[test]
fn values_are_unique_where_their_topics_are() {
    let twice =
        GOOD.to_owned() + "  - { name: more, devices: d, values: [{ name: v, obis: 1.0.2.8.0.255 }] }\n";
    assert_eq!(load(&twice), Ok(vec![]));
    let topics = twice.replace("mqtt: {", "mqtt: { per_value_topics: true,");
    let problems = load(&topics).unwrap_err();
    assert_eq!(problems[0].path.pointer(), "/groups/1/values/0/name");
    assert_eq!(problems[0].code, Code::DuplicateName);
    // Of two devices, values may have one name.
    let apart = GOOD.replace(
        "class: register }",
        "class: register }\n      - { name: v, device: w, obis: 1.0.1.8.0.255, class: register }",
    );
    assert_eq!(load(&apart), Ok(vec![]));
}

#[test]
fn positions_are_those_of_the_text() {
    let problems = load(&GOOD.replace("obis: 1.0.1.8.0.255", "obis: 1.8.0")).unwrap_err();
    assert_eq!(problems[0].path.to_string(), "groups[0].values[0].obis");
    let at = problems[0].position.unwrap();
    assert_eq!((at.line, at.column), (16, 20));
    let json = "{\"gateway\":\"g\",\n\"mqtt\":{\"url\":\"mqtt://b\",\n\"qos\":2}}";
    let Problems(problems) = load_text(json, Format::Json, Path::new("")).unwrap_err();
    assert_eq!(problems[0].path.pointer(), "/mqtt/qos");
    assert_eq!(problems[0].position.unwrap().line, 3);
}

#[test]
fn texts_that_are_no_configuration_are_one_problem() {
    for text in ["", "just text", "[]", "a: [", "a: 1\na: 2", "\t", "42", "gateway: !x y", "{", "%"] {
        let problems = load(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
        assert_eq!(problems[0].path.pointer(), "", "{text}");
    }
}

#[test]
fn an_empty_configuration_is_called_empty() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    for text in ["", " \n\n", "# gateway: g\n\n# nothing else\n", "---\n...\n", "null", "\u{FEFF}"] {
        std::fs::write(&file, text).unwrap();
        for path in [file.as_path(), Path::new("/dev/null")] {
            let Problems(problems) = load_file(path).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
            assert_eq!(problem.message, "the configuration is empty", "{text:?}");
            assert!(problem.hint.contains("config.yaml.example"), "{problem:?}");
        }
    }
    let Problems(problems) = load_text("\n", Format::Json, Path::new("")).unwrap_err();
    assert_eq!(problems[0].message, "the configuration is empty");
}

#[test]
fn a_file_that_never_ends_is_refused() {
    let Problems(problems) = load_file(Path::new("/dev/zero")).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert!(problem.message.contains("/dev/zero: it is longer than 16 MiB"), "{problem}");
}
