//! SET: attributes at once, in lists, or in blocks where the request is longer than the meter's PDU.

use super::{ExchangeError, Limits, Outcome, Outgoing, Step};
use crate::wire::cursor::put_length;
use crate::wire::data::Data;
use crate::wire::xdlms::conformance::Conformance;
use crate::wire::xdlms::set::{self, SetResponse};
use crate::wire::xdlms::{AttributeRequest, DataBlock, InvokeIdAndPriority, tag};

#[derive(Debug)]
pub(super) struct Set {
    count: usize,
    blocks: Option<Outgoing>,
}

/// Whether one attribute is written, or a list, maybe of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    One,
    List,
}

impl Set {
    pub(super) fn start(
        items: &[(AttributeRequest, Data)],
        form: Form,
        invoke: InvokeIdAndPriority,
        limits: Limits,
        out: &mut Vec<u8>,
    ) -> Result<Self, ExchangeError> {
        let start = out.len();
        let requests = || items.iter().map(|(request, _)| (&request.attribute, request.selection.as_ref()));
        match items {
            [(request, data)] if form == Form::One => {
                set::put_normal(out, invoke, &request.attribute, request.selection.as_ref(), data);
            }
            _ => set::put_with_list(out, invoke, requests(), items.iter().map(|(_, data)| data)),
        }
        let length = out.len().saturating_sub(start);
        if length <= limits.request {
            return Ok(Self { count: items.len(), blocks: None });
        }
        if !limits.conformance.contains(Conformance::BLOCK_TRANSFER_WITH_SET_OR_WRITE) {
            return Err(ExchangeError::RequestTooLong(length));
        }
        out.truncate(start);
        let mut raw = Vec::with_capacity(length);
        if form == Form::List {
            put_length(&mut raw, items.len());
        }
        items.iter().for_each(|(_, data)| data.encode(&mut raw));
        // All that is not the raw data of the first block: the request without its values, and the block's header.
        let header = length.saturating_sub(raw.len()).saturating_add(DataBlock::MAX_HEADER);
        if header >= limits.request {
            return Err(ExchangeError::RequestTooLong(length));
        }
        let mut blocks = Outgoing::new(raw, limits.request.saturating_sub(header));
        let block = blocks.next();
        match items {
            [(request, _)] if form == Form::One => {
                let selection = request.selection.as_ref();
                set::put_first_block(out, invoke, &request.attribute, selection, block);
            }
            _ => set::put_with_list_first_block(out, invoke, requests(), block),
        }
        Ok(Self { count: items.len(), blocks: Some(blocks) })
    }

    pub(super) fn on_response(
        &mut self,
        invoke: InvokeIdAndPriority,
        apdu: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Step, ExchangeError> {
        match apdu.first() {
            Some(&tag::SET_RESPONSE) => {}
            other => return Err(ExchangeError::Unexpected(other.copied().unwrap_or_default())),
        }
        let response = SetResponse::decode(apdu)?;
        if response.invoke().id() != invoke.id() {
            return Ok(Step::Stale);
        }
        let results = match response {
            SetResponse::Block { block, .. } => {
                let next = Outgoing::acknowledged(self.blocks.as_mut(), block)?;
                set::put_block(out, invoke, next);
                return Ok(Step::Send);
            }
            SetResponse::Normal { result, .. } | SetResponse::LastBlock { result, .. } => {
                vec![result; self.count]
            }
            SetResponse::WithList { results, .. } | SetResponse::LastBlockWithList { results, .. } => results,
        };
        if results.len() != self.count {
            return Err(ExchangeError::ResultCount { expected: self.count, received: results.len() });
        }
        Ok(Step::Done(Outcome::Set(results)))
    }
}
