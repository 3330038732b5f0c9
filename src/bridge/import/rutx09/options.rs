//! The options of one section: each is taken once, and what nobody takes is noted.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::bridge::import::Note;
use crate::bridge::import::uci::Section;

/// A section being read.
#[derive(Debug)]
pub(super) struct Options<'a> {
    section: &'a Section,
    taken: BTreeSet<&'static str>,
    notes: Vec<Note>,
}

impl<'a> Options<'a> {
    pub(super) fn new(section: &'a Section) -> Self {
        Self { section, taken: BTreeSet::new(), notes: Vec::new() }
    }

    pub(super) fn id(&self) -> &'a str {
        &self.section.id
    }

    pub(super) fn kind(&self) -> &'a str {
        &self.section.kind
    }

    /// An option that is not empty.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.taken.insert(name);
        let text = self.section.text(name)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// An option as it stands: spaces of a password count.
    pub(super) fn verbatim(&mut self, name: &'static str) -> Option<String> {
        self.taken.insert(name);
        self.section.text(name).filter(|text| !text.is_empty())
    }

    pub(super) fn words(&mut self, name: &'static str) -> Vec<String> {
        self.taken.insert(name);
        self.section.words(name)
    }

    /// A switch; `None` where it is absent or no switch.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let text = self.text(name)?;
        match text.to_ascii_lowercase().as_str() {
            "1" | "on" | "true" | "yes" | "enabled" => Some(true),
            "0" | "off" | "false" | "no" | "disabled" => Some(false),
            _ => {
                self.note(format!("`{name}` is neither 0 nor 1"));
                None
            }
        }
    }

    /// A number in `range`. `Err` where something else stands there, which is noted.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, OutOfRange> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let (low, high) = range.into_inner();
                self.note(format!("`{name}` is {text}, and must be {low} to {high} here"));
                Err(OutOfRange)
            }
        }
    }

    /// One of the router's choices. `Err` where it is none of them, which is noted.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, OutOfRange> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let word = text.to_ascii_lowercase();
        match choices.iter().find(|(choice, _)| *choice == word) {
            Some((_, chosen)) => Ok(Some(*chosen)),
            None => {
                self.note(format!("`{name}` is {text}, a choice that is not known here"));
                Err(OutOfRange)
            }
        }
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        let title = self.section.text("name").filter(|name| !name.is_empty());
        let title = title.map_or_else(String::new, |title| format!(" ({title})"));
        let place = format!("{} {}{title}", self.section.kind, self.section.id);
        // What is printed line by line, and as comments, stays on its line: YAML ends one at U+2028 too.
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}');
        let line = |text: String| text.chars().map(|c| if breaks(c) { ' ' } else { c }).collect();
        self.notes.push(Note { place: line(place), text: line(text.into()) });
    }

    pub(super) fn into_notes(self) -> Vec<Note> {
        self.notes
    }

    /// The notes, with one for each option that nobody asked for. Their values may be secrets and are not shown.
    pub(super) fn finish(mut self) -> Vec<Note> {
        let section = self.section;
        for (name, _) in &section.options {
            if !self.taken.contains(name.as_str()) {
                self.note(format!("`{name}` has no counterpart here: not taken over"));
            }
        }
        self.notes
    }
}

/// Something that we cannot express; it has been noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfRange;
