//! An invocation counter that the meter refuses is raised once in a visit, and subscribers are told of it.

use super::actor::LinkActor;
use super::failure::Failure;
use super::station::Station;
use super::visit::{Found, Part};
use crate::bridge::outlet::Event;
use crate::bridge::reading::json::Json;
use crate::bridge::reading::status::{LinkState, Severity};
use crate::cosem::decimal::Decimal;
use crate::error::{Code, Layer, Report};

/// A counter that was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterResync {
    /// What we would have used next.
    pub before: u32,
    /// What we use next now.
    pub next: u32,
    /// Why.
    pub reason: ResyncReason,
}

/// Why a counter was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResyncReason {
    /// The refusal named the counter that is expected.
    Named,
    /// The meter refused us, and its own counter was above ours.
    Refused,
    /// The meter fell silent when we associated, and its own counter was above ours.
    Silence,
}

impl ResyncReason {
    const fn text(self) -> &'static str {
        match self {
            Self::Named => "the meter refused ours and named the one that it expects",
            Self::Refused => "the meter refused us; its counter was read through the public client",
            Self::Silence => "the meter did not answer us; its counter was read through the public client",
        }
    }
}

/// The highest counter that is believed of a meter. Refusals and the public client's readings are in the clear: who forges
/// one could otherwise have us use up a counter of 2^32 values at once, after which only new keys help. The rest, 2^24,
/// lasts for half a year of a request a second; counters that follow the Unix time stay below half of this.
const HIGHEST_BELIEVED: u32 = u32::MAX - (1 << 24);

/// A counter that a meter says it expects.
///
/// # Errors
/// `CIPHER_IC` for one that is not believed.
pub(super) fn believed(expected: u32) -> Result<u32, Report> {
    if expected <= HIGHEST_BELIEVED {
        return Ok(expected);
    }
    let message = format!(
        "the meter is said to expect the invocation counter {expected}: above {HIGHEST_BELIEVED} none is believed"
    );
    let hint = "if somebody forges what the meter says, find him; if the meter's counter is truly used up, give it new keys";
    Err(Report::new(Code::CipherIc, Layer::Cipher, message).with_hint(hint))
}

/// Whether a meter says that our counter is too low. A counter that has no values left is another matter.
fn is_refused_counter(report: &Report) -> bool {
    report.code == Code::CipherIc && report.dlms.is_some()
}

/// Whether something is missing because our counter was refused.
pub(super) fn lacks_counter(found: &Found) -> bool {
    match found {
        Found::Value(reading) => reading.error.iter().chain(reading.errors.values()).any(is_refused_counter),
        Found::Rows(rows) => rows.as_ref().is_err_and(is_refused_counter),
    }
}

impl LinkActor {
    /// After a visit in which the meter refused our counter: whether it was too low and is raised now; then no
    /// association is open. In a visit in which that was done before it is not done again.
    pub(super) async fn raise_counter(
        &mut self,
        index: usize,
        outcome: &Result<Part, Failure>,
    ) -> Result<bool, Failure> {
        let (failure, broken) = match outcome {
            Ok(Part { broken: None, .. }) => return Ok(false),
            Ok(Part { broken: Some(error), .. }) => (Failure::from(error.clone()), Some(error)),
            Err(failure) => (failure.clone(), None),
        };
        let (Some(port), Some(station)) = (&mut self.port, self.stations.get_mut(index)) else {
            return Ok(false);
        };
        let Ok(meter) = &mut station.meter else { return Ok(false) };
        if !is_refused_counter(&failure.report) || meter.resync().is_some() {
            return Ok(false);
        }
        if let Some(error) = broken {
            meter.learn_counter(error);
        }
        let is_raised = meter.has_caught_up(port, &failure).await?;
        if is_raised {
            self.current = None;
            station.dissociated(LinkState::Up);
        }
        Ok(is_raised)
    }

    /// Tells of a counter that was raised since this was asked last.
    pub(super) async fn say_counter_resynced(&mut self, index: usize) {
        let Some(Station { device, meter: Ok(meter), .. }) = self.stations.get_mut(index) else { return };
        let Some(CounterResync { before, next, reason }) = meter.take_resync() else { return };
        tracing::warn!(device = %device.name, before, next, reason = reason.text(), "the invocation counter was raised");
        let number = |counter: u32| Json::Number(Decimal::from(i64::from(counter)));
        let data = Json::Object(vec![
            ("before".into(), number(before)),
            ("next".into(), number(next)),
            ("reason".into(), Json::Text(reason.text().to_owned())),
        ]);
        let event = Event::of_device("counter_resynced", Severity::Warning, device.name.as_str(), &data);
        self.outlet.event(event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_counter_is_believed_that_leaves_few_values() {
        assert_eq!(believed(1), Ok(1));
        assert_eq!(believed(0xFEFF_FFFF), Ok(0xFEFF_FFFF));
        for mad in [0xFF00_0000, u32::MAX] {
            let report = believed(mad).expect_err("too high");
            assert_eq!(report.code, Code::CipherIc);
            assert!(report.hint.contains("new keys"), "{report:?}");
        }
    }
}
