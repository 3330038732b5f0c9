//! GET, SET and ACTION: normal, with list, and in blocks.

use super::association::Association;
use super::blocks::{Incoming, Outgoing};
use super::{Verdict, put_exception};
use crate::cosem::catalogue::ClassId;
use crate::sim::meter::Meter;
use crate::wire::cursor::{Reader, put_length};
use crate::wire::data::Data;
use crate::wire::xdlms::action::{ActionOutcome, ActionRequest, ActionResponse};
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::fault::ServiceError;
use crate::wire::xdlms::get::{GetRequest, GetResponse};
use crate::wire::xdlms::set::{SetRequest, SetResponse};
use crate::wire::xdlms::{
    AttributeRequest, DataAccessResult, DataBlock, InvokeIdAndPriority, MethodDescriptor, tag,
};

/// get-response-normal and get-response-with-list.
const NORMAL: u8 = 1;
const WITH_LIST: u8 = 3;
/// Bytes of a get-response-with-datablock besides its data.
const BLOCK_HEADER: usize = 12;

/// What a SET in blocks writes.
pub(super) enum SetTarget {
    One(AttributeRequest),
    List(Vec<AttributeRequest>),
}

/// What an ACTION in blocks invokes.
pub(super) enum ActionTarget {
    One(MethodDescriptor),
    List(Vec<MethodDescriptor>),
}

impl Association {
    pub(super) fn serve_logical_names(&mut self, meter: &Meter, apdu: &[u8], reply: &mut Vec<u8>) -> Verdict {
        match apdu.first() {
            Some(&tag::ACTION_REQUEST) => return self.action(meter, apdu, reply),
            _ if self.pending.is_some() => put_exception(reply, ServiceError::OperationNotPossible, None),
            Some(&tag::GET_REQUEST) => self.get(meter, apdu, reply),
            Some(&tag::SET_REQUEST) => self.set(meter, apdu, reply),
            _ => put_exception(reply, ServiceError::ServiceNotSupported, None),
        }
        Verdict::GoOn
    }

    fn get(&mut self, meter: &Meter, apdu: &[u8], reply: &mut Vec<u8>) {
        match GetRequest::decode(apdu) {
            Ok(GetRequest::Normal { invoke, request }) => {
                self.get = None;
                reply.extend_from_slice(&[tag::GET_RESPONSE, NORMAL, invoke.0]);
                let start = reply.len();
                self.put_result(meter, &request, reply);
                // The blocks of one value hold it without the choice.
                self.cut(invoke, start + 1, reply);
            }
            Ok(GetRequest::WithList { invoke, requests }) => {
                self.get = None;
                reply.extend_from_slice(&[tag::GET_RESPONSE, WITH_LIST, invoke.0]);
                let start = reply.len();
                put_length(reply, requests.len());
                for request in &requests {
                    self.put_result(meter, request, reply);
                }
                self.cut(invoke, start, reply);
            }
            Ok(GetRequest::Next { invoke, block }) => self.get_next(invoke, block, reply),
            Err(_) => put_exception(reply, ServiceError::OtherReason, None),
        }
    }

    /// Appends a Get-Data-Result.
    fn put_result(&self, meter: &Meter, request: &AttributeRequest, reply: &mut Vec<u8>) {
        let start = reply.len();
        reply.push(0);
        if let Err(result) = meter.read(&self.viewer, &request.attribute, request.selection.as_ref(), reply) {
            reply.truncate(start);
            reply.extend_from_slice(&[1, result.code()]);
        }
    }

    /// Where an answer is too long, keeps what begins at `start` for blocks and answers with the first.
    fn cut(&mut self, invoke: InvokeIdAndPriority, start: usize, reply: &mut Vec<u8>) {
        if reply.len() <= self.plain_limit() || self.uses_general_blocks() {
            return;
        }
        if !self.viewer.conformance.contains(Conformance::BLOCK_TRANSFER_WITH_GET_OR_READ) {
            reply.clear();
            return put_exception(reply, ServiceError::PduTooLong, None);
        }
        self.get = Some(Outgoing::new(invoke, reply.split_off(start)));
        reply.clear();
        self.put_block(invoke, reply);
    }

    fn get_next(&mut self, invoke: InvokeIdAndPriority, block: u32, reply: &mut Vec<u8>) {
        let refusal = match &self.get {
            None => DataAccessResult::NoLongGetInProgress,
            Some(long) if long.invoke.id() != invoke.id() || long.number() != block => {
                DataAccessResult::DataBlockNumberInvalid
            }
            Some(_) => return self.put_block(invoke, reply),
        };
        self.get = None;
        GetResponse::WithDataBlock { invoke, last: true, block, result: Err(refusal) }.encode(reply);
    }

    fn put_block(&mut self, invoke: InvokeIdAndPriority, reply: &mut Vec<u8>) {
        let size = self.plain_limit().saturating_sub(BLOCK_HEADER);
        let Some(long) = &mut self.get else { return };
        let block = long.next(size);
        let last = block.last;
        GetResponse::WithDataBlock { invoke, last, block: block.number, result: Ok(block.raw) }.encode(reply);
        if last {
            self.get = None;
        }
    }

    fn set(&mut self, meter: &Meter, apdu: &[u8], reply: &mut Vec<u8>) {
        let response = match SetRequest::decode(apdu) {
            Ok(SetRequest::Normal { invoke, request, value }) => {
                SetResponse::Normal { invoke, result: self.write(meter, &request, value) }
            }
            Ok(SetRequest::WithList { invoke, requests, values }) => {
                SetResponse::WithList { invoke, results: self.write_list(meter, &requests, values) }
            }
            Ok(SetRequest::FirstBlock { invoke, request, block }) => {
                self.set = Some(Incoming::new(SetTarget::One(request)));
                self.set_block(meter, invoke, block)
            }
            Ok(SetRequest::WithListFirstBlock { invoke, requests, block }) => {
                self.set = Some(Incoming::new(SetTarget::List(requests)));
                self.set_block(meter, invoke, block)
            }
            Ok(SetRequest::Block { invoke, block }) => self.set_block(meter, invoke, block),
            Err(_) => return put_exception(reply, ServiceError::OtherReason, None),
        };
        response.encode(reply);
    }

    fn set_block(&mut self, meter: &Meter, invoke: InvokeIdAndPriority, block: DataBlock<'_>) -> SetResponse {
        let number = block.number;
        let refused = |result| SetResponse::LastBlock { invoke, result, block: number };
        let Some(mut long) = self.set.take() else { return refused(DataAccessResult::NoLongSetInProgress) };
        if !long.take(number, block.raw) {
            return refused(DataAccessResult::DataBlockNumberInvalid);
        }
        if !block.last {
            self.set = Some(long);
            return SetResponse::Block { invoke, block: number };
        }
        match long.target {
            SetTarget::One(request) => refused(match Data::from_bytes(&long.raw) {
                Ok(value) => self.write(meter, &request, value),
                Err(_) => DataAccessResult::LongSetAborted,
            }),
            SetTarget::List(requests) => match list_of_data(&long.raw) {
                Some(values) => {
                    let results = self.write_list(meter, &requests, values);
                    SetResponse::LastBlockWithList { invoke, results, block: number }
                }
                None => refused(DataAccessResult::LongSetAborted),
            },
        }
    }

    fn write(&self, meter: &Meter, request: &AttributeRequest, value: Data) -> DataAccessResult {
        meter.write(&self.viewer, &request.attribute, request.selection.as_ref(), value)
    }

    /// One result for each request; without a value it is refused.
    fn write_list(
        &self,
        meter: &Meter,
        requests: &[AttributeRequest],
        values: Vec<Data>,
    ) -> Vec<DataAccessResult> {
        let mut values = values.into_iter();
        let result = |request| match values.next() {
            Some(value) => self.write(meter, request, value),
            None => DataAccessResult::OtherReason,
        };
        requests.iter().map(result).collect()
    }

    fn action(&mut self, meter: &Meter, apdu: &[u8], reply: &mut Vec<u8>) -> Verdict {
        let Ok(request) = ActionRequest::decode(apdu) else {
            put_exception(reply, ServiceError::OtherReason, None);
            return Verdict::GoOn;
        };
        if self.pending.is_some() {
            return self.reply_to_hls(meter, &request, reply);
        }
        let response = match request {
            ActionRequest::Normal { invoke, method, parameter } => {
                ActionResponse::Normal { invoke, outcome: self.invoke(meter, &method, parameter.as_ref()) }
            }
            ActionRequest::WithList { invoke, methods, parameters } => {
                ActionResponse::WithList { invoke, outcomes: self.invoke_list(meter, &methods, &parameters) }
            }
            ActionRequest::FirstBlock { invoke, method, block } => {
                self.action = Some(Incoming::new(ActionTarget::One(method)));
                self.action_block(meter, invoke, block)
            }
            ActionRequest::WithListFirstBlock { invoke, methods, block } => {
                self.action = Some(Incoming::new(ActionTarget::List(methods)));
                self.action_block(meter, invoke, block)
            }
            ActionRequest::Block { invoke, block } => self.action_block(meter, invoke, block),
            // No method of any preset returns so much.
            ActionRequest::NextBlock { invoke, .. } => ActionResponse::Normal {
                invoke,
                outcome: ActionOutcome::plain(DataAccessResult::NoLongGetInProgress),
            },
        };
        response.encode(reply);
        Verdict::GoOn
    }

    fn action_block(
        &mut self,
        meter: &Meter,
        invoke: InvokeIdAndPriority,
        block: DataBlock<'_>,
    ) -> ActionResponse<'static> {
        let refused = |result| ActionResponse::Normal { invoke, outcome: ActionOutcome::plain(result) };
        let Some(mut long) = self.action.take() else {
            return refused(DataAccessResult::NoLongGetInProgress);
        };
        if !long.take(block.number, block.raw) {
            return refused(DataAccessResult::DataBlockNumberInvalid);
        }
        if !block.last {
            self.action = Some(long);
            return ActionResponse::NextBlock { invoke, block: block.number };
        }
        match long.target {
            ActionTarget::One(method) => match Data::from_bytes(&long.raw) {
                Ok(parameter) => {
                    ActionResponse::Normal { invoke, outcome: self.invoke(meter, &method, Some(&parameter)) }
                }
                Err(_) => refused(DataAccessResult::LongGetAborted),
            },
            ActionTarget::List(methods) => match list_of_data(&long.raw) {
                Some(parameters) => ActionResponse::WithList {
                    invoke,
                    outcomes: self.invoke_list(meter, &methods, &parameters),
                },
                None => refused(DataAccessResult::LongGetAborted),
            },
        }
    }

    fn invoke(&self, meter: &Meter, method: &MethodDescriptor, parameter: Option<&Data>) -> ActionOutcome {
        match meter.invoke(&self.viewer, method, parameter) {
            Ok(returned) => ActionOutcome { result: DataAccessResult::Success, returned: returned.map(Ok) },
            Err(result) => ActionOutcome::plain(result),
        }
    }

    fn invoke_list(
        &self,
        meter: &Meter,
        methods: &[MethodDescriptor],
        parameters: &[Data],
    ) -> Vec<ActionOutcome> {
        let mut parameters = parameters.iter();
        methods.iter().map(|method| self.invoke(meter, method, parameters.next())).collect()
    }

    /// Pass 3: the only service that an association serves before it is open.
    fn reply_to_hls(&mut self, meter: &Meter, request: &ActionRequest<'_>, reply: &mut Vec<u8>) -> Verdict {
        let ActionRequest::Normal { invoke, method, parameter: Some(Data::OctetString(proof)) } = request
        else {
            put_exception(reply, ServiceError::OperationNotPossible, None);
            return Verdict::GoOn;
        };
        if (method.class_id, method.method_id) != (ClassId::ASSOCIATION_LN.0, 1) {
            put_exception(reply, ServiceError::OperationNotPossible, None);
            return Verdict::GoOn;
        }
        let (outcome, verdict) = match self.prove(meter, proof) {
            Some(proof) => (
                ActionOutcome {
                    result: DataAccessResult::Success,
                    returned: Some(Ok(Data::OctetString(proof))),
                },
                Verdict::GoOn,
            ),
            None => (ActionOutcome::plain(DataAccessResult::ReadWriteDenied), Verdict::End),
        };
        ActionResponse::Normal { invoke: *invoke, outcome }.encode(reply);
        verdict
    }
}

/// A count and as many values.
fn list_of_data(raw: &[u8]) -> Option<Vec<Data>> {
    let mut reader = Reader::new(raw);
    let count = reader.count().ok()?;
    let values = (0..count).map(|_| Data::decode(&mut reader)).collect::<Result<_, _>>().ok()?;
    reader.finish().ok()?;
    Some(values)
}
