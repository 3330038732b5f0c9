//! What can be asked, each family of verbs in a file of its own.

mod config;
mod device;
mod job;
pub(super) mod log_level;
mod poll;
mod profile;
mod read;
pub(super) mod test;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
    /// A fresh start with a meter: pauses and lock-out are forgotten.
    DeviceReconnect => "device/reconnect",
    /// The objects that a meter shows.
    DeviceScan => "device/scan",
    /// A connection tried step by step.
    TestConnection => "test/connection",
    /// A device tried step by step.
    TestDevice => "test/device",
    /// The devices of a group tried step by step.
    TestGroup => "test/group",
    /// Rows of a profile, published.
    ProfileRead => "profile/read",
    /// Polls are suspended.
    PollPause => "poll/pause",
    /// Polls go on.
    PollResume => "poll/resume",
    /// What takes long, and runs.
    JobList => "job/list",
    /// A job has to end.
    JobCancel => "job/cancel",
    /// More of the log, or less, for a while.
    LogLevel => "log_level",
    /// Everything is made anew inside the process.
    Restart => "restart",
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
#[derive(Debug, Deserialize, Serialize)]
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
        Verb::DeviceReconnect => answered(device::reconnect(plane, &ask).await),
        Verb::DeviceScan => answered(device::scan(plane, &ask).await),
        Verb::TestConnection => answered(test::test(plane, &ask, test::Kind::Connection).await),
        Verb::TestDevice => answered(test::test(plane, &ask, test::Kind::Device).await),
        Verb::TestGroup => answered(test::test(plane, &ask, test::Kind::Group).await),
        Verb::ProfileRead => answered(profile::read(plane, &ask).await),
        Verb::PollPause => answered(poll::pause(plane, &ask).await),
        Verb::PollResume => answered(poll::resume(plane, &ask).await),
        Verb::JobList => answered(job::list(plane, &ask)),
        Verb::JobCancel => answered(job::cancel(plane, &ask)),
        Verb::LogLevel => answered(log_level::set(plane, &ask)),
        Verb::Restart => restart(plane, &ask).await,
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

async fn restart(plane: &ControlPlane, ask: &Ask) -> Ran {
    if let Err(report) = ask.request.arguments::<Nothing>() {
        return report.into();
    }
    // Whoever cannot start again had better go on.
    if let Err(report) = config::may_start_anew(plane, ask).await {
        return report.into();
    }
    let restart = Arc::clone(&plane.restart);
    Ran { answer: Answer::ok(&Nothing {}), then: Some(Box::pin(async move { restart.notify_one() })) }
}
