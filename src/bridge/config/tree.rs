//! The text of a configuration, YAML or JSON, as one tree of values; and where in the text a path stands.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::path::{Path, Segment};
use super::problem::{Position, Problem};
use crate::bridge::bounded;

/// Longest text that is read, in bytes.
pub const LONGEST_TEXT: usize = bounded::LONGEST;

/// Most nodes of a tree. YAML's aliases can unfold a short text into a tree that fills the memory.
const MOST_NODES: usize = 2_000_000;

/// Most brackets that may be open. The parsers stop at a depth of 128 too, but YAML's does so only after its scanner,
/// whose time grows with the square of the depth.
const DEEPEST_NESTING: usize = 1000;

const TOO_DEEP: &str = "what is written here is nested too deeply";

/// How many steps of the path to a failure are kept.
const TRAIL: usize = 6;

/// How a configuration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2.
    Yaml,
    /// JSON.
    Json,
}

impl Format {
    /// The format that a text seems to be in: JSON begins with a brace.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.trim_start().starts_with('{') { Self::Json } else { Self::Yaml }
    }
}

/// Reads a text into a tree. Duplicate keys, which parsers pass over in silence, are problems.
///
/// # Errors
/// One problem with its place, if the text is no YAML or JSON.
pub fn parse(text: &str, format: Format) -> Result<Value, Problem> {
    if text.len() > LONGEST_TEXT {
        let message = format!("the configuration is longer than {} MiB", LONGEST_TEXT >> 20);
        return Err(Problem::error(Path::root(), message));
    }
    if let Some(position) = too_deep(text) {
        return Err(Problem::error(Path::root(), TOO_DEEP).at(Some(position)));
    }
    let trail = Trail::default();
    let node = Node { trail: &trail, depth: 0 };
    let problem = |language: &str, why: &str, position: Option<Position>| {
        let message = match without_place(why) {
            "recursion limit exceeded" => TOO_DEEP.to_owned(),
            "repetition limit exceeded" => "what the aliases (*name) here unfold to is too much".to_owned(),
            why => format!("no valid {language}: {why}"),
        };
        // Of aliases the parser doesn't say where; how far it came does.
        Problem::error(Path::root(), message).at(position.or_else(|| trail.end(text, format)))
    };
    match format {
        Format::Yaml => node
            .deserialize(serde_yaml::Deserializer::from_str(text))
            .map_err(|error| problem("YAML", &error.to_string(), yaml_position(&error))),
        Format::Json => {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let read = node.deserialize(&mut deserializer);
            read.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
                let position = Position { line: error.line(), column: error.column() };
                problem("JSON", &error.to_string(), Some(position))
            })
        }
    }
}

/// Where in a text a path stands: the value, or the key of an entry whose value is to blame as a whole.
///
/// The parser itself is asked: it walks down the path and fails on purpose when it is there.
#[must_use]
pub fn locate(text: &str, format: Format, path: &Path) -> Option<Position> {
    let walk = Walk { rest: path.segments() };
    match format {
        Format::Yaml => {
            walk.deserialize(serde_yaml::Deserializer::from_str(text)).err().as_ref().and_then(yaml_position)
        }
        Format::Json => {
            let error = walk.deserialize(&mut serde_json::Deserializer::from_str(text)).err()?;
            Some(Position { line: error.line(), column: error.column() })
        }
    }
}

/// Why a document can't be written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WriteError(#[from] serde_yaml::Error);

/// A document as YAML; plain secrets in it are redacted.
///
/// # Errors
/// Where YAML has no form for a key.
pub fn write(document: &super::document::Document) -> Result<String, WriteError> {
    let mut text = serde_yaml::to_string(document)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Where more brackets are open than may be; those in texts count too.
fn too_deep(text: &str) -> Option<Position> {
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > DEEPEST_NESTING {
            let before = text.get(..at)?;
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
            return Some(Position { line, column: before[line_start..].chars().count() + 1 });
        }
    }
    None
}

fn yaml_position(error: &serde_yaml::Error) -> Option<Position> {
    error.location().map(|at| Position { line: at.line(), column: at.column() })
}

/// The place is told apart from the message.
fn without_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |at| message.split_at(at).0)
}

/// How far the reading came.
#[derive(Default)]
struct Trail {
    nodes: Cell<usize>,
    /// Where it is, or where it failed: as many steps of the path as [`TRAIL`].
    path: RefCell<Vec<Segment>>,
}

impl Trail {
    /// Where the text is that was being read. What stands before its parent was unfolded from an alias, and is not
    /// where the alias is.
    fn end(&self, text: &str, format: Format) -> Option<Position> {
        let mut path = Path::root();
        let mut end: Option<Position> = None;
        for segment in self.path.borrow().iter() {
            path = path.with(segment.clone());
            let Some(at) = locate(text, format, &path) else { break };
            if end.is_some_and(|end| (at.line, at.column) < (end.line, end.column)) {
                break;
            }
            end = Some(at);
        }
        end
    }
}

/// Reads a node of the tree.
#[derive(Clone, Copy)]
struct Node<'a> {
    trail: &'a Trail,
    depth: usize,
}

impl Node<'_> {
    fn count<E: Error>(self) -> Result<(), E> {
        let nodes = self.trail.nodes.get() + 1;
        self.trail.nodes.set(nodes);
        if nodes > MOST_NODES { Err(E::custom("the configuration is too large")) } else { Ok(()) }
    }

    /// Reads what is under `segment`; the trail ends there if it fails.
    fn under<T, E>(
        self,
        segment: impl FnOnce() -> Segment,
        read: impl FnOnce(Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let below = Self { depth: self.depth + 1, ..self };
        if self.depth >= TRAIL {
            return read(below);
        }
        self.trail.path.borrow_mut().push(segment());
        let found = read(below)?;
        self.trail.path.borrow_mut().pop();
        Ok(found)
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without tags")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    /// What an empty YAML text is.
    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Value, E> {
        self.visit_f64(f64::MIN)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Value, E> {
        self.visit_f64(f64::MAX)
    }

    /// No key takes a fraction, so it only has to stay a number: a key of digits without quotes must be
    /// refused, not read as another key.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let finite = if value.is_nan() { f64::MAX } else { value.clamp(f64::MIN, f64::MAX) };
        Ok(Number::from_f64(finite).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) =
            self.under(|| Segment::Index(values.len()), |node| list.next_element_seed(node))?
        {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = map.next_key_seed(Key { before: &values })? {
            let value = self.under(|| Segment::Key(key.clone()), |node| map.next_value_seed(node))?;
            values.insert(key, value);
        }
        Ok(values.into())
    }
}

/// Reads a key that isn't there yet: text, or a whole number taken for its digits.
#[derive(Clone, Copy)]
struct Key<'a> {
    before: &'a Map<String, Value>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of text")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        if self.before.contains_key(key) {
            return Err(E::custom(format!("the key `{key}` stands twice")));
        }
        Ok(key.to_owned())
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<String, E> {
        self.visit_str(&key.to_string())
    }
}

/// Walks down a path and fails at its end.
#[derive(Clone, Copy)]
struct Walk<'a> {
    rest: &'a [Segment],
}

impl Walk<'_> {
    fn arrived<E: Error>() -> E {
        E::custom("here")
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the place looked for")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((Segment::Index(index), rest)) = self.rest.split_first() else {
            return Err(Self::arrived());
        };
        for _ in 0..*index {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Err(Self::arrived());
            }
        }
        list.next_element_seed(Walk { rest })?;
        Err(Self::arrived())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Segment::Key(key), rest)) = self.rest.split_first() else { return Err(Self::arrived()) };
        // The last step fails on the key itself: that is where a reader looks for an unknown or empty one.
        let wanted = WantedKey { key, stop: rest.is_empty() };
        while let Some(found) = map.next_key_seed(wanted)? {
            if found {
                return map.next_value_seed(Walk { rest }).and(Err(Self::arrived()));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Err(Self::arrived())
    }
}

/// Compares a key with the one looked for; fails on it if it ends the walk.
#[derive(Clone, Copy)]
struct WantedKey<'a> {
    key: &'a str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for WantedKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for WantedKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        let found = key == self.key;
        if found && self.stop { Err(Walk::arrived()) } else { Ok(found) }
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<bool, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<bool, E> {
        self.visit_str(&key.to_string())
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<bool, E> {
        self.visit_str(&key.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str =
        "gateway: g\ngroups:\n  - name: a\n  - name: b\n    values:\n      - { name: x, obis: 1.8.0 }\n";

    #[test]
    fn both_formats_make_the_same_tree() {
        let json =
            r#"{"gateway":"g","groups":[{"name":"a"},{"name":"b","values":[{"name":"x","obis":"1.8.0"}]}]}"#;
        assert_eq!(parse(YAML, Format::Yaml), parse(json, Format::Json));
        assert_eq!(Format::of(json), Format::Json);
        assert_eq!(Format::of(YAML), Format::Yaml);
    }

    #[test]
    fn paths_are_found_in_the_text() {
        let path = Path::root().key("groups").index(1).key("values").index(0).key("obis");
        let at = locate(YAML, Format::Yaml, &path).unwrap();
        assert_eq!((at.line, at.column), (6, 20));
        let element = locate(YAML, Format::Yaml, &Path::root().key("groups").index(1)).unwrap();
        assert_eq!(element.line, 4);
        let key = locate(YAML, Format::Yaml, &Path::root().key("groups")).unwrap();
        assert_eq!((key.line, key.column), (2, 1));
    }

    #[test]
    fn broken_texts_say_where() {
        let error = parse("a: 1\nb: [\n", Format::Yaml).unwrap_err();
        assert!(error.position.is_some(), "{error}");
        let error = parse("a: 1\na: 2\n", Format::Yaml).unwrap_err();
        assert!(error.message.contains("`a` stands twice"), "{error}");
        assert_eq!(error.position.unwrap().line, 2);
        let error = parse("{\"a\":1,\n\"a\":2}", Format::Json).unwrap_err();
        assert!(error.message.contains("`a` stands twice"), "{error}");
        assert_eq!(error.position.unwrap().line, 2);
        assert!(parse("{} x", Format::Json).is_err());
        assert!(parse("a: !tag x", Format::Yaml).is_err());
    }

    #[test]
    fn what_is_too_much_is_found() {
        let deep =
            |count: usize| format!("gateway: g\n\noutbox: {}{}\n", "[".repeat(count), "]".repeat(count));
        for (text, format, line) in [
            (deep(1_500), Format::Yaml, 3),
            (deep(300), Format::Yaml, 3),
            (format!("{{\"gateway\":\n\n{}", "[".repeat(1_500)), Format::Json, 3),
            (format!("{{\"gateway\":\n{}", "[".repeat(300)), Format::Json, 2),
        ] {
            let problem = parse(&text, format).unwrap_err();
            assert_eq!(problem.message, TOO_DEEP);
            assert_eq!(problem.position.map(|at| at.line), Some(line), "{problem}");
        }
        let mut bomb = String::from("gateway: g\nx:\n  - &a0 [l,l,l,l,l,l,l,l,l,l]\n");
        for level in 1..9 {
            bomb += &format!("  - &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(","));
        }
        let problem = parse(&bomb, Format::Yaml).unwrap_err();
        assert!(problem.message.contains("aliases"), "{problem}");
        assert!(problem.position.is_some_and(|at| (4..12).contains(&at.line)), "{problem}");
    }

    #[test]
    fn bombs_do_not_go_off() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let below = level - 1;
            let aliases = vec![format!("*a{below}"); 8].join(",");
            bomb += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        assert!(parse(&bomb, Format::Yaml).is_err());
        for (open, format) in [
            ("[", Format::Yaml),
            ("{\"a\":", Format::Json),
            ("- ", Format::Yaml),
            ("{a: ", Format::Yaml),
            ("? ", Format::Yaml),
        ] {
            assert!(parse(&open.repeat(100_000), format).is_err());
        }
    }
}
