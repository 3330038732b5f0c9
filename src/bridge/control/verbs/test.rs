//! `test/…`: a connection, a device or a group tried step by step, by name or as the request defines it.
//!
//! A test takes its place in the queue of the link that owns the line, and leaves polls alone before and after.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value as Tree;
use serde_json::value::RawValue;

use super::read::{devices_of, snapshot, unknown};
use crate::bridge::backoff::{MAX_REFUSALS, is_refusal, too_many_refusals};
use crate::bridge::config::destinations::not_from_afar;
use crate::bridge::config::model::{Config, Connection, Device, Group, Link, Value};
use crate::bridge::config::redact::keep_secrets;
use crate::bridge::config::{Name, Problem, Problems, load_tree};
use crate::bridge::control::answer::Answer;
use crate::bridge::control::dispatch::{Ask, Caller, ControlPlane};
use crate::bridge::control::request::invalid;
use crate::bridge::hub::Current;
use crate::bridge::link::order::{Answers, Order, Subject};
use crate::bridge::link::visit::{Found, none_of};
use crate::bridge::probe::{Probe, Reading, Step, test_connection, test_device};
use crate::bridge::reading::status::{IdentityStatus, Negotiated};
use crate::error::{Code, Layer, Report};

/// What a definition that has no name is called.
const NAMELESS: &str = "inline";

/// What is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connection,
    Device,
    Group,
}

/// A name, or a definition.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    connection: Option<Tree>,
    device: Option<Tree>,
    group: Option<Tree>,
}

/// `test/connection`, `test/device`, `test/group`.
pub(super) async fn test(plane: &ControlPlane, ask: &Ask, kind: Kind) -> Result<Answer, Report> {
    let Arguments { connection, device, group } = ask.request.arguments()?;
    let current = plane.hub.current();
    let mut defined = Defined::new(&current.config);
    let connection = defined.take("connections", "connection", connection)?;
    let device = defined.take("devices", "device", device)?;
    let group = defined.take("groups", "group", group)?;
    let config = match defined.config(plane, ask, &current.config)? {
        Ok(config) => config,
        Err(answer) => return Ok(answer),
    };
    let missing = |what: &str| invalid(format!("{what}: a name or a definition is expected"));
    match kind {
        Kind::Connection => {
            let name = connection.ok_or_else(|| missing("connection"))?;
            let connection = config.connections.get(&name).ok_or_else(|| unknown("connection", &name))?;
            let subject = Subject::Connection(Arc::new(connection.clone()));
            let (probe, _) = run(plane, ask, &current.config, connection, subject).await?;
            Ok(answer(Tested { probe, snapshots: None }))
        }
        Kind::Device => {
            let name = device.ok_or_else(|| missing("device"))?;
            let device = config.devices.get(&name).ok_or_else(|| unknown("device", &name))?;
            let (probe, _) = run_device(plane, ask, &current.config, &config, device, Vec::new()).await?;
            Ok(answer(Tested { probe, snapshots: None }))
        }
        Kind::Group => {
            let name = group.ok_or_else(|| missing("group"))?;
            let group = config.groups.get(&name).ok_or_else(|| unknown("group", &name))?;
            test_group(plane, ask, &current, &config, group, device.as_ref()).await
        }
    }
}

async fn test_group(
    plane: &ControlPlane,
    ask: &Ask,
    current: &Current,
    config: &Config,
    group: &Group,
    only: Option<&Name>,
) -> Result<Answer, Report> {
    let devices = devices_of(config, group, only)?;
    let (mut probes, mut snapshots) = (Vec::new(), Vec::new());
    for device in devices {
        let wanted = |value: &&Value| value.devices.contains(&device.name);
        let values: Vec<Value> = group.values.iter().filter(wanted).cloned().collect();
        let (probe, reading) =
            run_device(plane, ask, &current.config, config, device, values.clone()).await?;
        let error = probe.error().cloned();
        let serial = probe.identity.as_ref().and_then(|identity| identity.serial.clone());
        let answers = match (reading, &error) {
            (Some(Reading { found, ts, duration_ms }), _) => {
                Answers { serial, found, ts, duration_ms, broken: error.clone() }
            }
            (None, Some(error)) => Answers::nothing(none_of(&values, error)),
            (None, None) => Answers::nothing(Vec::new()),
        };
        let error = error.filter(|_| !answers.found.iter().any(Found::is_good));
        snapshots.push(snapshot(&plane.hub, current, group, device, &values, &answers, error)?);
        probes.push((device.name.clone(), probe));
    }
    Ok(answer(Tested { probe: Probe::of_all(probes), snapshots: Some(snapshots) }))
}

async fn run_device(
    plane: &ControlPlane,
    ask: &Ask,
    in_force: &Config,
    config: &Config,
    device: &Device,
    values: Vec<Value>,
) -> Result<(Probe, Option<Reading>), Report> {
    let connection = config.connection_of(device).ok_or_else(|| unknown("connection", &device.connection))?;
    let is_in_force = in_force.devices.get(&device.name) == Some(device)
        && in_force.connection_of(device) == Some(connection);
    let meter = format!("{:?} {:?}", place(&connection.link), device.server);
    // What is in force is counted with its polls.
    let trial = if is_in_force { None } else { Some(plane.budget.begin(&meter)?) };
    let subject = Subject::Device {
        device: Arc::new(device.clone()),
        connection: Arc::new(connection.clone()),
        values,
        refusals: trial.as_ref().map_or(0, |trial| trial.refusals),
    };
    let tested = run(plane, ask, in_force, connection, subject).await?;
    if let Some(trial) = trial {
        trial.end(tested.0.error());
    }
    Ok(tested)
}

/// Where a line leads, whatever its settings: two connections to one place are one line.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Tcp(&'a str, u16),
    Udp(&'a str, u16),
    Listen(std::net::SocketAddr),
    Serial(&'a std::path::Path),
}

fn place(link: &Link) -> Place<'_> {
    match link {
        Link::Tcp(tcp) => Place::Tcp(tcp.host.as_str(), tcp.port),
        Link::Udp(udp) => Place::Udp(udp.host.as_str(), udp.port),
        Link::Listen(listen) => Place::Listen(listen.address),
        Link::Serial(serial) => Place::Serial(&serial.device),
    }
}

/// Runs a test where the line's owner says when; at once where nobody owns it.
async fn run(
    plane: &ControlPlane,
    ask: &Ask,
    in_force: &Config,
    connection: &Connection,
    subject: Subject,
) -> Result<(Probe, Option<Reading>), Report> {
    let owner = in_force.connections.values().find(|other| place(&other.link) == place(&connection.link));
    if let Some(orders) = owner.and_then(|owner| plane.hub.links.orders(&owner.name)) {
        return orders.ask(ask.deadline, |ask| Order::Test { subject, ask }).await;
    }
    let testing = async {
        match &subject {
            Subject::Connection(connection) => (test_connection(connection).await, None),
            Subject::Device { device, connection, values, .. } => {
                let values: Vec<&Value> = values.iter().collect();
                test_device(device, connection, &plane.hub.links.shared().counters, &values).await
            }
        }
    };
    tokio::time::timeout_at(ask.deadline.into(), testing).await.map_err(|_| {
        Report::new(Code::Expired, Layer::Control, "the test did not end in the time of the request")
    })
}

/// What a test came to.
struct Tested {
    probe: Probe,
    snapshots: Option<Vec<Box<RawValue>>>,
}

fn answer(tested: Tested) -> Answer {
    #[derive(Serialize)]
    struct Data<'a> {
        ok: bool,
        steps: &'a [Step],
        negotiated: &'a Option<Negotiated>,
        identity: &'a Option<IdentityStatus>,
        #[serde(skip_serializing_if = "Option::is_none")]
        snapshots: Option<Vec<Box<RawValue>>>,
    }
    let Tested { probe, snapshots } = tested;
    let error = probe.error().cloned();
    let data = Data {
        ok: probe.ok,
        steps: &probe.steps,
        negotiated: &probe.negotiated,
        identity: &probe.identity,
        snapshots,
    };
    match error {
        Some(error) => Answer::failed(&data, error),
        None => Answer::ok(&data),
    }
}

/// The configuration in force with what the request defines in its place.
struct Defined {
    tree: Tree,
    is_changed: bool,
}

impl Defined {
    fn new(config: &Config) -> Self {
        Self { tree: config.source().expose().clone(), is_changed: false }
    }

    /// The name of what an argument names or defines.
    fn take(&mut self, list: &str, what: &str, argument: Option<Tree>) -> Result<Option<Name>, Report> {
        let name_of =
            |name: &str| name.parse::<Name>().map(Some).map_err(|error| invalid(format!("{what}: {error}")));
        match argument {
            None | Some(Tree::Null) => Ok(None),
            Some(Tree::String(name)) => name_of(&name),
            Some(Tree::Object(mut definition)) => {
                let name = definition.entry("name").or_insert_with(|| NAMELESS.into());
                let Some(name) = name.as_str().map(str::to_owned) else {
                    return Err(invalid(format!("{what}.name: a text is expected")));
                };
                self.put(list, &name, Tree::Object(definition));
                name_of(&name)
            }
            Some(_) => Err(invalid(format!("{what}: a name or a definition is expected"))),
        }
    }

    fn put(&mut self, list: &str, name: &str, definition: Tree) {
        self.is_changed = true;
        let Tree::Object(tree) = &mut self.tree else { return };
        let elements = tree.entry(list).or_insert_with(|| Tree::Array(Vec::new()));
        let Tree::Array(elements) = elements else { return };
        let is_named = |element: &&mut Tree| element.get("name").and_then(Tree::as_str) == Some(name);
        match elements.iter_mut().find(is_named) {
            Some(element) => *element = definition,
            None => elements.push(definition),
        }
    }

    /// The configuration to test; as an answer, what is wrong with it.
    fn config(
        mut self,
        plane: &ControlPlane,
        ask: &Ask,
        in_force: &Arc<Config>,
    ) -> Result<Result<Arc<Config>, Answer>, Report> {
        if !self.is_changed {
            return Ok(Ok(Arc::clone(in_force)));
        }
        let control = &plane.hub.current().config.mqtt.control;
        if ask.caller == Caller::Mqtt && !control.allows_inline_tests() {
            let message = "definitions in tests need test_inline in mqtt.control.allow";
            return Err(Report::new(Code::NotAllowed, Layer::Control, message));
        }
        let source = in_force.source();
        keep_secrets(&mut self.tree, source.expose());
        let loaded = load_tree(self.tree, source.directory()).and_then(|loaded| {
            let foreign = match ask.caller {
                Caller::Mqtt => not_from_afar(&loaded.config, in_force, &ask.request.arguments),
                Caller::Socket => Vec::new(),
            };
            if foreign.is_empty() { Ok(loaded) } else { Err(Problems(foreign)) }
        });
        Ok(loaded.map(|loaded| Arc::new(loaded.config)).map_err(|Problems(problems)| refused(problems)))
    }
}

fn refused(problems: Vec<Problem>) -> Answer {
    #[derive(Serialize)]
    struct Refused {
        problems: Vec<Problem>,
    }
    let foreign = problems.iter().any(|problem| problem.code == Code::NotAllowed);
    let code = if foreign { Code::NotAllowed } else { Code::ConfigInvalid };
    let message = problems.first().map_or_else(String::new, ToString::to_string);
    Answer::failed(&Refused { problems }, Report::new(code, Layer::Config, message))
}

/// Refusals of meters under definitions that are not configured: the meter counts them whoever asks.
#[derive(Debug, Default)]
pub(in crate::bridge::control) struct Budget(Mutex<HashMap<String, (u32, Instant)>>);

/// After this time a meter may be tried again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(3600);

/// Most meters that are remembered.
const MOST_METERS: usize = 256;

/// A test that may be refused: it counts as refused until it is known to be something else, so that tests at the
/// same time, or broken off, are counted too.
struct Trial<'b> {
    budget: &'b Budget,
    meter: String,
    /// Refusals before it.
    refusals: u32,
}

impl Budget {
    fn begin(&self, meter: &str) -> Result<Trial<'_>, Report> {
        let mut refusals = self.lock();
        refusals.retain(|_, (_, since)| since.elapsed() < FORGIVEN_AFTER);
        let before = refusals.get(meter).map_or(0, |(count, _)| *count);
        // Forgetting one of them would be worse than refusing a test.
        if before >= MAX_REFUSALS || refusals.len() >= MOST_METERS && before == 0 {
            return Err(too_many_refusals());
        }
        refusals.insert(meter.to_owned(), (before + 1, Instant::now()));
        Ok(Trial { budget: self, meter: meter.to_owned(), refusals: before })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (u32, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trial<'_> {
    fn end(self, error: Option<&Report>) {
        let mut refusals = self.budget.lock();
        match error {
            // The meter has been told the right thing: it counts from the beginning.
            None => drop(refusals.remove(&self.meter)),
            Some(error) if is_refusal(error.code, error.dlms) => {}
            Some(_) => match refusals.get_mut(&self.meter) {
                Some((count, _)) if *count > 1 => *count -= 1,
                _ => drop(refusals.remove(&self.meter)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_do_not_use_up_the_attempts_of_a_meter() {
        let budget = Budget::default();
        let refusal = Report::new(Code::AuthHls, Layer::Hls, "m");
        let silence = Report::new(Code::Timeout, Layer::Hdlc, "m");
        for _ in 0..MAX_REFUSALS {
            budget.begin("a").unwrap().end(Some(&silence));
            budget.begin("a").unwrap().end(Some(&refusal));
        }
        assert_eq!(budget.begin("a").err().unwrap().code, Code::NotAllowed);
        budget.begin("b").unwrap().end(None);
        assert!(budget.lock().len() == 1, "what went well is not remembered");
        let at_once: Vec<_> = (0..MAX_REFUSALS).map(|_| budget.begin("c").unwrap()).collect();
        assert!(budget.begin("c").is_err(), "tests under way count");
        at_once.into_iter().for_each(|trial| trial.end(Some(&silence)));
        assert_eq!(budget.begin("c").unwrap().refusals, 0);
    }
}
