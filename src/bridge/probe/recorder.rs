//! The steps of a test as they are published, and the clock beside them.

use std::time::Instant;

use serde::Serialize;

use crate::bridge::config::Name;
use crate::error::Report;

/// What is tested, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// The host's name.
    Resolve,
    /// The connection to the host.
    Connect,
    /// The port, where there is no host.
    Open,
    /// The sign-on of IEC 62056-21.
    ModeE,
    /// The HDLC link.
    Snrm,
    /// The invocation counter, through the public client.
    Counter,
    /// The association.
    Aarq,
    /// The proofs of high level authentication.
    Hls,
    /// Identity and values.
    Read,
    /// Leave-taking.
    Release,
}

impl StepName {
    const ALL: [Self; 10] = [
        Self::Resolve,
        Self::Connect,
        Self::Open,
        Self::ModeE,
        Self::Snrm,
        Self::Counter,
        Self::Aarq,
        Self::Hls,
        Self::Read,
        Self::Release,
    ];

    /// The published name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Open => "open",
            Self::ModeE => "mode_e",
            Self::Snrm => "snrm",
            Self::Counter => "counter",
            Self::Aarq => "aarq",
            Self::Hls => "hls",
            Self::Read => "read",
            Self::Release => "release",
        }
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It worked.
    Ok,
    /// It failed.
    Failed,
    /// It was not needed, or could not be tried any more.
    Skipped,
}

impl StepStatus {
    /// As published.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One step of a test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The device, where several are tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Name>,
    /// Which step.
    pub step: StepName,
    /// What it came to.
    pub status: StepStatus,
    /// How long it took.
    pub duration_ms: u64,
    /// What was found, or why it was skipped.
    pub detail: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Report>,
}

/// Collects steps.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    steps: Vec<Step>,
    why_skipped: Option<&'static str>,
}

impl Recorder {
    pub(super) fn ok(&mut self, step: StepName, begun: Instant, detail: String) {
        self.ok_until(step, begun, Instant::now(), detail);
    }

    pub(super) fn ok_until(&mut self, step: StepName, begun: Instant, ended: Instant, detail: String) {
        let duration_ms = millis(begun, ended);
        self.put(Step { device: None, step, status: StepStatus::Ok, duration_ms, detail, error: None });
    }

    pub(super) fn failed(&mut self, step: StepName, begun: Instant, error: Report) {
        let (duration_ms, detail) = (millis_since(begun), error.message.clone());
        self.put(Step {
            device: None,
            step,
            status: StepStatus::Failed,
            duration_ms,
            detail,
            error: Some(error),
        });
    }

    pub(super) fn skip(&mut self, step: StepName, why: impl Into<String>) {
        let detail = why.into();
        self.put(Step {
            device: None,
            step,
            status: StepStatus::Skipped,
            duration_ms: 0,
            detail,
            error: None,
        });
    }

    /// Why the steps that are still missing are left out, if it is not for a failure.
    pub(super) fn skip_rest(&mut self, why: &'static str) {
        self.why_skipped = Some(why);
    }

    /// Every step once, in order.
    pub(super) fn finish(mut self) -> Vec<Step> {
        let has_failed = self.steps.iter().any(|step| step.status == StepStatus::Failed);
        let why = if has_failed { "a step before failed" } else { self.why_skipped.unwrap_or("not reached") };
        for step in StepName::ALL {
            if !self.steps.iter().any(|done| done.step == step) {
                self.skip(step, why);
            }
        }
        self.steps.sort_by_key(|step| step.step);
        self.steps
    }

    /// A step that is taken again replaces what it was before.
    fn put(&mut self, step: Step) {
        self.steps.retain(|done| done.step != step.step);
        self.steps.push(step);
    }
}

pub(super) fn millis_since(begun: Instant) -> u64 {
    millis(begun, Instant::now())
}

fn millis(begun: Instant, ended: Instant) -> u64 {
    u64::try_from(ended.saturating_duration_since(begun).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Layer};

    #[test]
    fn every_step_stands_once_in_order() {
        let now = Instant::now();
        let mut recorder = Recorder::default();
        recorder.ok(StepName::Snrm, now, "first".to_owned());
        recorder.skip(StepName::Resolve, "no name");
        recorder.failed(StepName::Snrm, now, Report::new(Code::HdlcNoUa, Layer::Hdlc, "no answer"));
        let steps = recorder.finish();
        assert_eq!(steps.iter().map(|step| step.step).collect::<Vec<_>>(), StepName::ALL);
        assert_eq!(steps[0].detail, "no name");
        assert_eq!((steps[4].status, steps[4].detail.as_str()), (StepStatus::Failed, "no answer"));
        assert_eq!(steps[9].detail, "a step before failed");
        let json = serde_json::to_value(&steps[3]).unwrap();
        let expected =
            r#"{"step":"mode_e","status":"skipped","duration_ms":0,"detail":"a step before failed"}"#;
        assert_eq!(json, serde_json::from_str::<serde_json::Value>(expected).unwrap());
        for step in steps {
            assert_eq!(serde_json::to_value(step.step).unwrap(), step.step.as_str());
        }
    }
}
