//! The configuration in force and its changes, whoever brings them: each is a transaction.
//!
//! ```text
//! file, SIGHUP, MQTT, socket → candidate → validated whole → difference by name → in force → on disk → reported
//!                                                              └────── any failure: the difference turned round
//! ```
//! A change may be on trial: unless it is confirmed in time, or where the broker cannot be reached under it, the
//! former configuration returns by itself, also after a crash.

mod candidate;
mod effect;
mod file;
mod guard;
mod start;
mod unconfirmed;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

pub use self::candidate::{Candidate, What};
pub use self::guard::{guard, watch_file};
pub use self::start::Prepared;

use self::effect::{Extent, LinkEffect};
use self::file::ConfigFile;
use self::guard::Armed;
use self::unconfirmed::{ConfirmedBy, Unconfirmed};
use super::broker::publisher_settings;
use super::config::diff::{PlanStep, Section};
use super::config::history::{History, Origin, Revision};
use super::config::model::{Config, Control};
use super::config::tree::Format;
use super::config::{ConfigDiff, Problem, Problems};
use super::hub::{Current, Hub};
use super::links::Situation;
use super::orphans::{self, Known};
use super::outlet::Outlet;
use super::reading::json::Json as Payload;
use super::reading::status::Severity;
use crate::cosem::decimal::Decimal;
use crate::error::{Code, Layer, Report};

/// Time for a link to take over another configuration; a link in the midst of a long reading does it later.
const LINK_TIME: Duration = Duration::from_secs(10);

/// Time for the broker of a new configuration to be reached.
const REACH_TIME: Duration = Duration::from_secs(60);

/// The longest trial.
pub const LONGEST_TRIAL: Duration = Duration::from_secs(24 * 3600);

/// The keeper, as it is shared: one change at a time.
pub type SharedKeeper = Arc<Mutex<Keeper>>;

/// Keeps the configuration.
#[derive(Debug)]
pub struct Keeper {
    hub: Arc<Hub>,
    state_dir: PathBuf,
    file: Option<ConfigFile>,
    text: String,
    format: Format,
    history: History,
    unconfirmed: Option<Unconfirmed>,
    armed: watch::Sender<Option<Armed>>,
    /// The publisher is still at the broker of the former configuration.
    broker_waits: bool,
    /// The file holds what somebody wrote and what cannot be taken over: it is not to be written over.
    file_is_rejected: bool,
    reverted_at_start: Option<u64>,
}

/// A change to be made.
#[derive(Clone, Debug)]
pub struct Change {
    /// What is to be in force.
    pub what: What,
    /// Who brings it.
    pub origin: Origin,
    /// The revision that it was made from, where its maker says so.
    pub base_revision: Option<u64>,
    /// It is on trial for so long.
    pub confirm_within: Option<Duration>,
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The revision now in force.
    pub revision: u64,
    /// SHA-256 of its redacted form.
    pub sha256: String,
    /// What changed.
    pub plan: Vec<PlanStep>,
    /// Until when it must be confirmed.
    pub confirm_by: Option<Timestamp>,
    /// The publisher is to be told by [`Keeper::switch_broker`], once the answer is on its way.
    pub broker_waits: bool,
}

/// Why a change was not made.
#[derive(Clone, Debug)]
pub enum Rejected {
    /// The configuration is not valid.
    Problems(Vec<Problem>),
    /// Another reason.
    Report(Report),
}

impl Keeper {
    /// Keeps what a bridge starts with.
    #[must_use]
    pub fn new(prepared: Prepared, hub: Arc<Hub>) -> Self {
        let Prepared { state_dir, file, text, format, history, unconfirmed, reverted, .. } = prepared;
        let armed = watch::Sender::new(unconfirmed.as_ref().map(Armed::resumed));
        Self {
            hub,
            state_dir,
            file,
            text,
            format,
            history,
            unconfirmed,
            armed,
            broker_waits: false,
            file_is_rejected: false,
            reverted_at_start: reverted,
        }
    }

    /// The revisions that are kept.
    #[must_use]
    pub fn revisions(&self) -> &[Revision] {
        self.history.revisions()
    }

    /// Until when the revision in force must be confirmed, if it is on trial.
    #[must_use]
    pub fn confirm_by(&self) -> Option<Timestamp> {
        self.unconfirmed.as_ref().map(|unconfirmed| unconfirmed.until)
    }

    /// What would change.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn examine(&self, what: What, origin: Origin) -> Result<(Candidate, Vec<PlanStep>), Rejected> {
        let current = self.hub.current().config;
        let candidate = self.candidate(what, origin)?;
        let mut plan = ConfigDiff::between(&current, &candidate.config).plan();
        plan.extend(candidate.losses());
        Ok((candidate, plan))
    }

    /// Makes a change.
    ///
    /// # Errors
    /// Why it was not made; then everything is as it was.
    pub async fn change(&mut self, change: Change) -> Result<Changed, Rejected> {
        self.catch_up().await?;
        self.make(change).await
    }

    async fn make(&mut self, change: Change) -> Result<Changed, Rejected> {
        let Change { what, origin, base_revision, confirm_within } = change;
        let old = self.hub.current();
        if base_revision.is_some_and(|base| base != old.revision) {
            let message = format!("the configuration is at revision {}", old.revision);
            return Err(Report::new(Code::RevisionConflict, Layer::Config, message).into());
        }
        if self.unconfirmed.is_some() && origin != Origin::File {
            let message = format!("revision {} is on trial", old.revision);
            return Err(Report::new(Code::RevisionConflict, Layer::Config, message)
                .with_hint("confirm it or roll it back first")
                .into());
        }
        let (candidate, plan) = self.examine(what, origin)?;
        let Candidate { config, text, format, .. } = candidate;
        let diff = ConfigDiff::between(&old.config, &config);
        if diff.is_empty() {
            self.reword(config, text, format, origin)?;
            return Ok(self.as_it_is(plan));
        }
        let broker_changes = needs_other_connection(&old.config, &config, &diff);
        let revision = self.history.next_revision();
        self.put_in_force(Arc::new(config), revision).await?;
        let trial = match (confirm_within, broker_changes && origin != Origin::File) {
            (Some(time), _) => Some((ConfirmedBy::Request, time.min(LONGEST_TRIAL))),
            (None, true) => Some((ConfirmedBy::Connection, REACH_TIME * 2)),
            (None, false) => None,
        };
        if let Err(report) = self.store(&text, format, origin, revision, old.revision, trial) {
            let back = self.put_in_force(Arc::clone(&old.config), old.revision).await;
            self.say_failed(revision, &report, back.err()).await;
            return Err(report.into());
        }
        (self.text, self.format) = (text, format);
        if origin == Origin::File {
            self.confirmed();
        }
        self.broker_waits |= broker_changes;
        if broker_changes && origin == Origin::File {
            self.switch_broker().await;
        } else {
            self.clear_orphans();
        }
        self.say_applied(origin, plan.len()).await;
        let confirm_by = confirm_within.and_then(|_| self.confirm_by());
        Ok(Changed { confirm_by, ..self.as_it_is(plan) })
    }

    /// Brings back a former configuration, as a revision of its own; without a number the one before.
    ///
    /// # Errors
    /// `UNKNOWN_NAME` where it is no longer kept, and all that a change can fail of.
    pub async fn roll_back(&mut self, to: Option<u64>, origin: Origin) -> Result<Changed, Rejected> {
        if to.is_none() && self.unconfirmed.is_some() {
            return self.revert("rolled back on request", BrokerSwitch::Later).await;
        }
        let current = self.hub.current().revision;
        let kept = || self.history.revisions().iter().rev().map(|known| known.revision);
        let Some(to) = to.or_else(|| kept().find(|&revision| revision < current)) else {
            return Err(unknown_revision("there is no former revision").into());
        };
        let what = What::Former(to);
        self.change(Change { what, origin, base_revision: None, confirm_within: None }).await
    }

    /// Lets the change on trial stay.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where none is on trial, `REVISION_CONFLICT` where it is another.
    pub fn confirm(&mut self, revision: Option<u64>) -> Result<u64, Report> {
        let Some(unconfirmed) = &self.unconfirmed else {
            return Err(Report::new(Code::InvalidArgument, Layer::Config, "nothing is to be confirmed"));
        };
        let on_trial = unconfirmed.revision;
        if revision.is_some_and(|revision| revision != on_trial) {
            let message = format!("revision {on_trial} is on trial");
            return Err(Report::new(Code::RevisionConflict, Layer::Config, message));
        }
        self.confirmed();
        Ok(on_trial)
    }

    /// Takes over the file if somebody has changed it, and says so where that cannot be.
    pub async fn reload_file(&mut self) {
        let loaded = self.load_changed_file().await;
        self.file_is_rejected = loaded.is_err();
        match loaded {
            Ok(Some(changed)) => {
                tracing::info!(revision = changed.revision, "the changed configuration file is in force");
            }
            Ok(None) => tracing::info!("the configuration file says nothing new"),
            Err(rejected) => self.say_rejected(&rejected).await,
        }
    }

    /// Moves the publisher to the broker of the configuration in force, if it is not there yet.
    pub async fn switch_broker(&mut self) {
        if !std::mem::take(&mut self.broker_waits) {
            return;
        }
        let config = self.hub.current().config;
        match publisher_settings(&config, Some(&self.state_dir)) {
            Ok(settings) => {
                let ordered = Timestamp::now();
                if self.hub.publisher.reconfigure(settings).await.is_err() {
                    tracing::error!("the publisher has ended");
                }
                if let Some(unconfirmed) = &self.unconfirmed {
                    self.armed.send_replace(Some(Armed::with_broker(unconfirmed, ordered)));
                }
            }
            Err(report) => tracing::error!(%report, "the broker's settings cannot be used"),
        }
        self.clear_orphans();
    }

    /// Publishes what happened before anybody could hear it.
    pub async fn say_start(&mut self) {
        if let Some(reverted) = self.reverted_at_start.take() {
            self.say_reverted(reverted, "it was not confirmed before the bridge stopped").await;
        }
    }

    /// Takes over what stands in the file by now: it goes before changes from elsewhere.
    ///
    /// # Errors
    /// `REVISION_CONFLICT` where that cannot be.
    pub async fn catch_up(&mut self) -> Result<(), Rejected> {
        if self.file.as_ref().is_some_and(ConfigFile::has_changed) {
            self.reload_file().await;
        }
        if self.file_is_rejected {
            let message = "the configuration file was changed by hand and is not valid";
            return Err(Report::new(Code::RevisionConflict, Layer::Config, message)
                .with_hint("mend the file on the gateway first")
                .into());
        }
        Ok(())
    }

    async fn load_changed_file(&mut self) -> Result<Option<Changed>, Rejected> {
        let Some(file) = &mut self.file else { return Ok(None) };
        let path = file.path().display().to_string();
        let text = file
            .read()
            .map_err(|error| Report::new(Code::ConfigInvalid, Layer::Config, format!("{path}: {error}")))?;
        if text == self.text {
            return Ok(None);
        }
        let what = What::Text(text);
        let change = Change { what, origin: Origin::File, base_revision: None, confirm_within: None };
        self.make(change).await.map(Some)
    }

    /// The same configuration in other words, or nothing new at all.
    fn reword(
        &mut self,
        config: Config,
        text: String,
        format: Format,
        origin: Origin,
    ) -> Result<(), Rejected> {
        if text == self.text {
            return Ok(());
        }
        if origin != Origin::File {
            self.write_file(&text)?;
        }
        let Current { revision, outlet, .. } = self.hub.current();
        // Later changes are made to this text.
        self.hub.set_current(Current { config: Arc::new(config), revision, outlet });
        self.history.reword(revision, &text);
        (self.text, self.format) = (text, format);
        Ok(())
    }

    fn as_it_is(&self, plan: Vec<PlanStep>) -> Changed {
        let Current { config, revision, .. } = self.hub.current();
        Changed { revision, sha256: config.sha256(), plan, confirm_by: None, broker_waits: self.broker_waits }
    }

    /// Makes the links go by another configuration.
    async fn put_in_force(&self, config: Arc<Config>, revision: u64) -> Result<(), Report> {
        let old = self.hub.current();
        // What can fail comes before anything is touched.
        publisher_settings(&config, Some(&self.state_dir))?;
        let (was, is) = (&old.config.mqtt, &config.mqtt);
        let same_outlet = old.config.gateway == config.gateway
            && was.topics == is.topics
            && was.value_topics == is.value_topics;
        let (outlet, extent) = if same_outlet {
            (old.outlet.clone(), Extent::Own)
        } else {
            let topics = Arc::new(config.mqtt.topics.clone());
            let (sequence, publisher) = (Arc::clone(&self.hub.sequence), self.hub.publisher.clone());
            let outlet =
                Outlet::new(config.gateway.as_str(), topics, sequence, publisher, config.mqtt.value_topics);
            (outlet, Extent::All)
        };
        self.hub.set_current(Current { config: Arc::clone(&config), revision, outlet: outlet.clone() });
        self.hub.links.set_situation(Situation { config: Arc::clone(&config), outlet });
        let effects = effect::links(&old.config, &config, extent);
        self.each(&effects, |effect| matches!(effect, LinkEffect::Stop | LinkEffect::Restart), Step::Stop)
            .await;
        self.each(&effects, |effect| effect == LinkEffect::Reconfigure, Step::Reconfigure).await;
        for (name, effect) in &effects {
            if matches!(effect, LinkEffect::Start | LinkEffect::Restart) {
                self.hub.links.start(name);
            }
        }
        self.hub.say_inventories();
        self.hub.say_info();
        Ok(())
    }

    /// Does a step for all links concerned at once.
    async fn each(
        &self,
        effects: &[(super::config::Name, LinkEffect)],
        concerned: impl Fn(LinkEffect) -> bool,
        step: Step,
    ) {
        let mut steps = JoinSet::new();
        for (name, _) in effects.iter().filter(|(_, effect)| concerned(*effect)) {
            let (hub, name) = (Arc::clone(&self.hub), name.clone());
            steps.spawn(async move {
                match step {
                    Step::Stop => hub.links.stop(&name).await,
                    Step::Reconfigure => {
                        if let Err(report) = hub.links.reconfigure(&name, Instant::now() + LINK_TIME).await {
                            tracing::warn!(connection = %name, %report, "the link takes the new configuration over later");
                        }
                    }
                }
            });
        }
        while steps.join_next().await.is_some() {}
    }

    /// Writes everything that must outlive us. On an error nothing is left of it.
    fn store(
        &mut self,
        text: &str,
        format: Format,
        origin: Origin,
        revision: u64,
        previous: u64,
        trial: Option<(ConfirmedBy, Duration)>,
    ) -> Result<(), Report> {
        let failed = |error: std::io::Error| {
            let message = format!("the configuration cannot be kept: {error}");
            Report::new(Code::StoreDamaged, Layer::Store, message)
                .with_hint("check that the service's user may write state_dir and the configuration file")
        };
        let sha256 = self.hub.current().config.sha256();
        self.history.add(text, format, origin, sha256).map_err(failed)?;
        let unconfirmed = trial.map(|(confirmed_by, time)| Unconfirmed {
            revision,
            previous,
            until: Timestamp::now().checked_add(time).unwrap_or(Timestamp::MAX),
            confirmed_by,
        });
        let written = unconfirmed.as_ref().map_or(Ok(()), |unconfirmed| unconfirmed.write(&self.state_dir));
        let written = written.map_err(failed).and_then(|()| match origin {
            Origin::File => Ok(()),
            _ => self.write_file(text),
        });
        if let Err(report) = written {
            self.history.take_back(revision);
            Unconfirmed::forget(&self.state_dir);
            return Err(report);
        }
        if unconfirmed.is_some() {
            self.armed.send_replace(unconfirmed.as_ref().map(Armed::new));
            self.unconfirmed = unconfirmed;
        }
        Ok(())
    }

    fn write_file(&mut self, text: &str) -> Result<(), Report> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write(text).map_err(|error| {
            let message = format!("{} cannot be written: {error}", file.path().display());
            Report::new(Code::StoreDamaged, Layer::Store, message)
                .with_hint("check that the service's user may write the configuration file and its directory")
        })
    }

    fn confirmed(&mut self) {
        if self.unconfirmed.take().is_some() {
            Unconfirmed::forget(&self.state_dir);
            self.armed.send_replace(None);
        }
    }

    /// The trial is over: the former configuration returns.
    async fn revert(&mut self, why: &str, switch: BrokerSwitch) -> Result<Changed, Rejected> {
        let Some(unconfirmed) = self.unconfirmed.clone() else {
            return Err(Report::new(Code::InvalidArgument, Layer::Config, "nothing is on trial").into());
        };
        let on_trial = self.hub.current();
        let candidate = self.candidate(What::Former(unconfirmed.previous), Origin::Start)?;
        let Candidate { config, text, format, .. } = candidate;
        let diff = ConfigDiff::between(&on_trial.config, &config);
        let broker_changes = needs_other_connection(&on_trial.config, &config, &diff);
        self.put_in_force(Arc::new(config), unconfirmed.previous).await?;
        if let Err(report) = self.write_file(&text) {
            // In force it is all the same; the file says otherwise until somebody mends it.
            tracing::error!(%report, "the former configuration is in force and not in the file");
        }
        (self.text, self.format) = (text, format);
        self.history.take_back(unconfirmed.revision);
        self.confirmed();
        // What was not told to the publisher need not be taken back from it.
        self.broker_waits = broker_changes && !self.broker_waits;
        if switch == BrokerSwitch::Now {
            self.switch_broker().await;
        }
        self.clear_orphans();
        self.say_reverted(unconfirmed.revision, why).await;
        Ok(self.as_it_is(diff.plan()))
    }

    /// Has retained messages removed that nothing publishes any more.
    fn clear_orphans(&self) {
        if self.broker_waits {
            return;
        }
        let Current { config, outlet, .. } = self.hub.current();
        orphans::clear(&config, outlet.topics(), &self.hub.publisher, Known::AsPublished);
    }

    async fn say_applied(&self, origin: Origin, changes: usize) {
        let Current { config, revision, .. } = self.hub.current();
        tracing::info!(revision, origin = origin.as_str(), changes, "a configuration has come into force");
        let data = object([
            ("revision", number(revision)),
            ("sha256", Payload::Text(config.sha256())),
            ("origin", Payload::Text(origin.as_str().to_owned())),
            ("changes", number(changes as u64)),
        ]);
        self.hub.event("config_applied", Severity::Info, data).await;
    }

    async fn say_reverted(&self, reverted: u64, why: &str) {
        let revision = self.hub.current().revision;
        tracing::warn!(revision, reverted, why, "the former configuration has returned");
        let data = object([
            ("revision", number(revision)),
            ("reverted_revision", number(reverted)),
            ("reason", Payload::Text(why.to_owned())),
        ]);
        self.hub.event("config_reverted", Severity::Warning, data).await;
    }

    async fn say_failed(&self, revision: u64, why: &Report, also: Option<Report>) {
        if let Some(report) = also {
            tracing::error!(%report, "the former configuration cannot be brought back");
        }
        self.say_reverted(revision, &why.message).await;
    }

    async fn say_rejected(&self, rejected: &Rejected) {
        let lines: Vec<String> = match rejected {
            Rejected::Problems(problems) => problems.iter().map(ToString::to_string).collect(),
            Rejected::Report(report) => vec![report.to_string()],
        };
        for line in &lines {
            tracing::error!("the configuration file is not taken over: {line}");
        }
        let texts = lines.into_iter().take(20).map(Payload::Text).collect();
        let data = object([("problems", Payload::Array(texts))]);
        self.hub.event("config_rejected", Severity::Error, data).await;
    }
}

/// When the publisher is told of another broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BrokerSwitch {
    Now,
    /// When the answer is on its way.
    Later,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Stop,
    Reconfigure,
}

/// Whether the MQTT connection must be made anew.
fn needs_other_connection(old: &Config, new: &Config, diff: &ConfigDiff) -> bool {
    let is_off = |config: &Config| config.mqtt.control == Control::Off;
    diff.sections.contains(&Section::Broker)
        || diff.sections.contains(&Section::Identity)
        || old.mqtt.qos != new.mqtt.qos
        || is_off(old) != is_off(new)
}

fn unknown_revision(message: &str) -> Report {
    Report::new(Code::UnknownName, Layer::Config, message).with_hint("see config/history")
}

fn object<const N: usize>(members: [(&'static str, Payload); N]) -> Payload {
    Payload::Object(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn number(number: u64) -> Payload {
    Payload::Number(Decimal::new(i64::try_from(number).unwrap_or(i64::MAX), 0))
}

impl From<Report> for Rejected {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

impl From<Problems> for Rejected {
    fn from(Problems(problems): Problems) -> Self {
        Self::Problems(problems)
    }
}
