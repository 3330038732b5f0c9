//! What is wrong with a configuration: every problem with its place, its code and the way out.

use std::collections::BTreeSet;
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::path::Path;
use crate::error::Code;

/// After so many a list of problems ends: a file of the wrong kind would fill screens.
pub const MOST_PROBLEMS: usize = 200;

/// Whether a configuration can be used in spite of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// It can't be used.
    Error,
    /// It can be used, but probably says something else than was meant.
    Warning,
}

/// A place in a text, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One problem of a configuration. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// `CONFIG_INVALID`, `DUPLICATE_NAME`, `UNKNOWN_NAME` or `NOT_ALLOWED`.
    pub code: Code,
    /// Where.
    pub path: Path,
    /// What, in one sentence.
    pub message: String,
    /// What to do about it; empty where the message says it all.
    pub hint: String,
    /// Where in the text, when there is one.
    pub position: Option<Position>,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Problem {
    /// An error of code `CONFIG_INVALID`.
    #[must_use]
    pub fn error(path: Path, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: Code::ConfigInvalid,
            path,
            message: message.into(),
            hint: String::new(),
            position: None,
        }
    }

    /// A warning.
    #[must_use]
    pub fn warning(path: Path, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, message) }
    }

    /// The same with another code.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same with its place in the text.
    #[must_use]
    pub fn at(mut self, position: Option<Position>) -> Self {
        self.position = position;
        self
    }

    /// Whether the configuration can't be used because of it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    /// `error: groups[0].values[1].obis (line 12, column 9): message (hint)`, for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.severity.as_str())?;
        match (self.path.segments().is_empty(), self.position) {
            (true, None) => {}
            (true, Some(at)) => write!(f, "line {}, column {}: ", at.line, at.column)?,
            (false, None) => write!(f, "{}: ", self.path)?,
            (false, Some(at)) => write!(f, "{} (line {}, column {}): ", self.path, at.line, at.column)?,
        }
        write!(f, "{} [{}]", self.message, self.code)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl Serialize for Problem {
    /// As in the answers of `config/validate`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Problem", 8)?;
        object.serialize_field("pointer", &self.path.pointer())?;
        object.serialize_field("path", &self.path.to_string())?;
        object.serialize_field("code", &self.code)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("hint", &self.hint)?;
        object.serialize_field("severity", self.severity.as_str())?;
        if let Some(at) = self.position {
            object.serialize_field("line", &at.line)?;
            object.serialize_field("column", &at.column)?;
        }
        object.end()
    }
}

/// Problems as they are found.
///
/// What is known to be unreadable is remembered, so that its absence in what was read isn't reported once more.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    unreadable: BTreeSet<Path>,
}

impl Findings {
    /// Notes a problem, unless the place was found unreadable before.
    pub(super) fn push(&mut self, problem: Problem) {
        if !self.is_unreadable(&problem.path) {
            self.problems.push(problem);
        }
    }

    /// Notes an error of code `CONFIG_INVALID`.
    pub(super) fn error(&mut self, path: Path, message: impl Into<String>) {
        self.push(Problem::error(path, message));
    }

    /// Notes a warning.
    pub(super) fn warning(&mut self, path: Path, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Problem::warning(path, message).with_hint(hint));
    }

    /// Notes a problem and that what stands there can't be read.
    pub(super) fn unreadable(&mut self, problem: Problem) {
        let path = problem.path.clone();
        self.push(problem);
        self.unreadable.insert(path);
    }

    /// Notes that what stands there was left out together with what could not be read.
    pub(super) fn missing(&mut self, path: Path) {
        self.unreadable.insert(path);
    }

    /// Whether the place, or what it stands in, could not be read.
    pub(super) fn is_unreadable(&self, path: &Path) -> bool {
        let mut place = Some(path.clone());
        while let Some(here) = place {
            if self.unreadable.contains(&here) {
                return true;
            }
            place = here.parent();
        }
        false
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.problems.len()
    }

    /// Whether one of them is an error.
    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }

    /// All of them, in the order of severity, then as found.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.severity);
        self.problems.truncate(MOST_PROBLEMS);
        self.problems
    }
}

/// The nearest of `known` to `word`, if it is near enough to be what was meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distances grow with the product of the lengths, and nobody mistypes a hundred letters.
    if word.len() > 100 {
        return None;
    }
    let plain = word.to_ascii_lowercase().replace(['-', ' '], "_");
    let most = (plain.len() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&plain, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= most && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_what_was_meant_or_nothing() {
        let known = ["server_address", "client_address", "password", "interface"];
        assert_eq!(nearest("server_adress", known), Some("server_address"));
        assert_eq!(nearest("Server-Address", known), Some("server_address"));
        assert_eq!(nearest("passwrd", known), Some("password"));
        assert_eq!(nearest("evn", ["env", "file"]), Some("env"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest(&"p".repeat(1_000_000), known), None);
    }

    #[test]
    fn a_problem_reads_well() {
        let problem = Problem::error(Path::root().key("gateway"), "is missing")
            .with_hint("name it")
            .at(Some(Position { line: 3, column: 5 }));
        assert_eq!(
            problem.to_string(),
            "error: gateway (line 3, column 5): is missing [CONFIG_INVALID]; name it"
        );
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["pointer"], "/gateway");
        assert_eq!(json["severity"], "error");
        assert_eq!(json["line"], 3);
    }
}
