//! From the configuration as written to the configuration as used: ranges, references, contradictions, defaults.
//!
//! Nothing stops at the first problem: what can't be made is left out, and the rest is looked at all the same.

mod connection;
mod device;
mod group;
mod mqtt;
mod unique;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;

use super::defaults;
use super::document::{self, Document};
use super::forms::Switchable;
use super::load::Source;
use super::model::{Config, Http, Outbox};
use super::name::Name;
use super::path::Path;
use super::problem::{Findings, Problem, nearest};
use super::quantity::{Flag, Integer, Period};
use crate::error::Code;

/// Makes the configuration; `None` if something that it can't be without is missing. It may be used only if no
/// error was found.
pub(super) fn validate(document: Document, source: Source, findings: &mut Findings) -> Option<Config> {
    let root = Path::root();
    within::<i64>(document.version, 1, 1..=1, &root.key("version"), findings);
    let gateway = required(document.gateway.clone(), &root.key("gateway"), findings);
    let directory = source.directory();
    let state_dir =
        directory.join(document.state_dir.as_deref().unwrap_or(FilePath::new(defaults::STATE_DIR)));
    let secrets_dir = match &document.secrets_dir {
        Some(secrets_dir) => directory.join(secrets_dir),
        None => state_dir.join(defaults::SECRETS_DIR),
    };
    let surroundings = Surroundings { directory: directory.to_owned(), gateway: gateway.clone() };
    let mqtt = mqtt::mqtt(document.mqtt.as_ref(), &surroundings, findings);
    let outbox = outbox(document.outbox.as_ref(), &root.key("outbox"), findings);
    let http = http(document.http.as_ref(), &root.key("http"), findings);

    let connections = connection::connections(&document, findings);
    let devices = device::devices(&document, &surroundings, findings);
    let groups = group::groups(&document, findings);
    unique::connections(&document, findings);
    unique::devices(&document, &devices, findings);
    unique::groups(&document, findings);
    device::on_their_connections(&document, &devices, &connections, findings);

    Some(Config {
        gateway: gateway?,
        enabled: flag(document.enabled, true),
        state_dir,
        secrets_dir,
        mqtt: mqtt?,
        outbox,
        http,
        connections: by_name(connections, |connection| &connection.name),
        devices: by_name(devices, |device| &device.name),
        groups: by_name(groups, |group| &group.name),
        document,
        source,
    })
}

/// What the parts need to know of the whole.
struct Surroundings {
    /// Where relative files are.
    directory: PathBuf,
    /// The gateway's name, unless it is missing.
    gateway: Option<Name>,
}

fn outbox(written: Option<&document::Outbox>, at: &Path, findings: &mut Findings) -> Outbox {
    let written = written.cloned().unwrap_or_default();
    let max_bytes = written.max_bytes.map_or(defaults::OUTBOX_BYTES, |size| size.0);
    if max_bytes < 64 << 10 {
        findings.error(at.key("max_bytes"), "must be at least 64KiB");
    }
    let max_age = period(written.max_age, defaults::OUTBOX_AGE);
    if max_age < Duration::from_secs(1) {
        findings.error(at.key("max_age"), "must be at least 1s");
    }
    Outbox {
        durability: written.durability.unwrap_or(defaults::DURABILITY),
        max_bytes,
        max_age,
        when_full: written.when_full.unwrap_or(defaults::WHEN_FULL),
    }
}

fn http(written: Option<&Switchable<document::Http>>, at: &Path, findings: &mut Findings) -> Option<Http> {
    let settings = written?.on()?;
    let at = at.key("listen");
    let listen = required(settings.listen.as_deref(), &at, findings)?;
    match listen.parse::<SocketAddr>() {
        Ok(listen) => Some(Http { listen }),
        Err(_) => {
            let problem = Problem::error(at, "an address and a port are expected");
            findings.push(problem.with_hint("like 127.0.0.1:9187 or [::1]:9187"));
            None
        }
    }
}

/// The elements that could be made, in a list as long as the document's.
type Made<T> = Vec<Option<T>>;

fn by_name<T>(made: Made<T>, name: fn(&T) -> &Name) -> IndexMap<Name, T> {
    made.into_iter().flatten().map(|element| (name(&element).clone(), element)).collect()
}

/// The value of a key that must be there.
fn required<T>(value: Option<T>, at: &Path, findings: &mut Findings) -> Option<T> {
    if value.is_none() {
        findings.push(missing(at));
    }
    value
}

fn missing(at: &Path) -> Problem {
    Problem::error(at.clone(), "is missing")
}

/// A number in its range, the default where it isn't given or out of range.
fn within<T>(
    value: Option<Integer>,
    default: i64,
    range: RangeInclusive<i64>,
    at: &Path,
    findings: &mut Findings,
) -> T
where
    T: TryFrom<i64> + Default,
{
    let value = value.map_or(default, |Integer(value)| value);
    if !range.contains(&value) {
        let (low, high) = range.into_inner();
        let wanted = match (low, high) {
            _ if low == high => format!("must be {low}"),
            (low, i64::MAX) => format!("must be {low} or more"),
            _ => format!("must be {low} to {high}"),
        };
        findings.error(at.clone(), format!("{wanted}, not {value}"));
    }
    T::try_from(value).unwrap_or_default()
}

/// A number of a list of choices, the default where it isn't given.
fn one_of(value: Option<Integer>, default: i64, choices: &[i64], at: &Path, findings: &mut Findings) -> i64 {
    let value = value.map_or(default, |Integer(value)| value);
    if !choices.contains(&value) {
        let choices = choices.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        findings.error(at.clone(), format!("must be one of {choices}, not {value}"));
    }
    value
}

/// A duration in its range, the default where it isn't given.
fn timed(
    value: Option<Period>,
    default: Duration,
    range: RangeInclusive<Duration>,
    at: &Path,
    findings: &mut Findings,
) -> Duration {
    let value = period(value, default);
    if !range.contains(&value) {
        let (low, high) = range.into_inner();
        let message = format!("must be {} to {}, not {}", Period(low), Period(high), Period(value));
        findings.error(at.clone(), message);
    }
    value
}

/// The same; `None` where it is switched off.
fn timed_unless_off(
    value: Option<&Switchable<Period>>,
    default: Duration,
    range: RangeInclusive<Duration>,
    at: &Path,
    findings: &mut Findings,
) -> Option<Duration> {
    match value {
        Some(Switchable::Off) => None,
        Some(Switchable::On(period)) => Some(timed(Some(*period), default, range, at, findings)),
        None => Some(default),
    }
}

fn period(value: Option<Period>, default: Duration) -> Duration {
    value.map_or(default, |Period(duration)| duration)
}

fn flag(value: Option<Flag>, default: bool) -> bool {
    value.map_or(default, |Flag(on)| on)
}

/// The problem that a name means nothing.
fn unknown<'a>(at: Path, what: &str, name: &Name, known: impl Iterator<Item = &'a Name>) -> Problem {
    let problem = Problem::error(at, format!("there is no {what} `{name}`")).with_code(Code::UnknownName);
    match nearest(name.as_str(), known.map(Name::as_str)) {
        Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
        None => problem.with_hint(format!("add it under `{what}s`, or correct the name")),
    }
}

/// Checks a text that is published or shown: not too long, without control characters.
fn plain_text(text: Option<&str>, longest: usize, at: &Path, findings: &mut Findings) {
    if let Some(text) = text
        && (text.len() > longest || text.chars().any(char::is_control))
    {
        findings.error(at.clone(), format!("must be at most {longest} bytes, without control characters"));
    }
}
