//! One confirmed service from its first request to its outcome, block transfers included. No clock, no link.
//!
//! An [`Exchange`] writes request APDUs and takes response APDUs, both in plain form; ciphering and general
//! block transfer lie below it, links and their time-outs below those.

mod action;
mod get;
mod set;
mod short_name;

use crate::wire::data::Data;
use crate::wire::error::WireError;
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::fault::{ConfirmedServiceError, ExceptionResponse};
use crate::wire::xdlms::sn::VariableAccess;
use crate::wire::xdlms::{
    AttributeRequest, DataAccessResult, DataBlock, GetDataResult, InvokeIdAndPriority, MethodDescriptor, tag,
};

/// Longest value that is put together from blocks, in bytes.
const MAX_TRANSFER: usize = 8 << 20;

/// Blocks without data in a row that are taken from a meter that has more to come.
const MAX_EMPTY_BLOCKS: u32 = 16;

/// Blocks that may be as short as they like. What comes after them must hold [`LEAST_OCTETS`] on average: the smallest
/// PDUs of meters leave room for more.
const SHORT_BLOCKS: usize = 64;

/// Octets of data that a block holds on average.
const LEAST_OCTETS: usize = 8;

/// A service to run.
#[derive(Clone, Debug, PartialEq)]
pub enum Service {
    /// GET of one attribute.
    Get(AttributeRequest),
    /// GET of several attributes in one request.
    GetList(Vec<AttributeRequest>),
    /// SET of one attribute.
    Set(AttributeRequest, Data),
    /// SET of several attributes in one request.
    SetList(Vec<(AttributeRequest, Data)>),
    /// ACTION: one method, with its parameters.
    Action(MethodDescriptor, Option<Data>),
    /// ACTION: several methods in one request, each with its parameters; null-data where it has none.
    ActionList(Vec<(MethodDescriptor, Data)>),
    /// Read of short names.
    Read(Vec<VariableAccess<'static>>),
    /// Write to short names.
    Write(Vec<(VariableAccess<'static>, Data)>),
}

/// What a service came to. An error of one attribute is a result inside it.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Of `Get`.
    Get(GetDataResult),
    /// Of `GetList` and `Read`, in the order of the request.
    GetList(Vec<GetDataResult>),
    /// Of `Set`, `SetList` and `Write`, in the order of the request.
    Set(Vec<DataAccessResult>),
    /// Of `Action`: its result, and what the method returned.
    Action(DataAccessResult, Option<GetDataResult>),
    /// Of `ActionList`, in the order of the request.
    ActionList(Vec<(DataAccessResult, Option<GetDataResult>)>),
}

/// Why an exchange ended without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The response cannot be decoded.
    #[error("response not understood: {0}")]
    Wire(#[from] WireError),
    /// The response is the right one and whole, and its content cannot be decoded.
    #[error("value not understood: {0}")]
    Value(WireError),
    /// The meter answered with an exception-response.
    #[error("{0}")]
    Exception(ExceptionResponse),
    /// The meter answered one request with an exception-response, in an association that it has just shown to be open.
    #[error("{0}")]
    Refused(ExceptionResponse),
    /// The meter answered with a ConfirmedServiceError.
    #[error("{0}")]
    ServiceError(ConfirmedServiceError),
    /// A response of another service.
    #[error("unexpected APDU with tag {0:#04x}")]
    Unexpected(u8),
    /// A block out of order.
    #[error("block {received} instead of {expected}")]
    BlockNumber {
        /// The block that was due.
        expected: u32,
        /// The block that came.
        received: u32,
    },
    /// Blocks with hardly any data or none, and always more to come.
    #[error("blocks with hardly any data, and no end of them")]
    SparseBlocks,
    /// A list response with another number of results than asked for.
    #[error("{received} results for {expected} requests")]
    ResultCount {
        /// Requests sent.
        expected: usize,
        /// Results received.
        received: usize,
    },
    /// More data than this client takes.
    #[error("the value is longer than {MAX_TRANSFER} bytes")]
    TooLong,
    /// The request does not fit the meter's PDU, and it takes no blocks for it.
    #[error("the request of {0} bytes does not fit the meter's PDU size")]
    RequestTooLong(usize),
}

/// What follows from a response.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// The next request stands in the buffer.
    Send,
    /// The service is done.
    Done(Outcome),
    /// A response to an earlier request: dropped.
    Stale,
}

/// What the peer takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Longest plain request APDU in bytes.
    pub(super) request: usize,
    /// The negotiated services.
    pub(super) conformance: Conformance,
}

/// A confirmed service under way.
#[derive(Debug)]
pub(super) struct Exchange {
    invoke: InvokeIdAndPriority,
    transfer: Transfer,
}

#[derive(Debug)]
enum Transfer {
    Get(get::Get),
    Set(set::Set),
    Action(action::Action),
    Read(short_name::Read),
    Write(short_name::Write),
}

impl Exchange {
    /// Starts a service: its first request is appended to `out`.
    pub(super) fn start(
        service: Service,
        invoke: InvokeIdAndPriority,
        limits: Limits,
        out: &mut Vec<u8>,
    ) -> Result<Self, ExchangeError> {
        let transfer = match service {
            Service::Get(request) => Transfer::Get(get::Get::one(&request, invoke, out)),
            Service::GetList(requests) => Transfer::Get(get::Get::list(&requests, invoke, out)),
            Service::Set(request, data) => {
                Transfer::Set(set::Set::start(&[(request, data)], set::Form::One, invoke, limits, out)?)
            }
            Service::SetList(items) => {
                Transfer::Set(set::Set::start(&items, set::Form::List, invoke, limits, out)?)
            }
            Service::Action(method, parameters) => {
                Transfer::Action(action::Action::start(method, parameters.as_ref(), invoke, limits, out)?)
            }
            Service::ActionList(items) => {
                Transfer::Action(action::Action::start_list(&items, invoke, limits, out)?)
            }
            Service::Read(variables) => Transfer::Read(short_name::Read::start(&variables, limits, out)?),
            Service::Write(items) => Transfer::Write(short_name::Write::start(&items, limits, out)?),
        };
        Ok(Self { invoke, transfer })
    }

    /// Takes a plain response APDU.
    pub(super) fn on_response(&mut self, apdu: &[u8], out: &mut Vec<u8>) -> Result<Step, ExchangeError> {
        match apdu.first() {
            Some(&tag::EXCEPTION_RESPONSE) => {
                return Err(ExchangeError::Exception(ExceptionResponse::decode(apdu)?));
            }
            Some(&tag::CONFIRMED_SERVICE_ERROR) => {
                return Err(ExchangeError::ServiceError(ConfirmedServiceError::decode(apdu)?));
            }
            _ => {}
        }
        match &mut self.transfer {
            Transfer::Get(get) => get.on_response(self.invoke, apdu, out),
            Transfer::Set(set) => set.on_response(self.invoke, apdu, out),
            Transfer::Action(action) => action.on_response(self.invoke, apdu, out),
            Transfer::Read(read) => read.on_response(apdu, out),
            Transfer::Write(write) => write.on_response(apdu),
        }
    }
}

/// Data that arrives in numbered blocks.
#[derive(Debug, Default)]
struct Incoming {
    last_block: u32,
    empty_blocks: u32,
    bytes: Vec<u8>,
}

impl Incoming {
    fn take(&mut self, block: u32, raw: &[u8]) -> Result<(), ExchangeError> {
        let expected = self.last_block.wrapping_add(1);
        if block != expected {
            return Err(ExchangeError::BlockNumber { expected, received: block });
        }
        if self.bytes.len().saturating_add(raw.len()) > MAX_TRANSFER {
            return Err(ExchangeError::TooLong);
        }
        self.empty_blocks = if raw.is_empty() { self.empty_blocks.saturating_add(1) } else { 0 };
        self.last_block = block;
        self.bytes.extend_from_slice(raw);
        let justified = (self.bytes.len() / LEAST_OCTETS).saturating_add(SHORT_BLOCKS);
        if self.empty_blocks > MAX_EMPTY_BLOCKS || usize::try_from(block).is_ok_and(|count| count > justified)
        {
            return Err(ExchangeError::SparseBlocks);
        }
        Ok(())
    }
}

/// Data that leaves in numbered blocks of at most `room` bytes.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    block: u32,
    room: usize,
}

impl Outgoing {
    fn new(bytes: Vec<u8>, room: usize) -> Self {
        Self { bytes, sent: 0, block: 0, room: room.max(1) }
    }

    /// The next block.
    fn next(&mut self) -> DataBlock<'_> {
        let end = self.sent.saturating_add(self.room).min(self.bytes.len());
        let raw = self.bytes.get(self.sent..end).unwrap_or_default();
        self.sent = end;
        self.block = self.block.wrapping_add(1);
        DataBlock { last: end == self.bytes.len(), number: self.block, raw }
    }

    /// The block after the one that the meter has taken.
    fn acknowledged(blocks: Option<&mut Self>, taken: u32) -> Result<DataBlock<'_>, ExchangeError> {
        match blocks {
            Some(blocks) if blocks.sent < blocks.bytes.len() && blocks.block == taken => Ok(blocks.next()),
            other => {
                let expected = other.map_or(0, |blocks| blocks.block);
                Err(ExchangeError::BlockNumber { expected, received: taken })
            }
        }
    }
}
