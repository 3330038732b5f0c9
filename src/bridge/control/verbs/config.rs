//! `config/…`: the configuration shown, checked and changed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bridge::config::diff::PlanStep;
use crate::bridge::config::redact::{foreign_references, keep_secrets};
use crate::bridge::config::{Config, ConfigDiff, Loaded, Problem, Problems, load_tree};
use crate::bridge::control::answer::Answer;
use crate::bridge::control::dispatch::{Ask, ControlPlane};
use crate::bridge::control::request::invalid;
use crate::bridge::hub::Current;
use crate::error::Report;

use super::Nothing;

/// `config/get`.
pub(super) fn get(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Serialize)]
    struct Shown {
        config: Value,
        revision: u64,
        sha256: String,
    }
    let Nothing {} = ask.request.arguments()?;
    let Current { config, revision, .. } = plane.hub.current();
    Ok(Answer::ok(&Shown { config: config.to_json_redacted(), revision, sha256: config.sha256() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Candidate {
    config: Option<Value>,
    patch: Option<Value>,
}

/// `config/validate`.
pub(super) fn validate(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    #[derive(Serialize)]
    struct Verdict {
        valid: bool,
        problems: Vec<Problem>,
        plan: Vec<PlanStep>,
    }
    let candidate: Candidate = ask.request.arguments()?;
    let current = plane.hub.current().config;
    let tree = candidate.tree(&current)?;
    let verdict = match candidate_config(tree, &current) {
        Ok(Loaded { config, warnings }) => {
            Verdict { valid: true, problems: warnings, plan: ConfigDiff::between(&current, &config).plan() }
        }
        Err(Problems(problems)) => Verdict { valid: false, problems, plan: Vec::new() },
    };
    Ok(Answer::ok(&verdict))
}

impl Candidate {
    fn tree(self, _current: &Config) -> Result<Value, Report> {
        match (self.config, self.patch) {
            (Some(config), None) => Ok(config),
            _ => Err(invalid("either config or patch is expected")),
        }
    }
}

fn candidate_config(mut tree: Value, current: &Config) -> Result<Loaded, Problems> {
    keep_secrets(&mut tree, current.source().expose());
    let loaded = load_tree(tree, current.source().directory())?;
    let foreign = foreign_references(&loaded.config, current);
    if foreign.is_empty() { Ok(loaded) } else { Err(Problems(foreign)) }
}
