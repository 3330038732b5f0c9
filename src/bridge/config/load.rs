//! From text to [`Config`]: parse, read, validate; every problem is collected.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::document::Document;
use super::model::Config;
use super::path::{Path, Segment};
use super::problem::{Findings, MOST_PROBLEMS, Position, Problem, nearest};
use super::strict::{Fault, Strict, What};
use super::tree::{self, Format};
use super::{environment, validate};
use crate::bridge::bounded;

/// A configuration that can be used, and what is questionable about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Problems, all of them warnings.
    pub warnings: Vec<Problem>,
}

/// A configuration that can't be used: every problem, errors first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// A configuration as it was written, secrets included: the tree of its text, and where relative files are.
#[derive(Clone)]
pub struct Source {
    tree: Value,
    directory: PathBuf,
}

/// Loads a configuration file, YAML or JSON, and looks at the files that it names.
///
/// Relative files in it are taken from its directory.
///
/// # Errors
/// Every problem, if one of them is an error.
pub fn load_file(path: &FilePath) -> Result<Loaded, Problems> {
    let text = bounded::text(path).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        Problems(vec![Problem::error(Path::root(), message).with_hint("see --config and DLMS2MQTT_CONFIG")])
    })?;
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Format::Json,
        Some("yaml" | "yml") => Format::Yaml,
        _ => Format::of(&text),
    };
    let directory = path.parent().unwrap_or(FilePath::new(""));
    let mut loaded = load_text(&text, format, directory)?;
    let mut found = environment::inspect(&loaded.config, Some(path));
    locate_all(&mut found, &text, format);
    if found.iter().any(Problem::is_error) {
        found.append(&mut loaded.warnings);
        return Err(Problems(found));
    }
    loaded.warnings.append(&mut found);
    Ok(loaded)
}

/// Loads a configuration from a text; relative files in it are taken from `directory`. Looks at no file.
///
/// # Errors
/// Every problem, if one of them is an error.
pub fn load_text(text: &str, format: Format, directory: &FilePath) -> Result<Loaded, Problems> {
    // Editors on some systems begin a file with a byte order mark.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let tree = something(text, format).map_err(|problem| Problems(vec![problem]))?;
    load_tree(tree, directory)
        .map_err(|Problems(mut problems)| {
            locate_all(&mut problems, text, format);
            Problems(problems)
        })
        .map(|mut loaded| {
            locate_all(&mut loaded.warnings, text, format);
            loaded
        })
}

/// The tree of a text with something in it; comments are nothing.
fn something(text: &str, format: Format) -> Result<Value, Problem> {
    let tree = if text.trim().is_empty() { Value::Null } else { tree::parse(text, format)? };
    if tree.is_null() {
        return Err(Problem::error(Path::root(), "the configuration is empty")
            .with_hint("config.yaml.example is one to begin with; see docs/CONFIG.md"));
    }
    Ok(tree)
}

/// Loads a configuration from a tree, as it arrives over MQTT. Looks at no file.
///
/// # Errors
/// Every problem, if one of them is an error.
pub fn load_tree(tree: Value, directory: &FilePath) -> Result<Loaded, Problems> {
    let mut findings = Findings::default();
    let document = read(&tree, &mut findings);
    let config =
        validate::validate(document, Source { tree, directory: directory.to_owned() }, &mut findings);
    match config {
        Some(config) if !findings.has_errors() => Ok(Loaded { config, warnings: findings.into_problems() }),
        _ => Err(Problems(findings.into_problems())),
    }
}

/// Reads a tree as a document. What can't be read is noted, left out, and the rest read again, until all is read:
/// serde stops at the first error, a technician wants to see them all.
fn read(tree: &Value, findings: &mut Findings) -> Document {
    if !tree.is_object() {
        findings.unreadable(Problem::error(
            Path::root(),
            "a mapping of keys is expected here, beginning with `gateway`",
        ));
        return Document::default();
    }
    let mut rest = tree.clone();
    while findings.len() < MOST_PROBLEMS {
        let fault = match Document::deserialize(Strict(&rest)) {
            Ok(document) => return document,
            Err(fault) => fault,
        };
        let path = fault.path();
        findings.unreadable(problem_of(path.clone(), &fault));
        match leave_out(&mut rest, &path) {
            // What had to go with it can't be missed either.
            Some(gone) => findings.missing(gone),
            None => break,
        }
    }
    Document::default()
}

/// Takes what stands at `path` out of the tree, or what it is part of, and says which. The elements of a list keep
/// their places.
fn leave_out(tree: &mut Value, path: &Path) -> Option<Path> {
    let (last, parents) = path.segments().split_last()?;
    let parent = parents.iter().try_fold(&mut *tree, |node, segment| match segment {
        Segment::Key(key) => node.get_mut(key.as_str()),
        Segment::Index(index) => node.get_mut(*index),
    });
    let gone = match (last, parent) {
        (Segment::Key(key), Some(Value::Object(map))) => map.remove(key).is_some(),
        (Segment::Index(index), Some(Value::Array(list))) => match list.get_mut(*index) {
            // An empty mapping can be read as any element but a scalar; then the list goes as a whole.
            Some(element) if !element.as_object().is_some_and(serde_json::Map::is_empty) => {
                *element = Value::Object(serde_json::Map::new());
                true
            }
            _ => false,
        },
        _ => false,
    };
    if !gone || is_emptied(tree, parents) { leave_out(tree, &path.parent()?) } else { Some(path.clone()) }
}

/// Whether a mapping that some key has is empty now: what it lacks isn't worth another problem.
fn is_emptied(tree: &Value, path: &[Segment]) -> bool {
    let mapping = path.iter().try_fold(tree, |node, segment| match segment {
        Segment::Key(key) => node.get(key.as_str()),
        Segment::Index(index) => node.get(*index),
    });
    matches!(path.last(), Some(Segment::Key(_)))
        && mapping.and_then(Value::as_object).is_some_and(serde_json::Map::is_empty)
}

/// A fault in the words of a technician.
fn problem_of(path: Path, fault: &Fault) -> Problem {
    let problem = Problem::error(path, fault.to_string());
    let What::UnknownKey { key, known } = &fault.what else { return problem };
    match nearest(key, known.iter().copied()) {
        Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
        None => problem.with_hint(format!("known here: {}", known.join(", "))),
    }
}

/// Finds the places of problems, and puts them in the order of the text, errors first.
fn locate_all(problems: &mut [Problem], text: &str, format: Format) {
    for problem in problems.iter_mut() {
        if problem.position.is_none() {
            problem.position = position(text, format, &problem.path);
        }
    }
    let place = |problem: &Problem| problem.position.map(|at| (at.line, at.column));
    problems.sort_by_key(|problem| (problem.severity, place(problem)));
}

fn position(text: &str, format: Format, path: &Path) -> Option<Position> {
    if path.segments().is_empty() { None } else { tree::locate(text, format, path) }
}

impl Source {
    /// The tree of the text, secrets included: for writing it to disk, never for publishing.
    #[must_use]
    pub const fn expose(&self) -> &Value {
        &self.tree
    }

    /// Where relative files are.
    #[must_use]
    pub fn directory(&self) -> &FilePath {
        &self.directory
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Problems {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Reads a part of a configuration, such as a definition that comes with a request, with the same messages.
///
/// # Errors
/// The first problem; its path is relative to the part.
pub fn read_part<'a, T: Deserialize<'a>>(tree: &'a Value) -> Result<T, Problem> {
    T::deserialize(Strict(tree)).map_err(|fault| problem_of(fault.path(), &fault))
}
