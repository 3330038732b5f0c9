//! What can be asked, each family of verbs in a file of its own.

mod config;
mod read;

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::answer::Answer;
use super::dispatch::{Ask, ControlPlane, Ran};
use crate::error::Report;

macro_rules! verbs {
    ($($(#[doc = $doc:literal])+ $verb:ident => $name:literal),* $(,)?) => {
        /// A verb.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Verb {
            $($(#[doc = $doc])+ $verb,)*
        }

        impl Verb {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$verb),*];

            /// As in topics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$verb => $name,)* }
            }
        }
    };
}

verbs! {
    /// The configuration in force.
    ConfigGet => "config/get",
    /// What is wrong with a configuration, and what it would change.
    ConfigValidate => "config/validate",
    /// Another configuration.
    ConfigSet => "config/set",
    /// The configuration in force, changed.
    ConfigPatch => "config/patch",
    /// The change on trial stays.
    ConfigConfirm => "config/confirm",
    /// A former configuration returns.
    ConfigRollback => "config/rollback",
    /// The former configurations.
    ConfigHistory => "config/history",
    /// Values of a device or of a group, now.
    Read => "read",
    /// What `bridge/health` says, now.
    HealthCheck => "health_check",
}

impl Verb {
    /// The verb of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verb| verb.as_str() == name)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Of verbs without arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Serves a request.
pub(super) async fn run(plane: &Arc<ControlPlane>, verb: Verb, ask: Ask) -> Ran {
    match verb {
        Verb::ConfigGet => answered(config::get(plane, &ask)),
        Verb::ConfigValidate => answered(config::validate(plane, &ask).await),
        Verb::ConfigSet => config::set(plane, &ask).await,
        Verb::ConfigPatch => config::patch(plane, &ask).await,
        Verb::ConfigConfirm => answered(config::confirm(plane, &ask).await),
        Verb::ConfigRollback => config::rollback(plane, &ask).await,
        Verb::ConfigHistory => answered(config::history(plane, &ask).await),
        Verb::Read => answered(read::read(plane, &ask).await),
        Verb::HealthCheck => answered(health_check(plane, &ask)),
    }
}

fn answered(result: Result<Answer, Report>) -> Ran {
    Answer::from(result).into()
}

fn health_check(plane: &ControlPlane, ask: &Ask) -> Result<Answer, Report> {
    let Nothing {} = ask.request.arguments()?;
    Ok(Answer::ok(&plane.hub.health()))
}
