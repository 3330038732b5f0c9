//! Configurations of other products, as ours.
//!
//! What another product knows and we do not is never dropped in silence: each import ends with a list of [`Note`]s.

pub mod rutx09;
mod slug;
pub mod uci;

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::config::document::Document;

/// A configuration that was imported, and what there is to know about it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Ours. It loads without an error.
    pub document: Document,
    /// What the document names as files and has to be written.
    pub secrets: Vec<SecretFile>,
    /// What could not be taken over as it was.
    pub notes: Vec<Note>,
}

/// A secret that leaves the configuration for a file of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// Where the document expects it.
    pub path: PathBuf,
    /// What stands in it, without a line end.
    pub content: Zeroizing<String>,
}

/// What could not be taken over as it was, and what stands there instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The section of the other product.
    pub place: String,
    /// What is different. Never a secret.
    pub text: String,
}

impl Imported {
    /// The configuration as text, with the notes above it.
    ///
    /// # Errors
    /// Never for a document of an import: all its keys are texts.
    pub fn yaml(&self) -> Result<String, super::config::tree::WriteError> {
        let mut text = String::from("# Imported. Check it with: dlms2mqtt check --config FILE\n");
        if !self.notes.is_empty() {
            text.push_str("#\n# What could not be taken over as it was:\n");
        }
        for note in &self.notes {
            text.push_str(&format!("# - {note}\n"));
        }
        text.push('\n');
        text.push_str(&super::config::tree::write(&self.document)?);
        Ok(text)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretFile({}, ***)", self.path.display())
    }
}
