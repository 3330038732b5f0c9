//! GET (LN): reads attributes, at once, in lists and in blocks.

use super::{
    AttributeDescriptor, AttributeRequest, DataAccessResult, GetDataResult, InvokeIdAndPriority,
    SelectiveAccess, choice, data_result, expect_service, list, put_attribute, put_data_result, put_list,
    tag, unknown_kind,
};
use crate::wire::cursor::{Reader, put_octets};
use crate::wire::error::WireError;

const NORMAL: u8 = 1;
const NEXT: u8 = 2;
const WITH_DATA_BLOCK: u8 = 2;
const WITH_LIST: u8 = 3;

/// get-request.
#[derive(Clone, Debug, PartialEq)]
pub enum GetRequest {
    /// One attribute.
    Normal {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// What to read.
        request: AttributeRequest,
    },
    /// The next block of a long response.
    Next {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// Number of the block just received.
        block: u32,
    },
    /// Several attributes.
    WithList {
        /// Pairs the response.
        invoke: InvokeIdAndPriority,
        /// What to read.
        requests: Vec<AttributeRequest>,
    },
}

impl GetRequest {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Normal { invoke, request } => {
                put_normal(out, *invoke, &request.attribute, request.selection.as_ref());
            }
            Self::Next { invoke, block } => put_next(out, *invoke, *block),
            Self::WithList { invoke, requests } => put_with_list(
                out,
                *invoke,
                requests.iter().map(|request| (&request.attribute, request.selection.as_ref())),
            ),
        }
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, and as [`Reader`] and [`Data`](crate::wire::data::Data).
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let (mut reader, kind, invoke) = expect_service(apdu, tag::GET_REQUEST)?;
        let reader = &mut reader;
        let request = match kind {
            NORMAL => Self::Normal { invoke, request: AttributeRequest::decode(reader)? },
            NEXT => Self::Next { invoke, block: reader.u32()? },
            WITH_LIST => Self::WithList { invoke, requests: list(reader, AttributeRequest::decode)? },
            _ => return Err(unknown_kind(kind)),
        };
        reader.finish()?;
        Ok(request)
    }
}

/// Appends a get-request-normal.
pub fn put_normal(
    out: &mut Vec<u8>,
    invoke: InvokeIdAndPriority,
    attribute: &AttributeDescriptor,
    selection: Option<&SelectiveAccess>,
) {
    out.extend_from_slice(&[tag::GET_REQUEST, NORMAL, invoke.0]);
    put_attribute(out, attribute, selection);
}

/// Appends a get-request-next; `block` is the number of the block just received.
pub fn put_next(out: &mut Vec<u8>, invoke: InvokeIdAndPriority, block: u32) {
    out.extend_from_slice(&[tag::GET_REQUEST, NEXT, invoke.0]);
    out.extend_from_slice(&block.to_be_bytes());
}

/// Appends a get-request-with-list.
pub fn put_with_list<'a>(
    out: &mut Vec<u8>,
    invoke: InvokeIdAndPriority,
    requests: impl ExactSizeIterator<Item = (&'a AttributeDescriptor, Option<&'a SelectiveAccess>)>,
) {
    out.extend_from_slice(&[tag::GET_REQUEST, WITH_LIST, invoke.0]);
    put_list(out, requests, |out, (attribute, selection)| put_attribute(out, attribute, selection));
}

/// get-response.
#[derive(Clone, Debug, PartialEq)]
pub enum GetResponse<'a> {
    /// Answers a normal request.
    Normal {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// The value.
        result: GetDataResult,
    },
    /// One block of a long answer.
    WithDataBlock {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// Whether it is the last.
        last: bool,
        /// Its number, from 1.
        block: u32,
        /// Its bytes, cut anywhere. All together: one Data, or for a list what [`decode_list_content`] reads.
        result: Result<&'a [u8], DataAccessResult>,
    },
    /// Answers a request with list.
    WithList {
        /// As in the request.
        invoke: InvokeIdAndPriority,
        /// The values, in the order of the request.
        results: Vec<GetDataResult>,
    },
}

impl<'a> GetResponse<'a> {
    /// Pairs the response with its request.
    #[must_use]
    pub const fn invoke(&self) -> InvokeIdAndPriority {
        match self {
            Self::Normal { invoke, .. }
            | Self::WithDataBlock { invoke, .. }
            | Self::WithList { invoke, .. } => *invoke,
        }
    }

    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::GET_RESPONSE);
        match self {
            Self::Normal { invoke, result } => {
                out.extend_from_slice(&[NORMAL, invoke.0]);
                put_data_result(out, result);
            }
            Self::WithDataBlock { invoke, last, block, result } => {
                out.extend_from_slice(&[WITH_DATA_BLOCK, invoke.0, u8::from(*last)]);
                out.extend_from_slice(&block.to_be_bytes());
                match result {
                    Ok(raw) => {
                        out.push(0);
                        put_octets(out, raw);
                    }
                    Err(refusal) => out.extend_from_slice(&[1, refusal.code()]),
                }
            }
            Self::WithList { invoke, results } => {
                out.extend_from_slice(&[WITH_LIST, invoke.0]);
                put_list(out, results.iter(), put_data_result);
            }
        }
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU or choice, and as [`Reader`] and [`Data`](crate::wire::data::Data).
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let (mut reader, kind, invoke) = expect_service(apdu, tag::GET_RESPONSE)?;
        let reader = &mut reader;
        let response = match kind {
            NORMAL => Self::Normal { invoke, result: data_result(reader)? },
            WITH_DATA_BLOCK => Self::WithDataBlock {
                invoke,
                last: reader.u8()? != 0,
                block: reader.u32()?,
                result: choice(reader, Reader::octets)?,
            },
            WITH_LIST => Self::WithList { invoke, results: list(reader, data_result)? },
            _ => return Err(unknown_kind(kind)),
        };
        reader.finish()?;
        Ok(response)
    }
}

/// Which request a response answers, blocks excepted: told even where its content cannot be decoded.
#[must_use]
pub const fn answered(apdu: &[u8]) -> Option<InvokeIdAndPriority> {
    match *apdu {
        [tag::GET_RESPONSE, NORMAL | WITH_LIST, invoke, ..] => Some(InvokeIdAndPriority(invoke)),
        _ => None,
    }
}

/// Reads what the blocks that answer a request with list hold together: a count and as many results.
///
/// # Errors
/// As [`Reader`] and [`Data`](crate::wire::data::Data).
pub fn decode_list_content(raw: &[u8]) -> Result<Vec<GetDataResult>, WireError> {
    let mut reader = Reader::new(raw);
    let results = list(&mut reader, data_result)?;
    reader.finish()?;
    Ok(results)
}

/// Appends the content that [`decode_list_content`] reads.
pub fn put_list_content(out: &mut Vec<u8>, results: &[GetDataResult]) {
    put_list(out, results.iter(), put_data_result);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::data::Data;
    use crate::wire::error::WireErrorKind;
    use crate::wire::obis::Obis;

    const C1: InvokeIdAndPriority = InvokeIdAndPriority::C1;
    const CLOCK_TIME: AttributeDescriptor =
        AttributeDescriptor { class_id: 8, instance_id: Obis::new(0, 0, 1, 0, 0, 255), attribute_id: 2 };

    #[test]
    fn requests_both_ways() {
        let entries =
            SelectiveAccess { selector: 2, parameters: Data::Structure(vec![Data::DoubleLongUnsigned(1)]) };
        let part = AttributeRequest { attribute: CLOCK_TIME, selection: Some(entries) };
        for (request, bytes) in [
            (
                GetRequest::Normal { invoke: C1, request: AttributeRequest::whole(CLOCK_TIME) },
                &[0xC0, 1, 0xC1, 0, 8, 0, 0, 1, 0, 0, 255, 2, 0][..],
            ),
            (GetRequest::Next { invoke: C1, block: 0x102 }, &[0xC0, 2, 0xC1, 0, 0, 1, 2]),
            (
                GetRequest::WithList {
                    invoke: C1,
                    requests: vec![part, AttributeRequest::whole(CLOCK_TIME)],
                },
                &[
                    0xC0, 3, 0xC1, 2, 0, 8, 0, 0, 1, 0, 0, 255, 2, 1, 2, 2, 1, 6, 0, 0, 0, 1, 0, 8, 0, 0, 1,
                    0, 0, 255, 2, 0,
                ],
            ),
        ] {
            let mut out = Vec::new();
            request.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(GetRequest::decode(bytes), Ok(request));
        }
    }

    #[test]
    fn responses_both_ways() {
        for (response, bytes) in [
            (
                GetResponse::Normal { invoke: C1, result: Ok(Data::LongUnsigned(500)) },
                &[0xC4, 1, 0xC1, 0, 0x12, 1, 0xF4][..],
            ),
            (
                GetResponse::Normal { invoke: C1, result: Err(DataAccessResult::ObjectUndefined) },
                &[0xC4, 1, 0xC1, 1, 4],
            ),
            (
                GetResponse::WithDataBlock { invoke: C1, last: false, block: 1, result: Ok(&[9, 0x81]) },
                &[0xC4, 2, 0xC1, 0, 0, 0, 0, 1, 0, 2, 9, 0x81],
            ),
            (
                GetResponse::WithDataBlock {
                    invoke: C1,
                    last: true,
                    block: 2,
                    result: Err(DataAccessResult::LongGetAborted),
                },
                &[0xC4, 2, 0xC1, 1, 0, 0, 0, 2, 1, 15],
            ),
            (
                GetResponse::WithList {
                    invoke: C1,
                    results: vec![Ok(Data::Null), Err(DataAccessResult::Other(77))],
                },
                &[0xC4, 3, 0xC1, 2, 0, 0, 1, 77],
            ),
        ] {
            let mut out = Vec::new();
            response.encode(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(GetResponse::decode(bytes), Ok(response));
        }
    }

    #[test]
    fn a_malformed_list_is_an_error() {
        let item_missing = [0xC4, 3, 0xC1, 2, 0, 0];
        assert_eq!(GetResponse::decode(&item_missing), Err(WireErrorKind::Truncated.at(6)));
        let item_without_choice = [0xC4, 3, 0xC1, 1, 9, 1, 0xAA];
        assert_eq!(GetResponse::decode(&item_without_choice), Err(WireErrorKind::UnknownTag(9).at(4)));
        let lying_count = [0xC4, 3, 0xC1, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0];
        assert_eq!(GetResponse::decode(&lying_count), Err(WireErrorKind::Length.at(3)));
        let too_many = [0xC4, 3, 0xC1, 1, 0, 0, 0, 0];
        assert_eq!(GetResponse::decode(&too_many), Err(WireErrorKind::TrailingBytes.at(6)));
        assert_eq!(GetResponse::decode(&[0xC4, 9, 0xC1]), Err(WireErrorKind::UnknownTag(9).at(1)));
    }

    #[test]
    fn list_content_of_blocks() {
        let results = vec![Ok(Data::Unsigned(5)), Err(DataAccessResult::ReadWriteDenied)];
        let mut raw = Vec::new();
        put_list_content(&mut raw, &results);
        assert_eq!(raw, [2, 0, 0x11, 5, 1, 3]);
        assert_eq!(decode_list_content(&raw), Ok(results));
        assert!(decode_list_content(&raw[..5]).is_err());
    }
}
