//! Read, Write and UnconfirmedWrite: by name, parameterised, with lists, and in blocks.

use super::association::Association;
use super::blocks::{Incoming, Outgoing};
use super::{Verdict, put_exception};
use crate::cosem::catalogue::ClassId;
use crate::sim::meter::Meter;
use crate::sim::model::ShortName;
use crate::wire::cursor::put_length;
use crate::wire::data::Data;
use crate::wire::xdlms::fault::ServiceError;
use crate::wire::xdlms::sn::{
    Confirmation, ReadBlock, ReadRequest, ReadResponse, ReadResult, VariableAccess, WriteRequest,
    WriteResponse, WriteResult,
};
use crate::wire::xdlms::{DataAccessResult, InvokeIdAndPriority, MethodDescriptor, SelectiveAccess, tag};

/// Choices of a ReadResponse.
const DATA: u8 = 0;
const ERROR: u8 = 1;
/// Bytes of a ReadResponse with one block besides its data.
const BLOCK_HEADER: usize = 9;
/// Method 8 of Association SN.
const REPLY_TO_HLS: i8 = 8;

impl Association {
    pub(super) fn serve_short_names(&mut self, meter: &Meter, apdu: &[u8], reply: &mut Vec<u8>) -> Verdict {
        let was_pending = self.pending.is_some();
        match apdu.first() {
            Some(&tag::READ_REQUEST) => self.read(meter, apdu, reply),
            Some(&(tag::WRITE_REQUEST | tag::UNCONFIRMED_WRITE_REQUEST)) => {
                self.write_variables(meter, apdu, reply);
            }
            _ => put_exception(reply, ServiceError::ServiceNotSupported, None),
        }
        // A wrong proof leaves neither a handshake nor an open association.
        if was_pending && self.pending.is_none() && !self.proved { Verdict::End } else { Verdict::GoOn }
    }

    fn read(&mut self, meter: &Meter, apdu: &[u8], reply: &mut Vec<u8>) {
        let Ok(ReadRequest { variables }) = ReadRequest::decode(apdu) else {
            return put_exception(reply, ServiceError::OtherReason, None);
        };
        match variables.as_slice() {
            [VariableAccess::BlockNumber(number)] => return self.read_next(*number, reply),
            [VariableAccess::ReadBlock(block)] => return self.read_block(meter, *block, reply),
            _ => {}
        }
        self.read = None;
        reply.push(tag::READ_RESPONSE);
        put_length(reply, variables.len());
        for variable in &variables {
            let start = reply.len();
            reply.push(DATA);
            if let Err(result) = self.read_variable(meter, variable, reply) {
                reply.truncate(start);
                reply.extend_from_slice(&[ERROR, result.code()]);
            }
        }
        if reply.len() > self.plain_limit() && !self.uses_general_blocks() {
            self.read = Some(Outgoing::new(InvokeIdAndPriority::C1, reply.split_off(1)));
            reply.clear();
            self.put_read_block(reply);
        }
    }

    fn read_variable(
        &mut self,
        meter: &Meter,
        variable: &VariableAccess<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        let (name, parameter) = match variable {
            VariableAccess::Name(name) => (*name, None),
            VariableAccess::Parameterised { name, selector, parameter } => {
                (*name, Some((*selector, parameter)))
            }
            _ => return Err(DataAccessResult::OtherReason),
        };
        match self.resolve(meter, name)? {
            ShortName::Attribute(attribute) => {
                let selection =
                    parameter.map(|(selector, data)| SelectiveAccess { selector, parameters: data.clone() });
                meter.read(&self.viewer, &attribute, selection.as_ref(), reply)
            }
            ShortName::Method(method) => {
                let returned = self.invoke_short(meter, &method, parameter.map(|(_, data)| data))?;
                returned.unwrap_or(Data::Null).encode(reply);
                Ok(())
            }
        }
    }

    fn read_next(&mut self, number: u16, reply: &mut Vec<u8>) {
        let refusal = match &self.read {
            None => DataAccessResult::NoLongGetInProgress,
            Some(long) if long.number() != u32::from(number) => DataAccessResult::DataBlockNumberInvalid,
            Some(_) => return self.put_read_block(reply),
        };
        self.read = None;
        ReadResponse { results: vec![ReadResult::Error(refusal)] }.encode(reply);
    }

    fn put_read_block(&mut self, reply: &mut Vec<u8>) {
        let size = self.plain_limit().saturating_sub(BLOCK_HEADER);
        let Some(long) = &mut self.read else { return };
        let block = long.next(size);
        let last = block.last;
        let number = u16::try_from(block.number).unwrap_or(u16::MAX);
        let block = ReadBlock { last, number, raw: block.raw };
        ReadResponse { results: vec![ReadResult::Block(block)] }.encode(reply);
        if last {
            self.read = None;
        }
    }

    /// A block of a long ReadRequest: together they are one without its tag.
    fn read_block(&mut self, meter: &Meter, block: ReadBlock<'_>, reply: &mut Vec<u8>) {
        let mut long = self.long_read.take().unwrap_or_else(|| Incoming::new(()));
        if !long.take(block.number.into(), block.raw) {
            let refusal = ReadResult::Error(DataAccessResult::DataBlockNumberInvalid);
            return ReadResponse { results: vec![refusal] }.encode(reply);
        }
        if !block.last {
            self.long_read = Some(long);
            let next = ReadResult::BlockNumber(block.number);
            return ReadResponse { results: vec![next] }.encode(reply);
        }
        let mut whole = vec![tag::READ_REQUEST];
        whole.append(&mut long.raw);
        match ReadRequest::decode(&whole) {
            Ok(request)
                if !request.variables.iter().any(|one| matches!(one, VariableAccess::ReadBlock(_))) =>
            {
                self.read(meter, &whole, reply);
            }
            _ => put_exception(reply, ServiceError::OtherReason, None),
        }
    }

    fn write_variables(&mut self, meter: &Meter, apdu: &[u8], reply: &mut Vec<u8>) {
        let Ok(WriteRequest { confirmation, variables, values }) = WriteRequest::decode(apdu) else {
            return put_exception(reply, ServiceError::OtherReason, None);
        };
        if let ([VariableAccess::WriteBlock { last, number }], [Data::OctetString(raw)]) =
            (variables.as_slice(), values.as_slice())
        {
            return self.write_block(meter, *last, *number, raw, reply);
        }
        let mut values = values.into_iter();
        let mut result = |variable| match values.next() {
            Some(value) => self.write_variable(meter, variable, value),
            None => Err(DataAccessResult::OtherReason),
        };
        let results = variables
            .iter()
            .map(|variable| result(variable).map_or_else(WriteResult::Error, |()| WriteResult::Success))
            .collect();
        if confirmation == Confirmation::Confirmed {
            WriteResponse { results }.encode(reply);
        }
    }

    fn write_variable(
        &mut self,
        meter: &Meter,
        variable: &VariableAccess<'_>,
        value: Data,
    ) -> Result<(), DataAccessResult> {
        let (name, selection) = match variable {
            VariableAccess::Name(name) => (*name, None),
            VariableAccess::Parameterised { name, selector, parameter } => {
                (*name, Some(SelectiveAccess { selector: *selector, parameters: parameter.clone() }))
            }
            _ => return Err(DataAccessResult::OtherReason),
        };
        match self.resolve(meter, name)? {
            ShortName::Attribute(attribute) => {
                meter.write(&self.viewer, &attribute, selection.as_ref(), value).into_result()
            }
            ShortName::Method(method) => self.invoke_short(meter, &method, Some(&value)).map(drop),
        }
    }

    /// A block of a long WriteRequest: together they are one without its tag.
    fn write_block(&mut self, meter: &Meter, last: bool, number: u16, raw: &[u8], reply: &mut Vec<u8>) {
        let mut long = self.long_write.take().unwrap_or_else(|| Incoming::new(()));
        let answer = |result| WriteResponse { results: vec![result] };
        if !long.take(number.into(), raw) {
            return answer(WriteResult::Error(DataAccessResult::DataBlockNumberInvalid)).encode(reply);
        }
        if !last {
            self.long_write = Some(long);
            return answer(WriteResult::BlockNumber(number)).encode(reply);
        }
        let mut whole = vec![tag::WRITE_REQUEST];
        whole.append(&mut long.raw);
        match WriteRequest::decode(&whole) {
            Ok(request) if !matches!(request.variables.as_slice(), [VariableAccess::WriteBlock { .. }]) => {
                self.write_variables(meter, &whole, reply);
            }
            _ => put_exception(reply, ServiceError::OtherReason, None),
        }
    }

    /// What a name stands for; before the association is open, the reply to HLS alone.
    fn resolve(&self, meter: &Meter, name: u16) -> Result<ShortName, DataAccessResult> {
        let found = meter.model().resolve(name).ok_or(DataAccessResult::ObjectUndefined)?;
        let open =
            self.pending.is_none() || matches!(&found, ShortName::Method(method) if is_reply_to_hls(method));
        if open { Ok(found) } else { Err(DataAccessResult::ReadWriteDenied) }
    }

    fn invoke_short(
        &mut self,
        meter: &Meter,
        method: &MethodDescriptor,
        parameter: Option<&Data>,
    ) -> Result<Option<Data>, DataAccessResult> {
        if !is_reply_to_hls(method) {
            return meter.invoke(&self.viewer, method, parameter);
        }
        let Some(Data::OctetString(proof)) = parameter else { return Err(DataAccessResult::TypeUnmatched) };
        let proof = self.prove(meter, proof).ok_or(DataAccessResult::ReadWriteDenied)?;
        self.proved = true;
        Ok(Some(Data::OctetString(proof)))
    }
}

fn is_reply_to_hls(method: &MethodDescriptor) -> bool {
    (method.class_id, method.method_id) == (ClassId::ASSOCIATION_SN.0, REPLY_TO_HLS)
}
