//! ACTION: one method or a list of them, parameters and results in blocks where they are long.

use super::{ExchangeError, Incoming, Limits, Outcome, Outgoing, Step};
use crate::wire::cursor::{Reader, put_length};
use crate::wire::data::Data;
use crate::wire::xdlms::action::{self, ActionOutcome, ActionResponse};
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::{DataAccessResult, DataBlock, InvokeIdAndPriority, MethodDescriptor, tag};

#[derive(Debug)]
pub(super) struct Action {
    asked: Asked,
    sending: Option<Outgoing>,
    receiving: Incoming,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    One,
    List(usize),
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
            return Ok(Self { asked: Asked::One, sending: None, receiving: Incoming::default() });
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
        Ok(Self { asked: Asked::One, sending: Some(blocks), receiving: Incoming::default() })
    }

    pub(super) fn start_list(
        items: &[(MethodDescriptor, Data)],
        invoke: InvokeIdAndPriority,
        limits: Limits,
        out: &mut Vec<u8>,
    ) -> Result<Self, ExchangeError> {
        let asked = Asked::List(items.len());
        let methods = || items.iter().map(|(method, _)| method);
        let start = out.len();
        action::put_with_list(out, invoke, methods(), items.iter().map(|(_, parameter)| parameter));
        let length = out.len().saturating_sub(start);
        if length <= limits.request {
            return Ok(Self { asked, sending: None, receiving: Incoming::default() });
        }
        out.truncate(start);
        let mut raw = Vec::with_capacity(length);
        put_length(&mut raw, items.len());
        items.iter().for_each(|(_, parameter)| parameter.encode(&mut raw));
        let header = length.saturating_sub(raw.len()).saturating_add(DataBlock::MAX_HEADER);
        if header >= limits.request || !limits.conformance.contains(Conformance::BLOCK_TRANSFER_WITH_ACTION) {
            return Err(ExchangeError::RequestTooLong(length));
        }
        let mut blocks = Outgoing::new(raw, limits.request.saturating_sub(header));
        action::put_with_list_first_block(out, invoke, methods(), blocks.next());
        Ok(Self { asked, sending: Some(blocks), receiving: Incoming::default() })
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
            ActionResponse::Normal { outcome, .. } => self.whole(outcome),
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
            ActionResponse::WithList { outcomes, .. } => self.outcomes(outcomes),
        }
    }

    fn assembled(&self) -> Result<Step, ExchangeError> {
        let bytes = &self.receiving.bytes;
        let mut reader = Reader::new(bytes);
        if let Asked::List(_) = self.asked {
            let outcomes = action::decode_list_content(&mut reader).map_err(ExchangeError::Value)?;
            reader.finish().map_err(ExchangeError::Value)?;
            return self.outcomes(outcomes);
        }
        // Meters put into the blocks either the returned value alone or the whole result: no value is both.
        if let Ok(data) = Data::from_bytes(bytes) {
            return Ok(Step::Done(Outcome::Action(DataAccessResult::Success, Some(Ok(data)))));
        }
        let outcome = ActionOutcome::decode(&mut reader).map_err(ExchangeError::Value)?;
        reader.finish().map_err(ExchangeError::Value)?;
        self.whole(outcome)
    }

    /// A single result; a meter that refuses a list as a whole refuses each of its methods.
    fn whole(&self, outcome: ActionOutcome) -> Result<Step, ExchangeError> {
        match self.asked {
            Asked::One => Ok(Step::Done(Outcome::Action(outcome.result, outcome.returned))),
            Asked::List(count) if outcome.result != DataAccessResult::Success => {
                Ok(Step::Done(Outcome::ActionList(vec![(outcome.result, None); count])))
            }
            Asked::List(_) => self.outcomes(vec![outcome]),
        }
    }

    fn outcomes(&self, mut outcomes: Vec<ActionOutcome>) -> Result<Step, ExchangeError> {
        let received = outcomes.len();
        match (self.asked, received) {
            (Asked::One, 1) if let Some(only) = outcomes.pop() => self.whole(only),
            (Asked::One, _) => Err(ExchangeError::ResultCount { expected: 1, received }),
            (Asked::List(expected), _) if received != expected => {
                Err(ExchangeError::ResultCount { expected, received })
            }
            (Asked::List(_), _) => {
                let pairs = outcomes.into_iter().map(|outcome| (outcome.result, outcome.returned));
                Ok(Step::Done(Outcome::ActionList(pairs.collect())))
            }
        }
    }
}
