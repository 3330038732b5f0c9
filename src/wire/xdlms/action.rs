//! ACTION (LN): invokes methods, one or several, with parameters and results in blocks where they are long.

use super::{
    DataAccessResult, DataBlock, GetDataResult, InvokeIdAndPriority, MethodDescriptor, access_result,
    data_result, expect_service, list, put_data_result, put_list, tag, unknown_kind,
};
use crate::wire::cursor::Reader;
use crate::wire::data::Data;
use crate::wire::error::WireError;

mod request {
    pub(super) const NORMAL: u8 = 1;
    pub(super) const NEXT_BLOCK: u8 = 2;
    pub(super) const WITH_LIST: u8 = 3;
    pub(super) const FIRST_BLOCK: u8 = 4;
    pub(super) const WITH_LIST_FIRST_BLOCK: u8 = 5;
    pub(super) const BLOCK: u8 = 6;
}

mod response {
    pub(super) const NORMAL: u8 = 1;
    pub(super) const BLOCK: u8 = 2;
    pub(super) const WITH_LIST: u8 = 3;
    pub(super) const NEXT_BLOCK: u8 = 4;
}

/// action-request.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionRequest<'a> {
    /// One method.
    Normal {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// What to invoke.
        method: MethodDescriptor,
        /// Its parameter. Several meters refuse an absent one: integer 0 serves where the class names none.
        parameter: Option<Data>,
    },
    /// The next block of a long response.
    NextBlock {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// Number of the block just received.
        block: u32,
    },
    /// Several methods.
    WithList {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// What to invoke.
        methods: Vec<MethodDescriptor>,
        /// Their parameters in the same order, null-data where there is none.
        parameters: Vec<Data>,
    },
    /// One method, its parameter in blocks.
    FirstBlock {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// What to invoke.
        method: MethodDescriptor,
        /// The first bytes of the encoded parameter.
        block: DataBlock<'a>,
    },
    /// Several methods, their parameters in blocks.
    WithListFirstBlock {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// What to invoke.
        methods: Vec<MethodDescriptor>,
        /// The first bytes of the count and the encoded parameters.
        block: DataBlock<'a>,
    },
    /// A further block.
    Block {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// The next bytes.
        block: DataBlock<'a>,
    },
}

impl<'a> ActionRequest<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Normal { invoke, method, parameter } => {
                put_normal(out, *invoke, method, parameter.as_ref());
            }
            Self::NextBlock { invoke, block } => put_next_block(out, *invoke, *block),
            Self::WithList { invoke, methods, parameters } => {
                put_with_list(out, *invoke, methods.iter(), parameters.iter());
            }
            Self::FirstBlock { invoke, method, block } => put_first_block(out, *invoke, method, *block),
            Self::WithListFirstBlock { invoke, methods, block } => {
                put_with_list_first_block(out, *invoke, methods.iter(), *block);
            }
            Self::Block { invoke, block } => put_block(out, *invoke, *block),
        }
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`, and as [`Data::decode`].
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let (mut reader, kind, invoke) = expect_service(apdu, tag::ACTION_REQUEST)?;
        let reader = &mut reader;
        let request = match kind {
            request::NORMAL => Self::Normal {
                invoke,
                method: MethodDescriptor::decode(reader)?,
                parameter: if reader.is_present()? { Some(Data::decode(reader)?) } else { None },
            },
            request::NEXT_BLOCK => Self::NextBlock { invoke, block: reader.u32()? },
            request::WITH_LIST => Self::WithList {
                invoke,
                methods: list(reader, MethodDescriptor::decode)?,
                parameters: list(reader, Data::decode)?,
            },
            request::FIRST_BLOCK => Self::FirstBlock {
                invoke,
                method: MethodDescriptor::decode(reader)?,
                block: DataBlock::decode(reader)?,
            },
            request::WITH_LIST_FIRST_BLOCK => Self::WithListFirstBlock {
                invoke,
                methods: list(reader, MethodDescriptor::decode)?,
                block: DataBlock::decode(reader)?,
            },
            request::BLOCK => Self::Block { invoke, block: DataBlock::decode(reader)? },
            _ => return Err(unknown_kind(kind)),
        };
        reader.finish()?;
        Ok(request)
    }
}

/// Appends an action-request-normal.
pub fn put_normal(
    out: &mut Vec<u8>,
    invoke: InvokeIdAndPriority,
    method: &MethodDescriptor,
    parameter: Option<&Data>,
) {
    out.extend_from_slice(&[tag::ACTION_REQUEST, request::NORMAL, invoke.0]);
    method.encode(out);
    match parameter {
        None => out.push(0),
        Some(parameter) => {
            out.push(1);
            parameter.encode(out);
        }
    }
}

/// Reads what the blocks of a long answer to a list hold together: the results with what was returned.
///
/// # Errors
/// As [`ActionResponse::decode`].
pub fn decode_list_content(reader: &mut Reader<'_>) -> Result<Vec<ActionOutcome>, WireError> {
    list(reader, ActionOutcome::decode)
}

/// Appends an action-request-next-pblock; `block` is the number of the block just received.
pub fn put_next_block(out: &mut Vec<u8>, invoke: InvokeIdAndPriority, block: u32) {
    out.extend_from_slice(&[tag::ACTION_REQUEST, request::NEXT_BLOCK, invoke.0]);
    out.extend_from_slice(&block.to_be_bytes());
}

/// Appends an action-request-with-list.
pub fn put_with_list<'a>(
    out: &mut Vec<u8>,
    invoke: InvokeIdAndPriority,
    methods: impl ExactSizeIterator<Item = &'a MethodDescriptor>,
    parameters: impl ExactSizeIterator<Item = &'a Data>,
) {
    out.extend_from_slice(&[tag::ACTION_REQUEST, request::WITH_LIST, invoke.0]);
    put_list(out, methods, |out, method| method.encode(out));
    put_list(out, parameters, |out, parameter| parameter.encode(out));
}

/// Appends an action-request-with-first-pblock.
pub fn put_first_block(
    out: &mut Vec<u8>,
    invoke: InvokeIdAndPriority,
    method: &MethodDescriptor,
    block: DataBlock<'_>,
) {
    out.extend_from_slice(&[tag::ACTION_REQUEST, request::FIRST_BLOCK, invoke.0]);
    method.encode(out);
    block.encode(out);
}

/// Appends an action-request-with-list-and-first-pblock.
pub fn put_with_list_first_block<'a>(
    out: &mut Vec<u8>,
    invoke: InvokeIdAndPriority,
    methods: impl ExactSizeIterator<Item = &'a MethodDescriptor>,
    block: DataBlock<'_>,
) {
    out.extend_from_slice(&[tag::ACTION_REQUEST, request::WITH_LIST_FIRST_BLOCK, invoke.0]);
    put_list(out, methods, |out, method| method.encode(out));
    block.encode(out);
}

/// Appends an action-request-with-pblock.
pub fn put_block(out: &mut Vec<u8>, invoke: InvokeIdAndPriority, block: DataBlock<'_>) {
    out.extend_from_slice(&[tag::ACTION_REQUEST, request::BLOCK, invoke.0]);
    block.encode(out);
}

/// What became of one method (action-response-with-optional-data).
#[derive(Clone, Debug, PartialEq)]
pub struct ActionOutcome {
    /// Whether it was carried out (Action-Result; the numbers are those of Data-Access-Result).
    pub result: DataAccessResult,
    /// What it returned, if anything.
    pub returned: Option<GetDataResult>,
}

impl ActionOutcome {
    /// An outcome without returned value.
    #[must_use]
    pub const fn plain(result: DataAccessResult) -> Self {
        Self { result, returned: None }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.result.code());
        match &self.returned {
            None => out.push(0),
            Some(returned) => {
                out.push(1);
                put_data_result(out, returned);
            }
        }
    }

    /// Reads the outcome of one method.
    ///
    /// # Errors
    /// `Truncated`, `Length`, and as [`Data::decode`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            result: access_result(reader)?,
            returned: if reader.is_present()? { Some(data_result(reader)?) } else { None },
        })
    }
}

/// action-response.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionResponse<'a> {
    /// Answers a normal request.
    Normal {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// What became of the method.
        outcome: ActionOutcome,
    },
    /// One block of a long answer.
    Block {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// Its bytes.
        block: DataBlock<'a>,
    },
    /// Answers a request with list.
    WithList {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// What became of each method, in the order of the request.
        outcomes: Vec<ActionOutcome>,
    },
    /// Asks for the next block.
    NextBlock {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// Number of the block just received.
        block: u32,
    },
}

impl<'a> ActionResponse<'a> {
    /// Pairs the response with its request.
    #[must_use]
    pub const fn invoke(&self) -> InvokeIdAndPriority {
        match self {
            Self::Normal { invoke, .. }
            | Self::Block { invoke, .. }
            | Self::WithList { invoke, .. }
            | Self::NextBlock { invoke, .. } => *invoke,
        }
    }

    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::ACTION_RESPONSE);
        match self {
            Self::Normal { invoke, outcome } => {
                out.extend_from_slice(&[response::NORMAL, invoke.0]);
                outcome.encode(out);
            }
            Self::Block { invoke, block } => {
                out.extend_from_slice(&[response::BLOCK, invoke.0]);
                block.encode(out);
            }
            Self::WithList { invoke, outcomes } => {
                out.extend_from_slice(&[response::WITH_LIST, invoke.0]);
                put_list(out, outcomes.iter(), |out, outcome| outcome.encode(out));
            }
            Self::NextBlock { invoke, block } => {
                out.extend_from_slice(&[response::NEXT_BLOCK, invoke.0]);
                out.extend_from_slice(&block.to_be_bytes());
            }
        }
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`, and as [`Data::decode`].
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let (mut reader, kind, invoke) = expect_service(apdu, tag::ACTION_RESPONSE)?;
        let reader = &mut reader;
        let response = match kind {
            response::NORMAL => Self::Normal { invoke, outcome: ActionOutcome::decode(reader)? },
            response::BLOCK => Self::Block { invoke, block: DataBlock::decode(reader)? },
            response::WITH_LIST => Self::WithList { invoke, outcomes: list(reader, ActionOutcome::decode)? },
            response::NEXT_BLOCK => Self::NextBlock { invoke, block: reader.u32()? },
            _ => return Err(unknown_kind(kind)),
        };
        reader.finish()?;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::obis::Obis;

    const C1: InvokeIdAndPriority = InvokeIdAndPriority::C1;
    const BLOCK: DataBlock<'static> = DataBlock { last: false, number: 1, raw: &[0x0F] };
    const DISCONNECT: MethodDescriptor =
        MethodDescriptor { class_id: 70, instance_id: Obis::new(0, 0, 96, 3, 10, 255), method_id: 1 };

    #[test]
    fn requests_both_ways() {
        let zero = Data::Integer(0);
        for (request, bytes) in [
            (
                ActionRequest::Normal { invoke: C1, method: DISCONNECT, parameter: Some(zero.clone()) },
                &[0xC3, 1, 0xC1, 0, 70, 0, 0, 96, 3, 10, 255, 1, 1, 0x0F, 0][..],
            ),
            (
                ActionRequest::Normal { invoke: C1, method: DISCONNECT, parameter: None },
                &[0xC3, 1, 0xC1, 0, 70, 0, 0, 96, 3, 10, 255, 1, 0],
            ),
            (ActionRequest::NextBlock { invoke: C1, block: 3 }, &[0xC3, 2, 0xC1, 0, 0, 0, 3]),
            (
                ActionRequest::WithList { invoke: C1, methods: vec![DISCONNECT], parameters: vec![zero] },
                &[0xC3, 3, 0xC1, 1, 0, 70, 0, 0, 96, 3, 10, 255, 1, 1, 0x0F, 0],
            ),
            (
                ActionRequest::FirstBlock { invoke: C1, method: DISCONNECT, block: BLOCK },
                &[0xC3, 4, 0xC1, 0, 70, 0, 0, 96, 3, 10, 255, 1, 0, 0, 0, 0, 1, 1, 0x0F],
            ),
            (
                ActionRequest::WithListFirstBlock { invoke: C1, methods: vec![DISCONNECT], block: BLOCK },
                &[0xC3, 5, 0xC1, 1, 0, 70, 0, 0, 96, 3, 10, 255, 1, 0, 0, 0, 0, 1, 1, 0x0F],
            ),
            (
                ActionRequest::Block { invoke: C1, block: DataBlock { last: true, number: 2, raw: &[0] } },
                &[0xC3, 6, 0xC1, 1, 0, 0, 0, 2, 1, 0],
            ),
        ] {
            let mut out = Vec::new();
            request.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(ActionRequest::decode(bytes), Ok(request));
        }
    }

    #[test]
    fn responses_both_ways() {
        let success = ActionOutcome::plain(DataAccessResult::Success);
        let with_data = |returned| ActionOutcome { returned: Some(returned), ..success.clone() };
        for (response, bytes) in [
            (ActionResponse::Normal { invoke: C1, outcome: success.clone() }, &[0xC7, 1, 0xC1, 0, 0][..]),
            (
                ActionResponse::Normal { invoke: C1, outcome: with_data(Ok(Data::Unsigned(5))) },
                &[0xC7, 1, 0xC1, 0, 1, 0, 0x11, 5],
            ),
            (
                ActionResponse::Normal { invoke: C1, outcome: with_data(Err(DataAccessResult::OtherReason)) },
                &[0xC7, 1, 0xC1, 0, 1, 1, 250],
            ),
            (ActionResponse::Block { invoke: C1, block: BLOCK }, &[0xC7, 2, 0xC1, 0, 0, 0, 0, 1, 1, 0x0F]),
            (
                ActionResponse::WithList {
                    invoke: C1,
                    outcomes: vec![success, ActionOutcome::plain(DataAccessResult::TypeUnmatched)],
                },
                &[0xC7, 3, 0xC1, 2, 0, 0, 12, 0],
            ),
            (ActionResponse::NextBlock { invoke: C1, block: 1 }, &[0xC7, 4, 0xC1, 0, 0, 0, 1]),
        ] {
            let mut out = Vec::new();
            response.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(ActionResponse::decode(bytes), Ok(response));
        }
    }
}
