//! From a request to its one final answer: who may ask what, what was asked before, and how many at once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tracing::Instrument;

use super::answer::Answer;
use super::jobs::Jobs;
use super::memory::{Memory, Outcome, Seen};
use super::request::{Refusal, Request, USUAL_TIME};
use super::verbs::log_level::ShownLines;
use super::verbs::test::Budget;
use super::verbs::{self, Verb};
use crate::bridge::config::model::Control;
use crate::bridge::hub::Hub;
use crate::bridge::log_level::LogLevel;
use crate::bridge::reload::SharedKeeper;
use crate::error::{Code, Layer, Report};

/// Requests that may run, or wait for their link, at a time.
const MOST_AT_ONCE: usize = 64;

/// Who asks. What may be asked over MQTT is configured; the socket is its owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody at the broker.
    Mqtt,
    /// The owner of the state directory.
    Socket,
}

/// A request as it arrived.
#[derive(Debug)]
pub struct Arrived {
    /// Its verb, whatever that is.
    pub verb: String,
    /// What it says, or why that is unknown.
    pub request: Result<Request, Refusal>,
    /// Who asks.
    pub caller: Caller,
    /// Time left to it besides what it says itself.
    pub expiry: Option<Duration>,
}

/// Where answers go.
pub trait ReplyTo: Send + Sync {
    /// Sends one; `until` is when nobody waits for it any more.
    ///
    /// # Errors
    /// Why this answer cannot be sent, where another one could.
    fn reply(&self, answer: Bytes, until: Instant) -> impl Future<Output = Result<(), Report>> + Send;
}

/// A request that is allowed, remembered, and in time.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) request: Request,
    pub(super) caller: Caller,
    pub(super) deadline: Instant,
    /// For an answer ahead of the final one.
    pub(super) interim: mpsc::Sender<Answer>,
}

/// What a verb came to.
pub(super) struct Ran {
    pub(super) answer: Answer,
    /// What follows when the answer is on its way.
    pub(super) then: Option<Then>,
}

/// What follows an answer.
pub(super) type Then = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Answers requests.
#[derive(Debug)]
pub struct ControlPlane {
    /// The running bridge.
    pub(super) hub: Arc<Hub>,
    /// The configuration.
    pub(super) keeper: SharedKeeper,
    /// The log.
    pub(super) log_level: LogLevel,
    /// Has everything made anew.
    pub(super) restart: Arc<Notify>,
    pub(super) jobs: Jobs,
    pub(super) budget: Budget,
    pub(super) shown_lines: ShownLines,
    memory: Mutex<Memory>,
    at_once: Arc<Semaphore>,
}

impl ControlPlane {
    /// The control plane of a running bridge.
    #[must_use]
    pub fn new(hub: Arc<Hub>, keeper: SharedKeeper, log_level: LogLevel, restart: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            hub,
            keeper,
            log_level,
            restart,
            jobs: Jobs::default(),
            budget: Budget::default(),
            shown_lines: ShownLines::default(),
            memory: Mutex::default(),
            at_once: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        })
    }

    /// Takes a request. What is refused is answered at once, the rest when it is done.
    pub async fn take(self: &Arc<Self>, arrived: Arrived, reply: impl ReplyTo + 'static) {
        let begun = Instant::now();
        let transaction = match &arrived.request {
            Ok(request) => request.transaction.clone(),
            Err(refusal) => refusal.transaction.clone(),
        };
        match self.admit(arrived) {
            Err(report) => {
                let payload = self.payload(&report.into(), transaction.as_deref(), begun);
                send(&reply, payload).await;
            }
            Ok(Admitted::Run { verb, ask, interims, noted, permit }) => {
                let plane = Arc::clone(self);
                let span = tracing::info_span!("request", transaction);
                let running = async move {
                    plane.run(verb, ask, interims, noted, begun, &reply).await;
                    drop(permit);
                };
                tokio::spawn(running.instrument(span));
            }
            Ok(Admitted::Again { outcome, deadline, permit }) => {
                let plane = Arc::clone(self);
                tokio::spawn(async move {
                    plane.repeat(outcome, transaction.as_deref(), begun, deadline, &reply).await;
                    drop(permit);
                });
            }
        }
    }

    fn admit(&self, arrived: Arrived) -> Result<Admitted, Report> {
        let Arrived { verb, request, caller, expiry } = arrived;
        let request = request.map_err(|refusal| refusal.report)?;
        let verb = self.allowed_verb(&verb, caller)?;
        let permit = Arc::clone(&self.at_once)
            .try_acquire_owned()
            .map_err(|_| Report::new(Code::Busy, Layer::Control, "too many requests are being served"))?;
        let left = request.time_left(Timestamp::now()).map(|left| expiry.map_or(left, |it| it.min(left)));
        let left = left.filter(|left| !left.is_zero());
        let expired = || Report::new(Code::Expired, Layer::Control, "the request came after its time");
        let deadline = Instant::now() + left.unwrap_or(Duration::from_secs(10));
        let noted = match &request.transaction {
            None => None,
            Some(transaction) => match self.memory().see(transaction, request.digest, Instant::now()) {
                Seen::New(_) if left.is_none() => {
                    self.memory().unsee(transaction);
                    return Err(expired());
                }
                Seen::New(noted) => Some(noted),
                Seen::Again(outcome) => return Ok(Admitted::Again { outcome, deadline, permit }),
                Seen::Other => {
                    let message = "this transaction was used for another request within the last ten minutes";
                    return Err(super::request::invalid(message));
                }
            },
        };
        left.ok_or_else(expired)?;
        let (interim, interims) = mpsc::channel(1);
        Ok(Admitted::Run { verb, ask: Ask { request, caller, deadline, interim }, interims, noted, permit })
    }

    fn allowed_verb(&self, name: &str, caller: Caller) -> Result<Verb, Report> {
        let verb = Verb::named(name);
        let control = &self.hub.current().config.mqtt.control;
        if caller == Caller::Mqtt && *control == Control::Off {
            return Err(Report::new(Code::NotAllowed, Layer::Control, "control over MQTT is off"));
        }
        let verb = verb.ok_or_else(|| {
            // What somebody made up may be long.
            let name: String = name.chars().take(64).collect();
            Report::new(Code::UnknownVerb, Layer::Control, format!("there is no verb {name}"))
        })?;
        if caller == Caller::Mqtt && !control.allows(verb.as_str()) {
            let message = format!("{verb} is not in mqtt.control.allow");
            return Err(Report::new(Code::NotAllowed, Layer::Control, message));
        }
        Ok(verb)
    }

    async fn run(
        self: &Arc<Self>,
        verb: Verb,
        ask: Ask,
        mut interims: mpsc::Receiver<Answer>,
        noted: Option<watch::Sender<Outcome>>,
        begun: Instant,
        reply: &impl ReplyTo,
    ) {
        let transaction = ask.request.transaction.clone();
        let plane = Arc::clone(self);
        // In a task of its own: a fault of ours costs this request an answer of INTERNAL and nothing more.
        let mut work = tokio::spawn(async move { verbs::run(&plane, verb, ask).await });
        let ran = loop {
            tokio::select! {
                Some(interim) = interims.recv() => {
                    send(reply, self.payload(&interim, transaction.as_deref(), begun)).await;
                }
                ran = &mut work => break ran.unwrap_or_else(|error| {
                    tracing::error!(%verb, %error, "a control request failed");
                    Report::new(Code::Internal, Layer::Internal, "the request could not be served").into()
                }),
            }
        };
        let mut payload = self.payload(&ran.answer, transaction.as_deref(), begun);
        if let Err(report) = reply.reply(payload.clone(), Instant::now() + USUAL_TIME).await {
            // A smaller one goes: nobody is left without an answer.
            let answer = Answer { job: ran.answer.job.clone(), ..Answer::from(report) };
            payload = self.payload(&answer, transaction.as_deref(), begun);
            send(reply, payload.clone()).await;
        }
        if let (Some(transaction), Some(noted)) = (&transaction, &noted) {
            self.memory().answered(transaction, noted, payload);
        }
        if let Some(then) = ran.then {
            self.hub.publisher.replies_sent(REPLY_TIME).await;
            then.await;
        }
    }

    /// Answers a redelivered request with what was answered before.
    async fn repeat(
        &self,
        mut outcome: watch::Receiver<Outcome>,
        transaction: Option<&str>,
        begun: Instant,
        deadline: Instant,
        reply: &impl ReplyTo,
    ) {
        let waited = tokio::time::timeout_at(
            deadline.into(),
            outcome.wait_for(|outcome| *outcome != Outcome::Running),
        );
        let report = match waited.await {
            Ok(Ok(outcome)) => match &*outcome {
                Outcome::Answered(payload) => Ok(payload.clone()),
                Outcome::Running | Outcome::Forgotten => {
                    let message = "this transaction was answered before, and the answer is no longer kept";
                    Err(super::request::invalid(message))
                }
            },
            Ok(Err(_)) => {
                Err(Report::new(Code::Internal, Layer::Internal, "the first request has no answer"))
            }
            // The first request answers for both.
            Err(_) => return,
        };
        let payload = report.unwrap_or_else(|report| self.payload(&report.into(), transaction, begun));
        send(reply, payload).await;
    }

    fn payload(&self, answer: &Answer, transaction: Option<&str>, begun: Instant) -> Bytes {
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let gateway = self.hub.current().outlet;
        answer.payload(gateway.gateway(), transaction, Timestamp::now(), duration_ms)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(reply: &impl ReplyTo, payload: Bytes) {
    if let Err(report) = reply.reply(payload, Instant::now() + USUAL_TIME).await {
        tracing::warn!(%report, "an answer cannot be sent");
    }
}

/// Time for an answer to leave before what follows it, such as another broker.
const REPLY_TIME: Duration = Duration::from_secs(3);

enum Admitted {
    Run {
        verb: Verb,
        ask: Ask,
        interims: mpsc::Receiver<Answer>,
        noted: Option<watch::Sender<Outcome>>,
        permit: OwnedSemaphorePermit,
    },
    Again {
        outcome: watch::Receiver<Outcome>,
        deadline: Instant,
        permit: OwnedSemaphorePermit,
    },
}

impl From<Answer> for Ran {
    fn from(answer: Answer) -> Self {
        Self { answer, then: None }
    }
}

impl From<Report> for Ran {
    fn from(report: Report) -> Self {
        Answer::from(report).into()
    }
}
