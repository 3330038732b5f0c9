//! A configuration that might come into force: read, validated whole, and as the text that would be written.

use serde_json::Value;

use super::{Keeper, Rejected, unknown_revision};
use crate::bridge::config::destinations::not_from_afar;
use crate::bridge::config::diff::{Action, PlanStep};
use crate::bridge::config::history::Origin;
use crate::bridge::config::model::Config;
use crate::bridge::config::redact::keep_secrets;
use crate::bridge::config::rewrite::{Rewritten, rewrite};
use crate::bridge::config::tree::Format;
use crate::bridge::config::{Loaded, Path, Problem, Problems, environment, load_text, load_tree, patch};
use crate::error::Code;

/// What is to be in force.
#[derive(Clone, Debug)]
pub enum What {
    /// A whole configuration.
    Config(Value),
    /// The one in force, changed.
    Patch(Value),
    /// A whole configuration as the text of the file.
    Text(String),
    /// A former revision.
    Former(u64),
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The configuration.
    pub config: Config,
    /// Warnings.
    pub warnings: Vec<Problem>,
    /// What would be written.
    pub text: String,
    /// In which form.
    pub format: Format,
    /// Where comments would be lost.
    lost: Vec<String>,
}

impl Candidate {
    /// The losses, as steps of a plan.
    pub(super) fn losses(&self) -> impl Iterator<Item = PlanStep> {
        self.lost.iter().map(|place| PlanStep {
            kind: "file",
            name: place.clone(),
            action: Action::Update,
            reason: if place.is_empty() {
                "the file is written anew: its comments are lost".to_owned()
            } else {
                "written anew: comments there are lost".to_owned()
            },
        })
    }
}

impl Keeper {
    /// Makes a candidate.
    pub(super) fn candidate(&self, what: What, origin: Origin) -> Result<Candidate, Rejected> {
        let current = self.hub.current().config;
        let source = current.source();
        let candidate = match what {
            What::Config(tree) => self.of_tree(tree.clone(), &current, origin, &tree)?,
            What::Patch(change) => {
                let mut tree = source.expose().clone();
                patch::apply(&mut tree, &change).map_err(|problem| Problems(vec![problem]))?;
                self.of_tree(tree, &current, origin, &change)?
            }
            What::Text(text) => of_text(text, self.format, source.directory())?,
            What::Former(revision) => {
                let (text, format) = self.history.text(revision).map_err(|error| {
                    unknown_revision(&format!("revision {revision} is not kept: {error}"))
                })?;
                of_text(text, format, source.directory())?
            }
        };
        if candidate.config.state_dir != current.state_dir {
            let message = "the state directory changes only when the bridge is started anew";
            let problem = Problem::error(Path::root().key("state_dir"), message).with_code(Code::NotAllowed);
            return Err(Problems(vec![problem]).into());
        }
        Ok(candidate)
    }

    /// `request` is what its sender wrote.
    fn of_tree(
        &self,
        mut tree: Value,
        current: &Config,
        origin: Origin,
        request: &Value,
    ) -> Result<Candidate, Problems> {
        let source = current.source();
        keep_secrets(&mut tree, source.expose());
        let Loaded { config, mut warnings } = load_tree(tree, source.directory())?;
        // The owner of the socket can read all files anyway.
        let foreign = match origin {
            Origin::Mqtt => not_from_afar(&config, current, request),
            _ => Vec::new(),
        };
        if !foreign.is_empty() {
            return Err(Problems(foreign));
        }
        add_surroundings(&config, &mut warnings)?;
        let Rewritten { text, lost } =
            rewrite(&self.text, self.format, source.expose(), config.source().expose());
        Ok(Candidate { config, warnings, text, format: self.format, lost })
    }
}

fn of_text(text: String, format: Format, directory: &std::path::Path) -> Result<Candidate, Problems> {
    let Loaded { config, mut warnings } = load_text(&text, format, directory)?;
    add_surroundings(&config, &mut warnings)?;
    Ok(Candidate { config, warnings, text, format, lost: Vec::new() })
}

/// Adds what is to be said of the files and variables that a configuration names.
fn add_surroundings(config: &Config, warnings: &mut Vec<Problem>) -> Result<(), Problems> {
    let mut found = environment::inspect(config, None);
    if found.iter().any(Problem::is_error) {
        found.append(warnings);
        return Err(Problems(found));
    }
    warnings.append(&mut found);
    Ok(())
}
