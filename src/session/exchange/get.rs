//! GET: one attribute or a list, answered at once or in blocks.

use super::{ExchangeError, Incoming, Outcome, Step};
use crate::wire::data::Data;
use crate::wire::xdlms::get::{self, GetResponse};
use crate::wire::xdlms::{AttributeRequest, DataAccessResult, GetDataResult, InvokeIdAndPriority, tag};

#[derive(Debug)]
pub(super) struct Get {
    asked: Asked,
    blocks: Incoming,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    One,
    List(usize),
}

impl Get {
    pub(super) fn one(request: &AttributeRequest, invoke: InvokeIdAndPriority, out: &mut Vec<u8>) -> Self {
        get::put_normal(out, invoke, &request.attribute, request.selection.as_ref());
        Self { asked: Asked::One, blocks: Incoming::default() }
    }

    pub(super) fn list(
        requests: &[AttributeRequest],
        invoke: InvokeIdAndPriority,
        out: &mut Vec<u8>,
    ) -> Self {
        let items = requests.iter().map(|request| (&request.attribute, request.selection.as_ref()));
        get::put_with_list(out, invoke, items);
        Self { asked: Asked::List(requests.len()), blocks: Incoming::default() }
    }

    pub(super) fn on_response(
        &mut self,
        invoke: InvokeIdAndPriority,
        apdu: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Step, ExchangeError> {
        match apdu.first() {
            Some(&tag::GET_RESPONSE) => {}
            other => return Err(ExchangeError::Unexpected(other.copied().unwrap_or_default())),
        }
        let response = match GetResponse::decode(apdu) {
            Ok(response) => response,
            // The right answer, and whole: only what it holds is not understood.
            Err(error) if get::answered(apdu).is_some_and(|answered| answered.id() == invoke.id()) => {
                return Err(ExchangeError::Value(error));
            }
            Err(error) => return Err(error.into()),
        };
        if response.invoke().id() != invoke.id() {
            return Ok(Step::Stale);
        }
        match response {
            GetResponse::Normal { result, .. } => self.whole(result),
            GetResponse::WithList { results, .. } => self.results(results),
            GetResponse::WithDataBlock { result: Err(refused), .. } => self.whole(Err(refused)),
            GetResponse::WithDataBlock { last, block, result: Ok(raw), .. } => {
                self.blocks.take(block, raw)?;
                if last {
                    return self.assembled();
                }
                get::put_next(out, invoke, block);
                Ok(Step::Send)
            }
        }
    }

    fn assembled(&self) -> Result<Step, ExchangeError> {
        match self.asked {
            Asked::One => self.whole(Ok(Data::from_bytes(&self.blocks.bytes).map_err(ExchangeError::Value)?)),
            Asked::List(_) => {
                self.results(get::decode_list_content(&self.blocks.bytes).map_err(ExchangeError::Value)?)
            }
        }
    }

    /// A single result; a meter that refuses a list as a whole refuses each of its items.
    fn whole(&self, result: GetDataResult) -> Result<Step, ExchangeError> {
        match (self.asked, result) {
            (Asked::One, result) => Ok(Step::Done(Outcome::Get(result))),
            (Asked::List(count), Err(refused)) => Ok(Step::Done(Outcome::GetList(vec![Err(refused); count]))),
            (Asked::List(_), Ok(data)) => self.results(vec![Ok(data)]),
        }
    }

    fn results(&self, mut results: Vec<GetDataResult>) -> Result<Step, ExchangeError> {
        let expected = match self.asked {
            Asked::One => 1,
            Asked::List(count) => count,
        };
        match (self.asked, results.len()) {
            (_, received) if received != expected => Err(ExchangeError::ResultCount { expected, received }),
            (Asked::One, _) => {
                let only = results.pop().unwrap_or(Err(DataAccessResult::Other(250)));
                Ok(Step::Done(Outcome::Get(only)))
            }
            (Asked::List(_), _) => Ok(Step::Done(Outcome::GetList(results))),
        }
    }
}
