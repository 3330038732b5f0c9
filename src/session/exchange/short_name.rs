//! Read and Write: the services of short name referencing, long answers in blocks.

use super::{ExchangeError, Incoming, Limits, Outcome, Step};
use crate::wire::data::Data;
use crate::wire::xdlms::sn::{
    self, Confirmation, ReadResponse, ReadResult, VariableAccess, WriteResponse, WriteResult,
};
use crate::wire::xdlms::{DataAccessResult, GetDataResult, tag};

/// A Read under way.
#[derive(Debug)]
pub(super) struct Read {
    count: usize,
    blocks: Incoming,
}

impl Read {
    pub(super) fn start(
        variables: &[VariableAccess<'_>],
        limits: Limits,
        out: &mut Vec<u8>,
    ) -> Result<Self, ExchangeError> {
        let start = out.len();
        sn::put_read(out, variables.iter());
        check_length(out.len().saturating_sub(start), limits)?;
        Ok(Self { count: variables.len(), blocks: Incoming::default() })
    }

    pub(super) fn on_response(&mut self, apdu: &[u8], out: &mut Vec<u8>) -> Result<Step, ExchangeError> {
        match apdu.first() {
            Some(&tag::READ_RESPONSE) => {}
            other => return Err(ExchangeError::Unexpected(other.copied().unwrap_or_default())),
        }
        let response = match ReadResponse::decode(apdu) {
            Ok(response) => response,
            // As many results as asked for, and only what they hold is not understood.
            Err(error) if sn::result_count(apdu) == Some(self.count) => {
                return Err(ExchangeError::Value(error));
            }
            Err(error) => return Err(error.into()),
        };
        if let [ReadResult::Block(block)] = response.results.as_slice() {
            self.blocks.take(u32::from(block.number), block.raw)?;
            if !block.last {
                sn::put_read(out, [VariableAccess::BlockNumber(block.number)].iter());
                return Ok(Step::Send);
            }
            return self.assembled();
        }
        self.results(response.results)
    }

    /// The blocks of one variable hold either a result with its choice or the value alone: no bytes are both.
    fn assembled(&self) -> Result<Step, ExchangeError> {
        match sn::decode_read_content(&self.blocks.bytes) {
            Ok(results) if results.len() == self.count => self.results(results),
            _ if self.count == 1 => {
                let data = Data::from_bytes(&self.blocks.bytes).map_err(ExchangeError::Value)?;
                Ok(Step::Done(Outcome::GetList(vec![Ok(data)])))
            }
            Ok(results) => Err(ExchangeError::ResultCount { expected: self.count, received: results.len() }),
            // All blocks came, in their order.
            Err(error) => Err(ExchangeError::Value(error)),
        }
    }

    fn results(&self, results: Vec<ReadResult<'_>>) -> Result<Step, ExchangeError> {
        if results.len() != self.count {
            return Err(ExchangeError::ResultCount { expected: self.count, received: results.len() });
        }
        let results: Result<Vec<GetDataResult>, ExchangeError> = results
            .into_iter()
            .map(|result| match result {
                ReadResult::Data(data) => Ok(Ok(data)),
                ReadResult::Error(refused) => Ok(Err(refused)),
                ReadResult::Block(_) | ReadResult::BlockNumber(_) => {
                    Err(ExchangeError::Unexpected(tag::READ_RESPONSE))
                }
            })
            .collect();
        Ok(Step::Done(Outcome::GetList(results?)))
    }
}

/// A Write under way.
#[derive(Debug)]
pub(super) struct Write {
    count: usize,
}

impl Write {
    pub(super) fn start(
        items: &[(VariableAccess<'static>, Data)],
        limits: Limits,
        out: &mut Vec<u8>,
    ) -> Result<Self, ExchangeError> {
        let start = out.len();
        let variables = items.iter().map(|(variable, _)| variable);
        sn::put_write(out, Confirmation::Confirmed, variables, items.iter().map(|(_, value)| value));
        check_length(out.len().saturating_sub(start), limits)?;
        Ok(Self { count: items.len() })
    }

    pub(super) fn on_response(&self, apdu: &[u8]) -> Result<Step, ExchangeError> {
        match apdu.first() {
            Some(&tag::WRITE_RESPONSE) => {}
            other => return Err(ExchangeError::Unexpected(other.copied().unwrap_or_default())),
        }
        let response = WriteResponse::decode(apdu)?;
        if response.results.len() != self.count {
            let received = response.results.len();
            return Err(ExchangeError::ResultCount { expected: self.count, received });
        }
        let results: Result<Vec<DataAccessResult>, ExchangeError> = response
            .results
            .into_iter()
            .map(|result| match result {
                WriteResult::Success => Ok(DataAccessResult::Success),
                WriteResult::Error(refused) => Ok(refused),
                WriteResult::BlockNumber(_) => Err(ExchangeError::Unexpected(tag::WRITE_RESPONSE)),
            })
            .collect();
        Ok(Step::Done(Outcome::Set(results?)))
    }
}

fn check_length(length: usize, limits: Limits) -> Result<(), ExchangeError> {
    if length <= limits.request { Ok(()) } else { Err(ExchangeError::RequestTooLong(length)) }
}
