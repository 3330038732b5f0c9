//! ACTION: one method, its parameter or its result in blocks where they are long.

use super::{ExchangeError, Incoming, Limits, Outcome, Outgoing, Step};
use crate::wire::cursor::Reader;
use crate::wire::data::Data;
use crate::wire::xdlms::action::{self, ActionOutcome, ActionResponse};
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::{DataAccessResult, DataBlock, InvokeIdAndPriority, MethodDescriptor, tag};

#[derive(Debug)]
pub(super) struct Action {
    sending: Option<Outgoing>,
    receiving: Incoming,
}

impl Action {
    pub(super) fn start(
        method: MethodDescriptor,
        parameter: Option<&Data>,
        invoke: InvokeIdAndPriority,
        limits: Limits,
        out: &mut Vec<u8>,
    ) -> Result<Self, ExchangeError> {
        let start = out.len();
        action::put_normal(out, invoke, &method, parameter);
        let length = out.len().saturating_sub(start);
        if length <= limits.request {
            return Ok(Self { sending: None, receiving: Incoming::default() });
        }
        let Some(parameter) =
            parameter.filter(|_| limits.conformance.contains(Conformance::BLOCK_TRANSFER_WITH_ACTION))
        else {
            return Err(ExchangeError::RequestTooLong(length));
        };
        out.truncate(start);
        let raw = parameter.to_bytes();
        let header = length.saturating_sub(raw.len()).saturating_add(DataBlock::MAX_HEADER);
        if header >= limits.request {
            return Err(ExchangeError::RequestTooLong(length));
        }
        let mut blocks = Outgoing::new(raw, limits.request.saturating_sub(header));
        action::put_first_block(out, invoke, &method, blocks.next());
        Ok(Self { sending: Some(blocks), receiving: Incoming::default() })
    }

    pub(super) fn on_response(
        &mut self,
        invoke: InvokeIdAndPriority,
        apdu: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Step, ExchangeError> {
        match apdu.first() {
            Some(&tag::ACTION_RESPONSE) => {}
            other => return Err(ExchangeError::Unexpected(other.copied().unwrap_or_default())),
        }
        let response = ActionResponse::decode(apdu)?;
        if response.invoke().id() != invoke.id() {
            return Ok(Step::Stale);
        }
        match response {
            ActionResponse::Normal { outcome, .. } => Ok(done(outcome)),
            ActionResponse::NextBlock { block, .. } => {
                let next = Outgoing::acknowledged(self.sending.as_mut(), block)?;
                action::put_block(out, invoke, next);
                Ok(Step::Send)
            }
            ActionResponse::Block { block, .. } => {
                self.receiving.take(block.number, block.raw)?;
                if block.last {
                    return self.assembled();
                }
                action::put_next_block(out, invoke, block.number);
                Ok(Step::Send)
            }
            ActionResponse::WithList { outcomes, .. } => {
                let received = outcomes.len();
                match <[ActionOutcome; 1]>::try_from(outcomes) {
                    Ok([outcome]) => Ok(done(outcome)),
                    Err(_) => Err(ExchangeError::ResultCount { expected: 1, received }),
                }
            }
        }
    }

    /// Meters put into the blocks either the returned value alone or the whole result: no value is both.
    fn assembled(&self) -> Result<Step, ExchangeError> {
        let bytes = &self.receiving.bytes;
        if let Ok(data) = Data::from_bytes(bytes) {
            return Ok(Step::Done(Outcome::Action(DataAccessResult::Success, Some(Ok(data)))));
        }
        let mut reader = Reader::new(bytes);
        let outcome = ActionOutcome::decode(&mut reader)?;
        reader.finish()?;
        Ok(done(outcome))
    }
}

fn done(outcome: ActionOutcome) -> Step {
    Step::Done(Outcome::Action(outcome.result, outcome.returned))
}
