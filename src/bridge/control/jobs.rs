//! Requests that take long: they are listed, tell how far they are, and can be cancelled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::bridge::hub::Hub;
use crate::bridge::reading::json::Json;
use crate::bridge::reading::status::Severity;
use crate::bridge::time::rfc3339;
use crate::cosem::decimal::Decimal;
use crate::error::{Code, Layer, Report};

/// Jobs at a time.
const MOST: usize = 16;

/// The jobs that run.
#[derive(Debug, Default)]
pub(super) struct Jobs(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    last: u64,
    jobs: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    listed: Listed,
    cancel: CancellationToken,
}

/// A job as `job/list` shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Listed {
    job: String,
    verb: &'static str,
    /// Device, profile, or whatever it works on.
    subject: String,
    transaction: Option<String>,
    started: String,
    done: u64,
    /// Null where it is not known.
    total: Option<u64>,
}

/// A job that runs; off the list when it is dropped.
#[derive(Debug)]
pub(super) struct Job {
    /// What it is called.
    pub(super) id: String,
    /// When somebody has had enough of it.
    pub(super) cancel: CancellationToken,
    verb: &'static str,
    running: Arc<Mutex<Running>>,
    hub: Arc<Hub>,
}

impl Jobs {
    /// Begins a job.
    ///
    /// # Errors
    /// `BUSY` where too many run.
    pub(super) fn begin(
        &self,
        hub: &Arc<Hub>,
        verb: &'static str,
        subject: String,
        transaction: Option<String>,
    ) -> Result<Job, Report> {
        let mut running = lock(&self.0);
        if running.jobs.len() >= MOST {
            return Err(Report::new(Code::Busy, Layer::Control, "too many jobs are running"));
        }
        running.last += 1;
        let id = format!("job-{}", running.last);
        let cancel = CancellationToken::new();
        let listed = Listed {
            job: id.clone(),
            verb,
            subject,
            transaction,
            started: rfc3339(Timestamp::now()),
            done: 0,
            total: None,
        };
        running.jobs.insert(id.clone(), Entry { listed, cancel: cancel.clone() });
        Ok(Job { id, cancel, verb, running: Arc::clone(&self.0), hub: Arc::clone(hub) })
    }

    /// All that run, in the order of their begin.
    pub(super) fn list(&self) -> Vec<Listed> {
        lock(&self.0).jobs.values().map(|entry| entry.listed.clone()).collect()
    }

    /// Cancels one.
    ///
    /// # Errors
    /// `UNKNOWN_NAME` where it does not run.
    pub(super) fn cancel(&self, id: &str) -> Result<(), Report> {
        let running = lock(&self.0);
        let entry = running.jobs.get(id);
        let entry = entry.ok_or_else(|| {
            // What somebody made up may be long.
            let id: String = id.chars().take(64).collect();
            Report::new(Code::UnknownName, Layer::Control, format!("no job {id} is running"))
        })?;
        entry.cancel.cancel();
        Ok(())
    }
}

impl Job {
    /// Says how far it is.
    pub(super) async fn progress(&self, done: u64, total: Option<u64>) {
        if let Some(entry) = lock(&self.running).jobs.get_mut(&self.id) {
            (entry.listed.done, entry.listed.total) = (done, total);
        }
        let number = |number: u64| Json::Number(Decimal::new(i64::try_from(number).unwrap_or(i64::MAX), 0));
        let data = Json::Object(vec![
            ("job".into(), Json::Text(self.id.clone())),
            ("verb".into(), Json::Text(self.verb.to_owned())),
            ("done".into(), number(done)),
            ("total".into(), total.map_or(Json::Null, number)),
        ]);
        self.hub.event("job_progress", Severity::Info, data).await;
    }

    /// Does a part of it, unless it is cancelled meanwhile.
    ///
    /// # Errors
    /// `CANCELLED`.
    pub(super) async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Report> {
        tokio::select! {
            () = self.cancel.cancelled() => {
                Err(Report::new(Code::Cancelled, Layer::Control, "the job was cancelled"))
            }
            done = work => Ok(done),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        lock(&self.running).jobs.remove(&self.id);
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
