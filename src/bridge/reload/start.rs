//! What a bridge starts with: the configuration of its file, or the former one where a trial has ended meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::file::ConfigFile;
use super::unconfirmed::Unconfirmed;
use crate::bridge::config::history::{History, Origin};
use crate::bridge::config::tree::Format;
use crate::bridge::config::{Config, load_text, rewrite};
use crate::error::{Code, Layer, Report};

/// The configuration to start with, and what is known of it.
#[derive(Debug)]
pub struct Prepared {
    /// The configuration.
    pub config: Arc<Config>,
    /// Its revision.
    pub revision: u64,
    pub(super) state_dir: PathBuf,
    pub(super) file: Option<ConfigFile>,
    pub(super) text: String,
    pub(super) format: Format,
    pub(super) history: History,
    pub(super) unconfirmed: Option<Unconfirmed>,
    /// A revision that was taken back.
    pub(super) reverted: Option<u64>,
}

impl Prepared {
    /// Prepares a start with a configuration that was loaded, and the file that it came from.
    ///
    /// # Errors
    /// `CONFIG_INVALID` where the file cannot be read again.
    pub fn new(config: Config, path: Option<&Path>, state_dir: &Path) -> Result<Self, Report> {
        let mut file = path.map(ConfigFile::new);
        let text = match &mut file {
            Some(file) => file.read().map_err(|error| {
                let message = format!("{}: {error}", file.path().display());
                Report::new(Code::ConfigInvalid, Layer::Config, message)
            })?,
            None => rewrite::write(config.source().expose()),
        };
        let format = match path.and_then(Path::extension).and_then(|extension| extension.to_str()) {
            Some("json") => Format::Json,
            Some("yaml" | "yml") => Format::Yaml,
            _ => Format::of(&text),
        };
        let mut prepared = Self {
            config: Arc::new(config),
            revision: 0,
            state_dir: state_dir.to_owned(),
            file,
            text,
            format,
            history: History::open(state_dir),
            unconfirmed: None,
            reverted: None,
        };
        prepared.resume_trial();
        prepared.number();
        Ok(prepared)
    }

    fn resume_trial(&mut self) {
        let Some(unconfirmed) = Unconfirmed::read(&self.state_dir) else { return };
        if self.history.newest_if(&self.text) != Some(unconfirmed.revision) {
            // The file was not written yet, or somebody has edited it since.
            Unconfirmed::forget(&self.state_dir);
        } else if unconfirmed.until > Timestamp::now() {
            self.unconfirmed = Some(unconfirmed);
        } else if let Err(error) = self.revert(&unconfirmed) {
            tracing::error!(%error, "the former configuration cannot be brought back");
        }
    }

    fn revert(&mut self, unconfirmed: &Unconfirmed) -> Result<(), Box<dyn std::error::Error>> {
        let (text, format) = self.history.text(unconfirmed.previous)?;
        let loaded = load_text(&text, format, self.config.source().directory())?;
        if let Some(file) = &mut self.file {
            file.write(&text)?;
        }
        (self.config, self.text, self.format) = (Arc::new(loaded.config), text, format);
        self.history.take_back(unconfirmed.revision);
        Unconfirmed::forget(&self.state_dir);
        self.reverted = Some(unconfirmed.revision);
        Ok(())
    }

    /// The number of the text, or a new one where it was edited while nobody looked.
    fn number(&mut self) {
        self.revision = match self.history.newest_if(&self.text) {
            Some(revision) => revision,
            None => {
                let sha256 = self.config.sha256();
                let next = self.history.next_revision();
                self.history.add(&self.text, self.format, Origin::Start, sha256).unwrap_or_else(|error| {
                    tracing::warn!(%error, "the history of configurations cannot be written");
                    next
                })
            }
        };
    }
}
