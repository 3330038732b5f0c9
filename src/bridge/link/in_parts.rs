//! A poll that makes way: orders that wait are served between two exchanges, then the poll goes on where it was.

use tokio::sync::mpsc;

use super::actor::LinkActor;
use super::failure::Failure;
use super::order::{Order, Ordered};
use super::visit::{Found, Part, none_of};
use crate::bridge::config::model::Value;
use crate::client::ClientError;
use crate::error::Report;

impl LinkActor {
    /// Reads values, in parts where orders come in between. What broke it off comes with what was found by then.
    pub(super) async fn read_in_parts(
        &mut self,
        index: usize,
        values: &[Value],
        orders: &mut mpsc::Receiver<Ordered>,
    ) -> Result<(Vec<Found>, Option<Report>), Failure> {
        let mut found: Vec<Option<Found>> = values.iter().map(|_| None).collect();
        loop {
            let left: Vec<(usize, &Value)> =
                values.iter().enumerate().filter(|(place, _)| found[*place].is_none()).collect();
            let wanted: Vec<&Value> = left.iter().map(|(_, value)| *value).collect();
            let may_make_way = self.deferred.is_none();
            let outcome = {
                let make_way = || may_make_way && !orders.is_empty();
                self.attempt(index, &wanted, &make_way).await
            };
            match outcome {
                Ok(Part { found: part, broken, .. }) => {
                    for ((place, _), part) in left.into_iter().zip(part) {
                        found[place] = part;
                    }
                    if broken.is_some() || found.iter().all(Option::is_some) {
                        return Ok(complete(found, values, broken.as_ref().map(ClientError::report)));
                    }
                }
                Err(failure) if left.len() == values.len() => return Err(failure),
                Err(failure) => return Ok(complete(found, values, Some(failure.report))),
            }
            match orders.try_recv() {
                // The stations, this one among them, may be others afterwards.
                Ok(ordered) if matches!(ordered.order, Order::Reconfigure { .. }) => {
                    self.deferred = Some(ordered);
                }
                Ok(ordered) => self.serve_in_span(ordered).await,
                Err(_) => {}
            }
            // An order may have met what a poll has to wait for as well.
            if let Some(report) = self.why_wait(index) {
                return Ok(complete(found, values, Some(report)));
            }
        }
    }
}

/// Every value with something: what was not read bears what broke the poll off.
fn complete(
    found: Vec<Option<Found>>,
    values: &[Value],
    broken: Option<Report>,
) -> (Vec<Found>, Option<Report>) {
    let found = found.into_iter().zip(values).map(|(found, value)| match (found, &broken) {
        (Some(found), _) => Some(found),
        (None, Some(report)) => none_of(std::slice::from_ref(value), report).pop(),
        (None, None) => None,
    });
    (found.flatten().collect(), broken)
}
