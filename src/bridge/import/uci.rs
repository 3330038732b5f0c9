//! The text of a UCI file: sections with options, as OpenWrt's `/etc/config` holds and `uci export` prints them.

use thiserror::Error;

/// A section. One that is named twice is one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is a section of: `connection`, `cosem`.
    pub kind: String,
    /// Its name; `cfg` and its place where it has none.
    pub id: String,
    /// Its options, in order; the last of a name counts.
    pub options: Vec<(String, Value)>,
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

impl Section {
    /// An option as one text; words of a list with spaces between.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::One(text) => Some(text.clone()),
            Value::List(texts) => Some(texts.join(" ")),
        }
    }

    /// An option as a list; a text falls apart at its spaces.
    #[must_use]
    pub fn words(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            None => Vec::new(),
            Some(Value::One(text)) => text.split_whitespace().map(str::to_owned).collect(),
            Some(Value::List(texts)) => texts.clone(),
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
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
    let mut current: Option<usize> = None;
    let mut is_wanted = true;
    let shown = format!("{wanted}.");
    for (line, words) in statements(text)? {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["package", name] => {
                is_wanted = *name == wanted;
                current = None;
            }
            ["config" | "option" | "list" | "package", ..] if !is_wanted => {}
            ["config", kind, name @ ..] if name.len() <= 1 => {
                let id = name.first().map_or_else(|| format!("cfg{}", sections.len()), |id| (*id).to_owned());
                let known = sections.iter().position(|section| section.kind == *kind && section.id == id);
                current = known.or_else(|| {
                    sections.push(Section { kind: (*kind).to_owned(), id, options: Vec::new() });
                    sections.len().checked_sub(1)
                });
            }
            ["option" | "list", name, value] => {
                let section = current.and_then(|index| sections.get_mut(index));
                let section = section.ok_or(UciError::Homeless { line })?;
                add(section, words[0], name, (*value).to_owned());
            }
            ["config" | "option" | "list" | "package", ..] => return Err(UciError::Words { line }),
            [first, ..] if first.starts_with(&shown) => return Err(UciError::Shown),
            _ => return Err(UciError::Keyword { line }),
        }
    }
    Ok(sections)
}

fn add(section: &mut Section, keyword: &str, name: &str, value: String) {
    let listed = section.options.iter_mut().find_map(|(key, known)| match known {
        Value::List(list) if key == name => Some(list),
        Value::One(_) | Value::List(_) => None,
    });
    match (keyword, listed) {
        ("list", Some(list)) => list.push(value),
        ("list", None) => section.options.push((name.to_owned(), Value::List(vec![value]))),
        _ => {
            section.options.retain(|(key, _)| key != name);
            section.options.push((name.to_owned(), Value::One(value)));
        }
    }
}

/// The words of each line that has some. A quoted word may go over lines.
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
                        Some('\\') if c == '"' => word.extend(characters.next()),
                        Some(inside) => {
                            line += usize::from(inside == '\n');
                            word.push(inside);
                        }
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
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
