//! SET (LN): writes attributes, at once, in lists and in blocks.

use super::{
    AttributeDescriptor, AttributeRequest, DataAccessResult, DataBlock, InvokeIdAndPriority, SelectiveAccess,
    access_result, expect_service, list, put_access_result, put_attribute, put_list, tag, unknown_kind,
};
use crate::wire::data::Data;
use crate::wire::error::WireError;

mod request {
    pub(super) const NORMAL: u8 = 1;
    pub(super) const FIRST_BLOCK: u8 = 2;
    pub(super) const BLOCK: u8 = 3;
    pub(super) const WITH_LIST: u8 = 4;
    pub(super) const WITH_LIST_FIRST_BLOCK: u8 = 5;
}

mod response {
    pub(super) const NORMAL: u8 = 1;
    pub(super) const BLOCK: u8 = 2;
    pub(super) const LAST_BLOCK: u8 = 3;
    pub(super) const LAST_BLOCK_WITH_LIST: u8 = 4;
    pub(super) const WITH_LIST: u8 = 5;
}

/// set-request.
#[derive(Clone, Debug, PartialEq)]
pub enum SetRequest<'a> {
    /// One attribute.
    Normal {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// What to write.
        request: AttributeRequest,
        /// Its new value.
        value: Data,
    },
    /// One attribute, its value in blocks.
    FirstBlock {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// What to write.
        request: AttributeRequest,
        /// The first bytes of the encoded value.
        block: DataBlock<'a>,
    },
    /// A further block.
    Block {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// The next bytes.
        block: DataBlock<'a>,
    },
    /// Several attributes.
    WithList {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// What to write.
        requests: Vec<AttributeRequest>,
        /// The new values, in the same order.
        values: Vec<Data>,
    },
    /// Several attributes, their values in blocks.
    WithListFirstBlock {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// What to write.
        requests: Vec<AttributeRequest>,
        /// The first bytes of the count and the encoded values.
        block: DataBlock<'a>,
    },
}

impl<'a> SetRequest<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Normal { invoke, request, value } => {
                put_normal(out, *invoke, &request.attribute, request.selection.as_ref(), value);
            }
            Self::FirstBlock { invoke, request, block } => {
                put_first_block(out, *invoke, &request.attribute, request.selection.as_ref(), *block);
            }
            Self::Block { invoke, block } => put_block(out, *invoke, *block),
            Self::WithList { invoke, requests, values } => {
                put_with_list(out, *invoke, requests.iter().map(parts), values.iter());
            }
            Self::WithListFirstBlock { invoke, requests, block } => {
                put_with_list_first_block(out, *invoke, requests.iter().map(parts), *block);
            }
        }
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`, and as [`Data::decode`].
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let (mut reader, kind, invoke) = expect_service(apdu, tag::SET_REQUEST)?;
        let reader = &mut reader;
        let request = match kind {
            request::NORMAL => Self::Normal {
                invoke,
                request: AttributeRequest::decode(reader)?,
                value: Data::decode(reader)?,
            },
            request::FIRST_BLOCK => Self::FirstBlock {
                invoke,
                request: AttributeRequest::decode(reader)?,
                block: DataBlock::decode(reader)?,
            },
            request::BLOCK => Self::Block { invoke, block: DataBlock::decode(reader)? },
            request::WITH_LIST => Self::WithList {
                invoke,
                requests: list(reader, AttributeRequest::decode)?,
                values: list(reader, Data::decode)?,
            },
            request::WITH_LIST_FIRST_BLOCK => Self::WithListFirstBlock {
                invoke,
                requests: list(reader, AttributeRequest::decode)?,
                block: DataBlock::decode(reader)?,
            },
            _ => return Err(unknown_kind(kind)),
        };
        reader.finish()?;
        Ok(request)
    }
}

fn parts(request: &AttributeRequest) -> (&AttributeDescriptor, Option<&SelectiveAccess>) {
    (&request.attribute, request.selection.as_ref())
}

/// Appends a set-request-normal.
pub fn put_normal(
    out: &mut Vec<u8>,
    invoke: InvokeIdAndPriority,
    attribute: &AttributeDescriptor,
    selection: Option<&SelectiveAccess>,
    value: &Data,
) {
    out.extend_from_slice(&[tag::SET_REQUEST, request::NORMAL, invoke.0]);
    put_attribute(out, attribute, selection);
    value.encode(out);
}

/// Appends a set-request-with-first-datablock.
pub fn put_first_block(
    out: &mut Vec<u8>,
    invoke: InvokeIdAndPriority,
    attribute: &AttributeDescriptor,
    selection: Option<&SelectiveAccess>,
    block: DataBlock<'_>,
) {
    out.extend_from_slice(&[tag::SET_REQUEST, request::FIRST_BLOCK, invoke.0]);
    put_attribute(out, attribute, selection);
    block.encode(out);
}

/// Appends a set-request-with-datablock.
pub fn put_block(out: &mut Vec<u8>, invoke: InvokeIdAndPriority, block: DataBlock<'_>) {
    out.extend_from_slice(&[tag::SET_REQUEST, request::BLOCK, invoke.0]);
    block.encode(out);
}

/// Appends a set-request-with-list.
pub fn put_with_list<'a>(
    out: &mut Vec<u8>,
    invoke: InvokeIdAndPriority,
    requests: impl ExactSizeIterator<Item = (&'a AttributeDescriptor, Option<&'a SelectiveAccess>)>,
    values: impl ExactSizeIterator<Item = &'a Data>,
) {
    out.extend_from_slice(&[tag::SET_REQUEST, request::WITH_LIST, invoke.0]);
    put_list(out, requests, |out, (attribute, selection)| put_attribute(out, attribute, selection));
    put_list(out, values, |out, value| value.encode(out));
}

/// Appends a set-request-with-list-and-first-datablock.
pub fn put_with_list_first_block<'a>(
    out: &mut Vec<u8>,
    invoke: InvokeIdAndPriority,
    requests: impl ExactSizeIterator<Item = (&'a AttributeDescriptor, Option<&'a SelectiveAccess>)>,
    block: DataBlock<'_>,
) {
    out.extend_from_slice(&[tag::SET_REQUEST, request::WITH_LIST_FIRST_BLOCK, invoke.0]);
    put_list(out, requests, |out, (attribute, selection)| put_attribute(out, attribute, selection));
    block.encode(out);
}

/// set-response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetResponse {
    /// Answers a normal request.
    Normal {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// Whether the value was taken.
        result: DataAccessResult,
    },
    /// Asks for the next block.
    Block {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// Number of the block just received.
        block: u32,
    },
    /// Answers the last block of one attribute.
    LastBlock {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// Whether the value was taken.
        result: DataAccessResult,
        /// Number of the block just received.
        block: u32,
    },
    /// Answers the last block of several attributes.
    LastBlockWithList {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// Whether each value was taken, in the order of the request.
        results: Vec<DataAccessResult>,
        /// Number of the block just received.
        block: u32,
    },
    /// Answers a request with list.
    WithList {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// Whether each value was taken, in the order of the request.
        results: Vec<DataAccessResult>,
    },
}

impl SetResponse {
    /// Pairs the response with its request.
    #[must_use]
    pub const fn invoke(&self) -> InvokeIdAndPriority {
        match self {
            Self::Normal { invoke, .. }
            | Self::Block { invoke, .. }
            | Self::LastBlock { invoke, .. }
            | Self::LastBlockWithList { invoke, .. }
            | Self::WithList { invoke, .. } => *invoke,
        }
    }

    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::SET_RESPONSE);
        match self {
            Self::Normal { invoke, result } => {
                out.extend_from_slice(&[response::NORMAL, invoke.0, result.code()]);
            }
            Self::Block { invoke, block } => {
                out.extend_from_slice(&[response::BLOCK, invoke.0]);
                out.extend_from_slice(&block.to_be_bytes());
            }
            Self::LastBlock { invoke, result, block } => {
                out.extend_from_slice(&[response::LAST_BLOCK, invoke.0, result.code()]);
                out.extend_from_slice(&block.to_be_bytes());
            }
            Self::LastBlockWithList { invoke, results, block } => {
                out.extend_from_slice(&[response::LAST_BLOCK_WITH_LIST, invoke.0]);
                put_list(out, results.iter(), put_access_result);
                out.extend_from_slice(&block.to_be_bytes());
            }
            Self::WithList { invoke, results } => {
                out.extend_from_slice(&[response::WITH_LIST, invoke.0]);
                put_list(out, results.iter(), put_access_result);
            }
        }
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, `Truncated`, `Length`, `TrailingBytes`.
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let (mut reader, kind, invoke) = expect_service(apdu, tag::SET_RESPONSE)?;
        let reader = &mut reader;
        let response = match kind {
            response::NORMAL => Self::Normal { invoke, result: access_result(reader)? },
            response::BLOCK => Self::Block { invoke, block: reader.u32()? },
            response::LAST_BLOCK => {
                Self::LastBlock { invoke, result: access_result(reader)?, block: reader.u32()? }
            }
            response::LAST_BLOCK_WITH_LIST => Self::LastBlockWithList {
                invoke,
                results: list(reader, access_result)?,
                block: reader.u32()?,
            },
            response::WITH_LIST => Self::WithList { invoke, results: list(reader, access_result)? },
            _ => return Err(unknown_kind(kind)),
        };
        reader.finish()?;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::WireErrorKind;
    use crate::wire::obis::Obis;

    const C1: InvokeIdAndPriority = InvokeIdAndPriority::C1;
    const BLOCK: DataBlock<'static> = DataBlock { last: false, number: 1, raw: &[0x12, 0] };
    const VALUE: AttributeDescriptor =
        AttributeDescriptor { class_id: 1, instance_id: Obis::new(0, 0, 96, 50, 0, 255), attribute_id: 2 };

    #[test]
    fn requests_both_ways() {
        let request = AttributeRequest::whole(VALUE);
        let value = Data::LongUnsigned(7);
        for (request, bytes) in [
            (
                SetRequest::Normal { invoke: C1, request: request.clone(), value: value.clone() },
                &[0xC1, 1, 0xC1, 0, 1, 0, 0, 96, 50, 0, 255, 2, 0, 0x12, 0, 7][..],
            ),
            (
                SetRequest::FirstBlock { invoke: C1, request: request.clone(), block: BLOCK },
                &[0xC1, 2, 0xC1, 0, 1, 0, 0, 96, 50, 0, 255, 2, 0, 0, 0, 0, 0, 1, 2, 0x12, 0],
            ),
            (
                SetRequest::Block { invoke: C1, block: DataBlock { last: true, number: 2, raw: &[7] } },
                &[0xC1, 3, 0xC1, 1, 0, 0, 0, 2, 1, 7],
            ),
            (
                SetRequest::WithList { invoke: C1, requests: vec![request.clone()], values: vec![value] },
                &[0xC1, 4, 0xC1, 1, 0, 1, 0, 0, 96, 50, 0, 255, 2, 0, 1, 0x12, 0, 7],
            ),
            (
                SetRequest::WithListFirstBlock { invoke: C1, requests: vec![request], block: BLOCK },
                &[0xC1, 5, 0xC1, 1, 0, 1, 0, 0, 96, 50, 0, 255, 2, 0, 0, 0, 0, 0, 1, 2, 0x12, 0],
            ),
        ] {
            let mut out = Vec::new();
            request.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(SetRequest::decode(bytes), Ok(request));
        }
        assert_eq!(SetRequest::decode(&[0xC1, 6, 0xC1]), Err(WireErrorKind::UnknownTag(6).at(1)));
    }

    #[test]
    fn responses_both_ways() {
        let results = vec![DataAccessResult::Success, DataAccessResult::ReadWriteDenied];
        for (response, bytes) in [
            (SetResponse::Normal { invoke: C1, result: DataAccessResult::Success }, &[0xC5, 1, 0xC1, 0][..]),
            (SetResponse::Block { invoke: C1, block: 1 }, &[0xC5, 2, 0xC1, 0, 0, 0, 1]),
            (
                SetResponse::LastBlock { invoke: C1, result: DataAccessResult::OtherReason, block: 4 },
                &[0xC5, 3, 0xC1, 250, 0, 0, 0, 4],
            ),
            (
                SetResponse::LastBlockWithList { invoke: C1, results: results.clone(), block: 4 },
                &[0xC5, 4, 0xC1, 2, 0, 3, 0, 0, 0, 4],
            ),
            (SetResponse::WithList { invoke: C1, results }, &[0xC5, 5, 0xC1, 2, 0, 3]),
        ] {
            let mut out = Vec::new();
            response.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(SetResponse::decode(bytes), Ok(response));
        }
    }
}
