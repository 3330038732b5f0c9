//! A changed configuration back into the text that it came from: what did not change stays as it was written,
//! comments and all.
//!
//! The text is cut at its keys and list elements; those whose values are the same are taken over as they are, the
//! others are written anew. What comes out is read again, and if that is not what was meant (anchors, exotic forms)
//! the whole is written anew.

use std::ops::Range;

use serde_json::{Map, Value};

use super::emit;
use super::tree::{self, Format};

/// A configuration as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The text.
    pub text: String,
    /// Where comments were lost: `devices main-meter`, or empty for the whole.
    pub lost: Vec<String>,
}

/// Writes `new` in the form of `text`, which reads as `old`.
#[must_use]
pub fn rewrite(text: &str, format: Format, old: &Value, new: &Value) -> Rewritten {
    if old == new {
        return Rewritten { text: text.to_owned(), lost: Vec::new() };
    }
    if format == Format::Json {
        return Rewritten { text: format!("{new:#}\n"), lost: Vec::new() };
    }
    if let (Value::Object(old), Value::Object(new_map)) = (old, new) {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut editor = Editor { lines: &lines, out: String::with_capacity(text.len()), lost: Vec::new() };
        if editor.mapping(0..lines.len(), 0, old, new_map, "").is_some()
            && tree::parse(&editor.out, Format::Yaml).as_ref() == Ok(new)
        {
            return Rewritten { text: editor.out, lost: editor.lost };
        }
    }
    let lost = if text.lines().any(has_comment) { vec![String::new()] } else { Vec::new() };
    let text = match new {
        Value::Object(map) => emit::block(map, 0),
        other => emit::flow(other),
    };
    Rewritten { text, lost }
}

/// A tree as YAML, where there is no text that it came from.
#[must_use]
pub fn write(tree: &Value) -> String {
    rewrite("", Format::Yaml, &Value::Null, tree).text
}

struct Editor<'a> {
    lines: &'a [&'a str],
    out: String,
    lost: Vec<String>,
}

/// An entry of a mapping or a list in the text: with the comments above it, from its own line to its end.
#[derive(Clone, Debug)]
struct Part {
    key: String,
    begin: usize,
    line: usize,
    end: usize,
}

impl Part {
    const fn whole(&self) -> Range<usize> {
        self.begin..self.end
    }
}

impl Editor<'_> {
    /// Writes the mapping whose entries begin at column `indent` of these lines; `None` where it is no such.
    fn mapping(
        &mut self,
        lines: Range<usize>,
        indent: usize,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        place: &str,
    ) -> Option<()> {
        let (head, parts) = self.parts(lines, indent, Editor::key_of)?;
        if parts.len() != old.len() || !parts.iter().all(|part| old.contains_key(&part.key)) {
            return None;
        }
        self.copy(head);
        for part in &parts {
            match new.get(&part.key) {
                None => self.lose(part.whole(), place, &part.key),
                Some(value) if old.get(&part.key) == Some(value) => self.copy(part.whole()),
                Some(value) => self.entry(part, indent, old.get(&part.key)?, value, place),
            }
        }
        let added: Map<String, Value> = new
            .iter()
            .filter(|(key, _)| !old.contains_key(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        self.end_line();
        self.out.push_str(&emit::block(&added, indent));
        Some(())
    }

    /// Writes an entry whose value has changed.
    fn entry(&mut self, part: &Part, indent: usize, old: &Value, new: &Value, place: &str) {
        self.copy(part.begin..part.line);
        let body = part.line + 1..part.end;
        let is_block = self.is_bare_key(part.line) && self.next_column(body.clone()).is_some();
        let (kept, lost) = (self.out.len(), self.lost.len());
        if is_block {
            self.copy(part.line..part.line + 1);
            let column = self.next_column(body.clone()).unwrap_or_default();
            let place = join(place, &part.key);
            let written = match (old, new) {
                (Value::Object(old), Value::Object(new)) if column > indent && !new.is_empty() => {
                    self.mapping(body, column, old, new, &place)
                }
                (Value::Array(old), Value::Array(new)) if column >= indent && !new.is_empty() => {
                    self.list(body, column, old, new, &place)
                }
                _ => None,
            };
            if written.is_some() {
                return;
            }
            self.out.truncate(kept);
            self.lost.truncate(lost);
        }
        let end = self.end_of_value(part);
        let comment = self.comment_of(part.line..end, old);
        if comment.is_none() {
            self.lose(part.line..end, place, &part.key);
        }
        let mut text = String::new();
        emit::entry(&mut text, &part.key, new, indent);
        match comment {
            Some(comment) if text.lines().count() == 1 => {
                self.out.push_str(text.trim_end());
                self.out.push_str(&comment);
                self.out.push('\n');
            }
            _ => self.out.push_str(&text),
        }
        self.copy(end..part.end);
    }

    /// Writes a list whose elements begin with `- ` at column `indent`.
    fn list(
        &mut self,
        lines: Range<usize>,
        indent: usize,
        old: &[Value],
        new: &[Value],
        place: &str,
    ) -> Option<()> {
        let (head, parts) = self.parts(lines, indent, |line, indent| {
            let rest = line.get(indent..)?.strip_prefix('-')?;
            rest.starts_with([' ', '\n', '\r']).then(String::new)
        })?;
        if parts.len() != old.len() {
            return None;
        }
        self.copy(head);
        let mut used = vec![false; old.len()];
        for value in new {
            let found = old.iter().enumerate().position(|(at, before)| !used[at] && is_same(before, value));
            let Some(found) = found else {
                self.end_line();
                self.out.push_str(&emit::element(value, indent));
                continue;
            };
            used[found] = true;
            let part = &parts[found];
            if old[found] == *value {
                self.copy(part.whole());
                continue;
            }
            self.element(part, indent, &old[found], value, place);
        }
        for (part, value) in parts.iter().zip(old).zip(&used).filter(|(_, used)| !**used).map(|(it, _)| it) {
            self.lose(part.whole(), place, &name_of(value));
        }
        Some(())
    }

    /// Writes an element that has changed.
    fn element(&mut self, part: &Part, indent: usize, old: &Value, new: &Value, place: &str) {
        self.copy(part.begin..part.line);
        let (kept, lost) = (self.out.len(), self.lost.len());
        let place = join(place, &name_of(new));
        if let (Value::Object(old), Value::Object(new)) = (old, new) {
            let line = self.lines[part.line];
            let after = line.get(indent + 1..).unwrap_or_default();
            let column = indent + 1 + (after.len() - after.trim_start_matches(' ').len());
            // The same lines with the dash away are a mapping.
            let mut lines: Vec<String> =
                self.lines[part.line..part.end].iter().map(|line| (*line).to_owned()).collect();
            lines[0].replace_range(indent..=indent, " ");
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let mut inner = Editor { lines: &lines, out: String::new(), lost: Vec::new() };
            if inner.mapping(0..lines.len(), column, old, new, &place).is_some()
                && inner.out.as_bytes().get(indent) == Some(&b' ')
            {
                inner.out.replace_range(indent..=indent, "-");
                self.end_line();
                self.out.push_str(&inner.out);
                self.lost.append(&mut inner.lost);
                return;
            }
        }
        self.out.truncate(kept);
        self.lost.truncate(lost);
        let is_flow = self.lines[part.line].trim_start_matches(['-', ' ']).starts_with('{');
        let end = self.end_of_value(part);
        let comment = (end - part.line == 1).then(|| trailing_comment(self.lines[part.line])).flatten();
        if comment.is_none() || !is_flow {
            self.lose(part.line..end, &place, "");
        }
        self.end_line();
        if is_flow {
            self.out.push_str(&format!("{:indent$}- {}", "", emit::flow(new)));
            self.out.push_str(&comment.unwrap_or_default());
            self.out.push('\n');
        } else {
            self.out.push_str(&emit::element(new, indent));
        }
        self.copy(end..part.end);
    }

    /// Cuts lines at those that `begin` something at column `indent`. What stands before the first belongs to none,
    /// comments right above one belong to it.
    fn parts(
        &self,
        lines: Range<usize>,
        indent: usize,
        begin: impl Fn(&str, usize) -> Option<String>,
    ) -> Option<(Range<usize>, Vec<Part>)> {
        let mut parts: Vec<Part> = Vec::new();
        for at in lines.clone() {
            let line = self.lines.get(at)?;
            if is_blank(line) || column(line) > indent {
                continue;
            }
            if column(line) < indent {
                return None;
            }
            match begin(line, indent) {
                Some(key) => parts.push(Part { key, begin: at, line: at, end: lines.end }),
                // The end of a flow form, a document mark, a list at the column of its key.
                None if parts.is_empty() && line.starts_with("---") => {}
                None if line.get(indent..).is_some_and(|rest| rest.starts_with("- ")) => {}
                None => return None,
            }
        }
        let first = parts.first()?.line;
        for index in 0..parts.len() {
            let lowest = if index == 0 { lines.start } else { parts[index - 1].line + 1 };
            let mut begin = parts[index].line;
            while begin > lowest && is_comment(self.lines[begin - 1]) {
                begin -= 1;
            }
            parts[index].begin = begin;
            if index > 0 {
                parts[index - 1].end = begin;
            }
        }
        Some((lines.start..parts.first().map_or(first, |part| part.begin), parts))
    }

    fn key_of(line: &str, indent: usize) -> Option<String> {
        let rest = line.get(indent..)?;
        let end = rest.find(':')?;
        let (key, after) = rest.split_at(end);
        let is_plain =
            !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
        (is_plain
            && after.get(1..).is_some_and(|after| after.is_empty() || after.starts_with([' ', '\n', '\r'])))
        .then(|| key.to_owned())
    }

    /// Whether nothing but perhaps a comment follows the key in its line.
    fn is_bare_key(&self, line: usize) -> bool {
        let text = self.lines[line];
        let after = text.split_once(':').map_or("", |(_, after)| after).trim();
        after.is_empty() || after.starts_with('#')
    }

    /// The column of the first line that holds something.
    fn next_column(&self, lines: Range<usize>) -> Option<usize> {
        self.lines.get(lines)?.iter().find(|line| !is_blank(line)).map(|line| column(line))
    }

    /// Where the lines of a value end and those follow that are empty or comments alone.
    fn end_of_value(&self, part: &Part) -> usize {
        let lines = self.lines.get(part.line..part.end).unwrap_or_default();
        part.line + lines.iter().rposition(|line| !is_blank(line)).map_or(0, |last| last + 1)
    }

    /// The comment behind a scalar in one line, with the spaces before it; empty where there is none.
    fn comment_of(&self, lines: Range<usize>, old: &Value) -> Option<String> {
        if lines.len() != 1 || old.is_object() || old.is_array() {
            return None;
        }
        Some(trailing_comment(self.lines.get(lines.start)?).unwrap_or_default())
    }

    fn copy(&mut self, lines: Range<usize>) {
        if lines.is_empty() {
            return;
        }
        self.end_line();
        for line in &self.lines[lines] {
            self.out.push_str(line);
        }
    }

    /// The last line of a text may have no end.
    fn end_line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn lose(&mut self, lines: Range<usize>, place: &str, key: &str) {
        if self.lines[lines].iter().any(|line| has_comment(line)) {
            let place = if key.is_empty() { place.to_owned() } else { join(place, key) };
            if !self.lost.contains(&place) {
                self.lost.push(place);
            }
        }
    }
}

/// Elements of the same name, and of the same device where values have one; others if they are equal.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.get("name"), other.get("name")) {
        (Some(name), Some(other_name)) => name == other_name && one.get("device") == other.get("device"),
        _ => one == other,
    }
}

fn name_of(value: &Value) -> String {
    value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place} {key}") }
}

fn column(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Empty, or a comment alone.
fn is_blank(line: &str) -> bool {
    line.trim().is_empty() || is_comment(line)
}

/// Whether a line seems to hold a comment. A `#` in a quoted text counts too: better announced than lost in silence.
fn has_comment(line: &str) -> bool {
    is_comment(line) || line.contains(" #")
}

/// ` # …` at the end of a line, outside quotes, with the spaces before it.
fn trailing_comment(line: &str) -> Option<String> {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
            (Some(open), c) if c == open && before != '\\' => quote = None,
            (None, '#') if before == ' ' => {
                let head = line.get(..at)?;
                let spaces = head.len() - head.trim_end_matches(' ').len();
                return Some(format!("{:spaces$}{}", "", line.get(at..)?.trim_end()));
            }
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "\
# The gateway of the north hall.
gateway: g   # its name

mqtt:
  # The broker in the server room
  url: mqtt://b
  keep_alive: 30s # seconds

# Lines
connections:
  # the first
  - name: a
    host: h # by the door
    port: 4059
  - { name: b, host: i }  # in one line

  # the third
  - name: c
    host: j
groups:
- name: fast # quick
  interval: 1
  values:
  - { name: v, obis: 1.0.1.8.0.255 }
  - { name: w, obis: 1.0.2.8.0.255 } # export
# The end.
";

    fn tree(text: &str) -> Value {
        tree::parse(text, Format::Yaml).unwrap()
    }

    fn rewritten(change: impl FnOnce(&mut Value)) -> Rewritten {
        let old = tree(TEXT);
        let mut new = old.clone();
        change(&mut new);
        let rewritten = rewrite(TEXT, Format::Yaml, &old, &new);
        assert_eq!(tree(&rewritten.text), new, "{}", rewritten.text);
        rewritten
    }

    /// What differs, line by line: `-` gone, `+` new.
    fn difference(text: &str) -> Vec<String> {
        let (old, new): (Vec<&str>, Vec<&str>) = (TEXT.lines().collect(), text.lines().collect());
        let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("-{line}"));
        let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+{line}"));
        gone.chain(come).collect()
    }

    #[test]
    fn a_changed_scalar_changes_its_line_alone() {
        for (pointer, value, lines) in [
            (
                "/mqtt/keep_alive",
                json!("60s"),
                ["-  keep_alive: 30s # seconds", "+  keep_alive: 60s # seconds"],
            ),
            ("/gateway", json!("h"), ["-gateway: g   # its name", "+gateway: h   # its name"]),
            (
                "/connections/0/host",
                json!("10.0.0.1"),
                ["-    host: h # by the door", "+    host: 10.0.0.1 # by the door"],
            ),
            ("/groups/0/interval", json!("5m"), ["-  interval: 1", "+  interval: 5m"]),
            (
                "/connections/1/host",
                json!("k"),
                ["-  - { name: b, host: i }  # in one line", "+  - { name: b, host: k }  # in one line"],
            ),
        ] {
            let Rewritten { text, lost } = rewritten(|new| *new.pointer_mut(pointer).unwrap() = value);
            assert_eq!(difference(&text), lines, "{text}");
            assert_eq!(lost, [""; 0]);
        }
    }

    #[test]
    fn elements_come_and_go_and_what_is_lost_is_named() {
        let Rewritten { text, lost } = rewritten(|new| {
            new["connections"].as_array_mut().unwrap().remove(2);
        });
        assert_eq!(difference(&text), ["-  # the third", "-  - name: c", "-    host: j"], "{text}");
        assert_eq!(lost, ["connections c"]);
        let Rewritten { text, lost } = rewritten(|new| {
            new["connections"].as_array_mut().unwrap().push(json!({"name":"d","host":"k"}));
        });
        assert_eq!(difference(&text), ["+  - name: d", "+    host: k"], "{text}");
        assert_eq!(lost, [""; 0]);
        let Rewritten { text, lost } =
            rewritten(|new| new["groups"][0]["values"][0]["class"] = json!("register"));
        assert_eq!(
            difference(&text),
            [
                "-  - { name: v, obis: 1.0.1.8.0.255 }",
                "+  - { name: v, obis: 1.0.1.8.0.255, class: register }"
            ],
            "{text}"
        );
        assert_eq!(lost, [""; 0]);
        let Rewritten { text, .. } = rewritten(|new| new["devices"] = json!([{"name":"m"}]));
        assert_eq!(difference(&text), ["+devices:", "+  - name: m"], "{text}");
        let Rewritten { lost, .. } = rewritten(|new| drop(new.as_object_mut().unwrap().remove("mqtt")));
        assert_eq!(lost, ["mqtt"]);
    }

    #[test]
    fn the_order_of_elements_follows_the_new_one() {
        let Rewritten { text, lost } = rewritten(|new| new["connections"].as_array_mut().unwrap().swap(0, 1));
        assert_eq!(difference(&text), [""; 0], "{text}");
        assert_eq!(lost, [""; 0]);
    }

    #[test]
    fn what_cannot_be_kept_is_announced() {
        let text = "base: &a { host: h } # shared\nconnections: [{ name: c, <<: x }]\n";
        let old = tree(text);
        let mut new = old.clone();
        new["base"]["host"] = json!("i");
        let rewritten = rewrite(text, Format::Yaml, &old, &new);
        assert_eq!(tree(&rewritten.text), new);
        assert!(!rewritten.lost.is_empty(), "{rewritten:?}");
        let json = rewrite("{\"a\":1}", Format::Json, &json!({"a":1}), &json!({"a":2}));
        assert_eq!(json.text, "{\n  \"a\": 2\n}\n");
        assert_eq!(write(&json!({"a":[1,{"b":2}]})), "a:\n  - 1\n  - b: 2\n");
    }

    #[test]
    fn any_change_of_any_text_reads_as_it_was_meant() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let old = tree(TEXT);
            let mut new = old.clone();
            mutate(&mut new, &mut random);
            let Rewritten { text, .. } = rewrite(TEXT, Format::Yaml, &old, &new);
            assert_eq!(tree(&text), new, "{text}");
        }
    }

    fn mutate(value: &mut Value, random: &mut fastrand::Rng) {
        match value {
            Value::Object(map) => {
                let keys: Vec<String> = map.keys().cloned().collect();
                match (random.u8(..8), keys.get(random.usize(..keys.len().max(1)))) {
                    (0, Some(key)) => drop(map.remove(key)),
                    (1, _) => drop(map.insert("added".into(), json!({"x": [1, "two"]}))),
                    (_, Some(key)) => mutate(map.get_mut(key).unwrap(), random),
                    _ => {}
                }
            }
            Value::Array(list) if !list.is_empty() => match random.u8(..6) {
                0 => drop(list.remove(random.usize(..list.len()))),
                1 => list.push(json!({"name": "new"})),
                2 => list.reverse(),
                _ => {
                    let at = random.usize(..list.len());
                    mutate(&mut list[at], random);
                }
            },
            other => *other = json!(random.choice(["x", "on", "12", "a: b", " # no"])),
        }
    }
}
