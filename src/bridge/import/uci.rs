//! The text of a UCI file: sections with options, as OpenWrt's `/etc/config` holds and `uci export` prints them.

use std::collections::HashMap;

use indexmap::IndexMap;
use thiserror::Error;

/// A section. One that is named twice is one section; those without a name are each their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is a section of: `connection`, `cosem`.
    pub kind: String,
    /// Its name; `cfg` and its place where it has none.
    pub id: String,
    /// Its options, in order.
    pub options: IndexMap<String, Value>,
}

/// What an option holds. May be a secret: never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// `option`.
    One(String),
    /// Every `list` of the same name.
    List(Vec<String>),
}

/// Why a text is no UCI file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UciError {
    /// A quote that nothing closes.
    #[error("line {line}: a quote is not closed")]
    Quote {
        /// From 1.
        line: usize,
    },
    /// Something else than `package`, `config`, `option` or `list`.
    #[error("line {line}: `config`, `option` or `list` is expected")]
    Keyword {
        /// From 1.
        line: usize,
    },
    /// A word is missing or too many.
    #[error("line {line}: the line has too few or too many words")]
    Words {
        /// From 1.
        line: usize,
    },
    /// An option before the first section.
    #[error("line {line}: an option outside of a section")]
    Homeless {
        /// From 1.
        line: usize,
    },
    /// The output of `uci show`.
    #[error(
        "this is what `uci show` prints: the file itself, or the output of `uci export dlms_client`, is needed"
    )]
    Shown,
}

/// Editors of Windows begin a file with it.
const BYTE_ORDER_MARK: char = '\u{FEFF}';

impl Section {
    fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_owned(), id: id.to_owned(), options: IndexMap::new() }
    }

    fn add(&mut self, keyword: &str, name: &str, value: String) {
        match (keyword, self.options.get_mut(name)) {
            ("list", Some(known)) => known.push(value),
            ("list", None) => drop(self.options.insert(name.to_owned(), Value::List(vec![value]))),
            _ => drop(self.options.insert(name.to_owned(), Value::One(value))),
        }
    }

    /// An option as one text; words of a list with spaces between.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        match self.options.get(name)? {
            Value::One(text) => Some(text.clone()),
            Value::List(texts) => Some(texts.join(" ")),
        }
    }

    /// An option as a list; a text falls apart at its spaces.
    #[must_use]
    pub fn words(&self, name: &str) -> Vec<String> {
        match self.options.get(name) {
            None => Vec::new(),
            Some(Value::One(text)) => text.split_whitespace().map(str::to_owned).collect(),
            Some(Value::List(texts)) => texts.clone(),
        }
    }
}

impl Value {
    /// One more word of a list. An `option` of the same name before it is its first.
    fn push(&mut self, word: String) {
        match self {
            Self::List(words) => words.push(word),
            Self::One(first) => *self = Self::List(vec![std::mem::take(first), word]),
        }
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Reads the sections of the package `wanted`, or of a text that names no package.
///
/// # Errors
/// The first line that is not UCI.
pub fn parse(text: &str, wanted: &str) -> Result<Vec<Section>, UciError> {
    let mut sections: Vec<Section> = Vec::new();
    let mut named: HashMap<(String, String), usize> = HashMap::new();
    let mut current: Option<usize> = None;
    let mut is_wanted = true;
    let shown = format!("{wanted}.");
    for (line, words) in statements(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text))? {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["package", name] => {
                is_wanted = *name == wanted;
                current = None;
            }
            ["config" | "option" | "list" | "package", ..] if !is_wanted => {}
            ["config", kind] => {
                current = Some(sections.len());
                sections.push(Section::new(kind, &format!("cfg{}", sections.len())));
            }
            ["config", kind, id] => {
                let place = named.entry(((*kind).to_owned(), (*id).to_owned())).or_insert(sections.len());
                current = Some(*place);
                if *place == sections.len() {
                    sections.push(Section::new(kind, id));
                }
            }
            [keyword @ ("option" | "list"), name, value] => {
                let section = current.and_then(|index| sections.get_mut(index));
                let section = section.ok_or(UciError::Homeless { line })?;
                section.add(keyword, name, (*value).to_owned());
            }
            ["config" | "option" | "list" | "package", ..] => return Err(UciError::Words { line }),
            [first, ..] if first.starts_with(&shown) => return Err(UciError::Shown),
            _ => return Err(UciError::Keyword { line }),
        }
    }
    Ok(sections)
}

/// The words of each line that has some. A quoted word may go over lines; a line that ends in a backslash goes on in the
/// next.
fn statements(text: &str) -> Result<Vec<(usize, Vec<String>)>, UciError> {
    let mut found = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut line = 1;
    let mut begun = 1;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\'' | '"' => {
                let opened = line;
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        None => return Err(UciError::Quote { line: opened }),
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => match escaped(&mut characters) {
                            Some('\n') => line += 1,
                            meant => word.extend(meant),
                        },
                        Some(inside) => {
                            line += usize::from(inside == '\n');
                            word.push(inside);
                        }
                    }
                }
            }
            '\\' => match escaped(&mut characters) {
                Some('\n') => line += 1,
                meant => word.get_or_insert_default().extend(meant),
            },
            '#' if word.is_none() => {
                let rest = characters.as_str();
                let end = rest.find('\n').unwrap_or(rest.len());
                characters = rest.get(end..).unwrap_or_default().chars();
            }
            '\n' | ';' => {
                words.extend(word.take());
                if !words.is_empty() {
                    found.push((begun, std::mem::take(&mut words)));
                }
                line += usize::from(c == '\n');
                begun = line;
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        found.push((begun, words));
    }
    Ok(found)
}

/// What follows a backslash; of an end of line the line feed alone.
fn escaped(characters: &mut std::str::Chars<'_>) -> Option<char> {
    if characters.as_str().starts_with("\r\n") {
        characters.next();
    }
    characters.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_comments_lists_and_unnamed_sections() {
        let text = "package dlms_client\n\n# a comment\nconfig connection '1'\n\toption name 'It'\\''s \"here\"'\n\
                    \tlist a 'x y'\n\tlist a z # not part of it\n\toption b \"q\\\"q\"\n\toption b two\n\nconfig cosem\n\toption n 'a\nb'\n";
        let sections = parse(text, "dlms_client").unwrap();
        assert_eq!((sections[0].kind.as_str(), sections[0].id.as_str()), ("connection", "1"));
        assert_eq!(sections[0].text("name").unwrap(), "It's \"here\"");
        assert_eq!(sections[0].words("a"), ["x y", "z"]);
        assert_eq!(sections[0].text("b").unwrap(), "two");
        assert_eq!(sections[1].id, "cfg1");
        assert_eq!(sections[1].text("n").unwrap(), "a\nb");
        assert_eq!(sections[1].text("absent"), None);
        assert_eq!(sections[1].words("absent"), [""; 0]);
    }

    #[test]
    fn lines_go_on_behind_a_backslash_and_end_in_either_way() {
        let text = "\u{FEFF}config a b\r\n\toption port \\\r\n\t\t4059\r\n\toption c x\\\ny\n\toption d \"p\\\nq\"\nhello";
        assert_eq!(parse(text, "dlms_client").unwrap_err(), UciError::Keyword { line: 8 });
        let sections = parse(text.strip_suffix("hello").unwrap(), "dlms_client").unwrap();
        let texts = ["port", "c", "d"].map(|name| sections[0].text(name).unwrap());
        assert_eq!(texts, ["4059", "xy", "pq"]);
    }

    #[test]
    fn a_list_goes_on_behind_an_option_and_an_option_replaces_a_list() {
        let text = "config a b\n option c 1\n list c 2\n list c 3\n list d 1\n option d 2\n list e 'x y'\n";
        let sections = parse(text, "dlms_client").unwrap();
        assert_eq!(sections[0].words("c"), ["1", "2", "3"]);
        assert_eq!(sections[0].words("d"), ["2"]);
        assert_eq!(sections[0].words("e"), ["x y"]);
    }

    #[test]
    fn sections_of_one_name_are_one_and_those_without_are_not() {
        let text = "config a cfg1\n option x 1\nconfig a\n option x 2\nconfig a\n option x 3\nconfig a cfg1\n option y 4\n";
        let sections = parse(text, "dlms_client").unwrap();
        let first: Vec<_> = sections.iter().map(|section| section.text("x").unwrap()).collect();
        assert_eq!(first, ["1", "2", "3"]);
        assert_eq!(sections[0].text("y").unwrap(), "4");
    }

    #[test]
    fn other_packages_are_passed_over() {
        let text = "package network\nconfig a b\n option x y\npackage dlms_client\nconfig c d\n option e f\n";
        let sections = parse(text, "dlms_client").unwrap();
        assert_eq!(sections.len(), 1);
        assert_eq!(sections[0].words("e"), ["f"]);
    }

    #[test]
    fn what_is_no_uci_file_is_refused_with_its_line() {
        for (text, error) in [
            ("config a 'b", UciError::Quote { line: 1 }),
            ("\noption a b", UciError::Homeless { line: 2 }),
            ("config a b\noption a", UciError::Words { line: 2 }),
            ("config a b c", UciError::Words { line: 1 }),
            ("config a b\n\nhello", UciError::Keyword { line: 3 }),
            ("dlms_client.1=connection", UciError::Shown),
        ] {
            assert_eq!(parse(text, "dlms_client").unwrap_err(), error, "{text}");
        }
    }
}
