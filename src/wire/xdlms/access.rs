//! ACCESS (LN): reads, writes and methods mixed in one request.

use super::{
    AttributeDescriptor, AttributeRequest, DataAccessResult, LongInvokeIdAndPriority, MethodDescriptor,
    SelectiveAccess, access_result, expect_tag, list, long_date_time, put_list, put_long_date_time, tag,
    unknown_choice,
};
use crate::wire::cursor::Reader;
use crate::wire::data::Data;
use crate::wire::date_time::DateTime;
use crate::wire::error::WireError;

mod kind {
    pub(super) const GET: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const ACTION: u8 = 3;
    pub(super) const GET_SELECTION: u8 = 4;
    pub(super) const SET_SELECTION: u8 = 5;
}

/// One access (access-request-specification).
#[derive(Clone, Debug, PartialEq)]
pub enum AccessSpecification {
    /// Reads an attribute, or a part of it.
    Get(AttributeRequest),
    /// Writes an attribute, or a part of it.
    Set(AttributeRequest),
    /// Invokes a method.
    Action(MethodDescriptor),
}

impl AccessSpecification {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Get(request) => put_request(out, request, kind::GET, kind::GET_SELECTION),
            Self::Set(request) => put_request(out, request, kind::SET, kind::SET_SELECTION),
            Self::Action(method) => {
                out.push(kind::ACTION);
                method.encode(out);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match reader.u8()? {
            kind::GET => Self::Get(AttributeRequest::whole(AttributeDescriptor::decode(reader)?)),
            kind::SET => Self::Set(AttributeRequest::whole(AttributeDescriptor::decode(reader)?)),
            kind::ACTION => Self::Action(MethodDescriptor::decode(reader)?),
            kind::GET_SELECTION => Self::Get(part(reader)?),
            kind::SET_SELECTION => Self::Set(part(reader)?),
            tag => return Err(unknown_choice(reader, tag)),
        })
    }
}

/// Here the choice says whether there is a selection, not a presence byte.
fn put_request(out: &mut Vec<u8>, request: &AttributeRequest, whole: u8, part: u8) {
    match &request.selection {
        None => {
            out.push(whole);
            request.attribute.encode(out);
        }
        Some(selection) => {
            out.push(part);
            request.attribute.encode(out);
            out.push(selection.selector);
            selection.parameters.encode(out);
        }
    }
}

fn part(reader: &mut Reader<'_>) -> Result<AttributeRequest, WireError> {
    let attribute = AttributeDescriptor::decode(reader)?;
    let selection = SelectiveAccess { selector: reader.u8()?, parameters: Data::decode(reader)? };
    Ok(AttributeRequest { attribute, selection: Some(selection) })
}

/// access-request.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessRequest {
    /// Pairs the response.
    pub invoke: LongInvokeIdAndPriority,
    /// When it was made.
    pub date_time: Option<DateTime>,
    /// What to do, in this order.
    pub specifications: Vec<AccessSpecification>,
    /// One value for each: what to write, a parameter, or null-data.
    pub values: Vec<Data>,
}

impl AccessRequest {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::ACCESS_REQUEST);
        put_long_date_time(out, self.invoke, self.date_time.as_ref());
        put_list(out, self.specifications.iter(), |out, specification| specification.encode(out));
        put_list(out, self.values.iter(), |out, value| value.encode(out));
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`, `Invalid` for the
    /// date-time, and as [`Data::decode`].
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::ACCESS_REQUEST)?;
        let reader = &mut reader;
        let (invoke, date_time) = long_date_time(reader)?;
        let specifications = list(reader, AccessSpecification::decode)?;
        let values = list(reader, Data::decode)?;
        reader.finish()?;
        Ok(Self { invoke, date_time, specifications, values })
    }
}

/// Which kind of access a result is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessKind {
    /// A reading.
    Get,
    /// A writing.
    Set,
    /// A method.
    Action,
}

/// What became of one access (access-response-specification).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessOutcome {
    /// Which kind it was.
    pub kind: AccessKind,
    /// Whether it succeeded.
    pub result: DataAccessResult,
}

impl AccessOutcome {
    fn encode(self, out: &mut Vec<u8>) {
        let kind = match self.kind {
            AccessKind::Get => kind::GET,
            AccessKind::Set => kind::SET,
            AccessKind::Action => kind::ACTION,
        };
        out.extend_from_slice(&[kind, self.result.code()]);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let kind = match reader.u8()? {
            kind::GET => AccessKind::Get,
            kind::SET => AccessKind::Set,
            kind::ACTION => AccessKind::Action,
            tag => return Err(unknown_choice(reader, tag)),
        };
        Ok(Self { kind, result: access_result(reader)? })
    }
}

/// access-response.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessResponse {
    /// As in the request.
    pub invoke: LongInvokeIdAndPriority,
    /// When it was made.
    pub date_time: Option<DateTime>,
    /// The request once more; empty where the server does not repeat it.
    pub specifications: Vec<AccessSpecification>,
    /// One value for each access: what was read or returned, or null-data.
    pub values: Vec<Data>,
    /// What became of each access.
    pub outcomes: Vec<AccessOutcome>,
}

impl AccessResponse {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::ACCESS_RESPONSE);
        put_long_date_time(out, self.invoke, self.date_time.as_ref());
        // OPTIONAL, and its presence byte and its count are both 00 where it is absent or empty.
        if self.specifications.is_empty() {
            out.push(0);
        } else {
            out.push(1);
            put_list(out, self.specifications.iter(), |out, specification| specification.encode(out));
        }
        put_list(out, self.values.iter(), |out, value| value.encode(out));
        put_list(out, self.outcomes.iter(), |out, outcome| outcome.encode(out));
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`, `Invalid` for the
    /// date-time, and as [`Data::decode`].
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::ACCESS_RESPONSE)?;
        let reader = &mut reader;
        let (invoke, date_time) = long_date_time(reader)?;
        let specifications =
            if reader.is_present()? { list(reader, AccessSpecification::decode)? } else { Vec::new() };
        let values = list(reader, Data::decode)?;
        let outcomes = list(reader, AccessOutcome::decode)?;
        reader.finish()?;
        Ok(Self { invoke, date_time, specifications, values, outcomes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::obis::Obis;

    const INVOKE: LongInvokeIdAndPriority = LongInvokeIdAndPriority(0x4000_0001);

    fn specifications() -> Vec<AccessSpecification> {
        let instance_id = Obis::new(1, 0, 1, 8, 0, 255);
        let attribute = AttributeDescriptor { class_id: 3, instance_id, attribute_id: 2 };
        let selection = Some(SelectiveAccess { selector: 2, parameters: Data::Null });
        vec![
            AccessSpecification::Get(AttributeRequest::whole(attribute)),
            AccessSpecification::Set(AttributeRequest { attribute, selection }),
            AccessSpecification::Action(MethodDescriptor { class_id: 3, instance_id, method_id: 1 }),
        ]
    }

    const SPECIFICATIONS: [u8; 33] = [
        3, 1, 0, 3, 1, 0, 1, 8, 0, 255, 2, 5, 0, 3, 1, 0, 1, 8, 0, 255, 2, 2, 0, 3, 0, 3, 1, 0, 1, 8, 0, 255,
        1,
    ];

    #[test]
    fn request_both_ways() {
        let values = vec![Data::Null, Data::Unsigned(9), Data::Integer(0)];
        let request =
            AccessRequest { invoke: INVOKE, date_time: None, specifications: specifications(), values };
        let bytes = [&[0xD9, 0x40, 0, 0, 1, 0][..], &SPECIFICATIONS, &[3, 0, 0x11, 9, 0x0F, 0]].concat();
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(AccessRequest::decode(&bytes), Ok(request));
    }

    #[test]
    fn response_both_ways() {
        let outcome = |kind, result| AccessOutcome { kind, result };
        let outcomes = vec![
            outcome(AccessKind::Get, DataAccessResult::Success),
            outcome(AccessKind::Set, DataAccessResult::ReadWriteDenied),
            outcome(AccessKind::Action, DataAccessResult::OtherReason),
        ];
        let tail = [3, 0, 0x11, 9, 0, 3, 1, 0, 2, 3, 3, 250];
        for (echo, head) in [(Vec::new(), vec![0]), (specifications(), [&[1][..], &SPECIFICATIONS].concat())]
        {
            let response = AccessResponse {
                invoke: INVOKE,
                date_time: None,
                specifications: echo,
                values: vec![Data::Null, Data::Unsigned(9), Data::Null],
                outcomes: outcomes.clone(),
            };
            let bytes = [&[0xDA, 0x40, 0, 0, 1, 0][..], &head, &tail].concat();
            let mut out = Vec::new();
            response.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(AccessResponse::decode(&bytes), Ok(response));
        }
    }
}
